//! The steps of a pull (17.3) and of a purge (17.4).

use super::super::probe::*;
use super::super::tables::{LIST, TODO};
use super::Step;
use crate::predicate::{Comparison, Node, Predicate, codec};
use crate::store::{LocalStore, PullBatch, PullEnd, PullScope, Purge, QueryKey, Resolution};

const INSTANT: &str = "2024-01-01T00:00:00Z";

fn of_text(content: &str) -> Predicate {
    Predicate { table: &TODO, node: Node::compare(&TODO.columns[0], Comparison::Eq, text(content)) }
}

/// Pages of the query "q" with their token.
fn incremental(bodies: &[&str]) -> PullBatch {
    PullBatch { query: Some(query("q")), token: Some(token(INSTANT)), ..batch(&TODO, bodies) }
}

/// A row without the text it needs.
fn unfit(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"rank\":7,\"version\":\"v2\"}}")
}

/// A token of "q", and one of "p".
async fn tokens<S: LocalStore>(probe: &Probe<S>) {
    for id in ["q", "p"] {
        probe.store.begin_pull(scope(&TODO, Some(query(id)))).await.expect("a pull starts");
        probe.apply(PullBatch { query: Some(query(id)), ..incremental(&[]) }).await;
    }
}

/// A clean row whose server row is noted to be read by id.
async fn outdated<S: LocalStore>(probe: &Probe<S>, id: &str) {
    probe.pulled(id, "milk", "v1").await;
    probe.update(todo(id, "bread")).await;
    probe.answer(conflict(None)).await;
    let key = probe.error(id).await.key;
    probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a resolution");
}

pub(super) async fn l_08_the_start_of_a_pull_of_another_query<S: LocalStore>(probe: &Probe<S>) -> Step {
    tokens(probe).await;
    let key = QueryKey { query_id: "q".to_owned(), fingerprint: "2".to_owned() };
    let wanted = codec::encode(&of_text("milk").node);
    Step::BeginPull(PullScope { wanted, ..scope(&TODO, Some(key)) })
}

pub(super) async fn r_12_the_start_of_a_full_pull<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.store.begin_pull(scope(&TODO, None)).await.expect("a pull starts");
    Step::BeginPull(PullScope { mirror: true, ..scope(&TODO, None) })
}

pub(super) async fn l_24_the_start_of_a_pull_tries_the_quarantine<S: LocalStore>(probe: &Probe<S>) -> Step {
    assert_eq!(probe.pull(&format!("[{}]", unfit("a"))).await.quarantined, 1);
    probe.insert(todo("a", "mine")).await;
    Step::BeginPull(scope(&TODO, Some(query("q"))))
}

pub(super) async fn l_25_pages_with_their_token<S: LocalStore>(probe: &Probe<S>) -> Step {
    tokens(probe).await;
    let pages =
        [["a", "b"], ["c", "d"]].map(|ids| format!("[{}]", ids.map(|id| json(id, "milk", "v1")).join(",")));
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let token = Some(token("2024-02-01T00:00:00Z"));
    Step::ApplyPages(PullBatch { token, feed: Some(at(INSTANT)), ..incremental(&pages) })
}

pub(super) async fn l_25_a_row_of_every_fate<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["changed", "removed", "dirty", "same"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("dirty", "bread")).await;
    let extra = json("new", "milk", "v1").replace("\"text\"", "\"color\":1,\"text\"");
    let rows = [
        extra,
        json("changed", "theirs", "v2"),
        tombstone("removed", "v2"),
        json("dirty", "theirs", "v2"),
        json("same", "milk", "v1"),
        unfit("unfit"),
    ];
    Step::ApplyPages(incremental(&[&format!("[{}]", rows.join(","))]))
}

pub(super) async fn l_14_a_copy_beside_an_operation<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    Step::ApplyPages(incremental(&[&format!("[{}]", json("a", "theirs", "v2"))]))
}

pub(super) async fn l_24_a_row_into_the_quarantine<S: LocalStore>(_: &Probe<S>) -> Step {
    Step::ApplyPages(incremental(&[&format!("[{}]", unfit("a"))]))
}

pub(super) async fn x_06_rows_read_by_id<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["found", "gone", "refused"] {
        outdated(probe, id).await;
    }
    let fetched = ["found", "gone"].map(str::to_owned).to_vec();
    let body = format!("[{}]", json("found", "theirs", "v2"));
    Step::ApplyPages(PullBatch { fetched, unread: vec!["refused".to_owned()], ..batch(&TODO, &[&body]) })
}

pub(super) async fn r_12_a_row_that_left<S: LocalStore>(probe: &Probe<S>) -> Step {
    let milk = of_text("milk");
    let wanted = codec::encode(&milk.node);
    let start = PullScope { wanted, ..scope(&TODO, Some(query("q"))) };
    probe.store.begin_pull(start).await.expect("a pull starts");
    probe.apply(incremental(&[&format!("[{}]", json("a", "milk", "v1"))])).await;
    let rows = format!("[{},{}]", json("a", "bread", "v2"), json("b", "milk", "v1"));
    Step::ApplyPages(PullBatch { local_rest: Some(milk), ..incremental(&[&rows]) })
}

pub(super) async fn r_11_a_refill_of_known_versions<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["clean", "dirty"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("dirty", "bread")).await;
    let rows = ["clean", "dirty"].map(|id| json(id, "milk", "v1").replace("\"n\":null", "\"n\":5"));
    Step::ApplyPages(PullBatch { refill: true, ..incremental(&[&format!("[{}]", rows.join(","))]) })
}

pub(super) async fn t_05_the_end_of_a_pull<S: LocalStore>(probe: &Probe<S>) -> Step {
    tokens(probe).await;
    let scope = scope(&TODO, Some(query("q")));
    Step::FinishPull(PullEnd { scope, server_date: Some(at(INSTANT)), mirror: None, refilled: true })
}

pub(super) async fn s_15_the_end_of_a_pull_tries_the_quarantine<S: LocalStore>(probe: &Probe<S>) -> Step {
    assert_eq!(probe.apply(incremental(&[&format!("[{}]", unfit("a"))])).await.quarantined, 1);
    probe.insert(todo("a", "mine")).await;
    let scope = scope(&TODO, Some(query("q")));
    Step::FinishPull(PullEnd { scope, server_date: None, mirror: None, refilled: false })
}

pub(super) async fn l_13_the_end_of_a_mirroring_pull<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["stays", "goes", "goes too", "dirty"] {
        probe.pulled(id, "milk", "v1").await;
    }
    probe.update(todo("dirty", "bread")).await;
    let scope = PullScope { mirror: true, ..scope(&TODO, None) };
    probe.store.begin_pull(scope.clone()).await.expect("a pull starts");
    let body = format!("[{}]", json("stays", "milk", "v1"));
    probe.apply(PullBatch { mirror: true, ..batch(&TODO, &[&body]) }).await;
    let mirror = Some(Predicate::all(&TODO));
    Step::FinishPull(PullEnd { scope, server_date: None, mirror, refilled: false })
}

pub(super) async fn t_06_a_token_is_reset<S: LocalStore>(probe: &Probe<S>) -> Step {
    tokens(probe).await;
    Step::ResetToken { table: &TODO, query_id: Some("q") }
}

pub(super) async fn t_06_all_tokens_are_reset<S: LocalStore>(probe: &Probe<S>) -> Step {
    tokens(probe).await;
    Step::ResetToken { table: &TODO, query_id: None }
}

/// Rows, tokens, and a row noted to be read.
async fn filled<S: LocalStore>(probe: &Probe<S>) {
    for (id, content) in [("a", "milk"), ("b", "bread"), ("c", "milk")] {
        probe.pulled(id, content, "v1").await;
    }
    outdated(probe, "noted").await;
    probe.apply(batch(&LIST, &["[{\"id\":\"l\",\"title\":\"home\",\"version\":\"v1\"}]"])).await;
    tokens(probe).await;
}

pub(super) async fn g_12_a_purge_of_some_rows<S: LocalStore>(probe: &Probe<S>) -> Step {
    filled(probe).await;
    Step::Purge(Purge::new(of_text("milk")))
}

pub(super) async fn g_12_a_purge_that_keeps_tokens<S: LocalStore>(probe: &Probe<S>) -> Step {
    filled(probe).await;
    Step::Purge(Purge { keep_tokens: true, ..Purge::new(Predicate::all(&TODO)) })
}

/// A table with everything that can stand beside its rows.
async fn crowded<S: LocalStore>(probe: &Probe<S>) {
    filled(probe).await;
    probe.update(todo("a", "jam")).await;
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    probe.delete("b").await;
    probe.insert(todo("d", "milk")).await;
    let extra = json("e", "milk", "v1").replace("\"text\"", "\"color\":1,\"text\"");
    probe.pull(&format!("[{extra},{},{}]", json("a", "newer", "v3"), unfit("f"))).await;
}

pub(super) async fn g_12_a_purge_by_force<S: LocalStore>(probe: &Probe<S>) -> Step {
    crowded(probe).await;
    Step::Purge(Purge { force: true, ..Purge::new(Predicate::all(&TODO)) })
}

pub(super) async fn g_06_a_purge_of_some_rows_by_force<S: LocalStore>(probe: &Probe<S>) -> Step {
    crowded(probe).await;
    Step::Purge(Purge { force: true, ..Purge::new(of_text("milk")) })
}

/// A queued delete is judged by the row it deleted.
pub(super) async fn g_06_a_purge_of_a_queued_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    crowded(probe).await;
    Step::Purge(Purge { force: true, ..Purge::new(of_text("bread")) })
}
