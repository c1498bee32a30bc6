//! The queue on SQLite: long queues, queues of other versions, and files that fail.

use diesel::connection::SimpleConnection;
use sync_core::ErrorKind;
use sync_core::entity::SyncEntity as _;
use sync_core::operation::{FailureClass, OperationState};
use sync_core::predicate::{Comparison, Node, Predicate};
use sync_core::row::Row;
use sync_core::store::{
    DeltaToken, Exchange, Exchanged, Failure, LocalChange, LocalChangeKind, LocalStore, OtherAccount,
    Outcome, Owner, Purge, PushSession, QueryKey, Resolution, Resolver, Settlement, Take,
};
use sync_core::value::Value;
use sync_diesel::{DatabaseOptions, DieselStore, SyncEntity, SyncSchema, create_table_sql, sync_schema};
use tempfile::TempDir;

use crate::support::{Fixture, TODO, batch, connect, json, open, scope};

#[derive(SyncEntity)]
#[sync(table = "Parent", module = queue_parent)]
struct Parent {
    name: String,
}

#[derive(SyncEntity)]
#[sync(table = "Child", module = queue_child)]
struct Child {
    name: String,
    #[sync(belongs_to = Parent)]
    parent: Option<String>,
}

sync_schema!(Family: Parent in queue_parent, Child in queue_child);

async fn family(directory: &TempDir) -> DieselStore {
    let path = directory.path().join("family.db");
    let mut connection = connect(&path);
    for table in Family::schemas() {
        connection.batch_execute(&create_table_sql(table)).expect("a table");
    }
    let options =
        DatabaseOptions { synchronous: sync_diesel::Synchronous::Normal, ..DatabaseOptions::default() };
    DieselStore::open(&path, Family::TABLES, options).await.expect("a store")
}

fn parent(id: &str) -> LocalChange {
    let row = Row::new(id, vec![Value::Text("p".into())]);
    LocalChange { table: Parent::SCHEMA, kind: LocalChangeKind::Insert(row) }
}

fn child(id: &str, parent: &str) -> LocalChange {
    let row = Row::new(id, vec![Value::Text("c".into()), Value::Text(parent.into())]);
    LocalChange { table: Child::SCHEMA, kind: LocalChangeKind::Insert(row) }
}

fn delete(table: &'static sync_core::entity::TableSchema, id: &str) -> LocalChange {
    LocalChange { table, kind: LocalChangeKind::Delete(id.to_owned()) }
}

/// A push in which every request succeeds at once, as the engine drives it. Gives the order of the ids.
async fn push(store: &DieselStore, limit: usize) -> Vec<String> {
    let session = store.begin_push().await.expect("a push");
    let mut order = Vec::new();
    let mut take = Take::first(limit);
    let mut settlements = Vec::new();
    loop {
        let step =
            Exchange { session, settlements: std::mem::take(&mut settlements), take: Some(take.clone()) };
        let mut step = store.exchange(step).await.expect("a step");
        order.extend(step.taken.iter().map(|operation| operation.key.item_id.clone()));
        take.after = step.after;
        take.again.retain(|row| step.left.iter().any(|key| key.row() == *row));
        take.again.extend(step.waiting.drain(..).map(|waiting| waiting.row));
        if step.taken.is_empty() && step.is_exhausted {
            assert_eq!(take.again, [], "everything was sent");
            return order;
        }
        settlements.extend(step.taken.into_iter().map(|operation| Settlement {
            key: operation.key,
            outcome: Outcome::Acknowledged { row: None },
        }));
    }
}

/// That no step reads the whole queue is SQLite's word: the look-ups name their index, and fail where it does not serve.
#[tokio::test]
async fn p_21_ten_thousand_operations_of_related_rows_go_parents_first_and_leave_children_first() {
    const PARENTS: usize = 100;
    const CHILDREN: usize = 99;
    let directory = TempDir::new().expect("a temporary directory");
    let store = family(&directory).await;
    let mut changes = Vec::new();
    for number in 0..PARENTS {
        changes.push(parent(&format!("p{number}")));
        changes.extend((0..CHILDREN).map(|of| child(&format!("c{number}-{of}"), &format!("p{number}"))));
    }
    LocalStore::write(&store, changes).await.expect("inserts");
    let order = push(&store, 32).await;
    assert_eq!(order.len(), PARENTS * (CHILDREN + 1));
    let place = |id: &str| order.iter().position(|other| other == id).expect("sent");
    for number in [0, 57, PARENTS - 1] {
        assert!(place(&format!("p{number}")) < place(&format!("c{number}-0")));
    }

    // Deleted with the parents first, as an app without foreign keys may.
    let mut changes: Vec<LocalChange> =
        (0..PARENTS).map(|number| delete(Parent::SCHEMA, &format!("p{number}"))).collect();
    for number in 0..PARENTS {
        changes.extend((0..CHILDREN).map(|of| delete(Child::SCHEMA, &format!("c{number}-{of}"))));
    }
    LocalStore::write(&store, changes).await.expect("deletes");
    let order = push(&store, 32).await;
    assert_eq!(order.len(), PARENTS * (CHILDREN + 1));
    let place = |id: &str| order.iter().position(|other| other == id).expect("sent");
    for number in 0..PARENTS {
        let parent = place(&format!("p{number}"));
        assert!((0..CHILDREN).all(|of| place(&format!("c{number}-{of}")) < parent));
    }
}

async fn step(store: &DieselStore, session: PushSession) -> sync_core::Result<Exchanged> {
    store.exchange(Exchange { session, settlements: Vec::new(), take: Some(Take::first(10)) }).await
}

#[tokio::test]
async fn q_09_an_unknown_kind_or_state_stops_the_push_and_nothing_else() {
    for damage in ["kind = 7", "state = 9", "server_may_hold = 5", "state = 1, sent_kind = 8"] {
        let fixture = Fixture::new().await;
        fixture
            .sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk'), ('b', 'bread')")
            .await
            .expect("rows");
        let session = fixture.store.begin_push().await.expect("a push");
        fixture
            .sql(&format!("UPDATE \"__operations\" SET {damage} WHERE item_id = 'b'"))
            .await
            .expect("damage");

        let error = fixture.store.begin_push().await.expect_err(damage);
        assert_eq!((error.kind(), error.item()), (ErrorKind::Corrupt, Some("b")), "{damage}");
        // Met in the middle of a push: the whole step is undone.
        assert_eq!(step(&fixture.store, session).await.expect_err(damage).kind(), ErrorKind::Corrupt);
        assert_eq!(fixture.count("\"__operations\" WHERE state = 1 AND item_id = 'a'").await, 0, "{damage}");

        // Local reads and writes go on, and everything is kept.
        assert!(fixture.row("b").await.is_some());
        fixture.sql("UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'").await.expect("a write");
        assert_eq!(fixture.store.pending(Some(&TODO)).await.expect("a count"), 2);
        assert_eq!(fixture.count("\"__operations\"").await, 2);
    }
}

#[tokio::test]
async fn i_6_counters_at_their_end_are_no_panic() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')").await.expect("a row");
    let most = i64::MAX;
    let damage = format!("UPDATE \"__operations\" SET attempts = {most}, revision = {most}");
    fixture.sql(&damage).await.expect("damage");
    let session = fixture.store.begin_push().await.expect("a push");
    let taken = step(&fixture.store, session).await.expect("a step").taken;
    assert_eq!(taken[0].attempts, most);
    let refused =
        Failure { class: FailureClass::Refused, status: Some(400), message: String::new(), remote: None };
    let settlements = vec![Settlement { key: taken[0].key.clone(), outcome: Outcome::Refused(refused) }];
    let exchange = Exchange { session, settlements, take: None };
    fixture.store.exchange(exchange).await.expect("the refusal is stored");
    let key = taken[0].key.clone();
    let error = fixture
        .store
        .resolve(key, Resolution::KeepLocal, Resolver::App)
        .await
        .expect_err("no further revision");
    assert_eq!((error.kind(), error.item()), (ErrorKind::Corrupt, Some("a")));
    assert_eq!(fixture.count("\"__operations\"").await, 1);
}

#[tokio::test]
async fn s_17_a_full_disk_undoes_the_step_and_the_next_one_goes_on() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')").await.expect("a row");
    let session = fixture.store.begin_push().await.expect("a push");
    let taken = step(&fixture.store, session).await.expect("a step").taken;
    // SQLite reports a database at its limit of pages as a full disk.
    let limit = fixture.number("SELECT page_count AS value FROM pragma_page_count").await;
    fixture
        .store
        .write(move |conn| conn.batch_execute(&format!("PRAGMA max_page_count = {limit}")))
        .await
        .expect("a limit");
    let long = "x".repeat(200_000);
    let full = fixture.sql(&format!("INSERT INTO \"Todo\" (id, text) VALUES ('b', '{long}')")).await;
    assert_eq!(full.expect_err("no room").kind(), ErrorKind::Store);

    // Z-08: the answer cannot be stored, so the operation stays attempted.
    let mut answer = Row::empty(&TODO, "a");
    answer.values[0] = Some(Value::Text(long));
    let settlement =
        Settlement { key: taken[0].key.clone(), outcome: Outcome::Acknowledged { row: Some(answer) } };
    let settled = Exchange { session, settlements: vec![settlement.clone()], take: None };
    assert_eq!(fixture.store.exchange(settled.clone()).await.expect_err("no room").kind(), ErrorKind::Store);
    assert_eq!(fixture.operations().await[0].state, OperationState::Attempted);
    assert_eq!(fixture.count("\"Todo\"").await, 1);

    // A page that does not fit waits on the server, with its token, and not in quarantine.
    let query = QueryKey { query_id: "q".into(), fingerprint: "1".into() };
    let start = || fixture.store.begin_pull(scope(&TODO, Some(query.clone())));
    start().await.expect("a pull");
    let rows: Vec<String> = (0..300).map(|n| json(&format!("row {n}"), &"y".repeat(500), "v1")).collect();
    let mut page = batch(&format!("[{}]", rows.join(",")));
    page.query = Some(query.clone());
    let instant = sync_core::time::parse("2024-01-01T00:00:00Z").expect("an instant");
    page.token = Some(DeltaToken { instant, server_date: None });
    let full = fixture.store.apply_pages(page.clone()).await.expect_err("no room");
    assert_eq!((full.kind(), full.to_string().contains("full")), (ErrorKind::Store, true), "{full}");
    assert_eq!(fixture.count("\"Todo\"").await, 1);
    assert_eq!(fixture.count("__quarantine").await, 0);
    assert_eq!(start().await.expect("a pull").token, None);

    fixture.store.write(|conn| conn.batch_execute("PRAGMA max_page_count = 1073741823")).await.expect("room");
    fixture.store.exchange(settled).await.expect("stored");
    assert_eq!(fixture.store.apply_pages(page.clone()).await.expect("stored").added, 300);
    assert_eq!(start().await.expect("a pull").token, page.token);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn c_10_a_closed_store_refuses_and_the_file_is_whole() {
    let fixture = Fixture::new().await;
    let clone = fixture.store.clone();
    let writing = tokio::spawn(async move {
        clone.write(|conn| conn.batch_execute("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')")).await
    });
    tokio::task::yield_now().await;
    fixture.store.close().await;
    let written = writing.await.expect("no panic");
    let error = fixture.sql("DELETE FROM \"Todo\"").await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(fixture.store.pending(None).await.expect_err("closed").kind(), ErrorKind::Closed);
    let again = open(&fixture.path()).await.expect("a store");
    assert_eq!(again.pending(None).await.expect("a count"), u64::from(written.is_ok()));
}

#[tokio::test]
async fn s_17_a_read_only_database_is_read_and_left_alone() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')").await.expect("a row");
    // From here on SQLite answers this connection as for a file that may not be written.
    let refused = fixture.sql("PRAGMA query_only = 1; UPDATE \"Todo\" SET text = 'jam'").await;
    let refused = refused.expect_err("read-only");
    assert_eq!((refused.kind(), refused.to_string().contains("read-only")), (ErrorKind::Store, true));
    assert_eq!(fixture.text("a").await, Some(Value::Text("milk".into())), "rolled back, and reads go on");
    assert_eq!(fixture.operations().await[0].state, OperationState::Pending);
    let begun = fixture.store.begin_push().await.expect_err("no push without a mark (F-01)");
    assert_eq!(begun.kind(), ErrorKind::Store);
    fixture.store.close().await;

    // Opened as a file that may not be written: an error, and the file as it was.
    let path = fixture.path();
    let before = std::fs::read(&path).expect("the file");
    let address = format!("file:{}?mode=ro", path.to_str().expect("text"));
    let error = open(std::path::Path::new(&address)).await.expect_err("read-only");
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(std::fs::read(&path).expect("the file"), before);

    let again = open(&path).await.expect("it may be written again");
    let session = again.begin_push().await.expect("a push");
    assert_eq!(step(&again, session).await.expect("a step").taken.len(), 1);
}

/// What is damaged, how the operation came about, the damage, and what is recorded of it.
const DAMAGES: &[(&str, &str, &str, FailureClass)] = &[
    (
        "an insert without its row",
        "INSERT INTO \"Todo\" (id, text) VALUES ('new', 'milk')",
        "DROP TRIGGER \"__sync_delete_Todo\"; DELETE FROM \"Todo\" WHERE id = 'new'",
        FailureClass::LocalRowMissing,
    ),
    (
        "an update without its row",
        "UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'",
        "DROP TRIGGER \"__sync_delete_Todo\"; DELETE FROM \"Todo\" WHERE id = 'a'",
        FailureClass::LocalRowMissing,
    ),
    (
        "a base that is no JSON",
        "UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'",
        "UPDATE \"__shadow\" SET item = '{\"text\":'",
        FailureClass::Damaged,
    ),
    (
        "a base with a value of another type",
        "UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'",
        "UPDATE \"__shadow\" SET item = '{\"id\":\"a\",\"n\":\"many\"}'",
        FailureClass::Damaged,
    ),
    (
        "a delete without its row",
        "DELETE FROM \"Todo\" WHERE id = 'a'",
        "UPDATE \"__operations\" SET item = NULL WHERE item_id = 'a'",
        FailureClass::Damaged,
    ),
    (
        "a delete whose row is no JSON",
        "DELETE FROM \"Todo\" WHERE id = 'a'",
        "UPDATE \"__operations\" SET item = 'milk' WHERE item_id = 'a'",
        FailureClass::Damaged,
    ),
];

/// C-12, G-08: damage keeps neither another account from beginning nor the rest of a purge from happening.
#[tokio::test]
async fn p_20i_damaged_operations_are_discarded_and_purged_around() {
    for (what, change, damage, _) in DAMAGES {
        let damaged = async || {
            let fixture = Fixture::new().await;
            fixture.pulled("a", "milk").await;
            fixture.sql(change).await.expect(what);
            fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')").await.expect("a row");
            fixture.sql(damage).await.expect("damage");
            fixture
        };
        let fixture = damaged().await;
        let owner = |account: &str| Owner { endpoint: "http://a".into(), account: Some(account.into()) };
        fixture.store.claim(owner("ann"), OtherAccount::Refuse).await.expect(what);
        fixture.store.claim(owner("bob"), OtherAccount::Discard).await.expect(what);
        assert!(fixture.operations().await.is_empty(), "{what}");
        assert_eq!(fixture.count("\"Todo\" WHERE id = 'b'").await, 0, "{what}");

        let fixture = damaged().await;
        let breads = Node::compare(&TODO.columns[0], Comparison::Eq, Value::Text("bread".into()));
        let purge = Purge { force: true, ..Purge::new(Predicate { table: &TODO, node: breads }) };
        fixture.store.purge(purge).await.expect(what);
        assert_eq!(fixture.count("\"Todo\" WHERE id = 'b'").await, 0, "{what}");
    }
}

#[tokio::test]
async fn p_20i_a_damaged_operation_is_recorded_and_kept_and_the_others_go_on() {
    for (what, change, damage, class) in DAMAGES {
        let fixture = Fixture::new().await;
        fixture.pulled("a", "milk").await;
        fixture.sql(change).await.expect(what);
        fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')").await.expect("a row");
        fixture.sql(damage).await.expect("damage");
        let store = &fixture.store;
        for round in 1..=2 {
            let session = store.begin_push().await.expect("a push");
            let done = step(store, session).await.expect(what);
            let sent: Vec<_> = done.taken.iter().map(|sent| sent.key.item_id.as_str()).collect();
            assert_eq!(sent, ["b"], "{what}, push {round}");
            let again = step(store, session).await.expect(what);
            assert!(again.taken.is_empty() && again.damaged.is_empty(), "{what}: once in a push");
            let errors = store.errors(None).await.expect("a read");
            let recorded: Vec<_> = errors.iter().map(|error| (&error.key, error.class, error.old)).collect();
            assert_eq!(recorded, [(&done.damaged[0], *class, false)], "{what}, push {round}");
            let kept = fixture.operations().await;
            assert_eq!(
                (kept.len(), kept[0].state, kept[0].attempts),
                (2, OperationState::Failed, 0),
                "{what}"
            );
            let settlements = vec![Settlement { key: done.taken[0].key.clone(), outcome: Outcome::Unsent }];
            store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
        }

        // It can be looked at, and the server's row be taken.
        let open = store.conflicts(None).await.expect(what);
        assert_eq!(open.len(), 1, "{what}");
        let key = open[0].operation.key.clone();
        store.resolve(key.clone(), Resolution::TakeRemote, Resolver::App).await.expect(what);
        assert_eq!(fixture.operation(&key.item_id).await, None, "{what}");
        let start = store.begin_pull(scope(&TODO, None)).await.expect("a pull");
        assert_eq!(
            start.refetch,
            [key.item_id],
            "{what}: read by id, since nothing kept here is known to be right"
        );
    }
}

#[tokio::test]
async fn p_20i_what_was_sent_and_cannot_be_read_again_stays_of_unknown_outcome() {
    for damage in ["sent_item = '{'", "sent_item = NULL", "sent_columns = '[\"text\"'", "sent_columns = '7'"]
    {
        let fixture = Fixture::new().await;
        fixture.pulled("a", "milk").await;
        fixture.sql("UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'").await.expect("a write");
        fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')").await.expect("a row");
        let session = fixture.store.begin_push().await.expect("a push");
        let sent = Exchange { session, settlements: Vec::new(), take: Some(Take::first(1)) };
        fixture.store.exchange(sent).await.expect("taken");
        fixture
            .sql(&format!("UPDATE \"__operations\" SET {damage} WHERE item_id = 'a'"))
            .await
            .expect("damage");
        let session = fixture.store.begin_push().await.expect("a push");
        let done = step(&fixture.store, session).await.expect(damage);
        assert_eq!((done.taken.len(), done.damaged.len()), (1, 1), "{damage}");
        let error = fixture.store.errors(None).await.expect("a read").remove(0);
        assert_eq!((error.class, error.uncertain), (FailureClass::Damaged, true), "{damage}");
        assert_eq!(fixture.operations().await[0].state, OperationState::Attempted, "{damage}");
    }
}

#[tokio::test]
async fn p_20i_a_change_of_the_row_mends_what_it_replaces() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')").await.expect("a row");
    let unseen = |applying| format!("UPDATE \"__control\" SET applying = {applying};");
    let damage = format!("{} UPDATE \"Todo\" SET due = 'soon' WHERE id = 'a'; {}", unseen(1), unseen(0));
    fixture.sql(&damage).await.expect("damage");
    let session = fixture.store.begin_push().await.expect("a push");
    assert_eq!(step(&fixture.store, session).await.expect("a step").damaged.len(), 1);
    fixture.sql("UPDATE \"Todo\" SET due = NULL WHERE id = 'a'").await.expect("mended");
    assert_eq!(fixture.store.errors(None).await.expect("a read"), []);
    let session = fixture.store.begin_push().await.expect("a push");
    assert_eq!(step(&fixture.store, session).await.expect("a step").taken.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn z_12_writes_of_one_row_from_many_tasks_are_one_after_another() {
    const TASKS: i64 = 8;
    const WRITES: i64 = 10;
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture.sql("UPDATE \"Todo\" SET n = 0 WHERE id = 'a'").await.expect("a write");
    let revision = fixture.operations().await[0].key.revision;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                for write in 0..WRITES {
                    let sql =
                        format!("UPDATE \"Todo\" SET n = n + 1, text = '{task} {write}' WHERE id = 'a'");
                    store.write(move |conn| conn.batch_execute(&sql)).await.expect("a write");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let operations = fixture.operations().await;
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].key.revision, revision + TASKS * WRITES, "each write is counted");
    assert_eq!(fixture.number("SELECT n AS value FROM \"Todo\"").await, TASKS * WRITES, "none is lost");
    // What is sent is the row as the last commit left it.
    let row = fixture.row("a").await.expect("the row");
    let session = fixture.store.begin_push().await.expect("a push");
    let sent = step(&fixture.store, session).await.expect("a step").taken.remove(0);
    assert_eq!(sent.item.values[0], row.values[0]);
}

/// A request under way when the table got a column says nothing of it, and nor need the answer.
#[tokio::test]
async fn s_06_a_request_of_before_the_growth_makes_no_column_look_changed() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture.sql("UPDATE \"Todo\" SET text = 'bread'").await.expect("an edit");
    let session = fixture.store.begin_push().await.expect("a push");
    let key = step(&fixture.store, session).await.expect("a step").taken.remove(0).key;
    fixture
        .sql(
            "UPDATE \"Todo\" SET text = 'jam';
             UPDATE \"__operations\" SET sent_item = json_remove(sent_item, '$.n')",
        )
        .await
        .expect("an edit, and what an earlier version of the entity had kept");

    // The answer holds what was sent, as in the first dialect.
    let mut answer = Row { version: Some("v2".into()), ..Row::empty(&TODO, "a") };
    answer.values[0] = Some(Value::Text("bread".into()));
    let settlements = vec![Settlement { key, outcome: Outcome::Acknowledged { row: Some(answer) } }];
    let settled = Exchange { session, settlements, take: None };
    assert_eq!(fixture.store.exchange(settled).await.expect("stored").remainders, 1);
    let next = fixture.store.begin_push().await.expect("a push");
    let sent = step(&fixture.store, next).await.expect("a step").taken.remove(0);
    let present = TODO.columns.iter().zip(&sent.item.values).filter(|(_, value)| value.is_some());
    assert_eq!(present.map(|(column, _)| column.name).collect::<Vec<_>>(), ["text"]);
}
