//! Send: one file per document, complete before anyone sees it under its name.
//!
//! ```text
//!   staged:    check ─▶ temporary name ─▶ verified ─▶ claimed or renamed over ─▶ move-to
//!   in place:  check ─▶ final name ──────▶ verified ──────────────────────────▶ move-to
//!   append:    check ─▶ end of the file ─▶ verified ──────────────────────────▶ move-to
//! ```
//! Each stage can be entered again on a new session, and looks before it does anything twice.

use bytes::Bytes;

use super::Step;
use super::append::Append;
use super::claim::{Candidates, Claim, Numbering};
use super::compare::{copy_through, same_content};
use super::diagnose::{Doing, exists, explain, look, plain, remove_if_there};
use super::get::{hex, track_move};
use super::leftovers::{Leftovers, released};
use super::list::track_attrs;
use super::moving::{Across, Mover};
use super::places::{Missing, ensure, move_to_directory, refuse_same, remote_directory};
use super::session::{Facts, is_loss};
use super::source::Source;
use super::upload::{Found, Target, Written, digest_for, digested, open_write};
use crate::document::{Document, Properties};
use crate::error::{Class, Error, Result};
use crate::names::{self, TemporaryName};
use crate::operation::{
    IfExists, MoveCollision, Permissions, Send, TargetSymlinks, Verify, setting,
};
use crate::outcome::{Outcome, Status};
use crate::path::{RemotePath, printable};
use crate::remote::{Attrs, Connect, FileKind, Remote, SetAttrs, WriteMode};

/// One document on its way.
struct Sending<'a> {
    send: &'a Send,
    name: Bytes,
    source: Source,
    named: Named,
    places: Option<Places>,
    stage: Stage,
    /// The file that is overwritten, if there is one.
    replaced: Option<Attrs>,
    ours: Leftovers,
    candidates: Option<Candidates>,
    claim: Option<Claim>,
    mover: Option<Mover>,
    append: Append,
    written: Written,
    /// Where the file stands under its final name.
    published: Option<RemotePath>,
    size: u64,
}

/// The directories as named.
struct Named {
    directory: Bytes,
    target: Option<Bytes>,
    staging: Option<Bytes>,
}

/// The directories.
#[derive(Clone)]
struct Places {
    directory: RemotePath,
    target: Option<RemotePath>,
    staging: RemotePath,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Check,
    Upload,
    Publish,
    Move,
    Done,
}

pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    send: &Send,
    document: Document,
    seq: u64,
) -> Outcome {
    let Document {
        body,
        properties,
        delivery,
    } = document;
    let mut outcome = Outcome {
        properties,
        ..Outcome::default()
    };
    let sent = match Source::of(body).await {
        Ok(source) => send_one(step, send, source, seq, &mut outcome).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            outcome.delivered = true;
            if let Some(delivery) = delivery {
                delivery.confirm();
            }
        }
        Err(error) => {
            outcome.status = Status::Failed;
            outcome.error = Some(error);
        }
    }
    outcome
}

async fn send_one<C: Connect>(
    step: &mut Step<C>,
    send: &Send,
    source: Source,
    seq: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    let connection = step.session.connection().clone();
    let properties = &mut outcome.properties;
    let name = final_name(send, properties, &source, seq)?;
    let named = Named {
        directory: remote_directory(properties, send.remote_directory.as_ref(), &connection)?,
        target: move_to_directory(properties, send.move_to_directory.as_ref())?,
        staging: setting(send.staging_directory.as_ref()).map(Bytes::copy_from_slice),
    };
    properties.set("filename", name.clone());
    properties.set("host", connection.host.clone());
    properties.set("port", connection.port.to_string());
    if let Some(origin) = source.origin() {
        properties.set("source-document", origin);
    }
    let size = source.size();
    let mut sending = Sending {
        send,
        name: name.clone(),
        source,
        named,
        places: None,
        stage: Stage::Check,
        replaced: None,
        ours: Leftovers::default(),
        candidates: None,
        claim: None,
        mover: None,
        append: Append::default(),
        written: Written::default(),
        published: None,
        size: 0,
    };
    step.observer.tell(|progress| progress.started(&name, size));
    let sent = sending.carried_through(step, outcome).await;
    step.observer.tell(|progress| progress.finished());
    sent
}

/// The base name at the server.
fn final_name(send: &Send, properties: &Properties, source: &Source, seq: u64) -> Result<Bytes> {
    let base = properties.setting("filename")?.or_else(|| source.name());
    let name = match send.template()? {
        Some(template) => template.make(base.as_deref(), seq, jiff::Timestamp::now())?,
        None => base.ok_or_else(|| {
            Error::configuration("the document has no name")
                .with_hint("set the property filename, or a name-template")
        })?,
    };
    if names::is_base_name(&name) {
        return Ok(name);
    }
    Err(
        Error::configuration(format!("'{}' is no file name", printable(&name)))
            .with_hint("directories go into remote-directory, not into the name"),
    )
}

impl Sending<'_> {
    /// Through all stages, over lost connections, and cleaned up behind.
    async fn carried_through<C: Connect>(
        &mut self,
        step: &mut Step<C>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let begun = std::time::Instant::now();
        let mut retries = step.session.retries();
        loop {
            let error = match self.advance(step, outcome).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if self.stage == Stage::Upload {
                let told = self.written.told + self.append.written.told;
                (self.written.told, self.append.written.told) = (0, 0);
                step.observer.tell(|progress| progress.restarted(told));
            }
            if is_loss(&error) && !self.can_go_on() {
                return Err(self.cleaned_up(step, error).await);
            }
            if let Err(error) = step.session.recover(error, &mut retries).await {
                return Err(self.cleaned_up(step, error).await);
            }
        }
        let seconds = begun.elapsed().as_secs_f64().max(1e-6);
        let rate = (self.size as f64 / seconds) as u64;
        outcome.properties.set("bytes-per-second", rate.to_string());
        outcome.properties.set("size", self.size.to_string());
        let published = self.published.as_ref().expect("it was published");
        outcome
            .properties
            .set("filename", Bytes::copy_from_slice(published.name()));
        self.ours.cleared(step.session.remote(), outcome).await;
        Ok(())
    }

    /// Whether what a lost connection cut off can be repeated.
    fn can_go_on(&self) -> bool {
        self.stage != Stage::Upload || self.source.is_readable()
    }

    async fn advance<C: Connect>(
        &mut self,
        step: &mut Step<C>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        step.session.open().await?;
        if self.places.is_none() {
            let places = self.found_places(step).await?;
            let properties = &mut outcome.properties;
            properties.set("remote-directory", places.directory.as_bytes().to_vec());
            if let Some(target) = &places.target {
                properties.set("move-to-directory", target.as_bytes().to_vec());
            }
            self.places = Some(places);
        }
        let places = self.places.clone().expect("the places were just found");
        while self.stage != Stage::Done {
            step.session.stop().check()?;
            self.stage = match self.stage {
                Stage::Check => self.check(step.session.remote(), &places).await?,
                Stage::Upload if self.send.if_exists == IfExists::Append => {
                    self.append(step, &places, outcome).await?
                }
                Stage::Upload => {
                    let next = self.upload(step, &places, outcome).await?;
                    if let Some(claimed) = &self.candidates {
                        claimed.remember(&mut step.session.facts);
                    }
                    next
                }
                Stage::Publish => self.publish(step, &places, outcome).await?,
                Stage::Move => {
                    self.move_on(step.session.remote(), &places, outcome)
                        .await?
                }
                Stage::Done => Stage::Done,
            };
        }
        Ok(())
    }

    async fn found_places<C: Connect>(&self, step: &mut Step<C>) -> Result<Places> {
        let directory = step.session.resolve(&self.named.directory).await?;
        let target = match &self.named.target {
            Some(target) => Some(step.session.resolve(target).await?),
            None => None,
        };
        let staging = match &self.named.staging {
            Some(staging) => Some(step.session.resolve(staging).await?),
            None => None,
        };
        if let Some(target) = &target {
            refuse_same(step, &directory, target).await?;
        }
        let remote = step.session.remote();
        if self.send.fsync == Some(true) && !remote.capabilities().fsync {
            return Err(Error::new(
                Class::Unsupported,
                "fsync = true, and the server has no fsync@openssh.com",
            )
            .with_hint("leave fsync out: then it is used where the server has it"));
        }
        let missing = Missing::by(self.send.create_directories);
        for place in [Some(&directory), target.as_ref(), staging.as_ref()]
            .into_iter()
            .flatten()
        {
            // Looked at once in a session: should one go meanwhile, creating the file says so.
            if !step.session.facts.directories.contains(place) {
                ensure(step.session.remote(), place, missing).await?;
                step.session.facts.found_directory(place.clone());
            }
        }
        Ok(Places {
            staging: staging.unwrap_or_else(|| directory.clone()),
            directory,
            target,
        })
    }

    /// What can be seen to fail before a byte is sent.
    async fn check<R: Remote>(&mut self, remote: &R, places: &Places) -> Result<Stage> {
        let path = places.directory.join(&self.name);
        let target = places.target.as_ref().map(|target| target.join(&self.name));
        if let Some(target) = &target
            && self.send.if_exists != IfExists::Rename
            && let Some(there) = look(remote, target).await?
        {
            let replaces = self.send.if_exists != IfExists::Error
                && self.send.collision() == MoveCollision::Replace;
            if !replaces || there.kind == FileKind::Directory {
                return Err(exists(target, &there));
            }
        }
        match self.send.if_exists {
            IfExists::Rename | IfExists::Append => {}
            IfExists::Error => {
                if let Some(there) = look(remote, &path).await? {
                    return Err(exists(&path, &there));
                }
            }
            IfExists::Overwrite => match look(remote, &path).await? {
                Some(there) if there.kind == FileKind::Directory => {
                    return Err(exists(&path, &there));
                }
                Some(there) if there.kind == FileKind::Symlink => {
                    self.follow(remote, &path, exists(&path, &there)).await?;
                }
                there => {
                    self.replaced = there;
                    self.published = Some(path);
                }
            },
        }
        Ok(Stage::Upload)
    }

    /// The file that a link leads to is the one that is overwritten.
    async fn follow<R: Remote>(
        &mut self,
        remote: &R,
        link: &RemotePath,
        refused: Error,
    ) -> Result<()> {
        if self.send.symlinks == TargetSymlinks::Refuse {
            return Err(refused.with_hint("symlinks = \"follow\" replaces what it leads to"));
        }
        let looked = |error| plain(Doing::Looking(link), error);
        let real = remote.realpath(link).await.map_err(looked)?;
        self.replaced = look(remote, &real).await?;
        self.published = Some(real);
        Ok(())
    }

    /// Writes the whole body into a new file: the temporary one, or with `in-place` the final one.
    async fn upload<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let remote = step.session.remote();
        let (path, mut writer) = if self.send.in_place {
            self.open_in_place(remote, &step.session.facts, places, outcome)
                .await?
        } else {
            self.open_temporary(remote, places).await?
        };
        let target = Target {
            remote,
            path: &path,
            start: 0,
            stop: step.session.stop(),
            observer: &step.observer,
        };
        let mut digest = digest_for(self.send);
        let mut reading = self.source.read()?;
        let written = &mut self.written;
        let size = target
            .pour(&mut writer, &mut reading, 0, digest.as_mut(), written)
            .await?;
        let mut found = target.settle(writer, self.send, size).await?;
        let sha256 = digested(digest);
        if let (Verify::Hash, Some(sha256)) = (self.send.verify, &sha256) {
            found.verified = target.verify_hash(sha256).await?;
        }
        self.source.expect_unchanged(size).await?;
        self.size = size;
        track(outcome, found, sha256);
        self.set_attributes(remote, &path, outcome).await?;
        if !self.send.in_place {
            return Ok(Stage::Publish);
        }
        self.ours.incomplete = None;
        self.published = Some(path);
        Ok(Stage::Move)
    }

    async fn open_temporary<R: Remote>(
        &mut self,
        remote: &R,
        places: &Places,
    ) -> Result<(RemotePath, R::Writer)> {
        if let Some(begun) = &self.ours.temporary {
            remove_if_there(remote, begun).await?;
        }
        let template = match setting(self.send.temporary_name.as_ref()) {
            Some(template) => TemporaryName::parse(template)?,
            None => TemporaryName::default(),
        };
        // The file that a link leads to may be elsewhere; there it is to be renamed to.
        let beside = self.published.as_ref().and_then(RemotePath::parent);
        let directory = match beside {
            Some(beside) if self.named.staging.is_none() => beside,
            _ => places.staging.clone(),
        };
        let path = directory.join(&template.make(&self.name));
        // A temporary name without a UUID may be that of another sender's file.
        if !template.is_unique()
            && let Some(there) = look(remote, &path).await?
        {
            self.ours.temporary = None;
            return Err(exists(&path, &there)
                .with_hint("put {uuid} into temporary-name, or remove the file"));
        }
        self.ours.temporary = Some(path.clone());
        match remote.open_write(&path, WriteMode::CreateExclusive).await {
            Ok(writer) => Ok((path, writer)),
            Err(error) if error.is_lost() => Err(plain(Doing::Creating(&path), error)),
            Err(error) => {
                if !template.is_unique() {
                    // It was refused, so what is there is not ours to clear away.
                    self.ours.temporary = None;
                }
                Err(explain(remote, Doing::Creating(&path), error).await)
            }
        }
    }

    async fn open_in_place<R: Remote>(
        &mut self,
        remote: &R,
        facts: &Facts,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<(RemotePath, R::Writer)> {
        if let Some(ours) = self.ours.incomplete.clone() {
            let writer = open_write(remote, &ours, WriteMode::CreateOrTruncate).await?;
            return Ok((ours, writer));
        }
        let numbering = match self.send.if_exists {
            IfExists::Overwrite => {
                let path = self.published.clone().expect("the target was looked at");
                let writer = open_write(remote, &path, WriteMode::CreateOrTruncate).await?;
                if self.replaced.is_none() {
                    self.ours.incomplete = Some(path.clone());
                }
                return Ok((path, writer));
            }
            IfExists::Rename => Numbering::FirstFree,
            IfExists::Error | IfExists::Append => Numbering::Exact,
        };
        let fresh = Candidates::new(
            places.directory.clone(),
            self.name.clone(),
            numbering,
            places.target.clone(),
        )
        .remembering(facts);
        let mut candidates = self.candidates.take().unwrap_or(fresh);
        let opened = self.first_free(remote, &mut candidates, outcome).await;
        self.candidates = Some(candidates);
        opened
    }

    async fn first_free<R: Remote>(
        &mut self,
        remote: &R,
        candidates: &mut Candidates,
        outcome: &mut Outcome,
    ) -> Result<(RemotePath, R::Writer)> {
        loop {
            let path = candidates.current(remote).await?;
            self.ours.tell_unclear(remote, outcome).await?;
            match remote.open_write(&path, WriteMode::CreateExclusive).await {
                Ok(writer) => {
                    self.ours.incomplete = Some(path.clone());
                    outcome.properties.set("claimed-by", "exclusive");
                    return Ok((path, writer));
                }
                Err(error) if error.is_lost() => {
                    self.ours.unclear = Some(path.clone());
                    return Err(plain(Doing::Creating(&path), error));
                }
                Err(error) => match look(remote, &path).await? {
                    Some(_) => candidates.taken(remote, &path).await?,
                    None => return Err(explain(remote, Doing::Creating(&path), error).await),
                },
            }
        }
    }

    async fn append<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let path = places.directory.join(&self.name);
        let remote = step.session.remote();
        let target = Target {
            remote,
            path: &path,
            start: 0,
            stop: step.session.stop(),
            observer: &step.observer,
        };
        let appended = self
            .append
            .attempt(target, self.send, &mut self.source)
            .await;
        if self.append.created {
            self.ours.incomplete = Some(path.clone());
        }
        let appended = appended?;
        self.size = appended.size;
        self.ours.incomplete = None;
        self.published = Some(path.clone());
        track(outcome, appended.found, appended.sha256);
        self.set_attributes(remote, &path, outcome).await?;
        Ok(Stage::Move)
    }

    /// Gives the temporary file its name.
    async fn publish<C: Connect>(
        &mut self,
        step: &mut Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let temporary = self.ours.temporary.clone().expect("it was uploaded");
        if self.send.if_exists == IfExists::Overwrite {
            let path = self.published.clone().expect("the target was looked at");
            let collision = MoveCollision::Replace;
            let mover = self
                .mover
                .get_or_insert_with(|| Mover::new(temporary, path, collision, Across::Copy));
            let moved = mover.attempt(step.session.remote()).await?;
            track_move(&mut outcome.properties, &moved);
            outcome.warnings.extend(moved.warning);
            self.mover = None;
            self.ours.temporary = None;
            return Ok(Stage::Move);
        }
        let numbering = match self.send.if_exists {
            IfExists::Error => Numbering::Exact,
            _ => Numbering::FirstFree,
        };
        // With a move-to directory the name is claimed there, where it is published, and must be
        // free in both.
        let (published_in, also_free_in) = match &places.target {
            Some(target) => (target.clone(), Some(places.directory.clone())),
            None => (places.directory.clone(), None),
        };
        let (name, size) = (self.name.clone(), self.size);
        let directory = published_in.clone();
        let mut claim = self.claim.take().unwrap_or_else(|| {
            let candidates = Candidates::new(directory, name, numbering, also_free_in)
                .remembering(&step.session.facts);
            Claim::new(temporary.clone(), size, candidates)
        });
        let (remote, facts) = step.session.parts();
        let claimed = claim.attempt(remote, facts).await;
        let claimed = match claimed {
            Err(error)
                if error.class() == Class::Unsupported
                    && temporary.parent().as_ref() != Some(&published_in) =>
            {
                // The two directories are on two devices: the file crosses as a copy, still under
                // a temporary name.
                let across = published_in.join(&names::temporary(&self.name));
                self.ours.spent.push(across.clone());
                copy_through(remote, &temporary, &across).await?;
                if !same_content(remote, &temporary, &across).await? {
                    return Err(Error::new(
                        Class::Integrity,
                        format!("the copy {across} is not what was sent"),
                    ));
                }
                self.ours.spent.pop();
                self.ours.spent.push(temporary);
                self.ours.temporary = Some(across.clone());
                claim.moved_temporary(across.clone());
                self.set_attributes(remote, &across, outcome).await?;
                claim.attempt(remote, facts).await
            }
            claimed => claimed,
        };
        self.claim = Some(claim);
        let claimed = claimed?;
        self.claim = None;
        self.ours.temporary = None;
        outcome.properties.set("claimed-by", claimed.by);
        outcome.warnings.extend(claimed.warning);
        self.published = Some(claimed.path);
        Ok(Stage::Done)
    }

    /// From the remote directory to the move-to directory.
    async fn move_on<R: Remote>(
        &mut self,
        remote: &R,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let Some(target) = &places.target else {
            return Ok(Stage::Done);
        };
        let published = self.published.clone().expect("it was published");
        let target = target.join(match self.send.if_exists {
            // What is overwritten may be what a link leads to, under another name.
            IfExists::Overwrite => &self.name,
            _ => published.name(),
        });
        let collision = match self.send.if_exists {
            IfExists::Rename | IfExists::Error => MoveCollision::Error,
            IfExists::Append | IfExists::Overwrite => self.send.collision(),
        };
        let across = match self.send.force_move {
            true => Across::Copy,
            false => Across::Refuse,
        };
        let to = target.clone();
        let mover = self
            .mover
            .get_or_insert_with(|| Mover::new(published, to, collision, across));
        let moved = mover.attempt(remote).await?;
        track_move(&mut outcome.properties, &moved);
        outcome.warnings.extend(moved.warning);
        self.mover = None;
        self.published = Some(target);
        Ok(Stage::Done)
    }

    /// Permissions and time, as well as the server lets us.
    async fn set_attributes<R: Remote>(
        &self,
        remote: &R,
        path: &RemotePath,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let permissions = match self.send.permissions {
            Some(Permissions::Mode(mode)) => Some(mode),
            Some(Permissions::Keep) => self.replaced.and_then(|old| old.permissions),
            None => None,
        };
        let modified = match self.send.preserve_modified {
            true => self.source.modified(),
            false => None,
        };
        if permissions.is_none() && modified.is_none() {
            return Ok(());
        }
        let attrs = SetAttrs {
            permissions,
            modified,
        };
        match remote.set_attrs(path, attrs).await {
            Ok(()) => {
                let set = Attrs {
                    permissions,
                    modified,
                    ..Attrs::default()
                };
                track_attrs(&mut outcome.properties, &set);
                Ok(())
            }
            Err(error) if error.is_lost() => Err(plain(Doing::SettingAttributes(path), error)),
            Err(error) => {
                let error = plain(Doing::SettingAttributes(path), error);
                outcome.warnings.push(error);
                Ok(())
            }
        }
    }

    /// The failure, once what is ours is gone; names what could not be taken away.
    async fn cleaned_up<C: Connect>(&self, step: &Step<C>, mut error: Error) -> Error {
        let path = self
            .places
            .as_ref()
            .map(|places| places.directory.join(&self.name));
        if let Some(path) = &path
            && self.append.has_begun()
            && !self.append.created
        {
            error = self.append.told(path, error);
        }
        if self.stage == Stage::Move
            && let Some(published) = &self.published
        {
            // Sent again, it would be there twice or in its own way.
            error = error.not_retryable().with_note(format_args!(
                "the file is complete, and stands as {published}"
            ));
        }
        for left in self.claim.iter().flat_map(Claim::leftovers) {
            error = released(step, left, error).await;
        }
        error = self.ours.cleaned_up(step, error).await;
        for left in self.mover.iter().flat_map(Mover::leftovers) {
            error = error.with_note(format_args!("{left} may be left there"));
        }
        error
    }
}

fn track(outcome: &mut Outcome, found: Found, sha256: Option<[u8; 32]>) {
    track_attrs(&mut outcome.properties, &found.attrs);
    outcome.properties.set("verified", found.verified);
    if let Some(sha256) = sha256 {
        outcome.properties.set("sha256", hex(&sha256));
    }
}
