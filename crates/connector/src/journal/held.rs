//! Holding an entry: one change of state at a time, and giving it back.
//!
//! Not which states there are: those are in `fetch` and `send`.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Journal, Table, Ticket, now};
use crate::error::{Class, Error, Result};
use crate::path::printable;

/// An entry in hand; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) journal: Journal,
    pub(super) ticket: Ticket,
    pub(super) ended: Ended,
}

/// Whether the entry is out of this owner's hands already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Yes,
    No,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.ended == Ended::No {
            self.journal.take_back(self.ticket);
        }
    }
}

/// What a change of state answers: how many rows it met, and perhaps something to tell.
pub(super) trait Recorded: Send + 'static {
    type Told: Send + 'static;
    fn split(self) -> (usize, Self::Told);
}

impl Recorded for usize {
    type Told = ();
    fn split(self) -> (usize, ()) {
        (self, ())
    }
}

impl<T: Send + 'static> Recorded for (usize, T) {
    type Told = T;
    fn split(self) -> Self {
        self
    }
}

impl Held {
    pub(super) fn new(journal: &Journal, table: Table, id: i64, claims: i64) -> Self {
        Self {
            journal: journal.clone(),
            ticket: Ticket { table, id, claims },
            ended: Ended::No,
        }
    }

    #[cfg(test)]
    pub(super) fn holding(journal: &Journal, ticket: Ticket) -> Self {
        Self {
            journal: journal.clone(),
            ticket,
            ended: Ended::Yes,
        }
    }

    /// One change of state; an error, and nothing changed, where the entry is not in a state that
    /// leads there, or not this owner's any more.
    pub(super) async fn record<T: Recorded>(
        &self,
        state: &'static str,
        name: &[u8],
        work: impl FnOnce(&Transaction<'_>, Ticket, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T::Told> {
        let (ticket, owner) = (self.ticket, self.journal.owner().id());
        let name = printable(name).into_owned();
        self.journal
            .transaction("recording in", move |transaction| {
                let (changed, told) = work(transaction, ticket, owner)?.split();
                if changed == 1 {
                    return Ok(told);
                }
                Err(refused(transaction, ticket, owner, state, &name)?.into())
            })
            .await
    }

    /// Removes the entry, whatever its state.
    pub(super) async fn forget(mut self, name: &[u8]) -> Result<()> {
        self.record("forgotten", name, |transaction, ticket, owner| {
            let sql = format!(
                "DELETE FROM {} WHERE id = ?1 AND claims = ?2 AND owner = ?3",
                ticket.table.name()
            );
            transaction.execute(&sql, params![ticket.id, ticket.claims, owner])
        })
        .await?;
        self.ended = Ended::Yes;
        Ok(())
    }

    pub(super) async fn give_back(mut self, error: Option<&Error>) -> Result<()> {
        let (journal, ticket) = (self.journal.clone(), self.ticket);
        let failure = error.map(|error| (error.class().name(), error.to_string()));
        let this = journal.clone();
        journal
            .transaction("giving back in", move |transaction| {
                if let Some((class, message)) = failure {
                    let sql = format!(
                        "UPDATE {} SET failed_class = ?4, failed = ?5, failed_at = ?6 \
                         WHERE id = ?1 AND claims = ?2 AND owner = ?3",
                        ticket.table.name()
                    );
                    transaction.prepare_cached(&sql)?.execute(params![
                        ticket.id,
                        ticket.claims,
                        this.owner().id(),
                        class,
                        message,
                        now()
                    ])?;
                }
                this.owner().release(transaction, &ticket)?;
                Ok(())
            })
            .await?;
        self.ended = Ended::Yes;
        Ok(())
    }
}

/// Why no row was met.
pub(super) fn refused(
    transaction: &Transaction<'_>,
    ticket: Ticket,
    owner: i64,
    wanted: &str,
    name: &str,
) -> rusqlite::Result<Error> {
    let sql = format!(
        "SELECT state, claims, owner FROM {} WHERE id = ?1",
        ticket.table.name()
    );
    let row: Option<(String, i64, Option<i64>)> = transaction
        .query_row(&sql, [ticket.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let message = match row {
        None => format!("{name}: its entry in the journal was removed while it was in hand"),
        Some((_, claims, holder)) if claims != ticket.claims || holder != Some(owner) => {
            format!("{name}: its entry in the journal is not in this process's hands any more")
        }
        Some((state, ..)) => format!(
            "{name}: the journal says {state}, from which nothing becomes {wanted}; this is a fault \
             of this program"
        ),
    };
    Ok(Error::new(Class::Failure, message))
}
