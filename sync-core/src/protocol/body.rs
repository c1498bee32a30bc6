//! JSON bodies of rows as they are sent: id and present synced columns (P-09).
//!
//! System members are not sent, but for the deletion mark of a revival; members unknown to the entity are sent
//! back where the dialect replaces whole rows (S-08).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{push_f32, push_f64, push_string};
use crate::protocol::SystemNames;
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, Value};

/// Writes id and present columns; local-only columns are never sent.
pub(crate) fn encode(table: &TableSchema, row: &Row) -> Bytes {
    let mut out = String::with_capacity(32 + row.values.len() * 24);
    push_columns(&mut out, table, row);
    out.push('}');
    Bytes::from(out)
}

/// Writes the row for a request that replaces the server's: with the members the server has and the entity does
/// not (S-08), and as not deleted if it revives.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] when the kept members are no JSON object.
pub(crate) fn encode_whole(
    table: &TableSchema,
    row: &Row,
    names: &SystemNames,
    revives: bool,
) -> Result<Bytes> {
    let mut out = String::with_capacity(64 + row.values.len() * 24);
    push_columns(&mut out, table, row);
    if let Some(extra) = &row.extra {
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(extra).map_err(|source| {
            Error::new(ErrorKind::Corrupt, "the kept members of a row cannot be read")
                .with_table(table.name)
                .with_item(row.id.as_str())
                .with_source(source)
        })?;
        for (name, value) in members {
            // What became a column since it was kept is sent as that; the server alone sets system members.
            if is_known(table, names, &name) {
                continue;
            }
            out.push(',');
            push_string(&mut out, &name);
            out.push(':');
            out.push_str(value.get());
        }
    }
    if revives {
        out.push(',');
        push_string(&mut out, names.deleted);
        out.push_str(":false");
    }
    out.push('}');
    Ok(Bytes::from(out))
}

/// The body that revives a row by a change of its deletion mark alone.
pub(crate) fn revival(names: &SystemNames) -> Bytes {
    Bytes::from(format!("{{\"{}\":false}}", names.deleted))
}

fn is_known(table: &TableSchema, names: &SystemNames, name: &str) -> bool {
    name == "id"
        || [names.created_at, names.updated_at, names.version, names.deleted].contains(&name)
        || table.columns.iter().any(|column| column.name == name)
}

fn push_columns(out: &mut String, table: &TableSchema, row: &Row) {
    out.push_str("{\"id\":");
    push_string(out, &row.id);
    for (index, column) in table.sent_columns() {
        let Some(Some(value)) = row.values.get(index) else { continue };
        out.push(',');
        push_string(out, column.name);
        out.push(':');
        push_value(out, column.ty, value);
    }
}

fn push_value(out: &mut String, ty: ColumnType, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => out.push_str(&value.to_string()),
        Value::Real(value) if ty == ColumnType::Float => push_f32(out, *value as f32),
        Value::Real(value) => push_f64(out, *value),
        Value::Text(value) => push_string(out, value),
        Value::DateTime(value) => {
            out.push('"');
            time::write_wire(out, *value);
            out.push('"');
        }
        Value::Uuid(value) => {
            out.push('"');
            out.push_str(value.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::ColumnSchema;
    use crate::protocol::Dialect;
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType, local: bool) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(true).with_local(local)
    }

    static TABLE: TableSchema = TableSchema {
        name: "T",
        columns: &[
            column("text", ColumnType::Text, false),
            column("done", ColumnType::Bool, false),
            column("n", ColumnType::Integer(IntegerWidth::I64), false),
            column("f", ColumnType::Float, false),
            column("d", ColumnType::Double, false),
            column("when", ColumnType::DateTime, false),
            column("key", ColumnType::Uuid, false),
            column("note", ColumnType::Text, true),
        ],
        versioned: true,
        keep_deleted: false,
    };

    #[test]
    fn p_09_bodies_hold_id_and_present_synced_columns_only() {
        let mut row = Row::empty(&TABLE, "a \"b\"");
        row.version = Some("MQ==".into());
        row.values = vec![
            Some(Value::Text("é\u{0}\n\\".into())),
            Some(Value::Bool(true)),
            Some(Value::Integer(i64::MAX)),
            Some(Value::Real(f64::from(0.1_f32))),
            Some(Value::Real(1e300)),
            Some(Value::DateTime(time::parse("2024-01-02T03:04:05.5Z").expect("valid"))),
            Some(Value::Null),
            Some(Value::Text("stays here".into())),
        ];
        assert_eq!(
            encode(&TABLE, &row),
            "{\"id\":\"a \\\"b\\\"\",\"text\":\"é\\u0000\\n\\\\\",\"done\":true,\"n\":9223372036854775807,\
             \"f\":0.1,\"d\":1e+300,\"when\":\"2024-01-02T03:04:05.500Z\",\"key\":null}"
        );
        assert_eq!(encode(&TABLE, &Row::empty(&TABLE, "x")), "{\"id\":\"x\"}");
    }

    #[test]
    fn s_08_whole_rows_carry_the_members_the_entity_does_not_have() {
        let names = Dialect::Datasync.names();
        let mut row = Row::empty(&TABLE, "a");
        row.values[0] = Some(Value::Text("milk".into()));
        let whole = |row: &Row, revives| encode_whole(&TABLE, row, names, revives);
        assert_eq!(whole(&row, false).expect("writable"), "{\"id\":\"a\",\"text\":\"milk\"}");
        row.extra = Some(
            "{\"color\":{\"deep\":[1.50,null]},\"done\":true,\"updatedAt\":\"x\",\"note\":\"y\",\"é\\\"\":7}"
                .to_owned(),
        );
        assert_eq!(
            whole(&row, true).expect("writable"),
            "{\"id\":\"a\",\"text\":\"milk\",\"color\":{\"deep\":[1.50,null]},\"é\\\"\":7,\"deleted\":false}"
        );
        assert_eq!(encode(&TABLE, &row), "{\"id\":\"a\",\"text\":\"milk\"}", "only where rows are replaced");
        row.extra = Some("[1]".to_owned());
        let error = whole(&row, false).expect_err("unreadable");
        assert_eq!((error.kind(), error.item()), (ErrorKind::Corrupt, Some("a")));
    }
}
