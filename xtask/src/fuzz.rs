//! `cargo xtask fuzz`: damaged bytes from outside, as many as the time allows; see `sync_tests::fuzz`.
//!
//! CI tries a small fixed number of the same as part of the tests.

use clap::ValueEnum;

use crate::process::{self, Result, cargo};

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One target; default all, one after another.
    #[arg(long)]
    target: Option<Target>,
    /// Minutes for each target.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first seed; a failure names the seed that shows it again.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What is given damaged bytes; each is one test, named after it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// List bodies, stored by both stores.
    Pages,
    /// Answers to a push, a pull and a probe, on both stores.
    Answers,
    /// `$filter` and `$orderby`.
    Filters,
    /// Whole requests to `sync-server`.
    Requests,
    /// Predicates, rows and instants as a local database keeps them.
    Texts,
    /// Cells of sync's own tables.
    Cells,
    /// Pages of the database file.
    File,
}

/// Runs the tests of the wanted targets.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wanted = arguments.target.and_then(|target| target.to_possible_value());
    let name = format!("damaged_{}", wanted.as_ref().map_or("", |target| target.get_name()));
    let test = ["test", "-p", "sync-tests", "--test", "fuzz", "--", "--nocapture", "--test-threads=1", &name];
    process::run(
        cargo(&test)
            .env("SYNC_FUZZ_MINUTES", arguments.minutes.to_string())
            .env("SYNC_FUZZ_SEED", arguments.seed.to_string()),
    )
}
