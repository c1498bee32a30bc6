//! The seam to the network: one request in, one answer out.
//!
//! The engine sends through [`Transport`]. [`HttpClient`](crate::client::HttpClient) (feature `client`) is the
//! one over real sockets; tests script others.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::Error;

/// A request to the server.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST, PATCH, PUT or DELETE.
    pub method: Method,
    /// Absolute address, fully encoded.
    pub url: Url,
    /// Headers of the protocol; credentials are added by the transport.
    pub headers: HeaderMap,
    /// JSON body, if any.
    pub body: Option<Bytes>,
}

/// A complete answer of the server.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why no answer came.
#[derive(Debug)]
pub struct SendError {
    /// [`ErrorKind::Network`](crate::ErrorKind::Network) when the answer did not come or was cut off,
    /// [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) when it is larger than allowed.
    pub error: Error,
    /// Whether a part of the request may have reached the server. False only when that is certain, for example
    /// when no connection could be made: then the operation is not uncertain (P-16).
    pub may_have_sent: bool,
}

/// Sends requests.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request once and reads the whole answer. Any HTTP status is an `Ok`; redirects are not
    /// followed (W-14).
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>>;
}

/// Waits; an input, so that the engine reads no clock of its own and tests need not sleep.
pub trait Timer: Send + Sync + 'static {
    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
