//! SFTP over a connection: sessions, files and directories as async types.
//!
//! Many requests are under way at once: transfers are planned by the core and run inside the driver,
//! so that file data goes from the socket to the caller without a copy and with one wake-up.

mod client;
mod dir;
mod error;
mod file;
mod job;
mod machines;
mod pace;
mod patience;
pub mod server;
mod spread;

pub use client::Sftp;
pub use dir::ReadDir;
pub use error::SftpError;
pub use file::{ReadFile, WriteFile};
pub(crate) use machines::Machines;
pub use spread::Spread;

pub use sansftp_proto::sftp::extensions::{FileHashes, Limits, StatVfs};
pub use sansftp_proto::sftp::transfer::Listed;
pub use sansftp_proto::sftp::{
    Attrs, Entry, Extension, Extensions, FileType, OpenFlags, Owner, Status, StatusCode, Times,
};
