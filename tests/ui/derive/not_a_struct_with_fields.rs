use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Tuple(String, bool);

#[derive(SyncEntity)]
struct Unit;

#[derive(SyncEntity)]
struct Empty {}

#[derive(SyncEntity)]
enum Choice {
    One,
}

#[derive(SyncEntity)]
union Bits {
    float: f32,
    integer: u32,
}

fn main() {}
