//! The connections: what survives a panic, a dropped future, an error and a restart.

use std::time::Duration;

use diesel::connection::{Connection, SimpleConnection};
use sync_core::ErrorKind;
use sync_core::error::{Error, Result};
use sync_core::operation::OperationKind::Insert;
use sync_core::operation::OperationState::{Attempted, Failed, Pending};
use sync_core::operation::ServerMayHold::{Maybe, No};
use sync_core::operation::{FailureClass, SentKind};
use sync_core::store::{DeltaToken, Exchange, Failure, LocalStore, Outcome, QueryKey, Settlement, Take};
use sync_diesel::DatabaseOptions;
use sync_diesel::DieselStore;

use crate::support::{Fixture, TABLES, TODO, batch, json, open, scope, text};

const INSERT: &str = "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')";

fn take() -> Take {
    Take::first(10)
}

#[tokio::test]
async fn a_panic_is_rolled_back_and_the_next_write_works() {
    let fixture = Fixture::new().await;
    for nested in [false, true] {
        let outcome: Result<()> = fixture
            .store
            .write(move |conn| {
                if nested {
                    return conn.transaction(|conn| {
                        conn.batch_execute(INSERT)?;
                        panic!("in the middle of a nested transaction")
                    });
                }
                conn.batch_execute(INSERT)?;
                panic!("in the middle of a transaction");
                #[allow(unreachable_code, reason = "gives the closure its type")]
                Ok::<(), diesel::result::Error>(())
            })
            .await;
        assert_eq!(outcome.expect_err("a panic").kind(), ErrorKind::Store);
        assert_eq!(fixture.count("\"Todo\"").await, 0, "nested: {nested}");
        fixture.sql(INSERT).await.expect("the writer goes on");
        assert_eq!(fixture.operations().await.len(), 1);
        fixture.sql("DELETE FROM \"Todo\"").await.expect("a delete");
    }
    let outcome: Result<()> = fixture
        .store
        .read(|_| {
            if true {
                panic!("while reading");
            }
            Ok::<(), diesel::result::Error>(())
        })
        .await;
    assert_eq!(outcome.expect_err("a panic").kind(), ErrorKind::Store);
    assert_eq!(fixture.count("\"Todo\"").await, 0);
}

#[tokio::test]
async fn z_11_a_dropped_write_finishes_whole() {
    let fixture = Fixture::new().await;
    let (started, is_started) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let write = fixture.store.write(move |conn| {
        conn.batch_execute(INSERT)?;
        started.send(()).expect("the test waits");
        may_go.recv().expect("the test says go");
        conn.batch_execute("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')")
    });
    // Polled once, so that the work is handed over; then dropped while it runs.
    let dropped = tokio::time::timeout(Duration::ZERO, write).await;
    assert!(dropped.is_err());
    is_started.recv().expect("the work began");
    assert_eq!(fixture.count("\"Todo\"").await, 0, "not committed yet");
    go.send(()).expect("the work waits");
    // The next write waits for the dropped one.
    fixture.sql("UPDATE \"Todo\" SET complete = 1").await.expect("a write");
    assert_eq!(fixture.count("\"Todo\" WHERE complete = 1").await, 2);
    assert_eq!(fixture.operations().await.len(), 2);
}

#[tokio::test]
async fn errors_of_a_closure_come_back() {
    let fixture = Fixture::new().await;
    #[derive(Debug)]
    struct Own;
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("own")
        }
    }
    impl std::error::Error for Own {}
    let outcome: Result<()> = fixture.store.write(|_| Err(Own)).await;
    let error = outcome.expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(std::error::Error::source(&error).expect("a source").is::<Own>());
    let outcome: Result<()> =
        fixture.store.read(|_| Err(Error::new(ErrorKind::NotFound, "mine").with_item("x"))).await;
    let error = outcome.expect_err("an error");
    assert_eq!((error.kind(), error.item()), (ErrorKind::NotFound, Some("x")));
    let outcome = fixture.store.read(|conn| conn.batch_execute(INSERT)).await;
    assert_eq!(outcome.expect_err("readers do not write").kind(), ErrorKind::Store);
}

#[tokio::test]
async fn s_17_a_locked_database_is_busy() {
    let fixture = Fixture::new().await;
    let options = DatabaseOptions { busy_timeout: Duration::from_millis(1), ..DatabaseOptions::default() };
    let hasty = DieselStore::open(fixture.path(), TABLES, options).await.expect("a store");
    let mut other = fixture.other(true);
    other.batch_execute("BEGIN IMMEDIATE").expect("a lock");
    let error = hasty.write(|conn| conn.batch_execute(INSERT)).await.expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    other.batch_execute("ROLLBACK").expect("the lock is free");
    hasty.write(|conn| conn.batch_execute(INSERT)).await.expect("a write");
    assert_eq!(fixture.operations().await.len(), 1, "seen by the other store");
}

#[tokio::test]
async fn f_01_marks_survive_a_restart() {
    let fixture = Fixture::new().await;
    fixture.sql(INSERT).await.expect("an insert");
    let session = fixture.store.begin_push().await.expect("a push");
    let exchange = Exchange { session, settlements: Vec::new(), take: Some(take()) };
    let taken = fixture.store.exchange(exchange).await.expect("an exchange").taken;
    assert_eq!((taken.len(), taken[0].uncertain), (1, false));
    // The row changes, then the process ends before the answer is stored.
    fixture.sql("UPDATE \"Todo\" SET text = 'bread'").await.expect("an update");
    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let fixture = Fixture { store: open(&path).await.expect("a store"), directory };
    assert_eq!(fixture.operation("a").await, Some((Insert, Attempted, Maybe, None)));

    let next = fixture.store.begin_push().await.expect("a push");
    assert!(next.push > session.push);
    let exchange = Exchange { session: next, settlements: Vec::new(), take: Some(take()) };
    let taken = fixture.store.exchange(exchange).await.expect("an exchange").taken;
    assert_eq!((taken[0].sent, taken[0].uncertain, taken[0].attempts), (SentKind::Insert, true, 2));
    assert_eq!(taken[0].item.values[0], text("milk"), "the content sent before");
    let failure =
        Failure { class: FailureClass::Refused, status: Some(400), message: "no".into(), remote: None };
    let settlement = Settlement { key: taken[0].key.clone(), outcome: Outcome::Refused(failure) };
    let exchange = Exchange { session: next, settlements: vec![settlement], take: None };
    fixture.store.exchange(exchange).await.expect("an exchange");
    // The refusal is no answer to the first request, which may have arrived.
    assert_eq!(fixture.operation("a").await, Some((Insert, Failed, Maybe, None)));

    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let fixture = Fixture { store: open(&path).await.expect("a store"), directory };
    let errors = fixture.store.errors(None).await.expect("a read");
    assert_eq!((errors.len(), errors[0].status, errors[0].superseded), (1, Some(400), true));
    assert_eq!(errors[0].local.as_ref().and_then(|row| row.values[0].clone()), text("milk"));
    fixture.sql("UPDATE \"Todo\" SET text = 'jam'").await.expect("an update");
    assert_eq!(fixture.operation("a").await, Some((Insert, Pending, Maybe, None)), "X-14");
}

#[tokio::test]
async fn d_6_the_exclusion_of_syncs_writes_does_not_outlive_its_transaction() {
    let fixture = Fixture::new().await;
    let good = json("a", "milk", "v1");
    // The second page is cut off: the first must not stay, and the mark must not either.
    let mut broken = batch(&format!("[{good}]"));
    let mut cut = broken.pages[0].clone();
    cut.body = cut.body.slice(0..cut.body.len() - 5);
    broken.pages.push(cut);
    let error = fixture.store.apply_pages(broken).await.expect_err("a broken page");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert_eq!(fixture.count("\"Todo\"").await, 0, "L-25");
    assert_eq!(fixture.number("SELECT applying AS value FROM __control").await, 0);
    fixture.sql(INSERT).await.expect("an insert");
    assert_eq!(fixture.operation("a").await, Some((Insert, Pending, No, None)));
}

#[tokio::test]
async fn tokens_and_settings_survive_a_restart() {
    let fixture = Fixture::new().await;
    let query = QueryKey { query_id: "q".into(), fingerprint: "1".into() };
    let token = DeltaToken {
        instant: sync_core::time::parse("2024-01-02T03:04:05.678Z").expect("an instant"),
        server_date: sync_core::time::parse("2024-01-03T00:00:00Z"),
    };
    let mut page = batch(&format!("[{}]", json("a", "milk", "v1")));
    page.query = Some(query.clone());
    page.token = Some(token.clone());
    fixture.store.apply_pages(page).await.expect("a page");
    fixture.store.set_setting("dialect", Some("v2")).await.expect("a write");
    let path = fixture.path();
    let Fixture { store, directory: _directory } = fixture;
    drop(store);
    let store = open(&path).await.expect("a store");
    let start = store.begin_pull(scope(&TODO, Some(query))).await.expect("a pull");
    assert_eq!(start.token, Some(token));
    assert_eq!(store.setting("dialect").await.expect("a read").as_deref(), Some("v2"));
}

#[tokio::test]
async fn z_07_commits_are_synced_to_the_disk_unless_the_app_says_otherwise() {
    use diesel::RunQueryDsl as _;
    use diesel::dsl::sql;
    use diesel::sql_types::{Integer, Text};

    let fixture = Fixture::new().await;
    let normal =
        DatabaseOptions { synchronous: sync_diesel::Synchronous::Normal, ..DatabaseOptions::default() };
    let normal = DieselStore::open(fixture.path(), TABLES, normal).await.expect("a store");
    for (store, expected) in [(&fixture.store, 2), (&normal, 1)] {
        let settings = store
            .write(|conn| {
                let level = sql::<Integer>("(SELECT synchronous FROM pragma_synchronous)");
                let mode = sql::<Text>("(SELECT journal_mode FROM pragma_journal_mode)");
                diesel::select((level, mode)).get_result::<(i32, String)>(conn)
            })
            .await
            .expect("the settings of the writer");
        assert_eq!(settings, (expected, "wal".to_owned()));
    }
}
