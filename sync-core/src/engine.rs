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
use crate::event::{Event, Events};
use crate::profile::ServerProfile;
use crate::protocol::{ProbeReport, RequestBuilder};
use crate::store::{ConflictPolicy, LocalStore, Purge, Purged, Resolution, Resolver};
use crate::transport::{Timer, Transport};

pub use self::probe::probe;
pub use self::pull::{PullReport, PullRequest, UnreadRow};
pub use self::push::{PushOptions, PushReport, PushStatus};
pub use self::resolve::Resolved;
pub use crate::conflict::{Conflict, ConflictHandler, Decision};

mod probe;
mod pull;
mod push;
mod resolve;
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
    events: Events,
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
        let events = store.events();
        Self { store, transport, timer, requests, profile, handler, proof, events, turn: Mutex::new(()) }
    }

    /// Asks `handler` about each conflict of a push before it is recorded. Without one the columns' merge rules
    /// decide ([`ConflictPolicy::default_of`]).
    #[must_use]
    pub fn with_conflict_handler(mut self, handler: Arc<dyn ConflictHandler>) -> Self {
        self.handler = Some(handler);
        self
    }

    /// Where the progress of push and pull is told, and by stores that do so what each commit changed.
    pub fn events(&self) -> &Events {
        &self.events
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
    /// [`ErrorKind::InvalidArgument`] before any request for options that cannot be; the push's errors if operations
    /// had to be pushed first and were not done; [`ErrorKind::WrongDialect`] when the server does not speak this
    /// engine's dialect: nothing was stored; [`ErrorKind::InvalidQuery`], [`ErrorKind::UnknownTable`],
    /// [`ErrorKind::InvalidResponse`], [`ErrorKind::Network`] and other errors of the server: pages stored so far and
    /// their token stay, the next pull goes on there.
    pub async fn pull(&self, request: PullRequest) -> Result<PullReport> {
        request.check()?;
        let table = request.predicate.table;
        self.known(table)?;
        let _turn = self.turn.lock().await;
        let name = request.event_ref();
        self.events.emit(|| Event::PullStarted(name.clone()));
        let outcome = pull::run(self, &request).await;
        self.events.emit(|| name.finished(&outcome));
        outcome.map_err(|error| {
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

    /// Lets a policy decide about every operation of one table, or of all, about which something is to be decided:
    /// recorded errors, and conflicts that a pull showed. Works without network; what is kept or merged is sent by
    /// the next push.
    ///
    /// # Errors
    ///
    /// Errors of the local database; what was resolved before stays so.
    pub async fn resolve_all(
        &self,
        table: Option<&'static TableSchema>,
        policy: ConflictPolicy,
    ) -> Result<Resolved> {
        let decide = |conflict: &Conflict| Ok(policy.decide(conflict));
        resolve::run(&*self.store, table, decide, Resolver::Policy(policy)).await
    }

    /// As [`resolve_all`](Self::resolve_all), with a decision of the app about each.
    ///
    /// # Errors
    ///
    /// The first error of `decide`, and errors of the local database; what was resolved before stays so.
    pub async fn resolve_with(
        &self,
        table: Option<&'static TableSchema>,
        decide: impl FnMut(&Conflict) -> Result<Resolution> + Send,
    ) -> Result<Resolved> {
        resolve::run(&*self.store, table, decide, Resolver::App).await
    }

    /// Removes matching local rows; sends nothing. Waits for a push, pull or purge under way (G-10).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PendingOperations`] if the table has operations and `force` is false; nothing changed.
    pub async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.known(purge.predicate.table)?;
        let _turn = self.turn.lock().await;
        self.store.purge(purge).await
    }

    /// As [`purge`](Self::purge), without waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] while a push, pull or purge is under way, and those of [`purge`](Self::purge).
    pub async fn try_purge(&self, purge: Purge) -> Result<Purged> {
        self.known(purge.predicate.table)?;
        let Ok(_turn) = self.turn.try_lock() else {
            return Err(Error::new(ErrorKind::Busy, "a push, pull or purge is under way")
                .with_table(purge.predicate.table.name));
        };
        self.store.purge(purge).await
    }

    /// Forgets how far the table was pulled, or one of its query ids: the next pull starts at the beginning. Rows stay
    /// (T-06). Waits for a pull under way, which would store its token again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an unknown table; errors of the store.
    pub async fn reset_token(&self, table: &'static TableSchema, query_id: Option<&str>) -> Result<()> {
        self.known(table)?;
        let _turn = self.turn.lock().await;
        self.store.reset_token(table, query_id).await
    }

    /// The endpoint and its dialect, as a key for what is known of it.
    fn address(&self) -> String {
        format!("{} {}", self.requests.dialect().label(), self.requests.endpoint().as_str())
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
