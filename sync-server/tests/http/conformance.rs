//! The conformance cases of the protocol's specification, section 17: for each number the request, and the answer
//! expected from each generation, over a real socket.
//!
//! A case is a row of text. Its request has a line `METHOD path` (`T` is the table), lines of headers, and after an
//! empty line the body; steps of one case are separated by `---`. `{V}` is the current version of the row `a`,
//! `{OLD}` an earlier one, `{D}` that of the deleted row `d`. A cell has the status and words that say what else is
//! looked at (see [`Judge`]); `;` separates steps, `-` stands where the case does not apply.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;

use super::*;

#[path = "conformance/callers.rs"]
mod callers;
#[path = "conformance/lists.rs"]
mod lists;
#[path = "conformance/requests.rs"]
mod requests;
#[path = "conformance/rows.rs"]
mod rows;
#[path = "conformance/scripts.rs"]
mod scripts;

/// Cells that are not held, with the reason.
const NOT_HELD: &[(u16, &[Dialect], &str)] = &[(
    31,
    &[Dialect::MobileServices, Dialect::MobileApps],
    "applies where a server is set to let clients add columns (a switch of development in the originals), and \
         this one has no such switch: its tables are made from the entities that it is given, so a column has a \
         type, a migration and an index before a row uses it, and a misspelt member, or a caller with bad wishes, \
         makes none. The member is refused with its name, so that the client's author learns of it",
)];

/// Numbers whose cells hold only in part, with what is missing.
const HELD_IN_PART: &[(u16, &str)] = &[(
    119,
    "Edm.Date and Edm.Guid match; no type of an entity is a time of day, so Edm.TimeOfDay has nothing to be \
         compared with (an instant and a time of day have no order in OData either) and is refused with 400",
)];

/// One row of the table.
struct Case {
    number: u16,
    request: &'static str,
    /// v1, v2, v3.
    cells: [&'static str; 3],
}

const fn case(
    number: u16,
    request: &'static str,
    v1: &'static str,
    v2: &'static str,
    v3: &'static str,
) -> Case {
    Case { number, request, cells: [v1, v2, v3] }
}

/// Cases that share what is in the database before each of them.
struct Section {
    seed: Seed,
    /// Whether the server speaks only the dialect of the cell.
    only: bool,
    cases: &'static [Case],
}

#[derive(Clone, Copy)]
enum Seed {
    /// `a` (live) and `d` (deleted), each with an earlier version.
    Pair,
    /// Rows for filters; see [`lists`].
    Filters,
    /// So many rows `r000`, `r001`, .. with `n` rising.
    Many(usize),
}

fn sections() -> Vec<Section> {
    [requests::SECTIONS, rows::SECTIONS, lists::SECTIONS]
        .into_iter()
        .flatten()
        .map(|section| Section { ..*section })
        .collect()
}

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MobileServices => "v1",
        Dialect::MobileApps => "v2",
        _ => "v3",
    }
}

/// The server of one cell.
struct Bench {
    fixture: Fixture,
    dialect: Dialect,
    version: String,
    old: String,
    deleted: String,
}

impl Bench {
    async fn new(seed: Seed, dialect: Dialect, only: bool) -> Self {
        let config = ServerConfig { body_limit: 4096, compression: true, ..ServerConfig::default() };
        let (mut version, mut old, mut deleted) = Default::default();
        let mut fixture = Fixture::with(config.clone()).await;
        match seed {
            Seed::Pair => {
                for id in ["a", "d"] {
                    let first =
                        fixture.insert(&json!({"id": id, "text": "first", "complete": false, "n": 1})).await;
                    let second = fixture.patch(id, &json!({"text": "t"}), &[]).await;
                    if id == "a" {
                        (old, version) = (first.version().to_owned(), second.version().to_owned());
                    }
                }
                deleted = fixture.delete("d", &[]).await.version().to_owned();
            }
            Seed::Filters => {
                for row in lists::filter_rows() {
                    fixture.insert(&row).await;
                }
            }
            Seed::Many(count) => fixture.fill(count).await,
        }
        if only {
            fixture = fixture.reopen(ServerConfig { dialect: Some(dialect), ..config }).await;
        }
        Self { fixture, dialect, version, old, deleted }
    }

    /// A request in the dialect, unless its headers say otherwise.
    async fn send(&self, text: &str) -> Answer {
        let ahead = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let text = text
            .replace("{V}", &self.version)
            .replace("{OLD}", &self.old)
            .replace("{D}", &self.deleted)
            .replace("{AHEAD}", &ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .replace("{BIG}", &"x".repeat(5000));
        let (head, body) = match text.split_once("\n\n") {
            Some((head, body)) => (head, Some(body)),
            None => (text.as_str(), None),
        };
        let mut lines = head.lines();
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("a request line");
        let path = match path.strip_prefix('T') {
            Some(rest) => format!("{T}{rest}"),
            None => path.to_owned(),
        };
        let path = path.replace(' ', "%20");
        let headers: Vec<(&str, &str)> =
            lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
        let is_set = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut all: Vec<_> = headers.iter().copied().filter(|(name, _)| *name != "@bare").collect();
        if let (Some(version), false) =
            (self.dialect.api_version(), is_set("zumo-api-version") || is_set("@bare"))
        {
            all.push(("zumo-api-version", version));
        }
        if body.is_some() && !is_set("content-type") {
            all.push(("content-type", "application/json"));
        }
        self.fixture.raw(method, &path, &all, body).await
    }
}

/// What the words of a cell look at.
struct Judge<'a> {
    bench: &'a Bench,
    answer: &'a Answer,
}

impl Judge<'_> {
    /// Whether the answer fits the words; else what does not.
    fn check(&self, cell: &str) -> Result<(), String> {
        let (status, words) = cell.trim().split_once(' ').unwrap_or((cell.trim(), ""));
        if !status.split('|').any(|status| status == self.answer.status.to_string()) {
            return Err(format!("status {}", self.answer.status));
        }
        // A blank inside a word is written `~`.
        words.split_whitespace().try_for_each(|word| {
            let word = word.replace('~', " ");
            self.word(&word).map_err(|found| format!("{word}: {found}"))
        })
    }

    fn word(&self, word: &str) -> Result<(), String> {
        let (answer, json) = (self.answer, &self.answer.json);
        let names = self.bench.dialect.names();
        let is = |holds: bool, found: &str| if holds { Ok(()) } else { Err(found.to_owned()) };
        if let Some(expected) = word.strip_prefix("members=") {
            let row = self.rows().first().copied().unwrap_or(json);
            let mut found: Vec<_> =
                row.as_object().map(|row| row.keys().cloned().collect()).unwrap_or_default();
            let mut expected: Vec<_> = expected.split(',').map(str::to_owned).collect();
            found.sort();
            expected.sort();
            return is(found == expected, &found.join(","));
        }
        if let Some(expected) = word.strip_prefix("ids=") {
            let found: Vec<_> = self.rows().iter().map(|row| row["id"].as_str().unwrap_or("?")).collect();
            return is(found.join(",") == expected, &found.join(","));
        }
        if let Some(expected) = word.strip_prefix("rows=") {
            let found = self.rows().len().to_string();
            return is(found == expected, &found);
        }
        if let Some(expected) = word.strip_prefix("allow=") {
            let found = answer.header("allow").unwrap_or_default();
            return is(expected.split(',').all(|method| found.contains(method)), found);
        }
        if let Some(expected) = word.strip_prefix("says=") {
            return is(answer.text.contains(expected), &answer.text);
        }
        if let Some(expected) = word.strip_prefix("link=") {
            let found = answer.header("link").unwrap_or_default();
            let expected = format!("{}{T}?{expected}; rel=next", self.bench.fixture.running.url());
            return is(found == expected, found);
        }
        if word.starts_with('/') {
            let (pointer, expected, negated) = match word.split_once("!=") {
                Some((pointer, expected)) => (pointer, expected, true),
                None => word
                    .split_once('=')
                    .map(|(pointer, expected)| (pointer, expected, false))
                    .expect("a value"),
            };
            let found = json.pointer(pointer).map(ToString::to_string).unwrap_or_default();
            return is((found == expected) != negated && !found.is_empty(), &found);
        }
        match word {
            "array" => is(json.is_array(), &answer.text),
            "items" => is(json["items"].is_array() && json.get("nextLink").is_some(), &answer.text),
            "empty" => is(answer.text.is_empty(), &answer.text),
            "text" => is(*json == Value::Null && !answer.text.is_empty(), &answer.text),
            "error" => match self.bench.dialect {
                Dialect::MobileServices => {
                    is(json["code"] == answer.status && json["error"].is_string(), &answer.text)
                }
                Dialect::MobileApps => is(json["error"].is_string(), &answer.text),
                _ => is(answer.text.is_empty() || json.is_string(), &answer.text),
            },
            "row" => {
                let mut expected = vec![
                    "id",
                    "text",
                    "complete",
                    "n",
                    "when",
                    "ratio",
                    names.updated_at,
                    names.version,
                    names.deleted,
                ];
                if self.bench.dialect != Dialect::Datasync {
                    expected.push(names.created_at);
                }
                self.word(&format!("members={}", expected.join(",")))?;
                self.word("etag")
            }
            "etag" => {
                let expected = format!("\"{}\"", json[names.version].as_str().unwrap_or("?"));
                is(answer.header("etag") == Some(&expected), answer.header("etag").unwrap_or("none"))
            }
            "noetag" => is(answer.header("etag").is_none(), answer.header("etag").unwrap_or_default()),
            "etag=V" => {
                let expected = format!("\"{}\"", self.bench.version);
                is(answer.header("etag") == Some(&expected), answer.header("etag").unwrap_or("none"))
            }
            "location" => {
                let expected =
                    format!("{}{T}/{}", self.bench.fixture.running.url(), json["id"].as_str().unwrap_or("?"));
                is(answer.header("location") == Some(&expected), answer.header("location").unwrap_or("none"))
            }
            "lastmod" => is(
                answer.header("last-modified").is_some_and(|date| date.ends_with(" GMT")),
                answer.header("last-modified").unwrap_or("none"),
            ),
            "changed" => is(
                json[names.version].as_str().is_some_and(|version| version > self.bench.version.as_str()),
                &answer.text,
            ),
            "unchanged" => is(json[names.version] == self.bench.version.as_str(), &answer.text),
            "nolink" => is(answer.header("link").is_none(), answer.header("link").unwrap_or_default()),
            "uuid" => is(json["id"].as_str().is_some_and(|id| id.len() == 36), &answer.text),
            unknown => panic!("no such word: {unknown}"),
        }
    }

    fn rows(&self) -> Vec<&Value> {
        let json = &self.answer.json;
        let list = [json, &json["results"], &json["items"]].into_iter().find_map(Value::as_array);
        list.map(|list| list.iter().collect()).unwrap_or_default()
    }
}

async fn run(section: &Section, case: &Case, dialect: Dialect, cell: &str) -> Result<(), String> {
    let bench = Bench::new(section.seed, dialect, section.only).await;
    let steps: Vec<_> = case.request.split("\n---\n").collect();
    let cells: Vec<_> = cell.split(" ; ").collect();
    assert_eq!(steps.len(), cells.len(), "case {} {}", case.number, name(dialect));
    for (step, cell) in steps.iter().zip(cells) {
        let answer = bench.send(step).await;
        Judge { bench: &bench, answer: &answer }.check(cell).map_err(|fault| {
            format!(
                "case {} {}: {step}\n  expected {cell}\n  found {fault}\n  {}",
                case.number,
                name(dialect),
                answer.text
            )
        })?;
    }
    Ok(())
}

async fn run_all(only: impl Fn(u16) -> bool) {
    let sections = sections();
    let mut cells = Vec::new();
    for section in &sections {
        for case in section.cases.iter().filter(|case| only(case.number)) {
            for (dialect, cell) in Dialect::ALL.into_iter().zip(case.cells).filter(|(_, cell)| *cell != "-") {
                cells.push(run(section, case, dialect, cell));
            }
        }
    }
    assert!(!cells.is_empty());
    let faults: Vec<_> = futures_util::stream::iter(cells)
        .buffer_unordered(8)
        .filter_map(|result| async { result.err() })
        .collect()
        .await;
    assert!(faults.is_empty(), "{} cells:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn cases_001_to_014_addresses_versions_and_methods() {
    run_all(|number| number <= 14).await;
}

#[tokio::test]
async fn cases_015_to_045_inserts_and_single_reads() {
    run_all(|number| (15..=45).contains(&number)).await;
}

#[tokio::test]
async fn cases_046_to_077_updates_deletes_undeletes() {
    run_all(|number| (46..=77).contains(&number)).await;
}

#[tokio::test]
async fn cases_078_to_098_lists() {
    run_all(|number| (78..=98).contains(&number)).await;
}

#[tokio::test]
async fn cases_099_to_145_filters_and_headers() {
    run_all(|number| number >= 99).await;
}

#[tokio::test]
async fn cases_of_several_clients_pages_and_restarts() {
    for (_, dialects, script) in scripts::all() {
        for dialect in *dialects {
            script(*dialect).await;
        }
    }
}

#[test]
fn every_number_has_a_case_or_a_reason() {
    let mut known: BTreeSet<u16> =
        sections().iter().flat_map(|section| section.cases).map(|case| case.number).collect();
    known.extend(scripts::all().flat_map(|(numbers, ..)| numbers.iter().copied()));
    for (number, dialects, reason) in NOT_HELD {
        assert!(!dialects.is_empty() && !reason.is_empty());
        assert!(dialects.len() < 3 || !known.contains(number), "{number} is held");
        known.insert(*number);
    }
    assert!(HELD_IN_PART.iter().all(|(number, missing)| known.contains(number) && !missing.is_empty()));
    assert_eq!(known, (1..=145).collect());
}
