//! A complete file gets its name, and is moved to its move-to directory.
//!
//! Not how a name is claimed or a file moved: those are [`Claim`]'s and [`Mover`]'s.

use super::super::Step;
use super::super::claim::{Candidates, Claim, Numbering};
use super::super::compare::{copy_through, same_content};
use super::super::diagnose::remove_if_there;
use super::super::get::track_move;
use super::super::moving::{Across, Mover};
use super::places::Places;
use super::record::Record;
use super::{Sending, Stage};
use crate::error::{Class, Error, Result};
use crate::names;
use crate::operation::{IfExists, MoveCollision};
use crate::outcome::Outcome;
use crate::path::RemotePath;
use crate::remote::Connect;

impl Sending<'_> {
    /// Gives the temporary file its name.
    pub(super) async fn publish<C: Connect>(
        &mut self,
        step: &mut Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let temporary = self.ours.temporary.clone().expect("it was uploaded");
        if self.send.if_exists == IfExists::Overwrite {
            let path = self.published.clone().expect("the target was looked at");
            let collision = MoveCollision::Replace;
            self.record.publishing(&path).await?;
            let stop = step.session.stop().clone();
            let mover = Mover::new(temporary, path, collision, Across::Copy, stop);
            let mover = match &mut self.mover {
                Some(mover) => mover,
                begins => begins.insert(known(mover, &self.record, self.resumes, Stage::Publish)),
            };
            let (remote, facts) = step.session.parts();
            let moved = mover.attempt(remote, facts).await?;
            track_move(&mut outcome.properties, &moved);
            outcome.warnings.extend(moved.warning);
            self.mover = None;
            self.ours.temporary = None;
            let published = self.published.clone().expect("it was just published");
            self.record.published(&published).await?;
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
        let stop = step.session.stop().clone();
        let mut claim = self.claim.take().unwrap_or_else(|| {
            let candidates = Candidates::new(directory, name, numbering, also_free_in)
                .remembering(&step.session.facts);
            Claim::new(temporary.clone(), size, candidates, stop.clone())
        });
        if self.complete.is_some()
            && self
                .resumes
                .take()
                .is_none_or(|stage| stage == Stage::Publish)
        {
            for probe in claim.probes() {
                remove_if_there(step.session.remote(), &probe).await?;
            }
        }
        let (remote, facts) = step.session.parts();
        let claimed = claim.attempt(remote, facts, &mut self.record).await;
        let claimed = match claimed {
            Err(error)
                if error.class() == Class::Unsupported
                    && temporary.parent().as_ref() != Some(&published_in) =>
            {
                // The two directories are on two devices: the file crosses as a copy, still under
                // a temporary name.
                let across = copy_in(&published_in, &temporary);
                if self.ours.spent.contains(&across) {
                    remove_if_there(remote, &across).await?;
                } else {
                    self.ours.spent.push(across.clone());
                }
                copy_through(remote, &temporary, &across, &stop).await?;
                if !same_content(remote, &temporary, &across, &stop).await? {
                    return Err(Error::new(
                        Class::Integrity,
                        format!("the copy {across} is not what was sent"),
                    ));
                }
                self.ours.spent.retain(|spent| *spent != across);
                self.record.begun(&across, &self.name).await?;
                let sha256 = self.complete.or_else(|| self.flow.sha256());
                self.record.written(size, sha256).await?;
                self.ours.spent.push(temporary);
                self.ours.temporary = Some(across.clone());
                claim.moved_temporary(across.clone());
                self.set_attributes(remote, &across, outcome).await?;
                claim.attempt(remote, facts, &mut self.record).await
            }
            claimed => claimed,
        };
        self.claim = Some(claim);
        let claimed = claimed?;
        self.claim = None;
        self.ours.temporary = None;
        outcome.properties.set("claimed-by", claimed.by);
        outcome.warnings.extend(claimed.warning);
        self.record.published(&claimed.path).await?;
        self.published = Some(claimed.path);
        Ok(self.after_publication())
    }

    /// From the remote directory to the move-to directory.
    pub(super) async fn move_on<C: Connect>(
        &mut self,
        step: &mut Step<C>,
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
        let mover = match &mut self.mover {
            Some(mover) => mover,
            begins => {
                self.record.moving(&target).await?;
                let stop = step.session.stop().clone();
                let mover = Mover::new(published, target.clone(), collision, across, stop);
                begins.insert(known(mover, &self.record, self.resumes, Stage::Move))
            }
        };
        let (remote, facts) = step.session.parts();
        let moved = mover.attempt(remote, facts).await?;
        track_move(&mut outcome.properties, &moved);
        outcome.warnings.extend(moved.warning);
        self.mover = None;
        self.published = Some(target);
        Ok(Stage::Done)
    }
}

/// The copy of a temporary file in another directory: under a name by which a later run finds it.
pub(super) fn copy_in(directory: &RemotePath, temporary: &RemotePath) -> RemotePath {
    let name = temporary.name();
    match names::is_ours(name) {
        true => directory.join(name),
        // Another name than one of our own form may be another's there.
        false => directory.join(&names::temporary_of(name, temporary.as_bytes())),
    }
}

/// A mover that leaves nothing which a later run would not find, where there is a journal.
fn known(mover: Mover, record: &Record, resumes: Option<Stage>, stage: Stage) -> Mover {
    let Some(entry) = record.entry() else {
        return mover;
    };
    match resumes == Some(stage) {
        true => mover.resumed(entry.noted().content),
        false => mover.known_by_its_name(),
    }
}
