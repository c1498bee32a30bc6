//! Pulls: what is asked for, what leaves, what a failure in the middle costs.

use std::pin::pin;
use std::sync::Mutex;

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::json;

use super::versions::{Script, answer, device as scripted};
use super::*;
use crate::engine::pull::BUFFER_BYTES;
use crate::predicate::{Comparison, Node};
use crate::store::Purge;
use crate::transport::{Request, Response, SendError};

fn of_text(text: &str) -> Predicate {
    Predicate { table: &TODO, node: Node::compare(&TEXT, Comparison::Eq, Value::Text(text.into())) }
}

/// The pull of open rows, page by page of one row.
fn open_rows() -> PullRequest {
    PullRequest { page_size: 1, ..PullRequest::new(Some("open".into()), of_text("open")) }
}

fn full(predicate: Predicate) -> PullRequest {
    PullRequest::new(None, predicate)
}

fn dated() -> Arc<Server> {
    let server = Server::of(Dialect::MobileApps);
    server.with(|state| state.is_dated = true);
    server
}

fn with_profile(server: &Arc<Server>, profile: ServerProfile) -> Engine<MemoryStore> {
    let requests = RequestBuilder::new(Endpoint::parse("http://model").expect("valid"), server.dialect);
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    Engine::new(store, Arc::new(Arc::clone(server)), Arc::new(NoWait), requests, profile)
}

/// A device that tracks exits by default and trusts the server's times.
fn tracking(server: &Arc<Server>) -> Engine<MemoryStore> {
    with_profile(server, ServerProfile::sync_server())
}

fn seed(server: &Server, rows: &[(&str, &str)]) {
    for (id, text) in rows {
        server.seed(json!({"id": id, "text": text}));
    }
}

/// Lets an hour pass on the server.
fn later(server: &Server) {
    server.with(|state| state.commits += 3_600_000);
}

async fn ids(device: &Engine<MemoryStore>) -> Vec<String> {
    texts(device).await.into_iter().map(|(id, _)| id).collect()
}

/// The options of this name of the lists asked for since the last call.
fn asked(server: &Server, name: &str) -> Vec<String> {
    let lists = server.with(|state| std::mem::take(&mut state.lists));
    let value = |(options, _): &(Vec<(String, String)>, _)| {
        options.iter().find(|(option, _)| option == name).map_or(String::new(), |(_, value)| value.clone())
    };
    lists.iter().map(value).collect()
}

#[tokio::test]
async fn r_12_a_row_completed_elsewhere_leaves() {
    for server in servers() {
        server.with(|state| state.is_dated = true);
        seed(&server, &[("bread", "open"), ("milk", "open"), ("old", "done")]);
        let device = tracking(&server);
        let report = device.pull(open_rows()).await.expect("pulled");
        assert_eq!((report.rows.added, report.tracked_exits), (2, false), "nothing can have left yet");
        seed(&server, &[("milk", "done"), ("new", "done")]);
        let report = device.pull(open_rows()).await.expect("pulled");
        assert_eq!(
            (report.rows.evicted, report.rows.added, report.tracked_exits),
            (1, 0, true),
            "{report:?}"
        );
        assert_eq!(ids(&device).await, ["bread"]);
    }
}

#[tokio::test]
async fn r_12_the_feed_asks_for_what_changed_without_the_filter() {
    let server = dated();
    seed(&server, &[("a", "open")]);
    later(&server);
    seed(&server, &[("b", "open"), ("c", "done")]);
    let device = tracking(&server);
    device.pull(PullRequest { page_size: 50, ..open_rows() }).await.expect("pulled");
    assert!(asked(&server, "$filter").iter().all(|filter| filter.contains("text eq 'open'")));

    // The first feed starts a few minutes before the first pull, later ones at what was seen last.
    later(&server);
    seed(&server, &[("b", "done"), ("d", "done")]);
    device.pull(PullRequest { page_size: 50, ..open_rows() }).await.expect("pulled");
    let filters = asked(&server, "$filter");
    assert_eq!(filters[0], "(updatedAt ge datetimeoffset'1970-01-01T00:55:00.000Z')");
    device.pull(PullRequest { page_size: 50, ..open_rows() }).await.expect("pulled");
    let last = asked(&server, "$filter");
    assert_eq!(last[0], "(updatedAt ge datetimeoffset'1970-01-01T02:00:00.005Z')");
    assert_eq!(ids(&device).await, ["a"]);
}

#[tokio::test]
async fn r_12_an_exit_during_the_first_pull_is_seen_by_the_next() {
    let server = dated();
    seed(&server, &[("a", "open"), ("b", "open"), ("c", "open")]);
    later(&server);
    // "a" was received and leaves; then "c" changes, which takes the token past that.
    let change = |state: &mut server::State| {
        state.seed(json!({"id": "a", "text": "done"}));
        state.seed(json!({"id": "c", "text": "open"}));
    };
    server.with(|state| state.meanwhile.insert(1, Box::new(change)));
    let device = tracking(&server);
    device.pull(open_rows()).await.expect("pulled");
    assert_eq!(ids(&device).await, ["a", "b", "c"]);
    assert_eq!(device.pull(open_rows()).await.expect("pulled").rows.evicted, 1);
    assert_eq!(ids(&device).await, ["b", "c"]);
}

#[tokio::test]
async fn r_12_an_interrupted_first_pull_misses_no_exit() {
    let server = dated();
    seed(&server, &[("a", "open"), ("b", "open"), ("c", "open")]);
    later(&server);
    let device = tracking(&server);
    server.with(|state| state.lose_answer = Some(2));
    assert_eq!(device.pull(open_rows()).await.expect_err("lost").kind(), ErrorKind::Network);
    assert!(!ids(&device).await.is_empty(), "pages before the loss are stored (L-34)");
    seed(&server, &[("a", "done"), ("b", "open")]);
    later(&server);
    for _ in 0..2 {
        device.pull(open_rows()).await.expect("pulled");
    }
    assert_eq!(ids(&device).await, ["b", "c"]);
}

#[tokio::test]
async fn r_12_switching_the_tracking_loses_nothing() {
    let server = dated();
    seed(&server, &[("a", "open"), ("b", "open")]);
    let device = tracking(&server);
    let pull = async |tracks: bool| {
        let request = PullRequest { track_exits: Some(tracks), ..open_rows() };
        device.pull(request).await.expect("pulled")
    };
    for round in 0..3 {
        let (left, new) = (format!("left {round}"), format!("new {round}"));
        seed(&server, &[(&left, "open")]);
        pull(round == 1).await;
        later(&server);
        // While nobody looks, one leaves; the token passes it with a row that comes.
        seed(&server, &[(&left, "done"), (&new, "open")]);
        let report = pull(false).await;
        assert_eq!((report.rows.added, report.rows.evicted, report.tracked_exits), (1, 0, false));
        later(&server);
        let report = pull(true).await;
        assert_eq!((report.rows.evicted, report.tracked_exits), (1, true), "round {round}");
        // And what comes while the feed is read is not asked for again.
        seed(&server, &[(&new, "open!"), ("a", "open")]);
        assert_eq!(pull(true).await.rows.evicted, 1);
        assert_eq!(pull(false).await.rows.added, 0);
    }
    assert_eq!(ids(&device).await, ["a", "b"]);
}

/// Exits become visible late as well (T-05), and the last pull's start says nothing about them if it was filtered.
#[tokio::test]
async fn r_12_switching_the_tracking_keeps_the_overlap_of_exits() {
    let server = dated();
    seed(&server, &[("a", "open"), ("b", "open")]);
    later(&server);
    let overlap = std::time::Duration::from_secs(30);
    let device = with_profile(&server, ServerProfile::sync_server().with_overlap(overlap));
    let pull = async |tracks: bool| {
        asked(&server, "$filter");
        let request = PullRequest { track_exits: Some(tracks), page_size: 50, ..open_rows() };
        device.pull(request).await.expect("pulled");
        asked(&server, "$filter").swap_remove(0)
    };
    pull(true).await;
    later(&server);
    seed(&server, &[("a", "done"), ("c", "open")]);
    pull(true).await;
    // At 2 h and a moment, all changes were seen. Hours of filtered pulls follow.
    for _ in 0..2 {
        later(&server);
        pull(false).await;
    }
    later(&server);
    assert!(
        pull(true).await.contains("1970-01-01T01:59:30.004"),
        "30 s before the last change that was seen"
    );
    assert_eq!(ids(&device).await, ["b", "c"]);
}

#[tokio::test]
async fn r_12_without_the_servers_clock_the_table_is_read_once() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "open"), ("b", "open")]);
    server.with(|state| state.commits += 3_600_000);
    seed(&server, &[("b", "open")]);
    let device = tracking(&server);
    device.pull(open_rows()).await.expect("pulled");
    seed(&server, &[("b", "done")]);
    asked(&server, "$filter");
    assert_eq!(device.pull(open_rows()).await.expect("pulled").rows.evicted, 1);
    assert!(asked(&server, "$filter")[0].contains("1970-01-01T00:00:00.000"));
    device.pull(open_rows()).await.expect("pulled");
    assert!(asked(&server, "$filter")[0].contains("1970-01-01T01:00:00.004"));
}

#[tokio::test]
async fn r_12_off_where_rows_are_not_cheap_and_where_nothing_can_leave() {
    let server = dated();
    seed(&server, &[("a", "open")]);
    let (plain, everything) = (device(&server), tracking(&server));
    for _ in 0..2 {
        assert!(!plain.pull(open_rows()).await.expect("pulled").tracked_exits);
        assert!(!everything.pull(pull_all()).await.expect("pulled").tracked_exits);
    }
    let asked_for = PullRequest { track_exits: Some(true), ..open_rows() };
    assert!(plain.pull(asked_for).await.expect("pulled").tracked_exits);
}

#[tokio::test]
async fn m_06_impossible_options_send_nothing() {
    let server = Server::of(Dialect::MobileApps);
    let device = device(&server);
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
    let local = &*Box::leak(Box::new(TEXT.with_local(true)));
    let parameter = |name: &str| vec![(name.to_owned(), "true".to_owned())];
    let all = || full(Predicate::all(&TODO));
    let with_id = |id: &str| PullRequest { query_id: Some(id.into()), ..all() };
    let push = PushOptions::default;
    for (rule, request) in [
        ("L-02", PullRequest { order_by: vec![(&TEXT, false)], ..pull_all() }),
        ("L-02", PullRequest { top: Some(1), ..pull_all() }),
        ("L-02", PullRequest { skip: 1, ..pull_all() }),
        ("L-03", PullRequest { top: Some(0), ..all() }),
        ("L-03", PullRequest { order_by: vec![(local, false)], top: Some(1), ..all() }),
        ("L-03, judged here", PullRequest { top: Some(1), ..full(of_text("open")) }),
        ("L-05", PullRequest { parameters: parameter("__INCLUDEdeleted"), ..all() }),
        ("L-05", PullRequest { parameters: parameter("__systemProperties"), ..all() }),
        ("L-05", PullRequest { parameters: parameter("$filter"), ..all() }),
        ("L-07", with_id("")),
        ("L-07", with_id(&"x".repeat(256))),
        ("L-07", with_id("a\nb")),
        ("L-09", PullRequest { page_size: 0, ..all() }),
        ("L-13", PullRequest { mirror: true, ..pull_all() }),
        ("L-13", PullRequest { mirror: true, top: Some(1), ..all() }),
        ("R-12", PullRequest { track_exits: Some(true), ..all() }),
        ("the push before", PullRequest { push: PushOptions { window: 0, ..push() }, ..all() }),
        ("the push before", PullRequest { push: PushOptions { window: 65, ..push() }, ..all() }),
    ] {
        let error = device.pull(request).await.expect_err(rule);
        assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("Todo")), "{rule}");
    }
    let tables = vec!["No".into()];
    let error = device.pull(PullRequest { push: PushOptions { tables, ..push() }, ..all() }).await;
    let error = error.expect_err("P-02: the push before");
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidArgument, Some("No")));
    assert_eq!(server.count(), 0, "not even a push");
    device.pull(with_id(&"ä|'x".repeat(63))).await.expect("any other text is a name");
}

#[tokio::test]
async fn m_04_a_push_that_stopped_early_fails_the_pull_whatever_the_app_says() {
    for (status, kind) in
        [(503, ErrorKind::ServerBusy), (401, ErrorKind::Unauthorized), (504, ErrorKind::ServerBusy)]
    {
        let script = Script::of([answer(status, &json!({ "error": "no" }))]);
        let device = scripted(&script);
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
        let request = PullRequest { pull_anyway: true, ..pull_all() };
        let error = device.pull(request).await.expect_err("nothing is known of what is not sent");
        assert_eq!((error.kind(), script.asked().len()), (kind, 1), "{status}: no read request");
        assert!(error.push_report().is_some_and(|report| report.remaining == 1));
    }
}

#[tokio::test]
async fn l_09_no_more_rows_are_asked_for_than_the_server_takes() {
    let server = Server::of(Dialect::MobileApps);
    device(&server).pull(PullRequest { page_size: 50_000, ..pull_all() }).await.expect("pulled");
    assert_eq!(asked(&server, "$top")[0], "1000");
}

#[tokio::test]
async fn l_09_smaller_pages_are_asked_for_where_an_answer_is_too_large() {
    let node = || ServerProfile::conservative().with_guaranteed_page(Some(1000));
    for (dialect, profile) in [
        (Dialect::MobileServices, node()),
        (Dialect::MobileApps, node()),
        (Dialect::MobileApps, ServerProfile::conservative()),
        (Dialect::Datasync, ServerProfile::conservative()),
    ] {
        let server = Server::of(dialect);
        for number in 0..230 {
            server.seed(json!({"id": format!("{number:03}"), "text": format!("{number:03}")}));
        }
        server.with(|state| state.largest_list = Some(100));
        let by_text = |skip, top| {
            let order_by = vec![(&TEXT, true)];
            PullRequest { order_by, skip, top, ..full(Predicate::all(&TODO)) }
        };
        for (request, rows, tops) in [
            (pull_all(), 230, ["1000", "500", "250", "125", "62"]),
            (full(Predicate::all(&TODO)), 230, ["1000", "500", "250", "125", "62"]),
            (by_text(10, None), 220, ["1000", "500", "250", "125", "62"]),
            (by_text(0, Some(150)), 150, ["150", "75", "75", "2", ""]),
        ] {
            asked(&server, "$top");
            let device = with_profile(&server, profile.clone());
            assert_eq!(device.pull(request).await.expect("pulled").rows.added, rows, "{dialect:?}");
            let mut asked = asked(&server, "$top");
            let kept = asked.iter().skip_while(|top| **top != tops[4]).all(|top| top == tops[4]);
            assert!(
                kept || tops[4].is_empty(),
                "{dialect:?}: smaller ones for the rest of the pull: {asked:?}"
            );
            asked.resize(5, String::new());
            assert_eq!(asked, tops, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn l_09_a_row_that_is_too_large_ends_the_pull_and_moves_no_token() {
    for request in
        [pull_all(), full(Predicate::all(&TODO)), PullRequest { skip: 1, ..full(Predicate::all(&TODO)) }]
    {
        let server = Server::of(Dialect::MobileApps);
        seed(&server, &[("a", "x"), ("b", "x"), ("c", "x")]);
        server.with(|state| state.largest_list = Some(0));
        let device = device(&server);
        let error = device.pull(request.clone()).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
        let tops = ["1000", "500", "250", "125", "62", "31", "15", "7", "3", "1"];
        assert_eq!(asked(&server, "$top"), tops);
        // What came before such a row is kept.
        server.with(|state| state.largest_list = None);
        let shrink = |state: &mut server::State| state.largest_list = Some(0);
        server.with(|state| state.meanwhile.insert(1, Box::new(shrink)));
        let error =
            device.pull(PullRequest { page_size: 1, ..request.clone() }).await.expect_err("too large");
        assert_eq!((error.kind(), ids(&device).await.len()), (ErrorKind::AnswerTooLarge, 1));
        server.with(|state| state.largest_list = None);
        device.pull(request).await.expect("pulled");
    }
}

#[tokio::test]
async fn l_06_parameters_go_with_each_page_and_l_08_belong_to_the_query() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "x"), ("b", "x"), ("c", "x")]);
    let device = device(&server);
    let request = |user: &str| {
        let parameters = vec![("user".to_owned(), user.to_owned())];
        PullRequest { parameters, page_size: 1, ..pull_all() }
    };
    assert!(!device.pull(request("1")).await.expect("pulled").restarted);
    let sent = asked(&server, "user");
    assert!(sent.len() > 3 && sent.iter().all(|user| user == "1"), "{sent:?}");
    assert!(!device.pull(request("1")).await.expect("pulled").restarted);
    assert!(device.pull(request("2")).await.expect("pulled").restarted);
    assert!(device.pull(pull_all()).await.expect("pulled").restarted);
    let filtered = PullRequest { predicate: of_text("x"), ..pull_all() };
    assert!(device.pull(filtered.clone()).await.expect("pulled").restarted);
    assert!(!device.pull(filtered).await.expect("pulled").restarted);
}

#[tokio::test]
async fn l_03_a_window_is_pulled_in_the_order_asked_for() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "1"), ("b", "5"), ("c", "4"), ("d", "3"), ("e", "2"), ("f", "6")]);
    server.delete("f");
    for page_size in [1, 2, 50] {
        let device = device(&server);
        let order_by = vec![(&TEXT, true)];
        let request =
            PullRequest { order_by, skip: 1, top: Some(3), page_size, ..full(Predicate::all(&TODO)) };
        assert_eq!(device.pull(request).await.expect("pulled").rows.added, 3);
        assert_eq!(ids(&device).await, ["c", "d", "e"], "deleted rows take no places");
    }
    // Without top and skip all rows come, by id.
    let device = device(&server);
    asked(&server, "$orderby");
    device
        .pull(PullRequest { order_by: vec![(&TEXT, true)], ..full(Predicate::all(&TODO)) })
        .await
        .expect("pulled");
    assert!(asked(&server, "$orderby").iter().all(|order| order == "id"));
    assert_eq!(ids(&device).await.len(), 5);
}

#[tokio::test]
async fn l_30_a_window_whose_rows_shift_is_read_anew() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "6"), ("b", "5"), ("c", "4"), ("d", "3"), ("e", "2"), ("f", "1")]);
    let device = device(&server);
    // Once the first page was read, its rows go, and those behind them move up.
    let remove = |state: &mut server::State| state.rows.retain(|(_, id), _| id != "a" && id != "b");
    server.with(|state| state.meanwhile.insert(1, Box::new(remove)));
    let request = PullRequest {
        order_by: vec![(&TEXT, true)],
        top: Some(5),
        page_size: 2,
        ..full(Predicate::all(&TODO))
    };
    device.pull(request).await.expect("pulled");
    assert_eq!(
        ids(&device).await,
        ["a", "b", "c", "d", "e", "f"],
        "what came stays, and none was jumped over"
    );
}

#[tokio::test]
async fn l_13_a_mirroring_pull_finds_what_no_tombstone_tells() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "open"), ("b", "open"), ("c", "done"), ("d", "open")]);
    let device = device(&server);
    device.pull(full(Predicate::all(&TODO))).await.expect("pulled");
    write(&device, &TODO, LocalChangeKind::Insert(row("new", "open"))).await;
    let key = |id: &str| ("Todo".to_owned(), id.to_owned());
    server.with(|state| state.rows.retain(|stored, _| *stored != key("b") && *stored != key("c")));
    device.pull(full(Predicate::all(&TODO))).await.expect("pulled");
    assert_eq!(ids(&device).await, ["a", "b", "c", "d", "new"], "by default they stay");

    let mirroring = || PullRequest { mirror: true, page_size: 1, ..full(of_text("open")) };
    // Not before everything came.
    server.with(|state| state.lose_answer = Some(server.count() + 2));
    device.pull(mirroring()).await.expect_err("lost");
    assert_eq!(ids(&device).await.len(), 5);
    assert_eq!(device.pull(mirroring()).await.expect("pulled").rows.removed, 1);
    assert_eq!(ids(&device).await, ["a", "c", "d", "new"]);
}

#[tokio::test]
async fn section_12_4_a_server_that_refuses_id_gt_is_paged_by_skip() {
    let server = Server::of(Dialect::Datasync);
    for number in 0..7 {
        server.seed(json!({"id": format!("{number}"), "text": "x"}));
    }
    server.with(|state| state.refuses_keys = true);
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    let device = device_with(&server, Dialect::Datasync, Arc::clone(&store));
    let request = || PullRequest { page_size: 2, ..full(Predicate::all(&TODO)) };
    assert_eq!(device.pull(request()).await.expect("pulled").rows.added, 7);
    assert!(asked(&server, "$filter").iter().any(|filter| filter.contains("id gt")));

    // It is known now, also by the next program on this file; and rows that leave shift nothing.
    let device = device_with(&server, Dialect::Datasync, store);
    let remove = |state: &mut server::State| drop(state.rows.remove(&("Todo".to_owned(), "0".to_owned())));
    server.with(|state| state.meanwhile.insert(2, Box::new(remove)));
    device.purge(Purge::new(Predicate::all(&TODO))).await.expect("purged");
    device.pull(request()).await.expect("pulled");
    assert_eq!(ids(&device).await.len(), 7, "the one that went came before");
    assert!(asked(&server, "$filter").iter().all(|filter| !filter.contains("id gt")));

    // What is refused for another reason stays refused.
    server.with(|state| state.missing_column = Some("text"));
    let error = device.pull(full(of_text("x"))).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
}

#[tokio::test]
async fn a_row_the_server_refuses_to_show_does_not_stop_the_pull() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "x"), ("b", "x")]);
    let device = device(&server);
    device.pull(pull_all()).await.expect("pulled");
    for id in ["a", "b"] {
        outdate(&device, id).await;
    }
    for status in [StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST] {
        seed(&server, &[("c", status.as_str())]);
        server.with(|state| state.refused = Some(("a", status)));
        let report = device.pull(pull_all()).await.expect("pulled");
        let unread: Vec<_> = report.unread.iter().map(|row| (row.item_id.as_str(), row.status)).collect();
        assert_eq!(unread, [("a", Some(status.as_u16()))]);
        assert!(texts(&device).await.contains(&("c".into(), Some(Value::Text(status.as_str().into())))));
    }
    // A server that is away, busy or wants another user would say the same to every page.
    for (status, kind) in [
        (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::ServerBusy),
        (StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized),
        (StatusCode::NOT_FOUND, ErrorKind::UnknownTable),
    ] {
        server.with(|state| state.refused = Some(("a", status)));
        assert_eq!(device.pull(pull_all()).await.expect_err("stopped").kind(), kind);
    }
    server.with(|state| state.refused = None);
    assert!(device.pull(pull_all()).await.expect("pulled").unread.is_empty());
    let before = server.count();
    let report = device.pull(pull_all()).await.expect("pulled");
    assert_eq!((server.count() - before) as u64, report.pages, "both were read at last");
}

/// A device with rows to be read by id, and how many notes are left.
async fn with_outdated_rows(server: &Arc<Server>, ids: &[&str]) -> (Engine<MemoryStore>, Arc<MemoryStore>) {
    for id in ids {
        seed(server, &[(id, "x")]);
    }
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    let device = device_with(server, server.dialect, Arc::clone(&store));
    device.pull(pull_all()).await.expect("pulled");
    for id in ids {
        outdate(&device, id).await;
    }
    (device, store)
}

async fn notes(store: &MemoryStore) -> usize {
    store.begin_pull(pull_all().scope()).await.expect("begun").refetch.len()
}

/// A server whose user loses patience once it has answered a read by id.
struct Impatient(Arc<Server>, Cancellation);

impl Transport for Impatient {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        async move {
            let is_by_id = request.url.query_pairs().any(|(_, value)| value.contains("id eq"));
            let answer = self.0.send(request).await;
            if is_by_id {
                self.1.cancel();
            }
            answer
        }
        .boxed()
    }
}

#[tokio::test]
async fn l_37_reads_by_id_end_with_the_pull_and_keep_what_was_read() {
    // Cancelled as an answer comes, while it is on its way, and by an app that is closed.
    for (case, left) in [("answered", 2), ("under way", 3), ("closed", 3)] {
        let server = Server::of(Dialect::MobileApps);
        let (device, store) = with_outdated_rows(&server, &["a", "b", "c"]).await;
        let cancellation = Cancellation::new();
        let push = PushOptions { cancellation: cancellation.clone(), ..push_options() };
        let request = PullRequest { push, ..pull_all() };
        let before = server.count();
        let error = match case {
            "answered" => {
                let requests =
                    RequestBuilder::new(Endpoint::parse("http://model").expect("valid"), Dialect::MobileApps);
                let transport = Arc::new(Impatient(Arc::clone(&server), cancellation));
                let profile = ServerProfile::conservative();
                let device = Engine::new(Arc::clone(&store), transport, Arc::new(NoWait), requests, profile);
                device.pull(request).await
            }
            "under way" => {
                let cancel = move |_: &mut server::State| cancellation.cancel();
                server.with(|state| state.meanwhile.insert(state.lists.len() + 1, Box::new(cancel)));
                device.pull(request).await
            }
            _ => {
                let mut pull = pin!(device.pull(request));
                while server.count() == before {
                    assert!(pull.as_mut().now_or_never().is_none());
                }
                let mut closing = pin!(device.close());
                assert!(closing.as_mut().now_or_never().is_none(), "it waits for the pull");
                let ended = pull.as_mut().now_or_never().expect("nothing is waited for");
                closing.await;
                ended
            }
        };
        assert_eq!(error.expect_err(case).kind(), ErrorKind::Cancelled, "{case}");
        assert_eq!((server.count() - before, notes(&store).await), (1, left), "{case}");
    }
}

/// A server, with the addresses that were asked for.
struct Noting(Arc<Server>, Mutex<Vec<url::Url>>);

impl Transport for Noting {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.1.lock().expect("no panic").push(request.url.clone());
        async move { self.0.send(request).await }.boxed()
    }
}

#[tokio::test]
async fn l_29_no_request_leaves_for_a_next_link_wherever_it_leads() {
    for link in [
        "http://elsewhere.test/tables/Todo?$skip=2",
        "https://model/tables/List?$skip=2",
        "//elsewhere.test/tables/Todo",
        "?$skip=0&trap=1",
        "%24skip=2&trap=1",
        "",
    ] {
        for request in [
            PullRequest { page_size: 2, ..pull_all() },
            PullRequest { page_size: 2, ..full(Predicate::all(&TODO)) },
            PullRequest { page_size: 50, ..pull_all() },
        ] {
            let server = Server::of(Dialect::Datasync);
            seed(&server, &[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "x")]);
            // The same link with each page, the last one as well.
            server.with(|state| state.next_link = Some(link));
            let noting = Arc::new(Noting(Arc::clone(&server), Mutex::default()));
            let endpoint = Endpoint::parse("http://model").expect("valid");
            let requests = RequestBuilder::new(endpoint, Dialect::Datasync);
            let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
            let profile = ServerProfile::conservative();
            let device = Engine::new(store, noting.clone(), Arc::new(NoWait), requests, profile);
            let report = device.pull(request).await.expect("pulled");
            assert_eq!((report.rows.added, ids(&device).await.len()), (5, 5), "{link}");
            let asked = noting.1.lock().expect("no panic");
            assert!(asked.len() < 12, "{link}: {} requests", asked.len());
            for url in &*asked {
                let is_ours =
                    (url.scheme(), url.host_str(), url.path()) == ("http", Some("model"), "/tables/Todo");
                assert!(is_ours && !url.as_str().contains("trap"), "{link}: {url}");
            }
        }
    }
}

#[tokio::test]
async fn r_16_rows_read_by_id_are_stored_before_they_fill_the_memory() {
    let server = Server::of(Dialect::MobileApps);
    let (device, store) = with_outdated_rows(&server, &["a", "b", "c"]).await;
    let large = "x".repeat(BUFFER_BYTES / 2);
    seed(&server, &[("a", &large), ("b", &large)]);
    let stored = Arc::new(AtomicUsize::new(usize::MAX));
    let look = {
        let (store, stored) = (Arc::clone(&store), Arc::clone(&stored));
        move |_: &mut server::State| {
            let left = notes(&store).now_or_never().expect("the store in memory waits for nothing");
            stored.store(3 - left, Ordering::SeqCst);
        }
    };
    // While the third row is read, the other two are stored already.
    server.with(|state| state.meanwhile.insert(state.lists.len() + 3, Box::new(look)));
    device.pull(pull_all()).await.expect("pulled");
    assert_eq!((stored.load(Ordering::SeqCst), notes(&store).await), (2, 0));
}

#[tokio::test]
async fn t_05_an_interrupted_pull_does_not_narrow_the_overlap() {
    let server = dated();
    seed(&server, &[("a", "x"), ("b", "x")]);
    later(&server);
    let device = with_profile(&server, ServerProfile::conservative());
    let request = || PullRequest { page_size: 1, ..pull_all() };
    device.pull(request()).await.expect("pulled");
    later(&server);
    seed(&server, &[("c", "x"), ("d", "x"), ("e", "x")]);
    let first = |server: &Server| asked(server, "$filter").swap_remove(0);
    for _ in 0..2 {
        first(&server);
        server.with(|state| state.lose_answer = Some(server.count() + 3));
        device.pull(request()).await.expect_err("lost");
        assert!(first(&server).contains("1970-01-01T00:00:00.002"), "before the token and the first pull");
        server.with(|state| state.lists.push(Default::default()));
    }
    device.pull(request()).await.expect("pulled");
    first(&server);
    device.pull(request()).await.expect("pulled");
    assert!(first(&server).contains("1970-01-01T01:59:30"), "the start of the last complete pull, less 30 s");
}

#[tokio::test]
async fn t_10_a_server_that_went_back_is_reported() {
    let server = dated();
    later(&server);
    seed(&server, &[("a", "x")]);
    let device = device(&server);
    assert!(!device.pull(pull_all()).await.expect("pulled").server_went_back);
    assert!(!device.pull(pull_all()).await.expect("pulled").server_went_back);
    server.with(|state| state.commits -= 30_000);
    assert!(!device.pull(pull_all()).await.expect("pulled").server_went_back, "within the tolerance");
    let mut events = device.events().subscribe_progress(64);
    let mut told =
        || std::iter::from_fn(|| events.try_next()).any(|event| matches!(event, Event::ServerWentBack(_)));
    assert!(!told());
    server.with(|state| state.commits -= 600_000);
    assert!(device.pull(pull_all()).await.expect("pulled").server_went_back);
    assert!(told(), "and told while it goes on");
    device.reset_token(&TODO, Some("all")).await.expect("reset");
    assert!(!device.pull(pull_all()).await.expect("pulled").server_went_back, "T-06: it starts at 1970");
    assert!(!told());
}

#[tokio::test]
async fn m_01_to_m_04_what_is_pushed_before_a_pull() {
    let server = Server::of(Dialect::MobileApps);
    let insert = |id: &str| LocalChangeKind::Insert(row(id, "mine"));
    let waiting = async |device: &Engine<MemoryStore>| {
        let operations = device.store().operations(None).await.expect("read");
        operations.into_iter().map(|operation| operation.key.item_id).collect::<Vec<_>>()
    };
    let fresh = async || {
        let device = device(&server);
        write(&device, &LIST, insert("list")).await;
        device
    };
    // M-02: other tables do not matter.
    let clean = fresh().await;
    assert!(clean.pull(pull_all()).await.expect("pulled").push.is_none());
    assert_eq!(waiting(&clean).await, ["list"]);
    // M-03: all tables, those named, or none.
    let all = fresh().await;
    write(&all, &TODO, insert("a")).await;
    assert_eq!(all.pull(pull_all()).await.expect("pulled").push.map(|push| push.completed), Some(2));
    let one = fresh().await;
    write(&one, &TODO, insert("b")).await;
    let push = PushOptions { tables: vec!["Todo".into()], ..push_options() };
    one.pull(PullRequest { push, ..pull_all() }).await.expect("pulled");
    assert_eq!(waiting(&one).await, ["list"]);
    let none = fresh().await;
    write(&none, &TODO, LocalChangeKind::Insert(row("a", "another"))).await;
    let report = none.pull(PullRequest { push_first: false, ..pull_all() }).await.expect("pulled");
    assert!(report.push.is_none() && report.rows.kept_local == 1, "L-14: {report:?}");
    assert_eq!(waiting(&none).await, ["list", "a"]);
    // M-04: an operation that fails stops the pull, unless the app says otherwise.
    let before = server.with(|state| state.lists.len());
    let error = none.pull(pull_all()).await.expect_err("\"a\" is there already");
    assert_eq!(error.kind(), ErrorKind::PushFailed);
    let lists = server.with(|state| state.lists.split_off(before));
    assert!(lists.iter().all(|(options, _)| options.iter().any(|(_, value)| value.contains("id eq"))));
    none.pull(PullRequest { pull_anyway: true, ..pull_all() }).await.expect("pulled");
}

#[tokio::test]
async fn c_08_who_waits_for_a_turn_can_be_cancelled() {
    let server = Server::of(Dialect::MobileApps);
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    let device = device_with(&server, server.dialect, Arc::clone(&store));
    // The turn of one engine, and the lease that two have in common.
    for waiting in [&device, &device_with(&server, server.dialect, store)] {
        let mut pull = pin!(device.pull(pull_all()));
        assert!(pull.as_mut().now_or_never().is_none(), "it has the turn");
        let cancellation = Cancellation::new();
        let options = PushOptions { cancellation: cancellation.clone(), ..PushOptions::default() };
        let mut push = pin!(waiting.push(options));
        assert!(push.as_mut().now_or_never().is_none(), "it waits");
        cancellation.cancel();
        let outcome = push.as_mut().now_or_never().expect("it waits no longer");
        assert_eq!(outcome.expect_err("cancelled").kind(), ErrorKind::Cancelled);
        pull.await.expect("pulled");
        waiting.push(PushOptions::default()).await.expect("the turn is free");
    }
}

#[tokio::test]
async fn g_10_a_purge_waits_for_a_pull_or_says_that_one_is_under_way() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "x")]);
    let device = device(&server);
    let mut pull = pin!(device.pull(pull_all()));
    assert!(pull.as_mut().now_or_never().is_none());
    let everything = || Purge::new(Predicate::all(&TODO));
    let error = device.try_purge(everything()).await.expect_err("a pull is under way");
    assert_eq!((error.kind(), error.table()), (ErrorKind::Busy, Some("Todo")));
    let mut purge = pin!(device.purge(everything()));
    assert!(purge.as_mut().now_or_never().is_none());
    pull.await.expect("pulled");
    assert_eq!(purge.await.expect("purged").rows, 1);
    device.try_purge(everything()).await.expect("purged");
}

#[tokio::test]
async fn l_37_a_dropped_pull_keeps_what_it_stored() {
    let server = Server::of(Dialect::MobileApps);
    for number in 0..40 {
        server.seed(json!({"id": format!("{number:02}"), "text": "x"}));
    }
    let device = device(&server);
    let request = || PullRequest { page_size: 1, ..pull_all() };
    {
        let mut pull = pin!(device.pull(request()));
        while ids(&device).await.is_empty() {
            assert!(pull.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    let (stored, asked_before) = (ids(&device).await.len(), server.count());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((ids(&device).await.len(), server.count()), (stored, asked_before), "nothing runs any more");
    assert!(stored < 40);
    device.pull(request()).await.expect("pulled");
    assert_eq!(ids(&device).await.len(), 40);
}

#[tokio::test]
async fn r_12_a_row_made_here_leaves_before_any_pull_brought_one() {
    for server in servers() {
        server.with(|state| state.is_dated = true);
        let device = tracking(&server);
        device.pull(open_rows()).await.expect("nothing there yet");
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "open"))).await;
        device.push(push_options()).await.expect("pushed");
        later(&server);
        seed(&server, &[("a", "done")]);
        let report = device.pull(open_rows()).await.expect("pulled");
        assert_eq!((report.rows.evicted, report.tracked_exits), (1, true));
        assert_eq!(ids(&device).await, [""; 0]);
        // From now on the token goes with the feed.
        let before = server.count();
        let report = device.pull(open_rows()).await.expect("pulled");
        assert_eq!((server.count() - before) as u64, report.pages);
    }
}

#[tokio::test]
async fn r_12_a_token_that_was_dropped_takes_no_exit_with_it() {
    let server = dated();
    later(&server);
    seed(&server, &[("a", "open"), ("b", "open"), ("c", "open")]);
    let device = tracking(&server);
    for _ in 0..2 {
        device.pull(open_rows()).await.expect("pulled");
    }
    // L-08: read anew from the start, and what left meanwhile in the same pull.
    seed(&server, &[("a", "done")]);
    let parameters = vec![("user".to_owned(), "me".to_owned())];
    let report = device.pull(PullRequest { parameters, ..open_rows() }).await.expect("pulled");
    assert!(report.restarted && report.tracked_exits);
    assert_eq!(ids(&device).await, ["b", "c"]);
    // T-06 after T-10: the server's times start anew below what was seen.
    server.with(|state| state.commits -= 1_800_000);
    seed(&server, &[("b", "done"), ("d", "open")]);
    device.reset_token(&TODO, Some("open")).await.expect("reset");
    device.pull(open_rows()).await.expect("pulled");
    assert_eq!(ids(&device).await, ["c", "d"]);
}

#[tokio::test]
async fn l_34_a_pull_after_a_long_absence_goes_on_where_it_was_interrupted() {
    let server = dated();
    seed(&server, &[("a", "x"), ("b", "x")]);
    let device = with_profile(&server, ServerProfile::conservative());
    let request = || PullRequest { page_size: 2, ..pull_all() };
    device.pull(request()).await.expect("pulled");
    for id in ["c", "d", "e", "f"] {
        later(&server);
        seed(&server, &[(id, "x")]);
    }
    later(&server);
    asked(&server, "$filter");
    server.with(|state| state.lose_answer = Some(server.count() + 3));
    device.pull(request()).await.expect_err("lost");
    assert_eq!(ids(&device).await, ["a", "b", "c", "d"]);
    asked(&server, "$filter");
    device.pull(request()).await.expect("pulled");
    assert!(asked(&server, "$filter")[0].contains("1970-01-01T02:00:00.004"), "the token");
    assert_eq!(ids(&device).await.len(), 6);
}

#[tokio::test]
async fn r_14_a_read_by_id_is_believed_only_of_a_proven_endpoint() {
    let right = Server::of(Dialect::MobileServices);
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    let device = device_with(&right, Dialect::MobileServices, Arc::clone(&store));
    write(&device, &TODO, LocalChangeKind::Insert(row("a", "start"))).await;
    device.push(push_options()).await.expect("pushed");
    outdate(&device, "a").await;
    // A server of another dialect, which finds nothing.
    let wrong = Server::of(Dialect::MobileApps);
    wrong.with(|state| (state.is_lenient, state.has_dynamic_columns) = (true, true));
    seed(&wrong, &[("b", "x")]);
    let confused = device_with(&wrong, Dialect::MobileServices, store);
    let error = confused.pull(pull_all()).await.expect_err("another dialect");
    assert_eq!(error.kind(), ErrorKind::WrongDialect);
    assert_eq!(ids(&device).await, ["a"]);
    assert_eq!(device.pull(pull_all()).await.expect("pulled").rows.removed, 0);
    assert_eq!(ids(&device).await, ["a"]);
}

#[tokio::test]
async fn l_38_pulls_that_are_called_at_once_run_one_after_another() {
    let server = Server::of(Dialect::MobileApps);
    seed(&server, &[("a", "x"), ("b", "x"), ("c", "x")]);
    let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
    let first = device_with(&server, server.dialect, Arc::clone(&store));
    // Of one engine, and of another one on the same database.
    let second = device_with(&server, server.dialect, store);
    let request = |user: &str, query_id: Option<&str>| PullRequest {
        parameters: vec![("user".to_owned(), user.to_owned())],
        page_size: 1,
        ..PullRequest::new(query_id.map(str::to_owned), Predicate::all(&TODO))
    };
    let (one, two, three) = tokio::join!(
        first.pull(request("1", Some("all"))),
        first.pull(request("2", Some("all"))),
        second.pull(request("3", None)),
    );
    assert_eq!(one.expect("pulled").rows.added, 3);
    two.expect("pulled");
    three.expect("pulled");
    let mut order = asked(&server, "user");
    assert!(order.len() > 6, "several pages each: {order:?}");
    order.dedup();
    order.sort();
    assert_eq!(order, ["1", "2", "3"], "no request of one between those of another");
}
