//! Listen: list, compare with what is known, tell, take what is new, wait; until it is stopped.
//!
//! ```text
//!   ┌─▶ session ─▶ listing ─▶ differences: told, recorded ─▶ Get takes what is due ─▶ wait ─┐
//!   │      ✗ away: told, waits longer each time                                             │
//!   └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! One session, kept between the listings. A server that refuses the credentials or shows another
//! host key is not asked again: that ends it.
//!
//! Not the differences: those are decided in [`known`](crate::listen::known). Nothing that is known
//! is opened or looked at again.

mod taking;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, join, select};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::taking::{Feed, Skips, Taking, Worth, versions};
use super::list::{rfc3339, tracked};
use super::places::{move_to_directory, remote_directory};
use super::selection::{Choice, Found, Judged, Seen, Selection, too_many};
use super::session::is_loss;
use super::stop::Stop;
use super::walk::Walk;
use super::{AllWell, Connector, Step, get};
use crate::document::Properties;
use crate::error::{Class, Error, Result};
use crate::journal::{Journal, Listed, ListingId};
use crate::listen::known::{Handling, Known, Looked, Relative, Row, Standing, Version};
use crate::listen::{Away, Back, Begun, ListenEvent, Listening, Polled, Stopper};
use crate::operation::{Change, GetAction, Listen, Operation, Sort};
use crate::outcome::{Outcome, SkipReason, Status};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry};
use crate::retry::scattered;

/// So many changes are recorded at once; so many are told again at most when the process dies.
const BATCH: usize = 1000;

/// So often the journal is rid of what it is to keep no longer.
const DAILY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who is away is asked again after this long at the latest, unless the interval is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

impl<C: Connect> Connector<C> {
    /// Watches a directory and gets what is new in it, with the properties that a document would
    /// bring along, until it is asked to end. See [`listen`](crate::listen).
    pub fn listen(&self, listen: Listen, properties: Properties) -> Listening {
        let (sender, receiver) = mpsc::channel(1);
        let stopper = Stopper::new(self.canceller());
        // The outcomes of its step are its own; it makes a channel for each round.
        let (unused, _) = mpsc::channel(1);
        let mut step = self.step(self.destination.clone(), unused);
        let asked = stopper.clone();
        let work = async move {
            let told = Told::Events(sender.clone());
            let ended = begun(&mut step, listen, &properties, told, asked).await;
            step.session.close().await;
            // Whoever dropped the stream dropped this future with it.
            let _ = sender.send(ListenEvent::Stopped(ended.err())).await;
        };
        Listening::new(Box::pin(work), receiver, stopper)
    }
}

async fn begun<C: Connect>(
    step: &mut Step<C>,
    listen: Listen,
    properties: &Properties,
    told: Told,
    stopper: Stopper,
) -> Result<()> {
    let operation = Operation::Listen(Box::new(listen));
    step.checked(&operation, properties)?;
    step.open_journal(&operation).await?;
    let Operation::Listen(listen) = operation else {
        unreachable!("it is what was just made");
    };
    listener(step, &listen, properties, told, stopper).await
}

/// As a step among others: only outcomes are told.
pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    listen: &Listen,
    properties: &Properties,
) -> Result<AllWell> {
    let told = Told::Outcomes(step.outcomes.clone());
    let stopper = Stopper::new(step.cancel.clone());
    listener(step, listen, properties, told, stopper).await?;
    Ok(AllWell::Yes)
}

async fn listener<C: Connect>(
    step: &mut Step<C>,
    listen: &Listen,
    properties: &Properties,
    told: Told,
    stopper: Stopper,
) -> Result<()> {
    let connection = step.session.connection().clone();
    let named = remote_directory(
        properties,
        listen.get.remote_directory.as_ref(),
        &connection,
    )?;
    let Some(journal) = step.journal.clone() else {
        return Err(Error::configuration(
            "listen has no journal, and would not know after a restart what it has taken",
        )
        .with_hint("set journal to a file that it may make"));
    };
    let mut own = Properties::default();
    own.set("host", connection.host.clone());
    own.set("port", connection.port.to_string());
    own.set("remote-directory", named.clone());
    told.event(ListenEvent::Listening(Begun {
        properties: own,
        journal: journal.path().to_owned(),
        interval: listen.interval,
        stable_for: listen.get.stable_for,
    }))
    .await;
    let listener = Listener {
        step,
        listen,
        properties,
        told,
        stopper,
        named,
        journal,
        place: None,
        taken: Taken::Never,
        skips: Skips::default(),
        unwritten: Vec::new(),
        listed_at: Instant::now(),
        pruned_at: Instant::now(),
    };
    listener.go().await
}

/// One listener on its way.
struct Listener<'a, C: Connect> {
    step: &'a mut Step<C>,
    listen: &'a Listen,
    properties: &'a Properties,
    told: Told,
    stopper: Stopper,
    named: Bytes,
    journal: Journal,
    /// Once there was a session.
    place: Option<Place>,
    taken: Taken,
    skips: Skips,
    /// What was told and is not recorded yet.
    unwritten: Vec<Listed>,
    /// When the last listing had ended.
    listed_at: Instant,
    /// When the journal was last rid of what is old; it was when it was opened.
    pruned_at: Instant,
}

/// The directory, and what is known of it.
struct Place {
    directory: RemotePath,
    listing: ListingId,
    /// Where files are moved to: nobody looks for new ones there.
    target: Option<RemotePath>,
    known: Known,
}

/// Whether Get has had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Never,
    Before,
}

/// What a listing differs in.
#[derive(Default)]
struct Differences {
    changed: Vec<(Found, Looked)>,
    gone: Vec<(Relative, Version)>,
    due: Vec<Found>,
    polled: Polled,
}

/// Why there is no listing, and for how long.
struct Trouble {
    since: Instant,
    attempts: u32,
    last: (Class, String),
}

/// Who is told.
enum Told {
    Events(mpsc::Sender<ListenEvent>),
    Outcomes(mpsc::Sender<Outcome>),
}

impl Told {
    /// Whoever dropped the stream dropped this future with it, so that sending cannot fail for
    /// long.
    async fn event(&self, event: ListenEvent) {
        match (self, event) {
            (Self::Events(events), event) => {
                let _ = events.send(event).await;
            }
            (Self::Outcomes(outcomes), ListenEvent::Outcome(outcome)) => {
                let _ = outcomes.send(outcome).await;
            }
            (Self::Outcomes(_), ListenEvent::Away(away)) => {
                tracing::warn!(error = %away.error, next = ?away.next, "cannot list");
            }
            (Self::Outcomes(_), _) => {}
        }
    }

    /// Waits until what was told has been taken and its taker has come back for more.
    async fn taken(&self) {
        match self {
            Self::Events(events) => drop(events.reserve().await),
            Self::Outcomes(outcomes) => drop(outcomes.reserve().await),
        }
    }
}

impl<C: Connect> Listener<'_, C> {
    /// Rounds without an end; `Ok` when it was asked to end.
    async fn go(mut self) -> Result<()> {
        let mut away: Option<Trouble> = None;
        loop {
            let connection = self.step.session.connection().clone();
            let stop = Stop::new(&self.step.cancel, &connection);
            self.step.session.renew(stop);
            let round = self.round(&mut away).await;
            if self.stopper.is_asked() || self.step.cancel.is_cancelled() {
                return Ok(());
            }
            let wait = match round {
                Ok(()) => (self.listed_at + self.listen.interval)
                    .saturating_duration_since(Instant::now()),
                Err(error) => self.trouble(error, &mut away).await?,
            };
            let pause = tokio::time::sleep(wait);
            let ended = async {
                select(
                    pin!(self.stopper.asked()),
                    pin!(self.step.cancel.cancelled()),
                )
                .await;
            };
            if let Either::Right(_) = select(pin!(pause), pin!(ended)).await {
                return Ok(());
            }
        }
    }

    /// What to do about a round that failed: how long to wait, or the end.
    async fn trouble(&self, error: Error, away: &mut Option<Trouble>) -> Result<Duration> {
        // What follows a refused reconnection carries the words of the loss.
        let error = match self.step.session.dead() {
            Some(dead) if is_final(&dead) => dead,
            _ => error,
        };
        if is_final(&error) {
            return Err(error);
        }
        // A server that answers can be asked as often as ever, and is told of once.
        let answered = self.step.session.is_open();
        let last = (error.class(), error.message().to_owned());
        let repeated = answered && away.as_ref().is_some_and(|away| away.last == last);
        let since = away.as_ref().map_or_else(Instant::now, |away| away.since);
        let attempts = away.as_ref().map_or(0, |away| away.attempts);
        let attempt = attempts.saturating_add(1);
        *away = Some(Trouble {
            since,
            attempts: attempt,
            last,
        });
        let next = match answered {
            true => self.listen.interval,
            false => scattered(back_off(self.listen.interval, attempt)),
        };
        if !repeated {
            let event = ListenEvent::Away(Away {
                error,
                attempt,
                next,
            });
            self.told.event(event).await;
        }
        Ok(next)
    }

    /// One listing and what follows from it.
    async fn round(&mut self, away: &mut Option<Trouble>) -> Result<()> {
        let kept = self.step.session.is_open();
        let mut differences = self.listed().await;
        if let Err(error) = &differences
            && is_loss(error)
        {
            self.step.session.drop_lost();
            // An idle session may have been closed by the server, which is no reason to be away.
            if kept && !self.stopper.is_asked() {
                tracing::debug!(%error, "the session was lost; connecting again");
                differences = self.listed().await;
            }
        }
        let due = self.tell(differences?).await?;
        let taken = self.take(due).await;
        self.write().await?;
        taken?;
        self.prune().await?;
        if let Some(trouble) = away.take() {
            let back = Back {
                away: trouble.since.elapsed(),
                attempts: trouble.attempts,
            };
            self.told.event(ListenEvent::Back(back)).await;
        }
        Ok(())
    }

    /// Connects if need be, lists, and compares. Gives up as soon as it is asked to end.
    async fn listed(&mut self) -> Result<Differences> {
        let stopper = self.stopper.clone();
        match select(pin!(self.compared()), pin!(stopper.asked())).await {
            Either::Left((differences, _)) => differences,
            Either::Right(_) => Err(Error::new(Class::Cancelled, "stopped on request")),
        }
    }

    async fn compared(&mut self) -> Result<Differences> {
        self.step.session.open_once().await?;
        if self.place.is_none() {
            self.place = Some(self.found().await?);
        }
        let memory = self.step.session.connection().memory;
        let stable_for = self.listen.get.stable_for;
        let mut choice = Choice::of_get(&self.listen.get, memory)?;
        // What is known decides what is stable; and only a whole listing tells what is gone.
        (choice.stable_for, choice.sort, choice.max) = (Duration::ZERO, Sort::None, 0);
        let place = self.place.as_mut().expect("it was just found");
        let mut walk = Walk::new(choice, place.directory.clone()).without(place.target.clone());
        let mut differences = Differences::default();
        let mut unread: Vec<Relative> = Vec::new();
        let begun = Instant::now();
        place.known.begin();
        loop {
            // A file that was taken was done once; a listing is not the time to ask again.
            let known = &self.place.as_ref().expect("it was just found").known;
            let settled = |path: &[u8], attrs: &Attrs| known.is_done(path, Version::from(attrs));
            let batch = walk.next_but(&mut self.step.session, &settled).await?;
            let Some(batch) = batch else {
                break;
            };
            for seen in batch {
                differences.polled.listed += 1;
                let (found, standing) = match seen {
                    Seen::Take(found) => (found, Standing::Ready),
                    Seen::Skip(found, reason @ (SkipReason::TooYoung | SkipReason::NotDone)) => {
                        (found, Standing::Waiting(reason))
                    }
                    Seen::Skip(found, reason) => {
                        self.place().known.seen(&found.relative_path());
                        self.skip(&found, Outcome::skipped(Properties::default(), reason))
                            .await;
                        continue;
                    }
                    Seen::Failed(found, error) => {
                        unread.push([&found.relative_path()[..], b"/"].concat().into());
                        self.skip(&found, Outcome::failed(Properties::default(), error))
                            .await;
                        continue;
                    }
                };
                let known = &mut self.place().known;
                let version = Version::from(&found.entry.attrs);
                let path = found.relative_path();
                match known.look(&path, version, standing, stable_for, begun) {
                    Looked::Known => {}
                    Looked::Waiting(reason) => {
                        differences.polled.waiting += 1;
                        self.skip(&found, Outcome::skipped(Properties::default(), reason))
                            .await;
                    }
                    Looked::Due => differences.due.push(own(found)),
                    looked => differences.changed.push((own(found), looked)),
                }
                let known = &self.place().known;
                if known.bytes() > memory.0 {
                    return Err(too_many(known.len(), memory));
                }
            }
        }
        self.listed_at = Instant::now();
        differences.polled.took = self.listed_at - begun;
        let now = self.listed_at;
        differences.gone = self.place().known.end(&unread, now);
        Ok(differences)
    }

    /// The directory, and what the journal knows of it.
    async fn found(&mut self) -> Result<Place> {
        let directory = self.step.session.resolve(&self.named).await?;
        let target = match self.listen.get.action {
            GetAction::GetAndMove => {
                let named =
                    move_to_directory(self.properties, self.listen.get.move_to_directory.as_ref())?;
                match named {
                    Some(named) => Some(self.step.session.resolve(&named).await?),
                    None => None,
                }
            }
            GetAction::Get | GetAction::GetAndDelete => None,
        };
        let account = self.step.session.connection().account();
        let (listing, rows) = self.journal.listing(&account, &directory).await?;
        let choice = Choice::of_get(&self.listen.get, self.step.session.connection().memory)?;
        // Rows of another listener with another filter are none of ours.
        let name = |row: &Row| unlisted(&directory, &row.path, row.version).entry.name;
        let ours = |row: &Row| choice.judge_name(&name(row)) == Judged::Take;
        let known = Known::new(rows.into_iter().filter(ours));
        Ok(Place {
            directory,
            listing,
            target,
            known,
        })
    }

    /// An entry that is left alone: it is there, and that is told once per version and reason.
    async fn skip(&mut self, found: &Found, mut outcome: Outcome) {
        let why = match (&outcome.error, outcome.status) {
            (Some(error), _) => error.message(),
            (None, Status::Skipped(reason)) => reason.name(),
            (None, _) => "",
        };
        let version = Version::from(&found.entry.attrs);
        if self.skips.is_new(&found.relative_path(), version, why) {
            outcome.properties = self.tracked(found);
            self.told.event(ListenEvent::Outcome(outcome)).await;
        }
    }

    fn tracked(&self, found: &Found) -> Properties {
        let connection = self.step.session.connection();
        let mut own = tracked(found, connection);
        own.merge(self.properties);
        own
    }

    fn place(&mut self) -> &mut Place {
        self.place.as_mut().expect("there was a listing")
    }

    /// Tells what has changed, records it, and says what is to be taken now, in order.
    async fn tell(&mut self, differences: Differences) -> Result<Vec<Found>> {
        let Differences {
            changed,
            gone,
            due,
            mut polled,
        } = differences;
        let mut order = Choice::of_get(&self.listen.get, self.step.session.connection().memory)?;
        if order.sort == Sort::None {
            order.sort = Sort::Name;
        }
        let mut order = Selection::new(&order);
        for found in due {
            let attrs = found.entry.attrs;
            order.offer(found, &attrs)?;
        }
        for (path, version) in gone {
            if self.listen.tells(Change::Deleted) {
                polled.deleted += 1;
                let directory = self.place().directory.clone();
                let own = self.tracked(&unlisted(&directory, &path, version));
                self.told.event(ListenEvent::Deleted(own)).await;
            }
            self.place().known.gone(&path);
            self.record(Listed::Gone(path)).await?;
        }
        for (found, looked) in changed {
            let (change, before) = match looked {
                Looked::Modified(before) => (Change::Modified, Some(before)),
                _ => (Change::Added, None),
            };
            let mut handling = Handling::Done;
            if self.listen.tells(change) {
                handling = Handling::Due;
                let mut own = self.tracked(&found);
                let event = match before {
                    Some(before) => {
                        polled.modified += 1;
                        previous(&mut own, before);
                        ListenEvent::Modified(own)
                    }
                    None => {
                        polled.added += 1;
                        ListenEvent::Added(own)
                    }
                };
                self.told.event(event).await;
            }
            let path: Relative = found.relative_path()[..].into();
            let version = Version::from(&found.entry.attrs);
            self.place().known.told(&path, version, handling);
            let row = Row {
                path,
                version,
                handling,
            };
            self.record(Listed::There(row)).await?;
            if handling == Handling::Due {
                let attrs = found.entry.attrs;
                order.offer(found, &attrs)?;
            }
        }
        self.write().await?;
        let due = order.finish();
        polled.taken = due.len() as u64;
        polled.known = self.place().known.len() as u64;
        self.told.event(ListenEvent::Polled(polled)).await;
        Ok(due)
    }

    /// Lets Get take what is due. The first time also when nothing is: what is wrong with its
    /// directories shows at once and not with the first file, and what a journal holds unfinished
    /// is settled.
    async fn take(&mut self, due: Vec<Found>) -> Result<()> {
        if due.is_empty() && self.taken == Taken::Before {
            return Ok(());
        }
        let Self {
            step,
            listen,
            properties,
            told,
            stopper,
            place,
            skips,
            unwritten,
            ..
        } = self;
        let mut taking = Taking {
            place: place.as_mut().expect("there was a listing"),
            interval: listen.interval,
            versions: versions(&due),
            closed: Arc::default(),
            refused: None,
            skips,
            unwritten,
        };
        let mut feed = Feed {
            left: due.into_iter(),
            stopper: stopper.clone(),
            closed: Arc::clone(&taking.closed),
        };
        let (sender, mut outcomes) = mpsc::channel(1);
        let own = std::mem::replace(&mut step.outcomes, sender);
        let cancel = step.cancel.clone();
        let getting = async {
            let changed = get::Changed::Skipped;
            let done = get::run_chosen(step, &listen.get, properties, changed, &mut feed).await;
            // Nobody else has the sender, and so the outcomes come to their end.
            step.outcomes = own;
            done
        };
        let telling = async {
            while let Some(outcome) = outcomes.recv().await {
                if taking.note(&outcome) == Worth::Telling {
                    told.event(ListenEvent::Outcome(outcome)).await;
                }
            }
        };
        let grace = async {
            stopper.asked().await;
            tokio::time::sleep(listen.stop_time).await;
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let done = match select(pin!(join(getting, telling)), pin!(grace)).await {
            Either::Left(((done, ()), _)) => done,
            Either::Right(((), _)) => return Ok(()),
        };
        if let Some(error) = taking.refused {
            return Err(error);
        }
        done?;
        self.taken = Taken::Before;
        Ok(())
    }

    /// A listener goes on for ever, and its journal is not to grow for ever.
    async fn prune(&mut self) -> Result<()> {
        let Some(keep) = self.listen.get.journal_keep else {
            return Ok(());
        };
        if self.pruned_at.elapsed() >= DAILY {
            self.journal.prune(keep).await?;
            self.pruned_at = Instant::now();
        }
        Ok(())
    }

    /// What is to be recorded once it has been taken notice of.
    async fn record(&mut self, listed: Listed) -> Result<()> {
        self.unwritten.push(listed);
        if self.unwritten.len() >= BATCH {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.told.taken().await;
        let unwritten = std::mem::take(&mut self.unwritten);
        let listing = self.place().listing;
        self.journal.listed(listing, unwritten).await
    }
}

/// Whether asking again cannot help, and may do harm: accounts are locked for that.
fn is_final(error: &Error) -> bool {
    matches!(
        error.class(),
        Class::Authentication | Class::HostKey | Class::NoCommonAlgorithm | Class::Configuration
    )
}

/// The interval, doubled with each attempt after the first, up to ten times it and a quarter of an
/// hour, but never shorter than it.
fn back_off(interval: Duration, attempts: u32) -> Duration {
    let factor = 1u32
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(10)
        .min(10);
    let longest = LONGEST_WAIT.max(interval);
    interval.saturating_mul(factor).min(longest)
}

/// A copy that shares no memory with the answer that it came in.
fn own(found: Found) -> Found {
    let name = Bytes::copy_from_slice(&found.entry.name);
    Found {
        entry: Entry {
            name,
            ..found.entry
        },
        ..found
    }
}

/// A file that is not listed any more, as far as it is known.
fn unlisted(directory: &RemotePath, path: &[u8], version: Version) -> Found {
    let mut names: Vec<Bytes> = path
        .split(|&byte| byte == b'/')
        .map(Bytes::copy_from_slice)
        .collect();
    let name = names.pop().unwrap_or_default();
    let directory = names
        .iter()
        .fold(directory.clone(), |directory, name| directory.join(name));
    Found {
        entry: Entry {
            name,
            attrs: Attrs {
                size: version.size,
                modified: version.modified,
                ..Attrs::default()
            },
        },
        directory,
        relative: names.into(),
    }
}

/// What a file was before.
fn previous(own: &mut Properties, before: Version) {
    if let Some(size) = before.size {
        own.set("previous-size", size.to_string());
    }
    if let Some(modified) = before.modified.and_then(rfc3339) {
        own.set("previous-modified", modified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_ten_intervals_and_a_quarter_of_an_hour() {
        let seconds =
            |interval, attempt| back_off(Duration::from_secs(interval), attempt).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 99].map(|n| seconds(30, n)),
            [30, 60, 120, 240, 300, 300]
        );
        assert_eq!([1, 2, 5].map(|n| seconds(600, n)), [600, 900, 900]);
        assert_eq!([1, 5].map(|n| seconds(3600, n)), [3600, 3600]);
    }

    #[test]
    fn a_file_that_is_gone_is_told_with_its_directory() {
        let version = Version {
            size: Some(3),
            modified: None,
        };
        let found = unlisted(&RemotePath::from("/in"), b"a/b/c", version);
        assert_eq!(found.directory, RemotePath::from("/in/a/b"));
        assert_eq!(found.relative_path(), &b"a/b/c"[..]);
        assert_eq!(found.entry.attrs.size, Some(3));
    }
}
