//! The journal for people: what is in it, and how an entry is taken up again or forgotten.
//!
//! Not for operations: these claim.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};
use serde::Serialize;

use super::owner::Life;
use super::{Fault, Journal, Table, now};
use crate::error::{Class, Error, Result};

/// Whether an entry is of a Get or of a Send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A file that is fetched.
    Get,
    /// A document that is sent.
    Send,
}

/// An entry's number, written `g12` for a Get and `s7` for a Send. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    kind: EntryKindOrder,
    number: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EntryKindOrder {
    Get,
    Send,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only this state, by its name in the journal; `failed` for those whose last attempt failed.
    pub state: Option<String>,
    /// Only this `user@host:port`.
    pub account: Option<String>,
    /// Only those that nothing has happened to for so long.
    pub older_than: Option<Duration>,
}

/// An entry, whole.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number.
    pub id: EntryId,
    /// `claimed`, `fetched`, `delivered`, `moving`, `done`; or `claimed`, `begun`, `written`,
    /// `publishing`, `appending`, `published`, `moving`, `done`.
    pub state: String,
    /// The process that has it in hand.
    pub in_hand: Option<u32>,
    /// `user@host:port`.
    pub account: String,
    /// The remote directory.
    pub directory: Vec<u8>,
    /// The base name of a fetched file; of a document the final name, once that is known.
    pub name: Option<Vec<u8>>,
    /// The document's id, of a Send.
    pub document: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Seconds since 1970 UTC, as listed.
    pub modified: Option<i64>,
    /// SHA-256 of what was read or written.
    pub sha256: Option<[u8; 32]>,
    /// Where bytes of it are or are to be, by what they are: `part`, `place`, `temporary`, `path`,
    /// `moving-to`.
    pub places: Vec<(&'static str, Vec<u8>)>,
    /// `none`, `deleted` or `moved`.
    pub after: Option<String>,
    /// Class and words of the last failure.
    pub failed: Option<(String, String)>,
    /// How often it was taken in hand.
    pub claims: i64,
    /// What happened when, in milliseconds since 1970 UTC, in order.
    pub times: Vec<(&'static str, i64)>,
}

/// What `retry` did to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The next run goes on with it where it stands; its failure is forgotten.
    GoesOn,
    /// It was done: it is forgotten, so that the same file or document is a new one.
    Again,
    /// The source was deleted or moved away: the same name is a new file anyway.
    Closed,
    /// A living process has it in hand: nothing was changed.
    InHand,
    /// There is no such entry.
    Unknown,
}

impl Journal {
    /// Up to `limit` entries after `after`, those of Get first, each kind in the order of their
    /// numbers.
    ///
    /// # Errors
    /// `configuration` for a state that does not exist; `local-io`.
    pub async fn entries(
        &self,
        query: &Query,
        after: Option<EntryId>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        query.check()?;
        let (this, query) = (self.clone(), query.clone());
        self.transaction("looking into", move |transaction| {
            let mut records = Vec::new();
            for table in [Table::Fetches, Table::Sends] {
                let from = match after {
                    Some(after) if after.table() == table => after.number,
                    Some(after) if after.table() == Table::Sends => continue,
                    _ => 0,
                };
                let room = limit.saturating_sub(records.len());
                if room == 0 {
                    break;
                }
                this.page(transaction, table, &query, from, room, &mut records)?;
            }
            Ok(records)
        })
        .await
    }

    /// One entry, whole.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn entry(&self, id: EntryId) -> Result<Option<Record>> {
        let this = self.clone();
        self.transaction("looking into", move |transaction| {
            let sql = format!("SELECT * FROM {} WHERE id = ?1", id.table().name());
            let record = transaction
                .query_row(&sql, [id.number], |row| Raw::read(row, id.table()))
                .optional()?;
            record.map(|raw| this.judged(transaction, raw)).transpose()
        })
        .await
    }

    /// Lets an entry be taken again.
    ///
    /// # Errors
    /// `local-io`: nothing was changed.
    pub async fn retry(&self, id: EntryId) -> Result<Retried> {
        let this = self.clone();
        self.transaction("changing", move |transaction| {
            let Some(entry) = this.free(transaction, id)? else {
                return Ok(Retried::Unknown);
            };
            let entry = match entry {
                Free::Yes(entry) => entry,
                Free::InHand => return Ok(Retried::InHand),
            };
            let table = id.table().name();
            if entry.closed {
                return Ok(Retried::Closed);
            }
            if entry.state == "done" {
                transaction.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id.number])?;
                return Ok(Retried::Again);
            }
            transaction.execute(
                &format!(
                    "UPDATE {table} SET failed = NULL, failed_class = NULL, failed_at = NULL \
                     WHERE id = ?1"
                ),
                [id.number],
            )?;
            Ok(Retried::GoesOn)
        })
        .await
    }

    /// Removes an entry: as if its file or document had never been met. `false` when there is none.
    ///
    /// # Errors
    /// `exists` when a living process has it in hand; `local-io`.
    pub async fn forget(&self, id: EntryId) -> Result<bool> {
        let this = self.clone();
        self.transaction("changing", move |transaction| {
            match this.free(transaction, id)? {
                None => return Ok(false),
                Some(Free::Yes(_)) => {}
                Some(Free::InHand) => {
                    return Err(Error::new(
                        Class::Exists,
                        format!("{id} is in the hands of a process that lives"),
                    )
                    .with_hint("stop that process first: sansftp journal show says which it is")
                    .into());
                }
            }
            let sql = format!("DELETE FROM {} WHERE id = ?1", id.table().name());
            Ok(transaction.execute(&sql, [id.number])? > 0)
        })
        .await
    }

    fn page(
        &self,
        transaction: &Transaction<'_>,
        table: Table,
        query: &Query,
        from: i64,
        room: usize,
        records: &mut Vec<Record>,
    ) -> Result<(), Fault> {
        let mut sql = format!("SELECT * FROM {} WHERE id > ?1", table.name());
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(from), Box::new(room)];
        match query.state.as_deref() {
            Some("failed") => sql.push_str(" AND failed IS NOT NULL"),
            Some(state) => {
                values.push(Box::new(state.to_owned()));
                sql.push_str(&format!(" AND state = ?{}", values.len()));
            }
            None => {}
        }
        if let Some(account) = &query.account {
            values.push(Box::new(account.clone()));
            sql.push_str(&format!(" AND account = ?{}", values.len()));
        }
        if let Some(age) = query.older_than {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            values.push(Box::new(now().saturating_sub(age)));
            sql.push_str(&format!(
                " AND max(seen_at, coalesce(failed_at, 0)) < ?{}",
                values.len()
            ));
        }
        sql.push_str(" ORDER BY id LIMIT ?2");
        let values: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
        let rows = transaction
            .prepare(&sql)?
            .query_map(&values[..], |row| Raw::read(row, table))?
            .collect::<rusqlite::Result<Vec<Raw>>>()?;
        for raw in rows {
            records.push(self.judged(transaction, raw)?);
        }
        Ok(())
    }

    /// The record with its holder, where that one lives.
    fn judged(&self, transaction: &Transaction<'_>, raw: Raw) -> Result<Record, Fault> {
        let mut record = raw.record;
        if let Some(owner) = raw.owner
            && self.owner().life_of(transaction, owner)? == Life::Alive
        {
            record.in_hand = transaction
                .query_row("SELECT process FROM owners WHERE id = ?1", [owner], |row| {
                    row.get(0)
                })
                .optional()?;
        }
        Ok(record)
    }

    fn free(&self, transaction: &Transaction<'_>, id: EntryId) -> Result<Option<Free>, Fault> {
        let closed = match id.table() {
            Table::Fetches => "closed_at IS NOT NULL",
            Table::Sends => "0",
        };
        let sql = format!(
            "SELECT owner, state, {closed} FROM {} WHERE id = ?1",
            id.table().name()
        );
        let row: Option<(Option<i64>, String, bool)> = transaction
            .query_row(&sql, params![id.number], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((owner, state, closed)) = row else {
            return Ok(None);
        };
        if let Some(owner) = owner
            && self.owner().life_of(transaction, owner)? == Life::Alive
        {
            return Ok(Some(Free::InHand));
        }
        Ok(Some(Free::Yes(Standing { state, closed })))
    }
}

enum Free {
    Yes(Standing),
    InHand,
}

struct Standing {
    state: String,
    closed: bool,
}

impl EntryId {
    /// Whether it is of a Get or of a Send.
    pub fn kind(self) -> EntryKind {
        match self.kind {
            EntryKindOrder::Get => EntryKind::Get,
            EntryKindOrder::Send => EntryKind::Send,
        }
    }

    fn table(self) -> Table {
        match self.kind {
            EntryKindOrder::Get => Table::Fetches,
            EntryKindOrder::Send => Table::Sends,
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            EntryKindOrder::Get => 'g',
            EntryKindOrder::Send => 's',
        };
        write!(f, "{letter}{}", self.number)
    }
}

impl FromStr for EntryId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let kind = match text.as_bytes().first()? {
                b'g' => EntryKindOrder::Get,
                b's' => EntryKindOrder::Send,
                _ => return None,
            };
            let number = text[1..].parse().ok().filter(|&number: &i64| number > 0)?;
            Some(Self { kind, number })
        };
        read().ok_or_else(|| {
            format!(
                "'{text}' is no entry; they are written g12 or s7, as sansftp journal list shows"
            )
        })
    }
}

/// All states, with `failed`, which goes with any of them.
const STATES: &[&str] = &[
    "claimed",
    "fetched",
    "delivered",
    "begun",
    "written",
    "publishing",
    "appending",
    "published",
    "moving",
    "done",
    "failed",
];

impl Query {
    /// The states that can be asked for.
    pub fn states() -> &'static [&'static str] {
        STATES
    }

    fn check(&self) -> Result<()> {
        match &self.state {
            Some(state) if !STATES.contains(&state.as_str()) => Err(Error::configuration(format!(
                "'{state}' is no state of the journal"
            ))
            .with_hint(format!("one of {}", STATES.join(", ")))),
            _ => Ok(()),
        }
    }
}

/// A row, and who holds it or held it last.
struct Raw {
    record: Record,
    owner: Option<i64>,
}

impl Raw {
    fn read(row: &Row<'_>, table: Table) -> rusqlite::Result<Self> {
        let number = |name: &str| row.get::<_, Option<i64>>(name);
        let count = |name: &str| {
            Ok::<_, rusqlite::Error>(number(name)?.and_then(|n| u64::try_from(n).ok()))
        };
        let bytes = |name: &str| row.get::<_, Option<Vec<u8>>>(name);
        let text = |name: &str| row.get::<_, Option<String>>(name);
        let (kind, places, times) = match table {
            Table::Fetches => (EntryKindOrder::Get, GET_PLACES, GET_TIMES),
            Table::Sends => (EntryKindOrder::Send, SEND_PLACES, SEND_TIMES),
        };
        let mut found = Vec::new();
        for &(shown, column) in places {
            if let Some(value) = bytes(column)? {
                found.push((shown, value));
            }
        }
        let mut happened = Vec::new();
        for &(shown, column) in times {
            if let Some(at) = number(column)? {
                happened.push((shown, at));
            }
        }
        happened.sort_by_key(|&(_, at)| at);
        let path_name = || {
            let (_, path) = found.iter().find(|(shown, _)| *shown == "path")?;
            path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec)
        };
        let (name, document, modified, after, sha256) = match table {
            Table::Fetches => (
                bytes("name")?,
                None,
                number("modified")?,
                text("after")?,
                row.get("got_sha256")?,
            ),
            Table::Sends => (
                path_name().map_or_else(|| bytes("name"), |name| Ok(Some(name)))?,
                text("document")?,
                None,
                None,
                row.get("sha256")?,
            ),
        };
        Ok(Self {
            owner: number("owner")?,
            record: Record {
                id: EntryId {
                    kind,
                    number: row.get("id")?,
                },
                state: row.get("state")?,
                in_hand: None,
                account: row.get("account")?,
                directory: row.get("directory")?,
                name,
                document,
                size: count("size")?,
                modified,
                sha256,
                places: found,
                after,
                failed: text("failed_class")?.zip(text("failed")?),
                claims: row.get("claims")?,
                times: happened,
            },
        })
    }
}

const GET_PLACES: &[(&str, &str)] = &[
    ("part", "part"),
    ("place", "place"),
    ("moving-to", "moving_to"),
];
const SEND_PLACES: &[(&str, &str)] = &[
    ("temporary", "temporary"),
    ("path", "path"),
    ("moving-to", "moving_to"),
];
const GET_TIMES: &[(&str, &str)] = &[
    ("claimed", "claimed_at"),
    ("fetched", "fetched_at"),
    ("delivered", "delivered_at"),
    ("failed", "failed_at"),
    ("done", "done_at"),
    ("seen", "seen_at"),
];
const SEND_TIMES: &[(&str, &str)] = &[
    ("claimed", "claimed_at"),
    ("begun", "begun_at"),
    ("written", "written_at"),
    ("publishing", "publishing_at"),
    ("published", "published_at"),
    ("failed", "failed_at"),
    ("done", "done_at"),
    ("seen", "seen_at"),
];
