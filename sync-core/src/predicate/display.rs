//! A tree in readable form: nearly OData, with the local names of columns, and for every tree.

use std::fmt;

use crate::predicate::{Comparison, Function, Node};
use crate::time;
use crate::value::Value;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column.name),
            Self::Literal(value) => literal(value, f),
            Self::Compare(comparison, left, right) => {
                operand(left, f)?;
                write!(f, " {} ", word(*comparison))?;
                operand(right, f)
            }
            Self::And(parts) => list(parts, " and ", "true", f),
            Self::Or(parts) => list(parts, " or ", "false", f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                operand(inner, f)
            }
            Self::Call(function, arguments) => match (operator(*function), &arguments[..]) {
                (Some(operator), [left, right]) => {
                    operand(left, f)?;
                    write!(f, " {operator} ")?;
                    operand(right, f)
                }
                _ => {
                    write!(f, "{}(", name(*function))?;
                    for (index, argument) in arguments.iter().enumerate() {
                        write!(f, "{}{argument}", if index == 0 { "" } else { ", " })?;
                    }
                    f.write_str(")")
                }
            },
        }
    }
}

/// A part beside an operator: in parentheses if it has an operator of its own.
fn operand(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_plain = match node {
        Node::Column(_) | Node::Literal(_) => true,
        Node::Call(function, _) => operator(*function).is_none(),
        _ => false,
    };
    if is_plain { write!(f, "{node}") } else { write!(f, "({node})") }
}

fn list(parts: &[Node], separator: &str, empty: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match parts {
        [] => f.write_str(empty),
        [only] => write!(f, "{only}"),
        parts => {
            for (index, part) in parts.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { separator })?;
                match part {
                    Node::And(parts) | Node::Or(parts) if parts.len() > 1 => write!(f, "({part})")?,
                    part => write!(f, "{part}")?,
                }
            }
            Ok(())
        }
    }
}

fn literal(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Integer(value) => write!(f, "{value}"),
        Value::Real(value) => write!(f, "{value:?}"),
        Value::Text(value) => {
            f.write_str("'")?;
            for character in value.chars() {
                match character {
                    '\'' => f.write_str("''")?,
                    control if control.is_control() => write!(f, "{}", control.escape_default())?,
                    character => write!(f, "{character}")?,
                }
            }
            f.write_str("'")
        }
        Value::DateTime(value) if time::is_storable(*value) => {
            let mut text = String::with_capacity(30);
            time::write_wire(&mut text, *value);
            f.write_str(&text)
        }
        Value::DateTime(value) => write!(f, "{value:?}"),
        Value::Uuid(value) => write!(f, "{}", value.as_hyphenated()),
    }
}

const fn word(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => "eq",
        Comparison::Ne => "ne",
        Comparison::Gt => "gt",
        Comparison::Ge => "ge",
        Comparison::Lt => "lt",
        Comparison::Le => "le",
    }
}

const fn operator(function: Function) -> Option<&'static str> {
    Some(match function {
        Function::Add => "add",
        Function::Sub => "sub",
        Function::Mul => "mul",
        Function::Div => "div",
        Function::Mod => "mod",
        _ => return None,
    })
}

const fn name(function: Function) -> &'static str {
    match function {
        Function::Contains => "contains",
        Function::StartsWith => "startswith",
        Function::EndsWith => "endswith",
        Function::Length => "length",
        Function::IndexOf => "indexof",
        Function::SubstringFrom | Function::Substring => "substring",
        Function::Replace => "replace",
        Function::ToLower => "tolower",
        Function::ToUpper => "toupper",
        Function::Trim => "trim",
        Function::Concat => "concat",
        Function::Add => "add",
        Function::Sub => "sub",
        Function::Mul => "mul",
        Function::Div => "div",
        Function::Mod => "mod",
        Function::Round => "round",
        Function::Floor => "floor",
        Function::Ceiling => "ceiling",
        Function::Year => "year",
        Function::Month => "month",
        Function::Day => "day",
        Function::Hour => "hour",
        Function::Minute => "minute",
        Function::Second => "second",
        Function::Date => "date",
        Function::Time => "time",
    }
}
