use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};

use super::*;
use crate::predicate::Function;
use crate::protocol::Endpoint;

const fn column(name: &'static str, nullable: bool, local: bool) -> ColumnSchema {
    ColumnSchema::new(name, ColumnType::Text).with_nullable(nullable).with_local(local)
}

static TABLE: TableSchema = TableSchema {
    name: "T",
    columns: &[column("text", false, false), column("note", true, false), column("draft", false, true)],
    versioned: true,
    keep_deleted: false,
};

/// Answers with the scripted statuses and bodies in turn, and keeps the requests.
struct Script {
    answers: Mutex<Vec<(u16, &'static str)>>,
    requests: Mutex<Vec<Request>>,
}

impl Transport for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.requests.lock().expect("whole").push(request);
        let mut answers = self.answers.lock().expect("whole");
        assert!(!answers.is_empty(), "a request too many");
        let (status, body) = answers.remove(0);
        let status = StatusCode::from_u16(status).expect("valid");
        let answer = Response { status, headers: HeaderMap::new(), body: Bytes::from(body) };
        std::future::ready(Ok(answer)).boxed()
    }
}

fn remote(
    dialect: Dialect,
    profile: ServerProfile,
    answers: &[(u16, &'static str)],
) -> (Remote, Arc<Script>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.to_vec()), requests: Mutex::new(Vec::new()) });
    let endpoint = Endpoint::parse("http://localhost").expect("valid");
    (Remote::new(script.clone(), RequestBuilder::new(endpoint, dialect), profile), script)
}

impl Script {
    fn addresses(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("whole");
        requests
            .iter()
            .map(|request| {
                let pairs = request.url.query_pairs();
                pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
            })
            .collect()
    }
}

fn all() -> RemoteQuery {
    RemoteQuery::new(Predicate::all(&TABLE))
}

fn v2(answers: &[(u16, &'static str)]) -> (Remote, Arc<Script>) {
    remote(Dialect::MobileApps, ServerProfile::conservative(), answers)
}

#[tokio::test]
async fn pages_follow_the_ids_until_an_empty_one() {
    let (remote, script) = v2(&[
        (200, r#"[{"id":"a","text":"1","version":"x"},{"id":"b","text":"2"}]"#),
        (200, r#"[{"id":"c","text":"3"}]"#),
        (200, "[]"),
    ]);
    let rows = remote.load(all()).await.expect("loaded");
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(rows[0].version.as_deref(), Some("x"));
    let addresses = script.addresses();
    assert_eq!(addresses[0], "$orderby=id&$skip=0&$top=1000");
    assert!(addresses[2].contains("$filter=(id gt 'c')"), "{}", addresses[2]);
}

#[tokio::test]
async fn l_28_a_short_page_is_the_last_one_where_the_profile_says_so() {
    let profile = ServerProfile::conservative().with_guaranteed_page(Some(1000));
    let (remote, script) = remote(Dialect::MobileApps, profile, &[(200, r#"[{"id":"a","text":"1"}]"#)]);
    let query = RemoteQuery { order_by: vec![(&TABLE.columns[0], true)], skip: 4, top: Some(9), ..all() };
    assert_eq!(remote.load(query).await.expect("loaded").len(), 1);
    assert_eq!(script.addresses(), ["$skip=4&$top=9&$orderby=text desc,id"]);
}

#[tokio::test]
async fn r_13_the_rest_is_judged_here_and_a_cut_comes_after_it() {
    let text = vec![Node::Column(&TABLE.columns[0]), Node::Literal(Value::Text("milk".into()))];
    let predicate = Predicate { table: &TABLE, node: Node::Call(Function::Contains, text) };
    let (remote, script) = v2(&[(
        200,
        r#"[{"id":"a","text":"milk 1"},{"id":"b","text":"tea"},{"id":"c","text":"milk 2"},{"id":"d","text":"milk 3"}]"#,
    )]);
    let query = RemoteQuery { skip: 1, top: Some(1), ..RemoteQuery::new(predicate) };
    let rows = remote.load(query).await.expect("loaded");
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(script.addresses(), ["$orderby=id&$skip=0&$top=1000"], "the server is not asked to cut");
}

#[tokio::test]
async fn a_server_that_ignores_where_to_go_on_ends_in_an_error() {
    let page = (200, r#"[{"id":"a","text":"1"}]"#);
    for query in [all(), RemoteQuery { skip: 1, ..all() }] {
        let (remote, _) = v2(&[page, page]);
        let error = remote.load(query).await.expect_err("stuck");
        assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidResponse, Some("T")));
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_are_errors_and_local_columns_are_empty() {
    let (remote, _) = v2(&[(200, r#"[{"id":"a","text":"1"}]"#)]);
    let row = remote.get(&TABLE, "a").await.expect("read").expect("there");
    let text = |text: &str| Some(Value::Text(text.into()));
    assert_eq!(row.values, [text("1"), Some(Value::Null), text("")]);
    for body in [r#"[{"id":"a","text":[1]}]"#, r#"[{"id":"a"}]"#] {
        let (remote, _) = v2(&[(200, body)]);
        let error = remote.load(all()).await.expect_err(body);
        assert_eq!((error.kind(), error.item()), (ErrorKind::InvalidResponse, Some("a")), "{body}");
        assert!(error.to_string().contains("column text"), "{error}");
    }
    let (remote, script) = v2(&[]);
    let query = RemoteQuery { order_by: vec![(&TABLE.columns[2], false)], ..all() };
    assert_eq!(remote.load(query).await.expect_err("local").kind(), ErrorKind::InvalidArgument);
    assert!(script.addresses().is_empty());
}

#[tokio::test]
async fn p_11_an_answer_that_shows_a_part_is_completed_from_what_was_sent() {
    let sent = || Row::new("a", vec![Value::Text("1".into()), Value::Null, Value::Text("here".into())]);
    for (status, body, version) in [(201, r#"{"id":"a","version":"x"}"#, Some("x")), (204, "", None)] {
        let (remote, _) = v2(&[(status, body)]);
        let row = remote.insert(&TABLE, sent()).await.expect("inserted");
        assert_eq!((row.values, row.version.as_deref()), (sent().values, version));
    }
    let (remote, script) =
        v2(&[(200, r#"{"id":"a","deleted":false}"#), (200, r#"[{"id":"a","text":"1","version":"y"}]"#)]);
    let row = remote.undelete(&TABLE, "a", None).await.expect("undeleted");
    assert_eq!((row.version.as_deref(), script.addresses().len()), (Some("y"), 2));
}

#[tokio::test]
async fn r_09_an_update_that_replaces_the_whole_row_reads_it_first() {
    let (remote, script) = remote(
        Dialect::Datasync,
        ServerProfile::conservative(),
        &[
            (200, r#"{"items":[{"id":"a","text":"0","colour":"red","version":"x"}]}"#),
            (200, r#"{"id":"a","text":"1","note":null,"colour":"red","version":"y"}"#),
        ],
    );
    let mut row = Row::new("a", vec![Value::Text("1".into()), Value::Null, Value::Text(String::new())]);
    row.version = Some("x".into());
    assert_eq!(remote.update(&TABLE, row).await.expect("updated").version.as_deref(), Some("y"));
    let requests = script.requests.lock().expect("whole");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, Method::GET);
    assert_eq!(requests[1].headers["if-match"], "\"x\"");
}

#[tokio::test]
async fn w_09_a_row_that_is_sent_back_whole_is_read_first() {
    for (version, sent) in [(None, "\"x\""), (Some("w"), "\"w\"")] {
        let (remote, script) = remote(
            Dialect::Datasync,
            ServerProfile::conservative(),
            &[
                (200, r#"{"items":[{"id":"a","text":"1","note":"n","version":"x","deleted":true}]}"#),
                (200, r#"{"id":"a","text":"1","note":"n","version":"y","deleted":false}"#),
            ],
        );
        let row = remote.undelete(&TABLE, "a", version).await.expect("undeleted");
        assert_eq!((row.version.as_deref(), row.deleted), (Some("y"), false));
        let requests = script.requests.lock().expect("whole");
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].headers["if-match"], sent);
    }
    let (remote, _) = remote(Dialect::Datasync, ServerProfile::conservative(), &[(200, r#"{"items":[]}"#)]);
    let error = remote.undelete(&TABLE, "a", None).await.expect_err("not there");
    assert_eq!((error.kind(), error.item()), (ErrorKind::NotFound, Some("a")));
}

#[tokio::test]
async fn p_12_an_answer_about_another_row_is_no_success() {
    for body in ["<html>", r#"{"id":"b","text":"1"}"#, "[1]"] {
        let (remote, _) = v2(&[(200, body)]);
        let row = Row::new("a", vec![Value::Text("1".into()), Value::Null, Value::Null]);
        let error = remote.insert(&TABLE, row).await.expect_err(body);
        assert_eq!((error.kind(), error.item()), (ErrorKind::InvalidResponse, Some("a")), "{body}");
    }
}
