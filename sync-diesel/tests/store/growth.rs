//! Tables that got columns, in a schema with foreign keys: what opening fills obeys them too (S-06, S-14).

use std::path::Path;

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel::{RunQueryDsl, SqliteConnection};
use sync_core::entity::{SyncEntity, TableSchema};
use sync_core::page::PageSummary;
use sync_core::protocol::Dialect;
use sync_core::store::{LocalStore, Page, PullBatch};
use sync_diesel::schema::create_table_sql;
use sync_diesel::{DatabaseOptions, DieselStore, SyncSchema};
use tempfile::TempDir;

use crate::support::{connect, scope};

/// Declares a release: a module with `List` and `Todo`, and these fields beside the first.
macro_rules! release {
    ($module:ident { $($of_list:tt)* } { $($fields:tt)* }) => {
        mod $module {
            use sync_diesel::prelude::*;

            #[derive(SyncEntity)]
            pub(super) struct List {
                pub(super) name: String,
                $($of_list)*
            }

            #[derive(SyncEntity)]
            pub(super) struct Todo {
                pub(super) text: String,
                $($fields)*
            }

            sync_schema!(pub(super) App: List, Todo);
        }
    };
}

release!(first {} {});
release!(second {} {
    pub(super) list: Option<String>,
});
release!(third { pub(super) color: Option<String>, } {
    pub(super) list: Option<String>,
    pub(super) n: Option<i64>,
});
release!(fourth { pub(super) color: Option<String>, } {
    pub(super) list: Option<String>,
    pub(super) n: Option<i64>,
    pub(super) m: Option<i64>,
});

const LIST: &str = "\"list\" TEXT REFERENCES \"List\" (\"id\")";

/// The database of a release whose todos refer to lists.
struct App {
    folder: TempDir,
}

impl App {
    /// With the tables of the first release, or of the second.
    fn of(schemas: impl Iterator<Item = &'static TableSchema>) -> Self {
        let app = Self { folder: TempDir::new().expect("a temporary directory") };
        for table in schemas {
            app.sql(&create_table_sql(table).replace("\"list\" TEXT", LIST));
        }
        app
    }

    fn connection(&self) -> SqliteConnection {
        let mut connection = connect(&self.folder.path().join("app.db"));
        connection.batch_execute("PRAGMA foreign_keys = ON").expect("the pragma is known");
        connection
    }

    fn sql(&self, text: &str) {
        self.connection().batch_execute(text).expect(text);
    }

    /// Adds a column as a migration does.
    fn grow(&self, column: &str) {
        self.sql(&format!("ALTER TABLE \"Todo\" ADD COLUMN {column}"));
    }

    async fn open<A: SyncSchema>(&self) -> DieselStore {
        let path: &Path = &self.folder.path().join("app.db");
        DieselStore::open(path, A::TABLES, DatabaseOptions::default()).await.expect("the store opens")
    }

    /// The result of a query, a line per row.
    fn lines(&self, text: &str) -> Vec<String> {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        let lines = diesel::sql_query(text).load::<Line>(&mut self.connection()).expect(text);
        lines.into_iter().map(|line| line.line).collect()
    }

    fn orphans(&self) -> Vec<String> {
        self.lines("SELECT \"table\" || ' ' || rowid AS line FROM pragma_foreign_key_check")
    }

    fn waiting(&self) -> Vec<String> {
        self.lines("SELECT item_id AS line FROM __quarantine ORDER BY item_id")
    }

    fn todos(&self) -> Vec<String> {
        self.lines("SELECT printf('%s %s', id, coalesce(list, '-')) AS line FROM \"Todo\" ORDER BY id")
    }
}

async fn pull(store: &DieselStore, table: &'static TableSchema, rows: &str) {
    let names = Dialect::MobileApps.names();
    let body = Bytes::from(format!("[{rows}]"));
    let summary = PageSummary::scan(&body, names).expect("a page");
    let pages = vec![Page { body, summary, names }];
    store.apply_pages(PullBatch { pages, ..PullBatch::new(table) }).await.expect("pages are stored");
}

fn list(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"name\":\"home\",\"version\":\"v1\",\"updatedAt\":\"2024-01-01T00:00:00Z\"}}")
}

fn todo(id: &str, members: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"text\":\"milk\",\"version\":\"v1\",\"updatedAt\":\"2024-01-01T00:00:00Z\"{members}}}"
    )
}

#[tokio::test]
async fn s_14_rows_that_wait_for_others_wait_when_a_table_grew_too() {
    let app = App::of(second::App::schemas());
    let store = app.open::<second::App>().await;
    pull(&store, second::List::SCHEMA, &format!("{},{}", list("parent"), list("dead"))).await;
    pull(&store, second::Todo::SCHEMA, &todo("of dead", ",\"list\":\"dead\"")).await;
    pull(&store, second::Todo::SCHEMA, &todo("early", ",\"list\":\"late\"")).await;
    let tombstone = list("dead").replace("\"v1\"", "\"v2\",\"deleted\":true");
    pull(&store, second::List::SCHEMA, &tombstone).await;
    assert_eq!(app.waiting(), ["dead", "early"]);
    store.close().await;

    app.grow("n INTEGER");
    app.sql("ALTER TABLE \"List\" ADD COLUMN color TEXT");
    let store = app.open::<third::App>().await;
    assert_eq!((app.orphans(), app.waiting()), (vec![], vec!["dead".to_owned(), "early".to_owned()]));
    assert_eq!(app.todos(), ["of dead dead"]);
    store.close().await;
    app.grow("m INTEGER");
    let store = app.open::<fourth::App>().await;

    // They come through as ever.
    pull(&store, fourth::List::SCHEMA, &list("late")).await;
    store.begin_pull(scope(fourth::Todo::SCHEMA, None)).await.expect("a pull");
    assert_eq!(app.todos(), ["early late", "of dead dead"]);
}

#[tokio::test]
async fn s_14_a_new_column_is_not_filled_with_what_its_foreign_key_refuses() {
    let app = App::of(first::App::schemas());
    let store = app.open::<first::App>().await;
    pull(&store, first::List::SCHEMA, &list("here")).await;
    let todos = [("late", "late"), ("here", "here"), ("edited", "late")];
    for (id, list) in todos {
        pull(&store, first::Todo::SCHEMA, &todo(id, &format!(",\"list\":\"{list}\",\"color\":1"))).await;
    }
    store.close().await;
    app.sql("UPDATE \"Todo\" SET text = 'bread' WHERE id = 'edited'");

    app.grow(LIST);
    let store = app.open::<second::App>().await;
    assert_eq!(
        (app.orphans(), app.todos()),
        (vec![], ["edited -", "here here", "late -"].map(str::to_owned).to_vec())
    );
    // What is kept for the pull to come is whole.
    assert_eq!(
        app.lines("SELECT item_id || json AS line FROM __extra ORDER BY item_id"),
        ["edited{\"list\":\"late\",\"color\":1}", "here{\"color\":1}", "late{\"list\":\"late\",\"color\":1}"]
    );
    store.close().await;
    app.grow("n INTEGER");
    app.sql("ALTER TABLE \"List\" ADD COLUMN color TEXT");
    let store = app.open::<third::App>().await;
    pull(&store, third::List::SCHEMA, &list("late")).await;
    let mut refill = PullBatch { refill: true, ..PullBatch::new(third::Todo::SCHEMA) };
    let names = Dialect::MobileApps.names();
    let body = Bytes::from(format!("[{}]", todo("late", ",\"list\":\"late\"")));
    let summary = PageSummary::scan(&body, names).expect("a page");
    refill.pages.push(Page { body, summary, names });
    store.apply_pages(refill).await.expect("pages are stored");
    assert_eq!(app.todos(), ["edited -", "here here", "late late"]);
}
