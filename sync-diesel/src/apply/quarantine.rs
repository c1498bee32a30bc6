//! Pulled rows that could not be stored: kept, listed, tried again (L-24).

use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::error::Result;
use sync_core::predicate::Node;
use sync_core::protocol::{Dialect, SystemNames};
use sync_core::store::QuarantinedRow;
use sync_core::wanted::is_text_outside;

use super::{Applying, Forced, wanted};
use crate::failure::OrStore;
use crate::statement::{query, run};
use crate::synced::{SyncedTable, Tables};
use crate::system;

/// Tries the rows of a table again. One that can be read now and that no pull wants any more goes.
pub(crate) fn retry(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<()> {
    let waiting = query::<(Nullable<Text>, Text, Text)>(
        "SELECT query_id, names, item FROM \"__quarantine\" WHERE table_name = ? ORDER BY rowid",
        &[table.schema.name.into()],
    )
    .load::<(Option<String>, String, String)>(conn)
    .or_store()?;
    if waiting.is_empty() {
        return Ok(());
    }
    let any = wanted::load(conn, table.schema)?.any();
    system::exempt(conn, |conn| {
        for (query_id, names, raw) in &waiting {
            // A row of a dialect this version does not know keeps waiting.
            let Some(names) = known_names(names) else { continue };
            let body = format!("[{raw}]");
            let query_id = query_id.as_deref();
            let rest = any.as_ref().filter(|_| query_id.is_some());
            let mut applying = Applying::new(conn, table, query_id, rest, Forced::All)?;
            applying.page(conn, body.as_bytes(), names)?;
        }
        Ok(())
    })
}

/// Ends the waiting of a row that a mirroring pull did not bring. A newer form that does not match says why it did not
/// come, and may be another query's.
pub(super) fn drop_inside(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    id: &str,
    node: &Node,
) -> Result<()> {
    let binds = [table.schema.name.into(), id.into()];
    let waiting = query::<(Text, Text)>(
        "SELECT names, item FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?",
        &binds,
    )
    .get_result::<(String, String)>(conn)
    .optional()
    .or_store()?;
    let Some((names, raw)) = waiting else { return Ok(()) };
    // What this version cannot read keeps waiting.
    let moved = known_names(&names).is_none_or(|names| is_text_outside(node, table.schema, &raw, names));
    if !moved {
        run(conn, "DELETE FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?", &binds).or_store()?;
    }
    Ok(())
}

/// The waiting rows of one table or of all.
pub(crate) fn list(
    conn: &mut SqliteConnection,
    tables: &Tables,
    table: Option<&'static str>,
) -> Result<Vec<QuarantinedRow>> {
    let text = |condition| {
        format!(
            "SELECT table_name, item_id, query_id, reason FROM \"__quarantine\" WHERE {condition}
             ORDER BY table_name, item_id"
        )
    };
    type Columns = (Text, Text, Nullable<Text>, Text);
    type Stored = (String, String, Option<String>, String);
    let stored: Vec<Stored> = match table {
        Some(table) => query::<Columns>(&text("table_name = ?"), &[table.into()]).load(conn).or_store()?,
        None => query::<Columns>(&text("1"), &[]).load(conn).or_store()?,
    };
    Ok(stored
        .into_iter()
        .filter_map(|(name, item_id, query_id, reason)| {
            // A table that is no entity any more has no name here.
            let table = tables.find(&name)?.schema.name;
            Some(QuarantinedRow { table, item_id, query_id, reason })
        })
        .collect())
}

/// How the names of a quarantined row's system properties are stored.
pub(super) fn names_text(names: &SystemNames) -> String {
    [names.created_at, names.updated_at, names.version, names.deleted].join(" ")
}

fn known_names(text: &str) -> Option<&'static SystemNames> {
    Dialect::ALL.into_iter().map(Dialect::names).find(|names| names_text(names) == text)
}
