//! Local queries of a context: typed ones, and typed filters in hand-written Diesel; states, explanations and events.

mod changes;
mod explaining;
mod mixed;
mod states;
mod streams;
mod support;
mod typed;
mod writes;
