//! `cargo xtask budget`: how many crates each layer rests on, how large the release program is, and how much it does before
//! it says its version. Limits stand here, and whoever exceeds one says why in the commit that raises it. Not how fast
//! anything is: instructions are counted, because time depends on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::run::{cargo, command, output, succeed, target_dir};

/// Crates in the tree of a package on Linux, itself and ours included: what a build compiles, and a reader trusts.
const CRATES: [(&str, usize); 4] = [
    ("sansftp-proto", 6),
    ("sansftp-tokio", 24),
    ("sansftp-connector", 134),
    ("sansftp", 180),
];

/// Bytes of the release program as cargo leaves it, symbols and SQLite included.
const PROGRAM: u64 = 21 << 20;

/// Instructions of `sansftp --version`, dynamic linking included, as callgrind counts them: 2.6 million. Memory functions
/// are chosen by the processor, hence some room.
const START: u64 = 3_500_000;

/// Instructions of the core for one piece of work, with about a tenth more than was counted when the limit was set: memory
/// functions are chosen by the processor. Without cryptography, which is too, but for the null provider's of handshakes.
const WORK: [(&str, &str, u64); 4] = [
    ("codec", "two messages of SFTP written and read", 280),
    ("download", "a MiB planned, asked for and handed out", 4_000),
    ("upload", "a MiB taken, planned and acknowledged", 2_400),
    ("handshake", "both ends, with authentication", 235_000),
];
/// The work is done so often, and once three times as often.
const TIMES: u64 = 50;

/// All of it; builds the release program.
pub(crate) fn run() -> Result<(), Failure> {
    succeed(&mut cargo(&["build", "--release", "-p", "sansftp"]))?;
    let mut lines = counted()?;
    let program = target_dir().join("release/sansftp");
    lines.push(Line {
        what: "bytes of the release program".to_owned(),
        found: fs::metadata(&program)?.len(),
        limit: PROGRAM,
    });
    match instructions(&program, &["--version"])? {
        Some(found) => lines.push(Line {
            what: "instructions of `sansftp --version`".to_owned(),
            found,
            limit: START,
        }),
        None => println!("NOT TRIED: counting instructions, because there is no valgrind here"),
    }
    lines.extend(worked()?);
    let begin = Instant::now();
    output(command(&program.to_string_lossy(), &["--version"]).env_clear())?;
    println!(
        "`sansftp --version` took {:.1} ms this once",
        begin.elapsed().as_secs_f64() * 1000.0
    );
    judge(&lines)
}

/// The crates alone, which takes less than a second.
pub(crate) fn crates() -> Result<(), Failure> {
    judge(&counted()?)
}

/// One thing that is kept small.
#[derive(Debug)]
struct Line {
    what: String,
    found: u64,
    limit: u64,
}

fn counted() -> Result<Vec<Line>, Failure> {
    let count = |(package, limit): (&str, usize)| {
        let tree = output(&mut cargo(&[
            "tree",
            "-p",
            package,
            "-e",
            "normal",
            "--prefix",
            "none",
            "--target",
            "x86_64-unknown-linux-gnu",
        ]))?;
        Ok(Line {
            what: format!("crates of {package}"),
            found: in_tree(&tree) as u64,
            limit: limit as u64,
        })
    };
    CRATES.into_iter().map(count).collect()
}

/// The lines of `cargo tree`, each once, whatever is said behind name and version.
fn in_tree(tree: &str) -> usize {
    let named = |line: &'_ str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    tree.lines()
        .filter_map(named)
        .collect::<BTreeSet<_>>()
        .len()
}

/// What each piece of work costs once; nothing without valgrind.
fn worked() -> Result<Vec<Line>, Failure> {
    succeed(&mut cargo(&[
        "build",
        "--release",
        "-p",
        "sansftp-benches",
        "--example",
        "counted",
    ]))?;
    let program = target_dir().join("release/examples/counted");
    let mut lines = Vec::new();
    for (work, what, limit) in WORK {
        let count = |times: u64| instructions(&program, &[work, &times.to_string()]);
        let (Some(few), Some(many)) = (count(TIMES)?, count(3 * TIMES)?) else {
            break;
        };
        lines.push(Line {
            what: format!("instructions of {work}, {what}"),
            found: many.saturating_sub(few) / (2 * TIMES),
            limit,
        });
    }
    Ok(lines)
}

/// `None` without valgrind.
fn instructions(program: &Path, arguments: &[&str]) -> Result<Option<u64>, Failure> {
    if !Path::new("/usr/bin/valgrind").exists() {
        return Ok(None);
    }
    let mut counting = command(
        "valgrind",
        &[
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--log-fd=1",
        ],
    );
    // Without the tester's environment, whose length counts.
    counting.arg(program).args(arguments).env_clear();
    let said = output(counting.env("PATH", "/usr/bin:/bin"))?;
    let found = collected(&said);
    found
        .map(Some)
        .ok_or_else(|| Failure::new(format!("callgrind told no count: {said}")))
}

/// `==123== Collected : 2571462`
fn collected(said: &str) -> Option<u64> {
    let (_, number) = said.split_once("Collected :")?;
    number.split_whitespace().next()?.parse().ok()
}

fn judge(lines: &[Line]) -> Result<(), Failure> {
    let mut exceeded = Vec::new();
    for Line { what, found, limit } in lines {
        println!("{what}: {found} of {limit}");
        if found > limit {
            exceeded.push(format!("{what}: {found}, and {limit} is the limit"));
        }
    }
    if exceeded.is_empty() {
        return Ok(());
    }
    Err(Failure::new(exceeded.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_tree_twice_is_one_crate() {
        let tree =
            "a v0.1.0 (/some/where)\nb v1.0.0\nc v1.0.0 (proc-macro)\nb v1.0.0 (*)\nb v2.0.0\n\n";
        assert_eq!(in_tree(tree), 4);
    }

    #[test]
    fn the_count_is_found_behind_the_programs_own_words() {
        let said = "sansftp 0.1.0\n==7== Events    : Ir\n==7== Collected : 2571462\n==7==\n";
        assert_eq!(collected(said), Some(2_571_462));
        assert_eq!(collected("sansftp 0.1.0\n"), None);
    }

    #[test]
    fn whatever_is_over_its_limit_is_named() {
        let line = |found| Line {
            what: format!("number {found}"),
            found,
            limit: 10,
        };
        assert!(judge(&[line(9), line(10)]).is_ok());
        let Err(Failure::Failed(why)) = judge(&[line(10), line(11), line(12)]) else {
            panic!("over the limit, and not refused");
        };
        assert_eq!(
            why,
            "number 11: 11, and 10 is the limit; number 12: 12, and 10 is the limit"
        );
    }
}
