//! An entity with the four system columns of its row.

use std::ops::{Deref, DerefMut};

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromStaticSqlRow, Queryable};
use diesel::expression::{Expression, Selectable, TypedExpressionType};
use diesel::sqlite::Sqlite;
use sync_core::diesel::{DieselEntity, SystemSqlType};
use sync_core::entity::SyncEntity;
use sync_core::error::Result;
use sync_core::row::Row;

/// A row of a synced table: the entity `E`, to which this dereferences, and the row's system columns.
///
/// Every table has the system columns, whether the struct declares them or not. `Record<E>` is `Selectable`, so
/// it can be asked for in any Diesel statement over the entity's table, joins included:
///
/// ```
/// use diesel::prelude::*;
/// use sync_diesel::{Record, SyncEntity};
///
/// #[derive(SyncEntity, Clone, Debug, PartialEq)]
/// struct Todo {
///     text: String,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut conn = SqliteConnection::establish(":memory:")?;
/// diesel::sql_query(
///     "CREATE TABLE Todo (id TEXT PRIMARY KEY NOT NULL, __version TEXT, __updatedAt TEXT,
///      __deleted INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL)",
/// )
/// .execute(&mut conn)?;
/// diesel::insert_into(todo::table).values((todo::id.eq("1"), todo::text.eq("Pick up milk"))).execute(&mut conn)?;
///
/// let milk: Record<Todo> = todo::table.select(Record::<Todo>::as_select()).first(&mut conn)?;
/// assert_eq!(milk.id(), "1");
/// assert_eq!(milk.text, "Pick up milk");
/// assert_eq!(milk.version(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Record<E> {
    id: String,
    version: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    deleted: bool,
    entity: E,
}

impl<E> Record<E> {
    /// A record no server knows yet: no version, no change time, not deleted. Stores nothing.
    pub fn new(id: impl Into<String>, entity: E) -> Self {
        Self { id: id.into(), version: None, updated_at: None, deleted: false, entity }
    }

    /// The row's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The server's version of the row; `None` while the row is unknown to the server.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The server's time of the last change; `None` while the row is unknown to the server.
    pub fn updated_at(&self) -> Option<DateTime<Utc>> {
        self.updated_at
    }

    /// Whether the server marked the row as deleted. Such rows stay only in tables with `#[sync(keep_deleted)]`.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// The entity, without its system columns.
    pub fn into_inner(self) -> E {
        self.entity
    }
}

impl<E: SyncEntity> Record<E> {
    /// The record as data, with its system columns.
    pub fn to_row(&self) -> Row {
        Row {
            version: self.version.clone(),
            updated_at: self.updated_at,
            deleted: self.deleted,
            ..Row::new(self.id.as_str(), self.entity.to_values())
        }
    }

    /// Reads a whole row of the entity's table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::core::ErrorKind::Corrupt) when a value is absent or does not fit its field.
    pub fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.id.clone(),
            version: row.version.clone(),
            updated_at: row.updated_at,
            deleted: row.deleted,
            entity: E::from_row(row)?,
        })
    }
}

impl<E> Deref for Record<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.entity
    }
}

/// Edits the entity in memory; the system columns cannot be edited.
impl<E> DerefMut for Record<E> {
    fn deref_mut(&mut self) -> &mut E {
        &mut self.entity
    }
}

type SystemRow = (String, Option<String>, Option<DateTime<Utc>>, bool);

impl<E> Selectable<Sqlite> for Record<E>
where
    E: DieselEntity + Selectable<Sqlite>,
    (SystemSqlType, <E::SelectExpression as Expression>::SqlType): TypedExpressionType,
{
    type SelectExpression = (E::System, E::SelectExpression);

    fn construct_selection() -> Self::SelectExpression {
        (E::System::default(), E::construct_selection())
    }
}

impl<E, S> Queryable<(SystemSqlType, S), Sqlite> for Record<E>
where
    E: DieselEntity,
    (SystemRow, E): FromStaticSqlRow<(SystemSqlType, S), Sqlite>,
{
    type Row = (SystemRow, E);

    fn build(((id, version, updated_at, deleted), entity): Self::Row) -> deserialize::Result<Self> {
        Ok(Self { id, version, updated_at, deleted, entity })
    }
}
