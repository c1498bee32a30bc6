//! The whole client against a server: push, pull, conflicts, lost answers.
//!
//! Each device is a database of its own; "another device" is plain HTTP where its own bookkeeping does not matter.

use serde_json::{Value, json};
use sync_core::ErrorKind;
use sync_core::operation::FailureClass;
use sync_diesel::prelude::*;

use crate::device::Device;
use crate::http::{Answer, Request};
use crate::model::{self, Todo, TodoAhead};
use crate::proxy::{Fault, FaultProxy};
use crate::servers::{ServerUnderTest, of_batch, row, text};

/// Changes made without a network arrive with one push, in the state they ended in.
pub async fn changes_made_offline_arrive_with_a_push(server: &ServerUnderTest) {
    let batch = "changes_made_offline_arrive_with_a_push";
    let proxy = FaultProxy::start(server.authority()).await;
    proxy.set_unreachable(true);
    let device = Device::through(server, proxy.url()).await;
    let milk = device.insert(item(batch, "milk")).await;
    let bread = device.insert(item(batch, "bread")).await;
    let gone = device.insert(item(batch, "gone")).await;
    device.set_text(&bread, "rye bread").await;
    device.delete(&gone).await;
    assert_eq!(device.texts(batch).await, ["milk", "rye bread"]);

    let error = device.push().await.expect_err("there is no network");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert_eq!(device.waiting().await, 2);
    assert_eq!(device.texts(batch).await, ["milk", "rye bread"]);

    proxy.set_unreachable(false);
    let report = device.push().await.expect("the push completes");
    assert_eq!((report.completed, report.remaining), (2, 0), "{report:?}");
    assert_eq!(device.waiting().await, 0);
    for (id, words) in [(&milk, "milk"), (&bread, "rye bread")] {
        let stored = server.read(id).await.json();
        assert_eq!(stored["text"], words);
        assert_eq!(device.row(id).await.version(), stored["version"].as_str());
    }
    assert_eq!(server.read(&gone).await.status, 404);

    // What came back is the ground for the next changes.
    device.set_text(&milk, "oat milk").await;
    device.delete(&bread).await;
    device.push().await.expect("the push completes");
    assert_eq!(server.read(&milk).await.json()["text"], "oat milk");
    assert_eq!(server.read(&bread).await.status, 404);

    let other = Device::new(server).await;
    other.pull_batch(batch).await.expect("the pull completes");
    assert_eq!(other.texts(batch).await, ["oat milk"]);
}

/// Every type of the table arrives on another device as it was written.
pub async fn values_arrive_on_another_device_as_they_were_written(server: &ServerUnderTest) {
    let batch = "values_arrive_on_another_device_as_they_were_written";
    let instant = sync_core::time::parse("2015-01-02T03:04:05.678Z").expect("an instant");
    let written = [
        Todo {
            text: "a: it's \"quoted\" 世界 🥛\n".into(),
            complete: true,
            n: Some(9_007_199_254_740_991),
            price: Some(0.1),
            due_at: Some(instant),
            batch: Some(batch.into()),
        },
        Todo { n: Some(-1), price: Some(-2.5e-7), ..item(batch, "b") },
        item(batch, ""),
    ];
    let device = Device::new(server).await;
    for todo in &written {
        device.insert(todo.clone()).await;
    }
    device.push().await.expect("the push completes");

    let other = Device::new(server).await;
    other.pull_batch(batch).await.expect("the pull completes");
    let arrived: Vec<Todo> = other.rows(batch).await.into_iter().map(Record::into_inner).collect();
    assert_eq!(arrived, [written[2].clone(), written[0].clone(), written[1].clone()]);

    // A value back to null.
    let mut row = other.rows(batch).await.remove(1);
    (row.n, row.due_at) = (None, None);
    other.table::<Todo>().update(&row).await.expect("the local row can be changed");
    other.push().await.expect("the push completes");
    device.pull_batch(batch).await.expect("the pull completes");
    assert_eq!(device.row(row.id()).await, other.row(row.id()).await);
}

/// The classic: only rows that hold the text come, case and wildcards are exact, on servers that cannot
/// search in text as well.
pub async fn a_pull_by_text_brings_exactly_the_matching_rows(server: &ServerUnderTest) {
    let batch = "a_pull_by_text_brings_exactly_the_matching_rows";
    for (number, words) in
        ["Pick up milk", "bread", "MILK", "buttermilk", "mi%k", "", "oat milk!"].iter().enumerate()
    {
        server.seed(&json!({ "id": format!("{batch}-{number}"), "batch": batch, "text": words, "complete": false })).await;
    }
    let device = Device::new(server).await;
    let matching = || Todo::batch.eq(batch).and(Todo::text.contains("milk"));
    device.pull("milkQuery", matching()).await.expect("the pull completes");
    assert_eq!(device.texts(batch).await, ["Pick up milk", "buttermilk", "oat milk!"]);

    let other = Device::new(server).await;
    other.pull_all(matching()).await.expect("the pull completes");
    assert_eq!(other.texts(batch).await, device.texts(batch).await);

    device
        .pull("percentQuery", Todo::batch.eq(batch).and(Todo::text.contains("%")))
        .await
        .expect("the pull completes");
    assert_eq!(device.texts(batch).await.len(), 4);
}

/// The second pull asks for what is new and stores nothing that is not; a change on the server comes with the
/// third.
pub async fn a_second_pull_brings_only_what_changed(server: &ServerUnderTest) {
    let batch = "a_second_pull_brings_only_what_changed";
    for number in 0..120 {
        server.seed(&row(&format!("{batch}-{number:03}"), batch)).await;
    }
    let proxy = FaultProxy::start(server.authority()).await;
    let device = Device::through(server, proxy.url()).await;
    let first = device.pull(batch, Todo::batch.eq(batch)).page_size(50).await.expect("the pull completes");
    assert_eq!(first.rows.added, 120, "{first:?}");

    let second = device.pull_batch(batch).await.expect("the pull completes");
    let rows = second.rows;
    assert_eq!((rows.added, rows.changed, rows.removed), (0, 0, 0), "{second:?}");

    server.update(&format!("{batch}-007"), None, &json!({ "text": "oat milk" })).await;
    server.delete(&format!("{batch}-008"), None).await;
    let third = device.pull_batch(batch).await.expect("the pull completes");
    let rows = third.rows;
    assert_eq!((rows.added, rows.changed, rows.removed), (0, 1, 1), "{third:?}");
    assert_eq!(device.row(&format!("{batch}-007")).await.text, "oat milk");
    assert_eq!(device.rows(batch).await.len(), 119);

    // Nothing but lists were asked for, each from a time and in the order of times, or of ids.
    for seen in proxy.take_seen() {
        assert_eq!(seen.request.method, "GET", "{seen:?}");
        assert_eq!(seen.status, Some(200), "{seen:?}");
        assert!(seen.request.target.contains("updatedAt%20ge%20"), "{seen:?}");
        assert!(seen.request.target.to_lowercase().contains("__includedeleted=true"), "{seen:?}");
    }
}

/// L-31: a block of one time that is larger than any page, with pages of 50 rows.
pub async fn a_block_of_one_time_arrives_whole_in_small_pages(server: &ServerUnderTest) {
    block_arrives(server, "a_block_of_one_time_arrives_whole_in_small_pages", 50).await;
}

/// L-31, with pages of 1000 rows, or what the server makes of that.
pub async fn a_block_of_one_time_arrives_whole_in_large_pages(server: &ServerUnderTest) {
    block_arrives(server, "a_block_of_one_time_arrives_whole_in_large_pages", 1000).await;
}

async fn block_arrives(server: &ServerUnderTest, batch: &str, page_size: u32) {
    const BLOCK: usize = 5000;
    let id = |part: &str| format!("{batch}-{part}");
    server.seed_block(batch, 3, "2019-12-31T23:59:59.999Z", |number| id(&format!("before-{number}")));
    // Ids that are in no order, and larger and smaller than those around.
    server.seed_block(batch, BLOCK, "2020-01-01T00:00:00.000Z", |number| {
        id(&format!("{:04}", (number * 2741) % BLOCK))
    });
    server.seed_block(batch, 3, "2020-01-01T00:00:00.001Z", |number| id(&format!("after-{number}")));

    let device = Device::new(server).await;
    let report =
        device.pull(batch, Todo::batch.eq(batch)).page_size(page_size).await.expect("the pull completes");
    assert_eq!(report.rows.added, BLOCK as u64 + 6, "{report:?}");
    assert_eq!((report.rows.quarantined, report.rows.ignored), (0, 0), "{report:?}");
    let rows = device.table::<Todo>().filter(Todo::batch.eq(batch)).count().await.expect("a count");
    assert_eq!(rows, BLOCK as u64 + 6);

    let again = device.pull_batch(batch).await.expect("the pull completes");
    let rows = again.rows;
    assert_eq!((rows.added, rows.changed, rows.removed), (0, 0, 0), "{again:?}");
}

/// A pull without a query id brings every row, each time, by id.
pub async fn a_full_pull_walks_by_id(server: &ServerUnderTest) {
    let batch = "a_full_pull_walks_by_id";
    server
        .seed_block(batch, 230, "2020-01-01T00:00:00.000Z", |number| format!("{batch}-{:03}", 999 - number));
    let proxy = FaultProxy::start(server.authority()).await;
    let device = Device::through(server, proxy.url()).await;
    let report = device.pull_all(Todo::batch.eq(batch)).page_size(50).await.expect("the pull completes");
    assert_eq!(report.rows.added, 230, "{report:?}");
    for seen in proxy.take_seen() {
        assert!(seen.request.target.contains("$orderby=id"), "{seen:?}");
        assert!(!seen.request.target.contains("updatedAt%20ge"), "{seen:?}");
    }

    server.delete(&format!("{batch}-999"), None).await;
    server.update(&format!("{batch}-998"), None, &json!({ "text": "changed" })).await;
    let again = device.pull_all(Todo::batch.eq(batch)).await.expect("the pull completes");
    assert_eq!((again.rows.added, again.rows.changed, again.rows.removed), (0, 1, 1), "{again:?}");
    assert_eq!(device.rows(batch).await.len(), 229);
}

/// R12: one device holds what is not completed; another completes "Buy milk"; with the next pull it is gone here. What
/// this device made itself stays, whatever it is.
pub async fn a_row_that_leaves_the_filter_goes(server: &ServerUnderTest) {
    let batch = "a_row_that_leaves_the_filter_goes";
    let (phone, laptop) = (Device::new(server).await, Device::new(server).await);
    let milk = laptop.insert(item(batch, "Buy milk")).await;
    laptop.insert(item(batch, "Call home")).await;
    laptop.push().await.expect("the push completes");
    phone.insert(Todo { complete: true, ..item(batch, "Made here") }).await;

    let open = async || {
        let open = Todo::batch.eq(batch).and(Todo::complete.eq(false));
        phone.pull("open", open).track_exits(true).await.expect("the pull completes")
    };
    assert_eq!(open().await.rows.added, 2);
    assert_eq!(phone.texts(batch).await, ["Buy milk", "Call home", "Made here"]);

    let complete = async |complete: bool| {
        let mut row = laptop.row(&milk).await;
        row.complete = complete;
        laptop.table::<Todo>().update(&row).await.expect("the local row can be changed");
        laptop.push().await.expect("the push completes");
    };
    complete(true).await;
    let report = open().await;
    assert_eq!((report.rows.evicted, report.tracked_exits), (1, true), "{report:?}");
    assert_eq!(phone.texts(batch).await, ["Call home", "Made here"]);
    assert_eq!(phone.waiting().await, 0, "nothing is deleted on the server");
    assert_eq!(server.read(&milk).await.json()["complete"], true);
    assert_eq!(open().await.rows.evicted, 0);

    complete(false).await;
    assert_eq!(open().await.rows.added, 1, "and it comes back");
    // A change that waits here holds the row.
    phone.set_text(&milk, "Buy oat milk").await;
    complete(true).await;
    let open = Todo::batch.eq(batch).and(Todo::complete.eq(false));
    let report = phone.pull("open", open).track_exits(true).without_push().await.expect("the pull completes");
    assert_eq!((report.rows.evicted, report.rows.kept_local), (0, 1), "{report:?}");
    assert_eq!(phone.row(&milk).await.text, "Buy oat milk");
}

/// R12: a row that leaves the filter of one query id stays as long as another one wants it.
pub async fn a_row_that_another_query_wants_stays(server: &ServerUnderTest) {
    let batch = "a_row_that_another_query_wants_stays";
    let id = format!("{batch}-1");
    server.seed(&json!({ "id": id, "batch": batch, "text": "milk", "complete": false, "n": 1 })).await;
    let device = Device::new(server).await;
    let open = async || {
        let open = Todo::batch.eq(batch).and(Todo::complete.eq(false));
        device.pull("open", open).track_exits(true).await.expect("the pull completes").rows
    };
    let first = async || {
        let first = Todo::batch.eq(batch).and(Todo::n.eq(1));
        device.pull("first", first).track_exits(true).await.expect("the pull completes").rows
    };
    assert_eq!(open().await.added, 1);
    let rows = first().await;
    assert!(rows.unchanged >= 1 && rows.added + rows.changed == 0, "{rows:?}");
    server.update(&id, None, &json!({ "complete": true })).await;
    let rows = open().await;
    assert_eq!((rows.evicted, rows.changed), (0, 1), "brought up to date instead");
    assert!(device.row(&id).await.complete);
    server.update(&id, None, &json!({ "n": 2 })).await;
    assert_eq!(open().await.evicted, 1, "whichever query sees it leave them all");
    assert_eq!(first().await.evicted, 0);
    assert!(device.texts(batch).await.is_empty());
}

/// L-13: a full pull leaves local rows that did not come, unless it mirrors the server.
pub async fn a_mirroring_pull_removes_what_did_not_come(server: &ServerUnderTest) {
    let batch = "a_mirroring_pull_removes_what_did_not_come";
    for number in 0..3 {
        server.seed(&row(&format!("{batch}-{number}"), batch)).await;
    }
    let device = Device::new(server).await;
    device.pull_all(Todo::batch.eq(batch)).await.expect("the pull completes");
    server.update(&format!("{batch}-1"), None, &json!({ "batch": "elsewhere" })).await;
    device.pull_all(Todo::batch.eq(batch)).await.expect("the pull completes");
    assert_eq!(device.rows(batch).await.len(), 3);
    let unsent = device.insert(item(batch, "unsent")).await;
    let report = device.pull_all(Todo::batch.eq(batch)).mirror().without_push().page_size(1).await;
    assert_eq!(report.expect("the pull completes").rows.removed, 1);
    let ids: Vec<_> = device.rows(batch).await.iter().map(|row| row.id().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.contains(&unsent) && !ids.contains(&format!("{batch}-1")));
}

/// Ids that need encoding in paths and quoting in filters come down, can be edited, and go up again.
pub async fn rows_with_unusual_ids_arrive_and_can_be_edited(server: &ServerUnderTest) {
    let batch = "rows_with_unusual_ids_arrive_and_can_be_edited";
    let ids: Vec<String> =
        ["a b", "it's", "''", "50%", "%20", "ü-世界", "🥛", "x=1;y", "a(b),c", "a:b@c", "CASE", "case"]
            .iter()
            .map(|id| format!("{batch} {id}"))
            .collect();
    for id in &ids {
        server.seed(&row(id, batch)).await;
    }
    let device = Device::new(server).await;
    // Pages of one row: every id is once the bound of the next page.
    let report = device.pull_all(Todo::batch.eq(batch)).page_size(1).await.expect("the pull completes");
    assert_eq!(report.rows.added, ids.len() as u64, "{report:?}");

    for id in &ids {
        device.set_text(id, &format!("edited {id}")).await;
    }
    device.push().await.expect("the push completes");
    for id in &ids {
        assert_eq!(server.read(id).await.json()["text"], format!("edited {id}"));
    }
    for id in &ids {
        device.delete(id).await;
    }
    device.push().await.expect("the push completes");
    assert!(server.rows(&[("$filter", &of_batch(batch))]).await.is_empty());
}

/// A deletion on the server is learned by the next pull, incremental or not.
pub async fn a_row_deleted_on_the_server_vanishes(server: &ServerUnderTest) {
    let batch = "a_row_deleted_on_the_server_vanishes";
    for number in 0..3 {
        server.seed(&row(&format!("{batch}-{number}"), batch)).await;
    }
    let device = Device::new(server).await;
    device.pull_batch(batch).await.expect("the pull completes");
    server.delete(&format!("{batch}-1"), None).await;
    let report = device.pull_batch(batch).await.expect("the pull completes");
    assert_eq!(report.rows.removed, 1, "{report:?}");
    assert_eq!(device.rows(batch).await.len(), 2);
    assert_eq!(device.waiting().await, 0, "a deletion that came down is not queued");
}

/// A pull sends what waits before it asks (M-01), so the answer cannot undo a local change.
pub async fn a_pull_pushes_first(server: &ServerUnderTest) {
    let batch = "a_pull_pushes_first";
    let id = format!("{batch}-1");
    server.seed(&row(&id, batch)).await;
    let device = Device::new(server).await;
    device.pull_batch(batch).await.expect("the pull completes");
    device.set_text(&id, "bread").await;
    let report = device.pull_batch(batch).await.expect("the pull completes");
    assert_eq!(report.push.map(|push| push.completed), Some(1));
    assert_eq!(server.read(&id).await.json()["text"], "bread");
    assert_eq!(device.row(&id).await.text, "bread");
}

/// 412: the conflict is kept with both rows, nothing is overwritten on either side, and each decision leads to
/// one state on both. A column that only the server changed keeps the server's value.
pub async fn a_conflict_waits_for_a_decision(server: &ServerUnderTest) {
    let batch = "a_conflict_waits_for_a_decision";
    for decision in ["mine", "theirs", "both"] {
        let id = format!("{batch}-{decision}");
        let device = conflicting_device(server, batch, &id).await;
        let error = device.push().await.expect_err("there is a conflict");
        assert_eq!(error.kind(), ErrorKind::PushFailed, "{error}");
        assert_eq!(server.read(&id).await.json()["text"], "theirs");
        assert_eq!(device.row(&id).await.text, "mine");

        let errors = device.errors().await.expect("the errors can be read");
        let [conflict] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!((conflict.class, conflict.status), (FailureClass::Conflict, Some(412)));
        let local: Option<Record<Todo>> = conflict.local().expect("the row sent fits");
        let remote: Option<Record<Todo>> = conflict.remote().expect("the server's row fits");
        assert_eq!(local.map(|row| row.text.clone()).as_deref(), Some("mine"));
        assert_eq!(remote.map(|row| row.text.clone()).as_deref(), Some("theirs"));

        let resolve = match decision {
            "mine" => Resolve::KeepLocal,
            "theirs" => Resolve::TakeRemote,
            _ => Resolve::Merge(item(batch, "both")),
        };
        device.resolve::<Todo>(conflict, resolve).await.expect("the conflict can be resolved");
        device.push().await.expect("the push completes");
        assert_eq!(device.waiting().await, 0);
        assert!(device.errors().await.expect("the errors can be read").is_empty());
        let stored = server.read(&id).await.json();
        assert_eq!(stored["text"], decision);
        let kept = device.row(&id).await;
        assert_eq!((kept.text.as_str(), kept.version()), (decision, stored["version"].as_str()));
        if decision != "both" {
            assert_eq!((stored["n"].as_i64(), kept.n), (Some(7), Some(7)), "{decision}");
        }
    }
}

/// A handler decides within the push.
pub async fn a_handler_merges_a_conflict(server: &ServerUnderTest) {
    let id = "a_handler_merges_a_conflict";
    server.seed(&row(id, id)).await;
    let device = Device::with(server, &server.url(), |builder| {
        builder.on_conflict::<Todo>(|conflict| match (&conflict.local, &conflict.remote) {
            (Some(local), Some(remote)) => {
                let text = format!("{} and {}", remote.text, local.text);
                Resolve::Merge(Todo { text, ..Todo::clone(local) })
            }
            _ => Resolve::Leave,
        })
    })
    .await;
    device.pull_batch(id).await.expect("the pull completes");
    device.set_text(id, "mine").await;
    server.update(id, None, &json!({ "text": "theirs" })).await;
    device.push().await.expect("the handler resolves the conflict");
    assert_eq!(server.read(id).await.json()["text"], "theirs and mine");
    assert_eq!(device.row(id).await.text, "theirs and mine");
    assert_eq!(device.waiting().await, 0);
}

/// A local deletion does not destroy what was changed on the server meanwhile.
pub async fn a_deletion_of_a_changed_row_is_a_conflict(server: &ServerUnderTest) {
    let id = "a_deletion_of_a_changed_row_is_a_conflict";
    server.seed(&row(id, id)).await;
    let device = Device::new(server).await;
    device.pull_batch(id).await.expect("the pull completes");
    device.delete(id).await;
    server.update(id, None, &json!({ "text": "theirs" })).await;
    device.push().await.expect_err("there is a conflict");
    assert_eq!(server.read(id).await.json()["text"], "theirs");

    let errors = device.errors().await.expect("the errors can be read");
    device.resolve::<Todo>(&errors[0], Resolve::TakeRemote).await.expect("the conflict can be resolved");
    assert_eq!(device.row(id).await.text, "theirs");
    device.push().await.expect("nothing is left to push");
    assert_eq!(server.read(id).await.json()["text"], "theirs");
}

/// A change of a row that the server deleted: the deletion stands or the row is revived, as decided.
pub async fn a_change_of_a_deleted_row_is_a_conflict(server: &ServerUnderTest) {
    let batch = "a_change_of_a_deleted_row_is_a_conflict";
    for keep in [true, false] {
        let id = format!("{batch}-{keep}");
        server.seed(&row(&id, batch)).await;
        let device = Device::new(server).await;
        device.pull_batch(batch).await.expect("the pull completes");
        device.set_text(&id, "mine").await;
        server.delete(&id, None).await;
        device.push().await.expect_err("there is a conflict");
        let errors = device.errors().await.expect("the errors can be read");
        let [gone] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!(gone.class, FailureClass::Gone);

        let resolve = if keep { Resolve::KeepLocal } else { Resolve::TakeRemote };
        device.resolve::<Todo>(gone, resolve).await.expect("the conflict can be resolved");
        device.push().await.expect("the push completes");
        assert_eq!(device.waiting().await, 0);
        if keep {
            assert_eq!(server.read(&id).await.json()["text"], "mine");
        } else {
            assert_eq!(server.read(&id).await.status, 404);
        }
        let local = device.table::<Todo>().get(&id).await.expect("the local table can be read");
        assert_eq!(local.is_some(), keep);
    }
}

/// Two devices insert one id: the second learns of the first's row and overwrites nothing.
pub async fn an_insert_of_a_taken_id_is_a_conflict(server: &ServerUnderTest) {
    let batch = "an_insert_of_a_taken_id_is_a_conflict";
    let device = Device::new(server).await;
    let id = device.insert(item(batch, "mine")).await;
    server.seed(&json!({ "id": id, "batch": batch, "text": "theirs", "complete": true })).await;
    device.push().await.expect_err("there is a conflict");
    assert_eq!(server.read(&id).await.json()["text"], "theirs");

    let errors = device.errors().await.expect("the errors can be read");
    let [conflict] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(conflict.class, FailureClass::Conflict);
    let remote: Option<Record<Todo>> = conflict.remote().expect("the server's row fits");
    assert_eq!(remote.map(|row| row.text.clone()).as_deref(), Some("theirs"));
    device.resolve::<Todo>(conflict, Resolve::KeepLocal).await.expect("the conflict can be resolved");
    device.push().await.expect("the push completes");
    assert_eq!(server.read(&id).await.json()["text"], "mine");
}

/// F-10: the server inserted, the answer was lost. The next push finds that out; the row is there once, and the
/// version that it has is known.
pub async fn a_lost_answer_to_an_insert_is_settled(server: &ServerUnderTest) {
    let batch = "a_lost_answer_to_an_insert_is_settled";
    let (proxy, device) = lossy(server).await;
    let id = device.insert(item(batch, "milk")).await;
    lose_answer(&proxy, &device, "POST").await;
    assert_eq!(server.read(&id).await.status, 200, "the server did it");
    settled(&device).await;
    assert_eq!(server.ids(&[("$filter", &of_batch(batch))]).await, [id.as_str()]);
    continues(server, &device, &id).await;
}

/// F-10 for an update: the server's new version is known afterwards, and nothing was a conflict.
pub async fn a_lost_answer_to_an_update_is_settled(server: &ServerUnderTest) {
    let id = "a_lost_answer_to_an_update_is_settled";
    let (proxy, device) = lossy(server).await;
    server.seed(&row(id, id)).await;
    device.pull_batch(id).await.expect("the pull completes");
    device.set_text(id, "bread").await;
    lose_answer(&proxy, &device, server.update_method()).await;
    assert_eq!(server.read(id).await.json()["text"], "bread", "the server did it");
    settled(&device).await;
    assert_eq!(server.read(id).await.json()["text"], "bread");
    continues(server, &device, id).await;
}

/// F-10 for a deletion: gone is gone.
pub async fn a_lost_answer_to_a_deletion_is_settled(server: &ServerUnderTest) {
    let id = "a_lost_answer_to_a_deletion_is_settled";
    let (proxy, device) = lossy(server).await;
    server.seed(&row(id, id)).await;
    device.pull_batch(id).await.expect("the pull completes");
    device.delete(id).await;
    lose_answer(&proxy, &device, "DELETE").await;
    assert_eq!(server.read(id).await.status, 404, "the server did it");
    settled(&device).await;
    assert!(device.rows(id).await.is_empty());
    device.pull_batch(id).await.expect("the pull completes");
    assert!(device.rows(id).await.is_empty());
}

/// An answer that was lost after somebody else changed the row as well: a conflict, not an overwrite.
pub async fn a_lost_answer_does_not_hide_a_conflict(server: &ServerUnderTest) {
    let id = "a_lost_answer_does_not_hide_a_conflict";
    let (proxy, device) = lossy(server).await;
    server.seed(&row(id, id)).await;
    device.pull_batch(id).await.expect("the pull completes");
    device.set_text(id, "mine").await;
    lose_answer(&proxy, &device, server.update_method()).await;
    server.update(id, None, &json!({ "text": "theirs" })).await;
    let error = device.push().await.expect_err("there is a conflict");
    assert_eq!(error.kind(), ErrorKind::PushFailed, "{error}");
    assert_eq!(server.read(id).await.json()["text"], "theirs");
}

/// R1: an insert whose answer was lost, then changed and deleted here, leaves no row behind on the server.
pub async fn a_row_deleted_after_an_uncertain_insert_leaves_nothing(server: &ServerUnderTest) {
    let batch = "a_row_deleted_after_an_uncertain_insert_leaves_nothing";
    for reached in [true, false] {
        let (proxy, device) = lossy(server).await;
        let id = device.insert(item(batch, "milk")).await;
        let fault = if reached { Fault::LoseAnswer } else { Fault::LoseRequest };
        proxy.inject(1, fault, |request| request.method == "POST");
        device.push().await.expect_err("the answer is lost");
        device.set_text(&id, "bread").await;
        device.delete(&id).await;
        settled(&device).await;
        assert!(server.rows(&[("$filter", &of_batch(batch))]).await.is_empty(), "reached: {reached}");
        let methods: Vec<_> = proxy.take_seen().into_iter().map(|seen| seen.request.method).collect();
        assert_eq!(methods.iter().filter(|method| *method == "POST").count(), 1, "{methods:?}");
    }
}

/// A change made while its row's insert is in doubt is not lost, and the row is there once.
pub async fn a_change_after_an_uncertain_insert_arrives(server: &ServerUnderTest) {
    let batch = "a_change_after_an_uncertain_insert_arrives";
    for reached in [true, false] {
        let (proxy, device) = lossy(server).await;
        let id = device.insert(item(batch, "milk")).await;
        let fault = if reached { Fault::LoseAnswer } else { Fault::LoseRequest };
        proxy.inject(1, fault, |request| request.method == "POST");
        device.push().await.expect_err("the answer is lost");
        device.set_text(&id, "bread").await;
        settled(&device).await;
        assert_eq!(server.read(&id).await.json()["text"], "bread", "reached: {reached}");
        device.delete(&id).await;
        settled(&device).await;
    }
}

/// G4 of the wire: a success that is somebody's web page settles nothing.
pub async fn a_page_of_html_is_no_success(server: &ServerUnderTest) {
    let batch = "a_page_of_html_is_no_success";
    let portal = Answer::new(200, "text/html", "<html>Please sign in to the network</html>");
    let (proxy, device) = lossy(server).await;
    let id = device.insert(item(batch, "milk")).await;
    proxy.inject(1, Fault::Answer(portal.clone()), |request| request.method == "POST");
    let error = device.push().await.expect_err("this is no answer of a tables server");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    assert_eq!(device.waiting().await, 1);
    assert_eq!(server.read(&id).await.status, 404);
    settled(&device).await;
    assert_eq!(server.read(&id).await.json()["text"], "milk");

    proxy.inject(1, Fault::Answer(portal), |request| request.method == "GET");
    let error = device.pull_batch(batch).await.expect_err("this is no answer of a tables server");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    device.pull_batch(batch).await.expect("the pull completes");
    assert_eq!(device.texts(batch).await, ["milk"]);
}

/// A page cut short is stored not at all; what came before stays, and the next pull goes on to the end.
pub async fn a_pull_goes_on_after_a_broken_page(server: &ServerUnderTest) {
    let batch = "a_pull_goes_on_after_a_broken_page";
    for number in 0..120 {
        let time = format!("2020-01-01T00:00:00.{number:03}Z");
        server.seed_block(batch, 1, &time, |_| format!("{batch}-{number:03}"));
    }
    for (fault, kind) in [
        (Fault::CutBody(3000), ErrorKind::InvalidResponse),
        (Fault::CutConnection(3000), ErrorKind::Network),
        (Fault::LoseAnswer, ErrorKind::Network),
    ] {
        let (proxy, device) = lossy(server).await;
        let third = std::sync::atomic::AtomicUsize::new(0);
        proxy
            .inject(1, fault.clone(), move |_| third.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2);
        let pull = device.pull(batch, Todo::batch.eq(batch)).page_size(50);
        let error = pull.await.expect_err("the third page breaks");
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        let stored = device.rows(batch).await.len();
        assert!((50..120).contains(&stored), "{fault:?}: {stored} rows");

        let report = device.pull_batch(batch).await.expect("the pull completes");
        assert_eq!(device.rows(batch).await.len(), 120, "{fault:?}");
        assert_eq!(report.rows.added, 120 - stored as u64, "{fault:?}: {report:?}");
    }
}

/// A server that is busy or refuses the credentials ends the push; nothing is lost, and the next one completes.
pub async fn a_push_goes_on_after_a_busy_server(server: &ServerUnderTest) {
    let batch = "a_push_goes_on_after_a_busy_server";
    for (status, kind) in
        [(503, ErrorKind::ServerBusy), (429, ErrorKind::ServerBusy), (401, ErrorKind::Unauthorized)]
    {
        let (proxy, device) = lossy(server).await;
        let ids = [device.insert(item(batch, "one")).await, device.insert(item(batch, "two")).await];
        let refusal = Answer::new(status, "application/json", r#"{"error":"not now"}"#);
        proxy.inject(1, Fault::Answer(refusal), |request| request.method == "POST");
        let error = device.push().await.expect_err("the server does not want");
        assert_eq!(error.kind(), kind, "{error}");
        // The other row may have been under way at the same time.
        let waiting = device.waiting().await;
        assert!(waiting == 2 || (waiting == 1 && server.window() > 1), "{waiting} wait");
        settled(&device).await;
        for id in &ids {
            assert_eq!(server.read(id).await.status, 200);
        }
    }
}

/// A refusal of one row does not hold up the others, and is kept with what the server said.
pub async fn a_refused_row_does_not_hold_up_others(server: &ServerUnderTest) {
    let batch = "a_refused_row_does_not_hold_up_others";
    let (proxy, device) = lossy(server).await;
    let refused = device.insert(item(batch, "refused")).await;
    let accepted = device.insert(item(batch, "accepted")).await;
    let refusal = Answer::new(400, "application/json", r#"{"error":"too sweet"}"#);
    let id = refused.clone();
    proxy.inject(1, Fault::Answer(refusal), move |request| {
        let body = request.body.as_deref().unwrap_or_default();
        request.method == "POST" && body.windows(id.len()).any(|part| part == id.as_bytes())
    });
    let error = device.push().await.expect_err("one row is refused");
    assert_eq!(error.kind(), ErrorKind::PushFailed, "{error}");
    assert_eq!(server.read(&accepted).await.status, 200);
    let errors = device.errors().await.expect("the errors can be read");
    let [failure] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((failure.key.item_id.as_str(), failure.class), (refused.as_str(), FailureClass::Refused));
    assert_eq!(failure.status, Some(400));
    assert!(failure.message.contains("too sweet"), "{}", failure.message);

    // The reason is gone: the next push sends it again.
    settled(&device).await;
    assert_eq!(server.read(&refused).await.status, 200);
}

/// An open item of a batch.
fn item(batch: &str, text: &str) -> Todo {
    Todo::new(text).in_batch(batch)
}

/// A device with a change on top of a version that is no longer the server's.
async fn conflicting_device(server: &ServerUnderTest, batch: &str, id: &str) -> Device {
    server.seed(&row(id, batch)).await;
    let device = Device::new(server).await;
    device.pull_batch(batch).await.expect("the pull completes");
    device.set_text(id, "mine").await;
    let answer = server.update(id, None, &json!({ "text": "theirs", "n": 7 })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    device
}

/// A filter that names a column the server's table lacks is an error, also where the server answers it with an empty
/// list (Q-06); a filter by columns it has brings nothing in peace.
pub async fn a_column_the_server_lacks_is_an_error_and_not_an_empty_table(server: &ServerUnderTest) {
    let batch = "a_column_the_server_lacks_is_an_error_and_not_an_empty_table";
    let id = format!("{batch}-1");
    server.seed(&row(&id, batch)).await;
    let device = Device::new(server).await;
    let report =
        device.pull_all(Todo::batch.eq(batch).and(Todo::n.eq(12))).await.expect("the pull completes");
    assert_eq!(report.rows.added, 0, "{report:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let device = model::open_ahead(server, &folder.path().join("app.db")).await;
    let wanted = || TodoAhead::batch.eq(batch).and(TodoAhead::not_there_yet.eq("x"));
    for query_id in ["milk", "milk", "tea"] {
        let error = device.pull(query_id, wanted()).await.expect_err("the column is not there");
        assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidQuery, Some("TodoItem")), "{error}");
    }
    // Without the column in the filter its rows come, the column empty.
    device.pull_all(TodoAhead::batch.eq(batch)).await.expect("the pull completes");
    let rows = device.table::<TodoAhead>().all().load().await.expect("rows");
    assert_eq!(
        rows.iter().map(|row| (row.id(), &row.not_there_yet)).collect::<Vec<_>>(),
        [(id.as_str(), &None)]
    );
}

/// A device behind a proxy.
async fn lossy(server: &ServerUnderTest) -> (FaultProxy, Device) {
    let proxy = FaultProxy::start(server.authority()).await;
    let device = Device::through(server, proxy.url()).await;
    (proxy, device)
}

/// A push whose one request is done by the server, but not answered.
async fn lose_answer(proxy: &FaultProxy, device: &Device, method: &'static str) {
    proxy.inject(1, Fault::LoseAnswer, move |request: &Request| request.method == method);
    let error = device.push().await.expect_err("the answer is lost");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(proxy.faults_used_up());
    assert_eq!(device.waiting().await, 1, "an unanswered operation stays");
}

/// A push that leaves nothing to do and nothing to decide.
async fn settled(device: &Device) {
    device.push().await.expect("the push completes");
    assert_eq!(device.waiting().await, 0);
    assert!(device.errors().await.expect("the errors can be read").is_empty());
}

/// The device knows the server's version: its next change is accepted on top of it.
async fn continues(server: &ServerUnderTest, device: &Device, id: &str) {
    let stored: Value = server.read(id).await.json();
    assert_eq!(device.row(id).await.version(), Some(text(&stored, "version")));
    device.set_text(id, "butter").await;
    settled(device).await;
    assert_eq!(server.read(id).await.json()["text"], "butter");
}
