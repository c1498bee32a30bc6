//! Taking operations: which come next, what each sends, and the mark that says so.

use diesel::sqlite::SqliteConnection;
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::{OperationKind, OperationState, Outgoing, SentKind, ServerMayHold};
use sync_core::row::Row;
use sync_core::store::{Exchanged, PushSession, Take, UpdateBody};

use super::record::{QueuedOperation, load, remove};
use super::settle::restore;
use crate::apply::copies::{self, Copy};
use crate::failure::OrStore;
use crate::statement::{Bind, run};
use crate::synced::{SyncedTable, Tables};

/// Takes the next operations of a push in queue order.
pub(super) fn take(
    conn: &mut SqliteConnection,
    tables: &Tables,
    session: PushSession,
    take: &Take,
    exchanged: &mut Exchanged,
) -> Result<()> {
    let wanted: Vec<&str> = if take.tables.is_empty() {
        tables.iter().map(|table| table.schema.name).collect()
    } else {
        take.tables
            .iter()
            .map(|name| tables.get(name).map(|table| table.schema.name))
            .collect::<Result<_>>()?
    };
    let places = vec!["?"; wanted.len()].join(", ");
    let condition = format!(
        "seq > ? AND seq <= ? AND (taken_by IS NULL OR taken_by <> ?) AND table_name IN ({places})
         ORDER BY seq LIMIT ?"
    );
    let mut barrier = take.barrier;
    let mut last_seq = 0;
    while exchanged.taken.len() < take.limit {
        let missing = take.limit - exchanged.taken.len();
        let mut binds: Vec<Bind<'_>> = vec![last_seq.into(), session.bound.into(), session.push.into()];
        binds.extend(wanted.iter().map(|name| Bind::from(*name)));
        binds.push(i64::try_from(missing).unwrap_or(i64::MAX).into());
        let next = load(conn, &condition, &binds)?;
        if next.is_empty() {
            break;
        }
        for operation in next {
            last_seq = operation.seq;
            let table = tables.get(&operation.table_name)?;
            let Some(request) = Request::of(conn, table, &operation, take.update_body)? else {
                complete_unneeded(conn, table, &operation)?;
                exchanged.unneeded += 1;
                continue;
            };
            let group = (table.schema.name, request.sent);
            if *barrier.get_or_insert(group) != group {
                return Ok(());
            }
            exchanged.taken.push(mark(conn, table, session, &operation, request)?);
        }
    }
    Ok(())
}

/// What an operation sends now.
struct Request {
    sent: SentKind,
    uncertain: bool,
    revision: i64,
    /// The request differs from the one whose outcome is unknown, and replaces it.
    replaces: bool,
    /// The whole row, in the storage form.
    whole: String,
    /// The columns sent; `None` = all.
    columns: Option<Vec<&'static str>>,
    /// The content sent.
    item: Row,
    base: Option<Row>,
}

impl Request {
    /// `None`: an update that changes nothing.
    fn of(
        conn: &mut SqliteConnection,
        table: &SyncedTable,
        operation: &QueuedOperation,
        update_body: UpdateBody,
    ) -> Result<Option<Self>> {
        let kind = operation.kind()?;
        let state = operation.state()?;
        operation.server_may_hold()?;
        let base = Copy::Base.load(conn, table, &operation.item_id)?;
        if state == OperationState::Attempted {
            return Self::again(table, operation, kind, base).map(Some);
        }
        let whole = match kind {
            OperationKind::Delete => operation.item.clone(),
            OperationKind::Insert | OperationKind::Update => table.find_whole(conn, &operation.item_id)?,
        };
        let whole = whole.ok_or_else(|| missing_row(operation))?;
        let row = table.whole_row(&whole)?;
        let (sent, columns) = match kind {
            OperationKind::Delete => (SentKind::Delete, None),
            OperationKind::Insert if operation.base_version.is_some() => (SentKind::Undelete, None),
            OperationKind::Insert => (SentKind::Insert, None),
            OperationKind::Update => {
                let changed = base.as_ref().map(|base| changed_columns(table.schema, base, &row));
                let is_live = base.as_ref().is_some_and(|base| !base.deleted);
                if state == OperationState::Pending
                    && is_live
                    && let Some(changed) = &changed
                    && is_as_changed(conn, table, &row, changed)?
                {
                    return Ok(None);
                }
                let columns = match update_body {
                    UpdateBody::Changed => changed,
                    UpdateBody::Whole => None,
                };
                (SentKind::Update, columns)
            }
        };
        let item = content(table.schema, row, columns.as_deref());
        Ok(Some(Self {
            sent,
            uncertain: false,
            replaces: false,
            revision: operation.revision,
            whole,
            columns,
            item,
            base,
        }))
    }

    /// R2: an uncertain insert whose row was deleted since sends only the delete; every other uncertain
    /// operation sends its sent form again.
    fn again(
        table: &SyncedTable,
        operation: &QueuedOperation,
        kind: OperationKind,
        base: Option<Row>,
    ) -> Result<Self> {
        let sent = operation.sent_kind()?.ok_or_else(|| operation.unknown("mark without a request"))?;
        if matches!(sent, SentKind::Insert | SentKind::Undelete) && kind == OperationKind::Delete {
            let whole = operation.item.clone().ok_or_else(|| missing_row(operation))?;
            let row = table.whole_row(&whole)?;
            let item = content(table.schema, row, None);
            return Ok(Self {
                sent: SentKind::Delete,
                uncertain: true,
                replaces: true,
                revision: operation.revision,
                whole,
                columns: None,
                item,
                base,
            });
        }
        let whole = operation.sent_item.clone().ok_or_else(|| missing_row(operation))?;
        let row = table.whole_row(&whole)?;
        let columns = operation.columns_sent(table.schema)?;
        let item = content(table.schema, row, columns.as_deref());
        let revision = operation.sent_revision.unwrap_or(operation.revision);
        Ok(Self { sent, uncertain: true, replaces: false, revision, whole, columns, item, base })
    }
}

/// Names of the sent columns in which two rows differ; a column the base does not know counts as different.
fn changed_columns(table: &'static TableSchema, base: &Row, row: &Row) -> Vec<&'static str> {
    table
        .sent_columns()
        .filter(|(index, _)| base.values[*index] != row.values[*index])
        .map(|(_, column)| column.name)
        .collect()
}

/// Whether the server's row is known to have these columns as the local row has them.
fn is_as_changed(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    row: &Row,
    changed: &[&str],
) -> Result<bool> {
    if changed.is_empty() {
        return Ok(true);
    }
    let newer = Copy::Newer.load(conn, table, &row.id)?;
    Ok(newer.filter(|newer| !newer.deleted).is_some_and(|newer| {
        let differing = changed_columns(table.schema, &newer, row);
        changed.iter().all(|name| !differing.contains(name))
    }))
}

/// The row as it is sent: without local-only columns, and of an update only the columns sent.
fn content(table: &'static TableSchema, mut row: Row, columns: Option<&[&str]>) -> Row {
    for (column, value) in table.columns.iter().zip(&mut row.values) {
        if column.local || columns.is_some_and(|columns| !columns.contains(&column.name)) {
            *value = None;
        }
    }
    row
}

fn missing_row(operation: &QueuedOperation) -> Error {
    Error::new(ErrorKind::Corrupt, "the row of a queued operation is missing in the local database")
        .with_table(&operation.table_name)
        .with_item(&operation.item_id)
}

/// What the app changed is as the server has it: nothing is sent, and the row is clean again, as the newest server
/// copy known.
fn complete_unneeded(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<()> {
    let server = copies::newest(conn, table, &operation.item_id)?;
    remove(conn, operation)?;
    copies::drop_both(conn, table, &operation.item_id)?;
    match server {
        Some(server) => restore(conn, table, &server),
        None => Ok(()),
    }
}

/// Stores what is sent, before it is sent.
fn mark(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    session: PushSession,
    operation: &QueuedOperation,
    request: Request,
) -> Result<Outgoing> {
    let holds = match (request.sent, operation.server_may_hold()?) {
        // a row of somebody else stays theirs, whatever becomes of a further attempt.
        (SentKind::Insert | SentKind::Undelete, ServerMayHold::No) => ServerMayHold::Maybe,
        (_, holds) => holds,
    };
    // The version an unknown answer led to is not known, and the replacing request is the newest state.
    let (base_version, tail_seq) =
        if request.replaces { (None, None) } else { (operation.base_version.clone(), operation.tail_seq) };
    let columns = match &request.columns {
        Some(columns) => Some(serde_json::to_string(columns).map_err(|source| {
            Error::new(ErrorKind::Store, "the list of sent columns cannot be written").with_source(source)
        })?),
        None => None,
    };
    run(
        conn,
        "UPDATE \"__operations\" SET prior_state = state, prior_hold = server_may_hold, state = 1,
         server_may_hold = ?, base_version = ?, tail_seq = ?, sent_kind = ?, sent_revision = ?, sent_item = ?, sent_columns = ?,
         attempts = attempts + 1, taken_by = ? WHERE seq = ?",
        &[
            holds.as_i64().into(),
            (&base_version).into(),
            tail_seq.into(),
            request.sent.as_i64().into(),
            request.revision.into(),
            (&request.whole).into(),
            (&columns).into(),
            session.push.into(),
            operation.seq.into(),
        ],
    )
    .or_store()?;
    let is_checked = table.schema.versioned && request.sent != SentKind::Insert;
    Ok(Outgoing {
        key: operation.key(table.schema, request.revision),
        table: table.schema,
        sent: request.sent,
        uncertain: request.uncertain,
        item: request.item,
        base_version: base_version.filter(|_| is_checked),
        base: request.base,
        attempts: operation.attempts + 1,
    })
}
