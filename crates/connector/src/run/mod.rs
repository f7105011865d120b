//! Running an operation over documents: open, one call per document, close.
//!
//! ```text
//!   documents ─▶ Connector::run ─▶ outcomes        (a stream each)
//!                  │ Session: one, lost and reopened, closed
//!                  ├─ get   selection ─▶ fetch ─▶ deliver ─▶ delete or move
//!                  ├─ send  source ─▶ upload ─▶ claim or move
//!                  ├─ list  selection ─▶ documents
//!                  └─ delete
//! ```
//! Not the options: those are plain data in [`operation`](crate::operation).

mod append;
mod claim;
pub(crate) mod compare;
mod delete;
mod diagnose;
mod facts;
mod feed;
mod flow;
mod get;
mod kept;
mod lanes;
mod leftovers;
mod list;
mod listen;
mod moving;
mod places;
mod selection;
mod send;
mod session;
mod side_by_side;
mod source;
mod step;
mod stop;
#[cfg(test)]
mod tests;
mod upload;
mod walk;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::future::join;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use self::session::Session;
use self::step::{AllWell, Foreseen, Step};
pub(crate) use self::step::{Confirmed, Directories, Rehearsal, Results};
pub use self::stop::Cancel;
use self::stop::Stop;
use crate::connection::Connection;
use crate::document::{Delivery, Document};
use crate::error::Error;
use crate::operation::Operation;
use crate::outcome::Outcome;
use crate::plan::{Plan, Planned};
use crate::process::Parameters;
use crate::progress::Observer;
use crate::remote::Connect;
use crate::transcript::{Transcribed, Transcript};

/// Runs operations with one account on one server.
pub struct Connector<C> {
    connect: Arc<C>,
    connection: Arc<Connection>,
    destination: Destination,
    observer: Observer,
    cancel: Cancel,
    jobs: NonZeroUsize,
    parameters: Parameters,
    directories: Directories,
    results: Results,
    confirmed: Confirmed,
    rehearsal: Rehearsal,
    /// Where the sessions are written down, instead of where the connection says.
    transcript: Option<Transcript>,
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
            jobs: NonZeroUsize::MIN,
            parameters: Parameters::default(),
            directories: Directories::default(),
            results: Results::default(),
            confirmed: Confirmed::default(),
            rehearsal: Rehearsal::default(),
            transcript: None,
        }
    }

    /// The same with so many sessions at most, and no more than `max-sessions`, each with a file of its
    /// own in hand; 1 unless told, which has many small files in hand of a Get into a local directory and
    /// of a Send. With more than 1, outcomes come in the order in which the files are done.
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = jobs;
        self
    }

    /// The same with keys of the operation that each document's properties give. Where there are
    /// any, every operation runs once per document.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
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

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
    }

    /// At least one.
    pub(crate) fn set_jobs(&mut self, jobs: usize) {
        self.jobs = NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN);
    }

    /// Which keys each document's properties give.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The same, stopped with everything else that this one stops.
    #[must_use]
    pub fn with_canceller(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same as one of several steps.
    pub(crate) fn in_process(
        mut self,
        directories: Directories,
        results: Results,
        confirmed: Confirmed,
    ) -> Self {
        self.directories = directories;
        self.results = results;
        self.confirmed = confirmed;
        self
    }

    /// Stops what this connector runs: the file in hand is given up and cleaned up behind, and the
    /// session is closed.
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// The same, writing down its sessions here instead of where the connection says.
    #[must_use]
    pub fn with_transcript(mut self, transcript: Transcript) -> Self {
        self.transcript = Some(transcript);
        self
    }

    /// The same, planned: [`run`](Self::run) then tells `plan` what it would ask of the server, and
    /// changes nothing, neither there nor here. Files that are got go nowhere, the directory that
    /// they would go to and the journal are looked at only, and nothing is written where the
    /// connection's `transcript` says.
    pub fn planned(self, plan: &Plan) -> Connector<Planned<C>> {
        let account = self.connection.account();
        Connector {
            connect: Arc::new(plan.around(self.connect, account)),
            connection: self.connection,
            destination: self.destination,
            observer: self.observer,
            cancel: self.cancel,
            jobs: self.jobs,
            parameters: self.parameters,
            directories: self.directories,
            results: self.results,
            confirmed: self.confirmed,
            rehearsal: Rehearsal::Yes,
            transcript: Some(plan.transcript()),
        }
    }

    /// What makes the sessions, written down if anyone wants that.
    fn transcribed(&self) -> Transcribed<C> {
        let connect = Arc::clone(&self.connect);
        let (given, path) = (self.transcript.clone(), self.connection.transcript.clone());
        let wanted = given.is_some() || path.is_some();
        let open = move || match (&given, &path) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(path)) => Transcript::to_file(path),
            (None, None) => Err(Error::configuration("no transcript is wanted")),
        };
        Transcribed::new(connect, &self.connection.account(), wanted.then_some(open))
    }

    /// Runs an operation over documents. No documents, no connection. Nothing happens until the
    /// outcomes are read; dropping them drops the session.
    ///
    /// Get and List run once for all documents, and their results carry the documents' merged
    /// properties; with [parameters](Self::with_parameters) they run once per document. Send always
    /// runs once per document.
    ///
    /// # Cancel safety
    /// The outcomes may be dropped at any await, and reading of one may be given up and begun again:
    /// nothing is lost that had not been yielded, for an outcome waits until somebody takes it. What
    /// dropping leaves behind:
    /// * No source is deleted or moved unless its document was delivered before, and no half-written
    ///   file has a final name, append and `in-place` apart.
    /// * A request that was on its way, such as a rename, may still be carried out by the server. With
    ///   a journal it was recorded before it was sent, and the next run looks at both names before it
    ///   does anything; without one, Get fetches what it finds, and what was delivered and not yet
    ///   moved is fetched again.
    /// * A temporary file may stay, with a name of the form `.NAME.UUID.part`, which is never taken for
    ///   data. With a journal the next run goes on with it.
    ///
    /// [`Cancel`] instead cleans up behind the file in hand, and is told as an outcome.
    pub fn run<D>(&self, operation: Operation, documents: D) -> Outcomes
    where
        D: Stream<Item = Document> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        let (destination, discarded) = match (&self.destination, self.rehearsal) {
            (Destination::Directory(_), Rehearsal::Yes) => {
                let (sender, receiver) = mpsc::channel(1);
                (Destination::Documents(sender), Some(receiver))
            }
            (destination, _) => (destination.clone(), None),
        };
        let discarded = async {
            if let Some(receiver) = discarded {
                discard(receiver).await;
            }
        };
        let mut step = self.step(destination, sender);
        if let (Destination::Directory(path), Rehearsal::Yes) = (&self.destination, self.rehearsal)
        {
            step.foreseen.directory = Some(path.clone());
        }
        Outcomes {
            work: Some(Box::pin(async move {
                join(step.run(operation, documents), discarded).await;
            })),
            receiver,
        }
    }

    fn step(
        &self,
        destination: Destination,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Step<Transcribed<C>> {
        let stop = Stop::new(&self.cancel, &self.connection);
        let session = Session::new(
            Arc::new(self.transcribed()),
            Arc::clone(&self.connection),
            stop,
        );
        Step {
            session,
            destination,
            observer: self.observer.clone(),
            cancel: self.cancel.clone(),
            outcomes,
            // Whoever waited for a session that nobody gives back would wait for ever.
            jobs: self.jobs.min(self.connection.max_sessions),
            journal: None,
            parameters: self.parameters.clone(),
            directories: self.directories,
            results: self.results,
            confirmed: self.confirmed,
            rehearsal: self.rehearsal,
            foreseen: Foreseen::default(),
            onward: None,
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

/// Takes documents, reads them, and lets nothing become of them.
async fn discard(receiver: mpsc::Receiver<Document>) {
    let documents = stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let take = |document: Document| async {
        if document.body.read_to_its_end().await.is_ok() {
            document.delivery.into_iter().for_each(Delivery::confirm);
        }
    };
    // As many as there are jobs.
    documents.for_each_concurrent(None, take).await;
}
