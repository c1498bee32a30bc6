//! Which tables belong to which, and which rows mention which (behaviour P-21).

use crate::entity::TableSchema;
use crate::operation::{Outgoing, SentKind};
use crate::row::Row;
use crate::value::Value;

/// A row by table and id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowRef {
    /// Name of the table.
    pub table: &'static str,
    /// Id of the row.
    pub item_id: String,
}

/// A column of `table` that names rows of another table.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    /// The table that has the column.
    pub table: &'static TableSchema,
    /// Position of the column.
    pub column: usize,
}

/// The relations that the tables of a store declare by `belongs_to`.
///
/// A column that is not sent, and one that refers to a table the store does not have, is no relation.
#[derive(Clone, Debug)]
pub struct Relations {
    tables: Vec<Related>,
}

#[derive(Clone, Debug)]
struct Related {
    table: &'static TableSchema,
    /// Columns that name rows of other tables, with the names of these.
    parents: Vec<(usize, &'static str)>,
    children: Vec<Child>,
    /// Tables of one number are related, directly or over others.
    family: usize,
}

/// An operation whose request is under way.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its row.
    pub row: RowRef,
    /// Its request.
    pub sent: SentKind,
    /// The rows that its row mentions, as it is sent and as it was before.
    pub mentions: Vec<RowRef>,
}

impl Relations {
    /// The relations among these tables.
    pub fn new(tables: &[&'static TableSchema]) -> Self {
        let name_of = |name: &str| tables.iter().find(|table| table.name == name).map(|table| table.name);
        let mut related: Vec<Related> = tables
            .iter()
            .enumerate()
            .map(|(family, table)| Related {
                table,
                parents: table
                    .sent_columns()
                    .filter_map(|(column, schema)| Some((column, name_of(schema.belongs_to?)?)))
                    .collect(),
                children: Vec::new(),
                family,
            })
            .collect();
        for index in 0..related.len() {
            let (table, parents) = (related[index].table, related[index].parents.clone());
            for (column, parent) in parents {
                let Some(parent) = related.iter().position(|other| other.table.name == parent) else {
                    continue;
                };
                related[parent].children.push(Child { table, column });
                let (from, to) = (related[parent].family, related[index].family);
                related.iter_mut().filter(|other| other.family == from).for_each(|other| other.family = to);
            }
        }
        Self { tables: related }
    }

    fn find(&self, table: &str) -> Option<&Related> {
        self.tables.iter().find(|related| related.table.name == table)
    }

    /// Whether the tables are related, directly or over others; a table is related to itself.
    pub fn are_related(&self, left: &str, right: &str) -> bool {
        match (self.find(left), self.find(right)) {
            (Some(left), Some(right)) => left.family == right.family,
            _ => left == right,
        }
    }

    /// The columns that name rows of this table.
    pub fn children(&self, table: &str) -> &[Child] {
        self.find(table).map_or(&[], |related| &related.children)
    }

    /// Positions of the columns of this table that name rows of other tables.
    pub fn reference_columns(&self, table: &str) -> impl Iterator<Item = usize> {
        self.find(table).into_iter().flat_map(|related| related.parents.iter().map(|(column, _)| *column))
    }

    /// The rows that `row` of `table` mentions in the columns it has.
    pub fn mentions(&self, table: &str, row: &Row) -> Vec<RowRef> {
        let Some(related) = self.find(table) else { return Vec::new() };
        let mention = |(column, parent): &(usize, &'static str)| {
            let item_id = id_in(row, *column)?;
            Some(RowRef { table: parent, item_id })
        };
        related.parents.iter().filter_map(mention).collect()
    }

    /// What is to be remembered of an operation while its request is under way.
    pub fn in_flight(&self, operation: &Outgoing) -> InFlight {
        let table = operation.key.table;
        let mut mentions = self.mentions(table, &operation.item);
        if let Some(base) = &operation.base {
            mentions.extend(self.mentions(table, base));
        }
        InFlight { row: operation.key.row(), sent: operation.sent, mentions }
    }
}

/// The id that a column of a row holds.
pub fn id_in(row: &Row, column: usize) -> Option<String> {
    match row.values.get(column)?.as_ref()? {
        Value::Text(id) => Some(id.clone()),
        Value::Uuid(id) => Some(id.hyphenated().to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::ColumnSchema;
    use crate::value::ColumnType;

    const fn to(name: &'static str, parent: &'static str) -> ColumnSchema {
        ColumnSchema::new(name, ColumnType::Text).with_nullable(true).with_belongs_to(Some(parent))
    }

    const fn table(name: &'static str, columns: &'static [ColumnSchema]) -> TableSchema {
        TableSchema { name, columns, versioned: true, keep_deleted: false }
    }

    static LIST: TableSchema = table("List", &[]);
    static TODO: TableSchema = table(
        "Todo",
        &[
            ColumnSchema::new("text", ColumnType::Text),
            to("list", "List"),
            to("parent", "Todo"),
            to("mine", "Note").with_local(true),
            to("far", "NotHere"),
        ],
    );
    static NOTE: TableSchema = table("Note", &[]);
    static TAG: TableSchema = table("Tag", &[to("todo", "Todo")]);

    #[test]
    fn p_21_relations_join_tables_over_sent_columns_of_known_tables() {
        let relations = Relations::new(&[&NOTE, &LIST, &TAG, &TODO]);
        for (left, right, related) in [
            ("Todo", "Todo", true),
            ("Todo", "List", true),
            ("List", "Tag", true),
            ("Note", "Note", true),
            ("Note", "Todo", false),
            ("List", "Note", false),
        ] {
            assert_eq!(relations.are_related(left, right), related, "{left} and {right}");
            assert_eq!(relations.are_related(right, left), related, "{right} and {left}");
        }
        let columns = |table| relations.reference_columns(table).collect::<Vec<_>>();
        assert_eq!((columns("Todo"), columns("List")), (vec![1, 2], vec![]));
        let children = |table| {
            let children = relations.children(table).iter();
            children.map(|child| (child.table.name, child.column)).collect::<Vec<_>>()
        };
        assert_eq!(children("Todo"), [("Tag", 0), ("Todo", 2)]);
        assert_eq!(children("Note"), []);

        let mut row = Row::empty(&TODO, "a");
        assert!(relations.mentions("Todo", &row).is_empty());
        row.values = vec![
            Some(Value::Text("l".into())),
            Some(Value::Text("l".into())),
            Some(Value::Null),
            Some(Value::Text("n".into())),
            Some(Value::Text("x".into())),
        ];
        assert_eq!(relations.mentions("Todo", &row), [RowRef { table: "List", item_id: "l".into() }]);
    }
}
