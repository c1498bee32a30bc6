//! What a server may be asked about one comparison or call.

use chrono::{DateTime, TimeDelta, Utc};

use crate::entity::{ColumnRole, ColumnSchema};
use crate::odata;
use crate::predicate::{Comparison, Kind, Node};
use crate::profile::ServerProfile;
use crate::protocol::Dialect;
use crate::pushdown::normal::null_test;
use crate::pushdown::{Reason, computed};
use crate::time;
use crate::value::{ColumnType, Value};

/// The condition to send for an atom of the normal form, with the reason why it is not exact if it is not; or
/// the reason why nothing is sent.
pub(super) fn send(
    atom: &Node,
    profile: &ServerProfile,
    dialect: Dialect,
) -> Result<(Node, Option<Reason>), Reason> {
    match atom {
        Node::Compare(comparison, left, right) => match (&**left, &**right) {
            (Node::Column(left), Node::Literal(value)) => {
                nameable(left, profile, dialect)?;
                with_constant(*comparison, left, value, profile)
            }
            (Node::Column(left), Node::Column(right)) => {
                nameable(left, profile, dialect)?;
                nameable(right, profile, dialect)?;
                with_column(*comparison, left, right, profile)
            }
            (left, right) => computed::compare(*comparison, left, right, profile, dialect),
        },
        Node::Call(..) => {
            computed::usable(atom, profile, dialect)?;
            Ok((atom.clone(), None))
        }
        Node::Not(inner) => {
            let Node::Call(_, arguments) = &**inner else { return Err(Reason::Form) };
            computed::usable(inner, profile, dialect)?;
            let mut sent = atom.clone();
            if profile.has_sql_nulls() {
                for test in arguments.iter().filter_map(|part| null_test(part, Comparison::Eq)) {
                    sent = sent.or(test);
                }
            }
            Ok((sent, None))
        }
        _ => Err(Reason::Form),
    }
}

pub(super) fn nameable(
    column: &'static ColumnSchema,
    profile: &ServerProfile,
    dialect: Dialect,
) -> Result<(), Reason> {
    let filterable = column.role != ColumnRole::Version || profile.has_version_filters();
    if filterable && odata::is_expressible(column, dialect) {
        Ok(())
    } else {
        Err(Reason::Column(column.name))
    }
}

fn with_constant(
    comparison: Comparison,
    column: &'static ColumnSchema,
    value: &Value,
    profile: &ServerProfile,
) -> Result<(Node, Option<Reason>), Reason> {
    let reason = match value {
        Value::Null => return Ok((Node::compare(column, comparison, Value::Null), None)),
        Value::Bool(_) => None,
        Value::Integer(number) => {
            const EXACT: u64 = 1 << 53;
            if !profile.has_exact_numbers()
                && (number.unsigned_abs() > EXACT || column.ty == ColumnType::Float)
            {
                return Err(Reason::Number);
            }
            None
        }
        Value::Real(number) if !number.is_finite() => return Err(Reason::Value),
        // The row shows the nearest `f32`, the server may compare another number.
        Value::Real(_) if column.ty == ColumnType::Float && !profile.has_exact_numbers() => {
            return Err(Reason::Number);
        }
        Value::Real(_) => None,
        // Equal text is equal however the server compares, so only `eq` finds at least the rows it should.
        Value::Text(_) => match (profile.has_exact_text(), comparison) {
            (true, _) => None,
            (false, Comparison::Eq) => Some(Reason::Text),
            (false, _) => return Err(Reason::Text),
        },
        Value::DateTime(instant) if !time::is_storable(*instant) => return Err(Reason::Value),
        Value::DateTime(instant) if profile.date_digits() < 9 => {
            let sent = widened(comparison, column, *instant, profile).ok_or(Reason::Date)?;
            return Ok((sent, Some(Reason::Date)));
        }
        Value::DateTime(_) => None,
        Value::Uuid(_) if !profile.has_uuid_filters() => return Err(Reason::Uuid),
        Value::Uuid(_) => None,
    };
    Ok((null_safe(Node::compare(column, comparison, value.clone()), comparison, column, profile), reason))
}

/// Adds the null rows that `ne` means here and not in SQL.
fn null_safe(
    sent: Node,
    comparison: Comparison,
    column: &'static ColumnSchema,
    profile: &ServerProfile,
) -> Node {
    match null_test(&Node::Column(column), Comparison::Eq) {
        Some(test) if profile.has_sql_nulls() && comparison == Comparison::Ne => sent.or(test),
        _ => sent,
    }
}

/// A comparison with a date on a server that cuts dates.
///
/// The server cuts the constant; it may keep a value as sent and show it cut, and it may compare texts of
/// different lengths, where a value with more digits sorts up to one unit too low. The bounds sent are on the
/// server's grid and far enough out for all of that.
fn widened(
    comparison: Comparison,
    column: &'static ColumnSchema,
    instant: DateTime<Utc>,
    profile: &ServerProfile,
) -> Option<Node> {
    let unit = TimeDelta::nanoseconds(10_i64.pow(9 - profile.date_digits()));
    let below = TimeDelta::nanoseconds(
        i64::from(instant.timestamp_subsec_nanos() % 1_000_000_000) % unit.num_nanoseconds()?,
    );
    let floor = instant.checked_sub_signed(below)?;
    let bound = |comparison, instant: Option<DateTime<Utc>>| {
        let instant = instant.filter(|instant| time::is_storable(*instant))?;
        Some(Node::compare(column, comparison, Value::DateTime(instant)))
    };
    let on_grid = below.is_zero();
    let from = || bound(Comparison::Gt, floor.checked_sub_signed(unit));
    let until = || bound(Comparison::Lt, floor.checked_add_signed(unit));
    match comparison {
        Comparison::Gt => bound(Comparison::Gt, Some(floor)),
        Comparison::Ge if on_grid => from(),
        Comparison::Ge => bound(Comparison::Gt, Some(floor)),
        Comparison::Lt if on_grid => bound(Comparison::Lt, Some(floor)),
        Comparison::Lt | Comparison::Le => until(),
        Comparison::Eq => Some(from()?.and(until()?)),
        Comparison::Ne if on_grid => {
            let sent = bound(Comparison::Ne, Some(floor))?;
            Some(null_safe(sent, comparison, column, profile))
        }
        Comparison::Ne => None,
    }
}

fn with_column(
    comparison: Comparison,
    left: &'static ColumnSchema,
    right: &'static ColumnSchema,
    profile: &ServerProfile,
) -> Result<(Node, Option<Reason>), Reason> {
    let equality = matches!(comparison, Comparison::Eq | Comparison::Ne);
    let reason = match Kind::of(left.ty) {
        Kind::Bool if !equality => return Err(Reason::Form),
        Kind::Text if !profile.has_exact_text() => match comparison {
            Comparison::Eq => Some(Reason::Text),
            _ => return Err(Reason::Text),
        },
        // Cut values may be equal where the kept ones differ, and never the other way round.
        Kind::DateTime if profile.date_digits() < 9 => match comparison {
            Comparison::Gt | Comparison::Lt | Comparison::Ne => Some(Reason::Date),
            _ => return Err(Reason::Date),
        },
        Kind::Number
            if !profile.has_exact_numbers()
                && (left.ty == ColumnType::Float || right.ty == ColumnType::Float) =>
        {
            return Err(Reason::Number);
        }
        Kind::Uuid if !profile.has_uuid_filters() => return Err(Reason::Uuid),
        _ => None,
    };
    let (left, right) = (Node::Column(left), Node::Column(right));
    Ok((null_safe_pair(comparison, &left, &right, profile), reason))
}

/// A comparison of two values, with the nulls added that `eq` and `ne` mean here and not in SQL.
pub(super) fn null_safe_pair(
    comparison: Comparison,
    left: &Node,
    right: &Node,
    profile: &ServerProfile,
) -> Node {
    let sent = Node::Compare(comparison, Box::new(left.clone()), Box::new(right.clone()));
    if !profile.has_sql_nulls() {
        return sent;
    }
    let is_null = |side| null_test(side, Comparison::Eq);
    let is_not_null = |side| null_test(side, Comparison::Ne);
    let (left_null, right_null) = (is_null(left), is_null(right));
    match comparison {
        Comparison::Eq => match (left_null, right_null) {
            (Some(left), Some(right)) => sent.or(left.and(right)),
            _ => sent,
        },
        Comparison::Ne => {
            let beside = |null: Node, other| match is_not_null(other) {
                Some(test) => null.and(test),
                None => null,
            };
            let left_only = left_null.map(|null| beside(null, right));
            let right_only = right_null.map(|null| match is_not_null(left) {
                Some(test) => test.and(null),
                None => null,
            });
            [left_only, right_only].into_iter().flatten().fold(sent, Node::or)
        }
        _ => sent,
    }
}
