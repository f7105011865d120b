//! What a Send records of each document.
//!
//! ```text
//!   claimed ─▶ begun ─▶ written ─▶ publishing ─▶ published ─▶ moving ─▶ done
//!      ├──────────────────────────▶ publishing (in place: the name is claimed first)
//!      └─▶ appending ────────────────────────────▶ published
//! ```
//! Going back, to begin again after a look that found nothing, is always allowed before `published`.
//!
//! Not the judgement of what stands after a restart: that is `run::send`'s, which looks.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::held::{Ended, Held, Recorded};
use super::owner::Life;
use super::{Fault, Journal, TARGET, Table, Ticket, now, number};
use crate::error::{Error, Result};
use crate::path::{RemotePath, printable};

/// What a document that is sent is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SendKey {
    /// `user@host:port` as configured.
    pub account: String,
    /// The document's id: its property `document-id`, or what stands for it.
    pub document: String,
    /// The remote directory, resolved.
    pub directory: RemotePath,
}

/// What came of a claim.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart where it is returned; most are of the large variant"
)]
pub enum SendClaimed {
    /// It belongs to this owner now, with the state that was recorded last.
    Yours(Sending),
    /// It was sent.
    Done {
        /// Where it was published last.
        path: RemotePath,
    },
    /// Another owner that lives has it in hand, or another token of this one.
    InHand,
}

/// What is recorded of a document that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Nothing of it is at the server.
    Claimed,
    /// A temporary file is being written.
    Begun {
        /// Recorded before its first byte.
        temporary: RemotePath,
        /// The final base name that is wanted.
        name: Bytes,
    },
    /// The temporary file is complete and closed.
    Written {
        /// The temporary file.
        temporary: RemotePath,
        /// Bytes.
        size: u64,
        /// Of the content.
        sha256: [u8; 32],
        /// The final base name that is wanted.
        name: Bytes,
    },
    /// This path is being claimed, or the temporary file is being renamed to it.
    Publishing {
        /// The temporary file; `None` when it is written in place.
        temporary: Option<RemotePath>,
        /// The path, recorded before it is claimed.
        path: RemotePath,
        /// Bytes, where it was written.
        size: Option<u64>,
        /// Of the content, where it was written.
        sha256: Option<[u8; 32]>,
    },
    /// It is being appended to an existing file.
    Appending {
        /// That file.
        path: RemotePath,
        /// Its size before the first byte of this document.
        base: u64,
    },
    /// It is whole under its name in the remote directory.
    Published {
        /// Where.
        path: RemotePath,
    },
    /// It is being moved to its move-to directory.
    Moving {
        /// Where it was published.
        path: RemotePath,
        /// Where it is moved to, recorded before the move.
        target: RemotePath,
    },
}

/// An entry in this owner's hands. Dropped, it is given back with the state that was recorded last.
#[derive(Debug)]
#[must_use = "an entry that is dropped is given back"]
pub struct Sending {
    held: Held,
    document: String,
    state: SendState,
    noted: Noted,
}

/// What is recorded beside the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The temporary file that was begun last, whatever has become of it.
    pub temporary: Option<RemotePath>,
    /// The final base name that is wanted, once a temporary file was begun.
    pub name: Option<Bytes>,
    /// Bytes of the content and its SHA-256, once it was written.
    pub content: Option<(u64, [u8; 32])>,
    /// The file that is written is this document's own, and at least so many bytes of the body stand
    /// in it without a gap.
    pub standing: Option<u64>,
    /// The path that is published to is reserved by an empty file of this document's own.
    pub reserved: bool,
}

const COLUMNS: &str = "id, claims, state, owner, temporary, name, size, sha256, base, path, \
                       moving_to, standing, reserved";

impl Journal {
    /// Takes a document in hand, or says why not. Committed when it returns.
    ///
    /// # Errors
    /// `local-io`: nothing is claimed.
    pub async fn sending(&self, key: &SendKey) -> Result<SendClaimed> {
        let (this, key) = (self.clone(), key.clone());
        let claimed = self
            .transaction("claiming in", move |transaction| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM sends \
                 WHERE account = ?1 AND document = ?2 AND directory = ?3"
                );
                let found = transaction
                    .prepare_cached(&sql)?
                    .query_row(
                        params![key.account, key.document, key.directory.as_bytes()],
                        Found::read,
                    )
                    .optional()?;
                match found {
                    None => Ok(SendClaimed::Yours(this.begin_send(transaction, key)?)),
                    Some(found) => this.take_send(transaction, found, key),
                }
            })
            .await?;
        if let SendClaimed::Yours(sending) = &claimed {
            log(sending.state.name(), &sending.document);
        }
        Ok(claimed)
    }

    /// The documents of this account and directory whose ids begin so, whose temporary files were
    /// begun and not published: in nobody's hands, or in those of an owner that may have ended.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn begun_sends(
        &self,
        account: &str,
        directory: &RemotePath,
        prefix: &str,
    ) -> Result<Vec<SendKey>> {
        let (account, prefix) = (account.to_owned(), prefix.to_owned());
        let directory = directory.clone();
        self.transaction("looking into", move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT document FROM sends WHERE account = ?1 AND document >= ?2 \
                 AND substr(document, 1, length(?2)) = ?2 AND directory = ?3 \
                 AND state IN ('begun', 'written') LIMIT 100",
            )?;
            let found = statement
                .query_map(params![account, prefix, directory.as_bytes()], |row| {
                    row.get::<_, String>(0)
                })?;
            let mut keys = Vec::new();
            for document in found {
                keys.push(SendKey {
                    account: account.clone(),
                    document: document?,
                    directory: directory.clone(),
                });
            }
            Ok(keys)
        })
        .await
    }

    fn begin_send(&self, transaction: &Transaction<'_>, key: SendKey) -> Result<Sending, Fault> {
        transaction
            .prepare_cached(
                "INSERT INTO sends (account, document, directory, state, owner, claimed_at, \
                 seen_at) VALUES (?1, ?2, ?3, 'claimed', ?4, ?5, ?5)",
            )?
            .execute(params![
                key.account,
                key.document,
                key.directory.as_bytes(),
                self.owner().id(),
                now()
            ])?;
        let id = transaction.last_insert_rowid();
        Ok(Sending {
            held: Held::new(self, Table::Sends, id, 1),
            document: key.document,
            state: SendState::Claimed,
            noted: Noted::default(),
        })
    }

    fn take_send(
        &self,
        transaction: &Transaction<'_>,
        found: Found,
        key: SendKey,
    ) -> Result<SendClaimed, Fault> {
        let at = now();
        if found.state == "done" {
            transaction
                .prepare_cached("UPDATE sends SET seen_at = ?2 WHERE id = ?1")?
                .execute(params![found.id, at])?;
            let path = found.path.clone().ok_or_else(|| found.broken())?;
            return Ok(SendClaimed::Done { path });
        }
        if let Some(owner) = found.owner
            && self.owner().life_of(transaction, owner)? == Life::Alive
        {
            return Ok(SendClaimed::InHand);
        }
        let state = found.send_state()?;
        let claims = found.claims + 1;
        transaction
            .prepare_cached("UPDATE sends SET owner = ?2, claims = ?3, seen_at = ?4 WHERE id = ?1")?
            .execute(params![found.id, self.owner().id(), claims, at])?;
        Ok(SendClaimed::Yours(Sending {
            held: Held::new(self, Table::Sends, found.id, claims),
            document: key.document,
            state,
            noted: found.noted(),
        }))
    }
}

impl SendState {
    /// Its name in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Begun { .. } => "begun",
            Self::Written { .. } => "written",
            Self::Publishing { .. } => "publishing",
            Self::Appending { .. } => "appending",
            Self::Published { .. } => "published",
            Self::Moving { .. } => "moving",
        }
    }
}

impl Sending {
    /// What was recorded last.
    pub fn state(&self) -> &SendState {
        &self.state
    }

    /// What is recorded beside that.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Before the first byte of a temporary file: its name, and the final base name that is wanted.
    ///
    /// # Errors
    /// `local-io`: not recorded. `failure` when it was published already, or is not this owner's any
    /// more.
    pub async fn begun(&mut self, temporary: &RemotePath, name: &[u8]) -> Result<()> {
        let (to, wanted) = (temporary.as_bytes().to_vec(), name.to_vec());
        self.record("begun", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'begun', temporary = ?4, name = ?5, size = NULL, \
                     sha256 = NULL, path = NULL, base = NULL, standing = NULL, reserved = 0, \
                     begun_at = ?6, written_at = NULL \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('claimed', 'begun', 'written', 'publishing')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to, wanted, now()])
        })
        .await?;
        self.state = SendState::Begun {
            temporary: temporary.clone(),
            name: Bytes::copy_from_slice(name),
        };
        self.noted = Noted {
            temporary: Some(temporary.clone()),
            name: Some(Bytes::copy_from_slice(name)),
            ..Noted::default()
        };
        Ok(())
    }

    /// After the file that is written was made, or was found to be this document's own, and now and
    /// then while it grows: how much of the body stands in it without a gap.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn stands(&mut self, bytes: u64) -> Result<()> {
        let count = number(bytes, &printable(self.document.as_bytes()))?;
        self.record(self.state.name(), move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET standing = ?4 WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('begun', 'publishing', 'appending')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, count])
        })
        .await?;
        self.noted.standing = Some(bytes);
        Ok(())
    }

    /// After the path that is published to was reserved by an empty file.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn reserved(&mut self) -> Result<()> {
        self.record("publishing", |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET reserved = 1 WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state = 'publishing'",
                )?
                .execute(params![ticket.id, ticket.claims, owner])
        })
        .await?;
        self.noted.reserved = true;
        Ok(())
    }

    /// After the temporary file is complete, verified and closed.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn written(&mut self, size: u64, sha256: [u8; 32]) -> Result<()> {
        let bytes = number(size, &printable(self.document.as_bytes()))?;
        let (temporary, name): (Vec<u8>, Vec<u8>) = self
            .record("written", move |transaction, ticket, owner| {
                let changed = transaction
                    .prepare_cached(
                        "UPDATE sends SET state = 'written', size = ?4, sha256 = ?5, \
                         written_at = ?6 WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                         AND temporary IS NOT NULL AND name IS NOT NULL \
                         AND state IN ('begun', 'written', 'publishing')",
                    )?
                    .execute(params![
                        ticket.id,
                        ticket.claims,
                        owner,
                        bytes,
                        sha256,
                        now()
                    ])?;
                if changed == 0 {
                    return Ok((0, (Vec::new(), Vec::new())));
                }
                let row = transaction.query_row(
                    "SELECT temporary, name FROM sends WHERE id = ?1",
                    [ticket.id],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                Ok((changed, row))
            })
            .await?;
        self.state = SendState::Written {
            temporary: RemotePath::new(temporary),
            size,
            sha256,
            name: name.into(),
        };
        self.noted.content = Some((size, sha256));
        Ok(())
    }

    /// Before this path is claimed, or the temporary file is renamed to it.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn publishing(&mut self, path: &RemotePath) -> Result<()> {
        let to = path.as_bytes().to_vec();
        self.record("publishing", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'publishing', path = ?4, standing = NULL, reserved = 0, \
                     publishing_at = ?5 \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('claimed', 'begun', 'written', 'publishing')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to, now()])
        })
        .await?;
        let (temporary, size, sha256) = match &self.state {
            SendState::Begun { temporary, .. } => (Some(temporary.clone()), None, None),
            SendState::Written {
                temporary,
                size,
                sha256,
                ..
            } => (Some(temporary.clone()), Some(*size), Some(*sha256)),
            SendState::Publishing {
                temporary,
                size,
                sha256,
                ..
            } => (temporary.clone(), *size, *sha256),
            _ => (None, None, None),
        };
        self.state = SendState::Publishing {
            temporary,
            path: path.clone(),
            size,
            sha256,
        };
        (self.noted.standing, self.noted.reserved) = (None, false);
        Ok(())
    }

    /// Before the first byte is appended to a file: which, and its size until then.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn appending(&mut self, path: &RemotePath, base: u64) -> Result<()> {
        let to = path.as_bytes().to_vec();
        let at = number(base, &printable(path.as_bytes()))?;
        self.record("appending", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'appending', path = ?4, base = ?5, standing = NULL, \
                     begun_at = ?6 \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('claimed', 'appending')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to, at, now()])
        })
        .await?;
        self.state = SendState::Appending {
            path: path.clone(),
            base,
        };
        self.noted.standing = None;
        Ok(())
    }

    /// After the file that was made to be appended to was taken away again: nothing of the document
    /// stands anywhere.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn withdrawn(&mut self) -> Result<()> {
        self.record("claimed", |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'claimed', path = NULL, base = NULL, \
                     standing = NULL WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state = 'appending'",
                )?
                .execute(params![ticket.id, ticket.claims, owner])
        })
        .await?;
        self.state = SendState::Claimed;
        self.noted = Noted::default();
        Ok(())
    }

    /// After it is whole under its name.
    ///
    /// # Errors
    /// As [`begun`](Self::begun).
    pub async fn published(&mut self, path: &RemotePath) -> Result<()> {
        let to = path.as_bytes().to_vec();
        self.record("published", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'published', path = ?4, published_at = ?5 \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('publishing', 'appending', 'published')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to, now()])
        })
        .await?;
        self.state = SendState::Published { path: path.clone() };
        Ok(())
    }

    /// Before it is moved to its move-to directory: its path there.
    ///
    /// # Errors
    /// As [`begun`](Self::begun); `failure` also when it was not published.
    pub async fn moving(&mut self, target: &RemotePath) -> Result<()> {
        let to = target.as_bytes().to_vec();
        let path: Vec<u8> = self
            .record("moving", move |transaction, ticket, owner| {
                let changed = transaction
                    .prepare_cached(
                        "UPDATE sends SET state = 'moving', moving_to = ?4 \
                         WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                         AND state IN ('published', 'moving')",
                    )?
                    .execute(params![ticket.id, ticket.claims, owner, to])?;
                if changed == 0 {
                    return Ok((0, Vec::new()));
                }
                let path = transaction.query_row(
                    "SELECT path FROM sends WHERE id = ?1",
                    [ticket.id],
                    |row| row.get(0),
                )?;
                Ok((changed, path))
            })
            .await?;
        self.state = SendState::Moving {
            path: RemotePath::new(path),
            target: target.clone(),
        };
        Ok(())
    }

    /// After everything: where it is now.
    ///
    /// # Errors
    /// As [`begun`](Self::begun); `failure` also when it was not published.
    pub async fn done(mut self, path: &RemotePath) -> Result<()> {
        let to = path.as_bytes().to_vec();
        self.record("done", move |transaction, ticket, owner| {
            transaction
                .prepare_cached(
                    "UPDATE sends SET state = 'done', owner = NULL, path = ?4, done_at = ?5, \
                     seen_at = ?5, failed = NULL, failed_class = NULL, failed_at = NULL \
                     WHERE id = ?1 AND claims = ?2 AND owner = ?3 \
                     AND state IN ('published', 'moving')",
                )?
                .execute(params![ticket.id, ticket.claims, owner, to, now()])
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

    /// Removes the entry: as if the document had never been met. For one of which nothing is left at
    /// the server.
    ///
    /// # Errors
    /// `local-io`: it stays, and is given back.
    pub async fn forget(self) -> Result<()> {
        self.held.forget(self.document.as_bytes()).await?;
        log("forgotten", &self.document);
        Ok(())
    }

    async fn record<T: Recorded>(
        &self,
        state: &'static str,
        work: impl FnOnce(&Transaction<'_>, Ticket, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T::Told> {
        let told = self
            .held
            .record(state, self.document.as_bytes(), work)
            .await?;
        log(state, &self.document);
        Ok(told)
    }
}

/// A row of `sends`.
struct Found {
    id: i64,
    claims: i64,
    state: String,
    owner: Option<i64>,
    temporary: Option<RemotePath>,
    name: Option<Bytes>,
    size: Option<u64>,
    sha256: Option<[u8; 32]>,
    base: Option<u64>,
    path: Option<RemotePath>,
    moving_to: Option<RemotePath>,
    standing: Option<u64>,
    reserved: bool,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let path = |index| {
            Ok::<_, rusqlite::Error>(row.get::<_, Option<Vec<u8>>>(index)?.map(RemotePath::new))
        };
        let count = |index| {
            let value: Option<i64> = row.get(index)?;
            Ok::<_, rusqlite::Error>(value.and_then(|value| u64::try_from(value).ok()))
        };
        Ok(Self {
            id: row.get(0)?,
            claims: row.get(1)?,
            state: row.get(2)?,
            owner: row.get(3)?,
            temporary: path(4)?,
            name: row.get::<_, Option<Vec<u8>>>(5)?.map(Bytes::from),
            size: count(6)?,
            sha256: row.get(7)?,
            base: count(8)?,
            path: path(9)?,
            moving_to: path(10)?,
            standing: count(11)?,
            reserved: row.get(12)?,
        })
    }

    fn noted(&self) -> Noted {
        Noted {
            temporary: self.temporary.clone(),
            name: self.name.clone(),
            content: self.size.zip(self.sha256),
            standing: self.standing,
            reserved: self.reserved,
        }
    }

    fn send_state(&self) -> Result<SendState> {
        let state = match (
            self.state.as_str(),
            self.temporary.clone(),
            self.path.clone(),
        ) {
            ("claimed", ..) => Some(SendState::Claimed),
            ("begun", Some(temporary), _) => self
                .name
                .clone()
                .map(|name| SendState::Begun { temporary, name }),
            ("written", Some(temporary), _) => (|| {
                Some(SendState::Written {
                    temporary,
                    size: self.size?,
                    sha256: self.sha256?,
                    name: self.name.clone()?,
                })
            })(),
            ("publishing", temporary, Some(path)) => Some(SendState::Publishing {
                temporary,
                path,
                size: self.size,
                sha256: self.sha256,
            }),
            ("appending", _, Some(path)) => {
                self.base.map(|base| SendState::Appending { path, base })
            }
            ("published", _, Some(path)) => Some(SendState::Published { path }),
            ("moving", _, Some(path)) => self
                .moving_to
                .clone()
                .map(|target| SendState::Moving { path, target }),
            _ => None,
        };
        state.ok_or_else(|| self.broken())
    }

    fn broken(&self) -> Error {
        Error::configuration(format!(
            "the journal's entry s{} says {}, and does not say what belongs to that",
            self.id, self.state
        ))
        .with_hint("it was changed by hand; sansftp journal forget removes it")
    }
}

fn log(state: &str, document: &str) {
    tracing::debug!(target: TARGET, state, name = %printable(document.as_bytes()), "recorded");
}
