//! Indexes by which a push finds the operations of rows that mention a row (P-21).
//!
//! What a row mentioned on the server, and in a request whose outcome is unknown, stands in the JSON of its base, of
//! its kept row and of what was sent. For each column with `belongs_to` there is an index on that member in each of
//! the three places, over the rows of its table only: other tables pay nothing for it.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::entity::TableSchema;
use sync_core::error::Result;
use sync_core::operation::Relations;

use super::parking::IS_PARKED;
use crate::failure::OrStore;
use crate::statement::{literal, query, quote};

/// System table, its column, and a word for the index's name.
const PLACES: [(&str, &str, &str); 3] =
    [("__shadow", "item", "base"), ("__operations", "item", "kept"), ("__operations", "sent_item", "sent")];

/// SQL expression: the member in a JSON column.
fn member(json: &str, column: &str) -> String {
    let path = format!("$.\"{}\"", column.replace('"', "\\\""));
    format!("json_extract({json}, {})", literal(&path))
}

/// Condition of the index, which a query must repeat word by word.
fn scope(table: &str, system: &str, json: &str) -> String {
    let of_table = format!("table_name = {}", literal(table));
    // Of a column that is never null SQLite drops the second test, and with it the proof that the index applies.
    if system == "__shadow" { of_table } else { format!("{of_table} AND {json} IS NOT NULL") }
}

fn index_name(word: &str, table: &TableSchema, column: &str) -> String {
    format!("__sync_{word}_{}_{column}", table.name)
}

/// Makes the indexes of these tables, and removes those of relations that are no longer declared.
pub(crate) fn install(conn: &mut SqliteConnection, tables: &[&'static TableSchema]) -> Result<()> {
    let relations = Relations::new(tables);
    let mut wanted: Vec<(String, String)> = Vec::new();
    for table in tables {
        for column in relations.reference_columns(table.name) {
            let column = table.columns[column].name;
            for (system, json, word) in PLACES {
                let name = index_name(word, table, column);
                let sql = format!(
                    "CREATE INDEX {} ON \"{system}\" ({}) WHERE {}",
                    quote(&name),
                    member(json, column),
                    scope(table.name, system, json)
                );
                wanted.push((name, sql));
            }
        }
    }
    let existing = query::<(Text, Text)>(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND substr(name, 1, 7) = '__sync_'",
        &[],
    )
    .load::<(String, String)>(conn)
    .or_store()?;
    for (name, _) in existing.iter().filter(|index| !wanted.contains(index)) {
        conn.batch_execute(&format!("DROP INDEX {}", quote(name))).or_store()?;
    }
    for (_, sql) in wanted.iter().filter(|index| !existing.contains(index)) {
        conn.batch_execute(sql).or_store()?;
    }
    Ok(())
}

/// SQL: id, kind, place, state, taker and whether it is parked, of the operations of rows of `table` that mention a row in a column, on the
/// server or in what was sent; the last of the queue first. Binds the row's id three times.
pub(super) fn referring_sql(table: &TableSchema, column: usize) -> String {
    let column = table.columns[column].name;
    // Without statistics SQLite takes the index on the table's name, and reads every operation of the table.
    let places = PLACES.map(|(system, json, word)| {
        format!(
            "SELECT item_id FROM \"{system}\" INDEXED BY {} WHERE {} = ? AND {}",
            quote(&index_name(word, table, column)),
            member(json, column),
            scope(table.name, system, json)
        )
    });
    format!(
        "SELECT item_id, kind, seq, state, taken_by, {IS_PARKED} FROM \"__operations\" WHERE table_name = {} \
         AND item_id IN ({}) ORDER BY seq DESC",
        literal(table.name),
        places.join(" UNION ")
    )
}
