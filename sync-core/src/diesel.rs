//! Typed expressions as Diesel expressions on SQLite (feature `diesel`).
//!
//! The orphan rule puts this file here: `Expr` and Diesel's traits meet in the crate that owns one of them.

use diesel::expression::Expression;
use diesel::sql_types::{Bool, Nullable, Text, TimestamptzSqlite};

use crate::entity::SyncEntity;

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
