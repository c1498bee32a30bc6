//! Bad answers and bad networks: a typed error each, the token where it was, the queue whole.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sync_core::client::HttpOptions;
use sync_diesel::prelude::*;
use sync_tests::http::Answer;
use sync_tests::model::{self, Todo, Unknown};
use sync_tests::proxy::Fault;

use crate::offline::World;

fn html() -> Answer {
    Answer::new(200, "text/html", "<html><p>Please log in</p></html>")
}

fn with_header(mut answer: Answer, name: &str, value: &str) -> Answer {
    answer.headers.push((name.to_owned(), value.to_owned()));
    answer
}

/// Faults that strike a list request or a write, with the kind of error they lead to.
fn faults() -> Vec<(&'static str, Fault, ErrorKind)> {
    vec![
        ("HTML instead of JSON", Fault::AnswerInstead(html()), ErrorKind::InvalidResponse),
        (
            "a JSON value of another shape",
            Fault::AnswerInstead(Answer::new(200, "application/json", "[[1]]")),
            ErrorKind::InvalidResponse,
        ),
        ("truncated JSON", Fault::CutBody(20), ErrorKind::InvalidResponse),
        ("a body cut off by the network", Fault::CutConnection(20), ErrorKind::Network),
        ("a lost request", Fault::LoseRequest, ErrorKind::Network),
        ("a lost answer", Fault::LoseAnswer, ErrorKind::Network),
        (
            "401",
            Fault::Answer(Answer::new(401, "application/json", r#"{"error":"who are you"}"#)),
            ErrorKind::Unauthorized,
        ),
        (
            "503",
            Fault::Answer(with_header(Answer::new(503, "application/json", ""), "Retry-After", "7")),
            ErrorKind::ServerBusy,
        ),
        (
            "a redirect",
            Fault::Answer(with_header(Answer::new(302, "text/plain", ""), "Location", "http://127.0.0.1:1/")),
            ErrorKind::InvalidResponse,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn l_34_l_35_a_failed_page_leaves_token_and_rows() {
    let mut faults = faults();
    faults.push((
        "500",
        Fault::Answer(Answer::new(500, "application/json", r#"{"error":"boom"}"#)),
        ErrorKind::Refused,
    ));
    for (name, fault, kind) in faults {
        let world = World::new().await;
        world.server.as_ref().seed(&serde_json::json!({"id": "one", "text": "one", "complete": false})).await;
        let device = world.device("a.db").await;
        device.pull("q", Todo::all()).await.expect("pulled");
        world.server.as_ref().seed(&serde_json::json!({"id": "two", "text": "two", "complete": false})).await;

        world.proxy.inject(1, fault, |request| request.method == "GET");
        let error = device.pull("q", Todo::all()).await.expect_err(name);
        assert_eq!(
            (error.kind(), error.table(), error.query_id()),
            (kind, Some("TodoItem"), Some("q")),
            "{name}: {error}"
        );
        assert!(!error.to_string().contains("Please log in"), "{name}: no body in the message");
        assert_eq!(device.table::<Todo>().all().count().await.expect("counted"), 1, "{name}");

        let report = device.pull("q", Todo::all()).await.expect("the network is back");
        assert_eq!(report.rows.added, 1, "{name}: the token did not move past what was not stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_12_p_16_p_18_p_19_a_failed_push_keeps_the_queue_and_doubles_nothing() {
    for window in [1, 8] {
        for (name, fault, kind) in faults() {
            let world = World::new().await;
            let device = world.device("a.db").await;
            let todos = device.table::<Todo>();
            for text in ["one", "two", "three"] {
                todos.insert(Todo::new(text)).await.expect("inserted");
            }
            world.proxy.inject(1, fault, |request| request.method == "POST");
            let error = device.push().window(window).await.expect_err(name);
            assert_eq!((error.kind(), error.table()), (kind, Some("TodoItem")), "{name}: {error}");
            let report = error.push_report().expect("a report");
            assert!(!report.is_complete() && report.remaining >= 1, "{name}");
            if kind == ErrorKind::ServerBusy {
                assert_eq!(report.retry_after, Some(Duration::from_secs(7)));
            }
            assert_eq!(device.pending().await.expect("counted"), report.remaining, "{name}");

            let report = device.push().window(window).await.expect("the network is back");
            assert_eq!(report.remaining, 0, "{name}");
            let texts: Vec<_> = world.on_server().await.into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, ["one", "three", "two"], "{name}, window {window}");
            assert!(device.errors().await.expect("errors").is_empty(), "{name}: no false conflict");
        }
    }
}

/// A device that waits a short time for each byte.
async fn hasty(world: &World) -> SyncContext<model::Schema> {
    let http = HttpOptions { read_timeout: Duration::from_millis(300), ..HttpOptions::default() };
    let builder = model::device(world.proxy.url(), &world.folder.path().join("hasty.db"));
    builder.http(http).open().await.expect("a context")
}

#[tokio::test(flavor = "multi_thread")]
async fn l_09_pages_larger_than_the_body_limit_are_asked_for_in_parts() {
    let world = World::new().await;
    world
        .server
        .as_ref()
        .seed_block("large", 300, "2020-01-01T00:00:00.000Z", |number| format!("{number:03}"));
    // A row is larger than 100 bytes and smaller than 1000.
    let http = HttpOptions { body_limit: 10_000, ..HttpOptions::default() };
    let builder = model::device(world.proxy.url(), &world.folder.path().join("small.db"));
    let device = builder.http(http).open().await.expect("a context");
    let report = device.pull("q", Todo::all()).await.expect("pulled");
    assert_eq!(report.rows.added, 300);
    assert!(report.pages > 3 && report.bytes > 30_000, "{report:?}");

    // A list of a direct call is what was asked for or nothing.
    let error = device.remote::<Todo>().query(Todo::all()).load().await.expect_err("too large");
    assert_eq!((error.kind(), error.status()), (ErrorKind::AnswerTooLarge, Some(200)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_18_a_page_that_stalls_is_not_stored_and_the_next_pull_goes_on() {
    let world = World::new().await;
    for id in ["a", "b", "c", "d", "e"] {
        let row = serde_json::json!({ "id": id, "text": id, "complete": false });
        world.server.as_ref().seed(&row).await;
    }
    let device = hasty(&world).await;
    let pages = AtomicU32::new(0);
    // One row of the second page has arrived as a whole when the body stalls.
    world.proxy.inject(1, Fault::Stall(300), move |request| {
        request.method == "GET" && pages.fetch_add(1, Ordering::SeqCst) == 1
    });
    let error = device.pull("q", Todo::all()).page_size(2).await.expect_err("it stalls");
    assert_eq!((error.kind(), error.is_offline()), (ErrorKind::Network, true), "{error}");
    assert!(world.proxy.faults_used_up());
    let here = async || {
        let rows = device.table::<Todo>().all().order_by(Todo::text.asc()).load().await.expect("rows");
        rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>()
    };
    let stored = here().await.len();
    assert_eq!(stored % 2, 0, "whole pages only: {:?}", here().await);
    assert!(stored < 4, "{:?}", here().await);

    let report = device.pull("q", Todo::all()).page_size(2).await.expect("the server is well");
    assert_eq!(report.rows.added, 5 - stored as u64, "{report:?}");
    assert_eq!(here().await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn w_18_answers_that_stall_in_a_push_are_settled_by_the_next() {
    for window in [1, 8] {
        let world = World::new().await;
        let device = hasty(&world).await;
        let todos = device.table::<Todo>();
        for text in ["one", "three", "two"] {
            todos.insert_with_id(text, Todo::new(text)).await.expect("inserted");
        }
        world.proxy.inject(1, Fault::Stall(20), |request| request.method == "POST");
        let error = device.push().window(window).await.expect_err("it stalls");
        assert_eq!(
            (error.kind(), error.is_offline()),
            (ErrorKind::Network, true),
            "window {window}: {error}"
        );
        let operations = device.pending_operations().await.expect("operations");
        assert_eq!(operations[0].state, OperationState::Attempted, "window {window}");
        let row = todos.get(&operations[0].key.item_id).await.expect("read").expect("there");
        assert_eq!(row.version(), None, "window {window}: nothing of the half answer is stored");
        assert!(device.errors().await.expect("errors").is_empty(), "window {window}");

        let report = device.push().window(window).await.expect("the server is well");
        assert_eq!(report.remaining, 0, "window {window}");
        let texts: Vec<_> = world.on_server().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["one", "three", "two"], "window {window}: nothing doubled");
        let row = todos.get(&operations[0].key.item_id).await.expect("read").expect("there");
        assert!(row.version().is_some(), "window {window}");
        assert!(device.errors().await.expect("errors").is_empty(), "window {window}: no false conflict");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_20a_server_errors_are_recorded_and_five_in_a_row_stop_the_push() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    for number in 0..8 {
        device.table::<Todo>().insert(Todo::new(format!("row {number}"))).await.expect("inserted");
    }
    let boom = || Fault::Answer(Answer::new(500, "application/json", r#"{"error":"boom"}"#));
    world.proxy.inject(1, boom(), |request| request.method == "POST");
    let error = device.push().await.expect_err("one failed");
    let report = error.push_report().expect("a report");
    assert_eq!((error.kind(), report.completed, report.errors.len()), (ErrorKind::PushFailed, 7, 1));
    device.push().await.expect("sent again");
    assert_eq!(world.on_server().await.len(), 8);

    for number in 8..20 {
        device.table::<Todo>().insert(Todo::new(format!("row {number}"))).await.expect("inserted");
    }
    world.proxy.take_seen();
    world.proxy.inject(100, boom(), |request| request.method == "POST");
    // Of several in flight, some would be on their way when the fifth answer comes.
    let error = device.push().window(1).await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    assert_eq!(world.proxy.seen().len(), 5);
    assert_eq!(device.pending().await.expect("counted"), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_is_a_network_error_and_loses_nothing() {
    let world = World::new().await;
    let path = world.folder.path().join("dead.db");
    // A port nobody listens on: bound once, then free again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);

    let device = model::open(&dead, &path).await;
    device.table::<Todo>().insert(Todo::new("kept")).await.expect("inserted");
    let error = device.push().await.expect_err("dead");
    assert!(error.is_offline() && error.kind() == ErrorKind::Network, "{error}");
    let operations = device.pending_operations().await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Pending, "p_16_nothing_was_sent_so_nothing_is_uncertain");
    device.pull("q", Todo::all()).await.expect_err("the push before the pull fails");
    drop(device);

    let moved = model::device(world.proxy.url(), &path).open().await;
    assert_eq!(moved.expect_err("changes for another address wait").kind(), ErrorKind::OtherAccount, "c_12");
    let moved = model::device(world.proxy.url(), &path).other_account(OtherAccount::Adopt).open();
    let device = moved.await.expect("the service has a new address");
    assert_eq!(device.push().await.expect("alive").completed, 1);
    assert_eq!(world.on_server().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_table_is_an_error_of_its_own() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let error = device.pull("q", Unknown::all()).await.expect_err("unknown");
    assert_eq!(
        (error.kind(), error.table(), error.status()),
        (ErrorKind::UnknownTable, Some("NoSuchTable"), Some(404))
    );

    let record = device.table::<Unknown>().insert(Unknown { text: "x".into() }).await.expect("inserted");
    let error = device.push().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(device.errors().await.expect("errors")[0].status, Some(404));
    assert_eq!(device.pending().await.expect("counted"), 1);
    device.table::<Unknown>().delete(record.id()).await.expect("deleted");
    assert_eq!(device.pending().await.expect("counted"), 0, "x_05_the_server_proved_that_it_has_no_row");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_09_lost_answers_are_settled_without_a_doubled_row_or_a_false_conflict() {
    for (fault, name) in
        [(Fault::LoseAnswer, "lost"), (Fault::CutBody(5), "cut"), (Fault::AnswerInstead(html()), "html")]
    {
        let world = World::new().await;
        let device = world.device("a.db").await;
        let todos = device.table::<Todo>();
        let record = todos.insert(Todo::new("insert")).await.expect("inserted");
        world.proxy.inject(1, fault.clone(), |request| request.method == "POST");
        device.push().await.expect_err(name);
        device.push().await.expect("settled");
        assert_eq!(world.on_server().await.len(), 1, "{name}");

        let mut record = todos.get(record.id()).await.expect("read").expect("there");
        record.text = "update".into();
        todos.update(&record).await.expect("updated");
        world.proxy.inject(1, fault.clone(), |request| request.method == "PATCH");
        device.push().await.expect_err(name);
        device.push().await.expect("settled, no conflict with our own write");
        assert_eq!(world.on_server().await, [(record.id().to_owned(), "update".to_owned())], "{name}");

        todos.delete(record.id()).await.expect("deleted");
        world.proxy.inject(1, fault.clone(), |request| request.method == "DELETE");
        device.push().await.expect_err(name);
        device.push().await.expect("settled");
        assert!(world.on_server().await.is_empty(), "{name}");
        assert_eq!(device.pending().await.expect("counted"), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_01_r_02_insert_attempted_then_changed_and_deleted_leaves_nothing() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let mut record = todos.insert(Todo::new("one")).await.expect("inserted");
    world.proxy.inject(1, Fault::LoseAnswer, |request| request.method == "POST");
    device.push().await.expect_err("lost");
    assert_eq!(world.on_server().await.len(), 1, "the server has the row");
    record.text = "two".into();
    todos.update(&record).await.expect("updated");
    todos.delete(record.id()).await.expect("deleted");
    assert_eq!(device.pending().await.expect("counted"), 1, "x_04_a_delete_is_owed");
    device.push().await.expect("pushed");
    assert!(world.on_server().await.is_empty());
    assert_eq!(device.pending().await.expect("counted"), 0);
}
