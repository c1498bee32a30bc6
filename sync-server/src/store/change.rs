//! Changes of single rows, each run inside the writer's transaction.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, QueryResult, RunQueryDsl};
use sync_core::predicate::Node;
use sync_core::value::Value;

use super::StoreError;
use super::filter;
use super::precondition::Precondition;
use super::row::{Cell, StoredRow};
use super::schema::field_name;
use super::statement::{Bind, Statement};
use crate::table::{Field, Table};

/// A change of one row.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new row; absent values become the column's default.
    Insert { id: String, values: Vec<Option<Value>>, deleted: bool },
    /// New values for the columns that have one, and for the deletion mark; without any, nothing changes and
    /// the row keeps its version. A deleted row is changed only if `revive` says so.
    Update {
        id: String,
        expected: Vec<Precondition>,
        values: Vec<Option<Value>>,
        deleted: Option<bool>,
        revive: bool,
    },
    /// The deletion mark, or the end of the row where the table does not keep deleted rows.
    Delete { id: String, expected: Vec<Precondition> },
    /// The deletion mark taken back. A live row gets a new version all the same.
    Undelete { id: String, expected: Vec<Precondition> },
}

impl Change {
    /// Puts a value into a column of what the change writes: always into a new row, into an existing one where the
    /// column is changed.
    pub(crate) fn stamp(&mut self, place: usize, value: &Value) {
        match self {
            Self::Insert { values, .. } => {
                if let Some(slot) = values.get_mut(place) {
                    *slot = Some(value.clone());
                }
            }
            Self::Update { values, .. } => {
                if let Some(Some(slot)) = values.get_mut(place) {
                    *slot = value.clone();
                }
            }
            Self::Delete { .. } | Self::Undelete { .. } => {}
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Insert { id, .. }
            | Self::Update { id, .. }
            | Self::Delete { id, .. }
            | Self::Undelete { id, .. } => id,
        }
    }
}

/// What a change met. Rows have every property in the order of [`Table::fields`].
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// Done: the row as it is now, or as it was last if it is gone.
    Done(StoredRow),
    /// Insert: the id is taken by this row, live or deleted.
    Exists(StoredRow),
    /// Insert: the id is taken by a row outside the view.
    Hidden,
    /// No such row.
    Missing,
    /// Update or delete of a row with the deletion mark.
    Deleted(StoredRow),
    /// One of the preconditions does not hold for the row.
    Stale(StoredRow),
}

/// Place of a system property in [`Table::fields`].
pub(crate) fn field_position(field: Field) -> usize {
    match field {
        Field::Id => 0,
        Field::CreatedAt => 1,
        Field::UpdatedAt => 2,
        Field::Version => 3,
        Field::Deleted => 4,
        Field::Column(index) => 5 + index,
    }
}

/// Runs a change of a row in the view; `now` gives milliseconds since 1970 and is asked only when something changes.
///
/// # Errors
///
/// [`StoreError::OutOfView`] when the row is no longer in the view: the transaction must be rolled back then.
pub(super) fn apply(
    connection: &mut SqliteConnection,
    table: &Table,
    change: Change,
    view: Option<&Node>,
    now: impl FnOnce() -> i64,
) -> Result<Written, StoreError> {
    let Some(view) = view else { return run(connection, table, change, None, now) };
    let id = change.id().to_owned();
    let is_gone = matches!(change, Change::Delete { .. }) && !table.soft_delete;
    let written = run(connection, table, change, Some(view), now)?;
    let is_done = matches!(written, Written::Done(_));
    if is_done && !is_gone && find(connection, table, &id, Some(view))?.is_none() {
        return Err(StoreError::OutOfView);
    }
    Ok(written)
}

fn run(
    connection: &mut SqliteConnection,
    table: &Table,
    change: Change,
    view: Option<&Node>,
    now: impl FnOnce() -> i64,
) -> Result<Written, StoreError> {
    let written = match change {
        Change::Insert { id, values, deleted } => {
            if find(connection, table, &id, None)?.is_some() {
                let seen = find(connection, table, &id, view)?;
                return Ok(seen.map_or(Written::Hidden, Written::Exists));
            }
            let stamp = stamp(connection, now())?;
            insert(connection, table, id, &values, deleted, &stamp)
        }
        Change::Update { id, expected, values, deleted, revive } => {
            let live = if revive { Live::Any } else { Live::Required };
            let row = match check(connection, table, &id, view, &expected, live)? {
                Ok(row) => row,
                Err(refused) => return Ok(refused),
            };
            if values.iter().all(Option::is_none) && deleted.is_none() {
                return Ok(Written::Done(row));
            }
            let stamp = stamp(connection, now())?;
            update(connection, table, &id, &stamp, deleted, &values)
        }
        Change::Delete { id, expected } => {
            if let Err(refused) = check(connection, table, &id, view, &expected, Live::Required)? {
                return Ok(refused);
            }
            if table.soft_delete {
                let stamp = stamp(connection, now())?;
                update(connection, table, &id, &stamp, Some(true), &[])
            } else {
                delete(connection, table, &id)
            }
        }
        Change::Undelete { id, expected } => {
            if let Err(refused) = check(connection, table, &id, view, &expected, Live::Any)? {
                return Ok(refused);
            }
            let stamp = stamp(connection, now())?;
            update(connection, table, &id, &stamp, Some(false), &[])
        }
    };
    Ok(Written::Done(written?))
}

/// The row with this id if it is in the view, deleted or not.
pub(super) fn find(
    connection: &mut SqliteConnection,
    table: &Table,
    id: &str,
    view: Option<&Node>,
) -> Result<Option<StoredRow>, StoreError> {
    let mut statement = Statement::new("SELECT ");
    all_fields(&mut statement, table);
    statement.sql(" FROM ");
    statement.name(table.schema.name);
    where_id(&mut statement, id);
    if let Some(view) = view {
        // The app may write as many texts as it likes.
        statement.one_off();
        statement.sql(" AND ");
        filter::condition(&mut statement, table, view).map_err(StoreError::View)?;
    }
    Ok(statement.get_result(connection).optional()?)
}

#[derive(PartialEq)]
enum Live {
    Required,
    Any,
}

fn check(
    connection: &mut SqliteConnection,
    table: &Table,
    id: &str,
    view: Option<&Node>,
    expected: &[Precondition],
    live: Live,
) -> Result<Result<StoredRow, Written>, StoreError> {
    let Some(row) = find(connection, table, id, view)? else {
        return Ok(Err(Written::Missing));
    };
    if live == Live::Required && row.cell(field_position(Field::Deleted)) == Cell::Integer(1) {
        return Ok(Err(Written::Deleted(row)));
    }
    if !expected.iter().all(|expected| expected.holds(&row)) {
        return Ok(Err(Written::Stale(row)));
    }
    Ok(Ok(row))
}

/// Version and change time of one change.
struct Stamp {
    version: String,
    ticks: i64,
}

const TICKS_PER_MILLISECOND: i64 = 10_000;

/// The next version and time: the clock's, or one millisecond after the last given out, whichever is later.
fn stamp(connection: &mut SqliteConnection, now: i64) -> QueryResult<Stamp> {
    let mut statement = Statement::new(
        "UPDATE \"__server_clock\" SET \"version\" = \"version\" + 1, \"millis\" = max(\"millis\" + 1, ",
    );
    statement.bind(Bind::Integer(now));
    statement.sql(") RETURNING \"version\", \"millis\"");
    let row: StoredRow = statement.get_result(connection)?;
    match (row.cell(0), row.cell(1)) {
        (Cell::Integer(version), Cell::Integer(millis)) => Ok(Stamp {
            version: STANDARD.encode(version.to_be_bytes()),
            ticks: millis.saturating_mul(TICKS_PER_MILLISECOND),
        }),
        _ => Err(diesel::result::Error::DeserializationError("the server's clock row is damaged".into())),
    }
}

fn insert(
    connection: &mut SqliteConnection,
    table: &Table,
    id: String,
    values: &[Option<Value>],
    deleted: bool,
    stamp: &Stamp,
) -> QueryResult<StoredRow> {
    let mut statement = Statement::new("INSERT INTO ");
    statement.name(table.schema.name);
    statement.sql(" (");
    all_fields(&mut statement, table);
    statement.sql(") VALUES (");
    statement.bind(Bind::Text(id));
    statement.sql(", ");
    statement.bind(Bind::Integer(stamp.ticks));
    statement.sql(", ");
    statement.bind(Bind::Integer(stamp.ticks));
    statement.sql(", ");
    statement.bind(Bind::Text(stamp.version.clone()));
    statement.sql(if deleted { ", 1" } else { ", 0" });
    for (index, default) in table.defaults.iter().enumerate() {
        statement.sql(", ");
        let value = values.get(index).and_then(Option::as_ref).unwrap_or(default);
        statement.bind(Bind::from(value));
    }
    statement.sql(") RETURNING ");
    all_fields(&mut statement, table);
    statement.get_result(connection)
}

fn update(
    connection: &mut SqliteConnection,
    table: &Table,
    id: &str,
    stamp: &Stamp,
    deleted: Option<bool>,
    values: &[Option<Value>],
) -> QueryResult<StoredRow> {
    let mut statement = Statement::new("UPDATE ");
    statement.name(table.schema.name);
    statement.sql(" SET \"__updatedAt\" = ");
    statement.bind(Bind::Integer(stamp.ticks));
    statement.sql(", \"__version\" = ");
    statement.bind(Bind::Text(stamp.version.clone()));
    if let Some(deleted) = deleted {
        statement.sql(if deleted { ", \"__deleted\" = 1" } else { ", \"__deleted\" = 0" });
    }
    for (index, value) in values.iter().enumerate() {
        if let Some(value) = value {
            // There are as many texts as subsets of columns.
            statement.one_off();
            statement.sql(", ");
            statement.name(field_name(table, Field::Column(index)));
            statement.sql(" = ");
            statement.bind(Bind::from(value));
        }
    }
    where_id(&mut statement, id);
    statement.sql(" RETURNING ");
    all_fields(&mut statement, table);
    statement.get_result(connection)
}

fn delete(connection: &mut SqliteConnection, table: &Table, id: &str) -> QueryResult<StoredRow> {
    let mut statement = Statement::new("DELETE FROM ");
    statement.name(table.schema.name);
    where_id(&mut statement, id);
    statement.sql(" RETURNING ");
    // What is answered is the end of the row.
    for (index, field) in table.fields().into_iter().enumerate() {
        if index > 0 {
            statement.sql(", ");
        }
        if field == Field::Deleted {
            statement.sql("1");
        } else {
            statement.name(field_name(table, field));
        }
    }
    statement.get_result(connection)
}

fn all_fields(statement: &mut Statement, table: &Table) {
    for (index, field) in table.fields().into_iter().enumerate() {
        if index > 0 {
            statement.sql(", ");
        }
        statement.name(field_name(table, field));
    }
}

fn where_id(statement: &mut Statement, id: &str) {
    statement.sql(" WHERE \"id\" = ");
    statement.bind(Bind::Text(id.to_owned()));
}
