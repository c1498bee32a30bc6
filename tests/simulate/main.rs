//! G1 to G7, G9, G10: nothing is lost or doubled, and in the end all agree. In a binary of its own, so that it is built
//! optimised, or with a protection taken away, in little time. `cargo xtask simulate` runs more of the same.

use std::fs;
use std::path::Path;
use std::time::Instant;

use sync_tests::simulate::{self, Fault, History};

/// Histories of a plain test run.
const SEEDS: u64 = 300;

#[test]
fn g1_to_g7_random_histories_end_in_agreement() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = number("SYNC_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let from = number("SYNC_SIMULATE_FROM").unwrap_or(0);
    // Whoever only asks whether any history fails need not wait until it is made short.
    if std::env::var_os("SYNC_SIMULATE_FIRST").is_some() {
        let found = simulate::first_violation(from..from + seeds);
        assert!(found.is_none(), "{}", found.unwrap_or_default());
        return;
    }
    let began = Instant::now();
    let (totals, violations) = simulate::many(from..from + seeds);
    violations.iter().for_each(|violation| println!("{violation}"));
    println!("{totals}{} failures, {:.0} s", violations.len(), began.elapsed().as_secs_f64());
    let failed: Vec<u64> = violations.iter().map(|violation| violation.history.seed).collect();
    assert!(failed.is_empty(), "seeds {failed:?} failed");
    assert_eq!(totals.histories, seeds);
    // The test means something only if much goes wrong in it.
    if totals.histories >= SEEDS {
        assert_eq!(totals.faults.len(), Fault::ALL.len(), "{totals}");
        assert!(totals.kills > 0 && totals.decisions > 0 && totals.writes > totals.histories, "{totals}");
    }
}

/// Histories that once failed, as they were when shrunk.
#[test]
fn histories_that_once_failed_end_in_agreement() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    let mut kept = 0;
    for entry in fs::read_dir(folder).expect("the folder of kept histories") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a kept history");
        let history = History::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if let Err(violation) = simulate::check(history) {
            panic!("{}: {violation}", path.display());
        }
        kept += 1;
    }
    assert!(kept > 0, "no history is kept");
}
