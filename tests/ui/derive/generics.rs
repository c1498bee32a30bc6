use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo<T> {
    text: T,
}

#[derive(SyncEntity)]
struct Borrowed<'a> {
    text: &'a str,
}

fn main() {}
