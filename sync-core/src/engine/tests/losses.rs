//! Answers by which a change could be lost, or the queue could come to stand.

use super::versions::{Script, answer, push};
use super::*;
use crate::entity::MergeRule;
use crate::value::IntegerWidth;
use http::Method;
use serde_json::{Value as Json, json};
use std::sync::atomic::AtomicBool;

static COUNTER: TableSchema = TableSchema {
    name: "Counter",
    columns: &[
        TEXT,
        ColumnSchema::new("n", ColumnType::Integer(IntegerWidth::I64)).with_merge(MergeRule::Add),
    ],
    versioned: true,
    keep_deleted: false,
};

fn device(script: &Arc<Script>, dialect: Dialect) -> Engine<MemoryStore> {
    let requests = RequestBuilder::new(Endpoint::parse("http://script").expect("valid"), dialect);
    let store = Arc::new(MemoryStore::new([&COUNTER, &TODO, &LIST]));
    Engine::new(
        store,
        Arc::new(Arc::clone(script)),
        Arc::new(NoWait),
        requests,
        ServerProfile::conservative(),
    )
}

fn counted(n: i64) -> Row {
    Row::new("a", vec![Value::Text("x".into()), Value::Integer(n)])
}

fn stored(n: i64, version: &str) -> Json {
    json!({ "id": "a", "text": "x", "n": n, "version": version, "deleted": false })
}

async fn count(device: &Engine<MemoryStore>) -> Value {
    let row = device.store().get(&COUNTER, "a").await.expect("a read").expect("a row");
    row.values[1].clone().expect("a count")
}

#[tokio::test]
async fn k_06_the_same_sum_of_two_devices_counts_both() {
    for dialect in [Dialect::MobileApps, Dialect::Datasync] {
        let script = Script::of([answer(201, &stored(5, "v1"))]);
        let device = device(&script, dialect);
        write(&device, &COUNTER, LocalChangeKind::Insert(counted(5))).await;
        push(&device).await.expect("pushed");
        // Here one more, and there.
        write(&device, &COUNTER, LocalChangeKind::Update(counted(6))).await;
        script.then([answer(412, &stored(6, "v2")), answer(200, &stored(7, "v3"))]);
        script.asked();
        push(&device).await.expect("merged");
        let tags: Vec<_> = script.asked().into_iter().map(|(_, tag)| tag).collect();
        assert_eq!(tags, [Some("v1".to_owned()), Some("v2".to_owned())], "{dialect:?}");
        assert_eq!(count(&device).await, Value::Integer(7));
    }
}

#[tokio::test]
async fn f_10_a_sum_whose_answer_was_lost_is_not_counted_twice() {
    let script = Script::of([answer(201, &stored(5, "v1"))]);
    let device = device(&script, Dialect::MobileApps);
    write(&device, &COUNTER, LocalChangeKind::Insert(counted(5))).await;
    push(&device).await.expect("pushed");
    write(&device, &COUNTER, LocalChangeKind::Update(counted(6))).await;
    script.then([answer(504, &Json::Null)]);
    push(&device).await.expect_err("no answer");
    script.then([answer(412, &stored(6, "v2"))]);
    assert_eq!(push(&device).await.expect("it had arrived").completed, 1);
    assert_eq!(count(&device).await, Value::Integer(6));
}

#[tokio::test]
async fn k_06_a_sum_that_was_refused_before_is_merged() {
    let script = Script::of([answer(201, &stored(5, "v1"))]);
    let device = device(&script, Dialect::MobileApps);
    write(&device, &COUNTER, LocalChangeKind::Insert(counted(5))).await;
    push(&device).await.expect("pushed");
    write(&device, &COUNTER, LocalChangeKind::Update(counted(6))).await;
    script.then([answer(403, &json!({ "error": "not yet" }))]);
    push(&device).await.expect_err("refused");
    // The refusal was an answer: what the server has counted since is somebody else's.
    script.then([answer(412, &stored(15, "v2")), answer(200, &stored(16, "v3"))]);
    push(&device).await.expect("merged");
    assert_eq!(count(&device).await, Value::Integer(16));
}

#[tokio::test]
async fn k_17_an_object_of_an_older_version_is_not_merged_as_if_it_had_seen_the_newer_one() {
    let script = Script::of([answer(201, &stored(5, "v1"))]);
    let device = device(&script, Dialect::MobileApps);
    write(&device, &COUNTER, LocalChangeKind::Insert(counted(5))).await;
    push(&device).await.expect("pushed");
    // Somebody counts ten more, which a pull brings while an object from before is edited.
    let mut theirs = stored(15, "v2");
    theirs["updatedAt"] = json!("2024-01-01T00:00:00.000Z");
    theirs["createdAt"] = json!("2024-01-01T00:00:00.000Z");
    script.then([answer(200, &json!([theirs])), answer(200, &json!([]))]);
    device.pull(PullRequest::new(None, Predicate::all(&COUNTER))).await.expect("pulled");
    assert_eq!(count(&device).await, Value::Integer(15));
    let edited = Row::new("a", vec![Value::Text("mine".into()), Value::Integer(5)]);
    let edited = Row { version: Some("v1".into()), ..edited };
    write(&device, &COUNTER, LocalChangeKind::Update(edited)).await;

    script.asked();
    script.then([answer(412, &stored(15, "v2"))]);
    let error = push(&device).await.expect_err("nobody knows what was changed from what");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(script.asked(), [(Method::PATCH, Some("v1".to_owned()))], "their ten are not taken back");
    let left = device.resolve_all(None, ConflictPolicy::Merge).await.expect("decided");
    assert_eq!((left.resolved, left.left.len()), (0, 1));
    let open = device.store().conflicts(None).await.expect("a read").remove(0);
    assert_eq!(Conflict::from_store(open).base, None);

    // Whoever wins is for the app to say.
    device.resolve_all(None, ConflictPolicy::MergeElseServer).await.expect("decided");
    assert_eq!(count(&device).await, Value::Integer(15));
}

/// Queues an update of row `a` of TODO known in v1, and an insert into LIST behind it.
async fn two_operations(script: &Arc<Script>, dialect: Dialect) -> Engine<MemoryStore> {
    let device = device(script, dialect);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
    let names = dialect.names();
    script.then([answer(201, &json!({ "id": "a", "text": "old", names.version: "v1" }))]);
    push(&device).await.expect("pushed");
    script.asked();
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    write(&device, &LIST, LocalChangeKind::Insert(row("l", "behind"))).await;
    device
}

#[tokio::test]
async fn p_20b_a_row_that_cannot_be_looked_at_does_not_stop_the_queue() {
    // The write's answer needs a look at the server's row, which is refused for good.
    for (write, look, class) in [
        (404, 404, FailureClass::Refused),
        (412, 403, FailureClass::Refused),
        (412, 400, FailureClass::Refused),
        (412, 500, FailureClass::ServerError),
    ] {
        let script = Script::of([]);
        let device = two_operations(&script, Dialect::MobileApps).await;
        for _ in 0..2 {
            let error = json!({ "error": "no" });
            let behind = json!({ "id": "l", "text": "behind", "version": "v1" });
            script.then([answer(write, &error), answer(look, &error)]);
            if device.store().pending(Some(&LIST)).await.expect("counted") > 0 {
                script.then([answer(201, &behind)]);
            }
            let error = push(&device).await.expect_err("one failed");
            assert_eq!(error.kind(), ErrorKind::PushFailed, "{write} {look}");
            let report = error.push_report().expect("a report");
            assert_eq!((report.errors.len(), report.remaining), (1, 1), "{write} {look}");
            assert_eq!((report.errors[0].class, report.errors[0].status), (class, Some(look)));
        }
        assert_eq!(device.store().pending(Some(&LIST)).await.expect("counted"), 0, "{write} {look}");
    }
}

#[tokio::test]
async fn p_10_a_refused_look_before_the_write_does_not_stop_the_queue() {
    let script = Script::of([]);
    let device = device(&script, Dialect::MobileApps);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
    script.then([answer(201, &Json::Null)]);
    push(&device).await.expect("pushed, the version is not known");
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    write(&device, &LIST, LocalChangeKind::Insert(row("l", "behind"))).await;
    script.then([answer(403, &json!({ "error": "no reading" })), answer(201, &Json::Null)]);
    let error = push(&device).await.expect_err("one failed");
    let report = error.push_report().expect("a report");
    assert_eq!((report.errors[0].class, report.errors[0].status), (FailureClass::Refused, Some(403)));
    assert_eq!((report.completed, report.remaining), (1, 1));
}

#[tokio::test]
async fn g_3_rows_that_always_fail_do_not_keep_the_others_from_the_server() {
    let script = Script::of([]);
    let device = device(&script, Dialect::MobileApps);
    for number in 0..7 {
        write(&device, &TODO, LocalChangeKind::Insert(row(&number.to_string(), "poison"))).await;
    }
    write(&device, &LIST, LocalChangeKind::Insert(row("l", "behind"))).await;
    let failure = || answer(500, &json!({ "error": "a bug" }));
    script.then(std::iter::repeat_with(failure).take(5));
    let error = device.push(one_by_one()).await.expect_err("five in a row");
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    // The five are known: what stands behind them gets its turn.
    let looked_at = || [failure(), answer(200, &json!([]))];
    script.then(std::iter::repeat_with(looked_at).take(5).flatten());
    script.then([failure(), failure(), answer(201, &Json::Null)]);
    let error = device.push(one_by_one()).await.expect_err("seven failed");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(device.store().pending(Some(&LIST)).await.expect("counted"), 0);
    assert_eq!(device.store().pending(None).await.expect("counted"), 7);
}

#[tokio::test]
async fn w_09_a_row_that_somebody_revived_and_changed_is_not_overwritten_unseen() {
    let script = Script::of([]);
    let device = two_operations(&script, Dialect::MobileServices).await;
    let deleted = json!({ "id": "a", "text": "old", "__version": "v2", "__deleted": true });
    let theirs = json!({ "id": "a", "text": "theirs", "__version": "v4", "__deleted": false });
    let tagged = |status, body: &Json, tag: &'static str| {
        let mut answer = answer(status, body);
        answer.headers.insert(http::header::ETAG, http::HeaderValue::from_static(tag));
        answer
    };
    script.then([tagged(412, &deleted, "\"v2\""), answer(201, &Json::Null)]);
    push(&device).await.expect_err("gone");
    device.resolve_all(None, ConflictPolicy::ClientWins).await.expect("resolved");
    script.asked();
    script.then([tagged(412, &theirs, "\"v4\"")]);
    let error = push(&device).await.expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(script.asked(), [(Method::POST, Some("v2".to_owned()))], "the revival, and no more");
    let errors = device.store().errors(None).await.expect("errors");
    assert_eq!(errors[0].class, FailureClass::Conflict);
    assert_eq!(
        errors[0].remote.as_ref().and_then(|row| row.values[0].clone()),
        Some(Value::Text("theirs".into()))
    );
}

/// Edits row `a` of TODO once, while its request is under way.
fn edit_once(store: &Arc<MemoryStore>, done: &AtomicBool) {
    if !done.swap(true, Ordering::SeqCst) {
        let kind = LocalChangeKind::Update(row("a", "newer"));
        let write = store.write(vec![LocalChange { table: &TODO, kind }]);
        write.now_or_never().expect("a store in memory does not wait").expect("written");
    }
}

#[tokio::test]
async fn p_24_a_choice_that_came_too_late_fails_the_push() {
    for resolution in [Resolution::TakeRemote, Resolution::Merge(row("a", "both")), Resolution::Park] {
        let script = Script::of([]);
        let device = two_operations(&script, Dialect::MobileApps).await;
        let (store, done, chosen) = (Arc::clone(device.store()), AtomicBool::new(false), resolution.clone());
        let decide = move |_: &Conflict| {
            edit_once(&store, &done);
            Ok(Decision::Resolve(chosen.clone()))
        };
        let device = device.with_conflict_handler(Arc::new(decide));
        let theirs = json!({ "id": "a", "text": "theirs", "version": "v2", "deleted": false });
        script.then([answer(412, &theirs), answer(201, &Json::Null)]);
        let error = push(&device).await.expect_err("the conflict waits for a decision");
        assert_eq!(error.kind(), ErrorKind::PushFailed, "{resolution:?}");
        let report = error.push_report().expect("a report");
        assert_eq!((report.completed, report.remaining, report.errors.len()), (1, 1, 1), "{resolution:?}");
        assert!(report.errors[0].superseded && !report.errors[0].parked);
        assert_eq!(texts(&device).await, [("a".to_owned(), Some(Value::Text("newer".into())))]);
    }
}

#[tokio::test]
async fn p_24_a_push_that_leaves_failed_operations_alone_is_not_complete() {
    let script = Script::of([]);
    let device = two_operations(&script, Dialect::MobileApps).await;
    script.then([answer(400, &json!({ "error": "no" })), answer(201, &Json::Null)]);
    push(&device).await.expect_err("one is refused");
    script.asked();
    let left = |tables: &[&str]| PushOptions {
        retry_failed: false,
        tables: tables.iter().map(|name| (*name).to_owned()).collect(),
        ..PushOptions::default()
    };
    let error = device.push(left(&[])).await.expect_err("one is left alone");
    let report = error.push_report().expect("a report");
    assert_eq!((error.kind(), report.sent, report.remaining), (ErrorKind::PushFailed, 0, 1));
    assert!(matches!(&report.errors[..], [only] if only.old && only.status == Some(400)), "P-27");
    // P-02: no matter of another table.
    device.push(left(&["List"])).await.expect("nothing of it is left");
    assert!(script.asked().is_empty());

    device.resolve_all(None, ConflictPolicy::Park).await.expect("parked");
    assert_eq!(device.push(left(&[])).await.expect("parked is no failure").parked, 1);
}
