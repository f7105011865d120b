//! What the application is told and asked.

use crate::auth;
use crate::connection::{ChannelEvent, ToClient, ToServer};
use crate::crypto::PublicKey;
use crate::error::Error;

/// Events that both ends have.
#[derive(Debug)]
#[non_exhaustive]
pub enum Common {
    /// The connection has ended. Told once, and last.
    Closed(Error),
}

/// What a client is told and asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server proved that it holds this key; is it the right one?
    HostKey(HostKey),
    /// Of user authentication.
    Auth(auth::client::Event),
    /// Authentication is done: channels can be opened.
    Authenticated,
    /// Of channels.
    Channel(ChannelEvent<ToClient>),
    /// What both ends are told.
    Common(Common),
}

/// What a server is told and asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Of user authentication.
    Auth(auth::server::Event),
    /// Authentication is done: the client may open channels.
    Authenticated,
    /// Of channels.
    Channel(ChannelEvent<ToServer>),
    /// What both ends are told.
    Common(Common),
}

impl From<Common> for ClientEvent {
    fn from(event: Common) -> Self {
        Self::Common(event)
    }
}

impl From<Common> for ServerEvent {
    fn from(event: Common) -> Self {
        Self::Common(event)
    }
}

/// A host key to judge. Linear: spent by [`Connection::judge`](super::Connection::judge).
#[derive(Debug)]
#[must_use = "the handshake waits until the key is judged"]
pub struct HostKey {
    key: PublicKey,
    algorithm: &'static str,
    connection: u64,
}

impl HostKey {
    pub(super) const fn new(key: PublicKey, algorithm: &'static str, connection: u64) -> Self {
        Self {
            key,
            algorithm,
            connection,
        }
    }

    /// The key; or a certificate, of a type that ends in [`CERTIFICATE`](crate::crypto::CERTIFICATE) and so
    /// equal to no key, where an algorithm of those was agreed on. Then the server holds the key inside,
    /// and nothing that the certificate says of it was looked at.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The algorithm that the server signed with.
    pub const fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    pub(super) const fn connection(&self) -> u64 {
        self.connection
    }
}
