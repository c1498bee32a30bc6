//! `cargo xtask simulate`: random histories of devices, a server and a network that fails; see
//! `sync_tests::simulate`.
//!
//! CI runs a small fixed number of the same as part of the tests.

use crate::process::{self, Result, cargo};

/// Arguments of `cargo xtask simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Histories to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; a failure names the seed that shows it again.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Build optimised first: worth it for some thousands of histories.
    #[arg(long)]
    release: bool,
}

/// Runs the tests of that name with the wanted number.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut test = vec!["test", "-p", "sync-tests", "--test", "suite"];
    if arguments.release {
        test.push("--release");
    }
    test.extend(["--", "simulate::", "--nocapture"]);
    process::run(
        cargo(&test)
            .env("SYNC_SIMULATE_SEEDS", arguments.seeds.to_string())
            .env("SYNC_SIMULATE_FROM", arguments.from.to_string()),
    )
}
