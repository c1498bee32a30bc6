//! G1 to G7: nothing is lost or doubled, and in the end all agree. `cargo xtask simulate` runs more of the same.

use sync_tests::simulate::{self, Fault, History, Totals};

/// Histories of a plain test run.
const SEEDS: u64 = 200;

/// Seeds that once failed; each is run again for ever.
const FAILED: [u64; 2] = [58, 439];

#[test]
fn g1_to_g7_random_histories_end_in_agreement() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = number("SYNC_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let from = number("SYNC_SIMULATE_FROM").unwrap_or(0);
    let mut totals = Totals::default();
    let mut failed = Vec::new();
    // Whoever only asks whether any history fails need not wait until it is made short.
    let is_hunt = std::env::var_os("SYNC_SIMULATE_FIRST").is_some();
    let check = |seed| {
        if !is_hunt {
            return simulate::check(seed).map_err(|violation| violation.to_string());
        }
        let outcome = simulate::run(&History::of(seed));
        match &outcome.violation {
            None => Ok(outcome),
            Some(what) => Err(format!("seed {seed}: {what}")),
        }
    };
    for seed in FAILED.into_iter().chain(from..from + seeds) {
        match check(seed) {
            Ok(outcome) => totals += &outcome,
            Err(violation) => {
                println!("{violation}");
                failed.push(seed);
            }
        }
        if failed.len() >= if is_hunt { 1 } else { 5 } {
            break;
        }
    }
    println!("{totals:#?}");
    assert!(failed.is_empty(), "seeds {failed:?} failed");
    // The test means something only if much goes wrong in it.
    if totals.histories >= SEEDS {
        assert_eq!(totals.faults.len(), Fault::ALL.len(), "{totals:?}");
        assert!(totals.kills > 0 && totals.decisions > 0 && totals.writes > totals.histories, "{totals:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..12 {
        let (first, second) = (simulate::run(&History::of(seed)), simulate::run(&History::of(seed)));
        assert!(first.trace == second.trace, "seed {seed}");
    }
}
