//! `run` and `plan`: the steps of a process, carried out or only foreseen.
//!
//! Not the pipeline: outcomes and requests are taken as the connector yields them, and told.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use sansftp_connector::document::Document;
use sansftp_connector::plan::Plan;
use sansftp_connector::process::{Pipeline, Stage, StepOutcome};
use sansftp_connector::remote::Connect;
use sansftp_connector::sftp::Sessions;
use sansftp_connector::{Connector, Destination};

use super::session::Noting;
use super::{Ended, prepare_with};
use crate::output::{Output, Rows};
use crate::plan::{Process, StepOf, Told};
use crate::signals::Signals;

/// Runs a process and tells of it.
pub(super) async fn run(
    process: Process,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let rows = rows(&process.steps);
    let observed = rows.iter().position(|rows| rows.transfers());
    let mut stages = Vec::new();
    for (index, stage) in stages_of(process.steps, signals)
        .await?
        .into_iter()
        .enumerate()
    {
        // Of one file that goes through several steps, one tells how far it is.
        let observer = match observed == Some(index) {
            true => output.observer(rows[index]),
            false => Default::default(),
        };
        stages.push(Stage {
            connector: stage.connector.with_observer(observer),
            operation: stage.operation,
        });
    }
    let pipeline = Pipeline::new(stages)?;
    drive(pipeline, process.documents, signals, |told| {
        output.outcome_of_step(told.step, &rows, &told.outcome);
    })
    .await
}

/// Shows what a process would ask of its servers.
pub(super) async fn plan(
    process: Process,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let (plan, mut requests) = Plan::new();
    let stages = stages_of(process.steps, signals).await?;
    let planned = stages.into_iter().map(|stage| Stage {
        connector: stage.connector.planned(&plan),
        operation: stage.operation,
    });
    let pipeline = Pipeline::new(planned.collect())?;
    drop(plan);
    let numbered = process.told == Told::Numbered;
    let ended = drive(pipeline, process.documents, signals, |told| {
        while let Ok(request) = requests.try_recv() {
            output.request(&request);
        }
        output.planned(numbered.then_some(told.step), &told.outcome);
    })
    .await;
    while let Ok(request) = requests.try_recv() {
        output.request(&request);
    }
    ended
}

/// What the outcomes of each step are about.
fn rows(steps: &[StepOf]) -> Vec<Rows> {
    let rows = steps.iter().map(|step| Rows::of_operation(&step.operation));
    rows.collect()
}

/// Each step with its connector; keys and secrets of a connection are read once.
async fn stages_of(
    steps: Vec<StepOf>,
    signals: &mut Signals,
) -> Result<Vec<Stage<Arc<Noting>>>, Ended> {
    let sessions = Sessions::new();
    let mut prepared: HashMap<String, Arc<Noting>> = HashMap::new();
    let mut stages = Vec::with_capacity(steps.len());
    for step in steps {
        let connect = match prepared.get(&step.name) {
            Some(connect) => Arc::clone(connect),
            None => {
                let connect = prepare_with(&step.connection, &sessions, signals).await?;
                let connect = Arc::new(connect);
                prepared.insert(step.name, Arc::clone(&connect));
                connect
            }
        };
        let mut connector = Connector::new(connect, step.connection)
            .with_jobs(step.jobs)
            .with_parameters(step.parameters);
        if let Some(into) = step.into {
            connector = connector.with_destination(Destination::Directory(into));
        }
        stages.push(Stage {
            connector,
            operation: step.operation,
        });
    }
    Ok(stages)
}

/// Takes outcomes to their end. The first signal stops all steps, which clean up behind themselves;
/// the second does not wait for that.
async fn drive<C: Connect>(
    pipeline: Pipeline<C>,
    documents: Vec<Document>,
    signals: &mut Signals,
    mut tell: impl FnMut(&StepOutcome),
) -> Result<(), Ended> {
    let cancel = pipeline.canceller();
    let mut outcomes = pipeline.run(stream::iter(documents));
    let mut asked = None;
    loop {
        tokio::select! {
            outcome = outcomes.next() => match outcome {
                None => break,
                Some(outcome) => tell(&outcome),
            },
            code = signals.next() => {
                if asked.replace(code).is_some() {
                    break;
                }
                cancel.cancel();
            }
        }
    }
    asked.map_or(Ok(()), |code| Err(Ended::Signal(code)))
}
