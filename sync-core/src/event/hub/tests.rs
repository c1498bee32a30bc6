use futures_util::FutureExt;

use super::*;
use crate::event::{ChangeSource, Changes, PullRef, TableChanges};

fn restarted(table: &'static str) -> Event {
    Event::QueryRestarted(PullRef::new(table, None))
}

fn changed(table: &'static str) -> Event {
    let changes = TableChanges { table, inserted: 1, updated: 0, deleted: 0, rows: Vec::new() };
    Event::Changed(Changes { source: ChangeSource::Local, tables: Arc::new([changes]) })
}

#[test]
fn e_05_a_slow_listener_loses_the_oldest_and_is_told_so() {
    let events = Events::new();
    let mut slow = events.subscribe(2);
    let mut quick = events.subscribe(8);
    for table in ["a", "b", "c", "d"] {
        events.emit(|| restarted(table));
    }
    assert_eq!(slow.try_next(), Some(Event::Lagged { lost: 2 }));
    assert_eq!((slow.try_next(), slow.try_next()), (Some(restarted("c")), Some(restarted("d"))));
    assert_eq!(slow.try_next(), None);
    events.emit(|| restarted("e"));
    assert_eq!(slow.try_next(), Some(restarted("e")), "the lag is reported once");
    assert_eq!(quick.try_next(), Some(restarted("a")));
}

#[test]
fn events_are_not_made_for_nobody() {
    let events = Events::new();
    events.emit(|| unreachable!("nobody listens"));
    let listener = events.subscribe(1);
    assert!(events.has_listeners());
    drop(listener);
    events.emit(|| unreachable!("nobody listens any more"));
}

#[test]
fn streams_end_with_the_last_emitter_and_wake() {
    let events = Events::new();
    let other = events.clone();
    let (mut stream, mut watch) = (events.subscribe(1), events.watch("a"));
    events.emit(|| changed("a"));
    drop((events, other));
    assert_eq!(stream.next().now_or_never(), Some(Some(changed("a"))), "what was told is still read");
    assert_eq!(stream.next().now_or_never(), Some(None));
    assert_eq!(watch.changed().now_or_never(), Some(Some(())));
    assert_eq!(watch.changed().now_or_never(), Some(None));
}

#[test]
fn a_watch_holds_one_item_at_most_and_only_of_its_table() {
    let events = Events::new();
    let mut watch = events.watch("a");
    events.emit(|| changed("b"));
    events.emit(|| restarted("a"));
    assert_eq!(watch.changed().now_or_never(), None);
    events.emit(|| changed("a"));
    events.emit(|| changed("a"));
    assert_eq!(watch.changed().now_or_never(), Some(Some(())));
    assert_eq!(watch.changed().now_or_never(), None);
    watch.bell().ring();
    assert_eq!(watch.changed().now_or_never(), Some(Some(())));
}

#[test]
fn e_05_a_panicking_listener_harms_nobody() {
    let events = Events::new();
    let mut other = events.subscribe(4);
    let mut stream = events.subscribe(4);
    events.emit(|| restarted("a"));
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let event = stream.try_next();
        panic!("a bug in the app: {event:?}");
    }));
    assert!(outcome.is_err());
    events.emit(|| restarted("b"));
    assert_eq!((other.try_next(), other.try_next()), (Some(restarted("a")), Some(restarted("b"))));
}

#[test]
fn a_listener_to_progress_costs_the_store_nothing() {
    let events = Events::new();
    let mut progress = events.subscribe_progress(4);
    assert!(events.has_listeners() && !events.wants_changes());
    events.emit_all([changed("a"), restarted("a")]);
    assert_eq!((progress.try_next(), progress.try_next()), (Some(restarted("a")), None));
    let watch = events.watch("a");
    assert!(events.wants_changes());
    drop(watch);
    assert!(!events.wants_changes());
}
