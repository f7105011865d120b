//! Who may come in: what a server asks its application while a client authenticates.

use sansftp_proto::auth::Prompt;
use sansftp_proto::auth::server::{Attempt, Verdict};
use std::future::Future;

/// Judges the attempts of one connection, one after the other. A value of its own for each
/// connection, so that what the first of several factors restricted is still known at the last.
///
/// An unknown user is to cost the same work and get the same answers as a known one whose proof is
/// wrong; that failures also take the same time is seen to by whoever calls.
pub trait Authenticate: Send + 'static {
    /// Who it is, and what may be done: handed to the application once SUCCESS is certain, and never
    /// before.
    type Identity: Send + 'static;

    /// Decides over an attempt. Nothing more of the client is read meanwhile.
    fn judge(
        &mut self,
        attempt: &Attempt,
    ) -> impl Future<Output = Judgement<Self::Identity>> + Send;
}

/// The answer to an attempt; [`Verdict`] says when each may be given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Judgement<I> {
    /// The user is in, as this. Not for a probe.
    Accept(I),
    /// This method succeeded, and one of `methods` has to succeed as well.
    Partial {
        /// The methods that can continue.
        methods: Vec<String>,
    },
    /// It failed.
    Reject {
        /// The methods that can continue.
        methods: Vec<String>,
    },
    /// A signature by the key would be welcome.
    Acceptable,
    /// Asks the user.
    Prompt {
        /// A title; may be empty.
        name: String,
        /// What to tell the user first; may be empty.
        instruction: String,
        /// The questions.
        prompts: Vec<Prompt>,
    },
    /// The password is right, and has to be replaced first.
    ChangePassword {
        /// What to tell the user.
        prompt: String,
    },
}

impl<I> Judgement<I> {
    /// What the client is told, and who it is if that is the end of it.
    pub(super) fn split(self) -> (Verdict, Option<I>) {
        match self {
            Self::Accept(identity) => (Verdict::Accept, Some(identity)),
            Self::Partial { methods } => (Verdict::Partial { methods }, None),
            Self::Reject { methods } => (Verdict::Reject { methods }, None),
            Self::Acceptable => (Verdict::Acceptable, None),
            Self::Prompt {
                name,
                instruction,
                prompts,
            } => {
                let verdict = Verdict::Prompt {
                    name,
                    instruction,
                    prompts,
                };
                (verdict, None)
            }
            Self::ChangePassword { prompt } => (Verdict::ChangePassword { prompt }, None),
        }
    }
}
