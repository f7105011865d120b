//! What a session tells of its doings, for a log of sessions and transfers.

use super::End;
use sansftp_proto::sftp::{Attrs, OpenFlags, Status};
use std::fmt::Debug;
use std::time::Duration;

/// Is told what the client of a session did. Called on the threads that do it, one call after the
/// other for the same file; slow calls slow the client.
pub trait Observe: Debug + Send + Sync + 'static {
    /// Something was done, or refused.
    fn observe(&self, event: &Event<'_>);
}

/// Who closed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// The client, by a request.
    Client,
    /// This side, because the session ended while it was open.
    End,
}

/// What was done. Paths are the client's own, fit neither for a terminal nor for a line of a log as
/// they are.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A file was to be opened.
    Opened {
        /// Where it is.
        path: &'a [u8],
        /// What for.
        flags: OpenFlags,
        /// Permission bits for a file that is made, where the client said any.
        mode: Option<u32>,
        /// Whether it was.
        outcome: Result<(), &'a Status>,
    },
    /// A directory was to be opened.
    OpenedDirectory {
        /// Where it is.
        path: &'a [u8],
        /// Whether it was.
        outcome: Result<(), &'a Status>,
    },
    /// A file was closed: by the client, or because the session ended.
    Closed {
        /// Where it was when it was opened.
        path: &'a [u8],
        /// Bytes that were read from it by this handle.
        read: u64,
        /// Bytes that were written to it by this handle.
        written: u64,
        /// How long it was open.
        time: Duration,
        /// By whom: whatever the client did not close may be half of a file.
        by: ClosedBy,
        /// A failure of earlier writes that showed only now.
        outcome: Result<(), &'a Status>,
    },
    /// A directory was closed: by the client, or because the session ended.
    ClosedDirectory {
        /// Where it was when it was opened.
        path: &'a [u8],
    },
    /// A request on a path, or one that changes an open file.
    Performed {
        /// The name of the request (those of [`Requests`](super::Requests)).
        request: &'static str,
        /// What it was about.
        path: &'a [u8],
        /// Where it leads: the new name, or what a link says.
        second: Option<&'a [u8]>,
        /// What was to be set.
        attrs: Option<&'a Attrs>,
        /// Whether it was done.
        outcome: Result<(), &'a Status>,
    },
    /// A request that is not allowed.
    Denied {
        /// Its name.
        request: &'static str,
    },
    /// The session is over and everything is closed. Told last.
    Ended(&'a End),
}
