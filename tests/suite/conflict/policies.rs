//! Merge rules of columns, and policies of tables and contexts, during a push.

use std::path::Path;

use diesel::connection::{Connection, SimpleConnection};
use diesel::sqlite::SqliteConnection;
use serde_json::{Value, json};
use sync_diesel::core::store::{ResolutionKind, Resolver};
use sync_diesel::prelude::*;
use sync_tests::proxy::Fault;
use sync_tests::rules::{Counted, Rules};

use crate::offline::World;

fn builder(world: &World, dialect: Dialect, name: &str) -> sync_diesel::Builder<Rules> {
    let database = world.folder.path().join(name);
    make_table(&database);
    SyncContext::<Rules>::builder(world.proxy.url())
        .dialect(dialect)
        .profile(world.server.as_ref().profile())
        .window(world.server.as_ref().window())
        .database(database)
}

fn make_table(database: &Path) {
    let file = database.to_str().expect("the path of a database is text");
    let mut connection = SqliteConnection::establish(file).expect("the database opens");
    let create = create_table_sql(Counted::SCHEMA).replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
    connection.batch_execute(&create).expect("the table can be made");
}

fn start() -> Counted {
    Counted { text: "start".into(), complete: false, n: 10, price: Some(4.0) }
}

/// A device whose row was edited here (`edit`) and on the server (`theirs`).
async fn edited(
    world: &World,
    builder: sync_diesel::Builder<Rules>,
    edit: impl FnOnce(&mut Counted),
    theirs: Value,
) -> (SyncContext<Rules>, String) {
    let device = builder.open().await.expect("opens");
    let table = device.table::<Counted>();
    let id = table.insert(start()).await.expect("inserted").id().to_owned();
    device.push().await.expect("pushed");
    let answer = world.server.as_ref().update(&id, None, &theirs).await;
    assert_eq!(answer.status, 200);
    let mut record = table.get(&id).await.expect("read").expect("there");
    edit(&mut record);
    table.update(&record).await.expect("updated");
    (device, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn k_06_columns_merge_by_their_rules_in_each_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let (device, id) = edited(
            &world,
            builder(&world, dialect, "a.db"),
            |mine| (mine.text, mine.n, mine.price) = ("mine".into(), 12, Some(3.5)),
            json!({"complete": true, "n": 15, "price": 3.75}),
        )
        .await;
        let report = device.push().await.expect("merged on the way");
        assert_eq!((report.completed, report.sent, report.remaining), (1, 2, 0), "{dialect:?}");
        let row = world.server.as_ref().read(&id).await.json();
        assert_eq!(
            (row["text"].as_str(), row["complete"].as_bool(), row["n"].as_i64(), row["price"].as_f64()),
            (Some("mine"), Some(true), Some(17), Some(3.5)),
            "{dialect:?}: counted on both sides, done there, the smaller price"
        );
        let local = device.table::<Counted>().get(&id).await.expect("read").expect("there");
        assert_eq!(*local, Counted { text: "mine".into(), complete: true, n: 17, price: Some(3.5) });

        let record = device.resolutions().await.expect("a read").pop().expect("remembered");
        assert_eq!((record.item_id.as_str(), record.decision), (&*id, ResolutionKind::Merge));
        assert_eq!((record.by, record.status), (Resolver::Policy(ConflictPolicy::Merge), Some(412)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k_06_a_column_without_rule_leaves_the_conflict() {
    let world = World::new().await;
    let (device, id) = edited(
        &world,
        builder(&world, Dialect::MobileApps, "a.db"),
        |mine| (mine.text, mine.n) = ("mine".into(), 11),
        json!({"text": "theirs", "n": 15}),
    )
    .await;
    assert_eq!(device.push().await.expect_err("a conflict").kind(), ErrorKind::PushFailed);
    let conflict = device.conflicts::<Counted>().await.expect("a read").remove(0);
    assert_eq!((conflict.class, conflict.status), (FailureClass::Conflict, Some(412)));
    assert_eq!(conflict.kind, OperationKind::Update);
    assert_eq!(conflict.changed_here(), ["text", "n"]);
    assert_eq!(conflict.changed_there(), ["text", "n"]);
    assert_eq!(conflict.both_changed(), ["text", "n"]);
    let merged = conflict.merge_with(|merged, here, there| {
        assert_eq!((merged.text.as_str(), merged.n), ("mine", 16), "rules first");
        merged.text = format!("{} and {}", here.text, there.text);
    });
    device.resolve(&conflict, merged).await.expect("resolved");
    device.push().await.expect("pushed");
    let row = world.server.as_ref().read(&id).await.json();
    assert_eq!((row["text"].as_str(), row["n"].as_i64()), (Some("mine and theirs"), Some(16)));
}

#[tokio::test(flavor = "multi_thread")]
async fn k_06_a_lost_answer_is_not_counted_twice() {
    let world = World::new().await;
    let device = builder(&world, Dialect::MobileApps, "a.db").open().await.expect("opens");
    let table = device.table::<Counted>();
    let id = table.insert(start()).await.expect("inserted").id().to_owned();
    device.push().await.expect("pushed");
    let mut record = table.get(&id).await.expect("read").expect("there");
    record.n = 11;
    table.update(&record).await.expect("updated");
    world.proxy.inject(1, Fault::LoseAnswer, |request| request.method == "PATCH");
    device.push().await.expect_err("the answer is lost");
    let row = world.server.as_ref().read(&id).await.json();
    assert_eq!(row["n"], 11, "it arrived");
    world.server.as_ref().update(&id, None, &json!({"n": 12})).await;

    device.push().await.expect_err("nobody can tell what was counted");
    let conflict = device.conflicts::<Counted>().await.expect("a read").remove(0);
    assert!(conflict.rows().uncertain);
    assert_eq!(device.resolve_all(ConflictPolicy::Merge).await.expect("decided").left.len(), 1);
    device.resolve_all(ConflictPolicy::MergeElseServer).await.expect("decided");
    device.push().await.expect("pushed");
    assert_eq!(world.server.as_ref().read(&id).await.json()["n"], 12);
    assert_eq!(table.get(&id).await.expect("read").expect("there").n, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_06_policies_of_a_table_and_of_a_context() {
    use ConflictPolicy::{ClientWins, Leave, ServerWins};
    // Policy of the context, of the table; who wins.
    for (context, table, winner) in [
        (ClientWins, None, Some("mine")),
        (ServerWins, None, Some("theirs")),
        (Leave, None, None),
        (ServerWins, Some(ClientWins), Some("mine")),
        (ClientWins, Some(Leave), None),
    ] {
        let world = World::new().await;
        let mut builder = builder(&world, Dialect::MobileApps, "a.db").conflicts(context);
        if let Some(policy) = table {
            builder = builder.conflicts_of::<Counted>(policy);
        }
        let (device, id) =
            edited(&world, builder, |mine| mine.text = "mine".into(), json!({"text": "theirs", "n": 15}))
                .await;
        let pushed = device.push().await;
        assert_eq!(pushed.is_ok(), winner.is_some(), "{context:?} {table:?}");
        let row = world.server.as_ref().read(&id).await.json();
        assert_eq!(row["text"], winner.unwrap_or("theirs"), "{context:?} {table:?}");
        assert_eq!(row["n"], 15, "the other column is theirs in any case");
        let local = device.table::<Counted>().get(&id).await.expect("read").expect("there");
        assert_eq!(local.text, winner.unwrap_or("mine"));
        let remembered = device.resolutions().await.expect("a read");
        assert_eq!(remembered.len(), usize::from(winner.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k_05_an_untyped_handler_stands_behind_those_of_tables() {
    use sync_diesel::core::conflict::Decision;
    use sync_diesel::core::value::Value;
    let world = World::new().await;
    let builder = builder(&world, Dialect::MobileApps, "a.db").on_any_conflict(|conflict| {
        assert_eq!((conflict.table.name, conflict.item_id().is_empty()), ("TodoItem", false));
        Ok(Decision::Resolve(conflict.merge_with(|both| match (both.local, both.remote) {
            (Value::Text(here), Value::Text(there)) => Some(Value::Text(format!("{here}, {there}"))),
            _ => None,
        })))
    });
    let (device, id) = edited(
        &world,
        builder,
        |mine| (mine.text, mine.n) = ("mine".into(), 11),
        json!({"text": "theirs", "n": 15}),
    )
    .await;
    device.push().await.expect("merged");
    let row = world.server.as_ref().read(&id).await.json();
    assert_eq!((row["text"].as_str(), row["n"].as_i64()), (Some("mine, theirs"), Some(16)));
    assert_eq!(device.resolutions().await.expect("a read")[0].by, Resolver::Handler);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_14_server_wins_brings_a_row_back_that_was_deleted_here() {
    let world = World::new().await;
    let builder = builder(&world, Dialect::MobileApps, "a.db").conflicts(ConflictPolicy::ServerWins);
    let (device, id) = edited(&world, builder, |_| {}, json!({"text": "theirs"})).await;
    device.table::<Counted>().delete(&id).await.expect("deleted");
    device.push().await.expect("the server wins");
    let row = device.table::<Counted>().get(&id).await.expect("read").expect("it is back");
    assert_eq!((row.text.as_str(), row.is_deleted()), ("theirs", false));
    assert_eq!(world.server.as_ref().read(&id).await.json()["text"], "theirs");
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_20h_a_handler_that_asks_for_the_impossible_fails_alone() {
    let world = World::new().await;
    let builder = builder(&world, Dialect::MobileApps, "a.db")
        .on_conflict::<Counted>(|conflict| conflict.merge_with(|merged, _, _| merged.price = Some(f64::NAN)));
    let (device, _) =
        edited(&world, builder, |mine| mine.text = "mine".into(), json!({"text": "theirs"})).await;
    device.table::<Counted>().insert(start()).await.expect("inserted");
    let error = device.push().await.expect_err("one conflict");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert_eq!(error.push_report().map(|report| (report.completed, report.remaining)), Some((1, 1)));
    let stored = device.errors().await.expect("a read").remove(0);
    assert_eq!(stored.class, FailureClass::Handler);
    assert!(stored.message.contains("price"), "{}", stored.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn w_09_a_row_kept_as_deleted_is_read_and_revived_in_each_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new().await;
        let device = builder(&world, dialect, "a.db").open().await.expect("opens");
        let table = device.table::<Counted>();
        let id = table.insert(start()).await.expect("inserted").id().to_owned();
        device.push().await.expect("pushed");
        assert!(world.server.as_ref().delete(&id, None).await.status < 300);
        device.pull("all", Counted::all()).await.expect("pulled");
        let deleted = table.filter(Counted::deleted).load().await.expect("rows");
        assert_eq!(deleted.iter().map(|row| row.id()).collect::<Vec<_>>(), [&*id], "{dialect:?}");
        assert!(deleted[0].is_deleted());
        assert_eq!(table.filter(!Counted::deleted).count().await.expect("counted"), 0);

        table.undelete(&*id).await.expect("revived here");
        let mut record = table.get(&id).await.expect("read").expect("there");
        assert!(!record.is_deleted());
        record.text = "again".into();
        table.update(&record).await.expect("updated");
        let report = device.push().await.expect("revived there");
        assert_eq!(report.remaining, 0, "{dialect:?}");
        assert_eq!(world.on_server().await, [(id.clone(), "again".to_owned())], "{dialect:?}");
        let again = table.undelete(&*id).await.expect_err("it is live");
        assert_eq!(
            (again.kind(), again.table(), again.item()),
            (ErrorKind::NotFound, Some("TodoItem"), Some(&*id))
        );
    }
}
