//! The app whose processes are killed, in two releases.

use std::path::Path;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sync_core::Result;
use sync_diesel::prelude::*;
use sync_diesel::{Pull, PurgeRows};

/// The app's first release: one table.
pub mod first {
    use sync_diesel::prelude::*;

    /// A row.
    #[derive(SyncEntity, Clone, Debug)]
    pub struct Item {
        /// Unique to each write.
        pub text: String,
        /// Unique to each write.
        pub rank: i64,
    }

    sync_schema!(pub App: Item);
}

/// The app's second release: a column and a table more.
pub mod second {
    use sync_diesel::prelude::*;

    /// A row.
    #[derive(SyncEntity, Clone, Debug)]
    pub struct Item {
        /// Unique to each write.
        pub text: String,
        /// Unique to each write.
        pub rank: i64,
        /// Unique to each write.
        pub note: Option<String>,
    }

    /// A row of the table that came later.
    #[derive(SyncEntity, Clone, Debug)]
    pub struct Tag {
        /// Unique to each write.
        pub text: String,
    }

    sync_schema!(pub App: Item, Tag);
}

/// The query id of the incremental pulls.
pub(super) const QUERY: &str = "all";

/// The tables of both releases.
pub(super) const TABLES: [&str; 2] = ["Item", "Tag"];

/// A release of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// [`first`].
    First,
    /// [`second`].
    Second,
}

impl Release {
    /// How many migrations a database of it has run.
    pub(super) fn migrations(self) -> i64 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }
}

/// What the life of a process needs to know of its release.
pub(super) trait App: SyncSchema {
    /// The row of table `Item`.
    type Item: SyncEntity + Clone;

    /// Whether there is a table `Tag`.
    const HAS_TAGS: bool;

    /// What runs when a database is opened.
    fn migrations() -> EmbeddedMigrations;

    /// A row whose values are unique to this number.
    fn item(number: u64) -> Self::Item;

    /// Every item.
    async fn items(context: &SyncContext<Self>) -> Result<Vec<Record<Self::Item>>>
    where
        Self: Sized;

    /// A pull of every item, incremental or full.
    fn pull<'c>(context: &'c SyncContext<Self>, query: Option<&str>) -> Pull<'c, Self>
    where
        Self: Sized;

    /// A purge of every item, or of those up to a rank.
    fn purge(context: &SyncContext<Self>, rank: Option<i64>) -> PurgeRows<'_, Self>
    where
        Self: Sized;
}

/// Text, rank and note that nothing else in the history has.
pub(super) fn values(number: u64) -> (String, i64, String) {
    (format!("text {number}"), i64::try_from(number).expect("few numbers"), format!("note {number}"))
}

macro_rules! app {
    ($release:ident, $folder:literal, $tags:literal, $($optional:ident)?) => {
        impl App for $release::App {
            type Item = $release::Item;

            const HAS_TAGS: bool = $tags;

            fn migrations() -> EmbeddedMigrations {
                const MIGRATIONS: EmbeddedMigrations = embed_migrations!($folder);
                MIGRATIONS
            }

            fn item(number: u64) -> Self::Item {
                let (text, rank, _note) = values(number);
                $release::Item { text, rank, $($optional: Some(_note))? }
            }

            async fn items(context: &SyncContext<Self>) -> Result<Vec<Record<Self::Item>>> {
                context.table::<Self::Item>().all().load().await
            }

            fn pull<'c>(context: &'c SyncContext<Self>, query: Option<&str>) -> Pull<'c, Self> {
                match query {
                    Some(query) => context.pull(query, $release::Item::all()),
                    None => context.pull_all($release::Item::all()),
                }
            }

            fn purge(context: &SyncContext<Self>, rank: Option<i64>) -> PurgeRows<'_, Self> {
                match rank {
                    Some(rank) => context.purge($release::Item::rank.lt(rank)),
                    None => context.purge($release::Item::all()),
                }
            }
        }
    };
}

app!(first, "migrations/first", false,);
app!(second, "migrations/second", true, note);

/// Opens a database of this release: makes it, migrates it, or neither.
pub(super) async fn open<A: App>(url: &str, dialect: Dialect, database: &Path) -> Result<SyncContext<A>> {
    SyncContext::<A>::builder(url)
        .dialect(dialect)
        .profile(ServerProfile::sync_server())
        .database(database)
        .migrations(A::migrations())
        .open()
        .await
}
