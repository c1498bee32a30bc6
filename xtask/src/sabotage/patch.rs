//! A patch that takes a protection away: its head, and its changes as blocks of lines.
//!
//! The head is plain text before the diff, which `git apply` passes over:
//!
//! ```text
//! promise: G1
//! removes: the mark before the first byte is sent
//! caught-by: simulate
//! ```
//!
//! or `caught-by: test -p PACKAGE --lib -- NAME`, with `case: NAME` where the test is one of many cases.
//!
//! Blocks are found by their lines and not by their numbers, and must be there once, so that a patch outlives what
//! changes around it and never lands elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use crate::process::{Error, Result};

/// What must fail once the patch is applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// The simulator.
    Simulate,
    /// A test: what `cargo test` is told to build, and the name.
    Test { build: Vec<String>, name: String },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulate => f.write_str("simulate"),
            Self::Test { name, .. } => f.write_str(name),
        }
    }
}

/// Lines that are in a file, and what they become.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    before: Vec<String>,
    after: Vec<String>,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) promise: String,
    pub(super) removes: String,
    pub(super) caught_by: Proof,
    /// What the failing test must name, where one test stands for many cases.
    pub(super) case: Option<String>,
    files: BTreeMap<String, Vec<Block>>,
}

impl Patch {
    /// Reads a patch.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::new(format!("{name}: {what}"));
        let head: Vec<&str> = text.lines().take_while(|line| !is_diff(line)).collect();
        let line = |key: &str| {
            let line = head.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(str::trim).filter(|value| !value.is_empty())
        };
        let member = |key: &str| line(key).ok_or_else(|| wrong(&format!("its head does not say `{key}:`")));
        let caught_by = proof(member("caught-by")?)
            .ok_or_else(|| wrong("`caught-by:` is neither `simulate` nor `test -p PACKAGE ... -- NAME`"))?;
        let (promise, removes) = (member("promise")?.to_owned(), member("removes")?.to_owned());
        let files = blocks(text.lines().skip(head.len())).ok_or_else(|| wrong("its diff cannot be read"))?;
        let case = line("case").map(str::to_owned);
        Ok(Self { name: name.to_owned(), promise, removes, caught_by, case, files })
    }

    /// The files that the patch changes, by their paths in the repository.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text of one of its files with the changes.
    pub(super) fn apply(&self, path: &str, text: &str) -> Result<String> {
        let mut lines: Vec<&str> = text.split('\n').collect();
        for block in self.files.get(path).into_iter().flatten() {
            let is_here = |from: &usize| {
                let rest = &lines[*from..];
                rest.len() >= block.before.len() && block.before.iter().zip(rest).all(|(old, new)| old == new)
            };
            let places: Vec<usize> = (0..lines.len()).filter(is_here).collect();
            let [place] = places[..] else {
                let first = block.before.first().map_or("", |line| line.trim());
                return Err(Error::new(format!(
                    "{}: the block of {path} that begins with `{first}` is there {} times, not once",
                    self.name,
                    places.len()
                )));
            };
            lines.splice(place..place + block.before.len(), block.after.iter().map(String::as_str));
        }
        Ok(lines.join("\n"))
    }
}

fn is_diff(line: &str) -> bool {
    line.starts_with("diff --git ") || line.starts_with("--- ")
}

fn proof(text: &str) -> Option<Proof> {
    if text == "simulate" {
        return Some(Proof::Simulate);
    }
    let (build, name) = text.strip_prefix("test ")?.split_once(" -- ")?;
    let build = build.split_whitespace().map(str::to_owned).collect();
    let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    is_name(name).then(|| Proof::Test { build, name: name.to_owned() })
}

/// The blocks of a unified diff, by file. Only contents of files that stay change.
fn blocks<'t>(lines: impl Iterator<Item = &'t str>) -> Option<BTreeMap<String, Vec<Block>>> {
    let mut files: BTreeMap<String, Vec<Block>> = BTreeMap::new();
    let mut path: Option<String> = None;
    let mut is_inside = false;
    for line in lines {
        if line.starts_with("diff --git ") {
            is_inside = false;
        } else if let (false, Some(new)) = (is_inside, line.strip_prefix("+++ ")) {
            path = Some(new.strip_prefix("b/")?.to_owned());
        } else if line.starts_with("@@ ") {
            files.entry(path.clone()?).or_default().push(Block { before: Vec::new(), after: Vec::new() });
            is_inside = true;
        } else if is_inside {
            let block = files.get_mut(path.as_ref()?)?.last_mut()?;
            let (sign, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            match sign {
                " " => {
                    block.before.push(rest.to_owned());
                    block.after.push(rest.to_owned());
                }
                "-" => block.before.push(rest.to_owned()),
                "+" => block.after.push(rest.to_owned()),
                _ => return None,
            }
        }
    }
    let is_whole = |block: &Block| !block.before.is_empty() && block.before != block.after;
    let changes = !files.is_empty() && files.values().flatten().all(is_whole);
    changes.then_some(files)
}
