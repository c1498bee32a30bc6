//! Rows of one change time, put into a server's database beside the server.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;
use sync_core::time;

use super::Storage;

/// See [`ServerUnderTest::seed_block`](super::ServerUnderTest::seed_block).
pub(super) fn seed(
    storage: &Storage,
    batch: &str,
    count: usize,
    updated_at: &str,
    id: impl Fn(usize) -> String,
) {
    let (file, time, insert) = match storage {
        Storage::Node(file) => (
            file,
            updated_at.to_owned(),
            "INSERT INTO TodoItem (createdAt, updatedAt, version, deleted, id, text, complete, batch) \
             VALUES (?1, ?1, '1', 0, ?2, ?3, 0, ?4)",
        ),
        Storage::Ours(file) => (
            file,
            ticks(updated_at).to_string(),
            "INSERT INTO TodoItem (__createdAt, __updatedAt, __version, __deleted, id, text, complete, batch) \
             VALUES (CAST(?1 AS INTEGER), CAST(?1 AS INTEGER), 'seeded', 0, ?2, ?3, 0, ?4)",
        ),
    };
    let mut connection = open(file);
    let stored = connection.immediate_transaction(|connection| {
        for number in 0..count {
            sql_query(insert)
                .bind::<Text, _>(&time)
                .bind::<Text, _>(id(number))
                .bind::<Text, _>(format!("row {number}"))
                .bind::<Text, _>(batch)
                .execute(connection)?;
        }
        QueryResult::Ok(())
    });
    stored.expect("the rows can be stored");
}

/// An instant as `sync-server` stores it: units of 100 ns since 1970.
fn ticks(instant: &str) -> i64 {
    let instant = time::parse(instant).expect("the change time is an instant");
    instant.timestamp() * 10_000_000 + i64::from(instant.timestamp_subsec_nanos() / 100)
}

fn open(file: &Path) -> SqliteConnection {
    let file = file.to_str().expect("the path of the database is text");
    let mut connection = SqliteConnection::establish(file).expect("the server's database opens");
    connection.batch_execute("PRAGMA busy_timeout = 30000").expect("the pragma is known");
    connection
}
