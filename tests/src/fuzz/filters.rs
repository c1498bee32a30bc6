//! `$filter` and `$orderby` as a server reads them: what can be read can be written, and means the same everywhere.
//!
//! An input is the name of a dialect in a line, and a filter.

use std::fmt;

use sync_core::ErrorKind;
use sync_core::odata::{self, Limits};
use sync_core::predicate::Node;
use sync_core::profile::ServerProfile;
use sync_core::protocol::Dialect;
use sync_core::row::Row;
use sync_core::time;
use sync_core::value::Value;
use uuid::Uuid;

use super::model::{WIDE, dialect_of, inputs};
use super::{Target, Verdict};
use crate::differential::engines::LocalTable;
use crate::differential::{Answer, Sample};

/// The profiles of the known servers.
pub(super) const PROFILES: [fn() -> ServerProfile; 4] = [
    ServerProfile::sync_server,
    ServerProfile::node_sqlite,
    ServerProfile::conservative,
    ServerProfile::datasync,
];

/// Rows with the edges of each type, in memory and in a database.
pub struct Engines {
    pub(super) sample: Sample,
    local: LocalTable,
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engines").field("sample", &self.sample).finish_non_exhaustive()
    }
}

impl Default for Engines {
    fn default() -> Self {
        let instant = |text: &str| Value::DateTime(time::parse(text).expect("an instant"));
        let text = |text: &str| Value::Text(text.to_owned());
        let null = || Value::Null;
        let rows = vec![
            vec![
                text("milk"),
                text("it's"),
                Value::Bool(true),
                Value::Integer(-128),
                Value::Integer(4_294_967_295),
                Value::Integer(i64::MAX),
                Value::Real(f64::from(f32::MAX)),
                Value::Real(f64::MAX),
                instant("9999-12-31T23:59:59.999Z"),
                Value::Uuid(Uuid::max()),
                text("draft"),
            ],
            vec![
                text(""),
                null(),
                Value::Bool(false),
                null(),
                null(),
                null(),
                null(),
                null(),
                null(),
                null(),
                null(),
            ],
            vec![
                text("a\u{0}b"),
                text("e\u{301}%_\u{1f680}"),
                Value::Bool(false),
                Value::Integer(0),
                Value::Integer(0),
                Value::Integer(i64::MIN),
                Value::Real(f64::from(0.1_f32)),
                Value::Real(0.1),
                instant("0001-01-01T00:00:00Z"),
                Value::Uuid(Uuid::nil()),
                null(),
            ],
            vec![
                text("Größe"),
                text("2024-01-02T03:04:05.678Z"),
                Value::Bool(true),
                Value::Integer(7),
                Value::Integer(7),
                Value::Integer(7),
                Value::Real(7.5),
                Value::Real(-7.5),
                instant("1969-12-31T23:59:59.999Z"),
                Value::Uuid(Uuid::from_u128(7)),
                text("7"),
            ],
        ];
        let rows = rows.into_iter().enumerate().map(|(index, values)| Row {
            version: (index > 0).then(|| format!("v{index}")),
            updated_at: time::parse("2024-01-02T03:04:05.678Z").filter(|_| index > 0),
            deleted: index == 2,
            ..Row::new(format!("row{index}"), values)
        });
        let sample = Sample { table: WIDE, rows: rows.collect() };
        let local = LocalTable::create(&sample);
        Self { sample, local }
    }
}

impl Engines {
    /// Asks evaluator and database; both must find the same.
    pub(super) fn judged(&mut self, node: &Node) -> Result<(), String> {
        match self.local.select(node) {
            Answer::Found(found) if found == self.sample.evaluated(node) => Ok(()),
            Answer::Found(found) => {
                let expected = self.sample.evaluated(node);
                Err(format!("G9: the evaluator finds {expected:?}, the database {found:?} by {node:?}"))
            }
            Answer::Refused(why) => Err(format!("G9: the database refuses {node:?}: {why}")),
            Answer::Inexpressible => Ok(()),
        }
    }
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Filters {
    engines: Engines,
}

impl Target for Filters {
    fn name(&self) -> &'static str {
        "filters"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        inputs([
            "v2\n(title eq 'it''s') and (n ge 3L or not (done eq true)) and price lt 2.5",
            "v2\nsubstringof('il',title) or startswith(tolower(note),'a') and indexof(title,'k') ne -1",
            "v2\nupdatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000+00:00' and deleted eq false",
            "v2\nyear(dueAt) eq 2024 and (small add 3 mul 2) mod 7 div 2 sub -1 gt floor(ratio) and key eq \
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "v1\n__updatedAt gt datetime'2015-01-02T03:04:05.678Z' and replace(title,'a','b') eq 'b' and ratio eq 0.1f",
            "v3\nid in ('a','b') and contains(concat(title,substring(note,1,2)),'x')",
            "v3\nupdatedAt gt cast(2015-01-02T03:04:05.678Z,Edm.DateTimeOffset) or date(dueAt) eq \
             cast(1994-10-14,Edm.Date) and time(dueAt) lt cast(07:14:00,Edm.TimeOfDay)",
            "v3\nkey eq cast(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,Edm.Guid) and length(trim(title)) gt 1e2",
            "v2\ntitle ne null and round(price) le 9223372036854775807 and n gt -9223372036854775808",
        ])
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            " and ",
            " or ",
            "not ",
            " eq ",
            " ne ",
            " gt ",
            " ge ",
            " lt ",
            " le ",
            " add ",
            " sub ",
            " mul ",
            " div ",
            " mod ",
            " in ",
            "null",
            "true",
            "false",
            "(",
            ")",
            ",",
            "-",
            "/",
            ".",
            "'",
            "title",
            "note",
            "done",
            "small",
            "count",
            "n",
            "ratio",
            "price",
            "dueAt",
            "key",
            "draft",
            "id",
            "updatedAt",
            "version",
            "deleted",
            "createdAt",
            "length(title)",
            "substringof(",
            "contains(",
            "startswith(",
            "endswith(",
            "indexof(",
            "substring(",
            "replace(",
            "tolower(",
            "toupper(",
            "trim(",
            "concat(",
            "round(",
            "floor(",
            "ceiling(",
            "year(",
            "month(",
            "day(",
            "hour(",
            "minute(",
            "second(",
            "date(",
            "time(",
            "cast(",
            "Edm.Date)",
            "datetime'",
            "1L",
            "2.5f",
            "2.5d",
            "2.5M",
            "1e5",
            "07:14:00",
            "2024-01-02",
            " asc",
            " desc",
            "title/note",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let (dialect, text) = dialect_of(input);
        let text = String::from_utf8_lossy(text);
        // More than any server allows must do no harm either.
        let boundless = Limits { max_length: usize::MAX, max_depth: usize::MAX, max_nodes: usize::MAX };
        let _ = odata::parse(&text, WIDE, dialect, &boundless);
        let _ = odata::parse_order(&text, WIDE, dialect, &boundless);
        let limits = Limits::default();
        if let Ok(keys) = odata::parse_order(&text, WIDE, dialect, &limits) {
            for (key, _) in keys {
                self.sound(&key, dialect, false)?;
            }
        }
        match odata::parse(&text, WIDE, dialect, &limits) {
            Ok(node) => {
                within(&node, &limits)?;
                self.sound(&node, dialect, true).map(|()| Verdict::Taken)
            }
            Err(error) if error.position() > text.len() => {
                Err(format!("parse: an error behind the end of the text: {error}"))
            }
            Err(_) => Ok(Verdict::Refused),
        }
    }
}

impl Filters {
    fn sound(&mut self, node: &Node, dialect: Dialect, is_condition: bool) -> Result<(), String> {
        if is_condition && !names_created_at(node) {
            self.engines.judged(node)?;
            // The text of one dialect is read as it was written, but for the limits.
            let written = match odata::render(node, dialect) {
                Ok(written) => written,
                // Parts of days are read, but not written.
                Err(error) if error.kind() == ErrorKind::InvalidArgument => return Ok(()),
                Err(error) => return Err(format!("render: {node:?} was read, but not written: {error}")),
            };
            let limits = Limits { max_length: usize::MAX, max_depth: 128, max_nodes: usize::MAX };
            let read = odata::parse(&written, WIDE, dialect, &limits)
                .map_err(|error| format!("render: {written} is not read again: {error}"))?;
            let again = odata::render(&read, dialect).map_err(|error| format!("render: {error}"))?;
            if again != written {
                return Err(format!("render: {written}\nbecomes {again}"));
            }
            if self.engines.sample.evaluated(node) != self.engines.sample.evaluated(&read) {
                return Err(format!("render: {written} means something else"));
            }
        }
        Ok(())
    }
}

/// What was read keeps the limits: each level in the text is two of the tree at most, a list in a list.
fn within(node: &Node, limits: &Limits) -> Result<(), String> {
    fn measure(node: &Node) -> (usize, usize) {
        let parts: Vec<_> = match node {
            Node::Compare(_, left, right) => vec![measure(left), measure(right)],
            Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => parts.iter().map(measure).collect(),
            Node::Not(inner) => vec![measure(inner)],
            _ => Vec::new(),
        };
        let depth = parts.iter().map(|part| part.1).max().unwrap_or(0);
        (1 + parts.iter().map(|part| part.0).sum::<usize>(), 1 + depth)
    }
    let (nodes, depth) = measure(node);
    if nodes > limits.max_nodes || depth > 2 * limits.max_depth + 4 {
        return Err(format!("limits: {nodes} nodes, {depth} deep"));
    }
    Ok(())
}

/// Whether the condition names the creation time, which no client has.
fn names_created_at(node: &Node) -> bool {
    match node {
        Node::Column(column) => odata::CREATED_AT.iter().any(|created_at| created_at.name == column.name),
        Node::Compare(_, left, right) => names_created_at(left) || names_created_at(right),
        Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => parts.iter().any(names_created_at),
        Node::Not(inner) => names_created_at(inner),
        _ => false,
    }
}
