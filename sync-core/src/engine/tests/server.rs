//! A server in memory, of any dialect: what the real ones do, in as few lines as that takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, DATE, ETAG, HeaderValue, IF_MATCH};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value as Json, json};

use super::{LIST, TODO};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind};
use crate::evaluate;
use crate::odata::{self, Limits};
use crate::page::decode_row;
use crate::predicate::Node;
use crate::protocol::{Dialect, UndeleteForm};
use crate::row::{Row, TableRow};
use crate::transport::{Request, Response, SendError, Transport};

/// A server in memory. Each request yields a few times, so that requests in flight overlap.
pub(super) struct Server {
    pub(super) dialect: Dialect,
    pub(super) undelete: UndeleteForm,
    pub(super) state: Mutex<State>,
    in_flight: Mutex<Vec<(Method, String)>>,
    pub(super) most_in_flight: AtomicUsize,
    pub(super) requests: AtomicUsize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) rows: BTreeMap<(String, String), Stored>,
    pub(super) commits: i64,
    pub(super) page_cap: Option<usize>,
    /// The answer to the n-th request (counted from 0) is lost after the server did it.
    pub(super) lose_answer: Option<usize>,
    /// The version header is not looked at.
    pub(super) is_lenient: bool,
    /// A filter that names a column this table lacks is answered with no row instead of with 400.
    pub(super) has_dynamic_columns: bool,
    /// A column the server's table lacks.
    pub(super) missing_column: Option<&'static str>,
    /// Answers a read by id with any row.
    pub(super) ignores_id: bool,
    /// Answers a read by id of these rows with this status.
    pub(super) refused: Option<(&'static str, StatusCode)>,
    /// Takes no condition `id gt ..`.
    pub(super) refuses_keys: bool,
    /// Dates its answers, by the clock that change times come from.
    pub(super) is_dated: bool,
    /// The next link of every page of v3, the last one's as well.
    pub(super) next_link: Option<&'static str>,
    /// Lists of more rows than this are larger than the client takes.
    pub(super) largest_list: Option<usize>,
    /// What other clients do once this many lists were asked for.
    pub(super) meanwhile: BTreeMap<usize, Change>,
    /// The decoded options and the headers of every list asked for.
    pub(super) lists: Vec<(Vec<(String, String)>, HeaderMap)>,
}

/// What another client does.
pub(super) type Change = Box<dyn FnOnce(&mut State) + Send>;

pub(super) struct Stored {
    pub(super) members: Map<String, Json>,
    commit: i64,
    pub(super) deleted: bool,
}

impl Stored {
    fn json(&self, dialect: Dialect) -> Json {
        let names = dialect.names();
        let mut members = self.members.clone();
        let mut time = String::new();
        crate::time::write_wire(&mut time, DateTime::UNIX_EPOCH + TimeDelta::milliseconds(self.commit));
        if dialect != Dialect::Datasync {
            members.insert(names.created_at.into(), "2024-01-01T00:00:00.000Z".into());
        }
        members.insert(names.updated_at.into(), time.into());
        members.insert(names.version.into(), self.commit.to_string().into());
        members.insert(names.deleted.into(), self.deleted.into());
        Json::Object(members)
    }
}

fn answer(status: StatusCode, body: &Json, version: Option<i64>) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        headers.insert(ETAG, HeaderValue::from_str(&format!("\"{version}\"")).expect("a header"));
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    Response { status, headers, body }
}

/// One request, with what it is about.
struct Call<'r> {
    dialect: Dialect,
    undelete: UndeleteForm,
    request: &'r Request,
    options: Vec<(String, String)>,
    members: Map<String, Json>,
}

impl Call<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The part of a row that this dialect sends for this request: all of it, or in v1 `shown` and the system
    /// properties asked for.
    fn visible(&self, row: Json, shown: impl Fn(&str) -> bool) -> Json {
        let (Dialect::MobileServices, Json::Object(members)) = (self.dialect, &row) else { return row };
        let wanted = self
            .options
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("__systemproperties"))
            .map_or("", |(_, value)| value);
        let is_asked = |name: &str| wanted == "*" || wanted.split(',').any(|each| each == name);
        let visible = members
            .iter()
            .filter(|(name, _)| if name.starts_with("__") { is_asked(name) } else { shown(name) });
        Json::Object(visible.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn is_undelete(&self) -> bool {
        match self.dialect {
            Dialect::MobileServices | Dialect::MobileApps => self.request.method == Method::POST,
            Dialect::Datasync => match self.undelete {
                UndeleteForm::Patch => {
                    self.request.method == Method::PATCH && self.members.get("deleted") == Some(&json!(false))
                }
                UndeleteForm::Put => self.option("__includedeleted") == Some("true"),
            },
        }
    }
}

impl State {
    /// Stores a row as another client would have.
    pub(super) fn seed(&mut self, members: Json) {
        let Json::Object(members) = members else { panic!("a row is an object") };
        let id = members["id"].as_str().expect("an id").to_owned();
        self.commits += 1;
        let stored = Stored { members, commit: self.commits, deleted: false };
        self.rows.insert((TODO.name.to_owned(), id), stored);
    }

    fn handle(&mut self, server: &Server, request: &Request) -> Response {
        let version = request.headers.get("zumo-api-version").map(|value| value.to_str().expect("text"));
        if !self.is_lenient && version != server.dialect.api_version() {
            let error = json!({"error": "An invalid API version was specified"});
            return answer(StatusCode::BAD_REQUEST, &error, None);
        }
        let segments: Vec<_> = request.url.path_segments().expect("a path").skip(1).collect();
        let decode =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().expect("text").into_owned();
        let table = decode(segments[0]);
        let call = Call {
            dialect: server.dialect,
            undelete: server.undelete,
            request,
            options: request.url.query_pairs().into_owned().collect(),
            members: request
                .body
                .as_ref()
                .map_or_else(Map::new, |body| serde_json::from_slice(body).expect("a row")),
        };
        assert_eq!(request.body.is_some(), request.headers.contains_key(CONTENT_TYPE), "Q-37");
        assert!(!call.members.keys().any(|name| name.starts_with("__")), "P-09");
        match segments.get(1).map(|id| decode(id)) {
            Some(id) => self.one(&call, (table, id)),
            None if request.method == Method::GET => {
                let mut response = self.list(&table, &call);
                if self.is_dated {
                    let date = (DateTime::UNIX_EPOCH + TimeDelta::milliseconds(self.commits)).to_rfc2822();
                    response.headers.insert(DATE, HeaderValue::from_str(&date).expect("a header"));
                }
                if let Some(change) = self.meanwhile.remove(&self.lists.len()) {
                    change(self);
                }
                response
            }
            None => self.insert(&call, table),
        }
    }

    fn insert(&mut self, call: &Call<'_>, table: String) -> Response {
        assert_eq!(call.request.method, Method::POST);
        assert!(!call.request.headers.contains_key(IF_MATCH), "Q-14");
        let id = call.members["id"].as_str().expect("an id").to_owned();
        let key = (table, id);
        let Some(stored) = self.rows.get(&key) else {
            return self.put(call, key, call.members.clone(), false, StatusCode::CREATED);
        };
        match call.dialect {
            Dialect::MobileServices => {
                answer(StatusCode::CONFLICT, &json!({"code": 409, "error": "Error: exists"}), None)
            }
            // The echo of the real server: the client's own row, no strong tag.
            Dialect::MobileApps => answer(StatusCode::CONFLICT, &Json::Object(call.members.clone()), None),
            Dialect::Datasync => {
                answer(StatusCode::CONFLICT, &stored.json(call.dialect), Some(stored.commit))
            }
        }
    }

    fn one(&mut self, call: &Call<'_>, key: (String, String)) -> Response {
        let method = &call.request.method;
        let Some(stored) = self.rows.get(&key) else {
            return answer(StatusCode::NOT_FOUND, &json!({"error": "no such row"}), None);
        };
        let expected = call.request.headers.get(IF_MATCH);
        let shown = |status| answer(status, &stored.json(call.dialect), Some(stored.commit));
        if stored.deleted && !call.is_undelete() {
            return match call.dialect {
                Dialect::MobileServices if *method == Method::PATCH || expected.is_some() => {
                    shown(StatusCode::PRECONDITION_FAILED)
                }
                Dialect::MobileServices | Dialect::MobileApps => {
                    answer(StatusCode::NOT_FOUND, &json!({"error": "no such row"}), None)
                }
                Dialect::Datasync => answer(StatusCode::GONE, &Json::Null, None),
            };
        }
        if expected.is_some_and(|expected| expected != &format!("\"{}\"", stored.commit)) {
            return shown(StatusCode::PRECONDITION_FAILED);
        }
        let mut sent = call.members.clone();
        sent.remove("deleted");
        let (members, deleted) = match (method, call.dialect) {
            (&Method::DELETE, _) => (stored.members.clone(), true),
            // Replaces the row: what is not sent is gone.
            (&Method::PUT, Dialect::Datasync) => (sent, false),
            (&Method::PATCH | &Method::POST, Dialect::MobileServices | Dialect::MobileApps)
            | (&Method::PATCH, Dialect::Datasync) => {
                let mut merged = stored.members.clone();
                merged.append(&mut sent);
                (merged, false)
            }
            _ => return answer(StatusCode::METHOD_NOT_ALLOWED, &Json::Null, None),
        };
        self.put(call, key, members, deleted, StatusCode::OK)
    }

    fn put(
        &mut self,
        call: &Call<'_>,
        key: (String, String),
        members: Map<String, Json>,
        deleted: bool,
        status: StatusCode,
    ) -> Response {
        self.commits += 1;
        let stored = Stored { members, commit: self.commits, deleted };
        let response = match (&call.request.method, call.dialect) {
            (&Method::DELETE, Dialect::MobileServices | Dialect::Datasync) => {
                answer(StatusCode::NO_CONTENT, &Json::Null, None)
            }
            _ => {
                let is_sent = |name: &str| name == "id" || call.members.contains_key(name);
                answer(status, &call.visible(stored.json(call.dialect), is_sent), Some(stored.commit))
            }
        };
        self.rows.insert(key, stored);
        response
    }

    fn list(&mut self, table: &str, call: &Call<'_>) -> Response {
        self.lists.push((call.options.clone(), call.request.headers.clone()));
        let names = call.dialect.names();
        let schema = if table == TODO.name { &TODO } else { &LIST };
        let refuse = |why: &str| answer(StatusCode::BAD_REQUEST, &json!({ "error": why }), None);
        let names_filter = |part: &str| call.option("$filter").is_some_and(|text| text.contains(part));
        if self.refuses_keys && names_filter("id gt ") {
            return refuse("no comparison of ids");
        }
        if let Some((_, status)) = self.refused.filter(|(id, _)| names_filter(&format!("id eq '{id}'"))) {
            return answer(status, &json!({ "error": "not this one" }), None);
        }
        let filter = match call.option("$filter").map(|text| read_filter(text, schema, call.dialect)) {
            Some(Some(filter)) => Some(filter),
            Some(None) if self.has_dynamic_columns => return self.page(call, Vec::new()),
            Some(None) => return refuse("no such column"),
            None => None,
        };
        let names_missing = |missing| call.option("$filter").is_some_and(|text| text.contains(missing));
        if self.missing_column.is_some_and(names_missing) {
            return if self.has_dynamic_columns {
                self.page(call, Vec::new())
            } else {
                refuse("no such column")
            };
        }
        let mut rows: Vec<(Row, Json)> = self
            .rows
            .iter()
            .filter(|((name, _), _)| name == table)
            .map(|(_, stored)| {
                let json = stored.json(call.dialect);
                (decode_row(json.to_string().as_bytes(), schema, names).expect("a row"), json)
            })
            .filter(|(row, _)| !row.deleted || call.option(call.dialect.include_deleted()) == Some("true"))
            .filter(|(row, _)| {
                filter
                    .as_ref()
                    .filter(|_| !self.ignores_id || call.option("$orderby").is_some())
                    .is_none_or(|filter| evaluate::matches(filter, &TableRow { table: schema, row }))
            })
            .collect();
        match call.option("$orderby").unwrap_or("id") {
            "id" => rows.sort_by(|left, right| left.0.id.cmp(&right.0.id)),
            by_time if by_time == format!("{},id", names.updated_at) => {
                rows.sort_by_key(|(row, _)| (row.updated_at, row.id.clone()));
            }
            "text desc,id" => rows.sort_by(|left, right| {
                let text = |json: &Json| json["text"].as_str().unwrap_or_default().to_owned();
                text(&right.1).cmp(&text(&left.1)).then_with(|| left.0.id.cmp(&right.0.id))
            }),
            other => return refuse(other),
        }
        let skip = call.option("$skip").map_or(0, |skip| skip.parse().expect("a number"));
        rows.drain(..rows.len().min(skip));
        self.page(call, rows.into_iter().map(|(_, json)| json).collect())
    }

    fn page(&self, call: &Call<'_>, rows: Vec<Json>) -> Response {
        let top: usize = call.option("$top").expect("always asked for").parse().expect("a number");
        let take = top.min(self.page_cap.unwrap_or(1000));
        let follows = take < top && take < rows.len();
        let page = rows.into_iter().take(take).map(|row| call.visible(row, |_| true)).collect();
        let body = match call.dialect {
            Dialect::MobileServices | Dialect::MobileApps => Json::Array(page),
            Dialect::Datasync => {
                let link = follows.then(|| format!("%24skip={take}&$top={}", top - take));
                let link = self.next_link.map(str::to_owned).or(link);
                json!({ "items": Json::Array(page), "count": null, "nextLink": link })
            }
        };
        answer(StatusCode::OK, &body, None)
    }
}

/// Reads a filter. The casts of v3 are rewritten, as one real server does with literals the other way round.
fn read_filter(text: &str, schema: &'static TableSchema, dialect: Dialect) -> Option<Node> {
    let (text, dialect) = match dialect {
        Dialect::Datasync if text.contains("datetimeoffset'") => return None,
        Dialect::Datasync => {
            let text = text.replace("cast(", "datetimeoffset'").replace(",Edm.DateTimeOffset)", "'");
            (text, Dialect::MobileApps)
        }
        dialect => (text.to_owned(), dialect),
    };
    odata::parse(&text, schema, dialect, &Limits::default()).ok()
}

impl Server {
    fn new(dialect: Dialect, undelete: UndeleteForm) -> Self {
        Self {
            dialect,
            undelete,
            state: Mutex::default(),
            in_flight: Mutex::default(),
            most_in_flight: AtomicUsize::default(),
            requests: AtomicUsize::default(),
        }
    }

    pub(super) fn of(dialect: Dialect) -> Arc<Self> {
        Arc::new(Self::new(dialect, UndeleteForm::Put))
    }

    /// A server of v3 that revives rows by PATCH.
    pub(super) fn patching() -> Arc<Self> {
        Arc::new(Self::new(Dialect::Datasync, UndeleteForm::Patch))
    }

    /// Changes the server's state between requests.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no panic"))
    }

    /// Stores a row as another client would have.
    pub(super) fn seed(&self, members: Json) {
        self.with(|state| state.seed(members));
    }

    /// Marks a row deleted as another client would have.
    pub(super) fn delete(&self, id: &str) {
        self.with(|state| {
            state.commits += 1;
            let stored = state.rows.get_mut(&(TODO.name.to_owned(), id.to_owned())).expect("a row");
            (stored.deleted, stored.commit) = (true, state.commits);
        });
    }

    /// A row's members, and whether it is deleted.
    pub(super) fn row(&self, id: &str) -> Option<(Json, bool)> {
        self.with(|state| {
            let stored = state.rows.get(&(TODO.name.to_owned(), id.to_owned()))?;
            Some((Json::Object(stored.members.clone()), stored.deleted))
        })
    }

    pub(super) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Transport for Arc<Server> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async move {
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            let _writing = (request.method != Method::GET).then(|| Writing::start(self, &request));
            let (response, lost, is_too_large) = {
                let mut state = self.state.lock().expect("no panic");
                let asked = request.url.query_pairs().find(|(name, _)| name == "$top");
                let rows = asked.and_then(|(_, rows)| rows.parse::<usize>().ok());
                let is_too_large = state.largest_list.is_some_and(|largest| rows > Some(largest));
                (state.handle(self, &request), state.lose_answer == Some(number), is_too_large)
            };
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            if lost {
                let error = Error::new(ErrorKind::Network, "lost");
                return Err(SendError { error, may_have_sent: true });
            }
            if is_too_large {
                let error = Error::new(ErrorKind::AnswerTooLarge, "too large");
                return Err(SendError { error, may_have_sent: true });
            }
            Ok(response)
        }
        .boxed()
    }
}

/// A write in flight; it ends with its answer or with the future that waits for it.
struct Writing<'s>(&'s Server);

impl<'s> Writing<'s> {
    fn start(server: &'s Server, request: &Request) -> Self {
        let place = (request.method.clone(), request.url.path().split('/').nth(2).unwrap_or("").to_owned());
        let mut in_flight = server.in_flight.lock().expect("no panic");
        assert!(in_flight.iter().all(|other| *other == place), "P-05: {place:?} beside {in_flight:?}");
        in_flight.push(place);
        server.most_in_flight.fetch_max(in_flight.len(), Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Everything in flight is of one table and kind, so which one leaves does not matter.
        self.0.in_flight.lock().expect("no panic").pop();
    }
}
