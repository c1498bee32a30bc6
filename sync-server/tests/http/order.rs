//! Change times rise in the order in which readers can see the changes.

use super::*;

fn times(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["updatedAt"].as_str().expect("a time").to_owned()).collect()
}

#[tokio::test]
async fn case_129_131_times_are_distinct_and_rise_also_across_a_restart() {
    let f = Fixture::with(ServerConfig::default()).await;
    let inserts = (0..120).map(|n| {
        let f = &f;
        async move { f.insert(&json!({"id": format!("r{n:03}"), "n": n})).await }
    });
    join_all(inserts).await;
    let before = times(f.list("$orderby=updatedAt&$top=1000").await.rows());
    assert_eq!(before.len(), 120);
    assert!(before.windows(2).all(|pair| pair[0] < pair[1]));

    let Fixture { running, client, dir } = f;
    running.shutdown().await.expect("stops");
    let running = open(&dir.path().join("server.db"), ServerConfig::default()).await;
    let f = Fixture { running, client, dir };
    let after = f.insert(&json!({"id": "later"})).await;
    assert!(after.json["updatedAt"].as_str() > before.last().map(String::as_str));
    assert_eq!(f.list("$top=1000").await.rows().len(), 121);
}

/// The classic client's algorithm (`ge` the greatest time seen, `$skip` inside one time) over small pages.
#[tokio::test]
async fn case_129_an_incremental_pull_gets_each_row() {
    let f = Fixture::with(ServerConfig::default()).await;
    f.fill(60).await;
    let (mut token, mut skip, mut seen) = ("1970-01-01T00:00:00.000Z".to_owned(), 0, Vec::new());
    loop {
        let filter = format!("$filter=(updatedAt%20ge%20datetimeoffset'{token}')");
        let page =
            f.list(&format!("{filter}&$orderby=updatedAt&$skip={skip}&$top=7&__includeDeleted=true")).await;
        let Some(last) = times(page.rows()).pop() else { break };
        for id in page.ids() {
            if !seen.iter().any(|known| known == id) {
                seen.push(id.to_owned());
            }
        }
        if last > token {
            (token, skip) = (last, 0);
        } else {
            skip += page.rows().len();
        }
    }
    assert_eq!(seen, (0..60).map(|n| format!("r{n:03}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_132_no_row_appears_below_a_time_already_served() {
    let f = Arc::new(Fixture::with(ServerConfig::default()).await);
    let writing = Arc::new(AtomicBool::new(true));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (f, writing) = (Arc::clone(&f), Arc::clone(&writing));
            tokio::spawn(async move {
                let (mut known, mut greatest) = (std::collections::HashMap::new(), String::new());
                let mut last_round = false;
                loop {
                    let page = f.list("$orderby=updatedAt&$top=1000&__includeDeleted=true").await;
                    let mut next = greatest.clone();
                    for row in page.rows() {
                        let (id, time) = (row["id"].to_string(), times(std::slice::from_ref(row)).remove(0));
                        if known.get(&id) != Some(&time) {
                            assert!(time > greatest, "{id} appeared at {time}, after {greatest} was served");
                            next = next.max(time.clone());
                            known.insert(id, time);
                        }
                    }
                    greatest = next;
                    if last_round {
                        return known.len();
                    }
                    last_round = !writing.load(Ordering::SeqCst);
                }
            })
        })
        .collect();
    let writers = (0..6).map(|writer| {
        let f = &f;
        async move {
            for n in 0..10 {
                let id = format!("w{writer}-{n}");
                f.insert(&json!({"id": id, "n": n})).await;
                match n % 3 {
                    0 => f.patch(&id, &json!({"n": -n}), &[]).await.assert_row(200),
                    1 => f.delete(&id, &[]).await.assert_row(200),
                    _ => continue,
                };
            }
        }
    });
    join_all(writers).await;
    writing.store(false, Ordering::SeqCst);
    for reader in readers {
        assert_eq!(reader.await.expect("no assertion failed"), 60);
    }
}
