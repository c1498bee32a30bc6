//! Conflicts typed by entity.

use std::collections::HashMap;
use std::fmt;

use sync_core::engine::{self, ConflictHandler, Decision};
use sync_core::entity::SyncEntity;
use sync_core::operation::SentKind;
use sync_core::row::Row;
use sync_core::store::Resolution;
use sync_core::{Result, operation};

use crate::record::Record;

/// A row changed here and on the server.
#[derive(Clone, Debug)]
pub struct Conflict<E> {
    /// What was sent: an insert, an update or a delete.
    pub sent: SentKind,
    /// The row before the first local change, as last seen from the server.
    pub base: Option<Record<E>>,
    /// The local row; for a delete the row as it was deleted.
    pub local: Option<Record<E>>,
    /// The server's row, marked deleted if it is; `None` if it is gone or hidden.
    pub remote: Option<Record<E>>,
    /// Id of the row.
    pub item_id: String,
    /// How often this row was already decided about in this push.
    pub repeats: u32,
}

/// What to do about a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolve<E> {
    /// The local row is sent again, on top of the server's version just seen.
    KeepLocal,
    /// The server's row, or its deletion, replaces the local one; the local change is dropped.
    TakeRemote,
    /// This value is stored and sent, on top of the server's version just seen.
    Merge(E),
    /// The conflict is recorded and waits for a decision.
    Leave,
    /// Like [`Leave`](Self::Leave), and the push stops.
    Abort,
}

/// The typed view of a recorded error.
pub trait TypedError {
    /// The row as it was sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](sync_core::ErrorKind::Corrupt) when the stored row does not fit the entity.
    fn local<E: SyncEntity>(&self) -> Result<Option<Record<E>>>;

    /// The server's row as last seen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](sync_core::ErrorKind::Corrupt) when the stored row does not fit the entity.
    fn remote<E: SyncEntity>(&self) -> Result<Option<Record<E>>>;
}

impl TypedError for operation::OperationError {
    fn local<E: SyncEntity>(&self) -> Result<Option<Record<E>>> {
        self.local.as_ref().map(Record::from_row).transpose()
    }

    fn remote<E: SyncEntity>(&self) -> Result<Option<Record<E>>> {
        self.remote.as_ref().map(Record::from_row).transpose()
    }
}

/// The row that a merged value stores.
pub(crate) fn merged<E: SyncEntity>(entity: &E, item_id: &str) -> Row {
    Row::new(item_id, entity.to_values())
}

type Decide = Box<dyn Fn(&engine::Conflict) -> Result<Decision> + Send + Sync>;

/// The handlers of a context, by table.
#[derive(Default)]
pub(crate) struct Handlers {
    by_table: HashMap<&'static str, Decide>,
}

impl Handlers {
    pub(crate) fn add<E: SyncEntity>(
        &mut self,
        decide: impl Fn(&Conflict<E>) -> Resolve<E> + Send + Sync + 'static,
    ) {
        let decide = move |conflict: &engine::Conflict| {
            let typed = |row: &Option<Row>| row.as_ref().map(Record::from_row).transpose();
            let decision = decide(&Conflict {
                sent: conflict.sent,
                base: typed(&conflict.base)?,
                local: typed(&conflict.local)?,
                remote: typed(&conflict.remote)?,
                item_id: conflict.item_id.clone(),
                repeats: conflict.repeats,
            });
            Ok(match decision {
                Resolve::KeepLocal => Decision::Resolve(Resolution::KeepLocal),
                Resolve::TakeRemote => Decision::Resolve(Resolution::TakeRemote),
                Resolve::Merge(entity) => {
                    Decision::Resolve(Resolution::Merge(merged(&entity, &conflict.item_id)))
                }
                Resolve::Leave => Decision::Resolve(Resolution::Leave),
                Resolve::Abort => Decision::Abort,
            })
        };
        self.by_table.insert(E::SCHEMA.name, Box::new(decide));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_table.is_empty()
    }
}

impl ConflictHandler for Handlers {
    fn decide(&self, conflict: &engine::Conflict) -> Result<Decision> {
        match self.by_table.get(conflict.table.name) {
            Some(decide) => decide(conflict),
            None => Ok(Decision::Resolve(Resolution::Leave)),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_table.keys()).finish()
    }
}
