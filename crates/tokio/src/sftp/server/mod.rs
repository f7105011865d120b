//! The server's side of SFTP: what is served, and the session that serves it.
//!
//! ```text
//!   bytes ─▶ sftp::Server ─▶ Asked ─▶ lanes ─▶ blocking threads ─▶ FileSystem, File, Directory
//!   bytes ◀─ sftp::Server ◀──────────────────────── Answer ◀──────────────┘
//! ```
//!
//! The outcome is as if requests were processed one at a time in the order in which the client sent
//! them (draft-ietf-secsh-filexfer-02 §6.1); requests on different open files overlap.

mod engine;
mod file_system;
mod handles;
mod longname;
mod memory;
mod observe;
mod perform;
mod requests;
mod schedule;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use engine::Engine;
pub use file_system::{Directory, File, FileId, FileSystem, Hasher, Outcome};
pub use longname::longname;
pub use memory::MemFs;
pub use observe::{ClosedBy, Event, Observe};
pub use requests::{Requests, UnknownRequest};
pub use serve::serve;

use sansftp_proto::error::Error;
use std::sync::Arc;

/// How one session is served.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Files and directories that may be open at once; 1,024. One more is answered as a failure. Each
    /// holds its path, a directory also up to 32 KiB of names that were read and not given.
    pub handles: usize,
    /// Bytes of requests and answers that are held at once, file contents included; 8 MiB. At it,
    /// nothing more is read from the client. One request is always served, whatever it takes. What
    /// waits to be written may keep the buffers that it came in, 64 of them at most.
    pub memory: usize,
    /// The requests that are served; all. Others are answered with
    /// [`PERMISSION_DENIED`](sansftp_proto::sftp::StatusCode::PERMISSION_DENIED).
    pub allowed: Requests,
    /// Who is told what is done.
    pub observe: Option<Arc<dyn Observe>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handles: 1024,
            memory: sansftp_proto::limits::SFTP_UNSENT,
            allowed: Requests::all(),
            observe: None,
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct End {
    /// What ended it; `None` where the client was done, [`Error::Closed`] where this side broke off
    /// or the channel went away.
    pub error: Option<Error>,
    /// Bytes of file contents that the client was given.
    pub bytes_read: u64,
    /// Bytes of file contents that the client wrote.
    pub bytes_written: u64,
}
