//! Numbers: arithmetic by operators and by methods, and rounding.

use std::ops::{Add, Div, Mul, Rem, Sub};

use crate::expression::{Column, Expr, IntoExpr, Joined, Scope, call, methods};
use crate::predicate::{Function, Node};
use crate::value::Value;

/// The number types of columns.
#[diagnostic::on_unimplemented(message = "`{Self}` is no number type of a column")]
pub trait Number: sealed::Sealed {
    #[doc(hidden)]
    const IS_INTEGER: bool;
}

mod sealed {
    pub trait Sealed {}
}

methods! {
#[expect(clippy::should_implement_trait, reason = "the operators are there as well; these need no import")]
[, T: Number] T {
    /// The sum; null where one side is. Also written `+`.
    pub fn add<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, T, S, T, R> {
        call(Function::Add, vec![self.into_node(), other.into_expr().node])
    }

    /// The difference; null where one side is. Also written `-`.
    pub fn sub<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, T, S, T, R> {
        call(Function::Sub, vec![self.into_node(), other.into_expr().node])
    }

    /// The product; null where one side is. Also written `*`.
    pub fn mul<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, T, S, T, R> {
        call(Function::Mul, vec![self.into_node(), other.into_expr().node])
    }

    /// The quotient, of integers its whole part, towards zero; null where one side is or the divisor is 0. Also
    /// written `/`.
    pub fn div<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, T, S, T, R> {
        call(Function::Div, vec![self.into_node(), other.into_expr().node])
    }

    /// The remainder of the whole parts, with the sign of the left side; null where one side is or the whole part of
    /// the divisor is 0. Also written `%`.
    pub fn rem<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, T, S, T, R> {
        call(Function::Mod, vec![self.into_node(), other.into_expr().node])
    }

    /// The nearest whole number, a half away from zero.
    pub fn round(self) -> Expr<E, T, S> {
        call(Function::Round, vec![self.into_node()])
    }

    /// The greatest whole number that is not above.
    pub fn floor(self) -> Expr<E, T, S> {
        call(Function::Floor, vec![self.into_node()])
    }

    /// The least whole number that is not below.
    pub fn ceiling(self) -> Expr<E, T, S> {
        call(Function::Ceiling, vec![self.into_node()])
    }

    /// The number as a real; an integer is rounded to the nearest one (`mul 1.0` on the wire).
    pub fn to_f64(self) -> Expr<E, f64, S> {
        let this = self.into_node();
        if T::IS_INTEGER {
            call(Function::Mul, vec![this, Node::Literal(Value::Real(1.0))])
        } else {
            Expr::new(this)
        }
    }
}}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        methods! { [] $ty {
            /// The same number, to be compared or calculated with `i64`.
            pub fn to_i64(self) -> Expr<E, i64, S> {
                Expr::new(self.into_node())
            }
        }}
    )*};
}
integers!(i8, i16, i32, u8, u16, u32);

macro_rules! operators {
    ($($operator:ident $method:ident $function:ident;)*) => {$(
        impl<E, T: Number, S: Scope, R: IntoExpr<E, T>> $operator<R> for Column<E, T, S> {
            type Output = Joined<E, T, S, T, R>;
            fn $method(self, other: R) -> Self::Output {
                call(Function::$function, vec![self.into_node(), other.into_expr().node])
            }
        }

        impl<E, T: Number, S: Scope, R: IntoExpr<E, T>> $operator<R> for Expr<E, T, S> {
            type Output = Joined<E, T, S, T, R>;
            fn $method(self, other: R) -> Self::Output {
                call(Function::$function, vec![self.into_node(), other.into_expr().node])
            }
        }
    )*};
}
operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
    Rem rem Mod;
}

/// A constant on the left. The rule of foreign traits allows it for one type at a time only.
macro_rules! constants_on_the_left {
    ($([$ty:ty, $integer:literal],)*) => {$(
        impl sealed::Sealed for $ty {}
        impl Number for $ty {
            const IS_INTEGER: bool = $integer;
        }

        constants_on_the_left!(@ $ty, Add add Add);
        constants_on_the_left!(@ $ty, Sub sub Sub);
        constants_on_the_left!(@ $ty, Mul mul Mul);
        constants_on_the_left!(@ $ty, Div div Div);
        constants_on_the_left!(@ $ty, Rem rem Mod);
    )*};
    (@ $ty:ty, $operator:ident $method:ident $function:ident) => {
        impl<E, S: Scope> $operator<Column<E, $ty, S>> for $ty {
            type Output = Expr<E, $ty, S>;
            fn $method(self, other: Column<E, $ty, S>) -> Expr<E, $ty, S> {
                let this = IntoExpr::<E, $ty>::into_expr(self).node;
                call(Function::$function, vec![this, other.into_node()])
            }
        }

        impl<E, S: Scope> $operator<Expr<E, $ty, S>> for $ty {
            type Output = Expr<E, $ty, S>;
            fn $method(self, other: Expr<E, $ty, S>) -> Expr<E, $ty, S> {
                let this = IntoExpr::<E, $ty>::into_expr(self).node;
                call(Function::$function, vec![this, other.into_node()])
            }
        }
    };
}
constants_on_the_left! {
    [i8, true],
    [i16, true],
    [i32, true],
    [i64, true],
    [u8, true],
    [u16, true],
    [u32, true],
    [f32, false],
    [f64, false],
}
