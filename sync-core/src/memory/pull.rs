//! Storing what a pull brings (behaviour 7 and 17.3).

use std::collections::BTreeSet;

use super::default;
use super::state::{Quarantined, State, TableState, Token};
use crate::entity::TableSchema;
use crate::error::Result;
use crate::evaluate;
use crate::page::{WireRow, WireTableRow, for_each_row, raw_rows};
use crate::predicate::Predicate;
use crate::protocol::SystemNames;
use crate::row::Row;
use crate::store::{Applied, DeltaToken, MAX_REFETCH, PullBatch, PullStart, QueryKey};

pub(super) fn begin(
    state: &mut State,
    schema: &'static TableSchema,
    query: Option<QueryKey>,
) -> Result<PullStart> {
    let table = state.table_mut(schema)?;
    retry_quarantine(table)?;
    let refetch = table.refetch.iter().take(MAX_REFETCH).cloned().collect();
    let Some(query) = query else { return Ok(PullStart { refetch, ..PullStart::default() }) };
    let restarted =
        table.tokens.get(&query.query_id).is_some_and(|token| token.fingerprint != query.fingerprint);
    if restarted {
        table.tokens.remove(&query.query_id);
    }
    let token = table.tokens.get(&query.query_id).map(|token| token.token.clone());
    Ok(PullStart { token, restarted, refetch })
}

pub(super) fn apply(state: &mut State, batch: PullBatch) -> Result<Applied> {
    let table = state.table_mut(batch.table)?;
    let mut absent: BTreeSet<String> = batch.fetched.iter().cloned().collect();
    let mut applying = Applying {
        rest: batch.local_rest.as_ref(),
        fetched: Forced::These(&batch.fetched),
        applied: Applied::default(),
    };
    for page in &batch.pages {
        for row in page.summary.rows() {
            row.id.map(|id| absent.remove(id));
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
    if let (Some(query), Some(token)) = (batch.query, batch.token) {
        store_token(table, query, token);
    }
    Ok(applied)
}

/// Which rows are stored even in a version that is known.
#[derive(Clone, Copy)]
enum Forced<'a> {
    These(&'a [String]),
    All,
}

/// A running application of pages.
struct Applying<'a> {
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
        let applied = &mut self.applied;
        // Whatever waits in quarantine is older than this row.
        table.quarantine.remove(&id);
        if wire.fault.is_some() && !server.deleted {
            table.quarantine.insert(id, Quarantined { raw: raw.to_owned(), names });
            applied.quarantined += 1;
        } else if table.entries.contains_key(&id) {
            // L-14, L-15: a row with an operation is not touched.
            let known = table.newest(&id).is_some_and(|newest| {
                server.version.is_some()
                    && server.version == newest.version
                    && server.deleted == newest.deleted
            });
            if known {
                applied.unchanged += 1;
            } else {
                table.learn(&id, &server);
                applied.kept_local += 1;
            }
        } else if server.deleted {
            remove(table, &server, applied);
        } else if let Some(local) = table.rows.get_mut(&id) {
            let same = server.version.is_some() && server.version == local.version;
            if same && !is_forced {
                applied.unchanged += 1;
            } else {
                local.overlay(schema, &server);
                applied.changed += 1;
            }
        } else if self
            .rest
            .is_some_and(|rest| !evaluate::matches(&rest.node, &WireTableRow { table: schema, row: wire }))
        {
            applied.filtered += 1;
        } else {
            let mut row = server;
            if default::complete(schema, &mut row).is_some() {
                table.quarantine.insert(id, Quarantined { raw: raw.to_owned(), names });
                applied.quarantined += 1;
            } else {
                table.rows.insert(id, row);
                applied.added += 1;
            }
        }
    }
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

/// L-24: each pull tries the rows again that could not be stored.
fn retry_quarantine(table: &mut TableState) -> Result<()> {
    for (_, waiting) in std::mem::take(&mut table.quarantine) {
        let body = format!("[{}]", waiting.raw);
        let mut applying = Applying { rest: None, fetched: Forced::All, applied: Applied::default() };
        applying.body(table, body.as_bytes(), waiting.names)?;
    }
    Ok(())
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
