//! [`SyncContext`]: one local database, one server, the entities between them.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use diesel::sqlite::SqliteConnection;
use diesel_migrations::EmbeddedMigrations;
use sync_core::client::{
    CredentialHeader, CredentialProvider, Credentials, HttpClient, HttpOptions, TokioTimer,
};
use sync_core::engine::{self, Cancellation, Engine, PullReport, PullRequest, PushOptions};
use sync_core::entity::SyncEntity;
use sync_core::expression::IntoExpr;
use sync_core::handler::{Handler, HandlerChain};
use sync_core::operation::{Operation, OperationError};
use sync_core::predicate::Predicate;
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Dialect, Endpoint, ProbeReport, RequestBuilder};
use sync_core::remote::Remote;
use sync_core::store::{LocalStore, OtherAccount, Purged, Resolution};
use sync_core::transport::Transport;
use sync_core::{Error, ErrorKind, Result};

use crate::conflict::{Conflict, Handlers, Resolve};
use crate::connection::DatabaseOptions;
use crate::migration;
use crate::remote::RemoteTable;
use crate::schema::SyncSchema;
use crate::store::DieselStore;
use crate::table::SyncTable;

pub use self::push::Push;

mod push;

/// A local database that is kept in step with a server.
///
/// Reads and writes are local and never wait for the network. Every local change, by typed calls or by any Diesel
/// statement, is queued in the transaction that makes it. [`push`](Self::push) sends the queue,
/// [`pull`](Self::pull) brings changes down. Opening sends nothing.
///
/// Cloning is cheap and shares everything. Push, pull and purge of one database run one after another, also when several
/// contexts or processes have it open; reads and writes never wait for them. A process forked while a context is open
/// must not use it (Z-13).
pub struct SyncContext<A> {
    engine: Arc<Engine<DieselStore>>,
    remote: Remote,
    defaults: Defaults,
    schema: PhantomData<fn() -> A>,
}

#[derive(Clone, Copy, Debug)]
struct Defaults {
    page_size: u32,
    window: usize,
}

/// Settings of a [`SyncContext`]; made by [`SyncContext::builder`].
#[must_use = "nothing is opened before `open`"]
pub struct Builder<A> {
    url: String,
    dialect: Option<Dialect>,
    profile: ServerProfile,
    database: Option<PathBuf>,
    migrations: Option<EmbeddedMigrations>,
    store: DatabaseOptions,
    http: HttpOptions,
    transport: Option<Arc<dyn Transport>>,
    around: Vec<Arc<dyn Handler>>,
    credentials: Option<(Arc<dyn CredentialProvider>, Option<CredentialHeader>)>,
    handlers: Handlers,
    account: Option<String>,
    other_account: OtherAccount,
    tells_features: bool,
    sends_idempotency_keys: bool,
    defaults: Defaults,
    schema: PhantomData<fn() -> A>,
}

impl<A: SyncSchema> SyncContext<A> {
    /// Starts a context for the service at `url`; its tables are below `url/tables/`.
    pub fn builder(url: impl Into<String>) -> Builder<A> {
        Builder {
            url: url.into(),
            dialect: None,
            profile: ServerProfile::conservative(),
            database: None,
            migrations: None,
            store: DatabaseOptions::default(),
            http: HttpOptions::default(),
            transport: None,
            around: Vec::new(),
            credentials: None,
            handlers: Handlers::default(),
            account: None,
            other_account: OtherAccount::Refuse,
            tells_features: false,
            sends_idempotency_keys: false,
            defaults: Defaults { page_size: 1000, window: 1 },
            schema: PhantomData,
        }
    }

    /// The typed calls on one entity's local table.
    pub fn table<E: SyncEntity>(&self) -> SyncTable<E> {
        SyncTable::new(Arc::clone(self.engine.store()))
    }

    /// Calls on one entity's table on the server, without the local database. See [`RemoteTable`].
    pub fn remote<E: SyncEntity>(&self) -> RemoteTable<E> {
        RemoteTable::new(self.remote.clone())
    }

    /// Runs local reads in one snapshot of the database. The connection refuses to write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] with the closure's error as its source.
    pub async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
    {
        self.engine.store().read(read).await
    }

    /// Runs local writes in one transaction: all of them with their operations, or nothing.
    ///
    /// An error of the closure rolls everything back. Dropping the future does not interrupt the closure: it
    /// still happens whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] with the closure's error as its source; [`ErrorKind::InvalidId`] and
    /// [`ErrorKind::InvalidValue`] for rows that could never be sent.
    pub async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
    {
        self.engine.store().write(write).await
    }

    /// Sends the queued operations, in order. See [`Push`] for options.
    pub fn push(&self) -> Push<'_, A> {
        Push::new(self, self.push_defaults())
    }

    /// Brings down what changed since the last pull of this query id and matches `filter`; pushes first if the
    /// entity has pending operations. See [`Pull`] for options.
    ///
    /// A query id is a name of 1 to 255 characters; the token that makes the pull incremental is kept under table
    /// and query id. Changing the filter under the same id starts anew.
    pub fn pull<E: SyncEntity>(
        &self,
        query_id: impl Into<String>,
        filter: impl IntoExpr<E, bool>,
    ) -> Pull<'_, A> {
        self.new_pull(Some(query_id.into()), filter.into_expr().into())
    }

    /// Brings down everything that matches `filter`, each time; keeps no token. Pushes first like
    /// [`pull`](Self::pull).
    pub fn pull_all<E: SyncEntity>(&self, filter: impl IntoExpr<E, bool>) -> Pull<'_, A> {
        self.new_pull(None, filter.into_expr().into())
    }

    /// Removes matching local rows; sends nothing. Refused while the entity has pending operations, unless
    /// [`force`](PurgeRows::force) drops those of the removed rows.
    pub fn purge<E: SyncEntity>(&self, filter: impl IntoExpr<E, bool>) -> PurgeRows<'_, A> {
        PurgeRows { context: self, predicate: filter.into_expr().into(), force: false }
    }

    /// Finds out which dialects the server speaks, by at most three GETs of one row of this entity's table. Changes
    /// nothing, here or there.
    ///
    /// A pull does this by itself when its first answer proves nothing, and fails with
    /// [`ErrorKind::WrongDialect`] if the server does not speak the dialect of this context.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownTable`], [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`],
    /// [`ErrorKind::Network`]; [`ErrorKind::InvalidResponse`] when this is no tables server.
    pub async fn probe<E: SyncEntity>(&self) -> Result<ProbeReport> {
        self.engine.probe(E::SCHEMA).await
    }

    /// Number of operations that wait for a push, in every state.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn pending(&self) -> Result<u64> {
        self.engine.store().pending(None).await
    }

    /// The queued operations of all tables, in order.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn pending_operations(&self) -> Result<Vec<Operation>> {
        self.engine.store().operations(None).await
    }

    /// The recorded errors of operations: conflicts and refusals that wait for a decision. They survive a
    /// restart.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn errors(&self) -> Result<Vec<OperationError>> {
        self.engine.store().errors(None).await
    }

    /// Decides about a recorded error; works without network.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OperationChanged`] when the row was changed or the error resolved since it was read.
    pub async fn resolve<E: SyncEntity>(&self, error: &OperationError, decision: Resolve<E>) -> Result<()> {
        if error.key.table != E::SCHEMA.name {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the error belongs to another entity's table",
            )
            .with_table(error.key.table));
        }
        let resolution = match decision {
            Resolve::KeepLocal => Resolution::KeepLocal,
            Resolve::TakeRemote => Resolution::TakeRemote,
            Resolve::Merge(entity) => Resolution::Merge(crate::conflict::merged(&entity, &error.key.item_id)),
            Resolve::Leave | Resolve::Abort => Resolution::Leave,
        };
        self.engine.store().resolve(error.key.clone(), resolution).await
    }

    /// Closes the context and its database, with all clones: a push or pull under way is asked to end, its outcome is
    /// stored, and what is being read and written is finished. Every later call fails with [`ErrorKind::Closed`].
    ///
    /// Dropping all clones instead is safe as well: a dropped push leaves its operation uncertain, and the next one
    /// settles it.
    pub async fn close(&self) {
        self.engine.close().await;
        self.engine.store().close().await;
    }

    /// The engine below, for untyped calls.
    pub fn engine(&self) -> &Arc<Engine<DieselStore>> {
        &self.engine
    }

    fn push_defaults(&self) -> PushOptions {
        PushOptions { window: self.defaults.window, ..PushOptions::default() }
    }

    fn new_pull(&self, query_id: Option<String>, predicate: Predicate) -> Pull<'_, A> {
        let mut request = PullRequest::new(query_id, predicate);
        request.page_size = self.defaults.page_size;
        request.push = self.push_defaults();
        Pull { context: self, request }
    }
}

impl<A: SyncSchema> Builder<A> {
    /// The generation of the protocol the server speaks. Required: it cannot be guessed safely, but
    /// [`probe`](Self::probe) finds it out.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// What the server is trusted with. Default: [`ServerProfile::conservative`], right on every server but for
    /// reviving deleted rows on `Microsoft.AspNetCore.Datasync`, which needs [`ServerProfile::datasync`].
    pub fn profile(mut self, profile: ServerProfile) -> Self {
        self.profile = profile;
        self
    }

    /// The SQLite file; made if missing. Required.
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.database = Some(path.as_ref().to_owned());
        self
    }

    /// Migrations to run at open: `embed_migrations!`.
    pub fn migrations(mut self, migrations: EmbeddedMigrations) -> Self {
        self.migrations = Some(migrations);
        self
    }

    /// Settings of the local database. Default: full durability.
    pub fn database_options(mut self, options: DatabaseOptions) -> Self {
        self.store = options;
        self
    }

    /// Settings of the HTTP client.
    pub fn http(mut self, options: HttpOptions) -> Self {
        self.http = options;
        self
    }

    /// Sends requests through this transport instead of the HTTP client, handlers and credentials around it.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Puts a handler around every request of sync and of direct calls. Handlers stand in the order they are given,
    /// the first outermost; see [`sync_core::handler`] for what one may do.
    ///
    /// ```
    /// # use sync_diesel::prelude::*;
    /// use sync_diesel::core::client::LoggingHandler;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String }
    /// # sync_schema!(pub AppSchema: Todo);
    /// let builder = SyncContext::<AppSchema>::builder("https://api.example.com").handler(LoggingHandler::new());
    /// # let _ = builder;
    /// ```
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.around.push(Arc::new(handler));
        self
    }

    /// Sends the provider's tokens to this service, in the header its dialect uses: `X-ZUMO-AUTH`, or
    /// `Authorization: Bearer` in v3. Default: no credentials. They are added after all handlers, which never see
    /// them; see [`Credentials`].
    pub fn credentials(mut self, provider: Arc<dyn CredentialProvider>) -> Self {
        self.credentials = Some((provider, None));
        self
    }

    /// As [`credentials`](Self::credentials), in this header.
    pub fn credentials_in(mut self, header: CredentialHeader, provider: Arc<dyn CredentialProvider>) -> Self {
        self.credentials = Some((provider, Some(header)));
        self
    }

    /// Rows asked for per page. Default 1000.
    pub fn page_size(mut self, rows: u32) -> Self {
        self.defaults.page_size = rows;
        self
    }

    /// Most requests of a push in flight. Default 1.
    pub fn window(mut self, requests: usize) -> Self {
        self.defaults.window = requests;
        self
    }

    /// Decides about conflicts of one entity while a push runs. Without a handler, or with
    /// [`Resolve::Leave`], a conflict is recorded and waits in [`SyncContext::errors`].
    pub fn on_conflict<E: SyncEntity>(
        mut self,
        decide: impl Fn(&Conflict<E>) -> Resolve<E> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.add(decide);
        self
    }

    /// The app's name for the signed-in account: a user id, for example. It is stored with the queue as it is, so it
    /// must be no secret. Default: none.
    ///
    /// Local changes are sent with the credentials of the moment. Opening with another account, or with another
    /// address of the service, while changes of the earlier one wait fails with [`ErrorKind::OtherAccount`]; see
    /// [`other_account`](Self::other_account). Once nothing waits, any account may open; what was pulled before stays
    /// in the tables until it is purged, and is pulled anew.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// What becomes of local changes that wait for another account or service. Default: [`OtherAccount::Refuse`], so
    /// that they wait until that account is back.
    pub fn other_account(mut self, answer: OtherAccount) -> Self {
        self.other_account = answer;
        self
    }

    /// Sends `X-ZUMO-FEATURES: OL` with the requests of push and pull, as earlier clients did for the service's
    /// statistics. Default: not sent.
    pub fn features_header(mut self) -> Self {
        self.tells_features = true;
        self
    }

    /// Sends `Idempotency-Key` with every write of a push, the same when the write is repeated, for servers that know
    /// the header. Nothing relies on it: a repeated write is told by comparison. Default: not sent.
    pub fn idempotency_keys(mut self) -> Self {
        self.sends_idempotency_keys = true;
        self
    }

    /// Finds out which dialects the server speaks before a context is opened, by at most three GETs of one row of
    /// this entity's table. Needs the address and the settings of the connection, no database and no dialect; without
    /// a dialect, credentials travel as in v2 unless their header was named.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a wrong address; else as [`SyncContext::probe`].
    pub async fn probe<E: SyncEntity>(&self) -> Result<ProbeReport> {
        let endpoint = Endpoint::parse(&self.url)?;
        engine::probe(&*self.chain(&endpoint)?, &endpoint, E::SCHEMA).await
    }

    /// The transport with the handlers and credentials around it.
    fn chain(&self, endpoint: &Endpoint) -> Result<Arc<dyn Transport>> {
        let transport = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(HttpClient::new(&self.http)?),
        };
        let mut around = self.around.clone();
        if let Some((provider, header)) = &self.credentials {
            let dialect = self.dialect.unwrap_or(Dialect::MobileApps);
            let header = header.unwrap_or_else(|| CredentialHeader::of(dialect));
            around.push(Arc::new(Credentials::new(Arc::clone(provider), endpoint, header)?));
        }
        Ok(Arc::new(HandlerChain::new(around, transport)))
    }

    /// Opens the database: runs migrations, checks the tables against the entities, installs change capture.
    /// Sends nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when dialect, database or address is missing or wrong;
    /// [`ErrorKind::SchemaMismatch`] when a table does not fit its entity; [`ErrorKind::OtherAccount`] when changes of
    /// another account or service wait; [`ErrorKind::NewerSchema`], [`ErrorKind::Corrupt`], [`ErrorKind::Store`] from
    /// the file.
    pub async fn open(self) -> Result<SyncContext<A>> {
        let missing = |what: &str| Error::new(ErrorKind::InvalidArgument, format!("{what} is not set"));
        let dialect = self.dialect.ok_or_else(|| missing("the dialect"))?;
        let requests = RequestBuilder::new(Endpoint::parse(&self.url)?, dialect);
        let transport = self.chain(requests.endpoint())?;
        let database = self.database.ok_or_else(|| missing("the database"))?;
        let remote = Remote::new(Arc::clone(&transport), requests.clone(), self.profile.clone());
        let migrations = self.migrations;
        let store = DieselStore::open_with(database, A::TABLES, self.store, move |conn| match &migrations {
            Some(migrations) => migration::run_pending(conn, migrations, A::TABLES),
            None => Ok(()),
        })
        .await?;
        let mut engine =
            Engine::new(Arc::new(store), transport, Arc::new(TokioTimer), requests, self.profile);
        if !self.handlers.is_empty() {
            engine = engine.with_conflict_handler(Arc::new(self.handlers));
        }
        if self.tells_features {
            engine = engine.with_features_header();
        }
        if self.sends_idempotency_keys {
            let device = device_name(engine.store()).await?;
            engine = engine.with_idempotency_keys(device);
        }
        engine.claim(self.account.as_deref(), self.other_account).await?;
        Ok(SyncContext { engine: Arc::new(engine), remote, defaults: self.defaults, schema: PhantomData })
    }
}

/// A pull that starts when awaited.
#[must_use = "a pull does nothing until it is awaited"]
#[derive(Debug)]
pub struct Pull<'c, A> {
    context: &'c SyncContext<A>,
    request: PullRequest,
}

impl<A> Pull<'_, A> {
    /// Rows asked for per page; the server may send fewer.
    pub fn page_size(mut self, rows: u32) -> Self {
        self.request.page_size = rows;
        self
    }

    /// Pulls even if the push before it left operations with errors. Rows with operations stay as they are.
    pub fn pull_anyway(mut self) -> Self {
        self.request.pull_anyway = true;
        self
    }

    /// Fails with [`ErrorKind::Busy`] instead of waiting for a push, pull or purge of the same database.
    pub fn no_wait(mut self) -> Self {
        self.request.push.wait = false;
        self
    }

    /// Ends the pull, and the push before it, when this is cancelled: what was received until then is stored, and the
    /// call fails with [`ErrorKind::Cancelled`].
    pub fn with_cancellation(mut self, cancellation: &Cancellation) -> Self {
        self.request.push.cancellation = cancellation.clone();
        self
    }
}

impl<'c, A: SyncSchema> IntoFuture for Pull<'c, A> {
    type Output = Result<PullReport>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let engine = &self.context.engine;
        Box::pin(async move { engine.pull(self.request).await })
    }
}

/// A purge that starts when awaited.
#[must_use = "a purge does nothing until it is awaited"]
#[derive(Debug)]
pub struct PurgeRows<'c, A> {
    context: &'c SyncContext<A>,
    predicate: Predicate,
    force: bool,
}

impl<A> PurgeRows<'_, A> {
    /// Also removes matching rows with pending operations, and those operations: local changes of these rows
    /// are lost.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

impl<'c, A: SyncSchema> IntoFuture for PurgeRows<'c, A> {
    type Output = Result<Purged>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let engine = &self.context.engine;
        Box::pin(async move { engine.purge(self.predicate, self.force).await })
    }
}

/// The name of this database among all that push to a service; made at first use.
async fn device_name(store: &DieselStore) -> Result<String> {
    const DEVICE: &str = "device";
    if store.setting(DEVICE).await?.is_none() {
        store.set_setting(DEVICE, Some(&uuid::Uuid::new_v4().to_string())).await?;
    }
    // Read again: another process may have been quicker.
    let stored = store.setting(DEVICE).await?;
    stored.ok_or_else(|| Error::new(ErrorKind::Store, "the name of the database was removed"))
}

impl<A> Clone for SyncContext<A> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            remote: self.remote.clone(),
            defaults: self.defaults,
            schema: PhantomData,
        }
    }
}

impl<A> fmt::Debug for SyncContext<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("dialect", &self.dialect)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
