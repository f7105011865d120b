//! libFuzzer without anything to install: the flags that `cargo fuzz` would give are given here, to the nightly toolchain
//! where there is one, else to the stable one with unstable features allowed. One build for all targets. Not the fuzz
//! bodies, which are plain functions of `sansftp-testkit` and run under `cargo test` too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use crate::run::{cargo, command, output, root, succeed, target_dir};
use crate::{Failure, install};

/// Coverage for libFuzzer in our own code and in every dependency, and the address sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// Builds all targets, then runs those named, or all, for so many seconds each, as many at a time as there are processors.
pub(crate) fn smoke(seconds: u64, names: &[String]) -> Result<(), Failure> {
    install::cxx()?;
    let all = targets()?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        return Err(Failure::Usage(format!("there is no fuzz target {unknown}")));
    }
    let programs = build()?;
    let chosen = all
        .into_iter()
        .filter(|name| names.is_empty() || names.contains(name));
    let waiting = Mutex::new(chosen.collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(name) = next(&waiting) {
                    if let Err(text) = fuzz(&programs, &name, seconds) {
                        eprintln!("fuzz target {name}: {text}");
                        if let Ok(mut failed) = failed.lock() {
                            failed.push(name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "fuzz targets failed: {}",
        failed.join(", ")
    )))
}

fn next(waiting: &Mutex<Vec<String>>) -> Option<String> {
    waiting.lock().ok()?.pop()
}

/// The names of the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

/// Builds them and returns the directory with the programs.
fn build() -> Result<PathBuf, Failure> {
    let verbose = output(&mut cargo(&["version", "--verbose"]))?;
    let host = verbose
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| {
            Failure::new("`cargo version --verbose` does not say for which host it builds")
        })?;
    let target = target_dir().join("fuzz");
    // The cargo that runs us is one toolchain's own, and does not know `+nightly`.
    let mut command = if has_nightly() {
        command("rustup", &["run", "nightly", "cargo"])
    } else {
        let mut stable = cargo(&[]);
        stable.env("RUSTC_BOOTSTRAP", "1");
        stable
    };
    command
        .args(["build", "--release", "--bins", "--target", host])
        .current_dir(root().join("fuzz"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", FLAGS);
    succeed(&mut command)?;
    Ok(target.join(host).join("release"))
}

fn has_nightly() -> bool {
    let list = Command::new("rustup")
        .args(["toolchain", "list"])
        .stderr(Stdio::null())
        .output();
    list.is_ok_and(|list| {
        String::from_utf8_lossy(&list.stdout)
            .lines()
            .any(|line| line.starts_with("nightly"))
    })
}

/// Runs one target. What it finds goes to `fuzz/artifacts`, what it learns to the build directory; checked-in inputs are read.
fn fuzz(programs: &Path, name: &str, seconds: u64) -> Result<(), String> {
    let artifacts = root().join("fuzz/artifacts").join(name);
    let learned = target_dir().join("fuzz/corpus").join(name);
    for dir in [&artifacts, &learned] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let mut command = Command::new(programs.join(name));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
        ])
        .arg(learned);
    let checked_in = root().join("fuzz/corpus").join(name);
    if checked_in.is_dir() {
        command.arg(checked_in);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}\n{words}", output.status));
    }
    let figure = |label: &str| {
        let line = words.lines().find(|line| line.contains(label))?;
        line.rsplit(' ').next().map(str::to_owned)
    };
    let (Some(runs), Some(rate)) = (
        figure("number_of_executed_units"),
        figure("average_exec_per_sec"),
    ) else {
        return Err(format!("it ran, but gave no figures:\n{words}"));
    };
    println!("fuzz target {name}: {runs} runs, {rate} a second");
    Ok(())
}
