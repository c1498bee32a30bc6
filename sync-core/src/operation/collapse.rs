//! The collapse matrix (behaviour ): what a further local change makes of a queued operation.

use super::{OperationKind, OperationState, SentKind, ServerMayHold};

/// A local change of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of the calls")]
pub enum Change {
    Insert,
    Update,
    Delete,
}

/// What matters of the operation already queued for the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queued {
    /// Its kind.
    pub kind: OperationKind,
    /// Its state.
    pub state: OperationState,
    /// What the server may hold.
    pub server_may_hold: ServerMayHold,
    /// The request it was last sent as, while that outcome is unknown.
    pub sent: Option<SentKind>,
}

/// What becomes of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collapsed {
    /// A new operation of this kind at the end of the queue.
    New(OperationKind),
    /// The operation takes this kind at the next revision and keeps its place. An operation in flight or
    /// uncertain stays attempted; another becomes pending.
    Keep(OperationKind),
    /// Like [`Keep`](Self::Keep), and the operation moves to the end of the queue (an attempted one keeps its
    /// place and what remains of it goes to the end).
    MoveToEnd(OperationKind),
    /// The operation vanishes with its error and shadow.
    Vanish,
    /// The operation vanishes; the id is noted to be fetched by the next pull.
    VanishAndRefetch,
    /// The row exists: `AlreadyExists`.
    Exists,
    /// The row does not exist locally: `NotFound`.
    Missing,
}

/// Decides by the matrix.
///
/// Whether the row exists locally is the caller's question when nothing is queued: an insert over a row without
/// operation is X-01, an update or delete of no row is X-13.
///
/// Only [`Queued::server_may_hold`] tells whether the server may know an inserted row (R1); the state does not.
/// The request in flight matters once: while a delete is unsettled, an insert must follow it and a further
/// delete takes that insert back.
pub fn collapse(queued: Option<Queued>, change: Change) -> Collapsed {
    use OperationKind::{Delete, Insert, Update};

    let Some(queued) = queued else {
        return Collapsed::New(match change {
            Change::Insert => Insert,
            Change::Update => Update,
            Change::Delete => Delete,
        });
    };
    let delete_is_out = queued.sent == Some(SentKind::Delete);
    match (queued.kind, change) {
        //
        (Insert | Update, Change::Insert) => Collapsed::Exists,
        //
        (kind @ (Insert | Update), Change::Update) => Collapsed::Keep(kind),
        (Insert, Change::Delete) if delete_is_out => Collapsed::MoveToEnd(Delete),
        (Insert, Change::Delete) => match queued.server_may_hold {
            // also an insert that would have revived a row: the server's row is deleted already.
            ServerMayHold::No => Collapsed::Vanish,
            // X-04, placed like every delete of a row the server may know.
            ServerMayHold::Maybe => Collapsed::MoveToEnd(Delete),
            //
            ServerMayHold::Foreign => Collapsed::VanishAndRefetch,
        },
        //
        (Update, Change::Delete) => Collapsed::MoveToEnd(Delete),
        //
        (Delete, Change::Insert) if delete_is_out || queued.server_may_hold != ServerMayHold::No => {
            Collapsed::Keep(Insert)
        }
        //
        (Delete, Change::Insert) => Collapsed::Keep(Update),
        //
        (Delete, Change::Update | Change::Delete) => Collapsed::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperationKind::{Delete, Insert, Update};
    use ServerMayHold::{Foreign, Maybe, No};

    const KINDS: [OperationKind; 3] = [Insert, Update, Delete];
    const STATES: [OperationState; 3] =
        [OperationState::Pending, OperationState::Attempted, OperationState::Failed];
    const HOLDS: [ServerMayHold; 3] = [No, Maybe, Foreign];
    const SENT: [Option<SentKind>; 5] = [
        None,
        Some(SentKind::Insert),
        Some(SentKind::Update),
        Some(SentKind::Delete),
        Some(SentKind::Undelete),
    ];

    /// One line of the matrix; `None` in a condition is "whatever".
    struct Line {
        rule: &'static str,
        kind: OperationKind,
        change: Change,
        holds: Option<ServerMayHold>,
        delete_is_out: Option<bool>,
        result: Collapsed,
    }

    #[rustfmt::skip]
    const MATRIX: &[Line] = &[
        Line { rule: "X-01", kind: Insert, change: Change::Insert, holds: None, delete_is_out: None, result: Collapsed::Exists },
        Line { rule: "X-01", kind: Update, change: Change::Insert, holds: None, delete_is_out: None, result: Collapsed::Exists },
        Line { rule: "X-02", kind: Insert, change: Change::Update, holds: None, delete_is_out: None, result: Collapsed::Keep(Insert) },
        Line { rule: "X-03", kind: Insert, change: Change::Delete, holds: Some(No), delete_is_out: Some(false), result: Collapsed::Vanish },
        Line { rule: "X-04", kind: Insert, change: Change::Delete, holds: Some(Maybe), delete_is_out: Some(false), result: Collapsed::MoveToEnd(Delete) },
        Line { rule: "X-06", kind: Insert, change: Change::Delete, holds: Some(Foreign), delete_is_out: Some(false), result: Collapsed::VanishAndRefetch },
        Line { rule: "X-10 taken back", kind: Insert, change: Change::Delete, holds: None, delete_is_out: Some(true), result: Collapsed::MoveToEnd(Delete) },
        Line { rule: "X-07", kind: Update, change: Change::Update, holds: None, delete_is_out: None, result: Collapsed::Keep(Update) },
        Line { rule: "X-08", kind: Update, change: Change::Delete, holds: None, delete_is_out: None, result: Collapsed::MoveToEnd(Delete) },
        Line { rule: "X-09", kind: Delete, change: Change::Insert, holds: Some(No), delete_is_out: Some(false), result: Collapsed::Keep(Update) },
        Line { rule: "X-10", kind: Delete, change: Change::Insert, holds: Some(Maybe), delete_is_out: Some(false), result: Collapsed::Keep(Insert) },
        Line { rule: "X-10", kind: Delete, change: Change::Insert, holds: Some(Foreign), delete_is_out: Some(false), result: Collapsed::Keep(Insert) },
        Line { rule: "X-10", kind: Delete, change: Change::Insert, holds: None, delete_is_out: Some(true), result: Collapsed::Keep(Insert) },
        Line { rule: "X-11", kind: Delete, change: Change::Update, holds: None, delete_is_out: None, result: Collapsed::Missing },
        Line { rule: "X-12", kind: Delete, change: Change::Delete, holds: None, delete_is_out: None, result: Collapsed::Missing },
    ];

    #[test]
    fn x_01_to_x_12_every_combination() {
        let mut combinations = 0;
        for kind in KINDS {
            for state in STATES {
                for server_may_hold in HOLDS {
                    for sent in SENT {
                        for change in [Change::Insert, Change::Update, Change::Delete] {
                            let queued = Queued { kind, state, server_may_hold, sent };
                            let lines: Vec<&Line> = MATRIX
                                .iter()
                                .filter(|line| line.kind == kind && line.change == change)
                                .filter(|line| line.holds.is_none_or(|holds| holds == server_may_hold))
                                .filter(|line| {
                                    line.delete_is_out
                                        .is_none_or(|out| out == (sent == Some(SentKind::Delete)))
                                })
                                .collect();
                            assert_eq!(
                                lines.len(),
                                1,
                                "one line of the matrix for {queued:?} and {change:?}"
                            );
                            let line = lines[0];
                            assert_eq!(
                                collapse(Some(queued), change),
                                line.result,
                                "{}: {queued:?} and {change:?}",
                                line.rule
                            );
                            combinations += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(combinations, 3 * 3 * 3 * 5 * 3);
    }

    #[test]
    fn a_first_change_is_queued_as_it_is() {
        assert_eq!(collapse(None, Change::Insert), Collapsed::New(Insert));
        assert_eq!(collapse(None, Change::Update), Collapsed::New(Update));
        assert_eq!(collapse(None, Change::Delete), Collapsed::New(Delete));
    }
}
