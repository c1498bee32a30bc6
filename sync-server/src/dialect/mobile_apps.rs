//! Azure Mobile Apps (v2), as its Node server answers, without that server's faults.
//!
//! Deliberately different from it: faults of a query are 400 and not 500 or an empty list, unknown columns are
//! faults, a duplicate insert answers with the stored row, an empty change is no error, collections cannot be
//! changed at once, and a next link is offered only when a further row exists.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use sync_core::odata::{self, Limits};
use sync_core::protocol::{Dialect, SystemNames};
use uuid::Uuid;

use crate::body::{self, BodyId, RowBody};
use crate::error::{Refusal, ServerError};
use crate::http::{Call, json, public_base, set};
use crate::json::{RowWriter, push_string, wire_name};
use crate::query::{self, Parameters};
use crate::server::Shared;
use crate::store::{Cell, Change, ListQuery, StoreError, StoredRow, Written, field_position};
use crate::table::{Field, Table};

const DIALECT: Dialect = Dialect::MobileApps;
const NAMES: &SystemNames = DIALECT.names();
const VERSION_HEADER: &str = "zumo-api-version";
const SERVER_HEADER: HeaderName = HeaderName::from_static("x-zumo-server-version");
const SERVER_MARK: &str = concat!("sync-server-", env!("CARGO_PKG_VERSION"));

/// Whether a table can be served in this dialect.
///
/// # Errors
///
/// A column is named like a system property.
pub(crate) fn check(table: &Table) -> Result<(), ServerError> {
    let system = [NAMES.created_at, NAMES.updated_at, NAMES.version, NAMES.deleted];
    match table.columns.iter().find(|column| system.iter().any(|name| name.eq_ignore_ascii_case(column.name)))
    {
        None => Ok(()),
        Some(column) => Err(ServerError::configuration(format!(
            "column {} of table {} is named like a system property",
            column.name, table.schema.name
        ))),
    }
}

/// Answers one request.
pub(crate) async fn answer(shared: &Shared, call: Call) -> Response {
    let mut response = run(shared, call).await.unwrap_or_else(|refusal| refused(&refusal));
    set(&mut response, SERVER_HEADER, SERVER_MARK);
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

/// The answer to a request that was not done.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let (status, message) = match refusal {
        Refusal::Bad(message) => (StatusCode::BAD_REQUEST, message.clone()),
        Refusal::NoRoute => (StatusCode::NOT_FOUND, "There is nothing at this address".to_owned()),
        Refusal::NoTable(name) => (StatusCode::NOT_FOUND, format!("Table '{name}' does not exist")),
        Refusal::NoRow => (StatusCode::NOT_FOUND, "The item does not exist".to_owned()),
        Refusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here".to_owned()),
        Refusal::MediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json".to_owned())
        }
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large".to_owned()),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned()),
    };
    let mut body = String::from("{\"error\":");
    push_string(&mut body, &message);
    body.push('}');
    let mut response = json(status, body);
    if let Refusal::Method(allowed) = refusal {
        set(&mut response, header::ALLOW, allowed);
    }
    response
}

async fn run(shared: &Shared, call: Call) -> Result<Response, Refusal> {
    let parameters = Parameters::parse(call.uri.query())?;
    check_version(&call.headers, &parameters)?;
    let table = shared.table(&call.table).ok_or_else(|| Refusal::NoTable(call.table.clone()))?;
    let request = Request { shared, table, parameters: &parameters, call: &call };
    match (&call.method, call.id.as_deref()) {
        (&Method::GET, None) => request.list().await,
        (&Method::POST, None) => request.insert().await,
        (_, None) => Err(Refusal::Method("GET, POST")),
        (&Method::GET, Some(id)) => request.read(id).await,
        (&Method::PATCH, Some(id)) => request.update(id).await,
        (&Method::DELETE, Some(id)) => request.delete(id).await,
        (&Method::POST, Some(id)) if table.soft_delete => request.undelete(id).await,
        (_, Some(_)) if table.soft_delete => Err(Refusal::Method("GET, PATCH, DELETE, POST")),
        (_, Some(_)) => Err(Refusal::Method("GET, PATCH, DELETE")),
    }
}

/// `2.0.` and digits, in the header or else in the query string.
fn check_version(headers: &HeaderMap, parameters: &Parameters<'_>) -> Result<(), Refusal> {
    let version = match headers.get(VERSION_HEADER) {
        Some(version) => version.to_str().ok(),
        None => parameters.get_ignoring_case(VERSION_HEADER),
    };
    let build = version.and_then(|version| version.strip_prefix("2.0."));
    match build {
        Some(build) if !build.is_empty() && build.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(Refusal::bad("An invalid API version was specified: ZUMO-API-VERSION must be 2.0.0")),
    }
}

/// A request for a table that exists, in a version this dialect has.
struct Request<'r> {
    shared: &'r Shared,
    table: &'r Arc<Table>,
    parameters: &'r Parameters<'r>,
    call: &'r Call,
}

impl Request<'_> {
    async fn list(&self) -> Result<Response, Refusal> {
        let config = &self.shared.config;
        let top = query::top(self.parameters.get("$top")?, config.max_top)?;
        let skip = query::skip(self.parameters.get("$skip")?)?;
        let limit = top.unwrap_or(config.page_size).min(config.page_cap.unwrap_or(usize::MAX));
        let with_total = self.parameters.get("$inlinecount")? == Some("allpages");
        let fields = self.select()?;
        let writer = RowWriter::new(self.table, &fields, NAMES);
        let query = ListQuery {
            fields,
            filter: self.filter()?,
            order: self.order()?,
            include_deleted: self.include_deleted()?,
            skip,
            limit,
            count: with_total,
        };
        let mut page = String::with_capacity(limit.min(1000) * 256);
        page.push_str(if with_total { "{\"results\":[" } else { "[" });
        let start = page.len();
        let each = move |page: &mut String, row: &StoredRow| {
            if page.len() > start {
                page.push(',');
            }
            writer.write(page, row);
        };
        let (mut page, listed) = self
            .shared
            .store
            .list(Arc::clone(self.table), query, page, each)
            .await
            .map_err(|error| self.failed(error))?;
        page.push(']');
        if let Some(total) = listed.total {
            page.push_str(&format!(",\"count\":{total}}}"));
        }
        let mut response = json(StatusCode::OK, page);
        if listed.more && config.links {
            let base = public_base(self.shared, self.call).unwrap_or_default();
            let next = self.parameters.next_page(skip.saturating_add(listed.rows as u64));
            // Bare, without brackets and quotes: the classic clients know no other form.
            let link = format!("{base}{}?{next}; rel=next", self.call.uri.path());
            set(&mut response, header::LINK, &link);
        }
        Ok(response)
    }

    async fn read(&self, id: &str) -> Result<Response, Refusal> {
        let found = self.shared.store.read(Arc::clone(self.table), id.to_owned()).await;
        let row = found.map_err(|error| self.failed(error))?.ok_or(Refusal::NoRow)?;
        let deleted = row.cell(field_position(Field::Deleted)) == Cell::Integer(1);
        if deleted && !self.include_deleted()? {
            return Err(Refusal::NoRow);
        }
        Ok(self.row(StatusCode::OK, &row))
    }

    async fn insert(&self) -> Result<Response, Refusal> {
        let RowBody { id, version: _, values } = self.body()?;
        let id = match id {
            BodyId::Text(id) if !id.is_empty() => id,
            BodyId::Number(id) => id,
            BodyId::Text(_) | BodyId::None => Uuid::now_v7().hyphenated().to_string(),
        };
        check_id(&id)?;
        self.change(Change::Insert { id, values }, StatusCode::CREATED).await
    }

    async fn update(&self, id: &str) -> Result<Response, Refusal> {
        let RowBody { id: body_id, version, values } = self.body()?;
        if let BodyId::Text(body_id) | BodyId::Number(body_id) = body_id
            && body_id != id
        {
            return Err(Refusal::bad("member 'id' differs from the id in the address"));
        }
        let expected = self.if_match().into_iter().chain(version).collect();
        self.change(Change::Update { id: id.to_owned(), expected, values }, StatusCode::OK).await
    }

    async fn delete(&self, id: &str) -> Result<Response, Refusal> {
        let expected = self.if_match().into_iter().collect();
        self.change(Change::Delete { id: id.to_owned(), expected }, StatusCode::OK).await
    }

    async fn undelete(&self, id: &str) -> Result<Response, Refusal> {
        let expected = self.if_match().into_iter().collect();
        self.change(Change::Undelete { id: id.to_owned(), expected }, StatusCode::CREATED).await
    }

    async fn change(&self, change: Change, success: StatusCode) -> Result<Response, Refusal> {
        let written = self.shared.store.change(Arc::clone(self.table), change).await;
        match written.map_err(|error| self.failed(error))? {
            Written::Done(row) => Ok(self.row(success, &row)),
            Written::Exists(row) => Ok(self.row(StatusCode::CONFLICT, &row)),
            Written::Missing | Written::Deleted(_) => Err(Refusal::NoRow),
            Written::Stale(row) => {
                // A version in the body is the weaker precondition: it answers only where the header agrees.
                let by_header = self.if_match().is_some_and(|expected| expected != version(&row));
                let status = if by_header { StatusCode::PRECONDITION_FAILED } else { StatusCode::CONFLICT };
                Ok(self.row(status, &row))
            }
        }
    }

    // --- what the request says ---

    fn include_deleted(&self) -> Result<bool, Refusal> {
        Ok(self.parameters.get("__includeDeleted")? == Some("true"))
    }

    fn filter(&self) -> Result<Option<sync_core::predicate::Node>, Refusal> {
        match self.parameters.get("$filter")?.filter(|text| !text.trim().is_empty()) {
            None => Ok(None),
            Some(text) => odata::parse(text, self.table.schema, DIALECT, &Limits::default())
                .map(Some)
                .map_err(|error| Refusal::Bad(format!("invalid $filter: {error}"))),
        }
    }

    fn select(&self) -> Result<Vec<Field>, Refusal> {
        let names = query::list(self.parameters.get("$select")?.unwrap_or_default(), "$select")?;
        if names.is_empty() {
            return Ok(self.table.fields());
        }
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
    fn order(&self) -> Result<Vec<(Field, bool)>, Refusal> {
        let mut order: Vec<(Field, bool)> = Vec::new();
        for key in query::list(self.parameters.get("$orderby")?.unwrap_or_default(), "$orderby")? {
            let mut words = key.split_ascii_whitespace();
            let field = self.field(words.next().unwrap_or_default(), "$orderby")?;
            let descending = match words.next() {
                None => false,
                Some(word) if word.eq_ignore_ascii_case("asc") => false,
                Some(word) if word.eq_ignore_ascii_case("desc") => true,
                Some(_) => return Err(Refusal::bad("$orderby knows the directions asc and desc")),
            };
            if words.next().is_some() {
                return Err(Refusal::bad("$orderby takes a column and a direction, separated by commas"));
            }
            if order.iter().all(|(known, _)| *known != field) {
                order.push((field, descending));
            }
        }
        // Behind the id nothing can decide any more.
        match order.iter().position(|(field, _)| *field == Field::Id) {
            Some(position) => order.truncate(position + 1),
            None => order.push((Field::Id, false)),
        }
        Ok(order)
    }

    fn field(&self, name: &str, parameter: &str) -> Result<Field, Refusal> {
        self.table.fields().into_iter().find(|field| wire_name(self.table, *field, NAMES) == name).ok_or_else(
            || {
                let table = self.table.schema.name;
                Refusal::Bad(format!("{parameter} names '{name}', which table {table} does not have"))
            },
        )
    }

    fn body(&self) -> Result<RowBody, Refusal> {
        if !is_json(&self.call.headers) {
            return Err(Refusal::MediaType);
        }
        match &self.call.body {
            Ok(body) => body::decode(body, self.table, NAMES),
            Err(Refusal::TooLarge) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::bad("the body ended too early")),
        }
    }

    /// The version in `If-Match`: one strong tag, or the version without quotes. Anything else (`*`, a weak
    /// tag, a list, no text at all) stays as it is and equals no version.
    fn if_match(&self) -> Option<String> {
        let values: Vec<_> = self
            .call
            .headers
            .get_all(header::IF_MATCH)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        if values.is_empty() {
            return None;
        }
        let value = values.join(", ");
        let value = value.trim();
        match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(inside) => Some(inside.replace("\\\"", "\"")),
            None => Some(value.to_owned()),
        }
    }

    // --- what the answer says ---

    fn row(&self, status: StatusCode, row: &StoredRow) -> Response {
        let mut body = String::with_capacity(256);
        RowWriter::new(self.table, &self.table.fields(), NAMES).write(&mut body, row);
        let mut response = json(status, body);
        set(&mut response, header::ETAG, &format!("\"{}\"", version(row).replace('"', "\\\"")));
        response
    }

    fn failed(&self, error: StoreError) -> Refusal {
        if let StoreError::Filter(unsupported) = error {
            return Refusal::Bad(format!("invalid $filter: {}", unsupported.0));
        }
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(table = self.table.schema.name, %error, cause, "a request failed");
        Refusal::Internal
    }
}

fn version(row: &StoredRow) -> &str {
    match row.cell(field_position(Field::Version)) {
        Cell::Text(version) => version,
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

/// Whether the body is JSON by its content type; a missing one counts as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
