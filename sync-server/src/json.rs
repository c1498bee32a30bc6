//! Rows become JSON text directly, without a tree of values.

use std::fmt::Write;

use sync_core::protocol::SystemNames;
use sync_core::time;
use sync_core::value::ColumnType;

use crate::store::{Cell, StoredRow, field_position, from_ticks};
use crate::table::{Field, Table};

/// How the rows of one answer are written: which properties, under which names.
#[derive(Clone, Debug)]
pub(crate) struct RowWriter {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// Column of the statement.
    position: usize,
    /// `"name":`, with the comma before it except in the first.
    key: String,
    ty: ColumnType,
}

impl RowWriter {
    /// Writes `fields`, which the statement selects in this order.
    pub(crate) fn new(table: &Table, fields: &[Field], names: &SystemNames) -> Self {
        Self::with_positions(table, fields, names, |index, _| index)
    }

    /// Writes `fields` of whole rows, which have every property in the order of [`Table::fields`].
    pub(crate) fn of_whole_rows(table: &Table, fields: &[Field], names: &SystemNames) -> Self {
        Self::with_positions(table, fields, names, |_, field| field_position(field))
    }

    fn with_positions(
        table: &Table,
        fields: &[Field],
        names: &SystemNames,
        position: impl Fn(usize, Field) -> usize,
    ) -> Self {
        let members = fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let mut key = String::new();
                if index > 0 {
                    key.push(',');
                }
                push_string(&mut key, wire_name(table, *field, names));
                key.push(':');
                Member { position: position(index, *field), key, ty: table.field_type(*field) }
            })
            .collect();
        Self { members }
    }

    /// Appends one object.
    pub(crate) fn write(&self, out: &mut String, row: &StoredRow) {
        out.push('{');
        for member in &self.members {
            out.push_str(&member.key);
            push_cell(out, member.ty, row.cell(member.position));
        }
        out.push('}');
    }
}

/// The name of a property in a dialect.
pub(crate) fn wire_name(table: &Table, field: Field, names: &SystemNames) -> &'static str {
    match field {
        Field::Id => "id",
        Field::CreatedAt => names.created_at,
        Field::UpdatedAt => names.updated_at,
        Field::Version => names.version,
        Field::Deleted => names.deleted,
        Field::Column(index) => table.columns[index].name,
    }
}

fn push_cell(out: &mut String, ty: ColumnType, cell: Cell<'_>) {
    match (ty, cell) {
        (_, Cell::Null) => out.push_str("null"),
        (ColumnType::Bool, Cell::Integer(value)) => out.push_str(if value == 0 { "false" } else { "true" }),
        (ColumnType::DateTime, Cell::Integer(ticks)) => match from_ticks(ticks) {
            Some(instant) if time::is_storable(instant) => {
                out.push('"');
                time::write_wire(out, instant);
                out.push('"');
            }
            _ => out.push_str("null"),
        },
        (ColumnType::Float, Cell::Real(value)) => push_float(out, value as f32, value.is_finite()),
        (_, Cell::Real(value)) => push_float(out, value, value.is_finite()),
        // Writing to a string cannot fail.
        (_, Cell::Integer(value)) => {
            let _ = write!(out, "{value}");
        }
        (_, Cell::Text(text)) => push_string(out, text),
    }
}

/// `{:?}` of a finite float is the shortest text that reads back equal, and a JSON number.
fn push_float(out: &mut String, value: impl std::fmt::Debug, finite: bool) {
    if finite {
        let _ = write!(out, "{value:?}");
    } else {
        out.push_str("null");
    }
}

/// Appends a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[clean..index]);
        clean = index + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::value::IntegerWidth;

    #[test]
    fn strings_are_escaped_so_that_they_read_back() {
        for text in ["", "plain", "it's \"quoted\" \\ and\nmore\r\t\u{0}\u{1f}\u{7f}", "äöü 😀", "\u{2028}"]
        {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).expect("JSON"), text);
        }
    }

    #[test]
    fn values_are_written_by_their_columns_type() {
        let check = |ty, cell, expected: &str| {
            let mut out = String::new();
            push_cell(&mut out, ty, cell);
            assert_eq!(out, expected);
        };
        check(ColumnType::Bool, Cell::Integer(1), "true");
        check(ColumnType::Bool, Cell::Null, "null");
        check(
            ColumnType::Integer(IntegerWidth::I64),
            Cell::Integer(9_007_199_254_740_993),
            "9007199254740993",
        );
        check(ColumnType::Double, Cell::Real(0.1), "0.1");
        check(ColumnType::Double, Cell::Real(1e300), "1e300");
        check(ColumnType::Double, Cell::Real(2.0), "2.0");
        check(ColumnType::Float, Cell::Real(f64::from(0.1_f32)), "0.1");
        check(ColumnType::DateTime, Cell::Integer(0), "\"1970-01-01T00:00:00.000Z\"");
        check(ColumnType::DateTime, Cell::Integer(1), "\"1970-01-01T00:00:00.0000001Z\"");
    }
}
