//! A device: an app's local database with a sync context over it.

use std::ops::Deref;

use sync_diesel::Builder;
use sync_diesel::prelude::*;
use tempfile::TempDir;

use crate::model::{self, Schema, Todo};
use crate::servers::ServerUnderTest;

/// A local database in a folder of its own, in step with a server; it is gone with this value.
#[derive(Debug)]
pub struct Device {
    sync: SyncContext<Schema>,
    // Removed after the context has closed the file.
    _directory: TempDir,
}

impl Device {
    /// A new device of this server.
    pub async fn new(server: &ServerUnderTest) -> Self {
        Self::with(server, &server.url(), |builder| builder).await
    }

    /// A new device that reaches the server through this address, a proxy's for example.
    pub async fn through(server: &ServerUnderTest, url: &str) -> Self {
        Self::with(server, url, |builder| builder).await
    }

    /// A new device with further settings.
    ///
    /// # Panics
    ///
    /// When the database cannot be made.
    pub async fn with(
        server: &ServerUnderTest,
        url: &str,
        settings: impl FnOnce(Builder<Schema>) -> Builder<Schema>,
    ) -> Self {
        let directory = TempDir::new().expect("a temporary folder can be made");
        let builder = model::device(url, &directory.path().join("app.db"))
            .dialect(server.dialect())
            .profile(server.profile())
            .window(server.window());
        let sync = settings(builder).open().await.expect("the context opens");
        Self { sync, _directory: directory }
    }

    /// The local rows of a batch, in the order of their texts.
    ///
    /// # Panics
    ///
    /// When the database fails.
    pub async fn rows(&self, batch: &str) -> Vec<Record<Todo>> {
        let rows = self.sync.table::<Todo>().filter(Todo::batch.eq(batch)).order_by(Todo::text.asc()).load();
        rows.await.expect("the local table can be read")
    }

    /// The texts of [`rows`](Self::rows).
    pub async fn texts(&self, batch: &str) -> Vec<String> {
        self.rows(batch).await.iter().map(|row| row.text.clone()).collect()
    }

    /// The local row with this id.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub async fn row(&self, id: &str) -> Record<Todo> {
        let row = self.sync.table::<Todo>().get(id).await.expect("the local table can be read");
        row.unwrap_or_else(|| panic!("no local row {id}"))
    }

    /// Changes the text of a local row.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub async fn set_text(&self, id: &str, text: &str) {
        let mut row = self.row(id).await;
        text.clone_into(&mut row.text);
        self.sync.table::<Todo>().update(&row).await.expect("the local row can be changed");
    }

    /// Inserts a local row and returns its id.
    ///
    /// # Panics
    ///
    /// When the database fails.
    pub async fn insert(&self, todo: Todo) -> String {
        let row = self.sync.table::<Todo>().insert(todo).await.expect("a local row can be inserted");
        row.id().to_owned()
    }

    /// Deletes a local row.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub async fn delete(&self, id: &str) {
        self.sync.table::<Todo>().delete(id).await.expect("the local row can be deleted");
    }

    /// Pulls the rows of a batch, with a query id of the same name.
    ///
    /// # Errors
    ///
    /// As [`SyncContext::pull`].
    pub async fn pull_batch(&self, batch: &str) -> sync_core::Result<PullReport> {
        self.sync.pull(batch, Todo::batch.eq(batch)).await
    }

    /// How many operations wait.
    ///
    /// # Panics
    ///
    /// When the database fails.
    pub async fn waiting(&self) -> u64 {
        self.sync.pending().await.expect("the queue can be counted")
    }
}

impl Deref for Device {
    type Target = SyncContext<Schema>;

    fn deref(&self) -> &Self::Target {
        &self.sync
    }
}
