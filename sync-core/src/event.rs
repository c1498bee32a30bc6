//! What happens in a store and during sync, told to whoever listens.
//!
//! An event is a hint (E-06): everything that must not be missed is in the tables and survives a restart. Events of
//! stored changes come after their commit, in the order of the commits. A listener that is slow, gone or failing never
//! holds up sync (E-05): each has a bounded queue of its own, and what does not fit is counted and reported as
//! [`Event::Lagged`].
//!
//! A future of a push or pull that is dropped ends without a closing event.

use std::sync::Arc;

use crate::entity::SyncEntity;
use crate::error::{ErrorKind, Result};
use crate::operation::{OperationKey, Outgoing, SentKind};
use crate::store::{Applied, Outcome, Page, Settlement};

pub use self::hub::{EventStream, Events, TableWatch, WatchBell};

mod hub;

/// Most rows that one [`TableChanges`] names.
pub const MAX_ROWS: usize = 1000;

/// Events a listener may leave unread before the oldest are dropped, if nothing else is said.
pub const DEFAULT_CAPACITY: usize = 1024;

/// Something that happened. More kinds may come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A commit changed rows of synced tables.
    Changed(Changes),
    /// A push started, also one that a pull makes first.
    PushStarted {
        /// Operations that wait, of all tables.
        queued: u64,
    },
    /// An operation is marked attempted and its request is about to start.
    OperationSent {
        /// The operation.
        operation: OperationRef,
        /// The request.
        sent: SentKind,
    },
    /// The outcome of a request is stored. One operation may be sent several times within a push.
    OperationDone {
        /// The operation.
        operation: OperationRef,
        /// What became of it.
        result: OperationResult,
    },
    /// A push ended; what failed is in the store's recorded errors.
    PushFinished(PushFinished),
    /// A pull started.
    PullStarted(PullRef),
    /// A query id was used with another filter than before: its token was dropped and everything that matches is
    /// pulled again (L-08).
    QueryRestarted(PullRef),
    /// The newest change time of the server is before the token: the server was restored from an older state, and
    /// rows changed since may not come until the token is reset (T-10).
    ServerWentBack(PullRef),
    /// A page was received and is not stored yet.
    PageReceived {
        /// The pull.
        pull: PullRef,
        /// Number of the page within this pull, from 1.
        page: u64,
        /// Rows in it.
        rows: u64,
        /// Its size in bytes, decompressed.
        bytes: u64,
    },
    /// Whole pages are stored, with the token they lead to.
    PagesStored {
        /// The pull.
        pull: PullRef,
        /// What became of their rows.
        rows: Applied,
    },
    /// A pull ended.
    PullFinished(PullFinished),
    /// This listener was too slow: so many events before the next one are lost. Read the tables again.
    Lagged {
        /// How many events.
        lost: u64,
    },
}

/// Names a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRef {
    /// The table.
    pub table: &'static str,
    /// The query id; `None` for a full pull.
    pub query_id: Option<Arc<str>>,
}

/// Names an operation by its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRef {
    /// The table.
    pub table: &'static str,
    /// Id of the row.
    pub item_id: Arc<str>,
}

/// What became of a sent operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationResult {
    /// The server did it.
    Acknowledged,
    /// The server did not do it; recorded.
    Refused,
    /// The server holds another row than the change was based on; recorded.
    Conflict,
    /// A conflict that a handler decided.
    Resolved,
    /// No answer, or one that says nothing: settled by the next push.
    Uncertain,
    /// The request did not start.
    Unsent,
}

/// The end of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushFinished {
    /// Operations the server acknowledged.
    pub completed: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Operations of the pushed tables that are still queued.
    pub remaining: u64,
    /// Why the push did not do everything.
    pub error: Option<ErrorKind>,
}

/// The end of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullFinished {
    /// The pull.
    pub pull: PullRef,
    /// Pages received; 0 if the pull failed.
    pub pages: u64,
    /// Bytes of these pages; 0 if the pull failed.
    pub bytes: u64,
    /// Rows by what became of them; 0 if the pull failed, what was stored before is in [`Event::PagesStored`].
    pub rows: Applied,
    /// Why the pull failed.
    pub error: Option<ErrorKind>,
}

/// Who changed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeSource {
    /// The app, by a typed call or by any statement on the store's own connection.
    Local,
    /// A pull.
    Pull,
    /// The answer to a pushed operation, and what a conflict handler decided about it.
    Push,
    /// A purge.
    Purge,
    /// A decision about a recorded error.
    Resolution,
}

/// The rows of synced tables that one commit changed. A commit that changed none gives no event (E-04).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Who changed them.
    pub source: ChangeSource,
    /// By table, in the order of the schema; tables without changes are left out.
    pub tables: Arc<[TableChanges]>,
}

/// The rows of one table that one commit changed, by the difference between before and after it: a row inserted and
/// deleted within it is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChanges {
    /// The table.
    pub table: &'static str,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that were there and are.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// The first [`MAX_ROWS`] of these rows; contents are not part of an event.
    pub rows: Vec<RowChange>,
}

/// A changed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Id of the row.
    pub id: String,
    /// The change.
    pub kind: RowChangeKind,
}

/// See [`RowChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowChangeKind {
    /// The row is new in the local table.
    Inserted,
    /// The row changed, perhaps only in its system columns.
    Updated,
    /// The row is gone from the local table.
    Deleted,
}

impl Event {
    /// The event of a page that was received.
    pub(crate) fn page_received(pull: &PullRef, number: u64, page: &Page) -> Self {
        let (rows, bytes) = (page.summary.len() as u64, page.body.len() as u64);
        Self::PageReceived { pull: pull.clone(), page: number, rows, bytes }
    }
}

impl Changes {
    /// The changes of entity `E`'s table, if there are any.
    pub fn of<E: SyncEntity>(&self) -> Option<&TableChanges> {
        self.table(E::SCHEMA.name)
    }

    /// The changes of this table, if there are any.
    pub fn table(&self, name: &str) -> Option<&TableChanges> {
        self.tables.iter().find(|table| table.table == name)
    }
}

impl TableChanges {
    /// Number of changed rows.
    pub fn len(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Whether no row changed; not so in an event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`rows`](Self::rows) names all of them.
    pub fn is_complete(&self) -> bool {
        self.rows.len() as u64 == self.len()
    }
}

impl PullRef {
    /// The name of a pull.
    pub fn new(table: &'static str, query_id: Option<&str>) -> Self {
        Self { table, query_id: query_id.map(Arc::from) }
    }

    /// The closing event, by the pull's result.
    pub(crate) fn finished(self, result: &Result<crate::engine::PullReport>) -> Event {
        let (pages, bytes, rows, error) = match result {
            Ok(report) => (report.pages, report.bytes, report.rows, None),
            Err(error) => (0, 0, Applied::default(), Some(error.kind())),
        };
        Event::PullFinished(PullFinished { pull: self, pages, bytes, rows, error })
    }
}

impl PushFinished {
    /// The closing event, by the push's result; one that stopped early has a report with a status.
    pub(crate) fn of(result: &Result<crate::engine::PushReport>) -> Event {
        Event::PushFinished(match result {
            Ok(report) => Self {
                completed: report.completed,
                failed: report.errors.len() as u64,
                remaining: report.remaining,
                error: report.error_kind(),
            },
            Err(error) => Self { error: Some(error.kind()), ..Self::default() },
        })
    }
}

/// The events of operations whose requests are about to start.
pub(crate) fn sent(operations: &[Outgoing]) -> impl Iterator<Item = Event> {
    operations
        .iter()
        .map(|operation| Event::OperationSent { operation: (&operation.key).into(), sent: operation.sent })
}

/// The events of settlements, to be told after they are stored (R8).
pub(crate) fn done(events: &Events, settlements: &[Settlement]) -> Vec<Event> {
    let told = if events.has_listeners() { settlements } else { &[] };
    told.iter()
        .map(|settlement| Event::OperationDone {
            operation: (&settlement.key).into(),
            result: OperationResult::of(&settlement.outcome),
        })
        .collect()
}

impl From<&OperationKey> for OperationRef {
    fn from(key: &OperationKey) -> Self {
        Self { table: key.table, item_id: Arc::from(key.item_id.as_str()) }
    }
}

impl OperationResult {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acknowledged { .. } => Self::Acknowledged,
            Outcome::Refused(_) => Self::Refused,
            Outcome::Conflict(_) => Self::Conflict,
            Outcome::Uncertain(_) => Self::Uncertain,
            Outcome::Unsent => Self::Unsent,
            Outcome::Resolved { .. } => Self::Resolved,
        }
    }
}
