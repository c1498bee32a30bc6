//! The operation queue: reading it, and the steps of a push.
//!
//! Each step of a push is one [`exchange`]: outcomes first, then the next operations, marked attempted with the
//! content they are sent with. What collapses when the app writes is decided by the capture triggers; what an
//! answer makes of an operation is decided here, in [`settle`] and [`resolve`].

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::{
    FailureClass, Operation, OperationError, OperationKey, OperationKind, OperationState, SentKind,
    ServerMayHold,
};
use sync_core::store::{Exchange, Exchanged, PushSession};

use self::record::{QueuedOperation, load};
use crate::failure::OrStore;
use crate::statement::{Bind, query};
use crate::synced::Tables;
use crate::system;

pub(crate) mod history;
pub(crate) mod owner;
mod parking;
pub(crate) mod record;
pub(crate) mod relation;
pub(crate) mod resolve;
mod settle;
pub(crate) mod stranded;
mod take;
pub(crate) mod undelete;

/// One step of a push.
pub(crate) fn exchange(
    conn: &mut SqliteConnection,
    tables: &Tables,
    exchange: &Exchange,
) -> Result<Exchanged> {
    system::exempt(conn, |conn| {
        let mut exchanged = Exchanged::default();
        if exchange.take.is_some() {
            exchange.session.check_newest(system::last_push(conn)?)?;
        }
        for settlement in &exchange.settlements {
            if settle::settle(conn, tables, exchange.session, settlement)? {
                exchanged.remainders += 1;
            }
        }
        if let Some(take) = &exchange.take {
            take::take(conn, tables, exchange.session, take, &mut exchanged)?;
        }
        Ok(exchanged)
    })
}

/// Starts a push.
///
/// # Errors
///
/// `Corrupt` when the queue holds a kind, a state or a request that this version does not know: nothing is
/// sent, since what is not understood may be what the rest must wait for.
pub(crate) fn begin_push(conn: &mut SqliteConnection) -> Result<PushSession> {
    let unknown = query::<(Text, Text)>(
        "SELECT table_name, item_id FROM \"__operations\" WHERE kind NOT IN (0, 1, 2) OR state NOT IN (0, 1, 2)
         OR server_may_hold NOT IN (0, 1, 2) OR sent_kind NOT IN (0, 1, 2, 3) ORDER BY seq LIMIT 1",
        &[],
    )
    .get_result::<(String, String)>(conn)
    .optional()
    .or_store()?;
    if let Some((table, item_id)) = unknown {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "a queued operation is of a kind that this version does not know; nothing is pushed",
        )
        .with_table(table)
        .with_item(item_id));
    }
    let push = system::next_push(conn)?;
    let bound = system::last_seq(conn)?;
    let queued = query::<BigInt>("SELECT count(*) FROM \"__operations\" WHERE seq <= ?", &[bound.into()])
        .get_result::<i64>(conn)
        .or_store()?;
    Ok(PushSession { push, bound, queued: queued.unsigned_abs() })
}

/// Number of operations of one table or all.
pub(crate) fn pending(conn: &mut SqliteConnection, table: Option<&str>) -> Result<u64> {
    let count = match table {
        Some(table) => {
            query::<BigInt>("SELECT count(*) FROM \"__operations\" WHERE table_name = ?", &[table.into()])
                .get_result::<i64>(conn)
        }
        None => query::<BigInt>("SELECT count(*) FROM \"__operations\"", &[]).get_result::<i64>(conn),
    };
    Ok(count.or_store()?.unsigned_abs())
}

/// The queued operations by sequence.
pub(crate) fn operations(
    conn: &mut SqliteConnection,
    tables: &Tables,
    table: Option<&str>,
) -> Result<Vec<Operation>> {
    let stored = match table {
        Some(table) => load(conn, "table_name = ? ORDER BY seq", &[table.into()])?,
        None => load(conn, "1 ORDER BY seq", &[])?,
    };
    stored
        .iter()
        // Operations of a table that is no longer in the schema stay, out of sight.
        .filter_map(|operation| Some((tables.find(&operation.table_name)?, operation)))
        .map(|(table, operation)| operation.describe(table.schema))
        .collect()
}

/// The queued operation of a row.
pub(crate) fn operation_of(
    conn: &mut SqliteConnection,
    table: &'static TableSchema,
    id: &str,
) -> Result<Option<Operation>> {
    record::find(conn, table.name, id)?.map(|operation| operation.describe(table)).transpose()
}

type ErrorColumns = (
    (Text, Text, BigInt, BigInt),
    (BigInt, Text, Nullable<BigInt>, Text, Nullable<Text>, BigInt, BigInt, BigInt, BigInt),
    (Nullable<Text>, Nullable<Text>, Nullable<Text>, BigInt, Nullable<Text>),
);
type StoredError = (
    (String, String, i64, i64),
    (i64, String, Option<i64>, String, Option<String>, i64, i64, i64, i64),
    (Option<String>, Option<String>, Option<String>, i64, Option<String>),
);

/// The recorded errors by sequence of their operations.
pub(crate) fn errors(
    conn: &mut SqliteConnection,
    tables: &Tables,
    condition: &str,
    binds: &[Bind<'_>],
) -> Result<Vec<OperationError>> {
    let text = format!(
        "SELECT e.table_name, e.item_id, o.seq, o.revision, e.kind, e.class, e.status, e.message, e.local,
         e.superseded, e.uncertain, e.parked,
         e.push < (SELECT last_push FROM \"__control\" WHERE id = 1), e.remote, e.remote_version, e.remote_updated_at, e.remote_deleted, e.remote_extra
         FROM \"__errors\" e
         JOIN \"__operations\" o ON o.table_name = e.table_name AND o.item_id = e.item_id
         WHERE {condition} ORDER BY o.seq"
    );
    let stored = query::<ErrorColumns>(&text, binds).load::<StoredError>(conn).or_store()?;
    let mut errors = Vec::with_capacity(stored.len());
    for (names, failure, remote) in stored {
        let (table_name, item_id, seq, revision) = names;
        let (kind, class, status, message, local, superseded, uncertain, parked, old) = failure;
        let (remote, version, updated_at, deleted, extra) = remote;
        let Some(table) = tables.find(&table_name) else { continue };
        let unknown = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("a stored error has an unknown {what}"))
                .with_table(table.schema.name)
                .with_item(&item_id)
        };
        let remote = match remote {
            Some(text) => Some(table.row((item_id.clone(), version, updated_at, deleted, text, extra))?),
            None => None,
        };
        // For people to look at: one that cannot be read must not hide the error.
        let local = local.and_then(|text| table.whole_row(&text).ok());
        errors.push(OperationError {
            kind: OperationKind::parse(kind).ok_or_else(|| unknown("kind"))?,
            class: FailureClass::parse(&class).ok_or_else(|| unknown("class"))?,
            key: OperationKey { table: table.schema.name, item_id, seq, revision },
            status: status.and_then(|status| u16::try_from(status).ok()),
            message,
            local,
            remote,
            superseded: superseded != 0,
            uncertain: uncertain != 0,
            parked: parked != 0,
            old: old != 0,
        });
    }
    Ok(errors)
}

impl QueuedOperation {
    /// The operation for readers.
    fn describe(&self, table: &'static TableSchema) -> Result<Operation> {
        Ok(Operation {
            key: self.key(table, self.revision),
            kind: self.kind()?,
            state: self.state()?,
            server_may_hold: self.server_may_hold()?,
            base_version: self.base_version.clone(),
            sent: self.sent_kind()?.map(|kind| (kind, self.sent_revision.unwrap_or(self.revision))),
            tail_seq: self.tail_seq,
            attempts: self.attempts,
        })
    }

    fn key(&self, table: &'static TableSchema, revision: i64) -> OperationKey {
        OperationKey { table: table.name, item_id: self.item_id.clone(), seq: self.seq, revision }
    }

    fn kind(&self) -> Result<OperationKind> {
        OperationKind::parse(self.kind).ok_or_else(|| self.unknown("kind"))
    }

    fn state(&self) -> Result<OperationState> {
        OperationState::parse(self.state).ok_or_else(|| self.unknown("state"))
    }

    fn server_may_hold(&self) -> Result<ServerMayHold> {
        ServerMayHold::parse(self.server_may_hold).ok_or_else(|| self.unknown("mark"))
    }

    fn sent_kind(&self) -> Result<Option<SentKind>> {
        self.sent_kind.map(|kind| SentKind::parse(kind).ok_or_else(|| self.unknown("request"))).transpose()
    }

    /// Checks that this version knows every kind, state and mark of the operation.
    fn check_known(&self) -> Result<()> {
        self.kind()?;
        self.state()?;
        self.server_may_hold()?;
        self.sent_kind().map(|_| ())
    }

    /// written by another version; nothing is changed and nothing is sent.
    fn unknown(&self, what: &str) -> Error {
        Error::new(ErrorKind::Corrupt, format!("a queued operation has a {what} this version does not know"))
            .with_table(&self.table_name)
            .with_item(&self.item_id)
    }
}
