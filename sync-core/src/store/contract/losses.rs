//! Changes that must not be lost or counted as done because of what was not known for sure.

use super::probe::*;
use super::tables::LIST;
use crate::error::ErrorKind;
use crate::operation::FailureClass;
use crate::operation::OperationKind::{Delete, Insert};
use crate::operation::OperationState::{Failed, Pending};
use crate::operation::SentKind;
use crate::operation::ServerMayHold::{Foreign, Maybe};
use crate::row::Row;
use crate::store::{LocalChangeKind, LocalStore, Outcome, Resolution, Resolver};
use crate::value::Value;

pub(super) async fn x_04_a_refusal_after_a_lost_answer_proves_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    let again = probe.answer(refused()).await;
    assert_eq!((again.sent, again.uncertain), (SentKind::Insert, true));
    assert_eq!(probe.standing("a").await, (Insert, Failed, Maybe), "the first request may have arrived");
    // Neither does a further refusal.
    let again = probe.answer(refused()).await;
    assert_eq!((again.sent, again.uncertain), (SentKind::Insert, false));
    assert_eq!(probe.standing("a").await, (Insert, Failed, Maybe));
    probe.delete("a").await;
    assert_eq!(probe.standing("a").await, (Delete, Pending, Maybe), "the server may hold the row");

    // what the refused delete was to remove may be there or not.
    let sent = probe.answer(refused()).await;
    assert_eq!((sent.sent, sent.base_version), (SentKind::Delete, None));
    assert_eq!(probe.standing("a").await, (Delete, Failed, Maybe));
    probe.insert(todo("a", "bread")).await;
    assert_eq!(probe.standing("a").await, (Insert, Pending, Maybe));
}

pub(super) async fn x_04_a_resolution_that_saw_no_row_does_not_forget_a_lost_answer<S: LocalStore>(
    probe: Probe<S>,
) {
    let change = Resolution::ChangeKind { kind: Insert, item: None, version: None };
    for (outcome, resolution) in [(refused(), change), (conflict(None), Resolution::KeepLocal)] {
        probe.insert(todo("a", "milk")).await;
        probe.answer(Outcome::Uncertain(None)).await;
        probe.answer(outcome).await;
        let key = probe.error("a").await.key;
        probe.store.resolve(key, resolution, Resolver::App).await.expect("resolved");
        probe.delete("a").await;
        assert_eq!(probe.standing("a").await, (Delete, Pending, Maybe), "the first request may have arrived");
        let sent = probe.answer(acknowledged(None)).await;
        assert_eq!((sent.sent, sent.base_version), (SentKind::Delete, None));
        probe.assert_clean("a").await;
    }
}

pub(super) async fn x_06_a_later_refusal_does_not_make_a_foreign_row_ours<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(conflict(server("a", "theirs", "v1"))).await;
    probe.answer(refused()).await;
    assert_eq!(probe.standing("a").await, (Insert, Failed, Foreign));
}

pub(super) async fn x_10_a_delete_that_is_refused_after_the_row_was_inserted_again<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    assert_eq!(sent.sent, SentKind::Delete);
    probe.insert(todo("a", "bread")).await;
    probe.settle(session, &sent.key, refused()).await;
    assert_eq!(
        probe.standing("a").await,
        (Insert, Failed, Maybe),
        "no update of a row that may not be there"
    );
}

pub(super) async fn p_29_a_change_follows_the_one_that_the_server_always_fails_on<S: LocalStore>(
    probe: Probe<S>,
) {
    let server_error = || failure(FailureClass::ServerError, None);
    for delete in [false, true] {
        updated(&probe, Outcome::Uncertain(Some(server_error()))).await;
        if delete {
            probe.delete("a").await;
        } else {
            probe.update(todo("a", "good")).await;
        }
        let again = probe.answer(Outcome::Refused(server_error())).await;
        assert_eq!((again.sent, again.uncertain), (SentKind::Update, true));
        let error = probe.error("a").await;
        assert_eq!((error.class, error.superseded), (FailureClass::ServerError, true));

        let next = probe.answer(acknowledged(None)).await;
        assert_eq!((&next.base_version, next.uncertain), (&again.base_version, false));
        if delete {
            assert_eq!(next.sent, SentKind::Delete);
        } else {
            assert_eq!((next.sent, content(&next.item)), (SentKind::Update, Some(text("good"))));
            probe.delete("a").await;
            probe.answer(acknowledged(None)).await;
        }
        probe.assert_clean("a").await;
    }
}

pub(super) async fn x_15_the_same_sum_of_somebody_else_is_no_reason_not_to_send<S: LocalStore>(
    probe: Probe<S>,
) {
    let list = |n: i64, version: &str| {
        format!(
            "[{{\"id\":\"l\",\"title\":\"home\",\"n\":{n},\"version\":\"{version}\",\
             \"updatedAt\":\"2024-01-01T00:00:00Z\",\"deleted\":false}}]"
        )
    };
    probe.apply(batch(&LIST, &[&list(5, "v1")])).await;
    let edit = LocalChangeKind::Update(row_of(&LIST, "l", &[("n", Value::Integer(6))]));
    probe.try_write(vec![change(&LIST, edit)]).await.expect("an update");
    probe.apply(batch(&LIST, &[&list(6, "v2")])).await;
    let session = probe.begin_push().await;
    let done = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!((requests(&done.taken), done.unneeded), (vec![(SentKind::Update, "l")], 0));
    assert_eq!(done.taken[0].base_version.as_deref(), Some("v1"));
}

pub(super) async fn k_17_a_push_that_brought_foreign_changes_is_not_ours_alone<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    // Somebody wrote between the two versions: the same text, and another column.
    let mut theirs = server("a", "bread", "v3");
    theirs.values[3] = Some(Value::Integer(9));
    probe.answer(acknowledged(theirs)).await;
    probe.assert_clean("a").await;
    let stale = Row { version: Some("v1".into()), ..part("a", &[("text", text("jam")), ("n", Value::Null)]) };
    probe.update(stale).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v1"), "their change was not seen");
}

pub(super) async fn k_12_a_merge_waits_for_the_answer_of_what_is_sent_again<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("n", Value::Integer(6))])).await;
    let mut theirs = server("a", "milk", "v2");
    theirs.values[3] = Some(Value::Integer(6));
    probe.answer(conflict(theirs.clone())).await;
    let key = probe.error("a").await.key;
    let (session, sent) = probe.send().await;
    // Merged now, what they did would be part of the local change, and be merged once more after the answer.
    let merged = Resolution::Merge(part("a", &[("n", Value::Integer(7))]));
    let refusal = probe.store.resolve(key.clone(), merged.clone(), Resolver::App).await;
    assert_eq!(refusal.expect_err("under way").kind(), ErrorKind::Busy);
    assert_eq!(value(&probe.row("a").await, "n"), Some(Value::Integer(6)));
    probe.settle(session, &sent.key, conflict(theirs)).await;
    probe.store.resolve(probe.error("a").await.key, merged, Resolver::App).await.expect("resolved");
    let (_, sent) = probe.send().await;
    assert_eq!((value(&sent.item, "n"), sent.base_version.as_deref()), (Some(Value::Integer(7)), Some("v2")));
}

pub(super) async fn w_09_a_revival_taken_back_leaves_the_kept_row_to_the_next_pull<S: LocalStore>(
    probe: Probe<S>,
) {
    for (version, deleted) in [("v1", false), ("v2", true)] {
        let body =
            format!("[{{\"id\":\"l\",\"title\":\"home\",\"version\":\"{version}\",\"deleted\":{deleted}}}]");
        probe.apply(batch(&LIST, &[&body])).await;
    }
    let write = async |kind| probe.try_write(vec![change(&LIST, kind)]).await.expect("written");
    write(LocalChangeKind::Undelete("l".into())).await;
    write(LocalChangeKind::Delete("l".into())).await;
    assert!(probe.operations().await.is_empty());
    let start = probe.store.begin_pull(scope(&LIST, None)).await.expect("a pull starts");
    assert_eq!(start.refetch, ["l"], "the server keeps it, marked deleted");
}
