//! Direct calls over real sockets: what they do on the server, and that nothing of the local store changes.

use sync_core::predicate::Function;
use sync_diesel::prelude::*;
use sync_tests::device::Device;
use sync_tests::http::Answer;
use sync_tests::model::{Todo, Unknown};
use sync_tests::proxy::Fault;
use sync_tests::servers::SyncServerFixture;

use crate::offline::World;

/// Inserts `row 00`, `row 01` and so on, ids in the opposite order.
async fn seed(server: &SyncServerFixture, count: usize) {
    for number in 0..count {
        let row = serde_json::json!({
            "id": format!("id {:02}", count - number),
            "text": format!("row {number:02}"),
            "complete": number % 2 == 1,
        });
        server.as_ref().seed(&row).await;
    }
}

fn texts(rows: &[Record<Todo>]) -> Vec<&str> {
    rows.iter().map(|row| row.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_calls_leave_the_local_store_as_it_is() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let local = device.table::<Todo>();
    let kept = local.insert(Todo::new("local only")).await.expect("inserted");
    let before = device.pending_operations().await.expect("operations");

    let remote = device.remote::<Todo>();
    let mut record = remote.insert(Todo::new("direct")).await.expect("inserted");
    record.text = "changed".into();
    let record = remote.update(&record).await.expect("updated");
    remote.delete(record.id(), record.version()).await.expect("deleted");
    remote.undelete(record.id(), None).await.expect("undeleted");
    assert_eq!(texts(&remote.query(Todo::all()).load().await.expect("loaded")), ["changed"]);
    assert_eq!(remote.get(kept.id()).await.expect("read"), None, "the local row was not sent");

    assert_eq!(device.pending_operations().await.expect("operations"), before);
    assert_eq!(local.all().load().await.expect("rows"), [kept]);
    let report = device.pull("q", Todo::all()).await.expect("pulled");
    assert_eq!(report.rows.added, 1, "a pull brings the row down");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_return_the_servers_row_and_check_its_version() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let remote = device.remote::<Todo>();
    let first = remote.insert_with_id("it's 100% \"mine\"", Todo::new("one")).await.expect("inserted");
    assert!(first.version().is_some() && first.updated_at().is_some() && !first.is_deleted());
    assert_eq!(remote.get(first.id()).await.expect("read").as_ref(), Some(&first));

    let mut second = first.clone();
    second.text = "two".into();
    let second = remote.update(&second).await.expect("updated");
    assert_ne!(second.version(), first.version());

    let mut stale = first.clone();
    stale.text = "three".into();
    let error = remote.update(&stale).await.expect_err("the row has changed");
    assert_eq!(
        (error.kind(), error.is_conflict(), error.status(), error.table(), error.item()),
        (ErrorKind::Conflict, true, Some(412), Some("TodoItem"), Some(first.id()))
    );
    assert_eq!(remote.server_row(&error).expect("readable").as_ref(), Some(&second));
    assert!(!format!("{error:?}").contains("two"), "rows are in no message");
    let error = remote.delete(first.id(), first.version()).await.expect_err("the row has changed");
    assert!(error.is_conflict());
    assert_eq!(remote.server_row(&error).expect("readable").as_ref(), Some(&second));
    let error = remote.insert_with_id(first.id(), Todo::new("four")).await.expect_err("the id is taken");
    assert_eq!((error.kind(), error.status()), (ErrorKind::Conflict, Some(409)));
    assert_eq!(remote.server_row(&error).expect("readable").as_ref(), Some(&second));

    let unversioned = Record::new(first.id(), Todo::new("five"));
    let fifth = remote.update(&unversioned).await.expect("overwritten");
    assert_eq!(fifth.text, "five");
    remote.delete(fifth.id(), fifth.version()).await.expect("deleted");
    remote.delete(fifth.id(), None).await.expect("what is not there is deleted");
    assert_eq!(remote.get(fifth.id()).await.expect("read"), None);

    let error = remote.update(&fifth).await.expect_err("deleted");
    assert!(error.is_conflict(), "{error}");
    assert!(remote.server_row(&error).expect("readable").expect("shown").is_deleted());
    let back = remote.undelete(fifth.id(), None).await.expect("undeleted");
    assert_eq!((back.text.as_str(), back.is_deleted()), ("five", false));

    let error = remote.update(&Record::new("nowhere", Todo::new("x"))).await.expect_err("not there");
    assert_eq!((error.kind(), error.item()), (ErrorKind::NotFound, Some("nowhere")));
    let error = remote.undelete("nowhere", None).await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = remote.delete("..", None).await.expect_err("no address");
    assert_eq!(error.kind(), ErrorKind::InvalidId);
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_ordered_cut_and_paged() {
    for server in [SyncServerFixture::start().await, SyncServerFixture::with_page_cap(7).await] {
        seed(&server, 30).await;
        let device = Device::new(server.as_ref()).await;
        let remote = device.remote::<Todo>();
        let by_id = remote.query(Todo::all()).load().await.expect("loaded");
        assert_eq!(by_id.len(), 30);
        assert!(by_id.iter().map(Record::id).is_sorted());

        let rows = remote.query(Todo::all()).order_by(Todo::text.asc()).load().await.expect("loaded");
        assert!(rows.iter().map(|row| &row.text).is_sorted());
        assert_eq!(rows.len(), 30);
        let rows = remote
            .query(Todo::complete.eq(true))
            .order_by(Todo::complete.asc())
            .order_by(Todo::text.desc())
            .skip(2)
            .top(9)
            .load()
            .await
            .expect("loaded");
        let expected: Vec<_> = (0..9).map(|index| format!("row {:02}", 25 - 2 * index)).collect();
        assert_eq!(texts(&rows), expected);
        let rows = remote.query(Todo::all()).top(3).load().await.expect("loaded");
        assert_eq!(texts(&rows), ["row 29", "row 28", "row 27"]);
        let rows = remote.query(Todo::all()).order_by(Todo::id.desc()).skip(28).load().await.expect("loaded");
        assert_eq!(texts(&rows), ["row 28", "row 29"]);
        assert!(remote.query(Todo::all()).top(0).load().await.expect("loaded").is_empty());
        assert!(remote.query(Todo::all()).skip(40).load().await.expect("loaded").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_13_what_the_server_is_not_trusted_with_is_filtered_here() {
    let server = SyncServerFixture::with_page_cap(4).await;
    seed(&server, 20).await;
    let url = server.as_ref().url();
    let trusted = Device::new(server.as_ref()).await;
    let careful = Device::with(server.as_ref(), &url, |builder| {
        builder.profile(ServerProfile::conservative().without_function(Function::EndsWith))
    })
    .await;
    for device in [&trusted, &careful] {
        let query = || {
            let filter = Todo::text.ends_with("5").or(Todo::text.contains("w 1")).and(!Todo::complete);
            device.remote::<Todo>().query(filter)
        };
        let rows = query().order_by(Todo::text.asc()).load().await.expect("loaded");
        assert_eq!(texts(&rows), ["row 10", "row 12", "row 14", "row 16", "row 18"]);
        let rows = query().order_by(Todo::text.asc()).skip(1).top(3).load().await.expect("loaded");
        assert_eq!(texts(&rows), ["row 12", "row 14", "row 16"]);
        let rows = query().skip(1).top(2).load().await.expect("loaded");
        assert_eq!(texts(&rows), ["row 16", "row 14"], "in the order of ids");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_are_listed_on_request_only() {
    let world = World::new().await;
    seed(&world.server, 3).await;
    let device = world.device("a.db").await;
    let remote = device.remote::<Todo>();
    remote.delete("id 02", None).await.expect("deleted");
    assert_eq!(remote.query(Todo::all()).load().await.expect("loaded").len(), 2);
    let all = remote.query(Todo::all()).include_deleted().load().await.expect("loaded");
    let marks: Vec<_> = all.iter().map(|row| (row.id(), row.is_deleted())).collect();
    assert_eq!(marks, [("id 01", false), ("id 02", true), ("id 03", false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_typed_and_nothing_is_repeated() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let remote = device.remote::<Todo>();
    let html = || Answer::new(200, "text/html", "<p>Please log in");
    let json = |status| Answer::new(status, "application/json", r#"{"error":"boom"}"#);
    for (fault, kind) in [
        (Fault::AnswerInstead(html()), ErrorKind::InvalidResponse),
        (Fault::CutBody(3), ErrorKind::InvalidResponse),
        (Fault::LoseRequest, ErrorKind::Network),
        (Fault::LoseAnswer, ErrorKind::Network),
        (Fault::Answer(json(401)), ErrorKind::Unauthorized),
        (Fault::Answer(json(403)), ErrorKind::Refused),
        (Fault::Answer(json(500)), ErrorKind::Refused),
        (Fault::Answer(json(503)), ErrorKind::ServerBusy),
    ] {
        let name = format!("{fault:?}");
        seed_one(&world, &name).await;
        world.proxy.take_seen();
        world.proxy.inject(1, fault.clone(), |_| true);
        let error = remote.query(Todo::all()).load().await.expect_err(&name);
        assert_eq!((error.kind(), error.table()), (kind, Some("TodoItem")), "{name}: {error}");
        world.proxy.inject(1, fault, |_| true);
        let error = remote.insert_with_id(name.clone(), Todo::new("x")).await.expect_err(&name);
        assert_eq!((error.kind(), error.item()), (kind, Some(name.as_str())), "{name}: {error}");
        assert_eq!(world.proxy.seen().len(), 2, "{name}");
    }
    let error = device.remote::<Unknown>().query(Unknown::all()).load().await.expect_err("unknown");
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownTable, Some("NoSuchTable")));
    let error = device.remote::<Unknown>().insert(Unknown { text: "x".into() }).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::UnknownTable);
}

async fn seed_one(world: &World, text: &str) {
    world.server.as_ref().seed(&serde_json::json!({"text": text, "complete": false})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_whose_answer_was_lost_can_be_called_again() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let remote = device.remote::<Todo>();
    world.proxy.inject(1, Fault::LoseAnswer, |_| true);
    let error = remote.insert_with_id("mine", Todo::new("one")).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Network);
    let record = remote.insert_with_id("mine", Todo::new("one")).await.expect("it is the same row");
    assert_eq!(record.text, "one");
    assert_eq!(world.on_server().await.len(), 1);
}
