//! Functions and arithmetic as SQL of SQLite; each argument is written once, so that nested calls stay short.

use diesel::result::QueryResult;

use super::{Out, value as push};
use crate::entity::TableSchema;
use crate::predicate::{Function, Node};

/// Pushes the value of a function; NULL when it is called with wrong arguments.
pub(super) fn value<'b>(
    table: &TableSchema,
    function: Function,
    arguments: &'b [Node],
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    if !function.accepts(arguments) {
        out.push_sql("NULL");
        return Ok(());
    }
    // Instants are text: `2024-01-02 03:04:05.678+00:00`.
    let texts: &[&str] = match function {
        Function::Length => &["length(", ")"],
        Function::IndexOf => &["(instr(", ", ", ") - 1)"],
        Function::SubstringFrom => &["substr(", ", min(max(", ", 0), 2147483646) + 1)"],
        Function::Substring => {
            &["substr(", ", min(max(", ", 0), 2147483646) + 1, min(max(", ", 0), 2147483646))"]
        }
        Function::Replace if matches!(arguments, [.., Node::Literal(_)]) => &["replace(", ", ", ", ", ")"],
        // SQLite forgets a NULL as the last argument where there is nothing to find.
        Function::Replace => &[
            "(SELECT CASE WHEN w IS NOT NULL THEN replace(x, f, w) END FROM (SELECT ",
            " AS x, ",
            " AS f, ",
            " AS w))",
        ],
        Function::ToLower => &["lower(", ")"],
        Function::ToUpper => &["upper(", ")"],
        Function::Trim => &["trim(", ")"],
        Function::Concat => &["(", " || ", ")"],
        Function::Add => &["(", " + ", ")"],
        Function::Sub => &["(", " - ", ")"],
        Function::Mul => &["(", " * ", ")"],
        Function::Div => &["(", " / ", ")"],
        Function::Mod => &["(", " % ", ")"],
        Function::Round => {
            &["(SELECT CASE typeof(x) WHEN 'real' THEN round(x) ELSE x END FROM (SELECT ", " AS x))"]
        }
        Function::Floor => &[FLOOR, " AS x))"],
        Function::Ceiling => &[CEILING, " AS x))"],
        Function::Year => &["CAST(substr(", ", 1, 4) AS INTEGER)"],
        Function::Month => &["CAST(substr(", ", 6, 2) AS INTEGER)"],
        Function::Day => &["CAST(substr(", ", 9, 2) AS INTEGER)"],
        Function::Hour => &["CAST(substr(", ", 12, 2) AS INTEGER)"],
        Function::Minute => &["CAST(substr(", ", 15, 2) AS INTEGER)"],
        Function::Second => &["CAST(substr(", ", 18, 2) AS INTEGER)"],
        Function::Date => &["(substr(", ", 1, 10) || ' 00:00:00+00:00')"],
        Function::Time => &["('1970-01-01' || substr(", ", 11))"],
        Function::Contains | Function::StartsWith | Function::EndsWith => &["NULL"],
    };
    for (index, text) in texts.iter().enumerate() {
        out.push_sql(text);
        if let (Some(argument), true) = (arguments.get(index), index + 1 < texts.len()) {
            push(table, argument, out)?;
        }
    }
    Ok(())
}

/// From 2^52 on a real has no fraction, and may be too large for an integer.
const FLOOR: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) - (CAST(x AS INTEGER) > x) END FROM (SELECT ";
const CEILING: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) + (CAST(x AS INTEGER) < x) END FROM (SELECT ";
