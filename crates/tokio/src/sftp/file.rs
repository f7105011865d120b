//! Open files: reading and writing in order, with many requests under way.

use super::client::{Patience, Sftp};
use super::error::SftpError;
use super::job::{Job, Reading, Running, Writing};
use super::spread::{Channels, Spread};
use bytes::Bytes;
use sansftp_proto::sftp::transfer::{DownloadPlan, Order, UploadPlan};
use sansftp_proto::sftp::{Attrs, Handle};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Bytes of file data under way for one file unless told otherwise; 8 MiB, the bandwidth-delay
/// product of 1 Gbit/s at 64 ms.
const IN_FLIGHT: usize = 8 * 1024 * 1024;

/// A file open for reading. Dropped, it is closed without waiting.
pub struct ReadFile {
    sftp: Sftp,
    handle: Handle,
    offset: u64,
    size_hint: Option<u64>,
    in_flight: usize,
    job: Option<Arc<Running<Reading>>>,
    closed: bool,
}

impl ReadFile {
    pub(super) const fn new(sftp: Sftp, handle: Handle) -> Self {
        Self {
            sftp,
            handle,
            offset: 0,
            size_hint: None,
            in_flight: IN_FLIGHT,
            job: None,
            closed: false,
        }
    }

    /// Where the first [`chunk`](Self::chunk) begins, 0 unless told, and how long the file is thought
    /// to be from its beginning: only the pace follows that. To be told before the first chunk.
    pub fn start(&mut self, offset: u64, size_hint: Option<u64>) {
        if self.job.is_some() && (offset, size_hint) == (self.offset, self.size_hint) {
            return;
        }
        self.end_job();
        self.offset = offset;
        self.size_hint = size_hint;
    }

    /// Bytes that are asked for, or have come and were not taken, at most; 8 MiB unless told. May change
    /// at any time.
    pub fn set_in_flight(&mut self, bytes: usize) {
        if self.in_flight == bytes {
            return;
        }
        self.in_flight = bytes;
        if let Some(job) = &self.job {
            job.look(|it| it.set_in_flight(bytes));
        }
    }

    /// The next bytes in order, never empty, as they came off the wire; `None` at the end. Taking
    /// them lets more be asked for.
    ///
    /// # Errors
    /// [`SftpError`]; all before it was transferred.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SftpError> {
        let job = self.job()?;
        let inner = Arc::clone(&self.sftp.inner);
        let next = poll_fn(|cx| {
            let polled = job.poll(cx, Reading::poll_chunk);
            if job.look(Reading::take_held_up) {
                inner.wake_driver();
            }
            polled
        });
        inner.in_time("READ", Patience::Request, next).await
    }

    fn job(&mut self) -> Result<Arc<Running<Reading>>, SftpError> {
        if let Some(job) = &self.job {
            return Ok(Arc::clone(job));
        }
        let plan = DownloadPlan {
            offset: self.offset,
            size_hint: self.size_hint,
            request_len: self.sftp.inner.lengths().read,
            max_in_flight_bytes: self.in_flight,
            order: Order::InFile,
        };
        let job = Arc::new(Running::new(Reading::new(plan), self.handle.clone()));
        self.sftp.inner.begin(Arc::clone(&job) as Arc<dyn Job>)?;
        Ok(Arc::clone(self.job.insert(job)))
    }

    /// Attributes of the open file, whatever its name means by now.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn stat(&self) -> Result<Attrs, SftpError> {
        self.sftp.inner.fstat(&self.handle).await
    }

    /// [`stat`](Self::stat), and reading begun from the first byte without waiting for the answer: requests for the
    /// file go behind it in the same flight, and a server takes those of one file in their order (draft -02 §6.1).
    /// [`start`](Self::start) may still say where it is to begin instead.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn stat_and_read(&mut self, size_hint: Option<u64>) -> Result<Attrs, SftpError> {
        let inner = Arc::clone(&self.sftp.inner);
        let handle = self.handle.clone();
        let mut stat = pin!(inner.fstat(&handle));
        // Asked now.
        let asked = poll_fn(|cx| Poll::Ready(stat.as_mut().poll(cx))).await;
        self.start(0, size_hint);
        self.job()?;
        match asked {
            Poll::Ready(attrs) => attrs,
            Poll::Pending => stat.await,
        }
    }

    /// Closes the file and waits for the answer.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn close(mut self) -> Result<(), SftpError> {
        self.end_job();
        self.closed = true;
        self.sftp.inner.close(&self.handle, Patience::Request).await
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    fn end_job(&mut self) {
        if let Some(job) = self.job.take() {
            self.sftp.inner.end_job(&(job as Arc<dyn Job>));
        }
    }
}

impl Drop for ReadFile {
    fn drop(&mut self) {
        self.end_job();
        if !self.closed {
            self.sftp.inner.close_unattended(&self.handle);
        }
    }
}

/// A file open for writing. Dropped, it is closed without waiting: whether what was written is
/// there, only [`close`](Self::close) tells.
pub struct WriteFile {
    sftp: Sftp,
    handle: Handle,
    in_flight: usize,
    job: Option<Arc<Running<Writing>>>,
    /// What jobs that are over have had acknowledged.
    acknowledged: u64,
    /// The further channels that it may go over.
    channels: Option<Channels>,
    closed: bool,
}

impl WriteFile {
    pub(super) const fn new(sftp: Sftp, handle: Handle) -> Self {
        Self {
            sftp,
            handle,
            in_flight: IN_FLIGHT,
            job: None,
            acknowledged: 0,
            channels: None,
            closed: false,
        }
    }

    /// Bytes that were sent and are not acknowledged, at most; 8 MiB unless told. May change
    /// at any time.
    pub fn set_in_flight(&mut self, bytes: usize) {
        if self.in_flight == bytes {
            return;
        }
        self.in_flight = bytes;
        if let Some(job) = &self.job {
            job.look(|it| it.set_in_flight(bytes));
        }
    }

    /// Lets it go over several channels of the connection, for which `path` is opened again, as soon as
    /// the window of the first holds it up. One that the server refuses is done without. To be told
    /// before the first write, and only of a file that nobody else opens or renames: what is written
    /// arrives out of order.
    pub fn spread(&mut self, path: &[u8], plan: Spread) {
        let channels = Channels::new(Bytes::copy_from_slice(path), plan);
        self.channels = channels.are_worth_while(&self.sftp).then_some(channels);
    }

    /// Writes `data`, of any size, at `offset`; usually where the write before ended. Returns as soon
    /// as there is room for more, not when it is acknowledged.
    ///
    /// # Errors
    /// [`SftpError`], of this or an earlier write; [`acknowledged`](Self::acknowledged) tells how far
    /// it went.
    pub async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), SftpError> {
        if self
            .job
            .as_ref()
            .is_some_and(|job| job.look(|it| it.next_offset()) != offset)
        {
            self.flush().await?;
            self.gather().await?;
            self.end_job();
        }
        let job = self.job(offset)?;
        let mut data = Some(data);
        let inner = Arc::clone(&self.sftp.inner);
        let (sftp, channels) = (&self.sftp, &mut self.channels);
        let push = poll_fn(|cx| {
            if let Some(channels) = channels.as_mut() {
                if job.look(Writing::take_held_up) {
                    channels.open(sftp, offset);
                }
                channels.poll_join(&job, cx);
            }
            let polled = job.poll(cx, |it| it.poll_push(&mut data));
            if matches!(polled, Poll::Ready(Ok(()))) {
                inner.wake_driver();
            }
            polled
        });
        inner.in_time("WRITE", Patience::Request, push).await
    }

    fn job(&mut self, offset: u64) -> Result<Arc<Running<Writing>>, SftpError> {
        if let Some(job) = &self.job {
            return Ok(Arc::clone(job));
        }
        let plan = UploadPlan {
            offset,
            write_len: self.sftp.inner.lengths().write,
            max_in_flight_bytes: self.in_flight,
        };
        let mut writing = Writing::new(plan);
        if self.channels.is_some() {
            writing.mind_window();
        }
        let job = Arc::new(Running::new(writing, self.handle.clone()));
        self.sftp.inner.begin(Arc::clone(&job) as Arc<dyn Job>)?;
        Ok(Arc::clone(self.job.insert(job)))
    }

    /// Waits until everything written is acknowledged.
    ///
    /// # Errors
    /// [`SftpError`] of the first write that failed.
    pub async fn flush(&mut self) -> Result<(), SftpError> {
        let Some(job) = self.job.clone() else {
            return Ok(());
        };
        let inner = Arc::clone(&self.sftp.inner);
        let flushed = poll_fn(|cx| job.poll(cx, Writing::poll_flushed));
        inner.in_time("WRITE", Patience::Request, flushed).await
    }

    /// The first byte that is not known to be written; 0 before the first write.
    pub fn acknowledged(&self) -> u64 {
        self.job
            .as_ref()
            .map_or(self.acknowledged, |job| job.look(|it| it.acknowledged()))
    }

    /// Attributes of the open file; what was written before is acknowledged first.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn stat(&mut self) -> Result<Attrs, SftpError> {
        self.flush().await?;
        self.sftp.inner.fstat(&self.handle).await
    }

    /// Sets attributes of the open file.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn set_stat(&mut self, attrs: Attrs) -> Result<(), SftpError> {
        self.flush().await?;
        self.sftp.inner.fset_stat(&self.handle, attrs).await
    }

    /// Lets the server put the file on its disk; `fsync@openssh.com`. What was written before is
    /// acknowledged first.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn fsync(&mut self) -> Result<(), SftpError> {
        self.flush().await?;
        self.gather().await?;
        self.sftp.inner.fsync(&self.handle).await
    }

    /// [`fsync`](Self::fsync) and [`stat`](Self::stat) in one round trip, each with its own outcome: what is
    /// looked at has been acknowledged already, and neither waits for the other.
    pub async fn fsync_and_stat(&mut self) -> (Result<(), SftpError>, Result<Attrs, SftpError>) {
        let ready = match self.flush().await {
            Ok(()) => self.gather().await,
            failed => failed,
        };
        if let Err(error) = ready {
            return (Err(error.clone()), Err(error));
        }
        let inner = &self.sftp.inner;
        both(inner.fsync(&self.handle), inner.fstat(&self.handle)).await
    }

    /// Closes the file and waits for the answer, which may report a write that failed late.
    ///
    /// # Errors
    /// [`SftpError`], of an earlier write too.
    pub async fn close(mut self) -> Result<(), SftpError> {
        self.flush().await?;
        self.gather().await?;
        self.end_job();
        self.closed = true;
        self.sftp.inner.close(&self.handle, Patience::Durable).await
    }

    /// Closes all handles but the first, everything being acknowledged.
    async fn gather(&mut self) -> Result<(), SftpError> {
        match self.channels.take() {
            Some(channels) => channels.close().await,
            None => Ok(()),
        }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    fn end_job(&mut self) {
        if let Some(job) = self.job.take() {
            self.acknowledged = job.look(|it| it.acknowledged());
            self.sftp.inner.end_job(&(job as Arc<dyn Job>));
        }
    }
}

/// Polls two futures until both are done.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

impl Drop for WriteFile {
    fn drop(&mut self) {
        self.end_job();
        if !self.closed {
            self.sftp.inner.close_unattended(&self.handle);
        }
    }
}

impl fmt::Debug for ReadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadFile")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WriteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteFile")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
