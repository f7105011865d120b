//! What happens to the source of what was delivered: it stays, is deleted, or is moved.
//!
//! Not before it was delivered, and never to what is not what was delivered.

use super::super::compare::hash_of;
use super::super::diagnose::{Doing, explain, look, plain};
use super::super::moving::{Across, Moved, Mover};
use super::super::places::{Missing, behind_links, ensure};
use super::super::session::is_loss;
use super::fetch::is_listed;
use super::{Hand, Item, track_move};
use crate::error::{Class, Error, Result};
use crate::journal::{FetchState, Taken};
use crate::operation::{AfterFailure, GetAction, MoveCollision, Symlinks};
use crate::outcome::{AfterAction, Outcome};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, FileKind, Remote};

/// Which run has delivered the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    Now,
    /// An earlier one, which may have begun the after-action.
    Earlier,
}

/// What became of the source.
enum Source {
    Deleted,
    Moved(Moved),
    /// It was gone, or was another file, when the after-action was to be repeated.
    Gone(Error),
}

impl<C: Connect> Hand<'_, C> {
    /// The after-action; its failure is the file's, or a warning, as the option says.
    pub(super) async fn after(
        &mut self,
        item: &Item,
        attrs: &Attrs,
        delivered: Delivered,
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let done = match delivered {
            Delivered::Now => Ok(None),
            Delivered::Earlier => self.done_earlier(item, attrs, taken.as_ref()).await,
        };
        let done = match done {
            Ok(Some(source)) => Ok(source),
            Err(error) => Err(error),
            Ok(None) => match self.plan.get.action {
                GetAction::Get => return Ok(()),
                GetAction::GetAndDelete => self.delete(item, attrs).await,
                GetAction::GetAndMove => self.move_away(item, attrs, taken).await,
            },
        };
        let done = match done {
            Ok(source) => {
                match source {
                    Source::Deleted => outcome.after_action = AfterAction::Deleted,
                    Source::Moved(moved) => {
                        outcome.after_action = AfterAction::Moved;
                        track_move(&mut outcome.properties, &moved);
                        outcome.warnings.extend(moved.warning);
                    }
                    Source::Gone(why) => outcome.warnings.push(why),
                }
                self.done_file(item).await
            }
            Err(error) => {
                outcome.after_action = AfterAction::Failed;
                Err(error)
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) if self.plan.get.after_failure == AfterFailure::Fail => Err(error),
            Err(error) => {
                outcome.warnings.push(error);
                Ok(())
            }
        }
    }

    /// Whether an earlier run came as far as taking the source away; `None` when it is there and
    /// still what was delivered.
    async fn done_earlier(
        &mut self,
        item: &Item,
        attrs: &Attrs,
        taken: Option<&Taken>,
    ) -> Result<Option<Source>> {
        let links = match item.listed.kind {
            FileKind::Symlink => Symlinks::Follow,
            _ => Symlinks::Skip,
        };
        let now = self.looked(&item.path, links).await?;
        let known =
            taken.is_some_and(|taken| now.is_some_and(|now| is_listed(taken.source(), &now)));
        if known {
            return Ok(None);
        }
        let (moving_to, sha256) = match taken.map(Taken::state) {
            Some(FetchState::Delivered {
                moving_to,
                received,
                ..
            }) => (moving_to.clone(), received.map(|received| received.sha256)),
            _ => (None, None),
        };
        let Some(target) = moving_to else {
            return Ok(Some(match (now, self.plan.get.action) {
                (None, GetAction::GetAndDelete) => Source::Deleted,
                _ => Source::Gone(gone(item, now)),
            }));
        };
        let there = self.looked(&target, Symlinks::Skip).await?;
        let moved = match there {
            Some(there) if there.same_version(attrs) || links == Symlinks::Follow => true,
            // Copied, where the server did not let us set the time.
            Some(there) if there.size == attrs.size => {
                let stop = self.session.stop();
                match hash_of(self.session.remote(), &target, 0, stop).await {
                    Err(error) if is_loss(&error) || stop.check().is_err() => return Err(error),
                    read => read.is_ok_and(|read| Some(read) == sha256),
                }
            }
            _ => false,
        };
        if !moved {
            return Ok(Some(Source::Gone(gone(item, now))));
        }
        // The run that was cut off may not have come to clear away the old target.
        let mut moved = Moved::earlier();
        if self.plan.get.collision() == MoveCollision::Replace {
            let mover = self.mover(item.path.clone(), target);
            moved.warning = match mover.clear_backups(self.session.remote()).await {
                Err(lost) if is_loss(&lost) => return Err(lost),
                cleared => cleared.err(),
            };
        }
        Ok(Some(Source::Moved(moved)))
    }

    /// Deletes what was delivered, if it still is what was delivered.
    async fn delete(&mut self, item: &Item, attrs: &Attrs) -> Result<Source> {
        let mut retries = self.session.retries();
        let mut tried = false;
        loop {
            match self.delete_once(item, attrs, &mut tried).await {
                Err(error) => self.session.recover(error, &mut retries).await?,
                Ok(()) => return Ok(Source::Deleted),
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
    async fn move_away(
        &mut self,
        item: &Item,
        attrs: &Attrs,
        taken: &mut Option<Taken>,
    ) -> Result<Source> {
        let directory = item.target.as_ref().expect("get-and-move has a target");
        let target = directory.join(&item.name);
        let (begun_earlier, content) = match taken.as_ref().map(Taken::state) {
            Some(FetchState::Delivered {
                moving_to: Some(to),
                received,
                ..
            }) if *to == target => (true, received.map(|it| (it.size, it.sha256))),
            _ => (false, None),
        };
        if let Some(taken) = taken
            && !begun_earlier
        {
            taken.moving(&target).await?;
        }
        let mut mover = self.mover(item.path.clone(), target);
        if taken.is_some() {
            mover = mover.known_by_its_name();
        }
        if begun_earlier && item.listed.kind != FileKind::Symlink {
            mover = mover.resumed(content);
        }
        let mut retries = self.session.retries();
        let mut begun = false;
        loop {
            let moved = self.move_once(item, attrs, &mut mover, &mut begun).await;
            let error = match moved {
                Ok(moved) => return Ok(Source::Moved(moved)),
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
        // Again after a lost connection: what is there by now may be another file.
        if !*begun || look(self.session.remote(), &item.path).await?.is_some() {
            still_delivered(self.session.remote(), item, attrs).await?;
            *begun = true;
        }
        self.ensure_target(item).await?;
        let (remote, facts) = self.session.parts();
        mover.attempt(remote, facts).await
    }

    /// The directory below the move-to directory that a file of a directory below goes to.
    async fn ensure_target(&mut self, item: &Item) -> Result<()> {
        let Some(target) = &item.target else {
            return Ok(());
        };
        let (remote, facts) = self.session.parts();
        if item.relative.is_empty() || facts.has_directory(target) {
            return Ok(());
        }
        let _asking = facts.asking().await;
        if facts.has_directory(target) {
            return Ok(());
        }
        let missing = Missing::by(self.plan.get.create_directories);
        ensure(remote, target, missing).await?;
        facts.found_directory(target.clone());
        Ok(())
    }

    fn mover(&self, source: RemotePath, target: RemotePath) -> Mover {
        let across = match self.plan.get.force_move {
            true => Across::Copy,
            false => Across::Refuse,
        };
        let stop = self.session.stop().clone();
        Mover::new(source, target, self.plan.get.collision(), across, stop)
    }

    /// Its done-file goes where it went, after it: one that stayed would say of the next file of
    /// this name that it is complete.
    async fn done_file(&mut self, item: &Item) -> Result<()> {
        let Some(name) = &item.done_file else {
            return Ok(());
        };
        let path = item.directory.join(name);
        let mut retries = self.session.retries();
        let target = item.target.as_ref().map(|target| target.join(name));
        let mut mover = target.map(|target| self.mover(path.clone(), target));
        let mut begun = false;
        loop {
            let done = self.done_file_once(&path, mover.as_mut(), &mut begun).await;
            let Err(error) = done else {
                return Ok(());
            };
            if let Err(error) = self.session.recover(error, &mut retries).await {
                return Err(
                    error.with_note(format_args!("{path} is left there, and its file is not"))
                );
            }
        }
    }

    async fn done_file_once(
        &mut self,
        path: &RemotePath,
        mover: Option<&mut Mover>,
        begun: &mut bool,
    ) -> Result<()> {
        self.session.open().await?;
        let (remote, facts) = self.session.parts();
        if !*begun && look(remote, path).await?.is_none() {
            return Ok(());
        }
        *begun = true;
        match mover {
            Some(mover) => mover.attempt(remote, facts).await.map(drop),
            None if look(remote, path).await?.is_none() => Ok(()),
            None => remove(remote, path).await,
        }
    }
}

fn gone(item: &Item, now: Option<Attrs>) -> Error {
    let path = &item.path;
    match now {
        Some(_) => Error::new(
            Class::Integrity,
            format!(
                "{path} was delivered by an earlier run; what has this name now is another file"
            ),
        ),
        None => Error::new(
            Class::NotFound,
            format!("{path} was delivered by an earlier run, and is not there any more"),
        ),
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
    #[cfg(sansftp_bugs)]
    if sansftp_proto::bugs::seeded("no-last-look") {
        return Ok(());
    }
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
