//! Direct calls over real sockets, in each dialect: what they do on the server, and that nothing of the local store
//! changes.

use serde_json::json;
use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::predicate::Function;
use sync_core::value::{ColumnType, IntegerWidth};
use sync_diesel::prelude::*;
use sync_server::{Server, ServerConfig};
use sync_tests::device::Device;
use sync_tests::http::{Answer, Request};
use sync_tests::model::{self, Todo, Unknown};
use sync_tests::proxy::Fault;
use sync_tests::servers::SyncServerFixture;

use crate::dialects::device;
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

async fn of_dialect(server: &SyncServerFixture, dialect: Dialect) -> Device {
    Device::with(server.as_ref(), &server.as_ref().url(), |builder| builder.dialect(dialect)).await
}

fn texts(rows: &[Record<Todo>]) -> Vec<&str> {
    rows.iter().map(|row| row.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_calls_leave_the_local_store_as_it_is() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "a.db").await;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_return_the_servers_row_and_check_its_version() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "a.db").await;
        let remote = device.remote::<Todo>();
        // In v1 no id has quotes.
        let id = if dialect == Dialect::MobileServices { "it's 100% mine" } else { "it's 100% \"mine\"" };
        let first = remote.insert_with_id(id, Todo::new("one")).await.expect("inserted");
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
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_ordered_cut_and_paged() {
    let whole = ServerConfig::default();
    let capped = ServerConfig { page_cap: Some(7), links: false, ..ServerConfig::default() };
    for (config, dialect) in
        [whole, capped].into_iter().flat_map(|config| Dialect::ALL.map(|dialect| (config.clone(), dialect)))
    {
        let server = SyncServerFixture::with_config(config).await;
        seed(&server, 30).await;
        let device = of_dialect(&server, dialect).await;
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
    let config = ServerConfig { page_cap: Some(4), links: false, ..ServerConfig::default() };
    let server = SyncServerFixture::with_config(config).await;
    seed(&server, 20).await;
    let url = server.as_ref().url();
    let mut devices = Vec::new();
    for dialect in Dialect::ALL {
        devices.push(of_dialect(&server, dialect).await);
        let careful = ServerProfile::conservative().without_function(Function::EndsWith);
        let with = |builder: sync_diesel::Builder<model::Schema>| builder.dialect(dialect).profile(careful);
        devices.push(Device::with(server.as_ref(), &url, with).await);
    }
    for device in &devices {
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
    for dialect in Dialect::ALL {
        let world = World::new().await;
        seed(&world.server, 3).await;
        let device = device(&world, dialect, "a.db").await;
        let remote = device.remote::<Todo>();
        remote.delete("id 02", None).await.expect("deleted");
        assert_eq!(remote.query(Todo::all()).load().await.expect("loaded").len(), 2);
        let all = remote.query(Todo::all()).include_deleted().load().await.expect("loaded");
        let marks: Vec<_> = all.iter().map(|row| (row.id(), row.is_deleted())).collect();
        assert_eq!(marks, [("id 01", false), ("id 02", true), ("id 03", false)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_typed_and_nothing_is_repeated() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "a.db").await;
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
            seed_one(&world, "x").await;
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
        let error =
            device.remote::<Unknown>().insert(Unknown { text: "x".into() }).await.expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::UnknownTable);
    }
}

async fn seed_one(world: &World, text: &str) {
    world.server.as_ref().seed(&serde_json::json!({"text": text, "complete": false})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_whose_answer_was_lost_can_be_called_again() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "a.db").await;
        let remote = device.remote::<Todo>();
        world.proxy.inject(1, Fault::LoseAnswer, |_| true);
        let error = remote.insert_with_id("mine", Todo::new("one")).await.expect_err("lost");
        assert_eq!(error.kind(), ErrorKind::Network);
        let record = remote.insert_with_id("mine", Todo::new("one")).await.expect("it is the same row");
        assert_eq!(record.text, "one");
        assert_eq!(world.on_server().await.len(), 1);
    }
}

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true)
}

/// The table with a column that the entity does not have.
static WIDER: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        column("text", ColumnType::Text),
        column("complete", ColumnType::Bool),
        column("n", ColumnType::Integer(IntegerWidth::I64)),
        column("price", ColumnType::Double),
        column("dueAt", ColumnType::DateTime),
        column("batch", ColumnType::Text),
        column("colour", ColumnType::Text),
    ],
    versioned: true,
    keep_deleted: true,
};

#[tokio::test(flavor = "multi_thread")]
async fn r_09_what_the_entity_does_not_know_stays_as_it_is() {
    for dialect in Dialect::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::builder([&WIDER]).open(folder.path().join("server.db")).await.expect("opens");
        let running = server.start("127.0.0.1:0").await.expect("starts");
        let authority = running.address().to_string();
        let row = json!({"id": "a", "text": "milk", "complete": false, "n": 3, "colour": "red"});
        let call = |request: Request| request.header("ZUMO-API-VERSION", "2.0.0");
        let inserted = call(Request::new("POST", "/tables/TodoItem").json(&row)).send(&authority).await;
        assert_eq!(inserted.expect("an answer").status, 201);
        let colour = async || {
            let request = call(Request::new("GET", "/tables/TodoItem/a?__includeDeleted=true"));
            let row = request.send(&authority).await.expect("an answer").json();
            (row["colour"].clone(), row["text"].clone(), row["n"].clone())
        };

        let database = folder.path().join("device.db");
        let device = model::device(&running.url(), &database).dialect(dialect).open().await.expect("opens");
        let remote = device.remote::<Todo>();
        let mut record = remote.get("a").await.expect("read").expect("there");
        record.text = "bread".into();
        let record = remote.update(&record).await.expect("updated");
        assert_eq!(colour().await, (json!("red"), json!("bread"), json!(3)), "{dialect:?}");
        // Also on no condition, and when the row comes back from a deletion.
        let mut unversioned = Todo::new("cheese");
        unversioned.n = Some(4);
        let record = remote.update(&Record::new(record.id(), unversioned)).await.expect("overwritten");
        assert_eq!(colour().await, (json!("red"), json!("cheese"), json!(4)), "{dialect:?}");
        remote.delete("a", record.version()).await.expect("deleted");
        let record = remote.undelete("a", None).await.expect("undeleted");
        assert_eq!((record.text.as_str(), record.n), ("cheese", Some(4)), "{dialect:?}");
        assert_eq!(colour().await, (json!("red"), json!("cheese"), json!(4)), "{dialect:?}");
        running.shutdown().await.expect("stops");
    }
}
