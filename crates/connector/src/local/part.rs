//! One file on its way to the disk: a part, and what it is once it is complete.
//!
//! Not its name: which one it gets is the directory's affair.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ring::digest::Context;
use rustix::fs::AtFlags;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::trace::remove_second;
use super::{BATCH, PartName, Unfinished};
use crate::error::{Error, Result};
use crate::path::printable;
use crate::run::compare::sha256;

/// At most so many chunks in a batch: IOV_MAX of Linux.
const MAX_SLICES: usize = 1024;
/// So many bytes at the end of a part of an earlier run are compared with the server's before it
/// goes on: after a loss of power the last blocks may not be what was written.
pub(super) const TAIL: u64 = 64 << 10;
/// So long a lock is waited for. A transfer that was dropped in this process lets go of it once its
/// batches are on the disk; any other holder is a living process.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// A file that is being written, `.NAME.UUID.part`, under a lock. Dropped, it is removed or stays,
/// as was said when it was begun.
#[derive(Debug)]
pub struct Part {
    queue: mpsc::Sender<Order>,
    writer: JoinHandle<io::Result<Option<Complete>>>,
    gathered: Vec<Bytes>,
    bytes: usize,
    name: String,
    already: u64,
    tail: Bytes,
}

/// A file that is complete and on the disk, under its temporary name. Dropped, it is removed or
/// stays, as was said when it was begun.
#[derive(Debug)]
pub struct Complete {
    temporary: Temporary,
    name: Bytes,
    size: u64,
    sha256: Option<[u8; 32]>,
}

#[derive(Debug)]
enum Order {
    Write(Vec<Bytes>),
    Finish,
    Remove,
}

impl Part {
    pub(super) fn written_by(
        temporary: Temporary,
        name: Bytes,
        digest: Option<Context>,
        queue: usize,
    ) -> Self {
        let (queue, orders) = mpsc::channel(queue);
        let shown = printable(&name).into_owned();
        let writer = tokio::task::spawn_blocking(move || temporary.write_all(orders, name, digest));
        Self {
            queue,
            writer,
            gathered: Vec::new(),
            bytes: 0,
            name: shown,
            already: 0,
            tail: Bytes::new(),
        }
    }

    pub(super) fn with_already(self, already: u64, tail: Bytes) -> Self {
        Self {
            already,
            tail,
            ..self
        }
    }

    /// How many bytes an earlier run has left in it: the next one is written behind them.
    pub fn already(&self) -> u64 {
        self.already
    }

    /// The last of those bytes, at most 64 KiB, to be compared with the source.
    pub fn tail(&self) -> &Bytes {
        &self.tail
    }

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
    /// `local-io`.
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
        // Whatever it says, nothing more can be done about it here.
        let _ = self.queue.send(Order::Remove).await;
        drop(self.queue);
        let _ = self.writer.await;
    }

    /// Stops writing, with what came so far on its way to the disk, and waits until it is let go:
    /// removed or staying, as was said when it was begun.
    pub async fn set_down(mut self) {
        if !self.gathered.is_empty() {
            // What is missing is fetched again.
            let _ = self.hand_over().await;
        }
        drop(self.queue);
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
        let is_full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let failed = Error::local_io(format_args!("writing {}", self.name), error);
        if is_full {
            return failed.with_hint("make room where files are delivered on this machine");
        }
        failed
    }
}

impl Complete {
    pub(super) fn new(
        temporary: Temporary,
        name: Bytes,
        size: u64,
        sha256: Option<[u8; 32]>,
    ) -> Self {
        Self {
            temporary,
            name,
            size,
            sha256,
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its SHA-256, where that was asked for.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256
    }

    /// The part that it is.
    pub fn part(&self) -> PartName {
        PartName::new(self.name.clone(), self.temporary.name.clone())
    }

    /// Removes it.
    pub fn discard(mut self) {
        self.temporary.on_drop = OnDrop::Remove;
    }

    pub(super) fn name(&self) -> &Bytes {
        &self.name
    }

    pub(super) fn temporary_name(&self) -> &Bytes {
        &self.temporary.name
    }

    pub(super) fn temporary(&mut self) -> &mut Temporary {
        &mut self.temporary
    }
}

/// A file under its temporary name, locked as long as this lives.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Arc<OwnedFd>,
    pub(super) name: Bytes,
    pub(super) file: File,
    pub(super) on_drop: OnDrop,
}

/// What becomes of the temporary name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDrop {
    Remove,
    /// It is left, or is not there any more.
    Leave,
}

impl Temporary {
    pub(super) fn new(
        directory: Arc<OwnedFd>,
        name: Bytes,
        file: File,
        unfinished: Unfinished,
    ) -> Self {
        Self {
            directory,
            name,
            file,
            on_drop: match unfinished {
                Unfinished::Removed => OnDrop::Remove,
                Unfinished::Stays => OnDrop::Leave,
            },
        }
    }

    /// The second name first: alone, it would say that the file was delivered.
    fn remove(&self) -> io::Result<()> {
        remove_second(&self.directory, &self.name)?;
        let name = OsStr::from_bytes(&self.name);
        Ok(rustix::fs::unlinkat(
            &*self.directory,
            name,
            AtFlags::empty(),
        )?)
    }

    /// Runs on a thread of its own until the orders end. `None` when they ended without
    /// [`Order::Finish`].
    fn write_all(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        name: Bytes,
        mut digest: Option<Context>,
    ) -> io::Result<Option<Complete>> {
        while let Some(order) = orders.blocking_recv() {
            let batch = match order {
                Order::Write(batch) => batch,
                Order::Remove => {
                    self.on_drop = OnDrop::Remove;
                    break;
                }
                Order::Finish => {
                    #[cfg(sansftp_bugs)]
                    if sansftp_proto::bugs::seeded("never-synced") {
                        let size = self.file.metadata()?.len();
                        return Ok(Some(Complete::new(self, name, size, digest.map(sha256))));
                    }
                    self.file.sync_all()?;
                    let size = self.file.metadata()?.len();
                    let sha256 = digest.map(sha256);
                    return Ok(Some(Complete::new(self, name, size, sha256)));
                }
            };
            if let Some(digest) = &mut digest {
                batch.iter().for_each(|chunk| digest.update(chunk));
            }
            if let Err(error) = write_batch(&mut self.file, &batch) {
                // A full disk is not to stay full of what cannot be finished.
                self.on_drop = OnDrop::Remove;
                return Err(error);
            }
        }
        Ok(None)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Leave {
            return;
        }
        if let Err(error) = self.remove() {
            tracing::warn!(name = %printable(&self.name), %error, "a temporary file is left there");
        }
    }
}

/// Locks the file, waiting a little for whoever lets go of it. Blocks. Where the file system knows
/// no locks nobody else can have one.
pub(super) fn locked_in_time(file: &File) -> bool {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return true,
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return false,
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
