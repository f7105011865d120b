//! Other people's SSH servers, one process for each connection as inetd starts them: for one test or table, started here,
//! ended on drop. Not OpenSSH's, which has a fixture of its own ([`crate::sshd`]), and none of them is installed from here.
//!
//! Those that log in to an account need root. They see the throwaway account with a home in the temporary directory, by a
//! `/etc/passwd` of their own (unshare(1)); the system's stays as it is.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use crate::fixture::{Account, ClientKey, HostKey, Keys, processes, public_dir};

/// A server that is somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// dropbear: its own transport, OpenSSH's `sftp-server`.
    Dropbear,
    /// tinysshd: Ed25519 and ChaCha20 alone, OpenSSH's `sftp-server`.
    Tinysshd,
    /// A server by paramiko, with its SFTP.
    Paramiko,
}

/// What has to be there, and the package of Debian that brings it.
struct Need {
    place: &'static str,
    package: &'static str,
}

const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dropbear, Self::Tinysshd, Self::Paramiko];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropbear => "dropbear",
            Self::Tinysshd => "tinysshd",
            Self::Paramiko => "paramiko",
        }
    }

    const fn needs(self) -> &'static [Need] {
        match self {
            Self::Dropbear => &[
                Need {
                    place: "/usr/sbin/dropbear",
                    package: "dropbear-bin",
                },
                // The path that is compiled into it.
                Need {
                    place: "/usr/lib/sftp-server",
                    package: "openssh-sftp-server",
                },
            ],
            Self::Tinysshd => &[
                Need {
                    place: "/usr/sbin/tinysshd",
                    package: "tinysshd",
                },
                Need {
                    place: SFTP_SERVER,
                    package: "openssh-sftp-server",
                },
            ],
            Self::Paramiko => &[Need {
                place: "/usr/lib/python3/dist-packages/paramiko",
                package: "python3-paramiko",
            }],
        }
    }

    /// Why it cannot be started here, in words for a person; nothing if it can.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let missing = self.needs().iter().find(|it| !Path::new(it.place).exists());
        if let Some(Need { package, .. }) = missing {
            return Some(format!("not installed here (Debian's package {package})"));
        }
        let needs_root = self != Self::Paramiko && !rustix::process::getuid().is_root();
        needs_root.then(|| "needs root, to log in to an account that is made for it".to_owned())
    }

    /// Starts it.
    ///
    /// # Errors
    /// What cannot be made or started.
    pub fn start(self) -> io::Result<Inetd> {
        let keys = Keys::obtain()?;
        let account = Account::obtain()?;
        let dir = public_dir(&std::env::temp_dir(), "sansftp-inetd-")?;
        let home = dir.path().join("home");
        fs::create_dir_all(home.join(".ssh"))?;
        let authorized = home.join(".ssh/authorized_keys");
        fs::copy(keys.authorized_keys(), &authorized)?;
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644))?;
        for path in [&home, &home.join(".ssh"), &authorized] {
            account.own(path)?;
        }
        let command = match self {
            Self::Dropbear => dropbear(dir.path())?,
            Self::Tinysshd => tinysshd(dir.path())?,
            Self::Paramiko => paramiko(dir.path(), &home, &authorized, &keys)?,
        };
        let command = match self {
            Self::Paramiko => command,
            _ => with_home(dir.path(), &home, account.name(), command)?,
        };
        let key = keys.client(ClientKey::Ed25519);
        Inetd::serve(command, account.name().to_owned(), key, dir)
    }
}

/// A program and its arguments.
type Words = Vec<PathBuf>;

fn words<const N: usize>(words: [&str; N]) -> Words {
    words.map(PathBuf::from).to_vec()
}

fn dropbear(dir: &Path) -> io::Result<Words> {
    // In the foreground, on standard input; its complaints go to the system's log.
    let mut all = words(["/usr/sbin/dropbear", "-i", "-F"]);
    // It takes four and no more.
    for (kind, bits) in [
        ("ed25519", "256"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("rsa", "3072"),
    ] {
        let path = dir.join(format!("{kind}-{bits}"));
        let mut make = Command::new("dropbearkey");
        succeed(make.args(["-t", kind, "-s", bits, "-f"]).arg(&path))?;
        all.extend(["-r".into(), path]);
    }
    Ok(all)
}

fn tinysshd(dir: &Path) -> io::Result<Words> {
    let keys = dir.join("keys");
    succeed(Command::new("tinysshd-makekey").arg(&keys))?;
    let mut all = words(["/usr/sbin/tinysshd", "-o", "-x"]);
    all.extend([format!("sftp={SFTP_SERVER}").into(), keys]);
    Ok(all)
}

fn paramiko(dir: &Path, home: &Path, authorized: &Path, keys: &Keys) -> io::Result<Words> {
    // Not by its own name: python looks for modules beside the script.
    let script = dir.join("server.py");
    fs::write(&script, include_str!("inetd/paramiko.py"))?;
    let mut all = words(["/usr/bin/python3"]);
    all.extend([script, home.to_owned(), authorized.to_owned()]);
    all.extend(HostKey::ALL.map(|it| keys.host(it)));
    Ok(all)
}

/// Where the account sees its home. Nobody but root can write beside it, on which tinysshd insists; every system has it
/// (Filesystem Hierarchy Standard §3.12).
const SEEN_AT: &str = "/mnt";

/// The command in a view of the file system of its own, where the account's home is this directory.
fn with_home(dir: &Path, home: &Path, user: &str, command: Words) -> io::Result<Words> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let lines = passwd.lines().map(|line| {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        match fields.as_mut_slice() {
            [name, _, _, _, _, at, _] if name == user => *at = SEEN_AT.to_owned(),
            _ => {}
        }
        fields.join(":") + "\n"
    });
    let own = dir.join("passwd");
    fs::write(&own, lines.collect::<String>())?;
    let script =
        r#"mount --bind "$0" /etc/passwd && mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    let mut all = words(["unshare", "--mount", "sh", "-c", script]);
    all.extend([own, home.to_owned(), SEEN_AT.into()]);
    all.extend(command);
    Ok(all)
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {words}")))
}

/// A server that listens until it is dropped.
#[derive(Debug)]
pub struct Inetd {
    port: u16,
    user: String,
    key: PathBuf,
    stopped: Arc<AtomicBool>,
    children: Arc<Mutex<Vec<Child>>>,
    listener: Option<JoinHandle<()>>,
    dir: TempDir,
}

impl Inetd {
    fn serve(command: Words, user: String, key: PathBuf, dir: TempDir) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let stopped = Arc::new(AtomicBool::new(false));
        let children: Arc<Mutex<Vec<Child>>> = Arc::default();
        let (stop, born) = (Arc::clone(&stopped), Arc::clone(&children));
        let log = fs::File::create(dir.path().join("log"))?;
        let listener = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                // One that cannot be started hangs up, which the client tells.
                if let Ok(child) = spawn(&command, &stream, &log) {
                    let mut all = born.lock().unwrap_or_else(PoisonError::into_inner);
                    all.retain_mut(|it| matches!(it.try_wait(), Ok(None)));
                    all.push(child);
                }
            }
        });
        Ok(Self {
            port,
            user,
            key,
            stopped,
            children,
            listener: Some(listener),
            dir,
        })
    }

    /// The port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The account that it serves.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The file of a private key that opens it.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Where a session starts.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// What it has complained of.
    #[must_use]
    pub fn log(&self) -> String {
        crate::fixture::read_lossy(&self.dir.path().join("log"))
    }
}

fn spawn(command: &Words, stream: &TcpStream, log: &fs::File) -> io::Result<Child> {
    let (program, arguments) = command.split_first().expect("a command has a program");
    let (input, output) = (stream.try_clone()?, stream.try_clone()?);
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(input)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .stderr(log.try_clone()?)
        .spawn()
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Whoever waits for a connection looks up. It may have ended by itself.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        for mut child in children.drain(..) {
            processes::kill_tree(child.id());
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn each_that_is_here_greets_and_is_gone_with_the_fixture() {
        for program in Program::ALL.into_iter().filter(|it| it.missing().is_none()) {
            let server = program.start().unwrap();
            let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            let mut greeting = [0; 8];
            let heard = stream.read_exact(&mut greeting);
            assert!(heard.is_ok(), "{program:?}: {}", server.log());
            assert_eq!(&greeting, b"SSH-2.0-");
            drop(server);
            let mut rest = Vec::new();
            // Reset, or ended.
            let _ = stream.read_to_end(&mut rest);
        }
    }
}
