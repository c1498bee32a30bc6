//! The wire: requests and answers of the tables protocol, by dialect. No I/O.

pub use self::dialect::{Dialect, SystemNames};

mod dialect;
