//! Writing a migration's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use sync_core::error::{Error, ErrorKind, Result};

use super::change::Change;
use super::current::Rehearsal;
use crate::schema::SyncSchema;

/// Writes the migration that leads from those in `folder` to the entities: a new folder
/// `YYYY-MM-DD-HHMMSS_name` with `up.sql` and `down.sql`. Gives its path, or `None` if nothing is missing.
///
/// Both directions ran in memory before anything is written. The text depends on the entities and the existing
/// migrations alone, the folder's name on `now` and `name`. `folder` is made if it does not exist.
///
/// # Errors
///
/// `InvalidArgument` when the name is not made of letters, digits and underscores, when an existing migration has
/// the time `now` or a later one, or when the folder cannot be written; `SchemaMismatch` with the
/// [`Difference`](super::Difference) as its source when something is refused, and those of
/// [`difference()`](super::difference()). Nothing is written then.
pub fn generate<A: SyncSchema>(
    folder: impl AsRef<Path>,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<PathBuf>> {
    let folder = folder.as_ref();
    let mut rehearsal = Rehearsal::new(folder, A::TABLES)?;
    let difference = &rehearsal.difference;
    if difference.is_empty() {
        return Ok(None);
    }
    if !difference.refusals().is_empty() {
        return Err(rehearsal.difference.into_error("no migration is generated for some of the changes"));
    }
    let up: String = join(difference.changes().iter().map(Change::up));
    let down: String = join(difference.changes().iter().rev().map(Change::down));
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a migration's name has letters, digits and underscores",
        ));
    }
    let stamp = now.format("%Y-%m-%d-%H%M%S").to_string();
    if let Some(last) = names(folder)?.into_iter().max_by_key(|name| version(name))
        && version(&last) >= version(&stamp)
    {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("migration {last} is not older than the new one, {stamp}, which would not run after it"),
        ));
    }
    rehearsal.prove(&up, &down)?;
    write(folder, &format!("{stamp}_{name}"), &up, &down).map(Some).map_err(|source| unusable(folder, source))
}

/// The existing migrations' names in the order they run.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unusable(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // As Diesel reads the folder: files and hidden folders are no migrations.
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_by_key(|name| version(name));
    Ok(names)
}

/// What Diesel orders migrations by.
fn version(name: &str) -> String {
    name.split('_').next().unwrap_or_default().replace('-', "")
}

fn join(statements: impl Iterator<Item = String>) -> String {
    statements.collect::<Vec<_>>().join("\n")
}

/// Writes into a hidden folder first, so that half a migration is never seen.
fn write(folder: &Path, name: &str, up: &str, down: &str) -> io::Result<PathBuf> {
    let (unfinished, finished) = (folder.join(format!(".{name}")), folder.join(name));
    fs::create_dir_all(&unfinished)?;
    let written = fs::write(unfinished.join("up.sql"), up)
        .and_then(|()| fs::write(unfinished.join("down.sql"), down))
        .and_then(|()| fs::rename(&unfinished, &finished));
    match written {
        Ok(()) => Ok(finished),
        Err(error) => {
            // The first error says what is wrong; a hidden folder left behind is ignored by all readers.
            let _ = fs::remove_dir_all(&unfinished);
            Err(error)
        }
    }
}

fn unusable(folder: &Path, source: io::Error) -> Error {
    let message = format!("the folder of migrations {} cannot be used", folder.display());
    Error::new(ErrorKind::InvalidArgument, message).with_source(source)
}
