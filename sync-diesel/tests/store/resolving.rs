//! What only this store can get wrong about resolutions: older files, and rows the database refuses.

use sync_core::operation::{FailureClass, OperationState};
use sync_core::row::Row;
use sync_core::store::{
    Exchange, Failure, LocalChange, LocalChangeKind, LocalStore, OtherAccount, Outcome, Owner, Resolution,
    Resolver, Settlement, Take, UpdateBody,
};
use sync_core::value::Value;

use crate::support::{Fixture, TODO, open, scope, text};

fn part(id: &str, content: &str) -> Row {
    let mut row = Row::empty(&TODO, id);
    row.values[0] = text(content);
    row
}

async fn update(fixture: &Fixture, row: Row) {
    let change = LocalChange { table: &TODO, kind: LocalChangeKind::Update(row) };
    LocalStore::write(&fixture.store, vec![change]).await.expect("an update");
}

/// Takes the only operation and settles it.
async fn answer(fixture: &Fixture, outcome: Outcome) {
    let store = &fixture.store;
    let session = store.begin_push().await.expect("a push");
    let take = Take::first(9);
    let first = Exchange { session, settlements: Vec::new(), take: Some(take) };
    let key = store.exchange(first).await.expect("taken").taken.remove(0).key;
    let settlements = vec![Settlement { key, outcome }];
    store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
}

fn conflict(id: &str) -> Failure {
    let remote = Row { version: Some("v2".into()), ..part(id, "theirs") };
    let message = "no".to_owned();
    Failure { class: FailureClass::Conflict, status: Some(412), message, remote: Some(remote) }
}

#[tokio::test]
async fn s_18_tables_of_the_first_version_are_brought_up_to_date() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    update(&fixture, part("a", "bread")).await;
    answer(&fixture, Outcome::Conflict(conflict("a"))).await;
    fixture
        .sql(
            "DROP TABLE __resolutions; ALTER TABLE __errors DROP COLUMN uncertain;
             ALTER TABLE __errors DROP COLUMN parked; ALTER TABLE __errors DROP COLUMN push;
             UPDATE __control SET system_version = 1",
        )
        .await
        .expect("the tables as the first version made them");
    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);

    let fixture = Fixture { store: open(&path).await.expect("opened"), directory };
    assert!(fixture.number("SELECT system_version AS value FROM __control").await >= 2);
    let error = fixture.store.errors(None).await.expect("a read").remove(0);
    assert_eq!((error.key.item_id.as_str(), error.uncertain), ("a", false), "the queue is as it was");
    fixture.store.resolve(error.key, Resolution::TakeRemote, Resolver::App).await.expect("resolved");
    assert_eq!(fixture.store.resolutions().await.expect("a read").len(), 1);
    assert_eq!(fixture.text("a").await, text("theirs"));
    drop(open(&path).await.expect("opened again"));
}

#[tokio::test]
async fn p_20h_a_choice_the_database_refuses_fails_that_conflict_alone() {
    let fixture = Fixture::new().await;
    fixture.sql("CREATE UNIQUE INDEX one_text ON \"Todo\" (text)").await.expect("an index");
    fixture.pulled("a", "milk").await;
    fixture.pulled("b", "tea").await;
    update(&fixture, part("a", "bread")).await;
    let outcome = Outcome::Resolved {
        failure: conflict("a"),
        resolution: Resolution::Merge(part("a", "tea")),
        by: Resolver::Handler,
    };
    answer(&fixture, outcome).await;
    assert_eq!(fixture.text("a").await, text("bread"), "the local change stays");
    let error = fixture.store.errors(None).await.expect("a read").remove(0);
    assert_eq!(error.class, FailureClass::Handler);
    assert!(error.message.contains("unique"), "{}", error.message);
    assert_eq!(error.remote.and_then(|remote| remote.version).as_deref(), Some("v2"));
    assert_eq!(fixture.operations().await[0].state, OperationState::Failed);
    assert!(fixture.store.resolutions().await.expect("a read").is_empty(), "nothing was resolved");

    // A call of the app has the error itself, and changes nothing.
    let key = fixture.operations().await[0].key.clone();
    let stored = Resolution::Store(part("a", "tea"));
    let refused = fixture.store.resolve(key, stored, Resolver::App).await.expect_err("a unique index");
    assert!(refused.to_string().contains("unique"), "{refused}");
    assert_eq!((refused.table(), refused.item()), (Some("Todo"), Some("a")));
    assert_eq!(fixture.text("a").await, text("bread"));
    assert_eq!(fixture.store.errors(None).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn k_19_a_resolution_survives_a_restart() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    update(&fixture, part("a", "bread")).await;
    answer(&fixture, Outcome::Conflict(conflict("a"))).await;
    let key = fixture.operations().await[0].key.clone();
    let mut merged = part("a", "both");
    merged.values[1] = Some(Value::Bool(true));
    fixture.store.resolve(key, Resolution::Merge(merged), Resolver::App).await.expect("resolved");
    let remembered = fixture.store.resolutions().await.expect("a read");
    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let fixture = Fixture { store: open(&path).await.expect("opened"), directory };
    assert_eq!(fixture.store.resolutions().await.expect("a read"), remembered);
    assert_eq!(fixture.text("a").await, text("both"));
    let operation = fixture.operations().await.remove(0);
    assert_eq!((operation.state, operation.base_version.as_deref()), (OperationState::Pending, Some("v2")));
}

/// C-12: dropping somebody's changes brings rows back that stood in each other's way.
#[tokio::test]
async fn c_12_discarding_gets_along_with_constraints_of_the_app() {
    let fixture = Fixture::new().await;
    let owner = |account: &str| Owner { endpoint: "http://a".into(), account: Some(account.into()) };
    fixture.store.claim(owner("ann"), OtherAccount::Refuse).await.expect("ann");
    for (id, text) in [("freed", "milk"), ("one", "tea"), ("two", "jam")] {
        fixture.pulled(id, text).await;
    }
    fixture
        .sql(
            "CREATE UNIQUE INDEX one_text ON \"Todo\" (text);
             DELETE FROM \"Todo\" WHERE id = 'freed';
             INSERT INTO \"Todo\" (id, text) VALUES ('new', 'milk');
             UPDATE \"Todo\" SET text = 'between' WHERE id = 'one';
             UPDATE \"Todo\" SET text = 'tea' WHERE id = 'two';
             UPDATE \"Todo\" SET text = 'jam' WHERE id = 'one';",
        )
        .await
        .expect("ann's changes");
    let dropped = fixture.store.claim(owner("bob"), OtherAccount::Discard).await;
    assert_eq!(dropped.expect("bob may begin"), 4);
    fixture.assert_clean().await;
    assert_eq!((fixture.text("freed").await, fixture.row("new").await), (text("milk"), None));
    // The other two have swapped their values: one is back, and the next pull reads the other.
    let start = fixture.store.begin_pull(scope(&TODO, None)).await.expect("a pull");
    let [missing] = &start.refetch[..] else { panic!("one of them: {:?}", start.refetch) };
    assert_eq!(fixture.row(missing).await, None, "nothing of ann's is left in it");
    let other = if missing == "one" { ("two", "jam") } else { ("one", "tea") };
    assert_eq!(fixture.text(other.0).await, text(other.1));
}

/// I-5, K-02: what the database refuses of an answer is no edit of the app, and is not sent back.
#[tokio::test]
async fn i_5_a_merged_answer_that_the_database_refuses_is_not_sent_back() {
    let number = |n: i64| {
        let mut row = Row::empty(&TODO, "a");
        row.values[3] = Some(Value::Integer(n));
        row
    };
    for body in [UpdateBody::Changed, UpdateBody::Whole] {
        let fixture = Fixture::new().await;
        fixture.sql("CREATE UNIQUE INDEX one_text ON \"Todo\" (text)").await.expect("an index");
        fixture.pulled("a", "milk").await;
        let store = &fixture.store;
        let take = || Take { update_body: body, ..Take::first(9) };
        let settle = async |session, key, outcome| {
            let settlements = vec![Settlement { key, outcome }];
            store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
        };
        let first = async |session| {
            let step = Exchange { session, settlements: Vec::new(), take: Some(take()) };
            store.exchange(step).await.expect("taken").taken.remove(0)
        };
        update(&fixture, number(3)).await;
        let session = store.begin_push().await.expect("a push");
        let sent = first(session).await;
        settle(session, sent.key, Outcome::Uncertain(None)).await;
        update(&fixture, number(4)).await;
        fixture
            .sql("INSERT INTO \"Todo\" (id, text, complete) VALUES ('b', 'theirs', 0)")
            .await
            .expect("an unsent row");

        // The first attempt arrived; since then somebody named the row as one is named here.
        let session = store.begin_push().await.expect("a push");
        let again = first(session).await;
        let mut server = fixture.row("a").await.expect("there");
        (server.values[0], server.values[3]) = (text("theirs"), Some(Value::Integer(3)));
        server.version = Some("v6".into());
        settle(session, again.key, Outcome::Acknowledged { row: Some(server) }).await;
        assert_eq!(fixture.text("a").await, text("milk"), "refused");
        let noted = store.begin_pull(scope(&TODO, None)).await.expect("a pull starts").refetch;
        assert_eq!(noted, ["a"]);

        let rest = first(session).await;
        assert_eq!(rest.key.item_id, "a");
        assert_eq!(rest.item.values[3], Some(Value::Integer(4)));
        match body {
            UpdateBody::Changed => {
                assert_eq!(rest.item.values.iter().flatten().count(), 1, "only the edit");
                assert_eq!(rest.base_version.as_deref(), Some("v6"));
            }
            // Guarded by the version of which all was seen here.
            UpdateBody::Whole => assert_eq!(rest.base_version.as_deref(), Some("v1")),
        }
        assert_eq!(
            rest.base.map(|base| (base.version, base.values[0].clone())),
            Some((rest.base_version, text("milk")))
        );
    }
}
