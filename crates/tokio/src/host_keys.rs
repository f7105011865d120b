//! The server's other host keys: what it announces, and having it prove that it holds them (OpenSSH's
//! PROTOCOL, `hostkeys-00@openssh.com`). Not whether they are to be trusted, and not where they are kept.

use crate::client::Client;
use crate::error::Lost;
use sansftp_proto::crypto::{CryptoError, PublicKey};
use std::fmt;
use std::task::Poll;
use std::time::Duration;

/// Why announced host keys are not proven.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unproven {
    /// The server does not answer the request, or refuses it.
    Refused,
    /// A signature does not verify, or one is missing.
    Wrong(CryptoError),
    /// There was no answer in time.
    TimedOut,
    /// The connection is gone.
    Lost(Lost),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the server does not prove them"),
            Self::Wrong(why) => write!(f, "the proof is wrong: {why}"),
            Self::TimedOut => f.write_str("the server does not prove them in time"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl std::error::Error for Unproven {}

impl Client {
    /// The host keys that the server has announced so far, unproven; 32 of them at most. OpenSSH does so
    /// right behind authentication, so that they are there once a session of SFTP is.
    pub fn announced_host_keys(&self) -> Vec<PublicKey> {
        let mut state = self.shared().lock();
        let mux = state.conn.mux();
        mux.map_or_else(Vec::new, |it| it.announced_host_keys().to_vec())
    }

    /// Has the server prove that it holds these keys, all of them, by signatures over this connection
    /// with algorithms that were offered to it. One request at a time: a second one would take the first
    /// one's answer.
    ///
    /// # Errors
    /// [`Unproven`], within `deadline`.
    pub async fn prove_host_keys(
        &mut self,
        keys: &[PublicKey],
        deadline: Duration,
    ) -> Result<(), Unproven> {
        let asked = self.shared().with(|state| match state.conn.mux() {
            Some(mux) => mux.prove_host_keys(keys).is_ok(),
            None => false,
        });
        if !asked {
            return Err(Unproven::Refused);
        }
        let proof = std::future::poll_fn(|cx| {
            let mut state = self.shared().lock();
            if let Some(proof) = state.machines.host_keys().proof.take() {
                return Poll::Ready(Ok(proof));
            }
            if let Some(lost) = &state.ended {
                return Poll::Ready(Err(Unproven::Lost(lost.clone())));
            }
            state.machines.host_keys().asker = Some(cx.waker().clone());
            Poll::Pending
        });
        let (did, answer) = tokio::time::timeout(deadline, proof)
            .await
            .map_err(|_| Unproven::TimedOut)??;
        if !did {
            return Err(Unproven::Refused);
        }
        let state = self.shared().lock();
        state
            .conn
            .check_host_keys(keys, &answer)
            .map_err(Unproven::Wrong)
    }
}
