//! Mobile Services (v1), as its Node runtime answers.
//!
//! Rows show the system properties only on request (`__systemProperties`), inserts and updates answer with what
//! was sent, there are no next links, and an unknown option of a query is a fault.
//!
//! Deliberately different from the original: unknown columns are faults and not an empty list, since tables do
//! not grow columns here, and a `$skip` below 0 is refused.

use axum::response::Response;
use http::{Method, StatusCode, header};
use sync_core::entity::ID;
use sync_core::predicate::{Comparison, Node};
use sync_core::value::Value;

use super::conditional::{Tags, joined, tag_of, tags};
use super::request::{Request, check_same_id, id as id_of, new_id, version};
use crate::body::{BodyId, RowBody};
use crate::error::Refusal;
use crate::http::{empty, json, set};
use crate::json::push_string;
use crate::query;
use crate::store::{Change, ListQuery, Precondition, StoredRow, Written};
use crate::table::Field;

/// An error: `{"code": status, "error": "Error: message"}`.
pub(super) fn refused(refusal: &Refusal, status: StatusCode, message: &str) -> Response {
    match refusal {
        Refusal::Method(_) => return empty(status),
        Refusal::VersionSent => {
            let mut response = json(status, message.to_owned());
            set(&mut response, header::CONTENT_TYPE, "text/html; charset=utf-8");
            return response;
        }
        _ => {}
    }
    let is_body = matches!(refusal, Refusal::MediaType | Refusal::Encoded);
    let status = if is_body { StatusCode::BAD_REQUEST } else { status };
    let mut body = format!("{{\"code\":{},\"error\":", status.as_u16());
    push_string(&mut body, &format!("Error: {message}"));
    body.push('}');
    json(status, body)
}

/// Does what the request asks.
pub(super) async fn run(request: &Request<'_>) -> Result<Response, Refusal> {
    match (&request.call.method, request.call.id.as_deref()) {
        (&Method::GET, None) => list(request).await,
        (&Method::POST, None) => insert(request).await,
        (&Method::PATCH, None) => Err(Refusal::bad("An id value must be specified in the URL for an update")),
        (_, None) => Err(Refusal::Method("GET, POST")),
        (&Method::GET, Some(id)) => read(request, id).await,
        (&Method::PATCH, Some(id)) => update(request, id).await,
        (&Method::DELETE, Some(id)) => delete(request, id).await,
        (&Method::POST, Some(id)) => undelete(request, id).await,
        (_, Some(_)) => Err(Refusal::Method("GET, POST, PATCH, DELETE")),
    }
}

async fn list(request: &Request<'_>) -> Result<Response, Refusal> {
    check_options(request, &["$filter", "$orderby", "$select", "$top", "$skip", "$inlinecount"])?;
    let config = &request.shared.config;
    let top = query::top(request.parameters.get("$top")?, config.max_top)?;
    let skip = query::skip(request.parameters.get("$skip")?)?;
    let with_total = match request.parameters.get("$inlinecount")? {
        None | Some("none") => false,
        Some("allpages") => true,
        Some(_) => return Err(Refusal::bad("$inlinecount must be 'allpages' or 'none'")),
    };
    let query = ListQuery {
        fields: shown(request)?,
        filter: request.filter()?,
        order: request.order()?,
        view: request.scope.view.clone(),
        include_deleted: include_deleted(request),
        skip,
        limit: top.unwrap_or(config.page_size).min(config.page_cap.unwrap_or(usize::MAX)),
        count: with_total,
    };
    let (mut page, listed) = request.page(query, if with_total { "{\"results\":[" } else { "[" }).await?;
    page.push(']');
    if let Some(total) = listed.total {
        page.push_str(&format!(",\"count\":{total}}}"));
    }
    Ok(json(StatusCode::OK, page))
}

/// A single read takes a filter, so it is a list of at most one row.
async fn read(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    check_options(request, &["$filter", "$select"])?;
    let fields = shown(request)?;
    let this = Node::compare(&ID, Comparison::Eq, Value::Text(id.to_owned()));
    let query = ListQuery {
        fields: request.table.fields(),
        filter: Some(match request.filter()? {
            Some(filter) => this.and(filter),
            None => this,
        }),
        order: vec![(Node::Column(&ID), false)],
        view: request.scope.view.clone(),
        include_deleted: include_deleted(request),
        skip: 0,
        limit: 1,
        count: false,
    };
    let keep = |found: &mut Option<StoredRow>, row: &StoredRow| *found = Some(row.clone());
    let listed = request.shared.store.list(request.table.clone(), query, None, keep).await;
    let (found, _) = listed.map_err(|error| request.failed(&error))?;
    let row = found.ok_or(Refusal::NoRow)?;
    if fields.contains(&Field::Version) && is_known(request, &row) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        set(&mut response, header::ETAG, &tag_of(version(&row)));
        return Ok(response);
    }
    Ok(request.row(StatusCode::OK, &row, &fields))
}

/// Whether `If-None-Match` names the row's version.
fn is_known(request: &Request<'_>, row: &StoredRow) -> bool {
    let known = joined(&request.call.headers, header::IF_NONE_MATCH).and_then(|text| tags(&text));
    match known {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::List(list)) => list.iter().any(|tag| tag.version == version(row)),
    }
}

async fn insert(request: &Request<'_>) -> Result<Response, Refusal> {
    let system = system_properties(request)?;
    let RowBody { id, values, .. } = request.body()?;
    check_insert_id(&id)?;
    let fields = sent(&values, system);
    let change = Change::Insert { id: new_id(id)?, values, deleted: false };
    match request.change(change).await? {
        Written::Done(row) => {
            let mut response = request.row(StatusCode::CREATED, &row, &fields);
            set(&mut response, header::LOCATION, &request.location(id_of(&row)));
            Ok(response)
        }
        Written::Exists(_) | Written::Hidden => {
            let mut body = String::from("{\"code\":409,\"error\":");
            push_string(
                &mut body,
                "Error: Could not insert the item because an item with that id already exists.",
            );
            body.push('}');
            Ok(json(StatusCode::CONFLICT, body))
        }
        other => finish(request, other, StatusCode::CREATED, &fields),
    }
}

async fn update(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let mut system = system_properties(request)?;
    let expected = expected(request)?;
    let RowBody { id: body_id, values, .. } = request.body()?;
    check_same_id(&body_id, id)?;
    if request.if_match().is_some() && !system.contains(&Field::Version) {
        system.push(Field::Version);
    }
    let fields = sent(&values, system);
    let change = Change::Update { id: id.to_owned(), expected, values, deleted: None, revive: false };
    let written = request.change(change).await?;
    finish(request, written, StatusCode::OK, &fields)
}

async fn delete(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let expected = expected(request)?;
    match request.change(Change::Delete { id: id.to_owned(), expected }).await? {
        Written::Done(_) => Ok(empty(StatusCode::NO_CONTENT)),
        Written::Deleted(_) if request.if_match().is_none() => Err(Refusal::NoRow),
        other => finish(request, other, StatusCode::NO_CONTENT, &[]),
    }
}

async fn undelete(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let system = system_properties(request)?;
    let expected = expected(request)?;
    if !request.table.soft_delete {
        return Err(Refusal::bad("The table does not keep deleted items"));
    }
    let has_body = !matches!(&request.call.body, Ok(body) if body.is_empty());
    if has_body || request.call.headers.contains_key(header::CONTENT_TYPE) {
        return Err(Refusal::bad("The request to undelete an item must not have a body"));
    }
    let mut fields = vec![Field::Id, Field::Deleted];
    fields.extend(system.into_iter().filter(|field| *field != Field::Deleted));
    let written = request.change(Change::Undelete { id: id.to_owned(), expected }).await?;
    finish(request, written, StatusCode::OK, &fields)
}

fn finish(
    request: &Request<'_>,
    written: Written,
    success: StatusCode,
    fields: &[Field],
) -> Result<Response, Refusal> {
    match written {
        Written::Done(row) => Ok(request.row(success, &row, fields)),
        Written::Missing | Written::Hidden => Err(Refusal::NoRow),
        Written::Exists(row) | Written::Deleted(row) | Written::Stale(row) => {
            Ok(request.row(StatusCode::PRECONDITION_FAILED, &row, &request.table.fields()))
        }
    }
}

/// The members of an answer to a write: the id, what was sent, and the system properties asked for.
fn sent(values: &[Option<Value>], system: Vec<Field>) -> Vec<Field> {
    let columns = values.iter().enumerate().filter(|(_, value)| value.is_some());
    let mut fields = vec![Field::Id];
    fields.extend(columns.map(|(index, _)| Field::Column(index)));
    fields.extend(system);
    fields
}

/// The members of rows read: those named in `$select`, else the id and the table's columns; with the system
/// properties asked for.
fn shown(request: &Request<'_>) -> Result<Vec<Field>, Refusal> {
    let mut fields = request.select()?;
    if fields.is_empty() {
        fields.push(Field::Id);
        fields.extend((0..request.table.columns.len()).map(Field::Column));
    }
    for field in system_properties(request)? {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    Ok(fields)
}

/// The properties that `__systemProperties` asks for, each once.
fn system_properties(request: &Request<'_>) -> Result<Vec<Field>, Refusal> {
    const KNOWN: [(&str, Field); 4] = [
        ("createdat", Field::CreatedAt),
        ("updatedat", Field::UpdatedAt),
        ("version", Field::Version),
        ("deleted", Field::Deleted),
    ];
    let text = request.parameters.get_ignoring_case("__systemProperties").unwrap_or_default();
    if text.trim() == "*" {
        return Ok(KNOWN.map(|(_, field)| field).to_vec());
    }
    let mut fields = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let name = word.strip_prefix("__").unwrap_or(word).to_ascii_lowercase();
        let Some((_, field)) = KNOWN.into_iter().find(|(known, _)| *known == name) else {
            return Err(Refusal::bad("__systemProperties names a property that does not exist"));
        };
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    Ok(fields)
}

/// Refuses options this request does not have; names without `$` and `__` are none.
fn check_options(request: &Request<'_>, known: &[&str]) -> Result<(), Refusal> {
    let is_system = |name: &str| {
        ["__systemProperties", "__includeDeleted"].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    for name in request.parameters.names() {
        let is_option = name.starts_with('$') || (name.starts_with("__") && !is_system(name));
        if is_option && !known.contains(&name) {
            return Err(Refusal::bad("The query has an option that is not supported here"));
        }
    }
    Ok(())
}

fn include_deleted(request: &Request<'_>) -> bool {
    matches!(request.parameters.get_ignoring_case("__includeDeleted"), Some("true" | "TRUE"))
}

/// `If-Match`: one quoted text; `*` is no condition.
fn expected(request: &Request<'_>) -> Result<Vec<Precondition>, Refusal> {
    match request.if_match().as_deref() {
        None | Some("*") => Ok(Vec::new()),
        Some(text) => match serde_json::from_str::<String>(text) {
            Ok(version) => Ok(vec![Precondition::version(version)]),
            Err(_) => Err(Refusal::bad("Invalid 'if-match' header.")),
        },
    }
}

/// The characters that the original refuses besides those that no dialect takes.
fn check_insert_id(id: &BodyId) -> Result<(), Refusal> {
    match id {
        BodyId::Text(id) if id.contains(['"', '+', '?', '\\', '/', '`']) => {
            Err(Refusal::bad("member 'id' holds one of the characters \" + ? \\ / `"))
        }
        _ => Ok(()),
    }
}
