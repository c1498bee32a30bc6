//! The server's own tables: one per entity, and one row with the commit counter.

use diesel::connection::SimpleConnection;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use diesel::{RunQueryDsl, sql_query};
use sync_core::value::{ColumnType, Value};

use super::statement::{Bind, quote};
use crate::error::ServerError;
use crate::table::{Field, Table};

/// The one row with the greatest version and change time ever given out, so that both go on rising after a
/// restart, whatever the clock says and whatever rows are left.
const CLOCK: &str = r#"
    CREATE TABLE IF NOT EXISTS "__server_clock" (
        "one" INTEGER PRIMARY KEY CHECK ("one" = 1),
        "version" INTEGER NOT NULL,
        "millis" INTEGER NOT NULL
    );
    INSERT OR IGNORE INTO "__server_clock" ("one", "version", "millis") VALUES (1, 0, 0);
"#;

/// Name of a property's SQL column.
pub(crate) fn field_name(table: &Table, field: Field) -> &'static str {
    match field {
        Field::Id => "id",
        Field::CreatedAt => "__createdAt",
        Field::UpdatedAt => "__updatedAt",
        Field::Version => "__version",
        Field::Deleted => "__deleted",
        Field::Column(index) => table.columns[index].name,
    }
}

/// The declared type: decides SQLite's affinity, and tells apart what has the same one.
fn declared_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Bool => "INTEGER_BOOL",
        ColumnType::Integer(_) => "INTEGER",
        ColumnType::Float | ColumnType::Double => "REAL",
        ColumnType::DateTime => "INTEGER_TICKS",
        ColumnType::Uuid => "TEXT_UUID",
        _ => "TEXT",
    }
}

/// Makes what is missing: tables, columns, indexes. Nothing is ever dropped or rewritten.
///
/// # Errors
///
/// A column that exists with another type, or a failing database.
pub(crate) fn prepare(connection: &mut SqliteConnection, tables: &[&Table]) -> Result<(), ServerError> {
    connection
        .immediate_transaction(|connection| {
            connection.batch_execute(CLOCK)?;
            tables.iter().try_for_each(|table| prepare_table(connection, table))
        })
        .map_err(|fault| match fault {
            Fault::Database(error) => ServerError::database("the server's tables cannot be prepared", error),
            Fault::Mismatch(message) => ServerError::mismatch(message),
        })
}

/// Why the preparing transaction was rolled back.
enum Fault {
    Database(diesel::result::Error),
    Mismatch(String),
}

impl From<diesel::result::Error> for Fault {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

#[derive(QueryableByName)]
struct ExistingColumn {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared: String,
}

fn prepare_table(connection: &mut SqliteConnection, table: &Table) -> Result<(), Fault> {
    let name = table.schema.name;
    let quoted = quote(name);
    let index = quote(&format!("__server_{name}_changes"));
    connection.batch_execute(&format!(
        r#"CREATE TABLE IF NOT EXISTS {quoted} (
                "id" TEXT PRIMARY KEY NOT NULL,
                "__createdAt" INTEGER_TICKS NOT NULL,
                "__updatedAt" INTEGER_TICKS NOT NULL,
                "__version" TEXT NOT NULL,
                "__deleted" INTEGER_BOOL NOT NULL
            );
            CREATE INDEX IF NOT EXISTS {index} ON {quoted} ("__updatedAt", "id");"#
    ))?;
    let existing: Vec<ExistingColumn> =
        sql_query("SELECT \"name\", \"type\" AS \"declared\" FROM pragma_table_info(?)")
            .bind::<Text, _>(name)
            .load(connection)?;
    for (column, default) in table.columns.iter().zip(&table.defaults) {
        let declared = declared_type(column.ty);
        match existing.iter().find(|found| found.name.eq_ignore_ascii_case(column.name)) {
            Some(found) if found.declared == declared => {}
            Some(found) => {
                return Err(Fault::Mismatch(format!(
                    "column {} of table {name} is {} in the database and {declared} in the schema",
                    column.name, found.declared
                )));
            }
            None => connection.batch_execute(&format!(
                "ALTER TABLE {quoted} ADD COLUMN {} {declared} DEFAULT {}",
                quote(column.name),
                literal(default)
            ))?,
        }
    }
    if let Some(owner) = table.rules.owner() {
        // Pulls of one caller do not walk through the changes of all others.
        let owner = table.columns[owner].name;
        let index = quote(&format!("__server_{name}_of_{owner}"));
        connection.batch_execute(&format!(
            r#"CREATE INDEX IF NOT EXISTS {index} ON {quoted} ({}, "__updatedAt", "id")"#,
            quote(owner)
        ))?;
    }
    Ok(())
}

/// The value for rows older than their column; `ALTER TABLE` takes no bound values.
fn literal(value: &Value) -> String {
    match Bind::from(value) {
        Bind::Null => "NULL".to_owned(),
        Bind::Integer(value) => value.to_string(),
        Bind::Real(value) => format!("{value:?}"),
        Bind::Text(value) => format!("'{}'", value.replace('\'', "''")),
    }
}
