//! The stored form of a condition: exact, and the same whatever server or dialect it is for.
//!
//! A local database remembers what each pull asked for, to tell whether a query changed (L-08) and whether a row
//! that left one filter is still wanted by another (R12). A rendered filter would not do: it depends on the dialect,
//! and a condition that no dialect can carry has none.
//!
//! A node is a JSON array that starts with its name: `["eq",["column","text"],["text","milk"]]`. Reals are text that
//! reads back as the same number, instants are seconds and nanoseconds.
//!
//! What cannot be read back, because another version of the program wrote it or a column is gone, is [`None`]; who
//! asks must then assume that the condition held for every row.

use chrono::DateTime;
use serde_json::{Value as Json, json};

use super::{Comparison, Function, Node};
use crate::entity::{self, ColumnSchema, TableSchema};
use crate::value::Value;

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal,)* }) => {
        impl $type {
            const fn stored_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn of_stored_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

// A name once stored never changes its meaning.
names! { Comparison { Eq = "eq", Ne = "ne", Gt = "gt", Ge = "ge", Lt = "lt", Le = "le", } }
names! { Function {
    Contains = "contains",
    StartsWith = "startswith",
    EndsWith = "endswith",
    Length = "length",
    IndexOf = "indexof",
    SubstringFrom = "substringfrom",
    Substring = "substring",
    Replace = "replace",
    ToLower = "tolower",
    ToUpper = "toupper",
    Trim = "trim",
    Concat = "concat",
    Add = "add",
    Sub = "sub",
    Mul = "mul",
    Div = "div",
    Mod = "mod",
    Round = "round",
    Floor = "floor",
    Ceiling = "ceiling",
    Year = "year",
    Month = "month",
    Day = "day",
    Hour = "hour",
    Minute = "minute",
    Second = "second",
    Date = "date",
    Time = "time",
} }

/// Writes a condition. Equal texts are equal conditions.
pub fn encode(node: &Node) -> String {
    to_json(node).to_string()
}

/// Reads what [`encode`] wrote for a condition over `table`; `None` when this version or this table cannot express
/// it.
pub fn decode(table: &TableSchema, text: &str) -> Option<Node> {
    of_json(table, &serde_json::from_str(text).ok()?)
}

fn to_json(node: &Node) -> Json {
    let list = |name: &str, parts: &[Node]| {
        Json::Array(std::iter::once(Json::from(name)).chain(parts.iter().map(to_json)).collect())
    };
    match node {
        Node::Column(column) => json!(["column", column.name]),
        Node::Literal(value) => literal(value),
        Node::Compare(comparison, left, right) => {
            json!([comparison.stored_name(), to_json(left), to_json(right)])
        }
        Node::And(parts) => list("and", parts),
        Node::Or(parts) => list("or", parts),
        Node::Not(inner) => json!(["not", to_json(inner)]),
        Node::Call(function, arguments) => list(function.stored_name(), arguments),
    }
}

fn literal(value: &Value) -> Json {
    match value {
        Value::Null => json!(["null"]),
        Value::Bool(value) => json!(["bool", value]),
        Value::Integer(value) => json!(["integer", value]),
        // JSON has no infinities, and a parser may round; Rust's own text reads back equal.
        Value::Real(value) => json!(["real", format!("{value:?}")]),
        Value::Text(value) => json!(["text", value]),
        // Seconds and nanoseconds of the second: also what lies beyond the years that texts can carry.
        Value::DateTime(value) => json!(["instant", value.timestamp(), value.timestamp_subsec_nanos()]),
        Value::Uuid(value) => json!(["uuid", value.hyphenated().to_string()]),
    }
}

fn of_json(table: &TableSchema, json: &Json) -> Option<Node> {
    let (name, arguments) = json.as_array()?.split_first()?;
    let name = name.as_str()?;
    let nodes = || arguments.iter().map(|part| of_json(table, part)).collect::<Option<Vec<_>>>();
    let one = |arguments: &[Json]| match arguments {
        [one] => Some(one.clone()),
        _ => None,
    };
    Some(match name {
        "column" => Node::Column(column(table, one(arguments)?.as_str()?)?),
        "null" if arguments.is_empty() => Node::Literal(Value::Null),
        "bool" => Node::Literal(Value::Bool(one(arguments)?.as_bool()?)),
        "integer" => Node::Literal(Value::Integer(one(arguments)?.as_i64()?)),
        "real" => Node::Literal(Value::Real(one(arguments)?.as_str()?.parse().ok()?)),
        "text" => Node::Literal(Value::Text(one(arguments)?.as_str()?.to_owned())),
        "instant" => match arguments {
            [seconds, nanos] => {
                let nanos = nanos.as_u64()?.try_into().ok()?;
                Node::Literal(Value::DateTime(DateTime::from_timestamp(seconds.as_i64()?, nanos)?))
            }
            _ => return None,
        },
        "uuid" => Node::Literal(Value::Uuid(one(arguments)?.as_str()?.parse().ok()?)),
        "and" => Node::And(nodes()?),
        "or" => Node::Or(nodes()?),
        "not" => Node::Not(Box::new(of_json(table, &one(arguments)?)?)),
        _ => match (Comparison::of_stored_name(name), arguments) {
            (Some(comparison), [left, right]) => {
                Node::Compare(comparison, Box::new(of_json(table, left)?), Box::new(of_json(table, right)?))
            }
            (Some(_), _) => return None,
            (None, _) => Node::Call(Function::of_stored_name(name)?, nodes()?),
        },
    })
}

fn column(table: &TableSchema, name: &str) -> Option<&'static ColumnSchema> {
    [&entity::ID, &entity::VERSION, &entity::UPDATED_AT, &entity::DELETED]
        .into_iter()
        .chain(table.columns)
        .find(|column| column.name == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::predicate::arbitrary::{Reach, TABLE, condition};

    proptest! {
        #[test]
        fn r_12_a_stored_condition_reads_back_as_it_was(node in condition(Reach::Anything)) {
            let text = encode(&node);
            let read = decode(&TABLE, &text).expect("readable");
            // By text, since NaN equals nothing.
            prop_assert_eq!(format!("{read:?}"), format!("{node:?}"));
            prop_assert_eq!(encode(&read), text);
        }
    }

    #[test]
    fn r_12_what_this_version_cannot_express_is_none() {
        for text in [
            "",
            "{}",
            "[]",
            "[\"column\",\"gone\"]",
            "[\"eq\",[\"column\",\"title\"]]",
            "[\"soundex\",[\"column\",\"title\"]]",
            "[\"not\"]",
            "[\"null\",1]",
            "[\"and\",[\"integer\",1.5]]",
            "[\"instant\",\"soon\"]",
        ] {
            assert_eq!(decode(&TABLE, text), None, "{text}");
        }
    }

    #[test]
    fn the_stored_form_stays_readable_by_later_versions() {
        let text = "[\"and\",[\"eq\",[\"column\",\"title\"],[\"text\",\"it's\"]],[\"not\",[\"contains\",\
                    [\"column\",\"id\"],[\"text\",\"\"]]],[\"ge\",[\"column\",\"price\"],[\"real\",\"0.1\"]],\
                    [\"or\"],[\"ne\",[\"column\",\"large\"],[\"integer\",9223372036854775807]]]";
        assert_eq!(encode(&decode(&TABLE, text).expect("readable")), text);
    }
}
