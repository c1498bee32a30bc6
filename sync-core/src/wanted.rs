//! Which rows the pulls of a table asked for, and which row left them all (R12).
//!
//! A device holds rows because a pull brought them, or because they were made on it. When the server shows that a row
//! no longer matches the pull it came with, the row goes, unless another pull still wants it. Nothing records which
//! pull brought which row; the filters themselves tell:
//!
//! - The row goes if its old local content matched the filter of a query id, and its new content matches no stored
//!   filter of the table.
//! - A full pull (without query id) brings rows for good: what one of them wants, before or after the change, stays.
//!   One that mirrors the server is kept current by its repetition and counts as a query id.
//! - What never matched stays: rows made on this device, and rows that its own edits moved out of the filter. A
//!   purge removes them.
//!
//! A stored filter that cannot be read counts as matching every row.

use crate::entity::TableSchema;
use crate::evaluate;
use crate::page::{Cell, WireRow, WireTableRow, for_each_row};
use crate::predicate::{Node, codec};
use crate::protocol::SystemNames;
use crate::row::{Row, TableRow};

/// Most different filters of full pulls that are remembered per table; a further one counts as wanting every row.
pub const MAX_FULL_PULLS: usize = 64;

/// The stored filters of one table.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    queries: Vec<Option<Node>>,
    full_pulls: Vec<Option<Node>>,
}

impl Wanted {
    /// Adds the stored filter of a query id or of a mirroring pull.
    pub fn add_query(&mut self, table: &TableSchema, stored: &str) {
        self.queries.push(codec::decode(table, stored));
    }

    /// Adds the stored filter of a full pull.
    pub fn add_full_pull(&mut self, table: &TableSchema, stored: &str) {
        self.full_pulls.push(codec::decode(table, stored));
    }

    /// Whether some pull may want a row of a page: it is not certainly outside of every filter.
    pub fn may_want(&self, table: &'static TableSchema, row: &WireRow<'_>) -> bool {
        let mut filters = self.queries.iter().chain(&self.full_pulls);
        filters.any(|filter| filter.as_ref().is_none_or(|node| !is_outside(node, table, row)))
    }

    /// What any of the pulls wants, as one condition; `None` if that may be every row.
    pub fn any(&self) -> Option<Node> {
        let mut filters = self.queries.iter().chain(&self.full_pulls).cloned();
        let first = filters.next()??;
        filters.try_fold(first, |any, filter| Some(any.or(filter?)))
    }

    /// Whether a clean row that was `old` and is now `new` on the server left every filter that brought it.
    pub fn has_left(&self, table: &'static TableSchema, old: &Row, new: &Row) -> bool {
        let holds = |filter: &Option<Node>, row: &Row| {
            filter.as_ref().is_none_or(|node| evaluate::matches(node, &TableRow { table, row }))
        };
        self.queries.iter().any(|filter| holds(filter, old))
            && !self.queries.iter().any(|filter| holds(filter, new))
            && !self.full_pulls.iter().any(|filter| holds(filter, old) || holds(filter, new))
    }
}

/// Whether a row of a page, judged without its local row, certainly does not match. A row with a value that could not
/// be read is judged only where the condition does not ask for that value.
pub fn is_outside(rest: &Node, table: &'static TableSchema, row: &WireRow<'_>) -> bool {
    !row.deleted
        && (row.fault.is_none() || reads_only_present(rest, table, row))
        && !evaluate::matches(rest, &WireTableRow { table, row })
}

/// [`is_outside`] of a row kept as the JSON text it came in.
pub fn is_text_outside(rest: &Node, table: &'static TableSchema, raw: &str, names: &SystemNames) -> bool {
    let body = format!("[{raw}]");
    let mut outside = false;
    let read = for_each_row(body.as_bytes(), table, names, |row| {
        outside = is_outside(rest, table, &row);
        Ok(())
    });
    read.is_ok() && outside
}

/// Whether the row has every column the condition reads, so that the local row cannot change the judgement.
pub fn reads_only_present(rest: &Node, table: &TableSchema, row: &WireRow<'_>) -> bool {
    let mut all = true;
    rest.for_each_column(&mut |column| {
        if let Some(index) = table.column_index(column.name) {
            all &= !column.local && !matches!(row.cells.get(index), None | Some(Cell::Absent));
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::ColumnSchema;
    use crate::predicate::Comparison;
    use crate::value::{ColumnType, Value};

    static TABLE: TableSchema = TableSchema {
        name: "T",
        columns: &[ColumnSchema::new("text", ColumnType::Text)],
        versioned: true,
        keep_deleted: false,
    };

    fn of_text(text: &str) -> String {
        codec::encode(&Node::compare(&TABLE.columns[0], Comparison::Eq, Value::Text(text.into())))
    }

    fn row(text: &str) -> Row {
        Row::new("a", vec![Value::Text(text.into())])
    }

    #[test]
    fn r_12_a_row_leaves_when_nobody_wants_it_any_more() {
        let left = |queries: &[&str], full: &[&str], old: &str, new: &str| {
            let mut wanted = Wanted::default();
            queries.iter().for_each(|text| wanted.add_query(&TABLE, text));
            full.iter().for_each(|text| wanted.add_full_pull(&TABLE, text));
            wanted.has_left(&TABLE, &row(old), &row(new))
        };
        let (milk, bread, jam) = (of_text("milk"), of_text("bread"), of_text("jam"));
        assert!(left(&[&milk], &[], "milk", "bread"));
        assert!(left(&[&milk, &jam], &[], "milk", "bread"));
        assert!(left(&[&milk], &[&jam], "milk", "bread"));
        assert!(!left(&[&milk, &bread], &[], "milk", "bread"), "another query wants it");
        assert!(!left(&[&milk], &[&milk], "milk", "bread"), "a full pull brought it");
        assert!(!left(&[&milk], &[&bread], "milk", "bread"), "a full pull wants it");
        assert!(!left(&[&milk], &[], "mine", "bread"), "no query brought it");
        assert!(!left(&[], &[], "milk", "bread"));
        assert!(!left(&[&milk, "unreadable"], &[], "milk", "bread"));
        assert!(!left(&[&milk], &["unreadable"], "milk", "bread"));
    }
}
