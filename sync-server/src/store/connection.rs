//! Connections: one thread that writes, a few connections that read.
//!
//! SQLite has one writer at a time; a thread of its own makes the queue visible, keeps the order of changes and
//! runs every job to its end, also when the request behind it is gone. Each job is all or nothing by itself;
//! jobs that queued up meanwhile are committed together, because waiting for the disk is most of what a small
//! change costs. Readers see the last commit and never wait for the writer (WAL).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, ConnectionError};
use tokio::sync::{Semaphore, oneshot};

use super::StoreError;

/// Opens a connection that may write.
pub(crate) fn open_writer(path: &Path) -> Result<SqliteConnection, ConnectionError> {
    open(path, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
}

fn open(path: &Path, pragmas: &str) -> Result<SqliteConnection, ConnectionError> {
    let path = path.to_str().ok_or_else(|| {
        ConnectionError::BadConnection("the path of the database is not valid UTF-8".to_owned())
    })?;
    let mut connection = SqliteConnection::establish(path)?;
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = 10000; {pragmas}"))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Does its work and gives back what to tell the one who asked, once it is known whether the group's commit
/// succeeded.
type Job = Box<dyn FnOnce(&mut SqliteConnection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(bool) + Send>;

/// Most jobs that share a commit.
const LARGEST_GROUP: usize = 64;

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread with its open connection.
    pub(crate) fn start(path: &Path, connection: SqliteConnection) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("sync-server-writer".to_owned())
            .spawn(move || write_groups(&path, connection, &queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` after all earlier jobs; returns when its changes are durable. If it fails, nothing of it
    /// stays. Jobs that wait at the same time share one commit, which is most of their cost.
    pub(crate) async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Inside the group's transaction this is a savepoint.
            let result = connection.transaction(work);
            Box::new(move |committed| {
                // The request may have been dropped; the work is done all the same.
                let _ = answer.send(if committed { result } else { Err(StoreError::NotCommitted) });
            })
        });
        self.jobs.as_ref().ok_or(StoreError::Closed)?.send(job).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

fn write_groups(path: &Path, mut connection: SqliteConnection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let group = std::iter::once(first).chain(queue.try_iter().take(LARGEST_GROUP - 1));
        let mut replies: Vec<Reply> = Vec::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            connection.immediate_transaction(|connection| {
                replies.extend(group.map(|job| job(connection)));
                Ok::<_, diesel::result::Error>(())
            })
        }));
        let committed = matches!(outcome, Ok(Ok(())));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a group of changes was not committed"),
            Err(_) => {
                // The job may have left a transaction open: only a new connection is surely clean.
                match open_writer(path) {
                    Ok(fresh) => connection = fresh,
                    Err(error) => {
                        tracing::error!(%error, "the database cannot be opened again after a fault");
                        return;
                    }
                }
            }
        }
        for reply in replies {
            reply(committed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Ends the thread's loop once the queue is empty; the file is closed when this returns.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread ended by a fault");
        }
    }
}

/// Connections that read.
#[derive(Clone)]
pub(crate) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Readers {
    /// At most `count` connections, opened when first needed.
    pub(crate) fn new(path: &Path, count: usize) -> Self {
        Self { path: path.to_owned(), permits: Arc::new(Semaphore::new(count)), idle: Arc::default() }
    }

    /// Runs `work` on a thread for blocking work, over one snapshot of the database.
    pub(crate) async fn snapshot<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = self.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut connection = match readers.take() {
                Some(connection) => connection,
                None => open(&readers.path, "PRAGMA query_only = ON;").map_err(StoreError::Connection)?,
            };
            let result = connection.transaction(work);
            readers.put_back(connection);
            result
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    fn take(&self) -> Option<SqliteConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, connection: SqliteConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
