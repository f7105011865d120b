//! What an SFTP server program needs beside the driver: files beneath a local directory, users and
//! the proofs that let them in, host keys that are made once and kept.
//!
//! Not a protocol: packets, channels and SFTP messages are the core's, sockets and sessions the driver's.

#![forbid(unsafe_code)]

pub mod algorithms;
pub mod host_keys;
pub mod users;
