//! Constants as bound values, in the form in which columns store them.

use chrono::{DateTime, Datelike, Utc};
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Bool, Double, SqlType, Text};
use diesel::sqlite::Sqlite;
use uuid::Uuid;

use crate::time;
use crate::value::Value;

/// Pushes a constant.
pub(super) fn literal<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    match value {
        Value::Null => {
            out.push_sql("NULL");
            Ok(())
        }
        Value::Bool(value) => out.push_bind_param::<Bool, _>(value),
        Value::Integer(value) => out.push_bind_param::<BigInt, _>(value),
        Value::Real(value) => out.push_bind_param::<Double, _>(value),
        Value::Text(value) => text(value, out),
        Value::DateTime(value) => out.push_bind_param::<StoredInstant, _>(value),
        Value::Uuid(value) => out.push_bind_param::<StoredUuid, _>(value),
    }
}

/// Pushes text.
pub(super) fn text<'b>(value: &'b str, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    out.push_bind_param::<Text, _>(value)
}

/// Pushes the least text above every text with this prefix; see [`has_end`].
pub(super) fn end_of_prefix<'b>(prefix: &'b String, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    out.push_bind_param::<EndOfPrefix, _>(prefix)
}

/// Whether some text is above every text with this prefix: not for an empty one, nor for one of nothing but the
/// last code point.
pub(super) fn has_end(prefix: &str) -> bool {
    prefix.chars().any(|character| character != char::MAX)
}

// Diesel chooses the conversion of a value by its SQL type. These are SQLite's TEXT each, with a conversion of
// their own, so that what is bound can be computed from a value borrowed from the tree.

#[derive(Debug, SqlType)]
#[diesel(sqlite_type(name = "Text"))]
struct StoredInstant;

#[derive(Debug, SqlType)]
#[diesel(sqlite_type(name = "Text"))]
struct StoredUuid;

#[derive(Debug, SqlType)]
#[diesel(sqlite_type(name = "Text"))]
struct EndOfPrefix;

impl ToSql<StoredInstant, Sqlite> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if time::is_storable(*self) {
            let mut text = String::with_capacity(35);
            time::write_sql(&mut text, *self);
            out.set_value(text);
        } else {
            // No column holds such an instant. These texts sort before and after all that columns hold.
            out.set_value(if self.year() < 1 { "" } else { "~" });
        }
        Ok(IsNull::No)
    }
}

impl ToSql<StoredUuid, Sqlite> for Uuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.as_hyphenated().to_string());
        Ok(IsNull::No)
    }
}

impl ToSql<EndOfPrefix, Sqlite> for String {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let mut end = self.trim_end_matches(char::MAX).to_owned();
        if let Some(last) = end.pop() {
            // The step over the surrogates, which no text holds.
            let next =
                if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
            end.extend(next);
        }
        out.set_value(end);
        Ok(IsNull::No)
    }
}
