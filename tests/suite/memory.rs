//! A pull's memory does not grow with the number of rows.

use std::process::Command;

use sync_tests::servers::SyncServerFixture;

/// Pulls `rows` rows in a process of its own; returns the peak of its resident memory in KiB.
async fn peak_of_a_pull(rows: usize) -> u64 {
    let server = SyncServerFixture::start().await;
    for block in 0..rows / 1000 {
        let time = format!("2020-01-01T00:{:02}:{:02}.000Z", block / 60, block % 60);
        server.as_ref().seed_block("memory", 1000, &time, |number| format!("{block:04}-{number:04}"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let url = server.as_ref().url();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_sync-device"))
            .args(["pull", &url])
            .arg(folder.path().join("device.db"))
            .output()
            .expect("the device starts")
    })
    .await
    .expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    assert_eq!(numbers[0], rows as u64, "every row arrives");
    assert!(numbers[1] > 0, "the peak is known");
    numbers[1]
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_rows_pull_with_flat_memory() {
    let small = peak_of_a_pull(10_000).await;
    let large = peak_of_a_pull(50_000).await;
    let growth = large.saturating_sub(small);
    println!("peak of 10,000 rows: {small} KiB, of 50,000 rows: {large} KiB, growth {growth} KiB");
    assert!(growth < 20 * 1024, "{small} KiB for 10,000 rows, {large} KiB for 50,000");
}
