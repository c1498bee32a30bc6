//! Random filters against the official Node server and its parser of filters.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sync_core::client::{HttpClient, HttpOptions};
use sync_core::odata;
use sync_core::predicate::{Comparison, Function, Node, Predicate};
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Dialect, Endpoint, RequestBuilder};
use sync_core::pushdown;
use sync_core::remote::{Remote, RemoteQuery};
use sync_core::row::Row;
use sync_core::value::Value;
use sync_tests::differential::Sample;
use sync_tests::differential::generate::Generator;
use sync_tests::servers::{ServerUnderTest, TODO_ITEM};

/// Tables of random columns, and predicates over each, for the parser.
const TABLES: u64 = 60;
const PREDICATES: usize = 50;
/// Sets of rows on the server, and predicates over each.
const SETS: u64 = 10;
const ASKED: usize = 120;

/// 10.3: the parser takes the v1 and v2 text of every predicate, for both its databases.
#[test]
fn the_servers_parser_takes_every_text() {
    let mut texts = Vec::new();
    for seed in 0..TABLES {
        let mut generator = Generator::new(seed);
        let table = generator.table();
        let rows = (0..4).map(|index| generator.row(table, index)).collect();
        let sample = Sample { table, rows };
        for _ in 0..PREDICATES {
            let node = generator.predicate(&sample);
            if !replaces_by_constants(&node) {
                continue;
            }
            for dialect in [Dialect::MobileServices, Dialect::MobileApps] {
                texts.extend(odata::render(&node, dialect).ok().filter(|text| !text.is_empty()));
            }
        }
    }
    // Of two dialects; some columns and constants have no text.
    assert!(texts.len() as u64 > TABLES * PREDICATES as u64, "{}", texts.len());

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/parse.js");
    let mut parser = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node starts; run `cargo xtask interop`");
    let mut input = parser.stdin.take().expect("its input");
    let lines: String = texts.iter().map(|text| serde_json::json!(text).to_string() + "\n").collect();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = parser.wait_with_output().expect("its output");
    writing.join().expect("the writer").expect("all is written");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).expect("text");
    assert_eq!(answers.lines().count(), texts.len());
    for (text, answer) in texts.iter().zip(answers.lines()) {
        assert_eq!(answer, "null", "{text}");
    }
}

/// 10.5: its `replace` takes only constants to find and to put in their place. It is trusted with none.
fn replaces_by_constants(node: &Node) -> bool {
    match node {
        Node::Call(Function::Replace, arguments) => {
            matches!(arguments[1..], [Node::Literal(_), Node::Literal(_)])
                && replaces_by_constants(&arguments[0])
        }
        Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => parts.iter().all(replaces_by_constants),
        Node::Not(inner) => replaces_by_constants(inner),
        Node::Compare(_, left, right) => replaces_by_constants(left) && replaces_by_constants(right),
        _ => true,
    }
}

/// G9, R13: what the profile of the Node server has us send, and judge here, finds what the filter means.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_find_what_they_mean_on_the_node_server() {
    let server = ServerUnderTest::node();
    let remote = remote(server.profile());
    let (mut asked, mut sent, mut functions) = (0, 0, Vec::new());
    for seed in 0..SETS {
        let batch = Value::Text(format!("filters-{seed}"));
        let column = TODO_ITEM.column_index("batch").expect("the column of batches");
        let mut generator = Generator::new(seed);
        for index in 0..16 {
            let mut row = generator.row(&TODO_ITEM, index);
            row.id = format!("filters-{seed}-{}", row.id);
            row.values[column] = Some(batch.clone());
            row.deleted = false;
            for value in &mut row.values {
                // Numbers are JavaScript's there: a larger one comes back as another, or as none at all.
                if let Some(Value::Integer(number)) = value {
                    *number %= 1 << 53;
                }
            }
            remote.insert(&TODO_ITEM, row).await.expect("an inserted row");
        }
        let of_batch = Node::compare(&TODO_ITEM.columns[column], Comparison::Eq, batch);
        let load = async |node: Node| {
            let query = RemoteQuery::new(Predicate { table: &TODO_ITEM, node });
            remote.load(query).await
        };
        let rows: Vec<Row> = load(of_batch.clone()).await.expect("the rows as a client sees them");
        assert_eq!(rows.len(), 16);
        let sample = Sample { table: &TODO_ITEM, rows };
        for _ in 0..ASKED {
            let node = generator.predicate(&sample);
            let divided = pushdown::split(&node, &server.profile(), Dialect::MobileApps);
            asked += 1;
            sent += u64::from(divided.remote.is_some());
            divided.remote.iter().for_each(|node| functions_of(node, &mut functions));
            let found = load(of_batch.clone().and(node.clone())).await;
            let found = found.unwrap_or_else(|error| panic!("seed {seed}: {error}: {node:?}"));
            let found = found.into_iter().map(|row| row.id).collect();
            let text = divided.remote.map(|node| odata::render(&node, Dialect::MobileApps));
            assert_eq!(sample.evaluated(&node), found, "seed {seed}: sent {text:?} for {node:?}");
        }
    }
    assert!(sent * 4 > asked, "{sent} of {asked} filters were sent at least in part");
    let trusted = Function::ALL.into_iter().filter(|function| server.profile().evaluates(*function));
    for function in trusted {
        assert!(functions.contains(&function), "{function:?} is trusted and was never asked for");
    }
}

fn functions_of(node: &Node, out: &mut Vec<Function>) {
    match node {
        Node::Call(function, arguments) => {
            out.push(*function);
            arguments.iter().for_each(|argument| functions_of(argument, out));
        }
        Node::And(parts) | Node::Or(parts) => parts.iter().for_each(|part| functions_of(part, out)),
        Node::Not(inner) => functions_of(inner, out),
        Node::Compare(_, left, right) => [left, right].into_iter().for_each(|side| functions_of(side, out)),
        _ => {}
    }
}

/// 10.5: the functions it does right for ordinary arguments, trusted or not (some are not for what they do to a
/// negative start, to null, or where SQLite is built otherwise), find what they mean here.
#[tokio::test]
async fn functions_it_has_find_what_they_mean_for_ordinary_arguments() {
    let profile = [Function::Substring, Function::Replace, Function::Floor, Function::Ceiling]
        .into_iter()
        .fold(ServerProfile::node_sqlite(), ServerProfile::with_function);
    let remote = remote(profile.clone());
    let [text, _, _, price, _, batch] = TODO_ITEM.columns else { panic!("six columns") };
    let of_batch = Node::compare(batch, Comparison::Eq, Value::Text("ordinary".to_owned()));
    for (index, (words, number)) in
        [("Pick up Milk", 1.5), ("  pick up milk ", -1.5), ("MILK", 2.0), ("", -0.4), ("it's 100% milk", 2.5)]
            .into_iter()
            .enumerate()
    {
        let mut row = Row::empty(&TODO_ITEM, format!("ordinary-{index}"));
        row.values[0] = Some(Value::Text(words.to_owned()));
        row.values[3] = Some(Value::Real(number));
        row.values[5] = Some(Value::Text("ordinary".to_owned()));
        remote.insert(&TODO_ITEM, row).await.expect("an inserted row");
    }
    let load = async |node: Node| {
        let query = RemoteQuery::new(Predicate { table: &TODO_ITEM, node });
        remote.load(query).await.expect("an answer")
    };
    let sample = Sample { table: &TODO_ITEM, rows: load(of_batch.clone()).await };
    let word = |word: &str| Node::Literal(Value::Text(word.to_owned()));
    let number = |number: f64| Node::Literal(Value::Real(number));
    let whole = |number: i64| Node::Literal(Value::Integer(number));
    let call = |function, arguments: Vec<Node>| Node::Call(function, arguments);
    let (text, price) = (Node::Column(text), Node::Column(price));
    let cases = [
        (call(Function::ToLower, vec![text.clone()]), word("pick up milk")),
        (call(Function::ToUpper, vec![text.clone()]), word("MILK")),
        (call(Function::Trim, vec![text.clone()]), word("pick up milk")),
        (call(Function::Concat, vec![text.clone(), word("!")]), word("MILK!")),
        (call(Function::Substring, vec![text.clone(), whole(1), whole(3)]), word("ick")),
        (call(Function::Replace, vec![text, word("ilk"), word("int")]), word("Pick up Mint")),
        (call(Function::Round, vec![price.clone()]), number(2.0)),
        (call(Function::Floor, vec![price.clone()]), number(-2.0)),
        (call(Function::Ceiling, vec![price]), number(2.0)),
    ];
    for (computed, expected) in cases {
        let node = Node::Compare(Comparison::Eq, Box::new(computed), Box::new(expected));
        let divided = pushdown::split(&node, &profile, Dialect::MobileApps);
        assert!(divided.remote.is_some() && divided.local_rest.is_none(), "the server decides alone: {node}");
        let found: Vec<String> =
            load(of_batch.clone().and(node.clone())).await.into_iter().map(|row| row.id).collect();
        let meant = sample.evaluated(&node);
        assert!(!meant.is_empty() && meant.len() < sample.rows.len(), "{node}");
        assert_eq!(found, meant.into_iter().collect::<Vec<_>>(), "{node}");
    }
}

/// Direct calls to the Node server, trusted with what the profile says.
fn remote(profile: ServerProfile) -> Remote {
    let client = Arc::new(HttpClient::new(&HttpOptions::default()).expect("a client"));
    let endpoint = Endpoint::parse(&ServerUnderTest::node().url()).expect("an address");
    Remote::new(client, RequestBuilder::new(endpoint, Dialect::MobileApps), profile)
}
