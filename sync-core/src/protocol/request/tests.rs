//! Requests by dialect: method, path, decoded query, headers, body.

use super::*;
use crate::entity::{ColumnSchema, ID, UPDATED_AT};
use crate::operation::OperationKey;
use crate::row::Row;
use crate::time;
use crate::value::ColumnType;

const V1: Dialect = Dialect::MobileServices;
const V2: Dialect = Dialect::MobileApps;
const V3: Dialect = Dialect::Datasync;

const fn column(name: &'static str, ty: ColumnType, local: bool) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true).with_local(local)
}

static TODO: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        column("text", ColumnType::Text, false),
        column("complete", ColumnType::Bool, false),
        column("draft", ColumnType::Text, true),
        column("owner", ColumnType::Uuid, false),
    ],
    versioned: true,
    keep_deleted: false,
};

static LAST_WRITE_WINS: TableSchema = TableSchema { versioned: false, ..TODO };

fn builder(dialect: Dialect) -> RequestBuilder {
    RequestBuilder::new(Endpoint::parse("https://api.example.com/app").expect("valid"), dialect)
}

/// What the operation of a row sends; an update of v1 and v2 has only what changed.
fn outgoing(dialect: Dialect, sent: SentKind) -> Outgoing {
    let mut item = Row::empty(&TODO, "a b");
    item.values[0] = Some(Value::Text("milk".into()));
    if sent != SentKind::Update || dialect == V3 {
        item.values[1] = Some(Value::Bool(true));
        item.values[3] = Some(Value::Null);
    }
    item.version = Some("MQ==".into());
    item.updated_at = time::parse("2024-01-02T03:04:05Z");
    item.extra = Some("{\"color\":\"red\"}".into());
    Outgoing {
        key: OperationKey { table: "TodoItem", item_id: "a b".into(), seq: 1, revision: 1 },
        table: &TODO,
        sent,
        uncertain: false,
        item,
        base_version: Some("MQ==".into()),
        base: None,
        earlier: None,
        attempts: 1,
        may_have_arrived: false,
    }
}

/// A request in one line: method, path, decoded options, headers of the protocol, body.
fn line(request: &Request) -> String {
    let options: Vec<_> = request.url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
    let header = |name: &str| {
        let value = request.headers.get(name)?.to_str().expect("text");
        Some(format!(" {name}:{value}"))
    };
    let headers: String =
        ["zumo-api-version", "if-match", "content-type"].into_iter().filter_map(header).collect();
    assert_eq!(request.headers["accept"], "application/json");
    let body = request.body.as_ref().map_or("", |body| std::str::from_utf8(body).expect("text"));
    format!("{} {} [{}]{headers} {body}", request.method, request.url.path(), options.join("&"))
}

#[test]
fn w_02_p_09_and_14_3_writes_of_each_dialect() {
    use SentKind::{Delete, Insert, Undelete, Update};
    const JSON: &str = "content-type:application/json";
    const WHOLE: &str = "{\"id\":\"a b\",\"text\":\"milk\",\"complete\":true,\"owner\":null";
    const CHANGED: &str = "{\"id\":\"a b\",\"text\":\"milk\"}";
    const MATCH: &str = "if-match:\"MQ==\"";
    let (table, row) = ("/app/tables/TodoItem", "/app/tables/TodoItem/a%20b");
    let asking = "__systemProperties=*";
    let v2 = "zumo-api-version:2.0.0";
    let v3 = "zumo-api-version:3.0.0";
    for (dialect, kind, expected) in [
        (V1, Insert, format!("POST {table} [{asking}] {JSON} {WHOLE}}}")),
        (V1, Update, format!("PATCH {row} [{asking}] {MATCH} {JSON} {CHANGED}")),
        (V1, Delete, format!("DELETE {row} [] {MATCH} ")),
        (V1, Undelete, format!("POST {row} [{asking}] {MATCH} ")),
        (V2, Insert, format!("POST {table} [] {v2} {JSON} {WHOLE}}}")),
        (V2, Update, format!("PATCH {row} [] {v2} {MATCH} {JSON} {CHANGED}")),
        (V2, Delete, format!("DELETE {row} [] {v2} {MATCH} ")),
        (V2, Undelete, format!("POST {row} [] {v2} {MATCH} ")),
        (V3, Insert, format!("POST {table} [] {v3} {JSON} {WHOLE}}}")),
        (V3, Update, format!("PUT {row} [] {v3} {MATCH} {JSON} {WHOLE},\"color\":\"red\"}}")),
        (V3, Delete, format!("DELETE {row} [] {v3} {MATCH} ")),
        (
            V3,
            Undelete,
            format!(
                "PUT {row} [__includedeleted=true] {v3} {MATCH} {JSON} {WHOLE},\"color\":\"red\",\"deleted\":false}}"
            ),
        ),
    ] {
        let request = builder(dialect).write(&outgoing(dialect, kind)).expect("a request");
        assert_eq!(line(&request), expected, "{dialect:?} {kind:?}");
    }
    let patching = builder(V3).with_undelete(UndeleteForm::Patch);
    let request = patching.write(&outgoing(V3, Undelete)).expect("a request");
    assert_eq!(line(&request), format!("PATCH {row} [] {v3} {MATCH} {JSON} {{\"deleted\":false}}"));
    // The form is a matter of v3 alone.
    for dialect in [V1, V2] {
        let other = builder(dialect).with_undelete(UndeleteForm::Patch);
        let request = other.write(&outgoing(dialect, Undelete)).expect("a request");
        assert_eq!(request.method, Method::POST);
    }
}

#[test]
fn writes_without_a_known_or_wanted_version_are_unconditional() {
    for dialect in Dialect::ALL {
        for kind in [SentKind::Update, SentKind::Delete, SentKind::Undelete] {
            let unknown = Outgoing { base_version: None, ..outgoing(dialect, kind) };
            let unwanted = Outgoing { table: &LAST_WRITE_WINS, ..outgoing(dialect, kind) };
            for operation in [unknown, unwanted] {
                let request = builder(dialect).write(&operation).expect("a request");
                assert!(!request.headers.contains_key(IF_MATCH), "{dialect:?} {kind:?}");
            }
        }
    }
}

#[test]
fn w_01_and_12_1_lists_of_each_dialect() {
    let since = time::parse("2024-01-02T03:04:05.678Z").expect("valid");
    let query = |skip| ListQuery {
        filter: Some(Node::compare(&UPDATED_AT, Comparison::Ge, Value::DateTime(since)).and(Node::compare(
            &TODO.columns[0],
            Comparison::Eq,
            Value::Text("it's".into()),
        ))),
        order_by: vec![&UPDATED_AT, &ID],
        skip: Some(skip),
        top: Some(50),
        include_deleted: true,
        parameters: vec![("mine".into(), "a&b".into())],
    };
    let list = |dialect, skip| line(&builder(dialect).list(&TODO, &query(skip)).expect("a request"));
    assert_eq!(
        list(V1, 0),
        "GET /app/tables/TodoItem [$filter=((__updatedAt ge \
         datetimeoffset'2024-01-02T03:04:05.6780000+00:00') and (text eq 'it''s'))&$orderby=__updatedAt,id&\
         $skip=0&$top=50&__includeDeleted=true&__systemproperties=__updatedAt,__version,__deleted&mine=a&b] "
    );
    assert_eq!(
        list(V2, 0),
        "GET /app/tables/TodoItem [$filter=((updatedAt ge datetimeoffset'2024-01-02T03:04:05.678Z') and \
         (text eq 'it''s'))&$orderby=updatedAt,id&$skip=0&$top=50&__includeDeleted=true&mine=a&b] \
         zumo-api-version:2.0.0 "
    );
    assert_eq!(
        list(V3, 0),
        "GET /app/tables/TodoItem [$filter=((updatedAt ge \
         cast(2024-01-02T03:04:05.678Z,Edm.DateTimeOffset)) and (text eq 'it''s'))&$orderby=updatedAt,id&\
         $top=50&__includedeleted=true&mine=a&b] zumo-api-version:3.0.0 "
    );
    assert!(list(V3, 7).contains("&$skip=7&$top=50&"));
    // A raw `+` would be read as a blank, and one server reads property names from the raw text (10.1).
    let raw = builder(V1).list(&TODO, &query(0)).expect("a request").url;
    assert!(raw.as_str().contains("0%2B00:00"));
    assert!(raw.as_str().contains("&$orderby=__updatedAt,id&"));
    let raw = builder(V3).list(&TODO, &query(0)).expect("a request").url;
    assert!(raw.as_str().contains("cast(2024-01-02T03:04:05.678Z,Edm.DateTimeOffset)"));
}

#[test]
fn w_07_a_row_is_fetched_as_a_list_that_shows_deleted_rows() {
    let fetch = |dialect| line(&builder(dialect).fetch(&TODO, "it's").expect("a request"));
    assert_eq!(
        fetch(V1),
        "GET /app/tables/TodoItem [$filter=(id eq 'it''s')&$top=1&__includeDeleted=true&\
         __systemproperties=__updatedAt,__version,__deleted] "
    );
    assert_eq!(
        fetch(V2),
        "GET /app/tables/TodoItem [$filter=(id eq 'it''s')&$top=1&__includeDeleted=true] zumo-api-version:2.0.0 "
    );
    assert_eq!(
        fetch(V3),
        "GET /app/tables/TodoItem [$filter=(id eq 'it''s')&$top=1&__includedeleted=true] zumo-api-version:3.0.0 "
    );
}

#[test]
fn v_10_instants_keep_their_digits_and_uuids_have_the_form_of_the_dialect() {
    let render = |dialect, value| {
        odata::render(&Node::compare(&UPDATED_AT, Comparison::Gt, value), dialect).expect("a filter")
    };
    let instant = |text| Value::DateTime(time::parse(text).expect("valid"));
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", "(__updatedAt gt datetimeoffset'1970-01-01T00:00:00.0000000+00:00')"),
        (
            "2024-01-02T03:04:05.1234567Z",
            "(__updatedAt gt datetimeoffset'2024-01-02T03:04:05.1234567+00:00')",
        ),
        ("2024-01-02T03:04:05.123456Z", "(__updatedAt gt datetimeoffset'2024-01-02T03:04:05.1234560+00:00')"),
        (
            "2024-01-02T03:04:05.123456789Z",
            "(__updatedAt gt datetimeoffset'2024-01-02T03:04:05.123456789+00:00')",
        ),
    ] {
        assert_eq!(render(V1, instant(text)), expected);
    }
    let finer = instant("2024-01-02T03:04:05.1234567Z");
    for dialect in [V1, V2] {
        let node = Node::compare(&UPDATED_AT, Comparison::Gt, finer.clone());
        let text = odata::render(&node, dialect).expect("a filter");
        assert_eq!(odata::parse(&text, &TODO, dialect, &odata::Limits::default()), Ok(node), "{text}");
    }
    assert_eq!(render(V2, finer.clone()), "(updatedAt gt datetimeoffset'2024-01-02T03:04:05.1234567Z')");
    assert_eq!(render(V3, finer), "(updatedAt gt cast(2024-01-02T03:04:05.1234567Z,Edm.DateTimeOffset))");
    let owner = Node::compare(&TODO.columns[3], Comparison::Eq, Value::Uuid(uuid::Uuid::max()));
    let uuid = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    for (dialect, expected) in [
        (V1, format!("(owner eq '{uuid}')")),
        (V2, format!("(owner eq '{uuid}')")),
        (V3, format!("(owner eq cast({uuid},Edm.Guid))")),
    ] {
        assert_eq!(odata::render(&owner, dialect).expect("a filter"), expected);
    }
}
