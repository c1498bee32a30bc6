//! Local writes: the row and its operation in one step (behaviour 3 and 17.1).

use super::default;
use super::state::{Entry, State};
use crate::check;
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Change, Collapsed, OperationKind, OperationState, Queued, ServerMayHold, collapse};
use crate::row::Row;
use crate::store::{LocalChange, LocalChangeKind};

pub(super) fn write(state: &mut State, change: LocalChange) -> Result<()> {
    match change.kind {
        LocalChangeKind::Insert(row) => insert(state, change.table, row),
        LocalChangeKind::Update(row) => update(state, change.table, &row),
        LocalChangeKind::Delete(id) => delete(state, change.table, &id),
        LocalChangeKind::Undelete(id) => undelete(state, change.table, &id),
    }
}

fn insert(state: &mut State, schema: &'static TableSchema, row: Row) -> Result<()> {
    check::check_row(schema, &row)?;
    // The server alone sets the system columns (K-18).
    let mut row = Row { version: None, updated_at: None, deleted: false, extra: None, ..row };
    if let Some(column) = default::complete(schema, &mut row) {
        return Err(Error::new(ErrorKind::InvalidValue, format!("column {} needs a value", column.name))
            .with_table(schema.name)
            .with_item(&row.id));
    }
    let id = row.id.clone();
    if state.table(schema)?.rows.contains_key(&id) {
        return Err(exists(schema, &id));
    }
    requeue(state, schema, &id, Change::Insert, None)?;
    let table = state.table_mut(schema)?;
    if let Some(base) = table.bases.get(&id) {
        // The row is back, and with it what the server said of it.
        row.take_system_columns(base);
        row.deleted = false;
    }
    table.rows.insert(id, row);
    Ok(())
}

fn update(state: &mut State, schema: &'static TableSchema, change: &Row) -> Result<()> {
    check::check_row(schema, change)?;
    let id = &change.id;
    let old = state.table(schema)?.rows.get(id).cloned().ok_or_else(|| missing(schema, id))?;
    let mut new = old.clone();
    for (value, changed) in new.values.iter_mut().zip(&change.values) {
        if changed.is_some() {
            value.clone_from(changed);
        }
    }
    // R4: a change of nothing that is sent queues nothing.
    if schema.sent_columns().any(|(index, _)| new.values[index] != old.values[index]) {
        let table = state.table(schema)?;
        let carried = change
            .version
            .clone()
            .filter(|carried| !table.is_own_version(id, carried, old.version.as_deref()));
        let of_row = old.version.clone();
        let base_version = carried.or_else(|| of_row.clone());
        let before = Before { base_version: base_version.clone(), row: old };
        requeue(state, schema, id, Change::Update, Some(before))?;
        if let Some(entry) = state.table_mut(schema)?.entries.get_mut(id) {
            lower_base(entry, of_row.as_deref(), base_version);
        }
    }
    state.table_mut(schema)?.rows.insert(id.clone(), new);
    Ok(())
}

fn delete(state: &mut State, schema: &'static TableSchema, id: &str) -> Result<()> {
    check::check_id(schema, id)?;
    let old = state.table(schema)?.rows.get(id).cloned().ok_or_else(|| missing(schema, id))?;
    let before = Before { base_version: old.version.clone(), row: old };
    requeue(state, schema, id, Change::Delete, Some(before))?;
    state.table_mut(schema)?.rows.remove(id);
    Ok(())
}

/// A row marked deleted is live again; an insert with its version revives it on the server (W-09).
fn undelete(state: &mut State, schema: &'static TableSchema, id: &str) -> Result<()> {
    check::check_id(schema, id)?;
    let fresh = state.next_sequence();
    let table = state.table_mut(schema)?;
    let deleted = table.rows.get(id).filter(|row| row.deleted).cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no row with this id is marked deleted")
            .with_table(schema.name)
            .with_item(id)
    })?;
    let entry = match table.entries.get(id) {
        Some(entry) if entry.state == OperationState::Attempted => {
            return Err(Error::new(
                ErrorKind::Busy,
                "the outcome of the row's operation is not known yet: push first",
            )
            .with_table(schema.name)
            .with_item(id));
        }
        // An edit of the deleted row goes with it.
        Some(entry) => Entry { revision: entry.revision + 1, ..entry.clone() },
        None => Entry {
            seq: fresh,
            revision: 1,
            kind: OperationKind::Insert,
            state: OperationState::Pending,
            server_may_hold: ServerMayHold::No,
            base_version: None,
            kept: None,
            sent: None,
            tail_seq: None,
            attempts: 0,
            taken_by: 0,
        },
    };
    let entry = Entry {
        kind: OperationKind::Insert,
        state: OperationState::Pending,
        base_version: deleted.version.clone(),
        ..entry
    };
    table.errors.remove(id);
    let base = table.bases.remove(id).unwrap_or_else(|| deleted.clone());
    if deleted.version.is_some() {
        table.bases.insert(id.to_owned(), base);
    }
    table.entries.insert(id.to_owned(), entry);
    table.rows.insert(id.to_owned(), Row { deleted: false, ..deleted });
    Ok(())
}

/// The row before an update or delete, and the version the change is based on (K-17).
struct Before {
    row: Row,
    base_version: Option<String>,
}

/// Applies the matrix to the operation of a row.
fn requeue(
    state: &mut State,
    schema: &'static TableSchema,
    id: &str,
    change: Change,
    before: Option<Before>,
) -> Result<()> {
    let queued = state.table(schema)?.entries.get(id).map(|entry| Queued {
        kind: entry.kind,
        state: entry.state,
        server_may_hold: entry.server_may_hold,
        sent: entry.sent.as_ref().map(|sent| sent.kind),
    });
    match collapse(queued, change) {
        Collapsed::New(kind) => {
            let seq = state.next_sequence();
            let table = state.table_mut(schema)?;
            let (row, base_version) = before.map(|before| (before.row, before.base_version)).unzip();
            let entry = Entry {
                seq,
                revision: 1,
                kind,
                state: OperationState::Pending,
                server_may_hold: ServerMayHold::No,
                base_version: base_version.flatten(),
                kept: row.clone().filter(|_| kind == OperationKind::Delete),
                sent: None,
                tail_seq: None,
                attempts: 0,
                taken_by: 0,
            };
            table.entries.insert(id.to_owned(), entry);
            if let Some(row) = row {
                table.bases.insert(id.to_owned(), row);
            }
        }
        Collapsed::Keep(kind) => {
            // The place of the remainder is that of the first change during the flight.
            let tail_seq = in_flight_without_tail(state, schema, id)?.then(|| state.next_sequence());
            let table = state.table_mut(schema)?;
            table.errors.remove(id);
            if let Some(entry) = table.entries.get_mut(id) {
                change_entry(entry, kind, before);
                entry.tail_seq = entry.tail_seq.or(tail_seq);
            }
        }
        Collapsed::MoveToEnd(kind) => {
            let seq = state.next_sequence();
            let table = state.table_mut(schema)?;
            table.errors.remove(id);
            if let Some(entry) = table.entries.get_mut(id) {
                change_entry(entry, kind, before);
                match entry.state {
                    OperationState::Attempted => entry.tail_seq = Some(seq),
                    _ => entry.seq = seq,
                }
            }
        }
        Collapsed::Vanish => state.table_mut(schema)?.vanish(id, false),
        Collapsed::VanishAndRefetch => state.table_mut(schema)?.vanish(id, true),
        Collapsed::Exists => return Err(exists(schema, id)),
        Collapsed::Missing => return Err(missing(schema, id)),
    }
    Ok(())
}

fn in_flight_without_tail(state: &State, schema: &TableSchema, id: &str) -> Result<bool> {
    Ok(state
        .table(schema)?
        .entries
        .get(id)
        .is_some_and(|entry| entry.state == OperationState::Attempted && entry.tail_seq.is_none()))
}

/// A further change: next revision; an attempted operation stays attempted (R1).
fn change_entry(entry: &mut Entry, kind: OperationKind, before: Option<Before>) {
    entry.kind = kind;
    entry.revision += 1;
    entry.kept = before.map(|before| before.row).filter(|_| kind == OperationKind::Delete);
    if entry.state != OperationState::Attempted {
        entry.state = OperationState::Pending;
    }
}

/// K-17: an object of an older version, saved over a change that was made on the row's, has not seen what that change
/// stands on. What is under way has its base.
fn lower_base(entry: &mut Entry, of_row: Option<&str>, carried: Option<String>) {
    let stands_on_row = entry.base_version.as_deref() == of_row;
    if entry.kind == OperationKind::Update && entry.state != OperationState::Attempted && stands_on_row {
        entry.base_version = carried;
    }
}

fn exists(schema: &TableSchema, id: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, "a row with this id exists").with_table(schema.name).with_item(id)
}

fn missing(schema: &TableSchema, id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no local row has this id").with_table(schema.name).with_item(id)
}
