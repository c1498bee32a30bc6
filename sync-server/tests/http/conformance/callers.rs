//! Cases 136 to 139: credentials, forbidden operations, rows of other callers.

use sync_core::predicate::{Comparison, Node};

use super::scripts::Numbered;
use super::*;

pub(super) const SCRIPTS: &[Numbered] = &[
    (&[136], &Dialect::ALL, |dialect| Box::pin(protected_tables(dialect))),
    (&[137], &Dialect::ALL, |dialect| Box::pin(forbidden_operations(dialect))),
    (&[138, 139], &Dialect::ALL, |dialect| Box::pin(rows_of_others(dialect))),
    (&[138, 139], &Dialect::ALL, |dialect| Box::pin(views_by_condition(dialect))),
];

/// The server of `TodoItem` with these rules, where `ada` and `bob` are known by tokens and `bob` is an editor.
async fn bench(dialect: Dialect, rules: TableRules) -> Bench {
    let mut tokens = Tokens::new();
    tokens.insert("token-of-ada", Caller::new("ada")).expect("a token");
    tokens.insert("token-of-bob", Caller::new("bob").with_role("editor")).expect("a token");
    let builder = Server::builder([&TODO]).authenticate(tokens).rules("todoitem", rules);
    let fixture = Fixture::of(builder).await;
    let (version, old, deleted) = Default::default();
    Bench { fixture, dialect, version, old, deleted }
}

const ADA: &str = "x-zumo-auth: token-of-ada";
const BOB: &str = "x-zumo-auth: token-of-bob";

impl Bench {
    /// As [`Bench::expect`], with a header after the request line.
    async fn expect_as(&self, header: &str, request: &str, cell: &str) -> Answer {
        let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
        self.expect(&format!("{line}\n{header}\n{rest}"), cell).await
    }

    /// A change of a row, on no condition, with more headers before the empty line.
    fn change(&self, id: &str, members: &str, header: &str) -> String {
        let method = if self.dialect == Dialect::Datasync { "PUT" } else { "PATCH" };
        format!("{method} T/{id}\n{header}\n\n{{\"id\":\"{id}\",{members}}}")
    }
}

async fn protected_tables(dialect: Dialect) {
    let bench = bench(dialect, TableRules::authenticated()).await;
    let bearer = "authorization: Bearer token-of-ada";
    bench.expect(&format!("POST T\n{ADA}\n\n{{\"id\":\"a\",\"text\":\"t\"}}"), "201").await;
    let change = |header| bench.change("a", "\"text\":\"x\"", header);
    let mut requests: Vec<String> =
        ["GET T", "GET T/a", "GET T/x", "DELETE T/a"].map(|line| format!("{line}\nHEADER")).to_vec();
    requests.push("POST T\nHEADER\n\n{\"id\":\"b\"}".to_owned());
    requests.push(change("HEADER"));
    let mut bad = vec!["@none", "x-zumo-auth: token-of-eve", "x-zumo-auth: ", "authorization: Bearer token"];
    bad.push("authorization: Basic dG9rZW4tb2YtYWRh");
    if dialect == Dialect::MobileServices {
        // In v1 this header is not looked at.
        bad.push(bearer);
    }
    for header in bad {
        for request in &requests {
            let request = match header {
                "@none" => request.replace("\nHEADER", ""),
                header => request.replace("HEADER", header),
            };
            let refused = bench.expect(&request, "401 error noetag").await;
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            assert!(!refused.text.contains("token-of"), "{}", refused.text);
        }
    }
    bench.expect("GET /tables/NoSuch", "404").await;
    // Nothing was done, and with a token all of it is.
    bench.expect(&format!("GET T\n{ADA}"), "200 ids=a").await;
    bench.expect(&format!("GET T/a\n{BOB}"), "200 /text=\"t\"").await;
    bench.expect(&change(ADA), "200").await;
    bench.expect(&format!("DELETE T/a\n{ADA}"), "200|204").await;
    if dialect != Dialect::MobileServices {
        bench.expect(&format!("GET T\n{bearer}"), "200 rows=0").await;
    }
    // A web page asks before it has a token.
    let origin = "origin: http://localhost:3000\naccess-control-request-method: POST";
    bench.expect(&format!("OPTIONS T\n{origin}"), "204").await;

    // A bad token is told also where none is needed.
    let open = self::bench(dialect, TableRules::default()).await;
    open.expect("GET T", "200 rows=0").await;
    open.expect(&format!("GET T\n{ADA}"), "200 rows=0").await;
    open.expect("GET T\nx-zumo-auth: token-of-eve", "401 error").await;
}

async fn forbidden_operations(dialect: Dialect) {
    let rules = TableRules::default()
        .insert(Access::Authenticated)
        .update(Access::Role("editor".into()))
        .delete(Access::Disabled);
    let bench = bench(dialect, rules).await;
    bench.expect("POST T\n\n{\"id\":\"a\"}", "401 error").await;
    bench.expect(&format!("POST T\n{ADA}\n\n{{\"id\":\"a\",\"text\":\"t\"}}"), "201").await;
    bench.expect("GET T/a", "200").await;
    let change = |header| bench.change("a", "\"text\":\"x\"", header);
    bench.expect(&change("x-none: 1"), "401 error").await;
    bench.expect(&change(ADA), "403 error noetag").await;
    bench.expect(&change(BOB), "200").await;
    for header in ["x-none: 1", BOB] {
        let refused = match dialect {
            Dialect::MobileApps => "405 error allow=GET,PATCH",
            _ => "403 error",
        };
        bench.expect(&format!("DELETE T/a\n{header}"), refused).await;
    }
    bench.expect("GET T/a", "200 /text=\"x\"").await;
    // An undelete is an update.
    let undelete = match dialect {
        Dialect::Datasync => format!("PATCH T/a\n{ADA}\n\n{{\"deleted\":false}}"),
        _ => format!("POST T/a\n{ADA}"),
    };
    bench.expect(&undelete, "403 error").await;
}

/// The text column holds whose row it is.
async fn rows_of_others(dialect: Dialect) {
    let bench = bench(dialect, TableRules::default().owner("text")).await;
    let insert =
        |id: &str, header: &str| format!("POST T\n{header}\n\n{{\"id\":\"{id}\",\"text\":\"eve\",\"n\":1}}");
    bench.expect(&insert("a", ADA), "201 /text=\"ada\"").await;
    bench.expect(&insert("b", BOB), "201 /text=\"bob\"").await;
    bench.expect(&insert("d", BOB), "201").await;
    bench.expect(&format!("DELETE T/d\n{BOB}"), "200|204").await;
    bench.expect("POST T\n\n{\"id\":\"c\"}", "401 error").await;

    for (header, ids) in [(ADA, "a"), (BOB, "b"), ("x-none: 1", "")] {
        bench.expect(&format!("GET T\n{header}"), &format!("200 ids={ids}")).await;
        bench.expect(&format!("GET T?$filter=n eq 1 or n eq 2\n{header}"), &format!("200 ids={ids}")).await;
        let count = if dialect == Dialect::Datasync { "$count=true" } else { "$inlinecount=allpages" };
        let counted = bench.expect(&format!("GET T?{count}\n{header}"), "200").await;
        assert_eq!(counted.json["count"], usize::from(!ids.is_empty()), "{header}");
    }
    bench.expect(&format!("GET T?__includeDeleted=true\n{ADA}"), "200 ids=a").await;
    bench.expect(&format!("GET T?__includeDeleted=true\n{BOB}"), "200 ids=b,d").await;

    for (header, id) in [(ADA, "b"), (ADA, "d"), (ADA, "x"), ("x-none: 1", "a"), (BOB, "a")] {
        bench.expect(&format!("GET T/{id}\n{header}"), "404 error noetag").await;
        bench.expect(&format!("GET T/{id}?__includeDeleted=true\n{header}"), "404").await;
        bench.expect(&format!("DELETE T/{id}\n{header}"), "404 error noetag").await;
        for condition in ["x-any: 1", "if-match: \"OLD\""] {
            let request = bench.change(id, "\"n\":7", &format!("{header}\n{condition}"));
            bench.expect(&request, "404 error noetag").await;
        }
        let undelete = match dialect {
            Dialect::Datasync => format!("PATCH T/{id}\n{header}\n\n{{\"deleted\":false}}"),
            _ => format!("POST T/{id}\n{header}"),
        };
        bench.expect(&undelete, "404 error").await;
    }
    // Case 139: the id is taken, and nothing of the row is shown.
    for id in ["b", "d"] {
        let cell = if dialect == Dialect::Datasync { "400 empty noetag" } else { "409 error noetag" };
        let refused = bench.expect(&insert(id, ADA), cell).await;
        assert!(!refused.text.contains("bob"), "{}", refused.text);
    }
    let own = bench.expect(&insert("a", ADA), "409").await;
    assert_eq!(own.header("etag").is_some(), dialect != Dialect::MobileServices);

    // A row cannot be given away, and keeps its owner when it is written whole.
    bench.expect(&bench.change("a", "\"text\":\"bob\",\"n\":2", ADA), "200 /text=\"ada\" /n=2").await;
    bench.expect(&bench.change("a", "\"n\":3", ADA), "200 /n=3").await;
    bench.expect(&format!("GET T\n{ADA}"), "200 ids=a").await;
    bench.expect(&format!("GET T/b\n{BOB}"), "200 /n=1 /text=\"bob\"").await;
    bench.expect(&format!("DELETE T/a\n{ADA}"), "200|204").await;
    let deleted = if dialect == Dialect::Datasync { "410" } else { "404" };
    bench.expect(&format!("GET T/a\n{ADA}"), deleted).await;
}

/// Callers see small numbers, the editor all.
async fn views_by_condition(dialect: Dialect) {
    let rules = TableRules::default().view(|caller| match caller {
        Some(caller) if caller.has_role("editor") => Node::ALWAYS,
        _ => Node::compare(&TODO.columns[2], Comparison::Lt, sync_core::value::Value::Integer(10)),
    });
    let bench = bench(dialect, rules).await;
    for (id, n) in [("low", 1), ("high", 50)] {
        bench.expect(&format!("POST T\n{BOB}\n\n{{\"id\":\"{id}\",\"n\":{n}}}"), "201").await;
    }
    bench.expect("GET T", "200 ids=low").await;
    bench.expect(&format!("GET T\n{BOB}"), "200 ids=high,low").await;
    bench.expect("GET T/high", "404").await;
    bench.expect_as(BOB, "GET T/high", "200").await;
    // No change takes a row out of the view, and none brings one in from outside.
    bench.expect("POST T\n\n{\"id\":\"new\",\"n\":70}", "403 error").await;
    bench.expect_as(BOB, "GET T/new", "404").await;
    bench.expect(&bench.change("low", "\"n\":70", "x-none: 1"), "403 error").await;
    bench.expect(&bench.change("high", "\"n\":1", "x-none: 1"), "404 error").await;
    bench.expect("GET T/low", "200 /n=1").await;
    bench.expect(&bench.change("low", "\"n\":2", "x-none: 1"), "200 /n=2").await;
    bench.expect("DELETE T/low", "200|204").await;
    bench.expect_as(BOB, "GET T", "200 ids=high").await;
}
