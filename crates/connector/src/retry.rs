//! When something is tried again: how often, and after which wait.
//!
//! Not whether it may be: an error says whether trying again can help, and what is repeated was
//! provably not done or was looked at first.

use std::time::Duration;

use crate::connection::Connection;

/// The tries that are left, and the wait before the next.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    left: u32,
    next: Duration,
    longest: Duration,
}

impl Retries {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            left: connection.retries,
            next: connection.retry_delay.first,
            longest: connection.retry_delay.longest,
        }
    }

    /// The wait before the next try; `None` when there is none. Doubles up to the longest; the
    /// wait itself lies between half of that and all of it, so that many who were cut off at once
    /// do not come back at once.
    pub(crate) fn next_wait(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let wait = self.next.min(self.longest);
        self.next = wait.saturating_mul(2).min(self.longest);
        Some(scattered(wait))
    }
}

/// A wait between half of this one and all of it.
pub(crate) fn scattered(wait: Duration) -> Duration {
    jittered(wait, random())
}

fn jittered(wait: Duration, random: u32) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

fn random() -> u32 {
    // The low half of a random UUID has no fixed bits in its last four bytes.
    uuid::Uuid::new_v4().as_u128() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::RetryDelay;

    #[test]
    fn waits_double_to_the_longest_and_end() {
        let mut retries = Retries::new(&Connection {
            retries: 4,
            retry_delay: RetryDelay {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(3),
            },
            ..Connection::default()
        });
        for expected in [1, 2, 3, 3] {
            let wait = retries.next_wait().unwrap();
            let expected = Duration::from_secs(expected);
            assert!(wait >= expected / 2 && wait <= expected, "{wait:?}");
        }
        assert_eq!(retries.next_wait(), None);
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        let wait = Duration::from_secs(10);
        assert_eq!(jittered(wait, 0), wait / 2);
        assert_eq!(jittered(wait, u32::MAX), wait);
    }
}
