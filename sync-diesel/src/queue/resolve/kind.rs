//! Changing the kind of a failed operation (K-11).

use diesel::sqlite::SqliteConnection;
use sync_core::error::Result;
use sync_core::operation::{FailureClass, OperationKind, OperationState, ServerMayHold};
use sync_core::row::Row;
use sync_core::store::Failure;

use super::{
    QueuedOperation, Remainder, Retake, Seen, drop_error, put_row, remove_row, store, take_untouched_columns,
    write_columns,
};
use crate::apply::copies::Copy;
use crate::synced::SyncedTable;
use crate::system;

/// What the operation is to become.
pub(super) struct KindChange<'r> {
    pub(super) kind: OperationKind,
    pub(super) item: Option<&'r Row>,
    pub(super) version: Option<&'r str>,
}

/// Makes a checked change, on top of the server's row just seen.
pub(super) fn change(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    change: &KindChange<'_>,
    retake: Retake,
) -> Result<()> {
    let id = operation.item_id.as_str();
    let (before, inserts) = (operation.kind()?, change.kind == OperationKind::Insert);
    let seen = Seen::of(conn, table, operation, failure)?;
    if change.kind == OperationKind::Update {
        take_untouched_columns(conn, table, operation, seen.as_ref())?;
    }
    drop_error(conn, operation)?;
    if seen.as_ref().is_some_and(|seen| seen.is_newest) {
        Copy::Newer.drop(conn, table, id)?;
    }
    let item = if change.kind == OperationKind::Delete {
        let kept = match &operation.item {
            Some(kept) => Some(kept.clone()),
            None => table.find_whole(conn, id)?,
        };
        remove_row(conn, table, id)?;
        kept
    } else {
        write_item(conn, table, operation, change.item)?;
        None
    };

    let remote = failure.remote.as_ref().filter(|remote| remote.deleted == inserts);
    let shown = remote.and_then(|remote| remote.version.as_deref());
    let known = operation.base_version.as_deref().filter(|_| !inserts && before != OperationKind::Insert);
    let base_version = change.version.or(shown).or(known);
    match &seen {
        // An insert has a base only where it revives a row.
        Some(seen) if !inserts || (seen.row.deleted && base_version.is_some()) => {
            Copy::Base.store(conn, table, &seen.row)?;
        }
        _ if inserts => Copy::Base.drop(conn, table, id)?,
        _ => {}
    }
    // a delete stands at the end.
    let moves = change.kind == OperationKind::Delete && before != OperationKind::Delete;
    let rest = Remainder {
        seq: if moves { system::next_seq(conn)? } else { operation.seq },
        kind: change.kind.as_i64(),
        state: OperationState::Pending.as_i64(),
        revision: operation.next_revision()?,
        base_version,
        item: item.as_deref(),
        // What an earlier request with a lost answer may have left there is not known from a refusal.
        server_may_hold: if failure.remote.is_some() || failure.class == FailureClass::Gone {
            ServerMayHold::No.as_i64()
        } else {
            operation.server_may_hold
        },
        retake: retake == Retake::SamePush,
    };
    store(conn, operation.seq, &rest)
}

/// Brings a deleted row back and stores the given columns.
fn write_item(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    item: Option<&Row>,
) -> Result<()> {
    if let Some(kept) = &operation.item {
        put_row(conn, table, &table.whole_row(kept)?)?;
    }
    match item {
        Some(item) => write_columns(conn, table, &operation.item_id, item),
        None => Ok(()),
    }
}
