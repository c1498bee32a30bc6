use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(tabel = "TodoItem", rename = "Todo")]
struct Todo {
    #[sync(nmae = "text")]
    text: String,
    #[sync(table = "done")]
    complete: bool,
}

fn main() {}
