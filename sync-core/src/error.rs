//! The one error of the product.
//!
//! An [`Error`] answers the few questions an app asks: is the network gone ([`Error::is_offline`]), must the
//! user sign in ([`Error::is_unauthorized`]), is the database damaged ([`Error::is_corrupt`])? Causes of other
//! libraries are boxed and reachable by `source()`; their types are not part of this API. Expected outcomes (a
//! conflict, a held or quarantined row) are data in results, not errors.
//!
//! Messages name table, item and query id. They never hold row contents, credentials or headers.

use std::error::Error as StdError;
use std::fmt;

use crate::engine::PushReport;
use crate::row::Row;

/// Result with the product's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong; opaque, with a [`kind`](Error::kind) and predicates.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    table: Option<String>,
    item: Option<String>,
    query_id: Option<String>,
    status: Option<u16>,
    push_report: Option<PushReport>,
    server_row: Option<Row>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No answer: connection refused or lost, DNS, TLS, timeout. Nothing is lost; try again later.
    Network,
    /// The server refuses the credentials (401), also after one refresh. Sign in, then try again.
    Unauthorized,
    /// The server is overloaded or in maintenance (408, 429, 502, 503, 504, or repeated 5xx). Try again later.
    ServerBusy,
    /// The answer is not what the dialect promises: HTML instead of JSON, truncated JSON, a foreign shape.
    /// Usually a proxy, a wrong address or a wrong dialect.
    InvalidResponse,
    /// The server speaks another generation of the protocol than this context is set to, or refuses its version
    /// header. Nothing was stored and no token moved. Ask `probe` which dialect it speaks and open the context
    /// with that one.
    WrongDialect,
    /// The server refused the query of a pull (400): a filter, an order or a parameter it does not take, or a
    /// column its table does not have. No token moved. Compare the entity with the server's table, and the
    /// `ServerProfile` with the server.
    InvalidQuery,
    /// The server understood and refused the request (other 4xx and 5xx); see [`Error::status`].
    Refused,
    /// The server does not have this table, or its address is wrong (404 on a table).
    UnknownTable,
    /// The call itself is wrong: bad query id, page size 0, unknown table name. Fix the program.
    InvalidArgument,
    /// An id that could never be sent (empty, too long, forbidden characters).
    InvalidId,
    /// A value that could never be sent (NaN, infinity, an integer outside its column's range).
    InvalidValue,
    /// Insert of an id that already exists locally. Nothing changed.
    AlreadyExists,
    /// Update or delete of a row that does not exist, locally or, in a direct call, on the server. Nothing changed.
    NotFound,
    /// A direct call met another row, or another version, than it was made for. Nothing changed;
    /// [`Error::server_row`] is what the server holds. Conflicts of a push are data, not errors of this kind.
    Conflict,
    /// A purge without force met operations that were not pushed yet. Push first, or use force.
    PendingOperations,
    /// The stored error was resolved, or its operation changed since it was read. Read the errors again.
    OperationChanged,
    /// A push ended before the queue was done, or with operation errors; see the push result.
    PushFailed,
    /// A conflict handler asked to stop the push.
    Aborted,
    /// The call was asked to end. What was done until then is stored; call again to go on.
    Cancelled,
    /// The context was closed. Open a new one.
    Closed,
    /// Local changes wait that were made for another account or another service. Open with that one and push, or say
    /// at opening what becomes of them: `OtherAccount::Discard` or `OtherAccount::Adopt`.
    OtherAccount,
    /// The local database failed (disk full, locked for too long, read-only, constraint).
    Store,
    /// The local database is damaged, or holds something this version does not understand.
    Corrupt,
    /// The local database was written by a newer version of this library.
    NewerSchema,
    /// The database's tables do not fit the entities; a migration is missing.
    SchemaMismatch,
    /// Another process or task holds what this call needs and did not release it in time.
    Busy,
}

impl Error {
    /// An error of `kind` with a message: lower case, no full stop, no row contents.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                table: None,
                item: None,
                query_id: None,
                status: None,
                push_report: None,
                server_row: None,
                source: None,
            }),
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Adds the table's name.
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.inner.table.get_or_insert(table.into());
        self
    }

    /// Adds the row's id.
    #[must_use]
    pub fn with_item(mut self, item: impl Into<String>) -> Self {
        self.inner.item.get_or_insert(item.into());
        self
    }

    /// Adds the query id of a pull.
    #[must_use]
    pub fn with_query_id(mut self, query_id: impl Into<String>) -> Self {
        self.inner.query_id.get_or_insert(query_id.into());
        self
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.inner.status = Some(status);
        self
    }

    pub(crate) fn with_push_report(mut self, report: PushReport) -> Self {
        self.inner.push_report = Some(report);
        self
    }

    pub(crate) fn with_server_row(mut self, row: Option<Row>) -> Self {
        self.inner.server_row = row;
        self
    }

    /// The row the server holds instead, for [`ErrorKind::Conflict`]; marked deleted if it is, `None` if the server
    /// did not show it.
    pub fn server_row(&self) -> Option<&Row> {
        self.inner.server_row.as_ref()
    }

    /// What a push did before it failed, and the operations that failed.
    pub fn push_report(&self) -> Option<&PushReport> {
        self.inner.push_report.as_ref()
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The table concerned, if one is.
    pub fn table(&self) -> Option<&str> {
        self.inner.table.as_deref()
    }

    /// The id of the row concerned, if one is.
    pub fn item(&self) -> Option<&str> {
        self.inner.item.as_deref()
    }

    /// The query id of the pull concerned, if one is.
    pub fn query_id(&self) -> Option<&str> {
        self.inner.query_id.as_deref()
    }

    /// The HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// The server cannot be reached or is busy; the same call may succeed later without any change.
    pub fn is_offline(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Network | ErrorKind::ServerBusy)
    }

    /// The user must sign in (again) before the server accepts requests.
    pub fn is_unauthorized(&self) -> bool {
        self.inner.kind == ErrorKind::Unauthorized
    }

    /// The server holds another row or version than a direct call was made for; see [`Error::server_row`].
    pub fn is_conflict(&self) -> bool {
        self.inner.kind == ErrorKind::Conflict
    }

    /// The database file is damaged or from a newer version; nothing was changed in it.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Corrupt | ErrorKind::NewerSchema)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        let mut separator = " (";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, text: &str| {
            let result = write!(f, "{separator}{name} {text}");
            separator = ", ";
            result
        };
        if let Some(table) = &self.inner.table {
            part(f, "table", table)?;
        }
        if let Some(item) = &self.inner.item {
            part(f, "item", item)?;
        }
        if let Some(query_id) = &self.inner.query_id {
            part(f, "query id", query_id)?;
        }
        if let Some(status) = self.inner.status {
            part(f, "status", &status.to_string())?;
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.to_string())
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_the_places_and_not_the_cause() {
        let error = Error::new(ErrorKind::Network, "connection refused")
            .with_table("TodoItem")
            .with_query_id("milkQuery")
            .with_status(503)
            .with_source("inner");
        assert_eq!(error.to_string(), "connection refused (table TodoItem, query id milkQuery, status 503)");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("inner"));
        assert!(error.is_offline() && !error.is_unauthorized());
        assert_eq!(Error::new(ErrorKind::Store, "disk full").to_string(), "disk full");
    }
}
