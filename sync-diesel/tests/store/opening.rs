//! Opening: what is checked, and what is made anew.

use diesel::connection::SimpleConnection;
use sync_core::ErrorKind;
use sync_core::store::LocalStore;
use sync_diesel::DatabaseOptions;
use sync_diesel::DieselStore;
use sync_diesel::schema::create_table_sql;
use tempfile::TempDir;

use crate::support::{Fixture, TABLES, TODO, connect, json, open};

async fn refuses(sql: &str, kind: ErrorKind, words: &[&str]) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("app.db");
    connect(&path).batch_execute(sql).expect("a schema");
    let error = DieselStore::open(&path, TABLES, DatabaseOptions::default()).await.expect_err(sql);
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.table(), Some("Todo"));
    for word in words {
        assert!(error.to_string().contains(word), "{error}");
    }
    let mut left = connect(&path);
    left.batch_execute("SELECT * FROM __operations").expect_err("nothing was made");
}

#[tokio::test]
async fn s_05_tables_that_do_not_fit_are_named() {
    let create = create_table_sql(&TODO);
    refuses("CREATE TABLE other (id TEXT)", ErrorKind::SchemaMismatch, &["does not exist"]).await;
    for (from, to, words) in [
        ("\"rank\" SMALLINT", "\"ranks\" SMALLINT", ["column rank", "does not exist"]),
        ("\"rank\" SMALLINT", "\"rank\" TEXT", ["column rank", "TEXT"]),
        ("\"text\" TEXT", "\"text\" NUMERIC", ["column text", "NUMERIC"]),
        ("\"double\" DOUBLE", "\"double\" INTEGER", ["column double", "INTEGER"]),
        ("\"__version\" TEXT", "\"version\" TEXT", ["column __version", "does not exist"]),
        ("\"__deleted\" BOOLEAN", "\"__deleted\" TEXT", ["column __deleted", "TEXT"]),
        ("TEXT PRIMARY KEY NOT NULL", "TEXT UNIQUE NOT NULL", ["column id", "primary key"]),
        ("\n)", "\n) WITHOUT ROWID", ["WITHOUT ROWID", "not supported"]),
    ] {
        assert!(create.contains(from), "{from} in {create}");
        refuses(&create.replacen(from, to, 1), ErrorKind::SchemaMismatch, &words).await;
    }
}

#[tokio::test]
async fn s_14_cascades_between_synced_tables_are_refused() {
    for action in ["ON DELETE CASCADE", "ON UPDATE SET NULL", "ON DELETE SET DEFAULT"] {
        let reference = format!("\"text\" TEXT NOT NULL REFERENCES \"Todo\" (id) {action}");
        let create = create_table_sql(&TODO).replacen("\"text\" TEXT NOT NULL", &reference, 1);
        refuses(&create, ErrorKind::SchemaMismatch, &["column text"]).await;
    }
}

#[tokio::test]
async fn s_14_cascades_by_way_of_other_tables_are_refused() {
    let through = |own: &str, back: &str| {
        let reference = format!("\"text\" TEXT NOT NULL REFERENCES folder (name) {back}");
        let todo = create_table_sql(&TODO).replacen("\"text\" TEXT NOT NULL", &reference, 1);
        format!(
            "{todo}; CREATE TABLE shelf (id INTEGER PRIMARY KEY, todo TEXT UNIQUE REFERENCES \"Todo\" (id) {own});
             CREATE TABLE folder (name TEXT PRIMARY KEY REFERENCES shelf (todo) ON DELETE CASCADE)"
        )
    };
    let create = through("ON DELETE CASCADE", "ON DELETE SET NULL");
    refuses(&create, ErrorKind::SchemaMismatch, &["column text", "when Todo changes"]).await;
    // The chain ends where a row stays, where nothing is done, and where the app alone deletes.
    for (own, back) in
        [("ON DELETE SET NULL", "ON DELETE CASCADE"), ("", "ON DELETE CASCADE"), ("ON DELETE CASCADE", "")]
    {
        let create = through(own, back);
        Fixture::with_table(|_| create).await;
    }
}

#[tokio::test]
async fn s_14_deferred_foreign_keys_of_synced_tables_are_refused() {
    let todo = create_table_sql(&TODO);
    let deferred = "REFERENCES \"Todo\" (id) DEFERRABLE initially  deferred";
    let of_synced = todo.replacen("\"text\" TEXT NOT NULL", &format!("\"text\" TEXT NOT NULL {deferred}"), 1);
    refuses(&of_synced, ErrorKind::SchemaMismatch, &["column text", "INITIALLY DEFERRED"]).await;
    let to_synced = format!("{todo}; CREATE TABLE mine (todo TEXT {deferred})");
    refuses(&to_synced, ErrorKind::SchemaMismatch, &["column todo of mine", "INITIALLY DEFERRED"]).await;
    Fixture::with_table(|todo| {
        format!("{todo}; CREATE TABLE mine (id INTEGER PRIMARY KEY, up INTEGER REFERENCES mine (id) DEFERRABLE INITIALLY DEFERRED)")
    })
    .await;
}

#[tokio::test]
async fn s_18_a_newer_database_is_left_alone() {
    let fixture = Fixture::new().await;
    fixture
        .sql("UPDATE __control SET system_version = 1000; DROP TRIGGER __sync_insert_Todo")
        .await
        .expect("SQL");
    let error = open(&fixture.path()).await.expect_err("a newer version");
    assert_eq!(error.kind(), ErrorKind::NewerSchema);
    assert!(error.is_corrupt());
    assert_eq!(fixture.count("sqlite_master WHERE name = '__sync_insert_Todo'").await, 0);
}

#[tokio::test]
async fn triggers_are_made_anew_only_when_they_differ() {
    let fixture = Fixture::new().await;
    let version = "SELECT schema_version AS value FROM pragma_schema_version";
    let before = fixture.number(version).await;
    let again = open(&fixture.path()).await.expect("a second store");
    assert_eq!(fixture.number(version).await, before, "nothing changed");
    drop(again);

    fixture
        .sql(
            "DROP TRIGGER __sync_delete_Todo;
             CREATE TRIGGER __sync_delete_Todo AFTER DELETE ON \"Todo\" BEGIN SELECT 1; END;
             CREATE TRIGGER __sync_old_Todo AFTER DELETE ON \"Todo\" BEGIN SELECT 1; END;
             CREATE TRIGGER mine AFTER DELETE ON \"Todo\" BEGIN SELECT 1; END;",
        )
        .await
        .expect("triggers");
    fixture.pulled("a", "milk").await;
    let again = open(&fixture.path()).await.expect("a second store");
    drop(again);
    assert_eq!(fixture.count("sqlite_master WHERE name = '__sync_old_Todo'").await, 0);
    assert_eq!(fixture.count("sqlite_master WHERE name = 'mine'").await, 1);
    fixture.sql("DELETE FROM \"Todo\"").await.expect("a delete");
    assert_eq!(fixture.operations().await.len(), 1);
}

#[tokio::test]
async fn a_failed_open_changes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("app.db");
    let error = DieselStore::open_with(&path, TABLES, DatabaseOptions::default(), |conn| {
        conn.batch_execute("CREATE TABLE \"Todo\" (id TEXT PRIMARY KEY)").expect("a table");
        Ok(())
    })
    .await
    .expect_err("columns are missing");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    connect(&path).batch_execute("SELECT * FROM \"Todo\"").expect_err("rolled back");
}

#[tokio::test]
async fn d_12_a_migration_that_rebuilds_a_table_queues_nothing() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture
        .sql(
            "CREATE TABLE child (todo TEXT REFERENCES \"Todo\" (id) ON DELETE CASCADE);
             INSERT INTO child VALUES ('a');",
        )
        .await
        .expect("a table of the app");
    let rebuild = |orphan: bool| {
        let create = create_table_sql(&TODO).replacen("\"Todo\"", "\"new\"", 1);
        let filter = if orphan { "WHERE 0" } else { "" };
        format!(
            "{create}; INSERT INTO \"new\" SELECT * FROM \"Todo\" {filter}; DROP TABLE \"Todo\";
             ALTER TABLE \"new\" RENAME TO \"Todo\";"
        )
    };
    let migrate = async |sql: String| {
        DieselStore::open_with(fixture.path(), TABLES, DatabaseOptions::default(), move |conn| {
            sync_diesel::schema::remove_capture(conn, TABLES)?;
            conn.batch_execute(&sql).expect("a migration");
            Ok(())
        })
        .await
    };
    drop(migrate(rebuild(false)).await.expect("a store"));
    fixture.assert_clean().await;
    assert_eq!(fixture.count("child").await, 1, "no cascade");
    fixture.sql("UPDATE \"Todo\" SET text = 'bread'").await.expect("an update");
    assert_eq!(fixture.operations().await.len(), 1, "captured again");

    let error = migrate(rebuild(true)).await.expect_err("an orphan");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("child")));
    assert_eq!(fixture.text("a").await, crate::support::text("bread"), "rolled back");
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_connections_or_none() {
    let make = |conn: &mut diesel::SqliteConnection| {
        conn.batch_execute(&create_table_sql(&TODO)).map_err(|source| {
            sync_core::Error::new(ErrorKind::Store, "the table cannot be made").with_source(source)
        })
    };
    for path in [":memory:", "file::memory:", ""] {
        let opened = DieselStore::open_with(path, TABLES, DatabaseOptions::default(), make).await;
        assert_eq!(opened.expect_err("each connection has another").kind(), ErrorKind::InvalidArgument);
    }
    let shared = "file:opening?mode=memory&cache=shared";
    let store = DieselStore::open_with(shared, TABLES, DatabaseOptions::default(), make).await.expect("open");
    let insert = "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')";
    store.write(|conn| conn.batch_execute(insert)).await.expect("a write");
    assert_eq!(store.pending(None).await.expect("a read"), 1);
}

#[tokio::test]
async fn d_01_a_table_whose_ids_are_no_texts_is_refused() {
    let create = create_table_sql(&TODO);
    for key in ["INTEGER PRIMARY KEY NOT NULL", "BLOB PRIMARY KEY NOT NULL"] {
        let create = create.replacen("TEXT PRIMARY KEY NOT NULL", key, 1);
        refuses(&create, ErrorKind::SchemaMismatch, &["column id"]).await;
    }
}

#[tokio::test]
async fn s_04_a_column_that_the_entity_does_not_have_is_kept() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture
        .sql("ALTER TABLE \"Todo\" ADD COLUMN \"old\" TEXT; UPDATE \"Todo\" SET \"old\" = 'kept'")
        .await
        .expect("a column of an earlier version");
    fixture.assert_clean().await;
    let again = open(&fixture.path()).await.expect("a store");
    drop(again);
    let kept = "\"Todo\" WHERE \"old\" = 'kept' AND text =";
    // Neither a pull, nor an edit, nor the answer to it takes the value away.
    fixture.pull(&[json("a", "bread", "v2")]).await;
    assert_eq!(fixture.count(&format!("{kept} 'bread'")).await, 1);
    fixture.sql("UPDATE \"Todo\" SET text = 'jam'").await.expect("an edit");
    assert_eq!(fixture.count(&format!("{kept} 'jam'")).await, 1);
    assert_eq!(fixture.operations().await.len(), 1);
}

#[tokio::test]
async fn s_04_a_column_of_before_that_refuses_every_new_row_is_named() {
    let create = create_table_sql(&TODO);
    let with = |column: &str| create.replacen("\"text\" TEXT", &format!("{column}, \"text\" TEXT"), 1);
    for column in ["\"old\" TEXT NOT NULL", "\"old\" INTEGER NOT NULL DEFAULT null"] {
        refuses(&with(column), ErrorKind::SchemaMismatch, &["column old", "NOT NULL", "default"]).await;
    }
    for column in [
        "\"old\" TEXT",
        "\"old\" TEXT NOT NULL DEFAULT ''",
        "\"old\" TEXT NOT NULL AS (upper(\"text\"))",
        "\"old\" TEXT NOT NULL AS (upper(\"text\")) STORED",
    ] {
        let fixture = Fixture::with_table(|_| with(column)).await;
        fixture.pulled("a", "milk").await;
        fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')").await.expect("a new row");
    }
}

#[tokio::test]
async fn d_12_only_a_migrations_own_orphans_are_refused() {
    let fixture = Fixture::new().await;
    fixture
        .sql(
            "CREATE TABLE parent (name TEXT PRIMARY KEY);
             CREATE TABLE child (id INTEGER PRIMARY KEY, parent TEXT REFERENCES parent (name));
             INSERT INTO parent VALUES ('here');
             INSERT INTO child VALUES (1, 'here');",
        )
        .await
        .expect("tables of the app");
    let mut by_hand = connect(&fixture.path());
    by_hand
        .batch_execute("PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (2, 'gone')")
        .expect("an orphan");
    // As if another version of the library had made it.
    fixture.sql("DROP TRIGGER __sync_delete_Todo").await.expect("a trigger");
    drop(open(&fixture.path()).await.expect("an orphan of before is none of this opening's"));

    let migrate = async |sql: &'static str| {
        DieselStore::open_with(fixture.path(), TABLES, DatabaseOptions::default(), move |conn| {
            sync_diesel::schema::remove_capture(conn, TABLES)?;
            conn.batch_execute(sql).expect("a migration");
            Ok(())
        })
        .await
    };
    drop(migrate("CREATE TABLE other (id INTEGER)").await.expect("a store"));
    for sql in
        ["DELETE FROM parent", "CREATE TABLE more (up TEXT REFERENCES parent); INSERT INTO more VALUES ('x')"]
    {
        let error = migrate(sql).await.expect_err("a new orphan");
        assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{error}");
        assert!(matches!(error.table(), Some("child" | "more")), "{error:?}");
    }
}
