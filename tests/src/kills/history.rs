//! One history: a server, a file, and processes that open the file one after another and are killed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sync_diesel::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::app::{QUERY, Release, open, second};
use super::file::Found;
use super::ledger::{Checked, Ledger};
use super::process::Orders;
use super::report::{Changes, Phase, Report};
use super::server::{Rows, Server};
use super::{Place, Totals};

/// Kills of one history.
pub(super) const KILLS: u64 = 10;

/// Rounds of push and pull after which all must be quiet.
const ROUNDS: u32 = 4;

/// Rows on the server that the device may change, before it was first opened.
const SHARED: u64 = 60;

/// Values of a process are made of so many numbers.
const NUMBERS: u64 = 1_000_000;

/// Longest time a process may say nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What calls take, as measured so far: a kill is aimed at some moment of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(BTreeMap<Phase, Duration>);

impl Durations {
    fn note(&mut self, phase: Phase, took: Duration) {
        let typical = self.0.entry(phase).or_insert(took);
        *typical = (*typical * 7 + took) / 8;
    }

    /// Some moment of a call of this phase, or shortly after it.
    fn moment(&self, phase: Phase, rng: &mut Rng) -> Duration {
        self.0.get(&phase).copied().unwrap_or(Duration::from_millis(5)).mul_f64(rng.f64() * 1.2)
    }
}

/// See the [module documentation](self).
pub(super) struct History<'h> {
    program: &'h Path,
    runtime: &'h Runtime,
    server: Server,
    folder: TempDir,
    dialect: Dialect,
    ledger: Ledger,
    rng: Rng,
    /// Processes started.
    processes: u64,
    /// The file as the last process left it.
    found: Found,
    /// What processes were told and said, for whoever looks at a violation.
    log: String,
}

/// One process, watched and killed.
struct Watched<'w> {
    child: Child,
    lines: Receiver<Line>,
    /// Calls that did not return yet, the last begun last.
    open: Vec<(Phase, Instant)>,
    /// The kill is aimed at a call of this phase, after so many others of it.
    target: Option<(Phase, u32)>,
    /// When the kill is due.
    due: Option<Instant>,
    was_killed: bool,
    durations: &'w mut Durations,
}

impl<'h> History<'h> {
    pub(super) fn start(seed: u64, program: &'h Path, runtime: &'h Runtime) -> Self {
        let mut rng = Rng::with_seed(seed);
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut server = runtime.block_on(Server::start(&folder.path().join("server.db")));
        let mut ledger = Ledger::default();
        runtime.block_on(async {
            for number in 1..=SHARED {
                let id = format!("shared {number}");
                let columns = server.insert(&id, number).await;
                ledger.on_server(("Item".to_owned(), id), columns);
                server.change(&mut rng, SHARED + number).await;
            }
        });
        let dialects = [Dialect::MobileServices, Dialect::MobileApps, Dialect::Datasync];
        let dialect = dialects[rng.usize(0..dialects.len())];
        Self {
            program,
            runtime,
            server,
            folder,
            dialect,
            ledger,
            rng,
            processes: 0,
            found: Found::default(),
            log: String::new(),
        }
    }

    /// Runs the history to its end; what is wrong is the error.
    pub(super) fn run(&mut self, kills: u64, durations: &mut Durations, totals: &mut Totals) -> Checked {
        let mut killed = 0;
        while killed < kills {
            // The second release comes in the middle of the history.
            let release = if killed * 2 < kills { Release::First } else { Release::Second };
            if self.process(release, durations, totals)? {
                killed += 1;
            }
            self.check()?;
        }
        self.end(totals)
    }

    /// What is counted once the history is over.
    pub(super) fn count(&self, totals: &mut Totals) {
        totals.acknowledged += self.ledger.acknowledged;
        totals.unacknowledged += self.ledger.found;
        totals.pushed += self.server.taken();
    }

    /// Keeps the files, with all that was said; gives where they are.
    pub(super) fn keep(self) -> PathBuf {
        let folder = self.folder.keep();
        std::fs::write(folder.join("processes.log"), self.log).expect("a file can be written");
        folder
    }

    fn say(&mut self, line: impl fmt::Display) {
        writeln!(self.log, "{line}").expect("a text grows");
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// Lets a process live until it is killed, or to its end; gives whether it was killed.
    fn process(
        &mut self,
        release: Release,
        durations: &mut Durations,
        totals: &mut Totals,
    ) -> Result<bool, String> {
        let opening = if self.found.migrations < release.migrations() { Phase::Migrate } else { Phase::Open };
        let mut phases = Phase::ALL.to_vec();
        phases.retain(|phase| !matches!(phase, Phase::Open | Phase::Migrate) || *phase == opening);
        let target = if self.rng.bool() {
            // Whatever was hit least.
            let hits = |phase: &Phase| totals.kills.get(&Place::In(*phase)).copied().unwrap_or_default();
            phases.into_iter().min_by_key(hits).expect("there are phases")
        } else {
            phases[self.rng.usize(0..phases.len())]
        };
        let later = if target == opening { 0 } else { self.rng.u32(0..3) };
        self.processes += 1;
        let orders = Orders {
            url: self.server.url(),
            database: self.database(),
            release,
            dialect: self.dialect,
            seed: self.rng.u64(..),
            first_number: self.processes * NUMBERS,
            mostly: target,
        };
        self.say(format_args!("{orders:?}"));
        let mut watched = Watched::start(self.program, &orders, (target, later), durations);
        let mut others = 0;
        while let Some((at, line)) = watched.next()? {
            let report = Report::parse(&line).ok_or_else(|| format!("not a report: {line}"))?;
            self.say(&line);
            watched.note(at, &report, opening, &mut self.rng);
            match report {
                Report::BeginWrite(Changes(changes)) => self.ledger.begin(changes),
                Report::End(Phase::Write) => self.ledger.acknowledge(),
                Report::End(Phase::Pull) => self.ledger.pulled(),
                Report::Begin(Phase::Purge) => self.ledger.begin_purge(),
                // Not while a kill is due, which it would delay.
                Report::Begin(Phase::Pull | Phase::Push) if watched.due.is_none() => {
                    others += 1;
                    let number = self.processes * NUMBERS + NUMBERS / 2 + others;
                    let change = self.server.change(&mut self.rng, number);
                    self.runtime.block_on(change);
                }
                Report::Begin(_) | Report::End(_) => {}
            }
        }
        let place = watched.open.last().map_or(Place::Between, |(phase, _)| Place::In(*phase));
        let was_killed = watched.end()?;
        if was_killed {
            *totals.kills.entry(place).or_default() += 1;
            self.say(format_args!("killed: {place}"));
        }
        Ok(was_killed)
    }

    /// What must hold in the file that a dead process left.
    fn check(&mut self) -> Checked {
        self.found = Found::read(&self.database())?;
        let server = self.runtime.block_on(self.server.rows());
        self.ledger.settle(&self.found)?;
        check_queue(&self.found)?;
        check_against(&self.found, &server)?;
        self.ledger.check_file(&self.found, &server)
    }

    /// With nobody killed: push and pull until all is quiet, then the file and the server hold the same.
    fn end(&mut self, totals: &mut Totals) -> Checked {
        let (url, dialect, database) = (self.server.url(), self.dialect, self.database());
        let rounds = self.runtime.block_on(settle(&url, dialect, &database));
        let rounds = rounds.map_err(|error| format!("the end: {error}"))?;
        let rounds = rounds.ok_or_else(|| format!("I-10, G3: not quiet after {ROUNDS} rounds"))?;
        totals.rounds = totals.rounds.max(rounds);
        self.ledger.pulled();
        self.check()?;
        let server = self.runtime.block_on(self.server.rows());
        self.ledger.check_server(&server)?;
        if !self.found.operations.is_empty() || !self.found.errors.is_empty() {
            return Err(format!("G3: left in the queue: {:?}", self.found));
        }
        let live: Rows = server.into_iter().filter(|(_, row)| !row.deleted).collect();
        let differs = |key: &_| live.get(key) != self.found.rows.get(key);
        match live.keys().chain(self.found.rows.keys()).find(|key| differs(*key)) {
            None => Ok(()),
            Some(key) => Err(format!(
                "G2: {key:?} is {:?} on the server and {:?} here",
                live.get(key),
                self.found.rows.get(key)
            )),
        }
    }
}

/// Pushes and pulls until nothing changes any more; gives the rounds that took, `None` if they were too many.
async fn settle(url: &str, dialect: Dialect, database: &Path) -> sync_core::Result<Option<u32>> {
    let device = open::<second::App>(url, dialect, database).await?;
    let mut rounds = None;
    for round in 1..=ROUNDS {
        let pushed = device.push().window(8).await?;
        let items = device.pull(QUERY, second::Item::all()).await?;
        let tags = device.pull(QUERY, second::Tag::all()).await?;
        let is_quiet = [items.rows, tags.rows].iter().all(|rows| {
            rows.added + rows.changed + rows.removed + rows.kept_local + rows.quarantined + rows.evicted == 0
        });
        if pushed.sent == 0 && is_quiet && device.pending().await? == 0 {
            rounds = Some(round);
            break;
        }
    }
    device.close().await;
    Ok(rounds)
}

/// I-2, I-9: rows, operations, copies and errors go together.
fn check_queue(found: &Found) -> Checked {
    for (key, operation) in &found.operations {
        if found.rows.contains_key(key) == operation.is_delete {
            return Err(format!("I-2: {key:?} has {operation:?} and the row {:?}", found.rows.get(key)));
        }
    }
    let unsent =
        found.rows.iter().find(|(key, row)| row.version.is_none() && !found.operations.contains_key(*key));
    if let Some((key, row)) = unsent {
        return Err(format!("I-2: no server has {key:?}, and it is not queued: {row:?}"));
    }
    let mut kept = found.copies.iter().chain(&found.errors);
    match kept.find(|key| !found.operations.contains_key(*key)) {
        None => Ok(()),
        Some(key) => Err(format!("I-2: a copy or an error is left of {key:?}, which is not queued")),
    }
}

/// I-4: what the server held below a token is here. G7: a row of a version is that version's.
fn check_against(found: &Found, server: &Rows) -> Checked {
    for (key, there) in server {
        if found.operations.contains_key(key) {
            continue;
        }
        let here = found.rows.get(key);
        let is_below = found.tokens.get(&key.0).zip(there.updated_at).is_some_and(|(token, at)| at < *token);
        let is_here = here.map_or(there.deleted, |here| here.version == there.version && !there.deleted);
        if is_below && !is_here {
            return Err(format!(
                "I-4: the token {:?} is past {key:?}, which is {there:?} there and {here:?} here",
                found.tokens[&key.0]
            ));
        }
        let Some(here) = here.filter(|here| here.version == there.version) else { continue };
        let differs = here.columns.iter().find(|(column, value)| there.columns.get(*column) != Some(value));
        if let Some((column, _)) = differs {
            return Err(format!("G7: {column} of {key:?} is {there:?} there and {here:?} here"));
        }
    }
    Ok(())
}

impl<'w> Watched<'w> {
    fn start(program: &Path, orders: &Orders, target: (Phase, u32), durations: &'w mut Durations) -> Self {
        let mut child = Command::new(program)
            .arg("live")
            .args(orders.to_arguments())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let (to, lines) = mpsc::channel();
        thread::spawn(move || read_lines(stdout, &to));
        Self { child, lines, open: Vec::new(), target: Some(target), due: None, was_killed: false, durations }
    }

    /// The next whole line; kills the process when that is due. `None`: it is gone and has said everything.
    fn next(&mut self) -> Result<Option<Line>, String> {
        loop {
            let wait = self.due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
            match self.lines.recv_timeout(wait) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if self.due.take().is_some() => {
                    self.child.kill().expect("a process of ours can be killed");
                    self.was_killed = true;
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("nothing was said for {PATIENCE:?} while {:?}", self.open));
                }
            }
        }
    }

    /// Takes down which calls are open, and aims when the target has begun.
    fn note(&mut self, at: Instant, report: &Report, opening: Phase, rng: &mut Rng) {
        let begun = match report {
            Report::Begin(Phase::Open) => opening,
            Report::Begin(phase) => *phase,
            Report::BeginWrite(_) => Phase::Write,
            Report::End(phase) => {
                let phase = if *phase == Phase::Open { opening } else { *phase };
                if let Some(index) = self.open.iter().rposition(|(open, _)| *open == phase) {
                    let (_, since) = self.open.remove(index);
                    self.durations.note(phase, at - since);
                }
                return;
            }
        };
        self.open.push((begun, at));
        match &mut self.target {
            Some((phase, 0)) if *phase == begun => {
                self.due = Some(at + self.durations.moment(begun, rng));
                self.target = None;
            }
            Some((phase, later)) if *phase == begun => *later -= 1,
            _ => {}
        }
    }

    /// Whether the process was killed; an end of its own is an error unless it had done all its calls.
    fn end(&mut self) -> Result<bool, String> {
        let status = self.child.wait().expect("a process of ours can be waited for");
        let mut said = String::new();
        let stderr = self.child.stderr.take().expect("its errors are piped");
        BufReader::new(stderr).read_to_string(&mut said).expect("its errors are text");
        match status.success() {
            true => Ok(false),
            false if self.was_killed && said.is_empty() => Ok(true),
            false => Err(format!("the process failed ({status}): {said}")),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        // It has ended long ago, unless something was wrong with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of a process, and when it came.
type Line = (Instant, String);

/// Hands on every line that was written to its end; a killed process may leave half of one.
fn read_lines(stdout: ChildStdout, to: &Sender<Line>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    while stdout.read_line(&mut line).is_ok() && line.ends_with('\n') {
        line.pop();
        if to.send((Instant::now(), std::mem::take(&mut line))).is_err() {
            return;
        }
    }
}
