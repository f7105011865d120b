//! What is listed and not taken yet, for several hands: the first lists, the others take.
//!
//! ```text
//!   Walk ─▶ first hand ─▶ Backlog ─▶ the other hands, from its front
//!               ▲            │
//!               └────────────┘ the smallest, while it is full; from its front, once all is listed
//! ```
//! Not the listing, and not what becomes of a file. A hand that means to take one reserves it before
//! it opens a session: there are never more sessions than files.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::selection::Found;
use crate::outcome::Outcome;

/// So many wait at most before the first hand takes some itself, beside the batch that it has just
/// listed: enough for many hands to be busy while it lists on, and little memory.
const ROOM: usize = 256;

/// Where hands have their files from.
pub(super) enum Supply<'a> {
    /// Somebody else has chosen them, and is asked for the next one when a hand is free for it.
    Chosen(Mutex<Chosen<'a>>),
    /// They are being listed.
    Listed(Backlog),
}

/// What is for a hand to do.
pub(super) enum Due {
    /// A file is to be taken.
    File(Found),
    /// It is not; this is to be told in its place.
    Left(Outcome),
}

/// What somebody else has chosen.
pub(super) struct Chosen<'a> {
    files: &'a mut (dyn Iterator<Item = Found> + Send),
    ended: bool,
}

/// What is listed and not taken yet.
pub(super) struct Backlog {
    others: usize,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    files: VecDeque<Due>,
    /// So many of them are about to be taken.
    reserved: usize,
    /// So many are for the hand that lists: one, where it is not alone, until all is listed.
    kept: usize,
    /// There will be no more.
    ended: bool,
}

impl Due {
    fn size(&self) -> Option<u64> {
        match self {
            Self::File(found) => found.entry.attrs.size,
            Self::Left(_) => Some(0),
        }
    }
}

impl<'a> Supply<'a> {
    pub(super) fn chosen(files: &'a mut (dyn Iterator<Item = Found> + Send)) -> Self {
        Self::Chosen(Mutex::new(Chosen {
            files,
            ended: false,
        }))
    }

    /// Waits for a file that no other hand is to take; `false` when there are no more.
    pub(super) async fn reserve(&self) -> bool {
        match self {
            Self::Chosen(chosen) => !lock(chosen).ended,
            Self::Listed(backlog) => backlog.reserve().await,
        }
    }

    /// Leaves what was reserved to others.
    pub(super) fn leave(&self) {
        if let Self::Listed(backlog) = self {
            backlog.state().reserved -= 1;
            backlog.changed.notify_waiters();
        }
    }

    /// Takes what was reserved. `None`: whoever chooses has no more.
    pub(super) fn take(&self) -> Option<Due> {
        match self {
            Self::Chosen(chosen) => {
                let mut chosen = lock(chosen);
                let next = chosen.files.next();
                chosen.ended |= next.is_none();
                next.map(Due::File)
            }
            Self::Listed(backlog) => {
                let mut state = backlog.state();
                state.reserved -= 1;
                backlog.changed.notify_waiters();
                state.files.pop_front()
            }
        }
    }
}

impl Backlog {
    /// One for the hand that lists and so many others.
    pub(super) fn for_others(others: usize) -> Self {
        Self {
            others,
            state: Mutex::new(State {
                files: VecDeque::new(),
                reserved: 0,
                kept: others.min(1),
                ended: false,
            }),
            changed: Notify::new(),
        }
    }

    /// Whether the hand that lists takes all of them itself.
    pub(super) fn is_for_one_hand(&self) -> bool {
        self.others == 0
    }

    /// Adds what was listed, in its order.
    pub(super) fn add(&self, files: impl IntoIterator<Item = Due>) {
        self.state().files.extend(files);
        self.changed.notify_waiters();
    }

    /// There are no more. The hand that has listed is now one of them all.
    pub(super) fn end(&self) {
        let mut state = self.state();
        (state.ended, state.kept) = (true, 0);
        self.changed.notify_waiters();
    }

    /// The next one, for a hand that is alone.
    pub(super) fn next(&self) -> Option<Due> {
        self.state().files.pop_front()
    }

    /// The smallest, where there are more than are to wait: whoever takes it lists on soon.
    pub(super) fn smallest_of_too_many(&self) -> Option<Due> {
        let mut state = self.state();
        if state.files.len() <= ROOM + state.reserved + state.kept {
            return None;
        }
        let sizes = state.files.iter().enumerate();
        let (at, _) = sizes.min_by_key(|(_, entry)| entry.size().unwrap_or(u64::MAX))?;
        state.files.remove(at)
    }

    /// The first, where there are more than are to wait and their order counts.
    pub(super) fn first_of_too_many(&self) -> Option<Due> {
        let mut state = self.state();
        if state.files.len() <= ROOM + state.reserved + state.kept {
            return None;
        }
        state.files.pop_front()
    }

    async fn reserve(&self) -> bool {
        loop {
            // Before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.files.len() > state.reserved + state.kept {
                    state.reserved += 1;
                    return true;
                }
                // What others have reserved may be left to this hand yet.
                if state.ended && state.files.is_empty() {
                    return false;
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
