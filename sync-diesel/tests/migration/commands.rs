//! The tool as a binary of an app calls it.

use sync_diesel::migration::{Outcome, assert_migrations_current, cli};
use sync_diesel::schema::SyncSchema;

use crate::model::{first, renamed, second};
use crate::support::{Folder, time};

fn run<A: SyncSchema>(folder: &Folder, day: u32, arguments: &[&str]) -> (Outcome, String) {
    let mut output = Vec::new();
    let arguments = arguments.iter().map(ToString::to_string);
    let outcome = cli::<A>(arguments, &folder.path(), time(day), &mut output).expect("a writer");
    (outcome, String::from_utf8(output).expect("text"))
}

#[test]
fn r_21_check_fails_when_a_struct_changed_without_a_migration() {
    let folder = Folder::new();
    let (outcome, text) = run::<first::App>(&folder, 1, &["check"]);
    assert_eq!(outcome.code(), 1);
    assert!(text.contains("table TodoItem is new"), "{text}");

    let (outcome, text) = run::<first::App>(&folder, 1, &["generate", "create"]);
    assert_eq!(outcome, Outcome::Done);
    assert!(text.contains("2026-03-01-120000_create"), "{text}");
    assert_eq!(run::<first::App>(&folder, 1, &["check"]).0.code(), 0);

    let (outcome, text) = run::<second::App>(&folder, 2, &["check"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(text.contains("table TodoItem: column place is new"), "{text}");
    assert!(text.contains("table TodoItem: column stars is new"), "{text}");
    assert_eq!(run::<second::App>(&folder, 2, &["generate", "grow"]).0, Outcome::Done);
    assert_eq!(run::<second::App>(&folder, 2, &["check"]).0, Outcome::Done);

    let (outcome, text) = run::<second::App>(&folder, 3, &["generate", "again"]);
    assert_eq!(outcome, Outcome::Done);
    assert!(text.contains("nothing to do"), "{text}");
    assert_eq!(folder.content().len(), 4);
}

#[test]
fn a_refusal_names_table_and_column() {
    let folder = Folder::of::<first::App>();
    let (outcome, text) = run::<renamed::App>(&folder, 2, &["generate", "rename"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(text.contains("table TodoItem, column text: "), "{text}");
}

#[test]
fn status_lists_migrations_and_what_is_missing() {
    let folder = Folder::new();
    let (outcome, text) = run::<first::App>(&folder, 1, &["status"]);
    assert_eq!(outcome, Outcome::Done);
    assert!(text.contains("none") && text.contains("table TodoItem is new"), "{text}");

    let folder = Folder::of::<first::App>();
    folder.write("00000000000001_oldest", "CREATE TABLE mine (id INTEGER)");
    let (_, text) = run::<first::App>(&folder, 1, &["status"]);
    let oldest = text.find("00000000000001_oldest").expect("a line");
    assert!(oldest < text.find("2026-03-01-120000_create").expect("a line"), "{text}");
    assert!(text.contains("no migration is missing"), "{text}");
    let (outcome, text) = run::<second::App>(&folder, 1, &["status"]);
    assert_eq!(outcome, Outcome::Done, "status only tells");
    assert!(text.contains("column place is new"), "{text}");
}

#[test]
fn errors_say_why() {
    let folder = Folder::new();
    folder.write("2026-03-01-120000_broken", "CREATE TABLE (");
    for command in [&["check"][..], &["status"], &["generate", "create"]] {
        let (outcome, text) = run::<first::App>(&folder, 2, command);
        assert_eq!(outcome, Outcome::Failed);
        assert!(text.contains("2026-03-01-120000_broken") && text.contains("syntax error"), "{text}");
    }
}

#[test]
fn wrong_arguments_get_the_usage() {
    let folder = Folder::of::<first::App>();
    for arguments in [&[][..], &["generate"], &["generate", "a", "b"], &["check", "x"], &["drop"]] {
        let (outcome, text) = run::<first::App>(&folder, 2, arguments);
        assert_eq!(outcome.code(), 2, "{arguments:?}");
        assert!(text.contains("generate NAME"), "{text}");
    }
}

#[test]
fn the_assertion_for_tests_names_what_is_missing() {
    let folder = Folder::of::<first::App>();
    assert_migrations_current::<first::App>(folder.path());
    let path = folder.path();
    let panic = std::panic::catch_unwind(move || assert_migrations_current::<second::App>(path))
        .expect_err("a migration is missing");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("table TodoItem: column place is new"), "{text}");
}
