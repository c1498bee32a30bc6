//! The typed surface: `Todo::text.contains("milk")`.
//!
//! [`Column`] and [`Expr`] carry types only as markers; behind each stands one [`Node`]. What cannot be written
//! here cannot reach an engine: a column of another entity or a value of another type is a compile error.
//!
//! `Todo::text` (this module) means the same locally and on the server. `todo::text` is Diesel's own column and
//! works only locally.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, Not};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::entity::{ColumnSchema, SyncEntity};
use crate::predicate::{Comparison, Function, Node, Predicate};
use crate::value::{ColumnValue, Value};

/// A column of entity `E` whose values have the Rust type `T` (for an `Option<T>` field as well).
pub struct Column<E, T> {
    schema: &'static ColumnSchema,
    marker: PhantomData<fn() -> (E, T)>,
}

/// An expression over the rows of entity `E` with values of type `T`; with `T = bool` a filter.
pub struct Expr<E, T> {
    node: Node,
    marker: PhantomData<fn() -> (E, T)>,
}

/// One key of an ordering: `Todo::due_at.asc()`.
pub struct OrderBy<E> {
    /// The column to order by.
    pub(crate) column: &'static ColumnSchema,
    /// Greatest first.
    pub(crate) descending: bool,
    marker: PhantomData<fn() -> E>,
}

/// What can stand on the right side of a comparison with a `T`: a value, a column or an expression.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with a `{T}` column of `{E}`",
    note = "compare with a value of the column's type, or with another column of the same entity and type"
)]
pub trait IntoExpr<E, T> {
    /// The expression.
    fn into_expr(self) -> Expr<E, T>;
}

impl<E, T> Column<E, T> {
    /// Used by derived code: the column behind a schema entry of `E`.
    #[doc(hidden)]
    pub const fn __new(schema: &'static ColumnSchema) -> Self {
        Self { schema, marker: PhantomData }
    }

    /// The column's metadata.
    pub const fn schema(&self) -> &'static ColumnSchema {
        self.schema
    }

    fn node(self) -> Node {
        Node::Column(self.schema)
    }

    /// Ascending order by this column; null sorts first.
    pub fn asc(self) -> OrderBy<E> {
        OrderBy { column: self.schema, descending: false, marker: PhantomData }
    }

    /// Descending order by this column; null sorts last.
    pub fn desc(self) -> OrderBy<E> {
        OrderBy { column: self.schema, descending: true, marker: PhantomData }
    }

    /// True where the value is null.
    pub fn is_null(self) -> Expr<E, bool> {
        Expr::new(Node::compare(self.schema, Comparison::Eq, Value::Null))
    }

    /// True where the value is not null.
    pub fn is_not_null(self) -> Expr<E, bool> {
        Expr::new(Node::compare(self.schema, Comparison::Ne, Value::Null))
    }

    fn compare(self, comparison: Comparison, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        Expr::new(Node::Compare(comparison, Box::new(self.node()), Box::new(other.into_expr().node)))
    }

    /// True where the values are equal; null equals only null.
    pub fn eq(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Eq, other)
    }

    /// True where the values differ; null differs from every value.
    pub fn ne(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Ne, other)
    }

    /// True where the value is greater; false for null.
    pub fn gt(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Gt, other)
    }

    /// True where the value is greater or equal; false for null.
    pub fn ge(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Ge, other)
    }

    /// True where the value is less; false for null.
    pub fn lt(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Lt, other)
    }

    /// True where the value is less or equal; false for null.
    pub fn le(self, other: impl IntoExpr<E, T>) -> Expr<E, bool> {
        self.compare(Comparison::Le, other)
    }
}

impl<E> Column<E, String> {
    /// True where the text contains `needle`, by code point and case-sensitively; false for null.
    pub fn contains(self, needle: impl IntoExpr<E, String>) -> Expr<E, bool> {
        self.call(Function::Contains, needle)
    }

    /// True where the text starts with `prefix`, case-sensitively; false for null.
    pub fn starts_with(self, prefix: impl IntoExpr<E, String>) -> Expr<E, bool> {
        self.call(Function::StartsWith, prefix)
    }

    /// True where the text ends with `suffix`, case-sensitively; false for null.
    pub fn ends_with(self, suffix: impl IntoExpr<E, String>) -> Expr<E, bool> {
        self.call(Function::EndsWith, suffix)
    }

    fn call(self, function: Function, other: impl IntoExpr<E, String>) -> Expr<E, bool> {
        Expr::new(Node::Call(function, vec![self.node(), other.into_expr().node]))
    }
}

/// A boolean column is a condition by itself: true where the value is true, false for null.
impl<E> Column<E, bool> {
    /// True where both are true.
    pub fn and(self, other: impl IntoExpr<E, bool>) -> Expr<E, bool> {
        Expr::new(self.node()).and(other)
    }

    /// True where at least one is true.
    pub fn or(self, other: impl IntoExpr<E, bool>) -> Expr<E, bool> {
        Expr::new(self.node()).or(other)
    }
}

impl<E, T> Expr<E, T> {
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

impl<E> Expr<E, bool> {
    /// True where both are true.
    #[must_use]
    pub fn and(self, other: impl IntoExpr<E, bool>) -> Self {
        Self::new(self.node.and(other.into_expr().node))
    }

    /// True where at least one is true.
    #[must_use]
    pub fn or(self, other: impl IntoExpr<E, bool>) -> Self {
        Self::new(self.node.or(other.into_expr().node))
    }
}

impl<E: SyncEntity> From<Expr<E, bool>> for Predicate {
    fn from(expr: Expr<E, bool>) -> Self {
        Self { table: E::SCHEMA, node: expr.node }
    }
}

impl<E: SyncEntity> From<Column<E, bool>> for Predicate {
    fn from(column: Column<E, bool>) -> Self {
        Self { table: E::SCHEMA, node: column.node() }
    }
}

impl<E> Not for Expr<E, bool> {
    type Output = Self;
    fn not(self) -> Self {
        Self::new(self.node.negate())
    }
}

impl<E> Not for Column<E, bool> {
    type Output = Expr<E, bool>;
    fn not(self) -> Expr<E, bool> {
        Expr::new(self.node().negate())
    }
}

impl<E, R: IntoExpr<E, bool>> BitAnd<R> for Expr<E, bool> {
    type Output = Self;
    fn bitand(self, other: R) -> Self {
        self.and(other)
    }
}

impl<E, R: IntoExpr<E, bool>> BitAnd<R> for Column<E, bool> {
    type Output = Expr<E, bool>;
    fn bitand(self, other: R) -> Expr<E, bool> {
        self.and(other)
    }
}

impl<E, R: IntoExpr<E, bool>> BitOr<R> for Column<E, bool> {
    type Output = Expr<E, bool>;
    fn bitor(self, other: R) -> Expr<E, bool> {
        self.or(other)
    }
}

impl<E, R: IntoExpr<E, bool>> BitOr<R> for Expr<E, bool> {
    type Output = Self;
    fn bitor(self, other: R) -> Self {
        self.or(other)
    }
}

impl<E, T> IntoExpr<E, T> for Expr<E, T> {
    fn into_expr(self) -> Self {
        self
    }
}

impl<E, T> IntoExpr<E, T> for Column<E, T> {
    fn into_expr(self) -> Expr<E, T> {
        Expr::new(self.node())
    }
}

impl<E> IntoExpr<E, String> for &str {
    fn into_expr(self) -> Expr<E, String> {
        Expr::new(Node::Literal(Value::Text(self.to_owned())))
    }
}

impl<E> IntoExpr<E, String> for &String {
    fn into_expr(self) -> Expr<E, String> {
        Expr::new(Node::Literal(Value::Text(self.clone())))
    }
}

macro_rules! literals {
    ($($ty:ty),*) => {$(
        impl<E> IntoExpr<E, $ty> for $ty {
            fn into_expr(self) -> Expr<E, $ty> {
                Expr::new(Node::Literal(self.to_value()))
            }
        }
    )*};
}
literals!(String, bool, i8, i16, i32, i64, u8, u16, u32, f32, f64, DateTime<Utc>, Uuid);

/// A `None` compares as null.
impl<E, T: ColumnValue> IntoExpr<E, T> for Option<T> {
    fn into_expr(self) -> Expr<E, T> {
        Expr::new(Node::Literal(self.map_or(Value::Null, |value| value.to_value())))
    }
}

impl<E, T> Clone for Column<E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for Column<E, T> {}

impl<E, T> Clone for Expr<E, T> {
    fn clone(&self) -> Self {
        Self::new(self.node.clone())
    }
}

impl<E> Clone for OrderBy<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for OrderBy<E> {}

impl<E> OrderBy<E> {
    /// The column and whether the greatest comes first.
    pub const fn parts(&self) -> (&'static ColumnSchema, bool) {
        (self.column, self.descending)
    }
}

impl<E, T> fmt::Debug for Column<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.schema.name).finish()
    }
}

impl<E, T> fmt::Debug for Expr<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.node).finish()
    }
}

impl<E> fmt::Debug for OrderBy<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderBy")
            .field("column", &self.column.name)
            .field("descending", &self.descending)
            .finish()
    }
}
