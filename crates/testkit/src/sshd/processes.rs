//! Ending a process and everything that it has started, by way of `/proc`. sshd gives each connection a session of its
//! own, so a process group does not hold them. Not for processes that we did not start.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process that is meant, and not another that was given its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// In clock ticks since boot.
    started: u64,
    zombie: bool,
}

/// Whether a process of this number runs. One that has ended and was not waited for does not.
pub(super) fn exists(pid: u32) -> bool {
    look(pid).is_some_and(|process| !process.zombie)
}

/// Kills a process, its children and theirs.
pub(super) fn kill_tree(root: u32) {
    let Some(root) = look(root) else { return };
    // The root first, so that it starts no more; what it had started is found before, because afterwards it has another
    // parent.
    let mut condemned = vec![root];
    condemned.extend(descendants(root.pid));
    while let Some(process) = condemned.first().copied() {
        condemned.remove(0);
        for late in descendants(process.pid) {
            if !condemned.contains(&late) {
                condemned.push(late);
            }
        }
        if look(process.pid).is_some_and(|now| now.started == process.started) {
            kill(process.pid);
        }
    }
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that is gone already needs no killing.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn descendants(root: u32) -> Vec<Process> {
    let all: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| look(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            found.push(*child);
            parents.push(child.pid);
        }
    }
    found
}

/// Reads `/proc/PID/stat`. The name in it may hold anything, so fields are counted from its closing parenthesis.
fn look(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = String::from_utf8_lossy(stat.get(name_end + 1..)?).into_owned();
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields 5 to 21 lie between the parent (4) and the start time (22), see proc(5).
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        started,
        zombie: state == "Z",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn a_tree_is_killed_with_children_that_have_sessions_of_their_own() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "setsid sleep 300 & setsid sh -c 'sleep 301; true' & wait",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while descendants(child.id()).len() < 3 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let below = descendants(child.id());
        assert_eq!(below.len(), 3, "two children and a grandchild: {below:?}");
        kill_tree(child.id());
        assert!(!child.wait().unwrap().success());
        while below.iter().any(|process| exists(process.pid)) {
            assert!(Instant::now() < end, "still there: {below:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_process_that_was_never_there_does_not_exist() {
        assert!(!exists(u32::MAX));
        assert!(exists(std::process::id()));
        kill_tree(u32::MAX);
    }
}
