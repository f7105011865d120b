//! SFTP version 3 (draft-ietf-secsh-filexfer-02) and OpenSSH's extensions of it, both halves, as
//! machines that know byte streams and neither SSH nor files.
//!
//! ```text
//!   Download, Upload, Listing     what to ask next (transfer)
//!        │ READ, WRITE, READDIR          ▲ Result<Data, Status>
//!        ▼                               │ Pending::claim
//!   Client::send ─▶ poll_transmit ─▶ bytes ─▶ handle_data ─▶ poll_completion
//!                                       ▲ ▼
//!                  poll_transmit ◀─ Server ─▶ poll_request ─▶ Asked ─▶ reply
//! ```
//!
//! A request names the kind of its reply ([`Request::Reply`]), so a reply of another kind can be
//! neither given nor taken. A failure at the other end is a value, [`Status`]; an [`Error`] is the
//! end of the session. Names, paths and handles are bytes. File contents stay in the pieces in which
//! they came ([`Data`]).
//!
//! [`Error`]: crate::error::Error

mod answer;
mod attrs;
mod client;
pub mod extensions;
pub mod kind;
pub mod messages;
mod rope;
mod server;
mod status;
pub mod transfer;
mod values;

pub use attrs::{Attrs, FileType, OpenFlags, Owner, Times};
pub use client::{Blocked, Bounds, Client, Completion, Pending, RequestId};
pub use extensions::{Extension, Extensions};
pub use kind::{Kind, Request};
pub use rope::Data;
pub use server::{Answer, Asked, Reply, Server, ServerBounds};
pub use status::{Status, StatusCode};
pub use values::{Entry, Handle};

/// The version that is spoken here, and on nearly every server.
pub const VERSION: u32 = 3;

#[cfg(test)]
mod tests;
