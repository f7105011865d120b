//! The project's own tasks, run as `cargo xtask COMMAND`: what CI runs and what a release needs, in Rust, so that it is the
//! same on every machine. Not part of what is published, and without a dependency on the crates it checks, so that
//! `tidy` works while they do not compile.

mod bench;
mod budget;
mod bugs;
mod conformance;
mod fuzz;
mod install;
mod interop;
mod run;
mod stages;
mod tidy;

use std::process::ExitCode;

use pico_args::Arguments;

use bench::{Bench, Scale, Tables};

const USAGE: &str = "\
cargo xtask COMMAND

  test [STAGE...]                     installs what the tests need, then all stages or those named:
                                      fmt clippy test misuse doc tidy crates fuzz
  ci                                  the same as test
  tidy [--bless]                      the project's own rules; --bless rewrites crates/proto/deps.txt
  fuzz-smoke [--seconds N] [TARGET..] builds all fuzz targets once, runs each for N seconds (10)
  bench [--rounds N] [--rows NAMES]   sansftp beside the other clients that are here, in one run (3 rounds): all rows of
        [--clients NAMES] [--quick]   docs/performance.md or those whose names begin so; --quick is a trial in MiB;
        [--write]                     --write puts the tables into docs/performance.md
  budget                              crates, size and start of the release program, instructions of the core, each within its limit
  interop                             docs/interop.md: each server that is here, each algorithm, forced one at a time
  conformance [HOST:PORT]             rules of the specifications, looked at from outside on a live server:
        [--user U --key FILE]         who logs in, for the rules behind that; --files makes a file in the user's home for
        [--files] [--patience N]      the rules that need one; silence is N seconds (5). Without HOST:PORT the servers and
                                      clients that are here are started, and docs/conformance.md is written
  conformance --listen PORT           the same on a client that comes to that port, once for each rule; with a command
        [--run COMMAND]               it is made to come
  bugs [--write] [NAME...]            makes mistakes on purpose, one at a time, and looks which tests catch each;
                                      --write puts the table into docs/proof.md
  mutants [ARGUMENTS...]              cargo-mutants over what moves, the journal, negotiation and packets; goes on where an
                                      earlier run ended, in target/mutants; ARGUMENTS are passed on (-f FILE, --shard)
  corpus --record                     records the sessions of tests/recordings anew, against the stock sshd
  soak [--minutes N] [--seed N]       everything at once for N minutes (20), against servers that refuse at random
  nightly [--minutes N]               each fuzz target for N minutes (5), the long tests, the benchmarks
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let result = match arguments.subcommand() {
        Ok(Some(command)) => dispatch(&command, arguments),
        Ok(None) => {
            print!("{USAGE}");
            Ok(())
        }
        Err(error) => Err(Failure::Usage(error.to_string())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("xtask: {text}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, mut arguments: Arguments) -> Result<(), Failure> {
    match command {
        "test" | "ci" => stages::test(&rest(arguments)?),
        "tidy" => {
            let mode = if arguments.contains("--bless") {
                tidy::Lists::Rewrite
            } else {
                tidy::Lists::Compare
            };
            nothing_left(arguments)?;
            tidy::run(mode)
        }
        "fuzz-smoke" => {
            let seconds = option(&mut arguments, "--seconds")?.unwrap_or(10);
            fuzz::smoke(seconds, &rest(arguments)?)
        }
        "bench" => {
            let rounds = option(&mut arguments, "--rounds")?.unwrap_or(3);
            let rows = arguments.values_from_str("--rows")?;
            let clients = arguments.values_from_str("--clients")?;
            let scale = if arguments.contains("--quick") {
                Scale::Quick
            } else {
                Scale::Full
            };
            let tables = if arguments.contains("--write") {
                Tables::Written
            } else {
                Tables::Printed
            };
            nothing_left(arguments)?;
            bench::run(&Bench {
                rounds,
                scale,
                rows,
                clients,
                tables,
            })
        }
        "budget" => {
            nothing_left(arguments)?;
            budget::run()
        }
        "bugs" => {
            let tables = if arguments.contains("--write") {
                Tables::Written
            } else {
                Tables::Printed
            };
            bugs::run(tables, &rest(arguments)?)
        }
        "interop" => {
            nothing_left(arguments)?;
            interop::run()
        }
        "conformance" => conformance::run(arguments.finish()),
        "mutants" => stages::mutants(arguments.finish()),
        "corpus" => {
            if !arguments.contains("--record") {
                return Err(Failure::Usage("corpus does one thing: --record".to_owned()));
            }
            nothing_left(arguments)?;
            stages::record()
        }
        "soak" => {
            let minutes = option(&mut arguments, "--minutes")?.unwrap_or(20);
            let seed = option(&mut arguments, "--seed")?.unwrap_or(1);
            nothing_left(arguments)?;
            stages::soak(minutes, seed)
        }
        "nightly" => {
            let minutes = option(&mut arguments, "--minutes")?.unwrap_or(5);
            nothing_left(arguments)?;
            stages::nightly(minutes)
        }
        _ => Err(Failure::Usage(format!("there is no command {command}"))),
    }
}

fn option<T>(arguments: &mut Arguments, name: &'static str) -> Result<Option<T>, Failure>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    Ok(arguments.opt_value_from_str(name)?)
}

/// The free arguments that are left; an option among them is one that the command does not know.
fn rest(arguments: Arguments) -> Result<Vec<String>, Failure> {
    let left: Vec<String> = arguments
        .finish()
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match left.iter().find(|word| word.starts_with('-')) {
        Some(unknown) => Err(Failure::Usage(format!("there is no option {unknown} here"))),
        None => Ok(left),
    }
}

fn nothing_left(arguments: Arguments) -> Result<(), Failure> {
    match rest(arguments)?.first() {
        Some(word) => Err(Failure::Usage(format!("{word} is one word too many"))),
        None => Ok(()),
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
enum Failure {
    /// It was called wrongly: exit code 2, with the usage.
    Usage(String),
    /// It was called rightly and failed: exit code 1.
    Failed(String),
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<pico_args::Error> for Failure {
    fn from(error: pico_args::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
