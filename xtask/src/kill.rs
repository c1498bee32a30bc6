//! `cargo xtask kill`: real processes, killed at random moments; see `sync_tests::kills`.
//!
//! CI kills a small fixed number of the same as part of the tests.

use crate::process::{self, Result, cargo};

/// Arguments of `cargo xtask kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Processes to kill.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// The first seed; what is wrong names the seed that is likely to show it again.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Runs the test of that name with the wanted number.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let test = ["test", "-p", "sync-tests", "--test", "suite", "--", "kills::", "--nocapture"];
    process::run(
        cargo(&test)
            .env("SYNC_KILLS", arguments.kills.to_string())
            .env("SYNC_KILLS_SEED", arguments.seed.to_string()),
    )
}
