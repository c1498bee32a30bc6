//! Functions and arithmetic as SQL of SQLite.

use diesel::result::QueryResult;

use super::{Out, value as push};
use crate::diesel::function::{TooLong, pieces};
use crate::entity::TableSchema;
use crate::predicate::{Function, Node};
use crate::time;
use crate::value::Value;

/// Pushes the value of a function; NULL when it is called with wrong arguments.
pub(super) fn value<'b>(
    table: &TableSchema,
    function: Function,
    arguments: &'b [Node],
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    // An instant that no column can hold has no parts.
    let beyond = |argument: &Node| matches!(argument, Node::Literal(Value::DateTime(instant)) if !time::is_storable(*instant));
    if !function.accepts(arguments) || arguments.iter().any(beyond) {
        out.push_sql("NULL");
        return Ok(());
    }
    // Instants are text: `2024-01-02 03:04:05.678+00:00`.
    let texts: &[&str] = match function {
        Function::Year => &["CAST(substr(", ", 1, 4) AS INTEGER)"],
        Function::Month => &["CAST(substr(", ", 6, 2) AS INTEGER)"],
        Function::Day => &["CAST(substr(", ", 9, 2) AS INTEGER)"],
        Function::Hour => &["CAST(substr(", ", 12, 2) AS INTEGER)"],
        Function::Minute => &["CAST(substr(", ", 15, 2) AS INTEGER)"],
        Function::Second => &["CAST(substr(", ", 18, 2) AS INTEGER)"],
        Function::Date => &["(substr(", ", 1, 10) || ' 00:00:00+00:00')"],
        Function::Time => &["('1970-01-01' || substr(", ", 11))"],
        _ => pieces(function, TooLong::Null).unwrap_or(&["NULL"]),
    };
    for (index, text) in texts.iter().enumerate() {
        out.push_sql(text);
        if let (Some(argument), true) = (arguments.get(index), index + 1 < texts.len()) {
            push(table, argument, out)?;
        }
    }
    Ok(())
}
