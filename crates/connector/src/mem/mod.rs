//! A far side in memory, for tests: its behaviours and its faults can be chosen.
//!
//! Not a model of SFTP: it has no packets and no pipelining. It shows what servers differ in that
//! a connector must live with: how their renames behave, what they refuse, and when they go away.

mod files;
mod open;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ring::digest::{Context, SHA256};

pub use self::files::Files;
use self::files::refused;
pub use self::open::{OpenDirectory, OpenFile};
use tokio::sync::Notify;

use crate::error::{Class, Error};
use crate::path::RemotePath;
use crate::remote::{
    Attrs, Capabilities, Connect, Remote, RemoteError, RemoteErrorKind, Room, SetAttrs, WriteMode,
};
use crate::run::compare::sha256;

/// The account's home.
pub const HOME: &str = "/home/user";

/// How a server behaves where servers differ.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// It announces the rename that replaces.
    pub posix_rename: bool,
    /// What its plain rename does with an existing target.
    pub plain_rename: PlainRename,
    /// Whether that is known beforehand, as it is of OpenSSH.
    pub plain_rename_known: bool,
    /// It announces hard links.
    pub hardlink: bool,
    /// It announces fsync.
    pub fsync: bool,
    /// It announces statvfs; the bytes that are left.
    pub room: Option<u64>,
    /// It announces copying.
    pub copy_data: bool,
    /// It announces the hashing of files; what it answers.
    pub check_file: Option<CheckFile>,
    /// Where renames and hard links between directories fail, as they do across devices.
    pub directories_are_devices: bool,
    /// How many bytes a read gives at most.
    pub chunk: usize,
    /// How many entries a batch of a listing has at most.
    pub batch: usize,
}

/// What a server answers that is asked to hash a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFile {
    /// The SHA-256 of the file.
    Right,
    /// That of another file.
    Wrong,
    /// Something that is no SHA-256.
    Other,
}

/// What a plain rename does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainRename {
    /// It refuses: it is link, then unlink.
    Refuses,
    /// It replaces it.
    Replaces,
    /// The server has no plain rename that works.
    Missing,
}

impl Behaviour {
    /// As OpenSSH behaves.
    pub fn openssh() -> Self {
        Self {
            posix_rename: true,
            plain_rename: PlainRename::Refuses,
            plain_rename_known: true,
            hardlink: true,
            fsync: true,
            room: Some(1 << 40),
            copy_data: false,
            check_file: None,
            directories_are_devices: false,
            chunk: 32 << 10,
            batch: 100,
        }
    }

    /// A server with no extension at all, whose plain rename does this.
    pub fn bare(plain_rename: PlainRename) -> Self {
        Self {
            posix_rename: false,
            plain_rename,
            plain_rename_known: false,
            hardlink: false,
            fsync: false,
            room: None,
            ..Self::openssh()
        }
    }
}

/// What goes wrong, and at which call.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The number of the call, from 0, connecting included.
    pub at: usize,
    /// Before or after its effect.
    pub when: When,
    /// What the caller is told.
    pub what: What,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    Before,
    /// A plain rename has made the second name and not removed the first; any other call has no
    /// effect.
    Halfway,
    /// The call has its effect.
    After,
}

/// What the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The server's refusal.
    Refusal(RemoteErrorKind),
    /// The connection is gone.
    Disconnect,
}

/// A server in memory. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    hung: Notify,
    behaviour: Behaviour,
    state: Mutex<State>,
}

type Interference = Box<dyn FnOnce(&mut Files) + Send>;

struct State {
    files: Files,
    calls: Vec<String>,
    faults: Vec<Fault>,
    refusals: Vec<(String, RemoteErrorKind)>,
    /// Whether plain renames say that they did, and do nothing.
    pretends: bool,
    cuts: Vec<(String, usize)>,
    hangs: Option<(usize, When)>,
    interferences: Vec<(String, Interference)>,
    sessions: usize,
    open_sessions: usize,
}

impl Server {
    /// A server with an empty home.
    pub fn new(behaviour: Behaviour) -> Self {
        let mut files = Files::new();
        files.make_directories(HOME.as_bytes());
        Self {
            shared: Arc::new(Shared {
                hung: Notify::new(),
                behaviour,
                state: Mutex::new(State {
                    files,
                    calls: Vec::new(),
                    faults: Vec::new(),
                    refusals: Vec::new(),
                    pretends: false,
                    cuts: Vec::new(),
                    hangs: None,
                    interferences: Vec::new(),
                    sessions: 0,
                    open_sessions: 0,
                }),
            }),
        }
    }

    /// Looks at the files, or changes them behind everyone's back.
    pub fn files<T>(&self, look: impl FnOnce(&mut Files) -> T) -> T {
        look(&mut self.lock().files)
    }

    /// Plans a fault.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Refuses every call whose line in [`calls`](Self::calls) begins so.
    pub fn refuse(&self, call: &str, kind: RemoteErrorKind) {
        self.lock().refusals.push((call.to_owned(), kind));
    }

    /// From now on plain renames are answered as done, and are not.
    pub fn pretend_to_rename(&self) {
        self.lock().pretends = true;
    }

    /// Never answers the call with this number, before or after its effect: whoever waits for it can
    /// be dropped then, as a process that is killed is.
    pub fn hang(&self, at: usize, when: When) {
        self.lock().hangs = Some((at, when));
    }

    /// Returns once a call was not answered.
    pub async fn hung(&self) {
        self.shared.hung.notified().await;
    }

    /// Loses the connection after the effect, and before the answer, of the call whose line is the
    /// `nth`, from 1, that begins so.
    pub fn cut_after(&self, call: &str, nth: usize) {
        self.lock().cuts.push((call.to_owned(), nth));
    }

    /// Refuses nothing any more.
    pub fn allow_all(&self) {
        self.lock().refusals.clear();
    }

    /// Does this once, just before the first call whose line begins so.
    pub fn before(&self, call: &str, act: impl FnOnce(&mut Files) + Send + 'static) {
        self.lock()
            .interferences
            .push((call.to_owned(), Box::new(act)));
    }

    /// What was asked so far, a line per call.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// How many sessions were made, and how many of them are open.
    pub fn sessions(&self) -> (usize, usize) {
        let state = self.lock();
        (state.sessions, state.open_sessions)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .expect("no test panics while it holds the files")
    }
}

impl State {
    /// Whether this call is one after which the connection is lost.
    fn counts_out(&mut self, line: &str) -> bool {
        let mut cut = false;
        for (prefix, left) in &mut self.cuts {
            if line.starts_with(prefix.as_str()) && *left > 0 {
                *left -= 1;
                cut |= *left == 0;
            }
        }
        cut
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("behaviour", &self.shared.behaviour)
            .finish_non_exhaustive()
    }
}

impl Connect for Server {
    type Remote = Session;

    async fn connect(&self) -> Result<Session, Error> {
        let link = Link {
            server: self.clone(),
            alive: Arc::new(AtomicBool::new(true)),
        };
        link.call("connect".to_owned(), |_| Ok(()))
            .await
            .map_err(|error| {
                let class = match error.kind {
                    RemoteErrorKind::Permission => Class::Authentication,
                    _ => Class::Unreachable,
                };
                Error::new(class, format!("no connection: {error}")).with_source(error)
            })?;
        let behaviour = &self.shared.behaviour;
        let capabilities = Capabilities {
            posix_rename: behaviour.posix_rename,
            hardlink: behaviour.hardlink,
            fsync: behaviour.fsync,
            statvfs: behaviour.room.is_some(),
            copy_data: behaviour.copy_data,
            check_file: behaviour.check_file.is_some(),
            plain_rename_replaces: behaviour
                .plain_rename_known
                .then_some(behaviour.plain_rename == PlainRename::Replaces),
            open_files: None,
            server: "mem".to_owned(),
        };
        let mut state = self.lock();
        state.sessions += 1;
        state.open_sessions += 1;
        drop(state);
        Ok(Session { link, capabilities })
    }
}

/// What a session, its files and its listings share.
#[derive(Clone)]
struct Link {
    server: Server,
    alive: Arc<AtomicBool>,
}

impl Link {
    async fn call<T>(
        &self,
        line: String,
        effect: impl FnOnce(&mut Files) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        self.call_with_halfway(line, |_| {}, effect).await
    }

    async fn call_with_halfway<T>(
        &self,
        line: String,
        halfway: impl FnOnce(&mut Files),
        effect: impl FnOnce(&mut Files) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        // Others get their turn between any two calls, as over a network.
        tokio::task::yield_now().await;
        if !self.alive.load(Ordering::Relaxed) {
            return Err(RemoteError::new(RemoteErrorKind::Disconnected, ""));
        }
        match self.answer(line, halfway, effect) {
            Some(answer) => answer,
            None => {
                self.server.shared.hung.notify_one();
                std::future::pending().await
            }
        }
    }

    /// The answer to a call; `None` when there will be none.
    fn answer<T>(
        &self,
        line: String,
        halfway: impl FnOnce(&mut Files),
        effect: impl FnOnce(&mut Files) -> Result<T, RemoteError>,
    ) -> Option<Result<T, RemoteError>> {
        let mut guard = self.server.lock();
        // So that the files and the plans can be borrowed apart.
        let state = &mut *guard;
        let number = state.calls.len();
        if let Some((_, when)) = state.hangs.take_if(|(at, _)| *at == number) {
            state.calls.push(line);
            match when {
                When::Before => {}
                When::Halfway => halfway(&mut state.files),
                When::After => drop(effect(&mut state.files)),
            }
            return None;
        }
        Some(self.answered(state, line, halfway, effect))
    }

    fn answered<T>(
        &self,
        state: &mut State,
        line: String,
        halfway: impl FnOnce(&mut Files),
        effect: impl FnOnce(&mut Files) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let number = state.calls.len();
        while let Some(at) = state
            .interferences
            .iter()
            .position(|(prefix, _)| line.starts_with(prefix.as_str()))
        {
            let (_, act) = state.interferences.remove(at);
            act(&mut state.files);
        }
        let refusal = state
            .refusals
            .iter()
            .find(|(prefix, _)| line.starts_with(prefix.as_str()))
            .map(|(_, kind)| *kind);
        let cut = state.counts_out(&line);
        state.calls.push(line);
        if cut {
            drop(effect(&mut state.files));
            self.alive.store(false, Ordering::Relaxed);
            return Err(RemoteError::new(
                RemoteErrorKind::Disconnected,
                "connection reset",
            ));
        }
        if let Some(kind) = refusal {
            return Err(refused(kind));
        }
        let Some(fault) = state
            .faults
            .iter()
            .find(|fault| fault.at == number)
            .copied()
        else {
            return effect(&mut state.files);
        };
        match fault.when {
            When::Before => {}
            When::Halfway => halfway(&mut state.files),
            When::After => drop(effect(&mut state.files)),
        }
        match fault.what {
            What::Refusal(kind) => Err(refused(kind)),
            What::Disconnect => {
                self.alive.store(false, Ordering::Relaxed);
                Err(RemoteError::new(
                    RemoteErrorKind::Disconnected,
                    "connection reset",
                ))
            }
        }
    }

    fn behaviour(&self) -> &Behaviour {
        &self.server.shared.behaviour
    }

    /// Whether a rename or link between these two is one between devices.
    fn across_devices(&self, from: &RemotePath, to: &RemotePath) -> bool {
        self.behaviour().directories_are_devices && from.parent() != to.parent()
    }
}

/// A session with a server in memory.
pub struct Session {
    link: Link,
    capabilities: Capabilities,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.server.lock().open_sessions -= 1;
    }
}

fn line(verb: &str, path: &RemotePath) -> String {
    format!("{verb} {path}")
}

fn line2(verb: &str, from: &RemotePath, to: &RemotePath) -> String {
    format!("{verb} {from} -> {to}")
}

impl Remote for Session {
    type Reader = OpenFile;
    type Writer = OpenFile;
    type Listing = OpenDirectory;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_read(&self, path: &RemotePath) -> Result<OpenFile, RemoteError> {
        let inode = self
            .link
            .call(line("open", path), |files| {
                files.open_existing(path.as_bytes())
            })
            .await?;
        Ok(OpenFile::new(&self.link, path, inode))
    }

    async fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> Result<OpenFile, RemoteError> {
        let verb = match mode {
            WriteMode::CreateExclusive => "create",
            WriteMode::CreateOrTruncate => "truncate",
            WriteMode::Existing => "open-write",
        };
        let inode = self
            .link
            .call(line(verb, path), |files| match mode {
                WriteMode::CreateExclusive => files.create_exclusive(path.as_bytes()),
                WriteMode::CreateOrTruncate => files.create_or_truncate(path.as_bytes()),
                WriteMode::Existing => files.open_existing(path.as_bytes()),
            })
            .await?;
        Ok(OpenFile::new(&self.link, path, inode))
    }

    async fn list(&self, directory: &RemotePath) -> Result<OpenDirectory, RemoteError> {
        let children = self
            .link
            .call(line("list", directory), |files| {
                files.children(directory.as_bytes())
            })
            .await?;
        Ok(OpenDirectory::new(&self.link, directory, children))
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.link
            .call(line("lstat", path), |files| {
                Ok(files.attrs(files.inode(path.as_bytes())?))
            })
            .await
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.link
            .call(line("stat", path), |files| {
                Ok(files.attrs(files.inode(&files.follow(path.as_bytes())?)?))
            })
            .await
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        self.link
            .call(line("realpath", path), |files| {
                let absolute = RemotePath::from(HOME).resolve(path.as_bytes());
                let mut real = RemotePath::from("/");
                for part in absolute.as_bytes().split(|&byte| byte == b'/') {
                    real = match part {
                        b"" | b"." => real,
                        b".." => real.parent().unwrap_or(real),
                        name => RemotePath::new(files.follow(real.join(name).as_bytes())?),
                    };
                }
                Ok(real)
            })
            .await
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let (from_bytes, to_bytes) = (from.as_bytes(), to.as_bytes());
        if self.link.server.lock().pretends {
            return self.link.call(line2("rename", from, to), |_| Ok(())).await;
        }
        self.link
            .call_with_halfway(
                line2("rename", from, to),
                |files| drop(files.link(from_bytes, to_bytes)),
                |files| {
                    if self.link.across_devices(from, to) {
                        return Err(refused(RemoteErrorKind::Failure));
                    }
                    match self.link.behaviour().plain_rename {
                        PlainRename::Missing => Err(refused(RemoteErrorKind::Unsupported)),
                        PlainRename::Replaces => files.rename(from_bytes, to_bytes),
                        PlainRename::Refuses => {
                            files.link(from_bytes, to_bytes)?;
                            files.remove(from_bytes)
                        }
                    }
                },
            )
            .await
    }

    async fn posix_rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line2("posix-rename", from, to), |files| {
                if !self.link.behaviour().posix_rename {
                    return Err(refused(RemoteErrorKind::Unsupported));
                }
                if self.link.across_devices(from, to) {
                    return Err(refused(RemoteErrorKind::Failure));
                }
                files.rename(from.as_bytes(), to.as_bytes())
            })
            .await
    }

    async fn hardlink(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line2("hardlink", from, to), |files| {
                if !self.link.behaviour().hardlink {
                    return Err(refused(RemoteErrorKind::Unsupported));
                }
                if self.link.across_devices(from, to) {
                    return Err(refused(RemoteErrorKind::Failure));
                }
                files.link(from.as_bytes(), to.as_bytes())
            })
            .await
    }

    async fn remove(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line("remove", path), |files| files.remove(path.as_bytes()))
            .await
    }

    async fn remove_directory(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line("remove-directory", path), |files| {
                files.remove_directory(path.as_bytes())
            })
            .await
    }

    async fn mkdir(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line("mkdir", path), |files| files.mkdir(path.as_bytes()))
            .await
    }

    async fn set_attrs(&self, path: &RemotePath, attrs: SetAttrs) -> Result<(), RemoteError> {
        self.link
            .call(line("set-attrs", path), |files| {
                files.set_attrs(path.as_bytes(), attrs)
            })
            .await
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        let room = self.link.behaviour().room;
        self.link
            .call(line("statvfs", path), |_| {
                let available = room.ok_or_else(|| refused(RemoteErrorKind::Unsupported))?;
                Ok(Room {
                    available,
                    files_available: available / 1024,
                    files: 0,
                })
            })
            .await
    }

    async fn copy_data(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .call(line2("copy-data", from, to), |files| {
                if !self.link.behaviour().copy_data {
                    return Err(refused(RemoteErrorKind::Unsupported));
                }
                let content = files.read(files.open_existing(from.as_bytes())?, 0, usize::MAX)?;
                let copy = files.create_exclusive(to.as_bytes())?;
                files.write(copy, 0, &content)
            })
            .await
    }

    async fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Option<[u8; 32]>, RemoteError> {
        let answer = self.link.behaviour().check_file;
        self.link
            .call(line("check-file", path), |files| {
                let answer = answer.ok_or_else(|| refused(RemoteErrorKind::Unsupported))?;
                let content =
                    files.read(files.open_existing(path.as_bytes())?, offset, usize::MAX)?;
                let mut digest = Context::new(&SHA256);
                digest.update(&content);
                Ok(match answer {
                    CheckFile::Right => Some(sha256(digest)),
                    CheckFile::Wrong => Some([0; 32]),
                    CheckFile::Other => None,
                })
            })
            .await
    }

    async fn close(self) {
        tokio::task::yield_now().await;
    }
}
