//! What an earlier run has left in the journal: looked at before anything is done again.
//!
//! ```text
//!   claimed    its part goes on, if the file is still what it was
//!   fetched    the part gone and its second name there, or in its place already? delivered.
//!              The part is there? it gets its place. Else: again
//!   delivered  only the after-action is due; a source that is gone needs none
//! ```
//! Not the journal, and not what this run begins.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::super::diagnose::look;
use super::super::places::behind_links;
use super::super::selection::Found;
use super::deliver::{clear_trace, track_place};
use super::fetch::{is_listed, part_of};
use super::{Hand, Item, Plan, hex};
use crate::error::Result;
use crate::journal::{Claimed, FetchState, Received, Source, Taken, Unfinished};
use crate::local::{Directory, PartName};
use crate::operation::Symlinks;
use crate::outcome::{Outcome, SkipReason};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry, FileKind};

/// A file that may be taken in hand, with a journal recorded as this one's; or why it is left alone.
pub(super) type Claim = std::result::Result<Option<Taken>, SkipReason>;

impl<C: Connect> Hand<'_, C> {
    /// Takes a file in hand.
    pub(super) async fn claim(&mut self, item: &Item) -> Result<Claim> {
        let Some(journal) = self.plan.journal else {
            return Ok(Ok(None));
        };
        let mut version = item.listed;
        if item.listed.kind == FileKind::Symlink {
            // It is what the link leads to that is fetched.
            let behind = self.looked(&item.path, Symlinks::Follow).await?;
            version = behind.unwrap_or(version);
        }
        let source = Source {
            account: self.plan.connection.account(),
            directory: item.directory.clone(),
            name: item.name.clone(),
            size: version.size,
            modified: version.modified,
        };
        Ok(match journal.claim(&source).await? {
            Claimed::Yours(taken) => Ok(Some(taken)),
            Claimed::Done => Err(SkipReason::AlreadyProcessed),
            Claimed::InHand => Err(SkipReason::InHand),
        })
    }

    /// Finishes what earlier runs have fetched or delivered, and forgets what they had begun and is
    /// not there any more.
    pub(super) async fn settle_all(&mut self) -> Result<()> {
        let Some(journal) = self.plan.journal else {
            return Ok(());
        };
        let account = self.plan.connection.account();
        let directory = &self.plan.directory;
        let unfinished = match self.plan.get.recursive {
            true => journal.unfinished_below(&account, directory).await?,
            false => journal.unfinished(&account, directory).await?,
        };
        for entry in unfinished {
            self.session.stop().check()?;
            self.settle(entry).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, unfinished: Unfinished) -> Result<()> {
        let Some(journal) = self.plan.journal else {
            return Ok(());
        };
        let source = &unfinished.source;
        let path = source.directory.join(&source.name);
        let Some(relative) = self.plan.relative(&source.directory) else {
            return Ok(());
        };
        let mut listed = Attrs {
            kind: FileKind::File,
            size: source.size,
            modified: source.modified,
            ..Attrs::default()
        };
        let there = self.looked(&path, Symlinks::Skip).await?;
        let mut version = there;
        if there.is_some_and(|there| there.kind == FileKind::Symlink) {
            listed.kind = FileKind::Symlink;
            version = self.looked(&path, Symlinks::Follow).await?;
        }
        let same = version.is_some_and(|now| is_listed(source, &now));
        if let FetchState::Claimed { .. } = unfinished.state {
            if same {
                // The listing meets it, if it is still one to be taken.
                return Ok(());
            }
            let Some(taken) = journal.claim_unfinished(source).await? else {
                return Ok(());
            };
            if let Some(part) = part_of(taken.state()).map(Path::to_owned) {
                self.discard_part(&source.name, &part).await;
            }
            return taken.forget().await;
        }
        let Some(taken) = journal.claim_unfinished(source).await? else {
            return Ok(());
        };
        let item = self.plan.item(Found {
            entry: Entry {
                name: source.name.clone(),
                attrs: listed,
            },
            directory: source.directory.clone(),
            relative,
        });
        self.take_claimed(&item, Some(taken)).await;
        Ok(())
    }

    /// Whether the bytes are here already, from an earlier run; delivered, if need be now. Says what
    /// was fetched then.
    pub(super) async fn stands_already(
        &self,
        item: &Item,
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<Option<Attrs>> {
        let Some(state) = taken.as_ref().map(|taken| taken.state().clone()) else {
            return Ok(None);
        };
        let attrs = |received: Option<Received>| Attrs {
            size: received.map_or(item.listed.size, |received| Some(received.size)),
            modified: received.map_or(item.listed.modified, |received| received.modified),
            ..item.listed
        };
        match state {
            FetchState::Claimed { .. } => Ok(None),
            FetchState::Delivered {
                part,
                place,
                received,
                ..
            } => {
                if let Some((directory, part)) = part.and_then(|part| self.part(&item.name, &part))
                {
                    clear_trace(&directory, &part).await;
                }
                if let Some(received) = received {
                    outcome.properties.set("size", received.size.to_string());
                    outcome.properties.set("sha256", hex(&received.sha256));
                }
                match place {
                    Some(place) => track_place(outcome, &place),
                    None => outcome.delivered = true,
                }
                Ok(Some(attrs(received)))
            }
            FetchState::Fetched {
                part,
                place,
                received,
            } => {
                let fetched = (part.as_path(), place.as_path(), received);
                if !self.placed_already(item, fetched, taken, outcome).await? {
                    return Ok(None);
                }
                outcome.properties.set("size", received.size.to_string());
                outcome.properties.set("sha256", hex(&received.sha256));
                Ok(Some(attrs(Some(received))))
            }
        }
    }

    /// Of what was complete on the disk: whether it is in its place by now.
    async fn placed_already(
        &self,
        item: &Item,
        (part, place, received): (&Path, &Path, Received),
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Ok(false);
        };
        let Ok(directory) = Directory::open(parent, self.plan.connection.memory.0) else {
            // The directory is gone, and what was in it.
            return Ok(false);
        };
        let (size, sha256) = (received.size, received.sha256);
        // The part first: who holds its lock may be just about to rename it.
        let part = directory.part_at(&item.name, part);
        let complete = match &part {
            Some(part) => directory.recover(part, size, sha256).await?,
            None => None,
        };
        let gone = match &part {
            Some(part) if complete.is_none() => directory.was_placed(part).await?,
            _ => false,
        };
        if gone || directory.holds(name.as_bytes(), size, sha256).await? {
            if let Some(complete) = complete {
                directory.is_placed(complete).await?;
            }
            if let Some(taken) = taken {
                taken.delivered(Some(place)).await?;
            }
            if let Some(part) = &part {
                clear_trace(&directory, part).await;
            }
            track_place(outcome, place);
            return Ok(true);
        }
        let Some(complete) = complete else {
            return Ok(false);
        };
        let wanted = match &self.plan.local {
            Some(local) => local.below(&item.relative).await?,
            None => {
                complete.discard();
                return Ok(false);
            }
        };
        if wanted.real_path() != directory.real_path() {
            // It is to go elsewhere by now.
            complete.discard();
            return Ok(false);
        }
        let modified = received.modified;
        let placed = self.place(&wanted, complete, modified, taken).await?;
        track_place(outcome, &placed.path);
        if placed.already_present {
            outcome.properties.set("already-present", "true");
        }
        Ok(true)
    }

    /// Removes the part of an earlier run. What cannot be removed is told, and no reason to stop.
    pub(super) async fn discard_part(&self, name: &[u8], path: &Path) {
        if let Some((directory, part)) = self.part(name, path)
            && let Err(error) = directory.discard(&part).await
        {
            tracing::warn!(%error, "a part of an earlier run is left there");
        }
    }

    /// The part that an earlier run recorded, and where it is.
    fn part(&self, name: &[u8], path: &Path) -> Option<(Directory, PartName)> {
        let directory = Directory::open(path.parent()?, self.plan.connection.memory.0).ok()?;
        let part = directory.part_at(name, path)?;
        Some((directory, part))
    }

    /// A look at the server, on a new session where the old one was lost.
    pub(super) async fn looked(
        &mut self,
        path: &RemotePath,
        links: Symlinks,
    ) -> Result<Option<Attrs>> {
        let mut retries = self.session.retries();
        loop {
            self.session.open().await?;
            let stop = self.session.stop().clone();
            let remote = self.session.remote();
            let seen = match links {
                Symlinks::Skip => stop.unless(look(remote, path)).await,
                Symlinks::Follow => stop.unless(behind_links(remote, path)).await,
            };
            match seen {
                Ok(seen) => return Ok(seen),
                Err(error) => self.session.recover(error, &mut retries).await?,
            }
        }
    }
}

impl Plan<'_> {
    /// The components that lead from the operation's directory to this one; `None` when it is not
    /// below it.
    fn relative(&self, directory: &RemotePath) -> Option<Arc<[Bytes]>> {
        let rest = directory
            .as_bytes()
            .strip_prefix(self.directory.as_bytes())?;
        let components = rest.split(|&byte| byte == b'/');
        let components = components.filter(|component| !component.is_empty());
        Some(components.map(Bytes::copy_from_slice).collect())
    }
}
