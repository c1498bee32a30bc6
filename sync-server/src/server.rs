//! Opening, embedding and running a server.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use chrono::{DateTime, Utc};
use sync_core::entity::TableSchema;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::access::{Authenticate, CheckedRules, TableRules};
use crate::config::ServerConfig;
use crate::dialect;
use crate::error::ServerError;
use crate::http;
use crate::store::{Clock, Store};
use crate::table::Table;

/// Tables in an open database, ready to be served.
///
/// Cheap to clone; all clones share the database. The file is closed when the last clone and the last router
/// made from one are gone.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What every request reads.
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) authentication: Option<Box<dyn Authenticate>>,
    pub(crate) store: Store,
    /// By name in lower case: clients may write a table's name in any case.
    pub(crate) tables: HashMap<String, Arc<Table>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("store", &self.store)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

/// Collects what [`Server`] needs; made by [`Server::builder`].
#[must_use = "nothing is served before `open`"]
pub struct ServerBuilder {
    schemas: Vec<&'static TableSchema>,
    config: ServerConfig,
    soft_delete: Vec<(String, bool)>,
    authentication: Option<Box<dyn Authenticate>>,
    default_rules: TableRules,
    rules: Vec<(String, TableRules)>,
    clock: Clock,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("soft_delete", &self.soft_delete)
            .field("has_authentication", &self.authentication.is_some())
            .field("default_rules", &self.default_rules)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// A server on a port of its own, stopped by [`shutdown`](Self::shutdown). Dropping it stops it at once, in
/// the middle of requests; what was answered is safe.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct RunningServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Server {
    /// A server of these tables with the default [`ServerConfig`].
    pub fn builder(tables: impl IntoIterator<Item = &'static TableSchema>) -> ServerBuilder {
        ServerBuilder {
            schemas: tables.into_iter().collect(),
            config: ServerConfig::default(),
            soft_delete: Vec::new(),
            authentication: None,
            default_rules: TableRules::default(),
            rules: Vec::new(),
            clock: Arc::new(|| Utc::now().timestamp_millis()),
        }
    }

    /// The routes `/tables/..`, to be nested or merged into an app's own router and wrapped in its layers.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.shared))
    }

    /// Serves until `stop` is done, then finishes the requests under way.
    ///
    /// # Errors
    ///
    /// The listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServerError> {
        // Small answers must not wait for more to send.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps Nagle's algorithm");
            }
        });
        axum::serve(listener, self.router().fallback(http::not_found))
            .with_graceful_shutdown(stop)
            .into_future()
            .await
            .map_err(|error| ServerError::network("the listener failed", error))
    }

    /// Serves on an address in the background; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn start(&self, address: impl ToSocketAddrs) -> Result<RunningServer, ServerError> {
        let bind = |error| ServerError::network("the address cannot be bound", error);
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(self.clone().serve(listener, async {
            // A dropped handle counts as a wish to stop.
            let _ = stopped.await;
        }));
        Ok(RunningServer { address, stop: Some(stop), task })
    }
}

impl ServerBuilder {
    /// Replaces the whole configuration.
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Whether one table keeps its deleted rows, instead of [`ServerConfig::soft_delete`].
    pub fn soft_delete(mut self, table: impl Into<String>, keep: bool) -> Self {
        self.soft_delete.push((table.into(), keep));
        self
    }

    /// Who tells callers by their credentials. Default nobody: credentials are not looked at, and every request is
    /// anonymous.
    pub fn authenticate(mut self, authentication: impl Authenticate + 'static) -> Self {
        self.authentication = Some(Box::new(authentication));
        self
    }

    /// Who may do what to one table, instead of the [default rules](Self::default_rules).
    pub fn rules(mut self, table: impl Into<String>, rules: TableRules) -> Self {
        self.rules.push((table.into(), rules));
        self
    }

    /// Who may do what to the tables that have no [`rules`](Self::rules) of their own. Default: everyone everything.
    pub fn default_rules(mut self, rules: TableRules) -> Self {
        self.default_rules = rules;
        self
    }

    /// The clock of change times. Default the system's. They rise in the order of changes whatever it says.
    pub fn clock(mut self, now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(move || now().timestamp_millis());
        self
    }

    /// Opens or creates the database file and makes missing tables, columns and indexes in it.
    ///
    /// # Errors
    ///
    /// Tables or configuration that cannot be served, a file that cannot be opened, or a table in it that does
    /// not fit its schema. No table was changed then.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Server, ServerError> {
        let path: PathBuf = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || self.open_blocking(&path)).await;
        let shared = opened.map_err(|error| ServerError::database("opening was interrupted", error))??;
        Ok(Server { shared: Arc::new(shared) })
    }

    fn open_blocking(self, path: &Path) -> Result<Shared, ServerError> {
        let config = self.config;
        let counts = [
            config.page_size,
            config.datasync_page_size,
            config.max_top,
            config.page_cap.unwrap_or(1),
            config.readers,
        ];
        if counts.contains(&0) {
            return Err(ServerError::configuration(
                "page_size, datasync_page_size, max_top, page_cap and readers must be greater than 0",
            ));
        }
        let mut tables: HashMap<String, Arc<Table>> = HashMap::new();
        for schema in self.schemas {
            let is_this = |name: &str| name.to_lowercase() == schema.name.to_lowercase();
            let soft_delete = self.soft_delete.iter().rfind(|(name, _)| is_this(name));
            let mut table = Table::new(schema, soft_delete.map_or(config.soft_delete, |(_, keep)| *keep))?;
            let rules = self.rules.iter().rfind(|(name, _)| is_this(name));
            let rules = rules.map_or(&self.default_rules, |(_, rules)| rules).clone();
            table.rules = CheckedRules::new(rules, &table, self.authentication.is_some())?;
            dialect::check(&table, config.dialect)?;
            if tables.insert(schema.name.to_lowercase(), Arc::new(table)).is_some() {
                return Err(ServerError::configuration(format!("two tables are named {}", schema.name)));
            }
        }
        let is_unknown = |name: &&String| !tables.contains_key(&name.to_lowercase());
        if let Some(name) = self.soft_delete.iter().map(|(name, _)| name).find(is_unknown) {
            return Err(ServerError::configuration(format!("soft_delete names an unknown table, {name}")));
        }
        if let Some(name) = self.rules.iter().map(|(name, _)| name).find(is_unknown) {
            return Err(ServerError::configuration(format!("rules name an unknown table, {name}")));
        }
        let list: Vec<&Table> = tables.values().map(AsRef::as_ref).collect();
        let store = Store::open(path, &list, config.readers, self.clock)?;
        Ok(Shared { config, authentication: self.authentication, store, tables })
    }
}

impl Shared {
    /// The table with this name in any case.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(&name.to_lowercase())
    }
}

impl RunningServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address for clients, `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening, finishes the requests under way and waits for that.
    ///
    /// # Errors
    ///
    /// The listener had failed before.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        drop(self.stop.take());
        (&mut self.task)
            .await
            .map_err(|error| ServerError::network("the server task was interrupted", error))?
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
