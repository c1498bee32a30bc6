//! Rows explained in words.

use sync_core::operation::FailureClass;
use sync_core::page::PageSummary;
use sync_core::row::Row;
use sync_core::store::{Exchange, Failure, LocalStore, Outcome, Page, PullBatch, Settlement, Take};
use sync_diesel::prelude::*;

use crate::support::{Todo, World};

const SECRET: &str = "what nobody else should read";

async fn explained(world: &World, id: &str) -> String {
    world.todos().explain(id).await.unwrap().to_string()
}

fn assert_lines(text: &str, wanted: &[&str]) {
    for line in wanted {
        assert!(text.lines().any(|found| found.contains(line)), "{line:?} is missing in:\n{text}");
    }
    assert!(!text.contains(SECRET), "{text}");
}

/// Sends the first operation of the queue and settles it.
async fn settle(world: &World, outcome: impl FnOnce() -> Outcome) {
    let store = world.sync.engine().store();
    let session = store.begin_push().await.unwrap();
    let take = Take::first(1);
    let taken =
        store.exchange(Exchange { session, settlements: Vec::new(), take: Some(take) }).await.unwrap().taken;
    let key = taken[0].key.clone();
    let settlements = vec![Settlement { key, outcome: outcome() }];
    store.exchange(Exchange { session, settlements, take: None }).await.unwrap();
}

async fn pull(world: &World, body: String) {
    let names = Dialect::MobileApps.names();
    let body = bytes::Bytes::from(body);
    let summary = PageSummary::scan(&body, names).unwrap();
    let batch = PullBatch { pages: vec![Page { body, summary, names }], ..PullBatch::new(Todo::SCHEMA) };
    world.sync.engine().store().apply_pages(batch).await.unwrap();
}

fn wire(id: &str, version: &str) -> String {
    format!(
        "[{{\"id\":\"{id}\",\"text\":\"{SECRET}\",\"complete\":false,\"rank\":1,\"dueAt\":null,\"weight\":null,\
         \"urgent\":null,\"owner\":null,\"listId\":null,\"version\":\"{version}\",\
         \"updatedAt\":\"2024-01-01T00:00:00.000Z\",\"deleted\":false}}]"
    )
}

#[tokio::test]
async fn a_row_on_its_way_from_nothing_to_synced() {
    let world = World::new().await;
    assert_lines(
        &explained(&world, "a").await,
        &[
            "row \"a\" of TodoItem: not in the local table",
            "state: synced",
            "next push: sends nothing",
            "next pull: brings",
        ],
    );
    world.todos().insert_with_id("a", Todo::new(SECRET)).await.unwrap();
    assert_lines(
        &explained(&world, "a").await,
        &[
            "in the local table",
            "state: inserted here, not sent yet",
            "operation: insert, pending, never sent, based on no version",
            "server's row: not known here",
            "next push: creates the row",
            "the app can: push",
        ],
    );
    settle(&world, || Outcome::Uncertain(None)).await;
    assert_lines(
        &explained(&world, "a").await,
        &[
            "state: sent",
            "operation: insert, attempted, sent once",
            "last sent as an insert",
            "learns by comparison",
        ],
    );
    let mut answer = Row::empty(Todo::SCHEMA, "a");
    answer.version = Some("v1".into());
    settle(&world, || Outcome::Acknowledged { row: Some(answer) }).await;
    let text = explained(&world, "a").await;
    assert_lines(&text, &["state: synced", "server's row: version \"v1\"", "next push: sends nothing"]);
    assert!(!text.contains("the app can"), "{text}");
}

#[tokio::test]
async fn a_conflict_tells_both_versions_and_what_can_be_done() {
    let world = World::new().await;
    pull(&world, wire("a", "v1")).await;
    let mut row = world.todos().get("a").await.unwrap().expect("pulled");
    row.rank = 2;
    world.todos().update(&row).await.unwrap();
    pull(&world, wire("a", "v2")).await;
    assert_lines(
        &explained(&world, "a").await,
        &[
            "state: changed here",
            "operation: update, pending, never sent, based on version \"v1\"",
            "server's row: version \"v2\", changed 2024-01-01T00:00:00Z, newer than",
            "next push: sends the change, which is done if the server still has the version",
        ],
    );
    let failure =
        Failure { class: FailureClass::Conflict, status: Some(412), message: SECRET.into(), remote: None };
    settle(&world, || Outcome::Conflict(failure)).await;
    let explanation = world.todos().explain("a").await.unwrap();
    assert_lines(
        &explanation.to_string(),
        &[
            "state: in conflict with the server",
            "error: the server holds another row than the change was based on, status 412",
            "meets the same conflict",
            "pull_anyway",
            "SyncContext::resolve",
        ],
    );
    assert!(format!("{explanation:#}").contains(SECRET), "the alternate form tells the server's words");

    world.todos().delete("a").await.unwrap();
    assert_lines(
        &explained(&world, "a").await,
        &[
            "row \"a\" of TodoItem: deleted here",
            "operation: delete, pending",
            "next push: deletes the row on the server",
        ],
    );
}

#[tokio::test]
async fn refused_and_quarantined_rows_say_why() {
    let world = World::new().await;
    world.todos().insert_with_id("a", Todo::new(SECRET)).await.unwrap();
    let failure =
        Failure { class: FailureClass::Refused, status: Some(400), message: SECRET.into(), remote: None };
    settle(&world, || Outcome::Refused(failure)).await;
    assert_lines(
        &explained(&world, "a").await,
        &[
            "state: refused by the server",
            "error: the server refused the operation, status 400",
            "change the row",
        ],
    );
    pull(&world, wire("b", "v1").replace("\"rank\":1", "\"rank\":1000")).await;
    assert_lines(
        &explained(&world, "b").await,
        &[
            "not in the local table",
            "quarantine: ",
            "column rank",
            "tries to store the waiting row again",
            "migrate",
        ],
    );
}
