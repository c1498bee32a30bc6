//! Taking operations: which come next, what each sends, and the mark that says so.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::entity::{MergeRule, TableSchema};
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::order::{self, Candidate, Found, TakeQueue};
use sync_core::operation::{
    FailureClass, OperationKey, OperationKind, OperationState, Outgoing, RowRef, SentKind, ServerMayHold,
    id_in,
};
use sync_core::row::Row;
use sync_core::store::{Exchanged, Failure, PushSession, Take, UpdateBody};

use super::parking::IS_PARKED;
use super::record::{
    Failed, QueuedOperation, Taker, find_with_taker, load, recorded_doubt, remove, store_error,
};
use super::settle::restore;
use super::{relation, stranded};
use crate::apply::copies::{self, Copy};
use crate::failure::OrStore;
use crate::schema::releases;
use crate::statement::{Bind, query, run};
use crate::synced::{SyncedTable, Tables};

/// Takes the next operations of a push.
pub(super) fn take(
    conn: &mut SqliteConnection,
    tables: &Tables,
    session: PushSession,
    take: &Take,
    exchanged: &mut Exchanged,
) -> Result<()> {
    let wanted: Vec<&'static str> = if take.tables.is_empty() {
        tables.iter().map(|table| table.schema.name).collect()
    } else {
        take.tables
            .iter()
            .map(|name| tables.get(name).map(|table| table.schema.name))
            .collect::<Result<_>>()?
    };
    let places = vec!["?"; wanted.len()].join(", ");
    let failed = if take.retry_failed { "" } else { " AND state <> 2" };
    let condition = format!(
        "seq > ? AND seq <= ? AND (taken_by IS NULL OR taken_by <> ?) AND table_name IN ({places}){failed}
         AND NOT {IS_PARKED}
         ORDER BY seq LIMIT ?"
    );
    let (ahead, unneeded, damaged) = (VecDeque::new(), 0, Vec::new());
    let others = HashMap::new();
    let mut line = Line { conn, tables, session, take, wanted, others, condition, ahead, unneeded, damaged };
    let taken = order::take_next(&mut line, tables.relations(), take, exchanged);
    exchanged.unneeded += line.unneeded;
    exchanged.damaged.append(&mut line.damaged);
    taken
}

/// Operations read at once while looking along the queue.
const READ_AHEAD: usize = 64;

/// The queue as one push sees it.
struct Line<'l> {
    conn: &'l mut SqliteConnection,
    tables: &'l Tables,
    session: PushSession,
    take: &'l Take,
    wanted: Vec<&'static str>,
    /// Columns that only other releases send, by table, once they are asked for.
    others: HashMap<&'static str, Vec<String>>,
    /// SQL condition: the next operations behind a place.
    condition: String,
    /// Read and not looked at.
    ahead: VecDeque<QueuedOperation>,
    unneeded: u64,
    damaged: Vec<OperationKey>,
}

/// What taking an operation needs to know of it.
struct Ready {
    operation: QueuedOperation,
    request: Request,
}

impl Line<'_> {
    fn read_ahead(&mut self, after: i64) -> Result<()> {
        // Beyond the first read something was passed over, and more of that kind usually follows.
        let is_first = after == self.take.after;
        let count = if is_first { self.take.limit.clamp(1, READ_AHEAD) } else { READ_AHEAD };
        let mut binds: Vec<Bind<'_>> =
            vec![after.into(), self.session.bound.into(), self.session.push.into()];
        binds.extend(self.wanted.iter().map(|name| Bind::from(*name)));
        binds.push(i64::try_from(count).unwrap_or(i64::MAX).into());
        self.ahead = load(self.conn, &self.condition, &binds)?.into();
        Ok(())
    }

    /// Whether this push may still take the operation.
    fn is_open(&self, table: &str, seq: i64, state: i64, taker: Taker) -> bool {
        seq <= self.session.bound
            && taker.push != Some(self.session.push)
            && !taker.is_parked
            && self.wanted.contains(&table)
            && (self.take.retry_failed || state != OperationState::Failed.as_i64())
    }

    /// The operation ready to be taken; `None` if it was not needed, or cannot be sent.
    fn prepare(&mut self, operation: QueuedOperation) -> Result<Option<Candidate<Ready>>> {
        let table = self.tables.get(&operation.table_name)?;
        operation.check_known()?;
        let others = match self.others.entry(table.schema.name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(releases::others(self.conn, table.schema)?),
        };
        let request = match Request::of(self.conn, table, &operation, others, self.take.update_body) {
            Ok(Some(request)) => request,
            Ok(None) => {
                complete_unneeded(self.conn, table, &operation)?;
                self.unneeded += 1;
                return Ok(None);
            }
            Err(Unready::RowMissing) => {
                let message = "the row of the operation is missing in the local database".to_owned();
                self.record_damage(table, &operation, FailureClass::LocalRowMissing, message)?;
                return Ok(None);
            }
            Err(Unready::UnknownColumn(name)) => {
                let message = format!(
                    "column {name} was changed, which this release does not send; the change waits for one that does"
                );
                self.record_damage(table, &operation, FailureClass::Damaged, message)?;
                return Ok(None);
            }
            Err(Unready::Error(error)) if error.kind() == ErrorKind::Corrupt => {
                self.record_damage(table, &operation, FailureClass::Damaged, error.to_string())?;
                return Ok(None);
            }
            Err(Unready::Error(error)) => return Err(error),
        };
        let may_have_arrived = may_have_arrived(self.conn, table, &operation)?;
        let outgoing = request.outgoing(table, &operation, may_have_arrived);
        Ok(Some(Candidate { outgoing, handle: Ready { operation, request } }))
    }

    /// P-20i: the operation is kept with an error that says what is wrong, and the others go on. One that may have
    /// been sent stays so.
    fn record_damage(
        &mut self,
        table: &SyncedTable,
        operation: &QueuedOperation,
        class: FailureClass,
        message: String,
    ) -> Result<()> {
        run(
            self.conn,
            "UPDATE \"__operations\" SET state = CASE state WHEN 0 THEN 2 ELSE state END, taken_by = ?
             WHERE seq = ?",
            &[self.session.push.into(), operation.seq.into()],
        )
        .or_store()?;
        let failed = Failed {
            kind: operation.kind()?,
            local: None,
            superseded: false,
            // How earlier attempts ended is not looked at: what may be so counts.
            uncertain: operation.attempts > 0,
        };
        let failure = Failure { class, status: None, message, remote: None };
        store_error(self.conn, table, operation, &failed, &failure)?;
        self.damaged.push(operation.key(table.schema, operation.revision));
        Ok(())
    }
}

impl TakeQueue for Line<'_> {
    type Handle = Ready;

    fn next(&mut self, after: i64) -> Result<Option<Candidate<Ready>>> {
        let mut after = after;
        loop {
            self.ahead.retain(|operation| operation.seq > after);
            if self.ahead.is_empty() {
                self.read_ahead(after)?;
            }
            let Some(operation) = self.ahead.pop_front() else { return Ok(None) };
            after = operation.seq;
            if let Some(candidate) = self.prepare(operation)? {
                return Ok(Some(candidate));
            }
        }
    }

    fn again(&mut self, row: &RowRef) -> Result<Option<Candidate<Ready>>> {
        let Some((operation, taker)) = find_with_taker(self.conn, row)? else { return Ok(None) };
        if self.is_open(row.table, operation.seq, operation.state, taker) {
            self.prepare(operation)
        } else {
            Ok(None)
        }
    }

    fn find(&mut self, row: &RowRef) -> Result<Option<Found>> {
        let text = format!(
            "SELECT kind, seq, state, taken_by, {IS_PARKED} FROM \"__operations\"
             WHERE table_name = ? AND item_id = ?"
        );
        let standing = query::<StandingColumns>(&text, &[row.table.into(), (&row.item_id).into()])
            .get_result::<Standing>(self.conn)
            .optional()
            .or_store()?;
        standing.map(|standing| self.found(row, standing)).transpose()
    }

    fn leaving(
        &mut self,
        child: &'static TableSchema,
        column: usize,
        id: &str,
        is_ignored: &dyn Fn(&RowRef) -> bool,
    ) -> Result<Option<(RowRef, Found)>> {
        let table = self.tables.get(child.name)?;
        let text = relation::referring_sql(child, column);
        let stored = query::<(Text, StandingColumns)>(&text, &[id.into(), id.into(), id.into()])
            .load::<(String, Standing)>(self.conn)
            .or_store()?;
        for (item_id, standing) in stored {
            let row = RowRef { table: child.name, item_id };
            if is_ignored(&row) {
                continue;
            }
            let found = self.found(&row, standing)?;
            if found.kind != OperationKind::Delete {
                let stays = match table.find(self.conn, &row.item_id) {
                    Ok(current) => current.is_none_or(|row| id_in(&row, column).as_deref() == Some(id)),
                    // What it will send is not known before somebody mends it; the delete waits for that (P-20i).
                    Err(error) if error.kind() == ErrorKind::Corrupt => false,
                    Err(error) => return Err(error),
                };
                if stays {
                    continue;
                }
            }
            return Ok(Some((row, found)));
        }
        Ok(None)
    }

    fn take(&mut self, candidate: Candidate<Ready>) -> Result<Outgoing> {
        let Ready { operation, request } = &candidate.handle;
        mark(self.conn, self.session, operation, request, &candidate.outgoing)?;
        Ok(candidate.outgoing)
    }
}

/// Kind, place, state, the push that took it, and whether it is parked.
type Standing = (i64, i64, i64, Option<i64>, i64);
type StandingColumns = (BigInt, BigInt, BigInt, Nullable<BigInt>, BigInt);

impl Line<'_> {
    fn found(&self, row: &RowRef, (kind, seq, state, taken_by, parked): Standing) -> Result<Found> {
        let kind = OperationKind::parse(kind).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a queued operation has a kind this version does not know")
                .with_table(row.table)
                .with_item(&row.item_id)
        })?;
        let taker = Taker { push: taken_by, is_parked: parked != 0 };
        Ok(Found { kind, is_over: !self.is_open(row.table, seq, state, taker) })
    }
}

/// Why an operation cannot be sent.
enum Unready {
    /// Its row is not in the local table.
    RowMissing,
    /// It changed a column of this name, which the entity does not have.
    UnknownColumn(String),
    /// Something of it cannot be read, or the database fails.
    Error(Error),
}

impl From<Error> for Unready {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What an operation sends now.
struct Request {
    sent: SentKind,
    uncertain: bool,
    revision: i64,
    /// The request differs from the one whose outcome is unknown, and replaces it.
    replaces: bool,
    /// The whole row, in the storage form. Of a delete in place of an insert: as that insert sent it.
    whole: String,
    /// The columns sent; `None` = all.
    columns: Option<Vec<&'static str>>,
    /// The content sent.
    item: Row,
    /// What an insert sent, in place of which this deletes.
    earlier: Option<Row>,
    base: Option<Row>,
}

impl Request {
    /// `None`: an update that changes nothing.
    fn of(
        conn: &mut SqliteConnection,
        table: &SyncedTable,
        operation: &QueuedOperation,
        others: &[String],
        update_body: UpdateBody,
    ) -> Result<Option<Self>, Unready> {
        let kind = operation.kind()?;
        let state = operation.state()?;
        let base = Copy::Base.stored(conn, table, &operation.item_id)?;
        if !others.is_empty() && kind != OperationKind::Delete {
            let base = base.as_ref().map(|(_, _, _, _, text, _)| text.as_str());
            if let Some(name) = stranded::unknown_change(conn, table, operation, others, base)? {
                return Err(Unready::UnknownColumn(name));
            }
        }
        let base = base.map(|stored| table.row(stored)).transpose()?;
        if state == OperationState::Attempted {
            return Ok(Some(Self::again(table, operation, kind, base)?));
        }
        let whole = match kind {
            OperationKind::Delete => operation.item.clone().ok_or_else(|| content_missing(operation))?,
            OperationKind::Insert | OperationKind::Update => {
                table.find_whole(conn, &operation.item_id)?.ok_or(Unready::RowMissing)?
            }
        };
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
            earlier: None,
            base,
        }))
    }

    /// R2: an uncertain insert whose row was deleted since sends only the delete, which keeps the sent form to know the
    /// row by; every other uncertain operation sends its sent form again.
    fn again(
        table: &SyncedTable,
        operation: &QueuedOperation,
        kind: OperationKind,
        base: Option<Row>,
    ) -> Result<Self> {
        let sent = operation.sent_kind()?.ok_or_else(|| operation.unknown("mark without a request"))?;
        let replaces = matches!(sent, SentKind::Insert | SentKind::Undelete) && kind == OperationKind::Delete;
        let whole = operation.sent_item.clone().ok_or_else(|| content_missing(operation))?;
        let columns = operation.columns_sent(table.schema)?.filter(|_| !replaces);
        let as_sent = content(table.schema, table.whole_row(&whole)?, columns.as_deref());
        let sent = if replaces { SentKind::Delete } else { sent };
        let (item, earlier) = match (sent, &operation.item) {
            (SentKind::Delete, Some(deleted)) => {
                (content(table.schema, table.whole_row(deleted)?, None), Some(as_sent))
            }
            _ => (as_sent, None),
        };
        let revision = operation.sent_revision.filter(|_| !replaces).unwrap_or(operation.revision);
        Ok(Self { sent, uncertain: true, replaces, revision, whole, columns, item, earlier, base })
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

/// Whether the server's row is known to have these columns as the local row has them. Equal sums of two devices are two
/// changes.
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
        let adds_up = |name: &str| {
            table
                .schema
                .columns
                .iter()
                .any(|column| column.name == name && column.merge == Some(MergeRule::Add))
        };
        changed.iter().all(|name| !differing.contains(name) && !adds_up(name))
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

fn content_missing(operation: &QueuedOperation) -> Error {
    Error::new(ErrorKind::Corrupt, "what a queued operation is to send is missing in the local database")
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
        Some(server) => restore(conn, table, &server).map(|_| ()),
        None => Ok(()),
    }
}

impl Request {
    /// What is sent, once it is marked.
    fn outgoing(&self, table: &SyncedTable, operation: &QueuedOperation, may_have_arrived: bool) -> Outgoing {
        let is_checked = table.schema.versioned && self.sent != SentKind::Insert && !self.replaces;
        Outgoing {
            key: operation.key(table.schema, self.revision),
            table: table.schema,
            sent: self.sent,
            uncertain: self.uncertain,
            item: self.item.clone(),
            earlier: self.earlier.clone(),
            base_version: operation.base_version.clone().filter(|_| is_checked),
            base: self.base.clone(),
            attempts: operation.attempts.saturating_add(1),
            may_have_arrived,
        }
    }
}

/// Whether an attempt before may have reached the server, for all that is known.
fn may_have_arrived(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<bool> {
    Ok(match operation.state()? {
        OperationState::Attempted => true,
        OperationState::Pending => operation.attempts > 0,
        OperationState::Failed => recorded_doubt(conn, table, operation)?.unwrap_or(true),
    })
}

/// Stores what is sent, before it is sent.
fn mark(
    conn: &mut SqliteConnection,
    session: PushSession,
    operation: &QueuedOperation,
    request: &Request,
    outgoing: &Outgoing,
) -> Result<()> {
    let holds = match (request.sent, operation.server_may_hold()?) {
        // a row of somebody else stays theirs, whatever becomes of a further attempt.
        (SentKind::Insert | SentKind::Undelete, ServerMayHold::No) => ServerMayHold::Maybe,
        (_, holds) => holds,
    };
    // The version an unknown answer led to is not known, and the replacing request is the newest state.
    let (base_version, tail_seq) =
        if request.replaces { (&None, None) } else { (&operation.base_version, operation.tail_seq) };
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
         attempts = ?, taken_by = ? WHERE seq = ?",
        &[
            holds.as_i64().into(),
            base_version.into(),
            tail_seq.into(),
            request.sent.as_i64().into(),
            request.revision.into(),
            (&request.whole).into(),
            (&columns).into(),
            outgoing.attempts.into(),
            session.push.into(),
            operation.seq.into(),
        ],
    )
    .or_store()
    .map(|_| ())
}
