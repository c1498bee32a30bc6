//! What the store holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{
    Operation, OperationError, OperationKey, OperationKind, OperationState, Relations, SentKind,
    ServerMayHold,
};
use crate::protocol::SystemNames;
use crate::row::Row;
use crate::store::{DeltaToken, Owner, ResolutionRecord};

/// The whole store. A clone shares its tables until one of them is written.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The greatest sequence number given out; numbers are never reused (R3).
    pub(super) sequence: i64,
    /// The number of the latest push.
    pub(super) pushes: i64,
    pub(super) settings: BTreeMap<String, String>,
    /// The last resolutions, the oldest first.
    pub(super) resolutions: VecDeque<ResolutionRecord>,
    pub(super) owner: Option<Owner>,
    pub(super) relations: Arc<Relations>,
    tables: BTreeMap<&'static str, Arc<TableState>>,
}

/// One synced table with what is kept about its rows; maps are by row id.
#[derive(Clone, Debug)]
pub(super) struct TableState {
    pub(super) schema: &'static TableSchema,
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) errors: BTreeMap<String, OperationError>,
    /// Of rows with an operation: the server's row that the local changes start from; of a row made again, the one that
    /// was deleted.
    pub(super) bases: BTreeMap<String, Row>,
    /// Of rows with an operation: the newest server copy seen since, where there is one.
    pub(super) newer: BTreeMap<String, Row>,
    pub(super) quarantine: BTreeMap<String, Quarantined>,
    /// Ids whose server row should be fetched by the next pull of the table, with how often that was refused.
    pub(super) refetch: BTreeMap<String, u64>,
    /// Of rows changed by acknowledged pushes: their version then, and those before it with nothing else between.
    pub(super) acknowledged: BTreeMap<String, (String, Vec<String>)>,
    /// By query id.
    pub(super) tokens: BTreeMap<String, Token>,
    /// By query id.
    pub(super) queries: BTreeMap<String, WantedQuery>,
    /// The filters of full pulls, and whether they mirror.
    pub(super) full_pulls: BTreeMap<String, bool>,
    /// What the running mirroring pull brought.
    pub(super) came: BTreeSet<String>,
}

/// What a query id wants (R12).
#[derive(Clone, Debug, Default)]
pub(super) struct WantedQuery {
    pub(super) filter: String,
    /// From when on rows may have left unseen.
    pub(super) feed: Option<DateTime<Utc>>,
}

/// A queued operation.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) revision: i64,
    pub(super) kind: OperationKind,
    pub(super) state: OperationState,
    pub(super) server_may_hold: ServerMayHold,
    /// On an insert: the version of the deleted server row it revives.
    pub(super) base_version: Option<String>,
    /// The last local row, of a delete.
    pub(super) kept: Option<Row>,
    pub(super) sent: Option<Sent>,
    pub(super) tail_seq: Option<i64>,
    pub(super) attempts: i64,
    /// The push that took it last.
    pub(super) taken_by: i64,
}

/// The request an operation was last sent as, while its outcome is unknown.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) kind: SentKind,
    pub(super) revision: i64,
    /// The whole row as it was then.
    pub(super) row: Row,
    /// Which of its columns were sent.
    pub(super) columns: Vec<bool>,
    /// State and server_may_hold before this attempt; `None` when an earlier attempt is still unknown.
    pub(super) before: Option<(OperationState, ServerMayHold)>,
}

/// A pulled row that could not be stored.
#[derive(Clone, Debug)]
pub(super) struct Quarantined {
    /// Its JSON text.
    pub(super) raw: String,
    pub(super) names: &'static SystemNames,
    pub(super) query_id: Option<String>,
    pub(super) reason: String,
}

/// How far a query id was pulled.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) fingerprint: String,
    pub(super) token: DeltaToken,
}

impl State {
    pub(super) fn new(schemas: &[&'static TableSchema]) -> Self {
        let tables = schemas
            .iter()
            .map(|schema| {
                let table = TableState {
                    schema,
                    rows: BTreeMap::new(),
                    entries: BTreeMap::new(),
                    errors: BTreeMap::new(),
                    bases: BTreeMap::new(),
                    newer: BTreeMap::new(),
                    quarantine: BTreeMap::new(),
                    refetch: BTreeMap::new(),
                    acknowledged: BTreeMap::new(),
                    tokens: BTreeMap::new(),
                    queries: BTreeMap::new(),
                    full_pulls: BTreeMap::new(),
                    came: BTreeSet::new(),
                };
                (schema.name, Arc::new(table))
            })
            .collect();
        let relations = Arc::new(Relations::new(schemas));
        let (settings, resolutions) = (BTreeMap::new(), VecDeque::new());
        Self { sequence: 0, pushes: 0, settings, resolutions, owner: None, relations, tables }
    }

    pub(super) fn next_sequence(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    /// The errors recorded so far are those of earlier pushes (P-27).
    pub(super) fn age_errors(&mut self) {
        for table in self.tables.values_mut() {
            if table.errors.values().any(|error| !error.old) {
                Arc::make_mut(table).errors.values_mut().for_each(|error| error.old = true);
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &TableState> {
        self.tables.values().map(|table| &**table)
    }

    pub(super) fn table(&self, schema: &TableSchema) -> Result<&TableState> {
        self.table_named(schema.name)
    }

    pub(super) fn table_named(&self, name: &str) -> Result<&TableState> {
        self.tables.get(name).map(|table| &**table).ok_or_else(|| unknown(name))
    }

    pub(super) fn table_mut(&mut self, schema: &TableSchema) -> Result<&mut TableState> {
        self.table_named_mut(schema.name)
    }

    pub(super) fn table_named_mut(&mut self, name: &str) -> Result<&mut TableState> {
        #[cfg(test)]
        super::crash::moment();
        self.tables.get_mut(name).map(Arc::make_mut).ok_or_else(|| unknown(name))
    }

    /// The table, or every table.
    pub(super) fn selected(
        &self,
        schema: Option<&'static TableSchema>,
    ) -> Result<impl Iterator<Item = &TableState>> {
        if let Some(schema) = schema {
            self.table(schema)?;
        }
        Ok(self.all().filter(move |table| schema.is_none_or(|schema| schema.name == table.schema.name)))
    }
}

impl TableState {
    pub(super) fn operations(&self) -> impl Iterator<Item = Operation> {
        self.entries.iter().map(|(id, entry)| entry.operation(self.schema, id))
    }

    /// Whether pushes leave the operation alone (P-29).
    pub(super) fn is_parked(&self, id: &str) -> bool {
        self.errors.get(id).is_some_and(|error| error.parked)
    }

    /// Whether only pushes of this device lie between a version and the row's (K-17).
    pub(super) fn is_own_version(&self, id: &str, carried: &str, of_row: Option<&str>) -> bool {
        self.acknowledged.get(id).is_some_and(|(version, earlier)| {
            Some(version.as_str()) == of_row && earlier.iter().any(|earlier| earlier == carried)
        })
    }

    /// The newest server copy known of a row with an operation.
    pub(super) fn newest(&self, id: &str) -> Option<&Row> {
        self.newer.get(id).or_else(|| self.bases.get(id))
    }

    /// Keeps a server copy just seen of a row with an operation; what it does not show is as it was before.
    pub(super) fn learn(&mut self, id: &str, server: &Row) {
        let mut newest = self.newest(id).cloned().unwrap_or_else(|| Row::empty(self.schema, id));
        newest.overlay(self.schema, server);
        self.newer.insert(id.to_owned(), newest);
    }

    /// Removes the operation with its error and the server copies; the row stays.
    pub(super) fn forget_operation(&mut self, id: &str) {
        self.entries.remove(id);
        self.errors.remove(id);
        self.bases.remove(id);
        self.newer.remove(id);
    }

    /// An insert that is not wanted any more goes; a server row that is known to be there, or kept as deleted, comes
    /// back with the next pull.
    pub(super) fn vanish(&mut self, id: &str, is_foreign: bool) {
        let is_shown = |server: &Row| !server.deleted || self.schema.keep_deleted;
        if is_foreign || self.newest(id).is_some_and(is_shown) {
            self.refetch.entry(id.to_owned()).or_default();
        }
        self.forget_operation(id);
    }

    /// Writes a server copy over the local row, which has no changes any more.
    pub(super) fn restore(&mut self, id: &str, server: &Row) {
        if server.deleted && !self.schema.keep_deleted {
            self.rows.remove(id);
        } else if let Some(row) = self.rows.get_mut(id) {
            row.overlay(self.schema, server);
        }
    }
}

impl Entry {
    pub(super) fn operation(&self, schema: &'static TableSchema, id: &str) -> Operation {
        Operation {
            key: self.key(schema, id),
            kind: self.kind,
            state: self.state,
            server_may_hold: self.server_may_hold,
            base_version: self.base_version.clone(),
            sent: self.sent.as_ref().map(|sent| (sent.kind, sent.revision)),
            tail_seq: self.tail_seq,
            attempts: self.attempts,
        }
    }

    pub(super) fn key(&self, schema: &'static TableSchema, id: &str) -> OperationKey {
        OperationKey { table: schema.name, item_id: id.to_owned(), seq: self.seq, revision: self.revision }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the store has no such table").with_table(name)
}
