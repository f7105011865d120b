//! Get: list, filter, sort, limit; then per file fetch, deliver, and only then delete or move.
//!
//! ```text
//!   target free? ─▶ open ─ fstat ─ read ─ fstat ─ close ─▶ delivered ─▶ lstat: same? ─▶ delete, move
//!   (fetch)                                                (deliver)    (after)
//! ```
//! Nothing is deleted or moved that was not delivered, or that is not what was delivered. Several
//! hands take the next file as soon as they are free: with `jobs` each on a session of its own, else
//! on lanes of one, which tell their outcomes in the order of the listing.

mod after;
mod backlog;
mod deliver;
mod earlier;
mod fetch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use self::after::Delivered;
use self::backlog::{Backlog, Due, Supply};
use self::fetch::{Fetched, Held};
use super::compare::sha256;
use super::lanes::{LANES, Order, Ticket};
use super::list::tracked;
use super::moving::Moved;
use super::places::{Missing, ensure, move_to_directory, refuse_same, remote_directory};
use super::selection::{Choice, Found, Seen};
use super::session::Session;
use super::walk::Walk;
use super::{AllWell, Confirmed, Destination, Foreseen, Step};
use crate::connection::Connection;
use crate::document::{Properties, Whole};
use crate::error::{Error, Result};
use crate::journal::{Glance, Journal, Memory, Taken};
use crate::local::Directory;
use crate::names::DoneFile;
use crate::operation::{After, Get, GetAction};
use crate::outcome::{AfterAction, Outcome, SkipReason, Status};
use crate::path::RemotePath;
use crate::progress::Observer;
use crate::remote::{Attrs, Connect, Entry};

/// What a file counts as that changed while it was read. It is not delivered, and it stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Changed {
    /// It failed.
    #[default]
    Failed,
    /// It is skipped as still changing: who looks again and again meets it again.
    Skipped,
}

/// What a file that waits for its confirmation takes in memory, roughly and generously: its outcome
/// has names and values of its own.
const UNCONFIRMED: u64 = 4096;

/// What all hands of one Get share.
struct Plan<'a> {
    get: &'a Get,
    properties: &'a Properties,
    destination: Destination,
    observer: &'a Observer,
    outcomes: &'a mpsc::Sender<Outcome>,
    connection: Arc<Connection>,
    local: Option<Directory>,
    journal: Option<&'a Journal>,
    /// Where a rehearsal would put files, and what it would know as handled.
    foreseen: Option<Directory>,
    glance: Option<Glance>,
    /// What the documents are parts of, where another step takes them.
    onward: Option<&'a Whole>,
    done_file: Option<DoneFile>,
    directory: RemotePath,
    target: Option<RemotePath>,
    changed: Changed,
    unwell: AtomicBool,
    /// Hands that are at work.
    hands: AtomicUsize,
    confirmed: Confirmed,
    /// What was handed out and is confirmed together with the rest.
    unconfirmed: Mutex<Vec<Unconfirmed>>,
    /// The order in which outcomes are told, where one session has many files in hand.
    order: Option<Order>,
}

/// A file that its receiver has, and will confirm when there are no more.
struct Unconfirmed {
    item: Item,
    fetched: Box<Fetched>,
    taken: Option<Taken>,
    outcome: Outcome,
}

/// How far a file came.
enum Progress {
    /// To its end.
    Ended,
    /// To its receiver, who confirms it together with the rest.
    HandedOut(Box<Fetched>),
}

/// One session or a lane of one, taking one file after the other.
struct Hand<'a, C: Connect> {
    plan: &'a Plan<'a>,
    session: &'a mut Session<C>,
    /// When the file in hand is told.
    ticket: Option<Ticket>,
}

/// The sessions of one Get: the step's own, and those, or its lanes, for more hands.
struct Crew<'a, C: Connect> {
    first: &'a mut Session<C>,
    others: Vec<Session<C>>,
}

/// One file, and where it is and goes.
#[derive(Clone, Debug)]
struct Item {
    name: Bytes,
    /// As it was listed.
    listed: Attrs,
    /// The directories below the operation's that lead to it.
    relative: Arc<[Bytes]>,
    directory: RemotePath,
    path: RemotePath,
    /// The directory that it is moved to.
    target: Option<RemotePath>,
    /// The name of its done-file.
    done_file: Option<Bytes>,
}

/// Lists, selects, and takes what was selected.
pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    get: &Get,
    properties: &Properties,
) -> Result<AllWell> {
    let (mut plan, mut crew) = prepare(step, get, properties, Changed::Failed).await?;
    crew.settle(&plan).await?;
    let choice = Choice::of_get(get, plan.connection.memory)?;
    let mut walk = Walk::new(choice, plan.directory.clone())
        .without(plan.target.clone())
        .knowing(plan.memory(), plan.connection.account());
    crew.take_as_listed(&plan, &mut walk).await?;
    if plan.confirmed == Confirmed::Together {
        // Whoever receives sees by this that there are no more.
        plan.destination = Destination::None;
        crew.confirm_all(&plan).await;
    }
    Ok(finish(&plan, crew).await)
}

/// Takes what somebody else has listed and selected, in that order. Nothing is listed here, and
/// `chosen` is asked for the next one only when there is a free hand for it: a listener that is to
/// end lets it run out. Without a session nothing more is asked for, and that is the error.
pub(super) async fn run_chosen<C: Connect>(
    step: &mut Step<C>,
    get: &Get,
    properties: &Properties,
    changed: Changed,
    chosen: &mut (dyn Iterator<Item = Found> + Send),
) -> Result<AllWell> {
    let (plan, mut crew) = prepare(step, get, properties, changed).await?;
    crew.settle(&plan).await?;
    crew.take_all(&plan, chosen).await;
    let dead = crew.first.dead();
    let well = finish(&plan, crew).await;
    match dead {
        // What was not handed out is left for another time.
        Some(dead) if chosen.size_hint().1 != Some(0) => Err(dead),
        _ => Ok(well),
    }
}

/// Opens the local directory and the session, and finds the directories at the server.
async fn prepare<'a, C: Connect>(
    step: &'a mut Step<C>,
    get: &'a Get,
    properties: &'a Properties,
    changed: Changed,
) -> Result<(Plan<'a>, Crew<'a, C>)> {
    let connection = Arc::clone(step.session.connection());
    let jobs = step.jobs;
    let local = match &step.destination {
        Destination::Directory(path) => {
            Some(Directory::open(path, connection.memory.0)?.shared_by(jobs.get()))
        }
        Destination::Documents(_) | Destination::None => None,
    };
    let foreseen = match &step.foreseen.directory {
        Some(path) => Some(Directory::open(path, connection.memory.0)?),
        None => None,
    };
    let named = remote_directory(properties, get.remote_directory.as_ref(), &connection)?;
    let named_target = match get.action {
        GetAction::GetAndMove => move_to_directory(properties, get.move_to_directory.as_ref())?,
        GetAction::Get | GetAction::GetAndDelete => None,
    };
    step.session.open().await?;
    let mut retries = step.session.retries();
    let (directory, target) = loop {
        match places(step, get, &named, named_target.as_ref()).await {
            Ok(found) => break found,
            Err(error) => step.session.recover(error, &mut retries).await?,
        }
    };
    let destination = match step.confirmed {
        Confirmed::OneByOne => step.destination.clone(),
        // There is one call, and it says when there are no more documents.
        Confirmed::Together => std::mem::take(&mut step.destination),
    };
    let confirmed = step.confirmed;
    let Step {
        session,
        observer,
        outcomes,
        journal,
        onward,
        foreseen: Foreseen {
            journal: glance, ..
        },
        ..
    } = step;
    // One session has many files in hand, so that small ones do not wait for each other; several
    // have one each.
    let lanes = match (&local, changed) {
        (Some(_), Changed::Failed) if jobs.get() == 1 => LANES,
        _ => 1,
    };
    let others = match lanes {
        1 => (1..jobs.get()).map(|_| session.another()).collect(),
        _ => (1..lanes).map(|_| session.lane()).collect(),
    };
    let plan = Plan {
        get,
        properties,
        destination,
        observer,
        outcomes,
        connection,
        local,
        journal: journal.as_ref(),
        foreseen,
        glance: glance.clone(),
        onward: onward.as_ref(),
        done_file: get.done_file()?,
        directory,
        target,
        changed,
        unwell: AtomicBool::new(false),
        hands: AtomicUsize::new(0),
        confirmed,
        unconfirmed: Mutex::default(),
        order: (lanes > 1).then(Order::default),
    };
    let crew = Crew {
        first: session,
        others,
    };
    Ok((plan, crew))
}

/// The directories at the server, which must be there.
async fn places<C: Connect>(
    step: &mut Step<C>,
    get: &Get,
    named: &Bytes,
    named_target: Option<&Bytes>,
) -> Result<(RemotePath, Option<RemotePath>)> {
    let directory = step.session.resolve(named).await?;
    let Some(named) = named_target else {
        return Ok((directory, None));
    };
    let target = step.session.resolve(named).await?;
    refuse_same(step, &directory, &target).await?;
    let missing = Missing::by(get.create_directories);
    ensure(step.session.remote(), &target, missing).await?;
    Ok((directory, Some(target)))
}

async fn finish<C: Connect>(plan: &Plan<'_>, crew: Crew<'_, C>) -> AllWell {
    join_all(crew.others.into_iter().map(Session::close)).await;
    match plan.unwell.load(Ordering::Relaxed) {
        true => AllWell::No,
        false => AllWell::Yes,
    }
}

impl<C: Connect> Crew<'_, C> {
    /// What earlier runs have left is finished first, also where it is not listed any more.
    async fn settle(&mut self, plan: &Plan<'_>) -> Result<()> {
        let session = &mut *self.first;
        Hand::new(plan, session).settle_all().await
    }

    /// Waits for those that are confirmed together, in the order in which they were handed out.
    async fn confirm_all(&mut self, plan: &Plan<'_>) {
        let all = std::mem::take(&mut *plan.unconfirmed());
        for unconfirmed in all {
            let session = &mut *self.first;
            Hand::new(plan, session).confirmed(unconfirmed).await;
        }
    }

    /// The first hand lists, the others take what it comes upon, and so does it when it is alone, when
    /// much is waiting, and when all is listed. The error is that of the listing.
    async fn take_as_listed(&mut self, plan: &Plan<'_>, walk: &mut Walk<C>) -> Result<()> {
        let Self { first, others } = self;
        plan.hands.store(1 + others.len(), Ordering::Relaxed);
        let supply = Supply::Listed(Backlog::for_others(others.len()));
        let Supply::Listed(backlog) = &supply else {
            unreachable!("it was made so");
        };
        let listing = async {
            let session = &mut **first;
            let listed = Hand::new(plan, session).list(walk, backlog).await;
            backlog.end();
            let session = &mut **first;
            if session.stop().check().is_ok() {
                Hand::new(plan, session).work(&supply).await;
            }
            listed
        };
        let helping = others.iter_mut();
        let helping = helping.map(|session| Hand::new(plan, session).work(&supply));
        let (listed, _) = join(listing, join_all(helping)).await;
        first.resume();
        listed
    }

    /// Each hand takes the next as soon as it is free, until there are no more.
    async fn take_all(
        &mut self,
        plan: &Plan<'_>,
        chosen: &mut (dyn Iterator<Item = Found> + Send),
    ) {
        // No more sessions than there are files, where that is known.
        let most = chosen.size_hint().1.unwrap_or(usize::MAX).max(1);
        let hands = most.min(1 + self.others.len());
        plan.hands.store(hands, Ordering::Relaxed);
        let chosen = Supply::chosen(chosen);
        let sessions = std::iter::once(&mut *self.first).chain(&mut self.others);
        let sessions = sessions.take(hands);
        join_all(sessions.map(|session| Hand::new(plan, session).work(&chosen))).await;
        self.first.resume();
    }
}

impl<'a, C: Connect> Hand<'a, C> {
    fn new(plan: &'a Plan<'a>, session: &'a mut Session<C>) -> Self {
        Self {
            plan,
            session,
            ticket: None,
        }
    }

    /// Lists to the end. What is not taken here is left to the others.
    async fn list(mut self, walk: &mut Walk<C>, backlog: &Backlog) -> Result<()> {
        let plan = self.plan;
        let alone = backlog.is_for_one_hand();
        while let Some(seen) = walk.next(self.session).await? {
            // What is sorted comes all at once, and is taken in its order.
            let expected = walk.expected();
            if let Some((files, bytes)) = expected {
                plan.observer
                    .tell(|progress| progress.expected(files, bytes));
            }
            let (mut chosen, mut left) = (Vec::new(), Vec::new());
            for seen in seen {
                match seen {
                    Seen::Take(found) => chosen.push(found),
                    Seen::Skip(found, reason) => {
                        left.push(Outcome::skipped(plan.tracked(&plan.item(found)), reason));
                    }
                    Seen::Failed(found, error) => {
                        plan.unwell.store(true, Ordering::Relaxed);
                        left.push(Outcome::failed(plan.tracked(&plan.item(found)), error));
                    }
                }
            }
            backlog.add(chosen.into_iter().map(Due::File));
            if plan.order.is_some() {
                backlog.add(left.drain(..).map(Due::Left));
            }
            if alone {
                while !self.is_to_end()
                    && let Some(due) = backlog.next()
                {
                    self.take_due(due).await;
                }
            }
            for outcome in left {
                plan.emit(outcome).await;
            }
            if alone || expected.is_some() {
                continue;
            }
            while !self.is_to_end()
                && self.session.open().await.is_ok()
                && let Some(due) = match plan.order {
                    Some(_) => backlog.first_of_too_many(),
                    None => backlog.smallest_of_too_many(),
                }
            {
                self.take_due(due).await;
            }
        }
        Ok(())
    }

    async fn work(mut self, supply: &Supply<'_>) {
        loop {
            self.session.rest();
            self.session.room().free().await;
            if !supply.reserve().await {
                return;
            }
            // A hand without a session leaves the files to the others; the last one stays, and
            // says of each what is wrong, unless they are met again.
            let meets_again = self.plan.changed == Changed::Skipped;
            let dead = self.session.open().await.is_err();
            if dead && (self.plan.can_spare_one() || meets_again) || self.is_to_end() {
                return supply.leave();
            }
            if !self.session.room().is_free() {
                // Another was faster, with a large one.
                supply.leave();
                continue;
            }
            if let Some(due) = supply.take() {
                self.take_due(due).await;
            }
        }
    }

    /// Whether the file in hand was told to be stopped: those after it were never begun.
    fn is_to_end(&self) -> bool {
        self.session.stop().check().is_err() && self.plan.unwell.load(Ordering::Relaxed)
    }

    /// One file, or what is left of one to be told, in its place in the order.
    async fn take_due(&mut self, due: Due) {
        // Without a wait since it was taken, so that this is the order of the listing.
        self.ticket = self.plan.order.as_ref().map(Order::ticket);
        match due {
            Due::File(found) => {
                let _held = self.session.hold(found.entry.attrs.size);
                self.take(&self.plan.item(found)).await;
            }
            Due::Left(outcome) => self.emit(outcome).await,
        }
        self.ticket = None;
    }

    /// Tells an outcome when it is its turn.
    async fn emit(&mut self, outcome: Outcome) {
        if let Some(ticket) = &self.ticket {
            // Who is before may have to open a new session, and this one not be in its way.
            self.session.rest();
            ticket.turn().await;
        }
        self.plan.emit(outcome).await;
    }

    /// One file, from the journal to its outcome.
    async fn take(&mut self, item: &Item) {
        match self.claim(item).await {
            Ok(Ok(taken)) => self.take_claimed(item, taken).await,
            Ok(Err(reason)) => {
                let skipped = Outcome::skipped(self.plan.tracked(item), reason);
                self.emit(skipped).await;
            }
            Err(error) => {
                self.plan.unwell.store(true, Ordering::Relaxed);
                let failed = Outcome::failed(self.plan.tracked(item), error);
                self.emit(failed).await;
            }
        }
    }

    /// One file, from the look at its target to its outcome.
    async fn take_claimed(&mut self, item: &Item, mut taken: Option<Taken>) {
        let plan = self.plan;
        let mut outcome = Outcome {
            properties: plan.tracked(item),
            ..Outcome::default()
        };
        plan.observer
            .tell(|progress| progress.started(&item.name, item.listed.size));
        let done = self.fetch_and_finish(item, &mut taken, &mut outcome).await;
        plan.observer.tell(|progress| progress.finished());
        match done {
            Ok(Progress::HandedOut(fetched)) => plan.unconfirmed().push(Unconfirmed {
                item: item.clone(),
                fetched,
                taken,
                outcome,
            }),
            Ok(Progress::Ended) => self.end(taken, Ok(()), outcome).await,
            Err(error) => self.end(taken, Err(error), outcome).await,
        }
    }

    /// One that was handed out, from its confirmation to its outcome.
    async fn confirmed(&mut self, unconfirmed: Unconfirmed) {
        let Unconfirmed {
            item,
            fetched,
            mut taken,
            mut outcome,
        } = unconfirmed;
        let done = self.finish(&item, *fetched, &mut taken, &mut outcome).await;
        self.end(taken, done, outcome).await;
    }

    /// What became of a file, recorded and told.
    async fn end(&mut self, taken: Option<Taken>, done: Result<()>, mut outcome: Outcome) {
        let plan = self.plan;
        let end = (outcome.status, outcome.after_action);
        let done = let_go(taken, done, end, outcome.warnings.last()).await;
        if let Err(error) = done {
            outcome.status = Status::Failed;
            outcome.error = Some(error);
        }
        if outcome.status == Status::Failed {
            plan.unwell.store(true, Ordering::Relaxed);
        }
        self.emit(outcome).await;
    }

    async fn fetch_and_finish(
        &mut self,
        item: &Item,
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<Progress> {
        if let Some(attrs) = self.stands_already(item, taken, outcome).await? {
            let earlier = Delivered::Earlier;
            self.after(item, &attrs, earlier, taken, outcome).await?;
            return Ok(Progress::Ended);
        }
        self.plan.has_room()?;
        let fetched = match self.fetched(item, taken, &mut outcome.properties).await {
            Ok(fetched) => fetched,
            Err(fetch::Failure::Changed(_)) if self.plan.changed == Changed::Skipped => {
                outcome.status = Status::Skipped(SkipReason::StillChanging);
                return Ok(Progress::Ended);
            }
            Err(fetch::Failure::Changed(error) | fetch::Failure::Other(error)) => {
                return Err(error);
            }
        };
        let together = self.plan.confirmed == Confirmed::Together
            && self.plan.get.after == After::Ack
            && matches!(fetched.held, Held::Receiver(_));
        if together {
            return Ok(Progress::HandedOut(Box::new(fetched)));
        }
        self.finish(item, fetched, taken, outcome).await?;
        Ok(Progress::Ended)
    }

    /// What was fetched is delivered, and then its source deleted or moved.
    async fn finish(
        &mut self,
        item: &Item,
        fetched: Fetched,
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let attrs = fetched.attrs;
        #[cfg(sansftp_bugs)]
        if sansftp_proto::bugs::seeded("deleted-before-delivery") {
            let (now, early) = (Delivered::Now, &mut None);
            self.after(item, &attrs, now, early, outcome).await?;
            return self.deliver(item, fetched, taken, outcome).await;
        }
        self.deliver(item, fetched, taken, outcome).await?;
        self.after(item, &attrs, Delivered::Now, taken, outcome)
            .await
    }
}

/// Records the end of a file, or gives it back for another run.
async fn let_go(
    taken: Option<Taken>,
    done: Result<()>,
    end: (Status, AfterAction),
    warning: Option<&Error>,
) -> Result<()> {
    let Some(taken) = taken else {
        return done;
    };
    if let Err(error) = done {
        if let Err(unwritten) = taken.failed(&error).await {
            tracing::warn!(%unwritten, "a failure is not in the journal");
        }
        return Err(error);
    }
    match (end, warning) {
        ((Status::Ok, AfterAction::Failed), Some(why)) => taken.failed(why).await,
        // The source was gone: should one come that is the same, it is a new one.
        ((Status::Ok, AfterAction::None), Some(_)) => taken.done(AfterAction::Deleted).await,
        ((Status::Ok, after), _) => taken.done(after).await,
        _ => taken.forget().await,
    }
}

impl Plan<'_> {
    fn unconfirmed(&self) -> MutexGuard<'_, Vec<Unconfirmed>> {
        let unconfirmed = self.unconfirmed.lock();
        unconfirmed.unwrap_or_else(PoisonError::into_inner)
    }

    /// What knows which files were handled.
    fn memory(&self) -> Option<Memory> {
        let journal = self.journal.cloned().map(Memory::Journal);
        journal.or_else(|| self.glance.clone().map(Memory::Glance))
    }

    /// Those that wait for their confirmation together are held in memory.
    fn has_room(&self) -> Result<()> {
        let (held, memory) = (self.unconfirmed().len(), self.connection.memory);
        if (held as u64).saturating_mul(UNCONFIRMED) < memory.0 {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "{held} files wait for a later step that takes all of them together, as many as memory = \
             {memory} has room for"
        ))
        .with_hint("set max-files, raise memory, or give the later step parameters"))
    }

    fn item(&self, found: Found) -> Item {
        let path = found.path();
        let Found {
            entry,
            directory,
            relative,
        } = found;
        let below = |top: &RemotePath| {
            let components = relative.iter();
            components.fold(top.clone(), |path, component| path.join(component))
        };
        Item {
            path,
            target: self.target.as_ref().map(below),
            directory,
            done_file: self.done_file.as_ref().map(|done| done.of(&entry.name)),
            name: entry.name,
            listed: entry.attrs,
            relative,
        }
    }

    fn tracked(&self, item: &Item) -> Properties {
        let found = Found {
            entry: Entry {
                name: item.name.clone(),
                attrs: item.listed,
            },
            directory: item.directory.clone(),
            relative: Arc::clone(&item.relative),
        };
        let mut own = tracked(&found, &self.connection);
        let id = item.document_id(&self.connection.account());
        own.set("delivery-id", id.clone());
        own.set("document-id", id);
        if let Some(target) = &item.target {
            own.set("move-to-directory", target.as_bytes().to_vec());
        }
        own.merge(self.properties);
        own
    }

    async fn emit(&self, outcome: Outcome) {
        // Whoever dropped the stream dropped this future with it.
        let _ = self.outcomes.send(outcome).await;
    }

    /// Whether a file is read on where it was cut off.
    fn resume(&self) -> bool {
        self.get.resume
    }

    /// Whether a hand may go home: the last one may not.
    fn can_spare_one(&self) -> bool {
        let less = |hands: usize| (hands > 1).then(|| hands - 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.hands.fetch_update(set, fetch, less).is_ok()
    }
}

impl Item {
    /// A text that is the same whenever this version of this file is met: the SHA-256 of account,
    /// directory, name, size and modified time, each with its length before it.
    fn document_id(&self, account: &str) -> String {
        let size = self.listed.size.map(|size| size.to_string());
        let modified = self.listed.modified.map(|time| time.to_string());
        let unknown = || "?".to_owned();
        let mut digest = Context::new(&SHA256);
        for field in [
            account.as_bytes(),
            self.directory.as_bytes(),
            &self.name,
            size.unwrap_or_else(unknown).as_bytes(),
            modified.unwrap_or_else(unknown).as_bytes(),
        ] {
            digest.update(&(field.len() as u64).to_be_bytes());
            digest.update(field);
        }
        hex(&sha256(digest))
    }
}

pub(super) fn track_move(properties: &mut Properties, moved: &Moved) {
    properties.set("moved-by", moved.by.word());
    if let Some(no_replace) = moved.no_replace {
        properties.set("no-replace", no_replace);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
