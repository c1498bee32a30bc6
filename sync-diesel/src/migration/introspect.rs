//! The app's tables as they stand in a database.

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::entity::{DELETED, ID, UPDATED_AT, VERSION};
use sync_core::error::Result;

use crate::failure::OrStore;
use crate::statement::query;

/// The app's tables in order of their names; neither sync's, nor Diesel's, nor SQLite's own.
#[derive(Debug, PartialEq)]
pub(crate) struct Description {
    pub(crate) tables: Vec<Table>,
}

/// One table.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) indexes: Vec<Index>,
    foreign_keys: Vec<ForeignKey>,
}

/// One column.
#[derive(Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The declared type as it is written.
    pub(crate) declared: String,
    pub(crate) nullable: bool,
    /// The text of the DEFAULT as it is written.
    pub(crate) default: Option<String>,
    is_key: bool,
}

/// One index.
#[derive(Debug, PartialEq)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// Its columns; an expression is an empty name.
    pub(crate) columns: Vec<String>,
    pub(crate) is_unique: bool,
    /// Whether it has a condition.
    pub(crate) is_partial: bool,
    /// Made by `CREATE INDEX`, not by a constraint.
    pub(crate) is_explicit: bool,
}

/// A foreign key: column, table, its column, actions on update and delete.
type ForeignKey = (String, String, String, String, String);

impl Table {
    /// Whether it has the system columns of a synced table and no other key.
    pub(crate) fn is_synced(&self) -> bool {
        let keys: Vec<&str> =
            self.columns.iter().filter(|column| column.is_key).map(|column| column.name.as_str()).collect();
        keys == [ID.name] && [&UPDATED_AT, &VERSION, &DELETED].iter().all(|column| self.has(column.name))
    }

    /// The column of this name (exact spelling).
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }
}

/// Reads the tables of a database.
pub(crate) fn describe(conn: &mut SqliteConnection) -> Result<Description> {
    let names = query::<Text>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 2) <> '__'
         AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name",
        &[],
    )
    .load::<String>(conn)
    .or_store()?;
    let tables = names.into_iter().map(|name| table(conn, name)).collect::<Result<_>>()?;
    Ok(Description { tables })
}

fn table(conn: &mut SqliteConnection, name: String) -> Result<Table> {
    let columns = query::<(Text, Text, BigInt, Nullable<Text>, BigInt)>(
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid",
        &[(&name).into()],
    )
    .load::<(String, String, i64, Option<String>, i64)>(conn)
    .or_store()?
    .into_iter()
    .map(|(name, declared, not_null, default, key)| Column {
        name,
        declared,
        nullable: not_null == 0,
        default,
        is_key: key > 0,
    })
    .collect();
    let foreign_keys = query::<(Text, Text, Text, Text, Text)>(
        "SELECT \"from\", \"table\", coalesce(\"to\", ''), on_update, on_delete
         FROM pragma_foreign_key_list(?) ORDER BY id, seq",
        &[(&name).into()],
    )
    .load::<ForeignKey>(conn)
    .or_store()?;
    let indexes = query::<(Text, BigInt, Text, BigInt)>(
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?) ORDER BY name",
        &[(&name).into()],
    )
    .load::<(String, i64, String, i64)>(conn)
    .or_store()?
    .into_iter()
    .map(|(name, unique, origin, partial)| {
        let columns = query::<Text>(
            "SELECT coalesce(name, '') FROM pragma_index_info(?) ORDER BY seqno",
            &[(&name).into()],
        )
        .load::<String>(conn)
        .or_store()?;
        Ok(Index {
            name,
            columns,
            is_unique: unique != 0,
            is_partial: partial != 0,
            is_explicit: origin == "c",
        })
    })
    .collect::<Result<_>>()?;
    Ok(Table { name, columns, indexes, foreign_keys })
}
