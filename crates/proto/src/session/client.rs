//! What only a client can do.

use super::{Config, Connection, HostKey, Phase};
use crate::auth::Machine;
use crate::auth::client::{Auth, Credential, PasswordExpired, Prompts, ToSign, Turn};
use crate::connection::check_proofs;
use crate::crypto::{CryptoError, PublicKey, Secret};
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

    /// Tries one credential.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for the turn of another connection or a key without an algorithm; or the
    /// error that ended the connection.
    pub fn authenticate(&mut self, turn: Turn, credential: Credential) -> Result<(), Error> {
        self.auth(|auth| auth.attempt(turn, credential))
    }

    /// Gives the signature that was asked for, without its algorithm's name, or says why there is none.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection; or the error that ended the
    /// connection.
    pub fn sign(
        &mut self,
        to_sign: ToSign,
        signature: Result<Vec<u8>, CryptoError>,
    ) -> Result<(), Error> {
        self.auth(|auth| auth.signed(to_sign, signature))
    }

    /// Answers a round of keyboard-interactive, one response to each prompt (RFC 4256 §3.4).
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for questions of another connection or another number of responses; or the
    /// error that ended the connection.
    pub fn respond(&mut self, prompts: Prompts, responses: Vec<Secret>) -> Result<(), Error> {
        self.auth(|auth| auth.respond(prompts, responses))
    }

    /// Changes the expired password (RFC 4252 §8).
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection; or the error that ended the
    /// connection.
    pub fn change_password(
        &mut self,
        expired: PasswordExpired,
        old: Secret,
        new: Secret,
    ) -> Result<(), Error> {
        self.auth(|auth| auth.change_password(expired, old, new))
    }

    /// Leaves the expired password as it is; another turn follows.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection; or the error that ended the
    /// connection.
    pub fn keep_password(&mut self, expired: PasswordExpired) -> Result<(), Error> {
        self.auth(|auth| auth.keep_password(expired))
    }

    /// Whether `answer`, to [`Mux::prove_host_keys`], proves that the server holds these keys, in their
    /// order, by signatures over this session with algorithms that we offer.
    ///
    /// # Errors
    /// [`CryptoError::BadSignature`] and other reasons when it does not, for one of them or all.
    ///
    /// [`Mux::prove_host_keys`]: crate::connection::Mux::prove_host_keys
    pub fn check_host_keys(&self, keys: &[PublicKey], answer: &[u8]) -> Result<(), CryptoError> {
        let session = self.transport.session_id();
        let session = session.ok_or(CryptoError::Failed("no session to sign over"))?;
        let (provider, algorithms) = (&self.config.provider, &self.config.algorithms.host_key);
        check_proofs(keys, answer, session, provider, algorithms)
    }

    fn auth(&mut self, answer: impl FnOnce(&mut Auth) -> Result<(), Error>) -> Result<(), Error> {
        self.advance(|this, mut phase| {
            let Phase::Auth(auth) = &mut phase else {
                return Err(Error::ApiMisuse("an answer to a question of another phase"));
            };
            answer(auth)?;
            auth.poll_events(&mut this.auth_events);
            Ok(phase)
        })
    }
}
