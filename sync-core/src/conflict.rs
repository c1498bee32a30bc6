//! Conflicts: what a handler sees of one, what it may answer, and the ready-made policies.
//!
//! A push asks about each conflict before it records it: the handler if there is one, else the columns' merge rules
//! ([`ConflictPolicy::default_of`]). What nobody decided is recorded, and the app resolves it later, one by one or many
//! at once ([`Engine::resolve_all`](crate::engine::Engine::resolve_all)); a [`Conflict`] is the same in both places.
//!
//! Whatever is decided, what is sent again is guarded by the server's version that the decision saw: a third change in
//! between is a conflict of its own, never overwritten.

use crate::entity::{ColumnSchema, TableSchema};
use crate::error::Result;
use crate::merge::{self, BothChanged, RowMerge, ThreeWay};
use crate::operation::{FailureClass, OperationKey, OperationKind, SentKind};
use crate::row::Row;
use crate::store::{ConflictPolicy, OpenConflict, Resolution};
use crate::value::Value;

/// A row changed here and on the server, or an operation that the server refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Conflict {
    /// The table.
    pub table: &'static TableSchema,
    /// The operation, at the revision this was read at.
    pub key: OperationKey,
    /// What the operation does.
    pub kind: OperationKind,
    /// What was sent; `None` for a conflict that a pull showed before any push (K-20).
    pub sent: Option<SentKind>,
    /// Why the operation did not go through. A handler sees [`FailureClass::Conflict`] and [`FailureClass::Gone`];
    /// stored errors also have the others.
    pub class: FailureClass,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// The row before the first local change, as last seen from the server. `None` if there is none, or if the
    /// change was made on an older version than that row (K-17): what was changed then cannot be told from it.
    pub base: Option<Row>,
    /// The local row; for a delete the row as it was deleted.
    pub local: Option<Row>,
    /// The server's row, marked deleted if it is; `None` if it is gone or hidden. What an answer left out is as in
    /// the base.
    pub remote: Option<Row>,
    /// The server's row may hold the local change already, because the answer to an earlier attempt was lost and
    /// somebody changed the row since. [`MergeRule::Add`](crate::entity::MergeRule::Add) does not decide then.
    pub uncertain: bool,
    /// Pushes leave the operation alone ([`Resolution::Park`]).
    pub parked: bool,
    /// How often a handler has already decided about this row in this push.
    pub repeats: u32,
}

impl Conflict {
    /// A conflict as the store shows it.
    pub fn from_store(open: OpenConflict) -> Self {
        let OpenConflict { table, operation, error, base, local, remote } = open;
        let base = base_of_changes(table, base, operation.base_version.as_deref());
        let gone = remote.as_ref().is_some_and(|remote| remote.deleted);
        let shown = if gone { FailureClass::Gone } else { FailureClass::Conflict };
        Self {
            table,
            kind: operation.kind,
            sent: error.as_ref().map(|error| match error.kind {
                OperationKind::Insert => SentKind::Insert,
                OperationKind::Update => SentKind::Update,
                OperationKind::Delete => SentKind::Delete,
            }),
            class: error.as_ref().map_or(shown, |error| error.class),
            // Without an error nothing tells how earlier attempts ended.
            uncertain: error.as_ref().map_or(operation.attempts > 0, |error| error.uncertain),
            parked: error.as_ref().is_some_and(|error| error.parked),
            status: error.and_then(|error| error.status),
            base,
            local,
            remote,
            repeats: 0,
            key: operation.key,
        }
    }

    /// Id of the row.
    pub fn item_id(&self) -> &str {
        &self.key.item_id
    }

    /// Whether the row was deleted here.
    pub fn is_deleted_here(&self) -> bool {
        self.kind == OperationKind::Delete
    }

    /// Whether the server's row is deleted or gone.
    pub fn is_deleted_there(&self) -> bool {
        match &self.remote {
            Some(remote) => remote.deleted,
            None => self.class == FailureClass::Gone,
        }
    }

    /// The columns changed here since the base; of a deleted row those changed before.
    pub fn changed_here(&self) -> Vec<&'static ColumnSchema> {
        let changed = |local| merge::changed_here(self.table, self.base.as_ref(), local);
        self.local.as_ref().map(changed).unwrap_or_default()
    }

    /// The columns changed on the server since the base; none if its row is deleted or unknown.
    pub fn changed_there(&self) -> Vec<&'static ColumnSchema> {
        let changed = |remote| merge::changed_there(self.table, self.base.as_ref(), remote);
        self.remote.as_ref().filter(|remote| !remote.deleted).map(changed).unwrap_or_default()
    }

    /// The columns changed on both sides, whether to the same value or not.
    pub fn both_changed(&self) -> Vec<&'static ColumnSchema> {
        let there = self.changed_there();
        self.changed_here().into_iter().filter(|here| there.contains(here)).collect()
    }

    /// Merges the row by column; `decide` is asked about columns changed on both sides that no rule decides.
    /// `None` when there are no two live rows to merge.
    pub fn merge(&self, decide: impl FnMut(&BothChanged<'_>) -> Option<Value>) -> Option<RowMerge> {
        let remote = self.remote.as_ref().filter(|remote| !remote.deleted)?;
        let local = self.local.as_ref().filter(|_| !self.is_deleted_here())?;
        let (table, base, uncertain) = (self.table, self.base.as_ref(), self.uncertain);
        Some(ThreeWay { table, base, local, remote, uncertain }.merge(decide))
    }

    /// The resolution that sends the merged row; [`Resolution::Leave`] when a column stays open or there are no two
    /// live rows.
    ///
    /// ```
    /// use sync_core::conflict::{Conflict, Decision};
    /// use sync_core::value::Value;
    ///
    /// /// Texts written on both sides stand one after the other.
    /// fn decide(conflict: &Conflict) -> sync_core::Result<Decision> {
    ///     Ok(Decision::Resolve(conflict.merge_with(|both| match (both.local, both.remote) {
    ///         (Value::Text(here), Value::Text(there)) => Some(Value::Text(format!("{there}\n{here}"))),
    ///         _ => None,
    ///     })))
    /// }
    /// # let _: &dyn sync_core::conflict::ConflictHandler = &decide;
    /// ```
    pub fn merge_with(&self, decide: impl FnMut(&BothChanged<'_>) -> Option<Value>) -> Resolution {
        match self.merge(decide) {
            // The version stays that of the server's row just seen.
            Some(merged) if merged.is_complete() => {
                Resolution::Merge(Row { version: None, extra: None, ..merged.row })
            }
            _ => Resolution::Leave,
        }
    }

    /// Whether sending the local change again is guarded: by the server's version, or because it can only create a
    /// row.
    fn can_be_guarded(&self) -> bool {
        !self.table.versioned || self.remote.as_ref().is_none_or(|remote| remote.version.is_some())
    }
}

/// The row that local changes start from, unless they were made on another version than that row's: merged from it,
/// what somebody did between the two would be taken back as if the app had changed it (K-17). A row made again starts
/// from nothing; what was deleted here before it is no part of it.
pub(crate) fn base_of_changes(
    table: &TableSchema,
    base: Option<Row>,
    base_version: Option<&str>,
) -> Option<Row> {
    base.filter(|base| match (base.version.as_deref(), base_version) {
        (Some(row), Some(change)) if table.versioned => row == change,
        (None, None) => !base.deleted,
        _ => true,
    })
}

impl ConflictPolicy {
    /// The policy of a table for which the app named none: [`Merge`](Self::Merge) if a column has a merge rule, else
    /// [`Leave`](Self::Leave).
    pub fn default_of(table: &TableSchema) -> Self {
        if table.has_merge_rules() { Self::Merge } else { Self::Leave }
    }

    /// Decides about one conflict.
    ///
    /// Operations that the server refused for another reason than its row are left: sending them again would not help,
    /// and dropping them is not a matter of who wins; [`Park`](Self::Park) parks them as well. So is what could not be
    /// guarded by a version although the table has versions.
    pub fn decide(self, conflict: &Conflict) -> Resolution {
        if self == Self::Park {
            return if conflict.parked { Resolution::Leave } else { Resolution::Park };
        }
        match conflict.class {
            FailureClass::Conflict | FailureClass::Gone | FailureClass::Handler => {}
            FailureClass::Refused
            | FailureClass::ServerError
            | FailureClass::LocalRowMissing
            | FailureClass::Damaged => return Resolution::Leave,
        }
        let chosen = match self {
            Self::Leave | Self::Park => return Resolution::Leave,
            Self::ClientWins => Resolution::KeepLocal,
            Self::ServerWins => Resolution::TakeRemote,
            Self::Merge => conflict.merge_with(|_| None),
            Self::MergeElseClient => match conflict.merge_with(|both| Some(both.local.clone())) {
                Resolution::Leave => Resolution::KeepLocal,
                merged => merged,
            },
            Self::MergeElseServer => match conflict.merge_with(|both| Some(both.remote.clone())) {
                Resolution::Leave => Resolution::TakeRemote,
                merged => merged,
            },
        };
        if chosen != Resolution::TakeRemote && !conflict.can_be_guarded() {
            return Resolution::Leave;
        }
        chosen
    }
}

/// A handler's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Resolve now. [`Resolution::KeepLocal`] and [`Resolution::Merge`] send again within this push, guarded by
    /// the version of [`Conflict::remote`]; [`Resolution::Leave`] and [`Resolution::Park`] record the conflict.
    Resolve(Resolution),
    /// Let a policy decide.
    Policy(ConflictPolicy),
    /// Record the conflict and stop the push.
    Abort,
}

/// Decides about conflicts during a push.
///
/// A handler that returns an error, panics or asks for what cannot be stored has its conflict recorded with class
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

#[cfg(test)]
mod tests;
