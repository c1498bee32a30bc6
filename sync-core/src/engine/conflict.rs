//! What a conflict handler sees and may answer.

use crate::entity::TableSchema;
use crate::error::Result;
use crate::operation::SentKind;
use crate::row::Row;
use crate::store::Resolution;

/// A conflict met by a push, before it is recorded.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The table.
    pub table: &'static TableSchema,
    /// Id of the row.
    pub item_id: String,
    /// What was sent.
    pub sent: SentKind,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// The row before the first local change, as last seen from the server.
    pub base: Option<Row>,
    /// The local row; for a delete the row as it was deleted.
    pub local: Option<Row>,
    /// The server's row, marked deleted if it is; `None` if it is gone or hidden.
    pub remote: Option<Row>,
    /// How often a handler has already decided about this row in this push.
    pub repeats: u32,
}

/// A handler's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Resolve now. [`Resolution::KeepLocal`] and [`Resolution::Merge`] send again within this push, guarded by
    /// the version of [`Conflict::remote`]; [`Resolution::Leave`] records the conflict.
    Resolve(Resolution),
    /// Record the conflict and stop the push.
    Abort,
}

/// Decides about conflicts during a push.
///
/// A handler that returns an error or panics has its conflict recorded with class
/// [`Handler`](crate::operation::FailureClass::Handler); the push goes on. It runs between requests and holds no
/// lock.
pub trait ConflictHandler: Send + Sync + 'static {
    /// Decides about one conflict.
    ///
    /// # Errors
    ///
    /// Any error; see the trait.
    fn decide(&self, conflict: &Conflict) -> Result<Decision>;
}

impl<F> ConflictHandler for F
where
    F: Fn(&Conflict) -> Result<Decision> + Send + Sync + 'static,
{
    fn decide(&self, conflict: &Conflict) -> Result<Decision> {
        self(conflict)
    }
}
