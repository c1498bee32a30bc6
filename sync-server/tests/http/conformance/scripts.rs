//! Cases of more than one request whose next step depends on the answer before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

pub(super) type Script = fn(Dialect) -> BoxFuture<'static, ()>;

/// The numbers, the dialects they apply to, and what is done in each.
pub(super) type Numbered = (&'static [u16], &'static [Dialect], Script);

pub(super) const SCRIPTS: &[Numbered] = &[
    (&[2], &[Dialect::MobileServices], |dialect| Box::pin(strict_versions(dialect))),
    (&[23, 54], &Dialect::ALL, |dialect| Box::pin(a_column_named_version(dialect))),
    (&[33], &Dialect::ALL, |dialect| Box::pin(ids_by_case(dialect))),
    (&[64], &Dialect::ALL, |dialect| Box::pin(two_writers(dialect))),
    (&[77], &Dialect::ALL, |dialect| Box::pin(undeleted_rows_are_pulled(dialect))),
    (&[83, 86, 87], &[Dialect::MobileApps, Dialect::Datasync], |dialect| Box::pin(next_links(dialect))),
    (&[119], &[Dialect::Datasync], |dialect| Box::pin(casts_of_dates_and_uuids(dialect))),
    (&[131], &Dialect::ALL, |dialect| Box::pin(a_thousand_writes(dialect))),
    (&[129, 130, 133], &Dialect::ALL, |dialect| Box::pin(pulls(dialect))),
    (&[132], &Dialect::ALL, |dialect| Box::pin(concurrent_writers(dialect))),
    (&[142], &Dialect::ALL, |dialect| Box::pin(compressed_answers(dialect))),
    (&[141], &Dialect::ALL, |dialect| Box::pin(cross_origin(dialect))),
    (&[145], &Dialect::ALL, |dialect| Box::pin(one_row_three_faces(dialect))),
];

/// The scripts of every file.
pub(super) fn all() -> impl Iterator<Item = &'static Numbered> {
    SCRIPTS.iter().chain(callers::SCRIPTS)
}

impl Bench {
    pub(super) async fn expect(&self, request: &str, cell: &str) -> Answer {
        let answer = self.send(request).await;
        if let Err(fault) = (Judge { bench: self, answer: &answer }).check(cell) {
            panic!("{} {request}\n  expected {cell}\n  found {fault}\n  {}", name(self.dialect), answer.text);
        }
        answer
    }

    /// The request that changes the row, and its body.
    fn update(&self, id: &str, text: &str) -> String {
        let method = if self.dialect == Dialect::Datasync { "PUT" } else { "PATCH" };
        format!("{method} T/{id}\nif-match: \"{{V}}\"\n\n{{\"id\":\"{id}\",\"text\":\"{text}\"}}")
    }

    fn instant(&self, text: &str) -> String {
        match self.dialect {
            Dialect::Datasync => format!("cast({text},Edm.DateTimeOffset)"),
            _ => format!("datetimeoffset'{text}'"),
        }
    }
}

fn list_of(answer: &Answer) -> Vec<Value> {
    let list =
        [&answer.json, &answer.json["results"], &answer.json["items"]].into_iter().find_map(Value::as_array);
    list.unwrap_or_else(|| panic!("no list: {}", answer.text)).clone()
}

fn text_of<'r>(row: &'r Value, member: &str) -> &'r str {
    row[member].as_str().unwrap_or_else(|| panic!("no {member}: {row}"))
}

async fn strict_versions(dialect: Dialect) {
    let config = ServerConfig { dialect: Some(dialect), refuse_versions: true, ..ServerConfig::default() };
    let mut bench = Bench::new(Seed::Pair, dialect, false).await;
    bench.fixture = bench.fixture.reopen(config).await;
    bench.expect("GET T", "200 array").await;
    for version in ["1.0.0", "2.0.0", "2.0.7", "2.0", "3.0.0", ""] {
        bench.expect(&format!("GET T\nzumo-api-version: {version}"), "400 text").await;
    }
    bench.expect("GET T?ZUMO-API-VERSION=2.0.0", "400 text").await;
}

static VERSIONED: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[ColumnSchema::new("version", ColumnType::Text).with_nullable(true)],
    versioned: true,
    keep_deleted: true,
};

/// In v1 `version` is a name like any other; a table with such a column can be served in v1 alone.
async fn a_column_named_version(dialect: Dialect) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = ServerConfig { dialect: Some(dialect), ..ServerConfig::default() };
    let server = Server::builder([&VERSIONED]).config(config).open(dir.path().join("server.db")).await;
    if dialect != Dialect::MobileServices {
        let error = server.expect_err("the name is taken");
        assert_eq!(error.kind(), ServerErrorKind::Configuration);
        return;
    }
    let running = server.expect("opens").start("127.0.0.1:0").await.expect("starts");
    let fixture = Fixture { running, client: client(), dir };
    let (version, old, deleted) = Default::default();
    let bench = Bench { fixture, dialect, version, old, deleted };
    bench.expect("POST T\n\n{\"id\":\"a\",\"version\":\"Zm9v\"}", "201 /version=\"Zm9v\"").await;
    bench.expect("PATCH T/a\n\n{\"version\":\"OLD\"}", "200 members=id,version /version=\"OLD\"").await;
    bench
        .expect(
            "GET T?$filter=version eq 'OLD'&__systemProperties=version",
            "200 members=id,version,__version",
        )
        .await;
}

/// Ids are compared exactly.
async fn ids_by_case(dialect: Dialect) {
    let bench = Bench::new(Seed::Pair, dialect, false).await;
    bench.expect("POST T\n\n{\"id\":\"Case\",\"text\":\"upper\"}", "201").await;
    bench.expect("POST T\n\n{\"id\":\"case\",\"text\":\"lower\"}", "201").await;
    bench.expect("GET T/Case", "200 /text=\"upper\"").await;
    bench.expect("GET T/case", "200 /text=\"lower\"").await;
    bench.expect("GET T/CASE", "404").await;
}

async fn two_writers(dialect: Dialect) {
    let bench = Bench::new(Seed::Pair, dialect, false).await;
    let (first, second) = (bench.update("a", "one"), bench.update("a", "two"));
    let (first, second) = futures_util::future::join(bench.send(&first), bench.send(&second)).await;
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{}", name(dialect));
}

async fn undeleted_rows_are_pulled(dialect: Dialect) {
    let bench = Bench::new(Seed::Pair, dialect, false).await;
    let updated = dialect.names().updated_at;
    let list = "GET T?__includeDeleted=true&__systemProperties=*&$orderby=";
    let before = list_of(&bench.expect(&format!("{list}{updated}"), "200 ids=a,d").await);
    let token = text_of(&before[1], updated).to_owned();
    match dialect {
        Dialect::MobileServices => bench.expect("POST T/d", "200").await,
        Dialect::MobileApps => bench.expect("POST T/d", "201").await,
        _ => bench.expect("PATCH T/d\n\n{\"deleted\":false}", "200").await,
    };
    let filter = format!("{list}{updated}&$filter={updated} gt {}", bench.instant(&token));
    let after = list_of(&bench.expect(&filter, "200 ids=d").await);
    assert_eq!(after[0][dialect.names().deleted], false);
}

/// The query of the next page.
fn next_query(bench: &Bench, answer: &Answer) -> Option<String> {
    let link = match bench.dialect {
        Dialect::Datasync => answer.json["nextLink"].as_str()?.to_owned(),
        _ => {
            let url = answer.header("link")?.strip_suffix("; rel=next").expect("the bare form").to_owned();
            let base = format!("{}{T}?", bench.fixture.running.url());
            url.strip_prefix(&base).expect("a full address").to_owned()
        }
    };
    assert!(!link.starts_with(['/', '?']), "{link}");
    Some(link)
}

async fn next_links(dialect: Dialect) {
    let bench = Bench::new(Seed::Many(120), dialect, false).await;
    let follow = async |query: &str| {
        let (mut sizes, mut ids, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Some(query.to_owned());
        while let Some(query) = next {
            let answer = bench.expect(&format!("GET T?{query}"), "200").await;
            let rows = list_of(&answer);
            sizes.push(rows.len());
            ids.extend(rows.iter().map(|row| text_of(row, "id").to_owned()));
            counts.push(answer.json["count"].clone());
            next = next_query(&bench, &answer);
        }
        (sizes, ids, counts)
    };
    let expected: Vec<String> = (0..120).map(|n| format!("r{n:03}")).collect();
    let sizes = if dialect == Dialect::Datasync { vec![100, 20] } else { vec![50, 50, 20] };
    assert_eq!(follow("").await, (sizes.clone(), expected.clone(), vec![Value::Null; sizes.len()]));

    bench.fixture.delete("r010", &[]).await.assert_row(200);
    let count = if dialect == Dialect::Datasync { "$count=true" } else { "$inlinecount=allpages" };
    let query = format!("$filter=n lt 110&$orderby=n desc,text&__includeDeleted=true&{count}&foo=a;b");
    let (sizes, ids, counts) = follow(&query).await;
    assert_eq!(sizes.iter().sum::<usize>(), 110);
    assert_eq!(ids, expected[..110].iter().rev().cloned().collect::<Vec<_>>());
    assert!(counts.iter().all(|count| *count == 110), "{counts:?}");

    if dialect == Dialect::Datasync {
        // What is left of `$top` goes with the link.
        let (sizes, ids, _) = follow("$top=110").await;
        assert_eq!((sizes, ids.len()), (vec![100, 10], 110));
        bench
            .expect("GET T\nx-zumo-options: nextLink=path", "200 /nextLink=\"/tables/TodoItem?$skip=100\"")
            .await;
    }
}

/// The pull of each generation's own clients over rows written at once, stopped after a page and taken up again
/// behind a restart; with change times that only rise and are found by their own text.
async fn pulls(dialect: Dialect) {
    let mut bench = Bench::new(Seed::Many(0), dialect, false).await;
    let inserts = (0..120).map(|n| {
        let bench = &bench;
        async move { bench.expect(&format!("POST T\n\n{{\"id\":\"r{n:03}\",\"n\":{n}}}"), "201").await }
    });
    join_all(inserts).await;
    let names = dialect.names();
    let updated = names.updated_at;
    let (comparison, top) =
        if dialect == Dialect::Datasync { ("gt", "") } else { ("ge", "&$top=50&$skip=SKIP") };
    let (mut token, mut skip, mut link) = ("1970-01-01T00:00:00.000Z".to_owned(), 0, None::<String>);
    let (mut seen, mut times) = (BTreeSet::new(), Vec::new());
    for page in 0.. {
        if page == 1 {
            // Only the token is left after a restart.
            bench.fixture = bench.fixture.reopen(ServerConfig::default()).await;
            (skip, link) = (0, None);
        }
        let query = link.take().unwrap_or_else(|| {
            format!(
                "$filter=({updated} {comparison} {})&$orderby={updated}&__includeDeleted=true\
                 &__systemProperties=*{}",
                bench.instant(&token),
                top.replace("SKIP", &skip.to_string())
            )
            .replace(
                "__systemProperties=*",
                if dialect == Dialect::MobileServices { "__systemProperties=*" } else { "x=y" },
            )
        });
        let answer = bench.expect(&format!("GET T?{query}"), "200").await;
        let rows = list_of(&answer);
        let Some(last) = rows.last() else { break };
        let last = text_of(last, updated).to_owned();
        for row in &rows {
            if seen.insert(text_of(row, "id").to_owned()) {
                times.push(text_of(row, updated).to_owned());
            }
        }
        skip = if last > token { 0 } else { skip + rows.len() };
        token = last;
        if dialect == Dialect::Datasync {
            link = next_query(&bench, &answer);
        }
    }
    assert_eq!(seen.len(), 120, "{}", name(dialect));
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{}", name(dialect));
    for time in times.iter().step_by(40) {
        assert!(time.len() == 24 && time.as_bytes()[19] == b'.' && time.ends_with('Z'), "{time}");
        let found = format!("GET T?$filter={updated} eq {}", bench.instant(time));
        bench.expect(&found, "200 rows=1").await;
    }
    let system = if dialect == Dialect::MobileServices { "?__systemProperties=updatedAt" } else { "" };
    let later = bench.expect(&format!("POST T{system}\n\n{{\"id\":\"later\"}}"), "201").await;
    assert!(text_of(&later.json, updated) > times[119].as_str());
}

/// Change times rise over a thousand writes of several writers at once, a restart, and a clock that jumps back by
/// hours again and again, ahead by one, and stands still.
async fn a_thousand_writes(dialect: Dialect) {
    const WRITERS: usize = 32;
    let clock = Arc::new(AtomicUsize::new(0));
    let open = |path: &Path| {
        let clock = Arc::clone(&clock);
        let start = chrono::Utc::now();
        let now = move || {
            // Asked once a change.
            let hours = [0, -3, -3, 1, 1, 0, -7][clock.fetch_add(1, Ordering::Relaxed) / 50 % 7];
            start + chrono::TimeDelta::hours(hours)
        };
        let builder = Server::builder([&TODO]).clock(now);
        let path = path.join("server.db");
        async move { builder.open(path).await.expect("opens").start("127.0.0.1:0").await.expect("starts") }
    };
    let dir = tempfile::tempdir().expect("a directory");
    let running = open(dir.path()).await;
    let fixture = Fixture { running, client: client(), dir };
    let (version, old, deleted) = Default::default();
    let mut bench = Bench { fixture, dialect, version, old, deleted };
    let names = dialect.names();
    let updated = names.updated_at;
    // Each writer's answers are in the order of its requests; that of all of them is the order of versions.
    let mut stamps: Vec<(String, String)> = Vec::new();
    for half in 0..2 {
        let writers = (0..WRITERS).map(|writer| {
            let bench = &bench;
            async move {
                let mut stamps = Vec::new();
                for n in (writer..500).step_by(WRITERS) {
                    let id = format!("{half}-{n:03}");
                    let insert = format!("POST T?__systemProperties=*\n\n{{\"id\":\"{id}\",\"n\":{n}}}");
                    let answer = bench.expect(&insert, "201 etag").await.json;
                    let text = |member: &str| text_of(&answer, member).to_owned();
                    stamps.push((text(names.version), text(updated)));
                }
                assert!(stamps.windows(2).all(|pair| pair[0].1 < pair[1].1), "of one writer");
                stamps
            }
        });
        let mut written: Vec<_> = join_all(writers).await.into_iter().flatten().collect();
        // Versions are base64 of a counter of eight bytes.
        written.sort_by_key(|(version, _)| STANDARD.decode(version).expect("base64"));
        stamps.extend(written);
        let Fixture { running, client, dir } = bench.fixture;
        running.shutdown().await.expect("stops");
        let running = open(dir.path()).await;
        bench.fixture = Fixture { running, client, dir };
    }
    assert_eq!(stamps.len(), 1000);
    assert!(clock.load(Ordering::Relaxed) >= 1000, "each change asked the clock");
    for pair in stamps.windows(2) {
        assert!(pair[0].1 < pair[1].1, "{}: {pair:?}", name(dialect));
    }
}

static TYPED: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        ColumnSchema::new("owner", ColumnType::Uuid).with_nullable(true),
        ColumnSchema::new("day", ColumnType::DateTime).with_nullable(true),
    ],
    versioned: true,
    keep_deleted: true,
};

async fn casts_of_dates_and_uuids(dialect: Dialect) {
    let fixture = Fixture::of(Server::builder([&TYPED])).await;
    let (version, old, deleted) = Default::default();
    let bench = Bench { fixture, dialect, version, old, deleted };
    let uuid = "9e4b6f2c-5a3f-4b7e-9a51-6b0c7a1f4f10";
    for (id, owner, day) in
        [("a", uuid, "1994-10-14"), ("b", "00000000-0000-0000-0000-000000000000", "1994-10-15")]
    {
        let body = format!("{{\"id\":\"{id}\",\"owner\":\"{owner}\",\"day\":\"{day}T00:00:00Z\"}}");
        bench.expect(&format!("POST T\n\n{body}"), "201").await;
    }
    for literal in [format!("cast({uuid},Edm.Guid)"), uuid.to_uppercase(), format!("'{uuid}'")] {
        bench.expect(&format!("GET T?$filter=owner eq {literal}"), "200 ids=a").await;
        bench.expect(&format!("GET T?$filter=owner ne {literal}"), "200 ids=b").await;
    }
    bench.expect(&format!("GET T?$filter=owner in (cast({uuid},Edm.Guid))"), "200 ids=a").await;
    bench.expect("GET T?$filter=day eq cast(1994-10-14,Edm.Date)", "200 ids=a").await;
    bench.expect("GET T?$filter=day gt cast(1994-10-14,Edm.Date)", "200 ids=b").await;
    bench.expect("GET T?$filter=owner eq cast(1994-10-14,Edm.Date)", "400 error").await;
    // An instant is no time of day: there is nothing such a literal could be compared with.
    bench.expect("GET T?$filter=day eq cast(07:14:00,Edm.TimeOfDay)", "400 error").await;
}

/// While writers write, a reader never sees a new row below a time it was served before.
async fn concurrent_writers(dialect: Dialect) {
    let bench = Bench::new(Seed::Many(0), dialect, false).await;
    let updated = dialect.names().updated_at;
    let write = async {
        let writers = (0..4).map(|writer| {
            let bench = &bench;
            async move {
                for n in 0..10 {
                    bench.expect(&format!("POST T\n\n{{\"id\":\"w{writer}-{n}\"}}"), "201").await;
                }
            }
        });
        join_all(writers).await;
    };
    let read = async {
        let (mut greatest, mut seen) = (String::new(), BTreeSet::new());
        while seen.len() < 40 {
            let list = format!("GET T?$orderby={updated}&$top=100&__systemProperties=*");
            let list = if dialect == Dialect::MobileServices {
                list
            } else {
                list.replace("&__systemProperties=*", "")
            };
            let before = greatest.clone();
            for row in list_of(&bench.expect(&list, "200").await) {
                if seen.insert(text_of(&row, "id").to_owned()) {
                    let time = text_of(&row, updated);
                    assert!(time > before.as_str(), "{} {time} after {before}", name(dialect));
                    greatest = greatest.max(time.to_owned());
                }
            }
        }
    };
    futures_util::future::join(write, read).await;
}

async fn cross_origin(dialect: Dialect) {
    let bench = Bench::new(Seed::Pair, dialect, false).await;
    let origin = "origin: http://localhost:3000";
    let preflight = bench
        .expect(
            &format!("OPTIONS T\n{origin}\naccess-control-request-method: PATCH"),
            "200|204 allow=GET,POST,PATCH,PUT,DELETE",
        )
        .await;
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:3000"));
    let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
    assert!(
        ["GET", "POST", "PATCH", "PUT", "DELETE"].iter().all(|method| methods.contains(method)),
        "{methods}"
    );
    let answer = bench.expect(&format!("GET T/a\n{origin}"), "200").await;
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.contains("Link") && exposed.contains("ETag"), "{exposed}");
    let foreign = bench.expect("GET T/a\norigin: https://example.com", "200").await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

/// A row written in this dialect is the same row in the others.
async fn one_row_three_faces(dialect: Dialect) {
    let mut bench = Bench::new(Seed::Pair, dialect, false).await;
    bench
        .expect("POST T\n\n{\"id\":\"one\",\"text\":\"t\",\"when\":\"2015-01-02T03:04:05.678Z\"}", "201")
        .await;
    let mut faces = BTreeSet::new();
    for dialect in Dialect::ALL {
        bench.dialect = dialect;
        let row = bench.expect("GET T/one?__systemProperties=*", "200 row").await.json;
        let names = dialect.names();
        let members = ["id", "text", "when", names.updated_at, names.version];
        faces.insert(members.map(|member| text_of(&row, member).to_owned()));
        assert_eq!(row[names.deleted], false);
    }
    assert_eq!(faces.len(), 1, "{faces:?}");
}

/// A list and a row in gzip, as one client asks for it and another does not.
async fn compressed_answers(dialect: Dialect) {
    let bench = Bench::new(Seed::Many(30), dialect, false).await;
    let long = "milk ".repeat(400);
    bench.expect(&format!("POST T\n\n{{\"id\":\"long\",\"text\":\"{long}\"}}"), "201").await;
    for path in ["GET T?__systemProperties=*", "GET T/long?__systemProperties=*"] {
        let plain = bench.expect(&format!("{path}\naccept-encoding: identity"), "200").await;
        assert_eq!(plain.header("content-encoding"), None);
        let packed = bench.expect(&format!("{path}\naccept-encoding: gzip"), "200").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.header("vary").is_some_and(|vary| vary.contains("accept-encoding")));
        assert_eq!(packed.header("etag"), plain.header("etag"), "strong, and the version");
        assert_eq!(packed.bytes[..2], [0x1f, 0x8b], "the magic number of gzip");
        assert!(packed.bytes.len() < plain.bytes.len() / 4, "{} bytes", packed.bytes.len());
        let decoded = bench.expect(path, "200").await;
        assert_eq!(decoded.text, plain.text, "{path}");
    }
    let tag = bench.expect("GET T/long?__systemProperties=*\naccept-encoding: gzip", "200").await;
    assert!(tag.header("etag").is_some_and(|tag| tag.starts_with('"')));
    let small = bench.expect("GET T/r001?__systemProperties=*\naccept-encoding: gzip", "200 row").await;
    assert_eq!(small.header("content-encoding"), None);
    let mut bench = bench;
    bench.fixture =
        bench.fixture.reopen(ServerConfig { compression: false, ..ServerConfig::default() }).await;
    let plain = bench.expect("GET T\naccept-encoding: gzip", "200").await;
    assert_eq!(plain.header("content-encoding"), None);
}
