//! The walk that writes a tree as SQL of SQLite.
//!
//! Two rules keep it exact. Every condition is written in its own parentheses and yields 1 or 0, never NULL, so
//! AND, OR and NOT of SQL are the two-valued ones. And kinds are compared before SQL is written, because SQLite
//! would convert values of different types or order them by type.

use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::sqlite::Sqlite;

use crate::diesel::bind;
use crate::entity::{ColumnSchema, TableSchema};
use crate::evaluate;
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::value::Value;

mod function;

type Out<'a, 'p, 'b> = &'a mut AstPass<'p, 'b, Sqlite>;

/// Pushes a node as a condition.
pub(super) fn condition<'b>(table: &TableSchema, node: &'b Node, out: Out<'_, '_, 'b>) -> QueryResult<()> {
    match node {
        Node::And(parts) => list(table, parts, " AND ", "1", out),
        Node::Or(parts) => list(table, parts, " OR ", "0", out),
        Node::Not(inner) => {
            out.push_sql("(NOT ");
            condition(table, inner, out)?;
            out.push_sql(")");
            Ok(())
        }
        Node::Compare(comparison, left, right) => match (&**left, &**right) {
            (left @ Node::Literal(_), right) if !matches!(right, Node::Literal(_)) => {
                compare(table, comparison.flipped(), right, left, out)
            }
            (left, right) => compare(table, *comparison, left, right, out),
        },
        Node::Call(function, arguments) if function.kind() == Kind::Bool => {
            call(table, *function, arguments, out)
        }
        Node::Call(..) => constant(false, out),
        Node::Literal(value) => constant(*value == Value::Bool(true), out),
        Node::Column(column) if Kind::of(column.ty) == Kind::Bool => flag(table, column, out),
        Node::Column(_) => constant(false, out),
    }
}

/// Pushes a node as a value.
pub(super) fn value<'b>(table: &TableSchema, node: &'b Node, out: Out<'_, '_, 'b>) -> QueryResult<()> {
    match node {
        Node::Column(schema) => column(table, schema, out),
        Node::Literal(value) => bind::literal(value, out),
        Node::Call(function, arguments) if function.kind() != Kind::Bool => {
            function::value(table, *function, arguments, out)
        }
        node => condition(table, node, out),
    }
}

/// Pushes a boolean column as a condition.
pub(super) fn flag(table: &TableSchema, schema: &ColumnSchema, out: Out<'_, '_, '_>) -> QueryResult<()> {
    out.push_sql("(");
    column(table, schema, out)?;
    // `IS 1` finds an index, `IS TRUE` does not.
    out.push_sql(" IS 1)");
    Ok(())
}

/// Pushes a column's qualified name.
pub(super) fn column(table: &TableSchema, schema: &ColumnSchema, out: Out<'_, '_, '_>) -> QueryResult<()> {
    out.push_identifier(table.name)?;
    out.push_sql(".");
    out.push_identifier(schema.name)
}

fn constant(value: bool, out: Out<'_, '_, '_>) -> QueryResult<()> {
    out.push_sql(if value { "1" } else { "0" });
    Ok(())
}

/// SQLite limits the depth of expressions to 1000 and reads a list of ANDs as a ladder: long lists are written as
/// a tree.
fn list<'b>(
    table: &TableSchema,
    parts: &'b [Node],
    operator: &str,
    empty: &str,
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    const LADDER: usize = 32;
    match parts {
        [] => out.push_sql(empty),
        [only] => condition(table, only, out)?,
        parts if parts.len() > LADDER => {
            let (left, right) = parts.split_at(parts.len() / 2);
            out.push_sql("(");
            list(table, left, operator, empty, out)?;
            out.push_sql(operator);
            list(table, right, operator, empty, out)?;
            out.push_sql(")");
        }
        parts => {
            for (index, part) in parts.iter().enumerate() {
                out.push_sql(if index == 0 { "(" } else { operator });
                condition(table, part, out)?;
            }
            out.push_sql(")");
        }
    }
    Ok(())
}

/// Pushes a comparison; a constant, if there is one beside something else, stands on the right.
fn compare<'b>(
    table: &TableSchema,
    comparison: Comparison,
    left: &'b Node,
    right: &'b Node,
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    match (left, right) {
        (Node::Literal(left), Node::Literal(right)) => {
            return constant(evaluate::compare(comparison, left.as_ref(), right.as_ref()), out);
        }
        // SQLite would bind NaN as NULL.
        (_, Node::Literal(Value::Real(number))) if number.is_nan() => {
            return constant(comparison == Comparison::Ne, out);
        }
        _ => {}
    }
    let comparable = left.kind().is_comparable_with(right.kind());
    let operator = match comparison {
        Comparison::Eq | Comparison::Ne if !comparable => {
            return both_null(table, comparison, left, right, out);
        }
        Comparison::Eq => " IS ",
        Comparison::Ne => " IS NOT ",
        _ if !comparable || right.kind() == Kind::Null => return constant(false, out),
        Comparison::Gt => " > ",
        Comparison::Ge => " >= ",
        Comparison::Lt => " < ",
        Comparison::Le => " <= ",
    };
    out.push_sql("(");
    if !matches!(comparison, Comparison::Eq | Comparison::Ne) {
        not_null(table, left, out)?;
        not_null(table, right, out)?;
    }
    value(table, left, out)?;
    out.push_sql(operator);
    value(table, right, out)?;
    out.push_sql(")");
    Ok(())
}

/// Pushes `eq` or `ne` of kinds that never equal each other, which is whether both are null.
fn both_null<'b>(
    table: &TableSchema,
    comparison: Comparison,
    left: &'b Node,
    right: &'b Node,
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    if !may_be_null(left) || !may_be_null(right) {
        return constant(comparison == Comparison::Ne, out);
    }
    let (middle, end) = if comparison == Comparison::Eq {
        (" IS NULL AND ", " IS NULL)")
    } else {
        (" IS NOT NULL OR ", " IS NOT NULL)")
    };
    out.push_sql("(");
    value(table, left, out)?;
    out.push_sql(middle);
    value(table, right, out)?;
    out.push_sql(end);
    Ok(())
}

/// Pushes the test that a value is not NULL, followed by AND; nothing for what is never NULL.
fn not_null<'b>(table: &TableSchema, node: &'b Node, out: Out<'_, '_, 'b>) -> QueryResult<()> {
    if may_be_null(node) {
        value(table, node, out)?;
        out.push_sql(" IS NOT NULL AND ");
    }
    Ok(())
}

/// Columns and the values of functions; conditions are 1 or 0, and constants were judged before.
fn may_be_null(node: &Node) -> bool {
    match node {
        Node::Column(_) => true,
        Node::Call(function, _) => function.kind() != Kind::Bool,
        _ => false,
    }
}

fn call<'b>(
    table: &TableSchema,
    function: Function,
    arguments: &'b [Node],
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    let [text, part] = arguments else { return constant(false, out) };
    if text.kind() != Kind::Text || part.kind() != Kind::Text {
        return constant(false, out);
    }
    match (function, part) {
        (Function::Contains, _) => {
            out.push_sql("(coalesce(instr(");
            value(table, text, out)?;
            out.push_sql(", ");
            value(table, part, out)?;
            out.push_sql("), 0) > 0)");
        }
        (Function::StartsWith, Node::Literal(Value::Text(prefix))) => {
            out.push_sql("(");
            not_null(table, text, out)?;
            value(table, text, out)?;
            out.push_sql(" >= ");
            bind::text(prefix, out)?;
            if bind::has_end(prefix) {
                out.push_sql(" AND ");
                value(table, text, out)?;
                out.push_sql(" < ");
                bind::end_of_prefix(prefix, out)?;
            }
            out.push_sql(")");
        }
        (Function::StartsWith, _) => edge(table, text, part, ", 1, length(", out)?,
        (Function::EndsWith, _) => edge(table, text, part, ", -length(", out)?,
        _ => constant(false, out)?,
    }
    Ok(())
}

/// Pushes the comparison of one end of a text with another text.
///
/// As bytes, because SQLite's `length` and `substr` of text stop at U+0000; an end that is equal in bytes is equal in
/// characters. The empty part is told apart because `substr` of an empty blob is NULL.
fn edge<'b>(
    table: &TableSchema,
    text: &'b Node,
    part: &'b Node,
    start: &str,
    out: Out<'_, '_, 'b>,
) -> QueryResult<()> {
    out.push_sql("(");
    not_null(table, text, out)?;
    out.push_sql("coalesce(");
    value(table, part, out)?;
    out.push_sql(" = '' OR substr(CAST(");
    value(table, text, out)?;
    out.push_sql(" AS BLOB)");
    out.push_sql(start);
    out.push_sql("CAST(");
    value(table, part, out)?;
    out.push_sql(" AS BLOB))) = CAST(");
    value(table, part, out)?;
    out.push_sql(" AS BLOB), 0))");
    Ok(())
}
