//! Negation normal form: `not` stands only before a function call, or before a form nobody can send.
//!
//! On the way everything known without a row is decided, constants go to the right, and conditions compared
//! with conditions become plain ones. The result means the same as the original under the two-valued rules of
//! [`crate::predicate`].

use crate::evaluate;
use crate::predicate::{Comparison, Kind, Node};
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
            let (comparison, left, right) = match (&**left, &**right) {
                (Node::Literal(_), right) if !matches!(right, Node::Literal(_)) => {
                    (comparison.flipped(), right, &**left)
                }
                (left, right) => (*comparison, left, right),
            };
            compare(comparison, left, right, negated)
        }
        Node::Literal(value) => constant((*value == Value::Bool(true)) != negated),
        Node::Column(_) if node.kind() != Kind::Bool => constant(negated),
        Node::Column(column) => {
            let comparison = if negated { Comparison::Ne } else { Comparison::Eq };
            Node::compare(column, comparison, Value::Bool(true))
        }
        Node::Call(_, arguments) => {
            let callable = arguments.len() == 2 && arguments.iter().all(|part| part.kind() == Kind::Text);
            match (callable, negated) {
                (false, _) => constant(negated),
                (true, false) => node.clone(),
                (true, true) => Node::Not(Box::new(node.clone())),
            }
        }
    }
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

/// `side eq null` or `side ne null`, if the side can be null at all.
pub(super) fn null_test(side: &Node, comparison: Comparison) -> Option<Node> {
    match side {
        Node::Column(column) if column.nullable => Some(Node::compare(column, comparison, Value::Null)),
        _ => None,
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
