//! The log of statements (H-04): off unless asked for, and without values.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sync_core::store::LocalStore;
use sync_diesel::{DatabaseOptions, DieselStore};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{Fixture, TABLES, TODO, batch, json, todo};

const SECRET: &str = "nobody should read this";

/// Keeps what is logged of SQL, by all threads.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a text");
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sync_diesel::sql"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Writes, pulls, pushes and reads rows with a secret in them, by bound values and by text.
async fn use_store(store: &DieselStore) {
    store
        .write(|conn| {
            diesel::insert_into(todo::table)
                .values((todo::id.eq("a"), todo::text.eq(SECRET)))
                .execute(conn)?;
            diesel::update(todo::table.filter(todo::text.eq(SECRET)))
                .set(todo::complete.eq(true))
                .execute(conn)?;
            conn.batch_execute(&format!("UPDATE \"Todo\" SET note = '{SECRET}' /* {SECRET} */ -- {SECRET}"))
        })
        .await
        .expect("writes");
    store
        .write(|conn| conn.batch_execute(&format!("INSERT INTO nowhere VALUES ('{SECRET}')")))
        .await
        .expect_err("no such table");
    store.apply_pages(batch(&format!("[{}]", json("b", SECRET, "v1")))).await.expect("pulled");
    let found = store.read(|conn| todo::table.filter(todo::text.eq(SECRET)).count().get_result::<i64>(conn));
    assert_eq!(found.await.expect("a read"), 2);
    store.get(&TODO, SECRET).await.expect("a read");
}

#[tokio::test]
async fn h_04_statements_are_logged_when_asked_for_and_without_values() {
    let kept = Kept::default();
    // The other tests of this program do not log, which is part of what is tested.
    tracing::subscriber::set_global_default(kept.clone()).expect("the only one of this program");
    let fixture = Fixture::new().await;
    use_store(&fixture.store).await;
    assert_eq!(*kept.0.lock().expect("no panic"), [""; 0], "off by default");

    let fixture = Fixture::new().await;
    let options = DatabaseOptions { log_sql: true, ..DatabaseOptions::default() };
    let store = DieselStore::open_with(fixture.path(), TABLES, options, |_| Ok(())).await.expect("a store");
    use_store(&store).await;
    let lines = kept.0.lock().expect("no panic").clone();
    for line in &lines {
        assert!(!line.contains(SECRET) && !line.contains("nobody"), "{line}");
    }
    for wanted in [
        "connection=\"writer\"",
        "connection=\"reader\"",
        "micros=",
        "failed=true",
        "message=INSERT INTO nowhere VALUES (?)",
        "message=INSERT INTO `Todo` (`id`, `text`) VALUES (?, ?)",
        "message=UPDATE \"Todo\" SET note = ?",
    ] {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted} is missing in {lines:#?}");
    }
}
