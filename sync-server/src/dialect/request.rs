//! What requests of every dialect have in common: options of lists, bodies, and answers with rows.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sync_core::entity::ID;
use sync_core::odata::{self, Limits};
use sync_core::predicate::Node;
use sync_core::protocol::{Dialect, SystemNames};
use uuid::Uuid;

use super::conditional::{joined, tag_of};
use crate::access::Scope;
use crate::body::{self, BodyId, RowBody};
use crate::error::Refusal;
use crate::http::{Call, json, public_base, set};
use crate::json::{RowWriter, wire_name};
use crate::query::{self, Parameters};
use crate::server::Shared;
use crate::store::{Cell, Change, ListQuery, Listed, StoreError, StoredRow, Written, field_position};
use crate::table::{Field, Table};

/// Everything outside of the unreserved characters, as in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request for a table that exists, in its dialect.
pub(super) struct Request<'r> {
    pub(super) shared: &'r Shared,
    pub(super) table: &'r Arc<Table>,
    pub(super) parameters: &'r Parameters<'r>,
    pub(super) call: &'r Call,
    pub(super) dialect: Dialect,
    /// What the caller may see and write.
    pub(super) scope: Scope,
}

impl Request<'_> {
    pub(super) fn names(&self) -> &'static SystemNames {
        self.dialect.names()
    }

    // --- what the request says ---

    pub(super) fn filter(&self) -> Result<Option<Node>, Refusal> {
        match self.parameters.get("$filter")?.filter(|text| !text.trim().is_empty()) {
            None => Ok(None),
            Some(text) => odata::parse(text, self.table.schema, self.dialect, &Limits::default())
                .map(Some)
                .map_err(|error| Refusal::Bad(format!("invalid $filter: {error}"))),
        }
    }

    /// The properties named in `$select`, each once; none when it is absent or empty.
    pub(super) fn select(&self) -> Result<Vec<Field>, Refusal> {
        let names = query::list(self.parameters.get("$select")?.unwrap_or_default(), "$select")?;
        let mut fields = Vec::with_capacity(names.len());
        for name in names {
            let field = self.field(name, "$select")?;
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Ok(fields)
    }

    /// The keys asked for, then the id: without a total order, paging would lose rows.
    pub(super) fn order(&self) -> Result<Vec<(Node, bool)>, Refusal> {
        let text = self.parameters.get("$orderby")?.unwrap_or_default();
        let keys = odata::parse_order(text, self.table.schema, self.dialect, &Limits::default())
            .map_err(|error| Refusal::Bad(format!("invalid $orderby: {error}")))?;
        let mut order: Vec<(Node, bool)> = Vec::new();
        for (key, descending) in keys {
            if order.iter().all(|(known, _)| *known != key) {
                order.push((key, descending));
            }
        }
        // Behind the id nothing can decide any more.
        match order.iter().position(|(key, _)| *key == Node::Column(&ID)) {
            Some(position) => order.truncate(position + 1),
            None => order.push((Node::Column(&ID), false)),
        }
        Ok(order)
    }

    fn field(&self, name: &str, parameter: &str) -> Result<Field, Refusal> {
        let known = |field: &Field| {
            wire_name(self.table, *field, self.names()) == name
                && (self.dialect != Dialect::Datasync || *field != Field::CreatedAt)
        };
        self.table.fields().into_iter().find(known).ok_or_else(|| {
            let table = self.table.schema.name;
            Refusal::Bad(format!("{parameter} names '{name}', which table {table} does not have"))
        })
    }

    pub(super) fn body(&self) -> Result<RowBody, Refusal> {
        if !is_json(&self.call.headers) {
            return Err(Refusal::MediaType);
        }
        if is_encoded(&self.call.headers) {
            return Err(Refusal::Encoded);
        }
        match &self.call.body {
            Ok(body) => body::decode(body, self.table, self.dialect),
            Err(Refusal::TooLarge) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::bad("the body ended too early")),
        }
    }

    /// Text of the `If-Match` header.
    pub(super) fn if_match(&self) -> Option<String> {
        joined(&self.call.headers, header::IF_MATCH)
    }

    /// Where the row with this id is.
    pub(super) fn location(&self, id: &str) -> String {
        let base = public_base(self.shared, self.call).unwrap_or_default();
        let path = self.call.uri.path().trim_end_matches('/');
        format!("{base}{path}/{}", utf8_percent_encode(id, SEGMENT))
    }

    // --- what the store does ---

    /// The rows of a page between commas, behind `opening`.
    pub(super) async fn page(
        &self,
        query: ListQuery,
        opening: &'static str,
    ) -> Result<(String, Listed), Refusal> {
        let writer = RowWriter::new(self.table, &query.fields, self.names());
        let mut page = String::with_capacity(query.limit.min(1000) * 256);
        page.push_str(opening);
        let each = move |page: &mut String, row: &StoredRow| {
            if page.len() > opening.len() {
                page.push(',');
            }
            writer.write(page, row);
        };
        let listed = self.shared.store.list(Arc::clone(self.table), query, page, each).await;
        listed.map_err(|error| self.failed(&error))
    }

    /// The row with this id, deleted or not, whole.
    pub(super) async fn find(&self, id: &str) -> Result<StoredRow, Refusal> {
        let view = self.scope.view.clone();
        let found = self.shared.store.read(Arc::clone(self.table), id.to_owned(), view).await;
        found.map_err(|error| self.failed(&error))?.ok_or(Refusal::NoRow)
    }

    pub(super) async fn change(&self, mut change: Change) -> Result<Written, Refusal> {
        if let Some((place, value)) = &self.scope.stamp {
            change.stamp(*place, value);
        }
        let view = self.scope.view.clone();
        let written = self.shared.store.change(Arc::clone(self.table), change, view).await;
        written.map_err(|error| self.failed(&error))
    }

    pub(super) fn failed(&self, error: &StoreError) -> Refusal {
        match error {
            StoreError::Filter(unsupported) => {
                return Refusal::Bad(format!("invalid $filter: {}", unsupported.0));
            }
            StoreError::Order(unsupported) => {
                return Refusal::Bad(format!("invalid $orderby: {}", unsupported.0));
            }
            StoreError::OutOfView => return Refusal::Forbidden,
            StoreError::TooLong => return Refusal::Bad(error.to_string()),
            _ => {}
        }
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(table = self.table.schema.name, %error, cause, "a request failed");
        Refusal::Internal
    }

    // --- what the answer says ---

    /// An answer with these properties of a row, and its tag if the version is one of them.
    pub(super) fn row(&self, status: StatusCode, row: &StoredRow, fields: &[Field]) -> Response {
        let mut body = String::with_capacity(256);
        RowWriter::of_whole_rows(self.table, fields, self.names()).write(&mut body, row);
        let mut response = json(status, body);
        if fields.contains(&Field::Version) {
            set(&mut response, header::ETAG, &tag_of(version(row)));
        }
        response
    }
}

/// The id of a new row: the body's, or a fresh one.
pub(super) fn new_id(id: BodyId) -> Result<String, Refusal> {
    let id = match id {
        BodyId::Text(id) if !id.is_empty() => id,
        BodyId::Number(id) => id,
        BodyId::Text(_) | BodyId::None => Uuid::now_v7().hyphenated().to_string(),
    };
    check_id(&id)?;
    Ok(id)
}

/// Refuses a body whose id is not the address's.
pub(super) fn check_same_id(body: &BodyId, id: &str) -> Result<(), Refusal> {
    match body {
        BodyId::Text(body) | BodyId::Number(body) if body != id => {
            Err(Refusal::bad("member 'id' differs from the id in the address"))
        }
        _ => Ok(()),
    }
}

pub(super) fn id(row: &StoredRow) -> &str {
    text(row, Field::Id)
}

pub(super) fn version(row: &StoredRow) -> &str {
    text(row, Field::Version)
}

pub(super) fn is_deleted(row: &StoredRow) -> bool {
    row.cell(field_position(Field::Deleted)) == Cell::Integer(1)
}

fn text(row: &StoredRow, field: Field) -> &str {
    match row.cell(field_position(field)) {
        Cell::Text(text) => text,
        _ => "",
    }
}

/// Ids must survive the way through addresses and headers of every client.
fn check_id(id: &str) -> Result<(), Refusal> {
    const LONGEST: usize = 255;
    if id.chars().count() > LONGEST {
        return Err(Refusal::Bad(format!("member 'id' is longer than {LONGEST} characters")));
    }
    if id.chars().any(char::is_control) {
        return Err(Refusal::bad("member 'id' holds control characters"));
    }
    if matches!(id, "." | "..") {
        return Err(Refusal::bad("member 'id' must not be '.' or '..'"));
    }
    Ok(())
}

/// Whether the body is compressed, or encoded in another way.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    values.any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Whether the body is JSON by its content type; a missing one counts as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
