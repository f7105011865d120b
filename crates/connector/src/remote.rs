//! The far side as the connector sees it: paths, attributes, streams of [`Bytes`], and what the
//! server can do.
//!
//! Not SFTP: no status codes, no handles, no packet sizes. An implementation decides how much it
//! asks for at once and how many requests it keeps under way; data is handed over uncopied. There
//! are two: [`mem`](crate::mem) for tests and the one over the driver.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Error;
pub use crate::path::RemotePath;

/// Makes sessions with one account on one server.
pub trait Connect: Send + Sync + 'static {
    /// The session that it makes.
    type Remote: Remote;

    /// One attempt, from name resolution to a session that answers. No retries in here: the caller
    /// repeats it where the error says that this can help.
    ///
    /// # Errors
    /// `unreachable`, `proxy`, `host-key`, `no-common-algorithm`, `authentication`, `timeout`,
    /// `disconnected` or `configuration`; the message names the stage that was reached.
    fn connect(&self) -> impl Future<Output = Result<Self::Remote, Error>> + Send;
}

impl<C: Connect> Connect for Arc<C> {
    type Remote = C::Remote;

    fn connect(&self) -> impl Future<Output = Result<Self::Remote, Error>> + Send {
        C::connect(self)
    }
}

/// One session: everything that a connector asks of the other end.
///
/// Dropping it ends the session; [`close`](Self::close) does so in good order.
pub trait Remote: Send + Sync + Sized + 'static {
    /// A file open for reading.
    type Reader: Reader;
    /// A file open for writing.
    type Writer: Writer;
    /// A directory being listed.
    type Listing: Listing;

    /// What the server can do beyond the basics, and who it says it is.
    fn capabilities(&self) -> &Capabilities;

    /// Opens a file for reading.
    fn open_read(
        &self,
        path: &RemotePath,
    ) -> impl Future<Output = Result<Self::Reader, RemoteError>> + Send;

    /// Opens a file for writing, as `mode` says.
    fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> impl Future<Output = Result<Self::Writer, RemoteError>> + Send;

    /// Opens a directory for listing. Fails with [`RemoteErrorKind::NoSuchFile`] or
    /// [`RemoteErrorKind::Failure`] when there is none.
    fn list(
        &self,
        directory: &RemotePath,
    ) -> impl Future<Output = Result<Self::Listing, RemoteError>> + Send;

    /// The attributes of the name itself: a symbolic link is not followed.
    fn lstat(&self, path: &RemotePath) -> impl Future<Output = Result<Attrs, RemoteError>> + Send;

    /// The attributes of what the name leads to: symbolic links are followed.
    fn stat(&self, path: &RemotePath) -> impl Future<Output = Result<Attrs, RemoteError>> + Send;

    /// The absolute path that the server means by `path`; `.` is the account's home.
    fn realpath(
        &self,
        path: &RemotePath,
    ) -> impl Future<Output = Result<RemotePath, RemoteError>> + Send;

    /// The plain rename. Whether it replaces an existing target differs between servers:
    /// [`Capabilities::plain_rename_replaces`].
    fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// The rename that replaces its target at once. Asked only with
    /// [`Capabilities::posix_rename`].
    fn posix_rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Gives the file `from` the second name `to`, which must be free. Asked only with
    /// [`Capabilities::hardlink`].
    fn hardlink(
        &self,
        from: &RemotePath,
        to: &RemotePath,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Removes a file or a symbolic link, never a directory.
    fn remove(&self, path: &RemotePath) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Removes an empty directory.
    fn remove_directory(
        &self,
        path: &RemotePath,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Makes one directory; its parent must be there.
    fn mkdir(&self, path: &RemotePath) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Sets what is given, and nothing else.
    fn set_attrs(
        &self,
        path: &RemotePath,
        attrs: SetAttrs,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// The room on the file system that holds `path`. Asked only with [`Capabilities::statvfs`].
    fn statvfs(&self, path: &RemotePath) -> impl Future<Output = Result<Room, RemoteError>> + Send;

    /// Lets the server copy the whole file `from` into the new file `to`, which must be free.
    /// Asked only with [`Capabilities::copy_data`].
    fn copy_data(
        &self,
        from: &RemotePath,
        to: &RemotePath,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// The SHA-256 of a file from `offset` to its end as the server computes it; `None` where its
    /// answer is something else. Asked only with [`Capabilities::check_file`].
    fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> impl Future<Output = Result<Option<[u8; 32]>, RemoteError>> + Send;

    /// Ends the session in good order. Bounded in time by the implementation.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A file open for reading. Dropping it closes it without waiting.
pub trait Reader: Send + 'static {
    /// The attributes of the open file, whatever its name means by now.
    fn stat(&mut self) -> impl Future<Output = Result<Attrs, RemoteError>> + Send;

    /// [`stat`](Self::stat), and where that is a gain, reading begun from the first byte in the same round trip,
    /// `expected` bytes being thought to come. [`start`](Self::start) follows, and may begin elsewhere.
    fn stat_and_read(
        &mut self,
        _expected: Option<u64>,
    ) -> impl Future<Output = Result<Attrs, RemoteError>> + Send {
        self.stat()
    }

    /// Where the first [`chunk`](Self::chunk) begins (0 unless told), and how many bytes are
    /// expected from there, so that no more is asked for in vain. Reading goes on to the end of
    /// the file whatever was expected. Told before the first chunk, if at all.
    fn start(&mut self, offset: u64, expected: Option<u64>);

    /// The next bytes in order, never empty; `None` at the end of the file, and again thereafter.
    /// Taking a chunk is what lets the implementation ask for more.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, RemoteError>> + Send;

    /// Closes it and waits for the answer.
    fn close(self) -> impl Future<Output = Result<(), RemoteError>> + Send;
}

/// A file open for writing. Dropping it closes it without waiting.
pub trait Writer: Send + 'static {
    /// The attributes of the open file, whatever its name means by now. Writes that were accepted
    /// before are acknowledged first.
    fn stat(&mut self) -> impl Future<Output = Result<Attrs, RemoteError>> + Send;

    /// The file has a temporary name that nobody else knows, and is thought to end at `size`: what is
    /// written may go several ways at once and arrive out of order. Told before the first write.
    fn spread(&mut self, _size: Option<u64>) {}

    /// Writes `data` at `offset`. Offsets are explicit and each write follows the one before. Any
    /// size is taken; returns as soon as there is room for more, not when it is acknowledged, and
    /// reports failures of earlier writes.
    fn write(
        &mut self,
        offset: u64,
        data: Bytes,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Waits until everything accepted is acknowledged.
    fn flush(&mut self) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// How far from the first offset written the server has acknowledged without a gap: the
    /// offset of the first byte that may be missing. 0 when nothing was written.
    fn acknowledged(&self) -> u64;

    /// [`flush`](Self::flush), then lets the server put it on its disk. Asked only with
    /// [`Capabilities::fsync`].
    fn fsync(&mut self) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// [`fsync`](Self::fsync) and [`stat`](Self::stat), in one round trip where that can be: neither rests
    /// on the other.
    fn fsync_and_stat(
        &mut self,
    ) -> impl Future<Output = (Result<(), RemoteError>, Result<Attrs, RemoteError>)> + Send {
        async {
            let durable = self.fsync().await;
            (durable, self.stat().await)
        }
    }

    /// [`flush`](Self::flush), then closes it and waits for the answer.
    fn close(self) -> impl Future<Output = Result<(), RemoteError>> + Send;
}

/// A directory being listed. Dropping it closes it without waiting.
pub trait Listing: Send + 'static {
    /// The next entries in the server's order, never none; `None` at the end. `.` and `..` may be
    /// among them.
    fn batch(&mut self) -> impl Future<Output = Result<Option<Vec<Entry>>, RemoteError>> + Send;
}

/// How a file is opened for writing. Nothing is ever opened for appending by the server's choice
/// of offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// A new file; fails when the name is taken.
    CreateExclusive,
    /// A new file, or an existing one whose content is lost at once.
    CreateOrTruncate,
    /// An existing file whose content stays.
    Existing,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The base name as the server gave it. Untrusted: it may hold `/`, or be `..`.
    pub name: Bytes,
    /// Attributes as the listing gave them: of a link itself, not of its target.
    pub attrs: Attrs,
}

/// What a name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
    /// The server does not say.
    #[default]
    Unknown,
}

/// What the server says of a file. A field that it left out is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attrs {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The twelve permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<u32>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Last modification in seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    /// Last access in seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessed: Option<i64>,
}

impl Attrs {
    /// Whether this can be the same, unchanged content: equal size and equal time.
    pub fn same_version(&self, other: &Self) -> bool {
        self.size == other.size && self.modified == other.modified
    }
}

/// Attributes to set; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttrs {
    /// The twelve permission bits.
    pub permissions: Option<u32>,
    /// Last modification, which is also set as the last access, in seconds since 1970 UTC.
    pub modified: Option<i64>,
}

/// The room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Room {
    /// Bytes that this account may still write.
    pub available: u64,
    /// Files that this account may still make.
    pub files_available: u64,
    /// Files that there can be in all; 0 where the file system does not count them.
    pub files: u64,
}

/// What a server can do beyond the basics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Capabilities {
    /// A rename that replaces its target at once.
    pub posix_rename: bool,
    /// Second names for a file.
    pub hardlink: bool,
    /// Forcing a file to the server's disk.
    pub fsync: bool,
    /// Asking for the room left.
    pub statvfs: bool,
    /// Copying on the server.
    pub copy_data: bool,
    /// Hashing a file on the server.
    pub check_file: bool,
    /// Whether the plain rename replaces an existing target; `None` when nobody knows yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_rename_replaces: Option<bool>,
    /// How many files it lets a session have open at once; `None` when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// What the server calls itself, such as `OpenSSH_9.2p1`. Untrusted text, already printable.
    pub server: String,
}

/// What kind of refusal or loss it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RemoteErrorKind {
    /// The server says that the name is not there.
    NoSuchFile,
    /// The server says that this account may not.
    Permission,
    /// The server says that the name is taken. Most servers say [`Failure`](Self::Failure).
    AlreadyExists,
    /// The server says that its disk is full. Most servers say [`Failure`](Self::Failure).
    NoSpace,
    /// The server refused without a cause.
    Failure,
    /// The server does not know this request.
    Unsupported,
    /// The server could not read the request; some say so of names that are too long.
    BadMessage,
    /// What came back contradicts the request or itself.
    Misbehaved,
    /// The connection is gone. Whether the request took effect is not known.
    Disconnected,
    /// No answer in time; the session is given up. Whether the request took effect is not known.
    Timeout,
}

/// A request that did not succeed.
#[derive(Clone, Debug)]
pub struct RemoteError {
    /// What kind of refusal or loss it was.
    pub kind: RemoteErrorKind,
    /// The server's own words, or which wait ended; printable, possibly empty.
    pub message: String,
    /// What lies below, for the cause chain.
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl RemoteError {
    /// A refusal of this kind in the server's words.
    pub fn new(kind: RemoteErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Whether the session is of no further use and the request's effect is unknown.
    pub fn is_lost(&self) -> bool {
        matches!(
            self.kind,
            RemoteErrorKind::Disconnected | RemoteErrorKind::Timeout
        )
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RemoteErrorKind::NoSuchFile => "no such file",
            RemoteErrorKind::Permission => "permission denied",
            RemoteErrorKind::AlreadyExists => "already exists",
            RemoteErrorKind::NoSpace => "no space",
            RemoteErrorKind::Failure => "failure",
            RemoteErrorKind::Unsupported => "unsupported",
            RemoteErrorKind::BadMessage => "bad message",
            RemoteErrorKind::Misbehaved => "the server contradicts itself",
            // What the driver says of it says that it was lost, and how.
            RemoteErrorKind::Disconnected if !self.message.is_empty() => {
                return f.write_str(&self.message);
            }
            RemoteErrorKind::Disconnected => "connection lost",
            RemoteErrorKind::Timeout => "no answer in time",
        };
        if self.message.is_empty() {
            return f.write_str(kind);
        }
        write!(f, "{kind} ({})", self.message)
    }
}

impl StdError for RemoteError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
