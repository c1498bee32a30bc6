//! Conflicts as the store shows them, and the record of how each was resolved.

use crate::entity::TableSchema;
use crate::operation::{FailureClass, Operation, OperationError, OperationKind};
use crate::row::Row;

/// How many resolutions are remembered; older ones are forgotten.
pub const MAX_RESOLUTIONS: u32 = 1000;

/// What to do about conflicts without being asked about each; see
/// [`decide`](Self::decide).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// Conflicts are recorded and wait for a decision.
    #[default]
    Leave,
    /// The local change is sent again, guarded by the server's version just seen (K-06).
    ClientWins,
    /// The server's row, or its deletion, replaces the local change.
    ServerWins,
    /// Both changes are merged by column; a column changed on both sides goes by its
    /// [`MergeRule`](crate::entity::MergeRule), and a conflict about one without rule is left.
    Merge,
    /// As [`Merge`](Self::Merge); columns without a rule, and rows that one side deleted, are as here.
    MergeElseClient,
    /// As [`Merge`](Self::Merge); columns without a rule, and rows that one side deleted, are as on the server.
    MergeElseServer,
    /// Conflicts, and what the server refused for another reason, are parked: recorded, and not sent again before the
    /// app changes the row or decides ([`Resolution::Park`](super::Resolution::Park)).
    Park,
}

/// Who resolved a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resolver {
    /// A call of the app about this operation.
    App,
    /// A conflict handler, during a push.
    Handler,
    /// A policy, during a push or in a call of the app about many operations.
    Policy(ConflictPolicy),
    /// The push itself, where the protocol leaves one way only.
    Engine,
}

/// How a conflict was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResolutionKind {
    /// The local change is sent again on top of the server's row.
    KeepLocal,
    /// Merged columns are sent on top of the server's row.
    Merge,
    /// The server's row was taken.
    TakeRemote,
    /// A row given by the app was stored, and the operation dropped.
    Store,
    /// The operation became one of another kind.
    ChangeKind,
    /// Nothing was decided about the row; pushes leave the operation alone.
    Park,
    /// The operation is no longer parked.
    Unpark,
}

/// One resolution, as remembered. Holds no row contents.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolutionRecord {
    /// Grows with every resolution of this store.
    pub number: i64,
    /// The highest sequence number of the queue at that time: operations with a greater one were queued later.
    pub at_seq: i64,
    /// Name of the table.
    pub table: &'static str,
    /// Id of the row.
    pub item_id: String,
    /// What the operation did before it was resolved.
    pub operation: OperationKind,
    /// Class of the error; [`FailureClass::Conflict`] or [`FailureClass::Gone`] for one that a pull showed.
    pub class: FailureClass,
    /// HTTP status of the answer; `None` for a conflict that a pull showed.
    pub status: Option<u16>,
    /// What was decided.
    pub decision: ResolutionKind,
    /// Who decided.
    pub by: Resolver,
    /// The version the local change was made on.
    pub base_version: Option<String>,
    /// The server's version that was seen.
    pub remote_version: Option<String>,
}

/// A queued operation about which something is to be decided, with everything known of its row, all of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenConflict {
    /// The table.
    pub table: &'static TableSchema,
    /// The operation.
    pub operation: Operation,
    /// The recorded error; `None` for a conflict that a pull showed before any push (K-20).
    pub error: Option<OperationError>,
    /// The server's row that the local changes start from.
    pub base: Option<Row>,
    /// The row as the app sees it; of a delete the row as it was deleted.
    pub local: Option<Row>,
    /// The newest server copy known, with what it leaves out as in the base; marked deleted if it is, `None` if it
    /// is gone or was never seen.
    pub remote: Option<Row>,
}

/// Whether an operation conflicts with the newest server copy known, as a push would find out (K-20).
///
/// An operation in flight is decided by its answer.
pub fn is_in_conflict(table: &TableSchema, operation: &Operation, newest: Option<&Row>) -> bool {
    use crate::operation::OperationState::Attempted;
    let Some(newest) = newest.filter(|_| operation.state != Attempted) else { return false };
    match operation.kind {
        // The version on an insert is that of the deleted row it revives.
        OperationKind::Insert => !newest.deleted || newest.version != operation.base_version,
        OperationKind::Update if newest.deleted => true,
        OperationKind::Delete if newest.deleted => false,
        OperationKind::Update | OperationKind::Delete => {
            table.versioned && newest.version != operation.base_version
        }
    }
}

/// Whether the base of an operation is a row that the server has shown. That of an insert without version is what this
/// device deleted before it made the row again; what is there since, nobody knows.
pub fn is_base_shown(kind: OperationKind, base_version: Option<&str>) -> bool {
    kind != OperationKind::Insert || base_version.is_some()
}

macro_rules! stored_names {
    ($($ty:ident { $($variant:ident => $name:literal),* $(,)? })*) => {$(
        impl $ty {
            /// The stored name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Reads a stored name; `None` for one this version does not know.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

stored_names! {
    ResolutionKind {
        KeepLocal => "keep_local",
        Merge => "merge",
        TakeRemote => "take_remote",
        Store => "store",
        ChangeKind => "change_kind",
        Park => "park",
        Unpark => "unpark",
    }
    ConflictPolicy {
        Leave => "leave",
        ClientWins => "client_wins",
        ServerWins => "server_wins",
        Merge => "merge",
        MergeElseClient => "merge_else_client",
        MergeElseServer => "merge_else_server",
        Park => "park",
    }
}

impl Resolver {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Handler => "handler",
            Self::Engine => "engine",
            Self::Policy(policy) => policy.as_str(),
        }
    }

    /// Reads a stored name; `None` for one this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "app" => Some(Self::App),
            "handler" => Some(Self::Handler),
            "engine" => Some(Self::Engine),
            policy => ConflictPolicy::parse(policy).map(Self::Policy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_are_read_back() {
        use ConflictPolicy::{ClientWins, Leave, Merge, MergeElseClient, MergeElseServer, Park, ServerWins};
        let policies = [Leave, ClientWins, ServerWins, Merge, MergeElseClient, MergeElseServer, Park];
        let resolvers = [Resolver::App, Resolver::Handler, Resolver::Engine];
        let resolvers: Vec<_> = resolvers.into_iter().chain(policies.map(Resolver::Policy)).collect();
        let mut names: Vec<&str> = resolvers.iter().map(|resolver| resolver.as_str()).collect();
        for resolver in &resolvers {
            assert_eq!(Resolver::parse(resolver.as_str()), Some(*resolver));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), resolvers.len(), "each name means one resolver");
        assert_eq!(Resolver::parse("somebody"), None);
        assert_eq!(ResolutionKind::parse("store"), Some(ResolutionKind::Store));
        assert_eq!(ResolutionKind::parse("park"), Some(ResolutionKind::Park));
        assert_eq!(ResolutionKind::parse("unpark"), Some(ResolutionKind::Unpark));
        assert_eq!(ResolutionKind::parse(""), None);
    }
}
