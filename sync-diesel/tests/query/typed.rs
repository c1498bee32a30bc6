//! Order, range, selection, existence.

use sync_diesel::prelude::*;
use uuid::Uuid;

use crate::support::{Todo, World, ids, instant};

async fn four() -> World {
    World::with([
        ("a", Todo { rank: 2, due_at: Some(instant("2024-03-01T00:00:00Z")), ..Todo::new("x") }),
        ("b", Todo { rank: 1, ..Todo::new("x") }),
        (
            "c",
            Todo {
                rank: 2,
                complete: true,
                due_at: Some(instant("1969-07-20T20:17:40.5Z")),
                ..Todo::new("y")
            },
        ),
        ("d", Todo { rank: 1, complete: true, ..Todo::new("x") }),
    ])
    .await
}

#[tokio::test]
async fn r_05_keys_weigh_by_their_order_and_the_id_decides_ties() {
    let world = four().await;
    let todos = world.todos();
    let rows = todos.all().order_by([Todo::rank.desc(), Todo::text.desc()]).load().await.unwrap();
    assert_eq!(ids(&rows), ["c", "a", "b", "d"]);
    let chained = todos.all().order_by(Todo::rank.desc()).order_by(vec![Todo::text.desc()]).load().await;
    assert_eq!(chained.unwrap(), rows);
    let computed = todos.all().order_by((Todo::rank * -1).asc()).order_by(Todo::text.desc()).load().await;
    assert_eq!(computed.unwrap(), rows, "an expression is a key as well");
    let page = todos.all().order_by(Todo::rank.asc()).offset(1).limit(2).load().await.unwrap();
    assert_eq!(ids(&page), ["d", "a"]);
    assert_eq!(todos.all().offset(1).limit(1).count().await.unwrap(), 4, "the range does not count");
    assert_eq!(ids(&todos.all().offset(3).load().await.unwrap()), ["d"]);
}

#[tokio::test]
async fn r_05_r_08_null_is_the_least_and_dates_before_1970_are_in_order() {
    let world = four().await;
    let todos = world.todos();
    let up = todos.all().order_by(Todo::due_at.asc()).load().await.unwrap();
    assert_eq!(ids(&up), ["b", "d", "c", "a"]);
    let down = todos.all().order_by(Todo::due_at.desc()).load().await.unwrap();
    assert_eq!(ids(&down), ["a", "c", "b", "d"]);
    assert_eq!(up[2].due_at, Some(instant("1969-07-20T20:17:40.5Z")));
}

#[tokio::test]
async fn r_09_nothing_found_is_none() {
    let world = four().await;
    let todos = world.todos();
    assert!(todos.filter(Todo::text.eq("y")).exists().await.unwrap());
    assert!(!todos.filter(Todo::text.eq("z")).exists().await.unwrap());
    assert!(!todos.filter(Todo::text.eq("z")).filter(Todo::complete).exists().await.unwrap());
    assert_eq!(todos.filter(Todo::text.eq("z")).first().await.unwrap(), None);
    assert_eq!(todos.get("z").await.unwrap(), None);
    assert_eq!(todos.all().limit(0).first().await.unwrap(), None);
}

#[tokio::test]
async fn r_06_values_are_selected_by_column_type() {
    let owner = Uuid::from_u128(7);
    let full = Todo {
        rank: -3,
        complete: true,
        due_at: Some(instant("2024-02-29T12:00:00.123Z")),
        weight: Some(1.0),
        urgent: Some(false),
        owner: Some(owner),
        list_id: Some("l".into()),
        ..Todo::new("full")
    };
    let world = World::with([("a", full.clone()), ("b", Todo::new("bare"))]).await;
    let todos = world.todos();

    let texts: Vec<String> = todos.all().select(Todo::text).load().await.unwrap();
    assert_eq!(texts, ["full", "bare"]);
    let pairs: Vec<(String, Option<DateTime<Utc>>)> =
        todos.all().order_by(Todo::text.asc()).select((Todo::text, Todo::due_at)).load().await.unwrap();
    assert_eq!(pairs, [("bare".to_owned(), None), ("full".to_owned(), full.due_at)]);
    type Eight =
        (String, bool, i8, Option<DateTime<Utc>>, Option<f64>, Option<bool>, Option<Uuid>, Option<String>);
    let selection = (
        Todo::id,
        Todo::complete,
        Todo::rank,
        Todo::due_at,
        Todo::weight,
        Todo::urgent,
        Todo::owner,
        Todo::list_id,
    );
    let rows: Vec<Eight> = todos.all().select(selection).load().await.unwrap();
    assert_eq!(
        rows[0],
        ("a".into(), true, -3, full.due_at, Some(1.0), Some(false), Some(owner), Some("l".into()))
    );
    // A null boolean is null, although as a condition it is false.
    assert_eq!(rows[1], ("b".into(), false, 0, None, None, None, None, None));

    let version: Option<Option<String>> = todos.all().select(Todo::version).first().await.unwrap();
    assert_eq!(version, Some(None));
    let optional: Vec<(Option<String>, Option<i8>)> =
        todos.all().select((Todo::text, Todo::rank)).load().await.unwrap();
    assert_eq!(optional[0], (Some("full".into()), Some(-3)), "an `Option` may hold what is never null");
}

#[tokio::test]
async fn r_06_conditions_are_selected_as_booleans() {
    let world = four().await;
    let query = world.todos().all().select((Todo::text, Todo::text.contains("y"), !Todo::complete));
    let rows: Vec<(String, bool, bool)> = query.load().await.unwrap();
    assert_eq!(
        rows,
        [
            ("x".into(), false, true),
            ("x".into(), false, true),
            ("y".into(), true, false),
            ("x".into(), false, false)
        ]
    );
    let urgent: Vec<bool> = world.todos().all().select(Todo::urgent.eq(true)).load().await.unwrap();
    assert_eq!(urgent, [false; 4], "a comparison with null is false, not null");
}

#[tokio::test]
async fn distinct_values_come_once() {
    let world = four().await;
    let query = world.todos().all().order_by(Todo::text.desc()).select(Todo::text);
    let texts: Vec<String> = query.distinct().load().await.unwrap();
    assert_eq!(texts, ["y", "x"]);
    let query = world.todos().all().order_by([Todo::text.asc(), Todo::rank.asc()]).offset(1);
    let pairs: Vec<(String, i8)> = query.select((Todo::text, Todo::rank)).distinct().load().await.unwrap();
    assert_eq!(pairs, [("x".into(), 2), ("y".into(), 2)], "the range counts different rows");
}

#[tokio::test]
async fn a_column_that_may_be_null_needs_an_option_even_without_nulls() {
    let world =
        World::with([("a", Todo { due_at: Some(instant("2024-03-01T00:00:00Z")), ..Todo::new("x") })]).await;
    let query = world.todos().all().select((Todo::text, Todo::due_at));
    let error = query.load::<(String, DateTime<Utc>)>().await.expect_err("dueAt may be null");
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("TodoItem")));
    assert!(error.to_string().contains("dueAt"), "{error}");
    let error = world.todos().all().select(Todo::version).load::<String>().await.expect_err("may be null");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_stored_value_that_does_not_fit_is_an_error_that_names_its_column() {
    let world = four().await;
    world.as_sync("UPDATE \"TodoItem\" SET rank = 1000 WHERE id = 'b'").await;
    let query = world.todos().all().select((Todo::text, Todo::rank));
    let error = query.load::<(String, i8)>().await.expect_err("1000 is no i8");
    assert_eq!((error.kind(), error.table()), (ErrorKind::Corrupt, Some("TodoItem")));
    assert!(error.to_string().contains("rank"), "{error}");
    world.todos().all().load().await.expect_err("nor does it fit the entity");
}

#[tokio::test]
async fn r_12_local_changes_are_seen_and_deleted_rows_are_not() {
    let world = four().await;
    let todos = world.todos();
    let mut row = todos.get("a").await.unwrap().expect("there");
    row.text = "edited".into();
    todos.update(&row).await.unwrap();
    todos.delete("b").await.unwrap();
    let rows: Vec<(String, String)> = todos.all().select((Todo::id, Todo::text)).load().await.unwrap();
    assert_eq!(rows, [("a".into(), "edited".into()), ("c".into(), "y".into()), ("d".into(), "x".into())]);
}
