//! `sync-server` in this process.

use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::profile::ServerProfile;
use sync_core::protocol::Dialect;
use sync_core::value::{ColumnType, IntegerWidth};
use sync_server::{RunningServer, Server, ServerConfig};
use tempfile::TempDir;

use super::{ServerUnderTest, Storage, TABLE};

/// The suite's table as the Node server has it: every column may be null.
pub static TODO_ITEM: TableSchema = TableSchema {
    name: TABLE,
    columns: &[
        column("text", ColumnType::Text),
        column("complete", ColumnType::Bool),
        column("n", ColumnType::Integer(IntegerWidth::I64)),
        column("price", ColumnType::Double),
        column("dueAt", ColumnType::DateTime),
        column("batch", ColumnType::Text),
    ],
    versioned: true,
    keep_deleted: true,
};

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true)
}

/// A `sync-server` with the suite's table, on a free loopback port and a database of its own. It ends with this
/// value.
#[derive(Debug)]
pub struct SyncServerFixture {
    server: ServerUnderTest,
    // Before the folder, so that the server ends first.
    _running: RunningServer,
    _directory: TempDir,
}

impl SyncServerFixture {
    /// A server of the v2 dialect, as the Node server is one: pages of up to 1000 rows.
    pub async fn start() -> Self {
        Self::with_config(Self::mobile_apps()).await
    }

    /// A server that speaks every dialect, by the version each request names.
    pub async fn of_every_dialect() -> Self {
        Self::with_config(ServerConfig::default()).await
    }

    /// A server that speaks every dialect, for clients of this one.
    pub async fn for_clients_of(dialect: Dialect) -> Self {
        let fixture = Self::of_every_dialect().await;
        Self { server: fixture.server.for_clients_of(dialect), ..fixture }
    }

    /// A server of the v2 dialect, for clients that push with so many requests in flight.
    pub async fn for_clients_with_window(window: usize) -> Self {
        let fixture = Self::start().await;
        Self { server: fixture.server.for_clients_with_window(window), ..fixture }
    }

    fn mobile_apps() -> ServerConfig {
        ServerConfig { dialect: Some(Dialect::MobileApps), ..ServerConfig::default() }
    }

    /// A server that sends no more than so many rows at once, without a link to the next page: a client finds out
    /// by asking on.
    pub async fn with_page_cap(rows: usize) -> Self {
        Self::with_config(ServerConfig { page_cap: Some(rows), links: false, ..Self::mobile_apps() }).await
    }

    /// A server with this configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub async fn with_config(config: ServerConfig) -> Self {
        let directory = TempDir::new().expect("a temporary folder can be made");
        let file = directory.path().join("server.db");
        let largest_page = config.page_cap.unwrap_or(1000);
        let server =
            Server::builder([&TODO_ITEM]).config(config).open(&file).await.expect("the server opens");
        let running = server.start("127.0.0.1:0").await.expect("the server starts");
        let server = ServerUnderTest::new(
            running.address().to_string(),
            Storage::Ours(file),
            largest_page,
            ServerProfile::sync_server(),
        );
        Self { server, _running: running, _directory: directory }
    }
}

impl AsRef<ServerUnderTest> for SyncServerFixture {
    fn as_ref(&self) -> &ServerUnderTest {
        &self.server
    }
}
