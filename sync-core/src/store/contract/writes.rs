//! Local writes of one row, reads, settings.

use super::probe::*;
use super::tables::{LIST, TODO};
use crate::error::ErrorKind;
use crate::operation::OperationKind;
use crate::predicate::{Comparison, Node, Predicate};
use crate::row::Row;
use crate::store::LocalChangeKind::{Delete, Insert, Update};
use crate::store::{LocalStore, Outcome};
use crate::value::Value;

pub(super) async fn d_03_d_05_ids_that_cannot_be_sent_are_refused<S: LocalStore>(probe: Probe<S>) {
    let long = "x".repeat(256);
    let wide = "\u{1F600}".repeat(128);
    for id in [
        "", ".", "..", "a\u{1}b", "a\nb", "\u{7f}", "a\u{9f}", "a\"", "+", "a?", "a\\b", "a/b", "`", &long,
        &wide,
    ] {
        probe.refuses(Insert(todo(id, "milk")), ErrorKind::InvalidId).await;
    }
    probe.refuses(Update(todo("", "milk")), ErrorKind::InvalidId).await;
    probe.refuses(Delete(String::new()), ErrorKind::InvalidId).await;
    assert_eq!(probe.operations().await, []);

    let longest = "x".repeat(255);
    for id in ["it's", "a b%#&=:;<>*@", "...", "é\u{1F600}", &longest] {
        probe.insert(todo(id, "milk")).await;
        assert_eq!(probe.row(id).await.id, id);
    }
}

pub(super) async fn v_04_values_that_cannot_be_sent_are_refused<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("kept", "milk")).await;
    for (column, value) in [
        ("text", Value::Null),
        ("text", Value::Integer(1)),
        ("rank", Value::Integer(128)),
        ("rank", Value::Integer(-129)),
        ("weight", Value::Real(f64::NAN)),
        ("weight", Value::Real(f64::INFINITY)),
        ("ratio", Value::Real(f64::NEG_INFINITY)),
        ("ratio", Value::Real(1e300)),
    ] {
        let refused = part("a", &[("text", text("milk")), (column, value.clone())]);
        probe.refuses(Insert(refused), ErrorKind::InvalidValue).await;
        probe.refuses(Update(part("kept", &[(column, value)])), ErrorKind::InvalidValue).await;
    }
    probe.refuses(Insert(part("a", &[])), ErrorKind::InvalidValue).await;
    assert_eq!(probe.queue().await, ["kept"]);
    assert_eq!(content(&probe.row("kept").await), Some(text("milk")));
    assert_eq!(probe.operation("kept").await.key.revision, 1);
}

pub(super) async fn i_2_a_group_of_changes_is_all_or_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("old", "milk", "v1").await;
    let before = probe.row("old").await;
    let group = vec![
        change(&TODO, Insert(todo("a", "milk"))),
        change(&LIST, Insert(row_of(&LIST, "l", &[("title", text("home"))]))),
        change(&TODO, Update(todo("old", "bread"))),
        change(&TODO, Delete("missing".to_owned())),
    ];
    let error = probe.try_write(group.clone()).await.expect_err("the last change is refused");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.table(), Some(TODO.name));
    assert_eq!(error.item(), Some("missing"));
    assert_eq!(probe.operations().await, []);
    assert_eq!(probe.find("a").await, None);
    assert_eq!(probe.row("old").await, before);
    assert_eq!(probe.shadow("old").await, None);

    probe.try_write(group[..3].to_vec()).await.expect("the group without the refused change");
    assert_eq!(probe.queue().await, ["a", "l", "old"]);
    assert_eq!(probe.store.pending(None).await.expect("a count"), 3);
    assert_eq!(probe.store.pending(Some(&TODO)).await.expect("a count"), 2);
    let of_list = probe.store.operations(Some(&LIST)).await.expect("a read");
    assert_eq!(of_list.len(), 1);
    assert_eq!(of_list[0].key.table, LIST.name);
}

pub(super) async fn x_01_insert_of_an_existing_row_is_refused<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("clean", "milk", "v1").await;
    probe.refuses(Insert(todo("clean", "bread")), ErrorKind::AlreadyExists).await;
    probe.assert_clean("clean").await;
    assert_eq!(content(&probe.row("clean").await), Some(text("milk")));

    probe.insert(todo("a", "milk")).await;
    probe.update(todo("clean", "jam")).await;
    let before = probe.operations().await;
    probe.refuses(Insert(todo("a", "bread")), ErrorKind::AlreadyExists).await;
    probe.refuses(Insert(todo("clean", "bread")), ErrorKind::AlreadyExists).await;
    assert_eq!(probe.operations().await, before);
    assert_eq!(content(&probe.row("a").await), Some(text("milk")));
}

pub(super) async fn x_13_change_of_a_missing_row_is_refused<S: LocalStore>(probe: Probe<S>) {
    probe.refuses(Update(todo("a", "milk")), ErrorKind::NotFound).await;
    probe.refuses(Delete("a".to_owned()), ErrorKind::NotFound).await;
    assert_eq!(probe.operations().await, []);
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn r_4_an_update_of_nothing_queues_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "milk")).await;
    probe.update(part("a", &[])).await;
    probe.assert_clean("a").await;

    probe.update(todo("a", "bread")).await;
    let before = probe.operation("a").await;
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.operation("a").await, before, "not even a revision");
}

pub(super) async fn r_4_local_only_columns_queue_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("note", text("mine"))])).await;
    probe.assert_clean("a").await;
    assert_eq!(value(&probe.row("a").await, "note"), Some(text("mine")));

    probe.update(part("a", &[("note", text("more")), ("text", text("bread"))])).await;
    assert_eq!(probe.standing("a").await, PENDING_UPDATE);
    assert_eq!(value(&probe.row("a").await, "note"), Some(text("more")));
}

pub(super) async fn k_17_a_carried_version_is_the_base<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v2").await;
    let stale = Row { version: Some("v1".to_owned()), ..todo("a", "bread") };
    probe.update(stale).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v1"));
    assert_eq!(probe.row("a").await.version.as_deref(), Some("v2"), "the row keeps the server's version");
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!(shadow.version.as_deref(), Some("v2"));
    assert_eq!(content(&shadow), Some(text("milk")));

    let again = Row { version: Some("v0".to_owned()), ..todo("a", "jam") };
    probe.update(again).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v1"), "X-07: the first base stays");

    probe.pulled("b", "milk", "v1").await;
    probe.update(Row { version: Some("v1".to_owned()), ..todo("b", "bread") }).await;
    assert_eq!(probe.operation("b").await.base_version.as_deref(), Some("v1"));
    probe.pulled("c", "milk", "v1").await;
    probe.update(todo("c", "bread")).await;
    assert_eq!(probe.operation("c").await.base_version.as_deref(), Some("v1"));
}

pub(super) async fn k_17_a_stale_object_over_a_pending_change_is_judged_by_its_version<S: LocalStore>(
    probe: Probe<S>,
) {
    let save = |id: &str, version: &str| Row { version: Some(version.to_owned()), ..todo(id, "mine") };
    let base = async |id: &str| probe.operation(id).await.base_version;
    // Read in v1, saved over a change made on v2.
    probe.pulled("a", "milk", "v2").await;
    probe.update(part("a", &[("n", Value::Integer(1))])).await;
    assert_eq!(base("a").await.as_deref(), Some("v2"));
    let before = probe.operation("a").await.key;
    probe.update(save("a", "v1")).await;
    assert_eq!(base("a").await.as_deref(), Some("v1"), "what was done in v2 was not seen");
    let after = probe.operation("a").await;
    assert_eq!((standing(&after), after.key.revision), (PENDING_UPDATE, before.revision + 1));
    assert_eq!(after.key.seq, before.seq, "X-07: the place stays");
    assert_eq!(probe.row("a").await.version.as_deref(), Some("v2"));
    let (session, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v1"));

    // What is under way has its base; and the object of the row's own version is not stale.
    probe.update(save("a", "v0")).await;
    assert_eq!(base("a").await.as_deref(), Some("v1"));
    probe.settle(session, &sent.key, Outcome::Unsent).await;
    probe.pulled("b", "milk", "v2").await;
    probe.update(part("b", &[("n", Value::Integer(1))])).await;
    probe.update(save("b", "v2")).await;
    assert_eq!(base("b").await.as_deref(), Some("v2"));

    // Nor is one from before a push of ours.
    probe.pulled("c", "milk", "v1").await;
    probe.update(todo("c", "bread")).await;
    let session = probe.begin_push().await;
    for sent in probe.take(session).await {
        let is_c = sent.key.item_id == "c";
        let outcome = if is_c { acknowledged(server("c", "bread", "v2")) } else { Outcome::Unsent };
        probe.settle(session, &sent.key, outcome).await;
    }
    probe.update(part("c", &[("n", Value::Integer(1))])).await;
    probe.update(save("c", "v1")).await;
    assert_eq!(base("c").await.as_deref(), Some("v2"));
}

pub(super) async fn k_17_a_version_that_only_we_moved_is_not_stale<S: LocalStore>(probe: Probe<S>) {
    let save = |version: &str, content: &str| Row { version: Some(version.to_owned()), ..todo("a", content) };
    probe.pulled("a", "milk", "v1").await;
    for (content, version) in [("bread", "v2"), ("jam", "v3")] {
        probe.update(todo("a", content)).await;
        probe.answer(acknowledged(server("a", content, version))).await;
    }
    // The object in the app's hands is from before both pushes.
    probe.update(save("v1", "tea")).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v3"));
    probe.answer(acknowledged(server("a", "tea", "v4"))).await;
    probe.update(save("v0", "rum")).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v0"), "never ours");
    probe.answer(refused()).await;
    let key = probe.error("a").await.key;
    probe
        .store
        .resolve(key, crate::store::Resolution::TakeRemote, crate::store::Resolver::App)
        .await
        .expect("a resolution");

    // Somebody else's change between: the object is stale.
    probe.pull(&format!("[{}]", json("a", "theirs", "v5"))).await;
    probe.update(save("v3", "mine")).await;
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v3"));
    probe.answer(acknowledged(server("a", "mine", "v6"))).await;

    // And so it is where our next push stands on theirs.
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("b", "bread")).await;
    probe.answer(acknowledged(server("b", "bread", "v2"))).await;
    probe.pull(&format!("[{}]", json("b", "theirs", "v3"))).await;
    probe.update(todo("b", "jam")).await;
    probe.answer(acknowledged(server("b", "jam", "v4"))).await;
    for (carried, base) in [("v1", "v1"), ("v2", "v2"), ("v3", "v4")] {
        probe.update(Row { version: Some(carried.to_owned()), ..todo("b", "tea") }).await;
        assert_eq!(probe.operation("b").await.base_version.as_deref(), Some(base), "carried {carried}");
        probe.answer(refused()).await;
        let key = probe.error("b").await.key;
        probe
            .store
            .resolve(key, crate::store::Resolution::TakeRemote, crate::store::Resolver::App)
            .await
            .expect("a resolution");
    }
}

pub(super) async fn k_18_system_columns_are_the_servers<S: LocalStore>(probe: Probe<S>) {
    probe.insert(Row { version: Some("mine".to_owned()), ..todo("a", "milk") }).await;
    let row = probe.row("a").await;
    assert_eq!((row.version, row.updated_at, row.deleted), (None, None, false));
    assert_eq!(probe.operation("a").await.base_version, None);
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
}

pub(super) async fn insert_fills_defaults<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let row = probe.row("a").await;
    assert_eq!(value(&row, "complete"), Some(Value::Bool(false)));
    assert_eq!(value(&row, "rank"), Some(Value::Integer(3)));
    for column in ["n", "when", "ratio", "weight", "owner", "note"] {
        assert_eq!(value(&row, column), Some(Value::Null), "{column}");
    }
}

pub(super) async fn first_change_keeps_the_servers_row<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("a", "bread")).await;
    probe.update(todo("a", "jam")).await;
    probe.delete("b").await;
    for id in ["a", "b"] {
        let shadow = probe.shadow(id).await.expect("a shadow");
        assert_eq!(shadow.id, id);
        assert_eq!(content(&shadow), Some(text("milk")));
        assert_eq!(shadow.version.as_deref(), Some("v1"));
        assert_eq!(shadow.updated_at, Some(at("2024-01-01T00:00:00Z")));
        assert!(!shadow.deleted);
    }
    assert_eq!(probe.find("b").await, None);
    assert_eq!(probe.operation("b").await.kind, OperationKind::Delete);
    assert_eq!(probe.operation("b").await.base_version.as_deref(), Some("v1"));
    probe.insert(todo("c", "milk")).await;
    assert_eq!(probe.shadow("c").await, None);
}

pub(super) async fn select_gives_matching_rows_by_id<S: LocalStore>(probe: Probe<S>) {
    for (id, content) in [("c", "milk"), ("a", "milk"), ("b", "bread")] {
        probe.insert(todo(id, content)).await;
    }
    let ids = async |predicate| -> Vec<String> {
        let rows = probe.store.select(predicate).await.expect("a read");
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(Predicate::all(&TODO)).await, ["a", "b", "c"]);
    let milk = Node::compare(&TODO.columns[0], Comparison::Eq, text("milk"));
    assert_eq!(ids(Predicate { table: &TODO, node: milk }).await, ["a", "c"]);
    assert_eq!(ids(Predicate::all(&LIST)).await, Vec::<String>::new());
}

pub(super) async fn values_of_every_type_come_back<S: LocalStore>(probe: Probe<S>) {
    let owner = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let values = [
        ("text", text("it's \"quoted\" \\ \u{1F600} \n line")),
        ("complete", Value::Bool(true)),
        ("rank", Value::Integer(-128)),
        ("n", Value::Integer(i64::MAX)),
        ("when", Value::DateTime(at("1969-07-20T20:17:40.123456789Z"))),
        ("ratio", Value::Real(f64::from(0.1_f32))),
        ("weight", Value::Real(-0.1e-300)),
        ("owner", Value::Uuid(owner)),
        ("note", text("")),
    ];
    probe.insert(part("a", &values)).await;
    let row = probe.row("a").await;
    for (column, expected) in &values {
        assert_eq!(value(&row, column).as_ref(), Some(expected), "{column}");
    }
    // The same through the queue: what is sent, kept, and sent again after an unknown outcome.
    let (session, first) = probe.send().await;
    probe.settle(session, &first.key, crate::store::Outcome::Uncertain(None)).await;
    let (_, again) = probe.send().await;
    for (column, expected) in values.iter().filter(|(column, _)| *column != "note") {
        assert_eq!(value(&first.item, column).as_ref(), Some(expected), "{column} as sent");
        assert_eq!(value(&again.item, column).as_ref(), Some(expected), "{column} as sent again");
    }
}

pub(super) async fn settings_are_kept<S: LocalStore>(probe: Probe<S>) {
    let store = &probe.store;
    assert_eq!(store.setting("dialect").await.expect("a read"), None);
    store.set_setting("dialect", Some("v2")).await.expect("a write");
    store.set_setting("other", Some("")).await.expect("a write");
    assert_eq!(store.setting("dialect").await.expect("a read").as_deref(), Some("v2"));
    store.set_setting("dialect", Some("v3")).await.expect("a write");
    assert_eq!(store.setting("dialect").await.expect("a read").as_deref(), Some("v3"));
    store.set_setting("dialect", None).await.expect("a write");
    store.set_setting("never", None).await.expect("a write");
    assert_eq!(store.setting("dialect").await.expect("a read"), None);
    assert_eq!(store.setting("other").await.expect("a read").as_deref(), Some(""));
}
