//! Files that are damaged or may not be written (S-17): a typed error that says so, and nothing is made anew over them.
//!
//! Permissions do not keep an administrator from writing, so what may not be written is made so for everybody: by the
//! file's header, or by a folder that stands where SQLite or the lease wants a file.

use std::fs;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl};
use sync_core::ErrorKind;
use sync_core::error::Error;
use sync_core::store::{Exchange, LocalStore, Take};
use sync_diesel::DieselStore;
use tempfile::TempDir;

use crate::support::{Fixture, TODO, batch, connect, json, open};

/// Rows of a used file: enough for several pages of each table.
const ROWS: usize = 300;

/// A closed database with rows and a queue, without a log beside it.
struct Used {
    path: PathBuf,
    _directory: TempDir,
}

impl Used {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let rows: Vec<String> = (0..ROWS).map(|n| json(&format!("row {n:04}"), "milk", "v1")).collect();
        fixture.pull(&rows).await;
        fixture.sql("UPDATE \"Todo\" SET text = 'bread' WHERE id > 'row 0100'").await.expect("changes");
        fixture.store.close().await;
        let path = fixture.path();
        let Fixture { directory, .. } = fixture;
        assert!(!beside(&path, "-wal").exists(), "closed as a whole");
        Self { path, _directory: directory }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("the file")
    }

    fn set(&self, bytes: &[u8]) {
        fs::write(&self.path, bytes).expect("the file");
    }

    /// Where the pages of this table or index are, and how large a page is.
    fn pages_of(&self, name: &str) -> (Vec<usize>, usize) {
        #[derive(QueryableByName)]
        struct Page {
            #[diesel(sql_type = BigInt)]
            page: i64,
        }
        let mut conn = connect(&self.path);
        let mut number = |sql: &str| {
            let page = diesel::sql_query(sql).get_result::<Page>(&mut conn).expect("a page");
            usize::try_from(page.page).expect("a number")
        };
        let size = number("SELECT page_size AS page FROM pragma_page_size");
        let root = number(&format!("SELECT rootpage AS page FROM sqlite_schema WHERE name = '{name}'"));
        // An inner page ends its header with the rightmost of its children.
        let bytes = self.bytes();
        let mut pages = vec![root];
        while matches!(bytes[(pages[0] - 1) * size], 2 | 5) {
            let at = (pages[0] - 1) * size + 8;
            let child = bytes[at..at + 4].iter().fold(0, |page, byte| page << 8 | usize::from(*byte));
            pages.insert(0, child);
        }
        (pages, size)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// What an app does with an open database; the errors.
async fn uses(store: &DieselStore) -> Vec<(&'static str, Error)> {
    let mut errors = Vec::new();
    let mut note = |what, error: Option<Error>| errors.extend(error.map(|error| (what, error)));
    note("a read", store.get(&TODO, "row 0299").await.err());
    note("a query", store.operations(None).await.err());
    let write = "UPDATE \"Todo\" SET text = 'jam' WHERE id >= 'row 0000'";
    note("a write", store.write(|conn| conn.batch_execute(write)).await.err());
    let pages = batch(&format!("[{}]", json("row 0299", "jam", "v2")));
    note("a page", store.apply_pages(pages).await.err());
    match store.begin_push().await {
        Err(error) => note("a push", Some(error)),
        Ok(session) => {
            let exchange = Exchange { session, settlements: Vec::new(), take: Some(Take::first(1000)) };
            note("a step of a push", store.exchange(exchange).await.err());
        }
    }
    errors
}

#[tokio::test]
async fn s_17_a_damaged_header_is_reported_and_left_alone() {
    let used = Used::new().await;
    let whole = used.bytes();
    let garbage = b"this is no database, and it is long enough to be looked at as one".repeat(100);
    let mut cases = vec![("no database at all", garbage.clone())];
    for (what, at, length) in
        [("the first bytes", 0, 16), ("the size of a page", 16, 2), ("the whole header", 0, 100)]
    {
        let mut bytes = whole.clone();
        bytes[at..at + length].copy_from_slice(&garbage[..length]);
        cases.push((what, bytes));
    }
    for length in [whole.len() / 2, 4096, 1000, 100, 20] {
        cases.push(("a file that was cut off", whole[..length].to_vec()));
    }
    for (what, bytes) in cases {
        used.set(&bytes);
        let error = open(&used.path).await.expect_err(what);
        assert_eq!((error.kind(), error.is_corrupt()), (ErrorKind::Corrupt, true), "{what}: {error:?}");
        assert!(used.bytes() == bytes, "{what}, {} bytes: nothing is made anew over it", bytes.len());
    }
    used.set(&whole);
    assert_eq!(uses(&open(&used.path).await.expect("it is well again")).await.len(), 0);
}

#[tokio::test]
async fn s_17_a_damaged_page_is_reported_by_whatever_meets_it() {
    let used = Used::new().await;
    let whole = used.bytes();
    for name in
        ["Todo", "sqlite_autoindex_Todo_1", "__operations", "sqlite_autoindex___operations_1", "__control"]
    {
        let (pages, size) = used.pages_of(name);
        for page in pages {
            let mut bytes = whole.clone();
            bytes[(page - 1) * size..page * size].fill(0xa5);
            used.set(&bytes);
            let errors = match open(&used.path).await {
                Err(error) => vec![("opening", error)],
                Ok(store) => {
                    let errors = uses(&store).await;
                    store.close().await;
                    errors
                }
            };
            assert!(!errors.is_empty(), "{name}, page {page}: nothing met the damage");
            for (what, error) in errors {
                let kind = (error.kind(), error.is_corrupt());
                assert_eq!(kind, (ErrorKind::Corrupt, true), "{name}, page {page}: {what}: {error:?}");
            }
            let left = used.bytes();
            let page = (page - 1) * size..page * size;
            assert!(left[page.clone()] == bytes[page], "{name}: the damage is not written over");
        }
    }
    used.set(&whole);
    assert_eq!(uses(&open(&used.path).await.expect("it is well again")).await.len(), 0);
}

/// A whole log of another file is taken for this one's: SQLite knows a log by its place alone, and nothing in a page says
/// whose it is. One that is damaged is none.
#[tokio::test]
async fn s_17_a_log_that_is_damaged_takes_nothing_from_the_file() {
    let other = Fixture::new().await;
    other.sql("INSERT INTO \"Todo\" (id, text) VALUES ('theirs', 'theirs')").await.expect("a row");
    let theirs = fs::read(beside(&other.path(), "-wal")).expect("a log that was not merged");
    let garbage = b"this is no log, and it is long enough to be looked at as one".repeat(200);
    let mut no_salts = theirs.clone();
    no_salts[16..24].fill(0);
    for (what, log) in [("no log at all", garbage), ("a log with another mark", no_salts)] {
        let used = Used::new().await;
        fs::write(beside(&used.path, "-wal"), &log).expect("a log");
        let store = open(&used.path).await.expect(what);
        assert_eq!(store.select(sync_core::predicate::Predicate::all(&TODO)).await.expect(what).len(), ROWS);
        assert!(uses(&store).await.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn s_17_a_read_only_file_is_refused_and_left_alone() {
    const WRITE_VERSION: usize = 18;
    let used = Used::new().await;
    let whole = used.bytes();
    let mut bytes = whole.clone();
    // SQLite writes no file of a version that it does not know, whoever asks.
    bytes[WRITE_VERSION] = 3;
    used.set(&bytes);
    let error = open(&used.path).await.expect_err("read-only");
    assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(used.bytes() == bytes, "as it was");
    used.set(&whole);
    assert_eq!(uses(&open(&used.path).await.expect("it may be written")).await.len(), 0);
}

#[tokio::test]
async fn s_17_what_cannot_be_written_beside_the_file_is_named() {
    let used = Used::new().await;
    let whole = used.bytes();
    let folder = used.path.parent().expect("a folder");
    let missing = folder.join("missing").join("app.db");
    for (what, path) in [("a folder", folder), ("a file in no folder", &missing)] {
        let error = open(path).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Store, "{what}: {error:?}");
        assert!(error.to_string().contains("cannot be opened"), "{what}: {error}");
    }
    assert!(!missing.exists());

    // No log can be written, as in a folder that may not be written.
    fs::create_dir(beside(&used.path, "-wal")).expect("a folder");
    let error = open(&used.path).await.expect_err("no log");
    assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
    assert!(error.to_string().contains("cannot be opened"), "{error}");
    assert!(used.bytes() == whole, "as it was");
    fs::remove_dir(beside(&used.path, "-wal")).expect("a folder");

    // No lease can be taken: nothing is sent or pulled, and the app reads and writes.
    let store = open(&used.path).await.expect("a store");
    fs::create_dir(beside(&used.path, "-lease")).expect("a folder");
    let error = store.lease(true).await.expect_err("no lease");
    assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
    assert!(error.to_string().contains("lease"), "{error}");
    store.write(|conn| conn.batch_execute("DELETE FROM \"Todo\"")).await.expect("a write");
    fs::remove_dir(beside(&used.path, "-lease")).expect("a folder");
    store.lease(true).await.expect("a lease");
}
