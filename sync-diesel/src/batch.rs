//! Several typed writes in one transaction.

use std::sync::Arc;

use sync_core::Result;
use sync_core::entity::SyncEntity;
use sync_core::row::Row;
use sync_core::store::{LocalChange, LocalChangeKind, LocalStore};

use crate::record::Record;
use crate::store::DieselStore;
use crate::table::{new_id, whole_row};

/// Typed writes of any entities that are made together; made by [`SyncContext::batch`](crate::SyncContext::batch).
///
/// ```
/// # use sync_diesel::prelude::*;
/// # #[derive(SyncEntity, Clone)]
/// # pub struct List { pub name: String }
/// # #[derive(SyncEntity, Clone)]
/// # pub struct Todo { pub text: String, #[sync(belongs_to = List)] pub list_id: Option<String> }
/// # sync_schema!(pub AppSchema: List, Todo);
/// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
/// let mut batch = sync.batch();
/// let list = batch.insert(List { name: "Groceries".into() });
/// batch.insert(Todo { text: "Pick up milk".into(), list_id: Some(list) });
/// batch.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// Whatever else belongs into one transaction goes into [`SyncContext::write`](crate::SyncContext::write).
#[derive(Debug)]
#[must_use = "nothing is written before `commit`"]
pub struct Batch {
    store: Arc<DieselStore>,
    changes: Vec<LocalChange>,
}

impl Batch {
    pub(crate) fn new(store: Arc<DieselStore>) -> Self {
        Self { store, changes: Vec::new() }
    }

    /// Adds an insert; gives the id of the row: the one the entity declares, else a new UUID (version 7).
    pub fn insert<E: SyncEntity>(&mut self, entity: E) -> String {
        let id = entity.declared_id().map_or_else(new_id, str::to_owned);
        self.add::<E>(LocalChangeKind::Insert(Row::new(id.as_str(), entity.to_values())));
        id
    }

    /// Adds a change of a row to a whole record. See [`SyncTable::update`](crate::SyncTable::update).
    pub fn update<E: SyncEntity>(&mut self, record: &Record<E>) {
        self.add::<E>(LocalChangeKind::Update(whole_row(record)));
    }

    /// Adds the deletion of a row of entity `E`.
    pub fn delete<E: SyncEntity>(&mut self, id: impl Into<String>) {
        self.add::<E>(LocalChangeKind::Delete(id.into()));
    }

    fn add<E: SyncEntity>(&mut self, kind: LocalChangeKind) {
        self.changes.push(LocalChange { table: E::SCHEMA, kind });
    }

    /// Makes the writes in the order they were added, in one transaction, and queues them.
    ///
    /// # Errors
    ///
    /// Those of the single calls on [`SyncTable`](crate::SyncTable); then nothing changed.
    pub async fn commit(self) -> Result<()> {
        LocalStore::write(&*self.store, self.changes).await
    }
}
