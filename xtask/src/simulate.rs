//! `cargo xtask simulate`: random histories of devices, a server and a network that fails; see
//! `sync_tests::simulate`.
//!
//! CI runs a small fixed number of the same as part of the tests.

use std::path::PathBuf;

use crate::process::{self, Result, cargo};
use crate::sabotage;

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
    /// Instead: take the protections away one by one, by the patches of `tests/sabotage` or the one of this name, in a
    /// copy of the repository; each must be caught by the test that it names.
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["seeds", "from", "release"])]
    sabotage: Option<Option<String>>,
    /// Where that copy stands and is built; `target/sabotage` unless given.
    #[arg(long, value_name = "FOLDER", requires = "sabotage")]
    target_dir: Option<PathBuf>,
}

/// Runs the tests of that name with the wanted number, or the sabotage.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(name) = &arguments.sabotage {
        return sabotage::run(name.as_deref(), arguments.target_dir.as_deref());
    }
    let mut test = vec!["test", "-p", "sync-tests", "--test", "simulate"];
    if arguments.release {
        test.push("--release");
    }
    test.extend(["--", "--nocapture"]);
    process::run(
        cargo(&test)
            .env("SYNC_SIMULATE_SEEDS", arguments.seeds.to_string())
            .env("SYNC_SIMULATE_FROM", arguments.from.to_string()),
    )
}
