//! Conflicts by version: recorded, decided by a handler, resolved later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{self, Schema, Todo};

use crate::offline::World;

mod policies;
mod stored;

/// A device whose row "mine" was edited here, and there to "theirs".
async fn edited_on_both_sides(
    world: &World,
    configure: impl FnOnce(sync_diesel::Builder<Schema>) -> sync_diesel::Builder<Schema>,
) -> (SyncContext<Schema>, String) {
    let database = world.folder.path().join("conflict.db");
    let device = configure(model::device(world.proxy.url(), &database)).open().await.expect("opens");
    let todos = device.table::<Todo>();
    let mut record = todos.insert(Todo::new("start")).await.expect("inserted");
    device.push().await.expect("pushed");
    record = todos.get(record.id()).await.expect("read").expect("there");
    let answer = world.server.as_ref().update(record.id(), None, &json!({"text": "theirs", "n": 7})).await;
    assert_eq!(answer.status, 200);
    record.text = "mine".into();
    record.complete = true;
    todos.update(&record).await.expect("updated");
    let id = record.id().to_owned();
    (device, id)
}

async fn local(device: &SyncContext<Schema>, id: &str) -> Option<Record<Todo>> {
    device.table::<Todo>().get(id).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn k_07_a_conflict_is_recorded_and_survives_a_restart() {
    let world = World::new().await;
    let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
    let error = device.push().await.expect_err("a conflict");
    assert_eq!(
        (error.kind(), error.table(), error.item()),
        (ErrorKind::PushFailed, Some("TodoItem"), Some(&*id))
    );
    let report = error.push_report().expect("a report");
    assert_eq!((report.completed, report.remaining, report.errors.len()), (0, 1, 1));
    drop(device);

    let device = model::open(world.proxy.url(), &world.folder.path().join("conflict.db")).await;
    let errors = device.errors().await.expect("errors");
    assert_eq!((errors.len(), errors[0].status), (1, Some(412)));
    let remote = errors[0].remote::<Todo>().expect("readable").expect("the server's row");
    let sent = errors[0].local::<Todo>().expect("readable").expect("what was sent");
    assert_eq!((remote.text.as_str(), remote.n, sent.text.as_str()), ("theirs", Some(7), "mine"));
    assert_eq!(local(&device, &id).await.expect("there").text, "mine");

    let error = device.push().await.expect_err("k_16_the_same_conflict_again");
    assert_eq!(error.push_report().map(|report| report.errors.len()), Some(1));
    assert_eq!(device.errors().await.expect("errors").len(), 1, "one error per operation");
}

#[tokio::test(flavor = "multi_thread")]
async fn k_08_to_k_13_stored_errors_are_resolved_once() {
    for (decision, text, n) in [
        (Resolve::KeepLocal, "mine", Some(7)),
        (Resolve::TakeRemote, "theirs", Some(7)),
        (Resolve::Merge(Todo { n: Some(9), ..Todo::new("merged") }), "merged", Some(9)),
    ] {
        let world = World::new().await;
        let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
        device.push().await.expect_err("a conflict");
        let error = device.errors().await.expect("errors").remove(0);
        device.resolve(&error, decision.clone()).await.expect("resolved");
        assert!(device.errors().await.expect("errors").is_empty());
        let again = device.resolve(&error, decision.clone()).await.expect_err("resolved already");
        assert_eq!(again.kind(), ErrorKind::OperationChanged, "k_13");

        device.push().await.expect("pushed");
        let row = world.server.as_ref().read(&id).await.json();
        assert_eq!(row["text"], text, "{decision:?}");
        // Only the columns changed here were sent: theirs stay (R9).
        assert_eq!(row["n"].as_i64(), n, "{decision:?}");
        device.pull("all", Todo::all()).await.expect("pulled");
        assert_eq!(local(&device, &id).await.expect("there").text, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k_12_a_resolution_is_refused_after_a_newer_edit() {
    let world = World::new().await;
    let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
    device.push().await.expect_err("a conflict");
    let error = device.errors().await.expect("errors").remove(0);
    let mut record = local(&device, &id).await.expect("there");
    record.text = "newer".into();
    device.table::<Todo>().update(&record).await.expect("updated");
    let refused = device.resolve(&error, Resolve::<Todo>::TakeRemote).await.expect_err("the row changed");
    assert_eq!(refused.kind(), ErrorKind::OperationChanged);
    assert_eq!(local(&device, &id).await.expect("there").text, "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn k_05_a_handler_sees_base_local_and_remote_and_merges() {
    let world = World::new().await;
    let (device, id) = edited_on_both_sides(&world, |builder| {
        builder.on_conflict::<Todo>(|conflict| {
            let (Some(base), Some(local), Some(remote)) = (&conflict.base, &conflict.local, &conflict.remote)
            else {
                return Resolve::Leave;
            };
            assert_eq!(
                (base.text.as_str(), local.text.as_str(), remote.text.as_str()),
                ("start", "mine", "theirs")
            );
            Resolve::Merge(Todo { text: format!("{} and {}", local.text, remote.text), ..(**remote).clone() })
        })
    })
    .await;
    let report = device.push().await.expect("resolved on the way");
    assert_eq!((report.completed, report.sent, report.remaining), (1, 2, 0));
    assert_eq!(world.server.as_ref().read(&id).await.json()["text"], "mine and theirs");
    assert_eq!(local(&device, &id).await.expect("there").text, "mine and theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn k_06_client_wins_is_guarded_by_the_version_just_seen() {
    let world = World::new().await;
    let server = world.server.as_ref().clone();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (device, id) = edited_on_both_sides(&world, |builder| {
        builder.on_conflict::<Todo>(move |conflict| {
            // A third device writes between the conflict and the repeat, once.
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                let (server, id) = (server.clone(), conflict.item_id.clone());
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        assert_eq!(server.update(&id, None, &json!({"price": 3.5})).await.status, 200);
                    });
                });
            }
            Resolve::KeepLocal
        })
    })
    .await;
    device.push().await.expect("kept");
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the third write is seen as a conflict of its own");
    let row = world.server.as_ref().read(&id).await.json();
    assert_eq!((row["text"].as_str(), row["price"].as_f64()), (Some("mine"), Some(3.5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn p_20h_p_30_handlers_that_panic_or_never_settle_are_recorded() {
    let world = World::new().await;
    let (device, _) =
        edited_on_both_sides(&world, |builder| builder.on_conflict::<Todo>(|_| panic!("a bug in the app")))
            .await;
    let error = device.push().await.expect_err("recorded");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    let errors = device.errors().await.expect("errors");
    assert!(errors[0].message.contains("panicked"), "{}", errors[0].message);

    let world = World::new().await;
    let (device, _) =
        edited_on_both_sides(&world, |builder| builder.on_conflict::<Todo>(|_| Resolve::Abort)).await;
    let error = device.push().await.expect_err("aborted");
    assert_eq!(error.kind(), ErrorKind::Aborted, "p_20g");
    assert_eq!(device.pending().await.expect("counted"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_30_a_context_and_a_push_say_how_often_handlers_decide() {
    let world = World::new().await;
    let calls = Arc::new(AtomicU32::new(0));
    let (device, _) = edited_on_both_sides(&world, |builder| {
        let calls = Arc::clone(&calls);
        builder.handler_repeats(0).on_conflict::<Todo>(move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            Resolve::KeepLocal
        })
    })
    .await;
    device.push().await.expect_err("nobody is asked");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    device.push().handler_repeats(1).await.expect("kept");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_29_a_parked_row_stops_neither_pushes_nor_pulls_and_survives_a_restart() {
    let world = World::new().await;
    let (device, id) =
        edited_on_both_sides(&world, |builder| builder.on_conflict::<Todo>(|_| Resolve::Park)).await;
    let error = device.push().await.expect_err("parked by this push");
    let report = error.push_report().expect("a report");
    assert_eq!((error.kind(), report.parked), (ErrorKind::PushFailed, 1));
    device.table::<Todo>().insert(Todo::new("another")).await.expect("inserted");
    let report = device.push().await.expect("complete without it");
    assert_eq!((report.completed, report.parked, report.remaining), (1, 1, 1));
    device.pull_all(Todo::all()).await.expect("pulled");
    assert_eq!(local(&device, &id).await.expect("there").text, "mine");
    drop(device);

    let device = model::open(world.proxy.url(), &world.folder.path().join("conflict.db")).await;
    let error = device.errors().await.expect("errors").remove(0);
    assert_eq!((error.status, error.parked, error.old), (Some(412), true, true));
    assert_eq!(device.push().await.expect("complete").parked, 1);
    device.resolve(&error, Resolve::<Todo>::KeepLocal).await.expect("resolved");
    assert_eq!(device.push().await.expect("pushed").completed, 1);
    let row = world.server.as_ref().read(&id).await.json();
    assert_eq!((row["text"].as_str(), row["n"].as_i64()), (Some("mine"), Some(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn k_15_a_row_deleted_on_the_server_and_edited_here_is_gone_and_can_be_kept_or_dropped() {
    for keep in [true, false] {
        let world = World::new().await;
        let device = world.device("a.db").await;
        let todos = device.table::<Todo>();
        let record = todos.insert(Todo::new("start")).await.expect("inserted");
        device.push().await.expect("pushed");
        let mut record = todos.get(record.id()).await.expect("read").expect("there");
        world.server.as_ref().delete(record.id(), None).await;
        record.text = "still wanted".into();
        todos.update(&record).await.expect("updated");
        device.push().await.expect_err("gone");
        let error = device.errors().await.expect("errors").remove(0);
        assert_eq!(error.class, FailureClass::Gone);
        let decision = if keep { Resolve::KeepLocal } else { Resolve::<Todo>::TakeRemote };
        device.resolve(&error, decision).await.expect("resolved");
        device.push().await.expect("pushed");
        let server: Vec<_> = world.on_server().await.into_iter().map(|(_, text)| text).collect();
        if keep {
            assert_eq!(server, ["still wanted"], "revived with the local content");
        } else {
            assert!(server.is_empty());
            assert!(todos.get(record.id()).await.expect("read").is_none());
        }
        assert_eq!(device.pending().await.expect("counted"), 0);
    }
}
