//! Errors of the program that runs a server, and refusals of single requests.

use std::error::Error as StdError;
use std::fmt;

/// Why a server could not be opened, started or kept running. Faults of single requests are answers, not
/// errors.
#[derive(Debug)]
pub struct ServerError {
    kind: ServerErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The class of a [`ServerError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// Tables or configuration that cannot be served: two tables of one name, a column named like a system
    /// property, a page size of 0, rules that cannot hold, a token that is none.
    Configuration,
    /// The database cannot be opened, or its tables do not fit the schemas.
    Database,
    /// The address cannot be bound, or the listener failed.
    Network,
}

impl ServerError {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self { kind: ServerErrorKind::Configuration, message: message.into(), source: None }
    }

    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self { kind: ServerErrorKind::Database, message: message.into(), source: None }
    }

    pub(crate) fn database(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind: ServerErrorKind::Database, message: message.into(), source: Some(source.into()) }
    }

    pub(crate) fn network(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind: ServerErrorKind::Network, message: message.into(), source: Some(source.into()) }
    }

    /// The class of this error.
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ServerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why a request is refused; a dialect gives it status and shape.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The client's fault, with a message that tells it what to change.
    Bad(String),
    /// The address is no table's.
    NoRoute,
    /// No such table.
    NoTable(String),
    /// No such row, or one that is deleted.
    NoRow,
    /// The row is deleted, where the dialect tells that apart.
    Gone,
    /// The credentials are missing or no good, with what to say.
    Unauthorized(&'static str),
    /// The credentials cannot be checked now.
    Unavailable,
    /// The caller may not do this.
    Forbidden,
    /// Nobody may do this; with the methods that are left, for `Allow`.
    Disabled(String),
    /// A version was sent where none may be.
    VersionSent,
    /// The method does not exist here; with the ones that do, for `Allow`.
    Method(&'static str),
    /// The body is not JSON by its content type.
    MediaType,
    /// The body is encoded (`Content-Encoding`), which no client of the protocol does.
    Encoded,
    /// The body is larger than the limit.
    TooLarge,
    /// A fault of this server; the details went to the log.
    Internal,
}

impl Refusal {
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::Bad(message.into())
    }
}
