//! Smaller conditions that may show the same fault.

use sync_core::predicate::{Kind, Node};

/// Conditions that are parts of this one or have a part less, the smallest first.
pub(super) fn candidates(node: &Node) -> Vec<Node> {
    let mut out = Vec::new();
    conditions_within(node, &mut out);
    out.extend(with_smaller_parts(node));
    out.retain(|candidate| candidate.kind() == Kind::Bool && size(candidate) < size(node));
    out.sort_by_key(size);
    out
}

fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => parts.iter().collect(),
        Node::Not(inner) => vec![inner],
        Node::Compare(_, left, right) => vec![left, right],
        _ => Vec::new(),
    }
}

fn size(node: &Node) -> usize {
    1 + children(node).into_iter().map(size).sum::<usize>()
}

fn conditions_within(node: &Node, out: &mut Vec<Node>) {
    for child in children(node) {
        if child.kind() == Kind::Bool && !matches!(child, Node::Literal(_)) {
            out.push(child.clone());
        }
        conditions_within(child, out);
    }
}

/// The node with one part left out of a list, or one part replaced by something of its kind within that part.
fn with_smaller_parts(node: &Node) -> Vec<Node> {
    let mut out = Vec::new();
    if let Node::And(parts) | Node::Or(parts) = node {
        for index in 0..parts.len() {
            let mut fewer = parts.clone();
            fewer.remove(index);
            out.push(if matches!(node, Node::And(_)) { Node::And(fewer) } else { Node::Or(fewer) });
        }
    }
    for (index, child) in children(node).into_iter().enumerate() {
        let mut smaller = with_smaller_parts(child);
        let mut within = Vec::new();
        values_within(child, &mut within);
        smaller.extend(within.into_iter().filter(|part| part.kind() == child.kind()));
        out.extend(smaller.into_iter().map(|part| with_child(node, index, part)));
    }
    out
}

fn values_within(node: &Node, out: &mut Vec<Node>) {
    for child in children(node) {
        out.push(child.clone());
        values_within(child, out);
    }
}

fn with_child(node: &Node, index: usize, child: Node) -> Node {
    let mut node = node.clone();
    match &mut node {
        Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => parts[index] = child,
        Node::Not(inner) => **inner = child,
        Node::Compare(_, left, right) => **(if index == 0 { left } else { right }) = child,
        _ => {}
    }
    node
}
