//! Offline sync for Diesel on SQLite. (The crate doc is written with the context.)

mod apply;
mod capture;
mod connection;
mod failure;
mod queue;
pub mod schema;
mod statement;
pub mod store;
mod system;
mod table;

pub use sync_core as core;

pub use crate::connection::{DatabaseOptions, Synchronous};
pub use crate::failure::BoxedError;
