//! Resolving recorded errors, and conflicts inside a push.

use super::probe::*;
use super::tables::TODO;
use crate::error::ErrorKind;
use crate::operation::OperationKind::Update;
use crate::operation::OperationState::Failed;
use crate::operation::{FailureClass, OperationKey, SentKind};
use crate::store::{LocalStore, Outcome, Resolution};
use crate::value::Value;

async fn resolve<S: LocalStore>(probe: &Probe<S>, id: &str, resolution: Resolution) {
    let key = probe.error(id).await.key;
    probe.store.resolve(key, resolution, Resolver::App).await.expect("a resolution");
    if probe.find_operation(id).await.is_some() {
        assert_eq!(probe.find_error(id).await, None, "the error is gone");
    }
}

async fn removed<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    probe.answer(outcome).await;
}

pub(super) async fn k_10_keep_local_on_an_update<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let before = probe.operation("a").await;
    resolve(&probe, "a", Resolution::KeepLocal).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE);
    assert_eq!((operation.key.seq, operation.key.revision), (before.key.seq, before.key.revision + 1));
    assert_eq!(operation.base_version.as_deref(), Some("v2"));
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    assert_eq!(probe.shadow("a").await.as_ref().and_then(content), Some(text("theirs")));
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Update, Some("v2")));
    assert_eq!(present(&sent.item), ["text"]);
}

pub(super) async fn k_10_keep_local_on_an_insert_over_a_live_row<S: LocalStore>(probe: Probe<S>) {
    inserted(&probe, conflict(server("a", "theirs", "v2"))).await;
    resolve(&probe, "a", Resolution::KeepLocal).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE, "a second insert could only fail again");
    assert_eq!(operation.base_version.as_deref(), Some("v2"));
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, present(&sent.item)), (SentKind::Update, vec!["text"]));
}

pub(super) async fn k_10_keep_local_on_a_delete<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(server("a", "theirs", "v2"))).await;
    resolve(&probe, "a", Resolution::KeepLocal).await;
    assert_eq!(probe.standing("a").await, PENDING_DELETE);
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v2"));
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn k_10_keep_local_after_a_plain_refusal<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, refused()).await;
    resolve(&probe, "a", Resolution::KeepLocal).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE, "the server's row did not change");
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    assert_eq!(probe.shadow("a").await.as_ref().and_then(content), Some(text("milk")));
}

pub(super) async fn k_15_keep_local_revives_a_deleted_row<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, gone(deleted(server("a", "milk", "v2")))).await;
    assert_eq!(probe.standing("a").await, FAILED_UPDATE);
    resolve(&probe, "a", Resolution::KeepLocal).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_INSERT);
    assert_eq!(operation.base_version.as_deref(), Some("v2"));
    assert!(probe.shadow("a").await.expect("a shadow").deleted);
    // The revival is not wanted any more: the server's row is deleted already.
    probe.delete("a").await;
    probe.assert_clean("a").await;
}

pub(super) async fn k_15_keep_local_inserts_a_row_that_is_gone<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, gone(None)).await;
    resolve(&probe, "a", Resolution::KeepLocal).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_INSERT);
    assert_eq!(operation.base_version, None);
    assert_eq!(probe.shadow("a").await, None);
    let (_, sent) = probe.send().await;
    assert_eq!(sent.sent, SentKind::Insert);
    assert_eq!(value(&sent.item, "rank"), Some(Value::Integer(3)), "the whole row");
}

pub(super) async fn k_10_merge_stores_columns_first<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let merged = part("a", &[("text", text("bread and theirs"))]);
    resolve(&probe, "a", Resolution::Merge(merged)).await;
    assert_eq!(probe.standing("a").await, PENDING_UPDATE);
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("bread and theirs")));
    assert_eq!(value(&row, "note"), Some(text("mine")));
    let (_, sent) = probe.send().await;
    assert_eq!(content(&sent.item), Some(text("bread and theirs")));
    assert_eq!(sent.base_version.as_deref(), Some("v2"));
}

pub(super) async fn k_08_take_remote_stores_the_servers_row<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("theirs")), Some("v2")));
    assert_eq!(value(&row, "note"), Some(text("mine")), "L-22");

    inserted_elsewhere(&probe).await;
}

async fn inserted_elsewhere<S: LocalStore>(probe: &Probe<S>) {
    probe.insert(todo("b", "bread")).await;
    probe.answer(conflict(server("b", "theirs", "v9"))).await;
    resolve(probe, "b", Resolution::TakeRemote).await;
    probe.assert_clean("b").await;
    assert_eq!(content(&probe.row("b").await), Some(text("theirs")));
}

pub(super) async fn k_14_take_remote_brings_a_deleted_row_back<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(server("a", "theirs", "v2"))).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("theirs")), Some("v2")));
}

pub(super) async fn k_09_take_remote_of_a_deleted_row_removes_it<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, gone(deleted(server("a", "milk", "v2")))).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);

    updated(&probe, gone(None)).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn k_09_take_remote_without_answer_uses_the_shadow<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, refused()).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("milk")), Some("v1")));
}

pub(super) async fn k_09_take_remote_of_a_refused_insert_removes_it<S: LocalStore>(probe: Probe<S>) {
    inserted(&probe, refused()).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn k_09_a_handler_that_failed_does_not_hide_that_the_row_is_gone<S: LocalStore>(
    probe: Probe<S>,
) {
    updated(&probe, Outcome::Conflict(failure(FailureClass::Handler, None))).await;
    resolve(&probe, "a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    assert_eq!(content(&probe.row("a").await), Some(text("milk")), "the last copy known");
    let start = probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    assert_eq!(start.refetch, ["a"], "until the next pull asks for the row");
}

pub(super) async fn k_12_a_changed_operation_is_not_resolved<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let key = probe.error("a").await.key;
    for wrong in [
        OperationKey { revision: key.revision + 1, ..key.clone() },
        OperationKey { seq: key.seq + 1, ..key.clone() },
        OperationKey { item_id: "b".to_owned(), ..key.clone() },
    ] {
        let error = probe
            .store
            .resolve(wrong, Resolution::TakeRemote, Resolver::App)
            .await
            .expect_err("another operation");
        assert_eq!(error.kind(), ErrorKind::OperationChanged);
    }
    probe.error("a").await;

    probe.update(todo("a", "jam")).await;
    let before = (probe.operations().await, probe.row("a").await);
    for resolution in [Resolution::KeepLocal, Resolution::TakeRemote, Resolution::Leave] {
        let error = probe
            .store
            .resolve(key.clone(), resolution, Resolver::App)
            .await
            .expect_err("a changed operation");
        assert_eq!(error.kind(), ErrorKind::OperationChanged);
    }
    assert_eq!((probe.operations().await, probe.row("a").await), before);
}

pub(super) async fn k_13_a_second_resolution_is_refused<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let key = probe.error("a").await.key;
    probe.store.resolve(key.clone(), Resolution::KeepLocal, Resolver::App).await.expect("the first");
    let current = probe.operation("a").await.key;
    for key in [key, current] {
        let error =
            probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect_err("the second");
        assert_eq!(error.kind(), ErrorKind::OperationChanged);
    }
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
}

pub(super) async fn leave_changes_nothing<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let (operation, error) = (probe.operation("a").await, probe.error("a").await);
    probe.store.resolve(error.key.clone(), Resolution::Leave, Resolver::App).await.expect("a resolution");
    assert_eq!((probe.operation("a").await, probe.error("a").await), (operation, error));
    let (_, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v1"), "K-16");
}

pub(super) async fn a_handlers_resolution_is_taken_by_the_same_push<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    let resolved = |resolution| Outcome::Resolved {
        failure: failure(FailureClass::Conflict, Some(server("a", "theirs", "v2"))),
        resolution,
        by: Resolver::Handler,
    };
    probe.settle(session, &sent.key, resolved(Resolution::KeepLocal)).await;
    assert_eq!(probe.find_error("a").await, None);
    let again = probe.take_one(session).await;
    assert_eq!((again.base_version.as_deref(), again.uncertain), (Some("v2"), false));

    probe.settle(session, &again.key, resolved(Resolution::Leave)).await;
    assert_eq!(probe.operation("a").await.state, Failed);
    probe.error("a").await;
    assert!(probe.take(session).await.is_empty());

    let (session, sent) = probe.send().await;
    probe.settle(session, &sent.key, resolved(Resolution::TakeRemote)).await;
    probe.assert_clean("a").await;
    assert_eq!(content(&probe.row("a").await), Some(text("theirs")));
}

pub(super) async fn k_12_a_handlers_choice_does_not_undo_a_newer_edit<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.update(todo("a", "jam")).await;
    let failure = failure(FailureClass::Conflict, Some(server("a", "theirs", "v2")));
    let outcome = Outcome::Resolved { failure, resolution: Resolution::TakeRemote, by: Resolver::Handler };
    probe.settle(session, &sent.key, outcome).await;
    assert_eq!(content(&probe.row("a").await), Some(text("jam")));
    let error = probe.error("a").await;
    assert_eq!((error.kind, error.superseded), (Update, true));
    assert_eq!(probe.operation("a").await.state, Failed);
}
