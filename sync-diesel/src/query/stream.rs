//! Large results with little memory.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use diesel::RunQueryDsl;
use diesel::expression::Selectable;
use diesel::query_dsl::LoadQuery;
use diesel::sqlite::{Sqlite, SqliteConnection};
use futures_util::Stream;
use sync_core::Result;
use sync_core::diesel::DieselEntity;
use tokio::sync::mpsc;

use super::{LocalQuery, SelectRecords, SelectRows};
use crate::BoxedError;
use crate::record::Record;

/// Rows handed over at once.
const BATCH: usize = 64;

/// The rows of a [`LocalQuery`], one by one; made by [`LocalQuery::stream`].
///
/// - All rows are of one moment: that of the first poll. Writes go on meanwhile and are not seen.
/// - At most 192 rows are in memory, however many match and however slowly they are taken.
/// - The rows are read by a thread and a connection of their own, beside the readers of
///   [`DatabaseOptions`](crate::DatabaseOptions), so that no slow consumer holds up other reads. Both are released at
///   the end, after an error, and when the stream is dropped.
/// - While a stream is open SQLite keeps what was written since beside the database file (in its `-wal` file), which
///   grows; a consumer that takes hours should page by `limit` instead.
///
/// It is a [`Stream`] of futures, and [`next`](Self::next) takes a row without further imports.
#[must_use = "a stream does nothing unless it is polled"]
pub struct RecordStream<E> {
    state: State<E>,
}

enum State<E> {
    NotStarted(Box<LocalQuery<E>>),
    Running(Batches<E>),
    Ended,
}

type Batch<E> = Result<Vec<Record<E>>>;

struct Batches<E> {
    /// Closing it ends the thread at its next batch.
    received: mpsc::Receiver<Batch<E>>,
    current: std::vec::IntoIter<Record<E>>,
}

impl<E> RecordStream<E> {
    pub(super) fn new(query: LocalQuery<E>) -> Self {
        Self { state: State::NotStarted(Box::new(query)) }
    }
}

impl<E> RecordStream<E>
where
    E: DieselEntity,
    Record<E>: Selectable<Sqlite> + Send,
    SelectRecords<E>: for<'q> LoadQuery<'q, SqliteConnection, Record<E>>,
{
    /// Waits for the next row; `None` after the last one. Cancel safe: a dropped future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`LocalQuery::load`]; the stream ends with the first error.
    pub async fn next(&mut self) -> Option<Result<Record<E>>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Starts the thread at the first poll.
    fn start(query: LocalQuery<E>) -> Result<Batches<E>> {
        // One batch waits, one is being read and one is being taken.
        let (batches, received) = mpsc::channel(1);
        let store = Arc::clone(&query.store);
        let failures = batches.clone();
        store.read_apart(
            move |conn| read(query, &batches, conn),
            move |error| {
                // Nobody listens any more when the stream was dropped.
                let _ = failures.blocking_send(Err(error));
            },
        )?;
        Ok(Batches { received, current: Vec::new().into_iter() })
    }
}

/// Reads the rows and hands them over until they end or nobody wants them.
fn read<E>(
    query: LocalQuery<E>,
    batches: &mpsc::Sender<Batch<E>>,
    conn: &mut SqliteConnection,
) -> Result<(), BoxedError>
where
    E: DieselEntity,
    Record<E>: Selectable<Sqlite> + Send,
    SelectRecords<E>: for<'q> LoadQuery<'q, SqliteConnection, Record<E>>,
{
    let mut batch = Vec::with_capacity(BATCH);
    for record in SelectRows::records(query).load_iter(conn)? {
        batch.push(record?);
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            if batches.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // Dropped meanwhile or not: there is no more.
        let _ = batches.blocking_send(Ok(batch));
    }
    Ok(())
}

impl<E> Stream for RecordStream<E>
where
    E: DieselEntity,
    Record<E>: Selectable<Sqlite> + Send,
    SelectRecords<E>: for<'q> LoadQuery<'q, SqliteConnection, Record<E>>,
{
    type Item = Result<Record<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let batches = match &mut self.state {
                State::Running(batches) => batches,
                State::Ended => return Poll::Ready(None),
                State::NotStarted(_) => {
                    let State::NotStarted(query) = std::mem::replace(&mut self.state, State::Ended) else {
                        continue;
                    };
                    match Self::start(*query) {
                        Ok(batches) => self.state = State::Running(batches),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                    continue;
                }
            };
            if let Some(record) = batches.current.next() {
                return Poll::Ready(Some(Ok(record)));
            }
            match batches.received.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(batch))) => batches.current = batch.into_iter(),
                Poll::Ready(Some(Err(error))) => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.state = State::Ended;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

// Nothing in it is pinned.
impl<E> Unpin for RecordStream<E> {}

impl<E> fmt::Debug for RecordStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::NotStarted(_) => "not started",
            State::Running(_) => "running",
            State::Ended => "ended",
        };
        f.debug_struct("RecordStream").field("state", &state).finish()
    }
}
