use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::*;
use crate::handler::HandlerChain;
use crate::transport::Transport;

/// Answers 200 to the token `good`, else 401, and keeps what it saw.
#[derive(Default)]
struct Server {
    seen: Mutex<Vec<Option<String>>>,
}

impl Transport for Server {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let token = request.headers.get("x-zumo-auth").map(|value| {
            assert!(value.is_sensitive());
            value.to_str().expect("text").to_owned()
        });
        let is_good = token.as_deref().is_some_and(|token| token.starts_with("good"));
        self.seen.lock().expect("whole").push(token);
        let status = if is_good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let answer = Response { status, headers: HeaderMap::new(), body: Bytes::new() };
        std::future::ready(Ok(answer)).boxed()
    }
}

/// Answers `token` and `refresh` from closures.
struct Provider<T, R> {
    token: T,
    refresh: R,
    asked: AtomicUsize,
}

impl<T, R> CredentialProvider for Provider<T, R>
where
    T: Fn(usize) -> Result<Option<Token>, ProviderError> + Send + Sync + 'static,
    R: Fn() -> BoxFuture<'static, Result<Token, ProviderError>> + Send + Sync + 'static,
{
    fn token(&self) -> BoxFuture<'_, Result<Option<Token>, ProviderError>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::ready((self.token)(number)).boxed()
    }

    fn refresh<'a>(&'a self, _: Option<&'a Token>) -> BoxFuture<'a, Result<Token, ProviderError>> {
        (self.refresh)()
    }
}

struct World {
    server: Arc<Server>,
    chain: HandlerChain,
}

fn world<T, R>(token: T, refresh: R, clock: impl Fn() -> Instant + Send + Sync + 'static) -> World
where
    T: Fn(usize) -> Result<Option<Token>, ProviderError> + Send + Sync + 'static,
    R: Fn() -> BoxFuture<'static, Result<Token, ProviderError>> + Send + Sync + 'static,
{
    let provider = Arc::new(Provider { token, refresh, asked: AtomicUsize::new(0) });
    let endpoint = Endpoint::parse("http://localhost:81/app").expect("valid");
    let credentials = Credentials::new(provider, &endpoint, CredentialHeader::ZumoAuth).expect("valid");
    let server = Arc::new(Server::default());
    let chain = HandlerChain::new(vec![Arc::new(credentials.with_clock(clock))], server.clone());
    World { server, chain }
}

impl World {
    async fn send(&self) -> Result<u16, SendError> {
        let url = Url::parse("http://localhost:81/app/tables/T").expect("valid");
        let request = Request { method: Method::GET, url, headers: HeaderMap::new(), body: None };
        self.chain.send(request).await.map(|answer| answer.status.as_u16())
    }

    fn seen(&self) -> Vec<Option<String>> {
        self.server.seen.lock().expect("whole").clone()
    }
}

fn token(text: &str) -> Result<Token, ProviderError> {
    Ok(Token::new(text)?)
}

fn no_refresh() -> BoxFuture<'static, Result<Token, ProviderError>> {
    std::future::ready(Err("nobody is signed in".into())).boxed()
}

#[tokio::test]
async fn a_01_a_token_is_kept_until_shortly_before_its_end() {
    let start = Instant::now();
    let seconds = Arc::new(AtomicUsize::new(0));
    let clock = Arc::clone(&seconds);
    let world = world(
        |number| Ok(Some(token(&format!("good-{number}"))?.valid_for(Duration::from_secs(600)))),
        no_refresh,
        move || start + Duration::from_secs(clock.load(Ordering::Relaxed) as u64),
    );
    for (at, expected) in
        [(0, "good-0"), (539, "good-0"), (540, "good-1"), (1079, "good-1"), (5000, "good-2")]
    {
        seconds.store(at, Ordering::Relaxed);
        assert_eq!(world.send().await.expect("answered"), 200);
        assert_eq!(world.seen().pop().flatten().as_deref(), Some(expected), "after {at} s");
    }
}

#[tokio::test]
async fn a_01_a_token_without_a_life_is_asked_for_each_time_and_one_without_an_end_once() {
    for (lifetime, expected) in [(Some(Duration::ZERO), ["good-0", "good-1"]), (None, ["good-0", "good-0"])] {
        let world = world(
            move |number| {
                let token = token(&format!("good-{number}"))?;
                Ok(Some(lifetime.map_or(token.clone(), |lifetime| token.valid_for(lifetime))))
            },
            no_refresh,
            Instant::now,
        );
        for _ in 0..2 {
            assert_eq!(world.send().await.expect("answered"), 200);
        }
        let seen: Vec<_> = world.seen().into_iter().flatten().collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn z_11_a_refresh_goes_on_when_the_request_that_began_it_is_dropped() {
    let (started, refreshes) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, count) = (Arc::clone(&started), Arc::clone(&refreshes));
    let world = world(
        |_| Ok(Some(token("old")?)),
        move || {
            count.fetch_add(1, Ordering::Relaxed);
            let open = Arc::clone(&open);
            async move {
                open.acquire().await?.forget();
                token("good")
            }
            .boxed()
        },
        Instant::now,
    );
    assert!(world.send().now_or_never().is_none(), "waits for the refresh, and is dropped");
    started.add_permits(1);
    assert_eq!(world.send().await.expect("answered"), 200);
    assert_eq!(refreshes.load(Ordering::Relaxed), 1, "a refresh token may be used once");
    assert_eq!(world.seen(), [Some("old".to_owned()), Some("good".to_owned())]);
}

#[tokio::test]
async fn a_03_a_provider_that_fails_or_panics_is_asked_again_by_the_next_request() {
    let world = world(
        |number| match number {
            0 => Err("the keychain is locked".into()),
            1 => panic!("the provider panics"),
            _ => Ok(Some(token("good")?)),
        },
        no_refresh,
        Instant::now,
    );
    for cause in ["the keychain is locked", "the credential provider panicked"] {
        let failure = world.send().await.expect_err("no token");
        assert!(failure.error.is_unauthorized() && !failure.may_have_sent);
        assert_eq!(failure.error.source().map(ToString::to_string).as_deref(), Some(cause));
    }
    assert!(world.seen().is_empty());
    assert_eq!(world.send().await.expect("answered"), 200);
}

#[tokio::test]
async fn a_06_a_refused_anonymous_request_asks_for_a_token_once() {
    let world = world(|_| Ok(None), || std::future::ready(token("good")).boxed(), Instant::now);
    assert_eq!(world.send().await.expect("answered"), 200);
    assert_eq!(world.seen(), [None, Some("good".to_owned())]);
}

#[tokio::test]
async fn a_03_a_failed_refresh_is_unauthorized_and_not_sent() {
    let world = world(|_| Ok(Some(token("old")?)), no_refresh, Instant::now);
    for _ in 0..2 {
        let failure = world.send().await.expect_err("refused");
        assert!(failure.error.is_unauthorized() && !failure.may_have_sent);
        assert_eq!(failure.error.status(), Some(401));
        assert!(!format!("{failure:?}").contains("old"));
    }
    assert_eq!(world.seen().len(), 2, "asked again by the next request");
}

#[test]
fn tokens_fit_a_header_and_are_not_shown() {
    for text in ["", "a b", "a\r\nX: y", "é", "a\u{0}"] {
        let error = Token::new(text).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let token = Token::new("secret-5309").expect("valid");
    assert_eq!((token.secret(), format!("{token:?}").contains("5309")), ("secret-5309", false));
}
