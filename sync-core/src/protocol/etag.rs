//! Versions in headers (protocol.md 5.3): one strong tag, inner quotes escaped; weak tags are not versions.

use http::HeaderValue;

use crate::error::{Error, ErrorKind, Result};

/// The value of `If-Match` for a version.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] for a version with characters that cannot stand in a header.
pub(crate) fn to_header(version: &str) -> Result<HeaderValue> {
    let mut text = String::with_capacity(version.len() + 2);
    text.push('"');
    for character in version.chars() {
        if character == '"' {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Error::new(ErrorKind::Corrupt, "the row's version cannot be sent in a header"));
    }
    HeaderValue::from_str(&text).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "the row's version cannot be sent in a header").with_source(source)
    })
}

/// The version in an `ETag`; `None` for a weak or malformed tag.
pub(crate) fn from_header(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_the_header() {
        for version in ["MQ==", "AAAAAAAAB9E=", "a\"b", ""] {
            assert_eq!(from_header(&to_header(version).expect("sendable")).as_deref(), Some(version));
        }
        assert_eq!(to_header("a\"b").expect("sendable"), "\"a\\\"b\"");
        assert!(to_header("a\r\nX: y").is_err());
        assert!(to_header("é").is_err());
        for tag in ["W/\"abc\"", "abc", "\"abc", ""] {
            assert_eq!(from_header(&HeaderValue::from_static(tag)), None, "{tag}");
        }
    }
}
