//! The state of each row, typed and in hand-written Diesel.

use diesel::prelude::*;
use sync_core::operation::{FailureClass, OperationKey};
use sync_core::store::{Exchange, Failure, LocalStore, Outcome, Settlement, Take};
use sync_diesel::prelude::*;

use crate::support::{List, Todo, World, list, todo};

/// Marks the first operations of the queue attempted, as a push does.
async fn take(world: &World, limit: usize) -> (sync_core::store::PushSession, Vec<OperationKey>) {
    let store = world.sync.engine().store();
    let session = store.begin_push().await.unwrap();
    let take = Take::first(limit);
    let exchange = Exchange { session, settlements: Vec::new(), take: Some(take) };
    let taken = store.exchange(exchange).await.unwrap().taken;
    (session, taken.into_iter().map(|operation| operation.key).collect())
}

/// One row in each state: the id says which.
async fn every_state() -> World {
    let world = World::new().await;
    world
        .as_sync(
            "INSERT INTO \"TodoItem\" (id, text, complete, rank, __version) VALUES
             ('synced', '', 0, 0, 'v1'), ('update', '', 0, 0, 'v1'), ('delete', '', 0, 0, 'v1')",
        )
        .await;
    let todos = world.todos();
    for id in ["conflict", "gone", "refused", "sent", "insert"] {
        todos.insert_with_id(id, Todo::new("")).await.unwrap();
    }
    let (session, keys) = take(&world, 4).await;
    let failure = |class| Failure { class, status: None, message: "no".into(), remote: None };
    let outcomes = [
        Outcome::Conflict(failure(FailureClass::Conflict)),
        Outcome::Conflict(failure(FailureClass::Gone)),
        Outcome::Refused(failure(FailureClass::Refused)),
    ];
    let settlements =
        keys.into_iter().zip(outcomes).map(|(key, outcome)| Settlement { key, outcome }).collect();
    let exchange = Exchange { session, settlements, take: None };
    world.sync.engine().store().exchange(exchange).await.unwrap();
    let mut row = todos.get("update").await.unwrap().expect("there");
    row.text = "changed".into();
    todos.update(&row).await.unwrap();
    todos.delete("delete").await.unwrap();
    world
}

#[tokio::test]
async fn every_state_is_told_with_its_record() {
    let world = every_state().await;
    let states: Vec<(String, SyncState)> = world
        .todos()
        .all()
        .with_state()
        .load()
        .await
        .unwrap()
        .into_iter()
        .map(|(row, state)| (row.id().to_owned(), state))
        .collect();
    let expected = [
        ("conflict", SyncState::Conflict),
        ("gone", SyncState::Conflict),
        ("insert", SyncState::PendingInsert),
        ("refused", SyncState::Failed),
        ("sent", SyncState::Sent),
        ("synced", SyncState::Synced),
        ("update", SyncState::PendingUpdate),
    ];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)), "the deleted row is not there");
    assert!(states.iter().all(|(id, state)| state.is_pending() == (id != "synced")));

    let first = world.todos().filter(Todo::text.eq("changed")).with_state().first().await.unwrap();
    assert_eq!(
        first.map(|(row, state)| (row.id().to_owned(), state)),
        Some(("update".into(), SyncState::PendingUpdate))
    );
    for (id, state) in
        expected.into_iter().chain([("delete", SyncState::PendingDelete), ("none", SyncState::Synced)])
    {
        assert_eq!(world.todos().explain(id).await.unwrap().state, state, "{id}");
    }
}

#[tokio::test]
async fn p_29_parked_rows_are_told_apart() {
    let world = every_state().await;
    let (todos, store) = (world.todos(), world.sync.engine().store());
    for error in store.errors(None).await.unwrap() {
        world.sync.resolve::<Todo>(&error, Resolve::Park).await.unwrap();
    }
    let parked = todos.all().in_state([SyncState::Parked]);
    assert_eq!(crate::support::ids(&parked.load().await.unwrap()).join(" "), "conflict gone refused");
    assert!(!todos.all().in_state([SyncState::Conflict, SyncState::Failed]).exists().await.unwrap());
    let explanation = todos.explain("refused").await.unwrap();
    assert_eq!(explanation.state, SyncState::Parked);
    assert!(explanation.error.as_ref().is_some_and(|error| !error.old));
    store.begin_push().await.unwrap();
    let text = todos.explain("refused").await.unwrap().to_string();
    for line in [
        "state: parked, left alone by pushes",
        "error: the server refused the operation, not met by the last push",
        "next push: leaves it alone",
        "the app can: change the row, or decide",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    let conflicts = world.sync.conflicts::<Todo>().await.unwrap();
    assert_eq!(conflicts.iter().filter(|conflict| conflict.parked).count(), 3);
    for conflict in &conflicts {
        world.sync.resolve::<Todo>(conflict, Resolve::Unpark).await.unwrap();
    }
    assert_eq!(todos.explain("refused").await.unwrap().state, SyncState::Failed);
    assert_eq!(todos.explain("gone").await.unwrap().state, SyncState::Conflict);
}

#[tokio::test]
async fn states_stand_in_selects_filters_orders_and_joins() {
    let world = every_state().await;
    world.sync.table::<List>().insert_with_id("l", List { name: "Groceries".into() }).await.unwrap();
    let waiting: Vec<(Record<Todo>, SyncState)> = world
        .sync
        .read(|conn| {
            todo::table
                .filter(SyncState::of::<Todo>().ne(SyncState::Synced))
                .filter(Todo::complete.eq(false))
                .order((SyncState::of::<Todo>().desc(), todo::id))
                .select((Record::<Todo>::as_select(), SyncState::of::<Todo>()))
                .load(conn)
        })
        .await
        .unwrap();
    let ids: Vec<_> = waiting.iter().map(|(row, _)| row.id()).collect();
    assert_eq!(ids, ["refused", "conflict", "gone", "sent", "update", "insert"]);

    let counted: Vec<(SyncState, SyncState, String)> = world
        .sync
        .read(|conn| {
            todo::table
                .inner_join(list::table.on(diesel::dsl::sql::<diesel::sql_types::Bool>("1")))
                .filter(SyncState::of::<Todo>().eq_any([SyncState::Synced, SyncState::Sent]))
                .order(todo::id)
                .select((SyncState::of::<Todo>(), SyncState::of::<List>(), todo::id))
                .load(conn)
        })
        .await
        .unwrap();
    assert_eq!(
        counted,
        [
            (SyncState::Sent, SyncState::PendingInsert, "sent".into()),
            (SyncState::Synced, SyncState::PendingInsert, "synced".into()),
        ]
    );
}

#[tokio::test]
async fn queries_require_states() {
    let world = every_state().await;
    let todos = world.todos();
    let load = |states: Vec<SyncState>| {
        let query = todos.filter(Todo::rank.eq(0)).in_state(states);
        async move { crate::support::ids(&query.load().await.unwrap()).join(" ") }
    };
    assert_eq!(load(vec![SyncState::Conflict]).await, "conflict gone");
    assert_eq!(load(vec![SyncState::Synced, SyncState::Sent]).await, "sent synced");
    assert_eq!(load(vec![]).await, "");
    assert_eq!(todos.all().in_state([SyncState::Synced]).count().await.unwrap(), 1);
    assert!(!todos.all().in_state([SyncState::PendingDelete]).exists().await.unwrap());
    let both = todos.all().in_state([SyncState::Sent, SyncState::Failed]).in_state([SyncState::Failed]);
    let values: Vec<String> = both.select(Todo::id).load().await.unwrap();
    assert_eq!(values, ["refused"]);
}

#[tokio::test]
async fn a_state_is_found_by_index_and_scans_no_queue() {
    #[derive(diesel::QueryableByName)]
    struct Step {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let world = every_state().await;
    let plan: Vec<String> = world
        .sync
        .read(|conn| {
            let query = todo::table
                .filter(SyncState::of::<Todo>().eq(SyncState::Conflict))
                .select((todo::id, SyncState::of::<Todo>()));
            let text = diesel::debug_query::<diesel::sqlite::Sqlite, _>(&query).to_string();
            let sql = text.split(" -- binds").next().expect("a statement").replace('?', "5");
            let steps = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load::<Step>(conn)?;
            Ok(steps.into_iter().map(|step| step.detail).collect())
        })
        .await
        .unwrap();
    let of =
        |alias: &str| plan.iter().filter(|step| step.split(' ').nth(1) == Some(alias)).collect::<Vec<_>>();
    for alias in ["o", "e"] {
        let steps = of(alias);
        assert!(!steps.is_empty(), "{plan:?}");
        for step in steps {
            assert!(step.starts_with("SEARCH") && step.contains("(table_name=? AND item_id=?)"), "{plan:?}");
        }
    }
}

#[tokio::test]
async fn q_09_a_state_of_another_version_is_an_error() {
    let world = every_state().await;
    world.as_sync("UPDATE \"__operations\" SET state = 9 WHERE item_id = 'insert'").await;
    let error = world.todos().all().with_state().load().await.expect_err("state 9 is not known");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(world.todos().all().count().await.unwrap(), 7, "plain reads go on");
}
