//! Who may push, and for whom.

use super::probe::*;
use super::tables::TODO;
use crate::error::ErrorKind;
use crate::store::{Exchange, LocalStore, OtherAccount, Outcome, Owner, Settlement};

fn owner(endpoint: &str, account: Option<&str>) -> Owner {
    Owner { endpoint: endpoint.to_owned(), account: account.map(str::to_owned) }
}

pub(super) async fn z_03_the_lease_has_one_holder<S: LocalStore>(probe: Probe<S>) {
    let lease = probe.store.lease(true).await.expect("free");
    assert_eq!(probe.store.lease(false).await.map(|_| ()).expect_err("held").kind(), ErrorKind::Busy);
    // Local writes and reads need none.
    probe.insert(todo("a", "milk")).await;
    assert_eq!(content(&probe.row("a").await), Some(text("milk")));
    drop(lease);
    drop(probe.store.lease(false).await.expect("free again"));
}

pub(super) async fn f_08_a_late_outcome_of_an_operation_taken_again_is_ignored<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (dropped, first) = probe.send().await;
    let (running, again) = probe.send().await;
    assert_eq!(again.key, first.key, "the same request");
    let before = probe.operations().await;
    for outcome in [Outcome::Unsent, refused(), gone(None), acknowledged(server("a", "bread", "v2"))] {
        probe.settle(dropped, &first.key, outcome).await;
        assert_eq!(probe.operations().await, before);
        assert_eq!(probe.find_error("a").await, None);
        assert_eq!(probe.row("a").await.version.as_deref(), Some("v1"));
    }
    probe.settle(running, &again.key, acknowledged(server("a", "bread", "v2"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn f_08_a_late_outcome_counts_as_long_as_nobody_took_the_operation<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.insert(todo("a", "milk")).await;
    let (dropped, sent) = probe.send().await;
    probe.begin_push().await;
    probe.settle(dropped, &sent.key, acknowledged(server("a", "milk", "v1"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn f_08_a_push_that_another_one_followed_takes_nothing<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b"] {
        probe.insert(todo(id, "milk")).await;
    }
    let dropped = probe.begin_push().await;
    let sent = probe.exchange(dropped, Vec::new(), Some(take(1))).await.taken.remove(0);
    let running = probe.begin_push().await;
    let before = probe.operations().await;
    let settled = Settlement { key: sent.key, outcome: acknowledged(server("a", "milk", "v1")) };
    let late = Exchange { session: dropped, settlements: vec![settled], take: Some(take(9)) };
    let refusal = probe.store.exchange(late).await.expect_err("another push runs");
    assert_eq!(refusal.kind(), ErrorKind::Busy);
    assert_eq!(probe.operations().await, before);
    assert_eq!(probe.take(running).await.len(), 2);
}

pub(super) async fn c_12_the_first_owner_takes_the_queue<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    assert_eq!(probe.store.owner().await.expect("a read"), None);
    let claim = |owner| probe.store.claim(owner, OtherAccount::Refuse);
    assert_eq!(claim(owner("http://a", None)).await.expect("the first"), 0);
    // An account where none was told is the same user, named since.
    claim(owner("http://a", Some("ann"))).await.expect("ann");
    assert_eq!(probe.store.owner().await.expect("a read"), Some(owner("http://a", Some("ann"))));
    claim(owner("http://a", Some("ann"))).await.expect("ann again");
    for other in [owner("http://a", Some("bob")), owner("http://b", Some("ann")), owner("http://a", None)] {
        assert_eq!(claim(other).await.expect_err("another").kind(), ErrorKind::OtherAccount);
    }
    assert_eq!(probe.store.owner().await.expect("a read"), Some(owner("http://a", Some("ann"))));
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
    probe.delete("a").await;
    claim(owner("http://a", Some("bob"))).await.expect("nothing waits");
}

/// A queue of ann's with an operation of each kind, one of them failed; and a token.
async fn anns<S: LocalStore>(probe: &Probe<S>) {
    probe.store.claim(owner("http://a", Some("ann")), OtherAccount::Refuse).await.expect("ann");
    for id in ["changed", "deleted", "refused"] {
        probe.pulled(id, "theirs", "v1").await;
    }
    let mut batch = batch(&TODO, &[]);
    (batch.query, batch.token) = (Some(query("q")), Some(token("2024-01-01T00:00:00Z")));
    probe.apply(batch).await;
    probe.update(todo("refused", "mine")).await;
    probe.answer(refused()).await;
    probe.update(todo("changed", "mine")).await;
    probe.delete("deleted").await;
    probe.insert(todo("new", "mine")).await;
}

pub(super) async fn c_12_discarded_operations_leave_the_servers_rows<S: LocalStore>(probe: Probe<S>) {
    anns(&probe).await;
    // A newer copy, and a request under way.
    probe.pull(&format!("[{}]", json("changed", "newer", "v2"))).await;
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    let dropped = probe.store.claim(owner("http://a", Some("bob")), OtherAccount::Discard).await;
    assert_eq!(dropped.expect("bob"), 4);
    assert_eq!(probe.operations().await, []);
    for (id, expected) in [("changed", "newer"), ("deleted", "theirs"), ("refused", "theirs")] {
        assert_eq!(content(&probe.row(id).await), Some(text(expected)), "{id}");
        probe.assert_clean(id).await;
    }
    assert_eq!(probe.find("new").await, None);
    // What was under way meanwhile changes nothing.
    for operation in taken {
        probe.settle(session, &operation.key, Outcome::Acknowledged { row: None }).await;
    }
    assert_eq!(content(&probe.row("changed").await), Some(text("newer")));
    let start = probe.store.begin_pull(scope(&TODO, Some(query("q")))).await.expect("a pull");
    assert_eq!(start.token, None, "another account may see other rows");
}

pub(super) async fn c_12_a_discarded_change_of_a_row_that_is_gone_brings_nothing_back<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.store.claim(owner("http://a", Some("ann")), OtherAccount::Refuse).await.expect("ann");
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(gone(None)).await;
    probe.store.claim(owner("http://a", Some("bob")), OtherAccount::Discard).await.expect("bob");
    assert_eq!(probe.find("a").await, None);
    probe.assert_clean("a").await;
}

pub(super) async fn c_12_adopted_operations_stay<S: LocalStore>(probe: Probe<S>) {
    anns(&probe).await;
    let before = (probe.operations().await, probe.error("refused").await);
    let dropped = probe.store.claim(owner("http://b", Some("bob")), OtherAccount::Adopt).await;
    assert_eq!(dropped.expect("bob"), 0);
    assert_eq!((probe.operations().await, probe.error("refused").await), before);
    assert_eq!(probe.store.owner().await.expect("a read"), Some(owner("http://b", Some("bob"))));
    let start = probe.store.begin_pull(scope(&TODO, Some(query("q")))).await.expect("a pull");
    assert_eq!(start.token, None);
}
