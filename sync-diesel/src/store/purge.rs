//! Purge (17.4): local rows go, with everything sync keeps about them; nothing is sent.

use diesel::RunQueryDsl;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::evaluate;
use sync_core::row::TableRow;
use sync_core::store::{Purge, Purged};

use crate::failure::OrStore;
use crate::statement::{Bind, query, run};
use crate::synced::{SyncedTable, Tables};
use crate::{apply, queue, system};

/// Tables with one row per synced row, whose rows go with it.
const BESIDE: [&str; 8] = [
    "__operations",
    "__errors",
    "__shadow",
    "__newer",
    "__extra",
    "__quarantine",
    "__refetch",
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
            remove(conn, table, "", &[])?
        } else {
            let ids = matching_ids(conn, table, purge)?;
            remove(conn, table, " AND {id} IN (SELECT value FROM json_each(?))", &[ids.into()])?
        };
        // The rows of every query are gone, so every query starts again (G-07).
        apply::token::reset(conn, name, None)?;
        Ok(purged)
    })
}

/// The ids of matching rows, and of queued deletes whose kept row matches (G-06), as a JSON array.
fn matching_ids(conn: &mut SqliteConnection, table: &SyncedTable, purge: &Purge) -> Result<String> {
    let node = &purge.predicate.node;
    let mut ids: Vec<String> = Vec::new();
    table.for_each(conn, node, |row| {
        ids.push(row.id);
        Ok(())
    })?;
    let deleted = query::<(Text, Text)>(
        "SELECT item_id, item FROM \"__operations\"
         WHERE table_name = ? AND kind = 2 AND item IS NOT NULL",
        &[table.schema.name.into()],
    )
    .load::<(String, String)>(conn)
    .or_store()?;
    for (id, text) in deleted {
        let row = table.whole_row(&text)?;
        if evaluate::matches(node, &TableRow { table: table.schema, row: &row }) {
            ids.push(id);
        }
    }
    serde_json::to_string(&ids).map_err(|source| {
        Error::new(ErrorKind::Store, "the list of rows cannot be written").with_source(source)
    })
}

/// Removes rows and what stands beside them. In `condition`, `{id}` is the id's column.
fn remove(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    condition: &str,
    values: &[Bind<'_>],
) -> Result<Purged> {
    let text = format!("DELETE FROM {} WHERE 1{}", table.name, condition.replace("{id}", "\"id\""));
    let rows = run(conn, &text, values).or_store()? as u64;
    let mut purged = Purged { rows, operations: 0 };
    let mut binds: Vec<Bind<'_>> = vec![table.schema.name.into()];
    binds.extend(values.iter().cloned());
    for beside in BESIDE {
        let text =
            format!("DELETE FROM \"{beside}\" WHERE table_name = ?{}", condition.replace("{id}", "item_id"));
        let removed = run(conn, &text, &binds).or_store()? as u64;
        if beside == "__operations" {
            purged.operations = removed;
        }
    }
    Ok(purged)
}
