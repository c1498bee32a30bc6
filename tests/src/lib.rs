//! What the tests of the whole are made of: servers to test against, the contract every server must keep, and a
//! proxy that loses answers.
//!
//! - [`servers`]: a server under test, ours in process or the official Node server in another.
//! - [`contract`]: the cases every server passes; the macro [`server_contract!`] makes tests of them.
//! - [`proxy`]: [`FaultProxy`](proxy::FaultProxy) between a client and a server.
//! - [`model`] and [`device`]: the entities of the suite, and local databases that keep them.
//! - [`differential`]: random filters, judged by every engine.
//! - [`simulate`]: random histories of devices, a server and a failing network, in virtual time.
//! - [`kills`]: real processes that are killed at random moments, on real files and sockets.
//! - [`mod@fuzz`]: damaged bytes from outside.
//! - [`http`]: HTTP/1.1 as bytes on a socket, so that a case decides each byte it sends.

pub mod contract;
pub mod device;
pub mod differential;
pub mod fuzz;
pub mod http;
pub mod kills;
pub mod model;
pub mod proxy;
pub mod rules;
pub mod servers;
pub mod simulate;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
