//! Conflicts typed by entity.

use std::collections::HashMap;
use std::fmt;

use sync_core::engine::{self, ConflictHandler, Decision};
use sync_core::entity::{ColumnSchema, SyncEntity, TableSchema};
use sync_core::operation::{FailureClass, OperationKey, OperationKind, SentKind};
use sync_core::row::Row;
use sync_core::store::{ConflictPolicy, Resolution};
use sync_core::value::Value;
use sync_core::{Result, operation};

use crate::record::Record;

/// A row changed here and on the server, or an operation that the server refused.
///
/// A handler ([`Builder::on_conflict`](crate::Builder::on_conflict)) sees one during a push;
/// [`SyncContext::conflicts`](crate::SyncContext::conflicts) lists those that wait for a decision.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Conflict<E> {
    /// What the operation does.
    pub kind: OperationKind,
    /// What was sent; `None` for a conflict that a pull showed before any push.
    pub sent: Option<SentKind>,
    /// Why the operation did not go through: a handler sees [`FailureClass::Conflict`] and
    /// [`FailureClass::Gone`], stored errors also have the others.
    pub class: FailureClass,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// The row before the first local change, as last seen from the server. `None` if there is none, or if the
    /// change was made on an older version than that row.
    ///
    /// It, and the local row of a delete, may have been kept before a migration: columns that came since are null, and
    /// where one cannot be, this is `None` and [`rows`](Self::rows) has what is known.
    pub base: Option<Record<E>>,
    /// The local row; for a delete the row as it was deleted.
    pub local: Option<Record<E>>,
    /// The server's row, marked deleted if it is; `None` if it is gone or hidden, or does not fit the entity
    /// ([`rows`](Self::rows) has it then).
    pub remote: Option<Record<E>>,
    /// Id of the row.
    pub item_id: String,
    /// Pushes leave the operation alone ([`Resolve::Park`]).
    pub parked: bool,
    /// How often this row was already decided about in this push.
    pub repeats: u32,
    rows: engine::Conflict,
}

/// A kept row with null where a column that can be null came since.
fn with_new_columns(table: &TableSchema, row: &Row) -> Row {
    let mut row = row.clone();
    for (column, value) in table.columns.iter().zip(&mut row.values) {
        if column.nullable {
            value.get_or_insert(Value::Null);
        }
    }
    row
}

/// What to do about a conflict.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Resolve<E> {
    /// The local change is sent again, on top of the server's version just seen; columns not changed here take the
    /// server's value. A row that is deleted on the server is revived or created again, a deletion here is sent again.
    KeepLocal,
    /// The server's row, or its deletion, replaces the local one; the local change is dropped.
    TakeRemote,
    /// This value is stored and sent, on top of the server's version just seen.
    Merge(E),
    /// This record is stored as if the server had sent it, and the local change is dropped. Its version is kept, if it
    /// has one.
    Store(Record<E>),
    /// The operation becomes one of another kind, on top of the server's version just seen. A queued delete needs the
    /// row to become anything else.
    ChangeKind {
        /// The new kind.
        kind: OperationKind,
        /// What to store in the row first.
        item: Option<E>,
        /// The version to send it on instead of the one just seen.
        version: Option<String>,
    },
    /// A policy decides.
    Policy(ConflictPolicy),
    /// The conflict is recorded and waits for a decision; the next push meets it again.
    Leave,
    /// The conflict is recorded, and pushes leave the operation alone: until the row is changed here again, until another
    /// decision, or [`Unpark`](Self::Unpark). This push reports it as an error; later ones count it in
    /// [`PushReport::parked`](sync_core::engine::PushReport::parked) and can be complete without it, so that pulls go
    /// on. What belongs to a new row that is parked waits with it. Survives a restart.
    Park,
    /// The operation is no longer parked: its error stays recorded, and the next push sends it again. Of one that is not
    /// parked, as [`Leave`](Self::Leave).
    Unpark,
    /// Like [`Leave`](Self::Leave), and the push stops.
    Abort,
}

impl<E: SyncEntity> Conflict<E> {
    pub(crate) fn new(rows: engine::Conflict) -> Self {
        // One row that does not fit must not hide the others: what a server holds is not in the app's hand, and what was
        // kept before a migration has not all of today's columns.
        let typed = |row: &Row| Record::from_row(row).ok();
        let kept = |row: &Row| typed(&with_new_columns(E::SCHEMA, row));
        Self {
            kind: rows.kind,
            sent: rows.sent,
            class: rows.class,
            status: rows.status,
            base: rows.base.as_ref().and_then(kept),
            local: rows.local.as_ref().and_then(kept),
            remote: rows.remote.as_ref().and_then(typed),
            item_id: rows.item_id().to_owned(),
            parked: rows.parked,
            repeats: rows.repeats,
            rows,
        }
    }

    /// The conflict as untyped rows.
    pub fn rows(&self) -> &engine::Conflict {
        &self.rows
    }

    /// Whether the row was deleted here.
    pub fn is_deleted_here(&self) -> bool {
        self.rows.is_deleted_here()
    }

    /// Whether the server's row is deleted or gone.
    pub fn is_deleted_there(&self) -> bool {
        self.rows.is_deleted_there()
    }

    /// Names of the columns changed here since the base.
    pub fn changed_here(&self) -> Vec<&'static str> {
        names(self.rows.changed_here())
    }

    /// Names of the columns changed on the server since the base.
    pub fn changed_there(&self) -> Vec<&'static str> {
        names(self.rows.changed_there())
    }

    /// Names of the columns changed on both sides, whether to the same value or not.
    pub fn both_changed(&self) -> Vec<&'static str> {
        names(self.rows.both_changed())
    }

    /// Merges the two rows by column, then lets `edit` finish: it is given the merged value, the local and the server's.
    ///
    /// In the merged value a column changed on one side has that side's value, one changed on both what its
    /// `#[sync(merge = ..)]` says, and one without such a rule the local value. [`Resolve::Leave`] when there are no two
    /// live rows to merge.
    ///
    /// ```
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String }
    /// # sync_schema!(pub AppSchema: Todo);
    /// let builder = SyncContext::<AppSchema>::builder("https://api.example.com").on_conflict::<Todo>(|conflict| {
    ///     conflict.merge_with(|merged, here, there| merged.text = format!("{} / {}", there.text, here.text))
    /// });
    /// # let _ = builder;
    /// ```
    pub fn merge_with(&self, edit: impl FnOnce(&mut E, &E, &E)) -> Resolve<E> {
        let (Some(local), Some(remote)) = (&self.local, &self.remote) else { return Resolve::Leave };
        let Some(merge) = self.rows.merge(|both| Some(both.local.clone())) else { return Resolve::Leave };
        // Each value comes from one of the two rows or fits its column, so the entity can be read.
        let Ok(mut merged) = E::from_row(&merge.row) else { return Resolve::Leave };
        edit(&mut merged, local, remote);
        Resolve::Merge(merged)
    }
}

impl<E> AsRef<OperationKey> for Conflict<E> {
    fn as_ref(&self) -> &OperationKey {
        &self.rows.key
    }
}

impl<E: SyncEntity> Resolve<E> {
    pub(crate) fn into_decision(self, item_id: &str) -> Decision {
        let row = |entity: &E| Row::new(item_id, entity.to_values());
        Decision::Resolve(match self {
            Self::KeepLocal => Resolution::KeepLocal,
            Self::TakeRemote => Resolution::TakeRemote,
            Self::Merge(entity) => Resolution::Merge(row(&entity)),
            Self::Store(record) => Resolution::Store(record.to_row()),
            Self::ChangeKind { kind, item, version } => {
                Resolution::ChangeKind { kind, item: item.as_ref().map(row), version }
            }
            Self::Leave => Resolution::Leave,
            Self::Park => Resolution::Park,
            Self::Unpark => Resolution::Unpark,
            Self::Policy(policy) => return Decision::Policy(policy),
            Self::Abort => return Decision::Abort,
        })
    }
}

fn names(columns: Vec<&'static ColumnSchema>) -> Vec<&'static str> {
    columns.into_iter().map(|column| column.name).collect()
}

/// The typed view of a recorded error.
pub trait TypedError {
    /// The row as it was sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](sync_core::ErrorKind::Corrupt) when the stored row does not fit the entity.
    fn local<E: SyncEntity>(&self) -> Result<Option<Record<E>>>;

    /// The server's row as last seen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](sync_core::ErrorKind::Corrupt) when the stored row does not fit the entity.
    fn remote<E: SyncEntity>(&self) -> Result<Option<Record<E>>>;
}

impl TypedError for operation::OperationError {
    fn local<E: SyncEntity>(&self) -> Result<Option<Record<E>>> {
        self.local.as_ref().map(Record::from_row).transpose()
    }

    fn remote<E: SyncEntity>(&self) -> Result<Option<Record<E>>> {
        self.remote.as_ref().map(Record::from_row).transpose()
    }
}

type Decide = Box<dyn Fn(&engine::Conflict) -> Result<Decision> + Send + Sync>;

/// The handlers and policies of a context: those of a table first, then those of the context, then the columns' rules.
#[derive(Default)]
pub(crate) struct Handlers {
    by_table: HashMap<&'static str, Decide>,
    fallback: Option<Decide>,
}

impl Handlers {
    pub(crate) fn add<E: SyncEntity>(
        &mut self,
        decide: impl Fn(&Conflict<E>) -> Resolve<E> + Send + Sync + 'static,
    ) {
        let decide = move |conflict: &engine::Conflict| {
            let conflict = Conflict::new(conflict.clone());
            Ok(decide(&conflict).into_decision(&conflict.item_id))
        };
        self.by_table.insert(E::SCHEMA.name, Box::new(decide));
    }

    pub(crate) fn add_policy<E: SyncEntity>(&mut self, policy: ConflictPolicy) {
        self.by_table.insert(E::SCHEMA.name, Box::new(move |_| Ok(Decision::Policy(policy))));
    }

    pub(crate) fn set_fallback(
        &mut self,
        decide: impl Fn(&engine::Conflict) -> Result<Decision> + Send + Sync + 'static,
    ) {
        self.fallback = Some(Box::new(decide));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_table.is_empty() && self.fallback.is_none()
    }
}

impl ConflictHandler for Handlers {
    fn decide(&self, conflict: &engine::Conflict) -> Result<Decision> {
        match self.by_table.get(conflict.table.name).or(self.fallback.as_ref()) {
            Some(decide) => decide(conflict),
            None => Ok(Decision::Policy(ConflictPolicy::default_of(conflict.table))),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("tables", &self.by_table.keys())
            .field("fallback", &self.fallback.is_some())
            .finish()
    }
}
