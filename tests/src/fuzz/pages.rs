//! List bodies: what one store keeps of them, the other keeps too.
//!
//! An input is the name of a dialect in a line, and a body.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use sync_core::ErrorKind;
use sync_core::memory::MemoryStore;
use sync_core::page::{self, PageSummary};
use sync_core::predicate::{Node, Predicate};
use sync_core::protocol::{Dialect, Endpoint, RequestBuilder};
use sync_core::pull::PullCursor;
use sync_core::row::Row;
use sync_core::store::{
    Applied, DeltaToken, LocalChange, LocalChangeKind, LocalStore, Page, PullBatch, PullScope, Purge,
    QueryKey,
};
use sync_core::value::Value;
use sync_diesel::prelude::SyncSchema;
use sync_diesel::{DatabaseOptions, DieselStore, Synchronous};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::model::{WIDE, WideSchema, dialect_of, inputs};
use super::{Target, Verdict};

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Pages {
    runtime: Runtime,
    sqlite: DieselStore,
    _directory: TempDir,
}

impl Default for Pages {
    fn default() -> Self {
        let runtime = runtime();
        let (sqlite, directory) = runtime.block_on(open());
        Self { runtime, sqlite, _directory: directory }
    }
}

/// A runtime of one thread.
///
/// # Panics
///
/// When it cannot be made.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A new database with the table of [`Wide`](super::model::Wide).
pub(super) async fn open() -> (DieselStore, TempDir) {
    let directory = TempDir::new().expect("a temporary folder can be made");
    let options = DatabaseOptions { synchronous: Synchronous::Normal, ..DatabaseOptions::default() };
    let make = |conn: &mut diesel::sqlite::SqliteConnection| {
        conn.batch_execute(&sync_diesel::create_table_sql(WIDE)).expect("the table can be made");
        Ok(())
    };
    let store = DieselStore::open_with(directory.path().join("app.db"), WideSchema::TABLES, options, make);
    (store.await.expect("the database opens"), directory)
}

/// Where the texts of two values part, the first in memory and the second on SQLite.
pub(super) fn difference<T: fmt::Debug>(here: &T, there: &T) -> String {
    let (here, there) = (format!("{here:#?}"), format!("{there:#?}"));
    let parting = here.lines().zip(there.lines()).position(|(here, there)| here != there).unwrap_or(0);
    let around = |text: &str| {
        let lines: Vec<_> = text.lines().skip(parting.saturating_sub(12)).take(20).collect();
        lines.join("\n")
    };
    format!("in memory\n{}\non SQLite\n{}", around(&here), around(&there))
}

/// Makes the store as it was when it was new, but for its numbers.
pub(super) async fn empty(store: &DieselStore) {
    let purge = Purge { force: true, ..Purge::new(Predicate::all(WIDE)) };
    store.purge(purge).await.expect("a purge by force");
    // What is known of the server.
    store
        .write(|conn| conn.batch_execute("DELETE FROM \"__config\""))
        .await
        .expect("the settings can be removed");
}

impl Target for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        inputs([
            "v2\n[{\"id\":\"a\",\"title\":\"milk\",\"note\":null,\"done\":false,\"small\":-128,\"count\":4294967295,\
             \"n\":9007199254740993,\"ratio\":0.1,\"price\":1.25,\"dueAt\":\"2024-01-02T03:04:05.678Z\",\
             \"key\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\",\"createdAt\":\"2024-01-02T03:04:05.678Z\",\
             \"updatedAt\":\"2024-01-02T03:04:05.678Z\",\"version\":\"MQ==\",\"deleted\":false},\
             {\"id\":\"b\",\"title\":\"bread\",\"done\":true,\"updatedAt\":\"2024-01-02T03:04:05.679Z\",\
             \"version\":\"Mg==\",\"deleted\":false,\"color\":{\"r\":1,\"g\":[2,3]}},\
             {\"id\":\"mine\",\"title\":\"theirs\",\"done\":true,\"updatedAt\":\"2024-01-02T03:04:05.680Z\",\
             \"version\":\"Mw==\",\"deleted\":false},\
             {\"id\":\"old\",\"title\":\"gone\",\"done\":true,\"updatedAt\":\"2024-01-02T03:04:05.681Z\",\
             \"version\":\"NA==\",\"deleted\":true}]",
            "v2\n{\"results\":[{\"id\":\"a\",\"title\":\"x\",\"done\":1,\"n\":\"42\",\"price\":\"1e3\",\
             \"updatedAt\":\"2015-01-02T03:04:05+02:00\",\"version\":\"AAAAAAAAB9E=\"}],\"count\":7}",
            "v1\n[{\"id\":\"a\",\"title\":\"milk\",\"done\":false,\"__updatedAt\":\"2024-01-02T03:04:05.678Z\",\
             \"__version\":\"AAAAAAAAB9E=\",\"__deleted\":false},{\"id\":7,\"title\":\"by number\",\"done\":false,\
             \"__createdAt\":\"2024-01-02T03:04:05.678Z\",\"__updatedAt\":\"2024-01-02T03:04:05.700Z\",\
             \"__version\":\"AAAAAAAAB9I=\",\"__deleted\":true}]",
            "v3\n{\"items\":[{\"id\":\"a\",\"title\":\"x\\ny \\u00e9\",\"done\":true,\"ratio\":2,\"n\":-1,\
             \"updatedAt\":\"2024-01-02T03:04:05.678Z\",\"version\":\"MQ==\",\"deleted\":false,\"tags\":[\"a\"]}],\
             \"nextLink\":\"http://server.test/tables/Wide?$skip=100\",\"count\":120}",
            "v3\n{\"count\":null,\"items\":[],\"nextLink\":null}",
        ])
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "id",
            "title",
            "TITLE",
            "note",
            "done",
            "small",
            "count",
            "n",
            "ratio",
            "price",
            "dueAt",
            "key",
            "draft",
            "updatedAt",
            "__updatedAt",
            "version",
            "__version",
            "deleted",
            "__deleted",
            "createdAt",
            "items",
            "results",
            "nextLink",
            "mine",
            "old",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let (dialect, body) = dialect_of(input);
        let summary = PageSummary::scan(body, dialect.names());
        let mut rows = Vec::new();
        let read = page::for_each_row(body, WIDE, dialect.names(), |row| {
            rows.push((row.id.as_deref().map(str::to_owned), row.version.as_deref().map(str::to_owned)));
            Ok(())
        });
        let summary = match (summary, read) {
            (Ok(summary), Ok(())) => summary,
            (Err(scan), Err(read)) => {
                let kinds = [scan.kind(), read.kind()];
                if kinds != [ErrorKind::InvalidResponse; 2] {
                    return Err(format!("L-35: refused as {kinds:?}"));
                }
                return Ok(Verdict::Refused);
            }
            (scan, read) => {
                return Err(format!("L-24: the scan says {:?}, the decoder {read:?}", scan.map(|_| ())));
            }
        };
        let scanned = summary.rows().map(|row| (row.id.map(str::to_owned), row.version.map(str::to_owned)));
        if !scanned.eq(rows) {
            return Err("L-24: scan and decoder see different rows".to_owned());
        }
        if page::raw_rows(body).map(|raw| raw.len()).ok() != Some(summary.len()) {
            return Err("L-24: the texts of the rows are not those of the rows".to_owned());
        }
        let page = Page { body: Bytes::copy_from_slice(body), summary, names: dialect.names() };
        let token = next_token(&page.summary, dialect)?;
        let memory = Arc::new(MemoryStore::new([WIDE]));
        let (here, there) = self.runtime.block_on(async {
            empty(&self.sqlite).await;
            (kept(&*memory, &page, &token).await, kept(&self.sqlite, &page, &token).await)
        });
        let (here, there) = (here?, there?);
        if here != there {
            return Err(format!("stores: {}", difference(&here, &there)));
        }
        Ok(Verdict::Taken)
    }
}

/// The token behind the page, as a pull finds it; the request after it can be made.
fn next_token(summary: &PageSummary, dialect: Dialect) -> Result<Option<DeltaToken>, String> {
    let endpoint = Endpoint::parse("http://server.test").expect("an address");
    let requests = RequestBuilder::new(endpoint, dialect);
    let mut token = None;
    for cursor in [
        PullCursor::incremental(WIDE, Node::ALWAYS, None, 2, None),
        PullCursor::incremental(WIDE, Node::ALWAYS, None, 1000, Some(1000)),
        PullCursor::full(WIDE, Node::ALWAYS, 2, None),
    ] {
        let mut cursor = cursor;
        // The server repeats itself: the pull must end, or see it.
        for _ in 0..4 {
            match cursor.advance(summary) {
                Ok(advance) => token = token.or(advance.token),
                Err(error) if error.kind() == ErrorKind::InvalidResponse => break,
                Err(error) => return Err(format!("pull: {error}")),
            }
            let Some(query) = cursor.next() else { break };
            requests
                .list(WIDE, &query)
                .map_err(|error| format!("pull: the next page has no request: {error}"))?;
        }
    }
    Ok(token.map(|instant| DeltaToken { instant, server_date: None }))
}

/// What a store made of a page.
#[derive(Debug, PartialEq)]
struct Kept {
    applied: Result<Applied, ErrorKind>,
    token: Option<DeltaToken>,
    rows: Vec<Row>,
    copy: Option<Row>,
    quarantined: Vec<(String, Option<String>)>,
    operations: u64,
    again: Applied,
}

async fn kept<S: LocalStore>(store: &S, page: &Page, token: &Option<DeltaToken>) -> Result<Kept, String> {
    let failed = |what: &str, error: sync_core::Error| format!("{what}: {error:?}");
    let mut values = vec![Some(Value::Null); WIDE.columns.len()];
    (values[0], values[2]) = (Some(Value::Text("mine".to_owned())), Some(Value::Bool(false)));
    let row = Row { values, ..Row::empty(WIDE, "mine") };
    let insert = LocalChange { table: WIDE, kind: LocalChangeKind::Insert(row) };
    store.write(vec![insert]).await.map_err(|error| failed("write", error))?;
    let query = QueryKey { query_id: "all".to_owned(), fingerprint: "f".to_owned() };
    let scope =
        PullScope { table: WIDE, query: Some(query.clone()), wanted: "[\"and\"]".to_owned(), mirror: false };
    store.begin_pull(scope.clone()).await.map_err(|error| failed("begin_pull", error))?;
    let batch = PullBatch {
        query: Some(query),
        pages: vec![page.clone()],
        token: token.clone(),
        ..PullBatch::new(WIDE)
    };
    let applied = store.apply_pages(batch.clone()).await;
    if let Err(error) = &applied
        && error.kind() != ErrorKind::InvalidResponse
    {
        return Err(format!("apply_pages: {error:?}"));
    }
    let start = store.begin_pull(scope).await.map_err(|error| failed("begin_pull", error))?;
    let again = store.apply_pages(batch).await.map_err(|error| failed("a second time", error))?;
    let quarantined = store.quarantine(None).await.map_err(|error| failed("quarantine", error))?;
    Ok(Kept {
        applied: applied.map_err(|error| error.kind()),
        token: start.token,
        rows: store.select(Predicate::all(WIDE)).await.map_err(|error| failed("select", error))?,
        copy: store.shadow(WIDE, "mine").await.map_err(|error| failed("shadow", error))?,
        quarantined: quarantined.into_iter().map(|row| (row.item_id, row.query_id)).collect(),
        operations: store.pending(None).await.map_err(|error| failed("pending", error))?,
        again,
    })
}
