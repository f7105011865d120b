//! How long a request may take (not how long its answer is: as long as anything moves, nothing is late).
//!
//! A server answers the requests of a session one after the other. What is asked behind something that may
//! take it long, such as forcing a file to its disk, waits as long as that may take.

use super::client::Inner;
use super::error::SftpError;
use crate::deadline::now;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// Which deadline a request has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// What a server answers at once.
    Request,
    /// What may take it long.
    Durable,
}

/// How many requests that may take long are under way on a session.
#[derive(Debug, Default)]
pub(super) struct Durable(AtomicUsize);

/// One of them.
struct UnderWay<'a>(&'a Durable);

impl Durable {
    fn begin(&self) -> UnderWay<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// Awaits `work` as long as anything at all makes progress on the connection.
    pub(super) async fn in_time<T>(
        &self,
        request: &'static str,
        patience: Patience,
        work: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<T, SftpError> {
        let limit = match patience {
            Patience::Request => self.deadlines.request,
            Patience::Durable => self.deadlines.durable,
        };
        let _under_way = (patience == Patience::Durable).then(|| self.durable.begin());
        let mut work = pin!(work);
        let mut begun = None;
        let mut sleep: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            let begun = *begun.get_or_insert_with(now);
            if self.poll_overdue(begun, limit, &mut sleep, cx) {
                return Poll::Ready(Err(self.give_up(request, limit)));
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nothing has moved for `limit`; if not, wakes when that could be so.
    fn poll_overdue(
        &self,
        begun: Instant,
        limit: Duration,
        sleep: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> bool {
        loop {
            // The timer is armed once; it is moved on only when it fires, because nearly all answers
            // come long before.
            let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            let allowed = match self.durable.is_under_way() {
                true => limit.max(self.deadlines.durable),
                false => limit,
            };
            let moved = self.shared.lock().progress.max(begun);
            let (Some(due), Some(soon)) = (moved.checked_add(allowed), now().checked_add(limit))
            else {
                return false;
            };
            if due <= now() {
                return true;
            }
            // What it waits behind may end before, and is no excuse then.
            sleep.as_mut().reset(due.min(soon).into());
        }
    }

    /// A session that does not answer is of no further use: whether the request took effect is not
    /// known, and neither would it be of the next. Whoever else waits for an answer is told the same.
    fn give_up(&self, request: &'static str, limit: Duration) -> SftpError {
        let error = SftpError::TimedOut {
            request,
            seconds: limit.as_secs(),
        };
        self.shared.with(|state| {
            state.machines.give_up(&error);
            state.conn.disconnect();
        });
        error
    }
}
