//! What the pulls of a table want, and how far each query id knows which rows left (R12).

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::diesel::TableFilter;
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::predicate::{Node, codec};
use sync_core::store::PullScope;
use sync_core::time;
use sync_core::wanted::{MAX_FULL_PULLS, Wanted};

use crate::failure::OrStore;
use crate::statement::{Bind, filtered, literal, query, run};
use crate::synced::SyncedTable;

/// The first instant a pull asks for, in its SQLite form.
const EVER: &str = "'1970-01-01 00:00:00+00:00'";

/// Remembers what a pull wants, in place of what its query id wanted before.
pub(super) fn remember(conn: &mut SqliteConnection, scope: &PullScope) -> Result<()> {
    let table = scope.table.name;
    let Some(query_key) = &scope.query else { return remember_full_pull(conn, scope) };
    run(
        conn,
        "INSERT INTO \"__queries\" (table_name, query_id, filter) VALUES (?, ?, ?)
         ON CONFLICT (table_name, query_id) DO UPDATE SET filter = excluded.filter
         WHERE filter <> excluded.filter",
        &[table.into(), (&query_key.query_id).into(), (&scope.wanted).into()],
    )
    .or_store()
    .map(|_| ())
}

fn remember_full_pull(conn: &mut SqliteConnection, scope: &PullScope) -> Result<()> {
    let table = scope.table.name;
    let others = query::<BigInt>(
        "SELECT count(*) FROM \"__full_pulls\" WHERE table_name = ? AND filter <> ?",
        &[table.into(), (&scope.wanted).into()],
    )
    .get_result::<i64>(conn)
    .or_store()?;
    let is_known = query::<BigInt>(
        "SELECT count(*) FROM \"__full_pulls\" WHERE table_name = ? AND filter = ?",
        &[table.into(), (&scope.wanted).into()],
    )
    .get_result::<i64>(conn)
    .or_store()?
        > 0;
    let is_full = usize::try_from(others).unwrap_or(usize::MAX) >= MAX_FULL_PULLS;
    let filter = if is_full && !is_known { codec::encode(&Node::ALWAYS) } else { scope.wanted.clone() };
    run(
        conn,
        "INSERT INTO \"__full_pulls\" (table_name, filter, mirrors) VALUES (?, ?, ?)
         ON CONFLICT (table_name, filter) DO UPDATE SET mirrors = excluded.mirrors
         WHERE mirrors <> excluded.mirrors",
        &[table.into(), filter.into(), i64::from(scope.mirror).into()],
    )
    .or_store()
    .map(|_| ())
}

/// What all pulls of the table want.
pub(super) fn load(conn: &mut SqliteConnection, table: &TableSchema) -> Result<Wanted> {
    let stored = query::<(Text, BigInt)>(
        "SELECT filter, 1 FROM \"__queries\" WHERE table_name = ?
         UNION ALL SELECT filter, mirrors FROM \"__full_pulls\" WHERE table_name = ?",
        &[table.name.into(), table.name.into()],
    )
    .load::<(String, i64)>(conn)
    .or_store()?;
    let mut wanted = Wanted::default();
    for (filter, is_kept_current) in stored {
        if is_kept_current != 0 {
            wanted.add_query(table, &filter);
        } else {
            wanted.add_full_pull(table, &filter);
        }
    }
    Ok(wanted)
}

/// From when on rows may have left unseen by this query.
pub(super) fn feed(
    conn: &mut SqliteConnection,
    table: &str,
    query_id: &str,
) -> Result<Option<DateTime<Utc>>> {
    query::<Nullable<Text>>(
        "SELECT feed FROM \"__queries\" WHERE table_name = ? AND query_id = ?",
        &[table.into(), query_id.into()],
    )
    .get_result::<Option<String>>(conn)
    .optional()
    .or_store()?
    .flatten()
    .map(|text| {
        time::parse(&text).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a stored point of the change feed cannot be read")
                .with_table(table)
                .with_query_id(query_id)
        })
    })
    .transpose()
}

/// Starts the feed of a new query at the least change time of the rows here that it wants, whichever pull brought them:
/// they may have left since. A row with an operation counts whatever it looks like now. `None`: there are no such rows.
pub(super) fn begin_feed(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    scope: &PullScope,
    query_id: &str,
) -> Result<Option<DateTime<Utc>>> {
    let node = codec::decode(table.schema, &scope.wanted).unwrap_or(Node::ALWAYS);
    let name = literal(table.schema.name);
    let head = format!(
        "SELECT min(at) FROM (
             SELECT coalesce(updated_at, {EVER}) AS at FROM \"__shadow\" WHERE table_name = {name}
             UNION ALL SELECT coalesce(\"__updatedAt\", {EVER}) FROM {table}
             WHERE \"id\" NOT IN (SELECT item_id FROM \"__operations\" WHERE table_name = {name}) AND ",
        table = table.name
    );
    let filter = TableFilter { table: table.schema, node: &node };
    let oldest =
        filtered::<Nullable<Text>>(&head, filter, ")").get_result::<Option<String>>(conn).or_store()?;
    // Instants are stored in one form, which sorts as text.
    let Some(oldest) = oldest else { return Ok(None) };
    run(
        conn,
        "UPDATE \"__queries\" SET feed = ? WHERE table_name = ? AND query_id = ?",
        &[(&oldest).into(), table.schema.name.into(), query_id.into()],
    )
    .or_store()?;
    feed(conn, table.schema.name, query_id)
}

/// The rows of `__queries` and `__tokens` of a table or of one query id, as a condition and its values.
pub(super) fn of_query<'q>(table: &'q str, query_id: Option<&'q str>) -> (String, Vec<Bind<'q>>) {
    match query_id {
        Some(query_id) => ("table_name = ? AND query_id = ?".to_owned(), vec![table.into(), query_id.into()]),
        None => ("table_name = ?".to_owned(), vec![table.into()]),
    }
}

/// Rows may have left at any time.
pub(super) fn forget_feed(conn: &mut SqliteConnection, table: &str, query_id: Option<&str>) -> Result<()> {
    let (condition, binds) = of_query(table, query_id);
    run(conn, &format!("UPDATE \"__queries\" SET feed = {EVER} WHERE {condition}"), &binds)
        .or_store()
        .map(|_| ())
}

/// Before tokens go: where the point was not known, rows may have left at any time.
pub(super) fn settle_feed(conn: &mut SqliteConnection, condition: &str, binds: &[Bind<'_>]) -> Result<()> {
    let text = format!(
        "UPDATE \"__queries\" SET feed = {EVER} WHERE feed IS NULL AND (table_name, query_id) IN
         (SELECT table_name, query_id FROM \"__tokens\" WHERE {condition})"
    );
    run(conn, &text, binds).or_store().map(|_| ())
}

/// Moves that point forward.
pub(super) fn advance(
    conn: &mut SqliteConnection,
    table: &str,
    query_id: &str,
    to: DateTime<Utc>,
) -> Result<()> {
    let point = feed(conn, table, query_id)?.max(Some(to));
    run(
        conn,
        "UPDATE \"__queries\" SET feed = ? WHERE table_name = ? AND query_id = ?",
        &[Bind::instant(point), table.into(), query_id.into()],
    )
    .or_store()
    .map(|_| ())
}

/// No row of the table is left that a pull could have brought, or that could have left unseen.
pub(crate) fn forget(conn: &mut SqliteConnection, table: &str, keeps_tokens: bool) -> Result<()> {
    run(conn, "DELETE FROM \"__full_pulls\" WHERE table_name = ?", &[table.into()]).or_store()?;
    let text = if keeps_tokens {
        "UPDATE \"__queries\" SET feed = coalesce((
             SELECT instant FROM \"__tokens\" tokens
             WHERE tokens.table_name = \"__queries\".table_name AND tokens.query_id = \"__queries\".query_id
         ), feed) WHERE table_name = ?"
    } else {
        "DELETE FROM \"__queries\" WHERE table_name = ?"
    };
    run(conn, text, &[table.into()]).or_store().map(|_| ())
}
