//! The pull: pages are fetched while earlier ones are stored, and stored in groups.
//!
//! The next page is asked for as soon as the scan of the last one tells which it is. Pages wait in a buffer while a
//! commit runs; a commit takes whole pages with their token, up to a number of rows, a number of bytes or a short
//! wait, whichever comes first (R16). If the network fails, what was received is stored before the error returns.
//!
//! # Rows that leave the filter (R12)
//!
//! A server asked for matching rows does not say which rows stopped matching. An incremental pull that tracks exits
//! asks for every change of the table instead, without the app's filter, and judges the rows itself; what left goes
//! ([`wanted`](crate::wanted)). Its token serves both ways of asking, since whoever saw every change saw the matching
//! ones. The other way round it does not: while a filtered pull runs, a row may leave at a time that its token then
//! passes. So a second point is kept per query id, the *feed*: exits up to it were seen. The store starts it at the
//! oldest change time of the rows that are here before the first pull; if there are none, the first filtered pull sets it
//! to the server's clock at its first answer, less [`FEED_MARGIN`], also if no row came. Only unfiltered pulls move it.
//! A pull that tracks exits starts at the smaller of both, each less its overlap. Without a token, because no row came yet or because it was
//! dropped, the matching rows are read first and then, in the same pull, every change since the feed. So tracking may
//! be switched off and on, and a pull may be interrupted, without an exit being missed; without a known feed the whole
//! table is read once.
//!
//! # Pages that are too large
//!
//! A page whose body is larger than the client takes ([`ErrorKind::AnswerTooLarge`]) is asked for again with half as many
//! rows, from the same place, and so are the rest of this pull. A single row that is too large ends it.
//!
//! # Reads by id
//!
//! Rows noted to be read by id come before the pages. Where the server is away, busy or wants other credentials, the
//! pull ends, as its pages would. A refusal or an unusable answer concerns this row: it is reported
//! ([`PullReport::unread`]), stays noted behind the others, and the pull goes on. They are stored together, in groups of
//! as many bytes as pages; a pull that is cancelled keeps those that were read.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cancellation, Engine, PushOptions, PushReport, probe, push};
use crate::entity::{self, ColumnRole, ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, PullRef};
use crate::page::{PageSummary, RowSummary};
use crate::predicate::{Node, Predicate, codec};
use crate::protocol::{Dialect, ListQuery, response};
use crate::pull::PullCursor;
use crate::pushdown::{self, Pushdown};
use crate::store::{
    Applied, DeltaToken, LocalStore, Page, PullBatch, PullEnd, PullScope, PullStart, QueryKey,
};
use crate::time::floor_to_millis;
use crate::transport::Request;

/// Largest page asked of any server (L-09).
const MAX_PAGE: u32 = 1000;
/// Rows that are committed at once.
const BATCH_ROWS: usize = 10_000;
/// Bytes of pages, or of rows read by id, waiting for a commit; above it no further one is received.
pub(super) const BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// How long a received page waits for company.
const LINGER: Duration = Duration::from_millis(100);
/// An answer is dated after its rows were read. No request for a page takes longer.
const FEED_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// How far the server's clock may stand before what it said before without being said to have gone back (T-10).
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// The stored endpoint that refuses to page behind an id.
const SKIPS: &str = "pages_by_skip";

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Name of the incremental pull; `None` pulls everything that matches, each time.
    pub query_id: Option<String>,
    /// Table and filter.
    pub predicate: Predicate,
    /// Rows asked for per page. Default 1000; above 1000 the server's limit is asked for instead. Fewer are asked for
    /// once a page was larger than the client takes.
    pub page_size: u32,
    /// Further parameters of each request for a page (L-06). Not those of the protocol itself: no name that starts
    /// with `$`, no `__includeDeleted` (L-05), no `__systemProperties`.
    pub parameters: Vec<(String, String)>,
    /// Whether an incremental pull learns which rows left its filter (R12), at the price of reading every change of
    /// the table. `None`: if the server's rows are cheap by its profile.
    pub track_exits: Option<bool>,
    /// A full pull that at its end removes the clean rows that match and did not come (L-13).
    pub mirror: bool,
    /// The order of a full pull with [`top`](Self::top) or [`skip`](Self::skip): columns, and whether downwards; `id`
    /// is the last key. Without those two it changes nothing, since all rows come in any order.
    pub order_by: Vec<(&'static ColumnSchema, bool)>,
    /// Rows that a full pull skips. Needs a filter that the server answers exactly.
    pub skip: u64,
    /// Most rows of a full pull. Needs a filter that the server answers exactly.
    pub top: Option<u64>,
    /// Whether pending operations are pushed first if the table has some (M-01). Rows with operations are safe either
    /// way.
    pub push_first: bool,
    /// Pull even if the push before it left operations with errors (M-04). Rows with operations stay as they are.
    pub pull_anyway: bool,
    /// Settings of the push before the pull; of all tables unless it names some (M-03).
    pub push: PushOptions,
}

impl PullRequest {
    /// An incremental pull under a query id, or a full pull without.
    pub fn new(query_id: Option<String>, predicate: Predicate) -> Self {
        Self {
            query_id,
            predicate,
            page_size: MAX_PAGE,
            parameters: Vec::new(),
            track_exits: None,
            mirror: false,
            order_by: Vec::new(),
            skip: 0,
            top: None,
            push_first: true,
            pull_anyway: false,
            push: PushOptions::default(),
        }
    }

    /// How events name this pull.
    pub(super) fn event_ref(&self) -> PullRef {
        PullRef::new(self.predicate.table.name, self.query_id.as_deref())
    }

    /// Checks everything that needs no server (M-06).
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, message).with_table(self.predicate.table.name))
        };
        if let Some(query_id) = &self.query_id {
            let length = query_id.chars().count();
            if !(1..=255).contains(&length) || query_id.chars().any(char::is_control) {
                return invalid("a query id must have 1 to 255 characters and no control characters");
            }
            if !self.order_by.is_empty() || self.is_window() {
                return invalid("a pull with a query id has no order, top or skip");
            }
            if self.mirror {
                return invalid("only a pull without query id mirrors the server");
            }
        } else if self.track_exits == Some(true) {
            return invalid("only a pull with a query id tracks exits; a full pull mirrors");
        }
        if self.mirror && self.is_window() {
            return invalid("a pull that mirrors the server has no top or skip");
        }
        if self.page_size == 0 {
            return invalid("the page size must be at least 1");
        }
        if self.top == Some(0) {
            return invalid("top must be at least 1");
        }
        if let Some((column, _)) = self.order_by.iter().find(|(column, _)| column.local) {
            return invalid(&format!("the server does not know the local column {}", column.name));
        }
        for (name, _) in &self.parameters {
            let reserved = ["__includedeleted", "__systemproperties"];
            if name.is_empty() || name.starts_with('$') || reserved.contains(&&*name.to_ascii_lowercase()) {
                return invalid(&format!("the parameter {name:?} belongs to the protocol"));
            }
        }
        Ok(())
    }

    fn is_window(&self) -> bool {
        self.skip > 0 || self.top.is_some()
    }

    /// What the store remembers of this pull.
    pub(super) fn scope(&self) -> PullScope {
        let wanted = codec::encode(&self.predicate.node);
        // L-08: filter and parameters. Equal texts are equal questions.
        let fingerprint = match self.parameters.as_slice() {
            [] => wanted.clone(),
            parameters => format!("{wanted}{}", serde_json::json!(parameters)),
        };
        let query =
            self.query_id.as_ref().map(|query_id| QueryKey { query_id: query_id.clone(), fingerprint });
        PullScope { table: self.predicate.table, query, wanted, mirror: self.mirror }
    }

    /// `$orderby` of a window.
    fn order(&self, dialect: Dialect) -> String {
        let mut keys: Vec<String> = Vec::new();
        for (column, descending) in &self.order_by {
            let name = dialect.column_name(column);
            keys.push(if *descending { format!("{name} desc") } else { name.to_owned() });
        }
        if self.order_by.iter().all(|(column, _)| column.role != ColumnRole::Id) {
            keys.push(dialect.column_name(&entity::ID).to_owned());
        }
        keys.join(",")
    }
}

/// What a pull did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PullReport {
    /// Rows by what became of them.
    pub rows: Applied,
    /// Pages received.
    pub pages: u64,
    /// Bytes of these pages, decompressed.
    pub bytes: u64,
    /// The token of this query id was dropped because its filter changed (L-08).
    pub restarted: bool,
    /// Rows that left the filter since the last pull were looked for (R12). The first pull of a query id has none.
    pub tracked_exits: bool,
    /// The server's clock stands clearly before a time it gave earlier: it was set back, or the server was restored
    /// from a backup, and rows changed since may lie before the token (T-10). Reset the token, or mirror.
    pub server_went_back: bool,
    /// Rows noted to be read by id that the server refused to show; they stay noted.
    pub unread: Vec<UnreadRow>,
    /// The push before the pull, if there was one.
    pub push: Option<PushReport>,
}

/// A row that the server refused to show when asked by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadRow {
    /// The row's id.
    pub item_id: String,
    /// Why.
    pub kind: ErrorKind,
    /// Status of the answer, if it was a refusal.
    pub status: Option<u16>,
}

/// Runs one pull; the caller holds the turn.
pub(super) async fn run<S: LocalStore>(engine: &Engine<S>, request: &PullRequest) -> Result<PullReport> {
    let table = request.predicate.table;
    let dialect = engine.requests.dialect();
    let split = pushdown::split(&request.predicate.node, &engine.profile, dialect);
    if request.is_window() && split.local_rest.is_some() {
        let reasons: Vec<String> = split.reasons.iter().map(ToString::to_string).collect();
        let message =
            format!("top and skip need a filter that the server answers exactly: {}", reasons.join(", "));
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut report = PullReport::default();

    if request.push_first && engine.store.pending(Some(table)).await? > 0 {
        report.push = Some(implicit_push(engine, request).await?);
    }

    let scope = request.scope();
    let start = engine.store.begin_pull(scope.clone()).await?;
    report.restarted = start.restarted;
    if start.restarted {
        engine.events.emit(|| Event::QueryRestarted(request.event_ref()));
    }
    if !start.refetch.is_empty() {
        refetch(engine, request, &start.refetch, &mut report).await?;
        engine.events.emit(|| Event::PagesStored { pull: request.event_ref(), rows: report.rows });
    }
    let skips = engine.store.setting(SKIPS).await?.is_some_and(|endpoint| endpoint == engine.address());
    let mut run = Run::new(engine, request, scope, start, split, report);
    if skips {
        run.cursor.skip_instead();
    }
    run.drive().await
}

async fn implicit_push<S: LocalStore>(engine: &Engine<S>, request: &PullRequest) -> Result<PushReport> {
    let report = push::run(engine, &request.push).await?;
    if request.pull_anyway && report.status == super::PushStatus::Complete {
        return Ok(report);
    }
    report.into_result()
}

/// Where the first request starts (T-05): before the token, and before the last pull's start by the overlap, both
/// by the server's clock.
fn lower_bound(token: &DeltaToken, overlap: Duration) -> DateTime<Utc> {
    if overlap.is_zero() {
        return token.instant;
    }
    let overlap = TimeDelta::from_std(overlap).unwrap_or(TimeDelta::MAX);
    let before = token.server_date.unwrap_or(token.instant);
    before.checked_sub_signed(overlap).unwrap_or(DateTime::UNIX_EPOCH).min(token.instant)
}

/// Where exits are looked for if they were seen up to this instant. When that was is not known: the server's date at the
/// start of the last pull counts for nothing, since that pull may have been a filtered one.
fn feed_bound(feed: DateTime<Utc>, overlap: Duration) -> DateTime<Utc> {
    lower_bound(&DeltaToken { instant: feed, server_date: None }, overlap)
}

/// Pages received and not yet handed to the store.
#[derive(Default)]
struct Buffer {
    pages: Vec<Page>,
    rows: usize,
    bytes: usize,
    token: Option<DateTime<Utc>>,
}

/// A page with the server's clock when it answered.
struct Received {
    page: Page,
    date: Option<DateTime<Utc>>,
}

/// What a page does to the point up to which exits were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Feed {
    /// Every change is read: it moves with the token.
    Followed,
    /// The first filtered pull sets it: no row is here that could have left.
    Unset,
    /// It stays.
    Kept,
}

/// A second sweep, over all changes since an instant (R12).
struct Exits {
    predicate: Predicate,
    from: DateTime<Utc>,
}

struct Run<'e, S> {
    engine: &'e Engine<S>,
    table: &'static TableSchema,
    cursor: PullCursor,
    /// How events name this pull.
    name: PullRef,
    scope: PullScope,
    local_rest: Option<Predicate>,
    mirror: Option<Predicate>,
    refill: bool,
    is_window: bool,
    feed: Feed,
    /// What leads to the feed once the matching rows were read: there is no token to start both from.
    exits: Option<Exits>,
    /// The token before this pull.
    token: Option<DateTime<Utc>>,
    /// The greatest time the server gave before this pull.
    latest: Option<DateTime<Utc>>,
    /// The server's clock at the first answer of this pull.
    server_date: Option<DateTime<Utc>>,
    /// Whether the server refused to go on behind an id.
    fell_back: bool,
    cancellation: Cancellation,
    buffer: Buffer,
    report: PullReport,
}

impl<'e, S: LocalStore> Run<'e, S> {
    fn new(
        engine: &'e Engine<S>,
        request: &PullRequest,
        scope: PullScope,
        start: PullStart,
        split: Pushdown,
        mut report: PullReport,
    ) -> Self {
        let table = request.predicate.table;
        let (profile, dialect) = (&engine.profile, engine.requests.dialect());
        let page_size = request.page_size.min(profile.max_page());
        let guaranteed = profile.guaranteed_page();
        let is_partial = !request.predicate.node.is_always();
        let tracks = is_partial && request.track_exits.unwrap_or(profile.has_cheap_rows());
        let feed = match (&start.token, start.feed) {
            (Some(_), _) if tracks => Feed::Followed,
            (None, None) => Feed::Unset,
            _ => Feed::Kept,
        };
        report.tracked_exits = scope.query.is_some() && feed == Feed::Followed;
        let exits = match (&start.token, start.feed) {
            (None, Some(feed)) if tracks && scope.query.is_some() => {
                let from = feed_bound(feed, profile.overlap());
                Some(Exits { predicate: request.predicate.clone(), from })
            }
            _ => None,
        };
        let mut remote = split.remote.unwrap_or(Node::ALWAYS);
        let mut rest = split.local_rest;
        let cursor = match &scope.query {
            Some(_) => {
                let mut from = start.token.as_ref().map(|token| lower_bound(token, profile.overlap()));
                if feed == Feed::Followed {
                    (remote, rest) = (Node::ALWAYS, Some(request.predicate.node.clone()));
                    let seen = start.feed.unwrap_or(DateTime::UNIX_EPOCH);
                    from = from.map(|from| from.min(feed_bound(seen, profile.overlap())));
                }
                PullCursor::incremental(table, remote, from, page_size, guaranteed)
            }
            None if request.is_window() => {
                let (order, skip, top) = (request.order(dialect), request.skip, request.top);
                PullCursor::window(table, remote, order, skip, top, page_size, guaranteed)
            }
            None => PullCursor::full(table, remote, page_size, guaranteed),
        };
        let cursor = cursor.with_parameters(request.parameters.clone());
        Self {
            engine,
            table,
            cursor: if dialect == Dialect::Datasync { cursor.with_next_links() } else { cursor },
            scope,
            name: request.event_ref(),
            local_rest: rest.map(|node| Predicate { table, node }),
            mirror: request.mirror.then(|| request.predicate.clone()),
            refill: start.refill,
            is_window: request.is_window(),
            feed,
            exits,
            token: start.token.as_ref().map(|token| token.instant),
            latest: start
                .token
                .map(|token| token.server_date.map_or(token.instant, |date| date.max(token.instant))),
            server_date: None,
            fell_back: false,
            cancellation: request.push.cancellation.clone(),
            buffer: Buffer::default(),
            report,
        }
    }

    async fn drive(mut self) -> Result<PullReport> {
        let mut fetching = self.fetch();
        let mut storing: Option<BoxFuture<'e, Result<Applied>>> = None;
        let mut linger: Option<BoxFuture<'static, ()>> = None;
        let mut failure = None;
        loop {
            let full = self.buffer.rows >= BATCH_ROWS || self.buffer.bytes >= BUFFER_BYTES;
            let due = full || fetching.is_none() || (linger.is_none() && !self.buffer.pages.is_empty());
            if storing.is_none() && due && !self.buffer.pages.is_empty() {
                storing = Some(self.store_buffer());
                linger = None;
            }
            if fetching.is_none() && storing.is_none() {
                if failure.is_some() || !self.turn_to_exits() {
                    break;
                }
                fetching = self.fetch();
            }
            tokio::select! {
                biased;
                // Pages received so far are stored with their token.
                () = self.engine.ended(&self.cancellation), if fetching.is_some() => {
                    fetching = None;
                    failure = Some(super::cancelled());
                }
                page = ready(&mut fetching), if fetching.is_some() && !full => {
                    fetching = None;
                    match page.and_then(|page| self.receive(page)) {
                        Ok(()) => {
                            fetching = self.fetch();
                            if linger.is_none() {
                                linger = Some(self.engine.timer.sleep(LINGER));
                            }
                        }
                        Err(error) if self.may_fall_back(&error) => {
                            self.cursor.skip_instead();
                            self.fell_back = true;
                            fetching = self.fetch();
                        }
                        Err(error) if error.kind() == ErrorKind::AnswerTooLarge && self.cursor.ask_for_less() => {
                            tracing::debug!(table = self.table.name, "an answer was too large");
                            fetching = self.fetch();
                        }
                        Err(error) => failure = Some(error),
                    }
                }
                applied = ready(&mut storing), if storing.is_some() => {
                    storing = None;
                    let rows = applied?;
                    self.engine.events.emit(|| Event::PagesStored { pull: self.name.clone(), rows });
                    count(&mut self.report.rows, rows);
                }
                () = ready(&mut linger), if linger.is_some() => linger = None,
            }
        }
        tracing::debug!(table = self.table.name, pages = self.report.pages, rows = ?self.report.rows, "pull ended");
        match failure {
            Some(error) => Err(error),
            None => self.finish().await,
        }
    }

    /// Whether the server may merely not take a place behind an id (protocol.md 12.4). If it was something else, the
    /// request without one is refused too.
    fn may_fall_back(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::InvalidQuery && !self.fell_back && self.cursor.is_behind_an_id()
    }

    /// Goes on with what left, once what matches was read and stored; `false` if there is nothing to go on with.
    fn turn_to_exits(&mut self) -> bool {
        let Some(Exits { predicate, from }) = self.exits.take() else { return false };
        self.cursor.sweep_again(Node::ALWAYS, from);
        self.local_rest = Some(predicate);
        self.feed = Feed::Followed;
        self.report.tracked_exits = true;
        true
    }

    /// What is stored once the pull came to its end.
    async fn finish(mut self) -> Result<PullReport> {
        if self.feed == Feed::Unset && self.scope.query.is_some() {
            // Nothing came. What is made here may leave all the same.
            self.store_buffer().await?;
        }
        if self.fell_back {
            self.engine.store.set_setting(SKIPS, Some(&self.engine.address())).await?;
        }
        let keeps_date = self.scope.query.is_some() && !self.engine.profile.overlap().is_zero();
        if keeps_date || self.refill || self.mirror.is_some() || self.report.rows.quarantined > 0 {
            let (server_date, mirror) = (self.server_date, self.mirror.take());
            // A window is remembered by its filter, but does not bring all that matches.
            let refilled = self.refill && !self.is_window;
            let end = PullEnd { scope: self.scope, server_date, mirror, refilled };
            count(&mut self.report.rows, self.engine.store.finish_pull(end).await?);
        }
        Ok(self.report)
    }

    fn fetch(&self) -> Option<BoxFuture<'e, Result<Received>>> {
        let query = self.cursor.next()?;
        let is_first = self.report.pages == 0;
        Some(fetch(self.engine, self.table, query, is_first).boxed())
    }

    fn receive(&mut self, Received { page, date }: Received) -> Result<()> {
        let advance = self.cursor.advance(&page.summary)?;
        self.server_date = self.server_date.or(date);
        if let (Some(date), Some(latest)) = (date, self.latest) {
            let overlap = TimeDelta::from_std(self.engine.profile.overlap()).unwrap_or(TimeDelta::MAX);
            if !self.report.server_went_back && latest - date > overlap.max(CLOCK_TOLERANCE) {
                self.report.server_went_back = true;
                self.engine.events.emit(|| Event::ServerWentBack(self.name.clone()));
            }
        }
        self.report.pages += 1;
        self.report.bytes += page.body.len() as u64;
        self.engine.events.emit(|| Event::page_received(&self.name, self.report.pages, &page));
        if !page.summary.is_empty() {
            self.buffer.rows += page.summary.len();
            self.buffer.bytes += page.body.len();
            self.buffer.token = self.buffer.token.max(advance.token);
            self.buffer.pages.push(page);
        }
        Ok(())
    }

    fn store_buffer(&mut self) -> BoxFuture<'e, Result<Applied>> {
        let buffer = std::mem::take(&mut self.buffer);
        let token = buffer.token.filter(|_| self.scope.query.is_some());
        // Beyond the old token, this pull saw whatever was there when it began (L-34). Before it, the greater token
        // would hide that the pull has not come so far again.
        let has_overlap = !self.engine.profile.overlap().is_zero();
        let server_date = self.server_date.filter(|_| has_overlap && token >= self.token);
        let feed = match self.feed {
            Feed::Followed => token,
            Feed::Unset => self.server_date.map(feed_before),
            Feed::Kept => None,
        };
        if self.feed == Feed::Unset {
            self.feed = Feed::Kept;
        }
        let batch = PullBatch {
            query: self.scope.query.clone(),
            pages: buffer.pages,
            token: token.map(|instant| DeltaToken { instant, server_date }),
            feed,
            local_rest: self.local_rest.clone(),
            refill: self.refill,
            mirror: self.mirror.is_some(),
            ..PullBatch::new(self.table)
        };
        let engine = self.engine;
        async move { engine.store.apply_pages(batch).await }.boxed()
    }
}

/// The point up to which exits were seen by a pull whose first answer has this date. No change is older than 1970.
fn feed_before(date: DateTime<Utc>) -> DateTime<Utc> {
    floor_to_millis(date - FEED_MARGIN).max(DateTime::UNIX_EPOCH)
}

fn count(rows: &mut Applied, applied: Applied) {
    rows.added += applied.added;
    rows.changed += applied.changed;
    rows.unchanged += applied.unchanged;
    rows.removed += applied.removed;
    rows.kept_local += applied.kept_local;
    rows.quarantined += applied.quarantined;
    rows.filtered += applied.filtered;
    rows.evicted += applied.evicted;
    rows.ignored += applied.ignored;
}

/// Reads noted rows by id and stores them together, as many as pages. What was read is stored also when a later request
/// fails, or the call is to end.
async fn refetch<S: LocalStore>(
    engine: &Engine<S>,
    request: &PullRequest,
    ids: &[String],
    report: &mut PullReport,
) -> Result<()> {
    let (table, cancellation) = (request.predicate.table, &request.push.cancellation);
    let (mut batch, mut bytes) = (PullBatch::new(table), 0);
    let mut outcome = Ok(());
    for id in ids {
        if bytes >= BUFFER_BYTES {
            let full = std::mem::replace(&mut batch, PullBatch::new(table));
            count(&mut report.rows, engine.store.apply_pages(full).await?);
            bytes = 0;
        }
        if engine.has_ended(cancellation) {
            outcome = Err(super::cancelled());
            break;
        }
        let read = tokio::select! {
            biased;
            read = fetch_by_id(engine, table, id) => read,
            () = engine.ended(cancellation) => Err(super::cancelled()),
        };
        match read {
            Ok(page) => {
                bytes += page.body.len();
                batch.fetched.push(id.clone());
                batch.pages.push(page);
            }
            Err(error) if is_about_one_row(error.kind()) => {
                tracing::warn!(table = table.name, kind = ?error.kind(), "a read by id was refused");
                batch.unread.push(id.clone());
                let (item_id, kind, status) = (id.clone(), error.kind(), error.status());
                report.unread.push(UnreadRow { item_id, kind, status });
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if !batch.fetched.is_empty() || !batch.unread.is_empty() {
        let applied = engine.store.apply_pages(batch).await?;
        count(&mut report.rows, applied);
    }
    outcome
}

/// Whether a failed read by id says nothing about the other rows and the pages. Everything else would meet them too:
/// no network, a busy server (408, 429, 502, 503, 504), missing credentials (401), a missing table (404), another
/// dialect.
const fn is_about_one_row(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Refused | ErrorKind::InvalidQuery | ErrorKind::InvalidResponse | ErrorKind::AnswerTooLarge
    )
}

async fn fetch_by_id<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    id: &str,
) -> Result<Page> {
    let request = engine.requests.fetch(table, id)?;
    let page = receive(engine, table, request, true).await?.page;
    let is_about = |row: RowSummary<'_>| row.id == Some(id);
    if page.summary.is_empty() || page.summary.rows().any(is_about) {
        return Ok(page);
    }
    // It says nothing of this one.
    Err(Error::new(ErrorKind::InvalidResponse, "the server answered a read by id with another row"))
}

/// Waits for a future that may not be there; without one it never resolves.
async fn ready<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn fetch<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    query: ListQuery,
    is_first: bool,
) -> Result<Received> {
    let request = engine.requests.list(table, &query)?;
    let received = receive(engine, table, request, is_first).await?;
    if is_first && received.page.summary.is_empty() {
        probe::check_columns(engine, table, query.filter.as_ref()).await?;
    }
    Ok(received)
}

/// Sends a list request and reads its page.
async fn receive<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    request: Request,
    is_first: bool,
) -> Result<Received> {
    let dialect = engine.requests.dialect();
    let names = dialect.names();
    let answer = engine.send(request).await.map_err(|failure| failure.error)?;
    if let Err(error) = response::expect_list(&answer, dialect) {
        // The words of the error may be about the wrong thing if the server speaks another dialect.
        if is_first {
            probe::check_first(engine, table, Err(error)).await?;
        }
        return Err(response::list_error(&answer, dialect));
    }
    let summary =
        PageSummary::scan(&answer.body, names).map_err(|error| error.with_status(answer.status.as_u16()))?;
    if is_first {
        probe::check_first(engine, table, Ok(&summary)).await?;
    }
    let date = response::server_date(&answer);
    Ok(Received { page: Page { body: answer.body, summary, names }, date })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_12_the_feed_of_a_server_with_a_wrong_clock_can_be_stored() {
        for (date, feed) in [
            ("0001-01-01T00:04:59Z", "1970-01-01T00:00:00Z"),
            ("2024-01-02T03:04:05Z", "2024-01-02T02:59:05Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:54:59Z"),
        ] {
            let parsed = |text| crate::time::parse(text).expect("an instant");
            assert_eq!(feed_before(parsed(date)), parsed(feed));
        }
    }
}
