use sync_diesel::prelude::*;

#[derive(SyncEntity)]
struct Todo {
    text: String,
    priority: i32,
    bytes: i64,
    due_at: Option<DateTime<Utc>>,
}

#[derive(SyncEntity)]
struct List {
    name: String,
}

fn main() {
    let _ = Todo::text.contains(1);
    let _ = Todo::text.to_lower().eq(Todo::priority);
    let _ = Todo::priority + Todo::bytes;
    let _ = Todo::due_at.date().eq(2024);
    let _ = Todo::text.concat(List::name);
    let _ = Todo::text.is_in([1, 2]);
    let _ = Todo::text.length() & Todo::text.eq("a");
}
