//! [`Pull`]: a pull with its options.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use sync_core::Result;
use sync_core::engine::{Cancellation, PullReport, PullRequest};
use sync_core::entity::SyncEntity;
use sync_core::event::Event;
use sync_core::expression::OrderBy;

use super::SyncContext;
use crate::progress::{self, Progress};
use crate::schema::SyncSchema;

/// A pull that starts when awaited.
///
/// Dropping the future ends it: pages stored so far and their token stay, and the next pull goes on there.
#[must_use = "a pull does nothing until it is awaited"]
#[derive(Debug)]
pub struct Pull<'c, A> {
    context: &'c SyncContext<A>,
    request: PullRequest,
    progress: Option<Progress<'c>>,
}

impl<'c, A> Pull<'c, A> {
    pub(super) fn new(context: &'c SyncContext<A>, request: PullRequest) -> Self {
        Self { context, request, progress: None }
    }

    /// Calls `told` with each event of the pull and of the push before it, on the task that awaits it. See
    /// [`Event`].
    ///
    /// ```no_run
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String }
    /// # sync_schema!(pub AppSchema: Todo);
    /// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
    /// let mut rows = 0;
    /// sync.pull("all", Todo::all())
    ///     .progress(|event| {
    ///         if let Event::PageReceived { rows: more, .. } = event {
    ///             rows += more;
    ///             println!("{rows} rows received");
    ///         }
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(mut self, told: impl FnMut(&Event) + Send + 'c) -> Self {
        self.progress = Some(Progress::new(told));
        self
    }

    /// Rows asked for per page; the server may send fewer. 0 is an error, and more than the server takes (1000 where
    /// its profile says nothing else) is asked as that. A page that is larger than the client takes is asked for again
    /// with half as many.
    pub fn page_size(mut self, rows: u32) -> Self {
        self.request.page_size = rows;
        self
    }

    /// Sends a parameter of the app's server with each page; may be called again for more. Parameters of the protocol
    /// (`$filter`, `__includeDeleted`) are an error. Other parameters under the same query id start anew, as another
    /// filter does.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.parameters.push((name.into(), value.into()));
        self
    }

    /// Whether rows go that left the filter on the server since they were pulled: changed there, and wanted by no
    /// other pull of the entity. To learn of them the pull reads every change of the table, so the default is yes
    /// only where the server's profile says that rows are cheap. Needs a query id.
    ///
    /// Rows made on this device, and rows that changes made on this device moved out of the filter, stay until they
    /// are purged. So does what a pull without query id brought, unless it [mirrors](Self::mirror).
    ///
    /// ```no_run
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String, pub complete: bool }
    /// # sync_schema!(pub AppSchema: Todo);
    /// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
    /// let report = sync.pull("open", Todo::complete.eq(false)).track_exits(true).await?;
    /// println!("{} rows were completed elsewhere", report.rows.evicted);
    /// # Ok(())
    /// # }
    /// ```
    pub fn track_exits(mut self, yes: bool) -> Self {
        self.request.track_exits = Some(yes);
        self
    }

    /// Removes, once everything was pulled, the clean rows that match the filter and did not come. Finds what no
    /// tombstone tells: rows deleted for good, rows hidden from this user, everything after a server's restore. Only
    /// without query id, top and skip.
    pub fn mirror(mut self) -> Self {
        self.request.mirror = true;
        self
    }

    /// The order in which [`top`](Self::top) and [`skip`](Self::skip) count, by this column; further calls add keys,
    /// and the id is the last one. Without those two it changes nothing. Not with a query id.
    pub fn order_by<E: SyncEntity>(mut self, key: OrderBy<E>) -> Self {
        self.request.order_by.push(key.parts());
        self
    }

    /// Pulls at most so many rows. Not with a query id, and only with a filter the server answers exactly: what is
    /// judged here could not be counted there.
    pub fn top(mut self, rows: u64) -> Self {
        self.request.top = Some(rows);
        self
    }

    /// Leaves so many rows out at the start. As [`top`](Self::top).
    pub fn skip(mut self, rows: u64) -> Self {
        self.request.skip = rows;
        self
    }

    /// Before the pull, pushes only this entity's operations instead of all; may be called again for more. Rows that
    /// refer to rows of other entities may be refused then.
    pub fn push_only<E: SyncEntity>(mut self) -> Self {
        self.request.push.tables.push(E::SCHEMA.name.to_owned());
        self
    }

    /// Pulls without a push before. Rows with operations stay as they are.
    pub fn without_push(mut self) -> Self {
        self.request.push_first = false;
        self
    }

    /// Pulls even if the push before it left operations with errors. Rows with operations stay as they are.
    pub fn pull_anyway(mut self) -> Self {
        self.request.pull_anyway = true;
        self
    }

    /// Fails with [`ErrorKind::Busy`](crate::ErrorKind::Busy) instead of waiting for a push, pull or purge of the same
    /// database, in this process or another.
    pub fn no_wait(mut self) -> Self {
        self.request.push.wait = false;
        self
    }

    /// Ends the pull, and the push before it, when this is cancelled: what was received until then is stored, and the
    /// call fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn with_cancellation(mut self, cancellation: &Cancellation) -> Self {
        self.request.push.cancellation = cancellation.clone();
        self
    }
}

impl<'c, A: SyncSchema> IntoFuture for Pull<'c, A> {
    type Output = Result<PullReport>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let engine = &self.context.engine;
        let pull = async move { engine.pull(self.request).await };
        progress::report(self.progress, engine.events(), pull)
    }
}
