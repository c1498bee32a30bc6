//! The engine over the memory store and a small server in memory: what a push and a pull do to both sides.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::server::Server;
use super::*;
use crate::entity::ColumnSchema;
use crate::memory::MemoryStore;
use crate::operation::{FailureClass, OperationState};
use crate::predicate::Predicate;
use crate::protocol::{Dialect, Endpoint};
use crate::row::Row;
use crate::store::{
    Exchange, Failure, LocalChange, LocalChangeKind, Outcome, Resolution, Resolver, Settlement, Take,
};
use crate::value::{ColumnType, Value};

mod dialects;
mod failing;
mod losses;
mod parking;
mod pulls;
mod relations;
mod repetitions;
mod server;
mod versions;

const TEXT: ColumnSchema = ColumnSchema::new("text", ColumnType::Text);
static TODO: TableSchema =
    TableSchema { name: "Todo", columns: &[TEXT], versioned: true, keep_deleted: false };
static LIST: TableSchema =
    TableSchema { name: "List", columns: &[TEXT], versioned: true, keep_deleted: false };

/// Never waits for real.
struct NoWait;

impl Timer for NoWait {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
        .boxed()
    }
}

fn device(server: &Arc<Server>) -> Engine<MemoryStore> {
    device_of(server, server.dialect)
}

/// A device set to a dialect, which need not be the server's.
fn device_of(server: &Arc<Server>, dialect: Dialect) -> Engine<MemoryStore> {
    device_with(server, dialect, Arc::new(MemoryStore::new([&TODO, &LIST])))
}

fn device_with(server: &Arc<Server>, dialect: Dialect, store: Arc<MemoryStore>) -> Engine<MemoryStore> {
    let endpoint = Endpoint::parse("http://model").expect("valid");
    let requests = RequestBuilder::new(endpoint, dialect);
    let profile = ServerProfile::conservative().with_undelete(server.undelete);
    Engine::new(store, Arc::new(Arc::clone(server)), Arc::new(NoWait), requests, profile)
}

/// One server of each kind that the client must tell apart.
fn servers() -> Vec<Arc<Server>> {
    let mut servers: Vec<_> = Dialect::ALL.into_iter().map(Server::of).collect();
    servers.push(Server::patching());
    servers
}

fn row(id: &str, text: &str) -> Row {
    Row::new(id, vec![Value::Text(text.into())])
}

async fn write(device: &Engine<MemoryStore>, table: &'static TableSchema, kind: LocalChangeKind) {
    device.store().write(vec![LocalChange { table, kind }]).await.expect("written");
}

async fn texts(device: &Engine<MemoryStore>) -> Vec<(String, Option<Value>)> {
    let rows = device.store().select(Predicate::all(&TODO)).await.expect("rows");
    rows.into_iter().map(|row| (row.id, row.values[0].clone())).collect()
}

/// Of a push whose test does not say how many requests are in flight: 1, or what `SYNC_TEST_WINDOW` says.
fn push_options() -> PushOptions {
    let window = std::env::var("SYNC_TEST_WINDOW");
    let window = window.map_or(1, |window| window.parse().expect("SYNC_TEST_WINDOW is a number"));
    PushOptions { window, ..PushOptions::default() }
}

/// Of a push whose test says what comes after what.
fn one_by_one() -> PushOptions {
    PushOptions { window: 1, ..PushOptions::default() }
}

fn pull_all() -> PullRequest {
    PullRequest { push: push_options(), ..PullRequest::new(Some("all".into()), Predicate::all(&TODO)) }
}

#[tokio::test]
async fn rows_travel_from_one_device_to_another() {
    let capped = |page_cap| servers().into_iter().map(move |server| (server, page_cap));
    for (server, page_cap) in capped(None).chain(capped(Some(3))) {
        server.state.lock().expect("no panic").page_cap = page_cap;
        let (here, there) = (device(&server), device(&server));
        for number in 0..10 {
            let row = row(&format!("{number}"), "start");
            write(&here, &TODO, LocalChangeKind::Insert(row)).await;
        }
        let report = here.push(push_options()).await.expect("pushed");
        assert_eq!((report.sent, report.completed, report.remaining), (10, 10, 0));
        let report = there.pull(pull_all()).await.expect("pulled");
        assert_eq!(report.rows.added, 10);
        assert_eq!(texts(&here).await, texts(&there).await);

        write(&there, &TODO, LocalChangeKind::Update(row("3", "changed"))).await;
        write(&there, &TODO, LocalChangeKind::Delete("4".into())).await;
        let report = there.pull(pull_all()).await.expect("pushed and pulled");
        assert_eq!(report.push.map(|push| push.completed), Some(2));
        let report = here.pull(pull_all()).await.expect("pulled");
        assert_eq!((report.rows.changed, report.rows.removed), (1, 1));
        assert_eq!(texts(&here).await, texts(&there).await);

        let report = here.pull(PullRequest::new(None, Predicate::all(&TODO))).await.expect("a full pull");
        assert_eq!((report.rows.added, report.rows.changed, report.rows.unchanged), (0, 0, 10));
    }
}

#[tokio::test]
async fn p_05_requests_in_flight_share_table_and_kind_and_fill_the_window() {
    for window in [1, 8, 32] {
        let server = Server::of(Dialect::MobileApps);
        let device = device(&server);
        for number in 0..40 {
            let table = if number % 10 < 7 { &TODO } else { &LIST };
            write(&device, table, LocalChangeKind::Insert(row(&format!("{number:02}"), "x"))).await;
        }
        let options = PushOptions { window, ..PushOptions::default() };
        let report = device.push(options).await.expect("pushed");
        assert_eq!((report.sent, report.completed, report.remaining), (40, 40, 0));
        assert_eq!(server.most_in_flight.load(Ordering::SeqCst), window.min(7));
    }
}

#[tokio::test]
async fn p_02_only_the_wanted_tables_are_pushed() {
    let server = Server::of(Dialect::MobileApps);
    let device = device(&server);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "x"))).await;
    write(&device, &LIST, LocalChangeKind::Insert(row("a", "x"))).await;
    let options = |name: &str| PushOptions { tables: vec![name.into()], ..push_options() };
    let error = device.push(options("Nothing")).await.expect_err("unknown");
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("Nothing")));
    let report = device.push(options("List")).await.expect("pushed");
    assert_eq!((report.completed, report.remaining), (1, 0));
    assert_eq!(device.store().pending(Some(&TODO)).await.expect("counted"), 1);
    for window in [0, 65] {
        let options = PushOptions { window, ..PushOptions::default() };
        assert_eq!(device.push(options).await.expect_err("refused").kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn f_09_lost_answers_of_a_window_are_settled_by_the_next_push() {
    for window in [1, 8] {
        for lost in 0..6 {
            let server = Server::of(Dialect::MobileApps);
            server.state.lock().expect("no panic").lose_answer = Some(lost);
            let device = device(&server);
            for number in 0..6 {
                write(&device, &TODO, LocalChangeKind::Insert(row(&number.to_string(), "x"))).await;
            }
            let options = PushOptions { window, ..PushOptions::default() };
            let error = device.push(options.clone()).await.expect_err("an answer was lost");
            assert_eq!(error.kind(), ErrorKind::Network);
            let report = device.push(options).await.expect("settled");
            assert_eq!(report.remaining, 0, "window {window}, lost {lost}");
            assert_eq!(server.state.lock().expect("no panic").rows.len(), 6);
            assert_eq!(server.state.lock().expect("no panic").commits, 6, "nothing was done twice");
        }
    }
}

#[tokio::test]
async fn z_11_a_dropped_push_leaves_an_attempted_operation_that_the_next_push_settles() {
    let server = Server::of(Dialect::MobileApps);
    let device = device(&server);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "x"))).await;
    {
        let mut push = device.push(push_options()).boxed();
        while server.requests.load(Ordering::SeqCst) == 0 {
            assert!((&mut push).now_or_never().is_none(), "the push is still running");
        }
    }
    let operations = device.store().operations(None).await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Attempted);
    let report = device.push(push_options()).await.expect("settled");
    assert_eq!((report.completed, report.remaining), (1, 0));
    assert_eq!(server.state.lock().expect("no panic").commits, 1);
}

/// A server that answers every other request, and the others never.
#[derive(Default)]
struct Half(AtomicUsize);

impl Transport for Half {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        if self.0.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            return std::future::pending().boxed();
        }
        let headers = http::HeaderMap::new();
        let answer = Response { status: http::StatusCode::NO_CONTENT, headers, body: bytes::Bytes::new() };
        async { Ok(answer) }.boxed()
    }
}

#[tokio::test]
async fn f_08_a_cancelled_push_does_not_wait_for_ever_and_leaves_the_rest_uncertain() {
    for window in [1, 4] {
        let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
        let requests =
            RequestBuilder::new(Endpoint::parse("http://half").expect("valid"), Dialect::MobileApps);
        let transport = Arc::new(Half::default());
        let profile = ServerProfile::conservative();
        let device = Engine::new(store, transport.clone(), Arc::new(NoWait), requests, profile);
        for number in 0..6 {
            write(&device, &TODO, LocalChangeKind::Insert(row(&number.to_string(), "x"))).await;
        }
        let cancellation = Cancellation::new();
        let options = PushOptions { window, cancellation: cancellation.clone(), ..PushOptions::default() };
        let mut push = pin!(device.push(options));
        while transport.0.load(Ordering::SeqCst) < 2 {
            assert!(push.as_mut().now_or_never().is_none(), "the push is still running");
        }
        cancellation.cancel();
        let error = push.await.expect_err("it was asked to end");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let report = error.push_report().expect("a report");
        let (sent, answered) = (report.sent, report.sent.div_ceil(2));
        assert_eq!((report.completed, report.remaining), (answered, 6 - answered), "window {window}");
        let operations = device.store().operations(None).await.expect("operations");
        let uncertain = operations.iter().filter(|left| left.state == OperationState::Attempted).count();
        assert_eq!(uncertain as u64, sent - answered, "window {window}: what was not answered in time");
    }
}

#[tokio::test]
async fn p_03_an_empty_queue_and_a_foreign_table_send_nothing() {
    static OTHER: TableSchema =
        TableSchema { name: "Other", columns: &[], versioned: true, keep_deleted: false };
    let server = Server::of(Dialect::MobileApps);
    let device = device(&server);
    let report = device.push(push_options()).await.expect("nothing to do");
    assert!(report.is_complete() && report.sent == 0);
    let error =
        device.pull(PullRequest::new(None, Predicate::all(&OTHER))).await.expect_err("not in the schema");
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("Other")));
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

/// Leaves a clean row whose server row is said to be another one, not seen.
async fn outdate(device: &Engine<MemoryStore>, id: &str) {
    let store = device.store();
    write(device, &TODO, LocalChangeKind::Update(row(id, "mine"))).await;
    let session = store.begin_push().await.expect("a push");
    let take = Take::first(1);
    let exchange = Exchange { session, settlements: Vec::new(), take: Some(take) };
    let sent = store.exchange(exchange).await.expect("taken").taken.remove(0);
    let failure =
        Failure { class: FailureClass::Conflict, status: Some(412), message: String::new(), remote: None };
    let outcome = Outcome::Resolved { failure, resolution: Resolution::TakeRemote, by: Resolver::Handler };
    let settlements = vec![Settlement { key: sent.key, outcome }];
    store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
    assert_eq!(store.pending(None).await.expect("counted"), 0);
}

#[tokio::test]
async fn x_06_a_foreign_row_is_read_by_id_although_the_token_is_past_it() {
    let server = Server::of(Dialect::MobileApps);
    let (here, there) = (device(&server), device(&server));
    write(&there, &TODO, LocalChangeKind::Insert(row("a", "theirs"))).await;
    there.push(push_options()).await.expect("pushed");
    write(&here, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
    here.pull(PullRequest { pull_anyway: true, ..pull_all() }).await.expect("pulled past the row");
    write(&here, &TODO, LocalChangeKind::Delete("a".into())).await;
    assert_eq!(texts(&here).await, []);

    let report = here.pull(pull_all()).await.expect("pulled");
    assert_eq!(report.rows.added, 1);
    assert_eq!(texts(&here).await, texts(&there).await);
    let before = server.requests.load(Ordering::SeqCst);
    let report = here.pull(pull_all()).await.expect("pulled");
    let after = server.requests.load(Ordering::SeqCst);
    assert_eq!((after - before) as u64, report.pages, "the row is asked for once");
}

#[tokio::test]
async fn k_09_noted_rows_that_the_server_lost_are_removed_and_a_failure_keeps_what_was_read() {
    let server = Server::of(Dialect::MobileApps);
    let (here, there) = (device(&server), device(&server));
    for id in ["changed", "dead", "gone"] {
        write(&there, &TODO, LocalChangeKind::Insert(row(id, "start"))).await;
    }
    there.push(push_options()).await.expect("pushed");
    here.pull(pull_all()).await.expect("pulled");
    for id in ["changed", "dead", "gone"] {
        outdate(&here, id).await;
    }
    write(&there, &TODO, LocalChangeKind::Update(row("changed", "theirs"))).await;
    there.push(push_options()).await.expect("pushed");
    {
        let mut state = server.state.lock().expect("no panic");
        let gone = state.rows.remove(&("Todo".to_owned(), "gone".to_owned()));
        assert!(gone.is_some());
        state.rows.get_mut(&("Todo".to_owned(), "dead".to_owned())).expect("the row").deleted = true;
        state.lose_answer = Some(server.requests.load(Ordering::SeqCst) + 1);
    }
    let error = here.pull(pull_all()).await.expect_err("the second answer is lost");
    assert_eq!(error.kind(), ErrorKind::Network);
    let theirs = Some(Value::Text("theirs".into()));
    let start = Some(Value::Text("start".into()));
    let row = |id: &str, text: &Option<Value>| (id.to_owned(), text.clone());
    assert_eq!(
        texts(&here).await,
        [row("changed", &theirs), row("dead", &start), row("gone", &start)],
        "what was read is stored"
    );
    let report = here.pull(pull_all()).await.expect("pulled");
    assert_eq!(report.rows.removed, 2);
    assert_eq!(texts(&here).await, [row("changed", &theirs)]);
}

#[tokio::test]
async fn an_answer_about_another_row_removes_nothing() {
    let server = Server::of(Dialect::MobileApps);
    let here = device(&server);
    write(&here, &TODO, LocalChangeKind::Insert(row("a", "start"))).await;
    here.push(push_options()).await.expect("pushed");
    outdate(&here, "a").await;
    let key = |id: &str| ("Todo".to_owned(), id.to_owned());
    {
        let mut state = server.state.lock().expect("no panic");
        let mut stored = state.rows.remove(&key("a")).expect("the row");
        stored.members.insert("id".into(), "A".into());
        state.rows.insert(key("A"), stored);
        state.ignores_id = true;
    }
    here.pull(pull_all()).await.expect("pulled");
    assert_eq!(texts(&here).await.len(), 2, "the row stays, and stays noted");
    server.state.lock().expect("no panic").ignores_id = false;
    assert_eq!(here.pull(pull_all()).await.expect("pulled").rows.removed, 1);
}
