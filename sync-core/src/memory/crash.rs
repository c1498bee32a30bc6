//! Crashes of the store in memory, for its tests: a panic at a chosen moment of a step.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;

use super::MemoryStore;
use super::state::State;
use crate::store::contract::TABLES;
use crate::store::contract::crash::{Crash, Crashed, SCENARIOS, Step, check};

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
