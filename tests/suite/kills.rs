//! G1 to G4, G6: processes that are killed lose nothing. `cargo xtask kill` kills more of the same.

use std::path::Path;

use sync_tests::kills::{self, Phase, Place};

/// Kills of a plain test run.
const KILLS: u64 = 20;

/// From so many kills on, each phase is hit.
const ENOUGH: u64 = 100;

#[test]
fn z_01_z_02_killed_processes_lose_and_double_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let kills = number("SYNC_KILLS").unwrap_or(KILLS);
    let seed = number("SYNC_KILLS_SEED").unwrap_or(0);
    let totals = kills::run(Path::new(env!("CARGO_BIN_EXE_sync-device")), kills, seed);
    for violation in &totals.violations {
        println!("{violation}\n");
    }
    println!("{totals}");
    assert!(totals.violations.is_empty(), "{} violations", totals.violations.len());
    assert_eq!(totals.kills.values().sum::<u64>(), kills);
    assert!(totals.acknowledged > kills && totals.pushed > kills, "much is done meanwhile");
    if kills >= ENOUGH {
        for phase in Phase::ALL {
            assert!(totals.kills.contains_key(&Place::In(phase)), "no kill hit {phase}");
        }
    }
}
