//! The table behind an entity, as SQL.

use std::fmt::Write;

use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::value::{ColumnType, IntegerWidth};

use crate::statement::quote;

/// A new id (uuid version 7) as an SQL expression: milliseconds since 1970, then random bits.
const NEW_ID: &str = "lower(printf('%08x-%04x-7%s-%s%s-%s', \
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16, \
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, \
    substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1), \
    substr(hex(randomblob(2)), 2), hex(randomblob(6))))";

/// The statement that creates an entity's table: the system columns, with an id that is generated when an
/// insert names none, then the app's columns in order.
///
/// Types are those Diesel's tools read: TEXT, BOOLEAN, SMALLINT, INTEGER, BIGINT, FLOAT, DOUBLE; an instant is
/// TEXT in UTC.
pub fn create_table_sql(table: &TableSchema) -> String {
    let mut sql = format!(
        "CREATE TABLE {} (\n    \"id\" TEXT PRIMARY KEY NOT NULL DEFAULT ({NEW_ID}),\n    \
         \"__updatedAt\" TEXT,\n    \"__version\" TEXT,\n    \"__deleted\" BOOLEAN NOT NULL DEFAULT 0",
        quote(table.name)
    );
    for column in table.columns {
        let _ = write!(sql, ",\n    {}", column_sql(column));
    }
    sql.push_str("\n)");
    sql
}

/// The definition of one of the app's columns, as in `CREATE TABLE` and `ADD COLUMN`.
pub(crate) fn column_sql(column: &ColumnSchema) -> String {
    let mut sql = format!("{} {}", quote(column.name), type_name(column));
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if let Some(default) = column.default {
        let _ = write!(sql, " DEFAULT {default}");
    }
    sql
}

/// The declared SQL type of a column.
pub(crate) fn type_name(column: &ColumnSchema) -> &'static str {
    match column.ty {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Integer(IntegerWidth::I8 | IntegerWidth::I16 | IntegerWidth::U8) => "SMALLINT",
        ColumnType::Integer(IntegerWidth::I32 | IntegerWidth::U16) => "INTEGER",
        ColumnType::Integer(IntegerWidth::I64 | IntegerWidth::U32) => "BIGINT",
        ColumnType::Float => "FLOAT",
        ColumnType::Double => "DOUBLE",
        _ => "TEXT",
    }
}
