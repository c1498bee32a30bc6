//! Every promise has a patch, and every patch fits the tree and names a test that is there.

use std::path::PathBuf;

use super::*;

fn numbered(promise: &str) -> Option<u32> {
    promise.strip_prefix('G')?.parse().ok()
}

/// The Rust sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_promise_has_patches() {
    let promised: BTreeSet<_> =
        patches().expect("patches").iter().map(|patch| numbered(&patch.promise)).collect();
    assert_eq!(promised, (1..=10).map(Some).collect());
}

/// By the same code that applies them, so that what fits here is applied there.
#[test]
fn every_patch_fits_the_tree() {
    for patch in patches().expect("patches") {
        for path in patch.files() {
            assert!(!path.contains("tests"), "{}: {path} is no code of the product", patch.name);
            let text = fs::read_to_string(root().join(path)).expect("a file of the tree");
            let changed = patch.apply(path, &text).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(changed, text, "{}", patch.name);
        }
    }
}

#[test]
fn every_patch_is_named_after_its_promise_and_names_a_test() {
    let mut found = Vec::new();
    sources(&root(), &mut found);
    let texts: Vec<String> = found.iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
    for Patch { name, promise, caught_by, case, .. } in patches().expect("patches") {
        assert!(name.starts_with(&format!("{}-", promise.to_lowercase())), "{name}: {promise}");
        let test = match caught_by {
            Proof::Simulate => "g1_to_g7_random_histories_end_in_agreement".to_owned(),
            Proof::Test { name, .. } => name.rsplit("::").next().unwrap_or_default().to_owned(),
        };
        for test in [Some(test), case].into_iter().flatten() {
            let definition = [format!("fn {test}("), format!("fn {test}<")];
            let has_it = |text: &String| definition.iter().any(|definition| text.contains(definition));
            assert!(texts.iter().any(has_it), "{name}: there is no test {test}");
        }
    }
}

const SAMPLE: &str = "promise: G1\nremoves: the second line\ncaught-by: test -p a --lib -- b\n\n\
                      diff --git a/src/x.rs b/src/x.rs\n--- a/src/x.rs\n+++ b/src/x.rs\n\
                      @@ -1,3 +1,3 @@ fn x\n one\n-two\n+2\n three\n";

#[test]
fn a_block_is_found_by_its_lines_and_must_be_there_once() {
    let patch = Patch::parse("sample", SAMPLE).expect("a patch");
    assert_eq!((patch.promise.as_str(), patch.removes.as_str()), ("G1", "the second line"));
    assert_eq!(patch.files().collect::<Vec<_>>(), ["src/x.rs"]);
    let apply = |text| patch.apply("src/x.rs", text).map_err(|error| error.to_string());
    assert_eq!(apply("zero\none\ntwo\nthree\n").as_deref(), Ok("zero\none\n2\nthree\n"));
    let times = |count| {
        format!("sample: the block of src/x.rs that begins with `one` is there {count} times, not once")
    };
    assert_eq!(apply("one\n2\nthree\n"), Err(times(0)));
    assert_eq!(apply("one\ntwo\nthree\none\ntwo\nthree\n"), Err(times(2)));
}

#[test]
fn what_is_wrong_with_a_patch_is_named() {
    let error = |from: &str, to: &str| {
        Patch::parse("sample", &SAMPLE.replace(from, to)).expect_err("a wrong patch").to_string()
    };
    assert_eq!(error("promise: G1\n", ""), "sample: its head does not say `promise:`");
    assert_eq!(error("the second line", ""), "sample: its head does not say `removes:`");
    let caught_by = "sample: `caught-by:` is neither `simulate` nor `test -p PACKAGE ... -- NAME`";
    for wrong in ["test -p a --lib", "test -p a -- b c", "nobody"] {
        assert_eq!(error("test -p a --lib -- b", wrong), caught_by, "{wrong}");
    }
    let diff = "sample: its diff cannot be read";
    assert_eq!(error("+2\n", "+two\n"), diff, "it changes nothing");
    assert_eq!(error("@@", "##"), diff, "it has no block");
    assert_eq!(error("+++ b/src/x.rs", "+++ /dev/null"), diff, "it removes a file");
}

#[test]
fn a_test_that_fails_for_another_reason_catches_nothing() {
    let check = |head: &str, output: &str| {
        let text = SAMPLE.replace("caught-by: test -p a --lib -- b", head);
        catcher(&Patch::parse("sample", &text).expect("a patch"), output).map_err(|error| error.to_string())
    };
    let simulate = "caught-by: simulate";
    let output = "running 1 test\nseed 7: I-1, G1: d0 wrote it: lost\nfailed\n";
    assert_eq!(check(simulate, output).as_deref(), Ok("simulate, seed 7: I-1, G1"));
    assert_eq!(check(simulate, "seed 8: it came too early\n").as_deref(), Ok("simulate, seed 8"));
    assert_eq!(check(simulate, "panicked\n"), Err("simulate fails, but in no history".to_owned()));
    let case = "caught-by: test -p a --lib -- all\ncase: one";
    assert_eq!(check(case, "1 of 9 cases failed:\none: why").as_deref(), Ok("all, one"));
    assert_eq!(check(case, "two: why"), Err("all fails, but not in one".to_owned()));
    assert_eq!(check("caught-by: test -p a --lib -- b", "").as_deref(), Ok("b"));
}

#[test]
fn the_table_names_what_caught_each_patch() {
    let patch = Patch::parse("g1-sample", SAMPLE).expect("a patch");
    let line = |caught, seconds| Line { patch: &patch, caught, time: Duration::from_secs(seconds) };
    let lines = [line(Ok("simulate, seed 7".to_owned()), 5), line(Err(Error::new("not caught by b")), 61)];
    let expected = "| patch     | promise | caught by               | time |\n\
                    | g1-sample | G1      | simulate, seed 7        | 5 s  |\n\
                    | g1-sample | G1      | FAILED: not caught by b | 61 s |\n";
    assert_eq!(table(&lines), expected);
}
