//! Negation normal form: `not` stands only before a function call, or before a form nobody can send.
//!
//! On the way everything known without a row is decided, constants go to the right, conditions compared
//! with conditions become plain ones, and days compared with constants become ranges of instants.
//! The result means the same as the original under the two-valued rules of
//! [`crate::predicate`].

use std::borrow::Cow;

use chrono::{DateTime, Days, NaiveTime, Utc};

use crate::evaluate;
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::value::{Value, ValueRef};

/// The normal form of a condition, or of its complement.
pub(super) fn form(node: &Node, negated: bool) -> Node {
    match node {
        Node::And(parts) | Node::Or(parts) => {
            let all = matches!(node, Node::And(_)) != negated;
            list(parts.iter().map(|part| form(part, negated)), all)
        }
        Node::Not(inner) => form(inner, !negated),
        Node::Compare(comparison, left, right) => {
            let (left, right) = (folded(left), folded(right));
            match (&*left, &*right) {
                (Node::Literal(_), right) if !matches!(right, Node::Literal(_)) => {
                    compare(comparison.flipped(), right, &left, negated)
                }
                (left, right) => compare(*comparison, left, right, negated),
            }
        }
        Node::Literal(value) => constant((*value == Value::Bool(true)) != negated),
        Node::Column(_) if node.kind() != Kind::Bool => constant(negated),
        Node::Column(column) => {
            let comparison = if negated { Comparison::Ne } else { Comparison::Eq };
            Node::compare(column, comparison, Value::Bool(true))
        }
        Node::Call(function, _) if function.kind() == Kind::Bool => match folded(node).into_owned() {
            Node::Literal(value) => constant((value == Value::Bool(true)) != negated),
            call if negated => Node::Not(Box::new(call)),
            call => call,
        },
        Node::Call(..) => constant(negated),
    }
}

/// A value with all its parts that need no row computed. What is left of a call has arguments that fit the function
/// and are not always null.
fn folded(node: &Node) -> Cow<'_, Node> {
    let Node::Call(function, arguments) = node else { return Cow::Borrowed(node) };
    let arguments: Vec<Node> = arguments.iter().map(|argument| folded(argument).into_owned()).collect();
    let call = Node::Call(*function, arguments);
    let Node::Call(_, arguments) = &call else { return Cow::Owned(call) };
    let is_constant =
        !function.accepts(arguments) || arguments.iter().all(|argument| matches!(argument, Node::Literal(_)));
    // A call with wrong arguments, null among them, is null or false for every row.
    Cow::Owned(if is_constant { Node::Literal(evaluate::constant(&call)) } else { call })
}

/// A comparison whose constant, if it has one, stands on the right.
fn compare(comparison: Comparison, left: &Node, right: &Node, negated: bool) -> Node {
    // `eq` and `ne` are each other's complement whatever they compare.
    let (comparison, negated) = match (comparison, negated) {
        (Comparison::Eq | Comparison::Ne, true) => (comparison.negated(), false),
        unchanged => unchanged,
    };
    match (left, right) {
        (Node::Literal(left), Node::Literal(right)) => {
            constant(evaluate::compare(comparison, left.as_ref(), right.as_ref()) != negated)
        }
        (left, Node::Literal(Value::Bool(right))) if is_condition(left) => {
            // A condition is true or false: what does the comparison say to each?
            let holds = |value| {
                evaluate::compare(comparison, ValueRef::Bool(value), ValueRef::Bool(*right)) != negated
            };
            match (holds(true), holds(false)) {
                (true, true) => constant(true),
                (true, false) => form(left, false),
                (false, true) => form(left, true),
                (false, false) => constant(false),
            }
        }
        (Node::Column(column), Node::Literal(Value::Bool(right)))
            if Kind::of(column.ty) == Kind::Bool && !is_equality(comparison) =>
        {
            // An order of booleans has no text everywhere: it becomes a list of the values it holds for.
            let holds =
                |value: ValueRef<'_>| evaluate::compare(comparison, value, ValueRef::Bool(*right)) != negated;
            let values = [ValueRef::Null, ValueRef::Bool(false), ValueRef::Bool(true)];
            let parts = values
                .into_iter()
                .filter(|value| holds(*value))
                .map(|value| Node::compare(column, Comparison::Eq, value.to_value()));
            list(parts, false)
        }
        (left, Node::Literal(Value::Null)) if is_condition(left) => {
            // A condition is never null.
            constant((comparison == Comparison::Ne) != negated)
        }
        (_, Node::Literal(Value::Null)) if !is_equality(comparison) => constant(negated),
        (Node::Call(..), Node::Literal(Value::Null)) => {
            null_test(left, comparison).unwrap_or_else(|| constant(comparison == Comparison::Ne))
        }
        (Node::Call(Function::Date, arguments), Node::Literal(Value::DateTime(instant)))
            if day_range(comparison, arguments, *instant).is_some() =>
        {
            day_range(comparison, arguments, *instant)
                .map_or(constant(negated), |range| form(&range, negated))
        }
        (_, Node::Literal(Value::Real(number))) if number.is_nan() => {
            constant((comparison == Comparison::Ne) != negated)
        }
        (left, right) if !left.kind().is_comparable_with(right.kind()) => {
            mismatch(comparison, left, right, negated)
        }
        (left, right) if !negated => {
            Node::Compare(comparison, Box::new(left.clone()), Box::new(right.clone()))
        }
        (left, right) => {
            let reversed =
                Node::Compare(comparison.negated(), Box::new(left.clone()), Box::new(right.clone()));
            let nulls = [left, right].into_iter().filter_map(|side| null_test(side, Comparison::Eq));
            list([reversed].into_iter().chain(nulls), false)
        }
    }
}

/// A comparison of kinds that never equal each other: only null equals null.
fn mismatch(comparison: Comparison, left: &Node, right: &Node, negated: bool) -> Node {
    if !is_equality(comparison) {
        return constant(negated);
    }
    let parts = [left, right].map(|side| null_test(side, comparison));
    let [Some(left), Some(right)] = parts else { return constant(comparison == Comparison::Ne) };
    list([left, right], comparison == Comparison::Eq)
}

/// `date(x)` compared with a constant, as comparisons of `x` with the bounds of its day.
fn day_range(comparison: Comparison, arguments: &[Node], instant: DateTime<Utc>) -> Option<Node> {
    let [argument] = arguments else { return None };
    let day = instant.date_naive().and_time(NaiveTime::MIN).and_utc();
    let next = day.checked_add_days(Days::new(1))?;
    let is_day = instant == day;
    let bound = |comparison, instant| {
        let literal = Node::Literal(Value::DateTime(instant));
        Node::Compare(comparison, Box::new(argument.clone()), Box::new(literal))
    };
    let on_day = || {
        if is_day { bound(Comparison::Ge, day).and(bound(Comparison::Lt, next)) } else { constant(false) }
    };
    Some(match comparison {
        Comparison::Eq => on_day(),
        Comparison::Ne => on_day().negate(),
        Comparison::Lt if is_day => bound(Comparison::Lt, day),
        Comparison::Lt | Comparison::Le => bound(Comparison::Lt, next),
        Comparison::Ge if is_day => bound(Comparison::Ge, day),
        Comparison::Ge | Comparison::Gt => bound(Comparison::Ge, next),
    })
}

/// `side eq null` or `side ne null`, if the side can be null at all; of a call by its arguments, where it is null only
/// with one of them.
pub(super) fn null_test(side: &Node, comparison: Comparison) -> Option<Node> {
    match side {
        Node::Column(column) if column.nullable => Some(Node::compare(column, comparison, Value::Null)),
        Node::Call(function, arguments) if is_total(*function, arguments) => {
            let mut tests =
                arguments.iter().filter_map(|argument| null_test(argument, comparison)).peekable();
            tests.peek()?;
            Some(list(tests, comparison == Comparison::Ne))
        }
        Node::Call(function, _) if function.kind() != Kind::Bool => {
            Some(Node::Compare(comparison, Box::new(side.clone()), Box::new(Node::Literal(Value::Null))))
        }
        _ => None,
    }
}

/// Whether the function has a value whenever all its arguments have one: all but some arithmetic, which may divide by
/// zero or have no number as its result.
fn is_total(function: Function, arguments: &[Node]) -> bool {
    // Not infinite, as the result of a calculation might be.
    let is_finite = |node: &Node| match node {
        Node::Column(_) => true,
        Node::Literal(value) => !matches!(value, Value::Real(real) if !real.is_finite()),
        _ => false,
    };
    match (function, arguments) {
        (Function::Add | Function::Sub | Function::Mul, arguments) => arguments.iter().all(is_finite),
        (Function::Div | Function::Mod, [_, Node::Literal(divisor)]) => match divisor {
            Value::Integer(divisor) => *divisor != 0,
            Value::Real(divisor) => divisor.is_finite() && divisor.abs() >= 1.0,
            _ => false,
        },
        (Function::Div | Function::Mod, _) => false,
        (function, _) => function.kind() != Kind::Bool,
    }
}

/// Whether the node is true or false for every row, never null.
fn is_condition(node: &Node) -> bool {
    node.kind() == Kind::Bool && !matches!(node, Node::Column(_) | Node::Literal(_))
}

const fn is_equality(comparison: Comparison) -> bool {
    matches!(comparison, Comparison::Eq | Comparison::Ne)
}

fn constant(value: bool) -> Node {
    if value { Node::ALWAYS } else { Node::Or(Vec::new()) }
}

/// Joins conditions with `and` (or `or`), leaving out what changes nothing and stopping at what decides.
fn list(parts: impl IntoIterator<Item = Node>, all: bool) -> Node {
    let mut joined = constant(all);
    let (neutral, deciding) = (constant(all), constant(!all));
    for part in parts {
        if part == deciding {
            return deciding;
        }
        if part != neutral {
            joined = if all { joined.and(part) } else { joined.or(part) };
        }
    }
    match joined {
        Node::And(mut parts) | Node::Or(mut parts) if parts.len() == 1 => parts.remove(0),
        joined => joined,
    }
}
