//! Parked operations (P-29): which those are, and how one becomes so or ceases to be.
//!
//! The recorded error carries the mark. Whatever takes the error away ends the parking with it: a local change of the
//! row by the capture triggers, a resolution, the end of the operation.

use diesel::sqlite::SqliteConnection;
use sync_core::error::Result;
use sync_core::operation::OperationState;
use sync_core::store::Failure;

use super::record::{Failed, QueuedOperation, store_error};
use crate::failure::OrStore;
use crate::statement::run;
use crate::synced::SyncedTable;

/// SQL condition on a row of the operations table, which stands in the statement without an alias.
pub(super) const IS_PARKED: &str = "EXISTS (SELECT 1 FROM \"__errors\" AS parked \
    WHERE parked.table_name = \"__operations\".table_name AND parked.item_id = \"__operations\".item_id \
    AND parked.parked <> 0)";

/// Pushes leave the operation alone from now on. A conflict that a pull showed is recorded first, and fails without a
/// request.
pub(super) fn park(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
) -> Result<()> {
    if !mark(conn, operation, true)? {
        let failed = Failed {
            kind: operation.kind()?,
            local: None,
            superseded: false,
            uncertain: operation.attempts > 0,
        };
        store_error(conn, table, operation, &failed, failure)?;
        mark(conn, operation, true)?;
    }
    run(
        conn,
        "UPDATE \"__operations\" SET state = ? WHERE seq = ? AND state = ?",
        &[
            OperationState::Failed.as_i64().into(),
            operation.seq.into(),
            OperationState::Pending.as_i64().into(),
        ],
    )
    .or_store()
    .map(|_| ())
}

/// The next push sends the operation again.
pub(super) fn unpark(conn: &mut SqliteConnection, operation: &QueuedOperation) -> Result<()> {
    mark(conn, operation, false).map(|_| ())
}

/// Gives whether there is an error to mark.
fn mark(conn: &mut SqliteConnection, operation: &QueuedOperation, parked: bool) -> Result<bool> {
    let marked = run(
        conn,
        "UPDATE \"__errors\" SET parked = ? WHERE table_name = ? AND item_id = ?",
        &[i64::from(parked).into(), (&operation.table_name).into(), (&operation.item_id).into()],
    );
    Ok(marked.or_store()? > 0)
}
