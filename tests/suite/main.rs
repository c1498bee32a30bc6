//! Tests of the whole, in one binary.

mod server_contract;
