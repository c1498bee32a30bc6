//! The server over real sockets: the conformance cases of the protocol for all three dialects as one table, and
//! beside it what needs more than a table. A test's number is the number of its case.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::protocol::Dialect;
use sync_core::value::{ColumnType, IntegerWidth};
use sync_server::{
    Access, Authenticate, Authentication, AuthenticationError, Caller, Credentials, RunningServer, Server,
    ServerBuilder, ServerConfig, ServerErrorKind, TableRules, Tokens,
};
use tempfile::TempDir;

#[path = "http/fixture.rs"]
mod fixture;
use fixture::*;

#[path = "http/access.rs"]
mod access;
#[path = "http/changes.rs"]
mod changes;
#[path = "http/conformance.rs"]
mod conformance;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/order.rs"]
mod order;
#[path = "http/program.rs"]
mod program;
#[path = "http/protocol.rs"]
mod protocol;
