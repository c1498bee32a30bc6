//! Handlers and credentials over real sockets: what reaches the server, and what becomes of the queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use sync_core::Error;
use sync_core::client::{
    CredentialHeader, CredentialProvider, HttpClient, HttpOptions, LoggingHandler, ProviderError, Token,
};
use sync_core::handler::{Handler, from_fn};
use sync_core::transport::{Request, Response, SendError, Transport};
use sync_diesel::Builder;
use sync_diesel::prelude::*;
use sync_tests::http::Answer;
use sync_tests::model::{self, Schema, Todo};
use sync_tests::proxy::{Fault, FaultProxy};
use tokio::sync::{Barrier, Semaphore};

use crate::offline::World;

/// Longer than any of these tests takes; a test that waits for a second refresh ends here.
const LIMIT: Duration = Duration::from_secs(60);

async fn device(
    world: &World,
    settings: impl FnOnce(Builder<Schema>) -> Builder<Schema>,
) -> SyncContext<Schema> {
    let path = world.folder.path().join("a.db");
    settings(model::device(world.proxy.url(), &path)).open().await.expect("the device opens")
}

async fn insert(device: &SyncContext<Schema>, count: usize) {
    for number in 0..count {
        device.table::<Todo>().insert(Todo::new(format!("row {number}"))).await.expect("inserted");
    }
}

fn unauthorized() -> Answer {
    Answer::new(401, "application/json", r#"{"error":"who are you"}"#)
}

/// What each request that arrived carried under this name.
fn sent(proxy: &FaultProxy, name: &str) -> Vec<Option<String>> {
    proxy.seen().iter().map(|seen| seen.request.value(name).map(str::to_owned)).collect()
}

/// Gives `first` as its token and `renewed` after a refresh.
struct Provider {
    first: Option<&'static str>,
    renewed: Mutex<Result<&'static str, &'static str>>,
    tokens: AtomicUsize,
    refreshes: AtomicUsize,
    /// A refresh waits for so many refused requests.
    wait_for: u32,
    refused: Arc<Semaphore>,
}

impl Provider {
    fn new(first: Option<&'static str>, renewed: Result<&'static str, &'static str>) -> Arc<Self> {
        Self::waiting(first, renewed, 0)
    }

    fn waiting(
        first: Option<&'static str>,
        renewed: Result<&'static str, &'static str>,
        wait_for: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            first,
            renewed: Mutex::new(renewed),
            tokens: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            wait_for,
            refused: Arc::new(Semaphore::new(0)),
        })
    }

    fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }

    /// The server behind the proxy takes no request but with this token.
    fn guard(&self, proxy: &FaultProxy, header: &'static str, good: &'static str) {
        let refused = Arc::clone(&self.refused);
        proxy.inject(usize::MAX, Fault::Answer(unauthorized()), move |request| {
            let is_refused = request.value(header) != Some(good);
            if is_refused {
                refused.add_permits(1);
            }
            is_refused
        });
    }
}

type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

impl CredentialProvider for Provider {
    fn token(&self) -> Answering<'_, Option<Token>> {
        Box::pin(async move {
            self.tokens.fetch_add(1, Ordering::SeqCst);
            Ok(self.first.map(Token::new).transpose()?)
        })
    }

    fn refresh<'a>(&'a self, refused: Option<&'a Token>) -> Answering<'a, Token> {
        Box::pin(async move {
            assert_eq!(refused.map(Token::secret), self.first);
            self.refreshes.fetch_add(1, Ordering::SeqCst);
            self.refused.acquire_many(self.wait_for).await?.forget();
            let renewed = *self.renewed.lock().expect("whole");
            Ok(Token::new(renewed?)?)
        })
    }
}

/// Holds the first requests back until so many are on their way, so that all of them carry the first token.
struct Together {
    client: HttpClient,
    held_back: AtomicUsize,
    barrier: Barrier,
}

impl Together {
    fn new(requests: usize) -> Arc<Self> {
        let client = HttpClient::new(&HttpOptions::default()).expect("a client");
        Arc::new(Self { client, held_back: AtomicUsize::new(requests), barrier: Barrier::new(requests) })
    }
}

impl Transport for Together {
    fn send(
        &self,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send + '_>> {
        Box::pin(async move {
            let left =
                self.held_back.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                self.barrier.wait().await;
            }
            self.client.send(request).await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h_01_handlers_stand_around_every_request_in_their_order() {
    let world = World::new().await;
    let mark = |name: &'static str| {
        from_fn(move |mut request, next| {
            Box::pin(async move {
                request.headers.append("x-passed", HeaderValue::from_static(name));
                next.run(request).await
            })
        })
    };
    let device = device(&world, |builder| builder.handler(mark("first")).handler(mark("second"))).await;
    insert(&device, 1).await;
    device.push().await.expect("pushed");
    device.pull("q", Todo::all()).await.expect("pulled");
    device.remote::<Todo>().query(Todo::all()).load().await.expect("loaded");

    let seen = world.proxy.seen();
    assert!(seen.len() >= 3, "a write, a pull and a direct call");
    for seen in seen {
        let passed: Vec<_> = seen
            .request
            .headers
            .iter()
            .filter(|(name, _)| name == "x-passed")
            .map(|(_, value)| value)
            .collect();
        assert_eq!(passed, ["first", "second"], "{}", seen.request.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h_01_a_handler_that_answers_itself_refuses_one_operation() {
    let world = World::new().await;
    let refuse = from_fn(|request, next| {
        Box::pin(async move {
            let refused =
                request.body.as_ref().is_some_and(|body| body.windows(5).any(|part| part == b"row 1"));
            if refused {
                return Ok(Response::refusal(StatusCode::FORBIDDEN, "not this one"));
            }
            next.run(request).await
        })
    });
    let device = device(&world, |builder| builder.handler(refuse)).await;
    insert(&device, 3).await;
    let error = device.push().await.expect_err("one was refused");
    let report = error.push_report().expect("a report");
    assert_eq!((error.kind(), report.completed, report.remaining), (ErrorKind::PushFailed, 2, 1));
    assert_eq!((report.errors[0].status, report.errors[0].message.as_str()), (Some(403), "not this one"));
    assert_eq!(world.proxy.seen().len(), 2, "the server never saw the third");
}

#[tokio::test(flavor = "multi_thread")]
async fn h_02_a_handler_that_fails_is_a_lost_network() {
    let world = World::new().await;
    let fails_after = Arc::new(AtomicBool::new(false));
    let after = Arc::clone(&fails_after);
    let fail = from_fn(move |request, next| {
        let after = after.load(Ordering::SeqCst);
        Box::pin(async move {
            if after {
                next.run(request).await?;
            }
            // Also what it says after the request was sent.
            Err(SendError::unsent(Error::new(ErrorKind::Network, "the handler failed")))
        })
    });
    let failing: Arc<dyn Handler> = Arc::new(fail);
    let device = device(&world, |builder| builder.handler(failing)).await;
    insert(&device, 1).await;
    let error = device.push().await.expect_err("failed before the request");
    assert!(error.is_offline(), "{error}");
    let operations = device.pending_operations().await.expect("operations");
    assert_eq!((operations[0].state, world.proxy.seen().len()), (OperationState::Pending, 0));

    fails_after.store(true, Ordering::SeqCst);
    device.push().await.expect_err("failed after the request");
    let operations = device.pending_operations().await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Attempted, "what was sent is not believed to be unsent");
    assert_eq!(world.on_server().await.len(), 1);
    drop(device);

    let device = model::open(world.proxy.url(), &world.folder.path().join("a.db")).await;
    device.push().await.expect("settled without the handler");
    assert_eq!((world.on_server().await.len(), device.pending().await.expect("counted")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_01_the_token_is_sent_in_the_dialects_header_and_kept() {
    for (header, name, value) in [
        (None, "x-zumo-auth", "good-token"),
        (Some(CredentialHeader::Bearer), "authorization", "Bearer good-token"),
    ] {
        let world = World::new().await;
        let provider = Provider::new(Some("good-token"), Err("not asked"));
        let asked = provider.clone();
        let device = device(&world, |builder| match header {
            Some(header) => builder.credentials_in(header, asked),
            None => builder.credentials(asked),
        })
        .await;
        insert(&device, 2).await;
        device.push().await.expect("pushed");
        device.pull("q", Todo::all()).await.expect("pulled");
        let sent = sent(&world.proxy, name);
        assert!(sent.len() >= 3 && sent.iter().all(|sent| sent.as_deref() == Some(value)), "{sent:?}");
        assert_eq!((provider.tokens.load(Ordering::SeqCst), provider.refreshes()), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h_01_a_probe_before_the_context_is_open_goes_through_handlers_and_credentials() {
    let world = World::new().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let builder = model::device(world.proxy.url(), &world.folder.path().join("a.db"))
        .credentials(Provider::new(Some("first"), Ok("renewed")))
        .handler(from_fn(move |request, next| {
            counter.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
    builder.probe::<Todo>().await.expect("a known server");
    let tokens = sent(&world.proxy, "x-zumo-auth");
    assert!(!tokens.is_empty() && tokens.iter().all(|token| token.as_deref() == Some("first")), "{tokens:?}");
    assert_eq!(seen.load(Ordering::SeqCst), tokens.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_06_without_a_provider_or_a_token_no_header_is_sent() {
    for provider in [None, Some(Provider::new(None, Err("not asked")))] {
        let world = World::new().await;
        let device = device(&world, |builder| match provider.clone() {
            Some(provider) => builder.credentials(provider),
            None => builder,
        })
        .await;
        insert(&device, 1).await;
        device.push().await.expect("pushed");
        for name in ["x-zumo-auth", "authorization"] {
            assert_eq!(sent(&world.proxy, name), [None]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_02_p_18_eight_refused_requests_share_one_refresh_and_are_repeated_once() {
    let world = World::new().await;
    let provider = Provider::waiting(Some("old-token"), Ok("new-token"), 8);
    provider.guard(&world.proxy, "x-zumo-auth", "new-token");
    let device =
        device(&world, |builder| builder.credentials(provider.clone()).transport(Together::new(8))).await;
    insert(&device, 8).await;
    let push = async { device.push().window(8).await };
    let report = tokio::time::timeout(LIMIT, push).await.expect("one refresh").expect("pushed");
    assert_eq!((report.completed, report.remaining, provider.refreshes()), (8, 0, 1));
    assert_eq!(world.proxy.seen().len(), 16, "each was sent twice");
    assert_eq!(world.on_server().await.len(), 8);

    world.proxy.take_seen();
    device.pull("q", Todo::all()).await.expect("the new token is kept");
    assert!(sent(&world.proxy, "x-zumo-auth").iter().all(|sent| sent.as_deref() == Some("new-token")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_02_direct_calls_and_pulls_share_a_refresh_as_well() {
    let world = World::new().await;
    // The fourth is refused as well, or waits for the new token.
    let provider = Provider::waiting(None, Ok("new-token"), 3);
    provider.guard(&world.proxy, "authorization", "Bearer new-token");
    let device = device(&world, |builder| {
        builder.credentials_in(CredentialHeader::Bearer, provider.clone()).transport(Together::new(3))
    })
    .await;
    let table = device.remote::<Todo>();
    let calls = async {
        tokio::join!(
            table.query(Todo::all()).load(),
            table.get("nothing"),
            table.insert(Todo::new("direct")),
            device.pull("q", Todo::all()),
        )
    };
    let (rows, row, inserted, pulled) = tokio::time::timeout(LIMIT, calls).await.expect("one refresh");
    assert!(rows.is_ok() && row.is_ok() && inserted.is_ok() && pulled.is_ok());
    assert_eq!(provider.refreshes(), 1);
    assert_eq!(world.on_server().await.len(), 1, "the write was done once");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_18_l_36_a_second_401_is_the_answer_and_the_queue_stays() {
    let world = World::new().await;
    let provider = Provider::new(Some("old-token"), Ok("also-refused"));
    provider.guard(&world.proxy, "x-zumo-auth", "another");
    let device = device(&world, |builder| builder.credentials(provider.clone())).await;
    insert(&device, 3).await;
    let before = device.pending_operations().await.expect("operations");

    let error = device.push().window(1).await.expect_err("refused twice");
    let report = error.push_report().expect("a report");
    assert!(error.is_unauthorized(), "{error}");
    assert_eq!((report.status, report.completed), (PushStatus::Authentication, 0));
    assert_eq!((world.proxy.seen().len(), provider.refreshes()), (2, 1), "one operation, sent twice");
    let after = device.pending_operations().await.expect("operations");
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&after.key, after.kind, after.state),
            (&before.key, before.kind, OperationState::Pending)
        );
    }
    assert!(device.errors().await.expect("errors").is_empty());

    let pull = device.remote::<Todo>().query(Todo::all()).load().await.expect_err("refused");
    assert_eq!((pull.kind(), pull.status()), (ErrorKind::Unauthorized, Some(401)));
}

#[tokio::test(flavor = "multi_thread")]
async fn l_36_a_second_401_in_the_middle_of_a_pull_ends_it_and_the_next_goes_on() {
    let world = World::new().await;
    for number in 0..6 {
        let row = serde_json::json!({ "id": format!("{number}"), "text": "x", "complete": false });
        world.server.as_ref().seed(&row).await;
    }
    let provider = Provider::new(Some("old-token"), Ok("also-refused"));
    // The second page, and the same after the refresh.
    let pages = AtomicUsize::new(0);
    world.proxy.inject(2, Fault::Answer(unauthorized()), move |request| {
        request.method == "GET" && pages.fetch_add(1, Ordering::SeqCst) > 0
    });
    // Without an overlap, so that a pull begins at its token.
    let settings = |builder: Builder<Schema>| {
        builder.credentials(provider.clone()).profile(ServerProfile::sync_server())
    };
    let device = device(&world, settings).await;
    let error = device.pull("q", Todo::all()).page_size(2).await.expect_err("refused twice");
    assert!(error.is_unauthorized() && error.status() == Some(401), "{error}");
    assert_eq!((error.kind(), error.query_id()), (ErrorKind::Unauthorized, Some("q")));
    let tokens = sent(&world.proxy, "x-zumo-auth");
    assert_eq!(tokens, ["old-token", "old-token", "also-refused"].map(|token| Some(token.to_owned())));
    assert_eq!(provider.refreshes(), 1);
    let asked = world.proxy.take_seen();
    assert_eq!(asked[1].request.target, asked[2].request.target, "the same page");
    assert_eq!(device.table::<Todo>().all().count().await.expect("counted"), 2, "L-34");

    // The token is where the first page left it: nothing is read twice, and nothing is missing.
    let report = device.pull("q", Todo::all()).page_size(2).await.expect("signed in");
    assert_eq!(report.rows.added, 4);
    let from = |target: &str| target.split("updatedAt").nth(1).map(str::to_owned);
    let again = world.proxy.take_seen();
    assert_eq!(from(&again[0].request.target), from(&asked[1].request.target));
    assert_eq!(device.table::<Todo>().all().count().await.expect("counted"), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_03_a_refresh_that_fails_leaves_the_queue_and_the_next_push_goes_on() {
    for (window, sent) in [(1, 1), (8, 3)] {
        let world = World::new().await;
        let provider = Provider::waiting(Some("old-token"), Err("the user must sign in"), sent);
        provider.guard(&world.proxy, "x-zumo-auth", "new-token");
        let together = Together::new(sent as usize);
        let device =
            device(&world, |builder| builder.credentials(provider.clone()).transport(together)).await;
        insert(&device, 3).await;
        let push = async { device.push().window(window).await };
        let error = tokio::time::timeout(LIMIT, push).await.expect("one refresh").expect_err("refused");
        assert!(error.is_unauthorized() && error.status() == Some(401), "{error}");
        let mut sources = Vec::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            sources.push(error.to_string());
            cause = error.source();
        }
        assert!(sources.iter().any(|text| text == "the user must sign in"), "{sources:?}");
        assert!(!format!("{error:?}").contains("old-token"));
        assert_eq!(provider.refreshes(), 1, "window {window}");
        let operations = device.pending_operations().await.expect("operations");
        assert_eq!(operations.len(), 3);
        assert!(operations.iter().all(|operation| operation.state == OperationState::Pending));

        *provider.renewed.lock().expect("whole") = Ok("new-token");
        provider.refused.add_permits(8);
        assert_eq!(device.push().await.expect("signed in").completed, 3);
        assert_eq!(world.on_server().await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_do_not_leave_for_another_origin() {
    let world = World::new().await;
    let elsewhere = FaultProxy::start(world.server.as_ref().authority()).await;
    let port = elsewhere.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let divert = from_fn(move |mut request, next| {
        Box::pin(async move {
            request.url.set_port(Some(port)).expect("the address has a host");
            next.run(request).await
        })
    });
    elsewhere.inject(1, Fault::Answer(unauthorized()), |request| request.method == "GET");
    let provider = Provider::new(Some("good-token"), Ok("new-token"));
    let device = device(&world, |builder| builder.handler(divert).credentials(provider.clone())).await;
    insert(&device, 1).await;
    device.push().await.expect("pushed elsewhere");
    device.remote::<Todo>().get("x").await.expect_err("a foreign 401 asks for no new token");
    assert!(world.proxy.seen().is_empty());
    for name in ["x-zumo-auth", "authorization"] {
        assert_eq!(sent(&elsewhere, name), [None, None]);
    }
    assert_eq!(provider.refreshes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h_03_the_log_has_every_request_and_no_credential() {
    let world = World::new().await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let logging = LoggingHandler::new()
        .query_values()
        .headers()
        .bodies(10_000)
        .sink(move |exchange| sink.lock().expect("whole").push(format!("{exchange} {exchange:?}")));
    let keys = from_fn(|mut request, next| {
        Box::pin(async move {
            for (name, value) in [
                ("x-zumo-application", "app-key-5309"),
                ("x-zumo-master", "master-key-5309"),
                ("x-zumo-auth", "user-key-5309"),
                ("authorization", "Bearer bearer-5309"),
                ("cookie", "session=cookie-5309"),
            ] {
                request.headers.insert(name, HeaderValue::from_static(value));
            }
            request.url.query_pairs_mut().append_pair("api_key", "query-key-5309");
            next.run(request).await
        })
    });
    let mut echo = Answer::new(400, "application/json", r#"{"error":"no: user-key-5309, bearer-5309"}"#);
    echo.headers.push(("Set-Cookie".to_owned(), "session=new-5309; HttpOnly".to_owned()));
    world.proxy.inject(1, Fault::Answer(echo), |request| request.method == "DELETE");

    let device = device(&world, |builder| builder.handler(keys).handler(logging)).await;
    insert(&device, 2).await;
    device.push().window(1).await.expect("pushed");
    device.pull("q", Todo::text.contains("row")).await.expect("pulled");
    device.remote::<Todo>().delete("x", None).await.expect_err("refused");
    world.proxy.set_unreachable(true);
    device.remote::<Todo>().get("x").await.expect_err("unreachable");

    let lines = lines.lock().expect("whole").clone();
    assert_eq!(lines.len(), world.proxy.seen().len() + 1);
    for line in &lines {
        assert!(!line.contains("5309"), "{line}");
        assert!(line.contains("x-zumo-auth: ***") && line.contains("cookie: ***"), "{line}");
    }
    assert!(lines[0].starts_with("POST http://127.0.0.1:") && lines[0].contains("-> 201"), "{}", lines[0]);
    assert!(lines[0].contains("row 0"), "bodies were asked for");
    assert!(lines.iter().any(|line| line.contains("set-cookie: ***")));
    assert!(lines.last().expect("lines").contains("no answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn w_14_redirects_are_followed_for_a_get_on_the_same_origin_only() {
    let world = World::new().await;
    world.server.as_ref().seed(&serde_json::json!({"id": "one", "text": "one", "complete": false})).await;
    let redirect = |to: &str| {
        let mut answer = Answer::new(307, "text/plain", "");
        answer.headers.push(("Location".to_owned(), to.to_owned()));
        Fault::Answer(answer)
    };
    let here = "/tables/TodoItem";
    let provider = Provider::new(Some("good-token"), Err("not asked"));
    let device = device(&world, |builder| builder.credentials(provider)).await;
    let remote = device.remote::<Todo>();

    world.proxy.inject(1, redirect(here), |_| true);
    let row = remote.get("one").await.expect("followed").expect("there");
    assert_eq!((row.text.as_str(), world.proxy.take_seen().len()), ("one", 2));

    world.proxy.inject(1, redirect(here), |_| true);
    let error = remote.insert(Todo::new("two")).await.expect_err("a write");
    assert_eq!((error.kind(), world.proxy.take_seen().len()), (ErrorKind::InvalidResponse, 1));

    let elsewhere = FaultProxy::start(world.server.as_ref().authority()).await;
    world.proxy.inject(1, redirect(&format!("{}{here}", elsewhere.url())), |_| true);
    let error = remote.get("one").await.expect_err("another origin");
    assert_eq!((error.kind(), elsewhere.seen().len()), (ErrorKind::InvalidResponse, 0));

    world.proxy.take_seen();
    world.proxy.inject(100, redirect(here), |_| true);
    let error = remote.get("one").await.expect_err("a loop");
    assert_eq!((error.kind(), world.proxy.seen().len()), (ErrorKind::InvalidResponse, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn w_14_a_redirected_list_stays_filtered() {
    let world = World::new().await;
    for id in ["one", "two"] {
        world.server.as_ref().seed(&serde_json::json!({"id": id, "text": id, "complete": false})).await;
    }
    let device = device(&world, |builder| builder.profile(ServerProfile::sync_server())).await;
    let moved = |to: &str| {
        let mut answer = Answer::new(308, "text/plain", "");
        answer.headers.push(("Location".to_owned(), to.to_owned()));
        Fault::Answer(answer)
    };
    let is_list = |request: &sync_tests::http::Request| request.target.contains("filter");
    world.proxy.inject(1, moved("/tables/TodoItem"), is_list);
    device.pull_all(Todo::text.eq("one")).await.expect("followed");
    let rows = device.table::<Todo>().all().load().await.expect("rows");
    assert_eq!(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["one"]);

    // Another question is not the one that was asked.
    world.proxy.inject(1, moved("/tables/TodoItem?$top=50"), is_list);
    let error = device.pull_all(Todo::text.eq("one")).await.expect_err("not followed");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert_eq!(device.table::<Todo>().all().load().await.expect("rows").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_04_a_forbidden_operation_is_recorded_and_nothing_is_refreshed() {
    let world = World::new().await;
    let provider = Provider::new(Some("token"), Ok("another"));
    let device = device(&world, |builder| builder.credentials(provider.clone())).await;
    insert(&device, 2).await;
    let forbidden = Answer::new(403, "application/json", r#"{"error":"not yours"}"#);
    world.proxy.inject(1, Fault::Answer(forbidden), |request| request.method == "POST");
    let error = device.push().await.expect_err("one is forbidden");
    let report = error.push_report().expect("a report");
    assert_eq!((error.kind(), report.status), (ErrorKind::PushFailed, PushStatus::Complete));
    assert_eq!((report.completed, report.remaining), (1, 1), "the other one went on");
    let errors = device.errors().await.expect("errors");
    assert_eq!((errors.len(), errors[0].status, errors[0].message.as_str()), (1, Some(403), "not yours"));
    assert_eq!((world.proxy.seen().len(), provider.refreshes()), (2, 0));
}
