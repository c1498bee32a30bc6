//! `cargo xtask deny`: licences, sources and known vulnerabilities of the dependencies, by the rules of
//! `deny.toml`. It runs cargo-deny, which must be installed, and reads the advisory database from the network.

use std::process::Stdio;

use crate::process::{self, Error, Result, cargo};

/// Arguments of `cargo xtask deny`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the advisories (for machines that cannot reach the advisory database).
    #[arg(long)]
    without_advisories: bool,
}

/// Checks the dependencies; without cargo-deny this is an error, not a pass.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut probe = cargo(&["deny", "--version"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    let installed = probe.status().map_err(|error| process::not_started(&probe, &error))?.success();
    if !installed {
        return Err(Error::new("cargo-deny is not installed; `cargo install --locked cargo-deny`"));
    }
    let checks: &[&str] = if arguments.without_advisories {
        &["deny", "check", "bans", "licenses", "sources"]
    } else {
        &["deny", "check"]
    };
    process::run(&mut cargo(checks))
}
