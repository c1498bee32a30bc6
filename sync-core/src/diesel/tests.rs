//! SQL means what the evaluator means, on real SQLite, and mixes with Diesel's own expressions.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use proptest::prelude::*;

use super::*;
use crate::entity::ColumnSchema;
use crate::error::Result;
use crate::evaluate::matches;
use crate::expression::Column;
use crate::predicate::arbitrary::{self, Reach, condition};
use crate::predicate::{Comparison, Function};
use crate::row::{Row, RowView, TableRow};
use crate::time;
use crate::value::{ColumnType, Value};

// --- random conditions over random rows ---

diesel::table! {
    #[sql_name = "Mixed \"table\""]
    mixed (id) {
        id -> Text,
        #[sql_name = "__version"]
        version -> Nullable<Text>,
        #[sql_name = "__updatedAt"]
        updated_at -> Nullable<TimestamptzSqlite>,
        #[sql_name = "__deleted"]
        deleted -> Bool,
        #[sql_name = "#"]
        number -> BigInt,
    }
}

struct Mixed;

impl SyncEntity for Mixed {
    const SCHEMA: &'static TableSchema = &arbitrary::TABLE;
    fn to_values(&self) -> Vec<Value> {
        Vec::new()
    }
    fn from_row(_: &Row) -> Result<Self> {
        Ok(Self)
    }
}

impl DieselEntity for Mixed {
    type Table = mixed::table;
    type Id = mixed::id;
    type System = (mixed::id, mixed::version, mixed::updated_at, mixed::deleted);
    fn table() -> mixed::table {
        mixed::table
    }
}

/// `INSERT` of one row by the same binding of values.
struct Insert<'a> {
    table: &'static TableSchema,
    number: i64,
    values: &'a [Value],
}

impl QueryFragment<Sqlite> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_identifier(self.table.name)?;
        out.push_sql(" VALUES (");
        out.push_bind_param::<BigInt, _>(&self.number)?;
        for value in self.values {
            out.push_sql(", ");
            bind::literal(value, &mut out)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for Insert<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Insert<'_> {}

fn system_columns() -> [&'static ColumnSchema; 4] {
    use crate::entity::{DELETED, ID, UPDATED_AT, VERSION};
    [&ID, &VERSION, &UPDATED_AT, &DELETED]
}

fn mixed_database(rows: &[Row]) -> SqliteConnection {
    database(&arbitrary::TABLE, rows)
}

fn database(table: &'static TableSchema, rows: &[Row]) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("an in-memory database");
    let columns: Vec<String> = system_columns()
        .into_iter()
        .chain(table.columns)
        .map(|column| {
            let ty = match column.ty {
                ColumnType::Text | ColumnType::DateTime | ColumnType::Uuid => "TEXT",
                ColumnType::Bool => "BOOLEAN",
                ColumnType::Integer(_) => "INTEGER",
                ColumnType::Float | ColumnType::Double => "REAL",
            };
            format!("\"{}\" {ty}{}", column.name, if column.nullable { "" } else { " NOT NULL" })
        })
        .collect();
    conn.batch_execute(&format!(
        "CREATE TABLE `{}` (`#` INTEGER PRIMARY KEY, {})",
        table.name,
        columns.join(", ")
    ))
    .expect("a table");
    for (number, row) in rows.iter().enumerate() {
        let view = TableRow { table, row };
        let values: Vec<Value> = system_columns()
            .into_iter()
            .chain(table.columns)
            .map(|column| view.value(column).to_value())
            .collect();
        Insert { table, number: number as i64, values: &values }.execute(&mut conn).expect("an inserted row");
    }
    conn
}

fn selected(conn: &mut SqliteConnection, node: &Node) -> Vec<i64> {
    mixed::table
        .filter(Expr::<Mixed, bool>::new(node.clone()))
        .select(mixed::number)
        .order_by(mixed::number)
        .load(conn)
        .expect("rows")
}

/// Each row with the truth of the condition, selected as a value.
fn judged(conn: &mut SqliteConnection, node: &Node) -> Vec<bool> {
    mixed::table
        .select(Expr::<Mixed, bool>::new(node.clone()))
        .order_by(mixed::number)
        .load(conn)
        .expect("no condition is NULL")
}

fn assert_same(rows: &[Row], nodes: &[Node]) -> std::result::Result<(), TestCaseError> {
    let mut conn = mixed_database(rows);
    for node in nodes {
        let expected: Vec<bool> =
            rows.iter().map(|row| matches(node, &TableRow { table: &arbitrary::TABLE, row })).collect();
        let judged = judged(&mut conn, node);
        for (index, (ours, theirs)) in expected.iter().zip(&judged).enumerate() {
            prop_assert_eq!(theirs, ours, "{} over {:?}", node, rows[index]);
        }
        prop_assert_eq!(judged.len(), expected.len());
        let numbers: Vec<i64> =
            (0_i64..).zip(&expected).filter(|(_, holds)| **holds).map(|(number, _)| number).collect();
        prop_assert_eq!(selected(&mut conn, node), numbers, "{}", node);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn g9_sql_means_what_the_evaluator_means(
        nodes in proptest::collection::vec(condition(Reach::Anything), 20),
        rows in arbitrary::rows(30),
    ) {
        assert_same(&rows, &nodes)?;
    }
}

/// The number of rows for which a condition holds.
struct Count<'a>(TableFilter<'a>);

impl QueryFragment<Sqlite> for Count<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM ");
        out.push_identifier(self.0.table.name)?;
        out.push_sql(" WHERE ");
        self.0.walk_ast(out.reborrow())
    }
}

impl QueryId for Count<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl diesel::query_builder::Query for Count<'_> {
    type SqlType = BigInt;
}

impl RunQueryDsl<SqliteConnection> for Count<'_> {}

#[test]
fn golden_cases_hold_in_sql() {
    use crate::predicate::contract::{TABLE, cases};

    for case in cases() {
        let mut conn = database(&TABLE, std::slice::from_ref(&case.row));
        let filter = TableFilter { table: &TABLE, node: &case.condition };
        let found = Count(filter).get_result::<i64>(&mut conn);
        assert_eq!(found, Ok(i64::from(case.holds)), "{}: {}", case.topic, case.condition);
    }
}

#[test]
fn r_04_a_prefix_is_a_range_for_every_code_point() {
    let characters: Vec<char> = [
        '\0',
        '\u{1}',
        'a',
        'b',
        '%',
        '_',
        '\u{7f}',
        '\u{80}',
        '\u{7ff}',
        '\u{800}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{10000}',
        '\u{10fffe}',
        '\u{10ffff}',
    ]
    .to_vec();
    let mut texts = vec![String::new()];
    for first in &characters {
        texts.push(first.to_string());
        texts.extend(characters.iter().map(|second| format!("{first}{second}")));
        texts.extend(characters.iter().map(|last| format!("{last}\u{10ffff}{first}")));
    }
    let rows: Vec<Row> = texts
        .iter()
        .map(|text| {
            let values = arbitrary::TABLE.columns.iter().map(|column| match column.ty {
                ColumnType::Text => Value::Text(text.clone()),
                _ => Value::Integer(0),
            });
            Row::new("id", values.collect())
        })
        .collect();
    let mut conn = mixed_database(&rows);
    let title = &arbitrary::TABLE.columns[0];
    for function in [Function::StartsWith, Function::EndsWith, Function::Contains] {
        for part in &texts {
            let node =
                Node::Call(function, vec![Node::Column(title), Node::Literal(Value::Text(part.clone()))]);
            let expected: Vec<i64> = (0_i64..)
                .zip(&texts)
                .filter(|(_, text)| match function {
                    Function::StartsWith => text.starts_with(part.as_str()),
                    Function::EndsWith => text.ends_with(part.as_str()),
                    _ => text.contains(part.as_str()),
                })
                .map(|(number, _)| number)
                .collect();
            assert_eq!(selected(&mut conn, &node), expected, "{function:?} {part:?}");
        }
    }
}

/// Every function over rows with nulls, extreme numbers and instants before 1970, compared with a constant that
/// some of them meet.
#[test]
fn r_05_functions_in_sql_have_the_values_of_the_evaluator() {
    let column = |name: &str| {
        let found = arbitrary::TABLE.columns.iter().find(|column| column.name == name);
        Node::Column(found.expect("a column"))
    };
    let int = |value: i64| Node::Literal(Value::Integer(value));
    let real = |value: f64| Node::Literal(Value::Real(value));
    let text = |value: &str| Node::Literal(Value::Text(value.to_owned()));
    let instant = |text: &str| Value::DateTime(crate::time::parse(text).expect("an instant"));
    let numbers = [0, 1, -1, 2, 3, -7, i64::MAX, i64::MIN];
    let reals = [0.0, 0.5, -0.5, 2.5, -2.5, 0.499_999_999_999_999_94, 1e300, -4_503_599_627_370_497.0];
    let texts = ["", "a\0", " a ", "Äbc\0ä", "MILK milk", "\0a.\0a.a\0", "\\u0000\\\\\0\"", "😀\0😀"];
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
            let values = arbitrary::TABLE.columns.iter().map(|column| match (column.name, column.ty) {
                (_, ColumnType::Text) => Value::Text(texts[index].to_owned()),
                ("small", _) => Value::Integer([0, 1, 2, 3, -1, -2, 4, 5][index]),
                (_, ColumnType::Integer(_)) => Value::Integer(numbers[index]),
                (_, ColumnType::Double) => Value::Real(reals[index]),
                (_, ColumnType::DateTime) => instant(times[index]),
                _ => Value::Null,
            });
            Row::new("id", values.collect())
        })
        .collect();
    let nulls = arbitrary::TABLE.columns.iter().map(|column| match (column.nullable, column.ty) {
        (true, _) => Value::Null,
        (false, ColumnType::Text) => Value::Text("x".to_owned()),
        (false, ColumnType::DateTime) => instant(times[0]),
        (false, _) => Value::Integer(0),
    });
    rows.push(Row::new("nulls", nulls.collect()));
    for row in &mut rows {
        for (column, value) in arbitrary::TABLE.columns.iter().zip(&mut row.values) {
            match column.ty {
                ColumnType::Bool => *value = Some(Value::Bool(false)),
                ColumnType::Uuid => *value = Some(Value::Uuid(uuid::Uuid::nil())),
                _ => {}
            }
        }
    }
    let note = || column("note");
    let call = |function, arguments: Vec<Node>| Node::Call(function, arguments);
    let mut values = vec![
        call(Function::Length, vec![note()]),
        call(Function::IndexOf, vec![note(), text("a")]),
        call(Function::IndexOf, vec![note(), text("")]),
        call(Function::SubstringFrom, vec![note(), column("small")]),
        call(Function::SubstringFrom, vec![note(), int(i64::MAX)]),
        call(Function::Substring, vec![note(), int(1), column("small")]),
        call(Function::Substring, vec![note(), real(1.5), int(2)]),
        call(Function::Replace, vec![note(), text("a"), text("bb")]),
        call(Function::Replace, vec![note(), text(""), text("bb")]),
        call(Function::Replace, vec![note(), text("\0"), text("a")]),
        call(Function::Replace, vec![note(), text("\0a"), text("\0\0")]),
        call(Function::Replace, vec![note(), text("a\0"), column("title")]),
        call(Function::IndexOf, vec![note(), text("\0a")]),
        call(Function::SubstringFrom, vec![note(), int(1)]),
        call(Function::SubstringFrom, vec![note(), int(4)]),
        call(Function::Substring, vec![note(), int(0), int(2)]),
        call(Function::Replace, vec![column("title"), text(""), note()]),
        call(Function::ToLower, vec![note()]),
        call(Function::ToUpper, vec![note()]),
        call(Function::Trim, vec![note()]),
        call(Function::Concat, vec![note(), column("title")]),
        call(Function::Length, vec![call(Function::Trim, vec![note()])]),
        call(Function::Floor, vec![call(Function::Div, vec![column("price"), int(2)])]),
        call(Function::Length, vec![int(1)]),
    ];
    for function in [Function::Add, Function::Sub, Function::Mul, Function::Div, Function::Mod] {
        for other in [int(1), int(-1), int(0), int(2), real(0.5), column("small"), column("price")] {
            values.push(call(function, vec![column("large"), other.clone()]));
            values.push(call(function, vec![column("price"), other]));
        }
    }
    for function in [Function::Round, Function::Floor, Function::Ceiling] {
        values.push(call(function, vec![column("price")]));
        values.push(call(function, vec![column("large")]));
    }
    for function in
        [Function::Year, Function::Month, Function::Day, Function::Hour, Function::Minute, Function::Second]
    {
        values.push(call(function, vec![column("dueAt")]));
    }
    let constants = [
        text(""),
        text("a"),
        text("milk milk"),
        text("\0a.a\0"),
        text("a\0"),
        text("😀\0"),
        text("aa"),
        int(4),
        int(-1),
        int(0),
        int(1),
        int(2),
        int(3),
        int(2015),
        real(0.5),
    ];
    let nodes: Vec<Node> = values
        .iter()
        .flat_map(|value| {
            constants.iter().chain([&Node::Literal(Value::Null)]).flat_map(move |constant| {
                [Comparison::Eq, Comparison::Ne, Comparison::Gt, Comparison::Le].map(|comparison| {
                    Node::Compare(comparison, Box::new(value.clone()), Box::new(constant.clone()))
                })
            })
        })
        .collect();
    assert_same(&rows, &nodes).expect("the same rows");
}

// --- an entity as the derive makes it ---

diesel::table! {
    #[sql_name = "TodoItem"]
    todo (id) {
        id -> Text,
        #[sql_name = "__version"]
        version -> Nullable<Text>,
        #[sql_name = "__updatedAt"]
        updated_at -> Nullable<TimestamptzSqlite>,
        #[sql_name = "__deleted"]
        deleted -> Bool,
        text -> Text,
        complete -> Bool,
        #[sql_name = "dueAt"]
        due_at -> Nullable<TimestamptzSqlite>,
        list_id -> Nullable<Text>,
    }
}

diesel::table! {
    list (id) {
        id -> Text,
        #[sql_name = "__version"]
        version -> Nullable<Text>,
        #[sql_name = "__updatedAt"]
        updated_at -> Nullable<TimestamptzSqlite>,
        #[sql_name = "__deleted"]
        deleted -> Bool,
        name -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(todo, list);
diesel::joinable!(todo -> list (list_id));

const fn schema_column(name: &'static str, ty: ColumnType, nullable: bool) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(nullable)
}

static TODO: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        schema_column("text", ColumnType::Text, false),
        schema_column("complete", ColumnType::Bool, false),
        schema_column("dueAt", ColumnType::DateTime, true),
        schema_column("list_id", ColumnType::Text, true),
    ],
    versioned: true,
    keep_deleted: false,
};

static LIST: TableSchema = TableSchema {
    name: "list",
    columns: &[schema_column("name", ColumnType::Text, false)],
    versioned: true,
    keep_deleted: false,
};

macro_rules! entity {
    ($name:ident, $schema:ident, $table:ident, $system:ty, $($field:ident: $ty:ty = $index:literal),*) => {
        struct $name;

        #[expect(non_upper_case_globals, reason = "columns are named like fields")]
        impl $name {
            $(const $field: Column<Self, $ty> = Column::__new(&$schema.columns[$index]);)*
        }

        impl SyncEntity for $name {
            const SCHEMA: &'static TableSchema = &$schema;
            fn to_values(&self) -> Vec<Value> {
                Vec::new()
            }
            fn from_row(_: &Row) -> Result<Self> {
                Ok(Self)
            }
        }

        impl DieselEntity for $name {
            type Table = $table::table;
            type Id = $table::id;
            type System = $system;
            fn table() -> $table::table {
                $table::table
            }
        }
    };
}

entity!(
    Todo, TODO, todo, (todo::id, todo::version, todo::updated_at, todo::deleted),
    text: String = 0, complete: bool = 1, due_at: DateTime<Utc> = 2, list_id: String = 3
);
entity!(
    List, LIST, list, (list::id, list::version, list::updated_at, list::deleted),
    name: String = 0
);

fn instant(text: &str) -> DateTime<Utc> {
    time::parse(text).expect("a valid instant")
}

fn todo_database() -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("an in-memory database");
    conn.batch_execute(
        "CREATE TABLE TodoItem (
            id TEXT PRIMARY KEY NOT NULL, __version TEXT, __updatedAt TEXT, __deleted BOOLEAN NOT NULL DEFAULT 0,
            text TEXT NOT NULL, complete BOOLEAN NOT NULL, dueAt TEXT, list_id TEXT);
        CREATE INDEX todo_text ON TodoItem (text);
        CREATE INDEX todo_due ON TodoItem (dueAt);
        CREATE TABLE list (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
        INSERT INTO list VALUES ('l1', 'shop'), ('l2', 'home');",
    )
    .expect("tables");
    for (id, text, complete, due_at, list_id) in [
        ("1", "Pick up milk", false, Some("2024-02-29T12:00:00.1234567Z"), Some("l1")),
        ("2", "milk", true, None, Some("l2")),
        ("3", "Milk", false, Some("2024-03-01T00:00:00Z"), None),
        ("4", "100% juice", true, Some("2024-03-01T00:00:00.500Z"), Some("l1")),
    ] {
        diesel::insert_into(todo::table)
            .values((
                todo::id.eq(id),
                todo::text.eq(text),
                todo::complete.eq(complete),
                todo::due_at.eq(due_at.map(instant)),
                todo::list_id.eq(list_id),
                todo::deleted.eq(false),
            ))
            .execute(&mut conn)
            .expect("an inserted row");
    }
    conn
}

fn sql<T: QueryFragment<Sqlite>>(fragment: &T) -> String {
    let text = diesel::debug_query::<Sqlite, _>(fragment).to_string();
    text.split(" -- binds").next().unwrap_or_default().to_owned()
}

#[test]
fn each_node_has_its_sql() {
    let check = |expr: Expr<Todo, bool>, expected: &str| {
        assert_eq!(sql(&expr).replace("`TodoItem`.", ""), expected);
    };
    check(Todo::text.eq("a"), "(`text` IS ?)");
    check(Todo::text.ne("a"), "(`text` IS NOT ?)");
    check(Todo::text.is_null(), "(`text` IS NULL)");
    check(Todo::due_at.gt(DateTime::UNIX_EPOCH), "(`dueAt` IS NOT NULL AND `dueAt` > ?)");
    check(
        Todo::text.le(Todo::list_id),
        "(`text` IS NOT NULL AND `list_id` IS NOT NULL AND `text` <= `list_id`)",
    );
    check(Todo::complete & Todo::text.eq("a"), "((`complete` IS 1) AND (`text` IS ?))");
    check(!Todo::complete | Todo::text.eq("a"), "((NOT (`complete` IS 1)) OR (`text` IS ?))");
    check(Todo::text.contains("a"), "(coalesce(instr(`text`, ?), 0) > 0)");
    check(Todo::text.starts_with("a"), "(`text` IS NOT NULL AND `text` >= ? AND `text` < ?)");
    check(Todo::text.starts_with("\u{10ffff}"), "(`text` IS NOT NULL AND `text` >= ?)");
    check(
        Todo::text.ends_with("a"),
        "(`text` IS NOT NULL AND coalesce(? = '' OR \
         substr(CAST(`text` AS BLOB), -length(CAST(? AS BLOB))) = CAST(? AS BLOB), 0))",
    );
    assert_eq!(sql(&Todo::due_at.desc()), "`TodoItem`.`dueAt` DESC");
}

#[test]
fn typed_expressions_mix_with_diesels_own() {
    let mut conn = todo_database();
    let conn = &mut conn;
    let ids = |rows: QueryResult<Vec<String>>| rows.expect("rows").join(",");

    assert_eq!(
        ids(todo::table.filter(Todo::text.contains("milk")).select(todo::id).order_by(todo::id).load(conn)),
        "1,2"
    );
    assert_eq!(
        ids(todo::table
            .filter(Todo::text.contains("milk"))
            .filter(todo::complete.eq(false))
            .select(todo::id)
            .order_by(todo::id)
            .load(conn)),
        "1"
    );
    assert_eq!(
        ids(todo::table
            .filter(todo::id.eq("4").or(Todo::text.starts_with("Pick")))
            .select(todo::id)
            .order_by(todo::id)
            .load(conn)),
        "1,4"
    );
    assert_eq!(ids(todo::table.filter(Todo::complete).select(todo::id).order_by(todo::id).load(conn)), "2,4");
    let mut boxed = todo::table.select(todo::id).into_boxed();
    boxed = boxed.filter(Todo::due_at.is_not_null()).or_filter(Todo::text.eq("milk"));
    boxed = boxed.order_by(Todo::complete.desc()).then_order_by(Todo::due_at.desc());
    assert_eq!(ids(boxed.load(conn)), "4,2,3,1");
    assert_eq!(
        ids(todo::table.order_by((Todo::due_at.asc(), todo::id.desc())).select(todo::id).load(conn)),
        "2,1,3,4"
    );
    assert_eq!(
        ids(todo::table
            .inner_join(list::table)
            .filter(Todo::text.contains("i").and(!Todo::complete))
            .filter(List::name.eq("shop"))
            .select(todo::id)
            .load(conn)),
        "1"
    );
    let texts: Vec<(Option<String>, bool)> = todo::table
        .filter(todo::id.eq("2"))
        .select((Todo::text, Todo::due_at.gt(DateTime::UNIX_EPOCH)))
        .load(conn)
        .expect("rows");
    assert_eq!(texts, [(Some("milk".to_owned()), false)]);

    let updated = diesel::update(todo::table.filter(Todo::text.ends_with("milk")))
        .set(todo::complete.eq(true))
        .execute(conn);
    assert_eq!(updated, Ok(2));
    let deleted = diesel::delete(todo::table.filter(Todo::text.contains("%"))).execute(conn);
    assert_eq!(deleted, Ok(1));
    assert_eq!(ids(todo::table.filter(!Todo::complete).select(todo::id).load(conn)), "3");
}

#[test]
fn conditions_stay_two_valued_in_diesels_not_and_in_left_joins() {
    let mut conn = todo_database();
    let late = Todo::due_at.gt(instant("2024-03-01T00:00:00Z"));
    let not_late: Vec<String> =
        todo::table.filter(diesel::dsl::not(late)).select(todo::id).load(&mut conn).expect("rows");
    assert_eq!(not_late, ["1", "2", "3"]);
    let elsewhere: Vec<String> = todo::table
        .left_join(list::table)
        .filter(List::name.ne("shop"))
        .select(todo::id)
        .load(&mut conn)
        .expect("rows");
    assert_eq!(elsewhere, ["2", "3"]);
}

#[test]
fn r_20_dates_are_bound_in_diesels_form() {
    let mut conn = todo_database();
    for text in [
        "2024-02-29T12:00:00.1234567Z",
        "2024-03-01T00:00:00Z",
        "2024-03-01T01:00:00.5+01:00",
        "2024-03-02T00:00:00Z",
    ] {
        let at = instant(text);
        let ours = todo::table.filter(Todo::due_at.eq(at)).count().get_result::<i64>(&mut conn);
        let theirs = todo::table.filter(todo::due_at.eq(at)).count().get_result::<i64>(&mut conn);
        assert_eq!(ours, theirs, "{text}");
        assert_eq!(ours, Ok(i64::from(!text.starts_with("2024-03-02"))), "{text}");
        let ours = todo::table.filter(Todo::due_at.le(at)).count().get_result::<i64>(&mut conn);
        let theirs = todo::table.filter(todo::due_at.le(at)).count().get_result::<i64>(&mut conn);
        assert_eq!(ours, theirs, "{text}");
    }
}

/// `EXPLAIN QUERY PLAN DELETE ..` or `DELETE ..` with a condition known at run time.
struct Dynamic<'a> {
    verb: &'static str,
    filter: TableFilter<'a>,
}

impl QueryFragment<Sqlite> for Dynamic<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.verb);
        out.push_identifier(self.filter.table.name)?;
        out.push_sql(" WHERE ");
        self.filter.walk_ast(out.reborrow())
    }
}

impl QueryId for Dynamic<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl diesel::query_builder::Query for Dynamic<'_> {
    type SqlType = (Integer, Integer, Integer, Text);
}

impl RunQueryDsl<SqliteConnection> for Dynamic<'_> {}

#[test]
fn equality_orders_and_prefixes_use_an_index() {
    let mut conn = todo_database();
    for (expr, index) in [
        (Todo::text.eq("milk"), "todo_text (text=?)"),
        (Todo::text.starts_with("mi"), "todo_text (text>? AND text<?)"),
        (Todo::due_at.ge(DateTime::UNIX_EPOCH), "todo_due (dueAt>?)"),
        (Todo::due_at.is_null(), "todo_due (dueAt=?)"),
        (Todo::text.eq("a") & Todo::complete.eq(true), "todo_text (text=?)"),
    ] {
        let predicate = Predicate::from(expr);
        let plan: Vec<(i32, i32, i32, String)> =
            Dynamic { verb: "EXPLAIN QUERY PLAN SELECT * FROM ", filter: TableFilter::from(&predicate) }
                .load(&mut conn)
                .expect("a plan");
        assert!(plan[0].3.ends_with(index), "{index}: {plan:?}");
    }
}

#[test]
fn a_condition_of_run_time_filters_any_statement() {
    let mut conn = todo_database();
    let predicate =
        Predicate::from(Todo::text.contains("it's` \" ; DROP TABLE TodoItem --").or(Todo::complete));
    let deleted = Dynamic { verb: "DELETE FROM ", filter: TableFilter::from(&predicate) }.execute(&mut conn);
    assert_eq!(deleted, Ok(2));
    let filter = TableFilter { table: &TODO, node: &Node::ALWAYS };
    assert_eq!(todo::table.filter(filter).count().get_result::<i64>(&mut conn), Ok(2));
}

#[test]
fn long_lists_stay_below_sqlites_depth() {
    let mut conn = todo_database();
    let list = |count: usize| {
        let parts = (0..count)
            .map(|number| Node::compare(&TODO.columns[0], Comparison::Eq, Value::Text(number.to_string())));
        Expr::<Todo, bool>::new(Node::Or(parts.collect()).or(Node::Column(&TODO.columns[1])))
    };
    for count in [2, 33, 5000] {
        let found = todo::table.filter(list(count)).count().get_result::<i64>(&mut conn);
        assert_eq!(found, Ok(2), "{count}");
    }
}
