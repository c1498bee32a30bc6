//! The typed surface: `Todo::text.contains("milk")`.
//!
//! [`Column`] and [`Expr`] carry types only as markers; behind each stands one [`Node`]. What cannot be written
//! here cannot reach an engine: a column of another entity, a value of another type, a text function on a number is
//! a compile error. Both have the same methods, each only where it means something:
//!
//! | type of the values | methods |
//! |---|---|
//! | all | `eq`, `ne`, `is_null`, `is_not_null`, `is_in` |
//! | all but `bool` | `gt`, `ge`, `lt`, `le`, `between` |
//! | `String` | `contains`, `starts_with`, `ends_with`, `length`, `index_of`, `substring`, `substring_len`, `replace`, `to_lower`, `to_upper`, `trim`, `concat` |
//! | numbers | `+ - * / %` (`add`, `sub`, `mul`, `div`, `rem`), `round`, `floor`, `ceiling`, `to_i64`, `to_f64` |
//! | `DateTime<Utc>` | `year`, `month`, `day`, `hour`, `minute`, `second`, `date`, `time` |
//! | `bool` | `&`, `\|`, `!` (`and`, `or`, `not`), `local_rest` |
//!
//! Whether a column allows null does not show in the type: an `Option<String>` field is a column of `String`.
//!
//! What each of them means, for null, letter case, overflow and so on, is the same in every engine and stands in the
//! guide, `docs/predicates.md`, and in [`crate::predicate`].
//!
//! # Types of results
//!
//! `length`, `index_of` and the parts of an instant are `i32`, as on the wire. Arithmetic yields the type of its left
//! side. That is what the result is compared with, not a range: calculations are done in 64 bits, a sum of two `i32`
//! does not wrap, and what exceeds 64 bits goes on as a real. Both sides have one type, but a column or expression of
//! a smaller integer type may stand where `i64` is wanted, and one of `f32` where `f64` is; [`Column::to_i64`] and
//! [`Column::to_f64`] do the same on the left.
//!
//! # Scope
//!
//! The last type parameter tells whether a server can be asked: [`Portable`], or [`LocalOnly`] as soon as a column
//! with `#[sync(local)]` takes part. Local queries and purges take both. A pull or a direct call takes a portable
//! filter, or one with [`local_rest`](Expr::local_rest), by which the app says that the local part is to be judged
//! on this device after fetching.
//!
//! `Todo::text` (this module) means the same locally and on the server. `todo::text` is Diesel's own column and
//! works only locally.

use std::fmt;
use std::marker::PhantomData;

use crate::entity::{ColumnSchema, SyncEntity};
use crate::predicate::{Comparison, Function, Node, Predicate};
use crate::value::Value;

pub use self::convert::IntoExpr;
pub use self::number::Number;
pub use self::ordering::{OrderBy, OrderByExpr};
pub use self::scope::{LocalOnly, Portable, Scope, Sendable};

mod boolean;
mod convert;
mod instant;
mod number;
mod ordering;
mod scope;
mod text;

/// A column of entity `E` whose values have the Rust type `T` (for an `Option<T>` field as well).
pub struct Column<E, T, S = Portable> {
    schema: &'static ColumnSchema,
    marker: Marker<E, T, S>,
}

/// An expression over the rows of entity `E` with values of type `T`; with `T = bool` a filter.
pub struct Expr<E, T, S = Portable> {
    node: Node,
    marker: Marker<E, T, S>,
}

type Marker<E, T, S> = PhantomData<fn() -> (E, T, S)>;

/// An expression of what stands on the left (scope `S`) and something of type `R` that stands for a `T`.
type Joined<E, V, S, T, R> = Expr<E, V, <S as Scope>::Join<<R as IntoExpr<E, T>>::Scope>>;

/// The same with a second argument of type `Q` that stands for a `U`.
type JoinedTwice<E, V, S, T, R, U, Q> = Expr<
    E,
    V,
    <<S as Scope>::Join<<R as IntoExpr<E, T>>::Scope> as Scope>::Join<<Q as IntoExpr<E, U>>::Scope>,
>;

/// Values that have an order.
#[diagnostic::on_unimplemented(
    message = "values of type `{Self}` have no order in a filter",
    note = "compare a boolean with `eq` or `ne`, or use it as a condition by itself"
)]
pub trait Ordered: ordered::Sealed {}

mod ordered {
    pub trait Sealed {}
}

macro_rules! ordered {
    ($($ty:ty),*) => {$(
        impl ordered::Sealed for $ty {}
        impl Ordered for $ty {}
    )*};
}
ordered!(
    String,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    f32,
    f64,
    chrono::DateTime<chrono::Utc>,
    chrono::NaiveDate,
    chrono::NaiveTime,
    uuid::Uuid
);

/// Gives columns and expressions the same methods.
macro_rules! methods {
    ($(#[$attribute:meta])* [$($generics:tt)*] $ty:ty { $($body:tt)* }) => {
        $(#[$attribute])*
        impl<E, S: $crate::expression::Scope $($generics)*> $crate::expression::Column<E, $ty, S> { $($body)* }
        $(#[$attribute])*
        impl<E, S: $crate::expression::Scope $($generics)*> $crate::expression::Expr<E, $ty, S> { $($body)* }
    };
}
use methods;

methods! { [, T] T {
    /// True where the value is null.
    pub fn is_null(self) -> Expr<E, bool, S> {
        compare(Comparison::Eq, self.into_node(), Node::Literal(Value::Null))
    }

    /// True where the value is not null.
    pub fn is_not_null(self) -> Expr<E, bool, S> {
        compare(Comparison::Ne, self.into_node(), Node::Literal(Value::Null))
    }

    /// True where the values are equal; null equals only null.
    pub fn eq<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R> {
        compare(Comparison::Eq, self.into_node(), other.into_expr().node)
    }

    /// True where the values differ; null differs from every value.
    pub fn ne<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R> {
        compare(Comparison::Ne, self.into_node(), other.into_expr().node)
    }

    /// True where the value is one of these; for an empty list nowhere. A `None` among them stands for null.
    pub fn is_in<I>(self, values: I) -> Joined<E, bool, S, T, I::Item>
    where
        I: IntoIterator,
        I::Item: IntoExpr<E, T>,
    {
        let this = self.into_node();
        let equal = |value: I::Item| {
            Node::Compare(Comparison::Eq, Box::new(this.clone()), Box::new(value.into_expr().node))
        };
        Expr::new(Node::Or(values.into_iter().map(equal).collect()))
    }

    /// True where the value is greater; false for null.
    pub fn gt<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R>
    where
        T: Ordered,
    {
        compare(Comparison::Gt, self.into_node(), other.into_expr().node)
    }

    /// True where the value is greater or equal; false for null.
    pub fn ge<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R>
    where
        T: Ordered,
    {
        compare(Comparison::Ge, self.into_node(), other.into_expr().node)
    }

    /// True where the value is less; false for null.
    pub fn lt<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R>
    where
        T: Ordered,
    {
        compare(Comparison::Lt, self.into_node(), other.into_expr().node)
    }

    /// True where the value is less or equal; false for null.
    pub fn le<R: IntoExpr<E, T>>(self, other: R) -> Joined<E, bool, S, T, R>
    where
        T: Ordered,
    {
        compare(Comparison::Le, self.into_node(), other.into_expr().node)
    }

    /// True from `low` to `high`, both included; false where one of the three is null.
    pub fn between<L, H>(self, low: L, high: H) -> JoinedTwice<E, bool, S, T, L, T, H>
    where
        T: Ordered,
        L: IntoExpr<E, T>,
        H: IntoExpr<E, T>,
    {
        let this = self.into_node();
        let (low, high) = (low.into_expr().node, high.into_expr().node);
        let from = Node::Compare(Comparison::Ge, Box::new(this.clone()), Box::new(low));
        Expr::new(from.and(Node::Compare(Comparison::Le, Box::new(this), Box::new(high))))
    }
}}

impl<E, T, S> Column<E, T, S> {
    /// Used by derived code: the column behind a schema entry of `E`.
    #[doc(hidden)]
    pub const fn __new(schema: &'static ColumnSchema) -> Self {
        Self { schema, marker: PhantomData }
    }

    /// The column's metadata.
    pub const fn schema(&self) -> &'static ColumnSchema {
        self.schema
    }

    /// The untyped tree.
    pub fn into_node(self) -> Node {
        Node::Column(self.schema)
    }
}

impl<E, T, S> Expr<E, T, S> {
    pub(crate) const fn new(node: Node) -> Self {
        Self { node, marker: PhantomData }
    }

    /// The untyped tree.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The untyped tree, by value.
    pub fn into_node(self) -> Node {
        self.node
    }
}

fn compare<E, S>(comparison: Comparison, left: Node, right: Node) -> Expr<E, bool, S> {
    Expr::new(Node::Compare(comparison, Box::new(left), Box::new(right)))
}

fn call<E, T, S>(function: Function, arguments: Vec<Node>) -> Expr<E, T, S> {
    Expr::new(Node::Call(function, arguments))
}

impl<E: SyncEntity, S> From<Expr<E, bool, S>> for Predicate {
    fn from(expr: Expr<E, bool, S>) -> Self {
        Self { table: E::SCHEMA, node: expr.node }
    }
}

impl<E: SyncEntity, S> From<Column<E, bool, S>> for Predicate {
    fn from(column: Column<E, bool, S>) -> Self {
        Self { table: E::SCHEMA, node: column.into_node() }
    }
}

impl<E, T, S> Clone for Column<E, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T, S> Copy for Column<E, T, S> {}

impl<E, T, S> Clone for Expr<E, T, S> {
    fn clone(&self) -> Self {
        Self::new(self.node.clone())
    }
}

impl<E, T, S> fmt::Debug for Column<E, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.schema.name).finish()
    }
}

impl<E, T, S> fmt::Debug for Expr<E, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.node).finish()
    }
}

#[cfg(test)]
mod tests;
