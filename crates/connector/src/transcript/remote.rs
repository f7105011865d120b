//! The wrapper of a session that writes its transcript.
//!
//! Not a change of anything: what is asked goes on as it is, and so does the answer.

use std::fmt;
use std::future::{Future, ready};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Line, Session, Transcript};
use crate::error::{Error, Result};
use crate::path::RemotePath;
use crate::remote::{
    Attrs, Capabilities, Connect, Entry, Listing, Reader, Remote, RemoteError, Room, SetAttrs,
    WriteMode, Writer,
};

/// Makes sessions that write a transcript; without one, sessions as they are.
pub struct Transcribed<T> {
    inner: Arc<T>,
    account: Arc<str>,
    transcript: Option<Wanted>,
}

/// A transcript that is opened with the first session.
type Wanted = Arc<dyn Fn() -> Result<Transcript> + Send + Sync>;

impl<C> Transcribed<C> {
    /// Writes what the sessions are asked into what this opens, once, when there is a session.
    pub(crate) fn new(
        connect: Arc<C>,
        account: &str,
        open: Option<impl Fn() -> Result<Transcript> + Send + Sync + 'static>,
    ) -> Self {
        let transcript = open.map(|open| {
            let opened = OnceLock::new();
            Arc::new(move || opened.get_or_init(&open).clone()) as Wanted
        });
        Self {
            inner: connect,
            account: account.into(),
            transcript,
        }
    }
}

impl<C: Connect> Connect for Transcribed<C> {
    type Remote = TranscribedRemote<C::Remote>;

    async fn connect(&self) -> Result<Self::Remote, Error> {
        let Some(wanted) = &self.transcript else {
            let remote = self.inner.connect().await?;
            return Ok(TranscribedRemote {
                remote,
                session: None,
            });
        };
        let session = wanted()?.session(&self.account);
        let line = Line::new(&session, "connect", None);
        let connected = self.inner.connect().await;
        line.end(match &connected {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        });
        Ok(TranscribedRemote {
            remote: connected?,
            session: Some(session),
        })
    }
}

impl<T> fmt::Debug for Transcribed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcribed").finish_non_exhaustive()
    }
}

/// A session that writes its transcript, if it has one.
#[derive(Debug)]
pub struct TranscribedRemote<R> {
    remote: R,
    session: Option<Session>,
}

impl<R> TranscribedRemote<R> {
    /// The session itself.
    pub fn inner(&self) -> &R {
        &self.remote
    }

    fn line(&self, operation: &'static str, path: &RemotePath) -> Option<Line> {
        let session = self.session.as_ref()?;
        Some(Line::new(session, operation, Some(path)))
    }

    fn line_of_two(
        &self,
        operation: &'static str,
        path: &RemotePath,
        to: &RemotePath,
    ) -> Option<Line> {
        let mut line = self.line(operation, path)?;
        line.record.to = Some(to.clone());
        Some(line)
    }

    fn open(&self, path: &RemotePath) -> Option<Open> {
        let session = self.session.clone()?;
        Some(Open {
            session,
            path: path.clone(),
            run: None,
        })
    }
}

async fn noted<T>(
    line: Option<Line>,
    asked: impl Future<Output = Result<T, RemoteError>>,
) -> Result<T, RemoteError> {
    let done = asked.await;
    if let Some(line) = line {
        line.ended(&done);
    }
    done
}

impl<R: Remote> Remote for TranscribedRemote<R> {
    type Reader = TranscribedReader<R::Reader>;
    type Writer = TranscribedWriter<R::Writer>;
    type Listing = TranscribedListing<R::Listing>;

    fn capabilities(&self) -> &Capabilities {
        self.remote.capabilities()
    }

    async fn open_read(&self, path: &RemotePath) -> Result<Self::Reader, RemoteError> {
        let line = self.line("open-read", path);
        let reader = noted(line, self.remote.open_read(path)).await?;
        let open = self.open(path);
        Ok(TranscribedReader {
            reader: Some(reader),
            open,
            from: 0,
        })
    }

    async fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> Result<Self::Writer, RemoteError> {
        let mut line = self.line("open-write", path);
        if let Some(line) = &mut line {
            let mode = match mode {
                WriteMode::CreateExclusive => "create-exclusive",
                WriteMode::CreateOrTruncate => "create-or-truncate",
                WriteMode::Existing => "existing",
            };
            line.record.mode = Some(mode.to_owned());
        }
        let writer = noted(line, self.remote.open_write(path, mode)).await?;
        let open = self.open(path);
        Ok(TranscribedWriter {
            writer: Some(writer),
            open,
        })
    }

    async fn list(&self, directory: &RemotePath) -> Result<Self::Listing, RemoteError> {
        let line = self.line("list", directory);
        let listing = noted(line, self.remote.list(directory)).await?;
        let line = self.line("read-directory", directory);
        Ok(TranscribedListing {
            listing,
            line,
            entries: 0,
        })
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        noted(self.line("lstat", path), self.remote.lstat(path)).await
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        noted(self.line("stat", path), self.remote.stat(path)).await
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        noted(self.line("realpath", path), self.remote.realpath(path)).await
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let line = self.line_of_two("rename", from, to);
        noted(line, self.remote.rename(from, to)).await
    }

    async fn posix_rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let line = self.line_of_two("posix-rename", from, to);
        noted(line, self.remote.posix_rename(from, to)).await
    }

    async fn hardlink(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let line = self.line_of_two("hardlink", from, to);
        noted(line, self.remote.hardlink(from, to)).await
    }

    async fn remove(&self, path: &RemotePath) -> Result<(), RemoteError> {
        noted(self.line("remove", path), self.remote.remove(path)).await
    }

    async fn remove_directory(&self, path: &RemotePath) -> Result<(), RemoteError> {
        let line = self.line("remove-directory", path);
        noted(line, self.remote.remove_directory(path)).await
    }

    async fn mkdir(&self, path: &RemotePath) -> Result<(), RemoteError> {
        noted(self.line("make-directory", path), self.remote.mkdir(path)).await
    }

    async fn set_attrs(&self, path: &RemotePath, attrs: SetAttrs) -> Result<(), RemoteError> {
        let mut line = self.line("set-attributes", path);
        if let Some(line) = &mut line {
            let permissions = attrs
                .permissions
                .map(|mode| format!("permissions {mode:04o}"));
            let modified = attrs.modified.map(|time| format!("modified {time}"));
            let both: Vec<String> = permissions.into_iter().chain(modified).collect();
            line.record.mode = Some(both.join(", "));
        }
        noted(line, self.remote.set_attrs(path, attrs)).await
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        noted(self.line("statvfs", path), self.remote.statvfs(path)).await
    }

    async fn copy_data(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let line = self.line_of_two("copy-data", from, to);
        noted(line, self.remote.copy_data(from, to)).await
    }

    async fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Option<[u8; 32]>, RemoteError> {
        let line = self.line("check-file", path);
        noted(line, self.remote.check_file(path, offset)).await
    }

    async fn close(self) {
        let session = self.session.as_ref();
        let line = session.map(|session| Line::new(session, "disconnect", None));
        self.remote.close().await;
        if let Some(line) = line {
            line.end("ok".to_owned());
        }
    }
}

/// An open file in a transcript.
#[derive(Debug)]
struct Open {
    session: Session,
    path: RemotePath,
    /// What is asked for in many pieces and told as one.
    run: Option<Line>,
}

impl Open {
    fn line(&self, operation: &'static str) -> Line {
        Line::new(&self.session, operation, Some(&self.path))
    }

    /// Counts a piece.
    fn piece(&mut self, operation: &'static str, offset: u64, bytes: u64) {
        if self.run.is_none() {
            let mut line = self.line(operation);
            line.record.offset = (offset > 0).then_some(offset);
            self.run = Some(line);
        }
        if let Some(line) = &mut self.run {
            let count = line.record.bytes.unwrap_or(0);
            line.record.bytes = Some(count.saturating_add(bytes));
        }
    }

    /// No more pieces for now.
    fn end_run(&mut self, result: impl fmt::Display) {
        if let Some(line) = self.run.take() {
            line.end(result.to_string());
        }
    }

    /// The file is dropped, and its closing is not waited for.
    fn drop_file(&mut self) {
        self.end_run("given up");
        self.line("close").end("not waited for".to_owned());
    }
}

/// A file open for reading, in a transcript.
#[derive(Debug)]
pub struct TranscribedReader<R> {
    /// Until it is closed.
    reader: Option<R>,
    open: Option<Open>,
    from: u64,
}

impl<R> TranscribedReader<R> {
    fn reader(&mut self) -> &mut R {
        self.reader
            .as_mut()
            .expect("a reader is there until it is closed")
    }
}

impl<R: Reader> Reader for TranscribedReader<R> {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        let line = self.open.as_ref().map(|open| open.line("fstat"));
        noted(line, self.reader().stat()).await
    }

    async fn stat_and_read(&mut self, expected: Option<u64>) -> Result<Attrs, RemoteError> {
        let line = self.open.as_ref().map(|open| open.line("fstat"));
        noted(line, self.reader().stat_and_read(expected)).await
    }

    fn start(&mut self, offset: u64, expected: Option<u64>) {
        self.from = offset;
        self.reader().start(offset, expected);
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let from = self.from;
        if let Some(open) = &mut self.open {
            open.piece("read", from, 0);
        }
        let chunk = self.reader().chunk().await;
        let Some(open) = &mut self.open else {
            return chunk;
        };
        match &chunk {
            Ok(Some(bytes)) => open.piece("read", from, bytes.len() as u64),
            Ok(None) => open.end_run("ok"),
            Err(error) => open.end_run(error),
        }
        chunk
    }

    async fn close(mut self) -> Result<(), RemoteError> {
        let reader = self
            .reader
            .take()
            .expect("a reader is there until it is closed");
        let Some(mut open) = self.open.take() else {
            return reader.close().await;
        };
        open.end_run("given up");
        noted(Some(open.line("close")), reader.close()).await
    }
}

impl<R> Drop for TranscribedReader<R> {
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            open.drop_file();
        }
    }
}

/// A file open for writing, in a transcript.
#[derive(Debug)]
pub struct TranscribedWriter<W> {
    /// Until it is closed.
    writer: Option<W>,
    open: Option<Open>,
}

impl<W> TranscribedWriter<W> {
    fn writer(&mut self) -> &mut W {
        self.writer
            .as_mut()
            .expect("a writer is there until it is closed")
    }

    /// What was written so far is a line of its own.
    fn end_writing(&mut self) {
        if let Some(open) = &mut self.open {
            open.end_run("ok");
        }
    }

    fn line(&mut self, operation: &'static str) -> Option<Line> {
        self.end_writing();
        Some(self.open.as_ref()?.line(operation))
    }
}

impl<W: Writer> Writer for TranscribedWriter<W> {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        let line = self.line("fstat");
        noted(line, self.writer().stat()).await
    }

    fn spread(&mut self, size: Option<u64>) {
        self.writer().spread(size);
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        if let Some(open) = &mut self.open {
            open.piece("write", offset, data.len() as u64);
        }
        let written = self.writer().write(offset, data).await;
        if let (Err(error), Some(open)) = (&written, &mut self.open) {
            open.end_run(error);
        }
        written
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        let line = self.line("flush");
        noted(line, self.writer().flush()).await
    }

    fn acknowledged(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::acknowledged)
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        let line = self.line("fsync");
        noted(line, self.writer().fsync()).await
    }

    async fn fsync_and_stat(&mut self) -> (Result<(), RemoteError>, Result<Attrs, RemoteError>) {
        let (fsync, fstat) = (self.line("fsync"), self.line("fstat"));
        let (durable, attrs) = self.writer().fsync_and_stat().await;
        let durable = noted(fsync, ready(durable)).await;
        (durable, noted(fstat, ready(attrs)).await)
    }

    async fn close(mut self) -> Result<(), RemoteError> {
        let line = self.line("close");
        self.open = None;
        let writer = self
            .writer
            .take()
            .expect("a writer is there until it is closed");
        noted(line, writer.close()).await
    }
}

impl<W> Drop for TranscribedWriter<W> {
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            open.drop_file();
        }
    }
}

/// A directory being listed, in a transcript.
#[derive(Debug)]
pub struct TranscribedListing<L> {
    listing: L,
    line: Option<Line>,
    entries: u64,
}

impl<L> TranscribedListing<L> {
    fn end(&mut self, result: impl fmt::Display) {
        if let Some(mut line) = self.line.take() {
            line.record.entries = Some(self.entries);
            line.end(result.to_string());
        }
    }
}

impl<L: Listing> Listing for TranscribedListing<L> {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        let batch = self.listing.batch().await;
        match &batch {
            Ok(Some(entries)) => {
                self.entries = self.entries.saturating_add(entries.len() as u64);
            }
            Ok(None) => self.end("ok"),
            Err(error) => self.end(error),
        }
        batch
    }
}

impl<L> Drop for TranscribedListing<L> {
    fn drop(&mut self) {
        self.end("given up");
    }
}
