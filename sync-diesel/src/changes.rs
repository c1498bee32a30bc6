//! Which rows each commit changed, for events.
//!
//! While somebody listens, triggers of the writing connection (TEMP: no other connection knows them, nothing of them
//! is in the file) note each changed row in a TEMP table. What they noted is read and removed inside the transaction,
//! so a savepoint or a statement that is rolled back takes its notes with it, and a row that was inserted and
//! deleted again is none. While nobody listens there are no triggers, and a write costs what it always did.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::entity::{self, TableSchema};
use sync_core::event::{
    ChangeSource, Changes, Event, Events, MAX_ROWS, RowChange, RowChangeKind, TableChanges,
};

use crate::capture::differs;
use crate::statement::{query, quote, run};

/// Most rows of a commit whose changes are merged; the counts of a larger one count a row changed twice as two.
const MAX_MERGED: usize = 100_000;

const INSERTED: i64 = 0;
const UPDATED: i64 = 1;
const DELETED: i64 = 2;

/// Notes what the writing connection changes, while somebody listens.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: Events,
    tables: Arc<[&'static TableSchema]>,
    /// The connection has the triggers.
    installed: bool,
}

impl Recorder {
    pub(crate) fn new(events: Events, tables: Arc<[&'static TableSchema]>) -> Self {
        Self { events, tables, installed: false }
    }

    /// Before a transaction: puts the triggers in place, or takes them away when nobody listens any more.
    ///
    /// A failure is not the write's: it goes on without events, and the next one tries again.
    pub(crate) fn prepare(&mut self, conn: &mut SqliteConnection) {
        let wanted = self.events.has_listeners();
        if wanted == self.installed {
            return;
        }
        let texts = if wanted { install(&self.tables) } else { remove(&self.tables) };
        match conn.batch_execute(&texts) {
            Ok(()) => self.installed = wanted,
            Err(error) => tracing::warn!(%error, "changes cannot be noted for events"),
        }
    }

    /// Before the commit: what the transaction changed.
    pub(crate) fn take(&self, conn: &mut SqliteConnection, source: ChangeSource) -> Option<Changes> {
        if !self.installed {
            return None;
        }
        let taken = self.read(conn).unwrap_or_else(|error| {
            tracing::warn!(%error, "noted changes cannot be read");
            Vec::new()
        });
        (!taken.is_empty()).then(|| Changes { source, tables: taken.into() })
    }

    /// After the commit.
    pub(crate) fn tell(&self, changes: Option<Changes>) {
        if let Some(changes) = changes {
            self.events.emit(|| Event::Changed(changes));
        }
    }

    /// The connection was closed.
    pub(crate) fn forget(&mut self) {
        self.installed = false;
    }

    fn read(&self, conn: &mut SqliteConnection) -> QueryResult<Vec<TableChanges>> {
        let mut tables: Vec<Noted> = self.tables.iter().map(|_| Noted::default()).collect();
        let notes = query::<(BigInt, Text, BigInt)>(
            "SELECT place, item, change FROM temp.\"__sync_changes\" ORDER BY rowid",
            &[],
        );
        let mut any = false;
        for note in notes.load_iter::<(i64, String, i64), _>(conn)? {
            let (place, id, change) = note?;
            any = true;
            if let Some(table) = usize::try_from(place).ok().and_then(|place| tables.get_mut(place)) {
                table.note(id, change);
            }
        }
        if any {
            run(conn, "DELETE FROM temp.\"__sync_changes\"", &[])?;
        }
        let changed = self.tables.iter().zip(tables).map(|(table, noted)| noted.changes(table.name));
        Ok(changed.filter(|changes| !changes.is_empty()).collect())
    }
}

fn install(tables: &[&'static TableSchema]) -> String {
    let mut text = String::from(
        "CREATE TEMP TABLE IF NOT EXISTS \"__sync_changes\" \
         (place INTEGER NOT NULL, item TEXT NOT NULL, change INTEGER NOT NULL);\n",
    );
    for (place, table) in tables.iter().enumerate() {
        let columns = [&entity::VERSION, &entity::UPDATED_AT, &entity::DELETED];
        let differs: Vec<String> = columns.into_iter().chain(table.columns).map(differs).collect();
        let updated = format!("UPDATE ON main.{} WHEN {}", quote(table.name), differs.join(" OR "));
        for (change, event, row) in [
            (INSERTED, format!("INSERT ON main.{}", quote(table.name)), "NEW"),
            (UPDATED, updated, "NEW"),
            (DELETED, format!("DELETE ON main.{}", quote(table.name)), "OLD"),
        ] {
            text.push_str(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS {name} AFTER {event} \
                 BEGIN INSERT INTO \"__sync_changes\" VALUES ({place}, {row}.\"id\", {change}); END;\n",
                name = trigger(place, change),
            ));
        }
    }
    text
}

fn remove(tables: &[&'static TableSchema]) -> String {
    let changes = [INSERTED, UPDATED, DELETED];
    let triggers = (0..tables.len()).flat_map(|place| changes.map(|change| trigger(place, change)));
    let mut text: String = triggers.map(|name| format!("DROP TRIGGER IF EXISTS temp.{name};\n")).collect();
    text.push_str("DROP TABLE IF EXISTS temp.\"__sync_changes\";\n");
    text
}

fn trigger(place: usize, change: i64) -> String {
    format!("\"__sync_changes_{place}_{change}\"")
}

/// The notes of one table.
#[derive(Default)]
struct Noted {
    /// Rows in order of their first change: id, whether it was there before, whether it is there now.
    rows: Vec<(String, bool, bool)>,
    places: HashMap<String, usize>,
    /// Inserted, updated and deleted rows beyond [`MAX_MERGED`].
    beyond: [u64; 3],
}

impl Noted {
    fn note(&mut self, id: String, change: i64) {
        let is_there = change != DELETED;
        if let Some(&place) = self.places.get(&id) {
            self.rows[place].2 = is_there;
            return;
        }
        if self.rows.len() == MAX_MERGED {
            let index = usize::try_from(change).unwrap_or_default().min(2);
            self.beyond[index] += 1;
            return;
        }
        self.places.insert(id.clone(), self.rows.len());
        self.rows.push((id, change != INSERTED, is_there));
    }

    fn changes(self, table: &'static str) -> TableChanges {
        let [inserted, updated, deleted] = self.beyond;
        let mut changes = TableChanges { table, inserted, updated, deleted, rows: Vec::new() };
        for (id, was_there, is_there) in self.rows {
            let (count, kind) = match (was_there, is_there) {
                (false, true) => (&mut changes.inserted, RowChangeKind::Inserted),
                (true, true) => (&mut changes.updated, RowChangeKind::Updated),
                (true, false) => (&mut changes.deleted, RowChangeKind::Deleted),
                (false, false) => continue,
            };
            *count += 1;
            if changes.rows.len() < MAX_ROWS {
                changes.rows.push(RowChange { id, kind });
            }
        }
        changes
    }
}
