//! What may be stored by a local write: ids and values that can be sent to a server.
//!
//! Pure checks, shared by every store, so that an operation that no server could accept is never queued
//! (behaviour D-03, D-05, V-03, V-04).

use crate::entity::{ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::OperationKind;
use crate::row::Row;
use crate::store::Resolution;
use crate::time;
use crate::value::{ColumnType, Value};

/// Greatest length of an id in UTF-16 units, as the servers' key columns count.
pub const MAX_ID_UNITS: usize = 255;

/// Checks that `id` can be the id of a synced row.
///
/// # Errors
///
/// [`ErrorKind::InvalidId`] when it is empty, `.` or `..`, longer than [`MAX_ID_UNITS`], or holds a control
/// character (U+0000 to U+001F, U+007F to U+009F) or one of `"` `+` `?` `\` `/` and the backtick.
pub fn check_id(table: &TableSchema, id: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::InvalidId, why)
            .with_table(table.name)
            .with_item(id.escape_debug().to_string()))
    };
    if id.is_empty() {
        return Err(Error::new(ErrorKind::InvalidId, "the id is empty").with_table(table.name));
    }
    if id == "." || id == ".." {
        return refuse("the id is a path segment with a meaning of its own");
    }
    if id.encode_utf16().count() > MAX_ID_UNITS {
        return refuse("the id is longer than 255 UTF-16 units");
    }
    if id.chars().any(|character| character.is_control() || "\"+?\\/`".contains(character)) {
        return refuse("the id holds a character that servers refuse");
    }
    Ok(())
}

/// Checks the id and every present value of a row. Absent values and system columns are not looked at.
///
/// # Errors
///
/// As [`check_id`]; [`ErrorKind::InvalidValue`] when a value is of another type than its column, null in a
/// column that is not nullable, NaN or infinite (for an `f32` column also: beyond the range of `f32`), an
/// integer outside its column's range, or an instant outside the years 0001 to 9999; also when the row has
/// another number of values than the table has columns.
pub fn check_row(table: &TableSchema, row: &Row) -> Result<()> {
    check_id(table, &row.id)?;
    if row.values.len() != table.columns.len() {
        return Err(Error::new(ErrorKind::InvalidValue, "the row has not one place for each column")
            .with_table(table.name)
            .with_item(&row.id));
    }
    for (column, value) in table.columns.iter().zip(&row.values) {
        if let Some(fault) = value.as_ref().and_then(|value| fault(column, value)) {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("the value of column {} {fault}", column.name),
            )
            .with_table(table.name)
            .with_item(&row.id));
        }
    }
    Ok(())
}

fn fault(column: &ColumnSchema, value: &Value) -> Option<&'static str> {
    match (column.ty, value) {
        (_, Value::Null) => (!column.nullable).then_some("must not be null"),
        (ColumnType::Bool, Value::Bool(_))
        | (ColumnType::Text, Value::Text(_))
        | (ColumnType::Uuid, Value::Uuid(_)) => None,
        (ColumnType::Integer(width), Value::Integer(number)) => {
            (!width.contains(*number)).then_some("is outside the range of its type")
        }
        (ColumnType::Float, Value::Real(number)) => {
            (!(*number as f32).is_finite()).then_some("is not a finite number of its type")
        }
        (ColumnType::Double, Value::Real(number)) => {
            (!number.is_finite()).then_some("is not a finite number")
        }
        (ColumnType::DateTime, Value::DateTime(instant)) => {
            (!time::is_storable(*instant)).then_some("is outside the years 0001 to 9999")
        }
        _ => Some("is not of the column's type"),
    }
}

/// Checks what a resolution would store in the row `item_id`, whose operation has this kind.
///
/// # Errors
///
/// As [`check_row`]; [`ErrorKind::InvalidArgument`] when its row is another row, when columns are to be merged into a
/// row that is deleted here, when a queued delete is to become another kind without a row, or a delete is given one.
pub fn check_resolution(
    table: &TableSchema,
    kind: OperationKind,
    item_id: &str,
    resolution: &Resolution,
) -> Result<()> {
    let argument = |why: &str| {
        Err(Error::new(ErrorKind::InvalidArgument, why).with_table(table.name).with_item(item_id))
    };
    let row = match resolution {
        Resolution::KeepLocal
        | Resolution::TakeRemote
        | Resolution::Leave
        | Resolution::Park
        | Resolution::Unpark => None,
        Resolution::Merge(_) if kind == OperationKind::Delete => {
            return argument("a queued delete has no row to merge into");
        }
        Resolution::Merge(row) | Resolution::Store(row) => Some(row),
        Resolution::ChangeKind { kind: OperationKind::Delete, item: Some(_), .. } => {
            return argument("a delete sends no row");
        }
        Resolution::ChangeKind { kind: wanted, item: None, .. }
            if kind == OperationKind::Delete && *wanted != OperationKind::Delete =>
        {
            return argument("a queued delete needs a row to become another kind of operation");
        }
        Resolution::ChangeKind { item, .. } => item.as_ref(),
    };
    match row {
        Some(row) if row.id != item_id => argument("the row of the resolution is another row"),
        Some(row) => check_row(table, row),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType, nullable: bool) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(nullable)
    }

    static TABLE: TableSchema = TableSchema {
        name: "Checked",
        columns: &[
            column("flag", ColumnType::Bool, false),
            column("small", ColumnType::Integer(IntegerWidth::I8), true),
            column("single", ColumnType::Float, true),
            column("double", ColumnType::Double, true),
            column("at", ColumnType::DateTime, true),
        ],
        versioned: true,
        keep_deleted: false,
    };

    #[test]
    fn d_03_d_05_ids() {
        let long = "x".repeat(256);
        let wide = "\u{1F600}".repeat(128);
        for id in [
            "", ".", "..", "a\u{0}", "a\u{1f}b", "\u{7f}", "\u{9f}", "a\"b", "a+b", "a?b", "a\\b", "a/b",
            "a`b", &long, &wide,
        ] {
            let error = check_id(&TABLE, id).expect_err(id);
            assert_eq!(error.kind(), ErrorKind::InvalidId, "{id:?}");
        }
        let longest = "x".repeat(255);
        for id in ["a", "...", "it's", "a b%#&=:;<>*@", "é\u{1F600}\u{a0}", &longest] {
            check_id(&TABLE, id).expect(id);
        }
    }

    #[test]
    fn v_04_values() {
        let place = |index: usize, value: Value| {
            let mut row = Row::empty(&TABLE, "a");
            row.values[index] = Some(value);
            check_row(&TABLE, &row)
        };
        for (index, value) in [
            (0, Value::Null),
            (0, Value::Integer(1)),
            (1, Value::Integer(128)),
            (1, Value::Integer(-129)),
            (2, Value::Real(1e300)),
            (2, Value::Real(f64::NAN)),
            (3, Value::Real(f64::INFINITY)),
            (3, Value::Text("1".into())),
            (4, Value::DateTime(chrono::DateTime::<chrono::Utc>::MAX_UTC)),
        ] {
            let error = place(index, value.clone()).expect_err("a refused value");
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{value:?}");
        }
        for (index, value) in [
            (0, Value::Bool(true)),
            (1, Value::Integer(-128)),
            (1, Value::Null),
            (2, Value::Real(0.5)),
            (3, Value::Real(-1e300)),
        ] {
            place(index, value).expect("an accepted value");
        }
        let mut short = Row::empty(&TABLE, "a");
        short.values.pop();
        assert_eq!(check_row(&TABLE, &short).expect_err("too few values").kind(), ErrorKind::InvalidValue);
    }
}
