//! A push's steps: settling outcomes and taking operations (behaviour 17.2).

use super::settle;
use super::state::{Entry, Sent, State, TableState};
use crate::entity::TableSchema;
use crate::error::Result;
use crate::operation::{OperationKey, OperationKind, OperationState, Outgoing, SentKind, ServerMayHold};
use crate::row::Row;
use crate::store::{Exchange, Exchanged, PushSession, Take, UpdateBody};

pub(super) fn begin(state: &mut State) -> PushSession {
    state.pushes += 1;
    let bound = state.sequence;
    let queued = state.all().map(|table| table.entries.len() as u64).sum();
    PushSession { push: state.pushes, bound, queued }
}

pub(super) fn run(state: &mut State, exchange: Exchange) -> Result<Exchanged> {
    let mut done = Exchanged::default();
    for settlement in exchange.settlements {
        if settle::settle(state, settlement)? {
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
    let mut barrier = take.barrier;
    for (schema, id) in candidates(state, session, take) {
        if done.taken.len() >= take.limit {
            break;
        }
        let table = state.table_mut(schema)?;
        if is_unneeded(table, &id) {
            complete_unneeded(table, &id);
            done.unneeded += 1;
            continue;
        }
        let Some(entry) = table.entries.get(&id) else { continue };
        let request = (schema.name, next_request(entry));
        // P-05: what runs side by side is of one table and one kind.
        if *barrier.get_or_insert(request) != request {
            break;
        }
        done.taken.extend(take_one(table, &id, session.push, take.update_body));
    }
    Ok(())
}

/// Tables and ids of the operations this push may still take, by sequence.
fn candidates(state: &State, session: PushSession, take: &Take) -> Vec<(&'static TableSchema, String)> {
    let mut found: Vec<(i64, &'static TableSchema, String)> = state
        .all()
        .filter(|table| take.tables.is_empty() || take.tables.contains(&table.schema.name))
        .flat_map(|table| table.entries.iter().map(|(id, entry)| (table.schema, id, entry)))
        .filter(|(_, _, entry)| entry.seq <= session.bound && entry.taken_by != session.push)
        .map(|(schema, id, entry)| (entry.seq, schema, id.clone()))
        .collect();
    found.sort_by_key(|(seq, _, _)| *seq);
    found.into_iter().map(|(_, schema, id)| (schema, id)).collect()
}

/// An update that leaves the server's row as it is known: what the app changed is as it was, or as
/// the server already has it.
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
        && table.schema.sent_columns().all(|(index, _)| {
            row.values[index] == base.values[index]
                || newer.is_some_and(|newer| row.values[index] == newer.values[index])
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

fn take_one(table: &mut TableState, id: &str, push: i64, body: UpdateBody) -> Option<Outgoing> {
    let schema = table.schema;
    let request = next_request(table.entries.get(id)?);
    let base = table.bases.get(id).cloned();
    let current = table.rows.get(id).cloned();
    let entry = table.entries.get_mut(id)?;
    let uncertain = entry.state == OperationState::Attempted;
    match &mut entry.sent {
        // The form that may have arrived goes out again; what changed since is the remainder.
        Some(sent) if sent.kind == request => sent.before = None,
        sent => {
            let row = match entry.kind {
                OperationKind::Delete => entry.kept.clone(),
                _ => current,
            }?;
            let changed_only = request == SentKind::Update && body == UpdateBody::Changed;
            let columns = columns_to_send(schema, &row, base.as_ref().filter(|_| changed_only));
            let before = (!uncertain).then_some((entry.state, entry.server_may_hold));
            *sent = Some(Sent { kind: request, revision: entry.revision, row, columns, before });
            entry.tail_seq = None;
            if uncertain {
                // The version an unknown answer led to is not known either.
                entry.base_version = None;
            }
        }
    }
    // a row of somebody else stays theirs, whatever becomes of a further attempt.
    if matches!(request, SentKind::Insert | SentKind::Undelete)
        && entry.server_may_hold != ServerMayHold::Foreign
    {
        entry.server_may_hold = ServerMayHold::Maybe;
    }
    entry.state = OperationState::Attempted;
    entry.attempts += 1;
    entry.taken_by = push;
    let sent = entry.sent.as_ref()?;
    Some(Outgoing {
        key: OperationKey { revision: sent.revision, ..entry.key(schema, id) },
        table: schema,
        sent: request,
        uncertain,
        item: sent.item(),
        base_version: entry.base_version.clone().filter(|_| schema.versioned),
        base,
        attempts: entry.attempts,
    })
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
        let mut item = self.row.clone();
        for (value, sent) in item.values.iter_mut().zip(&self.columns) {
            if !sent {
                *value = None;
            }
        }
        item
    }
}
