//! A real, stock OpenSSH `sshd` on a loopback port, for one test: started here, stopped on drop, its log kept readable.
//!
//! Not a model of a server (see the scripted ends for that), and not a way to run a server in earnest: keys are cached in
//! the temporary directory, and every client key but [`ClientKey::Stranger`] opens the account.
//!
//! Started by root it serves a throwaway account, so that a missing permission is really missing and passwords work;
//! started by anyone else it serves that user, whose password it cannot know.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub use crate::fixture::{ClientKey, HostKey, PASSPHRASE};

use crate::fixture::{
    Account, Guard, Keys, NotYet, free_port, processes, program, public_dir, read_lossy,
};

/// How the `sftp` subsystem is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sftp {
    /// The program `sftp-server`, as Debian configures it. Its log goes to syslog, that is, usually nowhere.
    Program,
    /// `sftp-server` at level DEBUG3, every request on a line of [`Sshd::sftp_log`]. Slow with large files.
    Logged,
    /// `internal-sftp`, inside sshd's own process.
    Internal,
}

/// What a fixture is to be, before it is started. Made by [`Sshd::builder`].
#[derive(Debug)]
pub struct Builder {
    config: Vec<String>,
    host_keys: Vec<HostKey>,
    sftp: Sftp,
    subsystem: Option<String>,
    data_in: Option<PathBuf>,
}

impl Builder {
    /// Adds a line of `sshd_config`, such as `Ciphers aes128-ctr`. It goes before the fixture's own lines, and sshd takes
    /// the first of several, so any of them can be overridden; but a `LogLevel` below INFO hides the word that it listens,
    /// for which the start waits.
    #[must_use]
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Presents these host keys and no others. The default is all of [`HostKey::ALL`].
    #[must_use]
    pub fn host_keys(mut self, keys: &[HostKey]) -> Self {
        self.host_keys = keys.to_vec();
        self
    }

    /// Chooses how SFTP is served. The default is [`Sftp::Program`].
    #[must_use]
    pub fn sftp(mut self, sftp: Sftp) -> Self {
        self.sftp = sftp;
        self
    }

    /// Serves SFTP by this command, which the account's shell runs. Where a session starts is up to it.
    #[must_use]
    pub fn subsystem(mut self, command: impl Into<String>) -> Self {
        self.subsystem = Some(command.into());
        self
    }

    /// Puts the served directory below `directory`, `/dev/shm` for example, instead of the temporary directory. Every
    /// component of it must be open to all.
    #[must_use]
    pub fn data_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_in = Some(directory.into());
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If there is no `sshd` here, if it refuses the configuration, or if it does not listen within 20 seconds; the text
    /// holds its words.
    #[must_use]
    pub fn start(self) -> Sshd {
        self.try_start()
            .unwrap_or_else(|error| panic!("no sshd for this test: {error}"))
    }

    fn try_start(self) -> io::Result<Sshd> {
        let program = program("sshd", &["/usr/sbin/sshd", "/usr/local/sbin/sshd"])?;
        let account = Account::obtain()?;
        let keys = Keys::obtain()?;
        keys.also(&self.host_keys)?;
        let dir = public_dir(&std::env::temp_dir(), "sansftp-sshd-")?;
        let data_dir = match &self.data_in {
            Some(parent) => public_dir(parent, "sansftp-data-")?,
            None => public_dir(dir.path(), "data-")?,
        };
        account.own(data_dir.path())?;
        fs::copy(keys.authorized_keys(), dir.path().join("authorized_keys"))?;
        fs::set_permissions(
            dir.path().join("authorized_keys"),
            fs::Permissions::from_mode(0o644),
        )?;
        account.prepare_to_serve()?;

        let mut refused_ports = 0;
        loop {
            let port = free_port()?;
            let config = self.write_config(port, &account, &keys, dir.path(), data_dir.path())?;
            let log = dir.path().join("sshd.log");
            fs::write(&log, "")?;
            let mut command = Command::new(&program);
            command.arg("-D").arg("-f").arg(&config);
            command.arg("-E").arg(&log);
            // What it says before it has opened its log.
            let guard = Guard::spawn(&command, &log)?;
            match wait_until_listening(&guard, &log) {
                Ok(()) => {
                    let sshd = Sshd {
                        guard: Some(guard),
                        port,
                        account,
                        keys,
                        host_keys: self.host_keys,
                        data_dir,
                        dir,
                    };
                    fs::write(sshd.known_hosts_file(), sshd.known_hosts())?;
                    return Ok(sshd);
                }
                Err(StartFailure::PortTaken) if refused_ports < 10 => refused_ports += 1,
                Err(failure) => {
                    return Err(io::Error::other(format!(
                        "{failure:?}: {}",
                        read_lossy(&log)
                    )));
                }
            }
        }
    }

    /// Writes the configuration and has sshd check it, so that a wrong line is an error and not a silence.
    fn write_config(
        &self,
        port: u16,
        account: &Account,
        keys: &Keys,
        dir: &Path,
        data: &Path,
    ) -> io::Result<PathBuf> {
        let mut text = String::new();
        let mut line = |parts: &str| {
            text.push_str(parts);
            text.push('\n');
        };
        self.config.iter().for_each(|own| line(own));
        line(&format!("Port {port}"));
        line("ListenAddress 127.0.0.1");
        for key in &self.host_keys {
            line(&format!("HostKey {}", keys.host(*key).display()));
        }
        line("PidFile none");
        line("UsePAM no");
        line("StrictModes no");
        line("UseDNS no");
        line("PasswordAuthentication yes");
        line("KbdInteractiveAuthentication no");
        line("PubkeyAuthentication yes");
        line(&format!(
            "AuthorizedKeysFile {}",
            dir.join("authorized_keys").display()
        ));
        line(&format!("AllowUsers {}", account.name()));
        line("MaxStartups 1000:30:2000");
        line("PrintMotd no");
        line("PrintLastLog no");
        line("LogLevel VERBOSE");
        // `-d` starts the session in the fixture's own directory: REALPATH "." of each fixture is a place of its own,
        // although they all serve one account.
        let data = data.display();
        match (&self.subsystem, self.sftp) {
            (Some(command), _) => line(&format!("Subsystem sftp {command}")),
            (None, Sftp::Internal) => line(&format!("Subsystem sftp internal-sftp -d {data}")),
            (None, Sftp::Program) => line(&format!(
                "Subsystem sftp {} -d {data}",
                sftp_server()?.display()
            )),
            (None, Sftp::Logged) => {
                let log = dir.join("sftp.log");
                fs::write(&log, "")?;
                fs::set_permissions(&log, fs::Permissions::from_mode(0o666))?;
                let server = sftp_server()?;
                let (server, log) = (server.display(), log.display());
                line(&format!(
                    "Subsystem sftp exec {server} -e -l DEBUG3 -d {data} 2>>{log}"
                ));
            }
        }
        let path = dir.join("sshd_config");
        // OpenSSH 9.8 and newer shut a host out after some failed logins, and every test comes from one host. Older ones
        // do not know the word.
        let with_penalties = format!("{text}PerSourcePenalties no\n");
        fs::write(&path, with_penalties)?;
        match check(&path)? {
            Ok(()) => return Ok(path),
            Err(words) if !words.contains("PerSourcePenalties") => {
                return Err(io::Error::other(words));
            }
            Err(_) => fs::write(&path, text)?,
        }
        check(&path)?.map_err(io::Error::other)?;
        Ok(path)
    }
}

/// A running `sshd`. Dropping it ends the listener and every session.
#[derive(Debug)]
pub struct Sshd {
    // Before the directories: fields are dropped in this order, and the processes use the files.
    guard: Option<Guard>,
    port: u16,
    account: Account,
    keys: Keys,
    host_keys: Vec<HostKey>,
    data_dir: TempDir,
    dir: TempDir,
}

impl Sshd {
    /// One with the default settings; see [`Builder::start`] for when it panics.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The default settings, to be changed before the start.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            config: Vec::new(),
            host_keys: HostKey::ALL.to_vec(),
            sftp: Sftp::Program,
            subsystem: None,
            data_in: None,
        }
    }

    /// Ends the listener and every session now. The port is refused afterwards, log and files stay until the drop.
    pub fn stop(&mut self) {
        self.guard = None;
    }

    /// The process id of the listener, for measurements. `None` once it was stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.guard.as_ref().map(Guard::pid)
    }

    /// Processor time of what the listener has waited for, in seconds, in steps of 10 ms. Waits until it has no child. Of a
    /// session that the client hung up this is the monitor alone: it does not wait for the process of the user.
    ///
    /// # Panics
    /// Once it was stopped, and if a session does not end within 20 seconds.
    #[must_use]
    pub fn sessions_processor_time(&self) -> f64 {
        let guard = self.guard.as_ref().expect("a stopped sshd has no process");
        guard
            .wait_for(|| (!processes::has_children(guard.pid())).then_some(()))
            .unwrap_or_else(|why| panic!("a session is still there: {why:?}"));
        let times = processes::times(guard.pid()).expect("the listener runs");
        times.of_children
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

    /// The account that it serves.
    #[must_use]
    pub fn user(&self) -> &str {
        self.account.name()
    }

    /// The password of [`Sshd::user`].
    ///
    /// # Panics
    /// If the test does not run as root: then the account is the caller's own, and its password unknown.
    #[must_use]
    pub fn password(&self) -> &str {
        self.account
            .password()
            .expect("tests of password logins run as root only: another user's fixture serves that user's own account")
    }

    /// Whether [`Sshd::password`] has one to give, and permissions are those of an account that is not the test's own.
    #[must_use]
    pub fn has_own_account(&self) -> bool {
        self.account.password().is_some()
    }

    /// Where a session starts: what REALPATH of `.` answers. Owned by the account, empty at first, this fixture's alone.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.data_dir.path()
    }

    /// A directory that the account can neither read nor write, for what the test itself keeps. Removed on drop.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn private_dir(&self) -> PathBuf {
        let path = self.dir.path().join("private");
        fs::create_dir_all(&path).expect("the fixture's own directory is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .expect("the fixture owns its directories");
        path
    }

    /// Writes a file below [`Sshd::home`], with missing directories, all owned by the account, and returns its path.
    /// The name is bytes: it may hold anything but NUL.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(OsStr::from_bytes(name.as_ref()));
        let parent = path.parent().expect("a file below the home has a parent");
        self.mkdir_all(parent);
        fs::write(&path, contents).expect("the test may write below the served directory");
        self.give(&path);
        path
    }

    /// Makes a directory below [`Sshd::home`], with missing parents, owned by the account, and returns its path.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn mkdir(&self, name: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(OsStr::from_bytes(name.as_ref()));
        self.mkdir_all(&path);
        path
    }

    /// Makes the account the owner of a file or directory that the test has made there.
    ///
    /// # Panics
    /// If the path does not exist.
    pub fn give(&self, path: &Path) {
        self.account
            .own(path)
            .expect("the test owns what it gives away");
    }

    /// The private key's file, readable by the test alone. Beside it lies the public half, with `.pub` added.
    #[must_use]
    pub fn key(&self, key: ClientKey) -> PathBuf {
        self.keys.client(key)
    }

    /// The line of a `known_hosts` file for this server and its first host key.
    ///
    /// # Panics
    /// If the fixture was built without a host key.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let first = self.host_keys.first().expect("the fixture has a host key");
        self.known_hosts_line_of(*first)
    }

    /// The line of a `known_hosts` file for this server and the key of that type, whether it presents that key or not.
    #[must_use]
    pub fn known_hosts_line_of(&self, key: HostKey) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.keys.host_public(key))
    }

    /// A `known_hosts` text with every host key that it presents.
    #[must_use]
    pub fn known_hosts(&self) -> String {
        self.host_keys
            .iter()
            .map(|key| self.known_hosts_line_of(*key) + "\n")
            .collect()
    }

    /// A file that holds [`Sshd::known_hosts`] until someone changes it.
    #[must_use]
    pub fn known_hosts_file(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// What sshd has logged so far, at level VERBOSE unless configured otherwise.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.dir.path().join("sshd.log"))
    }

    /// What sftp-server has logged so far. Empty unless built with [`Sftp::Logged`].
    #[must_use]
    pub fn sftp_log(&self) -> String {
        read_lossy(&self.dir.path().join("sftp.log"))
    }

    fn mkdir_all(&self, path: &Path) {
        if path.is_dir() {
            return;
        }
        if let Some(parent) = path.parent() {
            self.mkdir_all(parent);
        }
        fs::create_dir(path).expect("the test may write below the served directory");
        self.give(path);
    }
}

#[derive(Debug)]
enum StartFailure {
    PortTaken,
    Ended,
    NotListeningInTime,
}

/// Waits for sshd's own word that it listens: another process's listener on the port would accept a connection too.
fn wait_until_listening(guard: &Guard, log: &Path) -> Result<(), StartFailure> {
    let said = guard.wait_for(|| {
        let words = read_lossy(log);
        if words.contains("Server listening on 127.0.0.1") {
            return Some(Ok(()));
        }
        let taken = words.contains("Address already in use");
        taken.then_some(Err(StartFailure::PortTaken))
    });
    said.unwrap_or_else(|ended| {
        Err(match ended {
            NotYet::Ended => StartFailure::Ended,
            NotYet::InTime => StartFailure::NotListeningInTime,
        })
    })
}

/// sshd's verdict over a configuration file: the inner error holds its words.
fn check(config: &Path) -> io::Result<Result<(), String>> {
    let program = program("sshd", &["/usr/sbin/sshd", "/usr/local/sbin/sshd"])?;
    let output = Command::new(program)
        .arg("-t")
        .arg("-f")
        .arg(config)
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    // An unknown word is an error, a deprecated one only a remark.
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(words.into_owned())
    })
}

fn sftp_server() -> io::Result<PathBuf> {
    program(
        "sftp-server",
        &[
            "/usr/lib/openssh/sftp-server",
            "/usr/libexec/openssh/sftp-server",
            "/usr/lib/ssh/sftp-server",
            "/usr/libexec/sftp-server",
        ],
    )
}

#[cfg(test)]
mod tests;
