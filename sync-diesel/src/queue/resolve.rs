//! Resolving a recorded error or a conflict that a pull showed (K-08 to K-15, K-20), by a handler during the push or
//! by the app later.

use diesel::sqlite::SqliteConnection;
use sync_core::check;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::{
    FailureClass, OperationError, OperationKey, OperationKind, OperationState, ServerMayHold, merge_answer,
};
use sync_core::row::Row;
use sync_core::store::{Failure, OpenConflict, Resolution, Resolver, is_base_shown, is_in_conflict};

use self::kind::KindChange;
use super::history;
use super::parking::{park, unpark};
use super::record::{QueuedOperation, Remainder, drop_error, find, load, note_refetch, remove, store};
use crate::apply::copies::{self, Copy};
use crate::apply::{drop_extra, store_extra};
use crate::failure::OrStore;
use crate::statement::{Bind, run};
use crate::synced::{SyncedTable, Tables, overlay};
use crate::system;

mod kind;

/// Resolves what is to be decided about an operation.
///
/// # Errors
///
/// `OperationChanged` when the key no longer names an operation with something to decide (K-12, K-13).
pub(crate) fn resolve(
    conn: &mut SqliteConnection,
    tables: &Tables,
    key: &OperationKey,
    resolution: &Resolution,
    by: Resolver,
) -> Result<()> {
    let changed = || {
        Error::new(ErrorKind::OperationChanged, "the operation or its error has changed since it was read")
            .with_table(key.table)
            .with_item(&key.item_id)
    };
    let table = tables.get(key.table)?;
    let operation = find(conn, table.schema.name, &key.item_id)?
        .filter(|operation| operation.seq == key.seq && operation.revision == key.revision)
        .ok_or_else(changed)?;
    let Undecided { failure, is_parked } = undecided(conn, tables, table, &operation)?.ok_or_else(changed)?;
    match resolution {
        Resolution::Leave => return Ok(()),
        Resolution::Park if is_parked => return Ok(()),
        Resolution::Unpark if !is_parked => return Ok(()),
        _ => {}
    }
    check::check_resolution(table.schema, operation.kind()?, &operation.item_id, resolution)?;
    history::remember(conn, table, &operation, &failure, resolution, by)?;
    system::exempt(conn, |conn| {
        if operation.state()? == OperationState::Attempted {
            apply_in_flight(conn, table, &operation, &failure, resolution)
        } else {
            apply(conn, table, &operation, &failure, resolution, Retake::NextPush)
        }
    })
    .map_err(|error| error.with_table(table.schema.name).with_item(&operation.item_id))
}

/// What is to be decided about an operation.
struct Undecided {
    failure: Failure,
    is_parked: bool,
}

/// The recorded error of an operation, or else what the newest server copy says as an error (K-20).
fn undecided(
    conn: &mut SqliteConnection,
    tables: &Tables,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<Option<Undecided>> {
    let of_row = [table.schema.name.into(), (&operation.item_id).into()];
    let error = super::errors(conn, tables, "e.table_name = ? AND e.item_id = ?", &of_row)?.pop();
    if let Some(error) = error {
        let OperationError { class, status, remote, parked, .. } = error;
        let failure = Failure { class, status, message: String::new(), remote };
        return Ok(Some(Undecided { failure, is_parked: parked }));
    }
    let newest = copies::newest(conn, table, &operation.item_id)?;
    let Some(newest) = newest else { return Ok(None) };
    if !is_in_conflict(table.schema, &operation.describe(table.schema)?, Some(&newest)) {
        return Ok(None);
    }
    let class = if newest.deleted { FailureClass::Gone } else { FailureClass::Conflict };
    let failure = Failure { class, status: None, message: String::new(), remote: Some(newest) };
    Ok(Some(Undecided { failure, is_parked: false }))
}

/// The operations about which something is to be decided, with what is known of their rows.
pub(crate) fn conflicts(
    conn: &mut SqliteConnection,
    tables: &Tables,
    wanted: Option<&str>,
) -> Result<Vec<OpenConflict>> {
    // Only an operation with an error or a server copy can be in conflict.
    let mut condition = String::from(
        "(EXISTS (SELECT 1 FROM \"__errors\" e WHERE e.table_name = \"__operations\".table_name
          AND e.item_id = \"__operations\".item_id)
          OR EXISTS (SELECT 1 FROM \"__newer\" n WHERE n.table_name = \"__operations\".table_name
          AND n.item_id = \"__operations\".item_id)
          OR EXISTS (SELECT 1 FROM \"__shadow\" s WHERE s.table_name = \"__operations\".table_name
          AND s.item_id = \"__operations\".item_id
          AND (s.deleted <> 0 OR s.version IS NOT \"__operations\".base_version)))",
    );
    let mut binds: Vec<Bind<'_>> = Vec::new();
    if let Some(name) = wanted {
        condition.push_str(" AND table_name = ?");
        binds.push(name.into());
    }
    condition.push_str(" ORDER BY seq");
    let mut open = Vec::new();
    for stored in load(conn, &condition, &binds)? {
        // Operations of a table that is no longer in the schema stay, out of sight.
        let Some(table) = tables.find(&stored.table_name) else { continue };
        let id = &stored.item_id;
        let operation = stored.describe(table.schema)?;
        let of_row = [table.schema.name.into(), id.into()];
        let error = super::errors(conn, tables, "e.table_name = ? AND e.item_id = ?", &of_row)?.pop();
        let is_damaged = error.as_ref().is_some_and(|error| error.class.is_local_damage());
        let readable = |row| if is_damaged { readable(row) } else { row };
        let base = readable(Copy::Base.load(conn, table, id))?;
        let newer = readable(Copy::Newer.load(conn, table, id))?;
        // An answer that the row is gone makes every copy seen before it worthless.
        let gone = error.as_ref().is_some_and(|error| error.class == FailureClass::Gone);
        let is_shown = is_base_shown(operation.kind, operation.base_version.as_deref());
        let remote = if gone { newer } else { newer.or_else(|| base.clone().filter(|_| is_shown)) };
        if error.is_none() && !is_in_conflict(table.schema, &operation, remote.as_ref()) {
            continue;
        }
        let local = readable(match &stored.item {
            Some(text) => table.whole_row(text).map(Some),
            None => table.find(conn, id),
        })?;
        open.push(OpenConflict { table: table.schema, operation, error, base, local, remote });
    }
    Ok(open)
}

/// What can be read of a row whose operation is known to be damaged (P-20i).
fn readable(row: Result<Option<Row>>) -> Result<Option<Row>> {
    match row {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        row => row,
    }
}

/// Which push may take a resolved operation again.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Retake {
    SamePush,
    NextPush,
}

/// Applies a resolution to a failed operation.
pub(super) fn apply(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    resolution: &Resolution,
    retake: Retake,
) -> Result<()> {
    match resolution {
        Resolution::Leave => Ok(()),
        Resolution::Park => park(conn, table, operation, failure),
        Resolution::Unpark => unpark(conn, operation),
        Resolution::TakeRemote => take_remote(conn, table, operation, failure),
        Resolution::KeepLocal => {
            let seen = Seen::of(conn, table, operation, failure)?;
            take_untouched_columns(conn, table, operation, seen.as_ref())?;
            keep_local(conn, table, operation, failure, seen, retake)
        }
        Resolution::Merge(merged) => {
            let seen = Seen::of(conn, table, operation, failure)?;
            take_untouched_columns(conn, table, operation, seen.as_ref())?;
            write_columns(conn, table, &operation.item_id, merged)?;
            keep_local(conn, table, operation, failure, seen, retake)?;
            match &merged.version {
                Some(version) => set_base_version(conn, operation, version),
                None => Ok(()),
            }
        }
        Resolution::Store(row) => store_row(conn, table, operation, row),
        Resolution::ChangeKind { kind, item, version } => {
            let change = KindChange { kind: *kind, item: item.as_ref(), version: version.as_deref() };
            kind::change(conn, table, operation, failure, &change, retake)
        }
    }
}

fn set_base_version(conn: &mut SqliteConnection, operation: &QueuedOperation, version: &str) -> Result<()> {
    run(
        conn,
        "UPDATE \"__operations\" SET base_version = ? WHERE table_name = ? AND item_id = ?",
        &[version.into(), (&operation.table_name).into(), (&operation.item_id).into()],
    )
    .or_store()
    .map(|_| ())
}

fn unknown_outcome(table: &SyncedTable, operation: &QueuedOperation) -> Error {
    Error::new(
        ErrorKind::Busy,
        "the outcome of the operation is not known yet: push first, or resolve it in another way",
    )
    .with_table(table.schema.name)
    .with_item(&operation.item_id)
}

/// An attempted operation stays attempted until its outcome is known (R1): keeping the local row is a further
/// local change of it, taking another drops it. A merge with the server's row is none: merged before the answer, what
/// was done there would count as done here, and be merged once more.
fn apply_in_flight(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    resolution: &Resolution,
) -> Result<()> {
    match resolution {
        Resolution::Leave => return Ok(()),
        Resolution::Park => return park(conn, table, operation, failure),
        Resolution::Unpark => return unpark(conn, operation),
        Resolution::TakeRemote => return take_remote(conn, table, operation, failure),
        Resolution::Store(row) => return store_row(conn, table, operation, row),
        Resolution::ChangeKind { .. } => return Err(unknown_outcome(table, operation)),
        Resolution::Merge(_) if failure.remote.is_some() => return Err(unknown_outcome(table, operation)),
        Resolution::Merge(merged) => write_columns(conn, table, &operation.item_id, merged)?,
        Resolution::KeepLocal => {}
    }
    drop_error(conn, operation)?;
    let fresh = system::next_seq(conn)?;
    run(
        conn,
        "UPDATE \"__operations\" SET revision = revision + 1, tail_seq = coalesce(tail_seq, ?) WHERE seq = ?",
        &[fresh.into(), operation.seq.into()],
    )
    .or_store()
    .map(|_| ())
}

/// Stores columns of a checked row in the local row; the system columns stay the server's. Local-only columns stay as
/// well: they may have been changed since the decision was made, and no revision tells.
fn write_columns(conn: &mut SqliteConnection, table: &SyncedTable, id: &str, columns: &Row) -> Result<()> {
    let Some(local) = table.find(conn, id)? else { return Ok(()) };
    let sent = table.schema.columns.iter().zip(&columns.values);
    let values = sent.map(|(column, value)| value.clone().filter(|_| !column.local)).collect();
    table.update(conn, &Row { values, ..local }).or_store().map(|_| ())
}

/// K-02, K-10: what the app did not change since the base comes from the server's row, so that sending the local row
/// again overwrites nothing the app never touched.
fn take_untouched_columns(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    seen: Option<&Seen>,
) -> Result<()> {
    let id = &operation.item_id;
    let Some(seen) = seen.filter(|seen| !seen.row.deleted) else { return Ok(()) };
    let Some(local) = table.find(conn, id)? else { return Ok(()) };
    // S-08: what the app does not know it did not change.
    store_extra(conn, table, id, seen.row.extra.as_deref())?;
    let is_shown = is_base_shown(operation.kind()?, operation.base_version.as_deref());
    let Some(base) = Copy::Base.load(conn, table, id)?.filter(|_| is_shown) else { return Ok(()) };
    let values = merge_answer(table.schema, &base, &local, &seen.row).row.values;
    table.update(conn, &Row { values, ..local }).or_store().map(|_| ())
}

/// The server's row that an error shows.
struct Seen {
    /// With what the error's row leaves out as it was known.
    row: Row,
    /// It is the newest copy, as it is unless a pull has brought another since.
    is_newest: bool,
}

impl Seen {
    fn of(
        conn: &mut SqliteConnection,
        table: &SyncedTable,
        operation: &QueuedOperation,
        failure: &Failure,
    ) -> Result<Option<Self>> {
        let Some(remote) = &failure.remote else { return Ok(None) };
        let id = &operation.item_id;
        let newer = Copy::Newer.load(conn, table, id)?.filter(|newer| {
            newer.deleted == remote.deleted && (remote.version.is_none() || remote.version == newer.version)
        });
        if let Some(row) = newer {
            return Ok(Some(Self { row, is_newest: true }));
        }
        let base = Copy::Base.load(conn, table, id)?;
        let mut row = base.unwrap_or_else(|| Row::empty(table.schema, id));
        overlay(table.schema, &mut row, remote);
        Ok(Some(Self { row, is_newest: false }))
    }
}

/// K-10, K-15: sent again on top of the server's version just seen.
fn keep_local(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    seen: Option<Seen>,
    retake: Retake,
) -> Result<()> {
    let kind = operation.kind()?;
    let deletes = kind == OperationKind::Delete;
    let id = operation.item_id.as_str();
    drop_error(conn, operation)?;
    if seen.as_ref().is_some_and(|seen| seen.is_newest) {
        Copy::Newer.drop(conn, table, id)?;
    }
    let again = Remainder {
        seq: operation.seq,
        kind: operation.kind,
        state: OperationState::Pending.as_i64(),
        revision: operation.next_revision()?,
        base_version: operation.base_version.as_deref(),
        item: operation.item.as_deref(),
        server_may_hold: operation.server_may_hold,
        retake: retake == Retake::SamePush,
    };
    let holds_nothing = ServerMayHold::No.as_i64();
    let rest = match failure.remote.as_ref().zip(seen) {
        Some((remote, seen)) if !remote.deleted || deletes => {
            Copy::Base.store(conn, table, &seen.row)?;
            let kind = if deletes { OperationKind::Delete } else { OperationKind::Update };
            Remainder {
                kind: kind.as_i64(),
                base_version: remote.version.as_deref(),
                server_may_hold: holds_nothing,
                ..again
            }
        }
        // The server's row is deleted: with its version it can be revived.
        Some((remote, seen)) => {
            match &remote.version {
                Some(_) => Copy::Base.store(conn, table, &seen.row)?,
                None => Copy::Base.drop(conn, table, id)?,
            }
            Remainder {
                kind: OperationKind::Insert.as_i64(),
                base_version: remote.version.as_deref(),
                server_may_hold: holds_nothing,
                ..again
            }
        }
        None if !deletes && matches!(failure.class, FailureClass::Gone | FailureClass::Conflict) => {
            Copy::Base.drop(conn, table, id)?;
            Remainder {
                kind: OperationKind::Insert.as_i64(),
                base_version: None,
                server_may_hold: match failure.class {
                    FailureClass::Gone => holds_nothing,
                    _ => operation.server_may_hold,
                },
                ..again
            }
        }
        // Refused for another reason than the server's row: the same again.
        None => again,
    };
    store(conn, operation.seq, &rest)
}

/// What is known of the server's row.
enum Known {
    Row(Row),
    Absent,
    Unknown,
}

/// K-08, K-09, K-14: the newest server copy known becomes the local row, and the operation is dropped.
fn take_remote(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
) -> Result<()> {
    let id = operation.item_id.as_str();
    // P-20i: what was kept of the row may be damaged as well.
    let known = if failure.class.is_local_damage() {
        Known::Unknown
    } else {
        newest_known(conn, table, operation, failure)?
    };
    drop_operation(conn, table, operation)?;
    if let Known::Unknown = known {
        remove_row(conn, table, id)?;
        return note_refetch(conn, table.schema.name, id);
    }
    let local = kept_or_local(conn, table, operation)?;
    match (known, local) {
        (Known::Row(server), Some(mut row)) if !server.deleted || table.schema.keep_deleted => {
            overlay(table.schema, &mut row, &server);
            put_row(conn, table, &row)
        }
        _ => remove_row(conn, table, id),
    }
}

/// K-08: the given row over the newest copy known; the operation is dropped.
fn store_row(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    given: &Row,
) -> Result<()> {
    let id = operation.item_id.as_str();
    let newest = copies::newest(conn, table, id)?;
    let local = kept_or_local(conn, table, operation)?;
    drop_operation(conn, table, operation)?;
    if given.deleted && !table.schema.keep_deleted {
        return remove_row(conn, table, id);
    }
    let mut row = local.unwrap_or_else(|| Row::empty(table.schema, id));
    if let Some(newest) = newest {
        overlay(table.schema, &mut row, &newest);
    }
    for ((column, value), given) in table.schema.columns.iter().zip(&mut row.values).zip(&given.values) {
        if given.is_some() && (!column.local || value.is_none()) {
            value.clone_from(given);
        }
    }
    // The sent columns are there already; this takes the system columns.
    overlay(table.schema, &mut row, given);
    put_row(conn, table, &row)
}

/// The local row; of a queued delete the row as it was deleted.
fn kept_or_local(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<Option<Row>> {
    match table.find(conn, &operation.item_id)? {
        Some(row) => Ok(Some(row)),
        None => operation.item.as_deref().map(|text| table.whole_row(text)).transpose(),
    }
}

/// Writes a whole row with its unknown members, whether it is there or not.
fn put_row(conn: &mut SqliteConnection, table: &SyncedTable, row: &Row) -> Result<()> {
    table.put(conn, row).or_store()?;
    store_extra(conn, table, &row.id, row.extra.as_deref())
}

fn newest_known(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
) -> Result<Known> {
    // The row the error shows is in it, unless a pull has brought another since.
    let mut server = Copy::Newer.load(conn, table, &operation.item_id)?;
    if server.is_none() && failure.class == FailureClass::Gone {
        return Ok(Known::Absent);
    }
    if server.is_none() {
        let is_shown = is_base_shown(operation.kind()?, operation.base_version.as_deref());
        server = Copy::Base.load(conn, table, &operation.item_id)?.filter(|_| is_shown);
    }
    if let Some(server) = server {
        let is_unseen = matches!(failure.class, FailureClass::Conflict | FailureClass::Handler);
        if is_unseen && failure.remote.is_none() {
            // Somebody has a newer one, or it is gone.
            note_refetch(conn, table.schema.name, &operation.item_id)?;
        }
        return Ok(Known::Row(server));
    }
    let is_refused_insert = operation.kind()? == OperationKind::Insert
        && operation.server_may_hold()? == ServerMayHold::No
        && failure.class == FailureClass::Refused;
    Ok(if is_refused_insert { Known::Absent } else { Known::Unknown })
}

pub(super) fn drop_operation(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
) -> Result<()> {
    remove(conn, operation)?;
    copies::drop_both(conn, table, &operation.item_id)
}

fn remove_row(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    table.delete(conn, id).or_store()?;
    drop_extra(conn, table, id)
}
