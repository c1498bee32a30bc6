//! Rows as data: the form in which the engine, the stores and the wire exchange the content of one row.

use chrono::{DateTime, Utc};

use crate::entity::{ColumnRole, ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{ColumnValue, Value, ValueRef};

/// One row of a synced table, possibly partial.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The row's id.
    pub id: String,
    /// The server's version, if known.
    pub version: Option<String>,
    /// The server's change time, if known.
    pub updated_at: Option<DateTime<Utc>>,
    /// The server's soft delete mark.
    pub deleted: bool,
    /// Values in the order of [`TableSchema::columns`]; `None` = absent, which is not null.
    pub values: Vec<Option<Value>>,
    /// Members of a server row that are no columns here: the text of one JSON object.
    pub extra: Option<String>,
}

impl Row {
    /// A row with this id and every column absent.
    pub fn empty(table: &TableSchema, id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            version: None,
            updated_at: None,
            deleted: false,
            values: vec![None; table.columns.len()],
            extra: None,
        }
    }

    /// A whole row unknown to any server.
    pub fn new(id: impl Into<String>, values: Vec<Value>) -> Self {
        Self {
            id: id.into(),
            version: None,
            updated_at: None,
            deleted: false,
            values: values.into_iter().map(Some).collect(),
            extra: None,
        }
    }

    /// Reads the field behind column `index`; used by derived code.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] when the value is absent, null, or does not fit `T`.
    pub fn required<T: ColumnValue>(&self, table: &TableSchema, index: usize) -> Result<T> {
        match self.values.get(index) {
            Some(Some(value)) => T::from_value(value).ok_or_else(|| self.unreadable(table, index)),
            _ => Err(self.unreadable(table, index)),
        }
    }

    /// Reads the optional field behind column `index`; absent and null give `None`; used by derived code.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] when the value does not fit `T`.
    pub fn optional<T: ColumnValue>(&self, table: &TableSchema, index: usize) -> Result<Option<T>> {
        match self.values.get(index) {
            None | Some(None | Some(Value::Null)) => Ok(None),
            Some(Some(value)) => T::from_value(value).map(Some).ok_or_else(|| self.unreadable(table, index)),
        }
    }

    fn unreadable(&self, table: &TableSchema, index: usize) -> Error {
        let column = table.columns.get(index).map_or("?", |column| column.name);
        Error::new(
            ErrorKind::Corrupt,
            format!("the value of column {column} cannot be read as its field's type"),
        )
        .with_table(table.name)
        .with_item(&self.id)
    }
}

/// Something a predicate can be evaluated over.
pub trait RowView {
    /// The value of `column`; an absent value reads as null.
    fn value(&self, column: &'static ColumnSchema) -> ValueRef<'_>;
}

/// A [`Row`] with its table, as a [`RowView`].
#[derive(Clone, Copy, Debug)]
pub struct TableRow<'a> {
    /// The row's table.
    pub table: &'static TableSchema,
    /// The row.
    pub row: &'a Row,
}

impl RowView for TableRow<'_> {
    fn value(&self, column: &'static ColumnSchema) -> ValueRef<'_> {
        match column.role {
            ColumnRole::Id => ValueRef::Text(&self.row.id),
            ColumnRole::Version => self.row.version.as_deref().map_or(ValueRef::Null, ValueRef::Text),
            ColumnRole::UpdatedAt => self.row.updated_at.map_or(ValueRef::Null, ValueRef::DateTime),
            ColumnRole::Deleted => ValueRef::Bool(self.row.deleted),
            ColumnRole::User => self
                .table
                .column_index(column.name)
                .and_then(|index| self.row.values.get(index)?.as_ref())
                .map_or(ValueRef::Null, Value::as_ref),
        }
    }
}
