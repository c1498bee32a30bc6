//! Whether the database's tables fit the entities.

use std::collections::BTreeMap;

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::entity::{ColumnSchema, DELETED, ID, TableSchema, UPDATED_AT, VERSION};
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::value::ColumnType;

use super::TableEntry;
use crate::connection::Before;
use crate::failure::OrStore;
use crate::statement::query;

/// Checks every table of the schema.
///
/// # Errors
///
/// `InvalidArgument` for a name that cannot be used, `SchemaMismatch` naming table and column otherwise.
pub(crate) fn check(conn: &mut SqliteConnection, tables: &[TableEntry]) -> Result<()> {
    check_list(tables)?;
    for entry in tables {
        check_columns(conn, entry.schema())?;
    }
    check_cascades(conn, tables)?;
    check_deferred(conn, tables)
}

/// Checks the list itself, without a database.
///
/// # Errors
///
/// `InvalidArgument` for a name that cannot be used and for a table listed twice.
pub(crate) fn check_list(tables: &[TableEntry]) -> Result<()> {
    for (index, entry) in tables.iter().enumerate() {
        let table = entry.schema();
        check_names(table)?;
        if tables[..index].iter().any(|other| other.schema().name.eq_ignore_ascii_case(table.name)) {
            return Err(
                Error::new(ErrorKind::InvalidArgument, "the table is listed twice").with_table(table.name)
            );
        }
    }
    Ok(())
}

/// Checks that no foreign key lost its row since `before`, after tables were altered without enforcing them. What had
/// none already is not this opening's doing, and may be in tables that have nothing to do with sync.
///
/// # Errors
///
/// `SchemaMismatch` naming a table with orphaned rows.
pub(crate) fn check_rows(conn: &mut SqliteConnection, before: &Before<'_>) -> Result<()> {
    let orphans = orphans(conn)?;
    if orphans.is_empty() {
        return Ok(());
    }
    // A rebuilt table numbers its rows anew, so that they are counted.
    let known = before.read(self::orphans)?;
    match orphans.into_iter().find(|(key, count)| known.get(key).is_none_or(|known| known < count)) {
        None => Ok(()),
        Some(((table, _), _)) => {
            Err(Error::new(ErrorKind::SchemaMismatch, "rows violate a foreign key after the migration")
                .with_table(table))
        }
    }
}

/// The number of rows without the row they refer to, by their table and the other.
fn orphans(conn: &mut SqliteConnection) -> Result<BTreeMap<(String, String), i64>> {
    let orphans = query::<(Text, Text, BigInt)>(
        "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2",
        &[],
    )
    .load::<(String, String, i64)>(conn)
    .or_store()?;
    Ok(orphans.into_iter().map(|(table, parent, count)| ((table, parent), count)).collect())
}

fn check_names(table: &TableSchema) -> Result<()> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with("__")
            && name.chars().all(|character| character.is_alphanumeric() || character == '_')
    };
    if !is_name(table.name) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a table's name has letters, digits and underscores, and does not start with two underscores",
        )
        .with_table(table.name));
    }
    for column in table.columns {
        if !is_name(column.name) || column.name.eq_ignore_ascii_case(ID.name) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("column {} has a name that cannot be used", column.name),
            )
            .with_table(table.name));
        }
    }
    Ok(())
}

fn mismatch(table: &TableSchema, what: String) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what).with_table(table.name)
}

fn check_columns(conn: &mut SqliteConnection, table: &TableSchema) -> Result<()> {
    // Without generated columns, which nobody writes.
    let found = query::<(Text, Text, BigInt, BigInt)>(
        "SELECT name, type, pk, \"notnull\" AND coalesce(upper(dflt_value), 'NULL') = 'NULL'
         FROM pragma_table_info(?)",
        &[table.name.into()],
    )
    .load::<(String, String, i64, i64)>(conn)
    .or_store()?;
    if found.is_empty() {
        return Err(mismatch(table, "the table does not exist; a migration is missing".to_owned()));
    }
    for column in [&ID, &UPDATED_AT, &VERSION, &DELETED].into_iter().chain(table.columns) {
        let Some((_, declared, ..)) = found.iter().find(|(name, ..)| name == column.name) else {
            return Err(mismatch(
                table,
                format!("column {} does not exist; a migration is missing", column.name),
            ));
        };
        if !fits(column, declared) {
            return Err(mismatch(
                table,
                format!("column {} has the type {declared}, which does not hold its values", column.name),
            ));
        }
    }
    let keys: Vec<&str> =
        found.iter().filter(|(_, _, pk, _)| *pk > 0).map(|(name, ..)| name.as_str()).collect();
    if keys != [ID.name] {
        return Err(mismatch(table, "column id is not the primary key".to_owned()));
    }
    let is_known = |name: &str| {
        [&ID, &UPDATED_AT, &VERSION, &DELETED]
            .into_iter()
            .chain(table.columns)
            .any(|column| column.name == name)
    };
    if let Some((name, ..)) = found.iter().find(|(name, _, _, must)| *must != 0 && !is_known(name)) {
        return Err(mismatch(
            table,
            format!(
                "column {name} is NOT NULL without a default and no field of the entity, so that no row can be \
                 added; a migration must drop it or give it a default"
            ),
        ));
    }
    let is_ordinary = query::<BigInt>(
        "SELECT count(*) FROM pragma_table_list(?) WHERE schema = 'main' AND type = 'table' AND wr = 0",
        &[table.name.into()],
    )
    .get_result::<i64>(conn)
    .or_store()?;
    if is_ordinary != 1 {
        return Err(mismatch(
            table,
            "it is a view, a virtual table or WITHOUT ROWID, which is not supported".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a column of this declared type keeps the column's values as they are (SQLite's affinity rules).
pub(crate) fn fits(column: &ColumnSchema, declared: &str) -> bool {
    #[derive(PartialEq)]
    enum Affinity {
        Integer,
        Text,
        None,
        Real,
        Numeric,
    }
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    let affinity = if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || declared.is_empty() {
        Affinity::None
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    };
    match column.ty {
        ColumnType::Text | ColumnType::Uuid => affinity == Affinity::Text,
        // Diesel's TIMESTAMP types have numeric affinity, which leaves texts with dashes alone.
        ColumnType::DateTime => matches!(affinity, Affinity::Text | Affinity::Numeric),
        ColumnType::Bool | ColumnType::Integer(_) => {
            matches!(affinity, Affinity::Integer | Affinity::Numeric)
        }
        ColumnType::Float | ColumnType::Double => matches!(affinity, Affinity::Real | Affinity::Numeric),
        _ => false,
    }
}

/// The synced table of this name.
fn synced<'t>(tables: &'t [TableEntry], name: &str) -> Option<&'t TableSchema> {
    tables.iter().map(TableEntry::schema).find(|table| table.name.eq_ignore_ascii_case(name))
}

/// A foreign key.
struct ForeignKey {
    child: String,
    column: String,
    parent: String,
    on_update: String,
    on_delete: String,
}

impl ForeignKey {
    /// Whether rows of the child are written or deleted when the parent's are changed (`false`) or deleted (`true`).
    fn acts(&self, on_delete: bool) -> bool {
        let action = if on_delete { &self.on_delete } else { &self.on_update };
        matches!(action.as_str(), "CASCADE" | "SET NULL" | "SET DEFAULT")
    }

    /// Whether what happens to the parent goes on to what refers to the child.
    fn passes_on(&self, on_delete: bool) -> bool {
        if on_delete { self.on_delete == "CASCADE" } else { self.acts(false) }
    }
}

/// S-14: a cascade between synced tables, also by way of others, would write rows nobody asked to write.
fn check_cascades(conn: &mut SqliteConnection, tables: &[TableEntry]) -> Result<()> {
    let keys: Vec<ForeignKey> = query::<(Text, Text, Text, Text, Text)>(
        "SELECT child.name, key.\"from\", key.\"table\", key.on_update, key.on_delete
         FROM main.sqlite_schema AS child, pragma_foreign_key_list(child.name) AS key
         WHERE child.type = 'table'",
        &[],
    )
    .load::<(String, String, String, String, String)>(conn)
    .or_store()?
    .into_iter()
    .map(|(child, column, parent, on_update, on_delete)| ForeignKey {
        child,
        column,
        parent,
        on_update,
        on_delete,
    })
    .collect();
    for key in &keys {
        let Some(table) = synced(tables, &key.child) else { continue };
        let cause = [false, true]
            .into_iter()
            .filter(|on_delete| key.acts(*on_delete))
            .find_map(|on_delete| synced_origin(&keys, tables, &key.parent, on_delete));
        if let Some(cause) = cause {
            return Err(mismatch(
                table,
                format!(
                    "the foreign key of column {} acts on rows of this synced table when {} changes; use belongs_to \
                     instead",
                    key.column, cause.name
                ),
            ));
        }
    }
    Ok(())
}

/// The synced table whose changes or deletions reach the rows of this table.
fn synced_origin<'t>(
    keys: &[ForeignKey],
    tables: &'t [TableEntry],
    name: &str,
    on_delete: bool,
) -> Option<&'t TableSchema> {
    let mut reached = vec![name];
    let mut next = 0;
    while let Some(&name) = reached.get(next) {
        if let Some(table) = synced(tables, name) {
            return Some(table);
        }
        for key in keys.iter().filter(|key| key.child.eq_ignore_ascii_case(name) && key.passes_on(on_delete))
        {
            if !reached.iter().any(|known| known.eq_ignore_ascii_case(&key.parent)) {
                reached.push(&key.parent);
            }
        }
        next += 1;
    }
    None
}

/// S-14: what a deferred foreign key forbids shows when a page commits, and no row could be told from the others. SQLite
/// lists the keys of a table without saying which are deferred, so its text has to do.
fn check_deferred(conn: &mut SqliteConnection, tables: &[TableEntry]) -> Result<()> {
    let keys = query::<(Text, Text, Text)>(
        "SELECT child.name, key.\"from\", key.\"table\"
         FROM main.sqlite_schema AS child, pragma_foreign_key_list(child.name) AS key
         WHERE child.type = 'table' AND child.sql LIKE '%INITIALLY%DEFERRED%'",
        &[],
    )
    .load::<(String, String, String)>(conn)
    .or_store()?;
    for (child, column, parent) in keys {
        if let Some(table) = synced(tables, &child).or_else(|| synced(tables, &parent)) {
            return Err(mismatch(
                table,
                format!(
                    "the foreign key of column {column} of {child} may be deferred: a row that violates it would \
                     fail a whole page; declare it without INITIALLY DEFERRED"
                ),
            ));
        }
    }
    Ok(())
}
