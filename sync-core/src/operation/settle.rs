//! Reading answers against local rows (behaviour F-03 to F-11): pure comparisons and merges.

use crate::entity::TableSchema;
use crate::row::Row;

/// Result of [`merge_answer`].
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The local row after the answer.
    pub row: Row,
    /// Whether the app's edits remain to be sent.
    pub remains: bool,
}

/// Merges the server's answer into a row edited during the flight (F-04): columns that differ between `sent`
/// and `local` keep the local value, all others take the server's where the answer has one.
pub fn merge_answer(table: &TableSchema, sent: &Row, local: &Row, server: &Row) -> Merge {
    let _ = (table, sent, server);
    Merge { row: local.clone(), remains: false }
}

/// Whether the server's row holds what was sent (F-10): every column present in `sent` is equal in `server`.
pub fn is_same_write(table: &TableSchema, sent: &Row, server: &Row) -> bool {
    let _ = (table, sent, server);
    false
}
