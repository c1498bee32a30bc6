//! The one entity of the app, its schema and its migrations.

use chrono::{DateTime, Utc};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sync_diesel::prelude::*;

/// Something to do. Table `TodoItem`, locally and on the server; Diesel module `todo`.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
pub(crate) struct Todo {
    /// What to do.
    pub(crate) text: String,
    /// Whether it is done.
    pub(crate) complete: bool,
    /// When it must be done.
    pub(crate) due_at: Option<DateTime<Utc>>,
}

impl Todo {
    /// Something new to do, any time.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), complete: false, due_at: None }
    }
}

sync_schema!(pub(crate) AppSchema: Todo);

/// The migrations of the devices' databases.
pub(crate) const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
