//! What an app needs in scope: `use sync_diesel::prelude::*;`.

#[doc(no_inline)]
pub use chrono::{DateTime, Utc};
pub use sync_core::ErrorKind;
pub use sync_core::engine::{Cancellation, HeldOperation, PullReport, PushReport, PushStatus};
pub use sync_core::entity::SyncEntity;
pub use sync_core::event::{ChangeSource, Event};
pub use sync_core::operation::{FailureClass, Operation, OperationError, OperationKind, OperationState};
pub use sync_core::profile::ServerProfile;
pub use sync_core::protocol::{Dialect, ProbeReport};
pub use sync_core::store::{ConflictPolicy, OtherAccount, QuarantinedRow};
pub use sync_derive::{SyncEntity, sync_schema};

pub use crate::conflict::{Conflict, Resolve, TypedError};
pub use crate::context::SyncContext;
pub use crate::record::Record;
pub use crate::remote::RemoteTable;
pub use crate::schema::{SyncSchema, create_table_sql};
pub use crate::state::SyncState;
pub use crate::table::SyncTable;
