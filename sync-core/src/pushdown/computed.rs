//! What a server may be asked about the values of functions and calculations.
//!
//! A function the profile names has there the values it has here, null included; so the questions left are whether
//! the dialect has a word for it, whether its arguments are seen as they are, and how results compare.

use crate::odata;
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::profile::ServerProfile;
use crate::protocol::Dialect;
use crate::pushdown::Reason;
use crate::pushdown::atom::{nameable, null_safe_pair};
use crate::time;
use crate::value::{ColumnType, IntegerWidth, Value};

/// The comparison to send, or why there is none; one side at least is a call.
pub(super) fn compare(
    comparison: Comparison,
    left: &Node,
    right: &Node,
    profile: &ServerProfile,
    dialect: Dialect,
) -> Result<(Node, Option<Reason>), Reason> {
    usable(left, profile, dialect)?;
    usable(right, profile, dialect)?;
    let against_null = right.kind() == Kind::Null;
    let reason = match left.kind() {
        Kind::Text | Kind::Number | Kind::DateTime if against_null => None,
        // Equal text is equal however the server compares.
        Kind::Text if !profile.has_exact_text() => match comparison {
            Comparison::Eq => Some(Reason::Text),
            _ => return Err(Reason::Text),
        },
        Kind::Number if !profile.has_exact_numbers() => {
            [left, right].into_iter().try_for_each(exact_number)?;
            None
        }
        Kind::Text | Kind::Number | Kind::DateTime => None,
        _ => return Err(Reason::Form),
    };
    let sent = if against_null {
        Node::Compare(comparison, Box::new(left.clone()), Box::new(right.clone()))
    } else {
        null_safe_pair(comparison, left, right, profile)
    };
    // Days and times of day are types of their own on the wire, which may not fit together.
    odata::render(&sent, dialect).map_err(|_| Reason::Form)?;
    Ok((sent, reason))
}

/// Whether the server has the value of a node as it is here.
pub(super) fn usable(node: &Node, profile: &ServerProfile, dialect: Dialect) -> Result<(), Reason> {
    let (function, arguments) = match node {
        Node::Column(column) => return nameable(column, profile, dialect),
        Node::Literal(Value::Real(number)) if !number.is_finite() => return Err(Reason::Value),
        Node::Literal(Value::DateTime(instant)) if !time::is_storable(*instant) => return Err(Reason::Value),
        Node::Literal(_) => return Ok(()),
        Node::Call(function, arguments) => (*function, arguments),
        _ => return Err(Reason::Form),
    };
    if !odata::speaks(dialect, function) {
        return Err(Reason::Dialect(function));
    }
    if !profile.evaluates(function) {
        return Err(Reason::Function(function));
    }
    if !profile.has_exact_numbers() {
        if function.is_arithmetic() {
            return Err(Reason::Number);
        }
        arguments.iter().filter(|argument| argument.kind() == Kind::Number).try_for_each(exact_number)?;
    }
    // A cut date has another time of day; its day and its whole seconds are the same.
    if function == Function::Time && profile.date_digits() < 9 {
        return Err(Reason::Date);
    }
    arguments.iter().try_for_each(|argument| usable(argument, profile, dialect))
}

/// Whether a number is the same for a server that has only the numbers of JavaScript.
fn exact_number(node: &Node) -> Result<(), Reason> {
    const EXACT: u64 = 1 << 53;
    match node {
        Node::Column(column) => match column.ty {
            ColumnType::Float | ColumnType::Integer(IntegerWidth::I64) => Err(Reason::Number),
            _ => Ok(()),
        },
        Node::Literal(Value::Integer(number)) if number.unsigned_abs() > EXACT => Err(Reason::Number),
        _ => Ok(()),
    }
}
