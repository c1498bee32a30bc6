//! `cargo xtask ci`: what must be true of every commit. CI calls this and nothing else.
//!
//! Not part of it, because it would first have to build for minutes: `cargo xtask deny`.

use crate::interop;
use crate::migration;
use crate::process::{self, Error, Result, cargo};

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the Node server (for machines without Node; CI does not use this).
    #[arg(long)]
    without_interop: bool,
}

/// Crates that must not reach `sync-core` without its features.
const FOREIGN_TO_CORE: [&str; 4] = ["diesel", "libsqlite3-sys", "reqwest", "rustls"];

/// How many requests are in flight where a test does not say it.
const TEST_WINDOW: &str = "SYNC_TEST_WINDOW";

/// Modules of the suite that the window makes no difference to.
const WITHOUT_WINDOW: [&str; 7] =
    ["server_contract::", "kills::", "memory::", "differential::", "queries::", "rules::", "ui::"];

/// Runs every step; the first failure is the error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    process::run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "sync-tests/interop",
        "--",
        "-D",
        "warnings",
    ]))?;
    core_stands_alone()?;
    // As apps link it: another package of the workspace switches its tools for migrations on.
    process::run(&mut cargo(&["clippy", "-p", "sync-diesel", "--lib", "--", "-D", "warnings"]))?;
    process::run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    process::run(&mut cargo(&["test", "--workspace"]))?;
    process::run(&mut cargo(&["test", "-p", "sync-core", "--features", "diesel,contract"]))?;
    at_larger_windows()?;
    migration::check("todo")?;
    process::run(&mut cargo(&["run", "-p", "todo"]))?;
    if !arguments.without_interop {
        interop::run(&interop::Arguments::default())?;
    }
    Ok(())
}

/// The tests that push run once more with several requests in flight; they and the steps before run with one. What is
/// left out pushes nothing, or says itself how many requests are in flight.
fn at_larger_windows() -> Result<()> {
    // Named as in the steps before, so that nothing is built again.
    let whole = ["test", "--workspace", "--test", "suite", "--"];
    let engine = ["test", "-p", "sync-core", "--features", "diesel,contract", "--lib", "--", "engine::tests"];
    for window in ["8", "32"] {
        let mut suite = cargo(&whole);
        suite.args(WITHOUT_WINDOW.into_iter().flat_map(|module| ["--skip", module]));
        process::run(suite.env(TEST_WINDOW, window))?;
        process::run(cargo(&engine).env(TEST_WINDOW, window))?;
    }
    Ok(())
}

/// The core needs neither the client nor Diesel: it compiles without both, and they are not in its tree.
fn core_stands_alone() -> Result<()> {
    process::run(&mut cargo(&["check", "-p", "sync-core", "--no-default-features"]))?;
    let tree = process::read(&mut cargo(&[
        "tree",
        "-p",
        "sync-core",
        "--no-default-features",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    match names.into_iter().find(|name| FOREIGN_TO_CORE.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(format!("sync-core without default features depends on {name}"))),
    }
}
