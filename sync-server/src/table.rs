//! A served table: what the schema says, checked once when the server opens.

use chrono::DateTime;
use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::time;
use sync_core::value::{ColumnType, Value};
use uuid::Uuid;

use crate::access::CheckedRules;
use crate::error::ServerError;

/// A table the server keeps.
#[derive(Debug)]
pub(crate) struct Table {
    /// The schema, as the filter parser needs it.
    pub(crate) schema: &'static TableSchema,
    /// The columns that travel; local-only columns of a client do not exist on a server.
    pub(crate) columns: Vec<&'static ColumnSchema>,
    /// The value of each column when an insert leaves it out.
    pub(crate) defaults: Vec<Value>,
    /// Whether deleted rows stay, marked.
    pub(crate) soft_delete: bool,
    /// Who may do what; open to everyone unless the builder says otherwise.
    pub(crate) rules: CheckedRules,
}

/// A property of a row: a system property or one of the table's [`columns`](Table::columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    CreatedAt,
    UpdatedAt,
    Version,
    Deleted,
    Column(usize),
}

impl Table {
    /// # Errors
    ///
    /// A name that cannot be a table here, two columns of one name, or a default that is no plain literal.
    pub(crate) fn new(schema: &'static TableSchema, soft_delete: bool) -> Result<Self, ServerError> {
        let name = schema.name;
        if name.is_empty() || name.starts_with("__") || name.to_ascii_lowercase().starts_with("sqlite_") {
            return Err(ServerError::configuration(format!("{name:?} cannot be the name of a table")));
        }
        let columns: Vec<_> = schema.sent_columns().map(|(_, column)| column).collect();
        for (index, column) in columns.iter().enumerate() {
            if column.name.eq_ignore_ascii_case("id") || column.name.starts_with("__") {
                return Err(ServerError::configuration(format!(
                    "column {} of table {name} is named like a system property",
                    column.name
                )));
            }
            if columns[..index].iter().any(|other| other.name.eq_ignore_ascii_case(column.name)) {
                return Err(ServerError::configuration(format!(
                    "table {name} has two columns named {}",
                    column.name
                )));
            }
        }
        let defaults = columns
            .iter()
            .map(|column| {
                default_value(column).ok_or_else(|| {
                    ServerError::configuration(format!(
                        "the default of column {} of table {name} is no plain literal of its type",
                        column.name
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, defaults, soft_delete, rules: CheckedRules::default() })
    }

    /// Every property of a row, system properties first.
    pub(crate) fn fields(&self) -> Vec<Field> {
        [Field::Id, Field::CreatedAt, Field::UpdatedAt, Field::Version, Field::Deleted]
            .into_iter()
            .chain((0..self.columns.len()).map(Field::Column))
            .collect()
    }

    /// The type of a property.
    pub(crate) fn field_type(&self, field: Field) -> ColumnType {
        match field {
            Field::Id | Field::Version => ColumnType::Text,
            Field::CreatedAt | Field::UpdatedAt => ColumnType::DateTime,
            Field::Deleted => ColumnType::Bool,
            Field::Column(index) => self.columns[index].ty,
        }
    }
}

/// What an insert without the member stores: the declared default, else null, else the type's zero (as .NET
/// clients, which leave out members with such values, expect).
fn default_value(column: &ColumnSchema) -> Option<Value> {
    let Some(literal) = column.default else {
        return Some(if column.nullable { Value::Null } else { zero(column.ty)? });
    };
    let literal = literal.trim();
    if literal.eq_ignore_ascii_case("null") {
        return column.nullable.then_some(Value::Null);
    }
    let quoted = || {
        let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        (!inner.replace("''", "").contains('\'')).then(|| inner.replace("''", "'"))
    };
    Some(match column.ty {
        ColumnType::Text => Value::Text(quoted()?),
        ColumnType::Bool => match literal.to_ascii_lowercase().as_str() {
            "0" | "false" => Value::Bool(false),
            "1" | "true" => Value::Bool(true),
            _ => return None,
        },
        ColumnType::Integer(width) => {
            Value::Integer(literal.parse().ok().filter(|number| width.contains(*number))?)
        }
        ColumnType::Float | ColumnType::Double => {
            Value::Real(literal.parse().ok().filter(|number: &f64| number.is_finite())?)
        }
        ColumnType::DateTime => Value::DateTime(time::parse(&quoted()?)?),
        ColumnType::Uuid => Value::Uuid(Uuid::parse_str(&quoted()?).ok()?),
        _ => return None,
    })
}

fn zero(ty: ColumnType) -> Option<Value> {
    Some(match ty {
        ColumnType::Text => Value::Text(String::new()),
        ColumnType::Bool => Value::Bool(false),
        ColumnType::Integer(_) => Value::Integer(0),
        ColumnType::Float | ColumnType::Double => Value::Real(0.0),
        // The zero of .NET's DateTime: 0001-01-01.
        ColumnType::DateTime => Value::DateTime(DateTime::from_timestamp(-62_135_596_800, 0)?),
        ColumnType::Uuid => Value::Uuid(Uuid::nil()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::value::IntegerWidth;

    fn check(ty: ColumnType, nullable: bool, default: Option<&'static str>, expected: Option<Value>) {
        let column = ColumnSchema::new("c", ty).with_nullable(nullable).with_default(default);
        assert_eq!(default_value(&column), expected, "{ty:?} {default:?}");
    }

    #[test]
    fn a_missing_member_is_the_default_or_null_or_the_types_zero() {
        check(ColumnType::Text, true, None, Some(Value::Null));
        check(ColumnType::Text, false, None, Some(Value::Text(String::new())));
        check(ColumnType::Text, false, Some("'it''s'"), Some(Value::Text("it's".into())));
        check(ColumnType::Text, false, Some("'it's'"), None);
        check(ColumnType::Text, false, Some("hex(randomblob(4))"), None);
        check(ColumnType::Bool, false, Some("TRUE"), Some(Value::Bool(true)));
        check(ColumnType::Integer(IntegerWidth::I8), false, Some("-3"), Some(Value::Integer(-3)));
        check(ColumnType::Integer(IntegerWidth::I8), false, Some("300"), None);
        check(ColumnType::Double, true, Some("NULL"), Some(Value::Null));
        check(ColumnType::Double, false, Some("NULL"), None);
        check(
            ColumnType::DateTime,
            false,
            None,
            Some(Value::DateTime(time::parse("0001-01-01T00:00:00Z").expect("a valid instant"))),
        );
    }
}
