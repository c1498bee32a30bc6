//! Operations: the queued local changes, and the pure rules by which they collapse and settle.
//!
//! A row has at most one operation. A further local change of the row raises the operation's revision; what
//! happens to its kind is decided by [`fn@collapse`]. The SQLite triggers of `sync-diesel` state the same table in
//! SQL, and the store contract suite compares the two.

use crate::entity::TableSchema;
use crate::row::Row;

pub use self::collapse::{Change, Collapsed, Queued, collapse};
pub use self::relations::{Child, InFlight, Relations, RowRef, id_in};
pub(crate) use self::settle::is_same_value;
pub use self::settle::{
    Merge, adds_up, is_same_write, is_whole_version, merge_answer, shows_only, with_version,
};

mod collapse;
pub mod order;
mod relations;
mod settle;

/// What an operation does to the server's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Creates the row.
    Insert,
    /// Changes the row.
    Update,
    /// Deletes the row.
    Delete,
}

/// Where an operation stands. Stored as 0, 1, 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationState {
    /// Not sent since its last change.
    Pending,
    /// Sent, or about to be sent; the outcome is not stored yet. After a crash or a lost answer: uncertain.
    Attempted,
    /// Refused by the server; sent again by the next push.
    Failed,
}

/// What the server may hold under the id of an operation that started as an insert. Stored as 0, 1, 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerMayHold {
    /// Nothing of ours: never sent, or definitely refused.
    No,
    /// Perhaps our row: it was sent and the outcome is not known.
    Maybe,
    /// A row of somebody else, seen in a conflict.
    Foreign,
}

/// The request an operation was sent as. Stored as 0, 1, 2, 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SentKind {
    /// POST of the whole row.
    Insert,
    /// PATCH or PUT.
    Update,
    /// DELETE.
    Delete,
    /// Revival of a soft-deleted row; its content follows as an update.
    Undelete,
}

/// Names one operation at one revision; an operation changed since then no longer answers to the key, and neither does
/// one about which something else is to be decided, because another version of the server's row was seen since (K-12).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperationKey {
    /// Name of the table.
    pub table: &'static str,
    /// Id of the row.
    pub item_id: String,
    /// Sequence number when the key was made.
    pub seq: i64,
    /// Revision when the key was made.
    pub revision: i64,
}

impl OperationKey {
    /// The row without the place of its operation.
    pub fn row(&self) -> RowRef {
        RowRef { table: self.table, item_id: self.item_id.clone() }
    }
}

/// A queued operation, for reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Table, row, sequence and revision.
    pub key: OperationKey,
    /// What it does.
    pub kind: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// What the server may hold of an insert.
    pub server_may_hold: ServerMayHold,
    /// The server version the change was made on.
    pub base_version: Option<String>,
    /// The request it was last sent as, and the revision sent, while that outcome is unknown.
    pub sent: Option<(SentKind, i64)>,
    /// Place in the queue of what remains after the request in flight, if the row changed meanwhile.
    pub tail_seq: Option<i64>,
    /// How often it was sent; what remains of an operation after an acknowledgement counts anew.
    pub attempts: i64,
}

impl AsRef<Self> for OperationKey {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<OperationKey> for OperationError {
    fn as_ref(&self) -> &OperationKey {
        &self.key
    }
}

/// A refused, conflicting or uncertain operation as recorded; survives a restart, one per operation.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationError {
    /// The operation when the answer was stored.
    pub key: OperationKey,
    /// The operation's kind as sent.
    pub kind: OperationKind,
    /// Class of the failure.
    pub class: FailureClass,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What the server said, shortened; may hold row contents, so it is never logged.
    pub message: String,
    /// The row as it was sent.
    pub local: Option<Row>,
    /// The server's row as last seen, if the server showed one.
    pub remote: Option<Row>,
    /// The row changed locally after it was sent; the refusal concerns an older revision.
    pub superseded: bool,
    /// The answer to an earlier attempt was lost: the server's row may hold the local change already.
    pub uncertain: bool,
    /// Pushes leave the operation alone until its row is changed here, or the error is resolved (P-29).
    pub parked: bool,
    /// Recorded before the last push began, which did not come to this operation (P-27): it stopped early, was of
    /// other tables, or the operation is parked or held back.
    pub old: bool,
}

/// Why an operation failed. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureClass {
    /// The server's row is not the one this change was based on.
    Conflict,
    /// The server's row is deleted or gone.
    Gone,
    /// The server refuses the operation for good (400, 403, 404, 413, 422 and so on).
    Refused,
    /// The server failed (5xx). The outcome is not known while the operation is attempted; a failed one was sent twice
    /// at least, and the server's row did not show it.
    ServerError,
    /// A conflict handler failed or panicked.
    Handler,
    /// The row is missing in the local database, without a delete being queued: the file was damaged, or written by
    /// something that removed the triggers. Nothing was sent (P-20i).
    LocalRowMissing,
    /// The local row, a kept copy of it or what is stored of the operation cannot be read, or it changed a column that this
    /// release of the app does not send (S-04). Nothing was sent (P-20i).
    Damaged,
}

impl FailureClass {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Handler => "handler",
            Self::LocalRowMissing => "local_row_missing",
            Self::Damaged => "damaged",
        }
    }

    /// Reads a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Conflict,
            Self::Gone,
            Self::Refused,
            Self::ServerError,
            Self::Handler,
            Self::LocalRowMissing,
            Self::Damaged,
        ];
        all.into_iter().find(|class| class.as_str() == text)
    }

    /// Whether it is the local database that fails the operation, and no answer of the server.
    pub const fn is_local_damage(self) -> bool {
        matches!(self, Self::LocalRowMissing | Self::Damaged)
    }
}

macro_rules! stored_numbers {
    ($($ty:ident { $($variant:ident = $number:literal),* })*) => {$(
        impl $ty {
            /// The stored number.
            pub const fn as_i64(self) -> i64 {
                match self { $(Self::$variant => $number),* }
            }

            /// Reads a stored number; `None` for one this version does not know.
            pub const fn parse(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

stored_numbers! {
    OperationKind { Insert = 0, Update = 1, Delete = 2 }
    OperationState { Pending = 0, Attempted = 1, Failed = 2 }
    ServerMayHold { No = 0, Maybe = 1, Foreign = 2 }
    SentKind { Insert = 0, Update = 1, Delete = 2, Undelete = 3 }
}

/// An operation marked attempted and ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The operation at the revision that is sent.
    pub key: OperationKey,
    /// The table.
    pub table: &'static TableSchema,
    /// The request.
    pub sent: SentKind,
    /// An earlier attempt has an unknown outcome: the answer is read by comparison (rule F-10).
    pub uncertain: bool,
    /// The content to send; only the columns present in it are sent. For a delete: the row as deleted.
    pub item: Row,
    /// Of a delete that takes the place of an insert whose outcome is unknown: what that insert sent, which the server
    /// perhaps holds.
    pub earlier: Option<Row>,
    /// The version for `If-Match`; `None` = unconditional.
    pub base_version: Option<String>,
    /// The row before the first local change, as last seen from the server.
    pub base: Option<Row>,
    /// How often the operation was sent, this attempt included.
    pub attempts: i64,
    /// An attempt before this one may have reached the server, for all that is known. Wider than
    /// [`uncertain`](Self::uncertain): what became of attempts before the last local change is not remembered.
    pub may_have_arrived: bool,
}
