//! Typed expressions as Diesel expressions on SQLite (feature `diesel`).
//!
//! [`Expr`], [`Column`], [`OrderBy`] and [`OrderByExpr`] of an entity can stand wherever Diesel wants an expression over the
//! entity's table, mixed with Diesel's own columns: in `filter`, `or_filter`, `order_by`, `select`, joins, boxed
//! queries, `update` and `delete`. An expression of another entity does not compile there.
//!
//! The SQL has the meaning of [`crate::predicate`], not SQL's own: each condition is true or false and never
//! NULL, also where a left join puts NULL into a column that has none, and also inside `diesel::dsl::not`.
//! Equality is `IS` and `IS NOT`; orderings test for NULL first; `starts_with` is a range. All three use an
//! index where there is one. `LIKE` is never used. Values are bound, never written into the text.
//!
//! Text columns must have SQLite's default collation BINARY, and dates the stored form of
//! [`crate::time::write_sql`], as the generated migrations make them.
//!
//! The orphan rule puts this file here: `Expr` and Diesel's traits meet in the crate that owns one of them.

use chrono::{DateTime, Utc};
use diesel::expression::expression_types::NotSelectable;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{
    BigInt, Bool, Double, Float, Integer, Nullable, SingleValue, SmallInt, Text, TimestamptzSqlite,
};
use diesel::sqlite::Sqlite;
use uuid::Uuid;

use crate::entity::{SyncEntity, TableSchema};
use crate::expression::{Column, Expr, OrderBy, OrderByExpr};
use crate::predicate::{Kind, Node, Predicate};
use crate::value::ColumnValue;

pub mod function;

mod bind;
mod walk;

/// The SQL types of the system columns `(id, version, updated_at, deleted)`.
pub type SystemSqlType = (Text, Nullable<Text>, Nullable<TimestamptzSqlite>, Bool);

/// A synced entity with its Diesel table; implemented by `#[derive(SyncEntity)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a synced entity",
    note = "add `#[derive(SyncEntity)]` to the struct"
)]
pub trait DieselEntity: SyncEntity {
    /// The Diesel table (`todo::table`).
    type Table: diesel::Table + Copy + Send + 'static;
    /// The primary key column (`todo::id`).
    type Id: Expression<SqlType = Text> + Default + Copy + Send + 'static;
    /// The system columns `(id, version, updated_at, deleted)` of the table.
    type System: Expression<SqlType = SystemSqlType> + Default + Copy + Send + 'static;

    /// The Diesel table, as a value.
    fn table() -> Self::Table;
}

/// The SQL type of expressions over a column's Rust type.
///
/// Boolean expressions are conditions, which are never NULL: `Bool`. All others may be: a [`Column`] does not
/// know whether its field is an `Option`.
pub trait ExpressionValue: ColumnValue {
    /// The SQL type.
    type SqlType: SingleValue;
}

macro_rules! expression_values {
    ($($rust:ty => $sql:ty),* $(,)?) => {$(
        impl ExpressionValue for $rust {
            type SqlType = $sql;
        }
    )*};
}

expression_values! {
    bool => Bool,
    String => Nullable<Text>,
    i8 => Nullable<SmallInt>,
    i16 => Nullable<SmallInt>,
    i32 => Nullable<Integer>,
    i64 => Nullable<BigInt>,
    u8 => Nullable<SmallInt>,
    u16 => Nullable<Integer>,
    u32 => Nullable<BigInt>,
    f32 => Nullable<Float>,
    f64 => Nullable<Double>,
    DateTime<Utc> => Nullable<TimestamptzSqlite>,
    Uuid => Nullable<Text>,
}

impl<E, T: ExpressionValue, S> Expression for Expr<E, T, S> {
    type SqlType = T::SqlType;
}

impl<E, T: ExpressionValue, S> Expression for Column<E, T, S> {
    type SqlType = T::SqlType;
}

impl<E> Expression for OrderBy<E> {
    type SqlType = NotSelectable;
}

impl<E> Expression for OrderByExpr<E> {
    type SqlType = NotSelectable;
}

impl<E: SyncEntity, T: ExpressionValue, S> QueryFragment<Sqlite> for Expr<E, T, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if Kind::of(T::TYPE) == Kind::Bool {
            walk::condition(E::SCHEMA, self.node(), &mut out)
        } else {
            walk::value(E::SCHEMA, self.node(), &mut out)
        }
    }
}

impl<E: SyncEntity, T: ExpressionValue, S> QueryFragment<Sqlite> for Column<E, T, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if Kind::of(T::TYPE) == Kind::Bool {
            walk::flag(E::SCHEMA, self.schema(), &mut out)
        } else {
            walk::column(E::SCHEMA, self.schema(), &mut out)
        }
    }
}

impl<E: SyncEntity> QueryFragment<Sqlite> for OrderBy<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let (column, descending) = self.parts();
        walk::column(E::SCHEMA, column, &mut out)?;
        out.push_sql(if descending { " DESC" } else { " ASC" });
        Ok(())
    }
}

impl<E: SyncEntity> QueryFragment<Sqlite> for OrderByExpr<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let (node, descending) = self.parts();
        walk::value(E::SCHEMA, node, &mut out)?;
        out.push_sql(if descending { " DESC" } else { " ASC" });
        Ok(())
    }
}

/// A condition over a table that is known only at run time, as a fragment of SQL: for statements built by hand,
/// such as `DELETE FROM .. WHERE ..`.
///
/// Columns are qualified by the table's name, which must therefore stand in the statement without an alias. It
/// is accepted by every Diesel query; that the table appears there is for the caller to see to.
#[derive(Clone, Copy, Debug)]
pub struct TableFilter<'a> {
    /// The table.
    pub table: &'static TableSchema,
    /// The condition.
    pub node: &'a Node,
}

impl<'a> TableFilter<'a> {
    /// Writes the condition into a statement that is built by hand and owns the tree.
    ///
    /// # Errors
    ///
    /// Those of Diesel's query builder.
    pub fn walk_into(self, out: &mut AstPass<'_, 'a, Sqlite>) -> QueryResult<()> {
        walk::condition(self.table, self.node, out)
    }
}

impl<'a> TableFilter<'a> {
    /// Writes the tree as a value, into a statement that is built by hand and owns it: a condition is 1 or 0, a column
    /// is what it holds, null included.
    ///
    /// # Errors
    ///
    /// Those of Diesel's query builder.
    pub fn walk_value_into(self, out: &mut AstPass<'_, 'a, Sqlite>) -> QueryResult<()> {
        walk::value(self.table, self.node, out)
    }
}

impl<'a> From<&'a Predicate> for TableFilter<'a> {
    fn from(predicate: &'a Predicate) -> Self {
        Self { table: predicate.table, node: &predicate.node }
    }
}

impl Expression for TableFilter<'_> {
    type SqlType = Bool;
}

impl QueryFragment<Sqlite> for TableFilter<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        walk::condition(self.table, self.node, &mut out)
    }
}

impl<QS> AppearsOnTable<QS> for TableFilter<'_> {}

impl ValidGrouping<()> for TableFilter<'_> {
    type IsAggregate = is_aggregate::No;
}

/// The text depends on the tree, so there is no static id; Diesel then finds the prepared statement by its text.
impl QueryId for TableFilter<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

macro_rules! expression_of_entity {
    ($([$($generics:tt)*] $ty:ty;)*) => {$(
        impl<QS, $($generics)*> AppearsOnTable<QS> for $ty
        where
            E: DieselEntity,
            E::Id: AppearsOnTable<QS>,
            Self: Expression,
        {
        }

        impl<QS, $($generics)*> SelectableExpression<QS> for $ty
        where
            E: DieselEntity,
            E::Id: SelectableExpression<QS>,
            Self: AppearsOnTable<QS>,
        {
        }

        impl<$($generics)*> ValidGrouping<()> for $ty {
            type IsAggregate = is_aggregate::No;
        }

        impl<$($generics)*> QueryId for $ty {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
    )*};
}

expression_of_entity! {
    [E, T, S] Expr<E, T, S>;
    [E, T, S] Column<E, T, S>;
    [E] OrderBy<E>;
    [E] OrderByExpr<E>;
}

#[cfg(test)]
mod tests;
