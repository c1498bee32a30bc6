//! Local queries while rows travel: states, explanations, and what a reader sees of a running sync.

use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{Schema, Todo};
use sync_tests::proxy::Fault;

use crate::offline::World;

async fn state(device: &SyncContext<Schema>, id: &str) -> SyncState {
    let row = device.table::<Todo>().filter(Todo::id.eq(id)).with_state().first().await.expect("read");
    let (row, state) = row.expect("there");
    let explained = device.table::<Todo>().explain(row.id()).await.expect("explained");
    assert_eq!(explained.state, state, "both ways to ask agree");
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_goes_through_the_states_of_its_synchronisation() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    todos.insert_with_id("a", Todo::new("mine")).await.expect("inserted");
    assert_eq!(state(&device, "a").await, SyncState::PendingInsert);
    world.proxy.inject(1, Fault::LoseAnswer, |request| request.method == "POST");
    device.push().await.expect_err("the answer was lost");
    assert_eq!(state(&device, "a").await, SyncState::Sent);
    device.push().await.expect("settled");
    assert_eq!(state(&device, "a").await, SyncState::Synced);

    let mut row = todos.get("a").await.expect("read").expect("there");
    row.text = "changed".into();
    todos.update(&row).await.expect("updated");
    assert_eq!(state(&device, "a").await, SyncState::PendingUpdate);
    world.server.as_ref().update("a", None, &json!({"text": "theirs"})).await;
    device.push().await.expect_err("a conflict");
    assert_eq!(state(&device, "a").await, SyncState::Conflict);
    let text = todos.explain("a").await.expect("explained").to_string();
    assert!(text.contains("status 412") && text.contains("SyncContext::resolve"), "{text}");
    assert!(
        !text.contains("theirs") && !text.contains("changed here, not"),
        "no contents, no other state: {text}"
    );

    let error = device.errors().await.expect("errors").remove(0);
    device.resolve(&error, Resolve::<Todo>::KeepLocal).await.expect("resolved");
    assert_eq!(state(&device, "a").await, SyncState::PendingUpdate);
    device.push().await.expect("pushed");
    assert_eq!(state(&device, "a").await, SyncState::Synced);
    todos.delete("a").await.expect("deleted");
    assert_eq!(todos.explain("a").await.expect("explained").state, SyncState::PendingDelete);
    device.push().await.expect("pushed");
    let gone = todos.explain("a").await.expect("explained");
    assert_eq!((gone.state, gone.is_local), (SyncState::Synced, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_11_a_stream_shows_one_moment_of_a_running_pull() {
    let world = World::new().await;
    for (block, time) in ["2024-01-01T00:00:00.000Z", "2024-01-01T00:00:01.000Z"].into_iter().enumerate() {
        world.server.as_ref().seed_block("stream", 500, time, |n| format!("{block}-{n:03}"));
    }
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    device.pull("all", Todo::all()).await.expect("pulled");
    let mut rows = todos.all().stream();
    let first = rows.next().await.expect("a row").expect("readable");
    assert_eq!(first.id(), "0-000");
    // The stream is open in the middle of its rows: pull and push go on.
    for n in 0..20 {
        let text = json!({"text": "new"});
        assert_eq!(world.server.as_ref().update(&format!("1-{n:03}"), None, &text).await.status, 200);
    }
    world.server.as_ref().delete("0-499", None).await;
    todos.insert_with_id("zzz", Todo::new("local")).await.expect("inserted");
    let report = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!((report.rows.changed, report.rows.removed), (20, 1));
    let (mut seen, mut news) = (1, 0);
    while let Some(row) = rows.next().await {
        seen += 1;
        news += u32::from(row.expect("readable").text == "new");
    }
    assert_eq!((seen, news), (1000, 0), "as it was when the stream began");
    let now: Vec<String> = todos.filter(Todo::text.eq("new")).select(Todo::id).load().await.expect("values");
    assert_eq!(now.len(), 20);
}
