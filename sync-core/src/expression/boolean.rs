//! Conditions. A boolean column is a condition by itself: true where the value is true, false for null.

use std::ops::{BitAnd, BitOr, Not};

use crate::expression::{Column, Expr, IntoExpr, Joined, Scope, methods};

methods! { [] bool {
    /// True where both are true. Also written `&`.
    pub fn and<R: IntoExpr<E, bool>>(self, other: R) -> Joined<E, bool, S, bool, R> {
        Expr::new(self.into_node().and(other.into_expr().node))
    }

    /// True where at least one is true. Also written `|`.
    pub fn or<R: IntoExpr<E, bool>>(self, other: R) -> Joined<E, bool, S, bool, R> {
        Expr::new(self.into_node().or(other.into_expr().node))
    }

    /// True where this is not, also for null. Also written `!`.
    #[expect(clippy::should_implement_trait, reason = "the operator is there as well; this needs no import")]
    pub fn not(self) -> Expr<E, bool, S> {
        Expr::new(self.into_node().negate())
    }

    /// Makes a filter that reads local columns one that can be pulled with.
    ///
    /// The server is asked for the part it can answer, at worst for every row; each row it sends is judged on this
    /// device by the rest of the filter before it is added. It is judged as it came, with null in its local columns.
    /// A filter without local columns stays what it is.
    pub fn local_rest(self) -> Expr<E, bool> {
        Expr::new(self.into_node())
    }
}}

macro_rules! operators {
    ($($ty:ident)*) => {$(
        impl<E, S: Scope> Not for $ty<E, bool, S> {
            type Output = Expr<E, bool, S>;
            fn not(self) -> Expr<E, bool, S> {
                Expr::new(self.into_node().negate())
            }
        }

        impl<E, S: Scope, R: IntoExpr<E, bool>> BitAnd<R> for $ty<E, bool, S> {
            type Output = Joined<E, bool, S, bool, R>;
            fn bitand(self, other: R) -> Self::Output {
                self.and(other)
            }
        }

        impl<E, S: Scope, R: IntoExpr<E, bool>> BitOr<R> for $ty<E, bool, S> {
            type Output = Joined<E, bool, S, bool, R>;
            fn bitor(self, other: R) -> Self::Output {
                self.or(other)
            }
        }
    )*};
}
operators!(Column Expr);
