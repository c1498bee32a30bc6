//! A push's steps: settling outcomes and taking operations (behaviour 17.2).

use std::sync::Arc;

use super::settle;
use super::state::{Entry, Sent, State, TableState};
use crate::entity::{MergeRule, TableSchema};
use crate::error::Result;
use crate::operation::order::{self, Candidate, Found, TakeQueue};
use crate::operation::{
    OperationKey, OperationKind, OperationState, Outgoing, RowRef, SentKind, ServerMayHold, id_in,
};
use crate::row::Row;
use crate::store::{Exchange, Exchanged, PushSession, Take, UpdateBody};

pub(super) fn begin(state: &mut State) -> PushSession {
    state.pushes += 1;
    state.age_errors();
    let bound = state.sequence;
    let queued = state.all().map(|table| table.entries.len() as u64).sum();
    PushSession { push: state.pushes, bound, queued }
}

pub(super) fn run(state: &mut State, exchange: Exchange) -> Result<Exchanged> {
    let mut done = Exchanged::default();
    if exchange.take.is_some() {
        exchange.session.check_newest(state.pushes)?;
    }
    for settlement in exchange.settlements {
        if settle::settle(state, exchange.session, settlement)? {
            done.remainders += 1;
        }
    }
    if let Some(take) = exchange.take {
        take_next(state, exchange.session, &take, &mut done)?;
    }
    Ok(done)
}

fn take_next(state: &mut State, session: PushSession, take: &Take, done: &mut Exchanged) -> Result<()> {
    for name in &take.tables {
        state.table_named(name)?;
    }
    let relations = Arc::clone(&state.relations);
    let mut line = Line { state, session, take, unneeded: 0 };
    let taken = order::take_next(&mut line, &relations, take, done);
    done.unneeded += line.unneeded;
    taken
}

/// The queue as one push sees it.
struct Line<'s> {
    state: &'s mut State,
    session: PushSession,
    take: &'s Take,
    unneeded: u64,
}

impl Line<'_> {
    /// Whether this push may still take the operation.
    fn is_open(&self, table: &TableState, id: &str, entry: &Entry) -> bool {
        (self.take.tables.is_empty() || self.take.tables.contains(&table.schema.name))
            && !table.is_parked(id)
            && entry.seq <= self.session.bound
            && entry.taken_by != self.session.push
            && (self.take.retry_failed || entry.state != OperationState::Failed)
    }

    fn found(&self, table: &TableState, id: &str) -> Option<Found> {
        let entry = table.entries.get(id)?;
        Some(Found { kind: entry.kind, is_over: !self.is_open(table, id, entry) })
    }

    /// The operation of a row ready to be taken; `None` if it was not needed.
    fn prepare(&mut self, schema: &'static TableSchema, id: &str) -> Result<Option<Candidate<Next>>> {
        let body = self.take.update_body;
        let table = self.state.table_mut(schema)?;
        if is_unneeded(table, id) {
            complete_unneeded(table, id);
            self.unneeded += 1;
            return Ok(None);
        }
        Ok(prepare(table, id, body))
    }
}

impl TakeQueue for Line<'_> {
    type Handle = Next;

    fn next(&mut self, after: i64) -> Result<Option<Candidate<Next>>> {
        let mut open: Vec<(i64, &'static TableSchema, String)> = self
            .state
            .all()
            .flat_map(|table| table.entries.iter().map(move |(id, entry)| (table, id, entry)))
            .filter(|(table, id, entry)| entry.seq > after && self.is_open(table, id, entry))
            .map(|(table, id, entry)| (entry.seq, table.schema, id.clone()))
            .collect();
        open.sort_by_key(|(seq, _, _)| *seq);
        for (_, schema, id) in open {
            if let Some(candidate) = self.prepare(schema, &id)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn again(&mut self, row: &RowRef) -> Result<Option<Candidate<Next>>> {
        let table = self.state.table_named(row.table)?;
        let entry = table.entries.get(&row.item_id);
        let is_open = entry.is_some_and(|entry| self.is_open(table, &row.item_id, entry));
        let schema = table.schema;
        if is_open { self.prepare(schema, &row.item_id) } else { Ok(None) }
    }

    fn find(&mut self, row: &RowRef) -> Result<Option<Found>> {
        Ok(self.found(self.state.table_named(row.table)?, &row.item_id))
    }

    fn leaving(
        &mut self,
        child: &'static TableSchema,
        column: usize,
        id: &str,
        is_ignored: &dyn Fn(&RowRef) -> bool,
    ) -> Result<Option<(RowRef, Found)>> {
        let table = self.state.table(child)?;
        let is_id = |row: &Row| id_in(row, column).as_deref() == Some(id);
        let mut leaving: Vec<(i64, RowRef)> = table
            .entries
            .iter()
            .filter(|(item_id, entry)| {
                table.bases.get(*item_id).is_some_and(is_id)
                    || entry.sent.as_ref().is_some_and(|sent| is_id(&sent.row))
                    || entry.kept.as_ref().is_some_and(is_id)
            })
            .filter(|(item_id, entry)| {
                entry.kind == OperationKind::Delete || table.rows.get(*item_id).is_some_and(|row| !is_id(row))
            })
            .map(|(item_id, entry)| (entry.seq, RowRef { table: child.name, item_id: item_id.clone() }))
            .collect();
        leaving.sort_by_key(|(seq, _)| *seq);
        let last = leaving.into_iter().rev().map(|(_, row)| row).find(|row| !is_ignored(row));
        Ok(last.and_then(|row| Some((row.clone(), self.found(table, &row.item_id)?))))
    }

    fn take(&mut self, candidate: Candidate<Next>) -> Result<Outgoing> {
        let outgoing = candidate.outgoing;
        let table = self.state.table_mut(outgoing.table)?;
        if let Some(entry) = table.entries.get_mut(&outgoing.key.item_id) {
            candidate.handle.mark(entry, outgoing.sent);
            entry.taken_by = self.session.push;
        }
        Ok(outgoing)
    }
}

/// An update that leaves the server's row as it is known: what the app changed is as it was, or as
/// the server already has it. Equal sums of two devices are two changes.
fn is_unneeded(table: &TableState, id: &str) -> bool {
    let (Some(entry), Some(row), Some(base)) =
        (table.entries.get(id), table.rows.get(id), table.bases.get(id))
    else {
        return false;
    };
    let newer = table.newer.get(id).filter(|newer| !newer.deleted);
    entry.kind == OperationKind::Update
        && entry.state == OperationState::Pending
        && !base.deleted
        && table.schema.sent_columns().all(|(index, column)| {
            row.values[index] == base.values[index]
                || (column.merge != Some(MergeRule::Add)
                    && newer.is_some_and(|newer| row.values[index] == newer.values[index]))
        })
}

/// The row is clean again, as the server has it.
fn complete_unneeded(table: &mut TableState, id: &str) {
    if let Some(server) = table.newest(id).cloned() {
        table.restore(id, &server);
    }
    table.forget_operation(id);
}

/// What the operation would be sent as (R2).
fn next_request(entry: &Entry) -> SentKind {
    match (&entry.sent, entry.kind) {
        // An insert that may have arrived and is not wanted any more: deleting settles both.
        (Some(Sent { kind: SentKind::Insert | SentKind::Undelete, .. }), OperationKind::Delete) => {
            SentKind::Delete
        }
        (Some(sent), _) => sent.kind,
        (None, OperationKind::Insert) if entry.base_version.is_some() => SentKind::Undelete,
        (None, OperationKind::Insert) => SentKind::Insert,
        (None, OperationKind::Update) => SentKind::Update,
        (None, OperationKind::Delete) => SentKind::Delete,
    }
}

/// What taking an operation makes of its entry.
struct Next {
    /// `None`: the form that may have arrived goes out again.
    sent: Option<Sent>,
    /// The version an unknown answer led to is not known.
    forgets_version: bool,
}

impl Next {
    fn mark(self, entry: &mut Entry, request: SentKind) {
        match self.sent {
            Some(sent) => {
                entry.sent = Some(sent);
                entry.tail_seq = None;
            }
            None => {
                if let Some(sent) = &mut entry.sent {
                    sent.before = None;
                }
            }
        }
        if self.forgets_version {
            entry.base_version = None;
        }
        // a row of somebody else stays theirs, whatever becomes of a further attempt.
        if matches!(request, SentKind::Insert | SentKind::Undelete)
            && entry.server_may_hold != ServerMayHold::Foreign
        {
            entry.server_may_hold = ServerMayHold::Maybe;
        }
        entry.state = OperationState::Attempted;
        entry.attempts += 1;
    }
}

/// What the operation of a row would send.
fn prepare(table: &TableState, id: &str, body: UpdateBody) -> Option<Candidate<Next>> {
    let schema = table.schema;
    let entry = table.entries.get(id)?;
    let request = next_request(entry);
    let base = table.bases.get(id).cloned();
    let uncertain = entry.state == OperationState::Attempted;
    let repeated = entry.sent.as_ref().filter(|sent| sent.kind == request);
    let sent = match repeated {
        Some(_) => None,
        None => {
            let row = match (&entry.sent, entry.kind) {
                // What the server perhaps holds.
                (Some(earlier), OperationKind::Delete) => Some(earlier.row.clone()),
                (None, OperationKind::Delete) => entry.kept.clone(),
                _ => table.rows.get(id).cloned(),
            }?;
            let changed_only = request == SentKind::Update && body == UpdateBody::Changed;
            let columns = columns_to_send(schema, &row, base.as_ref().filter(|_| changed_only));
            let before = (!uncertain).then_some((entry.state, entry.server_may_hold));
            Some(Sent { kind: request, revision: entry.revision, row, columns, before })
        }
    };
    let forgets_version = sent.is_some() && uncertain;
    let sending = sent.as_ref().or(repeated)?;
    let (item, earlier) = match (request, &entry.kept) {
        (SentKind::Delete, Some(kept)) if uncertain => {
            let all = columns_to_send(schema, kept, None);
            (content(kept, &all), Some(sending.item()))
        }
        _ => (sending.item(), None),
    };
    let outgoing = Outgoing {
        key: OperationKey { revision: sending.revision, ..entry.key(schema, id) },
        table: schema,
        sent: request,
        uncertain,
        item,
        earlier,
        base_version: entry.base_version.clone().filter(|_| schema.versioned && !forgets_version),
        base,
        attempts: entry.attempts + 1,
        may_have_arrived: match entry.state {
            OperationState::Attempted => true,
            OperationState::Pending => entry.attempts > 0,
            OperationState::Failed => table.errors.get(id).is_none_or(|error| error.uncertain),
        },
    };
    Some(Candidate { outgoing, handle: Next { sent, forgets_version } })
}

/// The sent columns; of an update, those that differ from the base.
fn columns_to_send(schema: &TableSchema, row: &Row, base: Option<&Row>) -> Vec<bool> {
    schema
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            !column.local && base.is_none_or(|base| base.values[index] != row.values[index])
        })
        .collect()
}

impl Sent {
    /// The row with only the sent columns.
    fn item(&self) -> Row {
        content(&self.row, &self.columns)
    }
}

/// The row with only these columns.
fn content(row: &Row, columns: &[bool]) -> Row {
    let mut item = row.clone();
    for (value, sent) in item.values.iter_mut().zip(columns) {
        if !sent {
            *value = None;
        }
    }
    item
}
