use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    text: String,
    complete: bool,
}

fn main() {
    let _ = Todo::text.eq(1);
    let _ = Todo::complete.eq("yes");
    let _ = Todo::text.contains(Todo::complete);
}
