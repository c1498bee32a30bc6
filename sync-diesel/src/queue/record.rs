//! A row of the operations table.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, Queryable, RunQueryDsl};
use sync_core::entity::TableSchema;
use sync_core::error::Result;
use sync_core::item;
use sync_core::operation::{OperationKind, RowRef};
use sync_core::store::Failure;

use super::parking::IS_PARKED;
use crate::failure::OrStore;
use crate::statement::{Bind, query, run};
use crate::synced::SyncedTable;

/// An operation as stored; the numbers are read by the caller, who knows what an unknown one means.
#[derive(Clone, Debug, Queryable)]
pub(crate) struct QueuedOperation {
    pub(crate) seq: i64,
    pub(crate) table_name: String,
    pub(crate) item_id: String,
    pub(crate) kind: i64,
    pub(crate) state: i64,
    pub(crate) revision: i64,
    /// On an insert: the version of the deleted server row it revives.
    pub(crate) base_version: Option<String>,
    /// The kept row of a delete.
    pub(crate) item: Option<String>,
    pub(crate) server_may_hold: i64,
    pub(crate) sent_kind: Option<i64>,
    pub(crate) sent_revision: Option<i64>,
    /// The whole row when it was sent.
    pub(crate) sent_item: Option<String>,
    /// Names of the columns sent; `None` = all.
    pub(crate) sent_columns: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) tail_seq: Option<i64>,
    /// State and mark before the operation was taken, for a request that never started.
    pub(crate) prior_state: Option<i64>,
    pub(crate) prior_hold: Option<i64>,
    /// The push that took it last.
    pub(crate) taken_by: Option<i64>,
}

impl QueuedOperation {
    /// The revision after one more change.
    pub(super) fn next_revision(&self) -> Result<i64> {
        self.revision.checked_add(1).ok_or_else(|| self.unknown("revision"))
    }

    /// The columns the request in flight sent; `None` = all.
    pub(super) fn columns_sent(&self, table: &TableSchema) -> Result<Option<Vec<&'static str>>> {
        let Some(text) = &self.sent_columns else { return Ok(None) };
        let names: Vec<String> =
            serde_json::from_str(text).map_err(|source| self.unknown("column list").with_source(source))?;
        let columns = table.sent_columns().map(|(_, column)| column.name);
        Ok(Some(columns.filter(|name| names.iter().any(|sent| sent == name)).collect()))
    }
}

type Columns = (
    BigInt,
    Text,
    Text,
    BigInt,
    BigInt,
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

/// The operations that match an SQL condition.
pub(super) fn load(
    conn: &mut SqliteConnection,
    condition: &str,
    binds: &[Bind<'_>],
) -> Result<Vec<QueuedOperation>> {
    let text = format!(
        "SELECT seq, table_name, item_id, kind, state, revision, base_version, item, server_may_hold,
         sent_kind, sent_revision, sent_item, sent_columns, attempts, tail_seq, prior_state, prior_hold, taken_by
         FROM \"__operations\" WHERE {condition}"
    );
    query::<Columns>(&text, binds).load(conn).or_store()
}

/// The operation of a row.
pub(super) fn find(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<Option<QueuedOperation>> {
    Ok(load(conn, "table_name = ? AND item_id = ?", &[table.into(), id.into()])?.pop())
}

/// Who may take an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    /// The push that took it last.
    pub(super) push: Option<i64>,
    /// Pushes leave it alone.
    pub(super) is_parked: bool,
}

/// The operation of a row, and who may take it.
pub(super) fn find_with_taker(
    conn: &mut SqliteConnection,
    row: &RowRef,
) -> Result<Option<(QueuedOperation, Taker)>> {
    let Some(operation) = find(conn, row.table, &row.item_id)? else { return Ok(None) };
    let text = format!("SELECT {IS_PARKED} FROM \"__operations\" WHERE seq = ?");
    let parked = query::<BigInt>(&text, &[operation.seq.into()]).get_result::<i64>(conn).or_store()?;
    let taker = Taker { push: operation.taken_by, is_parked: parked != 0 };
    Ok(Some((operation, taker)))
}

/// What is left of an operation after its request: nothing is in flight any more.
#[derive(Debug)]
pub(super) struct Remainder<'a> {
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) state: i64,
    pub(super) revision: i64,
    pub(super) base_version: Option<&'a str>,
    pub(super) item: Option<&'a str>,
    pub(super) server_may_hold: i64,
    /// Whether the running push may take it again.
    pub(super) retake: bool,
}

/// Writes an operation whose request is settled.
pub(super) fn store(conn: &mut SqliteConnection, before: i64, rest: &Remainder<'_>) -> Result<()> {
    let text = if rest.retake {
        "UPDATE \"__operations\" SET seq = ?, kind = ?, state = ?, revision = ?, base_version = ?, item = ?,
         server_may_hold = ?, sent_kind = NULL, sent_revision = NULL, sent_item = NULL,
         sent_columns = NULL, tail_seq = NULL, prior_state = NULL, prior_hold = NULL, taken_by = NULL
         WHERE seq = ?"
    } else {
        "UPDATE \"__operations\" SET seq = ?, kind = ?, state = ?, revision = ?, base_version = ?, item = ?,
         server_may_hold = ?, sent_kind = NULL, sent_revision = NULL, sent_item = NULL,
         sent_columns = NULL, tail_seq = NULL, prior_state = NULL, prior_hold = NULL
         WHERE seq = ?"
    };
    run(
        conn,
        text,
        &[
            rest.seq.into(),
            rest.kind.into(),
            rest.state.into(),
            rest.revision.into(),
            rest.base_version.into(),
            rest.item.into(),
            rest.server_may_hold.into(),
            before.into(),
        ],
    )
    .or_store()
    .map(|_| ())
}

/// Removes an operation and its recorded error.
pub(super) fn remove(conn: &mut SqliteConnection, operation: &QueuedOperation) -> Result<()> {
    run(conn, "DELETE FROM \"__operations\" WHERE seq = ?", &[operation.seq.into()]).or_store()?;
    drop_error(conn, operation)
}

/// What is recorded of a failed operation beside the failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed<'a> {
    pub(super) kind: OperationKind,
    /// The whole row as sent.
    pub(super) local: Option<&'a str>,
    pub(super) superseded: bool,
    pub(super) uncertain: bool,
}

/// Records an error of the running push in place of an older one; a parked operation stays parked.
pub(super) fn store_error(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failed: &Failed<'_>,
    failure: &Failure,
) -> Result<()> {
    let remote = failure.remote.as_ref();
    let remote_item = remote.map(|remote| item::encode(table.schema, remote));
    run(
        conn,
        "INSERT INTO \"__errors\" (table_name, item_id, seq, revision, kind, class, status, message, local,
         remote, remote_version, remote_updated_at, remote_deleted, remote_extra, superseded, uncertain, push)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
         (SELECT last_push FROM \"__control\" WHERE id = 1))
         ON CONFLICT (table_name, item_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision,
         kind = excluded.kind, class = excluded.class, status = excluded.status,
         message = excluded.message, local = excluded.local, remote = excluded.remote,
         remote_version = excluded.remote_version, remote_updated_at = excluded.remote_updated_at,
         remote_deleted = excluded.remote_deleted, remote_extra = excluded.remote_extra,
         superseded = excluded.superseded, uncertain = excluded.uncertain, push = excluded.push",
        &[
            table.schema.name.into(),
            (&operation.item_id).into(),
            operation.seq.into(),
            operation.revision.into(),
            failed.kind.as_i64().into(),
            failure.class.as_str().into(),
            failure.status.map(i64::from).into(),
            (&failure.message).into(),
            failed.local.into(),
            (&remote_item).into(),
            remote.and_then(|remote| remote.version.as_deref()).into(),
            Bind::instant(remote.and_then(|remote| remote.updated_at)),
            i64::from(remote.is_some_and(|remote| remote.deleted)).into(),
            remote.and_then(|remote| remote.extra.as_deref()).into(),
            i64::from(failed.superseded).into(),
            i64::from(failed.uncertain).into(),
        ],
    )
    .or_store()
    .map(|_| ())
}

/// Whether the recorded error says that an attempt may have reached the server; `None` without an error.
pub(super) fn recorded_doubt(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<Option<bool>> {
    let doubt = query::<BigInt>(
        "SELECT uncertain FROM \"__errors\" WHERE table_name = ? AND item_id = ?",
        &[table.schema.name.into(), (&operation.item_id).into()],
    )
    .get_result::<i64>(conn)
    .optional()
    .or_store()?;
    Ok(doubt.map(|uncertain| uncertain != 0))
}

/// K-12: the server's row that is to be decided about is another one than was seen, so keys given out before name it no
/// longer. What is under way is decided by its answer.
pub(super) fn decide_anew(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<()> {
    run(conn, DECIDE_ANEW, &[table.into(), id.into()]).or_store().map(|_| ())
}

/// The same, unless a recorded error shows the row to decide about.
pub(crate) fn decide_anew_if_unrecorded(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<()> {
    let text = format!(
        "{DECIDE_ANEW} AND NOT EXISTS (SELECT 1 FROM \"__errors\" AS e
         WHERE e.table_name = \"__operations\".table_name AND e.item_id = \"__operations\".item_id)"
    );
    run(conn, &text, &[table.into(), id.into()]).or_store().map(|_| ())
}

const DECIDE_ANEW: &str = "UPDATE \"__operations\" SET revision = revision + 1
     WHERE table_name = ? AND item_id = ? AND state <> 1";

/// Removes the recorded error.
pub(super) fn drop_error(conn: &mut SqliteConnection, operation: &QueuedOperation) -> Result<()> {
    run(
        conn,
        "DELETE FROM \"__errors\" WHERE table_name = ? AND item_id = ?",
        &[(&operation.table_name).into(), (&operation.item_id).into()],
    )
    .or_store()
    .map(|_| ())
}

/// Notes a row to be fetched by id at the next pull of its table.
pub(super) fn note_refetch(conn: &mut SqliteConnection, table: &str, id: &str) -> Result<()> {
    run(
        conn,
        "INSERT INTO \"__refetch\" (table_name, item_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        &[table.into(), id.into()],
    )
    .or_store()
    .map(|_| ())
}
