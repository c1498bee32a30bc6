//! Storing pages: the prepared path, what leaves it, and that both count alike.

use sync_core::predicate::{Comparison, Node, Predicate};
use sync_core::store::{Applied, Exchange, LocalStore, PullEnd, Purge, Purged, Take};
use sync_core::value::Value;

use crate::support::{Fixture, TODO, batch, json, scope, text};

fn rows(range: std::ops::Range<usize>, version: &str) -> Vec<String> {
    range.map(|index| json(&format!("row {index}"), &format!("text {index}"), version)).collect()
}

#[tokio::test]
async fn l_40_many_rows_are_counted_by_what_they_did() {
    let fixture = Fixture::new().await;
    // More than one statement of 64, some of 8, some of 1.
    assert_eq!(fixture.pull(&rows(0..203, "v1")).await, Applied { added: 203, ..Applied::default() });
    assert_eq!(fixture.count("\"Todo\"").await, 203);
    assert_eq!(fixture.pull(&rows(0..203, "v1")).await, Applied { unchanged: 203, ..Applied::default() });
    let mut mixed = rows(0..70, "v1");
    mixed.extend(rows(70..150, "v2"));
    mixed.extend(rows(203..300, "v1"));
    assert_eq!(
        fixture.pull(&mixed).await,
        Applied { unchanged: 70, changed: 80, added: 97, ..Applied::default() }
    );
    fixture.assert_clean().await;
    let row = fixture.row("row 299").await.expect("the row");
    assert_eq!(row.version.as_deref(), Some("v1"));
    assert_eq!(row.updated_at, sync_core::time::parse("2024-01-01T00:00:00Z"));
    let due = sync_core::time::parse("2024-01-02T03:04:05.678Z").expect("an instant");
    assert_eq!(
        row.values,
        [
            text("text 299"),
            Some(Value::Bool(false)),
            Some(Value::Integer(1)),
            Some(Value::Integer(2)),
            Some(Value::DateTime(due)),
            Some(Value::Real(0.5)),
            Some(Value::Real(1.5)),
            Some(Value::Uuid(uuid::Uuid::from_u128(10))),
            Some(Value::Null),
        ]
    );
    assert_eq!(
        fixture
            .number("SELECT count(*) AS value FROM \"Todo\" WHERE due = '2024-01-02 03:04:05.678+00:00'")
            .await,
        300,
        "R20"
    );
}

#[tokio::test]
async fn l_24_rows_the_database_refuses_wait_and_come_back() {
    let fixture = Fixture::new().await;
    fixture.sql("CREATE UNIQUE INDEX one_text ON \"Todo\" (text)").await.expect("an index");
    let mut page = rows(0..100, "v1");
    page[40] = json("row 40", "text 3", "v1");
    page[90] = json("row 90", "text 4", "v1");
    let applied = fixture.pull(&page).await;
    assert_eq!(applied, Applied { added: 98, quarantined: 2, ..Applied::default() });
    assert_eq!(fixture.row("row 40").await, None);
    assert_eq!(fixture.count("__quarantine WHERE reason LIKE '%unique%'").await, 2);
    assert_eq!(
        fixture.count("__quarantine WHERE instr(reason, 'text 3') > 0").await,
        0,
        "no contents in the reason"
    );

    // Two rows that swap their values: the first is refused until the second has moved.
    fixture.sql("DROP INDEX one_text").await.expect("SQL");
    fixture.store.begin_pull(scope(&TODO, None)).await.expect("a pull");
    assert_eq!(fixture.count("__quarantine").await, 0);
    assert_eq!(fixture.text("row 40").await, text("text 3"));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn s_15_rows_that_swap_a_unique_value_come_through() {
    let fixture = Fixture::new().await;
    let texts = async || {
        let mut texts = Vec::new();
        for id in ["a", "b", "c", "d"] {
            texts.push(fixture.text(id).await);
        }
        texts
    };
    fixture.pull(&[json("a", "one", "v1"), json("b", "two", "v1")]).await;
    fixture.pull(&[json("c", "three", "v1"), json("d", "four", "v1")]).await;
    fixture
        .sql(
            "CREATE UNIQUE INDEX one_text ON \"Todo\" (text); UPDATE \"Todo\" SET note = 'mine' WHERE id = 'd';
             ALTER TABLE \"Todo\" ADD COLUMN old TEXT; UPDATE \"Todo\" SET old = 'kept ' || id;
             CREATE TABLE attachment (todo TEXT NOT NULL REFERENCES \"Todo\" (id) ON DELETE CASCADE);
             INSERT INTO attachment SELECT id FROM \"Todo\";
             CREATE TABLE seen (id TEXT); CREATE TRIGGER gone AFTER DELETE ON \"Todo\"
             BEGIN INSERT INTO seen VALUES (OLD.id); END",
        )
        .await
        .expect("an index, and what the app has beside");
    // Each is refused until the next one has moved.
    let page = [json("a", "two", "v2"), json("b", "three", "v2"), json("c", "five", "v2")];
    assert_eq!(fixture.pull(&page).await, Applied { changed: 1, quarantined: 2, ..Applied::default() });
    assert_eq!(texts().await, [text("one"), text("two"), text("five"), text("four")]);
    let end = || PullEnd { scope: scope(&TODO, None), server_date: None, mirror: None, refilled: false };
    let ended = fixture.store.finish_pull(end()).await.expect("the end of the pull");
    assert_eq!(ended, Applied { changed: 2, ..Applied::default() });
    assert_eq!(texts().await, [text("two"), text("three"), text("five"), text("four")]);
    assert_eq!(fixture.count("__quarantine").await, 0);

    // Nobody can be the first of a circle; one that wants what somebody else keeps is not in it.
    let color = |row: String| row.replacen('{', "{\"color\":1,", 1);
    let page = [color(json("d", "two", "v3")), json("a", "three", "v3"), json("b", "four", "v3")];
    assert_eq!(fixture.pull(&page).await.quarantined, 3);
    assert_eq!(fixture.pull(&[json("c", "four", "v3")]).await.quarantined, 1);
    let ended = fixture.store.finish_pull(end()).await.expect("the end of the pull");
    assert_eq!(ended, Applied { changed: 3, ..Applied::default() });
    assert_eq!(texts().await, [text("three"), text("four"), text("five"), text("two")]);
    assert_eq!(fixture.count("__quarantine WHERE item_id = 'c'").await, fixture.count("__quarantine").await);
    let moved = fixture.row("d").await.expect("the row");
    assert_eq!((moved.values[8].clone(), moved.version.as_deref()), (text("mine"), Some("v3")), "L-22");
    assert_eq!(moved.extra.as_deref(), Some("{\"color\":1}"));
    assert_eq!(fixture.count("\"Todo\" WHERE old = 'kept ' || id").await, 4, "S-04");
    assert_eq!(fixture.count("attachment").await, 4, "no row of the app's own was deleted");
    assert_eq!(fixture.count("seen").await, 0);
    fixture.assert_clean().await;
}

/// Among rows of the bulk path, edited, pulled over, and sent.
#[tokio::test]
async fn s_12_a_row_is_as_large_as_sqlite_allows() {
    const LENGTH: usize = 5 << 20;
    let fixture = Fixture::new().await;
    let large = |letter: &str| letter.repeat(LENGTH);
    let mut page = rows(0..70, "v1");
    page.insert(35, json("large", &large("a"), "v1"));
    assert_eq!(fixture.pull(&page).await, Applied { added: 71, ..Applied::default() });
    assert_eq!(fixture.text("large").await, text(&large("a")));

    fixture
        .sql("UPDATE \"Todo\" SET text = replace(text, 'a', 'b') WHERE id = 'large'")
        .await
        .expect("an edit");
    let applied = fixture.pull(&[json("large", &large("c"), "v2")]).await;
    assert_eq!(applied, Applied { kept_local: 1, ..Applied::default() });
    let shadow = fixture.store.shadow(&TODO, "large").await.expect("a read").expect("a copy");
    assert_eq!(shadow.values[0], text(&large("c")));
    let session = fixture.store.begin_push().await.expect("a push");
    let take = Exchange { session, settlements: Vec::new(), take: Some(Take::first(1)) };
    let taken = fixture.store.exchange(take).await.expect("a step").taken;
    assert_eq!(taken[0].item.values[0], text(&large("b")));
    assert_eq!(taken[0].base.as_ref().and_then(|base| base.values[0].clone()), text(&large("a")));
}

#[tokio::test]
async fn s_15_values_are_exchanged_under_every_kind_of_unique_index() {
    for index in ["lower(text)", "text, complete", "rank", "text) WHERE (complete = 0"] {
        let fixture = Fixture::new().await;
        let row = |id: &str, text: &str, rank: u8, version: &str| {
            json(id, text, version).replacen("\"rank\":1", &format!("\"rank\":{rank}"), 1)
        };
        fixture.pull(&[row("a", "one", 1, "v1"), row("b", "two", 2, "v1")]).await;
        fixture.sql(&format!("CREATE UNIQUE INDEX one ON \"Todo\" ({index})")).await.expect("an index");
        fixture.pull(&[row("a", "two", 2, "v2"), row("b", "one", 1, "v2")]).await;
        let end = PullEnd { scope: scope(&TODO, None), server_date: None, mirror: None, refilled: false };
        let ended = fixture.store.finish_pull(end).await.expect("the end of the pull");
        assert_eq!(ended, Applied { changed: 2, ..Applied::default() }, "{index}");
        assert_eq!(fixture.text("a").await, text("two"), "{index}");
        assert_eq!(fixture.text("b").await, text("one"), "{index}");
        assert_eq!(fixture.count("__quarantine").await, 0, "{index}");
        fixture.assert_clean().await;
    }
}

#[tokio::test]
async fn s_14_a_child_before_its_parent_waits() {
    let fixture = Fixture::new().await;
    fixture
        .sql(
            "CREATE TABLE parent (name TEXT PRIMARY KEY);
             CREATE TRIGGER no_orphans BEFORE INSERT ON \"Todo\"
             WHEN NOT EXISTS (SELECT 1 FROM parent WHERE name = NEW.text)
             BEGIN SELECT RAISE(ABORT, 'no parent'); END;",
        )
        .await
        .expect("a rule of the app");
    let applied = fixture.pull(&rows(0..70, "v1")).await;
    assert_eq!(applied, Applied { quarantined: 70, ..Applied::default() });
    fixture.sql("INSERT INTO parent VALUES ('text 3')").await.expect("a parent");
    fixture.store.begin_pull(scope(&TODO, None)).await.expect("a pull");
    assert_eq!(fixture.count("\"Todo\"").await, 1);
    assert_eq!(fixture.count("__quarantine").await, 69);
}

#[tokio::test]
async fn s_14_rows_wait_for_what_refers_to_them_and_what_they_refer_to() {
    let fixture = Fixture::with_table(|create| {
        create.replace("\"text\" TEXT NOT NULL", "\"text\" TEXT NOT NULL REFERENCES \"Todo\" (\"id\")")
    })
    .await;
    let end = async || {
        let scope = scope(&TODO, None);
        let end = PullEnd { scope, server_date: None, mirror: None, refilled: false };
        fixture.store.finish_pull(end).await.expect("the end of the pull")
    };
    let waits = Applied { quarantined: 1, ..Applied::default() };
    // Of three generations the youngest came first.
    assert_eq!(fixture.pull(&[json("child", "parent", "v1")]).await, waits);
    assert_eq!(fixture.pull(&[json("parent", "root", "v1")]).await, waits);
    assert_eq!(fixture.pull(&[json("root", "root", "v1")]).await.added, 1);
    assert_eq!(end().await, Applied { added: 2, ..Applied::default() });
    assert_eq!((fixture.count("\"Todo\"").await, fixture.count("__quarantine").await), (3, 0));

    // A deletion waits as well, and nothing else goes by a cascade.
    let dead = |id: &str| json(id, "x", "v2").replace("\"deleted\":false", "\"deleted\":true");
    assert_eq!(fixture.pull(&[dead("parent")]).await, waits);
    assert!(fixture.row("parent").await.is_some());
    assert_eq!(fixture.pull(&[dead("child")]).await.removed, 1);
    assert_eq!(end().await, Applied { removed: 1, ..Applied::default() });
    assert_eq!((fixture.count("\"Todo\"").await, fixture.count("__quarantine").await), (1, 0));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn l_18_unknown_members_do_not_leave_the_prepared_path() {
    let fixture = Fixture::new().await;
    let page: Vec<String> = rows(0..130, "v1")
        .into_iter()
        .map(|row| row.replacen('{', "{\"color\":{\"r\":1},\"size\":1.50,", 1))
        .collect();
    assert_eq!(fixture.pull(&page).await.added, 130);
    let row = fixture.row("row 129").await.expect("the row");
    assert_eq!(row.extra.as_deref(), Some("{\"color\":{\"r\":1},\"size\":1.50}"));
    // They go with the row.
    let tombstone = json("row 129", "x", "v2").replace("\"deleted\":false", "\"deleted\":true");
    assert_eq!(fixture.pull(&[tombstone]).await.removed, 1);
    assert_eq!(fixture.count("__extra").await, 129);
}

#[tokio::test]
async fn l_11_a_row_twice_in_a_page_ends_as_its_last_form() {
    let fixture = Fixture::new().await;
    let dead = json("a", "x", "v3").replace("\"deleted\":false", "\"deleted\":true");
    let applied =
        fixture.pull(&[json("a", "one", "v1"), json("b", "one", "v1"), json("a", "two", "v2"), dead]).await;
    assert_eq!((applied.removed, fixture.row("a").await), (1, None));
    assert_eq!(fixture.text("b").await, text("one"));
    let applied = fixture.pull(&[json("c", "one", "v1"), json("c", "two", "v2")]).await;
    assert_eq!(applied.added + applied.changed, 2);
    assert_eq!(fixture.text("c").await, text("two"));
}

#[tokio::test]
async fn r_13_the_local_rest_keeps_rows_out_but_not_old() {
    let fixture = Fixture::new().await;
    fixture.pulled("known", "milk").await;
    let rest = Node::compare(&TODO.columns[0], Comparison::Eq, Value::Text("milk".into()));
    let mut page = batch(&format!(
        "[{},{},{}]",
        json("known", "bread", "v2"),
        json("new", "bread", "v1"),
        json("milk", "milk", "v1")
    ));
    page.local_rest = Some(Predicate { table: &TODO, node: rest });
    let applied = fixture.store.apply_pages(page).await.expect("a page");
    assert_eq!(applied, Applied { added: 1, changed: 1, filtered: 1, ..Applied::default() });
    assert_eq!(fixture.text("known").await, text("bread"));
    assert_eq!(fixture.row("new").await, None);
}

#[tokio::test]
async fn g_11_any_number_of_rows_is_purged() {
    let fixture = Fixture::new().await;
    for block in 0..8 {
        fixture.pull(&rows(block * 5000..(block + 1) * 5000, "v1")).await;
    }
    let node = Node::compare(&TODO.columns[0], Comparison::Ne, Value::Text("text 7".into()));
    let purge = Purge::new(Predicate { table: &TODO, node });
    for rows in [39_999, 0] {
        assert_eq!(
            fixture.store.purge(purge.clone()).await.expect("a purge"),
            Purged { rows, operations: 0 }
        );
    }
    assert_eq!(fixture.count("\"Todo\"").await, 1);
    fixture.assert_clean().await;
}
