//! Versions, addresses, methods, headers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn case_001_to_007_a_server_of_v2_alone_demands_2_0_digits_in_header_or_query() {
    let config = ServerConfig { dialect: Some(Dialect::MobileApps), ..ServerConfig::default() };
    let f = Fixture::new_with(config).await;
    f.raw("GET", T, &[], None).await.assert_error(400);
    for (version, status) in [
        ("2.0.0", 200),
        ("2.0.7", 200),
        ("2.0", 400),
        ("2.0.", 400),
        ("2.0.x", 400),
        ("2.1.0", 400),
        ("3.0.0", 400),
        ("", 400),
    ] {
        assert_eq!(f.raw("GET", T, &[("ZUMO-API-VERSION", version)], None).await.status, status, "{version}");
    }
    f.raw("DELETE", &format!("{T}/a"), &[("ZUMO-API-VERSION", "3.0.0")], None).await.assert_error(400);
    f.row("a").await.assert_row(200);
    assert_eq!(f.raw("GET", &format!("{T}?zumo-api-version=2.0.0"), &[], None).await.rows().len(), 1);
    assert_eq!(f.raw("GET", &format!("{T}?ZUMO-API-VERSION=2.0.0"), &[], None).await.status, 200);
    let both =
        f.raw("GET", &format!("{T}?zumo-api-version=2.0.0"), &[("zumo-api-version", "1.0")], None).await;
    both.assert_error(400);
}

#[tokio::test]
async fn case_008_to_010_table_names_ignore_case_and_unknown_ones_are_404() {
    let f = Fixture::new().await;
    for path in ["/tables/todoitem", "/tables/TODOITEM", "/tables/TodoItem/", "/tables/Todo%49tem"] {
        assert_eq!(f.get(path).await.ids(), ["a"], "{path}");
    }
    f.get("/tables/TodoItem/a/").await.assert_row(200);
    f.get("/tables/NoSuch").await.assert_error(404);
    f.get("/tables/NoSuch/a").await.assert_error(404);
    f.get("/elsewhere").await.assert_error(404);
}

#[tokio::test]
async fn case_011_to_013_140_methods_that_do_not_exist_are_405() {
    let f = Fixture::new().await;
    f.send("PUT", &format!("{T}/a"), &[], Some("{\"id\":\"a\"}")).await.assert_error(405);
    for query in ["", "?$filter=id%20eq%20'a'"] {
        let answer = f.send("DELETE", &format!("{T}{query}"), &[], None).await;
        assert_eq!(answer.assert_error(405).header("allow"), Some("GET, POST"));
    }
    f.send("PATCH", T, &[], Some("{\"id\":\"a\",\"text\":\"x\"}")).await.assert_error(405);
    assert_eq!(f.send("HEAD", T, &[], None).await.status, 405);
    assert_eq!(f.send("HEAD", &format!("{T}/a"), &[], None).await.status, 405);
    assert_eq!(f.row("a").await.json["text"], "t");
}

#[tokio::test]
async fn case_014_ids_with_any_printable_character_come_back() {
    let f = Fixture::new().await;
    let long = "é".repeat(255);
    for (id, path) in [
        ("a b", "a%20b"),
        ("it's", "it's"),
        ("a\"q\"", "a%22q%22"),
        ("a/b", "a%2Fb"),
        ("a\\b?c#d%e+f", "a%5Cb%3Fc%23d%25e+f"),
        ("ä😀", "%C3%A4%F0%9F%98%80"),
        (long.as_str(), long.as_str()),
    ] {
        f.insert(&json!({"id": id})).await;
        let answer = f.get(&format!("{T}/{path}")).await;
        assert_eq!(answer.assert_row(200).json["id"], id);
        assert_eq!(f.delete(path, &[]).await.assert_row(200).json["deleted"], true);
    }
    for id in ["a\nb", "a\u{85}", ".", "..", &"e".repeat(256)] {
        f.post(&json!({"id": id}).to_string()).await.assert_error(400);
    }
    f.get(&format!("{T}/%FF")).await.assert_error(400);
}

#[tokio::test]
async fn case_041_to_045_a_read_ignores_conditions_and_options() {
    let f = Fixture::new().await;
    let path = format!("{T}/a");
    let version = format!("\"{}\"", f.row("a").await.version());
    for header in [
        ("if-none-match", version.as_str()),
        ("if-none-match", "\"OLD\""),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("if-match", "\"OLD\""),
    ] {
        f.send("GET", &path, &[header], None).await.assert_row(200);
    }
    f.get(&format!("{path}?$top=1&$filter=false&$select=id")).await.assert_row(200);
}

#[tokio::test]
async fn case_134_135_tags_stand_on_rows_only() {
    let f = Fixture::new().await;
    f.row("a").await.assert_row(200);
    assert_eq!(f.list("").await.header("etag"), None);
    f.get(&format!("{T}/x")).await.assert_error(404);
}

#[tokio::test]
async fn case_141_pages_of_this_computer_may_call_and_others_not() {
    let f = Fixture::new().await;
    let local = ("origin", "http://localhost:3000");
    let preflight =
        f.raw("OPTIONS", T, &[local, ("access-control-request-headers", "zumo-api-version")], None).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("zumo-api-version"));
    assert!(preflight.header("access-control-allow-methods").expect("methods").contains("PATCH"));
    let list = f.send("GET", T, &[local], None).await;
    assert!(list.header("access-control-expose-headers").expect("exposed").contains("Link, ETag"));
    let foreign = f.send("GET", T, &[("origin", "https://example.com")], None).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    let config =
        ServerConfig { allowed_origins: vec!["https://example.com".into()], ..ServerConfig::default() };
    let f = Fixture::with(config).await;
    let allowed = f.send("GET", T, &[("origin", "https://example.com")], None).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://example.com"));
}

#[tokio::test]
async fn every_answer_names_the_server_and_its_time() {
    let f = Fixture::new().await;
    for answer in [f.list("").await, f.row("a").await, f.get("/tables/NoSuch").await] {
        assert!(answer.header("x-zumo-server-version").expect("a mark").starts_with("sync-server-"));
        assert!(answer.header("date").expect("a date").ends_with(" GMT"));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    }
}

#[tokio::test]
async fn tables_that_cannot_be_served_are_refused_at_open() {
    static SYSTEM: TableSchema = TableSchema {
        name: "T",
        columns: &[ColumnSchema::new("UpdatedAt", ColumnType::Text)
            .with_field("updated_at")
            .with_nullable(true)],
        versioned: true,
        keep_deleted: true,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.db");
    for builder in [
        Server::builder([&SYSTEM]),
        Server::builder([&TODO, &TODO]),
        Server::builder([&TODO]).soft_delete("Other", false),
        Server::builder([&TODO]).config(ServerConfig { page_size: 0, ..ServerConfig::default() }),
    ] {
        let error = builder.open(&path).await.expect_err("refused");
        assert_eq!(error.kind(), ServerErrorKind::Configuration, "{error}");
    }
    let missing = dir.path().join("no such folder").join("server.db");
    let error = Server::builder([&TODO]).open(missing).await.expect_err("refused");
    assert_eq!(error.kind(), ServerErrorKind::Database);
}

/// A request as bytes, for what an HTTP client would not send; gives the status line's number and the rest.
async fn by_hand(f: &Fixture, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(f.running.address()).await.expect("connects");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {answer}")), answer)
}

#[tokio::test]
async fn case_030_a_body_of_unknown_length_is_limited_as_well() {
    let f = Fixture::with(ServerConfig { body_limit: 64, ..ServerConfig::default() }).await;
    let head = "POST /tables/TodoItem HTTP/1.1\r\nHost: h\r\nZUMO-API-VERSION: 2.0.0\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let small = format!("{head}{}{}0\r\n\r\n", chunk("{\"text\":"), chunk("\"t\"}"));
    assert_eq!(by_hand(&f, small.as_bytes()).await.0, 201);
    let blanks = " ".repeat(30);
    let large = format!("{head}{}{}{}0\r\n\r\n", chunk("{}"), chunk(&blanks), chunk(&format!("{blanks}  x")));
    assert_eq!(by_hand(&f, large.as_bytes()).await.0, 413);
    let list = by_hand(
        &f,
        b"GET /tables/TodoItem HTTP/1.1\r\nHost: h\r\nZUMO-API-VERSION: 2.0.0\r\nConnection: close\r\n\r\n",
    );
    assert!(list.await.1.contains("\"text\":\"t\""));
}

#[tokio::test]
async fn a_body_that_is_cut_off_changes_nothing() {
    let f = Fixture::with(ServerConfig::default()).await;
    let mut stream = TcpStream::connect(f.running.address()).await.expect("connects");
    let cut = "POST /tables/TodoItem HTTP/1.1\r\nHost: h\r\nZUMO-API-VERSION: 2.0.0\r\n\
               Content-Length: 40\r\n\r\n{\"id\":\"cut\"}";
    stream.write_all(cut.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("closed");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("closed by the server");
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    assert!(f.list("").await.rows().is_empty());
}

#[tokio::test]
async fn without_a_host_the_link_is_a_path() {
    let f = Fixture::with(ServerConfig::default()).await;
    f.fill(2).await;
    let request = b"GET /tables/TodoItem?$top=1 HTTP/1.0\r\nZUMO-API-VERSION: 2.0.0\r\n\r\n";
    let (status, answer) = by_hand(&f, request).await;
    assert_eq!(status, 200);
    assert!(answer.contains("link: /tables/TodoItem?$top=1&$skip=1; rel=next\r\n"), "{answer}");
}
