//! Random sequences on a store and on the reference model, compared after every step.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use super::probe::{batch, failure, row_of, text};
use super::tables::TABLES;
use crate::entity::TableSchema;
use crate::error::{ErrorKind, Result};
use crate::memory::MemoryStore;
use crate::operation::{
    FailureClass, InFlight, OperationKey, OperationKind, OperationState, Outgoing, Relations, RowRef,
    SentKind, ServerMayHold,
};
use crate::predicate::{Comparison, Node, Predicate, codec};
use crate::row::Row;
use crate::store::Resolver;
use crate::store::{
    Applied, DeltaToken, Exchange, Exchanged, LocalChange, LocalChangeKind, LocalStore, Outcome, PullBatch,
    PullEnd, PullScope, Purge, PushSession, QueryKey, Resolution, ResolutionRecord, Settlement, Take,
    UpdateBody,
};
use crate::time;
use crate::value::Value;

const IDS: [&str; 4] = ["a", "b", "c", "it's"];
const WORDS: [&str; 4] = ["milk", "bread", "jam", ""];

/// Drives `store` and a [`MemoryStore`] through the same random local writes, pushes with random outcomes, pulls,
/// resolutions and purges, and compares operations, errors, rows and shadows after every one of `steps` steps.
///
/// The sequence depends on `seed` alone. Sequence numbers are compared by their order, not by value. The store
/// must be empty and have the tables of [`TABLES`].
///
/// # Panics
///
/// At the first difference; the message names seed, step and what was done.
pub async fn compare_with_model<S: LocalStore>(store: S, seed: u64, steps: usize) {
    let mut twins =
        Twins { store, model: MemoryStore::new(TABLES), random: Random(seed), versions: 0, push: None };
    for step in 0..steps {
        let done = twins.step().await;
        let context = format!("seed {seed}, step {step}, after {done}");
        let (found, expected) = (snapshot(&twins.store).await, snapshot(&twins.model).await);
        assert_eq!(found, expected, "{context}: the store (left) differs from the model (right)");
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

struct Twins<S> {
    store: S,
    model: MemoryStore,
    random: Random,
    versions: u32,
    push: Option<Push>,
}

/// A running push on both sides.
struct Push {
    store: PushSession,
    model: PushSession,
    in_flight: Vec<Sending>,
    /// How far each side looked at its queue.
    after: (i64, i64),
    passed_over: Vec<RowRef>,
}

#[derive(Clone)]
struct Sending {
    store: OperationKey,
    model: OperationKey,
    table: &'static TableSchema,
    sent: SentKind,
    about: InFlight,
}

impl<S: LocalStore> Twins<S> {
    async fn step(&mut self) -> String {
        match self.random.below(100) {
            0..45 => self.write().await,
            45..53 => self.begin_push().await,
            53..75 => self.exchange().await,
            75..83 => self.resolve().await,
            83..92 => self.pull().await,
            92..95 => self.mirror().await,
            95..98 => self.begin_pull().await,
            _ => self.purge().await,
        }
    }

    fn table(&mut self) -> &'static TableSchema {
        // Most on one table, so that operations meet.
        let index = self.random.pick(&[0, 0, 0, 1, 2, 3, 3]);
        TABLES[index]
    }

    fn next_version(&mut self) -> String {
        self.versions += 1;
        format!("v{}", self.versions)
    }

    fn number(&mut self) -> Value {
        if self.random.percent(30) { Value::Null } else { Value::Integer(self.random.below(3) as i64) }
    }

    /// Some columns of a row.
    fn columns(&mut self, table: &'static TableSchema, id: &str, with_text: bool) -> Row {
        let mut values = Vec::new();
        if with_text || self.random.percent(60) {
            values.push((table.columns[0].name, text(self.random.pick(&WORDS))));
        }
        if table.column_index("n").is_some() && self.random.percent(50) {
            values.push(("n", self.number()));
        }
        for name in ["parent", "list"] {
            if table.column_index(name).is_some() && self.random.percent(50) {
                let id = self.random.pick(&IDS);
                values.push((name, if self.random.percent(70) { text(id) } else { Value::Null }));
            }
        }
        if table.column_index("note").is_some() && self.random.percent(20) {
            values.push(("note", text(self.random.pick(&WORDS))));
        }
        row_of(table, id, &values)
    }

    fn change(&mut self) -> LocalChange {
        let table = self.table();
        let id = self.random.pick(&IDS);
        let kind = match self.random.below(21) {
            0..8 => LocalChangeKind::Insert(self.columns(table, id, true)),
            8..14 => {
                let mut row = self.columns(table, id, false);
                if self.random.percent(10) {
                    row.version = Some(format!("v{}", self.random.below(20)));
                }
                LocalChangeKind::Update(row)
            }
            14..20 => LocalChangeKind::Delete(id.to_owned()),
            _ => LocalChangeKind::Undelete(id.to_owned()),
        };
        LocalChange { table, kind }
    }

    async fn write(&mut self) -> String {
        let count = self.random.pick(&[1, 1, 1, 1, 2, 3]);
        let changes: Vec<LocalChange> = (0..count).map(|_| self.change()).collect();
        let what = format!("{changes:?}");
        let found = self.store.write(changes.clone()).await;
        let expected = self.model.write(changes).await;
        same(&what, kinds(found), kinds(expected));
        what
    }

    /// Also leaves a running push as a crash would: what is in flight stays so.
    async fn begin_push(&mut self) -> String {
        let store = self.store.begin_push().await.expect("a push starts");
        let model = self.model.begin_push().await.expect("a push starts");
        same("begin_push", store.queued, model.queued);
        self.push =
            Some(Push { store, model, in_flight: Vec::new(), after: (0, 0), passed_over: Vec::new() });
        "begin_push".to_owned()
    }

    async fn exchange(&mut self) -> String {
        let Some(mut push) = self.push.take() else { return self.begin_push().await };
        let mut settled = Vec::new();
        let mut waiting = Vec::new();
        for flight in std::mem::take(&mut push.in_flight) {
            if self.random.percent(80) {
                let outcome = self.outcome(&flight);
                settled.push((flight, outcome));
            } else {
                waiting.push(flight);
            }
        }
        push.in_flight = waiting;
        let take = self.random.percent(80).then(|| Take {
            tables: if self.random.percent(20) { vec![self.table().name] } else { Vec::new() },
            limit: self.random.pick(&[1, 2, 10]),
            in_flight: push.in_flight.iter().map(|flight| flight.about.clone()).collect(),
            again: std::mem::take(&mut push.passed_over),
            after: 0,
            retry_failed: self.random.percent(80),
            update_body: self.random.pick(&[UpdateBody::Changed, UpdateBody::Changed, UpdateBody::Whole]),
            cycles: Arc::default(),
        });
        let outcomes: Vec<_> = settled.iter().map(|(flight, outcome)| (&flight.model, outcome)).collect();
        let what = format!("exchange {outcomes:?} {take:?}");
        let settlements = |side: fn(&Sending) -> &OperationKey| {
            let settle = |(flight, outcome): &(Sending, Outcome)| Settlement {
                key: side(flight).clone(),
                outcome: outcome.clone(),
            };
            settled.iter().map(settle).collect()
        };
        let after = if self.random.percent(80) { push.after } else { (0, 0) };
        let take_behind = |after| take.clone().map(|take| Take { after, ..take });
        let of_store = Exchange {
            session: push.store,
            settlements: settlements(|flight| &flight.store),
            take: take_behind(after.0),
        };
        let of_model = Exchange {
            session: push.model,
            settlements: settlements(|flight| &flight.model),
            take: take_behind(after.1),
        };
        let found = self.store.exchange(of_store).await;
        let expected = self.model.exchange(of_model).await;
        same(
            &what,
            found.as_ref().map(exchanged).map_err(crate::Error::kind),
            expected.as_ref().map(exchanged).map_err(crate::Error::kind),
        );
        if let (Ok(found), Ok(expected)) = (found, expected) {
            if take.is_some() {
                push.after = (found.after, expected.after);
            }
            let passed_over = expected.waiting.iter().map(|waiting| waiting.row.clone());
            push.passed_over = passed_over.chain(expected.left.iter().map(OperationKey::row)).collect();
            for (store, model) in found.taken.into_iter().zip(expected.taken) {
                let about = Relations::new(&TABLES).in_flight(&model);
                let (table, sent) = (model.table, model.sent);
                push.in_flight.push(Sending { store: store.key, model: model.key, table, sent, about });
            }
        }
        self.push = Some(push);
        what
    }

    /// A server's row, whole or partial.
    fn server_row(&mut self, table: &'static TableSchema, id: &str) -> Row {
        let mut row = row_of(table, id, &[]);
        if self.random.percent(70) {
            row.values[0] = Some(text(self.random.pick(&WORDS)));
        }
        if let Some(index) = table.column_index("n").filter(|_| self.random.percent(70)) {
            row.values[index] = Some(self.number());
        }
        row.version = Some(self.next_version());
        row.updated_at = time::parse("2024-01-01T00:00:00.123Z");
        row
    }

    fn outcome(&mut self, flight: &Sending) -> Outcome {
        let (table, id) = (flight.table, flight.model.item_id.clone());
        match self.random.below(20) {
            0..8 => {
                let row = self.random.percent(85).then(|| {
                    let row = self.server_row(table, &id);
                    Row { deleted: flight.sent == SentKind::Delete, ..row }
                });
                Outcome::Acknowledged { row }
            }
            8..10 => Outcome::Refused(failure(FailureClass::Refused, None)),
            10..13 => Outcome::Conflict(self.conflict(table, &id)),
            13 => Outcome::Uncertain(None),
            14 => Outcome::Uncertain(Some(failure(FailureClass::ServerError, None))),
            15..17 => Outcome::Unsent,
            _ => {
                let failure = self.conflict(table, &id);
                let resolution = self.resolution(table, &id, flight.sent != SentKind::Delete);
                Outcome::Resolved { failure, resolution, by: Resolver::Handler }
            }
        }
    }

    fn conflict(&mut self, table: &'static TableSchema, id: &str) -> crate::store::Failure {
        match self.random.below(6) {
            0 => failure(FailureClass::Gone, None),
            2 => failure(FailureClass::Conflict, None),
            1 => {
                let row = self.server_row(table, id);
                failure(FailureClass::Gone, Some(Row { deleted: true, ..row }))
            }
            _ => failure(FailureClass::Conflict, Some(self.server_row(table, id))),
        }
    }

    fn resolution(&mut self, table: &'static TableSchema, id: &str, may_merge: bool) -> Resolution {
        match self.random.below(17) {
            0..3 if may_merge => {
                let version = self.random.percent(10).then(|| self.next_version());
                Resolution::Merge(Row { version, ..self.columns(table, id, false) })
            }
            0..6 => Resolution::KeepLocal,
            6..9 => Resolution::TakeRemote,
            9..11 => {
                let mut row = self.columns(table, id, true);
                row.version = self.random.percent(50).then(|| self.next_version());
                row.deleted = self.random.percent(20);
                Resolution::Store(row)
            }
            11..13 => {
                use OperationKind::{Delete, Insert, Update};
                let kind = self.random.pick(&[Insert, Update, Delete]);
                let wants_row = kind != Delete && (!may_merge || self.random.percent(50));
                let item = wants_row.then(|| self.columns(table, id, false));
                let version = self.random.percent(10).then(|| self.next_version());
                Resolution::ChangeKind { kind, item, version }
            }
            13..15 => Resolution::Park,
            15 => Resolution::Unpark,
            _ => Resolution::Leave,
        }
    }

    /// Resolves one of the conflicts, or what was one.
    async fn resolve(&mut self) -> String {
        let found = self.store.conflicts(None).await.expect("a read");
        let expected = self.model.conflicts(None).await.expect("a read");
        if expected.is_empty() {
            return "nothing to resolve".to_owned();
        }
        let index = self.random.below(expected.len());
        let (mut of_store, mut of_model) =
            (found[index].operation.key.clone(), expected[index].operation.key.clone());
        if self.random.percent(5) {
            of_store.revision += 1;
            of_model.revision += 1;
        }
        let (table, kind) = (expected[index].table, expected[index].operation.kind);
        let resolution = self.resolution(table, &of_model.item_id, kind != OperationKind::Delete);
        let what = format!("resolve {of_model:?} {resolution:?}");
        let found = self.store.resolve(of_store, resolution.clone(), Resolver::App).await;
        let expected = self.model.resolve(of_model, resolution, Resolver::App).await;
        same(&what, kinds(found), kinds(expected));
        what
    }

    fn page(&mut self, table: &'static TableSchema) -> String {
        let rows: Vec<String> = (0..self.random.below(4)).map(|_| self.page_row(table)).collect();
        format!("[{}]", rows.join(","))
    }

    fn page_row(&mut self, table: &'static TableSchema) -> String {
        let mut members = Vec::new();
        if self.random.percent(95) {
            members.push(format!("\"id\":\"{}\"", self.random.pick(&IDS)));
        }
        if self.random.percent(85) {
            members.push(format!("\"{}\":\"{}\"", table.columns[0].name, self.random.pick(&WORDS)));
        }
        match self.random.below(10) {
            0..3 => {}
            3..5 => members.push("\"n\":null".to_owned()),
            5 => members.push("\"n\":\"no number\"".to_owned()),
            _ => members.push(format!("\"n\":{}", self.random.below(3))),
        }
        if self.random.percent(15) {
            members.push(format!("\"unknown\":{}", self.random.below(3)));
        }
        // Sometimes a version that is known already.
        let version =
            if self.random.percent(30) { format!("v{}", self.versions) } else { self.next_version() };
        members.push(format!("\"version\":\"{version}\""));
        members.push("\"updatedAt\":\"2024-01-02T03:04:05.678Z\"".to_owned());
        members.push(format!("\"deleted\":{}", self.random.percent(20)));
        format!("{{{}}}", members.join(","))
    }

    async fn pull(&mut self) -> String {
        let table = self.table();
        let bodies: Vec<String> = (0..=self.random.below(2)).map(|_| self.page(table)).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let local_rest = self.random.percent(30).then(|| {
            let node = Node::compare(&table.columns[0], Comparison::Eq, text(self.random.pick(&WORDS)));
            Predicate { table, node }
        });
        let token = time::parse(&format!("2024-01-0{}T00:00:00Z", 1 + self.random.below(9)))
            .map(|instant| DeltaToken { instant, server_date: None })
            .filter(|_| self.random.percent(60));
        let query = self.random.percent(60).then(|| self.query());
        let fetched: Vec<String> = if self.random.percent(30) {
            (0..=self.random.below(2)).map(|_| self.random.pick(&IDS).to_owned()).collect()
        } else {
            Vec::new()
        };
        let feed = token.as_ref().map(|token: &DeltaToken| token.instant).filter(|_| self.random.percent(50));
        let refill = self.random.percent(10);
        let batch = PullBatch { query, token, feed, local_rest, refill, fetched, ..batch(table, &bodies) };
        let what = format!("pull of {} {bodies:?} {:?} {:?}", table.name, batch.local_rest, batch.fetched);
        let found = self.store.apply_pages(batch.clone()).await;
        let expected = self.model.apply_pages(batch).await;
        // Whether a tombstone of an unknown row is "unchanged" is left to the store.
        let counts = |result: Result<Applied>| {
            result.map(|applied| Applied { unchanged: 0, ..applied }).map_err(|error| error.kind())
        };
        same(&what, counts(found), counts(expected));
        what
    }

    fn query(&mut self) -> QueryKey {
        let fingerprint = self.random.pick(&["1", "1", "1", "2"]).to_owned();
        QueryKey { query_id: self.random.pick(&["p", "q"]).to_owned(), fingerprint }
    }

    async fn begin_pull(&mut self) -> String {
        let table = self.table();
        let query = self.random.percent(80).then(|| self.query());
        let scope = PullScope { table, query, wanted: self.wanted(table), mirror: false };
        let what = format!("begin_pull {scope:?}");
        let found = self.store.begin_pull(scope.clone()).await;
        let expected = self.model.begin_pull(scope).await;
        same(&what, found.map_err(|error| error.kind()), expected.map_err(|error| error.kind()));
        what
    }

    /// What a pull asks for, sometimes in words of another version.
    fn wanted(&mut self, table: &'static TableSchema) -> String {
        match self.random.below(12) {
            0 => codec::encode(&Node::ALWAYS),
            1 => "[\"soundex\"]".to_owned(),
            _ => codec::encode(&self.of_text(table)),
        }
    }

    fn of_text(&mut self, table: &'static TableSchema) -> Node {
        Node::compare(&table.columns[0], Comparison::Eq, text(self.random.pick(&WORDS)))
    }

    /// A whole pull that mirrors.
    async fn mirror(&mut self) -> String {
        let table = self.table();
        let node = if self.random.percent(30) { Node::ALWAYS } else { self.of_text(table) };
        let scope = PullScope { table, query: None, wanted: codec::encode(&node), mirror: true };
        let body = self.page(table);
        let what = format!("mirror {scope:?} {body}");
        let predicate = Predicate { table, node };
        let batch = PullBatch {
            mirror: true,
            local_rest: self.random.percent(50).then(|| predicate.clone()),
            ..batch(table, &[&body])
        };
        let end =
            PullEnd { scope: scope.clone(), server_date: None, mirror: Some(predicate), refilled: false };
        let found = self.store.begin_pull(scope.clone()).await;
        same(
            &what,
            found.map_err(|error| error.kind()),
            self.model.begin_pull(scope).await.map_err(|error| error.kind()),
        );
        let counts = |result: Result<Applied>| {
            result.map(|applied| Applied { unchanged: 0, ..applied }).map_err(|error| error.kind())
        };
        let found = self.store.apply_pages(batch.clone()).await;
        same(&what, counts(found), counts(self.model.apply_pages(batch).await));
        let found = self.store.finish_pull(end.clone()).await;
        same(&what, counts(found), counts(self.model.finish_pull(end).await));
        what
    }

    async fn purge(&mut self) -> String {
        let table = self.table();
        let node = if self.random.percent(30) {
            Node::ALWAYS
        } else {
            Node::compare(&table.columns[0], Comparison::Eq, text(self.random.pick(&WORDS)))
        };
        let (force, keep_tokens) = (self.random.percent(50), self.random.percent(30));
        let purge = Purge { predicate: Predicate { table, node }, force, keep_tokens };
        let what = format!("{purge:?}");
        let found = self.store.purge(purge.clone()).await;
        let expected = self.model.purge(purge).await;
        same(&what, found.map_err(|error| error.kind()), expected.map_err(|error| error.kind()));
        what
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) {
    assert_eq!(found, expected, "{what}: the store (left) answers otherwise than the model (right)");
}

fn kinds(result: Result<()>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// What a step answers, without sequence numbers.
#[derive(Debug, PartialEq)]
struct Answered {
    taken: Vec<Taken>,
    unneeded: u64,
    remainders: u64,
    /// Who waits for whom, and whether that one is over.
    waiting: Vec<(RowRef, RowRef, bool)>,
    left: Vec<RowRef>,
    is_exhausted: bool,
}

fn exchanged(exchanged: &Exchanged) -> Answered {
    let waiting = exchanged.waiting.iter();
    Answered {
        taken: exchanged.taken.iter().map(Taken::new).collect(),
        unneeded: exchanged.unneeded,
        remainders: exchanged.remainders,
        waiting: waiting.map(|each| (each.row.clone(), each.on.clone(), each.is_over)).collect(),
        left: exchanged.left.iter().map(OperationKey::row).collect(),
        is_exhausted: exchanged.is_exhausted,
    }
}

#[derive(Debug, PartialEq)]
struct Taken {
    table: &'static str,
    id: String,
    revision: i64,
    sent: SentKind,
    uncertain: bool,
    values: Vec<Option<Value>>,
    base_version: Option<String>,
    base: Option<Row>,
    attempts: i64,
}

impl Taken {
    fn new(outgoing: &Outgoing) -> Self {
        Self {
            table: outgoing.key.table,
            id: outgoing.key.item_id.clone(),
            revision: outgoing.key.revision,
            sent: outgoing.sent,
            uncertain: outgoing.uncertain,
            values: outgoing.item.values.clone(),
            base_version: outgoing.base_version.clone(),
            base: outgoing.base.clone().map(|base| server_copy(outgoing.table, base)),
            attempts: outgoing.attempts,
        }
    }
}

/// Everything a store shows, with sequence numbers replaced by their rank.
#[derive(Debug, PartialEq)]
struct Snapshot {
    operations: Vec<Queued>,
    errors: Vec<Recorded>,
    rows: Vec<(&'static str, Row)>,
    shadows: Vec<(&'static str, Row)>,
    quarantine: Vec<(&'static str, String, Option<String>)>,
    conflicts: Vec<Open>,
    resolutions: Vec<ResolutionRecord>,
}

#[derive(Debug, PartialEq)]
struct Open {
    table: &'static str,
    id: String,
    revision: i64,
    class: Option<FailureClass>,
    base: Option<Row>,
    local: Option<Row>,
    remote: Option<Row>,
}

#[derive(Debug, PartialEq)]
struct Queued {
    table: &'static str,
    id: String,
    place: usize,
    revision: i64,
    kind: OperationKind,
    state: OperationState,
    server_may_hold: ServerMayHold,
    base_version: Option<String>,
    sent: Option<(SentKind, i64)>,
    tail_place: Option<usize>,
    attempts: i64,
}

#[derive(Debug, PartialEq)]
struct Recorded {
    table: &'static str,
    id: String,
    place: usize,
    revision: i64,
    kind: OperationKind,
    class: FailureClass,
    status: Option<u16>,
    message: String,
    local: Option<Vec<Option<Value>>>,
    remote: Option<Row>,
    superseded: bool,
    uncertain: bool,
    parked: bool,
    old: bool,
}

async fn snapshot<S: LocalStore>(store: &S) -> Snapshot {
    let operations = store.operations(None).await.expect("a read");
    let errors = store.errors(None).await.expect("a read");
    let mut places: BTreeMap<i64, usize> = operations
        .iter()
        .flat_map(|operation| [Some(operation.key.seq), operation.tail_seq])
        .flatten()
        .map(|seq| (seq, 0))
        .collect();
    for (place, rank) in places.values_mut().enumerate() {
        *rank = place;
    }
    let place = |seq: i64| places.get(&seq).copied().unwrap_or(usize::MAX);
    let schema =
        |name: &str| TABLES.into_iter().find(|table| table.name == name).expect("a table of the suite");

    let mut rows = Vec::new();
    let mut shadows = Vec::new();
    for table in TABLES {
        for row in store.select(Predicate::all(table)).await.expect("a read") {
            rows.push((table.name, row));
        }
        for id in IDS {
            if let Some(shadow) = store.shadow(table, id).await.expect("a read") {
                shadows.push((table.name, server_copy(table, shadow)));
            }
        }
    }
    Snapshot {
        errors: errors
            .into_iter()
            .map(|error| Recorded {
                table: error.key.table,
                place: place(error.key.seq),
                revision: error.key.revision,
                kind: error.kind,
                class: error.class,
                status: error.status,
                message: error.message,
                local: error.local.map(|local| local.values),
                remote: error.remote.map(|remote| server_copy(schema(error.key.table), remote)),
                superseded: error.superseded,
                uncertain: error.uncertain,
                parked: error.parked,
                old: error.old,
                id: error.key.item_id,
            })
            .collect(),
        operations: operations
            .into_iter()
            .map(|operation| Queued {
                table: operation.key.table,
                place: place(operation.key.seq),
                revision: operation.key.revision,
                kind: operation.kind,
                state: operation.state,
                server_may_hold: operation.server_may_hold,
                base_version: operation.base_version,
                sent: operation.sent,
                tail_place: operation.tail_seq.map(place),
                attempts: operation.attempts,
                id: operation.key.item_id,
            })
            .collect(),
        conflicts: open_conflicts(store).await,
        // Numbers of the queue differ between stores.
        resolutions: store
            .resolutions()
            .await
            .expect("a read")
            .into_iter()
            .map(|record| ResolutionRecord { at_seq: 0, ..record })
            .collect(),
        rows,
        shadows,
        quarantine: store
            .quarantine(None)
            .await
            .expect("a read")
            .into_iter()
            .map(|waiting| (waiting.table, waiting.item_id, waiting.query_id))
            .collect(),
    }
}

async fn open_conflicts<S: LocalStore>(store: &S) -> Vec<Open> {
    let mut open = Vec::new();
    for conflict in store.conflicts(None).await.expect("a read") {
        let copy = |row: Option<Row>| row.map(|row| server_copy(conflict.table, row));
        open.push(Open {
            table: conflict.table.name,
            id: conflict.operation.key.item_id,
            revision: conflict.operation.key.revision,
            class: conflict.error.map(|error| error.class),
            base: copy(conflict.base),
            local: conflict.local.map(|row| Row { extra: None, ..row }),
            remote: copy(conflict.remote),
        });
    }
    open
}

/// What counts of a kept server row: not the local-only columns, and not the unknown members, which a store may
/// keep with the row.
fn server_copy(table: &TableSchema, mut row: Row) -> Row {
    row.extra = None;
    for (column, value) in table.columns.iter().zip(&mut row.values) {
        if column.local {
            *value = None;
        }
    }
    row
}
