//! Offline sync for Diesel on SQLite. (The crate doc is written with the context.)

pub mod schema;

pub use sync_core as core;
