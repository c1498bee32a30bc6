use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(table = "TodoItem", no_version)]
#[sync(table = "Todo")]
struct Todo {
    #[sync(rename = "a", local, rename = "b")]
    text: String,
}

fn main() {}
