//! The seam to the network: one request in, one answer out.
//!
//! The engine sends through [`Transport`]. [`HttpClient`](crate::client::HttpClient) (feature `client`) is the
//! one over real sockets; tests script others.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::Result;

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

/// Sends requests.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request and reads the whole answer. Any HTTP status is an `Ok`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Network`](crate::ErrorKind::Network) when no complete answer came (refused, reset, timed
    /// out, cut off), [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) when the body is larger
    /// than allowed.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response>>;
}
