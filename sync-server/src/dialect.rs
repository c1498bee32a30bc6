//! The generations of the protocol: each maps calls to operations of the store, and results to answers.

pub(crate) mod mobile_apps;
