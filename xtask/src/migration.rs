//! `cargo xtask migration`: an app's migrations, made from its entities.
//!
//! The work is done by the binary `migrations` of the app's package, which links the entities.

use crate::process::{self, Result, cargo};

/// Arguments of `cargo xtask migration`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The app's package, with a binary named `migrations`.
    #[arg(long, default_value = "todo", global = true)]
    package: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the migration from the existing ones to the entities.
    Generate {
        /// Name of the migration, in letters, digits and underscores.
        name: String,
    },
    /// Fail if a migration is missing.
    Check,
    /// List the migrations, and what is missing.
    Status,
}

/// Runs the app's binary.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Generate { name } => call(&arguments.package, &["generate", name]),
        Command::Check => check(&arguments.package),
        Command::Status => call(&arguments.package, &["status"]),
    }
}

/// Fails if a migration of this package is missing.
pub(crate) fn check(package: &str) -> Result<()> {
    call(package, &["check"])
}

fn call(package: &str, words: &[&str]) -> Result<()> {
    let mut command = cargo(&["run", "--quiet", "--package", package, "--bin", "migrations", "--"]);
    process::run(command.args(words))
}
