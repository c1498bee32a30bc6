//! Drives a store and a transport: push, pull, purge.
//!
//! The engine holds no state of its own: everything that matters is in the store, so a crash or a dropped future
//! leaves what the store holds, and the next call goes on from there. Push, pull and purge of one engine run one
//! after another (C-08); local reads and writes never wait for them. No transaction and no lock of the database is
//! held across a request.
//!
//! Cancel by dropping the future: pages and outcomes stored so far stay, and an operation whose answer had not come
//! stays attempted; the next push settles it by comparison (F-09).

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::predicate::Predicate;
use crate::profile::ServerProfile;
use crate::protocol::{ProbeReport, RequestBuilder};
use crate::store::{LocalStore, Purge, Purged};
use crate::transport::{Timer, Transport};

pub use self::conflict::{Conflict, ConflictHandler, Decision};
pub use self::probe::probe;
pub use self::pull::{PullReport, PullRequest};
pub use self::push::{HeldOperation, PushOptions, PushReport, PushStatus};

mod conflict;
mod probe;
mod pull;
mod push;
#[cfg(test)]
mod tests;

/// Push, pull and purge over a [`LocalStore`] and a [`Transport`].
pub struct Engine<S> {
    store: Arc<S>,
    transport: Arc<dyn Transport>,
    timer: Arc<dyn Timer>,
    requests: RequestBuilder,
    profile: ServerProfile,
    handler: Option<Arc<dyn ConflictHandler>>,
    proof: probe::Proof,
    /// The turn of push, pull and purge (C-08).
    turn: Mutex<()>,
}

impl<S: LocalStore> Engine<S> {
    /// An engine that sends requests of `requests`' dialect through `transport`. Sends nothing yet.
    pub fn new(
        store: Arc<S>,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
        requests: RequestBuilder,
        profile: ServerProfile,
    ) -> Self {
        let requests = requests.with_undelete(profile.undelete());
        let (handler, proof) = (None, probe::Proof::default());
        Self { store, transport, timer, requests, profile, handler, proof, turn: Mutex::new(()) }
    }

    /// Asks `handler` about each conflict of a push before it is recorded.
    #[must_use]
    pub fn with_conflict_handler(mut self, handler: Arc<dyn ConflictHandler>) -> Self {
        self.handler = Some(handler);
        self
    }

    /// The store.
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// Sends the queued operations of the wanted tables in order and stores what becomes of each.
    ///
    /// Operations queued after the call began wait for the next push (P-07).
    ///
    /// # Errors
    ///
    /// When not everything was done: [`ErrorKind::PushFailed`] if operations were refused or conflict,
    /// [`ErrorKind::Network`], [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`],
    /// [`ErrorKind::InvalidResponse`] if the push stopped early, [`ErrorKind::Aborted`] if a handler asked for
    /// it; [`Error::push_report`] tells what was done. [`ErrorKind::InvalidArgument`] for an unknown table or a
    /// window of 0, store errors: nothing was sent.
    pub async fn push(&self, options: PushOptions) -> Result<PushReport> {
        options.check(self.store.tables())?;
        let _turn = self.turn.lock().await;
        push::run(self, &options).await?.into_result()
    }

    /// Brings changes of one table down; pushes first if the table has operations.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] before any request for a bad query id or page size; the push's errors if
    /// operations had to be pushed first and were not done; [`ErrorKind::WrongDialect`] when the server does not
    /// speak this engine's dialect: nothing was stored; [`ErrorKind::InvalidQuery`],
    /// [`ErrorKind::UnknownTable`], [`ErrorKind::InvalidResponse`], [`ErrorKind::Network`] and other errors of the
    /// server: pages stored so far and their token stay, the next pull goes on there.
    pub async fn pull(&self, request: PullRequest) -> Result<PullReport> {
        request.check()?;
        let table = request.predicate.table;
        self.known(table)?;
        let _turn = self.turn.lock().await;
        pull::run(self, &request).await.map_err(|error| {
            let error = error.with_table(table.name);
            match &request.query_id {
                Some(query_id) => error.with_query_id(query_id),
                None => error,
            }
        })
    }

    /// Finds out which dialects the server speaks, by at most three GETs of one row of `table`. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`probe()`], and [`ErrorKind::InvalidArgument`] for an unknown table.
    pub async fn probe(&self, table: &'static TableSchema) -> Result<ProbeReport> {
        self.known(table)?;
        probe(&*self.transport, self.requests.endpoint(), table).await
    }

    /// Removes matching local rows; sends nothing. All tokens of the table are reset, so the next pull brings
    /// rows back that still match (G-07).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PendingOperations`] if the table has operations and `force` is false; nothing changed.
    pub async fn purge(&self, predicate: Predicate, force: bool) -> Result<Purged> {
        self.known(predicate.table)?;
        let _turn = self.turn.lock().await;
        self.store.purge(Purge { predicate, force }).await
    }

    fn known(&self, table: &'static TableSchema) -> Result<()> {
        if self.store.tables().iter().any(|known| known.name == table.name) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidArgument, "the table is not one of this store's schema")
            .with_table(table.name))
    }
}

impl<S> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("requests", &self.requests).finish_non_exhaustive()
    }
}
