//! Several contexts and processes on one database, accounts, closing and cancelling.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sync_diesel::prelude::*;
use sync_tests::http::Answer;
use sync_tests::model::{self, Todo};
use sync_tests::proxy::{Fault, Gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::offline::World;

fn start(arguments: &[&str], database: &Path) -> Child {
    let (command, rest) = arguments.split_first().expect("a command");
    let (url, rest) = rest.split_first().expect("an address");
    Command::new(env!("CARGO_BIN_EXE_sync-device"))
        .args([*command, *url])
        .arg(database)
        .args(rest)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the device starts")
}

/// What the process printed, once it ended well.
async fn output(child: Child) -> String {
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

async fn wait_until_sent(world: &World, requests: usize) {
    while world.proxy.seen().len() < requests {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z_03_two_processes_write_and_push_one_file_and_nothing_is_doubled() {
    let world = World::new().await;
    let database = world.folder.path().join("shared.db");
    let device = model::open(world.proxy.url(), &database).await;
    let theirs = start(&["insert", world.proxy.url(), "40"], &database);
    for number in 0..40 {
        device.table::<Todo>().insert(Todo::new(format!("ours {number}"))).await.expect("inserted");
    }
    assert_eq!(output(theirs).await, "40");
    assert_eq!(device.pending().await.expect("counted"), 80, "q_04: no number was given twice");

    let pushing =
        [start(&["push", world.proxy.url()], &database), start(&["push", world.proxy.url()], &database)];
    let ours = device.push().window(8).await.expect("pushed").completed;
    let mut completed = ours;
    for child in pushing {
        completed += output(child).await.parse::<u64>().expect("a number");
    }
    assert_eq!(completed, 80, "each row was sent by one of them");
    assert_eq!(world.proxy.seen().len(), 80, "no request was sent twice");
    assert_eq!(world.on_server().await.len(), 80);
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn z_03_another_process_waits_or_is_told_that_the_database_is_busy() {
    let world = World::new().await;
    let database = world.folder.path().join("busy.db");
    let device = model::open(world.proxy.url(), &database).await;
    device.table::<Todo>().insert(Todo::new("one")).await.expect("inserted");
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");
    let (other, pushing) = (device.clone(), tokio::spawn(async move { device.push().await }));
    gate.arrived().await;

    assert_eq!(output(start(&["push-now", world.proxy.url()], &database)).await, "busy");
    let busy = other.push().no_wait().await.expect_err("in this process as well");
    assert_eq!(busy.kind(), ErrorKind::Busy);
    let busy = other.pull("all", Todo::all()).no_wait().await.expect_err("a pull as well");
    assert_eq!(busy.kind(), ErrorKind::Busy);
    // Local writes of either need no lease.
    other.table::<Todo>().insert(Todo::new("two")).await.expect("inserted");
    assert_eq!(output(start(&["insert", world.proxy.url(), "1"], &database)).await, "1");

    let waiting = start(&["push", world.proxy.url()], &database);
    // A caller in this process that goes away leaves its place.
    tokio::select! {
        biased;
        _ = other.push() => panic!("the turn is taken"),
        () = tokio::task::yield_now() => {}
    }
    gate.open();
    assert_eq!(pushing.await.expect("no panic").expect("pushed").completed, 1);
    assert_eq!(output(waiting).await, "2");
    assert_eq!(world.on_server().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn z_03_a_killed_holder_frees_the_lease() {
    let world = World::new().await;
    let database = world.folder.path().join("killed.db");
    let device = model::open(world.proxy.url(), &database).await;
    device.table::<Todo>().insert(Todo::new("one")).await.expect("inserted");
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");
    let mut holder = start(&["push", world.proxy.url()], &database);
    gate.arrived().await;
    assert_eq!(device.push().no_wait().await.expect_err("held").kind(), ErrorKind::Busy);
    holder.kill().await.expect("it can be killed");
    let report = device.push().no_wait().await.expect("free at once, and settled (F-10)");
    assert_eq!((report.completed, report.remaining), (1, 0));
    assert_eq!(world.on_server().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c_12_changes_of_another_account_wait_are_discarded_or_adopted() {
    let world = World::new().await;
    let database = world.folder.path().join("accounts.db");
    let open = |account: Option<&str>, answer| {
        let builder = model::device(world.proxy.url(), &database).other_account(answer);
        match account {
            Some(account) => builder.account(account),
            None => builder,
        }
        .open()
    };
    let ann = open(Some("ann"), OtherAccount::Refuse).await.expect("the first account");
    let todos = ann.table::<Todo>();
    let kept = todos.insert(Todo::new("on the server")).await.expect("inserted");
    ann.push().await.expect("pushed");
    ann.pull("all", Todo::all()).await.expect("pulled");
    let mut changed = todos.get(kept.id()).await.expect("read").expect("there");
    changed.text = "changed by ann".into();
    todos.update(&changed).await.expect("updated");
    todos.insert(Todo::new("new by ann")).await.expect("inserted");
    world.proxy.take_seen();

    for other in [Some("bob"), None] {
        let error = open(other, OtherAccount::Refuse).await.expect_err("ann's changes wait");
        assert_eq!(error.kind(), ErrorKind::OtherAccount, "{other:?}");
    }
    let elsewhere = model::device("http://elsewhere.example", &database).account("ann").open().await;
    assert_eq!(elsewhere.expect_err("another service").kind(), ErrorKind::OtherAccount);
    assert_eq!(ann.pending().await.expect("counted"), 2, "they wait");

    let bob = open(Some("bob"), OtherAccount::Discard).await.expect("bob's now");
    assert_eq!(bob.pending().await.expect("counted"), 0);
    let texts: Vec<String> =
        bob.table::<Todo>().all().load().await.expect("rows").iter().map(|row| row.text.clone()).collect();
    assert_eq!(texts, ["on the server"], "as last seen from the server");
    let error = ann.push().await.expect_err("the queue is bob's since");
    assert_eq!(error.kind(), ErrorKind::OtherAccount);
    bob.table::<Todo>().insert(Todo::new("new by bob")).await.expect("inserted");

    let carol = open(Some("carol"), OtherAccount::Adopt).await.expect("carol's now");
    assert!(world.proxy.seen().is_empty(), "opening sends nothing (C-03)");
    assert_eq!(carol.push().await.expect("pushed").completed, 1);
    world.proxy.take_seen();
    carol.pull("all", Todo::all()).await.expect("pulled");
    let first = &world.proxy.seen()[0].request.target;
    assert!(first.contains("1970-01-01"), "the tokens of the earlier account are gone: {first}");
    open(Some("dave"), OtherAccount::Refuse).await.expect("nothing waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_08_a_cancelled_push_stores_the_answer_under_way_and_sends_no_more() {
    for window in [1, 8] {
        let world = World::new().await;
        let device = world.device("cancel.db").await;
        for number in 0..20 {
            device.table::<Todo>().insert(Todo::new(format!("{number:02}"))).await.expect("inserted");
        }
        let gate = Gate::new();
        world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");
        let cancellation = Cancellation::new();
        let pushing = {
            let (device, cancellation) = (device.clone(), cancellation.clone());
            tokio::spawn(async move { device.push().window(window).with_cancellation(&cancellation).await })
        };
        gate.arrived().await;
        wait_until_sent(&world, window).await;
        cancellation.cancel();
        tokio::task::yield_now().await;
        gate.open();
        let error = pushing.await.expect("no panic").expect_err("it was cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let report = error.push_report().expect("a report");
        assert_eq!(report.status, PushStatus::Cancelled);
        assert!(report.completed >= 1, "the answer that was held back is stored");
        assert_eq!(report.completed + report.remaining, 20, "window {window}");
        let attempted = device.pending_operations().await.expect("operations");
        assert!(
            attempted.iter().all(|operation| operation.state == OperationState::Pending),
            "none is uncertain"
        );

        let error = device.push().with_cancellation(&cancellation).await.expect_err("still cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        device.push().await.expect("the rest");
        assert_eq!(world.on_server().await.len(), 20);
        assert_eq!(world.proxy.seen().iter().filter(|seen| seen.request.method == "POST").count(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c_10_close_waits_for_the_bookkeeping_and_ends_the_context() {
    let world = World::new().await;
    let database = world.folder.path().join("closed.db");
    let device = model::open(world.proxy.url(), &database).await;
    for text in ["one", "two"] {
        device.table::<Todo>().insert(Todo::new(text)).await.expect("inserted");
    }
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");
    let pushing = tokio::spawn({
        let device = device.clone();
        async move { device.push().window(1).await }
    });
    gate.arrived().await;
    let mut closing = Box::pin(device.close());
    // Begun before the answer comes, and not done before it is stored.
    tokio::select! {
        biased;
        () = &mut closing => panic!("an answer is under way"),
        () = std::future::ready(()) => {}
    }
    gate.open();
    closing.await;
    let error = pushing.await.expect("no panic").expect_err("it was asked to end");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(error.push_report().map(|report| report.completed), Some(1), "what was answered is stored");

    // C-04: every use is a typed error.
    assert_eq!(device.push().await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(device.pull_all(Todo::all()).await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(device.pending().await.expect_err("closed").kind(), ErrorKind::Closed);
    let error = device.table::<Todo>().insert(Todo::new("three")).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    device.close().await;

    let again = model::open(world.proxy.url(), &database).await;
    let operations = again.pending_operations().await.expect("operations");
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].state, OperationState::Pending);
    again.push().await.expect("pushed");
    assert_eq!(world.on_server().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn w_18_a_body_that_stalls_ends_as_a_timeout_and_leaves_the_operation_uncertain() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stalling = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await.expect("a request");
        let head =
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 200\r\n\r\n{\"id\":";
        stream.write_all(head.as_bytes()).await.expect("half an answer");
        // Held open, and silent, until the client gives up.
        let _ = stream.read(&mut request).await;
    });
    let folder = tempfile::tempdir().expect("a folder");
    let options = sync_core::client::HttpOptions {
        read_timeout: Duration::from_millis(200),
        ..sync_core::client::HttpOptions::default()
    };
    let device =
        model::device(&url, &folder.path().join("a.db")).http(options).open().await.expect("a context");
    device.table::<Todo>().insert(Todo::new("milk")).await.expect("inserted");
    let error = device.push().await.expect_err("no whole answer came");
    assert_eq!((error.kind(), error.is_offline()), (ErrorKind::Network, true), "p_17");
    let operations = device.pending_operations().await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Attempted);
    stalling.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_17_p_15_headers_that_are_asked_for_are_sent_and_repeated() {
    let world = World::new().await;
    let database = world.folder.path().join("headers.db");
    let device = model::open(world.proxy.url(), &database).await;
    device.table::<Todo>().insert(Todo::new("plain")).await.expect("inserted");
    device.push().await.expect("pushed");
    let of = |name: &'static str, seen: &sync_tests::proxy::Seen| seen.request.value(name).map(str::to_owned);
    let seen = world.proxy.take_seen();
    assert_eq!(
        (of("idempotency-key", &seen[0]), of("x-zumo-features", &seen[0])),
        (None, None),
        "the default"
    );

    let device = model::device(world.proxy.url(), &database)
        .features_header()
        .idempotency_keys()
        .open()
        .await
        .expect("a context");
    for text in ["one", "two"] {
        device.table::<Todo>().insert(Todo::new(text)).await.expect("inserted");
    }
    world.proxy.inject(1, Fault::LoseAnswer, |request| request.method == "POST");
    device.push().await.expect_err("an answer is lost");
    device.push().await.expect("settled");
    device.pull("all", Todo::all()).await.expect("pulled");
    let seen = world.proxy.take_seen();
    assert!(seen.iter().all(|seen| of("x-zumo-features", seen).as_deref() == Some("OL")));
    let mut keys: Vec<String> = seen
        .iter()
        .filter(|seen| seen.request.method == "POST")
        .map(|seen| of("idempotency-key", seen).expect("a key"))
        .collect();
    assert_eq!(keys.len(), 3);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 2, "one per write, the same when it is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_19_the_servers_wish_to_wait_is_in_the_report() {
    let world = World::new().await;
    let device = world.device("busy-server.db").await;
    device.table::<Todo>().insert(Todo::new("milk")).await.expect("inserted");
    let mut busy = Answer::new(503, "application/json", "{}");
    busy.headers.push(("retry-after".into(), "120".into()));
    world.proxy.inject(1, Fault::Answer(busy), |_| true);
    let error = device.push().await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    let report = error.push_report().expect("a report");
    assert_eq!((report.retry_after, report.sent, report.completed), (Some(Duration::from_secs(120)), 1, 0));
    let report = device.push().await.expect("pushed");
    assert!(report.bytes > 100, "{} bytes of two bodies", report.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn z_09_a_queue_that_was_copied_is_pushed_twice_and_nothing_is_doubled() {
    for lost in ["POST", "PATCH", "DELETE"] {
        push_a_copied_queue(lost).await;
    }
}

/// Two devices with one queue, of which the operation sent by `lost` is attempted and was done by the server.
async fn push_a_copied_queue(lost: &'static str) {
    let world = World::new().await;
    let original = world.folder.path().join("original.db");
    let device = model::open(world.proxy.url(), &original).await;
    let todos = device.table::<Todo>();
    for id in ["deleted", "edited by the first", "sent", "updated"] {
        todos.insert_with_id(id, Todo::new("start")).await.expect("inserted");
    }
    device.push().await.expect("pushed");
    let edit = async |device: &SyncContext<model::Schema>, id: &str, text: &str| {
        let mut row = device.table::<Todo>().get(id).await.expect("read").expect("there");
        row.text = text.into();
        device.table::<Todo>().update(&row).await.expect("updated");
    };
    match lost {
        "POST" => drop(todos.insert_with_id("sent before", Todo::new("new")).await.expect("inserted")),
        "PATCH" => edit(&device, "sent", "new").await,
        _ => todos.delete("sent").await.expect("deleted"),
    }
    world.proxy.inject(1, Fault::LoseAnswer, move |request| request.method == lost);
    device.push().await.expect_err("the answer is lost");
    todos.insert_with_id("inserted", Todo::new("new")).await.expect("inserted");
    edit(&device, "updated", "new").await;
    todos.delete("deleted").await.expect("deleted");
    edit(&device, "edited by the first", "new").await;
    let states: Vec<_> =
        device.pending_operations().await.expect("operations").iter().map(|each| each.state).collect();
    assert_eq!(states[..2], [OperationState::Attempted, OperationState::Pending], "{lost}");
    assert_eq!(states.len(), 5, "{lost}");
    device.close().await;
    drop((todos, device));

    // A backup that is restored, a phone that is set up from another one.
    let copy = world.folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let beside = |path: &Path| std::path::PathBuf::from(format!("{}{suffix}", path.display()));
        if beside(&original).exists() {
            std::fs::copy(beside(&original), beside(&copy)).expect("copied");
        }
    }
    let first = model::open(world.proxy.url(), &original).await;
    let second = model::open(world.proxy.url(), &copy).await;
    assert_eq!(second.pending().await.expect("counted"), 5, "the copy has the queue");
    assert_eq!(first.push().await.expect("pushed").remaining, 0);
    edit(&first, "edited by the first", "newer").await;
    first.push().await.expect("pushed");
    let mut expected = vec![("edited by the first", "newer"), ("inserted", "new")];
    expected.extend(match lost {
        "POST" => vec![("sent", "start"), ("sent before", "new")],
        "PATCH" => vec![("sent", "new")],
        _ => vec![],
    });
    expected.push(("updated", "new"));
    let expected: Vec<(String, String)> =
        expected.into_iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect();
    let on_server = async || {
        let mut rows = world.on_server().await;
        rows.sort();
        rows
    };
    assert_eq!(on_server().await, expected, "{lost}");

    // The copy's operations are recognised as done; what was changed since is a conflict, not overwritten.
    second.push().await.expect_err("one row has moved on");
    let errors = second.errors().await.expect("errors");
    assert_eq!(errors.len(), 1, "{lost}: {errors:?}");
    let place = (errors[0].key.item_id.as_str(), errors[0].class);
    assert_eq!(place, ("edited by the first", FailureClass::Conflict), "{lost}");
    assert_eq!(on_server().await, expected, "{lost}: nothing is doubled, lost or overwritten");
    second.resolve(&errors[0], Resolve::<Todo>::TakeRemote).await.expect("resolved");
    for device in [&first, &second] {
        device.pull("all", Todo::all()).await.expect("pulled");
        assert_eq!(device.pending().await.expect("counted"), 0);
        let rows = device.table::<Todo>().all().order_by(Todo::id.asc()).load().await.expect("rows");
        let rows: Vec<_> = rows.iter().map(|row| (row.id().to_owned(), row.text.clone())).collect();
        assert_eq!(rows, expected, "{lost}");
    }
}
