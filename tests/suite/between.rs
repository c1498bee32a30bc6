//! What happens between the steps of a pull: writes of the app, cancelling, answers in another coding.

use sync_diesel::prelude::*;
use sync_tests::http::Answer;
use sync_tests::model::{self, Todo};
use sync_tests::proxy::{Fault, Gate};

use crate::offline::World;

fn count(world: &World, method: &str) -> usize {
    world.proxy.seen().iter().filter(|seen| seen.request.method == method).count()
}

async fn insert(device: &SyncContext<model::Schema>, id: &str) {
    device.table::<Todo>().insert_with_id(id, Todo::new(id)).await.expect("inserted");
}

async fn ids(device: &SyncContext<model::Schema>) -> Vec<String> {
    let rows = device.table::<Todo>().all().order_by(Todo::id.asc()).load().await.expect("rows");
    rows.iter().map(|row| row.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn m_05_l_39_rows_written_during_push_and_pull_stay_and_do_not_stop_it() {
    let world = World::new().await;
    world.server.as_ref().seed(&serde_json::json!({"id": "s", "text": "server", "complete": false})).await;
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    let (pushed, listed) = (Gate::new(), Gate::new());
    world.proxy.inject(1, Fault::HoldAnswer(pushed.clone()), |request| request.method == "POST");
    world.proxy.inject(1, Fault::HoldAnswer(listed.clone()), |request| request.method == "GET");
    let pulling = tokio::spawn({
        let device = device.clone();
        async move { device.pull("all", Todo::all()).await }
    });
    pushed.arrived().await;
    // M-05: the table is dirty again when the push before the pull ends.
    insert(&device, "during the push").await;
    pushed.open();
    listed.arrived().await;
    // L-39: and again while a page is on its way.
    insert(&device, "during the pull").await;
    let mut edited = device.table::<Todo>().get("a").await.expect("read").expect("there");
    edited.text = "edited".into();
    device.table::<Todo>().update(&edited).await.expect("updated");
    listed.open();

    let report = pulling.await.expect("no panic").expect("the pull goes on");
    assert_eq!(report.push.map(|push| push.completed), Some(1), "what was there when it began");
    assert_eq!(count(&world, "POST"), 1, "no second push");
    assert_eq!((report.rows.added, report.rows.removed), (1, 0), "{:?}", report.rows);
    assert_eq!(ids(&device).await, ["a", "during the pull", "during the push", "s"]);
    assert_eq!(device.table::<Todo>().get("a").await.expect("read").expect("there").text, "edited");
    assert_eq!(device.pending().await.expect("counted"), 3);
    device.push().await.expect("pushed, no conflict");
    assert_eq!(world.on_server().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn m_07_a_pull_cancelled_between_push_and_pull_keeps_the_push_and_reads_nothing() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    insert(&device, "a").await;
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");
    let cancellation = Cancellation::new();
    let pulling = tokio::spawn({
        let (device, cancellation) = (device.clone(), cancellation.clone());
        async move { device.pull("all", Todo::all()).with_cancellation(&cancellation).await }
    });
    gate.arrived().await;
    cancellation.cancel();
    tokio::task::yield_now().await;
    gate.open();
    let error = pulling.await.expect("no panic").expect_err("it was cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(device.pending().await.expect("counted"), 0, "the answer under way is stored");
    assert!(device.table::<Todo>().get("a").await.expect("read").expect("there").version().is_some());
    assert_eq!((count(&world, "POST"), count(&world, "GET")), (1, 0));
    device.pull("all", Todo::all()).await.expect("pulled");
}

#[tokio::test(flavor = "multi_thread")]
async fn l_37_a_cancelled_pull_keeps_its_pages_and_asks_for_no_more() {
    let world = World::new().await;
    world.server.as_ref().seed_block("cancelled", 30, "2024-01-01T00:00:00.000Z", |n| format!("r{n:03}"));
    let device = world.device("a.db").await;
    let cancellation = Cancellation::new();
    let gate = Gate::new();
    // The third page is on its way when the pull is cancelled.
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), {
        let pages = std::sync::atomic::AtomicUsize::new(0);
        move |request| request.method == "GET" && pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 2
    });
    let pulling = tokio::spawn({
        let (device, cancellation) = (device.clone(), cancellation.clone());
        async move { device.pull("all", Todo::all()).page_size(5).with_cancellation(&cancellation).await }
    });
    gate.arrived().await;
    cancellation.cancel();
    let error = pulling.await.expect("no panic").expect_err("it was cancelled");
    assert_eq!((error.kind(), error.table()), (ErrorKind::Cancelled, Some("TodoItem")));
    gate.open();
    let (stored, asked) = (ids(&device).await, count(&world, "GET"));
    assert!((5..=10).contains(&stored.len()), "two pages had come: {stored:?}");
    assert_eq!(asked, 3);
    let report = device.pull("all", Todo::all()).page_size(5).await.expect("pulled");
    assert_eq!(ids(&device).await.len(), 30);
    assert!(report.rows.added >= 20, "{report:?}");
}

/// A file of gzip with the bytes as they are (RFC 1951, stored blocks; RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let length = u16::try_from(bytes.len()).expect("one block");
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(bytes);
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    file.extend((!crc).to_le_bytes());
    file.extend(u32::from(length).to_le_bytes());
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn w_15_compressed_answers_are_read_and_text_is_utf_8() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let page = |text: &str| {
        format!(
            "[{{\"id\":\"z\",\"text\":\"{text}\",\"complete\":false,\"version\":\"djE=\",\"deleted\":false,\
             \"createdAt\":\"2024-01-01T00:00:00.000Z\",\"updatedAt\":\"2024-01-01T00:00:00.000Z\"}}]"
        )
    };
    let mut compressed =
        Answer::new(200, "application/json; charset=utf-8", gzip(page("Größe 🥛").as_bytes()));
    compressed.headers.push(("content-encoding".into(), "gzip".into()));
    world.proxy.inject(1, Fault::AnswerInstead(compressed.clone()), |request| request.method == "GET");
    device.pull("all", Todo::all()).await.expect("pulled");
    let asked = world.proxy.take_seen();
    assert!(asked[0].request.value("accept-encoding").is_some_and(|codings| codings.contains("gzip")));
    let row = device.table::<Todo>().get("z").await.expect("read").expect("there");
    assert_eq!(row.text, "Größe 🥛");

    // A damaged one, and bytes that are no UTF-8, are no pages: nothing of them is stored.
    compressed.body.truncate(40);
    let mut latin = page("?").into_bytes();
    *latin.iter_mut().find(|byte| **byte == b'?').expect("the mark") = 0xf6;
    for answer in [compressed, Answer::new(200, "application/json", latin)] {
        world.proxy.inject(1, Fault::AnswerInstead(answer), |request| request.method == "GET");
        let error = device.pull("another", Todo::all()).await.expect_err("no page");
        assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::InvalidResponse), "{error}");
        assert_eq!(device.table::<Todo>().get("z").await.expect("read").expect("there").text, "Größe 🥛");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c_06_what_a_context_needs_is_asked_for() {
    let world = World::new().await;
    let database = world.folder.path().join("none.db");
    let no_dialect =
        SyncContext::<model::Schema>::builder(world.proxy.url()).database(&database).open().await;
    let no_database =
        SyncContext::<model::Schema>::builder(world.proxy.url()).dialect(Dialect::MobileApps).open().await;
    for (what, outcome) in [("dialect", no_dialect), ("database", no_database)] {
        let error = outcome.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(!database.exists(), "nothing is made");
}
