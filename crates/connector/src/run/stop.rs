//! Stopping a step from outside: on request, or when its time is up.
//!
//! Not a way to end a session: what is stopped cleans up behind itself and closes as usual.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::{Class, Error, Result};
use crate::units::show_duration;

/// Stops a step: the file in hand is given up and cleaned up behind, the session is closed. Clones
/// stop the same step.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Sender<bool>);

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Cancel {
    /// Stops it. Again is no different.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is to stop, for ever if need be.
    pub(super) async fn cancelled(&self) {
        // The sender is this value's own, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }
}

/// What a step looks at to know that it is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    cancelled: watch::Receiver<bool>,
    deadline: Option<(Instant, Duration)>,
}

impl Stop {
    pub(crate) fn new(cancel: &Cancel, connection: &Connection) -> Self {
        Self {
            cancelled: cancel.0.subscribe(),
            deadline: connection
                .operation_timeout
                .and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout))),
        }
    }

    /// Why it is to stop, if it is.
    pub(crate) fn check(&self) -> Result<()> {
        if *self.cancelled.borrow() {
            return Err(cancelled());
        }
        match self.deadline {
            Some((deadline, timeout)) if Instant::now() >= deadline => Err(timed_out(timeout)),
            _ => Ok(()),
        }
    }

    /// Waits until it is to stop, for ever if need be, and says why.
    pub(crate) async fn stopped(&self) -> Error {
        let mut receiver = self.cancelled.clone();
        let cancel = async {
            // The sender lives as long as the connector; without one nobody can cancel.
            if receiver.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some((deadline, timeout)) = self.deadline else {
            cancel.await;
            return cancelled();
        };
        match select(pin!(cancel), pin!(tokio::time::sleep_until(deadline))).await {
            Either::Left(_) => cancelled(),
            Either::Right(_) => timed_out(timeout),
        }
    }

    /// Does this unless it is stopped first.
    pub(crate) async fn unless<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match select(pin!(work), pin!(self.stopped())).await {
            Either::Left((done, _)) => done,
            Either::Right((why, _)) => Err(why),
        }
    }
}

fn cancelled() -> Error {
    Error::new(Class::Cancelled, "stopped on request")
}

fn timed_out(timeout: Duration) -> Error {
    Error::new(
        Class::Timeout,
        format!(
            "the step took longer than its operation-timeout of {}",
            show_duration(timeout)
        ),
    )
    .with_hint("raise operation-timeout, or take fewer files at once with max-files")
}
