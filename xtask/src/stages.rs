//! The stages of `test` and of `nightly`, each timed; all are run, also after one has failed, so that one look shows
//! everything. Not the place of any check itself.

use std::ffi::OsString;
use std::fs::File;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Scale, Tables};
use crate::run::{self, cargo, command, succeed};
use crate::{Failure, bench, budget, fuzz, install, tidy};

/// A name and what is done under it.
type Stage = (&'static str, fn() -> Result<(), Failure>);

type Check<'a> = dyn Fn() -> Result<(), Failure> + 'a;

const TEST: &[Stage] = &[
    ("fmt", || succeed(&mut cargo(&["fmt", "--all", "--check"]))),
    ("clippy", clippy),
    ("test", tests),
    ("misuse", misuse),
    ("doc", doc),
    ("tidy", || tidy::run(tidy::Lists::Compare)),
    ("crates", budget::crates),
    ("fuzz", || fuzz::smoke(10, &[])),
];

/// `cargo xtask test`: all stages, or those named, in the table's order.
pub(crate) fn test(names: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| TEST.iter().all(|(known, _)| known != name))
    {
        return Err(Failure::Usage(format!("there is no stage {unknown}")));
    }
    let chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    if chosen("test") {
        install::openssh()?;
        install::clients()?;
    }
    run_all(
        TEST.iter()
            .filter(|(name, _)| chosen(name))
            .map(|(name, run)| (*name, run)),
    )
}

/// `cargo xtask nightly`: what takes too long for every change.
pub(crate) fn nightly(minutes: u64) -> Result<(), Failure> {
    install::openssh()?;
    install::clients()?;
    let long_tests = || {
        succeed(&mut cargo(&[
            "test",
            "--release",
            "-p",
            "sansftp-tests",
            "-p",
            "sansftp",
            "--",
            "--nocapture",
            "--ignored",
            "--skip",
            RECORDER,
        ]))
    };
    let faults = || {
        let sweeps = [
            "test",
            "--release",
            "-p",
            "sansftp-connector",
            "--lib",
            "faults::",
            "--",
            "--nocapture",
        ];
        succeed(cargo(&sweeps).env("SANSFTP_EVERY_FAULT", "1"))
    };
    let fuzz = || fuzz::smoke(minutes * 60, &[]);
    // Every row once, so that none rots; what it costs is measured by whoever has a machine of his own.
    let trial = Bench {
        rounds: 1,
        scale: Scale::Quick,
        rows: Vec::new(),
        clients: Vec::new(),
        tables: Tables::Printed,
    };
    let large = Bench {
        rounds: 3,
        scale: Scale::Full,
        rows: ["get-gcm", "put-gcm", "server"].map(str::to_owned).to_vec(),
        ..trial.clone()
    };
    let trial = || bench::run(&trial);
    let bench = || bench::run(&large);
    let budget = || budget::run();
    let stages: [(&'static str, &Check<'_>); 6] = [
        ("fuzz", &fuzz),
        ("long tests", &long_tests),
        ("every fault", &faults),
        ("budget", &budget),
        ("bench trial", &trial),
        ("bench", &bench),
    ];
    run_all(stages)
}

/// `cargo xtask soak`: gets, sends, moves and a listener at once, as long as wanted.
pub(crate) fn soak(minutes: u64, seed: u64) -> Result<(), Failure> {
    let mut tests = cargo(&[
        "test",
        "--release",
        "-p",
        "sansftp-tests",
        "--test",
        "soak",
        "--",
        "--nocapture",
        "--ignored",
    ]);
    tests.env("SANSFTP_SOAK_MINUTES", minutes.to_string());
    succeed(tests.env("SANSFTP_SEED", seed.to_string()))
}

/// What `cargo xtask mutants` changes, and the packages whose unit tests must notice.
const MUTATED: &[(&[&str], &str)] = &[
    (
        &[
            "crates/proto/src/transport/negotiate.rs",
            "crates/proto/src/packet/*.rs",
        ],
        "sansftp-proto",
    ),
    (
        &[
            "crates/connector/src/run/moving.rs",
            "crates/connector/src/run/claim.rs",
            "crates/connector/src/run/places.rs",
            "crates/connector/src/journal/*.rs",
        ],
        "sansftp-connector",
    ),
];

/// `cargo xtask mutants`: needs cargo-mutants. What an earlier run has seen caught is not tried again.
pub(crate) fn mutants(arguments: Vec<OsString>) -> Result<(), Failure> {
    let mut result = Ok(());
    for (files, package) in MUTATED {
        let found = run::target_dir().join("mutants").join(package);
        let mut mutants = cargo(&["mutants", "--iterate", "--no-shuffle"]);
        mutants
            .args(["--test-package", package, "--output"])
            .arg(found);
        files.iter().for_each(|file| {
            mutants.args(["--file", file]);
        });
        // The sweeps over every fault take minutes, which each mutant would.
        mutants
            .args(&arguments)
            .args(["--", "--lib", "--", "--skip", "faults::"]);
        // Survivors of one package are no reason not to look at the other.
        result = succeed(&mut mutants).and(result);
    }
    result
}

/// The test that writes `tests/recordings`.
const RECORDER: &str = "record_sessions_with_openssh";

/// `cargo xtask corpus --record`: needed when what our client says changes on purpose.
pub(crate) fn record() -> Result<(), Failure> {
    install::openssh()?;
    let filter = [
        "test",
        "-p",
        "sansftp-tests",
        "--test",
        "proto",
        RECORDER,
        "--",
        "--ignored",
    ];
    succeed(&mut cargo(&filter))
}

/// Everything. The program is made for its own package's tests before any test runs; the others are told where it lies, and
/// need not build it again.
fn tests() -> Result<(), Failure> {
    let program = run::target_dir().join("debug/sansftp");
    succeed(cargo(&["test", "--workspace"]).env("SANSFTP_PROGRAM", program))?;
    // Past the capture of the tests' own output, where it would not be seen.
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        println!("NOT TRIED: sshfs, because /dev/fuse cannot be opened: {error}");
    }
    let disk = ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    if succeed(&mut command("unshare", &disk)).is_err() {
        println!("NOT TRIED: full and read-only disks, because none can be mounted here");
    }
    Ok(())
}

fn clippy() -> Result<(), Failure> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    succeed(&mut cargo(&arguments))
}

/// What must not compile, with the reason for which it must not: rustdoc compares the error codes of `compile_fail`
/// examples only where unstable features are allowed, so that elsewhere a typing error would pass for a proof.
fn misuse() -> Result<(), Failure> {
    let arguments = ["test", "-p", "sansftp-proto", "--doc"];
    succeed(cargo(&arguments).env("RUSTC_BOOTSTRAP", "1"))
}

fn doc() -> Result<(), Failure> {
    let arguments = ["doc", "--workspace", "--no-deps"];
    succeed(cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

fn run_all<F: Fn() -> Result<(), Failure>>(
    stages: impl IntoIterator<Item = (&'static str, F)>,
) -> Result<(), Failure> {
    let mut times: Vec<(&str, Duration, bool)> = Vec::new();
    for (name, stage) in stages {
        println!("==> {name}");
        let start = Instant::now();
        let result = stage();
        if let Err(Failure::Failed(text) | Failure::Usage(text)) = &result {
            eprintln!("xtask: {name}: {text}");
        }
        let took = start.elapsed();
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        println!("==> {name} {word} after {:.1} s", took.as_secs_f64());
        times.push((name, took, result.is_ok()));
    }
    summary(&mut times)
}

/// All stages, the slowest first.
fn summary(times: &mut [(&str, Duration, bool)]) -> Result<(), Failure> {
    times.sort_by_key(|(_, took, _)| std::cmp::Reverse(*took));
    let total: Duration = times.iter().map(|(_, took, _)| *took).sum();
    println!("\n{:<12}{:>8}", "stage", "s");
    for (name, took, passed) in times.iter() {
        let word = if *passed { "" } else { "  FAILED" };
        println!("{name:<12}{:>8.1}{word}", took.as_secs_f64());
    }
    println!("{:<12}{:>8.1}", "together", total.as_secs_f64());
    let failed: Vec<&str> = times
        .iter()
        .filter(|(.., passed)| !passed)
        .map(|(name, ..)| *name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failed.join(", "))))
}
