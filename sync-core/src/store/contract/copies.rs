//! The server copies kept of a row with an operation: base, and newest.

use super::probe::*;
use super::tables::{ENTRY, LIST, TODO};
use crate::entity::TableSchema;
use crate::error::ErrorKind;
use crate::operation::{FailureClass, OperationKey, OperationKind, SentKind};
use crate::predicate::Predicate;
use crate::row::Row;
use crate::store::{Applied, LocalChangeKind, LocalStore, Outcome, Purge, Resolution, Resolver};
use crate::value::Value;

/// A row of the table without versions.
fn entry(line: Option<&str>, n: Option<i64>) -> Row {
    let line = line.map(|line| ("line", text(line)));
    let n = n.map(|n| ("n", Value::Integer(n)));
    row_of(&ENTRY, "e", &line.into_iter().chain(n).collect::<Vec<_>>())
}

fn entry_json(line: &str, n: i64, version: &str) -> String {
    format!("[{{\"id\":\"e\",\"line\":\"{line}\",\"n\":{n},\"version\":\"{version}\"}}]")
}

/// `json` with a number.
fn numbered(id: &str, content: &str, n: i64, version: &str) -> String {
    json(id, content, version).replace("\"n\":null", &format!("\"n\":{n}"))
}

fn numbered_row(id: &str, content: &str, n: i64, version: &str) -> Row {
    let mut row = server(id, content, version);
    row.values[3] = Some(Value::Integer(n));
    row
}

impl<S: LocalStore> Probe<S> {
    async fn edit(&self, table: &'static TableSchema, row: Row) {
        self.try_write(vec![change(table, LocalChangeKind::Update(row))]).await.expect("an update");
    }

    /// The entry `one`, 1 edited to `two`; then a pull brought `one`, 5.
    async fn entry_with_a_newer_copy(&self) {
        self.apply(batch(&ENTRY, &[&entry_json("one", 1, "v1")])).await;
        self.edit(&ENTRY, entry(Some("two"), None)).await;
        let applied = self.apply(batch(&ENTRY, &[&entry_json("one", 5, "v2")])).await;
        assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    }

    async fn entry(&self) -> Vec<Option<Value>> {
        self.store.get(&ENTRY, "e").await.expect("a read").expect("the row is there").values
    }

    /// The row `a`: `milk` without number edited to `bread`; then a pull brought `milk` with 5 in `v2`.
    async fn row_with_a_newer_copy(&self) {
        self.pulled("a", "milk", "v1").await;
        self.update(todo("a", "bread")).await;
        assert_eq!(self.pull(&format!("[{}]", numbered("a", "milk", 5, "v2"))).await.kept_local, 1);
    }

    async fn resolve(&self, id: &str, resolution: Resolution) {
        let key = self.error(id).await.key;
        self.store.resolve(key, resolution, Resolver::App).await.expect("a resolution");
    }
}

pub(super) async fn k_02_a_pulled_copy_is_not_sent_back<S: LocalStore>(probe: Probe<S>) {
    probe.entry_with_a_newer_copy().await;
    let (session, sent) = probe.send().await;
    assert_eq!(sent.item.values, entry(Some("two"), None).values, "only what the app changed");
    assert_eq!(sent.base.map(|base| base.values), Some(entry(Some("one"), Some(1)).values));
    probe.settle(session, &sent.key, refused()).await;

    // The copy waits through a refusal and a further edit.
    probe.edit(&ENTRY, entry(Some("three"), None)).await;
    let (session, sent) = probe.send().await;
    assert_eq!(sent.item.values, entry(Some("three"), None).values);
    probe.settle(session, &sent.key, acknowledged(entry(Some("three"), Some(5)))).await;
    assert_eq!(probe.entry().await, entry(Some("three"), Some(5)).values);
    assert_eq!(probe.store.shadow(&ENTRY, "e").await.expect("a read"), None);
}

pub(super) async fn f_03_an_answer_without_row_leaves_the_newest_copy<S: LocalStore>(probe: Probe<S>) {
    probe.entry_with_a_newer_copy().await;
    probe.answer(acknowledged(None)).await;
    assert_eq!(probe.entry().await, entry(Some("two"), Some(5)).values);
    let row = probe.store.get(&ENTRY, "e").await.expect("a read").expect("the row is there");
    assert_eq!((row.version.as_deref(), row.deleted), (Some("v2"), false));
}

/// The answer shows a part of the row, which no version guarded.
fn part_of_entry(line: &str, version: &str) -> Outcome {
    acknowledged(Row { version: Some(version.into()), ..entry(Some(line), None) })
}

pub(super) async fn p_11_a_version_that_is_not_all_here_does_not_hide_the_row<S: LocalStore>(
    probe: Probe<S>,
) {
    let one = entry_json("one", 1, "v1");
    let theirs = entry_json("two", 9, "v3");
    probe.apply(batch(&ENTRY, &[&one])).await;
    probe.edit(&ENTRY, entry(Some("two"), None)).await;
    // Somebody wrote 9 in `v2`, which no pull has brought.
    probe.answer(part_of_entry("two", "v3")).await;
    assert_eq!(probe.entry().await, entry(Some("two"), Some(1)).values);
    let applied = probe.apply(batch(&ENTRY, &[&theirs])).await;
    assert_eq!(applied, Applied { changed: 1, ..Applied::default() });
    assert_eq!(probe.entry().await, entry(Some("two"), Some(9)).values);
    let applied = probe.apply(batch(&ENTRY, &[&theirs])).await;
    assert_eq!(applied, Applied { unchanged: 1, ..Applied::default() }, "now it is all here");

    // An answer that shows all of the row is all of its version.
    probe.edit(&ENTRY, entry(Some("three"), None)).await;
    probe.answer(acknowledged(Row { version: Some("v4".into()), ..entry(Some("three"), Some(7)) })).await;
    let applied = probe.apply(batch(&ENTRY, &[&entry_json("three", 7, "v4")])).await;
    assert_eq!(applied, Applied { unchanged: 1, ..Applied::default() });

    // The same of an edit during the flight: the copy it starts from is not all of the version either.
    probe.edit(&ENTRY, entry(Some("four"), None)).await;
    let (session, sent) = probe.send().await;
    probe.edit(&ENTRY, entry(Some("five"), None)).await;
    probe.settle(session, &sent.key, part_of_entry("four", "v6")).await;
    let applied = probe.apply(batch(&ENTRY, &[&entry_json("four", 8, "v6")])).await;
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    let (session, rest) = probe.send().await;
    assert_eq!(rest.item.values, entry(Some("five"), None).values);
    probe.settle(session, &rest.key, part_of_entry("five", "v7")).await;
    assert_eq!(probe.entry().await, entry(Some("five"), Some(8)).values);
    let applied = probe.apply(batch(&ENTRY, &[&entry_json("five", 8, "v7")])).await;
    assert_eq!(applied, Applied { changed: 1, ..Applied::default() });

    // A row just created is as it was sent.
    let made =
        LocalChangeKind::Insert(row_of(&ENTRY, "f", &[("line", text("six")), ("n", Value::Integer(6))]));
    probe.try_write(vec![change(&ENTRY, made)]).await.expect("an insert");
    let answer = Row { version: Some("v8".into()), ..row_of(&ENTRY, "f", &[]) };
    probe.answer(acknowledged(answer)).await;
    let applied = probe.apply(batch(&ENTRY, &[&entry_json("six", 6, "v8").replace("\"e\"", "\"f\"")])).await;
    assert_eq!(applied, Applied { unchanged: 1, ..Applied::default() });
}

pub(super) async fn f_04_the_newest_copy_and_the_answer_are_the_next_base<S: LocalStore>(probe: Probe<S>) {
    probe.entry_with_a_newer_copy().await;
    let (session, sent) = probe.send().await;
    probe.edit(&ENTRY, entry(Some("three"), None)).await;
    probe.settle(session, &sent.key, acknowledged(None)).await;
    assert_eq!(probe.entry().await, entry(Some("three"), Some(5)).values);
    let (_, rest) = probe.send().await;
    assert_eq!(rest.item.values, entry(Some("three"), None).values);
    assert_eq!(rest.base.map(|base| base.values), Some(entry(Some("two"), Some(5)).values));
}

pub(super) async fn f_04_the_base_moves_only_with_an_acknowledgement<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    let base = |sent: crate::operation::Outgoing| sent.base.and_then(|base| base.version);
    let (session, sent) = probe.send().await;
    assert_eq!(sent.base_version.as_deref(), Some("v1"));
    probe.settle(session, &sent.key, refused()).await;
    assert_eq!(base(probe.answer(Outcome::Unsent).await).as_deref(), Some("v1"));
    let (session, sent) = probe.send().await;
    probe.update(part("a", &[("rank", Value::Integer(7))])).await;
    probe.settle(session, &sent.key, acknowledged(numbered_row("a", "bread", 5, "v3"))).await;
    assert_eq!(value(&probe.row("a").await, "n"), Some(Value::Integer(5)));
    let (_, rest) = probe.send().await;
    assert_eq!(present(&rest.item), ["rank"]);
    assert_eq!((rest.base_version.as_deref(), base(rest.clone()).as_deref()), (Some("v3"), Some("v3")));
}

pub(super) async fn k_10_keep_local_merges_from_the_base<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    probe.answer(conflict(numbered_row("a", "milk", 5, "v2"))).await;
    probe.resolve("a", Resolution::KeepLocal).await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "n")), (Some(text("bread")), Some(Value::Integer(5))));
    let (_, sent) = probe.send().await;
    assert_eq!((sent.base_version.as_deref(), present(&sent.item)), (Some("v2"), vec!["text"]));
}

pub(super) async fn k_10_merge_takes_untouched_columns_from_the_server<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
    probe.resolve("a", Resolution::Merge(todo("a", "bread and jam"))).await;
    assert_eq!(value(&probe.row("a").await, "n"), Some(Value::Integer(5)));
    let (_, sent) = probe.send().await;
    assert_eq!(present(&sent.item), ["text"]);
    assert_eq!(content(&sent.item), Some(text("bread and jam")));
}

pub(super) async fn k_10_keep_local_is_guarded_by_the_version_that_was_seen<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
    assert_eq!(probe.pull(&format!("[{}]", numbered("a", "jam", 6, "v3"))).await.kept_local, 1);
    probe.resolve("a", Resolution::KeepLocal).await;
    let (_, sent) = probe.send().await;
    assert_eq!((sent.base_version.as_deref(), present(&sent.item)), (Some("v2"), vec!["text"]));
    let newest = probe.shadow("a").await.expect("a copy");
    assert_eq!((newest.version.as_deref(), value(&newest, "n")), (Some("v3"), Some(Value::Integer(6))));
}

/// Only a lost answer leaves open whether a request arrived.
pub(super) async fn k_06_answered_attempts_leave_no_doubt<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let (session, sent) = probe.send().await;
    assert!(!sent.may_have_arrived);
    probe.update(todo("a", "jam")).await;
    probe.settle(session, &sent.key, acknowledged(server("a", "bread", "v2"))).await;
    let (session, rest) = probe.send().await;
    assert_eq!((rest.may_have_arrived, rest.attempts), (false, 1), "what remains was never sent");
    probe.settle(session, &rest.key, refused()).await;
    let (session, again) = probe.send().await;
    assert_eq!((again.may_have_arrived, again.attempts), (false, 2));
    probe.settle(session, &again.key, conflict(server("a", "theirs", "v3"))).await;
    assert!(!probe.error("a").await.uncertain);
    let (session, again) = probe.send().await;
    assert!(!again.may_have_arrived);
    probe.settle(session, &again.key, Outcome::Uncertain(None)).await;
    let (session, again) = probe.send().await;
    assert!(again.may_have_arrived, "no answer came");
    probe.settle(session, &again.key, refused()).await;
    assert!(probe.error("a").await.uncertain);
    assert!(probe.send().await.1.may_have_arrived);
}

/// What was seen is not what the server has by now: the decision may undo what somebody did in between.
pub(super) async fn k_12_a_decision_about_another_version_changes_nothing<S: LocalStore>(probe: Probe<S>) {
    let refuse = async |key: OperationKey| {
        let merged = part("a", &[("text", text("bread")), ("n", Value::Integer(5))]);
        for decision in [Resolution::Merge(merged), Resolution::KeepLocal, Resolution::TakeRemote] {
            let error =
                probe.store.resolve(key.clone(), decision, Resolver::App).await.expect_err("another version");
            assert_eq!(error.kind(), ErrorKind::OperationChanged);
        }
    };
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
    let seen = probe.error("a").await.key;
    probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
    assert_eq!(probe.error("a").await.key, seen, "the same version again is the same conflict");
    probe.answer(refused()).await;
    assert_eq!(probe.error("a").await.key, seen);
    probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
    probe.answer(conflict(numbered_row("a", "jam", 6, "v3"))).await;
    refuse(seen).await;
    probe.resolve("a", Resolution::KeepLocal).await;
    let (session, sent) = probe.send().await;
    assert_eq!((sent.base_version.as_deref(), present(&sent.item)), (Some("v3"), vec!["text"]));
    probe.settle(session, &sent.key, acknowledged(numbered_row("a", "bread", 6, "v4"))).await;

    // K-20: what a pull shows, and then another one, or an answer.
    probe.update(todo("a", "tea")).await;
    let open = async || {
        let open = probe.store.conflicts(None).await.expect("a read").pop().expect("a conflict");
        open.operation.key
    };
    assert_eq!(probe.pull(&format!("[{}]", numbered("a", "jam", 7, "v5"))).await.kept_local, 1);
    let seen = open().await;
    assert_eq!(probe.pull(&format!("[{}]", numbered("a", "jam", 8, "v6"))).await.kept_local, 1);
    refuse(seen).await;
    let seen = open().await;
    probe.answer(conflict(numbered_row("a", "jam", 9, "v7"))).await;
    refuse(seen).await;
    probe.store.resolve(open().await, Resolution::KeepLocal, Resolver::App).await.expect("the newest");
}

/// No revision tells that a local-only column was changed since the decision was made.
pub(super) async fn l_22_a_decision_leaves_local_columns<S: LocalStore>(probe: Probe<S>) {
    let note = |words: &str| part("a", &[("note", text(words))]);
    let stale = |version: &str| Row {
        version: Some(version.to_owned()),
        ..part("a", &[("text", text("bread and jam")), ("note", text("old"))])
    };
    let decisions = [
        Resolution::Merge(part("a", &[("text", text("bread and jam")), ("note", text("old"))])),
        Resolution::ChangeKind { kind: OperationKind::Update, item: Some(stale("v2")), version: None },
        Resolution::Store(stale("v2")),
    ];
    for decision in decisions {
        probe.pulled("a", "milk", "v1").await;
        probe.update(part("a", &[("text", text("bread")), ("note", text("old"))])).await;
        probe.answer(conflict(numbered_row("a", "jam", 5, "v2"))).await;
        probe.update(note("mine")).await;
        probe.resolve("a", decision.clone()).await;
        let row = probe.row("a").await;
        assert_eq!(value(&row, "text"), Some(text("bread and jam")), "{decision:?}");
        assert_eq!(value(&row, "note"), Some(text("mine")), "{decision:?}");
        probe.store.purge(Purge { force: true, ..Purge::new(Predicate::all(&TODO)) }).await.expect("a purge");
    }
}

pub(super) async fn k_09_take_remote_takes_the_newest_copy<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    probe.answer(refused()).await;
    probe.resolve("a", Resolution::TakeRemote).await;
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "n")), (Some(text("milk")), Some(Value::Integer(5))));
    assert_eq!(row.version.as_deref(), Some("v2"));

    // A pull brought a newer copy than the error shows; it would not bring it again.
    probe.update(todo("a", "bread")).await;
    probe.answer(conflict(server("a", "jam", "v3"))).await;
    probe.pull(&format!("[{}]", numbered("a", "tea", 6, "v4"))).await;
    probe.resolve("a", Resolution::TakeRemote).await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), row.version.as_deref()), (Some(text("tea")), Some("v4")));

    // The answer says that the row is gone; what was pulled before is older.
    probe.update(todo("a", "bread")).await;
    probe.pull(&format!("[{}]", numbered("a", "tea", 7, "v5"))).await;
    probe.answer(gone(None)).await;
    probe.resolve("a", Resolution::TakeRemote).await;
    assert_eq!(probe.find("a").await, None);
}

pub(super) async fn l_14_a_known_copy_is_unchanged<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    let unchanged = Applied { unchanged: 1, ..Applied::default() };
    assert_eq!(probe.pull(&format!("[{}]", json("a", "milk", "v1"))).await, unchanged, "the base");
    let newer = format!("[{}]", numbered("a", "milk", 5, "v2"));
    assert_eq!(probe.pull(&newer).await.kept_local, 1);
    assert_eq!(probe.pull(&newer).await, unchanged);
    assert_eq!(probe.pull(&format!("[{}]", tombstone("a", "v2"))).await.kept_local, 1, "L-15");

    probe.pulled("b", "milk", "v1").await;
    probe.update(todo("b", "bread")).await;
    probe.answer_one("b", conflict(server("b", "jam", "v2"))).await;
    assert_eq!(probe.pull(&format!("[{}]", json("b", "jam", "v2"))).await, unchanged, "seen in the answer");
}

impl<S: LocalStore> Probe<S> {
    /// Sends everything and settles one row; the others are not sent.
    async fn answer_one(&self, id: &str, outcome: Outcome) {
        let session = self.begin_push().await;
        for sent in self.take(session).await {
            let outcome = if sent.key.item_id == id { outcome.clone() } else { Outcome::Unsent };
            self.settle(session, &sent.key, outcome).await;
        }
    }
}

pub(super) async fn x_16_an_edit_taken_back_leaves_the_newest_copy<S: LocalStore>(probe: Probe<S>) {
    let take_all = async || {
        let session = probe.begin_push().await;
        probe.exchange(session, Vec::new(), Some(take(10))).await
    };
    probe.row_with_a_newer_copy().await;
    probe.update(part("a", &[("text", text("milk")), ("note", text("mine"))])).await;
    let done = take_all().await;
    assert_eq!((done.taken.len(), done.unneeded), (0, 1));
    probe.assert_clean("a").await;
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "n")), (Some(text("milk")), Some(Value::Integer(5))));
    assert_eq!((row.version.as_deref(), value(&row, "note")), (Some("v2"), Some(text("mine"))));

    // The server's row is deleted: with the edit the row goes.
    probe.update(todo("a", "bread")).await;
    probe.pull(&format!("[{}]", tombstone("a", "v3"))).await;
    probe.update(todo("a", "milk")).await;
    assert_eq!(take_all().await.unneeded, 1);
    probe.assert_clean("a").await;
    assert_eq!(probe.find("a").await, None);

    let list = |version: &str, deleted: bool| {
        format!("[{{\"id\":\"l\",\"title\":\"home\",\"version\":\"{version}\",\"deleted\":{deleted}}}]")
    };
    let title = |title: &str| row_of(&LIST, "l", &[("title", text(title))]);
    probe.apply(batch(&LIST, &[&list("v1", false)])).await;
    probe.edit(&LIST, title("work")).await;
    probe.apply(batch(&LIST, &[&list("v2", true)])).await;
    probe.edit(&LIST, title("home")).await;
    assert_eq!(take_all().await.unneeded, 1);
    let row = probe.store.get(&LIST, "l").await.expect("a read").expect("the row is kept");
    assert_eq!((row.deleted, row.version.as_deref()), (true, Some("v2")));
}

pub(super) async fn x_15_the_same_edit_of_somebody_else_is_not_sent<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.pull(&format!("[{}]", numbered("a", "bread", 5, "v2"))).await;
    let session = probe.begin_push().await;
    assert_eq!(probe.exchange(session, Vec::new(), Some(take(10))).await.unneeded, 1);
    let row = probe.row("a").await;
    assert_eq!((value(&row, "n"), row.version.as_deref()), (Some(Value::Integer(5)), Some("v2")));

    // Deleted with the same content: the edit is still the app's wish.
    probe.update(todo("a", "deleted")).await;
    probe.pull(&format!("[{}]", tombstone("a", "v3"))).await;
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, present(&sent.item)), (SentKind::Update, vec!["text"]));
}

pub(super) async fn w_09_a_revived_row_starts_from_the_newest_copy<S: LocalStore>(probe: Probe<S>) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(gone(deleted(server("a", "milk", "v2")))).await;
    probe.resolve("a", Resolution::KeepLocal).await;
    let dead = numbered("a", "milk", 5, "v3").replace("\"deleted\":false", "\"deleted\":true");
    assert_eq!(probe.pull(&format!("[{dead}]")).await.kept_local, 1);
    let (session, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Undelete, Some("v2")));
    probe.settle(session, &sent.key, acknowledged(None)).await;
    let rest = probe.take_one(session).await;
    assert_eq!((rest.sent, present(&rest.item)), (SentKind::Update, vec!["text", "n"]));
    assert_eq!(
        rest.base.map(|base| (base.deleted, value(&base, "n"))),
        Some((false, Some(Value::Integer(5))))
    );
}

pub(super) async fn a_handlers_choice_knows_base_and_newest_copy<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    let (session, sent) = probe.send().await;
    let failure = failure(FailureClass::Conflict, Some(numbered_row("a", "jam", 6, "v3")));
    let outcome = Outcome::Resolved { failure, resolution: Resolution::KeepLocal, by: Resolver::Handler };
    probe.settle(session, &sent.key, outcome).await;
    let again = probe.take_one(session).await;
    assert_eq!((again.base_version.as_deref(), present(&again.item)), (Some("v3"), vec!["text"]));
    let row = probe.row("a").await;
    assert_eq!((content(&row), value(&row, "n")), (Some(text("bread")), Some(Value::Integer(6))));
}

pub(super) async fn g_05_a_purge_forgets_the_copies<S: LocalStore>(probe: Probe<S>) {
    probe.row_with_a_newer_copy().await;
    let predicate = crate::predicate::Predicate::all(&super::tables::TODO);
    probe
        .store
        .purge(crate::store::Purge { force: true, ..crate::store::Purge::new(predicate) })
        .await
        .expect("a purge");
    probe.assert_clean("a").await;
    probe.pulled("a", "tea", "v1").await;
    probe.delete("a").await;
    let (_, sent) = probe.send().await;
    assert_eq!((sent.sent, sent.base_version.as_deref()), (SentKind::Delete, Some("v1")));
    assert_eq!(sent.base.as_ref().and_then(content), Some(text("tea")));
    assert_eq!(probe.operation("a").await.kind, OperationKind::Delete);
}
