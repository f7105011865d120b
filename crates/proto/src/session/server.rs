//! What only a server can do.

use super::{Config, Connection};
use crate::error::Error;
use crate::role::Server;
use std::sync::Arc;
use std::time::Instant;

impl Connection<Server> {
    /// Begins as the end that is connected to.
    ///
    /// # Errors
    /// [`Error::PeerIncompatible`] with nothing of the peer's when a list of algorithms is empty, host
    /// keys included; [`Error::Crypto`] without randomness.
    pub fn server(config: Arc<Config<Server>>, now: Instant) -> Result<Self, Error> {
        let keys = Arc::clone(&config);
        Self::start(config, now, |algorithm| keys.local.signer(algorithm).is_some())
    }
}
