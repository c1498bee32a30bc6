//! The server contract suite against the official Node server; run by `cargo xtask interop`.

mod filters;

use sync_tests::servers::ServerUnderTest;

sync_tests::server_contract!(ServerUnderTest::node());
