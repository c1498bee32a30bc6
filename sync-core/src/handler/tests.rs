use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::*;
use crate::error::{Error, ErrorKind};

/// Answers every request with the next of its statuses; 0 is an answer that was lost, 1 a dead address.
struct Script {
    statuses: Mutex<Vec<u16>>,
    sent: AtomicUsize,
}

impl Script {
    fn new(statuses: &[u16]) -> Arc<Self> {
        let statuses = Mutex::new(statuses.iter().rev().copied().collect());
        Arc::new(Self { statuses, sent: AtomicUsize::new(0) })
    }
}

impl Transport for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async move {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let status = self.statuses.lock().expect("whole").pop().expect("a scripted answer");
            if status < 100 {
                return Err(SendError { may_have_sent: status == 0, ..SendError::unsent(failure()) });
            }
            let status = StatusCode::from_u16(status).expect("valid");
            Ok(Response { status, headers: request.headers, body: Bytes::new() })
        }
        .boxed()
    }
}

fn failure() -> Error {
    Error::new(ErrorKind::Network, "no answer")
}

fn request(method: Method) -> Request {
    let url = Url::parse("http://localhost/tables/T").expect("valid");
    Request { method, url, headers: HeaderMap::new(), body: None }
}

async fn send(
    statuses: &[u16],
    handlers: Vec<Arc<dyn Handler>>,
    method: Method,
) -> (Result<Response, SendError>, usize) {
    let script = Script::new(statuses);
    let chain = HandlerChain::new(handlers, script.clone());
    (chain.send(request(method)).await, script.sent.load(Ordering::Relaxed))
}

/// Adds its mark to the request and to the answer.
fn mark(name: &'static str) -> Arc<dyn Handler> {
    Arc::new(from_fn(move |mut request, next| {
        Box::pin(async move {
            request.headers.append("x-in", http::HeaderValue::from_static(name));
            let mut answer = next.run(request).await?;
            answer.headers.append("x-out", http::HeaderValue::from_static(name));
            Ok(answer)
        })
    }))
}

#[tokio::test]
async fn h_01_the_first_handler_sees_the_request_first_and_the_answer_last() {
    let (answer, _) = send(&[200], vec![mark("a"), mark("b"), mark("c")], Method::GET).await;
    let answer = answer.expect("answered");
    let marks = |name: &str| answer.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(marks("x-in"), ["a", "b", "c"]);
    assert_eq!(marks("x-out"), ["c", "b", "a"]);
}

#[tokio::test]
async fn h_01_a_handler_may_answer_itself() {
    let refuse =
        from_fn(|_, _| Box::pin(async { Ok(Response::refusal(StatusCode::FORBIDDEN, "not \"now\"")) }));
    let (answer, sent) = send(&[], vec![mark("a"), Arc::new(refuse), mark("b")], Method::POST).await;
    let answer = answer.expect("answered");
    assert_eq!((answer.status, sent), (StatusCode::FORBIDDEN, 0));
    assert_eq!(answer.body, "{\"error\":\"not \\\"now\\\"\"}");
    assert_eq!(answer.headers["x-out"], "a");
}

#[tokio::test]
async fn h_02_a_failure_is_believed_to_be_unsent_only_if_nothing_was_sent() {
    let before = || from_fn(|_, _| Box::pin(async { Err(SendError::unsent(failure())) }));
    let after = || {
        from_fn(|request, next| {
            Box::pin(async move {
                next.run(request).await?;
                Err(SendError::unsent(failure()))
            })
        })
    };
    let (outcome, sent) = send(&[], vec![mark("a"), Arc::new(before())], Method::POST).await;
    assert_eq!((outcome.expect_err("failed").may_have_sent, sent), (false, 0));
    for (status, may_have_sent) in
        [(200, true), (500, true), (0, true), (1, false), (401, false), (503, false)]
    {
        let (outcome, sent) = send(&[status], vec![mark("a"), Arc::new(after())], Method::POST).await;
        assert_eq!((outcome.expect_err("failed").may_have_sent, sent), (may_have_sent, 1), "{status}");
    }
}

#[tokio::test]
async fn h_02_a_request_given_up_in_the_middle_may_have_been_sent() {
    struct Never;
    impl Transport for Never {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            std::future::pending().boxed()
        }
    }
    let impatient = from_fn(|request, next| {
        Box::pin(async move {
            match next.run(request).now_or_never() {
                Some(outcome) => outcome,
                None => Err(SendError::unsent(failure())),
            }
        })
    });
    let chain = HandlerChain::new(vec![Arc::new(impatient)], Arc::new(Never));
    assert!(chain.send(request(Method::POST)).await.expect_err("given up").may_have_sent);
}

#[tokio::test]
async fn h_05_a_get_may_be_sent_again() {
    let again = from_fn(|request, next| {
        Box::pin(async move {
            match next.run(request.clone()).await {
                Err(_) if request.method == Method::GET => next.run(request).await,
                outcome => outcome,
            }
        })
    });
    let (answer, sent) = send(&[0, 200], vec![Arc::new(again)], Method::GET).await;
    assert_eq!((answer.expect("answered").status, sent), (StatusCode::OK, 2));
}

#[test]
fn credentials_and_bodies_are_not_in_debug_output() {
    let mut asked = request(Method::POST);
    for name in ["authorization", "x-zumo-auth", "x-zumo-application", "x-zumo-master", "cookie"] {
        asked.headers.insert(name, http::HeaderValue::from_static("secret"));
    }
    asked.body = Some(Bytes::from_static(b"{\"text\":\"secret\"}"));
    let answer =
        Response { status: StatusCode::OK, headers: asked.headers.clone(), body: Bytes::from("secret") };
    for text in [format!("{asked:?}"), format!("{answer:?}")] {
        assert!(!text.contains("secret") && text.contains("x-zumo-auth"), "{text}");
    }
}
