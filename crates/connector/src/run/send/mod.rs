//! Send: one file per document, complete before anyone sees it under its name.
//!
//! ```text
//!   staged:    check ─▶ temporary name ─▶ verified ─▶ claimed or renamed over ─▶ move-to
//!   in place:  check ─▶ final name ──────▶ verified ──────────────────────────▶ move-to
//!   append:    check ─▶ end of the file ─▶ verified ──────────────────────────▶ move-to
//! ```
//! Each stage can be entered again on a new session, and looks before it does anything twice.

mod places;
mod publish;
pub(super) mod recall;
pub(super) mod record;
mod upload;

use bytes::Bytes;

use self::places::Places;
use self::record::Record;
use super::Step;
use super::append::Append;
use super::claim::{Candidates, Claim};
use super::diagnose::look;
use super::flow::Flow;
use super::get::hex;
use super::leftovers::{Leftovers, released};
use super::list::track_attrs;
use super::moving::Mover;
use super::places::{move_to_directory, remote_directory};
use super::session::is_loss;
use super::source::Source;
use super::upload::Found;
use crate::document::{Body, Properties};
use crate::error::{Class, Error, Result};
use crate::journal::SendState;
use crate::names;
use crate::operation::{IfExists, Send, setting};
use crate::outcome::{Outcome, SkipReason, Status};
use crate::path::{RemotePath, printable};
use crate::remote::{Attrs, Connect};

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
    flow: Flow,
    /// The file that bytes of the body went into.
    begun: Option<RemotePath>,
    /// Where the file stands under its final name.
    published: Option<RemotePath>,
    size: u64,
    record: Record,
    /// An earlier run had the temporary file complete, with this SHA-256.
    complete: Option<[u8; 32]>,
    /// In this stage an earlier run ended.
    resumes: Option<Stage>,
    /// How the journal's ids of other versions of the source begin, until these were looked at.
    superseded: Option<String>,
    /// Why it is not sent.
    left: Option<SkipReason>,
}

/// The directories as named.
struct Named {
    directory: Bytes,
    target: Option<Bytes>,
    staging: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Recall,
    Check,
    Upload,
    Publish,
    Move,
    Done,
}

/// A document as it is to be sent: what is known of it before anyone is asked.
pub(in crate::run) struct Draft {
    /// The base name at the server, before any number.
    pub(in crate::run) name: Bytes,
    source: Source,
    named: Named,
    properties: Properties,
}

impl Draft {
    /// Looks at the document on this machine; or says what it fails with.
    pub(in crate::run) async fn of<C: Connect>(
        step: &Step<C>,
        send: &Send,
        body: Body,
        mut properties: Properties,
        seq: u64,
    ) -> Result<Self, Outcome> {
        let found = async {
            let source = Source::of(body).await?.rehearsed(step.rehearsal);
            let name = final_name(send, &properties, &source, seq)?;
            let connection = step.session.connection();
            let directory = send.remote_directory.as_ref();
            let named = Named {
                directory: remote_directory(&properties, directory, connection)?,
                target: move_to_directory(&properties, send.move_to_directory.as_ref())?,
                staging: setting(send.staging_directory.as_ref()).map(Bytes::copy_from_slice),
            };
            Ok((source, name, named))
        };
        let (source, name, named) = match found.await {
            Ok(found) => found,
            Err(error) => return Err(Outcome::failed(properties, error)),
        };
        let connection = step.session.connection();
        properties.set("filename", name.clone());
        properties.set("host", connection.host.clone());
        properties.set("port", connection.port.to_string());
        if let Some(origin) = source.origin() {
            properties.set("source-document", origin);
        }
        Ok(Self {
            name,
            source,
            named,
            properties,
        })
    }

    /// Its bytes, where that is known.
    pub(in crate::run) fn size(&self) -> Option<u64> {
        self.source.size()
    }
}

pub(super) async fn run<C: Connect>(step: &mut Step<C>, send: &Send, draft: Draft) -> Outcome {
    let Draft {
        name,
        source,
        named,
        properties,
    } = draft;
    let mut outcome = Outcome {
        properties,
        ..Outcome::default()
    };
    match send_one(step, send, (name, source, named), &mut outcome).await {
        Ok(Some(SkipReason::InHand)) => outcome.status = Status::Skipped(SkipReason::InHand),
        Ok(left) => {
            if let Some(reason) = left {
                outcome.status = Status::Skipped(reason);
            }
            outcome.delivered = true;
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
    (name, source, named): (Bytes, Source, Named),
    outcome: &mut Outcome,
) -> Result<Option<SkipReason>> {
    let size = source.size();
    let mut sending = Sending {
        send,
        name: name.clone(),
        source,
        named,
        places: None,
        stage: Stage::Recall,
        replaced: None,
        ours: Leftovers::default(),
        candidates: None,
        claim: None,
        mover: None,
        append: Append::default(),
        flow: Flow::default(),
        begun: None,
        published: None,
        size: 0,
        record: Record::default(),
        complete: None,
        resumes: None,
        superseded: None,
        left: None,
    };
    step.observer.tell(|progress| progress.started(&name, size));
    let sent = sending.carried_through(step, outcome).await;
    step.observer.tell(|progress| progress.finished());
    sent.map(|()| sending.left)
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
        let mut furthest = 0;
        loop {
            let error = match self.advance(step, outcome).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if is_loss(&error) && !self.can_go_on() {
                return Err(self.given_up(step, error).await);
            }
            // A long file may be cut off more often than anything is tried again in vain.
            if self.flow.acknowledged() > furthest {
                furthest = self.flow.acknowledged();
                retries = step.session.retries();
            }
            if let Err(error) = step.session.recover(error, &mut retries).await {
                return Err(self.given_up(step, error).await);
            }
        }
        // All is well but for a warning; a connection that is lost now changes nothing.
        let _ = self.ours.tell_unclear(step.session.remote(), outcome).await;
        self.ours.cleared(step.session.remote(), outcome).await;
        self.end_record(outcome).await;
        let Some(published) = &self.published else {
            return Ok(());
        };
        let seconds = begun.elapsed().as_secs_f64().max(1e-6);
        let rate = (self.size as f64 / seconds) as u64;
        outcome.properties.set("bytes-per-second", rate.to_string());
        outcome.properties.set("size", self.size.to_string());
        outcome
            .properties
            .set("filename", Bytes::copy_from_slice(published.name()));
        Ok(())
    }

    /// Tells the journal that all is done. What it cannot keep, it finds out in the next run.
    async fn end_record(&mut self, outcome: &mut Outcome) {
        if let (Some(entry), Some(published)) = (self.record.take(), &self.published)
            && let Err(error) = entry.done(published).await
        {
            outcome.warnings.push(error);
        }
    }

    /// What comes after it has its name: where that was claimed in the move-to directory, nothing.
    fn after_publication(&self) -> Stage {
        let moves = self.send.in_place
            || matches!(self.send.if_exists, IfExists::Overwrite | IfExists::Append);
        if moves { Stage::Move } else { Stage::Done }
    }

    /// Whether what is at the server is for the next run to go on with: it was cut off or stopped,
    /// and the journal knows where it is.
    fn is_kept_for_later(&self, error: &Error) -> bool {
        let stopped = is_loss(error) || error.class() == Class::Cancelled;
        self.record.is_kept() && stopped && self.send.resume
    }

    /// Whether what a lost connection cut off can be gone on with.
    fn can_go_on(&self) -> bool {
        let from = match self.send.resume || self.append.has_begun() {
            true => self.flow.acknowledged(),
            false => 0,
        };
        self.stage != Stage::Upload || self.flow.can_go_to(&self.source, from)
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
                Stage::Recall => self.recall(step, &places, outcome).await?,
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
                Stage::Move => self.move_on(step, &places, outcome).await?,
                Stage::Done => Stage::Done,
            };
        }
        Ok(())
    }

    /// The failure, with everything cleaned up or kept for the next run, and told to the journal.
    async fn given_up<C: Connect>(&mut self, step: &Step<C>, mut error: Error) -> Error {
        if self.is_kept_for_later(&error) {
            let uploads = self.stage == Stage::Upload && self.flow.acknowledged() > 0;
            if uploads && let Err(why) = self.record.stands(self.flow.acknowledged()).await {
                error = error.with_note(why);
            }
            let there = self
                .ours
                .temporary
                .take()
                .or_else(|| self.ours.incomplete.take());
            let appended = (self.append.has_begun() && self.stage == Stage::Upload)
                .then(|| Some(self.places.as_ref()?.directory.join(&self.name)))
                .flatten();
            if let Some(there) = there.or(appended) {
                error = error.with_note(format_args!("the next run goes on with {there}"));
            }
        }
        self.leave_to_another(step).await;
        if let (Some(temporary), Stage::Publish) = (self.ours.temporary.clone(), self.stage) {
            match self.is_unpublished(step).await {
                // The name that was about to be claimed is not, once the file is gone that was to get it.
                true => {
                    if let Err(why) = self.record.begun(&temporary, &self.name).await {
                        error = error.with_note(why);
                    }
                }
                false => {
                    self.ours.temporary = None;
                    error = error
                        .with_note(format_args!("the next run sees what became of {temporary}"));
                }
            }
        }
        let mut error = self.cleaned_up(step, error).await;
        if let (Some(path), true) = (&self.ours.incomplete, self.append.created)
            && step.session.is_open()
            && matches!(look(step.session.remote(), path).await, Ok(None))
            && let Err(why) = self.record.withdrawn().await
        {
            error = error.with_note(why);
        }
        if let Some(entry) = self.record.take()
            && let Err(why) = entry.failed(&error).await
        {
            return error.with_note(why);
        }
        error
    }

    /// Whether the temporary file certainly has not got the name that the journal has for it. Without a journal
    /// nobody will ever look again, and it is cleared away.
    async fn is_unpublished<C: Connect>(&self, step: &Step<C>) -> bool {
        #[cfg(sansftp_bugs)]
        if sansftp_proto::bugs::seeded("taken-for-unpublished") {
            return true;
        }
        let Some(entry) = self.record.entry() else {
            return true;
        };
        let SendState::Publishing {
            temporary: Some(temporary),
            path,
            size: Some(size),
            sha256: Some(sha256),
        } = entry.state()
        else {
            return true;
        };
        if !step.session.is_open() {
            return false;
        }
        let (remote, stop) = (step.session.remote(), step.session.stop());
        let Ok(there) = look(remote, temporary).await else {
            return false;
        };
        let content = (*size, *sha256);
        let published = self
            .was_published(remote, temporary, there, path, content, stop)
            .await;
        matches!(published, Ok(false))
    }

    /// A file that was made to be appended to, and holds more than was sent, is another writer's as
    /// well: it stays.
    async fn leave_to_another<C: Connect>(&mut self, step: &Step<C>) {
        let Some(path) = &self.ours.incomplete else {
            return;
        };
        if !self.append.created || !step.session.is_open() {
            return;
        }
        let size = match look(step.session.remote(), path).await {
            Ok(there) => there.and_then(|there| there.size),
            // Removing it looks again, and says what is wrong.
            Err(_) => return,
        };
        if size.is_some_and(|size| size > self.flow.sent()) {
            self.append.created = false;
            self.ours.incomplete = None;
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
            && !self.is_kept_for_later(&error)
        {
            error = self.append.told(path, &self.flow, error);
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
