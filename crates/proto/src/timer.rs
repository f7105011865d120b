//! The timers of a connection: which there are, when each is due. No clock is read here.

use std::time::Instant;

/// What a connection may be waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Everything up to the end of authentication.
    Login,
    /// A re-exchange under way.
    Exchange,
    /// The age of the keys.
    Rekey,
    /// A sign of life from the peer.
    KeepAlive,
}

/// When each timer is due, if it runs.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; 4]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0.get(timer as usize).is_some_and(Option::is_some)
    }

    /// Takes a timer that is due at `now`.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        [
            Timer::Login,
            Timer::Exchange,
            Timer::Rekey,
            Timer::KeepAlive,
        ]
        .into_iter()
        .find(|&timer| {
            self.0
                .get_mut(timer as usize)
                .is_some_and(|slot| slot.take_if(|at| *at <= now).is_some())
        })
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
