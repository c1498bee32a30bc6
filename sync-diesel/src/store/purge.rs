//! Purge (17.4): local rows go, with everything sync keeps about them; nothing is sent.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::diesel::TableFilter;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::evaluate;
use sync_core::predicate::Node;
use sync_core::row::TableRow;
use sync_core::store::{Purge, Purged};

use crate::failure::OrStore;
use crate::statement::{filtered, query, run};
use crate::synced::{SyncedTable, Tables};
use crate::{apply, queue, system};

/// Tables with one row per synced row, whose rows go with it.
const BESIDE: [&str; 9] = [
    "__operations",
    "__errors",
    "__shadow",
    "__newer",
    "__extra",
    "__quarantine",
    "__refetch",
    "__unread",
    "__acknowledged",
];

/// Removes matching rows.
///
/// # Errors
///
/// `PendingOperations` when the table has operations and `force` is false.
pub(super) fn purge(conn: &mut SqliteConnection, tables: &Tables, purge: &Purge) -> Result<Purged> {
    let table = tables.get(purge.predicate.table.name)?;
    let name = table.schema.name;
    let pending = queue::pending(conn, Some(name))?;
    if pending > 0 && !purge.force {
        return Err(Error::new(
            ErrorKind::PendingOperations,
            format!("{pending} operations of the table were not pushed yet"),
        )
        .with_table(name));
    }
    system::exempt(conn, |conn| {
        let purged = if purge.predicate.node.is_always() {
            apply::wanted::forget(conn, name, purge.keep_tokens)?;
            remove(conn, table, "")?
        } else {
            mark_matching(conn, table, &purge.predicate.node)?;
            let purged = remove(conn, table, " AND {id} IN (SELECT item_id FROM temp.\"__purged\")")?;
            run(conn, "DELETE FROM temp.\"__purged\"", &[]).or_store()?;
            purged
        };
        // The rows of every query are gone, so every query starts again (G-07).
        if !purge.keep_tokens {
            apply::token::drop(conn, name, None)?;
        }
        Ok(purged)
    })
}

/// Notes the ids of matching rows, and of queued deletes whose kept row matches (G-06), in a temporary table: there may
/// be any number of them (G-11).
fn mark_matching(conn: &mut SqliteConnection, table: &SyncedTable, node: &Node) -> Result<()> {
    conn.batch_execute(
        "CREATE TEMP TABLE IF NOT EXISTS \"__purged\" (item_id TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
         DELETE FROM temp.\"__purged\";",
    )
    .or_store()?;
    let head = format!("INSERT INTO temp.\"__purged\" (item_id) SELECT \"id\" FROM {} WHERE ", table.name);
    filtered::<()>(&head, TableFilter { table: table.schema, node }, "").execute(conn).or_store()?;
    let deleted = query::<(Text, Text)>(
        "SELECT item_id, item FROM \"__operations\"
         WHERE table_name = ? AND kind = 2 AND item IS NOT NULL",
        &[table.schema.name.into()],
    )
    .load::<(String, String)>(conn)
    .or_store()?;
    for (id, text) in deleted {
        let row = match table.whole_row(&text) {
            // Nobody can say whether it matches, so it stays, and the next push tells of it (P-20i).
            Err(error) if error.kind() == ErrorKind::Corrupt => continue,
            row => row?,
        };
        if evaluate::matches(node, &TableRow { table: table.schema, row: &row }) {
            run(conn, "INSERT OR IGNORE INTO temp.\"__purged\" (item_id) VALUES (?)", &[id.into()])
                .or_store()?;
        }
    }
    Ok(())
}

/// Removes rows and what stands beside them. In `condition`, `{id}` is the id's column.
fn remove(conn: &mut SqliteConnection, table: &SyncedTable, condition: &str) -> Result<Purged> {
    let text = format!("DELETE FROM {} WHERE 1{}", table.name, condition.replace("{id}", "\"id\""));
    let rows = run(conn, &text, &[]).or_store()? as u64;
    let mut purged = Purged { rows, operations: 0 };
    for beside in BESIDE {
        let text =
            format!("DELETE FROM \"{beside}\" WHERE table_name = ?{}", condition.replace("{id}", "item_id"));
        let removed = run(conn, &text, &[table.schema.name.into()]).or_store()? as u64;
        if beside == "__operations" {
            purged.operations = removed;
        }
    }
    Ok(purged)
}
