//! `cargo xtask simulate --sabotage`: whether the tests notice when a protection is taken away.
//!
//! Each patch of `tests/sabotage` removes one mechanism that keeps a promise, and names the test that must fail then. It
//! is applied in a copy of the repository, so that nothing of the working tree is touched, and taken back after its
//! test. A patch that does not fit, does not compile or is not noticed is a failure: either the test has a hole, or the
//! mechanism protects nothing.
//!
//! - [`patch`]: a patch's head and changes.
//! - [`copy`]: the copy.
//! - [`proof`]: building and running a test.
//!
//! Not part of CI, because each patch takes a build. That every patch still fits is a plain test, beside this file.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use self::copy::Copy;
use self::patch::{Patch, Proof};
use self::proof::{Binary, Ended};
use crate::process::{Error, Result, root};

mod copy;
mod patch;
mod proof;
#[cfg(test)]
mod tests;

/// Applies every patch, or the one of this name, and prints what caught each.
pub(crate) fn run(name: Option<&str>, folder: Option<&Path>) -> Result<()> {
    let mut patches = patches()?;
    if let Some(name) = name {
        patches.retain(|patch| patch.name == name);
    }
    if patches.is_empty() {
        return Err(Error::new("tests/sabotage has no patch of this name"));
    }
    let default = root().join("target/sabotage");
    let copy = Copy::update(folder.unwrap_or(&default))?;
    let passing = passing(&patches, &copy)?;
    let lines = catch_all(&patches, &passing, &copy);
    let mut output = std::io::stdout().lock();
    output.write_all(table(&lines).as_bytes()).map_err(|error| Error::new(format!("the table: {error}")))?;
    match lines.iter().filter(|line| line.caught.is_err()).count() {
        0 => Ok(()),
        count => Err(Error::new(format!("{count} of {} patches were not caught", lines.len()))),
    }
}

/// The patches by name.
fn patches() -> Result<Vec<Patch>> {
    let folder = root().join("tests/sabotage");
    let failed = |error: std::io::Error| Error::new(format!("{}: {error}", folder.display()));
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "patch") {
            patches.push(Patch::parse(name, &fs::read_to_string(&path).map_err(failed)?)?);
        }
    }
    patches.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(patches)
}

/// The tests that pass while nothing is taken away. That another one fails later proves nothing.
fn passing<'p>(patches: &'p [Patch], copy: &Copy) -> Result<BTreeSet<&'p Proof>> {
    let proofs: BTreeSet<_> = patches.iter().map(|patch| &patch.caught_by).collect();
    let mut binaries = BTreeMap::new();
    let mut passing = BTreeSet::new();
    for (number, proof) in proofs.into_iter().enumerate() {
        let log = copy.log(&format!("untouched-{number}"));
        let binary = match binaries.entry(proof.selection()) {
            Entry::Occupied(built) => built.into_mut(),
            Entry::Vacant(missing) => missing.insert(proof.build(copy, &log)?),
        };
        match proof.run(binary, &log)? {
            Ended::Passed => drop(passing.insert(proof)),
            Ended::Failed { .. } => eprintln!("{proof} fails without any patch; see {}", log.display()),
        }
    }
    Ok(passing)
}

/// Builds each patch while the test of the one before runs.
fn catch_all<'p>(patches: &'p [Patch], passing: &BTreeSet<&Proof>, copy: &Copy) -> Vec<Line<'p>> {
    let mut lines = Vec::new();
    thread::scope(|scope| {
        let mut running: Option<ScopedJoinHandle<'_, Line<'_>>> = None;
        for patch in patches {
            eprintln!("{}: without {}", patch.name, patch.removes);
            let started = Instant::now();
            let built = if passing.contains(&patch.caught_by) {
                build(patch, copy)
            } else {
                Err(Error::new(format!("{} fails without any patch", patch.caught_by)))
            };
            lines.extend(running.take().map(end));
            running = Some(scope.spawn(move || {
                let caught = built.and_then(|binary| catch(patch, copy, &binary));
                match &caught {
                    Ok(by) => eprintln!("{}: caught by {by}", patch.name),
                    Err(error) => eprintln!("{}: FAILED: {error}", patch.name),
                }
                Line { patch, caught, time: started.elapsed() }
            }));
        }
        lines.extend(running.map(end));
    });
    lines
}

fn end<T>(running: ScopedJoinHandle<'_, T>) -> T {
    running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Builds the test that a patch must fail, with the patch, and puts it aside.
fn build(patch: &Patch, copy: &Copy) -> Result<Binary> {
    let originals = copy.apply(patch)?;
    let built = patch.caught_by.build(copy, &copy.log(&patch.name));
    copy.restore(originals)?;
    built?.put_aside(copy.aside(&patch.name))
}

/// What caught the patch; an error if nothing did.
fn catch(patch: &Patch, copy: &Copy, binary: &Binary) -> Result<String> {
    let proof = &patch.caught_by;
    let ended = proof.run(binary, &copy.log(&patch.name));
    binary.remove()?;
    match ended? {
        Ended::Passed => Err(Error::new(format!("not caught by {proof}"))),
        Ended::Failed { output } => catcher(patch, &output),
    }
}

/// What the output of the failing test says; an error if it fails for another reason than the one it is to find.
fn catcher(patch: &Patch, output: &str) -> Result<String> {
    let proof = &patch.caught_by;
    let otherwise = |what: &str| Err(Error::new(format!("{proof} fails, but {what}")));
    match (proof, &patch.case) {
        (Proof::Simulate, _) => {
            // The line of a violation is `seed N: RULE: WHAT`, or `seed N: WHAT`.
            let Some(line) = output.lines().find(|line| line.starts_with("seed ")) else {
                return otherwise("in no history");
            };
            let mut parts = line.split(": ");
            let (seed, rule, what) = (parts.next().unwrap_or(line), parts.next(), parts.next());
            let rule = rule.filter(|_| what.is_some()).map_or_else(String::new, |rule| format!(": {rule}"));
            Ok(format!("{proof}, {seed}{rule}"))
        }
        (Proof::Test { .. }, None) => Ok(proof.to_string()),
        (Proof::Test { .. }, Some(case)) if output.contains(case) => Ok(format!("{proof}, {case}")),
        (Proof::Test { .. }, Some(case)) => otherwise(&format!("not in {case}")),
    }
}

struct Line<'p> {
    patch: &'p Patch,
    caught: Result<String>,
    time: Duration,
}

fn table(lines: &[Line<'_>]) -> String {
    let head = ["patch", "promise", "caught by", "time"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        let caught = line.caught.as_ref().map_or_else(|error| format!("FAILED: {error}"), Clone::clone);
        let time = format!("{} s", line.time.as_secs());
        [line.patch.name.clone(), line.patch.promise.clone(), caught, time]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let widths = [0, 1, 2, 3].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a text does not fail.
        let _ = writeln!(table, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    table
}
