//! Whatever comes from outside, damaged: no panic, no hang, no growth, and a typed error or an answer.
//!
//! A [`Target`] is a way into the program for bytes of others, with a small corpus of valid inputs and a check. One
//! seed is one input: one of the corpus after some [changes](mutate). The check fails by itself, by a panic in whatever
//! thread, by time, or by memory; a failing input is shrunk by leaving out pieces.
//!
//! - [`pages`]: list bodies; both stores must store and refuse the same.
//! - [`answers`]: statuses, headers and bodies of a push, a pull and a probe; both stores must end alike.
//! - [`filters`]: `$filter` and `$orderby` as a server reads them; every engine must agree on what they mean.
//! - [`requests`]: whole requests to `sync-server`.
//! - [`stored`]: the texts that a local database keeps: predicates, rows, instants.
//! - [`damage`]: local databases with damaged cells or pages.
//!
//! The plain test run tries few inputs of each; `cargo xtask fuzz` as many as the time allows.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;

use self::guard::Guard;

pub mod answers;
pub mod damage;
pub mod filters;
mod guard;
pub mod model;
pub mod mutate;
pub mod pages;
pub mod requests;
pub mod stored;

/// How much more memory than before the first input a run may use at any time, in KiB.
const PEAK: u64 = 512 * 1024;
/// How much more memory may be in use at the end of a run than after its first part, in KiB.
const GROWTH: u64 = 96 * 1024;
/// Inputs after which caches and pools have their size.
const WARM: u64 = 100;
/// Inputs between two looks at memory.
const BATCH: u64 = 50;
/// Different faults after which a run ends.
const FAULTS: usize = 8;
/// Tries to shrink an input.
const SHRINKING: usize = 1_500;

/// A way into the program for bytes of others.
pub trait Target {
    /// Names the target for people.
    fn name(&self) -> &'static str;

    /// Valid inputs.
    fn corpus(&self) -> Vec<Vec<u8>>;

    /// Words of the target's language.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// The input of a seed.
    fn input(&self, rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
        mutate::damaged(rng, corpus, self.words())
    }

    /// Puts an input in.
    ///
    /// # Errors
    ///
    /// What is wrong: a rule before the first colon, then the details.
    fn check(&mut self, input: &[u8]) -> Result<Verdict, String>;
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, wholly or in part.
    Taken,
    /// It was refused as a whole.
    Refused,
}

/// How many inputs are tried.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many.
    Inputs(u64),
    /// As many as fit.
    Time(Duration),
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The target.
    pub target: &'static str,
    /// Inputs tried.
    pub inputs: u64,
    /// Of these, taken.
    pub taken: u64,
    /// Time of the whole run.
    pub time: Duration,
    /// Processor time of the slowest input, with its seed.
    pub slowest: (Duration, u64),
    /// Most memory in use, in KiB; `None` where it cannot be measured.
    pub peak: Option<u64>,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, inputs, taken, time, slowest, peak } = self;
        write!(f, "{target}: {inputs} inputs, {taken} taken, in {:.1} s; ", time.as_secs_f64())?;
        write!(f, "slowest {} ms (seed {}); ", slowest.0.as_millis(), slowest.1)?;
        match peak {
            Some(peak) => write!(f, "peak {} MiB", peak / 1024),
            None => f.write_str("memory not measured"),
        }
    }
}

/// An input that shows a fault, made as short as it could be.
#[derive(Debug)]
pub struct Violation {
    /// The target and what it was given.
    pub case: String,
    /// What is wrong.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4_000;
        writeln!(f, "{}: {}", self.case, self.what)?;
        let shown = &self.input[..self.input.len().min(SHOWN)];
        writeln!(f, "the input ({} bytes): {}", self.input.len(), shown.escape_ascii())
    }
}

/// Tries the corpus, the inputs that once failed, and those of the seeds from `from` on. Gives what was done and what is
/// wrong, each fault once, with the shortest input found that shows it.
pub fn run<T: Target>(
    make: impl Fn() -> T,
    kept: &[(String, Vec<u8>)],
    from: u64,
    limit: Limit,
) -> (Coverage, Vec<Violation>) {
    let mut target = make();
    let name = target.name();
    let mut guard = Guard::new(name);
    let corpus = target.corpus();
    let mut violations = Vec::new();
    let (started, slowest) = (Instant::now(), (Duration::ZERO, 0));
    let mut coverage =
        Coverage { target: name, inputs: 0, taken: 0, time: Duration::ZERO, slowest, peak: None };
    let known = corpus.iter().enumerate().map(|(index, input)| (format!("corpus {index}"), input));
    let is_valid = known.len();
    let known = known.chain(kept.iter().map(|(file, input)| (file.clone(), input)));
    for (index, (place, input)) in known.enumerate() {
        let (case, input) = (format!("{name}, {place}"), input.clone());
        match guard.run(&case, &input, || target.check(&input)) {
            Ok((Verdict::Refused, _)) if index < is_valid => {
                violations.push(Violation { case, what: "a valid input is refused".to_owned(), input });
            }
            Ok(_) => {}
            Err(what) => {
                violations.push(Violation { case, what, input });
                target = make();
            }
        }
    }
    let mut memory = Memory::new();
    let mut broken = BTreeSet::new();
    while match limit {
        Limit::Inputs(inputs) => coverage.inputs < inputs,
        Limit::Time(time) => started.elapsed() < time,
    } {
        let seed = from + coverage.inputs;
        let case = format!("{name}, seed {seed}");
        let input = target.input(&mut Rng::with_seed(seed), &corpus);
        let outcome = guard.run(&case, &input, || target.check(&input));
        coverage.inputs += 1;
        let outcome = outcome.and_then(|done| memory.look(coverage.inputs).map(|()| done));
        match outcome {
            Ok((verdict, took)) => {
                coverage.taken += u64::from(verdict == Verdict::Taken);
                coverage.slowest = coverage.slowest.max((took, seed));
            }
            Err(what) => {
                target = make();
                if broken.insert(rule(&what)) {
                    violations.push(shrunk(&mut guard, &make, Violation { case, what, input }));
                }
                if broken.len() == FAULTS {
                    break;
                }
            }
        }
    }
    coverage.time = started.elapsed();
    coverage.peak = guard::memory().map(|memory| memory.1);
    (coverage, violations)
}

/// What a fault is, without its details.
fn rule(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default();
    line.split(": ").next().unwrap_or_default().to_owned()
}

/// The memory of a run, in KiB in use and at most; `None` where it cannot be measured.
struct Memory {
    before: Option<(u64, u64)>,
    warm: Option<(u64, u64)>,
}

impl Memory {
    fn new() -> Self {
        guard::forget_peak();
        let before = guard::memory();
        Self { before, warm: None }
    }

    /// Compares with what was in use before.
    fn look(&mut self, inputs: u64) -> Result<(), String> {
        if inputs == WARM {
            self.warm = guard::memory();
        }
        let (Some(before), true) = (self.before, inputs.is_multiple_of(BATCH)) else { return Ok(()) };
        let Some((used, peak)) = guard::memory() else { return Ok(()) };
        if peak > before.1.max(before.0) + PEAK {
            return Err(format!("memory peak: {peak} KiB, {} KiB before the first input", before.0));
        }
        match self.warm {
            Some((warm, _)) if used > warm + GROWTH => {
                Err(format!("memory growth: {used} KiB in use, {warm} KiB after the first inputs"))
            }
            _ => Ok(()),
        }
    }
}

/// Leaves out pieces as long as the same is wrong.
fn shrunk<T: Target>(guard: &mut Guard, make: impl Fn() -> T, violation: Violation) -> Violation {
    let broken = rule(&violation.what);
    let mut smallest = violation;
    let mut tries = SHRINKING;
    let mut chunk = smallest.input.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < smallest.input.len() && tries > 0 {
            tries -= 1;
            let mut input = smallest.input.clone();
            input.drain(from..(from + chunk).min(smallest.input.len()));
            // What a fault left behind must not make the next.
            let mut target = make();
            match guard.run(&smallest.case, &input, || target.check(&input)) {
                Err(what) if rule(&what) == broken => {
                    smallest.what = what;
                    smallest.input = input;
                }
                _ => from += chunk,
            }
        }
        if chunk == 1 || tries == 0 {
            return smallest;
        }
        chunk = chunk.div_ceil(2);
    }
}
