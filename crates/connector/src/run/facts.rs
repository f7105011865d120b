//! What was learned about a server by trying, in one step.
//!
//! Not about files: what is known here is looked at again, or found out by the request that rests on
//! it, before anything depends on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::path::RemotePath;

/// What was learned about a server by trying; its lanes share it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Probes of this lane that may still lie there, because the connection was lost.
    pub(super) probes: Vec<RemotePath>,
    common: Arc<Common>,
}

#[derive(Debug, Default)]
struct Common {
    known: Mutex<Known>,
    /// Held by the lane that asks for what all will know then.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    home: Option<RemotePath>,
    /// What its plain rename does with an existing target.
    plain_rename: Option<PlainRename>,
    /// Directories that were seen to be there.
    directories: HashSet<RemotePath>,
    /// Pairs of directories that are two, by whatever name.
    distinct: HashSet<(RemotePath, RemotePath)>,
    /// Of names that were numbered: the number after the last that was found taken or claimed.
    numbered: HashMap<RemotePath, u32>,
    /// Backups that earlier runs left, by the directory that was listed for them.
    backups: HashMap<RemotePath, Vec<Backup>>,
}

/// An old file that an interrupted replacement left aside.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    pub(super) name: Bytes,
    /// When its content was modified, in seconds since 1970.
    pub(super) modified: Option<i64>,
}

/// So much is remembered of each at most; then it is forgotten and learned again.
const REMEMBERED: usize = 1024;

/// What a server's plain rename does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlainRename {
    /// It refuses.
    Refuses,
    /// It replaces it.
    Replaces,
    /// It is of no use.
    Unusable,
}

#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "whoever learns something changes the facts, although the lanes share them behind a lock"
)]
impl Facts {
    /// The same for another lane.
    pub(super) fn shared(&self) -> Self {
        Self {
            probes: Vec::new(),
            common: Arc::clone(&self.common),
        }
    }

    /// The turn to ask the server for what all lanes will know then: whoever has it looks here first.
    pub(super) async fn asking(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.common.asking).lock_owned().await
    }

    /// Forgets what may have changed meanwhile.
    pub(super) fn renew(&mut self) {
        let mut known = self.known();
        known.directories.clear();
        known.distinct.clear();
        known.numbered.clear();
        known.backups.clear();
    }

    /// The account's home.
    pub(super) fn home(&self) -> Option<RemotePath> {
        self.known().home.clone()
    }

    pub(super) fn found_home(&mut self, home: RemotePath) {
        self.known().home = Some(home);
    }

    /// What its plain rename does with an existing target.
    pub(super) fn plain_rename(&self) -> Option<PlainRename> {
        self.known().plain_rename
    }

    pub(super) fn found_plain_rename(&mut self, found: PlainRename) {
        self.known().plain_rename = Some(found);
    }

    /// Whether this directory was seen to be there.
    pub(super) fn has_directory(&self, directory: &RemotePath) -> bool {
        self.known().directories.contains(directory)
    }

    pub(super) fn found_directory(&mut self, directory: RemotePath) {
        let mut known = self.known();
        if known.directories.len() >= REMEMBERED {
            known.directories.clear();
        }
        known.directories.insert(directory);
    }

    /// Whether these two were seen to be two, by whatever name.
    pub(super) fn are_distinct(&self, pair: &(RemotePath, RemotePath)) -> bool {
        self.known().distinct.contains(pair)
    }

    pub(super) fn found_distinct(&mut self, one: RemotePath, other: RemotePath) {
        let mut known = self.known();
        if known.distinct.len() >= REMEMBERED {
            known.distinct.clear();
        }
        known.distinct.insert((one, other));
    }

    /// Which number to try after the name itself was found taken.
    pub(super) fn first_number(&self, path: &RemotePath) -> u32 {
        self.known().numbered.get(path).copied().unwrap_or(1)
    }

    pub(super) fn found_number(&mut self, path: RemotePath, next: u32) {
        let mut known = self.known();
        if known.numbered.len() >= REMEMBERED {
            known.numbered.clear();
        }
        known.numbered.insert(path, next);
    }

    /// The backups that a listing of this directory showed, of which `wanted` says so; `None` before
    /// there was one.
    pub(super) fn backups(
        &self,
        directory: &RemotePath,
        wanted: impl FnMut(&&Backup) -> bool,
    ) -> Option<Vec<Backup>> {
        let known = self.known();
        let backups = known.backups.get(directory)?;
        Some(backups.iter().filter(wanted).cloned().collect())
    }

    /// A listing showed these backups. Too many to remember are listed again.
    pub(super) fn found_backups(&mut self, directory: RemotePath, found: Vec<Backup>) {
        let mut known = self.known();
        let backups = &mut known.backups;
        let held: usize = backups.values().map(Vec::len).sum();
        if backups.len() >= REMEMBERED || held + found.len() > REMEMBERED {
            backups.clear();
        }
        if found.len() <= REMEMBERED {
            backups.insert(directory, found);
        }
    }

    /// One was left in this directory: what was listed of it holds no more.
    pub(super) fn left_backup(&mut self, directory: &RemotePath) {
        self.known().backups.remove(directory);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.common.known.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}
