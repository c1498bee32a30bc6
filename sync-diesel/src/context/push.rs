//! [`Push`]: the options of one push.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use sync_core::Result;
use sync_core::engine::{Cancellation, PushOptions, PushReport};
use sync_core::entity::SyncEntity;
use sync_core::event::Event;

use super::SyncContext;
use crate::progress::{self, Progress};
use crate::schema::SyncSchema;

/// A push that starts when awaited.
///
/// Operations are sent in the order of the changes. Where entities declare `belongs_to`, a row's insert comes before
/// the operations of the rows that mention it, and its delete after they have left it; what belongs to a row whose
/// insert failed is held back and listed in [`PushReport::held`].
#[must_use = "a push does nothing until it is awaited"]
#[derive(Debug)]
pub struct Push<'c, A> {
    context: &'c SyncContext<A>,
    options: PushOptions,
    progress: Option<Progress<'c>>,
}

impl<'c, A> Push<'c, A> {
    pub(super) fn new(context: &'c SyncContext<A>, options: PushOptions) -> Self {
        Self { context, options, progress: None }
    }

    /// Calls `told` with each event of the push, on the task that awaits it. See [`Event`].
    pub fn progress(mut self, told: impl FnMut(&Event) + Send + 'c) -> Self {
        self.progress = Some(Progress::new(told));
        self
    }

    /// Pushes only this entity's operations; may be called again for more. Rows that belong to a new row of an entity
    /// that is not pushed are held back.
    pub fn table<E: SyncEntity>(mut self) -> Self {
        self.options.tables.push(E::SCHEMA.name.to_owned());
        self
    }

    /// Most requests in flight, 1 to 64. The order in which a server may see operations of related rows does not
    /// depend on it.
    pub fn window(mut self, requests: usize) -> Self {
        self.options.window = requests;
        self
    }

    /// Whether operations that failed in an earlier push are sent again. Default true; with `false`, each waits until
    /// the app changes its row or resolves its error, but is not complete without them as it is without parked ones.
    pub fn retry_failed(mut self, retry: bool) -> Self {
        self.options.retry_failed = retry;
        self
    }

    /// How often a handler or the rules of columns may decide about one row within this push; the conflict after that is
    /// recorded. Default: that of the context ([`Builder::handler_repeats`](crate::Builder::handler_repeats)).
    pub fn handler_repeats(mut self, repeats: u32) -> Self {
        self.options.handler_repeats = repeats;
        self
    }

    /// Fails with [`ErrorKind::Busy`](crate::ErrorKind::Busy) instead of waiting for a push, pull or purge of the same
    /// database, in this process or another.
    pub fn no_wait(mut self) -> Self {
        self.options.wait = false;
        self
    }

    /// Ends the push when this is cancelled: nothing new is sent, answers under way are awaited for two seconds and
    /// stored, and the push fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled). A request whose answer
    /// did not come is settled by the next push, as after dropping the future.
    pub fn with_cancellation(mut self, cancellation: &Cancellation) -> Self {
        self.options.cancellation = cancellation.clone();
        self
    }
}

impl<'c, A: SyncSchema> IntoFuture for Push<'c, A> {
    type Output = Result<PushReport>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let engine = &self.context.engine;
        let push = async move { engine.push(self.options).await };
        progress::report(self.progress, engine.events(), push)
    }
}
