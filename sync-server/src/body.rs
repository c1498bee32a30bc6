//! Bodies with one row, decoded by the table's schema without a tree of values.
//!
//! Nothing is guessed: a member that is no column, a value of another type, or a member that only the server
//! may set is refused with its name, so that a client's mistake does not become lost data.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use sync_core::entity::ColumnSchema;
use sync_core::json::{Scalar, ScalarSeed, Text};
use sync_core::protocol::Dialect;
use sync_core::time;
use sync_core::value::{ColumnType, Value};
use uuid::Uuid;

use crate::error::Refusal;
use crate::table::Table;

/// A decoded body.
#[derive(Debug, PartialEq)]
pub(crate) struct RowBody {
    pub(crate) id: BodyId,
    /// The `version` member, if it is a string; never in v1, where it is a name like any other.
    pub(crate) version: Option<String>,
    /// The `updatedAt` member as sent; only in v3.
    pub(crate) updated_at: Option<String>,
    /// The `deleted` member; only in v3.
    pub(crate) deleted: Option<bool>,
    /// In the order of [`Table::columns`]; absent is not null.
    pub(crate) values: Vec<Option<Value>>,
}

/// The `id` member. Only v2 knows numbers.
#[derive(Debug, PartialEq)]
pub(crate) enum BodyId {
    /// Absent or null.
    None,
    Text(String),
    /// A number, as its text.
    Number(String),
}

/// Decodes a body as the dialect sees it.
///
/// v1 refuses every member that starts with `__`; v2 refuses system properties besides the version; v3 takes them
/// all and passes over members it does not know, as its servers do.
///
/// # Errors
///
/// [`Refusal::Bad`], naming the member where there is one.
pub(crate) fn decode(body: &[u8], table: &Table, dialect: Dialect) -> Result<RowBody, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::bad("the body is empty; a JSON object is expected"));
    }
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let decoded = RowSeed { table, dialect, fault: &mut fault }
        .deserialize(&mut deserializer)
        .and_then(|row| deserializer.end().map(|()| row));
    match (fault, decoded) {
        (Some(message), _) => Err(Refusal::Bad(message)),
        (None, Ok(row)) => Ok(row),
        (None, Err(error)) if error.is_data() => Err(Refusal::bad("the body must be one JSON object")),
        (None, Err(error)) => Err(Refusal::Bad(format!(
            "the body is not valid JSON (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

struct RowSeed<'s> {
    table: &'s Table,
    dialect: Dialect,
    /// The first fault in the row's meaning, for the client.
    fault: &'s mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = RowBody;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowBody, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = RowBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowBody, A::Error> {
        let names = self.dialect.names();
        let mut row = RowBody {
            id: BodyId::None,
            version: None,
            updated_at: None,
            deleted: None,
            values: vec![None; self.table.columns.len()],
        };
        let (mut has_id, mut has_version) = (false, false);
        macro_rules! refuse {
            ($($message:tt)*) => {{
                *self.fault = Some(format!($($message)*));
                return Err(A::Error::custom("refused"));
            }};
        }
        while let Some(Text(name)) = map.next_key()? {
            let column = self.table.columns.iter().position(|column| column.name == name);
            if let Some(index) = column {
                let column = self.table.columns[index];
                if row.values[index].is_some() {
                    refuse!("member '{name}' appears twice");
                }
                match convert(column, map.next_value_seed(ScalarSeed)?) {
                    Ok(value) => row.values[index] = Some(value),
                    Err(expected) => refuse!("member '{name}' must be {expected}"),
                }
            } else if name == "id" {
                if std::mem::replace(&mut has_id, true) {
                    refuse!("member 'id' appears twice");
                }
                row.id = match map.next_value_seed(ScalarSeed)? {
                    Scalar::Null => BodyId::None,
                    Scalar::Text(text) => BodyId::Text(text.into_owned()),
                    _ if self.dialect != Dialect::MobileApps => refuse!("member 'id' must be a string"),
                    Scalar::Integer(number) => BodyId::Number(number.to_string()),
                    Scalar::Unsigned(number) => BodyId::Number(number.to_string()),
                    Scalar::Real(number) => BodyId::Number(format!("{number:?}")),
                    Scalar::Bool(_) | Scalar::Nested => refuse!("member 'id' must be a string"),
                };
            } else if self.dialect == Dialect::MobileServices {
                if name.starts_with("__") {
                    refuse!("member '{name}' can not be set: only the server sets it");
                } else if name.eq_ignore_ascii_case("id") {
                    refuse!("member '{name}' must be written 'id'");
                }
                refuse!("member '{name}' is unknown: table {} has no such column", self.table.schema.name);
            } else if name == names.version {
                if std::mem::replace(&mut has_version, true) {
                    refuse!("member '{name}' appears twice");
                }
                row.version = match map.next_value_seed(ScalarSeed)? {
                    Scalar::Null => None,
                    Scalar::Text(text) => Some(text.into_owned()),
                    _ => refuse!("member '{name}' must be a string"),
                };
            } else if self.dialect == Dialect::Datasync {
                if name == names.updated_at {
                    row.updated_at = match map.next_value_seed(ScalarSeed)? {
                        Scalar::Null => None,
                        Scalar::Text(text) => Some(text.into_owned()),
                        _ => refuse!("member '{name}' must be a string"),
                    };
                } else if name == names.deleted {
                    row.deleted = match map.next_value_seed(ScalarSeed)? {
                        Scalar::Null => None,
                        Scalar::Bool(deleted) => Some(deleted),
                        _ => refuse!("member '{name}' must be true or false"),
                    };
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            } else if is_reserved(&name) {
                refuse!("member '{name}' is reserved: only the server sets it");
            } else {
                refuse!("member '{name}' is unknown: table {} has no such column", self.table.schema.name);
            }
        }
        Ok(row)
    }
}

/// Whether the name is one of the v2 properties that only the server sets, in any case.
fn is_reserved(name: &str) -> bool {
    let names = Dialect::MobileApps.names();
    [names.created_at, names.updated_at, names.deleted]
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// The value for a column, or what was expected.
fn convert(column: &ColumnSchema, scalar: Scalar<'_>) -> Result<Value, &'static str> {
    /// Integers up to here are exact as `f64`.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if matches!(scalar, Scalar::Null) {
        return if column.nullable { Ok(Value::Null) } else { Err("a value, not null") };
    }
    match (column.ty, scalar) {
        (ColumnType::Text, Scalar::Text(text)) => Ok(Value::Text(text.into_owned())),
        (ColumnType::Text, _) => Err("a string"),
        (ColumnType::Bool, Scalar::Bool(value)) => Ok(Value::Bool(value)),
        (ColumnType::Bool, _) => Err("true or false"),
        (ColumnType::Integer(width), scalar) => {
            let number = match scalar {
                Scalar::Integer(number) => Some(number),
                // `2.0`, as some clients write whole numbers.
                Scalar::Real(number) if number.fract() == 0.0 && number.abs() <= EXACT => Some(number as i64),
                _ => None,
            };
            number
                .filter(|number| width.contains(*number))
                .map(Value::Integer)
                .ok_or("a whole number in the column's range")
        }
        (ColumnType::Float | ColumnType::Double, scalar) => {
            let number = match scalar {
                Scalar::Integer(number) => number as f64,
                Scalar::Unsigned(number) => number as f64,
                Scalar::Real(number) => number,
                _ => return Err("a number"),
            };
            let number = if column.ty == ColumnType::Float { f64::from(number as f32) } else { number };
            if number.is_finite() { Ok(Value::Real(number)) } else { Err("a number in the column's range") }
        }
        (ColumnType::DateTime, Scalar::Text(text)) => {
            time::parse(&text).map(Value::DateTime).ok_or("a date and time in ISO 8601")
        }
        (ColumnType::DateTime, _) => Err("a date and time in ISO 8601"),
        (ColumnType::Uuid, Scalar::Text(text)) => {
            Uuid::try_parse(&text).map(Value::Uuid).map_err(|_| "a uuid")
        }
        (ColumnType::Uuid, _) => Err("a uuid"),
        _ => Err("of a type this server knows"),
    }
}
