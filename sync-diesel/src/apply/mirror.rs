//! Mirroring pulls (L-13): which rows came, and the removal of those that did not.
//!
//! The marks stand in a temporary table of the writing connection, which only the start of a pull makes: if the
//! connection is lost in between, the pull fails at its next step instead of removing rows by marks that are gone.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::diesel::TableFilter;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::predicate::Node;
use sync_core::store::{Applied, Page};

use super::{drop_extra, quarantine};
use crate::failure::{OrStore, is_about_the_row};
use crate::statement::{filtered, literal, run};
use crate::synced::SyncedTable;

/// Forgets the marks of an earlier pull.
pub(super) fn begin(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<()> {
    conn.batch_execute(
        "CREATE TEMP TABLE IF NOT EXISTS \"__came\" (
             table_name TEXT NOT NULL, item_id TEXT NOT NULL, PRIMARY KEY (table_name, item_id)
         ) WITHOUT ROWID",
    )
    .or_store()?;
    run(conn, "DELETE FROM temp.\"__came\" WHERE table_name = ?", &[table.schema.name.into()])
        .or_store()
        .map(|_| ())
}

/// Marks the ids of a page.
pub(super) fn mark(conn: &mut SqliteConnection, table: &SyncedTable, page: &Page) -> Result<()> {
    let ids: Vec<&str> = page.summary.rows().filter_map(|row| row.id).collect();
    let ids = serde_json::to_string(&ids).map_err(|source| {
        Error::new(ErrorKind::Store, "the list of rows cannot be written").with_source(source)
    })?;
    run(
        conn,
        "INSERT OR IGNORE INTO temp.\"__came\" (table_name, item_id) SELECT ?, value FROM json_each(?)",
        &[table.schema.name.into(), ids.into()],
    )
    .or_store()
    .map(|_| ())
}

/// Removes the clean rows that match and did not come.
pub(super) fn finish(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    node: &Node,
    applied: &mut Applied,
) -> Result<()> {
    let name = literal(table.schema.name);
    let head = format!(
        "SELECT \"id\" FROM {table} WHERE \"id\" NOT IN (SELECT item_id FROM temp.\"__came\" WHERE table_name = {name})
         AND \"id\" NOT IN (SELECT item_id FROM \"__operations\" WHERE table_name = {name}) AND ",
        table = table.name
    );
    let filter = TableFilter { table: table.schema, node };
    let going: Vec<String> = filtered::<Text>(&head, filter, "").load(conn).or_store()?;
    for id in going {
        match table.delete(conn, &id) {
            Ok(removed) => applied.removed += removed as u64,
            // Another row refers to it.
            Err(error) if is_about_the_row(&error) => continue,
            Err(error) => return Err(error).or_store(),
        }
        drop_extra(conn, table, &id)?;
        quarantine::drop_inside(conn, table, &id, node)?;
    }
    run(conn, "DELETE FROM temp.\"__came\" WHERE table_name = ?", &[table.schema.name.into()])
        .or_store()
        .map(|_| ())
}
