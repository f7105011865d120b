//! Attributes of local files (draft-ietf-secsh-filexfer-02 §5): what the system says of one, and the
//! changes that SETSTAT, FSETSTAT (§6.9) and `lsetstat@openssh.com` ask for.

use super::root::{Reach, Root};
use super::status;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::{self, Errno};
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Owner, Status, StatusCode, Times};
use sansftp_tokio::sftp::server::Outcome;

/// Set-user-id and set-group-id.
pub(super) const SET_ID: u32 = 0o6000;

/// Everything that the protocol can say of a file.
pub(super) fn attrs(stat: &Stat) -> Attrs {
    let seconds = |time: i128| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
    Attrs {
        size: u64::try_from(stat.st_size).ok(),
        owner: Some(Owner {
            uid: stat.st_uid,
            gid: stat.st_gid,
        }),
        permissions: Some(stat.st_mode),
        times: Some(Times {
            atime: seconds(stat.st_atime.into()),
            mtime: seconds(stat.st_mtime.into()),
        }),
    }
}

/// What the file system says of itself; `f_flag` has the two bits that the extension knows, and says
/// read-only also where only this server is.
pub(super) fn stat_vfs(file: impl AsFd, read_only: bool) -> Outcome<StatVfs> {
    let it = fs::fstatvfs(file).map_err(status::of)?;
    let bits = [
        (fs::StatVfsMountFlags::RDONLY, 1),
        (fs::StatVfsMountFlags::NOSUID, 2),
    ];
    let f_flag = bits
        .into_iter()
        .filter(|&(flag, _)| it.f_flag.contains(flag))
        .fold(u64::from(read_only), |bits, (_, bit)| bits | bit);
    Ok(StatVfs {
        f_bsize: it.f_bsize,
        f_frsize: it.f_frsize,
        f_blocks: it.f_blocks,
        f_bfree: it.f_bfree,
        f_bavail: it.f_bavail,
        f_files: it.f_files,
        f_ffree: it.f_ffree,
        f_favail: it.f_favail,
        f_fsid: it.f_fsid,
        f_flag,
        f_namemax: it.f_namemax,
    })
}

/// The permission bits for a file that is made: those asked for, or `otherwise`. Set-id bits are
/// masked where only a directory is served: the file belongs to the account of the server, not of
/// the client, so they would lend its rights.
pub(super) fn mode_to_make(attrs: &Attrs, otherwise: u32, reach: Reach) -> Mode {
    let mode = attrs.mode().unwrap_or(otherwise);
    Mode::from_raw_mode(match reach {
        Reach::Beneath => mode & !SET_ID,
        Reach::Whole => mode,
    })
}

/// What a change of attributes is made to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// A file or directory that was opened.
    Opened(BorrowedFd<'a>),
    /// What a path was resolved to.
    Located(&'a Root, BorrowedFd<'a>),
}

/// Makes the changes that are asked for, in the order in which OpenSSH's sftp-server makes them: size,
/// permissions, times, owner. All are tried.
///
/// # Errors
/// The first failure.
pub(super) fn change(target: Target<'_>, reach: Reach, attrs: &Attrs) -> Outcome<()> {
    let size = attrs.size.map(|size| target.truncate(size));
    let mode = attrs.mode().map(|mode| target.set_mode(mode, reach));
    let times = attrs.times.map(|times| target.set_times(times));
    let owner = attrs.owner.map(|owner| target.set_owner(owner));
    [size, mode, times, owner]
        .into_iter()
        .flatten()
        .collect::<Outcome<()>>()
}

impl Target<'_> {
    fn file(&self) -> BorrowedFd<'_> {
        match *self {
            Self::Opened(file) | Self::Located(_, file) => file,
        }
    }

    fn truncate(&self, size: u64) -> Outcome<()> {
        let kind = FileType::from_raw_mode(self.stat()?.st_mode);
        if kind != FileType::RegularFile {
            return Err(not_regular(kind));
        }
        if i64::try_from(size).is_err() {
            return Err(status::of(Errno::FBIG));
        }
        let result = match *self {
            Self::Opened(file) => fs::ftruncate(file, size),
            Self::Located(root, file) => {
                open_to_truncate(root, file).and_then(|file| fs::ftruncate(file, size))
            }
        };
        result.map_err(status::of)
    }

    fn set_mode(&self, mode: u32, reach: Reach) -> Outcome<()> {
        let present = self.stat()?.st_mode;
        if FileType::from_raw_mode(present) == FileType::Symlink {
            let text = "a symbolic link has no permissions of its own";
            return Err(Status::with_text(StatusCode::FAILURE, text));
        }
        if reach == Reach::Beneath && mode & !present & SET_ID != 0 {
            let text = "set-user-id and set-group-id are not given to files here";
            return Err(Status::with_text(StatusCode::PERMISSION_DENIED, text));
        }
        let mode = Mode::from_raw_mode(mode);
        let result = match *self {
            Self::Opened(file) => fs::fchmod(file, mode),
            Self::Located(root, file) => {
                let (directory, name) = root.link_to(file);
                fs::chmodat(directory, name, mode, AtFlags::empty())
            }
        };
        result.map_err(status::of)
    }

    fn set_times(&self, times: Times) -> Outcome<()> {
        let time = |seconds: u32| Timespec {
            tv_sec: seconds.into(),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time(times.atime),
            last_modification: time(times.mtime),
        };
        let result = match *self {
            Self::Opened(file) => fs::futimens(file, &times),
            Self::Located(root, file) => {
                let (directory, name) = root.link_to(file);
                fs::utimensat(directory, name, &times, AtFlags::empty())
            }
        };
        result.map_err(status::of)
    }

    fn set_owner(&self, owner: Owner) -> Outcome<()> {
        // All ones is no number, and means "as it is" to the system.
        let uid = (owner.uid != u32::MAX).then(|| Uid::from_raw(owner.uid));
        let gid = (owner.gid != u32::MAX).then(|| Gid::from_raw(owner.gid));
        fs::chownat(self.file(), "", uid, gid, AtFlags::EMPTY_PATH).map_err(status::of)
    }

    fn stat(&self) -> Outcome<Stat> {
        fs::fstat(self.file()).map_err(status::of)
    }
}

/// Why something is not read and written here.
pub(super) fn not_regular(kind: FileType) -> Status {
    let text = match kind {
        FileType::Directory => return status::of(Errno::ISDIR),
        FileType::Symlink => return status::of(Errno::LOOP),
        FileType::Fifo => "it is a pipe, not a regular file",
        FileType::Socket => "it is a socket, not a regular file",
        _ => "it is a device, not a regular file",
    };
    Status::with_text(StatusCode::FAILURE, text)
}

fn open_to_truncate(root: &Root, located: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    root.reopen(located, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}
