//! The entities of the suite, and devices that keep them.

use std::path::Path;

use chrono::{DateTime, Utc};
use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use sync_diesel::prelude::*;

use crate::servers::{ServerUnderTest, test_window};

/// The suite's row, in table `TodoItem`.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
pub struct Todo {
    /// Text.
    pub text: String,
    /// Boolean.
    pub complete: bool,
    /// Integer.
    pub n: Option<i64>,
    /// Float.
    pub price: Option<f64>,
    /// Instant.
    pub due_at: Option<DateTime<Utc>>,
    /// The case a row belongs to, where cases share a server.
    pub batch: Option<String>,
}

impl Todo {
    /// A row with this text and nothing else.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), complete: false, n: None, price: None, due_at: None, batch: None }
    }

    /// The same row in a batch.
    #[must_use]
    pub fn in_batch(mut self, batch: impl Into<String>) -> Self {
        self.batch = Some(batch.into());
        self
    }
}

/// An entity whose table no server of the suite has.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "NoSuchTable")]
pub struct Unknown {
    /// Text.
    pub text: String,
}

/// The suite's row in an app that is ahead of its server: a column is not in the server's table.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
pub struct TodoAhead {
    /// Text.
    pub text: String,
    /// The case a row belongs to.
    pub batch: Option<String>,
    /// What no server of the suite has.
    pub not_there_yet: Option<String>,
}

sync_schema!(pub Schema: Todo, Unknown);
sync_schema!(pub SchemaAhead: TodoAhead);

/// Opens a device of an app that is ahead of its server, on a new database.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn open_ahead(server: &ServerUnderTest, database: &Path) -> SyncContext<SchemaAhead> {
    let file = database.to_str().expect("the path of a database is text");
    let mut connection = SqliteConnection::establish(file).expect("the database opens");
    for table in SchemaAhead::schemas() {
        connection.batch_execute(&create_table_sql(table)).expect("the table can be made");
    }
    let builder = SyncContext::<SchemaAhead>::builder(server.url()).dialect(server.dialect());
    builder.profile(server.profile()).database(database).open().await.expect("the device opens")
}

/// The app before it knew more than texts.
pub mod before {
    use sync_diesel::prelude::*;

    /// The first release of [`super::Todo`].
    #[derive(SyncEntity, Clone, Debug, PartialEq)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub struct Todo {
        /// Text.
        pub text: String,
    }

    sync_schema!(pub Schema: Todo);
}

/// Makes the suite's tables in a device's database if they are missing.
///
/// # Panics
///
/// When the file cannot be written.
pub fn make_tables(database: &Path) {
    let file = database.to_str().expect("the path of a database is text");
    let mut connection = SqliteConnection::establish(file).expect("the database opens");
    connection.batch_execute("PRAGMA busy_timeout = 10000").expect("the pragma is known");
    let exists = connection.batch_execute("SELECT 1 FROM \"TodoItem\" LIMIT 1").is_ok();
    if exists {
        return;
    }
    for table in Schema::schemas() {
        connection.batch_execute(&create_table_sql(table)).expect("the table can be made");
    }
}

/// A builder for a device on `database` against `url`, with the tables made; it pushes with [`test_window`].
pub fn device(url: &str, database: &Path) -> sync_diesel::Builder<Schema> {
    make_tables(database);
    let builder = SyncContext::<Schema>::builder(url).dialect(Dialect::MobileApps).database(database);
    builder.window(test_window())
}

/// Opens a device with the default settings.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn open(url: &str, database: &Path) -> SyncContext<Schema> {
    device(url, database).open().await.expect("the device opens")
}
