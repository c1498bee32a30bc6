use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(table = TodoItem, module = "todo", rename_all = "kebab-case", keep_deleted = true)]
struct Todo {
    #[sync(rename)]
    text: String,
    #[sync(column = "a")]
    complete: bool,
    #[sync(belongs_to = "List")]
    list: String,
    #[sync(belongs_to = List)]
    count: i64,
    #[sync]
    bare: bool,
    #[sync(default)]
    empty: bool,
}

fn main() {}
