//! The client's messages that wait to be sent (RFC 4252 §8, RFC 4256 §3.4).

use crate::auth::messages::interactive;
use crate::auth::{Method, signed_data};
use crate::crypto::Secret;
use crate::role::Client;
use crate::wire::{Field, Message, Rest, SentBy};
use bytes::BytesMut;

/// A message that waits. Secrets are kept as such until they are written where they are sealed.
#[derive(Debug)]
pub(super) enum Outgoing {
    Written(BytesMut),
    Password {
        user: String,
        password: Secret,
    },
    NewPassword {
        user: String,
        old: Secret,
        new: Secret,
    },
    Responses(Vec<Secret>),
}

impl Outgoing {
    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Written(bytes) => out.extend_from_slice(bytes),
            Self::Password { user, password } => {
                signed_data::write_head(out, user, Method::Password);
                false.write(out);
                password.expose().write(out);
            }
            Self::NewPassword { user, old, new } => {
                signed_data::write_head(out, user, Method::Password);
                true.write(out);
                old.expose().write(out);
                new.expose().write(out);
            }
            Self::Responses(responses) => {
                let count = u32::try_from(responses.len())
                    .expect("there are as many responses as prompts, which are few");
                write(
                    &interactive::InfoResponse {
                        count,
                        rest: Rest(&[]),
                    },
                    out,
                );
                for response in responses {
                    response.expose().write(out);
                }
            }
        }
    }
}

/// Writes what a client may send, and nothing else.
pub(super) fn write<'m, M: Message<'m> + SentBy<Client>>(message: &M, out: &mut BytesMut) {
    message.write(out);
}
