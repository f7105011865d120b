//! `sansftp serve` beside Debian's `sshd` with its `sftp-server`: OpenSSH's client gets and puts one large file, in turns,
//! with one cipher and everything in memory. Measured are the client's wall time, and the processor time of the server.
//!
//! That of `sansftp serve` is its process's own. That of sshd is what its listener has waited for (`/proc/PID/stat`, cutime
//! and cstime), and that of the session's processes for which nobody waits, because sshd's monitor ends without: those are
//! adopted here and waited for. Both are read when the last of them is gone. Handshake and login are in both.

use super::field::{fill, same};
use super::measure::{self, Cost};
use super::rows::Scale;
use super::{Failure, MEMORY, PATIENCE, Wanted, median, report};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use sansftp_testkit::serve::Serve;
use sansftp_testkit::sshd::{ClientKey, HostKey, Sshd};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// What one transfer took: seconds of wall time, and of the server's processors.
struct Taken {
    wall: f64,
    server: f64,
}

const CIPHERS: [&str; 2] = ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Get,
    Put,
}

/// Each cipher, each direction, all rounds: a table as it stands in the document.
pub(crate) fn bench(wanted: &Wanted) -> Result<String, Failure> {
    let size = match wanted.scale {
        Scale::Full => 1 << 30,
        Scale::Quick => 16 << 20,
    };
    let mut text = format!(
        "{} MiB each way by OpenSSH's `sftp`, {} rounds, medians. {}\n\n",
        size >> 20,
        wanted.rounds,
        report::load()?
    );
    text += "| cipher | | sshd wall s | serve wall s | ratio | sshd CPU s | serve CPU s | ratio |\n|---|---|---|---|---|---|---|---|\n";
    let servers = Servers::new(wanted, size)?;
    for cipher in CIPHERS {
        for direction in [Direction::Get, Direction::Put] {
            text += &servers.compare(cipher, direction, wanted)?;
            text.push('\n');
        }
    }
    Ok(text)
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Sshd,
    Serve,
}

struct Servers {
    sshd: Sshd,
    serve: Serve,
    /// The client's side.
    local: tempfile::TempDir,
    source: PathBuf,
    /// Our own children while no session runs: those that hold the servers.
    children: usize,
}

impl Servers {
    fn new(wanted: &Wanted, size: u64) -> Result<Self, Failure> {
        set_child_subreaper(true)?;
        let program = wanted.tools.sansftp.clone();
        let sshd = Sshd::builder()
            .host_keys(&[HostKey::Ed25519])
            .data_in(MEMORY)
            .start();
        let serve = Serve::builder().program(program).data_in(MEMORY).start();
        let local = tempfile::tempdir_in(MEMORY)?;
        let source = local.path().join("source");
        fill(&source, size)?;
        // One file for both, so that the cache treats them alike.
        for home in [sshd.home(), serve.home()] {
            fs::hard_link(&source, home.join("source"))?;
        }
        Ok(Self {
            sshd,
            serve,
            local,
            source,
            children: children()?,
        })
    }

    /// One line of the table.
    fn compare(
        &self,
        cipher: &str,
        direction: Direction,
        wanted: &Wanted,
    ) -> Result<String, Failure> {
        for which in [Which::Sshd, Which::Serve] {
            // Not counted: the first one pays for memory that the others find ready.
            self.run(which, cipher, direction)?;
        }
        let mut pairs = Vec::new();
        for round in 0..wanted.rounds {
            // Each goes first in every other round.
            let pair = if round % 2 == 0 {
                let sshd = self.run(Which::Sshd, cipher, direction)?;
                (sshd, self.run(Which::Serve, cipher, direction)?)
            } else {
                let serve = self.run(Which::Serve, cipher, direction)?;
                (self.run(Which::Sshd, cipher, direction)?, serve)
            };
            pairs.push(pair);
        }
        let of = |value: &dyn Fn(&(Taken, Taken)) -> f64| median(pairs.iter().map(value).collect());
        let name = match direction {
            Direction::Get => "get",
            Direction::Put => "put",
        };
        Ok(format!(
            "| {cipher} | {name} | {:.2} | {:.2} | **{:.2}** | {:.2} | {:.2} | **{:.2}** |",
            of(&|(sshd, _)| sshd.wall),
            of(&|(_, serve)| serve.wall),
            of(&|(sshd, serve)| serve.wall / sshd.wall),
            of(&|(sshd, _)| sshd.server),
            of(&|(_, serve)| serve.server),
            of(&|(sshd, serve)| serve.server / sshd.server),
        ))
    }

    /// One transfer. Its result is compared, and removed, outside the time.
    fn run(&self, which: Which, cipher: &str, direction: Direction) -> Result<Taken, Failure> {
        let (port, user, known, home) = match which {
            Which::Sshd => (
                self.sshd.port(),
                self.sshd.user(),
                self.sshd.known_hosts_file(),
                self.sshd.home(),
            ),
            Which::Serve => (
                self.serve.port(),
                self.serve.user(),
                self.serve.known_hosts_file(),
                self.serve.home(),
            ),
        };
        let (target, words) = match direction {
            Direction::Get => {
                let target = self.local.path().join("target");
                let words = format!("get source {}\n", target.display());
                (target, words)
            }
            Direction::Put => {
                let words = format!("put {} target\n", self.source.display());
                (home.join("target"), words)
            }
        };
        let batch = self.local.path().join("batch");
        fs::write(&batch, words)?;
        let mut command = Command::new("sftp");
        command
            .args(["-q", "-F", "/dev/null", "-c", cipher, "-i"])
            .arg(self.sshd.key(ClientKey::Ed25519));
        for option in [
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "KexAlgorithms=curve25519-sha256",
        ] {
            command.args(["-o", option]);
        }
        command
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-b")
            .arg(&batch)
            .args(["-P", &port.to_string(), &format!("{user}@127.0.0.1")]);
        let before = self.processor_time(which)?;
        let Cost { wall, .. } =
            measure::measure(&command, &self.local.path().join("printed"), PATIENCE)
                .map_err(|error| format!("{which:?} {direction:?} with {cipher}: {error}"))?;
        let server = self.processor_time(which)? + self.orphans()? - before;
        self.check(&target)
            .map_err(|error| format!("{which:?} {direction:?} with {cipher}: {error}"))?;
        Ok(Taken { wall, server })
    }

    fn processor_time(&self, which: Which) -> Result<f64, Failure> {
        Ok(match which {
            Which::Sshd => self.sshd.sessions_processor_time(),
            Which::Serve => self.serve.processor_time(),
        })
    }

    /// The processor time of processes that were left to us, of which none is left afterwards.
    fn orphans(&self) -> Result<f64, Failure> {
        let before = measure::processor_time(&getrusage(UsageWho::RUSAGE_CHILDREN)?);
        let end = Instant::now() + Duration::from_secs(20);
        while children()? > self.children {
            if Instant::now() > end {
                return Err("a session's process does not end".into());
            }
            let ended = waitpid(None, Some(WaitPidFlag::WNOHANG))?;
            if ended == WaitStatus::StillAlive {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let after = measure::processor_time(&getrusage(UsageWho::RUSAGE_CHILDREN)?);
        Ok(after - before)
    }

    fn check(&self, target: &Path) -> io::Result<()> {
        if !same(&self.source, target)? {
            return Err(io::Error::other("the contents differ"));
        }
        fs::remove_file(target)
    }
}

/// How many processes have us for a parent, those that have ended and were not waited for included.
fn children() -> io::Result<usize> {
    let own = std::process::id().to_string();
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        // One may end while it is looked at.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        // The name, in parentheses, may hold anything; the state and the parent come behind it.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        count += usize::from(behind.split_whitespace().nth(1) == Some(&own));
    }
    Ok(count)
}
