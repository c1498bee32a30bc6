//! What an answer is, before anyone asks what it means for an operation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, DATE, ETAG, RETRY_AFTER};

use super::{Dialect, etag};
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::page::decode_row;
use crate::row::Row;
use crate::time::is_storable;
use crate::transport::Response;

/// Longest text of a server's error that is kept.
const MESSAGE_LIMIT: usize = 300;

/// The body as a row about `id`; `None` for a body that is no JSON object or is about another row.
///
/// A body without an id is about the row that was asked for: the answers of v1 may leave it out. A version missing
/// in the body is taken from a strong ETag (protocol.md 5.3).
pub(crate) fn row_about(
    response: &Response,
    table: &'static TableSchema,
    dialect: Dialect,
    id: &str,
) -> Option<Row> {
    let mut row = decode_row(&response.body, table, dialect.names()).ok()?;
    if row.id.is_empty() {
        row.id = id.to_owned();
    }
    if row.id != id {
        return None;
    }
    if row.version.is_none() {
        row.version = strong_etag(response);
    }
    Some(row)
}

/// The server's row in the body of a 409 or 412; `None` for an error text, another row, or what may be an echo.
///
/// The row of such an answer always has its id and its version; objects that describe an error have neither. A 409
/// of the older dialects is the server's row only under a strong tag: the tag of an echo is weak (protocol.md 8.1).
pub(crate) fn conflicting_row(
    response: &Response,
    table: &'static TableSchema,
    dialect: Dialect,
    id: &str,
) -> Option<Row> {
    let shown = decode_row(&response.body, table, dialect.names()).ok().filter(|row| row.id == id)?;
    let tag = strong_etag(response);
    let is_trusted = match response.status.as_u16() {
        409 => shown.version.is_some() && (tag.is_some() || dialect == Dialect::Datasync),
        _ => true,
    };
    let version = shown.version.clone().or(tag);
    is_trusted.then_some(Row { version, ..shown }).filter(|row| row.version.is_some())
}

/// Whether the server refuses the version header, or misses it: it speaks another dialect (protocol.md 2.1).
pub(crate) fn refuses_version(response: &Response) -> bool {
    const READ: usize = 2000;
    if response.status.as_u16() != 400 {
        return false;
    }
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(READ)]).to_lowercase();
    text.contains("zumo-api-version") || text.contains("invalid api version")
}

/// The error for an answer that refuses the version header.
pub(crate) fn version_refused(response: &Response, dialect: Dialect) -> Error {
    let sent = match dialect.api_version() {
        Some(version) => format!("the protocol version {version}"),
        None => "requests without a protocol version".to_owned(),
    };
    Error::new(
        ErrorKind::WrongDialect,
        format!("the server does not take {sent} of {}; probe it for the dialect it speaks", dialect.label()),
    )
    .with_status(response.status.as_u16())
}

/// The version in a strong `ETag`.
pub(crate) fn strong_etag(response: &Response) -> Option<String> {
    response.headers.get(ETAG).and_then(etag::from_header)
}

/// Whether the body could come from a tables server: empty or JSON. A proxy's HTML page is neither.
pub(crate) fn is_plausible(response: &Response) -> bool {
    response.body.is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(&response.body).is_ok()
}

/// The server's own words about an error, shortened: `{"error": ..}`, `{"message": ..}`, the title and detail of a
/// problem, a JSON string, the texts of a JSON array of such (validation errors of v3), or short plain text.
pub(crate) fn error_text(response: &Response) -> String {
    let is_html = response
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("html"));
    let text = match serde_json::from_slice(&response.body) {
        Ok(json) => json_text(&json),
        Err(_) if is_html => None,
        Err(_) => std::str::from_utf8(&response.body)
            .ok()
            .filter(|text| !text.trim_start().starts_with(['<', '{', '[']))
            .map(str::to_owned),
    };
    let mut text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return response.status.canonical_reason().unwrap_or("no reason given").to_lowercase();
    }
    if let Some((cut, _)) = text.char_indices().nth(MESSAGE_LIMIT) {
        text.truncate(cut);
    }
    text
}

fn json_text(json: &serde_json::Value) -> Option<String> {
    let member = |name: &str| json.get(name)?.as_str();
    match json {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Object(_) => {
            if let Some(title) = member("title") {
                return Some(match member("detail") {
                    Some(detail) => format!("{title}: {detail}"),
                    None => title.to_owned(),
                });
            }
            ["error", "message", "errorMessage"].iter().find_map(|name| member(name)).map(str::to_owned)
        }
        serde_json::Value::Array(parts) => {
            let texts: Vec<String> =
                parts.iter().take(5).filter(|part| !part.is_array()).filter_map(json_text).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

/// How long the server asks to wait: `Retry-After` in seconds, or as a date against the answer's own `Date`.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
    (until - server_date(response)?).to_std().ok()
}

/// The server's clock when it answered, if it is a time that can be stored.
pub(crate) fn server_date(response: &Response) -> Option<DateTime<Utc>> {
    let text = response.headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
    is_storable(date).then_some(date)
}

/// The error for an answer that is no success, when nothing more specific is known.
pub(crate) fn error(response: &Response) -> Error {
    let status = response.status.as_u16();
    let kind = match status {
        401 => ErrorKind::Unauthorized,
        408 | 429 | 502 | 503 | 504 => ErrorKind::ServerBusy,
        300..=399 => ErrorKind::InvalidResponse,
        _ => ErrorKind::Refused,
    };
    Error::new(kind, format!("the server answered: {}", error_text(response))).with_status(status)
}

/// The error for an answer to a list request that is no success.
pub(crate) fn list_error(response: &Response, dialect: Dialect) -> Error {
    match response.status.as_u16() {
        404 => Error::new(ErrorKind::UnknownTable, "the server does not have this table").with_status(404),
        400 if refuses_version(response) => version_refused(response, dialect),
        400 => Error::new(
            ErrorKind::InvalidQuery,
            format!(
                "the server refuses the query, perhaps for a column its table does not have: {}",
                error_text(response)
            ),
        )
        .with_status(400),
        _ => error(response),
    }
}

/// Checks that a list request succeeded.
pub(crate) fn expect_list(response: &Response, dialect: Dialect) -> Result<()> {
    if response.status.is_success() { Ok(()) } else { Err(list_error(response, dialect)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    fn response(status: u16, headers: &[(http::HeaderName, &'static str)], body: &'static str) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name.clone(), HeaderValue::from_static(value));
        }
        Response {
            status: StatusCode::from_u16(status).expect("valid"),
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn n_07_error_texts_are_found_in_every_shape() {
        let text = |body| error_text(&response(400, &[], body));
        assert_eq!(text("{\"error\":\"no such column\"}"), "no such column");
        assert_eq!(text("{\"code\":400,\"message\":\"bad\"}"), "bad");
        assert_eq!(text("\"plain\""), "plain");
        assert_eq!(text("plain"), "plain");
        assert_eq!(text(""), "bad request");
        assert_eq!(text("<!DOCTYPE html><p>x"), "bad request");
        assert_eq!(text("{\"cut"), "bad request");
        assert_eq!(text("{\"type\":\"x\",\"title\":\"Gone\",\"status\":410}"), "Gone");
        assert_eq!(text("{\"title\":\"Bad\",\"detail\":\"no such property\"}"), "Bad: no such property");
        let validation =
            "[{\"memberNames\":[\"title\"],\"errorMessage\":\"too short\"},\"and more\",[\"x\"],7]";
        assert_eq!(text(validation), "too short; and more");
        assert_eq!(text("[[[[]]]]"), "bad request");
        let long = error_text(&Response { body: Bytes::from("é".repeat(1000)), ..response(500, &[], "") });
        assert_eq!(long.chars().count(), MESSAGE_LIMIT);
    }

    #[test]
    fn p_19_retry_after_is_read_as_seconds_or_date() {
        let after = |headers| retry_after(&response(503, headers, ""));
        assert_eq!(after(&[(RETRY_AFTER, "120")]), Some(Duration::from_secs(120)));
        assert_eq!(
            after(&[(RETRY_AFTER, "Wed, 21 Oct 2015 07:28:30 GMT"), (DATE, "Wed, 21 Oct 2015 07:28:00 GMT")]),
            Some(Duration::from_secs(30))
        );
        assert_eq!(after(&[(RETRY_AFTER, "soon")]), None);
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn t_05_a_date_that_cannot_be_stored_is_none() {
        let date = |text| server_date(&response(200, &[(DATE, text)], ""));
        assert_eq!(date("Tue, 02 Jan 2024 03:04:05 GMT"), crate::time::parse("2024-01-02T03:04:05Z"));
        for text in ["Mon, 01 Jan 12024 00:00:00 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "today"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_refused_version_and_a_refused_query_are_told_apart() {
        let kind = |body: &'static str| {
            let error = list_error(&response(400, &[(CONTENT_TYPE, "text/html")], body), Dialect::MobileApps);
            assert_eq!(error.status(), Some(400));
            error.kind()
        };
        for body in [
            "{\"error\":\"An invalid API version was specified\"}",
            "The ZUMO-API-VERSION header is not supported by this service.",
            "{\"title\":\"Missing ZUMO-API-VERSION\",\"status\":400}",
        ] {
            assert_eq!(kind(body), ErrorKind::WrongDialect, "{body}");
        }
        for body in ["{\"error\":\"unknown column\"}", "\"Could not find a property named 'x'\"", ""] {
            assert_eq!(kind(body), ErrorKind::InvalidQuery, "{body}");
        }
        let unsupported = response(500, &[], "{\"error\":\"zumo-api-version\"}");
        assert_eq!(list_error(&unsupported, Dialect::MobileApps).kind(), ErrorKind::Refused);
        assert_eq!(
            version_refused(&response(400, &[], ""), Dialect::MobileServices).to_string(),
            "the server does not take requests without a protocol version of Mobile Services (v1); probe it for \
             the dialect it speaks (status 400)"
        );
    }

    #[test]
    fn p_12_html_is_not_a_plausible_body() {
        assert!(is_plausible(&response(404, &[], "")));
        assert!(is_plausible(&response(404, &[], "{\"error\":\"x\"}")));
        assert!(!is_plausible(&response(404, &[], "<html>")));
        assert!(!is_plausible(&response(200, &[], "{\"id\":")));
    }
}
