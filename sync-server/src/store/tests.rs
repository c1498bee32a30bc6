use super::*;
use sync_core::entity::{ColumnSchema, ID, TableSchema, UPDATED_AT};
use sync_core::evaluate::matches;
use sync_core::predicate::{Comparison, Function};
use sync_core::row::{Row, TableRow};
use sync_core::value::{ColumnType, IntegerWidth, Value};

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true)
}

static COLUMNS: [ColumnSchema; 4] = [
    column("text", ColumnType::Text),
    column("done", ColumnType::Bool),
    column("n", ColumnType::Integer(IntegerWidth::I64)),
    column("when", ColumnType::DateTime),
];
static ITEMS: TableSchema =
    TableSchema { name: "Item \"x\"", columns: &COLUMNS, versioned: true, keep_deleted: true };

fn table() -> Table {
    Table::new(&ITEMS, true).expect("a valid table")
}

fn open(path: &Path) -> SqliteConnection {
    let mut connection = open_writer(path).expect("opens");
    schema::prepare(&mut connection, &[&table()]).expect("prepares");
    connection
}

fn insert(connection: &mut SqliteConnection, id: &str, values: [Option<Value>; 4], now: i64) -> StoredRow {
    let change = Change::Insert { id: id.into(), values: values.to_vec(), deleted: false };
    match change::apply(connection, &table(), change, None, || now).expect("runs") {
        Written::Done(row) => row,
        other => panic!("{other:?}"),
    }
}

fn updated_at(row: &StoredRow) -> i64 {
    match row.cell(field_position(Field::UpdatedAt)) {
        Cell::Integer(ticks) => ticks / 10_000,
        other => panic!("{other:?}"),
    }
}

const NONE: [Option<Value>; 4] = [None, None, None, None];

#[test]
fn case_131_times_rise_by_whole_milliseconds_across_a_restart_and_a_clock_set_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.db");
    let mut connection = open(&path);
    let mut last = 0;
    let mut step = |connection: &mut SqliteConnection, id: &str, now: i64, expected: i64| {
        let at = updated_at(&insert(connection, id, NONE, now));
        assert_eq!(at, expected);
        assert!(at > last);
        last = at;
    };
    step(&mut connection, "a", 1000, 1000);
    step(&mut connection, "b", 1000, 1001);
    step(&mut connection, "c", 1001, 1002);
    step(&mut connection, "d", 5000, 5000);
    drop(connection);
    let mut connection = open(&path);
    step(&mut connection, "e", 10, 5001);
    let gone = Change::Delete { id: "e".into(), expected: Vec::new() };
    let mut hard = table();
    hard.soft_delete = false;
    change::apply(&mut connection, &hard, gone, None, || 0).expect("runs");
    // The greatest time is remembered even when its row is gone.
    step(&mut connection, "e", 20, 5002);
}

#[test]
fn versions_are_the_commit_counter_and_refusals_use_none_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    let version = |row: &StoredRow| match row.cell(field_position(Field::Version)) {
        Cell::Text(text) => text.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(version(&insert(&mut connection, "a", NONE, 1)), "AAAAAAAAAAE=");
    let table = table();
    let mut apply = |change| change::apply(&mut connection, &table, change, None, || 2).expect("runs");
    let expected = vec![Precondition::version("old".to_owned())];
    assert!(matches!(
        apply(Change::Insert { id: "a".into(), values: Vec::new(), deleted: false }),
        Written::Exists(_)
    ));
    assert!(matches!(apply(Change::Delete { id: "a".into(), expected }), Written::Stale(_)));
    assert_eq!(apply(Change::Delete { id: "x".into(), expected: Vec::new() }), Written::Missing);
    match apply(Change::Undelete {
        id: "a".into(),
        expected: vec![Precondition::version("AAAAAAAAAAE=".into())],
    }) {
        Written::Done(row) => assert_eq!(version(&row), "AAAAAAAAAAI="),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_column_is_added_with_its_default_and_a_changed_type_is_refused() {
    static OLD: TableSchema = TableSchema {
        name: "T",
        columns: &[column("a", ColumnType::Text)],
        versioned: true,
        keep_deleted: true,
    };
    static NEW_COLUMNS: [ColumnSchema; 2] = [
        column("a", ColumnType::Text),
        column("b", ColumnType::Text).with_default(Some("'it''s'")).with_nullable(false),
    ];
    static NEW: TableSchema =
        TableSchema { name: "T", columns: &NEW_COLUMNS, versioned: true, keep_deleted: true };
    static CHANGED: TableSchema = TableSchema {
        name: "T",
        columns: &[column("a", ColumnType::Bool)],
        versioned: true,
        keep_deleted: true,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    let [old, new, changed] =
        [&OLD, &NEW, &CHANGED].map(|schema| Table::new(schema, true).expect("a valid table"));
    schema::prepare(&mut connection, &[&old]).expect("prepares");
    let change = Change::Insert { id: "a".into(), values: vec![None], deleted: false };
    change::apply(&mut connection, &old, change, None, || 1).expect("runs");
    schema::prepare(&mut connection, &[&new]).expect("adds the column");
    let row = change::find(&mut connection, &new, "a", None).expect("runs").expect("the row");
    assert_eq!(row.cell(field_position(Field::Column(1))), Cell::Text("it's"));
    let error = schema::prepare(&mut connection, &[&changed]).expect_err("another type");
    assert_eq!(
        error.to_string(),
        "column a of table T is TEXT in the database and INTEGER_BOOL in the schema"
    );
}

/// Ids of the rows a condition is true for.
fn matching(connection: &mut SqliteConnection, filter: Node) -> Vec<String> {
    matching_in(connection, &table(), filter)
}

fn matching_in(connection: &mut SqliteConnection, table: &Table, filter: Node) -> Vec<String> {
    let query = ListQuery {
        fields: vec![Field::Id],
        filter: Some(filter),
        view: None,
        order: vec![(Node::Column(&ID), false)],
        include_deleted: false,
        skip: 0,
        limit: 100,
        count: false,
    };
    let statement = page_statement(table, &query).expect("can be run");
    let rows = statement.load::<StoredRow>(connection).expect("runs");
    rows.iter()
        .map(|row| match row.cell(0) {
            Cell::Text(id) => id.to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn is(column: &'static ColumnSchema, comparison: Comparison, value: Value) -> Node {
    Node::compare(column, comparison, value)
}

fn call(function: Function, text: &str) -> Node {
    Node::Call(function, vec![Node::Column(&COLUMNS[0]), Node::Literal(Value::Text(text.into()))])
}

/// Every function over nulls, extreme numbers and instants of all centuries, compared with constants that some of
/// its values meet.
#[test]
fn g9_functions_have_the_values_of_the_evaluator() {
    use Function as F;
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    let texts = ["", "a\0", " a ", "Äbc\0ä", "MILK milk", "\0a.\0a.a\0", "\\u0000\\\\\0\"", "😀\0😀"];
    let numbers = [0, 1, -1, 2, 3, -7, i64::MAX, i64::MIN];
    let times = [
        "0001-01-01T00:00:00Z",
        "1582-10-15T01:02:03Z",
        "1969-12-31T23:59:59.9999999Z",
        "1970-01-01T00:00:00Z",
        "2015-01-02T03:04:05.678Z",
        "2016-02-29T23:59:59Z",
        "2999-12-31T00:00:01Z",
        "9999-12-31T23:59:59.999Z",
    ];
    let mut rows: Vec<Row> = (0..8)
        .map(|index| {
            let mut row = Row::empty(&ITEMS, format!("r{index}"));
            row.values = vec![
                Some(Value::Text(texts[index].into())),
                Some(Value::Bool(true)),
                Some(Value::Integer(numbers[index])),
                Some(instant(times[index])),
            ];
            row
        })
        .collect();
    let mut nulls = Row::empty(&ITEMS, "z");
    nulls.values = vec![Some(Value::Null); 4];
    rows.push(nulls);
    for row in &rows {
        let values = row.values.clone().try_into().expect("four values");
        insert(&mut connection, &row.id, values, 1_000);
    }
    let [text, _, n, when] = COLUMNS.each_ref().map(Node::Column);
    let int = |value: i64| Node::Literal(Value::Integer(value));
    let real = |value: f64| Node::Literal(Value::Real(value));
    let word = |value: &str| Node::Literal(Value::Text(value.into()));
    let mut values = vec![
        Node::Call(F::Length, vec![text.clone()]),
        Node::Call(F::IndexOf, vec![text.clone(), word("a")]),
        Node::Call(F::SubstringFrom, vec![text.clone(), n.clone()]),
        Node::Call(F::Substring, vec![text.clone(), int(1), n.clone()]),
        Node::Call(F::Substring, vec![text.clone(), real(1.5), int(2)]),
        Node::Call(F::Replace, vec![text.clone(), word("a"), word("bb")]),
        Node::Call(F::Replace, vec![text.clone(), word(""), word("bb")]),
        Node::Call(F::Replace, vec![text.clone(), word("\0"), word("a")]),
        Node::Call(F::Replace, vec![text.clone(), word("\0a"), word("\0\0")]),
        Node::Call(F::Replace, vec![text.clone(), word("a\0"), text.clone()]),
        Node::Call(F::IndexOf, vec![text.clone(), word("\0a")]),
        Node::Call(F::SubstringFrom, vec![text.clone(), int(1)]),
        Node::Call(F::SubstringFrom, vec![text.clone(), int(4)]),
        Node::Call(F::Substring, vec![text.clone(), int(0), int(2)]),
        Node::Call(F::Length, vec![Node::Call(F::Substring, vec![text.clone(), int(1), int(4)])]),
        Node::Call(F::ToLower, vec![text.clone()]),
        Node::Call(F::ToUpper, vec![text.clone()]),
        Node::Call(F::Trim, vec![text.clone()]),
        Node::Call(F::Concat, vec![text.clone(), text.clone()]),
        Node::Call(F::Floor, vec![Node::Call(F::Div, vec![n.clone(), real(2.0)])]),
    ];
    for function in [F::Add, F::Sub, F::Mul, F::Div, F::Mod] {
        for other in [int(1), int(-1), int(0), int(2), real(0.5), real(-1e300), n.clone()] {
            values.push(Node::Call(function, vec![n.clone(), other.clone()]));
            values.push(Node::Call(function, vec![other, n.clone()]));
        }
    }
    for function in [F::Round, F::Floor, F::Ceiling] {
        values.push(Node::Call(function, vec![n.clone()]));
        values.push(Node::Call(function, vec![Node::Call(F::Div, vec![n.clone(), real(2.0)])]));
    }
    for function in [F::Year, F::Month, F::Day, F::Hour, F::Minute, F::Second, F::Date, F::Time] {
        values.push(Node::Call(function, vec![when.clone()]));
    }
    values.push(Node::Call(F::Replace, vec![word("a"), word(""), text.clone()]));
    let constants = [
        word(""),
        word("a"),
        word("milk milk"),
        word("\0a.a\0"),
        word("a\0"),
        word("😀\0"),
        word("aa"),
        int(-1),
        int(0),
        int(1),
        int(4),
        int(12),
        int(59),
        real(0.5),
        Node::Literal(instant("1970-01-01T00:00:00Z")),
        Node::Literal(instant("1969-12-31T00:00:00Z")),
        Node::Literal(instant("1970-01-01T23:59:59.9999999Z")),
        Node::Literal(instant("1970-01-01T01:02:02.99999995Z")),
        Node::Literal(Value::Null),
    ];
    for value in &values {
        for constant in constants.iter().filter(|constant| constant.kind().is_comparable_with(value.kind())) {
            for comparison in [Comparison::Eq, Comparison::Ne, Comparison::Gt, Comparison::Le] {
                let mut sides = (value.clone(), constant.clone());
                if comparison == Comparison::Le {
                    sides = (sides.1, sides.0);
                }
                let node = Node::Compare(comparison, Box::new(sides.0), Box::new(sides.1));
                let expected: Vec<_> = rows
                    .iter()
                    .filter(|row| matches(&node, &TableRow { table: &ITEMS, row }))
                    .map(|row| row.id.clone())
                    .collect();
                assert_eq!(matching(&mut connection, node.clone()), expected, "{node:?}");
            }
        }
    }
}

#[derive(diesel::deserialize::QueryableByName)]
struct Plan {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

#[test]
fn a_pull_of_one_caller_walks_an_index_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open_writer(&dir.path().join("server.db")).expect("opens");
    let mut table = table();
    let rules = crate::access::TableRules::default().owner("text");
    table.rules = crate::access::CheckedRules::new(rules, &table, true).expect("a text column");
    schema::prepare(&mut connection, &[&table]).expect("prepares");
    let owner = is(&COLUMNS[0], Comparison::Eq, Value::Text("ada".into()));
    let query = ListQuery {
        fields: table.fields(),
        filter: Some(is(&UPDATED_AT, Comparison::Ge, instant("2020-01-01T00:00:00Z"))),
        view: Some(owner),
        order: vec![(Node::Column(&UPDATED_AT), false), (Node::Column(&ID), false)],
        include_deleted: true,
        skip: 0,
        limit: 50,
        count: false,
    };
    let mut statement = page_statement(&table, &query).expect("can be run");
    statement.explained();
    let plan: Vec<Plan> = statement.load(&mut connection).expect("runs");
    let plan: Vec<_> = plan.iter().map(|step| step.detail.as_str()).collect();
    assert!(
        plan.len() == 1 && plan[0].contains("_of_text") && plan[0].contains("__updatedAt>"),
        "one search, and nothing is sorted: {plan:?}"
    );
}

#[test]
fn functions_may_be_nested_as_deep_as_a_filter() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    insert(&mut connection, "a", [Some(Value::Text("0\x00123".into())), None, None, None], 1);
    let int = |value: i64| Node::Literal(Value::Integer(value));
    let word = |value: &str| Node::Literal(Value::Text(value.into()));
    let mut text = Node::Column(&COLUMNS[0]);
    for _ in 0..31 {
        text = Node::Call(Function::SubstringFrom, vec![text, int(0)]);
        text = Node::Call(Function::Replace, vec![text, word("\0"), word("\0")]);
    }
    let length = Node::Call(Function::Length, vec![text]);
    let filter = Node::Compare(Comparison::Eq, Box::new(length), Box::new(int(5)));
    assert_eq!(matching(&mut connection, filter), ["a"]);
}

/// The published cases, as each dialect writes them.
#[test]
fn golden_cases_hold_on_the_server() {
    use sync_core::ErrorKind;
    use sync_core::odata::{Limits, parse, render};
    use sync_core::predicate::contract::{TABLE, cases};
    use sync_core::protocol::Dialect;

    let dir = tempfile::tempdir().expect("a directory");
    let table = Table::new(&TABLE, true).expect("a valid table");
    let mut connection = open_writer(&dir.path().join("server.db")).expect("opens");
    schema::prepare(&mut connection, &[&table]).expect("prepares");
    let mut asked = 0;
    for (number, case) in cases().into_iter().enumerate() {
        let id = format!("r{number}");
        let change = Change::Insert { id: id.clone(), values: case.row.values.clone(), deleted: false };
        assert!(matches!(
            change::apply(&mut connection, &table, change, None, || 1_000),
            Ok(Written::Done(_))
        ));
        let this = is(&ID, Comparison::Eq, Value::Text(id));
        for dialect in [Dialect::MobileServices, Dialect::MobileApps, Dialect::Datasync] {
            let text = match render(&case.condition, dialect) {
                Ok(text) => text,
                // NaN and infinity, and what the dialect has no word for.
                Err(error) => {
                    let kinds = [ErrorKind::InvalidValue, ErrorKind::InvalidArgument];
                    assert!(kinds.contains(&error.kind()), "{}: {error}", case.condition);
                    continue;
                }
            };
            let condition = parse(&text, &TABLE, dialect, &Limits::default()).expect("is understood");
            let found = matching_in(&mut connection, &table, this.clone().and(condition));
            assert_eq!(!found.is_empty(), case.holds, "{}: {text}", case.topic);
            asked += 1;
        }
    }
    assert!(asked > 900, "{asked}");
}

fn instant(text: &str) -> Value {
    Value::DateTime(sync_core::time::parse(text).expect("a valid instant"))
}

#[test]
fn g9_conditions_have_two_truth_values() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    let text = |text: &str| Some(Value::Text(text.into()));
    let rows = [
        (
            "a",
            [
                text("a%_b"),
                Some(Value::Bool(true)),
                Some(Value::Integer(1)),
                Some(instant("2015-01-02T03:04:05.6789012Z")),
            ],
        ),
        ("b", [text("AB\0é"), Some(Value::Bool(false)), Some(Value::Integer(9_007_199_254_740_993)), None]),
        ("n", [Some(Value::Null), None, Some(Value::Null), None]),
        ("z", [text(""), None, Some(Value::Integer(-5)), Some(instant("1969-12-31T23:59:59.999Z"))]),
    ];
    for (id, values) in rows {
        insert(&mut connection, id, values, 1_000);
    }
    let [text, done, n, when] = &COLUMNS;
    let mut check = |filter: Node, expected: &str| {
        let complement: String =
            ["a", "b", "n", "z"].into_iter().filter(|id| !expected.contains(id)).collect();
        assert_eq!(matching(&mut connection, filter.clone()).concat(), expected, "{filter:?}");
        let negated = Node::Not(Box::new(filter.clone()));
        assert_eq!(matching(&mut connection, negated.clone()).concat(), complement, "{negated:?}");
        // Within `and` a bare column is a condition; beside `eq` it would be a value, null unlike false.
        let as_value =
            Node::Compare(Eq, Box::new(Node::And(vec![filter])), Box::new(Node::Literal(Value::Bool(false))));
        assert_eq!(matching(&mut connection, as_value.clone()).concat(), complement, "{as_value:?}");
    };
    check(is(text, Eq, Value::Text("".into())), "z");
    check(is(text, Ne, Value::Text("".into())), "abn");
    check(is(text, Eq, Value::Null), "n");
    check(is(text, Ne, Value::Null), "abz");
    check(is(text, Ge, Value::Text("B".into())), "a");
    check(is(text, Lt, Value::Text("a".into())), "bz");
    check(is(text, Gt, Value::Null), "");
    check(Node::Column(done), "a");
    check(is(done, Eq, Value::Bool(false)), "b");
    check(is(done, Ne, Value::Bool(true)), "bnz");
    check(is(n, Gt, Value::Real(0.5)), "ab");
    check(is(n, Eq, Value::Integer(9_007_199_254_740_993)), "b");
    check(is(n, Gt, Value::Integer(9_007_199_254_740_992)), "b");
    check(is(n, Le, Value::Integer(1)), "az");
    check(is(when, Eq, instant("2015-01-02T03:04:05.6789012Z")), "a");
    check(is(when, Lt, instant("1970-01-01T00:00:00Z")), "z");
    // Between two ticks of 100 ns.
    check(is(when, Eq, instant("2015-01-02T03:04:05.67890125Z")), "");
    check(is(when, Lt, instant("2015-01-02T03:04:05.67890125Z")), "az");
    check(is(when, Ge, instant("2015-01-02T03:04:05.67890125Z")), "");
    check(is(when, Gt, instant("2015-01-02T03:04:05.67890115Z")), "a");
    check(is(when, Ne, instant("2015-01-02T03:04:05.67890125Z")), "abnz");
    check(is(&UPDATED_AT, Ge, instant("1970-01-01T00:00:01.002Z")), "nz");
    check(is(&ID, Gt, Value::Text("b".into())), "nz");
    check(call(Function::Contains, "%_"), "a");
    check(call(Function::Contains, "\0é"), "b");
    check(call(Function::Contains, ""), "abz");
    check(call(Function::StartsWith, "a"), "a");
    check(call(Function::StartsWith, "AB\0"), "b");
    check(call(Function::StartsWith, ""), "abz");
    check(call(Function::EndsWith, "b"), "a");
    check(call(Function::EndsWith, "\0é"), "b");
    check(call(Function::EndsWith, "xxa%_b"), "");
    check(call(Function::EndsWith, ""), "abz");
    check(Node::And(Vec::new()), "abnz");
    check(Node::Or(Vec::new()), "");
    check(Node::Literal(Value::Bool(true)), "abnz");
    check(Node::Compare(Lt, Box::new(Node::Literal(Value::Integer(0))), Box::new(Node::Column(n))), "ab");
    check(Node::Compare(Eq, Box::new(Node::Column(text)), Box::new(Node::Column(text))), "abnz");
    check(
        Node::And(vec![
            is(text, Ne, Value::Null),
            Node::Or(vec![Node::Column(done), is(n, Lt, Value::Integer(0))]),
        ]),
        "az",
    );
}

#[test]
fn a_chain_longer_than_the_depth_sqlite_allows_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut connection = open(&dir.path().join("server.db"));
    insert(&mut connection, "a", [None, None, Some(Value::Integer(1999)), None], 1);
    let parts = (0..2000).map(|number| is(&COLUMNS[2], Comparison::Eq, Value::Integer(number))).collect();
    assert_eq!(matching(&mut connection, Node::Or(parts)), ["a"]);
}

#[tokio::test]
async fn of_jobs_in_one_commit_a_failed_one_leaves_nothing_and_the_others_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.db");
    let connection = open(&path);
    let writer = Writer::start(&path, connection).expect("starts");
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Holds the thread until the jobs below are queued, so that they are one group.
    let hold = writer.transaction(move |_| {
        held.recv().map_err(|_| StoreError::Closed)?;
        Ok(())
    });
    let job = |id: &'static str, fail: bool| {
        writer.transaction(move |connection| {
            let change = Change::Insert { id: id.into(), values: Vec::new(), deleted: false };
            change::apply(connection, &table(), change, None, || 1)?;
            if fail { Err(diesel::result::Error::RollbackTransaction.into()) } else { Ok(()) }
        })
    };
    let release = async {
        release.send(()).expect("the thread waits");
        Ok::<_, StoreError>(())
    };
    // Polled in this order: all are queued before the thread is released.
    let (held, a, b, c, _) = tokio::join!(hold, job("a", false), job("b", true), job("c", false), release);
    assert!(held.is_ok() && a.is_ok() && b.is_err() && c.is_ok());
    drop(writer);
    let mut connection = open_writer(&path).expect("opens");
    assert_eq!(matching(&mut connection, Node::ALWAYS), ["a", "c"]);
    let c = change::find(&mut connection, &table(), "c", None).expect("runs").expect("the row");
    // The failed job's time and version are free again.
    assert_eq!(updated_at(&c), 2);
}

#[tokio::test]
async fn a_panic_in_one_job_fails_only_its_group_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.db");
    let connection = open(&path);
    let writer = Writer::start(&path, connection).expect("starts");
    let failed = writer
        .transaction(|connection| -> Result<(), StoreError> {
            insert(connection, "lost", NONE, 1);
            panic!("a fault in a job");
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Closed)));
    writer.transaction(|connection| Ok(insert(connection, "kept", NONE, 1))).await.expect("goes on");
    drop(writer);
    assert_eq!(matching(&mut open_writer(&path).expect("opens"), Node::ALWAYS), ["kept"]);
}
