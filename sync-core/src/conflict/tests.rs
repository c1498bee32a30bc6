//! What the policies decide.

use super::*;
use crate::entity::MergeRule;
use crate::value::{ColumnType, IntegerWidth};

static PLAIN: TableSchema = TableSchema {
    name: "Plain",
    columns: &[
        ColumnSchema::new("text", ColumnType::Text),
        ColumnSchema::new("n", ColumnType::Integer(IntegerWidth::I64)),
    ],
    versioned: true,
    keep_deleted: false,
};

static RULED: TableSchema = TableSchema {
    name: "Ruled",
    columns: &[
        ColumnSchema::new("text", ColumnType::Text).with_merge(MergeRule::Remote),
        ColumnSchema::new("n", ColumnType::Integer(IntegerWidth::I64)).with_merge(MergeRule::Add),
    ],
    versioned: true,
    keep_deleted: false,
};

fn row(text: &str, n: i64, version: Option<&str>) -> Row {
    let mut row = Row::new("a", vec![Value::Text(text.to_owned()), Value::Integer(n)]);
    row.version = version.map(str::to_owned);
    row
}

/// Text and number changed on both sides.
fn conflict(table: &'static TableSchema) -> Conflict {
    Conflict {
        table,
        key: OperationKey { table: table.name, item_id: "a".to_owned(), seq: 1, revision: 1 },
        kind: OperationKind::Update,
        sent: Some(SentKind::Update),
        class: FailureClass::Conflict,
        status: Some(412),
        base: Some(row("start", 1, Some("v1"))),
        local: Some(row("mine", 2, Some("v1"))),
        remote: Some(row("theirs", 5, Some("v2"))),
        uncertain: false,
        parked: false,
        repeats: 0,
    }
}

use ConflictPolicy::{ClientWins, Leave, Merge, MergeElseClient, MergeElseServer, ServerWins};

const ALL: [ConflictPolicy; 6] = [Leave, ClientWins, ServerWins, Merge, MergeElseClient, MergeElseServer];

fn merged(text: &str, n: i64) -> Resolution {
    Resolution::Merge(row(text, n, None))
}

fn check(conflict: &Conflict, expected: [Resolution; 6]) {
    for (policy, expected) in ALL.into_iter().zip(expected) {
        assert_eq!(policy.decide(conflict), expected, "{policy:?}");
    }
}

use Resolution::{KeepLocal, TakeRemote};
const LEFT: Resolution = Resolution::Leave;

#[test]
fn k_06_each_policy_decides_about_two_live_rows() {
    let both = conflict(&PLAIN);
    check(&both, [LEFT, KeepLocal, TakeRemote, LEFT, merged("mine", 2), merged("theirs", 5)]);
    let ruled = conflict(&RULED);
    let by_rules = || merged("theirs", 6);
    check(&ruled, [LEFT, KeepLocal, TakeRemote, by_rules(), by_rules(), by_rules()]);
    let apart = Conflict {
        local: Some(row("mine", 1, Some("v1"))),
        remote: Some(row("start", 5, Some("v2"))),
        ..both
    };
    let together = || merged("mine", 5);
    check(&apart, [LEFT, KeepLocal, TakeRemote, together(), together(), together()]);
}

#[test]
fn k_15_a_row_deleted_on_one_side_is_not_merged() {
    let gone = Conflict { remote: None, class: FailureClass::Gone, ..conflict(&RULED) };
    let marked = Row { deleted: true, ..row("start", 1, Some("v2")) };
    let marked = Conflict { remote: Some(marked), class: FailureClass::Gone, ..conflict(&RULED) };
    let deleted_here = Conflict { kind: OperationKind::Delete, ..conflict(&RULED) };
    for conflict in [&gone, &marked, &deleted_here] {
        check(conflict, [LEFT, KeepLocal, TakeRemote, LEFT, KeepLocal, TakeRemote]);
    }
    assert!(gone.is_deleted_there() && marked.is_deleted_there() && deleted_here.is_deleted_here());
    assert!(!conflict(&RULED).is_deleted_there());
    assert!(marked.changed_there().is_empty());
}

#[test]
fn k_06_what_cannot_be_guarded_is_left() {
    let unguarded = Conflict { remote: Some(row("theirs", 5, None)), ..conflict(&RULED) };
    check(&unguarded, [LEFT, LEFT, TakeRemote, LEFT, LEFT, LEFT]);
}

#[test]
fn refusals_are_not_a_matter_of_who_wins() {
    for class in [FailureClass::Refused, FailureClass::ServerError] {
        let refused = Conflict { class, remote: None, ..conflict(&RULED) };
        check(&refused, [LEFT, LEFT, LEFT, LEFT, LEFT, LEFT]);
    }
    // A handler that failed leaves the conflict it was asked about.
    let handler = Conflict { class: FailureClass::Handler, ..conflict(&PLAIN) };
    assert_eq!(ServerWins.decide(&handler), TakeRemote);
}

#[test]
fn k_06_a_count_that_may_have_arrived_is_left() {
    let uncertain = Conflict { uncertain: true, ..conflict(&RULED) };
    assert_eq!(Merge.decide(&uncertain), LEFT);
    assert_eq!(
        uncertain.merge_with(|both| Some(both.remote.clone())),
        merged("theirs", 5),
        "the app may know better"
    );
}

#[test]
fn changed_columns_of_each_side() {
    let names = |columns: Vec<&'static ColumnSchema>| -> Vec<_> {
        columns.into_iter().map(|column| column.name).collect()
    };
    let conflict = Conflict { local: Some(row("mine", 1, None)), ..conflict(&PLAIN) };
    assert_eq!(names(conflict.changed_here()), ["text"]);
    assert_eq!(names(conflict.changed_there()), ["text", "n"]);
    assert_eq!(names(conflict.both_changed()), ["text"]);
}

#[test]
fn rules_are_a_policy_of_their_own() {
    assert_eq!(ConflictPolicy::default_of(&RULED), Merge);
    assert_eq!(ConflictPolicy::default_of(&PLAIN), Leave);
    assert_eq!(ConflictPolicy::default(), Leave);
}
