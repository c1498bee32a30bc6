//! A table that gets columns while it is in use (S-03, S-06, R11).

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, RunQueryDsl as _};
use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{Schema as Grown, Todo, before};
use sync_tests::proxy::Fault;

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

/// A device of the first release, with what the server has, and the text of one row edited.
async fn edited(world: &World, database: &Path, text: &str) -> SyncContext<before::Schema> {
    for table in before::Schema::schemas() {
        sql(database, &create_table_sql(table));
    }
    let device = builder::<before::Schema>(world, database).open().await.expect("the device opens");
    device.pull("all", before::Todo::all()).await.expect("pulled");
    let mut edited = device.table::<before::Todo>().get("edited").await.expect("read").expect("there");
    edited.text = text.into();
    device.table::<before::Todo>().update(&edited).await.expect("updated");
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_new_columns_are_filled_from_what_is_kept_and_by_the_next_pull() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for (id, n) in [("kept", 1), ("bare", 2), ("edited", 3)] {
        server.seed(&json!({ "id": id, "text": "milk", "complete": true, "n": n, "batch": "b" })).await;
    }
    let database = world.folder.path().join("app.db");
    let device = edited(&world, &database, "oat milk").await;
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
    let empty = "UPDATE \"__control\" SET applying = 1; UPDATE \"TodoItem\" SET n = NULL WHERE id = 'bare';
        UPDATE \"__control\" SET applying = 0;";
    sql(&database, empty);
    let other = device.pull("other", Todo::all()).await.expect("pulled");
    assert_eq!(
        (other.rows.changed, other.rows.added),
        (1, 0),
        "what is the same already is no news: {other:?}"
    );
    let bare = device.table::<Todo>().get("bare").await.expect("read").expect("there");
    assert_eq!(bare.n, Some(2));
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
async fn s_06_windows_and_pulls_beyond_the_remembered_filters_refill_and_tell_only_what_is_new() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for number in 0..3 {
        let row = json!({ "id": format!("{number}"), "text": "milk", "complete": true, "n": number });
        server.seed(&row).await;
    }
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    device.pull_all(before::Todo::all()).order_by(before::Todo::id.asc()).top(2).await.expect("pulled");
    // More filters than are remembered, before the one that matches.
    for number in 0..70 {
        device.pull_all(before::Todo::text.eq(format!("no {number}"))).await.expect("pulled");
    }
    device.pull_all(before::Todo::text.eq("milk")).await.expect("pulled");
    drop(device);
    sql(&database, "DELETE FROM \"__extra\"");
    sql(&database, GROWTH);

    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    let filled = async || {
        let rows = device.table::<Todo>().all().order_by(Todo::id.asc()).load().await.expect("rows");
        rows.iter().map(|row| row.n).collect::<Vec<_>>()
    };
    for changed in [2, 0, 0] {
        let window = device.pull_all(Todo::all()).order_by(Todo::id.asc()).top(2).await.expect("pulled");
        assert_eq!((window.rows.changed, window.rows.unchanged), (changed, 2 - changed));
        assert_eq!(filled().await, [Some(0), Some(1), None]);
    }
    for changed in [1, 0, 0] {
        let full = device.pull_all(Todo::text.eq("milk")).await.expect("pulled");
        assert_eq!((full.rows.changed, full.rows.unchanged), (changed, 3 - changed));
        assert_eq!(filled().await, [Some(0), Some(1), Some(2)]);
    }
}

/// An update of unknown outcome was sent by the program before the growth and is settled by the one after it.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_f_09_an_update_sent_before_the_growth_is_settled_after_it() {
    let arrives = [(true, Fault::LoseAnswer), (false, Fault::LoseRequest)];
    for dialect in [Dialect::Datasync, Dialect::MobileApps, Dialect::MobileServices] {
        for ((arrives, fault), edits_again) in
            arrives.iter().flat_map(|fault| [(fault, false), (fault, true)])
        {
            let case = format!("{dialect:?}, arrives: {arrives}, edits again: {edits_again}");
            let world = World::new().await;
            let server = world.server.as_ref();
            server.seed(&json!({ "id": "a", "text": "milk", "complete": true, "n": 7, "batch": "b" })).await;
            let database = world.folder.path().join("app.db");
            for table in before::Schema::schemas() {
                sql(&database, &create_table_sql(table));
            }
            let device = builder::<before::Schema>(&world, &database).dialect(dialect).open();
            let device = device.await.expect("the device opens");
            device.pull("all", before::Todo::all()).await.expect("pulled");
            let mut row = device.table::<before::Todo>().get("a").await.expect("read").expect("there");
            row.text = "oat milk".into();
            device.table::<before::Todo>().update(&row).await.expect("updated");
            world.proxy.inject(1, fault.clone(), |request| request.method != "GET");
            device.push().await.expect_err(&case);
            device.close().await;
            sql(&database, GROWTH);

            let device = builder::<Grown>(&world, &database).dialect(dialect).open();
            let device = device.await.expect("the device opens");
            let text = if edits_again { "bread" } else { "oat milk" };
            let row = async || device.table::<Todo>().get("a").await.expect("read").expect("there");
            if edits_again {
                let mut row = row().await;
                row.text = text.into();
                device.table::<Todo>().update(&row).await.expect("updated");
            }
            let report = device.push().await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            assert_eq!(report.remaining, 0, "{case}");
            let there = server.read("a").await.json();
            let members = ["text", "complete", "n", "batch"].map(|name| there[name].clone());
            assert_eq!(members, [json!(text), json!(true), json!(7), json!("b")], "{case}: on the server");
            let here = row().await;
            let columns = (&*here.text, here.complete, here.n, here.batch.as_deref());
            assert_eq!(columns, (text, true, Some(7), Some("b")), "{case}: here");
            // What is a column now is kept nowhere else, or a later release would find it there.
            let count = "SELECT count(*) FROM \"__extra\" WHERE json LIKE '%\"n\"%'";
            let left = device
                .read(move |conn| {
                    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("({count})")))
                        .get_result::<i64>(conn)
                })
                .await;
            assert_eq!(left.expect("read"), 0, "{case}");
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn l_24_what_an_index_kept_out_is_stored_by_the_next_pull_before_it_asks_the_server() {
    let world = World::new().await;
    for id in ["a", "b"] {
        world.server.as_ref().seed(&json!({ "id": id, "text": "milk", "complete": false })).await;
    }
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    sql(&database, "CREATE UNIQUE INDEX one_text ON \"TodoItem\" (text)");
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    assert!(device.pull("all", before::Todo::all()).await.expect("pulled").rows.quarantined > 0);
    device.close().await;
    // Nothing that opening looks at is another.
    sql(&database, "DROP INDEX one_text");
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    assert_eq!(device.quarantine().await.expect("listed").len(), 1);
    let busy = sync_tests::http::Answer::new(503, "application/json", "{}");
    world.proxy.inject(9, Fault::Answer(busy), |request| request.method == "GET");
    device.pull("other", before::Todo::all()).await.expect_err("no server");
    assert_eq!(device.quarantine().await.expect("listed"), []);
    assert!(device.table::<before::Todo>().get("b").await.expect("read").is_some());
}

/// What was kept of a deletion has not the columns that came after it; its conflict is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_a_conflict_of_a_row_deleted_before_the_growth_is_listed() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for id in ["deleted", "edited"] {
        server.seed(&json!({ "id": id, "text": "milk", "complete": true })).await;
    }
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    let device = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    device.pull("all", before::Todo::all()).await.expect("pulled");
    let todos = device.table::<before::Todo>();
    todos.delete("deleted").await.expect("deleted");
    let mut edited = todos.get("edited").await.expect("read").expect("there");
    edited.text = "oat milk".into();
    todos.update(&edited).await.expect("updated");
    drop(device);
    sql(&database, "DELETE FROM \"__extra\"; UPDATE \"__shadow\" SET extra = NULL");
    sql(&database, GROWTH);
    for id in ["deleted", "edited"] {
        server.update(id, None, &json!({ "text": "soy milk" })).await;
    }

    let device = builder::<Grown>(&world, &database).open().await.expect("the device opens");
    device.push().await.expect_err("two conflicts");
    let mut conflicts = device.conflicts::<Todo>().await.expect("listed");
    conflicts.sort_by(|left, right| left.item_id.cmp(&right.item_id));
    let kinds: Vec<_> = conflicts.iter().map(|conflict| (conflict.item_id.as_str(), conflict.kind)).collect();
    assert_eq!(kinds, [("deleted", OperationKind::Delete), ("edited", OperationKind::Update)]);
    for conflict in &conflicts {
        assert_eq!(conflict.remote.as_ref().map(|row| row.text.as_str()), Some("soy milk"));
    }
    device.resolve_all(ConflictPolicy::ClientWins).await.expect("decided");
    device.push().await.expect("pushed");
}

/// The database `app.db` of the first release, migrated to the second.
fn grown(world: &World) -> PathBuf {
    let database = world.folder.path().join("app.db");
    for table in before::Schema::schemas() {
        sql(&database, &create_table_sql(table));
    }
    sql(&database, GROWTH);
    database
}

/// The column has the name of another member of the server's now, which the app knew as an unknown member.
mod renamed {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity, Clone, Debug, PartialEq)]
    #[sync(table = "TodoItem")]
    pub(super) struct Todo {
        pub(super) batch: String,
    }

    sync_schema!(pub(super) Schema: Todo);
}

#[tokio::test(flavor = "multi_thread")]
async fn i_1_r_7_an_edit_of_a_renamed_column_is_sent_under_the_new_name() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for id in ["edited", "clean"] {
        server.seed(&json!({ "id": id, "text": "milk", "complete": true, "batch": "b" })).await;
    }
    let database = world.folder.path().join("app.db");
    let device = edited(&world, &database, "bread").await;
    device.close().await;

    // Renamed as any table of an app: refused, and nothing is lost.
    sql(&database, "ALTER TABLE \"TodoItem\" RENAME COLUMN text TO batch");
    let error = builder::<renamed::Schema>(&world, &database).open().await.expect_err("an edit waits");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("TodoItem")));
    sql(&database, "ALTER TABLE \"TodoItem\" RENAME COLUMN batch TO text");
    // Renamed with what waits.
    sql(&database, &sync_diesel::migration::rename_column("TodoItem", "text", "batch"));
    let device = builder::<renamed::Schema>(&world, &database).open().await.expect("the device opens");
    assert_eq!(device.pending().await.expect("counted"), 1);
    world.proxy.take_seen();
    device.pull("all", renamed::Todo::all()).await.expect("pushed and pulled");
    let seen = world.proxy.take_seen();
    let update = seen.iter().find(|seen| seen.request.method == "PATCH").expect("an update");
    let sent: serde_json::Value =
        serde_json::from_slice(update.request.body.as_deref().expect("a body")).expect("a row");
    assert_eq!(sent, json!({ "id": "edited", "batch": "bread" }));
    assert_eq!(server.read("edited").await.json()["batch"], "bread");
    let batch = async |id: &str| {
        let row = device.table::<renamed::Todo>().get(id).await.expect("read").expect("there");
        row.batch.clone()
    };
    assert_eq!((batch("edited").await, batch("clean").await), ("bread".into(), "b".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn i_1_an_edit_of_a_column_that_an_older_release_does_not_have_waits_for_the_newer() {
    let world = World::new().await;
    let server = world.server.as_ref();
    server.seed(&json!({ "id": "a", "text": "milk", "complete": false, "n": 1 })).await;
    let database = grown(&world);
    let device = world.device("app.db").await;
    device.pull("all", Todo::all()).await.expect("pulled");
    let mut row = device.table::<Todo>().get("a").await.expect("read").expect("there");
    row.n = Some(2);
    device.table::<Todo>().update(&row).await.expect("updated");
    device.close().await;

    let older = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
    older.push().await.expect_err("an edit of a column it does not have");
    let errors = older.errors().await.expect("errors");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("column n"), "{errors:?}");
    older.pull("all", before::Todo::all()).pull_anyway().await.expect("pulled");
    assert_eq!(older.pending().await.expect("counted"), 1);
    older.close().await;

    let device = world.device("app.db").await;
    device.push().await.expect("pushed");
    assert_eq!(server.read("a").await.json()["n"], 2);
    device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!(device.table::<Todo>().get("a").await.expect("read").expect("there").n, Some(2));
    assert_eq!(device.pending().await.expect("counted"), 0);
}

/// Two releases have one file open: what the newer one writes is captured whichever opened it last.
#[tokio::test(flavor = "multi_thread")]
async fn s_16_an_older_release_beside_a_newer_one_takes_no_column_from_the_capture() {
    for reopens in [false, true] {
        let world = World::new().await;
        let server = world.server.as_ref();
        server.seed(&json!({ "id": "a", "text": "milk", "complete": false, "n": 1 })).await;
        let database = grown(&world);
        let device = world.device("app.db").await;
        device.pull("all", Todo::all()).await.expect("pulled");
        let older = builder::<before::Schema>(&world, &database).open().await.expect("the device opens");
        // What a pull of the older one brings is a member kept beside for it.
        server.update("a", None, &json!({ "n": 7, "price": 2.5 })).await;
        older.pull("all", before::Todo::all()).await.expect("pulled");

        let mut row = device.table::<Todo>().get("a").await.expect("read").expect("there");
        row.n = Some(2);
        device.table::<Todo>().update(&row).await.expect("updated");
        assert_eq!(device.pending().await.expect("counted"), 1);
        older.push().await.expect_err("an edit of a column it does not have");
        older.close().await;
        let device = if reopens {
            device.close().await;
            world.device("app.db").await
        } else {
            device
        };
        world.proxy.take_seen();
        device.push().await.expect("pushed");
        let seen = world.proxy.take_seen();
        let changes: Vec<_> = seen.iter().filter(|seen| seen.request.method != "GET").collect();
        let body = changes[0].request.body.as_deref().expect("a body");
        let sent: serde_json::Value = serde_json::from_slice(body).expect("a row");
        assert_eq!((changes.len(), sent), (1, json!({ "id": "a", "n": 2 })), "reopens: {reopens}");
        let there = server.read("a").await.json();
        assert_eq!((&there["n"], &there["price"]), (&json!(2), &json!(2.5)));
        assert_eq!(device.pending().await.expect("counted"), 0);
        device.close().await;
        let device = world.device("app.db").await;
        device.pull("all", Todo::all()).await.expect("pulled");
        let row = device.table::<Todo>().get("a").await.expect("read").expect("there");
        assert_eq!((row.n, row.price), (Some(2), Some(2.5)), "reopens: {reopens}");
    }
}
