//! The names of a file system in memory, and how paths lead through them.

use super::contents::{Contents, Quota};
use crate::sftp::server::Outcome;
use bytes::{Bytes, BytesMut};
use sansftp_proto::sftp::{Attrs, Owner, Status, StatusCode, Times};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Links that one path may lead through, as on Linux.
const LINKS: usize = 40;
/// Longest path and longest name, as on Linux.
const PATH: usize = 4096;
const NAME: usize = 255;
/// What an inode and a name take of the quota beside what is in them, about.
const INODE_COST: u64 = 256;
const NAME_COST: u64 = 128;

pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const SYMLINK: u32 = 0o120_000;

/// A file, directory or link, whatever names it has.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) body: Body,
    meta: Mutex<Meta>,
    cost: u64,
    quota: Arc<Quota>,
}

#[derive(Debug)]
pub(super) enum Body {
    File(RwLock<Contents>),
    /// Names in their order, which is also that of listings.
    Directory(Mutex<BTreeMap<Bytes, Arc<Inode>>>),
    /// What it says.
    Link(Bytes),
}

/// What is known of an inode beside its contents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) times: Times,
    /// How many names it has; a directory has the one.
    pub(super) links: u64,
}

impl Inode {
    pub(super) fn meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attrs(&self) -> Attrs {
        let Meta {
            mode, owner, times, ..
        } = *self.meta();
        let size = match &self.body {
            Body::File(contents) => read(contents).len(),
            Body::Directory(_) => PATH as u64,
            Body::Link(target) => target.len() as u64,
        };
        Attrs {
            size: Some(size),
            owner: Some(owner),
            permissions: Some(mode),
            times: Some(times),
        }
    }

    /// Its contents or its names have changed.
    pub(super) fn touch(&self) {
        self.meta().times.mtime = now();
    }

    pub(super) fn names(&self) -> Outcome<MutexGuard<'_, BTreeMap<Bytes, Arc<Self>>>> {
        match &self.body {
            Body::Directory(names) => Ok(names.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => Err(NOT_A_DIRECTORY),
        }
    }

    pub(super) const fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.quota.give(self.cost);
    }
}

/// All names, from the root on. Whoever changes names or follows them holds the lock.
#[derive(Debug)]
pub(super) struct Tree {
    root: Arc<Inode>,
    quota: Arc<Quota>,
    inodes: AtomicU64,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The names from the root to the directory that holds it, with what they name.
    way: Vec<(Bytes, Arc<Inode>)>,
    root: Arc<Inode>,
    /// Its name there; `None` for the root.
    name: Option<Bytes>,
    /// What is there, if anything is.
    found: Option<Arc<Inode>>,
    /// How the path ends.
    end: Ending,
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// With a name.
    Name,
    /// With `/`, `.` or `..`, so that only a directory can be meant.
    Directory,
    /// With `.` or `..`, or with no name at all: nothing can be made or taken away there.
    Dots,
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

impl Tree {
    pub(super) fn new(quota: Arc<Quota>) -> Self {
        let root = Arc::new(Inode {
            number: 1,
            body: Body::Directory(Mutex::default()),
            meta: Mutex::new(Meta::new(DIRECTORY | 0o755)),
            cost: 0,
            quota: Arc::clone(&quota),
        });
        let inodes = AtomicU64::new(1);
        Self {
            root,
            quota,
            inodes,
        }
    }

    /// A new inode without a name.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn make(&self, body: Body, mode: u32) -> Outcome<Arc<Inode>> {
        let cost = INODE_COST
            + match &body {
                Body::Link(target) => target.len() as u64,
                _ => 0,
            };
        self.quota.take(cost)?;
        let number = self.inodes.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Arc::new(Inode {
            number,
            body,
            meta: Mutex::new(Meta::new(mode)),
            cost,
            quota: Arc::clone(&self.quota),
        }))
    }

    /// Follows `path` from the root, which is also where relative ones begin.
    ///
    /// # Errors
    /// Anything before the last name is missing or no directory, or it cannot be a path.
    pub(super) fn walk(&self, path: &[u8], last: Last) -> Outcome<Place> {
        if path.len() > PATH || path.contains(&0) {
            return Err(NO_PATH);
        }
        let mut todo: VecDeque<Bytes> = split(path).collect();
        let mut place = Place {
            way: Vec::new(),
            root: Arc::clone(&self.root),
            name: None,
            found: Some(Arc::clone(&self.root)),
            end: Ending::Dots,
        };
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            match &name[..] {
                b"" => {
                    place.end = place.end.at_least_directory();
                    continue;
                }
                b"." => {
                    place.must_exist()?;
                    place.end = Ending::Dots;
                    continue;
                }
                b".." => {
                    place.must_exist()?;
                    place.leave();
                    continue;
                }
                name if name.len() > NAME => return Err(NO_PATH),
                _ => {}
            }
            let directory = place.must_exist()?;
            let child = directory.names()?.get(&name).cloned();
            if let Some(Body::Link(target)) = child.as_deref().map(|it| &it.body)
                && (last == Last::Follow || !todo.is_empty())
            {
                links += 1;
                if links > LINKS {
                    return Err(TOO_MANY_LINKS);
                }
                if target.starts_with(b"/") {
                    place.go_to_root();
                }
                // What the link says takes the place of its name.
                for part in split(target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
                continue;
            }
            place.enter(name, child);
        }
        if place.end == Ending::Directory
            && let Some(found) = &place.found
            && !found.is_directory()
        {
            return Err(NOT_A_DIRECTORY);
        }
        Ok(place)
    }

    /// Gives `inode` the name that leads to `place`, which nothing has.
    ///
    /// # Errors
    /// There is no room, or the place cannot have a name.
    pub(super) fn link(&self, place: &Place, inode: Arc<Inode>) -> Outcome<()> {
        let (directory, name) = place.parent()?;
        self.quota.take(NAME_COST + name.len() as u64)?;
        inode.meta().links += 1;
        directory.names()?.insert(name.clone(), inode);
        directory.touch();
        Ok(())
    }

    /// Gives `inode` the name that leads to `place`, which something has that goes for it. Takes no
    /// room.
    ///
    /// # Errors
    /// The place cannot have a name.
    pub(super) fn replace(&self, place: &Place, inode: Arc<Inode>) -> Outcome<()> {
        let (directory, name) = place.parent()?;
        inode.meta().links += 1;
        if let Some(gone) = directory.names()?.insert(name.clone(), inode) {
            gone.meta().links -= 1;
        }
        directory.touch();
        Ok(())
    }

    /// Takes away the name that leads to `place`.
    ///
    /// # Errors
    /// The place cannot have a name.
    pub(super) fn unlink(&self, place: &Place) -> Outcome<Option<Arc<Inode>>> {
        let (directory, name) = place.parent()?;
        let gone = directory.names()?.remove(name);
        if let Some(gone) = &gone {
            self.quota.give(NAME_COST + name.len() as u64);
            gone.meta().links -= 1;
            directory.touch();
        }
        Ok(gone)
    }
}

impl Drop for Tree {
    /// Level by level, and not by recursion: there is no bound to how deep a client may go.
    fn drop(&mut self) {
        let mut todo = vec![Arc::clone(&self.root)];
        while let Some(inode) = todo.pop() {
            if let Ok(mut names) = inode.names() {
                let children = std::mem::take(&mut *names);
                todo.extend(children.into_values().filter(|it| it.is_directory()));
            }
        }
    }
}

impl Place {
    /// What is there.
    ///
    /// # Errors
    /// Nothing is.
    pub(super) fn found(&self) -> Outcome<&Arc<Inode>> {
        self.found.as_ref().ok_or(NO_SUCH_FILE)
    }

    pub(super) const fn existing(&self) -> Option<&Arc<Inode>> {
        self.found.as_ref()
    }

    /// The directory that the name is in, or would be in, and the name.
    ///
    /// # Errors
    /// The path ends with no name.
    pub(super) fn parent(&self) -> Outcome<(&Arc<Inode>, &Bytes)> {
        match &self.name {
            Some(name) if self.end != Ending::Dots => Ok((self.directory(), name)),
            _ => Err(NO_NAME),
        }
    }

    /// Where something that is no directory can be made.
    ///
    /// # Errors
    /// Something is there, or only a directory can be.
    pub(super) fn free_for_file(&self) -> Outcome<()> {
        if self.found.is_some() {
            return Err(EXISTS);
        }
        match self.end {
            Ending::Name => Ok(()),
            _ => Err(NO_SUCH_FILE),
        }
    }

    /// The directory that holds it; the root holds itself.
    pub(super) fn directory(&self) -> &Arc<Inode> {
        self.way.last().map_or(&self.root, |(_, inode)| inode)
    }

    /// Whether the way to it leads through `inode`.
    pub(super) fn leads_through(&self, inode: &Arc<Inode>) -> bool {
        self.way.iter().any(|(_, it)| Arc::ptr_eq(it, inode))
    }

    /// The path without links and dots.
    pub(super) fn canonical(&self) -> Bytes {
        let mut path = BytesMut::new();
        for name in self.way.iter().map(|(name, _)| name).chain(&self.name) {
            path.extend_from_slice(b"/");
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            return Bytes::from_static(b"/");
        }
        path.freeze()
    }

    /// What the way has led to so far.
    fn must_exist(&self) -> Outcome<Arc<Inode>> {
        let found = self.found.clone().ok_or(NO_SUCH_FILE)?;
        if !found.is_directory() {
            return Err(NOT_A_DIRECTORY);
        }
        Ok(found)
    }

    fn enter(&mut self, name: Bytes, child: Option<Arc<Inode>>) {
        if let (Some(passed), Some(directory)) = (self.name.take(), self.found.take()) {
            self.way.push((passed, directory));
        }
        self.name = Some(name);
        self.found = child;
        self.end = Ending::Name;
    }

    /// One level up; above the root there is the root.
    fn leave(&mut self) {
        match self.way.pop() {
            Some((name, directory)) => {
                self.name = Some(name);
                self.found = Some(directory);
                self.end = Ending::Dots;
            }
            None => self.go_to_root(),
        }
    }

    fn go_to_root(&mut self) {
        self.way.clear();
        self.name = None;
        self.found = Some(Arc::clone(&self.root));
        self.end = Ending::Dots;
    }
}

impl Ending {
    const fn at_least_directory(self) -> Self {
        match self {
            Self::Dots => Self::Dots,
            _ => Self::Directory,
        }
    }
}

impl Meta {
    fn new(mode: u32) -> Self {
        let now = now();
        Self {
            mode,
            owner: Owner { uid: 0, gid: 0 },
            times: Times {
                atime: now,
                mtime: now,
            },
            links: 0,
        }
    }
}

pub(super) fn read(contents: &RwLock<Contents>) -> std::sync::RwLockReadGuard<'_, Contents> {
    contents.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write(contents: &RwLock<Contents>) -> std::sync::RwLockWriteGuard<'_, Contents> {
    contents.write().unwrap_or_else(PoisonError::into_inner)
}

/// What lies between the slashes. A path that begins with one has an empty part in front, which
/// leads nowhere: all paths begin at the root.
fn split(path: &[u8]) -> impl Iterator<Item = Bytes> {
    path.split(|byte| *byte == b'/').map(Bytes::copy_from_slice)
}

/// Seconds since 1970, as far as SFTP can count them.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u32::try_from(since.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

pub(super) const NO_SUCH_FILE: Status = Status::new(StatusCode::NO_SUCH_FILE);
pub(super) const NOT_A_DIRECTORY: Status =
    Status::with_text(StatusCode::NO_SUCH_FILE, "not a directory");
pub(super) const EXISTS: Status = Status::with_text(StatusCode::FAILURE, "it exists already");
const NO_PATH: Status = Status::with_text(StatusCode::BAD_MESSAGE, "this cannot be a path");
const NO_NAME: Status = Status::with_text(StatusCode::FAILURE, "the path ends with no name");
const TOO_MANY_LINKS: Status =
    Status::with_text(StatusCode::NO_SUCH_FILE, "too many symbolic links");
