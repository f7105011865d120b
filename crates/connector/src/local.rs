//! Durable delivery into a local directory: written beside its place, forced to the disk, renamed
//! into place without replacing anything that was not to be replaced.
//!
//! Not a cache and not a resumable download. Each file has one thread of the blocking pool while it
//! is written; the bytes in its queue are bounded, and the thread writes them from where the
//! network put them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Class, Error, Result};
use crate::names;
use crate::operation::LocalIfExists;
use crate::path::printable;
use crate::run::compare::sha256;

/// Chunks are gathered to this many bytes before they are written: few enough system calls, and
/// little enough memory.
const BATCH: usize = 1 << 20;
/// At most so many chunks in a batch: IOV_MAX of Linux.
const MAX_SLICES: usize = 1024;
/// So many batches wait for the disk at most, as far as the memory allows.
const MAX_QUEUE: u64 = 8;
/// As many names are tried as at the server.
const MAX_TRIES: u32 = 10_000;

/// A local directory that files are delivered into.
#[derive(Clone, Debug)]
pub struct Directory {
    handle: Arc<OwnedFd>,
    path: PathBuf,
    queue: usize,
}

/// A file that is being written, `.NAME.UUID.part`. Dropped, it is removed.
#[derive(Debug)]
pub struct Part {
    queue: mpsc::Sender<Order>,
    writer: JoinHandle<io::Result<Option<Complete>>>,
    gathered: Vec<Bytes>,
    bytes: usize,
    name: String,
}

/// A file that is complete and on the disk, under its temporary name. Dropped, it is removed.
#[derive(Debug)]
pub struct Complete {
    temporary: Temporary,
    name: Bytes,
    size: u64,
    sha256: Option<[u8; 32]>,
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

#[derive(Debug)]
enum Order {
    Write(Vec<Bytes>),
    Finish,
}

impl Directory {
    /// Opens the directory. At most half of `memory` bytes wait for the disk at any time.
    ///
    /// # Errors
    /// `local-io` when it is not there or is no directory.
    pub fn open(path: &Path, memory: u64) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            Error::local_io(
                format_args!("the directory {}", path.display()),
                error.into(),
            )
            .with_hint("make it, or name another")
        })?;
        let batches = (memory / 2 / BATCH as u64).clamp(1, MAX_QUEUE);
        Ok(Self {
            handle: Arc::new(handle),
            path: path.to_owned(),
            queue: usize::try_from(batches).expect("at most eight"),
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

    /// Begins a file. `name` is what it will be called; it comes from a server and is refused when
    /// it is no base name.
    ///
    /// # Errors
    /// `configuration` for what is no name, else `local-io`.
    pub async fn begin(&self, name: &[u8], checksum: Checksum) -> Result<Part> {
        if !names::is_base_name(name) {
            return Err(Error::configuration(format!(
                "'{}' is no file name",
                printable(name)
            )));
        }
        let handle = Arc::clone(&self.handle);
        let own_name = Bytes::copy_from_slice(name);
        let temporary_name = names::temporary(name);
        let opened = blocking(move || {
            let flags =
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o666);
            let file =
                rustix::fs::openat(&*handle, OsStr::from_bytes(&temporary_name), flags, mode)?;
            Ok(Temporary {
                directory: handle,
                name: temporary_name,
                file: File::from(file),
                placed: false,
            })
        })
        .await;
        let temporary = opened.map_err(|error| self.failed("creating a file for", name, error))?;
        let (queue, orders) = mpsc::channel(self.queue);
        let digest = (checksum == Checksum::Sha256).then(|| Context::new(&SHA256));
        let writer =
            tokio::task::spawn_blocking(move || temporary.write_all(orders, own_name, digest));
        Ok(Part {
            queue,
            writer,
            gathered: Vec::new(),
            bytes: 0,
            name: printable(name).into_owned(),
        })
    }

    /// Gives a complete file its name, by the rule for a name that is taken. Durable when it
    /// returns.
    ///
    /// # Errors
    /// `exists`, or `local-io`.
    pub async fn place(&self, complete: Complete, if_exists: LocalIfExists) -> Result<Placed> {
        let directory = self.clone();
        let name = complete.name.clone();
        let placed = blocking(move || directory.place_now(complete, if_exists)).await;
        let name_placed = placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.taken(&name),
            _ => self.failed("delivering", &name, error),
        })?;
        let (name, already_present) = name_placed;
        Ok(Placed {
            path: self.path.join(OsStr::from_bytes(&name)),
            already_present,
        })
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

    fn place_now(
        &self,
        mut complete: Complete,
        if_exists: LocalIfExists,
    ) -> io::Result<(Bytes, bool)> {
        for number in 0..MAX_TRIES {
            let name = names::numbered(&complete.name, number);
            if self.holds_same(&name, &complete)? {
                // Whoever wrote it may not have waited for the disk.
                rustix::fs::fsync(&*self.handle)?;
                return Ok((name, true));
            }
            match if_exists {
                LocalIfExists::Overwrite => {
                    rename(&self.handle, &complete.temporary.name, &name)?;
                }
                LocalIfExists::Error | LocalIfExists::Rename => {
                    match rename_to_free(&self.handle, &complete.temporary.name, &name) {
                        Ok(()) => {}
                        Err(Errno::EXIST) if if_exists == LocalIfExists::Rename => continue,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            complete.temporary.placed = true;
            rustix::fs::fsync(&*self.handle)?;
            return Ok((name, false));
        }
        Err(Errno::EXIST.into())
    }

    /// Whether a regular file of this name has the same size and content.
    fn holds_same(&self, name: &[u8], complete: &Complete) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = match rustix::fs::openat(
            &*self.handle,
            OsStr::from_bytes(name),
            flags,
            Mode::empty(),
        ) {
            Ok(there) => File::from(there),
            // Not there, a link, or not ours to read: not known to be the same.
            Err(_) => return Ok(false),
        };
        let metadata = there.metadata()?;
        if !metadata.is_file() || metadata.len() != complete.size {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mine = rustix::fs::openat(
            &*self.handle,
            OsStr::from_bytes(&complete.temporary.name),
            flags,
            Mode::empty(),
        )?;
        let same = same_content(&there, &File::from(mine))?;
        if same {
            there.sync_all()?;
        }
        Ok(same)
    }

    fn failed(&self, what: &str, name: &[u8], error: io::Error) -> Error {
        let path = self.path.join(OsStr::from_bytes(name));
        let path = printable(path.as_os_str().as_bytes()).into_owned();
        Error::local_io(format_args!("{what} {path}"), error)
    }
}

impl Part {
    /// Takes the next bytes; waits while the disk is behind.
    ///
    /// # Errors
    /// `local-io`: what the disk said to earlier ones.
    pub async fn write(&mut self, data: Bytes) -> Result<()> {
        self.bytes += data.len();
        self.gathered.push(data);
        if self.bytes < BATCH && self.gathered.len() < MAX_SLICES {
            return Ok(());
        }
        self.hand_over().await
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// `local-io`; nothing is left there then.
    pub async fn finish(mut self) -> Result<Complete> {
        if !self.gathered.is_empty() {
            self.hand_over().await?;
        }
        if self.queue.send(Order::Finish).await.is_err() {
            return Err(self.why().await);
        }
        match (&mut self.writer).await {
            Ok(Ok(Some(complete))) => Ok(complete),
            Ok(Err(error)) => Err(self.failed(error)),
            Ok(Ok(None)) | Err(_) => Err(self.failed(io::Error::other("the writer ended early"))),
        }
    }

    /// Gives it up and waits until it is removed.
    pub async fn abandon(self) {
        drop(self.queue);
        // Whatever it says, nothing more can be done about it here.
        let _ = self.writer.await;
    }

    async fn hand_over(&mut self) -> Result<()> {
        let capacity = self.gathered.len();
        let batch = std::mem::replace(&mut self.gathered, Vec::with_capacity(capacity));
        self.bytes = 0;
        if self.queue.send(Order::Write(batch)).await.is_ok() {
            return Ok(());
        }
        Err(self.why().await)
    }

    /// Why the writer takes no more.
    async fn why(&mut self) -> Error {
        match (&mut self.writer).await {
            Ok(Err(error)) => self.failed(error),
            _ => self.failed(io::Error::other("the writer ended early")),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::local_io(format_args!("writing {}", self.name), error)
    }
}

impl Complete {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its SHA-256, where that was asked for.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256
    }
}

/// A file under its temporary name; removed on drop unless it got its own.
#[derive(Debug)]
struct Temporary {
    directory: Arc<OwnedFd>,
    name: Bytes,
    file: File,
    placed: bool,
}

impl Temporary {
    /// Runs on a thread of its own until the orders end. `None` when they ended without
    /// [`Order::Finish`].
    fn write_all(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        name: Bytes,
        mut digest: Option<Context>,
    ) -> io::Result<Option<Complete>> {
        let mut size = 0u64;
        while let Some(order) = orders.blocking_recv() {
            let Order::Write(batch) = order else {
                self.file.sync_all()?;
                return Ok(Some(Complete {
                    temporary: self,
                    name,
                    size,
                    sha256: digest.map(sha256),
                }));
            };
            for chunk in &batch {
                size += chunk.len() as u64;
                if let Some(digest) = &mut digest {
                    digest.update(chunk);
                }
            }
            write_batch(&mut self.file, &batch)?;
        }
        Ok(None)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(
            &*self.directory,
            OsStr::from_bytes(&self.name),
            AtFlags::empty(),
        ) {
            tracing::warn!(name = %printable(&self.name), %error, "a temporary file is left there");
        }
    }
}

fn write_batch(file: &mut File, batch: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    // Cuts off empty slices at the front, or a write of none would look like a full disk.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), 64 << 20).unwrap();
        (folder, directory)
    }

    fn names_in(folder: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn deliver(
        directory: &Directory,
        name: &[u8],
        content: &'static [u8],
        if_exists: LocalIfExists,
    ) -> Result<Placed> {
        let mut part = directory.begin(name, Checksum::None).await?;
        for chunk in content.chunks(3) {
            part.write(Bytes::from_static(chunk)).await?;
        }
        directory.place(part.finish().await?, if_exists).await
    }

    #[tokio::test]
    async fn a_file_arrives_whole_under_its_name_and_nothing_else_stays() {
        let (folder, directory) = directory();
        let placed = deliver(&directory, b"a b\n", b"hello world", LocalIfExists::Error)
            .await
            .unwrap();
        assert!(!placed.already_present);
        assert_eq!(std::fs::read(&placed.path).unwrap(), b"hello world");
        assert_eq!(names_in(&folder), ["a b\n"]);
        deliver(&directory, b"empty", b"", LocalIfExists::Error)
            .await
            .unwrap();
        assert_eq!(std::fs::read(folder.path().join("empty")).unwrap(), b"");
    }

    #[tokio::test]
    async fn a_taken_name_follows_its_rule() {
        let (folder, directory) = directory();
        std::fs::write(folder.path().join("a.txt"), "old").unwrap();
        let error = deliver(&directory, b"a.txt", b"new", LocalIfExists::Error)
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Exists);
        assert_eq!(names_in(&folder), ["a.txt"]);
        let renamed = deliver(&directory, b"a.txt", b"new", LocalIfExists::Rename)
            .await
            .unwrap();
        assert_eq!(renamed.path, folder.path().join("a1.txt"));
        assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"old");
        deliver(&directory, b"a.txt", b"new", LocalIfExists::Overwrite)
            .await
            .unwrap();
        assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"new");
    }

    #[tokio::test]
    async fn equal_content_counts_as_delivered() {
        let (folder, directory) = directory();
        std::fs::write(folder.path().join("a"), "same").unwrap();
        let placed = deliver(&directory, b"a", b"same", LocalIfExists::Error)
            .await
            .unwrap();
        assert!(placed.already_present);
        assert_eq!(names_in(&folder), ["a"]);
        assert!(
            deliver(&directory, b"a", b"sane", LocalIfExists::Error)
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_link_of_the_name_is_neither_followed_nor_replaced() {
        let (folder, directory) = directory();
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "data").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("a")).unwrap();
        assert!(
            deliver(&directory, b"a", b"data", LocalIfExists::Error)
                .await
                .is_err()
        );
        deliver(&directory, b"a", b"new", LocalIfExists::Overwrite)
            .await
            .unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"data");
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"new");
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let (folder, directory) = directory();
        let mut part = directory.begin(b"a", Checksum::None).await.unwrap();
        part.write(Bytes::from_static(b"half")).await.unwrap();
        part.abandon().await;
        assert_eq!(names_in(&folder), [""; 0]);
        let part = directory.begin(b"a", Checksum::None).await.unwrap();
        drop(part.finish().await.unwrap());
        assert_eq!(names_in(&folder), [""; 0]);
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_refused() {
        let (_folder, directory) = directory();
        for name in [&b"../a"[..], b"..", b"a/b", b"", b"a\0"] {
            assert!(directory.begin(name, Checksum::None).await.is_err());
        }
    }

    #[tokio::test]
    async fn the_checksum_is_that_of_the_content() {
        let (_folder, directory) = directory();
        let mut part = directory.begin(b"a", Checksum::Sha256).await.unwrap();
        for _ in 0..3000 {
            part.write(Bytes::from_static(b"0123456789")).await.unwrap();
        }
        let complete = part.finish().await.unwrap();
        let expected = ring::digest::digest(&SHA256, &b"0123456789".repeat(3000));
        assert_eq!(complete.sha256().unwrap(), expected.as_ref());
        assert_eq!(complete.size(), 30_000);
    }
}
