//! One operation on its way: its requests, and what their answers mean together.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{FailureClass, Outgoing, SentKind, is_same_write};
use crate::push::{Doubt, Reading, Stop, read_answer, read_fetched, read_look, read_look_after_refusal};
use crate::row::Row;
use crate::store::{Failure, LocalStore, Outcome};
use crate::transport::{Request, Response, SendError};

/// The header that names a write, the same for each repetition of it (W-17).
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What became of the requests of one operation.
pub(super) struct Answered {
    pub(super) operation: Outgoing,
    /// An error: the request could not even be built.
    pub(super) reading: Result<Reading>,
    /// Bytes of the bodies, both ways.
    pub(super) bytes: u64,
}

/// Sends one operation and reads its answer, with the looks at the server's row that its meaning takes.
pub(super) async fn send<S: LocalStore>(engine: &Engine<S>, mut operation: Outgoing) -> Answered {
    let mut line = Exchange { engine, bytes: 0 };
    // P-26: a panic of the app's code around a request must not take the outcomes of the others with it.
    let reading = AssertUnwindSafe(line.run(&mut operation)).catch_unwind().await;
    let reading = reading.unwrap_or_else(|_| Ok(panicked(&operation)));
    Answered { operation, reading, bytes: line.bytes }
}

struct Exchange<'e, S> {
    engine: &'e Engine<S>,
    bytes: u64,
}

impl<S: LocalStore> Exchange<'_, S> {
    async fn run(&mut self, operation: &mut Outgoing) -> Result<Reading> {
        let mut ground = None;
        if is_version_unknown(operation) {
            match self.look(operation).await? {
                Ok(row) => stand_on(operation, ground.insert(row)),
                Err(reading) => return Ok(*reading),
            }
        }
        let mut reading = self.write(operation).await?;
        // F-11, once: a second one in a row is somebody else at work.
        if let Some(row) = moved_version(operation, &reading) {
            // The row that was read is the one of this version as well.
            if let Some(base) = &mut operation.base {
                base.version.clone_from(&row.version);
            }
            stand_on(operation, ground.insert(row));
            reading = self.write(operation).await?;
        }
        if let (Some(ground), Reading::Settled(Outcome::Acknowledged { row: Some(answer) })) =
            (&ground, &mut reading)
        {
            complete(operation, answer, ground);
        }
        Ok(reading)
    }

    /// P-10, X-04: what was changed here has a version that is not known. The server's row must still be what was seen.
    async fn look(&mut self, operation: &Outgoing) -> Result<Result<Row, Box<Reading>>> {
        let request = self.engine.requests.fetch(operation.table, &operation.key.item_id)?;
        Ok(match self.send(request).await {
            Ok(answer) => read_look(operation, &answer, self.engine.requests.dialect()),
            Err(failure) => {
                let stop = Stop::Failed(about(operation, failure.error));
                Err(Box::new(Reading::Stop(Outcome::Unsent, stop)))
            }
        })
    }

    async fn write(&mut self, operation: &Outgoing) -> Result<Reading> {
        let dialect = self.engine.requests.dialect();
        let mut request = self.engine.requests.write(operation)?;
        if let Some(device) = &self.engine.idempotency {
            let key = idempotency_key(device, operation, request.body.as_deref());
            let value = HeaderValue::from_str(&key).map_err(|source| {
                Error::new(ErrorKind::InvalidArgument, "the name of the device cannot stand in a header")
                    .with_source(source)
            })?;
            request.headers.insert(IDEMPOTENCY_KEY, value);
        }
        let reading = match self.send(request).await {
            Ok(answer) => read_answer(operation, &answer, dialect),
            Err(failure) => return Ok(no_answer(operation, failure)),
        };
        match reading {
            Reading::Fetch(doubt) => self.fetch(operation, doubt).await,
            // A server that failed on it twice may do so for ever. Of the first failure nothing is asked: most pass.
            Reading::Settled(Outcome::Refused(failure) | Outcome::Uncertain(Some(failure)))
                if operation.uncertain =>
            {
                self.look_after_refusal(operation, failure).await
            }
            reading => Ok(reading),
        }
    }

    /// The repetition that was refused, or failed, says nothing of the attempt before it.
    async fn look_after_refusal(&mut self, operation: &Outgoing, refusal: Failure) -> Result<Reading> {
        let request = self.engine.requests.fetch(operation.table, &operation.key.item_id)?;
        Ok(match self.send(request).await {
            Ok(answer) => {
                read_look_after_refusal(operation, refusal, &answer, self.engine.requests.dialect())
            }
            Err(failure) => {
                Reading::Stop(Outcome::Uncertain(None), Stop::Failed(about(operation, failure.error)))
            }
        })
    }

    async fn fetch(&mut self, operation: &Outgoing, doubt: Doubt) -> Result<Reading> {
        let request = self.engine.requests.fetch(operation.table, &operation.key.item_id)?;
        Ok(match self.send(request).await {
            Ok(answer) => read_fetched(operation, doubt, &answer, self.engine.requests.dialect()),
            // The write was answered; only what it means is open.
            Err(failure) => {
                Reading::Stop(Outcome::Uncertain(None), Stop::Failed(about(operation, failure.error)))
            }
        })
    }

    async fn send(&mut self, request: Request) -> Result<Response, SendError> {
        self.bytes += request.body.as_ref().map_or(0, |body| body.len() as u64);
        let answer = self.engine.send(request).await?;
        self.bytes += answer.body.len() as u64;
        Ok(answer)
    }
}

/// The row is of a table with versions, and which one the server has is not known: it was read without its version
/// (P-10, P-13), or an insert of it may have arrived and it was deleted here since. A delete without condition
/// could remove what another device wrote meanwhile (I-5).
fn is_version_unknown(operation: &Outgoing) -> bool {
    let is_of_known_row = match operation.sent {
        SentKind::Update => operation.base.as_ref().is_some_and(|base| !base.deleted),
        SentKind::Delete => true,
        SentKind::Insert | SentKind::Undelete => false,
    };
    operation.table.versioned && operation.base_version.is_none() && is_of_known_row
}

/// A server row that is in another version than the one read, and column by column the same (F-11): nobody's change is
/// overwritten. Not if the change was made on an older version than the row had here (K-17).
fn moved_version(operation: &Outgoing, reading: &Reading) -> Option<Row> {
    let Reading::Settled(Outcome::Conflict(failure)) = reading else { return None };
    let (base, remote) = (operation.base.as_ref()?, failure.remote.as_ref()?);
    let is_read_version = base.version.is_some() && base.version == operation.base_version;
    let is_moved = failure.status == Some(StatusCode::PRECONDITION_FAILED.as_u16())
        && failure.class == FailureClass::Conflict
        && remote.version != operation.base_version;
    let is_same = !remote.deleted && is_same_write(operation.table, base, remote);
    let is_ours = remote.version.is_some() && is_read_version && is_moved && is_same;
    is_ours.then(|| remote.clone())
}

/// The operation goes out on top of this row of the server's: in its version, and what this program does not know as it
/// is there now (S-08), since an update may replace the row as a whole.
fn stand_on(operation: &mut Outgoing, row: &Row) {
    operation.base_version.clone_from(&row.version);
    if row.extra.is_some() {
        operation.item.extra.clone_from(&row.extra);
    }
}

/// What was not sent and the answer does not show is as in the row that the operation stands on. The store may hold a
/// copy from before that row (an earlier conflict, a pull), which would count as the newest.
fn complete(operation: &Outgoing, answer: &mut Row, ground: &Row) {
    for (index, _) in operation.table.sent_columns() {
        let is_sent = operation.item.values.get(index).is_some_and(Option::is_some);
        if let (false, Some(shown), Some(known)) =
            (is_sent, answer.values.get_mut(index), ground.values.get(index))
            && shown.is_none()
        {
            shown.clone_from(known);
        }
    }
}

/// Nobody knows how far the request got.
fn panicked(operation: &Outgoing) -> Reading {
    let why = "a handler around the request, the credentials or the transport panicked";
    let error = about(operation, Error::new(ErrorKind::Internal, why));
    Reading::Stop(Outcome::Uncertain(None), Stop::Failed(error))
}

fn no_answer(operation: &Outgoing, failure: SendError) -> Reading {
    let outcome = if failure.may_have_sent { Outcome::Uncertain(None) } else { Outcome::Unsent };
    Reading::Stop(outcome, Stop::Failed(about(operation, failure.error)))
}

fn about(operation: &Outgoing, error: Error) -> Error {
    error.with_table(operation.table.name).with_item(operation.key.item_id.as_str())
}

/// Names one write: the same when it is repeated, another one for other content, also after the database was restored
/// from a copy and its numbers come again (Z-09).
fn idempotency_key(device: &str, operation: &Outgoing, body: Option<&[u8]>) -> String {
    // FNV-1a
    let digest = body.unwrap_or_default().iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let kind = operation.sent.as_i64();
    format!("{device}-{}-{}-{kind}-{digest:016x}", operation.key.seq, operation.key.revision)
}
