//! Opening (17.4): sync's own tables, the app's migrations, capture triggers and what growth asks for are one commit.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sync_core::page::PageSummary;
use sync_core::store::{DeltaToken, LocalStore, Page, PullBatch, QueryKey};
use sync_diesel::prelude::*;
use sync_diesel::schema::{create_table_sql, remove_capture};
use sync_diesel::{DatabaseOptions, DieselStore};

use super::{Files, Folder, check_crashes, dump, found_in};
use crate::support::{Fixture, TABLES, TODO, connect, json, open};

const CREATED: EmbeddedMigrations = embed_migrations!("tests/migration/created");
const GROWN: EmbeddedMigrations = embed_migrations!("tests/migration/grown");

/// The app of these migrations, in two releases.
mod first {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity, Clone, Debug)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub(super) struct Todo {
        pub(super) text: String,
        pub(super) complete: bool,
        pub(super) due_at: Option<DateTime<Utc>>,
    }

    sync_schema!(pub(super) App: Todo);
}

mod second {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity, Clone, Debug)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub(super) struct Todo {
        pub(super) text: String,
        pub(super) complete: bool,
        pub(super) due_at: Option<DateTime<Utc>>,
        pub(super) place: Option<String>,
        #[sync(default = 3)]
        pub(super) stars: i32,
    }

    sync_schema!(pub(super) App: Todo);
}

/// Opens the closed database at `path`, and crashes that at every moment. What is found is what was there before, and
/// the next opening does everything.
async fn check<T>(what: &str, path: &Path, open: impl AsyncFn(PathBuf) -> T) {
    check_in(1, what, path, open).await;
}

/// As [`check`], where so many steps follow each other.
async fn check_in<T>(steps: usize, what: &str, path: &Path, open: impl AsyncFn(PathBuf) -> T) {
    let mut before = Files::read(path);
    let opened = open(path.to_owned()).await;
    let after = Files::read(path);
    let expected = found_in(&after);
    let commits = before.commits_until(&after);
    assert_eq!(commits.len(), steps, "{what}");
    let mut crashes = Vec::new();
    for commit in commits {
        crashes.extend(check_crashes(&before, &commit, what));
        before = commit;
    }
    crashes.push(after);
    let mut folder = Folder::default();
    for files in crashes {
        let path = folder.path();
        files.write(&path);
        let again = open(path.clone()).await;
        assert!(dump(&mut connect(&path)) == expected, "{what}: opened after a crash");
        drop(again);
    }
    drop(opened);
}

/// A file as the app made it, in the journal mode of sync.
fn made_by_the_app(folder: &mut Folder, sql: &str) -> PathBuf {
    let path = folder.path();
    connect(&path).batch_execute(&format!("PRAGMA journal_mode = WAL; {sql}")).expect("a file");
    path
}

/// The store's file, with rows, a queue and copies, closed.
async fn used(change: &str) -> (Fixture, PathBuf) {
    let fixture = Fixture::new().await;
    fixture.pulled("clean", "milk").await;
    fixture.pulled("changed", "milk").await;
    fixture.pulled("deleted", "milk").await;
    let sql =
        "UPDATE \"Todo\" SET text = 'bread' WHERE id = 'changed'; DELETE FROM \"Todo\" WHERE id = 'deleted';
               INSERT INTO \"Todo\" (id, text) VALUES ('new', 'jam')";
    fixture.sql(sql).await.expect("changes");
    fixture.pull(&[json("changed", "theirs", "v2")]).await;
    if !change.is_empty() {
        fixture.sql(change).await.expect("a change");
    }
    fixture.store.close().await;
    let path = fixture.path();
    (fixture, path)
}

async fn reopen(path: PathBuf) -> DieselStore {
    open(&path).await.expect("a store")
}

#[tokio::test]
async fn z_14_the_first_opening_is_whole_after_a_crash() {
    let mut folder = Folder::default();
    let path = made_by_the_app(&mut folder, "");
    check("the app's tables with sync's own", &path, reopen).await;

    let rows = "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'from before')";
    let path = made_by_the_app(&mut folder, &format!("{}; {rows}", create_table_sql(&TODO)));
    check("sync's tables beside rows of the app", &path, reopen).await;
}

#[tokio::test]
async fn z_14_system_tables_are_brought_up_to_date_in_one_commit() {
    let first = "DROP TABLE __resolutions; ALTER TABLE __errors DROP COLUMN uncertain;
                 ALTER TABLE __errors DROP COLUMN parked; ALTER TABLE __errors DROP COLUMN push;
                 UPDATE __control SET system_version = 1";
    let (_fixture, path) = used(first).await;
    check("tables of the first version", &path, reopen).await;
}

#[tokio::test]
async fn z_14_capture_triggers_are_replaced_in_one_commit() {
    let other = "DROP TRIGGER __sync_delete_Todo; DROP TRIGGER __sync_insert_Todo;
                 CREATE TRIGGER __sync_delete_Todo AFTER DELETE ON \"Todo\" BEGIN SELECT 1; END;
                 CREATE TRIGGER __sync_old_Todo AFTER DELETE ON \"Todo\" BEGIN SELECT 1; END";
    let (_fixture, path) = used(other).await;
    check("other triggers", &path, reopen).await;
}

#[tokio::test]
async fn d_12_z_14_a_rebuilt_table_is_whole_after_a_crash() {
    let (_fixture, path) = used("").await;
    // Only once: a migration is run by whoever keeps account of it.
    let rebuild = async |path: PathBuf| {
        DieselStore::open_with(path, TABLES, DatabaseOptions::default(), |conn| {
            if conn.batch_execute("SELECT 1 FROM rebuilt").is_ok() {
                return Ok(());
            }
            remove_capture(conn, TABLES)?;
            let create = create_table_sql(&TODO).replacen("\"Todo\"", "\"new\"", 1);
            let sql = format!(
                "{create}; INSERT INTO \"new\" SELECT * FROM \"Todo\"; DROP TABLE \"Todo\";
                 ALTER TABLE \"new\" RENAME TO \"Todo\"; CREATE TABLE rebuilt (once INTEGER)"
            );
            conn.batch_execute(&sql).expect("a rebuild");
            Ok(())
        })
        .await
        .expect("a store")
    };
    check("a rebuilt table", &path, rebuild).await;
}

async fn release<A: SyncSchema>(path: PathBuf, migrations: EmbeddedMigrations) -> SyncContext<A> {
    let builder = SyncContext::<A>::builder("http://127.0.0.1:9").dialect(Dialect::MobileApps);
    builder.database(path).migrations(migrations).open().await.expect("a context")
}

#[tokio::test]
async fn s_06_z_14_migrations_and_growth_are_one_commit() {
    let mut folder = Folder::default();
    let path = made_by_the_app(&mut folder, "");
    let opening = async |path: PathBuf| release::<first::App>(path, CREATED).await;
    // Whose queue it is (C-12) is the second.
    check_in(2, "the first migrations", &path, opening).await;

    let context = opening(folder.path()).await;
    let names = Dialect::MobileApps.names();
    let row = |id: &str| {
        format!(
            "{{\"id\":\"{id}\",\"text\":\"milk\",\"complete\":true,\"dueAt\":null,\"place\":\"home\",\"stars\":5,\
             \"version\":\"v1\",\"updatedAt\":\"2024-01-01T00:00:00.000Z\",\"deleted\":false}}"
        )
    };
    let body = Bytes::from(format!("[{},{}]", row("clean"), row("changed")));
    let summary = PageSummary::scan(&body, names).expect("a page");
    let instant = sync_core::time::parse("2024-01-01T00:00:00Z").expect("an instant");
    let batch = PullBatch {
        query: Some(QueryKey { query_id: "q".into(), fingerprint: "1".into() }),
        token: Some(DeltaToken { instant, server_date: None }),
        pages: vec![Page { body, summary, names }],
        ..PullBatch::new(first::Todo::SCHEMA)
    };
    let store = context.engine().store();
    assert_eq!(store.apply_pages(batch).await.expect("a page").added, 2);
    let mut changed = context.table::<first::Todo>().get("changed").await.expect("a read").expect("a row");
    changed.text = "bread".into();
    context.table::<first::Todo>().update(&changed).await.expect("an update");
    store.close().await;
    let path = folder.last();
    check("the second release", &path, async |path| release::<second::App>(path, GROWN).await).await;
    let context = release::<second::App>(path, GROWN).await;
    for id in ["clean", "changed"] {
        let todo = context.table::<second::Todo>().get(id).await.expect("a read").expect("a row");
        assert_eq!((todo.place.as_deref(), todo.stars), (Some("home"), 5), "{id}: from what was kept");
    }
    assert_eq!(context.pending().await.expect("a count"), 1);
}
