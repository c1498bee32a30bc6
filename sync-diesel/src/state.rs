//! [`SyncState`]: where each row stands, as something a query can select and filter by.

use std::fmt;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::{
    AppearsOnTable, AsExpression, Expression, SelectableExpression, ValidGrouping, is_aggregate,
};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Integer;
use diesel::sqlite::Sqlite;
use sync_core::diesel::DieselEntity;
use sync_core::entity::{SyncEntity, TableSchema};
use sync_core::operation::{FailureClass, OperationKind, OperationState};

use crate::statement::literal;

/// Where a row stands between this database and the server.
///
/// Comes with records by [`LocalQuery::with_state`](crate::LocalQuery::with_state), and stands in any Diesel statement
/// by [`of`](Self::of):
///
/// ```
/// # use diesel::prelude::*;
/// # use sync_diesel::prelude::*;
/// # #[derive(SyncEntity, Clone, Debug)]
/// # pub struct Todo { pub text: String }
/// # sync_schema!(pub AppSchema: Todo);
/// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
/// let rows: Vec<(Record<Todo>, SyncState)> = sync
///     .read(|conn| {
///         todo::table
///             .filter(SyncState::of::<Todo>().ne(SyncState::Synced))
///             .select((Record::<Todo>::as_select(), SyncState::of::<Todo>()))
///             .load(conn)
///     })
///     .await?;
/// # let _ = rows;
/// # Ok(())
/// # }
/// ```
#[derive(AsExpression, Clone, Copy, Debug, FromSqlRow, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[diesel(sql_type = Integer)]
#[non_exhaustive]
pub enum SyncState {
    /// Nothing of the row waits: it is as the server's row was when it was last seen.
    Synced,
    /// Made here and not sent yet.
    PendingInsert,
    /// Changed here and not sent yet.
    PendingUpdate,
    /// Deleted here and not sent yet. Such a row is not in its table; only
    /// [`SyncTable::explain`](crate::SyncTable::explain) shows it.
    PendingDelete,
    /// Sent, and the answer is not stored: a push is running, or the answer was lost and the next push settles it.
    Sent,
    /// The server holds another row than the change was based on, or has deleted it: waits for a decision in
    /// [`SyncContext::errors`](crate::SyncContext::errors).
    Conflict,
    /// The server refused the change; it is in [`SyncContext::errors`](crate::SyncContext::errors) and sent again by
    /// the next push.
    Failed,
    /// Pushes leave the change alone ([`Resolve::Park`](crate::Resolve::Park)) until the row is changed here again or
    /// its error in [`SyncContext::errors`](crate::SyncContext::errors) is resolved.
    Parked,
}

impl SyncState {
    const ALL: [Self; 8] = [
        Self::Synced,
        Self::PendingInsert,
        Self::PendingUpdate,
        Self::PendingDelete,
        Self::Sent,
        Self::Conflict,
        Self::Failed,
        Self::Parked,
    ];

    /// The state of each row of entity `E`'s table, as a Diesel expression for `select`, `filter` and `order_by` of any
    /// statement over that table. Reads the operation of the row by an index; writes nothing.
    pub const fn of<E: DieselEntity>() -> StateOf<E> {
        StateOf { entity: PhantomData }
    }

    /// Whether something of the row waits for a push or a decision.
    pub const fn is_pending(self) -> bool {
        !matches!(self, Self::Synced)
    }

    /// The state of a row with an operation that is not parked and perhaps a recorded error.
    pub(crate) const fn of_operation(
        kind: OperationKind,
        state: OperationState,
        error: Option<FailureClass>,
    ) -> Self {
        match (state, kind, error) {
            (OperationState::Attempted, _, _) => Self::Sent,
            (OperationState::Failed, _, Some(FailureClass::Conflict | FailureClass::Gone)) => Self::Conflict,
            (OperationState::Failed, _, _) => Self::Failed,
            (OperationState::Pending, OperationKind::Insert, _) => Self::PendingInsert,
            (OperationState::Pending, OperationKind::Update, _) => Self::PendingUpdate,
            (OperationState::Pending, OperationKind::Delete, _) => Self::PendingDelete,
        }
    }

    pub(crate) const fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::PendingInsert => "inserted here, not sent yet",
            Self::PendingUpdate => "changed here, not sent yet",
            Self::PendingDelete => "deleted here, not sent yet",
            Self::Sent => "sent, the answer is not stored",
            Self::Conflict => "in conflict with the server",
            Self::Failed => "refused by the server",
            Self::Parked => "parked, left alone by pushes",
        })
    }
}

/// The state of each row of `E`'s table as a Diesel expression; made by [`SyncState::of`].
pub struct StateOf<E> {
    entity: PhantomData<fn() -> E>,
}

impl<E> Expression for StateOf<E> {
    type SqlType = Integer;
}

impl<E: SyncEntity> QueryFragment<Sqlite> for StateOf<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_state(E::SCHEMA, &mut out)
    }
}

/// Writes the state of the rows of `table`, which stands in the statement without an alias.
pub(crate) fn push_state(table: &TableSchema, out: &mut AstPass<'_, '_, Sqlite>) -> QueryResult<()> {
    let state = |kind, state, error| SyncState::of_operation(kind, state, error).number();
    let (conflict, gone) = (FailureClass::Conflict, FailureClass::Gone);
    let mut cases = String::new();
    for kind in [OperationKind::Insert, OperationKind::Update, OperationKind::Delete] {
        cases.push_str(&format!(
            " WHEN o.state = {} AND o.kind = {} THEN {}",
            OperationState::Pending.as_i64(),
            kind.as_i64(),
            state(kind, OperationState::Pending, None)
        ));
    }
    let any = OperationKind::Update;
    let failed = OperationState::Failed;
    // A number this version does not know is -1, which is refused when it is read (Q-09).
    out.push_sql(&format!(
        "coalesce((SELECT CASE \
             WHEN EXISTS (SELECT 1 FROM \"__errors\" AS p WHERE p.table_name = o.table_name \
             AND p.item_id = o.item_id AND p.parked <> 0) THEN {parked}{cases} \
             WHEN o.state = {attempted} THEN {sent} \
             WHEN o.state = {is_failed} THEN \
             CASE WHEN (SELECT e.class FROM \"__errors\" AS e \
             WHERE e.table_name = o.table_name AND e.item_id = o.item_id) IN ({conflict_name}, {gone_name}) \
             THEN {in_conflict} ELSE {refused} END \
             ELSE -1 END FROM \"__operations\" AS o WHERE o.table_name = {name} AND o.item_id = ",
        parked = SyncState::Parked.number(),
        attempted = OperationState::Attempted.as_i64(),
        sent = state(any, OperationState::Attempted, None),
        is_failed = failed.as_i64(),
        conflict_name = literal(conflict.as_str()),
        gone_name = literal(gone.as_str()),
        in_conflict = state(any, failed, Some(conflict)),
        refused = state(any, failed, None),
        name = literal(table.name),
    ));
    out.push_identifier(table.name)?;
    out.push_sql(&format!(".\"id\"), {})", SyncState::Synced.number()));
    Ok(())
}

impl<E: 'static> QueryId for StateOf<E> {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<E> ValidGrouping<()> for StateOf<E> {
    type IsAggregate = is_aggregate::No;
}

impl<QS, E> AppearsOnTable<QS> for StateOf<E>
where
    E: DieselEntity,
    E::Id: AppearsOnTable<QS>,
{
}

impl<QS, E> SelectableExpression<QS> for StateOf<E>
where
    E: DieselEntity,
    E::Id: SelectableExpression<QS>,
{
}

impl FromSql<Integer, Sqlite> for SyncState {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let number = <i32 as FromSql<Integer, Sqlite>>::from_sql(value)?;
        let known = Self::ALL.into_iter().find(|state| state.number() == number);
        known.ok_or_else(|| "a queued operation has a kind or state this version does not know".into())
    }
}

impl ToSql<Integer, Sqlite> for SyncState {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.number());
        Ok(IsNull::No)
    }
}

impl<E> Clone for StateOf<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for StateOf<E> {}

impl<E> fmt::Debug for StateOf<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateOf").finish_non_exhaustive()
    }
}
