//! One upload over several channels of a connection, for servers whose window per channel is what
//! holds it up (RFC 4254 §5.2).
//!
//! There is one plan, and each channel takes its next write from it as long as its window lasts: what
//! is acknowledged without a gap is so over all of them. Not the deciding for which files that is
//! safe: that is the caller's.

use super::client::{Patience, Sftp};
use super::error::SftpError;
use super::job::{Job, Running, Writing};
use bytes::Bytes;
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::sftp::transfer::WriteAt;
use sansftp_proto::sftp::{
    Blocked, Client, Completion, Handle, OpenFlags, Pending, RequestId, kind,
};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;

/// Bytes for which a channel more is worth opening: what OpenSSH's window is.
const WORTH: u64 = 2 << 20;

/// How an upload may be spread.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain description, any of which is valid"
)]
pub struct Spread {
    /// Channels at most, the first included.
    pub channels: NonZeroUsize,
    /// The round trip from which it is worth while: nearer, a window is seldom what holds up.
    pub farther_than: Duration,
    /// Where the file is thought to end, in bytes from its beginning. Only the number of channels
    /// follows it.
    pub size_hint: Option<u64>,
}

/// The further channels of an upload.
pub(super) struct Channels {
    path: Bytes,
    plan: Spread,
    /// Those that are being opened; one that is refused is no loss.
    opening: JoinSet<Option<Opened>>,
    open: Vec<(Opened, Arc<dyn Job>)>,
}

/// The file, opened by another session.
struct Opened {
    sftp: Sftp,
    handle: Handle,
}

impl Channels {
    pub(super) fn new(path: Bytes, plan: Spread) -> Self {
        Self {
            path,
            plan,
            opening: JoinSet::new(),
            open: Vec::new(),
        }
    }

    /// Whether windows are to be looked at.
    pub(super) fn are_worth_while(&self, first: &Sftp) -> bool {
        let far = || first.inner.round_trip() >= Some(self.plan.farther_than);
        self.plan.channels.get() > 1 && (self.plan.farther_than.is_zero() || far())
    }

    /// Opens as many as what is left is worth, in the background.
    pub(super) fn open(&mut self, first: &Sftp, offset: u64) {
        let left = self
            .plan
            .size_hint
            .map_or(u64::MAX, |size| size.saturating_sub(offset));
        let most = self.plan.channels.get() - 1;
        let worth = usize::try_from(left / WORTH).unwrap_or(usize::MAX);
        for _ in 0..most.min(worth) {
            let (first, path) = (first.clone(), self.path.clone());
            self.opening.spawn(async move {
                let sftp = first.sibling().await.ok()?;
                let handle = sftp.open(&path, OpenFlags::WRITE).await.ok()?;
                Some(Opened { sftp, handle })
            });
        }
    }

    /// Lets those take part that are open by now.
    pub(super) fn poll_join(&mut self, whole: &Arc<Running<Writing>>, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(opened)) = self.opening.poll_join_next(cx) {
            if let Ok(Some(opened)) = opened {
                self.join(opened, whole);
            }
        }
    }

    fn join(&mut self, opened: Opened, whole: &Arc<Running<Writing>>) {
        let part: Arc<dyn Job> = Arc::new(Part {
            whole: Arc::clone(whole),
            handle: opened.handle.clone(),
            under_way: Mutex::default(),
        });
        // One whose session has ended already is as good as refused.
        if opened.sftp.inner.begin(Arc::clone(&part)).is_ok() {
            opened.sftp.inner.wake_driver();
            self.open.push((opened, part));
        }
    }

    /// Closes the further handles, all writes being acknowledged, and waits for the answers.
    pub(super) async fn close(mut self) -> Result<(), SftpError> {
        let mut closing = JoinSet::new();
        for (opened, part) in self.open.drain(..) {
            opened.sftp.inner.end_job(&part);
            closing.spawn(opened.close());
        }
        // A handle that is opened late is closed too: some servers rename no file that is open.
        while let Some(opened) = self.opening.join_next().await {
            if let Ok(Some(opened)) = opened {
                closing.spawn(opened.close());
            }
        }
        while let Some(closed) = closing.join_next().await {
            closed.unwrap_or(Err(SftpError::Ended(Protocol::Unreachable(
                "closing a handle did not come to an end",
            ))))?;
        }
        Ok(())
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        for (opened, part) in self.open.drain(..) {
            opened.sftp.inner.end_job(&part);
        }
    }
}

impl Opened {
    async fn close(self) -> Result<(), SftpError> {
        self.sftp.inner.close(&self.handle, Patience::Durable).await
    }
}

/// What one of the further channels does of an upload.
struct Part {
    whole: Arc<Running<Writing>>,
    handle: Handle,
    /// Locked alone, never while the whole is.
    under_way: Mutex<Vec<(Pending<kind::Status>, WriteAt)>>,
}

impl Part {
    fn under_way(&self) -> MutexGuard<'_, Vec<(Pending<kind::Status>, WriteAt)>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job for Part {
    fn next(&self, machine: &mut Client) -> Result<Option<RequestId>, Blocked> {
        let Some((pending, write)) = self.whole.next_by(machine, &self.handle)? else {
            return Ok(None);
        };
        let id = pending.id();
        self.under_way().push((pending, write));
        Ok(Some(id))
    }

    fn complete(&self, done: Completion) {
        let found = {
            let mut under_way = self.under_way();
            let at = under_way.iter().position(|(it, _)| it.id() == done.id());
            at.map(|at| under_way.remove(at))
        };
        if let Some((pending, write)) = found {
            self.whole.answered(pending, write, done);
        }
    }

    /// What was under way is not known to be written. A channel that had nothing under way is no loss.
    fn fail(&self, error: SftpError) {
        if !std::mem::take(&mut *self.under_way()).is_empty() {
            self.whole.fail(error);
        }
    }

    fn abandon(&self, machine: &mut Client) {
        for (pending, _) in self.under_way().drain(..) {
            machine.abandon(pending.id());
        }
    }

    fn is_over(&self) -> bool {
        self.under_way().is_empty() && self.whole.is_over()
    }

    fn minds_window(&self) -> bool {
        true
    }
}
