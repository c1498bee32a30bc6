//! The seam to a local database.
//!
//! The engine sees a store only through [`LocalStore`]. Each method is one atomic step: it happens completely
//! or not at all, also when the process is killed or the returned future is dropped in the middle. A dropped
//! future may leave the step done. Atomicity is part of the contract; the suite in `store::contract`
//! (feature `contract`) checks it.
//!
//! Two stores exist: `DieselStore` in `sync-diesel` (SQLite), and [`MemoryStore`](crate::memory::MemoryStore),
//! which is also the reference model of the tests.
//!
//! What a store guarantees besides:
//!
//! - A local change and its operation commit together ([`LocalStore::write`], and every other way in which the
//!   app may write).
//! - Pages, token, server copies and quarantine of one [`LocalStore::apply_pages`] commit together.
//! - An operation leaves the queue only with its acknowledged result ([`LocalStore::exchange`]), by a
//!   resolution, or by a purge.
//! - A row with an operation is never changed by a pull; the server's copy is kept beside.
//!
//! # The server copies of a row with an operation
//!
//! The *base* is the server's row that the local changes start from: the row before the first of them, later what
//! the server acknowledged last (F-04) or showed in a conflict that was resolved by keeping the local row (K-10).
//! It alone says which columns the app changed: what an update sends ([`UpdateBody::Changed`]), which columns a
//! merge takes from the server, and [`Outgoing::base`].
//!
//! The *newest copy* is what a pull (L-14, L-15) or the answer of a failed request showed since, or else the base.
//! A copy in a version that is known already counts as unchanged. What becomes of the newest copy when the
//! operation ends:
//!
//! - Acknowledged (F-03): the row becomes what the answer shows, for what it leaves out what was sent, and for
//!   what was not sent the newest copy. The same is the base of what remains to be sent (F-04, F-05, W-09).
//! - Not needed: no column is sent if each one the app changed is as in the base, or as in a live
//!   newest copy. The row becomes the newest copy; if that is deleted, the row goes.
//! - Taken back: the row goes, and if the newest copy is live its id is noted for the next
//!   pull.
//! - [`Resolution::TakeRemote`] (K-09): the row becomes the newest copy. An answer that the row is gone makes every
//!   copy seen before it worthless.
//! - [`Resolution::Store`] (K-08): the row becomes the given one over the newest copy.
//! - [`Resolution::KeepLocal`], [`Resolution::Merge`] and [`Resolution::ChangeKind`]: the row the error shows is the new base; a copy that a
//!   pull brought since is kept, and the version of the new base guards against overwriting it.
//! - Purged, or the delete acknowledged: it goes with the row.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Events;
use crate::operation::order::{Cycles, Waiting};
use crate::operation::{
    FailureClass, InFlight, Operation, OperationError, OperationKey, OperationKind, Outgoing, RowRef,
};
use crate::page::PageSummary;
use crate::predicate::Predicate;
use crate::row::Row;

pub use self::resolution::{
    ConflictPolicy, MAX_RESOLUTIONS, OpenConflict, ResolutionKind, ResolutionRecord, Resolver, is_base_shown,
    is_in_conflict,
};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod resolution;

/// A local database with an operation queue. See the [module documentation](self).
pub trait LocalStore: Send + Sync + 'static {
    /// Holds the right to push, pull and purge; see [`lease`](Self::lease).
    type Lease: Send + 'static;

    /// Takes the lease of this database (Z-03): one holder over all stores on it, in all processes. It ends with the
    /// value, and with the process however that ends. Local reads and writes need none.
    ///
    /// With `wait` the call waits until the lease is free; dropping the future gives the place up.
    ///
    /// # Errors
    ///
    /// `Busy` without `wait` while another holds it; `Store` when it cannot be taken at all.
    fn lease(&self, wait: bool) -> impl Future<Output = Result<Self::Lease>> + Send;

    /// For whom the queue was filled; `None` before the first [`claim`](Self::claim).
    fn owner(&self) -> impl Future<Output = Result<Option<Owner>>> + Send;

    /// Makes the queue that of `owner` (C-12). If it was another one's, every token goes: what was pulled may be
    /// another view of the rows. Gives the number of operations dropped.
    ///
    /// # Errors
    ///
    /// `OtherAccount` when operations of another owner wait and `answer` is [`OtherAccount::Refuse`]; nothing changes.
    fn claim(&self, owner: Owner, answer: OtherAccount) -> impl Future<Output = Result<u64>> + Send;

    /// The synced tables of this store.
    fn tables(&self) -> &[&'static TableSchema];

    /// Where this store tells which rows each commit changed ([`Event::Changed`](crate::event::Event::Changed)); the
    /// engine tells its progress there as well. A store that does not tell may leave this out.
    fn events(&self) -> Events {
        Events::new()
    }

    /// Local write (17.1): all changes with their operations, or nothing.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, `NotFound`, `InvalidId` (D-03, D-05), `InvalidValue` (V-04).
    fn write(&self, changes: Vec<LocalChange>) -> impl Future<Output = Result<()>> + Send;

    /// The local row as the app sees it, or `None`.
    fn get(&self, table: &'static TableSchema, id: &str) -> impl Future<Output = Result<Option<Row>>> + Send;

    /// The local rows that match, by id.
    fn select(&self, predicate: Predicate) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// The newest server copy known of a row with an operation; `None` without one.
    fn shadow(
        &self,
        table: &'static TableSchema,
        id: &str,
    ) -> impl Future<Output = Result<Option<Row>>> + Send;

    /// Number of operations in every state, of one table or of all.
    fn pending(&self, table: Option<&'static TableSchema>) -> impl Future<Output = Result<u64>> + Send;

    /// The queued operations by sequence, of one table or of all.
    fn operations(
        &self,
        table: Option<&'static TableSchema>,
    ) -> impl Future<Output = Result<Vec<Operation>>> + Send;

    /// The recorded errors by sequence of their operations, of one table or of all.
    fn errors(
        &self,
        table: Option<&'static TableSchema>,
    ) -> impl Future<Output = Result<Vec<OperationError>>> + Send;

    /// Starts a push: notes the highest sequence number, so that changes made later wait for the next push
    /// (P-07), and gives the push a number under which each operation is taken at most once. The errors recorded so far
    /// are [old](OperationError::old) from now on (P-27).
    fn begin_push(&self) -> impl Future<Output = Result<PushSession>> + Send;

    /// One step of a push (17.2, steps 2 and 4, R8): stores the outcomes, then takes the next operations and
    /// marks them attempted with the content they are sent with, all in one transaction that is durable when
    /// the future resolves.
    ///
    /// A step whose future was dropped may run late (F-08). So an outcome is ignored if another push has taken the
    /// operation since, and once another push has begun nothing more is taken. What such a step marks before that is
    /// never sent: it counts as sent with an unknown outcome, and the next push settles it.
    ///
    /// # Errors
    ///
    /// `Busy` for a step that takes operations once another push has begun; nothing changes.
    fn exchange(&self, exchange: Exchange) -> impl Future<Output = Result<Exchanged>> + Send;

    /// Starts a pull (17.3, step 2): reads what is known of this query, after trying quarantined rows of the
    /// table again.
    ///
    /// Also tells which rows are to be read by id ([`PullStart::refetch`]).
    ///
    /// If the stored fingerprint differs from `scope.query.fingerprint` (L-08) the token is dropped first, in the
    /// same transaction. What the pull wants is remembered (R12), of a query id in place of what it wanted before.
    fn begin_pull(&self, scope: PullScope) -> impl Future<Output = Result<PullStart>> + Send;

    /// Stores whole pages with the token they lead to (17.3, step 4), in one transaction.
    fn apply_pages(&self, batch: PullBatch) -> impl Future<Output = Result<Applied>> + Send;

    /// Ends a pull that came to its end (17.3, step 6), in one transaction: tries quarantined rows of the table once more,
    /// and removes what did not come to a mirroring pull. Gives the counts of both; rows that wait on are none of them.
    fn finish_pull(&self, end: PullEnd) -> impl Future<Output = Result<Applied>> + Send;

    /// The pulled rows that wait in quarantine (L-24), of one table or of all, by table and id.
    fn quarantine(
        &self,
        table: Option<&'static TableSchema>,
    ) -> impl Future<Output = Result<Vec<QuarantinedRow>>> + Send;

    /// Forgets the tokens of a table, or of one of its query ids. Rows stay, and so does what the queries want; rows may
    /// have left at any time ([`PullStart::feed`] is 1970).
    fn reset_token(
        &self,
        table: &'static TableSchema,
        query_id: Option<&str>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Purge (17.4): removes matching rows with their operations, errors, server copies and quarantine, and all tokens
    /// of the table unless they are to be kept. A purge of every row also forgets what the pulls of the table wanted.
    /// Sends nothing.
    ///
    /// # Errors
    ///
    /// `PendingOperations` when the table has operations and `force` is false; nothing changes.
    fn purge(&self, purge: Purge) -> impl Future<Output = Result<Purged>> + Send;

    /// The operations about which something is to be decided, by sequence, of one table or of all: those with a
    /// recorded error, and those for which [`is_in_conflict`] holds (K-20).
    fn conflicts(
        &self,
        table: Option<&'static TableSchema>,
    ) -> impl Future<Output = Result<Vec<OpenConflict>>> + Send;

    /// Resolves a stored error or a conflict that a pull showed (17.4), and remembers by whom.
    /// [`Resolution::Leave`] changes nothing and is not remembered. [`Resolution::Park`] and [`Resolution::Unpark`]
    /// leave revision and error, so that `key` still names the operation.
    ///
    /// # Errors
    ///
    /// `OperationChanged` when the operation is no longer what `key` names, or nothing about it is to be decided
    /// (K-12, K-13); `InvalidArgument`, `InvalidValue` for a row that cannot be stored; `Busy` for a
    /// [`Resolution::ChangeKind`], and for a [`Resolution::Merge`] with the server's row, while the outcome of the
    /// operation is unknown. Nothing changes then.
    fn resolve(
        &self,
        key: OperationKey,
        resolution: Resolution,
        by: Resolver,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The last [`MAX_RESOLUTIONS`] resolutions, the oldest first.
    fn resolutions(&self) -> impl Future<Output = Result<Vec<ResolutionRecord>>> + Send;

    /// Reads a setting of the engine (for example the proof of an endpoint's dialect).
    fn setting(&self, key: &str) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Stores a setting of the engine; `None` removes it.
    fn set_setting(&self, key: &str, value: Option<&str>) -> impl Future<Output = Result<()>> + Send;
}

/// For whom a queue was filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Address of the service.
    pub endpoint: String,
    /// The app's name for the account; `None`: no account, or one that the app does not tell. It is stored as given,
    /// so it must be no secret.
    pub account: Option<String>,
}

impl Owner {
    /// Whether `other` may push what this owner queued: the same service, and the same account unless none was told.
    pub fn includes(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && (self.account.is_none() || self.account == other.account)
    }
}

/// What becomes of operations that wait for another account or service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherAccount {
    /// Nothing changes, and the call fails: they wait until that account is back.
    #[default]
    Refuse,
    /// They are dropped: their rows become as last seen from the server, or go. What they changed is lost.
    Discard,
    /// The new account takes them over and will send them as its own.
    Adopt,
}

/// A local change by the app.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalChange {
    /// The table.
    pub table: &'static TableSchema,
    /// The change.
    pub kind: LocalChangeKind,
}

/// See [`LocalChange`].
#[derive(Clone, Debug, PartialEq)]
pub enum LocalChangeKind {
    /// A new row; absent columns take their default.
    Insert(Row),
    /// Changes the present columns of an existing row. `row.version`, if given, is the version the change is
    /// based on (K-17).
    Update(Row),
    /// Deletes the row with this id.
    Delete(String),
    /// Revives the row with this id, which the server marked deleted: only in a table that keeps such rows. The row
    /// is live at once; the next push revives it on the server and sends what was changed here.
    Undelete(String),
}

/// A running push; see [`LocalStore::begin_push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushSession {
    /// Number of the push; grows, never reused in this store.
    pub push: i64,
    /// Operations with a greater sequence number wait for the next push.
    pub bound: i64,
    /// Operations at or below the bound.
    pub queued: u64,
}

impl PushSession {
    /// Whether this push may take operations, if `newest` is the number of the push begun last.
    ///
    /// # Errors
    ///
    /// `Busy` if that is another one.
    pub fn check_newest(self, newest: i64) -> Result<()> {
        if self.push == newest {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "another push has begun since; this one takes nothing more"))
    }
}

/// Input of [`LocalStore::exchange`].
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The push.
    pub session: PushSession,
    /// Outcomes to store first, in this order.
    pub settlements: Vec<Settlement>,
    /// Operations to take afterwards.
    pub take: Option<Take>,
}

/// Which operations to take next: the first ones of the queue that this push has not taken and that are not parked
/// ([`Resolution::Park`]), in the order of [`order`](crate::operation::order).
#[derive(Clone, Debug)]
pub struct Take {
    /// Names of the tables to push; empty = all.
    pub tables: Vec<&'static str>,
    /// How many at most.
    pub limit: usize,
    /// What an update sends.
    pub update_body: UpdateBody,
    /// Whether operations that failed in an earlier push, and were not touched since, are sent again (P-29).
    pub retry_failed: bool,
    /// The operations under way. Taking stops before the first operation that must not go beside them (P-05).
    pub in_flight: Vec<InFlight>,
    /// Rows whose operations are looked at first: those passed over before, and those settled since.
    pub again: Vec<RowRef>,
    /// The queue is looked at behind this sequence number.
    pub after: i64,
    /// Rows known to wait for each other.
    pub cycles: Arc<Cycles>,
}

impl Take {
    /// The first operations of the queue, at most `limit`; nothing is under way.
    pub fn first(limit: usize) -> Self {
        Self {
            tables: Vec::new(),
            limit,
            update_body: UpdateBody::Changed,
            retry_failed: true,
            in_flight: Vec::new(),
            again: Vec::new(),
            after: 0,
            cycles: Arc::default(),
        }
    }
}

/// What an update sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateBody {
    /// The columns that differ from the base (v1, v2).
    Changed,
    /// Every sent column (v3).
    Whole,
}

/// The outcome of one sent operation.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The operation as taken.
    pub key: OperationKey,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a sent operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The server did it (F-03 to F-06). `row`: what the answer holds, possibly partial, with its version.
    Acknowledged {
        /// The server's row, as far as the answer showed it.
        row: Option<Row>,
    },
    /// The server definitely did not do it: state failed, `server_may_hold` cleared.
    Refused(Failure),
    /// The server holds another row than the change was based on: state failed.
    Conflict(Failure),
    /// The outcome is unknown: the operation stays attempted; the failure, if any, is recorded.
    Uncertain(Option<Failure>),
    /// The request never started (R8): back to the state before it was taken.
    Unsent,
    /// A handler resolved the conflict; the operation, if it remains, may be taken again by this push.
    Resolved {
        /// The conflict.
        failure: Failure,
        /// The handler's choice.
        resolution: Resolution,
        /// Who chose.
        by: Resolver,
    },
}

/// Why an operation was not acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Class of the failure.
    pub class: FailureClass,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// Short text for people.
    pub message: String,
    /// The server's row, if the server showed it (marked deleted if it is).
    pub remote: Option<Row>,
}

/// How a conflict or another stored error is resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// Keep what was changed here and send it again on top of the server's version just seen (K-10); columns that
    /// were not changed here take the server's value. An insert that met a live server row becomes an update; an
    /// update or insert that met a deleted row revives it.
    KeepLocal,
    /// Like [`KeepLocal`](Self::KeepLocal), and these columns have these values. A version in the row is the one to
    /// send it on instead of the server's version just seen (K-10).
    Merge(Row),
    /// Take the server's row, or its deletion; the operation is dropped (K-08, K-09). If the server's row is
    /// not known, the local row is removed and noted for the next pull.
    TakeRemote,
    /// Store this row as if the server had sent it; the operation is dropped (K-08). Columns and a version it does
    /// not have stay as in the newest server copy known, or else as here. One marked deleted is a deletion.
    Store(Row),
    /// Make it an operation of another kind (K-11), on top of the server's version just seen; the error goes.
    ///
    /// To an insert: the whole row is created, or revived where the server's row is known as deleted. To an update:
    /// columns not changed here take the server's value. To a delete: the local row goes, and the operation to the
    /// end of the queue.
    ChangeKind {
        /// The new kind.
        kind: OperationKind,
        /// Columns to store in the row first. A queued delete needs them to become anything else; a delete takes
        /// none.
        item: Option<Row>,
        /// The version to send it on instead of the one just seen.
        version: Option<String>,
    },
    /// Leave the error recorded; the next push sends the operation again.
    Leave,
    /// Leave the error recorded, and the operation alone (P-29): pushes pass it over until a local change of the row is
    /// queued, the error is resolved in another way, or [`Unpark`](Self::Unpark). A conflict that a pull showed is
    /// recorded as an error first. What waits for the row, by a relation, waits on.
    ///
    /// The operation stays in the queue as it is; one with an unknown outcome keeps it unknown. Parking again changes
    /// nothing and is not remembered.
    Park,
    /// End parking: the error stays recorded, and the next push sends the operation again. Changes nothing about an
    /// operation that is not parked, and is not remembered then.
    Unpark,
}

impl Resolution {
    /// What is remembered of it; `None` for [`Leave`](Self::Leave).
    pub const fn kind(&self) -> Option<ResolutionKind> {
        match self {
            Self::KeepLocal => Some(ResolutionKind::KeepLocal),
            Self::Merge(_) => Some(ResolutionKind::Merge),
            Self::TakeRemote => Some(ResolutionKind::TakeRemote),
            Self::Store(_) => Some(ResolutionKind::Store),
            Self::ChangeKind { .. } => Some(ResolutionKind::ChangeKind),
            Self::Park => Some(ResolutionKind::Park),
            Self::Unpark => Some(ResolutionKind::Unpark),
            Self::Leave => None,
        }
    }
}

/// Result of [`LocalStore::exchange`].
#[derive(Clone, Debug, Default)]
pub struct Exchanged {
    /// The operations now marked attempted, in order.
    pub taken: Vec<Outgoing>,
    /// Updates that turned out to change nothing: completed without a request.
    pub unneeded: u64,
    /// Settlements whose row had changed meanwhile: what remains is queued again.
    pub remainders: u64,
    /// Operations that cannot be sent because the local database is damaged (P-20i): passed over, with the error
    /// recorded. They stay in the queue.
    pub damaged: Vec<OperationKey>,
    /// Operations passed over because they wait for others (P-21, P-22).
    pub waiting: Vec<Waiting>,
    /// Those of [`Take::again`] that were not taken for want of room, or must not go beside what is under way.
    pub left: Vec<OperationKey>,
    /// How far the queue was looked at.
    pub after: i64,
    /// The queue has no further operation for this push.
    pub is_exhausted: bool,
}

/// The name of an incremental pull with a fingerprint of its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryKey {
    /// 1 to 255 characters without control characters.
    pub query_id: String,
    /// Changes when filter or parameters change (L-08).
    pub fingerprint: String,
}

/// Input of [`LocalStore::begin_pull`].
#[derive(Clone, Debug)]
pub struct PullScope {
    /// The table.
    pub table: &'static TableSchema,
    /// The incremental query; `None` for a full pull.
    pub query: Option<QueryKey>,
    /// What is pulled, as [`codec::encode`](crate::predicate::codec::encode) writes it.
    pub wanted: String,
    /// A full pull that will remove what did not come ([`PullEnd::mirror`]): marks of an earlier one go.
    pub mirror: bool,
}

/// Result of [`LocalStore::begin_pull`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullStart {
    /// Where the last pull of this query ended.
    pub token: Option<DeltaToken>,
    /// From which change time on rows may have left the filter without this query having seen it (R12). Without a token
    /// and a known one it is the least change time of the rows here that match (1970 for one without), those with an
    /// operation in any case, and is remembered; `None` if there are no such rows.
    pub feed: Option<DateTime<Utc>>,
    /// The table got columns that this pull has not filled yet (S-06, R11).
    pub refill: bool,
    /// The token was dropped because the query changed (L-08).
    pub restarted: bool,
    /// Ids of this table whose server row is to be read by id before the pages (X-06, K-09), in order; at most
    /// [`MAX_REFETCH`], the rest next time. Each stays noted until it comes back in [`PullBatch::fetched`].
    pub refetch: Vec<String>,
}

/// Most ids in [`PullStart::refetch`].
pub const MAX_REFETCH: usize = 100;

/// The point up to which the rows of a query were pulled (R10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaToken {
    /// Greatest change time stored, cut to whole milliseconds.
    pub instant: DateTime<Utc>,
    /// The server's `Date` when the last pull started that came to its end or beyond the token before it, for the
    /// overlap (T-05). `None` in a batch keeps what is stored.
    pub server_date: Option<DateTime<Utc>>,
}

/// Pages to store together.
#[derive(Clone, Debug)]
pub struct PullBatch {
    /// The table.
    pub table: &'static TableSchema,
    /// The incremental query, if it is one.
    pub query: Option<QueryKey>,
    /// Whole pages in the order received.
    pub pages: Vec<Page>,
    /// The token after these pages; the store keeps the greater of this and the stored one (T-03).
    pub token: Option<DeltaToken>,
    /// Moves the point from which on rows may have left unseen ([`PullStart::feed`]); the store keeps the greater.
    pub feed: Option<DateTime<Utc>>,
    /// What the server did not filter: rows that do not match are not added. A clean local row that left every stored
    /// filter goes (R12, [`Wanted`](crate::wanted::Wanted)), any other is brought up to date; the copy of a row with
    /// an operation is kept beside (R13).
    pub local_rest: Option<Predicate>,
    /// Store rows also in a version that is known, if they differ ([`PullStart::refill`]).
    pub refill: bool,
    /// Mark the ids of the pages as seen by a mirroring pull.
    pub mirror: bool,
    /// Ids whose read by id the server refused: they stay noted, behind those that were refused less often.
    pub unread: Vec<String>,
    /// Ids whose row was read by id: `pages` hold what the server has of them. Their rows are stored even in a
    /// version that is known, and a clean local row whose id is in no page is removed, also from a table that keeps
    /// deleted rows. A row with an operation keeps both. The notes that asked for them go.
    pub fetched: Vec<String>,
}

impl PullBatch {
    /// A batch without pages.
    pub fn new(table: &'static TableSchema) -> Self {
        Self {
            table,
            query: None,
            pages: Vec::new(),
            token: None,
            feed: None,
            local_rest: None,
            refill: false,
            mirror: false,
            unread: Vec::new(),
            fetched: Vec::new(),
        }
    }
}

/// Input of [`LocalStore::finish_pull`].
#[derive(Clone, Debug)]
pub struct PullEnd {
    /// What was pulled.
    pub scope: PullScope,
    /// The server's `Date` when the pull started, for [`DeltaToken::server_date`]; without a token there is no place
    /// for it (T-07).
    pub server_date: Option<DateTime<Utc>>,
    /// Removes the clean rows that match and were not marked since the pull began (L-13). A removed row that another
    /// row refers to stays.
    pub mirror: Option<Predicate>,
    /// The pull filled the columns it was asked to fill.
    pub refilled: bool,
}

/// A pulled row that could not be stored (L-24).
///
/// It is tried again at the end of the pull that brought it, at the start of each pull of its table and after its table got
/// new columns; a newer row from the server takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// The table.
    pub table: &'static str,
    /// The row's id.
    pub item_id: String,
    /// The query id that brought it; `None` for a full pull or a read by id.
    pub query_id: Option<String>,
    /// Why it could not be stored, in words; no content of the row.
    pub reason: String,
}

/// One page as received.
#[derive(Clone, Debug)]
pub struct Page {
    /// The whole body.
    pub body: Bytes,
    /// What the engine's scan found in it.
    pub summary: PageSummary,
    /// Names of the system properties in this body.
    pub names: &'static crate::protocol::SystemNames,
}

/// Counts of [`LocalStore::apply_pages`] (L-40).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows new in the local table.
    pub added: u64,
    /// Rows written over an older copy.
    pub changed: u64,
    /// Rows already known in this version; nothing was written.
    pub unchanged: u64,
    /// Rows removed because the server marked them deleted, has none when asked by id, or did not send them to a
    /// mirroring pull.
    pub removed: u64,
    /// Rows with an operation whose server copy is new: the row stays as it is, the copy is put aside.
    pub kept_local: u64,
    /// Rows that could not be stored when they came and went to quarantine. Those that found their place at the end of the
    /// pull are counted by what became of them as well.
    pub quarantined: u64,
    /// Rows that do not match the local rest and were not added.
    pub filtered: u64,
    /// Rows removed because they left every filter that had brought them (R12).
    pub evicted: u64,
    /// Rows without an id.
    pub ignored: u64,
}

/// Input of [`LocalStore::purge`].
#[derive(Clone, Debug)]
pub struct Purge {
    /// Rows to remove.
    pub predicate: Predicate,
    /// Also remove rows with operations, and those operations.
    pub force: bool,
    /// Keep the tokens of the table: removed rows come back only when they change on the server.
    pub keep_tokens: bool,
}

impl Purge {
    /// Removes matching rows; refused while the table has operations. All tokens of the table go.
    pub fn new(predicate: Predicate) -> Self {
        Self { predicate, force: false, keep_tokens: false }
    }
}

/// Result of [`LocalStore::purge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows removed.
    pub rows: u64,
    /// Operations dropped (only by force).
    pub operations: u64,
}
