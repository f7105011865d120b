//! From what an SFTP session tells of its doings to events: a transfer is a file opened, read or
//! written, and closed.
//!
//! Not every request is an event: looking at files and directories is not.

use super::event::What;
use crate::sftp::{self, Observe};
use bytes::Bytes;
use std::fmt;

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
}

impl<F: Fn(What) + Send + Sync + 'static> Transfers<F> {
    /// Tells it to `tell`.
    pub(super) const fn new(tell: F) -> Self {
        Self { tell }
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
                time,
                by,
                outcome,
            } => What::Transferred {
                path: Bytes::copy_from_slice(path),
                read: *read,
                written: *written,
                by: *by,
                time: *time,
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
