//! The list of synced entities, made by `sync_schema!`.

use std::fmt;

use sync_core::diesel::DieselEntity;
use sync_core::entity::TableSchema;

/// The synced entities of an app; implemented by [`sync_schema!`](crate::sync_schema).
pub trait SyncSchema: Send + Sync + 'static {
    /// One entry per entity.
    const TABLES: &'static [TableEntry];
}

/// An entity with its type erased.
#[derive(Clone, Copy)]
pub struct TableEntry {
    schema: &'static TableSchema,
}

impl TableEntry {
    /// The entry of entity `E`.
    pub const fn of<E: DieselEntity>() -> Self {
        Self { schema: E::SCHEMA }
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
