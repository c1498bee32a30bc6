//! The untyped tree behind every typed filter.
//!
//! One tree, several walks: bound SQL for the local database (feature `diesel`), OData text
//! ([`crate::odata`]), evaluation in memory ([`crate::evaluate`]), and the server's own SQL. What a tree means
//! is defined here, once:
//!
//! - A comparison is two-valued: `eq` and `ne` treat null as a value of its own (`null eq null` is true,
//!   `null ne 'x'` is true); `gt`, `ge`, `lt`, `le` and the text functions with a null operand are false.
//! - `not` is the exact complement.
//! - Text compares by code point, case-sensitively; nothing is a wildcard, and U+0000 is a character like any other.
//! - Functions and arithmetic with a null operand are null; so are a division by zero and an operand of the wrong
//!   kind. What each does otherwise stands at [`Function`].
//! - Dates compare as instants, numbers as numbers; values of different [kinds](Kind) are never equal and have
//!   no order.
//!
//! The guide `docs/predicates.md` is the same as a table for users; the module `contract` (feature `contract`) holds
//! its cases for tests of further engines.

use crate::entity::{ColumnSchema, TableSchema};
use crate::value::{ColumnType, Value};

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod codec;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod display;

/// A condition or a value: the node of the tree.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Node {
    /// The value of a column of the entity.
    Column(&'static ColumnSchema),
    /// A constant; also `null`, and `true`/`false` as conditions.
    Literal(Value),
    /// A comparison of two values.
    Compare(Comparison, Box<Node>, Box<Node>),
    /// True if all conditions are true; an empty list is true.
    And(Vec<Node>),
    /// True if one condition is true; an empty list is false.
    Or(Vec<Node>),
    /// The exact complement of a condition.
    Not(Box<Node>),
    /// A function of values.
    Call(Function, Vec<Node>),
}

/// The comparison operators of OData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of OData")]
pub enum Comparison {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// Functions a tree may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// `contains(text, needle)`: v1 and v2 write `substringof(needle, text)`.
    Contains,
    /// `startswith(text, prefix)`.
    StartsWith,
    /// `endswith(text, suffix)`.
    EndsWith,
    /// `length(text)`, in characters (code points).
    Length,
    /// `indexof(text, needle)`: characters before the first occurrence, -1 without one.
    IndexOf,
    /// `substring(text, start)`: the characters from `start`, counted from 0; a start below 0 counts as 0.
    SubstringFrom,
    /// `substring(text, start, length)`: at most `length` of them; a length below 0 counts as 0.
    Substring,
    /// `replace(text, find, with)`: every occurrence; nothing when `find` is empty.
    Replace,
    /// `tolower(text)`: the letters A to Z.
    ToLower,
    /// `toupper(text)`: the letters a to z.
    ToUpper,
    /// `trim(text)`: without blanks (U+0020) at both ends.
    Trim,
    /// `concat(a, b)`.
    Concat,
    /// `a add b`; an integer result beyond 64 bits is a real, as in `sub` and `mul`.
    Add,
    /// `a sub b`.
    Sub,
    /// `a mul b`.
    Mul,
    /// `a div b`: of integers the whole part, towards zero.
    Div,
    /// `a mod b`: the remainder of the whole parts, with the sign of `a`.
    Mod,
    /// `round(number)`: half away from zero.
    Round,
    /// `floor(number)`.
    Floor,
    /// `ceiling(number)`.
    Ceiling,
    /// `year(instant)`, in UTC, as all parts of an instant.
    Year,
    /// `month(instant)`, 1 to 12.
    Month,
    /// `day(instant)`, 1 to 31.
    Day,
    /// `hour(instant)`, 0 to 23.
    Hour,
    /// `minute(instant)`.
    Minute,
    /// `second(instant)`, whole.
    Second,
    /// `date(instant)`: the day in UTC, as the instant of its midnight.
    Date,
    /// `time(instant)`: the time of day in UTC, exact, as an instant of 1970-01-01.
    Time,
}

/// What can be compared with what: the type of a node, as far as comparing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The literal null; comparable with every kind.
    Null,
    /// Booleans and conditions.
    Bool,
    /// Integers and reals alike.
    Number,
    /// Text.
    Text,
    /// Instants.
    DateTime,
    /// Uuids; text only outside of the tree.
    Uuid,
}

/// A condition over the rows of one table, with the table it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// The table.
    pub table: &'static TableSchema,
    /// The condition.
    pub node: Node,
}

impl Node {
    /// The condition that is always true.
    pub const ALWAYS: Self = Self::And(Vec::new());

    /// A column's value compared with a constant.
    pub fn compare(column: &'static ColumnSchema, comparison: Comparison, value: Value) -> Self {
        Self::Compare(comparison, Box::new(Self::Column(column)), Box::new(Self::Literal(value)))
    }

    /// Both conditions; nested lists are joined into one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(mut left), Self::And(right)) => {
                left.extend(right);
                Self::And(left)
            }
            (Self::And(mut left), right) => {
                left.push(right);
                Self::And(left)
            }
            (left, Self::And(mut right)) => {
                right.insert(0, left);
                Self::And(right)
            }
            (left, right) => Self::And(vec![left, right]),
        }
    }

    /// One of the conditions; nested lists are joined into one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Or(mut left), Self::Or(right)) => {
                left.extend(right);
                Self::Or(left)
            }
            (Self::Or(mut left), right) => {
                left.push(right);
                Self::Or(left)
            }
            (left, Self::Or(mut right)) => {
                right.insert(0, left);
                Self::Or(right)
            }
            (left, right) => Self::Or(vec![left, right]),
        }
    }

    /// The exact complement.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The kind of the node's values, known without a row.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Column(column) => Kind::of(column.ty),
            Self::Literal(value) => Kind::of_value(value),
            Self::Compare(..) | Self::And(_) | Self::Or(_) | Self::Not(_) => Kind::Bool,
            Self::Call(function, _) => function.kind(),
        }
    }

    /// Calls `each` with every column the node reads, as often as it does.
    pub fn for_each_column(&self, each: &mut impl FnMut(&'static ColumnSchema)) {
        match self {
            Self::Column(column) => each(column),
            Self::Literal(_) => {}
            Self::Compare(_, left, right) => {
                left.for_each_column(each);
                right.for_each_column(each);
            }
            Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => {
                parts.iter().for_each(|part| part.for_each_column(each));
            }
            Self::Not(inner) => inner.for_each_column(each),
        }
    }

    /// Whether this condition is true for every row without looking at it.
    pub fn is_always(&self) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(Self::is_always),
            Self::Literal(Value::Bool(value)) => *value,
            _ => false,
        }
    }
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 28] = [
        Self::Contains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Length,
        Self::IndexOf,
        Self::SubstringFrom,
        Self::Substring,
        Self::Replace,
        Self::ToLower,
        Self::ToUpper,
        Self::Trim,
        Self::Concat,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Round,
        Self::Floor,
        Self::Ceiling,
        Self::Year,
        Self::Month,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Date,
        Self::Time,
    ];

    /// Whether the function is one of arithmetic, written between its operands.
    pub const fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod)
    }

    /// Whether a call with these arguments fits the function: their number and kinds.
    pub fn accepts(self, arguments: &[Node]) -> bool {
        arguments.iter().map(Node::kind).eq(self.arguments().iter().copied())
    }

    /// The kind of the function's values.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith => Kind::Bool,
            Self::SubstringFrom
            | Self::Substring
            | Self::Replace
            | Self::ToLower
            | Self::ToUpper
            | Self::Trim
            | Self::Concat => Kind::Text,
            Self::Length
            | Self::IndexOf
            | Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Mod
            | Self::Round
            | Self::Floor
            | Self::Ceiling
            | Self::Year
            | Self::Month
            | Self::Day
            | Self::Hour
            | Self::Minute
            | Self::Second => Kind::Number,
            Self::Date | Self::Time => Kind::DateTime,
        }
    }

    /// The kinds of the function's arguments.
    pub const fn arguments(self) -> &'static [Kind] {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::IndexOf | Self::Concat => {
                &[Kind::Text, Kind::Text]
            }
            Self::Length | Self::ToLower | Self::ToUpper | Self::Trim => &[Kind::Text],
            Self::SubstringFrom => &[Kind::Text, Kind::Number],
            Self::Substring => &[Kind::Text, Kind::Number, Kind::Number],
            Self::Replace => &[Kind::Text, Kind::Text, Kind::Text],
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod => &[Kind::Number, Kind::Number],
            Self::Round | Self::Floor | Self::Ceiling => &[Kind::Number],
            Self::Year
            | Self::Month
            | Self::Day
            | Self::Hour
            | Self::Minute
            | Self::Second
            | Self::Date
            | Self::Time => &[Kind::DateTime],
        }
    }
}

impl Comparison {
    /// The comparison with its sides exchanged: `a lt b` is `b gt a`.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
        }
    }

    /// The comparison that holds where this one does not, between two values that have an order.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gt => Self::Le,
            Self::Ge => Self::Lt,
            Self::Lt => Self::Ge,
            Self::Le => Self::Gt,
        }
    }
}

impl Kind {
    /// The kind of a column's values.
    pub const fn of(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Text => Self::Text,
            ColumnType::Bool => Self::Bool,
            ColumnType::Integer(_) | ColumnType::Float | ColumnType::Double => Self::Number,
            ColumnType::DateTime => Self::DateTime,
            ColumnType::Uuid => Self::Uuid,
        }
    }

    /// The kind of a constant.
    pub const fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Integer(_) | Value::Real(_) => Self::Number,
            Value::Text(_) => Self::Text,
            Value::DateTime(_) => Self::DateTime,
            Value::Uuid(_) => Self::Uuid,
        }
    }

    /// Whether values of the two kinds can be equal or have an order.
    pub fn is_comparable_with(self, other: Self) -> bool {
        self == other || self == Self::Null || other == Self::Null
    }
}

impl Predicate {
    /// Every row of the table.
    pub fn all(table: &'static TableSchema) -> Self {
        Self { table, node: Node::ALWAYS }
    }
}
