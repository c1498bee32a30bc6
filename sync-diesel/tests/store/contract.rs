//! The contract every store keeps, on SQLite files.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use sync_core::event::{Event, RowChangeKind};
use sync_core::predicate::{Node, Predicate};
use sync_core::store::{LocalStore, contract};
use sync_diesel::{DatabaseOptions, DieselStore, SyncEntity, SyncSchema, create_table_sql, sync_schema};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::connect;

#[derive(SyncEntity)]
#[sync(table = "ContractTodo", module = contract_todo)]
struct Todo {
    text: String,
    #[sync(default = false)]
    complete: bool,
    #[sync(default = 3)]
    rank: i8,
    n: Option<i64>,
    when: Option<DateTime<Utc>>,
    ratio: Option<f32>,
    weight: Option<f64>,
    owner: Option<Uuid>,
    #[sync(local)]
    note: Option<String>,
}

#[derive(SyncEntity)]
#[sync(table = "ContractList", module = contract_list, keep_deleted)]
struct List {
    title: String,
    #[sync(merge = add)]
    n: Option<i32>,
}

#[derive(SyncEntity)]
#[sync(table = "ContractEntry", module = contract_entry, no_version)]
struct Entry {
    line: String,
    n: Option<i32>,
}

#[derive(SyncEntity)]
#[sync(table = "ContractPart", module = contract_part)]
struct Part {
    name: String,
    #[sync(belongs_to = Self)]
    parent: Option<String>,
    #[sync(belongs_to = List)]
    list: Option<String>,
}

sync_schema!(Contract: Todo in contract_todo, List in contract_list, Entry in contract_entry, Part in contract_part);

/// A store on a new file; the folder goes with it.
async fn store(directory: &TempDir) -> DieselStore {
    let path = directory.path().join("contract.db");
    create_tables(&mut connect(&path));
    open(&path).await
}

pub(crate) fn create_tables(connection: &mut SqliteConnection) {
    for table in Contract::schemas() {
        connection.batch_execute(&create_table_sql(table)).expect("a table");
    }
}

pub(crate) async fn open(path: &Path) -> DieselStore {
    // Durability has tests of its own; here it would only cost time.
    let options =
        DatabaseOptions { synchronous: sync_diesel::Synchronous::Normal, ..DatabaseOptions::default() };
    DieselStore::open(path, Contract::TABLES, options).await.expect("a store")
}

#[test]
fn the_tables_are_those_of_the_suite() {
    let ours: Vec<_> = Contract::schemas().collect();
    assert_eq!(ours, contract::TABLES);
}

#[tokio::test]
async fn the_store_contract() {
    let directories = std::cell::RefCell::new(Vec::new());
    contract::run(|| async {
        let directory = TempDir::new().expect("a temporary directory");
        let store = store(&directory).await;
        directories.borrow_mut().push(directory);
        store
    })
    .await;
}

#[tokio::test]
async fn e_05_the_store_contract_holds_with_a_listener() {
    let kept = std::cell::RefCell::new(Vec::new());
    contract::run(|| async {
        let directory = TempDir::new().expect("a temporary directory");
        let store = store(&directory).await;
        kept.borrow_mut().push((store.subscribe(1), directory));
        store
    })
    .await;
}

/// Whoever follows the events knows which rows there are.
#[tokio::test]
async fn e_01_random_histories_are_told_exactly() {
    let mut told = [0; 3];
    for seed in 100..106 {
        let directory = TempDir::new().expect("a temporary directory");
        let store = store(&directory).await;
        let mut events = store.subscribe(100_000);
        contract::compare_with_model(store.clone(), seed, 150).await;
        let mut rows = BTreeSet::new();
        while let Some(event) = events.try_next() {
            let Event::Changed(changes) = event else { continue };
            for table in changes.tables.iter() {
                assert!(table.is_complete() && !table.is_empty(), "{changes:?}");
                for row in &table.rows {
                    let name = (table.table, row.id.clone());
                    let is_right = match row.kind {
                        RowChangeKind::Inserted => rows.insert(name),
                        RowChangeKind::Updated => rows.contains(&name),
                        RowChangeKind::Deleted => rows.remove(&name),
                    };
                    assert!(is_right, "seed {seed}: {changes:?}");
                    told[row.kind as usize] += 1;
                }
            }
        }
        let mut there = BTreeSet::new();
        for table in Contract::schemas() {
            let all = Predicate { table, node: Node::ALWAYS };
            let rows = store.select(all).await.expect("rows");
            there.extend(rows.into_iter().map(|row| (table.name, row.id)));
        }
        assert_eq!(rows, there, "seed {seed}");
    }
    assert!(told.iter().all(|&number| number > 20), "every kind of change happened: {told:?}");
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    for seed in 0..12 {
        let directory = TempDir::new().expect("a temporary directory");
        contract::compare_with_model(store(&directory).await, seed, 150).await;
    }
}
