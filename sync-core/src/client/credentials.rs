//! Credentials: a token from the app's provider on each request, renewed once when the server refuses it.
//!
//! The provider is asked for its token at the first request; the token is kept until shortly before its end. On a
//! 401 the provider is asked to refresh it, and the request is sent once more: a 401 says that nothing was done, so
//! that holds for writes too (P-18, L-36). Requests that run at the same time share one refresh, and share its
//! failure. A second 401 is the answer. When the refresh fails, the call ends with
//! [`ErrorKind::Unauthorized`] and the provider's error as its source; the queue stays as it is, and the next push
//! asks the provider again.
//!
//! The token goes to the service's own origin (scheme, host and port) and nowhere else, whatever address a handler
//! gives a request. It is in no error, no log and no `Debug` output.

use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::{Origin, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::handler::{Handler, Next};
use crate::protocol::{Dialect, Endpoint};
use crate::transport::{Request, Response, SendError};

/// Any error of a provider. Its text must not hold the credential: it becomes the source of ours.
pub type ProviderError = Box<dyn StdError + Send + Sync>;

/// How long before its end a token is no longer used, at most.
const MARGIN: Duration = Duration::from_secs(60);

const ZUMO_AUTH: HeaderName = HeaderName::from_static("x-zumo-auth");

/// Where the app's tokens come from.
pub trait CredentialProvider: Send + Sync + 'static {
    /// The token to use now; `None` sends requests without one. Asked at the first request and when the last
    /// token is about to end; asked before each request while it answers `None`.
    fn token(&self) -> BoxFuture<'_, Result<Option<Token>, ProviderError>>;

    /// A new token, after the server refused this one, or a request without one. Asked once for all requests that
    /// wait for it; they go on with its outcome.
    fn refresh<'a>(&'a self, refused: Option<&'a Token>) -> BoxFuture<'a, Result<Token, ProviderError>>;
}

/// A token; shown nowhere.
#[derive(Clone)]
pub struct Token {
    text: Arc<str>,
    lifetime: Option<Duration>,
}

impl Token {
    /// A token that is used until the server refuses it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a text that is empty or cannot stand in a header.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || !text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            return Err(Error::new(ErrorKind::InvalidArgument, "the token cannot stand in a header"));
        }
        Ok(Self { text: text.into(), lifetime: None })
    }

    /// The token ends after this time, counted from the provider's answer; the provider is asked anew shortly
    /// before. With zero it is asked before each request.
    #[must_use]
    pub const fn valid_for(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// The text, for the provider's own use.
    pub fn secret(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The header that carries the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialHeader {
    /// `X-ZUMO-AUTH: token`: Mobile Services (v1) and Azure Mobile Apps (v2).
    ZumoAuth,
    /// `Authorization: Bearer token`: Datasync (v3).
    Bearer,
}

impl CredentialHeader {
    /// The usual one of a dialect's servers.
    pub const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::MobileServices | Dialect::MobileApps => Self::ZumoAuth,
            Dialect::Datasync => Self::Bearer,
        }
    }

    fn add_to(self, request: &mut Request, token: &Token) -> Result<()> {
        let (name, text) = match self {
            Self::ZumoAuth => (ZUMO_AUTH, token.text.to_string()),
            Self::Bearer => (AUTHORIZATION, format!("Bearer {}", token.text)),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the token cannot stand in a header"))?;
        value.set_sensitive(true);
        request.headers.insert(name, value);
        Ok(())
    }
}

/// The handler that adds credentials. It stands last in a chain, next to the transport: handlers before it then
/// never see the token, and it sees the address a request really goes to.
pub struct Credentials {
    provider: Arc<dyn CredentialProvider>,
    header: CredentialHeader,
    origin: Origin,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;
type Failure = Arc<dyn StdError + Send + Sync>;
/// An answer of the provider that several requests wait for: its round and the token.
type Asking = Shared<BoxFuture<'static, Result<(u64, Option<Token>), Failure>>>;

#[derive(Default)]
struct State {
    /// Counts tokens and failures, so that a request can tell whether there was one since it started.
    round: u64,
    held: Held,
    asking: Option<Asking>,
}

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Token {
        token: Token,
        until: Option<Instant>,
    },
    Failed(Failure),
}

impl Credentials {
    /// Adds the provider's tokens to requests to `endpoint`'s origin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the endpoint has no origin.
    pub fn new(
        provider: Arc<dyn CredentialProvider>,
        endpoint: &Endpoint,
        header: CredentialHeader,
    ) -> Result<Self> {
        let url = Url::parse(endpoint.as_str()).map_err(|source| {
            Error::new(ErrorKind::InvalidArgument, "the server's address cannot be read").with_source(source)
        })?;
        let state = Arc::new(Mutex::new(State::default()));
        Ok(Self { provider, header, origin: url.origin(), clock: Arc::new(Instant::now), state })
    }

    /// Reads this clock instead of the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    async fn exchange(&self, request: Request, next: Next<'_>) -> Result<Response, SendError> {
        if request.url.origin() != self.origin {
            return next.run(request).await;
        }
        let (round, token) = self.current().await.map_err(|failure| {
            let error = Error::new(ErrorKind::Unauthorized, "the provider has no credential");
            SendError::unsent(error.with_source(failure))
        })?;
        let answer = next.run(self.signed(&request, token.as_ref())?).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.renewed(round, token).await.map_err(|failure| {
            let error = Error::new(
                ErrorKind::Unauthorized,
                "the server refuses the credential, and refreshing it failed",
            );
            SendError::unsent(error.with_status(401).with_source(failure))
        })?;
        next.run(self.signed(&request, Some(&token))?).await
    }

    fn signed(&self, request: &Request, token: Option<&Token>) -> Result<Request, SendError> {
        let mut request = request.clone();
        if let Some(token) = token {
            self.header.add_to(&mut request, token).map_err(SendError::unsent)?;
        }
        Ok(request)
    }

    /// The token to use now, and the round it is of.
    async fn current(&self) -> Result<(u64, Option<Token>), Failure> {
        let asking = {
            let mut state = locked(&self.state);
            if let Held::Token { token, until } = &state.held
                && until.is_none_or(|until| (self.clock)() < until)
            {
                return Ok((state.round, Some(token.clone())));
            }
            self.ask(&mut state, |provider| async move { provider.token().await }.boxed())
        };
        asking.await
    }

    /// The token after the one of `round` was refused.
    async fn renewed(&self, round: u64, refused: Option<Token>) -> Result<Token, Failure> {
        loop {
            let asking = {
                let mut state = locked(&self.state);
                if state.round != round {
                    match &state.held {
                        Held::Token { token, .. } => return Ok(token.clone()),
                        Held::Failed(failure) => return Err(Arc::clone(failure)),
                        Held::Nothing => {}
                    }
                }
                // Requests that start now wait for the new token instead of being refused too.
                state.held = Held::Nothing;
                let refused = refused.clone();
                self.ask(&mut state, move |provider| {
                    async move { provider.refresh(refused.as_ref()).await.map(Some) }.boxed()
                })
            };
            // What came is read from the state: the question that was joined may have been for a token, and the
            // answer that there is none.
            let _ = asking.await;
        }
    }

    /// Joins the question that runs, or starts this one. It goes on as long as one request waits for it, and stays
    /// where it is when all of them were dropped: the next request goes on with it (Z-11).
    fn ask(
        &self,
        state: &mut State,
        question: impl FnOnce(
            Arc<dyn CredentialProvider>,
        ) -> BoxFuture<'static, Result<Option<Token>, ProviderError>>,
    ) -> Asking {
        if let Some(asking) = &state.asking {
            return asking.clone();
        }
        let answer = AssertUnwindSafe(question(Arc::clone(&self.provider))).catch_unwind();
        let (shared, clock) = (Arc::downgrade(&self.state), Arc::clone(&self.clock));
        let asking = async move {
            let answer = answer.await.unwrap_or_else(|_| Err("the credential provider panicked".into()));
            let shared = shared.upgrade();
            let mut state = shared.as_ref().map(|state| locked(state));
            let mut round = 0;
            if let Some(state) = state.as_mut() {
                state.asking = None;
                round = state.round;
            }
            let held = match answer {
                Ok(None) => return Ok((round, None)),
                Ok(Some(token)) => {
                    let until = token.lifetime.and_then(|lifetime| {
                        clock().checked_add(lifetime.saturating_sub(MARGIN.min(lifetime / 4)))
                    });
                    Held::Token { token, until }
                }
                Err(failure) => Held::Failed(failure.into()),
            };
            let outcome = match &held {
                Held::Token { token, .. } => Ok((round + 1, Some(token.clone()))),
                Held::Failed(failure) => Err(Arc::clone(failure)),
                Held::Nothing => Ok((round + 1, None)),
            };
            if let Some(state) = state.as_mut() {
                state.round = round + 1;
                state.held = held;
            }
            outcome
        }
        .boxed()
        .shared();
        state.asking = Some(asking.clone());
        asking
    }
}

/// The state is whole after every step, so a panic elsewhere has not broken it.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handler for Credentials {
    fn handle<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Result<Response, SendError>> {
        self.exchange(request, next).boxed()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("header", &self.header).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
