//! Typed filters inside hand-written Diesel.

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use sync_diesel::prelude::*;

use crate::support::{List, Todo, World, ids, list, todo};

async fn two_lists() -> World {
    let world = World::with([
        ("1", Todo { list_id: Some("g".into()), ..Todo::new("Pick up milk") }),
        ("2", Todo { list_id: Some("g".into()), complete: true, ..Todo::new("Bread") }),
        ("3", Todo { list_id: Some("h".into()), ..Todo::new("Paint") }),
        ("4", Todo { urgent: Some(true), ..Todo::new("Sleep, drink milk") }),
    ])
    .await;
    let lists = world.sync.table::<List>();
    lists.insert_with_id("g", List { name: "Groceries".into() }).await.unwrap();
    lists.insert_with_id("h", List { name: "Home".into() }).await.unwrap();
    world
}

async fn read<T: Send + 'static>(
    world: &World,
    read: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> T {
    world.sync.read(read).await.expect("the query runs")
}

#[tokio::test]
async fn typed_and_diesel_conditions_mix() {
    let world = two_lists().await;
    let rows = read(&world, |conn| {
        todo::table
            .filter(Todo::text.contains("milk"))
            .filter(todo::complete.eq(false))
            .or_filter(todo::id.eq("2").and(Todo::complete))
            .order((Todo::text.desc(), todo::id))
            .select(Record::<Todo>::as_select())
            .load(conn)
    })
    .await;
    assert_eq!(ids(&rows), ["4", "1", "2"]);
    let rows = read(&world, |conn| {
        todo::table.filter(not(Todo::urgent.eq(true))).select(todo::id).order(todo::id).load::<String>(conn)
    })
    .await;
    assert_eq!(rows, ["1", "2", "3"], "not is the complement, null included");
}

#[tokio::test]
async fn boxed_queries_take_typed_conditions_and_orders() {
    let world = two_lists().await;
    for (search, only_open, expected) in [
        (None, false, vec!["2", "3", "1", "4"]),
        (Some("milk"), false, vec!["1", "4"]),
        (None, true, vec!["3", "1", "4"]),
    ] {
        let rows: Vec<String> = read(&world, move |conn| {
            let mut query = todo::table.into_boxed().order(Todo::text.asc()).select(todo::id);
            if let Some(search) = search {
                query = query.filter(Todo::text.contains(search));
            }
            if only_open {
                query = query.filter(!Todo::complete);
            }
            query.load(conn)
        })
        .await;
        assert_eq!(rows, expected, "{search:?} {only_open}");
    }
}

#[tokio::test]
async fn conditions_are_selected_as_values() {
    let world = two_lists().await;
    let rows: Vec<(String, bool, bool)> = read(&world, |conn| {
        todo::table
            .select((todo::id, Todo::text.contains("milk"), Todo::urgent.eq(true)))
            .order(todo::id)
            .load(conn)
    })
    .await;
    let expected = [("1", true, false), ("2", false, false), ("3", false, false), ("4", true, true)];
    assert_eq!(rows, expected.map(|(id, milk, urgent)| (id.to_owned(), milk, urgent)));
    let texts: Vec<Option<String>> =
        read(&world, |conn| todo::table.select(Todo::list_id).order(Todo::id.desc()).load(conn)).await;
    assert_eq!(texts, [None, Some("h".into()), Some("g".into()), Some("g".into())]);
}

#[tokio::test]
async fn joins_by_belongs_to_filter_both_sides() {
    let world = two_lists().await;
    let joined: Vec<(Record<Todo>, Record<List>)> = read(&world, |conn| {
        todo::table
            .inner_join(list::table)
            .filter(List::name.starts_with("Gro").and(List::id.ne("h")))
            .filter(Todo::text.contains("milk"))
            .select((Record::<Todo>::as_select(), Record::<List>::as_select()))
            .load(conn)
    })
    .await;
    assert_eq!(joined.len(), 1);
    assert_eq!((joined[0].0.id(), joined[0].1.name.as_str()), ("1", "Groceries"));

    let from_parent: Vec<(String, String)> = read(&world, |conn| {
        list::table
            .inner_join(todo::table)
            .filter(Todo::text.ends_with("t"))
            .order((List::name.asc(), todo::text))
            .select((list::name, todo::text))
            .load(conn)
    })
    .await;
    assert_eq!(from_parent, [("Home".into(), "Paint".into())]);
}

#[tokio::test]
async fn left_joins_keep_conditions_two_valued() {
    let world = two_lists().await;
    let with_parent: Vec<(String, Option<Record<List>>)> = read(&world, |conn| {
        todo::table
            .left_join(list::table)
            .filter(Todo::complete.eq(false))
            .order(todo::id)
            .select((todo::id, Option::<Record<List>>::as_select()))
            .load(conn)
    })
    .await;
    let names: Vec<_> =
        with_parent.iter().map(|(id, list)| (id.as_str(), list.as_ref().map(|list| list.id()))).collect();
    assert_eq!(names, [("1", Some("g")), ("3", Some("h")), ("4", None)]);

    // A condition on the side that may be missing is false there, and `ne` true.
    let elsewhere: Vec<String> = read(&world, |conn| {
        todo::table
            .left_join(list::table)
            .filter(List::name.ne("Groceries"))
            .order(todo::id)
            .select(todo::id)
            .load(conn)
    })
    .await;
    assert_eq!(elsewhere, ["3", "4"]);
    let groceries: Vec<String> = read(&world, |conn| {
        todo::table
            .left_join(list::table)
            .filter(not(List::name.ne("Groceries")))
            .order(todo::id)
            .select(todo::id)
            .load(conn)
    })
    .await;
    assert_eq!(groceries, ["1", "2"]);
}

#[tokio::test]
async fn subqueries_and_aggregates_take_typed_conditions() {
    let world = two_lists().await;
    let lists: Vec<String> = read(&world, |conn| {
        list::table
            .filter(exists(
                todo::table.filter(todo::list_id.eq(list::id.nullable())).filter(Todo::text.contains("milk")),
            ))
            .select(list::name)
            .load(conn)
    })
    .await;
    assert_eq!(lists, ["Groceries"]);
    let count: i64 =
        read(&world, |conn| todo::table.filter(Todo::text.contains("milk")).count().get_result(conn)).await;
    assert_eq!(count, 2);
}

#[tokio::test]
async fn update_and_delete_take_typed_conditions_and_are_queued() {
    let world = two_lists().await;
    let before = world.sync.pending_operations().await.unwrap();
    assert!(before.iter().all(|operation| operation.key.revision == 1));
    let (updated, deleted) = world
        .sync
        .write(|conn| {
            let milk = todo::table.filter(Todo::text.contains("milk"));
            let updated = diesel::update(milk).set(todo::complete.eq(true)).execute(conn)?;
            let deleted = diesel::delete(todo::table.filter(Todo::text.eq("Bread"))).execute(conn)?;
            Ok((updated, deleted))
        })
        .await
        .unwrap();
    assert_eq!((updated, deleted), (2, 1));
    let changed: Vec<String> = world
        .sync
        .pending_operations()
        .await
        .unwrap()
        .into_iter()
        .filter(|operation| operation.key.table == Todo::SCHEMA.name && operation.key.revision == 2)
        .map(|operation| operation.key.item_id)
        .collect();
    assert_eq!(changed, ["1", "4"], "captured; the unsent insert of 2 vanished with it");
    assert_eq!(world.todos().filter(Todo::complete).count().await.unwrap(), 2);
}
