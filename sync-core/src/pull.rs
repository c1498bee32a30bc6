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
//! - A server of v3 may refuse `id gt`. Then rows by id are counted with `$skip`, each page starting with the last
//!   row of the page before: if that is not there, the set changed, and its rows are read anew.
//! - A full pull with `top` or `skip` is a window in the order the app asked for, with `id` as the last key. Its pages
//!   are counted in the same way.
//!
//! A page is final only if it is empty, or shorter than a page the profile guarantees, or, in v3, shorter than
//! asked for and without a next link: servers cut pages as they like. A server that ignores filter, order or `$skip` is
//! detected and ends the pull with an error, instead of a loop or of a token that passes rows which never came: where
//! nothing but the answers tells that the pull goes on, none may come twice (protocol.md 11, rule 3).

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};

use crate::entity::{self, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ListShape, PageSummary};
use crate::predicate::{Comparison, Node};
use crate::protocol::ListQuery;
use crate::time::{floor_to_millis, is_storable};
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
    /// Whether the server takes `id gt`.
    keys: bool,
    position: Position,
    trail: Trail,
}

#[derive(Clone, Debug, PartialEq)]
enum Position {
    /// Rows at or after the instant, in the order of their times; `skip` only while rows without a time come.
    Sweep {
        from: DateTime<Utc>,
        skip: u64,
    },
    /// Rows of one millisecond, by id.
    Drain {
        at: DateTime<Utc>,
        place: Place,
    },
    /// All rows, by id.
    Walk {
        place: Place,
    },
    /// A window over the rows in an order of the app's: without the first `skip` rows, at most `top` of them.
    Window {
        order: String,
        skip: u64,
        top: Option<u64>,
        place: Place,
    },
    Done,
}

/// How far rows were read, in the server's own order.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// After this id.
    After(Option<String>),
    /// So many rows, the last of which had this id and must come again first (L-30): rows that leave the set shift
    /// all that follow.
    Skipping { last: Option<String>, rows: u64, restarts: u32 },
}

/// Notices that answers go round in a circle.
///
/// One step is remembered and compared with each later one; after 1, 2, 4, .. steps it is replaced by the newest. So a
/// circle of any length is found, in bounded memory (Brent).
#[derive(Clone, Debug, Default, PartialEq)]
struct Trail {
    mark: Option<u64>,
    /// Steps since the mark.
    steps: u64,
    /// Steps after which the mark moves.
    reach: u64,
}

/// How often rows by `$skip` are read anew because the set changed, before the pull gives up.
const MAX_RESTARTS: u32 = 20;

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
        Self::new(table, filter, page_size, guaranteed_page, Position::Sweep { from, skip: 0 })
    }

    /// A pull of every matching row, without a token.
    pub fn full(
        table: &'static TableSchema,
        filter: Node,
        page_size: u32,
        guaranteed_page: Option<u32>,
    ) -> Self {
        Self::new(table, filter, page_size, guaranteed_page, Position::Walk { place: Place::After(None) })
    }

    /// A pull of a window: in the order of this `$orderby`, without the first `skip` rows, at most `top` of them.
    ///
    /// Rows deleted on the server are not asked for, since they would take the places of others.
    ///
    /// Rows that enter or leave the set between two pages shift those that follow; then all is read anew (L-30). What
    /// that cannot show is a row whose own place changes from behind the page to before it while another one makes up
    /// for it.
    pub fn window(
        table: &'static TableSchema,
        filter: Node,
        order: String,
        skip: u64,
        top: Option<u64>,
        page_size: u32,
        guaranteed_page: Option<u32>,
    ) -> Self {
        let position = Position::Window { order, skip, top, place: Place::start(false) };
        Self::new(table, filter, page_size, guaranteed_page, position)
    }

    fn new(
        table: &'static TableSchema,
        filter: Node,
        page_size: u32,
        guaranteed_page: Option<u32>,
        position: Position,
    ) -> Self {
        let (parameters, links, keys) = (Vec::new(), false, true);
        let trail = Trail::default();
        Self { table, filter, parameters, page_size, guaranteed_page, links, keys, position, trail }
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

    /// Whether [`next`](Self::next) goes on behind an id, which some servers of v3 refuse (protocol.md 12.4).
    pub fn is_behind_an_id(&self) -> bool {
        let (Position::Drain { place, .. } | Position::Walk { place }) = &self.position else { return false };
        matches!(place, Place::After(Some(_)))
    }

    /// Sweeps anew from this instant, with another filter; all else stays.
    pub fn sweep_again(&mut self, filter: Node, from: DateTime<Utc>) {
        self.filter = filter;
        self.position = Position::Sweep { from: floor_to_millis(from.max(DateTime::UNIX_EPOCH)), skip: 0 };
        self.trail = Trail::default();
    }

    /// Goes on by `$skip` where it would go on behind an id; reads the rows by id anew.
    pub fn skip_instead(&mut self) {
        self.keys = false;
        self.trail = Trail::default();
        if let Position::Drain { place, .. } | Position::Walk { place } = &mut self.position {
            *place = Place::start(false);
        }
    }

    /// Asks for half as many rows with each page from now on, because the answer to [`next`](Self::next) was larger than
    /// this client takes; `false` if a single row was.
    ///
    /// What makes a page the last one follows: it is compared with what was asked for.
    pub fn ask_for_less(&mut self) -> bool {
        let asked = self.next().and_then(|query| query.top).and_then(|rows| u32::try_from(rows).ok());
        let rows = asked.unwrap_or(self.page_size).min(self.page_size);
        if rows <= 1 {
            return false;
        }
        self.page_size = rows / 2;
        true
    }

    /// The next page to ask for; `None` when the pull is complete.
    pub fn next(&self) -> Option<ListQuery> {
        let mut query = ListQuery {
            filter: None,
            order_by: vec![&entity::ID],
            skip: Some(0),
            top: Some(self.page_size.into()),
            include_deleted: true,
            parameters: self.parameters.clone(),
        };
        let mut filter = self.filter.clone();
        match &self.position {
            Position::Sweep { from, skip } => {
                filter = filter.and(updated_at(Comparison::Ge, *from));
                query.order_by.insert(0, &entity::UPDATED_AT);
                query.skip = Some(*skip);
            }
            Position::Drain { at, place } => {
                filter = filter.and(updated_at(Comparison::Ge, *at));
                if let Some(end) = millisecond_after(*at) {
                    filter = filter.and(updated_at(Comparison::Lt, end));
                }
                filter = place.ask(filter, &mut query);
            }
            Position::Walk { place } => filter = place.ask(filter, &mut query),
            Position::Window { order, skip, top, place } => {
                query.order_by.clear();
                // `ListQuery` orders upwards only.
                query.parameters.push(("$orderby".to_owned(), order.clone()));
                if let Some(top) = top {
                    query.top = query.top.map(|page| page.min(place.left_of(*top)));
                }
                filter = place.ask(filter, &mut query);
                query.skip = query.skip.map(|rows| rows + skip);
                query.include_deleted = false;
            }
            Position::Done => return None,
        }
        query.filter = Some(filter);
        Some(query)
    }

    /// Takes in the answer to [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] when the page shows that the server ignores the filter, the order or `$skip`:
    /// going on could never end.
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
            Position::Drain { at, place } => {
                let place = self.advance_place(page, is_final, place)?;
                self.position = match (place, millisecond_after(at)) {
                    (Some(place), _) => Position::Drain { at, place },
                    (None, Some(from)) => {
                        self.trail = Trail::default();
                        Position::Sweep { from, skip: 0 }
                    }
                    (None, None) => Position::Done,
                };
                Ok(Advance { token: (!page.is_empty()).then_some(at) })
            }
            Position::Walk { place } => {
                self.position = match self.advance_place(page, is_final, place)? {
                    Some(place) => Position::Walk { place },
                    None => Position::Done,
                };
                Ok(Advance { token: None })
            }
            Position::Window { order, skip, top, place } => {
                let place = self.advance_place(page, is_final, place)?;
                self.position = match place.filter(|place| top.is_none_or(|top| place.rows() < top)) {
                    Some(place) => Position::Window { order, skip, top, place },
                    None => Position::Done,
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
        // A row without an id is not stored, so its time counts for nothing (L-17).
        let stored = page.rows().filter(|row| row.id.is_some());
        let greatest = stored.filter_map(|row| row.updated_at).max().map(floor_to_millis);
        if greatest.is_some_and(|greatest| greatest < from) {
            return Err(self.stuck("it returns rows older than the filter asks for"));
        }
        // The token would pass rows that are still to come.
        if !is_final && !page.rows().filter_map(|row| row.updated_at).is_sorted() {
            return Err(self.stuck("it returns rows in another order than that of their times"));
        }
        let next = match greatest {
            _ if is_final => Position::Done,
            Some(greatest) if is_within(page, greatest) => {
                Position::Drain { at: greatest, place: Place::start(self.keys) }
            }
            Some(greatest) if greatest > from => Position::Sweep { from: greatest, skip: 0 },
            // Rows without a time cannot move the bound (L-33).
            _ => Position::Sweep { from, skip: skip + page.len() as u64 },
        };
        if matches!(next, Position::Sweep { from: same, .. } if same == from) {
            self.step(&fingerprint(page))?;
        } else {
            self.trail = Trail::default();
        }
        self.position = next;
        Ok(Advance { token: greatest })
    }

    /// Where the rows go on; `None` at their end.
    fn advance_place(&mut self, page: &PageSummary, is_final: bool, place: Place) -> Result<Option<Place>> {
        let Place::Skipping { last, rows, restarts } = place else {
            if is_final {
                return Ok(None);
            }
            return Ok(Some(Place::After(Some(self.last_id(page)?))));
        };
        let Some(last) = last else {
            if is_final {
                return Ok(None);
            }
            let last = Some(self.last_id(page)?);
            return Ok(Some(Place::Skipping { last, rows: page.len() as u64, restarts }));
        };
        let first = page.rows().next().and_then(|row| row.id);
        if first != Some(last.as_str()) {
            if restarts == MAX_RESTARTS {
                return Err(self.stuck("rows change their places faster than they can be read"));
            }
            self.trail = Trail::default();
            return Ok(Some(Place::Skipping { last: None, rows: 0, restarts: restarts + 1 }));
        }
        if is_final || page.len() == 1 {
            return Ok(None);
        }
        let last = Some(self.last_id(page)?);
        Ok(Some(Place::Skipping { last, rows: rows + page.len() as u64 - 1, restarts }))
    }

    /// The id to go on from: the last one in the server's own order, whatever its collation.
    fn last_id(&mut self, page: &PageSummary) -> Result<String> {
        let Some(last) = page.rows().rev().find_map(|row| row.id) else {
            return Err(self.stuck("it returns rows without ids"));
        };
        self.step(last)?;
        Ok(last.to_owned())
    }

    /// Goes on past something that never comes twice on a server that does what it is asked.
    fn step<T: Hash + ?Sized>(&mut self, past: &T) -> Result<()> {
        if self.trail.leads_back_to(hash(past)) {
            return Err(self.stuck("it returns the same rows again"));
        }
        Ok(())
    }

    fn stuck(&self, how: &str) -> Error {
        Error::new(ErrorKind::InvalidResponse, format!("the server does not page as asked: {how}"))
            .with_table(self.table.name)
    }
}

impl Trail {
    fn leads_back_to(&mut self, step: u64) -> bool {
        if self.mark == Some(step) {
            return true;
        }
        self.steps += 1;
        if self.steps > self.reach {
            self.mark = Some(step);
            self.reach = (self.reach * 2).max(1);
            self.steps = 0;
        }
        false
    }
}

impl Place {
    const fn start(keys: bool) -> Self {
        if keys { Self::After(None) } else { Self::Skipping { last: None, rows: 0, restarts: 0 } }
    }

    /// The rows counted so far.
    const fn rows(&self) -> u64 {
        match self {
            Self::Skipping { rows, .. } => *rows,
            Self::After(_) => 0,
        }
    }

    /// The rows to ask for if so many are wanted in all; one more where one comes again.
    const fn left_of(&self, top: u64) -> u64 {
        match self {
            Self::Skipping { last: Some(_), rows, .. } => top.saturating_sub(*rows) + 1,
            _ => top,
        }
    }

    fn ask(&self, filter: Node, query: &mut ListQuery) -> Node {
        match self {
            Self::After(None) | Self::Skipping { last: None, .. } => filter,
            Self::After(Some(id)) => {
                filter.and(Node::compare(&entity::ID, Comparison::Gt, Value::Text(id.clone())))
            }
            Self::Skipping { rows, .. } => {
                query.skip = Some(rows.saturating_sub(1));
                // One row is known already.
                query.top = query.top.map(|top| top.max(2));
                filter
            }
        }
    }
}

/// The rows of a page in whatever order.
fn fingerprint(page: &PageSummary) -> u64 {
    page.rows().fold(0, |sum, row| sum.wrapping_add(hash(&(row.id, row.version, row.updated_at))))
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether every row of the page has a time inside this millisecond.
fn is_within(page: &PageSummary, at: DateTime<Utc>) -> bool {
    page.rows().all(|row| row.updated_at.is_some_and(|time| floor_to_millis(time) == at))
}

/// The next millisecond; `None` behind the last one that can be asked for.
fn millisecond_after(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    at.checked_add_signed(TimeDelta::milliseconds(1)).filter(|after| is_storable(*after))
}

fn updated_at(comparison: Comparison, instant: DateTime<Utc>) -> Node {
    Node::compare(&entity::UPDATED_AT, comparison, Value::DateTime(instant))
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

    /// The order of windows.
    const BY_TIME: &str = "updatedAt,id";

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
            let is_window =
                query.parameters.iter().any(|(name, order)| name == "$orderby" && order == BY_TIME);
            if is_window || query.order_by[0] == &entity::UPDATED_AT {
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
    fn section_12_4_rows_by_id_are_counted_with_skip_where_ids_are_not_compared() {
        for (cap, page_size) in [(1000, 10), (7, 10), (1000, 1)] {
            // A block of one time, drained; and a walk.
            let mut model = Model::new(cap, numbered(60, |index| if index < 50 { 10_000 } else { 20_000 }));
            for mut cursor in [
                PullCursor::incremental(&TABLE, Node::ALWAYS, None, page_size, None),
                PullCursor::full(&TABLE, Node::ALWAYS, page_size, None),
            ] {
                cursor.skip_instead();
                let (mut seen, mut requests) = (BTreeSet::new(), 0);
                while let Some(query) = cursor.next() {
                    let filter = format!("{:?}", query.filter);
                    assert!(!cursor.is_behind_an_id() && !filter.contains("Gt"), "{filter}");
                    let page = model.page(&query);
                    seen.extend(page.rows().filter_map(|row| row.id.map(str::to_owned)));
                    cursor.advance(&page).expect("a sane server");
                    requests += 1;
                    assert!(requests < 1000, "the pull does not end");
                }
                assert_eq!(seen.len(), 60, "cap {cap}, page size {page_size}");
            }
            let rows: Vec<_> = model.rows.iter().map(|row| row.1.clone()).collect();
            // L-30: a row that leaves between two pages shifts the others; none of them is jumped over.
            let mut cursor = PullCursor::full(&TABLE, Node::ALWAYS, page_size, None);
            cursor.skip_instead();
            let mut removed = BTreeSet::new();
            let (seen, ..) = run(&mut model, cursor, |model, request| {
                if request % 3 == 0 && request < 12 {
                    model.rows.sort_by(|left, right| left.1.cmp(&right.1));
                    removed.insert(model.rows.remove(0).1);
                }
            });
            assert!(rows.iter().all(|id| seen.contains(id) || removed.contains(id)));
        }
    }

    fn window(page_size: u32, guaranteed: Option<u32>, skip: u64, top: Option<u64>) -> PullCursor {
        PullCursor::window(&TABLE, Node::ALWAYS, BY_TIME.to_owned(), skip, top, page_size, guaranteed)
    }

    #[test]
    fn l_03_a_window_is_read_once_over_and_to_its_end() {
        for (cap, guaranteed) in [(1000, Some(1000)), (1000, None), (7, None)] {
            for page_size in [1, 2, 10, 60] {
                for (skip, top, expected) in [
                    (0, Some(1), 1),
                    (0, Some(20), 20),
                    (5, Some(20), 20),
                    (50, Some(20), 10),
                    (45, None, 15),
                ] {
                    let cursor = window(page_size, guaranteed, skip, top);
                    let mut model = Model::new(cap, numbered(60, |index| 10_000 * index as i64));
                    let wanted: Vec<_> = model.rows[skip as usize..].iter().take(expected).collect();
                    let wanted: BTreeSet<_> = wanted.into_iter().map(|row| row.1.clone()).collect();
                    let (seen, requests, token) = run(&mut model, cursor, |_, _| {});
                    let what = format!("cap {cap}, page size {page_size}, skip {skip}, top {top:?}");
                    assert_eq!((seen, token), (wanted, None), "{what}");
                    assert!(requests <= expected + 1, "{what}: {requests} requests");
                }
            }
        }
    }

    #[test]
    fn l_30_rows_that_shift_between_two_pages_of_a_window_are_not_missed() {
        for (cap, page_size) in [(1000, 10), (7, 10), (1000, 1)] {
            for skip in [0, 5] {
                let mut model = Model::new(cap, numbered(60, |index| 10_000 * (10 + index as i64)));
                let mut removed = BTreeSet::new();
                let (seen, ..) = run(&mut model, window(page_size, None, skip, None), |model, request| {
                    if request % 3 == 0 && request < 12 {
                        // One leaves in front; all behind it move up.
                        removed.insert(model.rows.remove(0).1);
                    }
                });
                let missed: Vec<_> =
                    model.rows.iter().skip(skip as usize).filter(|row| !seen.contains(&row.1)).collect();
                assert!(missed.is_empty(), "cap {cap}, page size {page_size}, skip {skip}: {missed:?}");
            }
            // Rows that enter in front push others to a place that was read already.
            let mut model = Model::new(cap, numbered(60, |index| 10_000 * (10 + index as i64)));
            let (seen, ..) = run(&mut model, window(page_size, None, 0, Some(40)), |model, request| {
                if request == 2 {
                    model.rows.insert(0, (0, "new".to_owned()));
                }
            });
            assert!(model.rows.iter().take(40).all(|row| seen.contains(&row.1)), "the window as it is now");
        }
    }

    #[test]
    fn l_30_a_set_that_never_rests_ends_in_an_error() {
        let mut by_id = PullCursor::full(&TABLE, Node::ALWAYS, 2, None);
        by_id.skip_instead();
        for mut cursor in [by_id, window(2, None, 0, Some(100))] {
            let mut model = Model::new(1000, numbered(500, |_| 0));
            let mut requests = 0;
            let error = loop {
                let page = model.page(&cursor.next().expect("not done"));
                if let Err(error) = cursor.advance(&page) {
                    break error;
                }
                model.rows.sort_by(|left, right| left.1.cmp(&right.1));
                model.rows.drain(..2);
                requests += 1;
                assert!(requests < 200, "the pull does not end");
            };
            assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidResponse, Some("T")));
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

    /// Lets a server answer with these pages, over and over, until the pull gives up.
    fn runs_into_an_error(mut cursor: PullCursor, bodies: &[&str]) {
        let pages: Vec<_> = bodies
            .iter()
            .map(|body| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list"))
            .collect();
        for (request, page) in pages.iter().cycle().enumerate() {
            assert!(
                cursor.next().is_some(),
                "{bodies:?}: the pull believes to have all after {request} pages"
            );
            assert!(request < 50, "{bodies:?}: the pull does not end");
            if let Err(error) = cursor.advance(page) {
                assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidResponse, Some("T")));
                return;
            }
        }
    }

    #[test]
    fn l_30_a_server_that_ignores_what_is_asked_never_holds_a_pull_for_ever() {
        let early = "[{\"id\":\"a\",\"updatedAt\":\"2020-01-01T00:00:00Z\"},\
                     {\"id\":\"b\",\"updatedAt\":\"2021-01-01T00:00:00Z\"}]";
        let late = "[{\"id\":\"a\",\"updatedAt\":\"2020-01-01T00:00:00Z\"},\
                    {\"id\":\"c\",\"updatedAt\":\"2021-01-01T00:00:00Z\"}]";
        let same_time = early.replace("2020", "2021");
        let timeless = "[{\"id\":\"a\"},{\"id\":\"b\",\"updatedAt\":\"soon\"}]";
        let turned = "[{\"id\":\"b\",\"updatedAt\":\"soon\"},{\"id\":\"a\"}]";
        let half_timeless = "[{\"id\":\"a\"},{\"id\":\"b\",\"updatedAt\":\"2021-01-01T00:00:00Z\"}]";
        let nameless = "[{\"updatedAt\":\"2021-01-01T00:00:00Z\"},{}]";
        let sweep = || PullCursor::incremental(&TABLE, Node::ALWAYS, None, 2, Some(1000));
        let again = || {
            let mut cursor = sweep();
            cursor.sweep_again(Node::ALWAYS, DateTime::UNIX_EPOCH);
            cursor
        };
        let walk = || PullCursor::full(&TABLE, Node::ALWAYS, 2, Some(1000));
        let counted = || {
            let mut cursor = walk();
            cursor.skip_instead();
            cursor
        };
        for bodies in [
            // One answer to every question, and two servers behind one address that each have one.
            &[early][..],
            &[&same_time],
            &[timeless],
            &[half_timeless],
            &[nameless],
            &[early, late],
            &[timeless, turned],
            &[timeless, half_timeless],
        ] {
            for cursor in [sweep(), again(), walk(), counted(), window(2, Some(1000), 3, None)] {
                runs_into_an_error(cursor, bodies);
            }
        }
    }

    #[test]
    fn l_31_a_server_that_cuts_dates_of_filters_to_seconds_is_no_server_that_ignores_them() {
        // Rows of the second, from its start, whatever millisecond is asked for.
        let scan =
            |body: &str| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let first = scan(
            "[{\"id\":\"a\",\"updatedAt\":\"2020-01-01T00:00:00.100Z\"},\
             {\"id\":\"b\",\"updatedAt\":\"2020-01-01T00:00:00.200Z\"}]",
        );
        let second = scan("[{\"id\":\"c\",\"updatedAt\":\"2020-01-01T00:00:00.200Z\"}]");
        let mut cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 2, Some(2));
        for (page, skip) in [(&first, Some(0)), (&first, Some(2)), (&second, None)] {
            cursor.advance(page).expect("goes on");
            assert_eq!(cursor.next().and_then(|query| query.skip), skip);
        }
    }

    #[test]
    fn h_05_a_page_out_of_order_moves_no_token() {
        let scan =
            |body: &str| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let unordered = scan(
            "[{\"id\":\"a\",\"updatedAt\":\"2021-01-01T00:00:00.000Z\"},\
             {\"id\":\"b\",\"updatedAt\":\"2020-01-01T00:00:00.000Z\"}]",
        );
        let sweep = |guaranteed| PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, guaranteed);
        // Rows between the two may follow on the next page.
        assert_eq!(sweep(None).advance(&unordered).expect_err("stuck").kind(), ErrorKind::InvalidResponse);
        // The last page holds them all, in whatever order.
        let token = sweep(Some(50)).advance(&unordered).expect("all rows").token;
        assert_eq!(token, crate::time::parse("2021-01-01T00:00:00Z"));
    }

    #[test]
    fn l_31_rows_of_the_last_instant_are_drained_and_end_the_pull() {
        let endpoint = crate::protocol::Endpoint::parse("http://server.test").expect("an address");
        let requests = crate::protocol::RequestBuilder::new(endpoint, Dialect::MobileApps);
        let scan =
            |body: &str| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let last = scan("[{\"id\":\"a\",\"updatedAt\":\"9999-12-31T23:59:59.9999999Z\"}]");
        let mut cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 1, None);
        for page in [&last, &last, &scan("[]")] {
            let query = cursor.next().expect("not done");
            requests.list(&TABLE, &query).expect("a page that can be asked for");
            cursor.advance(page).expect("goes on");
        }
        assert_eq!(cursor.next(), None);
    }

    #[test]
    fn l_17_a_row_without_an_id_does_not_move_the_token() {
        let body = "[{\"id\":\"a\",\"updatedAt\":\"2020-01-01T00:00:00.000Z\"},\
                    {\"updatedAt\":\"2021-01-01T00:00:00.000Z\"}]";
        let page = PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let mut cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, None);
        let token = crate::time::parse("2020-01-01T00:00:00Z");
        assert_eq!(cursor.advance(&page).expect("goes on").token, token);
        cursor.advance(&page).expect("goes on");
        assert_eq!(cursor.next().expect("not done").skip, Some(2), "and does not stop the pull");
    }

    #[test]
    fn l_33_rows_without_a_time_are_paged_by_skip() {
        let page =
            |body: &str| PageSummary::scan(body.as_bytes(), Dialect::MobileApps.names()).expect("a list");
        let timeless = [
            page("[{\"id\":\"a\"},{\"id\":\"b\",\"updatedAt\":\"soon\"}]"),
            page("[{\"id\":\"e\"},{\"id\":\"f\",\"updatedAt\":\"soon\"}]"),
        ];
        let mut cursor = PullCursor::incremental(&TABLE, Node::ALWAYS, None, 50, None);
        for (timeless, skip) in timeless.iter().zip([2, 4]) {
            assert_eq!(cursor.advance(timeless).expect("goes on").token, None);
            assert_eq!(cursor.next().expect("not done").skip, Some(skip));
        }
        // A time moves the bound, behind which there is nothing to skip.
        let mixed = page("[{\"id\":\"c\"},{\"id\":\"d\",\"updatedAt\":\"2020-01-01T00:00:00.000Z\"}]");
        let token = crate::time::parse("2020-01-01T00:00:00Z");
        assert_eq!(cursor.advance(&mixed).expect("goes on").token, token);
        assert_eq!(cursor.next().expect("not done").skip, Some(0));
        assert_eq!(cursor.advance(&page("[]")).expect("the end").token, None);
        assert!(cursor.next().is_none());
    }
}
