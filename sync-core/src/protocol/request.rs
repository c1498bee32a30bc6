//! Requests of the tables protocol, by dialect.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use url::Url;

use super::{Dialect, Endpoint, body, etag};
use crate::entity::{self, TableSchema};
use crate::error::Result;
use crate::odata;
use crate::operation::{Outgoing, SentKind};
use crate::predicate::{Comparison, Node};
use crate::transport::Request;
use crate::value::Value;

const API_VERSION: HeaderName = HeaderName::from_static("zumo-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

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
}

impl RequestBuilder {
    /// Requests to `endpoint` in `dialect`.
    pub fn new(endpoint: Endpoint, dialect: Dialect) -> Self {
        Self { endpoint, dialect }
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
        if let Some(skip) = query.skip {
            parameters.push(("$skip", skip.to_string()));
        }
        if let Some(top) = query.top {
            parameters.push(("$top", top.to_string()));
        }
        if query.include_deleted {
            parameters.push(("__includeDeleted", "true".to_owned()));
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
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a version that cannot stand in a header.
    pub fn write(&self, operation: &Outgoing) -> Result<Request> {
        let table = operation.table;
        let id = &operation.key.item_id;
        let mut request = match operation.sent {
            SentKind::Insert => self.request(
                Method::POST,
                self.endpoint.table(table.name, &[])?,
                Some(body::encode(table, &operation.item)),
            ),
            SentKind::Update => self.request(
                Method::PATCH,
                self.endpoint.row(table.name, id, &[])?,
                Some(body::encode(table, &operation.item)),
            ),
            SentKind::Delete => self.request(Method::DELETE, self.endpoint.row(table.name, id, &[])?, None),
            SentKind::Undelete => self.request(Method::POST, self.endpoint.row(table.name, id, &[])?, None),
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

    fn request(&self, method: Method, url: Url, body: Option<Bytes>) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, JSON);
        if let Some(version) = self.dialect.api_version() {
            headers.insert(API_VERSION, HeaderValue::from_static(version));
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        Request { method, url, headers, body }
    }
}
