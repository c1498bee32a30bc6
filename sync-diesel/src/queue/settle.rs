//! What an answer makes of an operation (F-03 to F-07, R8).

use diesel::sqlite::SqliteConnection;
use sync_core::error::Result;
use sync_core::item;
use sync_core::operation::{
    FailureClass, OperationKind, OperationState, SentKind, ServerMayHold, merge_answer,
};
use sync_core::row::Row;
use sync_core::store::{Failure, Outcome, Resolution, Settlement};

use super::record::{QueuedOperation, Remainder, drop_error, find, note_refetch, remove, store};
use super::resolve;
use crate::apply::{drop_shadow, store_extra, store_shadow};
use crate::failure::{OrStore, is_about_the_row};
use crate::statement::run;
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

/// Stores one outcome. Gives whether something of the operation is queued again because the row had changed.
pub(super) fn settle(conn: &mut SqliteConnection, tables: &Tables, settlement: &Settlement) -> Result<bool> {
    let key = &settlement.key;
    let table = tables.get(key.table)?;
    let Some(operation) = find(conn, table.schema.name, &key.item_id)? else {
        // Resolved or purged meanwhile: the app has decided, the answer changes nothing.
        return Ok(false);
    };
    let is_in_flight = operation.state()? == OperationState::Attempted
        && operation.seq == key.seq
        && operation.sent_revision == Some(key.revision);
    let (Some(sent), true) = (operation.sent_kind()?, is_in_flight) else { return Ok(false) };
    let flight = Flight { table, sent, kind: operation.kind()?, operation };
    match &settlement.outcome {
        Outcome::Acknowledged { row } => flight.acknowledged(conn, row.as_ref()),
        Outcome::Refused(failure) => flight.failed(conn, failure, false),
        Outcome::Conflict(failure) => flight.failed(conn, failure, true),
        Outcome::Uncertain(None) => Ok(false),
        Outcome::Uncertain(Some(failure)) => {
            flight.record(conn, failure)?;
            Ok(false)
        }
        Outcome::Unsent => flight.unsent(conn),
        Outcome::Resolved { failure, resolution } => flight.resolved(conn, failure, resolution),
    }
}

/// An operation whose request is being settled.
struct Flight<'t> {
    table: &'t SyncedTable,
    operation: QueuedOperation,
    sent: SentKind,
    kind: OperationKind,
}

impl Flight<'_> {
    fn id(&self) -> &str {
        &self.operation.item_id
    }

    /// Whether the row changed since it was sent.
    fn is_superseded(&self) -> bool {
        self.operation.sent_revision != Some(self.operation.revision)
    }

    /// The whole row when it was sent.
    fn sent_row(&self) -> Result<Option<Row>> {
        let decode = |text: &String| item::decode(self.table.schema, text);
        self.operation.sent_item.as_ref().map(decode).transpose()
    }

    /// The place of what remains.
    fn tail(&self, conn: &mut SqliteConnection) -> Result<i64> {
        match self.operation.tail_seq {
            Some(seq) => Ok(seq),
            None => system::next_seq(conn),
        }
    }

    fn acknowledged(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<bool> {
        match (self.sent, self.kind) {
            (SentKind::Delete, OperationKind::Insert | OperationKind::Update) => {
                self.deleted_then_inserted(conn, answer)?;
                Ok(true)
            }
            (SentKind::Delete, OperationKind::Delete) => {
                self.done(conn)?;
                store_extra(conn, self.table, self.id(), None)?;
                Ok(false)
            }
            (_, OperationKind::Delete) => {
                self.written_then_deleted(conn, answer)?;
                Ok(true)
            }
            (SentKind::Undelete, _) => {
                self.revived(conn, answer)?;
                Ok(true)
            }
            _ if self.is_superseded() => self.written_then_edited(conn, answer),
            _ => {
                self.written(conn, answer)?;
                Ok(false)
            }
        }
    }

    /// The operation is complete.
    fn done(&self, conn: &mut SqliteConnection) -> Result<()> {
        remove(conn, &self.operation)?;
        drop_shadow(conn, self.table, self.id())
    }

    /// The answer as a row: one without content still says that the version is unknown now.
    fn answer(&self, answer: Option<&Row>) -> Row {
        let mut row = answer.cloned().unwrap_or_else(|| Row::empty(self.table.schema, ""));
        self.id().clone_into(&mut row.id);
        row
    }

    /// F-03: the row is the server's.
    fn written(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<()> {
        let row = self.answer(answer);
        self.done(conn)?;
        if row.deleted && !self.table.schema.keep_deleted {
            self.table.delete(conn, self.id()).or_store()?;
            return store_extra(conn, self.table, self.id(), None);
        }
        self.write_answer(conn, &row)?;
        if answer.is_some() {
            store_extra(conn, self.table, self.id(), row.extra.as_deref())?;
        }
        Ok(())
    }

    /// Stores a row the server answered with. One the database refuses leaves the local row as it is, with the
    /// server's system columns, and is fetched again by the next pull.
    fn write_answer(&self, conn: &mut SqliteConnection, row: &Row) -> Result<()> {
        match self.table.update(conn, row) {
            Ok(_) => Ok(()),
            Err(error) if is_about_the_row(&error) => {
                self.table.update_system(conn, row)?;
                note_refetch(conn, self.table.schema.name, self.id())
            }
            Err(error) => Err(error).or_store(),
        }
    }

    /// What the server holds now: what it was sent, with what it answered.
    fn server_row(&self, answer: &Row) -> Result<Row> {
        let mut row = match self.sent_row()? {
            Some(sent) => sent,
            None => Row::empty(self.table.schema, self.id()),
        };
        overlay(&mut row, answer);
        row.id.clone_from(&answer.id);
        row.version.clone_from(&answer.version);
        row.updated_at = answer.updated_at;
        row.deleted = answer.deleted;
        Ok(row)
    }

    /// F-04: own edits stay and are sent as an update of the new version.
    fn written_then_edited(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<bool> {
        let answered = self.answer(answer);
        let server = self.server_row(&answered)?;
        let Some(local) = self.table.find(conn, self.id())? else {
            self.done(conn)?;
            return Ok(false);
        };
        let sent = self.sent_row()?.unwrap_or_else(|| server.clone());
        let merge = merge_answer(self.table.schema, &sent, &local, &answered);
        let mut row = merge.row;
        row.version.clone_from(&answered.version);
        row.updated_at = answered.updated_at;
        row.deleted = false;
        if answer.is_some() {
            store_extra(conn, self.table, self.id(), answered.extra.as_deref())?;
        }
        self.write_answer(conn, &row)?;
        if !merge.remains {
            self.done(conn)?;
            return Ok(false);
        }
        store_shadow(conn, self.table, &server)?;
        self.remain(conn, OperationKind::Update, answered.version.as_deref(), None)?;
        Ok(true)
    }

    /// F-05: the row stays deleted here, and is deleted there next.
    fn written_then_deleted(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<()> {
        let answered = self.answer(answer);
        store_shadow(conn, self.table, &self.server_row(&answered)?)?;
        let item = self.operation.item.as_deref();
        self.remain(conn, OperationKind::Delete, answered.version.as_deref(), item)
    }

    /// F-06: the row was deleted there and inserted again here. A server that answers with a version keeps the
    /// deleted row: it is revived.
    fn deleted_then_inserted(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<()> {
        let version = answer.and_then(|row| row.version.as_deref());
        drop_shadow(conn, self.table, self.id())?;
        let cleared = Row::empty(self.table.schema, self.id());
        self.table.update_system(conn, &cleared)?;
        let seq = self.tail(conn)?;
        self.settle_as(
            conn,
            Remainder {
                seq,
                revive: version.is_some(),
                base_version: version,
                ..self.pending(OperationKind::Insert)
            },
        )
    }

    /// K-15: the row is live again with its old content; the content of this side follows.
    fn revived(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<()> {
        let answered = self.answer(answer);
        if answer.is_some_and(|row| row.values.iter().any(Option::is_some)) {
            store_shadow(conn, self.table, &answered)?;
        } else {
            drop_shadow(conn, self.table, self.id())?;
        }
        self.table.update_system(conn, &Row { deleted: false, ..answered.clone() })?;
        let seq = match self.operation.tail_seq {
            Some(_) if self.is_superseded() => self.tail(conn)?,
            _ => self.operation.seq,
        };
        self.settle_as(
            conn,
            Remainder {
                seq,
                base_version: answered.version.as_deref(),
                ..self.pending(OperationKind::Update)
            },
        )
    }

    /// What remains, pending at its place, with nothing of ours unknown to the server.
    fn remain(
        &self,
        conn: &mut SqliteConnection,
        kind: OperationKind,
        base_version: Option<&str>,
        item: Option<&str>,
    ) -> Result<()> {
        let seq = self.tail(conn)?;
        self.settle_as(conn, Remainder { seq, base_version, item, ..self.pending(kind) })
    }

    fn pending(&self, kind: OperationKind) -> Remainder<'static> {
        Remainder {
            seq: self.operation.seq,
            kind: kind.as_i64(),
            state: OperationState::Pending.as_i64(),
            revision: self.operation.revision,
            base_version: None,
            item: None,
            server_may_hold: ServerMayHold::No.as_i64(),
            revive: false,
            retake: true,
        }
    }

    fn settle_as(&self, conn: &mut SqliteConnection, rest: Remainder<'_>) -> Result<()> {
        drop_error(conn, &self.operation)?;
        store(conn, self.operation.seq, &rest)
    }

    /// What the operation becomes once the server is known not to have done it, by the collapse matrix (F-07);
    /// `None`: nothing is left of it. `holds`: what the server holds of an inserted row.
    fn undone(&self, holds: ServerMayHold) -> Option<Remainder<'_>> {
        let operation = &self.operation;
        let kept = Remainder {
            kind: operation.kind,
            base_version: operation.base_version.as_deref(),
            item: operation.item.as_deref(),
            server_may_hold: holds.as_i64(),
            revive: operation.revive != 0,
            ..self.pending(self.kind)
        };
        match (self.sent, self.kind) {
            // the delete that followed has nothing to delete.
            (SentKind::Insert | SentKind::Undelete, OperationKind::Delete) => None,
            // the row that was to be deleted is still there.
            (SentKind::Delete, OperationKind::Insert) if holds == ServerMayHold::No => {
                Some(Remainder { kind: OperationKind::Update.as_i64(), ..kept })
            }
            // a delete stands at the end.
            (SentKind::Update, OperationKind::Delete) => {
                Some(Remainder { seq: operation.tail_seq.unwrap_or(operation.seq), ..kept })
            }
            _ => Some(kept),
        }
    }

    /// The server did not do it: recorded, to be sent again by the next push.
    fn failed(&self, conn: &mut SqliteConnection, failure: &Failure, conflict: bool) -> Result<bool> {
        let holds = self.holds_after(failure, conflict)?;
        match self.undone(holds) {
            None => {
                if holds == ServerMayHold::Foreign {
                    note_refetch(conn, self.table.schema.name, self.id())?;
                }
                self.done(conn)?;
                Ok(false)
            }
            Some(rest) => {
                // Before the operation is changed: the record names what was sent.
                self.record(conn, failure)?;
                let rest = Remainder { state: OperationState::Failed.as_i64(), retake: false, ..rest };
                store(conn, self.operation.seq, &rest)?;
                Ok(false)
            }
        }
    }

    /// What the server holds of an inserted row after this failure.
    fn holds_after(&self, failure: &Failure, conflict: bool) -> Result<ServerMayHold> {
        Ok(match self.sent {
            // A refused delete says nothing about an insert before it.
            SentKind::Delete => self.operation.server_may_hold()?,
            SentKind::Update => ServerMayHold::No,
            SentKind::Insert | SentKind::Undelete => {
                let is_gone = failure.class == FailureClass::Gone
                    || failure.remote.as_ref().is_some_and(|remote| remote.deleted);
                if conflict && !is_gone { ServerMayHold::Foreign } else { ServerMayHold::No }
            }
        })
    }

    /// The request never started (R8): as before it was taken.
    fn unsent(&self, conn: &mut SqliteConnection) -> Result<bool> {
        let operation = &self.operation;
        let prior = operation.prior_state.unwrap_or(OperationState::Pending.as_i64());
        if prior == OperationState::Attempted.as_i64() {
            run(
                conn,
                "UPDATE \"__operations\" SET taken_by = NULL, attempts = attempts - 1 WHERE seq = ?",
                &[operation.seq.into()],
            )
            .or_store()?;
            return Ok(false);
        }
        let holds = operation.prior_hold.and_then(ServerMayHold::parse).unwrap_or(ServerMayHold::No);
        match self.undone(holds) {
            None => {
                if holds == ServerMayHold::Foreign {
                    note_refetch(conn, self.table.schema.name, self.id())?;
                }
                self.done(conn)?;
            }
            Some(rest) => {
                let state = if self.is_superseded() { OperationState::Pending.as_i64() } else { prior };
                run(
                    conn,
                    "UPDATE \"__operations\" SET attempts = attempts - 1 WHERE seq = ?",
                    &[operation.seq.into()],
                )
                .or_store()?;
                store(conn, operation.seq, &Remainder { state, ..rest })?;
            }
        }
        Ok(false)
    }

    /// A handler decided.
    fn resolved(
        &self,
        conn: &mut SqliteConnection,
        failure: &Failure,
        resolution: &Resolution,
    ) -> Result<bool> {
        let sent = self.sent_row()?;
        self.failed(conn, failure, true)?;
        // The operation as the failure left it; nothing may be left of it.
        let Some(operation) = find(conn, self.table.schema.name, self.id())? else { return Ok(false) };
        // A newer edit must not be lost to a decision about an older one (K-12): it stays, with the error.
        let is_lost = self.is_superseded() && matches!(resolution, Resolution::TakeRemote);
        if is_lost || matches!(resolution, Resolution::Leave) {
            return Ok(false);
        }
        let edited_since = sent.filter(|_| self.is_superseded());
        resolve::apply(conn, self.table, &operation, failure, resolution, edited_since.as_ref())?;
        Ok(false)
    }

    /// Records a failure, in place of an older one.
    fn record(&self, conn: &mut SqliteConnection, failure: &Failure) -> Result<()> {
        let kind = match self.sent {
            SentKind::Insert | SentKind::Undelete => OperationKind::Insert,
            SentKind::Update => OperationKind::Update,
            SentKind::Delete => OperationKind::Delete,
        };
        let remote = failure.remote.as_ref();
        let remote_item = remote.map(|remote| item::encode(self.table.schema, remote));
        run(
            conn,
            "INSERT INTO \"__errors\" (table_name, item_id, seq, revision, kind, class, status, message, local,
             remote, remote_version, remote_updated_at, remote_deleted, remote_extra, superseded)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (table_name, item_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision,
             kind = excluded.kind, class = excluded.class, status = excluded.status,
             message = excluded.message, local = excluded.local, remote = excluded.remote,
             remote_version = excluded.remote_version, remote_updated_at = excluded.remote_updated_at,
             remote_deleted = excluded.remote_deleted, remote_extra = excluded.remote_extra,
             superseded = excluded.superseded",
            &[
                self.table.schema.name.into(),
                self.id().into(),
                self.operation.seq.into(),
                self.operation.revision.into(),
                kind.as_i64().into(),
                failure.class.as_str().into(),
                failure.status.map(i64::from).into(),
                (&failure.message).into(),
                (&self.operation.sent_item).into(),
                (&remote_item).into(),
                remote.and_then(|remote| remote.version.as_deref()).into(),
                crate::statement::Bind::instant(remote.and_then(|remote| remote.updated_at)),
                i64::from(remote.is_some_and(|remote| remote.deleted)).into(),
                remote.and_then(|remote| remote.extra.as_deref()).into(),
                i64::from(self.is_superseded()).into(),
            ],
        )
        .or_store()
        .map(|_| ())
    }
}
