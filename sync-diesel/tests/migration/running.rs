//! Migrations on a database that is in use: captured tables, rows, a queue.

use std::path::Path;

use bytes::Bytes;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use sync_core::page::PageSummary;
use sync_core::store::{LocalStore, Page, PullBatch};
use sync_diesel::prelude::*;
use sync_diesel::schema::remove_capture;
use tempfile::TempDir;

use crate::model::{first, second};
use crate::support::{Folder, connect, lines, migrated, schema};

const CREATED: EmbeddedMigrations = embed_migrations!("tests/migration/created");
const GROWN: EmbeddedMigrations = embed_migrations!("tests/migration/grown");
const REBUILT: EmbeddedMigrations = embed_migrations!("tests/migration/rebuilt");
const BROKEN: EmbeddedMigrations = embed_migrations!("tests/migration/broken");

async fn open<A: SyncSchema>(
    database: &Path,
    migrations: EmbeddedMigrations,
) -> sync_diesel::Result<SyncContext<A>> {
    SyncContext::<A>::builder("http://127.0.0.1:9")
        .dialect(Dialect::MobileApps)
        .database(database)
        .migrations(migrations)
        .open()
        .await
}

/// A database of the first release: row `clean` as the server has it, row `queued` not yet pushed.
async fn in_use() -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let database = directory.path().join("app.db");
    let context = open::<first::App>(&database, CREATED).await.expect("a context");
    let names = Dialect::MobileApps.names();
    let body = Bytes::from_static(
        br#"[{"id":"clean","text":"milk","complete":true,"dueAt":"2024-01-02T03:04:05.678Z","version":"v1","updatedAt":"2024-01-01T00:00:00.000Z","deleted":false}]"#,
    );
    let summary = PageSummary::scan(&body, names).expect("a page");
    let pages = vec![Page { body, summary, names }];
    let batch = PullBatch { pages, ..PullBatch::new(first::Todo::SCHEMA) };
    context.engine().store().apply_pages(batch).await.expect("pages are stored");
    context
        .write(|conn| {
            diesel::insert_into(first::todo::table)
                .values((
                    first::todo::id.eq("queued"),
                    first::todo::text.eq("bread"),
                    first::todo::complete.eq(false),
                ))
                .execute(conn)
        })
        .await
        .expect("a write");
    assert_eq!(context.pending().await.expect("a count"), 1);
    (directory, database)
}

/// Everything a migration must not change: the queue with what belongs to it.
fn queue(database: &Path) -> Vec<String> {
    lines(
        &mut connect(database),
        "SELECT printf('operation %d %s %d %d %d', seq, item_id, kind, state, revision) AS line FROM __operations
         UNION ALL SELECT printf('shadow %s %s', item_id, item) FROM __shadow
         UNION ALL SELECT printf('replaced %s', item_id) FROM __replaced
         UNION ALL SELECT printf('applying %d', applying) FROM __control ORDER BY 1",
    )
}

fn rows(database: &Path) -> Vec<String> {
    lines(
        &mut connect(database),
        "SELECT printf('%s %s %d %s %s', id, text, complete, coalesce(\"dueAt\", '-'), coalesce(__version, '-'))
             AS line FROM \"TodoItem\" ORDER BY id",
    )
}

const ROWS: [&str; 2] = ["clean milk 1 2024-01-02 03:04:05.678+00:00 v1", "queued bread 0 - -"];

#[tokio::test]
async fn d_12_a_captured_table_grows_without_queueing() {
    let (_directory, database) = in_use().await;
    let before = queue(&database);
    let context = open::<second::App>(&database, GROWN).await.expect("a context");
    assert_eq!(queue(&database), before);
    assert_eq!(rows(&database), ROWS);
    let todo = context.table::<second::Todo>().get("clean").await.expect("a read").expect("a row");
    assert_eq!((todo.place.as_deref(), todo.stars), (None, 3));

    // The triggers are there, and know the new columns.
    context
        .write(|conn| {
            diesel::update(second::todo::table.find("clean")).set(second::todo::stars.eq(5)).execute(conn)
        })
        .await
        .expect("a write");
    let queued = context.pending_operations().await.expect("operations");
    let ids: Vec<&str> = queued.iter().map(|operation| operation.key.item_id.as_str()).collect();
    assert_eq!(ids, ["queued", "clean"]);

    // Opening again runs nothing.
    drop(context);
    let before = queue(&database);
    drop(open::<second::App>(&database, GROWN).await.expect("a context"));
    assert_eq!(queue(&database), before);
}

#[tokio::test]
async fn d_12_a_rebuild_by_hand_queues_nothing() {
    let (_directory, database) = in_use().await;
    let before = queue(&database);
    let context = open::<second::App>(&database, REBUILT).await.expect("a context");
    assert_eq!(queue(&database), before);
    assert_eq!(rows(&database), ROWS);
    context.table::<second::Todo>().delete("clean").await.expect("a write");
    assert_eq!(context.pending().await.expect("a count"), 2, "captured again");
}

#[tokio::test]
async fn a_failing_migration_rolls_everything_back() {
    let (_directory, database) = in_use().await;
    let (before, structure) = (queue(&database), schema(&mut connect(&database)));
    assert!(structure.iter().any(|line| line.contains(" trigger ")), "{structure:?}");
    let error = open::<second::App>(&database, BROKEN).await.expect_err("the migration fails");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(format!("{error:?}").contains("broken"), "{error:?}");
    assert_eq!(schema(&mut connect(&database)), structure, "tables and triggers are the old ones");
    assert_eq!(queue(&database), before);
    assert_eq!(rows(&database), ROWS);

    // The first release still works on it, and the second with the repaired migration.
    let context = open::<first::App>(&database, CREATED).await.expect("a context");
    context.table::<first::Todo>().delete("clean").await.expect("a write");
    assert_eq!(context.pending().await.expect("a count"), 2);
    drop(context);
    drop(open::<second::App>(&database, GROWN).await.expect("a context"));
}

#[tokio::test]
async fn a_missing_migration_is_named_at_open() {
    let (_directory, database) = in_use().await;
    let error = open::<second::App>(&database, CREATED).await.expect_err("a column is missing");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("TodoItem")));
    assert!(error.to_string().contains("column place"), "{error}");
}

#[tokio::test]
async fn down_works_on_a_used_database_without_capture() {
    let (_directory, database) = in_use().await;
    drop(open::<second::App>(&database, GROWN).await.expect("a context"));
    let before = queue(&database);
    let mut conn = connect(&database);
    remove_capture(&mut conn, second::App::TABLES).expect("the triggers are removed");
    conn.revert_last_migration(GROWN).expect("down");
    assert_eq!(schema(&mut conn), schema(&mut migrated(&Folder::of::<first::App>())));
    assert_eq!((queue(&database), rows(&database)), (before, ROWS.map(str::to_owned).to_vec()));
}
