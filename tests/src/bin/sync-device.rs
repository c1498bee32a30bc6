//! A device in a process of its own, to be killed or measured by the suite.
//!
//! `sync-device push URL DATABASE` pushes once, `push-now` does so without waiting for another sync of the database.
//! `sync-device insert URL DATABASE COUNT` inserts so many rows, a transaction each. `sync-device crash URL DATABASE COUNT`
//! pushes and pulls, and aborts in the middle of the transaction that changes a row of any table for the time after so
//! many; it prints `survived` if there are no more. `sync-device pull URL DATABASE` pulls everything incrementally and
//! prints the number of rows and the peak of its resident memory in KiB. `sync-device live ORDERS` lives as
//! [`sync_tests::kills`] says.

#![allow(clippy::print_stdout, reason = "the output is read by the suite")]

use std::path::Path;
use std::process::ExitCode;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl};
use sync_diesel::prelude::*;
use sync_diesel::{Error, Result};
use sync_tests::kills::{self, Orders};
use sync_tests::model::{self, Todo};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [command, url, database] if command == "push" => push(url, Path::new(database), true).await,
        [command, url, database] if command == "push-now" => push(url, Path::new(database), false).await,
        [command, url, database, count] if command == "insert" => {
            insert(url, Path::new(database), count).await
        }
        [command, url, database, count] if command == "crash" => crash(url, Path::new(database), count).await,
        [command, url, database] if command == "pull" => pull(url, Path::new(database)).await,
        [command, orders @ ..] if command == "live" => live(orders).await,
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "usage: sync-device push|push-now|pull URL DATABASE, or insert|crash URL DATABASE COUNT, or live ORDERS",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn push(url: &str, database: &Path, waits: bool) -> Result<()> {
    let device = model::open(url, database).await;
    let push = if waits { device.push() } else { device.push().no_wait() };
    match push.await {
        Ok(report) => println!("{}", report.completed),
        Err(error) if error.kind() == ErrorKind::Busy => println!("busy"),
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn insert(url: &str, database: &Path, count: &str) -> Result<()> {
    let device = model::open(url, database).await;
    let count = parse(count)?;
    for number in 0..count {
        device.table::<Todo>().insert(Todo::new(format!("theirs {number}"))).await?;
    }
    println!("{count}");
    Ok(())
}

fn parse(count: &str) -> Result<u32> {
    count.parse().map_err(|_| Error::new(ErrorKind::InvalidArgument, "the count is not a number"))
}

diesel::define_sql_function! {
    /// Counts a changed row; ends the process at the last one.
    fn count_down() -> Integer;
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Lets the writing connection abort the process when it has changed so many rows and changes another.
fn arm(conn: &mut diesel::SqliteConnection, count: u32) -> diesel::QueryResult<()> {
    let mut left = count;
    count_down_utils::register_nondeterministic_impl(conn, move || {
        if left == 0 {
            // Nothing is unwound or rolled back: what is on disk stays as it is.
            std::process::abort();
        }
        left -= 1;
        0
    })?;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    for Name { name } in diesel::sql_query(tables).load::<Name>(conn)? {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            conn.batch_execute(&format!(
                "CREATE TEMP TRIGGER \"{event} {name}\" AFTER {event} ON main.\"{name}\"
                 BEGIN SELECT count_down(); END"
            ))?;
        }
    }
    Ok(())
}

async fn crash(url: &str, database: &Path, count: &str) -> Result<()> {
    let count = parse(count)?;
    let device = model::open(url, database).await;
    device.write(move |conn| arm(conn, count)).await?;
    device.push().await?;
    device.pull("all", Todo::all()).await?;
    println!("survived");
    Ok(())
}

async fn pull(url: &str, database: &Path) -> Result<()> {
    let device = model::open(url, database).await;
    let report = device.pull("all", Todo::all()).await?;
    println!("{} {}", report.rows.added, peak_memory_kib());
    Ok(())
}

async fn live(orders: &[String]) -> Result<()> {
    let orders = Orders::parse(orders).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "these are no orders of `sync_tests::kills`")
    })?;
    // A line leaves the process before `println!` returns.
    kills::live(&orders, &|report| println!("{report}")).await
}

/// The process's `VmHWM`.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default()
}
