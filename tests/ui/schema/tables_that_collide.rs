use sync_diesel::{SyncEntity, sync_schema};

#[derive(SyncEntity)]
struct Todo {
    text: String,
}

#[derive(SyncEntity)]
#[sync(table = "TODO")]
struct Task {
    text: String,
}

sync_schema!(pub AppSchema: Todo, Task);

fn main() {}
