//! The one entity of the app and its schema, for the app itself and for `migrations`, which makes its migrations.

use chrono::{DateTime, Utc};
use sync_diesel::prelude::*;

/// Something to do. Table `TodoItem`, locally and on the server; Diesel module `todo`.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
pub struct Todo {
    /// What to do.
    pub text: String,
    /// Whether it is done.
    pub complete: bool,
    /// When it must be done.
    pub due_at: Option<DateTime<Utc>>,
}

impl Todo {
    /// Something new to do, any time.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), complete: false, due_at: None }
    }
}

sync_schema!(pub AppSchema: Todo);

#[cfg(test)]
mod tests {
    use sync_diesel::migration::assert_migrations_current;

    use super::AppSchema;

    #[test]
    fn no_migration_is_missing() {
        assert_migrations_current::<AppSchema>(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
    }
}
