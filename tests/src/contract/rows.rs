//! Single rows: insert, read, update, delete, undelete, and the versions that guard them.

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::servers::{ServerUnderTest, row, row_path, text};

/// Requests without a version, or of another generation, are refused and do nothing (cases 1 to 6).
pub async fn every_request_needs_a_known_version(server: &ServerUnderTest) {
    let id = "every_request_needs_a_known_version";
    server.seed(&row(id, id)).await;
    for (version, status) in
        [(None, 400), (Some("2.0"), 400), (Some("3.0.0"), 400), (Some("2.0.0"), 200), (Some("2.0.7"), 200)]
    {
        let versioned = |request: Request| match version {
            Some(version) => request.header("ZUMO-API-VERSION", version),
            None => request,
        };
        let answer = server.send(versioned(Request::new("GET", row_path(id)))).await;
        assert_eq!(answer.status, status, "version {version:?}: {}", answer.text());
        if status == 400 {
            assert!(answer.json()["error"].is_string(), "{}", answer.text());
            let answer = server.send(versioned(Request::new("DELETE", row_path(id)))).await;
            assert_eq!(answer.status, 400, "version {version:?}: {}", answer.text());
        }
    }
    assert_eq!(server.read(id).await.status, 200, "a refused deletion does nothing");
}

/// Cases 8 and 10.
pub async fn table_names_ignore_case_and_unknown_tables_are_not_found(server: &ServerUnderTest) {
    let answer = server.call(Request::new("GET", "/tables/todoitem?$top=1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = server.call(Request::new("GET", "/tables/NoSuchTable")).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

/// 201 with every column, null where nothing was sent, and a strong tag that is the version (case 15, 134).
pub async fn insert_answers_the_whole_row_with_its_version(server: &ServerUnderTest) {
    let id = "insert_answers_the_whole_row_with_its_version";
    let answer = server.insert(&json!({ "id": id, "batch": id, "text": "milk" })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let inserted = answer.json();
    assert_eq!(inserted["id"], id);
    assert_eq!(inserted["text"], "milk");
    assert_eq!(inserted["deleted"], false);
    for member in ["complete", "n", "price", "dueAt"] {
        assert_eq!(inserted.get(member), Some(&Value::Null), "{member} in {inserted}");
    }
    assert_tag_is_version(&answer);
    for member in ["createdAt", "updatedAt"] {
        assert_instant(text(&inserted, member));
    }

    let answer = server.read(id).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), inserted);
    assert_tag_is_version(&answer);
}

/// Cases 15 and 18.
pub async fn insert_without_an_id_gets_one(server: &ServerUnderTest) {
    let batch = "insert_without_an_id_gets_one";
    for row in [
        json!({ "batch": batch }),
        json!({ "batch": batch, "id": null }),
        json!({ "batch": batch, "id": "" }),
    ] {
        let inserted = server.seed(&row).await;
        let id = text(&inserted, "id");
        assert!(!id.is_empty(), "{inserted}");
        assert_eq!(server.read(id).await.json(), inserted);
    }
}

/// Case 24. What the body of the 409 holds differs between servers; what is stored does not.
pub async fn insert_of_a_known_id_is_refused_and_changes_nothing(server: &ServerUnderTest) {
    let id = "insert_of_a_known_id_is_refused_and_changes_nothing";
    let first = server.seed(&row(id, id)).await;
    let answer = server.insert(&json!({ "id": id, "batch": id, "text": "bread" })).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(server.read(id).await.json(), first);
}

/// Case 22.
pub async fn insert_refuses_system_properties(server: &ServerUnderTest) {
    let id = "insert_refuses_system_properties";
    for (member, value) in [
        ("updatedAt", json!("2015-01-02T03:04:05.678Z")),
        ("createdAt", json!("2015-01-02T03:04:05.678Z")),
        ("deleted", json!(true)),
    ] {
        let mut row = row(id, id);
        row[member] = value;
        let answer = server.insert(&row).await;
        assert_eq!(answer.status, 400, "{member}: {}", answer.text());
        assert_eq!(server.read(id).await.status, 404, "{member}");
    }
}

/// Every type of the table, at its edges, through insert, read, list and update (cases 63, 144).
pub async fn values_come_back_as_they_were_sent(server: &ServerUnderTest) {
    let batch = "values_come_back_as_they_were_sent";
    let rows = [
        json!({ "text": "it's \"quoted\" \\ % _ [x]", "complete": true, "n": 0, "price": 0.1 }),
        json!({ "text": "Grüße, 世界 🥛", "complete": false, "n": 9007199254740991_i64, "price": -2.5 }),
        json!({ "text": "line\nbreak\ttab\u{1}", "n": -9007199254740991_i64, "price": 1.0e-7 }),
        json!({ "text": "", "complete": true, "dueAt": "2015-01-02T03:04:05.678Z" }),
        json!({ "text": null, "complete": null, "n": null, "price": null, "dueAt": null }),
        json!({ "dueAt": "1969-12-31T23:59:59.999Z", "price": 123456789.125 }),
    ];
    for (number, members) in rows.iter().enumerate() {
        let id = format!("{batch}-{number}");
        let mut sent = members.clone();
        sent["id"] = json!(id);
        sent["batch"] = json!(batch);
        let inserted = server.seed(&sent).await;
        let read = server.read(&id).await.json();
        let listed = server.rows(&[("$filter", &format!("id eq '{id}'"))]).await;
        assert_eq!(listed, std::slice::from_ref(&read));
        // The members of the next row, so that every value is once sent in an update as well.
        let changes = &rows[(number + 1) % rows.len()];
        let updated = server.update(&id, None, changes).await.json();
        let expectations = [(members, &inserted), (members, &read), (changes, &updated)];
        for (sent, answered) in expectations {
            for (member, value) in sent.as_object().expect("rows are objects") {
                assert!(
                    same(value, &answered[member]),
                    "{member}: sent {value}, answered {}",
                    answered[member]
                );
            }
        }
    }
}

/// Ids with blanks, quotes, percent signs, slashes and non-ASCII letters, encoded as one segment (case 14).
pub async fn any_id_can_be_used_in_a_path(server: &ServerUnderTest) {
    let batch = "any_id_can_be_used_in_a_path";
    for id in ["a b", "it's", "50%", "%20", "ü-世界", "a.b~c_d-e", "a:b@c", "x=1;y", "a(b),c", "CASE", "case"]
    {
        let id = format!("{batch} {id}");
        let inserted = server.seed(&row(&id, batch)).await;
        assert_eq!(inserted["id"], id);
        assert_eq!(server.read(&id).await.json(), inserted, "{id}");

        let answer = server.update(&id, Some(text(&inserted, "version")), &json!({ "text": "bread" })).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        let filter = format!("id eq '{}'", id.replace('\'', "''"));
        assert_eq!(server.rows(&[("$filter", &filter)]).await, [answer.json()], "{id}");

        assert_deleted(&server.delete(&id, None).await);
        assert_eq!(server.read(&id).await.status, 404, "{id}");
    }
}

/// Cases 46, 47, 62, 63.
pub async fn update_changes_only_what_was_sent(server: &ServerUnderTest) {
    let id = "update_changes_only_what_was_sent";
    let inserted = server.seed(&json!({ "id": id, "batch": id, "text": "milk", "n": 1, "price": 2.5 })).await;

    let answer = server.update(id, None, &json!({ "text": "bread", "price": null })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_tag_is_version(&answer);
    let updated = answer.json();
    assert_eq!(updated["text"], "bread");
    assert_eq!(updated["price"], Value::Null);
    for member in ["id", "batch", "n", "complete", "createdAt", "deleted"] {
        assert_eq!(updated[member], inserted[member], "{member}");
    }
    assert_ne!(updated["version"], inserted["version"]);
    assert!(text(&updated, "updatedAt") >= text(&inserted, "updatedAt"), "{updated} after {inserted}");

    // The id may be sent along, and the version just seen is accepted.
    let version = text(&updated, "version");
    let answer = server.update(id, Some(version), &json!({ "id": id, "text": "butter" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["text"], "butter");
    assert_ne!(answer.json()["version"], version);
    assert_eq!(server.read(id).await.json(), answer.json());
}

/// Case 48.
pub async fn update_with_a_stale_version_is_refused_with_the_row(server: &ServerUnderTest) {
    let id = "update_with_a_stale_version_is_refused_with_the_row";
    let (stale, current) = changed_row(server, id).await;
    let answer = server.update(id, Some(&stale), &json!({ "text": "mine" })).await;
    assert_eq!(answer.status, 412, "{}", answer.text());
    assert_eq!(answer.json(), current);
    assert_tag_is_version(&answer);
    assert_eq!(server.read(id).await.json(), current);

    // Not a version at all: never unconditional.
    let answer = server.update(id, Some("garbage!"), &json!({ "text": "mine" })).await;
    assert_eq!(answer.status, 412, "{}", answer.text());
    assert_eq!(server.read(id).await.json(), current);
}

/// Case 54.
pub async fn update_with_a_stale_version_in_the_body_is_refused_with_the_row(server: &ServerUnderTest) {
    let id = "update_with_a_stale_version_in_the_body_is_refused_with_the_row";
    let (stale, current) = changed_row(server, id).await;
    let answer = server.update(id, None, &json!({ "text": "mine", "version": stale })).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.json(), current);
    assert_tag_is_version(&answer);
    assert_eq!(server.read(id).await.json(), current);
}

/// Cases 38, 58, 59.
pub async fn update_of_a_missing_row_is_not_found(server: &ServerUnderTest) {
    let id = "update_of_a_missing_row_is_not_found";
    assert_not_found(&server.read(id).await);
    for version in [None, Some("MQ==")] {
        assert_not_found(&server.update(id, version, &json!({ "text": "mine" })).await);
    }
    assert_not_found(&server.read(id).await);
}

/// Cases 56 and 57.
pub async fn update_refuses_another_id_and_system_properties(server: &ServerUnderTest) {
    let id = "update_refuses_another_id_and_system_properties";
    let inserted = server.seed(&row(id, id)).await;
    for (member, value) in [
        ("id", json!("another")),
        ("updatedAt", json!("2015-01-02T03:04:05.678Z")),
        ("createdAt", json!("2015-01-02T03:04:05.678Z")),
        ("deleted", json!(true)),
    ] {
        let mut body = json!({ "text": "mine" });
        body[member] = value;
        let answer = server.update(id, None, &body).await;
        assert_eq!(answer.status, 400, "{member}: {}", answer.text());
    }
    assert_eq!(server.read(id).await.json(), inserted);
}

/// Case 64.
pub async fn of_two_writers_with_one_version_one_wins(server: &ServerUnderTest) {
    let id = "of_two_writers_with_one_version_one_wins";
    let inserted = server.seed(&row(id, id)).await;
    let mut version = text(&inserted, "version").to_owned();
    for round in 0..10 {
        let mine = json!({ "n": round, "text": "mine" });
        let yours = json!({ "n": round, "text": "yours" });
        let (mine, yours) =
            tokio::join!(server.update(id, Some(&version), &mine), server.update(id, Some(&version), &yours));
        let (winner, loser) = if mine.status == 200 { (mine, yours) } else { (yours, mine) };
        assert_eq!((winner.status, loser.status), (200, 412), "{} and {}", winner.text(), loser.text());
        assert_eq!(loser.json(), winner.json());
        version = text(&winner.json(), "version").to_owned();
    }
}

/// Cases 39, 65, 78, 79.
pub async fn delete_hides_the_row_and_keeps_it_marked(server: &ServerUnderTest) {
    let id = "delete_hides_the_row_and_keeps_it_marked";
    let inserted = server.seed(&row(id, id)).await;
    assert_deleted(&server.delete(id, Some(text(&inserted, "version"))).await);
    assert_not_found(&server.read(id).await);

    let filter = format!("id eq '{id}'");
    assert!(server.rows(&[("$filter", &filter)]).await.is_empty());
    let kept = server.rows(&[("$filter", &filter), ("__includeDeleted", "true")]).await;
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(kept["deleted"], true);
    assert_eq!(kept["text"], inserted["text"]);
    assert_ne!(kept["version"], inserted["version"]);
    assert!(text(kept, "updatedAt") >= text(&inserted, "updatedAt"), "{kept} after {inserted}");
}

/// Case 66.
pub async fn delete_with_a_stale_version_is_refused_with_the_row(server: &ServerUnderTest) {
    let id = "delete_with_a_stale_version_is_refused_with_the_row";
    let (stale, current) = changed_row(server, id).await;
    let answer = server.delete(id, Some(&stale)).await;
    assert_eq!(answer.status, 412, "{}", answer.text());
    assert_eq!(answer.json(), current);
    assert_tag_is_version(&answer);
    assert_eq!(server.read(id).await.json(), current);
}

/// Case 68.
pub async fn delete_of_a_missing_row_is_not_found(server: &ServerUnderTest) {
    for version in [None, Some("MQ==")] {
        assert_not_found(&server.delete("delete_of_a_missing_row_is_not_found", version).await);
    }
}

/// Cases 25, 60, 61, 69, 70.
pub async fn deleted_rows_can_neither_be_changed_nor_inserted_again(server: &ServerUnderTest) {
    let id = "deleted_rows_can_neither_be_changed_nor_inserted_again";
    let tombstone = deleted_row(server, id).await;
    for version in [None, Some(text(&tombstone, "version"))] {
        assert_not_found(&server.update(id, version, &json!({ "text": "mine" })).await);
        assert_not_found(&server.delete(id, version).await);
    }
    let answer = server.insert(&row(id, id)).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(by_id(server, id).await, tombstone);
}

/// Cases 72 and 77.
pub async fn undelete_brings_a_row_back_and_moves_its_time(server: &ServerUnderTest) {
    let id = "undelete_brings_a_row_back_and_moves_its_time";
    let tombstone = deleted_row(server, id).await;
    let answer = server.undelete(id, Some(text(&tombstone, "version"))).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    assert_tag_is_version(&answer);
    let back = answer.json();
    assert_eq!(back["deleted"], false);
    assert_eq!(back["text"], "milk");
    assert_ne!(back["version"], tombstone["version"]);
    assert_eq!(server.read(id).await.json(), back);

    let since = format!("id eq '{id}' and updatedAt ge datetimeoffset'{}'", text(&tombstone, "updatedAt"));
    assert_eq!(server.rows(&[("$filter", &since)]).await, [back]);
}

/// Cases 73 and 74.
pub async fn undelete_with_a_stale_version_is_refused(server: &ServerUnderTest) {
    let id = "undelete_with_a_stale_version_is_refused";
    let inserted = server.seed(&row(id, id)).await;
    assert_deleted(&server.delete(id, None).await);
    let answer = server.undelete(id, Some(text(&inserted, "version"))).await;
    assert_eq!(answer.status, 412, "{}", answer.text());
    assert_eq!(answer.json()["deleted"], true, "{}", answer.text());
    assert_eq!(by_id(server, id).await["deleted"], true);
    assert_not_found(&server.undelete(&format!("{id}-missing"), None).await);
}

/// A row changed once: the version before, and the row now.
async fn changed_row(server: &ServerUnderTest, id: &str) -> (String, Value) {
    let inserted = server.seed(&row(id, id)).await;
    let answer = server.update(id, None, &json!({ "text": "theirs" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (text(&inserted, "version").to_owned(), answer.json())
}

/// A row inserted and deleted, as it stands.
async fn deleted_row(server: &ServerUnderTest, id: &str) -> Value {
    server.seed(&row(id, id)).await;
    assert_deleted(&server.delete(id, None).await);
    by_id(server, id).await
}

/// A row, deleted or not.
async fn by_id(server: &ServerUnderTest, id: &str) -> Value {
    let filter = format!("id eq '{id}'");
    let mut rows = server.rows(&[("$filter", &filter), ("__includeDeleted", "true")]).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// 200 with the row, or 204.
fn assert_deleted(answer: &Answer) {
    match answer.status {
        200 => assert_eq!(answer.json()["deleted"], true, "{}", answer.text()),
        204 => assert!(answer.body.is_empty(), "{}", answer.text()),
        _ => panic!("{}", answer.text()),
    }
}

fn assert_not_found(answer: &Answer) {
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.json()["error"].is_string(), "{}", answer.text());
}

fn assert_tag_is_version(answer: &Answer) {
    let row = answer.json();
    let version = text(&row, "version");
    assert!(!version.is_empty(), "{row}");
    assert_eq!(answer.value("ETag"), Some(format!("\"{version}\"").as_str()), "{}", answer.text());
}

/// `yyyy-MM-ddTHH:mm:ss.fffZ` (case 133).
fn assert_instant(instant: &str) {
    let shape: String =
        instant.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{instant}");
}

/// Numbers are equal by value: 1 and 1.0 are one number in JSON.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}
