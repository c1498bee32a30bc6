//! The collapse matrix, made by local writes over operations in every standing.

use super::probe::*;
use crate::error::ErrorKind;
use crate::operation::OperationKind::{Delete, Insert, Update};
use crate::operation::OperationState::{Attempted, Failed, Pending};
use crate::operation::ServerMayHold::{Foreign, Maybe, No};
use crate::operation::{Change, Collapsed, FailureClass, Queued, SentKind, collapse};
use crate::store::LocalChangeKind;
use crate::store::{LocalStore, Outcome, Resolution};

/// How an operation comes to stand before the change.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Pending,
    InFlight,
    Uncertain,
    Refused,
    Conflict,
}

/// What the app and the push did before.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Insert,
    Update,
    Delete,
    /// An insert deleted while it is in flight.
    InsertThenDelete,
    /// A delete whose row came back while it is in flight.
    DeleteThenInsert,
}

/// Every standing that a queued operation can reach, each changed in every way: the store must do what
/// [`collapse`] says.
pub(super) async fn x_01_to_x_12_the_matrix_by_local_writes<S: LocalStore>(probe: Probe<S>) {
    let mut count = 0;
    for origin in
        [Origin::Insert, Origin::Update, Origin::Delete, Origin::InsertThenDelete, Origin::DeleteThenInsert]
    {
        for standing in [
            Standing::Pending,
            Standing::InFlight,
            Standing::Uncertain,
            Standing::Refused,
            Standing::Conflict,
        ] {
            for change in [Change::Insert, Change::Update, Change::Delete] {
                count += 1;
                let id = format!("row{count:03}");
                arrange(&probe, &id, origin, standing).await;
                check(&probe, &id, change, &format!("{origin:?} {standing:?} {change:?}")).await;
                clear(&probe).await;
            }
        }
    }
}

async fn arrange<S: LocalStore>(probe: &Probe<S>, id: &str, origin: Origin, standing: Standing) {
    match origin {
        Origin::Insert | Origin::InsertThenDelete => probe.insert(todo(id, "milk")).await,
        Origin::Update => {
            probe.pulled(id, "milk", "v1").await;
            probe.update(todo(id, "bread")).await;
        }
        Origin::Delete | Origin::DeleteThenInsert => {
            probe.pulled(id, "milk", "v1").await;
            probe.delete(id).await;
        }
    }
    if matches!(standing, Standing::Pending) {
        return;
    }
    let (session, sent) = probe.send().await;
    match origin {
        Origin::InsertThenDelete => probe.delete(id).await,
        Origin::DeleteThenInsert => probe.insert(todo(id, "new")).await,
        _ => {}
    }
    let outcome = match standing {
        Standing::Pending | Standing::InFlight => return,
        Standing::Uncertain => Outcome::Uncertain(None),
        Standing::Refused => refused(),
        Standing::Conflict => conflict(server(id, "theirs", "v7")),
    };
    probe.settle(session, &sent.key, outcome).await;
}

async fn check<S: LocalStore>(probe: &Probe<S>, id: &str, change: Change, what: &str) {
    let before = probe.find_operation(id).await;
    let queued = before.as_ref().map(|operation| Queued {
        kind: operation.kind,
        state: operation.state,
        server_may_hold: operation.server_may_hold,
        sent: operation.sent.map(|(sent, _)| sent),
    });
    let row_before = probe.find(id).await;
    let error_before = probe.find_error(id).await;
    let kind = match change {
        Change::Insert => LocalChangeKind::Insert(todo(id, "changed")),
        Change::Update => LocalChangeKind::Update(todo(id, "changed")),
        Change::Delete => LocalChangeKind::Delete(id.to_owned()),
    };
    let mut expected = collapse(queued, change);
    // Without an operation the row alone decides.
    if queued.is_none() {
        match (row_before.is_some(), change) {
            (true, Change::Insert) => expected = Collapsed::Exists,
            (false, Change::Update | Change::Delete) => expected = Collapsed::Missing,
            _ => {}
        }
    }
    let result = probe.try_one(kind).await;
    let after = probe.find_operation(id).await;
    match expected {
        Collapsed::Exists | Collapsed::Missing => {
            let kind = result.expect_err(what).kind();
            let refusal =
                if expected == Collapsed::Exists { ErrorKind::AlreadyExists } else { ErrorKind::NotFound };
            assert_eq!(kind, refusal, "{what}");
            assert_eq!(after, before, "{what}");
            assert_eq!(probe.find(id).await, row_before, "{what}");
            assert_eq!(probe.find_error(id).await, error_before, "{what}");
            return;
        }
        Collapsed::Vanish | Collapsed::VanishAndRefetch => {
            result.expect(what);
            probe.assert_clean(id).await;
        }
        Collapsed::New(kind) => {
            result.expect(what);
            let after = after.expect(what);
            assert_eq!((after.kind, after.state, after.key.revision), (kind, Pending, 1), "{what}");
        }
        Collapsed::Keep(kind) | Collapsed::MoveToEnd(kind) => {
            result.expect(what);
            let (before, after) = (before.expect(what), after.expect(what));
            assert_eq!(after.kind, kind, "{what}");
            assert_eq!(after.key.revision, before.key.revision + 1, "{what}");
            assert_eq!(after.server_may_hold, before.server_may_hold, "{what}");
            assert_eq!(after.base_version, before.base_version, "{what}");
            assert_eq!(after.sent, before.sent, "{what}");
            assert_eq!(probe.find_error(id).await, None, "{what}: X-14");
            if before.state == Attempted {
                assert_eq!(after.state, Attempted, "{what}: R1");
                assert_eq!(after.key.seq, before.key.seq, "{what}");
                assert!(after.tail_seq > Some(after.key.seq), "{what}: the place of the remainder");
            } else {
                assert_eq!(after.state, Pending, "{what}: X-14");
                let moved = matches!(expected, Collapsed::MoveToEnd(_));
                assert_eq!(after.key.seq > before.key.seq, moved, "{what}: the place");
            }
        }
    }
    match change {
        Change::Insert | Change::Update => {
            assert_eq!(content(&probe.row(id).await), Some(text("changed")), "{what}");
        }
        Change::Delete => assert_eq!(probe.find(id).await, None, "{what}"),
    }
}

async fn clear<S: LocalStore>(probe: &Probe<S>) {
    let predicate = crate::predicate::Predicate::all(&super::tables::TODO);
    probe
        .store
        .purge(crate::store::Purge { force: true, ..crate::store::Purge::new(predicate) })
        .await
        .expect("a purge");
    assert_eq!(probe.operations().await, []);
}

pub(super) async fn x_02_insert_and_update<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "milk")).await;
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.queue().await, ["a", "b"]);
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
    assert_eq!(probe.operation("a").await.key.revision, 2);
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    assert_eq!(requests(&taken), [(SentKind::Insert, "a"), (SentKind::Insert, "b")]);
    assert_eq!(content(&taken[0].item), Some(text("bread")));
}

pub(super) async fn x_03_insert_and_delete_vanish<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.delete("a").await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
    let session = probe.begin_push().await;
    assert_eq!(session.queued, 0);
    assert!(probe.take(session).await.is_empty());
}

pub(super) async fn x_04_insert_of_unknown_outcome_and_delete<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    assert_eq!(probe.standing("a").await, (Insert, Attempted, Maybe));
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.standing("a").await, (Insert, Attempted, Maybe), "R1: an edit does not make it unsent");
    probe.delete("a").await;
    assert_eq!(probe.standing("a").await, (Delete, Attempted, Maybe));
    assert_eq!(probe.operation("a").await.base_version, None);
    assert_eq!(probe.find("a").await, None);
    // The delete carries what the insert sent, by which the server's row is known, until its own outcome is clear.
    for outcome in [Outcome::Unsent, Outcome::Uncertain(None), Outcome::Unsent] {
        let sent = probe.answer(outcome).await;
        assert_eq!((sent.sent, sent.uncertain, sent.base_version), (SentKind::Delete, true, None));
        assert_eq!(content(&sent.item), Some(text("bread")));
        assert_eq!(sent.earlier.as_ref().and_then(content), Some(text("milk")));
    }
    // A row that somebody changed since is a conflict of the delete; whether there is one of ours stays open.
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    assert_eq!(probe.standing("a").await, (Delete, Failed, Maybe));
    assert_eq!(probe.error("a").await.kind, Delete);
    let sent = probe.answer(acknowledged(None)).await;
    assert_eq!((sent.sent, sent.base_version, sent.earlier), (SentKind::Delete, None, None));
    probe.assert_clean("a").await;
}

pub(super) async fn x_05_refused_insert_and_delete_vanish<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(refused()).await;
    assert_eq!(probe.standing("a").await, (Insert, Failed, No));
    probe.delete("a").await;
    probe.assert_clean("a").await;
}

pub(super) async fn x_06_insert_over_a_foreign_row_and_delete_vanish<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(conflict(server("a", "theirs", "v1"))).await;
    assert_eq!(probe.standing("a").await, (Insert, Failed, Foreign));
    probe.delete("a").await;
    probe.assert_clean("a").await;
    let session = probe.begin_push().await;
    assert!(probe.take(session).await.is_empty(), "the server's row is not deleted");
}

pub(super) async fn x_06_a_foreign_row_stays_foreign_when_the_insert_is_sent_again<S: LocalStore>(
    probe: Probe<S>,
) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(conflict(server("a", "theirs", "v1"))).await;
    let (session, sent) = probe.send().await;
    assert_eq!(sent.sent, SentKind::Insert);
    assert_eq!(probe.standing("a").await, (Insert, Attempted, Foreign));
    probe.settle(session, &sent.key, Outcome::Unsent).await;
    assert_eq!(probe.standing("a").await, (Insert, Failed, Foreign));
    probe.answer(Outcome::Uncertain(None)).await;
    probe.update(todo("a", "bread")).await;
    assert_eq!(probe.standing("a").await, (Insert, Attempted, Foreign));
    probe.answer(Outcome::Uncertain(None)).await;
    assert_eq!(probe.standing("a").await, (Insert, Attempted, Foreign));
    probe.delete("a").await;
    probe.assert_clean("a").await;
    let session = probe.begin_push().await;
    assert!(probe.take(session).await.is_empty(), "the server's row is not deleted");
}

pub(super) async fn x_07_update_and_update_keep_the_first_base<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b"] {
        probe.pulled(id, "milk", "v1").await;
        probe.update(todo(id, "bread")).await;
    }
    probe.pull(&format!("[{}]", json("a", "theirs", "v2"))).await;
    probe.update(todo("a", "jam")).await;
    assert_eq!(probe.queue().await, ["a", "b"]);
    let operation = probe.operation("a").await;
    assert_eq!(operation.base_version.as_deref(), Some("v1"));
    assert_eq!(operation.key.revision, 2);
    assert_eq!(probe.shadow("a").await.expect("a shadow").version.as_deref(), Some("v2"));
}

pub(super) async fn x_08_update_and_delete_move_to_the_end<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b"] {
        probe.pulled(id, "milk", "v1").await;
        probe.update(todo(id, "bread")).await;
    }
    probe.delete("a").await;
    assert_eq!(probe.queue().await, ["b", "a"]);
    assert_eq!(probe.standing("a").await, PENDING_DELETE);
    assert_eq!(probe.operation("a").await.base_version.as_deref(), Some("v1"));
    let session = probe.begin_push().await;
    let taken = probe.exchange(session, Vec::new(), Some(take(1))).await.taken;
    let session_rest = probe.exchange(session, Vec::new(), Some(take(1))).await.taken;
    assert_eq!(requests(&taken), [(SentKind::Update, "b")]);
    assert_eq!(requests(&session_rest), [(SentKind::Delete, "a")]);
    assert_eq!(content(&session_rest[0].item), Some(text("bread")), "Q-05: the last local row");
}

pub(super) async fn x_09_delete_and_insert_become_an_update<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    probe.insert(todo("a", "bread")).await;
    assert_eq!(probe.standing("a").await, PENDING_UPDATE);
    let (_, sent) = probe.send().await;
    assert_eq!(sent.sent, SentKind::Update);
    assert_eq!(sent.base_version.as_deref(), Some("v1"));
    assert_eq!(content(&sent.item), Some(text("bread")));
    assert_eq!(sent.base.as_ref().and_then(content), Some(text("milk")));

    // The user undid the delete: there is nothing to send.
    probe.pulled("b", "milk", "v1").await;
    let before = probe.row("b").await;
    probe.delete("b").await;
    probe.insert(todo("b", "milk")).await;
    let session = probe.begin_push().await;
    let done = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert!(done.taken.iter().all(|outgoing| outgoing.key.item_id != "b"));
    assert_eq!(done.unneeded, 1);
    probe.assert_clean("b").await;
    assert_eq!(probe.row("b").await.version, before.version);
}

pub(super) async fn x_10_delete_in_flight_and_insert<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    let operation = probe.operation("a").await;
    assert_eq!((operation.kind, operation.state), (Insert, Attempted));
    assert_eq!(operation.sent.map(|(kind, _)| kind), Some(SentKind::Delete));
    probe.settle(session, &sent.key, Outcome::Uncertain(None)).await;

    let (session, again) = probe.send().await;
    assert_eq!((again.sent, again.uncertain), (SentKind::Delete, true), "the delete is settled first");
    assert_eq!(again.base_version.as_deref(), Some("v1"));
    let done = probe.settle(session, &again.key, acknowledged(None)).await;
    assert_eq!(done.remainders, 1);
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
    assert!(probe.store.conflicts(None).await.expect("a read").is_empty());
    let rest = probe.take_one(session).await;
    assert_eq!((rest.sent, rest.base_version.as_deref()), (SentKind::Insert, None));
    assert_eq!(content(&rest.item), Some(text("bread")));
    assert_eq!(present(&rest.item).len(), rest.table.sent_columns().count(), "the whole row");
    // What was deleted, by which the own deletion is known if the server kept it (F-06).
    let base = rest.base.expect("a base");
    assert_eq!((base.deleted, base.version.as_deref(), content(&base)), (true, None, Some(text("milk"))));
}

pub(super) async fn f_06_a_row_that_the_server_kept_as_deleted_is_revived<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    // Never sent, so the deleted row does not have it.
    probe.update(todo("a", "edited")).await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    probe.settle(session, &sent.key, acknowledged(None)).await;
    let (session, insert) = probe.send().await;
    assert_eq!(insert.base.as_ref().and_then(content), Some(text("milk")));
    let failure = failure(FailureClass::Gone, Some(deleted(server("a", "milk", "v2"))));
    let outcome = Outcome::Resolved { failure, resolution: Resolution::KeepLocal, by: Resolver::Engine };
    probe.settle(session, &insert.key, outcome).await;
    let undelete = probe.take_one(session).await;
    assert_eq!((undelete.sent, undelete.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
    probe.settle(session, &undelete.key, acknowledged(server("a", "milk", "v3"))).await;
    let update = probe.take_one(session).await;
    assert_eq!((update.sent, present(&update.item)), (SentKind::Update, vec!["text"]));
    assert_eq!(content(&update.item), Some(text("bread")));
    probe.settle(session, &update.key, acknowledged(server("a", "bread", "v4"))).await;
    probe.assert_clean("a").await;
}

/// The row `a` deleted and made again as `bread`; the server said nothing of the deleted row.
async fn made_again<S: LocalStore>(probe: &Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    probe.settle(session, &sent.key, acknowledged(None)).await;
}

pub(super) async fn x_03_a_row_made_again_collapses_like_any_insert<S: LocalStore>(probe: Probe<S>) {
    // Never tried.
    made_again(&probe).await;
    probe.delete("a").await;
    probe.assert_clean("a").await;
    assert_eq!((probe.find("a").await, probe.noted().await), (None, Vec::new()));

    // X-04, and then X-10 again.
    made_again(&probe).await;
    probe.answer(Outcome::Uncertain(None)).await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.earlier.as_ref().and_then(content)), (SentKind::Delete, Some(text("bread"))));
    probe.insert(todo("a", "jam")).await;
    probe.settle(session, &sent.key, acknowledged(None)).await;
    assert_eq!(probe.standing("a").await, PENDING_INSERT);

    //
    probe.answer(refused()).await;
    probe.delete("a").await;
    probe.assert_clean("a").await;
    assert_eq!((probe.find("a").await, probe.noted().await), (None, Vec::new()));
}

pub(super) async fn k_09_a_row_made_again_is_dropped_like_any_insert<S: LocalStore>(probe: Probe<S>) {
    for (outcome, is_noted) in [
        // The server has nothing under this id.
        (refused(), false),
        // Perhaps it has what was sent.
        (Outcome::Uncertain(Some(failure(FailureClass::ServerError, None))), true),
        // It has a row that it does not show.
        (Outcome::Conflict(failure(FailureClass::Conflict, None)), true),
    ] {
        made_again(&probe).await;
        probe.answer(outcome).await;
        let conflict = probe.store.conflicts(None).await.expect("a read").remove(0);
        assert_eq!(conflict.remote, None, "nobody has shown one");
        probe
            .store
            .resolve(conflict.operation.key, Resolution::TakeRemote, Resolver::App)
            .await
            .expect("a resolution");
        probe.assert_clean("a").await;
        let noted = if is_noted { vec!["a".to_owned()] } else { Vec::new() };
        assert_eq!((probe.find("a").await, probe.noted().await), (None, noted));
    }
}

pub(super) async fn x_10_insert_taken_back_while_the_delete_is_in_flight<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("a", "bread")).await;
    probe.delete("a").await;
    let operation = probe.operation("a").await;
    assert_eq!((operation.kind, operation.state), (Delete, Attempted), "the delete must not be lost");
    let done = probe.settle(session, &sent.key, acknowledged(None)).await;
    assert_eq!(done.remainders, 0);
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn x_14_a_change_drops_the_error<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(refused()).await;
    assert_eq!(probe.standing("a").await, FAILED_UPDATE);
    probe.error("a").await;
    probe.update(todo("a", "jam")).await;
    assert_eq!(probe.find_error("a").await, None);
    assert_eq!(probe.standing("a").await, (Update, Pending, No));
}
