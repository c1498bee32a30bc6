//! Offline use: local writes, the queue, push, pull and purge against our own server.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use sync_diesel::prelude::*;
use sync_tests::model::{self, Todo, todo};
use sync_tests::proxy::{Fault, FaultProxy, Gate};
use sync_tests::servers::SyncServerFixture;

/// A server, a proxy before it and a folder for databases.
pub(crate) struct World {
    pub(crate) server: SyncServerFixture,
    pub(crate) proxy: FaultProxy,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let server = SyncServerFixture::of_every_dialect().await;
        let proxy = FaultProxy::start(server.as_ref().authority()).await;
        Self { server, proxy, folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) async fn device(&self, name: &str) -> SyncContext<model::Schema> {
        model::open(self.proxy.url(), &self.folder.path().join(name)).await
    }

    /// The live rows on the server: id and text.
    pub(crate) async fn on_server(&self) -> Vec<(String, String)> {
        let rows = self.server.as_ref().rows(&[("$orderby", "text,id"), ("$top", "1000")]).await;
        rows.iter()
            .map(|row| {
                let member = |name: &str| row[name].as_str().expect("text").to_owned();
                (member("id"), member("text"))
            })
            .collect()
    }
}

async fn texts(device: &SyncContext<model::Schema>) -> Vec<String> {
    let rows = device.table::<Todo>().all().order_by(Todo::text.asc()).load().await.expect("rows");
    rows.iter().map(|row| row.text.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c_03_nothing_is_sent_before_push_or_pull() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let record = todos.insert(Todo::new("milk")).await.expect("inserted");
    todos.update(&record).await.expect("updated");
    todos.filter(Todo::text.contains("milk")).load().await.expect("rows");
    device.purge(Todo::text.eq("nothing")).await.expect_err("operations are pending");
    device.pending().await.expect("counted");
    assert!(world.proxy.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_share_rows_through_push_and_pull() {
    let world = World::new().await;
    let (phone, laptop) = (world.device("phone.db").await, world.device("laptop.db").await);
    let todos = phone.table::<Todo>();
    let mut milk = todos.insert(Todo::new("Pick up milk")).await.expect("inserted");
    todos.insert(Todo::new("Call home")).await.expect("inserted");
    milk.complete = true;
    todos.update(&milk).await.expect("updated");
    assert_eq!(phone.pending().await.expect("counted"), 2, "insert and update are one operation (X-02)");

    let report = phone.push().await.expect("pushed");
    assert_eq!((report.sent, report.completed, report.remaining), (2, 2, 0));
    let stored = todos.get(milk.id()).await.expect("read").expect("there");
    assert!(
        stored.version().is_some() && stored.updated_at().is_some(),
        "the server's answer is stored (F-03)"
    );

    let pulled = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
    assert_eq!((pulled.rows.added, pulled.rows.changed), (1, 0));
    assert_eq!(texts(&laptop).await, ["Pick up milk"]);
    let theirs = laptop.table::<Todo>().get(milk.id()).await.expect("read").expect("there");
    assert!(theirs.complete);
    assert_eq!(theirs.version(), stored.version());

    let again = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
    assert_eq!((again.rows.added, again.rows.changed, again.rows.removed), (0, 0, 0), "incremental (T-01)");

    todos.delete(milk.id()).await.expect("deleted");
    phone.push().await.expect("pushed");
    let pulled = laptop.pull("milkQuery", Todo::text.contains("milk")).await.expect("pulled");
    assert_eq!(pulled.rows.removed, 1, "L-11");
    assert!(texts(&laptop).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_diesel_statements_are_tracked_all_or_nothing() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    for text in ["milk 1", "milk 2", "tea"] {
        device.table::<Todo>().insert(Todo::new(text)).await.expect("inserted");
    }
    device.push().await.expect("pushed");

    let changed = device
        .write(|conn| {
            diesel::update(todo::table.filter(Todo::text.contains("milk")))
                .set(todo::complete.eq(true))
                .execute(conn)
        })
        .await
        .expect("written");
    assert_eq!((changed, device.pending().await.expect("counted")), (2, 2));

    device
        .write(|conn| {
            diesel::delete(todo::table).execute(conn)?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        })
        .await
        .expect_err("rolled back");
    assert_eq!(device.pending().await.expect("counted"), 2, "c_11_a_roll_back_leaves_no_operation");
    assert_eq!(texts(&device).await.len(), 3);

    device.push().await.expect("pushed");
    let complete = world.server.as_ref().rows(&[("$filter", "complete eq true")]).await;
    assert_eq!(complete.len(), 2);

    let joined: Vec<Record<Todo>> = device
        .read(|conn| {
            todo::table
                .filter(Todo::text.contains("milk"))
                .filter(todo::complete.eq(true))
                .select(Record::<Todo>::as_select())
                .load(conn)
        })
        .await
        .expect("read");
    assert_eq!(joined.len(), 2);
    device.read(|conn| diesel::delete(todo::table).execute(conn)).await.expect_err("a reader cannot write");
}

#[tokio::test(flavor = "multi_thread")]
async fn m_01_a_pull_of_a_dirty_table_pushes_first() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    device.table::<Todo>().insert(Todo::new("milk")).await.expect("inserted");
    let report = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!(report.push.expect("a push came first").completed, 1);
    assert_eq!(world.on_server().await.len(), 1);
    let methods: Vec<_> = world.proxy.seen().iter().map(|seen| seen.request.method.clone()).collect();
    assert_eq!(methods[..2], ["POST", "GET"]);

    world.proxy.take_seen();
    let report = device.pull("all", Todo::all()).await.expect("pulled");
    assert!(report.push.is_none(), "m_02_a_clean_table_does_not_push");
}

#[tokio::test(flavor = "multi_thread")]
async fn m_04_a_failed_push_fails_the_pull_unless_pull_anyway() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let refuse = || {
        Fault::Answer(sync_tests::http::Answer::new(422, "application/json", r#"{"error":"not like this"}"#))
    };
    world.proxy.inject(2, refuse(), |request| request.method == "POST");
    device.table::<Todo>().insert(Todo::new("refused")).await.expect("inserted");
    world.server.as_ref().seed(&serde_json::json!({"id": "s", "text": "server", "complete": false})).await;

    let error = device.pull("all", Todo::all()).await.expect_err("the push failed");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    assert!(world.proxy.take_seen().iter().all(|seen| seen.request.method == "POST"), "no read request");

    let report = device.pull("all", Todo::all()).pull_anyway().await.expect("pulled");
    assert_eq!(report.rows.added, 1);
    let errors = device.errors().await.expect("errors");
    assert_eq!((errors.len(), errors[0].status, errors[0].message.as_str()), (1, Some(422), "not like this"));
    assert_eq!(device.pending().await.expect("counted"), 1, "p_29_a_failed_operation_is_never_dropped");
    let report = device.push().await.expect("pushed");
    assert_eq!(report.completed, 1);
    assert!(device.errors().await.expect("errors").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn l_14_a_pull_never_overwrites_a_local_edit() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let mut record = todos.insert(Todo::new("one")).await.expect("inserted");
    device.push().await.expect("pushed");

    world.server.as_ref().update(record.id(), None, &serde_json::json!({"text": "theirs"})).await;
    record = todos.get(record.id()).await.expect("read").expect("there");
    record.text = "ours".into();
    todos.update(&record).await.expect("updated");
    // The push before the pull is refused without a look at the server's row; the pull brings that row and must leave
    // the local one alone.
    let refusal = sync_tests::http::Answer::new(422, "application/json", "{}");
    world.proxy.inject(1, Fault::Answer(refusal), |request| request.method == "PATCH");
    let report = device.pull("all", Todo::all()).pull_anyway().await.expect("pulled");
    assert_eq!(report.rows.kept_local, 1);
    assert_eq!(texts(&device).await, ["ours"]);
    let error = &device.errors().await.expect("errors")[0];
    device.resolve(error, Resolve::<Todo>::TakeRemote).await.expect("resolved");
    assert_eq!(texts(&device).await, ["theirs"], "k_09_the_servers_copy_comes_back");
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g_01_to_g_08_purge_keeps_unsent_work_and_resets_tokens() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    for text in ["done", "open"] {
        let mut record = todos.insert(Todo::new(text)).await.expect("inserted");
        record.complete = text == "done";
        todos.update(&record).await.expect("updated");
    }
    device.pull("all", Todo::all()).await.expect("pulled");
    todos.insert(Todo::new("unsent")).await.expect("inserted");

    world.proxy.take_seen();
    let error = device.purge(Todo::complete.eq(true)).await.expect_err("pending operations");
    assert_eq!(error.kind(), ErrorKind::PendingOperations);
    assert_eq!(texts(&device).await, ["done", "open", "unsent"]);

    let purged = device.purge(Todo::complete.eq(true)).force().await.expect("purged");
    assert_eq!((purged.rows, purged.operations), (1, 0), "g_06_only_what_matches");
    assert_eq!(texts(&device).await, ["open", "unsent"]);
    assert_eq!(device.pending().await.expect("counted"), 1, "g_10_unsent_work_of_other_rows_stays");
    assert!(world.proxy.seen().is_empty(), "g_04_purge_sends_nothing");

    let report = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!(report.rows.added, 1, "g_07_the_token_was_reset");
    assert_eq!(texts(&device).await, ["done", "open", "unsent"]);

    todos.insert(Todo::new("dropped")).await.expect("inserted");
    let purged = device.purge(Todo::all()).force().await.expect("purged");
    assert_eq!((purged.rows, purged.operations), (4, 1));
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i_08_a_local_write_during_a_slow_push_returns_at_once_and_is_not_lost() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let record = todos.insert(Todo::new("first")).await.expect("inserted");
    let gate = Gate::new();
    world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), |request| request.method == "POST");

    let pushing = tokio::spawn({
        let device = device.clone();
        async move { device.push().await }
    });
    gate.arrived().await;
    // The server has the row, the answer is on its way; the app does not wait for it.
    let mut edited = todos.get(record.id()).await.expect("read").expect("there");
    edited.text = "edited in flight".into();
    todos.update(&edited).await.expect("the write does not wait for the push");
    todos.insert(Todo::new("second")).await.expect("the write does not wait for the push");
    assert!(!pushing.is_finished());
    gate.open();

    let report = pushing.await.expect("no panic").expect("pushed");
    assert_eq!((report.completed, report.remaining), (1, 2), "p_07_later_operations_wait");
    let stored = todos.get(record.id()).await.expect("read").expect("there");
    assert_eq!(stored.text, "edited in flight", "f_04_the_edit_survives_the_answer");
    assert!(stored.version().is_some());

    let report = device.push().await.expect("no conflict with our own write");
    assert_eq!((report.completed, report.remaining), (2, 0));
    let texts: Vec<_> = world.on_server().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["edited in flight", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_05_f_06_rows_deleted_and_made_again_in_flight_end_as_the_app_left_them() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let push_held = |method: &'static str| {
        let gate = Gate::new();
        world.proxy.inject(1, Fault::HoldAnswer(gate.clone()), move |request| request.method == method);
        let device = device.clone();
        (gate, tokio::spawn(async move { device.push().await }))
    };

    let record = todos.insert(Todo::new("insert, then delete")).await.expect("inserted");
    let (gate, pushing) = push_held("POST");
    gate.arrived().await;
    todos.delete(record.id()).await.expect("deleted");
    gate.open();
    pushing.await.expect("no panic").expect("pushed");
    assert!(todos.get(record.id()).await.expect("read").is_none(), "the answer does not bring the row back");
    device.push().await.expect("pushed");
    assert!(world.on_server().await.is_empty());

    let record = todos.insert(Todo::new("delete, then insert")).await.expect("inserted");
    device.push().await.expect("pushed");
    todos.delete(record.id()).await.expect("deleted");
    let (gate, pushing) = push_held("DELETE");
    gate.arrived().await;
    todos.insert_with_id(record.id(), Todo::new("made again")).await.expect("inserted");
    gate.open();
    pushing.await.expect("no panic").expect("pushed");
    device.push().await.expect("pushed");
    let server = world.on_server().await;
    assert_eq!(server, [(record.id().to_owned(), "made again".to_owned())]);
    assert_eq!(device.pending().await.expect("counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_requests_keep_rows_apart_and_complete() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    let records = todos
        .insert_many((0..100).map(|number| Todo::new(format!("row {number:03}"))))
        .await
        .expect("inserted");
    let report = device.push().window(8).await.expect("pushed");
    assert_eq!((report.completed, report.remaining), (100, 0));
    for record in records.iter().step_by(2) {
        todos.delete(record.id()).await.expect("deleted");
    }
    let report = device.push().window(32).await.expect("pushed");
    assert_eq!(report.completed, 50);
    assert_eq!(world.on_server().await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_06_to_l_09_arguments_are_checked_before_any_request() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    device.table::<Todo>().insert(Todo::new("milk")).await.expect("inserted");
    for query_id in ["", "with\nnewline", &"x".repeat(256)] {
        let error = device.pull(query_id, Todo::all()).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let error = device.pull("q", Todo::all()).page_size(0).await.expect_err("refused");
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("TodoItem")));
    assert!(world.proxy.seen().is_empty(), "m_06_not_even_a_push");
}

#[tokio::test(flavor = "multi_thread")]
async fn l_08_another_filter_under_the_same_query_id_starts_anew() {
    let world = World::new().await;
    for text in ["milk", "tea"] {
        world.server.as_ref().seed(&serde_json::json!({"text": text, "complete": false})).await;
    }
    let device = world.device("a.db").await;
    device.pull("q", Todo::text.contains("milk")).await.expect("pulled");
    assert_eq!(texts(&device).await, ["milk"]);
    let report = device.pull("q", Todo::text.contains("t")).await.expect("pulled");
    assert!(report.restarted);
    assert_eq!(texts(&device).await, ["milk", "tea"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_15_rows_that_exchange_a_unique_value_come_through_in_one_pull() {
    let world = World::new().await;
    let server = world.server.as_ref();
    for (id, text) in [("a", "one"), ("b", "two")] {
        server.seed(&serde_json::json!({ "id": id, "text": text, "complete": false })).await;
    }
    let device = world.device("a.db").await;
    device
        .write(|conn| diesel::sql_query("CREATE UNIQUE INDEX one_text ON \"TodoItem\" (text)").execute(conn))
        .await
        .expect("an index");
    device.pull("all", Todo::all()).await.expect("pulled");
    for (id, text) in [("a", "two"), ("b", "one")] {
        server.update(id, None, &serde_json::json!({ "text": text })).await;
    }
    let report = device.pull("all", Todo::all()).await.expect("pulled");
    assert_eq!(report.rows.changed, 2, "{report:?}");
    let todos = device.table::<Todo>();
    for (id, text) in [("a", "two"), ("b", "one")] {
        assert_eq!(todos.get(id).await.expect("read").expect("there").text, text);
    }
    assert_eq!(device.quarantine().await.expect("listed"), []);
    assert_eq!(device.pending().await.expect("counted"), 0, "a pull queues nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_20i_a_push_goes_on_past_a_damaged_operation() {
    let world = World::new().await;
    let device = world.device("a.db").await;
    let todos = device.table::<Todo>();
    for text in ["one", "two", "three"] {
        todos.insert(Todo::new(text)).await.expect("inserted");
    }
    // Something took the triggers away and wrote behind the queue's back.
    let damage = "DROP TRIGGER \"__sync_delete_TodoItem\"; DELETE FROM \"TodoItem\" WHERE text = 'two'";
    device.write(move |conn| conn.batch_execute(damage)).await.expect("damaged");
    for sent in [2, 0] {
        let error = device.push().await.expect_err("one cannot be sent");
        let report = error.push_report().expect("a report");
        assert_eq!((error.kind(), report.status), (ErrorKind::PushFailed, PushStatus::Complete));
        assert_eq!((report.sent, report.completed, report.remaining), (sent, sent, 1));
        let classes: Vec<_> = report.errors.iter().map(|error| error.class).collect();
        assert_eq!(classes, [FailureClass::LocalRowMissing]);
    }
    assert_eq!(world.on_server().await.len(), 2);

    // Nothing is known of the row but its id: the next pull asks for it.
    let error = device.errors().await.expect("errors").remove(0);
    device.resolve(&error, Resolve::<Todo>::TakeRemote).await.expect("resolved");
    assert_eq!(device.pull_all(Todo::all()).await.expect("pulled").rows.added, 0);
    device.push().await.expect("nothing is left");
}
