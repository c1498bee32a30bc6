//! The wire: requests and answers of the tables protocol, by dialect. No I/O.

pub use self::dialect::{Dialect, SystemNames, UndeleteForm};
pub use self::endpoint::Endpoint;
pub use self::probe::{ProbeReport, ServerKind};
pub use self::request::{ListQuery, RequestBuilder};

mod body;
mod dialect;
mod endpoint;
pub(crate) mod etag;
pub(crate) mod probe;
mod request;
pub(crate) mod response;
