//! JSON bodies of rows as they are sent: id and present synced columns, no system member (P-09).

use bytes::Bytes;

use crate::entity::TableSchema;
use crate::json::{push_f32, push_f64, push_string};
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, Value};

/// Writes id and present columns; local-only columns are never sent.
pub(crate) fn encode(table: &TableSchema, row: &Row) -> Bytes {
    let mut out = String::with_capacity(32 + row.values.len() * 24);
    out.push_str("{\"id\":");
    push_string(&mut out, &row.id);
    for (index, column) in table.sent_columns() {
        let Some(Some(value)) = row.values.get(index) else { continue };
        out.push(',');
        push_string(&mut out, column.name);
        out.push(':');
        push_value(&mut out, column.ty, value);
    }
    out.push('}');
    Bytes::from(out)
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
    use crate::entity::{ColumnRole, ColumnSchema};
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType, local: bool) -> ColumnSchema {
        ColumnSchema {
            name,
            field: name,
            ty,
            nullable: true,
            local,
            default: None,
            belongs_to: None,
            role: ColumnRole::User,
        }
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
}
