//! What offline sync is, without a database: entities, predicates, the operation queue's rules, pull and push
//! over the Azure Mobile Apps tables protocol.
//!
//! Apps use `sync-diesel`, which re-exports what they need from here. Use this crate directly to write another
//! store ([`store::LocalStore`]) or a server.
//!
//! Reading order: [`entity`] and [`value`] (what a table is), [`expression`] and [`predicate`] (what a filter
//! is), [`operation`], [`merge`] and [`store`] (what is kept), [`protocol`] and [`odata`] (the wire), [`pull`] and [`push`]
//! (pure decisions), [`engine`] (drives store and client).
//!
//! # Features
//!
//! - `client` (default): the HTTP client, with reqwest and rustls.
//! - `diesel`: typed expressions are Diesel expressions on SQLite; used by `sync-diesel`.
//! - `contract`: the test suite for implementors of [`store::LocalStore`].

pub mod check;
pub mod conflict;
pub mod engine;
pub mod entity;
pub mod error;
pub mod evaluate;
pub mod event;
pub mod expression;
pub mod handler;
pub mod item;
pub mod json;
pub mod memory;
pub mod merge;
pub mod odata;
pub mod operation;
pub mod page;
pub mod predicate;
pub mod profile;
pub mod protocol;
pub mod pull;
pub mod push;
pub mod pushdown;
pub mod remote;
pub mod row;
pub mod store;
pub mod time;
pub mod transport;
pub mod value;
pub mod wanted;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "diesel")]
pub mod diesel;

pub use crate::error::{Error, ErrorKind, Result};
