//! The journal: what has become of each file, kept in an SQLite database so that a process that is
//! killed at any instruction and started again loses no file and delivers none twice.
//!
//! ```text
//!   Get    claimed ─▶ fetched ─▶ delivered [─▶ moving] ─▶ done
//!   Send   claimed ─▶ begun ─▶ written ─▶ publishing ─▶ published [─▶ moving] ─▶ done
//!                 └─▶ appending ─────────────────────────▲
//! ```
//! Each change of state is one transaction, on the disk when the call returns. What is about to be
//! done is recorded before it is begun where it could not be found out afterwards (a temporary name,
//! the name that a file is to get), and otherwise after it is done.
//!
//! A [`Journal`] is an owner. An entry belongs to at most one owner at a time, and an owner lives as
//! long as it holds a lock of the operating system, which ends with its process however that dies:
//! see `owner`. No clock decides it.
//!
//! Not the steps themselves: which file is fetched or sent is decided in `run`, and what is found
//! there after a restart is judged there. The schema is described in `docs/journal.md`.

mod database;
mod desk;
mod fetch;
mod glance;
mod held;
mod listing;
mod owner;
mod send;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

pub use rusqlite;

pub use self::desk::{EntryId, EntryKind, Query, Record, Retried};
pub use self::fetch::{Claimed, FetchState, Receipt, Received, Source, Taken, Unfinished};
pub(crate) use self::glance::{Glance, Memory};
pub(crate) use self::listing::{Listed, ListingId};
use self::owner::Owner;
pub use self::send::{Noted, SendClaimed, SendKey, SendState, Sending};
use crate::error::{Class, Error, Result};

/// An owner of entries in a journal: one per step, or one for a program. Clones are the same owner;
/// two of [`open`](Self::open)'s are different ones, also in one process.
///
/// A process that goes on after `fork` without `exec` shares its parent's lock, and the parent then
/// counts as living until both have ended.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    path: PathBuf,
    // Before the owner: the connection is closed while its lock is still held.
    connection: Mutex<Connection>,
    owner: Owner,
    /// Entries whose tokens were dropped, until that is written.
    returned: Mutex<Vec<Ticket>>,
}

/// Which table an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Fetches,
    Sends,
}

/// An entry as this owner holds it. `claims` counts how often it was taken: with another number it is
/// somebody else's by now, or it was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    table: Table,
    id: i64,
    claims: i64,
}

/// Why a transaction was rolled back.
pub(crate) enum Fault {
    /// The database refused.
    Database(rusqlite::Error),
    /// The work in it did.
    Work(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Work(error)
    }
}

impl Journal {
    /// Opens the journal at `path`, or makes it, with mode 0600, where nothing is. Blocks on the disk
    /// and, for up to 30 seconds, on other processes that are at it.
    ///
    /// # Errors
    /// `configuration` when what is there is damaged, no journal, or of a newer version; it is left
    /// alone. `local-io` when it cannot be opened, made or written.
    pub fn open(path: &Path) -> Result<Self> {
        let path = database::prepare(path, database::Missing::Make)?;
        Self::open_prepared(path)
    }

    /// The same, where no journal is made: for looking into one.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `local-io` when nothing is there.
    pub fn open_existing(path: &Path) -> Result<Self> {
        let path = database::prepare(path, database::Missing::Refuse)?;
        Self::open_prepared(path)
    }

    fn open_prepared(path: PathBuf) -> Result<Self> {
        let mut connection = database::open(&path)?;
        let entering = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Fault::from)
            .and_then(|transaction| {
                let owner = Owner::enter(&transaction, &path)?;
                transaction.commit()?;
                Ok(owner)
            });
        let owner = entering.map_err(|fault| database::explain(fault, "opening", &path))?;
        Ok(Self(Arc::new(Inner {
            path,
            connection: Mutex::new(connection),
            owner,
            returned: Mutex::default(),
        })))
    }

    /// Where it is, without links.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Removes entries that are done, and that nobody has met again, for longer than `keep`. A file
    /// that a plain `get` left at the server is met at each listing, and so stays known.
    ///
    /// # Errors
    /// `local-io`; nothing is removed then.
    pub async fn prune(&self, keep: Duration) -> Result<u64> {
        let before = now().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        self.transaction("pruning", move |transaction| {
            let mut removed = 0;
            for table in [Table::Fetches, Table::Sends] {
                let sql = format!(
                    "DELETE FROM {} WHERE state = 'done' AND seen_at < ?1 AND owner IS NULL",
                    table.name()
                );
                removed += transaction.execute(&sql, params![before])? as u64;
            }
            Ok(removed)
        })
        .await
    }

    /// One transaction, on a thread that may block: committed, and on the disk, when this returns
    /// without an error. Goes on to its end when the future is dropped.
    pub(crate) async fn transaction<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.blocking(doing, work)).await {
            Ok(done) => done,
            Err(error) => Err(Error::new(
                Class::LocalIo,
                format!("{doing} the journal did not come to an end: {error}"),
            )),
        }
    }

    /// The same on this thread.
    fn blocking<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T> {
        let inner = &*self.0;
        inner.owner.check()?;
        let mut connection = lock(&inner.connection);
        let returned = lock(&inner.returned).clone();
        let done = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Fault::from)
            .and_then(|transaction| {
                for ticket in &returned {
                    inner.owner.release(&transaction, ticket)?;
                }
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            });
        match done {
            Ok(done) => {
                lock(&inner.returned).retain(|ticket| !returned.contains(ticket));
                Ok(done)
            }
            Err(fault) => Err(database::explain(fault, doing, &inner.path)),
        }
    }

    fn owner(&self) -> &Owner {
        &self.0.owner
    }

    /// A token was dropped: its entry is free again, with the state that is recorded.
    fn take_back(&self, ticket: Ticket) {
        lock(&self.0.returned).push(ticket);
        let this = self.clone();
        let write = move || {
            // Written with the next transaction otherwise, or found when this owner has ended.
            if let Err(error) = this.blocking("writing to", |_| Ok(())) {
                tracing::debug!(target: TARGET, %error, "an entry is given back later");
            }
        };
        // Nothing may block a thread that runs futures.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Fetches => "fetches",
            Self::Sends => "sends",
        }
    }
}

/// Where changes of state are logged, at level debug, with the fields `state` and `name`.
const TARGET: &str = "sansftp::journal";

/// Milliseconds since 1970 UTC.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What a panic left behind is whole: a transaction that did not commit is rolled back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A size or a time as the database holds numbers.
fn number(value: u64, what: &str) -> Result<i64> {
    i64::try_from(value).map_err(|_| {
        Error::new(
            Class::Unsupported,
            format!("{what} has {value} bytes, and the journal counts to 2^63 - 1"),
        )
    })
}
