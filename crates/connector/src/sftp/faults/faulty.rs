//! Files of which some calls are refused, with or without an effect.
//!
//! The soak test takes this file as it is.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Data, Entry, Extensions, OpenFlags, Status, StatusCode};
use sansftp_tokio::sftp::server::{Directory, File, FileId, FileSystem, Hasher, Outcome};

/// Whether what is refused is done nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Done,
}

/// How a call is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) effect: Effect,
    pub(super) code: StatusCode,
}

/// What a server can do beyond the basics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What OpenSSH's can.
    Full,
    /// Nothing.
    Bare,
}

/// Says whether, and how, the call of this number and name is refused.
type Decide = dyn Fn(usize, &str) -> Option<Refusal> + Send + Sync;

/// Files of which some calls are refused.
#[derive(Debug)]
pub(super) struct Faulty {
    files: Arc<dyn FileSystem>,
    kind: Kind,
    calls: Arc<Calls>,
}

struct Calls {
    decide: Box<Decide>,
    count: AtomicUsize,
    /// What was refused last, and how many calls in all.
    refused: Mutex<(Option<String>, usize)>,
}

impl Faulty {
    pub(super) fn new(
        files: Arc<dyn FileSystem>,
        kind: Kind,
        decide: impl Fn(usize, &str) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self {
            files,
            kind,
            calls: Arc::new(Calls {
                decide: Box::new(decide),
                count: AtomicUsize::new(0),
                refused: Mutex::default(),
            }),
        }
    }

    /// What was refused last, if it came to that, and how many calls in all.
    pub(super) fn refused(&self) -> (Option<String>, usize) {
        let refused = self.calls.refused.lock();
        refused.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.calls)
    }
}

impl Calls {
    fn call<T>(&self, name: &str, path: &[u8], effect: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let Some(mut refusal) = (self.decide)(number, name) else {
            return effect();
        };
        if name == "remove" && refusal.code == StatusCode::NO_SUCH_FILE {
            // Whom it is told so need not look whether that is true.
            refusal.effect = Effect::Done;
        }
        let what = format!("{name} {}", String::from_utf8_lossy(path));
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = (Some(what), refused.1 + 1);
        drop(refused);
        if refusal.effect == Effect::Done {
            let _ = effect();
        }
        Err(Status::new(refusal.code))
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl FileSystem for Faulty {
    fn extensions(&self) -> Extensions {
        match self.kind {
            Kind::Full => self.files.extensions(),
            Kind::Bare => Extensions::NONE,
        }
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
        let calls = self.calls();
        let name = if flags.contains(OpenFlags::CREATE) {
            "create"
        } else {
            "open"
        };
        self.calls.call(name, path, || {
            let file = self.files.open(path, flags, attrs)?;
            Ok(Arc::new(FaultyFile { file, calls }) as Arc<dyn File>)
        })
    }

    fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
        let calls = self.calls();
        self.calls.call("opendir", path, || {
            let directory = self.files.open_dir(path)?;
            Ok(Box::new(FaultyDirectory { directory, calls }) as Box<dyn Directory>)
        })
    }

    fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
        self.calls.call("stat", path, || self.files.stat(path))
    }

    fn lstat(&self, path: &[u8]) -> Outcome<Attrs> {
        self.calls.call("lstat", path, || self.files.lstat(path))
    }

    fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
        self.calls
            .call("realpath", path, || self.files.real_path(path))
    }

    fn set_stat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        self.calls
            .call("setstat", path, || self.files.set_stat(path, attrs))
    }

    fn remove(&self, path: &[u8]) -> Outcome<()> {
        self.calls.call("remove", path, || self.files.remove(path))
    }

    fn make_dir(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        self.calls
            .call("mkdir", path, || self.files.make_dir(path, attrs))
    }

    fn remove_dir(&self, path: &[u8]) -> Outcome<()> {
        self.calls
            .call("rmdir", path, || self.files.remove_dir(path))
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        self.calls
            .call("rename", from, || self.files.rename(from, to))
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        self.calls
            .call("posix-rename", from, || self.files.posix_rename(from, to))
    }

    fn hard_link(&self, existing: &[u8], link: &[u8]) -> Outcome<()> {
        self.calls.call("hardlink", existing, || {
            self.files.hard_link(existing, link)
        })
    }

    fn set_lstat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        self.calls
            .call("lsetstat", path, || self.files.set_lstat(path, attrs))
    }

    fn stat_vfs(&self, path: &[u8]) -> Outcome<StatVfs> {
        self.calls
            .call("statvfs", path, || self.files.stat_vfs(path))
    }

    fn expand_path(&self, path: &[u8]) -> Outcome<Bytes> {
        self.calls
            .call("expand-path", path, || self.files.expand_path(path))
    }

    fn home_directory(&self, user: &[u8]) -> Outcome<Bytes> {
        self.calls
            .call("home-directory", user, || self.files.home_directory(user))
    }

    fn hasher(&self, algorithm: &[u8]) -> Option<Box<dyn Hasher>> {
        self.files.hasher(algorithm)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    calls: Arc<Calls>,
}

impl File for FaultyFile {
    fn identity(&self) -> FileId {
        self.file.identity()
    }

    fn read_at(&self, offset: u64, len: usize) -> Outcome<Data> {
        self.calls
            .call("read", b"", || self.file.read_at(offset, len))
    }

    fn write_at(&self, offset: u64, data: &Data) -> Outcome<()> {
        self.calls
            .call("write", b"", || self.file.write_at(offset, data))
    }

    fn stat(&self) -> Outcome<Attrs> {
        self.calls.call("fstat", b"", || self.file.stat())
    }

    fn set_stat(&self, attrs: &Attrs) -> Outcome<()> {
        self.calls
            .call("fsetstat", b"", || self.file.set_stat(attrs))
    }

    fn sync(&self) -> Outcome<()> {
        self.calls.call("fsync", b"", || self.file.sync())
    }

    fn stat_vfs(&self) -> Outcome<StatVfs> {
        self.calls.call("fstatvfs", b"", || self.file.stat_vfs())
    }

    fn close(&self) -> Outcome<()> {
        self.calls.call("close", b"", || self.file.close())
    }
}

#[derive(Debug)]
struct FaultyDirectory {
    directory: Box<dyn Directory>,
    calls: Arc<Calls>,
}

impl Directory for FaultyDirectory {
    fn read(&mut self, most: usize) -> Outcome<Vec<Entry>> {
        self.calls
            .call("readdir", b"", || self.directory.read(most))
    }

    fn stat(&self) -> Outcome<Attrs> {
        self.calls.call("fstat", b"", || self.directory.stat())
    }
}
