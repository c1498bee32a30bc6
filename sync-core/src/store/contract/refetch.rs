//! Rows noted to be read by id at the next pull of their table.

use super::probe::*;
use super::tables::{LIST, TODO};
use crate::operation::OperationKind;
use crate::predicate::Predicate;
use crate::store::{Applied, LocalStore, MAX_REFETCH, PullBatch, Purge, Resolution, Settlement};
use crate::value::Value;

impl<S: LocalStore> Probe<S> {
    pub(super) async fn noted(&self) -> Vec<String> {
        self.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts").refetch
    }

    /// Stores what the server answered when asked for rows by id.
    async fn fetched(&self, ids: &[&str], bodies: &[&str]) -> Applied {
        let fetched = ids.iter().map(|id| (*id).to_owned()).collect();
        self.apply(PullBatch { fetched, ..batch(&TODO, bodies) }).await
    }

    /// A clean row `v1` whose server row is said to be another, unseen one.
    async fn outdated(&self, id: &str) {
        self.pulled(id, "milk", "v1").await;
        self.update(todo(id, "bread")).await;
        self.answer(conflict(None)).await;
        let key = self.error(id).await.key;
        self.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a resolution");
        self.assert_clean(id).await;
        assert_eq!(content(&self.row(id).await), Some(text("milk")));
    }
}

pub(super) async fn x_06_a_foreign_row_is_noted_and_comes_back<S: LocalStore>(probe: Probe<S>) {
    assert!(probe.noted().await.is_empty());
    probe.insert(todo("a", "mine")).await;
    probe.answer(conflict(server("a", "theirs", "v1"))).await;
    probe.delete("a").await;
    assert_eq!(probe.noted().await, ["a"]);
    let with_query = probe.store.begin_pull(scope(&TODO, Some(query("q")))).await.expect("a pull starts");
    assert_eq!(with_query.refetch, ["a"], "until it was read");
    let of_list = probe.store.begin_pull(scope(&LIST, None)).await.expect("a pull starts");
    assert!(of_list.refetch.is_empty());
    let applied = probe.fetched(&["a"], &[&format!("[{}]", json("a", "theirs", "v1"))]).await;
    assert_eq!(applied, Applied { added: 1, ..Applied::default() });
    assert!(probe.noted().await.is_empty());
    assert_eq!(content(&probe.row("a").await), Some(text("theirs")));
}

pub(super) async fn x_03_a_row_with_a_live_server_copy_is_noted<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b", "c"] {
        probe.insert(todo(id, "mine")).await;
    }
    probe.pull(&format!("[{},{}]", json("a", "theirs", "v1"), tombstone("b", "v1"))).await;
    for id in ["a", "b", "c"] {
        probe.delete(id).await;
        probe.assert_clean(id).await;
    }
    assert_eq!(probe.noted().await, ["a"]);

    // The same where the delete came during the flight.
    probe.insert(todo("d", "mine")).await;
    let (session, sent) = probe.send().await;
    probe.delete("d").await;
    probe.pull(&format!("[{}]", json("d", "theirs", "v1"))).await;
    probe.settle(session, &sent.key, refused()).await;
    probe.assert_clean("d").await;
    assert_eq!(probe.noted().await, ["a", "d"]);
}

pub(super) async fn k_09_an_unknown_row_is_noted<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "mine")).await;
    probe.answer(conflict(None)).await;
    let key = probe.error("a").await.key;
    probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a resolution");
    assert_eq!(probe.find("a").await, None);
    probe.outdated("b").await;
    assert_eq!(probe.noted().await, ["a", "b"]);

    // A known version may have come without its content.
    let body = format!("[{}]", json("b", "jam", "v1"));
    assert_eq!(probe.pull(&body).await.unchanged, 1);
    assert_eq!(probe.noted().await, ["a", "b"], "a page is no answer to the question");
    assert_eq!(probe.fetched(&["b"], &[&body]).await, Applied { changed: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("b").await), Some(text("jam")));
    assert_eq!(probe.noted().await, ["a"]);
}

pub(super) async fn a_row_the_server_does_not_have_is_removed<S: LocalStore>(probe: Probe<S>) {
    for id in ["gone", "dead", "kept", "quarantined"] {
        probe.outdated(id).await;
    }
    probe.update(todo("kept", "mine")).await;
    let before = (probe.operations().await, probe.row("kept").await, probe.shadow("kept").await);
    let faulty = json("quarantined", "milk", "v2").replace("\"rank\":3", "\"rank\":\"many\"");
    let pages = ["[]".to_owned(), format!("[{}]", tombstone("dead", "v2")), format!("[{faulty}]")];
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let applied = probe.fetched(&["gone", "dead", "kept", "quarantined", "unknown"], &pages).await;
    assert_eq!(applied, Applied { removed: 2, quarantined: 1, ..Applied::default() });
    assert_eq!((probe.find("gone").await, probe.find("dead").await), (None, None));
    assert_eq!(content(&probe.row("quarantined").await), Some(text("milk")));
    assert_eq!((probe.operations().await, probe.row("kept").await, probe.shadow("kept").await), before);
    assert!(probe.noted().await.is_empty());
    assert_eq!(probe.queue().await, ["kept"], "nothing else is queued");

    // A table that keeps deleted rows keeps one marked deleted, and not one that the server does not have.
    let list = |id: &str, version: &str, deleted: bool| {
        format!("{{\"id\":\"{id}\",\"title\":\"home\",\"version\":\"{version}\",\"deleted\":{deleted}}}")
    };
    let body = format!("[{},{}]", list("dead", "v1", false), list("gone", "v1", false));
    probe.apply(batch(&LIST, &[&body])).await;
    let fetched = vec!["dead".to_owned(), "gone".to_owned()];
    let body = format!("[{}]", list("dead", "v2", true));
    probe.apply(PullBatch { fetched, ..batch(&LIST, &[&body]) }).await;
    assert!(probe.store.get(&LIST, "dead").await.expect("a read").expect("the row is kept").deleted);
    assert_eq!(probe.store.get(&LIST, "gone").await.expect("a read"), None);
}

pub(super) async fn a_fetched_row_with_an_operation_is_kept_beside<S: LocalStore>(probe: Probe<S>) {
    probe.outdated("a").await;
    probe.update(todo("a", "mine")).await;
    let mut body = json("a", "theirs", "v2");
    body = body.replace("\"n\":null", "\"n\":5");
    let applied = probe.fetched(&["a"], &[&format!("[{body}]")]).await;
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("mine")));
    let copy = probe.shadow("a").await.expect("a copy");
    assert_eq!((content(&copy), value(&copy, "n")), (Some(text("theirs")), Some(Value::Integer(5))));
    assert_eq!(probe.operation("a").await.kind, OperationKind::Update);
    assert!(probe.noted().await.is_empty());
}

pub(super) async fn many_notes_come_in_turns<S: LocalStore>(probe: Probe<S>) {
    let ids: Vec<String> = (0..MAX_REFETCH + 3).map(|number| format!("row{number:03}")).collect();
    for id in &ids {
        probe.insert(todo(id, "mine")).await;
    }
    let session = probe.begin_push().await;
    let taken = probe.exchange(session, Vec::new(), Some(take(1000))).await.taken;
    let outcome = |id: &str| conflict(server(id, "theirs", "v1"));
    let settlements = taken
        .into_iter()
        .map(|sent| Settlement { outcome: outcome(&sent.key.item_id), key: sent.key })
        .collect();
    probe.exchange(session, settlements, None).await;
    for id in &ids {
        probe.delete(id).await;
    }
    let noted = probe.noted().await;
    assert_eq!(noted, ids[..MAX_REFETCH]);
    let fetched: Vec<&str> = noted.iter().map(String::as_str).collect();
    probe.fetched(&fetched, &[]).await;
    assert_eq!(probe.noted().await, ids[MAX_REFETCH..]);
    let purge = Purge::new(Predicate::all(&TODO));
    probe.store.purge(purge).await.expect("a purge");
    assert!(probe.noted().await.is_empty());
}

pub(super) async fn refused_notes_come_after_the_others<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b", "c"] {
        probe.outdated(id).await;
    }
    let refuse = async |ids: &[&str]| {
        let unread = ids.iter().map(|id| (*id).to_owned()).collect();
        probe.apply(PullBatch { unread, ..batch(&TODO, &[]) }).await;
    };
    refuse(&["a", "b", "unknown"]).await;
    assert_eq!(probe.noted().await, ["c", "a", "b"]);
    refuse(&["a"]).await;
    assert_eq!(probe.noted().await, ["c", "b", "a"]);
    // What was read once is new when it is noted again.
    probe.fetched(&["a"], &[&format!("[{}]", json("a", "milk", "v2"))]).await;
    assert_eq!(probe.noted().await, ["c", "b"]);
    probe.update(todo("a", "jam")).await;
    probe.answer(conflict(None)).await;
    let key = probe.error("a").await.key;
    probe
        .store
        .resolve(key, Resolution::TakeRemote, crate::store::Resolver::App)
        .await
        .expect("a resolution");
    assert_eq!(probe.noted().await, ["a", "c", "b"]);
}
