//! A condition becomes SQL of this server's tables.
//!
//! The tree has two truth values, SQL has three. Inside `AND`, `OR` and at the top, SQL's unknown counts as
//! false, so only two places need care: `NOT` is written as `(..) IS NOT TRUE`, and a condition used as a value
//! as `(..) IS TRUE`. `eq` and `ne` are `IS` and `IS NOT` unless neither side can be null. This keeps
//! comparisons with a constant usable by an index.
//!
//! Text is never matched by `LIKE`: `instr` and byte-wise `substr` have no wildcards and no case folding.
//!
//! Functions that know nothing of how this server stores instants are written as the local database writes them
//! ([`sync_core::diesel::function`]); that they are right is found by comparing both with the evaluator
//! (`tests/src/differential.rs`).

use sync_core::diesel::function::{TooLong, pieces};
use sync_core::entity::{ColumnRole, ColumnSchema};
use sync_core::odata;
use sync_core::predicate::{Comparison, Function, Kind, Node};
use sync_core::value::Value;

use super::schema::field_name;
use super::statement::{Bind, Statement};
use crate::table::{Field, Table};

/// SQLite's message when a text would be longer than it, or this server, allows.
pub(super) const TOO_LONG: &str = "string or blob too big";

/// A tree this server cannot run; the message is for the client.
#[derive(Debug, PartialEq)]
pub(crate) struct Unsupported(pub(crate) String);

type Result<T> = std::result::Result<T, Unsupported>;

/// Appends the condition, in parentheses where it needs them; unknown means false.
pub(crate) fn condition(out: &mut Statement, table: &Table, node: &Node) -> Result<()> {
    match node {
        Node::And(parts) => join(out, table, parts, " AND ", "1"),
        Node::Or(parts) => join(out, table, parts, " OR ", "0"),
        Node::Not(inner) => {
            out.sql("((");
            condition(out, table, inner)?;
            out.sql(") IS NOT TRUE)");
            Ok(())
        }
        Node::Literal(Value::Bool(value)) => {
            out.sql(if *value { "1" } else { "0" });
            Ok(())
        }
        Node::Literal(Value::Null) => {
            out.sql("0");
            Ok(())
        }
        Node::Column(column) => {
            out.sql("(");
            column_name(out, table, column)?;
            out.sql(" = 1)");
            Ok(())
        }
        Node::Compare(comparison, left, right) => compare(out, table, *comparison, left, right),
        Node::Call(function, arguments) => call(out, table, *function, arguments),
        _ => Err(Unsupported("a value stands where a condition must".into())),
    }
}

/// Joins conditions as a balanced tree: SQLite limits the depth of an expression, and a long chain of `or` is
/// as deep as it is long.
fn join(out: &mut Statement, table: &Table, parts: &[Node], operator: &str, empty: &str) -> Result<()> {
    match parts {
        [] => {
            out.sql(empty);
            Ok(())
        }
        [part] => condition(out, table, part),
        parts => {
            let (left, right) = parts.split_at(parts.len() / 2);
            out.sql("(");
            join(out, table, left, operator, empty)?;
            out.sql(operator);
            join(out, table, right, operator, empty)?;
            out.sql(")");
            Ok(())
        }
    }
}

fn compare(
    out: &mut Statement,
    table: &Table,
    comparison: Comparison,
    left: &Node,
    right: &Node,
) -> Result<()> {
    let (left, right, comparison) = match (left, right) {
        // Constants stand on the right from here on.
        (Node::Literal(_), other) if !matches!(other, Node::Literal(_)) => {
            (right, left, mirrored(comparison))
        }
        _ => (left, right, comparison),
    };
    let comparison = match right {
        Node::Literal(Value::DateTime(instant)) if instant.timestamp_subsec_nanos() % 100 != 0 => {
            // Stored instants are whole ticks of 100 ns; the constant, cut down to one, lies just below its
            // true place.
            match comparison {
                Comparison::Ge => Comparison::Gt,
                Comparison::Lt => Comparison::Le,
                Comparison::Eq => {
                    out.sql("0");
                    return Ok(());
                }
                Comparison::Ne => {
                    out.sql("1");
                    return Ok(());
                }
                other => other,
            }
        }
        _ => comparison,
    };
    let null_safe = may_be_null(left) || may_be_null(right);
    let operator = match (comparison, null_safe) {
        (Comparison::Eq, true) => " IS ",
        (Comparison::Eq, false) => " = ",
        (Comparison::Ne, true) => " IS NOT ",
        (Comparison::Ne, false) => " <> ",
        (Comparison::Gt, _) => " > ",
        (Comparison::Ge, _) => " >= ",
        (Comparison::Lt, _) => " < ",
        (Comparison::Le, _) => " <= ",
    };
    out.sql("(");
    value(out, table, left)?;
    out.sql(operator);
    value(out, table, right)?;
    out.sql(")");
    Ok(())
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        same => same,
    }
}

/// User columns can be null whatever the schema says now: it may have said otherwise when a row was stored.
fn may_be_null(node: &Node) -> bool {
    match node {
        Node::Column(column) => column.role == ColumnRole::User,
        Node::Literal(value) => *value == Value::Null,
        Node::Call(function, _) => function.kind() != Kind::Bool,
        _ => false,
    }
}

/// Appends the value of a node.
pub(crate) fn value(out: &mut Statement, table: &Table, node: &Node) -> Result<()> {
    match node {
        Node::Column(column) => column_name(out, table, column),
        Node::Literal(value) => {
            out.bind(Bind::from(value));
            Ok(())
        }
        Node::Call(function, arguments) if function.kind() != Kind::Bool => {
            computed(out, table, *function, arguments)
        }
        condition_as_value => {
            out.sql("((");
            condition(out, table, condition_as_value)?;
            out.sql(") IS TRUE)");
            Ok(())
        }
    }
}

/// Appends the value of a function.
fn computed(out: &mut Statement, table: &Table, function: Function, arguments: &[Node]) -> Result<()> {
    if !function.accepts(arguments) {
        return Err(Unsupported("a function is called with wrong arguments".into()));
    }
    // Instants are ticks of 100 ns; `strftime` takes seconds.
    let texts: &[&str] = match function {
        Function::Year => &["CAST(strftime('%Y', (", SECONDS],
        Function::Month => &["CAST(strftime('%m', (", SECONDS],
        Function::Day => &["CAST(strftime('%d', (", SECONDS],
        Function::Hour => &["CAST(strftime('%H', (", SECONDS],
        Function::Minute => &["CAST(strftime('%M', (", SECONDS],
        Function::Second => &["CAST(strftime('%S', (", SECONDS],
        Function::Date => {
            &["((", " + 621355968000000000) / 864000000000 * 864000000000 - 621355968000000000)"]
        }
        Function::Time => &["((", " + 621355968000000000) % 864000000000)"],
        _ => pieces(function, TooLong::Fails)
            .ok_or_else(|| Unsupported("this server does not have the function".into()))?,
    };
    for (index, text) in texts.iter().enumerate() {
        out.sql(text);
        if let (Some(argument), true) = (arguments.get(index), index + 1 < texts.len()) {
            value(out, table, argument)?;
        }
    }
    Ok(())
}

/// Ticks to whole seconds, downwards also before 1970: shifted to year 1 they are positive.
const SECONDS: &str = " + 621355968000000000) / 10000000 - 62135596800, 'unixepoch') AS INTEGER)";

fn call(out: &mut Statement, table: &Table, function: Function, arguments: &[Node]) -> Result<()> {
    let [text, part] = arguments else {
        return Err(Unsupported("a function has the wrong number of arguments".into()));
    };
    let mut pieces = |texts: &[&str], nodes: &[&Node]| -> Result<()> {
        for (index, text) in texts.iter().enumerate() {
            out.sql(text);
            if let Some(node) = nodes.get(index) {
                value(out, table, node)?;
            }
        }
        Ok(())
    };
    match function {
        Function::Contains => pieces(&["(instr(", ", ", ") > 0)"], &[text, part]),
        Function::StartsWith => pieces(&["(instr(", ", ", ") = 1)"], &[text, part]),
        // As bytes: `length` of a text stops at a NUL character. An empty end would take all of `substr`.
        Function::EndsWith => pieces(
            &[
                "(",
                " IS NOT NULL AND (",
                " = '' OR substr(CAST(",
                " AS BLOB), -length(CAST(",
                " AS BLOB))) = CAST(",
                " AS BLOB)))",
            ],
            &[text, part, text, part, part],
        ),
        _ => Err(Unsupported("this server does not have the function".into())),
    }
}

fn column_name(out: &mut Statement, table: &Table, column: &'static ColumnSchema) -> Result<()> {
    let field = match column.role {
        ColumnRole::Id => Field::Id,
        ColumnRole::Version => Field::Version,
        ColumnRole::UpdatedAt => Field::UpdatedAt,
        ColumnRole::Deleted => Field::Deleted,
        ColumnRole::User => match table.columns.iter().position(|known| known.name == column.name) {
            Some(index) => Field::Column(index),
            None if odata::CREATED_AT.iter().any(|created| created == column) => Field::CreatedAt,
            None => return Err(Unsupported(format!("the table has no column {}", column.name))),
        },
    };
    out.name(field_name(table, field));
    Ok(())
}
