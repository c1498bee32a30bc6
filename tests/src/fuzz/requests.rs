//! Whole requests to `sync-server`, through its router: never its fault, always an answer that can be read.
//!
//! An input is a method and a target in a line, headers in lines, an empty line, and a body.

use std::fs;
use std::path::PathBuf;

use axum::body::{Body, HttpBody as _, to_bytes};
use http::{Method, Request, StatusCode, Uri, header};
use sync_server::{Caller, Server, ServerConfig, Tokens};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::model::{WIDE, inputs, split_headers, split_line};
use super::pages::runtime;
use super::{Target, Verdict};
use crate::model::Schema;
use sync_diesel::prelude::SyncSchema as _;

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Requests {
    runtime: Runtime,
    directory: TempDir,
    /// The database with its rows, as bytes.
    filled: Vec<u8>,
    /// Databases used so far.
    used: usize,
    router: axum::Router,
}

impl Default for Requests {
    fn default() -> Self {
        let runtime = runtime();
        let directory = TempDir::new().expect("a temporary folder can be made");
        let path = directory.path().join("filled.db");
        runtime.block_on(async {
            let router = open(&path).await;
            for row in ROWS {
                let request = Request::post("/tables/Wide").header("zumo-api-version", "2.0.0");
                let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(row));
                let response = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
                assert_eq!(response.status(), StatusCode::CREATED);
            }
        });
        let filled = closed(&path);
        let mut requests = Self { router: axum::Router::new(), runtime, directory, filled, used: 0 };
        requests.restart();
        requests
    }
}

const ROWS: [&str; 4] = [
    "{\"id\":\"a\",\"title\":\"milk\",\"done\":false,\"n\":9007199254740993,\"price\":1.25,\
     \"dueAt\":\"2024-01-02T03:04:05.678Z\",\"key\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"}",
    "{\"id\":\"b\",\"title\":\"it's\",\"done\":true,\"small\":-128,\"count\":4294967295,\"ratio\":0.1}",
    "{\"id\":\"c d/e\",\"title\":\"\",\"done\":true}",
    "{\"id\":\"z\",\"title\":\"\\u0000\",\"note\":\"e\\u0301\",\"done\":false,\"n\":-1}",
];

async fn open(path: &std::path::Path) -> axum::Router {
    let mut tokens = Tokens::new();
    tokens.insert("5f1d8c1b9a", Caller::new("ada")).expect("a token");
    let tables = [WIDE].into_iter().chain(Schema::schemas());
    let server = Server::builder(tables).authenticate(tokens).open(path).await;
    server.expect("a server").router()
}

/// The bytes of a database that nobody has open any more.
fn closed(path: &std::path::Path) -> Vec<u8> {
    use diesel::connection::{Connection, SimpleConnection};
    let url = path.to_str().expect("text");
    let mut conn = diesel::sqlite::SqliteConnection::establish(url).expect("the database opens");
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").expect("the log can be moved");
    drop(conn);
    fs::read(path).expect("the file can be read")
}

impl Requests {
    fn path(&self) -> PathBuf {
        self.directory.path().join(format!("{}.db", self.used))
    }

    /// A server with the rows it began with.
    fn restart(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path().with_extension(format!("db{end}")));
        }
        self.used += 1;
        fs::write(self.path(), &self.filled).expect("the file can be written");
        self.router = self.runtime.block_on(open(&self.path()));
    }

    /// Status, the address of the next page, and body.
    fn send(&self, request: Request<Body>) -> Result<(StatusCode, Option<String>, Vec<u8>), String> {
        let is_list = request.method() == Method::GET;
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("the router never fails");
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.map_err(|error| format!("body: {error}"))?;
            let status = parts.status;
            if status.is_server_error() {
                return Err(format!("5xx: {status} {}", body.escape_ascii()));
            }
            let is_json = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
            let is_text = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/html");
            if !(body.is_empty() || is_json || is_text && status == StatusCode::BAD_REQUEST) {
                return Err(format!("body: {status} without JSON: {}", body.escape_ascii()));
            }
            let next =
                if is_list && status == StatusCode::OK { next_link(&parts.headers, &body)? } else { None };
            Ok((status, next, body.to_vec()))
        })
    }
}

/// The target of the link to the next page, in a header or a body.
fn next_link(headers: &http::HeaderMap, body: &[u8]) -> Result<Option<String>, String> {
    let link = match headers.get(header::LINK) {
        Some(link) => Some(link.to_str().map_err(|error| format!("link: {error}"))?.to_owned()),
        None => match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(json) => json.get("nextLink").and_then(|link| link.as_str()).map(str::to_owned),
            Err(_) => None,
        },
    };
    let Some(link) = link else { return Ok(None) };
    let link = link.trim_start_matches('<').split(['>', ';']).next().unwrap_or_default();
    let at = link.find("/tables/").ok_or_else(|| format!("link: {link:?} leads to no table"))?;
    Ok(Some(link[at..].to_owned()))
}

/// The request of an input; `None` if HTTP has no such request.
fn read(input: &[u8]) -> Option<Request<Body>> {
    let (line, rest) = split_line(input);
    let (headers, body) = split_headers(rest);
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(Body::from(body.to_vec())).ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        inputs([
            "GET /tables/Wide?$filter=(title%20eq%20'milk')&$orderby=n%20desc,title&$top=2&$skip=0&\
             $select=id,title&$inlinecount=allpages&__includeDeleted=true\nHost: server.test\n\
             ZUMO-API-VERSION: 2.0.0\nX-ZUMO-AUTH: 5f1d8c1b9a\n\n",
            "GET /tables/Wide?$filter=__updatedAt%20ge%20datetimeoffset'1970-01-01T00:00:00.0000000%2B00:00'&\
             $orderby=__updatedAt,id&$top=1&__systemproperties=__updatedAt,__version,__deleted&__includeDeleted=true\n\
             Host: server.test\n\n",
            "GET /tables/Wide?$filter=contains(title,'il')%20or%20updatedAt%20gt%20cast(2015-01-02T03:04:05.678Z,\
             Edm.DateTimeOffset)&$count=true&$top=2&__includedeleted=true\nHost: server.test\nZUMO-API-VERSION: 3.0.0\n\
             X-ZUMO-Options: nextLink=path\n\n",
            "GET /tables/Wide/a?__systemProperties=*\nIf-None-Match: \"MQ==\"\n\n",
            "GET /tables/Wide/b\nZUMO-API-VERSION: 3.0.0\nIf-Modified-Since: Tue, 02 Jan 2024 03:04:05 GMT\n\n",
            "POST /tables/Wide\nHost: server.test\nZUMO-API-VERSION: 2.0.0\nContent-Type: application/json\n\n\
             {\"id\":\"n1\",\"title\":\"t\",\"note\":null,\"done\":false,\"small\":1,\"count\":2,\"n\":3,\"ratio\":0.5,\
             \"price\":1e2,\"dueAt\":\"2024-01-02T03:04:05.678Z\",\"key\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"}",
            "PATCH /tables/Wide/a\nZUMO-API-VERSION: 2.0.0\nContent-Type: application/json\n\n{\"title\":\"t\"}",
            "PUT /tables/Wide/b\nZUMO-API-VERSION: 3.0.0\nContent-Type: application/json\n\n\
             {\"id\":\"b\",\"title\":\"t\",\"done\":true}",
            "PATCH /tables/Wide/c%20d%2Fe?__systemProperties=__version\nContent-Type: application/json\nIf-Match: *\n\n{\"note\":\"x\"}",
            "DELETE /tables/Wide/a\nZUMO-API-VERSION: 2.0.0\n\n",
            "DELETE /tables/wide/z\nX-ZUMO-INSTALLATION-ID: x\n\n",
            "POST /tables/Wide/a\nZUMO-API-VERSION: 2.0.0\n\n",
            "OPTIONS /tables/Wide\nOrigin: http://localhost:3000\nAccess-Control-Request-Headers: x-zumo-auth\n\n",
            "GET /tables/Wide?$filter=length(replace(replace(title,'i','iiiiiiiii'),'i','iiiiiiiii'))%20gt%209&$orderby=\
             round(price),trim(concat(title,note))%20desc\nZUMO-API-VERSION: 2.0.0\n\n",
            "GET /tables/TodoItem?$filter=substringof('a',text)%20and%20complete\nZUMO-API-VERSION: 2.0.0\n\n",
        ])
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "$filter=",
            "$orderby=",
            "$select=",
            "$top=",
            "$skip=",
            "$inlinecount=allpages",
            "$count=true",
            "$expand=",
            "__includeDeleted=true",
            "__systemProperties=*",
            "&",
            "%20",
            "%00",
            "%ff",
            "%2B",
            "%",
            "+",
            "'",
            "''",
            "(",
            ")",
            ",",
            "*",
            "GET ",
            "POST ",
            "PATCH ",
            "PUT ",
            "DELETE ",
            "HEAD ",
            "OPTIONS ",
            "BREW ",
            "/tables/",
            "Wide",
            "\nZUMO-API-VERSION: 3.0.0",
            "\nZUMO-API-VERSION: 2.0.1",
            "\nIf-Match: *",
            "\nIf-Match: W/\"x\"",
            "\nIf-None-Match: ",
            "\nIf-Modified-Since: ",
            "\nContent-Type: text/plain",
            "\nAccept-Encoding: gzip",
            "\nX-ZUMO-AUTH: x",
            "\nAuthorization: Bearer 5f1d8c1b9a",
            "\nX-ZUMO-Options: include:deleted",
            "\n\n",
            "id",
            "title",
            "updatedAt",
            "__updatedAt",
            "version",
            "deleted",
            "createdAt",
            "%20eq%20",
            "%20and%20",
            "%20desc",
            "null",
            "length(title)",
            "zumo-api-version=2.0.0",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let Some(request) = read(input) else { return Ok(Verdict::Refused) };
        // A deletion and a revival have no use for a body, and do not look at it.
        let reads_body = [Method::PATCH, Method::PUT].contains(request.method());
        let is_long =
            reads_body && request.body().size_hint().lower() > ServerConfig::default().body_limit as u64;
        let is_read = *request.method() == Method::GET;
        let versions = request.headers().get_all("zumo-api-version").iter().cloned().collect::<Vec<_>>();
        let (status, next, _) = self.send(request)?;
        if status.is_success() && !is_read {
            self.restart();
            if is_long {
                return Err("limits: a body above the limit was taken".to_owned());
            }
        }
        if let Some(next) = next {
            let mut request = Request::get(&next);
            for version in versions {
                request = request.header("zumo-api-version", version);
            }
            let request = request.body(Body::empty()).map_err(|error| format!("link: {next:?}: {error}"))?;
            let (status, ..) = self.send(request)?;
            if status != StatusCode::OK {
                return Err(format!("link: {next:?} answers {status}"));
            }
        }
        Ok(if status.is_client_error() { Verdict::Refused } else { Verdict::Taken })
    }
}
