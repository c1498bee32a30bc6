//! Drives a store and a transport: push, pull, purge.
//!
//! The engine holds no state of its own: everything that matters is in the store, so a crash or a dropped future
//! leaves what the store holds, and the next call goes on from there. Push, pull and purge of one database run one
//! after another (C-08), also between engines and processes, by the store's lease; local reads and writes never wait
//! for them. No transaction and no lock of the database is held across a request.
//!
//! End a call by a [`Cancellation`], which waits shortly for answers under way, or by dropping the future: pages and outcomes stored so far stay, and an operation whose answer had not come
//! stays attempted; the next push settles it by comparison (F-09).

use std::fmt;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use tokio::sync::{Mutex, MutexGuard};

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events};
use crate::profile::ServerProfile;
use crate::protocol::{ProbeReport, RequestBuilder};
use crate::store::{ConflictPolicy, LocalStore, OtherAccount, Owner, Purge, Purged, Resolution, Resolver};
use crate::transport::{Request, Response, SendError, Timer, Transport};

pub use self::cancellation::Cancellation;
pub use self::probe::probe;
pub use self::pull::{PullReport, PullRequest, UnreadRow};
pub use self::push::{HeldOperation, PushOptions, PushReport, PushStatus};
pub use self::resolve::Resolved;
pub use crate::conflict::{Conflict, ConflictHandler, Decision};

mod cancellation;
mod probe;
mod pull;
mod push;
mod resolve;
#[cfg(test)]
mod tests;

const FEATURES: HeaderName = HeaderName::from_static("x-zumo-features");

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
    /// For whom this engine pushes; `None`: for whoever the queue belongs to.
    owner: Option<Owner>,
    /// The turn of push, pull and purge of this engine (C-08); the store's lease is that of all.
    turn: Mutex<()>,
    closing: Cancellation,
    tells_features: bool,
    idempotency: Option<String>,
}

/// The right to push, pull or purge; it ends with this value.
struct Turn<'e, L> {
    // Freed in this order: the lease first, so that the next of this engine finds it free.
    _lease: L,
    _turn: MutexGuard<'e, ()>,
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
        let (owner, turn, closing) = (None, Mutex::new(()), Cancellation::new());
        Self {
            store,
            transport,
            timer,
            requests,
            profile,
            handler,
            proof,
            events,
            owner,
            turn,
            closing,
            tells_features: false,
            idempotency: None,
        }
    }

    /// Sends `X-ZUMO-FEATURES: OL` with every request, as the ancestors did for the service's statistics (P-15).
    /// Default: not sent; no server's answer depends on it.
    #[must_use]
    pub fn with_features_header(mut self) -> Self {
        self.tells_features = true;
        self
    }

    /// Sends `Idempotency-Key` with every write, the same when the write is repeated (W-17), for servers that know
    /// it; nothing here relies on it. `device` names this database among all that push to the service, in characters
    /// that a header may have.
    #[must_use]
    pub fn with_idempotency_keys(mut self, device: impl Into<String>) -> Self {
        self.idempotency = Some(device.into());
        self
    }

    /// Makes the queue that of this account at this engine's service, and refuses to push it once it is another one's
    /// (C-12). Gives the number of operations dropped. Sends nothing.
    ///
    /// An engine that never claims its queue pushes whatever is in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OtherAccount`] when operations of another account or service wait and `answer` is
    /// [`OtherAccount::Refuse`]: nothing changed.
    pub async fn claim(&mut self, account: Option<&str>, answer: OtherAccount) -> Result<u64> {
        let owner = Owner {
            endpoint: self.requests.endpoint().as_str().to_owned(),
            account: account.map(str::to_owned),
        };
        // Nothing of another owner may be under way meanwhile.
        let is_known = self.store.owner().await?.is_none_or(|known| known.includes(&owner));
        let _lease = if is_known { None } else { Some(self.store.lease(true).await?) };
        let dropped = self.store.claim(owner.clone(), answer).await?;
        self.owner = Some(owner);
        Ok(dropped)
    }

    /// Ends this engine: a push or pull under way is asked to end and its outcome is stored (C-10); every later call
    /// fails with [`ErrorKind::Closed`]. Resolves when nothing is under way.
    pub async fn close(&self) {
        self.closing.cancel();
        let _turn = self.turn.lock().await;
    }

    /// Waits for the turn, and for the lease of the database.
    async fn turn(&self, wait: bool, cancellation: &Cancellation) -> Result<Turn<'_, S::Lease>> {
        self.check_open(cancellation)?;
        let turn = async {
            let turn = if wait {
                self.turn.lock().await
            } else {
                self.turn
                    .try_lock()
                    .map_err(|_| Error::new(ErrorKind::Busy, "a push, pull or purge is under way"))?
            };
            let lease = self.store.lease(wait).await?;
            Ok(Turn { _lease: lease, _turn: turn })
        };
        let turn = tokio::select! {
            biased;
            () = self.ended(cancellation) => return self.check_open(cancellation).and_then(|()| Err(cancelled())),
            turn = turn => turn?,
        };
        if let (Some(ours), Some(owner)) = (&self.owner, self.store.owner().await?)
            && owner != *ours
        {
            return Err(Error::new(
                ErrorKind::OtherAccount,
                "the local changes belong to another account or service since this context was opened",
            ));
        }
        Ok(turn)
    }

    /// Sends a request of push or pull.
    async fn send(&self, mut request: Request) -> Result<Response, SendError> {
        if self.tells_features {
            request.headers.insert(FEATURES, HeaderValue::from_static("OL"));
        }
        self.transport.send(request).await
    }

    fn check_open(&self, cancellation: &Cancellation) -> Result<()> {
        if self.closing.is_cancelled() {
            return Err(Error::new(ErrorKind::Closed, "the context is closed"));
        }
        if cancellation.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// Whether the call is to end.
    fn has_ended(&self, cancellation: &Cancellation) -> bool {
        self.closing.is_cancelled() || cancellation.is_cancelled()
    }

    /// Resolves when the call is to end.
    async fn ended(&self, cancellation: &Cancellation) {
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = cancellation.cancelled() => {}
        }
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
    /// it, [`ErrorKind::Internal`] if the app's code around a request panicked; [`Error::push_report`] tells what was done. [`ErrorKind::InvalidArgument`] for an unknown table or a
    /// window of 0, [`ErrorKind::Busy`] if another sync runs and the push must not wait, [`ErrorKind::OtherAccount`],
    /// [`ErrorKind::Closed`]: nothing was sent. Errors of the store, with a report once something was sent.
    pub async fn push(&self, options: PushOptions) -> Result<PushReport> {
        options.check(self.store.tables())?;
        let _turn = self.turn(options.wait, &options.cancellation).await?;
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
        request.push.check(self.store.tables()).map_err(|error| error.with_table(table.name))?;
        let _turn = self.turn(request.push.wait, &request.push.cancellation).await?;
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
        let _turn = self.turn(true, &Cancellation::new()).await?;
        self.store.purge(purge).await
    }

    /// As [`purge`](Self::purge), without waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] while a push, pull or purge is under way, and those of [`purge`](Self::purge).
    pub async fn try_purge(&self, purge: Purge) -> Result<Purged> {
        self.known(purge.predicate.table)?;
        let turn = self.turn(false, &Cancellation::new()).await;
        let _turn = turn.map_err(|error| error.with_table(purge.predicate.table.name))?;
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
        let _turn = self.turn(true, &Cancellation::new()).await?;
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

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was asked to end")
}

impl<S> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("requests", &self.requests).finish_non_exhaustive()
    }
}
