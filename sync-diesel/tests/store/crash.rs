//! Crashes of a process in the middle of each step, on SQLite files.
//!
//! In WAL mode everything a step writes is appended to the log, frame by frame, and what a killed process leaves is the
//! database file with some first part of those frames. So each step runs once, and every such part is made into a file
//! of its own: cut between any two frames, inside the commit's frame, and with that frame damaged. This covers
//! every moment of a step, the commit itself included, which a process that kills itself between two statements never
//! meets; and a step that commits twice is found out, because the log between its commits shows neither what was before
//! nor what is after. That a killed process leaves just that is tested with real processes in the suite of the whole.

use std::fs;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use diesel::{QueryableByName, RunQueryDsl};
use sync_core::store::contract::crash::{self, Crash, Crashed, Step};
use sync_core::store::{LocalStore, contract};
use sync_diesel::DieselStore;
use tempfile::TempDir;

use crate::contract::{create_tables, open};
use crate::support::connect;

mod opening;
mod statements;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let lines = diesel::sql_query(sql).load::<Line>(conn).expect("lines");
    lines.into_iter().map(|line| line.line).collect()
}

/// The schema and every row of every table, without the time of day that migrations ran.
pub(crate) fn dump(conn: &mut SqliteConnection) -> Vec<String> {
    let mut dumped = lines(
        conn,
        "SELECT type || ' ' || name || ': ' || coalesce(sql, '') AS line FROM sqlite_schema ORDER BY type, name",
    );
    for table in lines(conn, "SELECT name AS line FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let columns = lines(
            conn,
            &format!(
                "SELECT 'quote(\"' || name || '\")' AS line FROM pragma_table_xinfo('{table}')
                 WHERE name <> 'run_on' ORDER BY cid"
            ),
        );
        let cells = columns.join(" || ', ' || ");
        dumped.extend(lines(
            conn,
            &format!("SELECT '{table}: ' || {cells} AS line FROM \"{table}\" ORDER BY 1"),
        ));
    }
    dumped
}

/// A database as its files are on disk.
#[derive(Clone)]
pub(crate) struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

impl Files {
    pub(crate) fn read(path: &Path) -> Self {
        let log = fs::read(log_of(path)).unwrap_or_default();
        Self { database: fs::read(path).expect("a database file"), log }
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, &self.database).expect("a database file");
        fs::write(log_of(path), &self.log).expect("a log");
    }

    fn frame_size(&self) -> usize {
        let page = self.log[8..12].iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        FRAME_HEADER + page
    }

    /// What was committed after this earlier moment: the files after each commit, the last of which is `last`.
    pub(crate) fn commits_until(&self, last: &Self) -> Vec<Self> {
        assert!(self.database == last.database, "nothing was moved from the log to the database");
        assert!(last.log.len() > self.log.len() && last.log.starts_with(&self.log), "the log only grew");
        let frame = last.frame_size();
        let first = self.log.len().max(LOG_HEADER);
        assert_eq!((last.log.len() - first) % frame, 0, "the log ends with a whole frame");
        // The frame of a commit has the size of the database in the second word of its header, any other has zero.
        let is_commit = |start: &usize| last.log[start + 4..start + 8] != [0; 4];
        let commits = (first..last.log.len()).step_by(frame).filter(is_commit);
        commits.map(|start| last.cut(start + frame)).collect()
    }

    fn cut(&self, length: usize) -> Self {
        Self { database: self.database.clone(), log: self.log[..length].to_vec() }
    }

    /// What crashes between two moments leave, in order: everything that misses the last frame's end. `self` is the
    /// earlier moment.
    pub(crate) fn crashes_until(&self, after: &Self) -> Vec<Self> {
        assert!(self.database == after.database, "nothing was moved from the log to the database");
        assert!(after.log.len() > self.log.len() && after.log.starts_with(&self.log), "the log only grew");
        let frame = after.frame_size();
        let first = self.log.len().max(LOG_HEADER);
        assert_eq!((after.log.len() - first) % frame, 0, "the log ends with a whole frame");
        let cut =
            |length: usize| Self { database: after.database.clone(), log: after.log[..length].to_vec() };
        let mut crashes = vec![self.clone()];
        // The first cut equals `self` unless the log was empty; those inside the last frame are inside the commit.
        crashes.extend((first..after.log.len()).step_by(frame).skip(1).map(cut));
        let last = after.log.len() - frame;
        crashes.extend([last + FRAME_HEADER / 2, last + FRAME_HEADER, after.log.len() - 1].map(cut));
        let mut damaged = after.clone();
        damaged.log[last + frame / 2] ^= 1;
        crashes.push(damaged);
        crashes
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// What a program that only reads finds in the files.
pub(crate) fn found_in(files: &Files) -> Vec<String> {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("found.db");
    files.write(&path);
    let mut conn = connect(&path);
    // Closing moves the log into the database; nothing of it is to survive.
    conn.batch_execute("PRAGMA synchronous = OFF").expect("a pragma");
    dump(&mut conn)
}

/// Checks what crashes leave between two moments with one commit, and gives some of them to be looked at further.
pub(crate) fn check_crashes(before: &Files, after: &Files, what: &str) -> Vec<Files> {
    assert_eq!(before.commits_until(after).len(), 1, "{what}: the step is one commit");
    let (old, new) = (found_in(before), found_in(after));
    assert!(old != new, "{what}: the step wrote something");
    let crashes = before.crashes_until(after);
    for (number, crash) in crashes.iter().enumerate() {
        let found = found_in(crash);
        let differs: Vec<_> = found.iter().filter(|line| !old.contains(line)).collect();
        assert!(found == old, "{what}: crash {number} of {}: {differs:#?}", crashes.len());
    }
    let (middle, last) = (crashes.len() / 2, crashes.len() - 1);
    [middle, last].map(|number| crashes[number].clone()).to_vec()
}

/// Files in a folder that lives as long as this.
#[derive(Default)]
struct Folder {
    directories: Vec<TempDir>,
    /// A database with the tables, as first opened.
    template: Option<Files>,
}

impl Folder {
    /// The path of a new database file.
    fn path(&mut self) -> PathBuf {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("crash.db");
        self.directories.push(directory);
        path
    }

    fn last(&self) -> PathBuf {
        self.directories.last().expect("a store was made").path().join("crash.db")
    }

    async fn open(&mut self, files: &Files) -> DieselStore {
        let path = self.path();
        files.write(&path);
        open(&path).await
    }
}

impl Crash for Folder {
    type Store = DieselStore;

    async fn create(&mut self) -> DieselStore {
        if let Some(template) = self.template.clone() {
            return self.open(&template).await;
        }
        let path = self.path();
        create_tables(&mut connect(&path));
        open(&path).await.close().await;
        let template = Files::read(&path);
        self.template = Some(template.clone());
        self.open(&template).await
    }

    async fn contents(&mut self, store: &DieselStore) -> Vec<String> {
        store.read(|conn| Ok::<_, diesel::result::Error>(dump(conn))).await.expect("a read")
    }

    async fn crash(&mut self, store: DieselStore, step: &Step) -> Crashed<DieselStore> {
        let path = self.last();
        let before = Files::read(&path);
        step.run(&store).await.expect("the step");
        let after = Files::read(&path);
        let mut crashed = Crashed { before: Vec::new(), after: Vec::new() };
        for files in check_crashes(&before, &after, &format!("{step:?}")) {
            crashed.before.push(self.open(&files).await);
        }
        crashed.after.push(self.open(&after).await);
        drop(store);
        crashed
    }
}

async fn check(part: usize, of: usize) {
    for scenario in crash::SCENARIOS.iter().skip(part).step_by(of) {
        crash::check(scenario, Folder::default()).await;
    }
}

#[tokio::test]
async fn z_01_z_02_every_step_is_whole_after_a_crash_one_half() {
    check(0, 2).await;
}

#[tokio::test]
async fn z_01_z_02_every_step_is_whole_after_a_crash_other_half() {
    check(1, 2).await;
}

/// The means themselves: two commits in place of one are noticed, and what lies between them is neither.
#[tokio::test]
async fn a_step_in_two_commits_is_found_out() {
    let mut folder = Folder::default();
    let store = folder.create().await;
    let before = Files::read(&folder.last());
    for key in ["one", "two"] {
        store.set_setting(key, Some("half")).await.expect("a setting");
    }
    let after = Files::read(&folder.last());
    let commits = before.commits_until(&after);
    assert_eq!(commits.len(), 2);
    let half = found_in(&commits[0]);
    assert!(half != found_in(&before) && half != found_in(&after));
    let crashes = before.crashes_until(&after);
    assert!(crashes.iter().any(|crash| found_in(crash) == half));
    assert!(crashes.iter().all(|crash| found_in(crash) != found_in(&after)));
}

/// A log cut before the step's first frame, and one with all of them, are what they should be.
#[tokio::test]
async fn what_was_committed_is_found_in_the_files_of_a_running_process() {
    let mut folder = Folder::default();
    let store = folder.create().await;
    assert_eq!(contract::TABLES.len(), store.tables().len());
    let empty = found_in(&Files::read(&folder.last()));
    let insert = "INSERT INTO \"ContractTodo\" (id, text) VALUES ('a', 'milk')";
    store.write(|conn| conn.batch_execute(insert)).await.expect("an insert");
    let filled = found_in(&Files::read(&folder.last()));
    let new: Vec<_> = filled.iter().filter(|line| !empty.contains(line)).collect();
    assert!(new.iter().any(|line| line.starts_with("ContractTodo: 'a', ")), "{new:?}");
    assert!(new.iter().any(|line| line.starts_with("__operations: ")), "{new:?}");
    assert_eq!(filled, folder.contents(&store).await);
}
