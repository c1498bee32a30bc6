//! [`SyncTable`]: typed local calls on one entity. All of them are local; writes are queued for the next push.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::dsl::SqlTypeOf;
use diesel::expression::{Expression, Selectable};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite, SqliteConnection};
use sync_core::Result;
use sync_core::diesel::{DieselEntity, TableFilter};
use sync_core::entity::SyncEntity;
use sync_core::expression::{Expr, IntoExpr, OrderBy};
use sync_core::predicate::Node;
use sync_core::row::Row;
use sync_core::store::{LocalChange, LocalChangeKind, LocalStore};

use crate::record::Record;
use crate::store::DieselStore;

/// The local table of entity `E`.
pub struct SyncTable<E> {
    store: Arc<DieselStore>,
    entity: PhantomData<fn() -> E>,
}

impl<E: SyncEntity> SyncTable<E> {
    pub(crate) fn new(store: Arc<DieselStore>) -> Self {
        Self { store, entity: PhantomData }
    }

    /// Inserts a row and queues it. The id is the one the entity declares, else a new UUID (version 7).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId),
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue); nothing changed.
    pub async fn insert(&self, entity: E) -> Result<Record<E>> {
        let id = entity.declared_id().map_or_else(new_id, str::to_owned);
        self.insert_as(id, entity).await
    }

    /// Inserts a row under this id and queues it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub async fn insert_with_id(&self, id: impl Into<String>, entity: E) -> Result<Record<E>> {
        self.insert_as(id.into(), entity).await
    }

    async fn insert_as(&self, id: String, entity: E) -> Result<Record<E>> {
        let row = Row::new(id, entity.to_values());
        self.change(vec![LocalChangeKind::Insert(row.clone())]).await?;
        Record::from_row(&row)
    }

    /// Inserts many rows in one transaction.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then no row was inserted.
    pub async fn insert_many(&self, entities: impl IntoIterator<Item = E>) -> Result<Vec<Record<E>>> {
        let rows: Vec<Row> = entities
            .into_iter()
            .map(|entity| {
                let id = entity.declared_id().map_or_else(new_id, str::to_owned);
                Row::new(id, entity.to_values())
            })
            .collect();
        self.change(rows.iter().cloned().map(LocalChangeKind::Insert).collect()).await?;
        rows.iter().map(Record::from_row).collect()
    }

    /// Stores a whole record over its row and queues the change. If the record was read before the row last
    /// changed on the server, the next push reports a conflict instead of overwriting (K-17).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the row is not there,
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue); nothing changed.
    pub async fn update(&self, record: &Record<E>) -> Result<()> {
        let mut row = Row::new(record.id(), record.to_values());
        row.version = record.version().map(str::to_owned);
        self.change(vec![LocalChangeKind::Update(row)]).await
    }

    /// Deletes a row and queues the deletion.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the row is not there; nothing changed.
    pub async fn delete(&self, id: impl Into<String>) -> Result<()> {
        self.change(vec![LocalChangeKind::Delete(id.into())]).await
    }

    /// Revives a row that the server marked deleted, and queues the revival; only in a table that keeps such rows
    /// (`#[sync(keep_deleted)]`). The row is live here at once; the next push revives it on the server and then sends
    /// what was changed here. `filter(Todo::deleted)` finds the rows marked deleted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no row with this id is marked deleted;
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) while an operation of the row has an unknown outcome. Nothing changed.
    pub async fn undelete(&self, id: impl Into<String>) -> Result<()> {
        self.change(vec![LocalChangeKind::Undelete(id.into())]).await
    }

    async fn change(&self, changes: Vec<LocalChangeKind>) -> Result<()> {
        let changes = changes.into_iter().map(|kind| LocalChange { table: E::SCHEMA, kind }).collect();
        LocalStore::write(&*self.store, changes).await
    }

    /// Reads one row, or `None`.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn get(&self, id: &str) -> Result<Option<Record<E>>> {
        self.store.get(E::SCHEMA, id).await?.as_ref().map(Record::from_row).transpose()
    }

    /// The rows that match.
    pub fn filter(&self, filter: impl IntoExpr<E, bool>) -> LocalQuery<E> {
        self.all().filter(filter)
    }

    /// All rows.
    pub fn all(&self) -> LocalQuery<E> {
        LocalQuery {
            store: Arc::clone(&self.store),
            filter: Node::ALWAYS,
            order: Vec::new(),
            limit: None,
            offset: None,
            entity: PhantomData,
        }
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().hyphenated().to_string()
}

/// A typed query of the local table. Rows with equal keys come in the order of their ids.
#[must_use = "a query does nothing until it is loaded"]
pub struct LocalQuery<E> {
    store: Arc<DieselStore>,
    filter: Node,
    order: Vec<OrderBy<E>>,
    limit: Option<i64>,
    offset: Option<i64>,
    entity: PhantomData<fn() -> E>,
}

impl<E: SyncEntity> LocalQuery<E> {
    /// Also requires `filter`.
    pub fn filter(mut self, filter: impl IntoExpr<E, bool>) -> Self {
        let filter: Expr<E, bool> = filter.into_expr();
        self.filter = self.filter.and(filter.into_node());
        self
    }

    /// Adds a key to the order.
    pub fn order_by(mut self, key: OrderBy<E>) -> Self {
        self.order.push(key);
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

    /// Number of matching rows; limit and offset do not count.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn count(self) -> Result<u64>
    where
        E: DieselEntity,
    {
        let count: i64 = self.store.clone().read(move |conn| CountRecords(self).get_result(conn)).await?;
        Ok(u64::try_from(count).unwrap_or_default())
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
        store
            .read(move |conn| {
                let selection = Record::<E>::construct_selection();
                SelectRecords { query: self, selection }.load(conn)
            })
            .await
    }

    /// Loads the first row, or `None`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn first(mut self) -> Result<Option<Record<E>>> {
        self.limit = Some(self.limit.unwrap_or(1).min(1));
        Ok(self.load().await?.pop())
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
        Ok(())
    }
}

/// A [`LocalQuery`] as a Diesel query of records.
#[doc(hidden)]
pub struct SelectRecords<E>
where
    Record<E>: Selectable<Sqlite>,
{
    query: LocalQuery<E>,
    selection: <Record<E> as Selectable<Sqlite>>::SelectExpression,
}

impl<E> Query for SelectRecords<E>
where
    Record<E>: Selectable<Sqlite>,
{
    type SqlType = SqlTypeOf<<Record<E> as Selectable<Sqlite>>::SelectExpression>;
}

impl<E> RunQueryDsl<SqliteConnection> for SelectRecords<E> where Record<E>: Selectable<Sqlite> {}

/// The text depends on the filter; Diesel finds the prepared statement by its text.
impl<E> QueryId for SelectRecords<E>
where
    Record<E>: Selectable<Sqlite>,
{
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<E> QueryFragment<Sqlite> for SelectRecords<E>
where
    E: SyncEntity,
    Record<E>: Selectable<Sqlite>,
    <Record<E> as Selectable<Sqlite>>::SelectExpression: Expression + QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.selection.walk_ast(out.reborrow())?;
        self.query.push_from(&mut out)?;
        out.push_sql(" ORDER BY ");
        for key in &self.query.order {
            key.walk_ast(out.reborrow())?;
            out.push_sql(", ");
        }
        out.push_identifier(E::SCHEMA.name)?;
        out.push_sql(".\"id\"");
        if self.query.limit.is_some() || self.query.offset.is_some() {
            // SQLite takes an offset only after a limit; -1 is none.
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, i64>(self.query.limit.as_ref().unwrap_or(&-1))?;
            out.push_sql(" OFFSET ");
            out.push_bind_param::<BigInt, i64>(self.query.offset.as_ref().unwrap_or(&0))?;
        }
        Ok(())
    }
}

/// A [`LocalQuery`] as a Diesel query of the number of its rows.
struct CountRecords<E>(LocalQuery<E>);

impl<E> Query for CountRecords<E> {
    type SqlType = BigInt;
}

impl<E> RunQueryDsl<SqliteConnection> for CountRecords<E> {}

impl<E> QueryId for CountRecords<E> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<E: SyncEntity> QueryFragment<Sqlite> for CountRecords<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push_from(&mut out)
    }
}

impl<E> fmt::Debug for SyncTable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncTable").field("store", &self.store).finish()
    }
}

impl<E> Clone for SyncTable<E> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), entity: PhantomData }
    }
}

impl<E> fmt::Debug for LocalQuery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalQuery").field("order", &self.order).finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for SelectRecords<E>
where
    Record<E>: Selectable<Sqlite>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SelectRecords").field(&self.query).finish()
    }
}
