//! A server that answers as a transcript says: sessions are made again without the server.
//!
//! Not a model of a server. What was not asked when the transcript was written has no answer, and is an
//! error that names the call. Contents of files are in no transcript: what is read is made from a number
//! ([`Replay::with_seed`]), unless it [is given](Replay::with_content) or was written before.
//!
//! ```no_run
//! use futures_util::{StreamExt, stream};
//! use sansftp_connector::transcript::replay::Replay;
//! use sansftp_connector::{Connector, connection::Connection, document::Document, operation::Send};
//!
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let replay = Replay::from_file("tests/partner.jsonl".as_ref())?;
//! let connector = Connector::new(replay.clone(), Connection::default());
//! let send = Send { remote_directory: Some("in".to_owned()), ..Send::default() };
//! let document = Document::bytes("order").with("filename", "order.xml");
//! let outcomes: Vec<_> = connector.run(send.into(), stream::iter([document])).collect().await;
//! assert!(outcomes[0].error.is_none(), "{:?}", outcomes[0].error);
//! replay.check()?;
//! # Ok(())
//! # }
//! ```

mod calls;
mod line;
mod names;
mod remote;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::future::pending;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::calls::{Calls, Connected};
pub use self::remote::{ReplayedListing, ReplayedReader, ReplayedRemote, ReplayedWriter};
use crate::error::{Class, Error};
use crate::path::RemotePath;
use crate::remote::Connect;

/// The number that contents are made from unless another is given.
const SEED: u64 = 1;

/// A server that answers as a transcript says. Clones answer from the same transcript, and an answer is
/// given once.
///
/// The nth session that is made is the nth of the transcript. A call is answered as the next one that was
/// recorded of the same operation, paths, mode and offset in its session, or in another one that is made:
/// calls of several files may come in another order than they did. Where a path has UUIDs that were never
/// recorded, as new temporary names have, they are taken for those of the recorded call.
#[derive(Clone)]
pub struct Replay {
    shared: Arc<Mutex<Calls>>,
    account: Option<Arc<str>>,
}

impl Replay {
    /// A server that answers as this transcript says.
    ///
    /// # Errors
    /// The first line that cannot be used, with its number.
    pub fn from_lines(mut lines: impl BufRead) -> Result<Self, Unreadable> {
        let mut calls = Calls::new(SEED);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let unreadable = |why: Why| Unreadable { line: number, why };
            let read = lines.read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(Why::Io(Arc::new(error))))? == 0 {
                break;
            }
            if !line.trim_ascii().is_empty() {
                let added = calls.add(number, &line);
                added.map_err(|why| unreadable(Why::Malformed(why)))?;
            }
        }
        Ok(Self {
            shared: Arc::new(Mutex::new(calls)),
            account: None,
        })
    }

    /// [`from_lines`](Self::from_lines) of a file. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read, which is said of line 0, or as there.
    pub fn from_file(path: &Path) -> Result<Self, Unreadable> {
        let opened = File::open(path).map_err(|error| Unreadable {
            line: 0,
            why: Why::Io(Arc::new(error)),
        })?;
        Self::from_lines(BufReader::new(opened))
    }

    /// The same, of whose sessions those with this account alone are made, `user@host:port` as the
    /// transcript has it: a transcript of a process has the sessions of all its steps.
    #[must_use]
    pub fn of_account(&self, account: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            account: Some(account.into()),
        }
    }

    /// The same, with the contents of files made from this number. The same number, path and offset is
    /// the same byte.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.lock().contents.seed = seed;
        self
    }

    /// The same, with this in the file of this name. How much of it is read when is as the transcript
    /// says; what is read behind its end is made from the seed.
    #[must_use]
    pub fn with_content(self, path: impl Into<RemotePath>, content: impl Into<Bytes>) -> Self {
        let content: Bytes = content.into();
        self.lock().contents.put(path.into(), content.into());
        self
    }

    /// The recorded calls that were never made, a line each. Those whose answer nobody had waited for,
    /// such as the closing of a file that was dropped, do not count.
    pub fn unused(&self) -> Vec<String> {
        self.lock().unused()
    }

    /// The calls that had no answer because they were not recorded, in their order.
    pub fn not_recorded(&self) -> Vec<NotRecorded> {
        self.lock().refused.clone()
    }

    /// Whether what was asked is what was recorded: nothing less, nothing else.
    ///
    /// # Errors
    /// What was asked and not recorded, and what was recorded and not asked.
    pub fn check(&self) -> Result<(), Different> {
        let calls = self.lock();
        let (not_recorded, unused) = (calls.refused.clone(), calls.unused());
        if not_recorded.is_empty() && unused.is_empty() {
            return Ok(());
        }
        Err(Different {
            not_recorded,
            unused,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        lock(&self.shared)
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connect for Replay {
    type Remote = ReplayedRemote;

    async fn connect(&self) -> Result<ReplayedRemote, Error> {
        // Others get their turn between any two calls, as over a network.
        tokio::task::yield_now().await;
        let begun = self.lock().begin(self.account.as_deref());
        let (session, connect) = begun.map_err(|none| {
            Error::new(Class::Failure, format!("the replay ends here: {none}")).with_source(none)
        })?;
        match connect {
            Connected::Session(capabilities) => Ok(ReplayedRemote::new(
                Arc::clone(&self.shared),
                session,
                capabilities,
            )),
            Connected::Failed(error) => Err(error),
            Connected::NotWaitedFor => pending().await,
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Why a transcript cannot be replayed.
#[derive(Clone, Debug)]
pub struct Unreadable {
    line: usize,
    why: Why,
}

#[derive(Clone, Debug)]
enum Why {
    Io(Arc<io::Error>),
    Malformed(String),
}

impl Unreadable {
    /// The number of the line, from 1; 0 where the file was not even opened.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &self.why {
            Why::Io(error) if line == 0 => write!(f, "the transcript: {error}"),
            Why::Io(error) => write!(f, "the transcript, line {line}: {error}"),
            Why::Malformed(why) => write!(f, "the transcript, line {line}: {why}"),
        }
    }
}

impl StdError for Unreadable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error.as_ref()),
            Why::Malformed(_) => None,
        }
    }
}

/// A call that the transcript has no answer to. It is the source of the error that the caller got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRecorded {
    /// What was asked.
    pub call: String,
    /// What would have been next, with its line: of this path where there is something, of the session
    /// otherwise.
    pub next: Option<String>,
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transcript has no {}", self.call)?;
        match &self.next {
            Some(next) => write!(f, "; next would have been {next}"),
            None => f.write_str("; nothing is left of it"),
        }
    }
}

impl StdError for NotRecorded {}

/// How a run differs from its transcript.
#[derive(Clone, Debug)]
pub struct Different {
    /// What was asked and not recorded.
    pub not_recorded: Vec<NotRecorded>,
    /// What was recorded and not asked, as [`Replay::unused`] has it.
    pub unused: Vec<String>,
}

impl fmt::Display for Different {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run is not the one that was recorded")?;
        for call in &self.not_recorded {
            write!(f, "\n  {call}")?;
        }
        for line in &self.unused {
            write!(f, "\n  never asked: {line}")?;
        }
        Ok(())
    }
}

impl StdError for Different {}
