//! Every client, and everything that it can do: one table of actions, each prepared and judged here on the disk, and done
//! by a client's own script. An action that a client does not have is an entry with the reason, not a gap.

mod curl;
mod lftp;
pub(crate) mod openssh;
pub(crate) mod paramiko;
mod psftp;
mod rclone;
mod sshfs;

use crate::files::{fill, hash, tree};
use crate::host::Host;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Prints the names of `dir`.
    List,
    /// `source` there becomes `got` here.
    Get,
    /// `source` here becomes `sent` there.
    Put,
    /// `more` here is added to the end of `log` there.
    Append,
    /// `source` here is the beginning of `source` there, and is completed.
    ResumeGet,
    /// `source` there is the beginning of `source` here, and is completed.
    ResumePut,
    /// `old` becomes `new`.
    Rename,
    /// `made` is made.
    Mkdir,
    /// `empty` is removed.
    Rmdir,
    /// `file` has the mode 0640 afterwards.
    Chmod,
    /// `link` leads to `file`.
    Symlink,
    /// `tree` there is copied to here.
    RecursiveGet,
    /// `tree` here is copied to there.
    RecursivePut,
}

impl Action {
    const ALL: [Self; 13] = [
        Self::List,
        Self::Get,
        Self::Put,
        Self::Append,
        Self::ResumeGet,
        Self::ResumePut,
        Self::Rename,
        Self::Mkdir,
        Self::Rmdir,
        Self::Chmod,
        Self::Symlink,
        Self::RecursiveGet,
        Self::RecursivePut,
    ];
}

/// How a client does an action.
pub(crate) enum Script {
    /// By one run of a program, which must succeed.
    Run(Command),
    /// The client has no such thing; the reason.
    NotOffered(&'static str),
}

pub(crate) trait Client {
    fn name(&self) -> &'static str;
    fn script(&self, action: Action, cell: &Cell<'_>) -> Script;
}

/// One client's one action: a directory on each side.
pub(crate) struct Cell<'h> {
    pub(crate) host: &'h Host,
    /// The directory there, relative to where a session starts.
    pub(crate) dir: String,
    /// The same on the disk.
    there: PathBuf,
    /// The client's side, which is its home directory as well.
    pub(crate) here: PathBuf,
}

impl<'h> Cell<'h> {
    pub(crate) fn new(host: &'h Host, name: &str) -> Self {
        let there = host.home().join(name);
        let here = host.private_dir().join(name);
        fs::create_dir_all(&here).unwrap();
        let cell = Self {
            host,
            dir: name.to_owned(),
            there,
            here,
        };
        cell.make_dir("");
        cell
    }

    /// A path there, relative to where a session starts.
    pub(crate) fn remote(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    /// A path here.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.here.join(name)
    }

    /// A path there, on the disk.
    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.there.join(name)
    }

    fn make_dir(&self, name: &str) {
        fs::create_dir(self.disk(name)).unwrap();
        self.host.give(&self.disk(name));
    }

    /// A file there.
    pub(crate) fn make(&self, name: &str, seed: u64, len: u64) {
        fill(&self.disk(name), seed, len);
        self.host.give(&self.disk(name));
    }

    /// A tree of files and directories, an empty one among them, here or there.
    fn make_tree(&self, root: &Path) {
        for (seed, (name, len)) in TREE.iter().enumerate() {
            let path = root.join(name);
            match len {
                None => fs::create_dir_all(&path).unwrap(),
                Some(len) => fill(&path, seed as u64, *len),
            }
            self.host.give(&path);
        }
    }

    /// A command that has nothing of the tester's own, and is killed if it hangs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "900", program])
            .current_dir(&self.here)
            .env("HOME", &self.here)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null());
        command
    }

    /// Writes a script for the client.
    pub(crate) fn batch(&self, text: &str) -> PathBuf {
        let path = self.local("batch");
        fs::write(&path, text).unwrap();
        path
    }
}

const TREE: [(&str, Option<u64>); 9] = [
    ("", None),
    ("empty", None),
    ("deep", None),
    ("deep/er", None),
    ("deep/er/leaf", Some(70_000)),
    ("deep/with a space", Some(1)),
    ("deep/\u{fc}ml\u{e4}ut", Some(33_000)),
    ("nothing", Some(0)),
    ("top", Some(300_001)),
];

const SMALL: u64 = 300_001;
/// Of what is resumed, so much is there already.
const BEGUN: u64 = 100_001;

/// Does all actions with one client, and names every one that failed.
fn matrix(client: &dyn Client, host: &Host) {
    let mut failures = String::new();
    let mut table = String::new();
    for action in Action::ALL {
        let name = format!("{}-{action:?}", client.name());
        let cell = Cell::new(host, &name);
        let verdict = act(client, action, &cell, SMALL);
        match verdict {
            Ok(None) => writeln!(table, "{name}: done"),
            Ok(Some(reason)) => writeln!(table, "{name}: not offered, {reason}"),
            Err(words) => writeln!(failures, "{name}: {words}"),
        }
        .unwrap();
    }
    println!("{table}");
    assert!(failures.is_empty(), "{table}\n{failures}\n{}", host.log());
}

/// One file of `len` bytes each way, timed for people.
fn large(client: &dyn Client, host: &Host, len: u64) {
    for action in [Action::Get, Action::Put] {
        let cell = Cell::new(host, &format!("{}-large-{action:?}", client.name()));
        let start = std::time::Instant::now();
        let done = act(client, action, &cell, len);
        let took = start.elapsed().as_secs_f64();
        assert!(matches!(done, Ok(None)), "{done:?}\n{}", host.log());
        let speed = len as f64 / took / f64::from(1 << 20);
        println!(
            "{} {action:?}: {len} bytes in {took:.1} s with hashing, {speed:.0} MiB/s",
            client.name()
        );
        fs::remove_dir_all(&cell.here).unwrap();
        fs::remove_dir_all(&cell.there).unwrap();
    }
}

/// Prepares, has it done, and judges: `Some` reason if the client does not have it, the error if it was done wrongly.
fn act(
    client: &dyn Client,
    action: Action,
    cell: &Cell<'_>,
    len: u64,
) -> Result<Option<&'static str>, String> {
    prepare(action, cell, len);
    let mut command = match client.script(action, cell) {
        Script::Run(command) => command,
        Script::NotOffered(reason) => return Ok(Some(reason)),
    };
    let output = command.output().map_err(|error| error.to_string())?;
    let wrong = if output.status.success() {
        judge(action, cell, &output).err()
    } else {
        Some(output.status.to_string())
    };
    let Some(wrong) = wrong else {
        return Ok(None);
    };
    let words = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.chars().take(4000).collect::<String>()
    };
    let (stdout, stderr) = (words(&output.stdout), words(&output.stderr));
    Err(format!("{wrong}\nstdout: {stdout}\nstderr: {stderr}"))
}

fn prepare(action: Action, cell: &Cell<'_>, len: u64) {
    match action {
        Action::List => {
            cell.make_dir("dir");
            cell.make_dir("dir/sub");
            for name in LISTED {
                cell.make(&format!("dir/{name}"), 1, 5);
            }
        }
        Action::Get => cell.make("source", 2, len),
        Action::Put => fill(&cell.local("source"), 3, len),
        Action::Append => {
            cell.make("log", 4, BEGUN);
            fill(&cell.local("more"), 5, len);
        }
        // What is there already differs from the source: a client that started over would be seen.
        Action::ResumeGet => {
            cell.make("source", 6, len);
            fill(&cell.local("source"), 7, BEGUN);
        }
        Action::ResumePut => {
            fill(&cell.local("source"), 6, len);
            cell.make("source", 7, BEGUN);
        }
        Action::Rename => cell.make("old", 8, 5000),
        Action::Mkdir => {}
        Action::Rmdir => cell.make_dir("empty"),
        Action::Chmod | Action::Symlink => {
            cell.make("file", 9, 10);
            fs::set_permissions(cell.disk("file"), fs::Permissions::from_mode(0o664)).unwrap();
        }
        Action::RecursiveGet => cell.make_tree(&cell.disk("tree")),
        Action::RecursivePut => cell.make_tree(&cell.local("tree")),
    }
}

const LISTED: [&str; 3] = ["plain", "with a space", "\u{fc}ber"];

fn judge(action: Action, cell: &Cell<'_>, output: &Output) -> Result<(), String> {
    let same = |one: &Path, other: &Path| {
        if !other.exists() {
            return Err(format!("{} is not there", other.display()));
        }
        let (one, other) = (hash(one), hash(other));
        ensure(one == other, || format!("hash {one} became {other}"))
    };
    match action {
        Action::List => {
            let text = String::from_utf8_lossy(&output.stdout);
            let missing = LISTED
                .iter()
                .chain([&"sub"])
                .find(|name| !text.contains(**name));
            ensure(missing.is_none(), || format!("{missing:?} is not listed"))
        }
        Action::Get => same(&cell.disk("source"), &cell.local("got")),
        Action::Put => same(&cell.local("source"), &cell.disk("sent")),
        Action::Append => {
            let whole = cell.local("whole");
            fill(&whole, 4, BEGUN);
            let more = fs::read(cell.local("more")).unwrap();
            append(&whole, &more);
            same(&whole, &cell.disk("log"))
        }
        Action::ResumeGet => resumed(cell, &cell.disk("source"), &cell.local("source")),
        Action::ResumePut => resumed(cell, &cell.local("source"), &cell.disk("source")),
        Action::Rename => {
            let expected = cell.local("expected");
            fill(&expected, 8, 5000);
            same(&expected, &cell.disk("new"))?;
            ensure(!cell.disk("old").exists(), || {
                "the old name is still there".into()
            })
        }
        Action::Mkdir => ensure(cell.disk("made").is_dir(), || "no directory".into()),
        Action::Rmdir => ensure(!cell.disk("empty").exists(), || "still there".into()),
        Action::Chmod => {
            let mode = fs::metadata(cell.disk("file"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777;
            ensure(mode == 0o640, || format!("mode {mode:o}"))
        }
        Action::Symlink => {
            let target = fs::read_link(cell.disk("link")).map_err(|error| error.to_string())?;
            ensure(target == Path::new("file"), || {
                format!("it leads to {target:?}")
            })
        }
        Action::RecursiveGet => same_tree(&cell.disk("tree"), &cell.local("tree")),
        Action::RecursivePut => same_tree(&cell.local("tree"), &cell.disk("tree")),
    }
}

/// `done` begins as it did, and goes on as `source` does.
fn resumed(cell: &Cell<'_>, source: &Path, done: &Path) -> Result<(), String> {
    let whole = cell.local("whole");
    fill(&whole, 7, BEGUN);
    append(&whole, &fs::read(source).unwrap()[BEGUN as usize..]);
    let (expected, found) = (hash(&whole), hash(done));
    if found == hash(source) {
        return Err("it was copied anew from its beginning".into());
    }
    ensure(expected == found, || {
        format!("hash {found} instead of {expected}")
    })
}

fn same_tree(source: &Path, copy: &Path) -> Result<(), String> {
    if !copy.is_dir() {
        return Err(format!("{} is not there", copy.display()));
    }
    let (source, copy) = (tree(source), tree(copy));
    ensure(source == copy, || format!("{source:?} became {copy:?}"))
}

fn append(path: &Path, more: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, more).unwrap();
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Each client's tests: the matrix, a file of 8 MiB each way, the same of 1 GiB at night, and the matrix against sshd.
macro_rules! clients {
    ($($module:ident: $client:expr, $host:expr;)*) => { $(
        mod $module {
            use super::*;

            #[test]
            fn does_all_it_can() {
                matrix(&$client, &$host);
            }

            #[test]
            fn moves_8_mib_each_way() {
                large(&$client, &$host, 8 * MIB);
            }

            #[test]
            #[ignore = "nightly: takes a gibibyte each way"]
            fn moves_1_gib_each_way() {
                large(&$client, &$host, GIB);
            }

            #[test]
            #[ignore = "nightly: the control, the same scripts against a stock sshd"]
            fn does_the_same_in_sshd() {
                matrix(&$client, &Host::sshd());
            }
        }
    )* };
}

clients! {
    with_sftp: openssh::Sftp, Host::serve();
    with_scp: openssh::Scp, Host::serve();
    with_lftp: lftp::Lftp, Host::serve();
    with_psftp: psftp::Psftp, Host::serve();
    with_rclone: rclone::Rclone, Host::serve();
    with_paramiko: paramiko::Paramiko, Host::serve();
    // Debian 12's libssh2 1.10 authenticates packets by encrypt-and-MAC alone, which the default profile leaves out.
    with_curl: curl::Curl, Host::serve_modern();
}
