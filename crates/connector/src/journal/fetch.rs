//! What a Get records of each file.
//!
//! ```text
//!   claimed ──part──▶ claimed ──fetched──▶ fetched ──delivered──▶ delivered ──moving──▶ moving
//!      │                 ▲                  │  ▲ │placing            │                    │
//!      │                 └───────part───────┘  └─┘                   └──────── done ──────┤
//!      └───────────────(a receiver: no file)── delivered                                  ▼
//!                                                              done, closed unless the source stays
//! ```
//! Not the judgement of what stands after a restart: that is `run::get`'s, which looks.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::types::Null;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::held::{Ended, Held, Recorded, refused};
use super::owner::Life;
use super::{Fault, Journal, TARGET, Table, Ticket, now, number};
use crate::document::{Delivered, Delivery};
use crate::error::{Error, Result};
use crate::outcome::AfterAction;
use crate::path::{RemotePath, printable};

/// So long it is before a file that was met again is recorded as met again, in milliseconds: a
/// listing of files that are known is to write nothing, mostly.
const SEEN_AGAIN: i64 = 24 * 60 * 60 * 1000;

/// A file as it was listed: what an entry is known by. With another size or time it is another file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// `user@host:port` as configured.
    pub account: String,
    /// Its directory, resolved.
    pub directory: RemotePath,
    /// Its base name.
    pub name: Bytes,
    /// Bytes, as listed.
    pub size: Option<u64>,
    /// Seconds since 1970 UTC, as listed.
    pub modified: Option<i64>,
}

/// What came of a claim.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart where it is returned; most are of the large variant"
)]
pub enum Claimed {
    /// It belongs to this owner now, with the state that was recorded last.
    Yours(Taken),
    /// It was handled and is still there: it was already processed.
    Done,
    /// Another owner that lives has it in hand, or another token of this one.
    InHand,
}

/// What is recorded of a file that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchState {
    /// Nothing of it is known to stand here.
    Claimed {
        /// The local temporary file, recorded before its first byte.
        part: Option<PathBuf>,
    },
    /// The temporary file is complete and on the disk.
    Fetched {
        /// The temporary file.
        part: PathBuf,
        /// The final name that was chosen, recorded before the rename.
        place: PathBuf,
        /// What was read.
        received: Received,
    },
    /// It is durably where it was to go, and the after-action is due.
    Delivered {
        /// What was its temporary file, whose second name may be there still.
        part: Option<PathBuf>,
        /// Its local file; `None` when a receiver took it.
        place: Option<PathBuf>,
        /// What was read.
        received: Option<Received>,
        /// Where it is being moved to, recorded before the move.
        moving_to: Option<RemotePath>,
    },
}

/// What was read of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 UTC: what the second fstat said.
    pub modified: Option<i64>,
    /// Of the content.
    pub sha256: [u8; 32],
}

/// An entry that is neither done nor in the hands of a living owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The file, as it was listed.
    pub source: Source,
    /// How far it came.
    pub state: FetchState,
}

/// An entry in this owner's hands. Dropped, it is given back with the state that was recorded last.
#[derive(Debug)]
#[must_use = "an entry that is dropped is given back"]
pub struct Taken {
    pub(super) held: Held,
    source: Source,
    state: FetchState,
}

/// The right to record, in one transaction with a consumer's own work, that a document is delivered.
#[derive(Clone, Debug)]
pub struct Receipt {
    journal: Journal,
    ticket: Ticket,
    name: Bytes,
}

const COLUMNS: &str = "id, claims, state, owner, part, place, got_size, got_modified, got_sha256, \
                       moving_to, seen_at, size, modified, directory, name";
const KEY: &str = "account = ?1 AND directory = ?2 AND name = ?3 AND size IS ?4 \
                   AND modified IS ?5 AND closed_at IS NULL";

impl Journal {
    /// Takes a file in hand, or says why not. Committed when it returns.
    ///
    /// # Errors
    /// `local-io`: nothing is claimed.
    pub async fn claim(&self, source: &Source) -> Result<Claimed> {
        let (this, source) = (self.clone(), source.clone());
        let claimed = self
            .transaction("claiming in", move |transaction| {
                let Some(found) = find(transaction, &source)? else {
                    return Ok(Claimed::Yours(this.begin(transaction, source)?));
                };
                if found.state == "done" {
                    found.seen(transaction)?;
                    return Ok(Claimed::Done);
                }
                match this.take(transaction, found, source)? {
                    Some(taken) => Ok(Claimed::Yours(taken)),
                    None => Ok(Claimed::InHand),
                }
            })
            .await?;
        if let Claimed::Yours(taken) = &claimed {
            log(taken.state.name(), &taken.source.name);
        }
        Ok(claimed)
    }

    /// Which of these files were handled, and are done: asked before a limit is counted, in one
    /// transaction.
    ///
    /// # Errors
    /// `local-io`.
    pub(crate) async fn handled(&self, sources: Vec<Source>) -> Result<Vec<bool>> {
        self.transaction("looking into", move |transaction| {
            let mut handled = Vec::with_capacity(sources.len());
            for source in &sources {
                let found = find(transaction, source)?.filter(|found| found.state == "done");
                if let Some(found) = &found {
                    found.seen(transaction)?;
                }
                handled.push(found.is_some());
            }
            Ok(handled)
        })
        .await
    }

    /// Takes an entry in hand that [`unfinished`](Self::unfinished) told of; `None` when it has been
    /// finished, forgotten or taken since. Never makes one.
    ///
    /// # Errors
    /// `local-io`: nothing is claimed.
    pub async fn claim_unfinished(&self, source: &Source) -> Result<Option<Taken>> {
        let (this, source) = (self.clone(), source.clone());
        self.transaction("claiming in", move |transaction| {
            match find(transaction, &source)? {
                Some(found) if found.state != "done" => this.take(transaction, found, source),
                _ => Ok(None),
            }
        })
        .await
    }

    /// What was begun in a directory and is neither done nor in the hands of a living owner: also
    /// files that are not listed any more. In the order in which they were claimed first.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn unfinished(
        &self,
        account: &str,
        directory: &RemotePath,
    ) -> Result<Vec<Unfinished>> {
        let (this, account, directory) = (self.clone(), account.to_owned(), directory.clone());
        self.transaction("looking into", move |transaction| {
            let sql = format!(
                "SELECT {COLUMNS} FROM fetches \
                 WHERE account = ?1 AND directory = ?2 AND state <> 'done' ORDER BY id"
            );
            this.gather(
                transaction,
                &account,
                &sql,
                params![account, directory.as_bytes()],
            )
        })
        .await
    }

    /// The same for a directory and all below it.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn unfinished_below(
        &self,
        account: &str,
        directory: &RemotePath,
    ) -> Result<Vec<Unfinished>> {
        let (this, account, directory) = (self.clone(), account.to_owned(), directory.clone());
        self.transaction("looking into", move |transaction| {
            // Blobs compare byte by byte: all that begin with `directory/` lie between `directory/`
            // and `directory0`, because 0 follows the slash.
            let first = directory.join(b"");
            let mut last = first.as_bytes().to_vec();
            if let Some(slash) = last.last_mut() {
                *slash = b'0';
            }
            let sql = format!(
                "SELECT {COLUMNS} FROM fetches WHERE account = ?1 AND state <> 'done' \
                 AND (directory = ?2 OR (directory >= ?3 AND directory < ?4)) ORDER BY id"
            );
            this.gather(
                transaction,
                &account,
                &sql,
                params![account, directory.as_bytes(), first.as_bytes(), last],
            )
        })
        .await
    }

    fn gather(
        &self,
        transaction: &Transaction<'_>,
        account: &str,
        sql: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Unfinished>, Fault> {
        let rows = transaction
            .prepare_cached(sql)?
            .query_map(params, Found::read)?
            .collect::<rusqlite::Result<Vec<Found>>>()?;
        let mut unfinished = Vec::new();
        for found in rows {
            if let Some(owner) = found.owner
                && self.owner().life_of(transaction, owner)? == Life::Alive
            {
                continue;
            }
            unfinished.push(Unfinished {
                state: found.fetch_state()?,
                source: found.source(account),
            });
        }
        Ok(unfinished)
    }

    fn begin(&self, transaction: &Transaction<'_>, source: Source) -> Result<Taken, Fault> {
        let at = now();
        transaction
            .prepare_cached(
                "INSERT INTO fetches (account, directory, name, size, modified, state, owner, \
                 claimed_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, 'claimed', ?6, ?7, ?7)",
            )?
            .execute(params![
                source.account,
                source.directory.as_bytes(),
                &source.name[..],
                listed_size(&source)?,
                source.modified,
                self.owner().id(),
                at
            ])?;
        let id = transaction.last_insert_rowid();
        Ok(Taken {
            held: Held::new(self, Table::Fetches, id, 1),
            source,
            state: FetchState::Claimed { part: None },
        })
    }

    fn take(
        &self,
        transaction: &Transaction<'_>,
        found: Found,
        source: Source,
    ) -> Result<Option<Taken>, Fault> {
        if let Some(owner) = found.owner
            && self.owner().life_of(transaction, owner)? == Life::Alive
        {
            return Ok(None);
        }
        let state = found.fetch_state()?;
        let claims = found.claims + 1;
        transaction
            .prepare_cached(
                "UPDATE fetches SET owner = ?2, claims = ?3, seen_at = ?4 WHERE id = ?1",
            )?
            .execute(params![found.id, self.owner().id(), claims, now()])?;
        Ok(Some(Taken {
            held: Held::new(self, Table::Fetches, found.id, claims),
            source,
            state,
        }))
    }
}

impl FetchState {
    /// Its name in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::Fetched { .. } => "fetched",
            Self::Delivered {
                moving_to: None, ..
            } => "delivered",
            Self::Delivered {
                moving_to: Some(_), ..
            } => "moving",
        }
    }
}

impl Taken {
    /// The file, as it was listed.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What was recorded last.
    pub fn state(&self) -> &FetchState {
        &self.state
    }

    /// Before the first byte of a local temporary file is written: its name. What was fetched before
    /// counts no more.
    ///
    /// # Errors
    /// `local-io`: not recorded. `failure` when it was delivered already, or is not this owner's any
    /// more.
    pub async fn part(&mut self, part: &Path) -> Result<()> {
        let path = bytes_of(part);
        self.record("claimed", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET state = 'claimed', part = ?4, place = NULL, \
                     got_size = NULL, got_modified = NULL, got_sha256 = NULL, fetched_at = NULL \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('claimed', 'fetched')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, path])
        })
        .await?;
        self.state = FetchState::Claimed {
            part: Some(part.to_owned()),
        };
        Ok(())
    }

    /// After the temporary file is complete and on the disk, and before it is renamed: what it is and
    /// what it is to be called.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    pub async fn fetched(&mut self, part: &Path, place: &Path, received: Received) -> Result<()> {
        let size = number(received.size, &printable(&self.source.name))?;
        let (from, to) = (bytes_of(part), bytes_of(place));
        self.record("fetched", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET state = 'fetched', part = ?4, place = ?5, got_size = ?6, \
                     got_modified = ?7, got_sha256 = ?8, fetched_at = ?9 \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('claimed', 'fetched')",
                )?
                .execute(params![
                    ticket.id,
                    ticket.claims,
                    owner,
                    from,
                    to,
                    size,
                    received.modified,
                    received.sha256,
                    now()
                ])
        })
        .await?;
        self.state = FetchState::Fetched {
            part: part.to_owned(),
            place: place.to_owned(),
            received,
        };
        Ok(())
    }

    /// Before the temporary file is renamed to another name than the recorded one, because that was
    /// taken.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    pub async fn placing(&mut self, place: &Path) -> Result<()> {
        let to = bytes_of(place);
        self.record("fetched", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET place = ?4 WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state = 'fetched'",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to])
        })
        .await?;
        if let FetchState::Fetched {
            place: recorded, ..
        } = &mut self.state
        {
            place.clone_into(recorded);
        }
        Ok(())
    }

    /// What was read for a receiver that has no file, before it is told the end of the document.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    pub async fn received(&mut self, received: Received) -> Result<()> {
        let size = number(received.size, &printable(&self.source.name))?;
        self.record("claimed", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET got_size = ?4, got_modified = ?5, got_sha256 = ?6, \
                     fetched_at = ?7 WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state = 'claimed'",
                )?
                .execute(params![
                    ticket.id,
                    ticket.claims,
                    owner,
                    size,
                    received.modified,
                    received.sha256,
                    now()
                ])
        })
        .await
    }

    /// A delivery for the document's receiver, and what to wait on. The receiver may confirm it in a
    /// transaction of this journal ([`Delivery::confirm_in`]): then it is recorded as delivered
    /// already, and [`delivered`](Self::delivered) changes nothing more.
    pub fn delivery(&self) -> (Delivery, Delivered) {
        Delivery::with_receipt(Receipt {
            journal: self.held.journal.clone(),
            ticket: self.held.ticket,
            name: self.source.name.clone(),
        })
    }

    /// After it is durably where it was to go: the rename is on the disk, or the receiver confirmed.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    pub async fn delivered(&mut self, place: Option<&Path>) -> Result<()> {
        let to = place.map(bytes_of);
        let received = self
            .record("delivered", move |transaction, ticket, owner| {
                let changed = transaction
                    .prepare_cached(
                        "UPDATE fetches SET state = 'delivered', place = ?4, \
                         delivered_at = coalesce(delivered_at, ?5) \
                         WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                         AND state IN ('claimed', 'fetched', 'delivered')",
                    )?
                    .execute(params![ticket.id, ticket.claims, owner, to, now()])?;
                let received = transaction.query_row(
                    "SELECT got_size, got_modified, got_sha256 FROM fetches WHERE id = ?1",
                    [ticket.id],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                );
                Ok((changed, received.optional()?.and_then(received_of)))
            })
            .await?;
        let part = match &mut self.state {
            FetchState::Claimed { part } | FetchState::Delivered { part, .. } => part.take(),
            FetchState::Fetched { part, .. } => Some(std::mem::take(part)),
        };
        self.state = FetchState::Delivered {
            part,
            place: place.map(Path::to_owned),
            received,
            moving_to: None,
        };
        Ok(())
    }

    /// Before the source is moved: where to.
    ///
    /// # Errors
    /// As [`part`](Self::part); `failure` also when it was not delivered.
    pub async fn moving(&mut self, target: &RemotePath) -> Result<()> {
        let to = target.as_bytes().to_vec();
        self.record("moving", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET state = 'moving', moving_to = ?4 \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('delivered', 'moving')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to])
        })
        .await?;
        if let FetchState::Delivered { moving_to, .. } = &mut self.state {
            *moving_to = Some(target.clone());
        }
        Ok(())
    }

    /// After the after-action. With `Deleted` and `Moved` the entry is closed: the same name, size and
    /// time seen later is a new file. With `None` it stays open: the file is there and was handled.
    /// With `Failed` it is not done: it stays delivered, and the after-action is due again.
    ///
    /// # Errors
    /// As [`part`](Self::part); `failure` also when it was not delivered.
    pub async fn done(mut self, after: AfterAction) -> Result<()> {
        let at = now();
        let (after, closed) = match after {
            AfterAction::None => ("none", None),
            AfterAction::Deleted => ("deleted", Some(at)),
            AfterAction::Moved => ("moved", Some(at)),
            AfterAction::Failed => return self.give_back().await,
        };
        self.record("done", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE fetches SET state = 'done', owner = NULL, after = ?4, closed_at = ?5, \
                     done_at = ?6, seen_at = ?6, failed = NULL, failed_class = NULL, \
                     failed_at = NULL WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('delivered', 'moving')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, after, closed, at])
        })
        .await?;
        self.held.ended = Ended::Yes;
        Ok(())
    }

    /// Lets go of it, with what is recorded.
    ///
    /// # Errors
    /// `local-io`; it is given back all the same, once that can be written or this owner has ended.
    pub async fn give_back(self) -> Result<()> {
        self.held.give_back(None).await
    }

    /// The same after a failure, which `sansftp journal list` then shows.
    ///
    /// # Errors
    /// As [`give_back`](Self::give_back).
    pub async fn failed(self, error: &Error) -> Result<()> {
        self.held.give_back(Some(error)).await
    }

    /// Removes the entry: as if the file had never been met.
    ///
    /// # Errors
    /// `local-io`: it stays, and is given back.
    pub async fn forget(self) -> Result<()> {
        self.held.forget(&self.source.name).await?;
        log("forgotten", &self.source.name);
        Ok(())
    }

    async fn record<T: Recorded>(
        &self,
        state: &'static str,
        work: impl FnOnce(&Transaction<'_>, Ticket, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T::Told> {
        let name = self.source.name.clone();
        let told = self.held.record(state, &name, work).await?;
        log(state, &name);
        Ok(told)
    }
}

impl Receipt {
    /// Runs a consumer's work and records the delivery in one transaction.
    pub(crate) async fn deliver_in<T: Send + 'static>(
        self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (ticket, owner) = (self.ticket, self.journal.owner().id());
        let name = self.name.clone();
        let done = self
            .journal
            .transaction("delivering in", move |transaction| {
                // First, so that nothing of the consumer's work is done for an entry that is lost.
                let changed = transaction
                    .prepare_cached(
                        "UPDATE fetches SET state = 'delivered', place = ?4, delivered_at = ?5 \
                         WHERE id = ?1 AND claims = ?2 AND owner = ?3 AND state = 'claimed'",
                    )?
                    .execute(params![ticket.id, ticket.claims, owner, Null, now()])?;
                if changed != 1 {
                    let name = printable(&name);
                    return Err(refused(transaction, ticket, owner, "delivered", &name)?.into());
                }
                work(transaction)
            })
            .await?;
        log("delivered", &self.name);
        Ok(done)
    }
}

/// A row of `fetches`.
pub(super) struct Found {
    id: i64,
    claims: i64,
    state: String,
    owner: Option<i64>,
    part: Option<Vec<u8>>,
    place: Option<Vec<u8>>,
    received: Option<Received>,
    moving_to: Option<Vec<u8>>,
    seen_at: i64,
    size: Option<i64>,
    modified: Option<i64>,
    directory: Vec<u8>,
    name: Vec<u8>,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            claims: row.get(1)?,
            state: row.get(2)?,
            owner: row.get(3)?,
            part: row.get(4)?,
            place: row.get(5)?,
            received: received_of((row.get(6)?, row.get(7)?, row.get(8)?)),
            moving_to: row.get(9)?,
            seen_at: row.get(10)?,
            size: row.get(11)?,
            modified: row.get(12)?,
            directory: row.get(13)?,
            name: row.get(14)?,
        })
    }

    fn fetch_state(&self) -> Result<FetchState> {
        let place = self.place.clone().map(path_of);
        let state = match (self.state.as_str(), &self.part, place, self.received) {
            ("claimed", part, ..) => Some(FetchState::Claimed {
                part: part.clone().map(path_of),
            }),
            ("fetched", Some(part), Some(place), Some(received)) => Some(FetchState::Fetched {
                part: path_of(part.clone()),
                place,
                received,
            }),
            ("delivered" | "moving", part, place, received) => Some(FetchState::Delivered {
                part: part.clone().map(path_of),
                place,
                received,
                moving_to: self.moving_to.clone().map(RemotePath::new),
            }),
            _ => None,
        };
        state.ok_or_else(|| {
            Error::configuration(format!(
                "the journal's entry g{} says {}, and does not say what belongs to that",
                self.id, self.state
            ))
            .with_hint("it was changed by hand; sansftp journal forget removes it")
        })
    }

    fn source(self, account: &str) -> Source {
        Source {
            account: account.to_owned(),
            directory: RemotePath::new(self.directory),
            name: self.name.into(),
            size: self.size.and_then(|size| u64::try_from(size).ok()),
            modified: self.modified,
        }
    }

    /// Whether its file was handled, and was met at this time or later.
    pub(super) fn is_done(&self, since: Option<i64>) -> bool {
        self.state == "done" && since.is_none_or(|since| self.seen_at >= since)
    }

    /// It was met again: it is not forgotten for its age.
    fn seen(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let at = now();
        if at.saturating_sub(self.seen_at) < SEEN_AGAIN {
            return Ok(());
        }
        transaction
            .prepare_cached("UPDATE fetches SET seen_at = ?2 WHERE id = ?1")?
            .execute(params![self.id, at])?;
        Ok(())
    }
}

pub(super) fn find(transaction: &Transaction<'_>, source: &Source) -> Result<Option<Found>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM fetches WHERE {KEY}");
    let found = transaction
        .prepare_cached(&sql)?
        .query_row(
            params![
                source.account,
                source.directory.as_bytes(),
                &source.name[..],
                listed_size(source)?,
                source.modified
            ],
            Found::read,
        )
        .optional()?;
    Ok(found)
}

fn listed_size(source: &Source) -> Result<Option<i64>> {
    source
        .size
        .map(|size| number(size, &printable(&source.name)))
        .transpose()
}

fn received_of(columns: (Option<i64>, Option<i64>, Option<[u8; 32]>)) -> Option<Received> {
    let (Some(size), modified, Some(sha256)) = columns else {
        return None;
    };
    Some(Received {
        size: u64::try_from(size).ok()?,
        modified,
        sha256,
    })
}

fn log(state: &str, name: &[u8]) {
    tracing::debug!(target: TARGET, state, name = %printable(name), "recorded");
}

pub(super) fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    std::ffi::OsString::from_vec(bytes).into()
}
