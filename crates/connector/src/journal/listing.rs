//! What a listener was told of a directory, so that it knows after a restart what is new in it.
//!
//! Not what has become of the files: that is in the entries of Get. A row is a name, a size, a time
//! and whether the file was handed to Get to its end; only what changed is written.

use rusqlite::{OptionalExtension, params};

use super::Journal;
use crate::error::Result;
use crate::listen::known::{Handling, Relative, Row, Version};
use crate::path::RemotePath;

/// The directory of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListingId(i64);

/// What is to be known of a name from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It is there.
    There(Row),
    /// It is not.
    Gone(Relative),
}

impl Journal {
    /// What is known of a directory: nothing, the first time.
    pub(crate) async fn listing(
        &self,
        account: &str,
        directory: &RemotePath,
    ) -> Result<(ListingId, Vec<Row>)> {
        let account = account.to_owned();
        let directory = directory.as_bytes().to_vec();
        self.transaction("reading", move |transaction| {
            let key = params![account, directory];
            let sql = "SELECT id FROM listings WHERE account = ?1 AND directory = ?2";
            let id = transaction
                .query_row(sql, key, |row| row.get(0))
                .optional()?;
            let Some(id) = id else {
                let sql = "INSERT INTO listings (account, directory) VALUES (?1, ?2)";
                transaction.execute(sql, key)?;
                return Ok((ListingId(transaction.last_insert_rowid()), Vec::new()));
            };
            let sql = "SELECT path, size, modified, due FROM listed WHERE listing = ?1";
            let mut rows = transaction.prepare(sql)?;
            let rows = rows.query_map([id], |row| {
                let path: Vec<u8> = row.get(0)?;
                let size: Option<i64> = row.get(1)?;
                Ok(Row {
                    path: path.into(),
                    version: Version {
                        size: size.map(i64::cast_unsigned),
                        modified: row.get(2)?,
                    },
                    handling: match row.get(3)? {
                        true => Handling::Due,
                        false => Handling::Done,
                    },
                })
            })?;
            let rows = rows.collect::<Result<Vec<Row>, _>>()?;
            Ok((ListingId(id), rows))
        })
        .await
    }

    /// Records what was told of a directory, all of it or nothing.
    pub(crate) async fn listed(&self, listing: ListingId, changes: Vec<Listed>) -> Result<()> {
        self.transaction("writing to", move |transaction| {
            let mut put = transaction.prepare(
                "INSERT INTO listed (listing, path, size, modified, due)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (listing, path) DO UPDATE
                 SET size = excluded.size, modified = excluded.modified, due = excluded.due",
            )?;
            let mut remove =
                transaction.prepare("DELETE FROM listed WHERE listing = ?1 AND path = ?2")?;
            for change in changes {
                match change {
                    Listed::There(Row {
                        path,
                        version,
                        handling,
                    }) => {
                        let size = version.size.map(u64::cast_signed);
                        let due = handling == Handling::Due;
                        put.execute(params![listing.0, path, size, version.modified, due])?;
                    }
                    Listed::Gone(path) => {
                        remove.execute(params![listing.0, path])?;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &[u8], size: Option<u64>, handling: Handling) -> Row {
        Row {
            path: path.into(),
            version: Version {
                size,
                modified: size.map(|_| -5),
            },
            handling,
        }
    }

    #[tokio::test]
    async fn what_was_listed_is_known_to_whoever_opens_the_journal_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let directory = RemotePath::from("/in");
        let first = Journal::open(&path).unwrap();
        let (listing, rows) = first.listing("a@h:22", &directory).await.unwrap();
        assert!(rows.is_empty());
        let there = |row| Listed::There(row);
        let written = vec![
            there(row(b"a\xff", Some(1), Handling::Due)),
            there(row(b"b", None, Handling::Done)),
            there(row(b"a\xff", Some(2), Handling::Done)),
            there(row(b"c", Some(u64::MAX), Handling::Due)),
            Listed::Gone(b"b"[..].into()),
        ];
        first.listed(listing, written).await.unwrap();
        drop(first);
        let second = Journal::open(&path).unwrap();
        let (_, rows) = second.listing("a@h:22", &directory).await.unwrap();
        let expected = [
            row(b"a\xff", Some(2), Handling::Done),
            row(b"c", Some(u64::MAX), Handling::Due),
        ];
        assert_eq!(rows, expected);
        for (account, directory) in [("b@h:22", "/in"), ("a@h:22", "/in/sub")] {
            let directory = RemotePath::from(directory);
            let (_, rows) = second.listing(account, &directory).await.unwrap();
            assert!(rows.is_empty());
        }
    }
}
