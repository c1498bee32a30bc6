//! A small server of all three dialects, written from the protocol notes alone and not from `sync-server`.
//!
//! It keeps what its rows once held, so that a write which took effect can be told from a lost one, and notes what no
//! client should have asked for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{CONTENT_TYPE, DATE, ETAG, HeaderName, HeaderValue, IF_MATCH};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sync_core::entity::TableSchema;
use sync_core::evaluate;
use sync_core::odata::{self, Limits};
use sync_core::predicate::Predicate;
use sync_core::protocol::Dialect;
use sync_core::row::{Row, TableRow};
use sync_core::transport::{Request, Response};
use sync_core::value::{ColumnType, Value};

use super::model::TABLES;

/// Table and id.
pub(super) type Key = (&'static str, String);

/// A device, as long as it knows what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    device: usize,
    forgot: u32,
}

/// Where change times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Clock {
    /// No two changes have the same time, and none is earlier than one before it.
    Strict,
    /// Whole multiples of so many milliseconds, with equal times and with times that go back.
    Coarse(i64),
}

/// What another client changes on the server.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// A new row.
    Insert(usize, String, Map<String, Json>),
    /// Some members of a row.
    Update(Key, Map<String, Json>),
    /// The soft delete mark.
    Mark(Key, bool),
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) members: Map<String, Json>,
    pub(super) version: u64,
    updated: i64,
    pub(super) deleted: bool,
}

/// What a row once was.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Every value that each member had, with how often it became that.
    values: BTreeMap<(String, String), u32>,
    /// Whether the row was ever marked deleted.
    pub(super) was_deleted: bool,
}

impl Past {
    /// Whether the member ever had this value.
    pub(super) fn held(&self, column: &str, value: &Json) -> bool {
        self.values.contains_key(&(column.to_owned(), value.to_string()))
    }

    /// The values that a member got more than once.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (&str, &str)> {
        let again = self.values.iter().filter(|(_, times)| **times > 1);
        again.map(|((column, value), _)| (column.as_str(), value.as_str()))
    }
}

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) dialect: Dialect,
    pub(super) clock: Clock,
    /// How far its clock stands from the virtual time, in milliseconds.
    pub(super) offset: i64,
    /// Most rows of a page.
    pub(super) cap: usize,
    /// Whether answers have a `Date`.
    pub(super) is_dated: bool,
    pub(super) rows: BTreeMap<Key, Stored>,
    pub(super) past: BTreeMap<Key, Past>,
    /// Number of the last change; the versions are these numbers.
    pub(super) commits: u64,
    /// The device that wrote the content of each version; `None`: another client, or a deletion.
    writers: Vec<Option<Caller>>,
    /// Whose request is answered.
    caller: Option<Caller>,
    /// How often each device forgot what it had sent.
    forgot: BTreeMap<usize, u32>,
    last: i64,
    /// What a client asked for and never should.
    pub(super) complaints: Vec<String>,
}

/// The text of a version.
fn version_text(version: u64) -> String {
    format!("AAAA{version}==")
}

/// The number of a version.
pub(super) fn version_number(text: &str) -> Option<u64> {
    text.strip_prefix("AAAA")?.strip_suffix("==")?.parse().ok()
}

fn instant(milliseconds: i64) -> DateTime<Utc> {
    // Far from 1970, so that times before a token are possible.
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(milliseconds)
}

/// One request, with what it is about.
struct Call<'r> {
    request: &'r Request,
    options: Vec<(String, String)>,
    body: Map<String, Json>,
}

impl Call<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn condition(&self) -> Option<u64> {
        let text = self.request.headers.get(IF_MATCH)?.to_str().ok()?;
        // What is no version of this server matches none.
        Some(version_number(text.trim_matches('"')).unwrap_or(0))
    }
}

impl Server {
    pub(super) fn new(dialect: Dialect, clock: Clock, cap: usize, is_dated: bool) -> Self {
        Self {
            dialect,
            clock,
            offset: 0,
            cap,
            is_dated,
            rows: BTreeMap::new(),
            past: BTreeMap::new(),
            commits: 0,
            writers: Vec::new(),
            caller: None,
            forgot: BTreeMap::new(),
            last: 0,
            complaints: Vec::new(),
        }
    }

    /// The row as data, for conditions.
    pub(super) fn row(&self, table: &'static TableSchema, id: &str, stored: &Stored) -> Row {
        let value = |column: &sync_core::entity::ColumnSchema| match stored.members.get(column.name) {
            None | Some(Json::Null) => Value::Null,
            Some(json) => match column.ty {
                ColumnType::Bool => json.as_bool().map_or(Value::Null, Value::Bool),
                ColumnType::Integer(_) => json.as_i64().map_or(Value::Null, Value::Integer),
                _ => json.as_str().map_or(Value::Null, |text| Value::Text(text.to_owned())),
            },
        };
        let mut row = Row::new(id, table.columns.iter().map(value).collect());
        row.version = Some(version_text(stored.version));
        row.updated_at = Some(instant(stored.updated));
        row.deleted = stored.deleted;
        row
    }

    /// Ids of the rows for which the condition is true, deleted ones included.
    pub(super) fn matching(&self, predicate: &Predicate) -> Vec<(Key, Stored)> {
        let table = predicate.table;
        let of_table = self.rows.iter().filter(|((name, _), _)| *name == table.name);
        let holds = |((_, id), stored): &(&Key, &Stored)| {
            let row = self.row(table, id, stored);
            evaluate::matches(&predicate.node, &TableRow { table, row: &row })
        };
        of_table.filter(holds).map(|(key, stored)| (key.clone(), stored.clone())).collect()
    }

    fn stamp(&mut self, now: i64) -> i64 {
        let clock = now + self.offset;
        let time = match self.clock {
            Clock::Strict => clock.max(self.last + 1),
            Clock::Coarse(tick) => clock.div_euclid(tick) * tick,
        };
        self.last = self.last.max(time);
        time
    }

    fn commit(&mut self, key: Key, members: Map<String, Json>, deleted: bool, updated: i64) {
        self.commits += 1;
        self.writers.push(self.caller.filter(|_| !deleted));
        let before = self.rows.get(&key);
        let past = self.past.entry(key.clone()).or_default();
        past.was_deleted |= deleted;
        for (name, value) in &members {
            if before.and_then(|before| before.members.get(name)) != Some(value) {
                *past.values.entry((name.clone(), value.to_string())).or_default() += 1;
            }
        }
        self.rows.insert(key, Stored { members, version: self.commits, updated, deleted });
    }

    /// What another client does, in one transaction that began `late` milliseconds ago.
    pub(super) fn edit(&mut self, edits: Vec<Edit>, now: i64, late: i64) {
        let stamp = self.stamp(now - late);
        for edit in edits {
            // A strict clock counts on within a transaction as well.
            let updated = if self.clock == Clock::Strict { self.stamp(now) } else { stamp };
            match edit {
                Edit::Insert(table, id, members) => {
                    let key = (TABLES[table].name, id);
                    if !self.rows.contains_key(&key) {
                        self.commit(key, members, false, updated);
                    }
                }
                Edit::Update(key, changed) => {
                    let Some(stored) = self.rows.get(&key).filter(|stored| !stored.deleted) else { continue };
                    let mut members = stored.members.clone();
                    members.extend(changed);
                    self.commit(key, members, false, updated);
                }
                Edit::Mark(key, deleted) => {
                    let Some(stored) = self.rows.get(&key).filter(|stored| stored.deleted != deleted) else {
                        continue;
                    };
                    let members = stored.members.clone();
                    self.commit(key, members, deleted, updated);
                }
            }
        }
    }

    /// Whether this device wrote the content of this version.
    pub(super) fn wrote(&self, device: usize, version: u64) -> bool {
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.writers.get(index)) == Some(&Some(self.caller(device)))
    }

    /// The device as it is now.
    pub(super) fn caller(&self, device: usize) -> Caller {
        Caller { device, forgot: self.forgot.get(&device).copied().unwrap_or_default() }
    }

    /// The app dropped its changes: what it sent of them is like the change of somebody else.
    pub(super) fn forget(&mut self, device: usize) {
        *self.forgot.entry(device).or_default() += 1;
    }

    /// Answers one request, of a device or of nobody who still waits for it.
    pub(super) fn handle(&mut self, caller: Option<Caller>, request: &Request, now: i64) -> Response {
        self.caller = caller;
        let mut response = self.answer(request, now);
        self.caller = None;
        if self.is_dated {
            let date = instant(now + self.offset).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            response.headers.insert(DATE, HeaderValue::from_str(&date).expect("a header"));
        }
        response
    }

    fn answer(&mut self, request: &Request, now: i64) -> Response {
        let version = request.headers.get(HeaderName::from_static("zumo-api-version"));
        if version.map(|value| value.to_str().unwrap_or("")) != self.dialect.api_version() {
            let error = json!({ "error": "An invalid API version was specified" });
            return reply(StatusCode::BAD_REQUEST, &error, None);
        }
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .expect("an address is UTF-8")
                .into_owned()
        };
        let segments: Vec<String> =
            request.url.path_segments().map(|parts| parts.skip(1).map(decode).collect()).unwrap_or_default();
        let Some(table) =
            TABLES.into_iter().find(|table| segments.first().is_some_and(|name| *name == table.name))
        else {
            return reply(StatusCode::NOT_FOUND, &json!({ "error": "no such table" }), None);
        };
        let body = match request.body.as_deref().map(serde_json::from_slice::<Json>) {
            None => Map::new(),
            Some(Ok(Json::Object(body))) => body,
            Some(_) => return reply(StatusCode::BAD_REQUEST, &json!({ "error": "bad body" }), None),
        };
        let call = Call { request, options: request.url.query_pairs().into_owned().collect(), body };
        match (&request.method, segments.get(1)) {
            (&Method::GET, None) => self.list(table, &call),
            (&Method::POST, None) => self.insert(table, &call, now),
            (_, Some(id)) => self.one((table.name, id.clone()), &call, now),
            _ => reply(StatusCode::METHOD_NOT_ALLOWED, &Json::Null, None),
        }
    }

    fn json(&self, id: &str, stored: &Stored) -> Map<String, Json> {
        let names = self.dialect.names();
        let mut members = stored.members.clone();
        let mut time = String::new();
        sync_core::time::write_wire(&mut time, instant(stored.updated));
        members.insert("id".into(), id.into());
        members.insert(names.updated_at.into(), time.into());
        members.insert(names.version.into(), version_text(stored.version).into());
        members.insert(names.deleted.into(), stored.deleted.into());
        members
    }

    /// The whole row, as conflicts and most answers show it.
    fn shown(&self, key: &Key, status: StatusCode) -> Response {
        let stored = &self.rows[key];
        reply(status, &Json::Object(self.json(&key.1, stored)), Some(stored.version))
    }

    /// The answer to a write: whole, or in v1 what was sent and the system properties asked for.
    fn written(&self, key: &Key, status: StatusCode, call: &Call<'_>) -> Response {
        if self.dialect != Dialect::MobileServices {
            return self.shown(key, status);
        }
        let all = call.option("__systemProperties") == Some("*");
        let is_shown =
            |name: &str| name == "id" || call.body.contains_key(name) || (all && name.starts_with("__"));
        let stored = &self.rows[key];
        let visible = self.json(&key.1, stored).into_iter().filter(|(name, _)| is_shown(name)).collect();
        reply(status, &Json::Object(visible), all.then_some(stored.version))
    }

    fn list(&mut self, table: &'static TableSchema, call: &Call<'_>) -> Response {
        let refuse = |why: &str| reply(StatusCode::BAD_REQUEST, &json!({ "error": why }), None);
        let node = match call.option("$filter") {
            None => None,
            Some(text) => match odata::parse(text, table, self.dialect, &Limits::default()) {
                Ok(node) => Some(node),
                Err(error) => return refuse(&error.to_string()),
            },
        };
        let includes_deleted = call.option("__includeDeleted") == Some("true");
        let mut rows: Vec<(i64, String, Json)> = Vec::new();
        for ((name, id), stored) in &self.rows {
            if *name != table.name || (stored.deleted && !includes_deleted) {
                continue;
            }
            let row = self.row(table, id, stored);
            if node.as_ref().is_none_or(|node| evaluate::matches(node, &TableRow { table, row: &row })) {
                rows.push((stored.updated, id.clone(), Json::Object(self.json(id, stored))));
            }
        }
        match call.option("$orderby") {
            None | Some("id") => rows.sort_by(|left, right| left.1.cmp(&right.1)),
            Some("updatedAt,id" | "__updatedAt,id") => {
                rows.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
            }
            Some(other) => return refuse(other),
        }
        let number = |name: &str| call.option(name).and_then(|text| text.parse::<usize>().ok());
        let (skip, top) = (number("$skip").unwrap_or(0), number("$top").unwrap_or(50));
        let take = top.min(self.cap);
        let follows = take < top && rows.len() > skip + take;
        let page: Vec<Json> = rows.into_iter().skip(skip).take(take).map(|(_, _, json)| json).collect();
        let body = match self.dialect {
            Dialect::MobileServices | Dialect::MobileApps => Json::Array(page),
            _ => {
                let next = follows.then(|| format!("%24skip={}", skip + take));
                json!({ "items": page, "count": null, "nextLink": next })
            }
        };
        reply(StatusCode::OK, &body, None)
    }

    fn insert(&mut self, table: &'static TableSchema, call: &Call<'_>, now: i64) -> Response {
        if call.request.headers.contains_key(IF_MATCH) {
            self.complaints.push("an insert has a condition (Q-14)".to_owned());
        }
        let Some(id) = call.body.get("id").and_then(Json::as_str) else {
            self.complaints.push("an insert has no id".to_owned());
            return reply(StatusCode::BAD_REQUEST, &json!({ "error": "no id" }), None);
        };
        let key = (table.name, id.to_owned());
        if let Some(stored) = self.rows.get(&key) {
            return match self.dialect {
                Dialect::MobileServices => {
                    reply(StatusCode::CONFLICT, &json!({ "code": 409, "error": "Error: it exists" }), None)
                }
                // The client's own row comes back, under a tag that says so.
                Dialect::MobileApps => {
                    let mut response = reply(StatusCode::CONFLICT, &Json::Object(call.body.clone()), None);
                    response.headers.insert(ETAG, HeaderValue::from_static("W/\"4d-echo\""));
                    response
                }
                _ => {
                    let body = Json::Object(self.json(id, stored));
                    reply(StatusCode::CONFLICT, &body, Some(stored.version))
                }
            };
        }
        let mut members: Map<String, Json> =
            table.columns.iter().map(|column| (column.name.to_owned(), Json::Null)).collect();
        members.extend(self.user_members(table, &call.body));
        self.check_parent(table, &key, &members);
        let updated = self.stamp(now);
        self.commit(key.clone(), members, false, updated);
        self.written(&key, StatusCode::CREATED, call)
    }

    /// The members of a body that are columns; complains about any other.
    fn user_members(&mut self, table: &TableSchema, body: &Map<String, Json>) -> Map<String, Json> {
        let mut members = Map::new();
        for (name, value) in body {
            if table.columns.iter().any(|column| column.name == name) {
                members.insert(name.clone(), value.clone());
            } else if name != "id" && name != "deleted" {
                self.complaints.push(format!("a write of {} has the member {name}", table.name));
            }
        }
        members
    }

    /// A row may be sent only once the row it mentions is here, or was (G5).
    fn check_parent(&mut self, table: &TableSchema, key: &Key, members: &Map<String, Json>) {
        for column in table.columns {
            let Some(parent) = column.belongs_to else { continue };
            let Some(id) = members.get(column.name).and_then(Json::as_str) else { continue };
            if !self.rows.keys().any(|(name, other)| *name == parent && other == id) {
                self.complaints.push(format!("{key:?} came before the {parent} {id} it belongs to (P-21)"));
            }
        }
    }

    fn one(&mut self, key: Key, call: &Call<'_>, now: i64) -> Response {
        let missing = || reply(StatusCode::NOT_FOUND, &json!({ "error": "The item does not exist" }), None);
        let table = TABLES.into_iter().find(|table| table.name == key.0).expect("a table of the app");
        let Some(stored) = self.rows.get(&key).cloned() else { return missing() };
        let method = &call.request.method;
        let condition = call.condition();
        let is_stale = condition.is_some_and(|condition| condition != stored.version);
        let revives = match self.dialect {
            Dialect::MobileServices | Dialect::MobileApps => *method == Method::POST,
            _ => *method == Method::PUT && call.option("__includedeleted") == Some("true"),
        };
        if stored.deleted && !revives {
            return match self.dialect {
                Dialect::MobileServices if *method == Method::PATCH || condition.is_some() => {
                    self.shown(&key, StatusCode::PRECONDITION_FAILED)
                }
                Dialect::MobileServices | Dialect::MobileApps => missing(),
                _ => reply(StatusCode::GONE, &Json::Null, None),
            };
        }
        if is_stale {
            return self.shown(&key, StatusCode::PRECONDITION_FAILED);
        }
        if condition.is_none() {
            self.complaints.push(format!("{method} of {key:?} has no condition (I-5)"));
        }
        let sent = self.user_members(table, &call.body);
        let (members, deleted, status) = match (method, self.dialect) {
            (&Method::DELETE, Dialect::MobileApps) => (stored.members, true, StatusCode::OK),
            (&Method::DELETE, _) => (stored.members, true, StatusCode::NO_CONTENT),
            (&Method::PATCH, Dialect::MobileServices | Dialect::MobileApps) if !sent.is_empty() => {
                let mut members = stored.members;
                members.extend(sent);
                (members, false, StatusCode::OK)
            }
            (&Method::PATCH, Dialect::MobileServices | Dialect::MobileApps) => {
                self.complaints.push(format!("PATCH of {key:?} changes nothing"));
                return reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "SQL syntax" }), None);
            }
            (&Method::POST, Dialect::MobileServices) => (stored.members, false, StatusCode::OK),
            (&Method::POST, Dialect::MobileApps) => (stored.members, false, StatusCode::CREATED),
            (&Method::PUT, Dialect::Datasync) => {
                // The whole row: what is not sent is gone.
                let mut members: Map<String, Json> =
                    table.columns.iter().map(|column| (column.name.to_owned(), Json::Null)).collect();
                members.extend(sent);
                let is_lost = |(name, before): (&String, &Json)| {
                    !before.is_null() && members[name].is_null() && !call.body.contains_key(name)
                };
                if stored.members.iter().any(is_lost) {
                    self.complaints
                        .push(format!("PUT of {key:?} erases what the client does not know (I-6, S-08)"));
                }
                (members, false, StatusCode::OK)
            }
            _ => return reply(StatusCode::METHOD_NOT_ALLOWED, &Json::Null, None),
        };
        if !deleted {
            self.check_parent(table, &key, &members);
        }
        let updated = self.stamp(now);
        self.commit(key.clone(), members, deleted, updated);
        if status == StatusCode::NO_CONTENT {
            return reply(status, &Json::Null, None);
        }
        self.written(&key, status, call)
    }

    /// Ids of all rows of a table.
    pub(super) fn ids(&self, table: &str) -> BTreeSet<String> {
        self.rows.keys().filter(|(name, _)| *name == table).map(|(_, id)| id.clone()).collect()
    }
}

fn reply(status: StatusCode, body: &Json, version: Option<u64>) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        let tag = format!("\"{}\"", version_text(version));
        headers.insert(ETAG, HeaderValue::from_str(&tag).expect("a header"));
    }
    let body = if body.is_null() {
        Bytes::new()
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Bytes::from(body.to_string())
    };
    Response { status, headers, body }
}
