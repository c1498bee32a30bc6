//! Purge: removing rows from the device alone (behaviour 8).

use super::pull;
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate;
use crate::row::{Row, TableRow};
use crate::store::{Purge, Purged};

pub(super) fn run(state: &mut State, purge: Purge) -> Result<Purged> {
    let table = state.table_mut(purge.predicate.table)?;
    let schema = table.schema;
    if !purge.force && !table.entries.is_empty() {
        let message = format!("{} operations are not pushed yet", table.entries.len());
        return Err(Error::new(ErrorKind::PendingOperations, message).with_table(schema.name));
    }
    let matches = |row: &Row| evaluate::matches(&purge.predicate.node, &TableRow { table: schema, row });

    let rows: Vec<String> =
        table.rows.iter().filter(|(_, row)| matches(row)).map(|(id, _)| id.clone()).collect();
    // G-06: a queued delete is judged by the row it deleted.
    let deleted: Vec<String> = table
        .entries
        .iter()
        .filter(|(_, entry)| entry.kept.as_ref().is_some_and(matches))
        .map(|(id, _)| id.clone())
        .collect();

    let mut purged = Purged { rows: rows.len() as u64, operations: 0 };
    for id in rows.iter().chain(&deleted) {
        table.rows.remove(id);
        if table.entries.contains_key(id) {
            table.forget_operation(id);
            purged.operations += 1;
        }
        table.quarantine.remove(id);
        table.refetch.remove(id);
        table.acknowledged.remove(id);
    }
    if purge.predicate.node.is_always() {
        table.quarantine.clear();
        table.refetch.clear();
        table.full_pulls.clear();
        if purge.keep_tokens {
            // No row is left that could have left unseen.
            for (query_id, wanted) in &mut table.queries {
                let instant = table.tokens.get(query_id).map(|token| token.token.instant);
                wanted.feed = instant.or(wanted.feed);
            }
        } else {
            table.queries.clear();
        }
    }
    if !purge.keep_tokens {
        pull::drop_tokens(table, None);
    }
    Ok(purged)
}
