//! Whose queue it is (C-12).

use diesel::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::FailureClass;
use sync_core::row::Row;
use sync_core::store::{OtherAccount, Owner};

use super::record::{QueuedOperation, load, note_refetch};
use super::resolve::drop_operation;
use crate::apply::copies::{self, Copy};
use crate::apply::{drop_extra, store_extra, token};
use crate::failure::{OrStore, is_about_the_row};
use crate::statement::query;
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

const ENDPOINT: &str = "endpoint";
const ACCOUNT: &str = "account";

/// The owner, once there is one.
pub(crate) fn find(conn: &mut SqliteConnection) -> Result<Option<Owner>> {
    let Some(endpoint) = system::setting(conn, ENDPOINT)? else { return Ok(None) };
    Ok(Some(Owner { endpoint, account: system::setting(conn, ACCOUNT)? }))
}

/// Makes the queue that of `owner`; gives the number of operations dropped.
pub(crate) fn claim(
    conn: &mut SqliteConnection,
    tables: &Tables,
    owner: &Owner,
    answer: OtherAccount,
) -> Result<u64> {
    let known = find(conn)?;
    if known.as_ref() == Some(owner) {
        return Ok(0);
    }
    let mut dropped = 0;
    if known.is_some_and(|known| !known.includes(owner)) {
        let waiting = super::pending(conn, None)?;
        if waiting > 0 && answer == OtherAccount::Refuse {
            return Err(Error::new(
                ErrorKind::OtherAccount,
                format!("{waiting} local changes wait for another account or service"),
            ));
        }
        if answer == OtherAccount::Discard {
            dropped = system::exempt(conn, |conn| discard_all(conn, tables))?;
        }
        for table in tables.iter() {
            token::reset(conn, table.schema.name, None)?;
        }
    }
    system::set_setting(conn, ENDPOINT, Some(&owner.endpoint))?;
    system::set_setting(conn, ACCOUNT, owner.account.as_deref())?;
    Ok(dropped)
}

fn discard_all(conn: &mut SqliteConnection, tables: &Tables) -> Result<u64> {
    // From the last to the first: a row that came back may need what a later change took, as a unique value.
    let operations = load(conn, "1 ORDER BY seq DESC", &[])?;
    for operation in &operations {
        match tables.find(&operation.table_name) {
            Some(table) => discard(conn, table, operation)?,
            // Its table is no longer in the schema, so nothing else is known of it.
            None => super::record::remove(conn, operation)?,
        }
    }
    Ok(operations.len() as u64)
}

/// The row becomes the newest server copy known, or goes. Where the database refuses that, or cannot read what was kept,
/// the next pull reads the row: neither a constraint of the app's tables nor damage must keep another account from
/// beginning.
fn discard(conn: &mut SqliteConnection, table: &SyncedTable, operation: &QueuedOperation) -> Result<()> {
    let id = operation.item_id.as_str();
    let known = known(conn, table, operation);
    drop_operation(conn, table, operation)?;
    let (server, local) = match known {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            note_refetch(conn, table.schema.name, id)?;
            (None, None)
        }
        known => known?,
    };
    if let (Some(server), Some(mut row)) = (server, local)
        && (!server.deleted || table.schema.keep_deleted)
    {
        overlay(table.schema, &mut row, &server);
        if is_taken(table.put(conn, &row))? {
            return store_extra(conn, table, id, row.extra.as_deref());
        }
        note_refetch(conn, table.schema.name, id)?;
    }
    if is_taken(table.delete(conn, id))? {
        return drop_extra(conn, table, id);
    }
    note_refetch(conn, table.schema.name, id)
}

/// The newest server copy known and the local row, of a queued delete as it was deleted.
fn known(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<(Option<Row>, Option<Row>)> {
    let id = operation.item_id.as_str();
    let gone = query::<BigInt>(
        "SELECT EXISTS (SELECT 1 FROM \"__errors\" WHERE table_name = ? AND item_id = ? AND class = ?)",
        &[table.schema.name.into(), id.into(), FailureClass::Gone.as_str().into()],
    )
    .get_result::<i64>(conn)
    .or_store()?;
    // An answer that the row is gone makes every copy seen before it worthless.
    let server =
        if gone != 0 { Copy::Newer.load(conn, table, id)? } else { copies::newest(conn, table, id)? };
    let local = match table.find(conn, id)? {
        Some(row) => Some(row),
        None => operation.item.as_deref().map(|text| table.whole_row(text)).transpose()?,
    };
    Ok((server, local))
}

/// Whether the database took a row; false where a constraint forbids it.
fn is_taken<T>(outcome: QueryResult<T>) -> Result<bool> {
    match outcome {
        Err(error) if is_about_the_row(&error) => Ok(false),
        outcome => outcome.or_store().map(|_| true),
    }
}
