//! Storing pages, tokens, quarantine.

use super::probe::*;
use super::tables::{LIST, TODO};
use crate::error::ErrorKind;
use crate::operation::OperationKind;
use crate::predicate::{Comparison, Node, Predicate};
use crate::store::LocalChangeKind;
use crate::store::{
    Applied, DeltaToken, LocalStore, Page, PullBatch, PullEnd, PullStart, QueryKey, Resolution, Resolver,
};
use crate::value::Value;

/// A row whose `rank` is no number.
fn faulty(id: &str, version: &str) -> String {
    json(id, "milk", version).replace("\"rank\":3", "\"rank\":\"many\"")
}

pub(super) async fn l_40_rows_are_added_changed_unchanged_and_removed<S: LocalStore>(probe: Probe<S>) {
    let body =
        format!("[{},{},{}]", json("a", "milk", "v1"), json("b", "milk", "v1"), json("c", "milk", "v1"));
    assert_eq!(probe.pull(&body).await, Applied { added: 3, ..Applied::default() });
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("milk")), Some("v1")));
    assert_eq!(row.updated_at, Some(at("2024-01-01T00:00:00Z")));
    assert_eq!((row.deleted, value(&row, "n")), (false, Some(Value::Null)));
    assert_eq!(probe.operations().await, [], "a pull queues nothing");

    // L-20: the same version again is not even looked into.
    let body =
        format!("[{},{},{}]", json("a", "other", "v1"), json("b", "bread", "v2"), tombstone("c", "v2"));
    let applied = probe.pull(&body).await;
    assert_eq!(applied, Applied { unchanged: 1, changed: 1, removed: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("milk")));
    let row = probe.row("b").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("bread")), Some("v2")));
    assert_eq!(probe.find("c").await, None);

    let applied = probe.pull(&format!("[{}]", tombstone("unknown", "v1"))).await;
    assert_eq!((applied.added, applied.removed), (0, 0));
    assert_eq!(probe.find("unknown").await, None);
    assert_eq!(probe.operations().await, []);
}

pub(super) async fn l_14_a_row_with_an_operation_goes_to_the_shadow<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.insert(todo("b", "mine")).await;
    let before = (probe.row("a").await, probe.row("b").await, probe.operations().await);
    let body = format!("[{},{}]", json("a", "theirs", "v2"), json("b", "theirs", "v1"));
    assert_eq!(probe.pull(&body).await, Applied { kept_local: 2, ..Applied::default() });
    assert_eq!((probe.row("a").await, probe.row("b").await, probe.operations().await), before);
    for (id, version) in [("a", "v2"), ("b", "v1")] {
        let shadow = probe.shadow(id).await.expect("a shadow");
        assert_eq!((content(&shadow), shadow.version.as_deref()), (Some(text("theirs")), Some(version)));
    }
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v1"), "the base of the edit");
}

pub(super) async fn l_15_a_deleted_row_with_an_operation_marks_the_shadow<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let applied = probe.pull(&format!("[{}]", tombstone("a", "v2"))).await;
    assert_eq!((applied.kept_local, applied.removed), (1, 0));
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!((shadow.deleted, shadow.version.as_deref()), (true, Some("v2")));
    let (_, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v1"));
}

pub(super) async fn l_11_a_queued_delete_is_not_undone_by_a_pull<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let applied = probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    assert_eq!(probe.find("a").await, None);
    assert_eq!(probe.operation("a").await.kind, OperationKind::Delete);
    assert_eq!(probe.shadow("a").await.as_ref().and_then(content), Some(text("theirs")));
}

pub(super) async fn l_19_absent_is_unchanged_and_null_is_null<S: LocalStore>(probe: Probe<S>) {
    let body =
        json("a", "milk", "v1").replace("\"n\":null", "\"n\":5").replace("\"weight\":null", "\"weight\":1.5");
    probe.pull(&format!("[{body}]")).await;
    let body = "[{\"id\":\"a\",\"weight\":null,\"version\":\"v2\"}]";
    assert_eq!(probe.pull(body).await.changed, 1);
    let row = probe.row("a").await;
    assert_eq!(content(&row), Some(text("milk")));
    assert_eq!(value(&row, "n"), Some(Value::Integer(5)));
    assert_eq!(value(&row, "weight"), Some(Value::Null));
    assert_eq!(row.updated_at, Some(at("2024-01-01T00:00:00Z")));

    let body = "[{\"id\":\"b\",\"text\":\"milk\",\"version\":\"v1\"}]";
    assert_eq!(probe.pull(body).await.added, 1);
    let row = probe.row("b").await;
    assert_eq!(value(&row, "rank"), Some(Value::Integer(3)), "the column's default");
    assert_eq!(value(&row, "n"), Some(Value::Null));

    probe.update(todo("a", "bread")).await;
    probe.pull("[{\"id\":\"a\",\"rank\":7,\"version\":\"v3\"}]").await;
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!(value(&shadow, "rank"), Some(Value::Integer(7)));
    assert_eq!(content(&shadow), Some(text("milk")));
    assert_eq!(value(&shadow, "n"), Some(Value::Integer(5)));
}

pub(super) async fn l_18_unknown_members_are_kept<S: LocalStore>(probe: Probe<S>) {
    let body = json("a", "milk", "v1").replace("\"text\"", "\"color\":{\"deep\":[1.50]},\"text\"");
    probe.pull(&format!("[{body}]")).await;
    let extra = Some("{\"color\":{\"deep\":[1.50]}}");
    assert_eq!(probe.row("a").await.extra.as_deref(), extra);
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.row("a").await.extra.as_deref(), extra);
    let (session, sent) = probe.send().await;
    probe.settle(session, &sent.key, acknowledged(server("a", "bread", "v2"))).await;
    assert_eq!(probe.row("a").await.extra.as_deref(), extra, "absent in the answer");
    let body = json("a", "jam", "v3").replace("\"text\"", "\"color\":null,\"text\"");
    probe.pull(&format!("[{body}]")).await;
    assert_eq!(probe.row("a").await.extra.as_deref(), Some("{\"color\":null}"));
}

/// Two servers behind one address may disagree about the time.
pub(super) async fn l_21_the_later_answer_is_the_newer_one_whatever_its_time<S: LocalStore>(probe: Probe<S>) {
    let early = "2023-12-31T23:59:00.000Z";
    let with_time = |id: &str, content: &str, version: &str| {
        json(id, content, version)
            .replace("\"updatedAt\":\"2024-01-01T00:00:00.000Z\"", &format!("\"updatedAt\":\"{early}\""))
    };
    for id in ["clean", "dirty", "deleted"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("dirty", "mine")).await;
    let gone = with_time("deleted", "milk", "v2").replace("\"deleted\":false", "\"deleted\":true");
    let body =
        format!("[{},{},{gone}]", with_time("clean", "bread", "v2"), with_time("dirty", "bread", "v2"));
    let applied = probe.pull(&body).await;
    assert_eq!(applied, Applied { changed: 1, kept_local: 1, removed: 1, ..Applied::default() });
    let row = probe.row("clean").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("bread")), Some("v2")));
    assert_eq!(row.updated_at, Some(at(early)), "as the server says");
    let shadow = probe.shadow("dirty").await.expect("a shadow");
    assert_eq!((content(&shadow), shadow.version.as_deref()), (Some(text("bread")), Some("v2")));
    assert_eq!(probe.find("deleted").await, None);
}

pub(super) async fn l_22_local_only_columns_are_kept<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("note", text("mine"))])).await;
    let body = json("a", "bread", "v2").replace("\"text\"", "\"note\":\"theirs\",\"text\"");
    assert_eq!(probe.pull(&format!("[{body}]")).await.changed, 1);
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "note")), (Some(text("bread")), Some(text("mine"))));
}

pub(super) async fn l_17_rows_without_id_are_ignored<S: LocalStore>(probe: Probe<S>) {
    let body =
        format!("[{{\"text\":\"milk\"}},{{\"id\":null,\"text\":\"milk\"}},{}]", json("a", "milk", "v1"));
    assert_eq!(probe.pull(&body).await, Applied { added: 1, ignored: 2, ..Applied::default() });
    assert_eq!(probe.store.select(Predicate::all(&TODO)).await.expect("a read").len(), 1);
}

pub(super) async fn l_11_rows_are_applied_in_page_order<S: LocalStore>(probe: Probe<S>) {
    let body = format!(
        "[{},{},{},{}]",
        json("a", "milk", "v1"),
        json("a", "bread", "v2"),
        tombstone("a", "v3"),
        json("a", "jam", "v4")
    );
    let applied = probe.pull(&body).await;
    assert_eq!(applied, Applied { added: 2, changed: 1, removed: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("jam")));
}

pub(super) async fn l_24_rows_that_do_not_fit_wait_in_quarantine<S: LocalStore>(probe: Probe<S>) {
    let rows = [
        faulty("a", "v1"),
        json("b", "milk", "v1").replace("\"text\":\"milk\"", "\"text\":null"),
        json("c", "milk", "v1").replace("\"rank\":3", "\"rank\":128"),
        json("d", "milk", "v1").replace("\"owner\":null", "\"owner\":\"nobody\""),
        "{\"id\":\"e\",\"version\":\"v1\"}".to_owned(),
        json("f", "milk", "v1"),
    ];
    let applied = probe.pull(&format!("[{}]", rows.join(","))).await;
    assert_eq!(applied, Applied { added: 1, quarantined: 5, ..Applied::default() });
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(probe.find(id).await, None, "{id}");
    }
    assert_eq!(content(&probe.row("f").await), Some(text("milk")));

    // A known row stays as it is, and a row with an operation as well.
    probe.pulled("g", "milk", "v1").await;
    probe.pulled("h", "milk", "v1").await;
    probe.update(todo("h", "bread")).await;
    let shadow = probe.shadow("h").await;
    let applied = probe.pull(&format!("[{},{}]", faulty("g", "v2"), faulty("h", "v2"))).await;
    assert_eq!(applied, Applied { quarantined: 2, ..Applied::default() });
    assert_eq!(probe.row("g").await.version.as_deref(), Some("v1"));
    assert_eq!(probe.shadow("h").await, shadow);
    // A tombstone needs no values.
    let body = faulty("g", "v3").replace("\"deleted\":false", "\"deleted\":true");
    assert_eq!(probe.pull(&format!("[{body}]")).await.removed, 1);
}

pub(super) async fn l_24_quarantined_rows_are_tried_again<S: LocalStore>(probe: Probe<S>) {
    // Not storable as a new row, since `text` has no default; storable once the row exists.
    let body = "[{\"id\":\"a\",\"rank\":7,\"version\":\"v1\"}]";
    assert_eq!(probe.pull(body).await.quarantined, 1);
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    assert_eq!(probe.find("a").await, None);
    probe.insert(todo("a", "milk")).await;
    assert_eq!(probe.shadow("a").await, None);
    probe.store.begin_pull(scope(&LIST, None)).await.expect("a pull starts");
    assert_eq!(probe.shadow("a").await, None, "only rows of the pulled table");
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    let shadow = probe.shadow("a").await.expect("a shadow");
    assert_eq!((value(&shadow, "rank"), shadow.version.as_deref()), (Some(Value::Integer(7)), Some("v1")));
}

pub(super) async fn s_15_the_end_of_a_pull_tries_what_waits_once_more<S: LocalStore>(probe: Probe<S>) {
    let body = "[{\"id\":\"a\",\"rank\":7,\"version\":\"v1\"},{\"id\":\"b\",\"rank\":7,\"version\":\"v1\"}]";
    assert_eq!(probe.pull(body).await.quarantined, 2);
    probe.insert(todo("a", "milk")).await;
    let end = PullEnd { scope: scope(&TODO, None), server_date: None, mirror: None, refilled: false };
    let applied = probe.store.finish_pull(end).await.expect("a pull ends");
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() }, "what waits on is not counted");
    assert_eq!(probe.shadow("a").await.and_then(|shadow| value(&shadow, "rank")), Some(Value::Integer(7)));
    let waiting = probe.store.quarantine(None).await.expect("a read");
    assert_eq!(waiting.iter().map(|row| row.item_id.as_str()).collect::<Vec<_>>(), ["b"]);
}

pub(super) async fn l_24_a_newer_row_replaces_a_quarantined_one<S: LocalStore>(probe: Probe<S>) {
    let body = "[{\"id\":\"a\",\"rank\":7,\"version\":\"v1\"},{\"id\":\"b\",\"rank\":7,\"version\":\"v1\"}]";
    assert_eq!(probe.pull(body).await.quarantined, 2);
    let body = format!("[{},{}]", json("a", "milk", "v2"), tombstone("b", "v2"));
    assert_eq!(probe.pull(&body).await.added, 1);
    probe.insert(todo("b", "mine")).await;
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    let row = probe.row("a").await;
    assert_eq!((row.version.as_deref(), value(&row, "rank")), (Some("v2"), Some(Value::Integer(3))));
    assert_eq!(probe.shadow("b").await, None);
}

pub(super) async fn l_24_an_answer_is_newer_than_a_quarantined_row<S: LocalStore>(probe: Probe<S>) {
    let body = "[{\"id\":\"a\",\"rank\":7,\"version\":\"v1\"},{\"id\":\"b\",\"rank\":7,\"version\":\"v1\"}]";
    assert_eq!(probe.pull(body).await.quarantined, 2);
    probe.insert(todo("a", "mine")).await;
    probe.answer(acknowledged(server("a", "mine", "v2"))).await;
    probe.insert(todo("b", "mine")).await;
    probe.answer(conflict(server("b", "theirs", "v2"))).await;
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    let row = probe.row("a").await;
    assert_eq!((row.version.as_deref(), value(&row, "rank")), (Some("v2"), Some(Value::Integer(3))));
    let copy = probe.shadow("b").await.expect("a copy");
    assert_eq!((copy.version.as_deref(), value(&copy, "rank")), (Some("v2"), Some(Value::Integer(3))));
}

/// The answer lacks the very value that keeps the row waiting.
pub(super) async fn l_24_a_conflict_with_a_quarantined_version_keeps_it<S: LocalStore>(probe: Probe<S>) {
    probe.pull(&format!("[{}]", json("a", "milk", "v1"))).await;
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.pull(&format!("[{}]", faulty("a", "v2"))).await.quarantined, 1);
    let mut remote = server("a", "milk", "v2");
    remote.values[TODO.column_index("rank").expect("a column")] = None;
    probe.answer(conflict(remote)).await;
    let waiting = async || probe.store.quarantine(None).await.expect("a read").len();
    assert_eq!(waiting().await, 1, "what version 2 holds is not all known");
    let key = probe.operation("a").await.key;
    probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a decision");
    assert_eq!(probe.row("a").await.version.as_deref(), Some("v2"));
    assert_eq!(waiting().await, 1);
    // A later version is all there is to know.
    probe.pull(&format!("[{}]", json("a", "jam", "v3"))).await;
    assert_eq!((waiting().await, value(&probe.row("a").await, "text")), (0, Some(text("jam"))));
}

pub(super) async fn l_24_the_quarantine_is_listed<S: LocalStore>(probe: Probe<S>) {
    let listed = async |table| probe.store.quarantine(table).await.expect("a read");
    assert_eq!(listed(None).await, []);
    let page = format!("[{}]", faulty("a", "v1"));
    probe.apply(PullBatch { query: Some(query("q")), ..batch(&TODO, &[&page]) }).await;
    probe.apply(batch(&LIST, &["[{\"id\":\"l\",\"title\":null,\"version\":\"v1\"}]"])).await;
    let waiting = listed(None).await;
    let places: Vec<_> =
        waiting.iter().map(|row| (row.table, row.item_id.as_str(), row.query_id.as_deref())).collect();
    assert_eq!(places, [(LIST.name, "l", None), (TODO.name, "a", Some("q"))]);
    assert!(waiting[1].reason.contains("rank") && !waiting[1].reason.contains("many"), "{waiting:?}");
    assert_eq!(listed(Some(&TODO)).await, waiting[1..]);
    // Another pull that brings it again does not take its query id away.
    probe.pull(&page).await;
    assert_eq!(listed(Some(&TODO)).await, waiting[1..]);
    probe.pull(&format!("[{}]", json("a", "milk", "v2"))).await;
    assert_eq!(listed(Some(&TODO)).await, []);
}

pub(super) async fn v_13_exact_conversions_are_accepted<S: LocalStore>(probe: Probe<S>) {
    let body = "[{\"id\":7,\"text\":42,\"complete\":1,\"rank\":\"5\",\"n\":9223372036854775807,\
                \"when\":\"2024-01-02T05:04:05.1234567+02:00\",\"ratio\":\"0.5\",\"weight\":3,\
                \"owner\":\"01234567-89AB-CDEF-0123-456789ABCDEF\",\"version\":1}]";
    assert_eq!(probe.pull(body).await.added, 1);
    let row = probe.row("7").await;
    let owner = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    for (column, expected) in [
        ("text", text("42")),
        ("complete", Value::Bool(true)),
        ("rank", Value::Integer(5)),
        ("n", Value::Integer(i64::MAX)),
        ("when", Value::DateTime(at("2024-01-02T03:04:05.1234567Z"))),
        ("ratio", Value::Real(0.5)),
        ("weight", Value::Real(3.0)),
        ("owner", Value::Uuid(owner)),
    ] {
        assert_eq!(value(&row, column), Some(expected), "{column}");
    }
    assert_eq!(row.version.as_deref(), Some("1"));
}

pub(super) async fn keep_deleted_tables_mark_rows<S: LocalStore>(probe: Probe<S>) {
    let list = |version: &str, deleted: bool| {
        format!("[{{\"id\":\"l\",\"title\":\"home\",\"version\":\"{version}\",\"deleted\":{deleted}}}]")
    };
    let get = async || probe.store.get(&LIST, "l").await.expect("a read");
    probe.apply(batch(&LIST, &[&list("v0", true)])).await;
    assert_eq!(get().await, None, "a deleted row that was never here");
    probe.apply(batch(&LIST, &[&list("v1", false)])).await;
    assert_eq!(probe.apply(batch(&LIST, &[&list("v2", true)])).await.removed, 1);
    let row = get().await.expect("the row is kept");
    assert_eq!((row.deleted, row.version.as_deref()), (true, Some("v2")));
    assert_eq!(probe.apply(batch(&LIST, &[&list("v2", true)])).await.removed, 0);
    assert_eq!(probe.apply(batch(&LIST, &[&list("v3", false)])).await.changed, 1);
    assert!(!get().await.expect("the row is kept").deleted);
}

pub(super) async fn r_13_rows_outside_the_local_rest_are_not_added<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("clean", "milk", "v1").await;
    probe.pulled("dirty", "milk", "v1").await;
    probe.pulled("gone", "milk", "v1").await;
    probe.update(todo("dirty", "mine")).await;
    let body = format!(
        "[{},{},{},{},{}]",
        json("clean", "bread", "v2"),
        json("dirty", "bread", "v2"),
        json("new", "bread", "v1"),
        json("wanted", "milk", "v1"),
        tombstone("gone", "v2"),
    );
    let node = Node::compare(&TODO.columns[0], Comparison::Eq, text("milk"));
    let rest = Predicate { table: &TODO, node };
    let applied = probe.apply(PullBatch { local_rest: Some(rest), ..batch(&TODO, &[&body]) }).await;
    let expected =
        Applied { added: 1, changed: 1, kept_local: 1, filtered: 1, removed: 1, ..Applied::default() };
    assert_eq!(applied, expected);
    assert_eq!(content(&probe.row("clean").await), Some(text("bread")));
    assert_eq!(probe.find("new").await, None);
    assert_eq!(probe.shadow("dirty").await.as_ref().and_then(content), Some(text("bread")));
    assert_eq!(probe.find("gone").await, None);
}

async fn start<S: LocalStore>(probe: &Probe<S>, query: QueryKey) -> PullStart {
    probe.store.begin_pull(scope(&TODO, Some(query))).await.expect("a pull starts")
}

async fn advance<S: LocalStore>(probe: &Probe<S>, query: QueryKey, token: DeltaToken) {
    probe.apply(PullBatch { query: Some(query), token: Some(token), ..batch(&TODO, &[]) }).await;
}

pub(super) async fn t_03_the_token_does_not_go_back<S: LocalStore>(probe: Probe<S>) {
    assert_eq!(start(&probe, query("q")).await, PullStart::default());
    let later =
        DeltaToken { instant: at("2024-05-01T00:00:00.123Z"), server_date: Some(at("2024-05-02T00:00:00Z")) };
    advance(&probe, query("q"), later.clone()).await;
    assert_eq!(
        start(&probe, query("q")).await,
        PullStart { token: Some(later.clone()), ..PullStart::default() }
    );
    advance(&probe, query("q"), DeltaToken { instant: at("2024-04-01T00:00:00Z"), ..later.clone() }).await;
    assert_eq!(start(&probe, query("q")).await.token, Some(later.clone()));
    let latest = DeltaToken { instant: at("2024-06-01T00:00:00Z"), ..later };
    advance(&probe, query("q"), latest.clone()).await;
    assert_eq!(start(&probe, query("q")).await.token, Some(latest));
    assert_eq!(
        probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts"),
        PullStart::default()
    );
}

pub(super) async fn t_07_a_pull_without_token_leaves_none<S: LocalStore>(probe: Probe<S>) {
    start(&probe, query("q")).await;
    let body = format!("[{}]", json("a", "milk", "v1"));
    probe.apply(PullBatch { query: Some(query("q")), ..batch(&TODO, &["[]", &body]) }).await;
    assert_eq!(start(&probe, query("q")).await.token, None);
}

pub(super) async fn t_08_rows_kept_beside_count_for_the_token<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("dirty", "mine")).await;
    let body = format!("[{},{}]", json("dirty", "theirs", "v1"), faulty("bad", "v1"));
    let reached = token("2024-05-01T00:00:00Z");
    let page = PullBatch { query: Some(query("q")), token: Some(reached.clone()), ..batch(&TODO, &[&body]) };
    let applied = probe.apply(page).await;
    assert_eq!((applied.kept_local, applied.quarantined, applied.added), (1, 1, 0));
    // Neither is a row here, and neither is lost: so the token may pass them (I-4).
    assert_eq!(start(&probe, query("q")).await.token, Some(reached));
    assert_eq!(probe.shadow("dirty").await.as_ref().and_then(content), Some(text("theirs")));
    let waiting = probe.store.quarantine(Some(&TODO)).await.expect("a read");
    assert_eq!(waiting.iter().map(|row| row.item_id.as_str()).collect::<Vec<_>>(), ["bad"]);
}

pub(super) async fn d_07_ids_are_exact<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "mine")).await;
    let body = format!("[{},{}]", json("A", "theirs", "v1"), json("\u{e4}", "theirs", "v1"));
    assert_eq!(probe.pull(&body).await, Applied { added: 2, ..Applied::default() });
    probe.insert(todo("\u{c4}", "mine")).await;
    assert_eq!(content(&probe.row("a").await), Some(text("mine")));
    assert_eq!(content(&probe.row("A").await), Some(text("theirs")));
    assert_eq!(probe.queue().await, ["a", "\u{c4}"]);
    probe.delete("A").await;
    assert!(probe.find("a").await.is_some());
    let applied = probe.pull(&format!("[{}]", tombstone("\u{e4}", "v2"))).await;
    assert_eq!((applied.removed, applied.kept_local), (1, 0));
    assert!(probe.find("\u{c4}").await.is_some());
}

pub(super) async fn t_09_query_ids_are_independent<S: LocalStore>(probe: Probe<S>) {
    let (first, second) = (token("2024-01-01T00:00:00Z"), token("2024-02-01T00:00:00Z"));
    advance(&probe, query("a"), first.clone()).await;
    advance(&probe, query("a_b|c"), second.clone()).await;
    assert_eq!(start(&probe, query("a")).await.token, Some(first));
    assert_eq!(start(&probe, query("a_b|c")).await.token, Some(second));
    assert_eq!(start(&probe, query("A")).await.token, None);
    let of_list = probe.store.begin_pull(scope(&LIST, Some(query("a")))).await.expect("a pull starts");
    assert_eq!(of_list.token, None);
}

pub(super) async fn t_06_a_token_can_be_reset<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("row", "milk", "v1").await;
    for id in ["a", "b", "c"] {
        advance(&probe, query(id), token("2024-01-01T00:00:00Z")).await;
    }
    probe.store.reset_token(&TODO, Some("a")).await.expect("a reset");
    probe.store.reset_token(&TODO, Some("unknown")).await.expect("a reset of nothing");
    assert_eq!(start(&probe, query("a")).await.token, None);
    assert!(start(&probe, query("b")).await.token.is_some());
    probe.store.reset_token(&LIST, None).await.expect("a reset");
    assert!(start(&probe, query("b")).await.token.is_some());
    probe.store.reset_token(&TODO, None).await.expect("a reset");
    assert_eq!(start(&probe, query("b")).await.token, None);
    assert_eq!(start(&probe, query("c")).await.token, None);
    assert!(probe.find("row").await.is_some(), "rows stay");
}

pub(super) async fn l_08_another_query_restarts<S: LocalStore>(probe: Probe<S>) {
    advance(&probe, query("q"), token("2024-05-01T00:00:00Z")).await;
    advance(&probe, query("other"), token("2024-05-01T00:00:00Z")).await;
    let changed = QueryKey { fingerprint: "2".to_owned(), ..query("q") };
    // R12: rows of the query are here, and which of them left nobody looked for.
    let dropped = PullStart { feed: Some(at("1970-01-01T00:00:00Z")), ..PullStart::default() };
    assert_eq!(start(&probe, changed.clone()).await, PullStart { restarted: true, ..dropped.clone() });
    assert_eq!(start(&probe, changed.clone()).await, dropped, "only once");
    assert!(start(&probe, query("other")).await.token.is_some());
    let early = token("2024-01-01T00:00:00Z");
    advance(&probe, changed.clone(), early.clone()).await;
    assert_eq!(start(&probe, changed).await.token, Some(early));
}

pub(super) async fn l_25_a_broken_page_changes_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("old", "milk", "v1").await;
    let whole = format!("[{},{}]", json("a", "milk", "v1"), json("old", "bread", "v2"));
    let rest = "{\"id\":\"b\",\"text\":";
    for broken in
        [format!("[{},{rest}", json("c", "milk", "v1")), "<html>".to_owned(), "{\"a\":1}".to_owned()]
    {
        let pages = vec![page(&whole), Page { body: broken.clone().into(), ..page("[]") }];
        let batch = PullBatch {
            query: Some(query("q")),
            token: Some(token("2024-05-01T00:00:00Z")),
            pages,
            ..batch(&TODO, &[])
        };
        let error = probe.store.apply_pages(batch).await.expect_err(&broken);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{broken}");
        assert_eq!(error.table(), Some(TODO.name));
        for id in ["a", "b", "c"] {
            assert_eq!(probe.find(id).await, None, "{id}");
        }
        assert_eq!(probe.row("old").await.version.as_deref(), Some("v1"));
        assert_eq!(start(&probe, query("q")).await.token, None);
    }
}

pub(super) async fn several_pages_are_stored_together<S: LocalStore>(probe: Probe<S>) {
    let pages = [
        format!("[{},{}]", json("a", "milk", "v1"), json("b", "milk", "v1")),
        format!("{{\"results\":[{}],\"count\":9}}", json("c", "milk", "v1")),
        format!("{{\"items\":[{},{}],\"nextLink\":null}}", json("a", "bread", "v2"), tombstone("b", "v2")),
        "[]".to_owned(),
    ];
    let bodies: Vec<&str> = pages.iter().map(String::as_str).collect();
    let token = token("2024-05-01T00:00:00Z");
    let batch = PullBatch { query: Some(query("q")), token: Some(token.clone()), ..batch(&TODO, &bodies) };
    let applied = probe.apply(batch).await;
    assert_eq!(applied, Applied { added: 3, changed: 1, removed: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    assert_eq!(start(&probe, query("q")).await.token, Some(token));
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    probe
        .try_write(vec![change(&LIST, LocalChangeKind::Insert(list))])
        .await
        .expect("writes are captured again after a pull");
    assert_eq!(probe.queue().await, ["l"]);
}
