//! Local files, served over SFTP: those beneath one directory, or all that the process may reach.
//!
//! Not access control: who may do what with a file is for its owner and permissions, as the system
//! judges them for the account of the process; read-only mode apart, nothing is added to that.
//!
//! Beneath a directory, a symbolic link means what it would mean in a chroot: an absolute target
//! begins at the directory that is served. Links are made and told as the client writes them, so
//! other programs of the same machine, for which the directory is no root, follow an absolute or
//! climbing link to where it leads for them.

mod attributes;
mod directory;
mod file;
mod names;
mod path;
mod rename;
mod root;
mod status;

use attributes::Target;
use bytes::Bytes;
use directory::LocalDirectory;
use file::LocalFile;
use names::Owners;
use nix::unistd::{Uid, User};
use path::ClientPath;
use root::{Reach, Root};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sansftp_proto::sftp::extensions::{OwnerNames, StatVfs};
use sansftp_proto::sftp::{Attrs, Extension, Extensions, OpenFlags, Status, StatusCode};
use sansftp_tokio::sftp::server::{Directory, File, FileSystem, Outcome};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many links a path may go through; as many as for the kernel.
const LINKS: usize = 40;

/// Local files. A clone serves the same directory, and may be read-only, begin elsewhere, or belong
/// to another user.
#[derive(Debug, Clone)]
pub struct LocalFs {
    root: Arc<Root>,
    owners: Arc<Owners>,
    /// Where relative paths begin.
    start: ClientPath,
    /// The home of the user.
    home: ClientPath,
    /// Whose home it is, if that was said.
    user: Option<Bytes>,
    read_only: bool,
}

/// Why files cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The directory is not there, is none, or may not be entered.
    #[error("{} cannot be served", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The start directory is not there or is none.
    #[error("clients cannot begin in {}: {status}", path.escape_ascii())]
    Start {
        /// The directory, as clients would name it.
        path: Vec<u8>,
        /// What a client would be answered.
        status: Status,
    },
    /// The system call is not there that keeps a path beneath a directory.
    #[error(
        "the system call openat2 is needed to keep clients beneath a directory, and does not work \
         here: Linux 5.6 or later has it, and a container's seccomp profile has to permit it"
    )]
    Openat2(#[source] std::io::Error),
    /// There is no `/proc`, or something else lies there.
    #[error("/proc is needed to serve local files: a procfs has to be mounted there")]
    Proc(#[source] std::io::Error),
}

impl LocalFs {
    /// Serves what is beneath `root`, and nothing else: clients see it as `/`, where they also begin.
    ///
    /// Set-user-id and set-group-id bits are not given to files.
    ///
    /// # Errors
    /// The directory cannot be used, or the system is not fit: Linux 5.6 with `/proc`.
    pub fn new(root: &Path) -> Result<Self, LocalError> {
        Ok(Self::with(Root::open(root, Reach::Beneath)?))
    }

    /// Serves every file that the process can reach, with its rights, as OpenSSH's sftp-server does:
    /// for sessions that belong to the account of the process. Clients begin in the current
    /// directory of the process, for which `~` stands too; `home-directory` is that of its user.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn whole() -> Result<Self, LocalError> {
        let mut whole = Self::with(Root::open(Path::new("/"), Reach::Whole)?);
        if let Ok(current) = std::env::current_dir() {
            whole = whole.start_directory(current.as_os_str().as_bytes())?;
        }
        if let Ok(Some(user)) = User::from_uid(Uid::effective()) {
            whole.user = Some(user.name.into());
            whole.home = ClientPath::new(user.dir.as_os_str().as_bytes(), &ClientPath::root())
                .unwrap_or_else(|_| ClientPath::root());
        }
        Ok(whole)
    }

    /// Refuses every operation that would change anything.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Lets clients begin in `path`, for which `~` stands too. It is a path of theirs: `/` is the
    /// directory that is served. Beneath a directory it is their home as well.
    ///
    /// # Errors
    /// It is not there, or is no directory.
    pub fn start_directory(mut self, path: &[u8]) -> Result<Self, LocalError> {
        let found = ClientPath::new(path, &ClientPath::root()).and_then(|path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let directory = self.root.open_at(path.beneath(), flags, Mode::empty());
            directory
                .and_then(|it| self.root.path_of(it.as_fd()))
                .map_err(status::of)
        });
        self.start = found.map_err(|status| LocalError::Start {
            path: path.to_vec(),
            status,
        })?;
        if self.root.reach() == Reach::Beneath {
            self.home = self.start.clone();
        }
        Ok(self)
    }

    /// Says whose session it is, so that `~name` and `home-directory` know that name.
    #[must_use]
    pub fn user(self, name: impl Into<Bytes>) -> Self {
        Self {
            user: Some(name.into()),
            ..self
        }
    }

    fn with(root: Root) -> Self {
        Self {
            root: Arc::new(root),
            owners: Arc::default(),
            start: ClientPath::root(),
            home: ClientPath::root(),
            user: None,
            read_only: false,
        }
    }

    fn path(&self, path: &[u8]) -> Outcome<ClientPath> {
        ClientPath::new(path, &self.start)
    }

    fn locate(&self, path: &[u8]) -> Outcome<OwnedFd> {
        let path = self.path(path)?;
        self.root.locate(path.beneath()).map_err(status::of)
    }

    fn locate_link(&self, path: &[u8]) -> Outcome<OwnedFd> {
        let path = self.path(path)?;
        self.root.locate_link(path.beneath()).map_err(status::of)
    }

    /// Opens a file that exists: what it is is looked at before it is opened, for opening a pipe may
    /// take for ever, and opening a device may do something.
    fn open_existing(&self, located: BorrowedFd<'_>, flags: OFlags) -> Outcome<OwnedFd> {
        let stat = fs::fstat(located).map_err(status::of)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                root::refuse_own_memory(located, &stat).map_err(status::of)?;
                self.root.reopen(located, flags).map_err(status::of)
            }
            other => Err(attributes::not_regular(other)),
        }
    }

    fn open_new(&self, path: &ClientPath, flags: OFlags, mode: Mode) -> Outcome<OwnedFd> {
        let file = self
            .root
            .open_at(path.beneath(), flags, mode)
            .map_err(status::of)?;
        // Somebody else may have been first to make something of that name.
        let stat = fs::fstat(&file).map_err(status::of)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file),
            other => Err(attributes::not_regular(other)),
        }
    }

    /// The canonical form of `path`, whose last component need not exist; nor need what it links to.
    fn canonical(&self, path: &ClientPath) -> Outcome<ClientPath> {
        let mut path = path.clone();
        for _ in 0..LINKS {
            match self.root.locate(path.beneath()) {
                Ok(found) => return self.root.path_of(found.as_fd()).map_err(status::of),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(status::of(errno)),
            }
            let Some((parent, name)) = path.split().filter(|(_, name)| !name.directory) else {
                return Err(status::of(Errno::NOENT));
            };
            let parent = self
                .root
                .open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
                .map_err(status::of)?;
            let target = fs::readlinkat(&parent, name.bytes, Vec::new());
            let parent = self.root.path_of(parent.as_fd()).map_err(status::of)?;
            path = match target {
                Ok(target) => ClientPath::new(target.as_bytes(), &parent)?,
                Err(Errno::NOENT) => return Ok(parent.join(name.bytes)),
                // It is there by now, and no link.
                Err(Errno::INVAL) => continue,
                Err(errno) => return Err(status::of(errno)),
            };
        }
        Err(status::of(Errno::LOOP))
    }

    fn home_of(&self, user: &[u8]) -> Outcome<ClientPath> {
        if user.is_empty() || self.user.as_deref() == Some(user) {
            return Ok(self.home.clone());
        }
        let unknown = Status::with_text(StatusCode::NO_SUCH_FILE, "no such user is known here");
        if self.root.reach() == Reach::Beneath {
            return Err(unknown);
        }
        let other = std::str::from_utf8(user)
            .ok()
            .and_then(|name| User::from_name(name).ok().flatten())
            .ok_or(unknown)?;
        ClientPath::new(other.dir.as_os_str().as_bytes(), &ClientPath::root())
    }
}

impl FileSystem for LocalFs {
    /// Those of OpenSSH; in read-only mode those that only look. Not the hashing of files: whoever
    /// may ask for it can keep a processor and a disk busy at the price of one small request.
    fn extensions(&self) -> Extensions {
        if !self.read_only {
            return Extensions::OPENSSH;
        }
        [
            Extension::PosixRename,
            Extension::Hardlink,
            Extension::Fsync,
            Extension::Lsetstat,
            Extension::CopyData,
        ]
        .into_iter()
        .fold(Extensions::OPENSSH, Extensions::without)
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
        let changes = OpenFlags::WRITE | OpenFlags::APPEND | OpenFlags::CREATE;
        if flags.bits() & changes.bits() != 0 {
            guard(self.read_only)?;
        }
        let path = self.path(path)?;
        let system = open_flags(flags);
        let existing = match flags.contains(OpenFlags::CREATE_NEW) {
            true => Err(Errno::NOENT),
            false => self.root.locate(path.beneath()),
        };
        let file = match existing {
            Ok(located) => {
                self.open_existing(located.as_fd(), system.difference(OFlags::CREATE))?
            }
            Err(Errno::NOENT) if flags.contains(OpenFlags::CREATE) => {
                let mode = attributes::mode_to_make(attrs, 0o666, self.root.reach());
                self.open_new(&path, system, mode)?
            }
            Err(errno) => return Err(status::of(errno)),
        };
        let file = LocalFile::new(file, flags, self.root.reach(), self.read_only)?;
        Ok(Arc::new(file))
    }

    fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
        let path = self.path(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let directory = self
            .root
            .open_at(path.beneath(), flags, Mode::empty())
            .map_err(status::of)?;
        let (root, owners) = (self.root.clone(), self.owners.clone());
        let directory = LocalDirectory::new(directory, path, root, owners, self.read_only)?;
        Ok(Box::new(directory))
    }

    fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
        stat(&self.locate(path)?)
    }

    fn lstat(&self, path: &[u8]) -> Outcome<Attrs> {
        stat(&self.locate_link(path)?)
    }

    fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
        let path = match path {
            b"" => self.start.clone(),
            path => self.path(path)?,
        };
        self.canonical(&path).map(bytes_of)
    }

    fn set_stat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        guard(self.read_only)?;
        let located = self.locate(path)?;
        let target = Target::Located(&self.root, located.as_fd());
        attributes::change(target, self.root.reach(), attrs)
    }

    fn remove(&self, path: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        let path = self.path(path)?;
        let place = self.root.place(&path)?;
        if place.name.directory {
            // With a "/" behind it, a name means a directory, which is not removed in this way; and
            // a link must not be taken for what it leads to.
            let stat = place.stat().map_err(status::of)?;
            return Err(status::of(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Errno::ISDIR,
                _ => Errno::NOTDIR,
            }));
        }
        fs::unlinkat(&place.parent, place.name.bytes, AtFlags::empty()).map_err(status::of)
    }

    fn make_dir(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        guard(self.read_only)?;
        let path = self.path(path)?;
        let place = self.root.place(&path)?;
        let mode = attributes::mode_to_make(attrs, 0o777, self.root.reach());
        fs::mkdirat(&place.parent, place.name.bytes, mode).map_err(status::of)
    }

    fn remove_dir(&self, path: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        let path = self.path(path)?;
        let place = self.root.place(&path)?;
        fs::unlinkat(&place.parent, place.name.bytes, AtFlags::REMOVEDIR).map_err(status::of)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        let (from, to) = (self.path(from)?, self.path(to)?);
        let (from, to) = (self.root.place(&from)?, self.root.place(&to)?);
        rename::to_new_name(&from, &to).map_err(status::of)
    }

    fn read_link(&self, path: &[u8]) -> Outcome<Bytes> {
        let link = self.locate_link(path)?;
        let stat = fs::fstat(&link).map_err(status::of)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            let text = "it is not a symbolic link";
            return Err(Status::with_text(StatusCode::BAD_MESSAGE, text));
        }
        fs::readlinkat(&link, "", Vec::new())
            .map(|it| it.into_bytes().into())
            .map_err(status::of)
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        // Read as a path only to refuse what cannot be one; it is stored as it was written.
        ClientPath::new(target, &ClientPath::root())?;
        let link = self.path(link)?;
        let place = self.root.place(&link)?;
        place.refuse_directory_name().map_err(status::of)?;
        fs::symlinkat(target, &place.parent, place.name.bytes).map_err(status::of)
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        let (from, to) = (self.path(from)?, self.path(to)?);
        let (from, to) = (self.root.place(&from)?, self.root.place(&to)?);
        rename::over(&from, &to).map_err(status::of)
    }

    fn hard_link(&self, existing: &[u8], link: &[u8]) -> Outcome<()> {
        guard(self.read_only)?;
        let (existing, link) = (self.path(existing)?, self.path(link)?);
        let (existing, link) = (self.root.place(&existing)?, self.root.place(&link)?);
        rename::link(&existing, &link).map_err(status::of)
    }

    fn set_lstat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        guard(self.read_only)?;
        if attrs.size.is_some() {
            let text = "the size of a link cannot be set";
            return Err(Status::with_text(StatusCode::BAD_MESSAGE, text));
        }
        let located = self.locate_link(path)?;
        let target = Target::Located(&self.root, located.as_fd());
        attributes::change(target, self.root.reach(), attrs)
    }

    fn stat_vfs(&self, path: &[u8]) -> Outcome<StatVfs> {
        attributes::stat_vfs(self.locate(path)?, self.read_only)
    }

    fn expand_path(&self, path: &[u8]) -> Outcome<Bytes> {
        let Some(expanded) = path.strip_prefix(b"~") else {
            return self.real_path(path);
        };
        let slash = expanded.iter().position(|&byte| byte == b'/');
        let (user, rest) = expanded.split_at(slash.unwrap_or(expanded.len()));
        let home = match user {
            b"" => self.start.clone(),
            user => self.home_of(user)?,
        };
        let path = match rest {
            b"" => home,
            // Relative to the home: the "/" that divides the two is not the root.
            [_, rest @ ..] => ClientPath::new(&[b"./", rest].concat(), &home)?,
        };
        self.canonical(&path).map(bytes_of)
    }

    fn home_directory(&self, user: &[u8]) -> Outcome<Bytes> {
        self.home_of(user).map(bytes_of)
    }

    fn owner_names(&self, users: &[u32], groups: &[u32]) -> Outcome<OwnerNames> {
        Ok(self.owners.names(users, groups, self.root.reach()))
    }
}

/// The one guard of everything that changes something.
fn guard(read_only: bool) -> Outcome<()> {
    if !read_only {
        return Ok(());
    }
    let text = "this server is read-only";
    Err(Status::with_text(StatusCode::PERMISSION_DENIED, text))
}

fn stat(located: &OwnedFd) -> Outcome<Attrs> {
    let stat = fs::fstat(located).map_err(status::of)?;
    Ok(attributes::attrs(&stat))
}

fn bytes_of(path: ClientPath) -> Bytes {
    Bytes::copy_from_slice(path.as_bytes())
}

/// The flags of SSH_FXP_OPEN (§6.3) for the system. Nothing that is opened may make the server wait,
/// or become its terminal.
fn open_flags(flags: OpenFlags) -> OFlags {
    let access = match (
        flags.contains(OpenFlags::READ),
        flags.contains(OpenFlags::WRITE),
    ) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    [
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::CREATE, OFlags::CREATE),
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::CREATE_NEW, OFlags::EXCL),
    ]
    .into_iter()
    .filter(|&(asked, _)| flags.contains(asked))
    .fold(
        access | OFlags::NONBLOCK | OFlags::NOCTTY,
        |flags, (_, flag)| flags | flag,
    )
}
