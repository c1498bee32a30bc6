//! The list of synced entities, made by `sync_schema!`, and what it says about the database's tables.

use std::fmt;

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use sync_core::diesel::DieselEntity;
use sync_core::entity::TableSchema;
use sync_core::error::Result;

pub(crate) use self::check::{check, check_rows};
pub use self::create::create_table_sql;
#[cfg(feature = "migration")]
pub(crate) use self::{
    check::{check_list, fits},
    create::{column_sql, type_name},
};

use crate::apply::upsert::{Chunk, write_chunk};
use crate::capture;

mod check;
mod create;
pub(crate) mod releases;

/// Removes the capture triggers of these entities' tables, where they exist, for a migration about to alter the
/// tables: a rebuild under triggers would queue deletions for the server. Opening the store makes them again;
/// call it only in [`DieselStore::open_with`](crate::store::DieselStore::open_with).
///
/// # Errors
///
/// `Store` when the database fails.
pub fn remove_capture(conn: &mut SqliteConnection, tables: &[TableEntry]) -> Result<()> {
    tables.iter().try_for_each(|entry| capture::remove(conn, entry.schema()))
}

/// The synced entities of an app; implemented by [`sync_schema!`](crate::sync_schema).
pub trait SyncSchema: Send + Sync + 'static {
    /// One entry per entity.
    const TABLES: &'static [TableEntry];

    /// The tables of the entities, for a server or for tools.
    fn schemas() -> impl Iterator<Item = &'static TableSchema> {
        Self::TABLES.iter().map(TableEntry::schema)
    }
}

/// An entity with its type erased.
#[derive(Clone, Copy)]
pub struct TableEntry {
    schema: &'static TableSchema,
    /// Stores rows by statements prepared for this entity alone.
    pub(crate) write_chunk: fn(&mut SqliteConnection, &Chunk<'_>) -> QueryResult<usize>,
}

impl TableEntry {
    /// The entry of entity `E`.
    pub const fn of<E: DieselEntity>() -> Self {
        Self { schema: E::SCHEMA, write_chunk: write_chunk::<E> }
    }

    /// The entity's table.
    pub const fn schema(&self) -> &'static TableSchema {
        self.schema
    }
}

impl fmt::Debug for TableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TableEntry").field(&self.schema.name).finish()
    }
}
