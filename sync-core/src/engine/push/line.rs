//! The line of operations of one push: how far the queue was looked at, who waits for whom, who is held back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::operation::order::{Cycles, Waiting};
use crate::operation::{OperationKey, RowRef};
use crate::store::{Exchanged, Take};

/// An operation that a push did not send because of another one (P-22): of the row it belongs to, or of a row that
/// must leave it first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldOperation {
    /// The row whose operation was not sent.
    pub row: RowRef,
    /// The row whose operation must be done first: it failed in this push, is parked, is held itself, or was not part of
    /// the push.
    pub waits_for: RowRef,
    /// What it waits for in the end is parked ([`Resolution::Park`](crate::store::Resolution::Park)).
    pub for_parked: bool,
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Line {
    after: i64,
    is_exhausted: bool,
    /// Passed over or changed since; to be looked at again, by place.
    ready: BTreeSet<(i64, RowRef)>,
    /// Place, and the row waited for.
    waiting: HashMap<RowRef, (i64, RowRef)>,
    waiters: HashMap<RowRef, Vec<RowRef>>,
    /// Place, and the row that must come first.
    held: HashMap<RowRef, (i64, RowRef)>,
    cycles: Arc<Cycles>,
    /// Every waiting operation was looked at again since the last one was taken.
    is_rechecked: bool,
}

impl Line {
    /// Tells a step of the store where to go on.
    pub(super) fn fill(&mut self, take: &mut Take) {
        take.after = self.after;
        take.cycles = Arc::clone(&self.cycles);
        while take.again.len() < take.limit {
            let Some((_, row)) = self.ready.pop_first() else { break };
            take.again.push(row);
        }
    }

    /// Learns what the step looked at.
    pub(super) fn looked(&mut self, exchanged: &mut Exchanged) {
        self.after = exchanged.after;
        self.is_exhausted = exchanged.is_exhausted;
        self.is_rechecked &= exchanged.taken.is_empty();
        self.ready.extend(exchanged.left.drain(..).map(|key| (key.seq, key.row())));
        for Waiting { row, seq, on, is_over } in exchanged.waiting.drain(..) {
            if is_over || self.held.contains_key(&on) {
                self.hold(row, seq, on);
            } else {
                self.waiters.entry(on.clone()).or_default().push(row.clone());
                self.waiting.insert(row, (seq, on));
            }
        }
    }

    /// The operation may be in the queue again once its outcome is stored.
    pub(super) fn expect_back(&mut self, key: &OperationKey) {
        self.ready.insert((key.seq, key.row()));
    }

    /// The operation of this row is settled: what waits for it may go.
    pub(super) fn wake(&mut self, row: &RowRef) {
        for waiter in self.waiters.remove(row).unwrap_or_default() {
            if let Some((seq, _)) = self.waiting.remove(&waiter) {
                self.ready.insert((seq, waiter));
            }
        }
    }

    /// Nothing is under way and nothing was taken: whether another look can change that.
    pub(super) fn may_go_on(&mut self) -> bool {
        if !self.is_exhausted || !self.ready.is_empty() {
            return true;
        }
        if self.waiting.is_empty() {
            return false;
        }
        if !self.is_rechecked {
            // What was waited for may be gone, by the app's own hand.
            self.is_rechecked = true;
            self.wake_all();
            return true;
        }
        self.find_cycles()
    }

    /// What was not sent because of another operation, by place in the queue.
    /// `is_complete`: the push came to its end, so that what waits now was not sent either.
    pub(super) fn held(mut self, is_complete: bool, parked: &HashSet<RowRef>) -> Vec<HeldOperation> {
        if is_complete {
            self.held.extend(std::mem::take(&mut self.waiting));
        }
        let mut held: Vec<(i64, HeldOperation)> = self
            .held
            .iter()
            .map(|(row, (seq, waits_for))| {
                let for_parked = self.ends_at(waits_for, parked);
                (*seq, HeldOperation { row: row.clone(), waits_for: waits_for.clone(), for_parked })
            })
            .collect();
        held.sort_by_key(|(seq, _)| *seq);
        held.into_iter().map(|(_, held)| held).collect()
    }

    /// Whether what is waited for, from `row` on, ends at one of these rows.
    fn ends_at(&self, row: &RowRef, rows: &HashSet<RowRef>) -> bool {
        if rows.is_empty() {
            return false;
        }
        let mut row = row;
        // No chain is longer than the list; one that goes round ends nowhere.
        for _ in 0..=self.held.len() {
            if rows.contains(row) {
                return true;
            }
            match self.held.get(row) {
                Some((_, on)) => row = on,
                None => return false,
            }
        }
        false
    }

    fn hold(&mut self, row: RowRef, seq: i64, on: RowRef) {
        let mut chain = vec![(row, seq, on)];
        while let Some((row, seq, on)) = chain.pop() {
            self.waiting.remove(&row);
            for waiter in self.waiters.remove(&row).unwrap_or_default() {
                if let Some((seq, _)) = self.waiting.get(&waiter) {
                    chain.push((waiter, *seq, row.clone()));
                }
            }
            self.held.insert(row, (seq, on));
        }
    }

    fn wake_all(&mut self) {
        self.waiters.clear();
        self.ready.extend(self.waiting.drain().map(|(row, (seq, _))| (seq, row)));
    }

    /// Follows who waits for whom; each circle found goes in queue order from now on.
    fn find_cycles(&mut self) -> bool {
        let mut cycles = (*self.cycles).clone();
        let mut seen: HashMap<&RowRef, usize> = HashMap::new();
        let mut found = false;
        for (walk, start) in self.waiting.keys().enumerate() {
            let mut path: Vec<&RowRef> = Vec::new();
            let mut row = start;
            while let Some((_, on)) = self.waiting.get(row) {
                match seen.get(row) {
                    Some(earlier) if *earlier == walk => {
                        let entry = path.iter().position(|passed| *passed == row).unwrap_or(0);
                        cycles.add(path[entry..].iter().map(|row| (*row).clone()));
                        found = true;
                        break;
                    }
                    Some(_) => break,
                    None => {
                        seen.insert(row, walk);
                        path.push(row);
                        row = on;
                    }
                }
            }
        }
        if found {
            self.cycles = Arc::new(cycles);
            self.is_rechecked = false;
            self.wake_all();
        }
        found
    }
}
