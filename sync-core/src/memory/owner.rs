//! Whose queue it is (behaviour C-12).

use super::pull;
use super::state::{State, TableState};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::FailureClass;
use crate::store::{OtherAccount, Owner};

pub(super) fn claim(state: &mut State, owner: Owner, answer: OtherAccount) -> Result<u64> {
    let known = state.owner.clone().unwrap_or_else(|| owner.clone());
    if known.includes(&owner) {
        state.owner = Some(owner);
        return Ok(0);
    }
    let waiting: u64 = state.all().map(|table| table.entries.len() as u64).sum();
    if waiting > 0 && answer == OtherAccount::Refuse {
        return Err(Error::new(
            ErrorKind::OtherAccount,
            format!("{waiting} local changes wait for another account or service"),
        ));
    }
    let schemas: Vec<&'static TableSchema> = state.all().map(|table| table.schema).collect();
    for schema in schemas {
        let table = state.table_mut(schema)?;
        if answer == OtherAccount::Discard {
            let ids: Vec<String> = table.entries.keys().cloned().collect();
            ids.iter().for_each(|id| discard(table, id));
        }
        pull::reset(table, None);
    }
    state.owner = Some(owner);
    Ok(if answer == OtherAccount::Discard { waiting } else { 0 })
}

/// Drops an operation: its row becomes the newest server copy known, or goes.
fn discard(table: &mut TableState, id: &str) {
    // An answer that the row is gone makes every copy seen before it worthless.
    let gone = table.errors.get(id).is_some_and(|error| error.class == FailureClass::Gone);
    let server = if gone { table.newer.get(id).cloned() } else { table.newest(id).cloned() };
    let kept = table.entries.get(id).and_then(|entry| entry.kept.clone());
    table.forget_operation(id);
    let local = table.rows.remove(id).or(kept);
    if let (Some(server), Some(mut row)) = (server, local)
        && (!server.deleted || table.schema.keep_deleted)
    {
        row.overlay(table.schema, &server);
        table.rows.insert(id.to_owned(), row);
    }
}
