//! Parts of instants, all in UTC.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::expression::{Expr, call, methods};
use crate::predicate::Function;

methods! { [] DateTime<Utc> {
    /// The year, in UTC as all parts of an instant.
    pub fn year(self) -> Expr<E, i32, S> {
        call(Function::Year, vec![self.into_node()])
    }

    /// The month, 1 to 12.
    pub fn month(self) -> Expr<E, i32, S> {
        call(Function::Month, vec![self.into_node()])
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> Expr<E, i32, S> {
        call(Function::Day, vec![self.into_node()])
    }

    /// The hour, 0 to 23.
    pub fn hour(self) -> Expr<E, i32, S> {
        call(Function::Hour, vec![self.into_node()])
    }

    /// The minute, 0 to 59.
    pub fn minute(self) -> Expr<E, i32, S> {
        call(Function::Minute, vec![self.into_node()])
    }

    /// The whole second, 0 to 59.
    pub fn second(self) -> Expr<E, i32, S> {
        call(Function::Second, vec![self.into_node()])
    }

    /// The day in UTC, for comparing with a [`NaiveDate`] or another day.
    ///
    /// Compared with a constant it is sent to servers of every dialect, as a range of instants; compared with
    /// another day to those of v3.
    pub fn date(self) -> Expr<E, NaiveDate, S> {
        call(Function::Date, vec![self.into_node()])
    }

    /// The time of day in UTC, exact, for comparing with a [`NaiveTime`] or another time of day. Only v3 has a word
    /// for it; with other servers it is judged here.
    pub fn time(self) -> Expr<E, NaiveTime, S> {
        call(Function::Time, vec![self.into_node()])
    }
}}
