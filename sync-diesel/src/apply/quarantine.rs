//! Pulled rows that could not be stored: kept, listed, tried again (L-24).

use std::collections::HashSet;

use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, OptionalExtension, RunQueryDsl};
use sync_core::error::Result;
use sync_core::page::{self, for_each_row};
use sync_core::predicate::Node;
use sync_core::protocol::{Dialect, SystemNames};
use sync_core::row::Row;
use sync_core::store::{Applied, QuarantinedRow};
use sync_core::value::ColumnType;
use sync_core::wanted::is_text_outside;

use super::{Applying, Forced, store_extra, wanted};
use crate::failure::{OrStore, TAKEN, is_about_the_row};
use crate::statement::{query, quote, run};
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

/// Tries the rows of every table again (L-24).
pub(crate) fn retry_all(conn: &mut SqliteConnection, tables: &Tables) -> Result<()> {
    tables.iter().try_for_each(|table| retry(conn, table).map(|_| ()))
}

/// Tries the rows of a table again; gives what became of those that wait no longer. One that can be read now and that no
/// pull wants any more goes.
pub(crate) fn retry(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<Applied> {
    // The last first: it is what those before it wait for, be it a parent or a value to be given up.
    let waiting = query::<(Nullable<Text>, Text, Text)>(
        "SELECT query_id, names, item FROM \"__quarantine\" WHERE table_name = ? ORDER BY rowid DESC",
        &[table.schema.name.into()],
    )
    .load::<(Option<String>, String, String)>(conn)
    .or_store()?;
    if waiting.is_empty() {
        return Ok(Applied::default());
    }
    let any = wanted::load(conn, table.schema)?.any();
    system::exempt(conn, |conn| {
        let mut applying = Applying::new(conn, table, None, None, Forced::All)?;
        for (query_id, names, raw) in &waiting {
            // A row of a dialect this version does not know keeps waiting.
            let Some(names) = known_names(names) else { continue };
            let body = format!("[{raw}]");
            applying.query_id = query_id.as_deref();
            applying.rest = any.as_ref().filter(|_| query_id.is_some());
            applying.page(conn, body.as_bytes(), names)?;
        }
        let mut applied = Applied { quarantined: 0, ..applying.applied };
        applied.changed += exchange(conn, table)?;
        Ok(applied)
    })
}

/// A clean row and what the server made of it.
struct Moving {
    id: String,
    new: Row,
}

/// A statement about one row.
type Write<'w> = &'w dyn Fn(&mut SqliteConnection, &Moving) -> QueryResult<usize>;

/// Stores rows that wait for each other, since each has a unique value that another one is to have (S-15): all give
/// theirs up before they are written. No row is taken out, which would act on what refers to it. Gives their number.
fn exchange(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<u64> {
    let mut moving = moving(conn, table)?;
    if moving.len() < 2 {
        return Ok(0);
    }
    let give_up = give_up_sql(conn, table)?;
    let steps: [Write<'_>; 2] =
        [&|conn, row| run(conn, &give_up, &[(&row.id).into()]), &|conn, row| table.update(conn, &row.new)];
    while moving.len() > 1 {
        let mut refused = HashSet::new();
        let outcome = conn.transaction::<_, DieselError, _>(|conn| {
            for step in steps {
                for row in &moving {
                    match step(conn, row) {
                        Err(error) if is_about_the_row(&error) => drop(refused.insert(row.id.clone())),
                        outcome => drop(outcome?),
                    }
                }
                if !refused.is_empty() {
                    return Err(DieselError::RollbackTransaction);
                }
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {
                for Moving { id, new } in &moving {
                    store_extra(conn, table, id, new.extra.as_deref())?;
                    forget(conn, table, id)?;
                }
                return Ok(moving.len() as u64);
            }
            // The others may do without those that something else keeps from their places.
            Err(DieselError::RollbackTransaction) => moving.retain(|row| !refused.contains(&row.id)),
            Err(error) => return Err(error).or_store(),
        }
    }
    Ok(0)
}

/// SQL: a row gives up the values of its unique columns, each for one that no other row has. Columns of foreign keys keep
/// theirs unless they may be null, and so do those that foreign keys refer to.
fn give_up_sql(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<String> {
    let name = table.schema.name;
    let mut names = |text: &str| -> Result<Vec<Option<String>>> {
        query::<Nullable<Text>>(text, &[name.into()]).load(conn).or_store()
    };
    let unique = names(
        "SELECT part.name FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS part
         WHERE list.\"unique\" AND list.origin <> 'pk'",
    )?;
    let references = names("SELECT \"from\" FROM pragma_foreign_key_list(?)")?;
    let referred = names(
        "SELECT key.\"to\" FROM main.sqlite_schema AS other, pragma_foreign_key_list(other.name) AS key
         WHERE other.type = 'table' AND key.\"table\" = ? COLLATE NOCASE",
    )?;
    let has = |names: &[Option<String>], column: &str| {
        names.iter().flatten().any(|name| name.eq_ignore_ascii_case(column))
    };
    // The part of an index that is an expression may read any column.
    let has_expression = unique.iter().any(Option::is_none);
    let mut text = format!("UPDATE {} SET \"__deleted\" = \"__deleted\"", table.name);
    for column in table.schema.columns {
        let is_given = (has_expression || has(&unique, column.name)) && !has(&referred, column.name);
        let value = match column.ty {
            _ if column.nullable => "NULL",
            // Two values of this type are soon taken: the other columns of the index must do.
            ColumnType::Bool => continue,
            _ if has(&references, column.name) => continue,
            ColumnType::Integer(_) | ColumnType::Float | ColumnType::Double => "rowid - 4611686018427387904",
            _ => "'given up by ' || rowid",
        };
        if is_given {
            text.push_str(&format!(", {} = {value}", quote(column.name)));
        }
    }
    text.push_str(" WHERE \"id\" = ?");
    Ok(text)
}

/// The clean rows whose newer forms wait for a unique value.
fn moving(conn: &mut SqliteConnection, table: &SyncedTable) -> Result<Vec<Moving>> {
    let waiting = query::<(Text, Text, Text)>(
        "SELECT item_id, names, item FROM \"__quarantine\" WHERE table_name = ? AND reason = ? ORDER BY rowid",
        &[table.schema.name.into(), TAKEN.into()],
    )
    .load::<(String, String, String)>(conn)
    .or_store()?;
    let mut moving = Vec::with_capacity(waiting.len());
    for (id, names, raw) in waiting {
        let Some(names) = known_names(&names) else { continue };
        let Some(mut new) = table.find(conn, &id)? else { continue };
        let mut server = None;
        for_each_row(format!("[{raw}]").as_bytes(), table.schema, names, |wire| {
            server = wire.to_row();
            Ok(())
        })?;
        if let Some(server) = server {
            overlay(table.schema, &mut new, &server);
            moving.push(Moving { id, new });
        }
    }
    Ok(moving)
}

/// Whether the row waits in this version.
pub(crate) fn is_of_version(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    id: &str,
    version: Option<&str>,
) -> Result<bool> {
    let waiting = query::<(Text, Text)>(
        "SELECT names, item FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?",
        &[table.schema.name.into(), id.into()],
    )
    .get_result::<(String, String)>(conn)
    .optional()
    .or_store()?;
    let is_same = |(names, raw): (String, String)| {
        known_names(&names).is_some_and(|names| page::is_of_version(&raw, table.schema, names, version))
    };
    Ok(waiting.is_some_and(is_same))
}

/// Ends the waiting of a row.
fn forget(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    let binds = [table.schema.name.into(), id.into()];
    run(conn, "DELETE FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?", &binds)
        .or_store()
        .map(|_| ())
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
    if moved { Ok(()) } else { forget(conn, table, id) }
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
