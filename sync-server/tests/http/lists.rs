//! Lists: paging, counting, selecting, ordering, filtering.

use super::*;

/// Rows `1` to `5` for filters; `5` is all null.
async fn rows_for_filters() -> Fixture {
    let f = Fixture::with(ServerConfig::default()).await;
    for row in [
        json!({"id": "1", "text": "milk", "complete": true, "n": 1, "when": "2015-01-02T03:04:05.678Z"}),
        json!({"id": "2", "text": "it's", "complete": false, "n": 2, "ratio": 2.5}),
        json!({"id": "3", "text": "50% off_", "complete": true, "n": -3}),
        json!({"id": "4", "text": "MILK", "n": 9_007_199_254_740_993_i64, "when": "2015-01-02T03:04:05Z"}),
        json!({"id": "5"}),
    ] {
        f.insert(&row).await;
    }
    f
}

#[tokio::test]
async fn case_078_to_081_deleted_rows_are_listed_only_for_exactly_true() {
    let f = Fixture::new().await;
    assert_eq!(f.list("").await.ids(), ["a"]);
    let all = f.list("__includeDeleted=true").await;
    assert_eq!(all.ids(), ["a", "d"]);
    assert_eq!(all.rows()[1]["deleted"], true);
    for query in
        ["__INCLUDEDELETED=TRUE", "__includeDeleted=false", "__includeDeleted=", "__includeDeleted=1"]
    {
        assert_eq!(f.list(query).await.ids(), ["a"], "{query}");
    }
}

/// Follows the links to the end: sizes of the pages, and all ids.
async fn follow(f: &Fixture, first: &str) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    let mut path = first.to_owned();
    loop {
        let page = f.get(&path).await;
        let rows = page.json.get("results").and_then(Value::as_array).unwrap_or_else(|| page.rows());
        sizes.push(rows.len());
        ids.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        let Some(link) = page.header("link") else { return (sizes, ids) };
        let url = link.strip_suffix("; rel=next").expect("the bare form");
        path = url.strip_prefix(&f.running.url()).expect("a full address").to_owned();
        assert!(path.starts_with(&format!("{T}?")), "{link}");
    }
}

#[tokio::test]
async fn case_082_to_086_links_lead_through_every_row_once() {
    let f = Fixture::with(ServerConfig::default()).await;
    f.fill(120).await;
    let expected: Vec<String> = (0..120).map(|n| format!("r{n:03}")).collect();
    let first = f.get(T).await;
    assert_eq!(first.rows().len(), 50);
    assert!(first.header("link").is_some());
    assert_eq!(follow(&f, T).await, (vec![50, 50, 20], expected.clone()));
    // Exactly full pages: no link to an empty one.
    assert_eq!(follow(&f, &format!("{T}?$top=60")).await, (vec![60, 60], expected.clone()));
    assert_eq!(f.list("$top=120").await.header("link"), None);

    f.delete("r010", &[]).await.assert_row(200);
    let query =
        "$filter=n%20lt%20100&$orderby=n%20desc,text&__includeDeleted=true&$inlinecount=allpages&foo=a;b,c";
    let (sizes, ids) = follow(&f, &format!("{T}?{query}&$top=40")).await;
    assert_eq!(sizes, [40, 40, 20]);
    assert_eq!(ids, expected[..100].iter().rev().cloned().collect::<Vec<_>>());

    let link = f.list("$skip=2&$top=3").await.header("link").map(str::to_owned);
    assert_eq!(link, Some(format!("{}{T}?$top=3&$skip=5; rel=next", f.running.url())));
    let proxied =
        ServerConfig { public_url: Some("https://api.example.com/".into()), ..ServerConfig::default() };
    let f = Fixture::with(proxied).await;
    f.fill(2).await;
    let link = f.list("$top=1").await.header("link").map(str::to_owned);
    assert_eq!(link.as_deref(), Some("https://api.example.com/tables/TodoItem?$top=1&$skip=1; rel=next"));
}

#[tokio::test]
async fn a_capped_page_without_links_is_short_of_what_was_asked() {
    let config = ServerConfig { page_cap: Some(7), links: false, ..ServerConfig::default() };
    let f = Fixture::with(config).await;
    f.fill(20).await;
    let mut seen = Vec::new();
    loop {
        let page = f.list(&format!("$top=1000&$skip={}", seen.len())).await;
        assert_eq!(page.header("link"), None);
        assert!(page.rows().len() <= 7);
        if page.rows().is_empty() {
            break;
        }
        seen.extend(page.ids().into_iter().map(str::to_owned));
    }
    assert_eq!(seen, (0..20).map(|n| format!("r{n:03}")).collect::<Vec<_>>());
    assert_eq!(f.list("").await.rows().len(), 7);
}

#[tokio::test]
async fn case_088_to_094_top_skip_and_count() {
    let f = Fixture::new().await;
    f.fill(60).await;
    for bad in ["$top=1001", "$top=-1", "$top=abc", "$skip=-1", "$skip=x", "$top=1&$top=2"] {
        f.list(bad).await.assert_error(400);
    }
    for default in ["$top=0", "$top=", ""] {
        assert_eq!(f.list(default).await.rows().len(), 50, "{default}");
    }
    assert_eq!(f.list("$top=1000").await.rows().len(), 61);
    assert_eq!(f.list("$filter=n%20ge%205&$skip=2&$top=2&$orderby=n").await.ids(), ["r007", "r008"]);
    assert_eq!(f.list("$skip=60").await.rows().len(), 1);
    assert!(f.list("$skip=9999999999999").await.rows().is_empty());

    let counted = f.list("$inlinecount=allpages&$top=1").await;
    assert_eq!(counted.json["count"], 61);
    assert_eq!(counted.json["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(f.list("$inlinecount=none&$top=1").await.rows().len(), 1);
    assert_eq!(f.list("$count=true&$top=1").await.rows().len(), 1);
    let count =
        async |query: &str| f.list(&format!("$inlinecount=allpages&{query}")).await.json["count"].clone();
    assert_eq!(count("$filter=n%20lt%2010&$skip=3").await, 11);
    assert_eq!(count("__includeDeleted=true").await, 62);
    assert_eq!(count("$filter=id%20eq%20'd'").await, 0);
    assert_eq!(count("$filter=id%20eq%20'd'&__includeDeleted=true").await, 1);
}

#[tokio::test]
async fn case_095_127_128_select_gives_only_what_is_named() {
    let f = Fixture::new().await;
    let members = |answer: &Answer| {
        let mut names: Vec<_> = answer.rows()[0].as_object().expect("a row").keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(members(&f.list("$select=id,text").await), ["id", "text"]);
    assert_eq!(members(&f.list("$select=version,%20n,n").await), ["n", "version"]);
    assert_eq!(
        members(&f.list("$select=updatedAt,createdAt,deleted").await),
        ["createdAt", "deleted", "updatedAt"]
    );
    for bad in ["$select=nothing", "$select=*", "$select=id,", "$select=draft", "$select=__version"] {
        f.list(bad).await.assert_error(400);
    }
    assert_eq!(f.list("$foo=1&foo=1&__foo=1").await.ids(), ["a"]);
}

#[tokio::test]
async fn case_097_098_orders_are_total() {
    let f = Fixture::with(ServerConfig::default()).await;
    for (id, n, text) in [("c", 1, "x"), ("b", 2, "y"), ("e", 1, "x"), ("a", 1, "w"), ("d", 1, "x")] {
        f.insert(&json!({"id": id, "n": n, "text": text})).await;
    }
    for (order, expected) in [
        ("n%20desc,text", "bacde"),
        ("n,%20text%20DESC", "cdeab"),
        ("n%20asc,id%20desc,text", "edcab"),
        ("id%20desc", "edcba"),
        ("updatedAt", "cbead"),
        ("updatedAt,id", "cbead"),
        ("createdAt%20desc", "daebc"),
        ("n,n%20desc", "acdeb"),
        ("", "abcde"),
    ] {
        assert_eq!(f.list(&format!("$orderby={order}")).await.ids().concat(), expected, "{order}");
    }
    for bad in ["n,", "nothing", "n%20up", "n%20asc%20desc", "draft", "__updatedAt"] {
        f.list(&format!("$orderby={bad}")).await.assert_error(400);
    }
}

#[tokio::test]
async fn case_099_to_109_filters_have_one_meaning() {
    let f = rows_for_filters().await;
    for (filter, expected) in [
        ("text eq 'it''s'", "2"),
        ("text eq 'MILK'", "4"),
        ("text eq null", "5"),
        ("text ne null", "1234"),
        ("text ne 'milk'", "2345"),
        ("not (text eq 'milk')", "2345"),
        ("not (n gt 1)", "135"),
        ("complete", "13"),
        ("complete eq true", "13"),
        ("complete eq false", "2"),
        ("complete ne true", "245"),
        ("not complete", "245"),
        ("complete and n gt 0 or text eq null", "15"),
        ("complete and (n gt 0 or text eq null)", "1"),
        ("n eq 2L", "2"),
        ("n lt 2.5", "123"),
        ("ratio eq 2.5", "2"),
        ("ratio eq 2.5M", "2"),
        ("ratio eq 2.5f", "2"),
        ("ratio eq 2.5d", "2"),
        ("n eq -3", "3"),
        ("n gt 9007199254740992L", "4"),
        ("substringof('il',text)", "1"),
        ("substringof('%',text)", "3"),
        ("startswith(text,'50%')", "3"),
        ("startswith(text,'_')", ""),
        ("endswith(text,'f_')", "3"),
        ("endswith(text,'LK')", "4"),
        ("not substringof('il',text)", "2345"),
        ("substringof('il',text) eq true", "1"),
        ("id gt '3'", "45"),
        ("deleted eq false", "12345"),
    ] {
        assert_eq!(f.filter(filter).await.ids().concat(), expected, "{filter}");
    }
    let version = f.row("2").await.version().to_owned();
    assert_eq!(f.filter(&format!("version eq '{version}'")).await.ids(), ["2"]);
}

#[tokio::test]
async fn case_108_replacements_that_grow_without_bound_are_refused() {
    let f = rows_for_filters().await;
    let grown = |times: usize| {
        let (open, close) = ("replace(".repeat(times), format!(",'i','{}')", "i".repeat(500)).repeat(times));
        format!("length({open}text{close})")
    };
    assert_eq!(f.filter(&format!("{} gt 100", grown(1))).await.ids(), ["1", "2"]);
    for times in [3, 12] {
        let refused = f.filter(&format!("{} gt 100", grown(times))).await;
        assert_eq!((refused.status, refused.json["error"].is_string()), (400, true), "{}", refused.text);
    }
    assert_eq!(f.list(&format!("$orderby={}", grown(3))).await.status, 400);
    assert_eq!(f.filter("replace(text,'i','') eq 'mlk'").await.ids(), ["1"]);
}

#[tokio::test]
async fn case_106_112_115_117_118_121_to_124_126_faults_of_a_filter_are_400() {
    let f = rows_for_filters().await;
    for filter in [
        "contains(text,'il')",
        "id in ('a','b')",
        "updatedAt gt cast(2015-01-02T03:04:05.678Z,Edm.DateTimeOffset)",
        "updatedAt gt 2015-01-02T03:04:05Z",
        "id eq guid'9e4b6f2c-5a3f-4b7e-9a51-6b0c7a1f4f10'",
        "text eq",
        "(text eq 'a'",
        "text eq 'a",
        "nosuch(text)",
        "nothing eq 1",
        "draft eq 'x'",
        "text EQ 'a'",
        "text eq 1",
        "n eq 'a'",
        "text",
        "__updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000+00:00'",
    ] {
        f.filter(filter).await.assert_error(400);
    }
    f.list("$filter=updatedAt%20ge%20datetimeoffset'1970-01-01T00:00:00.0000000+00:00'")
        .await
        .assert_error(400);
    let positioned = f.filter("text eq 'a' and nothing eq 1").await;
    let message = positioned.json["error"].as_str().expect("a message");
    assert!(message.contains("(at index 16)"), "{message}");
}

#[tokio::test]
async fn case_113_114_116_120_133_instants_match_in_every_spelling() {
    let f = rows_for_filters().await;
    for filter in [
        "when eq datetimeoffset'2015-01-02T03:04:05.678Z'",
        "when eq datetime'2015-01-02T03:04:05.678Z'",
        "when eq datetimeoffset'2015-01-02T03:04:05.6780000Z'",
        "when eq datetimeoffset'2015-01-02T05:04:05.678+02:00'",
        "when gt datetimeoffset'2015-01-02T03:04:05Z'",
    ] {
        assert_eq!(f.filter(filter).await.ids(), ["1"], "{filter}");
    }
    for fraction in ["", ".0", ".000", ".0000000"] {
        let filter = format!("when eq datetimeoffset'2015-01-02T03:04:05{fraction}Z'");
        assert_eq!(f.filter(&filter).await.ids(), ["4"], "{filter}");
    }
    let all = f.filter("updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000+00:00'").await;
    assert_eq!(all.rows().len(), 5);
    for row in all.rows() {
        let time = row["updatedAt"].as_str().expect("a time");
        assert!(time.len() == 24 && time.as_bytes()[19] == b'.' && time.ends_with('Z'), "{time}");
        let found = f.filter(&format!("updatedAt eq datetimeoffset'{time}'")).await;
        assert_eq!(found.rows(), &vec![row.clone()]);
    }
}

#[tokio::test]
async fn case_125_parameters_may_be_encoded() {
    let f = rows_for_filters().await;
    let encoded = "%24filter=%28text%20eq%20%27milk%27%29+or+text%20eq%20null&%24orderby=n%2Cid";
    assert_eq!(f.list(encoded).await.ids(), ["5", "1"]);
    f.list("$filter=%FF").await.assert_error(400);
}

#[tokio::test]
async fn the_router_may_be_nested_and_links_still_lead_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::builder([&TODO]).open(dir.path().join("server.db")).await.expect("opens");
    let app = axum::Router::new().nest("/api/v2", server.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = client();
    let base = format!("http://{address}/api/v2/tables/TodoItem");
    for _ in 0..2 {
        let sent = client.post(&base).header("zumo-api-version", "2.0.0").body("{}").send().await;
        assert_eq!(sent.expect("an answer").status(), 201);
    }
    let page = client.get(format!("{base}?$top=1")).header("zumo-api-version", "2.0.0").send().await;
    let link = page.expect("an answer").headers()["link"].to_str().expect("text").to_owned();
    assert_eq!(link, format!("{base}?$top=1&$skip=1; rel=next"));
    task.abort();
}
