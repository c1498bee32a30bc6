//! What an answer makes of an operation (F-03 to F-07, R8).

use std::error::Error as StdError;

use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, OptionalExtension, RunQueryDsl};
use sync_core::check;
use sync_core::error::Result;
use sync_core::operation::{
    FailureClass, OperationKind, OperationState, SentKind, ServerMayHold, is_whole_version, merge_answer,
    shows_only, with_version,
};
use sync_core::row::Row;
use sync_core::store::{Failure, Outcome, PushSession, Resolution, Resolver, Settlement};

use super::record::{
    Failed, QueuedOperation, Remainder, decide_anew, drop_error, find, note_refetch, recorded_doubt, remove,
    store, store_error,
};
use super::{history, resolve};
use crate::apply::copies::{self, Copy};
use crate::apply::{drop_extra, quarantine, store_extra};
use crate::failure::{BoxedError, OrStore, from_boxed, is_about_the_row};
use crate::statement::{query, run};
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

/// Stores one outcome. Gives whether something of the operation is queued again because the row had changed.
pub(super) fn settle(
    conn: &mut SqliteConnection,
    tables: &Tables,
    session: PushSession,
    settlement: &Settlement,
) -> Result<bool> {
    let key = &settlement.key;
    let table = tables.get(key.table)?;
    let Some(operation) = find(conn, table.schema.name, &key.item_id)? else {
        // Resolved or purged meanwhile: the app has decided, the answer changes nothing.
        return Ok(false);
    };
    let is_in_flight = operation.state()? == OperationState::Attempted
        && operation.seq == key.seq
        && operation.taken_by == Some(session.push)
        && operation.sent_revision == Some(key.revision);
    let (Some(sent), true) = (operation.sent_kind()?, is_in_flight) else { return Ok(false) };
    let flight = Flight { table, sent, kind: operation.kind()?, operation };
    match &settlement.outcome {
        Outcome::Acknowledged { row } => flight.acknowledged(conn, row.as_ref()),
        Outcome::Refused(failure) => flight.failed(conn, failure, false).map(|()| false),
        Outcome::Conflict(failure) => flight.failed(conn, failure, true).map(|()| false),
        Outcome::Uncertain(None) => Ok(false),
        Outcome::Uncertain(Some(failure)) => flight.record(conn, failure).map(|()| false),
        Outcome::Unsent => flight.unsent(conn).map(|()| false),
        Outcome::Resolved { failure, resolution, by } => {
            flight.resolved(conn, failure, resolution, *by).map(|()| false)
        }
    }
}

/// Writes the server's row over the local row, which has no changes that it lacks (F-03). One the database refuses
/// leaves the local row as it is, with the server's system columns, and is fetched again by the next pull: `false`.
pub(super) fn restore(conn: &mut SqliteConnection, table: &SyncedTable, server: &Row) -> Result<bool> {
    let id = server.id.as_str();
    if server.deleted && !table.schema.keep_deleted {
        table.delete(conn, id).or_store()?;
        drop_extra(conn, table, id)?;
        return Ok(true);
    }
    let mut row = server.clone();
    for (column, value) in table.schema.columns.iter().zip(&mut row.values) {
        if column.local {
            *value = None;
        }
    }
    let is_written = match table.update(conn, &row) {
        Ok(_) => true,
        Err(error) if is_about_the_row(&error) => {
            table.update_system(conn, &row)?;
            note_refetch(conn, table.schema.name, id)?;
            false
        }
        Err(error) => return Err(error).or_store(),
    };
    store_extra(conn, table, id, row.extra.as_deref())?;
    Ok(is_written)
}

/// What is known of the server's row after a request.
struct News {
    /// `None`: what was sent, or had been there before.
    row: Option<Row>,
    /// The version in the answer.
    version: Option<String>,
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
    fn sent_row(&self) -> Result<Row> {
        match &self.operation.sent_item {
            Some(text) => self.table.whole_row(text),
            None => Err(self.operation.unknown("request without content")),
        }
    }

    /// The whole row when it was sent. A column that the table got since is as in the base: nobody changed it (S-06).
    fn sent_whole(&self, conn: &mut SqliteConnection) -> Result<Row> {
        let mut sent = self.sent_row()?;
        let has_grown = self.table.schema.sent_columns().any(|(index, _)| sent.values[index].is_none());
        if has_grown && let Some(base) = Copy::Base.load(conn, self.table, self.id())? {
            for (value, known) in sent.values.iter_mut().zip(base.values) {
                *value = value.take().or(known);
            }
        }
        Ok(sent)
    }

    fn acknowledged(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<bool> {
        self.leave_quarantine(conn)?;
        let version = answer.and_then(|answer| answer.version.clone());
        let known = answer.map(|answer| self.known(answer));
        let answer = known.as_ref();
        self.remember_version(conn, answer)?;
        // The content of a revived row was not sent yet.
        let content_follows = self.sent == SentKind::Undelete;
        let is_deleted = self.sent == SentKind::Delete && self.kind == OperationKind::Delete;
        if is_deleted {
            self.done(conn)?;
            drop_extra(conn, self.table, self.id())?;
            return Ok(false);
        }
        let news = News { row: self.news(conn, answer)?, version };
        if !self.is_superseded() && !content_follows {
            self.done(conn)?;
            if let Some(server) = &news.row {
                restore(conn, self.table, server)?;
            }
            return Ok(false);
        }
        self.remain(conn, news)?;
        Ok(self.is_superseded())
    }

    /// K-17: between these two versions of the row there is only this push.
    fn remember_version(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<()> {
        let key: [crate::statement::Bind<'_>; 2] = [self.table.schema.name.into(), self.id().into()];
        if self.sent == SentKind::Delete {
            let text = "DELETE FROM \"__acknowledged\" WHERE table_name = ? AND item_id = ?";
            return run(conn, text, &key).or_store().map(|_| ());
        }
        let versions = (&self.operation.base_version, answer.and_then(|answer| answer.version.as_ref()));
        let (Some(before), Some(version)) = versions else { return Ok(()) };
        if let (Some(base), Some(answer)) = (Copy::Base.load(conn, self.table, self.id())?, answer) {
            let sent = self.operation.columns_sent(self.table.schema)?;
            let columns = self.table.schema.columns;
            let is_sent = |index: usize| sent.as_ref().is_none_or(|sent| sent.contains(&columns[index].name));
            if !shows_only(self.table.schema, is_sent, &base, answer) {
                return Ok(());
            }
        }
        let known = query::<(Text, Text)>(
            "SELECT version, earlier FROM \"__acknowledged\" WHERE table_name = ? AND item_id = ?",
            &key,
        )
        .get_result::<(String, String)>(conn)
        .optional()
        .or_store()?;
        let earlier = match known {
            Some((known, earlier)) if known == *before => serde_json::from_str(&earlier).unwrap_or_default(),
            _ => Vec::new(),
        };
        let earlier = serde_json::Value::from(with_version(earlier, before)).to_string();
        let [table, id] = key;
        run(
            conn,
            "INSERT INTO \"__acknowledged\" (table_name, item_id, version, earlier) VALUES (?, ?, ?, ?)
             ON CONFLICT (table_name, item_id) DO UPDATE SET version = excluded.version, earlier = excluded.earlier",
            &[table, id, version.into(), earlier.into()],
        )
        .or_store()
        .map(|_| ())
    }

    /// What waits in quarantine is older than the server's answer.
    fn leave_quarantine(&self, conn: &mut SqliteConnection) -> Result<()> {
        run(
            conn,
            "DELETE FROM \"__quarantine\" WHERE table_name = ? AND item_id = ?",
            &[self.table.schema.name.into(), self.id().into()],
        )
        .or_store()
        .map(|_| ())
    }

    /// What is known of the server's row after an acknowledged request: what was sent, for all else the newest
    /// copy, and over both what the answer shows.
    fn news(&self, conn: &mut SqliteConnection, answer: Option<&Row>) -> Result<Option<Row>> {
        let schema = self.table.schema;
        let newer = Copy::Newer.load(conn, self.table, self.id())?;
        if answer.is_none() && newer.is_none() {
            return Ok(None);
        }
        let mut server = match (self.sent, &newer) {
            (SentKind::Delete | SentKind::Undelete, Some(newer)) => newer.clone(),
            (SentKind::Undelete, None) => self.revived(conn)?,
            (SentKind::Delete, None) => self.removed(conn)?,
            _ => self.sent_whole(conn)?,
        };
        if let Some(mut newer) = newer {
            let sent = self.operation.columns_sent(schema)?;
            for (column, value) in schema.columns.iter().zip(&mut newer.values) {
                if sent.as_ref().is_none_or(|sent| sent.contains(&column.name)) {
                    *value = None;
                }
            }
            overlay(schema, &mut server, &newer);
        }
        server.deleted = false;
        if let Some(answer) = answer {
            overlay(schema, &mut server, answer);
        }
        Ok(Some(server))
    }

    /// The server's row before it was revived.
    fn revived(&self, conn: &mut SqliteConnection) -> Result<Row> {
        let base = Copy::Base.load(conn, self.table, self.id())?;
        Ok(base.unwrap_or_else(|| Row::empty(self.table.schema, self.id())))
    }

    /// The server's row before it was deleted, without what was edited here and never sent. Of an insert that may have
    /// arrived there is no copy, but what it sent.
    fn removed(&self, conn: &mut SqliteConnection) -> Result<Row> {
        match Copy::Base.load(conn, self.table, self.id())? {
            Some(base) => Ok(base),
            None => self.sent_whole(conn),
        }
    }

    /// What the answer says of the row, whose version stays the older one if what is here is not all of the new one.
    fn known(&self, answer: &Row) -> Row {
        let mut known = self.named(answer);
        known.version = known.version.filter(|_| is_whole_version(self.table.schema, self.sent, answer));
        known
    }

    /// The server's row under the operation's id.
    fn named(&self, answer: &Row) -> Row {
        Row { id: self.id().to_owned(), ..answer.clone() }
    }

    /// The operation is complete.
    fn done(&self, conn: &mut SqliteConnection) -> Result<()> {
        remove(conn, &self.operation)?;
        copies::drop_both(conn, self.table, self.id())
    }

    /// What the request did not cover is queued again, on top of what the server holds now (F-04 to F-06, W-09).
    fn remain(&self, conn: &mut SqliteConnection, News { row, version }: News) -> Result<()> {
        let schema = self.table.schema;
        let is_news = row.is_some();
        let mut server = match row {
            Some(row) => row,
            None if self.sent == SentKind::Undelete => self.revived(conn)?,
            None if self.sent == SentKind::Delete => self.removed(conn)?,
            None => self.sent_whole(conn)?,
        };
        server.deleted &= is_news;
        let (kind, mut base_version) = match (self.sent, self.kind) {
            // F-06. With a version the server keeps the deleted row, and the insert revives it. Without one it may do so:
            // the copy tells this device's own deletion from somebody else's.
            (SentKind::Delete, _) => {
                server.deleted = true;
                server.version.clone_from(&version);
                (OperationKind::Insert, version)
            }
            // F-05
            (_, OperationKind::Delete) => {
                (OperationKind::Delete, version.or_else(|| self.operation.base_version.clone()))
            }
            (_, OperationKind::Insert | OperationKind::Update) => {
                (OperationKind::Update, version.or_else(|| self.operation.base_version.clone()))
            }
        };
        // F-04; the content of a revived row was not sent yet, so nothing of it is the server's to replace.
        if kind == OperationKind::Update
            && self.sent != SentKind::Undelete
            && is_news
            && let Some(local) = self.table.find(conn, self.id())?
        {
            let sent = self.sent_row()?;
            let merge = merge_answer(schema, &sent, &local, &server);
            // Should the answer say so, the next request meets the deleted row; the edit stays in sight.
            if !restore(conn, self.table, &Row { deleted: false, ..merge.row })? {
                // I-5: what the app did not change since is no edit of it, although it is not as the server has it.
                for (index, _) in schema.sent_columns() {
                    if sent.values[index] == local.values[index] {
                        server.values[index].clone_from(&local.values[index]);
                    }
                }
                // A whole row would take it to the server nonetheless: there the older version meets a 412.
                if self.sent == SentKind::Update && self.operation.sent_columns.is_none() {
                    base_version.clone_from(&self.operation.base_version);
                    server.version.clone_from(&base_version);
                }
            }
        }
        copies::drop_both(conn, self.table, self.id())?;
        Copy::Base.store(conn, self.table, &server)?;
        drop_error(conn, &self.operation)?;
        let seq = match self.operation.tail_seq {
            Some(seq) => seq,
            None if self.is_superseded() => system::next_seq(conn)?,
            // The content of a revived row follows in the same push.
            None => self.operation.seq,
        };
        let item = self.operation.item.as_deref().filter(|_| kind == OperationKind::Delete);
        let rest = Remainder {
            seq,
            kind: kind.as_i64(),
            state: OperationState::Pending.as_i64(),
            revision: self.operation.revision,
            base_version: base_version.as_deref(),
            item,
            server_may_hold: ServerMayHold::No.as_i64(),
            retake: true,
        };
        // What remains was never sent: what became of earlier attempts is known.
        run(conn, "UPDATE \"__operations\" SET attempts = 0 WHERE seq = ?", &[self.operation.seq.into()])
            .or_store()?;
        store(conn, self.operation.seq, &rest)
    }

    /// What the operation becomes once the server is known not to have done it, by the collapse matrix (F-07);
    /// `None`: nothing is left of it. `holds`: what the server holds of an inserted row.
    fn undone(&self, holds: ServerMayHold) -> Option<Remainder<'_>> {
        let operation = &self.operation;
        let inserted = matches!(self.sent, SentKind::Insert | SentKind::Undelete);
        if inserted && self.kind == OperationKind::Delete && holds != ServerMayHold::Maybe {
            // the delete that followed has nothing of ours to delete.
            return None;
        }
        let (seq, kind) = match (self.sent, self.kind) {
            // the row that was to be deleted is still there.
            // not if that was never sure.
            (SentKind::Delete, OperationKind::Insert) if holds == ServerMayHold::No => {
                (operation.seq, OperationKind::Update)
            }
            // a delete stands at the end.
            (SentKind::Insert | SentKind::Update | SentKind::Undelete, OperationKind::Delete) => {
                (operation.tail_seq.unwrap_or(operation.seq), self.kind)
            }
            _ => (operation.seq, self.kind),
        };
        Some(Remainder {
            seq,
            kind: kind.as_i64(),
            state: OperationState::Failed.as_i64(),
            revision: operation.revision,
            base_version: operation.base_version.as_deref(),
            item: operation.item.as_deref(),
            server_may_hold: holds.as_i64(),
            retake: false,
        })
    }

    /// Takes the sending back; gives whether anything is left of the operation.
    fn take_back(
        &self,
        conn: &mut SqliteConnection,
        holds: ServerMayHold,
        state: OperationState,
    ) -> Result<bool> {
        match self.undone(holds) {
            None => {
                let newest = copies::newest(conn, self.table, self.id())?;
                let is_shown = |newest: Row| !newest.deleted || self.table.schema.keep_deleted;
                if holds == ServerMayHold::Foreign || newest.is_some_and(is_shown) {
                    note_refetch(conn, self.table.schema.name, self.id())?;
                }
                self.done(conn)?;
                Ok(false)
            }
            Some(rest) => {
                let rest = Remainder { state: state.as_i64(), ..rest };
                store(conn, self.operation.seq, &rest)?;
                Ok(true)
            }
        }
    }

    /// The server did not do it: recorded, to be sent again by the next push.
    fn failed(&self, conn: &mut SqliteConnection, failure: &Failure, conflict: bool) -> Result<()> {
        let inserted = matches!(self.sent, SentKind::Insert | SentKind::Undelete);
        let holds = match &failure.remote {
            Some(remote) if conflict && inserted && !remote.deleted => ServerMayHold::Foreign,
            Some(_) if conflict && inserted => ServerMayHold::No,
            None if conflict && failure.class == FailureClass::Gone => ServerMayHold::No,
            // This request had no effect; what the server may hold since an earlier one it still may.
            _ => self.operation.prior_hold.and_then(ServerMayHold::parse).unwrap_or(ServerMayHold::No),
        };
        if self.take_back(conn, holds, OperationState::Failed)? {
            self.record(conn, failure)?;
        }
        Ok(())
    }

    /// The request never started (R8): as if the changes since had been made before.
    fn unsent(&self, conn: &mut SqliteConnection) -> Result<()> {
        let operation = &self.operation;
        run(
            conn,
            "UPDATE \"__operations\" SET attempts = attempts - 1 WHERE seq = ?",
            &[operation.seq.into()],
        )
        .or_store()?;
        let unknown = || operation.unknown("mark of an earlier state");
        let prior = operation.prior_state.and_then(OperationState::parse).ok_or_else(unknown)?;
        if prior == OperationState::Attempted {
            // After an earlier attempt with an unknown outcome it is as unknown as before.
            return Ok(());
        }
        let holds = operation.prior_hold.and_then(ServerMayHold::parse).ok_or_else(unknown)?;
        let state = if self.is_superseded() { OperationState::Pending } else { prior };
        self.take_back(conn, holds, state).map(|_| ())
    }

    /// A handler decided.
    fn resolved(
        &self,
        conn: &mut SqliteConnection,
        failure: &Failure,
        resolution: &Resolution,
        by: Resolver,
    ) -> Result<()> {
        self.failed(conn, failure, true)?;
        // The handler did not see an edit made during the flight; only "mine" still means it (K-12).
        if self.is_superseded() && *resolution != Resolution::KeepLocal {
            return Ok(());
        }
        // The operation as the failure left it; nothing may be left of it.
        match find(conn, self.table.schema.name, self.id())? {
            Some(operation) => {
                let (table, retake) = (self.table, resolve::Retake::SamePush);
                check::check_resolution(table.schema, operation.kind()?, self.id(), resolution)?;
                let applied = conn.transaction::<_, BoxedError, _>(|conn| {
                    history::remember(conn, table, &operation, failure, resolution, by)?;
                    Ok(resolve::apply(conn, table, &operation, failure, resolution, retake)?)
                });
                let Err(error) = applied.map_err(from_boxed) else { return Ok(()) };
                let source = StdError::source(&error).and_then(|source| source.downcast_ref());
                if !source.is_some_and(is_about_the_row) {
                    return Err(error);
                }
                // P-20h: what the database refuses fails this conflict, not the push.
                let message = format!("what the conflict handler chose cannot be stored: {error}");
                let failure = Failure { class: FailureClass::Handler, message, ..failure.clone() };
                self.record(conn, &failure)
            }
            None => Ok(()),
        }
    }

    /// Whether the server may hold the change since an attempt before this one.
    fn is_uncertain(&self, conn: &mut SqliteConnection) -> Result<bool> {
        Ok(match self.operation.prior_state.and_then(OperationState::parse) {
            None | Some(OperationState::Attempted) => true,
            // How an attempt before the last change ended is not known any more.
            Some(OperationState::Pending) => self.operation.attempts > 1,
            Some(OperationState::Failed) => {
                recorded_doubt(conn, self.table, &self.operation)?.unwrap_or(false)
            }
        })
    }

    /// Whether something else was to be seen of the server's row before: in the error, or else brought by a pull.
    fn is_news(&self, conn: &mut SqliteConnection, remote: &Row) -> Result<bool> {
        let (table, id) = (self.table.schema.name, self.id());
        let seen = query::<Nullable<Text>>(
            "SELECT remote_version FROM \"__errors\" WHERE table_name = ? AND item_id = ? AND remote IS NOT NULL
             UNION ALL SELECT version FROM \"__newer\" WHERE table_name = ? AND item_id = ? LIMIT 1",
            &[table.into(), id.into(), table.into(), id.into()],
        )
        .get_result::<Option<String>>(conn)
        .optional()
        .or_store()?;
        Ok(seen.is_some_and(|seen| seen != remote.version))
    }

    /// Records a failure, in place of an older one.
    fn record(&self, conn: &mut SqliteConnection, failure: &Failure) -> Result<()> {
        let kind = match self.sent {
            SentKind::Insert | SentKind::Undelete => OperationKind::Insert,
            SentKind::Update => OperationKind::Update,
            SentKind::Delete => OperationKind::Delete,
        };
        let remote = failure.remote.as_ref();
        // What the answer shows is newer than what any pull has brought, or the same.
        match remote {
            Some(remote) => {
                // Without the value that keeps the row waiting, this version of it is not all known.
                if !quarantine::is_of_version(conn, self.table, self.id(), remote.version.as_deref())? {
                    self.leave_quarantine(conn)?;
                }
                if self.is_news(conn, remote)? {
                    decide_anew(conn, self.table.schema.name, self.id())?;
                }
                let newest = copies::newest(conn, self.table, self.id())?;
                copies::learn(conn, self.table, newest, &self.named(remote))?;
            }
            None if failure.class == FailureClass::Gone => Copy::Newer.drop(conn, self.table, self.id())?,
            None => {}
        }
        let uncertain = self.is_uncertain(conn)?;
        let failed = Failed {
            kind,
            local: self.operation.sent_item.as_deref(),
            superseded: self.is_superseded(),
            uncertain,
        };
        store_error(conn, self.table, &self.operation, &failed, failure)
    }
}
