//! The program as a server, stock OpenSSH clients around it, and a place for all of their files.
//!
//! Not the fixture of the interop tests: here what the program prints is looked at too.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Ran;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A home with a directory to be served and a key.
pub(crate) struct Place(TempDir);

impl Place {
    /// The served directory is `files`, the key `key`, its public half `key.pub`.
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("files")).unwrap();
        fs::create_dir(place.path("tmp")).unwrap();
        place.make_key("key");
        place
    }

    pub(crate) fn make_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.path(name))
            .status()
            .expect("ssh-keygen is installed");
        assert!(made.success());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Any program, at home here.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.0.path())
            .env("TMPDIR", self.path("tmp"))
            .env("USER", "tester")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn program(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_sansftp"))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        ran(self.program().args(words))
    }

    /// Serves `files` on a free port, with these words besides.
    pub(crate) fn serve(&self, words: &[&str]) -> Server {
        let mut program = self.program();
        program
            .args(["serve", "files", "--listen", "0"])
            .args(words);
        Server::start(program)
    }

    /// Serves `files` to the key, with events as JSON.
    pub(crate) fn serve_json(&self, words: &[&str]) -> Server {
        let proof = ["--authorized-keys", "key.pub", "--json"];
        self.serve(&[&proof[..], words].concat())
    }

    /// A client of OpenSSH with all that it needs to get in by the key, but for the target.
    pub(crate) fn client(&self, client: &str, server: &Server) -> Command {
        let mut command = self.trusting(client, server);
        command.args([
            "-i",
            "key",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ]);
        command
    }

    /// A client of OpenSSH that has this password and no key.
    pub(crate) fn client_with(&self, password: &str, client: &str, server: &Server) -> Command {
        let mut command = self.trusting(client, server);
        command
            .args([
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "NumberOfPasswordPrompts=1",
            ])
            .env("SSH_ASKPASS", self.askpass(password))
            .env("SSH_ASKPASS_REQUIRE", "force");
        command
    }

    /// A client of OpenSSH that knows the server.
    pub(crate) fn trusting(&self, client: &str, server: &Server) -> Command {
        let known = self.write("known_hosts", server.known_hosts() + "\n");
        let mut command = self.command(client);
        let port = if client == "ssh" { "-p" } else { "-P" };
        command
            .args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o"])
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .args([port, &server.port().to_string()]);
        command
    }

    /// Stock `sftp` with a batch; it ends at the first failure.
    pub(crate) fn sftp(&self, server: &Server, batch: &str) -> Ran {
        let mut sftp = self.client("sftp", server);
        ran_with(sftp.args(["-b", "-", "tester@127.0.0.1"]), batch)
    }

    /// Everything that lies here, by its path.
    pub(crate) fn tree(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.path(below)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }

    /// A program that prints a password, for SSH_ASKPASS.
    pub(crate) fn askpass(&self, password: &str) -> PathBuf {
        let path = self.write("askpass", format!("#!/bin/sh\necho '{password}'\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    ran_with(command, "")
}

/// Runs a command that is given some input.
pub(crate) fn ran_with(command: &mut Command, input: &str) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read it to its end has had enough.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    ran
}

/// A running server. Killed on drop.
pub(crate) struct Server {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(mut program: Command) -> Self {
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let server = Self {
            child,
            stdout,
            stderr,
        };
        server.until(|server| {
            let said = server.stdout();
            said.contains("--into .\n\n") || said.contains(r#""event":"listening""#)
        });
        server
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let said = self.stdout();
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        lines.collect()
    }

    /// Waits for an event, and gives it.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        self.until(|server| server.events().iter().any(|event| event["event"] == name));
        let mut events = self.events();
        let at = events.iter().position(|event| event["event"] == name);
        events.swap_remove(at.unwrap())
    }

    #[track_caller]
    pub(crate) fn until(&self, what: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !what(self) {
            let (out, err) = (self.stdout(), self.stderr());
            assert!(
                Instant::now() < end,
                "it did not come to that: {out}\n{err}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The line that begins with these words, without them.
    pub(crate) fn line(&self, words: &str) -> String {
        let said = self.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix(words));
        line.unwrap_or_else(|| panic!("no line {words}: {said}"))
            .trim()
            .to_owned()
    }

    pub(crate) fn port(&self) -> u16 {
        let said = self.stdout();
        let (_, after) = said.split_once("127.0.0.1:").unwrap();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    pub(crate) fn known_hosts(&self) -> String {
        match self.events_if_json() {
            Some(events) => events[0]["host-keys"][0]["known-hosts"]
                .as_str()
                .unwrap()
                .to_owned(),
            None => self.line("known_hosts"),
        }
    }

    fn events_if_json(&self) -> Option<Vec<Value>> {
        self.stdout().starts_with('{').then(|| self.events())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let filled = Arc::clone(&text);
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            filled
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

/// Names of the directory, for comparisons.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
