use sync_diesel::SyncEntity;

struct List;

#[derive(SyncEntity)]
struct Todo {
    #[sync(belongs_to = List)]
    list: String,
}

fn main() {}
