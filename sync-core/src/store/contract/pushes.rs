//! Taking operations, uncertain ones, errors.

use std::sync::Arc;

use super::probe::*;
use super::tables::{ENTRY, LIST, PART, TABLES, TODO};
use crate::entity::TableSchema;
use crate::error::ErrorKind;
use crate::operation::OperationKind::{Delete, Insert, Update};
use crate::operation::OperationState::{Attempted, Failed, Pending};
use crate::operation::ServerMayHold::{Maybe, No};
use crate::operation::order::Cycles;
use crate::operation::{FailureClass, InFlight, OperationError, Relations, RowRef, SentKind};
use crate::row::Row;
use crate::store::{
    Exchange, Exchanged, LocalChange, LocalChangeKind, LocalStore, Outcome, Resolution, Settlement, Take,
    UpdateBody,
};
use crate::value::Value;

pub(super) async fn f_01_a_taken_operation_is_attempted<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    assert_eq!(probe.operation("a").await.attempts, 0);
    let (session, sent) = probe.send().await;
    assert_eq!((session.queued, sent.attempts, sent.uncertain), (1, 1, false));
    assert_eq!(sent.table.name, TODO.name);
    assert_eq!((sent.item.id.as_str(), content(&sent.item)), ("a", Some(text("milk"))));
    assert_eq!((&sent.base_version, &sent.base), (&None, &None));
    let operation = probe.operation("a").await;
    assert_eq!(operation.key, sent.key);
    assert_eq!(standing(&operation), (Insert, Attempted, Maybe));
    assert_eq!(operation.sent, Some((SentKind::Insert, operation.key.revision)));
    assert_eq!((operation.attempts, operation.tail_seq), (1, None));

    probe.update(todo("a", "bread")).await;
    let edited = probe.operation("a").await;
    assert_eq!((edited.key.seq, edited.key.revision), (operation.key.seq, operation.key.revision + 1));
    assert_eq!(edited.sent, operation.sent, "F-02: what was sent is not what is stored now");
    assert!(edited.tail_seq > Some(edited.key.seq));
}

pub(super) async fn p_04_operations_come_in_order_of_their_first_change<S: LocalStore>(probe: Probe<S>) {
    for id in ["c", "a", "b"] {
        probe.insert(todo(id, "milk")).await;
    }
    probe.update(todo("c", "bread")).await;
    let session = probe.begin_push().await;
    let taken = probe.exchange(session, Vec::new(), Some(take(2))).await.taken;
    assert_eq!(requests(&taken), [(SentKind::Insert, "c"), (SentKind::Insert, "a")]);
    let rest = probe.exchange(session, Vec::new(), Some(take(0))).await.taken;
    assert!(rest.is_empty());
    let rest = probe.exchange(session, Vec::new(), Some(take(2))).await.taken;
    assert_eq!(requests(&rest), [(SentKind::Insert, "b")]);
}

pub(super) async fn p_05_taking_stops_at_another_request<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("old", "milk", "v1").await;
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "milk")).await;
    probe.update(todo("old", "bread")).await;
    probe.insert(todo("c", "milk")).await;
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    probe.try_write(vec![change(&LIST, LocalChangeKind::Insert(list))]).await.expect("an insert");
    let session = probe.begin_push().await;
    assert_eq!(session.queued, 5);
    for expected in [
        vec![(SentKind::Insert, "a"), (SentKind::Insert, "b")],
        vec![(SentKind::Update, "old")],
        vec![(SentKind::Insert, "c")],
        vec![(SentKind::Insert, "l")],
        vec![],
    ] {
        assert_eq!(requests(&probe.take(session).await), expected);
    }
}

pub(super) async fn p_05_what_is_in_flight_is_a_barrier<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let session = probe.begin_push().await;
    let beside = |table: &'static TableSchema, sent| {
        let row = RowRef { table: table.name, item_id: "other".to_owned() };
        Some(Take { in_flight: vec![InFlight { row, sent, mentions: Vec::new() }], ..take(10) })
    };
    for (table, sent) in [(&TODO, SentKind::Update), (&LIST, SentKind::Insert)] {
        let step = probe.exchange(session, Vec::new(), beside(table, sent)).await;
        assert!(step.taken.is_empty() && !step.is_exhausted);
    }
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
    let taken = probe.exchange(session, Vec::new(), beside(&TODO, SentKind::Insert)).await.taken;
    assert_eq!(requests(&taken), [(SentKind::Insert, "a")]);
}

fn list(id: &str) -> LocalChange {
    change(&LIST, LocalChangeKind::Insert(row_of(&LIST, id, &[("title", text("home"))])))
}

fn piece(id: &str, values: &[(&str, Value)]) -> Row {
    let mut row = row_of(&PART, id, values);
    row.values[0] = Some(text("wheel"));
    row
}

/// A new row of PART in a list.
fn part_of(id: &str, list: &str) -> LocalChange {
    change(&PART, LocalChangeKind::Insert(piece(id, &[("list", text(list))])))
}

fn at_row(table: &TableSchema, id: &str) -> RowRef {
    RowRef {
        table: TABLES.iter().find(|known| known.name == table.name).expect("known").name,
        item_id: id.to_owned(),
    }
}

/// Who waits for whom, and whether that one is over.
fn waits(step: &Exchanged) -> Vec<(&str, &str, bool)> {
    let waiting = step.waiting.iter();
    waiting.map(|each| (each.row.item_id.as_str(), each.on.item_id.as_str(), each.is_over)).collect()
}

fn again(rows: &[RowRef]) -> Take {
    Take { again: rows.to_vec(), after: i64::MAX, ..take(10) }
}

/// Clean rows of PART in the list.
async fn pulled_parts<S: LocalStore>(probe: &Probe<S>, ids: &[&str], list: &str) {
    let list_body = format!("[{{\"id\":\"{list}\",\"title\":\"home\",\"version\":\"v1\"}}]");
    probe.apply(batch(&LIST, &[&list_body])).await;
    for id in ids {
        let body = format!(
            "[{{\"id\":\"{id}\",\"name\":\"wheel\",\"parent\":null,\"list\":\"{list}\",\"version\":\"v1\"}}]"
        );
        probe.apply(batch(&PART, &[&body])).await;
    }
}

pub(super) async fn p_05_related_tables_go_together<S: LocalStore>(probe: Probe<S>) {
    // Rows of related tables that have nothing to do with each other.
    let lone = change(&PART, LocalChangeKind::Insert(piece("p", &[])));
    let note = change(&TODO, LocalChangeKind::Insert(todo("t", "milk")));
    probe.try_write(vec![list("l"), lone, list("m"), note, list("n")]).await.expect("inserts");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(
        requests(&step.taken),
        [(SentKind::Insert, "l"), (SentKind::Insert, "p"), (SentKind::Insert, "m")],
        "up to the table that is not related"
    );
    assert!(!step.is_exhausted);
}

pub(super) async fn p_21_a_parents_insert_comes_before_its_children<S: LocalStore>(probe: Probe<S>) {
    probe
        .try_write(vec![list("l"), part_of("p", "l"), list("m"), part_of("q", "m"), part_of("r", "nobody's")])
        .await
        .expect("inserts");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(
        requests(&step.taken),
        [(SentKind::Insert, "l"), (SentKind::Insert, "m"), (SentKind::Insert, "r")]
    );
    assert_eq!(waits(&step), [("p", "l", false), ("q", "m", false)]);
    assert!(step.is_exhausted);

    // Still under way, then done.
    let relations = Relations::new(&TABLES);
    let in_flight: Vec<_> = step.taken.iter().map(|taken| relations.in_flight(taken)).collect();
    let rows = [at_row(&PART, "q"), at_row(&PART, "p")];
    let busy = Take { in_flight, ..again(&rows) };
    let still = probe.exchange(session, Vec::new(), Some(busy)).await;
    assert_eq!(waits(&still), [("p", "l", false), ("q", "m", false)]);
    let mut answer = row_of(&LIST, "l", &[("title", text("home"))]);
    answer.version = Some("v1".to_owned());
    let settlement = Settlement { key: step.taken[0].key.clone(), outcome: acknowledged(answer) };
    let step = probe.exchange(session, vec![settlement], Some(again(&rows))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "p")]);
    assert_eq!(waits(&step), [("q", "m", true)], "not among those under way, so it will not come");
}

pub(super) async fn p_21_x_17_a_parent_queued_later_comes_first<S: LocalStore>(probe: Probe<S>) {
    let first = change(&PART, LocalChangeKind::Insert(piece("p", &[])));
    probe.try_write(vec![first]).await.expect("an insert");
    pulled_parts(&probe, &["old"], "before").await;
    let to = |id: &str| change(&PART, LocalChangeKind::Update(row_of(&PART, id, &[("list", text("l"))])));
    probe.try_write(vec![to("old"), list("l"), to("p")]).await.expect("changes");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(1))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "l")]);
    assert_eq!(waits(&step), [("p", "l", false), ("old", "l", false)]);
    let settlement = Settlement { key: step.taken[0].key.clone(), outcome: acknowledged(None) };
    let rows = [at_row(&PART, "old"), at_row(&PART, "p")];
    let step = probe.exchange(session, vec![settlement], Some(Take { limit: 1, ..again(&rows) })).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "p")], "by their places");
    assert_eq!(step.left.iter().map(|key| key.item_id.as_str()).collect::<Vec<_>>(), ["old"]);
}

pub(super) async fn p_21_children_leave_before_their_parent_is_deleted<S: LocalStore>(probe: Probe<S>) {
    pulled_parts(&probe, &["gone", "moved", "edited", "undone"], "l").await;
    let update = |id: &str, values: &[(&str, Value)]| {
        change(&PART, LocalChangeKind::Update(row_of(&PART, id, values)))
    };
    let delete = |table, id: &str| change(table, LocalChangeKind::Delete(id.to_owned()));
    probe
        .try_write(vec![
            delete(&LIST, "l"),
            update("edited", &[("name", text("axle"))]),
            update("moved", &[("list", Value::Null)]),
            // Moved first, deleted then: on the server it is still in the list.
            update("gone", &[("list", text("m"))]),
            delete(&PART, "gone"),
        ])
        .await
        .expect("changes");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(1))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Update, "edited")], "which does not leave the list");
    assert_eq!(waits(&step), [("l", "gone", false)], "the last that leaves");
    let mut settlements = vec![Settlement { key: step.taken[0].key.clone(), outcome: acknowledged(None) }];
    for (expected, waiting) in [((SentKind::Update, "moved"), 0), ((SentKind::Delete, "gone"), 0)] {
        let next = Take { after: step.after, limit: 1, ..take(1) };
        let step = probe.exchange(session, std::mem::take(&mut settlements), Some(next)).await;
        assert_eq!((requests(&step.taken), step.waiting.len()), (vec![expected], waiting));
        // Uncertain: it may still be in the list.
        let rows = [at_row(&LIST, "l")];
        let relations = Relations::new(&TABLES);
        let in_flight = vec![relations.in_flight(&step.taken[0])];
        let held = probe.exchange(session, Vec::new(), Some(Take { in_flight, ..again(&rows) })).await;
        assert_eq!((waits(&held).len(), held.taken.len()), (1, 0));
        settlements.push(Settlement { key: step.taken[0].key.clone(), outcome: acknowledged(None) });
    }
    let step = probe.exchange(session, settlements, Some(again(&[at_row(&LIST, "l")]))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Delete, "l")]);
}

pub(super) async fn p_21_rows_that_mention_each_other_are_not_under_way_together<S: LocalStore>(
    probe: Probe<S>,
) {
    pulled_parts(&probe, &["p"], "l").await;
    let rename = change(&PART, LocalChangeKind::Update(row_of(&PART, "p", &[("name", text("axle"))])));
    probe.try_write(vec![rename, change(&LIST, LocalChangeKind::Delete("l".into()))]).await.expect("changes");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Update, "p")]);
    assert_eq!(waits(&step), [("l", "p", false)]);

    // The other way round, by what is under way.
    probe.settle(session, &step.taken[0].key, Outcome::Unsent).await;
    let row = at_row(&LIST, "l");
    let in_flight = vec![InFlight { row: row.clone(), sent: SentKind::Update, mentions: Vec::new() }];
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(Take { in_flight, ..take(1) })).await;
    assert_eq!(waits(&step)[0], ("p", "l", false));
}

pub(super) async fn p_21_a_known_circle_goes_in_queue_order<S: LocalStore>(probe: Probe<S>) {
    let below = |id: &str, parent: &str| {
        change(&PART, LocalChangeKind::Insert(piece(id, &[("parent", text(parent))])))
    };
    probe.try_write(vec![below("p", "q"), below("q", "p"), below("s", "s")]).await.expect("inserts");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(waits(&step), [("p", "q", false), ("q", "p", false)]);
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "s")], "a row may mention itself");

    let rows = [at_row(&PART, "p"), at_row(&PART, "q")];
    let mut cycles = Cycles::default();
    cycles.add(rows.clone());
    let known = Take { cycles: Arc::new(cycles), ..again(&rows) };
    let step = probe.exchange(session, Vec::new(), Some(known.clone())).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "p")]);
    assert_eq!(waits(&step), [("q", "p", false)], "one after the other");
    probe.settle(session, &step.taken[0].key, refused()).await;
    let step = probe.exchange(session, Vec::new(), Some(known)).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "q")], "whatever became of the first");
}

pub(super) async fn p_22_what_waits_for_a_failed_operation_is_told<S: LocalStore>(probe: Probe<S>) {
    probe.try_write(vec![list("l"), part_of("p", "l")]).await.expect("inserts");
    for outcome in [refused(), Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)))] {
        let session = probe.begin_push().await;
        let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
        assert_eq!(waits(&step), [("p", "l", false)]);
        probe.settle(session, &step.taken[0].key, outcome).await;
        let step = probe.exchange(session, Vec::new(), Some(again(&[at_row(&PART, "p")]))).await;
        assert_eq!((waits(&step), step.taken.len()), (vec![("p", "l", true)], 0));
        assert_eq!(probe.standing("p").await, PENDING_INSERT);
    }
}

pub(super) async fn p_22_a_failed_update_holds_nothing_back<S: LocalStore>(probe: Probe<S>) {
    pulled_parts(&probe, &[], "old").await;
    let rename = row_of(&LIST, "old", &[("title", text("work"))]);
    probe
        .try_write(vec![change(&LIST, LocalChangeKind::Update(rename)), part_of("q", "old")])
        .await
        .expect("writes");
    let session = probe.begin_push().await;
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    let update = step.taken.iter().find(|taken| taken.key.item_id == "old").expect("the update");
    probe.settle(session, &update.key, refused()).await;
    let step = probe.exchange(session, Vec::new(), Some(again(&[at_row(&PART, "q")]))).await;
    assert_eq!(requests(&step.taken), [(SentKind::Insert, "q")]);
}

pub(super) async fn p_22_a_parent_outside_the_push_is_told<S: LocalStore>(probe: Probe<S>) {
    probe.try_write(vec![list("l"), part_of("p", "l")]).await.expect("inserts");
    let session = probe.begin_push().await;
    let only = Take { tables: vec![PART.name], ..take(10) };
    let step = probe.exchange(session, Vec::new(), Some(only)).await;
    assert_eq!((waits(&step), step.taken.len()), (vec![("p", "l", true)], 0));

    // A parent that came after the push began.
    probe.try_write(vec![part_of("q", "late")]).await.expect("an insert");
    let session = probe.begin_push().await;
    probe.try_write(vec![list("late")]).await.expect("an insert");
    let step = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(waits(&step), [("p", "l", false), ("q", "late", true)]);
}

pub(super) async fn p_29_failed_operations_can_be_left_alone<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "bread")).await;
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    probe.settle(session, &taken[0].key, refused()).await;
    probe.settle(session, &taken[1].key, Outcome::Uncertain(None)).await;
    let without = || Some(Take { retry_failed: false, ..take(10) });
    let session = probe.begin_push().await;
    let taken = probe.exchange(session, Vec::new(), without()).await.taken;
    assert_eq!(requests(&taken), [(SentKind::Insert, "b")], "an unknown outcome is settled all the same");
    assert_eq!(probe.operation("a").await.state, Failed, "never dropped");
    probe.update(todo("a", "jam")).await;
    let session = probe.begin_push().await;
    let taken = probe
        .exchange(session, Vec::new(), Some(Take { limit: 1, ..without().expect("a take") }))
        .await
        .taken;
    assert_eq!(requests(&taken), [(SentKind::Insert, "a")], "the app touched it");
}

pub(super) async fn p_04_operations_passed_over_come_in_their_order<S: LocalStore>(probe: Probe<S>) {
    for id in ["a", "b", "c", "d"] {
        probe.insert(todo(id, "milk")).await;
    }
    let session = probe.begin_push().await;
    let places: Vec<i64> = probe.operations().await.iter().map(|operation| operation.key.seq).collect();
    let rows = ["d", "b", "nobody"].map(|id| at_row(&TODO, id));
    let step = Take { again: rows.to_vec(), after: places[2], ..take(10) };
    let step = probe.exchange(session, Vec::new(), Some(step)).await;
    assert_eq!(
        requests(&step.taken),
        [(SentKind::Insert, "b"), (SentKind::Insert, "d")],
        "what stands behind the place comes with the queue, once"
    );
    assert_eq!((step.after, step.is_exhausted), (places[3], true));
}

pub(super) async fn p_02_only_wanted_tables_are_taken<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    probe.try_write(vec![change(&LIST, LocalChangeKind::Insert(list))]).await.expect("an insert");
    let session = probe.begin_push().await;
    let only = |table| Some(Take { tables: vec![table], ..take(10) });
    assert!(probe.exchange(session, Vec::new(), only(ENTRY.name)).await.taken.is_empty());
    let unknown = Exchange { session, settlements: Vec::new(), take: only("NoSuchTable") };
    let error = probe.store.exchange(unknown).await.expect_err("a table the store does not have");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let taken = probe.exchange(session, Vec::new(), only(LIST.name)).await.taken;
    assert_eq!(requests(&taken), [(SentKind::Insert, "l")]);
    assert_eq!(probe.standing("a").await, PENDING_INSERT);
}

pub(super) async fn p_07_later_changes_wait_for_the_next_push<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let first = probe.begin_push().await;
    probe.insert(todo("b", "milk")).await;
    assert_eq!(requests(&probe.take(first).await), [(SentKind::Insert, "a")]);
    assert!(probe.take(first).await.is_empty());
    let second = probe.begin_push().await;
    assert!(second.push > first.push && second.bound > first.bound);
    assert_eq!(second.queued, 2);
}

pub(super) async fn each_operation_is_taken_once_per_push<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "milk")).await;
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    let settlements = vec![
        Settlement { key: taken[0].key.clone(), outcome: refused() },
        Settlement { key: taken[1].key.clone(), outcome: Outcome::Uncertain(None) },
    ];
    let again = probe.exchange(session, settlements, Some(take(10))).await.taken;
    assert!(again.is_empty(), "{again:?}");
    let session = probe.begin_push().await;
    let again = probe.take(session).await;
    let seen: Vec<_> =
        again.iter().map(|sent| (sent.key.item_id.as_str(), sent.uncertain, sent.attempts)).collect();
    assert_eq!(seen, [("a", false, 2), ("b", true, 2)], "P-29");
}

pub(super) async fn q_07_operations_in_every_state_are_counted<S: LocalStore>(probe: Probe<S>) {
    for id in ["failed", "attempted"] {
        probe.insert(todo(id, "milk")).await;
    }
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    let session = probe.begin_push().await;
    let failed = probe.take(session).await.remove(0);
    probe.settle(session, &failed.key, refused()).await;
    probe.insert(todo("pending", "milk")).await;
    probe.try_write(vec![change(&LIST, LocalChangeKind::Insert(list))]).await.expect("an insert");
    let states: Vec<_> = probe.operations().await.iter().map(|operation| operation.state).collect();
    assert_eq!(states, [Failed, Attempted, Pending, Pending]);
    for (table, count) in [(None, 4), (Some(&TODO), 3), (Some(&LIST), 1), (Some(&ENTRY), 0)] {
        assert_eq!(probe.store.pending(table).await.expect("a count"), count);
        // Q-08: and listed by the same measure, before, during and after a push.
        assert_eq!(probe.store.operations(table).await.expect("a read").len() as u64, count);
    }
    // What is asked for outlives a push that was begun since, and one that comes to nothing.
    assert_eq!(probe.begin_push().await.queued, 4);
}

pub(super) async fn k_02_an_update_sends_what_changed_or_all<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread")), ("n", Value::Integer(1))])).await;
    probe.update(part("a", &[("n", Value::Null), ("weight", Value::Real(0.5))])).await;
    let (session, sent) = probe.send().await;
    assert_eq!(present(&sent.item), ["text", "weight"]);
    assert_eq!(sent.base_version.as_deref(), Some("v1"));
    assert_eq!(sent.base.as_ref().and_then(content), Some(text("milk")));
    probe.settle(session, &sent.key, refused()).await;

    let session = probe.begin_push().await;
    let whole = Some(Take { update_body: UpdateBody::Whole, ..take(1) });
    let sent = probe.exchange(session, Vec::new(), whole).await.taken.remove(0);
    let all: Vec<_> = TODO.sent_columns().map(|(_, column)| column.name).collect();
    assert_eq!(present(&sent.item), all);
}

pub(super) async fn s_08_an_update_of_the_whole_row_carries_unknown_members<S: LocalStore>(probe: Probe<S>) {
    let body = json("a", "milk", "v1").replace("\"text\"", "\"color\":{\"deep\":[1.50]},\"text\"");
    probe.pull(&format!("[{body}]")).await;
    probe.update(todo("a", "bread")).await;
    let whole = || Some(Take { update_body: UpdateBody::Whole, ..take(1) });
    let extra = Some("{\"color\":{\"deep\":[1.50]}}");
    let session = probe.begin_push().await;
    let sent = probe.exchange(session, Vec::new(), whole()).await.taken.remove(0);
    assert_eq!((sent.sent, sent.item.extra.as_deref()), (SentKind::Update, extra));
    assert_eq!(content(&sent.item), Some(text("bread")));
    assert_eq!(value(&sent.item, "rank"), Some(Value::Integer(3)));

    // The outcome is unknown: what is sent again is what was sent, unknown members included (R2).
    probe.settle(session, &sent.key, Outcome::Uncertain(None)).await;
    probe.update(todo("a", "jam")).await;
    let session = probe.begin_push().await;
    let again = probe.exchange(session, Vec::new(), whole()).await.taken.remove(0);
    assert_eq!((again.item.extra.as_deref(), content(&again.item)), (extra, Some(text("bread"))));

    // An answer that shows other unknown members replaces them.
    let mut answered = server("a", "bread", "v2");
    answered.extra = Some("{\"color\":7}".to_owned());
    let settlement = Settlement { key: again.key.clone(), outcome: acknowledged(answered) };
    let rest = probe.exchange(session, vec![settlement], whole()).await.taken.remove(0);
    assert_eq!((rest.item.extra.as_deref(), content(&rest.item)), (Some("{\"color\":7}"), Some(text("jam"))));
}

pub(super) async fn no_version_sends_no_base<S: LocalStore>(probe: Probe<S>) {
    let body = "[{\"id\":\"e\",\"line\":\"one\",\"n\":1,\"version\":\"v1\"}]";
    probe.apply(batch(&ENTRY, &[body])).await;
    let update = row_of(&ENTRY, "e", &[("line", text("two"))]);
    probe.try_write(vec![change(&ENTRY, LocalChangeKind::Update(update))]).await.expect("an update");
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version), (SentKind::Update, None), "last write wins (K-02)");
    assert!(sent.base.is_some());
}

pub(super) async fn local_only_columns_are_not_sent<S: LocalStore>(probe: Probe<S>) {
    probe.insert(part("a", &[("text", text("milk")), ("note", text("mine"))])).await;
    let (session, sent) = probe.send().await;
    assert_eq!(value(&sent.item, "note"), None);
    probe.settle(session, &sent.key, acknowledged(server("a", "milk", "v1"))).await;
    probe.delete("a").await;
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, value(&sent.item, "note")), (SentKind::Delete, None));
}

pub(super) async fn q_05_a_deleted_row_keeps_its_local_only_columns<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("note", text("mine"))])).await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    assert_eq!((sent.sent, value(&sent.item, "note")), (SentKind::Delete, None));
    probe.settle(session, &sent.key, Outcome::Uncertain(None)).await;
    let (session, sent) = probe.send().await;
    assert_eq!((sent.uncertain, value(&sent.item, "note")), (true, None));
    probe.settle(session, &sent.key, conflict(server("a", "theirs", "v2"))).await;
    let key = probe.error("a").await.key;
    probe.store.resolve(key, Resolution::TakeRemote, Resolver::App).await.expect("a resolution");
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "note")), (Some(text("theirs")), Some(text("mine"))));

    // The app's own undo is a new row: the app says what is in it.
    probe.delete("a").await;
    probe.insert(todo("a", "again")).await;
    assert_eq!(value(&probe.row("a").await, "note"), Some(Value::Null));
}

pub(super) async fn x_15_an_update_that_changes_nothing_is_not_sent<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.update(todo("b", "bread")).await;
    probe.update(todo("a", "milk")).await;
    let session = probe.begin_push().await;
    assert_eq!(session.queued, 2);
    let done = probe.exchange(session, Vec::new(), Some(take(10))).await;
    assert_eq!(requests(&done.taken), [(SentKind::Update, "b")]);
    assert_eq!(done.unneeded, 1);
    probe.assert_clean("a").await;
    assert_eq!(probe.row("a").await.version.as_deref(), Some("v1"));

    // Somebody else made the same edit: the row is theirs, in their version.
    probe.pulled("c", "milk", "v1").await;
    probe.update(todo("c", "bread")).await;
    probe.pull(&format!("[{}]", json("c", "bread", "v2"))).await;
    let session = probe.begin_push().await;
    assert_eq!(probe.exchange(session, Vec::new(), Some(take(10))).await.unneeded, 1);
    probe.assert_clean("c").await;
    assert_eq!(probe.row("c").await.version.as_deref(), Some("v2"));
}

pub(super) async fn x_15_applies_only_to_pending_updates<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    probe.update(todo("a", "milk")).await;
    let (session, again) = probe.send().await;
    assert_eq!((again.sent, again.uncertain), (SentKind::Update, true), "the server may hold the first edit");
    assert_eq!(content(&again.item), Some(text("bread")));
    probe.settle(session, &again.key, acknowledged(server("a", "bread", "v2"))).await;
    let rest = probe.take_one(session).await;
    assert_eq!(content(&rest.item), Some(text("milk")));
    probe.settle(session, &rest.key, acknowledged(server("a", "milk", "v3"))).await;

    // A failed one says what the server refused; and a row deleted on the server is not what the app wants.
    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("b", "bread")).await;
    probe.answer(refused()).await;
    probe.pull(&format!("[{}]", json("b", "bread", "v2"))).await;
    assert_eq!(probe.answer(Outcome::Uncertain(None)).await.sent, SentKind::Update);
    probe.answer(acknowledged(server("b", "bread", "v3"))).await;
    probe.pulled("c", "milk", "v1").await;
    probe.update(todo("c", "deleted")).await;
    probe.pull(&format!("[{}]", tombstone("c", "v2"))).await;
    assert_eq!(probe.answer(Outcome::Unsent).await.sent, SentKind::Update);
}

pub(super) async fn r_8_an_unsent_operation_is_as_before<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let before = probe.operation("a").await;
    probe.answer(Outcome::Unsent).await;
    assert_eq!(probe.operation("a").await, before, "pending");

    probe.answer(refused()).await;
    let (before, error) = (probe.operation("a").await, probe.error("a").await);
    probe.answer(Outcome::Unsent).await;
    assert_eq!(probe.operation("a").await, before, "failed");
    assert_eq!(probe.error("a").await, OperationError { old: true, ..error });

    probe.answer(Outcome::Uncertain(None)).await;
    probe.update(todo("a", "bread")).await;
    let before = probe.operation("a").await;
    let again = probe.answer(Outcome::Unsent).await;
    assert!(again.uncertain);
    assert_eq!(probe.operation("a").await, before, "uncertain");
    let again = probe.answer(Outcome::Unsent).await;
    assert_eq!((again.uncertain, content(&again.item)), (true, Some(text("milk"))));
}

pub(super) async fn r_8_an_unsent_insert_deleted_meanwhile_vanishes<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let (session, sent) = probe.send().await;
    probe.delete("a").await;
    assert_eq!(probe.operation("a").await.kind, Delete);
    probe.settle(session, &sent.key, Outcome::Unsent).await;
    probe.assert_clean("a").await;

    probe.pulled("b", "milk", "v1").await;
    probe.delete("b").await;
    let (session, sent) = probe.send().await;
    probe.insert(todo("b", "bread")).await;
    probe.settle(session, &sent.key, Outcome::Unsent).await;
    assert_eq!(probe.standing("b").await, PENDING_UPDATE);
    assert_eq!(probe.operation("b").await.base_version.as_deref(), Some("v1"));
}

pub(super) async fn r_2_an_uncertain_operation_is_sent_again_as_it_was<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread"))])).await;
    let (session, first) = probe.send().await;
    probe.update(part("a", &[("n", Value::Integer(5))])).await;
    probe.settle(session, &first.key, Outcome::Uncertain(None)).await;
    probe.delete("a").await;
    assert_eq!(probe.standing("a").await, (Delete, Attempted, No));

    let (_, again) = probe.send().await;
    assert_eq!((again.sent, again.uncertain, again.attempts), (SentKind::Update, true, 2));
    assert_eq!(again.key, first.key, "the revision that was sent");
    assert_eq!(again.item.values, first.item.values);
    assert_eq!(again.base_version, first.base_version);
}

pub(super) async fn r_2_an_uncertain_insert_now_deleted_sends_the_delete<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    probe.delete("a").await;
    let (session, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Delete, None));
    assert_eq!(sent.key, probe.operation("a").await.key);
    assert_eq!(content(&sent.item), Some(text("milk")));
    probe.settle(session, &sent.key, acknowledged(None)).await;
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn r_2_the_remainder_follows_in_the_same_push<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.answer(Outcome::Uncertain(None)).await;
    probe.update(todo("a", "bread")).await;
    let (session, again) = probe.send().await;
    assert_eq!((again.sent, content(&again.item)), (SentKind::Insert, Some(text("milk"))));
    let settled = Settlement { key: again.key, outcome: acknowledged(server("a", "milk", "v1")) };
    let done = probe.exchange(session, vec![settled], Some(take(10))).await;
    assert_eq!(done.remainders, 1);
    assert_eq!(requests(&done.taken), [(SentKind::Update, "a")]);
    assert_eq!(done.taken[0].base_version.as_deref(), Some("v1"));
    assert_eq!(present(&done.taken[0].item), ["text"]);
}

pub(super) async fn q_10_errors_are_recorded_and_replaced<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(server("a", "theirs", "v2"))).await;
    let operation = probe.operation("a").await;
    assert_eq!((operation.state, operation.sent), (Failed, None));
    let error = probe.error("a").await;
    assert_eq!(error.key, operation.key);
    assert_eq!((error.kind, error.class, error.status), (Update, FailureClass::Conflict, Some(412)));
    assert_eq!(error.message, "no");
    assert!(!error.superseded);
    assert_eq!(error.local.as_ref().and_then(content), Some(text("bread")));
    let remote = error.remote.expect("the server's row");
    assert_eq!((content(&remote), remote.version.as_deref()), (Some(text("theirs")), Some("v2")));

    let (session, sent) = probe.send().await;
    probe.error("a").await;
    let failure = failure(FailureClass::ServerError, None);
    probe.settle(session, &sent.key, Outcome::Uncertain(Some(failure))).await;
    assert_eq!(probe.operation("a").await.state, Attempted);
    let error = probe.error("a").await;
    assert_eq!((error.class, error.status, error.remote), (FailureClass::ServerError, Some(500), None));
    let of_list = probe.store.errors(Some(&LIST)).await.expect("a read");
    assert_eq!(of_list, []);
    assert_eq!(probe.store.errors(Some(&TODO)).await.expect("a read").len(), 1);

    probe.answer(acknowledged(server("a", "bread", "v3"))).await;
    probe.assert_clean("a").await;
}

pub(super) async fn settling_what_is_gone_changes_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    let (session, sent) = probe.send().await;
    probe.settle(session, &sent.key, refused()).await;
    let before = (probe.operations().await, probe.row("a").await);
    let stale = [
        (sent.key.clone(), acknowledged(server("a", "theirs", "v1"))),
        (crate::operation::OperationKey { item_id: "b".to_owned(), ..sent.key.clone() }, refused()),
    ];
    for (key, outcome) in stale {
        let done = probe.settle(session, &key, outcome).await;
        assert_eq!(done.remainders, 0);
        assert_eq!((probe.operations().await, probe.row("a").await), before);
    }
    assert_eq!(probe.find("b").await, None);
}

pub(super) async fn an_invalid_step_changes_nothing<S: LocalStore>(probe: Probe<S>) {
    probe.insert(todo("a", "milk")).await;
    probe.insert(todo("b", "milk")).await;
    let session = probe.begin_push().await;
    let taken = probe.take(session).await;
    let before = probe.operations().await;
    let merged = Row { id: "b".to_owned(), ..part("b", &[("text", Value::Null)]) };
    let settlements = vec![
        Settlement { key: taken[0].key.clone(), outcome: acknowledged(server("a", "milk", "v1")) },
        Settlement {
            key: taken[1].key.clone(),
            outcome: Outcome::Resolved {
                failure: failure(FailureClass::Conflict, Some(server("b", "theirs", "v1"))),
                resolution: Resolution::Merge(merged),
                by: Resolver::Handler,
            },
        },
    ];
    let exchange = Exchange { session, settlements, take: Some(take(10)) };
    let error = probe.store.exchange(exchange).await.expect_err("a merge that cannot be stored");
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert_eq!(probe.operations().await, before);
    assert_ne!(before[0].state, Pending);
    assert_eq!(probe.row("a").await.version, None);
}
