//! Offline sync for Diesel on SQLite. (The crate doc is written with the context.)

#[doc(hidden)]
pub mod __private;
mod apply;
mod capture;
mod connection;
mod failure;
mod loaded;
mod queue;
mod record;
pub mod schema;
mod statement;
mod store;
mod system;
mod table;

pub use crate::connection::{DatabaseOptions, Synchronous};
pub use crate::record::Record;
pub use crate::schema::create_table_sql;
pub use crate::store::DieselStore;
pub use sync_core as core;
pub use sync_derive::{SyncEntity, sync_schema};
