//! What a service tells of what happens in it, typed, for a log.
//!
//! No secret is in any of it. Names of users and files come from clients: whoever shows them escapes
//! them.

use crate::sftp::ClosedBy;
use crate::users::{Identity, Proof};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The number of the connection, from 1 in each service.
    pub connection: u64,
    /// Where the client is, when that is known.
    pub peer: Option<SocketAddr>,
    /// Who it is, once that is proved.
    pub user: Option<String>,
    /// What happened.
    pub what: What,
}

impl Event {
    /// Something that happened on a connection of which no more is known.
    pub const fn new(connection: u64, what: What) -> Self {
        Self {
            connection,
            peer: None,
            user: None,
            what,
        }
    }
}

/// Who was let in, as far as a log tells it.
pub trait Proved {
    /// What was proved, in its order.
    fn proofs(&self) -> &[Proof];
}

impl Proved for Identity {
    fn proofs(&self) -> &[Proof] {
        &self.proofs
    }
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum What {
    /// A client connected; nothing has been said yet.
    Connected,
    /// An attempt at authentication failed.
    Denied {
        /// Who the client claimed to be.
        user: String,
        /// The method, as RFC 4252 names it.
        method: &'static str,
        /// The key that was offered; that of a certificate is the one inside.
        fingerprint: Option<String>,
    },
    /// The connection ended before anyone was let in.
    Refused {
        /// Why.
        reason: String,
    },
    /// A user is in.
    Authenticated {
        /// What was proved, in its order.
        proofs: Vec<Proof>,
        /// What the client calls itself.
        client: Bytes,
    },
    /// Something was asked for that this service does not do: a command, a shell, forwarding.
    Declined {
        /// What, as RFC 4254 names it.
        request: &'static str,
    },
    /// An SFTP session began.
    SftpStarted,
    /// A file was closed: by the client, or because the session ended.
    Transferred {
        /// The file, as the client named it.
        path: Bytes,
        /// Bytes that the client read.
        read: u64,
        /// Bytes that the client wrote.
        written: u64,
        /// From opening to closing.
        time: Duration,
        /// By whom it was closed: what the client did not close may be half of a file.
        by: ClosedBy,
        /// A failure of earlier writes that showed only when it was closed.
        failure: Option<String>,
    },
    /// A file could not be opened.
    NotOpened {
        /// The file, as the client named it.
        path: Bytes,
        /// Why.
        failure: String,
    },
    /// Something other than a file's content was changed, or was to be.
    Changed {
        /// What was asked for, as OpenSSH's sftp-server names it.
        request: &'static str,
        /// The first path, as the client named it.
        path: Bytes,
        /// The second one, where there are two.
        to: Option<Bytes>,
        /// Why it was not done; none when it was.
        failure: Option<String>,
    },
    /// An SFTP session ended.
    SftpEnded {
        /// Bytes that the client read.
        read: u64,
        /// Bytes that the client wrote.
        written: u64,
        /// Why, unless the client ended it.
        error: Option<String>,
    },
    /// A connection of an authenticated user ended.
    Disconnected {
        /// Why.
        reason: String,
        /// Since it connected.
        time: Duration,
    },
}
