//! `cargo xtask differential`: random filters, judged by every engine; see `sync_tests::differential`.
//!
//! CI runs a small fixed number of the same as part of the tests.

use crate::process::{self, Result, cargo};

/// Arguments of `cargo xtask differential`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Pairs of a predicate and a table to try.
    #[arg(long, default_value_t = 20_000)]
    pairs: u64,
    /// The first seed; a disagreement names the seed that shows it again.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Runs the test of that name with the wanted number.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let test = ["test", "-p", "sync-tests", "--test", "suite", "--", "differential::", "--nocapture"];
    process::run(
        cargo(&test)
            .env("SYNC_DIFFERENTIAL_PAIRS", arguments.pairs.to_string())
            .env("SYNC_DIFFERENTIAL_FROM", arguments.from.to_string()),
    )
}
