//! What stands for an expression: constants, columns and expressions.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use crate::expression::{Column, Expr, Portable, Scope};
use crate::predicate::Node;
use crate::value::{ColumnValue, Value};

/// What can stand on the right side of a comparison with a `T`, or as an argument of that type: a value, a column or
/// an expression.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for a `{T}` in a filter of `{E}`",
    label = "expected a value, column or expression of type `{T}`",
    note = "use a value of that very type, or a column or expression of the same entity and type; integers and reals \
            of other widths are converted with `to_i64()` and `to_f64()`"
)]
pub trait IntoExpr<E, T> {
    /// Where the expression can be answered.
    type Scope: Scope;

    /// The expression.
    fn into_expr(self) -> Expr<E, T, Self::Scope>;
}

impl<E, T, S: Scope> IntoExpr<E, T> for Expr<E, T, S> {
    type Scope = S;
    fn into_expr(self) -> Self {
        self
    }
}

impl<E, T, S: Scope> IntoExpr<E, T> for Column<E, T, S> {
    type Scope = S;
    fn into_expr(self) -> Expr<E, T, S> {
        Expr::new(self.into_node())
    }
}

/// A number column or expression where one of a wider type is wanted.
macro_rules! widening {
    ($wide:ty: $($narrow:ty),*) => {$(
        impl<E, S: Scope> IntoExpr<E, $wide> for Column<E, $narrow, S> {
            type Scope = S;
            fn into_expr(self) -> Expr<E, $wide, S> {
                Expr::new(self.into_node())
            }
        }

        impl<E, S: Scope> IntoExpr<E, $wide> for Expr<E, $narrow, S> {
            type Scope = S;
            fn into_expr(self) -> Expr<E, $wide, S> {
                Expr::new(self.into_node())
            }
        }
    )*};
}
widening!(i64: i8, i16, i32, u8, u16, u32);
widening!(f64: f32);

fn literal<E, T>(value: Value) -> Expr<E, T> {
    Expr::new(Node::Literal(value))
}

impl<E> IntoExpr<E, String> for &str {
    type Scope = Portable;
    fn into_expr(self) -> Expr<E, String> {
        literal(Value::Text(self.to_owned()))
    }
}

impl<E> IntoExpr<E, String> for &String {
    type Scope = Portable;
    fn into_expr(self) -> Expr<E, String> {
        literal(Value::Text(self.clone()))
    }
}

macro_rules! literals {
    ($($ty:ty),*) => {$(
        impl<E> IntoExpr<E, $ty> for $ty {
            type Scope = Portable;
            fn into_expr(self) -> Expr<E, $ty> {
                literal(self.to_value())
            }
        }
    )*};
}
literals!(String, bool, i8, i16, i32, i64, u8, u16, u32, f32, f64, DateTime<Utc>, Uuid);

/// A day, for comparing with `date()`.
impl<E> IntoExpr<E, NaiveDate> for NaiveDate {
    type Scope = Portable;
    fn into_expr(self) -> Expr<E, Self> {
        literal(Value::DateTime(self.and_time(NaiveTime::MIN).and_utc()))
    }
}

/// A time of day, for comparing with `time()`.
impl<E> IntoExpr<E, NaiveTime> for NaiveTime {
    type Scope = Portable;
    fn into_expr(self) -> Expr<E, Self> {
        literal(Value::DateTime(DateTime::UNIX_EPOCH.date_naive().and_time(self).and_utc()))
    }
}

/// A `None` stands for null.
impl<E, T: ColumnValue> IntoExpr<E, T> for Option<T> {
    type Scope = Portable;
    fn into_expr(self) -> Expr<E, T> {
        literal(self.map_or(Value::Null, |value| value.to_value()))
    }
}
