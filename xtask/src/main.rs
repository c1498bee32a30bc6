//! The project's own commands: `cargo xtask <command>`.

mod ci;
mod deny;
mod differential;
mod fuzz;
mod interop;
mod kill;
mod migration;
mod process;
mod sabotage;
mod simulate;

use clap::{Parser, Subcommand};

use crate::process::Result;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything CI does, in CI's order; stops at the first failure.
    Ci(ci::Arguments),
    /// Licences, sources and known vulnerabilities of the dependencies (needs cargo-deny).
    Deny(deny::Arguments),
    /// Random filters, judged by every engine: they must find the same rows.
    Differential(differential::Arguments),
    /// Damaged bytes from outside: no panic, no hang, a typed error or an answer.
    Fuzz(fuzz::Arguments),
    /// The server contract suite against the official Node server (needs Node and npm).
    Interop(interop::Arguments),
    /// Processes that are killed at random moments: nothing may be lost.
    Kill(kill::Arguments),
    /// An app's migrations, made from its entities.
    Migration(migration::Arguments),
    /// Random histories of devices, a server and a network that fails: nothing may be lost.
    Simulate(simulate::Arguments),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Deny(arguments) => deny::run(&arguments),
        Command::Differential(arguments) => differential::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Interop(arguments) => interop::run(&arguments),
        Command::Kill(arguments) => kill::run(&arguments),
        Command::Migration(arguments) => migration::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    }
}
