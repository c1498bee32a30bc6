//! Division of a predicate into what the server filters and what is filtered here.
//!
//! A pull asks the server for the `remote` part and judges every row it gets with `local_rest` before storing
//! it. The rule that may never break: the remote part holds for every row the predicate holds for. It may hold
//! for more, since those rows only cost time.
//!
//! How: the predicate is cut into conjuncts; each is brought into negation normal form and rewritten for what
//! the [`ServerProfile`] says of the server. Comparisons get tests for null where the server has SQL's logic;
//! dates are widened to the precision of the server; what the server would answer with too few rows is left
//! out. A list of alternatives is sent only when each alternative has a part to send. A conjunct that is not
//! sent exactly as it is stays in the local rest.

use std::fmt;

use crate::odata;
use crate::predicate::{Function, Node};
use crate::profile::ServerProfile;
use crate::protocol::Dialect;

mod atom;
mod computed;
mod explain;
mod normal;

pub use self::explain::{ExplainedPart, Explanation, explain};

/// A divided predicate: `remote and local_rest` means what the predicate means.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushdown {
    /// What to send; `None` asks for every row. It can always be rendered in the dialect.
    pub remote: Option<Node>,
    /// What to judge each answered row with; `None` where the server's answer is exact.
    pub local_rest: Option<Node>,
    /// Why something stays here, each reason once.
    pub reasons: Vec<Reason>,
}

/// Why a condition was not sent, or not sent exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The server does not evaluate this function as we do.
    Function(Function),
    /// The dialect has no word for this function.
    Dialect(Function),
    /// The server may compare text without case or in another order.
    Text,
    /// The server keeps fewer digits of a date.
    Date,
    /// The server loses digits of large integers, or keeps more of an `f32` than the column has.
    Number,
    /// The server does not compare uuids by value.
    Uuid,
    /// The column (its local name) is never sent, cannot be named, or is not filtered by on this server.
    Column(&'static str),
    /// A constant that no text can carry, such as infinity.
    Value,
    /// A form that has no counterpart in the dialect.
    Form,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(function) => {
                write!(f, "the server is not trusted with the function {function:?}")
            }
            Self::Dialect(function) => write!(f, "the dialect has no word for the function {function:?}"),
            Self::Text => f.write_str("the server may compare text without case or in another order"),
            Self::Date => f.write_str("the server keeps fewer digits of dates"),
            Self::Number => f.write_str("the server keeps other digits of large integers or f32 columns"),
            Self::Uuid => f.write_str("the server does not compare uuids by value"),
            Self::Column(name) => write!(f, "the column {name} cannot stand in a filter"),
            Self::Value => f.write_str("a constant cannot be written in a filter"),
            Self::Form => f.write_str("a condition has no counterpart in a filter"),
        }
    }
}

/// Divides a predicate for a server.
///
/// ```
/// use sync_core::entity::{DELETED, ID};
/// use sync_core::odata::render;
/// use sync_core::predicate::{Comparison, Function, Node};
/// use sync_core::profile::ServerProfile;
/// use sync_core::protocol::Dialect;
/// use sync_core::pushdown::split;
/// use sync_core::value::Value;
///
/// let live = Node::compare(&DELETED, Comparison::Eq, Value::Bool(false));
/// let part = vec![Node::Column(&ID), Node::Literal(Value::Text("a".into()))];
/// let predicate = live.and(Node::Call(Function::Contains, part.clone()));
/// let divided = split(&predicate, &ServerProfile::node_sqlite(), Dialect::MobileApps);
/// let remote = divided.remote.expect("the first half is sent");
/// assert_eq!(render(&remote, Dialect::MobileApps)?, "(deleted eq false)");
/// assert_eq!(divided.local_rest, Some(Node::Call(Function::Contains, part)));
/// # Ok::<(), sync_core::Error>(())
/// ```
pub fn split(node: &Node, profile: &ServerProfile, dialect: Dialect) -> Pushdown {
    let mut conjuncts = Vec::new();
    cut(node, false, &mut conjuncts);
    let mut pushdown = Pushdown { remote: None, local_rest: None, reasons: Vec::new() };
    let (mut remote, mut rest) = (Vec::new(), Vec::new());
    for conjunct in conjuncts {
        let sent = send(&normal::form(&conjunct, false), profile, dialect, &mut pushdown.reasons);
        let exact = sent.as_ref().is_some_and(|sent| sent.exact);
        remote.extend(sent.map(|sent| sent.node).filter(|node| !node.is_always()));
        if !exact {
            rest.push(conjunct);
        }
    }
    pushdown.remote = join(remote);
    pushdown.local_rest = join(rest);
    pushdown
}

/// What of a condition is sent: a condition that holds wherever the original holds.
struct Sent {
    node: Node,
    /// Whether it also holds nowhere else.
    exact: bool,
}

/// Cuts a condition, or its complement, into conditions that must all hold.
fn cut(node: &Node, negated: bool, out: &mut Vec<Node>) {
    match (node, negated) {
        (Node::And(parts), false) | (Node::Or(parts), true) => {
            parts.iter().for_each(|part| cut(part, negated, out));
        }
        (Node::Not(inner), _) => cut(inner, !negated, out),
        (node, false) => out.push(node.clone()),
        (node, true) => out.push(node.clone().negate()),
    }
}

/// The sendable part of a condition in normal form, if there is one.
fn send(node: &Node, profile: &ServerProfile, dialect: Dialect, reasons: &mut Vec<Reason>) -> Option<Sent> {
    match node {
        Node::And(parts) => {
            let sent: Vec<Option<Sent>> =
                parts.iter().map(|part| send(part, profile, dialect, reasons)).collect();
            let exact = sent.iter().all(|sent| sent.as_ref().is_some_and(|sent| sent.exact));
            let nodes: Vec<Node> = sent.into_iter().flatten().map(|sent| sent.node).collect();
            // No part to send at all is not the same as an empty list, which is always true and exact.
            if nodes.is_empty() && !exact {
                return None;
            }
            Some(Sent { node: join(nodes).unwrap_or(Node::ALWAYS), exact })
        }
        Node::Or(parts) => {
            let mut sent = Sent { node: Node::Or(Vec::new()), exact: true };
            let mut complete = true;
            for part in parts {
                // Goes on after a part that is not sent, so that all reasons are told.
                match send(part, profile, dialect, reasons) {
                    Some(part) => {
                        sent.node = sent.node.or(part.node);
                        sent.exact &= part.exact;
                    }
                    None => complete = false,
                }
            }
            complete.then_some(sent)
        }
        atom => match atom::send(atom, profile, dialect).and_then(|sent| written(sent, dialect)) {
            Ok((node, reason)) => {
                let exact = reason.is_none();
                note(reasons, reason);
                Some(Sent { node, exact })
            }
            Err(reason) => {
                note(reasons, Some(reason));
                None
            }
        },
    }
}

/// Only what can be written is sent, whatever tree was given: an untyped one may hold forms that no typed code makes.
fn written(
    (node, reason): (Node, Option<Reason>),
    dialect: Dialect,
) -> Result<(Node, Option<Reason>), Reason> {
    odata::render(&node, dialect).map(|_| (node, reason)).map_err(|_| Reason::Form)
}

fn note(reasons: &mut Vec<Reason>, reason: Option<Reason>) {
    if let Some(reason) = reason
        && !reasons.contains(&reason)
    {
        reasons.push(reason);
    }
}

fn join(nodes: Vec<Node>) -> Option<Node> {
    let mut nodes = nodes.into_iter();
    let first = nodes.next()?;
    Some(nodes.fold(first, Node::and))
}

#[cfg(test)]
mod tests;
