//! The record of resolutions.

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::operation::{FailureClass, OperationKind};
use sync_core::store::{Failure, MAX_RESOLUTIONS, Resolution, ResolutionKind, ResolutionRecord, Resolver};

use super::record::QueuedOperation;
use crate::failure::OrStore;
use crate::statement::{query, run};
use crate::synced::{SyncedTable, Tables};

/// Notes a resolution of an operation that stands as it is before it; the oldest ones go.
pub(super) fn remember(
    conn: &mut SqliteConnection,
    table: &SyncedTable,
    operation: &QueuedOperation,
    failure: &Failure,
    resolution: &Resolution,
    by: Resolver,
) -> Result<()> {
    let Some(decision) = resolution.kind() else { return Ok(()) };
    run(
        conn,
        "INSERT INTO \"__resolutions\" (number, at_seq, table_name, item_id, kind, class, status, decision, decided_by,
         base_version, remote_version)
         VALUES ((SELECT coalesce(max(number), 0) + 1 FROM \"__resolutions\"),
         (SELECT last_seq FROM \"__control\" WHERE id = 1), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            table.schema.name.into(),
            (&operation.item_id).into(),
            operation.kind.into(),
            failure.class.as_str().into(),
            failure.status.map(i64::from).into(),
            decision.as_str().into(),
            by.as_str().into(),
            (&operation.base_version).into(),
            failure.remote.as_ref().and_then(|remote| remote.version.as_deref()).into(),
        ],
    )
    .or_store()?;
    run(
        conn,
        "DELETE FROM \"__resolutions\"
         WHERE number <= (SELECT max(number) FROM \"__resolutions\") - ?",
        &[i64::from(MAX_RESOLUTIONS).into()],
    )
    .or_store()
    .map(|_| ())
}

type Columns = (
    (BigInt, BigInt, Text, Text, BigInt),
    (Text, Nullable<BigInt>, Text, Text, Nullable<Text>, Nullable<Text>),
);
type Stored =
    ((i64, i64, String, String, i64), (String, Option<i64>, String, String, Option<String>, Option<String>));

/// The remembered resolutions, the oldest first. Those of a table that is no longer in the schema stay out of sight.
pub(crate) fn resolutions(conn: &mut SqliteConnection, tables: &Tables) -> Result<Vec<ResolutionRecord>> {
    let stored = query::<Columns>(
        "SELECT number, at_seq, table_name, item_id, kind, class, status, decision, decided_by, base_version,
         remote_version FROM \"__resolutions\" ORDER BY number",
        &[],
    )
    .load::<Stored>(conn)
    .or_store()?;
    let mut records = Vec::with_capacity(stored.len());
    for (
        (number, at_seq, table, item_id, kind),
        (class, status, decision, by, base_version, remote_version),
    ) in stored
    {
        let Some(table) = tables.find(&table) else { continue };
        let unknown = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("a remembered resolution has an unknown {what}"))
                .with_table(table.schema.name)
                .with_item(&item_id)
        };
        let operation = OperationKind::parse(kind).ok_or_else(|| unknown("kind"))?;
        let class = FailureClass::parse(&class).ok_or_else(|| unknown("class"))?;
        let decision = ResolutionKind::parse(&decision).ok_or_else(|| unknown("decision"))?;
        let by = Resolver::parse(&by).ok_or_else(|| unknown("resolver"))?;
        records.push(ResolutionRecord {
            number,
            at_seq,
            table: table.schema.name,
            item_id,
            operation,
            class,
            status: status.and_then(|status| u16::try_from(status).ok()),
            decision,
            by,
            base_version,
            remote_version,
        });
    }
    Ok(records)
}
