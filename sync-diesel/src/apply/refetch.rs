//! Rows noted to be read by id at the next pull of their table (X-06, K-09).

use diesel::RunQueryDsl;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::error::Result;
use sync_core::store::MAX_REFETCH;

use crate::failure::OrStore;
use crate::statement::{query, run};

/// The ids to read now; those that the server refused come after the others.
pub(super) fn next(conn: &mut SqliteConnection, table: &str) -> Result<Vec<String>> {
    let limit = i64::try_from(MAX_REFETCH).unwrap_or(i64::MAX);
    query::<Text>(
        "SELECT noted.item_id FROM \"__refetch\" noted
         LEFT JOIN \"__unread\" unread ON unread.table_name = noted.table_name AND unread.item_id = noted.item_id
         WHERE noted.table_name = ? ORDER BY coalesce(unread.refusals, 0), noted.item_id LIMIT ?",
        &[table.into(), limit.into()],
    )
    .load(conn)
    .or_store()
}

/// The server refused to show the row.
pub(super) fn refused(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<()> {
    run(
        conn,
        "INSERT INTO \"__unread\" (table_name, item_id, refusals)
         SELECT table_name, item_id, 1 FROM \"__refetch\" WHERE table_name = ? AND item_id = ?
         ON CONFLICT (table_name, item_id) DO UPDATE SET refusals = refusals + 1",
        &[table.into(), id.into()],
    )
    .or_store()
    .map(|_| ())
}

/// The row was read.
pub(super) fn done(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<()> {
    for text in [
        "DELETE FROM \"__refetch\" WHERE table_name = ? AND item_id = ?",
        "DELETE FROM \"__unread\" WHERE table_name = ? AND item_id = ?",
    ] {
        run(conn, text, &[table.into(), id.into()]).or_store()?;
    }
    Ok(())
}
