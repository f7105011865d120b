//! `get`, `send`, `list` and `delete`: one operation over its documents.
//!
//! Not the transferring: outcomes are taken as the connector yields them, and told.

use futures_util::{FutureExt, StreamExt, stream};
use sansftp_connector::document::Document;
use sansftp_connector::operation::Operation;
use sansftp_connector::outcome::Outcome;
use sansftp_connector::remote::Connect;
use sansftp_connector::{Connector, Destination};

use super::{Ended, prepare};
use crate::output::{Output, Rows};
use crate::plan::Step;
use crate::signals::Signals;

/// Whether outcomes are still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    More,
    NoMore,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum News<'a> {
    Outcome(&'a Outcome),
    /// Nothing for now: the next is waited for, or there is none.
    NoneYet,
}

/// Runs a step and tells of it.
pub(super) async fn run(
    step: Step,
    rows: Rows,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let connect = prepare(&step.connection, signals).await?;
    let mut connector = Connector::new(connect, step.connection)
        .with_jobs(step.jobs)
        .with_observer(output.observer(rows));
    if let Some(into) = step.into {
        connector = connector.with_destination(Destination::Directory(into));
    }
    drive(
        &connector,
        step.operation,
        step.documents,
        signals,
        |news| {
            match news {
                News::Outcome(outcome) => output.outcome_of_many(rows, outcome),
                News::NoneYet => output.settle(),
            }
            // Files are transferred whether or not anyone reads about it.
            if rows == Rows::List && output.is_unread() {
                return Wanted::NoMore;
            }
            Wanted::More
        },
    )
    .await
}

/// Takes outcomes to their end. The first signal stops the connector, which cleans up behind
/// itself; the second does not wait for that.
pub(super) async fn drive<C: Connect>(
    connector: &Connector<C>,
    operation: Operation,
    documents: Vec<Document>,
    signals: &mut Signals,
    mut tell: impl FnMut(News<'_>) -> Wanted,
) -> Result<(), Ended> {
    let cancel = connector.canceller();
    let mut outcomes = connector.run(operation, stream::iter(documents));
    let mut asked = None;
    loop {
        // Those that are there already; the runtime ends this after so many, and signals have their turn.
        if let Some(Some(outcome)) = outcomes.next().now_or_never() {
            if tell(News::Outcome(&outcome)) == Wanted::NoMore {
                break;
            }
            continue;
        }
        if tell(News::NoneYet) == Wanted::NoMore {
            break;
        }
        tokio::select! {
            outcome = outcomes.next() => match outcome {
                None => break,
                Some(outcome) if tell(News::Outcome(&outcome)) == Wanted::NoMore => break,
                Some(_) => {}
            },
            code = signals.next() => {
                if asked.replace(code).is_some() {
                    break;
                }
                cancel.cancel();
            }
        }
    }
    tell(News::NoneYet);
    asked.map_or(Ok(()), |code| Err(Ended::Signal(code)))
}
