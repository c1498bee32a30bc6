//! Storing what a pull brings (behaviour 7 and 17.3).

use super::default;
use super::state::{Quarantined, State, TableState, Token};
use crate::entity::TableSchema;
use crate::error::Result;
use crate::evaluate;
use crate::page::{WireRow, WireTableRow, for_each_row, raw_rows};
use crate::predicate::Predicate;
use crate::protocol::SystemNames;
use crate::row::Row;
use crate::store::{Applied, DeltaToken, PullBatch, PullStart, QueryKey};

pub(super) fn begin(
    state: &mut State,
    schema: &'static TableSchema,
    query: Option<QueryKey>,
) -> Result<PullStart> {
    let table = state.table_mut(schema)?;
    retry_quarantine(table)?;
    let Some(query) = query else { return Ok(PullStart::default()) };
    let restarted =
        table.tokens.get(&query.query_id).is_some_and(|token| token.fingerprint != query.fingerprint);
    if restarted {
        table.tokens.remove(&query.query_id);
    }
    let token = table.tokens.get(&query.query_id).map(|token| token.token.clone());
    Ok(PullStart { token, restarted })
}

pub(super) fn apply(state: &mut State, batch: PullBatch) -> Result<Applied> {
    let table = state.table_mut(batch.table)?;
    let mut applied = Applied::default();
    for page in &batch.pages {
        let rest = batch.local_rest.as_ref();
        apply_body(table, &page.body, page.names, rest, &mut applied)?;
    }
    if let (Some(query), Some(token)) = (batch.query, batch.token) {
        store_token(table, query, token);
    }
    Ok(applied)
}

fn apply_body(
    table: &mut TableState,
    body: &[u8],
    names: &'static SystemNames,
    rest: Option<&Predicate>,
    applied: &mut Applied,
) -> Result<()> {
    let raw = raw_rows(body).map_err(|error| error.with_table(table.schema.name))?;
    let mut raw = raw.into_iter();
    for_each_row(body, table.schema, names, |wire| {
        let raw = raw.next().unwrap_or_default();
        apply_row(table, &wire, raw, names, rest, applied);
        Ok(())
    })
}

fn apply_row(
    table: &mut TableState,
    wire: &WireRow<'_>,
    raw: &str,
    names: &'static SystemNames,
    rest: Option<&Predicate>,
    applied: &mut Applied,
) {
    let schema = table.schema;
    let Some(server) = wire.to_row() else {
        applied.ignored += 1;
        return;
    };
    let id = server.id.clone();
    // Whatever waits in quarantine is older than this row.
    table.quarantine.remove(&id);
    if wire.fault.is_some() && !server.deleted {
        table.quarantine.insert(id, Quarantined { raw: raw.to_owned(), names });
        applied.quarantined += 1;
    } else if table.entries.contains_key(&id) {
        // L-14, L-15: a row with an operation is not touched.
        let known = table.newest(&id).is_some_and(|newest| {
            server.version.is_some() && server.version == newest.version && server.deleted == newest.deleted
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
        if same {
            applied.unchanged += 1;
        } else {
            local.overlay(schema, &server);
            applied.changed += 1;
        }
    } else if rest
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
        apply_body(table, body.as_bytes(), waiting.names, None, &mut Applied::default())?;
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
