//! Short words for the cases: a store with what a case does to it and asks of it.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::tables::TODO;
use crate::entity::TableSchema;
use crate::error::{ErrorKind, Result};
use crate::operation::{
    FailureClass, Operation, OperationError, OperationKey, OperationKind, OperationState, Outgoing, SentKind,
    ServerMayHold,
};
use crate::page::PageSummary;
use crate::predicate::{Node, codec};
use crate::protocol::Dialect;
use crate::row::Row;
pub(super) use crate::store::Resolver;
use crate::store::{
    Applied, DeltaToken, Exchange, Exchanged, Failure, LocalChange, LocalChangeKind, LocalStore, Outcome,
    Page, PullBatch, PullScope, PushSession, QueryKey, Settlement, Take,
};
use crate::time;
use crate::value::Value;

/// A store under test. Without another word the table is [`TODO`].
pub(super) struct Probe<S> {
    pub(super) store: S,
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    time::parse(text).expect("an instant")
}

/// A row with some columns.
pub(super) fn row_of(table: &TableSchema, id: &str, values: &[(&str, Value)]) -> Row {
    let mut row = Row::empty(table, id);
    for (name, value) in values {
        let index = table.column_index(name).expect("a column of the table");
        row.values[index] = Some(value.clone());
    }
    row
}

pub(super) fn part(id: &str, values: &[(&str, Value)]) -> Row {
    row_of(&TODO, id, values)
}

pub(super) fn todo(id: &str, content: &str) -> Row {
    part(id, &[("text", text(content))])
}

/// A whole row of TODO as a server answers it.
pub(super) fn server(id: &str, content: &str, version: &str) -> Row {
    let mut row =
        part(id, &[("text", text(content)), ("complete", Value::Bool(false)), ("rank", Value::Integer(3))]);
    for (index, column) in TODO.sent_columns() {
        if column.nullable {
            row.values[index] = Some(Value::Null);
        }
    }
    row.version = Some(version.to_owned());
    row.updated_at = Some(at("2024-01-01T00:00:00Z"));
    row
}

pub(super) fn deleted(row: Row) -> Row {
    Row { deleted: true, ..row }
}

pub(super) fn change(table: &'static TableSchema, kind: LocalChangeKind) -> LocalChange {
    LocalChange { table, kind }
}

pub(super) fn acknowledged(row: impl Into<Option<Row>>) -> Outcome {
    Outcome::Acknowledged { row: row.into() }
}

pub(super) fn failure(class: FailureClass, remote: Option<Row>) -> Failure {
    let status = match class {
        FailureClass::Conflict => 412,
        FailureClass::Gone => 404,
        FailureClass::Refused => 400,
        _ => 500,
    };
    Failure { class, status: Some(status), message: "no".to_owned(), remote }
}

pub(super) fn refused() -> Outcome {
    Outcome::Refused(failure(FailureClass::Refused, None))
}

pub(super) fn conflict(remote: impl Into<Option<Row>>) -> Outcome {
    Outcome::Conflict(failure(FailureClass::Conflict, remote.into()))
}

pub(super) fn gone(remote: impl Into<Option<Row>>) -> Outcome {
    Outcome::Conflict(failure(FailureClass::Gone, remote.into()))
}

pub(super) fn page(body: &str) -> Page {
    let names = Dialect::MobileApps.names();
    let summary = PageSummary::scan(body.as_bytes(), names).expect("a page");
    Page { body: Bytes::copy_from_slice(body.as_bytes()), summary, names }
}

pub(super) fn query(id: &str) -> QueryKey {
    QueryKey { query_id: id.to_owned(), fingerprint: "1".to_owned() }
}

pub(super) fn token(instant: &str) -> DeltaToken {
    DeltaToken { instant: at(instant), server_date: None }
}

/// The value of a column of TODO.
pub(super) fn value(row: &Row, name: &str) -> Option<Value> {
    row.values[TODO.column_index(name).expect("a column of the table")].clone()
}

pub(super) fn content(row: &Row) -> Option<Value> {
    value(row, "text")
}

/// Names of the columns present in a row of TODO.
pub(super) fn present(row: &Row) -> Vec<&'static str> {
    TODO.columns
        .iter()
        .zip(&row.values)
        .filter(|(_, value)| value.is_some())
        .map(|(column, _)| column.name)
        .collect()
}

/// Kind, state and what the server may hold, in one line.
pub(super) type Standing = (OperationKind, OperationState, ServerMayHold);

pub(super) fn standing(operation: &Operation) -> Standing {
    (operation.kind, operation.state, operation.server_may_hold)
}

impl<S: LocalStore> Probe<S> {
    pub(super) fn new(store: S) -> Self {
        Self { store }
    }

    pub(super) async fn try_write(&self, changes: Vec<LocalChange>) -> Result<()> {
        self.store.write(changes).await
    }

    pub(super) async fn try_one(&self, kind: LocalChangeKind) -> Result<()> {
        self.try_write(vec![change(&TODO, kind)]).await
    }

    /// Expects one change to be refused.
    pub(super) async fn refuses(&self, kind: LocalChangeKind, expected: ErrorKind) {
        let what = format!("{kind:?}");
        let error = self.try_one(kind).await.expect_err(&what);
        assert_eq!(error.kind(), expected, "{what}");
    }

    pub(super) async fn insert(&self, row: Row) {
        self.try_one(LocalChangeKind::Insert(row)).await.expect("an insert");
    }

    pub(super) async fn update(&self, row: Row) {
        self.try_one(LocalChangeKind::Update(row)).await.expect("an update");
    }

    pub(super) async fn delete(&self, id: &str) {
        self.try_one(LocalChangeKind::Delete(id.to_owned())).await.expect("a delete");
    }

    pub(super) async fn find(&self, id: &str) -> Option<Row> {
        self.store.get(&TODO, id).await.expect("a read")
    }

    pub(super) async fn row(&self, id: &str) -> Row {
        self.find(id).await.expect("the row is there")
    }

    pub(super) async fn shadow(&self, id: &str) -> Option<Row> {
        self.store.shadow(&TODO, id).await.expect("a read")
    }

    pub(super) async fn operations(&self) -> Vec<Operation> {
        self.store.operations(None).await.expect("a read")
    }

    pub(super) async fn find_operation(&self, id: &str) -> Option<Operation> {
        self.operations().await.into_iter().find(|operation| operation.key.item_id == id)
    }

    pub(super) async fn operation(&self, id: &str) -> Operation {
        self.find_operation(id).await.expect("the row has an operation")
    }

    pub(super) async fn standing(&self, id: &str) -> Standing {
        standing(&self.operation(id).await)
    }

    /// Ids of the queue, in order.
    pub(super) async fn queue(&self) -> Vec<String> {
        self.operations().await.into_iter().map(|operation| operation.key.item_id).collect()
    }

    pub(super) async fn find_error(&self, id: &str) -> Option<OperationError> {
        let errors = self.store.errors(None).await.expect("a read");
        errors.into_iter().find(|error| error.key.item_id == id)
    }

    pub(super) async fn error(&self, id: &str) -> OperationError {
        self.find_error(id).await.expect("the row has an error")
    }

    /// Expects the row to have no operation, error and shadow.
    pub(super) async fn assert_clean(&self, id: &str) {
        assert_eq!(self.find_operation(id).await, None, "operation of {id}");
        assert_eq!(self.find_error(id).await, None, "error of {id}");
        assert_eq!(self.shadow(id).await, None, "shadow of {id}");
    }

    pub(super) async fn begin_push(&self) -> PushSession {
        self.store.begin_push().await.expect("a push starts")
    }

    pub(super) async fn exchange(
        &self,
        session: PushSession,
        settlements: Vec<Settlement>,
        take: Option<Take>,
    ) -> Exchanged {
        self.store.exchange(Exchange { session, settlements, take }).await.expect("an exchange")
    }

    pub(super) async fn take(&self, session: PushSession) -> Vec<Outgoing> {
        self.exchange(session, Vec::new(), Some(take(100))).await.taken
    }

    /// Takes what should be the only operation left.
    pub(super) async fn take_one(&self, session: PushSession) -> Outgoing {
        let mut taken = self.take(session).await;
        assert_eq!(taken.len(), 1, "taken: {taken:?}");
        taken.remove(0)
    }

    /// Starts a push and takes the only operation.
    pub(super) async fn send(&self) -> (PushSession, Outgoing) {
        let session = self.begin_push().await;
        (session, self.take_one(session).await)
    }

    pub(super) async fn settle(
        &self,
        session: PushSession,
        key: &OperationKey,
        outcome: Outcome,
    ) -> Exchanged {
        let settlement = Settlement { key: key.clone(), outcome };
        self.exchange(session, vec![settlement], None).await
    }

    /// Sends the only operation and settles it.
    pub(super) async fn answer(&self, outcome: Outcome) -> Outgoing {
        let (session, sent) = self.send().await;
        self.settle(session, &sent.key, outcome).await;
        sent
    }

    pub(super) async fn apply(&self, batch: PullBatch) -> Applied {
        self.store.apply_pages(batch).await.expect("pages are stored")
    }

    /// Stores one page of TODO without query id.
    pub(super) async fn pull(&self, body: &str) -> Applied {
        self.apply(batch(&TODO, &[body])).await
    }

    /// A clean row as a pull leaves it.
    pub(super) async fn pulled(&self, id: &str, content: &str, version: &str) {
        let body = format!("[{}]", json(id, content, version));
        assert_eq!(self.pull(&body).await.added, 1, "a new row");
    }
}

pub(super) fn take(limit: usize) -> Take {
    Take::first(limit)
}

pub(super) fn batch(table: &'static TableSchema, bodies: &[&str]) -> PullBatch {
    PullBatch { pages: bodies.iter().map(|body| page(body)).collect(), ..PullBatch::new(table) }
}

/// The start of a pull of every row.
pub(super) fn scope(table: &'static TableSchema, query: Option<QueryKey>) -> PullScope {
    PullScope { table, query, wanted: codec::encode(&Node::ALWAYS), mirror: false }
}

/// The JSON of a whole row of TODO.
pub(super) fn json(id: &str, content: &str, version: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"text\":\"{content}\",\"complete\":false,\"rank\":3,\"n\":null,\"when\":null,\
         \"ratio\":null,\"weight\":null,\"owner\":null,\"version\":\"{version}\",\
         \"updatedAt\":\"2024-01-01T00:00:00.000Z\",\"createdAt\":\"2024-01-01T00:00:00.000Z\",\
         \"deleted\":false}}"
    )
}

/// The JSON of a deleted row of TODO.
pub(super) fn tombstone(id: &str, version: &str) -> String {
    json(id, "deleted", version).replace("\"deleted\":false", "\"deleted\":true")
}

pub(super) const PENDING_INSERT: Standing =
    (OperationKind::Insert, OperationState::Pending, ServerMayHold::No);
pub(super) const PENDING_UPDATE: Standing =
    (OperationKind::Update, OperationState::Pending, ServerMayHold::No);
pub(super) const PENDING_DELETE: Standing =
    (OperationKind::Delete, OperationState::Pending, ServerMayHold::No);
pub(super) const FAILED_UPDATE: Standing = (OperationKind::Update, OperationState::Failed, ServerMayHold::No);

/// Kind of request and id.
pub(super) fn requests(taken: &[Outgoing]) -> Vec<(SentKind, &str)> {
    taken.iter().map(|outgoing| (outgoing.sent, outgoing.key.item_id.as_str())).collect()
}

/// An update of `a` from "milk" in v1 to "bread" that got this outcome.
pub(super) async fn updated<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) {
    probe.pulled("a", "milk", "v1").await;
    probe.update(part("a", &[("text", text("bread")), ("note", text("mine"))])).await;
    probe.answer(outcome).await;
}

/// An insert of `a` as "bread" that got this outcome.
pub(super) async fn inserted<S: LocalStore>(probe: &Probe<S>, outcome: Outcome) {
    probe.insert(todo("a", "bread")).await;
    probe.answer(outcome).await;
}
