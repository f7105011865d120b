//! A server, a working directory, and the program that runs between them until it is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sansftp_connector::journal::{Journal, Query};
use sansftp_testkit::seeds::Rng;
use sansftp_testkit::serve::{self, Serve};
use sansftp_testkit::sshd::{ClientKey, HostKey, Sshd};
use serde_json::Value;
use tempfile::TempDir;

use crate::Amount;

/// Longer than any run takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// The server.
#[derive(Debug)]
pub(crate) enum Host {
    Serve(Serve),
    Sshd(Sshd),
}

/// Server and working directory of one round.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) host: Host,
    work: TempDir,
}

/// What a run came to that was not killed, or was too fast to be.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) outcomes: Vec<Value>,
    stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?}; {}", self.code, self.stderr)?;
        let bad = self.outcomes.iter().filter(|it| it["status"] != "ok");
        bad.take(5).try_for_each(|outcome| writeln!(f, "{outcome}"))
    }
}

/// How often each state of the journal was met after a kill.
pub(crate) type States = BTreeMap<String, usize>;

impl Host {
    pub(crate) fn serve() -> Self {
        Self::Serve(Serve::start())
    }

    pub(crate) fn sshd() -> Self {
        Self::Sshd(Sshd::builder().host_keys(&[HostKey::Ed25519]).start())
    }

    fn home(&self) -> &Path {
        match self {
            Self::Serve(serve) => serve.home(),
            Self::Sshd(sshd) => sshd.home(),
        }
    }
}

impl Scene {
    pub(crate) fn new(host: Host) -> Self {
        let work = tempfile::tempdir().unwrap();
        Self { host, work }
    }

    /// Makes a directory at the server.
    pub(crate) fn remote(&self, name: &str) -> PathBuf {
        let path = self.host.home().join(name);
        fs::create_dir_all(&path).unwrap();
        if let Host::Sshd(sshd) = &self.host {
            sshd.give(&path);
        }
        path
    }

    /// Writes a file at the server.
    pub(crate) fn write_remote(&self, path: &Path, content: &[u8]) {
        fs::write(path, content).unwrap();
        if let Host::Sshd(sshd) = &self.host {
            sshd.give(path);
        }
    }

    /// Makes a local directory.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        let path = self.work.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn journal(&self) -> PathBuf {
        self.work.path().join("journal")
    }

    pub(crate) fn program(&self, command: &str, directory: &str, words: &[String]) -> Command {
        let (user, port, key, known) = match &self.host {
            Host::Serve(serve) => (
                serve.user(),
                serve.port(),
                serve.key(ClientKey::Ed25519),
                serve.known_hosts_file(),
            ),
            Host::Sshd(sshd) => (
                sshd.user(),
                sshd.port(),
                sshd.key(ClientKey::Ed25519),
                sshd.known_hosts_file(),
            ),
        };
        let mut program = Command::new(serve::program());
        program
            .arg(command)
            .arg(format!("sftp://{user}@127.0.0.1:{port}/~/{directory}"))
            .args(words)
            .arg(format!("--private-key={}", key.display()))
            .arg(format!("--known-hosts-file={}", known.display()))
            .arg(format!("--journal={}", self.journal().display()))
            .arg("--json")
            .current_dir(self.work.path())
            .env_clear()
            .env("HOME", self.work.path())
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(sansftp_bugs)]
        if let Some(name) = std::env::var_os("SANSFTP_BUG") {
            program.env("SANSFTP_BUG", name);
        }
        program
    }

    /// Kills the program again and again, lets it come to its end, and runs it once more, when nothing is left to do.
    /// Answers the outcomes of all runs and the states met.
    pub(crate) fn play(
        &self,
        amount: &Amount,
        seed: u64,
        command: &str,
        directory: &str,
        words: &[String],
    ) -> (Vec<Value>, States) {
        let mut random = Rng::new(seed);
        let (mut outcomes, mut states) = (Vec::new(), States::new());
        for kill in 0..amount.kills {
            let after = Duration::from_millis(random.below(amount.latest) as u64);
            let program = self.program(command, directory, words);
            let ran = run(program, Some((random.below(4), after)));
            if let Some(code) = ran.code {
                assert_eq!(code, 0, "kill {kill}, seed {seed}: {ran}");
            }
            outcomes.extend(ran.outcomes);
            let met = self.met(&mut states);
            println!("seed {seed}, kill {kill} after {after:?}: {met}");
        }
        let last = run(self.program(command, directory, words), None);
        assert_eq!(last.code, Some(0), "seed {seed}: {last}");
        outcomes.extend(last.outcomes);
        let again = run(self.program(command, directory, words), None);
        assert_eq!(again.code, Some(0), "seed {seed}: {again}");
        let mut done = again.outcomes.iter().filter(|it| it["status"] == "ok");
        let done = done.next();
        assert!(done.is_none(), "seed {seed}: done again: {done:?}");
        (outcomes, states)
    }

    /// Adds up the states of what the killed process had in hand, and says them in a line.
    fn met(&self, states: &mut States) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let Ok(journal) = Journal::open_existing(&self.journal()) else {
            // Killed before it made one.
            return "no journal yet".to_owned();
        };
        let (mut now, mut after) = (States::new(), None);
        loop {
            let page = runtime.block_on(journal.entries(&Query::default(), after, 1_000));
            let page = page.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for record in page {
                assert_eq!(record.in_hand, None, "a killed process holds nothing");
                *now.entry(record.state).or_default() += 1;
            }
        }
        for (state, count) in &now {
            let met = if state == "done" { 1 } else { *count };
            *states.entry(state.clone()).or_default() += met;
        }
        let words: Vec<String> = now
            .iter()
            .map(|(state, n)| format!("{state} {n}"))
            .collect();
        words.join(", ")
    }
}

/// Runs it, killed so long after its outcome of that number; or, with none, to its end.
pub(crate) fn run(mut program: Command, kill: Option<(usize, Duration)>) -> Ran {
    let mut child = program.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = child.stderr.take().unwrap();
    let words = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let (told, lines) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut outcomes = Vec::new();
        // A line that was cut off by the kill is none.
        for line in stdout.lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if event["event"] == "outcome" {
                // What was done before says nothing of how far it is. Nobody waits any more once it is killed.
                if event["status"] != "skipped" {
                    let _ = told.send(());
                }
                outcomes.push(event);
            }
        }
        outcomes
    });
    if let Some((outcomes, delay)) = kill {
        for _ in 0..outcomes {
            // Without an end of the wait: the program's end closes the channel.
            if lines.recv().is_err() {
                break;
            }
        }
        thread::sleep(delay);
        // It may have ended by itself.
        let _ = child.kill();
    }
    let code = wait(&mut child);
    Ran {
        code,
        outcomes: reading.join().unwrap(),
        stderr: words.join().unwrap(),
    }
}

/// Its exit code; `None` when it was killed.
fn wait(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the program did not come to an end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says how often each state was met, and insists on it where that is asked.
pub(crate) fn judge(amount: &Amount, states: &States, wanted: &[&str]) {
    println!("states met: {states:?}");
    for state in wanted {
        let met = states.get(*state).copied().unwrap_or(0);
        assert!(
            met >= amount.coverage,
            "{state} was met {met} times: {states:?}"
        );
    }
}

/// Names and what lies under them, without directories.
pub(crate) fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_file() {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// What a listing says.
pub(crate) fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The content of file `number`: short, and of no other file.
pub(crate) fn content(seed: u64, number: usize) -> Vec<u8> {
    let mut random = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let mut content = format!("file {number} of seed {seed}\n").into_bytes();
    content.extend(random.bytes(9_000));
    content
}

/// Its name.
pub(crate) fn name(number: usize) -> String {
    format!("file{number:04}.csv")
}
