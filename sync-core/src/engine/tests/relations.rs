//! Related tables against a server that refuses what its foreign keys forbid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::engine::HeldOperation;
use crate::operation::RowRef;
use crate::store::contract::{LIST, PART};
use crate::transport::{Request, Response, SendError};

type Key = (String, String);

/// What the server does to a request besides answering it.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Done, and the answer is lost.
    LoseAnswer,
    /// Refused for a reason of its own.
    Refuse,
    /// Failed, and not done.
    Fail,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Key, Map<String, Json>>,
    version: u64,
    random: u64,
    /// Per cent of writes that meet a fault.
    faults: u64,
    refuses: BTreeSet<String>,
    violations: Vec<String>,
    done: Vec<String>,
    in_flight: Vec<Key>,
    most_in_flight: usize,
}

impl State {
    fn below(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn fault(&mut self, id: &str) -> Fault {
        if self.refuses.contains(id) {
            return Fault::Refuse;
        }
        let faults = self.faults;
        match self.below(100) {
            roll if roll >= faults => Fault::None,
            roll => [Fault::LoseAnswer, Fault::Refuse, Fault::Fail][roll as usize % 3],
        }
    }

    /// Whether the row is there already, or in another version than asked for.
    fn is_repeated(&self, request: &Request, key: &Key) -> bool {
        let Some(stored) = self.rows.get(key) else { return false };
        let tag = format!("\"{}\"", stored["version"].as_str().expect("a version"));
        request.method == Method::POST
            || request.headers.get(header::IF_MATCH).is_some_and(|expected| *expected != tag)
    }

    /// The rows a row mentions.
    fn mentions(table: &str, row: &Map<String, Json>) -> Vec<Key> {
        let columns: &[(&str, &str)] =
            if table == PART.name { &[("parent", PART.name), ("list", LIST.name)] } else { &[] };
        let mention = |(column, parent): &(&str, &str)| {
            Some(((*parent).to_owned(), row.get(*column)?.as_str()?.to_owned()))
        };
        columns.iter().filter_map(mention).collect()
    }

    fn handle(&mut self, request: &Request, key: &Key) -> Response {
        let stored = self.rows.get(key).cloned();
        if let Some(stored) = stored.as_ref().filter(|_| self.is_repeated(request, key)) {
            let is_insert = request.method == Method::POST;
            let status = if is_insert { StatusCode::CONFLICT } else { StatusCode::PRECONDITION_FAILED };
            return answer(status, Some(stored));
        }
        match (&request.method, stored) {
            (&Method::POST, None) => self.put(request, key, StatusCode::CREATED),
            (&Method::PUT, Some(_)) => self.put(request, key, StatusCode::OK),
            (&Method::DELETE, Some(_)) => {
                let is_in_use = self
                    .rows
                    .iter()
                    .any(|(other, row)| other != key && Self::mentions(&other.0, row).contains(key));
                if is_in_use {
                    self.violations.push(format!("{key:?} is deleted while a row mentions it"));
                    return answer(StatusCode::BAD_REQUEST, None);
                }
                self.rows.remove(key);
                answer(StatusCode::NO_CONTENT, None)
            }
            _ => answer(StatusCode::NOT_FOUND, None),
        }
    }

    fn put(&mut self, request: &Request, key: &Key, status: StatusCode) -> Response {
        let body = request.body.as_ref().expect("a body");
        let mut row: Map<String, Json> = serde_json::from_slice(body).expect("a row");
        for parent in Self::mentions(&key.0, &row) {
            if parent != *key && !self.rows.contains_key(&parent) {
                self.violations.push(format!("{key:?} mentions {parent:?}, which is not there"));
                return answer(StatusCode::BAD_REQUEST, None);
            }
        }
        self.version += 1;
        row.insert("id".into(), key.1.clone().into());
        row.insert("version".into(), format!("v{}", self.version).into());
        row.insert("deleted".into(), false.into());
        let response = answer(status, Some(&row));
        self.rows.insert(key.clone(), row);
        response
    }
}

fn answer(status: StatusCode, row: Option<&Map<String, Json>>) -> Response {
    let mut headers = HeaderMap::new();
    let body = match row {
        Some(row) => {
            let tag = format!("\"{}\"", row["version"].as_str().expect("a version"));
            headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("a tag"));
            Json::Object(row.clone()).to_string()
        }
        None if status.is_success() => String::new(),
        None => json!({ "title": "no" }).to_string(),
    };
    Response { status, headers, body: Bytes::from(body) }
}

/// A server of v3 with foreign keys. Requests that are under way together are done in any order.
#[derive(Default)]
struct Strict(Mutex<State>);

impl Strict {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("no panic"))
    }
}

impl Transport for Arc<Strict> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async move {
            let segments: Vec<_> = request.url.path_segments().expect("a path").skip(1).collect();
            let table = segments[0].to_owned();
            if request.method == Method::GET {
                let (_, filter) =
                    request.url.query_pairs().find(|(name, _)| name == "$filter").expect("a filter");
                let id = filter.split('\'').nth(1).expect("an id").to_owned();
                let row = self.with(|state| state.rows.get(&(table, id)).cloned());
                let body = json!({ "items": row.into_iter().collect::<Vec<_>>() }).to_string();
                let headers = HeaderMap::new();
                return Ok(Response { status: StatusCode::OK, headers, body: Bytes::from(body) });
            }
            let id = match segments.get(1) {
                Some(id) => (*id).to_owned(),
                None => {
                    let body: Json =
                        serde_json::from_slice(request.body.as_ref().expect("a body")).expect("a row");
                    body["id"].as_str().expect("an id").to_owned()
                }
            };
            let key = (table, id);
            let wait = self.with(|state| {
                state.in_flight.push(key.clone());
                state.most_in_flight = state.most_in_flight.max(state.in_flight.len());
                state.below(12)
            });
            for _ in 0..wait {
                tokio::task::yield_now().await;
            }
            self.with(|state| {
                state.in_flight.retain(|other| *other != key);
                state.done.push(format!("{} {}", request.method, key.1));
                // What was done already is told before anything is refused: a lost answer could not be settled
                // otherwise.
                let is_repeated = state.is_repeated(&request, &key);
                let fault = if is_repeated { Fault::None } else { state.fault(&key.1) };
                match fault {
                    Fault::Refuse => Ok(answer(StatusCode::UNPROCESSABLE_ENTITY, None)),
                    Fault::Fail => Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, None)),
                    Fault::None | Fault::LoseAnswer => {
                        let response = state.handle(&request, &key);
                        if fault == Fault::LoseAnswer {
                            let error = Error::new(ErrorKind::Network, "lost");
                            return Err(SendError { error, may_have_sent: true });
                        }
                        Ok(response)
                    }
                }
            })
        }
        .boxed()
    }
}

fn device_of(server: &Arc<Strict>) -> Engine<MemoryStore> {
    let requests = RequestBuilder::new(Endpoint::parse("http://strict").expect("valid"), Dialect::Datasync);
    let store = Arc::new(MemoryStore::new([&LIST, &PART]));
    Engine::new(store, Arc::new(Arc::clone(server)), Arc::new(NoWait), requests, ServerProfile::datasync())
}

fn list(id: &str) -> Row {
    Row::new(id, vec![Value::Text("a list".into()), Value::Null])
}

fn part(id: &str, parent: Option<&str>, list: Option<&str>) -> Row {
    let reference = |id: Option<&str>| id.map_or(Value::Null, |id| Value::Text(id.into()));
    Row::new(id, vec![Value::Text("a part".into()), reference(parent), reference(list)])
}

/// An app that keeps its own references whole.
struct App {
    random: u64,
    made: u64,
    lists: Vec<String>,
    /// Id, parent and list.
    parts: Vec<(String, Option<String>, Option<String>)>,
}

impl App {
    fn below(&mut self, bound: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) % bound as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() || self.below(5) == 0 {
            return None;
        }
        let index = self.below(from.len());
        Some(from[index].clone())
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        // Not in the order of the ids.
        format!("{:02}-{}", self.below(100), self.made)
    }

    async fn change(&mut self, device: &Engine<MemoryStore>) {
        let lists = self.lists.clone();
        let ids: Vec<String> = self.parts.iter().map(|(id, ..)| id.clone()).collect();
        match self.below(12) {
            0..2 => {
                let id = self.new_id();
                write(device, &LIST, LocalChangeKind::Insert(list(&id))).await;
                self.lists.push(id);
            }
            2..5 => {
                let (id, parent, of) = (self.new_id(), self.pick(&ids), self.pick(&lists));
                let row = part(&id, parent.as_deref(), of.as_deref());
                write(device, &PART, LocalChangeKind::Insert(row)).await;
                self.parts.push((id, parent, of));
            }
            5..8 if !ids.is_empty() => {
                let index = self.below(ids.len());
                // Only to parts made earlier: no circles.
                let (parent, of) = (self.pick(&ids[..index]), self.pick(&lists));
                let row = part(&ids[index], parent.as_deref(), of.as_deref());
                write(device, &PART, LocalChangeKind::Update(row)).await;
                self.parts[index] = (ids[index].clone(), parent, of);
            }
            8..10 if !ids.is_empty() => {
                let index = self.below(ids.len());
                let is_free =
                    self.parts.iter().all(|(_, parent, _)| parent.as_deref() != Some(ids[index].as_str()));
                if is_free {
                    write(device, &PART, LocalChangeKind::Delete(ids[index].clone())).await;
                    self.parts.remove(index);
                }
            }
            10..12 if !lists.is_empty() => {
                let id = lists[self.below(lists.len())].clone();
                // Its parts go elsewhere first.
                let elsewhere = lists.iter().find(|other| **other != id).cloned();
                for index in 0..self.parts.len() {
                    if self.parts[index].2.as_ref() == Some(&id) {
                        self.parts[index].2.clone_from(&elsewhere);
                        let (part_id, parent, of) = self.parts[index].clone();
                        let row = part(&part_id, parent.as_deref(), of.as_deref());
                        write(device, &PART, LocalChangeKind::Update(row)).await;
                    }
                }
                write(device, &LIST, LocalChangeKind::Delete(id.clone())).await;
                self.lists.retain(|list| *list != id);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn p_21_g_5_no_history_breaks_a_reference_at_any_window() {
    for window in [1, 8, 32] {
        let mut most_in_flight = 0;
        for seed in 0..40 {
            let server = Arc::new(Strict::default());
            server.with(|state| state.random = seed + 1);
            let device = device_of(&server);
            let options = || PushOptions { window, ..PushOptions::default() };
            let mut app = App { random: seed, made: 0, lists: Vec::new(), parts: Vec::new() };
            for _ in 0..6 {
                for _ in 0..25 {
                    app.change(&device).await;
                }
                server.with(|state| state.faults = if seed % 2 == 0 { 0 } else { 15 });
                match device.push(options()).await {
                    Ok(report) => assert_eq!(report.remaining, 0),
                    Err(error) => assert!(seed % 2 == 1, "seed {seed}, window {window}: {error}"),
                }
            }
            server.with(|state| state.faults = 0);
            let mut pushes = 0;
            while device.store().pending(None).await.expect("counted") > 0 {
                pushes += 1;
                let outcome = device.push(options()).await;
                let report = outcome.err().and_then(|error| error.push_report().cloned());
                assert!(pushes < 5, "seed {seed}, window {window}: the queue does not drain: {report:?}");
            }
            server.with(|state| {
                assert_eq!(state.violations, [""; 0], "seed {seed}, window {window}");
                let expected: BTreeSet<Key> = app
                    .lists
                    .iter()
                    .map(|id| (LIST.name.to_owned(), id.clone()))
                    .chain(app.parts.iter().map(|(id, ..)| (PART.name.to_owned(), id.clone())))
                    .collect();
                let found: BTreeSet<Key> = state.rows.keys().cloned().collect();
                assert_eq!(found, expected, "seed {seed}, window {window}");
                for (id, parent, of) in &app.parts {
                    let row = &state.rows[&(PART.name.to_owned(), id.clone())];
                    assert_eq!(
                        (row["parent"].as_str(), row["list"].as_str()),
                        (parent.as_deref(), of.as_deref())
                    );
                }
                most_in_flight = most_in_flight.max(state.most_in_flight);
            });
        }
        assert!(most_in_flight == 1 || window > 1, "window {window}: {most_in_flight} in flight");
        assert!(most_in_flight >= window.min(4), "window {window}: {most_in_flight} in flight");
    }
}

fn at(table: &'static TableSchema, id: &str) -> RowRef {
    RowRef { table: table.name, item_id: id.to_owned() }
}

#[tokio::test]
async fn p_22_children_of_a_failed_parent_are_held_back_and_told() {
    for window in [1, 8] {
        let server = Arc::new(Strict::default());
        let device = device_of(&server);
        for id in ["bad", "good"] {
            write(&device, &LIST, LocalChangeKind::Insert(list(id))).await;
        }
        for (id, parent, of) in
            [("child", None, Some("bad")), ("grandchild", Some("child"), None), ("other", None, Some("good"))]
        {
            write(&device, &PART, LocalChangeKind::Insert(part(id, parent, of))).await;
        }
        server.with(|state| state.refuses.extend(["bad".to_owned()]));
        let options = || PushOptions { window, ..PushOptions::default() };
        let error = device.push(options()).await.expect_err("a row is refused");
        assert_eq!(error.kind(), ErrorKind::PushFailed);
        assert!(error.to_string().contains("2 held back"), "{error}");
        let report = error.push_report().expect("a report");
        let held = |row, waits_for| HeldOperation { row, waits_for, for_parked: false };
        assert_eq!(
            report.held,
            [held(at(&PART, "child"), at(&LIST, "bad")), held(at(&PART, "grandchild"), at(&PART, "child")),]
        );
        assert_eq!((report.sent, report.completed, report.remaining, report.errors.len()), (3, 2, 3, 1));

        // The parent alone is not pushed: its children are not complete either.
        server.with(|state| state.refuses.clear());
        let parts = PushOptions { tables: vec![PART.name.into()], ..options() };
        let error = device.push(parts).await.expect_err("held");
        let report = error.push_report().expect("a report");
        assert_eq!((error.kind(), report.held.len(), report.sent), (ErrorKind::PushFailed, 2, 0));

        // Failed operations that are left alone hold back too.
        let without = PushOptions { retry_failed: false, ..options() };
        let error = device.push(without).await.expect_err("held");
        assert_eq!(error.push_report().map(|report| (report.held.len(), report.sent)), Some((2, 0)));

        let report = device.push(options()).await.expect("pushed");
        assert_eq!((report.completed, report.held.len()), (3, 0));
        server.with(|state| assert_eq!(state.violations, [""; 0]));
    }
}

#[tokio::test]
async fn p_22_p_29_children_of_a_parked_parent_wait_and_the_push_is_complete() {
    for window in [1, 8] {
        let server = Arc::new(Strict::default());
        let device = device_of(&server);
        write(&device, &LIST, LocalChangeKind::Insert(list("bad"))).await;
        for (id, parent, of) in [("child", None, Some("bad")), ("grandchild", Some("child"), None)] {
            write(&device, &PART, LocalChangeKind::Insert(part(id, parent, of))).await;
        }
        server.with(|state| state.refuses.extend(["bad".to_owned()]));
        let options = || PushOptions { window, ..PushOptions::default() };
        device.push(options()).await.expect_err("a row is refused");
        let key = device.store().errors(None).await.expect("errors").remove(0).key;
        device.store().resolve(key.clone(), Resolution::Park, Resolver::App).await.expect("parked");

        // Also where the parent is of a table that is not pushed.
        for (tables, parked) in [(Vec::new(), 1), (vec![PART.name.to_owned()], 0)] {
            let report = device.push(PushOptions { tables, ..options() }).await.expect("complete");
            assert_eq!((report.sent, report.parked, report.held.len()), (0, parked, 2));
            assert!(report.held.iter().all(|held| held.for_parked), "{:?}", report.held);
        }
        device.store().resolve(key, Resolution::Unpark, Resolver::App).await.expect("unparked");
        server.with(|state| state.refuses.clear());
        assert_eq!(device.push(options()).await.expect("pushed").completed, 3);
        server.with(|state| assert_eq!(state.violations, [""; 0]));
    }
}

#[tokio::test]
async fn p_21_circles_go_in_queue_order() {
    for window in [1, 8] {
        let server = Arc::new(Strict::default());
        let device = device_of(&server);
        for (id, parent) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("x", "y"), ("y", "x")] {
            write(&device, &PART, LocalChangeKind::Insert(part(id, Some(parent), None))).await;
        }
        let options = PushOptions { window, ..PushOptions::default() };
        let error = device.push(options).await.expect_err("the server does not take circles");
        let report = error.push_report().expect("a report");
        server.with(|state| {
            let of = |ids: [&str; 3]| {
                let done = state.done.iter();
                let sent: Vec<String> =
                    done.filter(|line| ids.iter().any(|id| line.ends_with(id))).cloned().collect();
                sent
            };
            assert_eq!(of(["a", "b", "c"]), ["POST a", "POST b", "POST c"], "each is tried, in order");
            assert_eq!(state.done.len(), 5);
        });
        assert_eq!((report.errors.len(), report.held.len()), (5, 1));
        assert_eq!(report.held[0].row, at(&PART, "d"));
    }
}

#[tokio::test]
async fn p_21_a_parent_that_the_app_takes_back_frees_its_children() {
    let server = Arc::new(Strict::default());
    let device = Arc::new(device_of(&server));
    write(&device, &PART, LocalChangeKind::Insert(part("child", None, Some("l")))).await;
    write(&device, &PART, LocalChangeKind::Insert(part("first", None, None))).await;
    write(&device, &LIST, LocalChangeKind::Insert(list("l"))).await;
    let push = device.push(one_by_one());
    let change = async {
        while server.with(|state| state.in_flight.is_empty()) {
            tokio::task::yield_now().await;
        }
        write(&device, &LIST, LocalChangeKind::Delete("l".into())).await;
        write(&device, &PART, LocalChangeKind::Update(part("child", None, None))).await;
    };
    server.with(|state| state.random = 3);
    let (report, ()) = tokio::join!(push, change);
    let report = report.expect("pushed");
    assert_eq!((report.completed, report.remaining, report.held.len()), (2, 0, 0));
    server.with(|state| assert_eq!(state.rows.len(), 2));
}
