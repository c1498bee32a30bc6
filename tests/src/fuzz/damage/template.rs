//! The good database: something in each of sync's own tables.

use std::collections::VecDeque;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};
use sync_core::entity::TableSchema;
use sync_core::row::Row;
use sync_core::store::{ConflictPolicy, LocalChange, LocalChangeKind, LocalStore, Resolution, Resolver};
use sync_core::transport::{Request, Response, SendError, Transport};
use sync_core::value::Value;
use sync_core::{Error, ErrorKind};
use sync_diesel::prelude::*;
use sync_diesel::{DatabaseOptions, Synchronous};

use crate::simulate::model::{List, Note, Schema, TABLES, Todo};

/// A server that takes every write and holds no row, but for what it is told to answer first.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// Statuses and bodies; no status: the answer is lost.
    first: Mutex<VecDeque<(u16, String)>>,
    requests: AtomicU32,
}

impl Echo {
    /// Requests it got.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    fn answer_first<const N: usize>(&self, answers: [(u16, Json); N]) {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_string()));
        self.first.lock().expect("no panic").extend(answers);
    }

    fn answer(&self, request: &Request) -> Result<Response, SendError> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, HeaderValue::from_static("Tue, 02 Jan 2024 03:04:05 GMT"));
        let (status, body) = match self.first.lock().expect("no panic").pop_front() {
            Some((0, _)) => {
                let error = Error::new(ErrorKind::Network, "the answer is lost");
                return Err(SendError { error, may_have_sent: true });
            }
            Some(answer) => answer,
            None if request.method == Method::GET => (200, "[]".to_owned()),
            None if request.method == Method::DELETE => (204, String::new()),
            None => {
                let body = request.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
                let mut row: Json = body.unwrap_or_else(|| json!({}));
                row["version"] = json!(format!("v{number}"));
                row["updatedAt"] = json!(format!("2024-01-02T03:04:{:02}.000Z", number % 60));
                row["deleted"] = json!(false);
                (200, row.to_string())
            }
        };
        let status = StatusCode::from_u16(status).expect("a status");
        Ok(Response { status, headers, body: Bytes::from(body) })
    }
}

impl Transport for Echo {
    fn send(
        &self,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send + '_>> {
        Box::pin(ready(self.answer(&request)))
    }
}

/// Opens the database as an app does.
pub(super) async fn context(path: &Path, echo: &Arc<Echo>) -> Result<SyncContext<Schema>, Error> {
    let options = DatabaseOptions { synchronous: Synchronous::Normal, ..DatabaseOptions::default() };
    SyncContext::<Schema>::builder("http://server.test")
        .dialect(Dialect::MobileApps)
        .database(path)
        .database_options(options)
        .account("ada")
        .transport(Arc::clone(echo) as Arc<dyn Transport>)
        .open()
        .await
}

fn row(table: &'static TableSchema, id: &str, values: &[(&str, Value)]) -> Row {
    let mut row = Row::empty(table, id);
    for (name, value) in values {
        row.values[table.column_index(name).expect("a column")] = Some(value.clone());
    }
    row
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn todo(id: &str, content: &str, list: &str) -> Row {
    row(Todo::SCHEMA, id, &[("text", text(content)), ("done", Value::Bool(false)), ("list", text(list))])
}

fn note(id: &str, body: &str, count: i64) -> Row {
    let values = [("body", text(body)), ("count", Value::Integer(count)), ("done", Value::Bool(false))];
    row(Note::SCHEMA, id, &values)
}

async fn write<const N: usize>(
    sync: &SyncContext<Schema>,
    changes: [(&'static TableSchema, LocalChangeKind); N],
) {
    let changes = changes.map(|(table, kind)| LocalChange { table, kind });
    LocalStore::write(&**sync.engine().store(), changes.into()).await.expect("the rows can be written");
}

/// Makes the database.
///
/// # Panics
///
/// When anything in it goes otherwise than meant.
pub(super) async fn build(path: &Path) {
    use LocalChangeKind::{Delete, Insert, Update};
    let mut conn = SqliteConnection::establish(path.to_str().expect("text")).expect("a new database");
    for table in TABLES {
        conn.batch_execute(&sync_diesel::create_table_sql(table)).expect("the table can be made");
    }
    drop(conn);
    let echo = Arc::new(Echo::default());
    let sync = context(path, &echo).await.expect("the database opens");
    let (lists, todos, notes) = (List::SCHEMA, Todo::SCHEMA, Note::SCHEMA);
    let list = |id, name| row(lists, id, &[("name", text(name))]);

    // Known to the server.
    write(&sync, [(lists, Insert(list("l1", "home"))), (lists, Insert(list("l2", "work")))]).await;
    for id in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        write(&sync, [(todos, Insert(todo(id, "milk", "l1")))]).await;
    }
    for id in ["n1", "n2", "n3"] {
        write(&sync, [(notes, Insert(note(id, "a note", 1)))]).await;
    }
    sync.push().await.expect("the server takes everything");

    // Pulled: a row with members of its own, and one that cannot be stored.
    let page = |id: &str, done: Json, version: &str| {
        json!({"id": id, "text": "far", "done": done, "rank": 1, "color": {"r": 1}, "version": version,
               "updatedAt": "2024-01-02T03:05:00.000Z", "deleted": false})
    };
    echo.answer_first([(200, json!([page("far", json!(false), "f1"), page("bad", json!("perhaps"), "f2")]))]);
    let report = sync.pull("open", Todo::done.eq(false)).await.expect("a pull");
    assert_eq!(report.rows.quarantined, 1);
    sync.pull_all(List::all()).await.expect("a pull");

    // Edited here, and seen anew since.
    write(&sync, [(notes, Update(note("n1", "edited", 2)))]).await;
    echo.answer_first([(
        200,
        json!([{"id": "n1", "body": "theirs", "count": 5, "done": false, "version": "w1",
        "updatedAt": "2024-01-02T03:06:00.000Z", "deleted": false}]),
    )]);
    sync.pull("all", Note::body.ne("x")).without_push().await.expect("a pull");

    // A conflict, one decided, one parked, an error of the server, a lost answer, a foreign row.
    let edited = |id| (todos, Update(todo(id, "beer", "l2")));
    write(&sync, [edited("t3"), edited("t4"), edited("t5"), edited("t6")]).await;
    write(&sync, [(todos, Insert(todo("t7", "new", "l1"))), (todos, Insert(todo("t8", "taken", "l1")))])
        .await;
    let theirs = |id: &str| {
        json!({"id": id, "text": "wine", "done": true, "rank": 3, "version": "c1", "more": [1],
               "updatedAt": "2024-01-02T03:07:00.000Z", "deleted": false})
    };
    let taken = json!([{"id": "t8", "text": "foreign", "done": true, "version": "c2", "deleted": false,
        "updatedAt": "2024-01-02T03:08:00.000Z"}]);
    echo.answer_first([
        (200, json!({"id": "n1", "body": "edited", "count": 6, "done": false, "version": "w2", "deleted": false})),
        (412, theirs("t3")),
        (412, theirs("t4")),
        (412, theirs("t5")),
        (500, json!({"error": "oops"})),
        (409, json!({"error": "exists"})),
        (200, json!([])),
        (409, json!({"error": "exists"})),
        (200, taken),
    ]);
    sync.push().await.expect_err("conflicts");
    for open in sync.engine().store().conflicts(None).await.expect("the conflicts") {
        let resolution = match open.operation.key.item_id.as_str() {
            "t4" => Resolution::KeepLocal,
            "t5" => Resolution::Park,
            _ => continue,
        };
        let store = sync.engine().store();
        store
            .resolve(open.operation.key, resolution, Resolver::Policy(ConflictPolicy::ClientWins))
            .await
            .expect("decided");
    }
    write(&sync, [(todos, Delete("t8".to_owned()))]).await;
    echo.answer_first([(0, json!(null))]);
    sync.push().await.expect_err("the answer is lost");

    // Not sent yet.
    write(&sync, [edited("t1"), (todos, Delete("t2".to_owned())), (notes, Update(note("n2", "later", 4)))])
        .await;
    sync.close().await;
}
