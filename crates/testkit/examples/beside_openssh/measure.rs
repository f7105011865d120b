//! What a client costs, with all that it starts: it runs under a fresh process of this program, whose children it and its
//! own are alone, so that getrusage(2) of the children is its cost and nothing else. Not exact about children that are
//! never waited for; `sftp` waits for its `ssh`.

use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The first argument of the process that measures.
pub(crate) const CHILD: &str = "--measured-child";

/// In seconds and MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// User and system time together.
    pub(crate) cpu: f64,
    /// The largest resident set of any one process.
    pub(crate) memory_mib: f64,
}

/// Runs the command to the end. An error holds what it said.
pub(crate) fn measure(command: Command) -> io::Result<Cost> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(words.into_owned()));
    }
    let figures = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = figures
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [wall, cpu, memory_mib] = figures[..] else {
        return Err(io::Error::other(
            "the measuring process printed no three figures",
        ));
    };
    Ok(Cost {
        wall,
        cpu,
        memory_mib,
    })
}

/// The measuring process: prints wall time, processor time and memory.
pub(crate) fn child(command: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("there is nothing to measure"));
    };
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(io::Error::other(format!("{program} ended with {status}")));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = processor_time(&usage);
    // ru_maxrss counts KiB on Linux.
    println!("{wall:.6} {cpu:.6} {:.1}", usage.max_rss() as f64 / 1024.0);
    Ok(())
}

/// User and system time together, in seconds.
pub(crate) fn processor_time(usage: &Usage) -> f64 {
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
