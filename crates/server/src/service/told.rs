//! Judging attempts as someone else does, and telling the log what came of each.
//!
//! Decides nothing.

use super::event::What;
use sansftp_keys::certificate::{Certificate, is_certificate};
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::crypto::PublicKey;
use sansftp_tokio::server::{Authenticate, Judgement};

/// Judges as `judge` does.
pub(super) struct Told<A, T> {
    pub(super) judge: A,
    pub(super) tell: T,
}

impl<A, T> Authenticate for Told<A, T>
where
    A: Authenticate + Sync,
    T: Fn(What) + Send + Sync + 'static,
{
    type Identity = A::Identity;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<Self::Identity> {
        let judgement = self.judge.judge(attempt).await;
        // To ask which methods there are is no attempt to get in.
        if matches!(judgement, Judgement::Reject { .. }) && !matches!(attempt.method, Offered::None)
        {
            let fingerprint = match &attempt.method {
                Offered::PublicKey { key, .. } | Offered::PublicKeyProbe { key, .. } => {
                    Some(fingerprint(key))
                }
                _ => None,
            };
            (self.tell)(What::Denied {
                user: attempt.user.clone(),
                method: name(&attempt.method),
                fingerprint,
            });
        }
        judgement
    }
}

/// As `ssh-keygen -l` shows it, also of a certificate: that of the key inside.
fn fingerprint(key: &PublicKey) -> String {
    if is_certificate(key)
        && let Ok(certificate) = Certificate::parse(key)
    {
        return sha256_fingerprint(certificate.key());
    }
    sha256_fingerprint(key)
}

/// As RFC 4252 and RFC 4256 name it.
fn name(offered: &Offered) -> &'static str {
    match offered {
        Offered::Password(_) | Offered::PasswordChange { .. } => "password",
        Offered::PublicKeyProbe { .. } | Offered::PublicKey { .. } => "publickey",
        Offered::Interactive { .. } | Offered::Responses(_) => "keyboard-interactive",
        _ => "none",
    }
}
