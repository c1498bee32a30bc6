//! Three-way merges by column: pure decisions about a row changed here and on the server.
//!
//! A column changed on one side takes that side's value. One changed on both sides to the same value takes it. One
//! changed on both sides to different values is decided by the column's [`MergeRule`], or else by the caller, or it
//! stays open and with it the conflict.
//!
//! What counts as changed: here, any difference from the base, since the app made it; on the server, a difference in
//! meaning, since servers cut and round what they are sent (see [`is_same_write`](crate::operation::is_same_write)).
//! A column the server's row leaves out is as in the base. Without a base every column with a value changed, on both
//! sides. Local-only columns are never merged.

use std::cmp::Ordering;

use crate::entity::{ColumnSchema, MergeRule, TableSchema};
use crate::operation::is_same_value;
use crate::row::Row;
use crate::value::{ColumnType, Value};

/// A column that changed on both sides, to different values, and has no rule that decides.
#[derive(Clone, Copy, Debug)]
pub struct BothChanged<'a> {
    /// The column.
    pub column: &'static ColumnSchema,
    /// The value before both changes; `None` without a base.
    pub base: Option<&'a Value>,
    /// The value here.
    pub local: &'a Value,
    /// The value on the server.
    pub remote: &'a Value,
}

/// Result of [`ThreeWay::merge`].
#[derive(Clone, Debug, PartialEq)]
pub struct RowMerge {
    /// The local row with the server's changes in it; an open column has the local value. System columns are the
    /// server's.
    pub row: Row,
    /// The columns that nobody decided.
    pub open: Vec<&'static ColumnSchema>,
}

impl RowMerge {
    /// Whether every column is decided.
    pub fn is_complete(&self) -> bool {
        self.open.is_empty()
    }
}

static NULL: Value = Value::Null;

/// The value of a column after both changes; `None` when its rule does not decide (or it has none).
///
/// | case | result |
/// |---|---|
/// | changed on one side | that side's value |
/// | [`MergeRule::Add`] | base + (local - base) + (remote - base); a null base of a row that has one counts as 0; undecided when a side is null, without a base, or when the sum does not fit the column |
/// | changed to the same value on both sides | it (not for `Add`, which counts both) |
/// | [`MergeRule::Local`], [`MergeRule::Remote`] | that side's value |
/// | [`MergeRule::Max`], [`MergeRule::Min`] | the greater or smaller value; the other one where a side is null |
///
/// Max and Min are commutative, associative and idempotent. Add is commutative; on integers also associative, as
/// long as no sum leaves the column's range.
pub fn merge_value(
    column: &ColumnSchema,
    base: Option<&Value>,
    local: &Value,
    remote: &Value,
) -> Option<Value> {
    let before = base.unwrap_or(&NULL);
    if local == before {
        return Some(remote.clone());
    }
    if is_same_value(column, remote, before) {
        return Some(local.clone());
    }
    if column.merge == Some(MergeRule::Add) {
        return add(column.ty, base?, local, remote);
    }
    if is_same_value(column, local, remote) {
        return Some(remote.clone());
    }
    let greater = |wanted: Ordering| match (local, remote) {
        (Value::Null, other) | (other, Value::Null) => Some(other.clone()),
        _ => compare(local, remote).map(|found| if found == wanted { local.clone() } else { remote.clone() }),
    };
    match column.merge? {
        MergeRule::Local => Some(local.clone()),
        MergeRule::Remote => Some(remote.clone()),
        MergeRule::Max => greater(Ordering::Greater),
        MergeRule::Min => greater(Ordering::Less),
        MergeRule::Add => None,
    }
}

/// A row changed on both sides, to be merged.
#[derive(Clone, Copy, Debug)]
pub struct ThreeWay<'a> {
    /// The table of the rows.
    pub table: &'static TableSchema,
    /// The row before both changes.
    pub base: Option<&'a Row>,
    /// The row here.
    pub local: &'a Row,
    /// The row on the server; what it leaves out is as in the base.
    pub remote: &'a Row,
    /// The server's row may hold the local change already, because the answer to an earlier attempt was lost. What
    /// each side added cannot be told then: [`MergeRule::Add`] does not decide.
    pub uncertain: bool,
}

impl ThreeWay<'_> {
    /// Merges the sent columns; `decide` is asked about each column that [`merge_value`] leaves open.
    pub fn merge(&self, mut decide: impl FnMut(&BothChanged<'_>) -> Option<Value>) -> RowMerge {
        let mut row = self.local.clone();
        let mut open = Vec::new();
        for (index, column) in self.table.sent_columns() {
            let base = self.base.map(|base| value(base, index).unwrap_or(&NULL));
            let local = value(self.local, index).unwrap_or(&NULL);
            let Some(remote) = value(self.remote, index).or(base) else { continue };
            let merged = self
                .decided(column, base, local, remote)
                .or_else(|| decide(&BothChanged { column, base, local, remote }));
            match merged {
                Some(merged) => row.values[index] = Some(merged),
                None => open.push(column),
            }
        }
        row.take_system_columns(self.remote);
        RowMerge { row, open }
    }

    fn decided(
        &self,
        column: &ColumnSchema,
        base: Option<&Value>,
        local: &Value,
        remote: &Value,
    ) -> Option<Value> {
        let counts = column.merge == Some(MergeRule::Add);
        if counts && self.uncertain {
            let before = base.unwrap_or(&NULL);
            let changed_on_both = local != before && !is_same_value(column, remote, before);
            if changed_on_both {
                return None;
            }
        }
        merge_value(column, base, local, remote)
    }
}

/// The sent columns that the app changed since the base.
pub fn changed_here(table: &TableSchema, base: Option<&Row>, local: &Row) -> Vec<&'static ColumnSchema> {
    let before = |index| base.and_then(|base| value(base, index)).unwrap_or(&NULL);
    table
        .sent_columns()
        .filter(|(index, _)| value(local, *index).unwrap_or(&NULL) != before(*index))
        .map(|(_, column)| column)
        .collect()
}

/// The sent columns that the server's row has with another meaning than the base.
pub fn changed_there(table: &TableSchema, base: Option<&Row>, remote: &Row) -> Vec<&'static ColumnSchema> {
    let before = |index| base.and_then(|base| value(base, index)).unwrap_or(&NULL);
    table
        .sent_columns()
        .filter(|(index, column)| {
            value(remote, *index).is_some_and(|remote| !is_same_value(column, remote, before(*index)))
        })
        .map(|(_, column)| column)
        .collect()
}

fn value(row: &Row, index: usize) -> Option<&Value> {
    row.values.get(index).and_then(Option::as_ref)
}

fn add(ty: ColumnType, base: &Value, local: &Value, remote: &Value) -> Option<Value> {
    match ty {
        ColumnType::Integer(width) => {
            let base = match base {
                Value::Null => 0,
                Value::Integer(base) => i128::from(*base),
                _ => return None,
            };
            let (Value::Integer(local), Value::Integer(remote)) = (local, remote) else { return None };
            let sum = i64::try_from(i128::from(*local) + i128::from(*remote) - base).ok()?;
            width.contains(sum).then_some(Value::Integer(sum))
        }
        ColumnType::Float | ColumnType::Double => {
            let base = if *base == Value::Null { 0.0 } else { real(base)? };
            // The order of the sum is the same whichever side is which.
            let sum = base + ((real(local)? - base) + (real(remote)? - base));
            let sum = if ty == ColumnType::Float { f64::from(sum as f32) } else { sum };
            sum.is_finite().then_some(Value::Real(sum))
        }
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(value) => Some(*value),
        // A server may send a whole number without a point.
        Value::Integer(value) => Some(*value as f64),
        _ => None,
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::DateTime(left), Value::DateTime(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => real(left)?.partial_cmp(&real(right)?),
    }
}

#[cfg(test)]
mod tests;
