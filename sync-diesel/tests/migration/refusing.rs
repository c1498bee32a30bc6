//! What is not generated, and what is wrong with a folder.

use sync_core::ErrorKind;
use sync_diesel::migration::{Difference, Reason, check, generate};
use sync_diesel::schema::SyncSchema;

use crate::model::{
    dropped, first, other_default, other_nulls, other_table, related, renamed, retyped, second,
    without_default,
};
use crate::support::{Folder, time};

/// Nothing is generated from the first release to `A`, for exactly these reasons.
fn refuses<A: SyncSchema>(expected: &[(&str, Option<&str>, Reason)], words: &[&str]) {
    let folder = Folder::of::<first::App>();
    let before = folder.content();
    let error = generate::<A>(folder.path(), "change", time(2)).expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert_eq!(error.table(), Some(expected[0].0));
    let difference = Difference::of(&error).expect("a difference");
    let refusals: Vec<_> = difference
        .refusals()
        .iter()
        .map(|refusal| (refusal.table.as_str(), refusal.column.as_deref(), refusal.reason.clone()))
        .collect();
    assert_eq!(refusals, expected);
    let text = difference.to_string();
    for word in words {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert_eq!(folder.content(), before, "nothing is written");
    let error = check::<A>(folder.path()).expect_err("a difference");
    assert_eq!(Difference::of(&error), Some(difference), "check finds the same");
}

#[test]
fn s_04_a_dropped_column_is_refused() {
    refuses::<dropped::App>(
        &[("TodoItem", Some("dueAt"), Reason::ColumnDropped)],
        &["table TodoItem, column dueAt: ", "#[sync(local)]"],
    );
}

#[test]
fn a_renamed_column_is_refused() {
    refuses::<renamed::App>(
        &[("TodoItem", Some("text"), Reason::ColumnRenamed { to: "title".to_owned() })],
        &["table TodoItem, column text: ", "column title", "#[sync(rename = "],
    );
}

#[test]
fn s_05_another_type_is_refused() {
    let reason = Reason::TypeChanged { from: "BOOLEAN".to_owned(), to: "BIGINT" };
    refuses::<retyped::App>(
        &[("TodoItem", Some("complete"), reason)],
        &["column complete: ", "from BOOLEAN to BIGINT", "by hand"],
    );
}

#[test]
fn another_nullability_is_refused() {
    refuses::<other_nulls::App>(
        &[
            ("TodoItem", Some("text"), Reason::NullabilityChanged { nullable: true }),
            ("TodoItem", Some("dueAt"), Reason::NullabilityChanged { nullable: false }),
        ],
        &["column text: it is an `Option` now", "column dueAt: it is no `Option` any more"],
    );
}

#[test]
fn another_default_is_refused() {
    let reason = Reason::DefaultChanged { from: None, to: "0" };
    refuses::<other_default::App>(
        &[("TodoItem", Some("complete"), reason)],
        &["column complete: its default changes from none to 0"],
    );
}

#[test]
fn a_dropped_table_is_refused() {
    refuses::<other_table::App>(
        &[("TodoItem", None, Reason::TableDropped)],
        &["table TodoItem: no entity", "#[sync(table = ", "table Task is new"],
    );
}

#[test]
fn a_new_column_needs_a_value_for_existing_rows() {
    refuses::<without_default::App>(
        &[("TodoItem", Some("stars"), Reason::DefaultMissing)],
        &["column stars: it is new and not null", "#[sync(default = ..)]"],
    );
}

#[test]
fn a_table_that_was_never_synced_is_refused() {
    for columns in [
        "id TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL",
        "key TEXT PRIMARY KEY, id TEXT, __updatedAt TEXT, __version TEXT, __deleted BOOLEAN NOT NULL DEFAULT 0",
    ] {
        let folder = Folder::new();
        folder.write("2026-03-01-120000_mine", &format!("CREATE TABLE todoitem ({columns})"));
        let error = generate::<first::App>(folder.path(), "sync", time(2)).expect_err("a refusal");
        let difference = Difference::of(&error).expect("a difference");
        assert_eq!(difference.refusals()[0].reason, Reason::TableNotSynced, "{columns}");
        assert!(difference.changes().is_empty());
    }
}

#[test]
fn what_a_store_would_not_open_is_not_current() {
    // Every column is there, but no store opens it.
    let folder = Folder::of::<first::App>();
    let name = "2026-03-01-120000_create/up.sql";
    let up = folder.content().into_iter().find(|(file, _)| file == name).expect("the migration").1;
    for (from, to, table) in [
        ("\n);", "\n) WITHOUT ROWID;", "TodoItem"),
        ("\"dueAt\" TEXT", "\"dueAt\" TEXT REFERENCES \"TodoItem\" (id) ON DELETE CASCADE", "TodoItem"),
    ] {
        assert!(up.contains(from), "{up}");
        folder.write("2026-03-01-120000_create", &up.replacen(from, to, 1));
        let error = check::<first::App>(folder.path()).expect_err(to);
        assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some(table)), "{error}");
    }
}

#[test]
fn a_migration_that_would_not_run_last_is_refused() {
    let folder = Folder::of::<first::App>();
    folder.write("2026-03-05-120000_later", "CREATE TABLE mine (id INTEGER)");
    let before = folder.content();
    for day in [4, 5] {
        let error = generate::<second::App>(folder.path(), "grow", time(day)).expect_err("too old");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("2026-03-05-120000_later"), "{error}");
    }
    assert_eq!(folder.content(), before);
    folder.generate::<second::App>("grow", 6);
}

#[test]
fn a_migration_that_fails_in_memory_is_not_written() {
    // The app's own table has the name of the index.
    let folder = Folder::of::<first::App>();
    folder.write("2026-03-02-120000_mine", "CREATE TABLE \"index_TodoItem_listId\" (key INTEGER)");
    let before = folder.content();
    let error = generate::<related::App>(folder.path(), "relate", time(3)).expect_err("a collision");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(format!("{error:?}").contains("index_TodoItem_listId"), "{error:?}");
    assert_eq!(folder.content(), before);
}

#[test]
fn bad_names_are_refused() {
    let folder = Folder::new();
    for name in ["", "../up", "two words", "a/b", "größe", "a.b", "a-b"] {
        let error = generate::<first::App>(folder.path(), name, time(1)).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}");
    }
    assert!(!folder.path().exists());
}

#[test]
fn a_folder_that_is_wrong_is_named() {
    let folder = Folder::of::<first::App>();
    folder.write("2026-03-02-120000_broken", "ALTER TABLE nothing ADD COLUMN x TEXT");
    let error = check::<first::App>(folder.path()).expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(format!("{error:?}").contains("2026-03-02-120000_broken"), "{error:?}");

    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().join("stray")).expect("a folder");
    let error = check::<first::App>(folder.path()).expect_err("it holds no migration");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(format!("{error:?}").contains("stray"), "{error:?}");

    std::fs::remove_dir_all(folder.path()).expect("the folder");
    std::fs::write(folder.path(), "a file").expect("a file");
    let error = generate::<first::App>(folder.path(), "create", time(1)).expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
