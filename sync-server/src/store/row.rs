//! A row as it leaves SQLite: one text buffer and small cells, whatever the table.

use std::ops::Range;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, QueryableByName};
use diesel::row::{Field as _, NamedRow};
use diesel::sqlite::{Sqlite, SqliteType};

/// The values of one row, in the order of the statement's columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRow {
    text: String,
    cells: Vec<StoredCell>,
}

#[derive(Clone, Debug, PartialEq)]
enum StoredCell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
}

/// One value in SQLite's form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

impl StoredRow {
    /// The value in column `index` of the statement; null beyond the last.
    pub(crate) fn cell(&self, index: usize) -> Cell<'_> {
        match self.cells.get(index) {
            None | Some(StoredCell::Null) => Cell::Null,
            Some(StoredCell::Integer(value)) => Cell::Integer(*value),
            Some(StoredCell::Real(value)) => Cell::Real(*value),
            Some(StoredCell::Text(range)) => Cell::Text(&self.text[range.clone()]),
        }
    }
}

impl QueryableByName<Sqlite> for StoredRow {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let count = row.field_count();
        let mut stored = Self { text: String::with_capacity(128), cells: Vec::with_capacity(count) };
        for index in 0..count {
            let field = diesel::row::Row::get(row, index).ok_or("a column is missing")?;
            let cell = match field.value() {
                None => StoredCell::Null,
                Some(mut value) => match value.value_type() {
                    Some(SqliteType::Long | SqliteType::Integer | SqliteType::SmallInt) => {
                        StoredCell::Integer(value.read_long())
                    }
                    Some(SqliteType::Double | SqliteType::Float) => StoredCell::Real(value.read_double()),
                    Some(SqliteType::Text) => {
                        let start = stored.text.len();
                        stored.text.push_str(value.read_text());
                        StoredCell::Text(start..stored.text.len())
                    }
                    Some(_) => return Err("a column holds a blob".into()),
                    None => StoredCell::Null,
                },
            };
            stored.cells.push(cell);
        }
        Ok(stored)
    }
}

const TICKS_PER_SECOND: i64 = 10_000_000;

/// Instants are stored as ticks of 100 ns since 1970: one integer comparison for every precision the
/// protocol has. Finer digits are cut off, downwards.
pub(crate) fn to_ticks(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() * TICKS_PER_SECOND
        + i64::from(instant.timestamp_subsec_nanos().min(999_999_999) / 100)
}

/// The instant of a number of ticks; `None` outside the years chrono knows.
pub(crate) fn from_ticks(ticks: i64) -> Option<DateTime<Utc>> {
    let nanos = ticks.rem_euclid(TICKS_PER_SECOND) * 100;
    DateTime::from_timestamp(ticks.div_euclid(TICKS_PER_SECOND), u32::try_from(nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::time;

    #[test]
    fn ticks_round_trip_from_year_1_to_9999() {
        for text in [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.9999999Z",
            "1970-01-01T00:00:00Z",
            "2015-01-02T03:04:05.6789012Z",
            "9999-12-31T23:59:59.9999999Z",
        ] {
            let instant = time::parse(text).expect("a valid instant");
            assert_eq!(from_ticks(to_ticks(instant)), Some(instant), "{text}");
        }
        let finer = time::parse("1969-12-31T23:59:59.999999999Z").expect("a valid instant");
        assert_eq!(to_ticks(finer), -1);
    }
}
