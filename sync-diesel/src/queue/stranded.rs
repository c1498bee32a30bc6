//! Changes that wait for a column or a table that is gone (I-1, I-6).
//!
//! A migration that renames or drops a column leaves its old name in what is kept of the queue, and the new column looks
//! as if nobody had changed it. So opening looks whether such changes wait, and refuses then: the app's migration says
//! what becomes of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::item;
use sync_core::operation::{OperationKind, SentKind};

use super::record::{QueuedOperation, load};
use crate::capture::untyped_sql;
use crate::connection::Before;
use crate::failure::OrStore;
use crate::schema::releases;
use crate::statement::{literal, query, quote, run};
use crate::synced::{SyncedTable, Tables};

/// Checks that no operation needs a table that is gone.
///
/// # Errors
///
/// `SchemaMismatch` naming the table.
pub(crate) fn check_tables(conn: &mut SqliteConnection, tables: &Tables) -> Result<()> {
    let waiting =
        query::<(Text, BigInt)>("SELECT table_name, count(*) FROM \"__operations\" GROUP BY table_name", &[])
            .load::<(String, i64)>(conn)
            .or_store()?;
    for (table, count) in waiting {
        // A table that only the entities lack keeps its operations, out of sight.
        if tables.find(&table).is_none() && releases::present(conn, &table)?.is_empty() {
            let what = format!(
                "the table is gone, and {} of its rows not sent: push them with the release that has it, or let the \
                 migration rename it as sync_diesel::migration::rename_table does; if they may go, let it delete them \
                 from \"__operations\"",
                changes(count as usize)
            );
            return Err(Error::new(ErrorKind::SchemaMismatch, what).with_table(table));
        }
    }
    Ok(())
}

/// Checks that no operation needs a column that is gone, and forgets such columns.
///
/// # Errors
///
/// `SchemaMismatch` naming the table and a column.
pub(crate) fn check_columns(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    before: &Before<'_>,
) -> Result<()> {
    let present = releases::present(conn, table.schema.name)?;
    let mut gone = releases::unknown(conn, table.schema)?;
    gone.retain(|name| !present.contains(name));
    if gone.is_empty() {
        return Ok(());
    }
    let mut needed: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    let bases = query::<(Text, BigInt, Text)>(
        "SELECT o.item_id, o.kind, s.item FROM \"__operations\" o
         JOIN \"__shadow\" s ON s.table_name = o.table_name AND s.item_id = o.item_id WHERE o.table_name = ?",
        &[table.schema.name.into()],
    )
    .load::<(String, i64, String)>(conn)
    .or_store()?;
    for (id, kind, base) in bases {
        // What cannot be read is told when it is to be sent (P-20i).
        let Ok(members) = item::unknown_members(table.schema, &base) else { continue };
        if kind == OperationKind::Update.as_i64() {
            for name in gone.iter().filter(|name| members.iter().any(|(member, _)| member == *name)) {
                needed.entry(name).or_default().insert(id.clone());
            }
        }
    }
    for (name, ids) in &mut needed {
        if let Some(changed) = before.read(|conn| changed(conn, table, name))? {
            ids.retain(|id| changed.contains(id));
        }
    }
    let sent =
        load(conn, "table_name = ? AND sent_item IS NOT NULL AND kind <> 2", &[table.schema.name.into()])?;
    for operation in sent {
        let Ok(names) = sent_members(table, &operation) else { continue };
        for name in gone.iter().filter(|name| names.contains(*name)) {
            needed.entry(name).or_default().insert(operation.item_id.clone());
        }
    }
    if let Some((name, ids)) = needed.iter().find(|(_, ids)| !ids.is_empty()) {
        let what = format!(
            "column {name} is gone, and {} of column {name} not sent, as far as can be known: push them with the \
             release that has it, or let the migration rename it as sync_diesel::migration::rename_column does; if \
             they may go, let it begin with sync_diesel::migration::give_up_column",
            changes(ids.len())
        );
        return Err(Error::new(ErrorKind::SchemaMismatch, what).with_table(table.schema.name));
    }
    gone.iter().try_for_each(|name| forget(conn, table, name))
}

fn changes(count: usize) -> String {
    if count == 1 { "1 change".to_owned() } else { format!("{count} changes") }
}

/// Names of the columns that the request under way sent, those that the entity does not have among them.
fn sent_members(table: &SyncedTable, operation: &QueuedOperation) -> Result<Vec<String>> {
    let Some(item) = &operation.sent_item else { return Ok(Vec::new()) };
    if operation.sent_kind == Some(SentKind::Delete.as_i64()) {
        return Ok(Vec::new());
    }
    match &operation.sent_columns {
        Some(columns) => serde_json::from_str(columns).map_err(|source| {
            Error::new(ErrorKind::Corrupt, "the list of sent columns cannot be read")
                .with_table(table.schema.name)
                .with_item(&operation.item_id)
                .with_source(source)
        }),
        // Null or absent is the same to a server.
        None => {
            let members = item::unknown_members(table.schema, item)?;
            Ok(members.into_iter().filter(|(_, is_null)| !is_null).map(|(name, _)| name).collect())
        }
    }
}

/// Ids of the rows whose updates changed a column that the entity does not have; `None` if the table has it neither.
fn changed(conn: &mut SqliteConnection, table: &SyncedTable, name: &str) -> Result<Option<HashSet<String>>> {
    if !releases::present(conn, table.schema.name)?.contains(name) {
        return Ok(None);
    }
    let text = format!("SELECT o.item_id FROM {} AND o.kind = 1", changed_sql(table, name));
    let ids = query::<Text>(&text, &[table.schema.name.into()]).load::<String>(conn).or_store()?;
    Ok(Some(ids.into_iter().collect()))
}

/// The first of these columns, which only other releases send, that the operation changed or that its request under way
/// sent. `base`: the stored content of its base.
pub(super) fn unknown_change(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    others: &[String],
    base: Option<&str>,
) -> Result<Option<String>> {
    let sent = sent_members(table, operation)?;
    if let Some(name) = sent.into_iter().find(|name| others.contains(name)) {
        return Ok(Some(name));
    }
    if operation.kind == OperationKind::Insert.as_i64() {
        return unknown_value(conn, table, &operation.item_id, others);
    }
    let Some(base) = base else { return Ok(None) };
    for (name, _) in item::unknown_members(table.schema, base)? {
        if others.contains(&name) {
            let text = format!("SELECT count(*) FROM {} AND o.item_id = ?", changed_sql(table, &name));
            let binds = [table.schema.name.into(), (&operation.item_id).into()];
            if query::<BigInt>(&text, &binds).get_result::<i64>(conn).or_store()? > 0 {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// The first of these columns in which a new row has a value of its own, and not the column's default.
fn unknown_value(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    id: &str,
    others: &[String],
) -> Result<Option<String>> {
    let defaults = query::<(Text, Text)>(
        "SELECT name, coalesce(dflt_value, 'NULL') FROM pragma_table_info(?)",
        &[table.schema.name.into()],
    )
    .load::<(String, String)>(conn)
    .or_store()?;
    for (name, default) in defaults.into_iter().filter(|(name, _)| others.contains(name)) {
        let text = format!(
            "SELECT count(*) AS count FROM {} AS t WHERE t.\"id\" = ? AND t.{column} IS NOT NULL AND t.{column} IS NOT ({default})",
            table.name,
            column = quote(&name)
        );
        // The default may hold a question mark, which is no place for a value.
        let found = diesel::sql_query(text).bind::<Text, _>(id).get_result::<Found>(conn).or_store()?;
        if found.count > 0 {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Operations `o` whose base has another value in the column than the row. Binds the table's name.
fn changed_sql(table: &SyncedTable, name: &str) -> String {
    let column = untyped_sql("t.", name);
    let path = path(name);
    format!(
        "\"__operations\" o JOIN \"__shadow\" s ON s.table_name = o.table_name AND s.item_id = o.item_id
         JOIN {} t ON t.\"id\" = o.item_id WHERE o.table_name = ? AND CASE WHEN json_valid(s.item)
         THEN json_type(s.item, {path}) IS NOT NULL
         AND json_extract(s.item, {path}) IS NOT ({column}) COLLATE BINARY END",
        table.name
    )
}

/// Takes a column that is gone out of the bases: nobody changed it there.
fn forget(conn: &mut SqliteConnection, table: &SyncedTable, name: &str) -> Result<()> {
    let path = path(name);
    let text = format!(
        "UPDATE \"__shadow\" SET item = json_remove(item, {path}) WHERE table_name = ?
         AND CASE WHEN json_valid(item) THEN json_type(item, {path}) IS NOT NULL END"
    );
    run(conn, &text, &[table.schema.name.into()]).or_store().map(|_| ())
}

/// SQL text: the path of a member.
fn path(name: &str) -> String {
    literal(&format!("$.\"{name}\""))
}
