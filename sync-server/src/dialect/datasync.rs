//! Datasync (v3), as the Community Toolkit's server answers; with `PATCH` as its predecessor has it.
//!
//! Deliberately different from them: dates in conditional headers have the meaning of RFC 9110, an `If-Match`
//! that is no tag is refused instead of making the write unconditional, and query faults say what is wrong.

use axum::response::Response;
use chrono::{DateTime, Utc};
use http::{HeaderName, Method, StatusCode, header};
use sync_core::time;

use super::conditional::{Tag, Tags, date, http_date, joined, tag_of, tags};
use super::request::{Request, check_same_id, id as id_of, is_deleted, new_id, version};
use crate::body::{BodyId, RowBody};
use crate::error::Refusal;
use crate::http::{empty, json, set};
use crate::json::push_string;
use crate::query;
use crate::store::{
    Cell, Change, ListQuery, Precondition, StoredRow, Written, field_position, from_ticks, to_ticks,
};
use crate::table::Field;

/// Greatest `$top`; the pages are smaller.
const MAX_TOP: usize = 128_000;
const OPTIONS_HEADER: &str = "x-zumo-options";

/// An error: a JSON string where there is something to say, else nothing.
pub(super) fn refused(status: StatusCode, message: &str) -> Response {
    let says_all = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::GONE
    );
    if says_all {
        return empty(status);
    }
    let mut body = String::new();
    push_string(&mut body, message);
    json(status, body)
}

/// Does what the request asks.
pub(super) async fn run(request: &Request<'_>) -> Result<Response, Refusal> {
    match (&request.call.method, request.call.id.as_deref()) {
        (&Method::GET, None) => list(request).await,
        (&Method::POST, None) => insert(request).await,
        (_, None) => Err(Refusal::Method("GET, POST")),
        (&Method::GET, Some(id)) => read(request, id).await,
        (&Method::PUT, Some(id)) => replace(request, id).await,
        (&Method::PATCH, Some(id)) => patch(request, id).await,
        (&Method::DELETE, Some(id)) => delete(request, id).await,
        (_, Some(_)) => Err(Refusal::Method("GET, PUT, PATCH, DELETE")),
    }
}

async fn list(request: &Request<'_>) -> Result<Response, Refusal> {
    let config = &request.shared.config;
    let parameters = request.parameters;
    let top = query::top(parameters.get("$top")?, MAX_TOP)?;
    let skip = query::skip(parameters.get("$skip")?)?;
    let largest = config.datasync_page_size.min(config.page_cap.unwrap_or(usize::MAX));
    let selected = request.select()?;
    let query = ListQuery {
        fields: if selected.is_empty() { whole(request) } else { selected },
        filter: request.filter()?,
        order: request.order()?,
        view: request.scope.view.clone(),
        include_deleted: include_deleted(request),
        skip,
        limit: top.unwrap_or(largest).min(largest),
        count: parameters.get("$count")?.is_some_and(|value| value.eq_ignore_ascii_case("true")),
    };
    let (mut page, listed) = request.page(query, "{\"items\":[").await?;
    page.push_str("],\"count\":");
    match listed.total {
        Some(total) => page.push_str(&total.to_string()),
        None => page.push_str("null"),
    }
    page.push_str(",\"nextLink\":");
    let rest = top.map(|top| top.saturating_sub(listed.rows));
    if listed.more && rest != Some(0) {
        let next = parameters.next_page(skip.saturating_add(listed.rows as u64), rest);
        // The Toolkit's client puts the text into the query of its own address; only clients that ask for a
        // path understand one.
        if wants_path(request) {
            push_string(&mut page, &format!("{}?{next}", request.call.uri.path()));
        } else {
            push_string(&mut page, &next);
        }
    } else {
        page.push_str("null");
    }
    page.push('}');
    Ok(json(StatusCode::OK, page))
}

fn wants_path(request: &Request<'_>) -> bool {
    let lines = request.call.headers.get_all(OPTIONS_HEADER);
    lines.iter().any(|line| line.to_str().is_ok_and(|line| line.contains("nextLink=path")))
}

async fn read(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let row = request.find(id).await?;
    if is_deleted(&row) && !include_deleted(request) {
        return Err(Refusal::Gone);
    }
    if !expected(request)?.iter().all(|expected| expected.holds(&row)) {
        return Ok(answer(request, StatusCode::PRECONDITION_FAILED, &row));
    }
    if is_known(request, &row)? {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        validators(&mut response, &row);
        return Ok(response);
    }
    Ok(answer(request, StatusCode::OK, &row))
}

/// Whether `If-None-Match`, or else `If-Modified-Since`, says that the client has the row as it is.
fn is_known(request: &Request<'_>, row: &StoredRow) -> Result<bool, Refusal> {
    Ok(match conditions(request, header::IF_NONE_MATCH)? {
        Some(Tags::Any) => true,
        Some(Tags::List(list)) => list.iter().any(|tag| tag.version == version(row)),
        None => date(&request.call.headers, header::IF_MODIFIED_SINCE)
            .is_some_and(|second| Precondition::UnchangedSince(second).holds(row)),
    })
}

async fn insert(request: &Request<'_>) -> Result<Response, Refusal> {
    let RowBody { id, values, deleted, .. } = request.body()?;
    let deleted = mark(request, deleted)?.unwrap_or(false);
    match request.change(Change::Insert { id: new_id(id)?, values, deleted }).await? {
        Written::Done(row) => {
            let mut response = answer(request, StatusCode::CREATED, &row);
            set(&mut response, header::LOCATION, &request.location(id_of(&row)));
            Ok(response)
        }
        other => finish(request, other),
    }
}

/// `PUT`: the whole row; members left out take their defaults.
async fn replace(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let RowBody { id: body_id, values, deleted, .. } = request.body()?;
    if body_id == BodyId::None {
        return Err(Refusal::bad("member 'id' is missing"));
    }
    check_same_id(&body_id, id)?;
    let defaults = &request.table.defaults;
    let values = values.into_iter().zip(defaults);
    let change = Change::Update {
        id: id.to_owned(),
        expected: write_conditions(request)?,
        values: values.map(|(value, default)| Some(value.unwrap_or_else(|| default.clone()))).collect(),
        deleted: Some(mark(request, deleted)?.unwrap_or(false)),
        revive: include_deleted(request),
    };
    let written = request.change(change).await?;
    finish(request, written)
}

/// `PATCH`: the members sent; a deleted row only if they take the mark back.
async fn patch(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let RowBody { id: body_id, version, updated_at, deleted, values } = request.body()?;
    check_same_id(&body_id, id)?;
    let deleted = mark(request, deleted)?;
    let by_header = write_conditions(request)?;
    // System properties in the body must be the row's.
    let mut by_body: Vec<_> = version.map(Precondition::version).into_iter().collect();
    if let Some(text) = updated_at {
        let instant = time::parse(&text)
            .ok_or_else(|| Refusal::bad("member 'updatedAt' must be a date and time in ISO 8601"))?;
        by_body.push(Precondition::ChangedAt(to_ticks(instant)));
    }
    let expected = by_header.iter().cloned().chain(by_body).collect();
    let revive = deleted == Some(false);
    match request.change(Change::Update { id: id.to_owned(), expected, values, deleted, revive }).await? {
        Written::Stale(row) if by_header.iter().all(|expected| expected.holds(&row)) => {
            Err(Refusal::bad("members 'version' and 'updatedAt' cannot be changed"))
        }
        written => finish(request, written),
    }
}

async fn delete(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let expected = write_conditions(request)?;
    match request.change(Change::Delete { id: id.to_owned(), expected }).await? {
        Written::Done(_) => Ok(empty(StatusCode::NO_CONTENT)),
        other => finish(request, other),
    }
}

fn finish(request: &Request<'_>, written: Written) -> Result<Response, Refusal> {
    match written {
        Written::Done(row) => Ok(answer(request, StatusCode::OK, &row)),
        Written::Exists(row) => Ok(answer(request, StatusCode::CONFLICT, &row)),
        // The row is somebody else's: the answer does not even say that it is there.
        Written::Hidden => Ok(empty(StatusCode::BAD_REQUEST)),
        Written::Missing => Err(Refusal::NoRow),
        Written::Deleted(_) => Err(Refusal::Gone),
        Written::Stale(row) => Ok(answer(request, StatusCode::PRECONDITION_FAILED, &row)),
    }
}

/// The properties of a row: all but the creation time, which this generation does not have.
fn whole(request: &Request<'_>) -> Vec<Field> {
    request.table.fields().into_iter().filter(|field| *field != Field::CreatedAt).collect()
}

fn answer(request: &Request<'_>, status: StatusCode, row: &StoredRow) -> Response {
    let mut response = request.row(status, row, &whole(request));
    validators(&mut response, row);
    response
}

fn validators(response: &mut Response, row: &StoredRow) {
    set(response, header::ETAG, &tag_of(version(row)));
    if let Some(instant) = changed_at(row) {
        set(response, header::LAST_MODIFIED, &http_date(instant));
    }
}

fn changed_at(row: &StoredRow) -> Option<DateTime<Utc>> {
    match row.cell(field_position(Field::UpdatedAt)) {
        Cell::Integer(ticks) => from_ticks(ticks),
        _ => None,
    }
}

/// The deletion mark of a body, if the table can keep one.
fn mark(request: &Request<'_>, deleted: Option<bool>) -> Result<Option<bool>, Refusal> {
    if deleted == Some(true) && !request.table.soft_delete {
        return Err(Refusal::bad("member 'deleted' cannot be true: the table does not keep deleted rows"));
    }
    Ok(deleted)
}

fn include_deleted(request: &Request<'_>) -> bool {
    request
        .parameters
        .get_ignoring_case("__includeDeleted")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What `If-Match`, or else `If-Unmodified-Since`, demands.
fn expected(request: &Request<'_>) -> Result<Vec<Precondition>, Refusal> {
    Ok(match conditions(request, header::IF_MATCH)? {
        Some(Tags::Any) => Vec::new(),
        Some(Tags::List(list)) => vec![Precondition::VersionIn(strong(list))],
        None => date(&request.call.headers, header::IF_UNMODIFIED_SINCE)
            .map(Precondition::UnchangedSince)
            .into_iter()
            .collect(),
    })
}

/// As [`expected`], and what `If-None-Match` demands of a write.
fn write_conditions(request: &Request<'_>) -> Result<Vec<Precondition>, Refusal> {
    let mut all = expected(request)?;
    match conditions(request, header::IF_NONE_MATCH)? {
        None => {}
        // The row exists, or nothing is judged at all.
        Some(Tags::Any) => all.push(Precondition::VersionIn(Vec::new())),
        Some(Tags::List(list)) => {
            all.push(Precondition::VersionNotIn(list.into_iter().map(|tag| tag.version).collect()));
        }
    }
    Ok(all)
}

/// The versions that a strong comparison may find.
fn strong(list: Vec<Tag>) -> Vec<String> {
    list.into_iter().filter(|tag| !tag.weak).map(|tag| tag.version).collect()
}

fn conditions(request: &Request<'_>, name: HeaderName) -> Result<Option<Tags>, Refusal> {
    let Some(text) = joined(&request.call.headers, name.clone()) else { return Ok(None) };
    match tags(&text) {
        Some(tags) => Ok(Some(tags)),
        None => Err(Refusal::Bad(format!("the header {name} must hold tags in quotes, or *"))),
    }
}
