//! Many connections at once in one program, each of which gets the same file, with one bound for the bytes under way of all.
//!
//! ```text
//! cargo run --release -p sansftp-tokio --example many_sessions -- \
//!     HOST:PORT USER PRIVATE_KEY KNOWN_HOSTS REMOTE_FILE INTO_DIRECTORY SESSIONS
//! ```
//!
//! The copies are named 0, 1, 2, ... Printed is how long it took, how long until the last session was ready, and the
//! largest resident memory. Not resumed, not retried, not delivered under a temporary name: the connector does that.

use bytes::Bytes;
use sansftp_crypto::default_provider;
use sansftp_keys::{Host, KnownHosts, Verdict, read_private_key};
use sansftp_proto::crypto::SigningKey;
use sansftp_proto::session::{Config, HostKey, Trust};
use sansftp_tokio::sftp::Sftp;
use sansftp_tokio::{Client, Credentials, Deadlines, Target};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

const USAGE: &str = "usage: many_sessions HOST:PORT USER PRIVATE_KEY KNOWN_HOSTS REMOTE_FILE INTO_DIRECTORY SESSIONS";

/// Bytes that are asked for, or have come and are not written yet, of all sessions together. A quarter of a megabyte for
/// each of 64 keeps a server nearby busy; far away it would be more.
const BUDGET: usize = 16 << 20;
/// What no session has less of: one request.
const LEAST: usize = 64 << 10;
/// What is gathered before it is written.
const BLOCK: usize = 128 << 10;
/// Connections that are being made at once: servers turn away who comes with more (MaxStartups of OpenSSH is 10).
const STARTING: usize = 8;

type Failure = Box<dyn Error + Send + Sync>;

// Two threads carry all of them: it is the kernel that is waited for.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let errand = Arc::new(Errand::from_arguments()?);
    let begin = Instant::now();
    let mut sessions = JoinSet::new();
    for number in 0..errand.sessions {
        let errand = Arc::clone(&errand);
        sessions.spawn(async move { errand.fetch(number, begin).await });
    }
    let mut ready = Duration::ZERO;
    while let Some(session) = sessions.join_next().await {
        ready = ready.max(session??);
    }
    println!(
        "{} sessions, the last ready after {:.3} s, all done after {:.3} s, {} KiB resident at most",
        errand.sessions,
        ready.as_secs_f64(),
        begin.elapsed().as_secs_f64(),
        most_resident()?
    );
    Ok(())
}

/// What all sessions have in common.
struct Errand {
    target: Target,
    host: Host,
    user: String,
    key: Arc<dyn SigningKey>,
    known_hosts: KnownHosts,
    remote: String,
    into: PathBuf,
    sessions: usize,
    /// How many share the budget.
    running: AtomicUsize,
    starting: Semaphore,
}

impl Errand {
    fn from_arguments() -> Result<Self, Failure> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [address, user, key, known_hosts, remote, into, sessions] = &words[..] else {
            return Err(USAGE.into());
        };
        let (name, port) = address.rsplit_once(':').ok_or(USAGE)?;
        let port = port.parse()?;
        let provider = default_provider();
        let key = read_private_key(&fs::read(key)?, None)?;
        let key = provider.keys.load(&key.key)?;
        let sessions: usize = sessions.parse()?;
        Ok(Self {
            target: Target::new(name, port),
            host: Host::new(name, port)?,
            user: user.clone(),
            key,
            known_hosts: KnownHosts::parse(&fs::read(known_hosts)?),
            remote: remote.clone(),
            into: into.into(),
            sessions,
            running: AtomicUsize::new(sessions),
            starting: Semaphore::new(STARTING),
        })
    }

    /// One session from its beginning to its end. Returns how long after `begin` it was ready.
    async fn fetch(&self, number: usize, begin: Instant) -> Result<Duration, Failure> {
        let turn = self.starting.acquire().await?;
        let client = self.connect().await?;
        let sftp = client.sftp().await?;
        drop(turn);
        let ready = begin.elapsed();
        let copied = self.copy(&sftp, number).await;
        // Its share is the others' from here on, whether it went well or not.
        self.running.fetch_sub(1, Ordering::Relaxed);
        copied?;
        client.close().await;
        Ok(ready)
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let judge = |key: &HostKey| match self.known_hosts.check(&self.host, key.key()) {
            Verdict::Known { .. } => Trust::Trusted,
            _ => Trust::Refused,
        };
        let credentials = Credentials::new(&self.user).key(Arc::clone(&self.key));
        let deadlines = Deadlines::default();
        let config = Config::client(default_provider());
        Ok(Client::connect(&self.target, config, &deadlines, judge, credentials).await?)
    }

    async fn copy(&self, sftp: &Sftp, number: usize) -> Result<(), Failure> {
        let mut from = sftp.open_read(self.remote.as_bytes()).await?;
        let mut to = File::create(self.into.join(number.to_string()))?;
        let (mut gathered, mut length) = (Vec::new(), 0);
        from.set_in_flight(self.share());
        while let Some(piece) = from.chunk().await? {
            length += piece.len();
            gathered.push(piece);
            if length >= BLOCK {
                to = write(to, std::mem::take(&mut gathered)).await?;
                length = 0;
                from.set_in_flight(self.share());
            }
        }
        write(to, gathered).await?;
        from.close().await?;
        Ok(())
    }

    /// What one session may have under way now: the same for each, and more when others are done.
    fn share(&self) -> usize {
        let running = self.running.load(Ordering::Relaxed).max(1);
        (BUDGET / running).max(LEAST)
    }
}

/// Off the threads that the sockets are served by.
async fn write(mut to: File, pieces: Vec<Bytes>) -> Result<File, Failure> {
    let written = spawn_blocking(move || -> io::Result<File> {
        for piece in pieces {
            to.write_all(&piece)?;
        }
        Ok(to)
    });
    Ok(written.await??)
}

/// In KiB; `VmHWM` of proc(5).
fn most_resident() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("the kernel tells no VmHWM")?.parse()?)
}
