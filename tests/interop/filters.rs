//! Random filters against the official Node server and its parser of filters.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sync_core::client::{HttpClient, HttpOptions};
use sync_core::odata;
use sync_core::predicate::{Comparison, Function, Node, Predicate};
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
const SETS: u64 = 6;
const ASKED: usize = 60;

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
    let client = Arc::new(HttpClient::new(&HttpOptions::default()).expect("a client"));
    let endpoint = Endpoint::parse(&server.url()).expect("an address");
    let remote = Remote::new(client, RequestBuilder::new(endpoint, Dialect::MobileApps), server.profile());
    let (mut asked, mut sent) = (0, 0);
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
            let found = load(of_batch.clone().and(node.clone())).await;
            let found = found.unwrap_or_else(|error| panic!("seed {seed}: {error}: {node:?}"));
            let found = found.into_iter().map(|row| row.id).collect();
            let text = divided.remote.map(|node| odata::render(&node, Dialect::MobileApps));
            assert_eq!(sample.evaluated(&node), found, "seed {seed}: sent {text:?} for {node:?}");
        }
    }
    assert!(sent * 4 > asked, "{sent} of {asked} filters were sent at least in part");
}
