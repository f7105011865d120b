//! Reading one file, over as many sessions as it takes.
//!
//! Not what happens to it then. After a lost connection the file is opened again and read on from
//! the byte that was missing, if its size and modified time are what they were; a local part begins
//! again otherwise, and a receiver, who has the first bytes already, is told that it failed.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use super::super::Destination;
use super::super::compare::sha256;
use super::super::diagnose::{Doing, exists, explain, look, plain};
use super::super::list::track_attrs;
use super::super::session::is_loss;
use super::{Hand, Item, hex};
use crate::document::{Body, BodyStream, Delivered, Delivery, Document, Properties};
use crate::error::{Class, Error, Result};
use crate::journal::{FetchState, Received, Source, Taken};
use crate::local::{Checksum, Complete, Directory, Part, Unfinished};
use crate::operation::{After, GetAction, LocalIfExists, MoveCollision};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, FileKind, Reader, Remote};

/// So many chunks wait for a receiver of documents at most.
const QUEUE: usize = 8;

/// A file that was read whole.
pub(super) struct Fetched {
    /// What the second fstat said.
    pub(super) attrs: Attrs,
    pub(super) held: Held,
}

/// Where the bytes are now.
pub(super) enum Held {
    Local(Directory, Complete),
    Receiver(Delivered),
}

/// Why a file was not read.
pub(super) enum Failure {
    /// It was another when it had been read than before.
    Changed(Error),
    Other(Error),
}

/// What is kept of a file in hand when its session is lost.
#[derive(Default)]
struct Reading {
    sink: Option<Sink>,
    /// What was told of the file when it was first opened.
    version: Attrs,
    /// How many of its bytes the sink has.
    count: u64,
    /// The most that it ever had: only beyond that, trying again makes progress.
    furthest: u64,
    /// The last bytes of a part of an earlier run, until the server was seen to have the same.
    unproven: Bytes,
}

/// Where the bytes go while they are read.
enum Sink {
    Local(Directory, Part),
    Receiver {
        pieces: mpsc::Sender<Piece>,
        failure: Arc<OnceLock<Error>>,
        digest: Option<Context>,
        delivered: Delivered,
    },
}

/// What a receiver's body is made of. Without an end it was given up.
enum Piece {
    Chunk(Bytes),
    End,
}

/// How far one session got.
enum Read {
    Whole(Attrs),
    /// What was kept is not the beginning of this file: it begins again.
    Again,
}

impl<C: Connect> Hand<'_, C> {
    /// Reads the file, and goes on after lost connections.
    pub(super) async fn fetched(
        &mut self,
        item: &Item,
        taken: &mut Option<Taken>,
        properties: &mut Properties,
    ) -> Result<Fetched, Failure> {
        let begun = Instant::now();
        let mut reading = Reading::default();
        let mut retries = self.session.retries();
        let attrs = loop {
            let error = match self.read(item, taken, properties, &mut reading).await {
                Ok(Read::Whole(attrs)) => break attrs,
                Ok(Read::Again) => {
                    self.begin_again(&mut reading).await;
                    continue;
                }
                Err(Failure::Other(error)) => error,
                Err(Failure::Changed(error)) => {
                    reading.give_up(&error).await;
                    return Err(Failure::Changed(error));
                }
            };
            if reading.count > reading.furthest {
                reading.furthest = reading.count;
                retries = self.session.retries();
            }
            let again = self.session.recover(error.clone(), &mut retries).await;
            if let Err(error) = again {
                reading.give_up(&error).await;
                return Err(Failure::Other(error));
            }
            match reading.sink {
                _ if self.plan.resume() => {}
                Some(Sink::Receiver { .. }) => {
                    // The next file has a session again.
                    reading.give_up(&error).await;
                    return Err(Failure::Other(error));
                }
                _ => self.begin_again(&mut reading).await,
            }
        };
        let sink = reading.sink.expect("what was read went somewhere");
        let whole = (reading.count, &attrs);
        let (held, sha256) = sink.finish(whole, taken).await?;
        track_attrs(properties, &attrs);
        properties.set("size", reading.count.to_string());
        let verified = match attrs.size {
            Some(_) => "size",
            None => "unverifiable",
        };
        properties.set("verified", verified);
        let seconds = begun.elapsed().as_secs_f64().max(1e-6);
        let rate = (reading.count as f64 / seconds) as u64;
        properties.set("bytes-per-second", rate.to_string());
        if let Some(sha256) = sha256 {
            properties.set("sha256", hex(&sha256));
        }
        Ok(Fetched { attrs, held })
    }

    /// Drops what was read: it comes again from the first byte.
    async fn begin_again(&self, reading: &mut Reading) {
        if let Some(Sink::Local(_, part)) = reading.sink.take() {
            part.abandon().await;
        }
        let count = std::mem::take(&mut reading.count);
        reading.unproven = Bytes::new();
        self.plan
            .observer
            .tell(|progress| progress.restarted(count));
    }

    /// Reads as far as this session goes.
    async fn read(
        &mut self,
        item: &Item,
        taken: &mut Option<Taken>,
        properties: &Properties,
        reading: &mut Reading,
    ) -> Result<Read, Failure> {
        self.session.open().await?;
        let stop = self.session.stop().clone();
        stop.check()?;
        let path = &item.path;
        if reading.sink.is_none() {
            self.refuse_collisions(item).await?;
        }
        let remote = self.session.remote();
        let mut reader = match remote.open_read(path).await {
            Ok(reader) => reader,
            Err(error) => return Err(explain(remote, Doing::Opening(path), error).await.into()),
        };
        let looked = |error| plain(Doing::Looking(path), error);
        let fresh = reading.sink.is_none()
            && taken
                .as_ref()
                .is_none_or(|it| part_of(it.state()).is_none());
        let before = match item
            .listed
            .size
            .filter(|_| fresh && item.listed.kind == FileKind::File)
        {
            // What came is dropped where the file turns out to be another.
            Some(listed) => reader.stat_and_read(Some(listed)).await,
            None => reader.stat().await,
        };
        let before = before.map_err(looked)?;
        if matches!(before.kind, FileKind::Directory | FileKind::Other) {
            return Err(Error::new(Class::Failure, format!("{path} is no file")).into());
        }
        match &reading.sink {
            Some(_) if continues(&reading.version, &before) => {}
            Some(Sink::Receiver { .. }) => {
                return Err(Failure::Changed(changed_in_between(path)));
            }
            Some(Sink::Local(..)) => return Ok(Read::Again),
            None => {
                if let Some(taken) = taken
                    && !is_listed(taken.source(), &before)
                {
                    // It would be delivered as what it is not, and as itself once more.
                    return Err(Failure::Changed(changed_since_listed(path)));
                }
                reading.version = before;
                self.open_sink(item, taken, properties, reading).await?;
            }
        }
        let from = reading.count - reading.unproven.len() as u64;
        let rest = before.size.map(|size| size.saturating_sub(from));
        reader.start(from, rest);
        let poured = stop.unless(self.pour(path, &mut reader, reading)).await?;
        if poured == Poured::Differs {
            return Ok(Read::Again);
        }
        let after = reader.stat().await.map_err(looked)?;
        unchanged(path, &reading.version, &after, reading.count).map_err(Failure::Changed)?;
        // All bytes are here and looked at; a refusal to close changes nothing about them. It is
        // waited for only where the file is to go: some servers keep an open one from that.
        if self.plan.get.action == GetAction::Get {
            drop(reader);
        } else if let Err(error) = reader.close().await {
            tracing::debug!(%path, %error, "closing after reading");
        }
        Ok(Read::Whole(after))
    }

    /// What would keep the file from its places is found before any byte moves.
    async fn refuse_collisions(&self, item: &Item) -> Result<()> {
        if let Some(target) = &item.target {
            let target = target.join(&item.name);
            if let Some(there) = look(self.session.remote(), &target).await?
                && (self.plan.get.collision() == MoveCollision::Error
                    || there.kind == FileKind::Directory)
            {
                return Err(exists(&target, &there));
            }
        }
        let Some(local) = self.plan.local.as_ref().or(self.plan.foreseen.as_ref()) else {
            return Ok(());
        };
        if self.plan.get.local_if_exists != LocalIfExists::Error || !item.relative.is_empty() {
            return Ok(());
        }
        // A link's size is not that of its target, which is what would be compared.
        let comparable = item.listed.kind != FileKind::Symlink;
        match (local.size_of(&item.name).await?, item.listed.size) {
            (Some(here), Some(there)) if comparable && here != there => {
                Err(local.taken(&item.name))
            }
            _ => Ok(()),
        }
    }

    async fn open_sink(
        &self,
        item: &Item,
        taken: &mut Option<Taken>,
        properties: &Properties,
        reading: &mut Reading,
    ) -> Result<()> {
        let checksum = match self.plan.get.checksum || taken.is_some() {
            true => Checksum::Sha256,
            false => Checksum::None,
        };
        if let Some(local) = &self.plan.local {
            let local = local.below(&item.relative).await?;
            let part = match taken {
                Some(taken) => self.recorded_part(&local, item, taken, reading).await?,
                None => {
                    let name = local.part_for(&item.name)?;
                    local.begin(name, checksum, Unfinished::Removed).await?
                }
            };
            reading.sink = Some(Sink::Local(local, part));
            return Ok(());
        }
        let Destination::Documents(receiver) = &self.plan.destination else {
            return Err(Error::configuration("Get has no destination"));
        };
        let (pieces, body) = mpsc::channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let (delivery, delivered) = match taken {
            Some(taken) => taken.delivery(),
            None => Delivery::pair(),
        };
        let delivery = match (self.plan.get.after, self.plan.onward) {
            // This Get waits for nobody, but what the document came out of is not delivered before
            // the steps to come are through with it.
            (After::Eager, Some(whole)) => whole.part(),
            _ => delivery,
        };
        let document = Document {
            body: Body::Stream(body_of(body, Arc::clone(&failure))),
            properties: properties.clone(),
            delivery: Some(delivery),
        };
        reading.sink = Some(Sink::Receiver {
            pieces,
            failure,
            digest: (checksum == Checksum::Sha256).then(|| Context::new(&SHA256)),
            delivered,
        });
        let handing_over = async {
            let handed_over = receiver.send(document).await;
            handed_over.map_err(|_| nobody_receives())
        };
        self.session.stop().unless(handing_over).await
    }

    /// The part whose name is in the journal, of this run or an earlier one.
    async fn recorded_part(
        &self,
        local: &Directory,
        item: &Item,
        taken: &mut Taken,
        reading: &mut Reading,
    ) -> Result<Part> {
        let unfinished = match self.plan.resume() {
            true => Unfinished::Stays,
            false => Unfinished::Removed,
        };
        if let Some(earlier) = part_of(taken.state()).map(Path::to_owned) {
            let size = reading.version.size.unwrap_or(0);
            let recorded = Attrs {
                size: taken.source().size,
                modified: taken.source().modified,
                ..Attrs::default()
            };
            let same = continues(&reading.version, &recorded);
            // One that was complete, and is not any more what was recorded, is not to be trusted.
            let begun = matches!(taken.state(), FetchState::Claimed { .. });
            let resumed = match local.part_at(&item.name, &earlier) {
                Some(name) if self.plan.resume() && begun && same => {
                    local.resume(&name, Checksum::Sha256, unfinished).await?
                }
                _ => None,
            };
            match resumed {
                Some(part) if part.already() <= size => {
                    reading.count = part.already();
                    reading.unproven = part.tail().clone();
                    let already = part.already();
                    self.plan
                        .observer
                        .tell(|progress| progress.advanced(already));
                    return Ok(part);
                }
                Some(part) => part.abandon().await,
                None => self.discard_part(&item.name, &earlier).await,
            }
        }
        let name = local.part_for(&item.name)?;
        taken.part(&local.path_of(&name)).await?;
        local.begin(name, Checksum::Sha256, unfinished).await
    }

    async fn pour(
        &self,
        path: &RemotePath,
        reader: &mut <C::Remote as Remote>::Reader,
        reading: &mut Reading,
    ) -> Result<Poured> {
        let mut proven = 0;
        while let Some(mut chunk) = reader
            .chunk()
            .await
            .map_err(|error| plain(Doing::Reading(path), error))?
        {
            if !reading.unproven.is_empty() {
                let rest = &reading.unproven[proven..];
                let both = rest.len().min(chunk.len());
                if rest[..both] != chunk[..both] {
                    return Ok(Poured::Differs);
                }
                proven += both;
                chunk = chunk.slice(both..);
                if proven == reading.unproven.len() {
                    reading.unproven = Bytes::new();
                }
                if chunk.is_empty() {
                    continue;
                }
            }
            let len = chunk.len() as u64;
            let sink = reading.sink.as_mut().expect("it was opened before");
            sink.write(chunk).await?;
            reading.count += len;
            self.plan.observer.tell(|progress| progress.advanced(len));
        }
        Ok(match reading.unproven.is_empty() {
            true => Poured::All,
            false => Poured::Differs,
        })
    }
}

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poured {
    /// They are where they go.
    All,
    /// They do not continue what was there.
    Differs,
}

impl Reading {
    async fn give_up(&mut self, error: &Error) {
        match self.sink.take() {
            // Of a part that a journal knows, what came so far stays for another run.
            Some(Sink::Local(_, part)) if is_interruption(error) => part.set_down().await,
            Some(Sink::Local(_, part)) => part.abandon().await,
            Some(Sink::Receiver { failure, .. }) => {
                // Its body ends without an end, and its receiver is told why.
                let _ = failure.set(error.clone());
            }
            None => {}
        }
    }
}

impl Sink {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        match self {
            Self::Local(_, part) => part.write(chunk).await,
            Self::Receiver { pieces, digest, .. } => {
                if let Some(digest) = digest {
                    digest.update(&chunk);
                }
                let sent = pieces.send(Piece::Chunk(chunk)).await;
                sent.map_err(|_| nobody_receives())
            }
        }
    }

    /// Everything is there: on the disk, or with the receiver.
    async fn finish(
        self,
        (size, attrs): (u64, &Attrs),
        taken: &mut Option<Taken>,
    ) -> Result<(Held, Option<[u8; 32]>)> {
        match self {
            Self::Local(directory, part) => {
                let complete = part.finish().await?;
                let sha256 = complete.sha256();
                Ok((Held::Local(directory, complete), sha256))
            }
            Self::Receiver {
                pieces,
                digest,
                delivered,
                ..
            } => {
                let sha256 = digest.map(sha256);
                if let (Some(taken), Some(sha256)) = (taken, sha256) {
                    let modified = attrs.modified;
                    let received = Received {
                        size,
                        modified,
                        sha256,
                    };
                    taken.received(received).await?;
                }
                let ended = pieces.send(Piece::End).await;
                ended.map_err(|_| nobody_receives())?;
                Ok((Held::Receiver(delivered), sha256))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The body that a receiver reads. It ends with an error unless the file was read whole and found
/// unchanged.
fn body_of(pieces: mpsc::Receiver<Piece>, failure: Arc<OnceLock<Error>>) -> BodyStream {
    Box::pin(stream::unfold(Some(pieces), move |pieces| {
        let failure = Arc::clone(&failure);
        async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Piece::Chunk(chunk)) => Some((Ok(chunk), Some(pieces))),
                Some(Piece::End) => None,
                None => {
                    let given_up = || Error::new(Class::Cancelled, "the file was given up");
                    let why = failure.get().cloned().unwrap_or_else(given_up);
                    Some((Err(why), None))
                }
            }
        }
    }))
}

/// Whether what was read of one can be continued with the other. What the server does not tell
/// cannot be compared.
fn continues(version: &Attrs, now: &Attrs) -> bool {
    version.size.is_some() && version.modified.is_some() && version.same_version(now)
}

/// Whether an open file is what was listed, as far as the server tells.
pub(super) fn is_listed(source: &Source, now: &Attrs) -> bool {
    let differs = |one: Option<i128>, other: Option<i128>| {
        one.zip(other).is_some_and(|(one, other)| one != other)
    };
    !differs(source.size.map(i128::from), now.size.map(i128::from))
        && !differs(
            source.modified.map(i128::from),
            now.modified.map(i128::from),
        )
}

/// Whether another attempt may go on where this one ended.
fn is_interruption(error: &Error) -> bool {
    error.retryable() || is_loss(error) || error.class() == Class::Cancelled
}

/// The local temporary file that is recorded.
pub(super) fn part_of(state: &FetchState) -> Option<&Path> {
    match state {
        FetchState::Claimed { part } => part.as_deref(),
        FetchState::Fetched { part, .. } => Some(part),
        FetchState::Delivered { .. } => None,
    }
}

fn unchanged(path: &RemotePath, before: &Attrs, after: &Attrs, count: u64) -> Result<()> {
    if before.same_version(after) && after.size.is_none_or(|size| size == count) {
        return Ok(());
    }
    let size = |attrs: &Attrs| {
        attrs
            .size
            .map_or_else(|| "unknown".to_owned(), |size| size.to_string())
    };
    Err(Error::new(
        Class::Integrity,
        format!(
            "{path} changed while it was read: {} bytes before, {} after, {count} came",
            size(before),
            size(after)
        ),
    )
    .with_hint("get it again once its writer has finished"))
}

fn changed_since_listed(path: &RemotePath) -> Error {
    Error::new(
        Class::Integrity,
        format!("{path} has changed since it was listed"),
    )
    .with_hint("get it again once its writer has finished")
}

fn changed_in_between(path: &RemotePath) -> Error {
    Error::new(
        Class::Integrity,
        format!(
            "the connection was lost in the middle of {path}, and when it was back the file was \
             not known to be the same any more"
        ),
    )
    .with_hint("get it again")
}

fn nobody_receives() -> Error {
    Error::new(
        Class::Cancelled,
        "whoever was to receive it has given it up",
    )
    .with_hint("in a process the later step says why")
}
