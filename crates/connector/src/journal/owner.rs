//! Owners: who holds entries, and whether they still live.
//!
//! Each owner has a file of its own in the directory `JOURNAL.owners`, and holds a lock on it
//! (`flock`) that belongs to its open file: it ends when that is closed, thus also with its process,
//! by whatever that dies, and two owners in one process are two. It is not inherited by programs that
//! are started (close-on-exec). An owner whose file is gone or can be locked by another is dead.
//!
//! ```text
//!   enter: BEGIN IMMEDIATE ─ bury the dead ─ make and lock the file ─ insert the row ─ COMMIT
//! ```
//! Files are made, tested and removed inside a transaction that writes, of which there is one at a
//! time: nobody meets a file between its making and its lock, and no two testers meet each other.
//!
//! Should somebody remove a file while its owner lives, that one counts as dead and its entries can be
//! taken by others. It is told at its next transaction, and can record nothing for an entry that was
//! taken from it, because each taking changes the entry's `claims`.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::database::shown;
use super::{Fault, Ticket, now};
use crate::error::{Class, Error, Result};

/// This owner: its row and its lock.
#[derive(Debug)]
pub(super) struct Owner {
    id: i64,
    directory: PathBuf,
    path: PathBuf,
    lock: File,
}

/// Whether an owner still holds its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
}

impl Owner {
    /// Buries the dead and makes a new owner.
    pub(super) fn enter(transaction: &Transaction<'_>, journal: &Path) -> Result<Self, Fault> {
        let mut directory = journal.as_os_str().to_owned();
        directory.push(".owners");
        let directory = PathBuf::from(directory);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&directory, error).into());
            }
            _ => {}
        }
        bury(transaction, &directory)?;
        let name = Uuid::new_v4().to_string();
        let path = directory.join(&name);
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|lock| {
                lock.try_lock()?;
                Ok(lock)
            })
            .map_err(|error| failed(&path, error))?;
        transaction.execute(
            "INSERT INTO owners (lock, process, since) VALUES (?1, ?2, ?3)",
            params![name, std::process::id(), now()],
        )?;
        Ok(Self {
            id: transaction.last_insert_rowid(),
            directory,
            path,
            lock,
        })
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// As the end of its process does.
    #[cfg(test)]
    pub(super) fn let_go(&self) {
        self.lock.unlock().unwrap();
    }

    /// Whether the lock is still what others look at.
    pub(super) fn check(&self) -> Result<()> {
        let metadata = self
            .lock
            .metadata()
            .map_err(|error| failed(&self.path, error))?;
        if metadata.nlink() > 0 {
            return Ok(());
        }
        Err(Error::new(
            Class::LocalIo,
            format!(
                "{} was removed while it was in use, and other processes may have taken what this \
                 one had in hand",
                shown(&self.path)
            ),
        )
        .with_hint("leave the directory of owners alone; run the same again"))
    }

    /// Whether another owner lives; entries of a dead one are free afterwards.
    pub(super) fn life_of(&self, transaction: &Transaction<'_>, id: i64) -> Result<Life, Fault> {
        if id == self.id {
            return Ok(Life::Alive);
        }
        let name: Option<String> = transaction
            .query_row("SELECT lock FROM owners WHERE id = ?1", [id], |row| {
                row.get(0)
            })
            .optional()?;
        let Some(name) = name else {
            return Ok(Life::Dead);
        };
        if look(&self.directory.join(name))? == Life::Alive {
            return Ok(Life::Alive);
        }
        forget(transaction, id)?;
        Ok(Life::Dead)
    }

    /// Frees an entry that this owner holds, if it still does.
    pub(super) fn release(
        &self,
        transaction: &Transaction<'_>,
        ticket: &Ticket,
    ) -> rusqlite::Result<usize> {
        let sql = format!(
            "UPDATE {} SET owner = NULL WHERE id = ?1 AND claims = ?2 AND owner = ?3",
            ticket.table.name()
        );
        transaction
            .prepare_cached(&sql)?
            .execute(params![ticket.id, ticket.claims, self.id])
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The row is found by the next owner. Where this fails the file is, too.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the rows of dead owners, which frees their entries, and the files that nobody holds.
fn bury(transaction: &Transaction<'_>, directory: &Path) -> Result<(), Fault> {
    let owners = transaction
        .prepare("SELECT id, lock FROM owners")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let mut living = HashSet::new();
    for (id, name) in owners {
        match look(&directory.join(&name))? {
            Life::Alive => drop(living.insert(name)),
            Life::Dead => forget(transaction, id)?,
        }
    }
    // A file without a row is of one that died before its row was on the disk, or after it was
    // removed.
    let entries = fs::read_dir(directory).map_err(|error| failed(directory, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(directory, error))?;
        let ours = |name: &str| Uuid::try_parse(name).is_ok() && !living.contains(name);
        if entry.file_name().to_str().is_some_and(ours) && look(&entry.path())? == Life::Dead {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn forget(transaction: &Transaction<'_>, id: i64) -> Result<(), Fault> {
    transaction.execute("DELETE FROM owners WHERE id = ?1", [id])?;
    Ok(())
}

fn look(path: &Path) -> Result<Life, Fault> {
    let lock = match OpenOptions::new().write(true).open(path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Life::Dead),
        Err(error) => return Err(failed(path, error).into()),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Life::Dead),
        Err(TryLockError::WouldBlock) => Ok(Life::Alive),
        Err(TryLockError::Error(error)) => Err(failed(path, error).into()),
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::local_io(format_args!("the journal's lock {}", shown(path)), error).with_hint(
        "the journal's directory must be writable, and on a file system that knows locks (flock)",
    )
}
