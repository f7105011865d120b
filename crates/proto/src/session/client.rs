//! What only a client can do.

use super::{Config, Connection, HostKey};
use crate::error::Error;
use crate::role::Client;
use std::sync::Arc;
use std::time::Instant;

/// The judgement over a host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Trust {
    /// It is the server's.
    Trusted,
    /// It is not, or nobody knows.
    Refused,
}

impl Connection<Client> {
    /// Begins as the end that connects.
    ///
    /// # Errors
    /// [`Error::PeerIncompatible`] with nothing of the peer's when a list of algorithms is empty;
    /// [`Error::Crypto`] without randomness.
    pub fn client(config: Arc<Config<Client>>, now: Instant) -> Result<Self, Error> {
        Self::start(config, now, |_| true)
    }

    /// Judges the server's key.
    ///
    /// # Errors
    /// [`Error::HostKeyRejected`] for [`Trust::Refused`]; [`Error::ApiMisuse`] for the key of another
    /// connection; or the error that ended the connection.
    pub fn judge(&mut self, key: HostKey, trust: Trust) -> Result<(), Error> {
        self.advance(|this, phase| {
            if key.connection() != this.id {
                return Err(Error::ApiMisuse("a host key of another connection"));
            }
            if trust == Trust::Refused {
                return Err(Error::HostKeyRejected);
            }
            let notice = this.transport.trust_host_key()?;
            Ok(this.notice(notice, phase))
        })
    }
}
