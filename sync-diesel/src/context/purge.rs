//! [`PurgeRows`]: a purge with its options.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use sync_core::Result;
use sync_core::predicate::Predicate;
use sync_core::store::{Purge, Purged};

use super::SyncContext;
use crate::schema::SyncSchema;

/// A purge that starts when awaited. It waits for a push or pull under way.
#[must_use = "a purge does nothing until it is awaited"]
#[derive(Debug)]
pub struct PurgeRows<'c, A> {
    context: &'c SyncContext<A>,
    purge: Purge,
    waits: bool,
}

impl<'c, A> PurgeRows<'c, A> {
    pub(super) fn new(context: &'c SyncContext<A>, predicate: Predicate) -> Self {
        Self { context, purge: Purge::new(predicate), waits: true }
    }

    /// Also removes matching rows with pending operations, and those operations: local changes of these rows
    /// are lost. Other rows keep theirs.
    pub fn force(mut self) -> Self {
        self.purge.force = true;
        self
    }

    /// Keeps the tokens of the entity's queries. Without it they are reset, so that the next pull brings back what is
    /// still wanted; with it removed rows return only when they change on the server.
    pub fn keep_tokens(mut self) -> Self {
        self.purge.keep_tokens = true;
        self
    }

    /// Fails with [`ErrorKind::Busy`](sync_core::ErrorKind::Busy) while a push or pull of this context is under way,
    /// instead of waiting.
    pub fn no_wait(mut self) -> Self {
        self.waits = false;
        self
    }
}

impl<'c, A: SyncSchema> IntoFuture for PurgeRows<'c, A> {
    type Output = Result<Purged>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let engine = &self.context.engine;
        Box::pin(async move {
            if self.waits { engine.purge(self.purge).await } else { engine.try_purge(self.purge).await }
        })
    }
}
