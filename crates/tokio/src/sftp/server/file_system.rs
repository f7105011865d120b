//! What an SFTP server serves: the traits between the protocol and wherever files are.
//!
//! The methods block, and are called on threads that may. Names and paths are bytes as the client
//! sent them, relative or absolute, with `.` and `..` in them: what they mean, and that they lead
//! nowhere else, is the implementation's to decide.

use bytes::Bytes;
use sansftp_proto::sftp::extensions::{OwnerNames, StatVfs};
use sansftp_proto::sftp::{
    Attrs, Data, Entry, Extension, Extensions, OpenFlags, Status, StatusCode,
};
use std::fmt::Debug;
use std::sync::Arc;

/// The outcome of an operation; a failure goes to the client as it is.
pub type Outcome<T> = Result<T, Status>;

/// Files that are served to one user, or to all. What is not implemented is answered with
/// [`StatusCode::OP_UNSUPPORTED`].
///
/// Called from several threads at once; operations on paths that one session asks for come one at a
/// time, in the order in which it asks for them.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// The extensions that are announced and may be asked for (OpenSSH PROTOCOL §4). One request to
    /// hash a file is small and may take long.
    fn extensions(&self) -> Extensions {
        Extensions::NONE.with(Extension::Limits)
    }

    /// SSH_FXP_OPEN (draft-ietf-secsh-filexfer-02 §6.3); `attrs` are for a file that is made.
    ///
    /// # Errors
    /// Any failure.
    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>>;

    /// SSH_FXP_OPENDIR (§6.7)
    ///
    /// # Errors
    /// Any failure.
    fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>>;

    /// SSH_FXP_STAT (§6.8): follows links.
    ///
    /// # Errors
    /// Any failure.
    fn stat(&self, path: &[u8]) -> Outcome<Attrs>;

    /// SSH_FXP_LSTAT (§6.8): does not follow a link at the end of the path.
    ///
    /// # Errors
    /// Any failure.
    fn lstat(&self, path: &[u8]) -> Outcome<Attrs> {
        self.stat(path)
    }

    /// SSH_FXP_REALPATH (§6.11): the canonical absolute path. Its last component need not exist.
    ///
    /// # Errors
    /// Any failure.
    fn real_path(&self, path: &[u8]) -> Outcome<Bytes>;

    /// SSH_FXP_SETSTAT (§6.9): follows links; what is absent in `attrs` is left alone.
    ///
    /// # Errors
    /// Any failure.
    fn set_stat(&self, _path: &[u8], _attrs: &Attrs) -> Outcome<()> {
        unsupported()
    }

    /// SSH_FXP_REMOVE (§6.5): a file or a link, no directory.
    ///
    /// # Errors
    /// Any failure.
    fn remove(&self, _path: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// SSH_FXP_MKDIR (§6.6)
    ///
    /// # Errors
    /// Any failure.
    fn make_dir(&self, _path: &[u8], _attrs: &Attrs) -> Outcome<()> {
        unsupported()
    }

    /// SSH_FXP_RMDIR (§6.6): an empty directory.
    ///
    /// # Errors
    /// Any failure.
    fn remove_dir(&self, _path: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// SSH_FXP_RENAME (§6.5): fails where `to` exists.
    ///
    /// # Errors
    /// Any failure.
    fn rename(&self, _from: &[u8], _to: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// SSH_FXP_READLINK (§6.10): what the link says, as it is.
    ///
    /// # Errors
    /// Any failure.
    fn read_link(&self, _path: &[u8]) -> Outcome<Bytes> {
        unsupported()
    }

    /// SSH_FXP_SYMLINK (§6.10): `link` is to say `target`.
    ///
    /// # Errors
    /// Any failure.
    fn symlink(&self, _target: &[u8], _link: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// `posix-rename@openssh.com`: replaces `to` in one step where it exists.
    ///
    /// # Errors
    /// Any failure.
    fn posix_rename(&self, _from: &[u8], _to: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// `hardlink@openssh.com`: does not follow a link at the end of `existing`.
    ///
    /// # Errors
    /// Any failure.
    fn hard_link(&self, _existing: &[u8], _link: &[u8]) -> Outcome<()> {
        unsupported()
    }

    /// `lsetstat@openssh.com`: does not follow a link at the end of the path.
    ///
    /// # Errors
    /// Any failure.
    fn set_lstat(&self, _path: &[u8], _attrs: &Attrs) -> Outcome<()> {
        unsupported()
    }

    /// `statvfs@openssh.com`
    ///
    /// # Errors
    /// Any failure.
    fn stat_vfs(&self, _path: &[u8]) -> Outcome<StatVfs> {
        unsupported()
    }

    /// `expand-path@openssh.com`: like [`real_path`](Self::real_path), and knows `~`.
    ///
    /// # Errors
    /// Any failure.
    fn expand_path(&self, _path: &[u8]) -> Outcome<Bytes> {
        unsupported()
    }

    /// `home-directory`: an empty `user` is the one that is logged in.
    ///
    /// # Errors
    /// Any failure.
    fn home_directory(&self, _user: &[u8]) -> Outcome<Bytes> {
        unsupported()
    }

    /// `check-file-handle` and `check-file-name`
    /// (draft-ietf-secsh-filexfer-extensions-00 §3): what computes hashes by the algorithm of this name,
    /// such as `sha256`. Asked only where one of the two is among the
    /// [`extensions`](Self::extensions).
    fn hasher(&self, _algorithm: &[u8]) -> Option<Box<dyn Hasher>> {
        None
    }

    /// `users-groups-by-id@openssh.com`: a name for each number, empty where there is none.
    ///
    /// # Errors
    /// Any failure.
    fn owner_names(&self, _users: &[u32], _groups: &[u32]) -> Outcome<OwnerNames> {
        unsupported()
    }
}

/// An open file.
///
/// Reads of one file may come from several threads at once; nothing else does while a write, a change
/// of attributes or a synchronisation is under way.
pub trait File: Debug + Send + Sync {
    /// Which file this is: equal for two handles of the same file, however they were opened.
    /// Operations on different files of one session may overlap.
    fn identity(&self) -> FileId;

    /// SSH_FXP_READ (§6.4): up to `len` bytes from `offset`, at least one; nothing at the end of the
    /// file, or where `len` is 0. `offset` is any number, `len` no more than one message holds.
    ///
    /// # Errors
    /// Any failure, so also on a file that was not opened for reading.
    fn read_at(&self, offset: u64, len: usize) -> Outcome<Data>;

    /// SSH_FXP_WRITE (§6.4): all of `data` at `offset`, or at the end of a file that was opened for
    /// appending. `offset` is any number.
    ///
    /// # Errors
    /// Any failure, so also on a file that was not opened for writing; some of the data may then have
    /// been written.
    fn write_at(&self, offset: u64, data: &Data) -> Outcome<()>;

    /// SSH_FXP_FSTAT (§6.8)
    ///
    /// # Errors
    /// Any failure.
    fn stat(&self) -> Outcome<Attrs>;

    /// SSH_FXP_FSETSTAT (§6.9)
    ///
    /// # Errors
    /// Any failure.
    fn set_stat(&self, _attrs: &Attrs) -> Outcome<()> {
        unsupported()
    }

    /// `fsync@openssh.com`: what has been written is on disk when this returns.
    ///
    /// # Errors
    /// Any failure.
    fn sync(&self) -> Outcome<()> {
        unsupported()
    }

    /// `fstatvfs@openssh.com`
    ///
    /// # Errors
    /// Any failure.
    fn stat_vfs(&self) -> Outcome<StatVfs> {
        unsupported()
    }

    /// SSH_FXP_CLOSE (§6.3), the last that is asked of the handle; where it is not asked for, because
    /// the session ends, the value is dropped.
    ///
    /// # Errors
    /// A failure of earlier writes that shows only now.
    fn close(&self) -> Outcome<()> {
        Ok(())
    }
}

/// An open directory.
pub trait Directory: Debug + Send {
    /// SSH_FXP_READDIR (§6.7): some names that were not given before, as many as are at hand, `most`
    /// bytes of names and long names at most; none at the end.
    ///
    /// # Errors
    /// Any failure.
    fn read(&mut self, most: usize) -> Outcome<Vec<Entry>>;

    /// SSH_FXP_FSTAT (§6.8) on the directory.
    ///
    /// # Errors
    /// Any failure.
    fn stat(&self) -> Outcome<Attrs>;

    /// SSH_FXP_FSETSTAT (§6.9) on the directory.
    ///
    /// # Errors
    /// Any failure.
    fn set_stat(&self, _attrs: &Attrs) -> Outcome<()> {
        unsupported()
    }

    /// `fsync@openssh.com` on the directory.
    ///
    /// # Errors
    /// Any failure.
    fn sync(&self) -> Outcome<()> {
        unsupported()
    }

    /// `fstatvfs@openssh.com` on the directory.
    ///
    /// # Errors
    /// Any failure.
    fn stat_vfs(&self) -> Outcome<StatVfs> {
        unsupported()
    }
}

/// Computes a hash, and then the next one.
pub trait Hasher {
    /// More of what is hashed.
    fn update(&mut self, data: &[u8]);

    /// The hash of all since the beginning, or since the last one.
    fn finish(&mut self) -> Bytes;
}

/// Tells files from each other: for local ones device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "two numbers, as fstat gives them"
)]
pub struct FileId {
    /// The device, or 0.
    pub device: u64,
    /// The number of the file on it.
    pub inode: u64,
}

fn unsupported<T>() -> Outcome<T> {
    Err(Status::new(StatusCode::OP_UNSUPPORTED))
}
