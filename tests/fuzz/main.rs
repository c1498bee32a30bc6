//! Damaged bytes from outside, in a binary of its own: it watches memory and panics of the whole process, and ends it if
//! an input hangs. `cargo xtask fuzz` runs more of the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sync_tests::fuzz::answers::Answers;
use sync_tests::fuzz::damage::{Cells, File};
use sync_tests::fuzz::filters::Filters;
use sync_tests::fuzz::pages::Pages;
use sync_tests::fuzz::requests::Requests;
use sync_tests::fuzz::stored::Stored;
use sync_tests::fuzz::{self, Limit, Target};

/// The inputs that once failed, in a folder for each target; each is tried again for ever.
fn kept(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/kept").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut kept: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(path).expect("a kept input"))
        })
        .collect();
    kept.sort();
    kept
}

/// Tries a target: so many inputs in a plain run.
fn fuzz<T: Target>(make: impl Fn() -> T, inputs: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let from = number("SYNC_FUZZ_SEED").unwrap_or(0);
    let minutes = number("SYNC_FUZZ_MINUTES");
    let limit =
        minutes.map_or(Limit::Inputs(inputs), |minutes| Limit::Time(Duration::from_secs(60 * minutes)));
    let kept = kept(make().name());
    let (coverage, violations) = fuzz::run(make, &kept, from, limit);
    eprintln!("{coverage}");
    let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The test means something only if some of the inputs get in.
    assert!(coverage.taken * 50 >= coverage.inputs, "{coverage}");
}

#[test]
fn l_24_damaged_pages_are_stored_or_refused_alike_by_both_stores() {
    fuzz(Pages::default, 150);
}

#[test]
fn p_12_damaged_answers_end_alike_on_both_stores() {
    fuzz(Answers::default, 60);
}

#[test]
fn g9_damaged_filters_mean_the_same_or_are_refused() {
    fuzz(Filters::default, 1_000);
}

#[test]
fn damaged_requests_are_never_the_servers_fault() {
    fuzz(Requests::default, 150);
}

#[test]
fn r12_damaged_texts_of_a_database_are_read_as_they_are_or_not_at_all() {
    fuzz(Stored::default, 1_000);
}

#[test]
fn i_6_damaged_cells_are_typed_errors_and_stay() {
    fuzz(Cells::default, 20);
}

#[test]
fn i_6_a_damaged_file_is_a_typed_error_or_works() {
    fuzz(File::default, 20);
}
