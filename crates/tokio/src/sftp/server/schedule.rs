//! In which order a session's requests are processed: what must wait for what. No threads here.
//!
//! Requests on one open file are one lane, those on one open directory another, and lanes run beside
//! each other. Requests on paths are a lane that runs alone: a path may lead to any file, and two
//! handles may be the same file only as far as the file system can tell. Within a lane one request
//! is at work at a time, in the order in which they came.

use super::FileId;
use std::collections::{HashMap, VecDeque};

/// What requests must not overtake each other in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Requests on paths, and copies between files: all earlier ones are done before, and no later
    /// one begins.
    Paths,
    /// Requests on a file, by whichever handle.
    File(FileId),
    /// Requests on the directory handle of this number.
    Directory(u64),
}

/// Requests that wait, and the lanes that they are to be processed in.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    /// Those that may not begin yet, and all behind them.
    arrivals: VecDeque<(Lane, T)>,
    /// A lane is here while something waits or is at work in it.
    lanes: HashMap<Lane, VecDeque<T>>,
    /// Lanes in which something waits and nothing is at work.
    ready: VecDeque<Lane>,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            arrivals: VecDeque::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
        }
    }
}

impl<T> Schedule<T> {
    /// One more, behind all others.
    pub(super) fn push(&mut self, lane: Lane, task: T) {
        self.arrivals.push_back((lane, task));
        self.admit();
    }

    /// The next one to be processed; [`done`](Self::done) is to be called when it is.
    pub(super) fn take(&mut self) -> Option<(Lane, T)> {
        let lane = self.ready.pop_front()?;
        let waiting = self.lanes.get_mut(&lane);
        let task = waiting
            .and_then(VecDeque::pop_front)
            .expect("something waits in a lane that is ready");
        Some((lane, task))
    }

    /// What was taken from this lane is done.
    pub(super) fn done(&mut self, lane: Lane) {
        // Nothing is left of the lane where everything was cleared meanwhile.
        let Some(waiting) = self.lanes.get(&lane) else {
            return;
        };
        if waiting.is_empty() {
            self.lanes.remove(&lane);
            self.admit();
        } else {
            self.ready.push_back(lane);
        }
    }

    /// How many could be taken and processed at once.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes out everything that has not begun.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let lanes = std::mem::take(&mut self.lanes);
        self.ready.clear();
        let arrivals = self.arrivals.drain(..).map(|(_, task)| task);
        lanes.into_values().flatten().chain(arrivals).collect()
    }

    /// Lets into their lanes those that need not wait any more.
    fn admit(&mut self) {
        while let Some((lane, _)) = self.arrivals.front() {
            let alone = self.lanes.contains_key(&Lane::Paths);
            let may = match lane {
                Lane::Paths => alone || self.lanes.is_empty(),
                _ => !alone,
            };
            if !may {
                return;
            }
            let Some((lane, task)) = self.arrivals.pop_front() else {
                return;
            };
            if let Some(waiting) = self.lanes.get_mut(&lane) {
                waiting.push_back(task);
            } else {
                self.lanes.insert(lane, VecDeque::from([task]));
                self.ready.push_back(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn file(inode: u64) -> Lane {
        Lane::File(FileId { device: 1, inode })
    }

    fn scheduled(lanes: &[Lane]) -> Schedule<usize> {
        let mut schedule = Schedule::default();
        for (number, lane) in lanes.iter().enumerate() {
            schedule.push(*lane, number);
        }
        schedule
    }

    #[test]
    fn files_overlap_and_one_file_does_not() {
        let mut schedule = scheduled(&[file(1), file(1), file(2)]);
        assert_eq!(schedule.take(), Some((file(1), 0)));
        assert_eq!(schedule.take(), Some((file(2), 2)));
        assert_eq!(schedule.take(), None);
        schedule.done(file(1));
        assert_eq!(schedule.take(), Some((file(1), 1)));
    }

    #[test]
    fn a_path_waits_for_all_before_it_and_all_behind_it_wait() {
        let lanes = [file(1), file(2), Lane::Paths, Lane::Paths, file(1), file(3)];
        let mut schedule = scheduled(&lanes);
        assert_eq!(schedule.take(), Some((file(1), 0)));
        assert_eq!(schedule.take(), Some((file(2), 1)));
        schedule.done(file(1));
        assert_eq!(schedule.take(), None, "file 2 is at work");
        schedule.done(file(2));
        assert_eq!(schedule.take(), Some((Lane::Paths, 2)));
        assert_eq!(schedule.take(), None);
        schedule.done(Lane::Paths);
        assert_eq!(schedule.take(), Some((Lane::Paths, 3)));
        schedule.done(Lane::Paths);
        assert_eq!(schedule.ready(), 2);
    }

    #[test]
    fn what_was_cleared_is_not_missed() {
        let mut schedule = scheduled(&[file(1), file(1), Lane::Paths]);
        assert_eq!(schedule.take(), Some((file(1), 0)));
        assert_eq!(schedule.clear(), [1, 2]);
        schedule.done(file(1));
        assert_eq!(schedule.take(), None);
    }

    fn lane() -> impl Strategy<Value = Lane> {
        prop_oneof![
            Just(Lane::Paths),
            (0..3_u64).prop_map(file),
            (0..2_u64).prop_map(Lane::Directory),
        ]
    }

    proptest! {
        /// Whatever ends first: none begins before one that it must not overtake is done, nobody is
        /// forgotten, and nobody waits for nothing.
        #[test]
        fn nothing_is_overtaken_and_nothing_is_forgotten(
            lanes in prop::collection::vec(lane(), 0..40),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let mut schedule = scheduled(&lanes);
            let mut ends = ends.iter();
            let (mut working, mut done) = (Vec::new(), vec![false; lanes.len()]);
            loop {
                while let Some((lane, number)) = schedule.take() {
                    for earlier in 0..number {
                        let apart = lanes[earlier] != lane
                            && lanes[earlier] != Lane::Paths
                            && lane != Lane::Paths;
                        prop_assert!(done[earlier] || apart, "{} before {}", number, earlier);
                    }
                    working.push((lane, number));
                }
                if working.is_empty() {
                    break;
                }
                let end = ends.next().expect("one for each").index(working.len());
                let (lane, number) = working.swap_remove(end);
                done[number] = true;
                schedule.done(lane);
            }
            prop_assert!(done.iter().all(|it| *it));
        }
    }
}
