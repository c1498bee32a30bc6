//! The entities of the simulated app.

use serde::{Deserialize, Serialize};
use sync_core::entity::{SyncEntity, TableSchema};
use sync_core::predicate::{Comparison, Predicate};
use sync_core::value::Value;
use sync_diesel::prelude::*;

/// A parent.
#[derive(SyncEntity, Clone, Debug)]
pub struct List {
    /// Unique to each write.
    pub name: String,
}

/// A child, pulled by several overlapping filters. Conflicts are left unless a handler decides.
#[derive(SyncEntity, Clone, Debug)]
pub struct Todo {
    /// Unique to each write.
    pub text: String,
    /// What most filters ask for.
    pub done: bool,
    /// Unique to each write.
    pub rank: Option<i64>,
    /// The parent.
    #[sync(belongs_to = List)]
    pub list: Option<String>,
}

/// A table with merge rules that keeps deleted rows.
#[derive(SyncEntity, Clone, Debug)]
#[sync(keep_deleted)]
pub struct Note {
    /// Unique to each write.
    pub body: String,
    /// Unique to each write; the server's wins.
    #[sync(merge = remote)]
    pub color: Option<String>,
    /// A counter.
    #[sync(merge = add)]
    pub count: i64,
    /// What is done stays done.
    #[sync(merge = max)]
    pub done: bool,
}

sync_schema!(pub Schema: List, Todo, Note);

/// The app before notes had a color.
pub mod before {
    use sync_diesel::prelude::*;

    /// The first release of [`super::Note`].
    #[derive(SyncEntity, Clone, Debug)]
    #[sync(keep_deleted)]
    pub struct Note {
        /// Unique to each write.
        pub body: String,
        /// A counter.
        #[sync(merge = add)]
        pub count: i64,
        /// What is done stays done.
        #[sync(merge = max)]
        pub done: bool,
    }

    sync_schema!(pub Schema: Note);
}

/// Tables of a release of the app: lists, todos and notes.
pub type Tables = [&'static TableSchema; 3];

/// The tables of the app.
pub const TABLES: Tables = [List::SCHEMA, Todo::SCHEMA, Note::SCHEMA];

/// The tables of its first release.
pub const FIRST_TABLES: Tables = [List::SCHEMA, Todo::SCHEMA, before::Note::SCHEMA];

/// Index of [`List`] in [`TABLES`].
pub const LIST: usize = 0;

/// Index of [`Todo`] in [`TABLES`].
pub const TODO: usize = 1;
/// Index of [`Note`] in [`TABLES`].
pub const NOTE: usize = 2;

/// An incremental query of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Query {
    /// Every list.
    Lists,
    /// Every note.
    Notes,
    /// Every todo.
    Todos,
    /// Todos that are not done.
    Open,
    /// Todos that are done.
    Done,
    /// Todos whose rank is even or that are not done: overlaps with both.
    Ranked,
}

impl Query {
    /// Every filter of todos.
    pub const FILTERS: [Self; 3] = [Self::Open, Self::Done, Self::Ranked];

    /// Name of the incremental pull.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Lists => "lists",
            Self::Notes => "notes",
            Self::Todos => "todos",
            Self::Open => "open",
            Self::Done => "done",
            Self::Ranked => "ranked",
        }
    }

    /// What a release of the app pulls.
    pub fn predicate(self, tables: &Tables) -> Predicate {
        let column = |name| {
            let index = Todo::SCHEMA.column_index(name).expect("a column of the table");
            &Todo::SCHEMA.columns[index]
        };
        let compare = |name, comparison, value| {
            let node = sync_core::predicate::Node::compare(column(name), comparison, value);
            Predicate { table: Todo::SCHEMA, node }
        };
        match self {
            Self::Lists => Predicate::all(List::SCHEMA),
            Self::Notes => Predicate::all(tables[NOTE]),
            Self::Todos => Predicate::all(Todo::SCHEMA),
            Self::Open => compare("done", Comparison::Eq, Value::Bool(false)),
            Self::Done => compare("done", Comparison::Eq, Value::Bool(true)),
            Self::Ranked => {
                let open = compare("done", Comparison::Eq, Value::Bool(false));
                let node = compare("rank", Comparison::Gt, Value::Integer(20)).node.or(open.node);
                Predicate { table: Todo::SCHEMA, node }
            }
        }
    }

    /// Whether nothing is filtered.
    pub fn is_all(self) -> bool {
        matches!(self, Self::Lists | Self::Notes | Self::Todos)
    }
}
