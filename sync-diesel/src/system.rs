//! The tables of this crate inside the app's database, and the control row.
//!
//! They are made at open, in the transaction that checks everything else, and carry a version. Tables of an older
//! version are brought up to date there; a database of a newer version is refused before anything is changed in it.
//!
//! The control row holds the mark by which capture triggers know sync's own writes, and the counters of the
//! queue. The mark is set and cleared inside one transaction, so no other connection ever sees it set, and a
//! crash cannot leave it behind.

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::error::{Error, ErrorKind, Result};

use crate::failure::OrStore;
use crate::statement::{query, run};

/// Version of the tables below.
const VERSION: i64 = 3;

/// What brings the tables of an older version to the next, the first from version 1 to 2 (S-18). A table that is new
/// needs no step of its own: those missing are made in any case.
const STEPS: [&str; VERSION as usize - 1] = [
    // 2: how sure an error is; the record of resolutions.
    "ALTER TABLE \"__errors\" ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;",
    // 3: parked operations; the push that recorded an error. What an earlier version recorded counts as old.
    "ALTER TABLE \"__errors\" ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE \"__errors\" ADD COLUMN push INTEGER NOT NULL DEFAULT 0;",
];

const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS "__control" (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    system_version INTEGER NOT NULL,
    applying INTEGER NOT NULL DEFAULT 0,
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_push INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS "__operations" (
    seq INTEGER PRIMARY KEY,
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1,
    base_version TEXT,
    item TEXT,
    server_may_hold INTEGER NOT NULL DEFAULT 0,
    sent_kind INTEGER,
    sent_revision INTEGER,
    sent_item TEXT,
    sent_columns TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    tail_seq INTEGER,
    taken_by INTEGER,
    prior_state INTEGER,
    prior_hold INTEGER,
    UNIQUE (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__errors" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    class TEXT NOT NULL,
    status INTEGER,
    message TEXT NOT NULL,
    local TEXT,
    remote TEXT,
    remote_version TEXT,
    remote_updated_at TEXT,
    remote_deleted INTEGER NOT NULL DEFAULT 0,
    remote_extra TEXT,
    superseded INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    parked INTEGER NOT NULL DEFAULT 0,
    push INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__shadow" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    version TEXT,
    updated_at TEXT,
    deleted INTEGER NOT NULL DEFAULT 0,
    item TEXT NOT NULL,
    extra TEXT,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__newer" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    version TEXT,
    updated_at TEXT,
    deleted INTEGER NOT NULL DEFAULT 0,
    item TEXT NOT NULL,
    extra TEXT,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__replaced" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    version TEXT,
    updated_at TEXT,
    deleted INTEGER NOT NULL DEFAULT 0,
    item TEXT NOT NULL,
    extra TEXT,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__tokens" (
    table_name TEXT NOT NULL,
    query_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    instant TEXT NOT NULL,
    server_date TEXT,
    PRIMARY KEY (table_name, query_id)
);
CREATE TABLE IF NOT EXISTS "__queries" (
    table_name TEXT NOT NULL,
    query_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    feed TEXT,
    filled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (table_name, query_id)
);
CREATE TABLE IF NOT EXISTS "__full_pulls" (
    table_name TEXT NOT NULL,
    filter TEXT NOT NULL,
    mirrors INTEGER NOT NULL,
    filled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (table_name, filter)
);
CREATE TABLE IF NOT EXISTS "__columns" (
    table_name TEXT PRIMARY KEY NOT NULL,
    columns TEXT NOT NULL,
    growths INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS "__extra" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__quarantine" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    query_id TEXT,
    names TEXT NOT NULL,
    item TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__acknowledged" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    version TEXT NOT NULL,
    earlier TEXT NOT NULL,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__refetch" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__unread" (
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    refusals INTEGER NOT NULL,
    PRIMARY KEY (table_name, item_id)
);
CREATE TABLE IF NOT EXISTS "__resolutions" (
    number INTEGER PRIMARY KEY,
    at_seq INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    item_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    class TEXT NOT NULL,
    status INTEGER,
    decision TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    base_version TEXT,
    remote_version TEXT
);
CREATE TABLE IF NOT EXISTS "__config" (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
"#;

/// The tables whose rows belong to a synced table, by its name.
pub(crate) const OF_TABLES: [&str; 15] = [
    "__operations",
    "__errors",
    "__shadow",
    "__newer",
    "__replaced",
    "__tokens",
    "__queries",
    "__full_pulls",
    "__columns",
    "__extra",
    "__quarantine",
    "__acknowledged",
    "__refetch",
    "__unread",
    "__resolutions",
];

/// Where rows are kept in the storage form: table and column.
pub(crate) const ROWS: [(&str, &str); 7] = [
    ("__operations", "item"),
    ("__operations", "sent_item"),
    ("__errors", "local"),
    ("__errors", "remote"),
    ("__shadow", "item"),
    ("__newer", "item"),
    ("__replaced", "item"),
];

/// Makes the tables, or checks the version of those that exist.
pub(crate) fn prepare(conn: &mut SqliteConnection) -> Result<()> {
    let exists = query::<BigInt>(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '__control'",
        &[],
    )
    .get_result::<i64>(conn)
    .or_store()?;
    if exists > 0 {
        let version = query::<BigInt>("SELECT system_version FROM \"__control\" WHERE id = 1", &[])
            .get_result::<i64>(conn)
            .optional()
            .or_store()?;
        match version {
            Some(VERSION) => {}
            Some(version @ 1..VERSION) => {
                for step in STEPS.iter().skip((version - 1) as usize) {
                    conn.batch_execute(step).or_store()?;
                }
                run(conn, "UPDATE \"__control\" SET system_version = ? WHERE id = 1", &[VERSION.into()])
                    .or_store()?;
            }
            Some(version) if version > VERSION => {
                return Err(Error::new(
                    ErrorKind::NewerSchema,
                    format!(
                        "the database's sync tables have version {version}, this program knows {VERSION}"
                    ),
                ));
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "the control row of the sync tables is missing or has no version",
                ));
            }
        }
    }
    conn.batch_execute(TABLES).or_store()?;
    run(conn, "INSERT OR IGNORE INTO \"__control\" (id, system_version) VALUES (1, ?)", &[VERSION.into()])
        .or_store()?;
    // The mark is never visible outside its transaction; a file edited by hand must not stay untracked.
    run(conn, "UPDATE \"__control\" SET applying = 0 WHERE id = 1 AND applying <> 0", &[]).or_store()?;
    Ok(())
}

/// Runs `work` as sync's own: its writes are not captured.
pub(crate) fn exempt<T>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T>,
) -> Result<T> {
    run(conn, "UPDATE \"__control\" SET applying = 1 WHERE id = 1", &[]).or_store()?;
    run(conn, "DELETE FROM \"__replaced\"", &[]).or_store()?;
    // An error rolls the transaction back, and the mark with it.
    let outcome = work(conn)?;
    run(conn, "UPDATE \"__control\" SET applying = 0 WHERE id = 1", &[]).or_store()?;
    Ok(outcome)
}

/// The next sequence number.
pub(crate) fn next_seq(conn: &mut SqliteConnection) -> Result<i64> {
    run(conn, "UPDATE \"__control\" SET last_seq = last_seq + 1 WHERE id = 1", &[]).or_store()?;
    last_seq(conn)
}

/// The highest sequence number given out.
pub(crate) fn last_seq(conn: &mut SqliteConnection) -> Result<i64> {
    query::<BigInt>("SELECT last_seq FROM \"__control\" WHERE id = 1", &[]).get_result(conn).or_store()
}

/// A new push number.
pub(crate) fn next_push(conn: &mut SqliteConnection) -> Result<i64> {
    run(conn, "UPDATE \"__control\" SET last_push = last_push + 1 WHERE id = 1", &[]).or_store()?;
    last_push(conn)
}

/// The number of the push begun last.
pub(crate) fn last_push(conn: &mut SqliteConnection) -> Result<i64> {
    query::<BigInt>("SELECT last_push FROM \"__control\" WHERE id = 1", &[]).get_result(conn).or_store()
}

/// Reads a setting.
pub(crate) fn setting(conn: &mut SqliteConnection, key: &str) -> Result<Option<String>> {
    query::<Text>("SELECT value FROM \"__config\" WHERE key = ?", &[key.into()])
        .get_result(conn)
        .optional()
        .or_store()
}

/// Stores or removes a setting.
pub(crate) fn set_setting(conn: &mut SqliteConnection, key: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => run(
            conn,
            "INSERT INTO \"__config\" (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &[key.into(), value.into()],
        ),
        None => run(conn, "DELETE FROM \"__config\" WHERE key = ?", &[key.into()]),
    }
    .or_store()
    .map(|_| ())
}
