use chrono::{DateTime, Utc};
use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    id: i64,
    version: String,
    updated_at: DateTime<Utc>,
    #[sync(rename = "gone", column = gone)]
    deleted: Option<bool>,
}

fn main() {}
