//! Files in memory: for tests, and for programs that serve what they make themselves.
//!
//! Names, links, permissions and times behave as on a POSIX system on which everybody is root;
//! nothing is enforced by permissions.

mod contents;
mod open;
mod tree;

use super::{Directory, File, FileSystem, Outcome};
use bytes::Bytes;
use contents::{Contents, Quota};
use open::{MemDirectory, MemFile};
use sansftp_proto::sftp::extensions::{OwnerNames, StatVfs};
use sansftp_proto::sftp::{Attrs, Extensions, OpenFlags, Status, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tree::{Body, DIRECTORY, EXISTS, Inode, Last, NO_SUCH_FILE, Place, REGULAR, SYMLINK, Tree};

/// What new files and directories do not get of the permissions that they ask for.
const UMASK: u32 = 0o022;
/// Where paths begin that begin nowhere else, and what `~` is.
const HOME: &[u8] = b"/";

/// A file system in memory. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemFs {
    tree: Arc<Mutex<Tree>>,
    quota: Arc<Quota>,
}

impl MemFs {
    /// An empty one. Contents, names and links may take `most` bytes together, what it costs to keep
    /// them included, about.
    pub fn new(most: u64) -> Self {
        let quota = Arc::new(Quota::new(most));
        let tree = Tree::new(Arc::clone(&quota));
        Self {
            tree: Arc::new(Mutex::new(tree)),
            quota,
        }
    }

    /// Makes a file of these contents, or replaces those it has.
    ///
    /// # Errors
    /// The directory is missing, or there is no room.
    pub fn put(&self, path: &[u8], contents: &[u8]) -> Outcome<()> {
        let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
        let file = self.open_file(path, flags, &Attrs::default())?;
        file.write_at(0, &Bytes::copy_from_slice(contents).into())
    }

    /// The contents of a file, of one with holes no more than the quota.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, path: &[u8]) -> Outcome<Vec<u8>> {
        let file = self.open_file(path, OpenFlags::READ, &Attrs::default())?;
        let len = file.stat()?.size.unwrap_or_default();
        // More than that is a hole.
        let len = usize::try_from(len.min(self.quota.most)).unwrap_or(usize::MAX);
        let data = file.read_at(0, len)?;
        let mut contents = Vec::with_capacity(data.len());
        data.pieces().for_each(|it| contents.extend_from_slice(it));
        Ok(contents)
    }

    fn open_file(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<MemFile> {
        let tree = self.lock();
        // O_EXCL does not follow a link at the end, wherever that leads.
        let last = if flags.contains(OpenFlags::CREATE_NEW) {
            Last::Keep
        } else {
            Last::Follow
        };
        let place = tree.walk(path, last)?;
        let inode = match place.existing() {
            Some(_) if flags.contains(OpenFlags::CREATE_NEW) => return Err(EXISTS),
            Some(inode) => Arc::clone(inode),
            None if flags.contains(OpenFlags::CREATE) => {
                place.free_for_file()?;
                let body = Body::File(RwLock::new(Contents::new(Arc::clone(&self.quota))));
                let mode = attrs.mode().unwrap_or(0o666) & !UMASK;
                let inode = tree.make(body, REGULAR | mode)?;
                tree.link(&place, Arc::clone(&inode))?;
                inode
            }
            None => return Err(NO_SUCH_FILE),
        };
        drop(tree);
        let Body::File(contents) = &inode.body else {
            return Err(NOT_A_FILE);
        };
        if flags.contains(OpenFlags::TRUNCATE) {
            tree::write(contents).set_len(0)?;
            inode.touch();
        }
        Ok(MemFile::new(inode, flags, self.clone()))
    }

    fn set(&self, path: &[u8], last: Last, attrs: &Attrs) -> Outcome<()> {
        let inode = Arc::clone(self.lock().walk(path, last)?.found()?);
        set_attrs(&inode, attrs)
    }

    fn make(&self, path: &[u8], body: Body, mode: u32) -> Outcome<()> {
        let tree = self.lock();
        let place = tree.walk(path, Last::Keep)?;
        place.parent()?;
        match body {
            Body::Directory(_) if place.existing().is_some() => return Err(EXISTS),
            Body::Directory(_) => {}
            _ => place.free_for_file()?,
        }
        let inode = tree.make(body, mode)?;
        tree.link(&place, inode)
    }

    /// Gives what is at `from` the name `to`, which nothing has any more.
    fn shift(tree: &Tree, from: &Place, to: &Place) -> Outcome<()> {
        let inode = from.found()?;
        if to.leads_through(inode) {
            return Err(INTO_ITSELF);
        }
        // The new name first: for that, room may be lacking.
        tree.link(to, Arc::clone(inode))?;
        tree.unlink(from).map(drop)
    }

    fn usage(&self) -> StatVfs {
        const FRAGMENT: u64 = 4096;
        let left = self.quota.left();
        StatVfs {
            f_bsize: FRAGMENT,
            f_frsize: FRAGMENT,
            f_blocks: self.quota.most / FRAGMENT,
            f_bfree: left / FRAGMENT,
            f_bavail: left / FRAGMENT,
            f_files: self.quota.most / FRAGMENT,
            f_ffree: left / FRAGMENT,
            f_favail: left / FRAGMENT,
            f_fsid: 0,
            f_flag: 0,
            f_namemax: 255,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemFs {
    /// One of 1 GiB.
    fn default() -> Self {
        Self::new(1 << 30)
    }
}

impl FileSystem for MemFs {
    fn extensions(&self) -> Extensions {
        Extensions::OPENSSH
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(path, flags, attrs)?))
    }

    fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
        let place = self.lock().walk(path, Last::Follow)?;
        let inode = Arc::clone(place.found()?);
        drop(inode.names()?);
        let parent = Arc::clone(place.directory());
        Ok(Box::new(MemDirectory::new(inode, parent, self.clone())))
    }

    fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
        Ok(self.lock().walk(path, Last::Follow)?.found()?.attrs())
    }

    fn lstat(&self, path: &[u8]) -> Outcome<Attrs> {
        Ok(self.lock().walk(path, Last::Keep)?.found()?.attrs())
    }

    fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
        Ok(self.lock().walk(path, Last::Follow)?.canonical())
    }

    fn set_stat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        self.set(path, Last::Follow, attrs)
    }

    fn remove(&self, path: &[u8]) -> Outcome<()> {
        let tree = self.lock();
        let place = tree.walk(path, Last::Keep)?;
        if place.found()?.is_directory() {
            return Err(NOT_A_FILE);
        }
        tree.unlink(&place).map(drop)
    }

    fn make_dir(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        let mode = attrs.mode().unwrap_or(0o777) & !UMASK;
        self.make(path, Body::Directory(Mutex::default()), DIRECTORY | mode)
    }

    fn remove_dir(&self, path: &[u8]) -> Outcome<()> {
        let tree = self.lock();
        let place = tree.walk(path, Last::Keep)?;
        if !place.found()?.names()?.is_empty() {
            return Err(NOT_EMPTY);
        }
        tree.unlink(&place).map(drop)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        let tree = self.lock();
        let (from, to) = (tree.walk(from, Last::Keep)?, tree.walk(to, Last::Keep)?);
        from.parent()?;
        if !from.found()?.is_directory() {
            to.free_for_file()?;
        }
        if to.existing().is_some() {
            return Err(EXISTS);
        }
        Self::shift(&tree, &from, &to)
    }

    fn read_link(&self, path: &[u8]) -> Outcome<Bytes> {
        match &self.lock().walk(path, Last::Keep)?.found()?.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(NOT_A_LINK),
        }
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Outcome<()> {
        if target.is_empty() {
            return Err(NO_SUCH_FILE);
        }
        // What cannot be a path cannot be followed either.
        if target.len() > 4095 || target.contains(&0) {
            return Err(NO_TARGET);
        }
        let body = Body::Link(Bytes::copy_from_slice(target));
        self.make(link, body, SYMLINK | 0o777)
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        let tree = self.lock();
        let (from, to) = (tree.walk(from, Last::Keep)?, tree.walk(to, Last::Keep)?);
        from.parent()?;
        to.parent()?;
        let inode = from.found()?;
        let Some(old) = to.existing() else {
            if !inode.is_directory() {
                to.free_for_file()?;
            }
            return Self::shift(&tree, &from, &to);
        };
        // "If oldpath and newpath are existing hard links referring to the same file, then rename()
        // does nothing", and says that it succeeded (rename(2)).
        if Arc::ptr_eq(inode, old) {
            return Ok(());
        }
        match (inode.is_directory(), old.is_directory()) {
            (true, false) => return Err(tree::NOT_A_DIRECTORY),
            (false, true) => return Err(NOT_A_FILE),
            (true, true) if !old.names()?.is_empty() => return Err(NOT_EMPTY),
            _ => {}
        }
        if to.leads_through(inode) {
            return Err(INTO_ITSELF);
        }
        tree.replace(&to, Arc::clone(inode))?;
        tree.unlink(&from).map(drop)
    }

    fn hard_link(&self, existing: &[u8], link: &[u8]) -> Outcome<()> {
        let tree = self.lock();
        let existing = tree.walk(existing, Last::Keep)?;
        let link = tree.walk(link, Last::Keep)?;
        let inode = existing.found()?;
        if inode.is_directory() {
            return Err(StatusCode::PERMISSION_DENIED.into());
        }
        link.free_for_file()?;
        tree.link(&link, Arc::clone(inode))
    }

    fn set_lstat(&self, path: &[u8], attrs: &Attrs) -> Outcome<()> {
        // A size cannot be meant for a link.
        if attrs.size.is_some() {
            return Err(StatusCode::BAD_MESSAGE.into());
        }
        self.set(path, Last::Keep, attrs)
    }

    fn stat_vfs(&self, path: &[u8]) -> Outcome<StatVfs> {
        self.lock().walk(path, Last::Follow)?.found()?;
        Ok(self.usage())
    }

    fn expand_path(&self, path: &[u8]) -> Outcome<Bytes> {
        match path {
            [b'~'] => self.real_path(HOME),
            [b'~', b'/', rest @ ..] => self.real_path(&[HOME, rest].concat()),
            [b'~', ..] => Err(NO_SUCH_USER),
            path => self.real_path(path),
        }
    }

    fn home_directory(&self, user: &[u8]) -> Outcome<Bytes> {
        if !user.is_empty() {
            return Err(NO_SUCH_USER);
        }
        Ok(Bytes::from_static(HOME))
    }

    fn owner_names(&self, users: &[u32], groups: &[u32]) -> Outcome<OwnerNames> {
        let names = |ids: &[u32]| ids.iter().map(|id| owner_name(*id)).collect();
        Ok(OwnerNames {
            users: names(users),
            groups: names(groups),
        })
    }
}

/// Everything belongs to root unless it was given away.
fn owner_name(id: u32) -> Bytes {
    match id {
        0 => Bytes::from_static(b"root"),
        _ => Bytes::new(),
    }
}

/// Sets what is there to be set, in the order of `sftp-server`.
fn set_attrs(inode: &Inode, attrs: &Attrs) -> Outcome<()> {
    if let Some(size) = attrs.size {
        let Body::File(contents) = &inode.body else {
            return Err(NOT_A_FILE);
        };
        tree::write(contents).set_len(size)?;
        inode.touch();
    }
    let mut meta = inode.meta();
    if let Some(mode) = attrs.mode() {
        meta.mode = (meta.mode & !0o7777) | mode;
    }
    if let Some(times) = attrs.times {
        meta.times = times;
    }
    if let Some(owner) = attrs.owner {
        meta.owner = owner;
    }
    Ok(())
}

const NOT_A_FILE: Status = Status::with_text(StatusCode::FAILURE, "not a file");
const NOT_A_LINK: Status = Status::with_text(StatusCode::FAILURE, "not a link");
const NOT_EMPTY: Status = Status::with_text(StatusCode::FAILURE, "the directory is not empty");
const INTO_ITSELF: Status = Status::with_text(
    StatusCode::FAILURE,
    "a directory cannot be moved into itself",
);
const NO_TARGET: Status =
    Status::with_text(StatusCode::BAD_MESSAGE, "this cannot be what a link says");
const NO_SUCH_USER: Status = Status::with_text(StatusCode::FAILURE, "no such user");
