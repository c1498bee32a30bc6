use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    text: String,
}

#[derive(SyncEntity)]
struct List {
    name: String,
}

fn main() {
    let _ = Todo::text.eq(List::name);
    let _ = Todo::text.eq("milk").and(List::name.eq("Groceries"));
}
