use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::handler::HandlerChain;
use crate::transport::Transport;

struct Answers(Mutex<Option<Result<Response, SendError>>>);

impl Transport for Answers {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let answer = self.0.lock().expect("whole").take().expect("one request");
        std::future::ready(answer).boxed()
    }
}

fn request(address: &str, headers: &[(&'static str, &'static str)], body: &'static str) -> Request {
    let url = Url::parse(address).expect("valid");
    Request { method: Method::POST, url, headers: map(headers), body: Some(Bytes::from(body)) }
}

fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> Result<Response, SendError> {
    Ok(Response { status: StatusCode::OK, headers: map(headers), body: Bytes::from(body) })
}

fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    headers.iter().map(pair).collect()
}

/// What is logged of one exchange that takes 7 ms.
async fn log(
    settings: impl FnOnce(LoggingHandler) -> LoggingHandler,
    request: Request,
    answer: Result<Response, SendError>,
) -> LoggedExchange {
    let logged = Arc::new(Mutex::new(None));
    let (sink, ticks, start) = (Arc::clone(&logged), AtomicU64::new(0), Instant::now());
    let handler = settings(LoggingHandler::new())
        .sink(move |exchange| *sink.lock().expect("whole") = Some(exchange.clone()))
        .clock(move || start + Duration::from_millis(ticks.fetch_add(7, Ordering::Relaxed)));
    let transport = Arc::new(Answers(Mutex::new(Some(answer))));
    let _ = HandlerChain::new(vec![Arc::new(handler)], transport).send(request).await;
    logged.lock().expect("whole").take().expect("logged")
}

#[tokio::test]
async fn h_03_by_default_no_value_and_no_body_is_logged() {
    let asked = request("http://h:81/tables/T/id%201?$filter=text%20eq%20'x'&$top=5", &[], "{\"a\":1}");
    let exchange = log(|handler| handler, asked, answer(&[("etag", "\"1\"")], "[]")).await;
    assert_eq!(
        exchange.to_string(),
        "POST http://h:81/tables/T/id%201?$filter&$top -> 200 in 7 ms, 7 bytes sent, 2 received"
    );
    assert_eq!((exchange.request_body, exchange.response_body), (None, None));
    assert!(exchange.request_headers.is_empty() && exchange.response_headers.is_empty());
}

#[tokio::test]
async fn h_03_what_is_asked_for_is_logged_and_cut() {
    let asked = request("http://h/t?$filter=a%20b", &[("accept", "application/json")], "éé\nlast");
    let exchange =
        log(|handler| handler.query_values().headers().bodies(3), asked, answer(&[("etag", "\"1\"")], "[]"))
            .await;
    assert_eq!(exchange.address, "http://h/t?$filter=a b");
    assert_eq!(exchange.request_headers, [("accept".to_owned(), "application/json".to_owned())]);
    assert_eq!(exchange.request_body.as_deref(), Some("é… (9 bytes)"));
    assert_eq!(exchange.response_body.as_deref(), Some("[]"));
}

#[tokio::test]
async fn h_03_credentials_are_masked_wherever_they_stand() {
    let secret = [
        ("authorization", "Bearer token-5309"),
        ("x-zumo-auth", "auth-5309"),
        ("x-zumo-application", "application-5309"),
        ("x-zumo-master", "master-5309"),
        ("cookie", "a=cookie-5309; b=other-5309"),
        ("proxy-authorization", "Basic proxy-5309"),
        ("x-functions-key", "function-5309"),
        ("location", "http://h/?sig=location-5309"),
    ];
    let mut asked = request(
        "http://h/t/auth-5309?code=code-5309&access_token=token-5309&$filter=other-5309",
        &secret,
        "token-5309 auth-5309",
    );
    let mut marked = HeaderValue::from_static("marked-5309");
    marked.set_sensitive(true);
    asked.headers.insert("x-odd", marked);
    let all = |handler: LoggingHandler| handler.query_values().headers().bodies(1000);
    let answered = answer(&[("set-cookie", "c=new-5309; Path=/")], "master-5309, cookie-5309 and new-5309");
    let exchange = log(all, asked.clone(), answered).await;
    let failed = Error::new(ErrorKind::Network, "no answer for application-5309");
    let without = log(all, asked, Err(SendError::unsent(failed))).await;
    for text in [format!("{exchange} {exchange:?}"), format!("{without} {without:?}")] {
        assert!(!text.contains("5309"), "{text}");
    }
    assert_eq!(exchange.request_body.as_deref(), Some("*** ***"));
    assert_eq!(without.failure.as_deref(), Some("no answer for ***"));
    assert!(without.to_string().contains("no answer"));
}

#[tokio::test]
async fn h_03_an_answer_writes_no_line_of_its_own() {
    let body = "a\r\nPOST http://forged -> 200\u{1b}[2J";
    let exchange =
        log(|handler| handler.bodies(1000), request("http://h/", &[], ""), answer(&[], body)).await;
    assert!(!exchange.to_string().contains(char::is_control), "{exchange}");
}
