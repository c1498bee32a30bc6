//! One thing a migration does, as SQL in both directions.

use std::fmt;

use sync_core::entity::{ColumnSchema, TableSchema};

use crate::schema::{column_sql, create_table_sql};
use crate::statement::quote;

/// What a generated migration does. Nothing of it touches a row that exists.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Makes the table of an entity, with its system columns.
    CreateTable(&'static TableSchema),
    /// Adds a column; existing rows get its default, or null.
    AddColumn(&'static TableSchema, &'static ColumnSchema),
    /// Makes the index of a column with `belongs_to` or `index`.
    CreateIndex(&'static TableSchema, &'static ColumnSchema),
    /// Removes the index of a column that has neither any more.
    DropIndex(&'static TableSchema, &'static ColumnSchema),
}

impl Change {
    /// The table.
    pub fn table(&self) -> &'static TableSchema {
        match self {
            Self::CreateTable(table)
            | Self::AddColumn(table, _)
            | Self::CreateIndex(table, _)
            | Self::DropIndex(table, _) => table,
        }
    }

    /// The column, unless the whole table is new.
    pub fn column(&self) -> Option<&'static ColumnSchema> {
        match self {
            Self::CreateTable(_) => None,
            Self::AddColumn(_, column) | Self::CreateIndex(_, column) | Self::DropIndex(_, column) => {
                Some(column)
            }
        }
    }

    pub(crate) fn up(&self) -> String {
        match self {
            Self::CreateTable(table) => format!("{};\n", create_table_sql(table)),
            Self::AddColumn(table, column) => {
                format!("ALTER TABLE {} ADD COLUMN {};\n", quote(table.name), column_sql(column))
            }
            Self::CreateIndex(table, column) => create_index(table, column),
            Self::DropIndex(table, column) => drop_index(table, column),
        }
    }

    pub(crate) fn down(&self) -> String {
        match self {
            Self::CreateTable(table) => format!("DROP TABLE {};\n", quote(table.name)),
            Self::AddColumn(table, column) => {
                format!("ALTER TABLE {} DROP COLUMN {};\n", quote(table.name), quote(column.name))
            }
            Self::CreateIndex(table, column) => drop_index(table, column),
            Self::DropIndex(table, column) => create_index(table, column),
        }
    }
}

/// Name of the index of a column.
pub(crate) fn index_name(table: &TableSchema, column: &ColumnSchema) -> String {
    format!("index_{}_{}", table.name, column.name)
}

fn create_index(table: &TableSchema, column: &ColumnSchema) -> String {
    let name = quote(&index_name(table, column));
    format!("CREATE INDEX {name} ON {} ({});\n", quote(table.name), quote(column.name))
}

fn drop_index(table: &TableSchema, column: &ColumnSchema) -> String {
    format!("DROP INDEX {};\n", quote(&index_name(table, column)))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table().name)?;
        match self {
            Self::CreateTable(_) => f.write_str(" is new"),
            Self::AddColumn(_, column) => write!(f, ": column {} is new", column.name),
            Self::CreateIndex(_, column) => write!(f, ": column {} has no index", column.name),
            Self::DropIndex(_, column) => write!(f, ": column {} no longer needs its index", column.name),
        }
    }
}
