//! Local queries of a context: typed ones, and typed filters in hand-written Diesel; states, explanations and events.

#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

mod changes;
mod explaining;
mod mixed;
mod states;
mod streams;
mod support;
mod typed;
mod writes;
