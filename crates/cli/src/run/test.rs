//! `test`: one session, what it agreed on, and one listing.
//!
//! Nothing is fetched, sent or changed.

use sansftp_connector::Connector;
use sansftp_connector::outcome::Status;

use super::transfer::{News, Wanted, drive};
use super::{Ended, prepare};
use crate::output::{Output, Report, Rows};
use crate::plan::Step;
use crate::signals::Signals;

/// Runs the listing and tells of the session.
pub(super) async fn run(
    step: Step,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let connect = prepare(&step.connection, signals).await?;
    let noted = connect.noted();
    let brought = step.documents.first();
    let directory = brought
        .and_then(|document| document.properties.get("remote-directory").cloned())
        .or_else(|| Some(step.connection.remote_directory.clone()?.into()))
        .unwrap_or_default();
    let connector = Connector::new(connect, step.connection);
    let (mut entries, mut failed) = (0, false);
    let driven = drive(
        &connector,
        step.operation,
        step.documents,
        signals,
        |news| {
            let News::Outcome(outcome) = news else {
                return Wanted::More;
            };
            match outcome.status {
                Status::Failed => {
                    failed = true;
                    output.outcome(Rows::None, outcome);
                }
                Status::Ok => entries += 1,
                Status::Skipped(_) => {}
            }
            Wanted::More
        },
    )
    .await;
    if let Some(details) = &noted.take() {
        output.report(&Report {
            details,
            entries: (!failed).then_some(entries),
            directory: &directory,
        });
    }
    driven
}
