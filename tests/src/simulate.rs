//! Nothing is lost, nothing is doubled, and in the end all agree: random histories of devices, a server and a network
//! that fails, run in virtual time.
//!
//! One seed is one [`History`]: its devices, its server, and what happens, in order. Everything runs in one thread;
//! a device rests before and after each step of its store and each request, and there another may go on, or the device
//! may be killed. The same seed gives the same trace, line by line.
//!
//! - [`model`]: the app's tables and queries.
//! - `server`: a server of all three dialects, independent of `sync-server`.
//! - `world`: virtual time and the network with its [`Fault`]s.
//! - `store`, `device`: the real stores and the real engine, held so that they can be killed.
//! - `ledger`: what each app was told to be done.
//! - `follower`: who listens to a device's changes.
//! - `run`: drives a history and checks it.
//!
//! # What is checked
//!
//! After every step: each acknowledged write is queued, or took effect, or was decided about (I-1, I-3, G1); rows and
//! operations go together, also after a kill (I-2, G6); failed operations have their error (I-9); versions never go back
//! (G7); no write takes effect twice (G4, G7); every write of a known row has a condition (I-5); what a client does not
//! know stays on the server (I-6); listeners are told which rows changed (E-01, E-04); parents come before children (G5);
//! a purge without force drops no operation (G10).
//! Writes of the app happen while calls are under way, at any point (I-8, G8). After every successful pull: what matched
//! before it began, and nobody changed since, is here, or beside the change of it that waits (I-4). At the end the network
//! is well: within [`ROUNDS`](run::ROUNDS) rounds every queue is empty (I-10, G3), every device agrees with the server
//! about the rows of its queries (G2), and the store finds by a query what the evaluator finds (G9).
//!
//! No device has a clock (I-7). Every history runs twice, and both traces must be the same.
//!
//! A violation is shrunk and printed as a text that [`History::parse`] reads; such texts are kept in `tests/histories`
//! and run for ever.
//!
//! # What a server may not do here
//!
//! An insert that its client gave up never arrives later than the client's next request: it could undo a delete that
//! followed, and no client of this protocol could prevent it. Late and coarse times stay within the overlap that the
//! server's profile asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

pub(crate) use self::ledger::json;

pub use self::history::History;
pub use self::run::{Outcome, run};
pub use self::world::Fault;

mod device;
mod follower;
mod history;
mod ledger;
pub mod model;
pub mod run;
mod server;
mod store;
mod world;

/// Lines of the trace that a violation shows.
const SHOWN: usize = 120;

/// What many histories did.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Histories run.
    pub histories: u64,
    /// Requests sent.
    pub requests: u64,
    /// Changes that servers took.
    pub commits: u64,
    /// What apps wrote.
    pub writes: u64,
    /// Devices killed.
    pub kills: u64,
    /// Conflicts decided.
    pub decisions: u64,
    /// Most rounds until all was quiet.
    pub rounds: u32,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} histories", self.histories)?;
        writeln!(
            f,
            "{} writes of apps, {} of them and of others taken by servers",
            self.writes, self.commits
        )?;
        writeln!(
            f,
            "{} requests, {} conflicts decided, {} devices killed",
            self.requests, self.decisions, self.kills
        )?;
        writeln!(f, "quiet after at most {} rounds of push and pull once the network was well", self.rounds)?;
        writeln!(f, "{} faults of the network:", self.faults.values().sum::<u64>())?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {:<12}{times:>8}", format!("{fault:?}"))?;
        }
        Ok(())
    }
}

impl AddAssign<&Outcome> for Totals {
    fn add_assign(&mut self, outcome: &Outcome) {
        self.histories += 1;
        self.requests += outcome.requests;
        self.commits += outcome.commits;
        self.writes += outcome.writes;
        self.kills += outcome.kills;
        self.decisions += outcome.decisions;
        self.rounds = self.rounds.max(outcome.rounds);
        for (fault, times) in &outcome.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
    }
}

/// A history in which something is wrong, made as short as it could be.
#[derive(Debug)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// The shortest history found that shows it.
    pub history: History,
    trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.history.seed, self.what)?;
        writeln!(f, "{:?}", self.history.setting)?;
        writeln!(f, "to be kept in tests/histories: {}", self.history.to_text())?;
        writeln!(f, "steps left after shrinking:")?;
        for step in &self.history.steps {
            writeln!(f, "  {step:?}")?;
        }
        let skipped = self.trace.len().saturating_sub(SHOWN);
        writeln!(f, "trace ({skipped} lines before):")?;
        self.trace.iter().skip(skipped).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Failures after which [`many`] begins no further history.
const ENOUGH: usize = 5;

/// Runs the histories of these seeds, several at a time.
pub fn many(seeds: Range<u64>) -> (Totals, Vec<Violation>) {
    let (totals, violations) = (Mutex::new(Totals::default()), Mutex::new(Vec::new()));
    for_each(seeds, |seed| match check(History::of(seed)) {
        Ok(outcome) => {
            *totals.lock().expect("no panic") += &outcome;
            true
        }
        Err(violation) => {
            let mut violations = violations.lock().expect("no panic");
            violations.push(*violation);
            violations.len() < ENOUGH
        }
    });
    (totals.into_inner().expect("no panic"), violations.into_inner().expect("no panic"))
}

/// What is wrong with the first of these histories in which anything is, as it comes: each runs once, and none is shrunk.
pub fn first_violation(seeds: Range<u64>) -> Option<String> {
    let found = Mutex::new(None);
    for_each(seeds, |seed| match run(&History::of(seed)).violation {
        None => found.lock().expect("no panic").is_none(),
        Some(what) => {
            found.lock().expect("no panic").get_or_insert(format!("seed {seed}: {what}"));
            false
        }
    });
    found.into_inner().expect("no panic")
}

/// Calls `work` for the seeds, several at a time, as long as it says to go on.
fn for_each(seeds: Range<u64>, work: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(seeds.start);
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while goes_on.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    if !work(seed) {
                        goes_on.store(false, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

/// Runs a history twice.
///
/// # Errors
///
/// What is wrong, with the shortest history that shows it.
pub fn check(history: History) -> Result<Outcome, Box<Violation>> {
    let outcome = run(&history);
    match &outcome.violation {
        Some(what) => Err(Box::new(shrunk(history, what.clone(), outcome.trace.clone()))),
        None if run(&history).trace != outcome.trace => {
            let what = "two runs of one history differ".to_owned();
            Err(Box::new(Violation { what, history, trace: outcome.trace }))
        }
        None => Ok(outcome),
    }
}

/// Leaves out faults and steps as long as the same rule is broken.
fn shrunk(history: History, what: String, trace: Vec<String>) -> Violation {
    let rule = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
    let broken = rule(&what);
    let mut smallest = Violation { what, history, trace };
    let try_instead = |smallest: &mut Violation, history: History| {
        let outcome = run(&history);
        match outcome.violation {
            Some(what) if rule(&what) == broken => {
                *smallest = Violation { what, history, trace: outcome.trace };
                true
            }
            _ => false,
        }
    };
    let mut chunk = smallest.history.steps.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < smallest.history.steps.len() {
            let mut history = smallest.history.clone();
            let to = (from + chunk).min(history.steps.len());
            history.steps.drain(from..to);
            if !try_instead(&mut smallest, history) {
                from = to;
            }
        }
        if chunk == 1 {
            break;
        }
        chunk /= 2;
    }
    for bit in 0..Fault::ALL.len() {
        let mut history = smallest.history.clone();
        history.setting.weather.kinds &= !(1 << bit);
        try_instead(&mut smallest, history);
    }
    smallest
}
