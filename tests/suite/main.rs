//! Tests of the whole, over real sockets and real SQLite files, in one binary.

mod conflict;
mod crash;
mod dialects;
mod faults;
mod growth;
mod handlers;
mod memory;
mod offline;
mod remote;
mod server_contract;
mod ui;
