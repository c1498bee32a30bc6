//! Events of whole pushes and pulls, in the order of their commits.

use serde_json::json;
use sync_diesel::event::{
    Changes, EventStream, OperationRef, OperationResult, PullRef, RowChangeKind, TableChanges,
};
use sync_diesel::prelude::*;
use sync_tests::model::{Schema, Todo};
use sync_tests::proxy::Fault;

use crate::offline::World;

fn waiting(events: &mut EventStream) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// An event in few words.
fn word(event: &Event) -> String {
    let row = |operation: &OperationRef| operation.item_id.to_string();
    match event {
        Event::Changed(Changes { source, tables }) => {
            let rows = |table: &TableChanges| {
                let marks = table.rows.iter().map(|row| match row.kind {
                    RowChangeKind::Inserted => format!(" +{}", row.id),
                    RowChangeKind::Updated => format!(" ~{}", row.id),
                    RowChangeKind::Deleted => format!(" -{}", row.id),
                });
                marks.collect::<String>()
            };
            format!("{source:?}{}", tables.iter().map(rows).collect::<String>())
        }
        Event::PushStarted { queued } => format!("push of {queued}"),
        Event::OperationSent { operation, sent } => format!("{sent:?} {} sent", row(operation)),
        Event::OperationDone { operation, result } => format!("{} {result:?}", row(operation)),
        Event::PushFinished(end) => {
            format!("pushed {} failed {} left {} {:?}", end.completed, end.failed, end.remaining, end.error)
        }
        Event::PullStarted(pull) => format!("pull {:?}", pull.query_id.as_deref()),
        Event::QueryRestarted(pull) => format!("restarted {:?}", pull.query_id.as_deref()),
        Event::PageReceived { page, rows, bytes, .. } => {
            assert!(*bytes >= 2, "a page is at least an empty list");
            format!("page {page} of {rows}")
        }
        Event::PagesStored { rows, .. } => {
            format!("stored +{} ~{} ={}", rows.added, rows.changed, rows.unchanged)
        }
        Event::PullFinished(end) => format!("pulled {} pages {:?}", end.pages, end.error),
        other => format!("{other:?}"),
    }
}

fn words(events: &mut EventStream) -> Vec<String> {
    waiting(events).iter().map(word).collect()
}

async fn insert(device: &SyncContext<Schema>, id: &str) {
    device.table::<Todo>().insert_with_id(id, Todo::new(id)).await.expect("inserted");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_01_e_03_a_push_tells_each_step_after_its_commit() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    insert(&device, "b").await;
    let mut events = device.events();
    device.push().window(1).await.expect("pushed");
    assert_eq!(
        words(&mut events),
        [
            "push of 2",
            "Insert a sent",
            "Push ~a",
            "a Acknowledged",
            "Insert b sent",
            "Push ~b",
            "b Acknowledged",
            "pushed 2 failed 0 left 0 None",
        ]
    );
    device.push().await.expect("nothing to do");
    assert_eq!(words(&mut events), ["push of 0", "pushed 0 failed 0 left 0 None"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_02_e_03_a_pull_tells_pages_and_what_became_of_their_rows() {
    let world = World::new().await;
    world.server.as_ref().seed_block("events", 120, "2024-01-01T00:00:00.000Z", |n| format!("r{n:03}"));
    let device = world.device("a.db").await;
    let mut events = device.events();
    let report = device.pull("all", Todo::all()).page_size(50).await.expect("pulled");
    let told = waiting(&mut events);
    let pull = PullRef::new("TodoItem", Some("all"));
    assert_eq!(told.first(), Some(&Event::PullStarted(pull.clone())));
    let (mut received, mut bytes_received, mut added, mut inserted) = (Vec::new(), 0, 0, 0);
    for event in &told[1..told.len() - 1] {
        match event {
            Event::PageReceived { page, rows, bytes, pull: of } => {
                assert_eq!(of, &pull);
                received.push(*page);
                bytes_received += bytes;
                assert!(*rows <= 50, "{rows}");
            }
            Event::Changed(changes) => {
                assert_eq!(changes.source, ChangeSource::Pull);
                inserted += changes.of::<Todo>().expect("of this table").inserted;
                assert_eq!(
                    added + changes.of::<Todo>().expect("of this table").len(),
                    inserted,
                    "then stored"
                );
            }
            Event::PagesStored { rows, pull: of } => {
                assert_eq!(of, &pull);
                added += rows.added;
                assert_eq!(added, inserted, "after the change is told");
            }
            other => panic!("not expected: {other:?}"),
        }
    }
    assert_eq!((added, inserted), (120, 120));
    assert_eq!(received, (1..=report.pages).collect::<Vec<_>>());
    assert_eq!(bytes_received, report.bytes);
    let Some(Event::PullFinished(end)) = told.last() else { panic!("the end is told: {told:?}") };
    assert_eq!((end.pages, end.bytes, end.rows, end.error), (report.pages, report.bytes, report.rows, None));
    assert_eq!(end.pull, pull);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_04_l_20_rows_that_come_again_unchanged_are_not_told() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    device.push().await.expect("pushed");
    world.server.as_ref().seed(&json!({"id": "b", "text": "b", "complete": false})).await;
    let mut events = device.events();
    device.pull("all", Todo::all()).await.expect("pulled");
    let told = words(&mut events);
    // The row that was just pushed comes back in the version that is known (L-23).
    assert_eq!(
        told.iter().filter(|word| word.starts_with("Pull ")).collect::<Vec<_>>(),
        ["Pull +b"],
        "{told:?}"
    );
    device.pull("all", Todo::all()).await.expect("pulled");
    let told = words(&mut events);
    assert!(!told.iter().any(|word| word.starts_with("Pull ")), "{told:?}");
    assert!(told.iter().any(|word| word.starts_with("stored +0 ~0 =")), "{told:?}");
    world.server.as_ref().update("b", None, &json!({"text": "new"})).await;
    world.server.as_ref().delete("a", None).await;
    device.pull("all", Todo::all()).await.expect("pulled");
    let told = words(&mut events);
    assert_eq!(
        told.iter().filter(|word| word.starts_with("Pull ")).collect::<Vec<_>>(),
        ["Pull -a ~b"],
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn l_08_another_filter_under_the_same_query_id_is_told() {
    let world = World::new().await;
    world.server.as_ref().seed(&json!({"id": "a", "text": "a", "complete": false})).await;
    let device = world.device("a.db").await;
    device.pull("mine", Todo::all()).await.expect("pulled");
    let mut events = device.events();
    device.pull("mine", Todo::complete.eq(false)).await.expect("pulled");
    let told = words(&mut events);
    assert_eq!(told[..2], ["pull Some(\"mine\")", "restarted Some(\"mine\")"], "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_03_failures_are_told_with_their_kind_and_the_truth_is_in_the_tables() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    insert(&device, "a").await;
    device.push().await.expect("pushed");
    let mut row = todos.get("a").await.expect("read").expect("there");
    world.server.as_ref().update("a", None, &json!({"text": "theirs"})).await;
    row.text = "mine".into();
    todos.update(&row).await.expect("updated");
    let mut events = device.events();
    device.push().await.expect_err("a conflict");
    assert_eq!(
        words(&mut events),
        ["push of 1", "Update a sent", "a Conflict", "pushed 0 failed 1 left 1 Some(PushFailed)"]
    );
    // I-9: a new listener learns nothing of it, the table does.
    let error = device.errors().await.expect("errors").remove(0);
    device.resolve(&error, Resolve::<Todo>::TakeRemote).await.expect("resolved");
    assert_eq!(words(&mut events), ["Resolution ~a"]);

    insert(&device, "b").await;
    world.proxy.set_unreachable(true);
    device.pull("all", Todo::all()).await.expect_err("nobody answers");
    let told = words(&mut events);
    assert_eq!(told[0], "Local +b");
    assert_eq!(told[1..4], ["pull Some(\"all\")", "push of 1", "Insert b sent"]);
    assert_eq!(told.last().map(String::as_str), Some("pulled 0 pages Some(Network)"), "{told:?}");
    let end = told.iter().find(|word| word.starts_with("pushed")).expect("the push ended too");
    assert_eq!(end, "pushed 0 failed 0 left 1 Some(Network)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_uncertain_and_then_acknowledged() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    let mut events = device.events();
    world.proxy.inject(1, Fault::LoseAnswer, |request| request.method == "POST");
    device.push().await.expect_err("the answer was lost");
    let results = |events: Vec<Event>| -> Vec<OperationResult> {
        let result = |event| match event {
            Event::OperationDone { result, .. } => Some(result),
            _ => None,
        };
        events.into_iter().filter_map(result).collect()
    };
    assert_eq!(results(waiting(&mut events)), [OperationResult::Uncertain]);
    device.push().await.expect("settled");
    assert_eq!(results(waiting(&mut events)), [OperationResult::Acknowledged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_05_listeners_that_panic_or_sleep_harm_no_sync() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let mut panicking = device.events();
    let mut asleep = device.engine().store().subscribe(3);
    let task = tokio::spawn(async move {
        let event = panicking.next().await;
        panic!("a bug in the app: {event:?}");
    });
    for id in ["a", "b", "c"] {
        insert(&device, id).await;
    }
    task.await.expect_err("it panicked");
    let report = device.push().await.expect("pushed");
    assert_eq!((report.completed, report.remaining), (3, 0));
    device.pull("all", Todo::all()).await.expect("pulled");
    assert!(matches!(asleep.try_next(), Some(Event::Lagged { lost }) if lost > 10));
    assert_eq!(waiting(&mut asleep).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_03_push_and_pull_tell_their_own_progress() {
    let world = World::new().await;
    world.server.as_ref().seed_block("progress", 30, "2024-01-01T00:00:00.000Z", |n| format!("r{n:03}"));
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    let mut told = Vec::new();
    device.push().progress(|event| told.push(word(event))).await.expect("pushed");
    assert_eq!(told, ["push of 1", "Insert a sent", "a Acknowledged", "pushed 1 failed 0 left 0 None"]);

    insert(&device, "b").await;
    let mut rows = 0;
    let mut told = Vec::new();
    let pull = device.pull("all", Todo::all()).page_size(10).progress(|event| {
        told.push(word(event));
        if let Event::PageReceived { rows: more, .. } = event {
            rows += more;
        }
    });
    let report = pull.await.expect("pulled");
    assert_eq!(told[..3], ["pull Some(\"all\")", "push of 1", "Insert b sent"], "{told:?}");
    assert_eq!(told.last(), Some(&format!("pulled {} pages None", report.pages)));
    assert!(rows >= 32, "{rows}");

    // A listener that panics is not called again, and the pull goes on.
    let mut calls = 0;
    let pull = device.pull("all", Todo::all()).progress(|_| {
        calls += 1;
        panic!("a bug in the app");
    });
    pull.await.expect("pulled all the same");
    assert_eq!(calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn d_11_a_watch_wakes_for_local_writes_pushes_and_pulls() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let mut watch = device.watch::<Todo>();
    watch.changed().await.expect("at once");
    insert(&device, "a").await;
    watch.changed().await.expect("after a local write");
    device.push().await.expect("pushed");
    watch.changed().await.expect("after a push: the row has its version");
    world.server.as_ref().seed(&json!({"id": "b", "text": "b", "complete": false})).await;
    device.pull("all", Todo::all()).await.expect("pulled");
    watch.changed().await.expect("after a pull");
    device.purge(Todo::id.eq("b")).await.expect("purged");
    watch.changed().await.expect("after a purge");
    assert_eq!(device.table::<Todo>().all().count().await.expect("counted"), 1);
}
