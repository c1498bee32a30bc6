//! What a killed process left in its file, read by nobody's code but SQLite's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::{QueryableByName, sql_query};
use sync_core::time;
use tempfile::TempDir;

use super::app::TABLES;
use super::server::{Key, Rows, stored};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Migrations that were run.
    pub(super) migrations: i64,
    /// The app's rows.
    pub(super) rows: Rows,
    /// Queued operations.
    pub(super) operations: BTreeMap<Key, Queued>,
    /// Copies of the server's rows below changes.
    pub(super) copies: Vec<Key>,
    /// Recorded errors.
    pub(super) errors: Vec<Key>,
    /// How far the incremental pulls came, by table.
    pub(super) tokens: BTreeMap<String, DateTime<Utc>>,
}

/// A queued operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// The row is to be deleted.
    pub(super) is_delete: bool,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The database with one of these endings is one of its files.
const ENDINGS: [&str; 2] = ["", "-wal"];

/// Copies what makes a database that nobody has open.
pub(super) fn copy(database: &Path, to: &Path) {
    let file = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    for ending in ENDINGS {
        let from = file(database, ending);
        if from.exists() {
            fs::copy(from, file(to, ending)).expect("a file can be copied");
        }
    }
}

impl Found {
    /// Reads a copy: the next process is to find the file as the killed one left it, with its log.
    ///
    /// What makes the file unusable is the error.
    pub(super) fn read(database: &Path) -> Result<Self, String> {
        if !database.exists() {
            return Ok(Self::default());
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        let path = folder.path().join("copy.db");
        copy(database, &path);
        let mut conn = SqliteConnection::establish(path.to_str().expect("a path of text"))
            .map_err(|error| format!("the file does not open: {error}"))?;
        Self::load(&mut conn).map_err(|error| format!("the file cannot be read: {error}"))?
    }

    fn load(conn: &mut SqliteConnection) -> QueryResult<Result<Self, String>> {
        let mut lines = |sql: &str| -> QueryResult<Vec<String>> {
            Ok(sql_query(sql).load::<Line>(conn)?.into_iter().map(|line| line.line).collect())
        };
        for check in [
            "SELECT integrity_check AS line FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
            "SELECT \"table\" AS line FROM pragma_foreign_key_check",
        ] {
            let faults = lines(check)?;
            if !faults.is_empty() {
                return Ok(Err(format!("integrity: {faults:?}")));
            }
        }
        let tables = lines("SELECT name AS line FROM sqlite_schema WHERE type = 'table'")?;
        let has = |table: &str| tables.iter().any(|name| name == table);
        if !has("__control") {
            // Killed before the first opening was committed.
            let is_empty = tables.is_empty();
            return Ok(if is_empty { Ok(Self::default()) } else { Err(format!("half opened: {tables:?}")) });
        }
        let mut found = Self::default();
        let migrations = lines("SELECT CAST(count(*) AS TEXT) AS line FROM __diesel_schema_migrations")?;
        found.migrations = migrations[0].parse().expect("a number");
        if lines("SELECT CAST(applying AS TEXT) AS line FROM __control")? != ["0"] {
            return Ok(Err("D-6: the mark of sync's own writes stayed".to_owned()));
        }
        for table in TABLES.into_iter().filter(|table| has(table)) {
            let members = lines(&format!(
                "SELECT quote(CASE name WHEN '__version' THEN 'version' WHEN '__updatedAt' THEN 'updatedAt'
                 WHEN '__deleted' THEN 'deleted' ELSE name END) || ', \"' || name || '\"' AS line
                 FROM pragma_table_info('{table}')"
            ))?;
            let rows =
                lines(&format!("SELECT json_object({}) AS line FROM \"{table}\"", members.join(", ")))?;
            let rows = rows.iter().map(|row| serde_json::from_str(row).expect("SQLite writes JSON"));
            found.rows.extend(rows.map(|row| stored(table, row)));
        }
        let mut keyed = |table: &str, value: &str| -> QueryResult<Vec<(Key, String)>> {
            let sql = format!("SELECT json_array(table_name, item_id, {value}) AS line FROM \"{table}\"");
            let rows = lines(&sql)?;
            let read = |row: &String| {
                let [table, id, value]: [String; 3] =
                    serde_json::from_value(serde_json::from_str(row).expect("SQLite writes JSON"))
                        .expect("three texts");
                ((table, id), value)
            };
            Ok(rows.iter().map(read).collect())
        };
        let operations = keyed("__operations", "CAST(kind AS TEXT)")?;
        found.operations =
            operations.into_iter().map(|(key, kind)| (key, Queued { is_delete: kind == "2" })).collect();
        let keys = |rows: Vec<(Key, String)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        found.copies = keys(keyed("__shadow", "''")?);
        found.copies.extend(keys(keyed("__newer", "''")?));
        found.errors = keys(keyed("__errors", "''")?);
        let tokens = lines("SELECT json_array(table_name, instant) AS line FROM __tokens")?;
        for token in tokens {
            let [table, instant]: [String; 2] = serde_json::from_str(&token).expect("two texts");
            found.tokens.insert(table, time::parse(&instant).expect("a token is an instant"));
        }
        Ok(Ok(found))
    }
}
