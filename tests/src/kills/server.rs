//! The server of a history: a real one on a loopback socket, with rows that somebody else changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request as Received, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde_json::{Value as Json, json};
use sync_core::time;
use sync_diesel::prelude::*;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::app::{TABLES, second, values};
use super::report::Columns;
use crate::http::{Answer, Request, query, segment};

/// A row, here or there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) version: Option<String>,
    pub(super) updated_at: Option<DateTime<Utc>>,
    pub(super) deleted: bool,
    /// The app's columns.
    pub(super) columns: Columns,
}

/// Names a row: table and id.
pub(super) type Key = (String, String);

/// Rows by table and id.
pub(super) type Rows = BTreeMap<Key, Stored>;

/// See the [module documentation](self). It ends with this value.
pub(super) struct Server {
    authority: String,
    taken: Arc<AtomicU64>,
    /// Rows that only others change.
    theirs: Vec<String>,
    /// Changes made by this value and not by a device.
    others: u64,
    task: JoinHandle<()>,
}

/// Rows per page of what is read for the checks.
const PAGE: usize = 500;

impl Server {
    /// Starts a server on this file.
    pub(super) async fn start(file: &Path) -> Self {
        let server = sync_server::Server::builder(second::App::schemas());
        let server = server.open(file).await.expect("the server opens");
        let taken = Arc::new(AtomicU64::new(0));
        let counted = middleware::from_fn_with_state(Arc::clone(&taken), count);
        let router = server.router().layer(counted);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let authority = listener.local_addr().expect("a bound socket has an address").to_string();
        let listener =
            listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket takes its options"));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the listener stays");
        });
        Self { authority, taken, theirs: Vec::new(), others: 0, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Changes that devices made.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst) - self.others
    }

    /// Somebody inserts a row that every device may change; gives its columns.
    pub(super) async fn insert(&mut self, id: &str, number: u64) -> Columns {
        let (text, rank, note) = values(number);
        self.put(id, json!({ "text": text, "rank": rank, "note": note })).await
    }

    /// Somebody inserts, changes or deletes a row of his own.
    pub(super) async fn change(&mut self, rng: &mut Rng, number: u64) {
        let (_, rank, note) = values(number);
        let columns = json!({ "text": format!("theirs {number}"), "rank": rank, "note": note });
        match rng.u8(0..4) {
            0 if !self.theirs.is_empty() => {
                let id = self.theirs.swap_remove(rng.usize(0..self.theirs.len()));
                let target = format!("/tables/Item/{}", segment(&id));
                self.write(Request::new("DELETE", target)).await;
            }
            1 | 2 if !self.theirs.is_empty() => {
                let id = &self.theirs[rng.usize(0..self.theirs.len())];
                let target = format!("/tables/Item/{}", segment(id));
                self.write(Request::new("PATCH", target).json(&columns)).await;
            }
            _ => {
                let id = format!("theirs {number}");
                self.put(&id, columns).await;
                self.theirs.push(id);
            }
        }
    }

    async fn put(&mut self, id: &str, mut columns: Json) -> Columns {
        let written = columns.as_object().cloned().expect("an object");
        columns["id"] = id.into();
        self.write(Request::new("POST", "/tables/Item").json(&columns)).await;
        written
    }

    async fn write(&mut self, request: Request) {
        let name = format!("{} {}", request.method, request.target);
        let answer = self.send(request).await;
        assert!(matches!(answer.status, 200..=299), "{name}: {}", answer.text());
        self.others += 1;
    }

    async fn send(&self, request: Request) -> Answer {
        let request = request.header("ZUMO-API-VERSION", "2.0.0");
        request.send(&self.authority).await.expect("the server answers")
    }

    /// Every row of every table, deleted ones too.
    pub(super) async fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for table in TABLES {
            for page in 0.. {
                let (top, skip) = (PAGE.to_string(), (page * PAGE).to_string());
                let options =
                    [("$orderby", "id"), ("$top", &*top), ("$skip", &*skip), ("__includeDeleted", "true")];
                let target = format!("/tables/{table}{}", query(&options));
                let answer = self.send(Request::new("GET", target)).await;
                let Json::Array(found) = answer.json() else { panic!("not a list: {}", answer.text()) };
                let count = found.len();
                rows.extend(found.into_iter().map(|row| stored(table, row)));
                if count < PAGE {
                    break;
                }
            }
        }
        rows
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts the changes that are made.
async fn count(State(taken): State<Arc<AtomicU64>>, request: Received, next: Next) -> Response {
    let is_write = request.method() != http::Method::GET;
    let answer = next.run(request).await;
    if is_write && answer.status().is_success() {
        taken.fetch_add(1, Ordering::SeqCst);
    }
    answer
}

/// Splits a row as it is sent, or as a device's file has it, into its parts.
pub(super) fn stored(table: &str, row: Json) -> (Key, Stored) {
    let Json::Object(mut columns) = row else { panic!("not a row of {table}: {row}") };
    let mut text = |name: &str| columns.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let id = text("id").expect("every row has an id");
    let version = text("version");
    let updated_at = text("updatedAt").map(|text| time::parse(&text).expect("a change time is an instant"));
    columns.remove("createdAt");
    let deleted = columns.remove("deleted").is_some_and(|deleted| deleted == true || deleted == 1);
    ((table.to_owned(), id), Stored { version, updated_at, deleted, columns })
}
