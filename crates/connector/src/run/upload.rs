//! Opening a file at the server for a body, and looking at what has arrived in it.
//!
//! Not the naming: which file that is, and what it is called afterwards, is the caller's. Not the
//! writing either: that is [`Flow`](super::flow::Flow)'s.

use super::compare::hash_of;
use super::diagnose::{Doing, explain, plain};
use super::get::hex;
use super::stop::Stop;
use crate::error::{Class, Error, Result};
use crate::operation::{Send, Verify};
use crate::path::RemotePath;
use crate::progress::Observer;
use crate::remote::{Attrs, Remote, WriteMode, Writer};

/// Where bytes are written, and who is told of it.
pub(super) struct Target<'a, R: Remote> {
    pub(super) remote: &'a R,
    pub(super) path: &'a RemotePath,
    /// Where the body begins in the file.
    pub(super) start: u64,
    pub(super) stop: &'a Stop,
    pub(super) observer: &'a Observer,
}

/// What a look at the finished file showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// How it was verified, as the tracked property says it.
    pub(super) verified: &'static str,
    /// As the server told them; none where nothing was looked at.
    pub(super) attrs: Attrs,
}

impl<R: Remote> Target<'_, R> {
    /// Sees that it is on the server's disk and of the right size, and closes it.
    pub(super) async fn settle(
        &self,
        mut writer: R::Writer,
        send: &Send,
        size: u64,
    ) -> Result<Found> {
        let fsync = send.fsync;
        let fsync = fsync.unwrap_or_else(|| self.remote.capabilities().fsync);
        let looks = send.verify != Verify::None;
        let (durable, on_handle) = match (fsync, looks) {
            (true, true) => {
                let (durable, attrs) = writer.fsync_and_stat().await;
                (durable, Some(attrs))
            }
            (true, false) => (writer.fsync().await, None),
            (false, true) => match writer.flush().await {
                Ok(()) => (Ok(()), Some(writer.stat().await)),
                failed => (failed, None),
            },
            (false, false) => (writer.flush().await, None),
        };
        if let Err(error) = durable {
            return Err(explain(self.remote, Doing::Writing(self.path), error).await);
        }
        let Some(on_handle) = on_handle else {
            self.closed(writer).await?;
            return Ok(Found {
                verified: "none",
                attrs: Attrs::default(),
            });
        };
        let looked = |error| plain(Doing::Looking(self.path), error);
        let on_handle = match on_handle {
            Ok(attrs) => Some(attrs),
            Err(error) if error.is_lost() => return Err(looked(error)),
            Err(_) => None,
        };
        self.closed(writer).await?;
        let attrs = match on_handle {
            Some(attrs) if attrs.size.is_some() => attrs,
            _ => match self.remote.stat(self.path).await {
                Ok(attrs) => attrs,
                Err(error) if error.is_lost() => return Err(looked(error)),
                // A drop box may forbid looking.
                Err(_) => Attrs::default(),
            },
        };
        let found = |verified| Ok(Found { verified, attrs });
        match attrs.size {
            None => found("unverifiable"),
            Some(there) if there == self.start + size => found("size"),
            Some(there) => Err(Error::new(
                Class::Integrity,
                format!(
                    "{} has {there} bytes where {} were written; someone else may be writing it",
                    self.path,
                    self.start + size
                ),
            )),
        }
    }

    /// Compares what stands with what was sent: by the server's hash of it where that can be had, else
    /// by reading it back.
    pub(super) async fn verify_hash(&self, sent: &[u8; 32]) -> Result<&'static str> {
        let (found, how, verified) = match self.stop.unless(self.hashed_there()).await? {
            Some(found) => (found, "is hashed by the server to", "check-file"),
            None => {
                let found = hash_of(self.remote, self.path, self.start, self.stop).await?;
                (found, "reads back with", "hash")
            }
        };
        if found == *sent {
            return Ok(verified);
        }
        Err(Error::new(
            Class::Integrity,
            format!(
                "{} {how} SHA-256 {}, and {} was sent",
                self.path,
                hex(&found),
                hex(sent)
            ),
        ))
    }

    /// The server's own hash. One that refuses, or that answers with something else, is not believed
    /// to have looked.
    async fn hashed_there(&self) -> Result<Option<[u8; 32]>> {
        if !self.remote.capabilities().check_file {
            return Ok(None);
        }
        match self.remote.check_file(self.path, self.start).await {
            Ok(found) => Ok(found),
            Err(error) if error.is_lost() => Err(plain(Doing::Hashing(self.path), error)),
            Err(_) => Ok(None),
        }
    }

    async fn closed(&self, writer: R::Writer) -> Result<()> {
        match writer.close().await {
            Ok(()) => Ok(()),
            #[cfg(sansftp_bugs)]
            Err(_) if sansftp_proto::bugs::seeded("close-ignored") => Ok(()),
            Err(error) => Err(explain(self.remote, Doing::Closing(self.path), error).await),
        }
    }
}

/// Opens a file for writing, with the cause where that is refused.
pub(super) async fn open_write<R: Remote>(
    remote: &R,
    path: &RemotePath,
    mode: WriteMode,
) -> Result<R::Writer> {
    let doing = match mode {
        WriteMode::Existing => Doing::Opening(path),
        WriteMode::CreateExclusive | WriteMode::CreateOrTruncate => Doing::Creating(path),
    };
    match remote.open_write(path, mode).await {
        Ok(writer) => Ok(writer),
        Err(error) => Err(explain(remote, doing, error).await),
    }
}

/// The size of an open file; `None` where the server does not tell it.
pub(super) async fn size_of<W: Writer>(writer: &mut W, path: &RemotePath) -> Result<Option<u64>> {
    let attrs = writer.stat().await;
    let attrs = attrs.map_err(|error| plain(Doing::Looking(path), error))?;
    Ok(attrs.size)
}
