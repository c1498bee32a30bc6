//! Insert, update, delete, undelete.

use super::*;

#[tokio::test]
async fn case_015_016_018_019_an_insert_answers_with_the_whole_row() {
    let f = Fixture::new().await;
    let answer = f.insert(&json!({"text": "t"})).await;
    let row = &answer.json;
    let id = row["id"].as_str().expect("an id");
    assert_eq!(id.len(), 36);
    assert_eq!(id, id.to_lowercase());
    assert_eq!(row["text"], "t");
    assert_eq!(row["complete"], Value::Null);
    assert_eq!(row["deleted"], false);
    assert_eq!(row["createdAt"], row["updatedAt"]);
    let members: Vec<_> = row.as_object().expect("a row").keys().cloned().collect();
    assert_eq!(members.len(), 10, "the local column is not known here: {members:?}");

    assert_eq!(f.insert(&json!({"id": "n1", "text": "t"})).await.json["id"], "n1");
    for body in [json!({"id": "", "text": "t"}), json!({"id": null}), json!({})] {
        assert_eq!(f.insert(&body).await.json["id"].as_str().expect("an id").len(), 36);
    }
    f.send("POST", &format!("{T}?__systemProperties=*"), &[], Some("{}")).await.assert_row(201);
    f.send("POST", T, &[("if-match", "\"OLD\"")], Some("{}")).await.assert_row(201);
}

#[tokio::test]
async fn case_020_a_number_as_id_is_its_text() {
    let f = Fixture::new().await;
    assert_eq!(f.insert(&json!({"id": 5, "text": "t"})).await.json["id"], "5");
    f.row("5").await.assert_row(200);
    f.post("{\"id\":true}").await.assert_error(400);
}

#[tokio::test]
async fn case_022_023_057_members_of_the_server_cannot_be_set() {
    let f = Fixture::new().await;
    for name in ["createdAt", "updatedAt", "deleted", "UPDATEDAT", "Deleted"] {
        for value in ["null", "false", "\"2015-01-02T03:04:05Z\""] {
            let body = format!("{{\"text\":\"x\",\"{name}\":{value}}}");
            let refused = f.post(&body).await;
            let message = refused.assert_error(400).json["error"].as_str().expect("a message");
            assert!(message.contains(name) && message.contains("reserved"), "{message}");
            f.send("PATCH", &format!("{T}/a"), &[], Some(&body)).await.assert_error(400);
        }
    }
    let answer = f.insert(&json!({"id": "n3", "version": "Zm9v"})).await;
    assert_ne!(answer.version(), "Zm9v");
    f.post("{\"version\":1}").await.assert_error(400);
}

#[tokio::test]
async fn case_024_025_a_duplicate_answers_with_the_stored_row() {
    let f = Fixture::new().await;
    let stored = f.row("a").await;
    let answer = f.post("{\"id\":\"a\",\"text\":\"other\"}").await;
    assert_eq!(answer.assert_row(409).json, stored.json);
    assert_eq!(f.row("a").await.json, stored.json);
    let answer = f.post("{\"id\":\"d\",\"text\":\"other\"}").await;
    assert_eq!(answer.assert_row(409).json["deleted"], true);
}

#[tokio::test]
async fn case_026_to_032_bodies_that_are_no_row_are_refused() {
    let f = Fixture::new().await;
    let before = f.list("").await.rows().len();
    for body in [
        "[1]",
        "null",
        "\"text\"",
        "{\"text\":\"t\"",
        "{\"text\":\"t\"} x",
        "{'text':1}",
        "",
        "  ",
        "{\"text\":{\"a\":1}}",
        "{\"text\":[]}",
        "{\"other\":1}",
        "{\"draft\":\"local\"}",
        "{\"text\":\"a\",\"text\":\"b\"}",
        "{\"text\":1}",
        "{\"complete\":1}",
        "{\"complete\":\"true\"}",
        "{\"n\":\"1\"}",
        "{\"n\":1.5}",
        "{\"n\":9223372036854775808}",
        "{\"when\":\"yesterday\"}",
        "{\"when\":1}",
        "{\"ratio\":\"1.5\"}",
        "{\"ratio\":1e999}",
    ] {
        f.post(body).await.assert_error(400);
    }
    let named = f.post("{\"n\":\"1\"}").await;
    assert_eq!(named.json["error"], "member 'n' must be a whole number in the column's range");
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("Application/JSON ; charset=utf-8", 201),
        ("application/merge-patch+json", 201),
    ] {
        assert_eq!(f.send("POST", T, &[("content-type", kind)], Some("{}")).await.status, status, "{kind}");
    }
    f.raw("POST", T, &[("ZUMO-API-VERSION", "2.0.0")], Some("{}")).await.assert_row(201);
    let large = json!({"text": "x".repeat(1024 * 1024)}).to_string();
    f.post(&large).await.assert_error(413);
    f.patch("a", &json!({"text": "x".repeat(1024 * 1024)}), &[]).await.assert_error(413);
    assert_eq!(f.list("").await.rows().len(), before + 3);
}

#[tokio::test]
async fn case_033_ids_that_differ_by_case_are_two_rows() {
    let f = Fixture::new().await;
    f.insert(&json!({"id": "A", "text": "upper"})).await;
    assert_eq!(f.row("A").await.json["text"], "upper");
    assert_eq!(f.row("a").await.json["text"], "t");
}

#[tokio::test]
async fn case_034_038_039_040_a_deleted_row_is_read_only_when_asked_for() {
    let f = Fixture::new().await;
    f.get(&format!("{T}/a")).await.assert_row(200);
    f.get(&format!("{T}/x")).await.assert_error(404);
    f.get(&format!("{T}/d")).await.assert_error(404);
    f.get(&format!("{T}/d?__includeDeleted=false")).await.assert_error(404);
    let row = f.get(&format!("{T}/d?__includeDeleted=true")).await;
    assert_eq!(row.assert_row(200).json["deleted"], true);
}

#[tokio::test]
async fn case_046_to_053_an_update_needs_the_right_version_if_one_is_given() {
    let f = Fixture::new().await;
    let before = f.row("a").await;
    let plain = f.patch("a", &json!({"text": "1"}), &[]).await;
    plain.assert_row(200);
    assert_ne!(plain.version(), before.version());
    assert!(plain.json["updatedAt"].as_str() > before.json["updatedAt"].as_str());
    assert_eq!(plain.json["createdAt"], before.json["createdAt"]);

    let tag = format!("\"{}\"", plain.version());
    let matched = f.patch("a", &json!({"text": "2"}), &[("if-match", &tag)]).await;
    assert_ne!(matched.assert_row(200).version(), plain.version());

    let current = matched.version();
    let weak = format!("W/\"{current}\"");
    let list = format!("\"{}\", \"{current}\"", before.version());
    for stale in [tag.as_str(), weak.as_str(), "*", "\"garbage!\"", list.as_str(), "\"\"", "\"", ""] {
        let answer = f.patch("a", &json!({"text": "3"}), &[("if-match", stale)]).await;
        assert_eq!(answer.assert_row(412).json, matched.json, "{stale}");
    }
    let bare = f.patch("a", &json!({"text": "4"}), &[("if-match", current)]).await;
    assert_eq!(bare.assert_row(200).json["text"], "4");
}

#[tokio::test]
async fn case_054_a_stale_version_in_the_body_is_409() {
    let f = Fixture::new().await;
    let current = f.row("a").await;
    let stale = f.patch("a", &json!({"text": "x", "version": "OLD"}), &[]).await;
    assert_eq!(stale.assert_row(409).json, current.json);
    let tag = format!("\"{}\"", current.version());
    f.patch("a", &json!({"text": "x", "version": "OLD"}), &[("if-match", &tag)]).await.assert_row(409);
    f.patch("a", &json!({"text": "x", "version": "OLD"}), &[("if-match", "\"OLD\"")]).await.assert_row(412);
    f.patch("a", &json!({"text": "x", "version": current.version()}), &[]).await.assert_row(200);
    f.patch("a", &json!({"text": "y", "version": null}), &[]).await.assert_row(200);
}

#[tokio::test]
async fn case_055_056_058_to_061_updates_without_change_or_row() {
    let f = Fixture::new().await;
    let before = f.row("a").await;
    assert_eq!(f.patch("a", &json!({}), &[]).await.assert_row(200).json, before.json);
    assert_eq!(f.patch("a", &json!({"id": "a"}), &[]).await.assert_row(200).json, before.json);
    f.patch("a", &json!({}), &[("if-match", "\"OLD\"")]).await.assert_row(412);
    f.patch("a", &json!({"id": "b", "text": "x"}), &[]).await.assert_error(400);
    let deleted = format!("\"{}\"", f.row("d").await.version());
    for id in ["x", "d"] {
        f.patch(id, &json!({"text": "x"}), &[]).await.assert_error(404);
        f.patch(id, &json!({"text": "x"}), &[("if-match", &deleted)]).await.assert_error(404);
        f.patch(id, &json!({}), &[]).await.assert_error(404);
    }
    assert_eq!(f.row("a").await.json, before.json);
}

#[tokio::test]
async fn case_062_063_144_only_sent_members_change_and_null_is_a_value() {
    let f = Fixture::new().await;
    let answer = f.patch("a", &json!({"text": null}), &[]).await;
    assert_eq!(answer.assert_row(200).json["text"], Value::Null);
    assert_eq!(answer.json["complete"], false);
    assert_eq!(answer.json["n"], 1);
    let empty = json!({"id": "e", "text": null, "complete": null, "n": null, "when": null, "ratio": null});
    let stored = f.insert(&empty).await;
    for (name, value) in empty.as_object().expect("an object") {
        assert_eq!(&stored.json[name], value);
    }
}

#[tokio::test]
async fn case_064_of_two_writers_with_one_version_one_wins() {
    let f = Fixture::new().await;
    for round in 0..10 {
        let tag = format!("\"{}\"", f.row("a").await.version());
        let headers = [("if-match", tag.as_str())];
        let attempts = (0..4).map(|writer| {
            let body = json!({"text": format!("{round}-{writer}")});
            let (f, headers) = (&f, &headers);
            async move { f.patch("a", &body, headers).await }
        });
        let answers = join_all(attempts).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(lost.assert_row(412).json, won[0].json);
        }
    }
}

#[tokio::test]
async fn case_065_to_070_a_delete_marks_the_row_once() {
    let f = Fixture::new().await;
    let before = f.row("a").await;
    assert_eq!(f.delete("a", &[("if-match", "\"OLD\"")]).await.assert_row(412).json, before.json);
    let tag = format!("\"{}\"", before.version());
    let deleted = f.delete("a", &[("if-match", &tag)]).await;
    assert_eq!(deleted.assert_row(200).json["deleted"], true);
    assert_ne!(deleted.version(), before.version());
    assert!(deleted.json["updatedAt"].as_str() > before.json["updatedAt"].as_str());
    let tag = format!("\"{}\"", deleted.version());
    for id in ["a", "d", "x"] {
        f.delete(id, &[]).await.assert_error(404);
        f.delete(id, &[("if-match", &tag)]).await.assert_error(404);
    }
}

#[tokio::test]
async fn case_071_without_soft_delete_the_row_is_gone() {
    let f = Fixture::new().await;
    f.send("POST", "/tables/Gone", &[], Some("{\"id\":\"g\",\"text\":\"t\"}")).await.assert_row(201);
    let answer = f.send("DELETE", "/tables/Gone/g", &[], None).await;
    assert_eq!(answer.assert_row(200).json["text"], "t");
    assert_eq!(answer.json["deleted"], true);
    f.get("/tables/Gone/g?__includeDeleted=true").await.assert_error(404);
    assert!(f.get("/tables/Gone?__includeDeleted=true").await.rows().is_empty());
    let refused = f.send("POST", "/tables/Gone/g", &[], None).await;
    assert_eq!(refused.assert_error(405).header("allow"), Some("GET, PATCH, DELETE"));
    f.send("POST", "/tables/Gone", &[], Some("{\"id\":\"g\"}")).await.assert_row(201);
}

#[tokio::test]
async fn case_072_to_077_an_undelete_brings_the_row_back_with_a_new_version() {
    let f = Fixture::new().await;
    let deleted = f.row("d").await;
    let token = deleted.json["updatedAt"].as_str().expect("a time");
    assert_eq!(f.undelete("d", &[("if-match", "\"OLD\"")]).await.assert_row(412).json, deleted.json);
    let back = f.undelete("d", &[]).await;
    assert_eq!(back.assert_row(201).json["deleted"], false);
    assert_eq!(back.json["text"], "t");
    assert_ne!(back.version(), deleted.version());
    let later = f.filter(&format!("updatedAt gt datetimeoffset'{token}'")).await;
    assert_eq!(later.ids(), ["d"]);
    f.undelete("x", &[]).await.assert_error(404);
    let live = f.undelete("d", &[]).await;
    assert_ne!(live.assert_row(201).version(), back.version());
    f.delete("d", &[]).await.assert_row(200);
    let with_body = f.send("POST", &format!("{T}/d"), &[], Some("{\"text\":\"ignored\",\"what\":1}")).await;
    assert_eq!(with_body.assert_row(201).json["text"], "t");
}

#[tokio::test]
async fn case_143_values_survive_the_way_there_and_back() {
    let f = Fixture::new().await;
    let body = "{\"id\":\"v\",\"n\":9007199254740993,\"ratio\":0.1,\"complete\":true,\
                \"text\":\"\\u0000 \\\"é\\ud83d\\ude00\\n\",\"when\":\"2015-01-02T05:04:05.1234567+02:00\"}";
    let stored = f.post(body).await;
    stored.assert_row(201);
    assert!(stored.text.contains("\"n\":9007199254740993,"), "{}", stored.text);
    assert!(stored.text.contains("\"ratio\":0.1"), "{}", stored.text);
    assert_eq!(stored.json["complete"], true);
    assert_eq!(stored.json["text"], "\u{0} \"é😀\n");
    assert_eq!(stored.json["when"], "2015-01-02T03:04:05.1234567Z");
    assert_eq!(f.row("v").await.text, stored.text);
    assert_eq!(f.filter("n eq 9007199254740993L").await.ids(), ["v"]);
    let short = f.patch("v", &json!({"when": "2015-01-02T03:04:05Z", "n": 2.0, "ratio": 3}), &[]).await;
    assert_eq!(short.json["when"], "2015-01-02T03:04:05.000Z");
    assert_eq!(short.json["n"], 2);
    assert_eq!(short.json["ratio"], 3.0);
    for extreme in [i64::MIN, i64::MAX] {
        assert_eq!(f.patch("v", &json!({"n": extreme}), &[]).await.json["n"], extreme);
    }
}
