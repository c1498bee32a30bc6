//! Where an expression can be answered, as a type.

/// Means the same locally and on a server. A server that is not trusted with a part of it is not asked for that part
/// (see [`crate::pushdown`]); the rest is judged here.
#[derive(Clone, Copy, Debug)]
pub enum Portable {}

/// Reads what no server has: a column with `#[sync(local)]`.
#[derive(Clone, Copy, Debug)]
pub enum LocalOnly {}

/// [`Portable`] or [`LocalOnly`].
pub trait Scope: sealed::Sealed + 'static {
    /// The scope of an expression made of one of this and one of another scope.
    type Join<O: Scope>: Scope;
}

/// The scope of what a server can be asked for.
#[diagnostic::on_unimplemented(
    message = "no server can answer this filter: it reads a column that exists only on this device",
    label = "reads a column with `#[sync(local)]`",
    note = "call `.local_rest()` on the filter: the server is asked for what it can answer, and the rest is judged on \
            this device, row by row"
)]
pub trait Sendable: Scope {}

impl Scope for Portable {
    type Join<O: Scope> = O;
}

impl Scope for LocalOnly {
    type Join<O: Scope> = Self;
}

impl Sendable for Portable {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Portable {}
    impl Sealed for super::LocalOnly {}
}
