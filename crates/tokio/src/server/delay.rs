//! When a failed attempt is answered: at times that do not tell how long its judgement took.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The shortest time that an answer takes.
const LEAST: Duration = Duration::from_millis(5);
/// What is added for a name, at most.
const SPREAD: u64 = 4_000_000;

/// When to answer an attempt that came at `arrived` and is judged at `now`: at the name's own time
/// after it came, or at twice, four times, eight times that, whichever is the first to come. Whoever
/// measures learns a step of that ladder, the same for known and unknown names, and not the moment.
///
/// A name's time lies between 5 and 9 ms, drawn from a secret of this process: always the same for a
/// name, so that asking often averages nothing out.
pub(super) fn due(user: &str, arrived: Instant, now: Instant) -> Instant {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    let hash = SECRET.get_or_init(RandomState::new).hash_one(user);
    let mut wait = LEAST + Duration::from_nanos(hash % SPREAD);
    let judged = now.saturating_duration_since(arrived);
    while wait < judged {
        wait *= 2;
    }
    arrived + wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_on_a_ladder_of_the_names_own() {
        let arrived = Instant::now();
        let wait = |user: &str, judged| {
            due(user, arrived, arrived + Duration::from_micros(judged)) - arrived
        };
        for user in ["root", "nobody", ""] {
            let step = wait(user, 0);
            assert!(
                step >= LEAST && step < LEAST + Duration::from_millis(4),
                "{step:?}"
            );
            assert_eq!(wait(user, 0), step, "always the same for a name");
            assert_eq!(wait(user, 4_999), step, "however long it took");
            assert_eq!(wait(user, 9_500) / 2, step);
            // Whenever it is judged between two rungs, the answer leaves at the next one. Where the rungs
            // are is drawn anew for each process, so these times follow them.
            let rung = u64::try_from(step.as_micros() * 8).unwrap();
            assert_eq!(wait(user, rung + 8), step * 16);
            assert_eq!(wait(user, rung * 2), step * 16);
            assert!(wait(user, 100_000) >= Duration::from_millis(100));
        }
        let many: Vec<Duration> = (0..16).map(|it| wait(&format!("user{it}"), 0)).collect();
        assert!(many.iter().any(|it| *it != many[0]), "names differ");
    }
}
