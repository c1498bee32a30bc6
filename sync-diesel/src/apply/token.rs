//! Delta tokens: where each incremental query stands.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::store::{DeltaToken, QueryKey};
use sync_core::time;

use super::wanted::{self, of_query};
use crate::failure::OrStore;
use crate::statement::{Bind, query, run};

/// The stored token of a query, if it was pulled with this fingerprint; a token of another fingerprint is
/// dropped and reported (L-08).
pub(super) fn start(
    conn: &mut SqliteConnection,
    table: &str,
    key: &QueryKey,
) -> Result<(Option<DeltaToken>, bool)> {
    match load(conn, table, &key.query_id)? {
        None => Ok((None, false)),
        Some((fingerprint, token)) if fingerprint == key.fingerprint => Ok((Some(token), false)),
        Some(_) => {
            drop(conn, table, Some(&key.query_id))?;
            Ok((None, true))
        }
    }
}

/// Moves a token forward, never back (T-03).
pub(super) fn advance(
    conn: &mut SqliteConnection,
    table: &str,
    key: &QueryKey,
    token: &DeltaToken,
) -> Result<()> {
    let stored = load(conn, table, &key.query_id)?
        .filter(|(fingerprint, _)| *fingerprint == key.fingerprint)
        .map(|(_, token)| token);
    let instant = stored.as_ref().map_or(token.instant, |stored| stored.instant.max(token.instant));
    let server_date = token.server_date.or(stored.and_then(|stored| stored.server_date));
    run(
        conn,
        "INSERT INTO \"__tokens\" (table_name, query_id, fingerprint, instant, server_date)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (table_name, query_id) DO UPDATE SET fingerprint = excluded.fingerprint,
         instant = excluded.instant, server_date = excluded.server_date",
        &[
            table.into(),
            (&key.query_id).into(),
            (&key.fingerprint).into(),
            Bind::instant(Some(instant)),
            Bind::instant(server_date),
        ],
    )
    .or_store()
    .map(|_| ())
}

/// Notes when, by the server's clock, the pull started that came to its end (T-05).
pub(super) fn set_server_date(
    conn: &mut SqliteConnection,
    table: &str,
    key: &QueryKey,
    date: Option<DateTime<Utc>>,
) -> Result<()> {
    if date.is_none() {
        return Ok(());
    }
    run(
        conn,
        "UPDATE \"__tokens\" SET server_date = ? WHERE table_name = ? AND query_id = ? AND fingerprint = ?",
        &[Bind::instant(date), table.into(), (&key.query_id).into(), (&key.fingerprint).into()],
    )
    .or_store()
    .map(|_| ())
}

/// Forgets the tokens of a table, or one of them. What left may be anywhere: the times the server gave are not trusted
/// any more.
pub(crate) fn reset(conn: &mut SqliteConnection, table: &str, query_id: Option<&str>) -> Result<()> {
    drop(conn, table, query_id)?;
    wanted::forget_feed(conn, table, query_id)
}

/// Drops the tokens of a table, or one of them. Rows of these queries are here, so a feed that was never known is no new
/// one.
pub(crate) fn drop(conn: &mut SqliteConnection, table: &str, query_id: Option<&str>) -> Result<()> {
    let (condition, binds) = of_query(table, query_id);
    wanted::settle_feed(conn, &condition, &binds)?;
    run(conn, &format!("DELETE FROM \"__tokens\" WHERE {condition}"), &binds).or_store().map(|_| ())
}

fn load(conn: &mut SqliteConnection, table: &str, query_id: &str) -> Result<Option<(String, DeltaToken)>> {
    let stored = query::<(Text, Text, Nullable<Text>)>(
        "SELECT fingerprint, instant, server_date FROM \"__tokens\" WHERE table_name = ? AND query_id = ?",
        &[table.into(), query_id.into()],
    )
    .get_result::<(String, String, Option<String>)>(conn)
    .optional()
    .or_store()?;
    let Some((fingerprint, instant, server_date)) = stored else { return Ok(None) };
    let read = |text: &str| {
        time::parse(text).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a stored token cannot be read")
                .with_table(table)
                .with_query_id(query_id)
        })
    };
    let token =
        DeltaToken { instant: read(&instant)?, server_date: server_date.as_deref().map(read).transpose()? };
    Ok(Some((fingerprint, token)))
}
