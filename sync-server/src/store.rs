//! Rows on SQLite: what the server keeps and in which order it changes. Knows no dialect and no JSON.
//!
//! # Layout
//!
//! One table per entity: `id`, `__createdAt`, `__updatedAt`, `__version`, `__deleted` and the entity's columns.
//! Instants are integers of 100 ns since 1970; booleans are 0 and 1; the version is the text clients see.
//! `__server_clock` holds the greatest version and change time given out.
//!
//! # Order
//!
//! Every change takes its version and time from `__server_clock` inside the transaction that writes it: times
//! rise strictly in the order in which readers can see the changes.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use diesel::connection::DefaultLoadingMode;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use diesel::{ConnectionError, RunQueryDsl};
use sync_core::predicate::Node;

pub(crate) use self::change::{Change, Written, field_position};
use self::connection::{Readers, Writer, open_writer};
use self::filter::Unsupported;
pub(crate) use self::precondition::Precondition;
pub(crate) use self::row::{Cell, StoredRow, from_ticks, to_ticks};
use self::schema::field_name;
use self::statement::{Bind, Statement};
use crate::error::ServerError;
use crate::table::{Field, Table};

mod change;
mod connection;
mod filter;
mod precondition;
mod row;
mod schema;
mod statement;

/// The open database.
pub(crate) struct Store {
    writer: Writer,
    readers: Readers,
    clock: Clock,
}

/// Gives the milliseconds since 1970.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("readers", &self.readers).finish_non_exhaustive()
    }
}

/// What a list asks for.
#[derive(Debug)]
pub(crate) struct ListQuery {
    /// Properties of each row, in this order.
    pub(crate) fields: Vec<Field>,
    pub(crate) filter: Option<Node>,
    /// The rows that are there for the caller.
    pub(crate) view: Option<Node>,
    /// Keys with "greatest first"; ends with the id, so that every order is total.
    pub(crate) order: Vec<(Node, bool)>,
    pub(crate) include_deleted: bool,
    pub(crate) skip: u64,
    /// Most rows of the page.
    pub(crate) limit: usize,
    /// Whether to count the rows of all pages.
    pub(crate) count: bool,
}

/// What a list found besides its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) rows: usize,
    /// Whether rows follow behind the page.
    pub(crate) more: bool,
    pub(crate) total: Option<i64>,
}

/// Why the store did not do it. Nothing was changed.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The condition cannot be run: the client's fault.
    Filter(Unsupported),
    /// A key of the order cannot be run: the client's fault.
    Order(Unsupported),
    /// The condition of a view cannot be run: the app's fault.
    View(Unsupported),
    /// The change would take the row out of its caller's view.
    OutOfView,
    /// The condition or order makes a text that is too long.
    TooLong,
    Database(DieselError),
    Connection(ConnectionError),
    /// The change was made, but the disk did not take the commit.
    NotCommitted,
    /// The thread that should have done it has ended.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(unsupported) | Self::Order(unsupported) => f.write_str(&unsupported.0),
            Self::View(unsupported) => write!(f, "the view cannot be run: {}", unsupported.0),
            Self::OutOfView => f.write_str("the row would leave the caller's view"),
            Self::TooLong => f.write_str("a text that the filter makes is too long"),
            Self::Database(_) => f.write_str("the database failed"),
            Self::Connection(_) => f.write_str("the database cannot be opened"),
            Self::NotCommitted => f.write_str("the database did not commit"),
            Self::Closed => f.write_str("the store is closed"),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Filter(_)
            | Self::Order(_)
            | Self::View(_)
            | Self::OutOfView
            | Self::TooLong
            | Self::NotCommitted
            | Self::Closed => None,
            Self::Database(error) => Some(error),
            Self::Connection(error) => Some(error),
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(_, information) if information.message() == filter::TOO_LONG => {
                Self::TooLong
            }
            error => Self::Database(error),
        }
    }
}

impl Store {
    /// Opens or creates the file and the tables in it. Blocks.
    pub(crate) fn open(
        path: &Path,
        tables: &[&Table],
        readers: usize,
        clock: Clock,
    ) -> Result<Self, ServerError> {
        let mut connection = open_writer(path)
            .map_err(|error| ServerError::database("the server's database cannot be opened", error))?;
        schema::prepare(&mut connection, tables)?;
        let writer = Writer::start(path, connection)
            .map_err(|error| ServerError::database("the writer thread cannot be started", error))?;
        Ok(Self { writer, readers: Readers::new(path, readers), clock })
    }

    /// Hands each row of a page to `each`, which collects into `page`. Page and total are of one snapshot.
    pub(crate) async fn list<P: Send + 'static>(
        &self,
        table: Arc<Table>,
        query: ListQuery,
        mut page: P,
        each: impl Fn(&mut P, &StoredRow) + Send + 'static,
    ) -> Result<(P, Listed), StoreError> {
        self.readers
            .snapshot(move |connection| {
                let mut listed = Listed { rows: 0, more: false, total: None };
                let select = page_statement(&table, &query)?;
                for row in select.load_iter::<StoredRow, DefaultLoadingMode>(connection)? {
                    let row = row?;
                    // One row more than asked for tells whether there is a further page.
                    if listed.rows == query.limit {
                        listed.more = true;
                    } else {
                        each(&mut page, &row);
                        listed.rows += 1;
                    }
                }
                if query.count {
                    listed.total = Some(count(connection, &table, &query)?);
                }
                Ok((page, listed))
            })
            .await
    }

    /// One row of a view with every property in the order of [`Table::fields`], deleted or not.
    pub(crate) async fn read(
        &self,
        table: Arc<Table>,
        id: String,
        view: Option<Node>,
    ) -> Result<Option<StoredRow>, StoreError> {
        self.readers.snapshot(move |connection| change::find(connection, &table, &id, view.as_ref())).await
    }

    /// Changes one row of a view, all or nothing, durable on return. A row that leaves the view by it is
    /// [`StoreError::OutOfView`].
    pub(crate) async fn change(
        &self,
        table: Arc<Table>,
        change: Change,
        view: Option<Node>,
    ) -> Result<Written, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.writer
            .transaction(move |connection| {
                change::apply(connection, &table, change, view.as_ref(), || clock())
            })
            .await
    }
}

fn page_statement(table: &Table, query: &ListQuery) -> Result<Statement, StoreError> {
    let mut statement = Statement::new("SELECT ");
    for (index, field) in query.fields.iter().enumerate() {
        if index > 0 {
            statement.sql(", ");
        }
        statement.name(field_name(table, *field));
    }
    from_where(&mut statement, table, query)?;
    for (index, (key, descending)) in query.order.iter().enumerate() {
        statement.sql(if index == 0 { " ORDER BY " } else { ", " });
        filter::value(&mut statement, table, key).map_err(StoreError::Order)?;
        if *descending {
            statement.sql(" DESC");
        }
    }
    statement.sql(" LIMIT ");
    statement.bind(Bind::Integer(i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1)));
    statement.sql(" OFFSET ");
    statement.bind(Bind::Integer(i64::try_from(query.skip).unwrap_or(i64::MAX)));
    Ok(statement)
}

fn from_where(statement: &mut Statement, table: &Table, query: &ListQuery) -> Result<(), StoreError> {
    statement.one_off();
    statement.sql(" FROM ");
    statement.name(table.schema.name);
    statement.sql(if query.include_deleted { " WHERE 1" } else { " WHERE \"__deleted\" = 0" });
    for (condition, fault) in [
        (&query.view, StoreError::View as fn(Unsupported) -> StoreError),
        (&query.filter, StoreError::Filter),
    ] {
        if let Some(condition) = condition {
            statement.sql(" AND ");
            filter::condition(statement, table, condition).map_err(fault)?;
        }
    }
    Ok(())
}

fn count(connection: &mut SqliteConnection, table: &Table, query: &ListQuery) -> Result<i64, StoreError> {
    let mut statement = Statement::new("SELECT count(*)");
    from_where(&mut statement, table, query)?;
    let row: StoredRow = statement.get_result(connection)?;
    match row.cell(0) {
        Cell::Integer(total) => Ok(total),
        _ => Err(StoreError::Database(DieselError::NotFound)),
    }
}

#[cfg(test)]
mod tests;
