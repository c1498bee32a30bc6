//! Resolving recorded errors and conflicts that a pull showed (behaviour K-08 to K-15, K-20).

use super::state::{State, TableState};
use crate::check;
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{
    FailureClass, OperationError, OperationKey, OperationKind, OperationState, ServerMayHold, merge_answer,
};
use crate::row::Row;
use crate::store::{
    MAX_RESOLUTIONS, OpenConflict, Resolution, ResolutionKind, ResolutionRecord, Resolver, is_base_shown,
    is_in_conflict,
};

/// Resolves what is to be decided about the operation that `key` names (K-12, K-13).
pub(super) fn resolve(
    state: &mut State,
    key: &OperationKey,
    resolution: Resolution,
    by: Resolver,
) -> Result<()> {
    let id = &key.item_id;
    let at_seq = state.sequence;
    let table = state.table_named_mut(key.table)?;
    let error = undecided(table, id, key).ok_or_else(|| {
        Error::new(
            ErrorKind::OperationChanged,
            "the operation changed since its error was read, or the error is resolved",
        )
        .with_table(key.table)
        .with_item(id)
    })?;
    let Some(decision) = resolution.kind() else { return Ok(()) };
    let is_as_wanted = match resolution {
        Resolution::Park => error.parked,
        Resolution::Unpark => !error.parked,
        _ => false,
    };
    if is_as_wanted {
        return Ok(());
    }
    check::check_resolution(table.schema, kind_of(table, id, &error), id, &resolution)?;
    let record = record(table, id, at_seq, &error, (decision, by));
    let shows_row = error.remote.is_some();
    table.errors.insert(id.clone(), error);
    if in_flight(table, id) {
        resolve_in_flight(state, key, resolution, shows_row)?;
    } else {
        apply(state, key, resolution)?;
    }
    remember(state, record);
    Ok(())
}

/// The recorded error of the operation, or else what the newest server copy says as an error (K-20); `None` when it
/// is another operation by now, or nothing is to be decided.
fn undecided(table: &TableState, id: &str, key: &OperationKey) -> Option<OperationError> {
    let entry = table.entries.get(id)?;
    if entry.seq != key.seq || entry.revision != key.revision {
        return None;
    }
    if let Some(error) = table.errors.get(id) {
        return Some(error.clone());
    }
    let newest = table.newest(id)?;
    is_in_conflict(table.schema, &entry.operation(table.schema, id), Some(newest)).then(|| OperationError {
        key: key.clone(),
        kind: entry.kind,
        class: if newest.deleted { FailureClass::Gone } else { FailureClass::Conflict },
        status: None,
        message: String::new(),
        local: None,
        remote: Some(newest.clone()),
        superseded: false,
        uncertain: entry.attempts > 0,
        parked: false,
        old: false,
    })
}

fn kind_of(table: &TableState, id: &str, error: &OperationError) -> OperationKind {
    table.entries.get(id).map_or(error.kind, |entry| entry.kind)
}

/// What is remembered of a resolution, before it changes anything.
pub(super) fn record(
    table: &TableState,
    id: &str,
    at_seq: i64,
    error: &OperationError,
    (decision, by): (ResolutionKind, Resolver),
) -> ResolutionRecord {
    ResolutionRecord {
        number: 0,
        at_seq,
        table: table.schema.name,
        item_id: id.to_owned(),
        operation: kind_of(table, id, error),
        class: error.class,
        status: error.status,
        decision,
        by,
        base_version: table.entries.get(id).and_then(|entry| entry.base_version.clone()),
        remote_version: error.remote.as_ref().and_then(|remote| remote.version.clone()),
    }
}

/// Adds to the history, of which the last ones are kept.
pub(super) fn remember(state: &mut State, record: ResolutionRecord) {
    let number = state.resolutions.back().map_or(1, |last| last.number + 1);
    state.resolutions.push_back(ResolutionRecord { number, ..record });
    while state.resolutions.len() > MAX_RESOLUTIONS as usize {
        state.resolutions.pop_front();
    }
}

/// The operations of a table about which something is to be decided.
pub(super) fn open_conflicts(table: &TableState) -> impl Iterator<Item = OpenConflict> {
    table.entries.iter().filter_map(|(id, entry)| {
        let operation = entry.operation(table.schema, id);
        let error = table.errors.get(id).cloned();
        let newest = table.newer.get(id).or_else(|| table.bases.get(id).filter(|_| is_shown(table, id)));
        let remote = newest.cloned();
        if error.is_none() && !is_in_conflict(table.schema, &operation, remote.as_ref()) {
            return None;
        }
        // An answer that the row is gone makes every copy seen before it worthless.
        let gone = error.as_ref().is_some_and(|error| error.class == FailureClass::Gone);
        Some(OpenConflict {
            table: table.schema,
            operation,
            error,
            base: table.bases.get(id).cloned(),
            local: entry.kept.as_ref().or_else(|| table.rows.get(id)).cloned(),
            remote: if gone { table.newer.get(id).cloned() } else { remote },
        })
    })
}

/// Whether the base is a row that the server has shown.
fn is_shown(table: &TableState, id: &str) -> bool {
    let entry = table.entries.get(id);
    entry.is_none_or(|entry| is_base_shown(entry.kind, entry.base_version.as_deref()))
}

fn in_flight(table: &TableState, id: &str) -> bool {
    table.entries.get(id).is_some_and(|entry| entry.state == OperationState::Attempted)
}

/// Applies a checked resolution to an operation whose outcome is known.
pub(super) fn apply(state: &mut State, key: &OperationKey, resolution: Resolution) -> Result<()> {
    let id = &key.item_id;
    let table = state.table_named_mut(key.table)?;
    match resolution {
        Resolution::KeepLocal => {
            take_untouched_columns(table, id);
            keep_local(table, id);
        }
        Resolution::Merge(columns) => {
            take_untouched_columns(table, id);
            store_columns(table, id, &columns);
            keep_local(table, id);
            if let (Some(version), Some(entry)) = (columns.version, table.entries.get_mut(id)) {
                entry.base_version = Some(version);
            }
        }
        Resolution::TakeRemote => take_remote(table, id),
        Resolution::Store(row) => store_row(table, id, &row),
        Resolution::ChangeKind { kind, item, version } => {
            // a delete stands at the end.
            let moves = kind == OperationKind::Delete
                && table.entries.get(id).is_some_and(|entry| entry.kind != OperationKind::Delete);
            let seq = moves.then(|| state.next_sequence());
            let table = state.table_named_mut(key.table)?;
            change_kind(table, id, kind, item.as_ref(), version);
            if let (Some(seq), Some(entry)) = (seq, table.entries.get_mut(id)) {
                entry.seq = seq;
            }
        }
        Resolution::Park => park(table, id, true),
        Resolution::Unpark => park(table, id, false),
        Resolution::Leave => {}
    }
    Ok(())
}

/// P-29: the error says whether the operation is left alone. One that a pull showed fails without a request.
fn park(table: &mut TableState, id: &str, parked: bool) {
    if let Some(error) = table.errors.get_mut(id) {
        error.parked = parked;
    }
    if let Some(entry) = table.entries.get_mut(id)
        && entry.state == OperationState::Pending
    {
        entry.state = OperationState::Failed;
    }
}

fn unknown_outcome(key: &OperationKey) -> Error {
    Error::new(
        ErrorKind::Busy,
        "the outcome of the operation is not known yet: push first, or resolve it in another way",
    )
    .with_table(key.table)
    .with_item(&key.item_id)
}

/// An attempted operation stays attempted until its outcome is known (R1): keeping the local row is a further
/// local change of it, taking another drops it. A merge with the server's row is none: merged before the answer, what
/// was done there would count as done here, and be merged once more.
fn resolve_in_flight(
    state: &mut State,
    key: &OperationKey,
    resolution: Resolution,
    shows_row: bool,
) -> Result<()> {
    let id = &key.item_id;
    let table = state.table_named_mut(key.table)?;
    match resolution {
        Resolution::Leave => return Ok(()),
        Resolution::Park | Resolution::Unpark => {
            park(table, id, resolution == Resolution::Park);
            return Ok(());
        }
        Resolution::TakeRemote => {
            take_remote(table, id);
            return Ok(());
        }
        Resolution::Store(row) => {
            store_row(table, id, &row);
            return Ok(());
        }
        Resolution::ChangeKind { .. } => return Err(unknown_outcome(key)),
        Resolution::Merge(_) if shows_row => return Err(unknown_outcome(key)),
        Resolution::Merge(columns) => store_columns(table, id, &columns),
        Resolution::KeepLocal => {}
    }
    let fresh = state.next_sequence();
    let table = state.table_named_mut(key.table)?;
    table.errors.remove(id);
    if let Some(entry) = table.entries.get_mut(id) {
        entry.revision += 1;
        entry.tail_seq.get_or_insert(fresh);
    }
    Ok(())
}

fn store_columns(table: &mut TableState, id: &str, columns: &Row) {
    let schema = table.schema;
    if let Some(row) = table.rows.get_mut(id) {
        set_columns(schema, row, columns);
    }
}

/// Local-only columns of a row that is there stay: they may have been changed since the decision was made, and no
/// revision tells.
fn set_columns(schema: &TableSchema, row: &mut Row, columns: &Row) {
    for ((column, value), given) in schema.columns.iter().zip(&mut row.values).zip(&columns.values) {
        if given.is_some() && (!column.local || value.is_none()) {
            value.clone_from(given);
        }
    }
}

/// K-02, K-10: what the app did not change since the base comes from the server's row, so that sending the local row
/// again overwrites nothing the app never touched.
fn take_untouched_columns(table: &mut TableState, id: &str) {
    let remote = table.errors.get(id).and_then(|error| error.remote.as_ref());
    let Some(remote) = remote.filter(|remote| !remote.deleted) else { return };
    let (seen, _) = seen(table, id, remote);
    let is_shown = is_shown(table, id);
    let Some(local) = table.rows.get_mut(id) else { return };
    // S-08: what the app does not know it did not change.
    local.extra = seen.extra.clone().or(local.extra.take());
    if let Some(base) = table.bases.get(id).filter(|_| is_shown) {
        local.values = merge_answer(table.schema, base, local, &seen).row.values;
    }
}

/// The server's row that an error shows, with what it leaves out as it was known; and whether it is the newest
/// copy, as it is unless a pull has brought another since.
fn seen(table: &TableState, id: &str, remote: &Row) -> (Row, bool) {
    let shown = |newer: &&Row| {
        newer.deleted == remote.deleted && (remote.version.is_none() || remote.version == newer.version)
    };
    if let Some(newer) = table.newer.get(id).filter(shown) {
        return (newer.clone(), true);
    }
    let mut seen = table.bases.get(id).cloned().unwrap_or_else(|| Row::empty(table.schema, id));
    seen.overlay(table.schema, remote);
    (seen, false)
}

/// K-10: the local row again, on top of the server's row just seen.
fn keep_local(table: &mut TableState, id: &str) {
    let Some(error) = table.errors.remove(id) else { return };
    let seen = error.remote.as_ref().map(|remote| seen(table, id, remote));
    let Some(entry) = table.entries.get_mut(id) else { return };
    let deletes = entry.kind == OperationKind::Delete;
    if seen.as_ref().is_some_and(|(_, is_newest)| *is_newest) {
        table.newer.remove(id);
    }
    let seen = seen.map(|(seen, _)| seen);
    match error.remote {
        Some(remote) if !remote.deleted || deletes => {
            if !deletes {
                entry.kind = OperationKind::Update;
            }
            entry.base_version.clone_from(&remote.version);
            entry.server_may_hold = ServerMayHold::No;
            table.bases.extend(seen.map(|seen| (id.to_owned(), seen)));
        }
        // K-15: the server's row is deleted; with its version it can be revived.
        Some(remote) => {
            entry.kind = OperationKind::Insert;
            entry.base_version.clone_from(&remote.version);
            entry.server_may_hold = ServerMayHold::No;
            table.bases.remove(id);
            if remote.version.is_some() {
                table.bases.extend(seen.map(|seen| (id.to_owned(), seen)));
            }
        }
        None if !deletes && matches!(error.class, FailureClass::Gone | FailureClass::Conflict) => {
            entry.kind = OperationKind::Insert;
            entry.base_version = None;
            if error.class == FailureClass::Gone {
                entry.server_may_hold = ServerMayHold::No;
            }
            table.bases.remove(id);
        }
        // Refused for another reason than the server's row: the same again.
        None => {}
    }
    entry.state = OperationState::Pending;
    entry.revision += 1;
}

/// What is known of the server's row.
enum Known {
    Row(Row),
    Absent,
    Unknown,
}

/// K-08, K-09: the newest server copy known becomes the local row, and the operation is dropped.
fn take_remote(table: &mut TableState, id: &str) {
    let Some(error) = table.errors.remove(id) else { return };
    let known = newest_known(table, id, &error);
    let kept = table.entries.get(id).and_then(|entry| entry.kept.clone());
    table.forget_operation(id);
    let local = table.rows.remove(id).or(kept);
    let is_unseen = matches!(error.class, FailureClass::Conflict | FailureClass::Handler);
    if matches!(known, Known::Row(_)) && is_unseen && error.remote.is_none() {
        // Somebody has a newer one, or it is gone.
        table.refetch.entry(id.to_owned()).or_default();
    }
    match (known, local) {
        (Known::Row(server), Some(mut row)) if !server.deleted || table.schema.keep_deleted => {
            row.overlay(table.schema, &server);
            table.rows.insert(id.to_owned(), row);
        }
        (Known::Row(_) | Known::Absent, _) => {}
        (Known::Unknown, _) => {
            table.refetch.entry(id.to_owned()).or_default();
        }
    }
}

/// K-08: the given row over the newest copy known; the operation is dropped.
fn store_row(table: &mut TableState, id: &str, given: &Row) {
    let newest = table.newest(id).cloned();
    let kept = table.entries.get(id).and_then(|entry| entry.kept.clone());
    table.forget_operation(id);
    let local = table.rows.remove(id).or(kept);
    if given.deleted && !table.schema.keep_deleted {
        return;
    }
    let mut row = local.unwrap_or_else(|| Row::empty(table.schema, id));
    if let Some(newest) = newest {
        row.overlay(table.schema, &newest);
    }
    set_columns(table.schema, &mut row, given);
    row.take_system_columns(given);
    table.rows.insert(id.to_owned(), row);
}

/// K-11: another kind of operation, on top of the server's row just seen.
fn change_kind(
    table: &mut TableState,
    id: &str,
    kind: OperationKind,
    item: Option<&Row>,
    version: Option<String>,
) {
    if kind == OperationKind::Update {
        take_untouched_columns(table, id);
    }
    let Some(error) = table.errors.remove(id) else { return };
    let seen = error.remote.as_ref().map(|remote| seen(table, id, remote));
    let Some(entry) = table.entries.get_mut(id) else { return };
    if seen.as_ref().is_some_and(|(_, is_newest)| *is_newest) {
        table.newer.remove(id);
    }
    if kind == OperationKind::Delete {
        if let Some(row) = table.rows.remove(id) {
            entry.kept = Some(row);
        }
    } else {
        if let Some(kept) = entry.kept.take() {
            table.rows.insert(id.to_owned(), kept);
        }
        if let (Some(item), Some(row)) = (item, table.rows.get_mut(id)) {
            set_columns(table.schema, row, item);
        }
    }
    let remote = error.remote.as_ref();
    let shown = remote.filter(|remote| remote.deleted == (kind == OperationKind::Insert));
    let shown = shown.and_then(|remote| remote.version.clone());
    let before = entry
        .base_version
        .take()
        .filter(|_| kind != OperationKind::Insert && entry.kind != OperationKind::Insert);
    entry.base_version = version.or(shown).or(before);
    match seen {
        // An insert has a base only where it revives a row.
        Some((seen, _))
            if kind != OperationKind::Insert || (seen.deleted && entry.base_version.is_some()) =>
        {
            table.bases.insert(id.to_owned(), seen);
        }
        _ if kind == OperationKind::Insert => drop(table.bases.remove(id)),
        _ => {}
    }
    entry.kind = kind;
    if remote.is_some() || error.class == FailureClass::Gone {
        entry.server_may_hold = ServerMayHold::No;
    }
    entry.state = OperationState::Pending;
    entry.revision += 1;
}

fn newest_known(table: &TableState, id: &str, error: &OperationError) -> Known {
    // The row the error shows is in it, unless a pull has brought another since.
    if let Some(newer) = table.newer.get(id) {
        return Known::Row(newer.clone());
    }
    if error.class == FailureClass::Gone {
        return Known::Absent;
    }
    if let Some(base) = table.bases.get(id).filter(|_| is_shown(table, id)) {
        return Known::Row(base.clone());
    }
    match table.entries.get(id) {
        // A refused insert: the server has nothing under this id.
        Some(entry)
            if entry.kind == OperationKind::Insert
                && entry.server_may_hold == ServerMayHold::No
                && error.class == FailureClass::Refused =>
        {
            Known::Absent
        }
        _ => Known::Unknown,
    }
}
