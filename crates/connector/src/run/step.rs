//! One operation on its way over a stream of documents: one call for all of them, or one for each.
//!
//! Not the calls themselves, and not the pipeline that steps make: what comes out of a step is in
//! its outcomes, or goes to its destination.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::feed::{Feed, Numbered};
use super::kept::Kept;
use super::session::Session;
use super::{Cancel, Destination, delete, get, list, listen, send};
use crate::document::{Body, Delivery, Document, Properties, Rest, Whole};
use crate::error::{Class, Error, Result};
use crate::journal::{Glance, Journal};
use crate::operation::{Delete, Operation};
use crate::outcome::{Outcome, SkipReason, Status};
use crate::process::Parameters;
use crate::progress::Observer;
use crate::remote::Connect;

/// One operation on its way.
pub(super) struct Step<C: Connect> {
    pub(super) session: Session<C>,
    pub(super) destination: Destination,
    pub(super) observer: Observer,
    pub(super) cancel: Cancel,
    pub(super) outcomes: mpsc::Sender<Outcome>,
    pub(super) jobs: NonZeroUsize,
    /// Opened before anyone is asked, where the operation names one.
    pub(super) journal: Option<Journal>,
    pub(super) parameters: Parameters,
    pub(super) directories: Directories,
    pub(super) results: Results,
    pub(super) confirmed: Confirmed,
    pub(super) rehearsal: Rehearsal,
    /// What is only looked at, where the step is a rehearsal.
    pub(super) foreseen: Foreseen,
    /// What the documents that come out of the call in hand are parts of.
    pub(super) onward: Option<Whole>,
}

/// Whether the directories that documents bring along steer the operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Directories {
    /// They stand above the operation's.
    #[default]
    Steer,
    /// They say where the step before had the document, and steer nothing.
    Describe,
}

/// What becomes of the documents that come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Results {
    /// They are the end: what went into them is delivered.
    #[default]
    Final,
    /// Another step takes them, and what went into them is delivered when it is through with them.
    PassedOn,
}

/// When whoever receives the documents confirms their delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// Each by itself.
    #[default]
    OneByOne,
    /// Not before there are no more: a later step takes them all together.
    Together,
}

/// Whether what the operation does is only planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rehearsal {
    #[default]
    No,
    /// Then nothing changes on this machine either.
    Yes,
}

/// What a rehearsal looks at on this machine, and leaves as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Foreseen {
    /// The directory that files would go into.
    pub(super) directory: Option<PathBuf>,
    /// The journal that would be kept.
    pub(super) journal: Option<Glance>,
}

/// Whether everything in a call went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AllWell {
    Yes,
    No,
}

/// A document that is to be sent.
pub(super) struct Begun {
    pub(super) draft: send::Draft,
    rest: Rest,
    kept: Option<Kept>,
    delivery: Option<Delivery>,
}

/// What the workers of one step share.
struct Shared<'a, D> {
    operation: &'a Operation,
    feed: Feed<D>,
    journal: tokio::sync::Mutex<Option<Journal>>,
    stopped: AtomicBool,
}

impl<C: Connect> Step<C> {
    pub(super) async fn run<D>(mut self, operation: Operation, documents: D)
    where
        D: Stream<Item = Document> + Send + 'static,
    {
        if self.takes_all_at_once(&operation) {
            self.run_once(&operation, documents).await;
        } else if let Some(send) = self.sends_side_by_side(&operation) {
            self.run_side_by_side(&operation, send, documents).await;
        } else {
            self.run_each(&operation, documents).await;
        }
        self.session.close().await;
    }

    fn takes_all_at_once(&self, operation: &Operation) -> bool {
        self.parameters.is_empty() && operation.takes_all_at_once()
    }

    /// One call for all documents together.
    async fn run_once<D>(&mut self, operation: &Operation, documents: D)
    where
        D: Stream<Item = Document> + Send,
    {
        let mut documents = Box::pin(documents);
        let mut properties = Properties::default();
        let (mut any, mut deliveries) = (false, Vec::new());
        while let Some(document) = documents.next().await {
            let Document {
                body,
                properties: own,
                delivery,
            } = document;
            // Nobody needs it here, and whoever sends it waits to be rid of it.
            if let Err(error) = body.read_to_its_end().await {
                self.emit(Outcome::failed(own, error)).await;
                continue;
            }
            any = true;
            properties.merge(&own);
            deliveries.extend(delivery);
        }
        if !any {
            return;
        }
        self.settle_directories(&mut properties);
        let ready = match self.checked(operation, &properties) {
            Ok(()) => self.open_journal(operation).await,
            refused => refused,
        };
        let done = match ready {
            Ok(()) => self.call(operation, &properties, deliveries).await,
            refused => refused,
        };
        if let Err(error) = done {
            self.emit(Outcome::failed(properties, error)).await;
        }
    }

    /// One call for each document.
    async fn run_each<D>(&mut self, operation: &Operation, documents: D)
    where
        D: Stream<Item = Document> + Send,
    {
        // What takes many files in one call has its workers in there.
        let workers = match operation.takes_all_at_once() {
            true => 1,
            false => self.jobs.get(),
        };
        let shared = Shared {
            operation,
            feed: Feed::new(documents, workers),
            journal: tokio::sync::Mutex::default(),
            stopped: AtomicBool::new(false),
        };
        let mut others: Vec<Self> = (1..workers).map(|_| self.another()).collect();
        let steps = std::iter::once(self).chain(&mut others);
        join_all(steps.map(|step| step.work(&shared))).await;
        join_all(others.into_iter().map(|step| step.session.close())).await;
    }

    /// The same step with a session of its own.
    fn another(&self) -> Self {
        self.with(self.session.another())
    }

    /// The same step with this session.
    pub(super) fn with(&self, session: Session<C>) -> Self {
        Self {
            session,
            destination: self.destination.clone(),
            observer: self.observer.clone(),
            cancel: self.cancel.clone(),
            outcomes: self.outcomes.clone(),
            jobs: self.jobs,
            journal: None,
            parameters: self.parameters.clone(),
            directories: self.directories,
            results: self.results,
            confirmed: self.confirmed,
            rehearsal: self.rehearsal,
            foreseen: self.foreseen.clone(),
            onward: None,
        }
    }

    /// Takes one document after the other, until there are no more.
    async fn work<D>(&mut self, shared: &Shared<'_, D>)
    where
        D: Stream<Item = Document> + Send,
    {
        while let Some(numbered) = shared.feed.next().await {
            let Numbered {
                number,
                mut document,
            } = numbered;
            if shared.stopped.load(Ordering::Relaxed) {
                let left = Outcome::skipped(document.properties, SkipReason::Stopped);
                self.emit(left).await;
                continue;
            }
            let operation = match self.prepared(shared, &mut document.properties).await {
                Ok(operation) => operation,
                Err(error) => {
                    let failed = Outcome::failed(document.properties, error);
                    self.ended(shared, failed).await;
                    continue;
                }
            };
            if self.jobs.get() > 1 && self.session.open().await.is_err() {
                // A worker without a session leaves its document to the others; the last one says
                // what is wrong.
                match shared.feed.leave(Numbered { number, document }) {
                    Ok(()) => return,
                    Err(numbered) => document = numbered.document,
                }
            }
            let outcome = match &operation {
                Operation::Send(send) => Some(self.send(send, document, number).await),
                Operation::Delete(delete) => Some(self.delete(delete, document).await),
                _ => self.call_for(&operation, document).await,
            };
            if let Some(outcome) = outcome {
                self.ended(shared, outcome).await;
            }
        }
        shared.feed.done();
    }

    /// The operation as this document has it, found to be possible, with its journal open.
    async fn prepared<D>(
        &mut self,
        shared: &Shared<'_, D>,
        properties: &mut Properties,
    ) -> Result<Operation> {
        let given = self.parameters.given(properties)?;
        self.settle_directories(properties);
        let operation = given.over(shared.operation, properties)?;
        self.checked(&operation, properties)?;
        self.share_journal(&operation, &shared.journal).await?;
        Ok(operation)
    }

    /// Opens the operation's journal, unless another worker has.
    pub(super) async fn share_journal(
        &mut self,
        operation: &Operation,
        opened: &tokio::sync::Mutex<Option<Journal>>,
    ) -> Result<()> {
        if self.journal.is_none() && operation.journal().is_some() {
            let mut opened = opened.lock().await;
            if opened.is_none() {
                self.open_journal(operation).await?;
                opened.clone_from(&self.journal);
            } else {
                self.journal.clone_from(&opened);
            }
        }
        Ok(())
    }

    async fn ended<D>(&self, shared: &Shared<'_, D>, outcome: Outcome) {
        if outcome.status == Status::Failed && shared.operation.stops_on_error() {
            shared.stopped.store(true, Ordering::Relaxed);
        }
        self.emit(outcome).await;
    }

    async fn send(
        &mut self,
        send: &crate::operation::Send,
        document: Document,
        number: u64,
    ) -> Outcome {
        match self.begun(send, document, number).await {
            Ok(begun) => self.sent(send, begun).await,
            Err(failed) => failed,
        }
    }

    /// A document that is to be sent, looked at on this machine; or what it fails with.
    pub(super) async fn begun(
        &self,
        send: &crate::operation::Send,
        document: Document,
        number: u64,
    ) -> Result<Begun, Outcome> {
        let Document {
            body,
            properties,
            delivery,
        } = document;
        let (body, kept) = match self.results {
            Results::Final => (body, None),
            Results::PassedOn => match Kept::of(body, self.rehearsal) {
                Ok((body, kept)) => (body, Some(kept)),
                Err(error) => return Err(Outcome::failed(properties, error)),
            },
        };
        let (body, rest) = body.held();
        let draft = send::Draft::of(self, send, body, properties, number).await?;
        Ok(Begun {
            draft,
            rest,
            kept,
            delivery,
        })
    }

    /// What becomes of it.
    pub(super) async fn sent(&mut self, send: &crate::operation::Send, begun: Begun) -> Outcome {
        let Begun {
            draft,
            rest,
            kept,
            delivery,
        } = begun;
        let mut outcome = send::run(self, send, draft).await;
        if outcome.delivered {
            // What was sent before is not read again, and whoever sends it waits to be rid of it.
            if let Err(error) = rest.read_to_its_end().await {
                outcome.delivered = false;
                outcome.status = Status::Failed;
                outcome.error = Some(error);
                return outcome;
            }
            match kept {
                None => delivery.into_iter().for_each(Delivery::confirm),
                Some(kept) => {
                    outcome.document = Some(Document {
                        body: kept.body(),
                        properties: outcome.properties.clone(),
                        delivery,
                    });
                }
            }
        }
        outcome
    }

    async fn delete(&mut self, delete: &Delete, document: Document) -> Outcome {
        let Document {
            body,
            properties,
            delivery,
        } = document;
        let body = match self.results {
            Results::Final => match body.read_to_its_end().await {
                Ok(()) => Body::Absent,
                Err(error) => return Outcome::failed(properties, error),
            },
            Results::PassedOn => body,
        };
        let mut outcome = delete::run(self, delete, properties).await;
        if outcome.status == Status::Ok {
            match self.results {
                Results::Final => delivery.into_iter().for_each(Delivery::confirm),
                Results::PassedOn => {
                    outcome.document = Some(Document {
                        body,
                        properties: outcome.properties.clone(),
                        delivery,
                    });
                }
            }
        }
        outcome
    }

    /// A call for one document, by an operation that would take all at once.
    async fn call_for(&mut self, operation: &Operation, document: Document) -> Option<Outcome> {
        let Document {
            body,
            properties,
            delivery,
        } = document;
        if let Err(error) = body.read_to_its_end().await {
            return Some(Outcome::failed(properties, error));
        }
        let deliveries = delivery.into_iter().collect();
        let called = self.call(operation, &properties, deliveries).await;
        let error = called.err()?;
        Some(Outcome::failed(properties, error))
    }

    /// One call; what comes out of it goes through `emit` or to the destination.
    async fn call(
        &mut self,
        operation: &Operation,
        properties: &Properties,
        deliveries: Vec<Delivery>,
    ) -> Result<()> {
        let whole = Whole::of(deliveries);
        if self.results == Results::PassedOn {
            self.onward = Some(whole.clone());
        }
        let done = match operation {
            Operation::Get(get) => get::run(self, get, properties).await,
            Operation::List(list) => list::run(self, list, properties).await,
            Operation::Listen(listen) => listen::run(self, listen, properties).await,
            Operation::Send(_) | Operation::Delete(_) => {
                unreachable!("these take documents one by one")
            }
        };
        self.onward = None;
        if done? == AllWell::Yes {
            whole.complete();
        }
        Ok(())
    }

    /// What the step before tracked is not what this one is told.
    pub(super) fn settle_directories(&self, properties: &mut Properties) {
        if self.directories == Directories::Describe {
            properties.remove("remote-directory");
            properties.remove("move-to-directory");
        }
    }

    /// What can be known to be wrong before anyone is asked.
    pub(super) fn checked(&self, operation: &Operation, properties: &Properties) -> Result<()> {
        self.session.connection().validate()?;
        operation.validate(properties)?;
        if self.rehearsal == Rehearsal::Yes && matches!(operation, Operation::Listen(_)) {
            return Err(Error::configuration(
                "listen goes on for ever, and what comes cannot be foreseen",
            )
            .with_hint("plan the get that it would do with what is there now"));
        }
        let lost = matches!(self.destination, Destination::None);
        if lost && matches!(operation, Operation::Get(_) | Operation::Listen(_)) {
            return Err(Error::configuration("what is fetched has no destination")
                .with_hint("say which directory or which receiver the files go to"));
        }
        Ok(())
    }

    /// Opens the journal that the operation names, once.
    pub(super) async fn open_journal(&mut self, operation: &Operation) -> Result<()> {
        let (Some(path), None) = (operation.journal(), &self.journal) else {
            return Ok(());
        };
        let path = path.to_owned();
        let unopened = |error| Error::new(Class::LocalIo, format!("opening the journal: {error}"));
        if self.rehearsal == Rehearsal::Yes {
            if self.foreseen.journal.is_some() {
                return Ok(());
            }
            let keep = operation.journal_keep();
            let looking = tokio::task::spawn_blocking(move || Glance::open(&path, keep)).await;
            self.foreseen.journal = looking.map_err(unopened)??;
            return Ok(());
        }
        let opened = tokio::task::spawn_blocking(move || Journal::open(&path)).await;
        let journal = opened.map_err(unopened)??;
        if let Some(keep) = operation.journal_keep() {
            journal.prune(keep).await?;
        }
        self.journal = Some(journal);
        Ok(())
    }

    pub(super) async fn emit(&self, mut outcome: Outcome) {
        if let (Some(document), Some(whole)) = (&mut outcome.document, &self.onward) {
            document.delivery = Some(whole.part());
        }
        // Whoever dropped the stream dropped this future with it.
        let _ = self.outcomes.send(outcome).await;
    }
}
