//! [`SyncTable`]: typed local calls on one entity. All of them are local; writes are queued for the next push.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use sync_core::Result;
use sync_core::entity::SyncEntity;
use sync_core::expression::IntoExpr;
use sync_core::row::Row;
use sync_core::store::{LocalChange, LocalChangeKind, LocalStore};

use crate::explain::Explanation;
use crate::query::LocalQuery;
use crate::record::Record;
use crate::store::DieselStore;

/// The local table of entity `E`.
pub struct SyncTable<E> {
    store: Arc<DieselStore>,
    entity: PhantomData<fn() -> E>,
}

impl<E: SyncEntity> SyncTable<E> {
    pub(crate) fn new(store: Arc<DieselStore>) -> Self {
        Self { store, entity: PhantomData }
    }

    /// Inserts a row and queues it. The id is the one the entity declares, else a new UUID (version 7).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId),
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue); nothing changed.
    pub async fn insert(&self, entity: E) -> Result<Record<E>> {
        let id = entity.declared_id().map_or_else(new_id, str::to_owned);
        self.insert_as(id, entity).await
    }

    /// Inserts a row under this id and queues it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub async fn insert_with_id(&self, id: impl Into<String>, entity: E) -> Result<Record<E>> {
        self.insert_as(id.into(), entity).await
    }

    async fn insert_as(&self, id: String, entity: E) -> Result<Record<E>> {
        let row = Row::new(id, entity.to_values());
        self.change(vec![LocalChangeKind::Insert(row.clone())]).await?;
        Record::from_row(&row)
    }

    /// Inserts many rows in one transaction.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then no row was inserted.
    pub async fn insert_many(&self, entities: impl IntoIterator<Item = E>) -> Result<Vec<Record<E>>> {
        let rows: Vec<Row> = entities
            .into_iter()
            .map(|entity| {
                let id = entity.declared_id().map_or_else(new_id, str::to_owned);
                Row::new(id, entity.to_values())
            })
            .collect();
        self.change(rows.iter().cloned().map(LocalChangeKind::Insert).collect()).await?;
        rows.iter().map(Record::from_row).collect()
    }

    /// Stores a whole record over its row and queues the change. If the record was read before the row last
    /// changed on the server, the next push reports a conflict instead of overwriting (K-17).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the row is not there,
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue); nothing changed.
    pub async fn update(&self, record: &Record<E>) -> Result<()> {
        self.change(vec![LocalChangeKind::Update(whole_row(record))]).await
    }

    /// Stores a whole record: over its row, or as a new row if the local table has none with this id (X-13). Queues an
    /// update or an insert accordingly. For a row that exists on the server but was never pulled this is an insert,
    /// which the next push reports as a conflict; pull it first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId),
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue); nothing changed.
    pub async fn upsert(&self, record: &Record<E>) -> Result<()> {
        self.upsert_many([record]).await
    }

    /// [`upsert`](Self::upsert) of many records, in one transaction.
    ///
    /// # Errors
    ///
    /// As [`upsert`](Self::upsert); then no row was stored.
    pub async fn upsert_many<'r>(&self, records: impl IntoIterator<Item = &'r Record<E>>) -> Result<()>
    where
        E: 'r,
    {
        self.store.upsert(E::SCHEMA, records.into_iter().map(whole_row).collect()).await
    }

    /// Deletes a row and queues the deletion.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the row is not there; nothing changed.
    pub async fn delete(&self, id: impl Into<String>) -> Result<()> {
        self.change(vec![LocalChangeKind::Delete(id.into())]).await
    }

    /// Revives a row that the server marked deleted, and queues the revival; only in a table that keeps such rows
    /// (`#[sync(keep_deleted)]`). The row is live here at once; the next push revives it on the server and then sends
    /// what was changed here. `filter(Todo::deleted)` finds the rows marked deleted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no row with this id is marked deleted;
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) while an operation of the row has an unknown outcome. Nothing changed.
    pub async fn undelete(&self, id: impl Into<String>) -> Result<()> {
        self.change(vec![LocalChangeKind::Undelete(id.into())]).await
    }

    async fn change(&self, changes: Vec<LocalChangeKind>) -> Result<()> {
        let changes = changes.into_iter().map(|kind| LocalChange { table: E::SCHEMA, kind }).collect();
        LocalStore::write(&*self.store, changes).await
    }

    /// Reads one row, or `None`.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn get(&self, id: &str) -> Result<Option<Record<E>>> {
        self.store.get(E::SCHEMA, id).await?.as_ref().map(Record::from_row).transpose()
    }

    /// Tells where a row stands: whether it is in the local table, what is queued for it, what is known of the server's
    /// row, what went wrong, what the next push and pull will do, and what the app can do. Row contents are not part
    /// of it.
    ///
    /// ```no_run
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String }
    /// # sync_schema!(pub AppSchema: Todo);
    /// # async fn run(sync: SyncContext<AppSchema>, id: &str) -> sync_diesel::Result<()> {
    /// println!("{}", sync.table::<Todo>().explain(id).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn explain(&self, id: &str) -> Result<Explanation> {
        self.store.explain(E::SCHEMA, id).await
    }

    /// The rows that match.
    pub fn filter(&self, filter: impl IntoExpr<E, bool>) -> LocalQuery<E> {
        self.all().filter(filter)
    }

    /// All rows.
    pub fn all(&self) -> LocalQuery<E> {
        LocalQuery::new(Arc::clone(&self.store))
    }
}

pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().hyphenated().to_string()
}

/// The row of a record, with the version it was read in (K-17).
pub(crate) fn whole_row<E: SyncEntity>(record: &Record<E>) -> Row {
    let mut row = Row::new(record.id(), record.to_values());
    row.version = record.version().map(str::to_owned);
    row
}

impl<E> fmt::Debug for SyncTable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncTable").field("store", &self.store).finish()
    }
}

impl<E> Clone for SyncTable<E> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), entity: PhantomData }
    }
}
