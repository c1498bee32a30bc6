//! Versions that are not known, or moved without a change (P-10, P-13, F-11).

use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};

use super::*;
use crate::operation::OperationKind;
use crate::transport::{Request, Response, SendError};

/// Answers from a list, with what was asked on record: method, `If-Match`, body.
#[derive(Default)]
pub(super) struct Script {
    answers: Mutex<Vec<Response>>,
    asked: Mutex<Vec<(Method, Option<String>)>>,
    /// The text in each body; of a request without one, nothing.
    texts: Mutex<Vec<Option<String>>>,
}

impl Script {
    pub(super) fn of(answers: impl IntoIterator<Item = Response>) -> Arc<Self> {
        let script = Self::default();
        script.then(answers);
        Arc::new(script)
    }

    pub(super) fn then(&self, answers: impl IntoIterator<Item = Response>) {
        self.answers.lock().expect("no panic").extend(answers);
    }

    /// Drops the answers that nobody asked for.
    pub(super) fn forget(&self) {
        self.answers.lock().expect("no panic").clear();
    }

    pub(super) fn asked(&self) -> Vec<(Method, Option<String>)> {
        self.texts.lock().expect("no panic").clear();
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }

    /// What was asked in short: the method, and the text in the body.
    pub(super) fn told(&self) -> Vec<String> {
        let texts = std::mem::take(&mut *self.texts.lock().expect("no panic"));
        let asked = self.asked().into_iter().map(|(method, _)| method);
        asked
            .zip(texts)
            .map(|(method, text)| text.map_or(method.to_string(), |text| format!("{method} {text}")))
            .collect()
    }
}

impl Transport for Arc<Script> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let tag = request.headers.get(header::IF_MATCH);
        let tag = tag.map(|tag| tag.to_str().expect("text").trim_matches('"').to_owned());
        let body = request.body.as_deref().and_then(|body| serde_json::from_slice::<Json>(body).ok());
        let text = body.and_then(|body| body["text"].as_str().map(str::to_owned));
        self.texts.lock().expect("no panic").push(text);
        self.asked.lock().expect("no panic").push((request.method, tag));
        let mut answers = self.answers.lock().expect("no panic");
        assert!(!answers.is_empty(), "one request more than expected");
        let answer = answers.remove(0);
        async move { Ok(answer) }.boxed()
    }
}

pub(super) fn answer(status: u16, body: &Json) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(version) = body.get("version").and_then(Json::as_str) {
        let tag = HeaderValue::from_str(&format!("\"{version}\"")).expect("a tag");
        headers.insert(header::ETAG, tag);
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    Response { status: StatusCode::from_u16(status).expect("a status"), headers, body }
}

pub(super) fn stored(text: &str, version: &str) -> Json {
    json!({ "id": "a", "text": text, "version": version, "deleted": false })
}

pub(super) fn device(script: &Arc<Script>) -> Engine<MemoryStore> {
    let requests = RequestBuilder::new(Endpoint::parse("http://script").expect("valid"), Dialect::MobileApps);
    let store = Arc::new(MemoryStore::new([&TODO]));
    let profile = ServerProfile::conservative();
    Engine::new(store, Arc::new(Arc::clone(script)), Arc::new(NoWait), requests, profile)
}

pub(super) async fn push(device: &Engine<MemoryStore>) -> Result<PushReport> {
    device.push(push_options()).await
}

/// A device whose row `a` says `old`, acknowledged in an answer with or without a version.
pub(super) async fn known(script: &Arc<Script>, version: Option<&str>) -> Engine<MemoryStore> {
    let device = device(script);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
    script.then([answer(201, &version.map_or(Json::Null, |version| stored("old", version)))]);
    push(&device).await.expect("pushed");
    script.asked();
    device
}

fn put(tag: Option<&str>) -> (Method, Option<String>) {
    (Method::PATCH, tag.map(str::to_owned))
}

/// I-5: whether the lost insert arrived, and what others did to its row since, shows before the row is deleted.
#[tokio::test]
async fn x_04_a_row_whose_insert_may_have_arrived_is_looked_at_before_it_is_deleted() {
    let get = || (Method::GET, None);
    let delete = (Method::DELETE, Some("v7".to_owned()));
    let lost = || answer(504, &Json::Null);
    for (on_server, expected) in [
        (json!([]), vec![get()]),
        (json!([{ "id": "a", "text": "old", "version": "v7", "deleted": true }]), vec![get()]),
        // As it was sent, or as it was when it was deleted here.
        (json!([stored("old", "v7")]), vec![get(), delete.clone()]),
        (json!([stored("new", "v7")]), vec![get(), delete.clone()]),
    ] {
        let script = Script::of([lost()]);
        let device = device(&script);
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
        push(&device).await.expect_err("lost");
        write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
        write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
        script.asked();
        // The look itself may get lost.
        script.then([lost()]);
        push(&device).await.expect_err("lost");
        assert_eq!(script.asked(), [get()]);
        script.then([answer(200, &on_server)]);
        if expected.len() == 2 {
            script.then([answer(204, &Json::Null)]);
        }
        assert_eq!(push(&device).await.expect("pushed").completed, 1, "{on_server}");
        assert_eq!(script.asked(), expected);
    }

    // Somebody changed it: nothing is deleted until it is decided, in no later push either.
    let script = Script::of([lost()]);
    let device = device(&script);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
    push(&device).await.expect_err("lost");
    write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
    script.asked();
    for _ in 0..2 {
        script.then([answer(200, &json!([stored("theirs", "v8")]))]);
        let error = push(&device).await.expect_err("a conflict");
        let report = error.push_report().expect("a report");
        assert_eq!(
            (report.errors[0].kind, report.errors[0].class),
            (OperationKind::Delete, FailureClass::Conflict)
        );
        assert_eq!(script.asked(), [get()]);
    }
    device.resolve_all(None, ConflictPolicy::ClientWins).await.expect("decided");
    script.then([answer(204, &Json::Null)]);
    push(&device).await.expect("pushed");
    assert_eq!(script.asked(), [(Method::DELETE, Some("v8".to_owned()))]);
}

#[tokio::test]
async fn p_10_p_13_without_a_known_version_the_servers_row_is_looked_at_first() {
    let get = (Method::GET, None);
    for (on_server, expected) in [
        (json!([stored("old", "v7")]), vec![get.clone(), put(Some("v7"))]),
        // A server without versions: nothing to guard with.
        (json!([{ "id": "a", "text": "old" }]), vec![get.clone(), put(None)]),
    ] {
        let script = Script::of([]);
        let device = known(&script, None).await;
        write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
        script.then([answer(200, &on_server), answer(200, &stored("new", "v8"))]);
        assert_eq!(push(&device).await.expect("pushed").completed, 1);
        assert_eq!(script.asked(), expected);
    }

    // Somebody changed or deleted it: nothing is sent.
    for (on_server, class) in
        [(json!([stored("theirs", "v7")]), FailureClass::Conflict), (json!([]), FailureClass::Gone)]
    {
        let script = Script::of([]);
        let device = known(&script, None).await;
        write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
        script.then([answer(200, &on_server)]);
        let error = push(&device).await.expect_err("a conflict");
        let report = error.push_report().expect("a report");
        assert_eq!((report.errors[0].class, report.errors[0].status), (class, None));
        assert_eq!(script.asked(), std::slice::from_ref(&get));
    }

    // The same change by somebody else, or by our own lost request, is done; so is a delete of what is gone.
    let script = Script::of([]);
    let device = known(&script, None).await;
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    script.then([answer(200, &json!([stored("new", "v7")]))]);
    assert_eq!(push(&device).await.expect("done").completed, 1);
    let script = Script::of([]);
    let device = known(&script, None).await;
    write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
    script.then([answer(200, &json!([]))]);
    assert_eq!(push(&device).await.expect("done").completed, 1);

    // The look fails: the operation was not sent.
    let script = Script::of([]);
    let device = known(&script, None).await;
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    script.then([answer(503, &Json::Null)]);
    let error = push(&device).await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    let operations = device.store().operations(None).await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Pending);
}

#[tokio::test]
async fn f_11_a_version_that_moved_without_a_change_is_no_conflict() {
    for delete in [false, true] {
        let change = || {
            if delete {
                LocalChangeKind::Delete("a".into())
            } else {
                LocalChangeKind::Update(row("a", "new"))
            }
        };
        let method = if delete { Method::DELETE } else { Method::PATCH };
        let sent = |tag: &str| (method.clone(), Some(tag.to_owned()));
        let script = Script::of([]);
        let device = known(&script, Some("v1")).await;
        write(&device, &TODO, change()).await;
        script.then([answer(412, &stored("old", "v2")), answer(200, &stored("new", "v3"))]);
        assert_eq!(push(&device).await.expect("pushed").completed, 1);
        assert_eq!(script.asked(), [sent("v1"), sent("v2")]);

        // At most once per push; and never over what was not read.
        for (answers, count) in [
            (vec![answer(412, &stored("old", "v2")), answer(412, &stored("old", "v3"))], 2),
            (vec![answer(412, &stored("theirs", "v2"))], 1),
        ] {
            let script = Script::of([]);
            let device = known(&script, Some("v1")).await;
            write(&device, &TODO, change()).await;
            script.then(answers);
            let error = push(&device).await.expect_err("a conflict");
            assert_eq!(error.push_report().map(|report| report.errors.len()), Some(1));
            assert_eq!(script.asked().len(), count);
        }
    }
}

/// The answer shows what was sent alone, as those of v1 and v2 may; the rest is as in the row that it was sent on top of,
/// whatever an earlier conflict or a pull had shown.
#[tokio::test]
async fn f_11_what_an_answer_leaves_out_is_as_in_the_row_the_change_went_on() {
    static WIDE: TableSchema = TableSchema {
        name: "Wide",
        columns: &[TEXT, ColumnSchema::new("note", ColumnType::Text)],
        versioned: true,
        keep_deleted: false,
    };
    let row = |text: &str, note: Option<&str>| {
        let value = |text: &str| Value::Text(text.into());
        Row { values: vec![Some(value(text)), note.map(value)], ..Row::empty(&WIDE, "a") }
    };
    let there = |text: &str, note: &str, version: &str| json!({ "id": "a", "text": text, "note": note, "version": version, "deleted": false });
    let script = Script::of([]);
    let requests = RequestBuilder::new(Endpoint::parse("http://script").expect("valid"), Dialect::MobileApps);
    let store = Arc::new(MemoryStore::new([&WIDE]));
    let profile = ServerProfile::conservative();
    let device = Engine::new(store, Arc::new(Arc::clone(&script)), Arc::new(NoWait), requests, profile);
    write(&device, &WIDE, LocalChangeKind::Insert(row("old", Some("x")))).await;
    script.then([answer(201, &there("old", "x", "v1"))]);
    push(&device).await.expect("pushed");

    write(&device, &WIDE, LocalChangeKind::Update(row("new", None))).await;
    script.then([answer(412, &there("old", "theirs", "v2"))]);
    push(&device).await.expect_err("a conflict");
    // Somebody took that change back.
    let shown = json!({ "id": "a", "text": "new", "version": "v4" });
    script.then([answer(412, &there("old", "x", "v3")), answer(200, &shown)]);
    assert_eq!(push(&device).await.expect("pushed").completed, 1);
    let rows = device.store().select(Predicate::all(&WIDE)).await.expect("rows");
    assert_eq!((rows[0].version.as_deref(), &rows[0].values), (Some("v4"), &row("new", Some("x")).values));
}

#[tokio::test]
async fn k_17_a_change_made_on_an_older_version_is_not_moved_to_the_newer_one() {
    let script = Script::of([]);
    let device = known(&script, Some("v2")).await;
    // The object that is saved was read before the row here became what it is.
    let stale = Row { version: Some("v1".into()), ..row("a", "mine") };
    write(&device, &TODO, LocalChangeKind::Update(stale)).await;
    script.then([answer(412, &stored("old", "v2"))]);
    let error = push(&device).await.expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(script.asked(), [put(Some("v1"))]);
}

#[tokio::test]
async fn p_16_p_24_what_is_counted() {
    let script = Script::of([]);
    let device = known(&script, Some("v1")).await;
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    let body = stored("new", "v2");
    script.then([answer(200, &body)]);
    let report = push(&device).await.expect("pushed");
    let sent = json!({ "text": "new" }).to_string().len();
    // The whole of both bodies; the id may stand in the sent one.
    assert!(report.bytes >= (sent + body.to_string().len()) as u64, "{}", report.bytes);
    assert_eq!((report.sent, report.completed, report.remaining, report.held.len()), (1, 1, 0, 0));
    assert_eq!(report.status, PushStatus::Complete);
}

#[tokio::test]
async fn c_12_an_engine_refuses_the_queue_of_another_owner_before_any_request() {
    use crate::store::{OtherAccount, Owner};

    let script = Script::of([]);
    let mut device = device(&script);
    assert_eq!(device.claim(Some("ann"), OtherAccount::Refuse).await.expect("the first"), 0);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
    let bob = Owner { endpoint: "http://elsewhere/".into(), account: Some("bob".into()) };
    device.store().claim(bob, OtherAccount::Adopt).await.expect("bob's");
    assert_eq!(push(&device).await.expect_err("not ours").kind(), ErrorKind::OtherAccount);
    let error = device.pull(pull_all()).await.expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::OtherAccount);
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn p_30_a_handler_that_never_settles_is_asked_five_times() {
    let script = Script::of([]);
    let device = known(&script, Some("v0"))
        .await
        .with_conflict_handler(Arc::new(|_: &Conflict| Ok(Decision::Resolve(Resolution::KeepLocal))));
    write(&device, &TODO, LocalChangeKind::Update(row("a", "mine"))).await;
    // Somebody is faster each time.
    script
        .then((1..=6).map(|number| answer(412, &stored(&format!("theirs {number}"), &format!("v{number}")))));
    let error = push(&device).await.expect_err("never settled");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    let tags: Vec<_> = (0..=5).map(|number| put(Some(&format!("v{number}")))).collect();
    assert_eq!(script.asked(), tags, "each on the version just seen");
    let errors = device.store().errors(None).await.expect("errors");
    let remote = errors[0].remote.as_ref().and_then(|row| row.values[0].clone());
    assert_eq!((errors.len(), remote), (1, Some(Value::Text("theirs 6".into()))), "the last one is recorded");
    // The next push begins to count anew.
    script.then([answer(200, &stored("mine", "v8"))]);
    assert_eq!(push(&device).await.expect("pushed").completed, 1);
}

#[tokio::test]
async fn p_20g_a_handler_that_stops_the_push_leaves_what_is_done_done() {
    let script = Script::of([]);
    let device = device(&script).with_conflict_handler(Arc::new(|_: &Conflict| Ok(Decision::Abort)));
    for id in ["a", "b", "c"] {
        write(&device, &TODO, LocalChangeKind::Insert(row(id, "mine"))).await;
    }
    let theirs = json!({ "id": "b", "text": "theirs", "version": "v2", "deleted": false });
    script.then([answer(201, &stored("mine", "v1")), answer(409, &theirs)]);
    let error = device.push(one_by_one()).await.expect_err("aborted");
    assert_eq!(error.kind(), ErrorKind::Aborted);
    let report = error.push_report().expect("a report");
    assert_eq!((report.status, report.completed, report.remaining), (PushStatus::AbortedByHandler, 1, 2));
    assert_eq!(script.asked().len(), 2, "nothing is sent after it");
    let operations = device.store().operations(None).await.expect("operations");
    let states: Vec<_> = operations.iter().map(|each| (each.key.item_id.as_str(), each.state)).collect();
    assert_eq!(states, [("b", OperationState::Failed), ("c", OperationState::Pending)]);
}

#[tokio::test]
async fn p_20h_a_handler_that_fails_is_the_error_of_its_operation_alone() {
    let failing: [Arc<dyn ConflictHandler>; 2] = [
        Arc::new(|_: &Conflict| Err(Error::new(ErrorKind::Store, "no answer from the user"))),
        Arc::new(|_: &Conflict| -> Result<Decision> { panic!("a bug in the app") }),
    ];
    for (handler, why) in failing.into_iter().zip(["no answer from the user", "panicked"]) {
        let script = Script::of([]);
        let device = device(&script).with_conflict_handler(handler);
        for id in ["a", "b"] {
            write(&device, &TODO, LocalChangeKind::Insert(row(id, "mine"))).await;
        }
        script.then([answer(409, &stored("theirs", "v2")), answer(201, &Json::Null)]);
        let error = push(&device).await.expect_err("a conflict");
        let report = error.push_report().expect("a report");
        assert_eq!((report.status, report.completed), (PushStatus::Complete, 1), "the push went on");
        let [only] = &report.errors[..] else { panic!("{:?}", report.errors) };
        assert_eq!((&*only.key.item_id, only.class), ("a", FailureClass::Handler));
        assert!(only.message.contains(why), "{}", only.message);
        assert_eq!(only.remote.as_ref().and_then(|row| row.version.as_deref()), Some("v2"));
    }
}

/// Does not answer the write of row `c` before the outcomes of all others are stored.
struct OneWaits {
    store: Arc<MemoryStore>,
}

impl Transport for OneWaits {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let body = request.body.expect("an insert");
        let id = serde_json::from_slice::<Json>(&body).expect("a row")["id"].clone();
        async move {
            for _ in 0..10_000 {
                if id != "c" || self.store.pending(None).await.expect("counted") == 1 {
                    return Ok(answer(201, &Json::Null));
                }
                tokio::task::yield_now().await;
            }
            panic!("outcomes wait for an answer that does not come");
        }
        .boxed()
    }
}

#[tokio::test]
async fn r_8_outcomes_do_not_wait_for_a_slow_answer_to_be_stored() {
    let store = Arc::new(MemoryStore::new([&TODO]));
    let requests = RequestBuilder::new(Endpoint::parse("http://slow").expect("valid"), Dialect::MobileApps);
    let transport = Arc::new(OneWaits { store: Arc::clone(&store) });
    let device = Engine::new(store, transport, Arc::new(NoWait), requests, ServerProfile::conservative());
    for id in ["a", "b", "c"] {
        write(&device, &TODO, LocalChangeKind::Insert(row(id, "mine"))).await;
    }
    let options = PushOptions { window: 8, ..PushOptions::default() };
    assert_eq!(device.push(options).await.expect("pushed").completed, 3);
}
