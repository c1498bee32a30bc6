//! Real processes, killed between the server's commit and the stored answer, and in the middle of their own
//! transactions.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{self, Todo};
use sync_tests::proxy::{Fault, Gate};

use crate::offline::World;

fn start_push(url: &str, database: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sync-device"))
        .args(["push", url])
        .arg(database)
        .stdout(Stdio::null())
        .spawn()
        .expect("the device starts")
}

/// Starts a push in a process of its own and kills it (SIGKILL) when the server has done the next `method`
/// request and the answer is on its way.
async fn kill_after_commit(world: &World, database: &Path, method: &'static str) {
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), move |request| request.method == method);
    let mut child = start_push(world.proxy.url(), database);
    gate.arrived().await;
    child.kill().expect("a running process can be killed");
    let status = child.wait().expect("it ends");
    assert!(!status.success(), "it was killed in the middle of a push");
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn z_02_killed_between_server_commit_and_stored_answer() {
    let world = World::new().await;
    let database = world.folder.path().join("killed.db");
    let reopen = || async { model::open(world.proxy.url(), &database).await };

    let device = reopen().await;
    let record = device.table::<Todo>().insert(Todo::new("insert")).await.expect("inserted");
    drop(device);
    kill_after_commit(&world, &database, "POST").await;
    assert_eq!(world.on_server().await.len(), 1, "the server had committed");
    let device = reopen().await;
    assert_eq!(
        device.pending_operations().await.expect("operations")[0].state,
        OperationState::Attempted,
        "q_06"
    );
    let report = device.push().await.expect("no false conflict");
    assert_eq!((report.completed, report.remaining), (1, 0));
    assert_eq!(world.on_server().await, [(record.id().to_owned(), "insert".to_owned())], "no doubled row");

    let mut record = device.table::<Todo>().get(record.id()).await.expect("read").expect("there");
    record.text = "update".into();
    device.table::<Todo>().update(&record).await.expect("updated");
    drop(device);
    kill_after_commit(&world, &database, "PATCH").await;
    let device = reopen().await;
    device.push().await.expect("no conflict with our own write");
    assert_eq!(world.on_server().await, [(record.id().to_owned(), "update".to_owned())]);

    device.table::<Todo>().delete(record.id()).await.expect("deleted");
    drop(device);
    kill_after_commit(&world, &database, "DELETE").await;
    let device = reopen().await;
    device.push().await.expect("a delete done twice is done");
    assert!(world.on_server().await.is_empty());
    assert_eq!(device.pending().await.expect("counted"), 0);
    assert!(device.errors().await.expect("errors").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn x_04_killed_after_an_insert_then_changed_and_deleted_leaves_nothing() {
    let world = World::new().await;
    let database = world.folder.path().join("killed.db");
    let device = model::open(world.proxy.url(), &database).await;
    let mut record = device.table::<Todo>().insert(Todo::new("one")).await.expect("inserted");
    drop(device);
    kill_after_commit(&world, &database, "POST").await;

    let device = model::open(world.proxy.url(), &database).await;
    record.text = "two".into();
    device.table::<Todo>().update(&record).await.expect("updated");
    device.table::<Todo>().delete(record.id()).await.expect("deleted");
    device.push().await.expect("pushed");
    assert!(world.on_server().await.is_empty(), "no orphan");
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_04_killed_then_edited_sends_both_states_in_one_push() {
    let world = World::new().await;
    let database = world.folder.path().join("killed.db");
    let device = model::open(world.proxy.url(), &database).await;
    let mut record = device.table::<Todo>().insert(Todo::new("one")).await.expect("inserted");
    drop(device);
    kill_after_commit(&world, &database, "POST").await;

    let device = model::open(world.proxy.url(), &database).await;
    record.text = "two".into();
    device.table::<Todo>().update(&record).await.expect("updated");
    let report = device.push().await.expect("settled and sent on");
    assert_eq!(report.remaining, 0, "the remainder follows in the same push");
    assert_eq!(world.on_server().await, [(record.id().to_owned(), "two".to_owned())]);
}

/// The device's live rows: id and text.
async fn here(device: &SyncContext<model::Schema>) -> Vec<(String, String)> {
    let rows = device.table::<Todo>().all().order_by(Todo::text.asc()).load().await.expect("rows");
    rows.iter().map(|row| (row.id().to_owned(), row.text.clone())).collect()
}

/// Rounds of local changes and changes by somebody else; in each a process pushes and pulls until it dies at a later
/// change of a row than the one before. The next push and pull bring both sides together every time.
#[tokio::test(flavor = "multi_thread")]
async fn z_01_z_02_processes_that_die_in_each_transaction_of_push_and_pull() {
    let world = World::new().await;
    let database = world.folder.path().join("killed.db");
    let device = model::open(world.proxy.url(), &database).await;
    let mut lasting = device.table::<Todo>().insert(Todo::new("lasting")).await.expect("inserted");
    device.push().await.expect("pushed");
    device.close().await;

    let mut deaths = 0;
    for count in 0.. {
        assert!(count < 500, "it dies again and again");
        let device = model::open(world.proxy.url(), &database).await;
        let todos = device.table::<Todo>();
        lasting = todos.get(lasting.id()).await.expect("read").expect("there");
        lasting.text = format!("lasting, round {count}");
        todos.update(&lasting).await.expect("updated");
        let unwanted: Vec<String> = here(&device).await.into_iter().map(|(id, _)| id).collect();
        for id in unwanted.iter().filter(|id| *id != lasting.id()) {
            todos.delete(id).await.expect("deleted");
        }
        let ours = todos.insert(Todo::new(format!("ours, round {count}"))).await.expect("inserted");
        device.close().await;
        let theirs = format!("theirs {count}");
        world.server.as_ref().seed(&json!({ "id": theirs, "text": theirs, "complete": false })).await;

        let child = Command::new(env!("CARGO_BIN_EXE_sync-device"))
            .args(["crash", world.proxy.url()])
            .arg(&database)
            .arg(count.to_string())
            .output()
            .expect("the device starts");
        let has_survived = child.status.success();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.stdout == b"survived\n", has_survived, "round {count}: {said}");
        assert!(has_survived || child.status.code().is_none(), "round {count}: no error: {said}");

        let device = model::open(world.proxy.url(), &database).await;
        let report = device.push().await.unwrap_or_else(|error| panic!("round {count}: {error:?}"));
        assert_eq!(report.remaining, 0, "round {count}");
        device.pull("all", Todo::all()).await.unwrap_or_else(|error| panic!("round {count}: {error:?}"));
        let (on_server, on_device) = (world.on_server().await, here(&device).await);
        assert_eq!(on_device, on_server, "round {count}");
        let mut expected = vec![
            (lasting.id().to_owned(), lasting.text.clone()),
            (ours.id().to_owned(), ours.text.clone()),
            (theirs.clone(), theirs),
        ];
        expected.sort_by(|left, right| left.1.cmp(&right.1));
        assert_eq!(on_server, expected, "round {count}: nothing lost, nothing doubled");
        assert_eq!(device.pending().await.expect("counted"), 0, "round {count}");
        assert!(device.errors().await.expect("errors").is_empty(), "round {count}");
        device.close().await;
        if has_survived {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 10, "{deaths} deaths");
}
