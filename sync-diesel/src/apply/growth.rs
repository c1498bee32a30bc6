//! Tables that got columns (S-06, R11).
//!
//! A new column is null, or its default, in the rows that are already here, also where the server has values. When
//! the store opens and finds that a table has columns it did not have before, the values come first from the unknown
//! members kept beside the rows; then all tokens of the table go, and each of its queries stores rows of a known
//! version too until it once came to its end. Rows with an operation get the column in the base of their changes as
//! well: a column nobody changed must not look changed, or its null would go to the server. And so does a request whose
//! answer is still to come: sent again, it must hold what it held, or a whole row would take the member from the server.

use std::collections::HashSet;

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use serde_json::{Map, Value as Json};
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::item;
use sync_core::page::{Cell, for_each_row};
use sync_core::protocol::Dialect;
use sync_core::row::Row;
use sync_core::store::PullScope;

use super::copies::Copy;
use super::{drop_extra, store_extra, token};
use crate::failure::{OrStore, is_about_the_row};
use crate::schema::releases;
use crate::statement::{query, run};
use crate::synced::{SyncedTable, Tables};
use crate::system;

/// Finds grown tables, and fills what can be filled from what is here.
pub(crate) fn settle(conn: &mut SqliteConnection, tables: &Tables) -> Result<()> {
    for table in tables.iter() {
        let name = table.schema.name;
        let columns: Vec<&str> = table.schema.sent_columns().map(|(_, column)| column.name).collect();
        let known = releases::known(conn, name)?;
        let is_same = known.as_ref().is_some_and(|known| known.iter().eq(columns.iter()));
        let others = releases::others(conn, table.schema)?;
        if is_same && others == releases::unknown(conn, table.schema)? {
            continue;
        }
        let new: Vec<usize> = table
            .schema
            .sent_columns()
            .filter(|(_, column)| {
                known.as_ref().is_some_and(|known| known.iter().all(|known| known != column.name))
            })
            .map(|(index, _)| index)
            .collect();
        releases::note(conn, name, &columns, &others, !new.is_empty())?;
        if !new.is_empty() {
            system::exempt(conn, |conn| {
                fill(conn, table, &new)?;
                fill_operations(conn, table, &new)
            })?;
            token::drop(conn, name, None)?;
        }
    }
    Ok(())
}

/// Moves kept unknown members into the columns they now have. What a constraint of the app's refuses stays where it is:
/// the pull to come puts the row into quarantine.
fn fill(conn: &mut SqliteConnection, table: &SyncedTable, new: &[usize]) -> Result<()> {
    let kept = query::<(Text, Text)>(
        "SELECT item_id, json FROM \"__extra\" WHERE table_name = ?",
        &[table.schema.name.into()],
    )
    .load::<(String, String)>(conn)
    .or_store()?;
    let dirty = dirty(conn, table)?;
    let mut filled = Vec::new();
    let mut refused = HashSet::new();
    for (id, json) in kept {
        let Some((values, rest)) = divide(table, new, &json)? else { continue };
        let Some(before) = table.find(conn, &id)? else { continue };
        let mut row = Row { values: values.values, ..before.clone() };
        if dirty.contains(&id)
            && let Some(base) = Copy::Base.load(conn, table, &id)?
        {
            // Another release, or the column under its old name, has changed it already.
            for (index, value) in row.values.iter_mut().enumerate() {
                let is_changed = base.values[index].is_some() && base.values[index] != before.values[index];
                *value = value.take().filter(|_| !is_changed);
            }
        }
        match table.update(conn, &row) {
            Ok(_) => filled.push((before, rest)),
            Err(error) if is_about_the_row(&error) => drop(refused.insert(id)),
            Err(error) => return Err(error).or_store(),
        }
    }
    // Opening has the foreign keys off, so that they are looked at afterwards.
    let orphaned = if filled.is_empty() { HashSet::new() } else { orphans(conn, table)? };
    for (mut row, rest) in filled {
        if orphaned.contains(&row.id) {
            for (index, value) in row.values.iter_mut().enumerate() {
                *value = value.take().filter(|_| new.contains(&index));
            }
            table.update(conn, &row).or_store()?;
            refused.insert(row.id);
        } else {
            drop_extra(conn, table, &row.id)?;
            store_extra(conn, table, &row.id, rest.as_deref())?;
        }
    }
    // The base first: the other takes from it.
    for copy in [Copy::Base, Copy::Newer] {
        fill_copies(conn, table, new, &dirty, &refused, copy)?;
    }
    Ok(())
}

/// Ids of the rows with an operation.
fn dirty(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<HashSet<String>> {
    let text = "SELECT item_id FROM \"__operations\" WHERE table_name = ?";
    let ids = query::<Text>(text, &[table.schema.name.into()]).load::<String>(conn).or_store()?;
    Ok(ids.into_iter().collect())
}

/// Ids of the table's rows that refer to rows that are not there.
fn orphans(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<HashSet<String>> {
    let text = format!(
        "SELECT \"id\" FROM {} WHERE rowid IN (SELECT \"rowid\" FROM pragma_foreign_key_check(?))",
        table.name
    );
    let ids = query::<Text>(&text, &[table.schema.name.into()]).load::<String>(conn).or_store()?;
    Ok(ids.into_iter().collect())
}

/// Gives the new columns to the copies of one kind: from their unknown members, else as they have them already, else from
/// where nobody changed them. What the row itself was `refused` would make its column look changed.
fn fill_copies(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    new: &[usize],
    dirty: &HashSet<String>,
    refused: &HashSet<String>,
    copy: Copy,
) -> Result<()> {
    for id in dirty {
        let Some(mut kept) = copy.load(conn, table, id)? else { continue };
        let from_extra = match kept.extra.clone().filter(|_| !refused.contains(id)) {
            Some(extra) => divide(table, new, &extra)?,
            None => None,
        };
        let base = if copy == Copy::Newer { Copy::Base.load(conn, table, id)? } else { None };
        let source = match base {
            Some(base) => Some(base),
            None => table.find(conn, id)?,
        };
        for &index in new {
            let known = from_extra.as_ref().and_then(|(values, _)| values.values[index].clone());
            let here = || source.as_ref().and_then(|source| source.values[index].clone());
            kept.values[index] = known.or_else(|| kept.values[index].take()).or_else(here);
        }
        if let Some((_, rest)) = from_extra {
            kept.extra = rest;
        }
        copy.store(conn, table, &kept)?;
    }
    Ok(())
}

/// What is kept of an operation as text.
#[derive(diesel::QueryableByName)]
struct Kept {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    item_id: String,
    /// The row that is to be deleted.
    #[diesel(sql_type = Nullable<Text>)]
    item: Option<String>,
    /// What was sent.
    #[diesel(sql_type = Nullable<Text>)]
    sent_item: Option<String>,
    /// Names of the columns sent; `None` for all that were known.
    #[diesel(sql_type = Nullable<Text>)]
    sent_columns: Option<String>,
}

fn fill_operations(conn: &mut SqliteConnection, table: &SyncedTable, new: &[usize]) -> Result<()> {
    let name = table.schema.name;
    let kept = diesel::sql_query(
        "SELECT seq, item_id, item, sent_item, sent_columns FROM \"__operations\"
         WHERE table_name = ? AND (item IS NOT NULL OR sent_item IS NOT NULL)",
    )
    .bind::<Text, _>(name)
    .load::<Kept>(conn)
    .or_store()?;
    for Kept { seq, item_id, item, sent_item, mut sent_columns } in kept {
        let item = item.map(|text| fill_text(table, new, &text, None)).transpose()?.map(|(text, _)| text);
        let local = table.find(conn, &item_id)?;
        let sent_item = match sent_item {
            None => None,
            Some(text) => {
                let (text, shown) = fill_text(table, new, &text, local.as_ref())?;
                if sent_columns.is_none() {
                    // A column that was no member was not sent.
                    let was_sent = |index: &usize| !new.contains(index) || shown.contains(index);
                    let columns = table.schema.sent_columns().filter(|(index, _)| was_sent(index));
                    let names: Vec<&str> = columns.map(|(_, column)| column.name).collect();
                    sent_columns = Some(Json::from(names).to_string());
                }
                Some(text)
            }
        };
        run(
            conn,
            "UPDATE \"__operations\" SET item = ?, sent_item = ?, sent_columns = ? WHERE seq = ?",
            &[(&item).into(), (&sent_item).into(), (&sent_columns).into(), seq.into()],
        )
        .or_store()?;
    }
    Ok(())
}

/// A row kept as text with its new columns: as it has them, else from its unknown members, else as they are in `local`.
/// Gives also which were members.
fn fill_text(
    table: &SyncedTable,
    new: &[usize],
    text: &str,
    local: Option<&Row>,
) -> Result<(String, Vec<usize>)> {
    let unreadable = |source: serde_json::Error| {
        Error::new(ErrorKind::Corrupt, "a kept row cannot be read")
            .with_table(table.schema.name)
            .with_source(source)
    };
    let divided = match table.whole_row(text)?.extra {
        Some(extra) => divide(table, new, &extra)?,
        None => None,
    };
    let member = |index: usize| divided.as_ref().and_then(|(values, _)| values.values[index].clone());
    let mut columns = Row::empty(table.schema, String::new());
    for &index in new {
        columns.values[index] = member(index).or_else(|| local?.values[index].clone());
    }
    let mut filled: Map<String, Json> = serde_json::from_str(text).map_err(unreadable)?;
    let mut columns: Map<String, Json> =
        serde_json::from_str(&item::encode(table.schema, &columns)).map_err(unreadable)?;
    columns.remove("id");
    let is_there =
        |index: &usize| filled.contains_key(table.schema.columns[*index].name) || member(*index).is_some();
    let shown = new.iter().copied().filter(is_there).collect();
    for (name, value) in columns {
        filled.entry(name).or_insert(value);
    }
    if let Some((_, rest)) = divided {
        filled.insert("__extra".to_owned(), rest.into());
    }
    Ok((Json::Object(filled).to_string(), shown))
}

/// The members that are new columns, as a row with those columns alone, and the other members; `None` if none is.
fn divide(table: &SyncedTable, new: &[usize], json: &str) -> Result<Option<(Row, Option<String>)>> {
    // What a server shows once as a member and once as a column reads alike: through the decoder of pages.
    let body = format!("[{json}]");
    let mut divided = None;
    for_each_row(body.as_bytes(), table.schema, Dialect::MobileApps.names(), |mut wire| {
        for (index, cell) in wire.cells.iter_mut().enumerate() {
            if !new.contains(&index) {
                *cell = Cell::Absent;
            }
        }
        if wire.cells.iter().any(|cell| !matches!(cell, Cell::Absent)) {
            wire.id = Some("".into());
            divided = wire.to_row().map(|row| (row, wire.extra_json()));
        }
        Ok(())
    })
    .map_err(|source| {
        Error::new(ErrorKind::Corrupt, "kept members of a row cannot be read")
            .with_table(table.schema.name)
            .with_source(source)
    })?;
    Ok(divided)
}

/// Whether the table grew since the query last came to its end. Of a full pull whose filter is one too many to be
/// remembered that is not known, and a window never brings all: such pulls look into every row of a grown table.
pub(super) fn needs_refill(conn: &mut SqliteConnection, scope: &PullScope) -> Result<bool> {
    let (text, key) = place(scope);
    let text = format!(
        "SELECT coalesce((SELECT growths FROM \"__columns\" WHERE table_name = ?), 0)
         > coalesce((SELECT filled FROM {text}), 0)"
    );
    let table = scope.table.name;
    let binds = [table.into(), table.into(), key.into()];
    Ok(query::<BigInt>(&text, &binds).get_result::<i64>(conn).or_store()? > 0)
}

/// The query came to its end with all columns.
pub(super) fn refilled(conn: &mut SqliteConnection, scope: &PullScope) -> Result<()> {
    let (text, key) = place(scope);
    let (name, condition) = text.split_once(" WHERE ").unwrap_or((text, "0"));
    let text = format!(
        "UPDATE {name} SET filled = coalesce((SELECT growths FROM \"__columns\" WHERE table_name = ?), 0) WHERE {condition}"
    );
    let table = scope.table.name;
    run(conn, &text, &[table.into(), table.into(), key.into()]).or_store().map(|_| ())
}

/// Where a pull is remembered: table with a condition of two values, the table's name and this key.
fn place(scope: &PullScope) -> (&'static str, &str) {
    match &scope.query {
        Some(query) => ("\"__queries\" WHERE table_name = ? AND query_id = ?", &query.query_id),
        None => ("\"__full_pulls\" WHERE table_name = ? AND filter = ?", &scope.wanted),
    }
}
