//! [`Cancellation`]: ends a push or a pull without losing what is under way.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a running push or pull to end.
///
/// Dropping the future of a call ends it at once and leaves the operation whose answer had not come uncertain; this
/// ends it politely (F-08): nothing new is started, answers under way are awaited for two seconds and stored, and the
/// call returns [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled). A clone is the same cancellation; once
/// cancelled, it stays so.
///
/// ```
/// use sync_core::engine::Cancellation;
///
/// let cancellation = Cancellation::new();
/// assert!(!cancellation.is_cancelled());
/// cancellation.clone().cancel();
/// assert!(cancellation.is_cancelled());
/// ```
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<watch::Sender<bool>>);

impl Default for Cancellation {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancellation {
    /// Not cancelled.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Ends what was given this cancellation, now and later.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it is cancelled.
    pub async fn cancelled(&self) {
        // The sender lives as long as this value: an error cannot come.
        let _ = self.0.subscribe().wait_for(|is_cancelled| *is_cancelled).await;
    }
}
