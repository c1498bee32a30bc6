//! Texts, ids and query ids that look like SQL, like a filter or like a query string stay what they are.

use sync_diesel::prelude::*;
use sync_tests::model::{self, Schema, Todo};

use crate::offline::World;

/// Any text may be a value, and all but those with control characters a query id.
const TEXTS: [&str; 22] = [
    "' or 1 eq 1 or '' eq '",
    "') or (1 eq 1) or ('' eq '",
    "'; DROP TABLE \"TodoItem\"; --",
    "\" OR \"\"=\"",
    "` or `1`=`1",
    "/* */ -- #",
    "%27 or 1 eq 1 or %27",
    "%2527",
    "&$top=1",
    "&$filter=true",
    "x&__includeDeleted=true#",
    "?$skip=1",
    "a+b c%20d",
    "100% _ \\ [a-z] *",
    "null",
    "datetime'2020-01-01T00:00:00Z'",
    "\r\nX-Injected: 1\r\n\r\n",
    "a\0b",
    "\u{1}\u{7f}\u{85}",
    "\u{202e}\u{feff}\u{fffd}",
    "{\"$gt\": \"\"}",
    "<script>alert(1)</script>",
];

/// Ids that may be stored and sent (D-06).
const IDS: [&str; 9] = [
    "' or 1 eq 1 or '' eq '",
    "'; DROP TABLE TodoItem; --",
    "x')&$top=1",
    "%27",
    "%2527 %2F",
    "a&b=c#d",
    "x;y=<z>",
    "*",
    "(a),[b]",
];

fn texts(rows: &[Record<Todo>]) -> Vec<&str> {
    rows.iter().map(|row| row.text.as_str()).collect()
}

async fn device(world: &World, dialect: Dialect, name: &str) -> SyncContext<Schema> {
    let builder = model::device(world.proxy.url(), &world.folder.path().join(name)).dialect(dialect);
    builder.profile(world.server.as_ref().profile()).open().await.expect("the device opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_texts_in_every_engine_and_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let writer = device(&world, dialect, "writer.db").await;
        let reader = device(&world, dialect, "reader.db").await;
        for text in TEXTS {
            writer.table::<Todo>().insert(Todo::new(text)).await.expect("inserted");
        }
        writer.push().await.expect("pushed");

        for (number, text) in TEXTS.into_iter().enumerate() {
            for filter in [Todo::text.eq(text), Todo::text.starts_with(text).and(Todo::text.ends_with(text))]
            {
                let local =
                    writer.table::<Todo>().filter(filter.clone()).load().await.expect("a local query");
                assert_eq!(texts(&local), [text], "locally");
                let direct =
                    writer.remote::<Todo>().query(filter.clone()).load().await.expect("a direct query");
                assert_eq!(texts(&direct), [text], "{dialect:?}, directly");
                // The text is the query id as well; those of control characters are refused.
                let id = if text.chars().any(char::is_control) { "query" } else { text };
                reader.pull(id, filter).await.expect("pulled");
                let rows = reader.table::<Todo>().all().count().await.expect("a local query");
                assert_eq!(rows, number as u64 + 1, "{dialect:?} {text}: that row and no other");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_ids_are_ids_in_every_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = device(&world, dialect, "device.db").await;
        let bystander = device.table::<Todo>().insert(Todo::new("bystander")).await.expect("inserted");
        for id in IDS {
            device.table::<Todo>().insert_with_id(id, Todo::new("new")).await.expect("inserted");
        }
        device.push().await.expect("pushed");
        for id in IDS {
            let mut row = device.table::<Todo>().get(id).await.expect("read").expect("there");
            assert!(row.version().is_some(), "{id}");
            row.text = "changed".into();
            device.table::<Todo>().update(&row).await.expect("updated");
        }
        device.push().await.expect("pushed");
        for id in IDS {
            let found = device.remote::<Todo>().query(Todo::id.eq(id)).load().await.expect("a direct query");
            assert_eq!(texts(&found), ["changed"], "{id}");
            device.table::<Todo>().delete(id).await.expect("deleted");
        }
        device.push().await.expect("pushed");
        let left = device.remote::<Todo>().query(Todo::all()).load().await.expect("a direct query");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id(), bystander.id());
    }
}
