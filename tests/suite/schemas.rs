//! R17: entities and Diesel tables in a crate that depends on another one's entities, as an app's crate on a shared
//! one. That this compiles is most of the test: a list of entities must leave later crates free to declare tables.

use diesel::prelude::*;
use sync_diesel::prelude::*;
use sync_diesel::schema::SyncSchema;
use sync_tests::model::{self, Unknown};

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Text,
    }
}

mod shelf {
    use sync_diesel::prelude::*;

    /// Its module is named by hand.
    #[derive(SyncEntity, Clone, Debug, PartialEq)]
    #[sync(module = books)]
    pub(super) struct Book {
        pub(super) title: String,
    }
}

#[derive(SyncEntity, Clone, Debug, PartialEq)]
struct Reader {
    name: String,
    #[sync(belongs_to = shelf::Book)]
    book: String,
}

sync_schema!(Library: shelf::Book in shelf::books, Reader);
// Everything this app syncs: its own entities and the other crate's.
sync_schema!(#[sync(no_joins)] Everything: shelf::Book, Reader, model::Todo, Unknown);

#[test]
fn r_17_tables_can_be_declared_after_another_crates_entities() {
    let names: Vec<_> = Everything::schemas().map(|table| table.name).collect();
    assert_eq!(names, ["Book", "Reader", "TodoItem", "NoSuchTable"]);
    assert_eq!(Library::schemas().count(), 2);

    let mut conn = SqliteConnection::establish(":memory:").expect("a database");
    for table in Library::schemas() {
        diesel::sql_query(create_table_sql(table)).execute(&mut conn).expect("a table");
    }
    diesel::sql_query("CREATE TABLE settings (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
        .execute(&mut conn)
        .expect("a table");
    diesel::sql_query("INSERT INTO \"Book\" (id, title) VALUES ('b', 'Emma')")
        .execute(&mut conn)
        .expect("a row");
    diesel::sql_query("INSERT INTO \"Reader\" (id, name, book) VALUES ('r', 'Ada', 'b')")
        .execute(&mut conn)
        .expect("a row");
    let found: Vec<(String, String)> = reader::table
        .inner_join(shelf::books::table)
        .filter(shelf::Book::title.starts_with("Em"))
        .select((reader::name, shelf::books::title))
        .load(&mut conn)
        .expect("joined rows");
    assert_eq!(found, [("Ada".to_owned(), "Emma".to_owned())]);
    assert_eq!(settings::table.count().get_result::<i64>(&mut conn), Ok(0));
}
