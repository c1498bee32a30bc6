//! Parked operations on disk: every way to write a row ends the parking, and nothing else does (P-29).

use diesel::connection::SimpleConnection;
use sync_core::operation::{FailureClass, OperationError};
use sync_core::store::{
    Exchange, Failure, LocalStore, Outcome, Resolution, ResolutionKind, Resolver, Settlement, Take,
};

use crate::support::{Fixture, open, text};

/// A row `a` whose update to "bread" was refused, parked.
async fn parked() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture.sql("UPDATE \"Todo\" SET text = 'bread' WHERE id = 'a'").await.expect("an update");
    let store = &fixture.store;
    let session = store.begin_push().await.expect("a push");
    let first = Exchange { session, settlements: Vec::new(), take: Some(Take::first(9)) };
    let key = store.exchange(first).await.expect("taken").taken.remove(0).key;
    let message = "no".to_owned();
    let failure = Failure { class: FailureClass::Refused, status: Some(400), message, remote: None };
    let settlements = vec![Settlement { key, outcome: Outcome::Refused(failure) }];
    store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
    let key = error(&fixture).await.expect("recorded").key;
    store.resolve(key, Resolution::Park, Resolver::App).await.expect("parked");
    fixture
}

async fn error(fixture: &Fixture) -> Option<OperationError> {
    fixture.store.errors(None).await.expect("a read").pop()
}

/// Whether a push would send something; leaves it unsent.
async fn is_sent(fixture: &Fixture) -> bool {
    let store = &fixture.store;
    let session = store.begin_push().await.expect("a push");
    let first = Exchange { session, settlements: Vec::new(), take: Some(Take::first(9)) };
    let taken = store.exchange(first).await.expect("taken").taken;
    let unsent = |key| Settlement { key, outcome: Outcome::Unsent };
    let settlements: Vec<_> = taken.into_iter().map(|taken| unsent(taken.key)).collect();
    let is_sent = !settlements.is_empty();
    store.exchange(Exchange { session, settlements, take: None }).await.expect("settled");
    is_sent
}

#[tokio::test]
async fn p_29_parking_survives_a_restart() {
    let Fixture { store, directory } = parked().await;
    let path = directory.path().join("app.db");
    drop(store);
    let fixture = Fixture { store: open(&path).await.expect("opened"), directory };
    assert!(error(&fixture).await.is_some_and(|error| error.parked));
    assert!(!is_sent(&fixture).await);
    assert_eq!(fixture.text("a").await, text("bread"));
    let records = fixture.store.resolutions().await.expect("a read");
    assert_eq!((records.len(), records[0].decision), (1, ResolutionKind::Park));
}

#[tokio::test]
async fn p_29_the_triggers_end_parking_whoever_writes() {
    for write in [
        "UPDATE \"Todo\" SET text = 'jam' WHERE id = 'a'",
        "UPDATE \"Todo\" SET complete = NOT complete",
        "DELETE FROM \"Todo\" WHERE id = 'a'",
        "INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('a', 'jam')",
        "DELETE FROM \"Todo\"; INSERT INTO \"Todo\" (id, text) VALUES ('a', 'jam')",
    ] {
        for by_another_process in [false, true] {
            let fixture = parked().await;
            assert!(!is_sent(&fixture).await);
            if by_another_process {
                fixture.other(false).batch_execute(write).expect(write);
            } else {
                fixture.sql(write).await.expect(write);
            }
            assert_eq!(error(&fixture).await, None, "{write}");
            assert!(is_sent(&fixture).await, "{write}");
        }
    }
}

#[tokio::test]
async fn p_29_what_queues_nothing_leaves_it_parked() {
    let fixture = parked().await;
    // Undone, local-only, without a difference, of another row.
    for write in [
        "SAVEPOINT s; UPDATE \"Todo\" SET text = 'jam'; ROLLBACK TO s; RELEASE s",
        "UPDATE \"Todo\" SET note = 'mine'",
        "UPDATE \"Todo\" SET text = text",
        "INSERT INTO \"Todo\" (id, text) VALUES ('b', 'tea'); DELETE FROM \"Todo\" WHERE id = 'b'",
    ] {
        fixture.sql(write).await.expect(write);
        assert!(error(&fixture).await.is_some_and(|error| error.parked), "{write}");
    }
    // A pull puts its copy aside.
    fixture.pull(&[crate::support::json("a", "theirs", "v2")]).await;
    assert!(error(&fixture).await.is_some_and(|error| error.parked));
    assert!(!is_sent(&fixture).await);
}
