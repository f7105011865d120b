//! What happens to the source of what was delivered: it stays, is deleted, or is moved.
//!
//! Not before it was delivered, and never to what is not what was delivered.

use super::super::diagnose::{Doing, explain, look, plain};
use super::super::moving::{Across, Moved, Mover};
use super::super::places::behind_links;
use super::{Hand, Item, track_move};
use crate::error::{Class, Error, Result};
use crate::operation::{AfterFailure, GetAction};
use crate::outcome::{AfterAction, Outcome};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, FileKind, Remote};

impl<C: Connect> Hand<'_, C> {
    /// The after-action; its failure is the file's, or a warning, as the option says.
    pub(super) async fn after(
        &mut self,
        item: &Item,
        attrs: &Attrs,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let done = match self.plan.get.action {
            GetAction::Get => return Ok(()),
            GetAction::GetAndDelete => self.delete(item, attrs).await.map(|()| None),
            GetAction::GetAndMove => self.move_away(item, attrs).await.map(Some),
        };
        match done {
            Ok(None) => outcome.after_action = AfterAction::Deleted,
            Ok(Some(moved)) => {
                outcome.after_action = AfterAction::Moved;
                track_move(&mut outcome.properties, &moved);
                outcome.warnings.extend(moved.warning);
            }
            Err(error) => {
                outcome.after_action = AfterAction::Failed;
                if self.plan.get.after_failure == AfterFailure::Fail {
                    return Err(error);
                }
                outcome.warnings.push(error);
            }
        }
        Ok(())
    }

    /// Deletes what was delivered, if it still is what was delivered.
    async fn delete(&mut self, item: &Item, attrs: &Attrs) -> Result<()> {
        let mut retries = self.session.retries();
        let mut tried = false;
        loop {
            match self.delete_once(item, attrs, &mut tried).await {
                Err(error) => self.session.recover(error, &mut retries).await?,
                done => return done,
            }
        }
    }

    async fn delete_once(&mut self, item: &Item, attrs: &Attrs, tried: &mut bool) -> Result<()> {
        self.session.open().await?;
        let remote = self.session.remote();
        if *tried && look(remote, &item.path).await?.is_none() {
            return Ok(());
        }
        still_delivered(remote, item, attrs).await?;
        *tried = true;
        remove(remote, &item.path).await
    }

    /// Moves what was delivered, if it still is what was delivered.
    async fn move_away(&mut self, item: &Item, attrs: &Attrs) -> Result<Moved> {
        let target = item.target.as_ref().expect("get-and-move has a target");
        let across = match self.plan.get.force_move {
            true => Across::Copy,
            false => Across::Refuse,
        };
        let target = target.join(&item.name);
        let collision = self.plan.get.collision();
        let mut mover = Mover::new(item.path.clone(), target, collision, across);
        let mut retries = self.session.retries();
        let mut begun = false;
        loop {
            let moved = self.move_once(item, attrs, &mut mover, &mut begun).await;
            let error = match moved {
                Ok(moved) => return Ok(moved),
                Err(error) => error,
            };
            if let Err(error) = self.session.recover(error, &mut retries).await {
                return Err(mover.leftovers().fold(error, |error, left| {
                    error.with_note(format_args!("{left} may be left there"))
                }));
            }
        }
    }

    async fn move_once(
        &mut self,
        item: &Item,
        attrs: &Attrs,
        mover: &mut Mover,
        begun: &mut bool,
    ) -> Result<Moved> {
        self.session.open().await?;
        let remote = self.session.remote();
        // Again after a lost connection: what is there by now may be another file.
        if !*begun || look(remote, &item.path).await?.is_some() {
            still_delivered(remote, item, attrs).await?;
            *begun = true;
        }
        mover.attempt(remote).await
    }
}

/// Removes a file that is there.
async fn remove<R: Remote>(remote: &R, path: &RemotePath) -> Result<()> {
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

/// The last look before anything is taken away: it must still be what was delivered.
async fn still_delivered<R: Remote>(remote: &R, item: &Item, attrs: &Attrs) -> Result<()> {
    let path = &item.path;
    let now = match item.listed.kind {
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
