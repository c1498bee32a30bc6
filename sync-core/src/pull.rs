//! Which page to ask for next: the pull as a pure state machine.
//!
//! The [engine](crate::engine) sends what [`PullCursor::next`] returns and feeds the scan of each answer to
//! [`PullCursor::advance`]. The strategy is right on every server (protocol.md 12.4 with ruling R10):
//!
//! - An incremental pull *sweeps*: rows with `updatedAt ge T` in the order `updatedAt, id`, always from the
//!   start (no skip), and `T` moves to the greatest time of the page, cut to milliseconds. Rows of the last
//!   millisecond come twice; the store drops what it knows by version.
//! - A page that lies inside one millisecond cannot move `T`. The block is *drained*: its rows by `id`, each page
//!   after the last id in the server's own order, until an empty page; then the sweep goes on one millisecond
//!   later. A row changed meanwhile leaves the block towards later times, so nothing is lost or repeated for
//!   ever.
//! - A full pull (no query id) walks by `id gt L`, which hard deletes between two pages cannot shift.
//!
//! A page is final only if it is empty, or shorter than a page the profile guarantees, or, in v3, shorter than
//! asked for and without a next link: servers cut pages as they like. A server that ignores filter or order is detected and ends the pull with an error instead of a loop.

use chrono::{DateTime, TimeDelta, Utc};

use crate::entity::{self, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ListShape, PageSummary};
use crate::predicate::{Comparison, Node};
use crate::protocol::ListQuery;
use crate::time::floor_to_millis;
use crate::value::Value;

/// The state of one pull.
#[derive(Clone, Debug)]
pub struct PullCursor {
    table: &'static TableSchema,
    filter: Node,
    parameters: Vec<(String, String)>,
    page_size: u32,
    guaranteed_page: Option<u32>,
    /// Whether the server says with a page whether more rows follow.
    links: bool,
    position: Position,
}

#[derive(Clone, Debug, PartialEq)]
enum Position {
    /// Rows at or after the instant, in the order of their times; `skip` only while rows without a time come.
    Sweep {
        from: DateTime<Utc>,
        skip: u64,
    },
    /// Rows of one millisecond, after this id in the server's order.
    Drain {
        at: DateTime<Utc>,
        after: Option<String>,
    },
    /// All rows, after this id in the server's order.
    Walk {
        after: Option<String>,
    },
    Done,
}

/// What a page means for the pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The token once this page is stored; `None` leaves it as it is.
    pub token: Option<DateTime<Utc>>,
}

impl PullCursor {
    /// A pull that starts at `from` and moves a token; `None` starts at 1970.
    pub fn incremental(
        table: &'static TableSchema,
        filter: Node,
        from: Option<DateTime<Utc>>,
        page_size: u32,
        guaranteed_page: Option<u32>,
    ) -> Self {
        let from = floor_to_millis(from.unwrap_or(DateTime::UNIX_EPOCH).max(DateTime::UNIX_EPOCH));
        let position = Position::Sweep { from, skip: 0 };
        Self { table, filter, parameters: Vec::new(), page_size, guaranteed_page, links: false, position }
    }

    /// A pull of every matching row, without a token.
    pub fn full(
        table: &'static TableSchema,
        filter: Node,
        page_size: u32,
        guaranteed_page: Option<u32>,
    ) -> Self {
        let position = Position::Walk { after: None };
        Self { table, filter, parameters: Vec::new(), page_size, guaranteed_page, links: false, position }
    }

    /// Sends these parameters with each page (L-06).
    #[must_use]
    pub fn with_parameters(mut self, parameters: Vec<(String, String)>) -> Self {
        self.parameters = parameters;
        self
    }

    /// Believes a page of v3 that has no next link although it is shorter than asked for: it is the last one (R10).
    ///
    /// The links themselves are not followed: they skip over a set that may change meanwhile, and asking on from
    /// what was received is right with and without them.
    #[must_use]
    pub fn with_next_links(mut self) -> Self {
        self.links = true;
        self
    }

    /// The next page to ask for; `None` when the pull is complete.
    pub fn next(&self) -> Option<ListQuery> {
        let by_id = vec![&entity::ID];
        let (filter, order_by, skip) = match &self.position {
            Position::Sweep { from, skip } => (
                self.filter.clone().and(updated_at(Comparison::Ge, *from)),
                vec![&entity::UPDATED_AT, &entity::ID],
                *skip,
            ),
            Position::Drain { at, after } => (
                self.filter
                    .clone()
                    .and(updated_at(Comparison::Ge, *at))
                    .and(updated_at(Comparison::Lt, *at + TimeDelta::milliseconds(1)))
                    .and(id_after(after.as_deref())),
                by_id,
                0,
            ),
            Position::Walk { after } => (self.filter.clone().and(id_after(after.as_deref())), by_id, 0),
            Position::Done => return None,
        };
        Some(ListQuery {
            filter: Some(filter),
            order_by,
            skip: Some(skip),
            top: Some(self.page_size.into()),
            include_deleted: true,
            parameters: self.parameters.clone(),
        })
    }

    /// Takes in the answer to [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] when the page shows that the server ignores the filter or the order: going
    /// on could never end.
    pub fn advance(&mut self, page: &PageSummary) -> Result<Advance> {
        let is_shorter_than = |rows: u32| (page.len() as u64) < u64::from(rows);
        let ends_by_link = self.links
            && page.shape() == ListShape::Items
            && page.next_link().is_none()
            && is_shorter_than(self.page_size);
        let is_final = page.is_empty()
            || ends_by_link
            || self.guaranteed_page.is_some_and(|guaranteed| is_shorter_than(guaranteed.min(self.page_size)));
        match self.position.clone() {
            Position::Sweep { from, skip } => self.advance_sweep(page, is_final, from, skip),
            Position::Drain { at, after } => {
                self.position = if is_final {
                    Position::Sweep { from: at + TimeDelta::milliseconds(1), skip: 0 }
                } else {
                    Position::Drain { at, after: Some(self.last_id(page, after.as_deref())?) }
                };
                Ok(Advance { token: (!page.is_empty()).then_some(at) })
            }
            Position::Walk { after } => {
                self.position = if is_final {
                    Position::Done
                } else {
                    Position::Walk { after: Some(self.last_id(page, after.as_deref())?) }
                };
                Ok(Advance { token: None })
            }
            Position::Done => Ok(Advance { token: None }),
        }
    }

    fn advance_sweep(
        &mut self,
        page: &PageSummary,
        is_final: bool,
        from: DateTime<Utc>,
        skip: u64,
    ) -> Result<Advance> {
        let greatest = page.greatest_updated_at().map(floor_to_millis);
        if greatest.is_some_and(|greatest| greatest < from) {
            return Err(self.stuck("it returns rows older than the filter asks for"));
        }
        self.position = match greatest {
            _ if is_final => Position::Done,
            // Rows without a time cannot move the bound (L-33).
            None => Position::Sweep { from, skip: skip + page.len() as u64 },
            Some(greatest) if is_within(page, greatest) => Position::Drain { at: greatest, after: None },
            Some(greatest) if greatest > from => Position::Sweep { from: greatest, skip: 0 },
            Some(_) => Position::Sweep { from, skip: skip + page.len() as u64 },
        };
        Ok(Advance { token: greatest })
    }

    /// The id to go on from: the last one in the server's own order, whatever its collation.
    fn last_id(&self, page: &PageSummary, previous: Option<&str>) -> Result<String> {
        let last = page.rows().rev().find_map(|row| row.id);
        match last {
            None => Err(self.stuck("it returns rows without ids")),
            Some(last) if Some(last) == previous => Err(self.stuck("it returns the same rows again")),
            Some(last) => Ok(last.to_owned()),
        }
    }

    fn stuck(&self, how: &str) -> Error {
        Error::new(ErrorKind::InvalidResponse, format!("the server does not page as asked: {how}"))
            .with_table(self.table.name)
    }
}

/// Whether every row of the page has a time inside this millisecond.
fn is_within(page: &PageSummary, at: DateTime<Utc>) -> bool {
    page.rows().all(|row| row.updated_at.is_some_and(|time| floor_to_millis(time) == at))
}

fn updated_at(comparison: Comparison, instant: DateTime<Utc>) -> Node {
    Node::compare(&entity::UPDATED_AT, comparison, Value::DateTime(instant))
}

fn id_after(id: Option<&str>) -> Node {
    id.map_or(Node::ALWAYS, |id| Node::compare(&entity::ID, Comparison::Gt, Value::Text(id.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::protocol::Dialect;

    static TABLE: TableSchema = TableSchema { name: "T", columns: &[], versioned: true, keep_deleted: false };

    /// A server with rows `(time in 100 ns steps, id)`, a page cap, and real filter and order semantics.
    struct Model {
        rows: Vec<(i64, String)>,
        cap: usize,
        /// Answers as v3 does: an object with a link to the next page if one follows and `$top` is not used up.
        links: bool,
    }

    impl Model {
        fn new(cap: usize, rows: impl IntoIterator<Item = (i64, String)>) -> Self {
            Self { rows: rows.into_iter().collect(), cap, links: false }
        }

        fn with_links(cap: usize, rows: impl IntoIterator<Item = (i64, String)>) -> Self {
            Self { links: true, ..Self::new(cap, rows) }
        }

        fn page(&self, query: &ListQuery) -> PageSummary {
            let mut rows: Vec<_> = self
                .rows
                .iter()
                .filter(|(time, id)| match query.filter.as_ref() {
                    Some(Node::And(parts)) => parts.iter().all(|part| holds(part, *time, id)),
                    Some(part) => holds(part, *time, id),
                    None => true,
                })
                .collect();
            if query.order_by[0] == &entity::UPDATED_AT {
                rows.sort();
            } else {
                rows.sort_by(|left, right| left.1.cmp(&right.1));
            }
            let (top, skip) = (query.top.unwrap_or(50) as usize, query.skip.unwrap_or(0) as usize);
            let take = self.cap.min(top);
            let follows = take < top && skip + take < rows.len();
            let body: Vec<_> = rows
                .into_iter()
                .skip(skip)
                .take(take)
                .map(|(time, id)| {
                    let mut text = String::new();
                    crate::time::write_wire(&mut text, instant(*time));
                    format!("{{\"id\":\"{id}\",\"updatedAt\":\"{text}\"}}")
                })
                .collect();
            let body = match (self.links, follows) {
                (false, _) => format!("[{}]", body.join(",")),
                (true, true) => format!("{{\"items\":[{}],\"nextLink\":\"$skip={take}\"}}", body.join(",")),
                (true, false) => format!("{{\"items\":[{}],\"nextLink\":null}}", body.join(",")),
            };
            PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list")
        }
    }

    fn instant(steps: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(steps * 100)
    }

    fn holds(part: &Node, time: i64, id: &str) -> bool {
        let Node::Compare(comparison, left, right) = part else { panic!("{part:?}") };
        let (Node::Column(column), Node::Literal(value)) = (&**left, &**right) else { panic!("{part:?}") };
        let order = match value {
            Value::DateTime(bound) => instant(time).cmp(bound),
            Value::Text(bound) => id.cmp(bound.as_str()),
            other => panic!("{other:?} for {}", column.name),
        };
        match comparison {
            Comparison::Ge => order.is_ge(),
            Comparison::Gt => order.is_gt(),
            Comparison::Lt => order.is_lt(),
            other => panic!("{other:?}"),
        }
    }

    /// Runs a pull to its end; returns ids seen, requests made and the last token.
    fn run(
        model: &mut Model,
        mut cursor: PullCursor,
        mut between: impl FnMut(&mut Model, usize),
    ) -> (BTreeSet<String>, usize, Option<DateTime<Utc>>) {
        let (mut seen, mut token, mut requests) = (BTreeSet::new(), None, 0);
        while let Some(query) = cursor.next() {
            requests += 1;
            assert!(requests < 10_000, "the pull does not end");
            let page = model.page(&query);
            seen.extend(page.rows().filter_map(|row| row.id.map(str::to_owned)));
            token = token.max(cursor.advance(&page).expect("a sane server").token);
            between(model, requests);
        }
        (seen, requests, token)
    }

    fn numbered(count: usize, time: impl Fn(usize) -> i64) -> Vec<(i64, String)> {
        (0..count).map(|index| (time(index), format!("{:05}", index * 7919 % 99_991))).collect()
    }

    #[test]
    fn l_31_ties_larger_than_a_page() {
        for (cap, guaranteed) in [(1000, Some(1000)), (1000, None), (7, None)] {
            for page_size in [1, 10, 50] {
                let rows =
                    numbered(230, |index| if index < 200 { 50_000 } else { 50_000 + index as i64 * 9_999 });
                let mut model = Model::new(cap, rows);
                let guaranteed = if cap < 50 { None } else { guaranteed };
                let cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, page_size, guaranteed);
                let (seen, _, token) = run(&mut model, cursor, |_, _| {});
                assert_eq!(seen.len(), 230, "cap {cap}, page size {page_size}");
                assert_eq!(token, Some(floor_to_millis(instant(50_000 + 229 * 9_999))));
            }
        }
    }

    #[test]
    fn h_02_ties_below_a_millisecond_end_and_deliver_all() {
        let rows = numbered(300, |index| 123_450_000 + (index as i64 * 37) % 10_000);
        let (seen, _, token) = run(
            &mut Model::new(1000, rows),
            PullCursor::incremental(&TABLE, Node::ALWAYS, None, 10, None),
            |_, _| {},
        );
        assert_eq!(seen.len(), 300);
        assert_eq!(token, Some(instant(123_450_000)));
    }

    #[test]
    fn h_06_rows_changed_during_the_pull_are_neither_lost_nor_looped_over() {
        for (cap, page_size) in [(1000, 10), (3, 10), (1000, 1)] {
            let rows = numbered(120, |index| 10_000 * (1 + index as i64 / 40));
            let mut model = Model::new(cap, rows);
            let cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, page_size, None);
            let (seen, _, _) = run(&mut model, cursor, |model, request| {
                if request < 40 {
                    let index = request * 13 % model.rows.len();
                    model.rows[index].0 = 9_000_000 + request as i64 * 10_000;
                }
            });
            assert_eq!(seen.len(), 120, "cap {cap}, page size {page_size}");
        }
    }

    #[test]
    fn l_28_a_short_page_is_final_only_where_the_profile_says_so() {
        let count = |guaranteed| {
            let mut model = Model::new(1000, numbered(5, |index| 10_000 * index as i64));
            run(&mut model, PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, guaranteed), |_, _| {})
        };
        let (seen, requests, _) = count(Some(1000));
        assert_eq!((seen.len(), requests), (5, 1));
        let (seen, requests, _) = count(None);
        assert_eq!(seen.len(), 5);
        assert!(requests > 1, "a capped page must not end the pull");
    }

    #[test]
    fn r_10_without_a_next_link_a_page_shorter_than_asked_for_is_the_last_one() {
        let rows = || numbered(230, |index| 10_000 * (1 + index as i64 / 40));
        let pull = |cursor: PullCursor, mut model: Model| run(&mut model, cursor, |_, _| {});
        let sweep = || PullCursor::incremental(&TABLE, Node::ALWAYS, None, 1000, None);
        let walk = |page_size| PullCursor::full(&TABLE, Node::ALWAYS, page_size, None);

        let (seen, requests, token) = pull(sweep().with_next_links(), Model::with_links(1000, rows()));
        assert_eq!((seen.len(), requests), (230, 1), "the only page says that it is the last");
        assert_eq!(token, Some(instant(60_000)));
        for cap in [1, 7, 100] {
            let (seen, _, token) = pull(sweep().with_next_links(), Model::with_links(cap, rows()));
            assert_eq!((seen.len(), token), (230, Some(instant(60_000))), "cap {cap}");
        }
        let (seen, requests, _) = pull(walk(1000).with_next_links(), Model::with_links(100, rows()));
        assert_eq!((seen.len(), requests), (230, 3));
        // A page that uses `$top` up says nothing: 230 rows in pages of 115.
        let (seen, requests, _) = pull(walk(115).with_next_links(), Model::with_links(1000, rows()));
        assert_eq!((seen.len(), requests), (230, 3));
        // A list without a place for links says nothing either.
        let (seen, requests, _) = pull(walk(1000).with_next_links(), Model::new(100, rows()));
        assert_eq!((seen.len(), requests), (230, 4));
        // Without the word of the dialect links are not believed.
        let (seen, requests, _) = pull(walk(1000), Model::with_links(100, rows()));
        assert_eq!((seen.len(), requests), (230, 4));
    }

    #[test]
    fn t_07_an_empty_pull_has_no_token() {
        let cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, None);
        assert_eq!(run(&mut Model::new(50, []), cursor, |_, _| {}), (BTreeSet::new(), 1, None));
    }

    #[test]
    fn l_27_a_full_pull_walks_by_id_and_survives_hard_deletes() {
        for (cap, guaranteed) in [(1000, Some(1000)), (7, None)] {
            let mut model = Model::new(cap, numbered(100, |_| 0));
            let first: Vec<_> = model.rows.iter().map(|row| row.1.clone()).collect();
            let cursor = PullCursor::full(&TABLE, Node::ALWAYS, 10, guaranteed);
            let mut removed = BTreeSet::new();
            let (seen, _, token) = run(&mut model, cursor, |model, request| {
                if request < 5 {
                    model.rows.sort_by(|left, right| left.1.cmp(&right.1));
                    removed.insert(model.rows.remove(0).1);
                }
            });
            assert!(first.iter().all(|id| seen.contains(id) || removed.contains(id)));
            assert_eq!(token, None);
        }
    }

    #[test]
    fn servers_that_ignore_filter_or_order_end_in_an_error() {
        let scan =
            |body: &str| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let old = scan("[{\"id\":\"a\",\"updatedAt\":\"2020-01-01T00:00:00.000Z\"}]");
        let mut cursor = PullCursor::incremental(
            &TABLE,
            Node::ALWAYS,
            crate::time::parse("2021-01-01T00:00:00Z"),
            50,
            None,
        );
        assert_eq!(cursor.advance(&old).expect_err("stuck").kind(), ErrorKind::InvalidResponse);

        let mut walk = PullCursor::full(&TABLE, Node::ALWAYS, 1, None);
        walk.advance(&old).expect("the first page");
        assert_eq!(walk.advance(&old).expect_err("stuck").kind(), ErrorKind::InvalidResponse);
    }

    #[test]
    fn l_33_rows_without_a_time_are_paged_by_skip() {
        let body = "[{\"id\":\"a\"},{\"id\":\"b\",\"updatedAt\":\"soon\"}]";
        let page = PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let mut cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, None);
        assert_eq!(cursor.advance(&page).expect("goes on").token, None);
        assert_eq!(cursor.next().expect("not done").skip, Some(2));
    }
}
