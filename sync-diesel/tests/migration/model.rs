//! One app as it grows and as it goes astray: each module is the list of entities of one version.

/// Declares a version: a module with `Todo` on the table `TodoItem`, and its schema `App`.
macro_rules! version {
    ($(#[$doc:meta])* $module:ident { $($fields:tt)* }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use sync_diesel::prelude::*;

            #[derive(SyncEntity, Clone, Debug, PartialEq)]
            #[sync(table = "TodoItem", rename_all = "camelCase")]
            pub(crate) struct Todo {
                $($fields)*
            }

            sync_schema!(pub(crate) App: Todo);
        }
    };
}

version! {
    /// The first release.
    first {
        pub(crate) text: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
    }
}

version! {
    /// The second release: two more fields.
    second {
        pub(crate) text: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
        pub(crate) place: Option<String>,
        #[sync(default = 3)]
        pub(crate) stars: i32,
    }
}

version! {
    /// A new field that existing rows cannot have.
    without_default {
        pub(crate) text: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
        pub(crate) stars: i32,
    }
}

version! {
    /// `due_at` is gone.
    dropped {
        pub(crate) text: String,
        pub(crate) complete: bool,
    }
}

version! {
    /// `text` is `title` now.
    renamed {
        pub(crate) title: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
    }
}

version! {
    /// `complete` is a number now.
    retyped {
        pub(crate) text: String,
        pub(crate) complete: i64,
        pub(crate) due_at: Option<DateTime<Utc>>,
    }
}

version! {
    /// `text` may be absent now, `due_at` may not.
    other_nulls {
        pub(crate) text: Option<String>,
        pub(crate) complete: bool,
        pub(crate) due_at: DateTime<Utc>,
    }
}

version! {
    /// `complete` has a default now.
    other_default {
        pub(crate) text: String,
        #[sync(default = false)]
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
    }
}

/// The table has another name.
pub(crate) mod other_table {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity)]
    pub(crate) struct Task {
        pub(crate) text: String,
    }

    sync_schema!(pub(crate) App: Task);
}

/// Two related tables, every type, odd names and texts.
pub(crate) mod related {
    use sync_diesel::prelude::*;
    use uuid::Uuid;

    #[derive(SyncEntity)]
    pub(crate) struct List {
        #[sync(default = "it's \"new\"; -- ")]
        pub(crate) name: String,
        #[sync(rename = "order", default = -1)]
        pub(crate) size: i64,
        pub(crate) owner: Option<Uuid>,
        #[sync(default = 0.5)]
        pub(crate) weight: f64,
        pub(crate) ratio: Option<f32>,
        #[sync(local)]
        pub(crate) small: Option<i16>,
    }

    #[derive(SyncEntity)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub(crate) struct Todo {
        pub(crate) text: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
        #[sync(belongs_to = List)]
        pub(crate) list_id: Option<String>,
    }

    sync_schema!(pub(crate) App: List, Todo);
}

/// The same tables, not related any more.
pub(crate) mod unrelated {
    use sync_diesel::prelude::*;

    pub(crate) use super::related::List;

    #[derive(SyncEntity)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub(crate) struct Todo {
        pub(crate) text: String,
        pub(crate) complete: bool,
        pub(crate) due_at: Option<DateTime<Utc>>,
        pub(crate) list_id: Option<String>,
    }

    sync_schema!(pub(crate) App: List in super::related::list, Todo);
}

/// The same tables, one column indexed by wish.
pub(crate) mod indexed {
    use sync_diesel::prelude::*;

    pub(crate) use super::related::List;

    #[derive(SyncEntity)]
    #[sync(table = "TodoItem", rename_all = "camelCase")]
    pub(crate) struct Todo {
        pub(crate) text: String,
        pub(crate) complete: bool,
        #[sync(index)]
        pub(crate) due_at: Option<DateTime<Utc>>,
        pub(crate) list_id: Option<String>,
    }

    sync_schema!(pub(crate) App: List in super::related::list, Todo);
}
