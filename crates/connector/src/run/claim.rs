//! Publishing a complete temporary file under a name that is free: atomically, so that two senders
//! at once never overwrite each other.
//!
//! Not for names that may be replaced: that is a move. Not a loop over lost connections either:
//! [`Claim::attempt`] is called again on a new session, and looks first.

use std::collections::HashSet;

use bytes::Bytes;

use super::compare;
use super::diagnose::{Doing, exists, explain, look, plain, remove_if_there};
use super::send::record::Record;
use super::session::{Facts, PlainRename, is_loss};
use super::stop::Stop;
use crate::error::{Class, Error, Result};
use crate::names;
use crate::path::RemotePath;
use crate::remote::{Listing, Remote, RemoteError, RemoteErrorKind, WriteMode, Writer};

/// So many names are tried, then it is an error.
pub(super) const MAX_TRIES: u32 = 10_000;
/// After so many taken names one listing tells all that are.
const LIST_AFTER: u32 = 4;

/// Which names may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    /// The name alone.
    Exact,
    /// The name, then those with a number.
    FirstFree,
}

/// The names to try, in order, and those known to be taken.
#[derive(Debug)]
pub(super) struct Candidates {
    directory: RemotePath,
    name: Bytes,
    numbering: Numbering,
    next: u32,
    /// The number to try after the name itself.
    first: u32,
    /// How many names were found taken by trying.
    tried: u32,
    taken: Option<HashSet<Bytes>>,
    /// Where the name must be free as well.
    also_free_in: Option<RemotePath>,
}

impl Candidates {
    pub(super) fn new(
        directory: RemotePath,
        name: Bytes,
        numbering: Numbering,
        also_free_in: Option<RemotePath>,
    ) -> Self {
        Self {
            directory,
            name,
            numbering,
            next: 0,
            first: 1,
            tried: 0,
            taken: None,
            also_free_in,
        }
    }

    /// The same, going on after the name itself with what is known from the documents before:
    /// else a thousand of one name would cost a thousand listings.
    pub(super) fn remembering(mut self, facts: &Facts) -> Self {
        self.first = facts.first_number(&self.directory.join(&self.name));
        self
    }

    /// The current name was claimed: the next document of this name begins after it.
    pub(super) fn remember(&self, facts: &mut Facts) {
        if self.next > 0 {
            facts.found_number(self.directory.join(&self.name), self.next + 1);
        }
    }

    fn advance(&mut self) {
        self.next = (self.next + 1).max(self.first);
    }

    /// The next name to try; again the same until [`taken`](Self::taken) was told of it.
    pub(super) async fn current<R: Remote>(&mut self, remote: &R) -> Result<RemotePath> {
        loop {
            if self.next >= MAX_TRIES {
                return Err(Error::new(
                    Class::Exists,
                    format!(
                        "{} and {MAX_TRIES} numbered names after it are taken",
                        self.directory.join(&self.name)
                    ),
                )
                .with_hint("clear the directory, or use a name-template with {uuid}"));
            }
            if self.tried >= LIST_AFTER && self.taken.is_none() {
                self.taken = Some(self.list_taken(remote).await?);
            }
            let name = names::numbered(&self.name, self.next);
            if self
                .taken
                .as_ref()
                .is_some_and(|taken| taken.contains(&name))
            {
                self.advance();
                continue;
            }
            if let Some(other) = &self.also_free_in
                && let Some(there) = look(remote, &other.join(&name)).await?
            {
                if self.numbering == Numbering::Exact {
                    return Err(exists(&other.join(&name), &there));
                }
                self.tried += 1;
                self.advance();
                continue;
            }
            return Ok(self.directory.join(&name));
        }
    }

    /// The current name is taken: goes on to the next, if there may be one.
    pub(super) async fn taken<R: Remote>(&mut self, remote: &R, path: &RemotePath) -> Result<()> {
        if self.numbering == Numbering::Exact {
            return Err(match look(remote, path).await? {
                Some(there) => exists(path, &there),
                None => Error::new(Class::Exists, format!("{path}: it was there a moment ago")),
            });
        }
        self.tried += 1;
        self.advance();
        Ok(())
    }

    /// Every name in the directory that could be one of ours to try.
    async fn list_taken<R: Remote>(&self, remote: &R) -> Result<HashSet<Bytes>> {
        let doing = Doing::Listing(&self.directory);
        let mut taken = HashSet::new();
        let mut listing = match remote.list(&self.directory).await {
            Ok(listing) => listing,
            Err(error) if error.is_lost() => return Err(plain(doing, error)),
            // Drop boxes cannot be listed; then each name is tried.
            Err(_) => return Ok(taken),
        };
        let (base, extension) = names::split_extension(&self.name);
        // A base that had to be cut shares less than all of itself with the numbered names.
        let base = &base[..base.len().min(names::MAX_NAME / 2)];
        while let Some(batch) = listing.batch().await.map_err(|error| plain(doing, error))? {
            taken.extend(
                batch
                    .into_iter()
                    .map(|entry| entry.name)
                    .filter(|name| name.starts_with(base) && name.ends_with(extension)),
            );
        }
        Ok(taken)
    }
}

/// Publishes a temporary file under the first free name.
#[derive(Debug)]
pub(super) struct Claim {
    temporary: RemotePath,
    size: u64,
    candidates: Candidates,
    /// The name that was being claimed when the connection was lost.
    pending: Option<RemotePath>,
    /// The empty file of ours that reserves a name.
    placeholder: Option<RemotePath>,
    /// Hard links were refused here.
    no_hardlinks: bool,
    warning: Option<Error>,
    /// Comparing takes as long as the file is large.
    stop: Stop,
}

/// A published file.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) path: RemotePath,
    pub(super) by: &'static str,
    pub(super) warning: Option<Error>,
}

enum Tried {
    Done(&'static str),
    Taken,
    /// This way does not work here; another may.
    Unusable(RemoteError),
}

impl Claim {
    pub(super) fn new(
        temporary: RemotePath,
        size: u64,
        candidates: Candidates,
        stop: Stop,
    ) -> Self {
        Self {
            temporary,
            size,
            candidates,
            pending: None,
            placeholder: None,
            no_hardlinks: false,
            warning: None,
            stop,
        }
    }

    /// What may still lie there when this ended with a lost connection.
    pub(super) fn leftovers(&self) -> impl Iterator<Item = &RemotePath> {
        self.placeholder.iter()
    }

    /// Another place for the temporary file: it was copied to where it can be renamed from.
    pub(super) fn moved_temporary(&mut self, temporary: RemotePath) {
        self.temporary = temporary;
        self.pending = None;
    }

    /// Publishes it, or finds that it was published.
    pub(super) async fn attempt<R: Remote>(
        &mut self,
        remote: &R,
        facts: &mut Facts,
        record: &mut Record,
    ) -> Result<Claimed> {
        if let Some(path) = self.pending.clone()
            && let Some(by) = self.reconcile(remote, &path).await?
        {
            return Ok(self.claimed(path, by));
        }
        loop {
            let path = self.candidates.current(remote).await?;
            let plain_rename = self.plain_rename(remote, facts).await?;
            // A name that is free now and holds our bytes after a lost connection is ours. Without
            // this look an equal file of an earlier document would pass for it.
            if self.placeholder.is_none() && look(remote, &path).await?.is_some() {
                self.candidates.taken(remote, &path).await?;
                continue;
            }
            record.publishing(&path).await?;
            self.pending = Some(path.clone());
            let tried = if plain_rename == PlainRename::Refuses {
                self.by_rename(remote, &path).await?
            } else if remote.capabilities().hardlink && !self.no_hardlinks {
                self.by_hardlink(remote, &path).await?
            } else {
                self.by_placeholder(remote, &path, plain_rename, record)
                    .await?
            };
            match tried {
                Tried::Done(by) => {
                    self.candidates.remember(facts);
                    return Ok(self.claimed(path, by));
                }
                Tried::Taken => {
                    self.pending = None;
                    self.candidates.taken(remote, &path).await?;
                }
                Tried::Unusable(error) => {
                    self.pending = None;
                    let hardlinked = plain_rename != PlainRename::Refuses && !self.no_hardlinks;
                    if hardlinked && remote.capabilities().hardlink {
                        self.no_hardlinks = true;
                        continue;
                    }
                    let doing = Doing::Renaming(&self.temporary, &path);
                    return Err(explain(remote, doing, error).await);
                }
            }
        }
    }

    fn claimed(&mut self, path: RemotePath, by: &'static str) -> Claimed {
        self.pending = None;
        self.placeholder = None;
        Claimed {
            path,
            by,
            warning: self.warning.take(),
        }
    }

    /// After a lost connection: whether this name was claimed.
    async fn reconcile<R: Remote>(
        &self,
        remote: &R,
        path: &RemotePath,
    ) -> Result<Option<&'static str>> {
        let temporary = look(remote, &self.temporary).await?;
        let published = look(remote, path).await?;
        match (temporary, published) {
            (None, Some(there)) if there.size == Some(self.size) => Ok(Some("reconciled")),
            (None, _) => Err(Error::new(
                Class::Integrity,
                format!(
                    "{} is gone and {path} is not it; someone else was at work",
                    self.temporary
                ),
            )),
            // Linked, and not unlinked: one file under two names.
            (Some(_), Some(_))
                if self.placeholder.is_none() && self.is_second_name(remote, path).await? =>
            {
                Ok(Some("reconciled"))
            }
            _ => Ok(None),
        }
    }

    async fn by_rename<R: Remote>(&self, remote: &R, path: &RemotePath) -> Result<Tried> {
        let doing = Doing::Renaming(&self.temporary, path);
        let answer = remote.rename(&self.temporary, path).await;
        if let Err(error) = &answer
            && error.is_lost()
        {
            return Err(plain(doing, error.clone()));
        }
        #[cfg(sansftp_bugs)]
        if answer.is_ok() && sansftp_proto::bugs::seeded("rename-believed") {
            return Ok(Tried::Done("rename"));
        }
        let mine = look(remote, &self.temporary).await?;
        match (answer, mine) {
            (Ok(()), None) => Ok(Tried::Done("rename")),
            (Ok(()), Some(_)) => Err(Error::new(
                Class::Failure,
                format!(
                    "the server reported that it renamed {} to {path}, and did not",
                    self.temporary
                ),
            )),
            (Err(error), mine) => match (mine, look(remote, path).await?) {
                (None, Some(there)) if there.size == Some(self.size) => Ok(Tried::Done("rename")),
                // Taken since we looked. Even an equal file is another sender's: a server that
                // refuses leaves no second name of ours.
                (Some(_), Some(_)) => Ok(Tried::Taken),
                _ => Ok(Tried::Unusable(error)),
            },
        }
    }

    /// Whether the name, which was free, is ours: linked and not unlinked. The temporary name goes
    /// then.
    async fn is_second_name<R: Remote>(&self, remote: &R, path: &RemotePath) -> Result<bool> {
        let mine = look(remote, &self.temporary).await?;
        let there = look(remote, path).await?;
        let same = match (mine, there) {
            (Some(mine), Some(there)) if mine.same_version(&there) => {
                compare::is_second_name(remote, &self.temporary, path, &mine, &self.stop).await?
            }
            _ => false,
        };
        if same {
            remove_if_there(remote, &self.temporary).await?;
        }
        Ok(same)
    }

    async fn by_hardlink<R: Remote>(&mut self, remote: &R, path: &RemotePath) -> Result<Tried> {
        let doing = Doing::Linking(&self.temporary, path);
        if let Err(error) = remote.hardlink(&self.temporary, path).await {
            if error.is_lost() {
                return Err(plain(doing, error));
            }
            return match look(remote, path).await? {
                // Linked, whatever the answer said; or taken since we looked, by an equal file perhaps.
                Some(_) if self.is_second_name(remote, path).await? => Ok(Tried::Done("hardlink")),
                Some(_) => Ok(Tried::Taken),
                None => Ok(Tried::Unusable(error)),
            };
        }
        if let Err(error) = remove_if_there(remote, &self.temporary).await {
            if is_loss(&error) {
                return Err(error);
            }
            let left = format!("{} is left there as a second name", self.temporary);
            self.warning = Some(error.with_note(left));
        }
        Ok(Tried::Done("hardlink"))
    }

    async fn by_placeholder<R: Remote>(
        &mut self,
        remote: &R,
        path: &RemotePath,
        plain_rename: PlainRename,
        record: &mut Record,
    ) -> Result<Tried> {
        let posix = remote.capabilities().posix_rename;
        if !posix && plain_rename != PlainRename::Replaces {
            // Without a rename that replaces there is nothing to reserve a name for.
            let kind = RemoteErrorKind::Unsupported;
            let error = RemoteError::new(kind, "no rename that replaces");
            return Ok(Tried::Unusable(error));
        }
        if self.placeholder.as_ref() != Some(path) {
            match reserve(remote, path).await {
                Ok(Reserved::Ours(writer)) => {
                    self.placeholder = Some(path.clone());
                    record.reserved().await?;
                    closed(writer, path).await?;
                }
                Ok(Reserved::Taken) => return Ok(Tried::Taken),
                Err(error) => {
                    if !is_loss(&error) {
                        return Err(error);
                    }
                    // Ours or another's: nobody can tell, so nobody's name is taken away.
                    self.pending = None;
                    let unclear = format!("{path} may be an empty file of ours");
                    let message = format!("{unclear}, left when the connection was lost");
                    self.warning = Some(Error::new(Class::Disconnected, message));
                    return Err(error.with_note(unclear));
                }
            }
        }
        let doing = Doing::Renaming(&self.temporary, path);
        let answer = match posix {
            true => remote.posix_rename(&self.temporary, path).await,
            false => remote.rename(&self.temporary, path).await,
        };
        if let Err(error) = &answer
            && error.is_lost()
        {
            return Err(plain(doing, error.clone()));
        }
        if look(remote, &self.temporary).await?.is_none() {
            return Ok(Tried::Done("placeholder"));
        }
        let error = answer.err().unwrap_or_else(|| {
            RemoteError::new(RemoteErrorKind::Failure, "reported success, did nothing")
        });
        // The name is given back, unless someone has filled it meanwhile.
        if look(remote, path)
            .await?
            .is_some_and(|there| there.size == Some(0))
        {
            remove_if_there(remote, path).await?;
        }
        self.placeholder = None;
        Ok(Tried::Unusable(error))
    }

    /// What may be left of the trial of the plain rename when it was cut off.
    pub(super) fn probes(&self) -> [RemotePath; 3] {
        let unique = names::is_ours(self.temporary.name());
        [b"probe1", b"probe2", b"probe3"].map(|name| {
            let name = match unique {
                true => names::temporary_of(name, self.temporary.name()),
                false => names::temporary(name),
            };
            self.candidates.directory.join(&name)
        })
    }

    /// What the plain rename does here: known of the server, or tried once in a step.
    async fn plain_rename<R: Remote>(&self, remote: &R, facts: &mut Facts) -> Result<PlainRename> {
        while let Some(probe) = facts.probes.last() {
            remove_if_there(remote, probe).await?;
            facts.probes.pop();
        }
        match remote.capabilities().plain_rename_replaces {
            Some(false) => return Ok(PlainRename::Refuses),
            Some(true) => return Ok(PlainRename::Replaces),
            None => {}
        }
        if let Some(known) = facts.plain_rename() {
            return Ok(known);
        }
        let _asking = facts.asking().await;
        if let Some(known) = facts.plain_rename() {
            return Ok(known);
        }
        let names = self.probes();
        let found = probe(remote, names, facts).await?;
        facts.found_plain_rename(found);
        while let Some(probe) = facts.probes.last() {
            remove_if_there(remote, probe).await?;
            facts.probes.pop();
        }
        Ok(found)
    }
}

/// What became of a name that was to be reserved.
enum Reserved<W> {
    /// An empty file of ours has it, still open.
    Ours(W),
    Taken,
}

/// Reserves a name with an empty file of ours.
async fn reserve<R: Remote>(remote: &R, path: &RemotePath) -> Result<Reserved<R::Writer>> {
    match remote.open_write(path, WriteMode::CreateExclusive).await {
        Ok(writer) => Ok(Reserved::Ours(writer)),
        Err(error) if error.is_lost() => Err(plain(Doing::Creating(path), error)),
        Err(error) => match look(remote, path).await? {
            Some(_) => Ok(Reserved::Taken),
            None => Err(explain(remote, Doing::Creating(path), error).await),
        },
    }
}

/// An empty file is there; nothing more was asked of it, so only a lost connection matters.
async fn closed<W: Writer>(writer: W, path: &RemotePath) -> Result<()> {
    match writer.close().await {
        Err(error) if error.is_lost() => Err(plain(Doing::Closing(path), error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames one empty temporary file onto another and looks what has become of both. A refusal
/// counts only if the same rename to a free name succeeds: else it had another cause.
async fn probe<R: Remote>(
    remote: &R,
    [one, other, free]: [RemotePath; 3],
    facts: &mut Facts,
) -> Result<PlainRename> {
    for path in [&one, &other] {
        facts.probes.push(path.clone());
        match reserve(remote, path).await? {
            Reserved::Ours(writer) => closed(writer, path).await?,
            Reserved::Taken => {
                let message = format!("{path} cannot be there yet, and is");
                return Err(Error::new(Class::Failure, message));
            }
        }
    }
    if renamed(remote, &one, &other).await? {
        return Ok(PlainRename::Replaces);
    }
    facts.probes.push(free.clone());
    Ok(match renamed(remote, &one, &free).await? {
        true => PlainRename::Refuses,
        false => PlainRename::Unusable,
    })
}

/// Whether a plain rename took the source away.
async fn renamed<R: Remote>(remote: &R, from: &RemotePath, to: &RemotePath) -> Result<bool> {
    if let Err(error) = remote.rename(from, to).await
        && error.is_lost()
    {
        return Err(plain(Doing::Renaming(from, to), error));
    }
    Ok(look(remote, from).await?.is_none())
}
