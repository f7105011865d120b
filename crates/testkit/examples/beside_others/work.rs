//! What the clients are given to do, and whether it was done: contents are compared byte for byte, outside the time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::field::{Field, fill, hole, many, same, same_files};

/// The size of each of many small files.
const SMALL: u64 = 10 * 1024;

/// One piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One file of so many bytes to the client.
    Get { size: u64, contents: Contents },
    /// The same, and sansftp computes its SHA-256 on the way.
    GetChecked { size: u64 },
    /// One file of so many bytes to the server.
    Put { size: u64, contents: Contents },
    /// So many files of 10 KiB to the client.
    GetMany { count: usize },
    /// So many files of 10 KiB to the server.
    PutMany { count: usize },
    /// The names in a directory of so many.
    List { count: usize },
    /// Connects, logs in, starts SFTP and goes.
    Connect,
    /// So many sessions at once, each of which gets the same file.
    Sessions { count: usize, size: u64 },
}

/// What a large file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Random,
    /// Nothing that takes room.
    Hole,
}

impl Work {
    /// Makes what is to be got or put.
    pub(crate) fn prepare(&self, field: &Field) -> io::Result<()> {
        let sources = field.sources();
        let big = sources.join("big");
        match *self {
            Self::Get { size, contents } | Self::Put { size, contents } => match contents {
                Contents::Random => fill(&big, size),
                Contents::Hole => hole(&big, size),
            },
            Self::GetChecked { size } | Self::Sessions { size, .. } => fill(&big, size),
            Self::GetMany { count } | Self::PutMany { count } => many(&sources, count, SMALL),
            Self::List { count } => many(&sources, count, 0),
            Self::Connect => Ok(()),
        }
    }

    /// The large file: where it is, and where it is to be.
    pub(crate) fn one(&self, field: &Field) -> (PathBuf, PathBuf) {
        let to = match self {
            Self::Put { .. } | Self::PutMany { .. } => field.put_into(),
            _ => field.get_into(),
        };
        (field.sources().join("big"), to.join("big"))
    }

    /// The small files.
    pub(crate) fn files(&self, field: &Field) -> Vec<PathBuf> {
        let name = |number| field.sources().join(format!("f{number:05}"));
        (0..self.count()).map(name).collect()
    }

    /// How many files, names or sessions.
    pub(crate) fn count(&self) -> usize {
        match *self {
            Self::GetMany { count }
            | Self::PutMany { count }
            | Self::List { count }
            | Self::Sessions { count, .. } => count,
            Self::Get { .. } | Self::GetChecked { .. } | Self::Put { .. } | Self::Connect => 1,
        }
    }

    /// Whether what was to be done has been done. `printed` is what the client said.
    pub(crate) fn done(&self, field: &Field, printed: &Path) -> io::Result<bool> {
        let (from, to) = self.one(field);
        match *self {
            Self::Get { .. } | Self::GetChecked { .. } | Self::Put { .. } => same(&from, &to),
            Self::GetMany { .. } => same_files(&field.sources(), &field.get_into()),
            Self::PutMany { .. } => same_files(&field.sources(), &field.put_into()),
            // Each name is named once; some add themselves or the directory.
            Self::List { count } => {
                let printed = fs::read(printed)?;
                let lines = printed.split(|byte| *byte == b'\n');
                let named = |line: &&[u8]| line.windows(6).any(is_name);
                Ok(lines.filter(named).count() == count)
            }
            Self::Connect => Ok(true),
            Self::Sessions { count, .. } => {
                for number in 0..count {
                    let to = field.get_into().join(format!("{number}"));
                    if !to.exists() || !same(&from, &to)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// `f` and five digits.
fn is_name(word: &[u8]) -> bool {
    word.split_first()
        .is_some_and(|(first, digits)| *first == b'f' && digits.iter().all(u8::is_ascii_digit))
}
