//! [`Explanation`]: where one row stands, in words.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::OptionalExtension;
use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::Result;
use sync_core::entity::TableSchema;
use sync_core::operation::{FailureClass, Operation, OperationKind, OperationState, SentKind};

use crate::apply::copies::Copy;
use crate::failure::OrStore;
use crate::queue;
use crate::state::SyncState;
use crate::statement::query;
use crate::synced::Tables;

/// Where one row stands; made by [`SyncTable::explain`](crate::SyncTable::explain).
///
/// Its text says it in words, a line for each fact. The text holds no row contents; the alternate form `{:#}` adds what
/// the server said about a failed operation, which may.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The table.
    pub table: &'static str,
    /// Id of the row.
    pub id: String,
    /// Whether the row is in the local table.
    pub is_local: bool,
    /// Where it stands.
    pub state: SyncState,
    /// What is queued for it.
    pub operation: Option<Operation>,
    /// The newest row of the server that is known, if one is.
    pub server: Option<ServerCopy>,
    /// What went wrong with the operation.
    pub error: Option<RecordedError>,
    /// Why a row that a pull brought could not be stored and waits in quarantine.
    pub quarantined: Option<String>,
    /// The row is read by its id at the next pull of the table.
    pub is_fetched_next: bool,
    /// Whether the table's versions are compared before a change is made.
    pub is_versioned: bool,
}

/// What is known of the server's row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCopy {
    /// Its version.
    pub version: Option<String>,
    /// The server's time of its last change.
    pub updated_at: Option<DateTime<Utc>>,
    /// Whether the server marked it as deleted.
    pub is_deleted: bool,
    /// Whether it came after the local change was begun.
    pub is_newer: bool,
}

/// A recorded error of an operation, without row contents but for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedError {
    /// The class.
    pub class: FailureClass,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What the server said, shortened; may hold row contents.
    pub message: String,
    /// The row changed again after what failed was sent.
    pub superseded: bool,
    /// The last push did not come to the operation.
    pub old: bool,
}

/// Reads what is known of a row.
pub(crate) fn load(
    conn: &mut SqliteConnection,
    tables: &Tables,
    schema: &'static TableSchema,
    id: String,
) -> Result<Explanation> {
    let table = tables.get(schema.name)?;
    let local = table.find(conn, &id)?;
    let operation = queue::operation_of(conn, schema, &id)?;
    let error = queue::errors(
        conn,
        tables,
        "e.table_name = ? AND e.item_id = ?",
        &[schema.name.into(), (&id).into()],
    )?
    .pop();
    let newer = Copy::Newer.load(conn, table, &id)?;
    let is_newer = newer.is_some();
    let mut server = match newer {
        Some(newer) => Some(newer),
        None => Copy::Base.load(conn, table, &id)?,
    };
    if operation.is_none() {
        server = local.clone().filter(|row| row.version.is_some() || row.updated_at.is_some());
    }
    let quarantined = query::<Text>(
        "SELECT reason FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?",
        &[schema.name.into(), (&id).into()],
    )
    .get_result::<String>(conn)
    .optional()
    .or_store()?;
    let fetched = query::<BigInt>(
        "SELECT count(*) FROM \"__refetch\" WHERE table_name = ? AND item_id = ?",
        &[schema.name.into(), (&id).into()],
    )
    .get_result::<i64>(conn)
    .or_store()?;
    let state = operation.as_ref().map_or(SyncState::Synced, |operation| {
        if error.as_ref().is_some_and(|error| error.parked) {
            return SyncState::Parked;
        }
        let class = error.as_ref().map(|error| error.class);
        SyncState::of_operation(operation.kind, operation.state, class)
    });
    Ok(Explanation {
        table: schema.name,
        id,
        is_local: local.is_some(),
        state,
        operation,
        server: server.map(|row| ServerCopy {
            version: row.version,
            updated_at: row.updated_at,
            is_deleted: row.deleted,
            is_newer,
        }),
        error: error.map(|error| RecordedError {
            class: error.class,
            status: error.status,
            message: error.message,
            superseded: error.superseded,
            old: error.old,
        }),
        quarantined,
        is_fetched_next: fetched > 0,
        is_versioned: schema.versioned,
    })
}

impl Explanation {
    /// What the next push does with the row.
    pub fn next_push(&self) -> &'static str {
        let Some(operation) = &self.operation else { return "sends nothing of it" };
        if self.state == SyncState::Parked {
            return "leaves it alone, as it is parked";
        }
        let is_checked = self.is_versioned && operation.base_version.is_some();
        let revives = operation.kind == OperationKind::Insert && operation.base_version.is_some();
        match (operation.state, operation.kind) {
            (OperationState::Attempted, OperationKind::Delete) => {
                "asks the server to delete it again; a row that is gone counts as deleted"
            }
            (OperationState::Attempted, _) => {
                "sends the same again and learns by comparison whether the server did it before"
            }
            (OperationState::Failed, _) if self.state == SyncState::Conflict => {
                "sends it again and meets the same conflict, unless it is decided before"
            }
            (OperationState::Failed, _) => "sends it again",
            (OperationState::Pending, OperationKind::Insert) if revives => {
                "revives the row that the server has deleted, then sends its content"
            }
            (OperationState::Pending, OperationKind::Insert) => "creates the row on the server",
            (OperationState::Pending, OperationKind::Update) if is_checked => {
                "sends the change, which is done if the server still has the version it is based on"
            }
            (OperationState::Pending, OperationKind::Update) => "sends the change, whatever the server has",
            (OperationState::Pending, OperationKind::Delete) if is_checked => {
                "deletes the row on the server, if it still has the version known here"
            }
            (OperationState::Pending, OperationKind::Delete) => "deletes the row on the server",
        }
    }

    /// What the next pull of a query that matches does with the row.
    pub fn next_pull(&self) -> &'static str {
        match (&self.operation, self.is_local) {
            (Some(_), _) if self.error.is_some() => {
                "pushes first and fails if that fails, unless told to `pull_anyway`; then leaves the row as it is and \
                 keeps the server's copy beside it"
            }
            (Some(_), _) => {
                "pushes first; what is not done then leaves the row as it is, with the server's copy beside it"
            }
            (None, _) if self.is_fetched_next => "reads the row by its id, whatever the query",
            (None, _) if self.quarantined.is_some() => "tries to store the waiting row again",
            (None, true) => "writes what changed on the server over the row, or removes it",
            (None, false) => "brings the row if the server has it and it changed since the query's token",
        }
    }

    /// What the app can do about the row; `None` if nothing needs to be done.
    pub fn advice(&self) -> Option<&'static str> {
        let error = self.error.as_ref().map(|error| error.class);
        match (self.state, error) {
            (SyncState::Conflict, _) => Some(
                "decide with `SyncContext::resolve`: keep the local row, take the server's, or merge; or change the \
                 row again",
            ),
            (SyncState::Failed, Some(FailureClass::Handler)) => {
                Some("mend the conflict handler, or decide with `SyncContext::resolve`")
            }
            (SyncState::Failed | SyncState::Sent, Some(class)) if class.is_local_damage() => {
                Some("take the server's row with `SyncContext::resolve`, or change the row again")
            }
            (SyncState::Failed, Some(FailureClass::ServerError)) => {
                Some("push again later, or change the row to what the server takes")
            }
            (SyncState::Failed, _) => Some(
                "change the row to what the server takes, or take the server's with `SyncContext::resolve`",
            ),
            (SyncState::Parked, _) => Some(
                "change the row, or decide with `SyncContext::resolve`: to send it again as it is, `Resolve::Unpark`",
            ),
            (SyncState::Sent, Some(_)) => Some("push again later; the server failed"),
            (SyncState::Sent, None) => Some("push again, if no push is running"),
            (SyncState::PendingInsert | SyncState::PendingUpdate | SyncState::PendingDelete, _) => {
                Some("push")
            }
            (SyncState::Synced, _) if self.quarantined.is_some() => {
                Some("migrate the local table so that the row fits, or correct the row on the server")
            }
            (SyncState::Synced, _) => None,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (self.is_local, self.operation.as_ref().map(|operation| operation.kind)) {
            (true, _) => "in the local table",
            (false, Some(OperationKind::Delete)) => "deleted here",
            (false, _) => "not in the local table",
        };
        writeln!(f, "row {:?} of {}: {place}", self.id, self.table)?;
        writeln!(f, "state: {}", self.state)?;
        if let Some(operation) = &self.operation {
            write_operation(f, operation)?;
        }
        match &self.server {
            Some(server) => write_server(f, server)?,
            None => writeln!(f, "server's row: not known here")?,
        }
        if let Some(error) = &self.error {
            write!(f, "error: {}", class_in_words(error.class))?;
            if let Some(status) = error.status {
                write!(f, ", status {status}")?;
            }
            if error.superseded {
                write!(f, ", about an older form of the row")?;
            }
            if error.old {
                write!(f, ", not met by the last push")?;
            }
            if f.alternate() && !error.message.is_empty() {
                write!(f, ": {}", error.message)?;
            }
            writeln!(f)?;
        }
        if let Some(reason) = &self.quarantined {
            writeln!(f, "quarantine: a row of the server waits because {reason}")?;
        }
        writeln!(f, "next push: {}", self.next_push())?;
        write!(f, "next pull: {}", self.next_pull())?;
        match self.advice() {
            Some(advice) => write!(f, "\nthe app can: {advice}"),
            None => Ok(()),
        }
    }
}

fn write_operation(f: &mut fmt::Formatter<'_>, operation: &Operation) -> fmt::Result {
    let kind = match operation.kind {
        OperationKind::Insert => "insert",
        OperationKind::Update => "update",
        OperationKind::Delete => "delete",
    };
    let state = match operation.state {
        OperationState::Pending => "pending",
        OperationState::Attempted => "attempted",
        OperationState::Failed => "failed",
    };
    let times = if operation.attempts == 1 { "once" } else { "times" };
    write!(f, "operation: {kind}, {state}, ")?;
    match operation.attempts {
        0 => write!(f, "never sent")?,
        1 => write!(f, "sent {times}")?,
        attempts => write!(f, "sent {attempts} {times}")?,
    }
    match &operation.base_version {
        Some(version) => write!(f, ", based on version {version:?}")?,
        None => write!(f, ", based on no version")?,
    }
    if let Some((sent, revision)) = operation.sent {
        let request = match sent {
            SentKind::Insert => "an insert",
            SentKind::Update => "an update",
            SentKind::Delete => "a delete",
            SentKind::Undelete => "an undelete",
        };
        write!(f, ", last sent as {request}")?;
        if revision != operation.key.revision {
            write!(f, ", changed since")?;
        }
    }
    writeln!(f)
}

fn write_server(f: &mut fmt::Formatter<'_>, server: &ServerCopy) -> fmt::Result {
    write!(f, "server's row: ")?;
    match &server.version {
        Some(version) => write!(f, "version {version:?}")?,
        None => write!(f, "of no version")?,
    }
    if let Some(updated_at) = server.updated_at {
        write!(f, ", changed {}", updated_at.to_rfc3339_opts(SecondsFormat::AutoSi, true))?;
    }
    if server.is_deleted {
        write!(f, ", deleted")?;
    }
    if server.is_newer {
        write!(f, ", newer than what the local change is based on")?;
    }
    writeln!(f)
}

const fn class_in_words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Conflict => "the server holds another row than the change was based on",
        FailureClass::Gone => "the server's row is deleted or gone",
        FailureClass::Refused => "the server refused the operation",
        FailureClass::ServerError => "the server failed",
        FailureClass::Handler => "the conflict handler failed",
        FailureClass::LocalRowMissing => "the row is missing in the local database",
        FailureClass::Damaged => "what the local database holds of it cannot be read",
        _ => "of a class this text does not know",
    }
}
