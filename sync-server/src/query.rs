//! The query string: parameters decoded once, options of a list checked by one set of rules.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::Refusal;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Parameters<'a> {
    pairs: Vec<Pair<'a>>,
}

#[derive(Debug)]
struct Pair<'a> {
    raw: &'a str,
    name: String,
    value: String,
}

impl<'a> Parameters<'a> {
    /// Splits and decodes the text after `?`. A blank may be written `+`.
    ///
    /// # Errors
    ///
    /// Bytes that are not UTF-8 once decoded.
    pub(crate) fn parse(query: Option<&'a str>) -> Result<Self, Refusal> {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|raw| !raw.is_empty())
            .map(|raw| {
                let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
                Ok(Pair { raw, name: decode(name)?, value: decode(value)? })
            })
            .collect::<Result<_, Refusal>>()?;
        Ok(Self { pairs })
    }

    /// The value of a parameter in exactly this spelling.
    ///
    /// # Errors
    ///
    /// The parameter stands twice: which one is meant cannot be known.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.pairs.iter().filter(|pair| pair.name == name).map(|pair| pair.value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::Bad(format!("parameter '{name}' appears twice"))),
        }
    }

    /// The first value of a parameter in any case.
    pub(crate) fn get_ignoring_case(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.name.eq_ignore_ascii_case(name)).map(|pair| pair.value.as_str())
    }

    /// The names of all parameters as they were sent.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.name.as_str())
    }

    /// The query of the page that starts at `skip`: everything as it was sent, but for `$skip`, and for `$top`
    /// if `top` tells how many rows are left of it.
    ///
    /// Commas and semicolons are encoded: the text goes into a header where they separate links. So is whatever is no
    /// ASCII, which headers have no agreed form for.
    pub(crate) fn next_page(&self, skip: u64, top: Option<usize>) -> String {
        let kept = |pair: &&Pair<'_>| pair.name != "$skip" && (top.is_none() || pair.name != "$top");
        let mut query = String::new();
        for pair in self.pairs.iter().filter(kept) {
            query.extend(utf8_percent_encode(pair.raw, SEPARATORS));
            query.push('&');
        }
        if let Some(top) = top {
            query.push_str(&format!("$top={top}&"));
        }
        query.push_str(&format!("$skip={skip}"));
        query
    }
}

/// What has a meaning in a list of links.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b',').add(b';').add(b'<').add(b'>');

fn decode(text: &str) -> Result<String, Refusal> {
    let blanks: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode_str(&blanks)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Refusal::bad("the query string is not valid UTF-8"))
}

/// `$top`: `None` asks for the default, which an empty value does as well.
pub(crate) fn top(value: Option<&str>, max: usize) -> Result<Option<usize>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let top: usize =
        digits(value).ok_or_else(|| Refusal::bad(format!("$top must be a number from 0 to {max}")))?;
    if top > max {
        return Err(Refusal::bad(format!("$top must not be greater than {max}")));
    }
    Ok(Some(top))
}

/// `$skip`.
pub(crate) fn skip(value: Option<&str>) -> Result<u64, Refusal> {
    match value.filter(|value| !value.is_empty()) {
        None => Ok(0),
        Some(value) => digits(value).ok_or_else(|| Refusal::bad("$skip must be a number from 0")),
    }
}

/// Digits only: Rust's own parser also takes a `+`.
fn digits<T: std::str::FromStr>(value: &str) -> Option<T> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

/// The words of a comma list; empty text is an empty list.
///
/// # Errors
///
/// An empty word, as after a trailing comma.
pub(crate) fn list<'v>(value: &'v str, parameter: &str) -> Result<Vec<&'v str>, Refusal> {
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    value
        .split(',')
        .map(|word| match word.trim() {
            "" => Err(Refusal::Bad(format!("{parameter} has an empty entry"))),
            word => Ok(word),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_never_taken_twice() {
        let parameters =
            Parameters::parse(Some("%24filter=text%20eq%20'a%26b'&$top=3&x=a+b&&flag")).expect("valid");
        assert_eq!(parameters.get("$filter"), Ok(Some("text eq 'a&b'")));
        assert_eq!(parameters.get("$top"), Ok(Some("3")));
        assert_eq!(parameters.get("$Top"), Ok(None));
        assert_eq!(parameters.get("x"), Ok(Some("a b")));
        assert_eq!(parameters.get("flag"), Ok(Some("")));
        assert!(Parameters::parse(Some("$top=1&$top=2")).expect("valid").get("$top").is_err());
        assert!(Parameters::parse(Some("a=%ff")).is_err());
    }

    #[test]
    fn case_86_the_next_page_keeps_every_parameter_but_skip() {
        let parameters =
            Parameters::parse(Some("$skip=7&$orderby=n,id&%24skip=9&__includeDeleted=true")).expect("valid");
        assert_eq!(parameters.next_page(50, None), "$orderby=n%2Cid&__includeDeleted=true&$skip=50");
        assert_eq!(Parameters::parse(None).expect("valid").next_page(2, None), "$skip=2");
        let raw = Parameters::parse(Some("$filter=title eq 'ä'&a=%C3%A4")).expect("valid");
        assert_eq!(raw.next_page(2, None), "$filter=title eq '%C3%A4'&a=%C3%A4&$skip=2");
        let topped = Parameters::parse(Some("%24top=150&n=1")).expect("valid");
        assert_eq!(topped.next_page(100, Some(50)), "n=1&$top=50&$skip=100");
    }

    #[test]
    fn case_88_to_90_top() {
        assert_eq!(top(None, 1000), Ok(None));
        assert_eq!(top(Some(""), 1000), Ok(None));
        assert_eq!(top(Some("0"), 1000), Ok(Some(0)));
        assert_eq!(top(Some("1000"), 1000), Ok(Some(1000)));
        for bad in ["1001", "-1", "abc", "+1", "1.0", "99999999999999999999999"] {
            assert!(top(Some(bad), 1000).is_err(), "{bad}");
        }
        assert_eq!(skip(Some("12")), Ok(12));
        assert!(skip(Some("-1")).is_err());
    }

    #[test]
    fn lists_have_no_empty_words() {
        assert_eq!(list(" a , b", "$select"), Ok(vec!["a", "b"]));
        assert_eq!(list("", "$select"), Ok(vec![]));
        assert!(list("a,", "$select").is_err());
    }
}
