//! Values of columns: what a row holds between the database, the wire and a predicate.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The type of a column: decides its SQLite form, its JSON form and its OData literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// SQLite TEXT, JSON string.
    Text,
    /// SQLite INTEGER 0 or 1, JSON `true` or `false`.
    Bool,
    /// SQLite INTEGER, JSON number, within the width's range.
    Integer(IntegerWidth),
    /// `f32`: SQLite REAL, JSON number in the shortest text that reads back as the same `f32`.
    Float,
    /// `f64`: SQLite REAL, JSON number in the shortest text that reads back equal.
    Double,
    /// An instant in UTC: SQLite TEXT in the form of [`crate::time::write_sql`], JSON ISO 8601.
    DateTime,
    /// SQLite TEXT and JSON string, lower case with hyphens.
    Uuid,
}

/// The Rust integer type behind an integer column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the Rust type of its name")]
pub enum IntegerWidth {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
}

impl IntegerWidth {
    /// Smallest and greatest value of the type.
    pub const fn range(self) -> (i64, i64) {
        match self {
            Self::I8 => (i8::MIN as i64, i8::MAX as i64),
            Self::I16 => (i16::MIN as i64, i16::MAX as i64),
            Self::I32 => (i32::MIN as i64, i32::MAX as i64),
            Self::I64 => (i64::MIN, i64::MAX),
            Self::U8 => (0, u8::MAX as i64),
            Self::U16 => (0, u16::MAX as i64),
            Self::U32 => (0, u32::MAX as i64),
        }
    }

    /// Whether `value` fits the type.
    pub const fn contains(self, value: i64) -> bool {
        let (min, max) = self.range();
        min <= value && value <= max
    }
}

/// One value of a row, owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL, JSON null, `None`.
    Null,
    /// See [`ColumnType::Bool`].
    Bool(bool),
    /// Any integer column.
    Integer(i64),
    /// A [`ColumnType::Float`] or [`ColumnType::Double`] column; never NaN or infinite in a stored row.
    Real(f64),
    /// See [`ColumnType::Text`].
    Text(String),
    /// See [`ColumnType::DateTime`].
    DateTime(DateTime<Utc>),
    /// See [`ColumnType::Uuid`].
    Uuid(Uuid),
}

/// One value of a row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants of `Value`")]
pub enum ValueRef<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(&'a str),
    DateTime(DateTime<Utc>),
    Uuid(Uuid),
}

impl Value {
    /// Borrows the value.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value),
            Self::DateTime(value) => ValueRef::DateTime(*value),
            Self::Uuid(value) => ValueRef::Uuid(*value),
        }
    }
}

impl ValueRef<'_> {
    /// Copies the value.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(value) => Value::Integer(value),
            Self::Real(value) => Value::Real(value),
            Self::Text(value) => Value::Text(value.to_owned()),
            Self::DateTime(value) => Value::DateTime(value),
            Self::Uuid(value) => Value::Uuid(value),
        }
    }
}

/// A Rust type that can be the type of a column.
///
/// Implemented for `String`, `bool`, `i8` to `i64`, `u8` to `u32`, `f32`, `f64`, `DateTime<Utc>` and `Uuid`;
/// the derive uses the same impls for `Option` of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a column of a synced entity",
    note = "use String, bool, i8..i64, u8..u32, f32, f64, DateTime<Utc>, Uuid, or an Option of one of these"
)]
pub trait ColumnValue: Sized {
    /// The type of the column.
    const TYPE: ColumnType;

    /// The value as stored.
    fn to_value(&self) -> Value;

    /// Reads a value that is not null; `None` when its type or range does not fit.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! column_value {
    ($($rust:ty, $ty:expr, $variant:ident, |$this:ident| $to:expr, |$value:ident| $from:expr;)*) => {$(
        impl ColumnValue for $rust {
            const TYPE: ColumnType = $ty;
            fn to_value(&self) -> Value {
                let $this = self;
                Value::$variant($to)
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant($value) => $from,
                    _ => None,
                }
            }
        }
    )*};
}

column_value! {
    String, ColumnType::Text, Text, |this| this.clone(), |value| Some(value.clone());
    bool, ColumnType::Bool, Bool, |this| *this, |value| Some(*value);
    i8, ColumnType::Integer(IntegerWidth::I8), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    i16, ColumnType::Integer(IntegerWidth::I16), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    i32, ColumnType::Integer(IntegerWidth::I32), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    i64, ColumnType::Integer(IntegerWidth::I64), Integer, |this| *this, |value| Some(*value);
    u8, ColumnType::Integer(IntegerWidth::U8), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    u16, ColumnType::Integer(IntegerWidth::U16), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    u32, ColumnType::Integer(IntegerWidth::U32), Integer, |this| i64::from(*this), |value| (*value).try_into().ok();
    f32, ColumnType::Float, Real, |this| f64::from(*this), |value| Some(*value as f32);
    f64, ColumnType::Double, Real, |this| *this, |value| Some(*value);
    DateTime<Utc>, ColumnType::DateTime, DateTime, |this| *this, |value| Some(*value);
    Uuid, ColumnType::Uuid, Uuid, |this| *this, |value| Some(*value);
}
