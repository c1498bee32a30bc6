//! Resolutions (17.4), and whose queue it is.

use super::super::probe::*;
use super::super::tables::TODO;
use super::Step;
use crate::operation::{FailureClass, OperationKind};
use crate::store::{LocalStore, OtherAccount, Outcome, Owner, PullBatch, Resolution};

/// The step that resolves the recorded error of `a`.
async fn resolving<S: LocalStore>(probe: &Probe<S>, resolution: Resolution) -> Step {
    Step::Resolve { key: probe.error("a").await.key, resolution, by: Resolver::App }
}

/// An update of `a` from "milk" in v1 to "bread" that got this outcome.
async fn updated<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread")), ("note", text("mine"))])).await;
    probe.answer(outcome).await;
}

async fn in_conflict<S: LocalStore>(probe: &Probe<S>) {
    updated(probe, conflict(server("a", "theirs", "v2"))).await;
}

fn into(kind: OperationKind) -> Resolution {
    Resolution::ChangeKind { kind, item: None, version: None }
}

pub(super) async fn k_10_the_local_row_is_kept<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    resolving(probe, Resolution::KeepLocal).await
}

pub(super) async fn k_15_a_deleted_row_is_revived<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe, gone(deleted(server("a", "theirs", "v2")))).await;
    resolving(probe, Resolution::KeepLocal).await
}

pub(super) async fn k_10_a_merge<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    resolving(probe, Resolution::Merge(todo("a", "both"))).await
}

pub(super) async fn k_08_the_servers_row_is_taken<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    resolving(probe, Resolution::TakeRemote).await
}

pub(super) async fn k_09_the_servers_deletion_is_taken<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe, gone(deleted(server("a", "theirs", "v2")))).await;
    resolving(probe, Resolution::TakeRemote).await
}

pub(super) async fn k_09_an_unknown_row_is_taken<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "mine")).await;
    probe.answer(conflict(None)).await;
    resolving(probe, Resolution::TakeRemote).await
}

pub(super) async fn k_08_a_row_is_stored<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    resolving(probe, Resolution::Store(todo("a", "stored"))).await
}

pub(super) async fn k_11_an_insert_becomes_an_update<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "mine")).await;
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    resolving(probe, into(OperationKind::Update)).await
}

pub(super) async fn k_11_an_update_becomes_an_insert<S: LocalStore>(probe: &Probe<S>) -> Step {
    updated(probe, gone(None)).await;
    resolving(probe, into(OperationKind::Insert)).await
}

pub(super) async fn k_11_an_update_becomes_a_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    probe.insert(todo("b", "behind")).await;
    resolving(probe, into(OperationKind::Delete)).await
}

pub(super) async fn k_11_a_delete_becomes_an_update<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    let item = Some(todo("a", "kept"));
    resolving(probe, Resolution::ChangeKind { kind: OperationKind::Update, item, version: None }).await
}

/// An error of an update whose outcome is not known.
async fn uncertain<S: LocalStore>(probe: &Probe<S>) {
    updated(probe, Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)))).await;
}

pub(super) async fn r_1_the_local_row_is_kept_before_the_outcome_is_known<S: LocalStore>(
    probe: &Probe<S>,
) -> Step {
    uncertain(probe).await;
    resolving(probe, Resolution::KeepLocal).await
}

pub(super) async fn r_1_the_servers_row_is_taken_before_the_outcome_is_known<S: LocalStore>(
    probe: &Probe<S>,
) -> Step {
    uncertain(probe).await;
    resolving(probe, Resolution::TakeRemote).await
}

pub(super) async fn p_29_an_operation_is_parked<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    resolving(probe, Resolution::Park).await
}

pub(super) async fn p_29_a_pulled_conflict_is_parked<S: LocalStore>(probe: &Probe<S>) -> Step {
    let Step::Resolve { key, by, .. } = k_20_a_pulled_conflict_is_resolved(probe).await else {
        unreachable!("it resolves")
    };
    Step::Resolve { key, resolution: Resolution::Park, by }
}

pub(super) async fn p_29_parking_ends<S: LocalStore>(probe: &Probe<S>) -> Step {
    in_conflict(probe).await;
    let key = probe.error("a").await.key;
    probe.store.resolve(key, Resolution::Park, Resolver::App).await.expect("a resolution");
    resolving(probe, Resolution::Unpark).await
}

pub(super) async fn k_20_a_pulled_conflict_is_resolved<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    let key = probe.operation("a").await.key;
    Step::Resolve { key, resolution: Resolution::KeepLocal, by: Resolver::App }
}

fn owner(account: &str) -> Owner {
    Owner { endpoint: "http://a".to_owned(), account: Some(account.to_owned()) }
}

/// A queue of ann's with an operation of each kind, one of them failed; and a token.
async fn anns<S: LocalStore>(probe: &Probe<S>) {
    probe.store.claim(owner("ann"), OtherAccount::Refuse).await.expect("ann");
    for id in ["changed", "deleted", "refused"] {
        probe.pulled(id, "theirs", "v1").await;
    }
    let token = Some(token("2024-01-01T00:00:00Z"));
    probe.apply(PullBatch { query: Some(query("q")), token, ..batch(&TODO, &[]) }).await;
    probe.update(todo("refused", "mine")).await;
    probe.answer(refused()).await;
    probe.update(todo("changed", "mine")).await;
    probe.delete("deleted").await;
    probe.insert(todo("new", "mine")).await;
}

pub(super) async fn c_12_the_first_owner<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "milk")).await;
    Step::Claim { owner: owner("ann"), answer: OtherAccount::Refuse }
}

pub(super) async fn c_12_another_owner_discards<S: LocalStore>(probe: &Probe<S>) -> Step {
    anns(probe).await;
    Step::Claim { owner: owner("bob"), answer: OtherAccount::Discard }
}

pub(super) async fn c_12_another_owner_adopts<S: LocalStore>(probe: &Probe<S>) -> Step {
    anns(probe).await;
    Step::Claim { owner: owner("bob"), answer: OtherAccount::Adopt }
}
