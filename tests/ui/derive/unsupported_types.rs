use chrono::{DateTime, Local, NaiveDateTime};
use sync_diesel::SyncEntity;

#[derive(SyncEntity)]
struct Todo {
    bytes: Vec<u8>,
    wide: u64,
    size: Option<usize>,
    huge: i128,
    letter: char,
    text: &'static str,
    twice: Option<Option<String>>,
    pair: (i32, i32),
    local: DateTime<Local>,
    naive: NaiveDateTime,
    own: Own,
}

struct Own;

fn main() {}
