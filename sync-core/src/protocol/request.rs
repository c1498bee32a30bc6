//! Requests of the tables protocol, by dialect (protocol.md 14.3).
//!
//! | | v1 | v2 | v3 |
//! |---|---|---|---|
//! | version header | never | `2.0.0` | `3.0.0` |
//! | list | `__systemproperties` names what is needed, `$skip` always | `$skip` always | `$skip` when not 0 |
//! | insert | POST | POST | POST |
//! | update | PATCH of what changed | PATCH of what changed | PUT of the whole row |
//! | delete | DELETE | DELETE | DELETE |
//! | undelete | POST to the row, no body | the same | see [`UndeleteForm`] |
//!
//! Writes of v1 ask for all system properties with `__systemProperties=*`, since its answers hold only what was
//! sent. A known version goes into `If-Match` of every write but the insert.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use url::Url;

use super::{Dialect, Endpoint, UndeleteForm, body, etag};
use crate::entity::{self, TableSchema};
use crate::error::Result;
use crate::odata;
use crate::operation::{Outgoing, SentKind};
use crate::predicate::{Comparison, Node};
use crate::transport::Request;
use crate::value::Value;

const API_VERSION: HeaderName = HeaderName::from_static("zumo-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Asks a v1 server for every system property; other dialects answer with them unasked.
const ALL_SYSTEM_PROPERTIES: (&str, &str) = ("__systemProperties", "*");

/// What a list request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    /// `$filter`; `None` or an always-true condition sends none.
    pub filter: Option<Node>,
    /// `$orderby` keys, ascending.
    pub order_by: Vec<&'static entity::ColumnSchema>,
    /// `$skip`.
    pub skip: Option<u64>,
    /// `$top`.
    pub top: Option<u64>,
    /// Whether rows marked deleted are listed.
    pub include_deleted: bool,
    /// The user's own parameters, sent last.
    pub parameters: Vec<(String, String)>,
}

/// Builds the requests of one dialect for one service.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    endpoint: Endpoint,
    dialect: Dialect,
    undelete: UndeleteForm,
}

impl RequestBuilder {
    /// Requests to `endpoint` in `dialect`.
    pub fn new(endpoint: Endpoint, dialect: Dialect) -> Self {
        Self { endpoint, dialect, undelete: UndeleteForm::Put }
    }

    /// How rows are revived in [`Dialect::Datasync`]; without this call by [`UndeleteForm::Put`]. An engine takes it
    /// from its server profile.
    #[must_use]
    pub fn with_undelete(mut self, form: UndeleteForm) -> Self {
        self.undelete = form;
        self
    }

    /// The dialect.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The service.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A page of a table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the filter holds a value that has no
    /// literal.
    pub fn list(&self, table: &TableSchema, query: &ListQuery) -> Result<Request> {
        let mut parameters: Vec<(&str, String)> = Vec::new();
        if let Some(filter) = query.filter.as_ref().filter(|filter| !filter.is_always()) {
            let filter = odata::render(filter, self.dialect).map_err(|error| error.with_table(table.name))?;
            parameters.push(("$filter", filter));
        }
        if !query.order_by.is_empty() {
            let keys: Vec<_> = query.order_by.iter().map(|column| self.dialect.column_name(column)).collect();
            parameters.push(("$orderby", keys.join(",")));
        }
        // Some servers order only where `$skip` is present; those of v3 always do, and build their next
        // link around it.
        if let Some(skip) = query.skip.filter(|skip| *skip > 0 || self.dialect != Dialect::Datasync) {
            parameters.push(("$skip", skip.to_string()));
        }
        if let Some(top) = query.top {
            parameters.push(("$top", top.to_string()));
        }
        if query.include_deleted {
            parameters.push((self.dialect.include_deleted(), "true".to_owned()));
        }
        if self.dialect == Dialect::MobileServices {
            // Even where a table lacks some: unsupported ones are left out of the answer without an error.
            let names = self.dialect.names();
            let wanted = [names.updated_at, names.version, names.deleted].join(",");
            parameters.push(("__systemproperties", wanted));
        }
        for (name, value) in &query.parameters {
            parameters.push((name, value.clone()));
        }
        let url = self.endpoint.table(table.name, &parameters)?;
        Ok(self.request(Method::GET, url, None))
    }

    /// One row by id, deleted or not: as a list, because a single read hides deleted rows on some servers
    /// (protocol.md 6.2).
    ///
    /// # Errors
    ///
    /// None for a valid table; the type is that of the other builders.
    pub fn fetch(&self, table: &TableSchema, id: &str) -> Result<Request> {
        self.list(
            table,
            &ListQuery {
                filter: Some(Node::compare(&entity::ID, Comparison::Eq, Value::Text(id.to_owned()))),
                order_by: Vec::new(),
                skip: None,
                top: Some(1),
                include_deleted: true,
                parameters: Vec::new(),
            },
        )
    }

    /// The write of an operation (protocol.md 14.3).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId) for an id that cannot stand in an address,
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a version that cannot stand in a header or kept members
    /// that cannot be read.
    pub fn write(&self, operation: &Outgoing) -> Result<Request> {
        let table = operation.table;
        let id = &operation.key.item_id;
        let asking: Vec<(&str, String)> = match self.dialect {
            Dialect::MobileServices => vec![(ALL_SYSTEM_PROPERTIES.0, ALL_SYSTEM_PROPERTIES.1.to_owned())],
            Dialect::MobileApps | Dialect::Datasync => Vec::new(),
        };
        let row = |parameters: &[(&str, String)]| self.endpoint.row(table.name, id, parameters);
        let mut request = match operation.sent {
            SentKind::Insert => self.request(
                Method::POST,
                self.endpoint.table(table.name, &asking)?,
                Some(body::encode(table, &operation.item)),
            ),
            SentKind::Update => match self.dialect {
                Dialect::MobileServices | Dialect::MobileApps => {
                    self.request(Method::PATCH, row(&asking)?, Some(body::encode(table, &operation.item)))
                }
                Dialect::Datasync => {
                    self.request(Method::PUT, row(&[])?, Some(self.whole(operation, false)?))
                }
            },
            // Its answer is empty or the row as it was: there is nothing to ask for.
            SentKind::Delete => self.request(Method::DELETE, row(&[])?, None),
            SentKind::Undelete => match (self.dialect, self.undelete) {
                (Dialect::MobileServices | Dialect::MobileApps, _) => {
                    self.request(Method::POST, row(&asking)?, None)
                }
                (Dialect::Datasync, UndeleteForm::Patch) => {
                    self.request(Method::PATCH, row(&[])?, Some(body::revival(self.dialect.names())))
                }
                (Dialect::Datasync, UndeleteForm::Put) => {
                    let including = [(self.dialect.include_deleted(), "true".to_owned())];
                    self.request(Method::PUT, row(&including)?, Some(self.whole(operation, true)?))
                }
            },
        };
        // Never on an insert: one real server stores the header as the row's version.
        if operation.sent != SentKind::Insert
            && table.versioned
            && let Some(version) = &operation.base_version
        {
            let value = etag::to_header(version)
                .map_err(|error| error.with_table(table.name).with_item(id.as_str()))?;
            request.headers.insert(IF_MATCH, value);
        }
        Ok(request)
    }

    fn whole(&self, operation: &Outgoing, revives: bool) -> Result<Bytes> {
        body::encode_whole(operation.table, &operation.item, self.dialect.names(), revives)
    }

    fn request(&self, method: Method, url: Url, body: Option<Bytes>) -> Request {
        request(method, url, self.dialect.api_version(), body)
    }
}

/// The question of a probe: one row, in no dialect's words, with this version header or none.
pub(super) fn probe(
    endpoint: &Endpoint,
    table: &TableSchema,
    version: Option<&'static str>,
) -> Result<Request> {
    let one = ("$top", "1".to_owned());
    let parameters = match version {
        // Other servers that take a request without a version do not know the parameter and ignore it.
        None => vec![one, (ALL_SYSTEM_PROPERTIES.0, ALL_SYSTEM_PROPERTIES.1.to_owned())],
        Some(_) => vec![one],
    };
    Ok(request(Method::GET, endpoint.table(table.name, &parameters)?, version, None))
}

fn request(method: Method, url: Url, version: Option<&'static str>, body: Option<Bytes>) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, JSON);
    if let Some(version) = version {
        headers.insert(API_VERSION, HeaderValue::from_static(version));
    }
    if body.is_some() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    Request { method, url, headers, body }
}

#[cfg(test)]
mod tests;
