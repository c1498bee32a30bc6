//! Events of one push or pull for the task that awaits it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use sync_core::event::{DEFAULT_CAPACITY, Event, EventStream, Events};

/// Whom to tell.
pub(crate) struct Progress<'c> {
    told: Box<dyn FnMut(&Event) + Send + 'c>,
}

impl<'c> Progress<'c> {
    pub(crate) fn new(told: impl FnMut(&Event) + Send + 'c) -> Self {
        Self { told: Box::new(told) }
    }

    /// Tells what waits. One that panicked is not called again: it must not harm the sync (E-05).
    fn tell(progress: &mut Option<Self>, events: &mut EventStream) {
        while let Some(event) = events.try_next() {
            let Some(listener) = progress else { return };
            if catch_unwind(AssertUnwindSafe(|| (listener.told)(&event))).is_err() {
                *progress = None;
            }
        }
    }
}

/// Runs `sync` and tells its events as they come. Another push or pull of the same context that runs while this one
/// waits for its turn is told as well.
pub(crate) fn report<'c, T: 'c>(
    progress: Option<Progress<'c>>,
    events: &Events,
    sync: impl Future<Output = T> + Send + 'c,
) -> Pin<Box<dyn Future<Output = T> + Send + 'c>> {
    if progress.is_none() {
        return Box::pin(sync);
    }
    let mut events = events.subscribe_progress(DEFAULT_CAPACITY);
    let mut progress = progress;
    let mut sync = Box::pin(sync);
    // Events are made while `sync` is polled, or on other threads for tasks that poll it again: nothing is to be
    // woken for them alone, and what is left is told before the result.
    Box::pin(poll_fn(move |context| {
        let outcome = sync.as_mut().poll(context);
        Progress::tell(&mut progress, &mut events);
        outcome
    }))
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}
