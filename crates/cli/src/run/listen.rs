//! `listen`: a directory is watched until a signal ends it, or what cannot be mended.
//!
//! Not the watching: events are taken as the connector yields them, and told.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use futures_util::StreamExt;
use sansftp_connector::listen::ListenEvent;
use sansftp_connector::{Connector, Destination, Error};

use super::{Ended, prepare};
use crate::output::{Output, Rows};
use crate::plan::{Kept, Watch};
use crate::signals::Signals;

/// Watches. The first signal lets the file in hand be finished, within its time; the second gives it
/// back at once; the third waits for nothing.
pub(super) async fn run(
    watch: Watch,
    rows: Rows,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    make_room(&watch)?;
    let connect = prepare(&watch.connection, signals).await?;
    let connector = Connector::new(connect, watch.connection)
        .with_jobs(watch.jobs)
        .with_observer(output.observer(rows))
        .with_destination(Destination::Directory(watch.into));
    let mut events = connector.listen(watch.listen, watch.properties);
    let stopper = events.stopper();
    let mut asked = Vec::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => break,
                Some(ListenEvent::Stopped(Some(error))) => {
                    output.stopped(Some(&error));
                    return Err(Ended::Failed(error));
                }
                Some(event) => output.listened(rows, event),
            },
            code = signals.next() => {
                asked.push(code);
                match asked.len() {
                    1 => stopper.finish(),
                    2 => stopper.cancel(),
                    _ => break,
                }
            }
        }
    }
    match asked.first() {
        Some(code) => Err(Ended::Signal(*code)),
        None => Ok(()),
    }
}

/// The directory of a journal that nobody named.
fn make_room(watch: &Watch) -> Result<(), Error> {
    let journal = watch.listen.get.journal.as_ref();
    let Some(directory) = journal.and_then(|journal| journal.parent()) else {
        return Ok(());
    };
    if watch.kept == Kept::Named {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Error::local_io(format_args!("making {}", directory.display()), error))
}
