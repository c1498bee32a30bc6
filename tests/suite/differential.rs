//! G9: a filter means the same in every engine. `cargo xtask differential` runs more of the same.

use sync_tests::differential::{self, Coverage, PREDICATES};

/// Pairs of a plain test run.
const PAIRS: u64 = 2_000;

/// Seeds that once failed; each is run again for ever.
const FAILED: [u64; 2] = [187, 100_240];

#[tokio::test]
async fn g9_every_engine_finds_the_same_rows() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let pairs = number("SYNC_DIFFERENTIAL_PAIRS").unwrap_or(PAIRS);
    let from = number("SYNC_DIFFERENTIAL_FROM").unwrap_or(0);
    let seeds = FAILED.into_iter().chain(from..from + pairs.div_ceil(PREDICATES as u64));
    let mut total = Coverage::default();
    for seed in seeds {
        match differential::run(seed).await {
            Ok(coverage) => total += coverage,
            Err(disagreement) => panic!("{disagreement}"),
        }
    }
    println!("{total:?}");
    assert!(total.pairs >= pairs);
    // The test means something only if filters divide the rows and dialects can say them.
    assert!(total.dividing * 5 >= total.pairs, "{total:?}");
    assert!(total.sent.into_iter().all(|sent| sent * 2 >= total.pairs), "{total:?}");
}
