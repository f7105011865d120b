//! What the journal is told of a document that is sent, where there is a journal.
//!
//! Not what follows from it after a restart: that is in `recall`.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::Result;
use crate::journal;
use crate::path::RemotePath;

/// How far an upload is, is recorded this often: at most so much is sent again after a crash, and a
/// fast upload does not wait for the disk.
const EVERY: Duration = Duration::from_secs(1);

/// The journal's entry of a document. Without a journal nothing is recorded.
#[derive(Debug, Default)]
pub(in crate::run) struct Record {
    entry: Option<journal::Sending>,
    last: Option<Instant>,
}

impl Record {
    pub(in crate::run) fn hold(&mut self, entry: journal::Sending) {
        self.entry = Some(entry);
    }

    pub(in crate::run) fn entry(&self) -> Option<&journal::Sending> {
        self.entry.as_ref()
    }

    pub(in crate::run) fn is_kept(&self) -> bool {
        self.entry.is_some()
    }

    pub(in crate::run) async fn begun(
        &mut self,
        temporary: &RemotePath,
        name: &Bytes,
    ) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.begun(temporary, name).await,
            None => Ok(()),
        }
    }

    /// So much stands, and the file is this document's own.
    pub(in crate::run) async fn stands(&mut self, bytes: u64) -> Result<()> {
        self.last = Some(Instant::now());
        match &mut self.entry {
            Some(entry) => entry.stands(bytes).await,
            None => Ok(()),
        }
    }

    /// So much stands by now. Recorded now and then.
    pub(in crate::run) async fn grows(&mut self, bytes: u64) -> Result<()> {
        let due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        match due && self.entry.is_some() {
            true => self.stands(bytes).await,
            false => Ok(()),
        }
    }

    /// The temporary file is complete.
    pub(in crate::run) async fn written(
        &mut self,
        size: u64,
        sha256: Option<[u8; 32]>,
    ) -> Result<()> {
        let Some(entry) = &mut self.entry else {
            return Ok(());
        };
        let sha256 = sha256.expect("with a journal the SHA-256 is always computed");
        entry.written(size, sha256).await
    }

    pub(in crate::run) async fn publishing(&mut self, path: &RemotePath) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.publishing(path).await,
            None => Ok(()),
        }
    }

    pub(in crate::run) async fn reserved(&mut self) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.reserved().await,
            None => Ok(()),
        }
    }

    pub(in crate::run) async fn appending(&mut self, path: &RemotePath, base: u64) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.appending(path, base).await,
            None => Ok(()),
        }
    }

    pub(in crate::run) async fn withdrawn(&mut self) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.withdrawn().await,
            None => Ok(()),
        }
    }

    pub(in crate::run) async fn published(&mut self, path: &RemotePath) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.published(path).await,
            None => Ok(()),
        }
    }

    pub(in crate::run) async fn moving(&mut self, target: &RemotePath) -> Result<()> {
        match &mut self.entry {
            Some(entry) => entry.moving(target).await,
            None => Ok(()),
        }
    }

    /// The entry, to be ended; nothing more is recorded.
    pub(in crate::run) fn take(&mut self) -> Option<journal::Sending> {
        self.entry.take()
    }
}
