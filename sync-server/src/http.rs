//! HTTP around the dialects: routes, bodies within the limit, cross-origin headers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{
    DefaultBodyLimit, FromRequest, FromRequestParts, OriginalUri, RawPathParams, Request, State,
};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::dialect;
use crate::error::Refusal;
use crate::server::Shared;

/// A request for a table, in no dialect yet.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Decoded name of the table as the client wrote it.
    pub(crate) table: String,
    /// Decoded id, if the path names a row.
    pub(crate) id: Option<String>,
    /// As the client sent it, also when the router is nested.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, Refusal>,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let compression = shared.config.compression;
    let router = Router::new()
        .route("/tables/{table}", any(handle))
        .route("/tables/{table}/", any(handle))
        .route("/tables/{table}/{id}", any(handle))
        .route("/tables/{table}/{id}/", any(handle))
        .with_state(shared);
    if !compression {
        return router;
    }
    // One row gains nothing worth the work. A tag stays that of the version, since clients compare it as such.
    let quality = CompressionLevel::Fastest;
    router.layer(CompressionLayer::new().quality(quality).compress_when(SizeAbove::new(SMALLEST_COMPRESSED)))
}

/// Bytes from which on an answer is compressed.
const SMALLEST_COMPRESSED: u16 = 1024;

/// The answer to an address that is no table's.
pub(crate) async fn not_found() -> Response {
    dialect::refused(dialect::UNKNOWN, &Refusal::NoRoute)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let origin = allowed_origin(&shared, request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        options(request.headers(), origin.is_some())
    } else {
        match call(&shared, request).await {
            Ok(call) => dialect::answer(&shared, call).await,
            Err(refusal) => dialect::refused(shared.config.dialect.unwrap_or(dialect::UNKNOWN), &refusal),
        }
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Link, ETag, Location, Last-Modified, x-zumo-server-version"),
        );
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

async fn call(shared: &Shared, request: Request) -> Result<Call, Refusal> {
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| Refusal::bad("the path is not valid UTF-8 once decoded"))?;
    let param =
        |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
    let (table, id) = (param("table").unwrap_or_default(), param("id"));
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0).clone();
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let mut request = Request::from_parts(parts, body);
    DefaultBodyLimit::max(shared.config.body_limit).apply(&mut request);
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::TooLarge
        } else {
            Refusal::bad("the body ended too early")
        }
    });
    Ok(Call { method, table, id, uri, headers, body })
}

/// `OPTIONS`: for web pages the preflight, for everyone the methods.
fn options(asked: &HeaderMap, cross_origin: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE, OPTIONS");
    headers.insert(header::ALLOW, methods.clone());
    if cross_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
    }
    response
}

/// The request's origin, if its page may read the answer.
fn allowed_origin(shared: &Shared, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let listed = shared
        .config
        .allowed_origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(text));
    (listed || is_of_this_computer(text)).then(|| origin.clone())
}

fn is_of_this_computer(origin: &str) -> bool {
    let Some(host) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| {
        host.strip_prefix(local).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

/// Scheme and authority under which the client knows this server; `None` when it did not say (HTTP/1.0).
pub(crate) fn public_base(shared: &Shared, call: &Call) -> Option<String> {
    if let Some(url) = &shared.config.public_url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let host = call.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.or_else(|| call.uri.authority().map(|authority| authority.as_str()))?;
    Some(format!("{}://{authority}", call.uri.scheme_str().unwrap_or("http")))
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json; charset=utf-8");
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header; text that cannot stand in one is left out and logged.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        Err(error) => tracing::warn!(%error, header = %name, "a response header was left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_this_computer;

    #[test]
    fn case_141_only_pages_of_this_computer_are_let_in_unasked() {
        for good in ["http://localhost", "https://localhost:3000", "http://127.0.0.1:80", "http://[::1]:8080"]
        {
            assert!(is_of_this_computer(good), "{good}");
        }
        for bad in [
            "http://localhost.example.com",
            "http://localhost:80.example.com",
            "http://127.0.0.10",
            "https://example.com",
            "null",
            "localhost",
        ] {
            assert!(!is_of_this_computer(bad), "{bad}");
        }
    }
}
