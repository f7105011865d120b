//! How far away a server is, and how large a receive window that asks for.
//!
//! Not the window itself, which is the channel's, and not what may be asked for, which the transfers
//! bound by bytes: a server sends nothing that it was not asked for.

use std::time::{Duration, Instant};

/// What a window begins with and never falls below; [`Limits::window`](sansftp_proto::limits::Limits::window).
const LEAST: u32 = 2 << 20;

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

    /// A single request was answered after so long.
    pub(super) fn answered_after(&mut self, time: Duration) {
        let quickest = self.round_trip.map_or(time, |it| it.min(time));
        self.round_trip = Some(quickest);
    }

    /// The time that an answer takes at least, once there was one.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The receive window that is aimed at, in bytes.
    pub(super) const fn window(&self) -> usize {
        self.window as usize
    }

    /// Takes note of what came, and says which window is to be aimed at, where it is another one.
    ///
    /// It is twice what comes in a round trip. While the window is what holds the server up, that
    /// doubles it each time; once something else does, it stays.
    pub(super) fn arrived(&mut self, bytes: usize, now: Instant) -> Option<u32> {
        let round_trip = self.round_trip.filter(|it| !it.is_zero())?;
        let since = *self.since.get_or_insert(now);
        self.arrived = self.arrived.saturating_add(bytes as u64);
        let elapsed = now.saturating_duration_since(since);
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
        let wanted = u32::try_from(share.saturating_mul(2))
            .unwrap_or(MOST)
            .clamp(LEAST, MOST);
        let window = match wanted {
            more if more > self.window => more,
            // It shrinks by halves, and only where far less is enough: what comes, comes in gusts.
            less if less <= self.window / 4 || less == LEAST && self.window > LEAST => {
                (self.window / 2).max(LEAST)
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

    const FAR: Duration = Duration::from_millis(50);

    /// What the window is after so many round trips of a server that sends all that it is let, and no
    /// more than `most` in each.
    fn after(pace: &mut Pace, start: Instant, rounds: u32, round_trip: Duration, most: u32) -> u32 {
        for round in 0..=rounds {
            let bytes = pace.window.min(most) as usize;
            let bytes = if round == 0 { 0 } else { bytes };
            let _ = pace.arrived(bytes, start + round_trip * round);
        }
        pace.window
    }

    fn far_away() -> Pace {
        let mut pace = Pace::new();
        pace.answered_after(FAR * 3);
        pace.answered_after(FAR);
        pace.answered_after(FAR * 2);
        pace
    }

    #[test]
    fn the_window_doubles_with_each_round_trip_while_it_holds_the_server_up() {
        let start = Instant::now();
        let windows = [1, 2, 3, 4, 9].map(|rounds| {
            let mut pace = far_away();
            after(&mut pace, start, rounds, FAR, u32::MAX) >> 20
        });
        assert_eq!(windows, [4, 8, 16, 32, 32]);
    }

    #[test]
    fn it_doubles_also_where_gusts_come_a_little_sooner_than_the_quickest_answer() {
        let mut pace = far_away();
        let start = Instant::now();
        let sooner = FAR - Duration::from_millis(1);
        // Each look sees two.
        assert_eq!(after(&mut pace, start, 4, sooner, u32::MAX), MOST);
    }

    #[test]
    fn the_window_is_twice_what_comes_in_a_round_trip_and_no_more() {
        let mut pace = far_away();
        let window = after(&mut pace, Instant::now(), 20, FAR, 5 << 20);
        assert_eq!(window, 10 << 20);
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
            4 << 20,
        );
        assert_eq!(window, LEAST);
    }

    #[test]
    fn a_window_that_is_not_used_shrinks_by_halves_to_what_it_began_with() {
        let mut pace = far_away();
        let start = Instant::now();
        assert_eq!(after(&mut pace, start, 9, FAR, u32::MAX), MOST);
        let later = start + FAR * 9;
        assert_eq!(after(&mut pace, later, 1, FAR, 1 << 20), MOST / 2);
        assert_eq!(after(&mut pace, later + FAR * 2, 9, FAR, 1 << 10), LEAST);
    }

    #[test]
    fn without_an_answer_nothing_is_known_of_the_way() {
        let mut pace = Pace::new();
        let window = after(&mut pace, Instant::now(), 9, FAR, u32::MAX);
        assert_eq!(window, LEAST);
    }
}
