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
