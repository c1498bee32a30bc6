//! A condition becomes OData text.

use crate::entity::ColumnSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate;
use crate::odata::literal::{self, Beside};
use crate::odata::{ARITHMETIC, COMPARISONS, Form, is_expressible, signatures};
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::protocol::Dialect;
use crate::value::Value;

/// The text of a condition, for `$filter=`; not percent-encoded.
///
/// Every comparison and every list of conditions stands in parentheses, so that no parser's idea of precedence
/// matters; a bare boolean column is written as `(complete eq true)`, a constant as `(1 eq 1)` or `(1 eq 0)`;
/// `null` and other constants go to the right. The text says what the tree says and nothing more: a tree for a
/// server with SQL's logic of null must have been prepared by [`crate::pushdown::split`].
///
/// # Errors
///
/// - [`ErrorKind::InvalidValue`] for a constant that no text can carry: NaN, infinity, an instant outside the
///   years 0001 to 9999.
/// - [`ErrorKind::InvalidArgument`] for what has no text: a local column, a column whose name is not a plain
///   word, a value where a condition must stand, a comparison of different kinds, a function with wrong
///   arguments, a function the dialect has no word for ([`speaks`](crate::odata::speaks)).
pub fn render(node: &Node, dialect: Dialect) -> Result<String> {
    let mut text = String::new();
    Writer { out: &mut text, dialect }.condition(node)?;
    Ok(text)
}

struct Writer<'a> {
    out: &'a mut String,
    dialect: Dialect,
}

impl Writer<'_> {
    fn condition(&mut self, node: &Node) -> Result<()> {
        match node {
            Node::And(parts) => self.list(parts, " and ", true),
            Node::Or(parts) => self.list(parts, " or ", false),
            Node::Not(inner) => {
                self.out.push_str("not ");
                // A call is the one condition that brings no parentheses of its own; `not not (..)` is avoided
                // because not every parser takes it.
                if matches!(**inner, Node::Call(..) | Node::Not(_)) {
                    self.out.push('(');
                    self.condition(inner)?;
                    self.out.push(')');
                    Ok(())
                } else {
                    self.condition(inner)
                }
            }
            Node::Compare(comparison, left, right) => self.comparison(*comparison, left, right),
            Node::Call(function, arguments) if function.kind() == Kind::Bool => {
                self.call(*function, arguments)
            }
            Node::Call(..) => Err(wrong("a value stands where a condition must")),
            Node::Literal(value) => {
                self.constant(*value == Value::Bool(true));
                Ok(())
            }
            Node::Column(column) if node.kind() == Kind::Bool => {
                self.out.push('(');
                self.column(column)?;
                self.out.push_str(" eq true)");
                Ok(())
            }
            Node::Column(column) => Err(unwritable(column, "is no condition")),
        }
    }

    fn list(&mut self, parts: &[Node], separator: &str, empty: bool) -> Result<()> {
        match parts {
            [] => self.constant(empty),
            [only] => self.condition(only)?,
            parts => {
                self.out.push('(');
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(separator);
                    }
                    self.condition(part)?;
                }
                self.out.push(')');
            }
        }
        Ok(())
    }

    fn comparison(&mut self, comparison: Comparison, left: &Node, right: &Node) -> Result<()> {
        let (comparison, left, right) = match (left, right) {
            (Node::Literal(left), Node::Literal(right)) => {
                self.constant(evaluate::compare(comparison, left.as_ref(), right.as_ref()));
                return Ok(());
            }
            (Node::Literal(_), _) => (comparison.flipped(), right, left),
            _ => (comparison, left, right),
        };
        if !left.kind().is_comparable_with(right.kind()) || !self.have_one_form(left, right) {
            return Err(wrong("a comparison of values of different kinds cannot be sent in a filter"));
        }
        self.out.push('(');
        self.value(left, right)?;
        self.out.push(' ');
        self.out
            .push_str(COMPARISONS.iter().find(|(each, _)| *each == comparison).map_or("", |(_, name)| name));
        self.out.push(' ');
        self.value(right, left)?;
        self.out.push(')');
        Ok(())
    }

    /// OData 4 has types of their own for days and times of day, which compare only with their like.
    fn have_one_form(&self, left: &Node, right: &Node) -> bool {
        left.kind() != Kind::DateTime
            || right.kind() != Kind::DateTime
            || matches!(right, Node::Literal(_))
            || Form::of(left) == Form::of(right)
    }

    /// A value beside `other`, the other side of its comparison or operator.
    fn value(&mut self, node: &Node, other: &Node) -> Result<()> {
        match node {
            Node::Column(column) => self.column(column),
            Node::Literal(value) => literal::write(self.out, value, Beside::node(other), self.dialect),
            Node::Call(function, arguments) => self.call(*function, arguments),
            condition => self.condition(condition),
        }
    }

    fn call(&mut self, function: Function, arguments: &[Node]) -> Result<()> {
        if function.is_arithmetic() {
            return self.arithmetic(function, arguments);
        }
        let signature = signatures(self.dialect).find(|signature| signature.function == function);
        let Some(signature) = signature else {
            return Err(wrong(format!("the dialect has no word for the function {function:?}")));
        };
        let has_wrong_form =
            |argument| Node::kind(argument) == Kind::DateTime && Form::of(argument) != Form::Instant;
        if !function.accepts(arguments) || arguments.iter().any(has_wrong_form) {
            return Err(wrong(format!("the function {} is called with wrong arguments", signature.name)));
        }
        self.out.push_str(signature.name);
        self.out.push('(');
        for position in 0..arguments.len() {
            if position > 0 {
                self.out.push(',');
            }
            let index = if signature.reversed { arguments.len() - 1 - position } else { position };
            match &arguments[index] {
                Node::Column(column) => self.column(column)?,
                Node::Literal(value) => literal::write(self.out, value, Beside::NOTHING, self.dialect)?,
                Node::Call(function, arguments) => self.call(*function, arguments)?,
                condition => self.condition(condition)?,
            }
        }
        self.out.push(')');
        Ok(())
    }

    /// `a add b mul c`: operators bind to the left, `mul`, `div` and `mod` tighter; parentheses where the tree says
    /// otherwise.
    fn arithmetic(&mut self, function: Function, arguments: &[Node]) -> Result<()> {
        let operator = ARITHMETIC.iter().find(|operator| operator.0 == function);
        let (Some((_, name, tight)), [left, right], true) =
            (operator, arguments, function.accepts(arguments))
        else {
            return Err(wrong("arithmetic is called with wrong arguments"));
        };
        self.operand(left, right, |inner| inner || !tight)?;
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push(' ');
        self.operand(right, left, |inner| inner && !tight)
    }

    /// An operand, in parentheses unless it is a calculation that `binds` closely enough, told whether it is a tight
    /// one, or none at all.
    fn operand(&mut self, node: &Node, other: &Node, binds: impl Fn(bool) -> bool) -> Result<()> {
        let inner = match node {
            Node::Call(function, _) => ARITHMETIC.iter().find(|operator| operator.0 == *function),
            _ => None,
        };
        if inner.is_none_or(|(_, _, tight)| binds(*tight)) {
            return self.value(node, other);
        }
        self.out.push('(');
        self.value(node, other)?;
        self.out.push(')');
        Ok(())
    }

    fn column(&mut self, column: &'static ColumnSchema) -> Result<()> {
        if !is_expressible(column, self.dialect) {
            return Err(unwritable(column, "cannot be named in a filter"));
        }
        self.out.push_str(self.dialect.column_name(column));
        Ok(())
    }

    fn constant(&mut self, value: bool) {
        self.out.push_str(if value { "(1 eq 1)" } else { "(1 eq 0)" });
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message.into())
}

fn unwritable(column: &ColumnSchema, why: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the column {} {why}", column.name))
}
