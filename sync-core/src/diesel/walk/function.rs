//! Functions and arithmetic as SQL of SQLite; each argument is written once, so that nested calls stay short.

use diesel::result::QueryResult;

use super::{Out, value as push};
use crate::entity::TableSchema;
use crate::predicate::{Function, Node};
use crate::time;
use crate::value::Value;

/// A byte that stands in no UTF-8, as a text: behind a text it marks the end, in place of U+0000 it is a character like
/// any other. SQLite's own `length` and `substr` of a text end at U+0000, and its `replace` finds nothing that begins
/// with it; its other functions take such a text whole.
macro_rules! mark {
    () => {
        "CAST(x'FF' AS TEXT)"
    };
}

/// The text of a column of the query around, with the mark in place of each U+0000: JSON writes that as `\u0000`. The
/// other mark stands for two backslashes meanwhile, so that one which was written before `u0000` is told apart. Takes
/// time in proportion to the text, whatever is in it.
macro_rules! marked {
    ($text:literal) => {
        concat!(
            "json_extract(replace(replace(replace(json_quote(",
            $text,
            r"), '\\', CAST(x'FE' AS TEXT)), '\u0000', ",
            mark!(),
            r"), CAST(x'FE' AS TEXT), '\\'), '$')"
        )
    };
}

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
        Function::Length => &["(instr(", concat!(" || ", mark!(), ", ", mark!(), ") - 1)")],
        Function::IndexOf => &["(instr(", ", ", ") - 1)"],
        Function::SubstringFrom => &[
            concat!(
                "(SELECT CASE WHEN instr(x, char(0)) = 0 THEN substr(x, s) ELSE replace(substr(",
                marked!("x"),
                ", s), ",
                mark!(),
                ", char(0)) END FROM (SELECT "
            ),
            " AS x, min(max(",
            ", 0), 2147483646) + 1 AS s))",
        ],
        Function::Substring => &[
            concat!(
                "(SELECT CASE WHEN instr(x, char(0)) = 0 THEN substr(x, s, n) ELSE replace(substr(",
                marked!("x"),
                ", s, n), ",
                mark!(),
                ", char(0)) END FROM (SELECT "
            ),
            " AS x, min(max(",
            ", 0), 2147483646) + 1 AS s, min(max(",
            ", 0), 2147483646) AS n))",
        ],
        // SQLite forgets a NULL as the last argument where there is nothing to find. Replacements of replacements could
        // make gigabytes of a short text: what could become longer than 16 MiB is NULL, as in memory.
        Function::Replace => &[
            concat!(
                "(SELECT CASE WHEN w IS NULL OR (f <> '' AND length(CAST(w AS BLOB)) > length(CAST(f AS BLOB)) \
                 AND length(CAST(x AS BLOB)) * length(CAST(w AS BLOB)) > 16777216) THEN NULL \
                 WHEN instr(f, char(0)) = 1 THEN replace(replace(",
                marked!("x"),
                ", ",
                marked!("f"),
                ", w), ",
                mark!(),
                ", char(0)) ELSE replace(x, f, w) END FROM (SELECT "
            ),
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

/// From 2^52 on a real has no fraction, and may be too large for an integer. The result stays a real: divided, it would
/// be cut otherwise.
const FLOOR: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) - (CAST(x AS INTEGER) > x) + 0.0 END FROM (SELECT ";
const CEILING: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) + (CAST(x AS INTEGER) < x) + 0.0 END FROM (SELECT ";
