//! Requests of unknown outcome that are repeated and fail again: what the server's row says of both.

use serde_json::{Value as Json, json};

use super::versions::{Script, answer, device, known, push, stored};
use super::*;

fn failure() -> Response {
    answer(500, &json!({ "error": "a bug" }))
}

fn look(row: &Json) -> Response {
    answer(200, &json!([row]))
}

async fn edit(device: &Engine<MemoryStore>, text: &str) {
    write(device, &TODO, LocalChangeKind::Update(row("a", text))).await;
}

async fn refused(device: &Engine<MemoryStore>) -> (FailureClass, Option<u16>, String, OperationState) {
    let error = push(device).await.expect_err("it failed");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    let errors = error.push_report().expect("a report").errors.clone();
    let [only] = &errors[..] else { panic!("{errors:?}") };
    let state = device.store().operations(None).await.expect("operations")[0].state;
    (only.class, only.status, only.message.clone(), state)
}

#[tokio::test]
async fn g_3_what_the_server_always_fails_on_does_not_keep_the_correction_from_it() {
    for delete in [false, true] {
        let script = Script::of([]);
        let device = known(&script, Some("v1")).await;
        edit(&device, "bad").await;
        script.then([failure()]);
        let server_error = |state| (FailureClass::ServerError, Some(500), "a bug".to_owned(), state);
        assert_eq!(refused(&device).await, server_error(OperationState::Attempted));
        assert_eq!(script.told(), ["PATCH bad"], "one request, not more, for a failure that may pass");
        if delete {
            write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
        } else {
            edit(&device, "good").await;
        }

        // What was sent is settled first: the server's row does not show it.
        script.then([failure(), look(&stored("old", "v1"))]);
        assert_eq!(refused(&device).await, server_error(OperationState::Failed));
        assert_eq!(script.told(), ["PATCH bad", "GET"]);
        assert!(device.store().errors(None).await.expect("errors")[0].superseded);

        let (done, told) = match delete {
            true => (answer(204, &Json::Null), "DELETE"),
            false => (answer(200, &stored("good", "v2")), "PATCH good"),
        };
        script.then([done]);
        let report = push(&device).await.expect("clean");
        assert_eq!((report.completed, report.remaining), (1, 0));
        assert_eq!(script.told(), [told]);
    }
}

#[tokio::test]
async fn p_20a_a_repetition_that_fails_is_explained_by_the_servers_row() {
    let gone = json!({ "id": "a", "text": "old", "version": "v2", "deleted": true });
    // The first attempt had arrived; somebody else was there; the row is gone.
    for (row, class) in [
        (stored("bad", "v2"), None),
        (stored("theirs", "v2"), Some(FailureClass::Conflict)),
        (gone, Some(FailureClass::Gone)),
    ] {
        let script = Script::of([]);
        let device = known(&script, Some("v1")).await;
        edit(&device, "bad").await;
        script.then([failure()]);
        refused(&device).await;
        script.then([failure(), look(&row)]);
        match class {
            None => assert_eq!(push(&device).await.expect("it had arrived").completed, 1),
            Some(class) => {
                let (recorded, status, _, state) = refused(&device).await;
                assert_eq!((recorded, status, state), (class, Some(500), OperationState::Failed), "{row}");
            }
        }
    }

    // A look that fails explains nothing: the outcome is as unknown as before.
    for looked in [403, 500] {
        let script = Script::of([]);
        let device = known(&script, Some("v1")).await;
        edit(&device, "bad").await;
        script.then([failure()]);
        refused(&device).await;
        script.then([failure(), answer(looked, &json!({ "error": "no" }))]);
        let (class, status, message, state) = refused(&device).await;
        assert_eq!((class, status, &*message), (FailureClass::ServerError, Some(500), "a bug"));
        assert_eq!(state, OperationState::Attempted, "{looked}");
    }
}

/// The server may still be at work on a request that it failed on: that its row is not there yet proves nothing.
#[tokio::test]
async fn g_4_an_insert_that_appears_after_the_look_is_neither_doubled_nor_left_behind() {
    for delete in [false, true] {
        let script = Script::of([failure()]);
        let device = device(&script);
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "old"))).await;
        refused(&device).await;
        script.then([failure(), answer(200, &json!([]))]);
        let (class, _, _, state) = refused(&device).await;
        assert_eq!((class, state), (FailureClass::ServerError, OperationState::Failed));
        script.told();
        if delete {
            write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
            script.then([look(&stored("old", "v1")), answer(204, &Json::Null)]);
            assert_eq!(push(&device).await.expect("deleted").completed, 1);
            assert_eq!(script.told(), ["GET", "DELETE"], "X-04");
        } else {
            script.then([answer(409, &stored("old", "v1"))]);
            assert_eq!(push(&device).await.expect("its own row").completed, 1);
            assert_eq!(script.told(), ["POST old"]);
        }
    }
}

#[tokio::test]
async fn p_20a_rows_known_to_fail_do_not_stop_a_push_however_often_they_failed() {
    let script = Script::of([]);
    let device = device(&script);
    // More than two pushes can stop at.
    for number in 0..12 {
        let row = row(&format!("{number:02}"), "poison");
        write(&device, &TODO, LocalChangeKind::Insert(row)).await;
    }
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "behind"))).await;
    let mut pushes = 0;
    while device.store().pending(None).await.expect("counted") > 12 {
        pushes += 1;
        assert!(pushes < 6, "what stands behind never gets its turn");
        for operation in device.store().operations(None).await.expect("operations") {
            let is_repeated = operation.state == OperationState::Attempted;
            match &*operation.key.item_id {
                "a" => script.then([answer(201, &Json::Null)]),
                _ if is_repeated => script.then([failure(), answer(200, &json!([]))]),
                _ => script.then([failure()]),
            }
        }
        let error = device.push(one_by_one()).await.expect_err("some failed");
        script.forget();
        let at_end = error.push_report().expect("a report").status == PushStatus::Complete;
        assert_eq!(at_end, error.kind() == ErrorKind::PushFailed);
    }
    assert_eq!(pushes, 3, "five and five are learned first");
}

static PLAIN: TableSchema =
    TableSchema { name: "Plain", columns: &[TEXT], versioned: false, keep_deleted: false };

/// A device whose row `a` of the table without versions says `milk`, as the server's does.
async fn plain(script: &Arc<Script>) -> Engine<MemoryStore> {
    let requests = RequestBuilder::new(Endpoint::parse("http://script").expect("valid"), Dialect::MobileApps);
    let store = Arc::new(MemoryStore::new([&PLAIN]));
    let profile = ServerProfile::conservative();
    let device = Engine::new(store, Arc::new(Arc::clone(script)), Arc::new(NoWait), requests, profile);
    write(&device, &PLAIN, LocalChangeKind::Insert(row("a", "milk"))).await;
    script.then([answer(201, &json!({ "id": "a", "text": "milk" }))]);
    push(&device).await.expect("pushed");
    script.told();
    device
}

#[tokio::test]
async fn i_1_without_versions_a_refused_repetition_does_not_hide_what_arrived() {
    let there = || json!({ "id": "a", "text": "bread" });
    let change = |text: &str| LocalChangeKind::Update(row("a", text));
    // The app takes its edit back after the refusal, or before it.
    for undo_first in [false, true] {
        for repeated in [answer(403, &Json::Null), failure()] {
            let script = Script::of([]);
            let device = plain(&script).await;
            write(&device, &PLAIN, change("bread")).await;
            script.then([answer(504, &Json::Null)]);
            push(&device).await.expect_err("lost");
            if undo_first {
                write(&device, &PLAIN, change("milk")).await;
            }
            script.then([repeated, look(&there())]);
            let milk = answer(200, &json!({ "id": "a", "text": "milk" }));
            if undo_first {
                script.then([milk]);
            } else {
                assert_eq!(push(&device).await.expect("it had arrived").completed, 1);
                write(&device, &PLAIN, change("milk")).await;
                script.then([milk]);
            }
            let report = push(&device).await.expect("pushed");
            assert_eq!((report.unneeded, report.remaining), (0, 0));
            assert_eq!(script.told(), ["PATCH bread", "PATCH bread", "GET", "PATCH milk"]);
        }
    }

    // The row does not show it: refused, and the edit taken back leaves nothing to send.
    let script = Script::of([]);
    let device = plain(&script).await;
    write(&device, &PLAIN, change("bread")).await;
    script.then([answer(504, &Json::Null)]);
    push(&device).await.expect_err("lost");
    script.then([answer(403, &Json::Null), look(&json!({ "id": "a", "text": "milk" }))]);
    let (class, _, _, state) = refused(&device).await;
    assert_eq!((class, state), (FailureClass::Refused, OperationState::Failed));
    write(&device, &PLAIN, change("milk")).await;
    assert_eq!(push(&device).await.expect("nothing to do").unneeded, 1);
}

#[tokio::test]
async fn x_10_without_versions_a_row_made_again_is_inserted_after_a_delete_that_arrived() {
    for again_first in [false, true] {
        let script = Script::of([]);
        let device = plain(&script).await;
        write(&device, &PLAIN, LocalChangeKind::Delete("a".into())).await;
        script.then([answer(504, &Json::Null)]);
        push(&device).await.expect_err("lost");
        if again_first {
            write(&device, &PLAIN, LocalChangeKind::Insert(row("a", "bread"))).await;
        }
        script.then([answer(403, &Json::Null), answer(200, &json!([]))]);
        if !again_first {
            assert_eq!(push(&device).await.expect("it had arrived").completed, 1);
            write(&device, &PLAIN, LocalChangeKind::Insert(row("a", "bread"))).await;
        }
        script.then([answer(201, &json!({ "id": "a", "text": "bread" }))]);
        push(&device).await.expect("pushed");
        assert_eq!(script.told(), ["DELETE", "DELETE", "GET", "POST bread"]);
        assert_eq!(device.store().pending(None).await.expect("counted"), 0);
    }
}
