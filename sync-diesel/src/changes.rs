//! Which rows each commit changed, for events.
//!
//! While somebody listens to changes, triggers of the writing connection (TEMP: no other connection knows them, nothing of them
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

/// Notes that stay in the TEMP table before they are removed: one statement less for most commits.
const KEPT: i64 = 4096;

/// Most rows of a commit whose changes are merged; the counts of a larger one count a row changed twice as two.
const MAX_MERGED: usize = 100_000;

const INSERTED: i64 = 0;
const UPDATED: i64 = 1;
const DELETED: i64 = 2;

/// Notes what the writing connection changes, while somebody wants to know.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: Events,
    tables: Arc<[&'static TableSchema]>,
    /// The connection has the triggers.
    installed: bool,
    /// The last note that was told.
    told: i64,
}

/// What a transaction noted.
#[derive(Debug)]
pub(crate) struct Noted {
    changes: Option<Changes>,
    /// The last note, once the transaction is committed.
    last: i64,
}

impl Recorder {
    pub(crate) fn new(events: Events, tables: Arc<[&'static TableSchema]>) -> Self {
        Self { events, tables, installed: false, told: 0 }
    }

    /// Before a transaction: puts the triggers in place, or takes them away when nobody listens any more.
    ///
    /// A failure is not the write's: it goes on without events, and the next one tries again.
    pub(crate) fn prepare(&mut self, conn: &mut SqliteConnection) {
        let wanted = self.events.wants_changes();
        if wanted == self.installed {
            return;
        }
        let texts = if wanted { install(&self.tables) } else { remove(&self.tables) };
        match conn.batch_execute(&texts) {
            Ok(()) => (self.installed, self.told) = (wanted, 0),
            Err(error) => tracing::warn!(%error, "changes cannot be noted for events"),
        }
    }

    /// Before the commit: what the transaction changed; `None` while nobody listens.
    pub(crate) fn take(&self, conn: &mut SqliteConnection, source: ChangeSource) -> Option<Noted> {
        if !self.installed {
            return None;
        }
        match self.read(conn) {
            Ok((tables, last)) => {
                let changes = (!tables.is_empty()).then(|| Changes { source, tables: tables.into() });
                Some(Noted { changes, last })
            }
            Err(error) => {
                tracing::warn!(%error, "noted changes cannot be read");
                None
            }
        }
    }

    /// After the commit.
    pub(crate) fn tell(&mut self, noted: Option<Noted>) {
        let Some(Noted { changes, last }) = noted else { return };
        self.told = last;
        if let Some(changes) = changes {
            self.events.emit(|| Event::Changed(changes));
        }
    }

    /// The connection was closed.
    pub(crate) fn forget(&mut self) {
        self.installed = false;
    }

    /// The changes by table, and the last note.
    fn read(&self, conn: &mut SqliteConnection) -> QueryResult<(Vec<TableChanges>, i64)> {
        let mut tables: Vec<TableNotes> = self.tables.iter().map(|_| TableNotes::default()).collect();
        let mut last = self.told;
        let binds = [last.into()];
        let notes = query::<(BigInt, BigInt, Text, BigInt)>(
            "SELECT note, place, item, change FROM temp.\"__sync_changes\" WHERE note > ? ORDER BY note",
            &binds,
        );
        for note in notes.load_iter::<(i64, i64, String, i64), _>(conn)? {
            let (number, place, id, change) = note?;
            last = number;
            if let Some(table) = usize::try_from(place).ok().and_then(|place| tables.get_mut(place)) {
                table.note(id, change);
            }
        }
        if last > KEPT {
            run(conn, "DELETE FROM temp.\"__sync_changes\"", &[])?;
            // The numbers of an empty table start again.
            last = 0;
        }
        let changed = self.tables.iter().zip(tables).map(|(table, notes)| notes.changes(table.name));
        Ok((changed.filter(|changes| !changes.is_empty()).collect(), last))
    }
}

fn install(tables: &[&'static TableSchema]) -> String {
    let mut text = String::from(
        "CREATE TEMP TABLE IF NOT EXISTS \"__sync_changes\" \
         (note INTEGER PRIMARY KEY, place INTEGER NOT NULL, item TEXT NOT NULL, change INTEGER NOT NULL);\n",
    );
    for (place, table) in tables.iter().enumerate() {
        let content: Vec<String> = table.columns.iter().map(differs).collect();
        let system = [&entity::VERSION, &entity::UPDATED_AT, &entity::DELETED].map(differs);
        // What the app's statement does to system columns is undone by a trigger.
        let by_sync = format!(
            "({}) AND (SELECT applying FROM main.\"__control\" WHERE id = 1) = 1",
            system.join(" OR ")
        );
        let conditions = [content, vec![by_sync]].concat().join(" OR ");
        let updated = format!("UPDATE ON main.{} WHEN {conditions}", quote(table.name));
        for (change, event, row) in [
            (INSERTED, format!("INSERT ON main.{}", quote(table.name)), "NEW"),
            (UPDATED, updated, "NEW"),
            (DELETED, format!("DELETE ON main.{}", quote(table.name)), "OLD"),
        ] {
            text.push_str(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS {name} AFTER {event} \
                 BEGIN INSERT INTO \"__sync_changes\" (place, item, change) VALUES ({place}, {row}.\"id\", {change}); END;\n",
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
struct TableNotes {
    /// Rows in order of their first change: id, whether it was there before, whether it is there now.
    rows: Vec<(String, bool, bool)>,
    places: HashMap<String, usize>,
    /// Inserted, updated and deleted rows beyond [`MAX_MERGED`].
    beyond: [u64; 3],
}

impl TableNotes {
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
