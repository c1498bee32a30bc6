//! Rows that leave: the filter they were pulled with, or a server that is mirrored.

use super::probe::*;
use super::tables::TODO;
use crate::predicate::{Comparison, Function, Node, Predicate, codec};
use crate::store::{
    Applied, DeltaToken, LocalStore, PullBatch, PullEnd, PullScope, PullStart, Purge, QueryKey,
};

fn of_text(content: &str) -> Predicate {
    Predicate { table: &TODO, node: Node::compare(&TODO.columns[0], Comparison::Eq, text(content)) }
}

/// The scope of a pull of a filter; without query id a full pull.
fn wanting(query_id: Option<&str>, filter: &Predicate) -> PullScope {
    let wanted = codec::encode(&filter.node);
    let key = |id: &str| QueryKey { query_id: id.to_owned(), fingerprint: wanted.clone() };
    PullScope { table: &TODO, query: query_id.map(key), wanted: wanted.clone(), mirror: false }
}

impl<S: LocalStore> Probe<S> {
    async fn begin(&self, scope: &PullScope) -> PullStart {
        self.store.begin_pull(scope.clone()).await.expect("a pull starts")
    }

    /// Begins a pull of a filter and stores rows that it brought.
    async fn brought(&self, scope: &PullScope, filter: &Predicate, rows: &[String]) -> Applied {
        self.begin(scope).await;
        self.seen(scope, filter, rows).await
    }

    /// Stores rows that the server did not filter.
    async fn seen(&self, scope: &PullScope, filter: &Predicate, rows: &[String]) -> Applied {
        let body = format!("[{}]", rows.join(","));
        let (query, local_rest) = (scope.query.clone(), Some(filter.clone()));
        self.apply(PullBatch { query, local_rest, ..batch(&TODO, &[&body]) }).await
    }

    async fn finish(&self, end: PullEnd) -> Applied {
        self.store.finish_pull(end).await.expect("a pull ends")
    }
}

pub(super) async fn r_12_a_row_that_left_goes<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    let with_member = json("a", "milk", "v1").replace("\"text\"", "\"color\":1,\"text\"");
    let applied = probe.brought(&scope, &milk, &[with_member, json("b", "milk", "v1")]).await;
    assert_eq!(applied, Applied { added: 2, ..Applied::default() });
    let rows = [json("a", "bread", "v2"), json("b", "milk", "v2"), json("c", "bread", "v1")];
    let applied = probe.seen(&scope, &milk, &rows).await;
    assert_eq!(applied, Applied { evicted: 1, changed: 1, filtered: 1, ..Applied::default() });
    assert_eq!(probe.find("a").await, None);
    assert_eq!(probe.find("c").await, None);
    assert_eq!(probe.row("b").await.version.as_deref(), Some("v2"));
    assert_eq!(probe.operations().await, [], "nothing is queued for the server");
    // It may come back, without what was kept beside it.
    let applied = probe.seen(&scope, &milk, &[json("a", "milk", "v3")]).await;
    assert_eq!(applied, Applied { added: 1, ..Applied::default() });
    assert_eq!(probe.row("a").await.extra, None);
}

pub(super) async fn r_12_what_another_query_wants_stays<S: LocalStore>(probe: Probe<S>) {
    let (milk, bread) = (of_text("milk"), of_text("bread"));
    let (first, second) = (wanting(Some("milk"), &milk), wanting(Some("bread"), &bread));
    probe.brought(&first, &milk, &[json("a", "milk", "v1")]).await;
    probe.begin(&second).await;
    let applied = probe.seen(&first, &milk, &[json("a", "bread", "v2")]).await;
    assert_eq!(applied, Applied { changed: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("bread")));
    // Whichever query sees it leave both.
    let applied = probe.seen(&first, &milk, &[json("a", "jam", "v3")]).await;
    assert_eq!(applied, Applied { evicted: 1, ..Applied::default() });
}

pub(super) async fn r_12_what_a_full_pull_brought_stays<S: LocalStore>(probe: Probe<S>) {
    let (milk, jam) = (of_text("milk"), of_text("jam"));
    let scope = wanting(Some("q"), &milk);
    for (id, full) in [("old", &milk), ("new", &jam)] {
        probe.store.purge(Purge::new(Predicate::all(&TODO))).await.expect("a purge");
        probe.brought(&scope, &milk, &[json(id, "milk", "v1")]).await;
        probe.begin(&wanting(None, full)).await;
        let applied = probe.seen(&scope, &milk, &[json(id, "jam", "v2")]).await;
        assert_eq!(applied, Applied { changed: 1, ..Applied::default() }, "{id}");
    }
    // A purge of everything forgets what was wanted.
    probe.store.purge(Purge::new(Predicate::all(&TODO))).await.expect("a purge");
    probe.brought(&scope, &milk, &[json("a", "milk", "v1")]).await;
    assert_eq!(probe.seen(&scope, &milk, &[json("a", "jam", "v2")]).await.evicted, 1);
}

pub(super) async fn r_12_more_full_pulls_than_are_remembered_want_every_row<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    for number in 0..=crate::wanted::MAX_FULL_PULLS {
        let rows = [json("a", "milk", &format!("v{number}"))];
        let applied = probe.brought(&scope, &milk, &rows).await;
        assert_eq!((applied.added, applied.changed), (1, 0), "after {number} full pulls");
        let applied = probe.seen(&scope, &milk, &[json("a", "bread", "out")]).await;
        assert_eq!(applied.evicted, 1, "after {number} full pulls");
        probe.begin(&wanting(None, &of_text(&format!("number {number}")))).await;
    }
    probe.brought(&scope, &milk, &[json("a", "milk", "v")]).await;
    assert_eq!(probe.seen(&scope, &milk, &[json("a", "bread", "out")]).await.changed, 1);
}

pub(super) async fn r_12_rows_that_never_matched_stay<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    probe.brought(&scope, &milk, &[json("moved", "milk", "v1")]).await;
    // Made here, and moved out of the filter here; both acknowledged.
    probe.insert(todo("made", "bread")).await;
    probe.answer(acknowledged(server("made", "bread", "v1"))).await;
    probe.update(todo("moved", "bread")).await;
    probe.answer(acknowledged(server("moved", "bread", "v2"))).await;
    let rows = [json("made", "bread", "v1"), json("moved", "bread", "v2")];
    assert_eq!(probe.seen(&scope, &milk, &rows).await, Applied { unchanged: 2, ..Applied::default() });
    let rows = [json("made", "jam", "v3"), json("moved", "jam", "v3")];
    assert_eq!(probe.seen(&scope, &milk, &rows).await, Applied { changed: 2, ..Applied::default() });
    for id in ["made", "moved"] {
        assert_eq!(content(&probe.row(id).await), Some(text("jam")), "{id}");
    }
}

pub(super) async fn r_12_a_row_with_an_operation_is_never_removed<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    probe.brought(&scope, &milk, &[json("a", "milk", "v1")]).await;
    probe.update(part("a", &[("rank", crate::value::Value::Integer(7))])).await;
    let applied = probe.seen(&scope, &milk, &[json("a", "bread", "v2")]).await;
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("a").await), Some(text("milk")));
    assert_eq!(probe.shadow("a").await.as_ref().and_then(content), Some(text("bread")));
}

pub(super) async fn r_12_a_filter_that_cannot_be_read_wants_every_row<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    probe.brought(&scope, &milk, &[json("a", "milk", "v1"), json("b", "milk", "v1")]).await;
    let later =
        PullScope { wanted: "[\"soundex\",[\"column\",\"text\"]]".to_owned(), ..wanting(Some("r"), &milk) };
    probe.begin(&later).await;
    assert_eq!(probe.seen(&scope, &milk, &[json("a", "bread", "v2")]).await.changed, 1);
    // The next pull of the query id puts words in its place that this version understands.
    probe.begin(&wanting(Some("r"), &of_text("jam"))).await;
    assert_eq!(probe.seen(&scope, &milk, &[json("b", "bread", "v2")]).await.evicted, 1);
}

pub(super) async fn r_12_tombstones_and_order_come_before_judgement<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    probe.brought(&scope, &milk, &[json("a", "milk", "v1"), json("b", "milk", "v1")]).await;
    // Out, in again, and out for good; a deletion is no exit.
    let rows = [
        json("a", "bread", "v2"),
        json("a", "milk", "v3"),
        json("a", "jam", "v4"),
        tombstone("b", "v2").replace("\"text\":\"deleted\"", "\"text\":\"milk\""),
    ];
    let applied = probe.seen(&scope, &milk, &rows).await;
    assert_eq!(applied, Applied { evicted: 2, added: 1, removed: 1, ..Applied::default() });
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn r_12_absent_members_are_judged_as_they_are_here<S: LocalStore>(probe: Probe<S>) {
    let starts = vec![Node::Column(&TODO.columns[0]), Node::Literal(text("mi"))];
    let filter = Predicate { table: &TODO, node: Node::Call(Function::StartsWith, starts) };
    let scope = wanting(Some("q"), &filter);
    probe.brought(&scope, &filter, &[json("a", "milk", "v1"), json("b", "milk", "v1")]).await;
    let row = "{\"id\":\"a\",\"rank\":9,\"version\":\"v2\"}".to_owned();
    assert_eq!(probe.seen(&scope, &filter, &[row]).await.changed, 1);
    // A value that cannot be read does not hide that the row was never wanted, unless the filter asks for it.
    let faulty = |id: &str, content: &str| json(id, content, "v2").replace("\"rank\":3", "\"rank\":\"x\"");
    let unreadable = json("e", "milk", "v1").replace("\"text\":\"milk\"", "\"text\":{}");
    let rows = [faulty("b", "milk"), faulty("c", "bread"), faulty("d", "milk"), unreadable];
    let applied = probe.seen(&scope, &filter, &rows).await;
    assert_eq!(applied, Applied { quarantined: 3, filtered: 1, ..Applied::default() });
}

pub(super) async fn r_12_a_quarantined_row_that_nobody_wants_any_more_goes<S: LocalStore>(probe: Probe<S>) {
    let of_rank = |rank| {
        let node = Node::compare(&TODO.columns[2], Comparison::Eq, crate::value::Value::Integer(rank));
        Predicate { table: &TODO, node }
    };
    // No new row without a text.
    let row = "{\"id\":\"a\",\"rank\":7,\"version\":\"v1\"}".to_owned();
    let applied = probe.brought(&wanting(Some("q"), &of_rank(7)), &of_rank(7), &[row]).await;
    assert_eq!(applied, Applied { quarantined: 1, ..Applied::default() });
    let waiting = async || probe.store.quarantine(None).await.expect("a read").len();
    probe.begin(&wanting(Some("q"), &of_rank(7))).await;
    assert_eq!(waiting().await, 1);
    probe.begin(&wanting(Some("q"), &of_rank(8))).await;
    assert_eq!(waiting().await, 0);
}

pub(super) async fn l_24_what_one_query_does_not_want_waits_for_another<S: LocalStore>(probe: Probe<S>) {
    let (milk, bread) = (of_text("milk"), of_text("bread"));
    let (first, second) = (wanting(Some("milk"), &milk), wanting(Some("bread"), &bread));
    let faulty = |version: &str| json("a", "milk", version).replace("\"rank\":3", "\"rank\":\"x\"");
    let waiting = async || probe.store.quarantine(None).await.expect("a read").len();
    assert_eq!(probe.brought(&first, &milk, &[faulty("v1")]).await.quarantined, 1);
    // The token of the first query is past the row: nothing but this copy brings it.
    probe.begin(&second).await;
    assert_eq!(probe.seen(&second, &bread, &[faulty("v1")]).await.filtered, 1);
    assert_eq!(waiting().await, 1);
    // Seen last by a query that wants something else by now.
    probe.brought(&second, &milk, &[faulty("v1")]).await;
    probe.begin(&wanting(Some("bread"), &of_text("jam"))).await;
    assert_eq!(waiting().await, 1);
    // Once it left both, nobody waits for it.
    let left = json("a", "jam?", "v2").replace("\"rank\":3", "\"rank\":\"x\"");
    assert_eq!(probe.seen(&second, &bread, &[left]).await.filtered, 1);
    assert_eq!(waiting().await, 0);
}

pub(super) async fn r_12_a_new_query_may_have_missed_what_happened_to_rows_here<S: LocalStore>(
    probe: Probe<S>,
) {
    let milk = of_text("milk");
    let changed_at = |id: &str, content: &str, instant: &str| {
        json(id, content, "v1").replace("\"updatedAt\":\"2024-01-01T00:00:00.000Z\"", instant)
    };
    let of_july =
        |id: &str, content: &str| changed_at(id, content, "\"updatedAt\":\"2024-07-01T00:00:00.000Z\"");
    // A row that does not match comes by the pull of the new query once it does.
    probe.pulled("other", "bread", "v1").await;
    assert_eq!(probe.begin(&wanting(Some("none"), &milk)).await.feed, None);
    probe.insert(todo("made here", "milk")).await;
    assert_eq!(probe.begin(&wanting(Some("mine"), &milk)).await.feed, None, "the server does not know it");
    probe.pull(&format!("[{}]", of_july("brought", "milk"))).await;
    let scope = wanting(Some("clean"), &milk);
    let july = Some(at("2024-07-01T00:00:00Z"));
    assert_eq!(probe.begin(&scope).await.feed, july);
    assert_eq!(probe.begin(&scope).await.feed, july, "remembered");
    // What it looks like on the server is not what it looks like here.
    probe.update(part("other", &[("text", text("jam"))])).await;
    assert_eq!(probe.begin(&wanting(Some("dirty"), &milk)).await.feed, Some(at("2024-01-01T00:00:00Z")));
    let without_time = changed_at("timeless", "milk", "\"unknown\":1");
    probe.pull(&format!("[{without_time}]")).await;
    assert_eq!(probe.begin(&wanting(Some("all"), &milk)).await.feed, Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(probe.begin(&scope).await.feed, july, "a known feed stays");
}

pub(super) async fn r_12_the_feed_moves_forward_until_a_reset<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    let scope = wanting(Some("q"), &milk);
    assert_eq!(probe.begin(&scope).await.feed, None);
    let follow = async |instant: &str| {
        let token = Some(token("2024-05-01T00:00:00Z"));
        let batch = PullBatch { query: scope.query.clone(), token, ..batch(&TODO, &[]) };
        probe.apply(PullBatch { feed: Some(at(instant)), ..batch }).await;
    };
    follow("2024-03-01T00:00:00Z").await;
    follow("2024-02-01T00:00:00Z").await;
    let start = probe.begin(&scope).await;
    assert_eq!(
        (start.feed, start.token),
        (Some(at("2024-03-01T00:00:00Z")), Some(token("2024-05-01T00:00:00Z")))
    );
    follow("2024-04-01T00:00:00.123Z").await;
    let changed = wanting(Some("q"), &of_text("bread"));
    let start = probe.begin(&changed).await;
    assert_eq!((start.feed, start.token), (Some(at("2024-04-01T00:00:00.123Z")), None));
    probe.store.reset_token(&TODO, Some("another")).await.expect("a reset");
    assert!(probe.begin(&scope).await.feed > Some(at("1970-01-01T00:00:00Z")));
    // T-10: whoever resets a token does not trust the server's times any more.
    probe.store.reset_token(&TODO, None).await.expect("a reset");
    for scope in [&scope, &changed] {
        let start = probe.begin(scope).await;
        assert_eq!((start.feed, start.token), (Some(at("1970-01-01T00:00:00Z")), None));
    }
    probe.store.purge(Purge::new(milk.clone())).await.expect("a purge");
    assert!(probe.begin(&scope).await.feed.is_some(), "rows of the query may be left");
    probe.store.purge(Purge::new(Predicate::all(&TODO))).await.expect("a purge");
    assert_eq!(probe.begin(&scope).await, PullStart::default());
    // Without the server's clock it is not known, and does not become known because the token goes.
    let token = Some(token("2024-05-01T00:00:00Z"));
    probe.apply(PullBatch { query: scope.query.clone(), token, ..batch(&TODO, &[]) }).await;
    assert_eq!(probe.begin(&scope).await.feed, None);
    let start = probe.begin(&changed).await;
    assert_eq!((start.feed, start.restarted), (Some(at("1970-01-01T00:00:00Z")), true));
}

/// Runs a mirroring pull of a filter over one page.
async fn mirror<S: LocalStore>(probe: &Probe<S>, filter: &Predicate, rows: &[String]) -> (Applied, Applied) {
    let scope = PullScope { mirror: true, ..wanting(None, filter) };
    probe.begin(&scope).await;
    let body = format!("[{}]", rows.join(","));
    let pages = PullBatch { mirror: true, local_rest: Some(filter.clone()), ..batch(&TODO, &[&body]) };
    let applied = probe.apply(pages).await;
    let end = PullEnd { scope, server_date: None, mirror: Some(filter.clone()), refilled: false };
    (applied, probe.finish(end).await)
}

pub(super) async fn l_13_a_mirroring_pull_removes_what_did_not_come<S: LocalStore>(probe: Probe<S>) {
    for (id, content) in [("a", "milk"), ("b", "milk"), ("c", "bread"), ("d", "milk"), ("e", "milk")] {
        probe.pulled(id, content, "v1").await;
    }
    probe.update(todo("d", "milk!")).await;
    probe.insert(todo("f", "milk")).await;
    let faulty = json("e", "milk", "v2").replace("\"rank\":3", "\"rank\":\"x\"");
    let (applied, removed) = mirror(&probe, &of_text("milk"), &[json("a", "milk", "v2"), faulty]).await;
    assert_eq!(applied, Applied { changed: 1, quarantined: 1, ..Applied::default() });
    assert_eq!(removed, Applied { removed: 1, ..Applied::default() });
    let rows = probe.store.select(Predicate::all(&TODO)).await.expect("a read");
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["a", "c", "d", "e", "f"], "b did not come; c is not asked for; d and f have operations");
    assert_eq!(probe.queue().await, ["d", "f"], "nothing is queued for the server");

    // What came to an earlier pull does not count.
    let (_, removed) = mirror(&probe, &Predicate::all(&TODO), &[json("c", "bread", "v1")]).await;
    assert_eq!(removed.removed, 2);
    assert_eq!(probe.store.select(Predicate::all(&TODO)).await.expect("a read").len(), 3);
}

pub(super) async fn l_13_what_waits_for_another_query_outlives_a_mirroring_pull<S: LocalStore>(
    probe: Probe<S>,
) {
    let (milk, bread) = (of_text("milk"), of_text("bread"));
    probe.begin(&wanting(Some("bread"), &bread)).await;
    let faulty = |id: &str, content: &str| json(id, content, "v2").replace("\"rank\":3", "\"rank\":\"x\"");
    for (id, content) in [("moved", "bread"), ("gone", "milk")] {
        probe.pulled(id, "milk", "v1").await;
        probe.pull(&format!("[{}]", faulty(id, content))).await;
    }
    // It did not come because it is bread now; the other one is not there any more.
    let (_, removed) = mirror(&probe, &milk, &[]).await;
    assert_eq!(removed.removed, 2);
    let waiting = probe.store.quarantine(None).await.expect("a read");
    assert_eq!(waiting.iter().map(|row| row.item_id.as_str()).collect::<Vec<_>>(), ["moved"]);
}

pub(super) async fn l_13_a_mirroring_pull_removes_what_left_its_filter<S: LocalStore>(probe: Probe<S>) {
    let milk = of_text("milk");
    mirror(&probe, &milk, &[json("a", "milk", "v1"), json("b", "milk", "v1")]).await;
    // Shown by a server that does not filter, or not shown at all.
    let (applied, removed) = mirror(&probe, &milk, &[json("a", "bread", "v2")]).await;
    assert_eq!((applied.evicted, removed.removed), (1, 1));
    assert_eq!(probe.store.select(Predicate::all(&TODO)).await.expect("a read"), []);
}

pub(super) async fn t_05_the_servers_date_is_kept_at_the_end<S: LocalStore>(probe: Probe<S>) {
    let scope = wanting(Some("q"), &Predicate::all(&TODO));
    let date = at("2024-06-01T00:00:00Z");
    let end = |scope: &PullScope| PullEnd {
        scope: scope.clone(),
        server_date: Some(date),
        mirror: None,
        refilled: false,
    };
    probe.begin(&scope).await;
    probe.finish(end(&scope)).await;
    assert_eq!(probe.begin(&scope).await.token, None, "T-07: there is no token to keep it with");
    let token = token("2024-05-01T00:00:00Z");
    let query = scope.query.clone();
    probe.apply(PullBatch { query, token: Some(token.clone()), ..batch(&TODO, &[]) }).await;
    assert_eq!(probe.begin(&scope).await.token, Some(token.clone()));
    probe.finish(end(&scope)).await;
    let dated = DeltaToken { server_date: Some(date), ..token.clone() };
    assert_eq!(probe.begin(&scope).await.token, Some(dated.clone()));
    let query = scope.query.clone();
    probe.apply(PullBatch { query, token: Some(token), ..batch(&TODO, &[]) }).await;
    assert_eq!(probe.begin(&scope).await.token, Some(dated), "a later page keeps it");
}

pub(super) async fn r_11_a_refilling_pull_writes_known_versions<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("clean", "milk", "v1").await;
    probe.pulled("dirty", "milk", "v1").await;
    probe.update(todo("dirty", "mine")).await;
    let body = format!("[{},{}]", json("clean", "bread", "v1"), json("dirty", "bread", "v1"));
    assert_eq!(probe.pull(&body).await.unchanged, 2, "L-20 otherwise");
    let applied = probe.apply(PullBatch { refill: true, ..batch(&TODO, &[&body]) }).await;
    assert_eq!(applied, Applied { changed: 1, kept_local: 1, ..Applied::default() });
    assert_eq!(content(&probe.row("clean").await), Some(text("bread")));
    assert_eq!(content(&probe.row("dirty").await), Some(text("mine")));
    assert_eq!(probe.shadow("dirty").await.as_ref().and_then(content), Some(text("bread")));
    // L-20: what is the same already is no news. A window refills in each pull.
    let again = probe.apply(PullBatch { refill: true, ..batch(&TODO, &[&body]) }).await;
    assert_eq!(again, Applied { unchanged: 2, ..Applied::default() });
}
