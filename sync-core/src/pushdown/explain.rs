//! A divided predicate in words.

use std::fmt;

use crate::error::Result;
use crate::odata;
use crate::predicate::{Node, Predicate};
use crate::profile::ServerProfile;
use crate::protocol::Dialect;
use crate::pushdown::{Pushdown, Reason, cut, split};

/// What becomes of a predicate that is pulled with: what the server is asked, what is judged on this device, and
/// why. Made by [`explain`].
///
/// It is meant to be read: [`Display`](fmt::Display) writes some lines, constants of the predicate included.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The dialect of the text.
    pub dialect: Dialect,
    /// The text of `$filter`, not percent-encoded; `None` asks for every row.
    pub filter: Option<String>,
    /// Whether the server's answer is exact, so that nothing is judged on this device.
    pub is_exact: bool,
    /// The conditions that must all hold, in order.
    pub parts: Vec<ExplainedPart>,
}

/// One of the conditions of a predicate, all of which must hold.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedPart {
    /// The condition.
    pub condition: Node,
    /// What of it is sent; `None` if nothing is.
    pub filter: Option<String>,
    /// Why it is also judged on this device; empty where the server's answer is exact.
    pub reasons: Vec<Reason>,
}

/// Tells how a server with this profile is asked for a predicate.
///
/// ```
/// use sync_core::entity::{DELETED, ID, TableSchema};
/// use sync_core::predicate::{Comparison, Function, Node, Predicate};
/// use sync_core::profile::ServerProfile;
/// use sync_core::protocol::Dialect;
/// use sync_core::pushdown::explain;
/// use sync_core::value::Value;
///
/// static TABLE: TableSchema =
///     TableSchema { name: "TodoItem", columns: &[], versioned: true, keep_deleted: false };
/// let live = Node::compare(&DELETED, Comparison::Eq, Value::Bool(false));
/// let id = Node::Call(Function::Contains, vec![Node::Column(&ID), Node::Literal(Value::Text("a".into()))]);
/// let predicate = Predicate { table: &TABLE, node: live.and(id) };
/// let explained = explain(&predicate, &ServerProfile::node_sqlite(), Dialect::MobileApps)?;
/// assert_eq!(explained.filter.as_deref(), Some("(deleted eq false)"));
/// assert!(!explained.is_exact);
/// assert!(explained.to_string().contains("contains(id, 'a')"));
/// # Ok::<(), sync_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`odata::render`]; none are known, since what a dialect cannot say is not sent.
pub fn explain(predicate: &Predicate, profile: &ServerProfile, dialect: Dialect) -> Result<Explanation> {
    let text = |pushdown: &Pushdown| {
        pushdown.remote.as_ref().map(|remote| odata::render(remote, dialect)).transpose()
    };
    let whole = split(&predicate.node, profile, dialect);
    let mut conditions = Vec::new();
    cut(&predicate.node, false, &mut conditions);
    let parts = conditions
        .into_iter()
        .map(|condition| {
            let part = split(&condition, profile, dialect);
            Ok(ExplainedPart { condition, filter: text(&part)?, reasons: part.reasons })
        })
        .collect::<Result<_>>()?;
    Ok(Explanation { dialect, filter: text(&whole)?, is_exact: whole.local_rest.is_none(), parts })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.filter {
            Some(filter) => writeln!(f, "asked of the server: {filter}")?,
            None => writeln!(f, "asked of the server: every row")?,
        }
        if self.is_exact {
            return f.write_str("judged on this device: nothing, the server's answer is exact");
        }
        f.write_str("judged on this device:")?;
        for part in self.parts.iter().filter(|part| !part.reasons.is_empty()) {
            write!(f, "\n- {}", part.condition)?;
            if let Some(filter) = &part.filter {
                write!(f, "\n  (of which the server is asked {filter})")?;
            }
            for reason in &part.reasons {
                write!(f, "\n  because {reason}")?;
            }
        }
        Ok(())
    }
}
