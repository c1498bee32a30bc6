//! HTTP/1.1 as bytes on a socket, one request per connection.
//!
//! The suite speaks to servers through this and not through an HTTP library: what a case sends is what it wrote
//! (no library re-encodes its address or adds a header), and the proxy can lose any part of it.

use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Everything but the unreserved characters of RFC 3986: for one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What our client leaves readable in the value of an option.
const QUERY: &AsciiSet =
    &SEGMENT.remove(b'$').remove(b'(').remove(b')').remove(b',').remove(b'\'').remove(b'/').remove(b':');

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The method, upper case.
    pub method: String,
    /// Path and query, encoded.
    pub target: String,
    /// Names and values in order; `Host`, `Connection` and `Content-Length` are added when it is sent.
    pub headers: Vec<(String, String)>,
    /// The body; `None` sends neither body nor `Content-Length`, except a length of 0 with POST.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.to_owned(), target: target.into(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a JSON body with its content type.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self.header("Content-Type", "application/json")
    }

    /// Sends the request to `authority` (`host:port`) on a connection of its own and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When no complete answer came.
    pub async fn send(&self, authority: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(authority).await?;
        stream.write_all(&self.to_bytes(authority)).await?;
        Answer::read(&mut BufReader::new(stream)).await
    }

    /// The value of a header; names are compared without case.
    pub fn value(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }

    /// Reads a request; `None` when the connection ended before its first byte.
    pub(crate) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let Some((start, headers)) = read_head(stream).await? else { return Ok(None) };
        let mut words = start.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(invalid("not a request line"));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let has_body = value_of(&headers, "content-length").is_some()
            || value_of(&headers, "transfer-encoding").is_some();
        let body = if has_body { Some(read_body(stream, &headers, false).await?) } else { None };
        Ok(Some(Self { method, target, headers: end_to_end(headers), body }))
    }

    fn to_bytes(&self, authority: &str) -> Vec<u8> {
        let Self { method, target, headers, body } = self;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
        let length = match body {
            Some(body) => Some(body.len()),
            None => (method == "POST").then_some(0),
        };
        push_headers(&mut head, headers, length);
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.as_deref().unwrap_or_default());
        bytes
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer of this status, content type and body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    /// The value of a header; names are compared without case.
    pub fn value(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub(crate) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Self> {
        let (start, headers) = read_head(stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = start.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| invalid("not a status line"))?;
        let body =
            if matches!(status, 204 | 304) { Vec::new() } else { read_body(stream, &headers, true).await? };
        Ok(Self { status, headers: end_to_end(headers), body })
    }

    /// The answer as bytes that end the connection. `announced` is the length in the head, which a cut answer
    /// does not keep.
    pub(crate) fn to_bytes(&self, announced: usize) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} -\r\nConnection: close\r\n", self.status);
        let length = (!matches!(self.status, 204 | 304)).then_some(announced);
        push_headers(&mut head, &self.headers, length);
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A query with its question mark; values are encoded as our client does it, names are sent as they are.
pub fn query(options: &[(&str, &str)]) -> String {
    let options: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
    if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) }
}

fn push_headers(head: &mut String, headers: &[(String, String)], length: Option<usize>) {
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
}

async fn read_head(
    stream: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<(String, Vec<(String, String)>)>> {
    let mut start = String::new();
    if stream.read_line(&mut start).await? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some((start.trim_end().to_owned(), headers)));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("not a header line"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

async fn read_body(
    stream: &mut (impl AsyncBufRead + Unpin),
    headers: &[(String, String)],
    until_end: bool,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if value_of(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("not a chunk size"))?;
            let start = body.len();
            body.resize(start + size, 0);
            stream.read_exact(&mut body[start..]).await?;
            // The end of the chunk, or, after the last one, of the (empty) trailer.
            stream.read_line(&mut String::new()).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match value_of(headers, "content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(|_| invalid("not a length"))?, 0);
            stream.read_exact(&mut body).await?;
        }
        None if until_end => {
            stream.read_to_end(&mut body).await?;
        }
        None => {}
    }
    Ok(body)
}

/// Without the headers that belong to one connection and are written anew for the next.
fn end_to_end(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    const OF_THE_CONNECTION: [&str; 5] =
        ["host", "connection", "keep-alive", "content-length", "transfer-encoding"];
    let kept = |name: &str| !OF_THE_CONNECTION.iter().any(|other| name.eq_ignore_ascii_case(other));
    headers.into_iter().filter(|(name, _)| kept(name)).collect()
}

fn value_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(bytes: &str) -> io::Result<Answer> {
        Answer::read(&mut bytes.as_bytes()).await
    }

    #[tokio::test]
    async fn bodies_end_where_the_head_says() {
        let sized = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").await.unwrap();
        assert_eq!((sized.status, sized.body.as_slice()), (200, b"ab".as_slice()));
        let chunked =
            "HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
        let chunked = answer(chunked).await.unwrap();
        assert_eq!((chunked.body.as_slice(), chunked.value("a")), (b"abcd".as_slice(), Some("b")));
        let to_the_end = answer("HTTP/1.0 200 OK\r\n\r\nabc").await.unwrap();
        assert_eq!(to_the_end.body, b"abc");
        assert!(answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.is_err());
        assert!(answer("").await.is_err());
    }

    #[test]
    fn ids_and_filters_are_encoded() {
        assert_eq!(segment("a b/'ü%"), "a%20b%2F%27%C3%BC%25");
        assert_eq!(
            query(&[("$filter", "text eq 'a b'"), ("$top", "1")]),
            "?$filter=text%20eq%20'a%20b'&$top=1"
        );
        assert_eq!(query(&[("$filter", "t ge d'1+1'")]), "?$filter=t%20ge%20d'1%2B1'");
    }
}
