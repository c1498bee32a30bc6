//! From the tables the migrations make to those the entities ask for: a pure comparison.

use std::error::Error as StdError;
use std::fmt;

use sync_core::entity::{ColumnSchema, DELETED, ID, TableSchema, UPDATED_AT, VERSION};
use sync_core::error::{Error, ErrorKind};

use super::change::{Change, index_name};
use super::introspect::{Column, Description, Table};
use super::refusal::{Reason, Refusal};
use crate::schema::{TableEntry, fits, type_name};

/// What the entities ask for beyond the migrations. As the source of an [`Error`] it says what is wrong, one line per
/// place; [`Difference::of`] finds it there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    changes: Vec<Change>,
    refusals: Vec<Refusal>,
}

impl Difference {
    /// The difference behind an error of this module, if it is about one.
    pub fn of(error: &Error) -> Option<&Self> {
        error.source()?.downcast_ref()
    }

    /// Whether the migrations make just what the entities ask for.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.refusals.is_empty()
    }

    /// What a generated migration would do, in its order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What keeps a migration from being generated.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// An error with this as its source, which names the first table concerned.
    pub(crate) fn into_error(self, message: &str) -> Error {
        let refused = self.refusals.first().map(|refusal| refusal.table.clone());
        let table = refused.or_else(|| self.changes.first().map(|change| change.table().name.to_owned()));
        let error = Error::new(ErrorKind::SchemaMismatch, message);
        let error = match table {
            Some(table) => error.with_table(table),
            None => error,
        };
        error.with_source(self)
    }

    /// Compares. The order is that of the entities and their fields.
    pub(crate) fn between(found: &Description, entities: &[TableEntry]) -> Self {
        let mut difference = Self::default();
        for entry in entities {
            let table = entry.schema();
            match found.tables.iter().find(|found| found.name.eq_ignore_ascii_case(table.name)) {
                Some(found) => difference.compare(found, table),
                None => difference.create(table),
            }
        }
        let is_listed = |name: &str| entities.iter().any(|e| e.schema().name.eq_ignore_ascii_case(name));
        for table in found.tables.iter().filter(|table| table.is_synced() && !is_listed(&table.name)) {
            difference.refuse(&table.name, None, Reason::TableDropped);
        }
        difference
    }

    fn create(&mut self, table: &'static TableSchema) {
        self.changes.push(Change::CreateTable(table));
        for column in table.columns.iter().filter(|column| is_indexed(column)) {
            self.changes.push(Change::CreateIndex(table, column));
        }
    }

    fn compare(&mut self, found: &Table, table: &'static TableSchema) {
        if !found.is_synced() {
            return self.refuse(table.name, None, Reason::TableNotSynced);
        }
        for column in SYSTEM {
            if let Some(existing) = found.column(column.name) {
                self.compare_type(table, column, existing);
            }
        }
        let mut added: Vec<&'static ColumnSchema> =
            table.columns.iter().filter(|column| found.column(column.name).is_none()).collect();
        for gone in found.columns.iter().filter(|column| !is_declared(table, &column.name)) {
            let reason = match added.iter().position(|column| could_be(gone, column)) {
                Some(position) => Reason::ColumnRenamed { to: added.remove(position).name.to_owned() },
                None => Reason::ColumnDropped,
            };
            self.refuse(table.name, Some(&gone.name), reason);
        }
        for column in table.columns {
            if let Some(existing) = found.column(column.name) {
                self.compare_column(table, column, existing);
            }
        }
        for column in added {
            if column.nullable || column.default.is_some() {
                self.changes.push(Change::AddColumn(table, column));
            } else {
                self.refuse(table.name, Some(column.name), Reason::DefaultMissing);
            }
        }
        self.compare_indexes(found, table);
    }

    fn compare_column(&mut self, table: &TableSchema, column: &ColumnSchema, existing: &Column) {
        self.compare_type(table, column, existing);
        if existing.nullable != column.nullable {
            let reason = Reason::NullabilityChanged { nullable: column.nullable };
            self.refuse(table.name, Some(column.name), reason);
        }
        if let Some(default) = column.default
            && existing.default.as_deref() != Some(default)
        {
            let reason = Reason::DefaultChanged { from: existing.default.clone(), to: default };
            self.refuse(table.name, Some(column.name), reason);
        }
    }

    fn compare_type(&mut self, table: &TableSchema, column: &ColumnSchema, existing: &Column) {
        if !is_type(column, &existing.declared) {
            let reason = Reason::TypeChanged { from: existing.declared.clone(), to: type_name(column) };
            self.refuse(table.name, Some(column.name), reason);
        }
    }

    fn compare_indexes(&mut self, found: &Table, table: &'static TableSchema) {
        for column in table.columns {
            // Any index that starts with the column finds a parent's rows; a partial one may not.
            let is_present = found.indexes.iter().any(|index| {
                !index.is_partial && index.columns.first().is_some_and(|first| first == column.name)
            });
            let has_ours = found.indexes.iter().any(|index| {
                index.is_explicit
                    && !index.is_unique
                    && index.name == index_name(table, column)
                    && index.columns == [column.name]
            });
            if is_indexed(column) && !is_present {
                self.changes.push(Change::CreateIndex(table, column));
            } else if !is_indexed(column) && has_ours {
                self.changes.push(Change::DropIndex(table, column));
            }
        }
    }

    fn refuse(&mut self, table: &str, column: Option<&str>, reason: Reason) {
        let (table, column) = (table.to_owned(), column.map(str::to_owned));
        self.refusals.push(Refusal { table, column, reason });
    }
}

static SYSTEM: [&ColumnSchema; 4] = [&ID, &UPDATED_AT, &VERSION, &DELETED];

fn is_declared(table: &TableSchema, name: &str) -> bool {
    SYSTEM.into_iter().chain(table.columns).any(|column| column.name == name)
}

/// A child's parent is looked up whenever rows are joined, and a parent's children when it is held back;
/// other columns are indexed where the app says so.
fn is_indexed(column: &ColumnSchema) -> bool {
    column.belongs_to.is_some() || column.indexed
}

/// Whether a column that is gone could be the new one under another name.
fn could_be(gone: &Column, column: &ColumnSchema) -> bool {
    gone.name.eq_ignore_ascii_case(column.name)
        || (is_type(column, &gone.declared) && gone.nullable == column.nullable)
}

/// Whether the declared type is the column's. Where a migration written by hand uses a word of its own (VARCHAR,
/// TIMESTAMP), it need only hold the values.
fn is_type(column: &ColumnSchema, declared: &str) -> bool {
    const OURS: [&str; 7] = ["TEXT", "BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"];
    if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(declared)) {
        declared.eq_ignore_ascii_case(type_name(column))
    } else {
        fits(column, declared)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for refusal in &self.refusals {
            write!(f, "{separator}{refusal}")?;
            separator = "\n";
        }
        for change in &self.changes {
            write!(f, "{separator}{change}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl StdError for Difference {}
