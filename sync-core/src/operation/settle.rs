//! Reading answers against local rows (behaviour F-03 to F-11): pure comparisons and merges.

use crate::entity::{ColumnSchema, MergeRule, TableSchema};
use crate::operation::SentKind;
use crate::row::Row;
use crate::time::floor_to_millis;
use crate::value::{ColumnType, Value};

/// Result of [`merge_answer`].
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The local row after the answer.
    pub row: Row,
    /// Whether the app's edits remain to be sent.
    pub remains: bool,
}

/// Merges the server's answer into a row edited during the flight (F-04): columns that differ between `sent`
/// and `local` keep the local value, all others take the server's where the answer has one. Local-only columns
/// keep the local value; version, change time and unknown members are the answer's where it has them, the
/// deletion mark always.
pub fn merge_answer(table: &TableSchema, sent: &Row, local: &Row, server: &Row) -> Merge {
    let mut row = local.clone();
    let mut remains = false;
    for (index, _) in table.sent_columns() {
        if value(sent, index) != value(local, index) {
            // What the server holds now is its answer, or else what it was sent.
            remains |= value(local, index) != value(server, index).or(value(sent, index));
        } else if let Some(answered) = value(server, index) {
            row.values[index] = Some(answered.clone());
        }
    }
    row.take_system_columns(server);
    Merge { row, remains }
}

/// The versions of a row between which and the newest only acknowledged pushes of this device lie (K-17), with one
/// more; the last few are kept.
pub fn with_version(mut earlier: Vec<String>, version: &str) -> Vec<String> {
    const KEPT: usize = 8;
    earlier.push(version.to_owned());
    let surplus = earlier.len().saturating_sub(KEPT);
    earlier.drain(..surplus);
    earlier
}

/// Whether the server's row holds what was sent (F-10): every column present in `sent` is equal in `server`.
///
/// Values are compared as what they mean: numbers as numbers, `f32` columns as `f32`; instants to the
/// millisecond when one side has no more (servers of v2 cut to three digits); text exactly; a column absent in
/// the server's row counts as null. System columns and local-only columns are not compared.
pub fn is_same_write(table: &TableSchema, sent: &Row, server: &Row) -> bool {
    table.sent_columns().all(|(index, column)| match value(sent, index) {
        None => true,
        Some(sent) => is_same_value(column, sent, value(server, index).unwrap_or(&Value::Null)),
    })
}

/// Whether a column with [`MergeRule::Add`] differs from the base among those present in `changed`: an equal value on
/// the server is then not the same change.
pub fn adds_up(table: &TableSchema, base: &Row, changed: &Row) -> bool {
    table.sent_columns().any(|(index, column)| {
        column.merge == Some(MergeRule::Add)
            && value(changed, index)
                .is_some_and(|changed| changed != value(base, index).unwrap_or(&Value::Null))
    })
}

/// Whether an answer shows no change besides the request (K-17): the columns that were not sent are as in the base.
/// `is_sent`: by position of the column.
pub fn shows_only(table: &TableSchema, is_sent: impl Fn(usize) -> bool, base: &Row, answer: &Row) -> bool {
    table.sent_columns().filter(|(index, _)| !is_sent(*index)).all(|(index, column)| {
        value(answer, index)
            .is_none_or(|answer| is_same_value(column, value(base, index).unwrap_or(&Value::Null), answer))
    })
}

/// Whether the row here is all of the version that the answer names (P-11). A change that no version guarded (K-02) may
/// have met a row that others changed; under the new version, what the answer does not show would never be pulled. A row
/// that was just created is as it was sent.
pub fn is_whole_version(table: &TableSchema, sent: SentKind, answer: &Row) -> bool {
    table.versioned
        || sent == SentKind::Insert
        || table.sent_columns().all(|(index, _)| value(answer, index).is_some())
}

fn value(row: &Row, index: usize) -> Option<&Value> {
    row.values.get(index).and_then(Option::as_ref)
}

pub(crate) fn is_same_value(column: &ColumnSchema, left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Real(left), Value::Real(right)) if column.ty == ColumnType::Float => {
            *left as f32 == *right as f32
        }
        (Value::Integer(integer), Value::Real(real)) | (Value::Real(real), Value::Integer(integer)) => {
            // Through i128, since a rounded i64 could equal a real it is not.
            real.fract() == 0.0 && *real as i128 == i128::from(*integer)
        }
        (Value::DateTime(left), Value::DateTime(right)) => {
            let (left_cut, right_cut) = (floor_to_millis(*left), floor_to_millis(*right));
            left == right || (left_cut == right_cut && (left_cut == *left || right_cut == *right))
        }
        (left, right) => left == right,
    }
}

impl Row {
    /// Takes the server's system columns and unknown members; what `server` does not have stays. The deletion
    /// mark is always taken: a server row without one is live (L-12).
    pub(crate) fn take_system_columns(&mut self, server: &Self) {
        if server.version.is_some() {
            self.version.clone_from(&server.version);
        }
        if server.updated_at.is_some() {
            self.updated_at = server.updated_at;
        }
        if server.extra.is_some() {
            self.extra.clone_from(&server.extra);
        }
        self.deleted = server.deleted;
    }

    /// Takes what `server` has of the sent columns, and its system columns.
    pub(crate) fn overlay(&mut self, table: &TableSchema, server: &Self) {
        for (index, _) in table.sent_columns() {
            if let Some(answered) = value(server, index) {
                self.values[index] = Some(answered.clone());
            }
        }
        self.take_system_columns(server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType, local: bool) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(true).with_local(local)
    }

    static TABLE: TableSchema = TableSchema {
        name: "Settled",
        columns: &[
            column("text", ColumnType::Text, false),
            column("count", ColumnType::Integer(IntegerWidth::I64), false),
            column("single", ColumnType::Float, false),
            column("double", ColumnType::Double, false),
            column("at", ColumnType::DateTime, false),
            column("mine", ColumnType::Text, true),
        ],
        versioned: true,
        keep_deleted: false,
    };

    fn row(values: &[(usize, Value)]) -> Row {
        let mut row = Row::empty(&TABLE, "a");
        for (index, value) in values {
            row.values[*index] = Some(value.clone());
        }
        row
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn at(text: &str) -> Value {
        Value::DateTime(time::parse(text).expect("a valid instant"))
    }

    #[test]
    fn f_10_values_are_compared_by_meaning() {
        let check = |index: usize, sent: Value, server: Value, same: bool| {
            assert_eq!(
                is_same_write(&TABLE, &row(&[(index, sent.clone())]), &row(&[(index, server.clone())])),
                same,
                "{sent:?} and {server:?}"
            );
        };
        check(0, text("milk"), text("milk"), true);
        check(0, text("milk"), text("Milk"), false);
        check(0, text("milk"), text("milk "), false);
        check(0, text(""), Value::Null, false);
        check(1, Value::Integer(3), Value::Real(3.0), true);
        check(1, Value::Integer(3), Value::Real(3.5), false);
        check(1, Value::Integer(i64::MAX), Value::Real(i64::MAX as f64), false);
        check(2, Value::Real(f64::from(0.1_f32)), Value::Real(0.1), true);
        check(2, Value::Real(f64::from(0.1_f32)), Value::Real(0.2), false);
        check(3, Value::Real(f64::from(0.1_f32)), Value::Real(0.1), false);
        check(3, Value::Real(0.0), Value::Real(-0.0), true);
        check(4, at("2024-01-02T03:04:05.123456Z"), at("2024-01-02T03:04:05.123Z"), true);
        check(4, at("2024-01-02T03:04:05.123Z"), at("2024-01-02T03:04:05.123999Z"), true);
        check(4, at("2024-01-02T03:04:05.123456Z"), at("2024-01-02T03:04:05.123457Z"), false);
        check(4, at("2024-01-02T03:04:05.123456Z"), at("2024-01-02T03:04:05.124Z"), false);
        check(4, at("2024-01-02T05:04:05.5+02:00"), at("2024-01-02T03:04:05.500Z"), true);
    }

    #[test]
    fn f_10_only_sent_columns_count_and_absent_is_null() {
        let server = row(&[(0, text("milk")), (1, Value::Integer(1))]);
        assert!(is_same_write(&TABLE, &row(&[(0, text("milk"))]), &server));
        assert!(is_same_write(&TABLE, &row(&[(3, Value::Null)]), &server));
        assert!(!is_same_write(&TABLE, &row(&[(3, Value::Real(1.0))]), &server));
        assert!(is_same_write(&TABLE, &row(&[(5, text("only here"))]), &server), "a local-only column");
        assert!(is_same_write(&TABLE, &row(&[]), &server));
    }

    #[test]
    fn f_04_own_edits_stay_and_the_rest_is_the_servers() {
        let sent = row(&[(0, text("sent")), (1, Value::Integer(1)), (3, Value::Real(1.0)), (5, text("old"))]);
        let local =
            row(&[(0, text("edited")), (1, Value::Integer(1)), (3, Value::Real(1.0)), (5, text("new"))]);
        let mut server = row(&[(0, text("servers")), (1, Value::Integer(2)), (5, text("never"))]);
        server.version = Some("v2".to_owned());
        server.extra = Some("{\"more\":1}".to_owned());
        let merge = merge_answer(&TABLE, &sent, &local, &server);
        assert!(merge.remains);
        assert_eq!(merge.row.values[0], Some(text("edited")));
        assert_eq!(merge.row.values[1], Some(Value::Integer(2)));
        assert_eq!(merge.row.values[3], Some(Value::Real(1.0)), "absent in the answer");
        assert_eq!(merge.row.values[5], Some(text("new")), "local-only");
        assert_eq!(merge.row.version.as_deref(), Some("v2"));
        assert_eq!(merge.row.extra.as_deref(), Some("{\"more\":1}"));
    }

    #[test]
    fn f_04_nothing_remains_when_the_server_already_holds_the_edits() {
        let sent = row(&[(0, text("sent")), (1, Value::Integer(1))]);
        let edited = row(&[(0, text("edited")), (1, Value::Integer(1))]);
        assert!(!merge_answer(&TABLE, &sent, &edited, &edited).remains);
        assert!(merge_answer(&TABLE, &sent, &edited, &row(&[])).remains);
        // The edit was undone during the flight: the row follows the server.
        let merge = merge_answer(&TABLE, &sent, &sent, &row(&[(0, text("servers"))]));
        assert!(!merge.remains);
        assert_eq!(merge.row.values[0], Some(text("servers")));
    }
}
