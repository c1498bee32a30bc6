//! Joins of entities that refer to each other, and `Record` inside them.

use diesel::prelude::*;
use sync_diesel::{Record, SyncEntity, sync_schema};

use super::{create, database};

#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", rename_all = "camelCase")]
struct Todo {
    text: String,
    #[sync(belongs_to = List)]
    list_id: Option<String>,
    #[sync(belongs_to = Person)]
    author: Option<String>,
    #[sync(belongs_to = Person)]
    assignee: Option<String>,
}

#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(module = lists)]
struct List {
    name: String,
}

#[derive(SyncEntity, Clone, Debug, PartialEq)]
struct Person {
    name: String,
}

sync_schema!(AppSchema: Todo, List in lists, Person);

fn filled() -> SqliteConnection {
    let mut conn = database(&[
        &create("TodoItem", "text TEXT NOT NULL, listId TEXT, author TEXT, assignee TEXT"),
        &create("List", "name TEXT NOT NULL"),
        &create("Person", "name TEXT NOT NULL"),
        "INSERT INTO List (id, name, __version) VALUES ('l', 'Groceries', 'v1')",
        "INSERT INTO Person (id, name) VALUES ('p', 'Ada')",
        "INSERT INTO TodoItem (id, text, listId, author, __version, __updatedAt)
         VALUES ('1', 'Pick up milk', 'l', 'p', 'v2', '2024-01-02 03:04:05.678+00:00')",
        "INSERT INTO TodoItem (id, text) VALUES ('2', 'Sleep')",
    ]);
    let tables = <AppSchema as sync_diesel::schema::SyncSchema>::TABLES;
    let count: i64 = todo::table.count().get_result(&mut conn).expect("the test database can be filled");
    assert_eq!((tables.len(), count), (3, 2));
    conn
}

#[test]
fn records_are_selected_in_join_tuples() {
    let conn = &mut filled();
    let joined: Vec<(Record<Todo>, List)> = todo::table
        .inner_join(lists::table)
        .filter(lists::name.eq("Groceries"))
        .select((Record::<Todo>::as_select(), List::as_select()))
        .load(conn)
        .unwrap();
    let [(milk, list)] = &joined[..] else { panic!("one row expected: {joined:?}") };
    assert_eq!((milk.id(), milk.version(), milk.is_deleted()), ("1", Some("v2"), false));
    assert_eq!(milk.updated_at().map(|at| at.timestamp_millis()), Some(1_704_164_645_678));
    assert_eq!(milk.text, "Pick up milk");
    assert_eq!(list.name, "Groceries");

    let both: Vec<(Record<List>, Record<Todo>)> = lists::table
        .inner_join(todo::table)
        .select((Record::<List>::as_select(), Record::<Todo>::as_select()))
        .load(conn)
        .unwrap();
    assert_eq!((both.len(), both[0].0.version(), both[0].1.id()), (1, Some("v1"), "1"));
}

#[test]
fn a_left_join_gives_none_for_no_parent() {
    let conn = &mut filled();
    let joined: Vec<(Todo, Option<List>)> = todo::table
        .left_join(lists::table)
        .order(todo::id)
        .select((Todo::as_select(), Option::<List>::as_select()))
        .load(conn)
        .unwrap();
    assert!(joined[0].1.is_some() && joined[1].1.is_none(), "{joined:?}");
    let records: Vec<(Record<Todo>, Option<Record<List>>)> = todo::table
        .left_join(lists::table)
        .order(todo::id)
        .select((Record::<Todo>::as_select(), Option::<Record<List>>::as_select()))
        .load(conn)
        .unwrap();
    assert_eq!(records[0].1.as_ref().map(|list| list.id()), Some("l"));
    assert_eq!(records[1].1, None);
}

#[test]
fn two_references_to_one_parent_are_joined_by_on() {
    let conn = &mut filled();
    let names: Vec<(String, String)> = todo::table
        .inner_join(person::table.on(todo::author.eq(person::id.nullable())))
        .select((todo::text, person::name))
        .load(conn)
        .unwrap();
    assert_eq!(names, [(String::from("Pick up milk"), String::from("Ada"))]);
}

#[test]
fn tables_of_one_schema_meet_in_subqueries() {
    let conn = &mut filled();
    let with_list: Vec<String> = todo::table
        .filter(diesel::dsl::exists(lists::table.filter(todo::list_id.eq(lists::id.nullable()))))
        .select(todo::text)
        .load(conn)
        .unwrap();
    assert_eq!(with_list, ["Pick up milk"]);
}

#[test]
fn records_come_back_from_writes() {
    let conn = &mut filled();
    let inserted: Record<List> = diesel::insert_into(lists::table)
        .values((lists::id.eq("n"), lists::name.eq("New")))
        .returning(Record::<List>::as_returning())
        .get_result(conn)
        .unwrap();
    assert_eq!(inserted, Record::new("n", List { name: "New".into() }));
    diesel::update(lists::table.find("n")).set(lists::name.eq("Newer")).execute(conn).unwrap();
    let mut read: Record<List> = lists::table.find("n").select(Record::as_select()).first(conn).unwrap();
    read.name.push('!');
    assert_eq!(read.clone().into_inner(), List { name: "Newer!".into() });
}
