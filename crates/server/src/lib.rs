//! What an SFTP server program needs beside the driver: files beneath a local directory, users and
//! the proofs that let them in, host keys that are made once and kept.
//!
//! Not a protocol: packets, channels and SFTP messages are the core's, sockets and sessions the driver's.

#![forbid(unsafe_code)]

pub mod algorithms;
pub mod host_keys;
pub mod local;
pub mod service;

pub use sansftp_crypto::{ZLIB, default_provider};

/// What serves SFTP: the traits of what is served, and how.
pub mod sftp {
    pub use sansftp_proto::sftp::{OpenFlags, Status};
    pub use sansftp_tokio::sftp::server::{
        ClosedBy, Directory, End, Event, File, FileId, FileSystem, Hasher, MemFs, Observe, Options,
        Outcome, Requests, UnknownRequest,
    };
}
pub mod users;
