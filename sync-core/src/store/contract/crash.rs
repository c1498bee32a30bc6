//! Crashes before and after the commit of every atomic step (17.1 to 17.4).
//!
//! A scenario of [`SCENARIOS`] prepares a store and names one step. [`check`] lets the store's [`Crash`] interrupt that
//! step, and looks at what is found afterwards: exactly what was there before the step, if it was not committed, and
//! exactly what it leads to, if it was. Then the step is done again, the next push and the next pull run to their end,
//! and a step whose future is dropped is looked at in the same way.
//!
//! A store that keeps nothing over its process's end crashes by a panic or an error in the middle of a step; one on disk
//! by what a process leaves on disk when it is killed at that moment.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::probe::{Probe, batch, query, scope, token};
use super::tables::TABLES;
use crate::entity::TableSchema;
use crate::error::Result;
use crate::operation::SentKind;
use crate::predicate::Predicate;
use crate::row::Row;
use crate::store::{
    Exchange, LocalChange, LocalStore, OtherAccount, Outcome, Owner, PullBatch, PullEnd, PullScope, Purge,
    Resolution, Resolver, Settlement, Take,
};

mod decisions;
mod pulls;
mod pushes;
mod writes;

/// Makes stores, and crashes them.
pub trait Crash {
    /// The store.
    type Store: LocalStore;

    /// Makes a new, empty store with the tables of [`TABLES`].
    fn create(&mut self) -> impl Future<Output = Self::Store>;

    /// Everything the store keeps, in lines: also what no method shows. Equal contents give equal lines.
    fn contents(&mut self, store: &Self::Store) -> impl Future<Output = Vec<String>>;

    /// Runs `step` on the store made last, and gives the stores that are found after crashes at as many moments of it
    /// as can be told apart; at least one before and one after the commit.
    fn crash(&mut self, store: Self::Store, step: &Step) -> impl Future<Output = Crashed<Self::Store>>;
}

/// The stores found after crashes of one step.
#[derive(Debug)]
pub struct Crashed<S> {
    /// Crashed before the commit, also in the middle of it.
    pub before: Vec<S>,
    /// Crashed after the commit, with or without somebody who knows.
    pub after: Vec<S>,
}

/// One atomic step of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// [`LocalStore::write`].
    Write(Vec<LocalChange>),
    /// [`LocalStore::begin_push`].
    BeginPush,
    /// [`LocalStore::exchange`].
    Exchange(Exchange),
    /// [`LocalStore::begin_pull`].
    BeginPull(PullScope),
    /// [`LocalStore::apply_pages`].
    ApplyPages(PullBatch),
    /// [`LocalStore::finish_pull`].
    FinishPull(PullEnd),
    /// [`LocalStore::reset_token`].
    ResetToken {
        /// The table.
        table: &'static TableSchema,
        /// One query id, or all of the table.
        query_id: Option<&'static str>,
    },
    /// [`LocalStore::purge`].
    Purge(Purge),
    /// [`LocalStore::resolve`].
    Resolve {
        /// The operation.
        key: crate::operation::OperationKey,
        /// The choice.
        resolution: Resolution,
        /// Who chose.
        by: Resolver,
    },
    /// [`LocalStore::claim`].
    Claim {
        /// The new owner.
        owner: Owner,
        /// What becomes of another's operations.
        answer: OtherAccount,
    },
    /// [`LocalStore::set_setting`].
    SetSetting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: Option<&'static str>,
    },
}

impl Step {
    /// Runs the step.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn run<S: LocalStore>(&self, store: &S) -> Result<()> {
        match self.clone() {
            Self::Write(changes) => store.write(changes).await,
            Self::BeginPush => store.begin_push().await.map(drop),
            Self::Exchange(exchange) => store.exchange(exchange).await.map(drop),
            Self::BeginPull(scope) => store.begin_pull(scope).await.map(drop),
            Self::ApplyPages(batch) => store.apply_pages(batch).await.map(drop),
            Self::FinishPull(end) => store.finish_pull(end).await.map(drop),
            Self::ResetToken { table, query_id } => store.reset_token(table, query_id).await,
            Self::Purge(purge) => store.purge(purge).await.map(drop),
            Self::Resolve { key, resolution, by } => store.resolve(key, resolution, by).await,
            Self::Claim { owner, answer } => store.claim(owner, answer).await.map(drop),
            Self::SetSetting { key, value } => store.set_setting(key, value).await,
        }
    }

    /// Whether another process can run it in place of the one that crashed. What a mirroring pull saw is known to
    /// nobody then: the pull starts anew.
    fn is_repeatable(&self) -> bool {
        !matches!(self, Self::FinishPull(PullEnd { mirror: Some(_), .. }))
    }
}

macro_rules! scenarios {
    ($($module:ident { $($scenario:ident),* $(,)? })*) => {
        /// The names of all scenarios.
        pub const SCENARIOS: &[&str] = &[$($(stringify!($scenario)),*),*];

        /// Brings a new, empty store to where the scenario's step is next.
        ///
        /// # Panics
        ///
        /// When the store does not do what the scenario needs, or `scenario` is none of [`SCENARIOS`].
        pub async fn prepare<S: LocalStore>(scenario: &str, store: S) -> (S, Step) {
            let probe = Probe::new(store);
            let step = match scenario {
                $($(stringify!($scenario) => Box::pin($module::$scenario(&probe)).await,)*)*
                unknown => panic!("the suite has no scenario {unknown}"),
            };
            (probe.store, step)
        }
    };
}

scenarios! {
    writes {
        z_01_an_insert,
        z_01_the_first_update_of_a_row,
        z_01_a_delete,
        z_01_a_group_of_changes,
        x_03_an_insert_taken_back,
        x_04_an_insert_of_unknown_outcome_becomes_a_delete,
        x_06_an_insert_over_a_foreign_row_taken_back,
        x_08_an_update_becomes_a_delete,
        x_09_a_deletion_taken_back,
        x_14_a_change_of_a_failed_operation,
        f_04_an_update_during_the_flight,
        f_05_a_delete_during_the_flight,
        f_06_an_insert_while_the_delete_is_in_flight,
        w_09_an_undelete,
        w_09_an_undelete_of_an_edited_row,
        settings,
        settings_removed,
    }
    pushes {
        p_07_the_start_of_a_push,
        p_27_the_start_of_a_push_after_errors,
        f_01_operations_are_marked,
        f_01_an_uncertain_operation_is_marked_again,
        r_2_an_uncertain_insert_is_marked_as_a_delete,
        x_15_an_update_that_changes_nothing,
        f_03_an_insert_is_acknowledged,
        f_03_an_update_is_acknowledged,
        f_03_an_answer_without_a_row,
        f_03_an_answer_marked_deleted,
        f_03_a_delete_is_acknowledged,
        f_04_an_edited_row_is_acknowledged,
        f_05_a_deleted_row_is_acknowledged,
        f_06_a_row_inserted_again_is_acknowledged,
        w_09_a_revival_is_acknowledged,
        w_09_a_revival_is_refused,
        f_07_a_refusal,
        f_07_a_refused_insert_deleted_meanwhile,
        f_07_a_refused_update_deleted_meanwhile,
        f_07_a_refused_delete_inserted_meanwhile,
        x_06_an_insert_meets_a_foreign_row,
        x_06_a_foreign_row_is_left,
        k_20_a_conflict,
        k_20_a_conflict_of_a_delete,
        k_20_a_conflict_without_a_row,
        k_20_a_deleted_row,
        r_2_an_unknown_outcome,
        r_2_a_lost_answer_and_the_next_mark,
        r_2_a_remainder_is_taken_with_its_answer,
        r_8_an_unsent_operation,
        r_8_an_unsent_operation_that_had_failed,
        r_8_an_unsent_repetition,
        r_8_an_unsent_insert_deleted_meanwhile,
        r_8_outcomes_and_marks_together,
        k_10_a_handler_keeps_the_local_row,
        k_10_a_handler_merges,
        k_09_a_handler_takes_the_servers_row,
        k_08_a_handler_stores_a_row,
        k_11_a_handler_changes_the_kind,
        p_29_a_handler_parks,
        k_12_a_handler_decides_about_a_row_edited_meanwhile,
        a_handler_leaves_the_conflict,
    }
    pulls {
        l_08_the_start_of_a_pull_of_another_query,
        r_12_the_start_of_a_full_pull,
        l_24_the_start_of_a_pull_tries_the_quarantine,
        l_25_pages_with_their_token,
        l_25_a_row_of_every_fate,
        l_14_a_copy_beside_an_operation,
        l_24_a_row_into_the_quarantine,
        x_06_rows_read_by_id,
        r_12_a_row_that_left,
        r_11_a_refill_of_known_versions,
        t_05_the_end_of_a_pull,
        s_15_the_end_of_a_pull_tries_the_quarantine,
        l_13_the_end_of_a_mirroring_pull,
        t_06_a_token_is_reset,
        t_06_all_tokens_are_reset,
        g_12_a_purge_of_some_rows,
        g_12_a_purge_that_keeps_tokens,
        g_12_a_purge_by_force,
        g_06_a_purge_of_some_rows_by_force,
        g_06_a_purge_of_a_queued_delete,
    }
    decisions {
        k_10_the_local_row_is_kept,
        k_15_a_deleted_row_is_revived,
        k_10_a_merge,
        k_08_the_servers_row_is_taken,
        k_09_the_servers_deletion_is_taken,
        k_09_an_unknown_row_is_taken,
        k_08_a_row_is_stored,
        k_11_an_insert_becomes_an_update,
        k_11_an_update_becomes_an_insert,
        k_11_an_update_becomes_a_delete,
        k_11_a_delete_becomes_an_update,
        r_1_the_local_row_is_kept_before_the_outcome_is_known,
        r_1_the_servers_row_is_taken_before_the_outcome_is_known,
        p_29_an_operation_is_parked,
        p_29_a_pulled_conflict_is_parked,
        p_29_parking_ends,
        k_20_a_pulled_conflict_is_resolved,
        c_12_the_first_owner,
        c_12_another_owner_discards,
        c_12_another_owner_adopts,
    }
}

/// Everything that can be seen of a store, in lines.
#[derive(Debug, PartialEq)]
struct View {
    contents: Vec<String>,
    shown: Vec<String>,
}

impl View {
    async fn of<C: Crash>(harness: &mut C, store: &C::Store) -> Self {
        Self { contents: harness.contents(store).await, shown: shown(store).await }
    }

    fn lines(&self) -> impl Iterator<Item = &String> {
        self.contents.iter().chain(&self.shown)
    }

    /// Panics with the lines that differ.
    fn assert_is(&self, expected: &Self, what: &dyn fmt::Display) {
        if self == expected {
            return;
        }
        let missing = |from: &Self, of: &Self| -> Vec<String> {
            of.lines().filter(|line| !from.lines().any(|other| other == *line)).cloned().collect()
        };
        panic!(
            "{what}: the store is not as it should be\nwrong:   {:#?}\nmissing: {:#?}",
            missing(expected, self),
            missing(self, expected)
        );
    }
}

/// What the methods of a store show, without changing it.
async fn shown<S: LocalStore>(store: &S) -> Vec<String> {
    const READ: &str = "a read";
    let mut lines = Vec::new();
    for table in TABLES {
        for row in store.select(Predicate::all(table)).await.expect(READ) {
            lines.push(format!("{}: {row:?}", table.name));
        }
    }
    for operation in store.operations(None).await.expect(READ) {
        let table = schema(operation.key.table);
        let shadow = store.shadow(table, &operation.key.item_id).await.expect(READ);
        lines.push(format!("{operation:?} {shadow:?}"));
    }
    lines.extend(store.errors(None).await.expect(READ).iter().map(|error| format!("{error:?}")));
    lines.extend(store.conflicts(None).await.expect(READ).iter().map(|open| format!("{open:?}")));
    lines.extend(store.quarantine(None).await.expect(READ).iter().map(|row| format!("{row:?}")));
    lines.extend(store.resolutions().await.expect(READ).iter().map(|record| format!("{record:?}")));
    lines.push(format!("{:?}", store.owner().await.expect(READ)));
    lines.push(format!("{:?}", store.setting(SETTING).await.expect(READ)));
    lines
}

/// The setting of the scenarios.
const SETTING: &str = "crash";

/// Crashes the step of a scenario and looks at what is found.
///
/// # Panics
///
/// When a crash before the commit changed anything, one after it lost anything, or the store cannot go on.
pub async fn check<C: Crash>(scenario: &str, mut harness: C) {
    let (store, step) = fresh(scenario, &mut harness).await;
    let before = View::of(&mut harness, &store).await;
    step.run(&store).await.expect("the step without a crash");
    let after = View::of(&mut harness, &store).await;
    assert_ne!(before, after, "{scenario}: the step changes something");
    drop(store);

    let (store, step) = fresh(scenario, &mut harness).await;
    let Crashed { before: uncommitted, after: committed } = harness.crash(store, &step).await;
    assert!(!uncommitted.is_empty() && !committed.is_empty(), "{scenario}: no crash");
    for (number, store) in uncommitted.iter().enumerate() {
        let what = format!("{scenario}, crash {number} before the commit");
        View::of(&mut harness, store).await.assert_is(&before, &what);
        if step.is_repeatable() {
            step.run(store).await.unwrap_or_else(|error| panic!("{what}, done again: {error:?}"));
            View::of(&mut harness, store).await.assert_is(&after, &format!("{what}, done again"));
        }
        go_on(store).await;
    }
    for (number, store) in committed.iter().enumerate() {
        let what = format!("{scenario}, crash {number} after the commit");
        View::of(&mut harness, store).await.assert_is(&after, &what);
        go_on(store).await;
    }
    drop((uncommitted, committed));

    for polls in 1..3 {
        let (store, step) = fresh(scenario, &mut harness).await;
        poll_and_drop(step.run(&store), polls);
        // What was begun for the dropped future is done before any later step.
        store.set_setting("another", None).await.expect("a later step");
        let view = View::of(&mut harness, &store).await;
        if view != after {
            view.assert_is(&before, &format!("{scenario}, dropped after {polls} polls"));
        }
        go_on(&store).await;
    }
}

async fn fresh<C: Crash>(scenario: &str, harness: &mut C) -> (C::Store, Step) {
    let store = harness.create().await;
    prepare(scenario, store).await
}

/// Polls a future at most so often, then drops it.
fn poll_and_drop<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
}

/// A push that the server acknowledges, of parked operations as well, and a pull of one row of each table: nothing is
/// left to do.
///
/// # Panics
///
/// When anything is left.
pub async fn go_on<S: LocalStore>(store: &S) {
    const ROUNDS: usize = 8;
    for error in store.errors(None).await.expect("a read").into_iter().filter(|error| error.parked) {
        store.resolve(error.key, Resolution::Unpark, Resolver::App).await.expect("parking ends");
    }
    let session = store.begin_push().await.expect("a push starts");
    let mut settlements = Vec::new();
    for round in 0..=ROUNDS {
        let take = Some(Take::first(100));
        let exchanged = store.exchange(Exchange { session, settlements, take }).await.expect("an exchange");
        settlements = exchanged
            .taken
            .into_iter()
            .map(|sent| {
                let row = Row {
                    version: Some(format!("round {round}")),
                    ..Row::empty(sent.table, &sent.key.item_id)
                };
                let row = Some(row).filter(|_| sent.sent != SentKind::Delete);
                Settlement { key: sent.key, outcome: Outcome::Acknowledged { row } }
            })
            .collect();
        if settlements.is_empty() {
            break;
        }
        assert!(round < ROUNDS, "the push comes to no end: {settlements:?}");
    }
    assert_eq!(store.operations(None).await.expect("a read"), [], "everything was sent");
    assert_eq!(store.errors(None).await.expect("a read"), []);
    for table in TABLES {
        let text = table.columns[0].name;
        let body = format!("[{{\"id\":\"later\",\"{text}\":\"later\",\"version\":\"v9\"}}]");
        let of_query = || Some(query("later"));
        let until = token("2024-06-01T00:00:00Z");
        store.begin_pull(scope(table, of_query())).await.expect("a pull starts");
        let pages = PullBatch { query: of_query(), token: Some(until.clone()), ..batch(table, &[&body]) };
        assert_eq!(store.apply_pages(pages).await.expect("a page").added, 1);
        let end =
            PullEnd { scope: scope(table, of_query()), server_date: None, mirror: None, refilled: false };
        store.finish_pull(end).await.expect("a pull ends");
        assert!(store.get(table, "later").await.expect("a read").is_some());
        let next = store.begin_pull(scope(table, of_query())).await.expect("a pull starts");
        assert_eq!(next.token, Some(until));
    }
}

fn schema(name: &str) -> &'static TableSchema {
    TABLES.into_iter().find(|table| table.name == name).expect("a table of the suite")
}
