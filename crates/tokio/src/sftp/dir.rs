//! An open directory: its names in batches, with many requests under way.

use super::client::{Patience, Sftp};
use super::error::SftpError;
use super::job::{Job, Names, Running};
use sansftp_proto::sftp::Handle;
use sansftp_proto::sftp::transfer::Listed;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

/// Requests under way at most: 10,000 names take three round trips.
const DEPTH: usize = 64;

/// A directory being listed. Dropped, it is closed without waiting.
pub struct ReadDir {
    sftp: Sftp,
    handle: Handle,
    job: Option<Arc<Running<Names>>>,
}

impl ReadDir {
    pub(super) const fn new(sftp: Sftp, handle: Handle) -> Self {
        Self {
            sftp,
            handle,
            job: None,
        }
    }

    /// The next names in the server's order, never none, `.` and `..` left out; `None` at the end.
    /// Taking them lets more be asked for.
    ///
    /// # Errors
    /// [`SftpError`]
    pub async fn batch(&mut self) -> Result<Option<Vec<Listed>>, SftpError> {
        let job = match &self.job {
            Some(job) => Arc::clone(job),
            None => {
                let job = Arc::new(Running::new(Names::new(DEPTH), self.handle.clone()));
                self.sftp.inner.begin(Arc::clone(&job) as Arc<dyn Job>)?;
                Arc::clone(self.job.insert(job))
            }
        };
        let inner = Arc::clone(&self.sftp.inner);
        let next = poll_fn(|cx| {
            let polled = job.poll(cx, Names::poll_batch);
            if polled.is_ready() {
                inner.wake_driver();
            }
            polled
        });
        inner.in_time("READDIR", Patience::Request, next).await
    }
}

impl Drop for ReadDir {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.sftp.inner.end_job(&(job as Arc<dyn Job>));
        }
        self.sftp.inner.close_unattended(&self.handle);
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
