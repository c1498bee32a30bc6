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
pub fn collapse(queued: Option<Queued>, change: Change) -> Collapsed {
    let _ = (queued, change);
    Collapsed::Missing
}
