//! Real processes on a real file, killed at random moments: nothing they were told to be done is lost, nothing is
//! doubled, and the file is whole.
//!
//! A history is a `sync-server` on a loopback socket, a SQLite file, and processes that open the file one after
//! another. Each writes locally (typed, in batches, by plain statements of Diesel), pushes with several windows, pulls
//! and purges at random, and tells before and after each call by a line on its output. The parent kills it (SIGKILL) at
//! a random moment of a call that it aimed at. In the middle of a history the app gets its second release, whose
//! migrations add a column and a table.
//!
//! After each kill a copy of the file is read with SQLite alone: it is whole, rows and operations agree (I-2), every
//! acknowledged write is in it exactly, or purged and on the server exactly (I-1, G1), and no token is past a row that is
//! not here (I-4). The next process finds the file as it was left. In the end nobody is killed: after few rounds of push
//! and pull the server and the file hold the same rows, among them every acknowledged write, and nothing twice.
//!
//! A seed decides what the processes do and what the kills are aimed at. The moment a kill hits depends on the machine,
//! so a seed makes a violation likely again, not certain; the files of a violation are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::history::{Durations, History, KILLS};

pub use self::process::{Orders, live};
pub use self::report::{Phase, Report};

pub mod app;
mod file;
mod history;
mod ledger;
mod process;
mod report;
mod server;

/// What a kill hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A call that had begun and had not returned.
    In(Phase),
    /// No call.
    Between,
}

/// What many histories came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Histories run.
    pub histories: u64,
    /// Kills by what they hit.
    pub kills: BTreeMap<Place, u64>,
    /// Local writes that returned.
    pub acknowledged: u64,
    /// Local writes that were committed when the kill came before they returned.
    pub unacknowledged: u64,
    /// Changes that the servers took from devices.
    pub pushed: u64,
    /// Most rounds of push and pull until all was quiet.
    pub rounds: u32,
    /// What was wrong, one history each.
    pub violations: Vec<String>,
    /// How long all of it took.
    pub took: Duration,
}

/// Runs histories until so many processes were killed. `program` is the binary that calls [`live`] when its arguments
/// are `live` and the [`Orders`].
///
/// # Panics
///
/// When the program cannot be started or the machine refuses files or sockets.
pub fn run(program: &Path, kills: u64, seed: u64) -> Totals {
    let began = Instant::now();
    let runtime = Runtime::new().expect("threads can be started");
    let mut totals = Totals::default();
    let mut durations = Durations::default();
    let mut left = kills;
    while left > 0 {
        let of_history = left.min(KILLS);
        left -= of_history;
        let seed = seed.wrapping_add(totals.histories);
        let mut history = History::start(seed, program, &runtime);
        let checked = history.run(of_history, &mut durations, &mut totals);
        totals.histories += 1;
        history.count(&mut totals);
        if let Err(violation) = checked {
            totals.violations.push(format!("seed {seed}: {violation}\nkept in {}", history.keep().display()));
        }
    }
    totals.took = began.elapsed();
    totals
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(phase) => phase.fmt(f),
            Self::Between => f.pad("between calls"),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed: u64 = self.kills.values().sum();
        writeln!(f, "{killed} kills in {} histories:", self.histories)?;
        for (place, kills) in &self.kills {
            writeln!(f, "  {place:<14} {kills}")?;
        }
        writeln!(
            f,
            "writes acknowledged: {}, committed without that: {}",
            self.acknowledged, self.unacknowledged
        )?;
        writeln!(f, "operations pushed: {}", self.pushed)?;
        writeln!(f, "rounds until quiet: at most {}", self.rounds)?;
        writeln!(f, "violations: {}", self.violations.len())?;
        write!(f, "time: {:.1} s", self.took.as_secs_f64())
    }
}
