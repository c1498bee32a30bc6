//! Change capture: whatever writes a synced table is queued by the collapse matrix.

use diesel::connection::SimpleConnection;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use sync_core::ErrorKind;
use sync_core::operation::OperationKind::{Delete, Insert, Update};
use sync_core::operation::OperationState::{Attempted, Failed, Pending};
use sync_core::operation::ServerMayHold::{Foreign, Maybe, No};
use sync_core::operation::{Change, Collapsed, Queued, SentKind, collapse};
use sync_core::predicate::{Comparison, Node, Predicate};
use sync_core::store::LocalStore;
use sync_core::value::Value;

use crate::support::{Fixture, TODO, connect, text, todo};

/// Every operation that can stand in the queue, and every change of its row, as the pure matrix has it.
#[tokio::test]
async fn x_01_to_x_12_the_triggers_state_the_matrix() {
    let fixture = Fixture::new().await;
    let sent_kinds = [
        None,
        Some(SentKind::Insert),
        Some(SentKind::Update),
        Some(SentKind::Delete),
        Some(SentKind::Undelete),
    ];
    let mut checked = 0;
    for kind in [Insert, Update, Delete] {
        for state in [Pending, Attempted, Failed] {
            for server_may_hold in [No, Maybe, Foreign] {
                for sent in sent_kinds {
                    if sent.is_some() != (state == Attempted) {
                        continue;
                    }
                    for change in [Change::Insert, Change::Update, Change::Delete] {
                        check(&fixture, Queued { kind, state, server_may_hold, sent }, change).await;
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(checked, 3 * 3 * 3 * (2 + 4));
}

async fn check(fixture: &Fixture, queued: Queued, change: Change) {
    let what = format!("{queued:?} and {change:?}");
    let row = match queued.kind {
        Delete => String::new(),
        _ => "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'old');".to_owned(),
    };
    let sent = queued.sent.map_or("NULL, NULL".to_owned(), |sent| format!("{}, 3", sent.as_i64()));
    fixture
        .sql(&format!(
            "UPDATE __control SET applying = 1, last_seq = 100;
             DELETE FROM \"Todo\"; DELETE FROM __operations; DELETE FROM __errors; DELETE FROM __shadow;
             DELETE FROM __newer;
             DELETE FROM __refetch; {row}
             INSERT INTO __operations (seq, table_name, item_id, kind, state, revision, base_version,
                 server_may_hold, sent_kind, sent_revision)
             VALUES (7, 'Todo', 'a', {}, {}, 3, 'base', {}, {sent});
             INSERT INTO __errors (table_name, item_id, seq, revision, kind, class, message)
             VALUES ('Todo', 'a', 7, 3, 0, 'refused', '');
             INSERT INTO __shadow (table_name, item_id, version, deleted, item)
             VALUES ('Todo', 'a', 'shadow', 1, '{{}}');
             UPDATE __control SET applying = 0;",
            queued.kind.as_i64(),
            queued.state.as_i64(),
            queued.server_may_hold.as_i64(),
        ))
        .await
        .expect("a queue");
    let before = fixture.operations().await;

    let changed = match change {
        Change::Insert => fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'new')").await,
        Change::Update => fixture.sql("UPDATE \"Todo\" SET text = 'new' WHERE id = 'a'").await,
        Change::Delete => fixture.sql("DELETE FROM \"Todo\" WHERE id = 'a'").await,
    };

    let after = fixture.operations().await;
    let errors = fixture.count("__errors").await;
    let refetch = fixture.count("__refetch").await;
    let shadows = fixture.count("__shadow").await;
    match collapse(Some(queued), change) {
        Collapsed::Exists => {
            changed.expect_err(&what);
            assert_eq!(after, before, "{what}");
        }
        Collapsed::Missing => {
            changed.expect("plain SQL changes no row");
            assert_eq!((after, errors), (before, 1), "{what}");
        }
        Collapsed::Vanish => {
            changed.expect(&what);
            assert_eq!((after.len(), errors, shadows, refetch), (0, 0, 0, 0), "{what}");
        }
        Collapsed::VanishAndRefetch => {
            changed.expect(&what);
            assert_eq!((after.len(), errors, shadows, refetch), (0, 0, 0, 1), "{what}");
        }
        Collapsed::Keep(kind) | Collapsed::MoveToEnd(kind) => {
            changed.expect(&what);
            let moves = matches!(collapse(Some(queued), change), Collapsed::MoveToEnd(_));
            let operation = &after[0];
            assert_eq!(operation.kind, kind, "{what}");
            assert_eq!(operation.key.revision, 4, "{what}");
            assert_eq!(operation.server_may_hold, queued.server_may_hold, "{what}");
            assert_eq!(operation.base_version.as_deref(), Some("base"), "{what}");
            assert_eq!(errors, 0, "X-14: {what}");
            assert_eq!(shadows, 1, "{what}");
            if queued.state == Attempted {
                assert_eq!(operation.state, Attempted, "R1: {what}");
                assert_eq!(operation.key.seq, 7, "{what}");
                assert!(operation.tail_seq.is_some_and(|tail| tail > 100), "{what}");
            } else {
                assert_eq!(operation.state, Pending, "X-14: {what}");
                assert_eq!(operation.tail_seq, None, "{what}");
                assert_eq!(operation.key.seq > 100, moves, "{what}");
            }
            let kept = fixture.count("__operations WHERE item IS NOT NULL").await;
            assert_eq!(kept, i64::from(change == Change::Delete), "Q-05: {what}");
        }
        Collapsed::New(_) => unreachable!("an operation is queued"),
    }
}

#[tokio::test]
async fn s_16_plain_statements_are_queued() {
    let fixture = Fixture::new().await;
    fixture
        .store
        .write(|conn| {
            diesel::insert_into(todo::table)
                .values(vec![
                    (todo::id.eq("a"), todo::text.eq("milk")),
                    (todo::id.eq("b"), todo::text.eq("bread")),
                ])
                .execute(conn)
        })
        .await
        .expect("an insert");
    fixture.pulled("c", "jam").await;
    fixture
        .store
        .write(|conn| {
            diesel::update(todo::table.filter(todo::id.ne("a")))
                .set(todo::complete.eq(true))
                .execute(conn)?;
            diesel::delete(todo::table.filter(todo::id.eq("b"))).execute(conn)
        })
        .await
        .expect("an update and a delete");
    assert_eq!(fixture.operation("a").await, Some((Insert, Pending, No, None)));
    assert_eq!(fixture.operation("b").await, None, "X-03");
    assert_eq!(fixture.operation("c").await, Some((Update, Pending, No, Some("v1".to_owned()))));
    let shadow = fixture.store.shadow(&TODO, "c").await.expect("a read").expect("a shadow");
    assert_eq!(shadow, {
        let mut row = fixture.row("c").await.expect("the row");
        row.values[1] = Some(sync_core::value::Value::Bool(false));
        row
    });
}

#[tokio::test]
async fn a_delete_of_all_rows_is_queued_row_by_row() {
    let fixture = Fixture::new().await;
    for id in ["a", "b", "c"] {
        fixture.pulled(id, "milk").await;
    }
    fixture.sql("DELETE FROM \"Todo\"").await.expect("a delete");
    assert_eq!(fixture.operations().await.len(), 3);
    assert_eq!(fixture.operation("b").await, Some((Delete, Pending, No, Some("v1".to_owned()))));
}

#[tokio::test]
async fn i_2_a_roll_back_leaves_no_operation() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    let outcome: sync_core::Result<()> = fixture
        .store
        .write(|conn| {
            conn.batch_execute(
                "UPDATE \"Todo\" SET text = 'bread'; INSERT INTO \"Todo\" (text) VALUES ('jam');
                 DELETE FROM \"Todo\" WHERE id = 'a';",
            )?;
            Err(diesel::result::Error::RollbackTransaction)
        })
        .await;
    outcome.expect_err("the closure failed");
    fixture.assert_clean().await;
    assert_eq!(fixture.text("a").await, text("milk"));
    assert_eq!(fixture.count("\"Todo\"").await, 1);
}

#[tokio::test]
async fn d_02_an_insert_without_id_gets_a_uuid_of_version_7() {
    let fixture = Fixture::new().await;
    fixture.sql("INSERT INTO \"Todo\" (text) VALUES ('a'), ('b')").await.expect("an insert");
    let operations = fixture.operations().await;
    assert_eq!(operations.len(), 2);
    for operation in operations {
        let id = uuid::Uuid::parse_str(&operation.key.item_id).expect("a uuid");
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(id.to_string(), operation.key.item_id, "lower case with hyphens");
        let (seconds, _) = id.get_timestamp().expect("a time").to_unix();
        assert!(chrono::Utc::now().timestamp().abs_diff(seconds as i64) < 60);
    }
}

#[tokio::test]
async fn r_6_another_connection_is_tracked() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    for recursive_triggers in [false, true] {
        let mut other = fixture.other(recursive_triggers);
        other
            .batch_execute("INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('a', 'bread')")
            .expect("a replace");
        assert_eq!(
            fixture.operation("a").await,
            Some((Update, Pending, No, Some("v1".to_owned()))),
            "recursive triggers {recursive_triggers}"
        );
        let shadow = fixture.store.shadow(&TODO, "a").await.expect("a read").expect("a shadow");
        assert_eq!(shadow.values[0], text("milk"));
        let row = fixture.row("a").await.expect("the row");
        assert_eq!((row.version.as_deref(), row.values[0].clone()), (Some("v1"), text("bread")));
        assert_eq!(fixture.count("__replaced").await, 0);

        // The same row again, now with an operation.
        other
            .batch_execute("INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('a', 'jam')")
            .expect("a replace");
        let (kind, .., base) = fixture.operation("a").await.expect("an operation");
        assert_eq!((kind, base.as_deref()), (Update, Some("v1")), "recursive triggers {recursive_triggers}");

        // A row that was never sent stays an insert.
        let sql = "INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('new', 'x')";
        other.batch_execute(sql).expect("an insert");
        other.batch_execute(sql).expect("a replace");
        assert_eq!(fixture.operation("new").await, Some((Insert, Pending, No, None)));
        fixture
            .sql(
                "UPDATE __control SET applying = 1; DELETE FROM __operations; DELETE FROM __shadow;
                 UPDATE \"Todo\" SET text = 'milk'; DELETE FROM \"Todo\" WHERE id = 'new';
                 UPDATE __control SET applying = 0",
            )
            .await
            .expect("a clean table");
    }
}

#[tokio::test]
async fn r_6_an_ignored_insert_and_an_upsert_are_what_they_do() {
    for recursive_triggers in [false, true] {
        let fixture = Fixture::new().await;
        fixture.pulled("a", "milk").await;
        let mut other = fixture.other(recursive_triggers);
        other
            .batch_execute("INSERT OR IGNORE INTO \"Todo\" (id, text) VALUES ('a', 'bread')")
            .expect("an ignored insert");
        assert!(fixture.operations().await.is_empty());
        other
            .batch_execute(
                "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'milk')
                 ON CONFLICT (id) DO UPDATE SET text = excluded.text",
            )
            .expect("an upsert of nothing");
        assert!(fixture.operations().await.is_empty(), "R4");
        other
            .batch_execute(
                "INSERT INTO \"Todo\" (id, text) VALUES ('a', 'bread'), ('b', 'jam')
                 ON CONFLICT (id) DO UPDATE SET text = excluded.text",
            )
            .expect("an upsert");
        assert_eq!(fixture.operation("a").await, Some((Update, Pending, No, Some("v1".to_owned()))));
        assert_eq!(fixture.operation("b").await, Some((Insert, Pending, No, None)));

        // What the ignored insert noted does not turn a later insert into an update.
        other.batch_execute("DELETE FROM \"Todo\" WHERE id = 'b'").expect("a delete");
        other
            .batch_execute("INSERT OR IGNORE INTO \"Todo\" (id, text) VALUES ('b', 'jam')")
            .expect("an insert");
        assert_eq!(fixture.operation("b").await, Some((Insert, Pending, No, None)));
        fixture.pull(&[crate::support::json("c", "x", "v1")]).await;
        assert_eq!(fixture.count("__replaced").await, 0, "sync clears what statements left");
    }
}

/// A trigger of the app also sees what ours put back, and what it writes then is a change like any other.
#[tokio::test]
async fn r_6_what_triggers_of_the_app_write_is_tracked() {
    let fixture = Fixture::new().await;
    fixture.pull(&["a", "counter"].map(|id| crate::support::json(id, "milk", "v1"))).await;
    fixture
        .sql(
            "CREATE TRIGGER counts AFTER UPDATE ON \"Todo\" WHEN NEW.id <> 'counter'
             BEGIN UPDATE \"Todo\" SET n = n + 1 WHERE id = 'counter'; END",
        )
        .await
        .expect("a trigger");
    let base = async || {
        let shadow = fixture.store.shadow(&TODO, "counter").await.expect("a read").expect("a shadow");
        shadow.values[3].clone()
    };
    // The row that comes back gets its version by an update.
    fixture.sql("DELETE FROM \"Todo\" WHERE id = 'a'").await.expect("a delete");
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'bread')").await.expect("an insert");
    assert_eq!(fixture.number("SELECT n AS value FROM \"Todo\" WHERE id = 'counter'").await, 3);
    assert_eq!(fixture.operation("counter").await, Some((Update, Pending, No, Some("v1".to_owned()))));
    assert_eq!(base().await, Some(Value::Integer(2)));

    // The object of an older version is written, and its version put back.
    fixture.pull(&[]).await;
    fixture
        .sql(
            "UPDATE __control SET applying = 1; DELETE FROM __operations; DELETE FROM __shadow;
             UPDATE \"Todo\" SET n = 2 WHERE id = 'counter'; UPDATE __control SET applying = 0;
             UPDATE \"Todo\" SET text = 'jam', __version = 'v0' WHERE id = 'a'",
        )
        .await
        .expect("an update");
    assert_eq!(fixture.operation("a").await, Some((Update, Pending, No, Some("v0".to_owned()))));
    assert_eq!(fixture.row("a").await.expect("the row").version.as_deref(), Some("v1"));
    assert_eq!(
        base().await,
        Some(Value::Integer(2)),
        "the first of both updates of the counter is the first change"
    );
    assert_eq!(fixture.number("SELECT applying AS value FROM __control").await, 0);
}

/// The condition that the documentation gives.
#[tokio::test]
async fn r_6_a_trigger_of_the_app_may_leave_syncs_writes_alone() {
    let fixture = Fixture::new().await;
    fixture
        .sql(
            "CREATE TABLE seen (id TEXT);
             CREATE TRIGGER seen AFTER INSERT ON \"Todo\"
             WHEN (SELECT applying FROM \"__control\" WHERE id = 1) <> 1
             BEGIN INSERT INTO seen VALUES (NEW.id); END",
        )
        .await
        .expect("a trigger");
    fixture.pulled("a", "milk").await;
    assert_eq!(fixture.count("seen").await, 0);
    fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('b', 'bread')").await.expect("an insert");
    assert_eq!(fixture.count("seen").await, 1);
}

#[tokio::test]
async fn r_6_a_row_replaced_by_a_unique_value_is_deleted() {
    let fixture = Fixture::new().await;
    fixture.sql("CREATE UNIQUE INDEX one_text ON \"Todo\" (text)").await.expect("an index");
    fixture.pulled("a", "milk").await;
    fixture.pulled("b", "bread").await;
    let mut other = fixture.other(true);
    other
        .batch_execute("INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('c', 'milk')")
        .expect("a replace");
    fixture.sql("UPDATE OR REPLACE \"Todo\" SET text = 'bread' WHERE id = 'c'").await.expect("a replace");
    let deleted = Some((Delete, Pending, No, Some("v1".to_owned())));
    assert_eq!(fixture.operation("a").await, deleted);
    assert_eq!(fixture.operation("b").await, deleted);
    assert_eq!(fixture.operation("c").await, Some((Insert, Pending, No, None)));
}

/// SQLite does not define in which order the triggers of one event run.
#[tokio::test]
async fn the_order_of_triggers_does_not_matter() {
    let mut histories = Vec::new();
    for reversed in [false, true] {
        for recursive_triggers in [false, true] {
            let fixture = Fixture::new().await;
            fixture.pull(&["a", "b", "c"].map(|id| crate::support::json(id, "milk", "v1"))).await;
            let mut other = fixture.other(recursive_triggers);
            if reversed {
                let mut triggers = diesel::sql_query(
                    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid",
                )
                .load::<TriggerText>(&mut other)
                .expect("the triggers");
                assert!(triggers.len() > 5);
                triggers.reverse();
                for trigger in &triggers {
                    other.batch_execute(&format!("DROP TRIGGER \"{}\"", trigger.name)).expect("dropped");
                }
                for trigger in &triggers {
                    other.batch_execute(&trigger.sql).expect("made again");
                }
            }
            for statement in [
                "INSERT INTO \"Todo\" (id, text) VALUES ('new', 'x'), ('twice', 'x'), ('gone', 'x')",
                "INSERT OR REPLACE INTO \"Todo\" (id, text) VALUES ('twice', 'y'), ('a', 'bread')",
                "INSERT OR IGNORE INTO \"Todo\" (id, text) VALUES ('b', 'bread'), ('other', 'x')",
                "DELETE FROM \"Todo\" WHERE id IN ('gone', 'c')",
                "INSERT INTO \"Todo\" (id, text) VALUES ('c', 'bread'), ('gone', 'x')",
                "UPDATE \"Todo\" SET text = 'jam' WHERE id IN ('new', 'a', 'c')",
                "INSERT OR REPLACE INTO \"Todo\" (id, text, __version) VALUES ('a', 'tea', 'v1')",
            ] {
                other.batch_execute(statement).expect(statement);
            }
            let mut history = Vec::new();
            for id in ["new", "twice", "gone", "other", "a", "b", "c"] {
                history.push((id, fixture.operation(id).await, fixture.text(id).await));
            }
            assert_eq!(fixture.count("__shadow").await, 2, "of a and c");
            histories.push((history, fixture.operations().await.len()));
        }
    }
    let base = Some("v1".to_owned());
    let insert = Some((Insert, Pending, No, None));
    let update = Some((Update, Pending, No, base));
    let expected = vec![
        ("new", insert.clone(), text("jam")),
        ("twice", insert.clone(), text("y")),
        ("gone", insert.clone(), text("x")),
        ("other", insert, text("x")),
        ("a", update.clone(), text("tea")),
        ("b", None, text("milk")),
        ("c", update, text("jam")),
    ];
    for history in histories {
        assert_eq!(history, (expected.clone(), 6));
    }
}

#[derive(diesel::QueryableByName)]
struct TriggerText {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    sql: String,
}

#[tokio::test]
async fn r_4_changes_of_nothing_that_is_sent_queue_nothing() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    fixture
        .sql("UPDATE \"Todo\" SET text = text, note = 'mine'; UPDATE \"Todo\" SET text = 'milk', rank = 1")
        .await
        .expect("updates");
    fixture.assert_clean().await;
    fixture.sql("UPDATE \"Todo\" SET text = 'Milk'").await.expect("an update");
    assert_eq!(fixture.operations().await.len(), 1, "case counts");
}

#[tokio::test]
async fn r_5_system_columns_are_the_servers() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    for statement in [
        "UPDATE \"Todo\" SET \"__updatedAt\" = '2030-01-01 00:00:00+00:00'",
        "UPDATE \"Todo\" SET \"__deleted\" = 1",
        "UPDATE \"Todo\" SET text = 'bread', \"__updatedAt\" = NULL",
        "INSERT INTO \"Todo\" (text, \"__deleted\") VALUES ('x', 1)",
        "INSERT INTO \"Todo\" (text, \"__updatedAt\") VALUES ('x', '2030-01-01 00:00:00+00:00')",
    ] {
        let error = fixture.sql(statement).await.expect_err(statement);
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{statement}");
    }
    fixture.assert_clean().await;

    fixture.sql("UPDATE \"Todo\" SET \"__version\" = 'mine'").await.expect("an update");
    fixture.assert_clean().await;
    assert_eq!(fixture.row("a").await.expect("the row").version.as_deref(), Some("v1"));

    // K-17: a whole object of an older version.
    fixture
        .sql(
            "UPDATE \"Todo\" SET text = 'bread', \"__version\" = 'v0',
             \"__updatedAt\" = '2020-01-01 00:00:00+00:00'",
        )
        .await
        .expect("an update");
    assert_eq!(fixture.operation("a").await, Some((Update, Pending, No, Some("v0".to_owned()))));
    let row = fixture.row("a").await.expect("the row");
    assert_eq!(row.version.as_deref(), Some("v1"));
    assert_eq!(row.updated_at, sync_core::time::parse("2024-01-01T00:00:00Z"));
    assert_eq!(fixture.number("SELECT applying AS value FROM __control").await, 0);
}

#[tokio::test]
async fn d_05_ids_that_cannot_be_sent_abort() {
    let fixture = Fixture::new().await;
    let mut other = connect(&fixture.path());
    let mut insert = |id: &str| {
        diesel::insert_into(todo::table)
            .values((todo::id.eq(id.to_owned()), todo::text.eq("milk")))
            .execute(&mut other)
    };
    let (long, wide) = ("x".repeat(256), "\u{1F600}".repeat(128));
    for id in [
        "", ".", "..", "a\u{0}b", "\u{1}", "a\u{1f}", "\u{7f}", "a\u{80}", "\u{9f}b", "a\"", "+", "?", "a\\",
        "/b", "`", &long, &wide,
    ] {
        let error = insert(id).expect_err(id).to_string();
        assert!(error.starts_with("sync:InvalidId: "), "{id:?}: {error}");
    }
    let (longest, widest, mixed) = ("x".repeat(255), "\u{20AC}".repeat(255), "\u{1F600}".repeat(127) + "x");
    for id in ["...", " ", "it's", "a%#&=:;<>*@[]^-!", "\u{a0}é\u{1F600}", &longest, &widest, &mixed] {
        assert_eq!(insert(id), Ok(1), "{id:?}");
    }
    let error = fixture.sql("UPDATE \"Todo\" SET id = 'b' WHERE id = '...'").await.expect_err("a new id");
    assert_eq!(error.kind(), ErrorKind::InvalidId);
    let error = fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('', 'x')").await.expect_err("no id");
    assert_eq!(error.kind(), ErrorKind::InvalidId);
}

#[tokio::test]
async fn v_04_values_that_cannot_be_sent_abort() {
    let fixture = Fixture::new().await;
    fixture.pulled("a", "milk").await;
    for (column, value) in [
        ("text", "NULL"),
        ("text", "x'00'"),
        ("complete", "2"),
        ("complete", "'yes'"),
        ("rank", "128"),
        ("rank", "-129"),
        ("rank", "1.5"),
        ("n", "9223372036854775808"),
        ("single", "1e39"),
        ("double", "9e999"),
        ("double", "-9e999"),
        ("double", "'many'"),
        ("due", "'soon'"),
        ("due", "'2024-02-30 00:00:00+00:00'"),
        ("due", "'2024-01-02 24:00:00+00:00'"),
        ("due", "'0000-01-02 00:00:00+00:00'"),
        ("due", "'2024-01-02'"),
        ("due", "5"),
        ("due", "'2024-02-29T23:59:59.500+00:00'"),
        ("due", "'2024-02-29 23:59:59.500Z'"),
        ("due", "'2024-02-29 23:59:59'"),
        ("due", "'2024-02-29 23:59:59+02:00'"),
        ("due", "'2024-02-29 23:59:59.5+00:00'"),
        ("due", "'2024-02-29 23:59:59.000+00:00'"),
        ("due", "'2024-02-29 23:59:59.500000+00:00'"),
        ("due", "'2024-02-29 23:59:59.50x+00:00'"),
        ("due", "'2024-02-29 23:59:59 500+00:00'"),
        ("due", "'2024-02-29 23:59:59 +00:00'"),
        ("due", "CURRENT_TIMESTAMP"),
        ("owner", "'not a uuid'"),
        ("owner", "'00000000-0000-0000-0000-00000000000g'"),
        ("owner", "'ABCDEF00-0000-0000-0000-00000000000a'"),
        ("owner", "'------------------------------------'"),
        ("owner", "'0000000000000000000000000000000a'"),
        ("note", "x'00'"),
    ] {
        let statement = format!("UPDATE \"Todo\" SET {column} = {value}");
        let error = fixture.sql(&statement).await.expect_err(&statement);
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{statement}");
        assert!(error.to_string().contains(column), "{error}");
        let statement = if column == "text" {
            format!("INSERT INTO \"Todo\" (text) VALUES ({value})")
        } else {
            format!("INSERT INTO \"Todo\" (text, {column}) VALUES ('x', {value})")
        };
        let error = fixture.sql(&statement).await.expect_err(&statement);
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{statement}");
    }
    fixture.assert_clean().await;
    for (column, value) in [
        ("rank", "-128"),
        ("n", "-9223372036854775808"),
        ("single", "3.4028234663852886e38"),
        ("double", "-1.7976931348623157e308"),
        ("double", "3"),
        ("due", "'0001-01-01 00:00:00+00:00'"),
        ("due", "'9999-12-31 23:59:59.999999999+00:00'"),
        ("due", "'2024-02-29 23:59:59.000001+00:00'"),
        ("due", "'2024-02-29 23:59:59.500+00:00'"),
        ("due", "NULL"),
        ("owner", "'abcdef00-0000-0000-0000-00000000000a'"),
    ] {
        let statement = format!("UPDATE \"Todo\" SET {column} = {value}");
        fixture.sql(&statement).await.expect(&statement);
        let row = fixture.row("a").await.unwrap_or_else(|| panic!("{statement} can be read"));
        // G9: what was read is found by it.
        let index = TODO.column_index(column).expect("a column");
        let value = row.values[index].clone().expect("a value");
        let node = Node::compare(&TODO.columns[index], Comparison::Eq, value);
        let found = fixture.store.select(Predicate { table: &TODO, node }).await.expect("a filter");
        assert_eq!(found, [row], "{statement}");
    }
}

#[tokio::test]
async fn r_3_sequence_numbers_are_never_used_again() {
    let fixture = Fixture::new().await;
    let mut last = 0;
    for _ in 0..3 {
        fixture.sql("INSERT INTO \"Todo\" (id, text) VALUES ('a', 'x')").await.expect("an insert");
        let seq = fixture.operations().await[0].key.seq;
        assert!(seq > last);
        last = seq;
        fixture.sql("DELETE FROM \"Todo\"").await.expect("a delete");
        assert!(fixture.operations().await.is_empty());
    }
}
