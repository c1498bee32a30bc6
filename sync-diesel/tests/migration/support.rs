//! Folders, databases, and a look at a schema that shares nothing with the code under test.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeZone, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use sync_diesel::migration::generate;
use sync_diesel::schema::SyncSchema;
use tempfile::TempDir;

/// A folder of migrations of its own.
pub(crate) struct Folder {
    directory: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    /// A folder with the migration of `A`, made at [`time`] 1.
    pub(crate) fn of<A: SyncSchema>() -> Self {
        let folder = Self::new();
        folder.generate::<A>("create", 1);
        folder
    }

    /// Not there before the first migration.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("migrations")
    }

    pub(crate) fn generate<A: SyncSchema>(&self, name: &str, day: u32) -> PathBuf {
        generate::<A>(self.path(), name, time(day)).expect("a migration").expect("something to do")
    }

    /// Writes a migration as a person does.
    pub(crate) fn write(&self, name: &str, up: &str) {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("up.sql"), up).expect("a file");
    }

    pub(crate) fn source(&self) -> FileBasedMigrations {
        FileBasedMigrations::from_path(self.path()).expect("a folder of migrations")
    }

    /// Every file with its content, in order of the names.
    pub(crate) fn content(&self) -> Vec<(String, String)> {
        content(&self.path())
    }
}

/// Every file below, with its content.
pub(crate) fn content(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("Unicode").to_owned();
        if path.is_dir() {
            files.extend(content(&path).into_iter().map(|(file, text)| (format!("{name}/{file}"), text)));
        } else {
            files.push((name, fs::read_to_string(&path).expect("a text")));
        }
    }
    files.sort();
    files
}

/// Noon of a day of March 2026.
pub(crate) fn time(day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, day, 12, 0, 0).single().expect("a time")
}

pub(crate) fn connect(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(path.to_str().expect("Unicode")).expect("a connection");
    // A store that was dropped a moment ago may still be closing its file.
    execute(&mut conn, "PRAGMA busy_timeout = 10000");
    conn
}

/// A database in memory in which the folder's migrations ran.
pub(crate) fn migrated(folder: &Folder) -> SqliteConnection {
    let mut conn = connect(Path::new(":memory:"));
    conn.run_pending_migrations(folder.source()).expect("the migrations run");
    conn
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// The lines of a query with the one column `line`.
pub(crate) fn lines(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let lines: Vec<Line> = diesel::sql_query(sql).load(conn).expect(sql);
    lines.into_iter().map(|line| line.line).collect()
}

/// Tables, columns, indexes and triggers, as SQLite reports them.
pub(crate) fn schema(conn: &mut SqliteConnection) -> Vec<String> {
    lines(
        conn,
        "SELECT printf('%s.%s %s notnull=%d default=%s pk=%d', t.name, c.name, c.type, c.\"notnull\",
                coalesce(c.dflt_value, '-'), c.pk) AS line
         FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%'
         UNION ALL
         SELECT printf('%s index %s unique=%d origin=%s (%s)', t.name, i.name, i.\"unique\", i.origin,
                (SELECT group_concat(coalesce(x.name, '?')) FROM pragma_index_info(i.name) AS x))
         FROM sqlite_master AS t JOIN pragma_index_list(t.name) AS i
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\'
         UNION ALL
         SELECT printf('%s trigger %s', tbl_name, name) FROM sqlite_master WHERE type = 'trigger'
         ORDER BY 1",
    )
}

pub(crate) fn execute(conn: &mut SqliteConnection, sql: &str) {
    conn.batch_execute(sql).expect(sql);
}
