//! Running other programs: each one is printed as it would be typed, and a failure is an error that names it.

use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Result of a command of ours.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a command of ours failed: text for the person who ran it.
pub(crate) struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As `main` prints it: the text, not a struct.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Error {}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// `cargo`, the one that runs us, in the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs to the end, with our own output; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("`{}` failed: {status}", typed(command)))) }
}

/// Runs to the end and returns what it wrote to standard output.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    announce(command);
    let Output { status, stdout, .. } =
        command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    if !status.success() {
        return Err(Error::new(format!("`{}` failed: {status}", typed(command))));
    }
    String::from_utf8(stdout).map_err(|_| Error::new(format!("`{}` did not write text", typed(command))))
}

/// Prints the command as it would be typed.
pub(crate) fn announce(command: &Command) {
    eprintln!("$ {}", typed(command));
}

/// The error of a program that could not be started.
pub(crate) fn not_started(command: &Command, error: &std::io::Error) -> Error {
    Error::new(format!("cannot start `{}`: {error}", typed(command)))
}

/// Program, arguments and the variables we set; not the directory, not the inherited environment.
fn typed(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{}={}", name.to_string_lossy(), quoted(value)))
    });
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
}
