//! Where a document goes, and what can be seen to fail before a byte of it is sent.
//!
//! Not the making of names: these are claimed when the file is complete.

use super::super::Step;
use super::super::diagnose::{Doing, exists, look, plain};
use super::super::places::{Missing, ensure, refuse_same};
use super::{Sending, Stage};
use crate::error::{Class, Error, Result};
use crate::operation::{IfExists, MoveCollision, TargetSymlinks};
use crate::path::RemotePath;
use crate::remote::{Connect, FileKind, Remote};

/// Bytes of a name above which a server may refuse it: some file systems take 143, most 255.
const LONG: usize = 128;

/// The directories.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) directory: RemotePath,
    pub(super) target: Option<RemotePath>,
    pub(super) staging: RemotePath,
}

impl Sending<'_> {
    pub(super) async fn found_places<C: Connect>(&self, step: &mut Step<C>) -> Result<Places> {
        // What all files of a directory need is asked for once, however many begin together.
        let _asking = step.session.facts.asking().await;
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
            if !step.session.facts.has_directory(place) {
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
    pub(super) async fn check<R: Remote>(&mut self, remote: &R, places: &Places) -> Result<Stage> {
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
            // The temporary name is cut to what fits, and a final one that does not would be refused
            // only once all is sent.
            IfExists::Rename if self.name.len() > LONG && !self.send.in_place => {
                for place in [Some(&path), target.as_ref()].into_iter().flatten() {
                    look(remote, place).await?;
                }
            }
            IfExists::Rename | IfExists::Append => {}
            IfExists::Error if self.begun.is_some() => {}
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
        Ok(match self.complete {
            Some(_) => Stage::Publish,
            None => Stage::Upload,
        })
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
        if let Some(there) = &self.replaced
            && there.kind == FileKind::Directory
        {
            return Err(exists(&real, there));
        }
        self.published = Some(real);
        Ok(())
    }
}
