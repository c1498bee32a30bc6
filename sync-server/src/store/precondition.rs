//! What must hold of a row before it is changed or shown.

use super::change::field_position;
use super::row::{Cell, StoredRow};
use crate::table::Field;

/// One condition on a row's version or change time, judged inside the transaction of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// The version is one of these; with none, it never holds.
    VersionIn(Vec<String>),
    /// The version is none of these.
    VersionNotIn(Vec<String>),
    /// The last change is not later than this second since 1970.
    UnchangedSince(i64),
    /// The last change was at exactly this tick of 100 ns since 1970.
    ChangedAt(i64),
}

impl Precondition {
    /// The version is this one.
    pub(crate) fn version(version: String) -> Self {
        Self::VersionIn(vec![version])
    }

    /// Whether it holds for a whole row.
    pub(crate) fn holds(&self, row: &StoredRow) -> bool {
        let is_one_of = |versions: &[String]| {
            let version = row.cell(field_position(Field::Version));
            versions.iter().any(|one| version == Cell::Text(one))
        };
        let changed = match row.cell(field_position(Field::UpdatedAt)) {
            Cell::Integer(ticks) => ticks,
            _ => i64::MAX,
        };
        match self {
            Self::VersionIn(versions) => is_one_of(versions),
            Self::VersionNotIn(versions) => !is_one_of(versions),
            Self::UnchangedSince(second) => changed.div_euclid(TICKS_PER_SECOND) <= *second,
            Self::ChangedAt(ticks) => changed == *ticks,
        }
    }
}

const TICKS_PER_SECOND: i64 = 10_000_000;
