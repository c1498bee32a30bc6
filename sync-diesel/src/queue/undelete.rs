//! Reviving a row that the server marked deleted, in a table that keeps such rows (W-09).

use diesel::sqlite::SqliteConnection;
use sync_core::check;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::{OperationKind, OperationState, ServerMayHold};
use sync_core::row::Row;

use super::record::{Remainder, drop_error, find, store};
use crate::apply::copies::Copy;
use crate::failure::OrStore;
use crate::statement::run;
use crate::synced::SyncedTable;
use crate::system;

/// Makes the row live and queues its revival: an insert with the version of the deleted row.
pub(crate) fn undelete(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    let schema = table.schema;
    check::check_id(schema, id)?;
    let about = |kind, why: &str| Error::new(kind, why).with_table(schema.name).with_item(id);
    let deleted = table
        .find(conn, id)?
        .filter(|row| row.deleted)
        .ok_or_else(|| about(ErrorKind::NotFound, "no row with this id is marked deleted"))?;
    system::exempt(conn, |conn| {
        match find(conn, schema.name, id)? {
            Some(operation) if operation.state()? == OperationState::Attempted => {
                return Err(about(
                    ErrorKind::Busy,
                    "the outcome of the row's operation is not known yet: push first",
                ));
            }
            // An edit of the deleted row goes with it.
            Some(operation) => {
                drop_error(conn, &operation)?;
                let rest = Remainder {
                    seq: operation.seq,
                    kind: OperationKind::Insert.as_i64(),
                    state: OperationState::Pending.as_i64(),
                    revision: operation.next_revision()?,
                    base_version: deleted.version.as_deref(),
                    item: None,
                    server_may_hold: operation.server_may_hold,
                    retake: false,
                };
                store(conn, operation.seq, &rest)?;
                if Copy::Base.load(conn, table, id)?.is_none() {
                    Copy::Base.store(conn, table, &deleted)?;
                }
            }
            None => {
                let seq = system::next_seq(conn)?;
                run(
                    conn,
                    "INSERT INTO \"__operations\" (seq, table_name, item_id, kind, state, base_version, server_may_hold)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                    &[
                        seq.into(),
                        schema.name.into(),
                        id.into(),
                        OperationKind::Insert.as_i64().into(),
                        OperationState::Pending.as_i64().into(),
                        (&deleted.version).into(),
                        ServerMayHold::No.as_i64().into(),
                    ],
                )
                .or_store()?;
                Copy::Base.store(conn, table, &deleted)?;
            }
        }
        if deleted.version.is_none() {
            Copy::Base.drop(conn, table, id)?;
        }
        table.update(conn, &Row { deleted: false, ..deleted }).or_store().map(|_| ())
    })
}
