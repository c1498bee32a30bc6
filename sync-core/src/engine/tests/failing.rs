//! A store that fails in the middle of a push or a pull (P-20e, L-25): nothing is half done, and the next call goes on.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::operation::{Operation, OperationError, OperationKey};
use crate::store::{
    Applied, Exchanged, LocalStore, OpenConflict, OtherAccount, Owner, PullBatch, PullEnd, PullScope,
    PullStart, Purge, Purged, PushSession, QuarantinedRow, ResolutionRecord,
};

/// A memory store whose n-th step of a push or a pull fails, once.
struct Failing {
    store: MemoryStore,
    steps: AtomicUsize,
    at: usize,
}

impl Failing {
    fn at(at: usize) -> Self {
        Self { store: MemoryStore::new([&TODO, &LIST]), steps: AtomicUsize::default(), at }
    }

    fn has_failed(&self) -> bool {
        self.steps.load(Ordering::SeqCst) > self.at
    }

    fn may_go_on(&self) -> Result<()> {
        if self.steps.fetch_add(1, Ordering::SeqCst) == self.at {
            return Err(Error::new(ErrorKind::Store, "no room"));
        }
        Ok(())
    }
}

impl LocalStore for Failing {
    type Lease = <MemoryStore as LocalStore>::Lease;

    async fn lease(&self, wait: bool) -> Result<Self::Lease> {
        self.store.lease(wait).await
    }

    async fn owner(&self) -> Result<Option<Owner>> {
        self.store.owner().await
    }

    async fn claim(&self, owner: Owner, answer: OtherAccount) -> Result<u64> {
        self.store.claim(owner, answer).await
    }

    fn tables(&self) -> &[&'static TableSchema] {
        self.store.tables()
    }

    async fn write(&self, changes: Vec<LocalChange>) -> Result<()> {
        self.store.write(changes).await
    }

    async fn get(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        self.store.get(table, id).await
    }

    async fn select(&self, predicate: Predicate) -> Result<Vec<Row>> {
        self.store.select(predicate).await
    }

    async fn shadow(&self, table: &'static TableSchema, id: &str) -> Result<Option<Row>> {
        self.store.shadow(table, id).await
    }

    async fn pending(&self, table: Option<&'static TableSchema>) -> Result<u64> {
        self.store.pending(table).await
    }

    async fn operations(&self, table: Option<&'static TableSchema>) -> Result<Vec<Operation>> {
        self.store.operations(table).await
    }

    async fn errors(&self, table: Option<&'static TableSchema>) -> Result<Vec<OperationError>> {
        self.may_go_on()?;
        self.store.errors(table).await
    }

    async fn begin_push(&self) -> Result<PushSession> {
        self.may_go_on()?;
        self.store.begin_push().await
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged> {
        self.may_go_on()?;
        self.store.exchange(exchange).await
    }

    async fn begin_pull(&self, scope: PullScope) -> Result<PullStart> {
        self.may_go_on()?;
        self.store.begin_pull(scope).await
    }

    async fn apply_pages(&self, batch: PullBatch) -> Result<Applied> {
        self.may_go_on()?;
        self.store.apply_pages(batch).await
    }

    async fn finish_pull(&self, end: PullEnd) -> Result<Applied> {
        self.may_go_on()?;
        self.store.finish_pull(end).await
    }

    async fn quarantine(&self, table: Option<&'static TableSchema>) -> Result<Vec<QuarantinedRow>> {
        self.store.quarantine(table).await
    }

    async fn reset_token(&self, table: &'static TableSchema, query_id: Option<&str>) -> Result<()> {
        self.store.reset_token(table, query_id).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.store.purge(purge).await
    }

    async fn conflicts(&self, table: Option<&'static TableSchema>) -> Result<Vec<OpenConflict>> {
        self.store.conflicts(table).await
    }

    async fn resolve(&self, key: OperationKey, resolution: Resolution, by: Resolver) -> Result<()> {
        self.store.resolve(key, resolution, by).await
    }

    async fn resolutions(&self) -> Result<Vec<ResolutionRecord>> {
        self.store.resolutions().await
    }

    async fn setting(&self, key: &str) -> Result<Option<String>> {
        self.store.setting(key).await
    }

    async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.may_go_on()?;
        self.store.set_setting(key, value).await
    }
}

fn device(server: &Arc<Server>, at: usize) -> Engine<Failing> {
    let requests = RequestBuilder::new(Endpoint::parse("http://model").expect("valid"), server.dialect);
    let profile = ServerProfile::conservative();
    Engine::new(Arc::new(Failing::at(at)), Arc::new(Arc::clone(server)), Arc::new(NoWait), requests, profile)
}

#[tokio::test]
async fn p_20e_a_store_that_fails_stops_the_push_and_the_next_one_goes_on() {
    for window in [1, 8, 32] {
        let mut failures = 0;
        for at in 0.. {
            let server = Server::of(Dialect::MobileApps);
            let device = device(&server, at);
            for number in 0..5 {
                let kind = LocalChangeKind::Insert(row(&number.to_string(), "x"));
                device.store().write(vec![LocalChange { table: &TODO, kind }]).await.expect("written");
            }
            // P-02: of a table that is not pushed.
            let kind = LocalChangeKind::Insert(row("l", "x"));
            device.store().write(vec![LocalChange { table: &LIST, kind }]).await.expect("written");
            let options = || PushOptions { window, tables: vec![TODO.name.into()], ..PushOptions::default() };
            let outcome = device.push(options()).await;
            if !device.store().has_failed() {
                outcome.expect("nothing failed");
                break;
            }
            failures += 1;
            let error = outcome.expect_err("the store failed");
            assert_eq!(error.kind(), ErrorKind::Store, "window {window}, step {at}");
            let requests = server.count();
            let report = error.push_report();
            assert!(report.is_some() || requests == 0, "what was sent is told: window {window}, step {at}");
            let pending = device.store().pending(Some(&TODO)).await.expect("counted");
            if let Some(report) = report {
                assert_eq!(report.status, PushStatus::LocalStore);
                assert_eq!((report.completed, report.remaining), (5 - pending, pending));
            }
            // A row has its version exactly when its operation is gone.
            let rows = device.store().select(Predicate::all(&TODO)).await.expect("rows");
            assert_eq!(rows.iter().filter(|row| row.version.is_none()).count() as u64, pending);

            let report = device.push(options()).await.expect("the store works again");
            assert_eq!((report.completed, report.remaining), (pending, 0));
            let commits = server.with(|state| (state.rows.len(), state.commits));
            assert_eq!(commits, (5, 5), "window {window}, step {at}: nothing is done twice");
        }
        assert!(failures >= 2, "a push has steps");
    }
}

#[tokio::test]
async fn l_25_a_store_that_fails_in_the_middle_of_a_pull_loses_nothing() {
    let mut failures = 0;
    for at in 0.. {
        let server = Server::of(Dialect::MobileApps);
        for number in 0..6 {
            server.seed(json!({ "id": number.to_string(), "text": "x" }));
        }
        let device = device(&server, at);
        let request = || PullRequest { page_size: 2, ..pull_all() };
        let outcome = device.pull(request()).await;
        if !device.store().has_failed() {
            outcome.expect("nothing failed");
            break;
        }
        failures += 1;
        let error = outcome.expect_err("the store failed");
        assert_eq!(
            (error.kind(), error.table(), error.query_id()),
            (ErrorKind::Store, Some("Todo"), Some("all"))
        );
        // I-4: whatever was stored, no row is behind the token.
        device.pull(request()).await.expect("the store works again");
        let rows = device.store().select(Predicate::all(&TODO)).await.expect("rows");
        assert_eq!(rows.len(), 6, "step {at}");
    }
    assert!(failures >= 3, "a pull has steps");
}
