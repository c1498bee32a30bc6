//! Local databases that something damaged: what can be read is read, the rest is a typed error and stays.
//!
//! An input of [`Cells`] is SQL, a statement in a line, run on a good database by a plain connection; what SQLite refuses
//! is passed over. An input of [`File`] is places and bytes, `place:byte` in a line, written over its file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use fastrand::Rng;
use sync_core::engine::PushOptions;
use sync_core::predicate::Predicate;
use sync_core::store::{ConflictPolicy, LocalStore};
use sync_core::{Error, ErrorKind};
use sync_diesel::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::template::{Echo, context};
use super::pages::runtime;
use super::{Target, Verdict, mutate};
use crate::simulate::model::{List, Note, Schema, TABLES, Todo};

mod template;

/// A number.
#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A text that may be null.
#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().expect("text")).expect("a connection can be made")
}

fn texts(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows = diesel::sql_query(query).load::<Named>(conn).expect("the query can be answered");
    rows.into_iter().filter_map(|row| row.text).collect()
}

/// Operations in the queue, whatever they hold; `None` if the file cannot tell.
fn queued(path: &Path) -> Option<i64> {
    let query = "SELECT count(*) AS number FROM \"__operations\"";
    diesel::sql_query(query).get_result::<Counted>(&mut connect(path)).ok().map(|counted| counted.number)
}

/// What the damage left alone.
#[derive(Clone, Copy, Debug)]
struct Spared {
    /// The app's own tables: their rows can be read.
    rows: bool,
    /// The lists of the columns that tables had. A wrong one says that columns are new, and the values that a queued
    /// change is compared with are taken from the row itself; nothing tells such a list from a right one.
    columns: bool,
}

/// A folder with one database after another, each made of the same bytes.
#[derive(Debug)]
struct Bench {
    runtime: Runtime,
    directory: TempDir,
    good: Vec<u8>,
    used: usize,
}

impl Bench {
    fn new() -> Self {
        let runtime = runtime();
        let directory = TempDir::new().expect("a temporary folder can be made");
        let path = directory.path().join("good.db");
        runtime.block_on(template::build(&path));
        connect(&path).batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").expect("the log can be moved");
        let good = fs::read(&path).expect("the file can be read");
        Self { runtime, directory, good, used: 0 }
    }

    /// A new file.
    fn next(&mut self, bytes: &[u8]) -> PathBuf {
        for end in ["", "-wal", "-shm", "-lease"] {
            let _ = fs::remove_file(self.directory.path().join(format!("{}.db{end}", self.used)));
        }
        self.used += 1;
        let path = self.directory.path().join(format!("{}.db", self.used));
        fs::write(&path, bytes).expect("the file can be written");
        path
    }

    /// Opens a damaged database and does everything an app does with it.
    fn try_out(&self, path: &Path, spared: Spared) -> Result<Verdict, String> {
        let before = queued(path);
        self.runtime.block_on(async {
            let echo = Arc::new(Echo::default());
            let sync = match context(path, &echo).await {
                Ok(sync) => sync,
                Err(error) => return typed("open", &Err::<(), _>(error)).map(|()| Verdict::Refused),
            };
            let outcome = try_calls(&sync, spared.rows).await;
            let pushed = sync.engine().push(PushOptions::default()).await;
            let outcome = outcome.and(typed("push", &pushed));
            let unneeded = match &pushed {
                Ok(report) => report.unneeded,
                Err(error) => error.push_report().map_or(0, |report| report.unneeded),
            };
            let after = queued(path);
            let outcome = match (before, after) {
                (Some(before), Some(after))
                    if spared.columns && before - after > i64::from(echo.requests()) + unneeded as i64 =>
                {
                    Err(format!(
                        "I-6: {before} operations became {after} with {} requests and {unneeded} unneeded",
                        echo.requests()
                    ))
                }
                _ => outcome,
            };
            let outcome = match outcome {
                Ok(()) => try_changes(&sync).await,
                failed => failed,
            };
            sync.close().await;
            outcome.map(|()| Verdict::Taken)
        })
    }
}

/// An answer, or an error of a kind that tells of a damaged or unfit database.
fn typed<T>(what: &str, outcome: &Result<T, Error>) -> Result<(), String> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::Corrupt
            | ErrorKind::NewerSchema
            | ErrorKind::SchemaMismatch
            | ErrorKind::Store
            | ErrorKind::OtherAccount
            | ErrorKind::PushFailed
            | ErrorKind::PendingOperations
            | ErrorKind::OperationChanged
            | ErrorKind::Busy
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidId
            | ErrorKind::InvalidValue
            | ErrorKind::WrongDialect
            | ErrorKind::AlreadyExists
            | ErrorKind::NotFound
            | ErrorKind::InvalidResponse => Ok(()),
            kind => Err(format!("{what}: {kind:?}: {error:?}")),
        },
    }
}

/// Reads of everything.
async fn try_calls(sync: &SyncContext<Schema>, rows_are_good: bool) -> Result<(), String> {
    let store = sync.engine().store();
    typed("operations", &store.operations(None).await)?;
    typed("errors", &LocalStore::errors(&**store, None).await)?;
    typed("conflicts", &store.conflicts(None).await)?;
    typed("quarantine", &store.quarantine(None).await)?;
    typed("resolutions", &store.resolutions().await)?;
    typed("owner", &store.owner().await)?;
    typed("pending", &store.pending(None).await)?;
    typed("errors", &sync.errors().await)?;
    typed("conflicts of notes", &sync.conflicts::<Note>().await)?;
    for table in TABLES {
        let rows = store.select(Predicate::all(table)).await;
        if let (true, Err(error)) = (rows_are_good, &rows) {
            return Err(format!("Q-09: local rows cannot be read: {error:?}"));
        }
        typed("select", &rows)?;
        for row in rows.into_iter().flatten() {
            typed("shadow", &store.shadow(table, &row.id).await)?;
        }
    }
    let states = sync.table::<Todo>().all().with_state().load().await;
    typed("states", &states)?;
    for id in ["t1", "t2", "t3", "t4", "t7"] {
        typed("explain", &sync.table::<Todo>().explain(id).await)?;
    }
    Ok(())
}

/// Pulls, decisions and writes.
async fn try_changes(sync: &SyncContext<Schema>) -> Result<(), String> {
    for outcome in [
        sync.pull("open", Todo::done.eq(false)).track_exits(true).await.map(drop),
        sync.pull("all", Note::body.ne("x")).await.map(drop),
        sync.pull_all(List::all()).mirror().await.map(drop),
        sync.resolve_all(ConflictPolicy::MergeElseServer).await.map(drop),
        sync.resolve_all(ConflictPolicy::ClientWins).await.map(drop),
        sync.resolve_all(ConflictPolicy::ServerWins).await.map(drop),
    ] {
        typed("change", &outcome)?;
    }
    for id in ["t1", "t3", "l1", "n1"] {
        typed("delete", &sync.table::<Todo>().delete(id).await)?;
        typed("delete", &sync.table::<Note>().delete(id).await)?;
        typed("delete", &sync.table::<List>().delete(id).await)?;
    }
    let todo = Todo { text: "x".to_owned(), done: false, rank: None, list: Some("l2".to_owned()) };
    typed("insert", &sync.table::<Todo>().insert(todo).await)?;
    typed("push", &sync.engine().push(PushOptions::default()).await)?;
    typed("purge", &sync.purge(Todo::done.eq(true)).force().await)?;
    Ok(())
}

/// A value in the good database.
#[derive(Clone, Debug)]
struct Cell {
    table: String,
    column: String,
    /// Place of the row.
    row: usize,
    /// As SQL.
    literal: String,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Cells {
    bench: Bench,
    cells: Vec<Cell>,
}

impl Default for Cells {
    fn default() -> Self {
        let mut bench = Bench::new();
        let good = bench.good.clone();
        let path = bench.next(&good);
        let conn = &mut connect(&path);
        let mut cells = Vec::new();
        for table in texts(conn, "SELECT name AS text FROM sqlite_master WHERE type = 'table' ORDER BY name")
        {
            for column in texts(conn, &format!("SELECT name AS text FROM pragma_table_info('{table}')")) {
                let values = texts(conn, &format!("SELECT quote(\"{column}\") AS text FROM \"{table}\""));
                cells.extend(values.into_iter().enumerate().map(|(row, literal)| Cell {
                    table: table.clone(),
                    column: column.clone(),
                    row,
                    literal,
                }));
            }
        }
        Self { bench, cells }
    }
}

/// Values that fit few columns.
const LITERALS: [&str; 24] = [
    "NULL",
    "0",
    "-1",
    "3",
    "99",
    "9223372036854775807",
    "-9223372036854775808",
    "9e999",
    "-0.0",
    "1.5",
    "''",
    "'x'",
    "'[]'",
    "'{}'",
    "'null'",
    "'[\"and\"]'",
    "'{\"id\":\"t1\"}'",
    "'2024-01-02 03:04:05.678+00:00'",
    "'12024-01-02 03:04:05+00:00'",
    "X''",
    "X'00ff'",
    "CAST(X'ff' AS TEXT)",
    "CAST(X'6100' AS TEXT)",
    "replace(hex(zeroblob(100000)), '0', '[')",
];

impl Cells {
    fn value(&self, rng: &mut Rng, cell: &Cell) -> String {
        match rng.u8(..8) {
            0 | 1 => rng.choice(LITERALS).unwrap_or_default().to_owned(),
            2 => {
                let same = self.cells.iter().filter(|other| other.column == cell.column).collect::<Vec<_>>();
                rng.choice(same).map_or_else(String::new, |other| other.literal.clone())
            }
            3 => rng.choice(&self.cells).map_or_else(String::new, |other| other.literal.clone()),
            _ => {
                let text = cell.literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                let Some(text) = text else {
                    return rng.choice(LITERALS).unwrap_or_default().to_owned();
                };
                let text = text.replace("''", "'").into_bytes();
                let mut damaged =
                    mutate::damaged(rng, &[text], &["t1", "l1", "text", "done", "rank", "body"]);
                // A text that is no UTF-8 is a matter of its own, and has its own values.
                if std::str::from_utf8(&damaged).is_err() {
                    damaged = String::from_utf8_lossy(&damaged).into_owned().into_bytes();
                }
                let mut literal = String::from("CAST(X'");
                for byte in damaged {
                    let _ = write!(literal, "{byte:02x}");
                }
                literal.push_str("' AS TEXT)");
                literal
            }
        }
    }

    fn statement(&self, rng: &mut Rng) -> String {
        let is_own = rng.u8(..8) == 0;
        let cells =
            self.cells.iter().filter(|cell| cell.table.starts_with("__") || is_own).collect::<Vec<_>>();
        let Some(cell) = rng.choice(cells) else { return String::new() };
        let Cell { table, column, row, .. } = cell;
        match rng.u8(..12) {
            0 => format!(
                "DELETE FROM \"{table}\" WHERE rowid = (SELECT rowid FROM \"{table}\" LIMIT 1 OFFSET {row})"
            ),
            1 => {
                let mut columns = Vec::new();
                for other in self.cells.iter().filter(|other| other.table == *table && other.row == *row) {
                    let is_changed = other.column == *column || rng.u8(..6) == 0;
                    columns.push(if is_changed { self.value(rng, other) } else { other.literal.clone() });
                }
                format!("INSERT OR IGNORE INTO \"{table}\" VALUES ({})", columns.join(", "))
            }
            _ => format!(
                "UPDATE \"{table}\" SET \"{column}\" = {} WHERE rowid = (SELECT rowid FROM \"{table}\" LIMIT 1 \
                 OFFSET {row})",
                self.value(rng, cell)
            ),
        }
    }
}

impl Target for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        vec![Vec::new(), b"UPDATE \"__operations\" SET \"kind\" = 2 WHERE \"seq\" = 0".to_vec()]
    }

    fn input(&self, rng: &mut Rng, _: &[Vec<u8>]) -> Vec<u8> {
        let mut script = self.statement(rng);
        while rng.bool() {
            script.push('\n');
            script.push_str(&self.statement(rng));
        }
        script.into_bytes()
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let good = std::mem::take(&mut self.bench.good);
        let path = self.bench.next(&good);
        self.bench.good = good;
        let script = String::from_utf8_lossy(input);
        {
            let conn = &mut connect(&path);
            for statement in script.lines() {
                // What the schema forbids cannot be in a file.
                let _ = conn.batch_execute(statement);
            }
        }
        let rows = script.lines().all(|statement| statement.contains("\"__"));
        self.bench.try_out(&path, Spared { rows, columns: !script.contains("\"__columns\"") })
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct File {
    bench: Bench,
}

impl Default for File {
    fn default() -> Self {
        Self { bench: Bench::new() }
    }
}

impl Target for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        vec![Vec::new()]
    }

    fn input(&self, rng: &mut Rng, _: &[Vec<u8>]) -> Vec<u8> {
        let mut script = String::new();
        let length = self.bench.good.len();
        // All over the file, or close together: a torn or foreign page.
        let page = rng.usize(..length / 4096) * 4096;
        let is_local = rng.bool();
        for _ in 0..1 << rng.u8(..8) {
            let place = match (is_local, rng.u8(..4)) {
                (true, 0) => page + rng.usize(..64),
                (true, _) => page + rng.usize(..4096),
                (false, 0) => rng.usize(..length / 4096) * 4096 + rng.usize(..12),
                (false, _) => rng.usize(..length),
            };
            let old = self.bench.good.get(place).copied().unwrap_or_default();
            let byte = match rng.u8(..4) {
                0 => old ^ (1 << rng.u8(..8)),
                1 => 0,
                2 => 255,
                _ => rng.u8(..),
            };
            let _ = writeln!(script, "{place}:{byte}");
        }
        if rng.u8(..20) == 0 {
            let _ = writeln!(script, "cut:{}", rng.usize(..length));
        }
        script.into_bytes()
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let mut bytes = self.bench.good.clone();
        for line in String::from_utf8_lossy(input).lines() {
            match line.split_once(':') {
                Some(("cut", length)) => bytes.truncate(length.parse().unwrap_or(usize::MAX)),
                Some((place, byte)) => {
                    if let (Ok(place), Ok(byte)) = (place.parse::<usize>(), byte.parse())
                        && let Some(old) = bytes.get_mut(place)
                    {
                        *old = byte;
                    }
                }
                None => {}
            }
        }
        let path = self.bench.next(&bytes);
        self.bench.try_out(&path, Spared { rows: false, columns: true })
    }
}
