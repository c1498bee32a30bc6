//! SQL text with bound values, prepared once per connection.
//!
//! Diesel caches a statement by its text when the query says nothing against it; `sql_query` does. Every
//! statement of this crate whose table is known only at run time goes through [`Statement`].

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{QueryResult, RunQueryDsl};
use sync_core::diesel::TableFilter;
use sync_core::time;
use sync_core::value::{ColumnType, Value};

/// A value to bind. Nulls have a type, because the type is part of the cached statement's key.
#[derive(Clone, Debug)]
pub(crate) enum Bind<'a> {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Bind<'a> {
    /// The null of a column's type.
    pub(crate) const fn null(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Bool | ColumnType::Integer(_) => Self::Integer(None),
            ColumnType::Float | ColumnType::Double => Self::Real(None),
            _ => Self::Text(None),
        }
    }

    /// A column's value in its SQLite form.
    pub(crate) fn value(ty: ColumnType, value: &'a Value) -> Self {
        match value {
            Value::Bool(value) => Self::Integer(Some(i64::from(*value))),
            Value::Integer(value) => Self::Integer(Some(*value)),
            Value::Real(value) => Self::Real(Some(*value)),
            Value::Text(value) => Self::Text(Some(Cow::Borrowed(value))),
            Value::DateTime(value) => {
                let mut text = String::with_capacity(35);
                time::write_sql(&mut text, *value);
                Self::Text(Some(Cow::Owned(text)))
            }
            Value::Uuid(value) => Self::Text(Some(Cow::Owned(value.hyphenated().to_string()))),
            _ => Self::null(ty),
        }
    }

    /// An instant in its SQLite form.
    pub(crate) fn instant(instant: Option<chrono::DateTime<chrono::Utc>>) -> Self {
        Self::Text(instant.map(|instant| {
            let mut text = String::with_capacity(35);
            time::write_sql(&mut text, instant);
            Cow::Owned(text)
        }))
    }

    pub(crate) fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match self {
            Self::Integer(Some(value)) => out.push_bind_param::<BigInt, i64>(value),
            Self::Real(Some(value)) => out.push_bind_param::<Double, f64>(value),
            Self::Text(Some(value)) => out.push_bind_param::<Text, str>(value),
            Self::Integer(None) => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None),
            Self::Real(None) => out.push_bind_param::<Nullable<Double>, Option<f64>>(&None),
            Self::Text(None) => out.push_bind_param::<Nullable<Text>, Option<String>>(&None),
        }
    }
}

impl From<i64> for Bind<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Bind<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'a> From<&'a String> for Bind<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Bind<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl<'a> From<Option<&'a str>> for Bind<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl<'a> From<&'a Option<String>> for Bind<'a> {
    fn from(value: &'a Option<String>) -> Self {
        Self::from(value.as_deref())
    }
}

/// SQL text in which each `?` stands for the next bound value. `ST`: the SQL types of its result columns.
#[derive(Debug)]
pub(crate) struct Statement<'a, ST> {
    text: &'a str,
    binds: &'a [Bind<'a>],
    columns: PhantomData<ST>,
}

/// A statement with result columns.
pub(crate) fn query<'a, ST>(text: &'a str, binds: &'a [Bind<'a>]) -> Statement<'a, ST> {
    Statement { text, binds, columns: PhantomData }
}

/// Runs a statement without result columns; gives the number of changed rows.
pub(crate) fn run(conn: &mut SqliteConnection, text: &str, binds: &[Bind<'_>]) -> QueryResult<usize> {
    query::<()>(text, binds).execute(conn)
}

impl<ST> QueryFragment<Sqlite> for Statement<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for (index, part) in self.text.split('?').enumerate() {
            if index > 0 {
                let bind = binds.next().ok_or_else(|| {
                    diesel::result::Error::QueryBuilderError("fewer values than placeholders".into())
                })?;
                bind.push(&mut out)?;
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

impl<ST> QueryId for Statement<'_, ST> {
    type QueryId = ();
    // Different texts share this type: the cache key is the text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Statement<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<SqliteConnection> for Statement<'_, ST> {}

/// SQL text up to a condition, the condition, and the text behind it; without bound values of its own.
#[derive(Debug)]
pub(crate) struct Filtered<'a, ST> {
    head: &'a str,
    filter: TableFilter<'a>,
    tail: &'a str,
    columns: PhantomData<ST>,
}

/// A statement with result columns and a condition over its table.
pub(crate) fn filtered<'a, ST>(head: &'a str, filter: TableFilter<'a>, tail: &'a str) -> Filtered<'a, ST> {
    Filtered { head, filter, tail, columns: PhantomData }
}

impl<ST> QueryFragment<Sqlite> for Filtered<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.head);
        self.filter.walk_ast(out.reborrow())?;
        out.push_sql(self.tail);
        Ok(())
    }
}

impl<ST> QueryId for Filtered<'_, ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Filtered<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<SqliteConnection> for Filtered<'_, ST> {}

/// Quotes an identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text constant.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
