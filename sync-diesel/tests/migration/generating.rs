//! What is generated, and that it leads there and back.

use std::path::Path;

use diesel_migrations::MigrationHarness;
use sync_diesel::migration::{Change, assert_migrations_current, difference, generate};
use sync_diesel::schema::SyncSchema;

use crate::model::{first, indexed, related, second, unrelated};
use crate::support::{Folder, content, execute, lines, migrated, schema, time};

/// The committed folders, which other tests embed, are what is generated: the text is reviewed here.
#[test]
fn d_12_the_text_of_migrations_is_stable() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migration");
    let folder = Folder::new();
    folder.generate::<first::App>("create", 1);
    assert_eq!(folder.content(), content(&committed.join("created")));
    folder.generate::<second::App>("add_place_and_stars", 2);
    assert_eq!(folder.content(), content(&committed.join("grown")));
}

#[test]
fn r_21_the_first_migration_is_made_from_nothing() {
    let folder = Folder::new();
    assert!(!folder.path().exists());
    let path = folder.generate::<first::App>("create", 1);
    assert_eq!(path, folder.path().join("2026-03-01-120000_create"));
    let files: Vec<String> = folder.content().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["2026-03-01-120000_create/down.sql", "2026-03-01-120000_create/up.sql"]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing hidden is left");
    assert_migrations_current::<first::App>(folder.path());

    // Diesel's own runner makes a table whose rows need no id.
    let mut conn = migrated(&folder);
    execute(&mut conn, "INSERT INTO \"TodoItem\" (text, complete) VALUES ('milk', 0), ('bread', 1)");
    let ids = lines(&mut conn, "SELECT id AS line FROM \"TodoItem\"");
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7'), "{ids:?}");
}

#[test]
fn generating_again_has_nothing_to_do() {
    fn twice<A: SyncSchema>(folder: &Folder, day: u32) {
        folder.generate::<A>("step", day);
        let before = folder.content();
        assert_eq!(generate::<A>(folder.path(), "step", time(day + 1)).expect("a comparison"), None);
        assert_eq!(folder.content(), before);
        assert!(difference::<A>(folder.path()).expect("a comparison").is_empty());
    }
    let folder = Folder::new();
    twice::<first::App>(&folder, 1);
    twice::<second::App>(&folder, 3);
    let folder = Folder::new();
    twice::<related::App>(&folder, 1);
    twice::<unrelated::App>(&folder, 3);
}

#[test]
fn s_03_added_columns_keep_the_rows() {
    let folder = Folder::of::<first::App>();
    let mut conn = migrated(&folder);
    execute(&mut conn, "INSERT INTO \"TodoItem\" (id, text, complete) VALUES ('a', 'milk', 1)");
    folder.generate::<second::App>("grow", 2);
    conn.run_pending_migrations(folder.source()).expect("the migration runs");
    let row = "SELECT printf('%s %s %d %s %s', id, text, complete, coalesce(place, 'null'), stars) AS line FROM \
               \"TodoItem\"";
    assert_eq!(lines(&mut conn, row), ["a milk 1 null 3"]);
}

#[test]
fn up_then_down_gives_the_old_schema_back() {
    fn round<A: SyncSchema>(folder: &Folder, day: u32) {
        let mut conn = migrated_or_empty(folder);
        let before = schema(&mut conn);
        folder.generate::<A>("step", day);
        conn.run_pending_migrations(folder.source()).expect("up");
        let after = schema(&mut conn);
        assert_ne!(after, before);
        conn.revert_last_migration(folder.source()).expect("down");
        assert_eq!(schema(&mut conn), before);
        conn.run_pending_migrations(folder.source()).expect("up again");
        assert_eq!(schema(&mut conn), after);
    }
    fn migrated_or_empty(folder: &Folder) -> diesel::sqlite::SqliteConnection {
        if folder.path().exists() { migrated(folder) } else { crate::support::connect(Path::new(":memory:")) }
    }
    let folder = Folder::new();
    round::<first::App>(&folder, 1);
    round::<second::App>(&folder, 2);
    let folder = Folder::new();
    round::<first::App>(&folder, 1);
    round::<related::App>(&folder, 2);
    round::<unrelated::App>(&folder, 3);
}

#[test]
fn a_column_that_belongs_to_a_table_gets_an_index() {
    let folder = Folder::of::<first::App>();
    let wanted = difference::<related::App>(folder.path()).expect("a comparison");
    let [Change::CreateTable(list), Change::AddColumn(_, column), Change::CreateIndex(todo, indexed)] =
        wanted.changes()
    else {
        panic!("{wanted}")
    };
    assert_eq!((list.name, todo.name, column.name, indexed.name), ("List", "TodoItem", "listId", "listId"));
    folder.generate::<related::App>("relate", 2);
    let index = "TodoItem index index_TodoItem_listId unique=0 origin=c (listId)".to_owned();
    assert!(schema(&mut migrated(&folder)).contains(&index));

    folder.generate::<unrelated::App>("separate", 3);
    assert!(!schema(&mut migrated(&folder)).contains(&index));

    // An index made by hand serves as well, and stays.
    let folder = Folder::of::<unrelated::App>();
    folder.write("2026-03-02-120000_mine", "CREATE INDEX mine ON \"TodoItem\" (\"listId\", text)");
    assert_migrations_current::<related::App>(folder.path());
    assert_migrations_current::<unrelated::App>(folder.path());
}

#[test]
fn a_column_is_indexed_where_the_struct_says_so() {
    let folder = Folder::of::<unrelated::App>();
    let wanted = difference::<indexed::App>(folder.path()).expect("a comparison");
    let [Change::CreateIndex(table, column)] = wanted.changes() else { panic!("{wanted}") };
    assert_eq!((table.name, column.name), ("TodoItem", "dueAt"));
    folder.generate::<indexed::App>("index", 2);
    let index = "TodoItem index index_TodoItem_dueAt unique=0 origin=c (dueAt)".to_owned();
    assert!(schema(&mut migrated(&folder)).contains(&index));
    folder.generate::<unrelated::App>("unindex", 3);
    assert!(!schema(&mut migrated(&folder)).contains(&index));
}

#[test]
fn every_type_and_default_is_stable_through_sqlite() {
    let folder = Folder::of::<related::App>();
    assert_migrations_current::<related::App>(folder.path());
    let mut conn = migrated(&folder);
    execute(&mut conn, "INSERT INTO \"List\" (id) VALUES ('a')");
    let row = "SELECT printf('%s|%d|%s', name, \"order\", weight) AS line FROM \"List\"";
    assert_eq!(lines(&mut conn, row), ["it's \"new\"; -- |-1|0.5"]);
}

#[test]
fn d_12_migrations_written_by_hand_count() {
    let folder = Folder::of::<first::App>();
    folder.write(
        "2026-03-02-120000_rebuild",
        "CREATE TABLE new (id VARCHAR(36) PRIMARY KEY NOT NULL, __updatedAt TIMESTAMP, __version VARCHAR,
             __deleted TINYINT NOT NULL DEFAULT 0, text VARCHAR(100) NOT NULL DEFAULT 'x', complete TINYINT NOT NULL,
             dueAt TIMESTAMP, place TEXT, stars INTEGER NOT NULL DEFAULT 3);
         INSERT INTO new (id, __updatedAt, __version, __deleted, text, complete, dueAt)
             SELECT id, __updatedAt, __version, __deleted, text, complete, dueAt FROM \"TodoItem\";
         DROP TABLE \"TodoItem\";
         ALTER TABLE new RENAME TO \"TodoItem\";
         CREATE TABLE settings (key TEXT PRIMARY KEY, value BLOB);
         CREATE INDEX mine ON \"TodoItem\" (text);",
    );
    // Words of its own for types, a default, an index and a table that are the app's own business.
    assert_migrations_current::<second::App>(folder.path());
}
