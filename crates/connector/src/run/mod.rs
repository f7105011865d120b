//! Running an operation over documents: open, one call per document, close.
//!
//! ```text
//!   documents ─▶ Connector::run ─▶ outcomes        (a stream each)
//!                  │ Session: one, lost and reopened, closed
//!                  ├─ get   selection ─▶ fetch ─▶ deliver ─▶ delete or move
//!                  ├─ send  source ─▶ upload ─▶ claim or move
//!                  └─ list  selection ─▶ documents
//! ```
//! Not the options: those are plain data in [`operation`](crate::operation).

mod append;
mod claim;
pub(crate) mod compare;
mod diagnose;
mod flow;
mod get;
mod leftovers;
mod list;
mod moving;
mod places;
mod selection;
mod send;
mod session;
mod source;
mod stop;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use self::session::Session;
pub use self::stop::Cancel;
use self::stop::Stop;
use crate::connection::Connection;
use crate::document::{Document, Properties};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::outcome::{Outcome, SkipReason, Status};
use crate::progress::Observer;
use crate::remote::Connect;

/// Runs operations with one account on one server.
pub struct Connector<C> {
    connect: Arc<C>,
    connection: Arc<Connection>,
    destination: Destination,
    observer: Observer,
    cancel: Cancel,
}

/// Where the files of Get go.
#[derive(Clone, Debug, Default)]
pub enum Destination {
    /// Nowhere: Get is refused.
    #[default]
    None,
    /// Into a local directory, which must be there.
    Directory(PathBuf),
    /// To whoever receives the documents: each has a body that is still on its way, and a
    /// [`Delivery`](crate::document::Delivery) to confirm. The receiver must go on receiving while
    /// it reads outcomes.
    Documents(mpsc::Sender<Document>),
}

impl<C: Connect> Connector<C> {
    /// A connector that makes its sessions with `connect`.
    pub fn new(connect: C, connection: Connection) -> Self {
        Self {
            connect: Arc::new(connect),
            connection: Arc::new(connection),
            destination: Destination::None,
            observer: Observer::default(),
            cancel: Cancel::default(),
        }
    }

    /// The same, delivering what it gets there.
    #[must_use]
    pub fn with_destination(mut self, destination: Destination) -> Self {
        self.destination = destination;
        self
    }

    /// The same, telling this one how far it is.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Stops what this connector runs: the file in hand is given up and cleaned up behind, and the
    /// session is closed.
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Runs an operation over documents. No documents, no connection. Nothing happens until the
    /// outcomes are read; dropping them drops the session.
    ///
    /// Get and List run once for all documents, and their results carry the documents' merged
    /// properties; Send runs once per document.
    pub fn run<D>(&self, operation: Operation, documents: D) -> Outcomes
    where
        D: Stream<Item = Document> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        let stop = Stop::new(&self.cancel, &self.connection);
        let session = Session::new(
            Arc::clone(&self.connect),
            Arc::clone(&self.connection),
            stop,
        );
        let step = Step {
            session,
            destination: self.destination.clone(),
            observer: self.observer.clone(),
            outcomes: sender,
        };
        Outcomes {
            work: Some(Box::pin(step.run(operation, documents))),
            receiver,
        }
    }
}

impl<C> fmt::Debug for Connector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("connection", &self.connection)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// What became of each document or file, in order, as it becomes known.
pub struct Outcomes {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    receiver: mpsc::Receiver<Outcome>,
}

impl Stream for Outcomes {
    type Item = Outcome;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(Some(outcome)) = this.receiver.poll_recv(context) {
                return Poll::Ready(Some(outcome));
            }
            let Some(work) = &mut this.work else {
                return Poll::Ready(None);
            };
            if work.as_mut().poll(context).is_pending() {
                // It may have left an outcome just now, and the receiver wakes us for it.
                return this.receiver.poll_recv(context);
            }
            this.work = None;
        }
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").finish_non_exhaustive()
    }
}

/// One operation on its way.
struct Step<C: Connect> {
    session: Session<C>,
    destination: Destination,
    observer: Observer,
    outcomes: mpsc::Sender<Outcome>,
}

impl<C: Connect> Step<C> {
    async fn run<D>(mut self, operation: Operation, documents: D)
    where
        D: Stream<Item = Document> + Send + 'static,
    {
        let documents = Box::pin(documents);
        match &operation {
            Operation::Get(_) | Operation::List(_) => self.run_once(&operation, documents).await,
            Operation::Send(send) => self.run_send(send, documents).await,
        }
        self.session.close().await;
    }

    /// Get and List: once, for all documents together.
    async fn run_once<D>(&mut self, operation: &Operation, mut documents: Pin<Box<D>>)
    where
        D: Stream<Item = Document> + Send,
    {
        let mut properties = Properties::default();
        let (mut any, mut deliveries) = (false, Vec::new());
        while let Some(document) = documents.next().await {
            any = true;
            properties.merge(&document.properties);
            deliveries.extend(document.delivery);
        }
        if !any {
            return;
        }
        let done = match self.checked(operation, &properties) {
            Err(error) => Err(error),
            Ok(()) => match operation {
                Operation::Get(get) => get::run(self, get, &properties).await,
                Operation::List(list) => list::run(self, list, &properties).await,
                Operation::Send(_) => unreachable!("documents are sent one by one"),
            },
        };
        match done {
            Ok(AllWell::Yes) => deliveries
                .into_iter()
                .for_each(|delivery| delivery.confirm()),
            Ok(AllWell::No) => {}
            Err(error) => self.emit(Outcome::failed(properties, error)).await,
        }
    }

    async fn run_send<D>(&mut self, send: &crate::operation::Send, mut documents: Pin<Box<D>>)
    where
        D: Stream<Item = Document> + Send,
    {
        let mut seq = 0;
        let mut stopped = false;
        while let Some(document) = documents.next().await {
            seq += 1;
            if stopped {
                self.emit(Outcome::skipped(document.properties, SkipReason::Stopped))
                    .await;
                continue;
            }
            let operation = Operation::Send(send.clone());
            let outcome = match self.checked(&operation, &document.properties) {
                Ok(()) => send::run(self, send, document, seq).await,
                Err(error) => Outcome::failed(document.properties, error),
            };
            stopped = send.stop_on_error && outcome.status == Status::Failed;
            self.emit(outcome).await;
        }
    }

    /// What can be known to be wrong before anyone is asked.
    fn checked(&self, operation: &Operation, properties: &Properties) -> Result<()> {
        self.session.connection().validate()?;
        operation.validate(properties)?;
        let lost = matches!(self.destination, Destination::None);
        if lost && matches!(operation, Operation::Get(_)) {
            return Err(Error::configuration("Get has no destination")
                .with_hint("say which directory or which receiver the files go to"));
        }
        Ok(())
    }

    async fn emit(&self, outcome: Outcome) {
        // Whoever dropped the stream dropped this future with it.
        let _ = self.outcomes.send(outcome).await;
    }
}

/// Whether everything in a step went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AllWell {
    Yes,
    No,
}
