//! [`DieselStore`]: the local store on SQLite.

use std::path::Path;
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sqlite::SqliteConnection;
use sync_core::check;
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::event::{ChangeSource, EventStream, Events, TableWatch};
use sync_core::operation::{Operation, OperationError, OperationKey};
use sync_core::predicate::Predicate;
use sync_core::row::Row;
use sync_core::store::{
    Applied, Exchange, Exchanged, LocalChange, LocalChangeKind, LocalStore, OpenConflict, OtherAccount,
    Owner, PullBatch, PullEnd, PullScope, PullStart, Purge, Purged, PushSession, QuarantinedRow, Resolution,
    ResolutionRecord, Resolver,
};

use crate::changes::Recorder;
use crate::connection::{Database, DatabaseOptions};
use crate::explain::{self, Explanation};
use crate::failure::{BoxedError, OrStore};
use crate::lease::{Lease, Leases};
use crate::schema::TableEntry;
use crate::statement::{Bind, quote, run};
use crate::synced::{SyncedTable, Tables};
use crate::{apply, capture, queue, schema, system};

mod purge;

/// A local database with an operation queue, on SQLite through Diesel.
///
/// Whatever writes a synced table, by this value, by any Diesel statement in [`write`](Self::write), or by
/// another process, is queued in the same transaction: triggers on the tables do it.
///
/// Cheap to clone; all clones share one writer and one pool of readers.
#[derive(Clone, Debug)]
pub struct DieselStore {
    database: Database,
    leases: Leases,
    tables: Arc<Tables>,
    schemas: Arc<[&'static TableSchema]>,
    events: Events,
}

impl DieselStore {
    /// Opens the database file, or creates it, and prepares it for these entities: sync's own tables and the
    /// capture triggers are made or brought up to date, in one transaction. The entities' tables must exist.
    ///
    /// Sends nothing.
    ///
    /// # Errors
    ///
    /// `SchemaMismatch` naming table and column when a table does not fit its entity, or when changes wait for a column
    /// or a table that is gone; `NewerSchema` when a newer
    /// version of this library wrote the file; `Corrupt` when the file is damaged or no database; `Busy`,
    /// `Store` when it cannot be opened. Nothing is changed then.
    pub async fn open(
        path: impl AsRef<Path>,
        tables: &'static [TableEntry],
        options: DatabaseOptions,
    ) -> Result<Self> {
        Self::open_with(path, tables, options, |_| Ok(())).await
    }

    /// Like [`open`](Self::open); `migrate` runs first, in the same transaction.
    ///
    /// Foreign keys are not enforced in it, and checked at the end if tables changed: an orphan that was not there before
    /// is refused. Capture triggers are in
    /// place if the file was opened before: call [`remove_capture`](crate::schema::remove_capture) before a
    /// migration that alters synced tables.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and those of `migrate`.
    pub async fn open_with<F>(
        path: impl AsRef<Path>,
        tables: &'static [TableEntry],
        options: DatabaseOptions,
        migrate: F,
    ) -> Result<Self>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<()> + Send + 'static,
    {
        let schemas: Arc<[&'static TableSchema]> = tables.iter().map(TableEntry::schema).collect();
        let events = Events::new();
        let recorder = Recorder::new(events.clone(), Arc::clone(&schemas));
        let (database, is_altered) = Database::open(path.as_ref(), options, recorder, move |conn, before| {
            system::prepare(conn)?;
            migrate(conn)?;
            schema::check(conn, tables)?;
            let mut is_altered = false;
            for entry in tables {
                let others = schema::releases::others(conn, entry.schema())?;
                is_altered |= capture::install(conn, entry.schema(), &others)?;
            }
            let schemas: Vec<_> = tables.iter().map(TableEntry::schema).collect();
            queue::relation::install(conn, &schemas)?;
            let tables = Tables::new(tables);
            queue::stranded::check_tables(conn, &tables)?;
            for table in tables.iter().filter(|_| is_altered) {
                queue::stranded::check_columns(conn, table, before)?;
            }
            apply::growth::settle(conn, &tables)?;
            if is_altered {
                schema::check_rows(conn, before)?;
            }
            Ok(is_altered)
        })
        .await?;
        let leases = Leases::new(path.as_ref());
        let store = Self { database, leases, tables: Arc::new(Tables::new(tables)), schemas, events };
        if is_altered {
            // With foreign keys enforced again. What fails here is tried again by the next pull.
            let _ = store.on_tables(ChangeSource::Pull, apply::quarantine::retry_all).await;
        }
        Ok(store)
    }

    /// Runs `work` on a read-only connection in one transaction: everything it reads is of one moment.
    ///
    /// # Errors
    ///
    /// The error of `work`: Diesel's are classified, this library's are given back as they are, any other is
    /// the source of a `Store` error.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxedError>,
    {
        self.database.read(work).await
    }

    /// Runs `work` on the writing connection in one immediate transaction: its changes and their operations
    /// are committed together if it returns `Ok`, else nothing is. A dropped future leaves the work to finish.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `InvalidId` and `InvalidValue` when a synced table refuses a row that could
    /// never be sent.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxedError>,
    {
        self.database.write(ChangeSource::Local, work).await
    }

    /// Closes the database once what is being written is done; later calls fail with `Closed`. Other clones of this
    /// store are closed with it.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Like [`read`](Self::read), for reads that take long: on a thread and a connection beside the others'.
    pub(crate) fn read_apart<E, F>(&self, work: F, failed: impl FnOnce(Error) + Send + 'static) -> Result<()>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<(), E> + Send + 'static,
        E: Into<BoxedError>,
    {
        self.database.read_apart(work, failed)
    }

    /// Writes whole rows over those with their ids, or as new ones, in one transaction.
    pub(crate) async fn upsert(&self, table: &'static TableSchema, rows: Vec<Row>) -> Result<()> {
        self.on_tables(ChangeSource::Local, move |conn, tables| {
            let known = tables.get(table.name)?;
            rows.into_iter().try_for_each(|row| {
                let is_there = known.version(conn, &row.id)?.is_some();
                let kind = if is_there { LocalChangeKind::Update(row) } else { LocalChangeKind::Insert(row) };
                write_change(conn, tables, &LocalChange { table, kind })
            })
        })
        .await
    }

    /// Where a row stands, all of one moment.
    pub(crate) async fn explain(&self, table: &'static TableSchema, id: &str) -> Result<Explanation> {
        let id = id.to_owned();
        self.of_tables(move |conn, tables| explain::load(conn, tables, table, id)).await
    }

    /// Listens to what happens in this store; at most `capacity` events wait unread. Covers every write that is begun
    /// after this call.
    pub fn subscribe(&self, capacity: usize) -> EventStream {
        self.events.subscribe(capacity)
    }

    /// Listens to changes of one table by this store's connection. The first item comes as soon as no change can be
    /// missed any more, so a reader that reads the table after each item has always seen the newest state.
    pub fn watch(&self, table: &'static TableSchema) -> TableWatch {
        let watch = self.events.watch(table.name);
        let bell = watch.bell();
        self.database.after_writes(move || bell.ring());
        watch
    }

    /// As [`on_tables`](Self::on_tables), for the steps of a push, pull or purge: a step outlives a caller that was
    /// dropped, and nobody else may push, pull or purge until it is done.
    async fn under_lease<T, F>(&self, source: ChangeSource, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection, &Tables) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let held = self.leases.hold();
        self.on_tables(source, move |conn, tables| {
            let _held = held;
            work(conn, tables)
        })
        .await
    }

    async fn on_tables<T, F>(&self, source: ChangeSource, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection, &Tables) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let tables = self.tables.clone();
        self.database.write(source, move |conn| work(conn, &tables)).await
    }

    async fn of_tables<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection, &Tables) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let tables = self.tables.clone();
        self.database.read(move |conn| work(conn, &tables)).await
    }
}

impl LocalStore for DieselStore {
    type Lease = Lease;

    async fn lease(&self, wait: bool) -> Result<Lease> {
        self.leases.take(wait).await
    }

    async fn owner(&self) -> Result<Option<Owner>> {
        self.of_tables(|conn, _| queue::owner::find(conn)).await
    }

    async fn claim(&self, owner: Owner, answer: OtherAccount) -> Result<u64> {
        self.on_tables(ChangeSource::Resolution, move |conn, tables| {
            queue::owner::claim(conn, tables, &owner, answer)
        })
        .await
    }

    fn tables(&self) -> &[&'static TableSchema] {
        &self.schemas
    }

    fn events(&self) -> Events {
        self.events.clone()
    }

    async fn write(&self, changes: Vec<LocalChange>) -> Result<()> {
        self.on_tables(ChangeSource::Local, move |conn, tables| {
            changes.iter().try_for_each(|change| write_change(conn, tables, change))
        })
        .await
    }

    async fn get(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        let id = id.to_owned();
        self.of_tables(move |conn, tables| tables.get(table.name)?.find(conn, &id)).await
    }

    async fn select(&self, predicate: Predicate) -> Result<Vec<Row>> {
        self.of_tables(move |conn, tables| {
            let table = tables.get(predicate.table.name)?;
            let mut rows = Vec::new();
            table.for_each(conn, &predicate.node, |row| {
                rows.push(row);
                Ok(())
            })?;
            Ok(rows)
        })
        .await
    }

    async fn shadow(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        let id = id.to_owned();
        self.of_tables(move |conn, tables| apply::copies::newest(conn, tables.get(table.name)?, &id)).await
    }

    async fn pending(&self, table: Option<&'static TableSchema>) -> Result<u64> {
        self.of_tables(move |conn, _| queue::pending(conn, table.map(|table| table.name))).await
    }

    async fn operations(&self, table: Option<&'static TableSchema>) -> Result<Vec<Operation>> {
        self.of_tables(move |conn, tables| queue::operations(conn, tables, table.map(|table| table.name)))
            .await
    }

    async fn errors(&self, table: Option<&'static TableSchema>) -> Result<Vec<OperationError>> {
        self.of_tables(move |conn, tables| match table {
            Some(table) => queue::errors(conn, tables, "e.table_name = ?", &[table.name.into()]),
            None => queue::errors(conn, tables, "1", &[]),
        })
        .await
    }

    async fn begin_push(&self) -> Result<PushSession> {
        self.under_lease(ChangeSource::Push, |conn, _| queue::begin_push(conn)).await
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged> {
        self.under_lease(ChangeSource::Push, move |conn, tables| queue::exchange(conn, tables, &exchange))
            .await
    }

    async fn begin_pull(&self, scope: PullScope) -> Result<PullStart> {
        self.under_lease(ChangeSource::Pull, move |conn, tables| apply::begin_pull(conn, tables, &scope))
            .await
    }

    async fn apply_pages(&self, batch: PullBatch) -> Result<Applied> {
        self.under_lease(ChangeSource::Pull, move |conn, tables| apply::apply_pages(conn, tables, &batch))
            .await
    }

    async fn finish_pull(&self, end: PullEnd) -> Result<Applied> {
        self.under_lease(ChangeSource::Pull, move |conn, tables| apply::finish_pull(conn, tables, &end)).await
    }

    async fn quarantine(&self, table: Option<&'static TableSchema>) -> Result<Vec<QuarantinedRow>> {
        self.of_tables(move |conn, tables| {
            apply::quarantine::list(conn, tables, table.map(|table| table.name))
        })
        .await
    }

    async fn reset_token(&self, table: &'static TableSchema, query_id: Option<&str>) -> Result<()> {
        let query_id = query_id.map(str::to_owned);
        self.under_lease(ChangeSource::Pull, move |conn, tables| {
            let table = tables.get(table.name)?;
            apply::token::reset(conn, table.schema.name, query_id.as_deref())
        })
        .await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.under_lease(ChangeSource::Purge, move |conn, tables| purge::purge(conn, tables, &purge)).await
    }

    async fn conflicts(&self, table: Option<&'static TableSchema>) -> Result<Vec<OpenConflict>> {
        self.of_tables(move |conn, tables| {
            queue::resolve::conflicts(conn, tables, table.map(|table| table.name))
        })
        .await
    }

    async fn resolve(&self, key: OperationKey, resolution: Resolution, by: Resolver) -> Result<()> {
        self.on_tables(ChangeSource::Resolution, move |conn, tables| {
            queue::resolve::resolve(conn, tables, &key, &resolution, by)
        })
        .await
    }

    async fn resolutions(&self) -> Result<Vec<ResolutionRecord>> {
        self.of_tables(queue::history::resolutions).await
    }

    async fn setting(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.of_tables(move |conn, _| system::setting(conn, &key)).await
    }

    async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<()> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.on_tables(ChangeSource::Local, move |conn, _| system::set_setting(conn, &key, value.as_deref()))
            .await
    }
}

/// One local change; the triggers queue it.
fn write_change(conn: &mut SqliteConnection, tables: &Tables, change: &LocalChange) -> Result<()> {
    let table = tables.get(change.table.name)?;
    let name = table.schema.name;
    match &change.kind {
        LocalChangeKind::Insert(row) => {
            check::check_row(table.schema, row)?;
            insert(conn, table, row)
        }
        LocalChangeKind::Update(row) => {
            check::check_row(table.schema, row)?;
            update(conn, table, row)
        }
        LocalChangeKind::Delete(id) => {
            check::check_id(table.schema, id)?;
            let removed = table.delete(conn, id).or_store().map_err(|error| named(error, name, id))?;
            if removed == 0 { Err(missing(name, id)) } else { Ok(()) }
        }
        LocalChangeKind::Undelete(id) => queue::undelete::undelete(conn, table, id),
    }
}

fn insert(conn: &mut SqliteConnection, table: &SyncedTable, row: &Row) -> Result<()> {
    let name = table.schema.name;
    let (columns, values): (Vec<&str>, Vec<Bind<'_>>) = table.present(row).unzip();
    let mut text = format!("INSERT INTO {} (\"id\"", table.name);
    for column in &columns {
        text.push_str(", ");
        text.push_str(&quote(column));
    }
    text.push_str(") VALUES (?");
    text.push_str(&", ?".repeat(columns.len()));
    text.push(')');
    let mut binds: Vec<Bind<'_>> = vec![(&row.id).into()];
    binds.extend(values);
    match run(conn, &text, &binds) {
        Ok(_) => Ok(()),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, information))
            if information.message().ends_with(&format!("{name}.id")) =>
        {
            Err(Error::new(ErrorKind::AlreadyExists, "a row with this id exists")
                .with_table(name)
                .with_item(&row.id))
        }
        Err(error) => Err(error).or_store().map_err(|error| named(error, name, &row.id)),
    }
}

fn update(conn: &mut SqliteConnection, table: &SyncedTable, row: &Row) -> Result<()> {
    let name = table.schema.name;
    let mut text = format!("UPDATE {} SET ", table.name);
    let mut binds: Vec<Bind<'_>> = Vec::new();
    for (column, value) in table.present(row) {
        if !binds.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&quote(column));
        text.push_str(" = ?");
        binds.push(value);
    }
    if binds.is_empty() {
        let exists = table.version(conn, &row.id)?.is_some();
        return if exists { Ok(()) } else { Err(missing(name, &row.id)) };
    }
    if row.version.is_some() {
        // The trigger reads it as the version the change is based on (K-17).
        text.push_str(", \"__version\" = ?");
        binds.push((&row.version).into());
    }
    text.push_str(" WHERE \"id\" = ?");
    binds.push((&row.id).into());
    match run(conn, &text, &binds).or_store().map_err(|error| named(error, name, &row.id))? {
        0 => Err(missing(name, &row.id)),
        _ => Ok(()),
    }
}

fn named(error: Error, table: &str, id: &str) -> Error {
    error.with_table(table).with_item(id)
}

fn missing(table: &str, id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no row with this id").with_table(table).with_item(id)
}
