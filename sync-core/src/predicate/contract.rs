//! Cases of the published semantics.
