//! Offline sync for Diesel on SQLite: derive an entity, write locally, push and pull.
//!
//! An app reads and writes its own SQLite tables at any time; every local change is queued in the transaction that
//! makes it. [`SyncContext::push`] replays the queue on a server of the Azure Mobile Apps tables protocol,
//! [`SyncContext::pull`] brings changes down.
//!
//! # `Todo::text` and `todo::text`
//!
//! `#[derive(SyncEntity)]` gives an entity two sets of columns. `Todo::text` is the portable one: it means the same
//! in the local database, in memory and on the server, so a filter made of it can be pulled, purged and queried
//! with. `todo::text` is Diesel's own column, for whatever Diesel can do locally. Both mix in one Diesel statement.
//!
//! # Example
//!
//! ```no_run
//! use sync_diesel::prelude::*;
//!
//! #[derive(SyncEntity, Clone, Debug, PartialEq)]
//! #[sync(table = "TodoItem", rename_all = "camelCase")]
//! pub struct Todo {
//!     pub text: String,
//!     pub complete: bool,
//!     pub due_at: Option<DateTime<Utc>>,
//! }
//!
//! sync_schema!(pub AppSchema: Todo);
//!
//! # async fn run() -> sync_diesel::Result<()> {
//! let sync = SyncContext::<AppSchema>::builder("https://api.example.com")
//!     .dialect(Dialect::MobileApps)
//!     .database("todo.db")
//!     .open()
//!     .await?;
//! let todos = sync.table::<Todo>();
//! todos.insert(Todo { text: "Pick up milk".into(), complete: false, due_at: None }).await?;
//! sync.push().await?;
//! sync.pull("milkQuery", Todo::text.contains("milk")).await?;
//! let open = todos.filter(Todo::complete.eq(false)).order_by(Todo::due_at.asc()).limit(20).load().await?;
//! # let _ = open;
//! # Ok(())
//! # }
//! ```
//!
//! # Conflicts
//!
//! A change is made on a version of the row. If the server has another by then, the push asks the handler or the policy
//! of the entity, else the rules of its columns (`#[sync(merge = ..)]`); what nobody decides is recorded, survives a
//! restart and waits in [`SyncContext::conflicts`]. Whatever is sent again is guarded by the version that was seen. What
//! the server refuses for another reason waits in [`SyncContext::errors`]. An operation that cannot go through for now can
//! be parked: pushes leave it alone, and pulls go on, until its row is changed again or its error is resolved.
//!
//! ```
//! # use sync_diesel::prelude::*;
//! # #[derive(SyncEntity, Clone, Debug)]
//! # pub struct Todo { pub text: String }
//! # #[derive(SyncEntity, Clone, Debug)]
//! # pub struct List { pub name: String }
//! # sync_schema!(pub AppSchema: Todo, List);
//! let builder = SyncContext::<AppSchema>::builder("https://api.example.com")
//!     .conflicts_of::<List>(ConflictPolicy::ServerWins)
//!     .on_conflict::<Todo>(|conflict| {
//!         conflict.merge_with(|merged, here, there| merged.text = format!("{} / {}", there.text, here.text))
//!     });
//! # let _ = builder;
//! # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
//! // Later, without network: one by one, or all at once.
//! for conflict in sync.conflicts::<Todo>().await? {
//!     let decision = if conflict.is_deleted_there() { Resolve::TakeRemote } else { Resolve::Park };
//!     sync.resolve::<Todo>(&conflict, decision).await?;
//! }
//! sync.resolve_all(ConflictPolicy::ClientWins).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where a row stands, and what happens
//!
//! [`SyncState`] is the state of each row, with records or in any Diesel statement; [`SyncTable::explain`] says in words
//! what is known of one row and what the next push and pull do with it. [`SyncContext::events`] tells which rows each
//! commit changed and how far a push or pull is, [`SyncContext::watch`] when to query again.
//!
//! ```
//! # use sync_diesel::prelude::*;
//! # #[derive(SyncEntity, Clone, Debug)]
//! # pub struct Todo { pub text: String, pub complete: bool }
//! # sync_schema!(pub AppSchema: Todo);
//! # async fn run(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
//! let todos = sync.table::<Todo>();
//! for (todo, state) in todos.filter(Todo::complete.eq(false)).with_state().load().await? {
//!     println!("{} ({state})", todo.text);
//! }
//! let troubled = todos.all().in_state([SyncState::Conflict, SyncState::Failed, SyncState::Parked]);
//! for record in troubled.load().await? {
//!     println!("{}", todos.explain(record.id()).await?);
//! }
//!
//! let mut changes = sync.watch::<Todo>();
//! while changes.changed().await.is_some() {
//!     println!("{} open", todos.filter(Todo::complete.eq(false)).count().await?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Other statements, other tools
//!
//! Triggers in the file capture what any statement and any program writes to synced tables. They refuse what could not be
//! sent, or would not be found again: an instant is stored as `2024-01-02 03:04:05.678+00:00` (UTC, 0, 3, 6 or 9 digits;
//! what `DateTime<Utc>` binds as), so neither SQLite's own current time nor [`diesel::dsl::now`] fits; a uuid has lower case
//! letters and hyphens. What SQLite itself makes of a value before a trigger sees it stands: a bound `NaN` is NULL.
//!
//! - `INSERT OR REPLACE` over another row than that of the same id, by a unique column, deletes that row. SQLite tells the
//!   triggers of it only on a connection with `PRAGMA recursive_triggers = ON`, as [`SyncContext::write`] has it; set it on
//!   connections of your own.
//! - Foreign keys that delete or change synced rows when other synced rows go are refused when the store opens, and so are
//!   deferred ones: declare the relation with `#[sync(belongs_to = ..)]`. Those of the app's own tables to synced ones may
//!   cascade.
//! - Triggers of the app also fire when sync stores what a pull brought. What they write to synced tables then is not
//!   queued. A trigger that is meant for the app's changes alone says so:
//!   `WHEN (SELECT applying FROM "__control" WHERE id = 1) <> 1`.
//!
//! # Processes and accounts
//!
//! Several contexts and processes may have a database open. One push, pull or purge runs at a time, by a [`Lease`] that a
//! crash frees; others wait, or fail with [`ErrorKind::Busy`] after `no_wait()`. Local reads and writes wait for none of
//! them. The queue belongs to a service and, if the app tells it, to an account: opening for another while changes wait is
//! refused unless the app says what becomes of them.
//!
//! ```
//! # use sync_diesel::prelude::*;
//! # #[derive(SyncEntity, Clone, Debug)]
//! # pub struct Todo { pub text: String }
//! # sync_schema!(pub AppSchema: Todo);
//! # async fn run() -> sync_diesel::Result<()> {
//! let sync = SyncContext::<AppSchema>::builder("https://api.example.com")
//!     .dialect(Dialect::MobileApps)
//!     .database("todo.db")
//!     .account("user-17")
//!     .other_account(OtherAccount::Refuse)
//!     .open()
//!     .await?;
//! match sync.push().no_wait().await {
//!     Err(error) if error.kind() == ErrorKind::Busy => println!("another process is at it"),
//!     result => println!("{} done", result?.completed),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `bundled` (default): compiles SQLite into the program; without it the system's library is linked.
//! - `migration`: the [`migration`] module's tools that make migrations from the entities, for a small binary or a test
//!   of the app. Brings no further crate; an app that only runs its migrations does not need it.
//! - `64-column-tables`, `128-column-tables`: entities of more than 28 columns; they make Diesel slower to compile.

#[doc(hidden)]
pub mod __private;
mod apply;
mod batch;
mod capture;
mod changes;
mod conflict;
mod connection;
mod context;
mod explain;
mod failure;
mod lease;
mod loaded;
#[cfg_attr(
    not(feature = "migration"),
    allow(rustdoc::broken_intra_doc_links, reason = "the guide names what only the feature has")
)]
pub mod migration;
#[doc = include_str!("../../docs/predicates.md")]
pub mod predicates {}
pub mod prelude;
mod progress;
mod query;
mod queue;
mod record;
mod remote;
pub mod schema;
mod sql_log;
mod state;
mod statement;
mod store;
mod synced;
mod system;
mod table;

pub use sync_core as core;
pub use sync_core::event;
pub use sync_core::{Error, ErrorKind, Result};
pub use sync_derive::{SyncEntity, sync_schema};

pub use crate::batch::Batch;
pub use crate::conflict::{Conflict, Resolve, TypedError};
pub use crate::connection::{DatabaseOptions, Synchronous};
pub use crate::context::{Builder, Pull, PurgeRows, Push, SyncContext};
pub use crate::explain::{Explanation, RecordedError, ServerCopy};
pub use crate::failure::BoxedError;
pub use crate::lease::Lease;
pub use crate::query::{
    FromSelected, IntoOrder, LocalQuery, RecordStream, SelectQuery, SelectRecords, SelectRows,
    SelectWithState, SelectedExpr, SelectedValue, Selection, Single, StateQuery,
};
pub use crate::record::Record;
pub use crate::remote::{RemoteQuery, RemoteTable};
pub use crate::schema::{SyncSchema, create_table_sql};
pub use crate::state::{StateOf, SyncState};
pub use crate::store::DieselStore;
pub use crate::table::SyncTable;
