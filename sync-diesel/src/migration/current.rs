//! Whether the migrations make what the entities ask for.

use std::path::Path;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use sync_core::error::{Error, ErrorKind, Result};

use super::difference::Difference;
use super::introspect::{self, Description};
use crate::failure::OrStore;
use crate::schema::{SyncSchema, TableEntry};
use crate::{schema, system};

/// Compares the entities with what the migrations in `folder` make. A folder that does not exist has none.
///
/// # Errors
///
/// `InvalidArgument` when the list of entities or the folder is wrong; `SchemaMismatch` when a migration fails, or
/// makes a table that a store would not open although nothing is missing.
pub fn difference<A: SyncSchema>(folder: impl AsRef<Path>) -> Result<Difference> {
    Rehearsal::new(folder.as_ref(), A::TABLES).map(|rehearsal| rehearsal.difference)
}

/// Whether no migration is missing.
///
/// # Errors
///
/// `SchemaMismatch` with the [`Difference`] as its source when one is; else as [`difference()`].
pub fn check<A: SyncSchema>(folder: impl AsRef<Path>) -> Result<()> {
    let difference = difference::<A>(folder)?;
    if difference.is_empty() {
        return Ok(());
    }
    Err(difference.into_error("the migrations do not make the tables of the entities; generate one"))
}

/// For a test of the app: no migration is missing.
///
/// # Panics
///
/// If [`check`] fails; the text names tables and columns.
#[track_caller]
pub fn assert_migrations_current<A: SyncSchema>(folder: impl AsRef<Path>) {
    if let Err(error) = check::<A>(folder) {
        match std::error::Error::source(&error) {
            Some(source) => panic!("{error}:\n{source}"),
            None => panic!("{error}"),
        }
    }
}

/// A database in memory in which all migrations ran.
pub(crate) struct Rehearsal {
    conn: SqliteConnection,
    tables: &'static [TableEntry],
    before: Description,
    pub(crate) difference: Difference,
}

impl Rehearsal {
    pub(crate) fn new(folder: &Path, tables: &'static [TableEntry]) -> Result<Self> {
        schema::check_list(tables)?;
        let mut conn = SqliteConnection::establish(":memory:").map_err(|source| {
            Error::new(ErrorKind::Store, "the database in memory cannot be made").with_source(source)
        })?;
        // As at open: without foreign keys, beside sync's own tables.
        conn.batch_execute("PRAGMA foreign_keys = OFF").or_store()?;
        system::prepare(&mut conn)?;
        if folder.exists() {
            let source = FileBasedMigrations::from_path(folder).map_err(|source| {
                Error::new(ErrorKind::InvalidArgument, "the folder of migrations cannot be read")
                    .with_source(source)
            })?;
            conn.run_pending_migrations(source).map_err(|source| {
                Error::new(ErrorKind::SchemaMismatch, "an existing migration fails").with_source(source)
            })?;
        }
        let before = introspect::describe(&mut conn)?;
        let difference = Difference::between(&before, tables);
        if difference.is_empty() {
            // What a migration written by hand can do wrong besides: cascades, WITHOUT ROWID.
            schema::check(&mut conn, tables)?;
        }
        Ok(Self { conn, tables, before, difference })
    }

    /// Runs a migration up and down: up must lead to the entities, down must lead back.
    pub(crate) fn prove(&mut self, up: &str, down: &str) -> Result<()> {
        let run = |conn: &mut SqliteConnection, sql: &str| {
            conn.batch_execute(sql).map_err(|source| {
                Error::new(ErrorKind::SchemaMismatch, "the generated migration fails; write it by hand")
                    .with_source(source)
            })
        };
        run(&mut self.conn, up)?;
        schema::check(&mut self.conn, self.tables)?;
        let left = Difference::between(&introspect::describe(&mut self.conn)?, self.tables);
        if !left.is_empty() {
            return Err(left.into_error("the generated migration does not lead to the entities"));
        }
        run(&mut self.conn, down)?;
        if introspect::describe(&mut self.conn)? != self.before {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                "the generated migration cannot be reverted; write it by hand",
            ));
        }
        Ok(())
    }
}
