//! The queues between those who tell and those who listen.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use super::Event;

/// Where events are told; cheap to clone, all clones share the listeners. Telling costs next to nothing while nobody
/// listens, and never waits.
#[derive(Clone, Default)]
pub struct Events {
    hub: Arc<Hub>,
}

#[derive(Default)]
struct Hub {
    listeners: Mutex<Vec<Arc<Listener>>>,
    /// Number of listeners, to be read without the lock.
    count: AtomicUsize,
    /// Number of those that want to know which rows change.
    of_changes: AtomicUsize,
}

struct Listener {
    interest: Interest,
    inbox: Mutex<Inbox>,
}

enum Interest {
    /// All events, so many of them unread.
    Everything { capacity: usize },
    /// All but changes, so many of them unread.
    Progress { capacity: usize },
    /// Whether rows of this table changed.
    Table(&'static str),
}

#[derive(Default)]
struct Inbox {
    events: VecDeque<Event>,
    /// Events dropped before the first of `events`.
    lost: u64,
    /// Of a table: something happened that was not read.
    touched: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// The events since the subscription, oldest first; ends when the last [`Events`] is gone.
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream {
    subscription: Subscription,
}

/// One item for each time rows of a table changed since the last item was read: however slow the reader, there is never
/// more than one item waiting, and never none after a change. Ends when the last [`Events`] is gone.
#[must_use = "a stream does nothing unless it is polled"]
pub struct TableWatch {
    subscription: Subscription,
}

/// Rings a [`TableWatch`] from outside.
#[derive(Debug)]
pub struct WatchBell(Weak<Listener>);

struct Subscription {
    listener: Arc<Listener>,
    hub: Weak<Hub>,
}

impl Events {
    /// An emitter without listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to all events from now on, of which at most `capacity` (at least 1) wait unread.
    pub fn subscribe(&self, capacity: usize) -> EventStream {
        let subscription = self.listen(Interest::Everything { capacity: capacity.max(1) });
        EventStream { subscription }
    }

    /// Listens to the progress of push and pull from now on: to all events but [`Event::Changed`], which cost the
    /// store something. At most `capacity` (at least 1) wait unread.
    pub fn subscribe_progress(&self, capacity: usize) -> EventStream {
        let subscription = self.listen(Interest::Progress { capacity: capacity.max(1) });
        EventStream { subscription }
    }

    /// Listens to changes of one table from now on.
    pub fn watch(&self, table: &'static str) -> TableWatch {
        TableWatch { subscription: self.listen(Interest::Table(table)) }
    }

    /// Whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        self.hub.count.load(Ordering::Acquire) > 0
    }

    /// Whether anybody wants to know which rows change.
    pub fn wants_changes(&self) -> bool {
        self.hub.of_changes.load(Ordering::Acquire) > 0
    }

    /// Tells an event, which is made only if somebody listens.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        self.emit_all(std::iter::once_with(event));
    }

    /// Tells events in this order; they are not even made when nobody listens.
    pub fn emit_all(&self, events: impl IntoIterator<Item = Event>) {
        if !self.has_listeners() {
            return;
        }
        let mut wakers = Vec::new();
        {
            let listeners = self.hub.listeners();
            for event in events {
                wakers.extend(listeners.iter().filter_map(|listener| listener.offer(&event)));
            }
        }
        wakers.into_iter().for_each(wake);
    }

    fn listen(&self, interest: Interest) -> Subscription {
        let listener = Arc::new(Listener { interest, inbox: Mutex::default() });
        let mut listeners = self.hub.listeners();
        listeners.push(Arc::clone(&listener));
        self.hub.count(&listeners);
        Subscription { listener, hub: Arc::downgrade(&self.hub) }
    }
}

impl Hub {
    fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, listeners: &[Arc<Listener>]) {
        let of_changes = listeners.iter().filter(|listener| listener.interest.is_in_changes()).count();
        self.of_changes.store(of_changes, Ordering::Release);
        self.count.store(listeners.len(), Ordering::Release);
    }
}

impl Interest {
    fn is_in_changes(&self) -> bool {
        matches!(self, Self::Everything { .. } | Self::Table(_))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for listener in self.listeners().drain(..) {
            let mut inbox = listener.inbox();
            inbox.closed = true;
            let waker = inbox.waker.take();
            drop(inbox);
            if let Some(waker) = waker {
                wake(waker);
            }
        }
    }
}

/// Wakes a listener, outside any lock: a waker is code of somebody else, and its panic is not ours.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

impl Listener {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event; gives whom to wake.
    fn offer(&self, event: &Event) -> Option<Waker> {
        match self.interest {
            Interest::Progress { .. } if matches!(event, Event::Changed(_)) => None,
            Interest::Everything { capacity } | Interest::Progress { capacity } => {
                let mut inbox = self.inbox();
                if inbox.events.len() == capacity {
                    inbox.events.pop_front();
                    inbox.lost += 1;
                }
                inbox.events.push_back(event.clone());
                inbox.waker.take()
            }
            Interest::Table(table) => match event {
                Event::Changed(changes) if changes.table(table).is_some() => self.touch(),
                _ => None,
            },
        }
    }

    fn touch(&self) -> Option<Waker> {
        let mut inbox = self.inbox();
        inbox.touched = true;
        inbox.waker.take()
    }
}

impl Inbox {
    fn next_event(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.lost) {
            0 => self.events.pop_front(),
            lost => Some(Event::Lagged { lost }),
        }
    }

    /// The outcome of a poll that found `item`.
    fn poll<T>(&mut self, item: Option<T>, context: &Context<'_>) -> Poll<Option<T>> {
        if item.is_none() && !self.closed {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(item)
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut inbox = self.subscription.listener.inbox();
        let event = inbox.next_event();
        inbox.poll(event, context)
    }
}

impl EventStream {
    /// Waits for the next event; `None` when no more can come. Cancel safe: a dropped future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.subscription.listener.inbox().next_event()
    }
}

impl Stream for TableWatch {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        let mut inbox = self.subscription.listener.inbox();
        let touched = std::mem::take(&mut inbox.touched).then_some(());
        inbox.poll(touched, context)
    }
}

impl TableWatch {
    /// Waits for the next change; `None` when no more can come. Cancel safe: a dropped future loses nothing.
    pub async fn changed(&mut self) -> Option<()> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// A handle that makes this stream yield an item, for stores that find changes by other means.
    pub fn bell(&self) -> WatchBell {
        WatchBell(Arc::downgrade(&self.subscription.listener))
    }
}

impl WatchBell {
    /// Makes the stream yield an item, if it is still there.
    pub fn ring(&self) {
        if let Some(waker) = self.0.upgrade().and_then(|listener| listener.touch()) {
            wake(waker);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut listeners = hub.listeners();
        listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
        hub.count(&listeners);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("listeners", &self.hub.count).finish()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inbox = self.subscription.listener.inbox();
        f.debug_struct("EventStream").field("waiting", &inbox.events.len()).finish()
    }
}

impl fmt::Debug for TableWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
