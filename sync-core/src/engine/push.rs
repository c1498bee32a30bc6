//! The push: takes operations in groups, keeps a window of requests in flight, stores outcomes in groups.
//!
//! One [`exchange`](LocalStore::exchange) stores the outcomes that came in and marks the next operations, in one
//! durable transaction: with a window of 1 an operation costs one commit, with a larger one a group does (R8). A
//! mark is durable before its request starts (F-01).

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use self::line::Line;
use self::send::{Answered, send};
use super::{Cancellation, Engine};
use crate::check::check_resolution;
use crate::conflict::{Conflict, Decision, base_of_changes};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{self, Event, PushFinished};
use crate::operation::{
    FailureClass, InFlight, OperationError, OperationKey, OperationKind, Outgoing, Relations, RowRef,
    SentKind,
};
use crate::protocol::Dialect;
use crate::push::{Reading, Stop};
use crate::row::Row;
use crate::store::{
    ConflictPolicy, Exchange, Failure, LocalStore, Outcome, PushSession, Resolution, Resolver, Settlement,
    Take, UpdateBody,
};

pub use self::line::HeldOperation;

mod line;
mod send;

/// Answers of class 5xx in a row that stop a push (P-20a), to operations that did not fail so before.
const SERVER_ERRORS: u32 = 5;
/// How long running requests may finish after a push has to stop (F-08).
const GRACE: Duration = Duration::from_secs(2);
/// How long an outcome waits for others to be stored with it (R8).
const COMPANY: Duration = Duration::from_millis(100);

/// What to push and how.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Names of the tables to push; empty = all.
    pub tables: Vec<String>,
    /// Most requests in flight, 1 to 64. Default 1. Operations of one row never overlap, nor do those of rows that
    /// mention each other; see [`order`](crate::operation::order) for what may go together.
    pub window: usize,
    /// Whether operations that failed in an earlier push are sent again (P-29). Default true; with false, each is
    /// left alone until the app changes its row or resolves its error.
    pub retry_failed: bool,
    /// How often a handler or the rules of columns may decide about one row within this push (P-30); the conflict after
    /// that is recorded. Default 5; with 0 nobody is asked.
    pub handler_repeats: u32,
    /// Whether to wait for a push, pull or purge of the same database, here or in another process. Default true; with
    /// false the call fails with [`ErrorKind::Busy`].
    pub wait: bool,
    /// Ends the push early (F-08).
    pub cancellation: Cancellation,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            window: 1,
            retry_failed: true,
            handler_repeats: 5,
            wait: true,
            cancellation: Cancellation::new(),
        }
    }
}

impl PushOptions {
    pub(super) fn check(&self, known: &[&'static TableSchema]) -> Result<()> {
        if !(1..=64).contains(&self.window) {
            return Err(Error::new(ErrorKind::InvalidArgument, "the window of a push must be 1 to 64"));
        }
        self.resolve(known).map(|_| ())
    }

    fn resolve(&self, known: &[&'static TableSchema]) -> Result<Vec<&'static str>> {
        self.tables
            .iter()
            .map(|name| {
                known.iter().find(|table| table.name == name).map(|table| table.name).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidArgument, "a push of a table that is not in the schema")
                        .with_table(name)
                })
            })
            .collect()
    }
}

/// How a push ended (P-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushStatus {
    /// Every operation was tried.
    Complete,
    /// No answer, or an answer that is none.
    Network,
    /// The server refuses the credentials.
    Authentication,
    /// The server is busy.
    ServerBusy,
    /// A handler asked to stop.
    AbortedByHandler,
    /// The push was asked to end, or its context was closed.
    Cancelled,
    /// The local database failed, which includes a panic of what ran in it; nothing is half written.
    LocalStore,
    /// A handler around the requests, the credentials or the transport panicked. The operation under way stays uncertain,
    /// and the next push settles it. A panic of a conflict handler is none of this: it is recorded as the error of its
    /// operation, and the push goes on. One anywhere else goes through to the caller of the push and leaves what
    /// dropping the push leaves.
    Internal,
}

/// What a push did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushReport {
    /// How it ended.
    pub status: PushStatus,
    /// Requests sent for operations, repeats included.
    pub sent: u64,
    /// Operations the server acknowledged.
    pub completed: u64,
    /// Updates that turned out to change nothing and needed no request.
    pub unneeded: u64,
    /// Operations of the pushed tables still queued, failed and parked ones included.
    pub remaining: u64,
    /// Operations of the pushed tables that are parked ([`Resolution::Park`]): not sent, and no reason to call the push
    /// incomplete, but for those parked by this push, which are in [`errors`](Self::errors) as well. Not counted in a
    /// push that the local database ended.
    pub parked: u64,
    /// The recorded errors of this push, by sequence. With [`PushOptions::retry_failed`] off also those of the
    /// operations it left alone, which are [`old`](OperationError::old).
    pub errors: Vec<OperationError>,
    /// Operations that were not sent because one that must come first failed, is parked, is held itself, or was not part
    /// of this push (P-22); in the order of the queue.
    pub held: Vec<HeldOperation>,
    /// Bytes of the bodies sent and received for operations, without those of handlers' own requests.
    pub bytes: u64,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// Why the push stopped early.
    cause: Option<std::sync::Arc<Error>>,
}

impl PushReport {
    /// Whether every operation was sent and none failed, apart from those that the app told to leave alone: operations
    /// parked before this push, and what waits for them.
    pub fn is_complete(&self) -> bool {
        self.status == PushStatus::Complete
            && self.errors.is_empty()
            && self.held.iter().all(|held| held.for_parked)
    }

    /// Kind of the error as which a push that did not do everything is reported.
    pub(crate) fn error_kind(&self) -> Option<ErrorKind> {
        if self.is_complete() {
            return None;
        }
        Some(match (&self.cause, self.status) {
            (Some(cause), _) => cause.kind(),
            (None, PushStatus::AbortedByHandler) => ErrorKind::Aborted,
            (None, PushStatus::Cancelled) => ErrorKind::Cancelled,
            (None, _) => ErrorKind::PushFailed,
        })
    }

    pub(super) fn into_result(self) -> Result<Self> {
        let Some(kind) = self.error_kind() else { return Ok(self) };
        let mut message = format!("push not complete: {} done, {} remain", self.completed, self.remaining);
        if !self.errors.is_empty() {
            message.push_str(&format!(", {} failed", self.errors.len()));
        }
        if !self.held.is_empty() {
            message.push_str(&format!(", {} held back", self.held.len()));
        }
        let mut error = Error::new(kind, message);
        if let Some(cause) = &self.cause {
            if let Some(status) = cause.status() {
                error = error.with_status(status);
            }
            if let Some(table) = cause.table() {
                error = error.with_table(table);
            }
            if let Some(item) = cause.item() {
                error = error.with_item(item);
            }
            error = error.with_source(std::sync::Arc::clone(cause));
        } else if let [only] = &self.errors[..] {
            error = error.with_table(only.key.table).with_item(only.key.item_id.as_str());
        }
        Err(error.with_push_report(self))
    }
}

/// Runs one push; the caller holds the turn.
pub(super) async fn run<S: LocalStore>(engine: &Engine<S>, options: &PushOptions) -> Result<PushReport> {
    let tables = options.resolve(engine.store.tables())?;
    let session = engine.store.begin_push().await?;
    let queued = if tables.is_empty() { session.queued } else { waiting(&*engine.store, &tables).await? };
    engine.events.emit(|| Event::PushStarted { queued: session.queued });
    let run = Run {
        engine,
        session,
        queued,
        cancellation: options.cancellation.clone(),
        tables,
        window: options.window,
        retry_failed: options.retry_failed,
        handler_repeats: options.handler_repeats,
        relations: Relations::new(engine.store.tables()),
        line: Line::default(),
        report: PushReport {
            status: PushStatus::Complete,
            sent: 0,
            completed: 0,
            unneeded: 0,
            remaining: 0,
            parked: 0,
            errors: Vec::new(),
            held: Vec::new(),
            bytes: 0,
            retry_after: None,
            cause: None,
        },
        failed: HashSet::new(),
        repeats: HashMap::new(),
        server_errors: 0,
        failing: None,
    };
    let outcome = run.drive().await;
    engine.events.emit(|| PushFinished::of(&outcome));
    outcome
}

struct Run<'e, S> {
    engine: &'e Engine<S>,
    session: PushSession,
    /// Operations of the pushed tables at the beginning.
    queued: u64,
    cancellation: Cancellation,
    tables: Vec<&'static str>,
    window: usize,
    retry_failed: bool,
    handler_repeats: u32,
    relations: Relations,
    line: Line,
    report: PushReport,
    /// Rows whose operation failed in this push.
    failed: HashSet<(&'static str, String)>,
    repeats: HashMap<(&'static str, String), u32>,
    server_errors: u32,
    /// Rows whose operation, as it is now, the server failed on in an earlier push; read once it fails in this one.
    failing: Option<HashSet<RowRef>>,
}

impl<S: LocalStore> Run<'_, S> {
    async fn drive(mut self) -> Result<PushReport> {
        let outcome = match self.send_all().await {
            Ok(()) => self.finish().await,
            failed => failed,
        };
        match outcome {
            Ok(()) => Ok(self.report),
            // Nothing happened: the error says it all.
            Err(error) if self.report.sent + self.report.unneeded == 0 => Err(error),
            Err(error) => {
                // P-20e: what was answered and not stored stays attempted and is settled by the next push.
                self.report.status = PushStatus::LocalStore;
                self.report.cause = Some(std::sync::Arc::new(error));
                let done = self.report.completed + self.report.unneeded;
                self.report.remaining = self.queued.saturating_sub(done);
                self.report.held = std::mem::take(&mut self.line).held(false, &HashSet::new());
                Ok(self.report)
            }
        }
    }

    async fn send_all(&mut self) -> Result<()> {
        let mut sending = FuturesUnordered::new();
        let mut in_flight: Vec<InFlight> = Vec::new();
        let mut settlements: Vec<Settlement> = Vec::new();
        let mut grace: Option<BoxFuture<'static, ()>> = None;
        // With a window above 1 outcomes are stored in groups of half of it, when nothing is in flight, or when the
        // first has waited for long enough.
        let group = (self.window / 2).max(1);
        let mut company: Option<BoxFuture<'static, ()>> = None;
        let mut is_due = false;
        loop {
            if self.cancellation.is_cancelled() || self.engine.closing.is_cancelled() {
                self.end(PushStatus::Cancelled);
            }
            let stopped = self.report.status != PushStatus::Complete;
            if settlements.len() >= group || sending.is_empty() || is_due {
                (company, is_due) = (None, false);
                let room = self.window - sending.len();
                settlements.iter().for_each(|settlement| self.line.wake(&settlement.key.row()));
                let take = (!stopped && room > 0).then(|| self.next(room, &in_flight));
                if take.is_none() && settlements.is_empty() && sending.is_empty() {
                    return Ok(());
                }
                let taken = self.exchange(std::mem::take(&mut settlements), take).await?;
                if taken.is_empty() && sending.is_empty() {
                    if stopped || !self.line.may_go_on() {
                        return Ok(());
                    }
                    continue;
                }
                for operation in taken {
                    in_flight.push(self.relations.in_flight(&operation));
                    self.report.sent += 1;
                    sending.push(send(self.engine, operation));
                }
            }
            let next = if stopped {
                let grace = grace.get_or_insert_with(|| self.engine.timer.sleep(GRACE));
                match select(sending.next(), grace).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => {
                        // What has not been answered by now stays attempted and is settled by the next push.
                        drop(std::mem::take(&mut sending));
                        in_flight.clear();
                        continue;
                    }
                }
            } else {
                tokio::select! {
                    biased;
                    next = sending.next() => next,
                    () = self.engine.ended(&self.cancellation) => continue,
                    () = done(&mut company) => {
                        is_due = true;
                        continue;
                    }
                }
            };
            if let Some(Answered { operation, reading, bytes }) = next {
                let row = operation.key.row();
                in_flight.retain(|other| other.row != row);
                self.report.bytes += bytes;
                settlements.push(self.settle(operation, reading).await?);
                if settlements.len() < group {
                    company.get_or_insert_with(|| self.engine.timer.sleep(COMPANY));
                }
            }
        }
    }

    /// The push goes no further.
    fn end(&mut self, status: PushStatus) {
        if self.report.status == PushStatus::Complete {
            self.report.status = status;
        }
    }

    /// What the next step of the store takes.
    fn next(&mut self, room: usize, in_flight: &[InFlight]) -> Take {
        let mut take = Take {
            tables: self.tables.clone(),
            update_body: update_body(self.engine.requests.dialect()),
            retry_failed: self.retry_failed,
            in_flight: in_flight.to_vec(),
            ..Take::first(room)
        };
        self.line.fill(&mut take);
        take
    }

    /// One step of the store.
    async fn exchange(&mut self, settlements: Vec<Settlement>, take: Option<Take>) -> Result<Vec<Outgoing>> {
        let is_done = |settlement: &&Settlement| matches!(settlement.outcome, Outcome::Acknowledged { .. });
        let completed = settlements.iter().filter(is_done).count();
        let settled: Vec<OperationKey> =
            settlements.iter().map(|settlement| settlement.key.clone()).collect();
        let takes = take.is_some();
        let done = event::done(&self.engine.events, &settlements);
        let exchange = Exchange { session: self.session, settlements, take };
        let mut exchanged = self.engine.store.exchange(exchange).await?;
        self.engine.events.emit_all(done.into_iter().chain(event::sent(&exchanged.taken)));
        self.report.completed += completed as u64;
        self.report.unneeded += exchanged.unneeded;
        self.failed.extend(exchanged.damaged.iter().map(row_of));
        if takes {
            self.line.looked(&mut exchanged);
        }
        if exchanged.remainders > 0 {
            settled.iter().for_each(|key| self.line.expect_back(key));
        }
        Ok(exchanged.taken)
    }

    /// Turns a reading into what the store records, and notes what it means for the push.
    async fn settle(&mut self, operation: Outgoing, reading: Result<Reading>) -> Result<Settlement> {
        let row = (operation.key.table, operation.key.item_id.clone());
        let outcome = match reading {
            Ok(Reading::Settled(outcome)) => outcome,
            Ok(Reading::Stop(outcome, stop)) => {
                self.stop(stop);
                outcome
            }
            Ok(Reading::Fetch(_)) => Outcome::Uncertain(None),
            // A request that cannot even be built was not sent.
            Err(error) => Outcome::Refused(Failure {
                class: FailureClass::Refused,
                status: None,
                message: error.to_string(),
                remote: None,
            }),
        };
        self.server_errors = match &outcome {
            Outcome::Uncertain(Some(_)) if !self.is_known_to_fail(&operation).await? => {
                self.server_errors + 1
            }
            Outcome::Uncertain(Some(_)) => self.server_errors,
            Outcome::Refused(failure) if failure.class == FailureClass::ServerError => self.server_errors,
            _ => 0,
        };
        if self.server_errors >= SERVER_ERRORS {
            let error = Error::new(ErrorKind::ServerBusy, "the server failed several times in a row");
            self.stop(Stop::Busy(error, None));
        }
        let outcome = match outcome {
            Outcome::Conflict(failure) => self.ask_handler(&operation, failure).await?,
            outcome => outcome,
        };
        match &outcome {
            Outcome::Acknowledged { .. } => {
                self.failed.remove(&row);
            }
            // A choice may not apply to the row any more (K-12), or be refused by the database (P-20h): the store
            // records the conflict then. Of what it did settle there is no error to report.
            Outcome::Refused(_)
            | Outcome::Conflict(_)
            | Outcome::Uncertain(Some(_))
            | Outcome::Resolved { .. } => {
                self.failed.insert(row);
            }
            Outcome::Uncertain(None) | Outcome::Unsent => {}
        }
        // The content of a revived row follows, and so does what a handler chose.
        let follows =
            matches!(&outcome, Outcome::Acknowledged { .. }) && operation.sent == SentKind::Undelete;
        let is_parked = matches!(&outcome, Outcome::Resolved { resolution: Resolution::Park, .. });
        if follows || (matches!(&outcome, Outcome::Resolved { .. }) && !is_parked) {
            self.line.expect_back(&operation.key);
        }
        Ok(Settlement { key: operation.key, outcome })
    }

    /// Whether the server failed on this content before: what stands behind it must get its turn, or a few such rows
    /// would stop every push. The outcome of every second failure is known (`look_after_refusal`), so that the
    /// operation's state does not tell.
    async fn is_known_to_fail(&mut self, operation: &Outgoing) -> Result<bool> {
        if operation.uncertain {
            return Ok(true);
        }
        let failing = match &mut self.failing {
            Some(failing) => failing,
            None => {
                let recorded = self.engine.store.errors(None).await?;
                let is_of_content = |error: &&OperationError| {
                    error.old && !error.superseded && error.class == FailureClass::ServerError
                };
                let failing = recorded.iter().filter(is_of_content).map(|error| error.key.row()).collect();
                self.failing.insert(failing)
            }
        };
        Ok(failing.contains(&operation.key.row()))
    }

    fn stop(&mut self, stop: Stop) {
        if self.report.status != PushStatus::Complete {
            return;
        }
        let error = match stop {
            Stop::Busy(error, retry_after) => {
                self.report.retry_after = retry_after;
                error
            }
            Stop::Failed(error) => error,
        };
        self.report.status = match error.kind() {
            ErrorKind::Unauthorized => PushStatus::Authentication,
            ErrorKind::ServerBusy => PushStatus::ServerBusy,
            ErrorKind::Internal => PushStatus::Internal,
            _ => PushStatus::Network,
        };
        self.report.cause = Some(std::sync::Arc::new(error));
    }

    /// Asks the handler, or else the columns' rules, about a conflict before it is recorded.
    async fn ask_handler(&mut self, operation: &Outgoing, failure: Failure) -> Result<Outcome> {
        let repeats = self.repeats.entry((operation.key.table, operation.key.item_id.clone())).or_default();
        if *repeats >= self.handler_repeats {
            return Ok(Outcome::Conflict(failure));
        }
        let local = match operation.sent {
            SentKind::Delete => Some(operation.item.clone()),
            _ => self.engine.store.get(operation.table, &operation.key.item_id).await?,
        };
        let conflict = conflict_of(operation, &failure, local, *repeats);
        *repeats += 1;
        let decision = match &self.engine.handler {
            None => Ok(Ok(Decision::Policy(ConflictPolicy::default_of(operation.table)))),
            Some(handler) => std::panic::catch_unwind(AssertUnwindSafe(|| handler.decide(&conflict))),
        };
        let failed = |message: String, failure: Failure| {
            Outcome::Conflict(Failure { class: FailureClass::Handler, message, ..failure })
        };
        let (resolution, by) = match decision {
            Ok(Ok(Decision::Resolve(resolution))) => (resolution, Resolver::Handler),
            Ok(Ok(Decision::Policy(policy))) => (policy.decide(&conflict), Resolver::Policy(policy)),
            Ok(Ok(Decision::Abort)) => {
                if self.report.status == PushStatus::Complete {
                    self.report.status = PushStatus::AbortedByHandler;
                }
                return Ok(Outcome::Conflict(failure));
            }
            Ok(Err(error)) => return Ok(failed(format!("the conflict handler failed: {error}"), failure)),
            Err(_) => return Ok(failed("the conflict handler panicked".into(), failure)),
        };
        if matches!(resolution, Resolution::Leave | Resolution::Unpark) {
            return Ok(Outcome::Conflict(failure));
        }
        // What the store would refuse would fail the whole step, at every push again.
        Ok(match check_resolution(operation.table, conflict.kind, &conflict.key.item_id, &resolution) {
            Ok(()) => Outcome::Resolved { failure, resolution, by },
            Err(error) => failed(format!("the conflict handler failed: {error}"), failure),
        })
    }

    async fn finish(&mut self) -> Result<()> {
        let store = &self.engine.store;
        self.report.remaining = waiting(&**store, &self.tables).await?;
        // Of every table: what is pushed may wait for a row of another one.
        let recorded = store.errors(None).await?;
        let is_complete = self.report.status == PushStatus::Complete;
        let parked = recorded.iter().filter(|error| error.parked).map(|error| error.key.row()).collect();
        self.report.held = std::mem::take(&mut self.line).held(is_complete, &parked);
        let is_wanted = |table| self.tables.is_empty() || self.tables.contains(&table);
        self.report.parked = parked.iter().filter(|row| is_wanted(row.table)).count() as u64;
        let is_of_this = |error: &OperationError| {
            let is_left = !self.retry_failed && error.old && !error.parked && is_wanted(error.key.table);
            is_left || self.failed.contains(&row_of(&error.key))
        };
        self.report.errors = recorded.into_iter().filter(is_of_this).collect();
        tracing::debug!(
            status = ?self.report.status,
            sent = self.report.sent,
            completed = self.report.completed,
            remaining = self.report.remaining,
            parked = self.report.parked,
            "push ended"
        );
        Ok(())
    }
}

/// Operations of these tables, or of all.
async fn waiting<S: LocalStore>(store: &S, tables: &[&'static str]) -> Result<u64> {
    if tables.is_empty() {
        return store.pending(None).await;
    }
    let mut count = 0;
    for table in store.tables().iter().filter(|table| tables.contains(&table.name)) {
        count += store.pending(Some(table)).await?;
    }
    Ok(count)
}

/// What a handler sees. The server's row is whole: what its answer left out is as in the base.
fn conflict_of(operation: &Outgoing, failure: &Failure, local: Option<Row>, repeats: u32) -> Conflict {
    let remote = failure.remote.as_ref().map(|remote| {
        let base = operation.base.clone();
        let mut whole = base.unwrap_or_else(|| Row::empty(operation.table, &operation.key.item_id));
        // An answer without version leaves it unknown; the base's would not guard.
        whole.version = None;
        whole.overlay(operation.table, remote);
        whole
    });
    Conflict {
        table: operation.table,
        key: operation.key.clone(),
        kind: match operation.sent {
            SentKind::Insert | SentKind::Undelete => OperationKind::Insert,
            SentKind::Update => OperationKind::Update,
            SentKind::Delete => OperationKind::Delete,
        },
        sent: Some(operation.sent),
        class: failure.class,
        status: failure.status,
        base: base_of_changes(operation.table, operation.base.clone(), operation.base_version.as_deref()),
        local,
        remote,
        // An attempt of an earlier push may have arrived; within this push each attempt was answered.
        uncertain: operation.uncertain || (operation.may_have_arrived && repeats == 0),
        // A parked operation is not sent.
        parked: false,
        repeats,
    }
}

fn row_of(key: &OperationKey) -> (&'static str, String) {
    (key.table, key.item_id.clone())
}

const fn update_body(dialect: Dialect) -> UpdateBody {
    match dialect {
        Dialect::MobileServices | Dialect::MobileApps => UpdateBody::Changed,
        Dialect::Datasync => UpdateBody::Whole,
    }
}

/// Resolves with the future; never without one.
async fn done(future: &mut Option<BoxFuture<'static, ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
