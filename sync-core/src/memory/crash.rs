//! Crashes of the store in memory, for its tests: a panic at a chosen moment of a step.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;

use super::MemoryStore;
use super::state::State;
use crate::store::contract::TABLES;
use crate::store::contract::crash::{Crash, Crashed, SCENARIOS, Step, check, prepare};
use crate::store::{LocalStore, Outcome, Resolution, Settlement};

thread_local! {
    /// How many moments are still to pass; `None`: no crash.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A moment of a step in which the program may crash: before each access to a table that may change it, and before the
/// commit.
pub(super) fn moment() {
    LEFT.set(match LEFT.get() {
        None => None,
        Some(0) => {
            LEFT.set(None);
            // Unlike `panic!` this says nothing on the screen.
            std::panic::resume_unwind(Box::new("crash"));
        }
        Some(left) => Some(left - 1),
    });
}

struct Panics;

fn copy(store: &MemoryStore) -> MemoryStore {
    let state: State = store.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    MemoryStore { schemas: store.schemas.clone(), state: Mutex::new(state), lease: Arc::default() }
}

impl Crash for Panics {
    type Store = MemoryStore;

    async fn create(&mut self) -> MemoryStore {
        MemoryStore::new(TABLES)
    }

    async fn contents(&mut self, store: &MemoryStore) -> Vec<String> {
        let state = store.state.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:#?}", *state).lines().map(str::to_owned).collect()
    }

    async fn crash(&mut self, store: MemoryStore, step: &Step) -> Crashed<MemoryStore> {
        let mut before = Vec::new();
        loop {
            let store = copy(&store);
            LEFT.set(Some(before.len()));
            let outcome = AssertUnwindSafe(step.run(&store)).catch_unwind().await;
            LEFT.set(None);
            match outcome {
                Err(_) => before.push(store),
                Ok(done) => {
                    done.expect("the step");
                    return Crashed { before, after: vec![store] };
                }
            }
        }
    }
}

#[tokio::test]
async fn z_01_z_02_every_step_is_whole_after_a_crash() {
    for scenario in SCENARIOS {
        check(scenario, Panics).await;
    }
}

/// What the scenarios cannot leave out: every step that changes a store, every outcome of a request with every kind of
/// request it is about, and every resolution by whoever takes it.
const COVERED: &[&str] = &[
    "apply_pages",
    "begin_pull",
    "begin_push",
    "claim",
    "conflict of Delete",
    "conflict of Insert",
    "conflict of Update",
    "done Delete",
    "done Insert",
    "done Undelete",
    "done Update",
    "exchange with marks",
    "finish_pull",
    "handler: ChangeKind",
    "handler: KeepLocal",
    "handler: Leave",
    "handler: Merge",
    "handler: Park",
    "handler: Store",
    "handler: TakeRemote",
    "purge",
    "refused Delete",
    "refused Insert",
    "refused Undelete",
    "refused Update",
    "reset_token",
    "resolve: ChangeKind",
    "resolve: KeepLocal",
    "resolve: Merge",
    "resolve: Park",
    "resolve: Store",
    "resolve: TakeRemote",
    "resolve: Unpark",
    "set_setting",
    "unknown and recorded, Update",
    "unknown, Insert",
    "unsent Insert",
    "unsent Update",
    "write",
];

/// What a step is of [`COVERED`], on the store it is about to change.
async fn parts(store: &MemoryStore, step: &Step) -> Vec<String> {
    // Exhaustive without a wildcard: whoever adds a kind is asked for its scenario.
    let part = match step {
        Step::Write(_) => "write",
        Step::BeginPush => "begin_push",
        Step::BeginPull(_) => "begin_pull",
        Step::ApplyPages(_) => "apply_pages",
        Step::FinishPull(_) => "finish_pull",
        Step::ResetToken { .. } => "reset_token",
        Step::Purge(_) => "purge",
        Step::Claim { .. } => "claim",
        Step::SetSetting { .. } => "set_setting",
        Step::Resolve { resolution, .. } => return vec![format!("resolve: {}", name(resolution))],
        Step::Exchange(exchange) => {
            let operations = store.operations(None).await.expect("a read");
            let mut parts: Vec<String> =
                exchange.take.iter().map(|_| "exchange with marks".to_owned()).collect();
            for Settlement { key, outcome } in &exchange.settlements {
                let of = operations.iter().find(|operation| operation.key.item_id == key.item_id);
                let (sent, _) = of.and_then(|operation| operation.sent).expect("a request under way");
                parts.push(match outcome {
                    Outcome::Acknowledged { .. } => format!("done {sent:?}"),
                    Outcome::Refused(_) => format!("refused {sent:?}"),
                    Outcome::Conflict(_) => format!("conflict of {sent:?}"),
                    Outcome::Uncertain(None) => format!("unknown, {sent:?}"),
                    Outcome::Uncertain(Some(_)) => format!("unknown and recorded, {sent:?}"),
                    Outcome::Unsent => format!("unsent {sent:?}"),
                    Outcome::Resolved { resolution, .. } => format!("handler: {}", name(resolution)),
                });
            }
            return parts;
        }
    };
    vec![part.to_owned()]
}

fn name(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::KeepLocal => "KeepLocal",
        Resolution::Merge(_) => "Merge",
        Resolution::TakeRemote => "TakeRemote",
        Resolution::Store(_) => "Store",
        Resolution::ChangeKind { .. } => "ChangeKind",
        Resolution::Leave => "Leave",
        Resolution::Park => "Park",
        Resolution::Unpark => "Unpark",
    }
}

#[tokio::test]
async fn z_01_z_02_every_kind_of_step_outcome_and_decision_is_crashed() {
    let mut found = BTreeSet::new();
    for scenario in SCENARIOS {
        let (store, step) = prepare(scenario, MemoryStore::new(TABLES)).await;
        found.extend(parts(&store, &step).await);
    }
    let missing: Vec<_> = COVERED.iter().filter(|part| !found.contains(**part)).collect();
    assert!(missing.is_empty(), "no scenario crashes {missing:?}");
}
