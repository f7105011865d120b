//! What a client costs, with all that it starts: it runs under a fresh process of this program, whose children it and its
//! own are alone, so that getrusage(2) of the children is its cost and nothing else. What a client leaves behind without
//! waiting for it, as `lftp` does its `ssh`, is adopted and waited for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::sys::wait::waitpid;
use rustix::process::{Pid, Signal, kill_process_group};

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

/// Runs the command to the end, or for `patience`, and puts what it prints into `printed`. An error holds what it said.
pub(crate) fn measure(command: &Command, printed: &Path, patience: Duration) -> io::Result<Cost> {
    let mut measuring = Command::new(std::env::current_exe()?);
    measuring
        .arg(CHILD)
        .arg(printed)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that all of it can be ended.
        .process_group(0);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            measuring.env(name, value);
        }
    }
    let mut child = measuring.spawn()?;
    let mut stderr = child.stderr.take().expect("a pipe was asked for");
    let words = thread::spawn(move || {
        let mut words = Vec::new();
        // What could be read is shown.
        let _ = stderr.read_to_end(&mut words);
        String::from_utf8_lossy(&words).into_owned()
    });
    let end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let group = group.expect("a child's process id is positive");
            kill_process_group(group, Signal::KILL)?;
            child.wait()?;
            let text = format!("stopped after {} s", patience.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        // The cost is measured by the child; this only learns of its end.
        thread::sleep(Duration::from_millis(5));
    };
    let words = words.join().unwrap_or_default();
    if !status.success() {
        return Err(io::Error::other(words));
    }
    let mut figures = String::new();
    let mut stdout = child.stdout.take().expect("a pipe was asked for");
    stdout.read_to_string(&mut figures)?;
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
pub(crate) fn child(words: &[String]) -> io::Result<()> {
    let [printed, program, arguments @ ..] = words else {
        return Err(io::Error::other("there is nothing to measure"));
    };
    let printed = File::create(printed)?;
    set_child_subreaper(true)?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdout(printed)
        .status()?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(io::Error::other(format!("{program} ended with {status}")));
    }
    // The last of those that were left behind. One that does not end is ended with all of us, and is a failure.
    while waitpid(None, None).is_ok() {}
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
