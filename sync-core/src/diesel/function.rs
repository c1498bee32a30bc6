//! Functions and arithmetic of filters as text of SQLite, for every walk over a [`Node`](crate::predicate::Node): the local
//! database's and a server's. What takes instants is left out, since their storage differs.

use crate::predicate::Function;

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

/// A replacement in texts no longer than 16 MiB; `$beyond` is the value of a longer one.
macro_rules! replaced {
    ($beyond:literal) => {
        &[
            concat!(
                "(SELECT CASE WHEN w IS NULL THEN NULL WHEN f <> '' AND length(CAST(w AS BLOB)) > \
                 length(CAST(f AS BLOB)) AND length(CAST(x AS BLOB)) * length(CAST(w AS BLOB)) > 16777216 THEN ",
                $beyond,
                " WHEN instr(f, char(0)) = 1 THEN replace(replace(",
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
        ]
    };
}

/// What a replacement is that could become longer than 16 MiB: replacements of replacements could make gigabytes of a
/// short text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLong {
    /// NULL, as [`evaluate`](crate::evaluate) has it.
    Null,
    /// An error of the statement: "string or blob too big".
    Fails,
}

/// The texts before, between and behind the arguments of a function; each argument is written once, so that nested calls
/// stay short. `None` for functions of instants, and for those that are conditions.
///
/// ```
/// use sync_core::diesel::function::{TooLong, pieces};
/// use sync_core::predicate::Function;
///
/// assert_eq!(pieces(Function::Add, TooLong::Null), Some(&["(", " + ", ")"][..]));
/// assert_eq!(pieces(Function::Year, TooLong::Null), None);
/// ```
pub fn pieces(function: Function, too_long: TooLong) -> Option<&'static [&'static str]> {
    Some(match function {
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
        // SQLite forgets a NULL as the last argument where there is nothing to find.
        Function::Replace => match too_long {
            TooLong::Null => replaced!("NULL"),
            TooLong::Fails => replaced!("zeroblob(9223372036854775807)"),
        },
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
        _ => return None,
    })
}

/// From 2^52 on a real has no fraction, and may be too large for an integer. The result stays a real: divided, it would
/// be cut otherwise.
const FLOOR: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) - (CAST(x AS INTEGER) > x) + 0.0 END FROM (SELECT ";
const CEILING: &str = "(SELECT CASE WHEN typeof(x) <> 'real' OR abs(x) >= 4503599627370496.0 THEN x \
    ELSE CAST(x AS INTEGER) + (CAST(x AS INTEGER) < x) + 0.0 END FROM (SELECT ";
