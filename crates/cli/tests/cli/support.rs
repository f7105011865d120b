//! A server, a working directory, and the program run between them.
//!
//! After every run both sides are searched for temporary files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sansftp_testkit::sshd::{ClientKey, Sshd};
use serde_json::Value;
use tempfile::TempDir;

/// A server and a working directory with an `inbox`.
pub(crate) struct Scene {
    pub(crate) sshd: Sshd,
    work: TempDir,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    pub(crate) fn start() -> Self {
        Self::with(Sshd::start())
    }

    pub(crate) fn with(sshd: Sshd) -> Self {
        let work = tempfile::tempdir().unwrap();
        fs::create_dir(work.path().join("inbox")).unwrap();
        Self { sshd, work }
    }

    /// The target of a directory below the home.
    pub(crate) fn target(&self, directory: &str) -> String {
        self.target_at(self.sshd.port(), directory)
    }

    pub(crate) fn target_at(&self, port: u16, directory: &str) -> String {
        format!("sftp://{}@127.0.0.1:{port}/~/{directory}", self.sshd.user())
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.work.path().join(OsStr::from_bytes(name.as_ref()))
    }

    /// Writes a file in the working directory.
    pub(crate) fn write(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// So many files in the server's `out`, each with its number for content.
    pub(crate) fn crowd(&self, number: usize) {
        for number in 0..number {
            let name = format!("out/file-{number:06}.csv");
            self.sshd.write(name, number.to_string());
        }
    }

    /// The program in the working directory, which is its home as well; nothing of the tester's
    /// environment reaches it.
    pub(crate) fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sansftp"));
        program
            .current_dir(self.work.path())
            .env_clear()
            .env("HOME", self.work.path())
            .env("USER", "nobody-in-particular")
            .stdin(Stdio::null());
        program
    }

    /// The flags of a trusted session with a key, without retries.
    pub(crate) fn trusted(&self) -> Vec<String> {
        let key = self.sshd.key(ClientKey::Ed25519);
        let known = self.sshd.known_hosts_file();
        vec![
            format!("--private-key={}", key.display()),
            format!("--known-hosts-file={}", known.display()),
            "--retries=0".to_owned(),
        ]
    }

    /// Runs the program with these words and no others.
    pub(crate) fn run_bare<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        self.finished(self.program().args(words).output().unwrap())
    }

    /// Runs a command in a trusted session.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let output = self.program().args(words).args(self.trusted()).output();
        self.finished(output.unwrap())
    }

    pub(crate) fn get(&self, directory: &str, flags: &[&str]) -> Ran {
        let target = self.target(directory);
        self.run(&[&["get", &target, "--into", "inbox"], flags].concat())
    }

    pub(crate) fn send(&self, directory: &str, words: &[&str]) -> Ran {
        let target = self.target(directory);
        self.run(&[&["send", &target], words].concat())
    }

    pub(crate) fn finished(&self, output: Output) -> Ran {
        let ran = Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("what is printed is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("what is printed is UTF-8"),
        };
        for debris in ["panicked", "RUST_BACKTRACE", "Error {", "Err("] {
            assert!(!ran.stderr.contains(debris), "{debris}: {ran:?}");
        }
        self.assert_nothing_left_behind();
        ran
    }

    pub(crate) fn assert_nothing_left_behind(&self) {
        for side in [self.sshd.home(), self.work.path()] {
            for name in tree(side).keys() {
                let base = name.rsplit(|&byte| byte == b'/').next().unwrap();
                let ours = base.starts_with(b".")
                    && (base.ends_with(b".part")
                        || base.ends_with(b".old")
                        || base.ends_with(b".tmp"));
                assert!(!ours, "left behind: {}", String::from_utf8_lossy(name));
            }
        }
    }

    /// Names and contents of the files below the server's home.
    pub(crate) fn remote(&self) -> Files {
        tree(self.sshd.home())
    }

    /// Names and contents of the files in the inbox.
    pub(crate) fn inbox(&self) -> Files {
        tree(&self.path("inbox"))
    }
}

/// The most memory that a process had resident at once, in KiB; none of one that has ended.
pub(crate) fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Names relative to a directory, and contents.
pub(crate) type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// Files as a test writes them down.
pub(crate) fn files<const N: usize>(files: [(&str, &str); N]) -> Files {
    let own = |(name, content): (&str, &str)| (name.into(), content.into());
    files.map(own).into()
}

fn tree(root: &Path) -> Files {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.path().strip_prefix(root).unwrap().to_owned();
            let content = fs::read(entry.path()).unwrap_or_default();
            found.insert(name.into_os_string().into_vec(), content);
        }
    }
    found
}

impl Ran {
    /// It ended well and had nothing to complain of.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// It ended with this code, one line that says why, in these words, and what to do.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, class: &str, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<&str> = self.errors().collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(
            errors[0].starts_with(&format!("error ({class}): ")),
            "{self:?}"
        );
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}': {self:?}");
        }
        self
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = &str> {
        self.stderr.lines().filter(|line| line.starts_with("error"))
    }

    /// The hint is there.
    #[track_caller]
    pub(crate) fn with_hint(self, words: &str) -> Self {
        let hint = self.stderr.lines().any(|line| {
            line.strip_prefix("hint: ")
                .is_some_and(|hint| hint.contains(words))
        });
        assert!(hint, "no hint with '{words}': {self:?}");
        self
    }

    /// The lines of standard output as JSON, of which the last is the summary.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let events: Vec<Value> = self
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is one JSON value"))
            .collect();
        let (last, others) = events.split_last().expect("there is a summary");
        assert_eq!(last["event"], "summary");
        assert!(others.iter().all(|event| event["event"] != "summary"));
        events
    }
}
