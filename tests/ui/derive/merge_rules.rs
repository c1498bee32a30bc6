use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    #[sync(merge = add)]
    text: String,
    #[sync(merge = max)]
    owner: String,
    #[sync(merge = unite)]
    tags: String,
    #[sync(merge = min, local)]
    position: i64,
    #[sync(merge)]
    rank: i64,
}

fn main() {}
