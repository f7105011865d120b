//! What is handed to Get, and what its outcomes mean for what is known.
//!
//! Not the fetching, and not which files are due.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Place, back_off};
use crate::error::Error;
use crate::journal::Listed;
use crate::listen::Stopper;
use crate::listen::known::{Handling, Relative, Row, Version};
use crate::outcome::{AfterAction, Outcome, SkipReason, Status};
use crate::path::RemotePath;
use crate::run::selection::Found;

/// Entries that were told as left alone are remembered up to so many, at 8 bytes each.
const REMEMBERED: usize = 1 << 20;

/// What is still to be taken, handed out one by one while nobody asks to end.
pub(super) struct Feed {
    pub(super) left: std::vec::IntoIter<Found>,
    pub(super) stopper: Stopper,
    pub(super) closed: Arc<AtomicBool>,
}

impl Iterator for Feed {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.stopper.is_asked() || self.closed.load(Ordering::Relaxed) {
            return None;
        }
        self.left.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left.len()))
    }
}

/// The outcomes of what is taken, and what they mean for what is known.
pub(super) struct Taking<'a> {
    pub(super) place: &'a mut Place,
    pub(super) interval: Duration,
    /// What was handed to Get.
    pub(super) versions: HashMap<Relative, Version>,
    /// Set when no more is to be handed out.
    pub(super) closed: Arc<AtomicBool>,
    /// Why there is no session any more.
    pub(super) refused: Option<Error>,
    pub(super) skips: &'a mut Skips,
    pub(super) unwritten: &'a mut Vec<Listed>,
}

impl Taking<'_> {
    /// Whether it is worth telling.
    pub(super) fn note(&mut self, outcome: &Outcome) -> Worth {
        if let Some(error) = &outcome.error
            && error.is_before_session()
        {
            // The next file would be told the same.
            self.closed.store(true, Ordering::Relaxed);
            self.refused = Some(error.clone());
        }
        let Some((path, version)) = self.file(outcome) else {
            return Worth::Telling;
        };
        let known = &mut self.place.known;
        let removed = matches!(
            outcome.after_action,
            AfterAction::Deleted | AfterAction::Moved
        );
        match outcome.status {
            Status::Ok if removed => {
                known.gone(&path);
                self.unwritten.push(Listed::Gone(path));
            }
            Status::Ok | Status::Skipped(SkipReason::AlreadyProcessed) => {
                known.done(&path, version);
                self.unwritten.push(Listed::There(Row {
                    path,
                    version,
                    handling: Handling::Done,
                }));
            }
            Status::Failed => {
                let interval = self.interval;
                let wait = |failures| back_off(interval, failures);
                known.failed(&path, version, Instant::now(), wait);
            }
            // Who has it in hand may give it back, and what is still changing may have changed.
            Status::Skipped(reason) => {
                if !self.skips.is_new(&path, version, reason.name()) {
                    return Worth::Nothing;
                }
            }
        }
        Worth::Telling
    }

    /// Which of those that were handed out it is about.
    fn file(&self, outcome: &Outcome) -> Option<(Relative, Version)> {
        let name = outcome.properties.get("filename")?;
        let directory = outcome.properties.get("remote-directory")?;
        let path = RemotePath::new(directory.clone()).join(name);
        let top = self.place.directory.join(b"");
        let path: Relative = path.as_bytes().strip_prefix(top.as_bytes())?.into();
        let version = *self.versions.get(&path)?;
        Some((path, version))
    }
}

/// Whether an outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Telling,
    Nothing,
}

/// What Get is to take, by name.
pub(super) fn versions(due: &[Found]) -> HashMap<Relative, Version> {
    let version = |found: &Found| {
        let path: Relative = found.relative_path()[..].into();
        (path, Version::from(&found.entry.attrs))
    };
    due.iter().map(version).collect()
}

/// What was told as left alone, by hash, so that it is told once.
#[derive(Default)]
pub(super) struct Skips(HashSet<u64>);

impl Skips {
    pub(super) fn is_new(&mut self, path: &[u8], version: Version, why: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (path, version, why).hash(&mut hasher);
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(hasher.finish())
    }
}
