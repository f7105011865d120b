//! Listening: what a program is told while a directory is watched, and how it says stop.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use sansftp_connector::connection::Connection;
//! use sansftp_connector::document::Properties;
//! use sansftp_connector::listen::ListenEvent;
//! use sansftp_connector::operation::{GetAction, Listen};
//! use sansftp_connector::sftp::SftpConnect;
//! use sansftp_connector::{Connector, Destination, Result};
//!
//! # async fn watch() -> Result<()> {
//! let connection = Connection {
//!     host: "sftp.partner.example".to_owned(),
//!     ..Connection::default()
//! };
//! let mut listen = Listen::default();
//! listen.get.action = GetAction::GetAndDelete;
//! listen.get.remote_directory = Some("outbox".to_owned());
//! listen.get.journal = Some("inbox.journal".into());
//! let connect = SftpConnect::prepare(&connection, None)?;
//! let connector = Connector::new(connect, connection)
//!     .with_destination(Destination::Directory("inbox".into()));
//! let mut events = connector.listen(listen, Properties::default());
//! while let Some(event) = events.next().await {
//!     match event {
//!         ListenEvent::Outcome(outcome) => println!("{:?}", outcome.properties.text("local-file")),
//!         ListenEvent::Away(away) => println!("{}; next try in {:?}", away.error, away.next),
//!         ListenEvent::Stopped(Some(error)) => return Err(error),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Each event is recorded in the journal once the program has come back for the next one: one that
//! was told and not recorded, because the process died in between, is told again. Files are taken
//! as the journal of Get promises it.
//!
//! Not the listing and not the fetching: those are in `run`.

pub(crate) mod known;
mod tell;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{mpsc, watch};

use crate::document::Properties;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::run::Cancel;

/// What a listener tells, in order. As JSON each is one flat object that begins with `event`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenEvent {
    /// It begins. Nothing has been asked of the server yet.
    Listening(Begun),
    /// A listing was compared with what was known.
    Polled(Polled),
    /// A file is there that was not: tracked properties as of Get, `relative-path` below the
    /// directory.
    Added(Properties),
    /// A file has another size or time; `previous-size` and `previous-modified` say which it had.
    Modified(Properties),
    /// A file is not there any more, and it was not this listener that took it away.
    Deleted(Properties),
    /// What became of a file that was taken, or why one that was listed is not. The latter is told
    /// once per file and reason.
    Outcome(Outcome),
    /// The directory cannot be listed.
    Away(Away),
    /// It can be listed again.
    Back(Back),
    /// The last event: it was asked to end, or why it has to.
    Stopped(Option<Error>),
}

/// With what a listener begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Host, port and directory, as they are named.
    pub properties: Properties,
    /// Where it keeps what it knows.
    pub journal: PathBuf,
    /// From the end of one listing to the beginning of the next.
    pub interval: Duration,
    /// How long a file must keep its size and time.
    pub stable_for: Duration,
}

/// What a listing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Entries listed, without `.` and `..`.
    pub listed: u64,
    /// Files told as added.
    pub added: u64,
    /// Files told as modified.
    pub modified: u64,
    /// Files told as deleted.
    pub deleted: u64,
    /// Files that may be told at a later poll: still changing, too young, not done.
    pub waiting: u64,
    /// Files that are taken now.
    pub taken: u64,
    /// Files known in all.
    pub known: u64,
    /// How long the listing took.
    pub took: Duration,
}

/// Why a directory cannot be listed.
#[derive(Clone, Debug)]
pub struct Away {
    /// What went wrong.
    pub error: Error,
    /// The how manieth time in a row.
    pub attempt: u32,
    /// How long it waits before it tries again.
    pub next: Duration,
}

/// A directory can be listed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back {
    /// How long it could not.
    pub away: Duration,
    /// How often that was tried in vain.
    pub attempts: u32,
}

/// Asks a listener to end. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Stopper {
    finish: watch::Sender<bool>,
    cancel: Cancel,
}

impl Stopper {
    pub(crate) fn new(cancel: Cancel) -> Self {
        Self {
            finish: watch::Sender::new(false),
            cancel,
        }
    }

    /// The file in hand is finished, within `stop-time`, and no other is begun.
    pub fn finish(&self) {
        self.finish.send_replace(true);
    }

    /// The file in hand is given back at once.
    pub fn cancel(&self) {
        self.finish();
        self.cancel.cancel();
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.finish.borrow()
    }

    /// Waits until it is asked to end, for ever if need be.
    pub(crate) async fn asked(&self) {
        let mut asked = self.finish.subscribe();
        // It cannot fail: the sender is here.
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

/// What a listener tells, as it becomes known. Nothing happens until it is read; dropping it drops
/// the session and gives the file in hand back.
pub struct Listening {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    receiver: mpsc::Receiver<ListenEvent>,
    stopper: Stopper,
}

impl Listening {
    pub(crate) fn new(
        work: Pin<Box<dyn Future<Output = ()> + Send>>,
        receiver: mpsc::Receiver<ListenEvent>,
        stopper: Stopper,
    ) -> Self {
        Self {
            work: Some(work),
            receiver,
            stopper,
        }
    }

    /// Asks this listener to end; go on reading until [`ListenEvent::Stopped`].
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }
}

impl Stream for Listening {
    type Item = ListenEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ListenEvent>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(Some(event)) = this.receiver.poll_recv(context) {
                return Poll::Ready(Some(event));
            }
            let Some(work) = &mut this.work else {
                return Poll::Ready(None);
            };
            if work.as_mut().poll(context).is_pending() {
                // It may have left an event just now, and the receiver wakes us for it.
                return this.receiver.poll_recv(context);
            }
            this.work = None;
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}
