//! The store on SQLite: what only a real database can show. The rules every store shares are in the contract
//! suite of sync-core.

mod capture;
mod contract;
mod crash;
mod damage;
mod durability;
mod growth;
mod opening;
mod pages;
mod parking;
mod queue;
mod resolving;
mod sharing;
mod sql_log;
mod support;
