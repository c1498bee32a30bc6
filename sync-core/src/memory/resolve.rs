//! Resolving recorded errors (behaviour K-08 to K-15).

use super::state::{State, TableState};
use crate::check;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{
    FailureClass, OperationError, OperationKey, OperationKind, OperationState, ServerMayHold, merge_answer,
};
use crate::row::Row;
use crate::store::Resolution;

/// Resolves the error of the operation that `key` names (K-12, K-13).
pub(super) fn resolve(state: &mut State, key: &OperationKey, resolution: Resolution) -> Result<()> {
    let id = &key.item_id;
    let table = state.table_named_mut(key.table)?;
    let unchanged = table.errors.contains_key(id)
        && table.entries.get(id).is_some_and(|entry| entry.seq == key.seq && entry.revision == key.revision);
    if !unchanged {
        return Err(Error::new(
            ErrorKind::OperationChanged,
            "the operation changed since its error was read, or the error is resolved",
        )
        .with_table(key.table)
        .with_item(id));
    }
    if in_flight(table, id) {
        resolve_in_flight(state, key, resolution)
    } else {
        apply(table, id, resolution)
    }
}

fn in_flight(table: &TableState, id: &str) -> bool {
    table.entries.get(id).is_some_and(|entry| entry.state == OperationState::Attempted)
}

/// Applies a resolution to a failed operation.
pub(super) fn apply(table: &mut TableState, id: &str, resolution: Resolution) -> Result<()> {
    match resolution {
        Resolution::KeepLocal => {
            take_untouched_columns(table, id);
            keep_local(table, id);
        }
        Resolution::Merge(columns) => {
            take_untouched_columns(table, id);
            store_columns(table, id, &columns)?;
            keep_local(table, id);
        }
        Resolution::TakeRemote => take_remote(table, id),
        Resolution::Leave => {}
    }
    Ok(())
}

/// An attempted operation stays attempted until its outcome is known (R1): keeping the local row is a further
/// local change of it, taking the server's drops it.
fn resolve_in_flight(state: &mut State, key: &OperationKey, resolution: Resolution) -> Result<()> {
    let id = &key.item_id;
    match resolution {
        Resolution::Leave => return Ok(()),
        Resolution::TakeRemote => {
            take_remote(state.table_named_mut(key.table)?, id);
            return Ok(());
        }
        Resolution::Merge(columns) => store_columns(state.table_named_mut(key.table)?, id, &columns)?,
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

fn store_columns(table: &mut TableState, id: &str, columns: &Row) -> Result<()> {
    check::check_row(table.schema, columns)?;
    let argument =
        |why: &str| Error::new(ErrorKind::InvalidArgument, why).with_table(table.schema.name).with_item(id);
    if columns.id != id {
        return Err(argument("the merged row is another row"));
    }
    let Some(row) = table.rows.get_mut(id) else {
        return Err(argument("a queued delete has no row to merge into"));
    };
    for (value, merged) in row.values.iter_mut().zip(&columns.values) {
        if merged.is_some() {
            value.clone_from(merged);
        }
    }
    Ok(())
}

/// K-02, K-10: what the app did not change since the base comes from the server's row, so that sending the local row
/// again overwrites nothing the app never touched.
fn take_untouched_columns(table: &mut TableState, id: &str) {
    let remote = table.errors.get(id).and_then(|error| error.remote.as_ref());
    let Some(remote) = remote.filter(|remote| !remote.deleted) else { return };
    let (seen, _) = seen(table, id, remote);
    if let (Some(base), Some(local)) = (table.bases.get(id), table.rows.get_mut(id)) {
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
            entry.server_may_hold = ServerMayHold::No;
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
    if matches!(known, Known::Row(_)) && error.class == FailureClass::Conflict && error.remote.is_none() {
        // Somebody has a newer one.
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

fn newest_known(table: &TableState, id: &str, error: &OperationError) -> Known {
    // The row the error shows is in it, unless a pull has brought another since.
    if let Some(newer) = table.newer.get(id) {
        return Known::Row(newer.clone());
    }
    if error.class == FailureClass::Gone {
        return Known::Absent;
    }
    if let Some(base) = table.bases.get(id) {
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
