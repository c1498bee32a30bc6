//! Local writes (17.1), and settings.

use super::super::probe::*;
use super::super::tables::{LIST, PART};
use super::{SETTING, Step};
use crate::operation::FailureClass;
use crate::store::{LocalChangeKind, LocalStore, Outcome};

fn one(kind: LocalChangeKind) -> Step {
    Step::Write(vec![change(&crate::store::contract::TODO, kind)])
}

fn delete() -> LocalChangeKind {
    LocalChangeKind::Delete("a".to_owned())
}

pub(super) async fn z_01_an_insert<S: LocalStore>(_: &Probe<S>) -> Step {
    one(LocalChangeKind::Insert(todo("a", "milk")))
}

pub(super) async fn z_01_the_first_update_of_a_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    one(LocalChangeKind::Update(todo("a", "bread")))
}

pub(super) async fn z_01_a_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    one(delete())
}

pub(super) async fn z_01_a_group_of_changes<S: LocalStore>(probe: &Probe<S>) -> Step {
    for id in ["a", "b"] {
        probe.pulled(id, "milk", "v1").await;
    }
    let list = row_of(&LIST, "l", &[("title", text("home"))]);
    let part = row_of(&PART, "p", &[("name", text("a part")), ("list", text("l"))]);
    let of_todo = |kind| change(&crate::store::contract::TODO, kind);
    Step::Write(vec![
        of_todo(LocalChangeKind::Insert(todo("c", "jam"))),
        of_todo(LocalChangeKind::Update(todo("b", "bread"))),
        change(&PART, LocalChangeKind::Insert(part)),
        change(&LIST, LocalChangeKind::Insert(list)),
        of_todo(delete()),
        of_todo(LocalChangeKind::Update(todo("c", "more jam"))),
    ])
}

pub(super) async fn x_03_an_insert_taken_back<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "mine")).await;
    probe.pull(&format!("[{}]", json("a", "theirs", "v1"))).await;
    one(delete())
}

pub(super) async fn x_04_an_insert_of_unknown_outcome_becomes_a_delete<S: LocalStore>(
    probe: &Probe<S>,
) -> Step {
    probe.insert(todo("a", "mine")).await;
    probe.answer(Outcome::Uncertain(Some(failure(FailureClass::ServerError, None)))).await;
    probe.update(todo("a", "edited")).await;
    one(delete())
}

pub(super) async fn x_06_an_insert_over_a_foreign_row_taken_back<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "mine")).await;
    probe.answer(conflict(server("a", "theirs", "v1"))).await;
    one(delete())
}

pub(super) async fn x_09_a_deletion_taken_back<S: LocalStore>(probe: &Probe<S>) -> Step {
    let extra = json("a", "milk", "v1").replace("\"text\"", "\"color\":1,\"text\"");
    probe.pull(&format!("[{extra}]")).await;
    probe.delete("a").await;
    probe.answer(refused()).await;
    one(LocalChangeKind::Insert(todo("a", "again")))
}

pub(super) async fn x_08_an_update_becomes_a_delete<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.insert(todo("b", "behind")).await;
    one(delete())
}

pub(super) async fn x_14_a_change_of_a_failed_operation<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.answer(refused()).await;
    one(LocalChangeKind::Update(todo("a", "jam")))
}

pub(super) async fn f_04_an_update_during_the_flight<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.update(todo("a", "bread")).await;
    probe.send().await;
    one(LocalChangeKind::Update(todo("a", "jam")))
}

pub(super) async fn f_05_a_delete_during_the_flight<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.insert(todo("a", "milk")).await;
    probe.send().await;
    one(delete())
}

pub(super) async fn f_06_an_insert_while_the_delete_is_in_flight<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.pulled("a", "milk", "v1").await;
    probe.delete("a").await;
    probe.send().await;
    one(LocalChangeKind::Insert(todo("a", "again")))
}

pub(super) async fn w_09_an_undelete<S: LocalStore>(probe: &Probe<S>) -> Step {
    for (version, deleted) in [("v1", false), ("v2", true)] {
        let body = format!(
            "[{{\"id\":\"l\",\"title\":\"home\",\"n\":1,\"version\":\"{version}\",\"deleted\":{deleted}}}]"
        );
        probe.apply(batch(&LIST, &[&body])).await;
    }
    Step::Write(vec![change(&LIST, LocalChangeKind::Undelete("l".to_owned()))])
}

pub(super) async fn w_09_an_undelete_of_an_edited_row<S: LocalStore>(probe: &Probe<S>) -> Step {
    w_09_an_undelete(probe).await;
    let edit = row_of(&LIST, "l", &[("title", text("edited"))]);
    probe.try_write(vec![change(&LIST, LocalChangeKind::Update(edit))]).await.expect("an edit");
    probe.answer(refused()).await;
    Step::Write(vec![change(&LIST, LocalChangeKind::Undelete("l".to_owned()))])
}

pub(super) async fn settings<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.store.set_setting(SETTING, Some("old")).await.expect("a setting");
    Step::SetSetting { key: SETTING, value: Some("new") }
}

pub(super) async fn settings_removed<S: LocalStore>(probe: &Probe<S>) -> Step {
    probe.store.set_setting(SETTING, Some("old")).await.expect("a setting");
    Step::SetSetting { key: SETTING, value: None }
}
