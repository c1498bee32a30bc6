//! Conditions as OData text: what stands after `$filter=`.
//!
//! The client renders ([`render`]) the part of a filter that its server is trusted with (see
//! [`crate::pushdown`]); the server parses ([`parse`]) what clients send. Both know columns by the wire names of
//! the dialect and share one table of functions and one form of literals. Percent encoding is not done here:
//! whoever builds the request encodes the text, whoever reads it has decoded it.
//!
//! For `Dialect::MobileServices` and `Dialect::MobileApps` the text is the subset of OData 3 that the Node servers
//! parse, which the .NET server parses as well: lower-case keywords, `null` only on the right,
//! `substringof(needle, text)`. For `Dialect::Datasync` it is OData 4: `contains(text, needle)`, instants and uuids
//! as casts.
//!
//! ```
//! use sync_core::entity::ID;
//! use sync_core::odata;
//! use sync_core::predicate::{Comparison, Node};
//! use sync_core::protocol::Dialect;
//! use sync_core::value::Value;
//!
//! let condition = Node::compare(&ID, Comparison::Eq, Value::Text("it's".into()));
//! assert_eq!(odata::render(&condition, Dialect::MobileApps)?, "(id eq 'it''s')");
//! # Ok::<(), sync_core::Error>(())
//! ```

use crate::entity::{self, ColumnSchema, TableSchema};
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::protocol::Dialect;
use crate::value::ColumnType;

pub use self::parse::{Limits, ParseError, ParseErrorKind, parse, parse_order};
pub use self::render::render;

mod literal;
mod parse;
mod render;

/// The creation time of rows as v1 and as v2 name it: a property that servers keep and clients do not, so that no
/// entity and no store has a column for it. Filters and orders of a server may name it.
pub static CREATED_AT: [ColumnSchema; 2] = [
    ColumnSchema::new("__createdAt", ColumnType::DateTime),
    ColumnSchema::new("createdAt", ColumnType::DateTime),
];

/// The column a name stands for in filters and orderings of the dialect: exact spelling, system columns
/// included ([`CREATED_AT`] where the dialect has it), local columns not.
pub fn find_column(
    table: &'static TableSchema,
    name: &str,
    dialect: Dialect,
) -> Option<&'static ColumnSchema> {
    [&entity::ID, &entity::VERSION, &entity::UPDATED_AT, &entity::DELETED]
        .into_iter()
        .chain(table.columns.iter().filter(|column| !column.local))
        .chain(match dialect {
            Dialect::MobileServices => CREATED_AT.get(..1).unwrap_or_default(),
            Dialect::MobileApps => CREATED_AT.get(1..).unwrap_or_default(),
            Dialect::Datasync => &[],
        })
        .find(|column| dialect.column_name(column) == name)
}

/// Words with a meaning of their own: the parsers of the servers take none of them for a column.
const RESERVED: [&str; 19] = [
    "null", "true", "false", "not", "and", "or", "eq", "ne", "gt", "ge", "lt", "le", "add", "sub", "mul",
    "div", "mod", "in", "has",
];

/// Whether a column can be named in OData text: sent at all, and its name is a plain word without a meaning of
/// its own.
pub(crate) fn is_expressible(column: &'static ColumnSchema, dialect: Dialect) -> bool {
    let name = dialect.column_name(column);
    let mut characters = name.chars();
    !column.local
        && characters.next().is_some_and(starts_name)
        && characters.all(continues_name)
        && !RESERVED.contains(&name)
}

/// Whether the dialect has a word for the function: v1 and v2 know no `date` and `time`, v3 no `replace`.
pub fn speaks(dialect: Dialect, function: Function) -> bool {
    function.is_arithmetic() || signatures(dialect).any(|signature| signature.function == function)
}

/// What a value of the kind [`Kind::DateTime`] stands for. The tree has instants only, OData 4 a type for each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Instant,
    /// Midnight of a day.
    Day,
    /// An instant of 1970-01-01.
    TimeOfDay,
}

impl Form {
    fn of(node: &Node) -> Self {
        match node {
            Node::Call(Function::Date, _) => Self::Day,
            Node::Call(Function::Time, _) => Self::TimeOfDay,
            _ => Self::Instant,
        }
    }
}

fn starts_name(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// How a function is written.
struct Signature {
    function: Function,
    name: &'static str,
    /// Kinds of the arguments in the order of the tree.
    arguments: &'static [Kind],
    /// Whether the text has the arguments in reverse order.
    reversed: bool,
}

const fn signature(function: Function, name: &'static str) -> Signature {
    Signature { function, name, arguments: function.arguments(), reversed: false }
}

/// The functions that every dialect writes alike.
static SHARED: [Signature; 19] = [
    signature(Function::StartsWith, "startswith"),
    signature(Function::EndsWith, "endswith"),
    signature(Function::Length, "length"),
    signature(Function::IndexOf, "indexof"),
    signature(Function::SubstringFrom, "substring"),
    signature(Function::Substring, "substring"),
    signature(Function::ToLower, "tolower"),
    signature(Function::ToUpper, "toupper"),
    signature(Function::Trim, "trim"),
    signature(Function::Concat, "concat"),
    signature(Function::Round, "round"),
    signature(Function::Floor, "floor"),
    signature(Function::Ceiling, "ceiling"),
    signature(Function::Year, "year"),
    signature(Function::Month, "month"),
    signature(Function::Day, "day"),
    signature(Function::Hour, "hour"),
    signature(Function::Minute, "minute"),
    signature(Function::Second, "second"),
];

/// The functions of OData 3 that OData 4 does not have, or names otherwise.
static ODATA_3: [Signature; 2] = [
    Signature { reversed: true, ..signature(Function::Contains, "substringof") },
    signature(Function::Replace, "replace"),
];

static ODATA_4: [Signature; 3] = [
    signature(Function::Contains, "contains"),
    signature(Function::Date, "date"),
    signature(Function::Time, "time"),
];

/// The functions of a dialect; arithmetic is written between its operands and stands in [`ARITHMETIC`].
fn signatures(dialect: Dialect) -> impl Iterator<Item = &'static Signature> {
    let own: &'static [Signature] = match dialect {
        Dialect::Datasync => &ODATA_4,
        Dialect::MobileServices | Dialect::MobileApps => &ODATA_3,
    };
    own.iter().chain(&SHARED)
}

/// Operators of arithmetic, and whether they bind tighter than the others.
const ARITHMETIC: [(Function, &str, bool); 5] = [
    (Function::Add, "add", false),
    (Function::Sub, "sub", false),
    (Function::Mul, "mul", true),
    (Function::Div, "div", true),
    (Function::Mod, "mod", true),
];

const COMPARISONS: [(Comparison, &str); 6] = [
    (Comparison::Eq, "eq"),
    (Comparison::Ne, "ne"),
    (Comparison::Gt, "gt"),
    (Comparison::Ge, "ge"),
    (Comparison::Lt, "lt"),
    (Comparison::Le, "le"),
];

#[cfg(test)]
mod tests;
