//! A server on a free port with a fresh database, and short ways to talk to it.

use super::*;

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true)
}

pub(crate) static TODO: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        column("text", ColumnType::Text),
        column("complete", ColumnType::Bool),
        column("n", ColumnType::Integer(IntegerWidth::I64)),
        column("when", ColumnType::DateTime),
        column("ratio", ColumnType::Double),
        column("draft", ColumnType::Text).with_local(true),
    ],
    versioned: true,
    keep_deleted: true,
};
pub(crate) static GONE: TableSchema = TableSchema {
    name: "Gone",
    columns: &[column("text", ColumnType::Text)],
    versioned: true,
    keep_deleted: true,
};

pub(crate) const T: &str = "/tables/TodoItem";

pub(crate) struct Fixture {
    pub(crate) running: RunningServer,
    pub(crate) client: Client,
    pub(crate) dir: TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body as it came, decoded only where the request did not name an encoding.
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The rows of a bare list.
    pub(crate) fn rows(&self) -> &Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json.as_array().unwrap_or_else(|| panic!("not a list: {}", self.text))
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.rows().iter().map(|row| row["id"].as_str().expect("an id")).collect()
    }

    pub(crate) fn version(&self) -> &str {
        self.json["version"].as_str().unwrap_or_else(|| panic!("no version: {}", self.text))
    }

    /// The answer is one row with a strong tag that is its version (134).
    pub(crate) fn assert_row(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("etag"), Some(format!("\"{}\"", self.version()).as_str()));
        self
    }

    /// The answer is an error in the dialect's shape, without a tag (135).
    pub(crate) fn assert_error(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.json["error"].is_string(), "{}", self.text);
        assert_eq!(self.header("etag"), None);
        self
    }
}

pub(crate) fn client() -> Client {
    // Fails when another test was first; then the provider is in place as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

pub(crate) async fn open(path: &Path, config: ServerConfig) -> RunningServer {
    let builder = Server::builder([&TODO, &GONE]).soft_delete("gone", false).config(config);
    builder.open(path).await.expect("opens").start("127.0.0.1:0").await.expect("starts")
}

impl Fixture {
    pub(crate) async fn with(config: ServerConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let running = open(&dir.path().join("server.db"), config).await;
        Self { running, client: client(), dir }
    }

    /// A server of its own making.
    pub(crate) async fn of(builder: ServerBuilder) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = builder.open(dir.path().join("server.db")).await.expect("opens");
        let running = server.start("127.0.0.1:0").await.expect("starts");
        Self { running, client: client(), dir }
    }

    /// Rows `a` (live) and `d` (deleted), each changed once after its insert.
    pub(crate) async fn new() -> Self {
        Self::new_with(ServerConfig::default()).await
    }

    /// As [`new`](Self::new), on a server so configured that it speaks v2.
    pub(crate) async fn new_with(config: ServerConfig) -> Self {
        let fixture = Self::with(config).await;
        for id in ["a", "d"] {
            fixture.insert(&json!({"id": id, "text": "first", "complete": false, "n": 1})).await;
            fixture.patch(id, &json!({"text": "t"}), &[]).await.assert_row(200);
        }
        fixture.delete("d", &[]).await.assert_row(200);
        fixture
    }

    /// The same database under another configuration.
    pub(crate) async fn reopen(self, config: ServerConfig) -> Self {
        let Self { running, client, dir } = self;
        running.shutdown().await.expect("stops");
        let running = open(&dir.path().join("server.db"), config).await;
        Self { running, client, dir }
    }

    /// Exactly this request.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        // A client that is asked for an encoding shows the answer as it came.
        let asks = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        let undecoded = asks.then(|| Client::builder().no_gzip().build().expect("a client"));
        let client = undecoded.as_ref().unwrap_or(&self.client);
        let mut request = client.request(method, format!("{}{path}", self.running.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body").to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, bytes, text, json }
    }

    /// With the version header, and JSON's content type when there is a body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut all = vec![("ZUMO-API-VERSION", "2.0.0")];
        if body.is_some() && headers.iter().all(|(name, _)| *name != "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        self.raw(method, path, &all, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn list(&self, query: &str) -> Answer {
        self.get(&format!("{T}?{query}")).await
    }

    pub(crate) async fn filter(&self, filter: &str) -> Answer {
        let encoded: String = filter
            .bytes()
            .map(|byte| match byte {
                b' ' => "%20".to_owned(),
                b'+' => "%2B".to_owned(),
                b'%' => "%25".to_owned(),
                byte => char::from(byte).to_string(),
            })
            .collect();
        self.list(&format!("$filter={encoded}")).await
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        self.send("POST", T, &[], Some(body)).await
    }

    pub(crate) async fn insert(&self, row: &Value) -> Answer {
        let answer = self.post(&row.to_string()).await;
        answer.assert_row(201);
        answer
    }

    pub(crate) async fn patch(&self, id: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.send("PATCH", &format!("{T}/{id}"), headers, Some(&body.to_string())).await
    }

    pub(crate) async fn delete(&self, id: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("DELETE", &format!("{T}/{id}"), headers, None).await
    }

    pub(crate) async fn undelete(&self, id: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("POST", &format!("{T}/{id}"), headers, None).await
    }

    pub(crate) async fn row(&self, id: &str) -> Answer {
        self.get(&format!("{T}/{id}?__includeDeleted=true")).await
    }

    /// `count` rows `r000`, `r001`, .. with `n` rising.
    pub(crate) async fn fill(&self, count: usize) {
        for n in 0..count {
            self.insert(&json!({"id": format!("r{n:03}"), "n": n})).await;
        }
    }
}
