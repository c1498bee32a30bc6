//! The pull: pages are fetched while earlier ones are stored, and stored in groups.
//!
//! The next page is asked for as soon as the scan of the last one tells which it is. Pages wait in a buffer while a
//! commit runs; a commit takes whole pages with their token, up to a number of rows, a number of bytes or a short
//! wait, whichever comes first (R16). If the network fails, what was received is stored before the error returns.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cancellation, Engine, PushOptions, PushReport, probe, push};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::odata;
use crate::page::{PageSummary, RowSummary};
use crate::predicate::Predicate;
use crate::protocol::{Dialect, ListQuery, response};
use crate::pull::PullCursor;
use crate::pushdown;
use crate::store::{Applied, DeltaToken, LocalStore, Page, PullBatch, QueryKey};
use crate::transport::Request;

/// Largest page asked of any server (L-09).
const MAX_PAGE: u32 = 1000;
/// Rows that are committed at once.
const BATCH_ROWS: usize = 10_000;
/// Bytes of pages waiting for a commit; above it no further page is received.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// How long a received page waits for company.
const LINGER: Duration = Duration::from_millis(100);

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Name of the incremental pull; `None` pulls everything that matches, each time.
    pub query_id: Option<String>,
    /// Table and filter.
    pub predicate: Predicate,
    /// Rows asked for per page. Default 1000; above 1000 the server's limit is asked for instead.
    pub page_size: u32,
    /// Pull even if the push before it left operations with errors (M-04). Rows with operations stay as they are.
    pub pull_anyway: bool,
    /// Settings of the push before the pull.
    pub push: PushOptions,
}

impl PullRequest {
    /// An incremental pull under a query id, or a full pull without.
    pub fn new(query_id: Option<String>, predicate: Predicate) -> Self {
        Self { query_id, predicate, page_size: MAX_PAGE, pull_anyway: false, push: PushOptions::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, message).with_table(self.predicate.table.name))
        };
        if let Some(query_id) = &self.query_id {
            let length = query_id.chars().count();
            if !(1..=255).contains(&length) || query_id.chars().any(char::is_control) {
                return invalid("a query id must have 1 to 255 characters and no control characters");
            }
        }
        if self.page_size == 0 {
            return invalid("the page size must be at least 1");
        }
        Ok(())
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
    /// The push before the pull, if there was one.
    pub push: Option<PushReport>,
}

/// Runs one pull; the caller holds the turn.
pub(super) async fn run<S: LocalStore>(engine: &Engine<S>, request: &PullRequest) -> Result<PullReport> {
    let table = request.predicate.table;
    let dialect = engine.requests.dialect();
    let filter = odata::render(&request.predicate.node, dialect)?;
    let split = pushdown::split(&request.predicate.node, &engine.profile, dialect);
    let mut report = PullReport::default();

    if engine.store.pending(Some(table)).await? > 0 {
        report.push = Some(implicit_push(engine, request).await?);
    }

    let query = request
        .query_id
        .as_ref()
        .map(|query_id| QueryKey { query_id: query_id.clone(), fingerprint: filter });
    let start = engine.store.begin_pull(table, query.clone()).await?;
    report.restarted = start.restarted;
    if !start.refetch.is_empty() {
        refetch(engine, table, start.refetch, &mut report).await?;
    }

    let page_size = request.page_size.min(engine.profile.max_page());
    let guaranteed = engine.profile.guaranteed_page();
    let remote = split.remote.unwrap_or(crate::predicate::Node::ALWAYS);
    let mut cursor = match &query {
        Some(_) => {
            let from = start.token.as_ref().map(|token| lower_bound(token, engine.profile.overlap()));
            PullCursor::incremental(table, remote, from, page_size, guaranteed)
        }
        None => PullCursor::full(table, remote, page_size, guaranteed),
    };
    if dialect == Dialect::Datasync {
        cursor = cursor.with_next_links();
    }
    let run = Run {
        engine,
        table,
        cursor,
        query,
        local_rest: split.local_rest.map(|node| Predicate { table, node }),
        server_date: None,
        cancellation: request.push.cancellation.clone(),
        buffer: Buffer::default(),
        report,
    };
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

struct Run<'e, S> {
    engine: &'e Engine<S>,
    table: &'static TableSchema,
    cursor: PullCursor,
    query: Option<QueryKey>,
    local_rest: Option<Predicate>,
    /// The server's clock at the first answer of this pull.
    server_date: Option<DateTime<Utc>>,
    cancellation: Cancellation,
    buffer: Buffer,
    report: PullReport,
}

impl<'e, S: LocalStore> Run<'e, S> {
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
                break;
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
                        Err(error) => failure = Some(error),
                    }
                }
                applied = ready(&mut storing), if storing.is_some() => {
                    storing = None;
                    count(&mut self.report.rows, applied?);
                }
                () = ready(&mut linger), if linger.is_some() => linger = None,
            }
        }
        tracing::debug!(table = self.table.name, pages = self.report.pages, rows = ?self.report.rows, "pull ended");
        match failure {
            Some(error) => Err(error),
            None => Ok(self.report),
        }
    }

    fn fetch(&self) -> Option<BoxFuture<'e, Result<Received>>> {
        let query = self.cursor.next()?;
        let is_first = self.report.pages == 0;
        Some(fetch(self.engine, self.table, query, is_first).boxed())
    }

    fn receive(&mut self, Received { page, date }: Received) -> Result<()> {
        let advance = self.cursor.advance(&page.summary)?;
        self.server_date = self.server_date.or(date);
        self.report.pages += 1;
        self.report.bytes += page.body.len() as u64;
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
        let token = buffer.token.filter(|_| self.query.is_some());
        let batch = PullBatch {
            table: self.table,
            query: self.query.clone(),
            pages: buffer.pages,
            token: token.map(|instant| DeltaToken { instant, server_date: self.server_date }),
            local_rest: self.local_rest.clone(),
            fetched: Vec::new(),
        };
        let engine = self.engine;
        async move { engine.store.apply_pages(batch).await }.boxed()
    }
}

fn count(rows: &mut Applied, applied: Applied) {
    rows.added += applied.added;
    rows.changed += applied.changed;
    rows.unchanged += applied.unchanged;
    rows.removed += applied.removed;
    rows.kept_local += applied.kept_local;
    rows.quarantined += applied.quarantined;
    rows.filtered += applied.filtered;
    rows.ignored += applied.ignored;
}

/// Reads noted rows by id and stores them together. What was read is stored also when a later request fails.
async fn refetch<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    ids: Vec<String>,
    report: &mut PullReport,
) -> Result<()> {
    let mut batch = PullBatch {
        table,
        query: None,
        pages: Vec::new(),
        token: None,
        local_rest: None,
        fetched: Vec::new(),
    };
    let mut outcome = Ok(());
    for id in ids {
        match fetch_by_id(engine, table, &id).await {
            Ok(page) => {
                let is_about = |row: RowSummary<'_>| row.id == Some(id.as_str());
                if page.summary.is_empty() || page.summary.rows().any(is_about) {
                    batch.fetched.push(id);
                    batch.pages.push(page);
                } else {
                    // An answer about other rows says nothing of this one; it stays noted.
                    tracing::warn!(table = table.name, "the server answered a read by id with another row");
                }
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if !batch.fetched.is_empty() {
        let applied = engine.store.apply_pages(batch).await?;
        count(&mut report.rows, applied);
    }
    outcome
}

async fn fetch_by_id<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    id: &str,
) -> Result<Page> {
    let request = engine.requests.fetch(table, id)?;
    let received = receive(engine, table, request, false).await?;
    Ok(received.page)
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
    receive(engine, table, request, is_first).await
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
