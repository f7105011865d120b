//! Get: list, filter, sort, limit; then per file fetch, deliver, and only then delete or move.
//!
//! ```text
//!   target free? ─▶ open ─ fstat ─ read ─ fstat ─ close ─▶ delivered ─▶ lstat: same? ─▶ delete, move
//! ```
//! Nothing is deleted or moved that was not delivered, or that is not what was delivered.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use super::compare::sha256;
use super::diagnose::{Doing, exists, explain, look, plain};
use super::list::{open, track_attrs, tracked};
use super::moving::{Across, Moved, Mover};
use super::places::{
    Missing, behind_links, ensure, move_to_directory, refuse_same, remote_directory,
};
use super::selection::{Offered, Selection};
use super::session::is_loss;
use super::{AllWell, Destination, Step};
use crate::document::{Body, BodyStream, Delivered, Delivery, Document, Properties};
use crate::error::{Class, Error, Result};
use crate::local::{Checksum, Complete, Directory, Part};
use crate::operation::{After, AfterFailure, Get, GetAction, LocalIfExists, MoveCollision};
use crate::outcome::{AfterAction, Outcome, Status};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry, FileKind, Listing, Reader, Remote};

/// So many chunks wait for a receiver of documents at most.
const QUEUE: usize = 8;

/// One Get on its way.
struct Fetcher<'a, C: Connect> {
    step: &'a mut Step<C>,
    get: &'a Get,
    properties: &'a Properties,
    named: Bytes,
    named_target: Option<Bytes>,
    local: Option<Directory>,
    directory: RemotePath,
    target: Option<RemotePath>,
    well: AllWell,
    /// Outcomes of files left alone that were told before a listing had to begin again.
    told: usize,
}

/// A file that was read whole.
struct Fetched {
    /// What the second fstat said.
    attrs: Attrs,
    size: u64,
    sha256: Option<[u8; 32]>,
    held: Held,
}

/// Where the bytes are now.
enum Held {
    Local(Complete),
    Receiver(Delivered),
}

/// Where the bytes go while they are read.
enum Sink {
    Local(Part),
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

/// Lists, selects, and takes what was selected.
pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    get: &Get,
    properties: &Properties,
) -> Result<AllWell> {
    let mut fetcher = Fetcher::new(step, get, properties).await?;
    let mut retries = fetcher.step.session.retries();
    let entries = loop {
        match fetcher.prepared().await {
            Ok(entries) => break entries,
            Err(error) => fetcher.step.session.recover(error, &mut retries).await?,
        }
    };
    let bytes = entries.iter().filter_map(|entry| entry.attrs.size).sum();
    let files = entries.len() as u64;
    fetcher
        .step
        .observer
        .tell(|progress| progress.expected(files, bytes));
    fetcher.take_all(&mut entries.into_iter()).await;
    Ok(fetcher.well)
}

/// Takes what somebody else has listed and selected, in that order. Nothing is listed here, and
/// `chosen` is asked for the next one only when there is a free hand for it: a listener that is to
/// end lets it run out.
#[expect(
    dead_code,
    reason = "the listener, which comes next, is who selects for itself"
)]
pub(super) async fn run_chosen<C: Connect>(
    step: &mut Step<C>,
    get: &Get,
    properties: &Properties,
    chosen: &mut (dyn Iterator<Item = Entry> + Send),
) -> Result<AllWell> {
    let mut fetcher = Fetcher::new(step, get, properties).await?;
    let mut retries = fetcher.step.session.retries();
    while let Err(error) = fetcher.places().await {
        fetcher.step.session.recover(error, &mut retries).await?;
    }
    fetcher.take_all(chosen).await;
    Ok(fetcher.well)
}

impl<'a, C: Connect> Fetcher<'a, C> {
    async fn new(step: &'a mut Step<C>, get: &'a Get, properties: &'a Properties) -> Result<Self> {
        let connection = step.session.connection().clone();
        let local = match &step.destination {
            Destination::Directory(path) => Some(Directory::open(path, connection.memory.0)?),
            Destination::Documents(_) | Destination::None => None,
        };
        let named = remote_directory(properties, get.remote_directory.as_ref(), &connection)?;
        let named_target = match get.action {
            GetAction::GetAndMove => move_to_directory(properties, get.move_to_directory.as_ref())?,
            GetAction::Get | GetAction::GetAndDelete => None,
        };
        step.session.open().await?;
        Ok(Self {
            step,
            get,
            properties,
            named,
            named_target,
            local,
            directory: RemotePath::from("."),
            target: None,
            well: AllWell::Yes,
            told: 0,
        })
    }

    async fn take_all(&mut self, entries: &mut (dyn Iterator<Item = Entry> + Send)) {
        for entry in entries {
            let stopped = self.step.session.stop().check().is_err();
            if stopped && self.well == AllWell::No {
                // The file in hand was told to be stopped; those after it were never begun.
                break;
            }
            self.take(entry).await;
        }
    }

    /// Finds the directories.
    async fn places(&mut self) -> Result<()> {
        self.directory = self.step.session.resolve(&self.named).await?;
        if let Some(named) = self.named_target.clone() {
            let target = self.step.session.resolve(&named).await?;
            refuse_same(self.step, &self.directory, &target).await?;
            let missing = Missing::by(self.get.create_directories);
            ensure(self.step.session.remote(), &target, missing).await?;
            self.target = Some(target);
        }
        Ok(())
    }

    /// Finds the directories and lists; with `sort = none` takes the files as they come, and
    /// nothing is left to return.
    async fn prepared(&mut self) -> Result<Vec<Entry>> {
        self.places().await?;
        let stop = self.step.session.stop().clone();
        let directory = self.directory.clone();
        let doing = Doing::Listing(&directory);
        let memory = self.step.session.connection().memory;
        let mut selection = Selection::of_get(self.get, memory)?;
        let mut listing = open(self.step.session.remote(), &directory).await?;
        let (mut skipped, mut streamed) = (0, false);
        while let Some(batch) = stop
            .unless(async { listing.batch().await.map_err(|error| plain(doing, error)) })
            .await
            .map_err(|error| {
                if streamed && is_loss(&error) {
                    no_second_listing(error)
                } else {
                    error
                }
            })?
        {
            for entry in batch {
                match selection.offer(entry)? {
                    Offered::Held | Offered::Ignore => {}
                    Offered::Take(entry) => {
                        streamed = true;
                        self.take(entry).await;
                    }
                    Offered::Skip(entry, reason) => {
                        skipped += 1;
                        if skipped > self.told {
                            self.told = skipped;
                            let own = self.tracked(&entry);
                            self.step.emit(Outcome::skipped(own, reason)).await;
                        }
                    }
                }
            }
        }
        Ok(selection.finish())
    }

    fn tracked(&self, entry: &Entry) -> Properties {
        let connection = self.step.session.connection();
        let mut own = tracked(entry, &self.directory, connection);
        if let Some(target) = &self.target {
            own.set("move-to-directory", target.as_bytes().to_vec());
        }
        own.merge(self.properties);
        own
    }

    /// One file, from the look at its target to its outcome.
    async fn take(&mut self, entry: Entry) {
        let mut outcome = Outcome {
            properties: self.tracked(&entry),
            ..Outcome::default()
        };
        let size = entry.attrs.size;
        let name = entry.name.clone();
        self.step
            .observer
            .tell(|progress| progress.started(&name, size));
        if let Err(error) = self.fetch_and_finish(&entry, &mut outcome).await {
            outcome.status = Status::Failed;
            outcome.error = Some(error);
        }
        self.step.observer.tell(|progress| progress.finished());
        if outcome.status != Status::Ok {
            self.well = AllWell::No;
        }
        self.step.emit(outcome).await;
    }

    async fn fetch_and_finish(&mut self, entry: &Entry, outcome: &mut Outcome) -> Result<()> {
        let begun = Instant::now();
        let fetched = self.fetched(entry, &outcome.properties).await?;
        let properties = &mut outcome.properties;
        track_attrs(properties, &fetched.attrs);
        properties.set("size", fetched.size.to_string());
        let verified = match fetched.attrs.size {
            Some(_) => "size",
            None => "unverifiable",
        };
        properties.set("verified", verified);
        let seconds = begun.elapsed().as_secs_f64().max(1e-6);
        let rate = (fetched.size as f64 / seconds) as u64;
        properties.set("bytes-per-second", rate.to_string());
        if let Some(sha256) = fetched.sha256 {
            properties.set("sha256", hex(&sha256));
        }
        match fetched.held {
            Held::Local(complete) => {
                let local = self.local.as_ref().expect("it was written there");
                let placed = local.place(complete, self.get.local_if_exists).await?;
                use std::os::unix::ffi::OsStrExt;
                let path = placed.path.as_os_str().as_bytes().to_vec();
                properties.set("local-file", path);
                if placed.already_present {
                    properties.set("already-present", "true");
                }
                outcome.delivered = true;
            }
            Held::Receiver(_) if self.get.after == After::Eager => {}
            Held::Receiver(delivered) => {
                let stop = self.step.session.stop().clone();
                if !stop.unless(async { Ok(delivered.wait().await) }).await? {
                    return Err(Error::new(
                        Class::Failure,
                        format!(
                            "{}: its receiver did not confirm delivery",
                            self.path(entry)
                        ),
                    ));
                }
                outcome.delivered = true;
            }
        }
        if self.get.action == GetAction::Get {
            return Ok(());
        }
        let after = match self.get.action {
            GetAction::GetAndDelete => self.delete(entry, &fetched.attrs).await.map(|()| None),
            _ => self.move_away(entry, &fetched.attrs).await.map(Some),
        };
        match after {
            Ok(None) => outcome.after_action = AfterAction::Deleted,
            Ok(Some(moved)) => {
                outcome.after_action = AfterAction::Moved;
                track_move(&mut outcome.properties, &moved);
                outcome.warnings.extend(moved.warning);
            }
            Err(error) => {
                outcome.after_action = AfterAction::Failed;
                if self.get.after_failure == AfterFailure::Fail {
                    return Err(error);
                }
                outcome.warnings.push(error);
            }
        }
        Ok(())
    }

    /// Reads the file, again from its beginning when the connection was lost, where the bytes so
    /// far can be taken back.
    async fn fetched(&mut self, entry: &Entry, properties: &Properties) -> Result<Fetched> {
        let mut retries = self.step.session.retries();
        loop {
            let mut handed_over = false;
            let mut count = 0;
            match self
                .fetch(entry, properties, &mut handed_over, &mut count)
                .await
            {
                Ok(fetched) => return Ok(fetched),
                Err(error) if handed_over => {
                    if is_loss(&error) {
                        // This document is lost to its receiver; the next one needs a session.
                        self.reopen(error.clone()).await;
                    }
                    return Err(error);
                }
                Err(error) => self.step.session.recover(error, &mut retries).await?,
            }
            self.step
                .observer
                .tell(|progress| progress.restarted(count));
        }
    }

    async fn reopen(&mut self, error: Error) {
        let mut retries = self.step.session.retries();
        // Should it fail, the next file is told so.
        let _ = self.step.session.recover(error, &mut retries).await;
    }

    async fn fetch(
        &mut self,
        entry: &Entry,
        properties: &Properties,
        handed_over: &mut bool,
        count: &mut u64,
    ) -> Result<Fetched> {
        self.step.session.open().await?;
        let stop = self.step.session.stop().clone();
        stop.check()?;
        let path = self.path(entry);
        let remote = self.step.session.remote();
        if let Some(target) = &self.target {
            let target = target.join(&entry.name);
            if let Some(there) = look(remote, &target).await?
                && (self.get.collision() == MoveCollision::Error
                    || there.kind == FileKind::Directory)
            {
                return Err(exists(&target, &there));
            }
        }
        self.refuse_taken(entry).await?;
        let mut reader = match remote.open_read(&path).await {
            Ok(reader) => reader,
            Err(error) => return Err(explain(remote, Doing::Opening(&path), error).await),
        };
        let looked = |error| plain(Doing::Looking(&path), error);
        let before = reader.stat().await.map_err(looked)?;
        if matches!(before.kind, FileKind::Directory | FileKind::Other) {
            return Err(Error::new(Class::Failure, format!("{path} is no file")));
        }
        reader.start(0, before.size);
        let mut sink = self.sink(entry, properties, handed_over).await?;
        let read = stop
            .unless(self.pour(&path, &mut reader, &mut sink, count))
            .await;
        let checked = match read {
            Ok(()) => match reader.stat().await.map_err(looked) {
                Ok(after) => unchanged(&path, &before, &after, *count).map(|()| after),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let attrs = match checked {
            Ok(attrs) => attrs,
            Err(error) => {
                sink.abandon(&error).await;
                return Err(error);
            }
        };
        // All bytes are here and looked at; a refusal to close changes nothing about them. It is
        // waited for only where the file is to go: some servers keep an open one from that.
        if self.get.action == GetAction::Get {
            drop(reader);
        } else if let Err(error) = reader.close().await {
            tracing::debug!(%path, %error, "closing after reading");
        }
        let (held, sha256) = sink.finish().await?;
        Ok(Fetched {
            attrs,
            size: *count,
            sha256,
            held,
        })
    }

    /// A local file of another size under this name, where that is an error, before any byte moves.
    async fn refuse_taken(&self, entry: &Entry) -> Result<()> {
        let Some(local) = &self.local else {
            return Ok(());
        };
        if self.get.local_if_exists != LocalIfExists::Error {
            return Ok(());
        }
        // A link's size is not that of its target, which is what would be compared.
        let comparable = entry.attrs.kind != FileKind::Symlink;
        match (local.size_of(&entry.name).await?, entry.attrs.size) {
            (Some(here), Some(there)) if comparable && here != there => {
                Err(local.taken(&entry.name))
            }
            _ => Ok(()),
        }
    }

    async fn sink(
        &self,
        entry: &Entry,
        properties: &Properties,
        handed_over: &mut bool,
    ) -> Result<Sink> {
        if let Some(local) = &self.local {
            let checksum = match self.get.checksum {
                true => Checksum::Sha256,
                false => Checksum::None,
            };
            return Ok(Sink::Local(local.begin(&entry.name, checksum).await?));
        }
        let Destination::Documents(receiver) = &self.step.destination else {
            return Err(Error::configuration("Get has no destination"));
        };
        let (pieces, body) = mpsc::channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let (delivery, delivered) = Delivery::pair();
        let document = Document {
            body: Body::Stream(body_of(body, Arc::clone(&failure))),
            properties: properties.clone(),
            delivery: Some(delivery),
        };
        *handed_over = true;
        let handing_over = async {
            let handed_over = receiver.send(document).await;
            handed_over.map_err(|_| nobody_receives())
        };
        self.step.session.stop().unless(handing_over).await?;
        Ok(Sink::Receiver {
            pieces,
            failure,
            digest: self.get.checksum.then(|| Context::new(&SHA256)),
            delivered,
        })
    }

    async fn pour(
        &self,
        path: &RemotePath,
        reader: &mut <C::Remote as Remote>::Reader,
        sink: &mut Sink,
        count: &mut u64,
    ) -> Result<()> {
        while let Some(chunk) = reader
            .chunk()
            .await
            .map_err(|error| plain(Doing::Reading(path), error))?
        {
            let len = chunk.len() as u64;
            *count += len;
            sink.write(chunk).await?;
            self.step.observer.tell(|progress| progress.advanced(len));
        }
        Ok(())
    }

    /// Deletes what was delivered, if it still is what was delivered.
    async fn delete(&mut self, entry: &Entry, attrs: &Attrs) -> Result<()> {
        let path = self.path(entry);
        let mut retries = self.step.session.retries();
        let mut tried = false;
        loop {
            match self.delete_once(entry, &path, attrs, &mut tried).await {
                Err(error) => self.step.session.recover(error, &mut retries).await?,
                done => return done,
            }
        }
    }

    async fn delete_once(
        &mut self,
        entry: &Entry,
        path: &RemotePath,
        attrs: &Attrs,
        tried: &mut bool,
    ) -> Result<()> {
        self.step.session.open().await?;
        let remote = self.step.session.remote();
        if *tried && look(remote, path).await?.is_none() {
            return Ok(());
        }
        still_delivered(remote, entry, path, attrs).await?;
        *tried = true;
        let Err(error) = remote.remove(path).await else {
            return Ok(());
        };
        let doing = Doing::Removing(path);
        if error.is_lost() {
            return Err(plain(doing, error));
        }
        match look(remote, path).await? {
            None => Ok(()),
            Some(_) => Err(explain(remote, doing, error).await),
        }
    }

    /// Moves what was delivered, if it still is what was delivered.
    async fn move_away(&mut self, entry: &Entry, attrs: &Attrs) -> Result<Moved> {
        let path = self.path(entry);
        let target = self.target.as_ref().expect("get-and-move has a target");
        let across = match self.get.force_move {
            true => Across::Copy,
            false => Across::Refuse,
        };
        let target = target.join(&entry.name);
        let mut mover = Mover::new(path.clone(), target, self.get.collision(), across);
        let mut retries = self.step.session.retries();
        let mut begun = false;
        loop {
            let moved = self
                .move_once(entry, &path, attrs, &mut mover, &mut begun)
                .await;
            let error = match moved {
                Ok(moved) => return Ok(moved),
                Err(error) => error,
            };
            if let Err(error) = self.step.session.recover(error, &mut retries).await {
                return Err(mover.leftovers().fold(error, |error, left| {
                    error.with_note(format_args!("{left} may be left there"))
                }));
            }
        }
    }

    async fn move_once(
        &mut self,
        entry: &Entry,
        path: &RemotePath,
        attrs: &Attrs,
        mover: &mut Mover,
        begun: &mut bool,
    ) -> Result<Moved> {
        self.step.session.open().await?;
        let remote = self.step.session.remote();
        // Again after a lost connection: what is there by now may be another file.
        if !*begun || look(remote, path).await?.is_some() {
            still_delivered(remote, entry, path, attrs).await?;
            *begun = true;
        }
        mover.attempt(remote).await
    }

    fn path(&self, entry: &Entry) -> RemotePath {
        self.directory.join(&entry.name)
    }
}

impl Sink {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        match self {
            Self::Local(part) => part.write(chunk).await,
            Self::Receiver { pieces, digest, .. } => {
                if let Some(digest) = digest {
                    digest.update(&chunk);
                }
                let sent = pieces.send(Piece::Chunk(chunk)).await;
                sent.map_err(|_| nobody_receives())
            }
        }
    }

    async fn finish(self) -> Result<(Held, Option<[u8; 32]>)> {
        match self {
            Self::Local(part) => {
                let complete = part.finish().await?;
                let sha256 = complete.sha256();
                Ok((Held::Local(complete), sha256))
            }
            Self::Receiver {
                pieces,
                digest,
                delivered,
                ..
            } => {
                let ended = pieces.send(Piece::End).await;
                ended.map_err(|_| nobody_receives())?;
                Ok((Held::Receiver(delivered), digest.map(sha256)))
            }
        }
    }

    async fn abandon(self, error: &Error) {
        match self {
            Self::Local(part) => part.abandon().await,
            Self::Receiver { failure, .. } => {
                // Its body ends without an end, and its receiver is told why.
                let _ = failure.set(error.clone());
            }
        }
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

/// The last look before anything is taken away: it must still be what was delivered.
async fn still_delivered<R: Remote>(
    remote: &R,
    entry: &Entry,
    path: &RemotePath,
    attrs: &Attrs,
) -> Result<()> {
    let now = match entry.attrs.kind {
        FileKind::Symlink => behind_links(remote, path).await?,
        _ => look(remote, path).await?,
    };
    match now {
        Some(now) if now.same_version(attrs) => Ok(()),
        Some(_) => Err(Error::new(
            Class::Integrity,
            format!("{path} changed after it was read; it was delivered, and stays"),
        )),
        None => Err(Error::new(
            Class::NotFound,
            format!("{path} was delivered, and is not there any more"),
        )),
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

pub(super) fn track_move(properties: &mut Properties, moved: &Moved) {
    properties.set("moved-by", moved.by.word());
    if let Some(no_replace) = moved.no_replace {
        properties.set("no-replace", no_replace);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nobody_receives() -> Error {
    Error::new(Class::Cancelled, "nobody receives the documents any more")
}

/// Some files were taken already; a second listing could take them twice.
fn no_second_listing(error: Error) -> Error {
    Error::new(
        Class::Failure,
        format!("the listing ended early, after some files were taken: {error}"),
    )
    .with_hint("run it again; with sort = \"name\" the listing is complete before the first file")
    .with_source(error)
}
