use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    #[sync(default = 1)]
    text: String,
    #[sync(default = "yes")]
    complete: bool,
    #[sync(default = 300)]
    rank: u8,
    #[sync(default = -1)]
    count: u32,
    #[sync(default = i32::MAX)]
    limit: i32,
}

fn main() {}
