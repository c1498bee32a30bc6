//! Bad answers and bad networks: a typed error each, the token where it was, the queue whole.

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
                assert_eq!(report.retry_after, Some(std::time::Duration::from_secs(7)));
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
