//! What a process tells its parent, a line each: what it is about to do, and that the call returned.
//!
//! The parent knows by it what was acknowledged, and by the last line where a kill hit.

use std::fmt;

use serde_json::{Map, Value as Json};
use sync_core::entity::SyncEntity;

use crate::simulate::json;

/// What a process does when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Opening the database, with nothing to migrate.
    Open,
    /// Opening the database, with migrations to run.
    Migrate,
    /// A local write.
    Write,
    /// A push, perhaps with local writes beside it.
    Push,
    /// A pull, perhaps with a push before it.
    Pull,
    /// A purge.
    Purge,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 6] = [Self::Open, Self::Migrate, Self::Write, Self::Push, Self::Pull, Self::Purge];

    /// The phase of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Migrate => "migrate",
            Self::Write => "write",
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Purge => "purge",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The values of a row, by column.
pub(super) type Columns = Map<String, Json>;

/// One row of a local write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Its table.
    pub(super) table: String,
    /// Its id.
    pub(super) id: String,
    /// The columns that are written; `None` deletes the row.
    pub(super) columns: Option<Columns>,
}

impl Change {
    /// A whole row.
    pub(super) fn row<E: SyncEntity>(id: &str, entity: &E) -> Self {
        let columns = E::SCHEMA.columns.iter().zip(entity.to_values());
        let columns = columns.map(|(column, value)| (column.name.to_owned(), json(&value))).collect();
        Self { table: E::SCHEMA.name.to_owned(), id: id.to_owned(), columns: Some(columns) }
    }

    /// One column of a row.
    pub(super) fn column(table: &str, id: &str, column: &str, value: impl Into<Json>) -> Self {
        let columns = Columns::from_iter([(column.to_owned(), value.into())]);
        Self { table: table.to_owned(), id: id.to_owned(), columns: Some(columns) }
    }

    /// A deletion.
    pub(super) fn delete(table: &str, id: &str) -> Self {
        Self { table: table.to_owned(), id: id.to_owned(), columns: None }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A call is about to be made.
    Begin(Phase),
    /// A local write of these rows is about to be made.
    BeginWrite(Changes),
    /// The call returned: what it did is acknowledged.
    End(Phase),
}

/// The rows of one local write.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes(pub(super) Vec<Change>);

impl Report {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ')?;
        let (name, rows) = rest.split_once(' ').unwrap_or((rest, ""));
        let phase = Phase::parse(name)?;
        match (verb, phase) {
            ("begin", Phase::Write) => Changes::parse(rows).map(Self::BeginWrite),
            ("begin", phase) => Some(Self::Begin(phase)),
            ("end", phase) => Some(Self::End(phase)),
            _ => None,
        }
    }
}

impl Changes {
    fn parse(text: &str) -> Option<Self> {
        let Json::Array(rows) = serde_json::from_str(text).ok()? else { return None };
        let changes = rows.into_iter().map(|row| {
            let Json::Array(parts) = row else { return None };
            let [Json::String(table), Json::String(id), columns] = <[Json; 3]>::try_from(parts).ok()? else {
                return None;
            };
            let columns = match columns {
                Json::Object(columns) => Some(columns),
                _ => None,
            };
            Some(Change { table, id, columns })
        });
        changes.collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(phase) => write!(f, "begin {phase}"),
            Self::BeginWrite(Changes(changes)) => {
                let rows = changes.iter().map(|change| {
                    let columns = change.columns.clone().map_or(Json::Null, Json::Object);
                    Json::from(vec![Json::from(&*change.table), Json::from(&*change.id), columns])
                });
                write!(f, "begin {} {}", Phase::Write, Json::from_iter(rows))
            }
            Self::End(phase) => write!(f, "end {phase}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let changes = vec![
            Change::column("Item", "an id; with \"signs\"", "text", "text 7\nand more"),
            Change::column("Item", "a", "rank", 7),
            Change::delete("Tag", "b"),
        ];
        let reports =
            [Report::Begin(Phase::Push), Report::BeginWrite(Changes(changes)), Report::End(Phase::Migrate)];
        for report in reports {
            let line = report.to_string();
            assert!(!line.contains('\n'));
            assert_eq!(Report::parse(&line), Some(report));
        }
        assert_eq!(Report::parse("begin"), None);
        assert_eq!(Report::parse("begin dancing"), None);
        assert_eq!(Report::parse("begin write [[\"Item\",\"a\"]]"), None);
    }
}
