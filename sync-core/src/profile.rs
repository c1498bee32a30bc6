//! What a server is trusted with.
//!
//! A filter that a server answers wrongly loses rows without an error, so nothing is sent that the server is not
//! known to do right: [`crate::pushdown`] divides a predicate by this profile, the pull chooses its page size,
//! its idea of a last page and its overlap by it. A profile describes a server program, not one table. Start
//! from a constructor and change what you know better about your own server:
//!
//! ```
//! use sync_core::predicate::Function;
//! use sync_core::profile::ServerProfile;
//!
//! let profile = ServerProfile::conservative().with_function(Function::StartsWith).with_max_page(200);
//! assert!(profile.evaluates(Function::StartsWith) && !profile.evaluates(Function::Contains));
//! assert_eq!(profile.max_page(), 200);
//! ```
//!
//! Ids in brackets name the observations behind a fact: `Q-` and section numbers of the protocol notes, `R` and
//! `D` of the design.

use std::time::Duration;

use crate::page::MAX_ROWS;
use crate::predicate::Function;
use crate::protocol::UndeleteForm;

/// Facts about a server program. See the [module documentation](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerProfile {
    functions: Vec<Function>,
    sql_nulls: bool,
    exact_text: bool,
    exact_numbers: bool,
    uuid_filters: bool,
    version_filters: bool,
    date_digits: u32,
    max_page: u32,
    guaranteed_page: Option<u32>,
    overlap: Duration,
    cheap_rows: bool,
    undelete: UndeleteForm,
    refuses_unknown_columns: bool,
}

impl ServerProfile {
    /// Our own server: every filter means what it means here [D3, R13], change times never repeat or go back
    /// [section 16], so no overlap is needed. It revives rows in either form of v3 [section 16].
    pub fn sync_server() -> Self {
        Self {
            functions: Function::ALL.to_vec(),
            sql_nulls: false,
            exact_text: true,
            exact_numbers: true,
            uuid_filters: true,
            version_filters: true,
            date_digits: 9,
            max_page: 1000,
            guaranteed_page: None,
            overlap: Duration::ZERO,
            cheap_rows: true,
            undelete: UndeleteForm::Put,
            refuses_unknown_columns: true,
        }
    }

    /// The Mobile Services runtime (v1), on SQL Server.
    ///
    /// Its text functions are patterns with live wildcards, compared in the database's collation [section 10.5];
    /// null follows SQL [case 101]; numbers and dates are JavaScript's, dates of three digits [sections 5.2, 13].
    /// `$top` is honoured up to 1000, more is refused [section 11]; there are no links, so a page shorter than
    /// asked for is the last one [R10, section 11].
    pub fn mobile_services() -> Self {
        Self { guaranteed_page: Some(1000), ..Self::conservative() }
    }

    /// The Node server `azure-mobile-apps` (v2) over SQLite.
    ///
    /// Many functions find something else [Q-01, Q-02, Q-03] or fail outright [Q-04, Q-05]: those of
    /// [`NODE_SQLITE_UNTRUSTED`](Self::NODE_SQLITE_UNTRUSTED) are not sent. Comparisons of text are SQLite's own,
    /// exact. Null follows SQL [section 10.3 and case 101]. Numbers are JavaScript's
    /// [Q-25], a uuid is whatever text was sent, a filter by version matches nothing [Q-24], dates in a
    /// filter are cut to milliseconds and compared as text [section 13]. A page is cut only by what was asked,
    /// up to 1000; more is refused [R10, section 10.2].
    pub fn node_sqlite() -> Self {
        let trusted =
            |function: &Function| Self::NODE_SQLITE_UNTRUSTED.iter().all(|(each, _)| each != function);
        Self {
            functions: Function::ALL.into_iter().filter(trusted).collect(),
            exact_text: true,
            guaranteed_page: Some(1000),
            ..Self::conservative()
        }
    }

    /// The functions that the Node server over SQLite does not do, or not as they are defined here, each with the
    /// reason [section 10.5]. All others it does exactly.
    pub const NODE_SQLITE_UNTRUSTED: &[(Function, &str)] = &[
        (Function::Contains, "its pattern is a sum of numbers and matches nothing"),
        (Function::StartsWith, "its pattern is a sum of numbers and matches nothing"),
        (Function::EndsWith, "its pattern is a sum of numbers and matches nothing"),
        (Function::Length, "calls a function that SQLite does not have"),
        (Function::IndexOf, "looks for the text in what is to be found"),
        (Function::SubstringFrom, "calls a function that SQLite does not have"),
        (Function::Substring, "a start below 0 counts from the end, a length below 0 backwards"),
        (Function::Replace, "a null replacement is forgotten where there is nothing to find"),
        (Function::Add, "whole numbers are not told from others, nor kept beyond 2^53"),
        (Function::Sub, "whole numbers are not told from others, nor kept beyond 2^53"),
        (Function::Mul, "whole numbers are not told from others, nor kept beyond 2^53"),
        (Function::Div, "whole numbers are not told from others, so neither are the two divisions"),
        (Function::Mod, "fails, and the failure is answered with an empty list"),
        (Function::Floor, "exists only where SQLite is built with its mathematical functions"),
        (Function::Ceiling, "exists only where SQLite is built with its mathematical functions"),
        (Function::Year, "calls a function that SQLite does not have"),
        (Function::Month, "calls a function that SQLite does not have"),
        (Function::Day, "calls a function that SQLite does not have"),
        (Function::Hour, "fails, and the failure is answered with an empty list"),
        (Function::Minute, "fails, and the failure is answered with an empty list"),
        (Function::Second, "fails, and the failure is answered with an empty list"),
        (Function::Date, "the dialect has no word for it"),
        (Function::Time, "the dialect has no word for it"),
    ];

    /// The Node server `azure-mobile-apps` (v2) over SQL Server.
    ///
    /// As [`node_sqlite`](Self::node_sqlite), but text is compared in the database's collation, usually without
    /// case, and text functions are patterns with live wildcards [Q-26]. Change times have seven digits there and
    /// three on the wire and in a filter [section 13].
    pub fn node_sql_server() -> Self {
        Self { guaranteed_page: Some(1000), ..Self::conservative() }
    }

    /// The Azure Mobile Apps server on .NET (v2), on SQL Server.
    ///
    /// Functions are right but for the database's collation [section 10.5], so they are not sent. Change times
    /// have seven digits there and at most three on the wire [section 13]. Pages are cut at a size set there, 50
    /// unless configured, whatever `$top` says [section 11]: only an empty page is the last one. An unknown column in
    /// a filter is an error [section 10.2].
    pub fn mobile_apps_dotnet() -> Self {
        Self { refuses_unknown_columns: true, ..Self::conservative() }
    }

    /// `Microsoft.AspNetCore.Datasync` 5 and 6 (v3), on any database.
    ///
    /// Text, null and numbers are the database's, which the server does not tell; what it cannot translate it
    /// evaluates in memory over the whole table [Q-52], so functions are not sent. Stored times may be finer than
    /// the three digits on the wire [section 13]. Pages are cut at 100 rows unless configured, with a link when
    /// more follow; `$top` may be far larger than 1000 [section 11]. A deleted row is revived by a PATCH
    /// [section 6.6].
    pub fn datasync() -> Self {
        Self { undelete: UndeleteForm::Patch, ..Self::conservative() }
    }

    /// The Community Toolkit's server 8 to 10 (v3), on any database.
    ///
    /// As [`datasync`](Self::datasync), but a deleted row is revived by a PUT [section 6.6, Q-46].
    pub fn community_toolkit() -> Self {
        Self { undelete: UndeleteForm::Put, ..Self::conservative() }
    }

    /// Any server: what all servers of the protocol are known to do, and nothing else.
    ///
    /// No function [section 10.5]; text may be compared without case, as SQL Server's usual collations do;
    /// null follows SQL; dates are cut to milliseconds [section 13]; a short page is never the last one unless the
    /// server says so (R10); rows may become visible up to 30 s after their change time [H-03, H-07]; in v3 a
    /// deleted row is revived as the Community Toolkit does.
    pub fn conservative() -> Self {
        Self {
            functions: Vec::new(),
            sql_nulls: true,
            exact_text: false,
            exact_numbers: false,
            uuid_filters: false,
            version_filters: false,
            date_digits: 3,
            max_page: 1000,
            guaranteed_page: None,
            overlap: Duration::from_secs(30),
            cheap_rows: false,
            undelete: UndeleteForm::Put,
            refuses_unknown_columns: false,
        }
    }

    /// Whether the server evaluates the function exactly as [`crate::evaluate`] does.
    pub fn evaluates(&self, function: Function) -> bool {
        self.functions.contains(&function)
    }

    /// Whether a comparison with null is neither true nor false there, so that conditions are sent with tests
    /// for null added.
    pub const fn has_sql_nulls(&self) -> bool {
        self.sql_nulls
    }

    /// Whether text is compared by code point and case-sensitively. Otherwise `eq` is sent and its answer
    /// filtered, `ne` and orderings are not sent.
    pub const fn has_exact_text(&self) -> bool {
        self.exact_text
    }

    /// Whether numbers are compared as the types of their columns: integers beyond 2^53 with all digits, `f32`
    /// columns without the further digits another client may have sent.
    pub const fn has_exact_numbers(&self) -> bool {
        self.exact_numbers
    }

    /// Whether a uuid column can be compared with a uuid written as text, however the stored one is spelled.
    pub const fn has_uuid_filters(&self) -> bool {
        self.uuid_filters
    }

    /// Whether the version column can stand in a filter.
    pub const fn has_version_filters(&self) -> bool {
        self.version_filters
    }

    /// Digits of a second's fraction that a date keeps in a filter, 0 to 9.
    pub const fn date_digits(&self) -> u32 {
        self.date_digits
    }

    /// The largest `$top` the server takes.
    pub const fn max_page(&self) -> u32 {
        self.max_page
    }

    /// If set, a page shorter than both what was asked and this number is the last one. Otherwise only an empty
    /// page is.
    pub const fn guaranteed_page(&self) -> Option<u32> {
        self.guaranteed_page
    }

    /// How far a pull starts before its token, for rows that became visible late.
    pub const fn overlap(&self) -> Duration {
        self.overlap
    }

    /// Whether rows that a pull does not need cost so little that incremental pulls read all changes of a table, to
    /// learn which rows left their filter, unless the app says otherwise (R12).
    pub const fn has_cheap_rows(&self) -> bool {
        self.cheap_rows
    }

    /// How a deleted row is revived in [`Dialect::Datasync`](crate::protocol::Dialect::Datasync); the other
    /// dialects have one form for all servers.
    pub const fn undelete(&self) -> UndeleteForm {
        self.undelete
    }

    /// Trusts the server with a function. Arithmetic is sent only to a server with
    /// [exact numbers](Self::with_exact_numbers) as well.
    #[must_use]
    pub fn with_function(mut self, function: Function) -> Self {
        if !self.evaluates(function) {
            self.functions.push(function);
        }
        self
    }

    /// Sends no call of a function any more.
    #[must_use]
    pub fn without_function(mut self, function: Function) -> Self {
        self.functions.retain(|each| *each != function);
        self
    }

    /// See [`has_sql_nulls`](Self::has_sql_nulls).
    #[must_use]
    pub const fn with_sql_nulls(mut self, yes: bool) -> Self {
        self.sql_nulls = yes;
        self
    }

    /// See [`has_exact_text`](Self::has_exact_text).
    #[must_use]
    pub const fn with_exact_text(mut self, yes: bool) -> Self {
        self.exact_text = yes;
        self
    }

    /// See [`has_exact_numbers`](Self::has_exact_numbers).
    #[must_use]
    pub const fn with_exact_numbers(mut self, yes: bool) -> Self {
        self.exact_numbers = yes;
        self
    }

    /// See [`has_uuid_filters`](Self::has_uuid_filters).
    #[must_use]
    pub const fn with_uuid_filters(mut self, yes: bool) -> Self {
        self.uuid_filters = yes;
        self
    }

    /// See [`has_version_filters`](Self::has_version_filters).
    #[must_use]
    pub const fn with_version_filters(mut self, yes: bool) -> Self {
        self.version_filters = yes;
        self
    }

    /// See [`date_digits`](Self::date_digits); more than 9 counts as 9.
    #[must_use]
    pub const fn with_date_digits(mut self, digits: u32) -> Self {
        self.date_digits = if digits > 9 { 9 } else { digits };
        self
    }

    /// See [`max_page`](Self::max_page); 0 counts as 1, more than 100,000 as that: no longer list is read.
    #[must_use]
    pub const fn with_max_page(mut self, rows: u32) -> Self {
        self.max_page = match rows {
            0 => 1,
            1..=MAX_ROWS => rows,
            _ => MAX_ROWS,
        };
        self
    }

    /// See [`guaranteed_page`](Self::guaranteed_page).
    #[must_use]
    pub const fn with_guaranteed_page(mut self, rows: Option<u32>) -> Self {
        self.guaranteed_page = rows;
        self
    }

    /// See [`undelete`](Self::undelete).
    #[must_use]
    pub const fn with_undelete(mut self, form: UndeleteForm) -> Self {
        self.undelete = form;
        self
    }

    /// Whether a filter that names a column the server's table lacks is an error. Servers with a dynamic schema answer
    /// with an empty list (Q-06); from those, an empty list is believed only once the columns of its filter are proven.
    /// In v3 it is always an error.
    pub const fn refuses_unknown_columns(&self) -> bool {
        self.refuses_unknown_columns
    }

    /// See [`refuses_unknown_columns`](Self::refuses_unknown_columns).
    #[must_use]
    pub const fn with_refused_unknown_columns(mut self, yes: bool) -> Self {
        self.refuses_unknown_columns = yes;
        self
    }

    /// See [`has_cheap_rows`](Self::has_cheap_rows).
    #[must_use]
    pub const fn with_cheap_rows(mut self, yes: bool) -> Self {
        self.cheap_rows = yes;
        self
    }

    /// See [`overlap`](Self::overlap).
    #[must_use]
    pub const fn with_overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }
}

impl Default for ServerProfile {
    /// [`ServerProfile::conservative`].
    fn default() -> Self {
        Self::conservative()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Function; 3] = [Function::Contains, Function::StartsWith, Function::EndsWith];

    #[test]
    fn r_10_each_server_has_its_pages_overlap_and_functions() {
        let thirty = Duration::from_secs(30);
        for (profile, functions, page, overlap) in [
            (ServerProfile::sync_server(), true, None, Duration::ZERO),
            (ServerProfile::mobile_services(), false, Some(1000), thirty),
            (ServerProfile::node_sqlite(), false, Some(1000), thirty),
            (ServerProfile::node_sql_server(), false, Some(1000), thirty),
            (ServerProfile::mobile_apps_dotnet(), false, None, thirty),
            (ServerProfile::datasync(), false, None, thirty),
            (ServerProfile::community_toolkit(), false, None, thirty),
            (ServerProfile::default(), false, None, thirty),
        ] {
            assert_eq!(profile.guaranteed_page(), page);
            assert_eq!(profile.overlap(), overlap);
            assert_eq!(profile.max_page(), 1000);
            assert!(ALL.iter().all(|function| profile.evaluates(*function) == functions));
            assert_eq!(profile.has_sql_nulls(), !functions);
            assert_eq!(profile.has_cheap_rows(), functions, "R12: only our own server by default");
        }
    }

    #[test]
    fn section_6_6_rows_are_revived_as_the_server_of_v3_does_it() {
        assert_eq!(ServerProfile::datasync().undelete(), UndeleteForm::Patch);
        assert_eq!(ServerProfile::community_toolkit().undelete(), UndeleteForm::Put);
        let changed = ServerProfile::community_toolkit().with_undelete(UndeleteForm::Patch);
        assert_eq!(changed, ServerProfile::datasync());
    }

    #[test]
    fn case_101_and_10_3_only_what_compares_by_code_point_is_trusted_with_text() {
        let exact = [ServerProfile::sync_server(), ServerProfile::node_sqlite()];
        assert!(exact.iter().all(ServerProfile::has_exact_text));
        for profile in [
            ServerProfile::mobile_services(),
            ServerProfile::node_sql_server(),
            ServerProfile::mobile_apps_dotnet(),
            ServerProfile::datasync(),
            ServerProfile::community_toolkit(),
        ] {
            assert!(!profile.has_exact_text() && profile.has_sql_nulls() && profile.date_digits() == 3);
        }
    }

    #[test]
    fn q_01_to_q_05_the_node_server_is_asked_only_for_what_it_does_exactly() {
        let node = ServerProfile::node_sqlite();
        let trusted: Vec<Function> =
            Function::ALL.into_iter().filter(|function| node.evaluates(*function)).collect();
        assert_eq!(
            trusted,
            [Function::ToLower, Function::ToUpper, Function::Trim, Function::Concat, Function::Round]
        );
        assert_eq!(ServerProfile::NODE_SQLITE_UNTRUSTED.len() + trusted.len(), Function::ALL.len());
        let ours = ServerProfile::sync_server();
        assert!(Function::ALL.iter().all(|function| ours.evaluates(*function)));
    }

    #[test]
    fn options_hold_within_their_ranges() {
        let profile = ServerProfile::sync_server()
            .without_function(Function::EndsWith)
            .with_function(Function::Contains)
            .with_date_digits(12)
            .with_max_page(0);
        assert_eq!(ALL.map(|function| profile.evaluates(function)), [true, true, false]);
        assert_eq!((profile.date_digits(), profile.max_page()), (9, 1));
        assert_eq!(profile.with_max_page(1_000_000).max_page(), 100_000, "no list is longer");
    }
}
