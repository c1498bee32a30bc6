//! Purge.

use super::probe::*;
use super::tables::{LIST, TODO};
use crate::error::ErrorKind;
use crate::predicate::{Comparison, Node, Predicate};
use crate::store::LocalChangeKind;
use crate::store::{LocalStore, PullBatch, Purge, Purged};

fn of_text(content: &str) -> Predicate {
    Predicate { table: &TODO, node: Node::compare(&TODO.columns[0], Comparison::Eq, text(content)) }
}

async fn purge<S: LocalStore>(probe: &Probe<S>, predicate: Predicate, force: bool) -> Purged {
    probe.store.purge(Purge { force, ..Purge::new(predicate) }).await.expect("a purge")
}

pub(super) async fn g_01_purge_with_operations_is_refused<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "bread", "v1").await;
    probe.update(todo("a", "jam")).await;
    let advance = PullBatch {
        query: Some(query("q")),
        token: Some(token("2024-01-01T00:00:00Z")),
        ..batch(&TODO, &[])
    };
    probe.apply(advance).await;
    for predicate in [Predicate::all(&TODO), of_text("bread")] {
        let error = probe.store.purge(Purge::new(predicate)).await.expect_err("an operation");
        assert_eq!(error.kind(), ErrorKind::PendingOperations);
        assert_eq!(error.table(), Some(TODO.name));
    }
    assert!(probe.find("b").await.is_some());
    assert_eq!(probe.queue().await, ["a"]);
    let start = probe.store.begin_pull(scope(&TODO, Some(query("q")))).await.expect("a pull starts");
    assert!(start.token.is_some());
}

pub(super) async fn g_02_operations_of_other_tables_do_not_matter<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    probe.try_write(vec![change(&LIST, LocalChangeKind::Insert(list))]).await.expect("an insert");
    assert_eq!(purge(&probe, Predicate::all(&TODO), false).await, Purged { rows: 1, operations: 0 });
    assert_eq!(probe.queue().await, ["l"], "and a purge queues nothing");
    assert!(probe.store.get(&LIST, "l").await.expect("a read").is_some());
}

pub(super) async fn g_03_purge_removes_matching_rows<S: LocalStore>(probe: Probe<S>) {
    for (id, content) in [("a", "milk"), ("b", "bread"), ("c", "milk")] {
        probe.pulled(id, content, "v1").await;
    }
    assert_eq!(purge(&probe, of_text("milk"), false).await, Purged { rows: 2, operations: 0 });
    let rows = probe.store.select(Predicate::all(&TODO)).await.expect("a read");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].id, "b");
    assert_eq!(probe.operations().await, [], "nothing is sent (G-04)");
    probe.pulled("a", "milk", "v1").await;
}

pub(super) async fn l_24_purge_leaves_the_quarantine_of_other_rows<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "bread", "v1").await;
    let row = |id: &str| format!("{{\"id\":\"{id}\",\"rank\":7,\"version\":\"v2\"}}");
    let faulty = json("a", "milk", "v2").replace("\"rank\":3", "\"rank\":\"many\"");
    let applied = probe.pull(&format!("[{faulty},{}]", row("c"))).await;
    assert_eq!(applied.quarantined, 2);
    assert_eq!(purge(&probe, of_text("milk"), false).await, Purged { rows: 1, operations: 0 });
    for id in ["a", "c"] {
        probe.insert(todo(id, "mine")).await;
    }
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    assert_eq!(probe.shadow("a").await, None, "it went with its row");
    assert_eq!(probe.shadow("c").await.and_then(|copy| copy.version).as_deref(), Some("v2"));

    assert_eq!(purge(&probe, Predicate::all(&TODO), true).await, Purged { rows: 3, operations: 2 });
    assert_eq!(probe.pull(&format!("[{}]", row("d"))).await.quarantined, 1);
    purge(&probe, Predicate::all(&TODO), false).await;
    probe.insert(todo("d", "mine")).await;
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    assert_eq!(probe.shadow("d").await, None);
}

pub(super) async fn g_05_force_drops_operations<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    probe.delete("b").await;
    probe.insert(todo("c", "milk")).await;
    assert_eq!(probe.pull("[{\"id\":\"d\",\"rank\":7,\"version\":\"v1\"}]").await.quarantined, 1);
    let extra = json("e", "milk", "v1").replace("\"text\"", "\"color\":1,\"text\"");
    assert_eq!(probe.pull(&format!("[{extra}]")).await.added, 1);
    assert_eq!(purge(&probe, Predicate::all(&TODO), true).await, Purged { rows: 3, operations: 3 });
    for id in ["a", "b", "c", "e"] {
        probe.assert_clean(id).await;
        assert_eq!(probe.find(id).await, None);
    }
    probe.insert(todo("d", "mine")).await;
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    assert_eq!(probe.shadow("d").await, None, "the quarantine is empty");
    probe.pulled("e", "milk", "v1").await;
    assert_eq!(probe.row("e").await.extra, None, "unknown members went with their row");
}

pub(super) async fn g_06_force_drops_only_the_operations_of_removed_rows<S: LocalStore>(probe: Probe<S>) {
    for (id, content) in [("a", "milk"), ("b", "milk"), ("c", "bread"), ("d", "bread"), ("e", "milk")] {
        probe.pulled(id, content, "v1").await;
    }
    probe.update(todo("a", "jam")).await;
    probe.update(todo("c", "milk")).await;
    probe.delete("b").await;
    probe.delete("d").await;
    let kept = (probe.operation("a").await, probe.operation("d").await);
    // "c" and "e" are milk now, "b" was when it was deleted.
    assert_eq!(purge(&probe, of_text("milk"), true).await, Purged { rows: 2, operations: 2 });
    assert_eq!(probe.queue().await, ["a", "d"]);
    assert_eq!((probe.operation("a").await, probe.operation("d").await), kept);
    for id in ["b", "c", "e"] {
        probe.assert_clean(id).await;
        assert_eq!(probe.find(id).await, None);
    }
    assert_eq!(probe.shadow("a").await.as_ref().and_then(content), Some(text("milk")));
}

pub(super) async fn g_07_purge_resets_all_tokens_of_the_table<S: LocalStore>(probe: Probe<S>) {
    for (table, id) in [(&TODO, "a"), (&TODO, "b"), (&LIST, "a")] {
        let token = Some(token("2024-01-01T00:00:00Z"));
        probe.apply(PullBatch { query: Some(query(id)), token, ..batch(table, &[]) }).await;
    }
    purge(&probe, of_text("nothing has this"), false).await;
    for id in ["a", "b"] {
        let start = probe.store.begin_pull(scope(&TODO, Some(query(id)))).await.expect("a pull starts");
        assert_eq!((start.token, start.restarted), (None, false));
    }
    let start = probe.store.begin_pull(scope(&LIST, Some(query("a")))).await.expect("a pull starts");
    assert!(start.token.is_some());
}

pub(super) async fn g_07_tokens_can_be_kept<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    let token = token("2024-01-01T00:00:00Z");
    probe.apply(PullBatch { query: Some(query("q")), token: Some(token.clone()), ..batch(&TODO, &[]) }).await;
    // Without any row, nothing before the token matters for what leaves.
    for (predicate, feed) in [(of_text("milk"), None), (Predicate::all(&TODO), Some(token.instant))] {
        let purge = Purge { keep_tokens: true, ..Purge::new(predicate) };
        probe.store.purge(purge).await.expect("a purge");
        assert_eq!(probe.find("a").await, None);
        let start = probe.store.begin_pull(scope(&TODO, Some(query("q")))).await.expect("a pull starts");
        assert_eq!((start.token, start.feed), (Some(token.clone()), feed));
    }
}
