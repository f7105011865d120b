//! The far side over SFTP: the only part of this crate that knows the driver.
//!
//! [`SftpConnect`] turns a [`Connection`](crate::connection::Connection) into sessions;
//! [`SftpRemote`] is one of them, and [`Sessions`] is what all of a program share.

mod algorithms;
mod certified;
mod connect;
mod convert;
mod credentials;
#[cfg(test)]
mod faults;
mod learn;
mod party;
mod remote;
mod sessions;
mod trust;
mod way;

pub use certified::HostCertificate;
pub use connect::{Details, Offer, ServerLimits, SftpConnect};
pub use remote::{SftpListing, SftpReader, SftpRemote, SftpWriter};
pub use sansftp_tokio::Answerer;
pub use sessions::Sessions;
pub use trust::{KeyState, ServerKey, record_server_key, server_key};
