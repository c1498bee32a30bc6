//! Direct calls: rows read from and written to the server without the local store.
//!
//! Nothing here touches the local tables, the queue or a token. A call is one request, or one per page; it passes
//! through the same handlers as sync does and is never repeated by itself. A call that fails with
//! [`ErrorKind::Network`] may have reached the server: an insert under an id of one's own can be called again, since
//! a row that already holds what is sent counts as done.
//!
//! `sync-diesel` puts types around this: `sync.remote::<Todo>()`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::entity::{self, ColumnRole, ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate;
use crate::memory::default;
use crate::operation::{FailureClass, OperationKey, Outgoing, SentKind};
use crate::page::for_each_row;
use crate::predicate::{Comparison, Node, Predicate};
use crate::profile::ServerProfile;
use crate::protocol::{Dialect, ListQuery, RequestBuilder, response};
use crate::push::{Reading, Stop, read_answer, read_fetched};
use crate::pushdown;
use crate::row::{Row, TableRow};
use crate::store::{Failure, Outcome};
use crate::transport::{Request, Response, SendError, Transport};
use crate::value::{ColumnType, Value};

/// Largest page asked of any server (L-09).
const MAX_PAGE: u32 = 1000;

/// The tables of a server, without a local copy.
#[derive(Clone)]
pub struct Remote {
    transport: Arc<dyn Transport>,
    requests: RequestBuilder,
    profile: ServerProfile,
}

/// What [`Remote::load`] asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteQuery {
    /// Table and filter.
    pub predicate: Predicate,
    /// Keys of the order, each with whether the greatest comes first; rows with equal keys come by id.
    pub order_by: Vec<(&'static ColumnSchema, bool)>,
    /// Leaves out the first rows.
    pub skip: u64,
    /// At most this many rows.
    pub top: Option<u64>,
    /// Also rows marked deleted.
    pub include_deleted: bool,
}

impl RemoteQuery {
    /// Every row that matches, in the order of ids.
    pub fn new(predicate: Predicate) -> Self {
        Self { predicate, order_by: Vec::new(), skip: 0, top: None, include_deleted: false }
    }
}

impl Remote {
    /// Direct calls in `requests`' dialect through `transport`.
    pub fn new(transport: Arc<dyn Transport>, requests: RequestBuilder, profile: ServerProfile) -> Self {
        let requests = requests.with_undelete(profile.undelete());
        Self { transport, requests, profile }
    }

    /// Reads the rows of a query, page by page until all are there.
    ///
    /// The filter is divided by the server's profile: what the server is not trusted with is judged here, after
    /// fetching, so that such a query may read more rows than it returns. Without an order or a skip the pages
    /// follow the ids, and rows that come or go meanwhile cost nothing else; with one of them the pages are counted,
    /// and a row that moves between two requests may be left out.
    ///
    /// The server sorts: its collation, and where it puts null, are its own. Nothing comes, without an error, for a
    /// filter by a column that the table of a server with a dynamic schema lacks: a pull finds that out, a
    /// direct call has no place to keep what it would learn.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an order by a local-only column; [`ErrorKind::UnknownTable`],
    /// [`ErrorKind::Network`], [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`], [`ErrorKind::Refused`];
    /// [`ErrorKind::InvalidResponse`] for an answer that is no list, a row that does not fit the table, or a server
    /// that ignores the place to go on from.
    pub async fn load(&self, query: RemoteQuery) -> Result<Vec<Row>> {
        let table = query.predicate.table;
        if let Some((column, _)) = query.order_by.iter().find(|(column, _)| column.local) {
            let message = format!("the column {} is local-only; the server cannot order by it", column.name);
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_table(table.name));
        }
        let split = pushdown::split(&query.predicate.node, &self.profile, self.requests.dialect());
        let rest = split.local_rest;
        let mut pages = Pages::new(&query, split.remote.unwrap_or(Node::ALWAYS), rest.is_some());
        let mut skip = if rest.is_some() { query.skip } else { 0 };
        let wanted = query.top.unwrap_or(u64::MAX);
        let mut rows = Vec::new();
        while (rows.len() as u64) < wanted {
            // Rows that are dropped here do not count, so with a rest the last page cannot be cut to size.
            let missing = if rest.is_some() { u64::MAX } else { wanted - rows.len() as u64 };
            let page_size =
                self.profile.max_page().min(MAX_PAGE).min(u32::try_from(missing).unwrap_or(u32::MAX));
            let request = self.requests.list(table, &pages.next(page_size, self.requests.dialect()))?;
            let answer = self.send(request).await.map_err(|error| error.with_table(table.name))?;
            let page = self.read_page(table, &answer)?;
            let length = page.len() as u64;
            for row in pages.take_new(page).map_err(|error| error.with_table(table.name))? {
                let is_wanted = (query.include_deleted || !row.deleted)
                    && rest
                        .as_ref()
                        .is_none_or(|rest| evaluate::matches(rest, &TableRow { table, row: &row }));
                if !is_wanted {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                } else if (rows.len() as u64) < wanted {
                    rows.push(complete(table, row, None)?);
                }
            }
            let is_last = |guaranteed: u32| length < u64::from(guaranteed.min(page_size));
            if length == 0 || self.profile.guaranteed_page().is_some_and(is_last) {
                break;
            }
        }
        Ok(rows)
    }

    /// Tells what of a predicate the server is asked for, what is judged here, and why. Sends nothing.
    ///
    /// # Errors
    ///
    /// Those of [`pushdown::explain`].
    pub fn explain(&self, predicate: &Predicate) -> Result<pushdown::Explanation> {
        pushdown::explain(predicate, &self.profile, self.requests.dialect())
    }

    /// Reads one row; `None` if the server has none, or it is marked deleted.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`ErrorKind::InvalidId`] for an id that cannot be asked for.
    pub async fn get(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        let row = self.fetch(table, id).await?.filter(|row| !row.deleted);
        row.map(|row| complete(table, row, None)).transpose()
    }

    /// Inserts a row; returns it as the server has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the id is taken by another row, also by a deleted one;
    /// [`ErrorKind::InvalidId`], and the errors of the server.
    pub async fn insert(&self, table: &'static TableSchema, row: Row) -> Result<Row> {
        let operation = outgoing(table, SentKind::Insert, row, None);
        let answered = self.write(&operation).await?;
        complete(table, answered.unwrap_or_else(|| operation.item.clone()), Some(&operation.item))
    }

    /// Replaces the columns of a row, on the condition that it still has `row.version`; without a version, whatever
    /// it holds. Returns the row as the server has it, its version as far as the server shows it.
    ///
    /// In dialect v3 the server's row is read first, since an update there replaces the row as a whole: columns this
    /// program does not know stay as they are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the row has another version or is marked deleted; [`ErrorKind::NotFound`] when
    /// it is not there; the errors of the server.
    pub async fn update(&self, table: &'static TableSchema, mut row: Row) -> Result<Row> {
        if self.requests.dialect() == Dialect::Datasync {
            row.extra = self.fetch(table, &row.id).await?.and_then(|held| held.extra);
        }
        let version = row.version.take();
        let operation = outgoing(table, SentKind::Update, row, version);
        let answered = self.write(&operation).await?;
        complete(table, answered.unwrap_or_else(|| operation.item.clone()), Some(&operation.item))
    }

    /// Deletes a row, on the condition that it still has this version; without one, whatever it holds. A row that is
    /// not there counts as deleted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the row has another version; the errors of the server.
    pub async fn delete(&self, table: &'static TableSchema, id: &str, version: Option<&str>) -> Result<()> {
        let row = Row::empty(table, id);
        self.write(&outgoing(table, SentKind::Delete, row, version.map(str::to_owned))).await?;
        Ok(())
    }

    /// Brings a row back that is marked deleted; returns it. In dialect v3, where the whole row is sent back, the
    /// server's row is read first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the server has no such row; [`ErrorKind::Conflict`] when it has another version;
    /// the errors of the server, [`ErrorKind::Refused`] for a table without soft delete among them.
    pub async fn undelete(
        &self,
        table: &'static TableSchema,
        id: &str,
        version: Option<&str>,
    ) -> Result<Row> {
        let gone = || {
            Error::new(ErrorKind::NotFound, "the server does not have this row")
                .with_table(table.name)
                .with_item(id)
        };
        let mut version = version.map(str::to_owned);
        let row = if self.requests.dialect() == Dialect::Datasync {
            let mut held = self.fetch(table, id).await?.ok_or_else(gone)?;
            // What is sent back must still be what the server holds.
            version = version.or(held.version.take());
            held
        } else {
            Row::empty(table, id)
        };
        let operation = outgoing(table, SentKind::Undelete, row, version);
        let answered = self.write(&operation).await?.filter(|row| is_whole(table, row));
        let row = match answered {
            Some(row) => Some(row),
            // Some servers answer with the mark only.
            None => self.fetch(table, id).await?,
        };
        complete(table, row.ok_or_else(gone)?, None)
    }

    async fn send(&self, request: Request) -> Result<Response> {
        self.transport.send(request).await.map_err(|failure| failure.error)
    }

    /// The row as the server has it, deleted or not.
    async fn fetch(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        let about = |error: Error| error.with_table(table.name).with_item(id);
        let answer = self.send(self.requests.fetch(table, id).map_err(about)?).await.map_err(about)?;
        Ok(self.read_page(table, &answer).map_err(about)?.into_iter().find(|row| row.id == id))
    }

    fn read_page(&self, table: &'static TableSchema, answer: &Response) -> Result<Vec<Row>> {
        response::expect_list(answer, self.requests.dialect())
            .map_err(|error| error.with_table(table.name))?;
        let mut rows = Vec::new();
        for_each_row(&answer.body, table, self.requests.dialect().names(), |wire| {
            let misfit = |what: String| Error::new(ErrorKind::InvalidResponse, what);
            let row = wire.to_row().ok_or_else(|| misfit("a row without an id".to_owned()))?;
            if let Some(fault) = wire.fault {
                let what = format!("the value of column {} does not fit its type", fault.column.name);
                return Err(misfit(what).with_item(row.id));
            }
            rows.push(row);
            Ok(())
        })
        .map_err(|error| error.with_status(answer.status.as_u16()))?;
        Ok(rows)
    }

    /// Sends one write and reads its answer, with a look at the server's row where the answer is unclear. Returns
    /// the row as far as the answer shows it.
    async fn write(&self, operation: &Outgoing) -> Result<Option<Row>> {
        let dialect = self.requests.dialect();
        let answer = self.send_write(operation, self.requests.write(operation)?).await?;
        let (answer, reading) = match read_answer(operation, &answer, dialect) {
            Reading::Fetch(doubt) => {
                let request = self.requests.fetch(operation.table, &operation.key.item_id)?;
                let fetched = self.send_write(operation, request).await?;
                let reading = read_fetched(operation, doubt, &fetched, dialect);
                (fetched, reading)
            }
            reading => (answer, reading),
        };
        let about =
            |error: Error| error.with_table(operation.table.name).with_item(operation.key.item_id.as_str());
        match reading {
            Reading::Settled(Outcome::Acknowledged { row }) => Ok(row),
            Reading::Settled(
                Outcome::Conflict(failure) | Outcome::Refused(failure) | Outcome::Resolved { failure, .. },
            ) => Err(about(refusal(operation, failure))),
            Reading::Stop(_, Stop::Busy(error, _) | Stop::Failed(error)) => Err(error),
            Reading::Settled(Outcome::Uncertain(_) | Outcome::Unsent) | Reading::Fetch(_) => {
                Err(about(response::error(&answer)))
            }
        }
    }

    async fn send_write(&self, operation: &Outgoing, request: Request) -> Result<Response> {
        self.transport.send(request).await.map_err(|SendError { error, .. }| {
            error.with_table(operation.table.name).with_item(operation.key.item_id.as_str())
        })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// A write that is in no queue.
fn outgoing(
    table: &'static TableSchema,
    sent: SentKind,
    item: Row,
    base_version: Option<String>,
) -> Outgoing {
    Outgoing {
        key: OperationKey { table: table.name, item_id: item.id.clone(), seq: 0, revision: 0 },
        table,
        sent,
        uncertain: false,
        item,
        base_version,
        base: None,
        earlier: None,
        attempts: 1,
        may_have_arrived: false,
    }
}

/// The error of a write that the server did not do.
fn refusal(operation: &Outgoing, failure: Failure) -> Error {
    let sent = operation.sent;
    let Failure { class, status, message, remote } = failure;
    let error = match class {
        FailureClass::Gone if remote.is_none() => {
            Error::new(ErrorKind::NotFound, "the server does not have this row")
        }
        FailureClass::Gone => Error::new(ErrorKind::Conflict, "the server's row is deleted"),
        FailureClass::Conflict if sent == SentKind::Insert => {
            Error::new(ErrorKind::Conflict, "the server has another row with this id")
        }
        FailureClass::Conflict => Error::new(ErrorKind::Conflict, "the server's row has changed"),
        _ if status == Some(404) && sent == SentKind::Insert => {
            Error::new(ErrorKind::UnknownTable, "the server does not have this table")
        }
        _ => Error::new(ErrorKind::Refused, format!("the server answered: {message}")),
    };
    let error = match status {
        Some(status) => error.with_status(status),
        None => error,
    };
    // A row that cannot be made whole is shown as it is.
    error.with_server_row(remote.map(|row| complete(operation.table, row.clone(), None).unwrap_or(row)))
}

fn is_whole(table: &TableSchema, row: &Row) -> bool {
    (row.version.is_some() || !table.versioned)
        && table.sent_columns().all(|(index, _)| row.values.get(index).is_some_and(Option::is_some))
}

/// A whole row of what the server showed: absent columns as they were sent, else their default. Local-only columns
/// without one are empty.
fn complete(table: &'static TableSchema, mut row: Row, sent: Option<&Row>) -> Result<Row> {
    if let Some(sent) = sent {
        for (value, sent) in row.values.iter_mut().zip(&sent.values) {
            if value.is_none() {
                value.clone_from(sent);
            }
        }
    }
    while let Some(column) = default::complete(table, &mut row) {
        let slot = table.column_index(column.name).and_then(|index| row.values.get_mut(index));
        match slot {
            Some(slot) if column.local => *slot = Some(empty(column.ty)),
            _ => {
                let what = format!("the server's row has no column {}", column.name);
                let error = Error::new(ErrorKind::InvalidResponse, what);
                return Err(error.with_table(table.name).with_item(row.id));
            }
        }
    }
    Ok(row)
}

fn empty(ty: ColumnType) -> Value {
    match ty {
        ColumnType::Text => Value::Text(String::new()),
        ColumnType::Bool => Value::Bool(false),
        ColumnType::Integer(_) => Value::Integer(0),
        ColumnType::Float | ColumnType::Double => Value::Real(0.0),
        ColumnType::DateTime => Value::DateTime(chrono::DateTime::UNIX_EPOCH),
        ColumnType::Uuid => Value::Uuid(uuid::Uuid::nil()),
    }
}

/// Where to go on after a page.
struct Pages<'q> {
    query: &'q RemoteQuery,
    remote: Node,
    /// Rows the server leaves out by itself.
    skip: u64,
    /// Pages follow the ids; otherwise they are counted.
    by_id: bool,
    received: u64,
    last_id: Option<String>,
    seen: HashSet<String>,
}

impl<'q> Pages<'q> {
    fn new(query: &'q RemoteQuery, remote: Node, has_rest: bool) -> Self {
        let skip = if has_rest { 0 } else { query.skip };
        let by_id = query.order_by.is_empty() && skip == 0;
        Self { query, remote, skip, by_id, received: 0, last_id: None, seen: HashSet::new() }
    }

    fn next(&self, page_size: u32, dialect: Dialect) -> ListQuery {
        let mut query = ListQuery {
            filter: Some(self.remote.clone()),
            order_by: Vec::new(),
            skip: Some(0),
            top: Some(page_size.into()),
            include_deleted: self.query.include_deleted,
            parameters: Vec::new(),
        };
        if self.by_id {
            query.order_by.push(&entity::ID);
            if let Some(last) = &self.last_id {
                let after = Node::compare(&entity::ID, Comparison::Gt, Value::Text(last.clone()));
                query.filter = Some(self.remote.clone().and(after));
            }
        } else {
            query.skip = Some(self.skip + self.received);
            let mut keys: Vec<_> = self
                .query
                .order_by
                .iter()
                .map(|(column, descending)| {
                    let name = dialect.column_name(column);
                    if *descending { format!("{name} desc") } else { name.to_owned() }
                })
                .collect();
            if self.query.order_by.iter().all(|(column, _)| column.role != ColumnRole::Id) {
                keys.push(dialect.column_name(&entity::ID).to_owned());
            }
            // `ListQuery` orders upwards only.
            query.parameters.push(("$orderby".to_owned(), keys.join(",")));
        }
        query
    }

    /// The rows of a page that did not come before.
    fn take_new(&mut self, page: Vec<Row>) -> Result<Vec<Row>> {
        self.received += page.len() as u64;
        let is_empty = page.is_empty();
        self.last_id = page.last().map(|row| row.id.clone()).or(self.last_id.take());
        let new: Vec<_> = page.into_iter().filter(|row| self.seen.insert(row.id.clone())).collect();
        if new.is_empty() && !is_empty {
            return Err(Error::new(
                ErrorKind::InvalidResponse,
                "the server sends the same rows again: it ignores the place to go on from",
            ));
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests;
