//! Storing what a pull brings (behaviour 7 and 17.3).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::default;
use super::state::{Quarantined, State, TableState, Token};
use crate::entity::TableSchema;
use crate::error::Result;
use crate::evaluate;
use crate::operation::OperationState;
use crate::page::{WireRow, for_each_row, raw_rows};
use crate::predicate::{Node, Predicate, codec};
use crate::protocol::SystemNames;
use crate::row::{Row, TableRow};
use crate::store::{
    Applied, DeltaToken, MAX_REFETCH, PullBatch, PullEnd, PullScope, PullStart, QuarantinedRow, QueryKey,
    is_in_conflict,
};
use crate::wanted::{self, MAX_FULL_PULLS, Wanted};

pub(super) fn begin(state: &mut State, scope: PullScope) -> Result<PullStart> {
    let table = state.table_mut(scope.table)?;
    if scope.mirror {
        table.came.clear();
    }
    remember(table, &scope);
    retry_quarantine(table)?;
    let mut refetch: Vec<_> = table.refetch.iter().map(|(id, refused)| (*refused, id.clone())).collect();
    refetch.sort();
    let refetch = refetch.into_iter().take(MAX_REFETCH).map(|(_, id)| id).collect();
    let Some(query) = scope.query else { return Ok(PullStart { refetch, ..PullStart::default() }) };
    let restarted =
        table.tokens.get(&query.query_id).is_some_and(|token| token.fingerprint != query.fingerprint);
    if restarted {
        drop_tokens(table, Some(&query.query_id));
    }
    let token = table.tokens.get(&query.query_id).map(|token| token.token.clone());
    let oldest = oldest_held(table, &scope.wanted);
    let wanted = table.queries.entry(query.query_id).or_default();
    if token.is_none() && wanted.feed.is_none() {
        wanted.feed = oldest;
    }
    let feed = wanted.feed;
    Ok(PullStart { token, feed, restarted, refetch, refill: false })
}

/// The least change time of the rows here that a query wants, whichever pull brought them: they may have left since. A
/// row with an operation counts whatever it looks like now.
fn oldest_held(table: &TableState, wanted: &str) -> Option<DateTime<Utc>> {
    let (schema, filter) = (table.schema, codec::decode(table.schema, wanted));
    let is_wanted = |row: &Row| {
        filter.as_ref().is_none_or(|node| evaluate::matches(node, &TableRow { table: schema, row }))
    };
    let clean = table.rows.iter().filter(|(id, row)| !table.entries.contains_key(*id) && is_wanted(row));
    let held = clean.map(|(_, row)| row).chain(table.bases.values());
    held.map(|row| row.updated_at.unwrap_or(DateTime::UNIX_EPOCH)).min()
}

/// Forgets the tokens of a table, or one of them. What left may be anywhere: the times the server gave are not trusted
/// any more.
pub(super) fn reset(table: &mut TableState, query_id: Option<&str>) {
    drop_tokens(table, query_id);
    for (_, wanted) in table.queries.iter_mut().filter(|(id, _)| query_id.is_none_or(|wanted| *id == wanted))
    {
        wanted.feed = Some(DateTime::UNIX_EPOCH);
    }
}

/// Drops the tokens of a table, or one of them. Rows of these queries are here, so a feed that was never known is no
/// new one.
pub(super) fn drop_tokens(table: &mut TableState, query_id: Option<&str>) {
    let ids: Vec<String> =
        table.tokens.keys().filter(|id| query_id.is_none_or(|wanted| *id == wanted)).cloned().collect();
    for id in ids {
        table.tokens.remove(&id);
        if let Some(wanted) = table.queries.get_mut(&id) {
            wanted.feed.get_or_insert(DateTime::UNIX_EPOCH);
        }
    }
}

fn remember(table: &mut TableState, scope: &PullScope) {
    if let Some(query) = &scope.query {
        table.queries.entry(query.query_id.clone()).or_default().filter.clone_from(&scope.wanted);
        return;
    }
    let is_full = table.full_pulls.len() >= MAX_FULL_PULLS && !table.full_pulls.contains_key(&scope.wanted);
    let wanted = if is_full { codec::encode(&Node::ALWAYS) } else { scope.wanted.clone() };
    table.full_pulls.insert(wanted, scope.mirror);
}

pub(super) fn apply(state: &mut State, batch: PullBatch) -> Result<Applied> {
    let table = state.table_mut(batch.table)?;
    let mut absent: BTreeSet<String> = batch.fetched.iter().cloned().collect();
    let query_id = batch.query.as_ref().map(|query| query.query_id.clone());
    let mut applying = Applying {
        query_id,
        rest: batch.local_rest.as_ref(),
        fetched: if batch.refill { Forced::All } else { Forced::These(&batch.fetched) },
        applied: Applied::default(),
    };
    for page in &batch.pages {
        for row in page.summary.rows() {
            row.id.map(|id| absent.remove(id));
            table.came.extend(row.id.filter(|_| batch.mirror).map(str::to_owned));
        }
        applying.body(table, &page.body, page.names)?;
    }
    let mut applied = applying.applied;
    for id in absent.iter().filter(|id| !table.entries.contains_key(*id)) {
        applied.removed += u64::from(table.rows.remove(id).is_some());
        table.quarantine.remove(id);
    }
    for id in &batch.fetched {
        table.refetch.remove(id);
    }
    for id in &batch.unread {
        if let Some(refused) = table.refetch.get_mut(id) {
            *refused += 1;
        }
    }
    if let (Some(query), Some(feed)) = (&batch.query, batch.feed)
        && let Some(wanted) = table.queries.get_mut(&query.query_id)
    {
        wanted.feed = wanted.feed.max(Some(feed));
    }
    if let (Some(query), Some(token)) = (batch.query, batch.token) {
        store_token(table, query, token);
    }
    Ok(applied)
}

pub(super) fn finish(state: &mut State, end: PullEnd) -> Result<Applied> {
    let table = state.table_mut(end.scope.table)?;
    if let Some(query) = end.scope.query
        && let Some(token) = table.tokens.get_mut(&query.query_id)
        && token.fingerprint == query.fingerprint
    {
        token.token.server_date = end.server_date.or(token.token.server_date);
    }
    let mut applied = retry_quarantine(table)?;
    if let Some(predicate) = end.mirror {
        let schema = table.schema;
        let came = std::mem::take(&mut table.came);
        let going: Vec<String> = table
            .rows
            .iter()
            .filter(|(id, _)| !came.contains(*id) && !table.entries.contains_key(*id))
            .filter(|(_, row)| evaluate::matches(&predicate.node, &TableRow { table: schema, row }))
            .map(|(id, _)| id.clone())
            .collect();
        for id in going {
            table.rows.remove(&id);
            // A newer form that does not match says why the row did not come, and may be another query's.
            let moved = |waiting: &Quarantined| {
                wanted::is_text_outside(&predicate.node, schema, &waiting.raw, waiting.names)
            };
            if !table.quarantine.get(&id).is_some_and(moved) {
                table.quarantine.remove(&id);
            }
            applied.removed += 1;
        }
    }
    Ok(applied)
}

pub(super) fn quarantined(table: &TableState) -> impl Iterator<Item = QuarantinedRow> {
    table.quarantine.iter().map(|(id, waiting)| QuarantinedRow {
        table: table.schema.name,
        item_id: id.clone(),
        query_id: waiting.query_id.clone(),
        reason: waiting.reason.clone(),
    })
}

/// Which rows are looked into even in a version that is known, and stored if they differ.
#[derive(Clone, Copy)]
enum Forced<'a> {
    These(&'a [String]),
    All,
}

/// A running application of pages.
struct Applying<'a> {
    query_id: Option<String>,
    rest: Option<&'a Predicate>,
    fetched: Forced<'a>,
    applied: Applied,
}

impl Applying<'_> {
    fn body(&mut self, table: &mut TableState, body: &[u8], names: &'static SystemNames) -> Result<()> {
        let raw = raw_rows(body).map_err(|error| error.with_table(table.schema.name))?;
        let mut raw = raw.into_iter();
        for_each_row(body, table.schema, names, |wire| {
            let raw = raw.next().unwrap_or_default();
            self.row(table, &wire, raw, names);
            Ok(())
        })
    }

    fn is_forced(&self, id: &str) -> bool {
        match self.fetched {
            Forced::These(ids) => ids.iter().any(|forced| forced == id),
            Forced::All => true,
        }
    }

    fn row(&mut self, table: &mut TableState, wire: &WireRow<'_>, raw: &str, names: &'static SystemNames) {
        let schema = table.schema;
        let Some(server) = wire.to_row() else {
            self.applied.ignored += 1;
            return;
        };
        let id = server.id.clone();
        let is_forced = self.is_forced(&id);
        let is_outside = self.rest.is_some_and(|rest| wanted::is_outside(&rest.node, schema, wire));
        let is_dirty = table.entries.contains_key(&id);
        let is_new = !is_dirty && !table.rows.contains_key(&id);
        if is_new && is_outside && table.quarantine.contains_key(&id) && wanted(table).may_want(schema, wire)
        {
            // Another query's token may be past it.
            self.applied.filtered += 1;
            return;
        }
        // Whatever waits in quarantine is older than this row.
        let waited = table.quarantine.remove(&id);
        let applied = &mut self.applied;
        if is_new && is_outside {
            applied.filtered += 1;
        } else if let Some(fault) = wire.fault.filter(|_| !server.deleted) {
            let reason = format!("the value of column {} does not fit its type", fault.column.name);
            self.quarantine(table, &id, raw, names, reason, waited);
        } else if is_dirty {
            // L-14, L-15: a row with an operation is not touched.
            let known = table.newest(&id).is_some_and(|newest| {
                server.version.is_some()
                    && server.version == newest.version
                    && server.deleted == newest.deleted
                    && (!matches!(self.fetched, Forced::All) || is_same(schema, newest, &server))
            });
            if known {
                applied.unchanged += 1;
            } else {
                // K-12: a decision about the copy seen before is none about this one.
                let newest = table.newest(&id);
                let is_open = table.entries.get(&id).is_some_and(|entry| {
                    entry.state != OperationState::Attempted
                        && !table.errors.contains_key(&id)
                        && is_in_conflict(schema, &entry.operation(schema, &id), newest)
                });
                table.learn(&id, &server);
                if let Some(entry) = table.entries.get_mut(&id).filter(|_| is_open) {
                    entry.revision += 1;
                }
                applied.kept_local += 1;
            }
        } else if server.deleted {
            remove(table, &server, applied);
        } else if let Some(local) = table.rows.get(&id) {
            let same = server.version.is_some()
                && server.version == local.version
                && (!is_forced || is_same(schema, local, &server));
            let mut new = local.clone();
            new.overlay(schema, &server);
            let matches =
                |rest: &Predicate| evaluate::matches(&rest.node, &TableRow { table: schema, row: &new });
            if same {
                applied.unchanged += 1;
            } else if self.rest.is_some_and(|rest| !matches(rest))
                && wanted(table).has_left(schema, local, &new)
            {
                table.rows.remove(&id);
                applied.evicted += 1;
            } else {
                table.rows.insert(id, new);
                applied.changed += 1;
            }
        } else {
            let mut row = server;
            if let Some(column) = default::complete(schema, &mut row) {
                let reason = format!("column {} needs a value", column.name);
                self.quarantine(table, &id, raw, names, reason, waited);
            } else {
                table.rows.insert(id, row);
                applied.added += 1;
            }
        }
    }

    fn quarantine(
        &mut self,
        table: &mut TableState,
        id: &str,
        raw: &str,
        names: &'static SystemNames,
        reason: String,
        earlier: Option<Quarantined>,
    ) {
        let query_id = self.query_id.clone().or(earlier.and_then(|earlier| earlier.query_id));
        table.quarantine.insert(id.to_owned(), Quarantined { raw: raw.to_owned(), names, query_id, reason });
        self.applied.quarantined += 1;
    }
}

/// Whether the server's row would change nothing in the one here.
fn is_same(schema: &'static TableSchema, here: &Row, server: &Row) -> bool {
    let mut new = here.clone();
    new.overlay(schema, server);
    new == *here
}

fn wanted(table: &TableState) -> Wanted {
    let mut wanted = Wanted::default();
    for query in table.queries.values() {
        wanted.add_query(table.schema, &query.filter);
    }
    for (filter, mirrors) in &table.full_pulls {
        if *mirrors {
            wanted.add_query(table.schema, filter);
        } else {
            wanted.add_full_pull(table.schema, filter);
        }
    }
    wanted
}

/// A tombstone of a clean row (L-11).
fn remove(table: &mut TableState, server: &Row, applied: &mut Applied) {
    let schema = table.schema;
    let Some(local) = table.rows.get_mut(&server.id) else {
        applied.unchanged += 1;
        return;
    };
    if !schema.keep_deleted {
        table.rows.remove(&server.id);
        applied.removed += 1;
    } else if local.deleted && local.version == server.version {
        applied.unchanged += 1;
    } else {
        local.overlay(schema, server);
        applied.removed += 1;
    }
}

/// L-24: each pull tries the rows again that could not be stored. Gives what became of those that wait no longer.
fn retry_quarantine(table: &mut TableState) -> Result<Applied> {
    let schema = table.schema;
    let any = wanted(table).any().map(|node| Predicate { table: schema, node });
    let mut applied = Applied::default();
    for (_, waiting) in std::mem::take(&mut table.quarantine) {
        let body = format!("[{}]", waiting.raw);
        let rest = any.clone().filter(|_| waiting.query_id.is_some());
        let mut applying =
            Applying { query_id: waiting.query_id, rest: rest.as_ref(), fetched: Forced::All, applied };
        applying.body(table, body.as_bytes(), waiting.names)?;
        applied = applying.applied;
    }
    Ok(Applied { quarantined: 0, ..applied })
}

/// T-03: a token of the same query does not go back.
fn store_token(table: &mut TableState, query: QueryKey, new: DeltaToken) {
    let old = table.tokens.remove(&query.query_id).filter(|old| old.fingerprint == query.fingerprint);
    let token = match old {
        Some(Token { token: old, .. }) => DeltaToken {
            instant: old.instant.max(new.instant),
            server_date: new.server_date.or(old.server_date),
        },
        None => new,
    };
    table.tokens.insert(query.query_id, Token { fingerprint: query.fingerprint, token });
}
