//! SQL text with bound values, as a Diesel query, for tables known only at run time.

use diesel::RunQueryDsl;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double, Nullable, Text, Untyped};
use diesel::sqlite::{Sqlite, SqliteConnection};
use sync_core::value::Value;

use super::row::to_ticks;

/// A statement under construction. Values are always bound; names are always quoted.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    sql: String,
    binds: Vec<(usize, Bind)>,
    /// Whether the text comes from a request, so that keeping it prepared would fill the cache without end.
    one_off: bool,
}

/// A bound value in SQLite's form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

impl Statement {
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    pub(crate) fn one_off(&mut self) {
        self.one_off = true;
    }

    /// Asks how the statement would be run, instead of running it.
    #[cfg(test)]
    pub(crate) fn explained(&mut self) {
        const ASK: &str = "EXPLAIN QUERY PLAN ";
        self.sql.insert_str(0, ASK);
        self.binds.iter_mut().for_each(|(position, _)| *position += ASK.len());
    }

    pub(crate) fn sql(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// A quoted name.
    pub(crate) fn name(&mut self, name: &str) {
        self.sql.push_str(&quote(name));
    }

    pub(crate) fn bind(&mut self, value: Bind) {
        self.binds.push((self.sql.len(), value));
    }
}

/// A name as an SQL identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl From<&Value> for Bind {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Integer(i64::from(*value)),
            Value::Integer(value) => Self::Integer(*value),
            Value::Real(value) => Self::Real(*value),
            Value::Text(value) => Self::Text(value.clone()),
            Value::DateTime(value) => Self::Integer(to_ticks(*value)),
            Value::Uuid(value) => Self::Text(value.hyphenated().to_string()),
            _ => Self::Null,
        }
    }
}

impl QueryFragment<Sqlite> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if self.one_off {
            out.unsafe_to_cache_prepared();
        }
        let mut written = 0;
        for (position, bind) in &self.binds {
            out.push_sql(&self.sql[written..*position]);
            written = *position;
            match bind {
                // Bound like any other value, so that the text of a statement does not depend on its values.
                Bind::Null => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None)?,
                Bind::Integer(value) => out.push_bind_param::<BigInt, i64>(value)?,
                Bind::Real(value) => out.push_bind_param::<Double, f64>(value)?,
                Bind::Text(value) => out.push_bind_param::<Text, str>(value)?,
            }
        }
        out.push_sql(&self.sql[written..]);
        Ok(())
    }
}

impl QueryId for Statement {
    type QueryId = ();
    // The text differs from value to value: Diesel looks it up by text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<SqliteConnection> for Statement {}
