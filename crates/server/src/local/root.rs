//! The directory that is served, and the one way to anything in it: every path is resolved by the
//! kernel with that directory as its root, so that `..`, absolute paths, absolute links and links
//! that are swapped meanwhile stay inside, as in a chroot. Nothing here compares prefixes to decide
//! what may be reached.
//!
//! Not operations: what is done with what was found is for the neighbours.

use super::LocalError;
use super::path::{ClientPath, Name};
use super::status;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno};
use sansftp_proto::sftp::{Status, StatusCode};
use sansftp_tokio::sftp::server::{FileId, Outcome};
use std::path::Path;

/// How often a resolution is tried again that a rename elsewhere on the system has disturbed: such a
/// rename falls into fewer than half of them even where somebody does nothing else.
const DISTURBED: usize = 128;

/// How often a path is read anew because it was not true any more when it was looked at.
const MOVED: usize = 16;

/// Where paths may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only beneath the root.
    Beneath,
    /// Wherever the process may go; the root is `/`.
    Whole,
}

/// The directory that is served.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    /// `/proc/self/fd`: by it a descriptor is opened once more, and says what its path is.
    descriptors: OwnedFd,
    reach: Reach,
}

impl Root {
    pub(super) fn open(path: &Path, reach: Reach) -> Result<Self, LocalError> {
        let unusable = |errno: Errno| LocalError::Root {
            path: path.to_owned(),
            source: errno.into(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Self {
            directory: fs::open(path, flags, Mode::empty()).map_err(unusable)?,
            descriptors: own_descriptors().map_err(|errno| LocalError::Proc(errno.into()))?,
            reach,
        };
        match root.locate(b".") {
            Ok(_) => Ok(root),
            // What is not known is "not implemented", and a seccomp filter may say "not permitted".
            Err(errno @ (Errno::NOSYS | Errno::PERM)) => Err(LocalError::Openat2(errno.into())),
            Err(errno) => Err(unusable(errno)),
        }
    }

    pub(super) const fn reach(&self) -> Reach {
        self.reach
    }

    /// What the path names, links followed, as a place: it is not opened.
    pub(super) fn locate(&self, beneath: &[u8]) -> io::Result<OwnedFd> {
        self.open_at(beneath, OFlags::PATH, Mode::empty())
    }

    /// The same without following a link at the end.
    pub(super) fn locate_link(&self, beneath: &[u8]) -> io::Result<OwnedFd> {
        self.open_at(beneath, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Opens the path, links followed; `mode` is for a file that is made.
    pub(super) fn open_at(&self, beneath: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        if self.reach == Reach::Whole {
            return fs::openat(&self.directory, beneath, flags, mode);
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..DISTURBED {
            match fs::openat2(&self.directory, beneath, flags, mode, resolve) {
                // A `..` of the path cannot be told from one that leads outside while something is
                // renamed (openat2(2)).
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Where the path's last component lies, or is to lie: the directory and a name in it, which a
    /// system call that follows no links takes.
    pub(super) fn place<'a>(&self, path: &'a ClientPath) -> Outcome<Place<'a>> {
        let Some((parent, name)) = path.split() else {
            // What is not there is told first.
            self.locate(path.beneath()).map_err(status::of)?;
            let text = "a path that ends in /, . or .. names no entry of a directory";
            return Err(Status::with_text(StatusCode::FAILURE, text));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = self
            .open_at(parent, flags, Mode::empty())
            .map_err(status::of)?;
        Ok(Place { parent, name })
    }

    /// Opens what was located: this very file, whatever its path names by now.
    pub(super) fn reopen(&self, located: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let name = descriptor_name(located);
        fs::openat(&self.descriptors, name, flags, Mode::empty())
    }

    /// A place that stands for what was located, for system calls that take a path and follow it.
    pub(super) fn link_to(&self, located: BorrowedFd<'_>) -> (BorrowedFd<'_>, String) {
        (self.descriptors.as_fd(), descriptor_name(located))
    }

    /// The canonical path of what was located.
    ///
    /// # Errors
    /// `NOENT` for what lies beneath the root no more.
    pub(super) fn path_of(&self, located: BorrowedFd<'_>) -> io::Result<ClientPath> {
        let sought = identity(&fs::fstat(located)?);
        for _ in 0..MOVED {
            let (root, path) = (self.shown(self.directory.as_fd())?, self.shown(located)?);
            let Some(path) = beneath(&root, &path) else {
                continue;
            };
            // What the system shows was true for a moment, and has " (deleted)" behind it for a file
            // that is gone: it counts only if it leads back to the same file.
            let Ok(path) = ClientPath::new(path, &ClientPath::root()) else {
                return Err(Errno::NAMETOOLONG);
            };
            let Ok(found) = self.locate_link(path.beneath()) else {
                continue;
            };
            if identity(&fs::fstat(&found)?) == sought {
                return Ok(path);
            }
        }
        Err(Errno::NOENT)
    }

    fn shown(&self, descriptor: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        let name = descriptor_name(descriptor);
        fs::readlinkat(&self.descriptors, name, Vec::new()).map(|it| it.into_bytes())
    }
}

/// A name in a directory, whether or not there is something of that name.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) parent: OwnedFd,
    pub(super) name: Name<'a>,
}

impl Place<'_> {
    /// What lies there, a link not followed.
    pub(super) fn stat(&self) -> io::Result<fs::Stat> {
        fs::statat(&self.parent, self.name.bytes, fs::AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Refuses a name with a `/` behind it for what is, or is to be, no directory.
    pub(super) fn refuse_directory_name(&self) -> io::Result<()> {
        if !self.name.directory {
            return Ok(());
        }
        self.stat()?;
        Err(Errno::EXIST)
    }
}

/// Tells a file from others.
pub(super) fn identity(stat: &fs::Stat) -> FileId {
    FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

/// `path` with `root` as its root: by components, so that `/a` is no root of `/ab`.
fn beneath<'a>(root: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if root == b"/" {
        // A path that the process cannot reach is shown with a remark in front.
        return path.starts_with(b"/").then_some(path);
    }
    match path.strip_prefix(root)? {
        [] => Some(b"/"),
        beneath @ [b'/', ..] => Some(beneath),
        _ => None,
    }
}

/// Refuses files of a procfs that are not for everybody: the kernel lets every process at its own
/// memory and environment, but the process is the server, and who asks is a client.
pub(super) fn refuse_own_memory(located: BorrowedFd<'_>, stat: &fs::Stat) -> io::Result<()> {
    let is_for_everybody = Mode::from_raw_mode(stat.st_mode).contains(Mode::ROTH);
    if !is_for_everybody && fs::fstatfs(located)?.f_type == fs::PROC_SUPER_MAGIC {
        return Err(Errno::ACCESS);
    }
    Ok(())
}

fn descriptor_name(descriptor: BorrowedFd<'_>) -> String {
    descriptor.as_raw_fd().to_string()
}

/// What lies at `/proc` need not be what the kernel shows there.
fn own_descriptors() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptors = fs::open("/proc/self/fd", flags, Mode::empty())?;
    match fs::fstatfs(&descriptors)?.f_type {
        fs::PROC_SUPER_MAGIC => Ok(descriptors),
        _ => Err(Errno::NOENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2026-23942: a root compared as a string lets `user1` into `user10`.
    #[test]
    fn a_root_is_compared_by_components() {
        assert_eq!(beneath(b"/srv/user1", b"/srv/user10/x"), None);
        assert_eq!(beneath(b"/srv/user1", b"/srv/user"), None);
        assert_eq!(beneath(b"/srv/user1", b"/srv/user1"), Some(&b"/"[..]));
        assert_eq!(beneath(b"/srv/user1", b"/srv/user1/x"), Some(&b"/x"[..]));
        assert_eq!(beneath(b"/", b"/x"), Some(&b"/x"[..]));
        assert_eq!(beneath(b"/", b"(unreachable)/x"), None);
    }

    #[test]
    fn a_path_is_told_only_if_it_leads_to_the_file() {
        let around = tempfile::tempdir().unwrap();
        let path = |name: &str| around.path().join(name);
        std::fs::create_dir_all(path("root/dir")).unwrap();
        std::fs::write(path("root/dir/file"), "").unwrap();
        let root = Root::open(&path("root"), Reach::Beneath).unwrap();
        let file = root.locate(b"dir/file").unwrap();
        let told = || {
            let path = root.path_of(file.as_fd())?;
            Ok(String::from_utf8(path.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(told(), Ok("/dir/file".to_owned()));
        std::fs::rename(path("root/dir"), path("root/moved")).unwrap();
        assert_eq!(told(), Ok("/moved/file".to_owned()));
        std::fs::rename(path("root"), path("root moved")).unwrap();
        assert_eq!(told(), Ok("/moved/file".to_owned()));
        std::fs::rename(path("root moved/moved"), path("outside")).unwrap();
        assert_eq!(told(), Err(Errno::NOENT));
        std::fs::rename(path("outside"), path("root moved/back")).unwrap();
        assert_eq!(told(), Ok("/back/file".to_owned()));
        // The system shows "/back/file (deleted)", which is another file.
        std::fs::remove_file(path("root moved/back/file")).unwrap();
        std::fs::write(path("root moved/back/file (deleted)"), "").unwrap();
        assert_eq!(told(), Err(Errno::NOENT));
    }
}
