//! The client in each dialect against our own server, which serves all three over one table.

use serde_json::json;
use sync_diesel::prelude::*;
use sync_tests::model::{self, Schema, Todo};
use sync_tests::proxy::Fault;

use crate::offline::World;

pub(crate) async fn device(world: &World, dialect: Dialect, name: &str) -> SyncContext<Schema> {
    let database = world.folder.path().join(name);
    let builder = model::device(world.proxy.url(), &database).dialect(dialect);
    builder.profile(world.server.as_ref().profile()).open().await.expect("the device opens")
}

async fn texts(device: &SyncContext<Schema>) -> Vec<String> {
    let rows = device.table::<Todo>().all().order_by(Todo::text.asc()).load().await.expect("rows");
    rows.iter().map(|row| row.text.clone()).collect()
}

/// A device with one row that the server has too.
async fn with_a_row(dialect: Dialect) -> (World, SyncContext<Schema>, String) {
    let world = World::new().await;
    let device = device(&world, dialect, "device.db").await;
    let record = device.table::<Todo>().insert(Todo::new("start")).await.expect("inserted");
    device.push().await.expect("pushed");
    let id = record.id().to_owned();
    (world, device, id)
}

async fn set_text(device: &SyncContext<Schema>, id: &str, text: &str) {
    let mut record = device.table::<Todo>().get(id).await.expect("read").expect("there");
    record.text = text.into();
    device.table::<Todo>().update(&record).await.expect("updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_01_to_w_03_rows_travel_in_each_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let (phone, laptop) =
            (device(&world, dialect, "phone.db").await, device(&world, dialect, "laptop.db").await);
        let mut milk = phone.table::<Todo>().insert(Todo::new("Pick up milk")).await.expect("inserted");
        phone.table::<Todo>().insert(Todo::new("Call home")).await.expect("inserted");
        phone.push().await.expect("pushed");
        let due = DateTime::from_timestamp(1_700_000_000, 123_000_000).expect("valid");
        (milk.complete, milk.n, milk.price, milk.due_at) = (true, Some(7), Some(0.5), Some(due));
        phone.table::<Todo>().update(&milk).await.expect("updated");
        let report = phone.push().await.expect("no conflict with itself");
        assert_eq!((report.completed, report.remaining), (1, 0), "{dialect:?}");

        let pulled = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
        assert_eq!((pulled.rows.added, pulled.rows.filtered), (1, 0), "{dialect:?}: filtered by the server");
        let theirs = laptop.table::<Todo>().get(milk.id()).await.expect("read").expect("there");
        assert_eq!(*theirs, *milk, "{dialect:?}");
        let again = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
        assert_eq!((again.rows.added, again.rows.changed, again.rows.removed), (0, 0, 0), "{dialect:?}");

        let due_now = laptop.pull_all(Todo::due_at.le(due)).await.expect("pulled");
        assert_eq!((due_now.rows.unchanged, due_now.rows.added), (1, 0), "{dialect:?}: dates in filters");

        phone.table::<Todo>().delete(milk.id()).await.expect("deleted");
        phone.push().await.expect("pushed");
        let pulled = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
        assert_eq!(pulled.rows.removed, 1, "{dialect:?}");
        assert!(texts(&laptop).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_three_dialects_share_one_table() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for (number, dialect) in Dialect::ALL.into_iter().enumerate() {
        devices.push(device(&world, dialect, &format!("{number}.db")).await);
    }
    let id = devices[0].table::<Todo>().insert(Todo::new("0")).await.expect("inserted").id().to_owned();
    devices[0].push().await.expect("pushed");
    for round in 1..7 {
        let device = &devices[round % 3];
        device.pull("all", Todo::all()).await.expect("pulled");
        assert_eq!(texts(device).await, [(round - 1).to_string()], "round {round}");
        set_text(device, &id, &round.to_string()).await;
        device.push().await.expect("pushed");
    }
    assert_eq!(world.on_server().await, [(id, "6".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_10_a_conflict_is_kept_local_in_each_dialect() {
    for dialect in Dialect::ALL {
        let (world, device, id) = with_a_row(dialect).await;
        world.server.as_ref().update(&id, None, &json!({"text": "theirs", "n": 7})).await;
        set_text(&device, &id, "mine").await;
        device.push().await.expect_err("a conflict");
        let error = device.errors().await.expect("errors").remove(0);
        assert_eq!((error.class, error.status), (FailureClass::Conflict, Some(412)), "{dialect:?}");
        let remote = error.remote::<Todo>().expect("readable").expect("the server's row");
        assert_eq!(remote.text, "theirs", "{dialect:?}");

        device.resolve(&error, Resolve::<Todo>::KeepLocal).await.expect("resolved");
        device.push().await.expect("pushed");
        let row = world.server.as_ref().read(&id).await.json();
        // Also in v3, where the whole row is sent: what was not changed here is theirs (R9).
        assert_eq!((row["text"].as_str(), row["n"].as_i64()), (Some("mine"), Some(7)), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w_05_w_09_a_row_deleted_there_is_gone_and_can_be_revived() {
    for dialect in Dialect::ALL {
        let (world, device, id) = with_a_row(dialect).await;
        assert!(world.server.as_ref().delete(&id, None).await.status < 300);
        set_text(&device, &id, "still wanted").await;
        device.push().await.expect_err("gone");
        let error = device.errors().await.expect("errors").remove(0);
        assert_eq!(error.class, FailureClass::Gone, "{dialect:?}");
        device.resolve(&error, Resolve::<Todo>::KeepLocal).await.expect("resolved");
        let report = device.push().await.expect("revived");
        assert_eq!(report.remaining, 0, "{dialect:?}");
        assert_eq!(world.on_server().await, [(id, "still wanted".to_owned())], "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w_06_a_row_deleted_on_both_sides_is_done() {
    for dialect in Dialect::ALL {
        let (world, device, id) = with_a_row(dialect).await;
        assert!(world.server.as_ref().delete(&id, None).await.status < 300);
        device.table::<Todo>().delete(&id).await.expect("deleted");
        let report = device.push().await.expect("done");
        assert_eq!((report.completed, report.remaining), (1, 0), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_09_lost_answers_are_settled_in_each_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "device.db").await;
        let todos = device.table::<Todo>();
        let lose = || world.proxy.inject(1, Fault::LoseAnswer, |request| request.method != "GET");

        let id = todos.insert(Todo::new("new")).await.expect("inserted").id().to_owned();
        lose();
        device.push().await.expect_err("the answer is lost");
        device.push().await.expect("settled");
        assert_eq!(world.on_server().await, [(id.clone(), "new".to_owned())], "{dialect:?}");

        set_text(&device, &id, "changed").await;
        lose();
        device.push().await.expect_err("the answer is lost");
        device.push().await.expect("settled without a false conflict");
        assert_eq!(world.on_server().await, [(id.clone(), "changed".to_owned())], "{dialect:?}");

        todos.delete(&id).await.expect("deleted");
        lose();
        device.push().await.expect_err("the answer is lost");
        let report = device.push().await.expect("settled");
        assert_eq!((report.remaining, world.on_server().await.len()), (0, 0), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l_28_l_31_pages_of_each_dialect_bring_every_row() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let server = world.server.as_ref();
        server.seed_block("tie", 230, "2020-01-01T00:00:00.000Z", |number| format!("tie {number:03}"));
        server.seed_block("tie", 5, "2020-01-01T00:00:00.001Z", |number| format!("later {number}"));
        let device = device(&world, dialect, "device.db").await;
        for page_size in [1000, 50] {
            let report = device.pull(format!("q{page_size}"), Todo::all()).page_size(page_size).await;
            report.expect("pulled");
            assert_eq!(texts(&device).await.len(), 235, "{dialect:?}, pages of {page_size}");
        }
        let all = device.pull_all(Todo::all()).page_size(40).await.expect("pulled");
        assert_eq!(all.rows.unchanged, 235, "{dialect:?}: a full pull meets every row once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_2_3_a_probe_finds_all_that_is_spoken() {
    let world = World::new().await;
    let device = device(&world, Dialect::MobileApps, "device.db").await;
    for seeded in [false, true] {
        if seeded {
            world.server.as_ref().seed(&json!({"id": "a", "text": "milk", "complete": false})).await;
        }
        let report = device.probe::<Todo>().await.expect("a tables server");
        assert!(report.dialects().eq(Dialect::ALL), "{report:?}");
        assert_eq!(report.newest(), Some(Dialect::Datasync));
    }
    let builder = SyncContext::<Schema>::builder(world.proxy.url());
    let before_opening = builder.probe::<Todo>().await.expect("a tables server");
    assert_eq!(before_opening.requests(), 3);
    let error = builder.probe::<model::Unknown>().await.expect_err("no such table");
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownTable, Some("NoSuchTable")));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_14_an_empty_first_pull_is_proven_once_in_each_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "device.db").await;
        assert!(world.proxy.seen().is_empty(), "opening sends nothing");
        device.pull("all", Todo::all()).await.expect("an empty table");
        let first = world.proxy.seen().len();
        assert!((1..=4).contains(&first), "{dialect:?}: {first} requests");
        device.pull("all", Todo::all()).await.expect("still empty");
        assert_eq!(world.proxy.seen().len(), first + 1, "{dialect:?}: the proof is stored");
    }
}
