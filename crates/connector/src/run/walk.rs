//! Looking through a directory, and those below it: what is there is listed, judged, sorted and
//! limited, and every entry comes out with what became of it.
//!
//! Not what is done with an entry, and not the rules: those are the [`Choice`]. Memory is bounded:
//! each level of directories has one listing open and one batch of it in hand; what is held beyond
//! that is counted against `memory`.
//!
//! ```text
//!   Begin ─▶ Listing ─▶ (stable-for: wait, then Begin again for the second look)
//!               │
//!               ├─ sort = none: entries come out as they are listed ─▶ end
//!               └─ else they are held ─▶ Ordered ─▶ end
//! ```

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::slice::from_ref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;

use super::diagnose::{Doing, explain, plain};
use super::selection::{Choice, Depth, Found, Judged, Kinds, Offered, Seen, Selection, too_many};
use super::session::{Session, is_loss};
use crate::error::{Class, Error, Result};
use crate::journal::{Memory, Source};
use crate::operation::{DEEPEST, Symlinks};
use crate::outcome::SkipReason;
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry, FileKind, Listing, Remote, RemoteError};
use crate::retry::Retries;

/// So many looks at single files are under way at once: enough to hide the way to the server.
const LOOKS: usize = 32;

/// One look through a directory.
pub(crate) struct Walk<C: Connect> {
    choice: Choice,
    directory: RemotePath,
    except: Option<RemotePath>,
    /// The journal that knows what was handled, and the account there.
    journal: Option<(Memory, String)>,
    stage: Stage,
    look: Look,
    levels: Vec<Level<<C::Remote as Remote>::Listing>>,
    selection: Selection,
    /// The real path of `except`.
    avoided: Option<RemotePath>,
    /// The real paths of the directories gone into, where links are followed.
    visited: HashSet<RemotePath>,
    /// What the looks and the visits take in memory.
    noted_bytes: u64,
    /// When this listing began, in seconds since 1970 UTC.
    now: i64,
    expected: Option<(u64, u64)>,
    /// Entries left alone that came out before a listing had to begin again, and in this one.
    told: usize,
    telling: usize,
    /// Whether one was taken while the listing is still under way.
    streamed: bool,
    retries: Option<Retries>,
}

/// Whether it is settled what becomes of a file, by its path below the directory and its attributes.
pub(crate) type Settled<'a> = dyn Fn(&[u8], &Attrs) -> bool + Sync + 'a;

enum Stage {
    Begin,
    Listing,
    Ordered(Vec<Found>),
}

/// Which look at the files this is, and the files as the first one saw them: a hash of path, size
/// and time each.
enum Look {
    Only,
    First(Sightings),
    Second(Sightings),
}

#[derive(Default)]
struct Sightings {
    keys: RandomState,
    seen: HashSet<u64>,
}

/// A directory that is being listed.
struct Level<L> {
    listing: L,
    directory: RemotePath,
    relative: Arc<[Bytes]>,
    /// Its real path, where anything is compared with that.
    real: RemotePath,
    /// Its own entry in the directory above; none for the operation's directory.
    own: Option<Found>,
    rest: VecDeque<Looked>,
}

/// An entry and what had to be looked up about it.
struct Looked {
    entry: Entry,
    /// What a link leads to, where links are followed and it leads anywhere.
    target: Option<Attrs>,
    /// The decision on it, before the done-file and the journal; not taken at a first look.
    judged: Judged,
    done: Done,
    /// The journal knows it as handled.
    handled: bool,
}

/// Whether a file's done-file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

impl Looked {
    fn attrs(&self) -> &Attrs {
        self.target.as_ref().unwrap_or(&self.entry.attrs)
    }
}

impl<C: Connect> Walk<C> {
    /// A look through this directory, an absolute path, by this choice.
    pub(crate) fn new(choice: Choice, directory: RemotePath) -> Self {
        Self {
            look: match choice.stable_for.is_zero() {
                true => Look::Only,
                false => Look::First(Sightings::default()),
            },
            selection: Selection::new(&choice),
            choice,
            directory,
            except: None,
            journal: None,
            stage: Stage::Begin,
            levels: Vec::new(),
            avoided: None,
            visited: HashSet::new(),
            noted_bytes: 0,
            now: 0,
            expected: None,
            told: 0,
            telling: 0,
            streamed: false,
            retries: None,
        }
    }

    /// The same, leaving out what this journal knows as handled for this account.
    #[must_use]
    pub(crate) fn knowing(mut self, journal: Option<Memory>, account: String) -> Self {
        self.journal = journal.map(|journal| (journal, account));
        self
    }

    /// The same, not going into this directory: what is moved there is not to be found again.
    #[must_use]
    pub(crate) fn without(mut self, directory: Option<RemotePath>) -> Self {
        self.except = directory;
        self
    }

    /// How many files will be taken and how many bytes they have, once that is known: with
    /// `sort = none` never.
    pub(crate) fn expected(&self) -> Option<(u64, u64)> {
        self.expected
    }

    /// What comes next, never nothing; `None` at the end. What is sorted comes all at once. Connects and connects again as it has
    /// to: a listing that was cut off begins again unless something of it was taken already.
    ///
    /// # Errors
    /// The directory cannot be listed, too much would have to be held, or the step is stopped.
    /// A directory below that cannot be listed is no error, but [`Seen::Failed`].
    pub(crate) async fn next(&mut self, session: &mut Session<C>) -> Result<Option<Vec<Seen>>> {
        self.next_but(session, &|_, _| false).await
    }

    /// The same, asking for no done-file of those that are `settled`, by their path below the
    /// directory.
    pub(crate) async fn next_but(
        &mut self,
        session: &mut Session<C>,
        settled: &Settled<'_>,
    ) -> Result<Option<Vec<Seen>>> {
        loop {
            if let Stage::Ordered(held) = &mut self.stage {
                let held = std::mem::take(held);
                let batch: Vec<Seen> = held.into_iter().map(Seen::Take).collect();
                return Ok((!batch.is_empty()).then_some(batch));
            }
            session.open().await?;
            let stop = session.stop().clone();
            let error = match stop.unless(self.advance(session.remote(), settled)).await {
                Ok(None) => return Ok(None),
                Ok(Some(seen)) => {
                    let fresh = self.fresh(seen);
                    if fresh.is_empty() {
                        continue;
                    }
                    return Ok(Some(fresh));
                }
                Err(error) => error,
            };
            self.levels.clear();
            if !is_loss(&error) || stop.check().is_err() {
                return Err(error);
            }
            if self.streamed {
                return Err(no_second_listing(error));
            }
            self.stage = Stage::Begin;
            let retries = self.retries.get_or_insert_with(|| session.retries());
            session.recover(error, retries).await?;
        }
    }

    /// What did not come out before the listing began again.
    fn fresh(&mut self, seen: Vec<Seen>) -> Vec<Seen> {
        let mut fresh = Vec::with_capacity(seen.len());
        for seen in seen {
            if let Seen::Take(_) = seen {
                self.streamed = true;
                fresh.push(seen);
                continue;
            }
            self.telling += 1;
            if self.telling > self.told {
                self.told = self.telling;
                fresh.push(seen);
            }
        }
        fresh
    }

    /// One step: a directory opened, a batch fetched, or entries judged. `None` at the end.
    async fn advance(
        &mut self,
        remote: &C::Remote,
        settled: &Settled<'_>,
    ) -> Result<Option<Vec<Seen>>> {
        if let Stage::Begin = self.stage {
            self.begin(remote).await?;
            self.stage = Stage::Listing;
        }
        let Some(level) = self.levels.last_mut() else {
            return self.ended().await;
        };
        let mut seen = match level.rest.is_empty() {
            true => self.batch(remote, settled).await?,
            false => Vec::new(),
        };
        while let Some(level) = self.levels.last_mut() {
            let Some(looked) = level.rest.pop_front() else {
                break;
            };
            let found = Found {
                entry: looked.entry.clone(),
                directory: level.directory.clone(),
                relative: Arc::clone(&level.relative),
            };
            if self.choice.depth == Depth::Here || looked.attrs().kind != FileKind::Directory {
                self.entry(&looked, found, &mut seen)?;
                continue;
            }
            if self.choice.kinds == Kinds::All {
                self.entry(&looked, found.clone(), &mut seen)?;
            }
            if let Some(why_not) = self.enter(remote, found).await? {
                // Of a listing the directory itself has come out already, with its reason.
                match &why_not {
                    Seen::Skip(..) if self.choice.kinds == Kinds::All => {}
                    _ => seen.push(why_not),
                }
            }
        }
        if let Look::First(_) = self.look {
            // The second look tells of it.
            seen.clear();
        }
        Ok(Some(seen))
    }

    async fn begin(&mut self, remote: &C::Remote) -> Result<()> {
        self.now = now();
        self.telling = 0;
        self.selection = Selection::new(&self.choice);
        self.visited.clear();
        self.levels.clear();
        self.noted_bytes = 0;
        match &mut self.look {
            Look::First(sightings) => sightings.seen.clear(),
            Look::Second(sightings) => self.noted_bytes = noted(sightings.seen.len()),
            Look::Only => {}
        }
        let mut real = self.directory.clone();
        if self.choice.depth != Depth::Here {
            if self.choice.links == Symlinks::Follow || self.except.is_some() {
                real = real_path(remote, &self.directory).await?;
            }
            if let Some(except) = &self.except {
                self.avoided = Some(real_path(remote, except).await?);
            }
        }
        self.visited.insert(real.clone());
        let listing = open(remote, &self.directory).await?;
        self.levels.push(Level {
            listing,
            directory: self.directory.clone(),
            relative: Arc::from([]),
            real,
            own: None,
            rest: VecDeque::new(),
        });
        Ok(())
    }

    /// The next batch of the innermost listing.
    async fn batch(&mut self, remote: &C::Remote, settled: &Settled<'_>) -> Result<Vec<Seen>> {
        let level = self.levels.last_mut().expect("a listing is open");
        let directory = level.directory.clone();
        let batch = match level.listing.batch().await {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                self.levels.pop();
                return Ok(Vec::new());
            }
            Err(error) => {
                let lost = error.is_lost();
                let error = plain(Doing::Listing(&directory), error);
                let own = self.levels.pop().and_then(|level| level.own);
                return match own {
                    Some(own) if !lost => Ok(vec![Seen::Failed(own, error)]),
                    _ => Err(error),
                };
            }
        };
        let mut looked: Vec<Looked> = batch
            .into_iter()
            .map(|entry| Looked {
                entry,
                target: None,
                judged: Judged::Ignore,
                done: Done::Yes,
                handled: false,
            })
            .collect();
        if self.choice.wants_targets() {
            look_behind_links(&self.choice, remote, &directory, &mut looked).await?;
        }
        if !matches!(self.look, Look::First(_)) {
            for looked in &mut looked {
                looked.judged = self.choice.judge(&looked.entry, looked.attrs(), self.now);
            }
            let relative = Arc::clone(&level.relative);
            let open = |looked: &Looked| {
                let found = Found {
                    entry: looked.entry.clone(),
                    directory: directory.clone(),
                    relative: Arc::clone(&relative),
                };
                !settled(&found.relative_path(), looked.attrs())
            };
            look_for_done_files(&self.choice, remote, &directory, &mut looked, open).await?;
            look_into_journal(&self.journal, &directory, &mut looked).await?;
        }
        let level = self.levels.last_mut().expect("a listing is open");
        level.rest = looked.into();
        Ok(Vec::new())
    }

    /// Decides on what is no directory to go into.
    fn entry(&mut self, looked: &Looked, found: Found, seen: &mut Vec<Seen>) -> Result<()> {
        let attrs = looked.attrs();
        if let Look::First(sightings) = &mut self.look {
            if self.choice.judge_name(&found.entry.name) == Judged::Take {
                sightings.note(&found, attrs);
                let noted = noted(sightings.seen.len());
                if noted.saturating_add(self.noted_bytes) > self.choice.memory.0 {
                    return Err(too_many(sightings.seen.len(), self.choice.memory));
                }
            }
            return Ok(());
        }
        match looked.judged {
            Judged::Ignore => return Ok(()),
            Judged::Skip(reason) => {
                seen.push(Seen::Skip(found, reason));
                return Ok(());
            }
            Judged::Take => {}
        }
        if looked.done == Done::No {
            seen.push(Seen::Skip(found, SkipReason::NotDone));
            return Ok(());
        }
        if let Look::Second(sightings) = &self.look
            && !sightings.has(&found, attrs)
        {
            seen.push(Seen::Skip(found, SkipReason::StillChanging));
            return Ok(());
        }
        if looked.handled {
            seen.push(Seen::Skip(found, SkipReason::AlreadyProcessed));
            return Ok(());
        }
        match self.selection.offer(found, attrs)? {
            Offered::Held => {}
            Offered::Take(found) => seen.push(Seen::Take(found)),
            Offered::Waits(found) => seen.push(Seen::Skip(found, SkipReason::Limit)),
        }
        Ok(())
    }

    /// Goes into a directory; if not, says why not. A loss of the connection is an error.
    async fn enter(&mut self, remote: &C::Remote, found: Found) -> Result<Option<Seen>> {
        match self.choice.judge_directory(&found.entry.name) {
            Judged::Take => {}
            Judged::Skip(reason) => return Ok(Some(Seen::Skip(found, reason))),
            Judged::Ignore => return Ok(None),
        }
        if found.entry.attrs.kind == FileKind::Symlink && self.choice.links == Symlinks::Skip {
            return Ok(Some(Seen::Skip(found, SkipReason::Symlink)));
        }
        let directory = found.path();
        if !self.choice.depth.reaches(self.levels.len()) {
            if self.choice.depth != Depth::All {
                return Ok(Some(Seen::Skip(found, SkipReason::Directory)));
            }
            let error = Error::new(
                Class::Failure,
                format!("{directory} lies more than {DEEPEST} directories down"),
            )
            .with_hint("name a remote-directory further down");
            return Ok(Some(Seen::Failed(found, error)));
        }
        let above = self.levels.last().expect("it was found in a directory");
        let mut real = above.real.join(&found.entry.name);
        if self.choice.links == Symlinks::Follow {
            real = real_path(remote, &directory).await?;
            self.noted_bytes += noted(1) + real.as_bytes().len() as u64;
            if self.noted_bytes > self.choice.memory.0 {
                return Err(too_many(self.visited.len(), self.choice.memory));
            }
            if !self.visited.insert(real.clone()) {
                return Ok(Some(Seen::Skip(found, SkipReason::Directory)));
            }
        }
        if self.avoided.as_ref() == Some(&real) {
            return Ok(Some(Seen::Skip(found, SkipReason::Directory)));
        }
        let listing = match open(remote, &directory).await {
            Ok(listing) => listing,
            Err(error) if is_loss(&error) => return Err(error),
            Err(error) => return Ok(Some(Seen::Failed(found, error))),
        };
        let relative = [&found.relative[..], from_ref(&found.entry.name)].concat();
        self.levels.push(Level {
            listing,
            directory,
            relative: relative.into(),
            real,
            own: Some(found),
            rest: VecDeque::new(),
        });
        Ok(None)
    }

    /// After the last entry of the last listing.
    async fn ended(&mut self) -> Result<Option<Vec<Seen>>> {
        if let Look::First(sightings) = &mut self.look {
            // All wait together, from the last that was looked at.
            tokio::time::sleep(self.choice.stable_for).await;
            self.look = Look::Second(std::mem::take(sightings));
            self.stage = Stage::Begin;
            return Ok(Some(Vec::new()));
        }
        if !self.selection.sorts() {
            return Ok(None);
        }
        let held = self.selection.finish();
        let sizes = held.iter().filter_map(|found| found.entry.attrs.size);
        let bytes = sizes.fold(0_u64, u64::saturating_add);
        self.expected = Some((held.len() as u64, bytes));
        self.stage = Stage::Ordered(held);
        Ok(Some(Vec::new()))
    }
}

impl Sightings {
    fn hash(&self, found: &Found, attrs: &Attrs) -> u64 {
        let Found {
            entry, directory, ..
        } = found;
        self.keys.hash_one((
            directory.as_bytes(),
            &entry.name,
            attrs.size,
            attrs.modified,
        ))
    }

    fn note(&mut self, found: &Found, attrs: &Attrs) {
        let hash = self.hash(found, attrs);
        self.seen.insert(hash);
    }

    fn has(&self, found: &Found, attrs: &Attrs) -> bool {
        self.seen.contains(&self.hash(found, attrs))
    }
}

/// Looks at what the links of a batch lead to. One that leads nowhere stays a link.
async fn look_behind_links<R: Remote>(
    choice: &Choice,
    remote: &R,
    directory: &RemotePath,
    batch: &mut [Looked],
) -> Result<()> {
    let links = batch.iter_mut().filter(|looked| {
        let name = &looked.entry.name;
        looked.entry.attrs.kind == FileKind::Symlink
            && (choice.judge_name(name) == Judged::Take
                || choice.judge_directory(name) == Judged::Take)
    });
    let mut links: Vec<&mut Looked> = links.collect();
    for some in links.chunks_mut(LOOKS) {
        let paths: Vec<_> = some
            .iter()
            .map(|it| directory.join(&it.entry.name))
            .collect();
        let targets = join_all(paths.iter().map(|path| remote.stat(path))).await;
        for ((looked, path), target) in some.iter_mut().zip(&paths).zip(targets) {
            looked.target = there(path, target)?;
        }
    }
    Ok(())
}

/// Which of a batch the journal knows as handled: they do not count against `max-files`, or the
/// files behind them would never have their turn.
async fn look_into_journal(
    journal: &Option<(Memory, String)>,
    directory: &RemotePath,
    looked: &mut [Looked],
) -> Result<()> {
    let Some((journal, account)) = journal else {
        return Ok(());
    };
    let asked: Vec<&mut Looked> = looked
        .iter_mut()
        .filter(|it| it.judged == Judged::Take)
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let sources = asked.iter().map(|it| Source {
        account: account.clone(),
        directory: directory.clone(),
        name: it.entry.name.clone(),
        size: it.attrs().size,
        modified: it.attrs().modified,
    });
    let handled = journal.handled(sources.collect()).await?;
    for (looked, handled) in asked.into_iter().zip(handled) {
        looked.handled = handled;
    }
    Ok(())
}

/// Looks for the done-files of those that would be taken, where that is still `open`.
async fn look_for_done_files<R: Remote>(
    choice: &Choice,
    remote: &R,
    directory: &RemotePath,
    batch: &mut [Looked],
    open: impl Fn(&Looked) -> bool,
) -> Result<()> {
    let Some(done_file) = &choice.done_file else {
        return Ok(());
    };
    let names: HashSet<Bytes> = batch.iter().map(|it| it.entry.name.clone()).collect();
    let candidates = batch.iter_mut().filter(|looked| {
        looked.judged == Judged::Take
            && !names.contains(&done_file.of(&looked.entry.name))
            && open(looked)
    });
    let mut candidates: Vec<&mut Looked> = candidates.collect();
    for some in candidates.chunks_mut(LOOKS) {
        let paths: Vec<_> = some
            .iter()
            .map(|it| directory.join(&done_file.of(&it.entry.name)))
            .collect();
        let found = join_all(paths.iter().map(|path| remote.lstat(path))).await;
        for ((looked, path), found) in some.iter_mut().zip(&paths).zip(found) {
            looked.done = match there(path, found)? {
                Some(_) => Done::Yes,
                None => Done::No,
            };
        }
    }
    Ok(())
}

/// Opens a directory; a refusal says what is wrong with it.
async fn open<R: Remote>(remote: &R, directory: &RemotePath) -> Result<R::Listing> {
    match remote.list(directory).await {
        Ok(listing) => Ok(listing),
        Err(error) => Err(explain(remote, Doing::Listing(directory), error).await),
    }
}

/// The path that the server means; the given one where it does not say.
async fn real_path<R: Remote>(remote: &R, path: &RemotePath) -> Result<RemotePath> {
    match remote.realpath(path).await {
        Ok(real) => Ok(real),
        Err(error) if error.is_lost() => Err(plain(Doing::Looking(path), error)),
        Err(_) => Ok(path.clone()),
    }
}

/// What a look has shown; a refusal shows nothing.
fn there(path: &RemotePath, looked: Result<Attrs, RemoteError>) -> Result<Option<Attrs>> {
    match looked {
        Ok(attrs) => Ok(Some(attrs)),
        Err(error) if error.is_lost() => Err(plain(Doing::Looking(path), error)),
        Err(_) => Ok(None),
    }
}

/// What so many hashes or paths take in memory, roughly.
fn noted(count: usize) -> u64 {
    (count as u64).saturating_mul(32)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 makes every file one from the future, which is the careful answer.
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Some files were taken already; a second listing could take them twice.
fn no_second_listing(error: Error) -> Error {
    Error::new(
        Class::Failure,
        format!("the listing ended early, after some files were taken: {error}"),
    )
    .with_hint("run it again; with sort = \"name\" the listing is complete before the first file")
    .with_source(error)
}
