//! [`SyncContext`]: one local database, one server, the entities between them.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::sqlite::SqliteConnection;
use diesel_migrations::EmbeddedMigrations;
use sync_core::client::{
    CredentialHeader, CredentialProvider, Credentials, HttpClient, HttpOptions, TokioTimer,
};
use sync_core::engine::{self, Decision, Engine, PullRequest, PushOptions, Resolved};
use sync_core::entity::SyncEntity;
use sync_core::event::{DEFAULT_CAPACITY, EventStream, TableWatch};
use sync_core::expression::{IntoExpr, Sendable};
use sync_core::handler::{Handler, HandlerChain};
use sync_core::operation::{Operation, OperationError, OperationKey};
use sync_core::predicate::Predicate;
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Dialect, Endpoint, ProbeReport, RequestBuilder};
use sync_core::pushdown::Explanation;
use sync_core::remote::Remote;
use sync_core::store::{
    ConflictPolicy, LocalStore, OtherAccount, QuarantinedRow, Resolution, ResolutionRecord, Resolver,
};
use sync_core::transport::Transport;
use sync_core::{Error, ErrorKind, Result};

use crate::batch::Batch;
use crate::conflict::{Conflict, Handlers, Resolve};
use crate::connection::DatabaseOptions;
use crate::migration;
use crate::remote::RemoteTable;
use crate::schema::SyncSchema;
use crate::store::DieselStore;
use crate::table::SyncTable;

pub use self::pull::Pull;
pub use self::purge::PurgeRows;
pub use self::push::Push;

mod pull;
mod purge;
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
    handler_repeats: u32,
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
            defaults: Defaults { page_size: 1000, window: 1, handler_repeats: 5 },
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

    /// Collects typed writes of any entities, to be made together: all of them with their operations, or none (C-11).
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(self.engine.store()))
    }

    /// What happens from now on: rows changed by local writes, pulls, pushes, purges and decisions, and the progress of
    /// push and pull. At most 1024 events wait unread, then the oldest are dropped and [`Lagged`](sync_core::event::Event::Lagged) tells how many.
    ///
    /// Events are hints: what must not be missed is in the tables. Changes made by other connections and processes are
    /// not told. While anybody listens, each changed row costs the writer a note; otherwise events cost nothing.
    ///
    /// ```no_run
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String }
    /// # sync_schema!(pub AppSchema: Todo);
    /// # async fn run(sync: SyncContext<AppSchema>) {
    /// let mut events = sync.events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         Event::Changed(changes) => {
    ///             if let Some(todos) = changes.of::<Todo>() {
    ///                 println!("{} todos changed by {:?}", todos.len(), changes.source);
    ///             }
    ///         }
    ///         Event::PageReceived { page, rows, .. } => println!("page {page} with {rows} rows"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> EventStream {
        self.engine.store().subscribe(DEFAULT_CAPACITY)
    }

    /// One item at once, and one for each commit of this context that changed rows of `E`; of commits that come while
    /// nobody reads only one item waits. To keep a result up to date, query after each item.
    ///
    /// Changes made by other processes are not seen; SQLite's `PRAGMA data_version` in [`read`](Self::read) tells
    /// about them.
    ///
    /// ```no_run
    /// # use sync_diesel::prelude::*;
    /// # #[derive(SyncEntity, Clone)]
    /// # pub struct Todo { pub text: String, pub complete: bool }
    /// # sync_schema!(pub AppSchema: Todo);
    /// # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
    /// let mut changes = sync.watch::<Todo>();
    /// while changes.changed().await.is_some() {
    ///     let open = sync.table::<Todo>().filter(!Todo::complete).load().await?;
    ///     println!("{} open", open.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch<E: SyncEntity>(&self) -> TableWatch {
        self.engine.store().watch(E::SCHEMA)
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
    ///
    /// A filter that reads a column with `#[sync(local)]` does not compile here, unless the app calls
    /// [`local_rest`](sync_core::expression::Expr::local_rest) on it.
    pub fn pull<E: SyncEntity>(
        &self,
        query_id: impl Into<String>,
        filter: impl IntoExpr<E, bool, Scope: Sendable>,
    ) -> Pull<'_, A> {
        self.new_pull(Some(query_id.into()), filter.into_expr().into())
    }

    /// Brings down everything that matches `filter`, each time; keeps no token. Pushes first like
    /// [`pull`](Self::pull).
    pub fn pull_all<E: SyncEntity>(&self, filter: impl IntoExpr<E, bool, Scope: Sendable>) -> Pull<'_, A> {
        self.new_pull(None, filter.into_expr().into())
    }

    /// Removes matching local rows; sends nothing. Refused while the entity has pending operations, unless
    /// [`force`](PurgeRows::force) drops those of the removed rows. Not a deletion: the rows stay on the server and
    /// come back with the next pull that wants them.
    pub fn purge<E: SyncEntity>(&self, filter: impl IntoExpr<E, bool>) -> PurgeRows<'_, A> {
        PurgeRows::new(self, filter.into_expr().into())
    }

    /// Forgets how far a query id was pulled: its next pull starts at the beginning. Rows stay, and nothing is sent.
    /// A pull that tracks exits then reads every change of the table once, to find what left.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn reset_token<E: SyncEntity>(&self, query_id: &str) -> Result<()> {
        self.engine.reset_token(E::SCHEMA, Some(query_id)).await
    }

    /// Forgets how far every query id of the entity was pulled.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn reset_tokens<E: SyncEntity>(&self) -> Result<()> {
        self.engine.reset_token(E::SCHEMA, None).await
    }

    /// The rows a pull brought that could not be stored: a value that does not fit its column, or a constraint of the
    /// database. Each pull of their table tries them again before it asks the server, and so does opening the database
    /// after a migration. What was altered without one, an index dropped by another program, is noticed by the pull.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn quarantine(&self) -> Result<Vec<QuarantinedRow>> {
        self.engine.store().quarantine(None).await
    }

    /// Tells what of `filter` a pull asks the server for, what is judged on this device, and why. Sends nothing.
    ///
    /// Meant to be printed while an app is developed; the text holds the filter's constants.
    ///
    /// # Errors
    ///
    /// None known: what the dialect cannot say stays on this device.
    pub fn explain<E: SyncEntity>(&self, filter: impl IntoExpr<E, bool>) -> Result<Explanation> {
        self.remote.explain(&filter.into_expr().into())
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
    /// restart. Those that the last push did not come to are [`old`](OperationError::old), those it left alone
    /// [`parked`](OperationError::parked).
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn errors(&self) -> Result<Vec<OperationError>> {
        self.engine.store().errors(None).await
    }

    /// The conflicts of one entity that wait for a decision: its recorded errors with everything known of their rows,
    /// and those that a pull showed before any push. Conflicts survive a restart.
    ///
    /// # Errors
    ///
    /// Errors of the local database; [`ErrorKind::Corrupt`] when a stored row does not fit the entity.
    pub async fn conflicts<E: SyncEntity>(&self) -> Result<Vec<Conflict<E>>> {
        let open = self.engine.store().conflicts(Some(E::SCHEMA)).await?;
        Ok(open.into_iter().map(|open| Conflict::new(engine::Conflict::from_store(open))).collect())
    }

    /// Decides about one of [`errors`](Self::errors) or [`conflicts`](Self::conflicts); works without network.
    /// [`Resolve::Leave`] and [`Resolve::Abort`] change nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OperationChanged`] when the row was changed or the conflict resolved since it was read;
    /// [`ErrorKind::InvalidArgument`] when it belongs to another entity, or the decision does not fit it;
    /// [`ErrorKind::InvalidValue`]; [`ErrorKind::Busy`] for [`Resolve::ChangeKind`] while the outcome of the operation
    /// is unknown. Nothing changes then.
    pub async fn resolve<E: SyncEntity>(
        &self,
        conflict: &impl AsRef<OperationKey>,
        decision: Resolve<E>,
    ) -> Result<()> {
        let key = conflict.as_ref();
        if key.table != E::SCHEMA.name {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the error belongs to another entity's table",
            )
            .with_table(key.table)
            .with_item(key.item_id.as_str()));
        }
        let store = self.engine.store();
        let (resolution, by) = match decision.into_decision(&key.item_id) {
            Decision::Resolve(resolution) => (resolution, Resolver::App),
            Decision::Abort => (Resolution::Leave, Resolver::App),
            Decision::Policy(policy) => {
                let open = store.conflicts(Some(E::SCHEMA)).await?;
                let open = open.into_iter().find(|open| open.operation.key == *key);
                // One that is gone is reported by the store.
                let decided = open.map(|open| policy.decide(&engine::Conflict::from_store(open)));
                (decided.unwrap_or(Resolution::Leave), Resolver::Policy(policy))
            }
        };
        store.resolve(key.clone(), resolution, by).await
    }

    /// Lets a policy decide about every conflict of every entity, without network. What is kept or merged is sent by the
    /// next push.
    ///
    /// # Errors
    ///
    /// Errors of the local database; what was resolved before stays so.
    pub async fn resolve_all(&self, policy: ConflictPolicy) -> Result<Resolved> {
        self.engine.resolve_all(None, policy).await
    }

    /// As [`resolve_all`](Self::resolve_all), for one entity.
    ///
    /// # Errors
    ///
    /// As [`resolve_all`](Self::resolve_all).
    pub async fn resolve_all_of<E: SyncEntity>(&self, policy: ConflictPolicy) -> Result<Resolved> {
        self.engine.resolve_all(Some(E::SCHEMA), policy).await
    }

    /// Decides about every conflict of one entity, one after another, without network. [`Resolve::Abort`] is
    /// [`Resolve::Leave`] here.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve); what was resolved before stays so.
    pub async fn resolve_with<E: SyncEntity>(
        &self,
        mut decide: impl FnMut(&Conflict<E>) -> Resolve<E> + Send,
    ) -> Result<Resolved> {
        let decide = move |rows: &engine::Conflict| {
            let conflict = Conflict::new(rows.clone());
            Ok(match decide(&conflict).into_decision(&conflict.item_id) {
                Decision::Resolve(resolution) => resolution,
                Decision::Policy(policy) => policy.decide(rows),
                Decision::Abort => Resolution::Leave,
            })
        };
        self.engine.resolve_with(Some(E::SCHEMA), decide).await
    }

    /// How conflicts were resolved, the last 1000 of all entities, the oldest first: by whom, what was decided, and the
    /// versions seen. Holds no row contents.
    ///
    /// # Errors
    ///
    /// Errors of the local database.
    pub async fn resolutions(&self) -> Result<Vec<ResolutionRecord>> {
        self.engine.store().resolutions().await
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
        let Defaults { window, handler_repeats, .. } = self.defaults;
        PushOptions { window, handler_repeats, ..PushOptions::default() }
    }

    fn new_pull(&self, query_id: Option<String>, predicate: Predicate) -> Pull<'_, A> {
        let mut request = PullRequest::new(query_id, predicate);
        request.page_size = self.defaults.page_size;
        request.push = self.push_defaults();
        Pull::new(self, request)
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
    ///
    /// SQLite keeps newer commits in a log beside it (`-wal`). Copy, move, restore and delete both together, while nobody
    /// has them open: a log that is left behind is taken for that of whatever file comes to stand there.
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

    /// How often a handler, a policy or the rules of columns may decide about one row within a push; the conflict after
    /// that is recorded. Default 5; with 0 nobody is asked during pushes. Each repeat is a request.
    pub fn handler_repeats(mut self, repeats: u32) -> Self {
        self.defaults.handler_repeats = repeats;
        self
    }

    /// Logs the statements of the local database at level debug, target `sync_diesel::sql`, without their values. Default
    /// off; see [`DatabaseOptions::log_sql`].
    pub fn log_sql(mut self, log: bool) -> Self {
        self.store.log_sql = log;
        self
    }

    /// Decides about conflicts of one entity while a push runs, in place of an earlier handler or policy of it. Without
    /// one, those of the context decide ([`on_any_conflict`](Self::on_any_conflict)), else the columns' merge rules.
    /// What nobody decides ([`Resolve::Leave`]) is recorded and waits in [`SyncContext::conflicts`].
    pub fn on_conflict<E: SyncEntity>(
        mut self,
        decide: impl Fn(&Conflict<E>) -> Resolve<E> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.add(decide);
        self
    }

    /// Lets a policy decide about conflicts of one entity while a push runs, in place of an earlier handler or policy of
    /// it.
    pub fn conflicts_of<E: SyncEntity>(mut self, policy: ConflictPolicy) -> Self {
        self.handlers.add_policy::<E>(policy);
        self
    }

    /// Lets a policy decide about conflicts of all entities that have no handler or policy of their own. Default:
    /// entities with merge rules (`#[sync(merge = ..)]`) are merged, others wait for a decision.
    pub fn conflicts(self, policy: ConflictPolicy) -> Self {
        self.on_any_conflict(move |_| Ok(Decision::Policy(policy)))
    }

    /// Decides about conflicts of all entities that have no handler or policy of their own, as untyped rows.
    pub fn on_any_conflict(
        mut self,
        decide: impl Fn(&engine::Conflict) -> Result<Decision> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.set_fallback(decide);
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
    /// [`ErrorKind::SchemaMismatch`] when a table does not fit its entity, or changes wait for a column or a table that is
    /// gone (see [`migration`]); [`ErrorKind::OtherAccount`] when changes of
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
