//! Servers to test against: where one is, how rows get into it, what it is allowed to do differently.

use std::path::PathBuf;

use serde_json::{Value, json};
use sync_core::profile::ServerProfile;
use sync_core::protocol::Dialect;

use crate::http::{Answer, Request, query, segment};

pub use self::ours::{SyncServerFixture, TODO_ITEM};

mod blocks;
mod ours;

/// The table of the suite: `text`, `complete`, `n` (integer), `price` (float), `dueAt`, and `batch`, which every
/// case fills with a value of its own and filters by, since cases share a server.
pub const TABLE: &str = "TodoItem";

/// A running server, of the v2 dialect, with the table [`TABLE`].
#[derive(Clone, Debug)]
pub struct ServerUnderTest {
    authority: String,
    storage: Storage,
    largest_page: usize,
    profile: ServerProfile,
    dialect: Dialect,
    window: usize,
}

/// How a server keeps its rows, for rows that no request could make: many with the same change time.
#[derive(Clone, Debug)]
pub enum Storage {
    /// The Node server's SQLite file.
    Node(PathBuf),
    /// The SQLite file of `sync-server`.
    Ours(PathBuf),
}

impl ServerUnderTest {
    /// A server at `authority` (`host:port`) that sends up to `largest_page` rows at once, and what a client may
    /// trust it with.
    pub fn new(
        authority: impl Into<String>,
        storage: Storage,
        largest_page: usize,
        profile: ServerProfile,
    ) -> Self {
        Self {
            authority: authority.into(),
            storage,
            largest_page,
            profile,
            dialect: Dialect::MobileApps,
            window: test_window(),
        }
    }

    /// The Node server that `cargo xtask interop` started.
    ///
    /// # Panics
    ///
    /// When it did not: the variables `SYNC_INTEROP_URL` and `SYNC_INTEROP_DB` are missing.
    pub fn node() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run `cargo xtask interop`"))
        };
        let url = variable("SYNC_INTEROP_URL");
        let authority = url.strip_prefix("http://").expect("the address begins with http://");
        Self::new(
            authority,
            Storage::Node(variable("SYNC_INTEROP_DB").into()),
            1000,
            ServerProfile::node_sqlite(),
        )
    }

    /// The address a client is given, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The most rows of one answer, whatever `$top` says (up to 1000).
    pub fn largest_page(&self) -> usize {
        self.largest_page
    }

    /// What a client may trust this server with.
    pub fn profile(&self) -> ServerProfile {
        self.profile.clone()
    }

    /// The same server for clients of another dialect; plain requests of the suite stay in v2.
    #[must_use]
    pub fn for_clients_of(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The same server for clients that push with so many requests in flight.
    #[must_use]
    pub fn for_clients_with_window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// Requests in flight of the clients' pushes.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The dialect of the clients.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The method by which the clients update a row.
    pub fn update_method(&self) -> &'static str {
        if self.dialect == Dialect::Datasync { "PUT" } else { "PATCH" }
    }

    /// Sends a request as it is.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    pub async fn send(&self, request: Request) -> Answer {
        let name = format!("{} {}", request.method, request.target);
        request.send(&self.authority).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Sends a request with the version header of the dialect.
    pub async fn call(&self, request: Request) -> Answer {
        self.send(request.header("ZUMO-API-VERSION", "2.0.0")).await
    }

    /// `POST` of a row.
    pub async fn insert(&self, row: &Value) -> Answer {
        self.call(Request::new("POST", path()).json(row)).await
    }

    /// `GET` of one row.
    pub async fn read(&self, id: &str) -> Answer {
        self.call(Request::new("GET", row_path(id))).await
    }

    /// `PATCH` of one row, on the condition of a version if one is given.
    pub async fn update(&self, id: &str, version: Option<&str>, members: &Value) -> Answer {
        self.call(conditional(Request::new("PATCH", row_path(id)).json(members), version)).await
    }

    /// `DELETE` of one row, on the condition of a version if one is given.
    pub async fn delete(&self, id: &str, version: Option<&str>) -> Answer {
        self.call(conditional(Request::new("DELETE", row_path(id)), version)).await
    }

    /// `POST` without a body to a row: undelete.
    pub async fn undelete(&self, id: &str, version: Option<&str>) -> Answer {
        self.call(conditional(Request::new("POST", row_path(id)), version)).await
    }

    /// `GET` of the table with these options.
    pub async fn list(&self, options: &[(&str, &str)]) -> Answer {
        self.call(Request::new("GET", format!("{}{}", path(), query(options)))).await
    }

    /// The rows of a list.
    ///
    /// # Panics
    ///
    /// When the answer is not 200 with an array.
    pub async fn rows(&self, options: &[(&str, &str)]) -> Vec<Value> {
        let answer = self.list(options).await;
        assert_eq!(answer.status, 200, "{options:?}: {}", answer.text());
        match answer.json() {
            Value::Array(rows) => rows,
            other => panic!("{options:?}: not an array: {other}"),
        }
    }

    /// The ids of a list.
    ///
    /// # Panics
    ///
    /// As [`rows`](Self::rows), and when a row has no id.
    pub async fn ids(&self, options: &[(&str, &str)]) -> Vec<String> {
        let rows = self.rows(options).await;
        rows.iter().map(|row| text(row, "id").to_owned()).collect()
    }

    /// Inserts a row by plain HTTP, as another device would, and returns it as the server answered.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn seed(&self, row: &Value) -> Value {
        let answer = self.insert(row).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Puts rows of one change time (`yyyy-MM-ddTHH:mm:ss.fffZ`) straight into the server's database, in one
    /// transaction: ids from `id(0)` on, `text` `row N`, `complete` false.
    ///
    /// # Panics
    ///
    /// When the database refuses them.
    pub fn seed_block(&self, batch: &str, count: usize, updated_at: &str, id: impl Fn(usize) -> String) {
        blocks::seed(&self.storage, batch, count, updated_at, id);
    }
}

/// A fixture is what keeps its server running.
impl AsRef<ServerUnderTest> for ServerUnderTest {
    fn as_ref(&self) -> &ServerUnderTest {
        self
    }
}

/// Requests in flight of every client whose test does not say how many: 1, or what `SYNC_TEST_WINDOW` says. CI runs the
/// suite with 8 and 32 as well.
///
/// # Panics
///
/// When the variable is no number.
pub fn test_window() -> usize {
    match std::env::var("SYNC_TEST_WINDOW") {
        Ok(window) => window.parse().expect("SYNC_TEST_WINDOW is a number"),
        Err(_) => 1,
    }
}

/// Path of the table.
pub fn path() -> String {
    format!("/tables/{TABLE}")
}

/// Path of one row.
pub fn row_path(id: &str) -> String {
    format!("/tables/{TABLE}/{}", segment(id))
}

/// A row with an id and a batch.
pub fn row(id: &str, batch: &str) -> Value {
    json!({ "id": id, "batch": batch, "text": "milk", "complete": false })
}

/// A text member of a row.
///
/// # Panics
///
/// When the row has no such member, or it is no text.
pub fn text<'a>(row: &'a Value, member: &str) -> &'a str {
    row[member].as_str().unwrap_or_else(|| panic!("no text `{member}` in {row}"))
}

/// A filter for the rows of a batch.
pub fn of_batch(batch: &str) -> String {
    format!("batch eq '{batch}'")
}

fn conditional(request: Request, version: Option<&str>) -> Request {
    match version {
        Some(version) => request.header("If-Match", format!("\"{version}\"")),
        None => request,
    }
}
