//! [`LocalQuery`]: typed queries of one entity's local table.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::dsl::SqlTypeOf;
use diesel::expression::{Expression, Selectable};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::{Sqlite, SqliteConnection};
use sync_core::Result;
use sync_core::diesel::{DieselEntity, TableFilter};
use sync_core::entity::SyncEntity;
use sync_core::expression::{IntoExpr, OrderBy, OrderByExpr};
use sync_core::predicate::Node;

pub use self::select::{FromSelected, SelectQuery, SelectedExpr, SelectedValue, Selection, Single};
pub use self::stream::RecordStream;
use crate::record::Record;
use crate::state::{StateOf, SyncState, push_state};
use crate::statement::literal;
use crate::store::DieselStore;

mod select;
mod stream;

/// A typed query of the local table, with changes that are not pushed yet and without locally deleted rows (R-12).
///
/// Rows come in the order of the keys given, rows with equal keys in the order of their ids. Null comes before every
/// value in ascending order and after every value in descending order; text is ordered by code point.
///
/// ```
/// # use sync_diesel::prelude::*;
/// # #[derive(SyncEntity, Clone, Debug)]
/// # pub struct Todo { pub text: String, pub complete: bool, pub due_at: Option<DateTime<Utc>> }
/// # async fn run(todos: sync_diesel::SyncTable<Todo>) -> sync_diesel::Result<()> {
/// let open = todos.filter(!Todo::complete);
/// let next = open.order_by([Todo::due_at.asc(), Todo::text.asc()]).limit(20).load().await?;
///
/// let texts: Vec<String> = todos.filter(Todo::text.contains("milk")).select(Todo::text).load().await?;
/// let due: Vec<(String, Option<DateTime<Utc>>)> = todos.all().select((Todo::text, Todo::due_at)).load().await?;
///
/// let mut rows = todos.all().stream();
/// while let Some(row) = rows.next().await {
///     println!("{}", row?.text);
/// }
/// # let _ = (next, texts, due);
/// # Ok(())
/// # }
/// ```
#[must_use = "a query does nothing until it is loaded"]
pub struct LocalQuery<E> {
    store: Arc<DieselStore>,
    filter: Node,
    /// `None`: in any state.
    states: Option<Vec<SyncState>>,
    order: Vec<OrderByExpr<E>>,
    limit: Option<i64>,
    offset: Option<i64>,
    entity: PhantomData<fn() -> E>,
}

/// What [`LocalQuery::order_by`] takes: one key, or several in order of weight; columns and expressions.
pub trait IntoOrder<E> {
    /// The keys.
    fn into_keys(self) -> Vec<OrderByExpr<E>>;
}

impl<E> IntoOrder<E> for OrderBy<E> {
    fn into_keys(self) -> Vec<OrderByExpr<E>> {
        vec![self.into()]
    }
}

impl<E> IntoOrder<E> for OrderByExpr<E> {
    fn into_keys(self) -> Vec<Self> {
        vec![self]
    }
}

impl<E, K: Into<OrderByExpr<E>>, const N: usize> IntoOrder<E> for [K; N] {
    fn into_keys(self) -> Vec<OrderByExpr<E>> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<E, K: Into<OrderByExpr<E>>> IntoOrder<E> for Vec<K> {
    fn into_keys(self) -> Vec<OrderByExpr<E>> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<E: SyncEntity> LocalQuery<E> {
    /// All rows.
    pub(crate) fn new(store: Arc<DieselStore>) -> Self {
        let (order, filter) = (Vec::new(), Node::ALWAYS);
        Self { store, filter, states: None, order, limit: None, offset: None, entity: PhantomData }
    }

    /// Also requires `filter`.
    pub fn filter(mut self, filter: impl IntoExpr<E, bool>) -> Self {
        self.filter = self.filter.and(filter.into_expr().into_node());
        self
    }

    /// Also requires that the row is in one of these states. Without [`SyncState::Synced`] among them, the rows are found
    /// through the queue and the table is not scanned.
    ///
    /// ```
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone, Debug)]
    /// # pub struct Todo { pub text: String }
    /// # async fn run(todos: sync_diesel::SyncTable<Todo>) -> sync_diesel::Result<()> {
    /// let in_conflict = todos.all().in_state([SyncState::Conflict]).load().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_state(mut self, states: impl IntoIterator<Item = SyncState>) -> Self {
        let states = states.into_iter();
        self.states = Some(match self.states {
            Some(earlier) => states.filter(|state| earlier.contains(state)).collect(),
            None => states.collect(),
        });
        self
    }

    /// Adds a key to the order, or an array of keys; those given earlier weigh more. A key is a column or an
    /// expression: `Todo::text.to_lower().asc()`.
    pub fn order_by(mut self, keys: impl IntoOrder<E>) -> Self {
        self.order.extend(keys.into_keys());
        self
    }

    /// At most this many rows.
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = Some(rows.into());
        self
    }

    /// Leaves out the first rows.
    pub fn offset(mut self, rows: u32) -> Self {
        self.offset = Some(rows.into());
        self
    }

    /// Loads values instead of records: one column or expression of the entity, or a tuple of up to eight.
    ///
    /// The types are those of the variable the result is loaded into, as in Diesel: the field's type, or an `Option` of
    /// it, which a column that may be null needs.
    ///
    /// ```
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone, Debug)]
    /// # pub struct Todo { pub text: String, pub due_at: Option<DateTime<Utc>> }
    /// # async fn run(todos: sync_diesel::SyncTable<Todo>) -> sync_diesel::Result<()> {
    /// let all: Vec<(String, Option<DateTime<Utc>>)> = todos.all().select((Todo::text, Todo::due_at)).load().await?;
    /// let different: Vec<String> = todos.all().select(Todo::text).distinct().load().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn select<S: Selection<E>>(self, selection: S) -> SelectQuery<E, S::Shape> {
        SelectQuery::new(self, selection)
    }

    /// Loads each record with the state of its synchronisation. See [`SyncState`].
    pub fn with_state(self) -> StateQuery<E> {
        StateQuery { query: self }
    }

    /// Number of matching rows; limit and offset do not count.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn count(self) -> Result<u64> {
        let store = Arc::clone(&self.store);
        let count: i64 = store.read(move |conn| CountRecords(self).get_result(conn)).await?;
        Ok(count.unsigned_abs())
    }

    /// Whether a row matches; limit and offset do not count.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn exists(self) -> Result<bool> {
        let store = Arc::clone(&self.store);
        store.read(move |conn| AnyRecord(self).get_result(conn)).await
    }
}

impl<E> LocalQuery<E>
where
    E: DieselEntity,
    Record<E>: Selectable<Sqlite> + Send,
    SelectRecords<E>: for<'q> LoadQuery<'q, SqliteConnection, Record<E>>,
{
    /// Loads the rows.
    ///
    /// # Errors
    ///
    /// Errors of the local database, and a value that does not fit its field.
    pub async fn load(self) -> Result<Vec<Record<E>>> {
        let store = Arc::clone(&self.store);
        store.read(move |conn| SelectRows::records(self).load(conn)).await
    }

    /// Loads the first row, or `None`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn first(self) -> Result<Option<Record<E>>> {
        Ok(self.at_most_one().load().await?.pop())
    }

    /// Loads the rows one by one with little memory, all of one moment. See [`RecordStream`].
    pub fn stream(self) -> RecordStream<E> {
        RecordStream::new(self)
    }
}

/// A [`LocalQuery`] of records with the state of each; made by [`LocalQuery::with_state`].
#[must_use = "a query does nothing until it is loaded"]
pub struct StateQuery<E> {
    query: LocalQuery<E>,
}

impl<E> StateQuery<E>
where
    E: DieselEntity,
    Record<E>: Selectable<Sqlite> + Send,
    SelectWithState<E>: for<'q> LoadQuery<'q, SqliteConnection, (Record<E>, SyncState)>,
{
    /// Loads the rows and their states, both of one moment.
    ///
    /// # Errors
    ///
    /// Errors of the local database, and a value that does not fit its field.
    pub async fn load(self) -> Result<Vec<(Record<E>, SyncState)>> {
        let store = Arc::clone(&self.query.store);
        store
            .read(move |conn| {
                let selection = (Record::<E>::construct_selection(), SyncState::of::<E>());
                SelectRows { query: self.query, selection }.load(conn)
            })
            .await
    }

    /// Loads the first row and its state, or `None`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn first(self) -> Result<Option<(Record<E>, SyncState)>> {
        Ok(Self { query: self.query.at_most_one() }.load().await?.pop())
    }
}

impl<E> LocalQuery<E> {
    fn at_most_one(mut self) -> Self {
        self.limit = Some(self.limit.unwrap_or(1).min(1));
        self
    }
}

impl<E: SyncEntity> LocalQuery<E> {
    fn push_from<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(" FROM ");
        out.push_identifier(E::SCHEMA.name)?;
        if !self.filter.is_always() {
            out.push_sql(" WHERE ");
            // The fragment only borrows what it binds from the tree, which lives as long as this query.
            TableFilter { table: E::SCHEMA, node: &self.filter }.walk_into(out)?;
        }
        match &self.states {
            Some(states) => self.push_states(states, out),
            None => Ok(()),
        }
    }

    fn push_states(&self, states: &[SyncState], out: &mut AstPass<'_, '_, Sqlite>) -> QueryResult<()> {
        out.push_sql(if self.filter.is_always() { " WHERE " } else { " AND " });
        if !states.contains(&SyncState::Synced) {
            let table = literal(E::SCHEMA.name);
            out.push_identifier(E::SCHEMA.name)?;
            out.push_sql(&format!(
                ".\"id\" IN (SELECT item_id FROM \"__operations\" WHERE table_name = {table}) AND "
            ));
        }
        push_state(E::SCHEMA, out)?;
        let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
        out.push_sql(&format!(" IN ({})", numbers.join(", ")));
        Ok(())
    }

    /// Pushes the order and the range. `by_id`: rows with equal keys come by id.
    fn push_order<'b>(&'b self, by_id: bool, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut separator = " ORDER BY ";
        for key in &self.order {
            out.push_sql(std::mem::replace(&mut separator, ", "));
            key.walk_ast(out.reborrow())?;
        }
        if by_id {
            out.push_sql(separator);
            out.push_identifier(E::SCHEMA.name)?;
            out.push_sql(".\"id\"");
        }
        if self.limit.is_some() || self.offset.is_some() {
            // SQLite takes an offset only after a limit; -1 is none.
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, i64>(self.limit.as_ref().unwrap_or(&-1))?;
            out.push_sql(" OFFSET ");
            out.push_bind_param::<BigInt, i64>(self.offset.as_ref().unwrap_or(&0))?;
        }
        Ok(())
    }
}

/// A [`LocalQuery`] as a Diesel query of what `X` selects from each row.
#[doc(hidden)]
pub struct SelectRows<E, X> {
    query: LocalQuery<E>,
    selection: X,
}

/// What a [`Record`] selects.
type RecordColumns<E> = <Record<E> as Selectable<Sqlite>>::SelectExpression;

/// A [`LocalQuery`] as a Diesel query of records.
#[doc(hidden)]
pub type SelectRecords<E> = SelectRows<E, RecordColumns<E>>;

/// A [`LocalQuery`] as a Diesel query of records with their states.
#[doc(hidden)]
pub type SelectWithState<E> = SelectRows<E, (RecordColumns<E>, StateOf<E>)>;

impl<E> SelectRecords<E>
where
    Record<E>: Selectable<Sqlite>,
{
    fn records(query: LocalQuery<E>) -> Self {
        Self { query, selection: Record::<E>::construct_selection() }
    }
}

impl<E, X: Expression> Query for SelectRows<E, X> {
    type SqlType = SqlTypeOf<X>;
}

impl<E: SyncEntity, X: QueryFragment<Sqlite>> QueryFragment<Sqlite> for SelectRows<E, X> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.selection.walk_ast(out.reborrow())?;
        self.query.push_from(&mut out)?;
        self.query.push_order(true, &mut out)
    }
}

/// A [`LocalQuery`] as a Diesel query of the number of its rows.
struct CountRecords<E>(LocalQuery<E>);

impl<E> Query for CountRecords<E> {
    type SqlType = BigInt;
}

impl<E: SyncEntity> QueryFragment<Sqlite> for CountRecords<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push_from(&mut out)
    }
}

/// A [`LocalQuery`] as a Diesel query of whether it has rows.
struct AnyRecord<E>(LocalQuery<E>);

impl<E> Query for AnyRecord<E> {
    type SqlType = Bool;
}

impl<E: SyncEntity> QueryFragment<Sqlite> for AnyRecord<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT EXISTS (SELECT 1");
        self.0.push_from(&mut out)?;
        out.push_sql(")");
        Ok(())
    }
}

macro_rules! statements {
    ($([$($generics:ident),*] $ty:ty;)*) => {$(
        impl<$($generics),*> RunQueryDsl<SqliteConnection> for $ty {}

        /// The text depends on the filter; Diesel finds the prepared statement by its text.
        impl<$($generics),*> QueryId for $ty {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
    )*};
}

statements! {
    [E, X] SelectRows<E, X>;
    [E] CountRecords<E>;
    [E] AnyRecord<E>;
}

impl<E> fmt::Debug for LocalQuery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalQuery").field("order", &self.order).finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for StateQuery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateQuery").field(&self.query).finish()
    }
}

impl<E, X> fmt::Debug for SelectRows<E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SelectRows").field(&self.query).finish()
    }
}
