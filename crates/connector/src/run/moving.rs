//! Moving one file, with the same result on every server.
//!
//! ```text
//!   look ─▶ collision = error:   target free? ─▶ plain rename ─────────────────────────┐
//!       └─▶ collision = replace: posix-rename ─▶ plain rename if free ─▶ old aside, ──▶ look: is the
//!                                rename, old deleted (or put back) ─▶ copy, verify,     source gone?
//!                                rename, source deleted
//! ```
//! At no moment are both old and new missing. Not a loop over lost connections: whoever calls
//! [`Mover::attempt`] connects again and calls it again, and it looks before it does anything.

use futures_util::future::try_join;

use super::compare::{copy_through, same_content};
use super::diagnose::{Doing, exists, explain, look, plain, remove_if_there};
use super::send::recall::stands;
use super::session::{Backup, Facts, is_loss};
use super::stop::Stop;
use crate::error::{Class, Error, Result};
use crate::names;
use crate::operation::MoveCollision;
use crate::path::RemotePath;
use crate::remote::{Attrs, FileKind, Listing, Remote, RemoteErrorKind, SetAttrs};

/// Moves one file. Holds what must be known to look after a lost connection.
#[derive(Debug)]
pub(super) struct Mover {
    source: RemotePath,
    target: RemotePath,
    collision: MoveCollision,
    across: Across,
    /// The source as it was first seen; set once anything may have been done.
    identity: Option<Attrs>,
    /// Where the old target was put aside, from before that was tried.
    backup: Option<RemotePath>,
    /// The copy in the target directory, from before it was begun.
    copy: Option<RemotePath>,
    /// What could not be cleared away when it was to go.
    spent: Vec<RemotePath>,
    /// The copy is complete and verified: the target may be it.
    copied: bool,
    /// An earlier run may have begun the move; size and SHA-256 of the file, where they are known.
    resumed: Option<Option<(u64, [u8; 32])>>,
    /// A copy has a name by which a later run finds it.
    findable: bool,
    /// Comparing and copying take as long as the file is large.
    stop: Stop,
}

/// What happens where the server cannot rename between two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Across {
    /// That is the end of it.
    Refuse,
    /// The file is copied and its source deleted.
    Copy,
}

/// How a file was moved.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) by: MovedBy,
    /// Whether a target that appeared in between was safe: `atomic` or `looked`; only where none
    /// was to be replaced.
    pub(super) no_replace: Option<&'static str>,
    /// What could not be cleared away.
    pub(super) warning: Option<Error>,
}

/// The step of the ladder that served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MovedBy {
    PosixRename,
    Rename,
    Backup,
    Copy,
    Reconciled,
}

impl Moved {
    /// By an earlier run, as looking shows.
    pub(super) fn earlier() -> Self {
        MovedBy::Reconciled.done()
    }
}

impl MovedBy {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::PosixRename => "posix-rename",
            Self::Rename => "rename",
            Self::Backup => "backup",
            Self::Copy => "copy",
            Self::Reconciled => "reconciled",
        }
    }

    fn done(self) -> Moved {
        Moved {
            by: self,
            no_replace: None,
            warning: None,
        }
    }
}

/// What became of one rename.
enum Renamed {
    Done,
    /// Refused, and nothing has changed.
    Refused(crate::remote::RemoteError),
}

impl Mover {
    pub(super) fn new(
        source: RemotePath,
        target: RemotePath,
        collision: MoveCollision,
        across: Across,
        stop: Stop,
    ) -> Self {
        Self {
            source,
            target,
            collision,
            across,
            identity: None,
            backup: None,
            copy: None,
            spent: Vec::new(),
            copied: false,
            resumed: None,
            findable: false,
            stop,
        }
    }

    /// The same, in a run whose journal knows of the move: a copy has a name by which a later run
    /// finds it.
    pub(super) fn known_by_its_name(mut self) -> Self {
        self.findable = true;
        self
    }

    /// The same, after a run that may have ended in the middle of it. `content` is the file's size and
    /// SHA-256, where the journal knows them.
    pub(super) fn resumed(mut self, content: Option<(u64, [u8; 32])>) -> Self {
        self.findable = true;
        self.resumed = Some(content);
        self
    }

    /// What may still lie there when this ended with a lost connection.
    pub(super) fn leftovers(&self) -> impl Iterator<Item = &RemotePath> {
        self.backup.iter().chain(&self.copy).chain(&self.spent)
    }

    /// Moves it, or finds that it was moved. After a lost connection it can be called again, on a
    /// new session.
    pub(super) async fn attempt<R: Remote>(
        &mut self,
        remote: &R,
        facts: &mut Facts,
    ) -> Result<Moved> {
        let moved = self.attempted(remote, facts).await;
        if self.leftovers().next().is_some()
            && let Some(directory) = self.target.parent()
        {
            facts.left_backup(&directory);
        }
        moved
    }

    async fn attempted<R: Remote>(&mut self, remote: &R, facts: &mut Facts) -> Result<Moved> {
        let looks = try_join(look(remote, &self.source), look(remote, &self.target));
        let (source, mut target) = looks.await?;
        if self.identity.is_some()
            && let Some(moved) = self.reconcile(remote, source, target).await?
        {
            return Ok(moved);
        }
        if let Some(content) = self.resumed {
            if let Some(moved) = self.recall(remote, facts, source, target, content).await? {
                return Ok(moved);
            }
            target = look(remote, &self.target).await?;
            self.resumed = None;
        }
        let Some(identity) = source else {
            return Err(Error::new(
                Class::NotFound,
                format!("{} is not there any more", self.source),
            ));
        };
        self.identity = Some(identity);
        if let Some(there) = &target
            && (there.kind == FileKind::Directory || self.collision == MoveCollision::Error)
        {
            return Err(exists(&self.target, there));
        }
        let moved = match self.collision {
            MoveCollision::Error => self.without_replacing(remote, facts).await,
            MoveCollision::Replace => self.replacing(remote, facts, target).await,
        };
        match moved {
            // A step whose time is up fails in the class of a lost session, which it may still have.
            Err(error) if !is_loss(&error) || self.stop.check().is_err() => {
                Err(self.cleared_up(remote, error).await)
            }
            moved => moved,
        }
    }

    /// After an ambiguous end: whether it was done already.
    async fn reconcile<R: Remote>(
        &mut self,
        remote: &R,
        source: Option<Attrs>,
        target: Option<Attrs>,
    ) -> Result<Option<Moved>> {
        let identity = self.identity.expect("only what was begun is reconciled");
        match (source, target) {
            (None, Some(target))
                if target.same_version(&identity)
                    || (self.copied && target.size == identity.size) => {}
            (None, _) => {
                return Err(Error::new(
                    Class::Integrity,
                    format!(
                        "{} is gone and {} is not it; someone else was at work{}",
                        self.source,
                        self.target,
                        self.named_leftovers()
                    ),
                ));
            }
            (Some(source), Some(target))
                if target.kind != FileKind::Directory
                    && (self.copied || target.same_version(&source))
                    && same_content(remote, &self.source, &self.target, &self.stop).await? =>
            {
                // One file under two names: a plain RENAME that is link, then unlink, and was cut
                // off in between. Or equal bytes, and then nothing is lost either.
                remove_if_there(remote, &self.source).await?;
            }
            _ => return Ok(None),
        }
        let mut moved = if self.copied {
            MovedBy::Copy.done()
        } else {
            MovedBy::Reconciled.done()
        };
        moved.warning = self.drop_leftovers(remote).await;
        Ok(Some(moved))
    }

    /// After a run that ended in the middle: whether the move was done. What was left of it goes.
    async fn recall<R: Remote>(
        &self,
        remote: &R,
        facts: &mut Facts,
        source: Option<Attrs>,
        target: Option<Attrs>,
        content: Option<(u64, [u8; 32])>,
    ) -> Result<Option<Moved>> {
        remove_if_there(remote, &self.copy_name()).await?;
        if self.collision == MoveCollision::Replace {
            self.reconcile_old_backups(remote, facts, target).await?;
        }
        let moved = match (source, target) {
            (None, Some(there)) => match content {
                Some(content) => stands(remote, &self.target, content, &self.stop).await?,
                None => there.kind != FileKind::Directory,
            },
            (Some(source), Some(there)) => {
                let same = there.kind != FileKind::Directory
                    && there.size == source.size
                    && same_content(remote, &self.source, &self.target, &self.stop).await?;
                if same {
                    remove_if_there(remote, &self.source).await?;
                }
                same
            }
            (_, None) => false,
        };
        Ok(moved.then(|| MovedBy::Reconciled.done()))
    }

    async fn without_replacing<R: Remote>(
        &mut self,
        remote: &R,
        facts: &mut Facts,
    ) -> Result<Moved> {
        let refused = match self.rename(remote).await? {
            Renamed::Done => {
                let atomic = remote.capabilities().plain_rename_replaces == Some(false);
                return Ok(Moved {
                    no_replace: Some(if atomic { "atomic" } else { "looked" }),
                    ..MovedBy::Rename.done()
                });
            }
            Renamed::Refused(refused) => refused,
        };
        let error = explain(remote, Doing::Renaming(&self.source, &self.target), refused).await;
        if error.class() == Class::Unsupported && self.across == Across::Copy {
            return self.by_copy(remote, facts).await;
        }
        Err(error)
    }

    async fn replacing<R: Remote>(
        &mut self,
        remote: &R,
        facts: &mut Facts,
        mut target: Option<Attrs>,
    ) -> Result<Moved> {
        if remote.capabilities().posix_rename {
            match self.posix_rename(remote).await? {
                Ok(by) => return Ok(self.finished(remote, by).await),
                Err(error) if is_final(error.kind) => {
                    let doing = Doing::Renaming(&self.source, &self.target);
                    return Err(explain(remote, doing, error).await);
                }
                // The next steps say what is wrong, should they fail as well.
                Err(_) => {}
            }
        }
        let at_start = self.backup.is_none();
        if at_start && self.reconcile_old_backups(remote, facts, target).await? {
            target = look(remote, &self.target).await?;
        }
        let (by, renamed) = match &target {
            None if self.backup.is_none() => (MovedBy::Rename, self.rename(remote).await?),
            // The old target was put aside before the connection was lost.
            None => (MovedBy::Backup, self.rename(remote).await?),
            Some(_) => (MovedBy::Backup, self.put_aside_and_rename(remote).await?),
        };
        let refused = match renamed {
            Renamed::Done => return Ok(self.finished(remote, by).await),
            Renamed::Refused(error) => error,
        };
        self.restore(remote).await?;
        if self.across == Across::Copy {
            return self.by_copy(remote, facts).await;
        }
        if target.is_some() {
            // Both are there again. The cause cannot be looked up as for a free target.
            let doing = Doing::Renaming(&self.source, &self.target);
            return Err(plain(doing, refused)
                .with_hint("force-move = true copies where a rename is refused"));
        }
        let doing = Doing::Renaming(&self.source, &self.target);
        Err(explain(remote, doing, refused).await)
    }

    /// A plain rename onto a free name, and the look that shows whether it happened.
    async fn rename<R: Remote>(&self, remote: &R) -> Result<Renamed> {
        let doing = Doing::Renaming(&self.source, &self.target);
        let answer = remote.rename(&self.source, &self.target).await;
        if let Err(error) = &answer
            && error.is_lost()
        {
            return Err(plain(doing, error.clone()));
        }
        let source = look(remote, &self.source).await?;
        match (answer, source) {
            (Ok(()), None) => Ok(Renamed::Done),
            (Ok(()), Some(_)) => Err(self.did_nothing()),
            (Err(error), Some(_)) => Ok(Renamed::Refused(error)),
            // Refused in words, done in deed: only if the target is what the source was.
            (Err(error), None) => match look(remote, &self.target).await? {
                Some(there) if self.is_it(&there) => Ok(Renamed::Done),
                _ => Ok(Renamed::Refused(error)),
            },
        }
    }

    async fn posix_rename<R: Remote>(
        &self,
        remote: &R,
    ) -> Result<std::result::Result<MovedBy, crate::remote::RemoteError>> {
        let doing = Doing::Renaming(&self.source, &self.target);
        let answer = remote.posix_rename(&self.source, &self.target).await;
        if let Err(error) = &answer
            && error.is_lost()
        {
            return Err(plain(doing, error.clone()));
        }
        let Some(source) = look(remote, &self.source).await? else {
            return match answer {
                Ok(()) => Ok(Ok(MovedBy::PosixRename)),
                Err(error) => match look(remote, &self.target).await? {
                    Some(there) if self.is_it(&there) => Ok(Ok(MovedBy::PosixRename)),
                    _ => Ok(Err(error)),
                },
            };
        };
        if let Err(error) = answer {
            return Ok(Err(error));
        }
        // Onto another name of the same file it reports success and does nothing: rename(2).
        let target = look(remote, &self.target).await?;
        if target.is_some_and(|target| target.same_version(&source))
            && same_content(remote, &self.source, &self.target, &self.stop).await?
        {
            remove_if_there(remote, &self.source).await?;
            return Ok(Ok(MovedBy::Reconciled));
        }
        Err(self.did_nothing())
    }

    /// The old target gets another name, the source its name. What is refused is put back.
    async fn put_aside_and_rename<R: Remote>(&mut self, remote: &R) -> Result<Renamed> {
        let backup = match self.backup.clone() {
            Some(begun) => {
                self.take_back_second_name(remote, &begun).await?;
                begun
            }
            None => self.sibling(names::backup(self.target.name())),
        };
        self.backup = Some(backup.clone());
        let aside = Self {
            identity: look(remote, &self.target).await?,
            ..Self::new(
                self.target.clone(),
                backup,
                MoveCollision::Error,
                Across::Refuse,
                self.stop.clone(),
            )
        };
        match aside.rename(remote).await? {
            Renamed::Done => self.rename(remote).await,
            Renamed::Refused(error) => {
                self.backup = None;
                Ok(Renamed::Refused(error))
            }
        }
    }

    /// A backup that was begun when the connection was lost, and whose target is there: it is a
    /// second name of it, cut off between link and unlink, and goes.
    async fn take_back_second_name<R: Remote>(
        &self,
        remote: &R,
        backup: &RemotePath,
    ) -> Result<()> {
        let Some(old) = look(remote, backup).await? else {
            return Ok(());
        };
        let target = look(remote, &self.target).await?;
        if target.is_some_and(|target| target.same_version(&old))
            && same_content(remote, backup, &self.target, &self.stop).await?
        {
            return remove_if_there(remote, backup).await;
        }
        Err(Error::new(
            Class::Integrity,
            format!(
                "{} was written by someone else while it was replaced; its old content stands \
                 under {backup}",
                self.target
            ),
        ))
    }

    /// The old target gets its name back, where it was put aside and the name is free.
    async fn restore<R: Remote>(&mut self, remote: &R) -> Result<()> {
        let Some(backup) = self.backup.clone() else {
            return Ok(());
        };
        let back = Self {
            identity: look(remote, &backup).await?,
            ..Self::new(
                backup.clone(),
                self.target.clone(),
                MoveCollision::Error,
                Across::Refuse,
                self.stop.clone(),
            )
        };
        if back.identity.is_none() {
            self.backup = None;
            return Ok(());
        }
        let why = match look(remote, &self.target).await? {
            Some(_) => "the name was taken in between".to_owned(),
            None => match back.rename(remote).await {
                Ok(Renamed::Done) => {
                    self.backup = None;
                    return Ok(());
                }
                Ok(Renamed::Refused(error)) => error.to_string(),
                Err(error) if is_loss(&error) => return Err(error),
                Err(error) => error.to_string(),
            },
        };
        Err(Error::new(
            Class::Failure,
            format!(
                "{} could not be replaced, and its old content, which stands under {backup}, could \
                 not be put back: {why}",
                self.target
            ),
        ))
    }

    /// The last step: through a copy beside the target.
    async fn by_copy<R: Remote>(&mut self, remote: &R, facts: &mut Facts) -> Result<Moved> {
        let identity = self.identity.expect("the source was looked at first");
        let copy = match self.copy.take() {
            Some(begun) => {
                remove_if_there(remote, &begun).await?;
                begun
            }
            None => self.copy_name(),
        };
        self.copy = Some(copy.clone());
        copy_through(remote, &self.source, &copy, &self.stop).await?;
        let now = look(remote, &self.source).await?;
        let unchanged = now.is_some_and(|now| now.same_version(&identity));
        if !unchanged || !same_content(remote, &self.source, &copy, &self.stop).await? {
            return Err(Error::new(
                Class::Integrity,
                format!("{} changed while it was copied; it stays", self.source),
            ));
        }
        // A moved file keeps its time and mode where the server lets us; what it refuses is no
        // reason not to move.
        let attrs = SetAttrs {
            permissions: identity.permissions,
            modified: identity.modified,
        };
        if let Err(error) = remote.set_attrs(&copy, attrs).await
            && error.is_lost()
        {
            return Err(plain(Doing::SettingAttributes(&copy), error));
        }
        self.copied = true;
        let mut publish = Self::new(
            copy,
            self.target.clone(),
            self.collision,
            Across::Refuse,
            self.stop.clone(),
        );
        let published = Box::pin(publish.attempt(remote, facts)).await;
        if let Some(backup) = publish.backup {
            self.backup = Some(backup);
        }
        self.spent.append(&mut publish.spent);
        let published = published?;
        self.copy = None;
        // Comparing and replacing take their time: what was written meanwhile is not in the copy.
        let now = look(remote, &self.source).await?;
        if now.is_some_and(|now| !now.same_version(&identity)) {
            return Err(Error::new(
                Class::Integrity,
                format!(
                    "{} changed while it was copied to {}; it stays, and both are there",
                    self.source, self.target
                ),
            ));
        }
        remove_if_there(remote, &self.source)
            .await
            .map_err(|error| {
                if is_loss(&error) {
                    return error;
                }
                error.with_note(format_args!(
                    "it was copied to {}, and both are there",
                    self.target
                ))
            })?;
        Ok(Moved {
            no_replace: published.no_replace,
            ..self.finished(remote, MovedBy::Copy).await
        })
    }

    /// Takes away what an interrupted replacement left beside the target, which is there.
    pub(super) async fn clear_backups<R: Remote>(&self, remote: &R) -> Result<()> {
        let target = look(remote, &self.target).await?;
        // What the run that was interrupted left may be younger than what a listing showed.
        let facts = &mut Facts::default();
        self.reconcile_old_backups(remote, facts, target)
            .await
            .map(|_| ())
    }

    /// Backups of the target that an interrupted replacement left: the youngest is put back where
    /// the target is missing, and they are deleted where it is there. Says whether one was put back.
    ///
    /// A directory is listed for them once in a step: else a thousand replacements in it would cost
    /// a thousand listings.
    async fn reconcile_old_backups<R: Remote>(
        &self,
        remote: &R,
        facts: &mut Facts,
        target: Option<Attrs>,
    ) -> Result<bool> {
        let Some(directory) = self.target.parent() else {
            return Ok(false);
        };
        let is_its = |backup: &&Backup| names::is_backup_of(&backup.name, self.target.name());
        let _asking;
        let known = match facts.backups(&directory, is_its) {
            Some(known) => Some(known),
            None => {
                _asking = facts.asking().await;
                facts.backups(&directory, is_its)
            }
        };
        let mut backups = match known {
            Some(known) => known,
            None => {
                let Some(found) = backups_in(remote, &directory).await? else {
                    // What cannot be listed cannot be reconciled; the rename says what is wrong
                    // with it.
                    return Ok(false);
                };
                let its = found.iter().filter(is_its).cloned().collect();
                facts.found_backups(directory, found);
                its
            }
        };
        backups.sort_by_key(|backup| std::cmp::Reverse(backup.modified));
        let mut free = target.is_none();
        let mut restored = false;
        for backup in backups {
            let backup = self.sibling(backup.name);
            // Looked at again: another sender may have put the target aside since, and this be where.
            if !free {
                if look(remote, &self.target).await?.is_some() {
                    remove_if_there(remote, &backup).await?;
                }
                continue;
            }
            // It may have gone since the listing, with the replacement that it belonged to.
            if look(remote, &backup).await?.is_none() {
                continue;
            }
            let doing = Doing::Renaming(&backup, &self.target);
            match remote.rename(&backup, &self.target).await {
                Ok(()) => (free, restored) = (false, true),
                Err(error) => return Err(explain(remote, doing, error).await),
            }
        }
        Ok(restored)
    }

    async fn finished<R: Remote>(&mut self, remote: &R, by: MovedBy) -> Moved {
        Moved {
            warning: self.drop_leftovers(remote).await,
            ..by.done()
        }
    }

    /// The old content and the copy go once the target is the source. What cannot be cleared away
    /// is a warning that names it, whatever the cause: the file was moved.
    async fn drop_leftovers<R: Remote>(&mut self, remote: &R) -> Option<Error> {
        let mut warning = None;
        let mut leftovers = std::mem::take(&mut self.spent);
        leftovers.extend(self.backup.take());
        leftovers.extend(self.copy.take());
        for leftover in leftovers {
            if let Err(error) = remove_if_there(remote, &leftover).await {
                warning = Some(error.with_note(format_args!("{leftover} is left there")));
                self.spent.push(leftover);
            }
        }
        warning
    }

    /// The failure, once the copy is gone; names what could not be cleared away.
    async fn cleared_up<R: Remote>(&mut self, remote: &R, mut error: Error) -> Error {
        let mut leftovers = std::mem::take(&mut self.spent);
        leftovers.extend(self.copy.take());
        for leftover in leftovers {
            if let Err(why) = remove_if_there(remote, &leftover).await {
                error = error.with_note(format_args!("{leftover} is left there ({why})"));
            }
        }
        error
    }

    /// The name of the copy in the target directory.
    fn copy_name(&self) -> RemotePath {
        let name = self.target.name();
        self.sibling(match self.findable {
            true => names::temporary_of(name, self.source.as_bytes()),
            false => names::temporary(name),
        })
    }

    fn is_it(&self, there: &Attrs) -> bool {
        self.identity
            .is_some_and(|identity| identity.same_version(there))
    }

    fn did_nothing(&self) -> Error {
        Error::new(
            Class::Failure,
            format!(
                "the server reported that it renamed {} to {}, and did not: the source is still there",
                self.source, self.target
            ),
        )
    }

    fn sibling(&self, name: bytes::Bytes) -> RemotePath {
        match self.target.parent() {
            Some(directory) => directory.join(&name),
            None => RemotePath::new(name),
        }
    }

    fn named_leftovers(&self) -> String {
        self.leftovers()
            .map(|path| format!("; {path} may be left there"))
            .collect()
    }
}

/// The backups in a directory, of whatever file; `None` where it cannot be listed.
async fn backups_in<R: Remote>(remote: &R, directory: &RemotePath) -> Result<Option<Vec<Backup>>> {
    let Ok(mut listing) = remote.list(directory).await else {
        return Ok(None);
    };
    let doing = Doing::Listing(directory);
    let mut backups = Vec::new();
    while let Some(batch) = listing.batch().await.map_err(|error| plain(doing, error))? {
        let found = batch.into_iter();
        let found = found.filter(|entry| names::is_backup(&entry.name));
        backups.extend(found.map(|entry| Backup {
            name: entry.name,
            modified: entry.attrs.modified,
        }));
    }
    Ok(Some(backups))
}

/// Whether no other step of the ladder can help.
fn is_final(kind: RemoteErrorKind) -> bool {
    matches!(
        kind,
        RemoteErrorKind::Permission
            | RemoteErrorKind::NoSuchFile
            | RemoteErrorKind::NoSpace
            | RemoteErrorKind::BadMessage
            | RemoteErrorKind::Misbehaved
    )
}
