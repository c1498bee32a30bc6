//! The seam to the network: one request in, one answer out.
//!
//! The engine sends through [`Transport`]. [`HttpClient`](crate::client::HttpClient) (feature `client`) is the
//! one over real sockets; tests script others.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::error::Error;
use crate::json::push_string;

/// A request to the server. Its `Debug` form shows neither credentials nor the body.
#[derive(Clone)]
pub struct Request {
    /// GET, POST, PATCH, PUT or DELETE.
    pub method: Method,
    /// Absolute address, fully encoded.
    pub url: Url,
    /// Headers of the protocol; credentials are added by a [handler](crate::handler).
    pub headers: HeaderMap,
    /// JSON body, if any.
    pub body: Option<Bytes>,
}

/// A complete answer of the server. Its `Debug` form shows neither credentials nor the body.
#[derive(Clone)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// An answer that a handler gives instead of the server, with `{"error": message}` as its body. With a status of
    /// class 4xx a push records it as the refusal of that operation and goes on.
    pub fn refusal(status: StatusCode, message: &str) -> Self {
        let mut body = String::from("{\"error\":");
        push_string(&mut body, message);
        body.push('}');
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: Bytes::from(body) }
    }
}

/// Why no answer came.
#[derive(Debug)]
pub struct SendError {
    /// [`ErrorKind::Network`](crate::ErrorKind::Network) when the answer did not come or was cut off,
    /// [`ErrorKind::AnswerTooLarge`](crate::ErrorKind::AnswerTooLarge) when it is larger than allowed: a pull then asks
    /// for smaller pages.
    pub error: Error,
    /// Whether a part of the request may have reached the server. False only when that is certain, for example
    /// when no connection could be made: then the operation is not uncertain (P-16).
    pub may_have_sent: bool,
}

impl SendError {
    /// The request certainly did not reach the server.
    pub fn unsent(error: Error) -> Self {
        Self { error, may_have_sent: false }
    }
}

/// Sends requests.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request once and reads the whole answer. Any HTTP status is an `Ok`; a redirect of a
    /// write is never followed (W-14).
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>>;
}

/// Waits; an input, so that the engine reads no clock of its own and tests need not sleep.
pub trait Timer: Send + Sync + 'static {
    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Headers whose values are shown nowhere, besides those that are marked sensitive.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "x-zumo-auth",
    "x-zumo-application",
    "x-zumo-master",
    "cookie",
    "set-cookie",
];

/// Parts of the names of further headers that servers use for keys and sessions.
const SECRET_WORDS: [&str; 6] = ["auth", "token", "secret", "key", "password", "session"];

/// Whether the header's value is a credential, or may be one.
pub(crate) fn is_secret(name: &HeaderName, value: &HeaderValue) -> bool {
    value.is_sensitive() || SECRET_HEADERS.contains(&name.as_str()) || is_secret_word(name.as_str())
}

/// Whether something of this name may hold a credential.
pub(crate) fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Headers without credentials.
struct Masked<'a>(&'a HeaderMap);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.0 {
            if is_secret(name, value) {
                map.entry(name, &format_args!("***"));
            } else {
                map.entry(name, value);
            }
        }
        map.finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("headers", &Masked(&self.headers))
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &Masked(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
