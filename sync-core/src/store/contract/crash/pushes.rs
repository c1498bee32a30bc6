//! The steps of a push (17.2): marking what is sent, and storing what became of it.

use super::super::probe::*;
use super::Step;
use crate::operation::{FailureClass, OperationKind, Outgoing};
use crate::store::{Exchange, Failure, LocalStore, Outcome, PushSession, Resolution, Settlement};

fn taking(session: PushSession) -> Step {
    Step::Exchange(Exchange { session, settlements: Vec::new(), take: Some(take(100)) })
}

fn settling((session, sent): (PushSession, Outgoing), outcome: Outcome) -> Step {
    let settlements = vec![Settlement { key: sent.key, outcome }];
    Step::Exchange(Exchange { session, settlements, take: None })
}

async fn updated<S: LocalStore>(probe: &Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread")), ("note", text("mine"))])).await;
}

/// An update of `a` from "milk" in v1 to "bread" under way.
async fn update_sent<S: LocalStore>(probe: &Probe<S>) -> (PushSession, Outgoing) {
    updated(probe).await;
    probe.send().await
}

async fn insert_sent<S: LocalStore>(probe: &Probe<S>) -> (PushSession, Outgoing) {
    probe.insert(todo("a", "bread")).await;
    probe.send().await
}

async fn delete_sent<S: LocalStore>(probe: &Probe<S>) -> (PushSession, Outgoing) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    probe.send().await
}

pub(super) async fn p_07_the_start_of_a_push<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe).await;
    Step::BeginPush
}

pub(super) async fn p_27_the_start_of_a_push_after_errors<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe).await;
    probe.answer(refused()).await;
    Step::BeginPush
}

pub(super) async fn f_01_operations_are_marked<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["changed", "deleted"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("changed", "bread")).await;
    probe.delete("deleted").await;
    probe.insert(todo("new", "jam")).await;
    taking(probe.begin_push().await)
}

pub(super) async fn f_01_an_uncertain_operation_is_marked_again<S: LocalStore>(probe: &Probe<S>) -> Step {
    update_sent(probe).await;
    probe.update(todo("a", "jam")).await;
    taking(probe.begin_push().await)
}

pub(super) async fn r_2_an_uncertain_insert_is_marked_as_a_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    insert_sent(probe).await;
    probe.delete("a").await;
    taking(probe.begin_push().await)
}

pub(super) async fn x_15_an_update_that_changes_nothing<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe).await;
    probe.update(todo("a", "milk")).await;
    taking(probe.begin_push().await)
}

pub(super) async fn f_03_an_insert_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(insert_sent(probe).await, acknowledged(server("a", "bread", "v1")))
}

pub(super) async fn f_03_an_update_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, acknowledged(server("a", "bread", "v2")))
}

pub(super) async fn f_03_an_answer_without_a_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, acknowledged(None))
}

pub(super) async fn f_03_an_answer_marked_deleted<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, acknowledged(deleted(server("a", "bread", "v2"))))
}

pub(super) async fn f_03_a_delete_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(delete_sent(probe).await, acknowledged(None))
}

pub(super) async fn f_04_an_edited_row_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = update_sent(probe).await;
    probe.update(todo("a", "jam")).await;
    settling(sent, acknowledged(server("a", "bread", "v2")))
}

pub(super) async fn f_05_a_deleted_row_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = insert_sent(probe).await;
    probe.delete("a").await;
    settling(sent, acknowledged(server("a", "bread", "v1")))
}

pub(super) async fn f_06_a_row_inserted_again_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = delete_sent(probe).await;
    probe.insert(todo("a", "again")).await;
    settling(sent, acknowledged(None))
}

/// The revival of `a`, which the server marked deleted in v2, is under way.
async fn undelete_sent<S: LocalStore>(probe: &Probe<S>) -> (PushSession, Outgoing) {
    updated(probe).await;
    probe.answer(gone(deleted(server("a", "theirs", "v2")))).await;
    let key = probe.error("a").await.key;
    probe.store.resolve(key, Resolution::KeepLocal, Resolver::App).await.expect("a resolution");
    probe.send().await
}

pub(super) async fn w_09_a_revival_is_acknowledged<S: LocalStore>(probe: &Probe<S>) -> Step {
    let (session, sent) = undelete_sent(probe).await;
    let settlements = vec![Settlement { key: sent.key, outcome: acknowledged(server("a", "theirs", "v3")) }];
    Step::Exchange(Exchange { session, settlements, take: Some(take(1)) })
}

pub(super) async fn w_09_a_revival_is_refused<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(undelete_sent(probe).await, refused())
}

pub(super) async fn f_07_a_refusal<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(insert_sent(probe).await, refused())
}

pub(super) async fn f_07_a_refused_insert_deleted_meanwhile<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = insert_sent(probe).await;
    probe.delete("a").await;
    settling(sent, refused())
}

pub(super) async fn f_07_a_refused_update_deleted_meanwhile<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = update_sent(probe).await;
    probe.delete("a").await;
    settling(sent, refused())
}

pub(super) async fn f_07_a_refused_delete_inserted_meanwhile<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = delete_sent(probe).await;
    probe.insert(todo("a", "again")).await;
    settling(sent, refused())
}

pub(super) async fn x_06_an_insert_meets_a_foreign_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(insert_sent(probe).await, conflict(server("a", "theirs", "v1")))
}

pub(super) async fn x_06_a_foreign_row_is_left<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = insert_sent(probe).await;
    probe.delete("a").await;
    settling(sent, conflict(server("a", "theirs", "v1")))
}

pub(super) async fn k_20_a_conflict_of_a_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(delete_sent(probe).await, conflict(server("a", "theirs", "v2")))
}

pub(super) async fn k_20_a_conflict_without_a_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, gone(None))
}

pub(super) async fn k_20_a_conflict<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, conflict(server("a", "theirs", "v2")))
}

pub(super) async fn k_20_a_deleted_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, gone(deleted(server("a", "theirs", "v2"))))
}

pub(super) async fn r_2_an_unknown_outcome<S: LocalStore>(probe: &Probe<S>) -> Step {
    let lost = Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)));
    settling(update_sent(probe).await, lost)
}

/// A lost answer changes nothing by itself; the marks of what goes out next do.
pub(super) async fn r_2_a_lost_answer_and_the_next_mark<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("lost", "milk")).await;
    probe.insert(todo("next", "milk")).await;
    let session = probe.begin_push().await;
    let sent = probe.exchange(session, Vec::new(), Some(take(1))).await.taken.remove(0);
    let settlements = vec![Settlement { key: sent.key, outcome: Outcome::Uncertain(None) }];
    Step::Exchange(Exchange { session, settlements, take: Some(take(1)) })
}

pub(super) async fn r_2_a_remainder_is_taken_with_its_answer<S: LocalStore>(probe: &Probe<S>) -> Step {
    insert_sent(probe).await;
    probe.update(todo("a", "jam")).await;
    let (session, sent) = probe.send().await;
    let settlements = vec![Settlement { key: sent.key, outcome: acknowledged(server("a", "bread", "v1")) }];
    Step::Exchange(Exchange { session, settlements, take: Some(take(1)) })
}

pub(super) async fn r_8_an_unsent_operation<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, Outcome::Unsent)
}

pub(super) async fn r_8_an_unsent_operation_that_had_failed<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe).await;
    probe.answer(refused()).await;
    settling(probe.send().await, Outcome::Unsent)
}

pub(super) async fn r_8_an_unsent_repetition<S: LocalStore>(probe: &Probe<S>) -> Step {
    insert_sent(probe).await;
    settling(probe.send().await, Outcome::Unsent)
}

pub(super) async fn r_8_an_unsent_insert_deleted_meanwhile<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = insert_sent(probe).await;
    probe.delete("a").await;
    settling(sent, Outcome::Unsent)
}

pub(super) async fn r_8_outcomes_and_marks_together<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["done", "refused", "next"] {
        probe.pulled(id, "milk", "v1").await;
        probe.update(todo(id, "bread")).await;
    }
    let session = probe.begin_push().await;
    let sent = probe.exchange(session, Vec::new(), Some(take(2))).await.taken;
    let outcomes = [acknowledged(server("done", "bread", "v2")), refused()];
    let settlements =
        sent.into_iter().zip(outcomes).map(|(sent, outcome)| Settlement { key: sent.key, outcome }).collect();
    Step::Exchange(Exchange { session, settlements, take: Some(take(2)) })
}

/// The conflict of an update, decided by a handler.
async fn decided<S: LocalStore>(probe: &Probe<S>, resolution: Resolution) -> Step {
    let (session, sent) = update_sent(probe).await;
    let failure: Failure = failure(FailureClass::Conflict, Some(server("a", "theirs", "v2")));
    let outcome = Outcome::Resolved { failure, resolution, by: Resolver::Handler };
    let settlements = vec![Settlement { key: sent.key, outcome }];
    Step::Exchange(Exchange { session, settlements, take: Some(take(1)) })
}

pub(super) async fn k_10_a_handler_keeps_the_local_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::KeepLocal).await
}

pub(super) async fn k_10_a_handler_merges<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::Merge(todo("a", "both"))).await
}

pub(super) async fn k_09_a_handler_takes_the_servers_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::TakeRemote).await
}

pub(super) async fn k_08_a_handler_stores_a_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::Store(todo("a", "stored"))).await
}

pub(super) async fn k_11_a_handler_changes_the_kind<S: LocalStore>(probe: &Probe<S>) -> Step {
    let kind = Resolution::ChangeKind { kind: OperationKind::Delete, item: None, version: None };
    decided(probe, kind).await
}

pub(super) async fn p_29_a_handler_parks<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::Park).await
}

/// The conflict is recorded instead of decided (K-12).
pub(super) async fn k_12_a_handler_decides_about_a_row_edited_meanwhile<S: LocalStore>(
    probe: &Probe<S>,
) -> Step {
    let step = decided(probe, Resolution::TakeRemote).await;
    probe.update(todo("a", "jam")).await;
    step
}

pub(super) async fn a_handler_leaves_the_conflict<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::Leave).await
}
