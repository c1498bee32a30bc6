//! Conflicts and errors that wait: listed, resolved one by one or all at once, without network.

use serde_json::json;
use sync_diesel::core::store::{ResolutionKind, Resolver};
use sync_diesel::prelude::*;
use sync_tests::model::{Schema, Todo};
use sync_tests::proxy::{Fault, Gate};

use super::{edited_on_both_sides, local};
use crate::offline::World;

/// Three rows edited on both sides, and one row the server refuses; no push since.
async fn several(world: &World) -> (SyncContext<Schema>, Vec<String>) {
    let device = world.device("several.db").await;
    let todos = device.table::<Todo>();
    let mut ids = Vec::new();
    for number in 0..3 {
        let record = todos.insert(Todo::new(format!("start {number}"))).await.expect("inserted");
        ids.push(record.id().to_owned());
    }
    device.push().await.expect("pushed");
    for id in &ids {
        let answer = world.server.as_ref().update(id, None, &json!({"text": "theirs", "n": 7})).await;
        assert_eq!(answer.status, 200);
        let mut record = local(&device, id).await.expect("there");
        record.text = "mine".into();
        todos.update(&record).await.expect("updated");
    }
    (device, ids)
}

async fn texts(world: &World) -> Vec<String> {
    world.on_server().await.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn k_07_k_19_all_stored_conflicts_are_resolved_at_once_without_network() {
    for (policy, text) in [(ConflictPolicy::ClientWins, "mine"), (ConflictPolicy::ServerWins, "theirs")] {
        let world = World::new().await;
        let (device, ids) = several(&world).await;
        let report = device.push().await.expect_err("conflicts");
        assert_eq!(report.push_report().map(|report| report.errors.len()), Some(3));
        let requests = world.proxy.seen().len();

        let left = device.resolve_all(ConflictPolicy::Merge).await.expect("decided");
        assert_eq!((left.resolved, left.left.len()), (0, 3), "no rule decides about the text");
        let done = device.resolve_all(policy).await.expect("decided");
        assert_eq!((done.resolved, done.left.len()), (3, 0), "{policy:?}");
        assert!(device.errors().await.expect("errors").is_empty());
        assert_eq!(world.proxy.seen().len(), requests, "K-19: no request");
        let remembered = device.resolutions().await.expect("a read");
        assert!(remembered.iter().all(|record| record.by == Resolver::Policy(policy)), "{remembered:?}");
        assert_eq!(remembered.len(), 3);

        device.push().await.expect("pushed");
        assert_eq!(texts(&world).await, [text; 3]);
        for id in &ids {
            let row = local(&device, id).await.expect("there");
            assert_eq!((row.text.as_str(), row.n), (text, Some(7)), "{policy:?}");
        }
        let none = device.resolve_all_of::<Todo>(policy).await.expect("nothing to do");
        assert_eq!((none.resolved, none.left.len()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k_07_the_app_decides_about_each() {
    let world = World::new().await;
    let (device, ids) = several(&world).await;
    device.push().await.expect_err("conflicts");
    let done = device
        .resolve_with::<Todo>(|conflict| {
            if conflict.item_id == ids[0] {
                Resolve::Leave
            } else if conflict.item_id == ids[1] {
                Resolve::Policy(ConflictPolicy::ServerWins)
            } else {
                conflict
                    .merge_with(|merged, here, there| merged.text = format!("{} {}", here.text, there.text))
            }
        })
        .await
        .expect("decided");
    assert_eq!(done.resolved, 2);
    assert_eq!(done.left.iter().map(|key| key.item_id.as_str()).collect::<Vec<_>>(), [&*ids[0]]);
    device.push().await.expect_err("one is left");
    let mut found = texts(&world).await;
    found.sort_unstable();
    assert_eq!(found, ["mine theirs", "theirs", "theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_20_a_conflict_that_a_pull_shows_is_listed_and_resolved_before_any_push() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let id = todos.insert(Todo::new("start")).await.expect("inserted").id().to_owned();
    device.push().await.expect("pushed");
    world.server.as_ref().update(&id, None, &json!({"text": "theirs"})).await;

    // The app writes while the page is on its way.
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "GET");
    let pulling = tokio::spawn({
        let device = device.clone();
        async move { device.pull("all", Todo::all()).await }
    });
    gate.arrived().await;
    let mut record = local(&device, &id).await.expect("there");
    record.text = "mine".into();
    todos.update(&record).await.expect("updated");
    assert!(device.conflicts::<Todo>().await.expect("a read").is_empty(), "nothing is known yet");
    gate.open();
    let pulled = pulling.await.expect("no panic").expect("pulled");
    assert_eq!(pulled.rows.kept_local, 1);

    let conflict = device.conflicts::<Todo>().await.expect("a read").remove(0);
    assert_eq!((conflict.sent, conflict.status, conflict.class), (None, None, FailureClass::Conflict));
    let text = |record: &Option<Record<Todo>>| record.as_ref().map(|record| record.text.clone());
    assert_eq!(text(&conflict.base).as_deref(), Some("start"));
    assert_eq!(text(&conflict.local).as_deref(), Some("mine"));
    assert_eq!(text(&conflict.remote).as_deref(), Some("theirs"));
    device.resolve(&conflict, Resolve::<Todo>::KeepLocal).await.expect("resolved");
    let report = device.push().await.expect("no conflict on the way");
    assert_eq!(report.sent, 1);
    assert_eq!(texts(&world).await, ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_08_any_row_can_be_stored_and_nothing_is_sent() {
    let world = World::new().await;
    let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
    device.push().await.expect_err("a conflict");
    let conflict = device.conflicts::<Todo>().await.expect("a read").remove(0);
    let mut theirs = conflict.remote.clone().expect("the server's row");
    theirs.text = "shown here only".into();
    device.resolve(&conflict, Resolve::Store(theirs.clone())).await.expect("resolved");
    let row = local(&device, &id).await.expect("there");
    assert_eq!((row.text.as_str(), row.version()), ("shown here only", theirs.version()));
    assert_eq!(device.pending().await.expect("counted"), 0);
    assert_eq!(device.push().await.expect("nothing to do").sent, 0);
    assert_eq!(texts(&world).await, ["theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_11_an_update_becomes_a_delete_and_back() {
    let world = World::new().await;
    let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
    device.push().await.expect_err("a conflict");
    let change = |kind, item| Resolve::<Todo>::ChangeKind { kind, item, version: None };
    let conflict = device.conflicts::<Todo>().await.expect("a read").remove(0);
    device.resolve(&conflict, change(OperationKind::Delete, None)).await.expect("resolved");
    assert!(local(&device, &id).await.is_none());
    // Somebody changes the row again: the delete is guarded by the version just seen (K-06).
    world.server.as_ref().update(&id, None, &json!({"text": "wait"})).await;
    device.push().await.expect_err("a conflict");
    let conflict = device.conflicts::<Todo>().await.expect("a read").remove(0);
    assert!(conflict.is_deleted_here());
    let refused = device.resolve(&conflict, change(OperationKind::Update, None)).await.expect_err("no row");
    assert_eq!((refused.kind(), refused.item()), (ErrorKind::InvalidArgument, Some(&*id)));
    let kept = Todo { n: Some(7), ..Todo::new("kept after all") };
    device.resolve(&conflict, change(OperationKind::Update, Some(kept))).await.expect("resolved");
    device.push().await.expect("pushed");
    assert_eq!(texts(&world).await, ["kept after all"]);
    let kinds: Vec<_> =
        device.resolutions().await.expect("a read").iter().map(|record| record.decision).collect();
    assert_eq!(kinds, [ResolutionKind::ChangeKind; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_11_a_refused_insert_becomes_an_update() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let id = "shared-id";
    world.server.as_ref().seed(&json!({"id": id, "text": "theirs", "n": 7})).await;
    device.table::<Todo>().insert_with_id(id, Todo::new("mine")).await.expect("inserted");
    device.push().await.expect_err("the id is taken");
    let conflict = device.conflicts::<Todo>().await.expect("a read").remove(0);
    assert_eq!((conflict.kind, conflict.class), (OperationKind::Insert, FailureClass::Conflict));
    // The server has null where the entity has no Option: the conflict is listed all the same.
    assert!(conflict.remote.is_none() && conflict.rows().remote.is_some() && !conflict.is_deleted_there());
    let decision = Resolve::<Todo>::ChangeKind { kind: OperationKind::Update, item: None, version: None };
    device.resolve(&conflict, decision).await.expect("resolved");
    device.push().await.expect("pushed");
    assert_eq!(texts(&world).await, ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_15_gone_rows_are_kept_or_dropped_by_policy() {
    for (policy, expected) in [
        (ConflictPolicy::ClientWins, Some("mine")),
        (ConflictPolicy::ServerWins, None),
        (ConflictPolicy::MergeElseClient, Some("mine")),
        (ConflictPolicy::MergeElseServer, None),
    ] {
        let world = World::new().await;
        let (device, id) = edited_on_both_sides(&world, |builder| builder).await;
        assert!(world.server.as_ref().delete(&id, None).await.status < 300);
        device.push().await.expect_err("gone");
        assert_eq!(device.conflicts::<Todo>().await.expect("a read")[0].class, FailureClass::Gone);
        assert_eq!(device.resolve_all(ConflictPolicy::Merge).await.expect("decided").resolved, 0);
        assert_eq!(device.resolve_all(policy).await.expect("decided").resolved, 1, "{policy:?}");
        device.push().await.expect("pushed");
        let found = texts(&world).await;
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{policy:?}");
        assert_eq!(local(&device, &id).await.is_some(), expected.is_some());
    }
}
