//! Schema metadata, associated constants and `all()`.

use chrono::{DateTime, Utc};
use sync_diesel::core::entity::{self, ColumnRole, SyncEntity as _};
use sync_diesel::core::predicate::{Node, Predicate};
use sync_diesel::core::value::{ColumnType, IntegerWidth};
use sync_diesel::schema::SyncSchema;
use sync_diesel::{SyncEntity, sync_schema};

#[derive(SyncEntity)]
#[sync(table = "TodoItem", rename_all = "camelCase", keep_deleted)]
struct Todo {
    text: String,
    #[sync(default = false)]
    complete: bool,
    due_at: Option<DateTime<Utc>>,
    #[sync(rename = "Rank", default = -3)]
    priority: i16,
    #[sync(local, default = "it's")]
    note: Option<String>,
    #[sync(belongs_to = List)]
    list_id: Option<String>,
}

#[derive(SyncEntity)]
#[sync(no_version)]
struct List {
    name: String,
    pinned: Option<String>,
    #[sync(belongs_to = Self)]
    parent: Option<String>,
    #[sync(belongs_to = List)]
    origin: Option<String>,
}

// The list in another crate would look like this.
sync_schema!(#[sync(no_joins)] pub(crate) AppSchema: Todo, crate::metadata::List);

#[test]
fn schema_says_what_was_declared() {
    let schema = Todo::SCHEMA;
    assert_eq!((schema.name, schema.versioned, schema.keep_deleted), ("TodoItem", true, true));
    let names: Vec<_> = schema.columns.iter().map(|column| (column.name, column.field)).collect();
    let expected = [
        ("text", "text"),
        ("complete", "complete"),
        ("dueAt", "due_at"),
        ("Rank", "priority"),
        ("note", "note"),
        ("listId", "list_id"),
    ];
    assert_eq!(names, expected);
    let types: Vec<_> = schema.columns.iter().map(|column| (column.ty, column.nullable)).collect();
    let expected = [
        (ColumnType::Text, false),
        (ColumnType::Bool, false),
        (ColumnType::DateTime, true),
        (ColumnType::Integer(IntegerWidth::I16), false),
        (ColumnType::Text, true),
        (ColumnType::Text, true),
    ];
    assert_eq!(types, expected);
    let defaults: Vec<_> = schema.columns.iter().map(|column| column.default).collect();
    assert_eq!(defaults, [None, Some("0"), None, Some("-3"), Some("'it''s'"), None]);
    assert!(schema.columns.iter().all(|column| column.role == ColumnRole::User));
    assert_eq!(schema.columns.iter().filter(|column| column.local).count(), 1);

    assert_eq!(
        (List::SCHEMA.name, List::SCHEMA.versioned, List::SCHEMA.keep_deleted),
        ("List", false, false)
    );
}

#[test]
fn references_name_the_parents_table() {
    assert_eq!(Todo::SCHEMA.columns[5].belongs_to, Some("List"));
    let parents: Vec<_> = List::SCHEMA.columns.iter().map(|column| column.belongs_to).collect();
    assert_eq!(parents, [None, None, Some("List"), Some("List")]);
}

#[test]
fn constants_stand_for_the_columns() {
    assert!(std::ptr::eq(Todo::due_at.schema(), &Todo::SCHEMA.columns[2]));
    assert!(std::ptr::eq(Todo::id.schema(), &entity::ID));
    assert!(std::ptr::eq(Todo::version.schema(), &entity::VERSION));
    assert!(std::ptr::eq(Todo::updated_at.schema(), &entity::UPDATED_AT));
    assert!(std::ptr::eq(Todo::deleted.schema(), &entity::DELETED));
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let filter = Todo::text.contains("milk") & Todo::due_at.lt(now) & !Todo::complete & Todo::id.ne("1");
    assert_eq!(Predicate::from(filter).table.name, "TodoItem");
}

#[test]
fn r_18_all_is_a_function_of_the_entity() {
    assert_eq!(Predicate::from(Todo::all()), Predicate { table: Todo::SCHEMA, node: Node::ALWAYS });
}

#[test]
fn schema_lists_the_entities_in_order() {
    let names: Vec<_> = AppSchema::TABLES.iter().map(|entry| entry.schema().name).collect();
    assert_eq!(names, ["TodoItem", "List"]);
}

#[test]
fn values_stand_in_the_order_of_the_columns() {
    use sync_diesel::core::row::Row;
    use sync_diesel::core::value::Value;

    let todo = Todo {
        text: "milk".into(),
        complete: true,
        due_at: None,
        priority: 7,
        note: None,
        list_id: Some("l".into()),
    };
    let values = todo.to_values();
    let expected = [
        Value::Text("milk".into()),
        Value::Bool(true),
        Value::Null,
        Value::Integer(7),
        Value::Null,
        Value::Text("l".into()),
    ];
    assert_eq!(values, expected);
    assert_eq!((todo.declared_id(), todo.declared_version()), (None, None));

    let list = List::from_row(&Row::empty(List::SCHEMA, "1"));
    assert!(list.is_err_and(|error| error.to_string().contains("name")));
}
