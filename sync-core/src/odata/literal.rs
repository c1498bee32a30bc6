//! Constants as OData text, and back.
//!
//! This is the only place where a value becomes text of a request, so the only place where escaping matters:
//! quotes are doubled, nothing else has a meaning inside a string.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};
use crate::odata::Form;
use crate::predicate::{Kind, Node};
use crate::protocol::Dialect;
use crate::time;
use crate::value::{ColumnType, IntegerWidth, Value};

/// What stands on the other side of a comparison or operator with a constant, as far as its text depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    column: Option<ColumnType>,
    form: Form,
}

impl Beside {
    /// The constant is an argument.
    pub(super) const NOTHING: Self = Self { column: None, form: Form::Instant };

    /// The constant stands beside this node.
    pub(super) fn node(other: &Node) -> Self {
        let column = match other {
            Node::Column(column) => Some(column.ty),
            _ => None,
        };
        Self { column, form: Form::of(other) }
    }
}

/// Appends a constant.
///
/// The column beside it decides what the text alone cannot tell: whether an integer has 64 bits (`L`) and whether a
/// number is an `f32` (`f`, in the shortest text that reads back as the same `f32`, which is also what a row
/// carries).
///
/// Instants are written as the clients of each generation write them: v1 with seven digits and an offset, v2 with
/// the digits the instant has, at least three, v3 as a cast. Uuids are text but in v3, where they are a cast too
/// (protocol.md 10.4, R22). Beside a day or a time of day it is one of these in v3.
///
/// # Errors
///
/// [`ErrorKind::InvalidValue`] for NaN, infinities, instants outside the years 0001 to 9999, and instants that are no
/// day or time of day where one is wanted.
pub(super) fn write(out: &mut String, value: &Value, beside: Beside, dialect: Dialect) -> Result<()> {
    let Beside { column, form } = beside;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => {
            let wide = matches!(column, Some(ColumnType::Integer(IntegerWidth::I64 | IntegerWidth::U32)))
                || i32::try_from(*value).is_err();
            // Writing to a String cannot fail.
            let _ = write!(out, "{value}{}", if wide { "L" } else { "" });
        }
        Value::Real(value) if !value.is_finite() => {
            return Err(Error::new(ErrorKind::InvalidValue, "NaN and infinity cannot be sent in a filter"));
        }
        Value::Real(value) => write_real(out, *value, column == Some(ColumnType::Float)),
        Value::Text(value) => write_quoted(out, value),
        Value::DateTime(value) => {
            if !time::is_storable(*value) {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    "an instant outside the years 0001 to 9999 cannot be sent in a filter",
                ));
            }
            match dialect {
                Dialect::MobileServices => {
                    out.push_str("datetimeoffset'");
                    write_seven_digits(out, *value);
                    out.push('\'');
                }
                Dialect::MobileApps => {
                    out.push_str("datetimeoffset'");
                    time::write_wire(out, *value);
                    out.push('\'');
                }
                Dialect::Datasync => write_cast(out, *value, form)?,
            }
        }
        Value::Uuid(value) if dialect == Dialect::Datasync => {
            let _ = write!(out, "cast({},Edm.Guid)", value.as_hyphenated());
        }
        Value::Uuid(value) => {
            let _ = write!(out, "'{}'", value.as_hyphenated());
        }
    }
    Ok(())
}

/// The cast of OData 4: of an instant, a day, or a time of day.
fn write_cast(out: &mut String, instant: DateTime<Utc>, form: Form) -> Result<()> {
    let mut text = String::with_capacity(36);
    time::write_wire(&mut text, instant);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    let (literal, ty) = match form {
        Form::Instant => (text.as_str(), "DateTimeOffset"),
        Form::Day if time == "00:00:00.000Z" => (day, "Date"),
        Form::TimeOfDay if day == "1970-01-01" => (time.trim_end_matches('Z'), "TimeOfDay"),
        Form::Day | Form::TimeOfDay => {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                "a day or a time of day cannot be compared with another instant in a filter",
            ));
        }
    };
    let _ = write!(out, "cast({literal},Edm.{ty})");
    Ok(())
}

/// The round-trip form of the first clients: `1970-01-01T00:00:00.0000000+00:00`, nine digits where seven would
/// lose some.
fn write_seven_digits(out: &mut String, instant: DateTime<Utc>) {
    let mut text = String::with_capacity(36);
    time::write_wire(&mut text, instant);
    let text = text.trim_end_matches('Z');
    let digits = text.len() - text.find('.').map_or(text.len(), |point| point + 1);
    out.push_str(text);
    for _ in digits..7 {
        out.push('0');
    }
    out.push_str("+00:00");
}

fn write_real(out: &mut String, value: f64, beside_float: bool) {
    let single = value as f32;
    let suffix = match (beside_float, f64::from(single) == value) {
        (true, true) => {
            // `{:?}` is the shortest text that reads back equal; it always has a point or an exponent.
            let _ = write!(out, "{single:?}");
            "f"
        }
        (true, false) => {
            let _ = write!(out, "{value:?}");
            "d"
        }
        (false, _) => {
            let _ = write!(out, "{value:?}");
            ""
        }
    };
    out.push_str(suffix);
}

fn write_quoted(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('\'');
    for piece in text.split_inclusive('\'') {
        out.push_str(piece);
        if piece.ends_with('\'') {
            out.push('\'');
        }
    }
    out.push('\'');
}

/// A constant as read, with what its spelling says about its type.
#[derive(Debug)]
pub(super) enum Spelled {
    /// A value whose type is certain.
    Value(Value),
    /// A number with a point or an exponent and without a suffix: the `f32` beside an `f32` column.
    Plain(f64),
    /// A time of day, as an instant of 1970-01-01.
    Time(Value),
}

/// Reads a number: digits, point, exponent and suffix as one text without sign. `None` when it is not a number
/// or an integer outside of 64 bits.
pub(super) fn parse_number(text: &str, negative: bool) -> Option<Spelled> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    let sign = if negative { "-" } else { "" };
    let real = |text: &str| format!("{sign}{text}").parse::<f64>().ok().filter(|value| value.is_finite());
    let is_real = digits.contains(['.', 'e', 'E']);
    Some(match suffix {
        "" | "m" | "M" if is_real => Spelled::Plain(real(digits)?),
        "" | "m" | "M" => Spelled::Value(Value::Integer(format!("{sign}{digits}").parse().ok()?)),
        "l" | "L" if !is_real => Spelled::Value(Value::Integer(format!("{sign}{digits}").parse().ok()?)),
        "f" | "F" => {
            let single = format!("{sign}{digits}").parse::<f32>().ok().filter(|value| value.is_finite())?;
            Spelled::Value(Value::Real(f64::from(single)))
        }
        "d" | "D" => Spelled::Value(Value::Real(real(digits)?)),
        _ => return None,
    })
}

/// Reads the text of an instant; a date alone is its midnight in UTC.
pub(super) fn parse_instant(text: &str) -> Option<Value> {
    let instant =
        if text.len() == 10 { time::parse(&format!("{text}T00:00:00Z")) } else { time::parse(text) };
    instant.map(Value::DateTime)
}

/// Reads the text of a time of day, as an instant of 1970-01-01.
pub(super) fn parse_time(text: &str) -> Option<Value> {
    let seconds = if text.len() == 5 { ":00" } else { "" };
    time::parse(&format!("1970-01-01T{text}{seconds}Z")).map(Value::DateTime)
}

/// Makes a text or number constant the type of the column it is compared with, where that loses nothing.
///
/// `None` when text does not name a value of a uuid or date column. Whether the kinds then fit is for the
/// caller to check.
pub(super) fn fit(spelled: Spelled, column: Option<ColumnType>) -> Option<Value> {
    Some(match (spelled, column) {
        (Spelled::Plain(value), Some(ColumnType::Float)) => {
            let single = value as f32;
            Value::Real(if single.is_finite() { f64::from(single) } else { value })
        }
        (Spelled::Plain(value), _) => Value::Real(value),
        (Spelled::Time(value), _) => value,
        (Spelled::Value(Value::Text(text)), Some(ColumnType::Uuid)) => {
            Value::Uuid(uuid::Uuid::try_parse(&text).ok()?)
        }
        (Spelled::Value(Value::Text(text)), Some(ColumnType::DateTime)) => parse_instant(&text)?,
        (Spelled::Value(value), _) => value,
    })
}

impl Spelled {
    /// The kind of the constant as spelled, before it is fitted to a column.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Value(value) => Kind::of_value(value),
            Self::Plain(_) => Kind::Number,
            Self::Time(_) => Kind::DateTime,
        }
    }
}
