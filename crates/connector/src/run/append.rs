//! Appending to a file at the server, so that repeating a write changes nothing.
//!
//! Opened without APPEND and without TRUNC; written at explicit offsets from the size that was
//! found, in order. After a lost connection: reopened, looked at, the last bytes compared, and
//! continued. Not safe against another writer, but one is noticed, and then nothing more is
//! written.

use super::diagnose::{Doing, exists, plain};
use super::places::behind_links;
use super::source::Source;
use super::upload::{Found, Target, Written, digest_for, digested, open_write};
use crate::error::{Class, Error, Result};
use crate::operation::{Send, Verify};
use crate::path::RemotePath;
use crate::remote::{FileKind, Reader, Remote, RemoteErrorKind, WriteMode, Writer};

/// So much of what stands is compared before it is continued.
const COMPARED: usize = 64 << 10;

/// One append on its way.
#[derive(Debug, Default)]
pub(super) struct Append {
    /// The size that was found; nothing was written before that is known.
    start: Option<u64>,
    /// The file is ours: there was none.
    pub(super) created: bool,
    pub(super) written: Written,
}

/// What an append came to.
#[derive(Debug)]
pub(super) struct Appended {
    /// Bytes of the body.
    pub(super) size: u64,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) found: Found,
}

impl Append {
    /// Appends, or continues where a lost connection cut it off.
    pub(super) async fn attempt<R: Remote>(
        &mut self,
        target: Target<'_, R>,
        send: &Send,
        source: &mut Source,
    ) -> Result<Appended> {
        let (mut writer, at) = match self.start {
            None => (self.begin(&target).await?, 0),
            Some(start) => self.reopen(&target, start).await?,
        };
        let start = self.start.expect("the size was just found");
        let target = Target { start, ..target };
        let mut digest = digest_for(send);
        let mut reading = source.read()?;
        if at > 0 {
            // What stands is read again from the source: for the checksum, and for its last bytes.
            let mut tail = Vec::new();
            let mut left = at;
            let mut first = None;
            while left > 0 {
                let Some(mut block) = reading.next().await? else {
                    return Err(Error::new(
                        Class::Integrity,
                        "the source is shorter than before",
                    ));
                };
                let stands = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                let old = block.split_to(stands);
                if let Some(digest) = &mut digest {
                    digest.update(&old);
                }
                tail.extend_from_slice(&old);
                tail.drain(..tail.len().saturating_sub(COMPARED));
                left -= stands as u64;
                first = (!block.is_empty()).then_some(block);
            }
            compare_tail(&target, start + at, &tail).await?;
            self.written.told += at;
            target.observer.tell(|progress| progress.advanced(at));
            if let Some(first) = first {
                reading = reading.after(first);
            }
        }
        let written = &mut self.written;
        let size = target
            .pour(&mut writer, &mut reading, at, digest.as_mut(), written)
            .await?;
        let mut found = target.settle(writer, send, size).await?;
        self.written.acknowledged = size;
        let sha256 = digested(digest);
        if let (Verify::Hash, Some(sha256)) = (send.verify, &sha256) {
            found.verified = target.verify_hash(sha256).await?;
        }
        source.expect_unchanged(size).await?;
        Ok(Appended {
            size,
            sha256,
            found,
        })
    }

    /// Whether anything may have been written.
    pub(super) fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// The failure, with how much stands.
    pub(super) fn told(&self, path: &RemotePath, error: Error) -> Error {
        if self.written.sent == 0 {
            return error;
        }
        // The same document again would be there twice, or once and a half.
        let error = error.not_retryable();
        let stands = self.written.acknowledged;
        if stands == self.written.sent {
            return error.with_note(format_args!(
                "{stands} bytes of it stand at the end of {path}"
            ));
        }
        error.with_note(format_args!(
            "at least {stands} and at most {} bytes of it stand at the end of {path}",
            self.written.sent
        ))
    }

    /// Opens the file that is there, or a new one, and finds its size.
    async fn begin<R: Remote>(&mut self, target: &Target<'_, R>) -> Result<R::Writer> {
        let Target { remote, path, .. } = *target;
        let mut writer = match behind_links(remote, path).await? {
            Some(there) if there.kind == FileKind::Directory => return Err(exists(path, &there)),
            Some(_) => open_write(remote, path, WriteMode::Existing).await?,
            None => {
                let writer = open_write(remote, path, WriteMode::CreateExclusive).await?;
                self.created = true;
                writer
            }
        };
        self.start = Some(size_of(&mut writer, path).await?);
        Ok(writer)
    }

    /// Opens it again after a lost connection and sees how much stands.
    async fn reopen<R: Remote>(
        &self,
        target: &Target<'_, R>,
        start: u64,
    ) -> Result<(R::Writer, u64)> {
        let Target { remote, path, .. } = *target;
        let mut writer = open_write(remote, path, WriteMode::Existing).await?;
        let found = size_of(&mut writer, path).await?;
        let fits = start + self.written.acknowledged..=start + self.written.sent;
        if !fits.contains(&found) {
            return Err(Error::new(
                Class::Integrity,
                format!(
                    "{path} has {found} bytes now, and {} to {} were to be expected: someone else \
                     writes it, so nothing more is written",
                    fits.start(),
                    fits.end()
                ),
            ));
        }
        // What lies beyond the acknowledged may have gaps; writing it again changes nothing.
        Ok((writer, self.written.acknowledged))
    }
}

/// The bytes before `end` must be those that were sent, where reading is allowed.
async fn compare_tail<R: Remote>(target: &Target<'_, R>, end: u64, tail: &[u8]) -> Result<()> {
    let Target { remote, path, .. } = *target;
    let mut reader = match remote.open_read(path).await {
        Ok(reader) => reader,
        Err(error) if error.kind == RemoteErrorKind::Permission => return Ok(()),
        Err(error) => return Err(plain(Doing::Opening(path), error)),
    };
    let len = tail.len() as u64;
    reader.start(end - len, Some(len));
    let mut rest = tail;
    while !rest.is_empty() {
        let chunk = reader.chunk().await;
        let chunk = chunk.map_err(|error| plain(Doing::Reading(path), error))?;
        let chunk = chunk.unwrap_or_default();
        let both = chunk.len().min(rest.len());
        if both == 0 || chunk[..both] != rest[..both] {
            return Err(Error::new(
                Class::Integrity,
                format!(
                    "the end of {path} is not what was sent: someone else writes it, so nothing more is written"
                ),
            ));
        }
        rest = &rest[both..];
    }
    Ok(())
}

async fn size_of<W: Writer>(writer: &mut W, path: &RemotePath) -> Result<u64> {
    let attrs = writer.stat().await;
    let attrs = attrs.map_err(|error| plain(Doing::Looking(path), error))?;
    attrs.size.ok_or_else(|| {
        Error::new(
            Class::Unsupported,
            format!(
                "the server does not tell the size of {path}, so nothing can be appended to it"
            ),
        )
    })
}
