use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
#[sync(table = "__sync_ops")]
struct First {
    #[sync(rename = "__version")]
    a: String,
    #[sync(rename = "ID")]
    b: String,
    #[sync(rename = "updatedat")]
    c: String,
    created_at: String,
    #[sync(rename = "")]
    d: String,
    #[sync(rename = "due at")]
    e: String,
    größe: i64,
}

#[derive(SyncEntity)]
#[sync(table = "sqlite_stat", rename_all = "camelCase")]
struct Second {
    created_at: String,
}

#[derive(SyncEntity)]
struct Übung {
    text: String,
}

#[derive(SyncEntity)]
struct Version {
    text: String,
}

#[derive(SyncEntity)]
struct Crate {
    text: String,
}

fn main() {}
