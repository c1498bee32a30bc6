//! Who a request is from, and what that caller may do to which rows.
//!
//! An [`Authenticate`] of the app turns a request's credentials into a [`Caller`]; [`TableRules`] say for each
//! operation of a table who may do it, and which rows a caller sees at all. Without either, everything is open to
//! everyone.
//!
//! Credentials that are no good refuse the request, also where none are needed: a client whose token has run out
//! learns of it at once. Rows outside a caller's view look as if they were not there, in lists, reads and changes
//! alike, and no change takes a row out of its caller's view.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, header};
use sync_core::predicate::{Comparison, Node};
use sync_core::protocol::Dialect;
use sync_core::value::{ColumnType, Value};

use crate::error::{Refusal, ServerError};
use crate::http::Call;
use crate::table::Table;

pub use self::tokens::Tokens;

mod tokens;

const ZUMO_AUTH: HeaderName = HeaderName::from_static("x-zumo-auth");

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    id: String,
    roles: Vec<String>,
}

impl Caller {
    /// A caller with this id, which is what [`TableRules::owner`] compares and stores, and no roles.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), roles: Vec::new() }
    }

    /// Adds a role, for [`Access::Role`].
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the caller has a role, in exactly this spelling.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }
}

/// The part of a request that says who it is from. Its `Debug` shows no value.
#[derive(Clone, Copy)]
pub struct Credentials<'r> {
    headers: &'r HeaderMap,
    dialect: Dialect,
}

impl<'r> Credentials<'r> {
    /// The token: the header `X-ZUMO-AUTH`, or else, in v2 and v3, `Authorization: Bearer`. A header that is no text
    /// is a token that equals none.
    pub fn token(&self) -> Option<Cow<'r, str>> {
        if let Some(value) = self.headers.get(ZUMO_AUTH) {
            return Some(String::from_utf8_lossy(value.as_bytes()));
        }
        let value = self.headers.get(header::AUTHORIZATION)?;
        if self.dialect == Dialect::MobileServices {
            return None;
        }
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| String::from_utf8_lossy(token.trim_ascii()))
    }

    /// All headers of the request, for schemes of an app's own (a cookie, headers set by a gateway).
    pub fn headers(&self) -> &'r HeaderMap {
        self.headers
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// Why a caller could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The credentials are malformed, unknown or have run out: 401.
    Invalid,
    /// They cannot be checked now: 503, so that the client comes again.
    Unavailable,
}

/// What [`Authenticate::authenticate`] returns: the caller, or none when the request has no credentials.
pub type Authentication<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Caller>, AuthenticationError>> + Send + 'a>>;

/// Tells callers by their credentials; asked once for each request to a table.
///
/// ```
/// use sync_server::{Authenticate, Authentication, AuthenticationError, Caller, Credentials};
///
/// /// Trusts the header a gateway sets.
/// struct Gateway;
///
/// impl Authenticate for Gateway {
///     fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Authentication<'a> {
///         Box::pin(async move {
///             match credentials.headers().get("x-ms-client-principal-id") {
///                 None => Ok(None),
///                 Some(id) => match id.to_str() {
///                     Ok(id) => Ok(Some(Caller::new(id))),
///                     Err(_) => Err(AuthenticationError::Invalid),
///                 },
///             }
///         })
///     }
/// }
/// ```
pub trait Authenticate: Send + Sync {
    /// Who the request is from. What is waited for delays this request alone.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError`]. The reason belongs into the app's own log, without the credentials.
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Authentication<'a>;
}

/// Who may do an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everyone. The default.
    #[default]
    Anonymous,
    /// Every caller with good credentials; others get 401.
    Authenticated,
    /// Callers with this role; other callers get 403, requests without credentials 401.
    Role(String),
    /// Nobody: 403, and 405 in v2 as its servers say.
    Disabled,
}

/// What callers may do to a table; [`Default`] leaves it open to everyone.
///
/// An answer to a change shows the row, also to a caller who may not read lists.
///
/// ```
/// use sync_server::{Access, TableRules};
///
/// // Everyone reads, callers write, administrators delete.
/// let rules = TableRules::default()
///     .insert(Access::Authenticated)
///     .update(Access::Authenticated)
///     .delete(Access::Role("admin".into()));
/// // Each caller has rows of their own.
/// let own = TableRules::authenticated().owner("userId");
/// # let _ = (rules, own);
/// ```
#[derive(Clone, Default)]
pub struct TableRules {
    read: Access,
    insert: Access,
    update: Access,
    delete: Access,
    owner: Option<String>,
    view: Option<Arc<View>>,
}

type View = dyn Fn(Option<&Caller>) -> Node + Send + Sync;

impl TableRules {
    /// Good credentials are needed for everything.
    pub fn authenticated() -> Self {
        let open = Self::default();
        open.read(Access::Authenticated)
            .insert(Access::Authenticated)
            .update(Access::Authenticated)
            .delete(Access::Authenticated)
    }

    /// Who may list and read rows.
    #[must_use]
    pub fn read(mut self, access: Access) -> Self {
        self.read = access;
        self
    }

    /// Who may insert rows.
    #[must_use]
    pub fn insert(mut self, access: Access) -> Self {
        self.insert = access;
        self
    }

    /// Who may change rows, and take deletions back.
    #[must_use]
    pub fn update(mut self, access: Access) -> Self {
        self.update = access;
        self
    }

    /// Who may delete rows.
    #[must_use]
    pub fn delete(mut self, access: Access) -> Self {
        self.delete = access;
        self
    }

    /// Each row belongs to the caller whose id stands in this text column, and nobody else sees it. Inserts and
    /// changes write the caller's id there, whatever the client sent. Requests without a caller see no row and
    /// insert none.
    #[must_use]
    pub fn owner(mut self, column: impl Into<String>) -> Self {
        self.owner = Some(column.into());
        self
    }

    /// The rows a caller sees, as a condition on the table's columns: other rows are not there for this caller, and
    /// a change that would take a row out of the view is refused with 403. Besides [`owner`](Self::owner), both
    /// hold.
    ///
    /// The condition is made anew for each request; one that the server cannot run is answered with 500.
    #[must_use]
    pub fn view(mut self, rows: impl Fn(Option<&Caller>) -> Node + Send + Sync + 'static) -> Self {
        self.view = Some(Arc::new(rows));
        self
    }

    /// Whether there is something that only a caller may do.
    fn asks_for_callers(&self) -> bool {
        let asks = |access: &Access| matches!(access, Access::Authenticated | Access::Role(_));
        self.owner.is_some() || [&self.read, &self.insert, &self.update, &self.delete].into_iter().any(asks)
    }

    fn of(&self, operation: Operation) -> &Access {
        match operation {
            Operation::Read => &self.read,
            Operation::Insert => &self.insert,
            Operation::Update => &self.update,
            Operation::Delete => &self.delete,
        }
    }
}

impl fmt::Debug for TableRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRules")
            .field("read", &self.read)
            .field("insert", &self.insert)
            .field("update", &self.update)
            .field("delete", &self.delete)
            .field("owner", &self.owner)
            .field("has_view", &self.view.is_some())
            .finish()
    }
}

/// What rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// The operation of a request; `None` for methods that no dialect has.
    fn of(method: &Method, has_id: bool) -> Option<Self> {
        Some(match *method {
            Method::GET => Self::Read,
            Method::POST if !has_id => Self::Insert,
            // With an id it is an undelete.
            Method::POST | Method::PATCH | Method::PUT => Self::Update,
            Method::DELETE => Self::Delete,
            _ => return None,
        })
    }
}

/// Rules of one table, checked against its columns.
#[derive(Debug, Default)]
pub(crate) struct CheckedRules {
    rules: TableRules,
    /// Place of the owner's column.
    owner: Option<usize>,
}

impl CheckedRules {
    /// # Errors
    ///
    /// The owner's column is not there or no text, or callers are asked for and nobody could tell them.
    pub(crate) fn new(
        rules: TableRules,
        table: &Table,
        has_authentication: bool,
    ) -> Result<Self, ServerError> {
        let name = table.schema.name;
        let owner = match &rules.owner {
            None => None,
            Some(owner) => {
                let place = table.columns.iter().position(|column| column.name == owner);
                let fits = |place: &usize| table.columns[*place].ty == ColumnType::Text;
                Some(place.filter(fits).ok_or_else(|| {
                    ServerError::configuration(format!("table {name} has no text column {owner} for owners"))
                })?)
            }
        };
        if rules.asks_for_callers() && !has_authentication {
            return Err(ServerError::configuration(format!(
                "the rules of table {name} ask for callers, but the server has no authentication"
            )));
        }
        Ok(Self { rules, owner })
    }

    /// Place of the column that says whose a row is.
    pub(crate) fn owner(&self) -> Option<usize> {
        self.owner
    }
}

/// What the caller of one request may see and write.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The rows that are there for the caller; `None` is all of them.
    pub(crate) view: Option<Node>,
    /// What stands in the column at this place of every row the caller writes.
    pub(crate) stamp: Option<(usize, Value)>,
}

/// Lets a request in, or refuses it.
pub(crate) async fn admit(
    authentication: Option<&dyn Authenticate>,
    table: &Table,
    dialect: Dialect,
    call: &Call,
) -> Result<Scope, Refusal> {
    let caller = match authentication {
        None => None,
        Some(authentication) => {
            let credentials = Credentials { headers: &call.headers, dialect };
            authentication.authenticate(credentials).await.map_err(|error| match error {
                AuthenticationError::Invalid => Refusal::Unauthorized("The credentials are not valid"),
                AuthenticationError::Unavailable => Refusal::Unavailable,
            })?
        }
    };
    let Some(operation) = Operation::of(&call.method, call.id.is_some()) else {
        // The dialect says that the method does not exist.
        return Ok(Scope::default());
    };
    let CheckedRules { rules, owner } = &table.rules;
    match (rules.of(operation), &caller) {
        (Access::Anonymous, _) | (Access::Authenticated, Some(_)) => {}
        (Access::Role(role), Some(caller)) if caller.has_role(role) => {}
        (Access::Role(_), Some(_)) => return Err(Refusal::Forbidden),
        (Access::Authenticated | Access::Role(_), None) => return Err(MISSING),
        (Access::Disabled, _) => return Err(Refusal::Disabled(allowed(rules, call.id.is_some()))),
    }
    let mut scope = Scope { view: rules.view.as_ref().map(|view| view(caller.as_ref())), stamp: None };
    if let Some(owner) = *owner {
        let own = match &caller {
            Some(caller) => {
                let id = Value::Text(caller.id.clone());
                scope.stamp = Some((owner, id.clone()));
                Node::compare(table.columns[owner], Comparison::Eq, id)
            }
            None if operation == Operation::Insert => return Err(MISSING),
            // No row belongs to nobody.
            None => Node::Or(Vec::new()),
        };
        scope.view = Some(match scope.view {
            Some(view) => view.and(own),
            None => own,
        });
    }
    Ok(scope)
}

const MISSING: Refusal = Refusal::Unauthorized("Unauthorized");

/// The methods that are not switched off, for `Allow`.
fn allowed(rules: &TableRules, has_id: bool) -> String {
    let methods: &[Method] = if has_id {
        &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE]
    } else {
        &[Method::GET, Method::POST]
    };
    let is_on = |method: &&Method| {
        Operation::of(method, has_id).is_some_and(|operation| *rules.of(operation) != Access::Disabled)
    };
    methods.iter().filter(is_on).map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(dialect: Dialect, lines: &[(&'static str, &[u8])]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, http::HeaderValue::from_bytes(value).expect("a value"));
        }
        Credentials { headers: &headers, dialect }.token().map(Cow::into_owned)
    }

    #[test]
    fn case_136_the_token_stands_where_the_dialect_has_it() {
        for dialect in Dialect::ALL {
            assert_eq!(token(dialect, &[]), None);
            assert_eq!(token(dialect, &[("x-zumo-auth", b"abc")]).as_deref(), Some("abc"));
            let both: &[(_, &[u8])] = &[("x-zumo-auth", b"abc"), ("authorization", b"Bearer def")];
            assert_eq!(token(dialect, both).as_deref(), Some("abc"));
            assert_eq!(token(dialect, &[("authorization", b"Basic abcdef")]), None);
            assert_eq!(token(dialect, &[("authorization", b"Bearer")]), None);
        }
        let bearer: &[(_, &[u8])] = &[("authorization", b"bearer  def ")];
        assert_eq!(token(Dialect::MobileServices, bearer), None);
        assert_eq!(token(Dialect::MobileApps, bearer).as_deref(), Some("def"));
        assert_eq!(token(Dialect::Datasync, &[("x-zumo-auth", b"\xff")]).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut headers = HeaderMap::new();
        headers.insert("x-zumo-auth", http::HeaderValue::from_static("secret-5309"));
        let shown = format!("{:?}", Credentials { headers: &headers, dialect: Dialect::MobileApps });
        assert!(!shown.contains("5309"), "{shown}");
    }
}
