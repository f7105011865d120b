//! What a client is asked, the tokens with which it answers, and what it can answer with. Nothing is
//! decided or sent here.

use crate::auth::{Prompt, Ticket};
use crate::crypto::{CryptoError, PublicKey, Secret, SigningKey};
use bytes::Bytes;
use std::sync::Arc;

/// What the application is told and asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A credential is needed.
    AuthRequired {
        /// The right to try one.
        turn: Turn,
        /// The methods that the server says can continue (RFC 4252 §5.1), never `none`. Empty as long
        /// as it has not said so: it tells with the first failure only. A failure that leaves no
        /// method ends the connection instead.
        methods: Vec<String>,
        /// Whether what was tried last succeeded, and more is needed.
        partial: bool,
    },
    /// A key that is not in our memory is to sign.
    Sign(ToSign),
    /// A key in our memory would not sign; another turn follows.
    NotSigned(CryptoError),
    /// Questions for the user, perhaps none, each to be answered (RFC 4256 §3.2).
    Prompts(Prompts),
    /// The password is to be changed (RFC 4252 §8).
    PasswordExpired(PasswordExpired),
    /// To be shown to the user before authentication (RFC 4252 §5.4). Line ends and tabs stay, other
    /// control characters are replaced; at most [`limits::BANNER`](crate::limits::BANNER) bytes of it.
    Banner(String),
}

/// The right to try one credential. Linear: spent by the connection's `authenticate`. If it is
/// dropped nothing more happens until the login timer ends the connection.
#[derive(Debug)]
#[must_use = "authentication waits for a credential"]
pub struct Turn {
    pub(super) ticket: Ticket,
}

/// Something to authenticate with, and who claims to be whom.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: learns the methods, or gets in where nothing is asked (RFC 4252 §5.2).
    None {
        /// The user.
        user: String,
    },
    /// A password (RFC 4252 §8).
    Password {
        /// The user.
        user: String,
        /// The password, in UTF-8.
        password: Secret,
    },
    /// A key in memory (RFC 4252 §7). It signs at once; an RSA key signs once it is known with which
    /// algorithm, which the server says in EXT_INFO or when asked (RFC 8332 §3.3).
    PublicKey {
        /// The user.
        user: String,
        /// The key.
        key: Arc<dyn SigningKey>,
    },
    /// A key that signs elsewhere, slowly or after asking somebody: the server is asked first whether
    /// it would be welcome, then [`Event::Sign`] comes.
    ExternalKey {
        /// The user.
        user: String,
        /// The public half.
        key: PublicKey,
        /// The signature algorithms that it can use, the preferred one first.
        algorithms: Vec<String>,
    },
    /// Whatever the server asks (RFC 4256).
    Interactive {
        /// The user.
        user: String,
    },
}

/// What a key elsewhere is to sign. Linear: spent by the connection's `sign`.
#[derive(Debug)]
#[must_use = "authentication waits for the signature"]
pub struct ToSign {
    pub(super) key: PublicKey,
    pub(super) algorithm: String,
    pub(super) data: Bytes,
    pub(super) ticket: Ticket,
}

impl ToSign {
    /// The public half of the key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The signature algorithm; with any other the server would refuse the signature.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// What to sign.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }
}

/// Questions of one round of keyboard-interactive. Linear: spent by the connection's `respond`, with
/// exactly one response to each prompt, none at all included.
#[derive(Debug)]
#[must_use = "the server waits for the responses"]
pub struct Prompts {
    /// A title; may be empty. Control characters in this and the other texts are replaced.
    pub name: String,
    /// What to tell the user first; may be empty.
    pub instruction: String,
    /// The questions.
    pub prompts: Vec<Prompt>,
    pub(super) ticket: Ticket,
}

/// The server wants another password before it lets the user in. Linear: spent by the connection's
/// `change_password` or `keep_password`.
#[derive(Debug)]
#[must_use = "the server waits for another password"]
pub struct PasswordExpired {
    /// The server's words. Control characters are replaced.
    pub prompt: String,
    pub(super) ticket: Ticket,
}
