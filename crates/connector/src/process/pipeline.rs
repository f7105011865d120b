//! The pipeline of a process: which step gets what, and who is told.
//!
//! Not plain data: its steps have connectors.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::sync::mpsc;

use crate::document::Document;
use crate::error::{Error, Result};
use crate::operation::{After, Get, GetAction, Operation};
use crate::outcome::Outcome;
use crate::remote::Connect;
use crate::run::{Cancel, Confirmed, Connector, Destination, Directories, Results};

/// So many documents wait between two steps at most. Each may have an open file behind it.
const QUEUE: usize = 1;

/// One step of a pipeline.
#[derive(Debug)]
pub struct Stage<C> {
    /// Where, with how many jobs, and with which parameters.
    pub connector: Connector<C>,
    /// What is done there.
    pub operation: Operation,
}

/// Steps that are ready to run.
#[derive(Debug)]
pub struct Pipeline<C> {
    stages: Vec<Stage<C>>,
    cancel: Cancel,
}

/// What became of a document or file in one step.
#[derive(Debug)]
pub struct StepOutcome {
    /// The number of the step, from 1.
    pub step: usize,
    /// What became of it there.
    pub outcome: Outcome,
}

impl<C: Connect> Pipeline<C> {
    /// A pipeline of these steps. Only the last one's destination counts: those before it deliver to
    /// the step after them.
    ///
    /// # Errors
    /// `configuration`: there is no step; a parameter is wrong; or a step would wait for the end of
    /// documents that wait for it.
    pub fn new(stages: Vec<Stage<C>>) -> Result<Self> {
        if stages.is_empty() {
            return Err(Error::configuration("the process has no steps").with_hint(
                "give it at least one: { connection = \"NAME\", operation = \"NAME\" }",
            ));
        }
        for (number, stage) in (1..).zip(&stages) {
            let parameters = stage.connector.parameters();
            let checked = parameters.check(&stage.operation);
            checked.map_err(|error| error.in_step(number))?;
        }
        refuse_circles(&stages)?;
        let stages = fit_sessions(stages)?;
        let cancel = Cancel::default();
        let last = stages.len() - 1;
        let gathering = (0..).zip(&stages).filter(|(_, stage)| gathers(stage));
        let gathering = gathering.map(|(index, _)| index).max().unwrap_or(0);
        let stages = stages.into_iter().enumerate().map(|(index, stage)| {
            let directories = match index {
                0 => Directories::Steer,
                _ => Directories::Describe,
            };
            let results = match index == last {
                true => Results::Final,
                false => Results::PassedOn,
            };
            let confirmed = match index < gathering && gathers(&stage) {
                true => Confirmed::Together,
                false => Confirmed::OneByOne,
            };
            let connector = stage.connector.with_canceller(cancel.clone());
            Stage {
                connector: connector.in_process(directories, results, confirmed),
                operation: stage.operation,
            }
        });
        Ok(Self {
            stages: stages.collect(),
            cancel: cancel.clone(),
        })
    }

    /// Stops all steps: files in hand are given up and cleaned up behind, sessions are closed.
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Runs the steps over documents, as [`Connector::run`] runs one.
    pub fn run<D>(self, documents: D) -> Running
    where
        D: Stream<Item = Document> + Send + 'static,
    {
        let mut input: BoxStream<'static, Document> = documents.boxed();
        let mut steps = SelectAll::new();
        let last = self.stages.len();
        for (number, stage) in (1..).zip(self.stages) {
            let Stage {
                mut connector,
                operation,
            } = stage;
            let next = (number < last).then(|| mpsc::channel(QUEUE));
            let (sender, receiver) = next.unzip();
            if let Some(sender) = &sender {
                connector = connector.with_destination(Destination::Documents(sender.clone()));
            }
            // The next step comes to its end when no sender is left: what the destination's copy is
            // for goes nowhere else, and the step itself says when it needs it no more.
            let fetches = matches!(operation, Operation::Get(_) | Operation::Listen(_));
            let sender = sender.filter(|_| !fetches);
            let outcomes = connector.run(operation, input);
            drop(connector);
            steps.push(told(number, outcomes, sender).boxed());
            input = match receiver {
                Some(receiver) => received(receiver).boxed(),
                None => stream::empty().boxed(),
            };
        }
        Running(steps)
    }
}

/// What became of each document or file in each step, as it becomes known. Nothing happens unless it
/// is read; dropping it drops the sessions.
pub struct Running(SelectAll<BoxStream<'static, StepOutcome>>);

impl Stream for Running {
    type Item = StepOutcome;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StepOutcome>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// The outcomes of a step, whose documents are on their way to the next when they are told.
fn told(
    step: usize,
    outcomes: impl Stream<Item = Outcome> + Send + 'static,
    next: Option<mpsc::Sender<Document>>,
) -> impl Stream<Item = StepOutcome> + Send + 'static {
    stream::unfold(
        (Box::pin(outcomes), next),
        move |(mut outcomes, next)| async move {
            let mut outcome = outcomes.next().await?;
            if let Some(next) = &next
                && let Some(document) = outcome.document.take()
            {
                // A step that takes no more has said why.
                let _ = next.send(document).await;
            }
            Some((StepOutcome { step, outcome }, (outcomes, next)))
        },
    )
}

fn received(receiver: mpsc::Receiver<Document>) -> impl Stream<Item = Document> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async move {
        let document = receiver.recv().await?;
        Some((document, receiver))
    })
}

/// A step that takes all its documents at once waits for the last of them. A Get before it that is
/// called once waits for their deliveries together, when it has handed out all; one that is called
/// for each document would have to do so over its calls, and a Listen never comes to its last.
fn refuse_circles<C: Connect>(stages: &[Stage<C>]) -> Result<()> {
    let waits = |stage: &Stage<C>| match &stage.operation {
        Operation::Get(Get {
            action: GetAction::GetAndDelete | GetAction::GetAndMove,
            after: After::Eager,
            ..
        }) => false,
        Operation::Get(_) => !gathers(stage),
        Operation::Listen(_) => true,
        _ => false,
    };
    let mut before = None;
    for (number, stage) in (1..).zip(stages) {
        if gathers(stage)
            && let Some(before) = before
        {
            let message = format!(
                "step {number}, {} without parameters, takes all documents together, and step \
                 {before}, a get for each document or a listen, waits for each one's delivery",
                stage.operation.name()
            );
            return Err(Error::configuration(message)
                .with_hint("give the later step parameters, so that it runs for each document"));
        }
        if waits(stage) {
            before = Some(number);
        }
    }
    Ok(())
}

/// Whether a step takes all its documents together.
fn gathers<C: Connect>(stage: &Stage<C>) -> bool {
    stage.connector.parameters().is_empty() && stage.operation.takes_all_at_once()
}

/// Each step holds its sessions while it waits for the others: those with one account must have room
/// side by side.
fn fit_sessions<C: Connect>(mut stages: Vec<Stage<C>>) -> Result<Vec<Stage<C>>> {
    let mut jobs: Vec<usize> = stages.iter().map(|it| it.connector.jobs().get()).collect();
    for index in 0..stages.len() {
        let connection = stages[index].connector.connection();
        let (account, room) = (connection.account(), connection.max_sessions.get());
        let same: Vec<usize> = (0..stages.len())
            .filter(|&other| stages[other].connector.connection().account() == account)
            .collect();
        if same.len() > room {
            let message = format!(
                "{} steps work with {account} at the same time, and max-sessions is {room}",
                same.len()
            );
            return Err(Error::configuration(message)
                .with_hint(format!("raise max-sessions to {} or more", same.len())));
        }
        for &other in &same {
            jobs[other] = jobs[other].min(room);
        }
        while same.iter().map(|&other| jobs[other]).sum::<usize>() > room {
            let most = same.iter().max_by_key(|&&other| jobs[other]);
            let most = *most.expect("a step has the same account as itself");
            jobs[most] -= 1;
        }
    }
    for (stage, jobs) in stages.iter_mut().zip(jobs) {
        stage.connector.set_jobs(jobs);
    }
    Ok(stages)
}
