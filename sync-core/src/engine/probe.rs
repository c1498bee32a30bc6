//! Which dialect the server speaks: asked for by the app, or because a first answer proves nothing (R14).
//!
//! An endpoint is proven for a dialect by one page with that dialect's shape and system properties. A first answer
//! without such, `200 []` above all, is what one real server says to a request it does not understand: then the
//! server is probed once before anything is concluded from it. The proof is stored, so later pulls ask no more.
//!
//! The same server says the same to a filter that names a column its table lacks. So an empty first page under a filter
//! is believed only once the filter's columns are proven, which is stored as well: by a row that shows them, or
//! by a row that a condition every value fulfils finds through them.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use super::Engine;
use crate::entity::{ColumnRole, ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{self, ListShape, PageSummary};
use crate::predicate::{Comparison, Node};
use crate::protocol::probe::Probe;
use crate::protocol::{Dialect, Endpoint, ListQuery, ProbeReport, response};
use crate::store::LocalStore;
use crate::transport::Transport;
use crate::value::Value;

/// The stored proof: dialect and address of the endpoint that was proven last.
const SETTING: &str = "proven_endpoint";

/// Finds out which dialects the service at `endpoint` speaks, by at most three GETs of one row of `table`.
///
/// # Errors
///
/// [`ErrorKind::UnknownTable`], [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`] and
/// [`ErrorKind::Network`] when nothing can be found out; [`ErrorKind::InvalidResponse`] when this is no tables
/// server.
pub async fn probe(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    table: &'static TableSchema,
) -> Result<ProbeReport> {
    ask(transport, endpoint, table, None).await
}

/// Asks until all is known, or all about the wanted dialect.
async fn ask(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    table: &'static TableSchema,
    wanted: Option<Dialect>,
) -> Result<ProbeReport> {
    let mut probe = Probe::default();
    while let Some(request) = probe.next(endpoint, table, wanted)? {
        let answer = transport.send(request).await.map_err(|failure| failure.error.with_table(table.name))?;
        probe.hear(&answer).map_err(|error| error.with_table(table.name))?;
    }
    let report = probe.into_report().map_err(|error| error.with_table(table.name))?;
    tracing::debug!(table = table.name, dialects = ?report.dialects().collect::<Vec<_>>(), "server probed");
    Ok(report)
}

/// Whether this engine knows the proof already; the store's copy survives the process.
#[derive(Debug, Default)]
pub(super) struct Proof {
    known: AtomicBool,
}

impl Proof {
    async fn is_known<S: LocalStore>(&self, engine: &Engine<S>) -> Result<bool> {
        if self.known.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let stored = engine.store.setting(SETTING).await?;
        let known = stored.is_some_and(|stored| stored == value(engine));
        self.known.store(known, Ordering::Relaxed);
        Ok(known)
    }

    async fn keep<S: LocalStore>(&self, engine: &Engine<S>) -> Result<()> {
        engine.store.set_setting(SETTING, Some(&value(engine))).await?;
        self.known.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn value<S>(engine: &Engine<S>) -> String {
    let dialect = match engine.requests.dialect() {
        Dialect::MobileServices => "v1",
        Dialect::MobileApps => "v2",
        Dialect::Datasync => "v3",
    };
    format!("{dialect} {}", engine.requests.endpoint().as_str())
}

/// Takes in the first answer of a pull: a page, or the error the page ended with.
///
/// # Errors
///
/// [`ErrorKind::WrongDialect`] when the server does not speak this engine's dialect, errors of the probe, errors of
/// the store, and `first` itself if it is one.
pub(super) async fn check_first<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    first: Result<&PageSummary, Error>,
) -> Result<()> {
    let dialect = engine.requests.dialect();
    match first {
        Err(error) if !is_doubtful(&error) => Err(error),
        _ if engine.proof.is_known(engine).await? => first.map(|_| ()),
        Ok(page) if proves(dialect, page) => engine.proof.keep(engine).await,
        first => {
            let (transport, endpoint) = (&*engine.transport, engine.requests.endpoint());
            let report = match (ask(transport, endpoint, table, Some(dialect)).await, &first) {
                (Ok(report), _) => report,
                // What the server said to the pull tells more than that it answers the probe no better.
                (Err(error), Err(_)) if error.kind() == ErrorKind::InvalidResponse => {
                    return first.map(|_| ());
                }
                (Err(error), _) => return Err(error),
            };
            match report.speaks(dialect) {
                Some(false) => Err(report.wrong_dialect(dialect)),
                Some(true) => {
                    engine.proof.keep(engine).await?;
                    first.map(|_| ())
                }
                None => first.map(|_| ()),
            }
        }
    }
}

/// Errors that may come from asking in the wrong words.
fn is_doubtful(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidQuery
}

/// Whether a page could only come from a server that speaks the dialect.
fn proves(dialect: Dialect, page: &PageSummary) -> bool {
    match dialect {
        Dialect::Datasync => page.shape() == ListShape::Items,
        Dialect::MobileServices | Dialect::MobileApps => {
            page.shape() != ListShape::Items
                && page.rows().any(|row| row.version.is_some() || row.updated_at.is_some())
        }
    }
}

/// The columns of a table that a server was seen to have; stored as a JSON list, behind the dialect and address of the
/// endpoint.
#[derive(Debug)]
struct ProvenColumns {
    endpoint: String,
    columns: Vec<String>,
}

impl ProvenColumns {
    /// What was stored, if it can be read and is about this endpoint: of another one nothing is known.
    fn read(stored: Option<&str>, endpoint: String) -> Self {
        let list: Vec<String> =
            stored.and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default();
        let columns = match list.split_first() {
            Some((known, columns)) if *known == endpoint => columns.to_vec(),
            _ => Vec::new(),
        };
        Self { endpoint, columns }
    }

    fn to_stored(&self) -> String {
        let list = std::iter::once(&self.endpoint).chain(&self.columns);
        Json::Array(list.map(|text| Json::String(text.clone())).collect()).to_string()
    }

    fn has(&self, column: &ColumnSchema) -> bool {
        self.columns.iter().any(|known| known == column.name)
    }

    fn add(&mut self, column: &ColumnSchema) {
        if !self.has(column) {
            self.columns.push(column.name.to_owned());
        }
    }
}

/// Takes in that nothing came for a filter: right, unless the server's table lacks one of its columns.
///
/// Costs nothing where the profile says that such a filter is an error, nor once the columns are proven; else one
/// request, and one more for each column that the row it brings does not show. Of a table without rows nothing can be
/// known, and nothing is missed. A column that the server loses after the proof is not noticed.
///
/// # Errors
///
/// [`ErrorKind::InvalidQuery`] naming the column that the table lacks; errors of the requests and of the store.
pub(super) async fn check_columns<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    filter: Option<&Node>,
) -> Result<()> {
    let dialect = engine.requests.dialect();
    if dialect == Dialect::Datasync || engine.profile.refuses_unknown_columns() {
        return Ok(());
    }
    let mut named = Vec::new();
    filter.into_iter().for_each(|filter| collect_columns(filter, &mut named));
    if named.is_empty() {
        return Ok(());
    }
    let setting = format!("proven_columns {}", table.name);
    let stored = engine.store.setting(&setting).await?;
    let mut proven = ProvenColumns::read(stored.as_deref(), value(engine));
    named.retain(|column| !proven.has(column));
    if named.is_empty() {
        return Ok(());
    }
    let Some(row) = first_row(engine, table, None).await? else { return Ok(()) };
    for column in table.columns.iter().filter(|column| row.iter().any(|name| name == column.name)) {
        proven.add(column);
    }
    for column in named {
        if proven.has(column) {
            continue;
        }
        // Some servers leave out members that are null, so that a row without it proves nothing.
        let is = |comparison| Node::compare(column, comparison, Value::Null);
        let any = is(Comparison::Eq).or(is(Comparison::Ne));
        if first_row(engine, table, Some(any)).await?.is_none() {
            let what = format!("the server's table has no column {}, which the filter names", column.name);
            return Err(Error::new(ErrorKind::InvalidQuery, what).with_table(table.name));
        }
        proven.add(column);
    }
    engine.store.set_setting(&setting, Some(&proven.to_stored())).await
}

/// The app's columns that a filter names, each once.
fn collect_columns(node: &Node, found: &mut Vec<&'static ColumnSchema>) {
    match node {
        Node::Column(column) => {
            let is_new = found.iter().all(|known| known.name != column.name);
            if column.role == ColumnRole::User && is_new {
                found.push(column);
            }
        }
        Node::Compare(_, left, right) => {
            collect_columns(left, found);
            collect_columns(right, found);
        }
        Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => {
            parts.iter().for_each(|part| collect_columns(part, found));
        }
        Node::Not(inner) => collect_columns(inner, found),
        Node::Literal(_) => {}
    }
}

/// The names of the members of one row, deleted or not, that the condition is true for; `None` when there is none.
async fn first_row<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    filter: Option<Node>,
) -> Result<Option<Vec<String>>> {
    let query = ListQuery {
        filter,
        order_by: Vec::new(),
        skip: Some(0),
        top: Some(1),
        include_deleted: true,
        parameters: Vec::new(),
    };
    let dialect = engine.requests.dialect();
    let request = engine.requests.list(table, &query)?;
    let answer =
        engine.transport.send(request).await.map_err(|failure| failure.error.with_table(table.name))?;
    response::expect_list(&answer, dialect).map_err(|_| response::list_error(&answer, dialect))?;
    // A body that is no list shows no row.
    Ok(page::member_names(&answer.body).ok().and_then(|(_, rows)| rows.into_iter().next()))
}
