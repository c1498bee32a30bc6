//! Answers to a push, a pull and a probe: both stores must end alike.
//!
//! An input is the name of a dialect in a line, and answers between lines of `%%`: a status in a line, headers in lines,
//! an empty line, a body. When they are used up, the network is gone.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sync_core::engine::{Engine, PullRequest, PushOptions};
use sync_core::memory::MemoryStore;
use sync_core::operation::{Operation, OperationError, OperationKey};
use sync_core::page::PageSummary;
use sync_core::predicate::{Comparison, Node, Predicate};
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Dialect, Endpoint, RequestBuilder};
use sync_core::row::Row;
use sync_core::store::{LocalChange, LocalChangeKind, LocalStore, Page, PullBatch};
use sync_core::transport::{Request, Response, SendError, Timer, Transport};
use sync_core::value::Value;
use sync_core::{Error, ErrorKind};
use sync_diesel::DieselStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::model::{WIDE, dialect_of, inputs, split_headers, split_line};
use super::pages::{difference, empty, open, runtime};
use super::{Target, Verdict};

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Answers {
    runtime: Runtime,
    sqlite: Arc<DieselStore>,
    _directory: TempDir,
}

impl Default for Answers {
    fn default() -> Self {
        let runtime = runtime();
        let (sqlite, directory) = runtime.block_on(open());
        Self { runtime, sqlite: Arc::new(sqlite), _directory: directory }
    }
}

/// What the engine's seams give.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gives prepared answers, one after another.
struct Script(Mutex<VecDeque<Response>>);

impl Script {
    /// Reads the answers of an input.
    fn read(input: &[u8]) -> Self {
        let mut answers = VecDeque::new();
        let mut rest = input;
        loop {
            let end = rest.windows(4).position(|window| window == b"\n%%\n");
            answers.push_back(answer(&rest[..end.unwrap_or(rest.len())]));
            match end {
                Some(end) => rest = &rest[end + 4..],
                None => return Self(Mutex::new(answers)),
            }
        }
    }
}

/// One answer; what cannot be a status or a header is none.
fn answer(text: &[u8]) -> Response {
    let (status, rest) = split_line(text);
    let (headers, body) = split_headers(rest);
    let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::OK);
    Response { status, headers, body: Bytes::copy_from_slice(body) }
}

impl Transport for Script {
    fn send(&self, _: Request) -> Boxed<'_, Result<Response, SendError>> {
        let next = self.0.lock().expect("no panic").pop_front();
        let gone =
            || SendError { error: Error::new(ErrorKind::Network, "no further answer"), may_have_sent: true };
        Box::pin(ready(next.ok_or_else(gone)))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// Does not wait.
#[derive(Debug)]
pub(super) struct NoTime;

impl Timer for NoTime {
    fn sleep(&self, _: Duration) -> Boxed<'static, ()> {
        Box::pin(ready(()))
    }
}

impl Target for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        inputs([
            // All goes well: insert, update, delete; a page of changes, the end, and a probe.
            "v2\n201\nETag: \"MQ==\"\nContent-Type: application/json; charset=utf-8\n\n{\"id\":\"new\",\"title\":\"new\",\
             \"done\":false,\"version\":\"MQ==\",\"updatedAt\":\"2024-01-02T03:04:06.000Z\",\"deleted\":false}\n%%\n\
             200\nETag: \"Mg==\"\n\n{\"id\":\"changed\",\"title\":\"here\",\"done\":true,\"version\":\"Mg==\",\
             \"updatedAt\":\"2024-01-02T03:04:07.000Z\",\"deleted\":false}\n%%\n200\n\n{\"id\":\"away\",\
             \"version\":\"Mw==\",\"deleted\":true}\n%%\n200\nDate: Tue, 02 Jan 2024 03:04:05 GMT\nLink: \
             <http://server.test/tables/Wide?$skip=50>; rel=next\nx-zumo-server-version: node-4.0.2\n\n\
             [{\"id\":\"far\",\"title\":\"t\",\"done\":true,\"version\":\"NA==\",\
             \"updatedAt\":\"2024-01-02T03:04:08.000Z\",\"deleted\":false}]\n%%\n200\nDate: Tue, 02 Jan 2024 03:04:06 \
             GMT\n\n[]\n%%\n400\n\n{\"error\":\"An invalid API version was specified\"}\n%%\n200\n\n[]",
            // Conflicts with rows, and one whose row must be fetched.
            "v2\n409\nETag: \"Ng==\"\n\n{\"id\":\"new\",\"title\":\"theirs\",\"done\":false,\"version\":\"Ng==\",\
             \"deleted\":false,\"color\":\"red\"}\n%%\n412\nETag: \"Nw==\"\n\n{\"id\":\"changed\",\"title\":\"there\",\
             \"done\":false,\"n\":8,\"version\":\"Nw==\",\"updatedAt\":\"2024-01-02T03:04:07.000Z\",\
             \"deleted\":false}\n%%\n412\n\n\n%%\n200\n\n[{\"id\":\"away\",\"title\":\"x\",\"done\":true,\
             \"version\":\"OA==\",\"deleted\":false}]\n%%\n200\n\n[]",
            // Mobile Services.
            "v1\n201\nLocation: https://server.test/tables/Wide/new\n\n{\"id\":\"new\",\"title\":\"new\",\
             \"__version\":\"AAAAAAAAB9E=\"}\n%%\n200\nETag: \"AAAAAAAAB9I=\"\n\n{\"id\":\"changed\",\
             \"title\":\"here\",\"__version\":\"AAAAAAAAB9I=\"}\n%%\n204\n\n\n%%\n200\nDate: Tue, 02 Jan 2024 03:04:05 \
             GMT\n\n[{\"id\":\"far\",\"title\":\"t\",\"done\":true,\"__version\":\"AAAAAAAAB9M=\",\
             \"__updatedAt\":\"2024-01-02T03:04:08.000Z\",\"__deleted\":false}]\n%%\n200\n\n[]\n%%\n200\n\n[]",
            // Datasync, with a problem and a list of validation errors.
            "v3\n400\nContent-Type: application/json\n\n[{\"memberNames\":[\"title\"],\"errorMessage\":\"too \
             short\"}]\n%%\n409\nContent-Type: application/problem+json\n\n{\"type\":\"about:blank\",\
             \"title\":\"Conflict\",\"detail\":\"stale\",\"status\":409}\n%%\n200\n\n{\"items\":[]}\n%%\n410\n\n\n%%\n\
             200\nDate: Tue, 02 Jan 2024 03:04:05 GMT\n\n{\"items\":[{\"id\":\"far\",\"title\":\"t\",\"done\":true,\
             \"version\":\"NA==\",\"updatedAt\":\"2024-01-02T03:04:08.000Z\",\"deleted\":false}],\"nextLink\":null,\
             \"count\":null}\n%%\n200\n\n{\"items\":[]}",
            // Busy, away, and errors of the server.
            "v2\n500\n\n{\"message\":\"oops\"}\n%%\n503\nRetry-After: 120\nDate: Wed, 21 Oct 2015 07:28:00 \
             GMT\n\n<html>\n%%\n429\nRetry-After: Wed, 21 Oct 2015 07:28:30 GMT\nDate: Wed, 21 Oct 2015 07:28:00 \
             GMT\n\n\"slow down\"\n%%\n401\n\n",
        ])
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\n%%\n",
            "\n200\n\n",
            "\n201\n\n",
            "\n204\n\n",
            "\n301\n\n",
            "\n400\n\n",
            "\n401\n\n",
            "\n404\n\n",
            "\n409\n\n",
            "\n410\n\n",
            "\n412\n\n",
            "\n429\n\n",
            "\n500\n\n",
            "\n503\n\n",
            "\n999\n\n",
            "\nETag: W/\"x\"",
            "\nETag: \"",
            "\nETag: \"a\\\"b\"",
            "\nRetry-After: ",
            "\nRetry-After: -1",
            "\nRetry-After: 18446744073709551615",
            "\nDate: Mon, 01 Jan 12024 00:00:00 GMT",
            "\nDate: Sat, 01 Jan 0000 00:00:00 GMT",
            "\nDate: Fri, 31 Dec 9999 23:59:59 GMT",
            "\nDate: Thu, 01 Jan 1970 00:00:00 +9959",
            "\nContent-Type: text/html",
            "\nLink: <",
            "new",
            "changed",
            "away",
            "far",
            "id",
            "title",
            "version",
            "__version",
            "updatedAt",
            "deleted",
            "error",
            "message",
            "detail",
            "items",
            "results",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let (dialect, script) = dialect_of(input);
        let memory = Arc::new(MemoryStore::new([WIDE]));
        let sqlite = Arc::clone(&self.sqlite);
        let (here, there) = self.runtime.block_on(async {
            empty(&sqlite).await;
            (end(memory, dialect, script).await, end(sqlite, dialect, script).await)
        });
        let (here, there) = (here?, there?);
        if here != there {
            return Err(format!("stores: {}", difference(&here, &there)));
        }
        Ok(if here.is_used { Verdict::Taken } else { Verdict::Refused })
    }
}

/// How it ended.
#[derive(Debug, PartialEq)]
struct Ended {
    /// Whether anything of the answers was stored.
    is_used: bool,
    calls: Vec<Result<String, ErrorKind>>,
    operations: Vec<Operation>,
    errors: Vec<OperationError>,
    rows: Vec<Row>,
}

async fn end<S: LocalStore>(store: Arc<S>, dialect: Dialect, script: &[u8]) -> Result<Ended, String> {
    prepare(&*store, dialect).await.map_err(|error| format!("preparation: {error:?}"))?;
    let before = store.select(Predicate::all(WIDE)).await.map_err(|error| format!("select: {error:?}"))?;
    // The numbers of a database go on.
    let queued = store.operations(None).await.map_err(|error| format!("operations: {error:?}"))?;
    let first = queued.first().map_or(0, |operation| operation.key.seq);
    let endpoint = Endpoint::parse("http://server.test").expect("an address");
    let requests = RequestBuilder::new(endpoint, dialect);
    let profile = match dialect {
        Dialect::Datasync => ServerProfile::datasync(),
        _ => ServerProfile::conservative(),
    };
    let engine =
        Engine::new(Arc::clone(&store), Arc::new(Script::read(script)), Arc::new(NoTime), requests, profile);
    let node = Node::compare(&WIDE.columns[0], Comparison::Ne, Value::Text("x".to_owned()));
    let pull = |track_exits| {
        let request = PullRequest::new(Some("all".to_owned()), Predicate { table: WIDE, node: node.clone() });
        PullRequest { push_first: false, track_exits: Some(track_exits), page_size: 2, ..request }
    };
    let mut calls = Vec::new();
    let mut note = |outcome: Result<String, Error>| match outcome {
        Ok(done) => {
            calls.push(Ok(done));
            Ok(())
        }
        Err(error) if is_of_a_server(error.kind()) => {
            calls.push(Err(error.kind()));
            Ok(())
        }
        Err(error) => Err(format!("error: {:?} is no answer to an answer: {error:?}", error.kind())),
    };
    let push = PushOptions { window: 2, ..PushOptions::default() };
    note(
        engine
            .push(push.clone())
            .await
            .map(|report| format!("{} sent, {} done", report.sent, report.completed)),
    )?;
    for track_exits in [false, true] {
        let pulled = engine.pull(pull(track_exits)).await;
        note(pulled.map(|report| format!("{:?}, {:?}", report.rows, report.unread)))?;
    }
    note(engine.probe(WIDE).await.map(|report| format!("{report:?}")))?;
    note(engine.push(push).await.map(|report| format!("{} sent, {} done", report.sent, report.completed)))?;
    // What was stored can be asked on from.
    let next = engine.pull(pull(true)).await;
    note(next.map(|report| format!("{:?}", report.rows)))?;

    let failed = |error: Error| format!("local: {error:?}");
    let relative = |key: &mut OperationKey| key.seq -= first;
    let rows = store.select(Predicate::all(WIDE)).await.map_err(failed)?;
    store.conflicts(None).await.map_err(failed)?;
    let mut operations = store.operations(None).await.map_err(failed)?;
    for operation in &mut operations {
        relative(&mut operation.key);
        operation.tail_seq = operation.tail_seq.map(|seq| seq - first);
    }
    let mut errors = store.errors(None).await.map_err(failed)?;
    errors.iter_mut().for_each(|error| relative(&mut error.key));
    Ok(Ended {
        is_used: rows != before || operations.len() < 3 || !errors.is_empty(),
        calls,
        operations,
        errors,
        rows,
    })
}

/// Whether an answer of a server may lead to an error of this kind. A database that fails, or code that panics, is no
/// matter of the server.
fn is_of_a_server(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Network
            | ErrorKind::Unauthorized
            | ErrorKind::ServerBusy
            | ErrorKind::InvalidResponse
            | ErrorKind::WrongDialect
            | ErrorKind::InvalidQuery
            | ErrorKind::Refused
            | ErrorKind::UnknownTable
            | ErrorKind::PushFailed
    )
}

/// Two rows of the server, one changed here and one deleted, and a new one.
async fn prepare<S: LocalStore>(store: &S, dialect: Dialect) -> Result<(), Error> {
    let names = dialect.names();
    let body = format!(
        "[{{\"id\":\"changed\",\"title\":\"x\",\"done\":true,\"n\":7,\"{0}\":\"MA==\"}},\
         {{\"id\":\"away\",\"title\":\"x\",\"done\":true,\"{0}\":\"MA==\"}}]",
        names.version
    );
    let summary = PageSummary::scan(body.as_bytes(), names)?;
    let page = Page { body: Bytes::from(body), summary, names };
    store.apply_pages(PullBatch { pages: vec![page], ..PullBatch::new(WIDE) }).await?;
    let with_title = |id: &str, title: &str| {
        let mut row = Row::empty(WIDE, id);
        (row.values[0], row.values[2]) = (Some(Value::Text(title.to_owned())), Some(Value::Bool(false)));
        row
    };
    let changes = [
        LocalChangeKind::Insert(with_title("new", "new")),
        LocalChangeKind::Update(with_title("changed", "here")),
        LocalChangeKind::Delete("away".to_owned()),
    ];
    store.write(changes.map(|kind| LocalChange { table: WIDE, kind }).into()).await
}
