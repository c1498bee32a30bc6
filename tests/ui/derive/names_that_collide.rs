use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(rename_all = "camelCase")]
struct Todo {
    due_at: String,
    #[sync(rename = "DUEAT")]
    other: String,
    all: bool,
    #[sync(column = id)]
    key: String,
}

fn main() {}
