//! The values of columns that a new row does not name.

use crate::entity::{ColumnSchema, TableSchema};
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, Value};

/// Fills absent columns with their default, or with null where it is allowed. Returns the first column that has
/// neither.
pub(crate) fn complete(table: &TableSchema, row: &mut Row) -> Option<&'static ColumnSchema> {
    for (column, value) in table.columns.iter().zip(&mut row.values) {
        if value.is_none() {
            *value = default_of(column);
            if value.is_none() {
                return Some(column);
            }
        }
    }
    None
}

/// The default of a column: its SQL literal, or null if the column is nullable. A DEFAULT that is no literal
/// cannot be computed here and counts as none.
fn default_of(column: &ColumnSchema) -> Option<Value> {
    column
        .default
        .and_then(|literal| parse(column, literal.trim()))
        .or_else(|| column.nullable.then_some(Value::Null))
}

fn parse(column: &ColumnSchema, literal: &str) -> Option<Value> {
    if literal.eq_ignore_ascii_case("null") {
        return column.nullable.then_some(Value::Null);
    }
    let text = || {
        let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        Some(inner.replace("''", "'"))
    };
    Some(match column.ty {
        ColumnType::Text => Value::Text(text()?),
        ColumnType::Bool => Value::Bool(match literal {
            "0" => false,
            "1" => true,
            word if word.eq_ignore_ascii_case("false") => false,
            word if word.eq_ignore_ascii_case("true") => true,
            _ => return None,
        }),
        ColumnType::Integer(width) => {
            Value::Integer(literal.parse().ok().filter(|number| width.contains(*number))?)
        }
        ColumnType::Float => Value::Real(f64::from(literal.parse::<f32>().ok()?)),
        ColumnType::Double => Value::Real(literal.parse().ok()?),
        ColumnType::DateTime => Value::DateTime(time::parse(&text()?)?),
        ColumnType::Uuid => Value::Uuid(uuid::Uuid::parse_str(&text()?).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::IntegerWidth;

    fn check(ty: ColumnType, nullable: bool, default: Option<&'static str>, expected: Option<Value>) {
        let column = ColumnSchema::new("column", ty).with_nullable(nullable).with_default(default);
        assert_eq!(default_of(&column), expected, "{default:?} of {ty:?}");
    }

    #[test]
    fn literals_of_every_type() {
        check(ColumnType::Text, false, Some("'it''s'"), Some(Value::Text("it's".into())));
        check(ColumnType::Text, false, Some("lower('A')"), None);
        check(ColumnType::Text, true, Some("lower('A')"), Some(Value::Null));
        check(ColumnType::Text, false, None, None);
        check(ColumnType::Bool, false, Some("TRUE"), Some(Value::Bool(true)));
        check(ColumnType::Bool, false, Some("0"), Some(Value::Bool(false)));
        check(ColumnType::Integer(IntegerWidth::I8), false, Some("-3"), Some(Value::Integer(-3)));
        check(ColumnType::Integer(IntegerWidth::I8), false, Some("300"), None);
        check(ColumnType::Float, false, Some("0.1"), Some(Value::Real(f64::from(0.1_f32))));
        check(ColumnType::Double, false, Some("0.1"), Some(Value::Real(0.1)));
        check(ColumnType::Double, true, Some("NULL"), Some(Value::Null));
        check(
            ColumnType::DateTime,
            false,
            Some("'2024-01-02 03:04:05+00:00'"),
            time::parse("2024-01-02T03:04:05Z").map(Value::DateTime),
        );
        check(
            ColumnType::Uuid,
            false,
            Some("'00000000-0000-0000-0000-000000000000'"),
            Some(Value::Uuid(uuid::Uuid::nil())),
        );
    }
}
