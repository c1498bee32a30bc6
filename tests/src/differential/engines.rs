//! The ways a condition is answered, besides the evaluator.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Double, Text, TimestamptzSqlite};
use diesel::sqlite::Sqlite;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value as Json, json};
use sync_core::diesel::TableFilter;
use sync_core::entity::{ColumnSchema, DELETED, ID, TableSchema, UPDATED_AT, VERSION};
use sync_core::evaluate::matches;
use sync_core::odata::{self, Limits};
use sync_core::predicate::Node;
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Dialect, Endpoint, ListQuery, RequestBuilder};
use sync_core::pushdown;
use sync_core::row::{Row, RowView, TableRow};
use sync_core::time;
use sync_core::transport;
use sync_core::value::{ColumnType, Value, ValueRef};
use sync_server::Server;
use tempfile::TempDir;
use tower::ServiceExt;

use super::{Answer, Sample};

/// A server program that filters are divided for.
#[derive(Debug)]
pub struct KnownServer {
    /// For messages.
    pub name: &'static str,
    profile: fn() -> ServerProfile,
    dialect: Dialect,
}

const fn server(name: &'static str, profile: fn() -> ServerProfile, dialect: Dialect) -> KnownServer {
    KnownServer { name, profile, dialect }
}

/// The known servers, each in the dialects it speaks.
pub static SERVERS: [KnownServer; 9] = [
    server("sync-server in v1", ServerProfile::sync_server, Dialect::MobileServices),
    server("sync-server in v2", ServerProfile::sync_server, Dialect::MobileApps),
    server("sync-server in v3", ServerProfile::sync_server, Dialect::Datasync),
    server("Mobile Services", ServerProfile::mobile_services, Dialect::MobileServices),
    server("Node on SQLite", ServerProfile::node_sqlite, Dialect::MobileApps),
    server("Node on SQL Server", ServerProfile::node_sql_server, Dialect::MobileApps),
    server(".NET", ServerProfile::mobile_apps_dotnet, Dialect::MobileApps),
    server("Datasync", ServerProfile::datasync, Dialect::Datasync),
    server("Community Toolkit", ServerProfile::community_toolkit, Dialect::Datasync),
];

/// The condition as text of the dialect, parsed as a server parses it, and judged by the evaluator.
pub fn reread(sample: &Sample, node: &Node, dialect: Dialect) -> Answer {
    let Ok(text) = odata::render(node, dialect) else { return Answer::Inexpressible };
    match odata::parse(&text, sample.table, dialect, &Limits::default()) {
        Ok(parsed) => Answer::Found(sample.evaluated(&parsed)),
        Err(error) => Answer::Refused(format!("{error} in {text}")),
    }
}

/// What is sent to a known server and what is judged here: together they are the condition, and what is sent can be
/// written in the dialect.
pub fn divided(sample: &Sample, node: &Node, server: &KnownServer) -> Answer {
    let divided = pushdown::split(node, &(server.profile)(), server.dialect);
    if let Some(remote) = &divided.remote
        && let Err(error) = odata::render(remote, server.dialect)
    {
        return Answer::Refused(format!("the remote part cannot be written: {error}"));
    }
    let table = sample.table;
    let holds = |row: &&Row| {
        let row = TableRow { table, row };
        [&divided.remote, &divided.local_rest].into_iter().flatten().all(|part| matches(part, &row))
    };
    Answer::Found(sample.rows.iter().filter(holds).map(|row| row.id.clone()).collect())
}

/// A table in an SQLite database as an app has it.
#[expect(missing_debug_implementations, reason = "a connection has none")]
pub struct LocalTable {
    conn: SqliteConnection,
    table: &'static TableSchema,
}

impl LocalTable {
    /// The table with its rows, in memory.
    ///
    /// # Panics
    ///
    /// When SQLite refuses them.
    pub fn create(sample: &Sample) -> Self {
        let mut conn = SqliteConnection::establish(":memory:").expect("a database in memory");
        conn.batch_execute(&sync_diesel::create_table_sql(sample.table)).expect("a table");
        for row in &sample.rows {
            let row = TableRow { table: sample.table, row };
            Insert::new(row).execute(&mut conn).expect("an inserted row");
        }
        Self { conn, table: sample.table }
    }

    /// Asks by Diesel.
    pub fn select(&mut self, node: &Node) -> Answer {
        let select = Select { filter: TableFilter { table: self.table, node } };
        match select.load::<String>(&mut self.conn) {
            Ok(ids) => Answer::Found(ids.into_iter().collect()),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }
}

/// `SELECT id FROM table WHERE condition`.
struct Select<'a> {
    filter: TableFilter<'a>,
}

impl QueryFragment<Sqlite> for Select<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT id FROM ");
        out.push_identifier(self.filter.table.name)?;
        out.push_sql(" WHERE ");
        self.filter.walk_ast(out.reborrow())
    }
}

impl QueryId for Select<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Select<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<SqliteConnection> for Select<'_> {}

/// One row with every column, bound as Diesel binds the types of the columns.
struct Insert {
    table: &'static TableSchema,
    /// Id, version, change time, mark, then the table's own columns.
    cells: Vec<Cell>,
}

enum Cell {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Instant(DateTime<Utc>),
}

impl Insert {
    fn new(row: TableRow<'_>) -> Self {
        let cells = columns(row.table).map(|column| match row.value(column) {
            ValueRef::Bool(value) => Cell::Bool(value),
            ValueRef::Integer(value) => Cell::Integer(value),
            ValueRef::Real(value) => Cell::Real(value),
            ValueRef::Text(value) => Cell::Text(value.to_owned()),
            ValueRef::DateTime(value) => Cell::Instant(value),
            ValueRef::Uuid(value) => Cell::Text(value.hyphenated().to_string()),
            _ => Cell::Null,
        });
        Self { table: row.table, cells: cells.collect() }
    }
}

fn columns(table: &'static TableSchema) -> impl Iterator<Item = &'static ColumnSchema> {
    [&ID, &VERSION, &UPDATED_AT, &DELETED].into_iter().chain(table.columns)
}

impl QueryFragment<Sqlite> for Insert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_identifier(self.table.name)?;
        let mut separator = " (";
        for column in columns(self.table) {
            out.push_sql(separator);
            out.push_identifier(column.name)?;
            separator = ", ";
        }
        separator = ") VALUES (";
        for cell in &self.cells {
            out.push_sql(separator);
            separator = ", ";
            match cell {
                Cell::Null => out.push_sql("NULL"),
                Cell::Bool(value) => out.push_bind_param::<Bool, _>(value)?,
                Cell::Integer(value) => out.push_bind_param::<BigInt, _>(value)?,
                Cell::Real(value) => out.push_bind_param::<Double, _>(value)?,
                Cell::Text(value) => out.push_bind_param::<Text, _>(value)?,
                Cell::Instant(value) => out.push_bind_param::<TimestamptzSqlite, _>(value)?,
            }
        }
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for Insert {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Insert {}

/// The same table on `sync-server`, asked through its router: everything but the socket.
#[derive(Debug)]
pub struct ServedTable {
    router: axum::Router,
    table: &'static TableSchema,
    _directory: TempDir,
}

impl ServedTable {
    /// A server with this table alone.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open(table: &'static TableSchema) -> Self {
        let directory = TempDir::new().expect("a temporary folder");
        let server = Server::builder([table]).open(directory.path().join("server.db")).await;
        Self { router: server.expect("a server").router(), table, _directory: directory }
    }

    /// Inserts the rows, deletes those that are marked so, and gives them the versions and change times that the
    /// server chose.
    ///
    /// # Panics
    ///
    /// When the server refuses a row, or answers one with other values.
    pub async fn insert(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let url = format!("/tables/{}", self.table.name);
        for row in &rows {
            let (status, answer) = self.send(v2(Method::POST, &url).body(body(self.table, row))).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
            let sent = json_of(self.table, row);
            for column in self.table.columns {
                let (name, value) = (column.name, &sent[column.name]);
                assert!(same(column.ty, value, &answer[name]), "{name}: {value} became {}", answer[name]);
            }
            if row.deleted {
                let id = percent_encoding::utf8_percent_encode(&row.id, percent_encoding::NON_ALPHANUMERIC);
                let (status, answer) =
                    self.send(v2(Method::DELETE, &format!("{url}/{id}")).body(Body::empty())).await;
                assert_eq!(status, StatusCode::OK, "{answer}");
            }
        }
        let list = format!("{url}?__includeDeleted=true&$top=1000");
        let (status, answer) = self.send(v2(Method::GET, &list).body(Body::empty())).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let listed = answer.as_array().expect("a list");
        assert_eq!(listed.len(), rows.len());
        for row in &mut rows {
            let found = listed.iter().find(|item| item["id"] == row.id.as_str()).expect("the row");
            row.version = found["version"].as_str().map(str::to_owned);
            row.updated_at = found["updatedAt"].as_str().and_then(time::parse);
            assert_eq!(found["deleted"], row.deleted);
            assert!(row.version.is_some() && row.updated_at.is_some());
        }
        rows
    }

    /// Asks in the dialect, as a client writes the request.
    pub async fn select(&self, node: &Node, dialect: Dialect) -> Answer {
        let endpoint = Endpoint::parse("http://server.test").expect("an address");
        let query = ListQuery {
            filter: Some(node.clone()),
            order_by: Vec::new(),
            skip: None,
            top: Some(1000),
            include_deleted: true,
            parameters: Vec::new(),
        };
        let Ok(request) = RequestBuilder::new(endpoint, dialect).list(self.table, &query) else {
            return Answer::Inexpressible;
        };
        let (status, answer) = self.send(into_http(request)).await;
        if status != StatusCode::OK {
            return Answer::Refused(format!("{status}: {answer}"));
        }
        let rows = if dialect == Dialect::Datasync { &answer["items"] } else { &answer };
        let ids = rows.as_array().into_iter().flatten().filter_map(|row| row["id"].as_str());
        Answer::Found(ids.map(str::to_owned).collect())
    }

    async fn send(&self, request: http::Result<Request<Body>>) -> (StatusCode, Json) {
        let request = request.expect("a request");
        let response: Response = self.router.clone().oneshot(request).await.expect("the router never fails");
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, serde_json::from_slice(&bytes).unwrap_or(Json::Null))
    }
}

fn v2(method: Method, url: &str) -> http::request::Builder {
    let request = Request::builder().method(method).uri(url);
    request.header("zumo-api-version", "2.0.0").header("content-type", "application/json")
}

fn into_http(request: transport::Request) -> http::Result<Request<Body>> {
    let url = request.url;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut built = Request::builder().method(request.method).uri(target);
    for (name, value) in &request.headers {
        built = built.header(name, value);
    }
    built.body(request.body.map_or_else(Body::empty, Body::from))
}

fn body(table: &'static TableSchema, row: &Row) -> Body {
    let mut object = json_of(table, row);
    object.insert("id".to_owned(), json!(row.id));
    Body::from(Json::Object(object).to_string())
}

fn json_of(table: &'static TableSchema, row: &Row) -> Map<String, Json> {
    let cell = |value: &Option<Value>| match value {
        Some(Value::Bool(value)) => json!(value),
        Some(Value::Integer(value)) => json!(value),
        Some(Value::Real(value)) => json!(value),
        Some(Value::Text(value)) => json!(value),
        Some(Value::DateTime(value)) => json!(value.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        Some(Value::Uuid(value)) => json!(value.hyphenated().to_string()),
        _ => Json::Null,
    };
    table
        .columns
        .iter()
        .zip(&row.values)
        .map(|(column, value)| (column.name.to_owned(), cell(value)))
        .collect()
}

/// Whether the server answered what was sent: the same value, dates and numbers in any spelling.
fn same(ty: ColumnType, sent: &Json, answered: &Json) -> bool {
    match (sent, answered) {
        (Json::String(sent), Json::String(answered)) => {
            sent == answered
                || matches!((time::parse(sent), time::parse(answered)), (Some(sent), Some(answered)) if sent == answered)
        }
        (Json::Number(sent), Json::Number(answered)) if ty == ColumnType::Float => {
            sent.as_f64().map(|number| number as f32) == answered.as_f64().map(|number| number as f32)
        }
        (sent, answered) => sent == answered,
    }
}
