//! What the journal knows of a document before it is sent, and what stands of it at the server.
//!
//! Each state names where bytes of the document may be. They are looked at before anything is sent,
//! so that it is not there twice, and nothing of ours stays there without a name.
//!
//! Not the recording: that is where things happen, through [`Record`](super::record::Record).

use super::super::Step;
use super::super::compare::{hash_of, is_second_name};
use super::super::diagnose::{look, remove_if_there};
use super::super::moving::{Across, Mover};
use super::super::session::is_loss;
use super::super::stop::Stop;
use super::places::Places;
use super::publish::copy_in;
use super::{Sending, Stage};
use crate::document::Properties;
use crate::error::{Class, Error, Result};
use crate::journal::{Journal, SendClaimed, SendKey, SendState};
use crate::operation::{IfExists, MoveCollision};
use crate::outcome::{Outcome, SkipReason};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Remote};

impl Sending<'_> {
    /// Takes the document in hand, and goes on with it where an earlier run left it.
    pub(super) async fn recall<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let Some(journal) = &step.journal else {
            let properties = &outcome.properties;
            return self.recall_planned(step, places, properties).await;
        };
        if !self.record.is_kept() {
            let document = self.document_id(&outcome.properties).await?;
            let key = SendKey {
                account: step.session.connection().account(),
                document,
                directory: places.directory.clone(),
            };
            match journal.sending(&key).await? {
                SendClaimed::Yours(entry) => {
                    self.flow.hash();
                    self.record.hold(entry);
                }
                SendClaimed::Done { path } => {
                    self.published = Some(path);
                    self.left = Some(SkipReason::AlreadyProcessed);
                    return Ok(Stage::Done);
                }
                SendClaimed::InHand => {
                    self.left = Some(SkipReason::InHand);
                    return Ok(Stage::Done);
                }
            }
            self.superseded = self.document_family(&key.document);
        }
        let remote = step.session.remote();
        if let Some(family) = self.superseded.clone() {
            clear_superseded(step, journal, places, &family).await?;
            self.superseded = None;
        }
        let stop = step.session.stop();
        let entry = self.record.entry().expect("it was just taken in hand");
        let (state, noted) = (entry.state().clone(), entry.noted().clone());
        if let Some(name) = noted.name {
            self.name = name;
        }
        match state {
            SendState::Claimed => Ok(Stage::Check),
            SendState::Begun { ref temporary, .. } => {
                self.expect_staged(&state)?;
                self.clear_copies(remote, places, temporary).await?;
                if let Some(standing) = noted.standing {
                    self.begun = Some(temporary.clone());
                    self.flow.stood(standing, self.source.size());
                }
                self.ours.temporary = Some(temporary.clone());
                Ok(Stage::Check)
            }
            SendState::Written {
                ref temporary,
                size,
                sha256,
                ..
            } => {
                self.expect_staged(&state)?;
                self.clear_copies(remote, places, temporary).await?;
                let there = look(remote, temporary).await?;
                self.found_written(temporary, there, size, sha256);
                Ok(Stage::Check)
            }
            SendState::Publishing {
                temporary: Some(ref temporary),
                ref path,
                size: Some(size),
                sha256: Some(sha256),
            } => {
                self.expect_staged(&state)?;
                self.clear_copies(remote, places, temporary).await?;
                let there = look(remote, temporary).await?;
                if self
                    .was_published(remote, temporary, there, path, (size, sha256), stop)
                    .await?
                {
                    self.size = size;
                    outcome.properties.set("claimed-by", "reconciled");
                    self.ours.temporary = None;
                    if self.send.if_exists == IfExists::Overwrite {
                        let (from, to) = (temporary.clone(), path.clone());
                        let replace = MoveCollision::Replace;
                        Mover::new(from, to, replace, Across::Refuse, stop.clone())
                            .clear_backups(remote)
                            .await?;
                    }
                    self.published = Some(path.clone());
                    self.record.published(path).await?;
                    return Ok(self.after_publication());
                }
                self.resumes = Some(Stage::Publish);
                // A name that was reserved is given back: the first free one is looked for again.
                if self.send.if_exists != IfExists::Overwrite
                    && let Some(placeholder) = look(remote, path).await?
                    && placeholder.size == Some(0)
                {
                    match noted.reserved {
                        true => remove_if_there(remote, path).await?,
                        // Whether it was created for us cannot be known.
                        false => self.ours.unclear = Some(path.clone()),
                    }
                }
                self.found_written(temporary, there, size, sha256);
                Ok(Stage::Check)
            }
            SendState::Publishing { ref path, .. } => {
                self.expect(self.send.in_place, &state)?;
                match noted.standing {
                    Some(standing) => {
                        self.begun = Some(path.clone());
                        self.flow.stood(standing, self.source.size());
                        if self.send.if_exists != IfExists::Overwrite {
                            self.ours.incomplete = Some(path.clone());
                            outcome.properties.set("claimed-by", "exclusive");
                        }
                    }
                    // Whether it was created for us cannot be known.
                    None if self.send.if_exists != IfExists::Overwrite => {
                        self.ours.unclear = Some(path.clone());
                    }
                    None => {}
                }
                Ok(Stage::Check)
            }
            SendState::Appending { ref path, base } => {
                self.expect(self.send.if_exists == IfExists::Append, &state)?;
                self.name = bytes::Bytes::copy_from_slice(path.name());
                self.append.go_on_after(base);
                self.flow
                    .stood(noted.standing.unwrap_or(0), self.source.size());
                Ok(Stage::Check)
            }
            SendState::Published { path } => {
                self.clear_temporary(remote, places, noted.temporary.as_ref())
                    .await?;
                self.recalled_size(noted.content);
                self.published = Some(path);
                Ok(self.after_publication())
            }
            SendState::Moving { path, .. } => {
                self.clear_temporary(remote, places, noted.temporary.as_ref())
                    .await?;
                self.recalled_size(noted.content);
                self.published = Some(path);
                self.resumes = Some(Stage::Move);
                Ok(Stage::Move)
            }
        }
    }

    /// The complete temporary file, if it is one still.
    fn found_written(
        &mut self,
        temporary: &RemotePath,
        there: Option<Attrs>,
        size: u64,
        sha256: [u8; 32],
    ) {
        self.ours.temporary = Some(temporary.clone());
        if there.is_some_and(|there| there.size == Some(size)) {
            self.size = size;
            self.complete = Some(sha256);
        }
    }

    /// Whether the temporary file has got this name. A second name of it that is left goes.
    pub(super) async fn was_published<R: Remote>(
        &self,
        remote: &R,
        temporary: &RemotePath,
        there: Option<Attrs>,
        path: &RemotePath,
        content: (u64, [u8; 32]),
        stop: &Stop,
    ) -> Result<bool> {
        let published = look(remote, path).await?;
        let Some(mine) = there else {
            if published.is_some() && stands(remote, path, content, stop).await? {
                return Ok(true);
            }
            return Err(Error::new(
                Class::Integrity,
                format!("{temporary} was about to become {path}, and neither is there"),
            )
            .with_hint(
                "if the receiver took it, it was delivered; sansftp journal forget lets it be sent \
                 again",
            ));
        };
        let Some(published) = published else {
            return Ok(false);
        };
        // Linked and not unlinked.
        let same = mine.same_version(&published)
            && is_second_name(remote, temporary, path, &mine, stop).await?;
        if same {
            remove_if_there(remote, temporary).await?;
        }
        Ok(same)
    }

    fn recalled_size(&mut self, content: Option<(u64, [u8; 32])>) {
        let noted = content.map(|(size, _)| size);
        self.size = noted.or_else(|| self.source.size()).unwrap_or_default();
    }

    /// Copies of a temporary file are in another directory: one that was cut off goes.
    async fn clear_copies<R: Remote>(
        &self,
        remote: &R,
        places: &Places,
        temporary: &RemotePath,
    ) -> Result<()> {
        let others = [
            Some(&places.staging),
            Some(&places.directory),
            places.target.as_ref(),
        ];
        for directory in others.into_iter().flatten() {
            if temporary.parent().as_ref() != Some(directory) {
                remove_if_there(remote, &copy_in(directory, temporary)).await?;
            }
        }
        Ok(())
    }

    /// The temporary file of one that was published, where it was left.
    async fn clear_temporary<R: Remote>(
        &self,
        remote: &R,
        places: &Places,
        temporary: Option<&RemotePath>,
    ) -> Result<()> {
        let Some(temporary) = temporary else {
            return Ok(());
        };
        // Another name than one of our own form may be another's by now.
        if crate::names::is_ours(temporary.name()) {
            remove_if_there(remote, temporary).await?;
        }
        self.clear_copies(remote, places, temporary).await
    }

    fn expect_staged(&self, state: &SendState) -> Result<()> {
        let staged = !self.send.in_place && self.send.if_exists != IfExists::Append;
        self.expect(staged, state)
    }

    /// What was begun in one way is not finished in another.
    fn expect(&self, fits: bool, state: &SendState) -> Result<()> {
        if fits {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "the journal has this document as {}, begun with another in-place or if-exists",
            state.name()
        ))
        .with_hint("finish it with the options it was begun with, or sansftp journal forget it"))
    }

    /// What a plan makes of a journal: a document that was sent to its end is not sent again.
    async fn recall_planned<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        properties: &Properties,
    ) -> Result<Stage> {
        let Some(glance) = &step.foreseen.journal else {
            return Ok(Stage::Check);
        };
        let sent = glance.sent(SendKey {
            account: step.session.connection().account(),
            document: self.document_id(properties).await?,
            directory: places.directory.clone(),
        });
        let Some(path) = sent.await? else {
            return Ok(Stage::Check);
        };
        self.published = Some(path);
        self.left = Some(SkipReason::AlreadyProcessed);
        Ok(Stage::Done)
    }

    /// The document's id in the journal.
    async fn document_id(&self, properties: &Properties) -> Result<String> {
        let id = properties.setting("document-id")?;
        match id {
            Some(id) => Ok(crate::path::printable(&id).into_owned()),
            None => self.source.identity(&self.name).await,
        }
    }

    /// How the ids of other versions of the same source begin.
    fn document_family(&self, id: &str) -> Option<String> {
        let (family, _version) = id.strip_prefix("file ")?.rsplit_once(" size=")?;
        Some(format!("file {family} size="))
    }
}

/// The source was changed before an earlier version of it was sent: its temporary file will never be
/// complete, and goes.
async fn clear_superseded<C: Connect>(
    step: &Step<C>,
    journal: &Journal,
    places: &Places,
    family: &str,
) -> Result<()> {
    let account = step.session.connection().account();
    for key in journal
        .begun_sends(&account, &places.directory, family)
        .await?
    {
        // One that somebody has in hand, this document among them, is not ours to clear.
        let SendClaimed::Yours(entry) = journal.sending(&key).await? else {
            continue;
        };
        let (SendState::Begun { temporary, .. } | SendState::Written { temporary, .. }) =
            entry.state()
        else {
            continue;
        };
        remove_if_there(step.session.remote(), temporary).await?;
        entry.forget().await?;
    }
    Ok(())
}

/// Whether a file has this size and, where it can be read, this content.
pub(in crate::run) async fn stands<R: Remote>(
    remote: &R,
    path: &RemotePath,
    (size, sha256): (u64, [u8; 32]),
    stop: &Stop,
) -> Result<bool> {
    if look(remote, path).await?.and_then(|there| there.size) != Some(size) {
        return Ok(false);
    }
    match hash_of(remote, path, 0, stop).await {
        Ok(found) => Ok(found == sha256),
        Err(error) if is_loss(&error) => Err(error),
        // A drop box may forbid reading.
        Err(error) if error.class() == Class::Permission => Ok(true),
        Err(error) => Err(error),
    }
}
