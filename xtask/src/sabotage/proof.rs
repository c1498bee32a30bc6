//! Building and running the test that a patch must fail.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::copy::Copy;
use super::patch::Proof;
use crate::process::{self, Error, Result, cargo};

/// Histories that the simulator runs of each patch, unless one fails before.
const SEEDS: u64 = 1_000;
/// How long a test may run. The simulator's histories take a few minutes.
const LIMIT: Duration = Duration::from_secs(600);
/// How often a running test is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How a test ended.
#[derive(Debug)]
pub(super) enum Ended {
    Passed,
    Failed { output: String },
}

/// A binary of tests, and the folder it runs in.
pub(super) struct Binary {
    executable: PathBuf,
    package: PathBuf,
}

impl Binary {
    /// Copies it to where the next build does not overwrite it.
    pub(super) fn put_aside(self, place: PathBuf) -> Result<Self> {
        fs::copy(&self.executable, &place).map_err(|error| failed(&place, &error))?;
        Ok(Self { executable: place, ..self })
    }

    /// Removes what was put aside.
    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_file(&self.executable).map_err(|error| failed(&self.executable, &error))
    }
}

impl Proof {
    /// What `cargo test` is told to build.
    pub(super) fn selection(&self) -> Vec<String> {
        match self {
            Self::Simulate => ["-p", "sync-tests", "--test", "simulate"].map(str::to_owned).to_vec(),
            Self::Test { build, .. } => build.clone(),
        }
    }

    /// Builds the test in the copy as it is now. What the compiler says goes to the file.
    pub(super) fn build(&self, copy: &Copy, log: &Path) -> Result<Binary> {
        let selection = self.selection();
        let output = File::create(log).map_err(|error| failed(log, &error))?;
        let mut build = cargo(&["test", "--no-run", "--message-format", "json-render-diagnostics"]);
        build.args(&selection).arg("--target-dir").arg(copy.target()).current_dir(copy.tree());
        process::announce(&build);
        build.stderr(output);
        let Output { status, stdout, .. } =
            build.output().map_err(|error| process::not_started(&build, &error))?;
        if !status.success() {
            return Err(Error::new(format!("it does not compile; see {}", log.display())));
        }
        let messages = String::from_utf8(stdout).map_err(|_| Error::new("cargo did not write text"))?;
        let mut binaries = messages.lines().filter_map(binary);
        match (binaries.next(), binaries.next()) {
            (Some(binary), None) => Ok(binary),
            _ => Err(Error::new(format!("`{}` does not select one binary of tests", selection.join(" ")))),
        }
    }

    /// Runs the test. What it says goes to the file.
    pub(super) fn run(&self, binary: &Binary, log: &Path) -> Result<Ended> {
        let name = match self {
            Self::Simulate => "g1_to_g7_",
            Self::Test { name, .. } => name,
        };
        let mut test = Command::new(&binary.executable);
        test.arg(name).current_dir(&binary.package);
        if *self == Self::Simulate {
            test.env("SYNC_SIMULATE_SEEDS", SEEDS.to_string()).env("SYNC_SIMULATE_FIRST", "1");
        }
        let passed = ends_well(&mut test, log)?;
        let output = fs::read_to_string(log).map_err(|error| failed(log, &error))?;
        // A name that no test has would pass for ever.
        if output.lines().any(|line| line == "running 0 tests") {
            return Err(Error::new(format!("there is no test {name}")));
        }
        Ok(if passed { Ended::Passed } else { Ended::Failed { output } })
    }
}

/// The binary of tests that one of cargo's messages tells of. Programs that the tests start are built along.
fn binary(message: &str) -> Option<Binary> {
    let executable = member(message, "executable")?.into();
    let manifest = PathBuf::from(member(message, "manifest_path")?);
    let profile = message.split_once("\"profile\":{")?.1.split_once('}')?.0;
    let is_test = profile.contains("\"test\":true");
    is_test.then_some(Binary { executable, package: manifest.parent()?.to_path_buf() })
}

/// Whether the test passes; one that does not end is an error.
fn ends_well(test: &mut Command, log: &Path) -> Result<bool> {
    let output = File::create(log).map_err(|error| failed(log, &error))?;
    let errors = output.try_clone().map_err(|error| failed(log, &error))?;
    test.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut running = test.spawn().map_err(|error| process::not_started(test, &error))?;
    let started = Instant::now();
    loop {
        if let Some(status) = running.try_wait().map_err(|error| failed(log, &error))? {
            return Ok(status.success());
        }
        if started.elapsed() > LIMIT {
            // Fails only if it has ended already.
            let _ = running.kill();
            let _ = running.wait();
            return Err(Error::new(format!("the test did not end within {} s", LIMIT.as_secs())));
        }
        thread::sleep(LOOK);
    }
}

/// A member of one of cargo's messages that is a text.
fn member(message: &str, name: &str) -> Option<String> {
    let (_, rest) = message.split_once(&format!("\"{name}\":\""))?;
    let mut value = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return Some(value),
            '\\' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}
