//! The bulk path: rows of one entity in prepared multi-row upserts.
//!
//! Diesel prepares its own upserts anew at every call. These fragments have a static query id per entity and
//! number of rows, so that each connection builds their text once.

use std::marker::PhantomData;

use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{QueryResult, RunQueryDsl};
use sync_core::diesel::DieselEntity;
use sync_core::entity::TableSchema;
use sync_core::page::{Cell, WireRow};
use sync_core::time;

use crate::statement::{Bind, quote};

/// Rows in one statement, from large to small.
const LARGE: usize = 64;
const MEDIUM: usize = 8;

/// How many rows to collect before writing them.
pub(crate) const CHUNK: usize = LARGE;

/// A value borrowed from the page; instants and uuids from the chunk's own text.
#[derive(Clone, Copy, Debug)]
enum Slot<'a> {
    NullInteger,
    NullReal,
    NullText,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

/// Complete rows of one table, ready to bind: id, version, change time, deletion mark, then the synced columns.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    slots: Vec<Slot<'a>>,
    width: usize,
}

/// Appends the texts a row's instants and uuids are bound as.
pub(crate) fn write_texts(out: &mut String, row: &WireRow<'_>) {
    if let Some(updated_at) = row.updated_at {
        time::write_sql(out, updated_at);
    }
    for cell in &row.cells {
        match cell {
            Cell::DateTime(instant) => time::write_sql(out, *instant),
            Cell::Uuid(uuid) => {
                out.push_str(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
            }
            _ => {}
        }
    }
}

impl<'a> Chunk<'a> {
    /// Rows of `table` that are all complete; `texts` is what [`write_texts`] wrote for them in this order.
    pub(crate) fn new(table: &TableSchema, rows: &'a [WireRow<'_>], texts: &'a str) -> Self {
        let width = 4 + table.sent_columns().count();
        let mut slots = Vec::with_capacity(rows.len() * width);
        let mut rest = texts;
        for row in rows {
            slots.push(row.id.as_deref().map_or(Slot::NullText, Slot::Text));
            slots.push(row.version.as_deref().map_or(Slot::NullText, Slot::Text));
            slots.push(match row.updated_at {
                Some(_) => Slot::Text(take_instant(&mut rest)),
                None => Slot::NullText,
            });
            slots.push(Slot::Integer(i64::from(row.deleted)));
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                if column.local {
                    continue;
                }
                slots.push(match cell {
                    Cell::Absent | Cell::Null => match Bind::null(column.ty) {
                        Bind::Integer(_) => Slot::NullInteger,
                        Bind::Real(_) => Slot::NullReal,
                        Bind::Text(_) => Slot::NullText,
                    },
                    Cell::Bool(value) => Slot::Integer(i64::from(*value)),
                    Cell::Integer(value) => Slot::Integer(*value),
                    Cell::Real(value) => Slot::Real(*value),
                    Cell::Text(value) => Slot::Text(value),
                    Cell::DateTime(_) => Slot::Text(take_instant(&mut rest)),
                    Cell::Uuid(_) => Slot::Text(take(&mut rest, 36)),
                });
            }
        }
        Self { slots, width }
    }
}

fn take<'a>(rest: &mut &'a str, length: usize) -> &'a str {
    let (taken, left) = rest.split_at(length.min(rest.len()));
    *rest = left;
    taken
}

/// Cuts one instant off: its text ends with the offset that starts with the only plus sign.
fn take_instant<'a>(rest: &mut &'a str) -> &'a str {
    let length = rest.find('+').map_or(rest.len(), |plus| plus + "+00:00".len());
    take(rest, length)
}

/// Writes a chunk of entity `E`; gives the number of rows added or changed. Rows known in the same version are
/// left alone (L-20).
pub(crate) fn write_chunk<E: DieselEntity>(
    conn: &mut SqliteConnection,
    chunk: &Chunk<'_>,
) -> QueryResult<usize> {
    let mut written = 0;
    let mut slots = chunk.slots.as_slice();
    while !slots.is_empty() {
        let rows = slots.len() / chunk.width;
        written += if rows >= LARGE {
            write::<E, LARGE>(conn, &mut slots, chunk.width)?
        } else if rows >= MEDIUM {
            write::<E, MEDIUM>(conn, &mut slots, chunk.width)?
        } else {
            write::<E, 1>(conn, &mut slots, chunk.width)?
        };
    }
    Ok(written)
}

fn write<E: DieselEntity, const N: usize>(
    conn: &mut SqliteConnection,
    slots: &mut &[Slot<'_>],
    width: usize,
) -> QueryResult<usize> {
    let (taken, left) = slots.split_at(N * width);
    let written = Upsert::<E, N> { slots: taken, entity: PhantomData }.execute(conn)?;
    *slots = left;
    Ok(written)
}

struct Upsert<'r, E, const N: usize> {
    slots: &'r [Slot<'r>],
    entity: PhantomData<fn() -> E>,
}

/// The cache key: the entity and the number of rows decide the text.
struct UpsertId<E, const N: usize>(PhantomData<fn() -> E>);

impl<E: DieselEntity, const N: usize> QueryId for Upsert<'_, E, N> {
    type QueryId = UpsertId<E, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<E, const N: usize> RunQueryDsl<SqliteConnection> for Upsert<'_, E, N> {}

impl<E: DieselEntity, const N: usize> QueryFragment<Sqlite> for Upsert<'_, E, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let table = E::SCHEMA;
        out.push_sql("INSERT INTO ");
        out.push_identifier(table.name)?;
        out.push_sql(" (\"id\", \"__version\", \"__updatedAt\", \"__deleted\"");
        for (_, column) in table.sent_columns() {
            out.push_sql(", ");
            out.push_identifier(column.name)?;
        }
        out.push_sql(") VALUES ");
        let width = self.slots.len() / N;
        for (index, slot) in self.slots.iter().enumerate() {
            out.push_sql(match (index, index % width) {
                (0, _) => "(",
                (_, 0) => "), (",
                _ => ", ",
            });
            match slot {
                Slot::Integer(value) => out.push_bind_param::<BigInt, i64>(value)?,
                Slot::Real(value) => out.push_bind_param::<Double, f64>(value)?,
                Slot::Text(value) => out.push_bind_param::<Text, str>(value)?,
                Slot::NullInteger => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None)?,
                Slot::NullReal => out.push_bind_param::<Nullable<Double>, Option<f64>>(&None)?,
                Slot::NullText => out.push_bind_param::<Nullable<Text>, Option<String>>(&None)?,
            }
        }
        out.push_sql(") ON CONFLICT (\"id\") DO UPDATE SET \"__deleted\" = excluded.\"__deleted\"");
        for system in ["\"__version\"", "\"__updatedAt\""] {
            out.push_sql(", ");
            out.push_sql(system);
            out.push_sql(" = coalesce(excluded.");
            out.push_sql(system);
            out.push_sql(", ");
            out.push_identifier(table.name)?;
            out.push_sql(".");
            out.push_sql(system);
            out.push_sql(")");
        }
        for (_, column) in table.sent_columns() {
            let name = quote(column.name);
            out.push_sql(", ");
            out.push_sql(&name);
            out.push_sql(" = excluded.");
            out.push_sql(&name);
        }
        out.push_sql(" WHERE excluded.\"__version\" IS NULL OR excluded.\"__version\" IS NOT ");
        out.push_identifier(table.name)?;
        out.push_sql(".\"__version\"");
        Ok(())
    }
}
