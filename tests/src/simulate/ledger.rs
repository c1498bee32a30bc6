//! What each app was told to be done: the newest value of each column that it wrote, and which rows it deleted.
//!
//! Every value written is unique in the history, so that whether it took effect can be read off the server's past.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use sync_core::entity::TableSchema;
use sync_core::operation::Operation;
use sync_core::row::Row;
use sync_core::store::{ResolutionKind, ResolutionRecord};
use sync_core::value::Value;

use super::model::TABLES;
use super::server::{Key, Server, version_number};
use super::store::Database;

/// The newest acknowledged writes of one row on one device.
#[derive(Clone, Debug, Default)]
struct Written {
    columns: BTreeMap<&'static str, Json>,
    deleted: Option<Deleted>,
}

/// What a deletion took away.
#[derive(Clone, Debug)]
enum Deleted {
    /// A row that the server had.
    Known,
    /// A row of this app that the server perhaps has, by its first column.
    Own(Json),
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: BTreeMap<(usize, Key), Written>,
    /// Rows about which somebody decided, so that one value may be sent again over another.
    decided: BTreeSet<(usize, Key)>,
    /// The last resolution seen of each device.
    seen: BTreeMap<usize, i64>,
    /// Conflicts that were decided, with the server's version that was seen, and not yet looked at.
    conflicts: Vec<(usize, Key, String)>,
    /// How many conflicts were decided.
    pub(super) decisions: u64,
}

/// A value as the server keeps it.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => Json::from(*value),
        Value::Text(text) => Json::String(text.clone()),
        _ => Json::Null,
    }
}

/// The value of a column of a row.
fn value_of(table: &TableSchema, row: &Row, column: &str) -> Json {
    let value = table.column_index(column).and_then(|index| row.values[index].as_ref());
    value.map_or(Json::Null, json)
}

/// Whether the values of a column are unique in the history.
pub(super) fn is_unique(column: &str) -> bool {
    matches!(column, "name" | "text" | "rank" | "body" | "color")
}

impl Ledger {
    /// The app was told that this row is written.
    pub(super) fn wrote(&mut self, device: usize, table: &'static TableSchema, row: &Row) {
        let written = self.written.entry((device, (table.name, row.id.clone()))).or_default();
        written.deleted = None;
        for (column, value) in table.columns.iter().zip(&row.values) {
            if let (Some(value), true) = (value, is_unique(column.name)) {
                written.columns.insert(column.name, json(value));
            }
        }
    }

    /// The app was told that this row is deleted.
    pub(super) fn deleted(&mut self, device: usize, table: &'static TableSchema, row: &Row) {
        let written = self.written.entry((device, (table.name, row.id.clone()))).or_default();
        written.columns.clear();
        let first = row.values.first().and_then(Option::as_ref).map_or(Json::Null, json);
        written.deleted = Some(if row.version.is_some() { Deleted::Known } else { Deleted::Own(first) });
    }

    /// The app was told that this row is revived.
    pub(super) fn undeleted(&mut self, device: usize, table: &'static TableSchema, id: &str) {
        self.written.entry((device, (table.name, id.to_owned()))).or_default().deleted = None;
    }

    /// Takes in the resolutions of a device.
    pub(super) fn decided(&mut self, device: usize, database: &Database, records: Vec<ResolutionRecord>) {
        for record in records {
            let seen = self.seen.entry(device).or_default();
            if record.number <= *seen {
                continue;
            }
            *seen = record.number;
            self.decisions += 1;
            let key = (device, (record.table, record.item_id.clone()));
            self.decided.insert(key.clone());
            if let Some(version) = record.remote_version {
                self.conflicts.push((device, key.1.clone(), version));
            }
            match record.decision {
                ResolutionKind::TakeRemote | ResolutionKind::Store => {
                    self.written.remove(&key);
                }
                ResolutionKind::Merge => {
                    let table = database.table(record.table);
                    let row = database.row(table, &record.item_id);
                    if let Some(written) = self.written.get_mut(&key) {
                        let holds = |column: &str, value: &Json| {
                            row.as_ref().is_some_and(|row| value_of(table, row, column) == *value)
                        };
                        written.columns.retain(|column, value| holds(column, value));
                    }
                }
                ResolutionKind::KeepLocal | ResolutionKind::ChangeKind => {}
                _ => {}
            }
        }
    }

    /// Takes in that the app dropped these operations.
    pub(super) fn discarded(&mut self, device: usize, operations: &[Operation]) {
        for operation in operations {
            self.written.remove(&(device, (operation.key.table, operation.key.item_id.clone())));
        }
    }

    /// Takes in what a forced purge dropped.
    pub(super) fn purged(
        &mut self,
        device: usize,
        database: &Database,
        table: &'static TableSchema,
        rows: &[Row],
        operations: &[Operation],
    ) {
        let ids = |rows: &[Row]| rows.iter().map(|row| row.id.clone()).collect::<BTreeSet<_>>();
        let queued = |operations: &[Operation]| {
            let of_table = operations.iter().filter(|operation| operation.key.table == table.name);
            of_table.map(|operation| operation.key.item_id.clone()).collect::<BTreeSet<_>>()
        };
        let (rows_left, queue_left) = (ids(&database.rows(table)), queued(&database.operations()));
        let gone = ids(rows).difference(&rows_left).cloned().collect::<BTreeSet<_>>();
        let dropped = queued(operations).difference(&queue_left).cloned().collect::<BTreeSet<_>>();
        for id in gone.union(&dropped) {
            self.written.remove(&(device, (table.name, id.clone())));
        }
    }

    /// I-1: what was acknowledged is in the queue, or took effect, or was decided about, or was dropped by the app.
    pub(super) fn lost(&self, device: usize, operations: &[Operation], server: &Server) -> Option<String> {
        let queued: BTreeSet<(&str, &str)> = operations
            .iter()
            .map(|operation| (operation.key.table, operation.key.item_id.as_str()))
            .collect();
        for ((owner, key), written) in &self.written {
            let (table, id) = key;
            if *owner != device || queued.contains(&(*table, id.as_str())) {
                continue;
            }
            let past = server.past.get(key);
            for (column, value) in &written.columns {
                if !past.is_some_and(|past| past.held(column, value)) {
                    return Some(format!(
                        "I-1, G1: d{device} wrote {column} = {value} of {table} {id}: it is neither queued nor did it \
                         reach the server"
                    ));
                }
            }
            let Some(past) = past.filter(|past| !past.was_deleted) else { continue };
            let first =
                TABLES.into_iter().find(|known| known.name == *table).expect("a table").columns[0].name;
            let is_lost = match &written.deleted {
                None => false,
                Some(Deleted::Known) => true,
                // what somebody else changed since is not deleted unseen.
                Some(Deleted::Own(value)) => {
                    let version = server.rows.get(key).map(|stored| stored.version);
                    past.held(first, value) && version.is_some_and(|version| server.wrote(device, version))
                }
            };
            if is_lost {
                return Some(format!(
                    "I-1, G1: d{device} deleted {table} {id}: it is neither queued nor did it reach the server"
                ));
            }
        }
        None
    }

    /// F-10: nobody is asked about a conflict of a device with what it wrote itself.
    pub(super) fn with_itself(&mut self, server: &Server) -> Option<String> {
        let mut conflicts = self.conflicts.drain(..);
        let found = conflicts.find(|(device, _, version)| {
            version_number(version).is_some_and(|version| server.wrote(*device, version))
        });
        found.map(|(device, key, version)| {
            format!("F-10: d{device} decided a conflict of {key:?} with its own version {version}")
        })
    }

    /// G7: no value of a device took effect twice, unless somebody decided to send it again.
    pub(super) fn repeated(&self, server: &Server) -> Option<String> {
        for (key, past) in &server.past {
            for (column, value) in past.repeated() {
                if !is_unique(column) || value == "null" {
                    continue;
                }
                // Whoever decided may send his whole row again, also with what others wrote.
                if is_of_device(value) && !self.decided.iter().any(|(_, decided)| decided == key) {
                    return Some(format!("G7: {column} of {key:?} became {value} more than once"));
                }
            }
        }
        None
    }
}

/// Whether a device wrote a value such as `"d1.17"`; a number names no writer, but is written together with such a text.
fn is_of_device(value: &str) -> bool {
    value.trim_matches('"').starts_with('d')
}
