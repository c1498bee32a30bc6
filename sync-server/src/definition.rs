//! Tables from the command line: `TodoItem(text:text, complete:bool, dueAt:datetime?)`.

use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::value::{ColumnType, IntegerWidth};

const TYPES: [(&str, ColumnType); 13] = [
    ("text", ColumnType::Text),
    ("bool", ColumnType::Bool),
    ("i8", ColumnType::Integer(IntegerWidth::I8)),
    ("i16", ColumnType::Integer(IntegerWidth::I16)),
    ("i32", ColumnType::Integer(IntegerWidth::I32)),
    ("i64", ColumnType::Integer(IntegerWidth::I64)),
    ("u8", ColumnType::Integer(IntegerWidth::U8)),
    ("u16", ColumnType::Integer(IntegerWidth::U16)),
    ("u32", ColumnType::Integer(IntegerWidth::U32)),
    ("float", ColumnType::Float),
    ("double", ColumnType::Double),
    ("datetime", ColumnType::DateTime),
    ("uuid", ColumnType::Uuid),
];

/// Reads one definition. The schema lives as long as the program, which reads its arguments once.
pub(crate) fn parse(text: &str) -> Result<&'static TableSchema, String> {
    let (name, columns) = text
        .trim()
        .strip_suffix(')')
        .and_then(|text| text.split_once('('))
        .ok_or("expected 'Name(column:type, ..)'")?;
    let name = name.trim();
    if name.is_empty() {
        return Err("the table has no name".to_owned());
    }
    let columns = columns
        .split(',')
        .map(str::trim)
        .filter(|column| !column.is_empty())
        .map(parse_column)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Box::leak(Box::new(TableSchema {
        name: leak(name),
        columns: Vec::leak(columns),
        versioned: true,
        keep_deleted: true,
    })))
}

fn parse_column(text: &str) -> Result<ColumnSchema, String> {
    let (name, ty) = text.split_once(':').ok_or_else(|| format!("column '{text}' has no type"))?;
    let (name, ty) = (name.trim(), ty.trim());
    let is_word = name.chars().all(|character| character.is_alphanumeric() || character == '_');
    if name.is_empty() || !is_word || name.starts_with(|character: char| character.is_ascii_digit()) {
        return Err(format!("'{name}' is no name of a column: letters, digits and _"));
    }
    let (ty, nullable) = ty.strip_suffix('?').map_or((ty, false), |ty| (ty.trim_end(), true));
    let known = TYPES.iter().find(|(known, _)| *known == ty);
    let (_, ty) = known.ok_or_else(|| {
        let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
        format!("column '{name}' has the unknown type '{ty}'; known are {}", names.join(", "))
    })?;
    Ok(ColumnSchema::new(leak(name), *ty).with_nullable(nullable))
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_becomes_a_schema() {
        let table = parse(" TodoItem(text:text, complete : bool,dueAt:datetime?, n:i64 ?) ").expect("valid");
        assert_eq!(table.name, "TodoItem");
        let columns: Vec<_> = table.columns.iter().map(|c| (c.name, c.ty, c.nullable)).collect();
        assert_eq!(
            columns,
            [
                ("text", ColumnType::Text, false),
                ("complete", ColumnType::Bool, false),
                ("dueAt", ColumnType::DateTime, true),
                ("n", ColumnType::Integer(IntegerWidth::I64), true),
            ]
        );
        assert!(parse("Empty()").expect("valid").columns.is_empty());
    }

    #[test]
    fn a_wrong_definition_says_what_is_wrong() {
        for (text, part) in [
            ("TodoItem", "Name("),
            ("(a:text)", "no name"),
            ("T(a)", "no type"),
            ("T(a:string)", "known are text"),
            ("T(a b:text)", "no name of a column"),
            ("T(1a:text)", "no name of a column"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
