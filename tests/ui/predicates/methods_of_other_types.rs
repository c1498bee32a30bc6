use sync_diesel::prelude::*;

#[derive(SyncEntity)]
struct Todo {
    text: String,
    complete: bool,
    priority: i32,
    due_at: Option<DateTime<Utc>>,
}

fn main() {
    let _ = Todo::priority.contains("1");
    let _ = Todo::priority.length();
    let _ = Todo::text.year();
    let _ = Todo::text.round();
    let _ = Todo::text + "x";
    let _ = Todo::due_at - 1;
    let _ = !Todo::priority;
    let _ = Todo::complete.gt(false);
}
