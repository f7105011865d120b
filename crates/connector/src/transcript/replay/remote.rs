//! The sessions of a replay, their files and their listings.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::super::{NOT_WAITED_FOR, open_mode, set_mode};
use super::calls::{Asked, Call, Calls, Ended, Reply};
use super::{NotRecorded, lock};
use crate::path::RemotePath;
use crate::remote::{
    Attrs, Capabilities, Entry, Listing, Reader, Remote, RemoteError, RemoteErrorKind, Room,
    SetAttrs, WriteMode, Writer,
};

/// What a session, its files and its listings share.
#[derive(Clone)]
struct Link {
    calls: Arc<Mutex<Calls>>,
    session: usize,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        lock(&self.calls)
    }

    fn take(&self, asked: &Asked) -> Result<Call, RemoteError> {
        self.lock().take(self.session, asked).map_err(refused)
    }

    fn not_recorded(&self, call: String, path: &RemotePath) -> RemoteError {
        let mut calls = self.lock();
        let path = calls.uuids.recorded(path);
        refused(calls.not_recorded(self.session, call, Some(&path)))
    }

    /// The recorded answer.
    async fn ask(&self, asked: Asked) -> Result<Reply, RemoteError> {
        // Others get their turn between any two calls, as over a network.
        tokio::task::yield_now().await;
        let call = self.take(&asked)?;
        answer(call).await
    }

    /// The recorded answer, where there is none but that it is done.
    async fn done(&self, asked: Asked) -> Result<(), RemoteError> {
        self.ask(asked).await.map(drop)
    }

    async fn attrs(&self, operation: &str, path: &RemotePath) -> Result<Attrs, RemoteError> {
        match self.ask(Asked::new(operation, path)).await? {
            Reply::Attributes(attrs) => Ok(attrs),
            _ => Err(another()),
        }
    }

    /// A rename, and what is in the files after it.
    async fn renamed(
        &self,
        asked: Asked,
        from: &RemotePath,
        to: &RemotePath,
    ) -> Result<(), RemoteError> {
        let done = self.done(asked).await;
        let mut calls = self.lock();
        let (from, to) = (calls.uuids.recorded(from), calls.uuids.recorded(to));
        match &done {
            Ok(()) => calls.contents.rename(&from, &to),
            // It may be under either name.
            Err(error) if error.is_lost() => calls.contents.copy(&from, &to),
            Err(_) => {}
        }
        done
    }

    /// What makes a second file or name of a file.
    async fn copied(
        &self,
        asked: Asked,
        from: &RemotePath,
        to: &RemotePath,
    ) -> Result<(), RemoteError> {
        let done = self.done(asked).await;
        if done.as_ref().err().is_none_or(RemoteError::is_lost) {
            let mut calls = self.lock();
            let (from, to) = (calls.uuids.recorded(from), calls.uuids.recorded(to));
            calls.contents.copy(&from, &to);
        }
        done
    }
}

async fn answer(call: Call) -> Result<Reply, RemoteError> {
    match call.ended {
        Ended::Ok | Ended::GivenUp | Ended::Continued => Ok(call.reply),
        Ended::Refused(error) => Err(error),
        Ended::NotWaitedFor => pending().await,
    }
}

fn refused(none: NotRecorded) -> RemoteError {
    RemoteError {
        source: Some(Arc::new(none.clone())),
        ..RemoteError::new(RemoteErrorKind::Misbehaved, none.to_string())
    }
}

/// An answer to something else. Lines are read so that there is none.
fn another() -> RemoteError {
    let words = "the transcript has the answer to something else";
    RemoteError::new(RemoteErrorKind::Misbehaved, words)
}

fn of_two(operation: &str, from: &RemotePath, to: &RemotePath) -> Asked {
    Asked {
        to: Some(to.clone()),
        ..Asked::new(operation, from)
    }
}

/// A session that answers as a transcript says.
pub struct ReplayedRemote {
    link: Link,
    capabilities: Capabilities,
}

impl ReplayedRemote {
    pub(super) fn new(
        calls: Arc<Mutex<Calls>>,
        session: usize,
        capabilities: Capabilities,
    ) -> Self {
        let link = Link { calls, session };
        Self { link, capabilities }
    }
}

impl Remote for ReplayedRemote {
    type Reader = ReplayedReader;
    type Writer = ReplayedWriter;
    type Listing = ReplayedListing;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_read(&self, path: &RemotePath) -> Result<ReplayedReader, RemoteError> {
        self.link.done(Asked::new("open-read", path)).await?;
        Ok(ReplayedReader {
            open: Open::new(&self.link, path),
            position: 0,
            run: None,
        })
    }

    async fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> Result<ReplayedWriter, RemoteError> {
        let asked = Asked {
            mode: Some(open_mode(mode).to_owned()),
            ..Asked::new("open-write", path)
        };
        self.link.done(asked).await?;
        if mode != WriteMode::Existing {
            let mut calls = self.link.lock();
            let path = calls.uuids.recorded(path);
            calls.contents.put(path, Vec::new());
        }
        Ok(ReplayedWriter {
            open: Open::new(&self.link, path),
            acknowledged: 0,
            run: None,
        })
    }

    async fn list(&self, directory: &RemotePath) -> Result<ReplayedListing, RemoteError> {
        self.link.done(Asked::new("list", directory)).await?;
        Ok(ReplayedListing {
            link: self.link.clone(),
            directory: directory.clone(),
            at_end: false,
        })
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.link.attrs("lstat", path).await
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.link.attrs("stat", path).await
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        match self.link.ask(Asked::new("realpath", path)).await? {
            Reply::Path(path) => {
                let live = self.link.lock().uuids.live(path.as_bytes());
                Ok(RemotePath::new(live))
            }
            _ => Err(another()),
        }
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .renamed(of_two("rename", from, to), from, to)
            .await
    }

    async fn posix_rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let asked = of_two("posix-rename", from, to);
        self.link.renamed(asked, from, to).await
    }

    async fn hardlink(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .copied(of_two("hardlink", from, to), from, to)
            .await
    }

    async fn remove(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link.done(Asked::new("remove", path)).await?;
        let mut calls = self.link.lock();
        let path = calls.uuids.recorded(path);
        calls.contents.remove(&path);
        Ok(())
    }

    async fn remove_directory(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link.done(Asked::new("remove-directory", path)).await
    }

    async fn mkdir(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.link.done(Asked::new("make-directory", path)).await
    }

    async fn set_attrs(&self, path: &RemotePath, attrs: SetAttrs) -> Result<(), RemoteError> {
        let asked = Asked {
            mode: Some(set_mode(attrs)),
            ..Asked::new("set-attributes", path)
        };
        self.link.done(asked).await
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        match self.link.ask(Asked::new("statvfs", path)).await? {
            Reply::Room(room) => Ok(room),
            _ => Err(another()),
        }
    }

    async fn copy_data(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.link
            .copied(of_two("copy-data", from, to), from, to)
            .await
    }

    async fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Option<[u8; 32]>, RemoteError> {
        let asked = Asked {
            offset,
            ..Asked::new("check-file", path)
        };
        match self.link.ask(asked).await? {
            Reply::Sha256(hash) => Ok(hash),
            _ => Err(another()),
        }
    }

    async fn close(self) {
        tokio::task::yield_now().await;
        let asked = Asked {
            operation: "disconnect".to_owned(),
            path: None,
            to: None,
            mode: None,
            offset: 0,
        };
        // Where the session ends, nothing can be told any more; the replay remembers it.
        let _ = self.link.take(&asked);
    }
}

/// An open file.
struct Open {
    link: Link,
    path: RemotePath,
    closed: bool,
}

impl Open {
    fn new(link: &Link, path: &RemotePath) -> Self {
        Self {
            link: link.clone(),
            path: path.clone(),
            closed: false,
        }
    }

    async fn stat(&self) -> Result<Attrs, RemoteError> {
        self.link.attrs("fstat", &self.path).await
    }

    async fn close(&mut self) -> Result<(), RemoteError> {
        self.closed = true;
        self.link.done(Asked::new("close", &self.path)).await
    }

    /// A call of pieces that begins here.
    fn run(&self, operation: &str, offset: u64) -> Result<Call, RemoteError> {
        self.link.take(&Asked {
            offset,
            ..Asked::new(operation, &self.path)
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let asked = Asked {
            mode: Some(NOT_WAITED_FOR.to_owned()),
            ..Asked::new("close", &self.path)
        };
        // Nobody is told: where the recorded file was closed in another way, that is left over.
        let session = self.link.session;
        self.link.lock().take_quietly(session, &asked);
    }
}

/// A file open for reading that gives what a transcript says.
pub struct ReplayedReader {
    open: Open,
    position: u64,
    run: Option<Run>,
}

/// Chunks that follow one another.
struct Run {
    /// Sizes, and how many of each come in a row.
    chunks: VecDeque<(u64, u64)>,
    ended: Ended,
}

impl Reader for ReplayedReader {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        self.open.stat().await
    }

    fn start(&mut self, offset: u64, _expected: Option<u64>) {
        self.position = offset;
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        tokio::task::yield_now().await;
        loop {
            let mut run = match self.run.take() {
                Some(run) => run,
                None => {
                    let call = self.open.run("read", self.position)?;
                    let chunks = match call.reply {
                        Reply::Chunks(chunks) => chunks.into(),
                        _ => VecDeque::new(),
                    };
                    Run {
                        chunks,
                        ended: call.ended,
                    }
                }
            };
            if let Some((size, times)) = run.chunks.pop_front() {
                if times > 1 {
                    run.chunks.push_front((size, times - 1));
                }
                self.run = Some(run);
                return Ok(Some(self.made(size)));
            }
            match run.ended {
                Ended::Ok => return Ok(None),
                Ended::Continued => {}
                Ended::Refused(error) => return Err(error),
                Ended::NotWaitedFor => return pending().await,
                Ended::GivenUp => {
                    let call = format!("read {} from {}", self.open.path, self.position);
                    return Err(self.open.link.not_recorded(call, &self.open.path));
                }
            }
        }
    }

    async fn close(mut self) -> Result<(), RemoteError> {
        self.open.close().await
    }
}

impl ReplayedReader {
    fn made(&mut self, size: u64) -> Bytes {
        let from = self.position;
        self.position = from.saturating_add(size);
        let calls = self.open.link.lock();
        let path = calls.uuids.recorded(&self.open.path);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        calls.contents.read(&path, from, size)
    }
}

/// A file open for writing that answers as a transcript says.
pub struct ReplayedWriter {
    open: Open,
    acknowledged: u64,
    run: Option<Written>,
}

/// Writes that follow one another.
struct Written {
    call: Call,
    bytes: u64,
}

impl ReplayedWriter {
    /// What was written so far is all of it: less than was recorded is told.
    fn end_run(&mut self) {
        let Some(run) = self.run.take() else {
            return;
        };
        let whole = match run.call.ended {
            // How far it came is a matter of time.
            Ended::GivenUp | Ended::NotWaitedFor => true,
            _ => run.bytes >= run.call.bytes,
        };
        if !whole {
            let (path, bytes, all) = (&self.open.path, run.bytes, run.call.bytes);
            let call = format!("write {path} of {bytes} bytes, but of {all}");
            self.open.link.not_recorded(call, path);
        }
    }

    /// What waits for all that was written.
    async fn waited(&mut self, operation: &str) -> Result<Reply, RemoteError> {
        self.end_run();
        tokio::task::yield_now().await;
        let call = self.open.run(operation, 0)?;
        self.stands(&call);
        answer(call).await
    }

    fn keep(&self, offset: u64, data: &[u8]) {
        let mut calls = self.open.link.lock();
        let path = calls.uuids.recorded(&self.open.path);
        calls.contents.write(&path, offset, data);
    }

    fn stands(&mut self, call: &Call) {
        if let Some(acknowledged) = call.acknowledged {
            self.acknowledged = acknowledged;
        }
    }
}

impl Writer for ReplayedWriter {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        match self.waited("fstat").await? {
            Reply::Attributes(attrs) => Ok(attrs),
            _ => Err(another()),
        }
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        tokio::task::yield_now().await;
        let mut run = match self.run.take() {
            Some(run) => run,
            None => Written {
                call: self.open.run("write", offset)?,
                bytes: 0,
            },
        };
        let len = data.len() as u64;
        run.bytes = run.bytes.saturating_add(len);
        let (bytes, all) = (run.bytes, run.call.bytes);
        if bytes > all {
            let path = &self.open.path;
            let call = format!("write {path} of {bytes} bytes, but of {all}");
            return Err(self.open.link.not_recorded(call, path));
        }
        // What fails may be in the file all the same: how much of it, the answers say.
        self.keep(offset, &data);
        let failed = bytes == all && !matches!(run.call.ended, Ended::Ok | Ended::GivenUp);
        if failed {
            self.stands(&run.call);
            return answer(run.call).await.map(drop);
        }
        self.run = Some(run);
        self.acknowledged = offset.saturating_add(len);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        self.waited("flush").await.map(drop)
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        self.waited("fsync").await.map(drop)
    }

    async fn close(mut self) -> Result<(), RemoteError> {
        self.end_run();
        self.open.close().await
    }
}

impl Drop for ReplayedWriter {
    fn drop(&mut self) {
        self.end_run();
    }
}

/// A directory that is listed as a transcript says.
pub struct ReplayedListing {
    link: Link,
    directory: RemotePath,
    at_end: bool,
}

impl Listing for ReplayedListing {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        if std::mem::take(&mut self.at_end) {
            return Ok(None);
        }
        let asked = Asked::new("read-directory", &self.directory);
        let entries = match self.link.ask(asked).await? {
            Reply::Batch(entries) => entries,
            Reply::LastBatch(entries) => {
                if entries.is_empty() {
                    return Ok(None);
                }
                self.at_end = true;
                entries
            }
            _ => return Err(another()),
        };
        let calls = self.link.lock();
        let live = entries.into_iter().map(|entry| Entry {
            name: calls.uuids.live(&entry.name),
            ..entry
        });
        Ok(Some(live.collect()))
    }
}

impl fmt::Debug for ReplayedRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayedRemote").finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplayedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayedReader({})", self.open.path)
    }
}

impl fmt::Debug for ReplayedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayedWriter({})", self.open.path)
    }
}

impl fmt::Debug for ReplayedListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayedListing({})", self.directory)
    }
}
