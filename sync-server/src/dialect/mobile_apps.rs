//! Azure Mobile Apps (v2), as its Node server answers, without that server's faults.
//!
//! Deliberately different from it: faults of a query are 400 and not 500 or an empty list, unknown columns are
//! faults, a duplicate insert answers with the stored row, an empty change is no error, collections cannot be
//! changed at once, and a next link is offered only when a further row exists.

use axum::response::Response;
use http::{Method, StatusCode, header};

use super::request::{Request, check_same_id, is_deleted, new_id, version};
use crate::body::RowBody;
use crate::error::Refusal;
use crate::http::{json, public_base, set};
use crate::json::push_string;
use crate::query;
use crate::store::{Change, ListQuery, Precondition, StoredRow, Written};

/// An error: `{"error": message}`.
pub(super) fn refused(status: StatusCode, message: &str) -> Response {
    let mut body = String::from("{\"error\":");
    push_string(&mut body, message);
    body.push('}');
    json(status, body)
}

/// Does what the request asks.
pub(super) async fn run(request: &Request<'_>) -> Result<Response, Refusal> {
    let table = request.table;
    match (&request.call.method, request.call.id.as_deref()) {
        (&Method::GET, None) => list(request).await,
        (&Method::POST, None) => insert(request).await,
        (_, None) => Err(Refusal::Method("GET, POST")),
        (&Method::GET, Some(id)) => read(request, id).await,
        (&Method::PATCH, Some(id)) => update(request, id).await,
        (&Method::DELETE, Some(id)) => {
            let change = Change::Delete { id: id.to_owned(), expected: expected(request) };
            finish(request, change, StatusCode::OK).await
        }
        (&Method::POST, Some(id)) if table.soft_delete => {
            let change = Change::Undelete { id: id.to_owned(), expected: expected(request) };
            finish(request, change, StatusCode::CREATED).await
        }
        (_, Some(_)) if table.soft_delete => Err(Refusal::Method("GET, PATCH, DELETE, POST")),
        (_, Some(_)) => Err(Refusal::Method("GET, PATCH, DELETE")),
    }
}

async fn list(request: &Request<'_>) -> Result<Response, Refusal> {
    let config = &request.shared.config;
    // 0 asks for the default.
    let top = query::top(request.parameters.get("$top")?, config.max_top)?.filter(|top| *top > 0);
    let skip = query::skip(request.parameters.get("$skip")?)?;
    let with_total = request.parameters.get("$inlinecount")? == Some("allpages");
    let selected = request.select()?;
    let query = ListQuery {
        fields: if selected.is_empty() { request.table.fields() } else { selected },
        filter: request.filter()?,
        order: request.order()?,
        view: request.scope.view.clone(),
        include_deleted: include_deleted(request)?,
        skip,
        limit: top.unwrap_or(config.page_size).min(config.page_cap.unwrap_or(usize::MAX)),
        count: with_total,
    };
    let (mut page, listed) = request.page(query, if with_total { "{\"results\":[" } else { "[" }).await?;
    page.push(']');
    if let Some(total) = listed.total {
        page.push_str(&format!(",\"count\":{total}}}"));
    }
    let mut response = json(StatusCode::OK, page);
    if listed.more && config.links {
        let base = public_base(request.shared, request.call).unwrap_or_default();
        let next = request.parameters.next_page(skip.saturating_add(listed.rows as u64), None);
        // Bare, without brackets and quotes: the classic clients know no other form.
        let link = format!("{base}{}?{next}; rel=next", request.call.uri.path());
        set(&mut response, header::LINK, &link);
    }
    Ok(response)
}

async fn read(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let row = request.find(id).await?;
    if is_deleted(&row) && !include_deleted(request)? {
        return Err(Refusal::NoRow);
    }
    Ok(whole(request, StatusCode::OK, &row))
}

async fn insert(request: &Request<'_>) -> Result<Response, Refusal> {
    let RowBody { id, values, .. } = request.body()?;
    let change = Change::Insert { id: new_id(id)?, values, deleted: false };
    finish(request, change, StatusCode::CREATED).await
}

async fn update(request: &Request<'_>, id: &str) -> Result<Response, Refusal> {
    let RowBody { id: body_id, version, values, .. } = request.body()?;
    check_same_id(&body_id, id)?;
    let mut expected = expected(request);
    expected.extend(version.map(Precondition::version));
    let change = Change::Update { id: id.to_owned(), expected, values, deleted: None, revive: false };
    finish(request, change, StatusCode::OK).await
}

async fn finish(request: &Request<'_>, change: Change, success: StatusCode) -> Result<Response, Refusal> {
    match request.change(change).await? {
        Written::Done(row) => Ok(whole(request, success, &row)),
        Written::Exists(row) => Ok(whole(request, StatusCode::CONFLICT, &row)),
        // The row is somebody else's: nothing of it is shown.
        Written::Hidden => Ok(refused(StatusCode::CONFLICT, "An item with this id exists already")),
        Written::Missing | Written::Deleted(_) => Err(Refusal::NoRow),
        Written::Stale(row) => {
            // A version in the body is the weaker precondition: it answers only where the header agrees.
            let by_header = if_match(request).is_some_and(|expected| expected != version(&row));
            let status = if by_header { StatusCode::PRECONDITION_FAILED } else { StatusCode::CONFLICT };
            Ok(whole(request, status, &row))
        }
    }
}

fn whole(request: &Request<'_>, status: StatusCode, row: &StoredRow) -> Response {
    request.row(status, row, &request.table.fields())
}

fn include_deleted(request: &Request<'_>) -> Result<bool, Refusal> {
    Ok(request.parameters.get("__includeDeleted")? == Some("true"))
}

/// The version in `If-Match`: one strong tag, or the version without quotes. Anything else (`*`, a weak tag, a
/// list, no text at all) stays as it is and equals no version.
fn if_match(request: &Request<'_>) -> Option<String> {
    let value = request.if_match()?;
    Some(match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(inside) => inside.replace("\\\"", "\""),
        None => value,
    })
}

fn expected(request: &Request<'_>) -> Vec<Precondition> {
    if_match(request).map(Precondition::version).into_iter().collect()
}
