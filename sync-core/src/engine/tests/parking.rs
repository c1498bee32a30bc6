//! Pushes that leave parked operations alone, and those that end by the app's own faults (P-26, P-29, P-30).

use serde_json::json;

use super::versions::{Script, answer, known, push, stored};
use super::*;
use crate::transport::{Request, Response, SendError};

/// A row `a`, changed from "old" to "new" here.
async fn changed(script: &Arc<Script>) -> Engine<MemoryStore> {
    let device = known(script, Some("v1")).await;
    write(&device, &TODO, LocalChangeKind::Update(row("a", "new"))).await;
    device
}

async fn park(device: &Engine<MemoryStore>) {
    let error = device.store().errors(None).await.expect("errors").remove(0);
    device.store().resolve(error.key, Resolution::Park, Resolver::App).await.expect("parked");
}

#[tokio::test]
async fn p_29_m_04_a_push_is_complete_without_parked_operations_and_pulls_go_on() {
    let script = Script::of([]);
    let device = changed(&script).await;
    script.then([answer(400, &json!({ "error": "too new" }))]);
    let error = push(&device).await.expect_err("refused");
    assert_eq!(error.push_report().map(|report| (report.errors.len(), report.parked)), Some((1, 0)));
    park(&device).await;

    script.asked();
    let report = push(&device).await.expect("nothing else is left");
    assert_eq!((report.is_complete(), report.parked, report.remaining, report.sent), (true, 1, 1, 0));
    assert!(script.asked().is_empty(), "nothing was sent");

    let mut theirs = stored("theirs", "v2");
    theirs["updatedAt"] = json!("2024-01-01T00:00:00.000Z");
    theirs["createdAt"] = json!("2024-01-01T00:00:00.000Z");
    script.then([answer(200, &json!([theirs])), answer(200, &json!([]))]);
    let report = device.pull(PullRequest::new(None, Predicate::all(&TODO))).await.expect("pulled");
    assert_eq!((report.rows.kept_local, report.push.map(|push| push.parked)), (1, Some(1)));
    assert_eq!(texts(&device).await, [("a".to_owned(), Some(Value::Text("new".into())))]);
}

#[tokio::test]
async fn p_29_the_push_that_parks_reports_it_and_later_ones_count_it() {
    for policy in [false, true] {
        let script = Script::of([]);
        let decide = move |_: &Conflict| {
            Ok(match policy {
                true => Decision::Policy(ConflictPolicy::Park),
                false => Decision::Resolve(Resolution::Park),
            })
        };
        let device = changed(&script).await.with_conflict_handler(Arc::new(decide));
        script.then([answer(412, &stored("theirs", "v2"))]);
        let error = push(&device).await.expect_err("parked just now");
        let report = error.push_report().expect("a report");
        assert_eq!((report.errors.len(), report.parked, report.status), (1, 1, PushStatus::Complete));
        assert!(report.errors[0].parked);
        assert_eq!((report.errors[0].status, report.errors[0].class), (Some(412), FailureClass::Conflict));
        let report = push(&device).await.expect("complete");
        assert_eq!((report.parked, report.sent, report.errors.len()), (1, 0, 0));

        // A change of the row is sent again, on the version it was made on.
        write(&device, &TODO, LocalChangeKind::Update(row("a", "newer"))).await;
        script.then([answer(200, &stored("newer", "v3"))]);
        let report = push(&device).await.expect("pushed");
        assert_eq!((report.completed, report.parked, report.remaining), (1, 0, 0));
    }
}

#[tokio::test]
async fn p_29_all_that_failed_is_parked_at_once() {
    let script = Script::of([]);
    let device = changed(&script).await;
    script.then([answer(400, &json!({ "error": "no" }))]);
    push(&device).await.expect_err("refused");
    for expected in [1, 0] {
        let done = device.resolve_all(None, ConflictPolicy::Park).await.expect("resolved");
        assert_eq!(done.resolved, expected, "a parked one stays as it is");
    }
    assert_eq!(push(&device).await.expect("complete").parked, 1);
}

#[tokio::test]
async fn p_30_handlers_decide_as_often_as_is_said() {
    for (repeats, requests) in [(0, 1), (1, 2), (3, 4)] {
        let script = Script::of([]);
        let decide = |_: &Conflict| Ok(Decision::Resolve(Resolution::KeepLocal));
        let device = changed(&script).await.with_conflict_handler(Arc::new(decide));
        script.then((2..9).map(|n| answer(412, &stored(&format!("theirs {n}"), &format!("v{n}")))));
        let options = PushOptions { handler_repeats: repeats, ..push_options() };
        let error = device.push(options).await.expect_err("never settled");
        assert_eq!(error.push_report().map(|report| (report.sent, report.errors.len())), Some((requests, 1)));
        assert_eq!(script.asked().len() as u64, requests);
    }
    assert_eq!(PushOptions::default().handler_repeats, 5);
}

/// The app's own transport, with a bug.
struct Faulty;

impl Transport for Faulty {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async { panic!("a bug") }.boxed()
    }
}

#[tokio::test]
async fn p_26_a_panic_around_a_request_ends_the_push_and_leaves_the_operation_uncertain() {
    let requests = RequestBuilder::new(Endpoint::parse("http://faulty").expect("valid"), Dialect::MobileApps);
    let store = Arc::new(MemoryStore::new([&TODO]));
    let profile = ServerProfile::conservative();
    let device = Engine::new(store, Arc::new(Faulty), Arc::new(NoWait), requests, profile);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "new"))).await;
    let error = push(&device).await.expect_err("a bug");
    assert_eq!((error.kind(), error.table(), error.item()), (ErrorKind::Internal, Some("Todo"), Some("a")));
    assert_eq!(error.push_report().map(|report| report.status), Some(PushStatus::Internal));
    let operations = device.store().operations(None).await.expect("operations");
    assert_eq!((operations.len(), operations[0].state), (1, OperationState::Attempted));
}
