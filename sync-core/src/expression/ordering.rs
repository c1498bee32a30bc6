//! Keys of orders.

use std::fmt;
use std::marker::PhantomData;

use crate::entity::ColumnSchema;
use crate::expression::{Column, Expr, Scope};
use crate::predicate::Node;

/// One key of an order, by a column: `Todo::due_at.asc()`.
pub struct OrderBy<E> {
    column: &'static ColumnSchema,
    descending: bool,
    marker: PhantomData<fn() -> E>,
}

/// One key of a local order, by any expression: `Todo::text.to_lower().asc()`. A server is never asked to sort by it.
pub struct OrderByExpr<E> {
    node: Node,
    descending: bool,
    marker: PhantomData<fn() -> E>,
}

impl<E, T, S: Scope> Column<E, T, S> {
    /// Ascending order by this column; null sorts first.
    pub fn asc(self) -> OrderBy<E> {
        OrderBy { column: self.schema, descending: false, marker: PhantomData }
    }

    /// Descending order by this column; null sorts last.
    pub fn desc(self) -> OrderBy<E> {
        OrderBy { column: self.schema, descending: true, marker: PhantomData }
    }
}

impl<E, T, S: Scope> Expr<E, T, S> {
    /// Ascending order by this expression; null sorts first.
    pub fn asc(self) -> OrderByExpr<E> {
        OrderByExpr { node: self.node, descending: false, marker: PhantomData }
    }

    /// Descending order by this expression; null sorts last.
    pub fn desc(self) -> OrderByExpr<E> {
        OrderByExpr { node: self.node, descending: true, marker: PhantomData }
    }
}

impl<E> OrderBy<E> {
    /// The column and whether the greatest comes first.
    pub const fn parts(&self) -> (&'static ColumnSchema, bool) {
        (self.column, self.descending)
    }
}

impl<E> OrderByExpr<E> {
    /// The expression and whether the greatest comes first.
    pub const fn parts(&self) -> (&Node, bool) {
        (&self.node, self.descending)
    }
}

impl<E> From<OrderBy<E>> for OrderByExpr<E> {
    fn from(key: OrderBy<E>) -> Self {
        Self { node: Node::Column(key.column), descending: key.descending, marker: PhantomData }
    }
}

impl<E> Clone for OrderBy<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for OrderBy<E> {}

impl<E> Clone for OrderByExpr<E> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), descending: self.descending, marker: PhantomData }
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

impl<E> fmt::Debug for OrderByExpr<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderByExpr").field("node", &self.node).field("descending", &self.descending).finish()
    }
}
