//! From what an SFTP session tells of its doings to events: a transfer is a file opened, read or
//! written, and closed.
//!
//! Not every request is an event: looking at files and directories is not.

use super::event::What;
use crate::sftp::{self, Observe};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Requests that change nothing, by their names.
const LOOKING: [&str; 10] = [
    "lstat",
    "fstat",
    "stat",
    "realpath",
    "readlink",
    "statvfs",
    "fstatvfs",
    "expand-path",
    "home-directory",
    "users-groups-by-id",
];

/// Tells of one SFTP session.
pub(super) struct Transfers<F> {
    tell: F,
    /// When files were opened that are not closed yet, by their names; no more than there are handles.
    opened: Mutex<HashMap<Bytes, Vec<Instant>>>,
}

impl<F: Fn(What) + Send + Sync + 'static> Transfers<F> {
    /// Tells it to `tell`.
    pub(super) fn new(tell: F) -> Self {
        Self {
            tell,
            opened: Mutex::default(),
        }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<Bytes, Vec<Instant>>> {
        // A map that a panic left half-changed costs a wrong time in a log at worst.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(&self, path: &[u8]) {
        let path = Bytes::copy_from_slice(path);
        self.opened().entry(path).or_default().push(Instant::now());
    }

    /// When the file was opened, the first of several of that name.
    fn ended(&self, path: &[u8]) -> Option<Instant> {
        let mut opened = self.opened();
        let times = opened.get_mut(path)?;
        let first = (!times.is_empty()).then(|| times.remove(0));
        if times.is_empty() {
            opened.remove(path);
        }
        first
    }
}

impl<F> fmt::Debug for Transfers<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfers").finish_non_exhaustive()
    }
}

impl<F: Fn(What) + Send + Sync + 'static> Observe for Transfers<F> {
    fn observe(&self, event: &sftp::Event<'_>) {
        let what = match event {
            sftp::Event::Opened {
                path,
                outcome: Ok(()),
                ..
            } => return self.began(path),
            sftp::Event::Opened {
                path,
                outcome: Err(status),
                ..
            } => What::NotOpened {
                path: Bytes::copy_from_slice(path),
                failure: status.to_string(),
            },
            sftp::Event::Closed {
                path,
                read,
                written,
                by,
                outcome,
            } => What::Transferred {
                path: Bytes::copy_from_slice(path),
                read: *read,
                written: *written,
                by: *by,
                time: self.ended(path).map(|it| it.elapsed()).unwrap_or_default(),
                failure: outcome.err().map(ToString::to_string),
            },
            sftp::Event::Performed {
                request,
                path,
                second,
                outcome,
                ..
            } if !LOOKING.contains(request) => What::Changed {
                request,
                path: Bytes::copy_from_slice(path),
                to: second.map(Bytes::copy_from_slice),
                failure: outcome.err().map(ToString::to_string),
            },
            sftp::Event::Denied { request } => What::Declined { request },
            _ => return,
        };
        (self.tell)(what);
    }
}
