//! Tests of the whole, over real sockets and real SQLite files, in one binary.

mod conflict;
mod crash;
mod dialects;
mod faults;
mod handlers;
mod memory;
mod offline;
mod processes;
mod remote;
mod server_contract;
mod ui;
