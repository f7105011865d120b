//! A body on its way into a file at the server, over lost connections.
//!
//! What the server has not acknowledged is kept, and what was read is hashed once: after a lost
//! connection the body goes on from there whatever it comes from, a stream too. What is kept is
//! bounded by what a writer takes before it is acknowledged, and shares its memory with that.
//!
//! Not the file: which one it is, and where in it the body begins, is the caller's.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use ring::digest::{Context, SHA256};

use super::compare::sha256;
use super::diagnose::{Doing, explain, plain};
use super::send::record::Record;
use super::source::{Reading, Source};
use super::upload::Target;
use crate::error::{Class, Error, Result};
use crate::operation::{Send, Verify};
use crate::progress::Observer;
use crate::remote::{Reader, Remote, RemoteErrorKind, Writer};

/// So much of what stands is compared before it is continued.
pub(super) const COMPARED: u64 = 64 << 10;

/// A body on its way, and how far it is.
#[derive(Default)]
pub(super) struct Flow {
    pass: Option<Pass>,
    /// Bytes of the body that were given to the server.
    sent: u64,
    /// Bytes of the body that stand at the server without a gap.
    acknowledged: u64,
    /// Bytes that the observer counts.
    told: u64,
    /// The digest is wanted whatever the options say.
    hashed: bool,
}

/// One reading of the body.
struct Pass {
    reading: Reading,
    ended: bool,
    digest: Option<Context>,
    /// What was read last, up to `read`.
    kept: VecDeque<Bytes>,
    /// Where in the body the kept bytes begin.
    kept_from: u64,
    /// Nothing before this will be asked for again.
    floor: u64,
    read: u64,
}

/// What a comparison with the file at the server came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Different,
    /// This account may not read what it writes.
    Unreadable,
}

impl Flow {
    /// Bytes of the body that were given to the server.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes of the body that stand at the server without a gap.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The SHA-256 of the whole body, once it was read and where it was asked for.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        let pass = self.pass.as_ref().filter(|pass| pass.ended)?;
        pass.digest.clone().map(sha256)
    }

    /// Whether the body can be had from `offset` on.
    pub(super) fn can_go_to(&self, source: &Source, offset: u64) -> bool {
        let kept = self
            .pass
            .as_ref()
            .is_some_and(|pass| pass.kept_from <= offset);
        kept || source.is_readable()
    }

    /// The digest is wanted whatever the options say.
    pub(super) fn hash(&mut self) {
        self.hashed = true;
    }

    /// So much stood when an earlier run ended, which may have sent more.
    pub(super) fn stood(&mut self, bytes: u64, size: Option<u64>) {
        self.acknowledged = bytes;
        self.sent = size.unwrap_or(u64::MAX).max(bytes);
    }

    /// What is written next is the beginning of a new file.
    pub(super) fn begin(
        &mut self,
        source: &mut Source,
        send: &Send,
        observer: &Observer,
    ) -> Result<()> {
        self.sent = 0;
        self.go_to(source, send, 0, observer)
    }

    /// What is written next goes on at `offset`, up to which it stands.
    pub(super) fn go_to(
        &mut self,
        source: &mut Source,
        send: &Send,
        offset: u64,
        observer: &Observer,
    ) -> Result<()> {
        let kept = self.pass.take().filter(|pass| pass.kept_from <= offset);
        let mut pass = match kept {
            Some(pass) => pass,
            None => Pass::begin(source.read()?, self.digest_for(send)),
        };
        pass.floor = offset.saturating_sub(COMPARED).max(pass.kept_from);
        self.pass = Some(pass);
        self.acknowledged = offset;
        self.sent = self.sent.max(offset);
        self.tell(observer, offset);
        Ok(())
    }

    fn digest_for(&self, send: &Send) -> Option<Context> {
        let wanted = self.hashed || send.checksum || send.verify == Verify::Hash;
        wanted.then(|| Context::new(&SHA256))
    }

    /// Lets the observer count as many bytes as this.
    fn tell(&mut self, observer: &Observer, stands: u64) {
        observer.tell(|progress| match self.told.checked_sub(stands) {
            Some(0) => {}
            Some(again) => progress.restarted(again),
            None => progress.advanced(stands - self.told),
        });
        self.told = stands;
    }

    /// Writes the body from `at` on, and waits until all of it is acknowledged. Says its size.
    pub(super) async fn pour<R: Remote>(
        &mut self,
        target: &Target<'_, R>,
        writer: &mut R::Writer,
        mut at: u64,
        record: &mut Record,
    ) -> Result<u64> {
        let pass = self.pass.as_mut().expect("the body was gone to");
        let all = async {
            while let Some(block) = pass.block(at).await? {
                let len = block.len() as u64;
                // Counted before it is known: after a loss, so much may stand.
                self.sent = self.sent.max(at + len);
                let answer = writer.write(target.start + at, block).await;
                let acknowledged = writer.acknowledged().saturating_sub(target.start);
                self.acknowledged = self.acknowledged.max(acknowledged);
                pass.floor = self.acknowledged.saturating_sub(COMPARED);
                pass.trim();
                if let Err(error) = answer {
                    return Err(explain(target.remote, Doing::Writing(target.path), error).await);
                }
                record.grows(self.acknowledged).await?;
                at += len;
                self.told += len;
                target.observer.tell(|progress| progress.advanced(len));
            }
            let answer = writer.flush().await;
            let acknowledged = writer.acknowledged().saturating_sub(target.start);
            self.acknowledged = self.acknowledged.max(acknowledged);
            match answer {
                Ok(()) => Ok(at),
                Err(error) => Err(explain(target.remote, Doing::Writing(target.path), error).await),
            }
        };
        target.stop.unless(all).await
    }

    /// Compares what stands with the body up to `to`, from a little before where it was gone to.
    /// What was found the same counts as acknowledged.
    pub(super) async fn compare<R: Remote>(
        &mut self,
        target: &Target<'_, R>,
        to: u64,
    ) -> Result<Compared> {
        let Target { remote, path, .. } = *target;
        let pass = self.pass.as_mut().expect("the body was gone to");
        let from = pass.floor;
        let mut reader = match remote.open_read(path).await {
            Ok(reader) => reader,
            Err(error) if error.kind == RemoteErrorKind::Permission => {
                return Ok(Compared::Unreadable);
            }
            Err(error) => return Err(plain(Doing::Opening(path), error)),
        };
        reader.start(target.start + from, to.checked_sub(from));
        let all = async {
            let mut at = from;
            let mut there = Bytes::new();
            while at < to {
                if there.is_empty() {
                    let chunk = reader.chunk().await;
                    let chunk = chunk.map_err(|error| plain(Doing::Reading(path), error))?;
                    there = chunk.unwrap_or_default();
                }
                let left = usize::try_from(to - at).unwrap_or(usize::MAX);
                let mine = pass.block(at).await?.unwrap_or_default();
                let both = mine.len().min(there.len()).min(left);
                if both == 0 || mine[..both] != there[..both] {
                    return Ok(Compared::Different);
                }
                there.advance(both);
                at += both as u64;
                self.acknowledged = self.acknowledged.max(at);
                self.sent = self.sent.max(at);
                pass.floor = pass.floor.max(at.saturating_sub(COMPARED));
                pass.trim();
            }
            Ok(Compared::Same)
        };
        let compared = target.stop.unless(all).await?;
        self.tell(target.observer, self.acknowledged);
        Ok(compared)
    }
}

impl Pass {
    fn begin(reading: Reading, digest: Option<Context>) -> Self {
        Self {
            reading,
            ended: false,
            digest,
            kept: VecDeque::new(),
            kept_from: 0,
            floor: 0,
            read: 0,
        }
    }

    /// What the body has at `at`, as much as comes in one piece; `None` at its end.
    async fn block(&mut self, at: u64) -> Result<Option<Bytes>> {
        while at >= self.read {
            if self.ended {
                if at == self.read {
                    return Ok(None);
                }
                let message = "the source is shorter than what was sent of it before";
                return Err(Error::new(Class::Integrity, message));
            }
            // A stream is not asked again once it has ended.
            let Some(block) = self.reading.next().await? else {
                self.ended = true;
                continue;
            };
            if let Some(digest) = &mut self.digest {
                digest.update(&block);
            }
            self.read += block.len() as u64;
            self.kept.push_back(block);
            self.trim();
        }
        let mut from = self.kept_from;
        for block in &self.kept {
            let end = from + block.len() as u64;
            if at < end {
                let skipped = usize::try_from(at - from).expect("less than one block");
                return Ok(Some(block.slice(skipped..)));
            }
            from = end;
        }
        unreachable!("what was read and may be asked for again is kept")
    }

    /// Lets go of what will not be asked for again.
    fn trim(&mut self) {
        while let Some(first) = self.kept.front() {
            let end = self.kept_from + first.len() as u64;
            if end > self.floor {
                return;
            }
            self.kept_from = end;
            self.kept.pop_front();
        }
    }
}
