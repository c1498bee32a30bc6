//! Which dialects a server speaks, by what it answers to a few questions (protocol.md 2.3).
//!
//! Nothing can be concluded from "no rows": a request in the wrong words is answered with `200 []` by one real
//! server. A probe asks for one row of a table, without a version header, with that of v2 and with that of v3, and
//! compares statuses, shapes and the names of system properties. Pure: the engine sends the requests.

use super::{Dialect, Endpoint, request, response};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{self, ListShape};
use crate::transport::{Request, Response};

/// The questions in order: the version header of each.
const QUESTIONS: [Option<&str>; 3] = [
    Dialect::MobileServices.api_version(),
    Dialect::MobileApps.api_version(),
    Dialect::Datasync.api_version(),
];

/// A server program, where its answers carry its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerKind {
    /// The Mobile Services runtime.
    MobileServices,
    /// Azure Mobile Apps on Node.
    MobileAppsNode,
    /// Azure Mobile Apps on .NET.
    MobileAppsDotnet,
}

impl ServerKind {
    /// Reads the header `x-zumo-server-version`.
    fn of(response: &Response) -> Option<Self> {
        let mark = response.headers.get("x-zumo-server-version")?.to_str().ok()?;
        [("nodev1-", Self::MobileServices), ("node-", Self::MobileAppsNode), ("net-", Self::MobileAppsDotnet)]
            .into_iter()
            .find_map(|(prefix, kind)| mark.starts_with(prefix).then_some(kind))
    }

    const fn dialect(self) -> Dialect {
        match self {
            Self::MobileServices => Dialect::MobileServices,
            Self::MobileAppsNode | Self::MobileAppsDotnet => Dialect::MobileApps,
        }
    }
}

/// What a probe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    speaks: [Option<bool>; 3],
    server: Option<ServerKind>,
    requests: u32,
}

impl ProbeReport {
    /// Whether the server speaks a dialect; `None` where its answers do not tell, which happens with an empty table
    /// on servers that ignore the version header.
    pub fn speaks(&self, dialect: Dialect) -> Option<bool> {
        self.speaks[index(dialect)]
    }

    /// The dialects the server certainly speaks, oldest first.
    pub fn dialects(&self) -> impl Iterator<Item = Dialect> {
        Dialect::ALL.into_iter().filter(|dialect| self.speaks(*dialect) == Some(true))
    }

    /// The newest dialect the server certainly speaks: the one to open a context with.
    pub fn newest(&self) -> Option<Dialect> {
        self.dialects().last()
    }

    /// The server program, if its answers carry a mark.
    pub fn server(&self) -> Option<ServerKind> {
        self.server
    }

    /// How many requests were sent, 1 to 3.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The error for a context set to a dialect that the server does not speak.
    pub(crate) fn wrong_dialect(&self, dialect: Dialect) -> Error {
        let found: Vec<_> = self.dialects().map(Dialect::label).collect();
        let found = if found.is_empty() { "none that is known".to_owned() } else { found.join(" and ") };
        Error::new(
            ErrorKind::WrongDialect,
            format!(
                "the server does not speak {}, which this context is set to; it speaks {found}",
                dialect.label()
            ),
        )
    }
}

/// An answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// No list.
    Refused,
    /// A list as only v3 has it.
    Items,
    /// Rows whose system properties begin with two underscores.
    OldNames,
    /// Rows with plainly named system properties.
    NewNames,
    /// Rows without system properties: those of v1 where they are not asked for.
    Bare,
    /// A list without rows, which shows nothing.
    Empty,
}

/// A probe under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    heard: [Option<Heard>; 3],
    asked: usize,
    server: Option<ServerKind>,
}

impl Probe {
    /// The next question; `None` when the answers so far tell all that can be known, or all about `wanted`.
    ///
    /// # Errors
    ///
    /// None for a valid table.
    pub(crate) fn next(
        &self,
        endpoint: &Endpoint,
        table: &TableSchema,
        wanted: Option<Dialect>,
    ) -> Result<Option<Request>> {
        let spoken = |answer| Dialect::ALL.into_iter().any(|dialect| self.speaks(dialect) == answer);
        let is_known = match wanted.map(|dialect| self.speaks(dialect)) {
            Some(Some(true)) => true,
            // The error shall say what the server does speak.
            Some(Some(false)) => spoken(Some(true)) || !spoken(None),
            Some(None) | None => !spoken(None),
        };
        match QUESTIONS.get(self.asked) {
            Some(version) if !is_known => request::probe(endpoint, table, *version).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes in the answer to the last question.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`], [`ErrorKind::UnknownTable`] and
    /// [`ErrorKind::Refused`] for answers that say nothing about dialects.
    pub(crate) fn hear(&mut self, answer: &Response) -> Result<()> {
        let heard = match answer.status.as_u16() {
            200..=299 => read_list(&answer.body),
            // One server fails so under a newer web framework, and no other does.
            500 if response::error_text(answer).contains("hasOwnProperty") => {
                self.server = Some(ServerKind::MobileAppsNode);
                Heard::Empty
            }
            404 => {
                return Err(Error::new(ErrorKind::UnknownTable, "the server does not have this table")
                    .with_status(404));
            }
            401 | 408 | 429 | 500..=599 => return Err(response::error(answer)),
            _ => Heard::Refused,
        };
        if let Some(place) = self.heard.get_mut(self.asked) {
            *place = Some(heard);
        }
        self.server = self.server.or_else(|| ServerKind::of(answer));
        self.asked += 1;
        Ok(())
    }

    /// What is known when no question is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] when no answer was that of a tables server.
    pub(crate) fn into_report(self) -> Result<ProbeReport> {
        let is_foreign = self.server.is_none()
            && self.heard.iter().all(|heard| matches!(heard, None | Some(Heard::Refused)));
        if is_foreign {
            return Err(Error::new(
                ErrorKind::InvalidResponse,
                "no generation of the tables protocol is spoken at this address",
            ));
        }
        let requests = u32::try_from(self.asked).unwrap_or(u32::MAX);
        Ok(ProbeReport {
            speaks: Dialect::ALL.map(|dialect| self.speaks(dialect)),
            server: self.server,
            requests,
        })
    }

    /// What the answers so far say about a dialect.
    fn speaks(&self, dialect: Dialect) -> Option<bool> {
        use Heard::{Bare, Empty, Items, NewNames, OldNames, Refused};
        if let Some(server) = self.server {
            return Some(server.dialect() == dialect);
        }
        let [v1, v2, v3] = self.heard;
        match dialect {
            Dialect::MobileServices => match (v1?, v2, v3) {
                (OldNames, ..) => Some(true),
                (Refused | Items | NewNames, ..) => Some(false),
                // No row to see names in. A server that tells versions apart takes "none" as its own.
                (Bare | Empty, Some(Refused), _) | (Bare | Empty, _, Some(Items)) => Some(true),
                (Bare | Empty, ..) => None,
            },
            Dialect::MobileApps => match (v1?, v2, v3) {
                // The Community Toolkit answers so to any version.
                (Items, ..) => Some(false),
                // The check of the header is switched off.
                (NewNames, ..) => Some(true),
                (_, Some(Refused | Items | OldNames | Bare), _) => Some(false),
                (_, Some(NewNames), _) => Some(true),
                (Refused, Some(Empty), _) | (_, Some(Empty), Some(Items)) => Some(true),
                _ => None,
            },
            Dialect::Datasync => match (v1?, v3) {
                (Items, _) | (_, Some(Items)) => Some(true),
                (_, Some(_)) => Some(false),
                (_, None) => None,
            },
        }
    }
}

const fn index(dialect: Dialect) -> usize {
    match dialect {
        Dialect::MobileServices => 0,
        Dialect::MobileApps => 1,
        Dialect::Datasync => 2,
    }
}

fn read_list(body: &[u8]) -> Heard {
    let rows = match page::member_names(body) {
        Ok((ListShape::Items, _)) => return Heard::Items,
        Ok((_, rows)) => rows,
        Err(_) => return Heard::Refused,
    };
    let has = |dialect: Dialect| {
        let names = dialect.names();
        let is_system = |name: &String| [names.version, names.updated_at].contains(&name.as_str());
        rows.iter().flatten().any(is_system)
    };
    if has(Dialect::MobileServices) {
        Heard::OldNames
    } else if has(Dialect::MobileApps) {
        Heard::NewNames
    } else if rows.is_empty() {
        Heard::Empty
    } else {
        Heard::Bare
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    static TABLE: TableSchema =
        TableSchema { name: "TodoItem", columns: &[], versioned: true, keep_deleted: false };

    const V1: Dialect = Dialect::MobileServices;
    const V2: Dialect = Dialect::MobileApps;
    const V3: Dialect = Dialect::Datasync;

    const EMPTY: (u16, &str) = (200, "[]");
    const OLD: (u16, &str) = (200, "[{\"id\":\"a\",\"__version\":\"1\"}]");
    const BARE: (u16, &str) = (200, "[{\"id\":\"a\"}]");
    const NEW: (u16, &str) = (200, "[{\"id\":\"a\",\"updatedAt\":\"x\"}]");
    const ITEMS: (u16, &str) = (200, "{\"items\":[],\"nextLink\":null}");
    const NO: (u16, &str) = (400, "{\"error\":\"An invalid API version\"}");

    fn answer((status, body): (u16, &'static str), mark: Option<&'static str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(mark) = mark {
            headers.insert("x-zumo-server-version", HeaderValue::from_static(mark));
        }
        let status = StatusCode::from_u16(status).expect("valid");
        Response { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    /// Runs a probe of a server that answers so to the three questions.
    fn run(
        answers: [(u16, &'static str); 3],
        mark: Option<&'static str>,
        wanted: Option<Dialect>,
    ) -> Result<ProbeReport> {
        let endpoint = Endpoint::parse("http://localhost").expect("valid");
        let mut probe = Probe::default();
        for number in 0.. {
            let Some(request) = probe.next(&endpoint, &TABLE, wanted)? else { break };
            let version = request.headers.get("zumo-api-version").map(|value| value.to_str().expect("text"));
            assert_eq!(version, QUESTIONS[number]);
            probe.hear(&answer(answers[number], mark))?;
        }
        probe.into_report()
    }

    fn all(report: &ProbeReport) -> [Option<bool>; 3] {
        Dialect::ALL.map(|dialect| report.speaks(dialect))
    }

    #[test]
    fn section_2_3_each_server_is_recognised() {
        let (yes, no) = (Some(true), Some(false));
        for (name, answers, mark, expected, requests) in [
            ("v1, late build, empty", [EMPTY, NO, NO], None, [yes, no, no], 3),
            ("v1, late build, rows", [OLD, NO, NO], None, [yes, no, no], 3),
            ("v1, early build, rows", [OLD, BARE, BARE], None, [yes, no, no], 3),
            ("v1, table without system columns", [BARE, NO, NO], None, [yes, no, no], 3),
            ("v1, early build, empty", [EMPTY; 3], None, [None, None, no], 3),
            ("v1, marked", [EMPTY; 3], Some("nodev1-1.0.1"), [yes, no, no], 1),
            ("v2, empty", [NO, EMPTY, NO], None, [no, yes, no], 3),
            ("v2, rows", [NO, NEW, NO], None, [no, yes, no], 3),
            (
                "v2, a text cut in the middle of a character",
                [NO, (200, "[{\"version\":\"1\",\"text\":\"\\ud83d\"}]"), NO],
                None,
                [no, yes, no],
                3,
            ),
            ("v2 on Node, marked", [NO; 3], Some("node-4.0.2"), [no, yes, no], 1),
            ("v2 on .NET, marked", [NEW; 3], Some("net-2.1"), [no, yes, no], 1),
            ("v2, header not checked, rows", [NEW; 3], None, [no, yes, no], 3),
            (
                "v2 on Node, broken framework",
                [NO, (500, "{\"error\":\"o.hasOwnProperty is not a function\"}"), NO],
                None,
                [no, yes, no],
                2,
            ),
            ("v3, Datasync", [NO, EMPTY, ITEMS], None, [no, yes, yes], 3),
            ("v3, toolkit", [ITEMS; 3], None, [no, no, yes], 1),
            ("three dialects, empty", [EMPTY, EMPTY, ITEMS], None, [yes; 3], 3),
            ("three dialects, rows", [OLD, NEW, ITEMS], None, [yes; 3], 3),
            ("results with a count", [NO, (200, "{\"results\":[],\"count\":0}"), NO], None, [no, yes, no], 3),
        ] {
            let report = run(answers, mark, None).expect(name);
            assert_eq!((all(&report), report.requests()), (expected, requests), "{name}");
        }
    }

    #[test]
    fn r_14_a_probe_ends_when_the_wanted_dialect_is_settled() {
        for (answers, wanted, expected, requests) in [
            ([NO, EMPTY, NO], V1, Some(false), 2),
            ([NO, NO, ITEMS], V1, Some(false), 3),
            ([NO, EMPTY, NO], V2, Some(true), 2),
            ([OLD, NEW, ITEMS], V1, Some(true), 1),
            ([EMPTY, NO, NO], V1, Some(true), 2),
            ([EMPTY, EMPTY, ITEMS], V1, Some(true), 3),
            ([NO, NO, ITEMS], V3, Some(true), 3),
            ([ITEMS; 3], V2, Some(false), 1),
            ([EMPTY; 3], V1, None, 3),
        ] {
            let report = run(answers, None, Some(wanted)).expect("a tables server");
            assert_eq!(
                (report.speaks(wanted), report.requests()),
                (expected, requests),
                "{answers:?} {wanted:?}"
            );
        }
        let both = run([NO, EMPTY, ITEMS], None, None).expect("a tables server");
        assert_eq!((both.newest(), both.dialects().count()), (Some(V3), 2));
        let error = run([ITEMS; 3], None, None).expect("a tables server").wrong_dialect(V1);
        assert_eq!(error.kind(), ErrorKind::WrongDialect);
        assert_eq!(
            error.to_string(),
            "the server does not speak Mobile Services (v1), which this context is set to; it speaks Datasync (v3)"
        );
    }

    #[test]
    fn answers_that_say_nothing_about_dialects_are_errors() {
        for (status, body, kind) in [
            (401, "", ErrorKind::Unauthorized),
            (404, "<html>", ErrorKind::UnknownTable),
            (503, "", ErrorKind::ServerBusy),
            (500, "{\"error\":\"x\"}", ErrorKind::Refused),
            (200, "<html>", ErrorKind::InvalidResponse),
            (403, "", ErrorKind::InvalidResponse),
            (200, "{\"hello\":1}", ErrorKind::InvalidResponse),
        ] {
            let error = run([(status, body); 3], None, None).expect_err("no tables server");
            assert_eq!(error.kind(), kind, "{status} {body}");
        }
    }

    #[test]
    fn a_probe_asks_for_one_row_and_never_in_a_dialects_words() {
        let endpoint = Endpoint::parse("http://localhost/app").expect("valid");
        let ask = |version| request::probe(&endpoint, &TABLE, version).expect("a request");
        assert_eq!(
            ask(None).url.as_str(),
            "http://localhost/app/tables/TodoItem?$top=1&__systemProperties=*"
        );
        assert_eq!(ask(Some("2.0.0")).url.as_str(), "http://localhost/app/tables/TodoItem?$top=1");
        assert_eq!(ask(None).method, http::Method::GET);
    }
}
