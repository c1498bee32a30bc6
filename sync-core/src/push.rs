//! What an answer to a sent operation means: pure decisions (behaviour 5.2, F-10; protocol.md 8).
//!
//! An answer is believed only if it is about the row that was sent. A 2xx with a proxy's page is no success, the
//! body of a 409 is the server's row only where the server says so with a strong tag, and a 404 that is no answer
//! of a tables server does not delete anything. Where the answer does not show the server's row, the row is
//! fetched and compared: a row that holds what was sent means that an earlier, lost attempt succeeded. A row that cannot
//! be fetched for a reason of its own is recorded, as one that cannot be written. A refused repetition of a request whose
//! outcome is unknown is explained by the row in the same way: the refusal speaks of the repetition only. So is a repetition
//! that the server fails on: what it always fails on would otherwise keep every later change of the row from it.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx, empty or a row with this id | done |
//! | 404, 410 to a delete | done |
//! | 409, 412 | own write, own deletion, conflict or gone, by comparison |
//! | 404, 410 to an update | gone, after a look at the server's row |
//! | 400 about the version header | the push stops; the operation was not done |
//! | 401 | the push stops; the operation was not done |
//! | 408, 502, 504 | the push stops; outcome unknown |
//! | 429, 503 | the push stops; the operation was not done |
//! | other 5xx | recorded, outcome unknown; the push goes on, five in a row stop it |
//! | other 5xx to a repetition | what the server's row says, after a look: done, a conflict, or recorded as not done |
//! | other 4xx | recorded; the server did not do it; the push goes on |
//! | anything else | the push stops; outcome unknown |

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::operation::{FailureClass, Outgoing, SentKind, adds_up, is_same_write};
use crate::page::PageSummary;
use crate::protocol::{Dialect, response};
use crate::row::Row;
use crate::store::{Failure, Outcome, Resolution, Resolver};
use crate::transport::Response;

/// What to do after an answer.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The outcome is clear.
    Settled(Outcome),
    /// The answer does not show the server's row: fetch it, then ask [`read_fetched`].
    Fetch(Doubt),
    /// The outcome is clear, and the push must stop.
    Stop(Outcome, Stop),
}

/// An answer that only the server's row can explain.
#[derive(Debug)]
pub(crate) struct Doubt {
    status: Option<u16>,
    message: String,
}

/// Why a push stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The server is busy; it may have said for how long.
    Busy(Error, Option<Duration>),
    /// Any other reason.
    Failed(Error),
}

/// Reads the answer to `operation`.
pub(crate) fn read_answer(operation: &Outgoing, answer: &Response, dialect: Dialect) -> Reading {
    let status = answer.status.as_u16();
    let about =
        |error: Error| error.with_table(operation.table.name).with_item(operation.key.item_id.as_str());
    let remote = || response::conflicting_row(answer, operation.table, dialect, &operation.key.item_id);
    let doubt = || Doubt { status: Some(status), message: response::error_text(answer) };
    match status {
        200..=299 => read_success(operation, answer, dialect, about),
        400 if response::refuses_version(answer) => {
            Reading::Stop(Outcome::Unsent, Stop::Failed(about(response::version_refused(answer, dialect))))
        }
        401 => Reading::Stop(Outcome::Unsent, Stop::Failed(about(response::error(answer)))),
        408 | 502 | 504 => Reading::Stop(
            Outcome::Uncertain(None),
            Stop::Busy(about(response::error(answer)), response::retry_after(answer)),
        ),
        429 | 503 => Reading::Stop(
            Outcome::Unsent,
            Stop::Busy(about(response::error(answer)), response::retry_after(answer)),
        ),
        300..=399 => Reading::Stop(Outcome::Uncertain(None), Stop::Failed(about(response::error(answer)))),
        500..=599 => Reading::Settled(Outcome::Uncertain(Some(Failure {
            class: FailureClass::ServerError,
            status: Some(status),
            message: response::error_text(answer),
            remote: None,
        }))),
        404 | 410 if !response::is_plausible(answer) => Reading::Settled(Outcome::Refused(Failure {
            class: FailureClass::Refused,
            status: Some(status),
            message: "the answer is not one of a tables server: wrong address, or the table is unknown"
                .into(),
            remote: None,
        })),
        // A row that is there and deleted, and stays so: the request was not this server's way to revive one.
        410 if operation.sent == SentKind::Undelete => Reading::Settled(Outcome::Refused(Failure {
            message: "the server did not revive the deleted row; the server profile may name the wrong way"
                .into(),
            ..refused(status, answer)
        })),
        404 | 410 => match operation.sent {
            SentKind::Delete => Reading::Settled(Outcome::Acknowledged { row: None }),
            SentKind::Update => Reading::Fetch(doubt()),
            SentKind::Insert => Reading::Settled(Outcome::Refused(refused(status, answer))),
            SentKind::Undelete => Reading::Settled(Outcome::Resolved {
                failure: Failure {
                    class: FailureClass::Gone,
                    status: Some(status),
                    message: response::error_text(answer),
                    remote: None,
                },
                resolution: Resolution::KeepLocal,
                by: Resolver::Engine,
            }),
        },
        409 | 412 => match remote() {
            Some(row) => Reading::Settled(compare(operation, Some(row), doubt())),
            None => Reading::Fetch(doubt()),
        },
        _ => Reading::Settled(Outcome::Refused(refused(status, answer))),
    }
}

/// Reads the answer to the fetch of the row in doubt.
pub(crate) fn read_fetched(
    operation: &Outgoing,
    doubt: Doubt,
    answer: &Response,
    dialect: Dialect,
) -> Reading {
    match fetched_row(operation, answer, dialect) {
        Ok(row) => Reading::Settled(compare(operation, row, doubt)),
        Err(Unread::Stop(stop)) => Reading::Stop(Outcome::Uncertain(None), stop),
        Err(Unread::Failed(failure)) if failure.class == FailureClass::ServerError || operation.uncertain => {
            Reading::Settled(Outcome::Uncertain(Some(*failure)))
        }
        // The answer to the write was a refusal, of which only the reason is not known.
        Err(Unread::Failed(failure)) => Reading::Settled(Outcome::Refused(*failure)),
    }
}

/// Reads the look at the server's row before an operation whose base version is not known is sent (P-10): the row to
/// send it on, if it is one that this device has seen; else what the row means for the operation, which was not
/// sent.
pub(crate) fn read_look(
    operation: &Outgoing,
    answer: &Response,
    dialect: Dialect,
) -> Result<Row, Box<Reading>> {
    let row = fetched_row(operation, answer, dialect).map_err(|unread| {
        Box::new(match unread {
            Unread::Stop(stop) => Reading::Stop(Outcome::Unsent, stop),
            // What was sent before stays known.
            Unread::Failed(failure) if operation.uncertain => {
                Reading::Settled(Outcome::Uncertain(Some(*failure)))
            }
            Unread::Failed(failure) => Reading::Settled(Outcome::Refused(*failure)),
        })
    })?;
    // An update starts from the base. A delete may also follow an insert of this device that perhaps arrived.
    let deleted = Some(&operation.item).filter(|_| operation.sent == SentKind::Delete);
    let base = operation.base.as_ref().filter(|base| !base.deleted);
    let seen = [base, operation.earlier.as_ref(), deleted];
    let was_seen = |row: &Row| {
        !row.deleted && seen.iter().flatten().any(|seen| is_same_write(operation.table, seen, row))
    };
    match row {
        Some(row) if was_seen(&row) => Ok(row),
        row => {
            let message = "the row was changed on the server since it was read".to_owned();
            Err(Box::new(Reading::Settled(compare(operation, row, Doubt { status: None, message }))))
        }
    }
}

/// Reads the look at the server's row after a request that repeats one of unknown outcome was refused, or failed on the
/// server: that answer speaks of the repetition only.
///
/// A row that does not show the write is no proof: the server, or the network, may still have one of the requests. It is
/// taken for one all the same, since the current content would never be sent otherwise. What arrives late is met by the
/// next request: the same content is known for what it is, other content is a conflict, and of an insert the store keeps
/// that the server may hold the row.
pub(crate) fn read_look_after_refusal(
    operation: &Outgoing,
    refusal: Failure,
    answer: &Response,
    dialect: Dialect,
) -> Reading {
    let is_same = |row: &Row| is_same_write(operation.table, &operation.item, row);
    let is_untouched = |row: &Row| match (operation.sent, &operation.base_version) {
        (SentKind::Insert, _) => false,
        (SentKind::Undelete, _) => row.deleted,
        (SentKind::Update | SentKind::Delete, Some(version)) => {
            !row.deleted && row.version.as_ref() == Some(version)
        }
        // Without a version there is none to be in conflict with: the row shows the write, or it was not done.
        (SentKind::Update, None) => row.deleted || !is_same(row),
        (SentKind::Delete, None) => !row.deleted,
    };
    match fetched_row(operation, answer, dialect) {
        Ok(None) if operation.sent != SentKind::Delete => Reading::Settled(Outcome::Refused(refusal)),
        Ok(Some(row)) if is_untouched(&row) => Reading::Settled(Outcome::Refused(refusal)),
        Ok(row) => {
            let doubt = Doubt { status: refusal.status, message: refusal.message };
            Reading::Settled(compare(operation, row, doubt))
        }
        Err(Unread::Stop(stop)) => Reading::Stop(Outcome::Uncertain(None), stop),
        // Repeated until the server shows the row, or the app drops the change.
        Err(Unread::Failed(_)) => Reading::Settled(Outcome::Uncertain(Some(refusal))),
    }
}

/// Why the server's row could not be read.
enum Unread {
    /// The push must stop.
    Stop(Stop),
    /// The server does not show this row: recorded, and the push goes on. Stopping would keep all that stands behind
    /// it from the server, in every push (P-20a, P-20b).
    Failed(Box<Failure>),
}

/// The row in an answer to a read by id; `None` if the server has none.
fn fetched_row(operation: &Outgoing, answer: &Response, dialect: Dialect) -> Result<Option<Row>, Unread> {
    let about =
        |error: Error| error.with_table(operation.table.name).with_item(operation.key.item_id.as_str());
    if !answer.status.is_success() {
        let status = answer.status.as_u16();
        let error = response::list_error(answer, dialect);
        let class = match (error.kind(), status) {
            (ErrorKind::ServerBusy, _) => {
                return Err(Unread::Stop(Stop::Busy(about(error), response::retry_after(answer))));
            }
            (ErrorKind::Unauthorized | ErrorKind::WrongDialect, _) | (_, 0..=399) => {
                return Err(Unread::Stop(Stop::Failed(about(error))));
            }
            (_, 400..=499) => FailureClass::Refused,
            _ => FailureClass::ServerError,
        };
        return Err(Unread::Failed(Box::new(Failure {
            class,
            status: Some(status),
            message: format!("the server's row could not be read: {error}"),
            remote: None,
        })));
    }
    let mut rows = Vec::new();
    let read = PageSummary::scan(&answer.body, dialect.names()).and_then(|_| {
        crate::page::for_each_row(&answer.body, operation.table, dialect.names(), |row| {
            rows.extend(row.to_row());
            Ok(())
        })
    });
    match read {
        Ok(()) => Ok(rows.into_iter().find(|row| row.id == operation.key.item_id)),
        Err(error) => Err(Unread::Stop(Stop::Failed(about(error)))),
    }
}

/// An answer without a version (P-13) leaves the row's as it was, which the next change finds out: its 412 shows a row
/// that is otherwise the same (F-11).
fn read_success(
    operation: &Outgoing,
    answer: &Response,
    dialect: Dialect,
    about: impl Fn(Error) -> Error,
) -> Reading {
    if answer.body.is_empty() {
        let version = response::strong_etag(answer);
        let row = version.map(|version| {
            let mut row = Row::empty(operation.table, operation.key.item_id.as_str());
            row.version = Some(version);
            row
        });
        return Reading::Settled(Outcome::Acknowledged { row });
    }
    match response::row_about(answer, operation.table, dialect, &operation.key.item_id) {
        Some(row) => Reading::Settled(Outcome::Acknowledged { row: Some(row) }),
        None => Reading::Stop(
            Outcome::Uncertain(None),
            Stop::Failed(about(
                Error::new(
                    ErrorKind::InvalidResponse,
                    "the server's success answer is not about the row that was sent",
                )
                .with_status(answer.status.as_u16()),
            )),
        ),
    }
}

/// The table of rule F-10: what the server holds against what was sent.
fn compare(operation: &Outgoing, remote: Option<Row>, doubt: Doubt) -> Outcome {
    let failure = |class, remote| Failure { class, status: doubt.status, message: doubt.message, remote };
    match (operation.sent, remote) {
        (SentKind::Delete, None) => Outcome::Acknowledged { row: None },
        (SentKind::Delete, Some(row)) if row.deleted => Outcome::Acknowledged { row: Some(row) },
        (SentKind::Insert, None) => Outcome::Conflict(failure(FailureClass::Conflict, None)),
        (_, None) => Outcome::Conflict(failure(FailureClass::Gone, None)),
        (SentKind::Undelete, Some(row)) if !row.deleted && is_as_revived(operation, &row) => {
            Outcome::Acknowledged { row: Some(row) }
        }
        // F-06: what was made again here is what the deletion left behind. As after the 404 of an undelete, no conflict.
        (SentKind::Insert, Some(row)) if is_as_deleted_here(operation, &row) => Outcome::Resolved {
            failure: failure(FailureClass::Gone, Some(row)),
            resolution: Resolution::KeepLocal,
            by: Resolver::Engine,
        },
        (_, Some(row)) if row.deleted => Outcome::Conflict(failure(FailureClass::Gone, Some(row))),
        (SentKind::Insert | SentKind::Update, Some(row))
            if is_same_write(operation.table, &operation.item, &row) && !is_same_sum(operation) =>
        {
            Outcome::Acknowledged { row: Some(row) }
        }
        (_, Some(row)) => Outcome::Conflict(failure(FailureClass::Conflict, Some(row))),
    }
}

/// Whether a live row is what reviving it leaves; one with other content was changed by somebody since (I-5).
fn is_as_revived(operation: &Outgoing, row: &Row) -> bool {
    let same = |known: &Row| is_same_write(operation.table, known, row);
    same(&operation.item) || operation.base.as_ref().is_none_or(same)
}

/// Whether a deleted row is the one that this device deleted before it made it again; one with other content was changed
/// by somebody since. Without its version it cannot be revived.
fn is_as_deleted_here(operation: &Outgoing, row: &Row) -> bool {
    let base = operation.base.as_ref().filter(|base| base.deleted);
    row.deleted && row.version.is_some() && base.is_some_and(|base| is_same_write(operation.table, base, row))
}

/// Whether a server row that holds what was sent is somebody else's doing: no request of this change can have arrived,
/// and a column that adds up was changed, where equal values of two devices are two changes. A row made new adds to none.
fn is_same_sum(operation: &Outgoing) -> bool {
    let base = operation.base.as_ref().filter(|_| operation.sent != SentKind::Insert);
    !operation.uncertain && base.is_some_and(|base| adds_up(operation.table, base, &operation.item))
}

fn refused(status: u16, answer: &Response) -> Failure {
    Failure {
        class: FailureClass::Refused,
        status: Some(status),
        message: response::error_text(answer),
        remote: None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use http::header::{ETAG, HeaderMap, HeaderValue};

    use super::*;
    use crate::entity::{ColumnSchema, TableSchema};
    use crate::operation::OperationKey;
    use crate::value::{ColumnType, Value};

    static TABLE: TableSchema = TableSchema {
        name: "T",
        columns: &[ColumnSchema::new("text", ColumnType::Text)],
        versioned: true,
        keep_deleted: false,
    };

    fn sent(kind: SentKind) -> Outgoing {
        Outgoing {
            key: OperationKey { table: "T", item_id: "a".into(), seq: 1, revision: 1 },
            table: &TABLE,
            sent: kind,
            uncertain: false,
            item: Row::new("a", vec![Value::Text("milk".into())]),
            base_version: Some("v1".into()),
            base: None,
            earlier: None,
            attempts: 1,
            may_have_arrived: false,
        }
    }

    fn answer(status: u16, etag: Option<&'static str>, body: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(ETAG, HeaderValue::from_static(etag));
        }
        Response {
            status: StatusCode::from_u16(status).expect("valid"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    /// A word for each reading; the table below stays readable.
    fn word(reading: Reading) -> &'static str {
        match reading {
            Reading::Settled(Outcome::Acknowledged { row: Some(_) }) => "done with row",
            Reading::Settled(Outcome::Acknowledged { row: None }) => "done",
            Reading::Settled(Outcome::Conflict(failure)) => match (failure.class, failure.remote.is_some()) {
                (FailureClass::Gone, true) => "gone, deleted row",
                (FailureClass::Gone, false) => "gone",
                (_, true) => "conflict",
                (_, false) => "conflict, no row",
            },
            Reading::Settled(Outcome::Refused(_)) => "refused",
            Reading::Settled(Outcome::Uncertain(Some(_))) => "uncertain, recorded",
            Reading::Settled(Outcome::Resolved { .. }) => "insert instead",
            Reading::Settled(_) => "other",
            Reading::Fetch(_) => "fetch",
            Reading::Stop(Outcome::Unsent, Stop::Busy(..)) => "stop busy, not done",
            Reading::Stop(Outcome::Unsent, _) => "stop, not done",
            Reading::Stop(_, Stop::Busy(..)) => "stop busy, uncertain",
            Reading::Stop(..) => "stop, uncertain",
        }
    }

    const ROW: &str = "{\"id\":\"a\",\"text\":\"milk\",\"version\":\"v2\",\"deleted\":false}";
    const OTHER: &str = "{\"id\":\"a\",\"text\":\"beer\",\"version\":\"v2\",\"deleted\":false}";
    const DELETED: &str = "{\"id\":\"a\",\"text\":\"milk\",\"version\":\"v2\",\"deleted\":true}";

    #[test]
    fn p_16_to_p_20_and_f_10_answers_by_status_and_body() {
        use SentKind::{Delete, Insert, Undelete, Update};
        let strong = Some("\"v2\"");
        let weak = Some("W/\"x\"");
        for (kind, status, etag, body, expected) in [
            (Insert, 201, strong, ROW, "done with row"),
            (Insert, 201, None, "", "done"),
            (Insert, 201, strong, "", "done with row"),
            (Insert, 200, None, "<html>", "stop, uncertain"),
            (Insert, 200, None, "{\"id\":\"b\"}", "stop, uncertain"),
            (Insert, 200, None, "[]", "stop, uncertain"),
            (Insert, 200, None, "{\"id\":\"a\",\"te", "stop, uncertain"),
            (Insert, 200, None, "{\"text\":\"milk\"}", "done with row"),
            (Insert, 409, weak, ROW, "fetch"),
            (Insert, 409, None, "{\"error\":\"exists\"}", "fetch"),
            (Insert, 409, strong, ROW, "done with row"),
            (Insert, 409, strong, OTHER, "conflict"),
            (Insert, 409, strong, DELETED, "gone, deleted row"),
            (Insert, 412, strong, ROW, "done with row"),
            (Insert, 412, strong, OTHER, "conflict"),
            (Insert, 404, None, "", "refused"),
            (Update, 200, strong, ROW, "done with row"),
            (Update, 412, strong, ROW, "done with row"),
            (Update, 412, strong, OTHER, "conflict"),
            (Update, 412, strong, DELETED, "gone, deleted row"),
            (Update, 412, None, "", "fetch"),
            (Update, 404, None, "{\"error\":\"x\"}", "fetch"),
            (Update, 410, None, "", "fetch"),
            (Update, 404, None, "<html>", "refused"),
            (Delete, 200, strong, DELETED, "done with row"),
            (Delete, 204, None, "", "done"),
            (Delete, 200, None, "<html>", "stop, uncertain"),
            (Delete, 404, None, "{\"error\":\"x\"}", "done"),
            (Delete, 404, None, "", "done"),
            (Delete, 410, None, "", "done"),
            (Delete, 404, None, "<!DOCTYPE html>", "refused"),
            (Delete, 412, None, "", "fetch"),
            (Delete, 412, strong, OTHER, "conflict"),
            (Delete, 412, strong, DELETED, "done with row"),
            (Undelete, 201, strong, ROW, "done with row"),
            (Undelete, 404, None, "", "insert instead"),
            (Update, 400, None, "{\"error\":\"x\"}", "refused"),
            (Update, 403, None, "", "refused"),
            (Update, 413, None, "", "refused"),
            (Update, 422, None, "", "refused"),
            (Update, 401, None, "", "stop, not done"),
            (Update, 429, None, "", "stop busy, not done"),
            (Update, 503, None, "", "stop busy, not done"),
            (Update, 408, None, "", "stop busy, uncertain"),
            (Update, 502, None, "", "stop busy, uncertain"),
            (Update, 504, None, "", "stop busy, uncertain"),
            (Update, 500, None, "", "uncertain, recorded"),
            (Update, 507, None, "", "uncertain, recorded"),
            (Insert, 307, None, "", "stop, uncertain"),
        ] {
            let reading = read_answer(&sent(kind), &answer(status, etag, body), Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{kind:?} {status} {body}");
        }
    }

    #[test]
    fn f_10_the_fetched_row_decides() {
        use SentKind::{Delete, Insert, Update};
        let page = |row: &str| format!("[{row}]");
        for (kind, body, expected) in [
            (Insert, page(ROW), "done with row"),
            (Insert, page(OTHER), "conflict"),
            (Insert, page(DELETED), "gone, deleted row"),
            (Insert, page(""), "conflict, no row"),
            (Update, page(ROW), "done with row"),
            (Update, page(OTHER), "conflict"),
            (Update, page(DELETED), "gone, deleted row"),
            (Update, page(""), "gone"),
            (Delete, page(""), "done"),
            (Delete, page(DELETED), "done with row"),
            (Delete, page(OTHER), "conflict"),
            (Insert, page("{\"id\":\"b\",\"text\":\"milk\"}"), "conflict, no row"),
            (Insert, "<html>".to_owned(), "stop, uncertain"),
        ] {
            let doubt = Doubt { status: Some(409), message: String::new() };
            let mut fetched = answer(200, None, "");
            fetched.body = Bytes::from(body.clone());
            let reading = read_fetched(&sent(kind), doubt, &fetched, Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{kind:?} {body}");
        }
        for (status, expected) in [
            (401, "stop, uncertain"),
            (302, "stop, uncertain"),
            (429, "stop busy, uncertain"),
            (503, "stop busy, uncertain"),
            (500, "uncertain, recorded"),
            (403, "refused"),
            (404, "refused"),
        ] {
            let doubt = Doubt { status: Some(409), message: String::new() };
            let reading = read_fetched(&sent(Insert), doubt, &answer(status, None, ""), Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{status}");
        }
        // A repetition: the attempt before it may be what the server does not show.
        let repeated = Outgoing { uncertain: true, ..sent(Insert) };
        let doubt = Doubt { status: Some(409), message: String::new() };
        let reading = read_fetched(&repeated, doubt, &answer(403, None, ""), Dialect::MobileApps);
        assert_eq!(word(reading), "uncertain, recorded");
    }

    #[test]
    fn x_04_a_refused_repetition_is_explained_by_the_servers_row() {
        use SentKind::{Delete, Insert, Undelete, Update};
        let unchanged = ROW.replace("milk", "beer").replace("v2", "v1");
        for (kind, body, expected) in [
            (Insert, String::new(), "refused"),
            (Insert, ROW.to_owned(), "done with row"),
            (Insert, OTHER.to_owned(), "conflict"),
            (Insert, DELETED.to_owned(), "gone, deleted row"),
            (Update, unchanged.clone(), "refused"),
            (Update, ROW.to_owned(), "done with row"),
            (Update, OTHER.to_owned(), "conflict"),
            (Update, DELETED.to_owned(), "gone, deleted row"),
            (Update, String::new(), "refused"),
            (Delete, unchanged, "refused"),
            (Delete, OTHER.to_owned(), "conflict"),
            (Delete, DELETED.to_owned(), "done with row"),
            (Delete, String::new(), "done"),
            (Undelete, DELETED.to_owned(), "refused"),
            (Undelete, ROW.to_owned(), "done with row"),
        ] {
            let refusal = refused(403, &answer(403, None, ""));
            let mut fetched = answer(200, None, "");
            fetched.body = Bytes::from(format!("[{body}]"));
            let reading = read_look_after_refusal(&sent(kind), refusal, &fetched, Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{kind:?} {body}");
        }
        // Without a version only the content tells.
        for (kind, body, expected) in [
            (Update, ROW, "done with row"),
            (Update, OTHER, "refused"),
            (Update, DELETED, "refused"),
            (Update, "", "refused"),
            (Delete, OTHER, "refused"),
            (Delete, DELETED, "done with row"),
            (Delete, "", "done"),
            (Insert, OTHER, "conflict"),
        ] {
            let sent = Outgoing { base_version: None, uncertain: true, ..sent(kind) };
            let refusal = refused(403, &answer(403, None, ""));
            let mut fetched = answer(200, None, "");
            fetched.body = Bytes::from(format!("[{body}]"));
            let reading = read_look_after_refusal(&sent, refusal, &fetched, Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{kind:?} {body}");
        }
        for (status, expected) in [
            (401, "stop, uncertain"),
            (503, "stop busy, uncertain"),
            (403, "uncertain, recorded"),
            (500, "uncertain, recorded"),
        ] {
            let (refusal, looked) = (refused(403, &answer(403, None, "")), answer(status, None, ""));
            let reading = read_look_after_refusal(&sent(Insert), refusal, &looked, Dialect::MobileApps);
            assert_eq!(word(reading), expected, "{status}");
        }
    }

    #[test]
    fn w_03_to_w_08_answers_of_each_dialect() {
        use Dialect::{Datasync as V3, MobileApps as V2, MobileServices as V1};
        use SentKind::{Delete, Insert, Undelete, Update};
        const OLD_OTHER: &str = "{\"id\":\"a\",\"text\":\"beer\",\"__version\":\"v2\",\"__deleted\":false}";
        const OLD_DELETED: &str = "{\"id\":\"a\",\"text\":\"milk\",\"__version\":\"v2\",\"__deleted\":true}";
        const OLD_DUPLICATE: &str = "{\"code\":409,\"error\":\"Error: Could not insert the item\"}";
        const PROBLEM: &str = "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409}";
        let strong = Some("\"v2\"");
        for (dialect, kind, status, etag, body, expected) in [
            // v1: only what was sent comes back, and no row with a 409.
            (V1, Insert, 201, None, "{\"id\":\"a\",\"text\":\"milk\"}", "done with row"),
            (V1, Update, 200, strong, "{\"text\":\"milk\",\"__version\":\"v2\"}", "done with row"),
            (V1, Undelete, 200, strong, "{\"id\":\"a\",\"__deleted\":false}", "done with row"),
            (V1, Delete, 204, None, "", "done"),
            (V1, Insert, 409, None, OLD_DUPLICATE, "fetch"),
            (V1, Update, 412, strong, OLD_OTHER, "conflict"),
            (V1, Update, 412, strong, OLD_DELETED, "gone, deleted row"),
            (V1, Update, 412, strong, OLD_DUPLICATE, "fetch"),
            (V1, Delete, 412, strong, OLD_DELETED, "done with row"),
            (V1, Delete, 412, strong, OLD_OTHER, "conflict"),
            (V1, Delete, 404, None, "{\"code\":404,\"error\":\"no\"}", "done"),
            (V1, Update, 404, None, "{\"code\":404,\"error\":\"no\"}", "fetch"),
            // v2: a body without id or version is an error text, whatever its tag says.
            (V2, Update, 412, strong, "{\"error\":\"stale\"}", "fetch"),
            (V2, Insert, 409, strong, "{\"error\":\"exists\"}", "fetch"),
            // v3: the stored row comes with the 409, also when a gateway weakens its tag.
            (V3, Insert, 201, strong, ROW, "done with row"),
            (V3, Insert, 409, strong, OTHER, "conflict"),
            (V3, Insert, 409, None, OTHER, "conflict"),
            (V3, Insert, 409, Some("W/\"v2\""), ROW, "done with row"),
            (V3, Insert, 409, strong, DELETED, "gone, deleted row"),
            (V3, Insert, 409, None, PROBLEM, "fetch"),
            (V3, Update, 412, strong, OTHER, "conflict"),
            (V3, Update, 409, None, OTHER, "conflict"),
            (V3, Update, 410, None, "", "fetch"),
            (V3, Update, 410, None, "{\"title\":\"Gone\",\"status\":410}", "fetch"),
            (V3, Update, 404, None, "", "fetch"),
            (V3, Delete, 204, None, "", "done"),
            (V3, Delete, 410, None, "", "done"),
            (V3, Delete, 404, None, "", "done"),
            (V3, Undelete, 200, strong, ROW, "done with row"),
            (V3, Undelete, 404, None, "", "insert instead"),
            (V3, Undelete, 410, None, "", "refused"),
            (V3, Undelete, 405, None, "", "refused"),
            // The version header is refused: another server than the one configured, nothing was done.
            (V1, Insert, 400, None, "{\"error\":\"An invalid API version was specified\"}", "stop, not done"),
            (V2, Update, 400, None, "ZUMO-API-VERSION is not supported", "stop, not done"),
            (V3, Delete, 400, None, "{\"title\":\"Invalid ZUMO-API-VERSION\"}", "stop, not done"),
            (V3, Insert, 400, None, "[{\"errorMessage\":\"too short\"}]", "refused"),
        ] {
            let reading = read_answer(&sent(kind), &answer(status, etag, body), dialect);
            assert_eq!(word(reading), expected, "{dialect:?} {kind:?} {status} {body}");
        }
    }

    #[test]
    fn f_06_a_row_deleted_and_made_again_here_is_no_conflict_with_itself() {
        let base = Row { deleted: true, ..sent(SentKind::Insert).item };
        let again = Row::new("a", vec![Value::Text("bread".into())]);
        let insert =
            Outgoing { item: again, base_version: None, base: Some(base.clone()), ..sent(SentKind::Insert) };
        let without_version = DELETED.replace(",\"version\":\"v2\"", "");
        let changed = DELETED.replace("milk", "beer");
        for (operation, body, expected) in [
            (insert.clone(), DELETED, "revived"),
            (Outgoing { uncertain: true, ..insert.clone() }, DELETED, "revived"),
            (insert.clone(), &*changed, "gone, deleted row"),
            (insert.clone(), &*without_version, "gone, deleted row"),
            (insert.clone(), OTHER, "conflict"),
            (Outgoing { base: None, ..insert.clone() }, DELETED, "gone, deleted row"),
            (
                Outgoing { base: Some(Row { deleted: false, ..base.clone() }), ..insert.clone() },
                DELETED,
                "gone, deleted row",
            ),
        ] {
            let doubt = Doubt { status: Some(409), message: String::new() };
            let mut fetched = answer(200, None, "");
            fetched.body = Bytes::from(format!("[{body}]"));
            let reading = read_fetched(&operation, doubt, &fetched, Dialect::MobileApps);
            let found = match &reading {
                Reading::Settled(Outcome::Resolved {
                    failure: Failure { class: FailureClass::Gone, remote: Some(_), .. },
                    resolution: Resolution::KeepLocal,
                    by: Resolver::Engine,
                }) => "revived",
                _ => word(reading),
            };
            assert_eq!(found, expected, "{body} on {:?}", operation.base);
        }
    }

    #[test]
    fn f_10_the_fetched_row_decides_in_every_list_shape() {
        let read = |dialect, body: &'static str| {
            let doubt = Doubt { status: Some(409), message: String::new() };
            word(read_fetched(&sent(SentKind::Insert), doubt, &answer(200, None, body), dialect))
        };
        let old = "[{\"id\":\"a\",\"text\":\"milk\",\"__version\":\"v2\",\"__deleted\":true}]";
        assert_eq!(read(Dialect::MobileServices, old), "gone, deleted row");
        let items = "{\"items\":[{\"id\":\"a\",\"text\":\"milk\",\"version\":\"v2\"}],\"nextLink\":null}";
        assert_eq!(read(Dialect::Datasync, items), "done with row");
        assert_eq!(read(Dialect::Datasync, "{\"items\":[]}"), "conflict, no row");
        assert_eq!(read(Dialect::Datasync, "{\"title\":\"x\"}"), "stop, uncertain");
    }
}
