//! A look into a journal by somebody who only plans: nothing is claimed, noted or made.
//!
//! Not an owner, and not what is unfinished: only what was handled is asked for.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::fetch::{Source, find};
use super::{Fault, Journal, SendKey, database, lock, now};
use crate::error::{Class, Error, Result};
use crate::path::RemotePath;

/// What knows which files were handled.
#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// The journal of this step, which notes that they were met.
    Journal(Journal),
    /// One that is only looked into.
    Glance(Glance),
}

/// A journal that is only looked into.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
    /// What was not met since then, in milliseconds since 1970 UTC, the run would forget first.
    since: Option<i64>,
}

impl Memory {
    /// Which of these files were handled, and are done.
    ///
    /// # Errors
    /// `local-io`.
    pub(crate) async fn handled(&self, sources: Vec<Source>) -> Result<Vec<bool>> {
        match self {
            Self::Journal(journal) => journal.handled(sources).await,
            Self::Glance(glance) => glance.handled(sources).await,
        }
    }
}

impl Glance {
    /// Opens the journal at `path` as a run would find it that keeps entries for `keep`; `None` where
    /// none is. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open(path: &Path, keep: Option<Duration>) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let path = database::prepare(path, database::Missing::Refuse)?;
        let since = keep
            .map(|keep| now().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)));
        let connection = database::open_to_look(&path)?;
        Ok(connection.map(|connection| Self {
            connection: Arc::new(Mutex::new(connection)),
            path: path.into(),
            since,
        }))
    }

    async fn handled(&self, sources: Vec<Source>) -> Result<Vec<bool>> {
        let since = self.since;
        self.look(move |transaction| {
            let mut handled = Vec::with_capacity(sources.len());
            for source in &sources {
                let found = find(transaction, source)?;
                handled.push(found.is_some_and(|found| found.is_done(since)));
            }
            Ok(handled)
        })
        .await
    }

    /// Where a document stands that was sent to its end.
    ///
    /// # Errors
    /// `local-io`.
    pub(crate) async fn sent(&self, key: SendKey) -> Result<Option<RemotePath>> {
        let since = self.since;
        self.look(move |transaction| {
            let found = transaction
                .prepare_cached(
                    "SELECT path FROM sends WHERE account = ?1 AND document = ?2 \
                     AND directory = ?3 AND state = 'done' AND (?4 IS NULL OR seen_at >= ?4)",
                )?
                .query_row(
                    params![key.account, key.document, key.directory.as_bytes(), since],
                    |row| row.get::<_, Vec<u8>>(0),
                )
                .optional()?;
            Ok(found.map(RemotePath::new))
        })
        .await
    }

    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let looking = move || {
            let mut connection = lock(&this.connection);
            let looked = connection.transaction().map_err(Fault::from);
            let looked = looked.and_then(|transaction| work(&transaction));
            looked.map_err(|fault| database::explain(fault, "looking into", &this.path))
        };
        let looked = tokio::task::spawn_blocking(looking).await;
        looked.unwrap_or_else(|error| {
            let message = format!("looking into the journal did not come to an end: {error}");
            Err(Error::new(Class::LocalIo, message))
        })
    }
}
