//! What watches a run: panics of every thread, time and memory.
//!
//! All of it is of the process, so one run goes on at a time, in a test binary of its own.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write as _};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time for one input, with whatever else the machine does.
const HANG: Duration = Duration::from_secs(120);
/// Longest time of all processors together for one input.
const SLOW: Duration = Duration::from_secs(15);

static TURN: Mutex<()> = Mutex::new(());
static HOOK: Once = Once::new();
/// Whether panics are findings.
static IS_WATCHING: AtomicBool = AtomicBool::new(false);
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The input under way, for the thread that ends the process if it takes too long.
#[derive(Debug, Default)]
struct Current {
    case: Option<(Instant, String, Vec<u8>)>,
    is_over: bool,
}

/// Watches one run; others wait for their turn.
#[derive(Debug)]
pub(super) struct Guard {
    current: Arc<Mutex<Current>>,
    /// Holds the input under way: a stack that overflows ends the process without a word of ours.
    journal: (File, PathBuf),
    _turn: MutexGuard<'static, ()>,
}

impl Guard {
    /// Waits for the turn.
    ///
    /// # Panics
    ///
    /// When no file can be made in the folder for temporary ones.
    pub(super) fn new(target: &str) -> Self {
        let turn = lock(&TURN);
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if IS_WATCHING.load(Ordering::SeqCst) { note(info) } else { before(info) }
            }));
        });
        let path = std::env::temp_dir().join(format!("sync-fuzz-{}-{target}", std::process::id()));
        eprintln!("{target}: the input under way is kept in {}", path.display());
        let journal = (File::create(&path).expect("a file can be made"), path);
        let current = Arc::new(Mutex::new(Current::default()));
        let watched = Arc::clone(&current);
        thread::spawn(move || watch(&watched));
        Self { current, journal, _turn: turn }
    }

    /// Does the work on one input.
    ///
    /// # Errors
    ///
    /// Those of `work`; a panic, also one that was caught, in whatever thread; more time than an input may take.
    pub(super) fn run<T>(
        &mut self,
        case: &str,
        input: &[u8],
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<(T, Duration), String> {
        self.note(case, input);
        lock(&self.current).case = Some((Instant::now(), case.to_owned(), input.to_vec()));
        lock(&PANIC).take();
        let before = processor_time();
        IS_WATCHING.store(true, Ordering::SeqCst);
        let outcome = panic::catch_unwind(AssertUnwindSafe(work));
        IS_WATCHING.store(false, Ordering::SeqCst);
        let took = processor_time().saturating_sub(before);
        lock(&self.current).case = None;
        if let Some(panic) = lock(&PANIC).take() {
            return Err(panic);
        }
        let value = outcome.unwrap_or_else(|_| Err("a panic that no hook saw".to_owned()))?;
        if took > SLOW {
            return Err(format!("slow: {took:?} of processor time"));
        }
        Ok((value, took))
    }

    fn note(&mut self, case: &str, input: &[u8]) {
        let text = [case.as_bytes(), b"\n", input].concat();
        let journal = &mut self.journal.0;
        // The run is worth more than its journal.
        let _ = journal.seek(SeekFrom::Start(0)).and_then(|_| journal.write_all(&text));
        let _ = journal.set_len(text.len() as u64);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        lock(&self.current).is_over = true;
        let _ = fs::remove_file(&self.journal.1);
    }
}

/// Keeps what the first panic said, and where.
fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "?".to_owned(), ToString::to_string);
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
    let mut text = format!("panic at {place}: {said}\n");
    // Only the frames of this workspace tell anything.
    let trace = Backtrace::force_capture().to_string();
    let mut lines = trace.lines().peekable();
    while let Some(line) = lines.next() {
        if line.contains("sync_") {
            let at = lines.peek().map_or("", |at| at.trim());
            let _ = writeln!(text, "  {} {at}", line.trim());
        }
    }
    lock(&PANIC).get_or_insert(text);
}

/// Ends the process if an input takes too long.
fn watch(current: &Mutex<Current>) {
    loop {
        thread::sleep(Duration::from_millis(500));
        let current = lock(current);
        if current.is_over {
            return;
        }
        if let Some((since, case, input)) = &current.case
            && since.elapsed() > HANG
        {
            eprintln!("hang: {case} takes longer than {HANG:?}: {}", input.escape_ascii());
            std::process::abort();
        }
    }
}

/// What this process used of all processors so far.
fn processor_time() -> Duration {
    // Ticks of a hundredth of a second, the 12th and 13th word behind the name in parentheses.
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return Duration::ZERO };
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = words.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Memory of this process in KiB: what is resident, and the most that was since [`forget_peak`].
pub(super) fn memory() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((read("VmRSS:")?, read("VmHWM:")?))
}

/// Lets the measured peak start anew.
pub(super) fn forget_peak() {
    // Where that is not allowed, the peak is that of the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
}
