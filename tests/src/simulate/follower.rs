//! Who listens to a device's changes, and holds what was told against what changed.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::entity::TableSchema;
use sync_core::event::{Event, EventStream, RowChangeKind};
use sync_core::row::Row;

use super::model::Tables;
use super::store::Database;

/// Events of one step that wait, at most.
const CAPACITY: usize = 10_000;

type Rows = BTreeMap<(&'static str, String), Row>;

/// See the [module documentation](self).
pub(super) struct Follower {
    events: EventStream,
    tables: Tables,
    rows: Rows,
}

impl Follower {
    /// Follows a database from now on; only SQLite tells which rows change.
    pub(super) fn new(database: &Database, tables: Tables) -> Option<Self> {
        let Database::Sqlite(store) = database else { return None };
        Some(Self { events: store.subscribe(CAPACITY), tables, rows: rows(database, tables) })
    }

    /// E-01: whatever changed since the last look was told. With `is_one_step` no more than that was told (E-04): of
    /// several commits one may take back what another did.
    pub(super) fn look(&mut self, database: &Database, is_one_step: bool) -> Result<(), String> {
        let now = rows(database, self.tables);
        let before = std::mem::replace(&mut self.rows, now);
        let mut told: BTreeMap<(&'static str, String), BTreeSet<u8>> = BTreeMap::new();
        while let Some(event) = self.events.try_next() {
            match event {
                Event::Changed(changes) => {
                    for table in changes.tables.iter() {
                        for row in &table.rows {
                            told.entry((table.table, row.id.clone())).or_default().insert(number(row.kind));
                        }
                    }
                }
                Event::Lagged { lost } => return Err(format!("E-03: {lost} events of one step are lost")),
                _ => {}
            }
        }
        let ids: BTreeSet<_> = before.keys().chain(self.rows.keys()).chain(told.keys()).collect();
        for id in ids {
            let kind = match (before.get(id), self.rows.get(id)) {
                (None, Some(_)) => Some(RowChangeKind::Inserted),
                (Some(_), None) => Some(RowChangeKind::Deleted),
                (Some(before), Some(now)) if before != now => Some(RowChangeKind::Updated),
                _ => None,
            };
            let told = told.get(id);
            let is_right = match kind {
                // A row that was taken out and came back differs as well.
                Some(kind) => told.is_some_and(|told| !is_one_step || told.contains(&number(kind))),
                None => told.is_none() || !is_one_step,
            };
            if !is_right {
                return Err(format!("E-01, E-04: {kind:?} {id:?} was told as {told:?}"));
            }
        }
        Ok(())
    }
}

const fn number(kind: RowChangeKind) -> u8 {
    kind as u8
}

/// What events speak of: the columns of the rows.
fn rows(database: &Database, tables: Tables) -> Rows {
    let of = |table: &'static TableSchema| {
        database.rows(table).into_iter().map(|row| ((table.name, row.id.clone()), Row { extra: None, ..row }))
    };
    tables.into_iter().flat_map(of).collect()
}
