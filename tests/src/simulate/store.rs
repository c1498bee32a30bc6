//! A device's database: either store, with a point of rest before and after each step, so that a device can be killed
//! between any two of them.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use sync_core::entity::TableSchema;
use sync_core::error::Result;
use sync_core::event::Events;
use sync_core::memory::MemoryStore;
use sync_core::operation::{Operation, OperationError, OperationKey};
use sync_core::predicate::Predicate;
use sync_core::row::Row;
use sync_core::store::{
    Applied, Exchange, Exchanged, LocalChange, LocalStore, OpenConflict, OtherAccount, Outcome, Owner,
    PullBatch, PullEnd, PullScope, PullStart, Purge, Purged, PushSession, QuarantinedRow, Resolution,
    ResolutionRecord, Resolver,
};
use sync_diesel::__private::TableEntry;
use sync_diesel::prelude::SyncSchema;
use sync_diesel::{DatabaseOptions, DieselStore, Synchronous};

use super::ledger::Ledger;
use super::model::{NOTE, Schema, TABLES, Tables, before};
use super::world::World;

/// What keeps the rows.
#[derive(Clone, Debug)]
pub(super) enum Database {
    Memory(Arc<MemoryStore>),
    Sqlite(DieselStore),
}

const FIRST_ENTRIES: &[TableEntry] = &[Schema::TABLES[0], Schema::TABLES[1], before::Schema::TABLES[0]];

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for real. What a store does on threads of its own is one step here, so that its timing does not matter.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Does the same with either store.
macro_rules! on {
    ($database:expr, $store:ident => $call:expr) => {
        match $database {
            Database::Memory($store) => wait($call),
            Database::Sqlite($store) => wait($call),
        }
    };
}

/// Either store by the trait alone: [`DieselStore`] has methods of its own with the same names.
trait AsStore {
    type Store: LocalStore;

    fn as_store(&self) -> &Self::Store;
}

impl AsStore for Arc<MemoryStore> {
    type Store = MemoryStore;

    fn as_store(&self) -> &MemoryStore {
        self
    }
}

impl AsStore for DieselStore {
    type Store = Self;

    fn as_store(&self) -> &Self {
        self
    }
}

impl Database {
    pub(super) fn memory() -> Self {
        Self::Memory(Arc::new(MemoryStore::new(TABLES)))
    }

    /// A file as a release of the app opens it.
    pub(super) fn open(path: &Path, tables: Tables) -> Self {
        // A crash of the process alone loses nothing without it.
        let is_grown = tables[NOTE].columns.len() == TABLES[NOTE].columns.len();
        let entries = if is_grown { Schema::TABLES } else { FIRST_ENTRIES };
        let options = DatabaseOptions { synchronous: Synchronous::Normal, ..DatabaseOptions::default() };
        let make = move |conn: &mut diesel::sqlite::SqliteConnection| {
            use diesel::connection::SimpleConnection;
            let is_new = conn.batch_execute("SELECT 1 FROM \"Todo\" LIMIT 1").is_err();
            if is_new {
                for table in tables {
                    let made = conn.batch_execute(&sync_diesel::create_table_sql(table));
                    made.expect("the table can be made");
                }
            } else if is_grown && conn.batch_execute("SELECT Note.color FROM Note LIMIT 1").is_err() {
                let grown = conn.batch_execute("ALTER TABLE \"Note\" ADD COLUMN \"color\" TEXT");
                grown.expect("the table can grow");
            }
            Ok(())
        };
        let store = wait(DieselStore::open_with(path, entries, options, make));
        Self::Sqlite(store.expect("the database opens"))
    }

    /// The tables, as the app's release has them.
    pub(super) fn tables(&self) -> &[&'static TableSchema] {
        match self {
            Self::Memory(store) => store.tables(),
            Self::Sqlite(store) => store.tables(),
        }
    }

    /// The table of this name.
    pub(super) fn table(&self, name: &str) -> &'static TableSchema {
        self.tables().iter().find(|table| table.name == name).expect("a table of the app")
    }

    /// Hands the queue to an account; nothing is under way.
    pub(super) fn claim(&self, owner: Owner, answer: OtherAccount) -> Result<u64> {
        on!(self, store => LocalStore::claim(store.as_store(), owner, answer))
    }

    /// Ids of the rows of the store for which it says that the condition is true.
    pub(super) fn matching(&self, predicate: Predicate) -> BTreeSet<String> {
        let rows = on!(self, store => store.select(predicate)).expect("the rows can be read");
        rows.into_iter().map(|row| row.id).collect()
    }

    pub(super) fn write(&self, change: LocalChange) -> Result<()> {
        on!(self, store => LocalStore::write(store.as_store(), vec![change]))
    }

    /// The rows of a table by id, deleted ones included.
    pub(super) fn rows(&self, table: &'static TableSchema) -> Vec<Row> {
        on!(self, store => store.select(Predicate::all(table))).expect("the rows can be read")
    }

    pub(super) fn row(&self, table: &'static TableSchema, id: &str) -> Option<Row> {
        on!(self, store => store.get(table, id)).expect("the row can be read")
    }

    /// The newest copy of the server's that is kept beside the app's change of a row.
    pub(super) fn shadow(&self, table: &'static TableSchema, id: &str) -> Option<Row> {
        on!(self, store => store.shadow(table, id)).expect("the copy can be read")
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        on!(self, store => store.operations(None)).expect("the queue can be read")
    }

    pub(super) fn errors(&self) -> Vec<OperationError> {
        on!(self, store => store.errors(None)).expect("the errors can be read")
    }

    pub(super) fn quarantine(&self) -> Vec<QuarantinedRow> {
        on!(self, store => store.quarantine(None)).expect("the quarantine can be read")
    }

    pub(super) fn resolutions(&self) -> Vec<ResolutionRecord> {
        on!(self, store => store.resolutions()).expect("the resolutions can be read")
    }
}

/// A database as the engine of one device sees it.
#[derive(Clone)]
pub(super) struct SimStore {
    pub(super) database: Database,
    pub(super) world: Arc<World>,
    pub(super) device: usize,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").field("device", &self.device).finish_non_exhaustive()
    }
}

/// One step: a rest, the step, a rest.
macro_rules! step {
    ($self:ident, $before:literal, $after:literal, $store:ident => $call:expr) => {{
        $self.world.rest($self.device, $before).await;
        let done = on!(&$self.database, $store => $call);
        $self.world.rest($self.device, $after).await;
        done
    }};
}

impl SimStore {
    /// Tells the ledger which conflicts were decided since it last looked.
    fn look_for_resolutions(&self) {
        let records = self.database.resolutions();
        self.ledger.lock().expect("no panic").decided(self.device, &self.database, records);
    }
}

impl LocalStore for SimStore {
    type Lease = Box<dyn std::any::Any + Send>;

    async fn lease(&self, wait_for_it: bool) -> Result<Self::Lease> {
        self.world.rest(self.device, "before the lease").await;
        let lease: Self::Lease = match &self.database {
            Database::Memory(store) => Box::new(store.lease(wait_for_it).await?),
            Database::Sqlite(store) => Box::new(wait(store.lease(wait_for_it))?),
        };
        Ok(lease)
    }

    async fn owner(&self) -> Result<Option<Owner>> {
        on!(&self.database, store => store.owner())
    }

    async fn claim(&self, owner: Owner, answer: OtherAccount) -> Result<u64> {
        step!(self, "before claim", "after claim", store => store.claim(owner, answer))
    }

    fn tables(&self) -> &[&'static TableSchema] {
        self.database.tables()
    }

    fn events(&self) -> Events {
        match &self.database {
            Database::Memory(store) => store.events(),
            Database::Sqlite(store) => store.events(),
        }
    }

    async fn write(&self, changes: Vec<LocalChange>) -> Result<()> {
        on!(&self.database, store => LocalStore::write(store.as_store(), changes))
    }

    async fn get(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        on!(&self.database, store => store.get(table, id))
    }

    async fn select(&self, predicate: Predicate) -> Result<Vec<Row>> {
        on!(&self.database, store => store.select(predicate))
    }

    async fn shadow(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        on!(&self.database, store => store.shadow(table, id))
    }

    async fn pending(&self, table: Option<&'static TableSchema>) -> Result<u64> {
        on!(&self.database, store => store.pending(table))
    }

    async fn operations(&self, table: Option<&'static TableSchema>) -> Result<Vec<Operation>> {
        on!(&self.database, store => store.operations(table))
    }

    async fn errors(&self, table: Option<&'static TableSchema>) -> Result<Vec<OperationError>> {
        on!(&self.database, store => store.errors(table))
    }

    async fn begin_push(&self) -> Result<PushSession> {
        step!(self, "before begin_push", "after begin_push", store => store.begin_push())
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged> {
        let decides = exchange
            .settlements
            .iter()
            .any(|settlement| matches!(settlement.outcome, Outcome::Resolved { .. }));
        self.world.rest(self.device, "before exchange").await;
        let done = on!(&self.database, store => store.exchange(exchange));
        if decides {
            self.look_for_resolutions();
        }
        self.world.rest(self.device, "after exchange").await;
        done
    }

    async fn begin_pull(&self, scope: PullScope) -> Result<PullStart> {
        step!(self, "before begin_pull", "after begin_pull", store => store.begin_pull(scope))
    }

    async fn apply_pages(&self, batch: PullBatch) -> Result<Applied> {
        step!(self, "before apply_pages", "after apply_pages", store => store.apply_pages(batch))
    }

    async fn finish_pull(&self, end: PullEnd) -> Result<Applied> {
        step!(self, "before finish_pull", "after finish_pull", store => store.finish_pull(end))
    }

    async fn quarantine(&self, table: Option<&'static TableSchema>) -> Result<Vec<QuarantinedRow>> {
        on!(&self.database, store => store.quarantine(table))
    }

    async fn reset_token(&self, table: &'static TableSchema, query_id: Option<&str>) -> Result<()> {
        step!(self, "before reset_token", "after reset_token", store => store.reset_token(table, query_id))
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        let (predicate, is_forced) = (purge.predicate.clone(), purge.force);
        self.world.rest(self.device, "before purge").await;
        let (before, operations) = (self.database.rows(predicate.table), self.database.operations());
        let done = on!(&self.database, store => store.purge(purge));
        if !is_forced && self.database.operations() != operations {
            let complaint = format!("G10: a purge of d{} without force dropped operations", self.device);
            self.world.server(|server| server.complaints.push(complaint));
        }
        if is_forced && done.is_ok() {
            let mut ledger = self.ledger.lock().expect("no panic");
            ledger.purged(self.device, &self.database, predicate.table, &before, &operations);
        }
        self.world.rest(self.device, "after purge").await;
        done
    }

    async fn conflicts(&self, table: Option<&'static TableSchema>) -> Result<Vec<OpenConflict>> {
        on!(&self.database, store => store.conflicts(table))
    }

    async fn resolve(&self, key: OperationKey, resolution: Resolution, by: Resolver) -> Result<()> {
        self.world.rest(self.device, "before resolve").await;
        let done = on!(&self.database, store => store.resolve(key, resolution, by));
        self.look_for_resolutions();
        self.world.rest(self.device, "after resolve").await;
        done
    }

    async fn resolutions(&self) -> Result<Vec<ResolutionRecord>> {
        on!(&self.database, store => store.resolutions())
    }

    async fn setting(&self, key: &str) -> Result<Option<String>> {
        on!(&self.database, store => store.setting(key))
    }

    async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<()> {
        step!(self, "before set_setting", "after set_setting", store => store.set_setting(key, value))
    }
}
