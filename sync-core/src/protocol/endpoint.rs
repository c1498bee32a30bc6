//! Addresses of tables and rows, with everything percent-encoded that has a meaning in an address.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// Everything but the unreserved characters of RFC 3986 (protocol.md 3: ids are encoded this way).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// In a query value `$ ( ) , ' / : ; @ *` stay raw: one real server reads property names from the raw text
/// (protocol.md 10.1).
const QUERY_VALUE: &AsciiSet = &SEGMENT
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b'\'')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'@')
    .remove(b'*');

/// The address of a service; tables are below `tables/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
}

impl Endpoint {
    /// Reads the address of a service, for example `https://api.example.com` or `http://localhost:8080/sync`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the text is no `http` or `https` address, or holds a query, a
    /// fragment, a user name or a password.
    ///
    /// ```
    /// use sync_core::protocol::Endpoint;
    /// assert!(Endpoint::parse("https://api.example.com/").is_ok());
    /// assert!(Endpoint::parse("ftp://api.example.com/").is_err());
    /// ```
    pub fn parse(address: &str) -> Result<Self> {
        let invalid =
            |why: &str| Error::new(ErrorKind::InvalidArgument, format!("the server's address {why}"));
        let url = Url::parse(address).map_err(|source| invalid("cannot be read").with_source(source))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("is not an http or https address"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("has a query or fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("holds credentials; use a credential provider"));
        }
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// The address as text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Address of a table with query parameters.
    pub(crate) fn table(&self, table: &str, parameters: &[(&str, String)]) -> Result<Url> {
        self.url(format!("{}/tables/{}", self.base, utf8_percent_encode(table, SEGMENT)), parameters)
    }

    /// Address of a row with query parameters. The id must not be empty: a request to the table would mean
    /// something else (protocol.md Q-12).
    pub(crate) fn row(&self, table: &str, id: &str, parameters: &[(&str, String)]) -> Result<Url> {
        if id.is_empty() || id == "." || id == ".." {
            return Err(Error::new(ErrorKind::InvalidId, "an id that cannot stand in an address")
                .with_table(table)
                .with_item(id));
        }
        let path = format!(
            "{}/tables/{}/{}",
            self.base,
            utf8_percent_encode(table, SEGMENT),
            utf8_percent_encode(id, SEGMENT)
        );
        self.url(path, parameters)
    }

    fn url(&self, mut text: String, parameters: &[(&str, String)]) -> Result<Url> {
        for (index, (name, value)) in parameters.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.extend(utf8_percent_encode(name, QUERY_VALUE));
            text.push('=');
            text.extend(utf8_percent_encode(value, QUERY_VALUE));
        }
        Url::parse(&text).map_err(|source| {
            Error::new(ErrorKind::InvalidArgument, "the request's address cannot be built")
                .with_source(source)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_06_ids_are_one_encoded_segment() {
        let endpoint = Endpoint::parse("http://localhost:80/app/").expect("valid");
        let address = |id: &str| endpoint.row("TodoItem", id, &[]).map(|url| url.path().to_owned());
        assert_eq!(address("a b").expect("valid"), "/app/tables/TodoItem/a%20b");
        assert_eq!(address("it's 50%").expect("valid"), "/app/tables/TodoItem/it%27s%2050%25");
        assert_eq!(address("é/?#&").expect("valid"), "/app/tables/TodoItem/%C3%A9%2F%3F%23%26");
        assert_eq!(address("%2e%2e").expect("valid"), "/app/tables/TodoItem/%252e%252e");
        assert_eq!(address("").expect_err("refused").kind(), ErrorKind::InvalidId);
        assert_eq!(address("..").expect_err("refused").kind(), ErrorKind::InvalidId);
    }

    #[test]
    fn query_values_cannot_leave_their_parameter() {
        let endpoint = Endpoint::parse("http://localhost").expect("valid");
        let filter = "text eq 'a&$top=1#+%27\u{1}é'".to_owned();
        let url = endpoint.table("T", &[("$filter", filter.clone()), ("$top", "5".into())]).expect("valid");
        assert!(url.as_str().contains("$filter=text%20eq%20"));
        let pairs: Vec<_> = url.query_pairs().collect();
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].1, filter);
        assert_eq!(url.fragment(), None);
    }

    #[test]
    fn addresses_with_credentials_or_query_are_refused() {
        for address in
            ["", "localhost", "http://user:secret@host/", "http://host/?a=b", "http://host/#f", "file:///x"]
        {
            let error = Endpoint::parse(address).expect_err(address);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
