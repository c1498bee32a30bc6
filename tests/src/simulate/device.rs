//! A device: an app with its database and its engine, and the call it is in.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sync_core::conflict::{Conflict, Decision};
use sync_core::engine::{Engine, PullReport, PullRequest, PushOptions, PushReport, Resolved};
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::profile::ServerProfile;
use sync_core::protocol::{Endpoint, RequestBuilder};
use sync_core::store::{ConflictPolicy, OtherAccount, Owner, Purge, Purged, Resolution};

use super::follower::Follower;
use super::history::{DeviceSetting, Handler, Setting};
use super::ledger::Ledger;
use super::model::{FIRST_TABLES, TABLES, Tables};
use super::server::{Clock, Key, Stored, version_number};
use super::store::{Database, SimStore};
use super::world::{Network, VirtualTimer, World};

const ADDRESS: &str = "http://server.test";

/// How a call ended.
#[derive(Debug)]
pub(super) enum Done {
    Push(Result<PushReport>),
    Pull(Result<PullReport>),
    Resolve(Result<Resolved>),
    Purge(Result<Purged>),
    Reset(Result<()>),
}

impl Done {
    /// The error, if it was none of those that tell of the network or of conflicts.
    pub(super) fn bug(&self) -> Option<String> {
        let error = self.error()?;
        let is_known = matches!(
            error.kind(),
            ErrorKind::Network
                | ErrorKind::Unauthorized
                | ErrorKind::ServerBusy
                | ErrorKind::Refused
                | ErrorKind::InvalidResponse
                | ErrorKind::InvalidQuery
                | ErrorKind::PushFailed
                | ErrorKind::Aborted
                | ErrorKind::Cancelled
                | ErrorKind::PendingOperations
        );
        (!is_known).then(|| format!("a call failed with {:?}: {error}", error.kind()))
    }

    pub(super) fn error(&self) -> Option<&Error> {
        match self {
            Self::Push(result) => result.as_ref().err(),
            Self::Pull(result) => result.as_ref().err(),
            Self::Resolve(result) => result.as_ref().err(),
            Self::Purge(result) => result.as_ref().err(),
            Self::Reset(result) => result.as_ref().err(),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(Ok(report)) => {
                write!(f, "push done: {} sent, {} completed", report.sent, report.completed)
            }
            Self::Pull(Ok(report)) => write!(f, "pull done: {:?}", report.rows),
            Self::Resolve(Ok(resolved)) => {
                write!(f, "{} resolved, {} left", resolved.resolved, resolved.left.len())
            }
            Self::Purge(Ok(purged)) => write!(f, "{purged:?}"),
            Self::Reset(Ok(())) => f.write_str("token forgotten"),
            failed => match failed.error() {
                Some(error) => write!(f, "failed: {:?}: {error}", error.kind()),
                None => Ok(()),
            },
        }
    }
}

/// What a call asks for.
pub(super) enum Call {
    Push(PushOptions),
    Pull(PullRequest),
    Resolve(ConflictPolicy),
    Unpark,
    Purge(Purge),
    Reset(usize, &'static str),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(options) => write!(f, "pushes {:?}, window {}", options.tables, options.window),
            Self::Pull(request) => write!(
                f,
                "pulls {} as {:?}, {} a page",
                request.predicate.table.name, request.query_id, request.page_size
            ),
            Self::Resolve(policy) => write!(f, "decides: {policy:?}"),
            Self::Unpark => f.write_str("sends again what it parked"),
            Self::Purge(purge) => write!(f, "purges {}", purge.predicate.table.name),
            Self::Reset(_, query) => write!(f, "forgets the token of {query}"),
        }
    }
}

/// The rows that a pull must have brought when it succeeds: as the server had them when it began.
pub(super) type Expected = Vec<(Key, Stored)>;

struct Awake(AtomicBool);

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A call under way.
struct Task {
    future: Pin<Box<dyn Future<Output = Done> + Send>>,
    awake: Arc<Awake>,
    expected: Expected,
}

/// See the [module documentation](self).
pub(super) struct Device {
    pub(super) number: usize,
    pub(super) setting: DeviceSetting,
    pub(super) database: Database,
    /// The tables of the app's release.
    pub(super) tables: Tables,
    /// The file; `None` for a store in memory.
    file: Option<PathBuf>,
    account: u32,
    store: SimStore,
    engine: Option<Arc<Engine<SimStore>>>,
    task: Option<Task>,
    follower: Option<Follower>,
    /// Whether a call ran since the follower looked.
    has_run: bool,
}

/// A conflict handler that decides now this way, now that, by what it sees.
fn fickle(conflict: &Conflict) -> Result<Decision> {
    let version = conflict.remote.as_ref().and_then(|remote| remote.version.as_deref());
    let seen = version.and_then(version_number).unwrap_or(3);
    let id: u64 = conflict.item_id().bytes().map(u64::from).sum();
    Ok(match (seen * 7 + id) % 8 {
        0 => Decision::Resolve(Resolution::KeepLocal),
        1 => Decision::Resolve(Resolution::TakeRemote),
        2 => Decision::Resolve(conflict.merge_with(|both| Some(both.local.clone()))),
        3 => Decision::Resolve(Resolution::Leave),
        4 => Decision::Policy(ConflictPolicy::MergeElseServer),
        5 => Decision::Abort,
        6 => return Err(Error::new(ErrorKind::InvalidValue, "the handler does not know what to do")),
        _ => Decision::Policy(ConflictPolicy::ClientWins),
    })
}

impl Device {
    pub(super) fn new(
        number: usize,
        setting: &DeviceSetting,
        file: Option<PathBuf>,
        world: &Arc<World>,
        ledger: &Arc<Mutex<Ledger>>,
    ) -> Self {
        let tables = if setting.is_first_release && file.is_some() { FIRST_TABLES } else { TABLES };
        let database = file.as_deref().map_or_else(Database::memory, |file| Database::open(file, tables));
        let store = SimStore {
            database: database.clone(),
            world: Arc::clone(world),
            device: number,
            ledger: Arc::clone(ledger),
        };
        let setting = setting.clone();
        let mut device = Self {
            number,
            setting,
            database,
            tables,
            file,
            account: 0,
            store,
            engine: None,
            task: None,
            follower: None,
            has_run: false,
        };
        device.claim(OtherAccount::Refuse).expect("a new queue is nobody's");
        device
    }

    /// Takes the queue for another account than before; the app does not run.
    pub(super) fn claim(&mut self, answer: OtherAccount) -> Result<u64> {
        let account = Some(format!("account {}", self.account + 1));
        let owner = Owner { endpoint: ADDRESS.to_owned(), account };
        let dropped = self.database.claim(owner, answer)?;
        self.account += 1;
        Ok(dropped)
    }

    /// A newer release of the app opens the file; the app does not run. Only files can grow.
    pub(super) fn grow(&mut self) {
        if self.file.is_some() {
            self.tables = TABLES;
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        let Some(file) = &self.file else { return };
        // The store in use goes first, as with a process.
        let idle = Database::memory();
        self.database = idle.clone();
        self.store.database = idle;
        self.database = Database::open(file, self.tables);
        self.store.database = self.database.clone();
    }

    /// Starts the app; with `decides` conflicts are decided during a push.
    pub(super) fn start(&mut self, setting: &Setting, decides: bool) {
        let world = Arc::clone(&self.store.world);
        let network = Network { world: Arc::clone(&world), device: self.number };
        let endpoint = Endpoint::parse(ADDRESS).expect("an address");
        let requests = RequestBuilder::new(endpoint, setting.dialect);
        let profile = match setting.clock {
            Clock::Strict if setting.cap >= 1_000 => ServerProfile::sync_server(),
            Clock::Strict => ServerProfile::conservative().with_overlap(Duration::ZERO),
            Clock::Coarse(_) => ServerProfile::conservative().with_overlap(Duration::from_secs(30)),
        };
        let store = Arc::new(self.store.clone());
        let timer = Arc::new(VirtualTimer(world));
        let engine = Engine::new(store, Arc::new(network), timer, requests, profile);
        let engine = match self.setting.handler {
            Handler::Policy(policy) if decides => {
                engine.with_conflict_handler(Arc::new(move |_: &Conflict| Ok(Decision::Policy(policy))))
            }
            Handler::Fickle if decides => engine.with_conflict_handler(Arc::new(fickle)),
            _ => engine,
        };
        self.engine = Some(Arc::new(engine));
        self.follower = Follower::new(&self.database, self.tables);
    }

    /// Ends the process: calls under way vanish, the database stays.
    pub(super) fn kill(&mut self) {
        self.task = None;
        self.engine = None;
        self.follower = None;
        self.reopen();
    }

    /// Whether listeners were told what changed since the last look.
    pub(super) fn follow(&mut self) -> Result<(), String> {
        let is_busy = self.is_busy();
        let is_one_step = !std::mem::replace(&mut self.has_run, is_busy);
        match &mut self.follower {
            Some(follower) => follower.look(&self.database, is_one_step),
            None => Ok(()),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.task.is_some()
    }

    pub(super) fn begin(&mut self, call: Call, expected: Expected) {
        let engine = Arc::clone(self.engine.as_ref().expect("the device runs"));
        let tables = self.tables;
        let future = Box::pin(async move {
            match call {
                Call::Push(options) => Done::Push(engine.push(options).await),
                Call::Pull(request) => Done::Pull(engine.pull(request).await),
                Call::Resolve(policy) => Done::Resolve(engine.resolve_all(None, policy).await),
                Call::Unpark => {
                    let unpark = |conflict: &Conflict| {
                        Ok(if conflict.parked { Resolution::Unpark } else { Resolution::Leave })
                    };
                    Done::Resolve(engine.resolve_with(None, unpark).await)
                }
                Call::Purge(purge) => Done::Purge(engine.purge(purge).await),
                Call::Reset(table, query) => {
                    Done::Reset(engine.reset_token(tables[table], Some(query)).await)
                }
            }
        });
        self.has_run = true;
        self.task = Some(Task { future, awake: Arc::new(Awake(AtomicBool::new(true))), expected });
    }

    /// Goes on with the call if anything it waits for has come; gives its end.
    pub(super) fn advance(&mut self) -> Option<(Done, Expected)> {
        let task = self.task.as_mut()?;
        while task.awake.0.swap(false, Ordering::SeqCst) {
            let waker = Waker::from(Arc::clone(&task.awake));
            if let Poll::Ready(done) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                let task = self.task.take().expect("the call under way");
                return Some((done, task.expected));
            }
        }
        None
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("number", &self.number).finish_non_exhaustive()
    }
}
