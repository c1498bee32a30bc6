//! An entity whose columns say how they are merged.

use sync_diesel::prelude::*;

/// The suite's table `TodoItem` with rules for its columns; rows deleted on the server are kept.
#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "TodoItem", keep_deleted)]
pub struct Counted {
    /// Without a rule.
    pub text: String,
    /// What is done stays done.
    #[sync(merge = max)]
    pub complete: bool,
    /// A counter.
    #[sync(merge = add)]
    pub n: i64,
    /// The best offer.
    #[sync(merge = min)]
    pub price: Option<f64>,
}

sync_schema!(pub Rules: Counted);
