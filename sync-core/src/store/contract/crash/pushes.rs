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

pub(super) async fn f_07_a_refusal<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(insert_sent(probe).await, refused())
}

pub(super) async fn f_07_a_refused_insert_deleted_meanwhile<S: LocalStore>(probe: &Probe<S>) -> Step {
    let sent = insert_sent(probe).await;
    probe.delete("a").await;
    settling(sent, refused())
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

pub(super) async fn r_8_an_unsent_operation<S: LocalStore>(probe: &Probe<S>) -> Step {
    settling(update_sent(probe).await, Outcome::Unsent)
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

pub(super) async fn a_handler_leaves_the_conflict<S: LocalStore>(probe: &Probe<S>) -> Step {
    decided(probe, Resolution::Leave).await
}
