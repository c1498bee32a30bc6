//! The HTTP client: requests over real sockets, with reqwest and rustls (feature `client`).
//!
//! Connections are kept alive and shared; HTTP/2 is used where the server offers it; gzip is accepted and request
//! bodies are never compressed. Redirects are followed for a GET on the same origin and for nothing else: a write must not go
//! anywhere else, and neither must credentials (W-14). Bodies are read up to a limit, so a runaway answer cannot exhaust memory;
//! a pull asks for smaller pages then.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::LOCATION;
use http::{Method, StatusCode};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::transport::{Request, Response, SendError, Timer, Transport};

pub use self::credentials::{CredentialHeader, CredentialProvider, Credentials, ProviderError, Token};
pub use self::logging::{LoggedExchange, LoggingHandler};

mod credentials;
mod logging;

/// Room reserved at once for an announced body; a larger one grows into it.
const FIRST_RESERVE: u64 = 1024 * 1024;

/// Redirects of one GET that are followed; a further one is the answer.
const REDIRECTS: usize = 5;

/// Sends requests with reqwest.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    body_limit: usize,
}

/// Settings of [`HttpClient`].
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Longest wait for a connection. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest wait for the first byte of an answer and between two of its bytes. Default 60 s.
    pub read_timeout: Duration,
    /// Largest body of an answer, decompressed. Default 64 MiB. A pull whose page is larger asks for smaller pages.
    pub body_limit: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            body_limit: 64 * 1024 * 1024,
        }
    }
}

impl HttpClient {
    /// A client with these settings. Installs rustls's ring provider if the program has chosen none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Network`] when the platform's TLS certificates cannot be loaded.
    pub fn new(options: &HttpOptions) -> Result<Self> {
        // An error means that the program installed a provider already: its choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|source| {
                Error::new(ErrorKind::Network, "the HTTP client cannot be set up").with_source(source)
            })?;
        Ok(Self { client, body_limit: options.body_limit })
    }

    async fn exchange(&self, mut request: Request) -> Result<Response, SendError> {
        if request.method != Method::GET {
            return self.send_once(request).await;
        }
        for _ in 0..REDIRECTS {
            let answer = self.send_once(request.clone()).await?;
            match redirect_on_origin(&request.url, &answer) {
                Some(url) => request.url = url,
                None => return Ok(answer),
            }
        }
        self.send_once(request).await
    }

    async fn send_once(&self, request: Request) -> Result<Response, SendError> {
        let mut builder = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut answer = builder.send().await.map_err(no_answer)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Of a compressed body no length is known here.
        if answer.content_length().is_some_and(|length| length > self.body_limit as u64) {
            return Err(self.too_large(status));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > self.body_limit {
                return Err(self.too_large(status));
            }
            if body.is_empty() {
                let expected =
                    answer.content_length().unwrap_or(0).min(FIRST_RESERVE.min(self.body_limit as u64));
                body.reserve(chunk.len().max(usize::try_from(expected).unwrap_or(0)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: Bytes::from(body) })
    }

    fn too_large(&self, status: StatusCode) -> SendError {
        let what = format!("the server's answer is larger than {} bytes", self.body_limit);
        let error = Error::new(ErrorKind::AnswerTooLarge, what).with_status(status.as_u16());
        SendError { error, may_have_sent: true }
    }
}

/// Where a redirect leads, if that is on the origin that was asked, with all that was asked for (W-14): a redirect
/// without a query means another path only; one that changes the query is not followed.
fn redirect_on_origin(asked: &Url, answer: &Response) -> Option<Url> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut url = asked.join(answer.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    if url.origin() != asked.origin() {
        return None;
    }
    // An address without the query would answer another question: every row instead of those that match.
    let mut left: Vec<_> = url.query_pairs().collect();
    let is_kept = asked.query_pairs().all(|pair| {
        let place = left.iter().position(|other| *other == pair);
        place.map(|place| left.swap_remove(place)).is_some()
    });
    if !is_kept {
        if url.query().is_some_and(|query| !query.is_empty()) {
            return None;
        }
        url.set_query(asked.query());
    }
    Some(url)
}

/// Addresses are left out: they may hold a user's parameters.
fn no_answer(source: reqwest::Error) -> SendError {
    let may_have_sent = !source.is_connect();
    let what = if source.is_timeout() {
        "the server did not answer in time"
    } else if source.is_connect() {
        "no connection to the server"
    } else {
        "the connection was lost before the answer was complete"
    };
    let source = source.without_url();
    let mut cause: &dyn std::error::Error = &source;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let error = Error::new(ErrorKind::Network, format!("{what}: {cause}")).with_source(source);
    SendError { error, may_have_sent }
}

impl Transport for HttpClient {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.exchange(request).boxed()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("body_limit", &self.body_limit).finish_non_exhaustive()
    }
}

/// Waits with tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderMap;

    use super::*;

    #[test]
    fn w_14_a_redirect_keeps_the_question() {
        let list = "http://a/tables/x?$filter=text+eq+%27a%27&$top=50";
        for (asked, to, expected) in [
            ("http://a/tables/x", "/tables/y", Some("http://a/tables/y")),
            ("http://a/tables/x/1", "?$top=1", Some("http://a/tables/x/1?$top=1")),
            // Without its query the list would be that of all rows.
            (list, "/tables/x/", Some("http://a/tables/x/?$filter=text+eq+%27a%27&$top=50")),
            (list, "/tables/x/?", Some("http://a/tables/x/?$filter=text+eq+%27a%27&$top=50")),
            // The same, written in another way, and with more.
            (
                list,
                "/v2/x?$top=50&$filter=text%20eq%20'a'&via=1",
                Some("http://a/v2/x?$top=50&$filter=text%20eq%20%27a%27&via=1"),
            ),
            (list, "/tables/x/?$top=50", None),
            (list, "/tables/x/?$filter=text+eq+%27b%27&$top=50", None),
            (list, "/login?from=%2Ftables%2Fx", None),
            ("http://a/x?p=1&p=1", "/y?p=1", None),
            (list, "https://a/tables/x/", None),
            (list, "http://b/tables/x/", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, to.parse().expect("a header"));
            let answer = Response { status: StatusCode::PERMANENT_REDIRECT, headers, body: Bytes::new() };
            let asked = Url::parse(asked).expect("an address");
            let url = redirect_on_origin(&asked, &answer);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{asked} to {to}");
        }
    }
}
