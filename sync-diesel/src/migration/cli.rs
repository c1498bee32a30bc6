//! The tool behind an app's own small binary.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use sync_core::error::Error;

use super::difference::Difference;
use super::{check, difference, folder, generate};
use crate::schema::SyncSchema;

/// How a command ended; as an exit code 0, 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked to; nothing is wrong.
    Done,
    /// A migration is missing (`check`), is refused (`generate`), or an existing one fails.
    Failed,
    /// The arguments are wrong.
    Usage,
}

impl Outcome {
    /// 0, 1 or 2.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

const USAGE: &str = "\
usage: generate NAME   write the migration from the existing ones to the entities
       check           fail if one is missing
       status          list the migrations, and what is missing
";

/// Runs `generate NAME`, `check` or `status` on the migrations in `folder`, and writes what happened to `output`.
///
/// `arguments` are those behind the program's name; `now` names a generated migration. The binary must not embed the
/// migrations, so that it can be built before there are any:
///
/// ```no_run
/// use std::path::Path;
/// use std::process::ExitCode;
///
/// use sync_diesel::prelude::*;
/// # #[derive(SyncEntity)]
/// # struct Todo {
/// #     text: String,
/// # }
/// # sync_schema!(AppSchema: Todo);
///
/// fn main() -> std::io::Result<ExitCode> {
///     let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
///     let arguments = std::env::args().skip(1);
///     let outcome =
///         sync_diesel::migration::cli::<AppSchema>(arguments, &folder, Utc::now(), &mut std::io::stdout())?;
///     Ok(outcome.into())
/// }
/// ```
///
/// # Errors
///
/// When `output` cannot be written. Everything else is an [`Outcome`] with its text.
pub fn cli<A: SyncSchema>(
    arguments: impl IntoIterator<Item = String>,
    folder: &Path,
    now: DateTime<Utc>,
    output: &mut dyn Write,
) -> io::Result<Outcome> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["generate", name] => run_generate::<A>(folder, name, now, output)?,
        ["check"] => run_check::<A>(folder, output)?,
        ["status"] => run_status::<A>(folder, output)?,
        _ => {
            output.write_all(USAGE.as_bytes())?;
            Outcome::Usage
        }
    };
    output.flush()?;
    Ok(outcome)
}

fn run_generate<A: SyncSchema>(
    folder: &Path,
    name: &str,
    now: DateTime<Utc>,
    output: &mut dyn Write,
) -> io::Result<Outcome> {
    match generate::<A>(folder, name, now) {
        Ok(Some(path)) => {
            writeln!(output, "written: {}", path.display())?;
            Ok(Outcome::Done)
        }
        Ok(None) => {
            writeln!(output, "nothing to do: the migrations make the tables of the entities")?;
            Ok(Outcome::Done)
        }
        Err(error) => fail(&error, output),
    }
}

fn run_check<A: SyncSchema>(folder: &Path, output: &mut dyn Write) -> io::Result<Outcome> {
    match check::<A>(folder) {
        Ok(()) => {
            writeln!(output, "no migration is missing")?;
            Ok(Outcome::Done)
        }
        Err(error) => fail(&error, output),
    }
}

fn run_status<A: SyncSchema>(folder: &Path, output: &mut dyn Write) -> io::Result<Outcome> {
    let read = folder::names(folder).and_then(|names| Ok((names, difference::<A>(folder)?)));
    let (names, difference) = match read {
        Ok(read) => read,
        Err(error) => return fail(&error, output),
    };
    writeln!(output, "migrations in {}:", folder.display())?;
    for name in &names {
        writeln!(output, "  {name}")?;
    }
    if names.is_empty() {
        writeln!(output, "  none")?;
    }
    if difference.is_empty() {
        writeln!(output, "no migration is missing")?;
    } else {
        writeln!(output, "missing:")?;
        write_lines(&difference, output)?;
    }
    Ok(Outcome::Done)
}

fn fail(error: &Error, output: &mut dyn Write) -> io::Result<Outcome> {
    writeln!(output, "error: {error}")?;
    if let Some(difference) = Difference::of(error) {
        write_lines(difference, output)?;
    } else {
        let mut cause = error.source();
        while let Some(inner) = cause {
            writeln!(output, "  because: {inner}")?;
            cause = inner.source();
        }
    }
    Ok(Outcome::Failed)
}

fn write_lines(difference: &Difference, output: &mut dyn Write) -> io::Result<()> {
    difference.to_string().lines().try_for_each(|line| writeln!(output, "  {line}"))
}
