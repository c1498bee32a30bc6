//! What other releases of the app send: the columns noted when the database was opened.
//!
//! An app may drop a field and leave its column in the table; a release of before may open the file beside a newer one.
//! Which of the two it is, nothing in the file says. In both cases the changes of such a column are changes that this
//! release cannot send, and that must not be taken for none.

use std::collections::HashSet;

use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use serde_json::Value as Json;
use sync_core::entity::TableSchema;
use sync_core::error::{Error, ErrorKind, Result};

use crate::failure::OrStore;
use crate::statement::{query, run};
use crate::system;

/// Start of the setting that lists the columns which the release that opened a table last does not send.
const OTHERS: &str = "others:";

/// The columns that the release which opened the table last sends; `None` if none opened it.
pub(crate) fn known(conn: &mut SqliteConnection, table: &str) -> Result<Option<Vec<String>>> {
    query::<Text>("SELECT columns FROM \"__columns\" WHERE table_name = ?", &[table.into()])
        .get_result::<String>(conn)
        .optional()
        .or_store()?
        .map(|text| names(table, &text))
        .transpose()
}

/// The columns that other releases send and this one's entity does not have, whether the table has them or not.
pub(crate) fn unknown(conn: &mut SqliteConnection, table: &TableSchema) -> Result<Vec<String>> {
    let mut unknown = known(conn, table.name)?.unwrap_or_default();
    if let Some(text) = system::setting(conn, &format!("{OTHERS}{}", table.name))? {
        unknown.extend(names(table.name, &text)?);
    }
    let mut seen = HashSet::new();
    unknown.retain(|name| table.column_index(name).is_none() && seen.insert(name.clone()));
    Ok(unknown)
}

/// Those of them that the table has.
pub(crate) fn others(conn: &mut SqliteConnection, table: &TableSchema) -> Result<Vec<String>> {
    let mut others = unknown(conn, table)?;
    if !others.is_empty() {
        let present = present(conn, table.name)?;
        others.retain(|name| present.contains(name));
    }
    Ok(others)
}

/// Names of a table's columns in the database.
pub(crate) fn present(conn: &mut SqliteConnection, table: &str) -> Result<HashSet<String>> {
    let names = query::<Text>("SELECT name FROM pragma_table_info(?)", &[table.into()])
        .load::<String>(conn)
        .or_store()?;
    Ok(names.into_iter().collect())
}

/// Notes what this release sends of the table, and what others do.
pub(crate) fn note(
    conn: &mut SqliteConnection,
    table: &str,
    columns: &[&str],
    others: &[String],
    has_grown: bool,
) -> Result<()> {
    run(
        conn,
        "INSERT INTO \"__columns\" (table_name, columns) VALUES (?, ?)
         ON CONFLICT (table_name) DO UPDATE SET columns = excluded.columns, growths = growths + ?",
        &[table.into(), Json::from(columns).to_string().into(), i64::from(has_grown).into()],
    )
    .or_store()?;
    let others = (!others.is_empty()).then(|| Json::from(others).to_string());
    system::set_setting(conn, &format!("{OTHERS}{table}"), others.as_deref())
}

fn names(table: &str, text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "the list of a table's columns cannot be read")
            .with_table(table)
            .with_source(source)
    })
}
