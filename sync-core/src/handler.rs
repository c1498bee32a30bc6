//! Handlers around requests: code of the app that sees each request before it leaves and each answer before the
//! engine does.
//!
//! A [`HandlerChain`] is a [`Transport`] around another one. Its handlers stand in the order they were given: the
//! first sees a request first and its answer last. Every request goes through them, those of push and pull as well
//! as direct calls. A handler may change the request, look at the answer, answer by itself, or refuse.
//!
//! ```
//! use futures_util::FutureExt;
//! use futures_util::future::BoxFuture;
//! use http::HeaderValue;
//! use sync_core::handler::{Handler, Next};
//! use sync_core::transport::{Request, Response, SendError};
//!
//! /// Tells the server which installation a request comes from.
//! struct InstallationId(HeaderValue);
//!
//! impl Handler for InstallationId {
//!     fn handle<'a>(
//!         &'a self,
//!         mut request: Request,
//!         next: Next<'a>,
//!     ) -> BoxFuture<'a, Result<Response, SendError>> {
//!         request.headers.insert("x-zumo-installation-id", self.0.clone());
//!         next.run(request).boxed()
//!     }
//! }
//! ```
//!
//! # What a handler must keep to
//!
//! - **A write is passed on once.** Only a GET may be passed to [`Next::run`] again; the one exception is an answer
//!   that shows that nothing was done, such as 401. Whether another request may be repeated depends on the
//!   operation it belongs to, which only the engine knows (H-05).
//! - **Failing before anything was sent** is [`SendError::unsent`]: the push or pull stops as if there were no
//!   network, and the operation stays as it was (H-02). A chain never believes `unsent` of a request that did
//!   reach the transport: its operation is uncertain then, and settled by the next push.
//! - **Refusing one operation** is an answer: [`Response::refusal`]. The refusal is recorded as that operation's
//!   error, and the push goes on.
//!
//! A panic of a handler ends a push with [`PushStatus::Internal`](crate::engine::PushStatus::Internal), its operation
//! uncertain; through any other call it goes with the effect of a crash. Nothing is lost either way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::transport::{Request, Response, SendError, Transport};

/// Stands around requests. See the [module documentation](self) for what it may do.
pub trait Handler: Send + Sync + 'static {
    /// Handles a request, usually by passing it to `next`.
    fn handle<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Result<Response, SendError>>;
}

impl<H: Handler + ?Sized> Handler for Arc<H> {
    fn handle<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> {
        (**self).handle(request, next)
    }
}

/// A handler made of a closure.
///
/// ```
/// use sync_core::handler::{Handler, from_fn};
/// use sync_core::transport::Response;
///
/// let read_only = from_fn(|request, next| {
///     Box::pin(async move {
///         if request.method == http::Method::GET {
///             return next.run(request).await;
///         }
///         Ok(Response::refusal(http::StatusCode::FORBIDDEN, "this device only reads"))
///     })
/// });
/// # let _: &dyn Handler = &read_only;
/// ```
pub fn from_fn<F>(handle: F) -> impl Handler
where
    F: for<'a> Fn(Request, Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> + Send + Sync + 'static,
{
    FromFn(handle)
}

struct FromFn<F>(F);

impl<F> Handler for FromFn<F>
where
    F: for<'a> Fn(Request, Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> + Send + Sync + 'static,
{
    fn handle<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> {
        (self.0)(request, next)
    }
}

/// The rest of the chain, with the transport at its end.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    handlers: &'a [Arc<dyn Handler>],
    transport: &'a dyn Transport,
    /// Requests that reached the transport and may have had an effect.
    unsettled: &'a AtomicUsize,
}

impl<'a> Next<'a> {
    /// Passes a request on. Only a GET may be passed on more than once, and a write whose answer shows that nothing
    /// was done.
    pub fn run(self, request: Request) -> BoxFuture<'a, Result<Response, SendError>> {
        match self.handlers.split_first() {
            Some((first, handlers)) => first.handle(request, Next { handlers, ..self }),
            None => self.send(request).boxed(),
        }
    }

    async fn send(self, request: Request) -> Result<Response, SendError> {
        // Counted before it starts: a handler that drops the future in the middle leaves it counted.
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        let outcome = self.transport.send(request).await;
        let was_not_done = match &outcome {
            Ok(answer) => matches!(answer.status.as_u16(), 401 | 429 | 503),
            Err(failure) => !failure.may_have_sent,
        };
        if was_not_done {
            self.unsettled.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }
}

/// Handlers around a transport.
pub struct HandlerChain {
    handlers: Vec<Arc<dyn Handler>>,
    transport: Arc<dyn Transport>,
}

impl HandlerChain {
    /// `transport` with these handlers around it, the first outermost.
    pub fn new(handlers: Vec<Arc<dyn Handler>>, transport: Arc<dyn Transport>) -> Self {
        Self { handlers, transport }
    }
}

impl Transport for HandlerChain {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async move {
            let unsettled = AtomicUsize::new(0);
            let next = Next { handlers: &self.handlers, transport: &*self.transport, unsettled: &unsettled };
            let outcome = next.run(request).await;
            outcome.map_err(|mut failure| {
                failure.may_have_sent |= unsettled.load(Ordering::Relaxed) > 0;
                failure
            })
        }
        .boxed()
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("handlers", &self.handlers.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for HandlerChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerChain").field("handlers", &self.handlers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
