//! What the app was told to be done, row by row and value by value; every value is unique in its history.
//!
//! Only this device changes these rows, so what is in the file must be exactly what is written here. A write under way
//! when the process was killed is there or not, as a whole; what is found is held from then on.

use std::collections::{BTreeMap, BTreeSet};

use super::file::Found;
use super::report::{Change, Columns};
use super::server::{Key, Rows, Stored};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The columns of each row that was ever written; `None`: it was deleted.
    rows: BTreeMap<Key, Option<Columns>>,
    /// Rows that may be on the server only: they were not pulled yet, or perhaps purged.
    remote: BTreeSet<Key>,
    /// The write under way.
    begun: Option<Vec<Change>>,
    /// Writes that returned.
    pub(super) acknowledged: u64,
    /// Writes that did not return, and were found.
    pub(super) found: u64,
}

/// Whether a check holds, and what is wrong if not.
pub(super) type Checked = Result<(), String>;

impl Ledger {
    /// The server has a row that the device may change.
    pub(super) fn on_server(&mut self, key: Key, columns: Columns) {
        self.remote.insert(key.clone());
        self.rows.insert(key, Some(columns));
    }

    /// A write is about to begin.
    pub(super) fn begin(&mut self, changes: Vec<Change>) {
        assert!(self.begun.is_none(), "one write after another");
        self.begun = Some(changes);
    }

    /// The write returned.
    pub(super) fn acknowledge(&mut self) {
        self.take_over(true);
        self.acknowledged += 1;
    }

    /// A purge is about to begin.
    pub(super) fn begin_purge(&mut self) {
        let items = self.rows.iter().filter(|((table, _), columns)| table == "Item" && columns.is_some());
        self.remote.extend(items.map(|(key, _)| key.clone()));
    }

    /// A pull of everything returned.
    pub(super) fn pulled(&mut self) {
        self.remote.clear();
    }

    fn take_over(&mut self, is_done: bool) {
        let changes = self.begun.take().into_iter().flatten().filter(|_| is_done);
        for Change { table, id, columns } in changes {
            let row = self.rows.entry((table, id)).or_default();
            match columns {
                Some(columns) => row.get_or_insert_default().extend(columns),
                None => *row = None,
            }
        }
    }

    /// The process is dead: what it was writing is in the file as a whole or not at all (I-2, C-11).
    pub(super) fn settle(&mut self, found: &Found) -> Checked {
        let Some(changes) = &self.begun else { return Ok(()) };
        let is_there = |change: &Change| {
            let row = found.rows.get(&(change.table.clone(), change.id.clone()));
            match &change.columns {
                None => row.is_none(),
                Some(columns) => row.is_some_and(|row| {
                    columns.iter().all(|(column, value)| row.columns.get(column) == Some(value))
                }),
            }
        };
        let there = changes.iter().filter(|change| is_there(change)).count();
        if there > 0 && there < changes.len() {
            return Err(format!("I-2, C-11: {there} of {} rows of one write: {changes:?}", changes.len()));
        }
        self.found += u64::from(there > 0);
        self.take_over(there > 0);
        Ok(())
    }

    /// I-1, G1: the file holds what was acknowledged, or it was purged from it and the server does.
    pub(super) fn check_file(&self, found: &Found, server: &Rows) -> Checked {
        for (key, expected) in &self.rows {
            let (here, there) = (found.rows.get(key), server.get(key));
            let operation = found.operations.get(key);
            match (expected, here) {
                (Some(columns), Some(row)) => {
                    // Columns of a later release are not here yet.
                    let differs = row.columns.iter().find(|(column, value)| {
                        columns.get(*column).unwrap_or(&serde_json::Value::Null) != *value
                    });
                    if differs.is_some() {
                        return Err(format!(
                            "I-1: {key:?} should be {columns:?} and is {row:?}; on the server {there:?}"
                        ));
                    }
                }
                (Some(columns), None) => {
                    let is_purged = self.remote.contains(key) && operation.is_none();
                    if !(is_purged && there.is_some_and(|row| is_as_written(columns, row))) {
                        return Err(format!(
                            "I-1: {key:?} should be {columns:?} and is not here; operation {operation:?}, \
                             the server {there:?}"
                        ));
                    }
                }
                (None, Some(row)) => return Err(format!("I-1: {key:?} was deleted and is here: {row:?}")),
                (None, None) => {
                    let is_gone = there.is_none_or(|row| row.deleted);
                    if !is_gone && !operation.is_some_and(|operation| operation.is_delete) {
                        return Err(format!(
                            "I-1: the deletion of {key:?} is neither queued ({operation:?}) nor done: {there:?}"
                        ));
                    }
                }
            }
        }
        let unknown = found.rows.keys().find(|key| !self.rows.contains_key(*key) && !is_theirs(key));
        unknown.map_or(Ok(()), |key| Err(format!("G4: nobody wrote {key:?}")))
    }

    /// G1, G4: in the end the server holds every acknowledged write, and nothing that nobody wrote.
    pub(super) fn check_server(&self, server: &Rows) -> Checked {
        for (key, expected) in &self.rows {
            let there = server.get(key);
            let is_right = match expected {
                Some(columns) => there.is_some_and(|row| is_as_written(columns, row)),
                None => there.is_none_or(|row| row.deleted),
            };
            if !is_right {
                return Err(format!("G1: {key:?} should be {expected:?} on the server and is {there:?}"));
            }
        }
        let unknown = server.keys().find(|key| !self.rows.contains_key(*key) && !is_theirs(key));
        unknown.map_or(Ok(()), |key| Err(format!("G4: nobody wrote {key:?}, and the server has it")))
    }
}

/// Whether a live row on the server holds exactly what was written.
fn is_as_written(columns: &Columns, row: &Stored) -> bool {
    let is_same = |column: &String, value| columns.get(column).unwrap_or(&serde_json::Value::Null) == value;
    !row.deleted && row.columns.iter().all(|(column, value)| is_same(column, value))
}

/// Whether somebody else wrote the row.
fn is_theirs((_, id): &Key) -> bool {
    id.starts_with("theirs")
}
