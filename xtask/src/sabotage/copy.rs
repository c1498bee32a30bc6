//! A copy of the working tree, in which patches are applied, with a target directory of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::patch::Patch;
use crate::process::{Error, Result, root};

/// See the [module documentation](self).
pub(super) struct Copy {
    folder: PathBuf,
}

/// The files that a patch changed, as they were.
#[must_use]
pub(super) struct Originals(Vec<(PathBuf, String)>);

impl Copy {
    /// Brings the copy in a folder up to date. Files that are the same are left alone, so that cargo builds only what
    /// changed since the last time.
    pub(super) fn update(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let folder = folder.canonicalize().map_err(|error| failed(folder, &error))?;
        let copy = Self { folder };
        let mut wanted = BTreeSet::new();
        copy.copy(Path::new(""), &mut wanted)?;
        copy.clear(Path::new(""), &wanted)?;
        Ok(copy)
    }

    /// The root of the copy.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Where cargo builds it.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Where a test's output goes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Where a binary of tests is put aside.
    pub(super) fn aside(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(std::env::consts::EXE_EXTENSION)
    }

    /// Applies a patch; nothing is written unless all of it fits.
    pub(super) fn apply(&self, patch: &Patch) -> Result<Originals> {
        let mut changes = Vec::new();
        for path in patch.files() {
            let here = self.tree().join(path);
            let text = fs::read_to_string(&here).map_err(|error| failed(&here, &error))?;
            let changed = patch.apply(path, &text)?;
            changes.push((here, text, changed));
        }
        for (here, _, changed) in &changes {
            write(here, changed.as_bytes())?;
        }
        Ok(Originals(changes.into_iter().map(|(here, text, _)| (here, text)).collect()))
    }

    /// Takes a patch back.
    pub(super) fn restore(&self, Originals(files): Originals) -> Result<()> {
        files.iter().try_for_each(|(path, text)| write(path, text.as_bytes()))
    }

    fn copy(&self, folder: &Path, wanted: &mut BTreeSet<PathBuf>) -> Result<()> {
        let here = self.tree().join(folder);
        fs::create_dir_all(&here).map_err(|error| failed(&here, &error))?;
        for path in entries(&root(), folder)? {
            let original = root().join(&path);
            if original.is_dir() {
                if original == self.folder || !is_source(&path) {
                    continue;
                }
                self.copy(&path, wanted)?;
            } else {
                let bytes = fs::read(&original).map_err(|error| failed(&original, &error))?;
                write(&self.tree().join(&path), &bytes)?;
            }
            wanted.insert(path);
        }
        Ok(())
    }

    /// Removes what the working tree has no more.
    fn clear(&self, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
        for path in entries(&self.tree(), folder)? {
            let here = self.tree().join(&path);
            if wanted.contains(&path) {
                if here.is_dir() {
                    self.clear(&path, wanted)?;
                }
                continue;
            }
            let removed = if here.is_dir() { fs::remove_dir_all(&here) } else { fs::remove_file(&here) };
            removed.map_err(|error| failed(&here, &error))?;
        }
        Ok(())
    }
}

/// Whether a folder holds sources: neither what cargo builds nor what tools keep for themselves.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == ".cargo" || !(name == "target" || name.starts_with('.'))
}

/// What is in a folder below a root, by paths from that root.
fn entries(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let path = root.join(folder);
    let entries = fs::read_dir(&path).map_err(|error| failed(&path, &error))?;
    let names = entries.map(|entry| entry.map(|entry| folder.join(entry.file_name())));
    names.collect::<std::io::Result<_>>().map_err(|error| failed(&path, &error))
}

/// Writes a file unless it holds that already.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(known) if known == bytes => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(path, &error)),
        _ => {}
    }
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}
