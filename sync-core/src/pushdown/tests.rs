//! What is sent, and that it never loses a row.

use proptest::prelude::*;

use super::*;
use crate::entity::{ColumnSchema, ID, UPDATED_AT, VERSION};
use crate::evaluate::{self, matches};
use crate::odata::render;
use crate::predicate::arbitrary::{Reach, TABLE, condition, rows};
use crate::predicate::{Comparison, Kind};
use crate::row::{RowView, TableRow};
use crate::time;
use crate::value::{ColumnValue, Value, ValueRef};

const V2: Dialect = Dialect::MobileApps;
const DIALECTS: [Dialect; 3] = [Dialect::MobileServices, V2, Dialect::Datasync];

fn column(name: &str) -> &'static ColumnSchema {
    TABLE.columns.iter().find(|column| column.name == name).expect("a column of the test table")
}

fn cmp(name: &str, comparison: Comparison, value: impl ColumnValue) -> Node {
    Node::compare(column(name), comparison, value.to_value())
}

fn text(name: &str, comparison: Comparison, value: &str) -> Node {
    cmp(name, comparison, value.to_owned())
}

fn contains(name: &str) -> Node {
    Node::Call(
        Function::Contains,
        vec![Node::Column(column(name)), Node::Literal(Value::Text("x".to_owned()))],
    )
}

fn check(node: Node, profile: &ServerProfile, remote: Option<&str>, rest: Option<Node>) {
    let divided = split(&node, profile, V2);
    let sent = divided.remote.as_ref().map(|remote| render(remote, V2).expect("a sendable part"));
    assert_eq!(sent.as_deref(), remote);
    assert_eq!(divided.local_rest, rest);
    assert_eq!(divided.local_rest.is_none(), divided.reasons.is_empty(), "{:?}", divided.reasons);
}

/// Sent whole.
fn exact(node: Node, profile: &ServerProfile, remote: &str) {
    check(node, profile, Some(remote), None);
}

/// Sent in part or not at all; the whole is judged here.
fn inexact(node: Node, profile: &ServerProfile, remote: Option<&str>) {
    check(node.clone(), profile, remote, Some(node));
}

#[test]
fn r_13_conjuncts_go_one_by_one() {
    use Comparison::{Eq, Gt};
    let node = ServerProfile::node_sqlite();
    let open = cmp("done", Eq, false);
    check(open.clone().and(contains("title")), &node, Some("(done eq false)"), Some(contains("title")));
    // not (a or b) is a list of two as well.
    check(
        Node::Column(column("done")).or(contains("title")).negate(),
        &node,
        Some("(done ne true)"),
        Some(contains("title").negate()),
    );
    inexact(open.clone().or(contains("title")), &node, None);
    inexact(
        open.clone().or(contains("title").and(cmp("small", Gt, 1))),
        &node,
        Some("((done eq false) or (small gt 1))"),
    );
    exact(Node::ALWAYS.and(open), &node, "(done eq false)");
    check(Node::ALWAYS, &node, None, None);
    exact(Node::Or(Vec::new()), &node, "(1 eq 0)");
}

#[test]
fn q_01_functions_are_sent_only_where_trusted() {
    for profile in [ServerProfile::node_sqlite(), ServerProfile::conservative()] {
        inexact(contains("title"), &profile, None);
        inexact(contains("title").negate(), &profile, None);
    }
    let ours = ServerProfile::sync_server();
    exact(contains("note"), &ours, "substringof('x',note)");
    exact(contains("note").negate(), &ours, "not (substringof('x',note))");
    let opened = ServerProfile::node_sqlite().with_function(Function::Contains);
    exact(contains("note").negate(), &opened, "(not (substringof('x',note)) or (note eq null))");
    exact(contains("title").negate(), &opened, "not (substringof('x',title))");
}

#[test]
fn r_13_null_safe_where_the_server_has_the_nulls_of_sql() {
    use Comparison::{Eq, Gt, Ne};
    let (node, ours) = (ServerProfile::node_sqlite(), ServerProfile::sync_server());
    let columns = |comparison, left, right| {
        Node::Compare(comparison, Box::new(Node::Column(column(left))), Box::new(Node::Column(column(right))))
    };
    exact(text("note", Ne, "a"), &node, "((note ne 'a') or (note eq null))");
    exact(text("note", Ne, "a"), &ours, "(note ne 'a')");
    exact(text("note", Eq, "a").negate(), &node, "((note ne 'a') or (note eq null))");
    exact(text("title", Ne, "a"), &node, "(title ne 'a')");
    exact(cmp("large", Gt, 1_i64).negate(), &node, "((large le 1L) or (large eq null))");
    exact(cmp("small", Gt, 1).negate(), &node, "(small le 1)");
    exact(Node::Column(column("flag")).negate(), &node, "((flag ne true) or (flag eq null))");
    exact(columns(Eq, "note", "title"), &node, "(note eq title)");
    let version = ServerProfile::node_sqlite().with_version_filters(true);
    let note_version = |comparison| {
        Node::Compare(comparison, Box::new(Node::Column(column("note"))), Box::new(Node::Column(&VERSION)))
    };
    exact(note_version(Eq), &version, "((note eq version) or ((note eq null) and (version eq null)))");
    exact(
        note_version(Ne),
        &version,
        "((note ne version) or ((note eq null) and (version ne null)) or ((note ne null) and (version eq null)))",
    );
}

#[test]
fn q_24_q_25_what_the_node_server_does_not_keep_stays_here() {
    use Comparison::{Eq, Gt};
    let node = ServerProfile::node_sqlite();
    inexact(Node::compare(&VERSION, Eq, Value::Text("MQ==".into())), &node, None);
    exact(cmp("large", Gt, 1_i64 << 53), &node, "(large gt 9007199254740992L)");
    inexact(cmp("large", Gt, (1_i64 << 53) + 1), &node, None);
    inexact(cmp("ratio", Gt, 0.5_f32), &node, None);
    exact(cmp("ratio", Gt, 0.5_f32), &ServerProfile::sync_server(), "(ratio gt 0.5f)");
    exact(cmp("price", Gt, 0.5), &node, "(price gt 0.5)");
    inexact(cmp("owner", Eq, uuid::Uuid::nil()), &node, None);
    inexact(cmp("price", Eq, f64::INFINITY), &ServerProfile::sync_server(), None);
    exact(Node::compare(&ID, Gt, Value::Text("x".into())), &node, "(id gt 'x')");
}

#[test]
fn text_is_sent_as_eq_only_where_case_is_uncertain() {
    use Comparison::{Eq, Gt, Ne};
    let any = ServerProfile::conservative();
    inexact(text("title", Eq, "a"), &any, Some("(title eq 'a')"));
    inexact(text("title", Ne, "a"), &any, None);
    inexact(text("title", Eq, "a").negate(), &any, None);
    inexact(text("title", Gt, "a"), &any, None);
    exact(Node::compare(column("note"), Ne, Value::Null), &any, "(note ne null)");
}

#[test]
fn dates_are_widened_to_the_servers_digits() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let (node, ours) = (ServerProfile::node_sqlite(), ServerProfile::sync_server());
    let at = |millis: &str| format!("datetimeoffset'2024-02-29T12:00:00.{millis}Z'");
    let due = |comparison, digits: &str| {
        let instant = time::parse(&format!("2024-02-29T12:00:00.{digits}Z")).expect("valid");
        Node::compare(column("dueAt"), comparison, Value::DateTime(instant))
    };
    let (before, same, after) = (at("099"), at("100"), at("101"));
    inexact(due(Gt, "1"), &node, Some(&format!("(dueAt gt {same})")));
    inexact(due(Gt, "1004"), &node, Some(&format!("(dueAt gt {same})")));
    inexact(due(Ge, "1"), &node, Some(&format!("(dueAt gt {before})")));
    inexact(due(Ge, "1004"), &node, Some(&format!("(dueAt gt {same})")));
    inexact(due(Lt, "1"), &node, Some(&format!("(dueAt lt {same})")));
    inexact(due(Lt, "1004"), &node, Some(&format!("(dueAt lt {after})")));
    inexact(due(Le, "1"), &node, Some(&format!("(dueAt lt {after})")));
    inexact(due(Eq, "1"), &node, Some(&format!("((dueAt gt {before}) and (dueAt lt {after}))")));
    inexact(due(Ne, "1"), &node, Some(&format!("((dueAt ne {same}) or (dueAt eq null))")));
    inexact(due(Ne, "1004"), &node, None);
    exact(due(Ge, "1004"), &ours, &format!("(dueAt ge {})", at("100400")));
    let first =
        Node::compare(&UPDATED_AT, Ge, Value::DateTime(time::parse("0001-01-01T00:00:00Z").expect("valid")));
    inexact(first, &node, None);
}

#[test]
fn conditions_of_conditions_become_plain_ones() {
    use Comparison::{Eq, Gt, Lt, Ne};
    let ours = ServerProfile::sync_server();
    let compare =
        |comparison, left: Node, right: Node| Node::Compare(comparison, Box::new(left), Box::new(right));
    let (yes, no) = (|| Node::Literal(Value::Bool(true)), || Node::Literal(Value::Bool(false)));
    let small = || cmp("small", Gt, 1);
    exact(compare(Eq, small(), yes()), &ours, "(small gt 1)");
    exact(compare(Eq, small(), no()), &ours, "(small le 1)");
    exact(compare(Ne, no(), small()), &ours, "(small gt 1)");
    exact(compare(Eq, small(), Node::Literal(Value::Null)), &ours, "(1 eq 0)");
    exact(compare(Gt, Node::Column(column("flag")), no()), &ours, "(flag eq true)");
    exact(
        compare(Gt, Node::Column(column("flag")), no()).negate(),
        &ours,
        "((flag eq null) or (flag eq false))",
    );
    exact(
        compare(Lt, Node::Literal(Value::Integer(1)), Node::Column(column("small"))),
        &ours,
        "(small gt 1)",
    );
    inexact(compare(Eq, small(), cmp("small", Lt, 5)), &ours, None);
}

fn call<const N: usize>(function: Function, arguments: [Node; N]) -> Node {
    Node::Call(function, arguments.to_vec())
}

fn compare(comparison: Comparison, left: Node, right: Node) -> Node {
    Node::Compare(comparison, Box::new(left), Box::new(right))
}

fn c(name: &str) -> Node {
    Node::Column(column(name))
}

fn lit(value: impl ColumnValue) -> Node {
    Node::Literal(value.to_value())
}

#[test]
fn r_13_values_of_functions_go_where_they_are_trusted() {
    use Comparison::{Eq, Gt, Le, Ne};
    use Function::{Add, Concat, Contains, Div, Length, Round, ToLower};
    let (node, ours, any) =
        (ServerProfile::node_sqlite(), ServerProfile::sync_server(), ServerProfile::conservative());
    let lower = |name: &str| call(ToLower, [c(name)]);
    let text = |value: &str| lit(value.to_owned());
    exact(compare(Eq, lower("title"), text("milk")), &node, "(tolower(title) eq 'milk')");
    inexact(compare(Eq, lower("title"), text("milk")), &any, None);
    inexact(
        compare(Eq, lower("title"), text("milk")),
        &any.clone().with_function(ToLower),
        Some("(tolower(title) eq 'milk')"),
    );
    inexact(compare(Ne, lower("title"), text("milk")), &any.clone().with_function(ToLower), None);
    inexact(compare(Gt, call(Length, [c("title")]), lit(3)), &node, None);
    exact(compare(Gt, call(Length, [c("title")]), lit(3)), &ours, "(length(title) gt 3)");
    // Nested: each function must be trusted.
    inexact(compare(Gt, call(Length, [lower("title")]), lit(3)), &node.clone().with_function(Add), None);
    exact(call(Contains, [lower("note"), text("x")]), &ours, "substringof('x',tolower(note))");
    // Null-safe below negations and for `ne`, by the arguments.
    exact(compare(Ne, lower("note"), text("a")), &node, "((tolower(note) ne 'a') or (note eq null))");
    exact(
        compare(Gt, call(Concat, [c("note"), c("title")]), text("a")).negate(),
        &node,
        "((concat(note,title) le 'a') or (note eq null))",
    );
    exact(compare(Gt, lower("title"), text("a")).negate(), &node, "(tolower(title) le 'a')");
    exact(compare(Eq, lower("note"), Node::Literal(Value::Null)), &node, "(note eq null)");
    check(compare(Ne, lower("title"), Node::Literal(Value::Null)), &node, None, None);
    exact(
        compare(Le, call(Div, [c("large"), c("small")]), lit(1)).negate(),
        &ours,
        "((large div small gt 1) or (large div small eq null))",
    );
    // What needs no row is computed here.
    exact(compare(Eq, c("small"), call(Length, [lit("abc".to_owned())])), &any, "(small eq 3)");
    check(
        compare(Eq, call(Length, [Node::Literal(Value::Null)]), c("title")),
        &any,
        Some("(title eq null)"),
        None,
    );
    // Numbers of JavaScript.
    exact(compare(Eq, call(Round, [c("price")]), lit(2)), &node, "(round(price) eq 2)");
    inexact(compare(Eq, call(Round, [c("large")]), lit(2)), &node, None);
    inexact(compare(Eq, call(Round, [c("ratio")]), lit(2)), &node, None);
    inexact(compare(Gt, call(Add, [c("small"), lit(1)]), lit(2)), &node.clone().with_function(Add), None);
}

#[test]
fn days_are_sent_as_ranges_of_instants() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let ours = ServerProfile::sync_server();
    let day = |comparison| {
        let instant = time::parse("2024-02-29T00:00:00Z").expect("valid");
        compare(comparison, call(Function::Date, [c("dueAt")]), lit(instant))
    };
    let (from, until) =
        ("datetimeoffset'2024-02-29T00:00:00.000Z'", "datetimeoffset'2024-03-01T00:00:00.000Z'");
    exact(day(Eq), &ours, &format!("((dueAt ge {from}) and (dueAt lt {until}))"));
    exact(day(Lt), &ours, &format!("(dueAt lt {from})"));
    exact(day(Le), &ours, &format!("(dueAt lt {until})"));
    exact(day(Gt), &ours, &format!("(dueAt ge {until})"));
    exact(day(Ge), &ours, &format!("(dueAt ge {from})"));
    let outside = format!("((dueAt lt {from}) or (dueAt eq null) or (dueAt ge {until}) or (dueAt eq null))");
    exact(day(Ne), &ours, &outside);
    // No comparison of days without a word for them.
    let days = compare(Lt, call(Function::Date, [c("dueAt")]), call(Function::Date, [c("madeAt")]));
    inexact(days.clone(), &ours, None);
    let v3 = split(&days, &ours, Dialect::Datasync);
    assert_eq!(v3.remote, Some(days));
    assert_eq!(v3.local_rest, None);
    let evening = compare(
        Gt,
        call(Function::Time, [c("dueAt")]),
        lit(time::parse("1970-01-01T18:00:00Z").expect("valid")),
    );
    assert_eq!(split(&evening, &ours, V2).reasons, [Reason::Dialect(Function::Time)]);
    assert_eq!(split(&evening, &ours, Dialect::Datasync).remote, Some(evening));
}

#[test]
fn r_13_a_split_is_explained() {
    use crate::predicate::Predicate;
    let node = cmp("done", Comparison::Eq, false).and(contains("title")).and(Node::compare(
        column("madeAt"),
        Comparison::Gt,
        lit_instant("2024-02-29T12:00:00Z"),
    ));
    let predicate = Predicate { table: &TABLE, node };
    let explained = explain(&predicate, &ServerProfile::node_sqlite(), V2).expect("explained");
    assert!(!explained.is_exact);
    assert_eq!(explained.parts.len(), 3);
    assert_eq!(explained.parts[0].reasons, []);
    assert_eq!(
        explained.to_string(),
        "asked of the server: ((done eq false) and (madeAt gt datetimeoffset'2024-02-29T12:00:00.000Z'))\n\
         judged on this device:\n\
         - contains(title, 'x')\n  \
           because the server is not trusted with the function Contains\n\
         - madeAt gt 2024-02-29T12:00:00.000Z\n  \
           (of which the server is asked (madeAt gt datetimeoffset'2024-02-29T12:00:00.000Z'))\n  \
           because the server keeps fewer digits of dates"
    );
    let exact = explain(&predicate, &ServerProfile::sync_server(), V2).expect("explained");
    assert!(exact.is_exact);
    assert!(exact.to_string().ends_with("judged on this device: nothing, the server's answer is exact"));
    let all = explain(&Predicate::all(&TABLE), &ServerProfile::conservative(), V2).expect("explained");
    assert!(all.to_string().starts_with("asked of the server: every row\n"));
}

fn lit_instant(text: &str) -> Value {
    Value::DateTime(time::parse(text).expect("valid"))
}

/// A server with the faults a profile allows for: SQL's logic of null, text without ASCII case, dates cut.
struct Server<'a> {
    row: TableRow<'a>,
    caseless: bool,
    digits: u32,
}

impl Server<'_> {
    fn condition(&self, node: &Node) -> Option<bool> {
        match node {
            Node::And(parts) => self.list(parts, false),
            Node::Or(parts) => self.list(parts, true),
            Node::Not(inner) => self.condition(inner).map(|value| !value),
            Node::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                match (left, right, comparison) {
                    ((_, left), (true, Value::Null), Comparison::Eq) => Some(left == Value::Null),
                    ((_, left), (true, Value::Null), Comparison::Ne) => Some(left != Value::Null),
                    ((_, Value::Null), ..) | (_, (_, Value::Null), _) => None,
                    ((_, left), (_, right), _) => {
                        let (left, right) = (self.collated(left), self.collated(right));
                        Some(evaluate::compare(*comparison, left.as_ref(), right.as_ref()))
                    }
                }
            }
            Node::Call(_, arguments) => {
                let null = arguments.iter().any(|part| self.value(part).1 == Value::Null);
                if null { None } else { Some(matches(node, &self.row)) }
            }
            Node::Column(_) | Node::Literal(_) => panic!("{node:?} is never sent bare"),
        }
    }

    /// A list that one part with the `deciding` value decides, and otherwise an unknown one.
    fn list(&self, parts: &[Node], deciding: bool) -> Option<bool> {
        let parts: Vec<Option<bool>> = parts.iter().map(|part| self.condition(part)).collect();
        if parts.contains(&Some(deciding)) {
            return Some(deciding);
        }
        if parts.contains(&None) { None } else { Some(!deciding) }
    }

    /// The value as the server sees it, and whether it is a constant of the request.
    fn value(&self, node: &Node) -> (bool, Value) {
        let (constant, value) = match node {
            Node::Column(column) => (false, self.row.value(column).to_value()),
            Node::Literal(value) => (true, value.clone()),
            Node::Call(function, arguments) if function.kind() != Kind::Bool => {
                // The values of functions that are sent are right, whatever a comparison then makes of them.
                let arguments = arguments.iter().map(|argument| Node::Literal(self.value(argument).1));
                (false, evaluate::evaluate(&Node::Call(*function, arguments.collect()), &self.row))
            }
            node => panic!("{node:?} is never sent as a value"),
        };
        let value = match value {
            Value::DateTime(instant) if constant && self.digits == 3 => {
                Value::DateTime(time::floor_to_millis(instant))
            }
            value => value,
        };
        (constant, value)
    }

    fn collated(&self, value: Value) -> Value {
        match value {
            Value::Text(text) if self.caseless => Value::Text(text.to_ascii_lowercase()),
            value => value,
        }
    }
}

/// Profiles, each with whether its server compares text without case.
fn profiles() -> [(ServerProfile, bool); 6] {
    let trusting = || {
        Function::ALL
            .into_iter()
            .fold(ServerProfile::conservative(), ServerProfile::with_function)
            .with_uuid_filters(true)
            .with_version_filters(true)
    };
    [
        (trusting(), true),
        (trusting().with_exact_text(true).with_exact_numbers(true).with_date_digits(9), false),
        (ServerProfile::sync_server(), false),
        (ServerProfile::node_sqlite(), false),
        (ServerProfile::conservative(), true),
        (
            ServerProfile::conservative()
                .with_function(Function::StartsWith)
                .with_function(Function::Contains)
                .with_uuid_filters(true)
                .with_version_filters(true),
            true,
        ),
    ]
}

fn calls_only(node: &Node, trusted: &impl Fn(Function) -> bool) -> bool {
    match node {
        Node::And(parts) | Node::Or(parts) => parts.iter().all(|part| calls_only(part, trusted)),
        Node::Not(inner) => calls_only(inner, trusted),
        Node::Compare(_, left, right) => calls_only(left, trusted) && calls_only(right, trusted),
        Node::Call(function, arguments) => {
            trusted(*function) && arguments.iter().all(|argument| calls_only(argument, trusted))
        }
        Node::Column(_) | Node::Literal(_) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn g9_the_remote_part_is_a_superset_and_the_rest_makes_it_exact(
        node in condition(Reach::Anything),
        rows in rows(12),
    ) {
        for ((profile, caseless), dialect) in
            profiles().into_iter().flat_map(|profile| DIALECTS.map(|dialect| (profile.clone(), dialect)))
        {
            let divided = split(&node, &profile, dialect);
            if let Some(remote) = &divided.remote {
                prop_assert!(render(remote, dialect).is_ok(), "{remote} has no text");
                prop_assert!(calls_only(remote, &|function| profile.evaluates(function)), "{remote}");
            }
            prop_assert_eq!(divided.local_rest.is_none(), divided.reasons.is_empty(), "{:?}", divided.reasons);
            for row in &rows {
                let view = TableRow { table: &TABLE, row };
                let wanted = matches(&node, &view);
                let rest = divided.local_rest.as_ref().is_none_or(|rest| matches(rest, &view));
                let remote = divided.remote.as_ref().is_none_or(|remote| matches(remote, &view));
                prop_assert!(!wanted || remote, "lost by {:?}", divided);
                prop_assert_eq!(remote && rest, wanted, "{:?}", divided);
                // The same as the server sees it.
                let server = Server {
                    row: view,
                    caseless,
                    digits: if profile.date_digits() < 9 { 3 } else { 9 },
                };
                if profile.has_sql_nulls() {
                    let answered =
                        divided.remote.as_ref().is_none_or(|remote| server.condition(remote) == Some(true));
                    prop_assert!(!wanted || answered, "lost by a server with {:?}", divided);
                    prop_assert_eq!(answered && rest, wanted, "by a server with {:?}", divided);
                }
            }
        }
    }

    #[test]
    fn the_normal_form_means_the_same(node in condition(Reach::Anything), rows in rows(12)) {
        for negated in [false, true] {
            let formed = normal::form(&node, negated);
            for row in &rows {
                let view = TableRow { table: &TABLE, row };
                prop_assert_eq!(matches(&formed, &view), matches(&node, &view) != negated, "{:?}", formed);
            }
        }
    }
}

#[test]
fn the_pools_meet_often_enough_to_prove_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut true_count, mut null_count, mut sent_count) = (0, 0, 0);
    for _ in 0..300 {
        let node = condition(Reach::Sendable).new_tree(&mut runner).expect("a tree").current();
        let row = rows(1).new_tree(&mut runner).expect("rows").current().remove(0);
        let view = TableRow { table: &TABLE, row: &row };
        true_count += usize::from(matches(&node, &view));
        null_count += usize::from(TABLE.columns.iter().any(|column| view.value(column) == ValueRef::Null));
        sent_count += usize::from(split(&node, &ServerProfile::node_sqlite(), V2).remote.is_some());
    }
    assert!((60..240).contains(&true_count), "{true_count}");
    assert!(null_count > 150 && sent_count > 60, "{null_count} {sent_count}");
}
