//! Running an app's migrations under change capture.
//!
//! A migration that rebuilds a table would fire the capture triggers and foreign key actions for every row and
//! queue deletions for the server. So the triggers are gone while migrations run; opening the store, which holds
//! the transaction and has foreign keys off, makes them again and checks the keys before the commit. A crash leaves
//! the old schema with its triggers, and a second process waits.

use diesel::migration::{self, Migration, MigrationSource};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use sync_core::error::{Error, ErrorKind, Result};

use crate::capture;
use crate::failure::BoxedError;
use crate::schema::TableEntry;

/// Runs the pending migrations, if there are any.
///
/// # Errors
///
/// [`ErrorKind::SchemaMismatch`] with the migration's error as its source.
pub(crate) fn run_pending(
    conn: &mut SqliteConnection,
    migrations: &EmbeddedMigrations,
    tables: &[TableEntry],
) -> Result<()> {
    let source = Borrowed(migrations);
    if !conn.has_pending_migration(source).map_err(failed)? {
        return Ok(());
    }
    for table in tables {
        capture::remove(conn, table.schema())?;
    }
    conn.run_pending_migrations(source).map(|_| ()).map_err(failed)
}

/// Migrations that can be asked for more than once.
#[derive(Clone, Copy)]
struct Borrowed<'m>(&'m EmbeddedMigrations);

impl MigrationSource<Sqlite> for Borrowed<'_> {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Sqlite>>>> {
        self.0.migrations()
    }
}

fn failed(source: BoxedError) -> Error {
    Error::new(ErrorKind::SchemaMismatch, "a migration failed and was rolled back").with_source(source)
}
