//! Lists: pages, order, filters of the forms our client sends, and the walk by time and id that a pull makes.

use serde_json::{Value, json};

use crate::http::Request;
use crate::servers::{ServerUnderTest, of_batch, path, row, text};

/// Case 82.
pub async fn a_page_holds_50_rows_unless_asked_for_more(server: &ServerUnderTest) {
    let batch = "a_page_holds_50_rows_unless_asked_for_more";
    server.seed_block(batch, 60, "2020-01-01T00:00:00.000Z", |number| format!("{batch}-{number:04}"));
    assert_eq!(server.rows(&[("$filter", &of_batch(batch)), ("$orderby", "id")]).await.len(), 50);
    let rest = server.rows(&[("$filter", &of_batch(batch)), ("$orderby", "id"), ("$skip", "50")]).await;
    assert_eq!(rest.len(), 10);
}

/// `$top` is honoured, up to the server's own limit: the reason why a short page alone does not end a pull.
pub async fn a_page_holds_as_many_rows_as_asked_for_up_to_the_limit(server: &ServerUnderTest) {
    let batch = "a_page_holds_as_many_rows_as_asked_for_up_to_the_limit";
    server.seed_block(batch, 1050, "2020-01-01T00:00:00.000Z", |number| format!("{batch}-{number:04}"));
    for top in [1, 50, 99, 100, 101, 1000] {
        let page = server.rows(&[("$filter", &of_batch(batch)), ("$top", &top.to_string())]).await;
        assert_eq!(page.len(), top.min(server.largest_page()), "$top={top}");
    }
}

/// Case 88.
pub async fn a_page_above_1000_is_refused(server: &ServerUnderTest) {
    let answer = server.list(&[("$top", "1001")]).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
}

/// Cases 91 and 97.
pub async fn skip_and_top_cut_a_window_out_of_an_order(server: &ServerUnderTest) {
    let batch = "skip_and_top_cut_a_window_out_of_an_order";
    for (name, n, words) in [("a", 3, "x"), ("b", 1, "y"), ("c", 2, "x"), ("d", 1, "x"), ("e", 3, "y")] {
        let row = json!({ "id": format!("{batch}-{name}"), "batch": batch, "n": n, "text": words });
        server.seed(&row).await;
    }
    let order = async |order: &str, skip: &str, top: &str| {
        let filter = of_batch(batch);
        let options = [("$filter", filter.as_str()), ("$orderby", order), ("$skip", skip), ("$top", top)];
        let ids = server.ids(&options).await;
        ids.iter().map(|id| id.rsplit('-').next().unwrap_or_default()).collect::<String>()
    };
    assert_eq!(order("id", "0", "50").await, "abcde");
    assert_eq!(order("id desc", "0", "50").await, "edcba");
    assert_eq!(order("n,text", "0", "50").await, "dbcae");
    assert_eq!(order("n desc,text asc", "0", "50").await, "aecdb");
    assert_eq!(order("n,id", "2", "2").await, "ca");
    assert_eq!(order("n,id", "5", "2").await, "");
}

/// The order of a pull (H-05).
pub async fn rows_of_one_time_are_ordered_by_id(server: &ServerUnderTest) {
    let batch = "rows_of_one_time_are_ordered_by_id";
    // Stored in an order that is neither the wanted one nor its reverse.
    for (time, step) in [("2020-01-01T00:00:00.002Z", 7), ("2020-01-01T00:00:00.001Z", 3)] {
        server.seed_block(batch, 10, time, |number| format!("{batch}-{step}-{}", number * step % 10));
    }
    let ids = server.ids(&[("$filter", &of_batch(batch)), ("$orderby", "updatedAt,id")]).await;
    let wanted: Vec<_> = [3, 7]
        .iter()
        .flat_map(|step| (0..10).map(move |number| format!("{batch}-{step}-{number}")))
        .collect();
    assert_eq!(ids, wanted);
}

/// Cases 113, 114, 116, 120, 133: every spelling of an instant that clients send, `ge`, `lt` and `eq`.
pub async fn times_are_compared_to_the_millisecond(server: &ServerUnderTest) {
    let batch = "times_are_compared_to_the_millisecond";
    for (name, time) in [("a", "677"), ("b", "678"), ("c", "679")] {
        server.seed_block(batch, 1, &format!("2015-01-02T03:04:05.{time}Z"), |_| format!("{batch}-{name}"));
    }
    let matched = async |filter: &str| names(server, batch, filter).await;
    for literal in [
        "datetimeoffset'2015-01-02T03:04:05.678Z'",
        "datetimeoffset'2015-01-02T03:04:05.6780000+00:00'",
        "datetimeoffset'2015-01-02T05:04:05.678+02:00'",
        "datetime'2015-01-02T03:04:05.678Z'",
    ] {
        assert_eq!(matched(&format!("updatedAt ge {literal}")).await, "bc", "{literal}");
        assert_eq!(matched(&format!("updatedAt gt {literal}")).await, "c", "{literal}");
        assert_eq!(matched(&format!("updatedAt lt {literal}")).await, "a", "{literal}");
        assert_eq!(matched(&format!("updatedAt le {literal}")).await, "ab", "{literal}");
        assert_eq!(matched(&format!("updatedAt eq {literal}")).await, "b", "{literal}");
    }
    let epoch = "datetimeoffset'1970-01-01T00:00:00.0000000+00:00'";
    assert_eq!(matched(&format!("updatedAt ge {epoch}")).await, "abc");
    let window = "updatedAt ge datetimeoffset'2015-01-02T03:04:05.678Z' and updatedAt lt \
                  datetimeoffset'2015-01-02T03:04:05.679Z'";
    assert_eq!(matched(window).await, "b");

    // A date of the app's own, and a change time read from a row.
    let sent = json!({ "id": format!("{batch}-d"), "batch": batch, "dueAt": "2015-01-02T03:04:05.678Z" });
    let inserted = server.seed(&sent).await;
    assert_eq!(matched("dueAt eq datetimeoffset'2015-01-02T03:04:05.678Z'").await, "d");
    assert_eq!(matched("dueAt lt datetimeoffset'2015-01-02T03:04:05.678Z'").await, "");
    let updated_at = text(&inserted, "updatedAt");
    assert_eq!(matched(&format!("updatedAt eq datetimeoffset'{updated_at}'")).await, "d");
}

/// `id gt` walks in the order of `$orderby=id`, also over ids that need quoting (12.4).
pub async fn ids_are_compared_as_text(server: &ServerUnderTest) {
    let batch = "ids_are_compared_as_text";
    let suffixes = ["", " ", "!", "%", "'", "''", "0", "10", "9", "A", "a", "ü", "世界", "🥛"];
    for suffix in suffixes {
        server.seed(&row(&format!("{batch}{suffix}"), batch)).await;
    }
    let all = server.ids(&[("$filter", &of_batch(batch)), ("$orderby", "id")]).await;
    assert_eq!(all.len(), suffixes.len());
    for (position, id) in all.iter().enumerate() {
        let filter = format!("({}) and id gt '{}'", of_batch(batch), id.replace('\'', "''"));
        let after = server.ids(&[("$filter", &filter), ("$orderby", "id")]).await;
        assert_eq!(after, all[position + 1..], "after {id}");
    }
}

/// Comparisons of every type, and logic with its precedence (cases 99, 101, 102).
pub async fn comparisons_and_logic(server: &ServerUnderTest) {
    let batch = "comparisons_and_logic";
    for (name, words, complete, n, price) in [
        ("a", "apple", true, 1, 0.5),
        ("b", "bread", false, 2, 1.5),
        ("c", "cheese", true, 3, 2.5),
        ("d", "Apple", false, 4, 3.5),
    ] {
        let row = json!({
            "id": format!("{batch}-{name}"), "batch": batch,
            "text": words, "complete": complete, "n": n, "price": price,
        });
        server.seed(&row).await;
    }
    for (filter, wanted) in [
        ("text eq 'apple'", "a"),
        ("text ne 'apple'", "bcd"),
        ("text gt 'apple'", "bc"),
        ("text ge 'bread' and text le 'cheese'", "bc"),
        ("complete eq true", "ac"),
        ("complete eq false", "bd"),
        ("complete ne true", "bd"),
        ("(complete)", "ac"),
        ("n eq 2", "b"),
        ("n gt 2", "cd"),
        ("n le 2", "ab"),
        ("price lt 1.5", "a"),
        ("price ge 1.5", "bcd"),
        ("n eq 1 or n eq 2 and complete eq true", "a"),
        ("(n eq 1 or n eq 2) and complete eq false", "b"),
        ("not (text eq 'apple')", "bcd"),
        ("not (complete eq true or n eq 4)", "b"),
        ("not (n gt 1) or not (n lt 4)", "ad"),
    ] {
        assert_eq!(names(server, batch, filter).await, wanted, "{filter}");
    }
}

/// Case 100. What a comparison or a negation makes of null differs between servers; these do not.
pub async fn null_is_matched_by_name_only(server: &ServerUnderTest) {
    let batch = "null_is_matched_by_name_only";
    for (name, words) in [("a", json!("apple")), ("b", Value::Null), ("c", json!("")), ("d", Value::Null)] {
        server.seed(&json!({ "id": format!("{batch}-{name}"), "batch": batch, "text": words })).await;
    }
    for (filter, wanted) in [
        ("text eq null", "bd"),
        ("text ne null", "ac"),
        ("text eq 'apple'", "a"),
        ("text eq ''", "c"),
        ("text ge ''", "ac"),
        ("(text ne 'apple' or text eq null)", "bcd"),
        ("n eq null", "abcd"),
        ("dueAt ne null", ""),
    ] {
        assert_eq!(names(server, batch, filter).await, wanted, "{filter}");
    }
}

/// Case 104.
pub async fn numbers_of_every_spelling(server: &ServerUnderTest) {
    let batch = "numbers_of_every_spelling";
    let row = json!({ "id": format!("{batch}-a"), "batch": batch, "n": -3, "price": 2.5 });
    server.seed(&row).await;
    let row = json!({ "id": format!("{batch}-b"), "batch": batch, "n": 9007199254740991_i64, "price": 1e10 });
    server.seed(&row).await;
    for (filter, wanted) in [
        ("n eq -3", "a"),
        ("n eq -3L", "a"),
        ("n eq 9007199254740991", "b"),
        ("n eq 9007199254740991L", "b"),
        ("price eq 2.5", "a"),
        ("price eq 2.5M", "a"),
        ("price eq 2.5f", "a"),
        ("price eq 2.5d", "a"),
        ("price eq 1e10", "b"),
        ("price eq 10000000000", "b"),
    ] {
        assert_eq!(names(server, batch, filter).await, wanted, "{filter}");
    }
}

/// Case 99.
pub async fn strings_with_quotes_and_other_languages(server: &ServerUnderTest) {
    let batch = "strings_with_quotes_and_other_languages";
    let strings = ["it's", "''", "100%", "a+b&c=d#e", "\"x\"", "ü-世界-🥛", "a\\b", "(x,y)", "$top=1", "?"];
    for (number, words) in strings.iter().enumerate() {
        let row = json!({ "id": format!("{batch}-{number}"), "batch": batch, "text": words });
        server.seed(&row).await;
    }
    for (number, words) in strings.iter().enumerate() {
        let filter = format!("text eq '{}'", words.replace('\'', "''"));
        assert_eq!(names(server, batch, &filter).await, number.to_string(), "{filter}");
    }
}

/// Case 95.
pub async fn selected_members_only(server: &ServerUnderTest) {
    let id = "selected_members_only";
    let inserted = server.seed(&row(id, id)).await;
    let rows = server.rows(&[("$filter", &of_batch(id)), ("$select", "id,version")]).await;
    assert_eq!(rows, [json!({ "id": id, "version": inserted["version"] })]);
}

/// Case 92 and 94.
pub async fn the_count_ignores_the_page(server: &ServerUnderTest) {
    let batch = "the_count_ignores_the_page";
    for number in 0..4 {
        server.seed(&row(&format!("{batch}-{number}"), batch)).await;
    }
    server.delete(&format!("{batch}-3"), None).await;
    for (deleted, count) in [(None, 3), (Some(("__includeDeleted", "true")), 4)] {
        let filter = of_batch(batch);
        let mut options = vec![("$filter", filter.as_str()), ("$top", "1"), ("$inlinecount", "allpages")];
        options.extend(deleted);
        let answer = server.list(&options).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["count"], count, "{body}");
        assert_eq!(body["results"].as_array().map(Vec::len), Some(1), "{body}");
    }
}

/// Cases 78 to 80.
pub async fn deleted_rows_are_listed_only_when_asked_for(server: &ServerUnderTest) {
    let batch = "deleted_rows_are_listed_only_when_asked_for";
    for name in ["a", "b"] {
        server.seed(&row(&format!("{batch}-{name}"), batch)).await;
    }
    server.delete(&format!("{batch}-a"), None).await;
    let filter = of_batch(batch);
    let listed = async |options: &[(&str, &str)]| {
        let mut all = vec![("$filter", filter.as_str()), ("$orderby", "id")];
        all.extend_from_slice(options);
        server.rows(&all).await.len()
    };
    assert_eq!(listed(&[]).await, 1);
    assert_eq!(listed(&[("__includeDeleted", "true")]).await, 2);
    assert_eq!(listed(&[("__INCLUDEDELETED", "TRUE")]).await, 1);
}

/// Cases 125, 127, 128.
pub async fn options_may_be_encoded_and_unknown_ones_are_ignored(server: &ServerUnderTest) {
    let id = "options_may_be_encoded_and_unknown_ones_are_ignored";
    server.seed(&row(id, id)).await;
    let target = format!("{}?%24filter=%28batch%20eq%20%27{id}%27%29&%24top=5&$foo=1&foo=1&__foo=1", path());
    let answer = server.call(Request::new("GET", target)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json().as_array().map(Vec::len), Some(1), "{}", answer.text());
}

/// Case 122: 400 by the book, 500 by the Node server; never a list.
pub async fn a_broken_filter_is_an_error_and_not_an_empty_list(server: &ServerUnderTest) {
    for filter in ["text eq", "(text eq 'a'", "text eq 'a", "frobnicate(text) eq 'a'", "text zz 'a'"] {
        let answer = server.list(&[("$filter", filter)]).await;
        assert!(matches!(answer.status, 400 | 500), "{filter}: {}", answer.text());
        assert!(answer.json()["error"].is_string(), "{filter}: {}", answer.text());
    }
}

/// The walk of a pull (12.4): blocks of one time that are smaller and larger than a page, deleted rows included.
pub async fn every_row_is_read_once_by_time_and_id(server: &ServerUnderTest) {
    const PAGE: usize = 50;
    let batch = "every_row_is_read_once_by_time_and_id";
    let blocks = [
        (3, "001"),
        (230, "002"),
        (1, "003"),
        (50, "004"),
        (49, "005"),
        (100, "006"),
        (51, "007"),
        (7, "008"),
    ];
    for (count, time) in blocks {
        let time_text = format!("2020-01-01T00:00:00.{time}Z");
        // Ids that run against the order of insertion.
        server.seed_block(batch, count, &time_text, |number| format!("{batch}-{time}-{:03}", 999 - number));
    }
    server.delete(&format!("{batch}-003-999"), None).await;
    let total: usize = blocks.iter().map(|(count, _)| count).sum();

    let page = async |condition: &str, order: &str| {
        let filter = format!("({}) and ({condition})", of_batch(batch));
        let top = PAGE.to_string();
        let options =
            [("$filter", filter.as_str()), ("$orderby", order), ("$top", &top), ("__includeDeleted", "true")];
        server.rows(&options).await
    };
    let mut seen: Vec<(String, String)> = Vec::new();
    let add = |seen: &mut Vec<(String, String)>, rows: &[Value]| {
        for row in rows {
            let row = (text(row, "id").to_owned(), text(row, "version").to_owned());
            if !seen.contains(&row) {
                seen.push(row);
            }
        }
    };
    // Milliseconds of the second in which all rows but the deleted one lie; 0 is before them all.
    let instant = |millisecond: u32| format!("datetimeoffset'2020-01-01T00:00:00.{millisecond:03}Z'");
    let millisecond = |row: &Value| -> u32 {
        let updated_at = text(row, "updatedAt");
        match updated_at.strip_prefix("2020-01-01T00:00:00.") {
            Some(rest) => rest.trim_end_matches('Z').parse().expect("three digits"),
            // The deleted row: later than the whole second.
            None => 999,
        }
    };
    let mut token = 0;
    loop {
        let rows = page(&format!("updatedAt ge {}", instant(token)), "updatedAt,id").await;
        add(&mut seen, &rows);
        let Some(last) = rows.last().map(millisecond) else { break };
        if rows.len() < PAGE {
            break;
        }
        if last > token {
            token = last;
            continue;
        }
        // The whole page lies inside one millisecond: drain it by id.
        let mut after = String::new();
        loop {
            let window =
                format!("updatedAt ge {} and updatedAt lt {}{after}", instant(token), instant(token + 1));
            let rows = page(&window, "id").await;
            add(&mut seen, &rows);
            let Some(last) = rows.last() else { break };
            after = format!(" and id gt '{}'", text(last, "id"));
        }
        token += 1;
    }
    assert_eq!(seen.len(), total);
}

/// The last letters of the ids of a batch that match a filter, in order of id.
async fn names(server: &ServerUnderTest, batch: &str, filter: &str) -> String {
    let filter = format!("({}) and ({filter})", of_batch(batch));
    let ids = server.ids(&[("$filter", &filter), ("$orderby", "id")]).await;
    ids.iter().map(|id| id.rsplit('-').next().unwrap_or_default()).collect()
}
