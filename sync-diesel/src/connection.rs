//! Connections: one writer thread and a small pool of readers.
//!
//! Every write is a closure run on one named thread that owns the writing connection, in an immediate
//! transaction. A caller that goes away leaves the closure to finish whole; a closure that panics is rolled
//! back and reported as an error, and the thread goes on with a fresh connection. Reads run on the runtime's
//! blocking threads, each in one transaction, so that it sees one state of the database.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::event::ChangeSource;
use tokio::sync::{Semaphore, oneshot};

use crate::changes::Recorder;
use crate::failure::{BoxedError, OrStore, from_boxed, from_diesel};
use crate::sql_log::SqlLog;

/// How far a commit reaches before it is reported (SQLite's `synchronous`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives a power loss.
    #[default]
    Full,
    /// A commit survives a crash of the program; the last commits before a power loss may be lost.
    Normal,
}

/// Options of a local database.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Durability of a commit; default [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How long a statement waits for a lock of another connection; default 10 s.
    pub busy_timeout: Duration,
    /// How many reads run at once; default 4.
    pub readers: usize,
    /// Logs each statement once it is done (H-04): with `tracing` at level debug, target `sync_diesel::sql`, with the time
    /// it took. Default false, which costs nothing.
    ///
    /// Values are masked, bound ones as well as texts and numbers written into the statement; comments are left out.
    /// Names of tables and columns stay. SQLite can take a text in double quotes for a value: such a text is logged.
    pub log_sql: bool,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::default(),
            busy_timeout: Duration::from_secs(10),
            readers: 4,
            log_sql: false,
        }
    }
}

/// An open database file.
#[derive(Clone)]
pub(crate) struct Database {
    jobs: mpsc::Sender<Job>,
    readers: Arc<Readers>,
    is_closed: Arc<AtomicBool>,
}

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// How to connect.
#[derive(Clone, Debug)]
struct Target {
    url: String,
    options: DatabaseOptions,
}

struct Writer {
    target: Target,
    connection: Option<SqliteConnection>,
    recorder: Recorder,
    is_closed: bool,
}

/// The database as it was before its first write transaction: what other connections see until that commits.
pub(crate) struct Before<'t> {
    target: &'t Target,
}

struct Readers {
    target: Target,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Arc<Semaphore>,
}

impl Database {
    /// Opens or creates the file, and runs `prepare` in the first write transaction, without foreign keys:
    /// a rebuilt table must not cascade into others, and they cannot be switched off inside a transaction. Gives what
    /// `prepare` gave as well.
    ///
    /// What commits change in the recorder's tables is told by it.
    pub(crate) async fn open<T, F>(
        path: &Path,
        options: DatabaseOptions,
        recorder: Recorder,
        prepare: F,
    ) -> Result<(Self, T)>
    where
        F: FnOnce(&mut SqliteConnection, &Before<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let url = path
            .to_str()
            .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "the database's path is not Unicode"))?
            .to_owned();
        if matches!(url.as_str(), "" | ":memory:" | "file::memory:") {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "each connection would have a database of its own; \
                 a database in memory is named `file:name?mode=memory&cache=shared`",
            ));
        }
        let target = Target { url, options };
        let readers = Arc::new(Readers {
            target: target.clone(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(target.options.readers.max(1))),
        });
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("sync-diesel writer".to_owned())
            .spawn(move || {
                let mut writer = Writer { target, connection: None, recorder, is_closed: false };
                while let Ok(job) = queue.recv() {
                    job(&mut writer);
                }
            })
            .map_err(|source| {
                Error::new(ErrorKind::Store, "the writer thread cannot be started").with_source(source)
            })?;
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            let _ = answer.send(writer.prepare(prepare));
        });
        jobs.send(job).map_err(|_| closed())?;
        let prepared = outcome.await.map_err(|_| closed())??;
        Ok((Self { jobs, readers, is_closed: Arc::default() }, prepared))
    }

    /// Runs `work` on the writer thread in an immediate transaction: committed if it returns `Ok`, else rolled
    /// back.
    ///
    /// # Errors
    ///
    /// The error of `work`; `Busy` when another connection holds the database too long; `Store` when the
    /// closure panicked or the commit failed.
    pub(crate) async fn write<T, E, F>(&self, source: ChangeSource, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxedError>,
    {
        self.check_open()?;
        let (answer, outcome) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            // Nobody listens any more when the caller was dropped: the work is done all the same.
            let _ = answer.send(writer.run(source, work));
        });
        self.jobs.send(job).map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }

    /// Calls `then` on the writer thread once every write begun before is committed; changes of later ones are told to
    /// those who listen by now.
    pub(crate) fn after_writes(&self, then: impl FnOnce() + Send + 'static) {
        // The thread is gone only when the process ends.
        let _ = self.jobs.send(Box::new(move |_| then()));
    }

    /// Runs `work` on a read-only connection in one transaction.
    ///
    /// # Errors
    ///
    /// The error of `work`; `Store` when the closure panicked.
    pub(crate) async fn read<T, E, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxedError>,
    {
        self.check_open()?;
        let permit = self.readers.permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.read(work)
        })
        .await
        .map_err(|source| Error::new(ErrorKind::Store, "the read did not finish").with_source(source))?
    }

    /// Runs `work` like [`read`](Self::read), but on a thread of its own and beside the readers that others wait for:
    /// it may take as long as it likes. What goes wrong is handed to `failed`.
    ///
    /// # Errors
    ///
    /// `Store` when the thread cannot be started.
    pub(crate) fn read_apart<E, F>(&self, work: F, failed: impl FnOnce(Error) + Send + 'static) -> Result<()>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<(), E> + Send + 'static,
        E: Into<BoxedError>,
    {
        let readers = self.readers.clone();
        let run = move || readers.read(work).unwrap_or_else(failed);
        let thread = std::thread::Builder::new().name("sync-diesel reader".to_owned()).spawn(run);
        thread.map(|_| ()).map_err(|source| {
            Error::new(ErrorKind::Store, "the thread of a stream cannot be started").with_source(source)
        })
    }
}

impl Database {
    /// Closes every connection once the work given before is done. Later work is refused.
    pub(crate) async fn close(&self) {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let readers = u32::try_from(self.readers.target.options.readers.max(1)).unwrap_or(u32::MAX);
        // Held by nobody any more: every read is done.
        let idle = self.readers.permits.acquire_many(readers).await;
        self.readers.idle().clear();
        drop(idle);
        self.readers.permits.close();
        let (answer, done) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            writer.connection = None;
            writer.is_closed = true;
            let _ = answer.send(());
        });
        if self.jobs.send(job).is_ok() {
            let _ = done.await;
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(()) }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.readers.target.url).finish_non_exhaustive()
    }
}

impl Readers {
    fn read<T, E, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E>,
        E: Into<BoxedError>,
    {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.target.connect(true)?,
        };
        let outcome = transact(&mut connection, Begin::Deferred, work);
        if is_idle(&mut connection) {
            let mut idle = self.idle();
            if idle.len() < self.target.options.readers.max(1) {
                idle.push(connection);
            }
        }
        outcome
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run<T, E, F>(&mut self, source: ChangeSource, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E>,
        E: Into<BoxedError>,
    {
        if self.is_closed {
            return Err(closed());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(self.target.connect(false)?),
        };
        let recorder = &mut self.recorder;
        recorder.prepare(connection);
        let mut changes = None;
        let outcome = transact(connection, Begin::Immediate, |conn| {
            let done = work(conn)?;
            changes = recorder.take(conn, source);
            Ok::<_, E>(done)
        });
        if outcome.is_ok() {
            recorder.tell(changes);
        }
        if !is_idle(connection) {
            // A panic inside a nested transaction, or a failed rollback: closing the connection rolls back.
            self.connection = None;
            self.recorder.forget();
        }
        outcome
    }
}

impl Writer {
    fn prepare<T, F>(&mut self, work: F) -> Result<T>
    where
        F: FnOnce(&mut SqliteConnection, &Before<'_>) -> Result<T>,
    {
        let before = Before { target: &self.target };
        let mut connection = self.target.connect(false)?;
        connection.batch_execute("PRAGMA foreign_keys = OFF").or_store()?;
        let prepared = transact(&mut connection, Begin::Immediate, |conn| work(conn, &before))?;
        connection.batch_execute("PRAGMA foreign_keys = ON").or_store()?;
        self.connection = Some(connection);
        Ok(prepared)
    }
}

impl Before<'_> {
    /// Runs `work` on a connection of its own.
    ///
    /// # Errors
    ///
    /// The error of `work`; those of the file.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        let mut connection = self.target.connect(true)?;
        transact(&mut connection, Begin::Deferred, work)
    }
}

impl Target {
    fn connect(&self, read_only: bool) -> Result<SqliteConnection> {
        let mut connection = SqliteConnection::establish(&self.url).map_err(|source| {
            Error::new(ErrorKind::Store, "the database file cannot be opened").with_source(source)
        })?;
        if self.options.log_sql {
            connection.set_instrumentation(SqlLog::new(read_only));
        }
        let timeout = self.options.busy_timeout.as_millis();
        let synchronous = match self.options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        let query_only = if read_only { "ON" } else { "OFF" };
        // The timeout comes first, so that the switch to WAL waits for other connections.
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = {timeout};
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = {synchronous};
                 PRAGMA foreign_keys = ON;
                 PRAGMA recursive_triggers = ON;
                 PRAGMA query_only = {query_only};"
            ))
            .or_store()?;
        Ok(connection)
    }
}

#[derive(Clone, Copy)]
enum Begin {
    Immediate,
    Deferred,
}

/// Why a transaction was rolled back.
enum Abort {
    Diesel(DieselError),
    Work(BoxedError),
    Panic,
}

impl From<DieselError> for Abort {
    fn from(error: DieselError) -> Self {
        Self::Diesel(error)
    }
}

fn transact<T, E, F>(connection: &mut SqliteConnection, begin: Begin, work: F) -> Result<T>
where
    F: FnOnce(&mut SqliteConnection) -> Result<T, E>,
    E: Into<BoxedError>,
{
    let guarded =
        |connection: &mut SqliteConnection| match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(outcome) => outcome.map_err(|error| Abort::Work(error.into())),
            Err(_) => Err(Abort::Panic),
        };
    match begin {
        Begin::Immediate => connection.immediate_transaction(guarded),
        Begin::Deferred => connection.transaction(guarded),
    }
    .map_err(|abort| match abort {
        Abort::Diesel(error) => from_diesel(error),
        Abort::Work(error) => from_boxed(error),
        Abort::Panic => Error::new(ErrorKind::Store, "the database work panicked and was rolled back"),
    })
}

fn is_idle(connection: &mut SqliteConnection) -> bool {
    let status = AnsiTransactionManager::transaction_manager_status_mut(connection);
    matches!(status.transaction_depth(), Ok(None))
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}
