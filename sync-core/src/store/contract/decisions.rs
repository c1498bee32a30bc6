//! Every kind of decision, conflicts that a pull showed, the record of resolutions, and undelete.

use super::probe::*;
use super::tables::{LIST, TODO};
use crate::error::{ErrorKind, Result};
use crate::operation::{FailureClass, Operation, OperationKind, OperationState, SentKind};
use crate::row::Row;
use crate::store::{
    ConflictPolicy, LocalChangeKind, LocalStore, MAX_RESOLUTIONS, OpenConflict, Outcome, Resolution,
    ResolutionKind,
};
use crate::value::Value;

async fn decide<S: LocalStore>(probe: &Probe<S>, id: &str, resolution: Resolution) {
    try_decide(probe, id, resolution).await.expect("a resolution");
    assert_eq!(probe.find_error(id).await, None, "the error is gone");
}

async fn try_decide<S: LocalStore>(probe: &Probe<S>, id: &str, resolution: Resolution) -> Result<()> {
    let key = probe.operation(id).await.key;
    probe.store.resolve(key, resolution, Resolver::App).await
}

async fn conflicts<S: LocalStore>(probe: &Probe<S>) -> Vec<OpenConflict> {
    probe.store.conflicts(None).await.expect("a read")
}

fn into(kind: OperationKind, item: Option<Row>) -> Resolution {
    Resolution::ChangeKind { kind, item, version: None }
}

async fn removed<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("note", text("mine"))])).await;
    probe.delete("a").await;
    probe.answer(outcome).await;
}

fn shown(operation: &Operation) -> (Standing, Option<&str>) {
    (standing(operation), operation.base_version.as_deref())
}

pub(super) async fn k_08_any_row_is_stored_and_the_operation_dropped<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let given = Row { version: Some("v7".to_owned()), ..todo("a", "agreed on the phone") };
    decide(&probe, "a", Resolution::Store(given)).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("agreed on the phone")), Some("v7")));
    assert_eq!(value(&row, "note"), Some(text("mine")), "the local-only column stays");

    // Without a version of its own the row has that of the server's row just seen.
    inserted_as(&probe, "b", conflict(server("b", "theirs", "v2"))).await;
    decide(&probe, "b", Resolution::Store(todo("b", "mine after all"))).await;
    probe.assert_clean("b").await;
    assert_eq!(probe.row("b").await.version.as_deref(), Some("v2"));

    inserted_as(&probe, "c", conflict(server("c", "theirs", "v2"))).await;
    decide(&probe, "c", Resolution::Store(deleted(todo("c", "")))).await;
    probe.assert_clean("c").await;
    assert_eq!(probe.find("c").await, None);
    assert!(probe.operations().await.is_empty());
}

async fn inserted_as<S: LocalStore>(probe: &Probe<S>, id: &str, outcome: Outcome) {
    probe.insert(todo(id, "bread")).await;
    probe.answer(outcome).await;
}

pub(super) async fn k_08_a_stored_row_brings_a_deleted_one_back<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(server("a", "theirs", "v2"))).await;
    decide(&probe, "a", Resolution::Store(todo("a", "kept"))).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("kept")), Some("v2")));
    assert_eq!(value(&row, "note"), Some(text("mine")));
}

pub(super) async fn s_08_a_kept_row_has_the_servers_newest_unknown_members<S: LocalStore>(probe: Probe<S>) {
    let seen = |color: &str| Some(format!("{{\"color\":\"{color}\"}}"));
    let with = |row: Row, color: &str| Row { extra: seen(color), ..row };
    // Nothing was known of a row that somebody else made under the same id.
    inserted_as(&probe, "b", conflict(with(server("b", "theirs", "v1"), "green"))).await;
    decide(&probe, "b", Resolution::KeepLocal).await;
    assert_eq!(probe.row("b").await.extra, seen("green"));
    probe.answer(acknowledged(None)).await;

    let body = json("a", "milk", "v1").replace("\"text\"", "\"color\":\"red\",\"text\"");
    probe.pull(&format!("[{body}]")).await;
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(with(server("a", "theirs", "v2"), "blue"))).await;
    decide(&probe, "a", Resolution::KeepLocal).await;
    let (_, sent) = probe.send().await;
    assert_eq!((content(&sent.item), sent.base_version.as_deref()), (Some(text("bread")), Some("v2")));
    assert_eq!(probe.row("a").await.extra, seen("blue"));
}

pub(super) async fn k_10_a_given_version_is_the_base<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let merged = Row { version: Some("v9".to_owned()), ..todo("a", "both") };
    decide(&probe, "a", Resolution::Merge(merged)).await;
    let (_, sent) = probe.send().await;
    assert_eq!((sent.base_version.as_deref(), content(&sent.item)), (Some("v9"), Some(text("both"))));
    assert_eq!(probe.row("a").await.version.as_deref(), Some("v1"), "the row's version is the server's");
}

pub(super) async fn k_11_an_insert_becomes_an_update_of_the_servers_row<S: LocalStore>(probe: Probe<S>) {
    inserted(&probe, conflict(server("a", "theirs", "v2"))).await;
    let before = probe.operation("a").await.key;
    let item = part("a", &[("text", text("mine")), ("note", text("here"))]);
    decide(&probe, "a", into(OperationKind::Update, Some(item))).await;
    let operation = probe.operation("a").await;
    assert_eq!(shown(&operation), (PENDING_UPDATE, Some("v2")));
    assert_eq!((operation.key.seq, operation.key.revision), (before.seq, before.revision + 1));
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, present(&sent.item)), (SentKind::Update, vec!["text"]));
    assert_eq!(content(&probe.row("a").await), Some(text("mine")));
}

pub(super) async fn k_11_an_update_becomes_an_insert<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, gone(None)).await;
    decide(&probe, "a", into(OperationKind::Insert, None)).await;
    assert_eq!(shown(&probe.operation("a").await), (PENDING_INSERT, None));
    assert_eq!(probe.shadow("a").await, None);
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, content(&sent.item)), (SentKind::Insert, Some(text("bread"))));
    assert_eq!(value(&sent.item, "rank"), Some(Value::Integer(3)), "the whole row");
}

pub(super) async fn k_11_an_update_becomes_an_insert_that_revives<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, gone(deleted(server("a", "milk", "v2")))).await;
    decide(&probe, "a", into(OperationKind::Insert, Some(todo("a", "again")))).await;
    assert_eq!(shown(&probe.operation("a").await), (PENDING_INSERT, Some("v2")));
    assert_eq!(probe.send().await.1.sent, SentKind::Undelete);
    assert_eq!(content(&probe.row("a").await), Some(text("again")));
}

pub(super) async fn k_11_an_update_becomes_a_delete_at_the_end<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    probe.insert(todo("b", "later")).await;
    decide(&probe, "a", into(OperationKind::Delete, None)).await;
    assert_eq!(shown(&probe.operation("a").await), (PENDING_DELETE, Some("v2")));
    assert_eq!(probe.queue().await, ["b", "a"], "X-08");
    assert_eq!(probe.find("a").await, None);
    let session = probe.begin_push().await;
    let insert = probe.exchange(session, Vec::new(), Some(take(1))).await.taken.remove(0);
    probe.settle(session, &insert.key, acknowledged(None)).await;
    let delete = probe.take_one(session).await;
    assert_eq!((delete.sent, delete.base_version.as_deref()), (SentKind::Delete, Some("v2")));
    assert_eq!(content(&delete.item), Some(text("bread")), "Q-05: the row as it was");
    probe.settle(session, &delete.key, conflict(server("a", "again", "v3"))).await;
    decide(&probe, "a", Resolution::TakeRemote).await;
    assert_eq!(value(&probe.row("a").await, "note"), Some(text("mine")), "the local-only column was kept");
}

pub(super) async fn k_11_a_delete_becomes_an_update_with_its_row<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(server("a", "theirs", "v2"))).await;
    decide(&probe, "a", into(OperationKind::Update, Some(todo("a", "kept")))).await;
    assert_eq!(shown(&probe.operation("a").await), (PENDING_UPDATE, Some("v2")));
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "note")), (Some(text("kept")), Some(text("mine"))));
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, present(&sent.item)), (SentKind::Update, vec!["text"]));
}

pub(super) async fn k_11_what_does_not_fit_is_refused<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(server("a", "theirs", "v2"))).await;
    let null = part("a", &[("text", Value::Null)]);
    for (resolution, kind) in [
        (into(OperationKind::Update, None), ErrorKind::InvalidArgument),
        (into(OperationKind::Insert, None), ErrorKind::InvalidArgument),
        (into(OperationKind::Delete, Some(todo("a", "x"))), ErrorKind::InvalidArgument),
        (into(OperationKind::Update, Some(todo("b", "x"))), ErrorKind::InvalidArgument),
        (into(OperationKind::Update, Some(null.clone())), ErrorKind::InvalidValue),
        (Resolution::Store(todo("b", "x")), ErrorKind::InvalidArgument),
        (Resolution::Store(null), ErrorKind::InvalidValue),
        (Resolution::Merge(todo("a", "x")), ErrorKind::InvalidArgument),
    ] {
        let what = format!("{resolution:?}");
        let before = (probe.operation("a").await, probe.error("a").await);
        let error = try_decide(&probe, "a", resolution).await.expect_err(&what);
        assert_eq!(
            (error.kind(), error.table(), error.item().is_some()),
            (kind, Some(TODO.name), true),
            "{what}"
        );
        assert_eq!((probe.operation("a").await, probe.error("a").await), before, "{what}");
    }
    assert_eq!(probe.find("a").await, None);
    assert!(probe.store.resolutions().await.expect("a read").is_empty(), "nothing was decided");
}

pub(super) async fn k_11_not_while_the_outcome_is_unknown<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)))).await;
    let error = try_decide(&probe, "a", into(OperationKind::Delete, None)).await.expect_err("in flight");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(probe.operation("a").await.state, OperationState::Attempted);
    // Dropping it is possible at any time.
    decide(&probe, "a", Resolution::Store(todo("a", "milk"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn k_12_every_resolution_is_checked<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let key = probe.error("a").await.key;
    probe.update(todo("a", "newer")).await;
    for resolution in [
        Resolution::KeepLocal,
        Resolution::Merge(todo("a", "x")),
        Resolution::TakeRemote,
        Resolution::Store(todo("a", "x")),
        into(OperationKind::Delete, None),
        Resolution::Leave,
        Resolution::Park,
        Resolution::Unpark,
    ] {
        let what = format!("{resolution:?}");
        let outdated = probe.store.resolve(key.clone(), resolution, Resolver::App).await;
        assert_eq!(outdated.expect_err(&what).kind(), ErrorKind::OperationChanged, "{what}");
    }
    assert_eq!(content(&probe.row("a").await), Some(text("newer")));
    assert!(probe.store.resolutions().await.expect("a read").is_empty());
}

pub(super) async fn k_17_a_stale_object_is_in_conflict_before_a_push<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    probe.update(Row { version: Some("v1".to_owned()), ..todo("a", "mine") }).await;
    let open = conflicts(&probe).await.pop().expect("a conflict");
    assert_eq!(open.remote.as_ref().and_then(|remote| remote.version.as_deref()), Some("v2"));
    assert_eq!(open.operation.base_version.as_deref(), Some("v1"));
}

pub(super) async fn k_20_a_pulled_copy_is_a_conflict_before_any_push<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.update(todo("b", "bread")).await;
    probe.insert(todo("c", "new")).await;
    assert!(conflicts(&probe).await.is_empty(), "nobody else changed anything");
    probe.pull(&format!("[{},{}]", json("a", "theirs", "v2"), json("b", "milk", "v1"))).await;
    let open = conflicts(&probe).await;
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].operation.key.item_id.as_str(), &open[0].error), ("a", &None));
    let text_of = |row: &Option<Row>| row.as_ref().and_then(content);
    assert_eq!(
        [text_of(&open[0].base), text_of(&open[0].local), text_of(&open[0].remote)],
        [Some(text("milk")), Some(text("bread")), Some(text("theirs"))]
    );
    // An insert whose id somebody else used meanwhile.
    probe.pull(&format!("[{}]", json("c", "theirs", "v1"))).await;
    assert_eq!(conflicts(&probe).await.len(), 2);
    assert!(probe.store.conflicts(Some(&LIST)).await.expect("a read").is_empty());
}

pub(super) async fn k_20_a_pulled_conflict_is_resolved<S: LocalStore>(probe: Probe<S>) {
    for (index, resolution) in
        [Resolution::KeepLocal, Resolution::Merge(todo("r1", "both")), Resolution::TakeRemote]
            .into_iter()
            .enumerate()
    {
        let id = format!("r{index}");
        probe.pulled(&id, "milk", "v1").await;
        probe.update(todo(&id, "bread")).await;
        probe.pull(&format!("[{}]", json(&id, "theirs", "v2"))).await;
        decide(&probe, &id, resolution).await;
        assert!(conflicts(&probe).await.is_empty());
    }
    assert_eq!(shown(&probe.operation("r0").await), (PENDING_UPDATE, Some("v2")));
    assert_eq!(content(&probe.row("r0").await), Some(text("bread")));
    assert_eq!(content(&probe.row("r1").await), Some(text("both")));
    probe.assert_clean("r2").await;
    assert_eq!(content(&probe.row("r2").await), Some(text("theirs")));

    // K-13: what is resolved is nothing to resolve any more.
    let again = try_decide(&probe, "r0", Resolution::TakeRemote).await.expect_err("resolved");
    assert_eq!(again.kind(), ErrorKind::OperationChanged);
}

pub(super) async fn k_20_a_pulled_deletion_is_a_conflict<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.delete("b").await;
    probe.pull(&format!("[{},{}]", tombstone("a", "v2"), tombstone("b", "v2"))).await;
    let open = conflicts(&probe).await;
    assert_eq!(open.len(), 1, "both sides deleted b: {open:?}");
    assert!(open[0].remote.as_ref().expect("the tombstone").deleted);
    decide(&probe, "a", Resolution::KeepLocal).await;
    assert_eq!(shown(&probe.operation("a").await), (PENDING_INSERT, Some("v2")), "K-15: revived");
    assert!(conflicts(&probe).await.is_empty());
}

pub(super) async fn k_20_what_is_in_flight_waits_for_its_answer<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    assert!(conflicts(&probe).await.is_empty(), "perhaps the copy is what was just sent");
    let early = try_decide(&probe, "a", Resolution::TakeRemote).await.expect_err("in flight");
    assert_eq!(early.kind(), ErrorKind::OperationChanged);
    probe.settle(session, &sent.key, conflict(server("a", "theirs", "v2"))).await;
    assert_eq!(conflicts(&probe).await.len(), 1);
}

pub(super) async fn conflicts_show_everything_known<S: LocalStore>(probe: Probe<S>) {
    removed(&probe, conflict(part_of_server())).await;
    let open = conflicts(&probe).await.pop().expect("a conflict");
    assert_eq!(open.error.as_ref().map(|error| error.key.clone()), Some(open.operation.key.clone()));
    let local = open.local.as_ref().expect("the row as it was deleted");
    assert_eq!((content(local), value(local, "note")), (Some(text("milk")), Some(text("mine"))));
    let remote = open.remote.as_ref().expect("the server's row");
    assert_eq!(content(remote), Some(text("theirs")));
    assert_eq!(value(remote, "rank"), Some(Value::Integer(3)), "what the answer left out is as in the base");

    decide(&probe, "a", Resolution::TakeRemote).await;
    inserted_as(&probe, "b", gone(None)).await;
    let open = probe.store.conflicts(Some(&TODO)).await.expect("a read");
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0].base, &open[0].remote), (&None, &None));
}

fn part_of_server() -> Row {
    Row { version: Some("v2".to_owned()), ..todo("a", "theirs") }
}

pub(super) async fn resolutions_are_remembered<S: LocalStore>(probe: Probe<S>) {
    updated(&probe, conflict(server("a", "theirs", "v2"))).await;
    let at = probe.operation("a").await.key.seq;
    decide(&probe, "a", Resolution::KeepLocal).await;
    let (session, sent) = probe.send().await;
    let outcome = Outcome::Resolved {
        failure: failure(FailureClass::Gone, Some(deleted(server("a", "theirs", "v3")))),
        resolution: Resolution::TakeRemote,
        by: Resolver::Policy(ConflictPolicy::ServerWins),
    };
    probe.settle(session, &sent.key, outcome).await;
    probe.assert_clean("a").await;

    let remembered = probe.store.resolutions().await.expect("a read");
    let shown: Vec<_> = remembered
        .iter()
        .map(|record| (record.number, record.decision, record.by, record.class, record.status))
        .collect();
    let by_policy = Resolver::Policy(ConflictPolicy::ServerWins);
    assert_eq!(
        shown,
        [
            (1, ResolutionKind::KeepLocal, Resolver::App, FailureClass::Conflict, Some(412)),
            (2, ResolutionKind::TakeRemote, by_policy, FailureClass::Gone, Some(404)),
        ]
    );
    let first = &remembered[0];
    assert_eq!(
        (first.table, first.item_id.as_str(), first.operation),
        (TODO.name, "a", OperationKind::Update)
    );
    assert_eq!((first.base_version.as_deref(), first.remote_version.as_deref()), (Some("v1"), Some("v2")));
    assert_eq!(remembered[1].base_version.as_deref(), Some("v2"));
    assert!(first.at_seq >= at && remembered[1].at_seq >= first.at_seq);
    // Forgetting the rows does not forget what was decided.
    let purge = crate::store::Purge {
        force: true,
        ..crate::store::Purge::new(crate::predicate::Predicate::all(&TODO))
    };
    probe.store.purge(purge).await.expect("a purge");
    assert_eq!(probe.store.resolutions().await.expect("a read"), remembered);
}

pub(super) async fn the_last_thousand_resolutions_are_remembered<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v0").await;
    probe.update(todo("a", "bread")).await;
    let session = probe.begin_push().await;
    let mut next = probe.take_one(session).await;
    for version in 1..=MAX_RESOLUTIONS + 5 {
        let outcome = Outcome::Resolved {
            failure: failure(FailureClass::Conflict, Some(server("a", "theirs", &format!("v{version}")))),
            resolution: Resolution::KeepLocal,
            by: Resolver::Handler,
        };
        next = probe
            .exchange(session, vec![crate::store::Settlement { key: next.key, outcome }], Some(take(1)))
            .await
            .taken
            .remove(0);
    }
    let remembered = probe.store.resolutions().await.expect("a read");
    assert_eq!(remembered.len(), MAX_RESOLUTIONS as usize);
    let numbers: Vec<i64> = remembered.iter().map(|record| record.number).collect();
    assert_eq!((numbers[0], numbers[numbers.len() - 1]), (6, i64::from(MAX_RESOLUTIONS) + 5));
}

/// The row `l` of LIST, which the server marked deleted in v2.
async fn kept_row<S: LocalStore>(probe: &Probe<S>) {
    for (version, deleted) in [("v1", false), ("v2", true)] {
        let body = format!(
            "[{{\"id\":\"l\",\"title\":\"home\",\"n\":1,\"version\":\"{version}\",\"deleted\":{deleted}}}]"
        );
        probe.apply(batch(&LIST, &[&body])).await;
    }
}

async fn change_list<S: LocalStore>(probe: &Probe<S>, kind: LocalChangeKind) -> Result<()> {
    probe.try_write(vec![change(&LIST, kind)]).await
}

async fn list<S: LocalStore>(probe: &Probe<S>) -> Option<Row> {
    probe.store.get(&LIST, "l").await.expect("a read")
}

fn undelete() -> LocalChangeKind {
    LocalChangeKind::Undelete("l".to_owned())
}

fn answered(title: &str, version: &str) -> Row {
    let mut row = row_of(&LIST, "l", &[("title", text(title)), ("n", Value::Integer(1))]);
    row.version = Some(version.to_owned());
    row
}

pub(super) async fn w_09_a_kept_row_is_undeleted<S: LocalStore>(probe: Probe<S>) {
    kept_row(&probe).await;
    change_list(&probe, undelete()).await.expect("undeleted");
    assert!(!list(&probe).await.expect("the row").deleted);
    let operation = probe.operation("l").await;
    assert_eq!(shown(&operation), (PENDING_INSERT, Some("v2")));
    assert!(conflicts(&probe).await.is_empty(), "the deletion is what is taken back");
    let (session, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
    probe.settle(session, &sent.key, acknowledged(answered("home", "v3"))).await;
    // Nothing but the mark had changed.
    assert!(probe.take(session).await.is_empty());
    assert_eq!(probe.find_operation("l").await, None);
    let row = list(&probe).await.expect("the row");
    assert_eq!((row.deleted, row.version.as_deref()), (false, Some("v3")));
}

pub(super) async fn w_09_an_undelete_with_an_edit<S: LocalStore>(probe: Probe<S>) {
    kept_row(&probe).await;
    change_list(&probe, undelete()).await.expect("undeleted");
    change_list(&probe, LocalChangeKind::Update(row_of(&LIST, "l", &[("title", text("away"))])))
        .await
        .expect("updated");
    assert_eq!(shown(&probe.operation("l").await), (PENDING_INSERT, Some("v2")), "X-02");
    let (session, sent) = probe.send().await;
    assert_eq!(sent.sent, SentKind::Undelete);
    probe.settle(session, &sent.key, acknowledged(answered("home", "v3"))).await;
    let update = probe.take_one(session).await;
    assert_eq!((update.sent, update.base_version.as_deref()), (SentKind::Update, Some("v3")));
    assert_eq!(update.item.values, row_of(&LIST, "l", &[("title", text("away"))]).values);
    probe.settle(session, &update.key, acknowledged(answered("away", "v4"))).await;
    assert_eq!(list(&probe).await.expect("the row").values[0], Some(text("away")));

    // the revival is not wanted any more; the server's row is deleted already.
    let body = "[{\"id\":\"l\",\"title\":\"away\",\"n\":1,\"version\":\"v5\",\"deleted\":true}]";
    probe.apply(batch(&LIST, &[body])).await;
    change_list(&probe, undelete()).await.expect("undeleted");
    change_list(&probe, LocalChangeKind::Delete("l".to_owned())).await.expect("deleted");
    assert!(probe.operations().await.is_empty());
}

pub(super) async fn w_09_only_a_deleted_row_is_undeleted<S: LocalStore>(probe: Probe<S>) {
    let kind_of_refusal = async || change_list(&probe, undelete()).await.expect_err("not deleted").kind();
    assert_eq!(kind_of_refusal().await, ErrorKind::NotFound, "no such row");
    kept_row(&probe).await;
    change_list(&probe, undelete()).await.expect("undeleted");
    assert_eq!(kind_of_refusal().await, ErrorKind::NotFound, "it is live already");
    probe.refuses(LocalChangeKind::Undelete("..".to_owned()), ErrorKind::InvalidId).await;

    // An edit of the deleted row goes with it; while that is in flight nothing is known.
    let (session, sent) = probe.send().await;
    probe.settle(session, &sent.key, refused()).await;
    decide(&probe, "l", Resolution::TakeRemote).await;
    assert!(list(&probe).await.expect("the row is kept").deleted);
    let edit = row_of(&LIST, "l", &[("title", text("edited"))]);
    change_list(&probe, LocalChangeKind::Update(edit)).await.expect("updated");
    let (session, sent) = probe.send().await;
    assert_eq!(kind_of_refusal().await, ErrorKind::Busy);
    probe.settle(session, &sent.key, gone(deleted(answered("home", "v2")))).await;
    change_list(&probe, undelete()).await.expect("undeleted");
    assert_eq!(probe.find_error("l").await, None, "X-14");
    assert_eq!(shown(&probe.operation("l").await), (PENDING_INSERT, Some("v2")));
    assert_eq!(list(&probe).await.expect("the row").values[0], Some(text("edited")));
}
