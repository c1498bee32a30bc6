//! The promises, each in its plainest story. Others are told elsewhere: G5 by random histories at every window
//! (`sync-core/src/engine/tests/relations.rs`), G9 by random filters ([`crate::differential`]), and G1 to G7 at once by
//! the simulator ([`sync_tests::simulate`]). `cargo xtask simulate --sabotage` takes away what keeps them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::http::{Answer, Request};
use sync_tests::model::{Schema, Todo};
use sync_tests::proxy::{Fault, Gate};

use crate::dialects;
use crate::offline::World;

/// Longer than any local read or write takes, on any machine.
const AT_ONCE: Duration = Duration::from_secs(20);

fn is_write(request: &Request) -> bool {
    request.method != "GET"
}

/// What may become of a request, the server having done it or not.
fn troubles() -> Vec<(&'static str, Fault)> {
    let status = |status| Answer::new(status, "application/json", r#"{"error":"not now"}"#);
    let page = || Answer::new(200, "text/html", "<html><p>Please log in</p></html>");
    vec![
        ("a lost request", Fault::LoseRequest),
        ("a lost answer", Fault::LoseAnswer),
        ("an answer cut off", Fault::CutBody(5)),
        ("a web page", Fault::Answer(page())),
        ("a web page after the change", Fault::AnswerInstead(page())),
        ("a 401", Fault::Answer(status(401))),
        ("a 500", Fault::Answer(status(500))),
        ("a 500 after the change", Fault::AnswerInstead(status(500))),
        ("a 502 after the change", Fault::AnswerInstead(status(502))),
        ("a 503", Fault::Answer(status(503))),
    ]
}

/// Live rows here: id and text, by text.
async fn on_device(device: &SyncContext<Schema>) -> Vec<(String, String)> {
    let rows = device.table::<Todo>().all().order_by(Todo::text.asc()).load().await.expect("rows");
    rows.iter().map(|row| (row.id().to_owned(), row.text.clone())).collect()
}

async fn set_text(device: &SyncContext<Schema>, id: &str, text: &str) {
    let mut record = device.table::<Todo>().get(id).await.expect("read").expect("there");
    record.text = text.into();
    device.table::<Todo>().update(&record).await.expect("updated");
}

/// Each change of a row in turn meets trouble, and the row is changed again before the next push.
#[tokio::test(flavor = "multi_thread")]
async fn g1_no_acknowledged_write_is_lost() {
    for (name, trouble) in troubles() {
        let world = World::new().await;
        let device = world.device("a.db").await;
        let todos = device.table::<Todo>();
        let stays = todos.insert(Todo::new("stays 1")).await.expect("inserted");
        world.proxy.inject(1, trouble.clone(), is_write);
        device.push().await.expect_err(name);
        set_text(&device, stays.id(), "stays 2").await;
        device.push().await.unwrap_or_else(|error| panic!("{name}, insert: {error}"));
        assert_eq!(world.on_server().await, [(stays.id().to_owned(), "stays 2".to_owned())], "{name}");

        set_text(&device, stays.id(), "stays 3").await;
        world.proxy.inject(1, trouble.clone(), is_write);
        device.push().await.expect_err(name);
        set_text(&device, stays.id(), "stays 4").await;
        let goes = todos.insert(Todo::new("goes")).await.expect("inserted");
        device.push().await.unwrap_or_else(|error| panic!("{name}, update: {error}"));
        let expected =
            [(goes.id().to_owned(), "goes".to_owned()), (stays.id().to_owned(), "stays 4".to_owned())];
        assert_eq!(world.on_server().await, expected, "{name}");

        todos.delete(goes.id()).await.expect("deleted");
        world.proxy.inject(1, trouble, is_write);
        device.push().await.expect_err(name);
        device.push().await.unwrap_or_else(|error| panic!("{name}, delete: {error}"));
        assert_eq!(world.on_server().await, expected[1..], "{name}");
    }
}

/// Devices of three dialects and another client change the same rows, also to what they were, and delete some.
#[tokio::test(flavor = "multi_thread")]
async fn g2_after_quiet_all_devices_and_the_server_agree() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for id in ["a", "b", "c", "d"] {
        server.seed(&json!({"id": id, "text": format!("{id} at first"), "complete": false})).await;
    }
    let mut devices = Vec::new();
    for (number, dialect) in Dialect::ALL.into_iter().enumerate() {
        let device = dialects::device(&world, dialect, &format!("{number}.db")).await;
        device.pull("all", Todo::all()).await.expect("pulled");
        set_text(&device, "a", &format!("a of {number}")).await;
        device.table::<Todo>().insert(Todo::new(format!("new on {number}"))).await.expect("inserted");
        devices.push(device);
    }
    devices[0].table::<Todo>().delete("b").await.expect("deleted");
    server.update("c", None, &json!({"text": "c of another client"})).await;
    // An edit that was taken back has nothing to say; the server's row, which came meanwhile, has.
    set_text(&devices[1], "c", "a slip").await;
    // A later change of another row, or the next pull would bring the last one of this pull again.
    server.delete("d", None).await;
    devices[1].pull("all", Todo::all()).without_push().await.expect("pulled");
    set_text(&devices[1], "c", "c at first").await;

    for _ in 0..2 {
        for device in &devices {
            // The rows that were changed in two places are in conflict once, and decided.
            let _ = device.push().await;
            device.resolve_all(ConflictPolicy::ClientWins).await.expect("decided");
            device.push().await.expect("pushed");
            device.pull("all", Todo::all()).await.expect("pulled");
        }
    }
    let on_server = world.on_server().await;
    let texts: Vec<&str> = on_server.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["a of 2", "c of another client", "new on 0", "new on 1", "new on 2"]);
    for device in &devices {
        assert_eq!(on_device(device).await, on_server);
    }
}

/// One push is enough once the network is well; what the server refuses keeps its reason and holds nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn g3_the_queue_drains_once_the_network_heals() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let mut texts = BTreeSet::new();
    for (name, trouble) in troubles() {
        todos.insert(Todo::new(name)).await.expect("inserted");
        texts.insert(name.to_owned());
        world.proxy.inject(1, trouble, is_write);
        // It may strike what is sent again, of which the answer is not needed.
        let _ = device.push().await;
    }
    device.push().await.expect("the network is well");
    assert_eq!(device.pending().await.expect("counted"), 0);
    let on_server: BTreeSet<String> = world.on_server().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(on_server, texts);

    for text in ["refused", "taken"] {
        todos.insert(Todo::new(text)).await.expect("inserted");
    }
    let refusal = Answer::new(422, "application/json", r#"{"error":"not like this"}"#);
    world.proxy.inject(1, Fault::Answer(refusal), is_write);
    device.push().await.expect_err("one is refused");
    let errors = device.errors().await.expect("errors");
    assert_eq!((errors.len(), errors[0].message.as_str()), (1, "not like this"));
    assert_eq!(device.pending().await.expect("counted"), 1);
    device.push().await.expect("it is taken now");
    assert_eq!(device.pending().await.expect("counted"), 0);
}

/// Answers are lost and the window is wide; each row is there once, in its first version.
#[tokio::test(flavor = "multi_thread")]
async fn g4_no_remote_row_is_doubled() {
    for (name, trouble) in troubles() {
        let world = World::new().await;
        let device = world.device("a.db").await;
        let rows = (0..12).map(|number| Todo::new(format!("row {number:02}")));
        let records = device.table::<Todo>().insert_many(rows).await.expect("inserted");
        world.proxy.inject(5, trouble, is_write);
        // It may take more than one push to use up what goes wrong.
        let mut failed = 0;
        while device.push().window(8).await.is_err() {
            failed += 1;
            assert!(failed < 10, "{name}: it goes wrong five times only");
        }
        let expected: Vec<_> =
            records.iter().map(|record| (record.id().to_owned(), record.text.clone())).collect();
        assert_eq!(world.on_server().await, expected, "{name}");
        assert_eq!(device.pending().await.expect("counted"), 0, "{name}");
    }
}

/// The files as they are while a request is on its way are what a process that is killed then leaves.
#[tokio::test(flavor = "multi_thread")]
async fn g6_a_crash_at_any_point_is_recovered_on_open() {
    for method in ["POST", "PATCH", "DELETE"] {
        for is_done in [false, true] {
            let world = World::new().await;
            let device = world.device("a.db").await;
            let todos = device.table::<Todo>();
            let id = todos.insert(Todo::new("one")).await.expect("inserted").id().to_owned();
            if method != "POST" {
                device.push().await.expect("pushed");
            }
            match method {
                "PATCH" => set_text(&device, &id, "two").await,
                "DELETE" => todos.delete(&id).await.expect("deleted"),
                _ => {}
            }
            let expected = on_device(&device).await;
            let gate = Gate::new();
            let held =
                if is_done { Fault::HoldAnswer(gate.clone()) } else { Fault::HoldRequest(gate.clone()) };
            world.proxy.inject(1, held, is_write);
            let pushing = tokio::spawn({
                let device = device.clone();
                async move { device.push().await }
            });
            gate.arrived().await;
            for suffix in ["", "-wal"] {
                let file = |name: &str| world.folder.path().join(format!("{name}{suffix}"));
                fs::copy(file("a.db"), file("killed.db")).expect("the file can be copied");
            }
            // The process is gone: its request is not made any more, and its answer not heard.
            pushing.abort();

            let again = world.device("killed.db").await;
            let operations = again.pending_operations().await.expect("operations");
            assert_eq!(operations.len(), 1, "{method}");
            assert_eq!(operations[0].state, OperationState::Attempted, "{method}: it may have arrived");
            again.push().await.unwrap_or_else(|error| panic!("{method}, done: {is_done}: {error}"));
            assert_eq!(world.on_server().await, expected, "{method}, done: {is_done}");
            again.pull("all", Todo::all()).await.expect("pulled");
            assert_eq!(on_device(&again).await, expected, "{method}, done: {is_done}");
            assert_eq!(again.pending().await.expect("counted"), 0, "{method}");
        }
    }
}

/// A version that comes again changes nothing, and one that comes under an edit waits beside it.
#[tokio::test(flavor = "multi_thread")]
async fn g7_a_version_takes_effect_once_and_never_under_an_edit() {
    let world = World::new().await;
    let server = world.server.as_ref();
    server.seed(&json!({"id": "a", "text": "one", "complete": false})).await;
    let device = world.device("a.db").await;
    let pull = || async { device.pull("all", Todo::all()).without_push().await.expect("pulled").rows };
    assert_eq!(pull().await.added, 1);
    let again = device.pull_all(Todo::all()).await.expect("pulled").rows;
    assert_eq!((again.added, again.changed, again.unchanged), (0, 0, 1), "the same version");

    set_text(&device, "a", "mine").await;
    server.update("a", None, &json!({"text": "theirs", "n": 7})).await;
    assert_eq!(pull().await.kept_local, 1);
    assert_eq!(on_device(&device).await, [("a".to_owned(), "mine".to_owned())]);
    // What was edited is an older version: the server's row is not overwritten either.
    let error = device.push().await.expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(world.on_server().await, [("a".to_owned(), "theirs".to_owned())]);

    device.resolve_all(ConflictPolicy::ClientWins).await.expect("decided");
    // A third version, which nobody has decided about.
    server.update("a", None, &json!({"text": "theirs again"})).await;
    device.push().await.expect_err("a conflict with what was not seen");
    assert_eq!(world.on_server().await, [("a".to_owned(), "theirs again".to_owned())]);
    device.resolve_all(ConflictPolicy::ClientWins).await.expect("decided");
    device.push().await.expect("pushed");
    let row = server.read("a").await.json();
    assert_eq!((row["text"].as_str(), row["n"].as_i64()), (Some("mine"), Some(7)));
    let own = pull().await;
    assert_eq!((own.added, own.changed), (0, 0), "the version of our own write is known");
}

/// A push and a pull wait for the server; whoever reads and writes does not.
#[tokio::test(flavor = "multi_thread")]
async fn g8_local_reads_and_writes_never_wait_for_the_network() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let id = todos.insert(Todo::new("one")).await.expect("inserted").id().to_owned();
    for round in 0..2 {
        let gate = Gate::new();
        world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |_| true);
        let syncing = tokio::spawn({
            let device = device.clone();
            async move {
                if round == 0 {
                    device.push().await.map(|_| ())
                } else {
                    device.pull("all", Todo::all()).without_push().await.map(|_| ())
                }
            }
        });
        gate.arrived().await;
        let at_once = async {
            set_text(&device, &id, &format!("edited {round}")).await;
            let other = todos.insert(Todo::new("other")).await.expect("inserted");
            todos.delete(other.id()).await.expect("deleted");
            assert_eq!(on_device(&device).await, [(id.clone(), format!("edited {round}"))]);
            assert_eq!(device.pending().await.expect("counted"), 1);
            // Another context, as another process would have it.
            let beside = world.device("a.db").await;
            set_text(&beside, &id, &format!("edited again {round}")).await;
            assert_eq!(on_device(&device).await, [(id.clone(), format!("edited again {round}"))]);
        };
        tokio::time::timeout(AT_ONCE, at_once).await.expect("nothing waits for the network");
        assert!(!syncing.is_finished());
        gate.open();
        syncing.await.expect("no panic").expect("the sync goes on");
    }
    device.push().await.expect("pushed");
    assert_eq!(world.on_server().await, [(id, "edited again 1".to_owned())]);
}

/// Without force nothing is removed while anything of the table waits; with it, what matches.
#[tokio::test(flavor = "multi_thread")]
async fn g10_purge_never_drops_unsent_work_without_force() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let sent = todos.insert(Todo::new("sent")).await.expect("inserted");
    device.push().await.expect("pushed");
    let before = on_device(&device).await;
    let refused = || async {
        for error in [
            device.purge(Todo::all()).await.expect_err("work waits"),
            device.purge(Todo::text.eq("sent")).await.expect_err("work waits"),
        ] {
            assert_eq!(error.kind(), ErrorKind::PendingOperations);
        }
    };

    // Never sent, of unknown outcome, refused: all of it is unsent work.
    let new = todos.insert(Todo::new("new")).await.expect("inserted");
    refused().await;
    world.proxy.inject(1, Fault::LoseAnswer, is_write);
    device.push().await.expect_err("the answer is lost");
    refused().await;
    device.push().await.expect("settled");
    todos.delete(new.id()).await.expect("deleted");
    let refusal = Answer::new(422, "application/json", r#"{"error":"not like this"}"#);
    world.proxy.inject(1, Fault::Answer(refusal), is_write);
    device.push().await.expect_err("refused");
    refused().await;
    assert_eq!(on_device(&device).await, before);

    let purged = device.purge(Todo::text.eq("sent")).force().await.expect("purged");
    assert_eq!((purged.rows, purged.operations), (1, 0));
    assert_eq!(device.pending().await.expect("counted"), 1, "the work of other rows stays");
    device.push().await.expect("pushed");
    assert_eq!(world.on_server().await, [(sent.id().to_owned(), "sent".to_owned())], "purge sends nothing");
    device.purge(Todo::all()).await.expect("nothing waits any more");
}
