//! Two entities that refer to each other, and a context without a server.

use std::path::Path;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use sync_core::store::LocalStore;
use sync_diesel::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
pub(crate) struct Todo {
    pub(crate) text: String,
    pub(crate) complete: bool,
    pub(crate) rank: i8,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) weight: Option<f64>,
    pub(crate) urgent: Option<bool>,
    pub(crate) owner: Option<Uuid>,
    #[sync(belongs_to = List)]
    pub(crate) list_id: Option<String>,
}

#[derive(SyncEntity, Clone, Debug, PartialEq)]
pub(crate) struct List {
    pub(crate) name: String,
}

sync_schema!(pub(crate) AppSchema: Todo, List);

impl Todo {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            complete: false,
            rank: 0,
            due_at: None,
            weight: None,
            urgent: None,
            owner: None,
            list_id: None,
        }
    }
}

pub(crate) struct World {
    pub(crate) sync: SyncContext<AppSchema>,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("app.db");
        let mut conn = connect(&file);
        for table in AppSchema::schemas() {
            conn.batch_execute(&create_table_sql(table)).expect("a table");
        }
        let sync = SyncContext::<AppSchema>::builder("http://127.0.0.1:9")
            .dialect(Dialect::MobileApps)
            .database(&file)
            .open()
            .await
            .expect("a context");
        Self { sync, folder }
    }

    /// A context with rows of these ids and entities.
    pub(crate) async fn with(rows: impl IntoIterator<Item = (&'static str, Todo)>) -> Self {
        let world = Self::new().await;
        for (id, todo) in rows {
            world.todos().insert_with_id(id, todo).await.expect("inserted");
        }
        world
    }

    pub(crate) fn todos(&self) -> sync_diesel::SyncTable<Todo> {
        self.sync.table()
    }

    pub(crate) fn connect(&self) -> SqliteConnection {
        connect(&self.folder.path().join("app.db"))
    }

    /// Runs SQL as sync's own write: nothing is captured.
    pub(crate) async fn as_sync(&self, sql: &str) {
        let sql =
            format!("UPDATE \"__control\" SET applying = 1; {sql}; UPDATE \"__control\" SET applying = 0;");
        let store = self.sync.engine().store();
        store.write(move |conn| conn.batch_execute(&sql)).await.expect("the rows are written");
    }

    pub(crate) async fn pending(&self) -> u64 {
        self.sync.engine().store().pending(None).await.expect("counted")
    }
}

fn connect(file: &Path) -> SqliteConnection {
    SqliteConnection::establish(file.to_str().expect("a Unicode path")).expect("a connection")
}

pub(crate) fn ids(rows: &[Record<Todo>]) -> Vec<&str> {
    rows.iter().map(|row| row.id()).collect()
}

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}
