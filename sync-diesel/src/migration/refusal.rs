//! What is not generated, and what to do instead.

use std::fmt;

/// A difference between the entities and the migrations that no migration is generated for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The table.
    pub table: String,
    /// The column, unless it is the whole table.
    pub column: Option<String>,
    /// What is different.
    pub reason: Reason,
}

/// Why no migration is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No entity has this synced table any more.
    TableDropped,
    /// The table exists without the system columns, or with another key: its rows were never synced.
    TableNotSynced,
    /// No field of the entity has this column any more.
    ColumnDropped,
    /// The column is gone and a new one could be the same column.
    ColumnRenamed {
        /// Name of the new column.
        to: String,
    },
    /// The column has another type.
    TypeChanged {
        /// Declared type in the table.
        from: String,
        /// Type the entity asks for.
        to: &'static str,
    },
    /// The column became an `Option`, or is none any more.
    NullabilityChanged {
        /// Whether the entity allows null.
        nullable: bool,
    },
    /// The column has another default.
    DefaultChanged {
        /// The default in the table.
        from: Option<String>,
        /// The default of the entity.
        to: &'static str,
    },
    /// A new column is not null and has no default, so existing rows could not have it.
    DefaultMissing,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

const BY_HAND: &str = "write this migration by hand (a new table, the rows copied, the old one dropped, the new one \
    renamed)";

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableDropped => f.write_str(
                "no entity has this table; if it was renamed, keep its name by `#[sync(table = \"..\")]`, or write \
                 the migration by hand with the SQL of `rename_table`; if its rows may go, drop it in a migration \
                 written by hand",
            ),
            Self::TableNotSynced => f.write_str(
                "it exists without the system columns or with another key than id; rename it in a migration written \
                 by hand, generate the synced table, and insert its rows through the app, so that they are queued",
            ),
            Self::ColumnDropped => f.write_str(
                "no field has this column; if only this app uses it, declare it with `#[sync(local)]`; if its values \
                 may go, drop it in a migration written by hand",
            ),
            Self::ColumnRenamed { to } => write!(
                f,
                "it is gone and column {to} is new; if it was renamed, keep its name by `#[sync(rename = \"..\")]` on \
                 the field, or write the migration by hand with the SQL of `rename_column`; if not, drop the old one \
                 in a migration written by hand"
            ),
            Self::TypeChanged { from, to } => {
                write!(f, "its type changes from {from} to {to}; add a field of another name, or {BY_HAND}")
            }
            Self::NullabilityChanged { nullable: true } => {
                write!(f, "it is an `Option` now, but the table refuses null; {BY_HAND}")
            }
            Self::NullabilityChanged { nullable: false } => write!(
                f,
                "it is no `Option` any more, but the table may hold nulls; decide what they become and {BY_HAND}"
            ),
            Self::DefaultChanged { from, to } => write!(
                f,
                "its default changes from {} to {to}, which SQLite cannot alter; {BY_HAND}",
                from.as_deref().unwrap_or("none")
            ),
            Self::DefaultMissing => f.write_str(
                "it is new and not null, and existing rows have no value for it; add `#[sync(default = ..)]` or make \
                 the field an `Option`",
            ),
        }
    }
}
