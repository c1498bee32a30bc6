//! The order in which a push takes operations (behaviour P-04, P-05, P-21 to P-23, X-17).
//!
//! Operations go in the order of the queue. Declared relations change it where a server could refuse the result:
//!
//! - An insert or update that mentions a row waits for the insert of that row.
//! - A delete waits for the operations by which other rows stop mentioning the row: their deletes, and updates
//!   that change the column.
//! - Two rows of which one mentions the other are never under way at the same time.
//!
//! An operation that waits is passed over, and looked at again when the operation it waits for is settled; the push
//! keeps that list ([`Take::again`]). If that operation failed, or is none of this push, the waiting one is held
//! back. Operations that wait for each other in a circle go in queue order ([`Cycles`]).
//!
//! Besides, what is under way at the same time is of one table and one request, or of related tables with one request
//! each: where nothing is declared, a change of table or request might be a dependency that nobody told us of.
//!
//! The decision is made here for every store; a store gives the lookups ([`TakeQueue`]). Each is by an index: a step
//! costs time by what it takes and passes over, and not by the length of the queue.

use std::collections::HashMap;

use super::relations::{InFlight, Relations, RowRef};
use super::{OperationKind, Outgoing, SentKind};
use crate::entity::TableSchema;
use crate::error::Result;
use crate::store::{Exchanged, Take};

/// Most operations of the queue that one step looks at beyond those it takes.
const LOOKAHEAD: usize = 256;

/// An operation that waits for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its row.
    pub row: RowRef,
    /// Its place in the queue.
    pub seq: i64,
    /// The row whose operation it waits for.
    pub on: RowRef,
    /// Nothing more happens to that operation in this push.
    pub is_over: bool,
}

/// Rows whose operations wait for each other; among those of one circle the queue alone gives the order.
#[derive(Clone, Debug, Default)]
pub struct Cycles {
    members: HashMap<RowRef, usize>,
    count: usize,
}

impl Cycles {
    /// Notes a circle; circles that share a row become one.
    pub fn add(&mut self, rows: impl IntoIterator<Item = RowRef>) {
        self.count += 1;
        for row in rows {
            if let Some(old) = self.members.insert(row, self.count) {
                let joined = self.members.values_mut().filter(|number| **number == old);
                joined.for_each(|number| *number = self.count);
            }
        }
    }

    /// Whether the rows are of one circle.
    pub fn are_joined(&self, left: &RowRef, right: &RowRef) -> bool {
        self.members.get(left).is_some_and(|number| self.members.get(right) == Some(number))
    }
}

/// An operation that could be taken next, and what it would send. Nothing is stored yet.
#[derive(Debug)]
pub struct Candidate<H> {
    /// What would be sent.
    pub outgoing: Outgoing,
    /// What the store needs to take it.
    pub handle: H,
}

/// What matters of the operation of a row that another one may wait for.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its kind.
    pub kind: OperationKind,
    /// This push has taken it already, or will not take it.
    pub is_over: bool,
}

/// The lookups and the one change of [`take_next`].
pub trait TakeQueue {
    /// What the store needs to take a candidate.
    type Handle;

    /// The first operation behind the sequence number `after` that this push may take, after completing updates
    /// that change nothing.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn next(&mut self, after: i64) -> Result<Option<Candidate<Self::Handle>>>;

    /// The operation of this row, if this push may take it and it is needed.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn again(&mut self, row: &RowRef) -> Result<Option<Candidate<Self::Handle>>>;

    /// The operation of this row.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn find(&mut self, row: &RowRef) -> Result<Option<Found>>;

    /// Of the operations by which rows of `child` stop mentioning the row `id` in a column, the last in the queue:
    /// deletes, and updates to another value, of rows that mention it on the server or in a request whose outcome is
    /// unknown. Those for which `is_ignored` holds do not count.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn leaving(
        &mut self,
        child: &'static TableSchema,
        column: usize,
        id: &str,
        is_ignored: &dyn Fn(&RowRef) -> bool,
    ) -> Result<Option<(RowRef, Found)>>;

    /// Marks the operation attempted with what is sent.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn take(&mut self, candidate: Candidate<Self::Handle>) -> Result<Outgoing>;
}

/// Takes the next operations of a push.
///
/// # Errors
///
/// Those of the store.
pub fn take_next<Q: TakeQueue>(
    queue: &mut Q,
    relations: &Relations,
    take: &Take,
    done: &mut Exchanged,
) -> Result<()> {
    let mut step = Step { queue, relations, take, in_flight: take.in_flight.clone() };
    done.after = take.after;
    let mut again = Vec::new();
    for row in &take.again {
        // What stands further behind comes in its turn.
        let candidate = step.queue.again(row)?;
        again.extend(candidate.filter(|candidate| candidate.outgoing.key.seq <= take.after));
    }
    again.sort_by_key(|candidate| candidate.outgoing.key.seq);
    let mut again = again.into_iter();
    while let Some(candidate) = again.next() {
        let key = candidate.outgoing.key.clone();
        if done.taken.len() >= take.limit || !step.consider(candidate, done)? {
            done.left.push(key);
            done.left.extend(again.map(|candidate| candidate.outgoing.key));
            return Ok(());
        }
    }
    let passed_over = done.waiting.len();
    while done.taken.len() < take.limit && done.waiting.len() - passed_over < LOOKAHEAD {
        let Some(candidate) = step.queue.next(done.after)? else {
            done.is_exhausted = true;
            break;
        };
        let seq = candidate.outgoing.key.seq;
        if !step.consider(candidate, done)? {
            break;
        }
        done.after = seq;
    }
    Ok(())
}

struct Step<'a, Q> {
    queue: &'a mut Q,
    relations: &'a Relations,
    take: &'a Take,
    in_flight: Vec<InFlight>,
}

impl<Q: TakeQueue> Step<'_, Q> {
    /// Takes the candidate or notes what it waits for; false if it must wait for everything under way.
    fn consider(&mut self, candidate: Candidate<Q::Handle>, done: &mut Exchanged) -> Result<bool> {
        let operation = &candidate.outgoing;
        if let Some((on, is_over)) = self.waits_for(operation)? {
            let row = operation.key.row();
            done.waiting.push(Waiting { row, seq: operation.key.seq, on, is_over });
            return Ok(true);
        }
        if !self.in_flight.iter().all(|other| self.may_go_beside(operation, other)) {
            return Ok(false);
        }
        self.in_flight.push(self.relations.in_flight(operation));
        done.taken.push(self.queue.take(candidate)?);
        Ok(true)
    }

    /// P-05: what runs side by side is of one table and one request, or of related tables.
    fn may_go_beside(&self, operation: &Outgoing, other: &InFlight) -> bool {
        if operation.key.table == other.row.table {
            operation.sent == other.sent
        } else {
            self.relations.are_related(operation.key.table, other.row.table)
        }
    }

    /// The row whose operation comes first, and whether that operation is over for this push.
    fn waits_for(&mut self, operation: &Outgoing) -> Result<Option<(RowRef, bool)>> {
        let row = operation.key.row();
        let mentioned = self.relations.in_flight(operation).mentions;
        let under_way = self.in_flight.iter().find(|other| {
            other.row != row && (mentioned.contains(&other.row) || other.mentions.contains(&row))
        });
        if let Some(other) = under_way {
            return Ok(Some((other.row.clone(), false)));
        }
        if operation.sent == SentKind::Delete {
            self.left_by(&row)
        } else {
            self.inserted_first(operation, &row)
        }
    }

    fn inserted_first(&mut self, operation: &Outgoing, row: &RowRef) -> Result<Option<(RowRef, bool)>> {
        for parent in self.relations.mentions(row.table, &operation.item) {
            if parent == *row || self.take.cycles.are_joined(row, &parent) {
                continue;
            }
            if let Some(found) = self.queue.find(&parent)?.filter(|found| found.kind == OperationKind::Insert)
            {
                return Ok(Some((parent, found.is_over)));
            }
        }
        Ok(None)
    }

    fn left_by(&mut self, row: &RowRef) -> Result<Option<(RowRef, bool)>> {
        let cycles = &self.take.cycles;
        let is_ignored = |other: &RowRef| other == row || cycles.are_joined(row, other);
        for child in self.relations.children(row.table) {
            let leaving = self.queue.leaving(child.table, child.column, &row.item_id, &is_ignored)?;
            if let Some((other, found)) = leaving {
                return Ok(Some((other, found.is_over)));
            }
        }
        Ok(None)
    }
}
