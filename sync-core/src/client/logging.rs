//! A handler that logs requests and answers, without credentials (H-03).
//!
//! A line holds method, address, status, time and sizes. Values of query parameters, headers and bodies are left out
//! unless asked for, since they hold data of users. Credentials are masked always, and nothing switches that off:
//! the values of `Authorization`, `X-ZUMO-AUTH`, `X-ZUMO-APPLICATION`, `X-ZUMO-MASTER`, of cookies, of every header
//! marked sensitive and of everything whose name speaks of keys, tokens, secrets, passwords or sessions. A masked
//! value is also masked where it is repeated, in a body for example.
//!
//! Lines go to `tracing`, target `sync_core::http`, level INFO (WARN without an answer), or to a closure.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{LINK, LOCATION};
use http::{HeaderMap, Method};
use url::Url;

use crate::handler::{Handler, Next};
use crate::transport::{Request, Response, SendError, is_secret, is_secret_word};

const MASK: &str = "***";
/// Masked values shorter than this are not looked for elsewhere: they would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// Logs each request with its answer.
#[derive(Clone)]
pub struct LoggingHandler {
    query_values: bool,
    headers: bool,
    body_limit: Option<usize>,
    sink: Option<Sink>,
    clock: Clock,
}

type Sink = Arc<dyn Fn(&LoggedExchange) + Send + Sync>;
type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// One request with its answer, as it is logged. `Display` gives the line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoggedExchange {
    /// The method.
    pub method: Method,
    /// The address; without the values of its query unless asked for.
    pub address: String,
    /// The answer's status; `None` without an answer.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub failure: Option<String>,
    /// From the request to the end of the answer.
    pub duration: Duration,
    /// Size of the request's body.
    pub request_bytes: usize,
    /// Size of the answer's body, decompressed.
    pub response_bytes: usize,
    /// Headers of the request, if asked for.
    pub request_headers: Vec<(String, String)>,
    /// Headers of the answer, if asked for.
    pub response_headers: Vec<(String, String)>,
    /// The request's body, if asked for.
    pub request_body: Option<String>,
    /// The answer's body, if asked for.
    pub response_body: Option<String>,
}

impl LoggingHandler {
    /// Logs method, address without values, status, time and sizes to `tracing`.
    pub fn new() -> Self {
        Self {
            query_values: false,
            headers: false,
            body_limit: None,
            sink: None,
            clock: Arc::new(Instant::now),
        }
    }

    /// Also logs the values of query parameters: filters hold data of users.
    #[must_use]
    pub fn query_values(mut self) -> Self {
        self.query_values = true;
        self
    }

    /// Also logs headers, credentials masked.
    #[must_use]
    pub fn headers(mut self) -> Self {
        self.headers = true;
        self
    }

    /// Also logs bodies, each up to so many bytes. They are rows of users.
    #[must_use]
    pub fn bodies(mut self, limit: usize) -> Self {
        self.body_limit = Some(limit);
        self
    }

    /// Hands each exchange to `sink` instead of `tracing`.
    #[must_use]
    pub fn sink(mut self, sink: impl Fn(&LoggedExchange) + Send + Sync + 'static) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Reads this clock instead of the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    async fn exchange(&self, request: Request, next: Next<'_>) -> Result<Response, SendError> {
        let started = (self.clock)();
        // The request is moved on; a clone shares its body.
        let asked = request.clone();
        let outcome = next.run(request).await;
        let duration = (self.clock)().saturating_duration_since(started);
        let exchange = self.describe(&asked, &outcome, duration);
        match (&self.sink, exchange.failure.is_some()) {
            (Some(sink), _) => sink(&exchange),
            (None, false) => tracing::info!(target: "sync_core::http", "{exchange}"),
            (None, true) => tracing::warn!(target: "sync_core::http", "{exchange}"),
        }
        outcome
    }

    fn describe(
        &self,
        request: &Request,
        outcome: &Result<Response, SendError>,
        duration: Duration,
    ) -> LoggedExchange {
        let answer = outcome.as_ref().ok();
        let mut secrets = Secrets::default();
        secrets.collect(&request.headers);
        if let Some(answer) = answer {
            secrets.collect(&answer.headers);
        }
        let headers = |headers: Option<&HeaderMap>| match headers {
            Some(headers) if self.headers => self.show_headers(headers, &secrets),
            _ => Vec::new(),
        };
        let body = |body: Option<&[u8]>| {
            let limit = self.body_limit?;
            Some(cut(&secrets.mask(&String::from_utf8_lossy(body?)), limit))
        };
        LoggedExchange {
            method: request.method.clone(),
            address: self.show_address(&request.url, &secrets),
            status: answer.map(|answer| answer.status.as_u16()),
            failure: outcome.as_ref().err().map(|failure| secrets.mask(&failure.error.to_string())),
            duration,
            request_bytes: request.body.as_ref().map_or(0, |body| body.len()),
            response_bytes: answer.map_or(0, |answer| answer.body.len()),
            request_headers: headers(Some(&request.headers)),
            response_headers: headers(answer.map(|answer| &answer.headers)),
            request_body: body(request.body.as_deref()),
            response_body: body(answer.map(|answer| &*answer.body)),
        }
    }

    fn show_address(&self, url: &Url, secrets: &Secrets) -> String {
        let mut address = url.origin().ascii_serialization();
        address.push_str(&secrets.mask(url.path()));
        for (index, (name, value)) in url.query_pairs().enumerate() {
            address.push(if index == 0 { '?' } else { '&' });
            address.push_str(&secrets.mask(&name));
            if self.query_values {
                address.push('=');
                // The key of an Azure function and the signature of a storage address have these names.
                let is_secret = is_secret_word(&name) || matches!(&*name, "code" | "sig");
                address.push_str(if is_secret { MASK } else { &value });
            }
        }
        one_line(&if self.query_values { secrets.mask(&address) } else { address })
    }

    fn show_headers(&self, headers: &HeaderMap, secrets: &Secrets) -> Vec<(String, String)> {
        let show = |name: &http::HeaderName, value: &http::HeaderValue| {
            // Addresses in headers may be signed, and their queries hold values.
            if is_secret(name, value) || name == LOCATION || name == LINK {
                return MASK.to_owned();
            }
            one_line(&secrets.mask(&String::from_utf8_lossy(value.as_bytes())))
        };
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), show(name, value))).collect()
    }
}

impl Default for LoggingHandler {
    fn default() -> Self {
        Self::new()
    }
}

/// The credentials that one exchange carried.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn collect(&mut self, headers: &HeaderMap) {
        for (_, value) in headers.iter().filter(|(name, value)| is_secret(name, value)) {
            let text = String::from_utf8_lossy(value.as_bytes());
            // `Bearer x` without its scheme, and the values of cookies without their names.
            let parts = text.split([' ', ';', ',']).flat_map(|part| {
                let inner = part.split_once('=').map_or("", |(_, value)| value);
                [part, inner]
            });
            let long = parts.map(str::trim).filter(|part| part.len() >= SHORTEST_SECRET && *part != "Bearer");
            self.0.extend(long.map(str::to_owned));
            self.0.push(text.into_owned());
        }
        // Longest first, or a part would be masked and the rest of its whole be left.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.0.retain(|secret| secret.len() >= SHORTEST_SECRET);
        self.0.dedup();
    }

    fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }
}

/// Up to `limit` bytes of the text, on one line.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return one_line(text);
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… ({} bytes)", one_line(&text[..end]), text.len())
}

/// The text without control characters: an answer must not write lines of its own into a log.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

impl Handler for LoggingHandler {
    fn handle<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> {
        self.exchange(request, next).boxed()
    }
}

impl fmt::Display for LoggedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.address)?;
        match (self.status, &self.failure) {
            (Some(status), _) => write!(f, " -> {status}")?,
            (None, Some(failure)) => write!(f, " -> no answer: {failure}")?,
            (None, None) => f.write_str(" -> no answer")?,
        }
        write!(
            f,
            " in {} ms, {} bytes sent, {} received",
            self.duration.as_millis(),
            self.request_bytes,
            self.response_bytes
        )?;
        let parts = [
            (&self.request_headers, &self.request_body, "sent"),
            (&self.response_headers, &self.response_body, "received"),
        ];
        for (headers, body, what) in parts {
            for (name, value) in headers {
                write!(f, "; {what} {name}: {value}")?;
            }
            if let Some(body) = body {
                write!(f, "; {what} {body}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LoggingHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingHandler")
            .field("query_values", &self.query_values)
            .field("headers", &self.headers)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
