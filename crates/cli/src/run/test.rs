//! `test`: one session, what it agreed on, and one listing.
//!
//! Nothing is fetched, sent or changed.

use std::sync::{Arc, Mutex};

use sansftp_connector::outcome::Status;
use sansftp_connector::remote::Connect;
use sansftp_connector::sftp::{Details, SftpConnect, SftpRemote};
use sansftp_connector::{Connector, Result};

use super::transfer::{Wanted, drive};
use super::{Ended, prepare};
use crate::output::{Output, Report, Rows};
use crate::plan::Step;
use crate::signals::Signals;

/// Connects as the other does, and notes what was agreed on.
struct Noting {
    connect: SftpConnect,
    details: Arc<Mutex<Option<Details>>>,
}

impl Connect for Noting {
    type Remote = SftpRemote;

    async fn connect(&self) -> Result<SftpRemote> {
        let remote = self.connect.connect().await?;
        let details = remote.details();
        *self
            .details
            .lock()
            .expect("nobody panics while noting details") = Some(details);
        Ok(remote)
    }
}

/// Runs the listing and tells of the session.
pub(super) async fn run(
    step: Step,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let details = Arc::default();
    let connect = Noting {
        connect: prepare(&step.connection, signals).await?,
        details: Arc::clone(&details),
    };
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
        |outcome| {
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
    let details = details
        .lock()
        .expect("nobody panics while noting details")
        .take();
    if let Some(details) = &details {
        output.report(&Report {
            details,
            entries: (!failed).then_some(entries),
            directory: &directory,
        });
    }
    driven
}
