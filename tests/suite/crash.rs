//! Real processes, killed between the server's commit and the stored answer.

use std::path::Path;
use std::process::{Child, Command, Stdio};

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
