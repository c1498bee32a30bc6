//! Operations that pushes leave alone, and errors that a push did not come to.

use super::probe::*;
use super::tables::{LIST, PART};
use crate::operation::OperationState::{Attempted, Failed};
use crate::operation::{FailureClass, Operation, SentKind};
use crate::store::{ConflictPolicy, LocalChangeKind, LocalStore, Outcome, Resolution, ResolutionKind, Take};

/// Parks or unparks, and expects the operation to stay as it is otherwise.
async fn decide<S: LocalStore>(probe: &Probe<S>, id: &str, resolution: Resolution) {
    let before = probe.operation(id).await;
    probe.store.resolve(before.key.clone(), resolution, Resolver::App).await.expect("a resolution");
    assert_eq!(probe.operation(id).await.key, before.key);
}

/// An update of `a` from "milk" in v1 to "bread" that got this outcome and is parked.
async fn parked<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) -> Operation {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(outcome).await;
    decide(probe, "a", Resolution::Park).await;
    assert!(probe.error("a").await.parked);
    probe.operation("a").await
}

/// What the next push would send.
async fn next_push<S: LocalStore>(probe: &Probe<S>) -> Vec<String> {
    let session = probe.begin_push().await;
    probe.take(session).await.into_iter().map(|taken| taken.key.item_id).collect()
}

pub(super) async fn p_29_a_parked_operation_is_left_alone<S: LocalStore>(probe: Probe<S>) {
    let operation = parked(&probe, refused()).await;
    let error = probe.error("a").await;
    probe.insert(todo("b", "tea")).await;
    for _ in 0..2 {
        let session = probe.begin_push().await;
        // Also where it is asked for by name.
        let again = Take { again: vec![operation.key.row()], ..take(10) };
        let step = probe.exchange(session, Vec::new(), Some(again)).await;
        assert_eq!(requests(&step.taken), [(SentKind::Insert, "b")]);
        assert!(step.is_exhausted && step.waiting.is_empty());
        probe.settle(session, &step.taken[0].key, Outcome::Unsent).await;
    }
    assert_eq!(probe.operation("a").await, operation, "never dropped");
    let found = probe.error("a").await;
    assert_eq!((found.class, &found.message, found.parked), (error.class, &error.message, true));
    assert_eq!(probe.store.pending(None).await.expect("a read"), 2);
    let open = probe.store.conflicts(None).await.expect("a read");
    assert!(open[0].error.as_ref().is_some_and(|error| error.parked), "it is still to be decided");
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
}

pub(super) async fn p_29_any_local_change_ends_parking<S: LocalStore>(probe: Probe<S>) {
    parked(&probe, conflict(server("a", "theirs", "v2"))).await;
    probe.update(part("a", &[("note", text("mine"))])).await;
    assert!(probe.error("a").await.parked, "R4: what is not sent is no change");
    probe.update(todo("a", "jam")).await;
    assert_eq!(probe.find_error("a").await, None);
    assert_eq!(next_push(&probe).await, ["a"]);
}

pub(super) async fn p_29_a_local_delete_ends_parking<S: LocalStore>(probe: Probe<S>) {
    parked(&probe, refused()).await;
    probe.delete("a").await;
    assert_eq!(next_push(&probe).await, ["a"]);
}

pub(super) async fn p_29_another_decision_ends_parking<S: LocalStore>(probe: Probe<S>) {
    let operation = parked(&probe, conflict(server("a", "theirs", "v2"))).await;
    probe.store.resolve(operation.key, Resolution::KeepLocal, Resolver::App).await.expect("the same key");
    let (session, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v2"));
    // The same again, and it is the server's row this time.
    probe.settle(session, &sent.key, conflict(server("a", "theirs again", "v3"))).await;
    assert!(!probe.error("a").await.parked, "a new error is not parked");
    decide(&probe, "a", Resolution::Park).await;
    let key = probe.operation("a").await.key;
    probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a resolution");
    probe.assert_clean("a").await;
    assert_eq!(content(&probe.row("a").await), Some(text("theirs again")));
}

pub(super) async fn p_29_unparking_sends_it_again<S: LocalStore>(probe: Probe<S>) {
    parked(&probe, conflict(server("a", "theirs", "v2"))).await;
    for resolution in [Resolution::Park, Resolution::Unpark, Resolution::Unpark] {
        decide(&probe, "a", resolution).await;
    }
    let error = probe.error("a").await;
    assert_eq!((error.parked, error.class), (false, FailureClass::Conflict));
    let (_, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v1"), "as after leaving it");
    let decisions: Vec<_> = probe.store.resolutions().await.expect("a read");
    let decisions: Vec<_> = decisions.iter().map(|record| record.decision).collect();
    assert_eq!(decisions, [ResolutionKind::Park, ResolutionKind::Unpark], "what changed nothing is not told");
}

pub(super) async fn p_29_r_1_a_parked_outcome_stays_unknown<S: LocalStore>(probe: Probe<S>) {
    let failed = Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)));
    let operation = parked(&probe, failed).await;
    assert_eq!(operation.state, Attempted);
    assert!(next_push(&probe).await.is_empty());
    decide(&probe, "a", Resolution::Unpark).await;
    let (session, sent) = probe.send().await;
    assert!(sent.uncertain);
    probe.settle(session, &sent.key, acknowledged(server("a", "bread", "v2"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn p_29_k_20_a_conflict_that_a_pull_showed_is_parked<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    decide(&probe, "a", Resolution::Park).await;
    let error = probe.error("a").await;
    assert_eq!(
        (error.class, error.status, error.parked, error.old),
        (FailureClass::Conflict, None, true, false)
    );
    assert_eq!(error.remote.as_ref().and_then(content), Some(text("theirs")));
    assert_eq!(probe.operation("a").await.state, Failed);
    assert!(next_push(&probe).await.is_empty());
    let key = probe.operation("a").await.key;
    probe.store.resolve(key, Resolution::KeepLocal, Resolver::App).await.expect("a resolution");
    assert_eq!(probe.send().await.1.base_version.as_deref(), Some("v2"));
}

pub(super) async fn p_29_parking_during_a_flight<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(refused()).await;
    let (session, sent) = probe.send().await;
    decide(&probe, "a", Resolution::Park).await;
    probe.settle(session, &sent.key, refused()).await;
    let error = probe.error("a").await;
    assert_eq!((error.parked, error.old), (true, false), "the newest answer, and parked still");
    assert!(next_push(&probe).await.is_empty());

    decide(&probe, "a", Resolution::Unpark).await;
    let (session, sent) = probe.send().await;
    decide(&probe, "a", Resolution::Park).await;
    probe.settle(session, &sent.key, acknowledged(server("a", "bread", "v2"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn p_29_a_handler_parks<S: LocalStore>(probe: Probe<S>) {
    let park = || Outcome::Resolved {
        failure: failure(FailureClass::Conflict, Some(server("a", "theirs", "v2"))),
        resolution: Resolution::Park,
        by: Resolver::Policy(ConflictPolicy::Park),
    };
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.settle(session, &sent.key, park()).await;
    let error = probe.error("a").await;
    assert_eq!((error.class, error.status, error.parked), (FailureClass::Conflict, Some(412), true));
    assert!(probe.take(session).await.is_empty(), "not by the same push");
    assert!(next_push(&probe).await.is_empty(), "nor by the next");
    let records = probe.store.resolutions().await.expect("a read");
    assert_eq!(
        (records.len(), records[0].decision, records[0].by),
        (1, ResolutionKind::Park, Resolver::Policy(ConflictPolicy::Park))
    );

    // K-12: it did not see an edit made during the flight, which the app wants sent.
    probe.update(todo("a", "jam")).await;
    let (session, sent) = probe.send().await;
    probe.update(todo("a", "jelly")).await;
    probe.settle(session, &sent.key, park()).await;
    let error = probe.error("a").await;
    assert_eq!((error.superseded, error.parked), (true, false));
    assert_eq!(next_push(&probe).await, ["a"]);
}

pub(super) async fn p_22_what_belongs_to_a_parked_row_is_held_back<S: LocalStore>(probe: Probe<S>) {
    let list = change(&LIST, LocalChangeKind::Insert(row_of(&LIST, "l", &[("title", text("home"))])));
    let part = row_of(&PART, "p", &[("name", text("p")), ("list", text("l"))]);
    probe.try_write(vec![list]).await.expect("an insert");
    probe.answer(refused()).await;
    decide(&probe, "l", Resolution::Park).await;
    probe.try_write(vec![change(&PART, LocalChangeKind::Insert(part))]).await.expect("an insert");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    let waiting: Vec<_> =
        step.waiting.iter().map(|waiting| (&*waiting.row.item_id, waiting.is_over)).collect();
    assert_eq!((waiting, step.taken.len()), (vec![("p", true)], 0));
    decide(&probe, "l", Resolution::Unpark).await;
    assert_eq!(next_push(&probe).await, ["l"], "then the parent comes first");
}

pub(super) async fn p_27_errors_of_earlier_pushes_are_old<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "tea")).await;
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    for taken in &taken {
        probe.settle(session, &taken.key, refused()).await;
    }
    assert_eq!((probe.error("a").await.old, probe.error("b").await.old), (false, false));
    // A push that comes to one of them only.
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(1))).await;
    assert!(probe.error("a").await.old, "not known yet");
    probe.settle(session, &step.taken[0].key, refused()).await;
    assert_eq!((probe.error("a").await.old, probe.error("b").await.old), (false, true));
}
