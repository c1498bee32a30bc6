//! Resolving a recorded error (K-08 to K-15), by a handler during the push or by the app later.

use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::item;
use sync_core::operation::{
    FailureClass, OperationKey, OperationKind, OperationState, SentKind, ServerMayHold,
};
use sync_core::row::Row;
use sync_core::store::{Failure, Resolution};

use super::record::{QueuedOperation, Remainder, drop_error, find, note_refetch, remove, store};
use crate::apply::{drop_shadow, load_shadow, store_extra, store_shadow};
use crate::failure::OrStore;
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

/// Resolves the error of an operation.
///
/// # Errors
///
/// `OperationChanged` when the key no longer names an operation with an error (K-12, K-13).
pub(crate) fn resolve(
    conn: &mut SqliteConnection,
    tables: &Tables,
    key: &OperationKey,
    resolution: &Resolution,
) -> Result<()> {
    let changed = || {
        Error::new(ErrorKind::OperationChanged, "the operation or its error has changed since it was read")
            .with_table(key.table)
            .with_item(&key.item_id)
    };
    let table = tables.get(key.table)?;
    let operation = find(conn, table.schema.name, &key.item_id)?
        .filter(|operation| operation.seq == key.seq && operation.revision == key.revision)
        .ok_or_else(changed)?;
    let error = super::errors(
        conn,
        tables,
        "e.table_name = ? AND e.item_id = ?",
        &[table.schema.name.into(), (&key.item_id).into()],
    )?
    .pop()
    .ok_or_else(changed)?;
    let failure =
        Failure { class: error.class, status: error.status, message: String::new(), remote: error.remote };
    system::exempt(conn, |conn| apply(conn, table, &operation, &failure, resolution, None))
}

/// Applies a resolution to a failed operation. `edited_since`: the row when it was sent, if the app changed it
/// since; a merge then keeps those newer edits.
pub(super) fn apply(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    resolution: &Resolution,
    edited_since: Option<&Row>,
) -> Result<()> {
    match resolution {
        Resolution::Leave => Ok(()),
        Resolution::TakeRemote => take_remote(conn, table, operation, failure),
        Resolution::KeepLocal => keep_local(conn, table, operation, failure),
        Resolution::Merge(merged) => {
            write_merged(conn, table, operation, merged, edited_since)?;
            keep_local(conn, table, operation, failure)
        }
    }
}

/// Stores the merged columns in the local row, except those the app changed after the row was sent.
fn write_merged(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    merged: &Row,
    edited_since: Option<&Row>,
) -> Result<()> {
    let Some(mut local) = table.find(conn, &operation.item_id)? else {
        // A delete has no local row to merge into; it stays a delete.
        return Ok(());
    };
    for (index, (value, newer)) in local.values.iter_mut().zip(&merged.values).enumerate() {
        let is_edited = edited_since.is_some_and(|sent| sent.values[index] != *value);
        if newer.is_some() && !is_edited {
            value.clone_from(newer);
        }
    }
    table.update(conn, &local).or_store().map(|_| ())
}

/// K-10, K-15: sent again on top of the server's version just seen.
fn keep_local(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
) -> Result<()> {
    let kind = operation.kind()?;
    drop_error(conn, operation)?;
    let again = Remainder {
        seq: operation.seq,
        kind: operation.kind,
        state: OperationState::Pending.as_i64(),
        revision: operation.revision + 1,
        base_version: operation.base_version.as_deref(),
        item: operation.item.as_deref(),
        server_may_hold: ServerMayHold::No.as_i64(),
        revive: operation.revive != 0,
        retake: true,
    };
    let is_gone = failure.class == FailureClass::Gone;
    let rest = match (&failure.remote, kind) {
        (Some(remote), _) if !remote.deleted => {
            store_shadow(conn, table, &named(remote, operation))?;
            store_extra(conn, table, &operation.item_id, remote.extra.as_deref())?;
            let kind = if kind == OperationKind::Insert { OperationKind::Update } else { kind };
            Remainder { kind: kind.as_i64(), base_version: remote.version.as_deref(), revive: false, ..again }
        }
        // What was to be deleted is gone.
        (Some(_), OperationKind::Delete) => return drop_operation(conn, table, operation),
        (None, OperationKind::Delete) if is_gone => return drop_operation(conn, table, operation),
        (Some(remote), _) => {
            store_shadow(conn, table, &named(remote, operation))?;
            Remainder {
                kind: OperationKind::Insert.as_i64(),
                base_version: remote.version.as_deref(),
                revive: true,
                ..again
            }
        }
        (None, _) if is_gone => {
            drop_shadow(conn, table, &operation.item_id)?;
            Remainder { kind: OperationKind::Insert.as_i64(), base_version: None, revive: false, ..again }
        }
        (None, _) if operation.state()? == OperationState::Attempted => {
            // Not settled yet: it is sent again as it was (R1), only the record goes.
            return Ok(());
        }
        (None, _) => Remainder { server_may_hold: operation.server_may_hold, ..again },
    };
    store(conn, operation.seq, &rest)
}

/// K-08, K-09, K-14: the local row is the server's, or gone like the server's.
fn take_remote(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
) -> Result<()> {
    let id = operation.item_id.as_str();
    let shadow = load_shadow(conn, table, id)?;
    drop_operation(conn, table, operation)?;
    match &failure.remote {
        Some(remote) if !remote.deleted || table.schema.keep_deleted => {
            restore(conn, table, operation, shadow, remote)?;
            store_extra(conn, table, id, remote.extra.as_deref())
        }
        Some(_) => remove_row(conn, table, id),
        None if failure.class == FailureClass::Gone => remove_row(conn, table, id),
        // The newest copy known is the kept one; after a conflict a newer one exists.
        None => match shadow {
            Some(shadow) if !shadow.deleted => {
                restore(conn, table, operation, None, &shadow)?;
                if failure.class == FailureClass::Conflict {
                    note_refetch(conn, table.schema.name, id)?;
                }
                Ok(())
            }
            Some(_) => remove_row(conn, table, id),
            None => {
                let is_refused_insert = operation.kind()? == OperationKind::Insert
                    && operation.server_may_hold()? == ServerMayHold::No
                    && operation.sent_kind()? != Some(SentKind::Delete);
                remove_row(conn, table, id)?;
                if is_refused_insert { Ok(()) } else { note_refetch(conn, table.schema.name, id) }
            }
        },
    }
}

fn drop_operation(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<()> {
    remove(conn, operation)?;
    drop_shadow(conn, table, &operation.item_id)
}

fn remove_row(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    table.delete(conn, id).or_store()?;
    store_extra(conn, table, id, None)
}

/// Writes the server's row over the local one; what it does not show is taken from the local row, or of a
/// deleted one from what was kept.
fn restore(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    shadow: Option<Row>,
    remote: &Row,
) -> Result<()> {
    let remote = named(remote, operation);
    if table.update(conn, &remote).or_store()? > 0 {
        return Ok(());
    }
    let kept = match &operation.item {
        Some(text) => Some(item::decode(table.schema, text)?),
        None => None,
    };
    let mut row = kept.or(shadow).unwrap_or_else(|| Row::empty(table.schema, &operation.item_id));
    overlay(&mut row, &remote);
    let row = Row { values: row.values, ..remote };
    table.insert(conn, &row).or_store().map(|_| ())
}

/// The server's row under the operation's id.
fn named(remote: &Row, operation: &QueuedOperation) -> Row {
    Row { id: operation.item_id.clone(), ..remote.clone() }
}
