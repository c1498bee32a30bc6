//! Structs that declare the system columns, with Diesel's own derives beside ours.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use sync_diesel::core::entity::SyncEntity as _;
use sync_diesel::core::row::Row;
use sync_diesel::{Record, SyncEntity, sync_schema};

use super::{create, database};

#[derive(SyncEntity, Identifiable, Insertable, AsChangeset, Clone, Debug, PartialEq)]
#[diesel(table_name = list)]
struct List {
    id: String,
    name: String,
}

#[derive(SyncEntity, Identifiable, Associations, Insertable, AsChangeset, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
#[diesel(table_name = todo, belongs_to(List))]
struct Todo {
    text: String,
    version: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    id: String,
    deleted: bool,
    #[sync(belongs_to = List)]
    list_id: Option<String>,
    rank: i32,
}

sync_schema!(AppSchema: List, Todo);

fn milk() -> Todo {
    Todo {
        text: "Pick up milk".into(),
        version: None,
        updated_at: None,
        id: "1".into(),
        deleted: false,
        list_id: Some("l".into()),
        rank: 3,
    }
}

fn filled() -> SqliteConnection {
    let mut conn = database(&[
        &create("TodoItem", "text TEXT NOT NULL, listId TEXT, rank INTEGER NOT NULL"),
        &create("List", "name TEXT NOT NULL"),
    ]);
    assert_eq!(<AppSchema as sync_diesel::schema::SyncSchema>::TABLES.len(), 2);
    let list = List { id: "l".into(), name: "Groceries".into() };
    diesel::insert_into(list::table)
        .values(&list)
        .execute(&mut conn)
        .expect("the test database can be filled");
    diesel::insert_into(todo::table)
        .values(milk())
        .execute(&mut conn)
        .expect("the test database can be filled");
    conn
}

#[test]
fn declared_columns_are_filled_from_a_row() {
    let mut row = Row::new("1", milk().to_values());
    row.version = Some("v".into());
    row.updated_at = Some(DateTime::UNIX_EPOCH);
    row.deleted = true;
    let expected = Todo { version: row.version.clone(), updated_at: row.updated_at, deleted: true, ..milk() };
    assert_eq!(Todo::from_row(&row).unwrap(), expected);
    assert_eq!((expected.declared_id(), expected.declared_version()), (Some("1"), Some("v")));
    let record = Record::<Todo>::from_row(&row).unwrap();
    assert_eq!((record.id(), record.version(), record.is_deleted()), ("1", Some("v"), true));
    assert_eq!(record.updated_at(), Some(DateTime::UNIX_EPOCH));
    assert_eq!(record.into_inner(), expected);
    assert_eq!(Todo::SCHEMA.columns.len(), 3, "system columns are no columns of the app");
}

#[test]
fn declared_columns_are_filled_by_diesel() {
    let conn = &mut filled();
    diesel::sql_query("UPDATE TodoItem SET __version = 'v', __updatedAt = '1970-01-01 00:00:00+00:00'")
        .execute(conn)
        .unwrap();
    let todo: Todo = todo::table.select(Todo::as_select()).first(conn).unwrap();
    let expected = Todo { version: Some("v".into()), updated_at: Some(DateTime::UNIX_EPOCH), ..milk() };
    assert_eq!(todo, expected);
}

#[test]
fn diesels_own_derives_work_beside_ours() {
    let conn = &mut filled();
    let list: List = list::table.select(List::as_select()).first(conn).unwrap();
    let todos: Vec<Todo> = Todo::belonging_to(&list).select(Todo::as_select()).load(conn).unwrap();
    assert_eq!(todos, [milk()]);
    let grouped = todos.grouped_by(std::slice::from_ref(&list));
    assert_eq!(grouped[0].len(), 1);

    let changed = Todo { text: "Buy milk".into(), ..milk() };
    diesel::update(&changed).set(&changed).execute(conn).unwrap();
    let read: Vec<Record<Todo>> =
        Todo::belonging_to(&list).select(Record::<Todo>::as_select()).load(conn).unwrap();
    assert_eq!((read[0].id(), read[0].text.as_str()), ("1", "Buy milk"));
    diesel::delete(&changed).execute(conn).unwrap();
    let left: Option<Todo> = todo::table.select(Todo::as_select()).first(conn).optional().unwrap();
    assert_eq!(left, None);
}
