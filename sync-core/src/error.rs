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

/// The class of an [`Error`]: what happened, and what to do about it.
///
/// Unless a kind says otherwise nothing is lost: what the app wrote is in the local database and in its queue, and the
/// same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No answer: connection refused or lost, DNS, TLS, timeout. Try again later; what may have arrived is settled by
    /// the next push.
    Network,
    /// The server refuses the credentials (401), also after one refresh. Let the user sign in, then try again.
    Unauthorized,
    /// The server is overloaded or in maintenance (408, 429, 502, 503, 504, or repeated 5xx). Try again later, after
    /// [`PushReport::retry_after`] if it is given.
    ServerBusy,
    /// The answer is not what the dialect promises: HTML instead of JSON, truncated JSON, a foreign shape. Usually a
    /// proxy or a sign-in page of the network, a wrong address or a wrong dialect: check the address, ask `probe`.
    InvalidResponse,
    /// The answer is larger than this client takes (`HttpOptions::body_limit`). A pull that meets it asks for smaller
    /// pages first, so it is about one row then. Nothing was stored of it and no token moved. Raise the limit, or make
    /// the server's rows smaller; in a direct call ask for fewer rows.
    AnswerTooLarge,
    /// The server speaks another generation of the protocol than this context is set to, or refuses its version
    /// header. Nothing was stored and no token moved. Ask `probe` which dialect it speaks and open the context
    /// with that one.
    WrongDialect,
    /// The server refused the query of a pull (400): a filter, an order or a parameter it does not take, or a
    /// column its table does not have. No token moved. Compare the entity with the server's table, and the
    /// `ServerProfile` with the server.
    InvalidQuery,
    /// The server understood and refused the request (other 4xx and 5xx). Look at [`Error::status`] and the message;
    /// trying again without a change will be refused again.
    Refused,
    /// The server does not have this table, or its address is wrong (404 on a table). Compare the entity's table name
    /// with the server, and the address of the service.
    UnknownTable,
    /// The call itself is wrong: bad query id, page size 0, unknown table name, a resolution that does not fit. Nothing
    /// was done. Fix the program.
    InvalidArgument,
    /// An id that could never be sent (empty, too long, forbidden characters). Nothing changed. Choose another id, or
    /// let one be made.
    InvalidId,
    /// A value that could never be sent (NaN, infinity, an integer outside its column's range). Nothing changed.
    /// Correct the value.
    InvalidValue,
    /// Insert of an id that already exists locally. Nothing changed. Update the row, or choose another id.
    AlreadyExists,
    /// Update, delete or undelete of a row that does not exist, locally or, in a direct call, on the server. Nothing
    /// changed. Read the row again; it may have been deleted elsewhere.
    NotFound,
    /// A direct call met another row, or another version, than it was made for. Nothing changed;
    /// [`Error::server_row`] is what the server holds: decide again with it. Conflicts of a push are data, not errors
    /// of this kind.
    Conflict,
    /// A purge without force met operations that were not pushed yet. Nothing changed. Push first, or use force and
    /// lose them.
    PendingOperations,
    /// The stored error was resolved, or its operation changed since it was read. Nothing changed. Read the conflicts
    /// again and decide about what they are now.
    OperationChanged,
    /// A push tried everything, and operations conflict or were refused. [`Error::push_report`] names them; they stay
    /// in the queue: resolve them (`conflicts`, `resolve`, `resolve_all`) or correct the rows.
    PushFailed,
    /// A conflict handler asked to stop the push. What was done is done, the rest waits; [`Error::push_report`].
    Aborted,
    /// The call was asked to end. What was done until then is stored; call again to go on.
    Cancelled,
    /// The context was closed. Open a new one.
    Closed,
    /// Local changes wait that were made for another account or another service. Open with that one and push, or say
    /// at opening what becomes of them: `OtherAccount::Discard` or `OtherAccount::Adopt`.
    OtherAccount,
    /// The local database failed: disk full, read-only, a constraint of the app's own. The transaction was rolled
    /// back. The message says which; make room, or correct the row.
    Store,
    /// The local database is damaged, or holds something this version does not understand. Nothing was changed in it.
    /// Keep the file and restore a copy, or pull into a new file; do not delete it while it holds unsent changes.
    Corrupt,
    /// The local database was written by a newer version of this library. Nothing was changed in it. Install the newer
    /// version of the app again.
    NewerSchema,
    /// The database's tables do not fit the entities. Nothing was changed in them. A migration is missing; generate or
    /// write it.
    SchemaMismatch,
    /// Another process or task holds what this call needs and did not release it in time, or the outcome of a request
    /// is not known yet. Nothing changed. Try again later, after a push in the latter case.
    Busy,
    /// A handler around the requests, the credentials or the transport panicked: a fault of the program. The push that
    /// met it stopped; the operation under way is settled by the next push. Mend the program.
    Internal,
}

impl ErrorKind {
    /// Every kind of this version.
    pub const ALL: &'static [Self] = &[
        Self::Network,
        Self::Unauthorized,
        Self::ServerBusy,
        Self::InvalidResponse,
        Self::AnswerTooLarge,
        Self::WrongDialect,
        Self::InvalidQuery,
        Self::Refused,
        Self::UnknownTable,
        Self::InvalidArgument,
        Self::InvalidId,
        Self::InvalidValue,
        Self::AlreadyExists,
        Self::NotFound,
        Self::Conflict,
        Self::PendingOperations,
        Self::OperationChanged,
        Self::PushFailed,
        Self::Aborted,
        Self::Cancelled,
        Self::Closed,
        Self::OtherAccount,
        Self::Store,
        Self::Corrupt,
        Self::NewerSchema,
        Self::SchemaMismatch,
        Self::Busy,
        Self::Internal,
    ];
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

    /// The server cannot be reached or is busy. Go on offline; the same call may succeed later without any change.
    pub fn is_offline(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Network | ErrorKind::ServerBusy)
    }

    /// Something else holds the local database, or a request is under way. Make the same call again shortly.
    pub fn is_busy(&self) -> bool {
        self.inner.kind == ErrorKind::Busy
    }

    /// The user must sign in (again) before the server accepts requests.
    pub fn is_unauthorized(&self) -> bool {
        self.inner.kind == ErrorKind::Unauthorized
    }

    /// Operations of a push conflict or were refused, and wait for a decision of the app or its user: show
    /// [`push_report`](Self::push_report), resolve, push again.
    pub fn needs_resolution(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::PushFailed | ErrorKind::Aborted)
    }

    /// What the call was made on has changed meanwhile: read it again ([`server_row`](Self::server_row) after a direct
    /// call, the conflicts after a resolution) and decide anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Conflict | ErrorKind::OperationChanged)
    }

    /// The row or value given cannot be stored or sent as it is; nothing changed. Let the user correct it.
    pub fn is_invalid_input(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::InvalidId | ErrorKind::InvalidValue | ErrorKind::AlreadyExists | ErrorKind::NotFound
        )
    }

    /// Program, entities, migrations, address or dialect do not fit the database or the server: a matter for the
    /// developer, not for the user. The same call will fail again.
    pub fn is_misconfigured(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::WrongDialect
                | ErrorKind::InvalidQuery
                | ErrorKind::UnknownTable
                | ErrorKind::InvalidArgument
                | ErrorKind::SchemaMismatch
        )
    }

    /// The database file is damaged or from a newer version; nothing was changed in it. Keep it.
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

    /// What an app can ask; every kind is here, so a new one must say what it is.
    fn answers(kind: ErrorKind) -> &'static [&'static str] {
        match kind {
            ErrorKind::Network | ErrorKind::ServerBusy => &["offline"],
            ErrorKind::Unauthorized => &["unauthorized"],
            ErrorKind::PushFailed | ErrorKind::Aborted => &["resolution"],
            ErrorKind::Conflict | ErrorKind::OperationChanged => &["conflict"],
            ErrorKind::InvalidId
            | ErrorKind::InvalidValue
            | ErrorKind::AlreadyExists
            | ErrorKind::NotFound => &["input"],
            ErrorKind::WrongDialect
            | ErrorKind::InvalidQuery
            | ErrorKind::UnknownTable
            | ErrorKind::InvalidArgument
            | ErrorKind::SchemaMismatch => &["misconfigured"],
            ErrorKind::Corrupt | ErrorKind::NewerSchema => &["corrupt"],
            ErrorKind::Busy => &["busy"],
            // The message and the status say what to do; no other predicate is true of these.
            ErrorKind::InvalidResponse
            | ErrorKind::AnswerTooLarge
            | ErrorKind::Refused
            | ErrorKind::PendingOperations
            | ErrorKind::Cancelled
            | ErrorKind::Closed
            | ErrorKind::OtherAccount
            | ErrorKind::Store
            | ErrorKind::Internal => &[],
        }
    }

    #[test]
    fn p_25_every_kind_answers_and_names_its_places() {
        let mut seen = std::collections::HashSet::new();
        for kind in ErrorKind::ALL {
            assert!(seen.insert(*kind), "{kind:?} is listed once");
            let error = Error::new(*kind, "it did not work")
                .with_table("TodoItem")
                .with_item("milk-1")
                .with_query_id("milkQuery")
                .with_status(400);
            let found: Vec<&str> = [
                ("offline", error.is_offline()),
                ("busy", error.is_busy()),
                ("unauthorized", error.is_unauthorized()),
                ("resolution", error.needs_resolution()),
                ("conflict", error.is_conflict()),
                ("input", error.is_invalid_input()),
                ("misconfigured", error.is_misconfigured()),
                ("corrupt", error.is_corrupt()),
            ]
            .into_iter()
            .filter_map(|(name, answer)| answer.then_some(name))
            .collect();
            assert_eq!(found, answers(*kind), "{kind:?}");
            assert_eq!(
                error.to_string(),
                "it did not work (table TodoItem, item milk-1, query id milkQuery, status 400)"
            );
            assert_eq!(
                (error.table(), error.item(), error.query_id(), error.status()),
                (Some("TodoItem"), Some("milk-1"), Some("milkQuery"), Some(400))
            );
            // The first to name a place knows it best.
            let error = error.with_table("Other").with_item("other").with_query_id("other");
            assert_eq!((error.table(), error.item()), (Some("TodoItem"), Some("milk-1")));
        }
    }
}
