//! A store in memory: the reference model of the tests, and a store for programs that keep nothing.
//!
//! [`MemoryStore`] says what every [`LocalStore`] does, in the plainest code: one lock around one state, and
//! each step works on a copy that takes the state's place only when the whole step succeeded. The copy is per
//! table and made by the first write to it, so a step costs time in proportion to the tables it touches; this
//! store is for thousands of rows, not for millions.
//!
//! Where the trait leaves a choice, this store chooses as follows, and the contract suite compares:
//!
//! - A settlement whose operation is gone, or is not in flight at the revision its key names, changes nothing.
//! - An operation in flight keeps its place, and what remains of it goes to the place of the first change made
//!   during the flight; to that of the delete, if one came.
//! - A refused, conflicting or unsent operation that changed during the flight is treated as if the changes had
//!   been made before it was taken, by the matrix: an insert deleted meanwhile vanishes, a
//!   delete whose row was inserted again is an update, an update whose row was deleted meanwhile goes to
//!   the end.
//! - An update dropped by X-15 leaves its row as the newest server copy known.
//! - A handler's merge or choice of the server's row is not applied over an edit made during the flight: the
//!   conflict is recorded instead (K-12).
//! - Tombstones of unknown rows count as unchanged. A row without version counts as changed.

use std::sync::{Arc, Mutex, PoisonError};

use self::state::State;
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate;
use crate::operation::{Operation, OperationError, OperationKey};
use crate::predicate::Predicate;
use crate::row::{Row, TableRow};
use crate::store::{
    Applied, Exchange, Exchanged, LocalChange, LocalStore, OpenConflict, OtherAccount, Owner, PullBatch,
    PullEnd, PullScope, PullStart, Purge, Purged, PushSession, QuarantinedRow, Resolution, ResolutionRecord,
    Resolver,
};

#[cfg(test)]
mod crash;
pub(crate) mod default;
mod exchange;
mod local;
mod owner;
mod pull;
mod purge;
mod resolve;
mod settle;
mod state;

/// A [`LocalStore`] in memory. See the [module documentation](self).
#[derive(Debug)]
pub struct MemoryStore {
    schemas: Vec<&'static TableSchema>,
    state: Mutex<State>,
    lease: Arc<tokio::sync::Mutex<()>>,
}

impl MemoryStore {
    /// An empty store of these tables. Table names must differ.
    pub fn new(tables: impl IntoIterator<Item = &'static TableSchema>) -> Self {
        let schemas: Vec<_> = tables.into_iter().collect();
        Self { state: Mutex::new(State::new(&schemas)), schemas, lease: Arc::default() }
    }

    /// Runs one atomic step: an error leaves the state as it was.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        // The state behind a poisoned lock is whole: it is only ever replaced by a finished one.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = state.clone();
        let done = step(&mut next)?;
        #[cfg(test)]
        crash::moment();
        *state = next;
        Ok(done)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LocalStore for MemoryStore {
    type Lease = tokio::sync::OwnedMutexGuard<()>;

    async fn lease(&self, wait: bool) -> Result<Self::Lease> {
        let lease = Arc::clone(&self.lease);
        if wait {
            return Ok(lease.lock_owned().await);
        }
        lease.try_lock_owned().map_err(|_| Error::new(ErrorKind::Busy, "a push, pull or purge is under way"))
    }

    async fn owner(&self) -> Result<Option<Owner>> {
        self.read(|state| Ok(state.owner.clone()))
    }

    async fn claim(&self, owner: Owner, answer: OtherAccount) -> Result<u64> {
        self.step(|state| owner::claim(state, owner, answer))
    }

    fn tables(&self) -> &[&'static TableSchema] {
        &self.schemas
    }

    async fn write(&self, changes: Vec<LocalChange>) -> Result<()> {
        self.step(|state| changes.into_iter().try_for_each(|change| local::write(state, change)))
    }

    async fn get(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        self.read(|state| Ok(state.table(table)?.rows.get(id).cloned()))
    }

    async fn select(&self, predicate: Predicate) -> Result<Vec<Row>> {
        self.read(|state| {
            let table = state.table(predicate.table)?;
            let matches =
                |row: &&Row| evaluate::matches(&predicate.node, &TableRow { table: table.schema, row });
            Ok(table.rows.values().filter(matches).cloned().collect())
        })
    }

    async fn shadow(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        self.read(|state| Ok(state.table(table)?.newest(id).cloned()))
    }

    async fn pending(&self, table: Option<&'static TableSchema>) -> Result<u64> {
        self.read(|state| Ok(state.selected(table)?.map(|table| table.entries.len() as u64).sum()))
    }

    async fn operations(&self, table: Option<&'static TableSchema>) -> Result<Vec<Operation>> {
        self.read(|state| {
            let mut operations: Vec<Operation> =
                state.selected(table)?.flat_map(|table| table.operations()).collect();
            operations.sort_by_key(|operation| operation.key.seq);
            Ok(operations)
        })
    }

    async fn errors(&self, table: Option<&'static TableSchema>) -> Result<Vec<OperationError>> {
        self.read(|state| {
            let mut errors: Vec<OperationError> =
                state.selected(table)?.flat_map(|table| table.errors.values().cloned()).collect();
            errors.sort_by_key(|error| error.key.seq);
            Ok(errors)
        })
    }

    async fn begin_push(&self) -> Result<PushSession> {
        self.step(|state| Ok(exchange::begin(state)))
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged> {
        self.step(|state| exchange::run(state, exchange))
    }

    async fn begin_pull(&self, scope: PullScope) -> Result<PullStart> {
        self.step(|state| pull::begin(state, scope))
    }

    async fn apply_pages(&self, batch: PullBatch) -> Result<Applied> {
        self.step(|state| pull::apply(state, batch))
    }

    async fn finish_pull(&self, end: PullEnd) -> Result<Applied> {
        self.step(|state| pull::finish(state, end))
    }

    async fn quarantine(&self, table: Option<&'static TableSchema>) -> Result<Vec<QuarantinedRow>> {
        self.read(|state| Ok(state.selected(table)?.flat_map(pull::quarantined).collect()))
    }

    async fn reset_token(&self, table: &'static TableSchema, query_id: Option<&str>) -> Result<()> {
        self.step(|state| {
            pull::reset(state.table_mut(table)?, query_id);
            Ok(())
        })
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.step(|state| purge::run(state, purge))
    }

    async fn conflicts(&self, table: Option<&'static TableSchema>) -> Result<Vec<OpenConflict>> {
        self.read(|state| {
            let mut open: Vec<OpenConflict> =
                state.selected(table)?.flat_map(resolve::open_conflicts).collect();
            open.sort_by_key(|open| open.operation.key.seq);
            Ok(open)
        })
    }

    async fn resolve(&self, key: OperationKey, resolution: Resolution, by: Resolver) -> Result<()> {
        self.step(|state| resolve::resolve(state, &key, resolution, by))
    }

    async fn resolutions(&self) -> Result<Vec<ResolutionRecord>> {
        self.read(|state| Ok(state.resolutions.iter().cloned().collect()))
    }

    async fn setting(&self, key: &str) -> Result<Option<String>> {
        self.read(|state| Ok(state.settings.get(key).cloned()))
    }

    async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.step(|state| {
            match value {
                Some(value) => state.settings.insert(key.to_owned(), value.to_owned()),
                None => state.settings.remove(key),
            };
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[tokio::test]
    async fn passes_the_contract() {
        contract::run(|| async { MemoryStore::new(contract::TABLES) }).await;
    }

    #[tokio::test]
    async fn equals_itself_under_random_sequences() {
        for seed in 0..40 {
            contract::compare_with_model(MemoryStore::new(contract::TABLES), seed, 200).await;
        }
    }
}
