//! What a listener knows of a directory, and how a new listing differs from it: a pure decision.
//!
//! ```text
//!                     listed for the first time, or another size or time
//!        (unknown) ───────────────────────────────────────────▶ Looked at, and when
//!                                                                  │ the same after stable-for, and
//!                                                                  ▼ neither too young nor not done
//!     deleted ◀── not listed any more ── Known: due ──▶ done    Settled: added, modified
//!                                          ▲                       │ told
//!                                          └───────────────────────┘
//! ```
//! A difference, not a watermark: clocks of the server decide nothing, and a file that is moved in
//! with an old time is new all the same. Not the listing, not the fetching, and not the journal
//! that keeps this over a restart. `now` is a parameter.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::SkipReason;
use crate::remote::Attrs;

/// A name below the directory that is listened to, its own directories before it: `sub/a.csv`.
/// A copy of its own: what a listing yields may share memory with a whole answer.
pub(crate) type Relative = Box<[u8]>;

/// What tells one content of a name from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<i64>,
}

impl From<&Attrs> for Version {
    fn from(attrs: &Attrs) -> Self {
        Self {
            size: attrs.size,
            modified: attrs.modified,
        }
    }
}

/// A file that was told of, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) path: Relative,
    pub(crate) version: Version,
    pub(crate) handling: Handling,
}

/// Whether a version that was told of is still to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// It is.
    Due,
    /// It was taken, or is none of those that are.
    Done,
}

/// How an entry of a listing stands before anyone asks what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is one of those that are looked for.
    Ready,
    /// It will be one: too young, or its done-file is not there.
    Waiting(SkipReason),
}

/// What a look at one entry comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing new.
    Known,
    /// Nothing new, but still to be taken.
    Due,
    /// New, and to be told: see [`Known::told`].
    Added,
    /// Not what it was, and to be told.
    Modified(Version),
    /// Not yet.
    Waiting(SkipReason),
}

/// The files of one directory as they were told of, and those that are being watched.
#[derive(Debug, Default)]
pub(crate) struct Known {
    files: HashMap<Relative, File>,
    candidates: HashMap<Relative, Candidate>,
    round: Round,
    bytes: u64,
}

/// The number of a listing. It only has to differ from that of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round(u32);

#[derive(Debug)]
struct File {
    version: Version,
    seen: Round,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It failed so often, and is not tried before then.
    Due {
        failures: u32,
        not_before: Option<Instant>,
    },
    Done,
}

/// A version that has not yet kept for long enough.
#[derive(Debug)]
struct Candidate {
    version: Version,
    /// When the first listing that had it had ended: it cannot have been looked at later.
    since: Option<Instant>,
    seen: Round,
}

/// What one file takes in memory beside its name, roughly.
const FOOTPRINT: u64 = (size_of::<Relative>() + size_of::<File>()) as u64 + 24;

impl Known {
    /// From what the journal has kept.
    pub(crate) fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut known = Self::default();
        for row in rows {
            known.put(row.path, row.version, Stage::of(row.handling));
        }
        known
    }

    /// A listing begins.
    pub(crate) fn begin(&mut self) {
        self.round = Round(self.round.0.wrapping_add(1));
    }

    /// An entry of it. `begun` is when this listing began: the entry is not looked at earlier.
    pub(crate) fn look(
        &mut self,
        path: &[u8],
        version: Version,
        standing: Standing,
        stable_for: Duration,
        begun: Instant,
    ) -> Looked {
        let mut before = None;
        if let Some(file) = self.files.get_mut(path) {
            file.seen = self.round;
            if file.version == version {
                let looked = file.stage.look(begun);
                // It is again what it was; whatever it was in between was never told.
                self.forget_candidate(path);
                return looked;
            }
            before = Some(file.version);
        }
        let kept = self.watch(path, version, begun);
        match standing {
            Standing::Waiting(reason) => Looked::Waiting(reason),
            Standing::Ready if stable_for.is_zero() || kept >= Some(stable_for) => {
                before.map_or(Looked::Added, Looked::Modified)
            }
            Standing::Ready => Looked::Waiting(SkipReason::StillChanging),
        }
    }

    /// An entry that is none of those that are looked for is there all the same.
    pub(crate) fn seen(&mut self, path: &[u8]) {
        if let Some(file) = self.files.get_mut(path) {
            file.seen = self.round;
        }
        self.forget_candidate(path);
    }

    /// The listing is complete, apart from `unread`: directories below, each ending in `/`, that
    /// could not be listed. Returns what is not there any more and is to be told, see
    /// [`Self::gone`]; candidates of this listing count as looked at by `now`.
    pub(crate) fn end(&mut self, unread: &[Relative], now: Instant) -> Vec<(Relative, Version)> {
        let round = self.round;
        let hidden = |path: &[u8]| unread.iter().any(|above| path.starts_with(above));
        let mut lost = 0;
        self.candidates.retain(|path, candidate| {
            if candidate.seen == round {
                candidate.since.get_or_insert(now);
            }
            let stays = candidate.seen == round || hidden(path);
            lost += if stays { 0 } else { footprint(path) };
            stays
        });
        self.bytes -= lost;
        self.files
            .iter()
            .filter(|(path, file)| file.seen != round && !hidden(path))
            .map(|(path, file)| (path.clone(), file.version))
            .collect()
    }

    /// Whether this version has been taken, or is none of those that are.
    pub(crate) fn is_done(&self, path: &[u8], version: Version) -> bool {
        let file = self.files.get(path);
        file.is_some_and(|file| file.version == version && matches!(file.stage, Stage::Done))
    }

    /// That it was added or modified has been told.
    pub(crate) fn told(&mut self, path: &[u8], version: Version, handling: Handling) {
        self.forget_candidate(path);
        self.put(path.into(), version, Stage::of(handling));
    }

    /// This version has been taken, or somebody else has taken it.
    pub(crate) fn done(&mut self, path: &[u8], version: Version) {
        if let Some(file) = self.of_version(path, version) {
            file.stage = Stage::Done;
        }
    }

    /// Taking this version failed; it is not tried again before `wait(failures)` is over.
    pub(crate) fn failed(
        &mut self,
        path: &[u8],
        version: Version,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) {
        let Some(file) = self.of_version(path, version) else {
            return;
        };
        let failures = match file.stage {
            Stage::Due { failures, .. } => failures.saturating_add(1),
            Stage::Done => 1,
        };
        file.stage = Stage::Due {
            failures,
            not_before: now.checked_add(wait(failures)),
        };
    }

    /// It is not there any more: we took it away, or that has been told.
    pub(crate) fn gone(&mut self, path: &[u8]) {
        if self.files.remove(path).is_some() {
            self.bytes -= footprint(path);
        }
        self.forget_candidate(path);
    }

    /// How many files have been told of.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// What all of this takes in memory, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put(&mut self, path: Relative, version: Version, stage: Stage) {
        let bytes = footprint(&path);
        let file = File {
            version,
            seen: self.round,
            stage,
        };
        if self.files.insert(path, file).is_none() {
            self.bytes += bytes;
        }
    }

    /// How long a candidate has been this version by now, if it is known since when.
    fn watch(&mut self, path: &[u8], version: Version, begun: Instant) -> Option<Duration> {
        let seen = self.round;
        if let Some(candidate) = self.candidates.get_mut(path) {
            candidate.seen = seen;
            if candidate.version == version {
                let since = candidate.since?;
                return Some(begun.saturating_duration_since(since));
            }
            candidate.version = version;
            candidate.since = None;
            return None;
        }
        self.bytes += footprint(path);
        let candidate = Candidate {
            version,
            since: None,
            seen,
        };
        self.candidates.insert(path.into(), candidate);
        None
    }

    fn forget_candidate(&mut self, path: &[u8]) {
        if self.candidates.remove(path).is_some() {
            self.bytes -= footprint(path);
        }
    }

    fn of_version(&mut self, path: &[u8], version: Version) -> Option<&mut File> {
        let file = self.files.get_mut(path)?;
        (file.version == version).then_some(file)
    }
}

impl Stage {
    const DUE: Self = Self::Due {
        failures: 0,
        not_before: None,
    };

    fn of(handling: Handling) -> Self {
        match handling {
            Handling::Due => Self::DUE,
            Handling::Done => Self::Done,
        }
    }

    fn look(&self, now: Instant) -> Looked {
        match self {
            Self::Due { not_before, .. } if not_before.is_none_or(|time| time <= now) => {
                Looked::Due
            }
            Self::Due { .. } | Self::Done => Looked::Known,
        }
    }
}

fn footprint(path: &[u8]) -> u64 {
    FOOTPRINT + path.len() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const STABLE: Duration = Duration::from_secs(30);

    fn version(size: u64) -> Version {
        Version {
            size: Some(size),
            modified: Some(7),
        }
    }

    /// A directory and a listener of it, by a clock of their own.
    struct Scene {
        known: Known,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                known: Known::default(),
                now: Instant::now(),
            }
        }

        fn passes(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        /// One whole listing, of which everything is told.
        fn poll(&mut self, listed: &[(&str, u64)]) -> Vec<String> {
            let mut told = Vec::new();
            self.known.begin();
            for &(name, size) in listed {
                let (path, version) = (name.as_bytes(), version(size));
                let looked = self
                    .known
                    .look(path, version, Standing::Ready, STABLE, self.now);
                match looked {
                    Looked::Known | Looked::Waiting(_) => continue,
                    Looked::Due => told.push(format!("due {name}")),
                    Looked::Added => told.push(format!("added {name}")),
                    Looked::Modified(_) => told.push(format!("modified {name}")),
                }
                self.known.told(path, version, Handling::Done);
            }
            for (path, _) in self.known.end(&[], self.now) {
                told.push(format!("deleted {}", String::from_utf8_lossy(&path)));
                self.known.gone(&path);
            }
            told
        }
    }

    #[test]
    fn a_file_that_grows_is_told_once_it_has_kept_its_size() {
        let mut scene = Scene::new();
        for size in 1..5 {
            assert!(scene.poll(&[("a", size)]).is_empty());
            scene.passes(60);
        }
        assert!(scene.poll(&[("a", 5)]).is_empty());
        scene.passes(29);
        assert!(scene.poll(&[("a", 5)]).is_empty());
        scene.passes(1);
        assert_eq!(scene.poll(&[("a", 5)]), ["added a"]);
        assert!(scene.poll(&[("a", 5)]).is_empty());
        scene.passes(60);
        assert!(scene.poll(&[("a", 6)]).is_empty());
        scene.passes(60);
        assert_eq!(scene.poll(&[("a", 6)]), ["modified a"]);
        assert_eq!(scene.poll(&[]), ["deleted a"]);
        assert_eq!(scene.known.bytes(), 0);
    }

    #[test]
    fn what_went_and_came_back_while_it_was_watched_begins_anew() {
        let mut scene = Scene::new();
        scene.poll(&[("a", 1)]);
        scene.passes(20);
        scene.poll(&[]);
        scene.passes(20);
        assert!(scene.poll(&[("a", 1)]).is_empty());
        scene.passes(30);
        assert_eq!(scene.poll(&[("a", 1)]), ["added a"]);
    }

    #[test]
    fn a_listing_that_breaks_off_tells_of_no_deletion_and_starts_no_clock() {
        let mut scene = Scene::new();
        scene.known = Known::new([Row {
            path: b"old"[..].into(),
            version: version(1),
            handling: Handling::Done,
        }]);
        scene.known.begin();
        scene
            .known
            .look(b"a", version(1), Standing::Ready, STABLE, scene.now);
        // No end: the connection was lost.
        scene.passes(60);
        assert!(scene.poll(&[("a", 1), ("old", 1)]).is_empty());
        scene.passes(30);
        assert_eq!(scene.poll(&[("a", 1)]), ["added a", "deleted old"]);
    }

    #[test]
    fn what_lies_below_a_directory_that_cannot_be_read_is_not_deleted() {
        let row = |path: &[u8]| Row {
            path: path.into(),
            version: version(1),
            handling: Handling::Done,
        };
        let mut known = Known::new([row(b"sub/a"), row(b"subway")]);
        known.begin();
        let gone = known.end(&[b"sub/"[..].into()], Instant::now());
        let names: Vec<_> = gone.iter().map(|(path, _)| &path[..]).collect();
        assert_eq!(names, [b"subway"]);
    }

    #[test]
    fn a_filtered_file_is_there_all_the_same() {
        let mut known = Known::new([Row {
            path: b"a"[..].into(),
            version: version(1),
            handling: Handling::Done,
        }]);
        known.begin();
        known.seen(b"a");
        assert!(known.end(&[], Instant::now()).is_empty());
    }

    #[test]
    fn one_that_failed_waits_longer_each_time_and_is_due_at_once_after_a_restart() {
        let now = Instant::now();
        let due = Row {
            path: b"a"[..].into(),
            version: version(1),
            handling: Handling::Due,
        };
        let mut known = Known::new([due]);
        let look = |known: &mut Known, seconds| {
            let begun = now + Duration::from_secs(seconds);
            known.begin();
            known.look(b"a", version(1), Standing::Ready, STABLE, begun)
        };
        assert_eq!(look(&mut known, 0), Looked::Due);
        let wait = |failures| Duration::from_secs(10 * u64::from(failures));
        known.failed(b"a", version(1), now, wait);
        known.failed(b"a", version(1), now, wait);
        assert_eq!(look(&mut known, 19), Looked::Known);
        assert_eq!(look(&mut known, 20), Looked::Due);
        // The outcome of a version that is no longer the known one changes nothing.
        known.done(b"a", version(2));
        assert_eq!(look(&mut known, 20), Looked::Due);
        known.done(b"a", version(1));
        assert_eq!(look(&mut known, 20), Looked::Known);
    }

    #[test]
    fn a_file_whose_done_file_is_missing_keeps_its_time() {
        let mut known = Known::default();
        let now = Instant::now();
        let not_done = Standing::Waiting(SkipReason::NotDone);
        known.begin();
        let looked = known.look(b"a", version(1), not_done, STABLE, now);
        assert_eq!(looked, Looked::Waiting(SkipReason::NotDone));
        known.end(&[], now);
        known.begin();
        let looked = known.look(b"a", version(1), Standing::Ready, STABLE, now + STABLE);
        assert_eq!(looked, Looked::Added);
    }

    proptest! {
        /// Whatever happens in a directory: what was told, added up, is what is there, once it has
        /// kept still; and nothing is told that was not seen.
        #[test]
        fn what_was_told_adds_up_to_what_is_there(
            polls in prop::collection::vec(
                prop::collection::btree_map(0u8..6, 0u64..3, 0..6), 0..12),
        ) {
            let mut scene = Scene::new();
            let mut told = BTreeMap::new();
            let still = polls.last().cloned().unwrap_or_default();
            let polls = polls.into_iter().chain([still.clone(), still.clone()]);
            for listed in polls {
                let names: Vec<(String, u64)> =
                    listed.iter().map(|(name, size)| (name.to_string(), *size)).collect();
                let names: Vec<(&str, u64)> =
                    names.iter().map(|(name, size)| (&name[..], *size)).collect();
                for event in scene.poll(&names) {
                    let (what, name) = event.split_once(' ').unwrap();
                    let name: u8 = name.parse().unwrap();
                    match what {
                        "deleted" => prop_assert!(told.remove(&name).is_some()),
                        "added" => prop_assert!(told.insert(name, listed[&name]).is_none()),
                        _ => {
                            let before = told.insert(name, listed[&name]);
                            prop_assert!(before.is_some_and(|size| size != listed[&name]));
                        }
                    }
                }
                scene.passes(30);
            }
            prop_assert_eq!(told, still);
        }
    }
}
