//! Storing pulled pages: rows, server copies, quarantine and token in one transaction.
//!
//! Complete live rows without an operation go in prepared multi-row upserts. Everything else (tombstones, rows
//! with an operation, rows with absent members or faults, and a multi-row statement that failed) goes row by
//! row; a row the database refuses waits in quarantine with its JSON text, and the pull goes on (L-24).

use std::collections::HashSet;

use diesel::connection::Connection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::entity::TableSchema;
use sync_core::error::Result;
use sync_core::evaluate;
use sync_core::page::{WireRow, for_each_row, raw_rows};
use sync_core::predicate::Node;
use sync_core::protocol::SystemNames;
use sync_core::row::{Row, TableRow};
use sync_core::store::{Applied, PullBatch, PullEnd, PullScope, PullStart, is_in_conflict};
use sync_core::wanted::{Wanted, is_outside, reads_only_present};

use self::upsert::{CHUNK, Chunk, write_texts};
use crate::failure::{OrStore, is_about_the_row, row_fault};
use crate::queue::operation_of;
use crate::queue::record::decide_anew_if_unrecorded;
use crate::statement::{query, run};
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

pub(crate) mod copies;
pub(crate) mod growth;
mod mirror;
pub(crate) mod quarantine;
mod refetch;
pub(crate) mod token;
pub(crate) mod upsert;
pub(crate) mod wanted;

/// Stores whole pages with the token they lead to.
pub(crate) fn apply_pages(
    conn: &mut SqliteConnection,
    tables: &Tables,
    batch: &PullBatch,
) -> Result<Applied> {
    let table = tables.get(batch.table.name)?;
    system::exempt(conn, |conn| {
        let query_id = batch.query.as_ref().map(|query| query.query_id.as_str());
        let rest = batch.local_rest.as_ref().map(|rest| &rest.node).filter(|node| !node.is_always());
        let forced = if batch.refill { Forced::All } else { Forced::of(&batch.fetched) };
        let mut applying = Applying::new(conn, table, query_id, rest, forced)?;
        for page in &batch.pages {
            if batch.mirror {
                mirror::mark(conn, table, page)?;
            }
            applying.page(conn, &page.body, page.names)?;
        }
        applying.settle_fetched(conn, batch)?;
        for id in &batch.unread {
            refetch::refused(conn, table.schema.name, id)?;
        }
        if let (Some(query_id), Some(feed)) = (query_id, batch.feed) {
            wanted::advance(conn, table.schema.name, query_id, feed)?;
        }
        if let (Some(query), Some(token)) = (&batch.query, &batch.token) {
            token::advance(conn, table.schema.name, query, token)?;
        }
        Ok(applying.applied)
    })
}

/// Remembers what a query wants, tries the table's quarantined rows again and reads where the query stands.
pub(crate) fn begin_pull(
    conn: &mut SqliteConnection,
    tables: &Tables,
    scope: &PullScope,
) -> Result<PullStart> {
    let table = tables.get(scope.table.name)?;
    wanted::remember(conn, scope)?;
    quarantine::retry(conn, table)?;
    if scope.mirror {
        mirror::begin(conn, table)?;
    }
    let refill = growth::needs_refill(conn, scope)?;
    let refetch = refetch::next(conn, table.schema.name)?;
    let Some(query) = &scope.query else {
        return Ok(PullStart { refetch, refill, ..PullStart::default() });
    };
    let (token, restarted) = token::start(conn, table.schema.name, query)?;
    let mut feed = wanted::feed(conn, table.schema.name, &query.query_id)?;
    if feed.is_none() && token.is_none() {
        feed = wanted::begin_feed(conn, table, scope, &query.query_id)?;
    }
    Ok(PullStart { token, feed, refill, restarted, refetch })
}

/// Ends a pull that came to its end: what could not be stored when it came may have its place by now.
pub(crate) fn finish_pull(conn: &mut SqliteConnection, tables: &Tables, end: &PullEnd) -> Result<Applied> {
    let table = tables.get(end.scope.table.name)?;
    let mut applied = quarantine::retry(conn, table)?;
    if let Some(query) = &end.scope.query {
        token::set_server_date(conn, table.schema.name, query, end.server_date)?;
    }
    if end.refilled {
        growth::refilled(conn, &end.scope)?;
    }
    if let Some(predicate) = &end.mirror {
        system::exempt(conn, |conn| mirror::finish(conn, table, &predicate.node, &mut applied))?;
    }
    Ok(applied)
}

/// Which rows are looked into even in a version that is known, and stored if they differ: those read by id, and those
/// that wait in quarantine, whose version may have come without their content.
enum Forced<'t> {
    These(HashSet<&'t str>),
    All,
}

impl<'t> Forced<'t> {
    fn of(fetched: &'t [String]) -> Self {
        Self::These(fetched.iter().map(String::as_str).collect())
    }

    fn contains(&self, id: &str) -> bool {
        match self {
            Self::These(ids) => ids.contains(id),
            Self::All => true,
        }
    }
}

/// A running application of pages to one table.
struct Applying<'t> {
    table: &'t SyncedTable,
    query_id: Option<&'t str>,
    rest: Option<&'t Node>,
    forced: Forced<'t>,
    /// Ids with an operation.
    dirty: HashSet<String>,
    /// Ids in quarantine.
    quarantined: HashSet<String>,
    /// Whether the table has unknown members stored.
    has_extra: bool,
    /// What the pulls of the table want, once it is asked for.
    wanted: Option<Wanted>,
    /// Greatest rowid, while known: rows added by upserts raise it.
    greatest_rowid: Option<i64>,
    applied: Applied,
}

/// A page on its way into the table.
struct PageInProgress<'a> {
    body: &'a [u8],
    names: &'static SystemNames,
    /// Position of the next row.
    position: usize,
    /// Complete rows not written yet, with their positions.
    rows: Vec<WireRow<'a>>,
    positions: Vec<usize>,
    texts: String,
    /// JSON texts of the page's rows, once one is needed.
    raw: Option<Vec<&'a str>>,
}

impl<'t> Applying<'t> {
    fn new(
        conn: &mut SqliteConnection,
        table: &'t SyncedTable,
        query_id: Option<&'t str>,
        rest: Option<&'t Node>,
        forced: Forced<'t>,
    ) -> Result<Self> {
        let name = table.schema.name;
        let mut ids = |text: &str| -> Result<HashSet<String>> {
            Ok(query::<Text>(text, &[name.into()]).load::<String>(conn).or_store()?.into_iter().collect())
        };
        let dirty = ids("SELECT item_id FROM \"__operations\" WHERE table_name = ?")?;
        let quarantined = ids("SELECT item_id FROM \"__quarantine\" WHERE table_name = ?")?;
        let has_extra =
            query::<BigInt>("SELECT EXISTS (SELECT 1 FROM \"__extra\" WHERE table_name = ?)", &[name.into()])
                .get_result::<i64>(conn)
                .or_store()?
                != 0;
        Ok(Self {
            table,
            query_id,
            rest,
            forced,
            dirty,
            quarantined,
            has_extra,
            wanted: None,
            greatest_rowid: None,
            applied: Applied::default(),
        })
    }

    fn page(&mut self, conn: &mut SqliteConnection, body: &[u8], names: &'static SystemNames) -> Result<()> {
        let mut page = PageInProgress {
            body,
            names,
            position: 0,
            rows: Vec::with_capacity(CHUNK),
            positions: Vec::with_capacity(CHUNK),
            texts: String::new(),
            raw: None,
        };
        for_each_row(body, self.table.schema, names, |row| self.row(conn, &mut page, row))?;
        self.flush(conn, &mut page)
    }

    fn row<'a>(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'a>,
        row: WireRow<'a>,
    ) -> Result<()> {
        let position = page.position;
        page.position += 1;
        let Some(id) = row.id.as_deref() else {
            self.applied.ignored += 1;
            return Ok(());
        };
        if self.dirty.contains(id) {
            return self.put_aside(conn, page, position, &row);
        }
        let schema = self.table.schema;
        let rest = self.rest.filter(|_| !row.deleted);
        let is_outside = rest.is_some_and(|rest| is_outside(rest, schema, &row));
        // The local row has a say where it may leave, or where the row does not show all that is asked for.
        let is_judged_here = is_outside || rest.is_some_and(|rest| !reads_only_present(rest, schema, &row));
        // An earlier form of the row in the same page comes first (L-11).
        if (row.deleted || is_judged_here)
            && page.rows.iter().any(|earlier| earlier.id.as_deref() == Some(id))
        {
            self.flush(conn, page)?;
        }
        if row.deleted {
            return self.remove(conn, page, position, &row);
        }
        if let Some(rest) = rest.filter(|_| is_judged_here) {
            match self.table.find(conn, id)? {
                None if is_outside => {
                    self.applied.filtered += 1;
                    // Another query's token may be past it.
                    let waits = self.quarantined.contains(id) && self.wanted(conn)?.may_want(schema, &row);
                    return if waits { Ok(()) } else { self.leave_quarantine(conn, &row) };
                }
                Some(local) if self.leaves(conn, rest, &local, &row)? && self.evict(conn, &row)? => {
                    return Ok(());
                }
                _ => {}
            }
        }
        if is_complete(&row, self.table.schema) && !self.forced.contains(id) {
            write_texts(&mut page.texts, &row);
            page.rows.push(row);
            page.positions.push(position);
            if page.rows.len() == CHUNK {
                self.flush(conn, page)?;
            }
            return Ok(());
        }
        self.flush(conn, page)?;
        self.store(conn, page, position, &row)
    }

    /// Whether a clean row left every filter that brought it (R12).
    fn leaves(
        &mut self,
        conn: &mut SqliteConnection,
        rest: &Node,
        local: &Row,
        wire: &WireRow<'_>,
    ) -> Result<bool> {
        let Some(server) = wire.to_row().filter(|_| wire.fault.is_none()) else { return Ok(false) };
        let is_known = server.version.is_some() && server.version == local.version;
        if is_known && !self.forced.contains(&local.id) {
            return Ok(false);
        }
        let table = self.table.schema;
        let mut new = local.clone();
        overlay(table, &mut new, &server);
        if evaluate::matches(rest, &TableRow { table, row: &new }) {
            return Ok(false);
        }
        Ok(self.wanted(conn)?.has_left(table, local, &new))
    }

    /// What the pulls of the table want.
    fn wanted(&mut self, conn: &mut SqliteConnection) -> Result<&Wanted> {
        let wanted = match self.wanted.take() {
            Some(wanted) => wanted,
            None => wanted::load(conn, self.table.schema)?,
        };
        Ok(self.wanted.insert(wanted))
    }

    /// Removes a row that left; `false` when another row refers to it.
    fn evict(&mut self, conn: &mut SqliteConnection, wire: &WireRow<'_>) -> Result<bool> {
        let Some(id) = wire.id.as_deref() else { return Ok(false) };
        self.greatest_rowid = None;
        match self.table.delete(conn, id) {
            Ok(removed) => self.applied.evicted += removed as u64,
            Err(error) if is_about_the_row(&error) => return Ok(false),
            Err(error) => return Err(error).or_store(),
        }
        drop_extra(conn, self.table, id)?;
        self.leave_quarantine(conn, wire)?;
        Ok(true)
    }

    /// Writes the complete rows collected so far.
    fn flush(&mut self, conn: &mut SqliteConnection, page: &mut PageInProgress<'_>) -> Result<()> {
        if page.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut page.rows);
        let positions = std::mem::take(&mut page.positions);
        let texts = std::mem::take(&mut page.texts);
        let before = self.greatest_rowid(conn)?;
        for row in rows.iter().filter(|row| !row.extra.is_empty()) {
            self.store_extra_of_new(conn, row)?;
        }
        let chunk = Chunk::new(self.table.schema, &rows, &texts);
        let write_chunk = self.table.entry.write_chunk;
        let outcome = if rows.len() == CHUNK || rows.len() == 1 {
            write_chunk(conn, &chunk)
        } else {
            // Several statements: all or none, so that the repetition below counts right.
            conn.transaction(|conn| write_chunk(conn, &chunk))
        };
        self.greatest_rowid = None;
        match outcome {
            Ok(written) => {
                let written = written as u64;
                let added = u64::try_from(self.greatest_rowid(conn)? - before).unwrap_or(0).min(written);
                self.applied.added += added;
                self.applied.changed += written - added;
                self.applied.unchanged += rows.len() as u64 - written;
                for row in &rows {
                    self.leave_quarantine(conn, row)?;
                }
            }
            Err(error) if is_about_the_row(&error) => {
                for (row, position) in rows.iter().zip(positions) {
                    self.store(conn, page, position, row)?;
                }
            }
            Err(error) => return Err(error).or_store(),
        }
        page.rows = rows;
        page.rows.clear();
        Ok(())
    }

    fn greatest_rowid(&mut self, conn: &mut SqliteConnection) -> Result<i64> {
        if let Some(known) = self.greatest_rowid {
            return Ok(known);
        }
        let text = format!("SELECT coalesce(max(rowid), 0) FROM {}", self.table.name);
        let greatest = query::<BigInt>(&text, &[]).get_result(conn).or_store()?;
        self.greatest_rowid = Some(greatest);
        Ok(greatest)
    }

    /// Stores one row by the columns it has; what the database refuses goes to quarantine.
    fn store(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'_>,
        position: usize,
        wire: &WireRow<'_>,
    ) -> Result<()> {
        if let Some(fault) = &wire.fault {
            let reason = format!("the value of column {} does not fit its type", fault.column.name);
            return self.quarantine(conn, page, position, wire, &reason);
        }
        let Some(row) = wire.to_row() else { return Ok(()) };
        self.greatest_rowid = None;
        let local = self.table.version(conn, &row.id)?;
        let count: fn(&mut Applied) = match &local {
            Some(version) if version.is_some() && *version == row.version && self.is_known(conn, &row)? => {
                self.applied.unchanged += 1;
                return self.leave_quarantine(conn, wire);
            }
            Some(_) => |applied| applied.changed += 1,
            None => |applied| applied.added += 1,
        };
        let outcome =
            if local.is_some() { self.table.update(conn, &row) } else { self.table.insert(conn, &row) };
        self.finish(conn, page, position, wire, outcome, count)
    }

    /// Whether a row whose version is here need not be stored: a version may have come without all of its content.
    fn is_known(&self, conn: &mut SqliteConnection, row: &Row) -> Result<bool> {
        if !self.forced.contains(&row.id) {
            return Ok(true);
        }
        let local = self.table.find(conn, &row.id)?;
        Ok(local.is_some_and(|local| is_same(self.table.schema, &local, row)))
    }

    /// A tombstone of a clean row (L-11).
    fn remove(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'_>,
        position: usize,
        wire: &WireRow<'_>,
    ) -> Result<()> {
        let id = wire.id.as_deref().unwrap_or_default();
        if !self.table.schema.keep_deleted {
            self.greatest_rowid = None;
            return match self.table.delete(conn, id) {
                Ok(removed) => {
                    self.applied.removed += removed as u64;
                    self.applied.unchanged += u64::from(removed == 0);
                    self.stored(conn, wire)
                }
                outcome => self.finish(conn, page, position, wire, outcome, |_| {}),
            };
        }
        let Some(row) = wire.to_row() else { return Ok(()) };
        let text = format!("SELECT \"__version\", \"__deleted\" FROM {} WHERE \"id\" = ?", self.table.name);
        let local = query::<(Nullable<Text>, BigInt)>(&text, &[id.into()])
            .get_result::<(Option<String>, i64)>(conn)
            .optional()
            .or_store()?;
        match local {
            None => {
                self.applied.unchanged += 1;
                self.leave_quarantine(conn, wire)
            }
            Some((version, marked)) if marked != 0 && version == row.version => {
                self.applied.unchanged += 1;
                self.leave_quarantine(conn, wire)
            }
            Some(_) => {
                let outcome = self.table.update(conn, &row);
                self.finish(conn, page, position, wire, outcome, |applied| applied.removed += 1)
            }
        }
    }

    fn finish(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'_>,
        position: usize,
        wire: &WireRow<'_>,
        outcome: QueryResult<usize>,
        count: fn(&mut Applied),
    ) -> Result<()> {
        match outcome {
            Ok(_) => {
                count(&mut self.applied);
                self.stored(conn, wire)
            }
            Err(error) if is_about_the_row(&error) => {
                self.quarantine(conn, page, position, wire, row_fault(&error))
            }
            Err(error) => Err(error).or_store(),
        }
    }

    /// L-14, L-15: the server's copy of a row with an operation is kept beside.
    fn put_aside(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'_>,
        position: usize,
        wire: &WireRow<'_>,
    ) -> Result<()> {
        if let Some(fault) = &wire.fault
            && !wire.deleted
        {
            let reason = format!("the value of column {} does not fit its type", fault.column.name);
            return self.quarantine(conn, page, position, wire, &reason);
        }
        let Some(server) = wire.to_row() else { return Ok(()) };
        let newest = copies::newest(conn, self.table, &server.id)?;
        let is_known = newest.as_ref().is_some_and(|newest| {
            server.version.is_some()
                && server.version == newest.version
                && server.deleted == newest.deleted
                && (!matches!(self.forced, Forced::All) || is_same(self.table.schema, newest, &server))
        });
        if is_known {
            self.applied.unchanged += 1;
            return self.leave_quarantine(conn, wire);
        }
        // K-12: a decision about the copy seen before is none about this one.
        if let Some(operation) = operation_of(conn, self.table.schema, &server.id)?
            && is_in_conflict(self.table.schema, &operation, newest.as_ref())
        {
            decide_anew_if_unrecorded(conn, self.table.schema.name, &server.id)?;
        }
        copies::learn(conn, self.table, newest, &server)?;
        self.applied.kept_local += 1;
        self.leave_quarantine(conn, wire)
    }

    /// The end of rows that were read by id: a clean row that the server does not have goes, and so do the notes.
    fn settle_fetched(&mut self, conn: &mut SqliteConnection, batch: &PullBatch) -> Result<()> {
        let present: HashSet<&str> =
            batch.pages.iter().flat_map(|page| page.summary.rows()).filter_map(|row| row.id).collect();
        let name = self.table.schema.name;
        for id in &batch.fetched {
            if !present.contains(id.as_str()) && !self.dirty.contains(id) {
                match self.table.delete(conn, id) {
                    Ok(removed) => self.applied.removed += removed as u64,
                    // Another row refers to it; it is asked for again.
                    Err(error) if is_about_the_row(&error) => continue,
                    Err(error) => return Err(error).or_store(),
                }
                drop_beside(conn, self.table, id)?;
            }
            refetch::done(conn, name, id)?;
        }
        Ok(())
    }

    /// What follows a row that has its place: its unknown members, and the end of a quarantine.
    fn stored(&mut self, conn: &mut SqliteConnection, wire: &WireRow<'_>) -> Result<()> {
        let Some(id) = wire.id.as_deref() else { return Ok(()) };
        if wire.deleted && !self.table.schema.keep_deleted {
            if self.has_extra {
                drop_extra(conn, self.table, id)?;
            }
        } else if let Some(extra) = wire.extra_json() {
            self.has_extra = true;
            store_extra(conn, self.table, id, Some(&extra))?;
        }
        self.leave_quarantine(conn, wire)
    }

    /// Stores the unknown members of a row about to be written, unless it is known in this version (L-20).
    fn store_extra_of_new(&mut self, conn: &mut SqliteConnection, wire: &WireRow<'_>) -> Result<()> {
        let (Some(id), Some(extra)) = (wire.id.as_deref(), wire.extra_json()) else { return Ok(()) };
        self.has_extra = true;
        let text = format!(
            "INSERT INTO \"__extra\" (table_name, item_id, json) SELECT ?, ?, ?
             WHERE NOT EXISTS (SELECT 1 FROM {} WHERE \"id\" = ? AND \"__version\" = ?)
             ON CONFLICT (table_name, item_id) DO UPDATE SET json = excluded.json",
            self.table.name
        );
        let name = self.table.schema.name;
        run(conn, &text, &[name.into(), id.into(), extra.into(), id.into(), wire.version.as_deref().into()])
            .or_store()
            .map(|_| ())
    }

    /// Whatever waits in quarantine is older than the row just seen.
    fn leave_quarantine(&mut self, conn: &mut SqliteConnection, wire: &WireRow<'_>) -> Result<()> {
        let Some(id) = wire.id.as_deref() else { return Ok(()) };
        if self.quarantined.remove(id) {
            run(
                conn,
                "DELETE FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?",
                &[self.table.schema.name.into(), id.into()],
            )
            .or_store()?;
        }
        Ok(())
    }

    fn quarantine(
        &mut self,
        conn: &mut SqliteConnection,
        page: &mut PageInProgress<'_>,
        position: usize,
        wire: &WireRow<'_>,
        reason: &str,
    ) -> Result<()> {
        let Some(id) = wire.id.as_deref() else { return Ok(()) };
        let raw = match &page.raw {
            Some(raw) => raw,
            None => page.raw.insert(raw_rows(page.body)?),
        };
        let text = raw.get(position).copied().unwrap_or("{}");
        run(
            conn,
            "INSERT INTO \"__quarantine\" (table_name, item_id, query_id, names, item, reason)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (table_name, item_id) DO UPDATE SET
             query_id = coalesce(excluded.query_id, query_id), names = excluded.names,
             item = excluded.item, reason = excluded.reason",
            &[
                self.table.schema.name.into(),
                id.into(),
                self.query_id.into(),
                quarantine::names_text(page.names).into(),
                text.into(),
                reason.into(),
            ],
        )
        .or_store()?;
        if self.has_extra && self.table.version(conn, id)?.is_none() {
            // They were stored before the row was refused.
            drop_extra(conn, self.table, id)?;
        }
        self.quarantined.insert(id.to_owned());
        self.applied.quarantined += 1;
        Ok(())
    }
}

/// Whether the server's row would change nothing in the one here.
fn is_same(table: &TableSchema, here: &Row, server: &Row) -> bool {
    let mut new = here.clone();
    overlay(table, &mut new, server);
    new == *here
}

/// Whether every synced column has a value: unknown members are stored beside.
fn is_complete(row: &WireRow<'_>, table: &TableSchema) -> bool {
    row.fault.is_none()
        && table
            .columns
            .iter()
            .zip(&row.cells)
            .all(|(column, cell)| column.local || !matches!(cell, sync_core::page::Cell::Absent))
}

/// Stores the members of a server row that are no columns here (L-18); `None` leaves those stored.
pub(crate) fn store_extra(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    id: &str,
    json: Option<&str>,
) -> Result<()> {
    let Some(json) = json else { return Ok(()) };
    run(
        conn,
        "INSERT INTO \"__extra\" (table_name, item_id, json) VALUES (?, ?, ?)
         ON CONFLICT (table_name, item_id) DO UPDATE SET json = excluded.json",
        &[table.schema.name.into(), id.into(), json.into()],
    )
    .or_store()
    .map(|_| ())
}

/// Removes what is kept beside a clean row that is gone.
fn drop_beside(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    drop_extra(conn, table, id)?;
    let binds = [table.schema.name.into(), id.into()];
    run(conn, "DELETE FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?", &binds)
        .or_store()
        .map(|_| ())
}

/// Removes the unknown members of a row that is gone.
pub(crate) fn drop_extra(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    run(
        conn,
        "DELETE FROM \"__extra\" WHERE table_name = ? AND item_id = ?",
        &[table.schema.name.into(), id.into()],
    )
    .or_store()
    .map(|_| ())
}
