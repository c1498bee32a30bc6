use sync_diesel::{SyncEntity, sync_schema};

#[derive(SyncEntity)]
struct Todo {
    text: String,
}

sync_schema!(#[sync(joins)] pub AppSchema: Todo);
sync_schema!(pub Empty:);
sync_schema!(pub Twice: Todo, Todo);

fn main() {}
