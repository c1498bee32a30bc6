//! Entity tags and HTTP dates of conditional requests.

use chrono::{DateTime, NaiveDateTime, Utc};
use http::{HeaderMap, HeaderName};

/// What an `If-Match` or `If-None-Match` header says.
#[derive(Debug, PartialEq)]
pub(super) enum Tags {
    /// `*`
    Any,
    List(Vec<Tag>),
}

#[derive(Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) weak: bool,
    pub(super) version: String,
}

/// All lines of a header as one text, as HTTP allows to join them; `None` when there is none.
pub(super) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(", ").trim().to_owned())
}

/// Reads `*` or a comma list of quoted tags; `None` for anything else, such as a version without quotes.
pub(super) fn tags(text: &str) -> Option<Tags> {
    if text == "*" {
        return Some(Tags::Any);
    }
    let mut list = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let weak = rest.starts_with("W/");
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let end = closing_quote(quoted)?;
        list.push(Tag { weak, version: quoted[..end].replace("\\\"", "\"") });
        rest = quoted[end + 1..].trim_start();
        if rest.is_empty() {
            return Some(Tags::List(list));
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// Where the quote is that ends a tag: the first that is not written `\"`, as versions escape theirs.
fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&index| bytes[index] == b'"' && (index == 0 || bytes[index - 1] != b'\\'))
}

/// The tag of a version.
pub(super) fn tag_of(version: &str) -> String {
    format!("\"{}\"", version.replace('"', "\\\""))
}

const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// An instant as HTTP writes it, in whole seconds downwards.
pub(super) fn http_date(instant: DateTime<Utc>) -> String {
    instant.format(HTTP_DATE).to_string()
}

/// The second of a date header, since 1970; `None` when the header is absent or no date, and then it counts as
/// absent.
pub(super) fn date(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(NaiveDateTime::parse_from_str(text.trim(), HTTP_DATE).ok()?.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_every_form() {
        let tag = |weak, version: &str| Tag { weak, version: version.to_owned() };
        assert_eq!(tags("*"), Some(Tags::Any));
        assert_eq!(tags("\"a\""), Some(Tags::List(vec![tag(false, "a")])));
        assert_eq!(tags("\"\""), Some(Tags::List(vec![tag(false, "")])));
        assert_eq!(
            tags("W/\"a\" , \"b,c\",\"q\\\"\""),
            Some(Tags::List(vec![tag(true, "a"), tag(false, "b,c"), tag(false, "q\"")]))
        );
        for bad in ["", "a", "\"a", "\"a\" \"b\"", "\"a\",", "w/\"a\"", "*, \"a\""] {
            assert_eq!(tags(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let mut headers = HeaderMap::new();
        headers
            .insert(http::header::IF_MODIFIED_SINCE, "Tue, 02 Jan 2024 03:04:06 GMT".parse().expect("text"));
        let second = date(&headers, http::header::IF_MODIFIED_SINCE).expect("a date");
        let instant = DateTime::from_timestamp(second, 999_000_000).expect("an instant");
        assert_eq!(http_date(instant), "Tue, 02 Jan 2024 03:04:06 GMT");
        headers.insert(http::header::IF_MODIFIED_SINCE, "yesterday".parse().expect("text"));
        assert_eq!(date(&headers, http::header::IF_MODIFIED_SINCE), None);
    }
}
