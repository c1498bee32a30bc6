//! Tests of the whole, over real sockets and real SQLite files, in one binary.

mod between;
mod conflict;
mod crash;
mod dialects;
mod differential;
mod events;
mod faults;
mod growth;
mod handlers;
mod injection;
mod kills;
mod memory;
mod offline;
mod processes;
mod promises;
mod queries;
mod remote;
mod rules;
mod schemas;
mod server_contract;
mod ui;
