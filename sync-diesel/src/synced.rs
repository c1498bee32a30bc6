//! A synced table as this store reads and writes it: SQL text made once, rows as data.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::diesel::TableFilter;
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::Relations;
use sync_core::predicate::Node;
use sync_core::row::Row;
use sync_core::{item, time};

use crate::capture::{extra_sql, item_sql, whole_item_sql};
use crate::failure::OrStore;
use crate::schema::TableEntry;
use crate::statement::{Bind, filtered, query, quote, run};

/// A table of the schema with its statements.
#[derive(Debug)]
pub(crate) struct SyncedTable {
    pub(crate) entry: TableEntry,
    pub(crate) schema: &'static TableSchema,
    /// Quoted name.
    pub(crate) name: String,
    select: String,
    select_by_id: String,
    select_item: String,
}

/// The tables of a store.
#[derive(Debug)]
pub(crate) struct Tables {
    list: Vec<SyncedTable>,
    relations: Relations,
}

/// Result columns of a stored row.
pub(crate) type RowColumns = (Text, Nullable<Text>, Nullable<Text>, BigInt, Text, Nullable<Text>);
/// A stored row as loaded.
pub(crate) type StoredRow = (String, Option<String>, Option<String>, i64, String, Option<String>);

impl Tables {
    pub(crate) fn new(entries: &[TableEntry]) -> Self {
        let schemas: Vec<_> = entries.iter().map(TableEntry::schema).collect();
        Self {
            list: entries.iter().map(|entry| SyncedTable::new(*entry)).collect(),
            relations: Relations::new(&schemas),
        }
    }

    /// Which tables belong to which.
    pub(crate) fn relations(&self) -> &Relations {
        &self.relations
    }

    /// The table of this name.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when the store does not have it.
    pub(crate) fn get(&self, name: &str) -> Result<&SyncedTable> {
        self.find(name).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "the table is not in this store's schema").with_table(name)
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<&SyncedTable> {
        self.list.iter().find(|table| table.schema.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SyncedTable> {
        self.list.iter()
    }
}

impl SyncedTable {
    fn new(entry: TableEntry) -> Self {
        let schema = entry.schema();
        let name = quote(schema.name);
        let item = item_sql(schema, "");
        let extra = extra_sql(schema, "\"id\"");
        let select = format!(
            "SELECT \"id\", \"__version\", \"__updatedAt\", \"__deleted\", {item}, {extra} FROM {name}"
        );
        let whole = whole_item_sql(schema, "");
        Self {
            entry,
            schema,
            select_by_id: format!("{select} WHERE \"id\" = ?"),
            select_item: format!("SELECT {whole} FROM {name} WHERE \"id\" = ?"),
            select,
            name,
        }
    }

    /// Reads a row as data.
    pub(crate) fn row(&self, stored: StoredRow) -> Result<Row> {
        let (id, version, updated_at, deleted, text, extra) = stored;
        let mut row = item::decode(self.schema, &text).map_err(|error| error.with_item(&id))?;
        row.updated_at = self.instant(updated_at.as_deref(), &id)?;
        row.id = id;
        row.version = version;
        row.deleted = deleted != 0;
        row.extra = extra;
        Ok(row)
    }

    /// Reads a row kept away from its table, as [`whole_item_sql`] wrote it.
    pub(crate) fn whole_row(&self, text: &str) -> Result<Row> {
        /// The members beside the content.
        #[derive(serde::Deserialize)]
        struct System {
            #[serde(rename = "__version")]
            version: Option<String>,
            #[serde(rename = "__updatedAt")]
            updated_at: Option<String>,
            /// 0 or 1; absent in what an older version of this crate kept.
            #[serde(rename = "__deleted")]
            deleted: Option<i64>,
            #[serde(rename = "__extra")]
            extra: Option<String>,
        }
        let mut row = item::decode(self.schema, text)?;
        let system: System = serde_json::from_str(text).map_err(|source| {
            Error::new(ErrorKind::Corrupt, "a kept row cannot be read")
                .with_table(self.schema.name)
                .with_item(&row.id)
                .with_source(source)
        })?;
        row.updated_at = self.instant(system.updated_at.as_deref(), &row.id)?;
        row.version = system.version;
        row.deleted = system.deleted.is_some_and(|deleted| deleted != 0);
        row.extra = system.extra;
        Ok(row)
    }

    fn instant(&self, text: Option<&str>, id: &str) -> Result<Option<DateTime<Utc>>> {
        text.map(|text| {
            time::parse(text).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "a stored change time cannot be read")
                    .with_table(self.schema.name)
                    .with_item(id)
            })
        })
        .transpose()
    }

    /// The row with this id.
    pub(crate) fn find(&self, conn: &mut SqliteConnection, id: &str) -> Result<Option<Row>> {
        query::<RowColumns>(&self.select_by_id, &[id.into()])
            .get_result::<StoredRow>(conn)
            .optional()
            .or_store()?
            .map(|stored| self.row(stored))
            .transpose()
    }

    /// The row with this id as [`whole_row`](Self::whole_row) reads it.
    pub(crate) fn find_whole(&self, conn: &mut SqliteConnection, id: &str) -> Result<Option<String>> {
        query::<Text>(&self.select_item, &[id.into()]).get_result(conn).optional().or_store()
    }

    /// The rows a condition holds for, by id, one at a time.
    pub(crate) fn for_each(
        &self,
        conn: &mut SqliteConnection,
        node: &Node,
        mut each: impl FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let head = format!("{} WHERE ", self.select);
        let filter = TableFilter { table: self.schema, node };
        let rows = filtered::<RowColumns>(&head, filter, " ORDER BY \"id\"");
        for stored in rows.load_iter::<StoredRow, _>(conn).or_store()? {
            each(self.row(stored.or_store()?)?)?;
        }
        Ok(())
    }

    /// Whether a row with this id exists, and its version.
    pub(crate) fn version(&self, conn: &mut SqliteConnection, id: &str) -> Result<Option<Option<String>>> {
        let text = format!("SELECT \"__version\" FROM {} WHERE \"id\" = ?", self.name);
        query::<Nullable<Text>>(&text, &[id.into()]).get_result(conn).optional().or_store()
    }

    /// Writes the present columns and the system columns of an existing row; gives the number of rows written.
    /// A version or change time that `row` does not have stays.
    pub(crate) fn update(&self, conn: &mut SqliteConnection, row: &Row) -> QueryResult<usize> {
        let mut text = self.update_text();
        let mut binds = system_binds(row);
        for (column, value) in self.present(row) {
            text.push_str(", ");
            text.push_str(&quote(column));
            text.push_str(" = ?");
            binds.push(value);
        }
        text.push_str(" WHERE \"id\" = ?");
        binds.push((&row.id).into());
        run(conn, &text, &binds)
    }

    fn update_text(&self) -> String {
        format!(
            "UPDATE {} SET \"__version\" = coalesce(?, \"__version\"), \
             \"__updatedAt\" = coalesce(?, \"__updatedAt\"), \"__deleted\" = ?",
            self.name
        )
    }

    /// Adds a row with its present columns and the system columns.
    pub(crate) fn insert(&self, conn: &mut SqliteConnection, row: &Row) -> QueryResult<usize> {
        let mut text =
            format!("INSERT INTO {} (\"__version\", \"__updatedAt\", \"__deleted\", \"id\"", self.name);
        let mut binds = system_binds(row);
        binds.push((&row.id).into());
        for (column, value) in self.present(row) {
            text.push_str(", ");
            text.push_str(&quote(column));
            binds.push(value);
        }
        text.push_str(") VALUES (?");
        text.push_str(&", ?".repeat(binds.len() - 1));
        text.push(')');
        run(conn, &text, &binds)
    }

    /// Writes a whole row, whether it is there or not.
    pub(crate) fn put(&self, conn: &mut SqliteConnection, row: &Row) -> QueryResult<usize> {
        match self.update(conn, row)? {
            0 => self.insert(conn, row),
            written => Ok(written),
        }
    }

    /// Like [`update`](Self::update) with the system columns alone.
    pub(crate) fn update_system(&self, conn: &mut SqliteConnection, row: &Row) -> Result<()> {
        let mut text = self.update_text();
        text.push_str(" WHERE \"id\" = ?");
        let mut binds = system_binds(row);
        binds.push((&row.id).into());
        run(conn, &text, &binds).or_store().map(|_| ())
    }

    /// Removes a row; gives the number of rows removed.
    pub(crate) fn delete(&self, conn: &mut SqliteConnection, id: &str) -> QueryResult<usize> {
        run(conn, &format!("DELETE FROM {} WHERE \"id\" = ?", self.name), &[id.into()])
    }

    /// Names and values of the present columns.
    pub(crate) fn present<'r>(&self, row: &'r Row) -> impl Iterator<Item = (&'static str, Bind<'r>)> {
        self.schema
            .columns
            .iter()
            .zip(&row.values)
            .filter_map(|(column, value)| Some((column.name, Bind::value(column.ty, value.as_ref()?))))
    }
}

fn system_binds(row: &Row) -> Vec<Bind<'_>> {
    vec![(&row.version).into(), Bind::instant(row.updated_at), i64::from(row.deleted).into()]
}

/// Takes what `server` has of the sent columns and of the system columns; the deletion mark always.
pub(crate) fn overlay(table: &TableSchema, row: &mut Row, server: &Row) {
    for (index, _) in table.sent_columns() {
        if let Some(Some(value)) = server.values.get(index) {
            row.values[index] = Some(value.clone());
        }
    }
    if server.version.is_some() {
        row.version.clone_from(&server.version);
    }
    row.updated_at = server.updated_at.or(row.updated_at);
    if server.extra.is_some() {
        row.extra.clone_from(&server.extra);
    }
    row.deleted = server.deleted;
}
