//! A table that gets columns while it is in use (S-03, S-06, R11).

use std::path::Path;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{Schema as Grown, Todo, before};

use crate::offline::World;

fn sql(database: &Path, text: &str) {
    let mut connection =
        SqliteConnection::establish(database.to_str().expect("text")).expect("the database opens");
    connection.batch_execute("PRAGMA busy_timeout = 10000").expect("the pragma is known");
    connection.batch_execute(text).expect("the statements run");
}

fn builder<A: SyncSchema>(world: &World, database: &Path) -> sync_diesel::Builder<A> {
    SyncContext::<A>::builder(world.proxy.url())
        .dialect(Dialect::MobileApps)
        .profile(world.server.as_ref().profile())
        .window(world.server.as_ref().window())
        .database(database)
}

/// What a migration would do: columns, and the table of another entity.
const GROWTH: &str = "ALTER TABLE \"TodoItem\" ADD COLUMN \"complete\" INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE \"TodoItem\" ADD COLUMN \"n\" INTEGER;
    ALTER TABLE \"TodoItem\" ADD COLUMN \"price\" REAL;
    ALTER TABLE \"TodoItem\" ADD COLUMN \"dueAt\" TEXT;
    ALTER TABLE \"TodoItem\" ADD COLUMN \"batch\" TEXT;
    CREATE TABLE \"NoSuchTable\" (\"id\" TEXT PRIMARY KEY NOT NULL, \"text\" TEXT NOT NULL, \"__updatedAt\" TEXT,
        \"__version\" TEXT, \"__deleted\" INTEGER NOT NULL DEFAULT 0);";

#[tokio::test(flavor = "multi_thread")]
async fn s_06_new_columns_are_filled_from_what_is_kept_and_by_the_next_pull() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for (id, n) in [("kept", 1), ("bare", 2), ("edited", 3)] {
        server.seed(&json!({ "id": id, "text": "milk", "complete": true, "n": n, "batch": "b" })).await;
    }
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    device.pull("all", before::Todo::all()).await.expect("pulled");
    let mut edited = device.table::<before::Todo>().get("edited").await.expect("read").expect("there");
    edited.text = "oat milk".into();
    device.table::<before::Todo>().update(&edited).await.expect("updated");
    drop(device);
    // As if the server's table had got its columns later, without a change of this row.
    sql(&database, "DELETE FROM \"__extra\" WHERE item_id = 'bare'");
    sql(&database, GROWTH);

    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    let row = async |id: &str| device.table::<Todo>().get(id).await.expect("read").expect("there");
    let filled = |todo: &Todo, n| todo.complete && todo.n == Some(n) && todo.batch.as_deref() == Some("b");
    assert!(filled(&*row("kept").await, 1), "from the members kept beside it");
    assert!(filled(&*row("edited").await, 3), "also in a row with an operation");
    assert_eq!(row("bare").await.n, None);

    // Nobody changed the new columns, so no push sends them.
    world.proxy.take_seen();
    let report = device.pull("all", Todo::all()).await.expect("pulled");
    let seen = world.proxy.take_seen();
    let update = seen.iter().find(|seen| seen.request.method == "PATCH").expect("an update");
    let sent: serde_json::Value =
        serde_json::from_slice(update.request.body.as_deref().expect("a body")).expect("a row");
    assert_eq!(sent, json!({ "id": "edited", "text": "oat milk" }));
    assert!(report.rows.changed >= 1, "{report:?}");
    for (id, n) in [("kept", 1), ("bare", 2), ("edited", 3)] {
        assert!(filled(&*row(id).await, n), "{id}");
    }
    assert_eq!(server.read("edited").await.json()["n"], 3);

    // Done: rows of a known version are left alone again.
    let again = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!((again.rows.changed, again.rows.added), (0, 0), "{again:?}");
    drop(device);
    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    let again = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!((again.rows.changed, again.rows.added), (0, 0), "{again:?}");
    // A query id of its own has not seen them.
    let other = device.pull("other", Todo::all()).await.expect("pulled");
    assert!(other.rows.changed >= 3 && other.rows.added == 0, "{other:?}");
    let other = device.pull("other", Todo::all()).await.expect("pulled");
    assert_eq!((other.rows.changed, other.rows.added), (0, 0), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_an_interrupted_refill_goes_on() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for number in 0..3 {
        server
            .seed(&json!({ "id": format!("{number}"), "text": "milk", "complete": true, "n": number }))
            .await;
    }
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    device.pull("all", before::Todo::all()).await.expect("pulled");
    device.pull_all(before::Todo::all()).await.expect("pulled");
    drop(device);
    sql(&database, "DELETE FROM \"__extra\"");
    sql(&database, GROWTH);

    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    let busy = sync_tests::http::Answer::new(503, "application/json", "{}");
    world.proxy.inject(1, sync_tests::proxy::Fault::Answer(busy), |request| {
        request.method == "GET" && !request.target.contains("1970")
    });
    device.pull("all", Todo::all()).page_size(1).await.expect_err("interrupted");
    device.pull("all", Todo::all()).page_size(1).await.expect("pulled");
    let filled = async || {
        let rows = device.table::<Todo>().all().order_by(Todo::id.asc()).load().await.expect("rows");
        rows.iter().map(|row| row.n).collect::<Vec<_>>()
    };
    assert_eq!(filled().await, [Some(0), Some(1), Some(2)]);

    // A full pull fills as well, and a window with the same filter takes nothing from it.
    device
        .write(|conn| {
            conn.batch_execute(
                "UPDATE \"__control\" SET applying = 1;
        UPDATE \"TodoItem\" SET n = NULL; UPDATE \"__control\" SET applying = 0;",
            )
        })
        .await
        .expect("emptied");
    device.pull_all(Todo::all()).order_by(Todo::id.asc()).top(1).await.expect("pulled");
    assert_eq!(filled().await, [Some(0), None, None]);
    device.pull_all(Todo::all()).await.expect("pulled");
    assert_eq!(filled().await, [Some(0), Some(1), Some(2)]);
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_24_the_quarantine_is_listed_and_tried_again_when_the_schema_allows_it() {
    let world = World::new().await;
    world.server.as_ref().seed(&json!({ "id": "a", "text": "milk", "complete": false })).await;
    world.server.as_ref().seed(&json!({ "id": "b", "text": "milk", "complete": false })).await;
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    sql(&database, "CREATE UNIQUE INDEX one_text ON \"TodoItem\" (text)");
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    assert!(device.pull("all", before::Todo::all()).await.expect("pulled").rows.quarantined > 0);
    let waiting = device.quarantine().await.expect("listed");
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].item_id.as_str(), waiting[0].query_id.as_deref()), ("b", Some("all")));
    assert!(waiting[0].reason.contains("unique"), "{waiting:?}");
    drop(device);
    sql(&database, "DROP INDEX one_text");
    sql(&database, GROWTH);
    world.proxy.take_seen();
    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    assert_eq!(device.quarantine().await.expect("listed"), []);
    assert!(device.table::<Todo>().get("b").await.expect("read").is_some());
    assert!(world.proxy.seen().is_empty(), "opening sends nothing");
}
