//! Evaluation of a condition over one row in memory: the reference for what a tree means.
//!
//! The engine judges pulled rows with it (the local rest of a split filter), the memory store answers queries
//! with it, and tests compare the SQL and the OData text with it. The rules stand in [`crate::predicate`]; this
//! file adds the exact orders:
//!
//! - Integers and reals compare as the numbers they are, without rounding one to the type of the other. NaN
//!   equals nothing, not even itself, and is neither less nor greater.
//! - `false` is less than `true`. Text and uuids order by code point of their text. Instants order by time.
//! - Values of different kinds (text and a number, say) are never equal and never ordered: `eq` is false, `ne`
//!   is true, the others are false. Only null equals null whatever the columns' kinds are.
//! - Where a condition is wanted, a value that is not `true` counts as false; a function called with the wrong
//!   number or kind of arguments is false if it is a condition, else null.
//!
//! Nothing here fails or panics, whatever tree and row are given.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use crate::predicate::{Comparison, Function, Kind, Node};
use crate::row::RowView;
use crate::value::{Value, ValueRef};

use self::compute::compute;

mod compute;

/// Whether the condition holds for the row.
///
/// ```
/// use sync_core::entity::ID;
/// use sync_core::evaluate::matches;
/// use sync_core::predicate::{Comparison, Node};
/// use sync_core::row::RowView;
/// use sync_core::value::{Value, ValueRef};
///
/// struct OnlyId(&'static str);
/// impl RowView for OnlyId {
///     fn value(&self, _: &'static sync_core::entity::ColumnSchema) -> ValueRef<'_> {
///         ValueRef::Text(self.0)
///     }
/// }
/// let condition = Node::compare(&ID, Comparison::Ge, Value::Text("b".into()));
/// assert!(matches(&condition, &OnlyId("c")));
/// assert!(!matches(&condition, &OnlyId("B")));
/// ```
pub fn matches(node: &Node, row: &impl RowView) -> bool {
    match node {
        Node::And(parts) => parts.iter().all(|part| matches(part, row)),
        Node::Or(parts) => parts.iter().any(|part| matches(part, row)),
        Node::Not(inner) => !matches(inner, row),
        Node::Compare(comparison, left, right) => {
            compare(*comparison, value(left, row).as_ref(), value(right, row).as_ref())
        }
        Node::Call(function, arguments) if function.kind() == Kind::Bool => call(*function, arguments, row),
        Node::Column(_) | Node::Literal(_) | Node::Call(..) => {
            value(node, row).as_ref() == ValueRef::Bool(true)
        }
    }
}

/// A value of the row or of the tree, or a fresh one.
enum Computed<'a> {
    Borrowed(ValueRef<'a>),
    Owned(Value),
}

impl Computed<'_> {
    fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Borrowed(value) => *value,
            Self::Owned(value) => value.as_ref(),
        }
    }
}

/// The value of a node; a condition has the value `true` or `false`, never null.
fn value<'a>(node: &'a Node, row: &'a impl RowView) -> Computed<'a> {
    match node {
        Node::Column(column) => Computed::Borrowed(row.value(column)),
        Node::Literal(value) => Computed::Borrowed(value.as_ref()),
        Node::Call(function, arguments) if function.kind() != Kind::Bool => {
            let arguments: Vec<_> = arguments.iter().map(|argument| value(argument, row)).collect();
            let arguments: Vec<_> = arguments.iter().map(Computed::as_ref).collect();
            Computed::Owned(compute(*function, &arguments))
        }
        condition => Computed::Borrowed(ValueRef::Bool(matches(condition, row))),
    }
}

fn call(function: Function, arguments: &[Node], row: &impl RowView) -> bool {
    let [text, part] = arguments else { return false };
    let (text, part) = (value(text, row), value(part, row));
    let (ValueRef::Text(text), ValueRef::Text(part)) = (text.as_ref(), part.as_ref()) else {
        return false;
    };
    match function {
        Function::Contains => text.contains(part),
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        _ => false,
    }
}

/// The value of a node without columns; a column reads as null.
pub(crate) fn constant(node: &Node) -> Value {
    struct NoRow;

    impl RowView for NoRow {
        fn value(&self, _: &'static crate::entity::ColumnSchema) -> ValueRef<'_> {
            ValueRef::Null
        }
    }

    value(node, &NoRow).as_ref().to_value()
}

/// The value of a node over a row; `true` or `false` of a condition.
///
/// ```
/// use sync_core::evaluate::evaluate;
/// use sync_core::predicate::{Function, Node};
/// use sync_core::row::Row;
/// use sync_core::value::Value;
/// # use sync_core::row::TableRow;
/// # static TABLE: sync_core::entity::TableSchema =
/// #     sync_core::entity::TableSchema { name: "T", columns: &[], versioned: true, keep_deleted: false };
/// # let row = Row::new("a", Vec::new());
/// # let row = TableRow { table: &TABLE, row: &row };
/// let node = Node::Call(Function::Length, vec![Node::Literal(Value::Text("milk".into()))]);
/// assert_eq!(evaluate(&node, &row), Value::Integer(4));
/// ```
pub fn evaluate(node: &Node, row: &impl RowView) -> Value {
    value(node, row).as_ref().to_value()
}

/// Applies a comparison to two values, null included.
pub(crate) fn compare(comparison: Comparison, left: ValueRef<'_>, right: ValueRef<'_>) -> bool {
    let both_null = left == ValueRef::Null && right == ValueRef::Null;
    let ordering = order(left, right);
    match comparison {
        Comparison::Eq => both_null || ordering == Some(Ordering::Equal),
        Comparison::Ne => !both_null && ordering != Some(Ordering::Equal),
        Comparison::Gt => ordering.is_some_and(Ordering::is_gt),
        Comparison::Ge => ordering.is_some_and(Ordering::is_ge),
        Comparison::Lt => ordering.is_some_and(Ordering::is_lt),
        Comparison::Le => ordering.is_some_and(Ordering::is_le),
    }
}

/// The order of two values of one kind; `None` for null, NaN and different kinds.
fn order(left: ValueRef<'_>, right: ValueRef<'_>) -> Option<Ordering> {
    match (left, right) {
        (ValueRef::Bool(left), ValueRef::Bool(right)) => Some(left.cmp(&right)),
        (ValueRef::Integer(left), ValueRef::Integer(right)) => Some(left.cmp(&right)),
        (ValueRef::Integer(left), ValueRef::Real(right)) => integer_to_real(left, right),
        (ValueRef::Real(left), ValueRef::Integer(right)) => {
            integer_to_real(right, left).map(Ordering::reverse)
        }
        (ValueRef::Real(left), ValueRef::Real(right)) => left.partial_cmp(&right),
        (ValueRef::Text(left), ValueRef::Text(right)) => Some(left.cmp(right)),
        (ValueRef::DateTime(left), ValueRef::DateTime(right)) => Some(instant(left).cmp(&instant(right))),
        // The order of the bytes is the order of the lower-case text.
        (ValueRef::Uuid(left), ValueRef::Uuid(right)) => Some(left.cmp(&right)),
        _ => None,
    }
}

/// Seconds and nanoseconds. A leap second counts as the second before it, as in every stored form.
fn instant(instant: DateTime<Utc>) -> (i64, u32) {
    (instant.timestamp(), instant.timestamp_subsec_nanos() % 1_000_000_000)
}

/// Exact: the cut real is compared as an integer first, its fraction decides a tie.
fn integer_to_real(integer: i64, real: f64) -> Option<Ordering> {
    const ABOVE_I64: f64 = 9_223_372_036_854_775_808.0;
    if real.is_nan() {
        None
    } else if real >= ABOVE_I64 {
        Some(Ordering::Less)
    } else if real < -ABOVE_I64 {
        Some(Ordering::Greater)
    } else {
        let whole = real.trunc();
        Some(integer.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&real).unwrap_or(Ordering::Equal)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::entity::ColumnSchema;
    use crate::time;
    use crate::value::ColumnType;

    static TEXT: ColumnSchema = column("text", ColumnType::Text);
    static OTHER: ColumnSchema = column("other", ColumnType::Bool);

    const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(true)
    }

    struct Pair<'a>(ValueRef<'a>, ValueRef<'a>);

    impl RowView for Pair<'_> {
        fn value(&self, column: &'static ColumnSchema) -> ValueRef<'_> {
            if column.name == "text" { self.0 } else { self.1 }
        }
    }

    /// Checks all six comparisons of two values in both directions.
    fn check(left: ValueRef<'_>, right: ValueRef<'_>, expected: Option<Ordering>) {
        use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
        for (left, right, expected) in
            [(left, right, expected), (right, left, expected.map(Ordering::reverse))]
        {
            let row = Pair(left, right);
            for comparison in [Eq, Ne, Gt, Ge, Lt, Le] {
                let node =
                    Node::Compare(comparison, Box::new(Node::Column(&TEXT)), Box::new(Node::Column(&OTHER)));
                let wanted = match (comparison, expected) {
                    (Eq, None) => left == ValueRef::Null && right == ValueRef::Null,
                    (Ne, None) => !(left == ValueRef::Null && right == ValueRef::Null),
                    (_, None) => false,
                    (Eq, Some(order)) => order.is_eq(),
                    (Ne, Some(order)) => order.is_ne(),
                    (Gt, Some(order)) => order.is_gt(),
                    (Ge, Some(order)) => order.is_ge(),
                    (Lt, Some(order)) => order.is_lt(),
                    (Le, Some(order)) => order.is_le(),
                };
                assert_eq!(matches(&node, &row), wanted, "{left:?} {comparison:?} {right:?}");
                assert_eq!(matches(&node.negate(), &row), !wanted, "not {left:?} {comparison:?} {right:?}");
            }
        }
    }

    #[test]
    fn r_07_null_equals_only_null_and_has_no_order() {
        check(ValueRef::Null, ValueRef::Null, None);
        check(ValueRef::Null, ValueRef::Text("x"), None);
        check(ValueRef::Null, ValueRef::Integer(0), None);
    }

    #[test]
    fn numbers_compare_without_rounding() {
        let exact = 9_007_199_254_740_993_i64; // 2^53 + 1
        check(ValueRef::Integer(exact), ValueRef::Real(9_007_199_254_740_992.0), Some(Ordering::Greater));
        check(ValueRef::Integer(i64::MAX), ValueRef::Real(9_223_372_036_854_775_808.0), Some(Ordering::Less));
        check(
            ValueRef::Integer(i64::MIN),
            ValueRef::Real(-9_223_372_036_854_775_808.0),
            Some(Ordering::Equal),
        );
        check(ValueRef::Integer(i64::MIN), ValueRef::Real(f64::NEG_INFINITY), Some(Ordering::Greater));
        check(ValueRef::Integer(1), ValueRef::Real(1.5), Some(Ordering::Less));
        check(ValueRef::Integer(-1), ValueRef::Real(-1.5), Some(Ordering::Greater));
        check(ValueRef::Integer(0), ValueRef::Real(-0.0), Some(Ordering::Equal));
        check(ValueRef::Integer(0), ValueRef::Real(5e-324), Some(Ordering::Less));
        check(ValueRef::Real(f64::NAN), ValueRef::Integer(0), None);
        check(ValueRef::Real(f64::NAN), ValueRef::Real(f64::NAN), None);
    }

    #[test]
    fn values_of_different_kinds_differ_and_have_no_order() {
        let kinds = [
            ValueRef::Bool(true),
            ValueRef::Integer(1),
            ValueRef::Text("1"),
            ValueRef::DateTime(DateTime::UNIX_EPOCH),
            ValueRef::Uuid(Uuid::nil()),
        ];
        for (index, left) in kinds.iter().enumerate() {
            for right in &kinds[index + 1..] {
                check(*left, *right, None);
            }
        }
    }

    #[test]
    fn text_orders_by_code_point_and_instants_by_time() {
        check(ValueRef::Text("Z"), ValueRef::Text("a"), Some(Ordering::Less));
        // UTF-16 order would put the second first.
        check(ValueRef::Text("\u{ffff}"), ValueRef::Text("\u{10000}"), Some(Ordering::Less));
        check(ValueRef::Text("a\0b"), ValueRef::Text("a"), Some(Ordering::Greater));
        check(ValueRef::Bool(false), ValueRef::Bool(true), Some(Ordering::Less));
        let instant = |text| ValueRef::DateTime(time::parse(text).expect("valid"));
        check(
            instant("2024-01-02T03:04:05.1Z"),
            instant("2024-01-02T05:04:05.100+02:00"),
            Some(Ordering::Equal),
        );
        check(instant("1969-12-31T23:59:59.9999999Z"), instant("1970-01-01T00:00:00Z"), Some(Ordering::Less));
    }

    #[test]
    fn r_04_text_functions_know_no_wildcard_and_no_case() {
        let call = |function, text: ValueRef<'_>, part: &str| {
            let node =
                Node::Call(function, vec![Node::Column(&TEXT), Node::Literal(Value::Text(part.to_owned()))]);
            matches(&node, &Pair(text, ValueRef::Null))
        };
        for (function, text, part, expected) in [
            (Function::Contains, "Pick up milk", "milk", true),
            (Function::Contains, "Pick up milk", "Milk", false),
            (Function::Contains, "100%", "0%", true),
            (Function::Contains, "1000", "0%", false),
            (Function::Contains, "", "", true),
            (Function::StartsWith, "_a", "_", true),
            (Function::StartsWith, "ba", "_", false),
            (Function::EndsWith, "äö", "ö", true),
            (Function::EndsWith, "ö", "äö", false),
        ] {
            assert_eq!(call(function, ValueRef::Text(text), part), expected, "{function:?} {text} {part}");
        }
        assert!(!call(Function::Contains, ValueRef::Null, ""));
        assert!(!call(Function::EndsWith, ValueRef::Integer(1), ""));
        assert!(!matches(
            &Node::Call(Function::Contains, vec![Node::Column(&TEXT)]),
            &Pair(ValueRef::Text("x"), ValueRef::Null)
        ));
    }

    #[test]
    fn r_02_a_boolean_column_is_a_condition() {
        for (value, expected) in
            [(ValueRef::Bool(true), true), (ValueRef::Bool(false), false), (ValueRef::Null, false)]
        {
            let row = Pair(ValueRef::Null, value);
            assert_eq!(matches(&Node::Column(&OTHER), &row), expected);
            assert_eq!(matches(&Node::Column(&OTHER).negate(), &row), !expected);
        }
        assert!(matches(&Node::ALWAYS, &Pair(ValueRef::Null, ValueRef::Null)));
        assert!(!matches(&Node::Or(Vec::new()), &Pair(ValueRef::Null, ValueRef::Null)));
    }
}
