//! A session of SFTP: one request, one future. Many may be under way at once.

use super::error::SftpError;
use super::job::Job;
use super::machines::{Sent, Session, Started};
use super::patience::Durable;
pub(super) use super::patience::Patience;
use super::{ReadDir, ReadFile, WriteFile};
use crate::deadline::Deadlines;
use crate::error::{ConnectError, Lost, Stage};
use crate::shared::{Shared, State};
use bytes::Bytes;
use sansftp_proto::connection::ChannelId;
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::sftp::extensions::{
    self, CheckFileHandle, CheckFileName, CopyData, FileHashes, Fsync, Hardlink, Limits,
    PosixRename, RequestLengths, StatVfs,
};
use sansftp_proto::sftp::messages::{
    Close, Fsetstat, Fstat, Lstat, Mkdir, Open, Opendir, Readlink, Realpath, Remove, Rename, Rmdir,
    Setstat, Stat, Symlink,
};
use sansftp_proto::sftp::{
    Attrs, Blocked, Extension, Extensions, Handle, Kind, OpenFlags, Request,
};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A session of SFTP. Cheap to clone: all clones are the same session, which ends with the last of
/// them, open files included.
#[derive(Clone)]
pub struct Sftp {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared<ClientRole>>,
    channel: ChannelId,
    pub(super) deadlines: Deadlines,
    pub(super) durable: Durable,
    extensions: Extensions,
    lengths: RequestLengths,
    limits: Option<Limits>,
}

/// A request under way.
type Call<'s, T> = Pin<Box<dyn Future<Output = Result<T, SftpError>> + Send + 's>>;

impl Sftp {
    /// Opens a channel, starts the subsystem, learns what the server can do. The deadline is the
    /// caller's.
    pub(crate) async fn start(
        shared: Arc<Shared<ClientRole>>,
        deadlines: Deadlines,
    ) -> Result<Self, ConnectError> {
        let inner = Inner::start(shared, deadlines).await?;
        let limits = inner.ask_limits().await?;
        Ok(Self::limited(inner, limits))
    }

    /// As [`start`](Self::start), and asks for the account's home in the same flight as for limits.
    pub(crate) async fn start_at_home(
        shared: Arc<Shared<ClientRole>>,
        deadlines: Deadlines,
    ) -> Result<(Self, Result<Bytes, SftpError>), ConnectError> {
        let inner = Inner::start(shared, deadlines).await?;
        let home = inner.request(&Realpath { path: b"." }, Patience::Request);
        let (limits, home) = both(inner.ask_limits(), home).await;
        let limits = limits?;
        Ok((Self::limited(inner, limits), home))
    }

    fn limited(mut inner: Inner, limits: Option<Limits>) -> Self {
        inner.limits = limits;
        inner.lengths = inner
            .limits
            .as_ref()
            .map_or(RequestLengths::UNANNOUNCED, RequestLengths::from);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Another session over the same connection, whose server has the same limits.
    pub(super) async fn sibling(&self) -> Result<Self, ConnectError> {
        let known = &self.inner;
        let start = Inner::start(Arc::clone(&known.shared), known.deadlines.clone());
        let started = tokio::time::timeout(known.deadlines.request, start).await;
        let mut inner = started.map_err(|_| ConnectError::TimedOut {
            stage: Stage::Subsystem,
            doing: "the SFTP subsystem",
        })??;
        inner.limits.clone_from(&known.limits);
        inner.lengths = known.lengths;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What the server announced.
    pub fn extensions(&self) -> Extensions {
        self.inner.extensions
    }

    /// What the server says of its limits, if it does.
    pub fn limits(&self) -> Option<Limits> {
        self.inner.limits.clone()
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn open_read(&self, path: &[u8]) -> Result<ReadFile, SftpError> {
        let handle = self.open(path, OpenFlags::READ).await?;
        Ok(ReadFile::new(self.clone(), handle))
    }

    /// Opens a file for writing, with these flags besides [`OpenFlags::WRITE`]. Attributes are left
    /// to the server.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn open_write(&self, path: &[u8], flags: OpenFlags) -> Result<WriteFile, SftpError> {
        let handle = self.open(path, OpenFlags::WRITE | flags).await?;
        Ok(WriteFile::new(self.clone(), handle))
    }

    pub(super) async fn open(
        &self,
        filename: &[u8],
        pflags: OpenFlags,
    ) -> Result<Handle, SftpError> {
        let open = Open {
            filename,
            pflags,
            attrs: Attrs::default(),
        };
        self.inner.request(&open, Patience::Request).await
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn read_dir(&self, path: &[u8]) -> Result<ReadDir, SftpError> {
        let handle = self
            .inner
            .request(&Opendir { path }, Patience::Request)
            .await?;
        Ok(ReadDir::new(self.clone(), handle))
    }

    /// Attributes of what the path leads to; links are followed.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn stat(&self, path: &[u8]) -> Result<Attrs, SftpError> {
        self.inner.request(&Stat { path }, Patience::Request).await
    }

    /// Attributes of the name itself; a link is not followed.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn lstat(&self, path: &[u8]) -> Result<Attrs, SftpError> {
        self.inner.request(&Lstat { path }, Patience::Request).await
    }

    /// Sets those attributes that are given; links are followed.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn set_stat(&self, path: &[u8], attrs: Attrs) -> Result<(), SftpError> {
        self.inner
            .request(&Setstat { path, attrs }, Patience::Request)
            .await
    }

    /// The absolute path that the server means.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn real_path(&self, path: &[u8]) -> Result<Bytes, SftpError> {
        self.inner
            .request(&Realpath { path }, Patience::Request)
            .await
    }

    /// What a symbolic link points at.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn read_link(&self, path: &[u8]) -> Result<Bytes, SftpError> {
        self.inner
            .request(&Readlink { path }, Patience::Request)
            .await
    }

    /// Makes a symbolic link at `link` that points at `target`.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn symlink(&self, target: &[u8], link: &[u8]) -> Result<(), SftpError> {
        let request = Symlink {
            targetpath: target,
            linkpath: link,
        };
        self.inner.request(&request, Patience::Request).await
    }

    /// The plain rename. Whether it replaces an existing target differs between servers.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), SftpError> {
        self.inner
            .request(
                &Rename {
                    oldpath: from,
                    newpath: to,
                },
                Patience::Request,
            )
            .await
    }

    /// The rename that replaces its target at once; `posix-rename@openssh.com`.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn posix_rename(&self, from: &[u8], to: &[u8]) -> Result<(), SftpError> {
        self.inner
            .request(
                &PosixRename {
                    oldpath: from,
                    newpath: to,
                },
                Patience::Request,
            )
            .await
    }

    /// A second name for a file; `hardlink@openssh.com`.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<(), SftpError> {
        self.inner
            .request(
                &Hardlink {
                    oldpath: from,
                    newpath: to,
                },
                Patience::Request,
            )
            .await
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn remove(&self, path: &[u8]) -> Result<(), SftpError> {
        self.inner
            .request(&Remove { filename: path }, Patience::Request)
            .await
    }

    /// Makes a directory with the server's default attributes.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn make_dir(&self, path: &[u8]) -> Result<(), SftpError> {
        self.inner
            .request(
                &Mkdir {
                    path,
                    attrs: Attrs::default(),
                },
                Patience::Request,
            )
            .await
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn remove_dir(&self, path: &[u8]) -> Result<(), SftpError> {
        self.inner.request(&Rmdir { path }, Patience::Request).await
    }

    /// The file system that holds `path`; `statvfs@openssh.com`.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn stat_vfs(&self, path: &[u8]) -> Result<StatVfs, SftpError> {
        self.inner
            .request(&extensions::Statvfs { path }, Patience::Request)
            .await
    }

    /// Lets the server copy a whole file into a new one; `copy-data`. The target must not exist.
    ///
    /// # Errors
    /// [`SftpError`]; what was made of the target remains.
    pub async fn copy(&self, from: &[u8], to: &[u8]) -> Result<(), SftpError> {
        let source = self.open_read(from).await?;
        let target = self.open_write(to, OpenFlags::CREATE_NEW).await?;
        let copy = CopyData {
            read_from_handle: source.handle().as_bytes(),
            read_from_offset: 0,
            read_data_length: 0,
            write_to_handle: target.handle().as_bytes(),
            write_to_offset: 0,
        };
        self.inner.request(&copy, Patience::Durable).await?;
        target.close().await?;
        source.close().await
    }

    /// Lets the server hash a file from `offset` to its end, with the first algorithm of `algorithms`
    /// (names with commas between them) that it knows: by the file's name, or by a handle where that
    /// alone was announced. `check-file-name`, `check-file-handle`.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn check_file(
        &self,
        path: &[u8],
        algorithms: &[u8],
        offset: u64,
    ) -> Result<FileHashes, SftpError> {
        let announced = self.extensions();
        if announced.contains(Extension::CheckFileName)
            || !announced.contains(Extension::CheckFileHandle)
        {
            let request = CheckFileName {
                name: path,
                hash_algorithm_list: algorithms,
                start_offset: offset,
                length: 0,
                block_size: 0,
            };
            return self.inner.request(&request, Patience::Durable).await;
        }
        let file = self.open_read(path).await?;
        let request = CheckFileHandle {
            handle: file.handle().as_bytes(),
            hash_algorithm_list: algorithms,
            start_offset: offset,
            length: 0,
            block_size: 0,
        };
        let hashes = self.inner.request(&request, Patience::Durable).await?;
        file.close().await?;
        Ok(hashes)
    }

    /// Ends the session: the channel is closed, whoever still waits is told.
    pub fn close(&self) {
        self.inner.end();
    }
}

impl Inner {
    /// Opens a channel and starts the subsystem. Lengths are those of a server that tells none.
    async fn start(
        shared: Arc<Shared<ClientRole>>,
        deadlines: Deadlines,
    ) -> Result<Self, ConnectError> {
        let lost = |lost: Lost| ConnectError::Lost {
            stage: Stage::Subsystem,
            lost,
        };
        let channel = shared.with(|state| {
            if let Some(ended) = &state.ended {
                return Err(lost(ended.clone()));
            }
            let Some(mux) = state.conn.mux() else {
                let ended = state.conn.error().cloned();
                let protocol = ended.unwrap_or(Protocol::ApiMisuse("SFTP before authentication"));
                return Err(lost(Lost { protocol, io: None }));
            };
            let id = mux
                .open_session()
                .map_err(|_| ConnectError::NoSubsystem("too many channels are open".to_owned()))?;
            state.machines.begin(id);
            Ok(id)
        })?;
        let mut inner = Self {
            shared,
            channel,
            deadlines,
            durable: Durable::default(),
            extensions: Extensions::NONE,
            lengths: RequestLengths::UNANNOUNCED,
            limits: None,
        };
        inner.extensions = poll_fn(|cx| {
            let mut state = inner.shared.lock();
            let Some(session) = state.machines.get(channel) else {
                let protocol = Protocol::Unreachable("a session of SFTP that nobody ended is gone");
                return Poll::Ready(Err(lost(Lost { protocol, io: None })));
            };
            match session.poll_started(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Started::Ready(extensions)) => Poll::Ready(Ok(extensions)),
                Poll::Ready(Started::Refused(why)) => {
                    Poll::Ready(Err(ConnectError::NoSubsystem(why)))
                }
                Poll::Ready(Started::Failed(error)) => Poll::Ready(Err(not_started(error))),
            }
        })
        .await?;
        Ok(inner)
    }

    /// What the server says of its limits, if it announces that it does.
    async fn ask_limits(&self) -> Result<Option<Limits>, ConnectError> {
        if !self.extensions.contains(Extension::Limits) {
            return Ok(None);
        }
        let told = self.request(&extensions::GetLimits {}, Patience::Request);
        match told.await {
            Ok(limits) => Ok(Some(limits)),
            // A server that announces limits and then refuses to tell them has the usual ones.
            Err(SftpError::Refused(_)) => Ok(None),
            Err(error) => Err(not_started(error)),
        }
    }

    /// The time that an answer takes at least, once there was one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.look(|session| Ok(session.round_trip())).ok().flatten()
    }

    pub(super) const fn lengths(&self) -> RequestLengths {
        self.lengths
    }

    /// Looks at the session under the lock, and lets the driver see what came of it.
    pub(super) fn with<T>(
        &self,
        f: impl FnOnce(&mut Session) -> Result<T, SftpError>,
    ) -> Result<T, SftpError> {
        self.shared.with(|state| f(self.session(state)?))
    }

    /// Looks at the session under the lock; nothing was done that the driver needs to see.
    pub(super) fn look<T>(
        &self,
        f: impl FnOnce(&mut Session) -> Result<T, SftpError>,
    ) -> Result<T, SftpError> {
        let mut state = self.shared.lock();
        f(self.session(&mut state)?)
    }

    fn session<'s>(&self, state: &'s mut State<ClientRole>) -> Result<&'s mut Session, SftpError> {
        let ended = state.ended.clone();
        let session = state.machines.get(self.channel);
        session.ok_or_else(|| ended.map_or(SftpError::Ended(Protocol::Closed), SftpError::Lost))
    }

    /// One request and its answer. Boxed, because a future that names a request's type with its
    /// lifetime cannot be shown to be `Send` where it is awaited.
    pub(super) fn request<'s, 'a, Q>(
        &'s self,
        request: &'s Q,
        patience: Patience,
    ) -> Call<'s, <Q::Reply as Kind>::Value>
    where
        Q: Request<'a> + Sync,
        <Q::Reply as Kind>::Value: Send,
    {
        self.request_then(request, patience, || ())
    }

    /// As [`request`](Self::request); `sent` is called as soon as the request is on its way.
    fn request_then<'s, 'a, Q>(
        &'s self,
        request: &'s Q,
        patience: Patience,
        sent: impl FnOnce() + Send + 's,
    ) -> Call<'s, <Q::Reply as Kind>::Value>
    where
        Q: Request<'a> + Sync,
        <Q::Reply as Kind>::Value: Send,
    {
        let call = async move {
            let pending = poll_fn(|cx| {
                let sent = self.with(|session| session.poll_send(request, cx));
                match sent {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(pending)) => Poll::Ready(Ok(pending)),
                    Err(error) => Poll::Ready(Err(error)),
                }
            })
            .await?;
            sent();
            Answer {
                inner: self,
                pending: Some(pending),
            }
            .await
        };
        Box::pin(self.in_time(Q::NAME, patience, call))
    }

    fn end(&self) {
        self.shared.with(|state| {
            state.machines.remove(self.channel);
            if let Some(mux) = state.conn.mux() {
                mux.close(self.channel);
            }
        });
    }

    /// Lets a job run inside the driver.
    pub(super) fn begin(&self, job: Arc<dyn Job>) -> Result<(), SftpError> {
        self.with(|session| session.begin(job))
    }

    /// Ends a job; what it has under way is abandoned.
    pub(super) fn end_job(&self, job: &Arc<dyn Job>) {
        // A session that is gone has no jobs.
        let _ = self.with(|session| {
            session.end_job(job);
            Ok(())
        });
    }

    /// A job can go on: the driver must see it.
    pub(super) fn wake_driver(&self) {
        self.shared.with(|_| ());
    }

    /// Closes a handle that nobody waits for.
    pub(super) fn close_unattended(&self, handle: &Handle) {
        // A session that is gone has no handles.
        let _ = self.with(|session| {
            session.close_unattended(handle);
            Ok(())
        });
    }

    /// Closes a handle and waits for the answer. Given up before it is sent, the handle is closed for
    /// nobody; given up afterwards, it is not closed again, as the server may have given it anew.
    pub(super) async fn close(&self, handle: &Handle, patience: Patience) -> Result<(), SftpError> {
        let mut unsent = Unsent {
            inner: self,
            handle: Some(handle),
        };
        let request = Close {
            handle: handle.as_bytes(),
        };
        self.request_then(&request, patience, || unsent.handle = None)
            .await
    }

    pub(super) async fn fstat(&self, handle: &Handle) -> Result<Attrs, SftpError> {
        self.request(
            &Fstat {
                handle: handle.as_bytes(),
            },
            Patience::Request,
        )
        .await
    }

    pub(super) async fn fset_stat(&self, handle: &Handle, attrs: Attrs) -> Result<(), SftpError> {
        self.request(
            &Fsetstat {
                handle: handle.as_bytes(),
                attrs,
            },
            Patience::Request,
        )
        .await
    }

    pub(super) async fn fsync(&self, handle: &Handle) -> Result<(), SftpError> {
        self.request(
            &Fsync {
                handle: handle.as_bytes(),
            },
            Patience::Durable,
        )
        .await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

/// A handle whose CLOSE has not been sent.
struct Unsent<'i> {
    inner: &'i Inner,
    handle: Option<&'i Handle>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            self.inner.close_unattended(handle);
        }
    }
}

/// The answer to a request that was sent. Dropped before it came, the request is abandoned: a
/// handle that it opens is closed.
struct Answer<'i, K: Kind> {
    inner: &'i Inner,
    pending: Option<Sent<K>>,
}

impl<K: Kind> Unpin for Answer<'_, K> {}

impl<K: Kind> Future for Answer<'_, K> {
    type Output = Result<K::Value, SftpError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((pending, ticket)) = this.pending.take() else {
            return Poll::Pending;
        };
        let outcome = this
            .inner
            .look(|session| match session.poll_done(ticket, cx) {
                Poll::Pending => Ok(None),
                Poll::Ready(Ok(done)) => Ok(Some(done)),
                Poll::Ready(Err(error)) => Err(error),
            });
        match outcome {
            Ok(None) => {
                this.pending = Some((pending, ticket));
                Poll::Pending
            }
            Ok(Some(done)) => Poll::Ready(match pending.claim(done) {
                Ok(result) => result.map_err(SftpError::Refused),
                Err(_) => Err(SftpError::Ended(Protocol::Unreachable(
                    "an answer changed hands",
                ))),
            }),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<K: Kind> Drop for Answer<'_, K> {
    fn drop(&mut self) {
        if let Some((_, ticket)) = self.pending.take() {
            let _ = self.inner.with(|session| {
                session.abandon(ticket);
                Ok(())
            });
        }
    }
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp")
            .field("extensions", &self.inner.extensions)
            .field("lengths", &self.inner.lengths)
            .finish_non_exhaustive()
    }
}

/// Why a session did not start, as an error of connecting.
/// Both at once: what each asks first goes out in one flight.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            first = ready(a.as_mut().poll(cx));
        }
        if second.is_none() {
            second = ready(b.as_mut().poll(cx));
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            not_both => {
                (first, second) = not_both;
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(polled: Poll<T>) -> Option<T> {
    match polled {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn not_started(error: SftpError) -> ConnectError {
    let stage = Stage::Subsystem;
    match error {
        SftpError::Lost(lost) => ConnectError::Lost { stage, lost },
        SftpError::TimedOut { request, .. } => ConnectError::TimedOut {
            stage,
            doing: request,
        },
        other => ConnectError::NoSubsystem(other.to_string()),
    }
}

/// What a blocked request waits for, or fails with.
pub(super) fn blocked(why: Blocked, session: &Session) -> Option<SftpError> {
    match why {
        Blocked::Full | Blocked::NotReady => None,
        Blocked::TooLong => Some(SftpError::TooLong),
        _ => Some(session.failure()),
    }
}
