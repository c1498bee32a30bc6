//! The lease of a database: who may push, pull and purge (Z-03).
//!
//! Within one store a fair lock; between stores and processes the operating system's lock on a file beside the
//! database, which ends with the process however that ends. The file holds nothing and stays. A waiting caller asks
//! again in short intervals, since a thread blocked in the operating system could not be called back.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sync_core::error::{Error, ErrorKind, Result};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// First and longest interval between two tries.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The right to push, pull and purge a database; it ends with this value, or with the last step that was begun under
/// it: the writer thread may still run one whose caller was dropped.
#[derive(Debug)]
pub struct Lease {
    _held: Arc<Held>,
}

/// What is locked.
#[derive(Debug)]
pub(crate) struct Held {
    // The file is unlocked first: the next of this store finds it free.
    _file: Option<File>,
    _turn: OwnedMutexGuard<()>,
}

/// Gives leases of one database.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    /// `None`: the database is in memory, and of this process alone.
    path: Option<Arc<PathBuf>>,
    turn: Arc<Mutex<()>>,
    current: Arc<std::sync::Mutex<Weak<Held>>>,
}

impl Leases {
    /// For the database of this path or SQLite address, which exists: only then is a link to it seen as one.
    pub(crate) fn new(database: &Path) -> Self {
        Self { path: lease_path(database).map(Arc::new), turn: Arc::default(), current: Arc::default() }
    }

    pub(crate) async fn take(&self, wait: bool) -> Result<Lease> {
        let held = Arc::new(self.lock(wait).await?);
        *self.current() = Arc::downgrade(&held);
        Ok(Lease { _held: held })
    }

    /// Keeps the lease under way, if there is one, for a step that may outlive it.
    pub(crate) fn hold(&self) -> Option<Arc<Held>> {
        self.current().upgrade()
    }

    fn current(&self) -> MutexGuard<'_, Weak<Held>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lock(&self, wait: bool) -> Result<Held> {
        let turn = Arc::clone(&self.turn);
        let turn = if wait { turn.lock_owned().await } else { turn.try_lock_owned().map_err(|_| busy())? };
        let Some(path) = &self.path else { return Ok(Held { _file: None, _turn: turn }) };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&**path)
            .map_err(|source| failed("the lease file beside the database cannot be opened", source))?;
        let (mut interval, longest) = INTERVALS;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Held { _file: Some(file), _turn: turn }),
                Err(TryLockError::WouldBlock) if wait => {
                    tokio::time::sleep(interval).await;
                    interval = (interval * 2).min(longest);
                }
                Err(TryLockError::WouldBlock) => return Err(busy()),
                Err(TryLockError::Error(source)) => {
                    return Err(failed("the lease file beside the database cannot be locked", source));
                }
            }
        }
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "a push, pull or purge of this database is under way")
}

fn failed(what: &str, source: std::io::Error) -> Error {
    Error::new(ErrorKind::Store, what).with_source(source)
}

/// The file beside the database, as SQLite puts its own; `None` for a database in memory.
fn lease_path(database: &Path) -> Option<PathBuf> {
    let mut path = database.to_owned();
    if let Some(address) = database.to_str() {
        if address.is_empty() || address.starts_with(":memory:") {
            return None;
        }
        // Diesel takes the one for the other.
        if let Some(rest) = address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("file:")) {
            path = address_path(rest)?;
        }
    }
    // As SQLite does for its own files: a link to the database, or another working directory later, must not lead to
    // another lease.
    let mut name =
        std::fs::canonicalize(&path).map_or_else(|_| path.into_os_string(), PathBuf::into_os_string);
    name.push("-lease");
    Some(name.into())
}

/// The file that SQLite takes an address for, without its `file:`; `None` for a database in memory.
fn address_path(address: &str) -> Option<PathBuf> {
    let address = address.split('#').next().unwrap_or_default();
    let (name, query) = address.split_once('?').unwrap_or((address, ""));
    if query.split('&').any(|part| decoded(part) == b"mode=memory") {
        return None;
    }
    let name = name.strip_prefix("//localhost").or_else(|| name.strip_prefix("//")).unwrap_or(name);
    let name = decoded(name);
    if name.is_empty() || name == b":memory:" {
        return None;
    }
    #[cfg(unix)]
    let name: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(name);
    #[cfg(not(unix))]
    let name = String::from_utf8_lossy(&name).into_owned();
    Some(name.into())
}

/// A part of an address as SQLite reads it: `%` and two hexadecimal digits are one byte, and a byte of 0 is its end.
fn decoded(part: &str) -> Vec<u8> {
    let bytes = part.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(0) => break,
            Some(escaped) => {
                decoded.push(escaped);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z_03_the_lease_file_stands_beside_the_database() {
        for (database, expected) in [
            ("todo.db", Some("todo.db-lease")),
            ("/data/todo.db", Some("/data/todo.db-lease")),
            ("file:todo.db?cache=private", Some("todo.db-lease")),
            ("file:///data/todo.db", Some("/data/todo.db-lease")),
            (":memory:", None),
            ("", None),
            ("file::memory:?cache=shared", None),
            ("file:shared?mode=memory&cache=shared", None),
            ("sqlite://todo.db", Some("todo.db-lease")),
            ("sqlite:///data/todo.db?cache=private", Some("/data/todo.db-lease")),
            ("sqlite://:memory:", None),
            ("sqlite:todo.db", Some("sqlite:todo.db-lease")),
            ("file://localhost/data/todo.db", Some("/data/todo.db-lease")),
            ("file:my%20app.db", Some("my app.db-lease")),
            ("my%20app.db", Some("my%20app.db-lease")),
            ("file:100%.db", Some("100%.db-lease")),
            ("file:%e2%82%AC%3f%23.db?cache=private", Some("\u{20ac}?#.db-lease")),
            ("file:todo.db%00more", Some("todo.db-lease")),
            ("file:todo.db#part?mode=memory", Some("todo.db-lease")),
            ("file:todo.db?cache=private#&mode=memory", Some("todo.db-lease")),
            ("file:shared?mode=mem%6fry", None),
        ] {
            assert_eq!(lease_path(Path::new(database)), expected.map(PathBuf::from), "{database}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn z_03_an_address_is_read_as_diesel_and_sqlite_read_it() {
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};

        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let within = directory.path().display().to_string();
        for address in [
            format!("sqlite://{within}/a.db"),
            format!("sqlite://{within}/my%20b.db?cache=private"),
            format!("file:{within}/c%2c%e2%82%ac%3F%23.db"),
            format!("file:{within}/d%.db#part?mode=memory"),
            format!("file://localhost{within}/e%zz.db?cache=private#&mode=memory"),
            format!("file:{within}/f.db%00more"),
            format!("{within}/g%20#x?y.db"),
        ] {
            let mut connection = SqliteConnection::establish(&address).expect("a connection");
            connection.batch_execute("CREATE TABLE t (id INTEGER)").expect("a table");
            let lease = lease_path(Path::new(&address)).expect("a file").display().to_string();
            let database = lease.strip_suffix("-lease").expect("a lease");
            assert!(Path::new(database).is_file(), "{address}: {database}");
        }
        let address = "file:shared?mode=mem%6fry&cache=shared";
        let mut connection = SqliteConnection::establish(address).expect("a connection");
        connection.batch_execute("CREATE TABLE t (id INTEGER)").expect("a table");
        assert!(!Path::new("shared").exists(), "in memory");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn z_03_a_database_has_one_lease_under_all_its_names() {
        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let (real, link) = (directory.path().join("a.db"), directory.path().join("b.db"));
        File::create(&real).expect("a file");
        std::os::unix::fs::symlink("a.db", &link).expect("a link");
        let _lease = Leases::new(&real).take(false).await.expect("free");
        let address = format!("file:{}?cache=private", link.display());
        for name in [link.as_path(), Path::new(&address)] {
            let taken = Leases::new(name).take(false).await;
            assert_eq!(taken.expect_err("held under its other name").kind(), ErrorKind::Busy);
        }
    }

    #[tokio::test]
    async fn z_03_one_holder_over_all_stores_on_a_file() {
        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let path = directory.path().join("a.db");
        let (here, there) = (Leases::new(&path), Leases::new(&path));
        let lease = here.take(true).await.expect("free");
        for other in [&here, &there] {
            assert_eq!(other.take(false).await.expect_err("held").kind(), ErrorKind::Busy);
        }
        let waiting = tokio::spawn(async move { there.take(true).await.map(|_| ()) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(lease);
        waiting.await.expect("no panic").expect("free again");
        // A waiter that goes away leaves nothing held.
        let lease = here.take(false).await.expect("free");
        let gone = Leases::new(&path);
        tokio::select! {
            biased;
            _ = gone.take(true) => panic!("it is held"),
            () = tokio::task::yield_now() => {}
        }
        drop(lease);
        gone.take(false).await.expect("free");
    }
}
