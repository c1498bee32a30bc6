//! Callers beside the conformance cases: what a builder refuses, asynchronous checks, hard deletes, the router.

use sync_core::predicate::{Comparison, Node};

use super::*;

/// Known by a header of a gateway, after some waiting; `down` stands for an identity service out of order.
struct Gateway;

impl Authenticate for Gateway {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Authentication<'a> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            match credentials.headers().get("x-ms-client-principal-id").map(|id| id.to_str()) {
                None => Ok(None),
                Some(Ok("down")) => Err(AuthenticationError::Unavailable),
                Some(Ok(id)) => Ok(Some(Caller::new(id))),
                Some(Err(_)) => Err(AuthenticationError::Invalid),
            }
        })
    }
}

#[tokio::test]
async fn an_app_may_tell_callers_in_its_own_way() {
    let f = Fixture::of(
        Server::builder([&TODO, &GONE]).authenticate(Gateway).default_rules(TableRules::authenticated()),
    )
    .await;
    let as_caller = |id: &'static str| [("x-ms-client-principal-id", id)];
    f.get(T).await.assert_error(401);
    f.get("/tables/Gone").await.assert_error(401);
    assert_eq!(f.send("GET", T, &as_caller("ada"), None).await.status, 200);
    f.send("GET", T, &as_caller("é"), None).await.assert_error(401);
    // The caller comes again later, with the same credentials.
    f.send("GET", T, &as_caller("down"), None).await.assert_error(503);
}

#[tokio::test]
async fn rules_of_one_table_stand_beside_the_default_ones() {
    let builder = Server::builder([&TODO, &GONE])
        .soft_delete("Gone", false)
        .authenticate(Gateway)
        .default_rules(TableRules::authenticated())
        .rules("gone", TableRules::default().owner("text"));
    let f = Fixture::of(builder).await;
    let ada = [("x-ms-client-principal-id", "ada")];
    let bob = [("x-ms-client-principal-id", "bob")];
    f.get(T).await.assert_error(401);
    assert!(f.get("/tables/Gone").await.rows().is_empty());
    // A row that is really deleted was in the view, and is gone.
    f.send("POST", "/tables/Gone", &ada, Some("{\"id\":\"g\"}")).await.assert_row(201);
    f.send("DELETE", "/tables/Gone/g", &bob, None).await.assert_error(404);
    f.send("DELETE", "/tables/Gone/g", &ada, None).await.assert_row(200);
    f.send("POST", "/tables/Gone", &bob, Some("{\"id\":\"g\"}")).await.assert_row(201);
}

#[tokio::test]
async fn rules_that_cannot_hold_are_refused_at_open() {
    let dir = tempfile::tempdir().expect("a directory");
    for (builder, part) in [
        (Server::builder([&TODO]).default_rules(TableRules::authenticated()), "no authentication"),
        (
            Server::builder([&TODO]).rules("TodoItem", TableRules::default().owner("text")),
            "no authentication",
        ),
        (Server::builder([&TODO]).authenticate(Gateway).rules("Other", TableRules::default()), "Other"),
        (
            Server::builder([&TODO])
                .authenticate(Gateway)
                .rules("TodoItem", TableRules::default().owner("n")),
            "no text column n",
        ),
        (
            Server::builder([&TODO])
                .authenticate(Gateway)
                .rules("TodoItem", TableRules::default().owner("draft")),
            "no text column draft",
        ),
    ] {
        let error = builder.open(dir.path().join("server.db")).await.expect_err(part);
        assert_eq!(error.kind(), ServerErrorKind::Configuration);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_view_that_cannot_be_run_shows_nothing() {
    static OTHER: ColumnSchema = ColumnSchema::new("elsewhere", ColumnType::Text);
    let view =
        |_: Option<&Caller>| Node::compare(&OTHER, Comparison::Eq, sync_core::value::Value::Text("x".into()));
    let f = Fixture::of(Server::builder([&TODO]).rules("TodoItem", TableRules::default().view(view))).await;
    for path in [T.to_owned(), format!("{T}/a")] {
        let refused = f.get(&path).await;
        assert!(!refused.assert_error(500).text.contains("elsewhere"), "{}", refused.text);
    }
    f.post("{\"id\":\"a\"}").await.assert_error(500);
}
