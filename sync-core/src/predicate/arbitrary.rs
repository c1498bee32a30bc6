//! Random conditions and rows for the property tests of every walk.
//!
//! Values come from small pools of troublemakers, so that equal values meet often.

use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::entity::{self, ColumnSchema, TableSchema};
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, IntegerWidth, Value};

const fn column(name: &'static str, ty: ColumnType, nullable: bool) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(nullable)
}

/// A table with each type of column, nullable and not.
pub(crate) static TABLE: TableSchema = TableSchema {
    name: "Mixed \"table\"",
    columns: &[
        column("title", ColumnType::Text, false),
        column("note", ColumnType::Text, true),
        column("done", ColumnType::Bool, false),
        column("flag", ColumnType::Bool, true),
        column("small", ColumnType::Integer(IntegerWidth::I32), false),
        column("large", ColumnType::Integer(IntegerWidth::I64), true),
        column("price", ColumnType::Double, true),
        column("ratio", ColumnType::Float, true),
        column("madeAt", ColumnType::DateTime, false),
        column("dueAt", ColumnType::DateTime, true),
        column("owner", ColumnType::Uuid, false),
        column("parent", ColumnType::Uuid, true),
    ],
    versioned: true,
    keep_deleted: false,
};

/// How far the generated trees go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    /// What typed code can write and a server can be sent.
    Sendable,
    /// Anything a [`Node`] can hold, meaningless forms included.
    Anything,
}

fn columns() -> Vec<&'static ColumnSchema> {
    [&entity::ID, &entity::VERSION, &entity::UPDATED_AT, &entity::DELETED]
        .into_iter()
        .chain(TABLE.columns)
        .collect()
}

fn columns_of(kind: Kind) -> Vec<&'static ColumnSchema> {
    columns().into_iter().filter(|column| Kind::of(column.ty) == kind).collect()
}

fn text() -> BoxedStrategy<String> {
    let piece = select(vec![
        "",
        "a",
        "A",
        "b",
        "ab",
        "milk",
        "Pick up milk",
        "it's",
        "''",
        "%",
        "_",
        "100%",
        "\\",
        "\"",
        "?",
        " ",
        "ä",
        "a\u{308}",
        "ÄÖ",
        "é",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1f600}",
        "\u{10ffff}",
        "\0",
        "a\0b",
        "\0b",
        "%27",
        "&$top=1",
        "\n\r\t",
        "null",
        "1",
        "true",
    ]);
    prop_oneof![3 => piece.clone().prop_map(str::to_owned), 1 => (piece.clone(), piece).prop_map(|(a, b)| a.to_owned() + b)]
        .boxed()
}

fn integers() -> Vec<i64> {
    vec![
        0,
        1,
        -1,
        2,
        42,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::from(i32::MAX) + 1,
        1 << 53,
        (1 << 53) + 1,
        -(1 << 53) - 1,
        i64::MAX,
        i64::MIN,
    ]
}

fn reals() -> Vec<f64> {
    vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        1.5,
        -1.5,
        0.1,
        1e-7,
        1e20,
        1e300,
        5e-324,
        42.0,
        9_007_199_254_740_992.0,
        9_223_372_036_854_775_808.0,
        -9_223_372_036_854_775_808.0,
        f64::MAX,
        f64::from(0.1_f32),
        f64::from(f32::MAX),
    ]
}

fn instants() -> Vec<DateTime<Utc>> {
    [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.9999999Z",
        "1970-01-01T00:00:00Z",
        "2024-02-29T12:00:00Z",
        "2024-02-29T12:00:00.1Z",
        "2024-02-29T12:00:00.100Z",
        "2024-02-29T12:00:00.1000001Z",
        "2024-02-29T12:00:00.1000009Z",
        "2024-02-29T12:00:00.100001Z",
        "2024-02-29T12:00:00.101Z",
        "2024-02-29T12:00:00.100000001Z",
        "2024-02-29T14:00:01+02:00",
        "9999-12-31T23:59:59.999999999Z",
    ]
    .into_iter()
    .map(|text| time::parse(text).expect("a valid instant"))
    .collect()
}

fn uuids() -> Vec<Uuid> {
    vec![
        Uuid::nil(),
        Uuid::max(),
        Uuid::from_u128(1),
        Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        Uuid::from_u128(0xa << 120),
        Uuid::from_u128(0x9f << 120),
    ]
}

fn stored(column: &'static ColumnSchema) -> BoxedStrategy<Value> {
    let value = match column.ty {
        ColumnType::Text => text().prop_map(Value::Text).boxed(),
        ColumnType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ColumnType::Integer(width) => {
            let fitting = integers().into_iter().filter(|number| width.contains(*number)).collect::<Vec<_>>();
            select(fitting).prop_map(Value::Integer).boxed()
        }
        ColumnType::Float => {
            let singles: Vec<f64> =
                reals().into_iter().filter(|number| f64::from(*number as f32) == *number).collect();
            select(singles).prop_map(Value::Real).boxed()
        }
        ColumnType::Double => select(reals()).prop_map(Value::Real).boxed(),
        ColumnType::DateTime => select(instants()).prop_map(Value::DateTime).boxed(),
        ColumnType::Uuid => select(uuids()).prop_map(Value::Uuid).boxed(),
    };
    if column.nullable { prop_oneof![3 => value, 1 => Just(Value::Null)].boxed() } else { value }
}

/// A whole row of [`TABLE`].
pub(crate) fn row() -> BoxedStrategy<Row> {
    let values: Vec<_> = TABLE.columns.iter().map(stored).collect();
    let version = prop_oneof![Just(None), text().prop_map(Some)];
    let updated_at = prop_oneof![Just(None), select(instants()).prop_map(Some)];
    (text(), version, updated_at, any::<bool>(), values)
        .prop_map(|(id, version, updated_at, deleted, values)| Row {
            version,
            updated_at,
            deleted,
            ..Row::new(id, values)
        })
        .boxed()
}

/// Several rows of [`TABLE`].
pub(crate) fn rows(count: usize) -> BoxedStrategy<Vec<Row>> {
    vec(row(), count).boxed()
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    select(vec![Eq, Ne, Gt, Ge, Lt, Le])
}

fn literal(column: &'static ColumnSchema, reach: Reach) -> BoxedStrategy<Node> {
    let value = match (column.ty, reach) {
        (ColumnType::Integer(_), Reach::Anything) => {
            prop_oneof![select(integers()).prop_map(Value::Integer), select(reals()).prop_map(Value::Real)]
                .boxed()
        }
        (ColumnType::Double | ColumnType::Float, Reach::Anything) => prop_oneof![
            select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]).prop_map(Value::Real),
            select(integers()).prop_map(Value::Integer),
            select(reals()).prop_map(Value::Real),
        ]
        .boxed(),
        (ColumnType::Integer(_), Reach::Sendable) => select(integers()).prop_map(Value::Integer).boxed(),
        (ColumnType::Double, Reach::Sendable) => select(reals()).prop_map(Value::Real).boxed(),
        (ColumnType::DateTime, Reach::Anything) => {
            let outside = [253_402_300_800, -62_135_596_801]
                .map(|seconds| DateTime::from_timestamp(seconds, 0).expect("an instant"));
            prop_oneof![1 => select(outside.to_vec()), 4 => select(instants())]
                .prop_map(Value::DateTime)
                .boxed()
        }
        _ => stored(column),
    };
    prop_oneof![8 => value, 1 => Just(Value::Null)].prop_map(Node::Literal).boxed()
}

/// A value of a kind as an argument: a column, a constant, or another call down to this depth.
fn value(kind: Kind, reach: Reach, depth: u32) -> BoxedStrategy<Node> {
    let column = select(columns_of(kind)).prop_map(Node::Column);
    let constant = match kind {
        Kind::Text => text().prop_map(|text| Node::Literal(Value::Text(text))).boxed(),
        Kind::Number => prop_oneof![
            2 => select(vec![0, 1, -1, 2, 3, 7]).prop_map(|number| Node::Literal(Value::Integer(number))),
            1 => select(integers()).prop_map(|number| Node::Literal(Value::Integer(number))),
            1 => select(reals()).prop_map(|number| Node::Literal(Value::Real(number))),
        ]
        .boxed(),
        _ => select(instants()).prop_map(|instant| Node::Literal(Value::DateTime(instant))).boxed(),
    };
    if depth == 0 {
        return prop_oneof![3 => column, 2 => constant].boxed();
    }
    prop_oneof![3 => column, 2 => constant, 2 => computed(kind, reach, depth - 1)].boxed()
}

/// A call with values of a kind.
fn computed(kind: Kind, reach: Reach, depth: u32) -> BoxedStrategy<Node> {
    // What v1 and v2 have no word for is not sent there.
    let unsent =
        |function: &Function| reach == Reach::Sendable && matches!(function, Function::Date | Function::Time);
    let functions: Vec<Function> =
        Function::ALL.into_iter().filter(|function| function.kind() == kind && !unsent(function)).collect();
    if functions.is_empty() {
        return select(columns_of(kind)).prop_map(Node::Column).boxed();
    }
    select(functions)
        .prop_flat_map(move |function| {
            let arguments: Vec<_> =
                function.arguments().iter().map(|kind| value(*kind, reach, depth)).collect();
            arguments.prop_map(move |arguments| Node::Call(function, arguments))
        })
        .boxed()
}

/// A comparison with the value of a function.
fn computed_comparison(reach: Reach) -> BoxedStrategy<Node> {
    (comparison(), select(vec![Kind::Text, Kind::Number, Kind::Number, Kind::DateTime]), any::<bool>())
        .prop_flat_map(move |(comparison, kind, left_first)| {
            let other = prop_oneof![
                6 => value(kind, reach, 1),
                1 => Just(Node::Literal(Value::Null)),
            ];
            (computed(kind, reach, 1), other).prop_map(move |(call, other)| {
                if left_first { compare(comparison, call, other) } else { compare(comparison, other, call) }
            })
        })
        .boxed()
}

fn compare(comparison: Comparison, left: Node, right: Node) -> Node {
    Node::Compare(comparison, Box::new(left), Box::new(right))
}

fn leaf(reach: Reach) -> BoxedStrategy<Node> {
    let with_literal = (comparison(), select(columns()), any::<bool>()).prop_flat_map(
        move |(comparison, column, literal_left)| {
            literal(column, reach).prop_map(move |literal| {
                let column = Node::Column(column);
                if literal_left {
                    compare(comparison, literal, column)
                } else {
                    compare(comparison, column, literal)
                }
            })
        },
    );
    let with_column = (comparison(), select(columns())).prop_flat_map(|(comparison, column)| {
        select(columns_of(Kind::of(column.ty)))
            .prop_map(move |other| compare(comparison, Node::Column(column), Node::Column(other)))
    });
    let function = select(vec![Function::Contains, Function::StartsWith, Function::EndsWith]);
    let argument = || {
        prop_oneof![
            select(columns_of(Kind::Text)).prop_map(Node::Column),
            text().prop_map(|text| Node::Literal(Value::Text(text)))
        ]
    };
    let text_column = select(columns_of(Kind::Text)).prop_map(Node::Column);
    let call = (function.clone(), text_column, argument())
        .prop_map(|(function, text, part)| Node::Call(function, vec![text, part]));
    let of_computed = (function.clone(), value(Kind::Text, reach, 2), value(Kind::Text, reach, 1))
        .prop_map(|(function, text, part)| Node::Call(function, vec![text, part]));
    let reversed_call = (function, argument(), argument())
        .prop_map(|(function, text, part)| Node::Call(function, vec![text, part]));
    let flag = select(columns_of(Kind::Bool)).prop_map(Node::Column);
    let plain = prop_oneof![
        4 => with_literal,
        2 => with_column,
        3 => call,
        1 => reversed_call,
        1 => of_computed,
        4 => computed_comparison(reach),
        1 => flag,
    ]
    .boxed();
    if reach == Reach::Sendable {
        return plain;
    }
    let any_value = || {
        prop_oneof![
            select(columns()).prop_map(Node::Column),
            select(columns()).prop_flat_map(|column| literal(column, Reach::Anything)),
        ]
    };
    let mismatch = (comparison(), any_value(), any_value())
        .prop_map(|(comparison, left, right)| compare(comparison, left, right));
    let bad_call = (select(Function::ALL.to_vec()), vec(any_value(), 0..4))
        .prop_map(|(function, arguments)| Node::Call(function, arguments));
    let bad_value = (comparison(), bad_call.clone(), any_value())
        .prop_map(|(comparison, call, other)| compare(comparison, call, other));
    let constant =
        vec(Just(Node::ALWAYS), 0..2).prop_flat_map(|_| select(vec![Node::ALWAYS, Node::Or(Vec::new())]));
    prop_oneof![8 => plain, 3 => mismatch, 1 => bad_call, 1 => bad_value, 1 => constant, 1 => any_value()]
        .boxed()
}

/// A condition over [`TABLE`].
pub(crate) fn condition(reach: Reach) -> BoxedStrategy<Node> {
    leaf(reach)
        .prop_recursive(4, 24, 3, move |inner| {
            let lists = prop_oneof![
                2 => vec(inner.clone(), 1..4).prop_map(Node::And),
                2 => vec(inner.clone(), 1..4).prop_map(Node::Or),
                3 => inner.clone().prop_map(|inner| Node::Not(Box::new(inner))),
            ];
            let of_conditions = (comparison(), inner.clone(), inner)
                .prop_map(|(comparison, left, right)| compare(comparison, left, right));
            match reach {
                Reach::Sendable => lists.boxed(),
                Reach::Anything => prop_oneof![6 => lists, 1 => of_conditions].boxed(),
            }
        })
        .boxed()
}
