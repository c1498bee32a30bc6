//! A device in a process of its own, to be killed or measured by the suite.
//!
//! `sync-device push URL DATABASE` pushes once, `push-now` does so without waiting for another sync of the database.
//! `sync-device insert URL DATABASE COUNT` inserts so many rows, a transaction each. `sync-device pull URL DATABASE` pulls everything incrementally and
//! prints the number of rows and the peak of its resident memory in KiB.

#![allow(clippy::print_stdout, reason = "the output is read by the suite")]

use std::path::Path;
use std::process::ExitCode;

use sync_diesel::prelude::*;
use sync_diesel::{Error, Result};
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
        [command, url, database] if command == "pull" => pull(url, Path::new(database)).await,
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "usage: sync-device push|push-now|pull URL DATABASE, or insert URL DATABASE COUNT",
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
    let count: u32 = count
        .parse()
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the count of rows is not a number"))?;
    for number in 0..count {
        device.table::<Todo>().insert(Todo::new(format!("theirs {number}"))).await?;
    }
    println!("{count}");
    Ok(())
}

async fn pull(url: &str, database: &Path) -> Result<()> {
    let device = model::open(url, database).await;
    let report = device.pull("all", Todo::all()).await?;
    println!("{} {}", report.rows.added, peak_memory_kib());
    Ok(())
}

/// The process's `VmHWM`.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default()
}
