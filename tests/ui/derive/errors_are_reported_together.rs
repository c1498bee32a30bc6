use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(tabel = "TodoItem")]
struct Todo {
    id: i64,
    #[sync(rename = "a b")]
    wide: u64,
}

fn main() {}
