//! Migrations: made from the entities, run under change capture.
//!
//! # Making them
//!
//! With the cargo feature `migration`, [`generate`] compares the entities with a database that the existing
//! migrations build in memory, and writes the difference as a folder of Diesel's (`up.sql`, `down.sql`): tables, with
//! their system columns and an id that is generated, columns, and an index on each column with `belongs_to` or
//! `index`. The text is for review and is the app's from then on. A column that is not null needs
//! `#[sync(default = ..)]`, because rows exist already. What would lose or reinterpret data (a dropped, renamed or retyped column, a dropped table) is
//! refused with advice, see [`Reason`]; such a migration is written by hand, and compared all the same.
//!
//! A small binary of the app is the whole tool, see [`cli`]; [`assert_migrations_current`] is the test that no
//! migration is missing.
//!
//! Only what SQL can say is compared: text, instants and uuids are all `TEXT`, so a change among them is not seen. A
//! default that only the database has is left alone. Tables without the four system columns are the app's own.
//!
//! A new column is null, or its default, in the rows that are already here, also where the server has values. Opening
//! the database notices it: values that earlier pulls brought as unknown members are moved into the column, and the next
//! pull of each query starts at the beginning and fills the rest.
//!
//! # Renaming and dropping
//!
//! Changes of a column may wait to be sent when its name goes. What is kept of them knows the column by its name, so
//! opening refuses a migration that would leave them behind ([`SchemaMismatch`](ErrorKind::SchemaMismatch)), and the
//! release of before can still open the file and push. Write such a migration with the SQL of [`rename_column`] and
//! [`rename_table`]; [`give_up_column`] for a column whose changes may go; and for a table whose changes may go
//! `DELETE FROM "__operations" WHERE table_name = 'TodoItem'` before it is dropped. What has no changes waiting can be
//! renamed and dropped by any SQL.
//!
//! A field that is dropped while its column stays needs no migration. A change of the column that waits then, and what SQL
//! of the app's or another release changes in it later, is kept and recorded as an error
//! ([`FailureClass::Damaged`](sync_core::operation::FailureClass::Damaged)), since this release does not send it. Drop the
//! column to end that, or keep it as a field with `#[sync(local)]`.
//!
//! # Running them
//!
//! Give them to [`Builder::migrations`](crate::Builder::migrations), embedded. A migration that rebuilds a table would
//! fire the capture triggers and foreign key actions for every row and queue deletions for the server. So the triggers
//! are gone while migrations run; opening the store, which holds the transaction and has foreign keys off, makes them
//! again and checks the keys before the commit. A crash leaves the old schema with its triggers, and a second process
//! waits.
//!
//! The diesel command line can run and revert them too, on a database that no store has opened: SQLite does not drop a
//! column that a trigger names.

use diesel::migration::{self, Migration, MigrationSource};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use sync_core::error::{Error, ErrorKind, Result};

pub use self::rename::{give_up_column, rename_column, rename_table};
#[cfg(feature = "migration")]
pub use self::{
    change::Change,
    cli::{Outcome, cli},
    current::{assert_migrations_current, check, difference},
    difference::Difference,
    folder::generate,
    refusal::{Reason, Refusal},
};
use crate::capture;
use crate::failure::BoxedError;
use crate::schema::TableEntry;

#[cfg(feature = "migration")]
mod change;
#[cfg(feature = "migration")]
mod cli;
#[cfg(feature = "migration")]
mod current;
#[cfg(feature = "migration")]
mod difference;
#[cfg(feature = "migration")]
mod folder;
#[cfg(feature = "migration")]
mod introspect;
#[cfg(feature = "migration")]
mod refusal;
mod rename;

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
