//! [`RemoteTable`]: typed calls on one entity's table on the server, beside the local one.

use std::fmt;
use std::marker::PhantomData;

use sync_core::entity::SyncEntity;
use sync_core::expression::{IntoExpr, OrderBy, Sendable};
use sync_core::predicate::Predicate;
use sync_core::remote::{self, Remote};
use sync_core::row::Row;
use sync_core::{Error, ErrorKind, Result};

use crate::record::Record;

/// The server's table of entity `E`: calls that go to the server at once and leave the local table, the queue and
/// the tokens as they are. A row changed here reaches the local table by the next pull.
///
/// The calls use the entity and predicates of the local table, and the context's handlers and credentials. They need
/// the network and are not repeated by themselves: after [`ErrorKind::Network`] a write may have been done.
///
/// ```no_run
/// # use sync_diesel::prelude::*;
/// # #[derive(SyncEntity, Clone)]
/// # pub struct Todo { pub text: String, pub complete: bool }
/// # sync_schema!(pub AppSchema: Todo);
/// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
/// let todos = sync.remote::<Todo>();
/// let milk = todos.insert(Todo { text: "Pick up milk".into(), complete: false }).await?;
/// for mut todo in todos.query(Todo::text.contains("milk")).order_by(Todo::text.asc()).top(20).load().await? {
///     todo.complete = true;
///     match todos.update(&todo).await {
///         Err(error) if error.is_conflict() => drop(todos.server_row(&error)?),
///         outcome => drop(outcome?),
///     }
/// }
/// todos.delete(milk.id(), None).await?;
/// # Ok(())
/// # }
/// ```
pub struct RemoteTable<E> {
    remote: Remote,
    entity: PhantomData<fn() -> E>,
}

impl<E: SyncEntity> RemoteTable<E> {
    pub(crate) fn new(remote: Remote) -> Self {
        Self { remote, entity: PhantomData }
    }

    /// The rows that match. What the server is not trusted to filter (see
    /// [`ServerProfile`](sync_core::profile::ServerProfile)) is filtered here after fetching.
    pub fn query(&self, filter: impl IntoExpr<E, bool, Scope: Sendable>) -> RemoteQuery<E> {
        let predicate = Predicate { table: E::SCHEMA, node: filter.into_expr().into_node() };
        let query = remote::RemoteQuery::new(predicate);
        RemoteQuery { remote: self.remote.clone(), query, entity: PhantomData }
    }

    /// Reads one row; `None` if the server has none, or it is marked deleted.
    ///
    /// # Errors
    ///
    /// As [`RemoteQuery::load`].
    pub async fn get(&self, id: &str) -> Result<Option<Record<E>>> {
        self.remote.get(E::SCHEMA, id).await?.as_ref().map(record).transpose()
    }

    /// Inserts a row; returns it as the server has it. The id is the one the entity declares, else a new UUID
    /// (version 7).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the server has another row with this id, also a deleted one;
    /// [`ErrorKind::InvalidId`], [`ErrorKind::UnknownTable`], [`ErrorKind::Refused`], [`ErrorKind::Network`],
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`], [`ErrorKind::InvalidResponse`].
    pub async fn insert(&self, entity: E) -> Result<Record<E>> {
        let id = entity.declared_id().map_or_else(new_id, str::to_owned);
        self.insert_with_id(id, entity).await
    }

    /// Inserts a row under this id.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub async fn insert_with_id(&self, id: impl Into<String>, entity: E) -> Result<Record<E>> {
        let row = Row::new(id, entity.to_values());
        record(&self.remote.insert(E::SCHEMA, row).await?)
    }

    /// Writes a whole record over the server's row, on the condition that the row still has the record's version;
    /// a record without a version overwrites whatever is there. Returns the row as the server has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the row has changed or is deleted: [`server_row`](Self::server_row) reads what
    /// the server holds. [`ErrorKind::NotFound`] when it is not there; else as [`insert`](Self::insert).
    pub async fn update(&self, changed: &Record<E>) -> Result<Record<E>> {
        let mut row = Row::new(changed.id(), changed.to_values());
        row.version = changed.version().map(str::to_owned);
        record(&self.remote.update(E::SCHEMA, row).await?)
    }

    /// Deletes a row, on the condition that it still has this version if one is given. A row that is not there
    /// counts as deleted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the row has changed; else as [`insert`](Self::insert).
    pub async fn delete(&self, id: &str, version: Option<&str>) -> Result<()> {
        self.remote.delete(E::SCHEMA, id, version).await
    }

    /// Brings a row back that is marked deleted, on the condition that it still has this version if one is given.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the server does not have the row, [`ErrorKind::Conflict`] when it has changed,
    /// [`ErrorKind::Refused`] for a table without soft delete; else as [`insert`](Self::insert).
    pub async fn undelete(&self, id: &str, version: Option<&str>) -> Result<Record<E>> {
        record(&self.remote.undelete(E::SCHEMA, id, version).await?)
    }

    /// The row the server holds instead, from an error of kind [`ErrorKind::Conflict`]; marked deleted if it is.
    /// `None` if the server did not show it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] when that row does not fit the entity.
    pub fn server_row(&self, error: &Error) -> Result<Option<Record<E>>> {
        error.server_row().map(record).transpose()
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().hyphenated().to_string()
}

/// A server's row that does not fit the entity is no damage of the local database.
fn record<E: SyncEntity>(row: &Row) -> Result<Record<E>> {
    Record::from_row(row).map_err(|source| {
        Error::new(ErrorKind::InvalidResponse, "the server's row does not fit the entity")
            .with_table(E::SCHEMA.name)
            .with_item(row.id.as_str())
            .with_source(source)
    })
}

/// A typed query of the server's table.
#[must_use = "a query does nothing until it is loaded"]
pub struct RemoteQuery<E> {
    remote: Remote,
    query: remote::RemoteQuery,
    entity: PhantomData<fn() -> E>,
}

impl<E: SyncEntity> RemoteQuery<E> {
    /// Adds a key to the order; rows with equal keys come by id. The server sorts: its collation, and where it puts
    /// null, are its own. Without an order rows come by id.
    pub fn order_by(mut self, key: OrderBy<E>) -> Self {
        self.query.order_by.push(key.parts());
        self
    }

    /// At most this many rows.
    pub fn top(mut self, rows: u32) -> Self {
        self.query.top = Some(rows.into());
        self
    }

    /// Leaves out the first rows.
    pub fn skip(mut self, rows: u32) -> Self {
        self.query.skip = rows.into();
        self
    }

    /// Also rows marked deleted.
    pub fn include_deleted(mut self) -> Self {
        self.query.include_deleted = true;
        self
    }

    /// Reads the rows, page by page until all are there. With an order or a skip, a row that changes meanwhile may
    /// be left out; without, it may not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownTable`], [`ErrorKind::Network`], [`ErrorKind::Unauthorized`],
    /// [`ErrorKind::ServerBusy`], [`ErrorKind::Refused`]; [`ErrorKind::InvalidResponse`] also for a row that does
    /// not fit the entity; [`ErrorKind::InvalidArgument`] for an order by a local-only column.
    pub async fn load(self) -> Result<Vec<Record<E>>> {
        self.remote.load(self.query).await?.iter().map(record).collect()
    }
}

impl<E> Clone for RemoteTable<E> {
    fn clone(&self) -> Self {
        Self { remote: self.remote.clone(), entity: PhantomData }
    }
}

impl<E> fmt::Debug for RemoteTable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTable").field("remote", &self.remote).finish()
    }
}

impl<E> fmt::Debug for RemoteQuery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteQuery").field("table", &self.query.predicate.table.name).finish_non_exhaustive()
    }
}
