//! What an outcome makes of an operation (behaviour F-03 to F-07, R1, R2).

use super::resolve;
use super::state::{Quarantined, Sent, State, TableState};
use crate::check;
use crate::error::Result;
use crate::operation::{
    FailureClass, OperationError, OperationKey, OperationKind, OperationState, SentKind, ServerMayHold,
    is_whole_version, merge_answer, shows_only, with_version,
};
use crate::page::is_of_version;
use crate::row::Row;
use crate::store::{Failure, Outcome, PushSession, Resolution, Resolver, Settlement};

/// Stores one outcome; true if the row had changed meanwhile and what remains is queued again.
pub(super) fn settle(state: &mut State, session: PushSession, settlement: Settlement) -> Result<bool> {
    let key = settlement.key;
    let Some(sent) = in_flight(state, session, &key)? else { return Ok(false) };
    let id = &key.item_id;
    match settlement.outcome {
        Outcome::Acknowledged { row } => return acknowledge(state, &key, &sent, row),
        Outcome::Refused(failure) => {
            let table = state.table_named_mut(key.table)?;
            let holds = held_before(table, id, &sent);
            refuse(table, id, &sent, failure, holds);
        }
        Outcome::Conflict(failure) => conflict(state.table_named_mut(key.table)?, id, &sent, failure),
        Outcome::Uncertain(failure) => {
            if let Some(failure) = failure {
                record(state.table_named_mut(key.table)?, id, &sent, failure);
            }
        }
        Outcome::Unsent => unsend(state.table_named_mut(key.table)?, id, sent),
        Outcome::Resolved { failure, resolution, by } => {
            resolved(state, &key, &sent, failure, resolution, by)?;
        }
    }
    Ok(false)
}

fn resolved(
    state: &mut State,
    key: &OperationKey,
    sent: &Sent,
    failure: Failure,
    resolution: Resolution,
    by: Resolver,
) -> Result<()> {
    let (id, at_seq) = (&key.item_id, state.sequence);
    let table = state.table_named_mut(key.table)?;
    conflict(table, id, sent, failure);
    // Without an error nothing is left to decide: the row was deleted during the flight of its insert.
    let (Some(error), Some(decision)) = (table.errors.get(id).cloned(), resolution.kind()) else {
        return Ok(());
    };
    // The handler did not see an edit made during the flight; only "mine" still means it (K-12).
    if error.superseded && resolution != Resolution::KeepLocal {
        return Ok(());
    }
    check::check_resolution(table.schema, error.kind, id, &resolution)?;
    let record = resolve::record(table, id, at_seq, &error, (decision, by));
    resolve::apply(state, &error.key, resolution)?;
    let table = state.table_named_mut(key.table)?;
    if let Some(entry) = table.entries.get_mut(id).filter(|entry| entry.state == OperationState::Pending) {
        entry.taken_by = 0;
    }
    resolve::remember(state, record);
    Ok(())
}

/// The request of this push that the key names, if its outcome is still awaited.
fn in_flight(state: &mut State, session: PushSession, key: &OperationKey) -> Result<Option<Sent>> {
    let entry = state.table_named_mut(key.table)?.entries.get(&key.item_id);
    Ok(entry
        .filter(|entry| entry.seq == key.seq && entry.taken_by == session.push)
        .and_then(|entry| entry.sent.clone())
        .filter(|sent| sent.revision == key.revision))
}

fn acknowledge(state: &mut State, key: &OperationKey, sent: &Sent, answer: Option<Row>) -> Result<bool> {
    let id = &key.item_id;
    let table = state.table_named_mut(key.table)?;
    let schema = table.schema;
    let Some(entry) = table.entries.get(id) else { return Ok(false) };
    let moved = entry.revision != sent.revision;
    let content_follows = sent.kind == SentKind::Undelete;
    let delete_done = sent.kind == SentKind::Delete && entry.kind == OperationKind::Delete;
    let before = entry.base_version.clone();
    // What waits there is older than the request.
    table.quarantine.remove(id);
    let answered_version = answer.as_ref().and_then(|answer| answer.version.clone());
    // The version stays the older one if what is here is not all of the new one.
    let answer = answer.map(|answer| {
        let is_whole = is_whole_version(schema, sent.kind, &answer);
        Row { version: answer.version.filter(|_| is_whole), ..answer }
    });
    let version = answer.as_ref().and_then(|answer| answer.version.clone());
    if sent.kind == SentKind::Delete {
        table.acknowledged.remove(id);
    } else if let (Some(before), Some(version)) = (before, version)
        && is_ours_alone(table, id, sent, answer.as_ref())
    {
        let earlier = match table.acknowledged.remove(id) {
            Some((known, earlier)) if known == before => earlier,
            _ => Vec::new(),
        };
        table.acknowledged.insert(id.clone(), (version, with_version(earlier, &before)));
    }

    let is_news = answer.is_some() || table.newer.contains_key(id);
    let mut server = server_row(table, id, sent, answer.as_ref());
    if (!moved && !content_follows) || delete_done {
        if is_news {
            table.restore(id, &server);
        }
        table.forget_operation(id);
        return Ok(false);
    }

    let kind = match (sent.kind, entry.kind) {
        // F-06. With a version the server keeps the deleted row, and the insert revives it. Without one it may do so: the
        // copy tells this device's own deletion from somebody else's.
        (SentKind::Delete, _) => {
            server.deleted = true;
            server.version.clone_from(&answered_version);
            OperationKind::Insert
        }
        (_, OperationKind::Delete) => OperationKind::Delete,
        (_, OperationKind::Insert | OperationKind::Update) => OperationKind::Update,
    };
    // F-04; the content of a revived row was not sent yet, so nothing of it is the server's to replace.
    if kind == OperationKind::Update
        && !content_follows
        && is_news
        && let Some(row) = table.rows.get_mut(id)
    {
        *row = merge_answer(schema, &sent.row, row, &server).row;
        // Should the answer say so, the next request meets the deleted row; the edit stays in sight until then.
        row.deleted = false;
    }
    table.newer.remove(id);
    table.bases.insert(id.clone(), server);
    table.errors.remove(id);

    let fresh = state.next_sequence();
    if let Some(entry) = state.table_named_mut(key.table)?.entries.get_mut(id) {
        entry.kind = kind;
        entry.base_version = match kind {
            OperationKind::Insert => answered_version,
            _ => answered_version.or(entry.base_version.take()),
        };
        entry.state = OperationState::Pending;
        entry.server_may_hold = ServerMayHold::No;
        entry.sent = None;
        // The content of a revived row follows in the same push.
        let place = if moved { fresh } else { entry.seq };
        entry.seq = entry.tail_seq.take().unwrap_or(place);
        entry.taken_by = 0;
        entry.attempts = 0;
    }
    Ok(moved)
}

/// Whether the answer shows nobody else's change between the two versions of the row (K-17).
fn is_ours_alone(table: &TableState, id: &str, sent: &Sent, answer: Option<&Row>) -> bool {
    let (Some(base), Some(answer)) = (table.bases.get(id), answer) else { return true };
    shows_only(table.schema, |index| sent.columns[index], base, answer)
}

/// The server's row after an acknowledged request, as far as it is known: what was sent, for all else the newest
/// copy, and over both what the answer shows.
fn server_row(table: &TableState, id: &str, sent: &Sent, answer: Option<&Row>) -> Row {
    let schema = table.schema;
    let mut server = match sent.kind {
        SentKind::Insert | SentKind::Update => sent.row.clone(),
        // Without what was edited here and never sent. Of an insert that may have arrived there is no copy.
        SentKind::Delete => table.newest(id).unwrap_or(&sent.row).clone(),
        SentKind::Undelete => table.newest(id).cloned().unwrap_or_else(|| Row::empty(schema, id)),
    };
    if let Some(newer) = table.newer.get(id) {
        for (index, _) in schema.sent_columns().filter(|(index, _)| !sent.columns[*index]) {
            if newer.values[index].is_some() {
                server.values[index].clone_from(&newer.values[index]);
            }
        }
        server.take_system_columns(newer);
    }
    server.deleted = false;
    if let Some(answer) = answer {
        server.overlay(schema, answer);
    }
    server
}

fn conflict(table: &mut TableState, id: &str, sent: &Sent, failure: Failure) {
    let inserted = matches!(sent.kind, SentKind::Insert | SentKind::Undelete);
    let holds = match &failure.remote {
        Some(remote) if inserted && !remote.deleted => ServerMayHold::Foreign,
        Some(_) if inserted => ServerMayHold::No,
        None if failure.class == FailureClass::Gone => ServerMayHold::No,
        // A row whose insert may have arrived is there or not whatever became of its deletion.
        _ => held_before(table, id, sent),
    };
    refuse(table, id, sent, failure, holds);
}

/// What the server may hold when this request had no effect: what it may have held before.
fn held_before(table: &TableState, id: &str, sent: &Sent) -> ServerMayHold {
    match (sent.before, table.entries.get(id)) {
        (Some((_, holds)), _) => holds,
        (None, Some(entry)) => entry.server_may_hold,
        (None, None) => ServerMayHold::No,
    }
}

/// The server did not do it: what remains is what the matrix makes of the changes since (F-07).
fn refuse(table: &mut TableState, id: &str, sent: &Sent, failure: Failure, holds: ServerMayHold) {
    if !take_back(table, id, sent, holds) {
        return;
    }
    if let Some(entry) = table.entries.get_mut(id) {
        entry.state = OperationState::Failed;
    }
    record(table, id, sent, failure);
}

/// The request never started: as if the changes since had been made before (R8).
fn unsend(table: &mut TableState, id: &str, sent: Sent) {
    let Some(entry) = table.entries.get_mut(id) else { return };
    entry.attempts -= 1;
    // After an earlier attempt with an unknown outcome it is as unknown as before.
    let Some((state, holds)) = sent.before else { return };
    let moved = entry.revision != sent.revision;
    if !take_back(table, id, &sent, holds) {
        return;
    }
    if let Some(entry) = table.entries.get_mut(id) {
        entry.state = if moved { OperationState::Pending } else { state };
    }
}

/// Undoes the sending of an operation that had no effect on the server; false if nothing is left to do.
fn take_back(table: &mut TableState, id: &str, sent: &Sent, holds: ServerMayHold) -> bool {
    let Some(entry) = table.entries.get_mut(id) else { return false };
    let inserted = matches!(sent.kind, SentKind::Insert | SentKind::Undelete);
    if inserted && entry.kind == OperationKind::Delete && holds != ServerMayHold::Maybe {
        table.vanish(id, holds == ServerMayHold::Foreign);
        return false;
    }
    match (sent.kind, entry.kind) {
        // the server still has the row. X-10: not if that was never sure.
        (SentKind::Delete, OperationKind::Insert) if holds == ServerMayHold::No => {
            entry.kind = OperationKind::Update;
        }
        //
        (SentKind::Insert | SentKind::Update | SentKind::Undelete, OperationKind::Delete) => {
            entry.seq = entry.tail_seq.unwrap_or(entry.seq);
        }
        _ => {}
    }
    entry.tail_seq = None;
    entry.server_may_hold = holds;
    entry.sent = None;
    true
}

fn record(table: &mut TableState, id: &str, sent: &Sent, failure: Failure) {
    let seen = table.errors.get(id).and_then(|error| error.remote.as_ref()).or_else(|| table.newer.get(id));
    let is_other = |remote: &Row| seen.is_some_and(|seen| seen.version != remote.version);
    let is_news = failure.remote.as_ref().is_some_and(is_other);
    let Some(entry) = table.entries.get_mut(id) else { return };
    let superseded = entry.revision != sent.revision;
    // K-12: whoever decides about the row that was seen before decides about another one.
    entry.revision += i64::from(is_news);
    let uncertain = match sent.before {
        None => true,
        // How an attempt before the last change ended is not known any more.
        Some((OperationState::Pending, _)) => entry.attempts > 1,
        Some(_) => table.errors.get(id).is_some_and(|error| error.uncertain),
    };
    let error = OperationError {
        key: entry.key(table.schema, id),
        kind: match sent.kind {
            SentKind::Insert | SentKind::Undelete => OperationKind::Insert,
            SentKind::Update => OperationKind::Update,
            SentKind::Delete => OperationKind::Delete,
        },
        class: failure.class,
        status: failure.status,
        message: failure.message,
        local: Some(sent.row.clone()),
        remote: failure.remote,
        superseded,
        uncertain,
        // The app may have parked it while it was under way.
        parked: table.is_parked(id),
        old: false,
    };
    // What the answer shows is newer than what any pull has brought, or the same.
    match &error.remote {
        Some(remote) => {
            let (schema, version) = (table.schema, remote.version.as_deref());
            // Without the value that keeps the row waiting, this version of it is not all known.
            let is_same = |kept: &Quarantined| is_of_version(&kept.raw, schema, kept.names, version);
            if !table.quarantine.get(id).is_some_and(is_same) {
                table.quarantine.remove(id);
            }
            table.learn(id, remote);
        }
        None if error.class == FailureClass::Gone => drop(table.newer.remove(id)),
        None => {}
    }
    table.errors.insert(id.to_owned(), error);
}
