//! Changes that must not be lost or counted as done because of what was not known for sure.

use super::probe::*;
use super::tables::LIST;
use crate::operation::OperationKind::{Delete, Insert};
use crate::operation::OperationState::{Failed, Pending};
use crate::operation::SentKind;
use crate::operation::ServerMayHold::{Foreign, Maybe};
use crate::row::Row;
use crate::store::{LocalChangeKind, LocalStore, Outcome};
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
