//! Resolving many stored conflicts at once (K-07); no request is made.

use crate::conflict::Conflict;
use crate::entity::TableSchema;
use crate::error::{ErrorKind, Result};
use crate::operation::OperationKey;
use crate::store::{LocalStore, Resolution, Resolver};

/// What became of the conflicts of [`Engine::resolve_all`](super::Engine::resolve_all).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// Conflicts that are resolved.
    pub resolved: u64,
    /// Those that were left: nobody decided, the row changed while it was decided about, or a push sends
    /// the operation at that time.
    pub left: Vec<OperationKey>,
}

pub(super) async fn run<S: LocalStore>(
    store: &S,
    table: Option<&'static TableSchema>,
    mut decide: impl FnMut(&Conflict) -> Result<Resolution> + Send,
    by: Resolver,
) -> Result<Resolved> {
    let mut done = Resolved::default();
    for open in store.conflicts(table).await? {
        let conflict = Conflict::from_store(open);
        let resolution = decide(&conflict)?;
        if resolution == Resolution::Leave {
            done.left.push(conflict.key);
            continue;
        }
        match store.resolve(conflict.key.clone(), resolution, by).await {
            Ok(()) => done.resolved += 1,
            // K-12: the app or a pull changed the row meanwhile; the next call sees it as it is then.
            // What is under way is decided by its answer.
            Err(error) if matches!(error.kind(), ErrorKind::OperationChanged | ErrorKind::Busy) => {
                done.left.push(conflict.key);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
