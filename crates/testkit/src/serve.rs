//! `sansftp serve`, as users install it, on a loopback port, for one test or measurement: started here, ended by SIGTERM,
//! its log kept readable. Not a way to run the server inside the test's own process (the library is for that).
//!
//! It serves a directory of its own as the user who runs the test. The account's name is made up, and the same client keys
//! open it as open that of the other fixture, [`crate::sshd`].

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::fixture::{ClientKey, Guard, HostKey, Keys, processes, public_dir, read_lossy};

/// The only user of the fixture.
const USER: &str = "tester";

/// Names the program to be tested; without it the one that lies beside the test is built and taken.
const PROGRAM: &str = "SANSFTP_PROGRAM";

/// What a server is to be, before it is started. Made by [`Serve::builder`].
#[derive(Debug)]
pub struct Builder {
    arguments: Vec<OsString>,
    program: Option<PathBuf>,
    data_in: Option<PathBuf>,
}

impl Builder {
    /// Adds an argument to `sansftp serve DIR`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Serves with this program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Puts the served directory below `directory`, `/dev/shm` for example, instead of the temporary directory.
    #[must_use]
    pub fn data_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_in = Some(directory.into());
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If the program cannot be built or started, or does not listen within 20 seconds; the text holds its words.
    #[must_use]
    pub fn start(self) -> Serve {
        self.try_start()
            .unwrap_or_else(|error| panic!("no sansftp serve for this test: {error}"))
    }

    fn try_start(self) -> io::Result<Serve> {
        let program = match self.program {
            Some(program) => program,
            None => built_program()?,
        };
        let keys = Keys::obtain()?;
        let dir = public_dir(&env::temp_dir(), "sansftp-serve-")?;
        let data_dir = match &self.data_in {
            Some(parent) => public_dir(parent, "sansftp-data-")?,
            None => public_dir(dir.path(), "data-")?,
        };
        let log = dir.path().join("serve.log");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(data_dir.path())
            .args(["--listen", "127.0.0.1:0", "--user", USER])
            .arg("--authorized-keys")
            .arg(keys.authorized_keys())
            .arg("--host-key")
            .arg(keys.host(HostKey::Ed25519))
            .args(&self.arguments)
            // Nothing of the tester's own is read or written.
            .env("HOME", dir.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("SANSFTP_CONFIG")
            .env_remove("RUST_LOG");
        let guard = Guard::spawn(&command, &log)?;
        let port = guard
            .wait_for(|| port_in(&read_lossy(&log)))
            .map_err(|why| io::Error::other(format!("{why:?}: {}", read_lossy(&log))))?;
        let serve = Serve {
            guard: Some(guard),
            port,
            keys,
            data_dir,
            dir,
        };
        fs::write(serve.known_hosts_file(), serve.known_hosts_line() + "\n")?;
        Ok(serve)
    }
}

/// The port in the line that says where it listens.
fn port_in(log: &str) -> Option<u16> {
    let (_, after) = log.split_once("127.0.0.1:")?;
    let digits = after.find(|c: char| !c.is_ascii_digit())?;
    after[..digits].parse().ok().filter(|port| *port != 0)
}

/// A running `sansftp serve`. Dropping it ends it, with all sessions.
#[derive(Debug)]
pub struct Serve {
    // Before the directories: fields are dropped in this order, and the process uses the files.
    guard: Option<Guard>,
    port: u16,
    keys: Keys,
    data_dir: TempDir,
    dir: TempDir,
}

impl Serve {
    /// One with the default settings; see [`Builder::start`] for when it panics.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The default settings, to be changed before the start.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            arguments: Vec::new(),
            program: None,
            data_in: None,
        }
    }

    /// Asks it to end with SIGTERM, and waits: how it ended. `None` if it did not within 20 seconds and was killed, or
    /// was stopped before.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.guard.take()?.terminate()
    }

    /// Its process, for measurements.
    ///
    /// # Panics
    /// Once it was stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard
            .as_ref()
            .map(Guard::pid)
            .expect("a server that was stopped has no process")
    }

    /// Its processor time so far, in seconds, in steps of 10 ms.
    ///
    /// # Panics
    /// Once it was stopped.
    #[must_use]
    pub fn processor_time(&self) -> f64 {
        let times = processes::times(self.pid());
        times.expect("a server that was not stopped runs").own
    }

    /// The port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The user that it knows.
    #[must_use]
    pub fn user(&self) -> &str {
        USER
    }

    /// The served directory, empty at first; a session starts in it, as `/`.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.data_dir.path()
    }

    /// A directory for what the test itself keeps. Removed on drop.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn private_dir(&self) -> PathBuf {
        let path = self.dir.path().join("private");
        fs::create_dir_all(&path).expect("the fixture's own directory is writable");
        path
    }

    /// The private key's file. Beside it lies the public half, with `.pub` added.
    #[must_use]
    pub fn key(&self, key: ClientKey) -> PathBuf {
        self.keys.client(key)
    }

    /// The line of a `known_hosts` file for it.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let key = self.keys.host_public(HostKey::Ed25519);
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// A file that holds [`Serve::known_hosts_line`] until someone changes it.
    #[must_use]
    pub fn known_hosts_file(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.dir.path().join("serve.log"))
    }
}

/// The program of the same build as the test that runs, for what is not a server.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn program() -> PathBuf {
    built_program().unwrap_or_else(|error| panic!("no sansftp for this test: {error}"))
}

/// The program of the same build as the test that runs: named by [`PROGRAM`], or made by the cargo that runs the test.
/// Cargo makes a package's programs for that package's own tests alone.
fn built_program() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(named) = env::var_os(PROGRAM) {
        return Ok(named.into());
    }
    BUILT.get_or_init(build).clone().map_err(io::Error::other)
}

fn build() -> Result<PathBuf, String> {
    // target/PROFILE/deps/TEST, or target/PROFILE/examples/EXAMPLE
    let test = env::current_exe().map_err(|error| error.to_string())?;
    let profile_dir = test.ancestors().nth(2).unwrap_or_else(|| Path::new(""));
    let name = profile_dir.file_name().and_then(|name| name.to_str());
    let (Some(name), Some(target)) = (name, profile_dir.parent()) else {
        return Err(format!("{}: not in a build directory", test.display()));
    };
    let Some(cargo) = env::var_os("CARGO") else {
        return Err(format!(
            "run the test by cargo, or name the program in {PROGRAM}"
        ));
    };
    let profile = if name == "debug" { "dev" } else { name };
    let output = Command::new(cargo)
        .args(["build", "--quiet", "-p", "sansftp", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(profile_dir.join("sansftp"))
}
