//! What only a server can do.

use super::{Config, Connection, Phase};
use crate::auth::server::{Attempt, Verdict};
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
        Self::start(config, now, |algorithm| {
            keys.local.signer(algorithm).is_some()
        })
    }

    /// Decides over an attempt.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for an attempt of another connection or a verdict that does not fit it;
    /// [`Error::AuthenticationFailed`] when that was one attempt too many; or the error that ended the
    /// connection.
    pub fn decide(&mut self, attempt: Attempt, verdict: Verdict) -> Result<(), Error> {
        self.advance(|this, phase| {
            let Phase::Auth(auth) = phase else {
                return Err(Error::ApiMisuse("a verdict without an attempt"));
            };
            let step = auth.verdict(attempt, verdict)?;
            Ok(this.step(step))
        })
    }
}
