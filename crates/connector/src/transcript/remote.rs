//! The wrapper of a session that writes its transcript.
//!
//! Not a change of anything: what is asked goes on as it is, and so does the answer.

use std::fmt;
use std::future::{Future, ready};
use std::mem;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::form::{Answer, Fault, Name, Named};
use super::{
    CONTINUED, GIVEN_UP, Line, MAX_RUNS, NOT_WAITED_FOR, OK, Session, Transcript, open_mode,
    set_mode,
};
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
        let mut line = Line::new(&session, "connect", None);
        let connected = self.inner.connect().await;
        match &connected {
            Ok(remote) => {
                line.answered(|| Answer::Capabilities(remote.capabilities().clone()));
                line.end(OK.to_owned());
            }
            Err(error) => {
                line.error = Some(Fault::from(error));
                line.end(error.to_string());
            }
        }
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
            asked: false,
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

/// The same with what was answered.
async fn answered<T>(
    line: Option<Line>,
    asked: impl Future<Output = Result<T, RemoteError>>,
    answer: impl FnOnce(&T) -> Answer,
) -> Result<T, RemoteError> {
    let done = asked.await;
    if let Some(mut line) = line {
        if let Ok(done) = &done {
            line.answered(|| answer(done));
        }
        line.ended(&done);
    }
    done
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(attrs: &Attrs) -> Answer {
    Answer::Attributes(*attrs)
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
            line.record.mode = Some(open_mode(mode).to_owned());
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
        let open = self.open(directory);
        Ok(TranscribedListing {
            listing,
            lines: open.map(Lines::new),
        })
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        answered(
            self.line("lstat", path),
            self.remote.lstat(path),
            attributes,
        )
        .await
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        answered(self.line("stat", path), self.remote.stat(path), attributes).await
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        let line = self.line("realpath", path);
        answered(line, self.remote.realpath(path), |path| {
            Answer::Path(Name::from(path.as_bytes()))
        })
        .await
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
            line.record.mode = Some(set_mode(attrs));
        }
        noted(line, self.remote.set_attrs(path, attrs)).await
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        let line = self.line("statvfs", path);
        answered(line, self.remote.statvfs(path), |room| Answer::Room(*room)).await
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
        let mut line = self.line("check-file", path);
        if let Some(line) = &mut line {
            line.record.offset = (offset > 0).then_some(offset);
        }
        answered(line, self.remote.check_file(path, offset), |hash| {
            Answer::Sha256(hash.map(hex))
        })
        .await
    }

    async fn close(self) {
        let session = self.session.as_ref();
        let line = session.map(|session| Line::new(session, "disconnect", None));
        self.remote.close().await;
        if let Some(line) = line {
            line.end(OK.to_owned());
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
    /// A piece was asked for, and the answer is not here yet.
    asked: bool,
}

impl Open {
    fn line(&self, operation: &'static str) -> Line {
        Line::new(&self.session, operation, Some(&self.path))
    }

    /// Counts a piece.
    fn piece(&mut self, operation: &'static str, offset: u64, bytes: u64) {
        let line = match &mut self.run {
            Some(line) => line,
            None => {
                let mut line = self.line(operation);
                line.record.offset = (offset > 0).then_some(offset);
                self.run.insert(line)
            }
        };
        let count = line.record.bytes.unwrap_or(0);
        line.record.bytes = Some(count.saturating_add(bytes));
    }

    /// Remembers the size of a chunk that was counted, which `end` is behind.
    fn chunk(&mut self, size: u64, end: u64) {
        let Some(line) = self.run.as_mut().filter(|line| line.session.answers) else {
            return;
        };
        let answer = line
            .answer
            .get_or_insert_with(|| Answer::Chunks(Vec::new()));
        let Answer::Chunks(runs) = answer else {
            return;
        };
        match runs.last_mut() {
            Some((last, times)) if *last == size => *times = times.saturating_add(1),
            _ => runs.push((size, 1)),
        }
        if runs.len() >= MAX_RUNS {
            self.end_run(CONTINUED);
            self.piece("read", end, 0);
        }
    }

    /// No more pieces for now.
    fn end_run(&mut self, result: &str) {
        if let Some(line) = self.run.take() {
            line.end(result.to_owned());
        }
    }

    /// The pieces end with this.
    fn fail_run(&mut self, error: &RemoteError) {
        if let Some(line) = self.run.take() {
            line.failed(error);
        }
    }

    /// The file is dropped, and its closing is not waited for.
    fn drop_file(&mut self) {
        self.end_run(if self.asked { NOT_WAITED_FOR } else { GIVEN_UP });
        let mut line = self.line("close");
        if line.session.answers {
            line.record.mode = Some(NOT_WAITED_FOR.to_owned());
        }
        line.end(NOT_WAITED_FOR.to_owned());
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
        answered(line, self.reader().stat(), attributes).await
    }

    async fn stat_and_read(&mut self, expected: Option<u64>) -> Result<Attrs, RemoteError> {
        let line = self.open.as_ref().map(|open| open.line("fstat"));
        answered(line, self.reader().stat_and_read(expected), attributes).await
    }

    fn start(&mut self, offset: u64, expected: Option<u64>) {
        self.from = offset;
        self.reader().start(offset, expected);
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let from = self.from;
        if let Some(open) = &mut self.open {
            open.piece("read", from, 0);
            open.asked = true;
        }
        let chunk = self.reader().chunk().await;
        let Some(open) = &mut self.open else {
            return chunk;
        };
        open.asked = false;
        match &chunk {
            Ok(Some(bytes)) => {
                let size = bytes.len() as u64;
                open.piece("read", from, size);
                self.from = from.saturating_add(size);
                open.chunk(size, self.from);
            }
            Ok(None) => open.end_run(OK),
            Err(error) => open.fail_run(error),
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
        open.end_run(GIVEN_UP);
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
            open.end_run(OK);
        }
    }

    fn line(&mut self, operation: &'static str) -> Option<Line> {
        self.end_writing();
        Some(self.open.as_ref()?.line(operation))
    }

    /// Puts down how much the server has of what it was sent, for writing that ends early.
    fn stands(&mut self)
    where
        W: Writer,
    {
        let stands = self.writer.as_ref().map(Writer::acknowledged);
        let run = self.open.as_mut().and_then(|open| open.run.as_mut());
        if let (Some(stands), Some(run)) = (stands, run) {
            run.answered(|| Answer::Acknowledged(stands));
        }
    }

    /// Ends the line of what waits for all that was written.
    fn waited<T>(&self, line: Option<Line>, done: &Result<T, RemoteError>)
    where
        W: Writer,
    {
        let Some(mut line) = line else {
            return;
        };
        if done.is_err() {
            line.answered(|| Answer::Acknowledged(self.acknowledged()));
        }
        line.ended(done);
    }
}

impl<W: Writer> Writer for TranscribedWriter<W> {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        let mut line = self.line("fstat");
        let done = self.writer().stat().await;
        if let (Some(line), Ok(attrs)) = (&mut line, &done) {
            line.answered(|| attributes(attrs));
        }
        self.waited(line, &done);
        done
    }

    fn spread(&mut self, size: Option<u64>) {
        self.writer().spread(size);
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        if let Some(open) = &mut self.open {
            open.piece("write", offset, data.len() as u64);
            open.asked = true;
        }
        let written = self.writer().write(offset, data).await;
        if let Some(open) = &mut self.open {
            open.asked = false;
        }
        if let Err(error) = &written {
            self.stands();
            if let Some(open) = &mut self.open {
                open.fail_run(error);
            }
        }
        written
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        let line = self.line("flush");
        let done = self.writer().flush().await;
        self.waited(line, &done);
        done
    }

    fn acknowledged(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::acknowledged)
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        let line = self.line("fsync");
        let done = self.writer().fsync().await;
        self.waited(line, &done);
        done
    }

    async fn fsync_and_stat(&mut self) -> (Result<(), RemoteError>, Result<Attrs, RemoteError>) {
        let (fsync, fstat) = (self.line("fsync"), self.line("fstat"));
        let (durable, attrs) = self.writer().fsync_and_stat().await;
        self.waited(fsync, &durable);
        (durable, answered(fstat, ready(attrs), attributes).await)
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
    lines: Option<Lines>,
}

/// The lines of a listing: one in all where only what is asked is written down, one for each batch where
/// the answers are.
#[derive(Debug)]
struct Lines {
    open: Open,
    /// A batch that may be the last.
    batch: Option<Vec<Named>>,
}

impl Lines {
    fn new(mut open: Open) -> Self {
        if !open.session.answers {
            open.run = Some(open.line("read-directory"));
        }
        Self { open, batch: None }
    }

    /// Before a batch is asked for.
    fn ask(&mut self) {
        if self.open.run.is_none() && self.batch.is_none() {
            self.open.run = Some(self.open.line("read-directory"));
        }
        self.open.asked = true;
    }

    fn batch(&mut self, entries: &[Entry]) {
        if self.open.session.answers {
            self.end_batch(Answer::Batch, OK);
            self.ask();
            self.open.asked = false;
            self.batch = Some(entries.iter().map(Named::from).collect());
        }
        if let Some(line) = &mut self.open.run {
            let count = line.record.entries.unwrap_or(0);
            line.record.entries = Some(count.saturating_add(entries.len() as u64));
        }
    }

    /// Writes the batch that there is.
    fn end_batch(&mut self, answer: impl FnOnce(Vec<Named>) -> Answer, result: &str) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        if let Some(line) = &mut self.open.run {
            line.answered(|| answer(batch));
        }
        self.open.end_run(result);
    }

    fn end(&mut self) {
        if self.open.session.answers && self.open.run.is_some() {
            self.batch.get_or_insert_default();
        }
        self.end_batch(Answer::LastBatch, OK);
        self.end_all(OK);
    }

    fn fail(&mut self, error: &RemoteError) {
        if self.batch.is_some() {
            self.end_batch(Answer::Batch, OK);
            self.ask();
        }
        self.open.asked = false;
        self.count();
        self.open.fail_run(error);
    }

    /// The line has a number of entries, be it none.
    fn count(&mut self) {
        if let Some(line) = &mut self.open.run {
            line.record.entries.get_or_insert_default();
        }
    }

    fn end_all(&mut self, result: &str) {
        self.count();
        self.open.end_run(result);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.open.session.answers {
            self.end_all(GIVEN_UP);
            return;
        }
        self.end_batch(Answer::Batch, GIVEN_UP);
        // Its line says that it was not waited for.
        let asked = mem::take(&mut self.open.asked) && self.open.run.is_none();
        drop(asked.then(|| self.open.line("read-directory")));
    }
}

impl<L: Listing> Listing for TranscribedListing<L> {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        if let Some(lines) = &mut self.lines {
            lines.ask();
        }
        let batch = self.listing.batch().await;
        if let Some(lines) = &mut self.lines {
            lines.open.asked = false;
            match &batch {
                Ok(Some(entries)) => lines.batch(entries),
                Ok(None) => lines.end(),
                Err(error) => lines.fail(error),
            }
        }
        batch
    }
}
