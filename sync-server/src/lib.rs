//! A server of the Azure Mobile Apps tables protocol, for embedding and as the program `sync-server`.
//!
//! It keeps the tables of an app's entities in one SQLite file and serves them to every client of the
//! protocol: list with filters and paging, read, insert, update, delete and undelete, with soft delete,
//! versions and change times.
//!
//! ```no_run
//! use sync_core::entity::TableSchema;
//! use sync_server::Server;
//!
//! # async fn run(tables: Vec<&'static TableSchema>) -> Result<(), sync_server::ServerError> {
//! let server = Server::builder(tables).open("server.db").await?;
//! let running = server.start("127.0.0.1:0").await?;
//! println!("tables at {}/tables", running.url());
//! running.shutdown().await
//! # }
//! ```
//!
//! # What it promises
//!
//! - A write request is done as a whole or not at all, and durable before the answer. Requests that wait at the
//!   same time share one commit.
//! - `updatedAt` is strictly increasing, in whole milliseconds and in the order of commits: never two changes
//!   with the same value, never backwards, also across a restart and a clock set back. A client that asks for
//!   `updatedAt ge T` ordered by `updatedAt` misses nothing.
//! - `version` is unique in the database and changes with every write to a row.
//! - A filter means what [`sync_core::predicate`] says, null included.
//!
//! # Generations of the protocol
//!
//! One table is served to Mobile Services (v1), Azure Mobile Apps (v2) and Datasync (v3) clients at the same
//! time: the same row, id, instant and version under each one's names. Which of them a request speaks is decided
//! by the version it carries; [`ServerConfig::dialect`] holds the rule and can fix one.
//!
//! # Layers
//!
//! `http` turns a request into a call, `dialect` maps calls to operations and results to answers of one
//! generation of the protocol, `store` runs operations on SQLite and knows no dialect.
//!
//! # Callers
//!
//! By default everyone may do everything. [`ServerBuilder::authenticate`] takes what tells callers by their
//! credentials ([`Tokens`] is the simplest), [`ServerBuilder::rules`] says who may do what to a table, and which of
//! its rows are there for whom.

mod access;
mod body;
mod config;
mod dialect;
mod error;
mod http;
mod json;
mod query;
mod server;
mod store;
mod table;

pub use crate::access::{
    Access, Authenticate, Authentication, AuthenticationError, Caller, Credentials, TableRules, Tokens,
};
pub use crate::config::ServerConfig;
pub use crate::error::{ServerError, ServerErrorKind};
pub use crate::server::{RunningServer, Server, ServerBuilder};
