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
    let (Some(remote), Some(base)) = (remote.filter(|remote| !remote.deleted), table.shadows.get(id)) else {
        return;
    };
    if let Some(local) = table.rows.get_mut(id) {
        local.values = merge_answer(table.schema, base, local, remote).row.values;
    }
}

/// K-10: the local row again, on top of the server's row just seen.
fn keep_local(table: &mut TableState, id: &str) {
    let (Some(error), Some(entry)) = (table.errors.remove(id), table.entries.get_mut(id)) else { return };
    let deletes = entry.kind == OperationKind::Delete;
    match error.remote {
        Some(remote) if !remote.deleted || deletes => {
            if !deletes {
                entry.kind = OperationKind::Update;
            }
            entry.base_version.clone_from(&remote.version);
            entry.server_may_hold = ServerMayHold::No;
            table.shadows.insert(id.to_owned(), remote);
        }
        // K-15: the server's row is deleted; with its version it can be revived.
        Some(remote) => {
            entry.kind = OperationKind::Insert;
            entry.base_version.clone_from(&remote.version);
            entry.server_may_hold = ServerMayHold::No;
            match remote.version {
                Some(_) => table.shadows.insert(id.to_owned(), remote),
                None => table.shadows.remove(id),
            };
        }
        None if !deletes && matches!(error.class, FailureClass::Gone | FailureClass::Conflict) => {
            entry.kind = OperationKind::Insert;
            entry.base_version = None;
            entry.server_may_hold = ServerMayHold::No;
            table.shadows.remove(id);
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
    let known = newest_known(table, id, error);
    let kept = table.entries.remove(id).and_then(|entry| entry.kept);
    table.shadows.remove(id);
    let local = table.rows.remove(id).or(kept);
    match (known, local) {
        (Known::Row(server), Some(mut row)) if !server.deleted || table.schema.keep_deleted => {
            row.overlay(table.schema, &server);
            table.rows.insert(id.to_owned(), row);
        }
        (Known::Row(_) | Known::Absent, _) => {}
        (Known::Unknown, _) => {
            table.refetch.insert(id.to_owned());
        }
    }
}

fn newest_known(table: &TableState, id: &str, error: OperationError) -> Known {
    if let Some(remote) = error.remote {
        return Known::Row(remote);
    }
    if error.class == FailureClass::Gone {
        return Known::Absent;
    }
    if let Some(shadow) = table.shadows.get(id) {
        return Known::Row(shadow.clone());
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
