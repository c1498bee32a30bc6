//! The derive at run time, on SQLite in memory, with no trait imported besides Diesel's prelude.

#![deny(missing_docs, missing_debug_implementations, unreachable_pub, unused, rust_2018_idioms)]

#[path = "derive/declared.rs"]
mod declared;
#[path = "derive/hygiene.rs"]
mod hygiene;
#[path = "derive/joins.rs"]
mod joins;
#[path = "derive/metadata.rs"]
mod metadata;
#[path = "derive/public.rs"]
pub mod public;
#[path = "derive/types.rs"]
mod types;

use diesel::prelude::*;

/// An empty database with the tables of these statements.
fn database(tables: &[&str]) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("the test database can be set up");
    for table in tables {
        diesel::sql_query(*table).execute(&mut conn).expect("the test database can be set up");
    }
    conn
}

/// `CREATE TABLE` with the system columns and these.
fn create(name: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL, __version TEXT, __updatedAt TEXT, \
         __deleted INTEGER NOT NULL DEFAULT 0, {columns})"
    )
}
