//! Planners of transfers: what to ask next, so that many requests are under way, memory is bounded by
//! bytes, and short reads, gaps and late errors come out right (draft-ietf-secsh-filexfer-02 §6.4,
//! §6.7).
//!
//! Pure: they know neither handles nor a client. Each `next` gives a token for one request, and
//! `done` takes it back with the answer, in any order.

mod download;
mod listing;
mod upload;

pub use download::{Download, DownloadPlan, Order, Piece, ReadAt};
pub use listing::{Listed, Listing, NamesTicket};
pub use upload::{Upload, UploadPlan, WriteAt};

use super::status::Status;
use std::fmt;

/// Why a transfer cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The other end refused a request.
    Status(Status),
    /// The other end keeps answering with nothing, and does not say that this is the end.
    NoProgress,
    /// The file would go on beyond the largest offset, 2⁶⁴-1.
    TooLarge,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::NoProgress => f.write_str("the server keeps answering with no data"),
            Self::TooLarge => f.write_str("the file goes beyond the largest offset"),
        }
    }
}

impl std::error::Error for Failure {}

/// Where in a file a transfer failed, and why. All below the offset is transferred; it is where the
/// transfer can be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferError {
    /// The first byte of the file that is not transferred.
    pub offset: u64,
    /// Why not.
    pub failure: Failure,
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.failure)
    }
}

impl std::error::Error for TransferError {}
