//! A table, a database file, and short words for looking at both.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, RunQueryDsl};
use sync_core::diesel::DieselEntity;
use sync_core::entity::{ColumnSchema, SyncEntity, TableSchema};
use sync_core::error::{Error, Result};
use sync_core::operation::{Operation, OperationKind, OperationState, ServerMayHold};
use sync_core::page::PageSummary;
use sync_core::predicate::{Node, codec};
use sync_core::protocol::Dialect;
use sync_core::row::Row;
use sync_core::store::{Applied, LocalStore, Page, PullBatch, PullScope, QueryKey};
use sync_core::value::{ColumnType, IntegerWidth, Value};
use sync_diesel::DatabaseOptions;
use sync_diesel::DieselStore;
use sync_diesel::schema::{TableEntry, create_table_sql};
use tempfile::TempDir;

const fn column(name: &'static str, ty: ColumnType, nullable: bool) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(nullable)
}

pub(crate) static TODO: TableSchema = TableSchema {
    name: "Todo",
    columns: &[
        column("text", ColumnType::Text, false),
        column("complete", ColumnType::Bool, false).with_default(Some("0")),
        column("rank", ColumnType::Integer(IntegerWidth::I8), true),
        column("n", ColumnType::Integer(IntegerWidth::I64), true),
        column("due", ColumnType::DateTime, true),
        column("single", ColumnType::Float, true),
        column("double", ColumnType::Double, true),
        column("owner", ColumnType::Uuid, true),
        column("note", ColumnType::Text, true).with_local(true),
    ],
    versioned: true,
    keep_deleted: false,
};

diesel::table! {
    #[sql_name = "Todo"]
    todo (id) {
        id -> Text,
        #[sql_name = "__version"]
        version -> Nullable<Text>,
        #[sql_name = "__updatedAt"]
        updated_at -> Nullable<TimestamptzSqlite>,
        #[sql_name = "__deleted"]
        deleted -> Bool,
        text -> Text,
        complete -> Bool,
    }
}

/// The entity of [`TODO`]; rows are looked at as data.
pub(crate) struct Todo;

impl SyncEntity for Todo {
    const SCHEMA: &'static TableSchema = &TODO;

    fn to_values(&self) -> Vec<Value> {
        Vec::new()
    }

    fn from_row(_: &Row) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl DieselEntity for Todo {
    type Table = todo::table;
    type Id = todo::id;
    type System = (todo::id, todo::version, todo::updated_at, todo::deleted);

    fn table() -> todo::table {
        todo::table
    }
}

pub(crate) static TABLES: &[TableEntry] = &[TableEntry::of::<Todo>()];

/// A store on a file of its own, with the table.
pub(crate) struct Fixture {
    pub(crate) store: DieselStore,
    pub(crate) directory: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = open(&directory.path().join("app.db")).await.expect("a store");
        Self { store, directory }
    }

    /// A store whose table was made by other words than [`create_table_sql`]'s.
    pub(crate) async fn with_table(words: impl FnOnce(String) -> String) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("app.db");
        let (plain, create) = (create_table_sql(&TODO), words(create_table_sql(&TODO)));
        assert_ne!(plain, create, "other words");
        connect(&path).batch_execute(&create).expect("the table");
        let store = open(&path).await.expect("a store");
        Self { store, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    /// A connection that is not the store's, as another process has it.
    pub(crate) fn other(&self, recursive_triggers: bool) -> SqliteConnection {
        let mut connection = connect(&self.path());
        let mode = if recursive_triggers { "ON" } else { "OFF" };
        connection.batch_execute(&format!("PRAGMA recursive_triggers = {mode}")).expect("a pragma");
        connection
    }

    /// Runs SQL in one write transaction of the store.
    pub(crate) async fn sql(&self, text: &str) -> Result<()> {
        let text = text.to_owned();
        self.store.write(move |conn| conn.batch_execute(&text)).await
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let text = format!("SELECT count(*) AS value FROM {from}");
        self.number(&text).await
    }

    pub(crate) async fn number(&self, text: &str) -> i64 {
        let text = text.to_owned();
        self.store
            .read(move |conn| diesel::sql_query(text).get_result::<Number>(conn))
            .await
            .expect("a number")
            .value
    }

    pub(crate) async fn row(&self, id: &str) -> Option<Row> {
        self.store.get(&TODO, id).await.expect("a read")
    }

    pub(crate) async fn text(&self, id: &str) -> Option<Value> {
        self.row(id).await.and_then(|row| row.values[0].clone())
    }

    pub(crate) async fn operations(&self) -> Vec<Operation> {
        self.store.operations(None).await.expect("a read")
    }

    /// Kind, state, mark and base of the row's operation.
    pub(crate) async fn operation(
        &self,
        id: &str,
    ) -> Option<(OperationKind, OperationState, ServerMayHold, Option<String>)> {
        let operations = self.operations().await;
        let operation = operations.into_iter().find(|operation| operation.key.item_id == id)?;
        Some((operation.kind, operation.state, operation.server_may_hold, operation.base_version))
    }

    /// Stores rows as a pull does.
    pub(crate) async fn pull(&self, rows: &[String]) -> Applied {
        let batch = batch(&format!("[{}]", rows.join(",")));
        self.store.apply_pages(batch).await.expect("pages are stored")
    }

    /// A clean row in version `v1`.
    pub(crate) async fn pulled(&self, id: &str, text: &str) {
        self.pull(&[json(id, text, "v1")]).await;
        assert!(self.operation(id).await.is_none());
    }

    /// Nothing is queued or kept for any row.
    pub(crate) async fn assert_clean(&self) {
        for table in ["__operations", "__errors", "__shadow", "__newer", "__replaced"] {
            assert_eq!(self.count(table).await, 0, "{table}");
        }
    }
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    value: i64,
}

pub(crate) fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().expect("a Unicode path")).expect("a connection")
}

/// Opens a store, making the table if the file is new.
pub(crate) async fn open(path: &Path) -> Result<DieselStore> {
    DieselStore::open_with(path, TABLES, DatabaseOptions::default(), |conn| {
        let create = create_table_sql(&TODO).replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
        conn.batch_execute(&create).map_err(|source| {
            Error::new(sync_core::ErrorKind::Store, "the table cannot be made").with_source(source)
        })
    })
    .await
}

pub(crate) fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.to_owned()))
}

pub(crate) fn json(id: &str, text: &str, version: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"text\":\"{text}\",\"complete\":false,\"rank\":1,\"n\":2,\
         \"due\":\"2024-01-02T03:04:05.678Z\",\"single\":0.5,\"double\":1.5,\
         \"owner\":\"00000000-0000-0000-0000-00000000000a\",\"version\":\"{version}\",\
         \"updatedAt\":\"2024-01-01T00:00:00.000Z\",\"deleted\":false}}"
    )
}

/// The start of a pull of every row.
pub(crate) fn scope(table: &'static TableSchema, query: Option<QueryKey>) -> PullScope {
    PullScope { table, query, wanted: codec::encode(&Node::ALWAYS), mirror: false }
}

pub(crate) fn batch(body: &str) -> PullBatch {
    let names = Dialect::MobileApps.names();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let summary = PageSummary::scan(&body, names).expect("a page");
    PullBatch { pages: vec![Page { body, summary, names }], ..PullBatch::new(&TODO) }
}
