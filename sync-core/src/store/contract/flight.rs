//! Answers, and local changes while a request is in flight.

use super::probe::*;
use crate::operation::OperationKind::{Delete, Insert, Update};
use crate::operation::OperationState::{Failed, Pending};
use crate::operation::SentKind;
use crate::operation::ServerMayHold::No;
use crate::row::Row;
use crate::store::LocalStore;
use crate::value::Value;

pub(super) async fn f_03_insert_acknowledged<S: LocalStore>(probe: Probe<S>) {
    probe.insert(part("a", &[("text", text("milk")), ("note", text("mine"))])).await;
    let answer = Row {
        extra: Some("{\"color\":\"red\"}".to_owned()),
        ..{
            let mut row = server("a", "Milk", "v1");
            row.values[8] = Some(text("never taken"));
            row
        }
    };
    let sent = probe.answer(acknowledged(answer)).await;
    assert_eq!(sent.sent, SentKind::Insert);
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("Milk")), "the server's value");
    assert_eq!(value(&row, "note"), Some(text("mine")), "L-22");
    assert_eq!(row.version.as_deref(), Some("v1"));
    assert_eq!(row.updated_at, Some(at("2024-01-01T00:00:00Z")));
    assert_eq!(row.extra.as_deref(), Some("{\"color\":\"red\"}"));
}

pub(super) async fn f_03_update_acknowledged<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread")), ("n", Value::Integer(5))])).await;
    // P-11: only the members present are stored.
    let mut answer = part("a", &[("text", text("Bread")), ("rank", Value::Integer(9))]);
    answer.version = Some("v2".to_owned());
    probe.answer(acknowledged(answer)).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("Bread")));
    assert_eq!(value(&row, "rank"), Some(Value::Integer(9)));
    assert_eq!(value(&row, "n"), Some(Value::Integer(5)));
    assert_eq!(row.version.as_deref(), Some("v2"));
    assert_eq!(row.updated_at, Some(at("2024-01-01T00:00:00Z")), "absent in the answer");
}

pub(super) async fn f_03_delete_acknowledged<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let sent = probe.answer(acknowledged(None)).await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Delete, Some("v1")));
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn f_03_an_answer_without_row_keeps_the_row<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(acknowledged(None)).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("milk")));
    assert_eq!(row.version, None);
}

pub(super) async fn f_03_an_answer_marked_deleted_removes_the_row<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(acknowledged(deleted(server("a", "bread", "v2")))).await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn f_04_insert_edited_during_the_flight<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("b", "other")).await;
    probe.update(todo("a", "bread")).await;
    let mut answer = server("a", "Milk", "v1");
    answer.values[3] = Some(Value::Integer(7));
    let done = probe.settle(session, &sent.key, acknowledged(answer)).await;
    assert_eq!(done.remainders, 1);

    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE);
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    assert_eq!((operation.sent, operation.tail_seq), (None, None));
    assert_eq!(probe.queue().await, ["b", "a"], "the remainder takes the place of the edit");
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("bread")), "the app's edit");
    assert_eq!(value(&row, "n"), Some(Value::Integer(7)), "the server's value");
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!(content(&shadow), Some(text("Milk")));
    assert_eq!(shadow.version.as_deref(), Some("v1"));
    assert!(probe.take(session).await.is_empty(), "P-07: the edit came after the push began");

    let session = probe.begin_push().await;
    let rest: Vec<_> = probe.exchange(session, Vec::new(), Some(take(1))).await.taken;
    assert_eq!(requests(&rest), [(SentKind::Insert, "b")]);
    let rest = probe.take_one(session).await;
    assert_eq!((rest.sent, rest.base_version.as_deref()), (SentKind::Update, Some("v1")));
    assert_eq!(present(&rest.item), ["text"]);
}

pub(super) async fn f_04_update_edited_during_the_flight<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.update(part("a", &[("n", Value::Integer(5))])).await;
    // A partial answer: what it does not show is what was sent.
    let mut answer = part("a", &[("rank", Value::Integer(4))]);
    answer.version = Some("v2".to_owned());
    probe.settle(session, &sent.key, acknowledged(answer)).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE);
    assert_eq!(operation.base_version.as_deref(), Some("v2"));
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!(content(&shadow), Some(text("bread")));
    assert_eq!(value(&shadow, "rank"), Some(Value::Integer(4)));
    assert_eq!(value(&shadow, "n"), Some(Value::Null));
    let row = probe.row("a").await;
    assert_eq!(value(&row, "n"), Some(Value::Integer(5)));
    assert_eq!(value(&row, "rank"), Some(Value::Integer(4)));
    assert_eq!(row.version.as_deref(), Some("v2"));
    let (_, rest) = probe.send().await;
    assert_eq!(present(&rest.item), ["n"]);
}

pub(super) async fn f_04_an_answer_marked_deleted_keeps_an_edited_row<S: LocalStore>(probe: Probe<S>) {
    for (id, inserted) in [("a", true), ("b", false)] {
        if inserted {
            probe.insert(todo(id, "bread")).await;
        } else {
            probe.pulled(id, "milk", "v1").await;
            probe.update(todo(id, "bread")).await;
        }
        let (session, sent) = probe.send().await;
        probe.update(todo(id, "jam")).await;
        probe.settle(session, &sent.key, acknowledged(deleted(server(id, "bread", "v2")))).await;
        let row = probe.row(id).await;
        assert_eq!((content(&row), row.deleted), (Some(text("jam")), false), "the edit stays in sight");
        assert_eq!(probe.standing(id).await, PENDING_UPDATE);
        assert!(probe.shadow(id).await.expect("a shadow").deleted);

        // The server says that the row is gone, and the app decides (K-15).
        let (session, sent) = probe.send().await;
        assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Update, Some("v2")));
        probe.settle(session, &sent.key, gone(deleted(server(id, "bread", "v2")))).await;
        let key = probe.error(id).await.key;
        probe
            .store
            .resolve(key, crate::store::Resolution::KeepLocal, Resolver::App)
            .await
            .expect("a resolution");
        let (session, sent) = probe.send().await;
        assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
        probe.settle(session, &sent.key, acknowledged(server(id, "bread", "v3"))).await;
        let rest = probe.take_one(session).await;
        assert_eq!((rest.sent, present(&rest.item)), (SentKind::Update, vec!["text"]));
        probe.settle(session, &rest.key, acknowledged(server(id, "jam", "v4"))).await;
        probe.assert_clean(id).await;
    }
}

pub(super) async fn f_05_insert_deleted_during_the_flight<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let (session, sent) = probe.send().await;
    probe.delete("a").await;
    probe.settle(session, &sent.key, acknowledged(server("a", "milk", "v1"))).await;
    assert_eq!(probe.find("a").await, None, "the row stays absent");
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_DELETE);
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    let (_, rest) = probe.send().await;
    assert_eq!((rest.sent, rest.base_version.as_deref()), (SentKind::Delete, Some("v1")));
}

pub(super) async fn f_05_update_deleted_during_the_flight<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.delete("a").await;
    probe.settle(session, &sent.key, acknowledged(server("a", "bread", "v2"))).await;
    assert_eq!(probe.find("a").await, None);
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_DELETE);
    assert_eq!(operation.base_version.as_deref(), Some("v2"));
    assert_eq!(probe.shadow("a").await.expect("a shadow").version.as_deref(), Some("v2"));
}

pub(super) async fn f_06_delete_and_insert_during_the_flight<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    let answer = deleted(server("a", "milk", "v2"));
    let done = probe.settle(session, &sent.key, acknowledged(answer)).await;
    assert_eq!(done.remainders, 1);
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_INSERT);
    assert_eq!(operation.base_version.as_deref(), Some("v2"), "the version of the row to revive");
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    let (_, rest) = probe.send().await;
    assert_eq!((rest.sent, rest.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
}

pub(super) async fn w_09_an_undelete_is_followed_by_the_content<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(gone(deleted(server("a", "milk", "v2")))).await;
    let error = probe.error("a").await;
    probe
        .store
        .resolve(error.key, crate::store::Resolution::KeepLocal, Resolver::App)
        .await
        .expect("a resolution");
    let (session, undelete) = probe.send().await;
    assert_eq!((undelete.sent, undelete.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
    probe.settle(session, &undelete.key, acknowledged(server("a", "milk", "v3"))).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), PENDING_UPDATE);
    assert_eq!(operation.base_version.as_deref(), Some("v3"));
    assert_eq!(content(&probe.row("a").await), Some(text("bread")), "not the revived content");
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!((content(&shadow), shadow.deleted), (Some(text("milk")), false));

    let update = probe.take_one(session).await;
    assert_eq!((update.sent, update.base_version.as_deref()), (SentKind::Update, Some("v3")));
    assert_eq!(present(&update.item), ["text"]);
    probe.settle(session, &update.key, acknowledged(server("a", "bread", "v4"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn f_07_insert_refused_and_edited_meanwhile<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let (session, sent) = probe.send().await;
    probe.update(todo("a", "bread")).await;
    probe.settle(session, &sent.key, refused()).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), (Insert, Failed, No));
    assert_eq!((operation.sent, operation.tail_seq), (None, None));
    let error = probe.error("a").await;
    assert!(error.superseded);
    assert_eq!(error.key, operation.key);
    assert_eq!(error.local.as_ref().and_then(content), Some(text("milk")), "the row as it was sent");
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    let (_, again) = probe.send().await;
    assert_eq!(content(&again.item), Some(text("bread")));
    assert!(!again.uncertain);
}

pub(super) async fn f_07_insert_refused_and_deleted_meanwhile<S: LocalStore>(probe: Probe<S>) {
    for outcome in [refused(), conflict(server("a", "theirs", "v1"))] {
        probe.insert(todo("a", "milk")).await;
        let (session, sent) = probe.send().await;
        probe.delete("a").await;
        probe.settle(session, &sent.key, outcome).await;
        probe.assert_clean("a").await;
        assert_eq!(probe.find("a").await, None);
    }
}

pub(super) async fn f_07_update_refused_and_deleted_meanwhile<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("b", "other")).await;
    probe.delete("a").await;
    probe.settle(session, &sent.key, refused()).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), (Delete, Failed, No));
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    assert_eq!(probe.queue().await, ["b", "a"], "X-08");
    let error = probe.error("a").await;
    assert_eq!((error.kind, error.superseded), (Update, true));
}

pub(super) async fn f_07_delete_refused_and_inserted_meanwhile<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    probe.settle(session, &sent.key, refused()).await;
    let operation = probe.operation("a").await;
    assert_eq!(standing(&operation), (Update, Failed, No), "X-09: the server still has the row");
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    assert!(probe.error("a").await.superseded);
    let (_, again) = probe.send().await;
    assert_eq!((again.sent, again.base_version.as_deref()), (SentKind::Update, Some("v1")));
    assert_ne!(probe.operation("a").await.state, Pending);
}
