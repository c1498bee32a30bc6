//! Changes by plain statements of the app: the row and what the triggers queue.

use diesel::connection::SimpleConnection;
use sync_core::store::LocalStore;
use sync_core::store::contract::crash::{Crash, go_on};

use super::{Files, Folder, check_crashes, found_in};

/// Statements of one transaction, after what was there and after the statements above.
const STATEMENTS: [(&str, &str); 8] = [
    ("an insert", "INSERT INTO \"ContractTodo\" (id, text) VALUES ('a', 'milk')"),
    (
        "many inserts",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO \"ContractTodo\" (id, text) SELECT 'row ' || i, 'bread' FROM n",
    ),
    ("an update of many rows", "UPDATE \"ContractTodo\" SET complete = 1 WHERE text = 'bread'"),
    (
        "a row in place of another",
        "INSERT OR REPLACE INTO \"ContractTodo\" (id, text) VALUES ('pulled', 'replaced')",
    ),
    (
        "an upsert",
        "INSERT INTO \"ContractTodo\" (id, text) VALUES ('a', 'tea') ON CONFLICT (id) DO UPDATE SET text = 'tea'",
    ),
    ("a delete of many rows", "DELETE FROM \"ContractTodo\" WHERE id LIKE 'row 1%'"),
    (
        "statements of two tables",
        "INSERT INTO \"ContractList\" (id, title) VALUES ('l', 'home');
         INSERT INTO \"ContractPart\" (id, name, list) VALUES ('p', 'a part', 'l');
         UPDATE \"ContractTodo\" SET text = 'jam' WHERE id = 'a'",
    ),
    (
        "nested transactions",
        "SAVEPOINT one; DELETE FROM \"ContractTodo\" WHERE id = 'a'; ROLLBACK TO one; RELEASE one;
         SAVEPOINT two; UPDATE \"ContractTodo\" SET rank = 5 WHERE id = 'a'; RELEASE two",
    ),
];

#[tokio::test]
async fn z_01_plain_statements_are_whole_after_a_crash() {
    let mut folder = Folder::default();
    let store = folder.create().await;
    let path = folder.last();
    let pulled = "INSERT INTO \"ContractTodo\" (id, text) VALUES ('pulled', 'theirs')";
    store.write(|conn| conn.batch_execute(pulled)).await.expect("a row");
    go_on(&store).await;
    for (what, statement) in STATEMENTS {
        let before = Files::read(&path);
        store.write(|conn| conn.batch_execute(statement)).await.expect(what);
        let after = Files::read(&path);
        for files in check_crashes(&before, &after, what) {
            let crashed = folder.open(&files).await;
            crashed.write(|conn| conn.batch_execute(statement)).await.expect(what);
            assert_eq!(folder.contents(&crashed).await, found_in(&after), "{what}, done again");
        }
    }
    assert_eq!(store.operations(None).await.expect("a read").len(), 2 + 200 - 111 + 2, "what is left of all");
}

/// A statement that fails leaves nothing of its transaction, and a crash behind it nothing either.
#[tokio::test]
async fn z_06_what_was_rolled_back_is_not_found_after_a_crash() {
    let mut folder = Folder::default();
    let store = folder.create().await;
    let before = found_in(&Files::read(&folder.last()));
    let statements = "INSERT INTO \"ContractTodo\" (id, text) VALUES ('a', 'milk');
                      INSERT INTO \"ContractTodo\" (id, text) VALUES ('..', 'an id that cannot be sent')";
    store.write(|conn| conn.batch_execute(statements)).await.expect_err("an invalid id");
    assert_eq!(found_in(&Files::read(&folder.last())), before);
}
