//! The program `sync-server`: its one line of output, its stop, its end by force.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::*;

const TABLE: &str = "TodoItem(text:text, n:i64?)";

struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(database: &Path) -> Self {
        Self::start_with(database, &[], None)
    }

    fn start_with(database: &Path, arguments: &[&str], tokens: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sync-server"));
        command.env_remove("SYNC_SERVER_TOKENS").envs(tokens.map(|tokens| ("SYNC_SERVER_TOKENS", tokens)));
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--table", TABLE, "--database"])
            .arg(database)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("the address").to_owned();
        Self { child, url }
    }

    async fn insert(&self, client: &Client, body: &Value) -> Value {
        let request = client.post(format!("{}{T}", self.url)).header("zumo-api-version", "2.0.0");
        let response = request.body(body.to_string()).send().await.expect("an answer");
        assert_eq!(response.status(), 201);
        serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
    }

    async fn list(&self, client: &Client) -> Vec<Value> {
        let request =
            client.get(format!("{}{T}?$orderby=updatedAt", self.url)).header("zumo-api-version", "2.0.0");
        let response = request.send().await.expect("an answer");
        serde_json::from_str(&response.text().await.expect("a body")).expect("a list")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn answered_rows_survive_a_kill_and_times_go_on_rising() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("server.db");
    let client = client();
    let mut program = Program::start(&database);
    let mut rows = Vec::new();
    for n in 0..20 {
        rows.push(program.insert(&client, &json!({"text": "t", "n": n})).await);
    }
    program.child.kill().expect("killed");
    program.child.wait().expect("gone");
    drop(program);
    let program = Program::start(&database);
    assert_eq!(program.list(&client).await, rows);
    let later = program.insert(&client, &json!({})).await;
    assert!(later["updatedAt"].as_str() > rows[19]["updatedAt"].as_str());
    assert_eq!(later["text"], "");
}

#[cfg(unix)]
#[tokio::test]
async fn a_polite_signal_ends_it_without_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let client = client();
    for signal in ["-INT", "-TERM"] {
        let mut program = Program::start(&dir.path().join("server.db"));
        program.insert(&client, &json!({})).await;
        let sent = Command::new("kill").args([signal, &program.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        assert!(program.child.wait().expect("ends").success(), "{signal}");
    }
}

#[tokio::test]
async fn case_136_tokens_come_from_arguments_or_the_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let client = client();
    let statuses = async |program: &Program, token: Option<&str>| {
        let url = format!("{}{T}", program.url);
        let mut statuses = Vec::new();
        for request in [client.get(&url), client.post(&url).body("{}")] {
            let request = match token {
                Some(token) => request.header("x-zumo-auth", token),
                None => request,
            };
            statuses.push(request.send().await.expect("an answer").status().as_u16());
        }
        statuses
    };
    let first = dir.path().join("first.db");
    let program = Program::start_with(&first, &["--token", "ada:one", "--token", "two"], None);
    assert_eq!(statuses(&program, None).await, [401, 401]);
    assert_eq!(statuses(&program, Some("ada:one")).await, [401, 401]);
    assert_eq!(statuses(&program, Some("one")).await, [200, 201]);
    assert_eq!(statuses(&program, Some("two")).await, [200, 201]);
    drop(program);

    let own = ["--anonymous-read", "--owner", "TodoItem.text"];
    let program = Program::start_with(&dir.path().join("second.db"), &own, Some("ada:one,bob:two"));
    assert_eq!(statuses(&program, None).await, [200, 401]);
    assert_eq!(statuses(&program, Some("one")).await, [200, 201]);
    let rows = async |token: &str| {
        let list = client.get(format!("{}{T}", program.url)).header("x-zumo-auth", token).send().await;
        list.expect("an answer").text().await.expect("a body")
    };
    assert!(rows("one").await.contains("\"text\":\"ada\""));
    assert_eq!(rows("two").await, "[]");
}

#[test]
fn a_wrong_call_is_explained() {
    let check = |arguments: &[&str], part: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sync-server"))
            .args(arguments)
            .env_remove("SYNC_SERVER_TOKENS")
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert!(!child.wait().expect("ends").success());
        assert!(said.contains(part), "{said}");
    };
    check(&[], "--table");
    check(&["--table", "T(a:string)"], "column 'a' has the unknown type 'string'");
    check(&["--table", "T(deleted:bool)"], "column deleted of table T is named like a system property");
    check(&["--table", "T(a:text)", "--anonymous-read"], "--token");
    check(&["--table", "T(a:text)", "--token", "x", "--owner", "T"], "Table.column");
    check(&["--table", "T(a:text)", "--token", "x", "--owner", "T.b"], "no text column b");
    check(&["--table", "T(a:text)", "--token", "a:x", "--token", "b:x"], "two tokens are the same");
    check(&["--table", "T(a:text)", "--database", "/no/such/folder/server.db"], "cannot be opened");
}
