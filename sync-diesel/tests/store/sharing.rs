//! Two stores on one file: a step whose caller is gone still runs, and nobody may push meanwhile (F-08, Z-03).

use std::sync::mpsc;

use futures_util::FutureExt;
use sync_core::ErrorKind;
use sync_core::operation::OperationState;
use sync_core::row::Row;
use sync_core::store::{Exchange, LocalStore, Outcome, Settlement, Take};

use crate::support::{Fixture, TODO, open};

#[tokio::test]
async fn f_08_z_03_the_lease_lasts_as_long_as_a_step_whose_caller_is_gone() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk'), ('b', 'bread')").await.expect("rows");
    let (here, there) = (fixture.store.clone(), open(&fixture.path()).await.expect("another store"));
    let lease = here.lease(true).await.expect("free");
    let session = here.begin_push().await.expect("a push");
    let first = Exchange { session, settlements: Vec::new(), take: Some(Take::first(1)) };
    let sent = here.exchange(first).await.expect("a step").taken.remove(0);

    // The writer is busy with a change of the app when the answer comes, and the push is dropped.
    let (goes_on, waits) = mpsc::channel::<()>();
    let store = here.clone();
    let busy = tokio::spawn(async move {
        let work = move |_: &mut _| {
            let _ = waits.recv();
            Ok::<_, sync_core::Error>(())
        };
        store.write(work).await
    });
    tokio::task::yield_now().await;
    let mut answer = Row::empty(&TODO, "a");
    answer.version = Some("v1".into());
    let settlements =
        vec![Settlement { key: sent.key, outcome: Outcome::Acknowledged { row: Some(answer) } }];
    let step = here.exchange(Exchange { session, settlements, take: Some(Take::first(1)) });
    assert!(step.now_or_never().is_none(), "it waits in the queue of the writer, and its caller is gone");
    drop(lease);

    let refused = there.lease(false).await.expect_err("a step of the dropped push is still to run");
    assert_eq!(refused.kind(), ErrorKind::Busy);
    goes_on.send(()).expect("the writer waits");
    let lease = there.lease(true).await.expect("free once it ran");
    busy.await.expect("no panic").expect("written");

    // What it stored is there before the next push begins: the answer, and a mark that was never sent.
    let session = there.begin_push().await.expect("a push");
    let operations = fixture.operations().await;
    let left: Vec<_> =
        operations.iter().map(|operation| (operation.key.item_id.as_str(), operation.state)).collect();
    assert_eq!(left, [("b", OperationState::Attempted)]);
    let again = Exchange { session, settlements: Vec::new(), take: Some(Take::first(9)) };
    let again = there.exchange(again).await.expect("a step").taken;
    assert_eq!(
        again.iter().map(|sent| (&*sent.key.item_id, sent.uncertain)).collect::<Vec<_>>(),
        [("b", true)]
    );
    drop(lease);
    drop(here.lease(false).await.expect("free at once: nothing is left to run"));
}
