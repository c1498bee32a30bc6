//! The server copies kept of a row with an operation: its base, and the newest copy seen since.
//!
//! The base is the server's row that the local changes start from: the row before the first of them, or what the
//! server acknowledged last. It says what an update sends and what a merge takes from whom. Of a row deleted and made
//! again it is the deleted row, to know it by should the server have kept it. A newer copy comes from a pull (L-14) or
//! from the answer of a failed request; it never replaces the base, or columns the app did not touch would look changed
//! and go to the server with their old values. Both go with the operation, and where the operation leaves no result of
//! its own the row becomes the newest copy.

use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::error::Result;
use sync_core::item;
use sync_core::row::Row;

use crate::failure::OrStore;
use crate::statement::{Bind, query, run};
use crate::synced::{RowColumns, StoredRow, SyncedTable, overlay};

/// One of the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    Base,
    Newer,
}

impl Copy {
    const fn table(self) -> &'static str {
        match self {
            Self::Base => "\"__shadow\"",
            Self::Newer => "\"__newer\"",
        }
    }

    /// The copy, if it is kept.
    pub(crate) fn load(
        self,
        conn: &mut SqliteConnection,
        table: &SyncedTable,
        id: &str,
    ) -> Result<Option<Row>> {
        self.stored(conn, table, id)?.map(|stored| table.row(stored)).transpose()
    }

    /// The copy as it is stored.
    pub(crate) fn stored(
        self,
        conn: &mut SqliteConnection,
        table: &SyncedTable,
        id: &str,
    ) -> Result<Option<StoredRow>> {
        let text = format!(
            "SELECT item_id, version, updated_at, deleted, item, extra FROM {}
             WHERE table_name = ? AND item_id = ?",
            self.table()
        );
        query::<RowColumns>(&text, &[table.schema.name.into(), id.into()])
            .get_result::<StoredRow>(conn)
            .optional()
            .or_store()
    }

    /// Keeps the copy in place of an older one.
    pub(crate) fn store(self, conn: &mut SqliteConnection, table: &SyncedTable, row: &Row) -> Result<()> {
        let text = format!(
            "INSERT INTO {} (table_name, item_id, version, updated_at, deleted, item, extra)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (table_name, item_id) DO UPDATE SET version = excluded.version,
             updated_at = excluded.updated_at, deleted = excluded.deleted, item = excluded.item,
             extra = excluded.extra",
            self.table()
        );
        run(
            conn,
            &text,
            &[
                table.schema.name.into(),
                (&row.id).into(),
                (&row.version).into(),
                Bind::instant(row.updated_at),
                i64::from(row.deleted).into(),
                item::encode(table.schema, row).into(),
                (&row.extra).into(),
            ],
        )
        .or_store()
        .map(|_| ())
    }

    /// Removes the copy.
    pub(crate) fn drop(self, conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
        let text = format!("DELETE FROM {} WHERE table_name = ? AND item_id = ?", self.table());
        run(conn, &text, &[table.schema.name.into(), id.into()]).or_store().map(|_| ())
    }
}

/// The newest copy known.
pub(crate) fn newest(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<Option<Row>> {
    match Copy::Newer.load(conn, table, id)? {
        Some(newer) => Ok(Some(newer)),
        None => Copy::Base.load(conn, table, id),
    }
}

/// Keeps a server copy just seen; what it does not show is as it was in `newest`.
pub(crate) fn learn(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    newest: Option<Row>,
    server: &Row,
) -> Result<()> {
    let mut newer = newest.unwrap_or_else(|| Row::empty(table.schema, &server.id));
    overlay(table.schema, &mut newer, server);
    Copy::Newer.store(conn, table, &newer)
}

/// Removes both copies.
pub(crate) fn drop_both(conn: &mut SqliteConnection, table: &SyncedTable, id: &str) -> Result<()> {
    Copy::Base.drop(conn, table, id)?;
    Copy::Newer.drop(conn, table, id)
}
