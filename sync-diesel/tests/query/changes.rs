//! Events of stored changes: which rows, by whom, after the commit.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sync_core::store::{LocalStore, Purge};
use sync_diesel::event::{Changes, EventStream, MAX_ROWS, RowChangeKind, TableChanges};
use sync_diesel::prelude::*;

use crate::support::{List, Todo, World, todo};

/// The changes waiting, oldest first.
fn waiting(events: &mut EventStream) -> Vec<Changes> {
    std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            Event::Changed(changes) => Some(changes),
            _ => None,
        })
        .collect()
}

/// The only change waiting, of table `TodoItem` alone.
fn only(events: &mut EventStream) -> (ChangeSource, TableChanges) {
    let changes = waiting(events);
    let [Changes { source, tables }] = &changes[..] else { panic!("one commit expected: {changes:?}") };
    assert_eq!(tables.len(), 1, "{changes:?}");
    (*source, tables[0].clone())
}

fn rows(changes: &TableChanges) -> Vec<(&str, RowChangeKind)> {
    changes.rows.iter().map(|row| (row.id.as_str(), row.kind)).collect()
}

#[tokio::test]
async fn e_01_every_way_to_write_is_told_after_its_commit() {
    let world = World::new().await;
    let mut events = world.sync.events();
    let todos = world.todos();
    let record = todos.insert_with_id("a", Todo::new("x")).await.unwrap();
    let (source, changes) = only(&mut events);
    assert_eq!((source, rows(&changes)), (ChangeSource::Local, vec![("a", RowChangeKind::Inserted)]));
    assert_eq!((changes.inserted, changes.updated, changes.deleted, changes.len()), (1, 0, 0, 1));
    assert!(changes.is_complete());

    let mut record = record;
    record.text = "y".into();
    todos.update(&record).await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("a", RowChangeKind::Updated)]);
    world
        .sync
        .write(|conn| {
            diesel::insert_into(todo::table)
                .values((todo::id.eq("b"), todo::text.eq("sql"), todo::complete.eq(false), todo::rank.eq(0)))
                .execute(conn)?;
            diesel::update(todo::table.filter(Todo::text.eq("y"))).set(todo::complete.eq(true)).execute(conn)
        })
        .await
        .unwrap();
    assert_eq!(rows(&only(&mut events).1), [("b", RowChangeKind::Inserted), ("a", RowChangeKind::Updated)]);
    todos.delete("b").await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("b", RowChangeKind::Deleted)]);
    world
        .sync
        .write(|conn| {
            conn.batch_execute(
                "INSERT OR REPLACE INTO \"TodoItem\" (id, text, complete, rank) VALUES ('a', 'z', 0, 0)",
            )
        })
        .await
        .unwrap();
    assert_eq!(
        rows(&only(&mut events).1),
        [("a", RowChangeKind::Updated)],
        "a replaced row was there before"
    );

    let purge = Purge { predicate: Todo::all().into(), force: true, keep_tokens: false };
    world.sync.engine().store().purge(purge).await.unwrap();
    let (source, changes) = only(&mut events);
    assert_eq!((source, rows(&changes)), (ChangeSource::Purge, vec![("a", RowChangeKind::Deleted)]));
}

#[tokio::test]
async fn e_04_what_changes_nothing_or_is_rolled_back_is_not_told() {
    let world = World::with([("a", Todo::new("x"))]).await;
    let mut events = world.sync.events();
    let write = |sql: &'static str| world.sync.write(move |conn| conn.batch_execute(sql));
    write("UPDATE \"TodoItem\" SET text = text").await.unwrap();
    write("SELECT 1").await.unwrap();
    // An object of an older version with the content that the row has.
    write("UPDATE \"TodoItem\" SET text = text, __version = 'older' WHERE id = 'a'").await.unwrap();
    write("INSERT INTO \"TodoItem\" (id, text, complete, rank) VALUES ('b', '', 0, 0); DELETE FROM \"TodoItem\" WHERE id = 'b'")
        .await
        .unwrap();
    write("UPDATE \"TodoItem\" SET text = 'y'; no sql").await.expect_err("rolled back");
    write("SAVEPOINT s; UPDATE \"TodoItem\" SET text = 'y'; ROLLBACK TO s; RELEASE s").await.unwrap();
    // A statement that fails in the middle takes its rows back; the transaction goes on.
    world
        .sync
        .write(|conn| {
            let failed = conn.batch_execute(
                "INSERT INTO \"TodoItem\" (id, text, complete, rank) VALUES ('c', '', 0, 0), ('a', '', 0, 0)",
            );
            assert!(failed.is_err());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(waiting(&mut events), []);
    write("UPDATE \"TodoItem\" SET text = 'y'").await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("a", RowChangeKind::Updated)]);
}

#[tokio::test]
async fn a_commit_of_many_rows_names_the_first_and_counts_all() {
    let world = World::new().await;
    let mut events = world.sync.events();
    let many = MAX_ROWS + 500;
    world.todos().insert_many((0..many).map(|n| Todo::new(&n.to_string()))).await.unwrap();
    world.sync.table::<List>().insert(List { name: "l".into() }).await.unwrap();
    let changes = waiting(&mut events);
    assert_eq!(changes.len(), 2, "one event for each commit, in their order");
    let todos = changes[0].of::<Todo>().expect("of this table");
    assert_eq!((todos.inserted, todos.rows.len(), todos.is_complete()), (many as u64, MAX_ROWS, false));
    assert!(changes[0].of::<List>().is_none() && changes[1].of::<List>().is_some());
}

#[tokio::test]
async fn rows_are_told_once_however_many_commits_there_were() {
    let world = World::new().await;
    let mut events = world.sync.events();
    let mut told = 0;
    for commit in 0..8_u64 {
        let many = (0..1500).map(|n| Todo::new(&format!("{commit} {n}")));
        world.todos().insert_many(many).await.unwrap();
        let rolled_back = |conn: &mut SqliteConnection| {
            conn.batch_execute("UPDATE \"TodoItem\" SET rank = 1")?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        };
        world.sync.write(rolled_back).await.expect_err("rolled back");
        told += only(&mut events).1.inserted;
        assert_eq!(told, (commit + 1) * 1500);
    }
}

#[tokio::test]
async fn listeners_come_and_go() {
    let world = World::new().await;
    let todos = world.todos();
    todos.insert_with_id("a", Todo::new("before")).await.unwrap();
    let mut events = world.sync.events();
    todos.insert_with_id("b", Todo::new("told")).await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("b", RowChangeKind::Inserted)]);
    drop(events);
    todos.insert_with_id("c", Todo::new("to nobody")).await.unwrap();
    let mut events = world.sync.events();
    todos.insert_with_id("d", Todo::new("told")).await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("d", RowChangeKind::Inserted)]);
    // A panic on the writing connection costs the connection, not the events.
    world.sync.write(|_| -> QueryResult<()> { panic!("a bug in the app") }).await.expect_err("it panicked");
    todos.insert_with_id("e", Todo::new("told")).await.unwrap();
    assert_eq!(rows(&only(&mut events).1), [("e", RowChangeKind::Inserted)]);
}

#[tokio::test]
async fn e_05_a_listener_that_reads_nothing_holds_nobody_up_and_is_told_of_its_lag() {
    let world = World::new().await;
    let mut slow = world.sync.engine().store().subscribe(2);
    for n in 0..5 {
        world.todos().insert(Todo::new(&n.to_string())).await.unwrap();
    }
    assert_eq!(slow.try_next(), Some(Event::Lagged { lost: 3 }));
    assert_eq!(waiting(&mut slow).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_19_a_watch_yields_at_once_and_after_each_change_of_its_table() {
    let world = World::new().await;
    let mut watch = world.sync.watch::<Todo>();
    let wait = Duration::from_secs(20);
    tokio::time::timeout(wait, watch.changed()).await.expect("it yields at once").expect("open");
    world.sync.table::<List>().insert(List { name: "another table".into() }).await.unwrap();
    world.todos().filter(Todo::complete).count().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    assert!(quiet.is_err(), "nothing of this table changed");
    for n in 0..3 {
        world.todos().insert(Todo::new(&n.to_string())).await.unwrap();
    }
    tokio::time::timeout(wait, watch.changed()).await.expect("it changed").expect("open");
    assert_eq!(world.todos().all().count().await.unwrap(), 3);
    let quiet = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    assert!(quiet.is_err(), "changes that nobody waited for are one item");
    drop(world);
    let end = tokio::time::timeout(wait, async { while watch.changed().await.is_some() {} }).await;
    end.expect("the watch ends with the context");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_misses_no_write_that_runs_when_it_begins() {
    let world = World::new().await;
    let (started, has_started) = std::sync::mpsc::channel();
    let (finish, may_finish) = std::sync::mpsc::channel::<()>();
    let sync = world.sync.clone();
    let writing = tokio::spawn(async move {
        sync.write(move |conn| {
            conn.batch_execute("INSERT INTO \"TodoItem\" (id, text, complete, rank) VALUES ('a', '', 0, 0)")?;
            started.send(()).expect("the test waits");
            may_finish.recv().expect("the test says so");
            Ok(())
        })
        .await
    });
    tokio::task::spawn_blocking(move || has_started.recv()).await.unwrap().expect("started");
    let mut watch = world.sync.watch::<Todo>();
    let early = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    assert!(early.is_err(), "a reader would miss the running write");
    finish.send(()).expect("the write waits");
    watch.changed().await.expect("open");
    assert_eq!(world.todos().all().count().await.unwrap(), 1);
    writing.await.unwrap().unwrap();
}
