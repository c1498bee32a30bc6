//! The entities whose rows are damaged on their way.

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use sync_core::entity::{SyncEntity, TableSchema};
use sync_core::protocol::Dialect;
use sync_diesel::prelude::*;
use uuid::Uuid;

/// A column of every type.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(rename_all = "camelCase")]
pub struct Wide {
    /// Text that must be there.
    pub title: String,
    /// Text.
    pub note: Option<String>,
    /// Boolean.
    pub done: bool,
    /// The narrowest integer.
    pub small: Option<i8>,
    /// The widest unsigned integer.
    pub count: Option<u32>,
    /// The widest integer.
    pub n: Option<i64>,
    /// Narrow float.
    pub ratio: Option<f32>,
    /// Wide float.
    pub price: Option<f64>,
    /// Instant.
    pub due_at: Option<DateTime<Utc>>,
    /// Uuid.
    pub key: Option<Uuid>,
    /// What the server never sees.
    #[sync(local)]
    pub draft: Option<String>,
}

sync_schema!(pub WideSchema: Wide);

/// The table of [`Wide`].
pub const WIDE: &TableSchema = Wide::SCHEMA;

/// The dialect that the first line of an input names, and the rest; v2 if it names none.
pub fn dialect_of(input: &[u8]) -> (Dialect, &[u8]) {
    let (line, rest) = split_line(input);
    match line {
        b"v1" => (Dialect::MobileServices, rest),
        b"v3" => (Dialect::Datasync, rest),
        b"v2" => (Dialect::MobileApps, rest),
        _ => (Dialect::MobileApps, input),
    }
}

/// The first line without its end, and what follows.
pub fn split_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

/// The headers, a line each up to an empty one, and what follows; what cannot be a header is none.
pub fn split_headers(mut input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    loop {
        let (line, rest) = split_line(input);
        input = rest;
        if line.is_empty() {
            return (headers, rest);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
}

/// Texts as inputs.
pub fn inputs<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}
