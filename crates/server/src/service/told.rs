//! Judging attempts as someone else does, and telling the log what came of each.
//!
//! Decides nothing.

use super::event::What;
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_tokio::server::{Authenticate, Judgement};

/// Judges as `judge` does.
pub(super) struct Told<A, T> {
    pub(super) judge: A,
    pub(super) tell: T,
}

/// Who it is, and the key that proved it.
pub(super) struct Proven<I> {
    pub(super) identity: I,
    pub(super) fingerprint: Option<String>,
}

impl<A, T> Authenticate for Told<A, T>
where
    A: Authenticate + Sync,
    T: Fn(What) + Send + Sync + 'static,
{
    type Identity = Proven<A::Identity>;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<Self::Identity> {
        let fingerprint = match &attempt.method {
            Offered::PublicKey { key, .. } | Offered::PublicKeyProbe { key, .. } => {
                Some(sha256_fingerprint(key))
            }
            _ => None,
        };
        match self.judge.judge(attempt).await {
            Judgement::Accept(identity) => Judgement::Accept(Proven {
                identity,
                fingerprint,
            }),
            Judgement::Reject { methods } => {
                // To ask which methods there are is no attempt to get in.
                if !matches!(attempt.method, Offered::None) {
                    (self.tell)(What::Denied {
                        user: attempt.user.clone(),
                        method: name(&attempt.method),
                        fingerprint,
                    });
                }
                Judgement::Reject { methods }
            }
            Judgement::Partial { methods } => Judgement::Partial { methods },
            Judgement::Acceptable => Judgement::Acceptable,
            Judgement::Prompt {
                name,
                instruction,
                prompts,
            } => Judgement::Prompt {
                name,
                instruction,
                prompts,
            },
            Judgement::ChangePassword { prompt } => Judgement::ChangePassword { prompt },
            // What is not known here lets nobody in.
            _ => Judgement::Reject {
                methods: Vec::new(),
            },
        }
    }
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
