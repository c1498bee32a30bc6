//! Running an app's migrations under change capture.
//!
//! A migration that rebuilds a table would fire the capture triggers and foreign key actions for every row and
//! queue deletions for the server. So foreign keys are off before the transaction begins, the triggers are gone
//! while the migrations run and back before the commit, and foreign keys are checked at the end. One immediate
//! transaction holds all of it: a crash leaves the old schema with its triggers, and a second process waits.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::migration::{self, Migration, MigrationSource};
use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use sync_core::error::{Error, ErrorKind, Result};

use crate::failure::{BoxedError, OrStore, from_diesel};
use crate::schema::TableEntry;
use crate::statement::query;
use crate::{capture, schema, system};

/// Runs the pending migrations, if there are any, on a connection of its own.
///
/// # Errors
///
/// [`ErrorKind::SchemaMismatch`] when a migration fails, leaves a foreign key dangling, or leaves a table that
/// does not fit its entity; everything is rolled back.
pub(crate) fn run_pending(
    conn: &mut SqliteConnection,
    migrations: EmbeddedMigrations,
    tables: &[TableEntry],
) -> Result<()> {
    let source = Borrowed(&migrations);
    // Outside the transaction: inside, SQLite ignores it.
    conn.batch_execute("PRAGMA foreign_keys = OFF").or_store()?;
    let outcome = in_transaction(conn, |conn| {
        if !conn.has_pending_migration(source).map_err(failed)? {
            return Ok(());
        }
        for table in tables {
            capture::remove(conn, table.schema())?;
        }
        conn.run_pending_migrations(source).map_err(failed)?;
        check_foreign_keys(conn)?;
        prepare(conn, tables)
    });
    conn.batch_execute("PRAGMA foreign_keys = ON").or_store()?;
    outcome
}

/// Makes or brings up to date what the sync needs in the database: its own tables, and the triggers of each synced
/// table after a check that it fits its entity.
pub(crate) fn prepare(conn: &mut SqliteConnection, tables: &[TableEntry]) -> Result<()> {
    system::prepare(conn)?;
    schema::check(conn, tables)?;
    for table in tables {
        capture::install(conn, table.schema())?;
    }
    Ok(())
}

/// Runs `work` in an immediate transaction.
pub(crate) fn in_transaction<T>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T>,
) -> Result<T> {
    conn.immediate_transaction(|conn| work(conn).map_err(Failed)).map_err(|Failed(error)| error)
}

/// Migrations that can be asked for more than once.
#[derive(Clone, Copy)]
struct Borrowed<'m>(&'m EmbeddedMigrations);

impl MigrationSource<Sqlite> for Borrowed<'_> {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Sqlite>>>> {
        self.0.migrations()
    }
}

/// `foreign_key_check` reports violations as rows; it never fails by itself.
fn check_foreign_keys(conn: &mut SqliteConnection) -> Result<()> {
    let violations =
        query::<(Text, Nullable<Text>)>("SELECT \"table\", parent FROM pragma_foreign_key_check", &[])
            .load::<(String, Option<String>)>(conn)
            .or_store()?;
    match violations.into_iter().next() {
        None => Ok(()),
        Some((table, parent)) => Err(Error::new(
            ErrorKind::SchemaMismatch,
            format!(
                "after the migrations rows refer to missing rows of table {}",
                parent.as_deref().unwrap_or("?")
            ),
        )
        .with_table(table)),
    }
}

fn failed(source: BoxedError) -> Error {
    Error::new(ErrorKind::SchemaMismatch, "a migration failed and was rolled back").with_source(source)
}

/// The error of the transaction's closure: Diesel's own errors come in through `From`.
struct Failed(Error);

impl From<diesel::result::Error> for Failed {
    fn from(error: diesel::result::Error) -> Self {
        Self(from_diesel(error))
    }
}
