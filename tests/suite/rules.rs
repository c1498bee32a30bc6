//! Every rule of the product has a test, or a stated reason why it has none.
//!
//! The table is `tests/rules.txt`: a line per rule, `id | what it says | tests`, or `id | what it says | - reason`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../rules.txt");

/// The ids that are numbered with two digits after a hyphen.
const NUMBERED: &[(&str, RangeInclusive<u32>)] = &[
    ("C", 1..=12),
    ("Q", 1..=11),
    ("X", 1..=17),
    ("F", 1..=11),
    ("P", 1..=19),
    ("P", 21..=30),
    ("M", 1..=7),
    ("L", 1..=40),
    ("T", 1..=10),
    ("G", 1..=14),
    ("K", 1..=20),
    ("S", 1..=20),
    ("R", 1..=12),
    ("E", 1..=6),
    ("D", 1..=7),
    ("V", 1..=13),
    ("W", 1..=18),
    ("H", 1..=5),
    ("A", 1..=6),
    ("Z", 1..=14),
];

/// The ids that are numbered plainly: the invariants, the steps of each procedure, the rulings, the promises.
const PLAIN: &[(&str, RangeInclusive<u32>)] = &[
    ("I-", 1..=10),
    ("17.1-", 1..=2),
    ("17.2-", 1..=6),
    ("17.3-", 1..=6),
    ("17.4-", 1..=3),
    ("17.5-", 1..=11),
    ("R", 1..=23),
    ("G", 1..=10),
];

fn expected() -> BTreeSet<String> {
    let numbered = NUMBERED
        .iter()
        .flat_map(|(group, range)| range.clone().map(move |number| format!("{group}-{number:02}")));
    let plain =
        PLAIN.iter().flat_map(|(group, range)| range.clone().map(move |number| format!("{group}{number}")));
    let lettered = ('a'..='i').map(|letter| format!("P-20{letter}"));
    numbered.chain(plain).chain(lettered).collect()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests stand in the workspace").to_owned()
}

/// The Rust sources under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The Rust sources of the workspace.
fn workspace() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root()).expect("the workspace") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && (name.starts_with("sync-") || ["tests", "xtask", "examples"].contains(&name)) {
            sources(&path, &mut found);
        }
    }
    found
}

fn name_of(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = ["pub(super) ", "pub(crate) ", "pub "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
        .unwrap_or(rest);
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// The tests of the sources, by name.
#[derive(Default)]
struct Tests {
    run: BTreeSet<String>,
    /// Skipped without a word by whoever runs the tests.
    ignored: BTreeSet<String>,
}

/// Adds the functions of a source that are marked as tests.
fn tests_in(source: &str, tests: &mut Tests) {
    let (mut is_test, mut is_ignored) = (false, false);
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") || (line.starts_with("#[cfg_attr(") && line.contains("ignore"))
        {
            is_ignored = true;
        } else if let Some(name) = name_of(line) {
            if is_test {
                let tests = if is_ignored { &mut tests.ignored } else { &mut tests.run };
                tests.insert(name.to_owned());
            }
            (is_test, is_ignored) = (false, false);
        }
    }
}

/// Everything a line of the table may name: test functions, and the cases that are run as tests.
fn tests() -> Tests {
    macro_rules! names {
        (; $($module:ident { $($case:ident)+ })+) => {
            [$($(stringify!($case)),+),+]
        };
    }
    let cases = sync_tests::for_each_case! { names };
    let cases = cases.iter().chain(sync_core::store::contract::CASES);
    let run = cases.map(|&case| case.to_owned()).collect();
    let mut tests = Tests { run, ignored: BTreeSet::new() };
    for path in workspace() {
        tests_in(&fs::read_to_string(path).expect("a source"), &mut tests);
    }
    tests
}

struct Rule<'t> {
    id: &'t str,
    title: &'t str,
    tests: Vec<&'t str>,
    reason: Option<&'t str>,
}

fn rules(table: &str) -> Vec<Rule<'_>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [id, title, last] = parts[..] else { panic!("not three columns: {line}") };
            match last.strip_prefix('-') {
                Some(reason) => Rule { id, title, tests: Vec::new(), reason: Some(reason.trim()) },
                None => Rule { id, title, tests: last.split(',').map(str::trim).collect(), reason: None },
            }
        })
        .collect()
}

/// What is wrong with the table, one fault a line.
fn faults(table: &str, expected: &BTreeSet<String>, tests: &BTreeSet<String>) -> String {
    let mut faults = String::new();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let rules = rules(table);
    for rule in &rules {
        let id = rule.id;
        *seen.entry(id).or_default() += 1;
        if !expected.contains(id) {
            writeln!(faults, "{id}: no such rule").expect("text");
        }
        if rule.title.is_empty() {
            writeln!(faults, "{id}: says nothing").expect("text");
        }
        match rule.reason {
            Some(reason) if reason.split_whitespace().count() < 3 => {
                writeln!(faults, "{id}: neither a test nor a reason").expect("text");
            }
            Some(_) => {}
            None => {
                for test in rule.tests.iter().filter(|test| !tests.contains(**test)) {
                    writeln!(faults, "{id}: there is no test {test:?}").expect("text");
                }
            }
        }
    }
    for (id, times) in seen.iter().filter(|(_, times)| **times > 1) {
        writeln!(faults, "{id}: {times} lines").expect("text");
    }
    for id in expected.iter().filter(|id| !seen.contains_key(id.as_str())) {
        writeln!(faults, "{id}: no line").expect("text");
    }
    faults
}

#[test]
fn every_rule_has_a_test_or_a_reason() {
    let faults = faults(TABLE, &expected(), &tests().run);
    assert!(faults.is_empty(), "tests/rules.txt:\n{faults}");
}

#[test]
fn no_test_of_the_workspace_is_ignored() {
    assert_eq!(tests().ignored, BTreeSet::new());
}

#[test]
fn faults_of_the_table_are_named() {
    let ids = ["C-01", "C-02", "C-03", "C-04", "C-05"].map(str::to_owned).into();
    let tests = ["here".to_owned()].into();
    let table = "# a comment\n\
                 C-01 | one | here\n\
                 C-01 | again | - a good reason\n\
                 C-02 | two | here, gone\n\
                 C-03 | three | -\n\
                 C-04 |  | here\n\
                 C-06 | six | here\n";
    let expected = "C-02: there is no test \"gone\"\n\
                    C-03: neither a test nor a reason\n\
                    C-04: says nothing\n\
                    C-06: no such rule\n\
                    C-01: 2 lines\n\
                    C-05: no line\n";
    assert_eq!(faults(table, &ids, &tests), expected);

    let mut found = Tests::default();
    let source = "#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\n#[expect(lint)]\n\
                  async fn two<T>() {}\n#[test]\n#[ignore = \"slow\"]\n\
                  fn three() {}\n#[cfg_attr(windows, ignore)]\n#[test]\nfn four() {}\n";
    tests_in(source, &mut found);
    assert_eq!(found.run.into_iter().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(found.ignored.into_iter().collect::<Vec<_>>(), ["four", "three"]);
}

/// I-7: the device's clock names files and ids, measures the life of a credential and the time of a request; nothing
/// that is stored, asked for or resolved depends on it.
#[test]
fn i_7_the_devices_clock_decides_nothing() {
    const CLOCKS: &[&str] = &[
        "Utc::now",
        "SystemTime::now",
        "Instant::now",
        "now_v7",
        "'now'",
        "CURRENT_TIMESTAMP",
        "unixepoch(",
    ];
    const ALLOWED: &[&str] = &[
        "sync-core/src/client/credentials.rs",
        "sync-core/src/client/logging.rs",
        "sync-diesel/src/migration/cli.rs",
        "sync-diesel/src/remote.rs",
        "sync-diesel/src/schema/create.rs",
        "sync-diesel/src/sql_log.rs",
        "sync-diesel/src/table.rs",
    ];
    let mut readers = BTreeSet::new();
    for krate in ["sync-core", "sync-diesel"] {
        let mut found = Vec::new();
        sources(&root().join(krate).join("src"), &mut found);
        for path in found {
            let text = fs::read_to_string(&path).expect("a source");
            let relative = path.strip_prefix(root()).expect("in the workspace").to_str().expect("text");
            let relative = relative.replace('\\', "/");
            if !relative.contains("tests") && CLOCKS.iter().any(|clock| text.contains(clock)) {
                readers.insert(relative);
            }
        }
    }
    assert_eq!(readers.iter().map(String::as_str).collect::<Vec<_>>(), ALLOWED);
}
