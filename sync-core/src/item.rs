//! The storage form of a row's content: one JSON object of SQLite values by column name (ruling R7).
//!
//! Capture triggers write it with `json_object`, Rust writes and reads it here. Shadows, kept rows of deletes
//! and sent contents are stored in it; the wire form is made from it. Booleans are 0 and 1, instants the SQL
//! form of [`crate::time`]. Absent members are absent columns.

use serde::de::{Deserialize, MapAccess, Visitor};
use std::fmt;

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Scalar, ScalarSeed, Text, push_f64, push_string};
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, Value};

/// Writes id and present columns.
pub fn encode(table: &TableSchema, row: &Row) -> String {
    let mut out = String::with_capacity(32 + row.values.len() * 24);
    out.push_str("{\"id\":");
    push_string(&mut out, &row.id);
    for (column, value) in table.columns.iter().zip(&row.values) {
        let Some(value) = value else { continue };
        out.push(',');
        push_string(&mut out, column.name);
        out.push(':');
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push(if *value { '1' } else { '0' }),
            Value::Integer(value) => out.push_str(&value.to_string()),
            Value::Real(value) => push_f64(&mut out, *value),
            Value::Text(value) => push_string(&mut out, value),
            Value::DateTime(value) => {
                out.push('"');
                time::write_sql(&mut out, *value);
                out.push('"');
            }
            Value::Uuid(value) => {
                out.push('"');
                out.push_str(value.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
                out.push('"');
            }
        }
    }
    out.push('}');
    out
}

/// Reads what [`encode`] or a capture trigger wrote. Members that are no columns any more are skipped.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] when the text is no such object, has no id, or a value does not fit its column.
pub fn decode(table: &'static TableSchema, text: &str) -> Result<Row> {
    let stored: Stored<'_> = serde_json::from_str(text).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "stored row content cannot be read")
            .with_table(table.name)
            .with_source(source)
    })?;
    let mut row = Row::empty(table, String::new());
    let mut is_whole = false;
    for (Text(name), scalar) in stored.0 {
        if name == "id" {
            if let Scalar::Text(text) = scalar {
                row.id = text.into_owned();
                is_whole = true;
            }
            continue;
        }
        let Some(index) = table.column_index(&name) else { continue };
        let value = from_sqlite(table.columns[index].ty, scalar).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("stored value of column {name} does not fit its type"))
                .with_table(table.name)
                .with_item(&row.id)
        })?;
        row.values[index] = Some(value);
    }
    if !is_whole {
        return Err(Error::new(ErrorKind::Corrupt, "stored row content has no id").with_table(table.name));
    }
    Ok(row)
}

/// Names of the members that are no columns of the table, and whether they are null; those that begin with two
/// underscores are no columns of any app.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] when the text is no object of single values.
pub fn unknown_members(table: &TableSchema, text: &str) -> Result<Vec<(String, bool)>> {
    let stored: Stored<'_> = serde_json::from_str(text).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "stored row content cannot be read")
            .with_table(table.name)
            .with_source(source)
    })?;
    let unknown = stored.0.into_iter().filter(|(Text(name), _)| {
        name != "id" && !name.starts_with("__") && table.column_index(name).is_none()
    });
    Ok(unknown.map(|(Text(name), scalar)| (name.into_owned(), matches!(scalar, Scalar::Null))).collect())
}

fn from_sqlite(ty: ColumnType, scalar: Scalar<'_>) -> Option<Value> {
    Some(match (ty, scalar) {
        (_, Scalar::Null) => Value::Null,
        (ColumnType::Bool, Scalar::Integer(value)) => Value::Bool(value != 0),
        (ColumnType::Bool, Scalar::Bool(value)) => Value::Bool(value),
        (ColumnType::Integer(width), Scalar::Integer(value)) if width.contains(value) => {
            Value::Integer(value)
        }
        (ColumnType::Float | ColumnType::Double, Scalar::Integer(value)) => Value::Real(value as f64),
        (ColumnType::Float | ColumnType::Double, Scalar::Unsigned(value)) => Value::Real(value as f64),
        (ColumnType::Float | ColumnType::Double, Scalar::Real(value)) => Value::Real(value),
        (ColumnType::Text, Scalar::Text(value)) => Value::Text(value.into_owned()),
        (ColumnType::DateTime, Scalar::Text(value)) => Value::DateTime(time::parse(&value)?),
        (ColumnType::Uuid, Scalar::Text(value)) => Value::Uuid(uuid::Uuid::parse_str(&value).ok()?),
        _ => return None,
    })
}

struct Stored<'a>(Vec<(Text<'a>, Scalar<'a>)>);

impl<'de> Deserialize<'de> for Stored<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Stored<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stored<'de>, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(name) = map.next_key()? {
                    members.push((name, map.next_value_seed(ScalarSeed)?));
                }
                Ok(Stored(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::ColumnSchema;
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(true)
    }

    static TABLE: TableSchema = TableSchema {
        name: "T",
        columns: &[
            column("text", ColumnType::Text),
            column("done", ColumnType::Bool),
            column("n", ColumnType::Integer(IntegerWidth::I64)),
            column("d", ColumnType::Double),
            column("when", ColumnType::DateTime),
            column("key", ColumnType::Uuid),
        ],
        versioned: true,
        keep_deleted: false,
    };

    fn row() -> Row {
        let mut row = Row::empty(&TABLE, "a\u{1}\"é");
        row.values = vec![
            Some(Value::Text("x\u{0}\\".into())),
            Some(Value::Bool(true)),
            Some(Value::Integer(i64::MIN)),
            Some(Value::Real(0.1)),
            Some(Value::DateTime(time::parse("2024-01-02T03:04:05.678Z").expect("valid"))),
            Some(Value::Uuid(uuid::Uuid::from_u128(7))),
        ];
        row
    }

    #[test]
    fn r_07_content_survives_and_absent_is_not_null() {
        assert_eq!(decode(&TABLE, &encode(&TABLE, &row())).expect("readable"), row());
        let mut partial = Row::empty(&TABLE, "b");
        partial.values[2] = Some(Value::Null);
        assert_eq!(encode(&TABLE, &partial), "{\"id\":\"b\",\"n\":null}");
        assert_eq!(decode(&TABLE, "{\"id\":\"b\",\"n\":null,\"gone\":1}").expect("readable"), partial);
    }

    #[test]
    fn i_6_members_that_are_no_columns_are_named() {
        let text = "{\"id\":\"b\",\"n\":null,\"gone\":1,\"__version\":\"v\",\"lost\":null}";
        let unknown = unknown_members(&TABLE, text).expect("readable");
        assert_eq!(unknown, [("gone".to_owned(), false), ("lost".to_owned(), true)]);
        unknown_members(&TABLE, "[]").expect_err("no object");
    }

    #[test]
    fn r_07_integers_written_into_real_columns_read_as_numbers() {
        let read = decode(&TABLE, "{\"id\":\"b\",\"d\":3,\"done\":0}").expect("readable");
        assert_eq!(
            (read.values[3].clone(), read.values[1].clone()),
            (Some(Value::Real(3.0)), Some(Value::Bool(false)))
        );
    }

    #[test]
    fn damaged_content_is_a_typed_error_without_the_content() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"id\":7,\"text\":\"secret\"}",
            "{\"id\":\"a\",\"n\":\"secret\"}",
            "{\"id\":\"a\",\"when\":\"secret\"}",
            "{\"id\":\"a\",\"n\":{}}",
        ] {
            let error = decode(&TABLE, text).expect_err(text);
            assert_eq!((error.kind(), error.table()), (ErrorKind::Corrupt, Some("T")));
            assert!(!error.to_string().contains("secret"));
        }
    }
}
