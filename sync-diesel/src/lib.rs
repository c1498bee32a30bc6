//! Offline sync for Diesel on SQLite. (The crate doc is written with the context.)

#[doc(hidden)]
pub mod __private;
mod loaded;
mod record;
pub mod schema;

pub use crate::record::Record;
pub use sync_core as core;
pub use sync_derive::{SyncEntity, sync_schema};
