//! How far away a server is, and how large a receive window that asks for.
//!
//! Not the window itself, which is the channel's, and not what may be asked for, which the transfers
//! bound by bytes: a server sends nothing that it was not asked for.

use std::time::{Duration, Instant};

/// What a window begins with and never falls below; [`Limits::window`](sansftp_proto::limits::Limits::window).
const LEAST: u32 = 2 << 20;

/// The same far away, as soon as that is known: a file's first megabytes come without waiting for it to grow.
const LEAST_FAR: u32 = 8 << 20;

/// A server is far whose quickest answer takes so long: 2 MiB in each of it are 400 MB/s.
const FAR: Duration = Duration::from_millis(5);

/// What a window grows to at most: 320 MB/s at 100 ms.
const MOST: u32 = 32 << 20;

/// What a session knows of its way to the server.
#[derive(Debug)]
pub(super) struct Pace {
    /// The quickest answer to a single request, which carried no file's data.
    round_trip: Option<Duration>,
    /// Bytes that came since then.
    arrived: u64,
    since: Option<Instant>,
    window: u32,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            round_trip: None,
            arrived: 0,
            since: None,
            window: LEAST,
        }
    }

    fn least(&self) -> u32 {
        match self.round_trip {
            Some(it) if it >= FAR => LEAST_FAR,
            _ => LEAST,
        }
    }

    /// A single request was answered after so long.
    pub(super) fn answered_after(&mut self, time: Duration) {
        let quickest = self.round_trip.map_or(time, |it| it.min(time));
        self.round_trip = Some(quickest);
    }

    /// The time that an answer takes at least, once there was one.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How much of files is worth having under way, in bytes: three quarters of the receive window, the last of
    /// which is on its way back. Nearby a little more than the window, so that the server never waits for a request.
    pub(super) const fn worth(&self) -> usize {
        let window = self.window as usize;
        if self.window == LEAST {
            return window + window / 2;
        }
        window - window / 4
    }

    /// Takes note of what came, and says which window is to be aimed at, where it is another one.
    ///
    /// It is three times what comes in a round trip. While the window, or what is asked for by it, is what holds the
    /// server up, that more than doubles it each time; once something else does, it stays.
    pub(super) fn arrived(&mut self, bytes: usize, now: Instant) -> Option<u32> {
        let round_trip = self.round_trip.filter(|it| !it.is_zero())?;
        let least = self.least();
        let since = *self.since.get_or_insert(now);
        self.arrived = self.arrived.saturating_add(bytes as u64);
        let elapsed = now.saturating_duration_since(since);
        if self.window < least {
            self.window = least;
            return Some(least);
        }
        if elapsed < round_trip {
            return None;
        }
        // What comes in gusts, one in each round trip, may take up to two to be seen as one.
        let over = elapsed.saturating_sub(round_trip).max(round_trip);
        let arrived = std::mem::take(&mut self.arrived);
        self.since = Some(now);
        let share = u128::from(arrived)
            .saturating_mul(round_trip.as_nanos())
            .checked_div(over.as_nanos())?;
        let wanted = u32::try_from(share.saturating_mul(3))
            .unwrap_or(MOST)
            .clamp(least, MOST);
        let window = match wanted {
            more if more > self.window => more,
            // It shrinks by halves, and only where far less is enough: what comes, comes in gusts.
            less if less <= self.window / 4 || less == least && self.window > least => {
                (self.window / 2).max(least)
            }
            _ => return None,
        };
        self.window = window;
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: Duration = Duration::from_millis(50);

    /// What the window is after so many round trips of a server that sends all that it is asked for, and no
    /// more than `most` in each.
    fn after(pace: &mut Pace, start: Instant, rounds: u32, round_trip: Duration, most: u32) -> u32 {
        for round in 0..=rounds {
            let bytes = pace.worth().min(most as usize);
            let bytes = if round == 0 { 0 } else { bytes };
            let _ = pace.arrived(bytes, start + round_trip * round);
        }
        pace.window
    }

    fn far_away() -> Pace {
        let mut pace = Pace::new();
        pace.answered_after(AWAY * 3);
        pace.answered_after(AWAY);
        pace.answered_after(AWAY * 2);
        pace
    }

    #[test]
    fn the_window_grows_with_each_round_trip_while_it_holds_the_server_up() {
        let start = Instant::now();
        let windows = [0, 1, 2, 9].map(|rounds| {
            let mut pace = far_away();
            after(&mut pace, start, rounds, AWAY, u32::MAX) >> 20
        });
        assert_eq!(windows, [8, 18, 32, 32]);
    }

    #[test]
    fn it_grows_also_where_gusts_come_a_little_sooner_than_the_quickest_answer() {
        let mut pace = far_away();
        let start = Instant::now();
        let sooner = AWAY - Duration::from_millis(1);
        // Each look sees two.
        assert_eq!(after(&mut pace, start, 4, sooner, u32::MAX), MOST);
    }

    #[test]
    fn the_window_is_three_times_what_comes_in_a_round_trip_and_no_more() {
        let mut pace = far_away();
        let window = after(&mut pace, Instant::now(), 20, AWAY, 5 << 20);
        assert_eq!(window, 15 << 20);
    }

    #[test]
    fn a_server_nearby_needs_no_larger_window_however_much_it_sends() {
        let mut pace = Pace::new();
        pace.answered_after(Duration::from_micros(200));
        let window = after(
            &mut pace,
            Instant::now(),
            50,
            Duration::from_millis(1),
            2 << 20,
        );
        assert_eq!(window, LEAST);
    }

    #[test]
    fn a_window_that_is_not_used_shrinks_by_halves_to_what_it_began_with() {
        let mut pace = far_away();
        let start = Instant::now();
        assert_eq!(after(&mut pace, start, 9, AWAY, u32::MAX), MOST);
        let later = start + AWAY * 9;
        assert_eq!(after(&mut pace, later, 1, AWAY, 1 << 20), MOST / 2);
        assert_eq!(
            after(&mut pace, later + AWAY * 2, 9, AWAY, 1 << 10),
            LEAST_FAR
        );
    }

    #[test]
    fn without_an_answer_nothing_is_known_of_the_way() {
        let mut pace = Pace::new();
        let window = after(&mut pace, Instant::now(), 9, AWAY, u32::MAX);
        assert_eq!(window, LEAST);
    }
}
