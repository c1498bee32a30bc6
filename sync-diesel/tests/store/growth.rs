//! Tables that changed while rows were kept beside them: foreign keys (S-06, S-14), and changes that wait (I-1, S-04).

use std::path::Path;

use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel::{RunQueryDsl, SqliteConnection};
use sync_core::ErrorKind;
use sync_core::entity::{SyncEntity, TableSchema};
use sync_core::operation::FailureClass;
use sync_core::page::PageSummary;
use sync_core::protocol::Dialect;
use sync_core::store::{Exchange, Exchanged, LocalStore, Page, PullBatch, Take, UpdateBody};
use sync_diesel::schema::{create_table_sql, remove_capture};
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
        connection
            .batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON")
            .expect("the pragmas are known");
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

    /// Opens as the first release with these migrations does.
    async fn migrate<A: SyncSchema>(&self, sql: &str) -> sync_core::Result<DieselStore> {
        let sql = sql.to_owned();
        let path = self.folder.path().join("app.db");
        DieselStore::open_with(path, A::TABLES, DatabaseOptions::default(), move |conn| {
            remove_capture(conn, A::TABLES)?;
            conn.batch_execute(&sql).expect("a migration");
            Ok(())
        })
        .await
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

mod renamed {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity)]
    pub(super) struct Todo {
        pub(super) title: String,
        pub(super) list: Option<String>,
    }

    sync_schema!(pub(super) App: Todo);
}

mod other_table {
    use sync_diesel::prelude::*;

    #[derive(SyncEntity)]
    pub(super) struct Task {
        pub(super) text: String,
        pub(super) list: Option<String>,
    }

    sync_schema!(pub(super) App: Task);
}

mod without_todos {
    use sync_diesel::prelude::*;

    pub(super) use super::first::List;

    sync_schema!(pub(super) App: List in super::first::list);
}

/// An app of the second release whose rows `text`, `list` and `both` have these columns changed.
async fn edited() -> App {
    let app = App::of(second::App::schemas());
    let store = app.open::<second::App>().await;
    pull(&store, second::List::SCHEMA, &format!("{},{}", list("a"), list("b"))).await;
    let todos = ["text", "list", "both"].map(|id| todo(id, ",\"list\":\"a\""));
    pull(&store, second::Todo::SCHEMA, &todos.join(",")).await;
    store.close().await;
    app.sql("UPDATE \"Todo\" SET text = 'bread' WHERE id <> 'list'; UPDATE \"Todo\" SET list = 'b' WHERE id <> 'text'");
    app
}

/// What a push takes: ids with the columns sent.
async fn taken(store: &DieselStore) -> (Vec<(String, Vec<&'static str>)>, Exchanged) {
    let session = store.begin_push().await.expect("a push");
    let take = Take { update_body: UpdateBody::Changed, ..Take::first(9) };
    let exchange = Exchange { session, settlements: Vec::new(), take: Some(take) };
    let exchanged = store.exchange(exchange).await.expect("a step");
    let sent = exchanged.taken.iter().map(|sent| {
        let columns = sent.table.columns.iter().zip(&sent.item.values);
        let names = columns.filter(|(_, value)| value.is_some()).map(|(column, _)| column.name);
        (sent.key.item_id.clone(), names.collect())
    });
    (sent.collect(), exchanged)
}

fn own(sent: &[(&str, &[&'static str])]) -> Vec<(String, Vec<&'static str>)> {
    sent.iter().map(|(id, columns)| ((*id).to_owned(), columns.to_vec())).collect()
}

const RENAME: &str = "ALTER TABLE \"Todo\" RENAME COLUMN text TO title";

#[tokio::test]
async fn i_1_a_renamed_column_takes_no_change_with_it() {
    let app = edited().await;
    let error = app.migrate::<renamed::App>(RENAME).await.expect_err("changes of the column wait");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("Todo")));
    for words in ["2 changes of column text", "rename_column"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    // Renamed by hand before, nobody can tell what was changed.
    app.sql(RENAME);
    let error = app.migrate::<renamed::App>("").await.expect_err("changes of the column may wait");
    assert!(error.to_string().contains("3 changes"), "{error}");
    app.sql("ALTER TABLE \"Todo\" RENAME COLUMN title TO text");

    // The release that has the column still sends them.
    let store = app.open::<second::App>().await;
    let (sent, _) = taken(&store).await;
    assert_eq!(sent, own(&[("text", &["text"]), ("both", &["text", "list"]), ("list", &["list"])]));
}

#[tokio::test]
async fn i_1_a_rename_without_changes_of_the_column_is_none_of_the_queues_business() {
    let app = edited().await;
    app.sql("DELETE FROM __operations WHERE item_id <> 'list'; DELETE FROM __shadow WHERE item_id <> 'list'");
    let store = app.migrate::<renamed::App>(RENAME).await.expect("a store");
    assert_eq!(taken(&store).await.0, own(&[("list", &["list"])]));
}

#[tokio::test]
async fn r_7_a_rename_migration_rewrites_what_waits() {
    let app = edited().await;
    // One of them is under way, and one is deleted.
    let store = app.open::<second::App>().await;
    let session = store.begin_push().await.expect("a push");
    let exchange = Exchange { session, settlements: Vec::new(), take: Some(Take::first(1)) };
    store.exchange(exchange).await.expect("a step");
    store.close().await;
    app.sql("DELETE FROM \"Todo\" WHERE id = 'list'");

    let sql = sync_diesel::migration::rename_column("Todo", "text", "title");
    let store = app.migrate::<renamed::App>(&sql).await.expect("a store");
    assert_eq!(app.lines("SELECT title AS line FROM \"Todo\" WHERE id = 'text'"), ["bread"]);
    let (sent, exchanged) = taken(&store).await;
    assert_eq!(sent, own(&[("text", &["title"]), ("both", &["title", "list"])]));
    assert_eq!((exchanged.unneeded, exchanged.damaged), (0, vec![]));
    assert!(exchanged.taken[0].uncertain);
    let left = "SELECT item AS line FROM __shadow WHERE item LIKE '%\"text\":%'
        UNION ALL SELECT seq FROM __operations WHERE item LIKE '%\"text\":%' OR sent_item LIKE '%\"text\":%'";
    assert_eq!(app.lines(left), Vec::<String>::new());
    let deleted = "SELECT item ->> '$.title' AS line FROM __operations WHERE kind = 2";
    assert_eq!(app.lines(deleted), ["milk"]);
}

#[tokio::test]
async fn i_1_a_dropped_column_takes_no_change_with_it() {
    let app = edited().await;
    // SQLite does not drop a column with a foreign key: rebuilt.
    let rebuild = format!(
        "{}; INSERT INTO \"new\" (id, __version, __updatedAt, __deleted, text)
         SELECT id, __version, __updatedAt, __deleted, text FROM \"Todo\";
         DROP TABLE \"Todo\"; ALTER TABLE \"new\" RENAME TO \"Todo\";",
        create_table_sql(first::Todo::SCHEMA).replacen("\"Todo\"", "\"new\"", 1)
    );
    let error = app.migrate::<first::App>(&rebuild).await.expect_err("changes of the column wait");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("Todo")));
    assert!(error.to_string().contains("2 changes of column list"), "{error}");

    // The way out, if they may go.
    let given_up = format!("{} {rebuild}", sync_diesel::migration::give_up_column("Todo", "list"));
    let store = app.migrate::<first::App>(&given_up).await.expect("a store");
    let (sent, exchanged) = taken(&store).await;
    assert_eq!(sent, own(&[("text", &["text"]), ("both", &["text"])]));
    assert_eq!((exchanged.unneeded, exchanged.damaged), (1, vec![]));
}

#[tokio::test]
async fn p_20i_changes_of_a_column_that_the_entity_does_not_have_are_kept_and_told() {
    let app = edited().await;
    let store = app.open::<first::App>().await;
    let (sent, exchanged) = taken(&store).await;
    // What changed nothing else goes as ever.
    assert_eq!(sent, own(&[("text", &["text"])]));
    let damaged: Vec<_> = exchanged.damaged.iter().map(|key| key.item_id.as_str()).collect();
    assert_eq!((damaged, exchanged.unneeded), (vec!["both", "list"], 0));
    let errors = store.errors(None).await.expect("errors");
    for error in &errors {
        assert_eq!(error.class, FailureClass::Damaged);
        assert!(error.message.contains("column list"), "{error:?}");
    }
    assert_eq!(errors.len(), 2);
    store.close().await;
    // The release that has it sends them.
    let store = app.open::<second::App>().await;
    let (sent, exchanged) = taken(&store).await;
    assert_eq!(sent, own(&[("text", &["text"]), ("both", &["text", "list"]), ("list", &["list"])]));
    assert_eq!((exchanged.unneeded, exchanged.damaged), (0, vec![]));
}

#[tokio::test]
async fn i_1_a_table_that_is_gone_takes_no_change_with_it() {
    let app = edited().await;
    let rename = "ALTER TABLE \"Todo\" RENAME TO \"Task\"";
    let drop = "DROP TABLE \"Todo\"";
    let error = app.migrate::<other_table::App>(rename).await.expect_err("changes of the table wait");
    assert_eq!((error.kind(), error.table()), (ErrorKind::SchemaMismatch, Some("Todo")));
    for words in ["3 changes", "rename_table"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    app.migrate::<without_todos::App>(drop).await.expect_err("changes of the table wait");
    // A table that only the entities lack is left alone with its changes.
    app.migrate::<without_todos::App>("").await.expect("a store").close().await;

    let renamed = sync_diesel::migration::rename_table("Todo", "Task");
    let store = app.migrate::<other_table::App>(&renamed).await.expect("a store");
    let (sent, _) = taken(&store).await;
    assert_eq!(sent, own(&[("text", &["text"]), ("both", &["text", "list"]), ("list", &["list"])]));

    // The way out, if they may go.
    let app = edited().await;
    let given_up = format!("DELETE FROM \"__operations\" WHERE table_name = 'Todo'; {drop}");
    app.migrate::<without_todos::App>(&given_up).await.expect("a store");
}

#[tokio::test]
async fn p_20i_a_new_row_with_a_value_that_the_entity_does_not_have_waits() {
    let app = App::of(second::App::schemas());
    app.sql("INSERT INTO \"List\" (id, name) VALUES ('a', 'home')");
    app.open::<second::App>().await.close().await;
    app.sql("INSERT INTO \"Todo\" (id, text, list) VALUES ('with', 'milk', 'a'), ('without', 'milk', NULL)");
    app.sql("DELETE FROM __operations WHERE table_name = 'List'");
    // What a column's default gives is nobody's value.
    app.sql("ALTER TABLE \"Todo\" ADD COLUMN mood TEXT NOT NULL DEFAULT 'so?'");
    app.sql("UPDATE __columns SET columns = '[\"text\",\"list\",\"mood\"]' WHERE table_name = 'Todo'");
    let store = app.open::<first::App>().await;
    let (sent, exchanged) = taken(&store).await;
    assert_eq!(sent, own(&[("without", &["text"])]));
    assert_eq!(exchanged.damaged.len(), 1);
    store.close().await;
    app.sql("DELETE FROM __operations WHERE item_id = 'without'");
    let store = app.open::<second::App>().await;
    assert_eq!(taken(&store).await.0, own(&[("with", &["text", "list"])]));
}

#[tokio::test]
async fn s_04_a_dropped_fields_column_is_captured_and_kept_as_it_is() {
    let app = edited().await;
    app.sql("DELETE FROM __operations; DELETE FROM __shadow");
    let store = app.open::<first::App>().await;
    // An edit of what is left goes as ever, with the column in its base.
    app.sql("UPDATE \"Todo\" SET text = 'jam' WHERE id = 'text'");
    assert_eq!(app.lines("SELECT item ->> '$.list' AS line FROM __shadow"), ["a"]);
    assert_eq!(taken(&store).await.0, own(&[("text", &["text"])]));
    store.close().await;
    app.sql("UPDATE __operations SET state = 0, sent_kind = NULL, sent_item = NULL, sent_columns = NULL");
    // Not changed, it may be dropped at any time.
    let rebuild = format!(
        "{}; INSERT INTO \"new\" (id, __version, __updatedAt, __deleted, text)
         SELECT id, __version, __updatedAt, __deleted, text FROM \"Todo\";
         DROP TABLE \"Todo\"; ALTER TABLE \"new\" RENAME TO \"Todo\";",
        create_table_sql(first::Todo::SCHEMA).replacen("\"Todo\"", "\"new\"", 1)
    );
    let store = app.migrate::<first::App>(&rebuild).await.expect("a store");
    assert_eq!(taken(&store).await.0, own(&[("text", &["text"])]));
    assert_eq!(app.lines("SELECT key AS line FROM __config WHERE key LIKE 'others:%'"), Vec::<String>::new());
}

#[tokio::test]
async fn l_24_a_migration_that_only_drops_an_index_lets_in_what_waited_for_it() {
    let app = App::of(first::App::schemas());
    app.sql("CREATE UNIQUE INDEX one_text ON \"Todo\" (text)");
    let store = app.open::<first::App>().await;
    pull(&store, first::Todo::SCHEMA, &format!("{},{}", todo("a", ""), todo("b", ""))).await;
    assert_eq!(app.waiting(), ["b"]);
    store.close().await;
    app.migrate::<first::App>("DROP INDEX one_text").await.expect("a store");
    assert_eq!(app.waiting(), Vec::<String>::new());
    assert_eq!(app.lines("SELECT id AS line FROM \"Todo\" ORDER BY id"), ["a", "b"]);
}

#[tokio::test]
async fn s_06_a_value_that_a_new_column_refuses_makes_it_not_look_changed() {
    let app = App::of(first::App::schemas());
    let store = app.open::<first::App>().await;
    let ids = ["check", "key", "free"];
    let members = [",\"n\":9", ",\"list\":\"late\",\"n\":1", ",\"n\":2"];
    let rows: Vec<String> = ids.iter().zip(members).map(|(id, members)| todo(id, members)).collect();
    pull(&store, first::Todo::SCHEMA, &rows.join(",")).await;
    store.close().await;
    app.sql("UPDATE \"Todo\" SET text = 'bread'");
    app.grow(LIST);
    app.grow("n INTEGER CHECK (n < 5)");
    app.sql("ALTER TABLE \"List\" ADD COLUMN color TEXT");

    let store = app.open::<third::App>().await;
    let n = "SELECT printf('%s %s', id, coalesce(n, '-')) AS line FROM \"Todo\" ORDER BY rowid";
    assert_eq!(
        (app.orphans(), app.lines(n)),
        (vec![], ["check -", "key -", "free 2"].map(str::to_owned).to_vec())
    );
    assert_eq!(taken(&store).await.0, own(&[("check", &["text"]), ("key", &["text"]), ("free", &["text"])]));
}
