//! Typed writes: upsert, and several at once.

use sync_diesel::prelude::*;

use crate::support::{List, Todo, World};

#[tokio::test]
async fn x_13_upsert_inserts_what_is_not_there_and_updates_what_is() {
    let world = World::new().await;
    let todos = world.todos();
    todos.upsert(&Record::new("a", Todo::new("new"))).await.unwrap();
    world
        .as_sync(
            "INSERT INTO \"TodoItem\" (id, text, complete, rank, __version) VALUES ('b', 'old', 0, 0, 'v1')",
        )
        .await;
    let records = [
        Record::new("a", Todo::new("newer")),
        Record::new("b", Todo::new("changed")),
        Record::new("c", Todo::new("c")),
    ];
    todos.upsert_many(&records).await.unwrap();
    let texts: Vec<(String, String)> = todos.all().select((Todo::id, Todo::text)).load().await.unwrap();
    assert_eq!(
        texts,
        [("a", "newer"), ("b", "changed"), ("c", "c")].map(|(id, text)| (id.into(), text.into()))
    );
    let kinds: Vec<_> = world
        .sync
        .pending_operations()
        .await
        .unwrap()
        .into_iter()
        .map(|operation| (operation.key.item_id, operation.kind, operation.base_version))
        .collect();
    assert_eq!(
        kinds,
        [
            ("a".to_owned(), OperationKind::Insert, None),
            ("b".to_owned(), OperationKind::Update, Some("v1".to_owned())),
            ("c".to_owned(), OperationKind::Insert, None),
        ]
    );
}

#[tokio::test]
async fn upsert_is_all_or_nothing() {
    let world = World::new().await;
    let records = [Record::new("a", Todo::new("good")), Record::new("no/good", Todo::new("bad id"))];
    let error = world.todos().upsert_many(&records).await.expect_err("the id cannot be sent");
    assert_eq!(error.kind(), ErrorKind::InvalidId);
    assert_eq!((world.todos().all().count().await.unwrap(), world.pending().await), (0, 0));
}

#[tokio::test]
async fn c_11_a_batch_of_several_entities_is_all_or_nothing() {
    let world = World::new().await;
    let mut batch = world.sync.batch();
    let list = batch.insert(List { name: "Groceries".into() });
    let milk = batch.insert(Todo { list_id: Some(list.clone()), ..Todo::new("Pick up milk") });
    batch.insert(Todo::new("gone again"));
    batch.commit().await.unwrap();
    assert_eq!(world.pending().await, 3);

    let mut record = world.todos().get(&milk).await.unwrap().expect("there");
    record.complete = true;
    let mut batch = world.sync.batch();
    batch.update(&record);
    batch.delete::<List>("no such list");
    let error = batch.commit().await.expect_err("one of them fails");
    assert_eq!((error.kind(), error.table()), (ErrorKind::NotFound, Some("List")));
    assert!(!world.todos().get(&milk).await.unwrap().expect("there").complete);

    let mut batch = world.sync.batch();
    batch.update(&record);
    batch.delete::<List>(list);
    batch.commit().await.unwrap();
    assert!(world.todos().get(&milk).await.unwrap().expect("there").complete);
    assert_eq!(world.sync.table::<List>().all().count().await.unwrap(), 0);
    assert_eq!(world.pending().await, 2, "the list was never sent, so nothing of it is left");
}
