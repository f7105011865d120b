//! Durable delivery into a local directory: written beside its place, forced to the disk, renamed
//! into place without replacing anything that was not to be replaced.
//!
//! ```text
//!   part_for ─▶ begin  ─▶ Part ─ write ─ finish ─▶ Complete ─ choose ─ place ─▶ Placed
//!           └─▶ resume ──▲                           ▲                        │
//!                        recover (of an earlier run) ┘                     recorded
//! ```
//! With a [`Trace`] a complete part has a second name from before it is put into its place until
//! that is recorded: whoever finds the part gone and the second name there knows that the file was
//! delivered, also if somebody has taken it away since.
//!
//! Not a cache: which part belongs to which file of a server is for the caller to know. Each file
//! has one thread of the blocking pool while it is written; the bytes in its queue are bounded, and
//! the thread writes them from where the network put them.

mod part;
#[cfg(test)]
mod tests;
mod trace;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

pub use self::part::{Complete, Part};
use self::part::{OnDrop, Temporary};
pub use self::trace::Trace;
use crate::error::{Class, Error, Result};
use crate::names;
use crate::operation::LocalIfExists;
use crate::path::printable;
use crate::run::compare::sha256;

/// Chunks are gathered to this many bytes before they are written: few enough system calls, and
/// little enough memory.
const BATCH: usize = 1 << 20;
/// So many batches wait for the disk at most, as far as the memory allows.
const MAX_QUEUE: u64 = 8;
/// As many names are tried as at the server.
const MAX_TRIES: u32 = 10_000;

/// A local directory that files are delivered into.
#[derive(Clone, Debug)]
pub struct Directory {
    handle: Arc<OwnedFd>,
    path: PathBuf,
    real: PathBuf,
    queue: usize,
}

/// The name of a part, `.NAME.UUID.part`, and of the file that it is to become. Nothing is on the
/// disk because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartName {
    name: Bytes,
    temporary: Bytes,
}

/// The name that a complete file is to get.
#[derive(Clone, Debug)]
pub struct Chosen {
    name: Bytes,
    number: u32,
    content: Content,
}

/// What has the chosen name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A file of the same size and content.
    Same,
    /// Nothing, or what may be replaced.
    Other,
}

/// What became of a complete file that was to get its name.
#[derive(Debug)]
pub enum Settled {
    /// It has it.
    Placed(Placed),
    /// Another was faster: another name is to be chosen.
    Taken(Complete),
}

/// A file that is in its place.
#[derive(Debug)]
pub struct Placed {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the same content was there already.
    pub already_present: bool,
}

/// Whether the SHA-256 is computed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is.
    Sha256,
    /// It is not.
    None,
}

/// What becomes of a part that is dropped before it is complete and in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It is removed.
    Removed,
    /// It stays, with what was written so far, for a later run that knows its name.
    Stays,
}

impl Directory {
    /// Opens the directory. At most half of `memory` bytes wait for the disk at any time.
    ///
    /// # Errors
    /// `local-io` when it is not there or is no directory.
    pub fn open(path: &Path, memory: u64) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::local_io(format_args!("the directory {}", path.display()), error)
                .with_hint("make it, or name another")
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let batches = (memory / 2 / BATCH as u64).clamp(1, MAX_QUEUE);
        Ok(Self {
            handle: Arc::new(handle),
            path: path.to_owned(),
            real: path.canonicalize().map_err(failed)?,
            queue: usize::try_from(batches).expect("at most eight"),
        })
    }

    /// The same with the bytes that wait for the disk divided among `hands` that write at a time.
    #[must_use]
    pub fn shared_by(mut self, hands: usize) -> Self {
        self.queue = (self.queue / hands.max(1)).max(1);
        self
    }

    /// Its path without links, from the root.
    pub fn real_path(&self) -> &Path {
        &self.real
    }

    /// The directory below this one that these components lead to; made where it is missing, and
    /// then durable. Links are not followed.
    ///
    /// # Errors
    /// `configuration` for a component that is no base name, else `local-io`.
    pub async fn below(&self, components: &[Bytes]) -> Result<Self> {
        if components.is_empty() {
            return Ok(self.clone());
        }
        for component in components {
            checked(component)?;
        }
        let own = components.to_vec();
        let handle = Arc::clone(&self.handle);
        let opened = blocking(move || {
            let mut handle = handle;
            for component in own {
                handle = Arc::new(enter(&handle, OsStr::from_bytes(&component))?);
            }
            Ok(handle)
        });
        let relative = components.join(&b'/');
        let relative = OsStr::from_bytes(&relative);
        let handle = opened.await.map_err(|error| {
            self.failed("the directory", relative.as_bytes(), error)
                .with_hint("what has this name must be a directory, and no link to one")
        })?;
        Ok(Self {
            handle,
            path: self.path.join(relative),
            real: self.real.join(relative),
            queue: self.queue,
        })
    }

    /// The size of what has this name here; `None` when it is free.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn size_of(&self, name: &[u8]) -> Result<Option<u64>> {
        let (handle, own_name) = (Arc::clone(&self.handle), name.to_vec());
        let looked = blocking(move || {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::statat(&*handle, OsStr::from_bytes(&own_name), flags) {
                Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        looked
            .await
            .map_err(|error| self.failed("looking at", name, error))
    }

    /// A new part for a file. `name` is what it will be called; it comes from a server and is
    /// refused when it is no base name.
    ///
    /// # Errors
    /// `configuration` for what is no name.
    pub fn part_for(&self, name: &[u8]) -> Result<PartName> {
        checked(name)?;
        Ok(PartName {
            name: Bytes::copy_from_slice(name),
            temporary: names::temporary(name),
        })
    }

    /// The part for `name` that an earlier run recorded as `path`; `None` when that is not in this
    /// directory, or has not the form of a part.
    pub fn part_at(&self, name: &[u8], path: &Path) -> Option<PartName> {
        let temporary = path.file_name()?.as_bytes();
        let ours = path.parent() == Some(&self.real) && names::is_ours(temporary);
        (ours && names::is_base_name(name)).then(|| PartName {
            name: Bytes::copy_from_slice(name),
            temporary: Bytes::copy_from_slice(temporary),
        })
    }

    /// The whole path of a part.
    pub fn path_of(&self, part: &PartName) -> PathBuf {
        self.real.join(OsStr::from_bytes(&part.temporary))
    }

    /// Begins a part. While it is written it is locked (`flock`).
    ///
    /// # Errors
    /// `local-io`.
    pub async fn begin(
        &self,
        part: PartName,
        checksum: Checksum,
        unfinished: Unfinished,
    ) -> Result<Part> {
        let handle = Arc::clone(&self.handle);
        let temporary_name = part.temporary.clone();
        let opened = blocking(move || {
            let flags =
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o666);
            let file =
                rustix::fs::openat(&*handle, OsStr::from_bytes(&temporary_name), flags, mode)?;
            let file = File::from(file);
            // Where the file system knows no locks, the name, which is random, is all there is.
            let _ = file.try_lock();
            Ok(Temporary::new(handle, temporary_name, file, unfinished))
        })
        .await;
        let temporary =
            opened.map_err(|error| self.failed("creating a file for", &part.name, error))?;
        let digest = (checksum == Checksum::Sha256).then(|| Context::new(&SHA256));
        Ok(Part::written_by(temporary, part.name, digest, self.queue))
    }

    /// Goes on with a part that was left unfinished, behind the bytes that are there. `None` when
    /// it is not there any more, or a living process has it.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn resume(
        &self,
        part: &PartName,
        checksum: Checksum,
        unfinished: Unfinished,
    ) -> Result<Option<Part>> {
        let directory = self.clone();
        let temporary_name = part.temporary.clone();
        let opened = blocking(move || {
            let Some(file) = directory.claim(&temporary_name)? else {
                return Ok(None);
            };
            let len = file.metadata()?.len();
            let digest = match checksum {
                Checksum::Sha256 => Some(digest_of(&file)?),
                Checksum::None => None,
            };
            let tail = tail_of(&file, len)?;
            let handle = directory.handle;
            let temporary = Temporary::new(handle, temporary_name, file, unfinished);
            Ok(Some((temporary, digest, len, tail)))
        });
        let opened = opened
            .await
            .map_err(|error| self.failed("going on with the part of", &part.name, error))?;
        Ok(opened.map(|(temporary, digest, len, tail)| {
            let written = Part::written_by(temporary, part.name.clone(), digest, self.queue);
            written.with_already(len, tail)
        }))
    }

    /// A part that an earlier run had finished; `None` when it is not there any more, or is not
    /// what was recorded.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn recover(
        &self,
        part: &PartName,
        size: u64,
        sha256: [u8; 32],
    ) -> Result<Option<Complete>> {
        let directory = self.clone();
        let own = part.clone();
        let recovered = blocking(move || {
            let Some(file) = directory.claim(&own.temporary)? else {
                return Ok(None);
            };
            if !is_whole(&file, size, &sha256)? {
                return Ok(None);
            }
            let handle = directory.handle;
            let temporary = Temporary::new(handle, own.temporary, file, Unfinished::Stays);
            Ok(Some(Complete::new(temporary, own.name, size, Some(sha256))))
        });
        recovered
            .await
            .map_err(|error| self.failed("looking at the part of", &part.name, error))
    }

    /// Removes a part that an earlier run left, unless a living process has it.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn discard(&self, part: &PartName) -> Result<()> {
        let directory = self.clone();
        let name = part.temporary.clone();
        let discarded = blocking(move || {
            if let Some(file) = directory.claim(&name)? {
                drop(Temporary::new(
                    directory.handle,
                    name,
                    file,
                    Unfinished::Removed,
                ));
            }
            Ok(())
        });
        discarded
            .await
            .map_err(|error| self.failed("removing the part of", &part.name, error))
    }

    /// Whether the regular file of this name has this size and content; then it is durable.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn holds(&self, name: &[u8], size: u64, sha256: [u8; 32]) -> Result<bool> {
        let directory = self.clone();
        let own_name = Bytes::copy_from_slice(name);
        let held = blocking(move || {
            let Some(there) = directory.open_there(&own_name) else {
                return Ok(false);
            };
            if !is_whole(&there, size, &sha256)? {
                return Ok(false);
            }
            there.sync_all()?;
            rustix::fs::fsync(&*directory.handle)?;
            Ok(true)
        });
        held.await
            .map_err(|error| self.failed("looking at", name, error))
    }

    /// The name that a complete file is to get, by the rule for a name that is taken; the first one
    /// from `number` on. Nothing is changed.
    ///
    /// # Errors
    /// `exists`, or `local-io`.
    pub async fn choose(
        &self,
        complete: &Complete,
        if_exists: LocalIfExists,
        number: u32,
    ) -> Result<Chosen> {
        let directory = self.clone();
        let wanted = Wanted {
            name: complete.name().clone(),
            temporary: complete.temporary_name().clone(),
            size: complete.size(),
        };
        let name = complete.name().clone();
        let chosen = blocking(move || directory.choose_now(&wanted, if_exists, number)).await;
        chosen.map_err(|error| self.refused(&name, error))
    }

    /// Where a file of this name would go, below the directory that these components lead to, which
    /// need not be there: its own name, or the first free one where it is to give way. Nothing is
    /// changed.
    ///
    /// # Errors
    /// `configuration` for what is no name, else `local-io`.
    pub async fn would_place(
        &self,
        components: &[Bytes],
        name: &[u8],
        if_exists: LocalIfExists,
    ) -> Result<PathBuf> {
        for component in components.iter().map(|it| &it[..]).chain([name]) {
            checked(component)?;
        }
        let mut parent = self.path.clone();
        parent.extend(components.iter().map(|it| OsStr::from_bytes(it)));
        let first = parent.join(OsStr::from_bytes(name));
        if if_exists != LocalIfExists::Rename {
            return Ok(first);
        }
        let own_name = name.to_vec();
        let found = blocking(move || {
            for number in 0..MAX_TRIES {
                let name = names::numbered(&own_name, number);
                let path = parent.join(OsStr::from_bytes(&name));
                match path.symlink_metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
                    looked => looked?,
                };
            }
            Err(Errno::EXIST.into())
        });
        found.await.map_err(|error| self.refused(name, error))
    }

    /// Where what was chosen is.
    pub fn place_of(&self, chosen: &Chosen) -> PathBuf {
        self.real.join(OsStr::from_bytes(&chosen.name))
    }

    /// Gives a complete file the chosen name. Durable when it returns.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn place(
        &self,
        complete: Complete,
        chosen: &Chosen,
        if_exists: LocalIfExists,
        trace: Trace,
    ) -> Result<Settled> {
        let directory = self.clone();
        let own = chosen.clone();
        let placed = blocking(move || directory.place_now(complete, &own, if_exists, trace)).await;
        match placed.map_err(|error| self.refused(&chosen.name, error))? {
            Some(complete) => Ok(Settled::Taken(complete)),
            None => Ok(Settled::Placed(Placed {
                path: self.path.join(OsStr::from_bytes(&chosen.name)),
                already_present: chosen.content == Content::Same,
            })),
        }
    }

    /// The error for a local name that is taken by other content.
    pub fn taken(&self, name: &[u8]) -> Error {
        let path = self.path.join(OsStr::from_bytes(name));
        Error::new(
            Class::Exists,
            format!(
                "{} is there already, with other content",
                printable(path.as_os_str().as_bytes())
            ),
        )
        .with_hint("local-if-exists = \"rename\" or \"overwrite\" deliver beside it or over it")
    }

    /// Opens a part of an earlier run, alone: `None` when it is not there any more, or a living
    /// process has it.
    ///
    /// Waits a little for the lock: a transfer of this very process that was dropped may still be
    /// writing its last batches.
    fn claim(&self, name: &[u8]) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            rustix::fs::openat(&*self.handle, OsStr::from_bytes(name), flags, Mode::empty());
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !part::locked_in_time(&file) || !self.still_names(name, &file)? {
            return Ok(None);
        }
        Ok(Some(file))
    }

    /// Whether the name is still that of this open regular file.
    fn still_names(&self, name: &[u8], file: &File) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let own = file.metadata()?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(&*self.handle, OsStr::from_bytes(name), flags) {
            Ok(there) => {
                Ok(own.is_file() && there.st_ino == own.ino() && there.st_dev == own.dev())
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn choose_now(
        &self,
        wanted: &Wanted,
        if_exists: LocalIfExists,
        from: u32,
    ) -> io::Result<Chosen> {
        for number in from..MAX_TRIES {
            let name = names::numbered(&wanted.name, number);
            let chosen = |content| Chosen {
                name: name.clone(),
                number,
                content,
            };
            if self.holds_same(&name, wanted)? {
                return Ok(chosen(Content::Same));
            }
            let free = || {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                match rustix::fs::statat(&*self.handle, OsStr::from_bytes(&name), flags) {
                    Ok(_) => Ok(false),
                    Err(Errno::NOENT) => Ok(true),
                    Err(error) => Err(error),
                }
            };
            if if_exists == LocalIfExists::Overwrite || free()? {
                return Ok(chosen(Content::Other));
            }
            if if_exists == LocalIfExists::Error {
                break;
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Gives it the name, or gives it back when that was taken meanwhile.
    fn place_now(
        &self,
        mut complete: Complete,
        chosen: &Chosen,
        if_exists: LocalIfExists,
        trace: Trace,
    ) -> io::Result<Option<Complete>> {
        if chosen.content == Content::Same {
            self.make_way(complete, trace)?;
            return Ok(None);
        }
        let temporary = complete.temporary();
        if trace == Trace::Stays {
            self.link_second(temporary)?;
        }
        match if_exists {
            LocalIfExists::Overwrite => rename(&self.handle, &temporary.name, &chosen.name)?,
            LocalIfExists::Error | LocalIfExists::Rename => {
                match rename_to_free(&self.handle, &temporary.name, &chosen.name) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => return Ok(Some(complete)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        temporary.on_drop = OnDrop::Leave;
        rustix::fs::fsync(&*self.handle)?;
        Ok(None)
    }

    /// Whether a regular file of this name has the same size and content.
    fn holds_same(&self, name: &[u8], wanted: &Wanted) -> io::Result<bool> {
        let Some(there) = self.open_there(name) else {
            return Ok(false);
        };
        if there.metadata()?.len() != wanted.size {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mine = rustix::fs::openat(
            &*self.handle,
            OsStr::from_bytes(&wanted.temporary),
            flags,
            Mode::empty(),
        )?;
        let same = same_content(&there, &File::from(mine))?;
        if same {
            there.sync_all()?;
        }
        Ok(same)
    }

    /// The regular file of this name. `None`: not there, a link, or not ours to read, and so not
    /// known to be anything.
    fn open_there(&self, name: &[u8]) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = OsStr::from_bytes(name);
        let there = rustix::fs::openat(&*self.handle, name, flags, Mode::empty()).ok()?;
        let there = File::from(there);
        there.metadata().ok()?.is_file().then_some(there)
    }

    fn refused(&self, name: &[u8], error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::AlreadyExists => self.taken(name),
            _ => self.failed("delivering", name, error),
        }
    }

    fn failed(&self, what: &str, name: &[u8], error: io::Error) -> Error {
        let path = self.path.join(OsStr::from_bytes(name));
        let path = printable(path.as_os_str().as_bytes()).into_owned();
        Error::local_io(format_args!("{what} {path}"), error)
    }
}

impl PartName {
    fn new(name: Bytes, temporary: Bytes) -> Self {
        Self { name, temporary }
    }
}

impl Chosen {
    /// Which of the numbered names it is; 0 is the name itself.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// What is compared with what is there.
struct Wanted {
    name: Bytes,
    temporary: Bytes,
    size: u64,
}

fn checked(name: &[u8]) -> Result<()> {
    if names::is_base_name(name) {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "'{}' is no file name",
        printable(name)
    )))
}

/// Opens a directory inside another, made where it is missing.
fn enter(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => rustix::fs::fsync(parent)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The SHA-256 of what is in the file so far; it is left at its end.
fn digest_of(mut file: &File) -> io::Result<Context> {
    file.rewind()?;
    let mut digest = Context::new(&SHA256);
    let mut piece = vec![0; BATCH];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digest),
            Ok(read) => digest.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The last bytes of the file; it is left at its end.
fn tail_of(mut file: &File, len: u64) -> io::Result<Bytes> {
    file.seek(SeekFrom::Start(len.saturating_sub(part::TAIL)))?;
    let mut tail = Vec::new();
    file.take(part::TAIL).read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(len))?;
    Ok(tail.into())
}

fn is_whole(file: &File, size: u64, expected: &[u8; 32]) -> io::Result<bool> {
    Ok(file.metadata()?.len() == size && sha256(digest_of(file)?) == *expected)
}

fn rename(directory: &OwnedFd, from: &[u8], to: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::renameat(
        directory,
        OsStr::from_bytes(from),
        directory,
        OsStr::from_bytes(to),
    )
}

/// Renames to a name that must be free, at once.
fn rename_to_free(directory: &OwnedFd, from: &[u8], to: &[u8]) -> rustix::io::Result<()> {
    let (from, to) = (OsStr::from_bytes(from), OsStr::from_bytes(to));
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            // A file system without it: a second name is made at once too, and refused if taken.
            rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
            rustix::fs::unlinkat(directory, from, AtFlags::empty())
        }
        answer => answer,
    }
}

fn same_content(left: &File, right: &File) -> io::Result<bool> {
    let mut one = Vec::with_capacity(BATCH);
    let mut other = Vec::with_capacity(BATCH);
    loop {
        one.clear();
        other.clear();
        left.take(BATCH as u64).read_to_end(&mut one)?;
        right.take(BATCH as u64).read_to_end(&mut other)?;
        if one != other {
            return Ok(false);
        }
        if one.is_empty() {
            return Ok(true);
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    }
}
