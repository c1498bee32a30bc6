//! Push and pull in every dialect, and against servers of another one.

use serde_json::json;

use super::*;
use crate::operation::FailureClass;
use crate::predicate::codec;
use crate::store::{PullScope, QueryKey, Resolution, Resolver};

const ENDPOINT: &str = "http://model";

fn update(id: &str, text: &str) -> LocalChangeKind {
    LocalChangeKind::Update(row(id, text))
}

async fn proof(device: &Engine<MemoryStore>) -> Option<String> {
    device.store().setting("proven_endpoint").await.expect("read")
}

/// Whether the pull of [`pull_all`] has a token.
async fn has_token(device: &Engine<MemoryStore>) -> bool {
    let wanted = codec::encode(&Predicate::all(&TODO).node);
    let query = QueryKey { query_id: "all".into(), fingerprint: wanted.clone() };
    let scope = PullScope { table: &TODO, query: Some(query), wanted, mirror: false };
    device.store().begin_pull(scope).await.expect("started").token.is_some()
}

#[tokio::test]
async fn r_22_the_seeds_request_is_reproduced() {
    let server = Server::of(Dialect::MobileServices);
    server.seed(json!({"id": "a", "text": "milk"}));
    let device = device(&server);
    let request = PullRequest { page_size: 50, ..pull_all() };
    device.pull(request).await.expect("pulled");

    let (options, headers) = server.with(|state| state.lists.remove(0));
    let expected = [
        ("$filter", "(__updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000+00:00')"),
        ("$orderby", "__updatedAt,id"),
        ("$skip", "0"),
        ("$top", "50"),
        ("__includeDeleted", "true"),
        ("__systemproperties", "__updatedAt,__version,__deleted"),
    ];
    let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(options, expected);
    assert!(!headers.contains_key("zumo-api-version"), "never in v1");
}

#[tokio::test]
async fn f_09_a_lost_answer_is_settled_in_every_dialect() {
    for server in servers() {
        let device = device(&server);
        let changes: [fn() -> LocalChangeKind; 3] = [
            || LocalChangeKind::Insert(row("a", "new")),
            || update("a", "changed"),
            || LocalChangeKind::Delete("a".into()),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            write(&device, &TODO, change()).await;
            let lost = server.count();
            server.with(|state| state.lose_answer = Some(lost));
            let error = device.push(push_options()).await.expect_err("the answer is lost");
            assert_eq!(error.kind(), ErrorKind::Network);
            let report = device.push(push_options()).await.expect("settled");
            assert_eq!((report.completed, report.remaining), (1, 0), "{:?} {number}", server.dialect);
            // Also of an update in v3, which is sent whole: the second request meets the version of the first.
            assert_eq!(server.with(|state| state.commits), 1 + number as i64, "nothing was done twice");
        }
    }
}

#[tokio::test]
async fn p_11_answers_that_hold_only_what_was_sent_complete_the_row() {
    for server in servers() {
        let device = device(&server);
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "new"))).await;
        device.push(push_options()).await.expect("pushed");
        let stored = device.store().get(&TODO, "a").await.expect("read").expect("there");
        assert_eq!((stored.version.as_deref(), stored.updated_at.is_some()), (Some("1"), true));
        write(&device, &TODO, update("a", "changed")).await;
        device.push(push_options()).await.expect("no conflict with itself");
        let stored = device.store().get(&TODO, "a").await.expect("read").expect("there");
        assert_eq!(stored.version.as_deref(), Some("2"), "{:?}", server.dialect);
        assert_eq!(server.row("a"), Some((json!({"id": "a", "text": "changed"}), false)));
    }
}

#[tokio::test]
async fn s_08_p_09_whole_rows_keep_what_the_entity_does_not_know() {
    for server in servers() {
        let device = device(&server);
        server.seed(json!({"id": "a", "text": "milk", "color": {"deep": [1.5, null]}}));
        device.pull(pull_all()).await.expect("pulled");
        write(&device, &TODO, update("a", "bread")).await;
        device.push(push_options()).await.expect("pushed");
        let expected = json!({"id": "a", "text": "bread", "color": {"deep": [1.5, null]}});
        assert_eq!(server.row("a"), Some((expected, false)), "{:?}", server.dialect);
    }
}

#[tokio::test]
async fn w_05_k_15_a_row_deleted_there_and_edited_here_is_gone_and_can_be_revived() {
    for server in servers() {
        let device = device(&server);
        server.seed(json!({"id": "a", "text": "milk", "color": "red"}));
        device.pull(pull_all()).await.expect("pulled");
        server.delete("a");
        write(&device, &TODO, update("a", "bread")).await;
        device.push(push_options()).await.expect_err("gone");
        let error = device.store().errors(None).await.expect("errors").remove(0);
        assert_eq!(error.class, FailureClass::Gone, "{:?}", server.dialect);
        assert!(error.remote.as_ref().is_some_and(|remote| remote.deleted), "{:?}", server.dialect);

        device.store().resolve(error.key, Resolution::KeepLocal, Resolver::App).await.expect("resolved");
        let report = device.push(push_options()).await.expect("revived");
        assert_eq!(report.remaining, 0);
        let (members, deleted) = server.row("a").expect("there");
        assert_eq!((members["text"].as_str(), deleted), (Some("bread"), false), "{:?}", server.dialect);
        assert_eq!(members["color"], "red", "{:?}", server.dialect);
    }
}

#[tokio::test]
async fn k_15_every_choice_about_a_gone_row_holds_in_each_dialect() {
    use ConflictPolicy::{ClientWins, Leave, ServerWins};
    // Marked deleted, or removed for good; decided on the way, or later.
    for (removed, by_handler) in [(false, false), (true, false), (false, true), (true, true)] {
        for (policy, server) in [ClientWins, ServerWins, Leave]
            .into_iter()
            .flat_map(|policy| servers().into_iter().map(move |server| (policy, server)))
        {
            let what = format!("{policy:?} {:?} removed {removed} by handler {by_handler}", server.dialect);
            let mut device = device(&server);
            if by_handler {
                let decide = move |conflict: &Conflict| {
                    assert!(conflict.class == FailureClass::Gone && conflict.is_deleted_there());
                    Ok(Decision::Policy(policy))
                };
                device = device.with_conflict_handler(Arc::new(decide));
            }
            server.seed(json!({"id": "a", "text": "milk"}));
            device.pull(pull_all()).await.expect("pulled");
            if removed {
                server.with(|state| state.rows.clear());
            } else {
                server.delete("a");
            }
            write(&device, &TODO, update("a", "bread")).await;
            if !by_handler {
                device.push(PushOptions::default()).await.expect_err(&what);
                let open = device.store().conflicts(None).await.expect("a read").remove(0);
                assert_eq!(open.remote.is_none(), removed, "{what}");
                device.resolve_all(None, policy).await.expect("resolved");
            }
            let pushed = device.push(PushOptions::default()).await;
            assert_eq!(pushed.is_ok(), policy != Leave, "{what}");
            let (here, there) = (texts(&device).await, server.row("a"));
            let there = there.filter(|(_, deleted)| !deleted).map(|(members, _)| members["text"].clone());
            let (text, kept) = ("bread", policy == ClientWins);
            assert_eq!(there, kept.then(|| json!(text)), "{what}");
            let local = vec![("a".to_owned(), Some(Value::Text(text.into())))];
            assert_eq!(here, if policy == ServerWins { Vec::new() } else { local }, "{what}");
            let waiting = device.store().pending(None).await.expect("counted");
            assert_eq!(waiting, u64::from(policy == Leave), "{what}");
        }
    }
}

#[tokio::test]
async fn w_06_a_delete_of_a_row_deleted_there_is_done() {
    for server in servers() {
        let device = device(&server);
        server.seed(json!({"id": "a", "text": "milk"}));
        device.pull(pull_all()).await.expect("pulled");
        server.delete("a");
        write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
        let report = device.push(push_options()).await.expect("done");
        assert_eq!((report.completed, report.remaining), (1, 0), "{:?}", server.dialect);
    }
}

/// A device for which the server's side wins, with a row of the server deleted here.
async fn deleting(server: &Arc<Server>) -> Engine<MemoryStore> {
    let policy = |_: &Conflict| Ok(Decision::Policy(ConflictPolicy::ServerWins));
    let device = device(server).with_conflict_handler(Arc::new(policy));
    server.seed(json!({"id": "a", "text": "milk", "color": "red"}));
    device.pull(pull_all()).await.expect("pulled");
    // Never sent: the server's row does not get it.
    write(&device, &TODO, update("a", "edited")).await;
    write(&device, &TODO, LocalChangeKind::Delete("a".into())).await;
    device
}

/// Pushes the deletion, and makes the row again while it is in flight; v1 and v3 answer 204.
async fn make_again_in_flight(device: &Engine<MemoryStore>, server: &Arc<Server>) {
    let before = server.count();
    let mut push = device.push(push_options()).boxed();
    while server.count() == before {
        assert!((&mut push).now_or_never().is_none(), "the push is still running");
    }
    write(device, &TODO, LocalChangeKind::Insert(row("a", "bread"))).await;
    push.await.expect("deleted");
}

#[tokio::test]
async fn f_06_x_10_a_row_made_again_after_a_lost_deletion_is_revived_with_its_content() {
    for text in ["bread", "edited", "milk"] {
        for server in servers() {
            let what = format!("{text} {:?} {:?}", server.dialect, server.undelete);
            let device = deleting(&server).await;
            server.with(|state| state.lose_answer = Some(server.count()));
            device.push(push_options()).await.expect_err("the answer is lost");
            write(&device, &TODO, LocalChangeKind::Insert(row("a", text))).await;
            let report = device.push(push_options()).await.expect("no conflict with the own deletion");
            assert_eq!(report.remaining, 0, "{what}");
            let expected = json!({"id": "a", "text": text, "color": "red"});
            assert_eq!(server.row("a"), Some((expected, false)), "{what}");
            assert_eq!(texts(&device).await, [("a".to_owned(), Some(Value::Text(text.into())))], "{what}");
        }
    }
}

#[tokio::test]
async fn f_06_x_10_a_row_made_again_while_its_deletion_is_in_flight_is_revived_with_its_content() {
    for server in servers() {
        let device = deleting(&server).await;
        make_again_in_flight(&device, &server).await;
        // An edit before it is sent belongs to it.
        write(&device, &TODO, update("a", "jam")).await;
        let report = device.push(push_options()).await.expect("no conflict with the own deletion");
        assert_eq!(report.remaining, 0, "{:?}", server.dialect);
        let expected = json!({"id": "a", "text": "jam", "color": "red"});
        assert_eq!(server.row("a"), Some((expected, false)), "{:?}", server.dialect);
        assert_eq!(texts(&device).await, [("a".to_owned(), Some(Value::Text("jam".into())))]);
    }
}

#[tokio::test]
async fn f_06_x_10_a_row_that_others_changed_after_its_deletion_here_is_a_conflict() {
    for (server, deleted) in
        servers().into_iter().flat_map(|server| [(server.clone(), true), (server, false)])
    {
        server.with(|state| state.rows.clear());
        let device = deleting(&server).await;
        make_again_in_flight(&device, &server).await;
        server.seed(json!({"id": "a", "text": "theirs"}));
        if deleted {
            server.delete("a");
        }
        device.push(push_options()).await.expect("the server's side wins");
        let theirs = vec![("a".to_owned(), Some(Value::Text("theirs".into())))];
        assert_eq!(texts(&device).await, if deleted { Vec::new() } else { theirs }, "{:?}", server.dialect);
        assert_eq!(server.row("a"), Some((json!({"id": "a", "text": "theirs"}), deleted)));
        let decided = device.store().resolutions().await.expect("a read");
        assert!(matches!(decided.last().map(|last| last.by), Some(Resolver::Policy(_))), "{decided:?}");
    }
}

#[tokio::test]
async fn w_04_an_insert_of_an_id_that_is_taken_shows_the_servers_row() {
    for server in servers() {
        let device = device(&server);
        server.seed(json!({"id": "a", "text": "theirs"}));
        write(&device, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
        device.push(push_options()).await.expect_err("a conflict");
        let error = device.store().errors(None).await.expect("errors").remove(0);
        assert_eq!((error.class, error.status), (FailureClass::Conflict, Some(409)));
        let remote = error.remote.expect("the server's row");
        assert_eq!(remote.values[0], Some(Value::Text("theirs".into())), "{:?}", server.dialect);
        assert_eq!(remote.version.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_wrong_dialect_is_an_error_and_does_nothing() {
    for seeded in [false, true] {
        for (speaks, set_to) in
            Dialect::ALL.into_iter().flat_map(|one| Dialect::ALL.map(|other| (one, other)))
        {
            if speaks == set_to {
                continue;
            }
            let server = Server::of(speaks);
            if seeded {
                server.seed(json!({"id": "x", "text": "theirs"}));
            }
            let device = device_of(&server, set_to);
            let error = device.pull(pull_all()).await.expect_err("another dialect");
            assert_eq!((error.kind(), error.table()), (ErrorKind::WrongDialect, Some("Todo")));
            assert!(error.query_id() == Some("all"));
            assert!(texts(&device).await.is_empty() && !has_token(&device).await);
            assert_eq!(proof(&device).await, None);

            write(&device, &TODO, LocalChangeKind::Insert(row("a", "mine"))).await;
            let error = device.push(push_options()).await.expect_err("another dialect");
            assert_eq!((error.kind(), error.status()), (ErrorKind::WrongDialect, Some(400)));
            let operations = device.store().operations(None).await.expect("operations");
            assert_eq!(operations[0].state, OperationState::Pending, "it was definitely not done");
            assert_eq!(server.row("a"), None, "{speaks:?} {set_to:?}");
        }
    }
}

#[tokio::test]
async fn r_14_an_empty_answer_in_the_wrong_words_is_found_out() {
    // Servers that look at no version header; the v2 one takes an unknown column for an empty result (H-15).
    let lenient = |dialect| {
        let server = Server::of(dialect);
        server.with(|state| {
            (state.is_lenient, state.has_dynamic_columns) = (true, dialect != Dialect::Datasync)
        });
        server
    };
    for (speaks, set_to) in [
        (Dialect::MobileApps, Dialect::MobileServices),
        (Dialect::MobileServices, Dialect::MobileApps),
        (Dialect::MobileApps, Dialect::Datasync),
        (Dialect::Datasync, Dialect::MobileApps),
        (Dialect::Datasync, Dialect::MobileServices),
    ] {
        let server = lenient(speaks);
        server.seed(json!({"id": "a", "text": "milk"}));
        let device = device_of(&server, set_to);
        for request in [pull_all(), PullRequest::new(None, Predicate::all(&TODO))] {
            let error = device.pull(request).await.expect_err("another dialect");
            assert_eq!(error.kind(), ErrorKind::WrongDialect, "{speaks:?} {set_to:?}: {error}");
        }
        assert!(texts(&device).await.is_empty() && !has_token(&device).await);
        assert_eq!(proof(&device).await, None);
    }
    // With an empty table these two cannot be told apart: no error, but no proof and no token either.
    let server = lenient(Dialect::MobileApps);
    let device = device_of(&server, Dialect::MobileServices);
    device.pull(pull_all()).await.expect("perhaps there is nothing");
    assert_eq!((server.count(), proof(&device).await, has_token(&device).await), (4, None, false));
    server.seed(json!({"id": "a", "text": "milk"}));
    let error = device.pull(pull_all()).await.expect_err("found out now");
    assert_eq!(error.kind(), ErrorKind::WrongDialect);
}

#[tokio::test]
async fn r_14_one_probe_proves_an_endpoint_for_good() {
    for server in servers() {
        let dialect = server.dialect;
        let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
        let device = device_with(&server, dialect, Arc::clone(&store));
        assert_eq!((server.count(), proof(&device).await), (0, None), "opening sends nothing");
        device.pull(pull_all()).await.expect("an empty table");
        let probes = match dialect {
            // No row to see names in: asked with the headers of v1 and v2, or the shape was proof already.
            Dialect::MobileServices | Dialect::MobileApps => 2,
            Dialect::Datasync => 0,
        };
        assert_eq!(server.count(), 1 + probes, "{dialect:?}");
        assert!(!has_token(&device).await, "an empty answer makes no token");
        assert!(proof(&device).await.is_some_and(|proof| proof.ends_with(ENDPOINT)));
        device.pull(pull_all()).await.expect("still empty");
        let reopened = device_with(&server, dialect, store);
        reopened.pull(pull_all()).await.expect("still empty");
        assert_eq!(server.count(), 3 + probes, "{dialect:?}: the proof is stored");
    }
}

#[tokio::test]
async fn r_14_a_page_with_system_properties_is_proof_enough() {
    for server in servers() {
        server.seed(json!({"id": "a", "text": "milk"}));
        let device = device(&server);
        device.pull(pull_all()).await.expect("pulled");
        let probes = server.with(|state| {
            state
                .lists
                .iter()
                .filter(|(options, _)| options.iter().all(|(name, _)| name != "$orderby"))
                .count()
        });
        assert_eq!(probes, 0, "{:?}", server.dialect);
        assert!(proof(&device).await.is_some() && has_token(&device).await);
    }
}

#[tokio::test]
async fn a_column_the_server_lacks_is_an_error_of_the_query() {
    for server in servers() {
        let device = device(&server);
        server.seed(json!({"id": "a", "text": "milk"}));
        device.pull(pull_all()).await.expect("pulled");
        server.with(|state| state.missing_column = Some("text"));
        let filter = crate::predicate::Node::compare(
            &TODO.columns[0],
            crate::predicate::Comparison::Eq,
            Value::Text("milk".into()),
        );
        let request = PullRequest::new(Some("milk".into()), Predicate { table: &TODO, node: filter });
        let before = server.count();
        let error = device.pull(request).await.expect_err("refused");
        assert_eq!((error.kind(), error.status()), (ErrorKind::InvalidQuery, Some(400)));
        assert_eq!((error.table(), error.query_id()), (Some("Todo"), Some("milk")));
        assert!(error.to_string().contains("no such column"), "{error}");
        assert_eq!(server.count() - before, 1, "the endpoint is proven: nothing is probed");
    }
}

fn milk() -> Predicate {
    let column = &TODO.columns[0];
    let milk = Value::Text("milk".into());
    Predicate {
        table: &TODO,
        node: crate::predicate::Node::compare(column, crate::predicate::Comparison::Eq, milk),
    }
}

#[tokio::test]
async fn q_06_an_empty_list_is_believed_only_of_columns_the_server_has() {
    for server in [Server::of(Dialect::MobileServices), Server::of(Dialect::MobileApps)] {
        let dialect = server.dialect;
        server.with(|state| (state.missing_column, state.has_dynamic_columns) = (Some("text"), true));
        let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
        let device = device_with(&server, dialect, Arc::clone(&store));
        let requests = async |device: &Engine<MemoryStore>, request: PullRequest| {
            let before = server.count();
            let result = device.pull(request).await;
            (result.map(|report| report.rows), server.count() - before)
        };
        let by_filter = || PullRequest::new(Some("milk".into()), milk());
        // No row, nothing to be missed; the endpoint is proven on the way.
        device.pull(by_filter()).await.expect("an empty table");
        let (result, sent) = requests(&device, by_filter()).await;
        assert!(result.is_ok() && sent == 2, "{dialect:?}: {sent}");
        server.seed(json!({"id": "a"}));
        for request in [by_filter(), PullRequest::new(None, milk())] {
            let (result, sent) = requests(&device, request).await;
            let error = result.expect_err("the column is not there");
            assert_eq!((error.kind(), error.table(), sent), (ErrorKind::InvalidQuery, Some("Todo"), 3));
            assert!(error.to_string().contains("no column text"), "{error}");
        }
        assert_eq!(store.setting("proven_columns Todo").await.expect("read"), None);

        // The column comes, empty and not shown where it is: a condition on it finds the row.
        server.with(|state| state.missing_column = None);
        let (result, sent) = requests(&device, by_filter()).await;
        assert!(result.is_ok() && sent == 3, "{dialect:?}: {sent}");
        let reopened = device_with(&server, dialect, store);
        for _ in 0..2 {
            let (result, sent) = requests(&reopened, by_filter()).await;
            assert!(result.is_ok() && sent == 1, "{dialect:?}: the proof is stored");
        }
    }
}

#[tokio::test]
async fn q_06_columns_are_proven_by_a_row_and_not_asked_for_where_faults_are_errors() {
    for server in servers() {
        let dialect = server.dialect;
        server.seed(json!({"id": "a", "text": "bread"}));
        let device = device(&server);
        device.pull(pull_all()).await.expect("pulled");
        let before = server.count();
        device.pull(PullRequest::new(None, milk())).await.expect("nothing matches");
        let more = usize::from(dialect != Dialect::Datasync);
        assert_eq!(server.count() - before, 1 + more, "{dialect:?}");
        device.pull(PullRequest::new(None, milk())).await.expect("nothing matches");
        assert_eq!(server.count() - before, 2 + more, "{dialect:?}");

        let endpoint = Endpoint::parse(ENDPOINT).expect("valid");
        let store = Arc::new(MemoryStore::new([&TODO, &LIST]));
        let profile = ServerProfile::conservative().with_refused_unknown_columns(true);
        let requests = RequestBuilder::new(endpoint, dialect);
        let trusting = Engine::new(store, Arc::new(Arc::clone(&server)), Arc::new(NoWait), requests, profile);
        trusting.pull(pull_all()).await.expect("pulled");
        let before = server.count();
        trusting.pull(PullRequest::new(None, milk())).await.expect("nothing matches");
        assert_eq!(server.count() - before, 1, "{dialect:?}");
    }
}

#[tokio::test]
async fn section_2_3_probe_finds_out_what_a_server_speaks() {
    for server in servers() {
        for set_to in Dialect::ALL {
            let before = server.count();
            let report = device_of(&server, set_to).probe(&TODO).await.expect("a tables server");
            assert_eq!(report.newest(), Some(server.dialect), "whatever the context is set to");
            assert_eq!(report.dialects().count(), 1);
            assert_eq!(report.requests() as usize, server.count() - before);
            assert!(report.requests() <= 3);
        }
    }
}
