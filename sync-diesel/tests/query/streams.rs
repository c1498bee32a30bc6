//! Large results: bounded memory, one snapshot, no waiting writers, nothing left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::deserialize;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use diesel::sqlite::Sqlite;
use futures_util::TryStreamExt;
use sync_core::diesel::DieselEntity;
use sync_core::entity::TableSchema;
use sync_core::row::Row;
use sync_core::value::Value;
use sync_diesel::DatabaseOptions;
use sync_diesel::prelude::*;

use crate::support::{Todo, World, todo};

const MANY: usize = 100_000;

async fn filled(rows: usize) -> World {
    let world = World::new().await;
    world
        .as_sync(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             INSERT INTO \"TodoItem\" (id, text, complete, rank) SELECT printf('%06d', i), 'row ' || i, i % 2, 1 FROM n",
            rows - 1
        ))
        .await;
    world
}

/// The rows of `Todo`, counted while they are in memory.
struct Counted {
    text: String,
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn new(text: String) -> Self {
        let alive = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(alive, Ordering::SeqCst);
        Self { text }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SyncEntity for Counted {
    const SCHEMA: &'static TableSchema = Todo::SCHEMA;

    fn to_values(&self) -> Vec<Value> {
        Vec::new()
    }

    fn from_row(row: &Row) -> sync_diesel::Result<Self> {
        Todo::from_row(row).map(|todo| Self::new(todo.text))
    }
}

impl DieselEntity for Counted {
    type Table = todo::table;
    type Id = todo::id;
    type System = (todo::id, todo::version, todo::updated_at, todo::deleted);

    fn table() -> todo::table {
        todo::table
    }
}

impl Selectable<Sqlite> for Counted {
    type SelectExpression = (todo::text,);

    fn construct_selection() -> Self::SelectExpression {
        (todo::text,)
    }
}

impl Queryable<(Text,), Sqlite> for Counted {
    type Row = (String,);

    fn build((text,): Self::Row) -> deserialize::Result<Self> {
        Ok(Self::new(text))
    }
}

/// Waits until `condition` holds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Whether a connection still reads an old state: a checkpoint cannot pass it.
fn is_read_from(world: &World) -> bool {
    #[derive(diesel::QueryableByName)]
    struct Checkpoint {
        #[diesel(sql_type = Integer)]
        busy: i32,
    }
    let mut conn = world.connect();
    let outcome: Checkpoint =
        diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(&mut conn).expect("a checkpoint");
    outcome.busy != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_holds_few_rows_of_one_moment_and_no_writer_waits_for_it() {
    let world = filled(MANY).await;
    let counted = world.sync.table::<Counted>();
    let mut rows = counted.all().stream();
    let first = rows.next().await.expect("a row").expect("readable");
    assert_eq!((first.id(), first.text.as_str()), ("000000", "row 0"));
    // The reader runs ahead as far as it may, and no further.
    eventually("the reader runs ahead", || ALIVE.load(Ordering::SeqCst) >= 128).await;
    world
        .sync
        .write(|conn| conn.batch_execute("DELETE FROM \"TodoItem\" WHERE id > '000010'"))
        .await
        .unwrap();
    world.todos().insert(Todo::new("new")).await.unwrap();
    assert_eq!(world.todos().all().count().await.unwrap(), 12, "the writes are done");
    assert!(is_read_from(&world));

    let mut seen = 1;
    let mut last = first.id().to_owned();
    drop(first);
    while let Some(row) = rows.next().await {
        let row = row.expect("readable");
        assert!(row.id() > last.as_str(), "{last} comes before {}", row.id());
        last = row.id().to_owned();
        seen += 1;
    }
    assert_eq!((seen, last.as_str()), (MANY, "099999"), "the rows of the first moment");
    let most = MOST.load(Ordering::SeqCst);
    assert!((128..=192).contains(&most), "{most} rows were in memory");
    assert!(rows.next().await.is_none());

    // Dropped in the middle: rows and reader go.
    let mut rows = counted.all().stream();
    rows.next().await.expect("a row").expect("readable");
    drop(rows);
    eventually("the rows of a dropped stream go", || ALIVE.load(Ordering::SeqCst) == 0).await;
    eventually("the reader of a dropped stream goes", || !is_read_from(&world)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_consumers_do_not_hold_up_reads() {
    let world = filled(1000).await;
    let todos = world.todos();
    let mut streams = Vec::new();
    for _ in 0..DatabaseOptions::default().readers + 2 {
        let mut stream = todos.all().stream();
        stream.next().await.expect("a row").expect("readable");
        streams.push(stream);
    }
    let read = tokio::time::timeout(Duration::from_secs(20), todos.filter(Todo::complete).count()).await;
    assert_eq!(read.expect("a reader is free").unwrap(), 500);
    let insert = tokio::time::timeout(Duration::from_secs(20), todos.insert(Todo::new("new"))).await;
    insert.expect("the writer is free").unwrap();
    for mut stream in streams {
        let rest = async {
            let mut rest = 0;
            while let Some(row) = stream.next().await {
                row.expect("readable");
                rest += 1;
            }
            rest
        };
        assert_eq!(rest.await, 999);
    }
    eventually("all readers are released", || !is_read_from(&world)).await;
}

#[tokio::test]
async fn a_stream_takes_filter_order_and_range_and_combines_with_futures() {
    let world = filled(500).await;
    let query = world.todos().filter(Todo::complete).order_by(Todo::id.desc()).offset(1).limit(3);
    let rows: Vec<Record<Todo>> = query.stream().try_collect().await.unwrap();
    assert_eq!(crate::support::ids(&rows), ["000497", "000495", "000493"]);
    let none: Vec<Record<Todo>> =
        world.todos().filter(Todo::text.eq("none")).stream().try_collect().await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_stream_ends_with_the_first_error() {
    let world = filled(300).await;
    world.as_sync("UPDATE \"TodoItem\" SET rank = 1000 WHERE id = '000200'").await;
    let mut rows = world.todos().all().stream();
    let mut seen = 0;
    let error = loop {
        match rows.next().await.expect("an error comes") {
            Ok(_) => seen += 1,
            Err(error) => break error,
        }
    };
    assert!(seen <= 200, "{seen}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_is_not_polled_reads_nothing() {
    let world = filled(10).await;
    let stream = world.todos().all().stream();
    world.todos().insert(Todo::new("later")).await.unwrap();
    assert!(!is_read_from(&world));
    let rows: Vec<Record<Todo>> = stream.try_collect().await.unwrap();
    assert_eq!(rows.len(), 11, "the moment is that of the first poll");
}
