//! What can go wrong with a request.

use crate::error::Lost;
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::sftp::{Status, StatusCode};

/// Why a request did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SftpError {
    /// The server refused, in its words.
    #[error("{0}")]
    Refused(Status),
    /// The connection is gone; whether the request took effect is not known.
    #[error("{0}")]
    Lost(Lost),
    /// The session of SFTP ended, or broke the protocol; whether the request took effect is not known.
    #[error("the SFTP session has ended: {0}")]
    Ended(Protocol),
    /// Nothing came for as long as the deadline allows; whether the request took effect is not known.
    /// The connection is given up.
    #[error("no answer to {request} for {seconds} s")]
    TimedOut {
        /// What was asked.
        request: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// What the server answers contradicts itself.
    #[error("{0}")]
    Contradiction(String),
    /// The request is longer than servers read: nothing was sent.
    #[error("the request is longer than servers read")]
    TooLong,
}

impl SftpError {
    /// The status code, where the server refused.
    pub const fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(status) => Some(status.code),
            _ => None,
        }
    }
}
